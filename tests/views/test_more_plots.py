"""Responsibilities, uncertainty, densities, pairs, projections, cells and profiles, compared by what is in the figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.patches import Ellipse, Polygon
from scipy.spatial import cKDTree
from sklearn.datasets import load_iris

import estep
from estep.data.sets import load_faithful
from estep.views.density import marginal, plot_density, thresholds
from estep.views.pairs import plot_pairs, plot_projection, separating
from estep.views.profiles import plot_profiles, profile_of
from estep.views.responsibilities import plot_responsibilities, plot_uncertainty
from estep.views.voronoi import box_of, cells, plot_voronoi


@pytest.fixture(scope="module")
def faithful() -> pd.DataFrame:
    X, columns = load_faithful()
    return pd.DataFrame(X, columns=list(columns))


@pytest.fixture(scope="module")
def iris() -> pd.DataFrame:
    return load_iris(as_frame=True).data


@pytest.fixture(scope="module")
def two(faithful: pd.DataFrame) -> Any:
    return estep.GaussianMixture(2, random_state=0).fit(faithful)


@pytest.fixture(scope="module")
def flowers(iris: pd.DataFrame) -> Any:
    return estep.GaussianMixture(3, n_init=3, noise=True, random_state=0).fit(iris)


def test_areas_stack_to_one_and_are_the_responsibilities(faithful: pd.DataFrame) -> None:
    one = estep.GaussianMixture(2, random_state=0).fit(faithful[["waiting"]].to_numpy())
    ax = plot_responsibilities(one, faithful[["waiting"]].to_numpy()).axes[0]
    first, second = (area.get_paths()[0].vertices for area in ax.collections)
    assert second[:, 1].max() == pytest.approx(1.0, abs=1e-12)
    foot = first[first[:, 1] > 0]
    at = foot[len(foot) // 3]
    assert one.predict_proba(np.array([[at[0]]]))[0, 0] == pytest.approx(at[1], abs=1e-9)


def test_areas_of_several_columns_average_the_neighbours(two: Any, faithful: pd.DataFrame) -> None:
    ax = plot_responsibilities(two, faithful, "waiting").axes[0]
    assert ax.get_xlabel() == "waiting"
    assert "mean of neighbours" in ax.get_ylabel()
    with pytest.raises(ValueError, match=r"column names 'wating'; the columns are \['eruptions', 'waiting'\]"):
        plot_responsibilities(two, faithful, "wating")


def test_uncertainty_is_one_minus_the_largest_responsibility(two: Any, faithful: pd.DataFrame) -> None:
    ax = plot_uncertainty(two, faithful).axes[0]
    drawn = np.sort(np.concatenate([line.get_ydata() for line in ax.get_lines()]))
    assert drawn == pytest.approx(np.sort(1 - two.predict_proba(faithful).max(axis=1)))


def test_contours_hold_their_share(two: Any, faithful: pd.DataFrame) -> None:
    """Of 4,000 fresh rows the share above each threshold is binomial: 5 sd of it and of the threshold's own draws."""
    rows, _ = two.sample(4000)
    levels = thresholds(two, [0, 1], np.array([0.5, 0.95]))
    for share, level in zip((0.5, 0.95), levels, strict=True):
        inside = float((marginal(two, rows, [0, 1]) >= level).mean())
        assert abs(inside - share) < 5 * np.sqrt(share * (1 - share) * (1 / 4000 + 1 / 20000))
    assert plot_density(two, faithful).axes[0].get_ylabel() == "waiting"


def test_the_marginal_is_the_density_of_the_columns(flowers: Any, two: Any, faithful: pd.DataFrame, iris: pd.DataFrame) -> None:
    rows = faithful.to_numpy()[:5]
    assert np.log(marginal(two, rows, [0, 1])) == pytest.approx(two.score_samples(faithful[:5]))
    missing = iris.to_numpy()[:5].copy()
    missing[:, [0, 3]] = np.nan
    swapped = marginal(flowers, missing[:, [2, 1]], [2, 1])
    assert np.log(swapped) == pytest.approx(flowers.score_samples(pd.DataFrame(missing, columns=iris.columns)))


@pytest.mark.parametrize(("shares", "words"), [((0.5, 1.0), "between 0 and 1"), ((), "between 0 and 1")])
def test_shares_out_of_range_are_refused(two: Any, faithful: pd.DataFrame, shares: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plot_density(two, faithful, shares=shares)


def test_pairs_fill_the_lower_triangle(flowers: Any, iris: pd.DataFrame) -> None:
    figure = plot_pairs(flowers, iris)
    axes = np.array(figure.axes).reshape(4, 4)
    shown = np.array([[ax.axison for ax in row] for row in axes])
    assert (shown == np.tri(4, dtype=bool)).all()
    assert [axes[3, j].get_xlabel() for j in range(4)] == list(iris.columns)
    assert len([p for p in axes[2, 1].patches if isinstance(p, Ellipse)]) == 6
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0", "1", "2", "noise"]
    with pytest.raises(ValueError, match="2 to 6 columns, got 1"):
        plot_pairs(flowers, iris, columns=[0])


def test_the_projection_is_fishers(iris: pd.DataFrame) -> None:
    """With hard labels the first direction is that of linear discriminant analysis, up to scale."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    labels = load_iris().target
    mine = separating(iris.to_numpy(), np.eye(3)[labels])
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(iris, labels).scalings_[:, :2]
    for j in range(2):
        cosine = mine[:, j] @ theirs[:, j] / np.linalg.norm(mine[:, j]) / np.linalg.norm(theirs[:, j])
        assert abs(cosine) == pytest.approx(1.0, abs=1e-6)


def test_projected_ellipses_and_rows_are_drawn(flowers: Any, iris: pd.DataFrame) -> None:
    ax = plot_projection(flowers, iris).axes[0]
    (rows,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert len(rows.get_offsets()) == 150
    assert len([p for p in ax.patches if isinstance(p, Ellipse)]) == 6
    assert ax.get_xlabel().startswith("first direction")
    with pytest.raises(ValueError, match="one component"):
        plot_projection(estep.GaussianMixture(1).fit(iris), iris)


def test_cells_are_the_places_nearest_to_each_centre() -> None:
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(7, 2))
    box = box_of(centres)
    found = cells(centres, box)
    places = rng.uniform(box[0], box[1], size=(500, 2))
    nearest = cKDTree(centres).query(places)[1]
    for k, cell in enumerate(found):
        inside = np.array([_within(p, cell) for p in places])
        assert (inside == (nearest == k)).all()
    area = sum(_area(cell) for cell in found)
    assert area == pytest.approx(float(np.prod(box[1] - box[0])))


def _within(point: Any, polygon: Any) -> bool:
    edges = np.roll(polygon, -1, axis=0) - polygon
    to = point - polygon
    return bool((edges[:, 0] * to[:, 1] - edges[:, 1] * to[:, 0] >= 0).all())


def _area(polygon: Any) -> float:
    x, y = polygon.T
    return float(0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def test_voronoi_draws_a_cell_for_each_centre(faithful: pd.DataFrame, iris: pd.DataFrame) -> None:
    fit = estep.KMeans(3, random_state=0).fit(faithful)
    ax = plot_voronoi(fit, faithful).axes[0]
    assert len([p for p in ax.patches if isinstance(p, Polygon) and not p.get_fill()]) == 3
    with pytest.raises(ValueError, match="fitted on 4 columns"):
        plot_voronoi(estep.KMeans(3, random_state=0).fit(iris), iris)
    with pytest.raises(ValueError, match="no cluster_centers_"):
        plot_voronoi(estep.GaussianMixture(2, random_state=0).fit(faithful), faithful)


def test_profiles_are_in_standard_deviations(flowers: Any, iris: pd.DataFrame) -> None:
    ax = plot_profiles(flowers, iris).axes[0]
    expected = (flowers.means_ - iris.to_numpy().mean(axis=0)) / iris.to_numpy().std(axis=0)
    assert np.array([line.get_ydata() for line in ax.get_lines()[:3]]) == pytest.approx(expected)
    assert [label.get_text() for label in ax.get_xticklabels()] == list(iris.columns)
    assert profile_of(flowers)[0] == "means"
    with pytest.raises(ValueError, match="parameter 'rates'"):
        plot_profiles(flowers, parameter="rates")
