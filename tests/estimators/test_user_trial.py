"""What a first user meets: mistakes in data and settings end in a sentence, or in a fit that says what it is worth."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest

import estep


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("rows", "columns", "settings"),
    [(3, 2, {"n_components": 2, "covariance_type": "EEE"}), (3, 3, {"n_components": 1}), (4, 3, {"n_components": 2})],
)
def test_too_few_rows_for_a_covariance_are_never_a_fit(seed, rows, columns, settings):
    # A rank below d: whether a Cholesky factor exists is a matter of rounding, and the likelihood then is, too.
    X = np.random.default_rng(seed).normal(size=(rows, columns))
    with pytest.warns(estep.ConvergenceWarning, match="collapsed"):
        fit = estep.GaussianMixture(random_state=0, **settings).fit(X)
    assert fit.log_likelihood_ < 20


@pytest.mark.parametrize("seed", range(12))
def test_a_column_that_follows_from_another_is_never_a_fit(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=30)
    X = np.column_stack([x, 2 * x + 1, rng.normal(size=30)])
    with pytest.warns(estep.ConvergenceWarning, match="singular|smallest variance"):
        estep.GaussianMixture().fit(X)


def test_columns_nearly_collinear_are_still_fitted():
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    X = np.column_stack([x, x + 1e-6 * rng.normal(size=500)])  # 1e-12 of the variance is not rounding
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = estep.GaussianMixture(covariance_type="EEE").fit(X)
    expected = np.cov(X.T, bias=True)
    np.testing.assert_allclose(fit.covariances_[0], expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("gap", [1e-5, 1e-6])
def test_rounding_of_an_ill_conditioned_likelihood_ends_a_run(seed, gap):
    # One component is at its maximum after a pass; what moves afterwards is rounding, times the condition number.
    rng = np.random.default_rng(seed)
    x = rng.normal(size=500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estep.ConvergenceWarning)
        fit = estep.GaussianMixture(max_iter=200).fit(np.column_stack([x, x + gap * rng.normal(size=500)]))
    assert fit.converged_ and fit.n_iter_ < 100


def test_gains_above_rounding_do_not_end_a_run():
    from estep.core.result import Status
    from estep.engine.state import StopMemory
    from estep.engine.stop import Aitken

    stop, memory = Aitken(), StopMemory(np.float64(np.nan), np.zeros(0), np.float64(np.inf), np.int64(0), np.int64(0))
    for gain in [1e-6 * 0.99**i for i in range(50)]:
        memory = stop.note(memory, gain, -1000.0, 1e-9)
        assert stop.verdict(memory) is Status.RUNNING
    for gain in (-3e-9, 4e-9) * 10:
        assert stop.verdict(memory) is Status.RUNNING
        memory = stop.note(memory, gain, -1000.0, 1e-9)
    assert stop.verdict(memory) is Status.ROUNDED


def test_an_expert_without_errors_overflows_in_silence():
    from estep.models.latent import encoded

    x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0.0, 2.0, 1.0, 5.0])
    fit = estep.MixtureOfRegressions(n_components=1).fit(x, y)
    model, thin = fit.result_.model, dataclasses.replace(fit.result_.params.family, scales=np.array([1e-200]))
    with np.errstate(all="raise", under="ignore"):
        density = model.family.log_density(thin, encoded(model.family, (x, y)))
    assert not np.isnan(density).any() and (density == -np.inf).any()


def test_counts_far_above_the_size_of_a_negative_binomial_are_exact():
    from scipy.stats import nbinom

    from estep.families.negative_binomial_fit import log_table, slopes

    values, mean, size = np.array([0.0, 3.0, 1e9]), 1e10, 1e-7
    with np.errstate(all="raise", under="ignore"):
        found = log_table(values[:, None], np.array([[mean]]), np.array([[size]]))
        by_mean, by_size = slopes(values[:, None], np.array([[mean]]), np.array([[size]]))
    expected = nbinom.logpmf(values, size, size / (size + mean))
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-7)  # scipy's own digits: gammaln of 1e9 holds about seven
    assert np.isfinite(by_mean).all() and np.isfinite(by_size).all()


MAKES = {
    "array": lambda x: x,
    "table": pd.DataFrame,
    "objects": lambda x: pd.DataFrame(x).astype(object),
    "lists": lambda x: x.tolist(),
}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_infinity_is_found(make):
    X = np.random.default_rng(0).normal(size=(20, 2))
    X[3, 1] = np.inf
    with pytest.raises(ValueError, match=r"infinity.*column '\w+' in row 3; mend it, or write NaN"):
        estep.GaussianMixture().fit(make(X))


def test_dates_are_refused_by_name():
    table = pd.DataFrame({"when": pd.date_range("2020-01-01", periods=9), "x": np.arange(9.0) ** 2})
    with pytest.raises(ValueError, match="column 'when' holds times"):
        estep.GaussianMixture().fit(table)


def test_a_family_is_an_instance():
    X = np.random.default_rng(0).normal(size=(20, 1))
    with pytest.raises(TypeError, match=r"family is the class Poisson; give an instance, such as Poisson\(\)"):
        estep.Mixture(estep.Poisson, 2).fit(X)
    with pytest.raises(TypeError, match="family is the text 'poisson'; give an instance"):
        estep.Mixture("poisson", 2).fit(X)


@pytest.mark.parametrize(
    ("setting", "words"),
    [({"init": "foo"}, "init='foo' is unknown"), ({"n_init": 0}, "n_init must be"), ({"tol": -1}, "tol must be")],
)
def test_select_refuses_what_every_fit_would_refuse(setting, words):
    X = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(ValueError, match=words):
        estep.select(estep.GaussianMixture(**setting), X, {"n_components": [1, 2]})
    with pytest.raises(ValueError, match=words):
        estep.GaussianMixture(**setting).fit(X)


def test_select_takes_estimators_of_estep():
    from sklearn.mixture import GaussianMixture

    X = np.random.default_rng(0).normal(size=(30, 2))
    for strange in (GaussianMixture(), estep.GaussianMixture):
        with pytest.raises(TypeError, match="estimator must be an estimator of estep"):
            estep.select(strange, X, {"n_components": [1, 2]})


# --- formulas ---


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    x, z = rng.uniform(0, 10, 90), np.arange(90) % 2
    y = np.where(z, 1 + 2 * x, 20 - x) + rng.normal(0, 0.5, 90)
    return pd.DataFrame({"y": y, "x": x, "g": rng.choice(["u", "v", "w"], 90)})


@pytest.fixture
def by_formula(table):
    return estep.MixtureOfRegressions(n_components=2, formula="y ~ x + g", n_init=4, random_state=0).fit(table)


def test_a_level_that_a_formula_did_not_see_is_refused(table, by_formula):
    # A dummy coding has no column for it and would take it for the first level.
    with pytest.raises(ValueError, match=r"a column of categories holds \{'z'\}, which the fit did not see"):
        by_formula.predict(table.assign(g="z"))
    with pytest.raises(ValueError, match="a column of categories has no value in a row"):
        by_formula.predict(table.assign(g=[None, *table.g[1:]]))


def test_errors_of_formulas_are_plain(table, by_formula):
    with pytest.raises(ValueError, match="cannot be read on X .*`g`"):
        by_formula.predict(table[["x"]])
    with pytest.raises(ValueError, match="cannot be read on X") as told:
        estep.MixtureOfRegressions(formula="y ~ x +* g").fit(table)
    assert "\x1b" not in str(told.value) and "\n" not in str(told.value)
    with pytest.raises(ValueError, match=r"formula '~ x' has no response; write 'y ~"):
        estep.MixtureOfRegressions(formula="~ x").fit(table)


def test_coefficients_carry_the_names_of_the_design(table, by_formula):
    # Three columns in the table and three in the design, which are others.
    summary = by_formula.summary()
    assert "g[T.v]" in summary and "\n  y " not in summary
    named = by_formula.to_frame()
    assert named[named.parameter == "coefs"].column.tolist() == ["x", "g[T.v]", "g[T.w]"] * 2
    X = table[["x"]].assign(z=table.index % 7)
    gated = estep.MixtureOfExperts(n_components=2, experts=["x"], gate=["z"], n_init=2, random_state=0).fit(X, table.y)
    frame = gated.to_frame()
    assert frame[frame.parameter == "gate_coefs"].column.tolist() == ["1", "z"] * 2
    assert frame[frame.parameter == "coefs"].column.tolist() == ["x", "x"]


def test_answers_carry_their_own_names():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({f"q{i}": rng.choice(["no", "maybe", "yes"], 60) for i in range(3)})
    summary = estep.LatentClass(1).fit(table).summary()
    assert summary.startswith("Latent class model, 1 class\n")
    assert "q0, maybe" in summary and "\n  q0, q1" not in summary
    ragged = pd.DataFrame({"a": ["no", "yes"] * 30, "b": ["r", "s", "t"] * 20})
    assert "a, 2" not in (text := estep.LatentClass(1).fit(ragged).summary()) and "b, t" in text


def test_a_response_of_text_is_shown(table):
    with pytest.raises(ValueError, match="y must be an array of numbers, got ndarray, of 'u'|'v'|'w'"):
        estep.MixtureOfRegressions().fit(table[["x"]], table.g.to_numpy())


def test_models_are_called_by_their_names():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 1)) @ np.ones((1, 4)) + rng.normal(size=(60, 4))
    assert estep.FactorAnalysis(1).fit(X).summary().startswith("Factor analysis, 1 factor\n")
    assert estep.CensoredNormal().fit(X[:, 0]).summary().startswith("Censored normal\n")


def test_classes_of_a_response_do_not_name_components():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1))
    z = np.arange(200) % 2
    y = np.where(rng.random(200) < 1 / (1 + np.exp(-4 * np.where(z, 1, -1) * x[:, 0])), "yes", "no")
    fit = estep.MixtureOfRegressions("logistic", n_components=2, n_init=4, random_state=0).fit(x, y)
    assert fit.classes_.tolist() == ["no", "yes"]
    head = next(line for line in fit.summary().splitlines() if line.startswith("component"))
    assert head.split() == ["component", "0", "1"]


def test_a_place_that_is_not_there_is_named_as_it_was_given(tmp_path):
    fit = estep.GaussianMixture().fit(np.random.default_rng(0).normal(size=(20, 2)))
    with pytest.raises(FileNotFoundError, match=r"nowhere/m\.safetensors'$"):
        fit.save(tmp_path / "nowhere" / "m.safetensors")
