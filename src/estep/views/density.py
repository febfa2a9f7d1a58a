"""The fitted density over two columns as contours, each holding a stated share of the distribution.

    f(x) = sum_k w_k p(x_S | k)                      the marginal on the columns S, the others unobserved
    contour of share p: {f = c} with P(f(x) >= c) = p               highest-density regions, by drawing from the model

Source: Hyndman (1996), Computing and graphing highest density regions, The American Statistician 50:120.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.views.plot import SOFT, figure_of, new_axes, say_if_sampled, tidy
from estep.views.responsibilities import position_of
from estep.views.values import densities, mixing, numeric_columns, some_rows
from estep.views.words import column_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 120
DRAWN = 20_000


def plot_density(
    estimator: Any,
    X: Any,
    columns: Sequence[Any] | None = None,
    shares: Sequence[float] = (0.5, 0.8, 0.95),
    ax: Axes | None = None,
) -> Figure:
    """Rows under the contours of the fitted density, each contour holding the given share of the distribution.

    Parameters
    ----------
    estimator : fitted mixture
        Of any family that has a density for two of its columns when the others are unobserved.
    X : array or DataFrame (n, d)
        Rows; those with a missing entry in the two columns are left out of the picture.
    columns : two names or positions, optional
        The first two by default.
    shares : sequence of float
        Shares of the distribution inside the contours, in (0, 1).
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Fewer than two columns, a family without a density for two of them alone, shares outside (0, 1).
    """
    chosen, levels = _two(estimator, columns), np.sort(np.asarray(shares, dtype=float))
    if not levels.size or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(f"shares must lie between 0 and 1, got {list(shares)}: 0.95 draws the region that holds 95 % of rows")
    ax = new_axes("plot_density", (6.0, 4.8)) if ax is None else ax
    values, _ = some_rows(estimator, X)
    say_if_sampled(len(X), ax)
    points = values[:, chosen]
    points = points[~np.isnan(points).any(axis=1)]
    size = float(np.clip(4000.0 / max(len(points), 1), 2.0, 18.0))
    ax.scatter(
        points[:, 0], points[:, 1], s=size, color=SOFT, alpha=0.35, linewidths=0, rasterized=len(points) > 5000, label="rows"
    )
    _draw_contours(estimator, points, chosen, levels, ax)
    names = column_names(estimator)
    ax.set_xlabel(names[chosen[0]])
    ax.set_ylabel(names[chosen[1]])
    tidy(ax)
    return figure_of(ax)


def thresholds(estimator: Any, chosen: list[int], shares: Array) -> Array:
    """Densities c with P(f(x) >= c) = share, from draws of the fitted model (fixed seed), in rising order of share."""
    result, rng = estimator.result_, np.random.default_rng(0)
    weights = mixing(estimator)
    drawn = result.model.family.sample(result.params.family, rng.choice(len(weights), DRAWN, p=weights), rng)
    return np.asarray(np.quantile(marginal(estimator, np.asarray(drawn)[:, chosen], chosen), 1.0 - shares))


def marginal(estimator: Any, points: Array, chosen: list[int]) -> Array:
    """The mixture's density (n,) on the columns ``chosen`` at ``points`` (n, len(chosen))."""
    return np.asarray(densities(estimator, points, chosen) @ mixing(estimator))


def _two(estimator: Any, columns: Sequence[Any] | None) -> list[int]:
    names = column_names(estimator)
    given = numeric_columns(estimator)[:2] if columns is None else list(columns)
    if len(given) != 2:
        raise ValueError(f"columns: contours need two columns, got {given}; plot_clusters draws one column as a histogram")
    return [position_of(c, names, "columns") for c in given]


def _draw_contours(estimator: Any, points: Array, chosen: list[int], shares: Array, ax: Axes) -> None:
    low, high = points.min(axis=0), points.max(axis=0)
    pad = 0.15 * np.where(high > low, high - low, 1.0)
    x, y = (np.linspace(a, b, SIDE) for a, b in zip(low - pad, high + pad, strict=True))
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    heights = marginal(estimator, grid.reshape(-1, 2), chosen).reshape(SIDE, SIDE)
    levels = thresholds(estimator, chosen, shares)[::-1]
    drawn = ax.contour(x, y, heights, levels=levels, cmap="viridis", linewidths=1.5)
    words = {float(level): f"{share:.0%}" for level, share in zip(levels, shares[::-1], strict=True)}
    ax.clabel(drawn, fmt=words, fontsize="x-small")
