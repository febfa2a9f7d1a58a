"""Standard errors of the other models of sequences against formulas, other software, and likelihoods written out anew."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm

import estep
from estep.core.record import Array
from estep.estimators import factorial_methods


def quietly(call: Any, *rows: Any, **how: Any) -> Any:
    """What ``call`` gives, its warnings of estimates at ends left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*rows, **how)


def curvature(height: Callable[[Array], float], at: Array, step: float = 1e-3) -> Array:
    """Minus second differences, (p, p); their error is of the order of step^2."""
    p, out = at.size, np.empty((at.size, at.size))
    ways = step * np.eye(p)
    for i in range(p):
        for j in range(i + 1):
            corners = [a * b * height(at + a * ways[i] + b * ways[j]) for a in (1, -1) for b in (1, -1)]
            out[i, j] = out[j, i] = -sum(corners) / (4 * step**2)
    return out


# --- several chains ---


def walk(seed: int, leave: float, n: int) -> Any:
    """A chain of two states that are left with probability ``leave``."""
    return np.cumsum(np.random.default_rng(seed).random(n) < leave) % 2


SLOW, FAST = walk(1, 0.1, 150), walk(2, 0.3, 150)
X = (6.0 * SLOW + 2.5 * FAST + np.random.default_rng(3).standard_normal(150))[:, None]
BOTH = estep.FactorialHMM(chains=(2, 2), tol=1e-12, random_state=0, n_init=3).fit(X)


def natural(v: Array) -> dict[str, Array]:
    """Parameters from free numbers: logits of leaving, level, two steps, log variance."""
    leave = 1.0 / (1.0 + np.exp(-v[:4]))
    level, one, two = v[4:7]
    return {
        "transmat_0": np.array([[1 - leave[0], leave[0]], [leave[1], 1 - leave[1]]]),
        "transmat_1": np.array([[1 - leave[2], leave[2]], [leave[3], 1 - leave[3]]]),
        "effects": np.array([[level], [level + one], [-two / 2], [two / 2]]),
        "covariances": np.array([[np.exp(v[7])]]),
    }


def loglik(v: Array) -> float:
    """Forward through the four combinations; chains begin where they were found to."""
    p, starts = natural(v), [np.round(start) for start in BOTH.startprobs_]
    moves, now, total = np.kron(p["transmat_0"], p["transmat_1"]), np.kron(*starts), 0.0
    means = (p["effects"][:2, 0][:, None] + p["effects"][2:, 0]).ravel()
    variance = p["covariances"][0, 0]
    for t, x in enumerate(X[:, 0]):
        now = (now if t == 0 else now @ moves) * np.exp(-0.5 * (x - means) ** 2 / variance) / np.sqrt(2 * np.pi * variance)
        total += np.log(now.sum())
        now = now / now.sum()
    return float(total)


def fitted_numbers() -> Array:
    leave = [moves[i, 1 - i] for moves in BOTH.transmats_ for i in (0, 1)]
    first, second = BOTH.chain_effects_
    steps = [first[0, 0], np.diff(first[:, 0])[0], np.diff(second[:, 0])[0]]
    return np.array([*np.log(np.array(leave) / (1 - np.array(leave))), *steps, np.log(BOTH.covariances_[0, 0])])


def test_several_chains_against_a_likelihood_written_out_anew() -> None:
    """Effects too: what one chain gives and another takes moves none of those that are shown."""
    at = fitted_numbers()
    assert loglik(at) == pytest.approx(BOTH.log_likelihood_, abs=1e-5)  # its ends are put at 0 and 1
    covariance = np.linalg.inv(curvature(loglik, at))
    errors = quietly(BOTH.standard_errors, X)
    for name, value in natural(at).items():
        slopes = np.array([(natural(at + h)[name] - natural(at - h)[name]) / 2e-6 for h in 1e-6 * np.eye(8)])
        expected = np.sqrt(np.einsum("p...,pq,q...->...", slopes, covariance, slopes))
        np.testing.assert_allclose(errors.estimates[name].reshape(value.shape), value, atol=1e-8)
        # four decimals: differences at 1e-3 are off by about 1e-6 of the fourth derivatives
        np.testing.assert_allclose(errors[name].reshape(value.shape), expected, rtol=1e-4, err_msg=name)
    assert (errors.reasons["startprob_0"] == "boundary").all()
    judge = quietly(BOTH.standard_errors, X, method="hessian")
    np.testing.assert_allclose(judge["effects"], errors["effects"], rtol=1e-4)
    ends = quietly(BOTH.confint, X)["transmat_0"]
    assert (ends[..., 0] < BOTH.transmat_0_).all() and (BOTH.transmat_0_ < ends[..., 1]).all()


def test_effects_that_are_not_brought_to_mean_zero_would_not_be_identified(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: without the levelling every effect can move along with those of another chain."""
    monkeypatch.setattr(factorial_methods, "levelled", lambda result: result)
    errors = quietly(BOTH.standard_errors, X)
    assert (errors.reasons["effects"] == "not identified").all()


def test_a_bound_has_no_standard_errors_but_a_bootstrap() -> None:
    bound = estep.FactorialHMM(chains=(2, 2), inference="variational", random_state=0, n_init=3).fit(X)
    with pytest.raises(TypeError, match="Factorial climbs a lower bound of it, which curves otherwise"):
        bound.standard_errors(X)
    found = quietly(bound.standard_errors, X, method="bootstrap", kind="parametric", n_boot=8, random_state=1)
    errors = quietly(BOTH.standard_errors, X)
    ratio = found["effects"] / errors["effects"].reshape(4, 1)
    assert ((ratio > 0.3) & (ratio < 2.5)).all()  # of 8 draws: beyond 1 in 1000 of the root of chi-squared (7) over 7
    assert "effects" in set(quietly(BOTH.to_frame, X).parameter)
    with pytest.raises(TypeError, match="climbs a lower bound"):
        bound.summary(X, errors=True)


def test_chains_with_components_of_a_family() -> None:
    counts = np.random.default_rng(0).poisson(np.exp(0.5 + 1.5 * SLOW + 1.2 * FAST))[:, None]
    fit = estep.FactorialHMM(estep.Poisson(), (2, 2), random_state=0, n_init=3).fit(counts)
    one, two = (quietly(fit.standard_errors, counts, method=method)["rates"] for method in ("oakes", "hessian"))
    np.testing.assert_allclose(one, two, rtol=1e-3)
    known = np.column_stack([SLOW, FAST])
    sure = quietly(estep.FactorialHMM(estep.Poisson(), (2, 2), random_state=0, n_init=1).fit, counts, known)
    errors = quietly(sure.standard_errors, counts, y=known)
    size = np.bincount(2 * SLOW + FAST)
    np.testing.assert_allclose(errors["rates"][:, 0], np.sqrt(sure.rates_[:, 0] / size), rtol=1e-4)
    with pytest.raises(ValueError, match="labels: known states are those of each chain"):
        sure.standard_errors(counts, labels=[[0]] * 150)


# --- chains that are seen, or hidden behind something known ---


def test_moves_that_are_seen_have_the_errors_of_shares() -> None:
    """sqrt(p (1 - p) / n), whole sequences weighted; and what sequences of one kind tell of their spread."""
    rng = np.random.default_rng(0)
    paths = [rng.choice(list("abc"), size=40, p=[0.5, 0.3, 0.2]).tolist() for _ in range(30)]
    weight = rng.integers(1, 3, size=30).astype(float)
    chain = estep.MarkovChain().fit(paths, sample_weight=weight)
    errors = chain.standard_errors(paths, weight)
    n = chain.counts_.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(errors["transmat"], np.sqrt(chain.transmat_ * (1 - chain.transmat_) / n), rtol=1e-6)
    p = chain.startprob_
    np.testing.assert_allclose(errors["startprob"], np.sqrt(p * (1 - p) / weight.sum()), rtol=1e-6)
    robust = chain.standard_errors(paths, weight, method="sandwich")
    np.testing.assert_allclose(robust["transmat"], errors["transmat"], rtol=0.5)
    once = estep.MarkovChain().fit(paths)
    again = quietly(once.standard_errors, paths, method="bootstrap", n_boot=60, random_state=0)
    np.testing.assert_allclose(again["transmat"], once.standard_errors(paths)["transmat"], rtol=0.5)
    table = chain.to_frame(paths, sample_weight=weight)
    assert table[table.parameter == "transmat"].column.tolist()[:3] == ["to a", "to b", "to c"]
    assert table[table.parameter == "transmat"].component.tolist()[:3] == ["a", "a", "a"]
    assert "Standard errors by oakes" in chain.summary(errors=errors)
    with pytest.raises(ValueError, match="labels: states are what X shows"):
        chain.diagnose(paths, labels=[[0]] * 1200)


def test_one_regime_has_the_errors_of_least_squares() -> None:
    rng, x = np.random.default_rng(0), [0.0]
    for _ in range(200):
        x.append(0.5 + 0.7 * x[-1] + rng.normal())
    series = np.array(x)
    fit = estep.AutoregressiveHMM(1, random_state=0).fit(series)
    design = np.column_stack([np.ones(200), series[:-1]])
    scale = np.sqrt(np.mean((series[1:] - design @ np.linalg.lstsq(design, series[1:], rcond=None)[0]) ** 2))
    expected = scale * np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    errors = quietly(fit.standard_errors, series)
    np.testing.assert_allclose([errors["intercepts"][0], errors["coefs"][0, 0]], expected, rtol=1e-4)
    np.testing.assert_allclose(errors["scales"][0], scale / np.sqrt(2 * 200), rtol=1e-4)


def test_moves_on_covariates_with_known_states_are_logistic_regressions() -> None:
    rng, state = np.random.default_rng(4), [0]
    dose = rng.normal(size=500)
    for t in range(1, 500):
        odds = np.exp([-1.5 + dose[t], -1.0 - 0.5 * dose[t]][state[-1]])
        state.append(int(rng.random() < odds / (1 + odds)) ^ state[-1])
    z = np.array(state)
    x = np.array([0.0, 3.0])[z][:, None] + rng.normal(size=(500, 1))
    told = {"covariates": dose, "y": z}
    fit = quietly(estep.InputOutputHMM(estep.Normal("EII"), 2, tol=1e-12, random_state=0).fit, x, **told)
    errors = quietly(fit.standard_errors, x, **told)
    for i in (0, 1):
        left = np.flatnonzero(z[:-1] == i) + 1
        reference = sm.Logit((z[left] != i).astype(float), sm.add_constant(dose[left])).fit(disp=0, tol=1e-12)
        np.testing.assert_allclose(errors["move_coefs"][i, 1 - i], reference.bse, rtol=1e-4)
    ends = quietly(fit.confint, x, **told)["move_coefs"][0, 1]
    half = 1.959964 * errors["move_coefs"][0, 1]
    np.testing.assert_allclose(ends, fit.move_coefs_[0, 1][:, None] + half[:, None] * [-1, 1], rtol=1e-5)
    parts = {"lengths": [100] * 5, **told}
    again = quietly(estep.InputOutputHMM(estep.Normal("EII"), 2, random_state=0).fit, x, **parts)
    assert np.isfinite(quietly(again.standard_errors, x, method="sandwich", **parts)["means"]).all()
