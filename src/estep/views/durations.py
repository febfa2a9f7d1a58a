"""How long states last: the probability of every duration, a panel for each state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from estep.core.record import Array
from estep.views.palette import colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_durations(table: Array) -> Figure:
    """The figure of ``table`` (k, D), probabilities of 1 .. D rows; rows of zeros are states that are never left."""
    from matplotlib.figure import Figure

    k, size = table.shape
    figure = Figure(figsize=(7.0, 1.5 * k + 0.6), layout="constrained")
    axes = figure.subplots(k, 1, sharex=True, squeeze=False)[:, 0]
    for state, (ax, colour) in enumerate(zip(axes, colours(k), strict=True)):
        lasts = 1 + np.arange(size)
        ax.bar(lasts, table[state], width=0.9, color=colour)
        mean = float(table[state] @ lasts / table[state].sum()) if table[state].any() else None
        ax.set_ylabel(f"state {state}")
        ax.set_title("never left" if mean is None else f"mean {mean:.3g} rows", loc="right", fontsize=9)
        ax.set_ylim(bottom=0.0)
    axes[-1].set_xlabel("rows that a segment lasts")
    return figure
