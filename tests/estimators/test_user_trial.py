"""What a first user meets: mistakes in data and settings end in a sentence, or in a fit that says what it is worth."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import estep


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("rows", "columns", "settings"),
    [(3, 2, {"n_components": 2, "covariance_type": "EEE"}), (3, 3, {"n_components": 1}), (4, 3, {"n_components": 2})],
)
def test_too_few_rows_for_a_covariance_are_never_a_fit(seed, rows, columns, settings):
    # A rank below d: whether a Cholesky factor exists is a matter of rounding, and the likelihood then is, too.
    X = np.random.default_rng(seed).normal(size=(rows, columns))
    with pytest.warns(estep.ConvergenceWarning, match="collapsed"):
        fit = estep.GaussianMixture(random_state=0, **settings).fit(X)
    assert fit.log_likelihood_ < 20


@pytest.mark.parametrize("seed", range(12))
def test_a_column_that_follows_from_another_is_never_a_fit(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=30)
    X = np.column_stack([x, 2 * x + 1, rng.normal(size=30)])
    with pytest.warns(estep.ConvergenceWarning, match="singular|smallest variance"):
        estep.GaussianMixture().fit(X)


def test_columns_nearly_collinear_are_still_fitted():
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    X = np.column_stack([x, x + 1e-6 * rng.normal(size=500)])  # 1e-12 of the variance is not rounding
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = estep.GaussianMixture(covariance_type="EEE").fit(X)
    expected = np.cov(X.T, bias=True)
    np.testing.assert_allclose(fit.covariances_[0], expected, rtol=1e-9)
