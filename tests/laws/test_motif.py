"""Motifs: every law of places against all arrangements written out, and what EM promises of the model."""

from __future__ import annotations

import dataclasses
import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from estep.core.assign import HARD, SOFT, ImpossibleRow, Sampled
from estep.core.letters import DNA
from estep.core.record import identical
from estep.core.result import Status
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.presets import Variant
from estep.engine.visit import total
from estep.estimators.letters import open_places
from estep.families.categorical import Categorical, CategoricalParams
from estep.kernels import windows
from estep.kernels.reference_windows import arrangements, letters_given, posterior_reference, prior_any, prior_one
from estep.models.latent import Latent, LatentParams
from estep.models.motif import Motif, MotifParams
from estep.models.sites import LAWS
from estep.structures.chain import Chain, ChainParams

EXACT = ("one", "at most one", "any")
FORMS = [
    {},
    {"both_strands": True},
    {"palindrome": True},
    {"palindrome": True, "both_strands": True, "width": 3},
    {"imagined": np.array([0.3, 0.1, 0.2, 0.4])},
    {"background": np.array([0.3, 0.2, 0.1, 0.4])},
    {"held": np.array([[0.1, np.nan, np.nan, np.nan], [np.nan] * 4])},
]


def model_of(law: str, width: int = 2, **more: Any) -> Motif:
    return Motif(width, 4, law, DNA.complement, **more)


def params_of(model: Motif, seed: int = 0) -> MotifParams:
    """Parameters away from any optimum, within the model's support."""
    rng, neutral = np.random.default_rng(seed), model.start()
    support = model.support(neutral)
    drawn = support.unpack(0.7 * rng.standard_normal(support.count), neutral)
    return drawn if model.law != "any" else dataclasses.replace(drawn, shares=np.array([0.15, 0.85]))


def texts(seed: int = 1, sizes: tuple[int, ...] = (6, 4, 7), unknown: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Short sequences with a letter that is not known."""
    codes = np.random.default_rng(seed).integers(0, 4, sum(sizes))
    codes[2] = -1 if unknown else 0
    return codes, np.cumsum(sizes)


def closed(codes: np.ndarray, ends: np.ndarray, width: int) -> np.ndarray:
    """A mask on one letter, others half or three quarters open, as after earlier motifs."""
    letters = np.ones(len(codes))
    letters[[4, 9, 12]] = [0.5, 0.75, 0.0]
    return open_places(letters, ends, width)


def strands_of(model: Motif, params: MotifParams) -> np.ndarray:
    columns = model.columns(params)
    other = columns[::-1][:, list(DNA.complement or ())]
    return np.stack([columns, other]) if model.both_strands else columns[None]


def enumerated(model: Motif, params: MotifParams, codes: np.ndarray, open: np.ndarray) -> tuple[float, np.ndarray]:
    """Log-likelihood of one sequence and posteriors (S, n) of sites, from every arrangement."""
    columns, rate = strands_of(model, params), float(params.shares[0])
    size, width, v = len(codes), model.width, np.exp(open)
    prior = (
        partial(prior_any, length=size, width=width, strands=len(columns), rate=rate, open=v)
        if model.law == "any"
        else partial(prior_one, length=size, width=width, strands=len(columns), chance=rate, open=v)
    )
    found, loglik = posterior_reference(codes.tolist(), columns, params.background, prior)
    resp = np.zeros((len(columns), size))
    for sites, share in found:
        for place, strand in sites:
            resp[strand, place] += share
    return loglik, resp


# --- brute force ---


@pytest.mark.parametrize("law", EXACT)
@pytest.mark.parametrize("form", FORMS[:4], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_places_are_those_of_all_arrangements(law: str, form: dict[str, Any], masked: bool) -> None:
    model = model_of(law, **form)
    params, (codes, ends) = params_of(model), texts()
    given = closed(codes, ends, model.width) if masked else None
    data = Memory(codes, given=given, ends=ends)
    open = closed(codes, ends, model.width) if masked else open_places(np.ones(len(codes)), ends, model.width)
    parts = [slice(a, z) for a, z in itertools.pairwise([0, *ends.tolist()])]
    expected = [enumerated(model, params, codes[part], open[part]) for part in parts]
    chunk = next(data.chunks())
    # sums of at most 60 products of at most 10 probabilities: a few hundred roundings
    np.testing.assert_allclose(
        model.posteriors(params, chunk).resp, np.hstack([resp for _, resp in expected]), rtol=1e-12, atol=1e-14
    )
    assert total(model, data, params, SOFT).loglik == pytest.approx(sum(value for value, _ in expected), rel=1e-12)


@pytest.mark.parametrize("law", EXACT)
@pytest.mark.parametrize("strands", [False, True])
def test_hard_assignment_is_the_best_arrangement(law: str, strands: bool) -> None:
    model = model_of(law, both_strands=strands)
    params, (codes, ends) = params_of(model, 3), texts(unknown=False)
    open = open_places(np.ones(len(codes)), ends, 2)
    columns, rate, best = strands_of(model, params), float(params.shares[0]), 0.0
    for a, z in itertools.pairwise([0, *ends.tolist()]):
        prior = partial(prior_any if law == "any" else prior_one, length=z - a, width=2, strands=len(columns))
        named = {"rate": rate} if law == "any" else {"chance": rate}
        values = [
            prior(sites, open=np.exp(open[a:z]), **named)
            * letters_given(codes[a:z].tolist(), sites, columns, params.background)
            for sites in arrangements(z - a, 2, len(columns), None if law == "any" else 1)
        ]
        best += float(np.log(max(values)))
    seen = total(model, Memory(codes, ends=ends), params, HARD)
    assert seen.objective == pytest.approx(best, rel=1e-13)
    assert seen.loglik == pytest.approx(total(model, Memory(codes, ends=ends), params, SOFT).loglik, rel=1e-13)


def test_letters_are_counted_as_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expected letters of each column by hand; a strand read in the wrong direction is noticed."""

    def by_hand(model: Motif, params: MotifParams, codes: np.ndarray) -> np.ndarray:
        open = open_places(np.ones(len(codes)), np.array([len(codes)]), model.width)
        _, resp = enumerated(model, params, codes, open)
        counts = np.zeros((model.width, 4))
        for t, w in itertools.product(range(len(codes) - model.width + 1), range(model.width)):
            counts[w, codes[t + w]] += resp[0, t]
            counts[model.width - 1 - w, 3 - codes[t + w]] += resp[1, t]
        return counts

    model, codes = model_of("any", 3, both_strands=True), np.random.default_rng(5).integers(0, 4, 9)
    params, data = params_of(model, 2), Memory(codes, ends=np.array([9]))
    expected = by_hand(model, params, codes)
    found = total(model, data, params, SOFT).stats
    np.testing.assert_allclose(found.probs, expected, rtol=1e-12)
    np.testing.assert_allclose(found.background, np.bincount(codes, minlength=4) - expected_outside(model, params, codes))
    right = Motif._facing
    monkeypatch.setattr(Motif, "_facing", lambda self: right(self)[::-1])
    wrong = total(model, data, params, SOFT).stats
    assert np.abs(wrong.probs - expected).max() > 0.01


def expected_outside(model: Motif, params: MotifParams, codes: np.ndarray) -> np.ndarray:
    """Expected letters within sites, whichever strand."""
    open = open_places(np.ones(len(codes)), np.array([len(codes)]), model.width)
    resp = enumerated(model, params, codes, open)[1].sum(axis=0)
    inside = np.zeros(4)
    for t, w in itertools.product(range(len(codes) - model.width + 1), range(model.width)):
        inside[codes[t + w]] += resp[t]
    return inside


@budget(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.lists(st.integers(1, 7), min_size=1, max_size=3), st.integers(0, 10_000), st.booleans())
def test_any_shapes_agree_with_enumeration(width: int, sizes: list[int], seed: int, strands: bool) -> None:
    model = model_of("any", width, both_strands=strands)
    params, codes = params_of(model, seed), np.random.default_rng(seed).integers(-1, 4, sum(sizes))
    ends = np.cumsum(sizes)
    open = open_places(np.ones(len(codes)), ends, width)
    parts = [slice(a, z) for a, z in itertools.pairwise([0, *ends.tolist()])]
    expected = sum(enumerated(model, params, codes[part], open[part])[0] for part in parts)
    assert total(model, Memory(codes, ends=ends), params, SOFT).loglik == pytest.approx(expected, rel=1e-11, abs=1e-12)


# --- what EM promises ---


def longer(seed: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ends = np.cumsum(rng.integers(5, 14, 12))
    codes = rng.integers(0, 4, ends[-1])
    codes[rng.random(len(codes)) < 0.03] = -1
    return codes, ends, rng.integers(1, 4, 12).astype(float)


def plane(model: Motif, **settings: Any) -> Memory:
    codes, ends, weight = longer()
    rows = np.repeat(weight, np.diff(ends, prepend=0))
    return Memory(codes, weight=rows, given=closed(codes, ends, model.width), ends=ends, **settings)


@pytest.mark.parametrize("law", EXACT)
@pytest.mark.parametrize("form", FORMS, ids=lambda f: ", ".join(f) or "plain")
def test_score_is_the_slope_of_the_likelihood(law: str, form: dict[str, Any]) -> None:
    model = model_of(law, **form)
    params, data = params_of(model), plane(model)
    support = model.support(params)
    at = support.pack(params)

    def loglik(v: np.ndarray) -> float:
        return total(model, data, support.unpack(v, params), SOFT).loglik

    slopes = [(loglik(at + 1e-5 * e) - loglik(at - 1e-5 * e)) / 2e-5 for e in np.eye(at.size)]
    # central differences of a value near 300 with step 1e-5: 300 eps / 1e-5 and the third derivative times 1e-10
    np.testing.assert_allclose(model.score(params, total(model, data, params, SOFT).stats), slopes, atol=1e-7)


@pytest.mark.parametrize("law", EXACT)
@pytest.mark.parametrize("form", FORMS, ids=lambda f: ", ".join(f) or "plain")
def test_the_mstep_maximises_q(law: str, form: dict[str, Any]) -> None:
    model = model_of(law, **form)
    params = params_of(model)
    stats = total(model, plane(model), params, SOFT).stats
    fitted = model.mstep(stats, params)
    support = model.support(fitted)
    support.check(fitted)

    def q(v: np.ndarray) -> float:
        at = support.unpack(v, fitted)
        return model.q(at, stats) + (0.0 if model.prior is None else model.q(at, model.prior))

    at, rng = support.pack(fitted), np.random.default_rng(0)
    assert all(q(at) >= q(at + 0.1 * rng.standard_normal(at.size)) for _ in range(30))
    assert q(at) > q(support.pack(params))


@pytest.mark.parametrize("law", EXACT)
@pytest.mark.parametrize("form", FORMS, ids=lambda f: ", ".join(f) or "plain")
@pytest.mark.parametrize("how", ["em", "cem"])
def test_the_objective_never_falls(law: str, form: dict[str, Any], how: str) -> None:
    model = model_of(law, **form)
    result = fit(model, plane(model), params_of(model), how, accelerate="none", max_iter=60)
    assert result.status is not Status.FELL
    assert np.diff(result.trace.objective).min(initial=0.0) >= -1e-12 * abs(result.objective)
    prior = 0.0 if model.prior is None else model.q(result.params, model.prior)
    if how == "em":
        assert result.objective == pytest.approx(result.loglik + prior, rel=1e-13)


@pytest.mark.parametrize("form", [{"palindrome": True}, {"palindrome": True, "width": 3}, {"held": FORMS[6]["held"]}], ids=str)
def test_ties_and_fixed_entries_hold(form: dict[str, Any]) -> None:
    model = model_of("any", **form)
    result = fit(model, plane(model), params_of(model), max_iter=20)
    columns = model.columns(result.params)
    assert columns.sum(axis=1) == pytest.approx(np.ones(model.width))
    if model.palindrome:
        np.testing.assert_allclose(columns, columns[::-1, ::-1], atol=1e-15)
        assert model.support(result.params).entries["probs"].count == (3 if model.width == 2 else 4)
    else:
        assert columns[0, 0] == 0.1
        assert model.support(result.params).entries["probs"].count == 5


@pytest.mark.parametrize("law", sorted(LAWS))
def test_chunks_threads_and_weights(law: str) -> None:
    model = model_of(law, both_strands=True)
    params = params_of(model)
    whole = total(model, plane(model), params, SOFT)
    for settings in ({"rows": 1, "n_jobs": 1}, {"rows": 25, "n_jobs": 2}):
        found = total(model, plane(model, **settings), params, SOFT)
        assert found.loglik == pytest.approx(whole.loglik, rel=1e-13)
        np.testing.assert_allclose(found.stats.probs, whole.stats.probs, rtol=1e-11, atol=1e-13)
        assert found.stats.constant == pytest.approx(whole.stats.constant, rel=1e-11, abs=1e-12)
    two, three = (total(model, plane(model, rows=25, n_jobs=n), params, SOFT) for n in (2, 3))
    assert identical(two.stats, three.stats)
    codes, ends, _ = longer()
    twice = Memory(np.tile(codes, 2), ends=np.concatenate([ends, ends + ends[-1]]))
    doubled = Memory(codes, weight=np.full(len(codes), 2.0), ends=ends)
    a, b = (total(model, data, params, SOFT) for data in (twice, doubled))
    assert a.loglik == pytest.approx(b.loglik, rel=1e-13) and a.n == b.n
    np.testing.assert_allclose(a.stats.background, b.stats.background, rtol=1e-12)


def test_a_planted_bug_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts one column off make the objective fall; refusals left out make lambda wrong."""
    model = model_of("one", 4)
    right = windows.letter_counts
    monkeypatch.setattr(windows, "letter_counts", lambda *a: np.roll(right(*a), 1, axis=1))
    assert fit(model, plane(model), params_of(model), accelerate="none").status is Status.FELL


def test_refused_offers_belong_to_the_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    from estep.models import sites

    model = model_of("any")
    data, params = plane(model), params_of(model)
    model.score(params, total(model, data, params, SOFT).stats)
    right = sites._counted
    monkeypatch.setattr(sites, "_counted", lambda text, resp, stays, rate, sums: right(
        dataclasses.replace(text, open=np.where(np.isneginf(text.open), -np.inf, 0.0)), resp, stays, rate, sums
    ))  # fmt: skip
    wrong = model.score(params, total(model, data, params, SOFT).stats)
    monkeypatch.undo()
    assert np.abs(wrong - model.score(params, total(model, data, params, SOFT).stats)).max() > 1e-2


# --- the heuristic ---


def test_windows_apart_hold_at_most_one_site_and_say_that_they_are_a_heuristic() -> None:
    model = model_of("any (windows)", 3)
    assert model.sites.certificate == "heuristic" and all(LAWS[law].certificate == "exact" for law in EXACT)
    codes, ends = np.tile([0, 1], 15), np.array([30])
    probs = np.array([[0.97, 0.01, 0.01, 0.01], [0.01, 0.97, 0.01, 0.01], [0.97, 0.01, 0.01, 0.01]])
    params = MotifParams(probs, np.full(4, 0.25), np.array([0.2, 0.8]))
    data = Memory(codes, ends=ends)
    resp = model.posteriors(params, next(data.chunks())).resp[0]
    sums = np.convolve(resp, np.ones(3))
    assert sums.max() <= 1.0 + 1e-12
    monkey = windows.thinned.reference
    raw = np.array([[0.9, 0.8, 0.0, 0.3, 0.1]])
    monkey(raw, np.array([5]), 2)
    np.testing.assert_allclose(raw, [[0.9 / 1.7, 0.8 / 1.7, 0.0, 0.3, 0.1]])
    result = fit(model, data, params, Variant(certificate="heuristic"), max_iter=50)
    assert result.certificate == "heuristic"
    assert fit(model_of("any", 3), data, params, max_iter=50).loglik >= result.loglik


# --- laws between models ---


def test_one_site_is_the_alignment_chain_under_equal_priors() -> None:
    """Insert, match, insert with p1 = p2 gives every place of a sequence the same prior: posteriors and counts agree."""
    rng, width = np.random.default_rng(4), 3
    codes, ends = rng.integers(0, 4, 36), np.array([12, 24, 36])
    columns, flank = rng.dirichlet(np.ones(4), width), rng.dirichlet(np.ones(4))
    k = width + 2
    moves = np.zeros((k, k + 1))
    moves[0, :2] = moves[-1, -2:] = [0.7, 0.3]
    moves[np.arange(1, k - 1), np.arange(2, k)] = 1.0
    chain = Latent(Chain(end=True), Categorical((4,)), k)
    at = LatentParams(ChainParams(np.eye(k)[0], moves), CategoricalParams(np.vstack([flank, columns, flank])[:, None]))
    told = next(Memory(codes[:, None].astype(float), ends=ends).chunks())
    resp = chain.explain(at, told).resp

    model = Motif(width, 4)
    inner = np.zeros(36)
    inner[[0, 12, 24]] = inner[[9, 21, 33]] = -np.inf  # a flank has a letter at least
    place = MotifParams(columns, flank, np.array([1.0, 0.0]))
    data = Memory(codes, given=inner, ends=ends)
    seen = model.posteriors(place, next(data.chunks())).resp[0]
    np.testing.assert_allclose(seen, resp[:, 1], atol=1e-13)
    family = chain.estep(at, told, SOFT).stats.family
    counts = model.estep(place, next(data.chunks()), SOFT).stats
    np.testing.assert_allclose(counts.probs, family.totals[1:-1, :, 0], atol=1e-12)
    unequal = dataclasses.replace(at, structure=ChainParams(np.eye(k)[0], np.where(moves == 0.7, 0.6, moves)))
    unequal.structure.transmat[0, 1] = 0.4
    unequal.structure.transmat[-1, -2:] = [0.9, 0.1]
    assert np.abs(chain.explain(unequal, told).resp[:, 1] - seen).max() > 1e-3  # unequal priors do not


def test_any_number_is_a_chain_of_background_and_motif() -> None:
    """Where sequences may stop within a motif, a chain with states background, M1, M2 has the same density in the long run."""
    model = model_of("any", 2)
    params = params_of(model, 6)
    rate = float(params.shares[0])
    moves = np.array([[1.0 - rate, rate, 0.0], [0.0, 0.0, 1.0], [1.0 - rate, rate, 0.0]])
    chain = Latent(Chain(end=True), Categorical((4,)), 3)
    # a sequence of n letters with room for none in its last place: the last step is free of the choice
    codes = np.random.default_rng(0).integers(0, 4, 40)
    ended = np.hstack([moves, np.array([[1.0], [0.0], [1.0]])])
    at = LatentParams(
        ChainParams(np.array([1.0 - rate, rate, 0.0]), ended),
        CategoricalParams(np.vstack([params.background, params.probs])[:, None]),
    )
    told = next(Memory(codes[:, None].astype(float), ends=np.array([40])).chunks())
    chained = float(chain.explain(at, told).log_density.sum())
    own = total(model, Memory(codes, ends=np.array([40])), params, SOFT).loglik
    # paths that end outside a site differ in one factor only: at the last letter no site could begin, so none was refused
    last = np.log1p(-rate)
    resp = model.posteriors(params, next(Memory(codes, ends=np.array([40])).chunks())).resp[0]
    inside = resp[38]  # the site at the last two letters leaves no choice at the last
    assert own + np.log((1.0 - inside) * np.exp(last) + inside) == pytest.approx(chained, rel=1e-12)


# --- what is refused ---


def test_what_has_no_place_is_named() -> None:
    data = Memory(np.array([0, 1, 2, 3]), ends=np.array([3, 4]))
    with pytest.raises(ImpossibleRow, match="row 3 begins a sequence that has no place for a site of 2 letters"):
        total(model_of("one"), data, params_of(model_of("one")), SOFT)
    assert np.isfinite(total(model_of("at most one"), data, params_of(model_of("at most one")), SOFT).loglik)


def test_what_it_cannot_do_is_said() -> None:
    model = model_of("one")
    with pytest.raises(ValueError, match="give ends to the data"):
        total(model, Memory(np.array([0, 1, 2])), params_of(model), SOFT)
    with pytest.raises(ValueError, match="softly or by the best arrangement"):
        total(model, Memory(np.array([0, 1, 2]), ends=np.array([3])), params_of(model), Sampled())
    with pytest.raises(ValueError, match="has no complements"):
        Motif(3, 20, palindrome=True)
    with pytest.raises(ValueError, match="law='twice' is unknown"):
        Motif(3, 4, "twice")
    with pytest.raises(ValueError, match="tied in pairs"):
        Motif(2, 4, complement=(3, 2, 1, 0), palindrome=True, held=np.zeros((2, 4)))


def test_samples_have_the_sites_that_they_were_drawn_with() -> None:
    model = model_of("any", 6, both_strands=True)
    sharp = np.full((6, 4), 0.01) + 0.96 * np.eye(4)[[0, 1, 0, 2, 2, 1]]
    params = MotifParams(sharp, np.full(4, 0.25), np.array([0.1, 0.9]))
    ends = np.full(200, 40).cumsum()
    codes, labels = model.sample(params, 8000, np.random.default_rng(0), ends=ends)
    begins = int((labels == 0).sum())
    assert begins == int((labels == 5).sum()) > 400
    near = fit(model, Memory(codes, ends=ends), params)
    # standard errors: of a probability 0.03 (1 - 0.97) from so many sites, and of a share of some 5,000 choices
    assert np.abs(near.params.probs - sharp).max() < 6 * np.sqrt(0.97 * 0.03 / begins)
    assert abs(near.params.shares[0] - 0.1) < 6 * np.sqrt(0.1 * 0.9 / (begins / 0.1))
