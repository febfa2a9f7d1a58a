"""Gaussian mixtures whose rows carry more: noise, frequency weights, partial labels, hard assignment; and k-means."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import estep

HERE = Path(__file__).parent
GOLDEN = {case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))}
MORE = json.loads((HERE / "mclust_more.json").read_text(encoding="utf-8"))
STRICT = {"tol": 1e-12, "max_iter": 20_000, "prior": None}


def frame(name):
    return pd.read_csv(HERE / "data" / Path(name).name)


def relative(actual, expected, rtol):
    """Equality relative to the largest entry: an entry that is zero by symmetry has no digits of its own."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rtol * np.abs(expected).max())


# ---- a uniform noise component -----------------------------------------------------------------------------------


@pytest.mark.parametrize("accelerate", ["none", "auto"])
@pytest.mark.parametrize("code", ["EEV", "VVV"])
def test_chevron_with_noise(code, accelerate):
    case = GOLDEN["gmm-chevron-noise"]
    table = frame(case["data"][0])
    X, labels = table[["x", "y"]].to_numpy(), table["start"].to_numpy() - 1
    fit = estep.GaussianMixture(2, covariance_type=code, noise=True, init=labels, accelerate=accelerate, **STRICT).fit(
        X
    )
    entry = case["expected"][code]
    assert fit.log_likelihood_ == pytest.approx(entry["loglik"], abs=1e-5)
    np.testing.assert_allclose(fit.weights_, entry["weights_incl_noise_last"], rtol=1e-4)
    relative(fit.means_, entry["means"], 1e-4)
    relative(fit.covariances_, entry["covariances"], 1e-4)
    assert np.sum(fit.predict(X) == -1) == entry["n_noise"]


NOISE = [(case, code) for case in MORE["noise"] for code in case["models"]]


@pytest.mark.parametrize(("case", "code"), [pytest.param(*pair, id=f"{pair[0]['id']}-{pair[1]}") for pair in NOISE])
def test_contaminated_samples(case, code):
    """In one sample the box of the columns is the smaller volume, in the other that of the principal components."""
    table = frame(case["data"])
    X, labels = table[["x", "y"]].to_numpy(), table["start"].to_numpy() - 1
    fit = estep.GaussianMixture(2, covariance_type=code, noise=True, init=labels, **STRICT).fit(X)
    entry = case["models"][code]
    assert fit.trace_[0] == pytest.approx(entry["loglik_after_first_mstep"], abs=1e-6)
    assert fit.log_likelihood_ == pytest.approx(entry["loglik"], abs=1e-5)
    assert fit.weights_.shape == (3,)
    np.testing.assert_allclose(fit.weights_, entry["weights"], rtol=1e-4)
    np.testing.assert_allclose(fit.means_, entry["means"], atol=1e-3)
    relative(fit.covariances_, entry["covariances"], 1e-4)
    predicted = fit.predict(X)
    assert [np.sum(predicted == label) for label in (0, 1, -1)] == entry["sizes"]
    # Far from all data the noise is all there is.
    assert fit.predict(np.full((1, 2), 1e3))[0] == -1


# ---- frequency weights ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", MORE["weights"]["models"])
def test_weights_are_frequencies(code):
    case = MORE["weights"]
    table = frame(case["data"])
    X, labels = table[case["columns"]].to_numpy(), table["start"].to_numpy() - 1
    w = 1 + np.arange(len(X)) % 3
    model = estep.GaussianMixture(2, covariance_type=code, init=labels, accelerate="none", **STRICT)
    fit = model.fit(X, sample_weight=w)
    for entry in case["models"][code].values():
        assert fit.log_likelihood_ == pytest.approx(entry["loglik"], abs=1e-5)
        np.testing.assert_allclose(fit.weights_, entry["weights"], rtol=1e-5)
        relative(fit.means_, entry["means"], 1e-5)
        relative(fit.covariances_, entry["covariances"], 1e-5)
    repeated = estep.GaussianMixture(
        2, covariance_type=code, init=np.repeat(labels, w), accelerate="none", **STRICT
    ).fit(np.repeat(X, w, axis=0))
    assert fit.log_likelihood_ == pytest.approx(repeated.log_likelihood_, rel=1e-12)
    relative(fit.covariances_, repeated.covariances_, 1e-6)  # so tight a rule may end a pass apart by rounding
    bic = case["models"][code]["repeated_rows"]["bic"]
    assert fit.bic(X, sample_weight=w) == pytest.approx(-bic, abs=2e-5)
    # Negative control: the weights matter.
    unweighted = estep.GaussianMixture(2, covariance_type=code, init=labels, **STRICT).fit(X)
    assert abs(unweighted.weights_[0] - fit.weights_[0]) > 1e-3


def test_weights_are_frequencies_in_the_stop_rule():
    """At the default tolerance, far above rounding, both runs stop after the same pass."""
    table = frame("faithful.csv")
    X, labels = table[["eruptions", "waiting"]].to_numpy(), table["start"].to_numpy() - 1
    w = 1 + np.arange(len(X)) % 3
    weighted = estep.GaussianMixture(2, init=labels, prior=None).fit(X, sample_weight=w)
    repeated = estep.GaussianMixture(2, init=np.repeat(labels, w), prior=None).fit(np.repeat(X, w, axis=0))
    assert weighted.n_iter_ == repeated.n_iter_
    assert weighted.converged_ and repeated.converged_
    relative(weighted.covariances_, repeated.covariances_, 1e-10)


# ---- partial labels ------------------------------------------------------------------------------------------------


def semi_supervised():
    case = MORE["semi_supervised"]
    table = frame(case["data"])
    labels = table["label"].map({name: k for k, name in enumerate(case["classes"])}).fillna(-1).to_numpy(dtype=int)
    return table[case["columns"]].to_numpy(), labels


@pytest.mark.parametrize("accelerate", ["none", "auto"])
@pytest.mark.parametrize("code", MORE["semi_supervised"]["models"])
def test_iris_with_every_fifth_label(code, accelerate):
    X, labels = semi_supervised()
    resp = np.where(labels[:, None] < 0, 1 / 3, labels[:, None] == np.arange(3))
    fit = estep.GaussianMixture(3, covariance_type=code, init=resp, accelerate=accelerate, **STRICT).fit(X, y=labels)
    entry = MORE["semi_supervised"]["models"][code]
    if code == "EVE":
        assert fit.log_likelihood_ >= entry["loglik"] - 1e-3
        return
    assert fit.log_likelihood_ == pytest.approx(entry["loglik"], abs=1e-5)
    assert fit.bic(X, y=labels) == pytest.approx(-entry["bic"], abs=2e-5)
    np.testing.assert_allclose(fit.weights_, entry["weights"], rtol=1e-4)
    relative(fit.means_, entry["means"], 1e-4)
    relative(fit.covariances_, entry["covariances"], 1e-4)


@pytest.mark.parametrize("code", ["EEE", "VVV", "VEV"])
def test_labels_alone_start_the_semi_supervised_fit(code):
    """Without `init` the labelled rows give the start and the order of the components."""
    X, labels = semi_supervised()
    case = GOLDEN["gmm-iris-semisupervised"]
    fit = estep.GaussianMixture(3, covariance_type=code, random_state=0, **STRICT).fit(X, y=labels)
    entry = case["expected"][code]
    assert fit.log_likelihood_ == pytest.approx(entry["loglik"], abs=case["tolerance"]["loglik_abs"])
    relative(fit.means_, entry["means"], case["tolerance"]["parameters_rel"])
    predicted = fit.predict(X, y=labels)
    np.testing.assert_array_equal(predicted[labels >= 0], labels[labels >= 0])
    table = np.zeros((3, 3), dtype=int)
    np.add.at(table, (np.repeat(np.arange(3), 50), predicted), 1)
    np.testing.assert_array_equal(table, entry["table_species_by_predicted"])


# ---- classification EM ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["VVV", "EEE", "EII_equal_weights"])
def test_classification_em(name):
    case = GOLDEN["cem-faithful"]
    table = frame(case["data"][0])
    X, labels = table[["eruptions", "waiting"]].to_numpy(), table["start"].to_numpy() - 1
    fixed = {"weights": [0.5, 0.5]} if name.endswith("equal_weights") else None
    fit = estep.GaussianMixture(2, covariance_type=name[:3], algorithm="cem", init=labels, fixed=fixed, **STRICT).fit(X)
    entry = case["expected"][name]
    assert fit.objective_ == pytest.approx(entry["classification_loglik"], abs=1e-7)
    steps = entry["by_iteration"]
    np.testing.assert_allclose(fit.trace_[: len(steps)], steps, rtol=0, atol=1e-7)
    np.testing.assert_allclose(fit.trace_[len(steps) :], steps[-1], rtol=0, atol=1e-7)
    np.testing.assert_array_equal(np.bincount(fit.predict(X)), entry["sizes"])
    np.testing.assert_allclose(fit.weights_, entry["weights"], atol=1e-10)
    relative(fit.means_, entry["means"], 1e-9)
    relative(fit.covariances_, entry["covariances"], 1e-9)
    # The classification likelihood is not the likelihood.
    assert fit.log_likelihood_ > fit.objective_ + 1e-3


# ---- k-means -------------------------------------------------------------------------------------------------------


def test_kmeans_on_iris():
    case = GOLDEN["kmeans-iris"]
    X = frame(case["data"][0])[case["settings"]["columns"]].to_numpy()
    start, entry = np.array(case["init"]["centers"]), case["expected"]
    fit = estep.KMeans(3, init=start).fit(X)
    assert fit.converged_
    assert fit.inertia_ == pytest.approx(entry["inertia"], abs=1e-8)
    np.testing.assert_allclose(fit.cluster_centers_, entry["centers"], atol=1e-8)
    assert "".join(str(label + 1) for label in fit.labels_) == entry["labels_1_based"]
    np.testing.assert_array_equal(fit.predict(X), fit.labels_)
    # The partition repeats after three steps; a pass or two more may be needed to see it.
    assert len(entry["inertia_by_iteration"]) - 1 <= fit.n_iter_ <= len(entry["inertia_by_iteration"]) + 1


@pytest.mark.parametrize("m", [1, 2, 3])
def test_kmeans_step_by_step(m):
    case = GOLDEN["kmeans-iris"]
    X = frame(case["data"][0])[case["settings"]["columns"]].to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estep.ConvergenceWarning)  # some of the steps are the last
        fit = estep.KMeans(3, init=np.array(case["init"]["centers"]), max_iter=m).fit(X)
    assert fit.inertia_ == pytest.approx(case["expected"]["inertia_by_iteration"][m], abs=1e-8)
