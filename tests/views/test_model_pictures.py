"""Pictures of regressions, factors, tables, topics, gaps and censored values, compared by what is in the figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Ellipse, Rectangle

import estep
from estep.data import sets
from estep.views.censored import kaplan_meier, plot_censored
from estep.views.gaps import GAP, SEEN, plot_imputed, plot_patterns
from estep.views.heat import plot_loadings, plot_table
from estep.views.palette import colours, mixed
from estep.views.regressions import FAINT, plot_regressions
from estep.views.topic_bars import plot_topics

# --- regressions ---


@pytest.fixture(scope="module")
def lines() -> Any:
    data = sets.load("co2")
    return estep.MixtureOfRegressions("linear", 2, n_init=4, random_state=0).fit(data[["gnp"]], data["co2"])


def test_a_line_is_the_regression_and_a_row_has_its_mixed_colour(lines: Any) -> None:
    data = sets.load("co2")
    ax = lines.plot(data[["gnp"]], data["co2"]).axes[0]
    for k, line in enumerate(ax.get_lines()):
        x, y = line.get_data()
        assert np.asarray(y) == pytest.approx(lines.intercepts_[k] + lines.coefs_[k, 0] * np.asarray(x))
        assert to_hex(line.get_color()).upper() == colours(2)[k]
    (rows,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert np.asarray(rows.get_offsets()) == pytest.approx(data[["gnp", "co2"]].to_numpy(dtype=float))
    shades = mixed(lines.predict_proba(data[["gnp"]], data["co2"]))
    assert np.asarray(rows.get_facecolor())[:, :3] == pytest.approx(shades)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("gnp", "co2")


def test_an_offset_is_taken_out_of_rows_and_lines() -> None:
    days = sets.load("seizures")
    hours = np.log(days["hours"])
    formula = "seizures ~ treatment * log(day)"
    model = estep.MixtureOfRegressions("poisson", 2, formula=formula, n_init=2, random_state=0).fit(days, offset=hours)
    ax = model.plot(days, days["seizures"], "day", offset=hours, at=days).axes[0]
    (rows,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert np.asarray(rows.get_offsets())[:, 1] == pytest.approx((days["seizures"] / days["hours"]).to_numpy())
    per_hour = model.predict_component(days)
    assert np.asarray(ax.get_lines()[0].get_ydata()) == pytest.approx(per_hour[:, 0])
    assert ax.get_ylabel() == "seizures (at offset 0)"


def test_an_experts_line_fades_where_the_gate_does_not_ask_it() -> None:
    data = sets.load("nitric_oxide")
    X, y = data[["nitric_oxide"]], data["equivalence"]
    model = estep.MixtureOfExperts("linear", 2, n_init=2, random_state=0).fit(X, y)
    ax = plot_regressions(model, X, y, "nitric_oxide").axes[0]
    pieces = [c for c in ax.collections if isinstance(c, LineCollection)]
    grid = pd.DataFrame({"nitric_oxide": np.linspace(X.min().item(), X.max().item(), 200)})
    share = model.gate_proba(grid)
    for k, piece in enumerate(pieces):
        strength = np.asarray(piece.get_colors())[:, 3]
        assert strength == pytest.approx(FAINT + (1 - FAINT) * (share[1:, k] + share[:-1, k]) / 2)
    dashed = ax.get_lines()[-1]
    assert np.asarray(dashed.get_ydata()) == pytest.approx(model.predict(grid))


def test_other_columns_are_at_their_usual_values() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(3.0, 1.0, 60), "c": ["u"] * 40 + ["v"] * 20})
    y = 2.0 * table["a"] - table["b"] + (table["c"] == "v") * 5.0 + 0.1 * rng.normal(size=60)
    table["y"] = y
    model = estep.MixtureOfRegressions("linear", 1, formula="y ~ a + b + c").fit(table)
    line = plot_regressions(model, table, y, "a").axes[0].get_lines()[0]
    usual = pd.DataFrame({"a": np.asarray(line.get_xdata()), "b": table["b"].median(), "c": "u"})
    assert np.asarray(line.get_ydata()) == pytest.approx(model.predict_component(usual)[:, 0])


def test_classes_are_drawn_as_zero_and_one() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 1))
    y = np.where(rng.random(80) < 1 / (1 + np.exp(-2 * x[:, 0])), "yes", "no")
    model = estep.MixtureOfRegressions("logistic", 1).fit(x, y)
    ax = plot_regressions(model, x, y).axes[0]
    (rows,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert np.asarray(rows.get_offsets())[:, 1].tolist() == (y == "yes").astype(float).tolist()
    three = np.array(["a", "b", "c"])[rng.integers(0, 3, 80)]
    many = estep.MixtureOfRegressions("multinomial", 1).fit(x, three)
    with pytest.raises(ValueError, match="no height to draw"):
        plot_regressions(many, x, three)
    with pytest.raises(ValueError, match="cannot be brought to offset zero"):
        plot_regressions(model, x, y, offset=np.zeros(80))


def test_other_models_have_no_regressions(lines: Any) -> None:
    with pytest.raises(ValueError, match="GaussianMixture has no regressions"):
        plot_regressions(estep.GaussianMixture(2), np.zeros((3, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="not fitted yet"):
        plot_regressions(estep.MixtureOfRegressions("linear", 2), np.zeros((3, 1)), np.zeros(3))
    data = sets.load("co2")
    with pytest.raises(ValueError, match=r"column names 'gdp'; the columns are \['gnp'\]"):
        plot_regressions(lines, data[["gnp"]], data["co2"], "gdp")


# --- factors, tables, topics ---


def written(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_loadings_are_correlations_and_shares_what_they_explain() -> None:
    covariance = sets.load("ability").to_numpy()
    model = estep.FactorAnalysis(2, n_init=2, random_state=0).fit_covariance(covariance, n=112)
    ax = plot_loadings(model, names=[f"t{j}" for j in range(6)]).axes[0]
    sd = np.sqrt(np.diag(model.covariance_))
    assert np.asarray(ax.images[0].get_array()) == pytest.approx(model.loadings_ / sd[:, None])
    shares = [f"{100 * (1 - u / s**2):.0f}%" for u, s in zip(model.uniquenesses_, sd, strict=True)]
    assert [text for text in written(ax) if text.endswith("%")] == shares
    with pytest.raises(ValueError, match="names has 2 entries, but the fit has 6 columns"):
        plot_loadings(model, names=["a", "b"])
    with pytest.raises(ValueError, match="no loadings"):
        plot_loadings(estep.GaussianMixture(1))


def test_a_mixture_of_factor_analysers_asks_whose_loadings() -> None:
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(60, 1)) @ [[2.0, 1.0, 1.0]] + rng.normal(size=(60, 3)) + 8 * j for j in range(2)])
    model = estep.FactorAnalysis(1, 2, n_init=2, random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"component must be 0\.\.1"):
        model.plot()
    assert np.asarray(model.plot(component=1).axes[0].images[0].get_array()).shape == (3, 1)
    assert len(model.plot(X).axes) == 9  # a matrix of pairs


def test_the_cells_of_a_table_are_written_in_percent() -> None:
    table = sets.load("crimes")
    model = estep.SaturatedMultinomial().fit(table[["first", "second"]], sample_weight=table["count"])
    ax = plot_table(model, ["second", "first"]).axes[0]
    assert written(ax) == [f"{100 * p:.1f}%" for p in model.cells_.T.ravel()]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("second", "first")
    with pytest.raises(ValueError, match="two names or positions"):
        plot_table(model, "first")
    with pytest.raises(ValueError, match="no table"):
        plot_table(estep.GaussianMixture(1))


def test_bars_are_the_most_probable_words() -> None:
    table = sets.load("deerwester").set_index("term").T
    model = estep.PLSA(2, n_init=2, random_state=0).fit(table)
    figure = model.plot(n=5)
    for k, ax in enumerate(figure.axes):
        bars = [p for p in ax.patches if isinstance(p, Rectangle)]
        assert [bar.get_width() for bar in bars] == pytest.approx(np.sort(model.topics_[k])[::-1][:5])
        assert [tick.get_text() for tick in ax.get_yticklabels()] == model.top_words(5)[k]
    with pytest.raises(ValueError, match="names has 1 entries, but the topics have 12 words"):
        plot_topics(model, names=["only"])
    with pytest.raises(ValueError, match="no topics"):
        plot_topics(estep.GaussianMixture(1))


# --- gaps ---


def test_patterns_are_counted_and_the_most_frequent_comes_first() -> None:
    air = sets.load("airquality")
    ax = plot_patterns(air).axes[0]
    assert written(ax) == ["111", "35", "5", "2"]
    cells = np.array([to_hex(p.get_facecolor()).upper() for p in ax.patches]).reshape(4, 4)
    assert (cells[0] == SEEN).all()
    assert (cells[1] == [GAP.upper(), SEEN, SEEN, SEEN]).all()
    assert [t.get_text() for t in ax.get_xticklabels()] == ["ozone\n24.2%", "solar\n4.6%", "wind\ncomplete", "temp\ncomplete"]
    doubled = plot_patterns(air, sample_weight=np.full(len(air), 2.0)).axes[0]
    assert written(doubled) == ["222", "70", "10", "4"]
    answers = pd.DataFrame({"a": ["x", None, "y"], "b": ["u", "v", None]})
    assert written(plot_patterns(answers).axes[0]) == ["1", "1", "1"]


def test_imputed_entries_are_open_marks_at_their_conditional_means() -> None:
    air = sets.load("airquality")
    model = estep.MultivariateNormal(n_init=1, random_state=0).fit(air)
    ax = model.plot(air, ["temp", "ozone"]).axes[0]
    seen, imputed = (c for c in ax.collections if isinstance(c, PathCollection))
    filled, holes = model.transform(air)[:, [3, 0]], air["ozone"].isna().to_numpy()
    assert np.asarray(seen.get_offsets()) == pytest.approx(filled[~holes])
    assert np.asarray(imputed.get_offsets()) == pytest.approx(filled[holes])
    assert len(imputed.get_facecolor()) == 0
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["both seen", "ozone imputed"]
    assert sum(isinstance(p, Ellipse) for p in ax.patches) == 2
    with pytest.raises(ValueError, match="does not impute"):
        plot_imputed(estep.GaussianMixture(1), air)
    with pytest.raises(ValueError, match="two names or positions"):
        plot_imputed(model, air, ["temp"])


# --- censored values ---


def test_kaplan_meier_is_that_of_statsmodels() -> None:
    from statsmodels.duration.survfunc import SurvfuncRight

    rng = np.random.default_rng(2)
    values, known = np.round(rng.gamma(3.0, 2.0, 60), 1), rng.random(60) < 0.6  # rounded: ties
    places, shares = kaplan_meier(values, known)
    theirs = SurvfuncRight(values, known.astype(int))
    after = theirs.surv_prob[np.searchsorted(theirs.surv_times, places)]
    before = np.concatenate([[1.0], after[:-1]])
    assert places == pytest.approx(np.unique(values[known]))
    assert 1.0 - shares == pytest.approx((before + after) / 2)


def test_the_line_is_the_fit_and_the_marks_are_where_they_belong() -> None:
    from scipy.stats import norm

    mice = sets.load("mice")
    model = estep.CensoredNormal().fit(mice["log_days"], status=mice["status"])
    ax = model.plot(mice["log_days"], status=mice["status"]).axes[0]
    fitted, marks, cut = ax.get_lines()
    x, z = (np.asarray(v, dtype=float) for v in fitted.get_data())
    assert x == pytest.approx(model.mean_ + model.std_ * z)
    shares = (np.arange(7) + 0.5) / 10  # the first seven of ten, half way up their steps
    assert np.asarray(marks.get_ydata()) == pytest.approx(norm.ppf(shares))
    assert np.asarray(marks.get_xdata()) == pytest.approx(np.sort(mice["log_days"])[:7])
    assert cut.get_label() == "above this: 3"


def test_values_censored_below_are_the_mirror_image() -> None:
    mice = sets.load("mice")
    low, high = mice["log_days"].to_numpy(), np.where(mice["status"] == "right", np.inf, mice["log_days"])
    above = plot_censored(estep.CensoredNormal().fit(mice["log_days"], status=mice["status"]), np.column_stack([low, high]))
    turned = np.column_stack([-high, -low])
    below = plot_censored(estep.CensoredNormal().fit(turned), turned)
    marks, mirrored = (figure.axes[0].get_lines()[1] for figure in (above, below))
    assert np.asarray(mirrored.get_xdata()) == pytest.approx(-np.asarray(marks.get_xdata()), abs=1e-6)
    assert np.asarray(mirrored.get_ydata()) == pytest.approx(-np.asarray(marks.get_ydata()), abs=1e-6)


def test_residuals_of_a_regression_and_what_has_no_place() -> None:
    motors = sets.load("motorettes")
    heat, hours = 1000.0 / (motors[["temp"]] + 273.2), np.log10(motors["hours"])
    model = estep.CensoredNormal().fit(hours, status=motors["failed"], covariates=heat)
    ax = model.plot(hours, status=motors["failed"], covariates=heat).axes[0]
    residuals = (hours - model.predict(heat)) / model.scale_
    assert np.asarray(ax.get_lines()[1].get_xdata()) == pytest.approx(np.unique(residuals[motors["failed"] == 1]))
    both = np.array([[1.0, 1.0], [2.0, np.inf], [-np.inf, 0.0], [1.5, 1.5]])
    with pytest.raises(ValueError, match="no places on a probability plot"):
        plot_censored(estep.CensoredNormal().fit(both), both)
    with pytest.raises(ValueError, match="no fitted CensoredNormal"):
        plot_censored(estep.GaussianMixture(1), both)
