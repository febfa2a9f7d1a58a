"""Plain text in columns: numbers of one row with the same decimals, tables that wrap, facts under hanging indents.

    decimals of a row = max(digits - 1 - floor(log10 largest), 2 - floor(log10 resolution))

so that a row shows ``digits`` significant figures of its largest number, and no fewer than what its standard deviations
(``resolution``) tell apart.
"""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np

from estep.core.record import Array

WIDTH = 100
MOST_DECIMALS = 8
LARGEST_PLAIN = 12


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table: a label and a cell for each column; a row without cells is a heading."""

    label: str
    cells: Sequence[str] = ()


def numbers(values: Array, digits: int = 5, resolution: float | None = None) -> list[str]:
    """Numbers with common decimals; without ``resolution`` the smallest keeps two figures. Not finite ones in words.

    >>> numbers(np.array([54.4917, 80.8882]))
    ['54.492', '80.888']
    >>> numbers(np.array([1.0e8, 1.0e8 + 1]), resolution=0.5)
    ['100000000.000', '100000001.000']
    """
    finite = np.abs(values[np.isfinite(values) & (values != 0)])
    if not finite.size:
        return [f"{value:.0f}" if np.isfinite(value) else str(value) for value in values]
    top = _magnitude(float(finite.max()))
    low = 1 - _magnitude(float(finite.min())) if resolution is None else 0
    fine = 2 - _magnitude(resolution) if resolution is not None and np.isfinite(resolution) and resolution > 0 else 0
    decimals = max(0, digits - 1 - top, min(low, 6), fine)
    if decimals > MOST_DECIMALS or top >= LARGEST_PLAIN:
        return [f"{value:.{digits - 1}e}" for value in values]
    return [_plain(float(value), decimals) for value in values]


def number(value: float, decimals: int = 4) -> str:
    """One number with fixed decimals and no negative zero."""
    return _plain(value, decimals)


def table(title: str, header: Sequence[str], rows: Sequence[Row], width: int = WIDTH) -> list[str]:
    """Lines of a table with right-aligned columns, in blocks of as many columns as fit into ``width``.

    >>> rows = [Row("weight", ["0.25", "0.75"]), Row("mean"), Row("  x0", ["-1", "9"])]
    >>> for line in table("component", ["0", "1"], rows):
    ...     print(line)
    component     0     1
    weight     0.25  0.75
    mean
      x0         -1     9
    """
    label = max(len(title), *(len(row.label) for row in rows))
    sizes = [max(len(name), *(len(r.cells[i]) for r in rows if r.cells)) for i, name in enumerate(header)]
    lines: list[str] = []
    for block in _blocks(sizes, width - label):
        if lines:
            lines.append("")
        lines.append(_line(title, label, [header[i] for i in block], [sizes[i] for i in block]))
        widths = [sizes[i] for i in block]
        lines += [_line(row.label, label, [row.cells[i] for i in block if row.cells], widths) for row in rows]
    return lines


def facts(pairs: Iterable[tuple[str, str]], width: int = WIDTH) -> list[str]:
    """``label   value`` lines, long values wrapped under themselves."""
    kept = [(label, value) for label, value in pairs if value]
    indent = 4 + max((len(label) for label, _ in kept), default=0)
    lines: list[str] = []
    for label, value in kept:
        first = f"  {label}".ljust(indent)
        lines += _wrapped(value, width, first, " " * indent)
    return lines


def notes(sentences: Iterable[str], width: int = WIDTH) -> list[str]:
    """Sentences as a list."""
    return [line for sentence in sentences for line in _wrapped(sentence, width, "  - ", "    ")]


def _wrapped(text: str, width: int, first: str, later: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)


def _line(label: str, size: int, cells: Sequence[str], sizes: Sequence[int]) -> str:
    return (label.ljust(size) + "".join(f"  {c:>{s}}" for c, s in zip(cells, sizes, strict=False))).rstrip()


def _blocks(sizes: Sequence[int], width: int) -> list[list[int]]:
    blocks: list[list[int]] = [[]]
    used = 0
    for i, size in enumerate(sizes):
        if blocks[-1] and used + size + 2 > width:
            blocks.append([])
            used = 0
        blocks[-1].append(i)
        used += size + 2
    return blocks


def _magnitude(value: float) -> int:
    return math.floor(math.log10(value))


def _plain(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if not text.strip("-0.") else text
