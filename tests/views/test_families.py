"""Pictures of families other than the normal: counts, categories, mixed columns, groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import estep
from estep.families import Categorical, Normal, Poisson, Product
from estep.views import plot_clusters, plot_pairs, plot_profiles, plot_responsibilities
from estep.views.report import report_html, write_report
from estep.views.values import curves, values_of

N = 240


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    z = rng.integers(2, size=N)
    return pd.DataFrame(
        {
            "x": rng.normal(4 * z, 1),
            "y": rng.normal(-4 * z, 1),
            "visits": rng.poisson(np.where(z, 2, 9)).astype(float),
            "colour": np.where(rng.random(N) < np.where(z, 0.2, 0.9), "red", "blue"),
        }
    )


@pytest.fixture(scope="module")
def product(table: pd.DataFrame) -> Any:
    family = Product([(Normal(), ["x", "y"]), (Poisson(), "visits"), (Categorical(), "colour")])
    return estep.Mixture(family, 2, n_init=2, random_state=0).fit(table)


def test_counts_are_drawn_at_whole_numbers(table: pd.DataFrame) -> None:
    counts = table[["visits"]].to_numpy()
    fit = estep.Mixture(Poisson(), 2, n_init=2, random_state=0).fit(counts)
    ax = plot_clusters(fit, counts).axes[0]
    lines = {str(line.get_label()): line for line in ax.get_lines()}
    grid, total = lines["sum"].get_xdata(), lines["sum"].get_ydata()
    assert (grid == np.round(grid)).all()
    assert total == pytest.approx(np.exp(fit.score_samples(grid[:, None])))
    assert ax.get_ylabel() == "probability"
    areas = plot_responsibilities(fit, counts).axes[0].collections
    assert len(areas) == 2


def test_categories_are_their_codes(product: Any, table: pd.DataFrame) -> None:
    codes = values_of(product, table.assign(colour=table["colour"].where(table.index > 0, None)))
    assert np.isnan(codes[0, 3])
    assert codes[1:, 3].tolist() == (table["colour"][1:] == "red").astype(float).tolist()


def test_the_curve_of_one_column_is_its_marginal(product: Any, table: pd.DataFrame) -> None:
    grid, found, counted = curves(product, table["visits"].to_numpy(), 2)
    assert counted
    rates = product.params_["visits.rates"].ravel()
    assert np.log(found[3]) == pytest.approx(grid[3] * np.log(rates) - rates - np.log(6.0))
    grid, found, counted = curves(product, table["x"].to_numpy(), 0)
    assert not counted
    assert np.trapezoid(found, grid, axis=0) == pytest.approx(1.0, abs=0.05)


def test_mixed_columns_have_pairs_densities_and_profiles(product: Any, table: pd.DataFrame) -> None:
    assert len(plot_pairs(product, table).axes) == 9  # three columns of numbers
    ax = plot_profiles(product, table).axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["x", "y", "visits"]
    with pytest.raises(ValueError, match="call plot\\(X\\)"):
        product.plot()


def test_profiles_of_categories_fill_their_bars(table: pd.DataFrame) -> None:
    answers = table[["colour"]].assign(warm=np.where(table["x"] > 2, "yes", "no"), many=np.where(table["visits"] > 5, "b", "a"))
    fit = estep.LatentClass(2, n_init=2, random_state=0).fit(answers)
    axes = [ax for ax in plot_profiles(fit).axes if ax.axison]
    assert [ax.get_title(loc="left").split(":")[0] for ax in axes] == ["colour", "warm", "many"]
    for ax in axes:
        ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
        assert max(ends) == pytest.approx(1.0)
    assert len([ax for ax in fit.plot(answers).axes if ax.axison]) == 3
    with pytest.raises(ValueError, match="every column holds categories"):
        plot_clusters(fit, answers)


def test_reports_suit_the_family(product: Any, table: pd.DataFrame, tmp_path: Any) -> None:
    page = report_html(product, table)
    assert "visits.rates" in page
    assert "matrix of scatter plots" in page
    groups = np.where(np.arange(N) % 2, "a", "b")
    fit = estep.GaussianMixture(2, n_init=2, random_state=0).fit(table[["x", "y"]], by=groups)
    grouped = write_report(tmp_path / "grouped.html", fit, table[["x", "y"]], by=groups).read_text("utf-8")
    assert "weight in group" in grouped


def test_families_without_means_are_animated(product: Any, table: pd.DataFrame) -> None:
    counts = table[["visits"]].to_numpy()
    frames = estep.Mixture(Poisson(), 2, n_init=2, random_state=0).fit(counts).animate(counts).frames
    assert frames.centres.shape[1:] == (2, 2)
    assert np.isfinite(frames.lines).all()
    assert len(product.animate(table, columns=["x", "visits"]).frames) > 1
