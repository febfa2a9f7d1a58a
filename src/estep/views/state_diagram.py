"""The transition diagram of a chain: states on a circle, moves as arrows, and where sequences begin.

null state   a small dot outside the circle, from which dashed arrows lead to the states in which sequences begin
state        a disc; its loop is the probability of staying
move         an arrow as wide as its probability, which stands on it; those below ``smallest`` are left out
end          a ring, where the transition matrix has a column for the ending
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.views.palette import colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DISC = 0.2
"""Radius of a state, where the circle has radius 1."""
NULL = np.array([-1.6, 1.3])
END = np.array([1.6, -1.3])
PLATE: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
INSIDE = 10
"""Letters of a name that stands within its disc, at most."""


def state_diagram(
    startprob: Array | None, transmat: Array, labels: Sequence[Any] | None = None, *, ax: Any = None, smallest: float = 0.005
) -> Figure:
    """States of a chain and the moves between them.

    Parameters
    ----------
    startprob : array (k,) or None
        Probabilities of beginning in each state, drawn from the null state; None leaves it out.
    transmat : array (k, k) or (k, k + 1)
        Probabilities of moves; the last of k + 1 columns is that of ending.
    labels : sequence or None
        Names of the states; None numbers them.
    ax : Axes or None
        Where to draw; None makes a figure.
    smallest : float
        Moves and starts with a probability below this are left out.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Where shapes do not agree.
    """
    moves = np.asarray(transmat, dtype=float)
    k = len(moves)
    if moves.ndim != 2 or moves.shape[1] not in (k, k + 1):
        raise ValueError(f"transmat has shape {moves.shape}, expected (k, k), or (k, k + 1) with the endings last")
    names = [str(label) for label in (range(k) if labels is None else labels)]
    begins = None if startprob is None else np.asarray(startprob, dtype=float)
    if len(names) != k or (begins is not None and begins.shape != (k,)):
        found = "" if begins is None else f" and startprob has shape {begins.shape}"
        raise ValueError(f"transmat has {k} states, but there are {len(names)} labels{found}")
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.4, 5.2), layout="constrained").add_subplot()
    at = places(k)
    if begins is not None:
        _starts(ax, at, begins, smallest)
    if moves.shape[1] > k:
        _ends(ax, at, moves[:, k], smallest)
    _moves(ax, at, moves[:, :k], smallest)
    _states(ax, at, names)
    ax.set(xlim=(-2.0, 2.0), ylim=(-1.65, 1.65), aspect="equal")
    ax.axis("off")
    return ax.figure  # type: ignore[no-any-return]


def places(k: int) -> Array:
    """Centres of ``k`` states, (k, 2): round the circle from the top, clockwise; two side by side, one in the middle.

    >>> places(4).round(6).tolist()
    [[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]]
    """
    if k == 1:
        return np.zeros((1, 2))
    turn = (np.pi if k == 2 else np.pi / 2) - 2 * np.pi * np.arange(k) / k
    return np.asarray(np.column_stack([np.cos(turn), np.sin(turn)]).round(12) + 0.0)


def _states(ax: Axes, at: Array, names: list[str]) -> None:
    from matplotlib.patches import Circle

    for centre, name, colour in zip(at, names, colours(len(at)), strict=True):
        ax.add_patch(Circle((centre[0], centre[1]), DISC, facecolor=colour, edgecolor="white", zorder=3))
        if len(name) <= INSIDE:
            size = min(11.0, 62.0 / max(len(name), 1))
            ax.text(centre[0], centre[1], name, ha="center", va="center", color="white", fontsize=size, zorder=4)
        else:
            ax.text(centre[0], centre[1] - DISC - 0.09, name, ha="center", va="center", fontsize=9, bbox=PLATE, zorder=4)


def _moves(ax: Axes, at: Array, moves: Array, smallest: float) -> None:
    for i, j in zip(*np.nonzero(moves >= smallest), strict=True):
        if i == j:
            _loop(ax, at[i], float(moves[i, i]))
            continue
        _arrow(ax, at[i], at[j], float(moves[i, j]), bend=0.16)


def _arrow(ax: Axes, tail: Array, head: Array, chance: float, *, bend: float, style: str = "-", room: float = DISC) -> None:
    """An arrow between two discs with its probability on it, two fifths of the way."""
    from matplotlib.patches import FancyArrowPatch

    along = (head - tail) / np.linalg.norm(head - tail)
    side = np.array([along[1], -along[0]])
    begin, end = tail + along * room + side * 0.05, head - along * (DISC + 0.02) + side * 0.05
    ax.add_patch(
        FancyArrowPatch(
            (begin[0], begin[1]),
            (end[0], end[1]),
            connectionstyle=f"arc3,rad={bend}",
            arrowstyle="-|>",
            mutation_scale=11,
            linewidth=0.6 + 3.0 * chance,
            linestyle=style,
            color="0.45",
            zorder=2,
        )
    )
    control = (begin + end) / 2 + bend * np.linalg.norm(end - begin) * side
    _number(ax, 0.6**2 * begin + 2 * 0.6 * 0.4 * control + 0.4**2 * end, chance)


def _loop(ax: Axes, centre: Array, chance: float) -> None:
    """The loop of a state, outside the circle."""
    from matplotlib.patches import FancyArrowPatch

    length = np.linalg.norm(centre)
    out = centre / length if length > 0 else np.array([0.0, 1.0])
    side = np.array([-out[1], out[0]])
    begin, end = (centre + DISC * (0.75 * out + sign * 0.66 * side) for sign in (1.0, -1.0))
    ax.add_patch(
        FancyArrowPatch(
            (begin[0], begin[1]),
            (end[0], end[1]),
            connectionstyle="arc3,rad=-1.7",
            arrowstyle="-|>",
            mutation_scale=11,
            linewidth=0.6 + 3.0 * chance,
            color="0.45",
            zorder=2,
        )
    )
    _number(ax, centre + out * (DISC + 0.27), chance)


def _starts(ax: Axes, at: Array, startprob: Array, smallest: float) -> None:
    ax.plot(*NULL, marker="o", markersize=9, color="black", zorder=3)
    ax.text(NULL[0], NULL[1] + 0.15, "start", ha="center", va="center", fontsize=9)
    for j in np.flatnonzero(startprob >= smallest):
        _arrow(ax, NULL, at[j], float(startprob[j]), bend=0.1, style="--", room=0.07)


def _ends(ax: Axes, at: Array, ending: Array, smallest: float) -> None:
    from matplotlib.patches import Circle

    ax.add_patch(Circle((END[0], END[1]), 0.11, facecolor="white", edgecolor="black", linewidth=2, zorder=3))
    ax.text(END[0], END[1] - 0.2, "end", ha="center", va="center", fontsize=9)
    for i in np.flatnonzero(ending >= smallest):
        _arrow(ax, at[i], END, float(ending[i]), bend=0.1, style=":")


def _number(ax: Axes, at: Array, chance: float) -> None:
    ax.text(at[0], at[1], f"{chance:.2f}", ha="center", va="center", fontsize=8, color="0.1", bbox=PLATE, zorder=5)
