"""The stored reference values agree with their data and with one another; nothing of the library is used here.

Every stored set of parameters must give the stored log-likelihood when the mixture density is written out with numpy,
its BIC must be that log-likelihood and the number of parameters, and a converged maximum must be a fixed point of EM.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

HERE = Path(__file__).parent
GOLDEN = {case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))}
MORE = json.loads((HERE / "mclust_more.json").read_text(encoding="utf-8"))

FOURTEEN = ("gmm-faithful-14", "gmm-iris-species-14", "gmm-diabetes-class-14")
LOGLIK = 1e-6  # parameters are stored with 12 digits, the log-likelihoods are of size 1e2 to 1e4


def frame(name):
    return pd.read_csv(HERE / "data" / Path(name).name)


def matrix(name, columns):
    return frame(name)[columns].to_numpy(dtype=float)


def log_joint(X, weights, means, covariances, noise_density=None):
    """log w_k + log N(x_i; mu_k, S_k), (n, k), with log w_0 + log density of the noise as last column."""
    d = X.shape[1]
    columns = []
    for w, mean, covariance in zip(weights, np.asarray(means), np.asarray(covariances), strict=False):
        z = np.linalg.solve(np.linalg.cholesky(covariance), (X - mean).T)
        log_det = np.linalg.slogdet(covariance)[1]
        columns.append(np.log(w) - 0.5 * (d * np.log(2 * np.pi) + log_det + (z**2).sum(axis=0)))
    if noise_density is not None:
        columns.append(np.full(len(X), np.log(weights[-1] * noise_density)))
    return np.column_stack(columns)


def soft(joint):
    """Responsibilities and the log density of each row."""
    top = joint.max(axis=1, keepdims=True)
    log_density = top + np.log(np.exp(joint - top).sum(axis=1, keepdims=True))
    return np.exp(joint - log_density), log_density[:, 0]


def loglik_of(X, entry, noise_density=None):
    joint = log_joint(X, entry["weights"], entry["means"], entry["covariances"], noise_density)
    return soft(joint)[1].sum()


def stored_fits():
    """(name, X, entry, noise density) of every stored fit with parameters."""
    for kind in ("partitions", "univariate", "priors", "noise"):
        for case in MORE[kind]:
            X = matrix(case["data"], case["columns"])
            for name, entry in case["models"].items():
                yield f"{case['id']}-{name}", X, entry, case.get("noise_density")
    for case in MORE["default_choice"]:
        yield f"default-{case['id']}", matrix(case["data"], case["columns"]), case["converged"], None


FITS = {name: rest for name, *rest in stored_fits()}


@pytest.mark.parametrize("name", FITS)
def test_parameters_give_the_log_likelihood_and_the_bic(name):
    X, entry, noise_density = FITS[name]
    assert loglik_of(X, entry, noise_density) == pytest.approx(entry["loglik"], abs=LOGLIK)
    bic = 2 * entry["loglik"] - entry["n_parameters"] * np.log(len(X))
    assert bic == pytest.approx(entry["bic"], abs=LOGLIK)
    assert sum(entry["weights"]) == pytest.approx(1, abs=1e-10)
    assert sum(entry["sizes"]) == len(X)


@pytest.mark.parametrize("name", FITS)
def test_moved_parameters_do_not_give_the_log_likelihood(name):
    """Negative control: the check above notices a mean that is off by a tenth of a standard deviation."""
    X, entry, noise_density = FITS[name]
    means = np.array(entry["means"])
    means[:, 0] += 0.1 * np.sqrt(np.array(entry["covariances"])[:, 0, 0])
    assert abs(loglik_of(X, {**entry, "means": means}, noise_density) - entry["loglik"]) > 1e-3


@pytest.mark.parametrize(
    "name", [name for name in FITS if name.endswith(("-VVV", "-V2", "-V3")) and "prior" not in name]
)
def test_unrestricted_maxima_are_fixed_points_of_em(name):
    X, entry, noise_density = FITS[name]
    resp, _ = soft(log_joint(X, entry["weights"], entry["means"], entry["covariances"], noise_density))
    counts = resp.sum(axis=0)
    np.testing.assert_allclose(counts / len(X), entry["weights"], rtol=1e-4)
    for k, (mean, covariance) in enumerate(zip(entry["means"], entry["covariances"], strict=True)):
        np.testing.assert_allclose(resp[:, k] @ X / counts[k], mean, rtol=1e-4)
        centred = X - np.asarray(mean)
        scatter = (resp[:, [k]] * centred).T @ centred / counts[k]
        np.testing.assert_allclose(scatter, covariance, rtol=0, atol=1e-4 * np.abs(covariance).max())


@pytest.mark.parametrize("name", FOURTEEN)
def test_golden_parameters_give_the_golden_log_likelihood(name):
    case = GOLDEN[name]
    X = matrix(case["data"][0], case["settings"]["columns"])
    assert loglik_of(X, case["expected"]["parameters"]) == pytest.approx(
        case["expected"]["models"]["VVV"]["loglik"], abs=LOGLIK
    )
    for entry in case["expected"]["models"].values():
        bic = 2 * entry["loglik"] - entry["n_parameters"] * np.log(len(X))
        assert bic == pytest.approx(entry["bic"], abs=LOGLIK)
        assert entry["loglik"] > entry["loglik_after_first_mstep"] or not entry["exact_mstep"]


@pytest.mark.parametrize("code", ["EEV", "VVV"])
def test_golden_noise_parameters_give_the_golden_log_likelihood(code):
    case = GOLDEN["gmm-chevron-noise"]
    X = matrix(case["data"][0], ["x", "y"])
    entry = case["expected"][code]
    joint = log_joint(
        X,
        entry["weights_incl_noise_last"],
        entry["means"],
        entry["covariances"],
        case["settings"]["noise_density"],
    )
    assert soft(joint)[1].sum() == pytest.approx(entry["loglik"], abs=1e-5)
    assert (joint.argmax(axis=1) == 2).sum() == entry["n_noise"]


@pytest.mark.parametrize("code", MORE["semi_supervised"]["models"])
def test_semi_supervised_log_likelihood_counts_known_rows_with_their_class(code):
    case = MORE["semi_supervised"]
    table = frame(case["data"])
    X = table[case["columns"]].to_numpy(dtype=float)
    labels = table["label"].map({name: k for k, name in enumerate(case["classes"])}).fillna(-1).to_numpy(dtype=int)
    entry = case["models"][code]
    joint = log_joint(X, entry["weights"], entry["means"], entry["covariances"])
    known = labels >= 0
    assert known.sum() == 30
    total = joint[known, labels[known]].sum() + soft(joint[~known])[1].sum()
    assert total == pytest.approx(entry["loglik"], abs=LOGLIK)
    if code in GOLDEN["gmm-iris-semisupervised"]["expected"]:
        golden = GOLDEN["gmm-iris-semisupervised"]["expected"][code]["loglik"]
        assert golden - 1e-8 <= entry["loglik"] <= golden + 1e-4


@pytest.mark.parametrize("code", MORE["weights"]["models"])
def test_weighted_rows_and_repeated_rows_agree(code):
    case = MORE["weights"]
    X = matrix(case["data"], case["columns"])
    w = 1.0 + np.arange(len(X)) % 3
    weighted, repeated = (case["models"][code][key] for key in ("me_weighted", "repeated_rows"))
    assert weighted["loglik"] == pytest.approx(repeated["loglik"], abs=1e-5)
    joint = log_joint(X, repeated["weights"], repeated["means"], repeated["covariances"])
    assert w @ soft(joint)[1] == pytest.approx(repeated["loglik"], abs=LOGLIK)


def principal_scores(X):
    centred = X - X.mean(axis=0)
    return centred @ np.linalg.eigh(centred.T @ centred)[1]


@pytest.mark.parametrize("case", MORE["volumes"], ids=lambda case: case["id"])
def test_noise_volume_is_the_smaller_of_two_boxes(case):
    X = matrix(case["data"], case["columns"])
    box, principal = np.ptp(X, axis=0).prod(), np.ptp(principal_scores(X), axis=0).prod()
    assert 1 / box == pytest.approx(case["reciprocal_box"], rel=1e-10)
    assert 1 / principal == pytest.approx(case["reciprocal_principal"], rel=1e-8)
    assert case["reciprocal"] == pytest.approx(1 / min(box, principal), rel=1e-8)


def test_noise_volumes_include_both_outcomes():
    by_box = [case["reciprocal"] == case["reciprocal_box"] for case in MORE["volumes"] if len(case["columns"]) > 1]
    assert any(by_box) and not all(by_box)


def test_kmeans_case_is_lloyds_algorithm():
    case = GOLDEN["kmeans-iris"]
    X = matrix(case["data"][0], case["settings"]["columns"])
    centers = np.array(case["init"]["centers"])
    inertias = []
    for _ in case["expected"]["inertia_by_iteration"]:
        distance = ((X[:, None, :] - centers) ** 2).sum(axis=2)
        labels = distance.argmin(axis=1)
        inertias.append(distance.min(axis=1).sum())
        centers = np.array([X[labels == k].mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(inertias, case["expected"]["inertia_by_iteration"], rtol=1e-10)
    assert "".join(str(label + 1) for label in labels) == case["expected"]["labels_1_based"]
