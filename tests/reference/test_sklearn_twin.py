"""Step by step beside scikit-learn: from one start, after m steps, the same parameters.

Convention: from a start in parameters, `max_iter=m` means m full EM steps (an E-step and an M-step each) in both
libraries. estep then makes one exact E-step, so `log_likelihood_` belongs to the parameters returned;
scikit-learn's `lower_bound_` belongs to the parameters one step before, so its `score` is compared instead.
With `reg_covar=0` and `tol=0` scikit-learn's steps are plain maximum likelihood.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import cluster, mixture
from sklearn.exceptions import ConvergenceWarning

import estep

HERE = Path(__file__).parent
K = 3
STEPS = [1, 2, 3, 7, 20]
SHAPES = ["full", "tied", "diag", "spherical"]


def iris():
    table = pd.read_csv(HERE / "data" / "iris.csv")
    return table[["sepal_length", "sepal_width", "petal_length", "petal_width"]].to_numpy()


def overlapping():
    """Three normal clusters about one standard deviation apart: EM is far from convergence after 20 steps."""
    rng = np.random.default_rng(5)
    centers = np.array([[0.0, 0.0, 0.0], [1.2, -0.5, 0.3], [-0.8, 1.0, 1.1]])
    return centers[rng.integers(K, size=400)] + rng.normal(size=(400, 3)) * [1.0, 0.7, 1.3]


DATA = {"iris": iris(), "overlapping": overlapping()}


def start(X, shape):
    """A start that is not symmetric: three rows, unequal weights, unequal covariances in scikit-learn's shape."""
    d = X.shape[1]
    means = X[[10, 70, 130]]
    covariance = np.cov(X.T, bias=True)
    full = np.array([covariance * scale + 0.05 * np.eye(d) for scale in (0.5, 0.8, 1.1)])
    covariances = {
        "full": full,
        "tied": full[1],
        "diag": np.einsum("kjj->kj", full),
        "spherical": np.einsum("kjj->k", full) / d,
    }
    return {"weights": np.array([0.5, 0.2, 0.3]), "means": means, "covariances": covariances[shape]}


def precisions(covariances, shape):
    return np.linalg.inv(covariances) if shape in ("full", "tied") else 1 / covariances


def sklearn_steps(X, shape, m):
    begin = start(X, shape)
    twin = mixture.GaussianMixture(
        K,
        covariance_type=shape,
        tol=0,
        reg_covar=0,
        max_iter=m,
        weights_init=begin["weights"],
        means_init=begin["means"],
        precisions_init=precisions(begin["covariances"], shape),
        init_params="random",
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return twin.fit(X)


def estep_steps(X, shape, m):
    model = estep.GaussianMixture(
        K, covariance_type=shape, init=start(X, shape), accelerate="none", prior=None, tol=1e-15, max_iter=m
    )
    with pytest.warns(estep.ConvergenceWarning):
        return model.fit(X)


def difference(fit, twin):
    """Largest relative difference over weights, means and covariances."""
    pairs = ((getattr(fit, name), getattr(twin, name)) for name in ("weights_", "means_", "covariances_"))
    return max(np.abs(ours - theirs).max() / np.abs(theirs).max() for ours, theirs in pairs)


@pytest.mark.parametrize("m", STEPS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", DATA)
def test_same_parameters_after_m_steps(name, shape, m):
    X = DATA[name]
    fit, twin = estep_steps(X, shape, m), sklearn_steps(X, shape, m)
    for attribute in ("weights_", "means_", "covariances_", "precisions_"):
        assert getattr(fit, attribute).shape == getattr(twin, attribute).shape
    assert difference(fit, twin) < 1e-8
    np.testing.assert_allclose(fit.precisions_, twin.precisions_, rtol=0, atol=1e-7 * np.abs(twin.precisions_).max())
    assert fit.log_likelihood_ == pytest.approx(twin.score(X) * len(X), rel=1e-10)
    assert len(fit.trace_) >= m
    assert fit.trace_[m - 1] == pytest.approx(twin.lower_bound_ * len(X), rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_row_methods_agree(shape):
    X = DATA["iris"]
    fit, twin = estep_steps(X, shape, 7), sklearn_steps(X, shape, 7)
    np.testing.assert_allclose(fit.score_samples(X), twin.score_samples(X), rtol=1e-8)
    np.testing.assert_allclose(fit.predict_proba(X), twin.predict_proba(X), atol=1e-8)
    np.testing.assert_array_equal(fit.predict(X), twin.predict(X))
    assert fit.score(X) == pytest.approx(twin.score(X), rel=1e-10)
    assert fit.bic(X) == pytest.approx(twin.bic(X), rel=1e-10)
    assert fit.aic(X) == pytest.approx(twin.aic(X), rel=1e-10)


def test_one_step_apart_is_noticed():
    """Negative control: parameters after m and m + 1 steps differ by far more than the tolerance."""
    X = DATA["overlapping"]
    assert difference(sklearn_steps(X, "full", 20), sklearn_steps(X, "full", 21)) > 1e-5


@pytest.mark.parametrize("m", range(1, 7))
@pytest.mark.parametrize("name", DATA)
def test_kmeans_after_m_steps(name, m):
    X = DATA[name]
    begin = X[[0, 60, 120]]  # no row is equally far from two centres, which rounding alone would decide
    twin = cluster.KMeans(K, n_init=1, init=begin, algorithm="lloyd", max_iter=m, tol=0).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estep.ConvergenceWarning)  # either may have converged before step m
        fit = estep.KMeans(K, init=begin, max_iter=m).fit(X)
    np.testing.assert_allclose(fit.cluster_centers_, twin.cluster_centers_, rtol=1e-10)
    assert fit.inertia_ == pytest.approx(twin.inertia_, rel=1e-10)
    np.testing.assert_array_equal(fit.labels_, twin.labels_)
