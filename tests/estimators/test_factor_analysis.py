"""Factor analysis as an estimator: scores, covariances given as such, Heywood cases, mixtures, bad input."""

import warnings

import numpy as np
import pandas as pd
import pytest

import estep

D = 8


def sample(seed=0, n=300, q=2, missing=0.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, q)) @ (1.5 * rng.normal(size=(q, D))) + rng.normal(size=(n, D))
    X[rng.random(X.shape) < missing] = np.nan
    return X


def test_a_covariance_stands_for_its_rows():
    X = sample()
    rows = estep.FactorAnalysis(2, tol=1e-12).fit(X)
    matrix = estep.FactorAnalysis(2, tol=1e-12).fit_covariance(np.cov(X.T, bias=True), 300, X.mean(axis=0))
    assert matrix.log_likelihood_ == pytest.approx(rows.log_likelihood_, rel=1e-11)
    np.testing.assert_allclose(matrix.loadings_, rows.loadings_, atol=1e-6)
    assert matrix.result_.n == pytest.approx(300)


@pytest.mark.parametrize(
    ("S", "n", "word"),
    [
        (np.ones((2, 3)), 10, "symmetric"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), 10, "negative eigenvalue"),
        (np.eye(3), 0, "n must be above zero"),
    ],
)
def test_bad_covariances(S, n, word):
    with pytest.raises(ValueError, match=word):
        estep.FactorAnalysis(1).fit_covariance(S, n)


def test_a_mixture_takes_no_covariance():
    with pytest.raises(ValueError, match="a mixture needs the rows"):
        estep.FactorAnalysis(1, 2).fit_covariance(np.eye(3), 20)


def test_scores_loadings_and_covariance_belong_together():
    X = sample(missing=0.1)
    fit = estep.FactorAnalysis(2).fit(X)
    assert fit.loadings_.shape == (D, 2)
    np.testing.assert_allclose(fit.loadings_ @ fit.loadings_.T + np.diag(fit.uniquenesses_), fit.covariance_, rtol=1e-12)
    np.testing.assert_allclose(fit.get_covariance(), fit.covariance_)
    whole = np.flatnonzero(~np.isnan(X).any(axis=1))[:5]
    by_hand = (X[whole] - fit.mean_) @ np.linalg.solve(fit.covariance_, fit.loadings_)
    np.testing.assert_allclose(fit.transform(X)[whole], by_hand, rtol=1e-8, atol=1e-10)
    assert fit.get_feature_names_out().tolist() == ["factoranalysis0", "factoranalysis1"]
    inside = fit.loadings_.T @ (fit.loadings_ / fit.uniquenesses_[:, None])
    assert abs(inside[0, 1]) < 1e-8 * inside[0, 0]


def test_zeros_stay_zero():
    """Confirmatory: each column loads on one factor; loadings are shown as they were fixed, counted as they are free."""
    X = sample()
    fixed = np.full((D, 2), np.nan)
    fixed[:4, 1] = fixed[4:, 0] = 0.0
    fit = estep.FactorAnalysis(2, fixed=dict(loadings=fixed), max_iter=5000).fit(X)
    assert (fit.loadings_[fixed == 0.0] == 0.0).all()
    assert fit.result_.n_free == D + D + D


def test_heywood_cases_are_named():
    X = sample()
    X[:, 1] = X[:, 0] + 1e-6 * X[:, 1]
    with pytest.warns(estep.ConvergenceWarning, match="Heywood case, the uniqueness of 'a', 'b'") as said:
        fit = estep.FactorAnalysis(2).fit(pd.DataFrame(X, columns=list("abcdefgh")))
    assert len(said) == 1
    assert fit.status_ is estep.Status.BOUNDARY
    assert fit.converged_
    np.testing.assert_allclose(fit.uniquenesses_[:2], 0.005 * X[:, :2].var(axis=0), rtol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        regular = estep.FactorAnalysis(2, prior="default").fit(X)
    assert (regular.uniquenesses_ > 0.005 * X.var(axis=0)).all()


def test_more_factors_than_a_covariance_can_tell():
    X = sample()[:, :3]
    with pytest.warns(estep.ConvergenceWarning, match="2 factors of 3 columns have 8 loadings and uniquenesses for 6"):
        fit = estep.FactorAnalysis(2, floor=1e-6, max_iter=5000, tol=1e-7).fit(X)
    assert fit.result_.n_free == 3 + 6
    np.testing.assert_allclose(fit.covariance_, np.cov(X.T, bias=True), rtol=1e-2)


def test_missing_entries_cost_no_bias():
    """A column missing where another is large: available means are far off, the fitted mean is not."""
    X = sample(n=2000)
    Y = X.copy()
    Y[X[:, 0] > np.median(X[:, 0]), 1] = np.nan
    fit = estep.FactorAnalysis(2).fit(Y)
    error = X[:, 1].std() / np.sqrt(1000)
    assert abs(np.nanmean(Y[:, 1]) - X[:, 1].mean()) > 5 * error
    assert abs(fit.mean_[1] - X[:, 1].mean()) < 5 * error


@pytest.mark.filterwarnings("ignore::estep.ConvergenceWarning")
def test_a_mixture():
    X = np.vstack([sample(q=1), sample(1, q=1) + 8.0])
    fit = estep.FactorAnalysis(1, 2, random_state=0, n_init=2, tol=1e-6).fit(X)
    assert fit.loadings_.shape == (2, D, 1)
    assert fit.transform(X).shape == (600, 2)
    assert np.bincount(fit.predict(X)).tolist() == [300, 300]
    assert fit.predict_proba(X).shape == (600, 2)
    assert fit.result_.n_free == 1 + 2 * (D + D + D)
    shared = estep.FactorAnalysis(1, 2, shared="noise", random_state=0, n_init=2, tol=1e-6).fit(X)
    np.testing.assert_array_equal(shared.uniquenesses_[0], shared.uniquenesses_[1])
    assert shared.result_.n_free == fit.result_.n_free - D


def test_bad_settings():
    for settings, word in (
        (dict(n_factors=0), "n_factors"),
        (dict(noise_type="full"), "noise_type"),
        (dict(shared="all"), "shared"),
        (dict(floor=-1.0), "floor"),
        (dict(fixed=dict(loadings=np.zeros((2, 2)))), "loadings"),
        (dict(init=dict(means=np.zeros(D), loadings=np.ones((D, 1)), uniquenesses=np.zeros(D))), "uniquenesses"),
        (dict(prior=dict(strength=-1.0)), "strength"),
        (dict(prior=dict(dof=3)), "unknown settings"),
    ):
        with pytest.raises(ValueError, match=word):
            estep.FactorAnalysis(**{"n_factors": 1, **settings}).fit(sample())
