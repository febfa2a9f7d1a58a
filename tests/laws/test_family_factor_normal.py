"""The factor-analytic normal family: every law with and without missing entries, Woodbury beside the whole covariance."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import estep
from estep.core.support import Constraints
from estep.data import Memory
from estep.families import factor_stats
from estep.families.factor_normal import FactorNormal
from estep.families.factor_rotation import canonical, redundant
from estep.families.factor_stats import FactorParams
from estep.testing import check_family

D, Q = 6, 2


def rows(missing, n=80, seed=0):
    rng = np.random.default_rng(seed)
    loadings = 1.5 * rng.normal(size=(D, Q))
    X = rng.normal(size=(n, Q)) @ loadings.T + 0.9 * rng.normal(size=(n, D)) + 3.0
    if missing:
        X[rng.random(X.shape) < 0.1] = np.nan
        X[5] = np.nan
    return X


KINDS = [("diag", "none", 1), ("diag", "none", 2), ("diag", "noise", 2), ("spherical", "none", 2), ("spherical", "noise", 2)]


@pytest.mark.parametrize(("noise_type", "shared", "k"), KINDS)
def test_laws(noise_type, shared, k):
    check_family(FactorNormal(Q, noise_type, shared, floor=1e-4), rows(False), k=k, has_hidden_part=True)


@pytest.mark.parametrize(("noise_type", "k"), [("diag", 1), ("spherical", 2)])
def test_laws_with_missing_entries(noise_type, k):
    check_family(FactorNormal(Q, noise_type, floor=1e-4), rows(True), k=k, has_hidden_part=True)


def test_laws_with_fixed_and_tied_entries():
    """Fixed means and loadings (confirmatory) and fixed or tied uniquenesses; the family itself maximises what is tied."""
    means, loadings, noise = np.full((2, D), np.nan), np.full((2, D, Q), np.nan), np.full((2, D), np.nan)
    means[0, 1], loadings[:, :2, 1], loadings[0, 3, 0], noise[1, 2] = 3.2, 0.0, 0.7, 0.8
    ties = np.arange(2 * D).reshape(2, D)
    ties[0, 4] = ties[1, 4]
    constraints = Constraints(dict(means=means, loadings=loadings, uniquenesses=noise), dict(uniquenesses=ties))
    family = FactorNormal(Q, floor=1e-4).bind(Memory(rows(False)))
    start, support = family.start(2), family.support(family.start(2), constraints)
    obedient = support.unpack(support.pack(start), start)
    check_family(family, rows(False), k=2, has_hidden_part=True, constraints=constraints, params=obedient)


@pytest.mark.parametrize("observed", [range(D), [0, 2, 5], [3]])
def test_the_density_is_that_of_the_whole_covariance(observed):
    rng, observed = np.random.default_rng(1), list(observed)
    params = FactorParams(rng.normal(size=(2, D)), rng.normal(size=(2, D, Q)), rng.uniform(0.2, 2.0, size=(2, D)))
    X = np.full((7, D), np.nan)
    X[:, observed] = rng.normal(size=(7, len(observed)))
    family = FactorNormal(Q).bind(Memory(rows(False)))
    found = family.log_density(params, family.encode(X))
    for k in range(2):
        cov = params.loadings[k] @ params.loadings[k].T + np.diag(params.uniquenesses[k])
        law = multivariate_normal(params.means[k, observed], cov[np.ix_(observed, observed)])
        np.testing.assert_allclose(found[:, k], law.logpdf(X[:, observed]).ravel(), rtol=1e-12)
        scores = factor_stats.factor_means(params, family.encode(X))[:, k]
        joint = params.loadings[k][observed].T @ np.linalg.inv(cov[np.ix_(observed, observed)])
        np.testing.assert_allclose(scores, (X[:, observed] - params.means[k, observed]) @ joint.T, rtol=1e-10)


def test_complete_rows_of_one_component_end_where_the_normal_marginal_says():
    """With as many numbers as a covariance has (spherical, q = d - 1), maximum likelihood is the sample covariance itself."""
    X = rows(False)[:, :3]
    fit = estep.FactorAnalysis(2, noise_type="spherical", tol=1e-14, max_iter=20_000).fit(X)
    np.testing.assert_allclose(fit.covariance_, np.cov(X.T, bias=True), rtol=1e-5)
    np.testing.assert_allclose(fit.mean_, X.mean(axis=0), rtol=1e-8)


def test_turns():
    rng = np.random.default_rng(2)
    params = FactorParams(np.zeros((1, D)), rng.normal(size=(1, D, 3)), rng.uniform(0.5, 2.0, size=(1, D)))
    turned = canonical(params)
    np.testing.assert_allclose(turned.loadings[0] @ turned.loadings[0].T, params.loadings[0] @ params.loadings[0].T, atol=1e-12)
    inside = turned.loadings[0].T @ (turned.loadings[0] / params.uniquenesses[0][:, None])
    np.testing.assert_allclose(inside, np.diag(np.diag(inside)), atol=1e-12)
    assert (np.diff(np.diag(inside)) < 0).all()


def test_what_nothing_identifies_is_not_counted():
    free = Constraints()
    assert redundant(free, 2, D, 3) == 6
    triangle = np.full((1, D, 3), np.nan)
    triangle[0, 0, 1:] = triangle[0, 1, 2] = 0.0
    assert redundant(Constraints(dict(loadings=triangle)), 1, D, 3) == 0
    one_zero = np.full((1, D, 3), np.nan)
    one_zero[0, 0, 2] = 0.0
    assert redundant(Constraints(dict(loadings=one_zero)), 1, D, 3) == 2
    shared = np.tile(np.arange(D * 3).reshape(D, 3), (2, 1, 1))
    assert redundant(Constraints({}, dict(loadings=shared)), 2, D, 3) == 3


def test_degrees_of_freedom_are_the_rank_of_the_map_to_the_covariance():
    """An independent count: the rank of d(mean, L L' + Psi) / d(parameters) at a generic point."""
    rng = np.random.default_rng(3)
    for q, noise_type in ((1, "diag"), (2, "diag"), (3, "diag"), (2, "spherical")):
        fit_dof = _dof(q, noise_type)
        L, psi = rng.normal(size=(D, q)), rng.uniform(0.5, 2.0, size=D)
        moves = []
        for i in range(D):
            for j in range(q):
                e = np.zeros((D, q))
                e[i, j] = 1.0
                moves.append(e @ L.T + L @ e.T)
        moves += [np.diag(np.eye(D)[i]) for i in range(D)] if noise_type == "diag" else [np.eye(D)]
        assert fit_dof == D + np.linalg.matrix_rank(np.array([m.ravel() for m in moves])), (q, noise_type, psi)


def _dof(q, noise_type):
    X = rows(False, n=200)
    return int(estep.FactorAnalysis(q, noise_type=noise_type, max_iter=20_000, floor=1e-6, tol=1e-4).fit(X).result_.n_free)


@pytest.mark.filterwarnings("ignore::estep.ConvergenceWarning")
def test_recovered_from_a_sample_of_itself_with_everything_together():
    """Two components with missing entries, weights, some labels and a fixed mean, all at once."""
    rng = np.random.default_rng(4)
    truth = FactorParams(np.array([np.zeros(D), np.full(D, 6.0)]), rng.normal(size=(2, D, 1)) + 1.0, np.full((2, D), 0.5))
    labels = rng.integers(2, size=400)
    X = FactorNormal(1).sample(truth, labels, rng)
    X[rng.random(X.shape) < 0.15] = np.nan
    y = np.where(rng.random(400) < 0.2, labels, -1)
    weight = rng.integers(1, 3, size=400).astype(float)
    means = np.full((2, D), np.nan)
    means[0, 0] = 0.0
    fit = estep.FactorAnalysis(1, 2, random_state=0, n_init=3, fixed=dict(means=means), tol=1e-6).fit(
        X, y, sample_weight=weight
    )
    assert fit.means_[0, 0] == 0.0
    assert (fit.predict(X, y=y) == labels).mean() > 0.99
    cov = truth.loadings @ truth.loadings.transpose(0, 2, 1) + 0.5 * np.eye(D)
    # 150 and more effective rows a component: a standard error of a variance is below 2 v / sqrt(150)
    assert np.abs(fit.covariances_ - cov).max() < 6 * 2 * cov.max() / np.sqrt(150)


def test_a_forgotten_covariance_of_hidden_entries_is_noticed():
    """The planted bug: hidden entries counted at their conditional means, without the variance around them."""

    class Forgetful(FactorNormal):
        def stats(self, params, encoded, resp):
            found = super().stats(params, encoded, resp)
            return dataclasses.replace(found, square=found.square * 0.98)

    with pytest.raises(AssertionError, match="slope"):
        check_family(Forgetful(Q, floor=1e-4), rows(True), k=1, has_hidden_part=True)


def test_bad_settings():
    for bad, word in ((dict(n_factors=0), "n_factors"), (dict(noise_type="full"), "noise_type"), (dict(floor=2.0), "floor")):
        with pytest.raises(ValueError, match=word):
            FactorNormal(**bad)
    with pytest.raises(ValueError, match="already tie them"):
        estep.FactorAnalysis(1, noise_type="spherical", tied=dict(uniquenesses=np.zeros((1, D), int))).fit(rows(False))
    with pytest.raises(ValueError, match="use fewer factors than columns"):
        estep.FactorAnalysis(9).fit(rows(False))
