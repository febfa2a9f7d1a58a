"""Known sites and priors of letters in models of motifs and profiles: all arrangements written out, and ascent."""

from __future__ import annotations

import dataclasses
import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest

from estep.core.assign import HARD, SOFT, ImpossibleRow
from estep.core.letters import DNA
from estep.core.result import Status
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.visit import total
from estep.estimators.letters import open_places
from estep.kernels.reference_windows import arrangements, letters_given, prior_any, prior_one
from estep.models.dirichlet_mixture import DirichletMixture
from estep.models.motif import Motif, MotifParams
from estep.models.profile import Profile, ProfileParams

SIZES = (7, 6, 5)
KINDS = DirichletMixture(np.array([0.6, 0.4]), np.array([[0.3, 0.2, 0.3, 0.2], [3.0, 2.0, 2.0, 3.0]]))


def texts(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    codes = np.random.default_rng(seed).integers(0, 4, sum(SIZES))
    codes[2] = -1
    return codes, np.cumsum(SIZES)


def params_of(model: Any, seed: int = 0) -> Any:
    neutral = model.start()
    support = model.support(neutral)
    return support.unpack(0.7 * np.random.default_rng(seed).standard_normal(support.count), neutral)


def told(strands: int, known: dict[int, list[int]], permitted: dict[int, list[int]] | None = None) -> np.ndarray:
    """Labels (n, 1 + S): row -> strands of a known site; sequence -> rows where sites are permitted."""
    allowed = np.ones((sum(SIZES), 1 + strands), dtype=bool)
    for j, rows in (permitted or {}).items():
        begin = sum(SIZES[:j])
        allowed[begin : begin + SIZES[j], 1:] = False
        allowed[[begin + r for r in rows], 1:] = True
    for row, which in known.items():
        allowed[row] = False
        allowed[row, [1 + s for s in which]] = True
    return allowed


def agrees(sites: tuple[tuple[int, int], ...], allowed: np.ndarray) -> bool:
    begins = dict(sites)
    return all(allowed[t, 1 + begins[t]] if t in begins else allowed[t, 0] for t in range(len(allowed)))


def enumerated(model: Motif, params: MotifParams, codes: np.ndarray, allowed: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Log of the sum, log of the largest term and posteriors (S, n) over the arrangements that agree with labels."""
    forward, rate, size = model.columns(params), float(params.shares[0]), len(codes)
    other = forward[::-1][:, list(DNA.complement or ())]
    columns = np.stack([forward, other]) if model.both_strands else forward[None]
    open = np.exp(open_places(np.ones(size), np.array([size]), model.width))
    single = model.law != "any"
    prior = partial(prior_one if single else prior_any, length=size, width=model.width, strands=len(columns), open=open)
    named = {"chance": rate} if single else {"rate": rate}
    resp, values = np.zeros((len(columns), size)), []
    for sites in arrangements(size, model.width, len(columns), 1 if single else None):
        if agrees(sites, allowed):
            value = prior(sites, **named) * letters_given(codes.tolist(), sites, columns, params.background)
            values.append(value)
            for place, strand in sites:
                resp[strand, place] += value
    return float(np.log(sum(values))), float(np.log(max(values))), resp / sum(values)


LABELS = [
    ({3: [0]}, {}),
    ({3: [0], 9: [1]}, {}),
    ({9: [0, 1]}, {0: [1, 4]}),
    ({}, {0: [0, 2, 5], 2: [1, 3]}),
]


@pytest.mark.parametrize("law", ["one", "at most one", "any"])
@pytest.mark.parametrize("known, permitted", LABELS)
def test_labels_leave_the_arrangements_that_agree(law: str, known: Any, permitted: Any) -> None:
    model = Motif(2, 4, law, DNA.complement, both_strands=True)
    params, (codes, ends), allowed = params_of(model), texts(), told(2, known, permitted)
    if law == "any":
        params = dataclasses.replace(params, shares=np.array([0.15, 0.85]))
    data = Memory(codes, allowed=allowed, ends=ends)
    parts = [slice(a, z) for a, z in itertools.pairwise([0, *ends.tolist()])]
    found = [enumerated(model, params, codes[part], allowed[part]) for part in parts]
    resp = np.hstack([each[2] for each in found])
    np.testing.assert_allclose(model.posteriors(params, next(data.chunks())).resp, resp, rtol=1e-12, atol=1e-14)
    seen = total(model, data, params, SOFT)
    assert seen.loglik == pytest.approx(sum(each[0] for each in found), rel=1e-12)
    assert total(model, data, params, HARD).objective == pytest.approx(sum(each[1] for each in found), rel=1e-12)
    free = total(model, Memory(codes, ends=ends), params, SOFT)
    assert (
        free.loglik > seen.loglik + 0.1 and np.abs(free.stats.probs - seen.stats.probs).max() > 0.01
    )  # labels do say something


@pytest.mark.parametrize("law", ["one", "at most one", "any"])
def test_the_score_is_the_slope_with_labels_and_a_mixture_of_kinds(law: str) -> None:
    model = Motif(2, 4, law, DNA.complement, both_strands=True, mixture=KINDS, imagined=np.full(4, 0.1))
    params = params_of(model, 3)
    if law == "any":
        params = dataclasses.replace(params, shares=np.array([0.15, 0.85]))
    codes, ends = texts(4)
    data = Memory(codes, allowed=told(2, *LABELS[2]), ends=ends)
    support = model.support(params)
    at = support.pack(params)

    def height(v: np.ndarray) -> float:
        here = support.unpack(v, params)
        return total(model, data, here, SOFT).loglik + model.q(here, model.prior)  # type: ignore[arg-type]

    slopes = [(height(at + 1e-5 * e) - height(at - 1e-5 * e)) / 2e-5 for e in np.eye(at.size)]
    stats = total(model, data, params, SOFT).stats + model.prior
    # central differences of values near 30 with step 1e-5: 30 eps / 1e-5 and the third derivative times 1e-10
    np.testing.assert_allclose(model.score(params, stats), slopes, atol=1e-7)


def motif_problem(form: dict[str, Any]) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(7)
    ends = np.cumsum(rng.integers(6, 14, 12))
    codes = rng.integers(0, 4, ends[-1])
    allowed = np.ones((ends[-1], 2), dtype=bool)
    allowed[[1, ends[3] + 2]] = [False, True]
    model = Motif(3, 4, complement=DNA.complement, mixture=KINDS, **form)
    return model, Memory(codes, allowed=allowed, ends=ends), params_of(model)


def profile_problem(form: dict[str, Any]) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(8)
    ends = np.cumsum(rng.integers(2, 6, 10))
    model = Profile(3, 4, imagined=(np.array([0.1, 0.0, 0.2, 0.1]), 0.5, 0.5), mixture=KINDS, **form)
    return model, Memory(rng.integers(-1, 4, ends[-1]), ends=ends), params_of(model)


HELD = np.array([[0.1, np.nan, np.nan, 0.0], [np.nan] * 4, [np.nan] * 4])
PROBLEMS = {
    "one": lambda: motif_problem({}),
    "any": lambda: motif_problem({"law": "any"}),
    "palindrome": lambda: motif_problem({"palindrome": True, "law": "at most one"}),
    "held": lambda: motif_problem({"held": HELD}),
    "profile": lambda: profile_problem({}),
    "profile, held": lambda: profile_problem({"held": {"match": HELD}}),
}


@pytest.mark.parametrize("name, how", [*itertools.product(PROBLEMS, ["em", "cem"]), ("one", "gem")])
def test_a_mixture_of_kinds_never_lets_the_objective_fall(name: str, how: str) -> None:
    model, data, begin = PROBLEMS[name]()
    result = fit(model, data, begin, how, accelerate="none", max_iter=80)
    assert result.status is not Status.FELL
    assert np.diff(result.trace.objective).min(initial=0.0) >= -1e-12 * abs(result.objective)
    if how == "em":
        assert result.objective == pytest.approx(result.loglik + model.q(result.params, model.prior), rel=1e-13)
        quick = fit(model, data, begin, "em", max_iter=300)
        assert quick.objective >= result.objective - 1e-6


def test_the_profile_s_score_is_the_slope() -> None:
    model, data, params = profile_problem({})
    support = model.support(params)
    at = support.pack(params)

    def height(v: np.ndarray) -> float:
        here = support.unpack(v, params)
        return float(total(model, data, here, SOFT).loglik + model.q(here, model.prior))

    slopes = [(height(at + 1e-5 * e) - height(at - 1e-5 * e)) / 2e-5 for e in np.eye(at.size)]
    np.testing.assert_allclose(model.score(params, total(model, data, params, SOFT).stats + model.prior), slopes, atol=2e-7)


def test_posterior_means_are_not_where_the_objective_is_highest() -> None:
    """The published step, posterior means weighted by what the counts say of kinds, leads down from the mode."""
    from scipy.special import gammaln

    model, data, begin = motif_problem({})
    mode = fit(model, data, begin, tol=1e-12)
    counts = total(model, data, mode.params, SOFT).stats.probs
    after = counts[:, None] + KINDS.alphas
    evidence = gammaln(after).sum(axis=2) - gammaln(after.sum(axis=2))
    evidence -= gammaln(KINDS.alphas).sum(axis=1) - gammaln(KINDS.alphas.sum(axis=1))
    rho = KINDS.weights * np.exp(evidence)
    rho /= rho.sum(axis=1, keepdims=True)
    mean = np.einsum("wj,wja->wa", rho, after / after.sum(axis=2, keepdims=True))
    there = dataclasses.replace(mode.params, probs=mean)
    assert total(model, data, there, SOFT).loglik + model.q(there, model.prior) < mode.objective - 1e-3
    assert model.mstep(total(model, data, mode.params, SOFT).stats, mode.params).probs == pytest.approx(
        mode.params.probs, abs=1e-5
    )


def test_one_kind_is_pseudocounts() -> None:
    alpha = np.array([0.3, 1.2, 0.5, 0.7])
    one = DirichletMixture(np.ones(1), alpha[None])
    codes, ends = texts(2)
    data = Memory(codes, ends=ends)
    kind, plain = Motif(2, 4, mixture=one), Motif(2, 4, imagined=alpha)
    begin = params_of(plain)
    a, b = (fit(model, data, begin, accelerate="none", tol=1e-12) for model in (kind, plain))
    np.testing.assert_allclose(a.params.probs, b.params.probs, atol=1e-9)
    stats = total(plain, data, begin, SOFT).stats
    mean = (stats.probs + alpha) / (stats.probs + alpha).sum(axis=1, keepdims=True)  # posterior mean of the columns
    np.testing.assert_allclose(kind.mstep(stats, begin).probs, mean, rtol=1e-12)


def test_the_density_of_kinds_integrates_to_one() -> None:
    """Over log odds on two letters, by quadrature; entries that are no draws leave the scale to the others."""
    from scipy.integrate import quad

    two = DirichletMixture(np.array([0.25, 0.75]), np.array([[0.4, 2.0], [5.0, 1.5]]))

    def density(z: float) -> float:
        p = 1.0 / (1.0 + np.exp(-z))
        return float(np.exp(two.log_density(np.array([[p, 1.0 - p]]))))

    assert quad(density, -60, 60, limit=400)[0] == pytest.approx(1.0, abs=1e-7)
    f = np.array([[0.9, 0.1], [0.2, 0.8]])
    by_hand = two.weights * np.prod(f[:, None] ** two.alphas, axis=2) / np.array([_beta(0.4, 2.0), _beta(5.0, 1.5)])
    assert two.log_density(f) == pytest.approx(float(np.log(by_hand.sum(axis=1)).sum()), rel=1e-12)
    np.testing.assert_allclose(two.kinds(f), by_hand / by_hand.sum(axis=1, keepdims=True), rtol=1e-12)


def _beta(a: float, b: float) -> float:
    from scipy.special import beta

    return float(beta(a, b))


def test_labels_that_cannot_be_are_named() -> None:
    codes, ends = texts()
    for law in ("one", "at most one"):
        model = Motif(2, 4, law, DNA.complement)
        twice = Memory(codes, allowed=told(1, {0: [0], 3: [0]}), ends=ends)
        with pytest.raises(ImpossibleRow, match="row 0 begins a sequence that has no place"):
            total(model, twice, params_of(model), SOFT)
    model = Motif(2, 4, "any", DNA.complement)
    near = Memory(codes, allowed=told(1, {8: [0], 9: [0]}), ends=ends)
    with pytest.raises(ImpossibleRow, match="row 7 begins a sequence"):
        total(model, near, dataclasses.replace(params_of(model), shares=np.array([0.1, 0.9])), SOFT)
    with pytest.raises(ValueError, match="weights must be probabilities > 0"):
        DirichletMixture(np.array([0.5, 0.4]), np.ones((2, 4)))
    with pytest.raises(ValueError, match="alphas must be numbers > 0, a row for each of the 2 weights"):
        DirichletMixture(np.array([0.5, 0.5]), np.ones((3, 4)))


def test_the_heuristic_keeps_to_labels() -> None:
    model = Motif(3, 4, "any (windows)", DNA.complement)
    codes, ends = np.random.default_rng(0).integers(0, 4, 30), np.array([30])
    allowed = np.ones((30, 2), dtype=bool)
    allowed[10], allowed[20:25, 1] = [False, True], False
    params = dataclasses.replace(params_of(model), shares=np.array([0.1, 0.9]))
    resp = model.posteriors(params, next(Memory(codes, allowed=allowed, ends=ends).chunks())).resp[0]
    assert resp[10] == 1.0 and not resp[[8, 9, 11, 12]].max() and not resp[20:25].any() and resp[:8].max() > 0


def test_a_profile_holds_its_parameters_in_place() -> None:
    model, data, _ = profile_problem({"held": {"match": HELD}})
    result: Any = fit(model, data, params_of(model), max_iter=50)
    assert isinstance(result.params, ProfileParams)
    assert result.params.match[0, 0] == 0.1 and result.params.match[0, 3] == 0.0
