"""k-means in the plane: rows, centres, and the boundaries between their cells.

    cell of centre k = {x : |x - mu_k| <= |x - mu_l| for all l}:  the box cut by one half-plane for each other centre,
    2 (mu_l - mu_k)' x <= |mu_l|^2 - |mu_k|^2

Source of the cutting: Sutherland & Hodgman (1974), Communications of the ACM 17:32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.views.palette import colours
from estep.views.plot import INK, SOFT, figure_of, new_axes, say_if_sampled, tidy
from estep.views.values import MOST_POINTS
from estep.views.words import column_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAD = 0.08


def plot_voronoi(estimator: Any, X: Any, ax: Axes | None = None) -> Figure:
    """Rows of a k-means fit on two columns, coloured by cluster, with the cells of the centres.

    Parameters
    ----------
    estimator : fitted KMeans
        On two columns.
    X : array or DataFrame (n, 2)
        Rows; those with a missing entry are left out of the picture.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Where the fit has no cluster centres, or other than two columns (cells of more columns are no picture).
    """
    centres = getattr(estimator, "cluster_centers_", None)
    if centres is None:
        raise ValueError(f"estimator: {type(estimator).__name__} has no cluster_centers_; give a fitted KMeans")
    if centres.shape[1] != 2:
        raise ValueError(f"estimator: fitted on {centres.shape[1]} columns; cells can be drawn for 2, so fit on two of them")
    labels = np.asarray(estimator.predict(X))
    points = np.asarray(X, dtype=float)
    ax = new_axes("plot_voronoi", (6.0, 4.8)) if ax is None else ax
    say_if_sampled(len(points), ax)
    some = np.flatnonzero(~np.isnan(points).any(axis=1))
    if len(points) > MOST_POINTS:
        some = np.sort(np.random.default_rng(0).choice(some, min(MOST_POINTS, some.size), replace=False))
    box = box_of(np.vstack([points[some], centres]))
    _draw_cells(np.asarray(centres), box, ax)
    shades = np.array(colours(len(centres)))[labels[some]]
    size = float(np.clip(4000.0 / max(some.size, 1), 2.0, 26.0))
    many = some.size > 5000
    x, y = points[some].T
    ax.scatter(x, y, s=size, c=shades, alpha=0.7, linewidths=0, zorder=2, rasterized=many, label="rows")
    ax.plot(*centres.T, marker="P", markersize=12, linestyle="none", color=INK, mec="white", mew=1.2, zorder=3, label="centres")
    ax.set_xlim(box[0, 0], box[1, 0])
    ax.set_ylim(box[0, 1], box[1, 1])
    names = column_names(estimator)
    ax.set_xlabel(names[0])
    ax.set_ylabel(names[1])
    tidy(ax)
    return figure_of(ax)


def box_of(points: Array) -> Array:
    """Lower and upper corner (2, 2) of a box with a margin around the points."""
    low, high = points.min(axis=0), points.max(axis=0)
    pad = PAD * np.where(high > low, high - low, 1.0)
    return np.array([low - pad, high + pad])


def cells(centres: Array, box: Array) -> list[Array]:
    """The cell of each centre within the box, as a polygon (m, 2); an empty cell has no corners.

    >>> [len(c) for c in cells(np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[-1.0, -1.0], [3.0, 1.0]]))]
    [4, 4]
    """
    (x0, y0), (x1, y1) = box
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    found = []
    for k, centre in enumerate(centres):
        polygon = corners
        for other in np.delete(centres, k, axis=0):
            if (other != centre).any():
                polygon = cut(polygon, 2.0 * (other - centre), float(other @ other - centre @ centre))
        found.append(polygon)
    return found


def cut(polygon: Array, normal: Array, offset: float) -> Array:
    """The part of a convex polygon (m, 2) where ``normal @ x <= offset``."""
    if not len(polygon):
        return polygon
    inside = polygon @ normal - offset
    kept: list[Array] = []
    for i in range(len(polygon)):
        j = (i + 1) % len(polygon)
        if inside[i] <= 0:
            kept.append(polygon[i])
        if (inside[i] < 0 < inside[j]) or (inside[j] < 0 < inside[i]):
            share = inside[i] / (inside[i] - inside[j])
            kept.append(polygon[i] + share * (polygon[j] - polygon[i]))
    return np.array(kept).reshape(-1, 2)


def _draw_cells(centres: Array, box: Array, ax: Axes) -> None:
    from matplotlib.patches import Polygon

    for k, (cell, colour) in enumerate(zip(cells(centres, box), colours(len(centres)), strict=True)):
        if len(cell):
            ax.add_patch(Polygon(cell, closed=True, facecolor=colour, alpha=0.10, edgecolor="none", zorder=0))
            ax.add_patch(Polygon(cell, closed=True, fill=False, edgecolor=SOFT, linewidth=1.0, zorder=1, label=f"cell {k}"))
