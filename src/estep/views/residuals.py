"""Pictures of residuals that are standard normal where a model holds.

In the order of the rows, against normal quantiles, and, of rows in time, their autocorrelations:

    r_h = sum_t z_t z_{t+h} / sum_t z_t^2          within sequences; of independent rows in 0 -+ 1.96 / sqrt(n)

Source: Zucchini, MacDonald & Langrock (2016), Hidden Markov Models for Time Series, section 6.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.views.palette import colours
from estep.views.plot import INK, SOFT, add_legend, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAR = 3.0
MOST_LAGS = 20


def draw_residuals(found: Array, label: str, ends: Any = None, across: Array | None = None, name: str = "row") -> Figure:
    """Residuals (n,), NaN where there is none, in three or two panels.

    Parameters
    ----------
    found : array (n,)
    label : str
        What they are.
    ends : ints (s,) or None
        End rows of sequences; adds the autocorrelations.
    across : array (n,) or None
        Along what they are drawn, called ``name``; None is their order.
    """
    from scipy.special import ndtri

    places = np.flatnonzero(~np.isnan(found))
    if not places.size:
        raise ValueError("X: no row has a residual, as every value is missing")
    z = np.clip(found[places], -9.0, 9.0)
    figure = new_figure("plot_residuals", (9.0 if ends is None else 11.0, 3.8))
    panels = figure.subplots(1, 2 if ends is None else 3, width_ratios=(1.6, 1.0) if ends is None else (1.6, 1.0, 1.0))
    left, right = panels[0], panels[1]
    x = places if across is None else np.asarray(across, dtype=float)[places]
    far = np.abs(z) > FAR
    left.plot(x[~far], z[~far], ".", markersize=4, color=colours(1)[0], label="rows")
    if far.any():
        left.plot(x[far], z[far], "o", markersize=5, color=colours(2)[1], label="beyond 3")
    for level in (-1.96, 0.0, 1.96):
        left.axhline(level, color=SOFT, linewidth=1.0, linestyle="-" if level == 0 else (0, (5, 3)))
    left.set_xlabel(name)
    left.set_ylabel(label)
    add_legend(left, loc="upper right")
    expected = ndtri((np.arange(len(z)) + 0.5) / len(z))
    right.plot(expected[[0, -1]], expected[[0, -1]], color=INK, linewidth=1.0)
    right.plot(expected, np.sort(z), ".", markersize=4, color=colours(1)[0])
    right.set_xlabel("normal quantiles")
    right.set_ylabel("residuals in order")
    if ends is not None:
        _draw_lags(panels[2], np.clip(found, -9.0, 9.0), np.asarray(ends))
    for panel in panels:
        tidy(panel)
    return figure


def _draw_lags(ax: Axes, found: Array, ends: Any) -> None:
    r = autocorrelations(found, ends)
    bar = 1.96 / np.sqrt(max(int((~np.isnan(found)).sum()), 1))
    ax.vlines(np.arange(1, len(r) + 1), 0.0, r, color=colours(1)[0], linewidth=2.0)
    for level in (-bar, 0.0, bar):
        ax.axhline(level, color=SOFT, linewidth=1.0, linestyle="-" if level == 0 else (0, (5, 3)))
    ax.set_xlabel("lag")
    ax.set_ylabel("autocorrelation")


def autocorrelations(found: Array, ends: Any, most: int = MOST_LAGS) -> Array:
    """Autocorrelations at lags 1, 2, ... within sequences that end at ``ends``, missing residuals left out.

    >>> autocorrelations(np.array([1.0, -1.0, 1.0, -1.0, 5.0]), np.array([4, 5]), 1).round(4).tolist()
    [-0.1034]
    """
    which = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    lags = min(most, int(np.diff(ends, prepend=0).max()) - 1)
    total = float(np.nansum(found**2))
    out = np.zeros(max(lags, 0))
    for h in range(1, lags + 1):
        same = which[h:] == which[:-h]
        out[h - 1] = np.nansum(found[h:][same] * found[:-h][same]) / total if total > 0 else 0.0
    return out
