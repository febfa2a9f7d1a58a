"""Selection: what the grid means, what starts are shared, what is said of fits that failed, and who wins."""

import dataclasses
import io
import math
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone

import estep
from estep.inference.select import CLOSE, Cell, combinations

CODES = ["EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"]


def three_clusters():
    rng = np.random.default_rng(0)
    return np.vstack([rng.normal(size=(40, 2)) * s + c for s, c in zip([1.0, 0.6, 0.8], [[0, 0], [4, 0], [0, 4]], strict=True)])


X = three_clusters()
BASE = estep.GaussianMixture(random_state=0)


def settings_of(selection):
    return [tuple(cell.settings.values()) for cell in selection.table]


# ---- the grid ------------------------------------------------------------------------------------------------------


def test_all_structures():
    grid = {"n_components": [1, 2], "covariance_type": "all"}
    several = [(c["n_components"], c["covariance_type"]) for c in combinations(grid, 2)]
    assert several == [(1, "EII"), (1, "EEI"), (1, "EEE"), *[(2, code) for code in CODES]]
    assert [(c["n_components"], c["covariance_type"]) for c in combinations(grid, 1)] == [(1, "E"), (2, "E"), (2, "V")]


def test_structures_that_coincide_for_one_component_are_fitted_once():
    def for_one(names):
        return [c["covariance_type"] for c in combinations({"n_components": [1], "covariance_type": names}, 3)]

    assert for_one(["VVV", "EEE", "VEV"]) == ["EEE"]
    assert for_one(["EII", "VII", "VVI", "EEI"]) == ["EII", "EEI"]
    assert for_one(["full", "tied", "diag", "spherical"]) == ["tied", "diag", "spherical"]
    # Alone each is needed.
    assert for_one(["VVV"]) == ["VVV"]
    assert for_one(["VII", "VVV"]) == ["VII", "VVV"]


def test_the_dropped_ones_are_the_same_fit():
    alone = [estep.select(BASE, X, {"n_components": 1, "covariance_type": code}).table[0] for code in CODES]
    for cell in alone:
        twin = {"II": "EII", "EI": "EEI", "VI": "EEI"}.get(cell.settings["covariance_type"][1:], "EEE")
        other = next(c for c in alone if c.settings["covariance_type"] == twin)
        assert cell.criterion == pytest.approx(other.criterion, rel=1e-9)


def test_values_of_a_grid():
    assert combinations({"n_components": 3}, 2) == [{"n_components": 3}]
    assert combinations({"covariance_type": "VVV"}, 2) == [{"covariance_type": "VVV"}]
    assert len(combinations({"n_components": range(1, 4), "noise": (True, False)}, 2)) == 6
    assert len(combinations({"n_components": np.arange(1, 4)}, 2)) == 3
    chosen = estep.select(BASE, X, {"prior": [None, "default"], "n_components": [3]})
    assert settings_of(chosen) == [(None, 3), ("default", 3)]


REFUSED = [
    ("empty", {"grid": {}}, "grid must be a dict"),
    ("not-a-dict", {"grid": [1, 2]}, "grid must be a dict"),
    ("no-values", {"grid": {"n_components": []}}, r"grid\['n_components'\] is empty"),
    ("unknown-setting", {"grid": {"components": [1]}}, "Invalid parameter 'components'"),
    ("criterion", {"criterion": "hqc"}, r"criterion='hqc' is unknown.*'bic'.*'icl'"),
    ("starts", {"starts": "some"}, "starts='some' is unknown.*'shared'.*'all'"),
    ("no-such-method", {"estimator": estep.KMeans(2), "grid": {"n_clusters": [1, 2]}}, "KMeans has no method"),
]


@pytest.mark.parametrize(("given", "words"), [pytest.param(*case[1:], id=case[0]) for case in REFUSED])
def test_what_is_refused(given, words):
    arguments = {"estimator": BASE, "X": X, "grid": {"n_components": [1]}, **given}
    with pytest.raises(ValueError, match=words):
        estep.select(**arguments)


# ---- the winner ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("starts", ["shared", "all"])
@pytest.mark.parametrize("criterion", ["bic", "aic", "icl", "icl_entropy"])
def test_the_winner_is_the_lowest_of_the_table(criterion, starts):
    chosen = estep.select(BASE, X, {"n_components": range(1, 6), "covariance_type": ["EII", "VII"]}, criterion, starts=starts)
    lowest = min(cell.criterion for cell in chosen.table)
    assert chosen.criterion == criterion
    assert chosen.best_cell.criterion == lowest
    assert chosen.best_.n_components == chosen.best_cell.settings["n_components"]
    assert chosen.best_.n_components >= 3
    assert criterion == "aic" or chosen.best_.n_components == 3  # which likes to add one
    assert getattr(chosen.best_, criterion)(X) == pytest.approx(lowest, rel=1e-12)
    # The winner is fitted as if it had been asked for alone.
    alone = clone(BASE).set_params(**chosen.best_cell.settings).fit(X)
    assert chosen.best_.log_likelihood_ == pytest.approx(alone.log_likelihood_, abs=1e-6)
    assert len(chosen.best_.starts_) == BASE.n_init
    assert chosen.best_.get_params() == {**BASE.get_params(), **chosen.best_cell.settings}


def test_scouted_cells_are_right_to_a_tenth():
    """Shared starts are the hierarchical ones; the criterion is right to 0.1 and the contenders are right altogether."""
    grid = {"n_components": range(1, 5), "covariance_type": ["EII", "EEE", "VVV"]}
    quick = estep.select(BASE, X, grid)
    slow = estep.select(clone(BASE).set_params(init="hierarchical"), X, grid, starts="all")
    assert settings_of(quick) == settings_of(slow)
    best = quick.best_cell.criterion
    for one, other in zip(quick.table, slow.table, strict=True):
        if one.criterion > best + CLOSE:
            # 0.05 nats are left by projection; twice for the criterion, and as much again for the projection.
            assert -1e-6 <= one.criterion - other.criterion < 0.2
    assert quick.best_.log_likelihood_ >= slow.best_.log_likelihood_ - 1e-6


def test_all_starts_are_drawn_once_for_a_number_of_components(monkeypatch):
    from estep.start import plan

    drawn, rule = [], plan.RULES["random"]
    monkeypatch.setitem(plan.RULES, "random", lambda sample, k, rng: drawn.append(k) or rule(sample, k, rng))
    model = clone(BASE).set_params(init="random", n_init=4)
    estep.select(model, X, {"n_components": [2, 3], "covariance_type": ["EII", "VII", "EEE"]}, starts="all")
    assert sorted(drawn) == [2] * 4 + [3] * 4


def test_without_a_seed_one_is_drawn_for_all():
    grid = {"n_components": [3], "covariance_type": ["EII", "EEI"]}
    model = estep.GaussianMixture(init="random", n_init=1, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            chosen = estep.select(model, X, grid)
            alike = [c.log_likelihood for c in chosen.table]
            # One pass from one random partition: nested structures of like rows end close to one another.
            assert abs(alike[0] - alike[1]) < 5.0
    assert chosen.best_.random_state is None
    assert model.random_state is None


def test_the_estimator_is_left_alone():
    model = clone(BASE)
    chosen = estep.select(model, X, {"n_components": [1, 2]})
    assert not hasattr(model, "result_")
    assert chosen.best_ is not model
    assert not [name for name in vars(chosen.best_) if name.startswith("_shared")]
    again = chosen.best_.fit(X)
    assert again.n_components == 2


def test_weights_labels_and_missing_values_reach_every_fit():
    weight = np.arange(120) % 3
    holes = np.where(np.arange(240).reshape(120, 2) % 11 == 0, np.nan, X)
    y = np.where(np.arange(120) % 4 == 0, np.repeat([0, 1, 2], 40), -1)
    chosen = estep.select(BASE, holes, {"n_components": [3]}, y=y, sample_weight=weight)
    alone = clone(BASE).set_params(n_components=3).fit(holes, y, sample_weight=weight)
    assert chosen.best_.log_likelihood_ == pytest.approx(alone.log_likelihood_, rel=1e-12)
    assert chosen.table[0].criterion == pytest.approx(alone.bic(holes, y, sample_weight=weight), rel=1e-12)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, list], ids=["pandas", "polars", "list"])
def test_frames(frame):
    chosen = estep.select(BASE, frame(X.tolist() if frame is list else X), {"n_components": [1, 3], "covariance_type": "all"})
    if frame is not pl.DataFrame:
        assert len(chosen.table) == 17
    assert chosen.best_.n_components == 3


def test_two_processes_give_the_same_table():
    grid = {"n_components": [1, 2, 3], "covariance_type": ["EII", "VVV", "diag"]}
    one, two = (estep.select(BASE, X, grid, n_jobs=n_jobs) for n_jobs in (1, 2))
    for a, b in zip(one.table, two.table, strict=True):
        assert dataclasses.replace(a, seconds=0.0) == dataclasses.replace(b, seconds=0.0)
    np.testing.assert_array_equal(one.best_.covariances_, two.best_.covariances_)


def test_ctrl_c_ends_the_selection():
    class Interrupting:
        def setup(self, estimator, context):
            """Nothing to prepare."""

        teardown = on_fit_task_begin = setup

        def on_fit_task_end(self, estimator, context):
            if context.task_name == "pass":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estep.select(clone(BASE).set_callbacks(Interrupting()), X, {"n_components": [1, 2]})


# ---- what failed ---------------------------------------------------------------------------------------------------


def test_failures_are_named():
    repeated = np.repeat([[0.0, 0.0], [5.0, 1.0], [1.0, 6.0]], 8, axis=0) + np.random.default_rng(1).normal(size=(24, 2))
    grid = {"n_components": [1, 25], "covariance_type": ["EII", "XXX"]}
    chosen = estep.select(BASE, repeated, grid)
    assert [tuple(c.settings.values()) for c in chosen.failures] == [(1, "XXX"), (25, "EII"), (25, "XXX")]
    for cell in chosen.failures:
        assert (cell.status, cell.usable, cell.n_free) == ("failed", False, 0)
        assert math.isnan(cell.criterion)
    assert "expected one of 'full'" in chosen.failures[0].message
    assert "n_components=25 but X has only 24 rows" in chosen.failures[1].message
    text = str(chosen)
    assert "3 could not be used:" in text
    assert "n_components=25, covariance_type=EII: n_components=25 but" in text


def test_a_fit_that_needed_the_prior_does_not_compete():
    """Its likelihood is not a maximum, so its criterion is not comparable."""
    six = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [10.0]])
    chosen = estep.select(BASE, six, {"n_components": [1, 2], "covariance_type": "all"})
    lost = {tuple(c.settings.values()): c.status for c in chosen.failures}
    assert lost == {(2, "V"): "default_prior"}
    assert (chosen.best_.n_components, chosen.best_.covariance_type) == (2, "E")
    # Asked for, the prior is the same for all, and they compete.
    mapped = estep.select(clone(BASE).set_params(prior="default"), six, {"n_components": [1, 2], "covariance_type": "all"})
    assert mapped.failures == []


def test_when_nothing_can_be_used():
    with pytest.raises(ValueError, match="no fit of the grid could be used; the first failed with: n_components=500 but X has"):
        estep.select(BASE, X, {"n_components": [500, 501]})
    with pytest.raises(ValueError, match="no fit of the grid could be used.*X must hold numbers"):
        estep.select(BASE, [["a", "b"]] * 20, {"n_components": [1, 2]})


def test_a_cap_is_no_failure():
    model = clone(BASE).set_params(max_iter=2, n_init=1)
    chosen = estep.select(model, X, {"n_components": [2, 3]})
    assert {cell.status for cell in chosen.table} == {"hit_cap"}
    assert all(cell.usable for cell in chosen.table)


# ---- the table -----------------------------------------------------------------------------------------------------


def test_the_table():
    chosen = estep.select(BASE, X, {"n_components": range(1, 4), "covariance_type": ["EII", "XXX"]})
    assert all(isinstance(cell, Cell) for cell in chosen.table)
    frame = chosen.to_frame()
    expected = ["n_components", "covariance_type", "bic", "log_likelihood", "n_free", "status", "message", "seconds"]
    assert list(frame.columns) == expected
    assert len(frame) == 6
    good = frame[frame["status"] != "failed"]
    by_hand = -2 * good["log_likelihood"] + good["n_free"] * math.log(120)
    # Away from the winner the table's likelihood closes the run and its criterion is of the same point.
    np.testing.assert_allclose(good["bic"], by_hand, rtol=1e-10)
    assert (frame["seconds"] >= 0).all()
    lines = str(chosen).split("\n")
    assert lines[0] == "6 fits by bic (lower is better)"
    assert f"{chosen.best_cell.criterion:.4f}" in lines[1]
    assert "n_components=3, covariance_type=EII" in lines[1]
    assert "9 free" in lines[1]


def test_rows_and_columns_of_the_table():
    chosen = estep.select(BASE, X, {"n_components": [1, 2, 3], "covariance_type": ["EII", "VII"]})
    numbers, names, table = chosen.grid("n_components", "covariance_type")
    assert (numbers, names, table.shape) == ([1, 2, 3], ["EII", "VII"], (3, 2))
    assert math.isnan(table[0, 1])  # the same as EII for one component
    assert np.nanmin(table) == chosen.best_cell.criterion
    for cell in chosen.table:
        k, name = cell.settings.values()
        assert table[numbers.index(k), names.index(name)] == cell.criterion


def test_the_progress_line(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    estep.select(BASE, X, {"n_components": [1, 2, 3]}, progress=True)
    written = stream.getvalue()
    assert "select: 3 of 3 fits, about 0 s left" in written
    assert "\n" not in written
    assert written.endswith("\r" + " " * 60 + "\r")
    stream.truncate(0)
    estep.select(BASE, X, {"n_components": [1, 2, 3]})
    assert stream.getvalue().strip("\0") == ""
