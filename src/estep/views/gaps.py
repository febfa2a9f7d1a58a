"""Pictures of missing entries: which patterns there are, and where imputation puts what is missing.

    pattern             a line of cells, full where the column is seen; the most frequent pattern is at the top
    conditional mean    E[x_missing | x_seen], an open mark at the place that ``transform`` gives it

Figures are returned, never shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.views.palette import colours
from estep.views.plot import INK, SOFT, add_legend, ellipse, figure_of, new_axes, tidy
from estep.views.responsibilities import position_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PATTERNS = 40
SEEN, GAP = "#0072B2", "#eeeeee"


def plot_patterns(X: Any, sample_weight: Any = None, ax: Axes | None = None) -> Figure:
    """The distinct patterns of missing entries, one line each, with how many rows have them.

    Parameters
    ----------
    X : array or DataFrame (n, d)
        Rows; NaN and None are missing.
    sample_weight : array (n,), optional
        Frequencies of the rows.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure
        Full cells are seen, pale ones missing; above each column stands the share of it that is missing.
    """
    seen, names = _seen(X)
    weight = np.ones(len(seen)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    kinds, which = np.unique(seen, axis=0, return_inverse=True)
    counts = np.bincount(which.ravel(), weight, minlength=len(kinds))
    order = np.argsort(-counts, kind="stable")[:MOST_PATTERNS]
    shown, many = kinds[order], len(kinds) > MOST_PATTERNS
    ax = new_axes("plot_patterns", (1.6 + 0.85 * len(names), 1.4 + 0.3 * len(shown))) if ax is None else ax
    for i, kind in enumerate(shown):
        for j, there in enumerate(kind):
            ax.barh(i, 0.94, left=j + 0.03, height=0.88, color=SEEN if there else GAP, linewidth=0)
        ax.text(len(names) + 0.15, i, f"{counts[order[i]]:g}", va="center", ha="left", fontsize="small", color=INK)
    missing = 100.0 * (weight @ ~seen) / weight.sum()
    labels = [f"{name}\n{_percent(share)}" for name, share in zip(names, missing, strict=True)]
    ax.set_xticks(np.arange(len(names)) + 0.5, labels, fontsize="small")
    ax.xaxis.tick_top()
    ax.set_yticks([])
    ax.set_xlim(0.0, len(names) + 0.9)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    said = f"the {MOST_PATTERNS} most frequent of {len(kinds)} patterns" if many else f"{len(kinds)} patterns"
    ax.set_xlabel(f"{said}; full: seen, pale: missing; rows on the right", fontsize="small", color=SOFT)
    tidy(ax)
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    return figure_of(ax)


def plot_imputed(estimator: Any, X: Any, columns: Sequence[Any] = (0, 1), ax: Axes | None = None) -> Figure:
    """Two columns with the missing entries at their conditional means, and the fitted normal's ellipses.

    Parameters
    ----------
    estimator : fitted MultivariateNormal
        Or anything with ``transform``, ``mean_`` and ``covariance_``.
    X : array or DataFrame (n, d)
        Rows; NaN is missing.
    columns : two names or positions
        Which columns to draw.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure
        Full marks have both entries, open ones were missing one or both; ellipses of 1 and 2 standard deviations.

    Raises
    ------
    ValueError
        On an estimator that does not impute, or other than two columns.
    """
    if not all(hasattr(estimator, name) for name in ("transform", "mean_", "covariance_")):
        raise ValueError(f"estimator: {type(estimator).__name__} does not impute; give a fitted MultivariateNormal")
    if isinstance(columns, str) or len(columns) != 2:
        raise ValueError(f"columns must be two names or positions, got {columns!r}")
    seen, names = _seen(X)
    places = [position_of(column, names, "columns") for column in columns]
    filled = np.asarray(estimator.transform(X), dtype=float)[:, places]
    there = seen[:, places]
    ax = new_axes("plot_imputed", (6.0, 4.8)) if ax is None else ax
    _draw_ellipses(np.asarray(estimator.mean_)[places], np.asarray(estimator.covariance_)[np.ix_(places, places)], ax)
    x_name, y_name = (names[j] for j in places)
    kinds: tuple[tuple[Any, str, dict[str, Any]], ...] = (
        (there.all(axis=1), "both seen", {"color": colours(1)[0], "linewidths": 0, "alpha": 0.6}),
        (there[:, 0] & ~there[:, 1], f"{y_name} imputed", {"facecolors": "none", "edgecolors": colours(3)[1]}),
        (~there[:, 0] & there[:, 1], f"{x_name} imputed", {"facecolors": "none", "edgecolors": colours(3)[2]}),
        (~there.any(axis=1), "both imputed", {"facecolors": "none", "edgecolors": INK}),
    )
    for rows, label, look in kinds:
        if rows.any():
            ax.scatter(filled[rows, 0], filled[rows, 1], s=22, label=label, zorder=3, **look)
    ax.margins(0.06)
    ax.set_xlabel(x_name)
    ax.set_ylabel(y_name)
    add_legend(ax)
    tidy(ax)
    return figure_of(ax)


def _draw_ellipses(mean: Array, covariance: Array, ax: Axes) -> None:
    from matplotlib.patches import Ellipse

    width, height, angle = ellipse(covariance)
    for sds, style in ((1, "-"), (2, "--")):
        centre = (float(mean[0]), float(mean[1]))
        ax.add_patch(
            Ellipse(centre, sds * width, sds * height, angle=angle, fill=False, edgecolor=SOFT, linestyle=style, linewidth=1.2)
        )


def _seen(X: Any) -> tuple[Any, list[str]]:
    """Which entries are there, (n, d), and the names of the columns."""
    table = np.asarray(X.to_numpy() if hasattr(X, "to_numpy") else X)
    if table.ndim != 2:
        raise ValueError(f"X has shape {table.shape}, expected (n, d)")
    names = [str(name) for name in X.columns] if hasattr(X, "columns") else [f"x{j}" for j in range(table.shape[1])]
    if table.dtype.kind in "biuf":
        return ~np.isnan(table.astype(float)), names
    return np.array([[not (v is None or v != v) for v in row] for row in table.tolist()], dtype=bool), names


def _percent(share: float) -> str:
    return "complete" if share == 0 else f"{share:.1f}%" if share >= 0.1 else "< 0.1%"
