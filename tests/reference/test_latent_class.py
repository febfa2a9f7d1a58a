"""Latent class models against poLCA, published tables and a second program: one step, the maximum, the fit of the table.

Counts typed from print: carcinoma slides from Landis & Koch (1977), Biometrics 33:363, as in Agresti (2002), Categorical Data
Analysis, table 13.1; LSAT sections 6 and 7 from Bock & Lieberman (1970), Psychometrika 35:179, and Bock & Aitkin (1981).
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import estep

HERE = Path(__file__).parent
GOLDEN = {case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))}

CARCINOMA = (
    "0000000 34, 0000100 2, 0100000 6, 0100001 1, 0100100 4, 0100101 5, 1000000 2, 1010101 1, 1100000 2, 1100001 1, 1100100 2, "
    "1100101 7, 1100111 1, 1101001 1, 1101101 2, 1101111 3, 1110101 13, 1110111 5, 1111101 10, 1111111 16"
)
LSAT6 = [3, 6, 2, 11, 1, 1, 3, 4, 1, 8, 0, 16, 0, 3, 2, 15, 10, 29, 14, 81, 3, 28, 15, 80, 16, 56, 21, 173, 11, 61, 28, 298]
LSAT7 = [12, 19, 1, 7, 3, 19, 3, 17, 10, 5, 3, 7, 7, 23, 8, 28, 7, 39, 11, 34, 14, 51, 15, 90, 6, 25, 7, 35, 18, 136, 32, 308]


def carcinoma():
    """Patterns (20, 7) of answers 1 and 2, as poLCA codes them, and their counts."""
    pairs = [entry.split() for entry in CARCINOMA.split(", ")]
    answers = [[int(c) + 1 for c in pattern] for pattern, _ in pairs]
    return np.array(answers, dtype=float), np.array([float(count) for _, count in pairs])


def stouffer_toby():
    table = pd.read_csv(HERE / "data" / "stouffer_toby.csv")
    return table.drop(columns="count").to_numpy(dtype=float), table["count"].to_numpy(dtype=float)


def lsat(counts):
    """The 32 patterns of five answers in binary order, and their counts."""
    return (np.arange(32)[:, None] >> np.arange(4, -1, -1) & 1).astype(float), np.array(counts, dtype=float)


TABLES = {"lca-carcinoma-2": carcinoma, "lca-carcinoma-3": carcinoma, "lca-stouffer-toby": stouffer_toby}


def start_of(case):
    return dict(weights=case["init"]["class_shares"], probs=np.array(case["init"]["item_prob_category2"]).T)


def test_the_typed_tables_are_whole():
    X, counts = carcinoma()
    assert counts.sum() == 118
    assert len(np.unique(X, axis=0)) == 20
    assert sum(LSAT6) == sum(LSAT7) == 1000
    assert stouffer_toby()[1].sum() == 216


@pytest.mark.parametrize("id", TABLES)
def test_one_step(id):
    """The likelihood of the start, and parameters and likelihood after one E-step and one M-step, to 1e-9."""
    case, (X, counts) = GOLDEN[id], TABLES[id]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estep.ConvergenceWarning)
        fit = estep.LatentClass(case["model"]["n_classes"], init=start_of(case), max_iter=1, accelerate="none")
        fit.fit(X, sample_weight=counts)
    expected, after = case["expected"], case["expected"]["after_1"]
    assert fit.trace_[0] == pytest.approx(expected["loglik_initial"], abs=1e-8)
    assert fit.log_likelihood_ == pytest.approx(after["loglik"], abs=1e-8)
    np.testing.assert_allclose(fit.weights_, after["class_shares"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(fit.probs_[:, :, 1].T, after["item_prob_category2"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("accelerate", ["none", "auto", "squarem"])
@pytest.mark.parametrize("id", TABLES)
def test_the_maximum(id, accelerate):
    """Parameters, likelihood, criteria, G2 and X2, from the case's start, by each way of going there."""
    case, (X, counts) = GOLDEN[id], TABLES[id]()
    expected, tolerance = case["expected"], case["tolerance"]
    fit = estep.LatentClass(
        case["model"]["n_classes"], init=start_of(case), tol=1e-13, max_iter=20_000, accelerate=accelerate
    ).fit(X, sample_weight=counts)
    assert fit.converged_
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=tolerance["loglik_abs"])
    np.testing.assert_allclose(fit.weights_, expected["class_shares"], rtol=0, atol=tolerance["parameters_abs"])
    np.testing.assert_allclose(fit.probs_[:, :, 1].T, expected["item_prob_category2"], rtol=0, atol=tolerance["parameters_abs"])
    assert fit.result_.n_free == expected["n_parameters"]
    assert fit.aic(X, sample_weight=counts) == pytest.approx(expected["aic"], abs=1e-5)
    assert fit.bic(X, sample_weight=counts) == pytest.approx(expected["bic"], abs=1e-5)
    # G2 and X2 are printed with six decimals
    assert fit.g2_ == pytest.approx(expected["g2"], abs=2e-6)
    assert fit.x2_ == pytest.approx(expected["pearson_x2"], abs=2e-6)
    assert fit.df_ == 2 ** X.shape[1] - 1 - expected["n_parameters"]
    published = case["published"]
    assert fit.g2_ == pytest.approx(published["g2"], abs=tolerance["published_abs"])


def test_the_case_start_is_not_the_answer():
    case = GOLDEN["lca-carcinoma-3"]
    assert case["expected"]["loglik_initial"] < case["expected"]["loglik"] - 100


# log-likelihoods of 1 to 4 classes, the best of many starts; 2 and 3 classes as poLCA's paper prints them
BEST = {
    ("carcinoma", 1): -524.4648,
    ("carcinoma", 2): -317.2568,
    ("carcinoma", 3): -293.7050,
    ("carcinoma", 4): -289.2858,
    ("lsat6", 1): -2493.4367,
    ("lsat6", 2): -2467.4055,
    ("lsat7", 1): -2743.4102,
    ("lsat7", 2): -2660.2968,
}
DATA = {"carcinoma": carcinoma, "lsat6": lambda: lsat(LSAT6), "lsat7": lambda: lsat(LSAT7)}


@pytest.mark.parametrize(("name", "k"), BEST, ids=lambda v: str(v))
def test_the_best_of_the_default_starts(name, k):
    X, counts = DATA[name]()
    fit = estep.LatentClass(k, random_state=0, tol=1e-7).fit(X, sample_weight=counts)
    # four decimals are printed, and a run ends with at most 1e-7 nats left for each of up to 1000 persons
    assert fit.log_likelihood_ == pytest.approx(BEST[name, k], abs=5e-5 + 1e-7 * counts.sum())


@pytest.mark.parametrize(("counts", "shares"), [(LSAT6, (0.6605, 0.3395)), (LSAT7, (0.6822, 0.3178))], ids=["6", "7"])
def test_class_sizes_of_the_law_school_test(counts, shares):
    """Printed with four decimals; the likelihood is flat, so the run goes on until 1e-12 nats a person are left."""
    X, weight = lsat(counts)
    fit = estep.LatentClass(2, random_state=0, tol=1e-12, max_iter=20_000).fit(X, sample_weight=weight)
    np.testing.assert_allclose(fit.weights_, shares, rtol=0, atol=1e-4)


def test_carcinoma_with_three_classes_as_published():
    """Linzer & Lewis (2011), J. Stat. Software 42(10): AIC, BIC, G2, X2 and the class sizes, found from the default starts."""
    X, counts = carcinoma()
    fit = estep.LatentClass(3, random_state=0, tol=1e-12, max_iter=20_000).fit(X, sample_weight=counts)
    published = GOLDEN["lca-carcinoma-3"]["published"]
    assert fit.aic(X, sample_weight=counts) == pytest.approx(published["aic"], abs=6e-4)
    assert fit.bic(X, sample_weight=counts) == pytest.approx(published["bic"], abs=6e-4)
    assert fit.g2_ == pytest.approx(published["g2"], abs=6e-6)
    assert fit.x2_ == pytest.approx(published["pearson_x2"], abs=6e-6)
    np.testing.assert_allclose(np.sort(fit.weights_), np.sort(published["class_shares"]), rtol=0, atol=6e-5)


def test_rows_written_out_are_the_table_of_counts():
    X, counts = carcinoma()
    start = start_of(GOLDEN["lca-carcinoma-2"])
    table = estep.LatentClass(2, init=start).fit(X, sample_weight=counts)
    rows = estep.LatentClass(2, init=start).fit(np.repeat(X, counts.astype(int), axis=0))
    for name in ("weights_", "probs_", "log_likelihood_", "g2_", "x2_", "df_", "entropy_"):
        np.testing.assert_allclose(getattr(rows, name), getattr(table, name), rtol=1e-12)
