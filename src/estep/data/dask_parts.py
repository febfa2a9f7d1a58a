"""What a worker of a Dask cluster holds and does: one partition's rows as numbers, and the sums over its blocks.

    raw partition  ->  Facts (rows, what each column holds, its levels)         one pass of the source
    raw partition  ->  Part (rows as float64, cut into the blocks of ``Memory``)    kept on the worker

A raw partition is a table (pandas, polars, Arrow), an array (n, d), or a list of dicts or rows. Every function here is a
plain function of the module, so that it travels by name. A partition's numbers depend on its rows alone, never on the worker
that makes them: one that is made again after a worker was lost is the same to the bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.core.rows import take
from estep.data.dask_memory import keep_memory
from estep.data.distinct import distinct
from estep.data.memory import Memory

LEVELS_MOST = 10_000
SMALL = 1_000
"""Rows of a partition up to which it does not matter how many differ."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What there is in a partition: rows, columns, and for each column "number", "text" or "other", and its levels."""

    n: int
    names: tuple[str, ...]
    kinds: Mapping[str, str]
    levels: Mapping[str, frozenset[Any]]
    declared: Mapping[str, tuple[Any, ...]]


@dataclasses.dataclass(frozen=True)
class Carried:
    """What the rows of a partition carry beside their values; None where there is none."""

    weight: Array | None = None
    allowed: NDArray[Any] | None = None
    given: Any = None
    ends: NDArray[np.intp] | None = None


@dataclasses.dataclass(frozen=True)
class Part:
    """A partition's rows, ready for passes: ``first`` is the number of its first row among all rows."""

    title: str
    memory: Memory
    first: int

    def chunks(self) -> list[Chunk]:
        """The blocks, in row order, under their rows' numbers among all rows; kept, so that their encodings are."""
        found: list[Chunk] = remembered(self, "chunks", self._cut)
        return found

    def _cut(self) -> list[Chunk]:
        return [
            dataclasses.replace(c, key=(("dask", self.title), self.first + c.key[1], self.first + c.key[2]))
            for c in self.memory.chunks()
        ]

    def __reduce__(self) -> Any:
        return Part, (self.title, self.memory, self.first)


@dataclasses.dataclass(frozen=True)
class Picked:
    """Some rows of a raw partition, by their numbers in it."""

    raw: Any
    rows: NDArray[np.intp]

    def columns(self) -> dict[str, Any]:
        """The columns by name."""
        return {name: _entries(column, self.rows) for name, column in columns_of(self.raw).items()}


def _entries(column: Any, rows: NDArray[np.intp]) -> Any:
    return [column[i] for i in rows] if isinstance(column, list) else column[rows]


def columns_of(raw: Any) -> dict[str, Any]:
    """Columns by name: of a table, an array (x0, x1, ...), a dict of columns, or a list of dicts or rows."""
    if isinstance(raw, Mapping):
        return dict(raw)
    if hasattr(raw, "columns") and callable(raw.columns):  # rows that are still in a file
        return dict(raw.columns())
    if isinstance(raw, list | tuple) and raw and isinstance(raw[0], Mapping):
        names = list(dict.fromkeys(name for row in raw for name in row))
        return {str(name): [row.get(name) for row in raw] for name in names}
    if not isinstance(raw, list | tuple | np.ndarray):
        import narwhals as nw

        if nw.dependencies.is_into_dataframe(raw):
            return {str(column.name): column for column in nw.from_native(raw, eager_only=True).iter_columns()}
    array = np.asarray(raw)
    if array.ndim not in (1, 2):
        raise TypeError(f"a partition is {raw!r:.80}, expected a table or matrix; files go in as one path or pattern")
    array = array[:, None] if array.ndim == 1 else array
    return {f"x{j}": array[:, j] for j in range(array.shape[1])}


def values_of(column: Any) -> NDArray[Any]:
    """The entries of a column: floats with NaN, or objects with None, where missing."""
    if hasattr(column, "dtype") and hasattr(column.dtype, "is_numeric"):  # a column of a table
        if column.dtype.is_numeric() or str(column.dtype) == "Boolean":
            return _told(column.to_list()) if _holed(column) else _floats(column)
        return _told(column.to_list())
    array = np.asarray(column)
    return array.astype(float) if array.dtype.kind in "biuf" else _told(list(column))


def _holed(column: Any) -> bool:
    return bool(column.is_null().any())


def _floats(column: Any) -> NDArray[Any]:
    return np.asarray(column.to_numpy(), dtype=float)


def _told(entries: list[Any]) -> NDArray[Any]:
    """Numbers where all entries are, else the entries themselves."""
    entries = [None if _missing(v) else v for v in entries]
    if all(isinstance(v, bool | int | float | np.number | np.bool_) for v in entries if v is not None):
        return np.array([np.nan if v is None else float(v) for v in entries])
    return np.array([None if v is None else v if isinstance(v, str) else str(v) for v in entries], dtype=object)


def _missing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)


def _of_times(column: Any) -> bool:
    """Whether a column holds dates, times or spans of time."""
    dtype: Any = getattr(column, "dtype", None)
    return bool(dtype.is_temporal()) if hasattr(dtype, "is_temporal") else getattr(dtype, "kind", "O") in "mM"


def facts_of(raw: Any) -> Facts:
    """What there is in a partition."""
    columns = columns_of(raw)
    n = len(next(iter(columns.values()))) if columns else 0
    kinds: dict[str, str] = {}
    levels: dict[str, frozenset[Any]] = {}
    declared: dict[str, tuple[Any, ...]] = {}
    for name, column in columns.items():
        if type(getattr(column, "dtype", None)).__name__ in ("Categorical", "Enum") and hasattr(column, "cat"):
            declared[name] = tuple(column.cat.get_categories().to_list())
        if _of_times(column):
            kinds[name], levels[name] = "other", frozenset()
            continue
        values = values_of(column)
        kinds[name] = "number" if values.dtype.kind == "f" else "text"
        if kinds[name] == "text":
            levels[name] = _few({v for v in values.tolist() if v is not None})
        else:
            levels[name] = _few(set(np.unique(values[~np.isnan(values)])[: LEVELS_MOST + 1].tolist()))
    return Facts(n, tuple(columns), kinds, levels, declared)


def _few(found: set[Any]) -> frozenset[Any]:
    return frozenset(sorted(found)[: LEVELS_MOST + 1])


def measured(raw: Any, names: Sequence[str], coded: Mapping[str, Sequence[Any]], title: str, number: int) -> Array:
    """A partition's rows as numbers, (n, columns): codes of levels where ``coded`` has them, NaN where missing.

    Errors count rows from 0 within the partition; where it is rows of a file, they name that and count from 1, as in files.
    """
    columns = columns_of(raw)
    n = len(next(iter(columns.values()))) if columns else 0
    out = np.empty((n, len(names)))
    for j, name in enumerate(names):
        if name not in columns:
            raise ValueError(f"{title}: partition {number}, column {name!r} is missing; every partition holds the same columns")
        values = values_of(columns[name])
        if name in coded:
            out[:, j] = _codes(values, coded[name], raw, f"{title}: partition {number}", name)
        elif values.dtype.kind == "f":
            out[:, j] = values
        else:
            at, text = next((i, v) for i, v in enumerate(values.tolist()) if v is not None)
            where, row = called(raw, f"{title}: partition {number}", at)
            raise ValueError(
                f"{where}, column {name!r} holds {text!r:.60} in row {row}, which is no number; "
                "mend it, or leave the column out"
            )
    if np.isinf(out).any():
        i, j = np.argwhere(np.isinf(out))[0]
        where, row = called(raw, f"{title}: partition {number}", int(i))
        raise ValueError(f"{where}, column {names[j]!r} holds infinity in row {row}; mend it, or leave it empty")
    return out


def called(raw: Any, partition: str, row: int) -> tuple[str, int]:
    """Where a row (from 0) of a partition is: its file, and its number there (from 1), or the partition itself."""
    if hasattr(raw, "placed"):
        file, found = raw.placed(row)
        return str(file), int(found)
    if isinstance(raw, Picked):
        return called(raw.raw, partition, int(raw.rows[row]))
    return partition, row


def _codes(values: NDArray[Any], levels: Sequence[Any], raw: Any, partition: str, name: str) -> Array:
    place = {level: float(i) for i, level in enumerate(levels)}
    if not any(isinstance(level, str) for level in levels):
        values = values if values.dtype.kind == "f" else values.astype(object)
    codes = np.empty(len(values))
    for i, value in enumerate(values.tolist()):
        if value is None or value != value:
            codes[i] = np.nan
        elif value in place:
            codes[i] = place[value]
        else:
            known = ", ".join(map(repr, list(levels)[:8]))
            where, row = called(raw, partition, i)
            raise ValueError(f"{where}, column {name!r} holds {value!r} in row {row}, unseen in fit; its levels are {known}")
    return codes


def column_values(raw: Any, name: str) -> NDArray[Any]:
    """The entries of one column."""
    return values_of(columns_of(raw)[name])


def column_told(raw: Any, name: str) -> NDArray[Any]:
    """The entries of one column, times as such."""
    column = columns_of(raw)[name]
    if not _of_times(column):
        return values_of(column)
    return np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column).astype("datetime64[us]")


def part_of(x: Any, carried: Carried, title: str, first: int, rows: int | None, order: int | None = None) -> Part:
    """The plane of one partition; ``order`` seeds a random order of its rows."""
    memory = Memory(x, carried.weight, carried.allowed, carried.given, n_jobs=1, rows=rows, ends=carried.ends)
    return Part(title, memory if order is None else memory.shuffled(np.random.default_rng(order)), first)


def summed_part(part: Part, fn: Callable[[Chunk], Any]) -> Any:
    """``fn`` of every block of a partition, added in block order; None where it has no rows."""
    keep_memory()
    total: Any = None
    for chunk in part.chunks():
        found = fn(chunk)
        total = found if total is None else total + found
    return total


def added(*parts: Any) -> Any:
    """What partitions found, added in their order; None stands for a partition without rows."""
    total: Any = None
    for part in parts:
        if part is not None:
            total = part if total is None else total + part
    return total


def mapped_part(part: Part, fn: Callable[[Chunk], Any]) -> list[tuple[tuple[Any, ...], Any]]:
    """``fn`` of every block of a partition, with the block's key."""
    keep_memory()
    return [(chunk.key, fn(chunk)) for chunk in part.chunks()]


def chunk_of(part: Part, i: int) -> Chunk:
    """One block, to be sent to whoever asked."""
    return dataclasses.replace(part.chunks()[i], keep=False)


def lengths_of(part: Part) -> list[int]:
    """Rows of each block."""
    return [len(chunk) for chunk in part.chunks()]


def patterns_of(x: Array, carried: Carried) -> tuple[Any, Array] | None:
    """The rows of a partition that differ, (x, allowed, given), and their weights; None where more than half of them do."""
    everything = (x, carried.allowed, carried.given)
    found = distinct(everything, carried.weight)
    if found is None or 2 * len(found.first) > len(x) > SMALL:
        return None
    return tuple(None if v is None else take(v, found.first) for v in everything), found.weight


def merged_patterns(parts: list[tuple[Any, Array]]) -> tuple[Any, Array]:
    """Patterns of several partitions as one, in the order that they have in memory."""
    everything = tuple(_stacked([part[i] for part, _ in parts]) for i in range(3))
    found = distinct(everything, np.concatenate([weight for _, weight in parts]))
    assert found is not None  # no part of it is sparse
    return tuple(None if v is None else take(v, found.first) for v in everything), found.weight


def _stacked(parts: list[Any]) -> Any:
    if parts[0] is None:
        return None
    if isinstance(parts[0], tuple):
        return tuple(_stacked([part[i] for part in parts]) for i in range(len(parts[0])))
    return np.concatenate(parts)


def taken(x: Any, rows: Any) -> Any:
    """Some rows of a partition."""
    return np.array(take(x, rows))


def row_count(x: Array) -> int:
    """Rows of a partition."""
    return len(x)
