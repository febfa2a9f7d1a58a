"""Sequences on a cluster: rows brought together by id, put in order of time, with a row for every step.

    raw partition   ->  one piece for each new partition, by a hash of the id          (numbers of rows travel along)
    pieces          ->  a partition of whole sequences, in the order in which they first appear
    all partitions  ->  the step of time, what divides every gap
    partition       ->  its columns with a blank row where a step of time has none; ends; where the user's rows now stand

The hash depends on the id alone, so the new partitions hold the same rows in the same order whichever workers make them.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.data.dask_parts import columns_of, values_of
from estep.data.dask_plane import Cluster
from estep.data.layout import Order, by_id, by_time, id_codes, time_step, whole_times


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some rows of a partition: columns by name, ids and times, and the number of each row among all rows."""

    columns: Mapping[str, NDArray[Any]]
    ids: NDArray[Any]
    times: NDArray[Any] | None
    numbers: Order


@dataclasses.dataclass(frozen=True)
class Arranged:
    """A partition of whole sequences: ``ends`` among its rows, and of which row of the user's each row is (-1: blank)."""

    columns: Mapping[str, NDArray[Any]]
    ends: Order
    numbers: Order


def arrange(cluster: Cluster, raw: tuple[Any, ...], lengths: list[int], sequence: str | None, time: str | None) -> list[Any]:
    """Futures of ``Arranged`` partitions, as many as there were; those without rows are left out."""
    count = len(raw)
    firsts = np.cumsum([0, *lengths]).tolist()
    pieces = [cluster.submit(split, part, sequence, time, count, first) for part, first in zip(raw, firsts, strict=False)]
    wholes = [cluster.submit(joined, *[cluster.submit(picked, each, b) for each in pieces]) for b in range(count)]
    steps = cluster.results([cluster.submit(step_of, whole) for whole in wholes], pieces)
    known = [step for step in steps if step]
    step = int(np.gcd.reduce(known)) if known else 1
    return [cluster.submit(filled, whole, step) for whole, found in zip(wholes, steps, strict=True) if found is not None]


def split(raw: Any, sequence: str | None, time: str | None, count: int, first: int) -> list[Piece]:
    """A partition's rows, dealt to ``count`` pieces by a hash of their ids; without ids all go to the first."""
    columns = columns_of(raw)
    for argument, name in (("sequence", sequence), ("time", time)):
        if name is not None and name not in columns:
            raise ValueError(f"{argument}={name!r} is no column; there are {list(columns)}")
    n = len(next(iter(columns.values()))) if columns else 0
    values = {name: values_of(column) for name, column in columns.items() if name not in (sequence, time)}
    ids = np.zeros(n) if sequence is None else values_of(columns[sequence])
    times = None if time is None else _times(columns[time])
    home = np.zeros(n, dtype=int)
    if sequence is not None:
        home[:] = [zlib.crc32(repr(v).encode()) % count for v in ids.tolist()]
    numbers = np.arange(first, first + n)
    places = [np.flatnonzero(home == b) for b in range(count)]
    return [
        Piece({m: v[at] for m, v in values.items()}, ids[at], None if times is None else times[at], numbers[at])
        for at in places
    ]


def _times(column: Any) -> NDArray[Any]:
    return np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column)


def picked(pieces: list[Piece], b: int) -> Piece:
    """One of the pieces."""
    return pieces[b]


def joined(*pieces: Piece) -> Piece:
    """Pieces end to end."""
    some = [piece for piece in pieces if len(piece.ids)] or list(pieces[:1])
    columns = {name: _end_to_end([part.columns[name] for part in some]) for name in some[0].columns}
    times = None if some[0].times is None else np.concatenate([part.times for part in some if part.times is not None])
    ids = np.concatenate([part.ids.astype(object) for part in some])
    return Piece(columns, ids, times, np.concatenate([part.numbers for part in some]))


def _end_to_end(parts: list[NDArray[Any]]) -> NDArray[Any]:
    alike = len({part.dtype.kind for part in parts}) == 1
    return np.concatenate(parts if alike else [part.astype(object) for part in parts])


def step_of(whole: Piece) -> int | None:
    """What divides every gap of time (0: there is none); None where there are no rows."""
    if not len(whole.ids):
        return None
    if whole.times is None:
        return 1
    codes, times = id_codes(whole.ids, len(whole.ids)), whole_times(whole.times, len(whole.ids))
    lonely = len(np.unique(codes)) == len(codes)
    return 0 if lonely else time_step(codes, times, whole.numbers)


def filled(whole: Piece, step: int) -> Arranged:
    """The rows of a partition in their places."""
    codes = id_codes(whole.ids, len(whole.ids))
    layout = by_id(codes) if whole.times is None else by_time(codes, whole_times(whole.times, len(codes)), step)
    columns = {name: layout.arranged(v, np.nan if v.dtype.kind == "f" else None) for name, v in whole.columns.items()}
    return Arranged(columns, layout.ends, layout.arranged(whole.numbers, -1))


def columns_in(part: Arranged) -> Mapping[str, NDArray[Any]]:
    """The columns of a partition."""
    return part.columns


def places_in(part: Arranged) -> tuple[Order, Order]:
    """Ends of the sequences of a partition, and the user's number of each of its rows."""
    return part.ends, part.numbers
