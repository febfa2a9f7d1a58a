"""The gamma mixture of the waiting times between eruptions, against R's optim on the likelihood (``gammamix-waiting``)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import estep

HERE = Path(__file__).parent
CASE = next(c for c in json.loads((HERE / "cases.json").read_text(encoding="utf-8")) if c["id"] == "gammamix-waiting")
TABLE = pd.read_csv(HERE / CASE["data"][0])
X, START = TABLE[["waiting"]].to_numpy(dtype=float), TABLE["start"].to_numpy() - 1


@pytest.mark.parametrize("accelerate", ["none", "squarem", "anderson"])
def test_converged_values_from_the_partition(accelerate):
    fit = estep.Mixture(estep.Gamma(), 2, init=START, accelerate=accelerate, prior=None, tol=1e-12, max_iter=20_000).fit(X)
    expected, tolerance = CASE["expected"], CASE["tolerance"]
    assert fit.converged_
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=tolerance["loglik_abs"])
    np.testing.assert_allclose(fit.weights_, expected["weights"], atol=tolerance["weights_abs"])
    np.testing.assert_allclose(fit.shapes_[:, 0], expected["shapes"], rtol=tolerance["shape_rel"])
    np.testing.assert_allclose(1 / fit.rates_[:, 0], expected["scales"], rtol=tolerance["shape_rel"])
    np.testing.assert_allclose((fit.shapes_ / fit.rates_)[:, 0], expected["means"], atol=tolerance["means_abs"])
    assert fit.result_.n_free == 5


def test_the_start_is_not_the_answer_and_the_stored_value_is_its_likelihood():
    expected = CASE["expected"]
    laws = [stats.gamma(a, scale=s) for a, s in zip(expected["shapes"], expected["scales"], strict=True)]
    stored = np.logaddexp(*(np.log(w) + law.logpdf(X[:, 0]) for w, law in zip(expected["weights"], laws, strict=True))).sum()
    assert stored == pytest.approx(expected["loglik"], abs=1e-4)  # parameters are stored with six digits
    with pytest.warns(estep.ConvergenceWarning, match="max_iter=1"):
        first = estep.Mixture(estep.Gamma(), 2, init=START, prior=None, max_iter=1).fit(X)
    assert first.log_likelihood_ < expected["loglik"] - 100 * CASE["tolerance"]["loglik_abs"]
