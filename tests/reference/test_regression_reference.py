"""Regressions, mixtures of them and experts against R (flexmix, mixtools, pscl) and statsmodels.

With one component and an intercept-only gate the models are ordinary regressions: statsmodels has them, and its optimum is met
to 1e-8 in coefficients and log-likelihood.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import estep
from estep.core.assign import SOFT
from estep.data import Memory
from estep.engine.visit import total
from estep.families.components import Components
from estep.families.gamma_regression import GammaRegression
from estep.families.linear_regression import LinearRegression
from estep.families.logistic_regression import LogisticRegression
from estep.families.multinomial_regression import MultinomialRegression
from estep.families.poisson_regression import PoissonRegression
from estep.families.zero_response import ZeroResponse
from estep.models import Latent
from estep.start.plan import Proposal, begin, one_hot
from estep.structures.gated import Gated
from estep.structures.iid import Iid

HERE = Path(__file__).parent
GOLDEN = {case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))}


def frame(name):
    return pd.read_csv(HERE / "data" / name)


def from_partition(structure, family, x, start, given=None):
    """The bound model, its data, and the M-step from a hard partition numbered from 1."""
    data = Memory(x, given=given)
    model = Latent(structure, family, 2).bind(data)
    labels = start.to_numpy() - 1
    return model, data, begin(model, data, Proposal("partition", np.arange(len(labels)), one_hot(labels, 2), True))


def near(found, expected, atol):
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=0, atol=atol)


# --- R: values with their tolerances come with the case ---


def test_two_regressions_of_emissions():
    case, table = GOLDEN["mixreg-co2"], frame("co2_gnp.csv")
    expected, tolerance = case["expected"], case["tolerance"]
    model, data, params = from_partition(
        Iid(), LinearRegression(), (table[["gnp"]].to_numpy(), table["co2"].to_numpy()), table["start"]
    )
    first = expected["after_first_mstep"]
    near(params.structure.weights, first["weights"], tolerance["after_1_abs"])
    pairs = np.column_stack([params.family.intercepts, params.family.coefs])
    near(pairs.T, first["coefficients_rows_intercept_slope"], tolerance["after_1_abs"])
    near(params.family.scales, first["sigma"], tolerance["after_1_abs"])
    near(total(model, data, params, SOFT).loglik, first["loglik"], tolerance["loglik_abs"])
    result = estep.fit(model, data, params, tol=1e-13)
    near(result.loglik, expected["loglik"], tolerance["loglik_abs"])
    near(result.loglik, expected["mixtools_loglik"], tolerance["loglik_abs"])
    pairs = np.column_stack([result.params.family.intercepts, result.params.family.coefs])
    near(pairs.T, expected["coefficients_rows_intercept_slope"], tolerance["parameters_abs"])
    near(result.params.family.scales, expected["sigma"], tolerance["parameters_abs"])
    near(result.params.structure.weights, expected["weights"], tolerance["parameters_abs"])


def test_standard_errors_of_emissions():
    """Those of the observed information, which R differentiated numerically."""
    case, table = GOLDEN["mixreg-co2"], frame("co2_gnp.csv")
    x, y = table[["gnp"]].to_numpy(), table["co2"].to_numpy()
    fit = estep.MixtureOfRegressions("linear", 2, init=table["start"].to_numpy() - 1, tol=1e-13).fit(x, y)
    se = fit.standard_errors(x, y)
    pairs = np.column_stack([se["intercepts"], se["coefs"]]).ravel()
    expected = case["expected"]["standard_errors_observed_information"]["values"]
    np.testing.assert_allclose([se["weights"][0], *pairs, *se["scales"]], expected, rtol=case["tolerance"]["se_rel"])


def seizures():
    table = frame("seizures.csv")
    day = np.log(table["day"].to_numpy())
    design = np.column_stack([table["treatment"], day, table["treatment"] * day])
    return table, (design, table["seizures"].to_numpy(dtype=float), np.log(table["hours"].to_numpy()))


def test_two_poisson_regressions_of_seizures():
    case, (table, x) = GOLDEN["mixreg-seizure-poisson"], seizures()
    expected, tolerance = case["expected"], case["tolerance"]
    model, data, params = from_partition(Iid(), PoissonRegression(), x, table["start"])
    result = estep.fit(model, data, params, tol=1e-13)
    near(result.loglik, expected["loglik"], tolerance["loglik_abs"])
    assert result.n_free == expected["n_parameters"]
    near(result.params.structure.weights, expected["weights"], tolerance["parameters_abs"])
    pairs = np.column_stack([result.params.family.intercepts, result.params.family.coefs])
    near(pairs[0], expected["coefficients_component1"], tolerance["parameters_abs"])
    near(pairs[1], expected["coefficients_component2"], tolerance["parameters_abs"])


def test_the_estimator_finds_the_published_optimum_by_itself():
    case, (_, (design, y, offset)) = GOLDEN["mixreg-seizure-poisson"], seizures()
    fit = estep.MixtureOfRegressions("poisson", 2, random_state=0).fit(design, y, offset=offset)
    near(fit.log_likelihood_, case["published"]["loglik"], 1e-4)
    near(fit.bic(design, y, offset=offset), case["expected"]["bic"], 2e-4)
    near(fit.aic(design, y, offset=offset), case["expected"]["aic"], 2e-4)


def test_two_experts_of_exhaust():
    case, table = GOLDEN["moe-no-data"], frame("no_equivalence.csv")
    expected, tolerance = case["expected"], case["tolerance"]
    no = table[["no"]].to_numpy()
    model, data, params = from_partition(
        Gated(), LinearRegression(), (no, table["equivalence"].to_numpy()), table["start"], given=no
    )
    result = estep.fit(model, data, params, tol=1e-13)
    near(result.loglik, expected["loglik"], tolerance["loglik_abs"])
    assert result.loglik >= expected["loglik"]
    near(result.params.structure.gate_coefs[1], expected["gate"], tolerance["gate_abs"])
    found = np.column_stack([result.params.family.intercepts, result.params.family.coefs, result.params.family.scales])
    near(found[0], expected["expert1_intercept_slope_sigma"], tolerance["expert_abs"])
    near(found[1], expected["expert2_intercept_slope_sigma"], tolerance["expert_abs"])


@pytest.mark.parametrize("inflation", ["constant_inflation", "full_inflation"])
def test_zero_inflated_articles(inflation):
    """Zero inflation as a mixture of zeros and a Poisson regression; full: the weights are a gate's."""
    case, table = GOLDEN["zip-biochemists"], frame("biochemists.csv")
    expected, tolerance = case["expected"][inflation], case["tolerance"]
    design, y = table[["fem", "mar", "kid5", "phd", "ment"]].to_numpy(dtype=float), table["art"].to_numpy(dtype=float)
    structure = Iid() if inflation == "constant_inflation" else Gated()
    data = Memory((design, y), given=design)
    model = Latent(structure, Components([PoissonRegression(), ZeroResponse()]), 2).bind(data)
    zero = np.where(y == 0, 0.3, 0.0)
    resp = np.column_stack([1.0 - zero, zero])
    result = estep.fit(model, data, begin(model, data, Proposal("some zeros", np.arange(y.size), resp, True)), tol=1e-13)
    near(result.loglik, expected["loglik"], tolerance["loglik_abs"])
    counts = result.params.family.parts["0"]
    near(np.r_[counts.intercepts, counts.coefs[0]], expected["count_coefficients"], tolerance["coefficients_abs"])
    inner = result.params.structure
    zeros = [np.log(inner.weights[1] / inner.weights[0])] if structure == Iid() else inner.gate_coefs[1]
    near(zeros, expected["zero_coefficients"], tolerance["coefficients_abs"])


# --- statsmodels: one component ---


def one(family, x, weight=None):
    data = Memory(x, weight=weight)
    model = Latent(Iid(), family, 1).bind(data)
    return estep.fit(model, data, model.start(), tol=1e-16)


def test_one_component_is_the_regression_of_statsmodels():
    import statsmodels.api as sm

    rng = np.random.default_rng(11)
    n = 120
    x = rng.normal(size=(n, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -0.3], [0.0, 0.0, 2.0]]) + [3.0, -1.0, 0.5]
    eta = 0.3 + (x - x.mean(axis=0)) @ [0.4, -0.3, 0.1]
    offset, weight, exog = 0.2 * rng.normal(size=n), rng.integers(1, 4, n).astype(float), sm.add_constant(x)
    trials = rng.integers(1, 7, n)
    good = rng.binomial(trials, 1 / (1 + np.exp(-eta)))
    both = np.column_stack([good, trials - good]).astype(float)
    counts = rng.poisson(np.exp(eta)).astype(float)
    pairs = (
        (PoissonRegression(), counts, sm.families.Poisson()),
        (LogisticRegression(), (good > trials / 2).astype(float), sm.families.Binomial()),
        (LogisticRegression(), both, sm.families.Binomial()),
    )
    for family, y, law in pairs:
        twin = sm.GLM(y, exog, law, offset=offset, freq_weights=weight).fit(tol=1e-14)
        result = one(family, (x, y, offset), weight)
        found = result.params.family
        near(np.r_[found.intercepts, found.coefs[0]], twin.params, 1e-8)
        assert result.loglik == pytest.approx(twin.llf, rel=1e-10)
    normal = eta + 0.5 * rng.normal(size=n)
    twin, result = sm.OLS(normal, exog).fit(), one(LinearRegression(), (x, normal))
    near(np.r_[result.params.family.intercepts, result.params.family.coefs[0]], twin.params, 1e-10)
    assert result.loglik == pytest.approx(twin.llf, rel=1e-12)
    assert result.params.family.scales[0] == pytest.approx(np.sqrt(twin.ssr / n), rel=1e-12)


def test_one_gamma_regression_is_that_of_statsmodels():
    """The coefficients are those of the gamma GLM with log link; the shape is maximum likelihood given its deviance."""
    import statsmodels.api as sm
    from scipy.optimize import brentq
    from scipy.special import digamma

    rng = np.random.default_rng(12)
    x = rng.normal(size=(150, 2))
    y = rng.gamma(4.0, size=150) / 4.0 * np.exp(0.5 + x @ [0.4, -0.8])
    twin = sm.GLM(y, sm.add_constant(x), sm.families.Gamma(sm.families.links.Log())).fit(tol=1e-14)
    result = one(GammaRegression(), (x, y))
    found = result.params.family
    near(np.r_[found.intercepts, found.coefs[0]], twin.params, 1e-8)
    shape = brentq(lambda v: np.log(v) - digamma(v) - twin.deviance / 2 / 150, 1e-3, 1e3, xtol=1e-13)
    assert found.shapes[0] == pytest.approx(shape, rel=1e-9)
    assert result.loglik == pytest.approx(twin.family.loglike(y, twin.mu, scale=1 / shape), rel=1e-10)


def test_one_multinomial_regression_is_that_of_statsmodels():
    import statsmodels.api as sm

    rng = np.random.default_rng(13)
    x = rng.normal(size=(200, 2))
    logits = x @ np.array([[0.0, 0.8, -0.5], [0.0, 0.3, 0.9]]) + [0.0, 0.2, -0.4]
    y = np.array([rng.choice(3, p=np.exp(v) / np.exp(v).sum()) for v in logits], dtype=float)
    twin = sm.MNLogit(y, sm.add_constant(x)).fit(disp=0, method="newton", tol=1e-14, maxiter=100)
    result = one(MultinomialRegression(), (x, y))
    found = result.params.family
    near(np.column_stack([found.intercepts[0, 1:], found.coefs[0, 1:]]), np.asarray(twin.params).T, 1e-8)
    assert result.loglik == pytest.approx(twin.llf, rel=1e-11)


def test_far_offsets_cost_nothing():
    """Everything shifted by 1e8: the same slopes, scale and likelihood as without (to the rounding of the data itself)."""
    rng = np.random.default_rng(14)
    x = np.round(rng.normal(size=(60, 2)) * 64) / 64  # shifts by 1e8 are exact
    y = np.round((x @ [1.0, -2.0] + 0.1 * rng.normal(size=60)) * 64) / 64
    here, there = one(LinearRegression(), (x, y)), one(LinearRegression(), (x + 1e8, y + 1e8))
    near(there.params.family.coefs, here.params.family.coefs, 1e-12)
    near(there.params.family.scales, here.params.family.scales, 1e-9)
    assert there.loglik == pytest.approx(here.loglik, abs=1e-5)
    counts = rng.poisson(np.exp(0.3 * x[:, 0])).astype(float)
    here, there = one(PoissonRegression(), (x, counts)), one(PoissonRegression(), (x + 1e8, counts))
    near(there.params.family.coefs, here.params.family.coefs, 1e-6)


def test_a_gate_without_covariates_is_a_mixture():
    table = frame("co2_gnp.csv")
    x = (table[["gnp"]].to_numpy(), table["co2"].to_numpy())
    _, data, params = from_partition(Iid(), LinearRegression(), x, table["start"])
    mixture = estep.fit(Latent(Iid(), LinearRegression(), 2).bind(data), data, params, tol=1e-14)
    gated, data, params = from_partition(Gated(), LinearRegression(), x, table["start"], given=np.empty((28, 0)))
    result = estep.fit(gated, data, params, tol=1e-14)
    assert result.loglik == pytest.approx(mixture.loglik, abs=1e-9)
    assert result.n_free == mixture.n_free
    weights = gated.structure.probs(result.params.structure, np.empty((1, 0)))[0]
    near(weights, mixture.params.structure.weights, 1e-6)
    family = dataclasses.replace(result.params.family)
    near(family.coefs, mixture.params.family.coefs, 1e-5)
