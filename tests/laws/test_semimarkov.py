"""The laws of a semi-Markov chain of labels, its durations, and geometric durations as a hidden Markov chain."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from estep import families
from estep.core.assign import HARD, SOFT, Entropic, Sampled, Tempered
from estep.core.protocols import Structure
from estep.core.record import Array
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.visit import total
from estep.families.geometric import GeometricParams
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.families.poisson import PoissonParams
from estep.kernels.reference_semimarkov import counts_reference, log_prior_of_cut
from estep.models.latent import Latent, LatentParams, forbid
from estep.structures import durations, semimarkov_counts
from estep.structures.chain import Chain, ChainParams
from estep.structures.durations import DurationCounts, at_risk
from estep.structures.semimarkov import SemiMarkov
from estep.structures.semimarkov_counts import SemiMarkovParams, lasting_of
from estep.testing.case_of_structure import StructureCase, structure_case
from estep.testing.structure import STRUCTURE_LAWS, samples_follow_the_prior

ENDS = np.array([3, 4, 6])


def log_prior(structure: SemiMarkov) -> Any:
    """log p(z) of sequences that end at ENDS, from the definition."""

    def found(params: SemiMarkovParams, path: NDArray[np.intp]) -> float:
        shares, tails = (np.exp(part) for part in structure.durations.tables(params.duration, 6))
        closing, value = (tails if structure.censored else shares), 0.0
        for a, z in zip([0, *ENDS[:-1]], ENDS, strict=True):
            cut = tuple((int(j), len(list(run))) for j, run in itertools.groupby(path[a:z]))
            value += log_prior_of_cut(cut, params.startprob, params.transmat, shares, closing, lasting_of(params))
        return value

    return found


CHAINS = {
    "geometric": SemiMarkov(families.Geometric()),
    "Poisson": SemiMarkov(families.Poisson()),
    "Poisson of at most three": SemiMarkov(families.Poisson(), max_duration=3),
    "nonparametric, cyclic": SemiMarkov(families.Categorical((4,)), topology="cyclic"),
    "zero-inflated, left to right": SemiMarkov(families.ZeroInflated(families.Poisson()), topology="left-to-right"),
    "binomial, ending": SemiMarkov(families.Binomial(5), censored=False),
    "absorbing": SemiMarkov(families.Geometric(), absorbing=(1,)),
}


def case_of(structure: SemiMarkov, **settings: Any) -> StructureCase:
    bound = structure.bound(6)
    return structure_case(bound, 3, ends=ENDS, log_prior_of_path=log_prior(bound), **settings)


@pytest.mark.parametrize("name", CHAINS)
def test_structure_laws(name: str) -> None:
    """All laws; but where last segments end with their sequence, lengths are given and no sample has them."""
    case = case_of(CHAINS[name])
    for law in STRUCTURE_LAWS:
        if law is not samples_follow_the_prior or CHAINS[name].censored:
            law(case)


def test_structure_laws_with_fixed_and_tied_entries() -> None:
    structure = SemiMarkov(families.Poisson()).bound(6)
    held = np.full((3, 3), np.nan)
    held[0] = [0.0, 0.3, 0.7]
    constraints = Constraints(
        {"transmat": held, "duration_rates": np.array([[2.0], [np.nan], [np.nan]])},
        {"duration_rates": np.array([[0], [1], [1]])},
    )
    params = SemiMarkovParams(
        np.array([0.2, 0.5, 0.3]),
        np.array([[0, 0.3, 0.7], [0.6, 0, 0.4], [0.1, 0.9, 0]]),
        PoissonParams(np.array([[2.0], [0.7], [0.7]])),
    )
    case = case_of(structure, params=params, constraints=constraints)
    assert case.support.count == 2 + 2 + 1
    names = ("soft_objective_sums_over_paths", "q_is_the_expected_log_prior", "fit_maximises_q", "score_is_the_gradient_of_q")
    for law in STRUCTURE_LAWS:
        if law.__name__ in names:
            law(case)


def test_it_is_a_structure() -> None:
    assert isinstance(SemiMarkov(families.Geometric()), Structure)


def test_the_laws_catch_censored_segments_that_are_counted_as_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: Any, sums: Any) -> Any:
        nothing = np.zeros_like(sums.running)
        return semimarkov_counts.SemiMarkovCounts(sums.first, sums.pairs, DurationCounts(sums.ended + sums.running, nothing))

    monkeypatch.setattr(semimarkov_counts, "counted", wrong)
    with pytest.raises(AssertionError, match="q_is_the_expected_log_prior"):
        for law in STRUCTURE_LAWS:
            law(case_of(SemiMarkov(families.Poisson())))


# --- geometric durations are a hidden Markov chain ---


def the_same_chain(seed: int = 0) -> tuple[Memory, Latent, LatentParams, Latent, LatentParams]:
    """Four sequences (one of a single row) with gaps, weights and labels; a chain, and the same with geometric durations."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((300, 1)) + 1.5 * np.repeat(rng.integers(0, 3, 60), 5)[:, None]
    x[rng.random(300) < 0.1] = np.nan
    ends, labels = np.array([100, 101, 220, 300]), np.full(300, -1)
    labels[[5, 150]] = [1, 2]
    data = Memory(x, np.repeat([1.0, 2.0, 0.5, 1.0], np.diff(ends, prepend=0)), labels, ends=ends)
    rows = NormalParams(np.array([[0.0], [1.5], [3.0]]), np.ones((3, 1, 1)))
    leave, start = np.array([0.2, 0.1, 0.3]), np.array([0.2, 0.3, 0.5])
    others = np.array([[0.0, 0.4, 0.6], [0.7, 0.0, 0.3], [0.5, 0.5, 0.0]])
    chain, semi = Latent(Chain(), Normal(), 3).bind(data), Latent(SemiMarkov(families.Geometric()), Normal(), 3).bind(data)
    moves = np.diag(1.0 - leave) + leave[:, None] * others
    durations_ = GeometricParams(leave[:, None])
    return (
        data,
        chain,
        LatentParams(ChainParams(start, moves), rows),
        semi,
        LatentParams(SemiMarkovParams(start, others, durations_), rows),
    )


def as_moves(params: SemiMarkovParams) -> Array:
    leave = params.duration.probs
    return np.asarray(np.diag(1.0 - leave[:, 0]) + leave * params.transmat)


@pytest.mark.parametrize("assign", [SOFT, HARD, Tempered(0.4)], ids=lambda a: a.name)
def test_geometric_durations_are_a_hidden_markov_chain(assign: Any) -> None:
    """Likelihood, objective and every iterate of 20 passes, right-censored last segments included, to rounding."""
    data, chain, here, semi, there = the_same_chain()
    for _ in range(20):
        one, two = total(chain, data, here, assign), total(semi, data, there, assign)
        assert two.loglik == pytest.approx(one.loglik, rel=1e-12)
        assert two.objective == pytest.approx(one.objective, rel=1e-12)
        here, there = chain.mstep(one.stats, here), semi.mstep(two.stats, there)
        np.testing.assert_allclose(as_moves(there.structure), here.structure.transmat, rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(there.family.means, here.family.means, rtol=1e-10)


def test_what_is_explained_of_geometric_durations() -> None:
    data, chain, here, semi, there = the_same_chain()
    chunk = next(iter(data.chunks()))
    one, two = chain.explain(here, chunk), semi.explain(there, chunk)
    np.testing.assert_allclose(two.log_density, one.log_density, atol=1e-11)
    np.testing.assert_allclose(two.resp, one.resp, atol=1e-11)
    np.testing.assert_array_equal(two.path, one.path)
    # a row is at most 300 steps from where its running sum begins: 300 roundings of numbers near one


def test_a_planted_bug_parts_the_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: last segments left out of what was exposed to ending."""
    monkeypatch.setattr(
        durations, "at_risk", lambda counts: at_risk(DurationCounts(counts.ended, np.zeros_like(counts.running)))
    )
    data, chain, here, semi, there = the_same_chain()
    here, there = (m.mstep(total(m, data, p, SOFT).stats, p) for m, p in ((chain, here), (semi, there)))
    assert np.abs(as_moves(there.structure) - here.structure.transmat).max() > 1e-3


# --- everything at once ---

TINY = LatentParams(
    SemiMarkovParams(np.array([0.6, 0.4]), 1.0 - np.eye(2), PoissonParams(np.array([[1.2], [0.4]]))),
    NormalParams(np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([[[1.0, 0.3], [0.3, 2.0]], [[0.5, -0.2], [-0.2, 1.5]]])),
)


def tiny(**settings: Any) -> tuple[Latent, Memory]:
    """Sequences of three, four and one rows: gaps, a row that is missing altogether, weights, known labels."""
    x = np.random.default_rng(1).normal(size=(8, 2))
    x[[0, 4], [1, 0]] = np.nan
    x[2] = np.nan
    weight, labels = np.repeat([1.0, 2.0, 0.5], [3, 4, 1]), np.array([-1, -1, -1, -1, -1, 0, -1, -1])
    data = Memory(x, weight, labels, ends=np.array([3, 7, 8]), **settings)
    return Latent(SemiMarkov(families.Poisson()), Normal(), 2).bind(data), data


@pytest.mark.parametrize("rows", [1, 100])
def test_brute_force(rows: int) -> None:
    model, data = tiny(rows=rows)
    assert len(list(data.chunks())) == (3 if rows == 1 else 1)
    b = forbid(model.family.log_density(TINY.family, model.family.encode(data.x)), np.asarray(data.allowed))
    shares, tails = (np.exp(part) for part in model.structure.durations.tables(TINY.structure.duration, 4))
    told = [
        counts_reference(TINY.structure.startprob, TINY.structure.transmat, shares, tails, b[a:z])
        for a, z in ((0, 3), (3, 7), (7, 8))
    ]
    weight = (1.0, 2.0, 0.5)
    seen = total(model, data, TINY, SOFT)
    counts = seen.stats.structure
    assert seen.loglik == pytest.approx(sum(w * t.loglik for w, t in zip(weight, told, strict=True)), rel=1e-13)
    np.testing.assert_allclose(counts.first, sum(w * t.first for w, t in zip(weight, told, strict=True)), rtol=1e-12)
    lengths = counts.lengths.padded(4)
    np.testing.assert_allclose(lengths.ended, sum(w * t.ended for w, t in zip(weight, told, strict=True)), atol=1e-13)
    np.testing.assert_allclose(lengths.running, sum(w * t.running for w, t in zip(weight, told, strict=True)), atol=1e-13)
    resp = np.vstack([w * t.resp for w, t in zip(weight, told, strict=True)])
    expected = model.family.stats(TINY.family, model.family.encode(data.x), resp)
    np.testing.assert_allclose(seen.stats.family.features, expected.features, rtol=1e-11, atol=1e-12)


def test_fishers_identity() -> None:
    """The gradient of q at the parameters that made the statistics is that of the observed log-likelihood."""
    model, data = tiny()
    support = model.support(TINY)
    at = support.pack(TINY)

    def loglik(v: Array) -> float:
        return float(total(model, data, support.unpack(v, TINY), SOFT).loglik)

    slopes = [(loglik(at + 1e-5 * e) - loglik(at - 1e-5 * e)) / 2e-5 for e in np.eye(at.size)]
    # central differences of a value near 30 with step 1e-5 are good to 1e-5 squared and to 30 eps / 1e-5
    np.testing.assert_allclose(model.score(TINY, total(model, data, TINY, SOFT).stats), slopes, atol=1e-8)


def test_drawn_paths_have_the_posterior() -> None:
    """Mean counts of 1500 draws; an entry's standard error is at most 2 / sqrt(1500), and 6 of them are 2e-9 of a normal."""
    model, data = tiny()
    counts = total(model, data, TINY, SOFT).stats.structure
    draws = [total(model, data, TINY, Sampled(0, i)).stats.structure for i in range(1500)]
    for told, drawn in ((counts.first, [d.first for d in draws]), (counts.pairs, [d.pairs for d in draws])):
        np.testing.assert_allclose(np.mean(drawn, axis=0), told, atol=6 * 2 / np.sqrt(1500))
    np.testing.assert_array_equal(total(model, data, TINY, Sampled(0, 7)).stats.structure.pairs, draws[7].pairs)


def test_scores_of_sequences_add_up() -> None:
    model, data = tiny()
    chunk = next(iter(data.chunks()))
    support = model.structure.support(TINY.structure, Constraints())
    b = forbid(model.family.log_density(TINY.family, model.family.encode(data.x)), np.asarray(data.allowed))
    resp = np.full(b.shape, np.nan)
    each, ends = model.structure.sequence_scores(TINY.structure, lambda r: b[r], chunk, support, resp.__setitem__)
    whole = model.structure.score(TINY.structure, total(model, data, TINY, SOFT).stats.structure, support)
    np.testing.assert_allclose(np.array([1.0, 2.0, 0.5]) @ each, whole, rtol=1e-10, atol=1e-12)
    assert ends.tolist() == [3, 7, 8]
    np.testing.assert_allclose(resp.sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("assign", [SOFT, HARD, Tempered(0.5)], ids=lambda a: a.name)
@pytest.mark.parametrize("law", ["poisson", "capped", "negative binomial", "nonparametric"])
def test_the_objective_never_falls(assign: Any, law: str) -> None:
    family = {"negative binomial": families.NegativeBinomial(), "nonparametric": families.Categorical((12,))}.get(
        law, families.Poisson()
    )
    rng = np.random.default_rng(4)
    x = np.repeat(np.arange(40) % 2 * 2.0, rng.poisson(4, 40) + 1)[:, None]
    x = x + rng.standard_normal(x.shape)
    data = Memory(x, ends=np.array([30, 90, len(x)]))
    model = Latent(SemiMarkov(family, max_duration=12 if law == "capped" else None), Normal(), 2).bind(data)
    params = LatentParams(model.structure.start(2), NormalParams(np.array([[0.5], [1.5]]), np.ones((2, 1, 1))))
    values = []
    for _ in range(8):
        seen = total(model, data, params, assign)
        values.append(seen.objective)
        params = model.mstep(seen.stats, params)
    assert np.diff(values).min() > -1e-9 * abs(values[0])
    assert values[-1] > values[0] + 1.0


def test_an_assignment_without_a_recursion_is_refused() -> None:
    model, data = tiny()
    with pytest.raises(ValueError, match="a semi-Markov chain has no recursion for it"):
        total(model, data, TINY, Entropic(0.1))


def test_durations_of_long_sequences_need_an_end() -> None:
    data = Memory(np.zeros((200_000, 1)), ends=np.array([200_000]))
    with pytest.raises(ValueError, match="max_duration: durations of up to 200000 rows"):
        SemiMarkov(families.Poisson()).bind(data)
    assert SemiMarkov(families.Poisson(), max_duration=100).bind(data).rows == 200_000


def test_refusals() -> None:
    with pytest.raises(TypeError, match="duration must be a family of counts"):
        SemiMarkov(Normal())
    with pytest.raises(TypeError, match="duration must be a family of counts"):
        SemiMarkov(families.Poisson)
    with pytest.raises(ValueError, match="max_duration=0 must be an integer >= 1"):
        SemiMarkov(families.Poisson(), max_duration=0)
    with pytest.raises(ValueError, match="topology='ring' is unknown"):
        SemiMarkov(families.Poisson(), topology="ring")
    with pytest.raises(ValueError, match=r"prior\['durations'\] must be a number >= 0"):
        SemiMarkov(families.Poisson()).bound(9).prior(2, {"durations": -1.0})
    held = np.full((2, 2), 0.5)
    with pytest.raises(ValueError, match="the topology has no such move"):
        SemiMarkov(families.Geometric()).bound(9).support(
            SemiMarkov(families.Geometric()).bound(9).start(2), Constraints({"transmat": held})
        )


def test_a_fit_of_a_sample_finds_its_durations() -> None:
    """Poisson durations of mean 9 and 4 rows, 60 sequences of 60 rows: about 600 segments, standard errors near 0.13."""
    structure = SemiMarkov(families.Poisson()).bound(60)
    truth = LatentParams(
        SemiMarkovParams(np.array([0.5, 0.5]), 1.0 - np.eye(2), PoissonParams(np.array([[8.0], [3.0]]))),
        NormalParams(np.array([[0.0], [2.5]]), np.ones((2, 1, 1))),
    )
    rng, ends = np.random.default_rng(0), np.arange(60, 3601, 60)
    labels = structure.sample(truth.structure, 3600, rng, ends=ends)
    data = Memory(Normal().sample(truth.family, labels, rng), ends=ends)
    model = Latent(SemiMarkov(families.Poisson()), Normal(), 2).bind(data)
    begin = dataclasses.replace(truth, structure=model.structure.start(2))
    result = fit(model, data, begin)
    assert result.converged
    np.testing.assert_allclose(result.params.structure.duration.rates[:, 0], [8.0, 3.0], atol=0.6)
    assert result.loglik > total(model, data, truth, SOFT).loglik
