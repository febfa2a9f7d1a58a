"""Who a row belongs to: stacked areas of the responsibilities along one column, and how uncertain each row is.

    r_k(x) = w_k p(x | k) / sum_l w_l p(x | l)         stacked over k they fill 0..1
    uncertainty of a row = 1 - max_k r_ik               0 where one component is certain, at most 1 - 1/k

For one column the areas are the exact functions r_k(x); for several, rows are put in order of one column and their
responsibilities averaged over neighbours, because they depend on the other columns too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.views.palette import NOISE, colours
from estep.views.plot import SOFT, add_legend, figure_of, new_axes, tidy
from estep.views.values import curves, mixing, some_rows
from estep.views.words import column_names, component_names, is_noisy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEIGHBOURS = 60


def plot_responsibilities(estimator: Any, X: Any, column: Any = 0, ax: Axes | None = None) -> Figure:
    """Stacked areas of the class probabilities along one column.

    Parameters
    ----------
    estimator : fitted mixture
        With ``predict_proba``.
    X : array or DataFrame (n, d)
        Rows; with several columns their responsibilities are averaged over about n / 60 neighbours in the column.
    column : name or position
        What lies along the axis.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        On a column that is not there, or without an observed value.
    """
    names = column_names(estimator)
    at = position_of(column, names)
    values, resp = some_rows(estimator, X)
    x, shares = _along(estimator, values[:, at], resp)
    ax = new_axes("plot_responsibilities", (7.0, 3.4)) if ax is None else ax
    ax.stackplot(x, shares.T, colors=component_colours(estimator), labels=component_names(estimator), alpha=0.85)
    ax.set_xlim(float(x[0]), float(x[-1]))
    ax.set_ylim(0.0, 1.0)
    ax.set_xlabel(names[at])
    ax.set_ylabel("responsibility" if len(names) == 1 else "responsibility (mean of neighbours)")
    add_legend(ax, title="component", loc="center left", bbox_to_anchor=(1.0, 0.5))
    tidy(ax)
    return figure_of(ax)


def plot_uncertainty(estimator: Any, X: Any, ax: Axes | None = None) -> Figure:
    """Rows in order of their uncertainty: how many are settled, and how many lie between components.

    Parameters
    ----------
    estimator : fitted mixture
        With ``predict_proba``.
    X : array or DataFrame (n, d)
        Rows.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure
        ``1 - max_k r_ik`` of every row, sorted, one line for each most probable component.
    """
    resp = np.asarray(estimator.predict_proba(X))
    doubt = 1.0 - resp.max(axis=1)
    ax = new_axes("plot_uncertainty", (6.0, 3.6)) if ax is None else ax
    for k, (name, colour) in enumerate(zip(component_names(estimator), component_colours(estimator), strict=True)):
        mine = np.sort(doubt[resp.argmax(axis=1) == k])
        if mine.size:
            share = (np.arange(mine.size) + 0.5) / mine.size
            ax.plot(share, mine, color=colour, label=f"{name} ({mine.size} rows)", linewidth=1.6)
    ax.set_ylim(0.0, max(0.5, 1.05 * float(doubt.max())))
    ax.set_xlim(0.0, 1.0)
    ax.set_xlabel("share of the component's rows, the surest first")
    ax.set_ylabel("uncertainty (1 - largest responsibility)")
    ax.set_title(f"{float((doubt > 0.1).mean()):.0%} of rows above 0.1", fontsize="small", color=SOFT, loc="right")
    add_legend(ax, title="component", loc="upper left")
    tidy(ax)
    return figure_of(ax)


def component_colours(estimator: Any) -> list[str]:
    """A colour for each component; noise is grey."""
    k = int(estimator.result_.model.k)
    return [*colours(k - 1), NOISE] if is_noisy(estimator.result_) else colours(k)


def position_of(column: Any, names: list[str], argument: str = "column") -> int:
    """Position of a column given by name or number; raises ValueError offering those there are.

    >>> position_of("b", ["a", "b"])
    1
    """
    if isinstance(column, str) and column in names:
        return names.index(column)
    if isinstance(column, int | np.integer) and not isinstance(column, bool) and 0 <= column < len(names):
        return int(column)
    raise ValueError(f"{argument} names {column!r}; the columns are {names[:12]} (or positions 0..{len(names) - 1})")


def _along(estimator: Any, values: Array, resp: Array) -> tuple[Array, Array]:
    """Places on the axis and responsibilities (places, k) there."""
    seen = np.isfinite(values)
    if not seen.any():
        raise ValueError("column: no row of X has a value there; choose another column")
    values, resp = values[seen], resp[seen]
    if estimator.n_features_in_ == 1:
        grid, found, _ = curves(estimator, values, 0)
        joint = found * mixing(estimator)
        total = joint.sum(axis=1)
        return grid[total > 0], joint[total > 0] / total[total > 0, None]
    order = np.argsort(values, kind="stable")
    window = max(len(values) // NEIGHBOURS, 1)
    edges = np.unique(np.r_[np.arange(0, len(values), window), len(values)])
    pieces = [order[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True)]
    x = np.array([values[p].mean() for p in pieces])
    return x, np.array([resp[p].mean(axis=0) for p in pieces])
