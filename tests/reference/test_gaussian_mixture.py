"""Gaussian mixtures of fourteen structures against converged values of R mclust, from the same partitions.

A run with a label vector begins with an M-step; component k is label k. `trace_[0]` is the log-likelihood after that
M-step, and the end is a local maximum that depends on the start alone, so plain and accelerated EM must both reach it.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import estep

HERE = Path(__file__).parent
GOLDEN = {case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))}
MORE = json.loads((HERE / "mclust_more.json").read_text(encoding="utf-8"))

ITERATED = ("EVE", "VVE")  # no closed-form M-step: mclust's own answer is one of several optima
UNIVARIATE = {"E": "EII", "V": "VII"}
LOGLIK = 1e-5
FIRST_MSTEP = {"VEE": 1e-4}  # mclust's inner iteration stops up to 3e-5 from the maximum; 1e-6 for every other
PARAMETERS = 1e-4


def frame(name):
    return pd.read_csv(HERE / "data" / Path(name).name)


def partitions():
    """(case name, code) -> rows, 0-based labels and mclust's values, for every stored multivariate partition."""
    found = {}
    for name in ("gmm-faithful-14", "gmm-iris-species-14", "gmm-diabetes-class-14"):
        case = GOLDEN[name]
        table = frame(case["data"][0])
        X = table[case["settings"]["columns"]].to_numpy(dtype=float)
        labels = table["start"].to_numpy() - 1
        parameters = case["expected"]["parameters"]
        for code, values in case["expected"]["models"].items():
            entry = {**values, "sizes": values["cluster_sizes"]}
            found[name, code] = X, labels, entry | parameters if code == parameters["model"] else entry
    for case in MORE["partitions"]:
        table = frame(case["data"])
        X = table[case["columns"]].to_numpy(dtype=float)
        labels = table[case["class_column"]].map({c: k for k, c in enumerate(case["classes"])}).to_numpy()
        for code, entry in case["models"].items():
            found[case["id"], code] = X, labels, entry
    return found


PARTITIONS = partitions()
CASES = [pytest.param(key, id="-".join(key)) for key in PARTITIONS]


def gaussian_mixture(labels, code, **settings):
    settings = {"accelerate": "none", "tol": 1e-12, "max_iter": 20_000, "prior": None} | settings
    return estep.GaussianMixture(labels.max() + 1, covariance_type=code, init=labels, **settings)


def check_parameters(fit, entry):
    np.testing.assert_allclose(fit.weights_, entry["weights"], rtol=0, atol=PARAMETERS)
    means, covariances = np.array(entry["means"]), np.array(entry["covariances"])
    scale = np.sqrt(np.einsum("kjj->kj", covariances))  # standard deviations: what a mean can be judged by
    assert fit.means_.shape == means.shape
    assert np.abs((fit.means_ - means) / scale).max() <= PARAMETERS
    assert fit.covariances_.shape == covariances.shape
    assert np.abs((fit.covariances_ - covariances) / (scale[:, :, None] * scale[:, None, :])).max() <= PARAMETERS


@pytest.mark.parametrize("accelerate", ["none", "auto"])
@pytest.mark.parametrize("key", CASES)
def test_converged_values_from_a_partition(key, accelerate):
    X, labels, entry = PARTITIONS[key]
    fit = gaussian_mixture(labels, key[1], accelerate=accelerate).fit(X)
    assert fit.converged_
    assert fit.result_.n_free == entry["n_parameters"]
    assert fit.bic(X) == pytest.approx(-2 * fit.log_likelihood_ + entry["n_parameters"] * np.log(len(X)), abs=1e-8)
    if key[1] in ITERATED:
        assert fit.log_likelihood_ >= entry["loglik"] - 1e-3
        return
    assert fit.log_likelihood_ == pytest.approx(entry["loglik"], abs=LOGLIK)
    assert fit.bic(X) == pytest.approx(-entry["bic"], abs=2 * LOGLIK)
    np.testing.assert_array_equal(np.bincount(fit.predict(X), minlength=labels.max() + 1), entry["sizes"])
    if "means" in entry:
        check_parameters(fit, entry)


@pytest.mark.parametrize("key", CASES)
def test_log_likelihood_after_the_first_mstep(key):
    X, labels, entry = PARTITIONS[key]
    with pytest.warns(estep.ConvergenceWarning):
        fit = gaussian_mixture(labels, key[1], max_iter=1).fit(X)
    assert not fit.converged_
    first = entry["loglik_after_first_mstep"]
    if key[1] in ITERATED:
        # An M-step with a higher q may give a slightly lower likelihood; a wrong one is off by whole nats.
        assert fit.trace_[0] >= first - 1e-1
        return
    assert fit.trace_[0] == pytest.approx(first, abs=FIRST_MSTEP.get(key[1], 1e-6))
    assert fit.log_likelihood_ > fit.trace_[0]


@pytest.mark.parametrize("names", [("spherical", "VII"), ("diag", "VVI"), ("tied", "EEE"), ("full", "VVV")])
def test_names_and_codes_are_the_same_models(names):
    X, labels, entry = PARTITIONS["gmm-iris-species-14", names[1]]
    fit = gaussian_mixture(labels, names[0]).fit(X)
    assert fit.log_likelihood_ == pytest.approx(entry["loglik"], abs=LOGLIK)
    assert fit.result_.n_free == entry["n_parameters"]


def univariate():
    found = {}
    case = GOLDEN["gmm-acidity-univariate"]
    table = frame(case["data"][0])
    for name, entry in case["expected"].items():
        covariances = np.reshape(entry["variances"], (-1, 1, 1))
        values = entry | {"means": np.reshape(entry["means"], (-1, 1)), "covariances": covariances}
        found["acidity-cuts", name] = table[["log_acidity"]].to_numpy(), table[f"start{name[1]}"].to_numpy() - 1, values
    for case in MORE["univariate"]:
        X = frame(case["data"])[case["columns"]].to_numpy()
        for name, entry in case["models"].items():
            k = entry["n_components"]
            cuts = np.quantile(X[:, 0], np.arange(1, k) / k)
            found[case["id"], name] = X, np.searchsorted(cuts, X[:, 0], side="left"), entry
    return found


UNIVARIATE_CASES = univariate()


@pytest.mark.parametrize("accelerate", ["none", "auto"])
@pytest.mark.parametrize("key", [pytest.param(key, id="-".join(key)) for key in UNIVARIATE_CASES])
def test_converged_values_in_one_dimension(key, accelerate):
    X, labels, entry = UNIVARIATE_CASES[key]
    fit = gaussian_mixture(labels, UNIVARIATE[key[1][0]], accelerate=accelerate).fit(X)
    assert fit.log_likelihood_ == pytest.approx(entry["loglik"], abs=1e-6)
    assert fit.bic(X) == pytest.approx(-entry["bic"], abs=1e-5)
    if key != ("acidity-quantiles", "E4"):  # two equal components there: the parameters are not determined
        check_parameters(fit, entry)


def test_published_diabetes_fit():
    """The vignettes of mclust print -2303.496 and -2295.118 at a loose stopping rule; EM ends just above them."""
    for name in ("gmm-diabetes-mclust-default", "gmm-diabetes-corrected"):
        case = GOLDEN[name]
        table = frame(case["data"][0])
        X = table[case["settings"]["columns"]].to_numpy(dtype=float)
        fit = gaussian_mixture(table["hc3"].to_numpy() - 1, "VVV").fit(X)
        entry = case["expected"]["converged"]
        assert fit.log_likelihood_ == pytest.approx(entry["loglik"], abs=LOGLIK)
        assert fit.bic(X) == pytest.approx(-entry["bic"], abs=LOGLIK)
        np.testing.assert_allclose(fit.weights_, entry["weights"], rtol=PARAMETERS)
        np.testing.assert_allclose(fit.means_, entry["means"], rtol=PARAMETERS)
        np.testing.assert_array_equal(np.bincount(fit.predict(X)), entry["cluster_sizes"])
        (loose,) = case["published"].values()
        assert 0 <= fit.log_likelihood_ - loose["loglik"] + 0.0005 < 0.1


@pytest.mark.parametrize("case", MORE["default_choice"], ids=lambda case: case["id"])
def test_chosen_models_from_the_hierarchical_partition(case):
    X = frame(case["data"])[case["columns"]].to_numpy(dtype=float)
    labels = np.array([int(digit) for digit in case["start"]]) - 1
    code = UNIVARIATE.get(case["model"], case["model"])
    fit = gaussian_mixture(labels, code).fit(X)
    entry = case["converged"]
    if code in ITERATED:
        assert fit.log_likelihood_ >= entry["loglik"] - 1e-3
        return
    assert fit.log_likelihood_ == pytest.approx(entry["loglik"], abs=LOGLIK)
    assert fit.icl(X) == pytest.approx(-entry["icl"], abs=1e-3)
    resp = fit.predict_proba(X)
    entropy = -np.sum(resp * np.log(np.where(resp > 0, resp, 1)))
    assert fit.icl_entropy(X) == pytest.approx(fit.bic(X) + 2 * entropy, abs=1e-8)
    assert fit.bic(X) <= fit.icl(X) <= fit.icl_entropy(X)


def bic_table():
    for case in MORE["bic_tables"]:
        for k, row in enumerate(case["bic_converged"], start=1):
            for code, bic in zip(case["codes"], row, strict=True):
                if bic is not None and code not in ITERATED:
                    yield pytest.param(case, k, code, bic, id=f"{case['id']}-{code}-{k}")


@pytest.mark.slow
@pytest.mark.parametrize(("case", "k", "code", "bic"), list(bic_table()))
def test_bic_table_from_the_hierarchical_partitions(case, k, code, bic):
    X = frame(case["data"])[case["columns"]].to_numpy(dtype=float)
    labels = np.array([int(digit) for digit in case["starts"][k - 1]]) - 1
    fit = gaussian_mixture(labels, code).fit(X)
    # Where EM creeps along a ridge, mclust's rule (relative change of 1e-14) leaves up to about 1e-4 to gain.
    assert fit.bic(X) == pytest.approx(-bic, abs=1e-4)
