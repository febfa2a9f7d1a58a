"""Factorial chains: the laws of a structure, the hidden Markov chain of the combinations, added effects, and the bound."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from estep.core.assign import HARD, SOFT, Entropic, ImpossibleRow, Sampled, Tempered
from estep.core.protocols import Model, Structure
from estep.core.record import Array
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.presets import Variant
from estep.engine.visit import total
from estep.families.additive_normal import AdditiveNormal, AdditiveParams
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.families.poisson import Poisson, PoissonParams
from estep.kernels import factorial as kernels
from estep.kernels.reference_chain import paths_reference
from estep.kernels.reference_factorial import factorial_reference, of_each_chain, product_chain
from estep.models.factorial import BoundParams, Factorial
from estep.models.latent import Latent, LatentParams
from estep.structures import factorial_pass
from estep.structures.chain import Chain, ChainParams
from estep.structures.factorial import FactorialChain, FactorialCounts, FactorialParams
from estep.structures.factorial_pass import FactorialLaw, best, filtered, smooth
from estep.testing import check_structure

ENDS = np.array([3, 4, 6])


def log_prior(params: FactorialParams, path: NDArray[np.intp]) -> float:
    """log p(z) of sequences that end at ENDS: every chain's starts and moves."""
    chain = FactorialChain(tuple(len(start) for start in params.startprob))
    states, value = chain.states_of(np.asarray(path)), 0.0
    with np.errstate(divide="ignore"):
        for m, (start, moves) in enumerate(zip(params.startprob, params.transmat, strict=True)):
            for a, z in zip([0, *ENDS[:-1]], ENDS, strict=True):
                value += np.log(start[states[a, m]])
                value += sum(np.log(moves[i, j]) for i, j in itertools.pairwise(states[a:z, m]))
    return float(value)


@pytest.mark.parametrize("sizes", [(2, 2), (3, 1)])
def test_structure_laws(sizes: tuple[int, ...]) -> None:
    chain = FactorialChain(sizes)
    check_structure(chain, chain.k, ends=ENDS, log_prior_of_path=log_prior)


def test_it_is_a_structure() -> None:
    assert isinstance(FactorialChain(), Structure)
    assert isinstance(Factorial(FactorialChain(), AdditiveNormal()), Model)


def test_the_laws_catch_chains_that_are_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the moves of one chain counted for another."""
    real = FactorialChain.counted
    monkeypatch.setattr(
        FactorialChain, "counted", lambda self, sums: FactorialCounts(real(self, sums).first, real(self, sums).pairs[::-1])
    )
    with pytest.raises(AssertionError, match="q_is_the_expected_log_prior"):
        check_structure(FactorialChain((2, 2)), 4, ends=ENDS, log_prior_of_path=log_prior, assigns=("soft",))


# --- kernels ---


def random_law(seed: int, sizes: tuple[int, ...]) -> FactorialLaw:
    rng = np.random.default_rng(seed)
    return FactorialLaw(tuple(rng.dirichlet(np.ones(s)) for s in sizes), tuple(rng.dirichlet(np.ones(s), s) for s in sizes))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(1, 12), st.floats(0.1, 20.0))
def test_the_pass_is_that_of_the_product_space(seed: int, sizes: list[int], n: int, spread: float) -> None:
    law = random_law(seed, tuple(sizes))
    logb = spread * np.random.default_rng(seed).standard_normal((n, law.start.size))
    resp, pairs, loglik = factorial_reference(law.starts, law.moves, logb)
    found = smooth(law, lambda rows: logb[rows], np.array([n]), np.ones(1), 0)
    assert found.loglik == pytest.approx(loglik, rel=1e-10, abs=1e-10)
    np.testing.assert_allclose(found.resp, resp, atol=1e-11)
    for m, size in enumerate(sizes):
        np.testing.assert_allclose(found.pairs[m, :size, :size], pairs[m], atol=1e-11)


def test_logs_are_the_scaled_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    law, logb = random_law(1, (2, 3)), 2.0 * np.random.default_rng(1).standard_normal((9, 6))
    ends, weight = np.array([4, 9]), np.array([1.0, 0.5])
    scaled, seen = smooth(law, lambda r: logb[r], ends, weight, 0), filtered(law, lambda r: logb[r], ends, 0)
    monkeypatch.setattr(kernels, "forward", lambda *arguments: 0)
    logs = smooth(law, lambda r: logb[r], ends, weight, 0)
    for field in dataclasses.fields(scaled):
        np.testing.assert_allclose(getattr(logs, field.name), getattr(scaled, field.name), rtol=1e-11, atol=1e-13)
    for one, two in zip(filtered(law, lambda r: logb[r], ends, 0), seen, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-12)


def test_numbers_that_scaling_would_lose_go_through_logs() -> None:
    law = FactorialLaw((np.array([1.0, 0.0]), np.array([0.5, 0.5])), (np.array([[1 - 1e-200, 1e-200], [0.0, 1.0]]), np.eye(2)))
    logb = np.zeros((5, 4))
    logb[2:, :2] = -np.inf
    found = smooth(law, lambda rows: logb[rows], np.array([5]), np.ones(1), 0)
    assert found.loglik == pytest.approx(np.log(2e-200), rel=1e-12)
    logb[2] = -np.inf
    with pytest.raises(ImpossibleRow, match="row 12 is impossible"):
        smooth(law, lambda rows: logb[rows], np.array([5]), np.ones(1), 10)
    with pytest.raises(ImpossibleRow, match="row 12 is impossible"):
        best(law, lambda rows: logb[rows], np.array([5]), 10)


def test_the_best_path_is_that_of_the_product_space() -> None:
    law, logb = random_law(4, (2, 1, 2)), 2.0 * np.random.default_rng(4).standard_normal((5, 4))
    path, value = best(law, lambda rows: logb[rows], np.array([5]), 0)
    start, moves = product_chain(law.starts, law.moves)
    told = paths_reference(start, moves, np.ones(4), logb)[0]
    assert value[0] == pytest.approx(told[0], rel=1e-13)
    assert path.tolist() == list(told[1])


def test_drawn_paths_have_the_posterior() -> None:
    """Shares among 2000 draws; their standard error is at most 0.5 / sqrt(2000), and 6 of them are 2e-9 of a normal."""
    law, logb = random_law(2, (2, 3)), 2.0 * np.random.default_rng(2).standard_normal((4, 6))
    alpha, _ = filtered(law, lambda rows: logb[rows], np.array([4]), 0)
    rng, shares, jumps = np.random.default_rng(0), np.zeros((4, 6)), np.zeros((6, 6))
    for _ in range(2000):
        path = factorial_pass.draw(law, alpha, np.array([4]), rng.random(4))
        shares[np.arange(4), path] += 1 / 2000
        np.add.at(jumps, (path[:-1], path[1:]), 1 / 2000)
    resp, pairs, _ = factorial_reference(law.starts, law.moves, logb)
    np.testing.assert_allclose(shares, resp, atol=6 * 0.5 / np.sqrt(2000))
    for drawn, told in zip(of_each_chain(jumps, (2, 3)), pairs, strict=True):
        np.testing.assert_allclose(drawn, told, atol=6 * 1.5 / np.sqrt(2000))


def test_a_planted_bug_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: moves along an axis read the wrong way round."""
    real = kernels.moved.reference

    def wrong(x: Array, moves: Array, size: int, inner: int, out: Array) -> None:
        real(x, np.ascontiguousarray(moves.T), size, inner, out)

    law, logb = random_law(1, (2, 3)), np.random.default_rng(1).standard_normal((5, 6))
    monkeypatch.setattr(kernels, "moved", wrong)
    alpha, scale = np.empty((5, 6)), np.empty(5)
    kernels.forward.reference(law.start, law.stacked, law.counted, np.exp(logb), alpha, scale)
    assert abs(np.log(scale).sum() - factorial_reference(law.starts, law.moves, logb)[2]) > 1e-3


# --- the hidden Markov chain of the combinations ---


def rows_of(seed: int, sizes: tuple[int, ...], n: int = 160, spread: float = 3.0, d: int = 2) -> tuple[Array, Array]:
    """Rows of sticky chains, and their effects."""
    rng, chain = np.random.default_rng(seed), FactorialChain(sizes)
    effects = spread * rng.standard_normal((sum(sizes), d))
    labels = chain.sample(chain.start(chain.k), n, rng, ends=[n // 2, n])
    return AdditiveNormal(sizes).design[labels] @ effects + rng.standard_normal((n, d)), effects


@pytest.mark.parametrize("assign", [SOFT, HARD, Tempered(0.4)], ids=lambda a: a.name)
def test_a_table_of_rates_is_a_hidden_markov_chain(assign: Any) -> None:
    """The E-step is that of the chain with A_1 x A_2; so are the rates of every iterate, which alone both models share."""
    rng = np.random.default_rng(0)
    x = rng.poisson(rng.choice([1.0, 4.0, 9.0], 120))[:, None].astype(float)
    x[5] = np.nan
    data = Memory(x, np.repeat([1.0, 2.0], 60), ends=np.array([60, 120]))
    chain = FactorialChain((2, 3))
    one, two = Latent(chain, Poisson(), 6).bind(data), Latent(Chain(), Poisson(), 6).bind(data)
    here = LatentParams(chain.start(6), PoissonParams(np.linspace(1.0, 9.0, 6)[:, None]))
    for _ in range(10):
        start, moves = product_chain(here.structure.startprob, here.structure.transmat)
        there = LatentParams(ChainParams(start, moves), here.family)
        seen, told = total(one, data, here, assign), total(two, data, there, assign)
        assert seen.loglik == pytest.approx(told.loglik, rel=1e-12)
        assert seen.objective == pytest.approx(told.objective, rel=1e-12)
        for found, expected in zip(seen.stats.structure.pairs, of_each_chain(told.stats.structure.pairs, (2, 3)), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
        here, after = one.mstep(seen.stats, here), two.mstep(told.stats, there)
        np.testing.assert_allclose(here.family.rates, after.family.rates, rtol=1e-10)


def test_one_chain_is_a_hidden_markov_chain() -> None:
    """Every iterate, with a second chain of one state beside it."""
    x, _ = rows_of(1, (3,))
    data = Memory(x, ends=np.array([80, 160]))
    one, two = Latent(FactorialChain((3, 1)), Normal(), 3).bind(data), Latent(Chain(), Normal(), 3).bind(data)
    family = NormalParams(x[[0, 50, 100]], np.tile(np.eye(2), (3, 1, 1)))
    here, there = LatentParams(FactorialChain((3, 1)).start(3), family), LatentParams(Chain().start(3), family)
    for _ in range(15):
        seen, told = total(one, data, here, SOFT), total(two, data, there, SOFT)
        assert seen.loglik == pytest.approx(told.loglik, rel=1e-12)
        here, there = one.mstep(seen.stats, here), two.mstep(told.stats, there)
        np.testing.assert_allclose(here.structure.transmat[0], there.structure.transmat, rtol=1e-9, atol=1e-13)


def added(seed: int, sizes: tuple[int, ...], **settings: Any) -> tuple[Latent, Memory, LatentParams]:
    x, effects = rows_of(seed, sizes, **settings)
    data = Memory(x, ends=np.array([len(x) // 2, len(x)]))
    chain = FactorialChain(sizes)
    begin = effects + np.random.default_rng(seed).standard_normal(effects.shape)
    params = LatentParams(chain.start(chain.k), AdditiveParams(begin, np.eye(x.shape[1])[None]))
    return Latent(chain, AdditiveNormal(sizes), chain.k).bind(data), data, params


def test_added_effects_are_normal_components_with_means_that_add_up() -> None:
    """Gaps, weights: the likelihood of a normal family with tied covariances, and the observed score (Fisher's identity)."""
    model, data, params = added(0, (2, 3))
    x = data.x.copy()
    x[3], x[10, 0] = np.nan, np.nan
    data = Memory(x, np.repeat([1.0, 2.0], 80), ends=np.array([80, 160]))
    other = Latent(FactorialChain((2, 3)), Normal("EEE"), 6).bind(data)
    model = model.bind(data)
    normal = NormalParams(model.family.means(params.family), np.tile(np.eye(2), (6, 1, 1)))
    seen = total(model, data, params, SOFT)
    told = total(other, data, LatentParams(params.structure, normal), SOFT)
    assert seen.loglik == pytest.approx(told.loglik, rel=1e-13)
    support = model.support(params)
    at = support.pack(params)

    def loglik(v: Array) -> float:
        return float(total(model, data, support.unpack(v, params), SOFT).loglik)

    slopes = [(loglik(at + 1e-5 * e) - loglik(at - 1e-5 * e)) / 2e-5 for e in np.eye(at.size)]
    # central differences with step 1e-5 of a value near 2000 are good to 2000 eps / 1e-5 and, third derivatives being
    # of the order of n, to n 1e-10 / 6
    np.testing.assert_allclose(model.score(params, seen.stats), slopes, atol=1e-6)


def test_the_effects_are_least_squares() -> None:
    """With known states: numpy's regression on the states' indicators, and its mean squared residual."""
    model, data, params = added(3, (2, 3))
    labels = np.random.default_rng(0).integers(0, 6, 160)
    stats_ = model.family.stats(params.family, model.family.encode(data.x), np.eye(6)[labels])
    support = model.family.support(params.family, Constraints())
    found = model.family.fit(stats_, params.family, support)
    design = model.family.design[labels]
    told = design @ np.linalg.lstsq(design, data.x, rcond=None)[0]
    np.testing.assert_allclose(design @ found.effects, told, rtol=1e-10)
    gap = data.x - told
    np.testing.assert_allclose(found.covariances[0], gap.T @ gap / 160, rtol=1e-10)
    np.testing.assert_allclose(found.effects[model.family.chains[1]].mean(axis=0), 0.0, atol=1e-13)
    moments = model.family.moments(stats_)
    assert model.family.height(moments, found) == pytest.approx(model.family.q(found, stats_), rel=1e-12)


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
def test_held_and_tied_effects_stay(kind: str) -> None:
    """The maximum over what is free: no step along a free coordinate is higher."""
    model, data, params = added(2, (2, 2))
    held, ties = np.full((4, 2), np.nan), np.arange(8).reshape(4, 2)
    held[0, 0], ties[3, 1] = 0.5, ties[2, 1]
    family = AdditiveNormal((2, 2), kind).bind(data)
    covariances = np.eye(2)[None] if kind == "full" else np.ones((1, 2))
    support = family.support(
        AdditiveParams(params.family.effects, covariances), Constraints({"effects": held}, {"effects": ties})
    )
    begin = AdditiveParams(params.family.effects, covariances)
    begin = support.unpack(support.pack(begin), begin)
    resp = np.random.default_rng(0).dirichlet(np.ones(4), 160)
    stats_ = family.stats(begin, family.encode(data.x), resp)
    found = family.fit(stats_, begin, support)
    assert found.effects[0, 0] == 0.5
    assert found.effects[3, 1] == found.effects[2, 1]
    top, at = family.q(found, stats_), support.pack(found)
    assert top > family.q(begin, stats_)
    for e in np.eye(at.size):
        for step in (1e-3, -1e-3):
            assert family.q(support.unpack(at + step * e, found), stats_) <= top + 1e-9 * abs(top)


def test_a_fit_converges_and_counts_its_parameters() -> None:
    model, data, params = added(0, (2, 3))
    result = fit(model, data, params)
    assert result.converged
    assert np.diff(result.trace.objective).min() > -1e-9 * abs(result.loglik)
    # starts 1 + 2, moves 2 + 6, effects 5 x 2 less one row of 2 that nothing identifies, covariance 3
    assert result.n_free == 3 + 8 + 10 - 2 + 3


# --- the bound ---


def bound_of(model: Latent, data: Memory, params: LatentParams) -> tuple[Factorial, BoundParams]:
    made = Factorial(model.structure, AdditiveNormal(model.structure.sizes)).bind(data)
    return made, made.fresh(params.structure, params.family)


@pytest.mark.parametrize("seed", range(6))
def test_the_bound_is_below_and_never_falls(seed: int) -> None:
    """Three chains of two states, near one another: hard cases for a bound; the exact likelihood is at hand."""
    model, data, params = added(seed, (2, 2, 2), spread=1.5)
    bound, now = bound_of(model, data, params)
    values = []
    for _ in range(25):
        seen = total(bound, data, now, SOFT)
        exact = total(model, data, LatentParams(now.structure, now.family), SOFT).loglik
        assert seen.objective <= exact + 1e-9 * abs(exact)
        values.append(seen.objective)
        now = bound.mstep(seen.stats, now)
    # the rounds of a pass end within 1e-10 of the bound's size
    assert np.diff(values).min() > -1e-9 * abs(values[0])
    assert values[-1] > values[0] + 1.0


def test_the_bound_of_one_chain_is_the_likelihood() -> None:
    model, data, params = added(1, (3,))
    bound, now = bound_of(model, data, params)
    seen, told = total(bound, data, now, SOFT), total(model, data, params, SOFT)
    assert seen.objective == pytest.approx(told.loglik, rel=1e-12)
    np.testing.assert_allclose(seen.stats.structure.pairs[0], told.stats.structure.pairs[0], rtol=1e-9, atol=1e-12)
    after, other = bound.mstep(seen.stats, now), model.mstep(told.stats, params)
    np.testing.assert_allclose(after.family.effects, other.family.effects, rtol=1e-9)
    np.testing.assert_allclose(after.family.covariances, other.family.covariances, rtol=1e-9)


def test_the_bound_is_that_of_the_law_it_names() -> None:
    """E_q[log p(x, z)] + H(q), summed over every path of four rows of two chains."""
    model, data, params = added(4, (2, 2), n=8, spread=1.0)
    data = Memory(data.x[:4], ends=np.array([4]))
    bound, now = bound_of(model, data, params)
    chunk = next(iter(data.chunks()))
    found = bound.posterior(now, chunk)
    laws = [np.zeros((2,) * 4) for _ in range(2)]
    for m, field in enumerate(found.fields):
        start, moves = params.structure.startprob[m], params.structure.transmat[m]
        for z in itertools.product(range(2), repeat=4):
            laws[m][z] = (
                np.log(start[z[0]]) + sum(np.log(moves[i, j]) for i, j in itertools.pairwise(z)) + field[np.arange(4), z].sum()
            )
        laws[m] = np.exp(laws[m] - np.logaddexp.reduce(laws[m].ravel()))
    logb = model.family.log_density(params.family, model.family.encode(data.x))
    value = 0.0
    for y, z in itertools.product(itertools.product(range(2), repeat=4), repeat=2):
        share = laws[0][y] * laws[1][z]
        path = np.array(y) * 2 + np.array(z)
        prior = sum(
            np.log(params.structure.startprob[m][w[0]])
            + sum(np.log(params.structure.transmat[m][i, j]) for i, j in itertools.pairwise(w))
            for m, w in enumerate((y, z))
        )
        value += share * (prior + logb[np.arange(4), path].sum() - np.log(share))
    assert found.bound.sum() == pytest.approx(value, rel=1e-11)


def test_the_bound_refuses_what_it_cannot_read() -> None:
    model, data, params = added(1, (2, 2))
    bound, now = bound_of(model, data, params)
    x = data.x.copy()
    x[7, 1] = np.nan
    with pytest.raises(ValueError, match="row 7 misses some columns: variational inference reads rows that are whole"):
        bound.bind(Memory(x, ends=np.array([160])))
    with pytest.raises(ValueError, match="the bound is of probabilities"):
        total(bound, data, now, HARD)
    with pytest.raises(ValueError, match="labels need exact inference"):
        total(bound, Memory(data.x, None, np.zeros(160, dtype=int), ends=np.array([160])), now, SOFT)
    x[7] = np.nan
    assert np.isfinite(total(bound, Memory(x, ends=np.array([160])), now, SOFT).objective)


def test_a_fit_of_the_bound_says_so_and_has_weights() -> None:
    model, data, params = added(2, (2, 2))
    bound, now = bound_of(model, data, params)
    result = fit(bound, data, now, Variant(certificate="bound"))
    assert result.converged
    assert result.certificate == "bound"
    twice = Memory(np.vstack([data.x, data.x]), ends=np.array([80, 160, 240, 320]))
    heavy = Memory(data.x, np.full(160, 2.0), ends=np.array([80, 160]))
    assert total(bound, heavy, now, SOFT).objective == pytest.approx(total(bound, twice, now, SOFT).objective, rel=1e-12)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="must be a tuple of integers >= 1"):
        FactorialChain((2, 0))
    with pytest.raises(ValueError, match="exact inference goes through all 8192 combinations"):
        FactorialChain((2,) * 13).bind(Memory(np.zeros((3, 1)), ends=np.array([3])))
    with pytest.raises(ValueError, match="make 4 combinations, but the model has 5 components"):
        FactorialChain((2, 2)).start(5)
    with pytest.raises(ValueError, match="covariance_type='tied' is unknown"):
        AdditiveNormal((2, 2), "tied")
    model, data, params = added(1, (2, 2))
    with pytest.raises(ValueError, match="factorial chains have no recursion for it"):
        total(model, data, params, Entropic(0.1))
    assert np.isfinite(total(model, data, params, Sampled(0, 1)).objective)
