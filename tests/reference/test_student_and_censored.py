"""t laws and censored values held to other programs and papers: MASS, EMMIXskew, survival, Schmee & Hahn, Gupta."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import estep
from estep.engine.presets import Variant
from estep.families import Censored, Exponential, LinearRegression
from estep.families.linear_fit import LinearParams
from estep.models import Latent, LatentParams
from estep.structures import Iid
from estep.structures.iid import IidParams

HERE = Path(__file__).parent
CASES = {case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))}


def frame(name):
    return pd.read_csv(HERE / "data" / name)


def path_of(model, data, params, passes):
    """Parameters after each of the first passes of plain EM."""
    seen = []
    estep.fit(model, data, params, Variant(), watch=lambda state, status: seen.append(state.params.family), max_iter=passes)
    return seen


# --- t ---


@pytest.mark.parametrize("dof", [1, 3, 5])
def test_stack_loss(dof):
    case, X = CASES["t-stackloss"], frame("stackloss.csv").to_numpy(float)
    expected, tolerance = case["expected"][f"nu_{dof}"], case["tolerance"]
    fit = estep.StudentMixture(1, dof=float(dof), tol=1e-14).fit(X)
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=tolerance["loglik_abs"])
    np.testing.assert_allclose(fit.means_[0], expected["location"], atol=tolerance["parameters_abs"])
    np.testing.assert_allclose(fit.scales_[0], expected["scatter"], atol=10 * tolerance["parameters_abs"])  # entries near 60
    np.testing.assert_allclose(fit.row_weights(X), expected["weights"], atol=2e-6)


def faithful():
    table = frame("faithful_t.csv")
    return table[["eruptions", "waiting"]].to_numpy(float), table["start"].to_numpy() - 1


def test_old_faithful_with_five_degrees_of_freedom():
    case, (X, start) = CASES["tmix-faithful"], faithful()
    expected, tolerance = case["expected"]["df_fixed_5"], case["tolerance"]
    fit = estep.StudentMixture(2, dof=5.0, init=start, tol=1e-13).fit(X)
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=tolerance["fixed_loglik_abs"])
    for found, name in ((fit.weights_, "weights"), (fit.means_, "locations"), (fit.scales_, "scatters")):
        np.testing.assert_allclose(found, expected[name], rtol=tolerance["fixed_parameters_rel"])


def test_old_faithful_with_degrees_of_freedom_estimated():
    case, (X, start) = CASES["tmix-faithful"], faithful()
    expected, tolerance = case["expected"]["df_estimated"], case["tolerance"]
    fit = estep.StudentMixture(2, init=start).fit(X)
    assert fit.converged_
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=tolerance["estimated_loglik_abs"])
    assert fit.log_likelihood_ > expected["emmixskew_loglik"]  # whose second component stops at 200
    assert fit.dofs_[0] == pytest.approx(expected["df_component1"], rel=tolerance["df_rel"])
    assert fit.normal_limit_.tolist() == [False, True]
    for found, name in ((fit.weights_, "weights"), (fit.means_, "locations"), (fit.scales_, "scatters")):
        np.testing.assert_allclose(found, expected[name], rtol=tolerance["estimated_parameters_rel"])


# --- censored ---


def gehan():
    table = frame("gehan.csv")
    table = table[table["treatment"] == "6-MP"]
    weeks = table["weeks"].to_numpy(float)
    return np.column_stack([weeks, np.where(table["relapse"] == 1, weeks, np.inf)])


def test_remission_times_step_by_step():
    from estep.data import Memory
    from estep.families.exponential import ExponentialParams

    expected, x = CASES["censored-gehan"]["expected"], gehan()
    data = Memory(x)
    model = Latent(Iid(), Censored(Exponential()), 1).bind(data)
    start = LatentParams(IidParams(np.ones(1)), ExponentialParams(np.array([[CASES["censored-gehan"]["init"]["rate"]]])))
    rates = [float(p.rates[0, 0]) for p in path_of(model, data, start, 7)]
    np.testing.assert_allclose(rates[:5], expected["rate_iterates_1_to_5"], atol=1e-12)


def test_remission_times():
    expected, x = CASES["censored-gehan"]["expected"], gehan()
    fit = estep.Mixture(Censored(Exponential()), 1, tol=1e-14).fit(x)
    assert fit.rates_[0, 0] == pytest.approx(9 / 359, rel=1e-7)
    assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=1e-9)


def motorettes():
    table = frame("motorettes.csv")
    return table[["x"]], table["y"].to_numpy(), table["failed"].to_numpy()


def test_motorettes():
    case, (x, y, failed) = CASES["censored-motorettes"], motorettes()
    expected, tolerance = case["expected"], case["tolerance"]
    (intercept, slope), scale = case["init"]["coefficients"], case["init"]["sigma"]
    begin = {"coefs": [slope], "intercept": intercept, "scale": scale}
    for init in ("auto", begin):
        fit = estep.CensoredNormal(init=init, tol=1e-15).fit(y, failed, covariates=x)
        assert fit.log_likelihood_ == pytest.approx(expected["loglik"], abs=tolerance["loglik_abs"])
        found = [fit.intercept_, *fit.coefs_]
        np.testing.assert_allclose(found, expected["coefficients"], atol=10 * tolerance["parameters_abs"])
        assert fit.scale_ == pytest.approx(expected["sigma"], abs=tolerance["parameters_abs"])
        assert fit.scale_ == pytest.approx(case["published"]["sigma"], abs=tolerance["published_abs"])
    assert fit.covariate_names_.tolist() == ["x"]


def test_the_first_step_of_motorettes():
    from estep.data import Memory

    case, (x, y, failed) = CASES["censored-motorettes"], motorettes()
    (intercept, slope), scale = case["init"]["coefficients"], case["init"]["sigma"]
    data = Memory((x.to_numpy(), np.column_stack([y, np.where(failed == 1, y, np.inf)])))
    model = Latent(Iid(), Censored(LinearRegression()), 1).bind(data)
    at = LinearParams(np.array([[slope]]), np.array([intercept]), np.array([scale]))
    first = path_of(model, data, LatentParams(IidParams(np.ones(1)), at), 1)[0]
    found = [first.intercepts[0], first.coefs[0, 0], first.scales[0]]
    np.testing.assert_allclose(found, case["expected"]["after_1"], atol=1e-8)  # the start is given with 12 digits


def normal_path(x, mean, std, passes):
    from estep.data import Memory
    from estep.families.normal_density import NormalParams

    data = Memory(x)
    model = Latent(Iid(), Censored(), 1).bind(data)
    start = LatentParams(IidParams(np.ones(1)), NormalParams(np.array([[mean]]), np.array([[std**2]])))
    return np.array([[p.means[0, 0], p.covariances[0, 0] ** 0.5] for p in path_of(model, data, start, passes)])


# Gupta (1952), log10 days of mice, the first 7 of 10; R survreg: 1.74223101811, .07913958039, 5.20728971161.
MICE = [1.613, 1.644, 1.663, 1.732, 1.740, 1.763, 1.778]


def test_mice():
    y, status = np.array([*MICE, 1.778, 1.778, 1.778]), [1] * 7 + [0] * 3
    fit = estep.CensoredNormal(tol=1e-15).fit(y, status)
    assert fit.mean_ == pytest.approx(1.74223101811, abs=1e-8)
    assert fit.std_ == pytest.approx(0.07913958039, abs=1e-8)
    assert fit.log_likelihood_ == pytest.approx(5.20728971161, abs=1e-10)
    path = normal_path(np.column_stack([y, np.where(np.array(status) == 1, y, np.inf)]), np.mean(MICE), np.std(MICE), 3)
    np.testing.assert_allclose(path, [[1.735257, 0.069420], [1.739426, 0.075053], [1.741050, 0.077396]], atol=6e-7)


def test_thirteen_values_and_two_beyond():
    """A textbook example (after Hogg): 13 values, two known to be above 1.5."""
    y = np.array([2.01, 0.74, 0.68, 1.50, 1.47, 1.52, 0.07, -0.04, -0.21, 0.05, -0.09, 0.67, 0.14, 1.5, 1.5])
    fit = estep.CensoredNormal(tol=1e-15).fit(y, ["exact"] * 13 + ["right"] * 2)
    assert fit.mean_ == pytest.approx(0.8284372797, abs=1e-8)
    assert fit.std_ == pytest.approx(0.8152689836, abs=1e-8)
    assert fit.log_likelihood_ == pytest.approx(-17.8185886543, abs=1e-9)


def test_a_sample_cut_at_one_point():
    """89 values with mean 1.4127 and deviation .7911415826, 111 known to lie above 1.9410250594: a fit from sums alone."""
    z = np.sqrt(1.0 - 1.0 / 89) ** -1 * np.concatenate([np.full(44, 1.0), np.full(44, -1.0), [0.0]])
    values, cut = 1.4127 + 0.7911415826 * z, 1.9410250594
    assert values.std() == pytest.approx(0.7911415826, rel=1e-9)
    x = np.vstack([np.column_stack([values, values]), np.tile([cut, np.inf], (111, 1))])
    path = normal_path(x, 1.4127, 0.7912, 4)
    expected = [[1.968621, 0.781419], [2.057578, 0.858924], [2.110760, 0.911354], [2.145698, 0.946815]]
    np.testing.assert_allclose(path, expected, atol=1e-6)
    fit = estep.CensoredNormal(tol=1e-15).fit(x)
    assert (fit.mean_, fit.std_) == (pytest.approx(2.221960, abs=1e-6), pytest.approx(1.0263807, abs=1e-6))
