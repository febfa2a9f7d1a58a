"""A hanging rootogram: counts seen against counts expected, on the scale of roots.

    e_m = n sum_k w_k p_k(m)            bars of length sqrt(o_m) hang from sqrt(e_m); where the model holds they end near zero,
                                        within about one unit: sqrt(o) has variance 1/4, whatever e

Source: Tukey (1977), Exploratory Data Analysis, chapter 17; Kleiber & Zeileis (2016), The American Statistician 70:296.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.inference.distribution import is_counted
from estep.views.palette import colours
from estep.views.plot import INK, SOFT, add_legend, figure_of, new_axes, tidy
from estep.views.responsibilities import position_of
from estep.views.values import densities, mixing, numeric_columns, values_of
from estep.views.words import column_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COUNTS = 400


def plot_rootogram(estimator: Any, X: Any, column: Any = 0, ax: Axes | None = None) -> Figure:
    """Counts seen and expected: bars hang from the expected curve and should end near zero.

    Parameters
    ----------
    estimator : fitted mixture
        Whose family counts along the column.
    X : array or DataFrame (n, d)
        Rows; missing counts are left out.
    column : name or position
        The column of counts.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Where the column holds no counts, or where they are too many to draw one by one.

    Examples
    --------
    >>> import estep
    >>> X = np.array([[0.0], [1.0], [1.0], [2.0], [4.0]])
    >>> plot_rootogram(estep.Mixture(estep.Poisson(), 1).fit(X), X).axes[0].get_xlabel()
    'x0'
    """
    at = position_of(column, column_names(estimator))
    counts, seen, expected = rootogram(estimator, X, at)
    ax = new_axes("plot_rootogram", (6.4, 4.2)) if ax is None else ax
    top = np.sqrt(expected)
    ax.bar(counts, -np.sqrt(seen), bottom=top, width=0.85, color=colours(6)[5], edgecolor="white", label="seen")
    ax.plot(counts, top, marker=".", color=colours(2)[1], linewidth=1.6, label="expected")
    ax.axhline(0.0, color=INK, linewidth=1.0)
    for level in (-1.0, 1.0):
        ax.axhline(level, color=SOFT, linewidth=1.0, linestyle=(0, (5, 3)))
    ax.set_xlabel(column_names(estimator)[at])
    ax.set_ylabel("root of the number of rows")
    worst = int(np.argmax(np.abs(np.sqrt(seen) - top)))
    words = f"farthest off at {counts[worst]:g}: {seen[worst]:g} seen, {expected[worst]:.1f} expected"
    ax.set_title(words, fontsize="small", color=SOFT, loc="right")
    add_legend(ax, loc="upper right")
    tidy(ax)
    return figure_of(ax)


def rootogram(estimator: Any, X: Any, column: int) -> tuple[Array, Array, Array]:
    """Counts (m,) from 0 to the largest, how many rows have each, and how many are expected."""
    if column not in numeric_columns(estimator) or not is_counted(estimator.result_.model.family, column):
        raise ValueError(f"column: {column_names(estimator)[column]!r} is no column of counts; see plot_probability")
    values = values_of(estimator, X)[:, column]
    values = values[~np.isnan(values)]
    if not values.size:
        raise ValueError("column: no row of X has a value there; choose another column")
    low, high = int(min(values.min(), 0)), int(values.max())
    if high - low >= MOST_COUNTS:
        raise ValueError(f"column: counts reach {high}, and a rootogram draws at most {MOST_COUNTS}; see plot_residuals")
    counts = np.arange(low, high + 1, dtype=float)
    seen = np.bincount((values - low).astype(int), minlength=len(counts)).astype(float)
    return counts, seen, len(values) * (densities(estimator, counts[:, None], [column]) @ mixing(estimator))
