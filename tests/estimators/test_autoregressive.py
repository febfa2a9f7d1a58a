"""Autoregressive hidden Markov models: statsmodels' likelihoods, enumeration with gaps, lags that stay within sequences."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import norm

import estep
from estep.estimators import autoregression
from estep.estimators.autoregression import lagged

MOVES = np.array([[0.95, 0.05], [0.1, 0.9]])
STEADY = np.array([2 / 3, 1 / 3])
"""pi MOVES = pi: statsmodels begins there."""


def series(n: int = 200, seed: int = 0) -> np.ndarray:
    rng, z, x = np.random.default_rng(seed), 0, [0.0]
    for _ in range(n - 1):
        z = int(rng.random() > MOVES[z, 0])
        x.append([0.5, -1.0][z] + [0.8, -0.5][z] * x[-1] + [1.0, 0.5][z] * rng.normal())
    return np.array(x)


def held(coefs: Any, intercepts: Any, scales: Any, **settings: Any) -> Any:
    """A model whose parameters are all fixed."""
    fixed = {"coefs": coefs, "intercepts": intercepts, "scales": scales, "transmat": MOVES, "startprob": STEADY}
    return estep.AutoregressiveHMM(2, fixed=fixed, n_init=1, random_state=0, **settings)


# --- statsmodels at the same parameters ---


def test_markov_regression_on_a_lag() -> None:
    x = series()
    other = sm.tsa.MarkovRegression(x[1:], 2, exog=x[:-1, None], switching_variance=True)
    params = [MOVES[0, 0], MOVES[1, 0], 0.4, -0.8, 0.7, -0.4, 1.1, 0.4]  # p00, p10, constants, slopes, variances
    expected = other.smooth(params)
    fit = held([[0.7], [-0.4]], [0.4, -0.8], np.sqrt([1.1, 0.4])).fit(x)
    assert fit.log_likelihood_ == pytest.approx(expected.llf, rel=1e-10)
    np.testing.assert_allclose(fit.predict_proba(x)[1:], expected.smoothed_marginal_probabilities, atol=1e-8)
    np.testing.assert_allclose(fit.score_samples(x)[1:], expected.llf_obs, atol=1e-8)
    wrong = held([[-0.4], [0.7]], [0.4, -0.8], np.sqrt([1.1, 0.4])).fit(x)
    assert abs(wrong.log_likelihood_ - expected.llf) > 10  # negative control


@pytest.mark.parametrize("order", [1, 2])
def test_hamiltons_model_where_the_mean_does_not_switch(order: int) -> None:
    """x_t - mu = phi_z (x_{t-1} - mu) + .. + e: then the constant of state z is mu (1 - sum phi_z).

    Variances switch where the order is one; of order two statsmodels would take that of the state before.
    """
    x, mu, phi = series(), 0.3, np.array([[0.6, 0.2], [-0.5, 0.1]])[:, :order]
    variance = np.array([1.2, 0.5 if order == 1 else 1.2])
    other = sm.tsa.MarkovAutoregression(
        x, 2, order=order, switching_trend=False, switching_ar=True, switching_variance=order == 1
    )
    told = {"p[0->0]": MOVES[0, 0], "p[1->0]": MOVES[1, 0], "const": mu, "sigma2": 1.2}
    told |= {f"sigma2[{z}]": variance[z] for z in (0, 1)}
    told |= {f"ar.L{lag + 1}[{z}]": phi[z, lag] for z in (0, 1) for lag in range(order)}
    fit = held(phi, mu * (1 - phi.sum(axis=1)), np.sqrt(variance), lags=order).fit(x)
    # the chain of statsmodels begins in its stationary law at the first row that has a history, and so does ours
    assert fit.log_likelihood_ == pytest.approx(other.loglike([told[name] for name in other.param_names]), rel=1e-9)


def test_the_maximum_is_at_least_that_of_statsmodels() -> None:
    x = series()
    fit = estep.AutoregressiveHMM(2, random_state=0, n_init=4).fit(x)
    other = sm.tsa.MarkovRegression(x[1:], 2, exog=x[:-1, None], switching_variance=True).fit(disp=False)
    assert fit.log_likelihood_ > other.llf - 1e-4  # ours has free first states
    assert fit.log_likelihood_ < other.llf + 5
    order = fit.coefs_[:, 0].argsort()[::-1]
    with pytest.warns(UserWarning, match="no standard error for startprob"):  # one sequence begins in one state
        errors = fit.standard_errors(x)["coefs"][order, 0]
    assert (np.abs(fit.coefs_[order, 0] - [0.8, -0.5]) < 5 * errors).all()


def test_one_state_is_least_squares() -> None:
    x = series()
    fit = estep.AutoregressiveHMM(1, lags=[1, 3]).fit(x)
    ols = sm.OLS(x[3:], sm.add_constant(np.column_stack([x[2:-1], x[:-3]]))).fit()
    np.testing.assert_allclose(np.r_[fit.intercepts_, fit.coefs_[0]], ols.params, rtol=1e-8)
    assert fit.log_likelihood_ == pytest.approx(ols.llf, rel=1e-10)


# --- gaps, weights, labels ---


def by_enumeration(sequences: list[np.ndarray], covariate: list[np.ndarray], weight: list[float]) -> float:
    """Every path of every sequence; rows without complete history have no density."""
    value = 0.0
    for x, g, w in zip(sequences, covariate, weight, strict=True):
        logs = []
        for path in itertools.product(range(2), repeat=len(x)):
            log = np.log(STEADY[path[0]]) + sum(np.log(MOVES[i, j]) for i, j in itertools.pairwise(path))
            for t in range(1, len(x)):
                if not np.isnan(x[t] + x[t - 1] + g[t]):
                    z = path[t]
                    log += norm.logpdf(x[t], [0.2, -0.5][z] + [0.6, -0.3][z] * x[t - 1] + [1.0, 0.3][z] * g[t], [1.0, 0.7][z])
            logs.append(log)
        value += w * logsumexp(logs)
    return value


def test_gaps_and_covariates_against_enumeration() -> None:
    rng = np.random.default_rng(2)
    sequences = [rng.normal(size=6), rng.normal(size=4), rng.normal(size=1)]
    given_ = [rng.normal(size=len(x)) for x in sequences]
    sequences[0][[1, 4]] = np.nan
    model = held([[0.6, 1.0], [-0.3, 0.3]], [0.2, -0.5], [1.0, 0.7])
    fit = model.fit(sequences, covariates=given_, sample_weight=[1.0, 2.0, 1.0])
    assert fit.log_likelihood_ == pytest.approx(by_enumeration(sequences, given_, [1.0, 2.0, 1.0]), rel=1e-12)
    assert fit.covariate_names_.tolist() == ["c0"]
    nothing = fit.score_samples(sequences, covariates=given_)[[0, 1, 2, 4, 5, 6, 10]]
    np.testing.assert_allclose(nothing, 0.0, atol=1e-14)
    table = pd.DataFrame({"id": np.repeat([1, 2, 3], [6, 4, 1]), "x": np.concatenate(sequences), "g": np.concatenate(given_)})
    table["t"] = np.concatenate([np.arange(len(x)) for x in sequences])
    again = model.fit(
        table.drop(index=[1, 4]), covariates="g", sequence="id", time="t", sample_weight=np.repeat([1.0, 2.0, 1.0], [4, 4, 1])
    )
    assert again.log_likelihood_ == pytest.approx(fit.log_likelihood_, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=5),
    st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True),
)
def test_lags_stay_within_sequences(lengths: list[int], lags: list[int]) -> None:
    """As pandas shifts within groups."""
    x = np.arange(float(sum(lengths)))
    grouped = pd.Series(x).groupby(np.repeat(np.arange(len(lengths)), lengths))
    expected = np.column_stack([grouped.shift(lag) for lag in lags])
    np.testing.assert_array_equal(lagged(x, np.cumsum(lengths), tuple(lags)), expected)


def test_enumeration_catches_lags_that_run_across_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted bug: all rows taken for one sequence."""
    right = autoregression.lagged
    monkeypatch.setattr(autoregression, "lagged", lambda x, ends, lags: right(x, np.array([len(x)]), lags))
    with pytest.raises(AssertionError):
        test_gaps_and_covariates_against_enumeration()


def test_known_states_and_ties() -> None:
    x = series()
    rng = np.random.default_rng(0)
    states = np.where(rng.random(200) < 0.2, (np.r_[0, np.abs(np.diff(x))] > 2).astype(int), -1)
    fit = estep.AutoregressiveHMM(2, tied={"scales": [0, 0]}, random_state=0, n_init=2).fit(x, states)
    assert fit.scales_[0] == fit.scales_[1]
    known = states >= 0
    assert (fit.predict(x, y=states)[known] == states[known]).all()
    same = estep.AutoregressiveHMM(2, tied={"coefs": np.zeros((2, 1), dtype=int)}, random_state=0, n_init=2).fit(x)
    assert same.coefs_[0, 0] == pytest.approx(same.coefs_[1, 0], rel=1e-12)


# --- looking ahead, drawing, files ---


def test_draws_follow_the_model_and_are_recovered() -> None:
    fit = held([[0.8], [-0.5]], [0.5, -1.0], [1.0, 0.5]).fit(series())
    x, z = fit.sample(4000)
    assert x.shape == (4000, 1)
    left = x[1:, 0] - np.array([0.5, -1.0])[z[1:]] - np.array([0.8, -0.5])[z[1:]] * x[:-1, 0]
    # standard deviations of 2,700 and 1,300 normal errors: five standard errors are 0.068 and 0.049
    assert left[z[1:] == 0].std() == pytest.approx(1.0, abs=0.07)
    assert left[z[1:] == 1].std() == pytest.approx(0.5, abs=0.05)
    first = np.array([fit.sample(lengths=[1] * 2000, history=[100.0])[0][:, 0]]).ravel()
    assert set(np.round(first, -1).tolist()) <= {80.0, -50.0, 90.0, -60.0}
    assert fit.pseudo_residuals(x)[1:].std() == pytest.approx(1.0, abs=0.06)


def test_forecasts_step_by_step() -> None:
    x = series()
    fit = held([[0.8], [-0.5]], [0.5, -1.0], [1.0, 0.5]).fit(x)
    ahead = fit.forecast(x, 3)
    np.testing.assert_allclose(ahead.states[2], ahead.states[0] @ MOVES @ MOVES, rtol=1e-12)
    draws = ahead.sample(20_000)
    mean = ahead.states[0] @ (np.array([0.5, -1.0]) + np.array([0.8, -0.5]) * x[-1])
    assert abs(draws[:, 0].mean() - mean) < 5 * draws[:, 0].std() / np.sqrt(20_000)
    with pytest.raises(ValueError, match="forecast .* the last 1 rows of X"):
        fit.forecast(np.r_[x, np.nan])


def test_files_pictures_and_words(tmp_path: Path) -> None:
    x = series()
    fit = estep.AutoregressiveHMM(2, random_state=0, n_init=2).fit(x)
    fit.save(tmp_path / "ar.estep")
    again = estep.load(tmp_path / "ar.estep")
    assert again.score(x) == fit.score(x)
    assert (again.sample(5)[0] == fit.sample(5)[0]).all()
    assert "autoregressive hidden Markov model, 2 states, LinearRegression on lag 1" in fit.summary(x)
    assert len(fit.plot(x).axes) == 3
    assert fit.decode(x)[0].tolist() == fit.predict(x).tolist()
    counts = np.random.default_rng(0).poisson(np.repeat([2.0, 8.0], 60))
    poisson = estep.AutoregressiveHMM(2, family="poisson", random_state=0, n_init=2).fit(counts)
    assert poisson.converged_


def test_errors_name_what_is_wrong() -> None:
    for lags in (0, [1, 1], "two", [], 1.5, [0]):
        with pytest.raises(ValueError, match="lags must be an integer >= 1"):
            estep.AutoregressiveHMM(2, lags=lags).fit(series())
    with pytest.raises(ValueError, match="X has 2 columns, but an autoregression is of one"):
        estep.AutoregressiveHMM(2).fit(np.zeros((9, 2)))
    with pytest.raises(ValueError, match=r"no row has a value and all of its history, lags \[1, 2\]"):
        estep.AutoregressiveHMM(2, lags=2).fit([np.arange(2.0), np.arange(2.0)])
    with pytest.raises(ValueError, match="family='multinomial' is unknown"):
        estep.AutoregressiveHMM(2, family="multinomial").fit(series())
    fit = estep.AutoregressiveHMM(2, lags=2, random_state=0, n_init=1).fit(series())
    with pytest.raises(ValueError, match="history must be 2 finite values"):
        fit.sample(3, history=[1.0])
    with pytest.raises(ValueError, match="forecast follows one sequence"):
        fit.forecast([series(), series()])
