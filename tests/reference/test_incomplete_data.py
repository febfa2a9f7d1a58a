"""Normals, tables, factors and topics beside other software and papers: R norm, cat, factanal, lavaan, scikit-learn."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import estep

HERE = Path(__file__).parent
GOLDEN = {case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))}


def frame(case, **how):
    return pd.read_csv(HERE / "data" / Path(case["data"][0]).name, **how)


def passes(estimator, n, fit):
    """The estimator after exactly ``n`` plain EM steps; that it says so is no news here."""
    estimator.set_params(max_iter=n, accelerate="none", tol=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estep.ConvergenceWarning)
        return fit(estimator)


# --- the multivariate normal -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["miss-airquality", "miss-hald-rubin"])
def test_normal_after_one_step_and_at_the_maximum(name):
    case = GOLDEN[name]
    X, init, expected = frame(case)[case["settings"]["columns"]], case["init"], case["expected"]
    start = dict(mean=init["mean"], covariance=init["covariance"])
    one = passes(estep.MultivariateNormal(init=start), 1, lambda e: e.fit(X))
    assert one.trace_[0] == pytest.approx(expected["loglik_initial"], abs=1e-6)
    np.testing.assert_allclose(one.mean_, expected["after_1"]["mean"], rtol=case["tolerance"]["after_1_rel"])
    np.testing.assert_allclose(one.covariance_, expected["after_1"]["covariance"], rtol=case["tolerance"]["after_1_rel"])
    end = estep.MultivariateNormal(tol=1e-13, max_iter=20_000).fit(X)
    assert end.converged_
    assert end.log_likelihood_ == pytest.approx(expected["loglik"], abs=case["tolerance"]["loglik_abs"])
    np.testing.assert_allclose(end.mean_, expected["mean"], rtol=case["tolerance"]["mle_rel"])
    np.testing.assert_allclose(end.covariance_, expected["covariance"], rtol=case["tolerance"]["mle_rel"])


@pytest.mark.parametrize("start", ["pos", "neg", "zero"])
def test_murray_from_given_starts(start):
    case = GOLDEN["miss-murray-bimodal"]
    X, entry = frame(case), case["expected"][start]
    given = dict(init=dict(mean=np.zeros(2), covariance=entry["start"]), fixed=dict(mean=np.zeros(2)), tol=1e-14)
    one = passes(estep.MultivariateNormal(**given), 1, lambda e: e.fit(X))
    np.testing.assert_allclose(one.covariance_, entry["after_1"], atol=1e-9)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        end = estep.MultivariateNormal(**given).fit(X)
    np.testing.assert_allclose(end.covariance_, entry["covariance"], atol=case["tolerance"]["covariance_abs"])
    assert end.log_likelihood_ == pytest.approx(entry["loglik"], abs=case["tolerance"]["loglik_abs"])
    assert (end.status_ is estep.Status.SADDLE) == (start == "zero")
    assert len(said) == (start == "zero")


@pytest.mark.parametrize("n_init", [1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_murray_from_the_default_start_ends_at_a_maximum(n_init, seed):
    case = GOLDEN["miss-murray-bimodal"]
    fit = estep.MultivariateNormal(n_init=n_init, random_state=seed, tol=1e-13).fit(frame(case))
    assert fit.log_likelihood_ == pytest.approx(-29.9742864105, abs=1e-8)
    assert abs(fit.covariance_[0, 1]) == pytest.approx(4 / 3, abs=1e-5)
    assert ("saddle" in fit.result_.message) == (n_init == 1)


def test_apple_crop():
    """Snedecor and Cochran's 18 trees: monotone, so regression gives the maximum in closed form."""
    size = [8, 6, 11, 22, 14, 17, 18, 24, 19, 23, 26, 40, 4, 4, 5, 6, 8, 10]
    worms = [59, 58, 56, 53, 50, 45, 43, 42, 39, 38, 30, 27] + [np.nan] * 6
    fit = estep.MultivariateNormal(tol=1e-14).fit(np.column_stack([size, worms]))
    assert fit.log_likelihood_ == pytest.approx(-101.785632, abs=1e-6)
    np.testing.assert_allclose(fit.mean_, [14.722222, 49.333333], atol=1e-5)
    np.testing.assert_allclose(fit.covariance_, [[89.533951, -90.696729], [-90.696729, 114.694955]], atol=1e-4)


# --- the table ----------------------------------------------------------------------------------------------------


def crimes():
    table = frame(GOLDEN["miss-crime-2x2"])
    return table.iloc[:, :2], table["count"]


def test_crime_visits():
    case, (X, count) = GOLDEN["miss-crime-2x2"], crimes()
    one = passes(estep.SaturatedMultinomial(), 1, lambda e: e.fit(X, sample_weight=count))
    np.testing.assert_allclose(one.cells_, case["expected"]["after_1"], atol=1e-12)
    fit = estep.SaturatedMultinomial(tol=1e-15).fit(X, sample_weight=count)
    np.testing.assert_allclose(fit.cells_, case["expected"]["cells_row_visit1_col_visit2"], atol=case["tolerance"]["abs"])
    assert fit.log_likelihood_ == pytest.approx(case["expected"]["loglik"], abs=1e-8)
    assert fit.odds_ratio("visit1", "visit2") == pytest.approx(3.5637, abs=1e-3)


def test_crime_visits_after_the_eight_steps_of_r_cat():
    X, count = crimes()
    fit = passes(estep.SaturatedMultinomial(), 8, lambda e: e.fit(X, sample_weight=count))
    np.testing.assert_allclose(fit.cells_.ravel(), [0.6971217, 0.0986317, 0.1357838, 0.0684628], atol=1e-7)


@pytest.mark.parametrize(
    ("prior", "cells"),
    [(1.5, [0.6956608, 0.0991320, 0.1361516, 0.0690556]), (2.0, [0.6942076, 0.0996305, 0.1365180, 0.0696439])],
)
def test_crime_visits_with_a_prior(prior, cells):
    X, count = crimes()
    fit = estep.SaturatedMultinomial(prior=prior, tol=1e-15).fit(X, sample_weight=count)
    np.testing.assert_allclose(fit.cells_.ravel(), cells, atol=1e-7)


# --- factors --------------------------------------------------------------------------------------------------------


def test_ability_tests_step_by_step_and_at_the_maximum():
    case = GOLDEN["fa-ability"]
    S = frame(case).to_numpy()
    R, expected = S / np.sqrt(np.outer(np.diag(S), np.diag(S))), case["expected"]
    start = dict(means=np.zeros(6), loadings=case["init"]["loadings"], uniquenesses=np.full(6, 0.5))
    fit_to = lambda e: e.fit_covariance(R, case["settings"]["n_obs"])  # noqa: E731
    one = passes(estep.FactorAnalysis(2, init=start), 1, fit_to)
    assert one.trace_[0] == pytest.approx(expected["em_iteration_0_loglik"], abs=1e-8)
    assert one.log_likelihood_ == pytest.approx(expected["em_iteration_1"]["loglik"], abs=1e-8)
    np.testing.assert_allclose(one.uniquenesses_, expected["em_iteration_1"]["uniquenesses"], atol=1e-9)
    np.testing.assert_allclose(one.loadings_ @ one.loadings_.T, expected["em_iteration_1"]["common_covariance"], atol=1e-9)
    ten = passes(estep.FactorAnalysis(2, init=start), 10, fit_to)
    assert ten.log_likelihood_ == pytest.approx(expected["em_iteration_10_loglik"], abs=1e-8)
    end = fit_to(estep.FactorAnalysis(2, tol=1e-12, max_iter=5000))
    assert end.log_likelihood_ == pytest.approx(expected["loglik"], abs=1e-6)  # at least factanal's, to its digits
    np.testing.assert_allclose(end.uniquenesses_, expected["uniquenesses"], atol=1e-5)
    np.testing.assert_allclose(end.loadings_ @ end.loadings_.T, expected["common_covariance"], atol=1e-5)
    assert end.result_.n_free - 6 == 21 - expected["degrees_of_freedom"]  # of 21 variances and covariances


@pytest.mark.parametrize("q", [1, 2])
def test_probabilistic_pca_of_iris(q):
    case = GOLDEN["ppca-iris"]
    X, expected = frame(case).iloc[:, :4], case["expected"][f"q{q}"]
    W = np.where(np.eye(4, q) > 0, 0.6, 0.1)
    start = dict(means=X.mean().to_numpy(), loadings=W, uniquenesses=np.ones(4))
    make = lambda: estep.FactorAnalysis(q, noise_type="spherical", init=start)  # noqa: E731
    one = passes(make(), 1, lambda e: e.fit(X))
    assert one.trace_[0] == pytest.approx(expected["em_iteration_0_loglik"], abs=1e-8)
    assert one.log_likelihood_ == pytest.approx(expected["em_iteration_1"]["loglik"], abs=1e-8)
    assert one.noise_variance_ == pytest.approx(expected["em_iteration_1"]["noise_variance"], abs=1e-10)
    ten = passes(make(), 10, lambda e: e.fit(X))
    assert ten.log_likelihood_ == pytest.approx(expected["em_iteration_10_loglik"], abs=1e-8)
    end = estep.FactorAnalysis(q, noise_type="spherical", tol=1e-13, max_iter=5000).fit(X)
    assert end.log_likelihood_ == pytest.approx(expected["loglik"], abs=1e-8)
    assert end.noise_variance_ == pytest.approx(expected["noise_variance"], abs=1e-8)
    np.testing.assert_allclose(end.loadings_ @ end.loadings_.T, expected["loadings_times_transpose"], atol=1e-7)


def test_factor_analysis_beside_scikit_learn():
    from sklearn.decomposition import PCA, FactorAnalysis

    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 8)) * 1.5 + rng.normal(size=(300, 8))
    theirs = FactorAnalysis(2, tol=1e-12, max_iter=20_000, svd_method="lapack").fit(X)
    ours = estep.FactorAnalysis(2, tol=1e-13, max_iter=20_000).fit(X)
    assert ours.score(X) >= theirs.score(X) - 1e-12
    np.testing.assert_allclose(ours.covariance_, theirs.get_covariance(), atol=1e-5)  # theirs stops by a change in likelihood
    signs = np.sign((ours.transform(X) * theirs.transform(X)).sum(axis=0))
    both = np.linalg.lstsq(theirs.transform(X), ours.transform(X) * signs, rcond=None)[0]
    np.testing.assert_allclose(both @ both.T, np.eye(2), atol=1e-3)  # the same scores, turned
    spherical = estep.FactorAnalysis(2, noise_type="spherical", tol=1e-14, max_iter=20_000).fit(X)
    scale = (len(X) - 1) / len(X)  # scikit-learn divides by n - 1
    assert spherical.noise_variance_ == pytest.approx(PCA(2).fit(X).noise_variance_ * scale, rel=1e-6)


# --- topics ----------------------------------------------------------------------------------------------------------


def titles():
    case = GOLDEN["plsa-deerwester"]
    X = frame(case, index_col=0).T  # documents in rows
    words, topics = np.arange(12), np.arange(2)
    phi = 1.0 + (words + 2 * topics[:, None]) % 5
    theta = 1.0 + (3 * topics + np.arange(9)[:, None]) % 4
    init = dict(topics=phi / phi.sum(axis=1, keepdims=True), documents=theta / theta.sum(axis=1, keepdims=True))
    return case["expected"], X, init


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, sparse.coo_matrix])
def test_titles_step_by_step(kind):
    expected, X, init = titles()
    one = passes(estep.PLSA(2, init=init), 1, lambda e: e.fit(kind(X)))
    assert one.trace_[0] == pytest.approx(expected["iteration_0_loglik"], abs=1e-9)
    assert one.log_likelihood_ == pytest.approx(expected["iteration_1"]["loglik"], abs=1e-9)
    np.testing.assert_allclose(one.topics_.T, expected["iteration_1"]["P_term_given_topic"], atol=1e-10)
    np.testing.assert_allclose(one.document_topics_.T, expected["iteration_1"]["P_topic_given_document"], atol=1e-10)


def test_titles_at_the_end():
    expected, X, init = titles()
    hundred = passes(estep.PLSA(2, init=init), 100, lambda e: e.fit(X))
    assert hundred.log_likelihood_ == pytest.approx(expected["iteration_100"]["loglik"], abs=1e-8)
    end = estep.PLSA(2, init=init, tol=1e-13, max_iter=5000).fit(X)
    assert end.log_likelihood_ == pytest.approx(expected["converged"]["loglik"], abs=1e-6)
    np.testing.assert_allclose(end.topics_.T, expected["converged"]["P_term_given_topic"], atol=1e-4)


def test_fixed_points_of_kullback_leibler_factorisation():
    """scikit-learn's NMF, normalised, is left where it is by an EM step; a point moved from it is not."""
    from sklearn.decomposition import NMF

    X = np.random.default_rng(0).poisson(2.0, size=(15, 9)).astype(float)
    nmf = NMF(2, beta_loss="kullback-leibler", solver="mu", tol=0.0, max_iter=20_000, random_state=0, init="random")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it makes all of its passes is what is asked for
        W = nmf.fit_transform(X)
    H = nmf.components_
    topics, W = H / H.sum(axis=1, keepdims=True), W * H.sum(axis=1)
    documents = W / W.sum(axis=1, keepdims=True)
    one = passes(estep.PLSA(2, init=dict(topics=topics, documents=documents)), 1, lambda e: e.fit(X))
    np.testing.assert_allclose(one.topics_, topics, atol=1e-6)
    np.testing.assert_allclose(one.document_topics_, documents, atol=1e-6)
    moved = passes(estep.PLSA(2, init=dict(topics=topics, documents=0.5 * documents + 0.25)), 1, lambda e: e.fit(X))
    assert np.abs(moved.topics_ - topics).max() > 1e-3
