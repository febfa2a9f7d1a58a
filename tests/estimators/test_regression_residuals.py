"""Pseudo-residuals of regressions: uniform probabilities by scipy, a wrong law that shows, and what has none."""

import numpy as np
import pytest
from scipy import stats

import estep

N = 600


def lines(rng, noise):
    x, z = rng.uniform(-2, 2, size=(N, 1)), rng.random(N) < 0.4
    return x, np.where(z, 3.0 - x[:, 0], 2.0 * x[:, 0]) + noise, z


def test_linear_residuals_are_those_of_the_mixture():
    rng = np.random.default_rng(0)
    x, y, _ = lines(rng, 0.5 * rng.normal(size=N))
    fit = estep.MixtureOfRegressions("linear", 2, random_state=0).fit(x, y)
    mean = fit.intercepts_ + x * fit.coefs_[:, 0]
    u = (fit.weights_ * stats.norm.cdf((y[:, None] - mean) / fit.scales_)).sum(axis=1)
    np.testing.assert_allclose(fit.pseudo_residuals(x, y), stats.norm.ppf(u), rtol=1e-9)
    assert stats.kstest(fit.pseudo_residuals(x, y), "norm").pvalue > 0.01


def test_a_wrong_law_shows():
    """Negative control: errors that are skewed, for normal ones."""
    rng = np.random.default_rng(1)
    x, y, _ = lines(rng, rng.exponential(size=N))
    fit = estep.MixtureOfRegressions("linear", 2, random_state=0).fit(x, y)
    assert stats.kstest(fit.pseudo_residuals(x, y), "norm").pvalue < 1e-3


def test_counts_missing_responses_offsets_and_groups():
    rng = np.random.default_rng(2)
    x, offset = rng.normal(size=(N, 1)), np.log(rng.uniform(0.5, 2.0, N))
    z, by = rng.random(N) < 0.5, np.repeat(["a", "b"], N // 2)
    y = rng.poisson(np.exp(np.where(z, 2.5, 0.5) + 0.3 * x[:, 0] + offset)).astype(float)
    y[3] = np.nan
    fit = estep.MixtureOfRegressions("poisson", 2, random_state=0).fit(x, y, offset=offset, by=by)
    found = fit.pseudo_residuals(x, y, offset=offset, by=by)
    assert np.isnan(found[3]) and np.isfinite(np.delete(found, 3)).all()
    means = np.exp(fit.intercepts_ + x * fit.coefs_[:, 0] + offset[:, None])
    group = fit.weights_[(by == "b").astype(int)]
    middle = 0.5 * (stats.poisson.cdf(y[:, None], means) + stats.poisson.cdf(y[:, None] - 1, means))
    np.testing.assert_allclose(np.delete(found, 3), np.delete(stats.norm.ppf((group * middle).sum(axis=1)), 3), rtol=1e-8)


def test_experts_weigh_by_the_gate_and_pictures_are_drawn():
    rng = np.random.default_rng(3)
    x = rng.uniform(-3, 3, size=(N, 1))
    z = rng.random(N) < 1 / (1 + np.exp(-3 * x[:, 0]))
    y = np.where(z, 2 + x[:, 0], -2 * x[:, 0]) + 0.4 * rng.normal(size=N)
    fit = estep.MixtureOfExperts("linear", 2, random_state=0).fit(x, y)
    found = fit.pseudo_residuals(x, y)
    mean = fit.intercepts_ + x * fit.coefs_[:, 0]
    u = (fit.gate_proba(x) * stats.norm.cdf((y[:, None] - mean) / fit.scales_)).sum(axis=1)
    np.testing.assert_allclose(found, stats.norm.ppf(u), rtol=1e-8)
    for along, label in ((None, "row"), ("fitted", "expected response"), (0, "x0")):
        axes = fit.plot_residuals(x, y, along).axes
        assert axes[0].get_xlabel() == label and axes[1].get_xlabel() == "normal quantiles"
    shown = fit.plot_residuals(x, y, "fitted").axes[0].lines[0].get_xdata()
    assert shown.min() == pytest.approx(fit.predict(x)[np.abs(found) <= 3].min(), rel=1e-9)
    with pytest.raises(ValueError, match="along names 'z'"):
        fit.plot_residuals(x, y, "z")


def test_classes_have_none():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(200, 1))
    fit = estep.MixtureOfRegressions("logistic", 1).fit(x, (rng.random(200) < 0.5).astype(int))
    with pytest.raises(ValueError, match="pseudo-residuals are of responses on a line of numbers"):
        fit.pseudo_residuals(x, (rng.random(200) < 0.5).astype(int))
