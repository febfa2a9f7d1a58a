"""Several chains behind one series: each column over time with its fitted mean, and the states and moves of every chain.

panels   one for each column (at most MOST), a line through E[x_t | best states];  for each chain p(z_mt = a | x) stacked, and
         its transition matrix beside as a heat map
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.views.plot import INK
from estep.views.sequences import MOST, draw_moves, draw_shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_chains(
    transmats: Sequence[Array],
    x: Array | None = None,
    shares: Sequence[Array] = (),
    means: Array | None = None,
    ends: NDArray[np.intp] | None = None,
    names: Sequence[str] = (),
) -> Figure:
    """The figure: of M chains ``transmats`` (K_m, K_m) and ``shares`` (n, K_m), with ``x`` and ``means`` (n, d), ``ends`` (s,).

    Without ``x`` the moves alone; ``means`` may be None.
    """
    from matplotlib.figure import Figure

    if x is None:
        figure = Figure(figsize=(3.8 * len(transmats), 3.6), layout="constrained")
        for m, moves in enumerate(transmats):
            draw_moves(figure.add_subplot(1, len(transmats), m + 1), moves, f"moves of chain {m}")
        return figure
    shown = min(x.shape[1], MOST)
    figure = Figure(figsize=(10.0, 2.0 * (shown + len(transmats)) + 0.6), layout="constrained")
    grid = figure.add_gridspec(shown + len(transmats), 2, width_ratios=(4.0, 1.0))
    shared: Any = None
    stops = np.asarray([len(x)] if ends is None else ends)
    for j in range(shown):
        shared = figure.add_subplot(grid[j, 0], sharex=shared)
        _column(shared, x[:, j], None if means is None else means[:, j], stops)
        shared.set_ylabel(names[j])
        shared.tick_params(labelbottom=False)
    for m, (moves, share) in enumerate(zip(transmats, shares, strict=True)):
        below = figure.add_subplot(grid[shown + m, 0], sharex=shared)
        draw_shares(below, share, f"p(chain {m} | x)")
        below.tick_params(labelbottom=m + 1 == len(transmats))
        draw_moves(figure.add_subplot(grid[shown + m, 1]), moves, f"chain {m}")
    below.set_xlabel("row")
    return figure


def _column(ax: Axes, x: Array, means: Array | None, ends: NDArray[Any]) -> None:
    """One column over time, and its mean given the best states; a line where a sequence ends."""
    ax.scatter(np.arange(len(x)), x, s=7, color="0.6", linewidths=0, label="rows")
    begin = 0
    for end in ends.tolist() if means is not None else ():
        label = "mean of the best states" if begin == 0 else None
        ax.step(np.arange(begin, end), np.asarray(means)[begin:end], where="mid", color=INK, linewidth=1.0, label=label)
        begin = end
    for end in ends[:-1].tolist():
        ax.axvline(end - 0.5, color="0.6", linewidth=0.6, linestyle=":")
    if ax.get_subplotspec().rowspan.start == 0:  # type: ignore[union-attr]
        ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, frameon=False, fontsize=8)
