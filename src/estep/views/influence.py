"""A picture of the influence of single rows on a fit; the numbers are those of ``estep.inference.influence``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from estep.inference.influence import Influence
from estep.views.palette import colours
from estep.views.plot import SOFT, figure_of, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED = 5


def plot_influence(found: Any, X: Any = None, named: int = NAMED, ax: Axes | None = None) -> Figure:
    """How far the estimates would move without each row, in standard errors squared; the largest are named.

    Parameters
    ----------
    found : Influence or fitted estimator
        What ``fit.influence(X)`` returned, or the estimator, which is asked for it.
    X : array or DataFrame (n, d), optional
        The rows of the fit, with an estimator.
    named : int
        How many rows to name.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Where ``found`` is an estimator and ``X`` is missing.
    """
    if not isinstance(found, Influence):
        if X is None:
            raise ValueError("X is missing: give the rows of the fit, or what fit.influence(X) returned")
        found = found.influence(X)
    ax = new_axes("plot_influence", (7.0, 3.8)) if ax is None else ax
    ax.vlines(found.numbers, 0.0, found.distance, color=colours(1)[0], linewidth=1.0)
    for row, distance, name, shift in found.top(named):
        ax.annotate(f"{row}: {name} {shift:+.1f}", (row, distance), xytext=(3, 2), textcoords="offset points", fontsize="small")
    mean = float(np.mean(found.distance)) if len(found.distance) else 0.0
    ax.axhline(mean, color=SOFT, linewidth=1.0, linestyle=(0, (5, 3)))
    ax.set_title(f"mean {mean:.2g}", fontsize="small", color=SOFT, loc="right")
    ax.set_ylim(0.0, None)
    ax.margins(y=0.12)
    ax.set_xlabel("row")
    ax.set_ylabel("change without it (squared standard errors)")
    tidy(ax)
    return figure_of(ax)
