"""More criteria by their formulas, held-out likelihood by hand, other estimators, and what the table says of its fits."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

import estep
from estep.core.result import StartRow, StartTable, Status
from estep.inference.cells import notes_of
from estep.inference.criteria import Fitted, nec
from estep.inference.select import CRITERIA

RNG = np.random.default_rng(0)
X = np.vstack([RNG.normal(size=(40, 2)), [6, 0] + RNG.normal(size=(25, 2)), [0, 6] + RNG.normal(size=(25, 2))])
BASE = estep.GaussianMixture(covariance_type="EEE", n_init=3, random_state=0)
FIT = estep.GaussianMixture(3, covariance_type="EEE", n_init=3, random_state=0).fit(X)


def by_hand(fit, x, weight=None):
    """Every criterion from likelihood, parameters and memberships."""
    w = np.ones(len(x)) if weight is None else np.asarray(weight, dtype=float)
    logs, resp = fit.score_samples(x), fit.predict_proba(x)
    loglik, n, p = float(w @ logs), float(w.sum()), fit.result_.n_free
    entropy = float(-w @ np.where(resp > 0, resp * np.log(np.where(resp > 0, resp, 1.0)), 0.0).sum(axis=1))
    deviance = -2 * loglik
    return {
        "aic": deviance + 2 * p,
        "aicc": deviance + 2 * p * n / (n - p - 1),
        "bic": deviance + p * math.log(n),
        "caic": deviance + p * (math.log(n) + 1),
        "sabic": deviance + p * math.log((n + 2) / 24),
        "icl": deviance + p * math.log(n) - 2 * float(w @ np.log(resp.max(axis=1))),
        "icl_entropy": deviance + p * math.log(n) + 2 * entropy,
        "clc": deviance + 2 * entropy,
        "awe": deviance + 2 * entropy + 2 * p * (1.5 + math.log(n)),
    }, entropy


@pytest.mark.parametrize("weight", [None, np.arange(90) % 3], ids=["rows", "weights"])
def test_criteria_are_their_formulas(weight):
    fit = estep.GaussianMixture(3, covariance_type="EEE", n_init=1, random_state=0).fit(X, sample_weight=weight)
    found, (expected, _) = estep.criteria(fit, X, sample_weight=weight), by_hand(fit, X, weight)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name


def test_criteria_of_other_estimators():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 1))
    y = np.where(rng.random(80) < 0.5, 4 * x[:, 0], -4 * x[:, 0]) + 0.3 * rng.normal(size=80)
    regressions = estep.MixtureOfRegressions("linear", 2, random_state=0).fit(x, y)
    found = estep.criteria(regressions, x, y)
    assert found["caic"] - found["bic"] == pytest.approx(regressions.result_.n_free)
    normal = estep.MultivariateNormal().fit(X)
    assert set(estep.criteria(normal, X)) == {"aic", "bic", "aicc", "caic", "sabic"}
    with pytest.raises(TypeError, match="KMeans has no aic"):
        estep.criteria(estep.KMeans(2, random_state=0).fit(X), X)


def test_small_samples():
    assert Fitted(-10.0, 5, 6).aic == 30
    assert estep.criteria(estep.GaussianMixture(1).fit(X[:6]), X[:6])["aicc"] == math.inf
    assert nec(Fitted(-101.0, 5, 50, 1.0), -100.0, 2) == math.inf


@pytest.mark.parametrize("criterion", ["aicc", "caic", "sabic", "clc", "awe"])
def test_the_table_holds_the_criterion(criterion):
    chosen = estep.select(BASE, X, {"n_components": [1, 3]}, criterion, starts="all")
    assert chosen.best_.n_components == 3
    assert chosen.best_cell.criterion == pytest.approx(by_hand(chosen.best_, X)[0][criterion], rel=1e-12)


def test_normalised_entropy():
    chosen = estep.select(BASE, X, {"n_components": [1, 2, 3]}, "nec")
    alone = estep.GaussianMixture(1, covariance_type="EEE").fit(X)
    for cell, k in zip(chosen.table, [1, 2, 3], strict=True):
        fit = estep.GaussianMixture(k, covariance_type="EEE", n_init=3, random_state=0).fit(X)
        expected = by_hand(fit, X)[1] / (fit.log_likelihood_ - alone.log_likelihood_) if k > 1 else 1.0
        assert cell.criterion == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="MultivariateNormal has no"):
        estep.select(estep.MultivariateNormal(), X, {"tol": [1e-8]}, "nec")


# ---- held-out likelihood ---------------------------------------------------------------------------------------------


def folds_by_hand(x, weight, settings, folds, seed):
    kept = np.flatnonzero(weight > 0)
    mixed, scores, sizes = np.random.default_rng(seed).permutation(kept), [], []
    for fold in np.array_split(mixed, folds):
        rest = np.setdiff1d(kept, fold)
        fit = estep.GaussianMixture(**settings).fit(x[rest], sample_weight=weight[rest])
        scores.append(np.average(fit.score_samples(x[fold]), weights=weight[fold]))
        sizes.append(weight[fold].sum())
    return -np.average(scores, weights=sizes), np.std(scores, ddof=1) / math.sqrt(folds)


@pytest.mark.parametrize("weight", [np.ones(90), np.arange(90) % 3 * 1.0], ids=["rows", "weights"])
def test_held_out_likelihood_by_hand(weight):
    settings = dict(n_components=2, covariance_type="EEE", n_init=1, random_state=4)
    model = estep.GaussianMixture(**settings)
    chosen = estep.select(model, X, {"n_components": [2]}, "cv", sample_weight=weight, folds=4)
    value, error = folds_by_hand(X, weight, settings, 4, 4)
    assert chosen.table[0].criterion == pytest.approx(value, rel=1e-9)
    assert chosen.table[0].error == pytest.approx(error, rel=1e-9)


def test_held_out_likelihood_finds_the_clusters():
    grid = {"n_components": [1, 2, 3, 4, 5]}
    chosen = estep.select(BASE, X, grid, "cv", folds=5, rule="one_se")
    values = [cell.criterion for cell in chosen.table]
    assert values[2] < values[1] < values[0]
    assert chosen.best_.n_components == chosen.best_cell.settings["n_components"] == 3
    assert chosen.best_.log_likelihood_ == pytest.approx(FIT.log_likelihood_, abs=1e-5)
    assert "standard_error" in chosen.to_frame().columns
    again = estep.select(BASE, pd.DataFrame(X), {"n_components": [1, 3]}, "cv", folds=5, n_jobs=2)
    assert [cell.criterion for cell in again.table] == pytest.approx([values[0], values[2]], rel=1e-9)
    assert estep.select(BASE, X, {"n_components": [1, 3]}, "cv", folds=3).table[0].criterion != values[0]


def test_the_rule_takes_the_smallest_within_an_error():
    chosen = estep.select(BASE, X, {"n_components": [1, 2, 3, 4]}, "cv", folds=3)
    wide = [dataclasses.replace(cell, error=1e9) for cell in chosen.table]
    assert dataclasses.replace(chosen, table=tuple(wide), rule="one_se").best_cell.settings["n_components"] == 1
    narrow = [dataclasses.replace(cell, error=0.0) for cell in chosen.table]
    same = dataclasses.replace(chosen, table=tuple(narrow), rule="one_se").best_cell
    assert same.settings == chosen.best_cell.settings


def test_held_out_likelihood_of_any_estimator():
    rng = np.random.default_rng(2)
    z = rng.random(160) < 0.5
    items = np.where(rng.random((160, 6)) < np.where(z[:, None], 0.9, 0.1), "yes", "no")
    classes = estep.select(estep.LatentClass(n_init=2, random_state=0), items, {"n_components": [1, 2]}, "cv", folds=3)
    assert classes.best_.n_components == 2
    x = rng.normal(size=(160, 1))
    y = np.where(z, 3 * x[:, 0], -3 * x[:, 0]) + 0.3 * rng.normal(size=160)
    lines = estep.MixtureOfRegressions("linear", n_init=2, random_state=0)
    assert estep.select(lines, x, {"n_components": [1, 2]}, "cv", y=y, folds=3).best_.n_components == 2
    counts = rng.poisson(np.where(z, 2.0, 12.0))[:, None].astype(float)
    by = np.repeat(["a", "b"], 80)
    grouped = estep.Mixture(estep.Poisson(), n_init=2, random_state=0)
    assert estep.select(grouped, counts, {"n_components": [1, 2]}, "cv", by=by, folds=3).best_.n_components == 2
    assert estep.select(grouped, counts, {"n_components": [1, 2]}, "bic", by=by).best_.groups_.tolist() == ["a", "b"]


def test_rows_that_a_fold_cannot_predict():
    """A level that only the held-out rows have is impossible under the others."""
    items = np.array([["a"]] * 30 + [["b"]])
    model = estep.Mixture(estep.Categorical(), random_state=0)
    with pytest.raises(ValueError, match="no fit of the grid could be used"):
        estep.select(model, items, {"n_components": [1]}, "cv", folds=3)


REFUSED = [
    (dict(criterion="cv", folds=1), "folds must be an integer from 2 to the number of rows, 90, got 1"),
    (dict(criterion="cv", folds=91), "folds must be"),
    (dict(rule="one_se"), "rule='one_se' needs a criterion with a standard error"),
    (dict(rule="two_se"), "rule='two_se' is unknown"),
    (dict(criterion="cv", lengths=[45, 45]), "give X as a list of them, without lengths"),
    (dict(criterion="cv", estimator=estep.KMeans(2)), "KMeans has no method 'score_samples'"),
]


@pytest.mark.parametrize(("given", "words"), REFUSED)
def test_what_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        estep.select(**{"estimator": BASE, "X": X, "grid": {"n_components": [1]}, **given})


# ---- what the table says ---------------------------------------------------------------------------------------------


def test_caps_are_told():
    capped = estep.GaussianMixture(n_init=1, max_iter=2, random_state=0)
    chosen = estep.select(capped, X, {"n_components": [2]})
    assert len(chosen.notes) == 1
    assert "of the others it should be known" in str(chosen)
    assert chosen.notes[0][1] == chosen.table[0].message


def test_optima_that_one_start_reached_are_told():
    def told(*objectives, gone=0):
        rows = [StartRow("s", value, 9, Status.CONVERGED, "", True) for value in objectives]
        rows += [StartRow("s", math.nan, 0, Status.DEGENERATE, "gone", True)] * gone
        return notes_of(dataclasses.replace(FIT.result_, starts=StartTable(tuple(rows), 0, 1e-4)))

    assert told(-10.0, -12.0, -12.0) == ("only one of 3 starts reached the best optimum; raise n_init",)
    assert told(-10.0, -10.0, -12.0) == ()
    assert told(-10.0) == ()
    assert told(-10.0, -10.0, gone=2) == ("2 of 4 starts collapsed",)


def test_every_criterion_is_documented():
    assert all(name in estep.inference.criteria.__doc__ for name in CRITERIA)
