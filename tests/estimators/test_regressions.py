"""MixtureOfRegressions and MixtureOfExperts: recovery, everything together, formulas, files, and errors that say what to do."""

import builtins
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

import estep
from estep.families import Components, LinearRegression, PoissonRegression, ZeroResponse

FAMILIES = ("linear", "logistic", "poisson", "gamma", "multinomial")


def curves(n=200, seed=5):
    """A line and a parabola over the same range, in equal shares (the picture of flexmix's NPreg), drawn here."""
    rng = np.random.default_rng(seed)
    x, half = rng.uniform(0, 10, n), np.arange(n) < n // 2
    y = np.where(half, 5 * x, 40 - (x - 5) ** 2) + 3 * rng.normal(size=n)
    return np.column_stack([x, x**2]), y, half


def drawn(family, n=1500, seed=0):
    """Responses of two regressions with weights 0.6 and 0.4, trials of eight for logistic ones."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(n, 1)), (rng.random(n) < 0.4).astype(int)
    coefs, intercepts = np.array([0.8, -0.6]), np.array([0.3, 2.0])
    eta = intercepts[z] + coefs[z] * x[:, 0]
    good = rng.binomial(8, 1 / (1 + np.exp(-(eta - 1.0))))
    y = {
        "linear": eta + np.array([0.3, 0.5])[z] * rng.normal(size=n),
        "poisson": rng.poisson(np.exp(eta)).astype(float),
        "logistic": np.column_stack([good, 8 - good]).astype(float),
        "gamma": rng.gamma(6.0, size=n) / 6 * np.exp(eta),
    }[family]
    return x, y, z, coefs, intercepts - (family == "logistic")


@pytest.mark.parametrize("family", ["linear", "logistic", "poisson", "gamma"])
def test_two_regressions_are_recovered(family):
    x, y, z, coefs, intercepts = drawn(family)
    fit = estep.MixtureOfRegressions(family, 2, n_init=6, random_state=0).fit(x, y)
    assert fit.converged_
    order = np.argsort(fit.intercepts_)
    # standard errors here are below 0.06 for all of these (more than 500 rows each); five of them
    np.testing.assert_allclose(fit.coefs_[order, 0], coefs, atol=0.3)
    np.testing.assert_allclose(fit.intercepts_[order], intercepts, atol=0.3)
    np.testing.assert_allclose(fit.weights_[order], [0.6, 0.4], atol=0.12)
    right = (fit.predict_proba(x, y)[:, order].argmax(axis=1) == z).mean()
    assert right > 0.8 > (fit.predict_proba(x)[:, order].argmax(axis=1) == z).mean()


def test_a_line_and_a_parabola():
    x, y, half = curves()
    fit = estep.MixtureOfRegressions(n_components=2, random_state=0).fit(x, y)
    assert (
        fit.predict_proba(x, y).argmax(axis=1) == np.where(half, fit.coefs_[:, 1].argmax(), fit.coefs_[:, 1].argmin())
    ).mean() > 0.9
    assert fit.score(x, y) * len(y) == pytest.approx(fit.log_likelihood_, rel=1e-12)
    assert fit.score_samples(x, y).sum() == pytest.approx(fit.log_likelihood_, rel=1e-12)
    assert fit.bic(x, y) == pytest.approx(-2 * fit.log_likelihood_ + 9 * np.log(200), rel=1e-12)
    assert fit.bic(x, y) <= fit.icl(x, y) <= fit.icl_entropy(x, y)
    np.testing.assert_allclose(fit.predict(x), fit.predict_component(x) @ fit.weights_, rtol=1e-12)
    np.testing.assert_allclose(fit.predict_component(x), x @ fit.coefs_.T + fit.intercepts_, rtol=1e-12)
    assert fit.log_likelihood_ > estep.MixtureOfRegressions(random_state=0).fit(x, y).log_likelihood_ + 50
    draws, components = fit.sample(x)
    assert np.abs(draws - fit.predict_component(x)[np.arange(200), components]).max() < 6 * fit.scales_.max()
    assert "Mixture of LinearRegression" in fit.summary()


def test_gaps_weights_labels_and_fixed_entries_together():
    """Each of them means what it means alone, all at once: against the same fit with rows written out and left out."""
    x, y, half = curves(120)
    rng = np.random.default_rng(0)
    y = np.where(rng.random(120) < 0.15, np.nan, y)
    weight = rng.integers(0, 4, 120)
    labels = [(0 if h else 1) if rng.random() < 0.3 else None for h in half]
    fixed = {"coefs": [[np.nan, 0.0], [np.nan, np.nan]]}
    one = estep.MixtureOfRegressions("linear", 2, fixed=fixed, random_state=0, n_init=4, tol=1e-12)
    both = clone(one).fit(x, y, weight, labels=labels)
    rows = np.repeat(np.arange(120), weight)
    seen = rows[~np.isnan(y[rows])]
    start = {n: getattr(both, f"{n}_") for n in ("weights", "coefs", "intercepts", "scales")}
    again = clone(one).set_params(init=start).fit(x[rows], y[rows], labels=[labels[i] for i in rows])
    assert both.log_likelihood_ == pytest.approx(again.log_likelihood_, rel=1e-12)
    np.testing.assert_allclose(both.coefs_, again.coefs_, rtol=1e-6)
    assert both.coefs_[0, 1] == 0.0
    # a row without response adds to the likelihood only the probability of its label
    told = [i for i in rows if np.isnan(y[i]) and labels[i] is not None]
    part = clone(one).set_params(init=start, max_iter=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estep.ConvergenceWarning)
        short = part.fit(x[seen], y[seen], labels=[labels[i] for i in seen])
    extra = sum(np.log(both.weights_[labels[i]]) for i in told)
    assert short.log_likelihood_ + extra == pytest.approx(both.log_likelihood_, rel=1e-10)


def test_tied_slopes_and_scales():
    x, y, _ = curves()
    fit = estep.MixtureOfRegressions(n_components=2, tied=dict(coefs=[0, 0], scales=[0, 0]), random_state=0).fit(x, y)
    assert (fit.coefs_[0] == fit.coefs_[1]).all()
    assert fit.scales_[0] == fit.scales_[1]
    assert fit.result_.n_free == 1 + 2 + 2 + 1


def test_an_offset_is_a_coefficient_of_one():
    rng = np.random.default_rng(1)
    x, exposure = rng.normal(size=(300, 1)), rng.uniform(0.5, 4.0, 300)
    y = rng.poisson(exposure * np.exp(0.5 + 0.7 * x[:, 0])).astype(float)
    fit = estep.MixtureOfRegressions("poisson").fit(x, y, offset=np.log(exposure))
    held = estep.MixtureOfRegressions("poisson", fixed=dict(coefs=[[np.nan, 1.0]]), tol=1e-12)
    held.fit(np.column_stack([x, np.log(exposure)]), y)
    assert fit.coefs_[0, 0] == pytest.approx(held.coefs_[0, 0], abs=1e-5)
    np.testing.assert_allclose(fit.predict(x, offset=np.log(exposure)), fit.predict(x) * exposure, rtol=1e-12)


def test_groups_have_weights_of_their_own():
    x, y, half = curves()
    rng = np.random.default_rng(2)
    by = np.where(rng.random(200) < np.where(half, 0.8, 0.2), "north", "south")
    fit = estep.MixtureOfRegressions(n_components=2, random_state=0, n_init=6).fit(x, y, by=by)
    assert fit.weights_.shape == (2, 2)
    line = int(np.argmin(np.abs(fit.coefs_[:, 1])))
    assert fit.weights_[0, line] > 0.6 > 0.4 > fit.weights_[1, line]
    mixed = fit.predict_component(x[:2]) * fit.weights_
    np.testing.assert_allclose(fit.predict(x[:2], by=["north", "south"]), mixed.sum(axis=1), rtol=1e-12)


def test_ridge_is_part_of_the_objective():
    x, y, _ = curves()
    fit = estep.MixtureOfRegressions("linear", 2, ridge=2.0, random_state=0, n_init=4).fit(x, y)
    penalty = (2.0 * (fit.coefs_**2).sum(axis=1) / (2 * fit.scales_**2)).sum()
    assert fit.objective_ == pytest.approx(fit.log_likelihood_ - penalty, rel=1e-12)


def test_collapse_falls_back_on_the_default_prior_in_words():
    x = np.arange(12.0)[:, None]
    with pytest.warns(estep.ConvergenceWarning, match="every start collapsed"):
        fit = estep.MixtureOfRegressions("linear", 1, random_state=0).fit(x, 3 * x[:, 0] + 1)
    assert fit.coefs_[0, 0] == pytest.approx(3 * 12 / 12.01, rel=1e-9)  # a hundredth of an imagined row beside twelve


# --- experts ---


def bent(n=300, seed=5):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=(n, 1))
    return x, np.abs(x[:, 0]) + 0.1 * rng.normal(size=n)


def test_experts_divide_the_line():
    x, y = bent()
    fit = estep.MixtureOfExperts(n_components=2, gate_ridge=0.01, random_state=0, n_init=6).fit(x, y)
    assert np.abs(fit.predict(x) - np.abs(x[:, 0])).max() < 0.3
    assert np.sort(fit.coefs_[:, 0]).round(1).tolist() == [-1.0, 1.0]
    np.testing.assert_allclose(fit.gate_proba(x).mean(axis=0), fit.weights_, rtol=1e-12)
    mixed = (fit.gate_proba(x) * fit.predict_component(x)).sum(axis=1)
    np.testing.assert_allclose(fit.predict(x), mixed, rtol=1e-12)
    assert fit.posterior(x, y).shape == (300, 2)
    assert (fit.weights_[0] >= fit.weights_[1]) and (fit.gate_coefs_[0] == 0).all()
    with pytest.raises(AttributeError, match="has no attribute 'predict_proba'"):
        fit.predict_proba(x)


def test_a_hierarchy_of_experts():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=(400, 1))
    y = np.where(x[:, 0] < -1, 2.0, np.where(x[:, 0] < 0, -1.0, np.where(x[:, 0] < 1, 1.0, -2.0))) + 0.1 * rng.normal(size=400)
    fit = estep.MixtureOfExperts(n_components=4, groups=(2, 2), gate_ridge=0.001, random_state=0, n_init=8).fit(x, y)
    inside = np.abs(np.abs(x[:, 0]) % 1 - 0.5) < 0.3  # away from the steps
    assert (np.abs(fit.predict(x) - y)[inside] < 0.5).mean() > 0.95
    assert fit.leaf_coefs_.shape == (4, 2)
    with pytest.raises(ValueError, match=r"groups=\(2, 1\) have 3 experts, but n_components=4"):
        estep.MixtureOfExperts(n_components=4, groups=(2, 1)).fit(x, y)


def test_classes_are_predicted_by_name():
    rng = np.random.default_rng(3)
    x = rng.uniform(-2, 2, size=(240, 1))
    truth = np.where(np.abs(x[:, 0]) < 1, "in", "out")
    told = np.where(rng.random(240) < 0.05, "odd", truth)
    fit = estep.MixtureOfExperts("multinomial", 2, ridge=0.01, gate_ridge=0.01, n_init=4, random_state=0).fit(x, told)
    assert fit.classes_.tolist() == ["in", "odd", "out"]
    assert (fit.predict(x) == truth).mean() > 0.9
    np.testing.assert_allclose(fit.predict_proba(x).sum(axis=1), 1.0, rtol=1e-12)
    two = estep.MixtureOfExperts("logistic", 2, ridge=0.01, gate_ridge=0.01, n_init=4, random_state=0).fit(x, truth)
    assert two.classes_.tolist() == ["in", "out"]
    assert (two.predict(x) == truth).mean() > 0.9
    with pytest.raises(ValueError, match="y holds the class 'away', which the fit did not see"):
        two.score(x[:2], ["in", "away"])


def test_columns_for_experts_and_gate():
    x, y = bent()
    table = pd.DataFrame({"x": x[:, 0], "z": np.random.default_rng(0).normal(size=300)})
    fit = estep.MixtureOfExperts(n_components=2, experts=["x"], gate=["x", "z"], gate_ridge=0.01, random_state=0, n_init=4)
    fit.fit(table, y)
    assert fit.coefs_.shape == (2, 1)
    assert fit.gate_coefs_.shape == (2, 3)
    with pytest.raises(ValueError, match="gate names the column 'q', but X has 2"):
        clone(fit).set_params(gate=["q"]).fit(table, y)


def test_zero_inflation_by_the_estimator():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(400, 1))
    y = rng.poisson(np.exp(0.8 + 0.4 * x[:, 0])) * (rng.random(400) < 0.7)
    fit = estep.MixtureOfRegressions(Components([PoissonRegression(), ZeroResponse()]), 2, n_init=4, random_state=0).fit(x, y)
    assert fit.weights_[1] == pytest.approx(0.3, abs=0.12)  # five standard errors, sqrt(.21 / 400)
    np.testing.assert_allclose(fit.predict(x), fit.weights_[0] * fit.predict_component(x)[:, 0], rtol=1e-12)


# --- formulas ---


def test_formulas():
    x, y, _ = curves()
    kind = np.where(np.arange(200) % 3 == 0, "a", "b")
    table = pd.DataFrame({"x": x[:, 0], "y": y, "kind": kind})
    fit = estep.MixtureOfRegressions(n_components=2, formula="y ~ x + I(x**2)", random_state=0, n_init=6).fit(table)
    twin = estep.MixtureOfRegressions(n_components=2, random_state=0, n_init=6).fit(x, y)
    assert fit.log_likelihood_ == pytest.approx(twin.log_likelihood_, rel=1e-10)
    np.testing.assert_allclose(fit.predict(table[["x"]].assign(kind="a")[:5]), twin.predict(x[:5]), rtol=1e-6)
    assert fit.score(table) == pytest.approx(twin.score(x, y), rel=1e-10)
    none = estep.MixtureOfRegressions(formula="y ~ 0 + x + kind", random_state=0).fit(table)
    assert none.intercepts_[0] == 0.0
    assert none.coefs_.shape == (1, 3)  # x and both kinds
    unseen = table.assign(kind="a")[:3]
    np.testing.assert_allclose(none.predict(unseen), none.coefs_[0, 0] * x[:3, 0] + none.coefs_[0, 1], rtol=1e-10)
    gate = estep.MixtureOfExperts(n_components=2, formula="y ~ x", gate="~ x + kind", gate_ridge=0.1, random_state=0, n_init=4)
    assert gate.fit(table).gate_coefs_.shape == (2, 3)
    with pytest.raises(TypeError, match="reads its columns by formula"):
        fit.save("nowhere")
    with pytest.raises(ValueError, match="X must be a DataFrame"):
        estep.MixtureOfRegressions(formula="y ~ x").fit(x, y)
    with pytest.raises(ValueError, match="cannot be read on X"):
        estep.MixtureOfRegressions(formula="y ~ q").fit(table)
    with pytest.raises(ValueError, match="y is given twice"):
        estep.MixtureOfRegressions(formula="y ~ x").fit(table, y)


def test_formulas_need_formulaic(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "formulaic":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match=r"pip install 'estep\[formula\]'"):
        estep.MixtureOfRegressions(formula="y ~ x").fit(pd.DataFrame({"x": [1.0, 2.0], "y": [1.0, 2.0]}))


# --- files ---


@pytest.mark.parametrize("family", FAMILIES)
def test_files(tmp_path, family):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2))
    y = {"linear": x[:, 0] + rng.normal(size=80), "gamma": rng.gamma(2.0, size=80)}.get(family, rng.integers(0, 2, 80) * 1.0)
    y = np.array(["u", "v", "w"])[rng.integers(0, 3, 80)] if family == "multinomial" else y
    fit = estep.MixtureOfRegressions(family, 2, ridge=0.5, n_init=1, tol=1e-3, random_state=0).fit(x, y)
    fit.save(tmp_path / "fit")
    again = estep.load(tmp_path / "fit")
    assert (again.predict_proba(x, y) == fit.predict_proba(x, y)).all()
    assert (again.predict(x) == fit.predict(x)).all()
    gated = estep.MixtureOfExperts(family, 2, experts=[0], ridge=0.5, gate_ridge=0.5, n_init=1, tol=1e-3, random_state=0).fit(
        x, y
    )
    gated.save(tmp_path / "gated")
    again = estep.load(tmp_path / "gated")
    assert (again.posterior(x, y) == gated.posterior(x, y)).all()
    assert (again.weights_ == gated.weights_).all()


# --- errors ---


def test_errors_say_what_to_do():
    x, y, _ = curves()
    model = estep.MixtureOfRegressions
    cases = (
        (model("cubic"), (x, y), "family='cubic' is unknown; choose one of"),
        (model(LinearRegression()).set_params(ridge=1.0), (x, y), "belong to the family where it is given as an object"),
        (model(ridge=-1.0), (x, y), "ridge must be a number >= 0"),
        (model(), (x, None), "requires y to be passed"),
        (model(), (x, y[:50]), r"y has shape \(50,\), expected \(200,\)"),
        (model("poisson"), (x, y + 0.5), "response: row 0 is .*but a Poisson response is a count"),
        (model("logistic"), (x, np.arange(200) % 3), "y holds 3 classes"),
        (model("multinomial"), (x, y), "Unknown label type"),
        (model(), (np.column_stack([x, x[:, 0]]), y), r"design: columns 'x0', 'x2' are collinear"),
        (model(), (np.where(x == x[3, 0], np.nan, x), y), "row 3 has no value in column 'x0'"),
        (model(), (x[:2], y[:2]), "design has 2 columns and an intercept but only 2 rows"),
    )
    for estimator, (design, response), words in cases:
        with pytest.raises(ValueError, match=words):
            estimator.fit(design, response)
    with pytest.raises(TypeError, match="family must be one of"):
        model(LinearRegression).fit(x, y)
    with pytest.raises(ValueError, match=r"offset has shape \(3,\)"):
        model().fit(x, y, offset=np.zeros(3))
    fit = model().fit(x, y)
    with pytest.raises(ValueError, match="X: row 1 has no value"):
        fit.predict(np.array([[1.0, 1.0], [np.nan, 1.0]]))


# --- scikit-learn ---

MORE_COLUMNS_THAN_ROWS = (
    "check_sample_weight_equivalence_on_dense_data"  # its 30 columns and 15 rows have no unique coefficients
)


@pytest.mark.parametrize("estimator", [estep.MixtureOfRegressions(n_init=2), estep.MixtureOfExperts(n_init=2)], ids=repr)
def test_scikit_learn(estimator):
    ran = 0
    for one, check in estimator_checks_generator(estimator):
        if getattr(check, "func", check).__name__ == MORE_COLUMNS_THAN_ROWS:
            with pytest.raises(ValueError, match="drop columns, bring more rows, or set ridge > 0"):
                check(one)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                check(one)
            except pytest.skip.Exception:
                continue
            except Exception as error:
                if type(error).__name__ != "SkipTest":
                    raise AssertionError(f"{check}: {error}") from error
        ran += 1
    assert ran > 30
