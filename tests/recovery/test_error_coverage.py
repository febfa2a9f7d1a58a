"""Intervals cover what they say: 95% intervals of simulated fits, for five models with fixed seeds.

600 data sets a model, with rows enough for normal approximations, each fitted from the true parameters and given Wald
intervals by Oakes's errors. A parameter's coverage has the standard error sqrt(0.95 * 0.05 / 600) = 0.0089, and the mean over a
model's parameters no more. The band 0.93 to 0.97 is 2.2 of them: were the coverage 0.95 exactly, a new seed would raise a false
alarm at most 25 times in 1000, model by model, and much less where the parameters of a model err apart from one another.
Errors as if the labels had been seen fail the same test.
"""

import warnings

import numpy as np
import pytest

import estep

REPLICATIONS = 600
pytestmark = pytest.mark.slow


def gaussian_mixture(rng):
    truth = {"weights": np.array([0.6, 0.4]), "means": np.array([[0.0], [4.0]]), "covariances": np.array([[[1.0]], [[1.5]]])}
    z = rng.random(800) < 0.4
    x = np.where(z, 4 + np.sqrt(1.5) * rng.normal(size=800), rng.normal(size=800))[:, None]
    fit = estep.GaussianMixture(2, init=truth, tol=1e-9, max_iter=5000)
    return truth, fit, (x,)


def latent_class(rng):
    probs = np.array([[0.9, 0.8, 0.75, 0.85, 0.7], [0.2, 0.3, 0.25, 0.1, 0.3]])
    z = (rng.random(500) < 0.45).astype(int)
    x = (rng.random((500, 5)) < probs[z]).astype(float)
    truth = {"weights": np.array([0.55, 0.45]), "probs": probs}
    return truth, estep.Mixture(estep.Bernoulli(), 2, init=truth, tol=1e-9, max_iter=5000), (x,)


def regressions(rng):
    truth = {
        "weights": np.array([0.6, 0.4]),
        "coefs": np.array([[2.0], [-1.0]]),
        "intercepts": np.array([0.0, 1.0]),
        "scales": np.array([0.7, 1.0]),
    }
    x, z = rng.uniform(-2, 2, size=(300, 1)), (rng.random(300) < 0.4).astype(int)
    y = truth["intercepts"][z] + truth["coefs"][z, 0] * x[:, 0] + truth["scales"][z] * rng.normal(size=300)
    return truth, estep.MixtureOfRegressions("linear", 2, init=truth, tol=1e-9, max_iter=5000), (x, y)


def normal_with_gaps(rng):
    truth = {"mean": np.array([1.0, -1.0, 0.0]), "covariance": np.array([[1.0, 0.6, 0.2], [0.6, 2.0, 0.5], [0.2, 0.5, 1.5]])}
    x = rng.multivariate_normal(truth["mean"], truth["covariance"], 200)
    x[rng.random(x.shape) < 0.2] = np.nan
    return truth, estep.MultivariateNormal(n_init=1, init=truth, tol=1e-10), (x,)


def hidden_markov(rng):
    """One sequence, which tells nothing of where sequences begin: startprob is asked of no interval."""
    moves, n = np.array([[0.9, 0.1], [0.2, 0.8]]), 1000
    u, z = rng.random(n), np.zeros(n, dtype=int)
    for t in range(1, n):
        z[t] = int(u[t] >= moves[z[t - 1], 0])
    truth = {"transmat": moves, "means": np.array([[0.0], [3.0]]), "covariances": np.array([[[1.0]], [[1.5]]])}
    x = (truth["means"][z, 0] + np.sqrt(truth["covariances"][z, 0, 0]) * rng.normal(size=n))[:, None]
    return truth, estep.GaussianHMM(2, init={"startprob": [0.5, 0.5], **truth}, tol=1e-9, max_iter=5000), (x,)


MODELS = {f.__name__: f for f in (gaussian_mixture, latent_class, regressions, normal_with_gaps, hidden_markov)}


def coverage(make, replications, seed, interval):
    """Share of intervals that hold the truth, over all free parameters of all replications."""
    held, asked = 0, 0
    for i in range(replications):
        truth, fit, rows = make(np.random.default_rng([seed, i]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit.fit(*rows)
            found = interval(fit, rows)
        for name, value in truth.items():
            low, high = found[name][..., 0], found[name][..., 1]
            told = np.isfinite(low) & np.isfinite(high)
            held += int(((low <= value) & (value <= high))[told].sum())
            asked += int(told.sum())
    return held / asked


@pytest.mark.parametrize("model", MODELS)
def test_intervals_cover(model):
    assert 0.93 <= coverage(MODELS[model], REPLICATIONS, 1, lambda fit, rows: fit.confint(*rows)) <= 0.97


@pytest.mark.parametrize("model", ["latent_class", "hidden_markov"])
def test_intervals_of_complete_data_do_not(model):
    """Negative control: as if the labels had been seen."""

    def narrow(fit, rows):
        errors, out = fit.standard_errors(*rows), {}
        inverse = np.linalg.inv(errors.complete)
        for name, slope in errors.jacobian.items():
            se = np.sqrt(np.einsum("...p,pq,...q->...", slope, inverse, slope))
            out[name] = np.stack([errors.estimates[name] - 1.96 * se, errors.estimates[name] + 1.96 * se], axis=-1)
        return out

    assert coverage(MODELS[model], 150, 2, narrow) < 0.93
