"""Where the rows of sequences go: sequence by sequence, a row for every step of time.

Sequences come in the order in which they first appear. A step of time without a row becomes a row in which everything is
missing, which is exact under missing at random.

    step of time = greatest common divisor of all gaps between the times of a sequence
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_FILLED = 10
"""How many rows may be filled in for one that is given, before a slip in ``time`` is more likely."""
Order = NDArray[np.intp]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where rows go: row i of the user's stands at ``place[i]`` of the arranged ones, whose sequences end at ``ends``."""

    ends: Order
    place: Order

    @property
    def n(self) -> int:
        """Number of arranged rows."""
        return int(self.ends[-1])

    @property
    def plain(self) -> bool:
        """Whether every row stands where it stood."""
        return self.n == len(self.place) and bool((self.place == np.arange(self.n)).all())

    @property
    def appearance(self) -> Order:
        """Which of the arranged sequences is the first, second ... to appear among the user's rows."""
        which = np.searchsorted(self.ends, self.place, side="right")
        found, first = np.unique(which, return_index=True)
        return np.asarray(found[np.argsort(first, kind="stable")], dtype=np.intp)

    def arranged(self, values: Any, blank: Any) -> Any:
        """Values of the user's rows in their places, ``blank`` where there was no row."""
        if self.plain:
            return values
        out = np.full((self.n, *values.shape[1:]), blank, dtype=np.result_type(values.dtype, type(blank)))
        out[self.place] = values
        return out


def by_id(ids: Order) -> Layout:
    """Rows sequence by sequence, in the order that they have.

    >>> by_id(np.array([0, 1, 0])).place.tolist()
    [0, 2, 1]
    """
    order = np.argsort(ids, kind="stable")
    place = np.empty(len(ids), dtype=np.intp)
    place[order] = np.arange(len(ids))
    return Layout(np.cumsum(np.bincount(ids)), place)


def by_time(ids: Order, times: NDArray[np.int64], step: int | None = None) -> Layout:
    """Rows sequence by sequence with a row for every ``step`` of time; ``step`` None is what divides every gap."""
    order = np.argsort(ids, kind="stable")
    same = ids[order][1:] == ids[order][:-1]
    step = time_step(ids, times) if step is None else step
    jumps = np.where(same, np.diff(times[order]) // step, 1)
    at = np.concatenate([[0], np.cumsum(jumps)]).astype(np.intp)
    n = int(at[-1]) + 1
    if n > (1 + MOST_FILLED) * len(ids):
        raise ValueError(
            f"time leaves {n - len(ids)} steps of {step} without a row, for {len(ids)} rows; number the steps, or drop time"
        )
    place = np.empty(len(ids), dtype=np.intp)
    place[order] = at
    last = np.append(np.flatnonzero(~same), len(ids) - 1)
    return Layout(at[last] + 1, place)


def time_step(ids: Order, times: NDArray[np.int64], names: Order | None = None) -> int:
    """What divides every gap between the times of a sequence, 1 where there is none; errors call the rows by ``names``."""
    order = np.argsort(ids, kind="stable")
    same = ids[order][1:] == ids[order][:-1]
    gaps = np.diff(times[order])
    if (odd := np.flatnonzero(same & (gaps <= 0))).size:
        row, before = int(order[odd[0] + 1]), int(order[odd[0]])
        told, first = (row, before) if names is None else (int(names[row]), int(names[before]))
        if gaps[odd[0]] == 0:
            raise ValueError(f"rows {first} and {told} have the same time in the same sequence; keep one of them")
        raise ValueError(f"row {told} is earlier than row {first} of its sequence; sort each sequence by time")
    return int(np.gcd.reduce(gaps[same])) if same.any() else 1


def id_codes(sequence: Any, n: int) -> Order:
    """Ids of sequences as codes in order of appearance."""
    ids = np.asarray(sequence)
    if ids.shape != (n,):
        raise ValueError(f"sequence has shape {ids.shape}, expected ({n},): the id of the sequence of each row")
    if ids.dtype.kind in "OUf" and (gone := [i for i, v in enumerate(ids.tolist()) if is_missing(v)]):
        raise ValueError(f"sequence has no value in row {gone[0]}; every row belongs to a sequence")
    known: dict[Any, int] = {}
    return np.array([known.setdefault(v, len(known)) for v in ids.tolist()], dtype=np.intp)


def whole_times(time: Any, n: int) -> NDArray[np.int64]:
    """Times as whole numbers."""
    values = np.asarray(time)
    if values.shape != (n,):
        raise ValueError(f"time has shape {values.shape}, expected ({n},): the time of each row")
    if values.dtype.kind == "O":
        if gone := [i for i, v in enumerate(values.tolist()) if is_missing(v) or type(v).__name__ == "NaTType"]:
            raise ValueError(f"time has no value in row {gone[0]}")
        number = all(isinstance(v, int | float | np.number) for v in values.tolist())
        values = values.astype(float) if number else np.array([np.datetime64(v) for v in values.tolist()])
    if values.dtype.kind in "mM":
        unit = "datetime64[ns]" if values.dtype.kind == "M" else "timedelta64[ns]"
        if np.isnat(values).any():
            raise ValueError(f"time has no value in row {int(np.flatnonzero(np.isnat(values))[0])}")
        return values.astype(unit).astype(np.int64)
    if values.dtype.kind not in "iuf" or not (values == np.floor(values)).all():
        raise ValueError("time must be whole numbers (steps) or dates; number the steps, or leave time out")
    return values.astype(np.int64)


def is_missing(value: Any) -> bool:
    """None, NaN, NaT and pandas' NA."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
