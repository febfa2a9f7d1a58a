"""A chain whose moves depend on covariates: brute force, other software's likelihoods, and everything at once.

Independent of the library: enumeration of all paths, scipy's optimiser on the likelihood written out, statsmodels' logits.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp
from scipy.stats import poisson

import estep
from estep.core.assign import HARD, SOFT, Sampled, Tempered
from estep.core.protocols import Structure
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.engine.visit import total
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.families.poisson import Poisson, PoissonParams
from estep.models.latent import Latent, LatentParams, forbid
from estep.structures import gated_moves
from estep.structures.chain import Chain, ChainParams
from estep.structures.gated_chain import GatedChain, GatedChainParams
from estep.testing import check_structure, structure_case
from estep.testing.structure import STRUCTURE_LAWS, components_permute

ENDS = np.array([3, 4, 6])
GIVEN = np.random.default_rng(1).normal(size=(6, 1)) * 2 + 3
GIVEN[4:] = GIVEN[1]  # rows with equal covariates share a matrix


def bound(chain: GatedChain, given: Any = GIVEN, ends: Any = ENDS) -> GatedChain:
    return chain.bind(Memory(np.zeros((len(given), 1)), given=given, ends=ends))


def by_hand(chain: GatedChain, params: GatedChainParams, given: Any) -> tuple[Any, Any]:
    """Log probabilities of starts (n, k) and moves (n, k, k) from the formulas, for a chain with every move."""
    g = np.column_stack([np.ones(len(given)), given])
    moves = log_softmax(np.einsum("nq,ijq->nij", g, params.move_coefs), axis=2)
    if params.start_coefs is not None:
        return log_softmax(g @ params.start_coefs.T, axis=1), moves
    with np.errstate(divide="ignore"):
        return np.log(np.tile(np.asarray(params.startprob), (len(given), 1))), moves


def log_prior(chain: GatedChain, given: Any = GIVEN, ends: Any = ENDS) -> Any:
    """log p(z | g) from the definition; of a topology the moves there are share the probability."""

    def value(params: Any, path: Any) -> float:
        with np.errstate(divide="ignore"):
            moves = np.log(chain.transmat(params, given))
            starts = np.log(chain.startprobs(params, given))
        if chain.exchangeable:
            starts, moves = by_hand(chain, params, given)
        found = 0.0
        for a, z in zip([0, *ends[:-1]], ends, strict=True):
            found += starts[a, path[a]] + sum(moves[t, path[t - 1], path[t]] for t in range(a + 1, z))
        return float(found)

    return value


CHAINS = {
    "full": GatedChain(),
    "gated start": GatedChain(start_gate=True),
    "left-to-right": GatedChain(topology="left-to-right"),
    "cyclic, gated start": GatedChain(topology="cyclic", start_gate=True),
    "absorbing": GatedChain(absorbing=(1,)),
}


@pytest.mark.parametrize("name", CHAINS)
def test_structure_laws(name: str) -> None:
    chain = bound(CHAINS[name])
    case = structure_case(chain, 3, given=GIVEN, ends=ENDS, log_prior_of_path=log_prior(chain), local=True)
    for law in STRUCTURE_LAWS:
        if law is not components_permute or chain.exchangeable:
            law(case)


def test_states_of_a_topology_keep_their_order() -> None:
    chain = bound(CHAINS["left-to-right"])
    with pytest.raises(ValueError, match="left-to-right chain have an order"):
        chain.permute(chain.start(3), np.array([1, 0, 2]))


def test_structure_laws_with_fixed_and_tied_entries() -> None:
    held, ties = np.full((3, 3, 2), np.nan), np.arange(18).reshape(3, 3, 2)
    held[0, 1] = [0.5, 0.0]
    ties[1, 0, 1] = ties[1, 2, 1]
    coefs = np.random.default_rng(0).normal(size=(3, 3, 2))
    coefs[np.arange(3), np.arange(3)], coefs[0, 1], coefs[1, 0, 1] = 0.0, [0.5, 0.0], coefs[1, 2, 1]
    chain = bound(GatedChain())
    check_structure(
        chain,
        3,
        given=GIVEN,
        ends=ENDS,
        log_prior_of_path=log_prior(chain),
        local=True,
        params=GatedChainParams(np.array([0.5, 0.2, 0.3]), None, coefs),
        constraints=Constraints({"move_coefs": held}, {"move_coefs": ties}),
    )


def test_a_gated_chain_is_a_structure() -> None:
    assert isinstance(GatedChain(), Structure)


# --- planted bugs ---


def broken_by(monkeypatch: pytest.MonkeyPatch, wrong: Any, name: str, match: str) -> None:
    chain = bound(GatedChain())
    monkeypatch.setattr(gated_moves, name, wrong)
    monkeypatch.setattr("estep.structures.gated_chain." + name, wrong, raising=False)
    case = structure_case(chain, 3, given=GIVEN, ends=ENDS, log_prior_of_path=log_prior(chain), local=True)
    with pytest.raises(AssertionError, match=match):
        for law in STRUCTURE_LAWS:
            law(case)


def test_the_laws_catch_moves_counted_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gated_moves.expansion
    broken_by(
        monkeypatch,
        lambda z, targets, *rest: right(z, np.swapaxes(targets, 1, 2) if targets.shape[1] > 1 else targets, *rest),
        "expansion",
        "q_is_the_expected_log_prior|fit_maximises_q",
    )


def test_the_laws_catch_covariates_of_the_row_before(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gated_moves.distinct_rows
    broken_by(
        monkeypatch,
        lambda given: right(np.roll(given, 1, axis=0)),
        "distinct_rows",
        "soft_objective|q_is_the_expected",
    )


def test_the_laws_catch_a_matrix_shared_by_rows_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    broken_by(
        monkeypatch,
        lambda given: (given[:1], np.zeros(len(given), dtype=np.int64)),
        "distinct_rows",
        "counts_add|soft_objective|q_is_the_expected",
    )


# --- in a model: gaps, weights, labels, chunks and every assignment together ---

LAST = np.array([3, 7, 8])
WEIGHT = np.repeat([1.0, 2.0, 0.5], [3, 4, 1])
COVARIATES = np.random.default_rng(4).normal(size=(8, 2))
COEFS = np.zeros((2, 2, 3))
COEFS[0, 1], COEFS[1, 0] = [-0.5, 1.0, 0.3], [0.2, -0.7, 0.5]
FAMILY = NormalParams(np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([[[1.0, 0.3], [0.3, 2.0]], [[0.5, -0.2], [-0.2, 1.5]]]))
TINY = {
    False: LatentParams(GatedChainParams(np.array([0.6, 0.4]), None, COEFS), FAMILY),
    True: LatentParams(GatedChainParams(None, np.array([[0.0, 0.0, 0.0], [0.4, -1.0, 0.5]]), COEFS), FAMILY),
}


def tiny(start_gate: bool, **settings: Any) -> tuple[Latent, Memory]:
    x = np.random.default_rng(1).normal(size=(8, 2))
    x[[0, 4], [1, 0]] = np.nan
    x[2] = np.nan
    data = Memory(x, WEIGHT, np.array([-1, -1, -1, -1, -1, 0, -1, -1]), COVARIATES, ends=LAST, **settings)
    return Latent(GatedChain(start_gate), Normal(), 2).bind(data), data


def by_enumeration(start_gate: bool, beta: float) -> tuple[float, float]:
    model, data = tiny(start_gate)
    params = TINY[start_gate]
    assert data.allowed is not None
    b = forbid(model.family.log_density(params.family, model.family.encode(data.x)), data.allowed)
    starts, moves = by_hand(model.structure, params.structure, COVARIATES)
    value = best = 0.0
    for (a, z), w in zip([(0, 3), (3, 7), (7, 8)], [1.0, 2.0, 0.5], strict=True):
        logs = [
            starts[a, path[0]]
            + sum(moves[a + t, path[t - 1], path[t]] for t in range(1, z - a))
            + b[np.arange(a, z), list(path)].sum()
            for path in itertools.product(range(2), repeat=z - a)
        ]
        value, best = value + w * logsumexp(beta * np.array(logs)) / beta, best + w * max(logs)
    return value, best


@pytest.mark.parametrize("start_gate", [False, True])
@pytest.mark.parametrize("rows", [1, 100])
def test_everything_at_once_against_enumeration(start_gate: bool, rows: int) -> None:
    model, data = tiny(start_gate, rows=rows)
    params = TINY[start_gate]
    value, best = by_enumeration(start_gate, 1.0)
    soft, hard = total(model, data, params, SOFT), total(model, data, params, HARD)
    assert soft.loglik == soft.objective == pytest.approx(value, rel=1e-12)
    assert (hard.loglik, hard.objective) == pytest.approx((value, best), rel=1e-12)
    cool = total(model, data, params, Tempered(0.4))
    assert cool.objective == pytest.approx(by_enumeration(start_gate, 0.4)[0], rel=1e-12)
    drawn = [total(model, data, params, Sampled().for_pass(1, t)) for t in range(200)]
    assert drawn[0].loglik == pytest.approx(value, rel=1e-12)
    moves = np.array([seen.stats.structure.pairs for seen in drawn])
    # five standard errors in each of 4 entries: a false alarm in four hundred thousand
    gap = np.abs(moves.mean(axis=0) - soft.stats.structure.pairs)
    assert (gap < 5 * moves.std(axis=0) / np.sqrt(200) + 1e-12).all()


def test_scores_of_sequences_are_gradients_and_add_up() -> None:
    for start_gate in (False, True):
        model, data = tiny(start_gate)
        params = TINY[start_gate]
        each = np.vstack([model.unit_scores(params, chunk) for chunk in data.chunks()])
        assert each.shape[0] == 3
        support = model.support(params)
        at = support.pack(params)
        slope = np.array(
            [
                (
                    total(model, data, support.unpack(at + e, params), SOFT).loglik
                    - total(model, data, support.unpack(at - e, params), SOFT).loglik
                )
                / 2e-5
                for e in 1e-5 * np.eye(at.size)
            ]
        )
        # central differences of step 1e-5: errors of order 1e-10 times third derivatives, and 1e-16 / 1e-5 of rounding
        np.testing.assert_allclose(np.array([1.0, 2.0, 0.5]) @ each, slope, atol=1e-7)


# --- against other programs ---


def simulated(n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts, covariates and states of four sequences of 100."""
    rng = np.random.default_rng(7)
    given, ends = rng.normal(size=(n, 1)) * 3 + 20, np.arange(100, n + 1, 100)
    coefs = np.zeros((2, 2, 2))
    coefs[0, 1], coefs[1, 0] = [-8.0, 0.35], [6.0, -0.4]
    chain = bound(GatedChain(), given, ends)
    z = chain.sample(GatedChainParams(np.array([0.7, 0.3]), None, coefs), n, rng, given=given, ends=ends)
    return rng.poisson(np.array([1.5, 6.0])[z])[:, None].astype(float), given, z


def written_out(vector: np.ndarray, x: np.ndarray, given: np.ndarray) -> float:
    """Minus the log-likelihood by a forward recursion in logs, from logit start, coefficients and log rates."""
    start, a, b, rates = vector[0], vector[1:3], vector[3:5], np.exp(vector[5:])
    logs, value = poisson.logpmf(x, rates), 0.0
    for begin in range(0, len(x), 100):
        forward = log_softmax([0.0, start]) + logs[begin]
        for t in range(begin + 1, begin + 100):
            up, down = a[0] + a[1] * (given[t, 0] - 20), b[0] + b[1] * (given[t, 0] - 20)
            moves = np.array([log_softmax([0.0, up]), log_softmax([down, 0.0])])
            forward = logsumexp(forward[:, None] + moves, axis=0) + logs[t]
        value += logsumexp(forward)
    return -float(value)


def test_the_maximum_is_that_of_a_direct_optimisation() -> None:
    x, given = (part[:200] for part in simulated()[:2])
    guess = np.array([-0.5, -1.0, 0.3, -2.0, -0.3, np.log(1.5), np.log(6.0)])
    direct = minimize(written_out, guess, (x, given), method="BFGS", options={"gtol": 1e-4})
    fit = estep.InputOutputHMM(estep.Poisson(), 2, random_state=0, n_init=2, tol=1e-10).fit(
        x, covariates=given - 20, lengths=[100] * 2
    )
    order = fit.rates_[:, 0].argsort()
    assert written_out(guess, x, given) - direct.fun > 0.5  # the guess is not the answer
    assert fit.log_likelihood_ == pytest.approx(-direct.fun, abs=1e-6)
    coefs = fit.move_coefs_[order][:, order]
    # gtol leaves the optimiser within 1e-4 / curvature (above 1 in every direction) of the maximum, the last passes of EM 1e-3
    np.testing.assert_allclose(np.r_[coefs[0, 1], coefs[1, 0]], direct.x[1:5], atol=5e-3)
    np.testing.assert_allclose(np.log(fit.rates_[order, 0]), direct.x[5:], atol=1e-3)


def test_with_every_state_known_moves_are_logits() -> None:
    x, given, z = simulated()
    with pytest.warns(UserWarning, match="every row has a label"):
        fit = estep.InputOutputHMM(estep.Poisson(), 2, random_state=0, tol=1e-12).fit(x, z, covariates=given, lengths=[100] * 4)
    inner = np.arange(400) % 100 > 0
    before, now = np.roll(z, 1)[inner], z[inner]
    for i in (0, 1):
        left = before == i
        logit = sm.Logit((now[left] != i).astype(float), sm.add_constant(given[inner][left])).fit(disp=0)
        # both are maxima to 1e-8 nats or better; their curvature is above 1e-2 in every direction
        np.testing.assert_allclose(fit.move_coefs_[i, 1 - i], logit.params, rtol=1e-4)


def test_without_slopes_it_is_the_chain() -> None:
    x, given, _ = simulated()
    slopes = np.full((2, 2, 2), np.nan)
    slopes[:, :, 1] = 0.0
    settings = dict(random_state=0, n_init=2, tol=1e-12)
    gated = estep.InputOutputHMM(estep.Poisson(), 2, fixed={"move_coefs": slopes}, **settings).fit(
        x, covariates=given, lengths=[100] * 4
    )
    plain = estep.HMM(estep.Poisson(), 2, **settings).fit(x, lengths=[100] * 4)
    assert gated.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-8)
    assert gated.result_.n_free == plain.result_.n_free
    mine, theirs = gated.rates_[:, 0].argsort(), plain.rates_[:, 0].argsort()
    moves = gated.transmat(given[:1])[0][mine][:, mine]
    # likelihoods agree to 1e-8 nats and curvatures are above 1, so that parameters do to 1e-4
    np.testing.assert_allclose(moves, plain.transmat_[theirs][:, theirs], atol=1e-4)
    free = estep.InputOutputHMM(estep.Poisson(), 2, **settings).fit(x, covariates=given, lengths=[100] * 4)
    assert free.log_likelihood_ > plain.log_likelihood_ + 5  # negative control: the covariate does matter


def test_equal_parameters_give_the_likelihood_of_the_chain() -> None:
    x, given, _ = simulated()
    data = Memory(x, given=given, ends=np.arange(100, 401, 100))
    transmat = np.array([[0.8, 0.2], [0.3, 0.7]])
    coefs = np.zeros((2, 2, 2))
    coefs[..., 0] = np.log(transmat / np.diag(transmat)[:, None])
    rates = PoissonParams(np.array([[1.0], [5.0]]))
    chain = Latent(Chain(), Poisson(), 2).bind(data)
    gated = Latent(GatedChain(), Poisson(), 2).bind(data)
    start = np.array([0.5, 0.5])
    one = total(chain, data, LatentParams(ChainParams(start, transmat), rates), SOFT)
    other = total(gated, data, LatentParams(GatedChainParams(start, None, coefs), rates), SOFT)
    assert one.loglik == pytest.approx(other.loglik, rel=1e-13)
    np.testing.assert_allclose(other.stats.structure.pairs, one.stats.structure.pairs, rtol=1e-10)


# --- what cannot be ---


def test_separable_moves_are_named_and_a_ridge_helps() -> None:
    x = np.tile([0.0, 0.0, 9.0, 9.0], 20)[:, None] + 0.1 * np.sin(np.arange(80.0))[:, None]
    given = np.tile([0.0, 1.0, 0.2, 1.1], 20)  # low covariates lead to a change of state, high ones never do
    with pytest.warns(UserWarning, match="coefficients of moves from state . run to infinity, led by those of column 'c0'"):
        estep.InputOutputHMM(estep.Normal("EII"), 2, random_state=0, n_init=1).fit(x, covariates=given)
    calm = estep.InputOutputHMM(estep.Normal("EII"), 2, ridge=0.1, random_state=0, n_init=1).fit(x, covariates=given)
    assert calm.converged_
    penalty = 0.05 * (calm.move_coefs_[:, :, 1] ** 2).sum()
    assert calm.objective_ == pytest.approx(calm.log_likelihood_ - penalty, rel=1e-12)


def test_errors_name_what_is_wrong() -> None:
    x, given, _ = simulated()
    model = estep.InputOutputHMM(estep.Poisson(), 2, random_state=0, n_init=1)
    with pytest.raises(ValueError, match="covariates are missing"):
        model.fit(x)
    with pytest.raises(ValueError, match="covariates have 399 rows, expected 400"):
        model.fit(x, covariates=given[1:])
    holes = given.copy()
    holes[3] = np.nan
    with pytest.raises(ValueError, match="covariates: row 3 has no finite value in column 'c0'"):
        model.fit(x, covariates=holes)
    with pytest.raises(ValueError, match="column 'c0' is constant"):
        model.fit(x, covariates=np.ones(400))
    with pytest.raises(ValueError, match="no columns of X"):
        import pandas as pd

        model.fit(pd.DataFrame({"x": x[:, 0]}), covariates="dose")
    held = np.full((2, 2, 2), np.nan)
    held[0, 0] = 1.0
    with pytest.raises(ValueError, match="coefficients for staying"):
        estep.InputOutputHMM(estep.Poisson(), 2, fixed={"move_coefs": held}).fit(x, covariates=given)
    time = np.r_[np.arange(200), np.arange(201, 401)]
    with pytest.raises(ValueError, match="time leaves out a step, whose covariates are unknown"):
        model.fit(x, covariates=given, time=time)
