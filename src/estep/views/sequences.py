"""Sequences and the states behind them: rows over time in the colours of the best path, probabilities, and moves.

panels   one for each column (at most MOST), coloured by state;  p(z_t = k | x) stacked;  transmat as a heat map
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.views.palette import colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 4
"""Columns drawn, at most."""
LEGIBLE = 12
"""States up to which the heat map holds numbers."""


def plot_sequences(
    transmat: Array,
    x: Array | None,
    resp: Array | None,
    path: NDArray[np.intp] | None,
    ends: NDArray[np.intp] | None,
    names: list[str],
) -> Figure:
    """The figure: ``x`` (n, d), ``resp`` (n, k), ``path`` (n,) and ``ends`` (s,), or None for the moves alone."""
    from matplotlib.figure import Figure

    if x is None or resp is None or path is None or ends is None:
        figure = Figure(figsize=(4.2, 3.8), layout="constrained")
        draw_moves(figure.add_subplot(), transmat)
        return figure
    shown = min(x.shape[1], MOST)
    figure = Figure(figsize=(10.0, 1.8 * (shown + 1) + 0.6), layout="constrained")
    grid = figure.add_gridspec(shown + 1, 2, width_ratios=(3.0, 1.2))
    shared: Any = None
    for j in range(shown):
        shared = figure.add_subplot(grid[j, 0], sharex=shared)
        _column(shared, x[:, j], path, ends, transmat.shape[0])
        shared.set_ylabel(names[j] if j < len(names) else f"x{j}")
        shared.tick_params(labelbottom=False)
    below = figure.add_subplot(grid[shown, 0], sharex=shared)
    draw_shares(below, resp, "p(state | x)")
    below.set_xlabel("row")
    draw_moves(figure.add_subplot(grid[:, 1]), transmat)
    return figure


def draw_shares(ax: Axes, resp: Array, label: str) -> None:
    """Probabilities of states (n, k) over the rows, one on top of the other."""
    ax.stackplot(np.arange(len(resp)), resp.T, colors=colours(resp.shape[1]), linewidth=0)
    ax.set(ylim=(0.0, 1.0), ylabel=label)


def _column(ax: Axes, x: Array, path: NDArray[np.intp], ends: NDArray[np.intp], k: int) -> None:
    """One column over time, rows coloured by their state; a line where a sequence ends."""
    begin = 0
    for end in ends.tolist():
        ax.plot(np.arange(begin, end), x[begin:end], color="0.8", linewidth=0.7, zorder=1)
        begin = end
    for state, colour in enumerate(colours(k)):
        mine = np.flatnonzero(path == state)
        ax.scatter(mine, x[mine], s=7, color=colour, linewidths=0, zorder=2, label=f"state {state}")
    for end in ends[:-1].tolist():
        ax.axvline(end - 0.5, color="0.6", linewidth=0.6, linestyle=":")
    if k <= LEGIBLE and ax.get_subplotspec() is not None and ax.get_subplotspec().rowspan.start == 0:  # type: ignore[union-attr]
        ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=min(k, 6), frameon=False, fontsize=8, markerscale=2)


def draw_moves(ax: Axes, transmat: Array, title: str = "moves") -> None:
    """Transition probabilities, from rows to columns; the last column is the ending where there is one."""
    k, width = transmat.shape
    ax.imshow(transmat, vmin=0.0, vmax=1.0, cmap="Blues")
    labels = [str(j) for j in range(k)] + ["end"] * (width - k)
    ax.set(xlabel="to state", ylabel="from state", title=title)
    ax.set_xticks(range(width), labels)
    ax.set_yticks(range(k), labels[:k])
    if k > LEGIBLE:
        return
    for i in range(k):
        for j in range(width):
            ink = "white" if transmat[i, j] > 0.5 else "black"
            ax.text(j, i, f"{transmat[i, j]:.2f}", ha="center", va="center", color=ink, fontsize=8)
