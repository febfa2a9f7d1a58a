"""Rows in a file or behind a query, through DuckDB and Arrow record batches: read once, kept on disk, summed block by block.

    first pass      batches of float64 columns -> temporary file without a name -> mapped into memory
    later passes    blocks are views on the map: the very blocks, order and sums of ``Memory``, so the very bits

Where the disk has no room for the rows, every pass reads the source again: the same blocks, more slowly.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.data.blocks import in_blocks
from estep.data.checked import refuse_resources, refuse_settings, refuse_source
from estep.data.column_sql import levels_of, measured, not_numbers, seen, unknown_level
from estep.data.layout import Layout
from estep.data.places import FIRST, ROW, placed
from estep.data.planes import PIECE_VALUES, Mapped, Reread, Unkept
from estep.data.sequence_sql import layout_in, ordered_query
from estep.data.source import TIMES, Column, Reading, Table, open_table
from estep.data.spool import NoRoom, spool_folder, spooled
from estep.data.sql import nearest
from estep.data.unread import Unread


@dataclasses.dataclass(frozen=True)
class Arrow:
    """Rows of a CSV, Parquet, Arrow or JSON-lines file, a DuckDB database, or an SQL query.

    Parameters
    ----------
    source : path, list of paths, Arrow stream or None
        The file, a pattern such as ``"part-*.parquet"``, a folder of files of one kind (``key=value`` folders become columns),
        something far away that DuckDB reads (``"s3://bucket/*.parquet"``, with its httpfs extension), a table, or a
        record-batch reader or polars LazyFrame, which is read once; several files hold the same columns, in any order. None
        where ``query`` names its files itself.
    query : str or None
        SQL in DuckDB's dialect; the file is the table ``data`` in it. It is run once.
    columns : sequence of str or None
        What the family reads, in this order; None takes every column of numbers or text that has no other part to play.
    exclude : sequence of str
        Columns to leave out where ``columns`` is None.
    weights, labels, ids : str or None
        Columns with the frequency of each row, its class where known, and its name.
    categories : sequence of str
        Columns to read as categories although they hold numbers, or numbers and text.
    levels : mapping of str to sequence, or None
        Categories and their order where they are known already, as in a fitted model; any other entry raises.
    encoding, decimal, header
        For CSV: its encoding, decimal sign, and whether the first line holds names (None: where no field of it is a number).
    n_jobs : int or None
        Threads; None takes one for each processor this process may use.
    rows : int or None
        Rows of a block; None chooses by the number of columns.
    budget : int or None
        Bytes of disk that the rows may take between passes; None is 80% of what is free.
    folder : path or None
        Where they are kept; None is the system's place for large temporary files.

    Raises
    ------
    ValueError, TypeError
        In one sentence: a setting that cannot be meant; and when it is first read: no such file or column, text among numbers
        or an infinite value (with file and row, counted from 1), damage.
    ImportError
        When duckdb or nanoarrow is missing.

    Examples
    --------
    >>> data = Arrow(None, query="SELECT i, i / 2 AS half FROM range(4) AS t(i)")
    >>> data.names, data.n_rows
    (('i', 'half'), 4)
    >>> float(data.sum(lambda chunk: chunk.x.sum()))
    9.0
    """

    source: Any
    query: str | None = None
    columns: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    weights: str | None = None
    labels: str | None = None
    ids: str | None = None
    categories: Sequence[str] = ()
    levels: Mapping[str, Sequence[Any]] | None = None
    encoding: str | None = None
    decimal: str = "."
    header: bool | None = None
    n_jobs: int | None = None
    rows: int | None = None
    budget: int | None = None
    folder: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        refuse_source(self.source)
        refuse_settings(self)
        refuse_resources(self.n_jobs, self.budget)

    @property
    def table(self) -> Table:
        """The file or query, opened."""
        opened: Table = remembered(self, "table", self.opened)
        return opened

    def opened(self, columns: tuple[Column, ...] = ()) -> Table:
        """The file or query, opened anew; ``columns`` are its own where they are known."""
        reading = Reading(self.encoding, self.decimal, self.header)
        return open_table(self.source, self.query, reading, columns=columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of ``x``."""
        found: tuple[str, ...] = remembered(self, "names", lambda: _names(self))
        return found

    @property
    def coded(self) -> dict[str, tuple[Any, ...]]:
        """Levels of the columns of categories, which are text, and those named so: a code is a place among them."""
        found: dict[str, tuple[Any, ...]] = remembered(self, "coded", lambda: _coded(self))
        return found

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.plane.n_rows

    is_source = True
    ndim = 2

    @property
    def title(self) -> str:
        """What this is, in errors."""
        return self.table.title

    def __reduce__(self) -> Any:
        return Arrow, tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, rows: Any) -> Array:
        return np.asarray(self.x[rows])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of ``x``."""
        return self.n_rows, len(self.names)

    @property
    def plane(self) -> Mapped | Reread:
        """The rows, ready for passes: mapped from disk, or read again every time where the disk has no room."""
        ready: Mapped | Reread = remembered(self, "plane", lambda: _plane(self))
        return ready

    @property
    def x(self) -> Any:
        """The rows, (n, d): an array mapped from disk, or something with its shape and rows where there is no room."""
        plane = self.plane
        if isinstance(plane, Mapped):
            return plane.x
        d = plane.d
        return Unkept(dataclasses.replace(plane, expressions=plane.expressions[:d], weights=None, labels=None))

    @property
    def weight(self) -> Array | None:
        """Frequency of each row, (n,), or None."""
        if self.weights is None:
            return None
        return self.plane.weight if isinstance(self.plane, Mapped) else self.values(self.weights)

    @property
    def known(self) -> NDArray[Any] | None:
        """Class of each row, (n,), where ``labels`` names a column: texts (None where unknown) or numbers (NaN)."""
        if self.labels is None:
            return None
        found: NDArray[Any] = remembered(self, "known", lambda: self.values(str(self.labels)))
        return found

    @property
    def is_kept(self) -> bool:
        """Whether the rows have been read, and are at hand for passes."""
        return "plane" in self.__dict__.get("_memo", {})

    @property
    def unread(self) -> Any:
        """The rows, (n, d), where nobody has read them yet: what differs among them is counted by the database."""
        return self.x if self.is_kept else Unread(self)

    def first(self, n: int) -> Array:
        """The first ``n`` rows; those of a query are found without the others."""
        found = self.table.matrices(f"SELECT {', '.join(self._measured())} FROM {{any}} LIMIT {int(n)}")
        return np.concatenate([np.empty((0, len(self.names))), *found])

    @property
    def grouped(self) -> Table | None:
        """The distinct rows and how often each was seen, once ``group`` has asked for them; None where they are too many."""
        found: Table | None = self.__dict__.get("_memo", {}).get("grouped")
        return found

    def group(self, most: int) -> Table | None:
        """Have the database find the distinct rows: one pass, which levels of categories are read from as well."""
        if not self.is_kept and "coded" not in self.__dict__.get("_memo", {}):
            remembered(self, "grouped", lambda: self.table.grouped(self.names, most))
        return self.grouped

    def counted(self) -> Array | None:
        """The distinct rows, each with the number of rows equal to it in a last column, where they were grouped."""
        if (few := self.grouped) is None:
            return None
        columns = [measured(few, few.column(name), self.coded) for name in self.names]
        sql = f"SELECT {', '.join(columns)}, CAST({TIMES} AS DOUBLE) FROM {{t}}"
        found = np.concatenate([np.empty((0, len(columns) + 1)), *few.matrices(sql)])
        if np.isinf(found).any():
            next(iter(self.plane.chunks()))  # says where
        return found

    def _measured(self) -> list[str]:
        return [measured(self.table, column, self.coded) for column in map(self.table.column, self.names)]

    def chosen(
        self, columns: Sequence[str] | None = None, categories: Sequence[str] = (), levels: Mapping[str, Any] | None = None
    ) -> Arrow:
        """The same source with these columns, categories and levels; kept with it, so that it is read once."""
        columns = self.names if columns is None else tuple(columns)
        known = None if not levels else {name: tuple(np.asarray(v).tolist()) for name, v in levels.items()}
        if (columns, tuple(categories), known) == (self.names, tuple(self.categories), self.levels):
            return self
        key = ("as", columns, tuple(categories), repr(known))
        settings = {"columns": columns, "exclude": (), "categories": tuple(categories), "levels": known}

        def made() -> Arrow:
            other = dataclasses.replace(self, **settings)  # type: ignore[arg-type]
            remembered(other, "table", lambda: self.table)
            remembered(other, "layout", lambda: self.layout)
            return other

        found: Arrow = remembered(self, key, made)
        return found

    def in_sequences(self, sequence: str | None, time: str | None) -> Arrow:
        """The rows brought together by the ids in one column and in steps of the times in another; ``layout`` says where."""

        def made() -> Arrow:
            gone = [name for name in (sequence, time) if name is not None]
            own = [name.strip('"') for name in (ROW, FIRST)]
            roles = [name for name in (self.weights, self.labels) if name is not None]  # those of rows that are there
            exclude = (*(name for name in self.exclude if name not in gone), *roles, *own, *(() if time else gone))
            query = ordered_query(self, sequence, time)
            other = dataclasses.replace(self, query=query, exclude=exclude, weights=None, labels=None, ids=None)
            remembered(other, "layout", lambda: layout_in(other.table))
            return other

        found: Arrow = remembered(self, ("in sequences", sequence, time), made)
        return found

    def as_they_stand(self) -> Arrow:
        """The rows in the order that they have now, whatever it was before."""
        other = dataclasses.replace(self)
        remembered(other, "table", lambda: self.table)
        return other

    @property
    def layout(self) -> Layout | None:
        """Where the user's rows stand, once they are in sequences."""
        found: Layout | None = remembered(self, "layout", lambda: None)
        return found

    def refuse(self, name: str) -> ValueError:
        """Why a column cannot be read as numbers."""
        return ValueError(not_numbers(self.table, self.table.column(name)))

    def values(self, name: str) -> NDArray[Any]:
        """The entries of any column, (n,): texts (None where missing) or numbers (NaN)."""
        column = self.table.column(name)
        codes = np.concatenate([np.empty((0, 1)), *self.table.batches([_label_sql(self, column)])])[:, 0]
        if column.kind == "number":
            return codes
        texts = np.array([*levels_of(self.table, column), None], dtype=object)
        return np.asarray(texts[np.where(np.isnan(codes), -1, codes).astype(np.intp)])

    def head(self, n: int) -> dict[str, list[Any]]:
        """The first ``n`` entries of every column of ``x``: numbers, truth values or texts, None where missing."""
        columns = [self.table.column(name) for name in self.names]
        shown = [seen(column, self.table.reading) for column in columns]
        rows = self.table.rows(f"SELECT {', '.join(shown)} FROM {{t}} LIMIT {int(n)}")
        return {name: [row[j] for row in rows] for j, name in enumerate(self.names)}

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.array(self.x[:], dtype=dtype, copy=copy)

    def chunks(self) -> Iterator[Chunk]:
        """The blocks, in row order; keys are (("arrow", source), first, end)."""
        return self.plane.chunks()

    def sum(self, fn: Callable[[Chunk], Any]) -> Any:
        """``fn`` of every block, added in block order."""
        return self.plane.sum(fn)

    def map(self, fn: Callable[[Chunk], Any], sink: Callable[[Chunk, Any], None]) -> None:
        """``fn`` of every block, handed to ``sink`` in block order."""
        self.plane.map(fn, sink)

    def shuffled(self, rng: np.random.Generator) -> Mapped | Reread:
        """The same rows in random order: a second file of mapped rows, or a sort before every pass where there is no room."""
        return self.plane.shuffled(rng)

    blocks = in_blocks


def _names(data: Arrow) -> tuple[str, ...]:
    table, roles = data.table, [name for name in (data.weights, data.labels, data.ids) if name is not None]
    for name in (*roles, *data.exclude, *(data.columns or ())):
        table.column(name)
    if data.columns is not None:
        return tuple(data.columns)
    free = [c for c in table.columns if c.name not in (*roles, *data.exclude)]
    if odd := [c for c in free if c.kind == "other"]:
        words = ", ".join(f"{c.name!r} ({c.type})" for c in odd)
        warnings.warn(f"{table.title}: left out {words}, neither numbers nor text", UserWarning, stacklevel=2)
    if not (names := tuple(c.name for c in free if c.kind != "other")):
        raise ValueError(f"{table.title} has no column left to read; it has {', '.join(repr(c.name) for c in table.columns)}")
    return names


def _coded(data: Arrow) -> dict[str, tuple[Any, ...]]:
    table, given = data.grouped or data.table, data.levels or {}
    coded: dict[str, tuple[Any, ...]] = {}
    for column in map(table.column, data.names):
        if column.name in given:
            coded[column.name] = tuple(given[column.name])
            if (odd := unknown_level(table, column, coded[column.name])) is not None:
                hint = nearest(odd[1], [str(level) for level in coded[column.name]])
                title, row = placed(table, odd[0])
                raise ValueError(f"{title}: column {column.name!r} holds {odd[1]!r} in row {row}, unseen in fit; {hint}")
        elif column.kind == "text" or column.name in data.categories:
            coded[column.name] = levels_of(table, column)
    return coded


def _label_sql(data: Arrow, column: Column) -> str:
    if column.kind == "other":
        raise ValueError(not_numbers(data.table, column))
    levels = {} if column.kind == "number" else {column.name: levels_of(data.table, column)}
    return measured(data.table, column, levels)


def _weight_sql(table: Table, column: Column) -> str:
    if column.kind != "number":
        told = not_numbers(table, column).partition(";")[0]
        raise ValueError(f"{told}; a weight is how often a row was seen, a number >= 0")
    return measured(table, column, {})


def _plane(data: Arrow) -> Mapped | Reread:
    table = data.table
    expressions = [measured(table, column, data.coded) for column in map(table.column, data.names)]
    d = len(expressions)
    if data.weights is not None:
        expressions.append(_weight_sql(table, table.column(data.weights)))
    if data.labels is not None:
        expressions.append(_label_sql(data, table.column(data.labels)))
    again = Reread(table, tuple(expressions), d, data.weights, data.labels, data.names, data.n_jobs, data.rows)
    folder = spool_folder(data.folder)
    try:
        parts = spooled(again.pieces(PIECE_VALUES // max(d, 1) + 1), folder, data.budget)
    except NoRoom as reason:
        warnings.warn(
            f"{table.title}: its rows cannot be kept in {folder} between passes ({reason}), so every pass reads the source "
            "again, which is several times slower; make room, or name another folder (TMPDIR)",
            UserWarning,
            stacklevel=4,
        )
        return again
    if not parts:
        raise ValueError(f"{table.title} has no rows (its columns: {', '.join(data.names[:12])})")
    x, *beside = parts
    weight = beside.pop(0) if data.weights is not None else None
    return Mapped(table.title, x, weight, beside[0] if beside else None, data.n_jobs, data.rows, folder)
