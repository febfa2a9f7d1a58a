"""Rootogram, probability plots, pseudo-residuals and influence, compared by what is in the figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import estep
from estep.data.sets import load_faithful
from estep.views.influence import plot_influence
from estep.views.probability import band, mixture_cdf, plot_probability, plot_residuals, pseudo_residuals, quantiles
from estep.views.report import report_html
from estep.views.rootogram import plot_rootogram, rootogram

DEATHS = np.repeat(np.arange(10.0), [162, 267, 271, 185, 111, 61, 27, 8, 3, 1])[:, None]


@pytest.fixture(scope="module")
def deaths() -> Any:
    return estep.Mixture(estep.Poisson(), 2, random_state=0).fit(DEATHS)


@pytest.fixture(scope="module")
def waiting() -> tuple[Any, pd.DataFrame]:
    X = pd.DataFrame(load_faithful()[0], columns=["eruptions", "waiting"])
    return estep.GaussianMixture(2, random_state=0).fit(X), X


def test_bars_hang_from_what_is_expected(deaths: Any) -> None:
    ax = plot_rootogram(deaths, DEATHS).axes[0]
    w, rates = deaths.weights_, deaths.rates_[:, 0]
    expected = 1096 * (stats.poisson.pmf(np.arange(10)[:, None], rates) @ w)
    tops = np.array([bar.get_y() for bar in ax.patches])
    lengths = -np.array([bar.get_height() for bar in ax.patches])
    assert tops == pytest.approx(np.sqrt(expected), rel=1e-9)
    assert lengths**2 == pytest.approx([162, 267, 271, 185, 111, 61, 27, 8, 3, 1])
    assert ax.get_lines()[0].get_ydata() == pytest.approx(tops)


def test_one_poisson_is_seen_to_be_too_narrow() -> None:
    """Overdispersion: more zeros than expected, by more than one on the scale of roots."""
    one = estep.Mixture(estep.Poisson(), 1).fit(DEATHS)
    counts, seen, expected = rootogram(one, DEATHS, 0)
    assert np.sqrt(seen[0]) - np.sqrt(expected[0]) > 1.0
    assert "farthest off at 0: 162 seen" in plot_rootogram(one, DEATHS).axes[0].get_title(loc="right")


def test_a_rootogram_refuses_what_is_no_count(waiting: Any, deaths: Any) -> None:
    fitted, X = waiting
    with pytest.raises(ValueError, match="'waiting' is no column of counts; see plot_probability"):
        plot_rootogram(fitted, X, "waiting")
    with pytest.raises(ValueError, match="a rootogram draws at most 400"):
        rootogram(deaths, np.array([[900.0]]), 0)


def test_the_points_of_pp_are_the_distribution_function(waiting: Any) -> None:
    fitted, X = waiting
    ax = plot_probability(fitted, X, "waiting").axes[0]
    across, up = ax.get_lines()[1].get_data()
    values = np.sort(X["waiting"].to_numpy())
    sd = np.sqrt(fitted.covariances_[:, 1, 1])
    assert up == pytest.approx(stats.norm.cdf(values[:, None], fitted.means_[:, 1], sd) @ fitted.weights_, abs=1e-12)
    assert across == pytest.approx((np.arange(272) + 0.5) / 272)


def test_qq_turns_the_distribution_function_round(waiting: Any) -> None:
    fitted, X = waiting
    shares = np.array([1e-4, 0.3, 0.9999])
    found = quantiles(fitted, shares, 1, X["waiting"].to_numpy())
    assert mixture_cdf(fitted, found, 1) == pytest.approx(shares, abs=1e-10)
    ax = plot_probability(fitted, X, "waiting", kind="qq").axes[0]
    assert ax.get_lines()[1].get_ydata() == pytest.approx(np.sort(X["waiting"].to_numpy()))
    with pytest.raises(ValueError, match="kind must be 'pp' or 'qq', got 'q'"):
        plot_probability(fitted, X, kind="q")


def test_the_band_holds_its_share() -> None:
    """Of 2,000 uniform samples of 30, each place lies within in 95 of 100: 5 binomial standard deviations."""
    u = np.sort(np.random.default_rng(0).random((2000, 30)), axis=1)
    low, high = band(30)
    inside = ((u >= low) & (u <= high)).mean(axis=0)
    assert np.abs(inside - 0.95).max() < 5 * np.sqrt(0.95 * 0.05 / 2000)


def test_residuals_are_normal_under_the_model_and_not_under_another(waiting: Any) -> None:
    fitted, _ = waiting
    rows, _ = fitted.sample(500)
    z = pseudo_residuals(fitted, rows, 0)
    assert stats.kstest(z, "norm").pvalue > 1e-4
    assert stats.kstest(pseudo_residuals(fitted, rows + 1.0, 0), "norm").pvalue < 1e-6
    left, right = plot_residuals(fitted, pd.DataFrame(rows, columns=["eruptions", "waiting"])).axes
    drawn = np.concatenate([line.get_ydata() for line in left.get_lines() if line.get_linestyle() == "None"])
    assert np.sort(drawn) == pytest.approx(np.sort(z))
    assert right.get_lines()[1].get_ydata() == pytest.approx(np.sort(z))


def test_residuals_of_counts_stand_in_the_middle_of_their_step(deaths: Any) -> None:
    z = pseudo_residuals(deaths, np.array([[0.0], [3.0], [np.nan]]), 0)
    w, rates = deaths.weights_, deaths.rates_[:, 0]
    below = stats.poisson.cdf(np.array([[-1.0], [2.0]]), rates) @ w
    up_to = stats.poisson.cdf(np.array([[0.0], [3.0]]), rates) @ w
    assert z[:2] == pytest.approx(stats.norm.ppf((below + up_to) / 2), abs=1e-10)
    assert np.isnan(z[2])


def test_categories_have_no_residuals() -> None:
    X = pd.DataFrame({"a": ["x", "y", "x", "z", "y", "x"] * 5, "b": ["u", "v", "v", "u", "v", "u"] * 5})
    fitted = estep.Mixture(estep.Categorical(), 1).fit(X)
    with pytest.raises(ValueError, match="Categorical has no distribution function along 'a'"):
        plot_residuals(fitted, X, "a")


def test_influence_is_drawn_row_by_row_and_the_largest_named(waiting: Any) -> None:
    fitted, X = waiting
    found = fitted.influence(X)
    ax = plot_influence(found, named=3).axes[0]
    (stems,) = ax.collections
    assert np.array([s[1] for s in stems.get_segments()])[:, 1] == pytest.approx(found.distance)
    named = [text.get_text().split(":")[0] for text in ax.texts]
    assert named == [str(row) for row, *_ in found.top(3)]
    assert plot_influence(fitted, X).axes[0].get_xlabel() == "row"
    with pytest.raises(ValueError, match="X is missing"):
        plot_influence(fitted)


def test_the_report_draws_what_suits(deaths: Any, waiting: Any) -> None:
    assert "Hanging rootogram of x0" in report_html(deaths, DEATHS)
    fitted, X = waiting
    one = estep.GaussianMixture(2, n_init=2, random_state=0).fit(X[["waiting"]])
    assert "Share of rows of waiting below each value" in report_html(one, X[["waiting"]])
    assert "rootogram" not in report_html(fitted, X)
