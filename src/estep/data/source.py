"""A table in a file or behind a query, as DuckDB sees it: its columns, what each holds, and the SQL that turns rows to numbers.

    file or query  ->  Table (a relation, its columns)  ->  SELECT of float64 columns, missing = NaN, texts = codes of levels

CSV and JSON lines carry no types, so a column counts as numbers when every entry reads as one. Texts are coded 0, 1, ... in
sorted order, found by a pass of their own, so that codes agree between batches and runs.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from estep.core.memo import remembered
from estep.core.record import Array
from estep.data.column_sql import TEXTS, kind_of_type, number
from estep.data.found import KINDS, Stamp, files_at, refuse_changed, refuse_unreadable, stamped, suffix_of
from estep.data.readers import ARROWS, READERS, TEXT, ArrowFile, Asked
from estep.data.spool import removed, spool_folder, sunk
from estep.data.sql import ARROW_FILE, imported, nearest, quoted, said

MEMORY = "512MB"
KEPT = 'memory.main."estep rows"'
TIMES = '"estep times"'
DRAWS = ("random", "sample", "uuid", "limit", "now(", "current_")
"""Words of queries whose rows may not be the same when they are asked again."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a file is read where it does not say so itself: encoding, decimal sign, whether the first line holds names."""

    encoding: str | None = None
    decimal: str = "."
    header: bool | None = None


@dataclasses.dataclass(frozen=True)
class Column:
    """A column: its name, DuckDB's type, and what it holds: "number", "text" or "other" (dates, lists ...)."""

    name: str
    type: str
    kind: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A relation that can be read again and again, always in the same order.

    ``sql`` names it; ``asked`` is the query that made it, where its rows are not there yet: they are kept when somebody reads
    them in order ({t} in SQL), and not when they are only counted ({any}).
    """

    connection: Any
    sql: str
    title: str
    reading: Reading
    text: tuple[str, ...] | None = None  # files without types
    streams: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # what DuckDB finds under a name of ours
    asked: str | None = None
    files: tuple[Stamp, ...] = ()
    each: tuple[tuple[str, str], ...] = ()  # the path and the SQL of each file
    behind: Table | None = None  # the file of a query

    def keep(self) -> None:
        """Rows of a query, from now on those of a table; once."""
        if self.asked is not None:
            remembered(self, "kept", lambda: self.connection.execute(f"CREATE TABLE {self.sql} AS {self.asked}"))

    @property
    def whole(self) -> str:
        """The name of the rows, in an order that stays."""
        self.keep()
        return self.sql

    def _named(self, sql: str) -> str:
        if "{t}" in sql:
            self.keep()
        there = self.asked is None or "kept" in self.__dict__.get("_memo", {})
        if self.asked is None or not there:
            refuse_changed(self.files)
        return sql.replace("{t}", self.sql).replace("{any}", self.sql if there else f"({self.asked})")

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every column; those of an untyped file are numbers where every entry reads as one."""
        found: tuple[Column, ...] = remembered(self, "columns", lambda: _columns(self))
        return found

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(remembered(self, "n_rows", lambda: self.one("SELECT count(*) FROM {any}")[0]))

    def column(self, name: str) -> Column:
        """The column of that name; raises ValueError naming the nearest."""
        by_name = {column.name: column for column in self.columns}
        if name not in by_name:
            raise ValueError(f"{self.title} has no column {name!r}; {nearest(name, list(by_name))}")
        return by_name[name]

    def cursor(self) -> Any:
        """A connection of its own to the same database: passes may be under way in several."""
        return registered(self.connection.cursor(), self.streams)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query in which {t} stands for this table."""
        with said(self.title, self.text):
            sql = self._named(sql)
            found: list[tuple[Any, ...]] = self.cursor().execute(sql).fetchall()
        return found

    def one(self, sql: str) -> tuple[Any, ...]:
        """The first row of a query."""
        return self.rows(sql)[0]

    def arrays(self, sql: str) -> dict[str, Any]:
        """What a query gives, as masked arrays by name."""
        with said(self.title, self.text):
            found: dict[str, Any] = self.cursor().execute(self._named(sql)).fetchnumpy()
        return found

    def grouped(self, names: Sequence[str], most: int) -> Table | None:
        """The distinct rows of some columns, each with how often it was seen in a column TIMES; None for more than ``most``."""
        shown, name = ", ".join(map(quoted, names)), f'memory.main."estep groups {secrets.token_hex(4)}"'
        with said(self.title, self.text):
            asked = self._named(f"SELECT {shown}, count(*) AS {TIMES} FROM {{any}} GROUP BY ALL LIMIT {most + 1}")
            self.cursor().execute(f"CREATE TABLE {name} AS {asked}")
            refuse_changed(self.files)
        few = dataclasses.replace(self, sql=name, streams={}, asked=None, files=())
        if few.one("SELECT count(*) FROM {t}")[0] <= most:
            return few
        self.cursor().execute(f"DROP TABLE {name}")
        return None

    def batches(self, expressions: Sequence[str], seed: int | None = None) -> Iterator[Array]:
        """The expressions over every row as matrices (m, expressions), one Arrow record batch after the other.

        With a ``seed`` in the order of a hash of it and the row's number.
        """
        rows = "{t}"
        if seed is not None:
            numbered = f'SELECT *, row_number() OVER () AS "estep row" FROM {rows}'
            rows = f'(SELECT * FROM ({numbered}) ORDER BY hash("estep row", {seed}))'
        return self.matrices(f"SELECT {', '.join(expressions)} FROM {rows}")

    def matrices(self, sql: str) -> Iterator[Array]:
        """What a query of float64 columns gives, one Arrow record batch after the other."""
        nanoarrow = imported("nanoarrow")
        with said(self.title, self.text):
            sql = self._named(sql)
            cursor = self.cursor()  # kept until the last batch: some versions close it with the last name for it
            stream = nanoarrow.c_array_stream(cursor.sql(sql))
            for batch in _each_batch(stream):
                yield _matrix(batch)
            refuse_changed(self.files)


def _each_batch(stream: Any) -> Iterator[Any]:
    try:
        yield from stream
    except RuntimeError as error:  # nanoarrow's, with DuckDB's words
        raise imported("duckdb").Error(str(error)) from None


def _matrix(batch: Any) -> Array:
    rows = np.empty((len(batch), batch.n_children))
    for j in range(batch.n_children):
        column = batch.child(j)
        values = np.frombuffer(column.view().buffer(1), dtype=np.float64)
        rows[:, j] = values[column.offset : column.offset + len(column)]
    return rows


def open_table(
    source: Any, query: str | None, reading: Reading, memory: str = MEMORY, columns: tuple[Column, ...] = ()
) -> Table:
    """The table in the file ``source`` (None: no file), or what ``query`` makes of it; the file is ``data`` in the query.

    ``columns`` are those of the table where they are known already: untyped files are read once less.

    Raises
    ------
    ValueError
        In one sentence: no such file, an unknown kind of file, damage, an error in the SQL.
    """
    duckdb = imported("duckdb")
    spill = os.path.join(spool_folder(None), f"estep-{secrets.token_hex(8)}")  # made by DuckDB if it needs it, and removed
    config = {"memory_limit": memory, "autoinstall_known_extensions": "false", "temp_directory": spill}
    connection = duckdb.connect(":memory:", config=config)
    try:
        path = sunk(source) if hasattr(source, "sink_parquet") else None
        table = _table(connection, source if path is None else path, query, reading)
        if path is not None:
            table = dataclasses.replace(table, title=table.title if query else "the LazyFrame")
            weakref.finalize(table, removed, path)
        if columns:
            remembered(table, "columns", lambda: columns)
        table.columns  # noqa: B018  a damaged file is noticed here, and not in the middle of a pass
    except BaseException:
        connection.close()
        raise
    weakref.finalize(table, connection.close)
    return table


def _table(connection: Any, source: Any, query: str | None, reading: Reading) -> Table:
    if source is None and query is None:
        raise ValueError("give a file, a query, or both")
    if hasattr(source, "__arrow_c_stream__"):
        return _streamed(connection, source, query, reading)
    file = None if source is None else _file(connection, source, query, reading)
    if query is None:
        assert file is not None
        return file
    with said("the query", None if file is None else file.text):
        if file is not None and file.sql:
            shown = ", ".join(_typed(file, column) for column in file.columns)
            registered(connection, file.streams).execute(f"CREATE VIEW memory.main.data AS SELECT {shown} FROM {file.sql}")
        # Kept when it is read: a query may give its rows in another order when it is asked again, and others where it draws.
        asked = f"SELECT * FROM ({query.strip().rstrip(';')})"
        text, streams, files = (None, {}, ()) if file is None else (file.text, file.streams, file.files)
        table = Table(connection, KEPT, "the query", reading, text, streams, asked, files, behind=file)
        connection.execute(f"DESCRIBE {asked}")
        if any(word in query.lower() for word in DRAWS) or (file is not None and not file.sql):
            table.keep()  # a database is the default of this connection alone
    return table


def _streamed(connection: Any, stream: Any, query: str | None, reading: Reading) -> Table:
    """The rows of an Arrow stream, read once; they are ``data`` in the query."""
    with said("the stream of record batches"):
        connection.register("data", stream)
        asked = "SELECT * FROM data" if query is None else query.strip().rstrip(";")
        connection.execute(f"CREATE TABLE {KEPT} AS {asked}")
        connection.unregister("data")
    return Table(connection, KEPT, "the stream of record batches", reading)


def _typed(table: Table, column: Column) -> str:
    """The SQL of a column of a file as a query sees it: numbers as numbers, whole ones as such."""
    name = quoted(column.name)
    if table.text is None or column.kind != "number" or column.type not in TEXTS:
        return name
    broken = f"count(*) FILTER (WHERE NOT regexp_full_match({name}, '[+-]?[0-9]{{1,18}}'))"
    whole = table.one(f"SELECT {broken} FROM {{t}}")[0] == 0
    return f"{f'CAST({name} AS BIGINT)' if whole else number(column, table.reading)} AS {name}"


def registered(connection: Any, streams: Mapping[str, Any]) -> Any:
    """The connection, with the streams under their names."""
    for name, stream in streams.items():
        connection.register(name, stream)
    return connection


def _file(connection: Any, source: Any, query: str | None, reading: Reading) -> Table:
    """The table in a file, or several; without SQL where it is a database that a query is asked of."""
    paths = [os.fspath(path) for path in (source if isinstance(source, list | tuple) else [source])]
    files = [file for path in paths for file in files_at(path, [*READERS])]
    suffix, title = suffix_of(files[0]), os.path.basename(paths[0].rstrip("/")) or paths[0]
    title = title if len(paths) == 1 else f"{title} and {len(paths) - 1} more"
    if suffix not in READERS:
        raise ValueError(f"{paths[0]}: files ending in {suffix or 'nothing'} cannot be read; estep reads {KINDS}")
    if odd := [file for file in files if suffix_of(file) != suffix]:
        raise ValueError(f"{title}: {odd[0]} is of another kind than {files[0]}; read files of one kind together")
    refuse_unreadable(files)
    texts = tuple(files) if suffix in TEXT else None
    streams = {f"{ARROW_FILE} {i}": ArrowFile(file) for i, file in enumerate(files)} if suffix in ARROWS else {}
    with said(title, texts):
        sql, each = READERS[suffix](Asked(registered(connection, streams), files, title, query, reading))
    together = tuple(zip(files, each, strict=True)) if len(files) > 1 else ()
    return Table(connection, sql, title, reading, texts, streams, files=stamped(files), each=together)


def _columns(table: Table) -> tuple[Column, ...]:
    described = table.rows("DESCRIBE SELECT * FROM {any}")
    columns = [Column(name, kind, kind_of_type(kind)) for name, kind, *_ in described]
    texts = [column for column in columns if table.text is not None and column.kind == "text"]
    if not texts:
        return tuple(columns)
    point = [number(column, table.reading) for column in texts]
    comma = [number(column, dataclasses.replace(table.reading, decimal=",")) for column in texts]
    counts = [f"count({quoted(c.name)}), count({p}), count({q})" for c, p, q in zip(texts, point, comma, strict=True)]
    seen = table.one(f"SELECT {', '.join(counts)} FROM {{t}}")
    kinds = {c.name: _held(*seen[3 * i : 3 * i + 3]) for i, c in enumerate(texts)}
    return tuple(dataclasses.replace(c, kind=kinds.get(c.name, c.kind)) for c in columns)


def _held(entries: int, numbers: int, with_comma: int) -> str:
    """What a column of texts holds: numbers where all are, "mixed" where most are (or would be, with commas), else texts."""
    return "number" if numbers == entries else "mixed" if 2 * max(numbers, with_comma) >= entries else "text"
