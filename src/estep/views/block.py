"""An aligned block of sequences as text and as a picture: letters that match in capitals, others small, gaps where none is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from estep.data.fasta import write_fasta

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 80
MOST_ROWS = 200
LETTER = 0.14


@dataclasses.dataclass(frozen=True)
class AlignedBlock:
    """Rows of equal length, under one another.

    Attributes
    ----------
    names : tuple of str
    rows : tuple of str
        Capitals in columns that match, small letters between; ``-`` where a sequence skips a column that matches, ``.`` where
        it has fewer letters between than another.
    match : booleans
        Which columns match, one for each column.

    Examples
    --------
    >>> block = AlignedBlock(("a", "b"), ("acTG-c", ".gTGA."), np.array([0, 0, 1, 1, 1, 0], dtype=bool))
    >>> print(block)
    a  acTG-c
    b  .gTGA.
         ***
    >>> block.deletes.tolist()
    [[False, False, True], [False, False, False]]
    """

    names: tuple[str, ...]
    rows: tuple[str, ...]
    match: NDArray[np.bool_]

    @property
    def deletes(self) -> NDArray[np.bool_]:
        """Which columns that match each sequence skips, (s, L)."""
        return np.array([[c == "-" for c in row] for row in self.rows], dtype=bool).reshape(len(self.rows), -1)[:, self.match]

    def write(self, path: str | Path) -> None:
        """Write the rows as aligned FASTA."""
        write_fasta(path, zip(("_".join(name.split()) for name in self.names), self.rows, strict=True))

    def __str__(self) -> str:
        label = max((len(name) for name in self.names), default=0)
        marks = "".join("*" if m else " " for m in self.match)
        lines: list[str] = []
        for at in range(0, max(len(marks), 1), WIDTH):
            lines += [""] if lines else []
            lines += [f"{n:<{label}}  {r[at : at + WIDTH]}" for n, r in zip(self.names, self.rows, strict=True)]
            lines.append(f"{'':<{label}}  {marks[at : at + WIDTH]}".rstrip())
        return "\n".join(lines)

    def plot(self) -> Figure:
        """The block as a picture, a colour for each letter; see ``plot_block``."""
        return plot_block(self)


def in_columns(parts: Sequence[Sequence[str]], left: int | None = None) -> list[str]:
    """Rows from pieces: piece i of every row gets the width of the longest; ``left`` is a piece that is set to the right.

    >>> in_columns([["ac", "T", "g"], ["", "T", "gg"]], left=0)
    ['acTg.', '..Tgg']
    """
    widths = [max(len(row[i]) for row in parts) for i in range(len(parts[0]))]
    return [
        "".join(p.rjust(w, ".") if i == left else p.ljust(w, ".") for i, (p, w) in enumerate(zip(row, widths, strict=True)))
        for row in parts
    ]


def plot_block(block: AlignedBlock) -> Figure:
    """An aligned block as a picture.

    Parameters
    ----------
    block : AlignedBlock
        What ``align`` of ``AlignmentHMM`` and ``ProfileHMM`` gives; at most 200 rows are drawn.

    Returns
    -------
    matplotlib Figure
        Letters in their colours, pale where they lie between the columns that match.
    """
    from estep.views.logo import letter_colour
    from estep.views.plot import new_figure

    rows, names = block.rows[:MOST_ROWS], block.names[:MOST_ROWS]
    columns = len(block.match)
    figure = new_figure("plot_block", (LETTER * columns + 1.6, LETTER * 1.25 * len(rows) + 0.7))
    ax: Any = figure.subplots()
    letters = sorted({c.upper() for row in rows for c in row} - {"-", "."})
    for i, row in enumerate(rows):
        for j, c in enumerate(row):
            if c in "-.":
                continue
            shown = letter_colour(c.upper(), letters)
            ax.add_patch(_square(j, i, shown, 0.85 if block.match[j] else 0.2))
            ink = "white" if block.match[j] else "black"
            ax.text(j + 0.5, i + 0.5, c, ha="center", va="center", fontsize=6, color=ink, family="monospace")
    ax.set(xlim=(0, columns), ylim=(len(rows), 0))
    ax.set_yticks(np.arange(len(rows)) + 0.5, names, fontsize=6)
    found = np.flatnonzero(block.match)
    ax.set_xticks(found[::5] + 0.5, [str(k + 1) for k in range(0, len(found), 5)], fontsize=6)
    ax.set_xlabel("columns that match", fontsize=7)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure


def _square(x: float, y: float, colour: str, alpha: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), 1, 1, facecolor=colour, alpha=alpha, linewidth=0)
