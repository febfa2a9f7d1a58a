"""A table in a file or behind a query, as DuckDB sees it: its columns, what each holds, and the SQL that turns rows to numbers.

    file or query  ->  Table (a relation, its columns)  ->  SELECT of float64 columns, missing = NaN, texts = codes of levels

CSV and JSON lines carry no types, so a column counts as numbers when every entry reads as one. Texts are coded 0, 1, ... in
sorted order, found by a pass of their own, so that codes agree between batches and runs.
"""

from __future__ import annotations

import dataclasses
import difflib
import glob
import importlib.util
import os
import secrets
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from estep.core.memo import remembered
from estep.core.record import Array
from estep.data.delimited import csv_reader
from estep.data.spool import spool_folder
from estep.data.sql import ARROW_FILE, imported, literal, nearest, quoted, said

NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN", "UTINYINT",
           "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT")  # fmt: skip
TEXTS = ("VARCHAR", "ENUM", "JSON", "UUID")
LEVELS_MOST = 10_000
MEMORY = "512MB"
KEPT = 'memory.main."estep rows"'


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
    """A relation that can be read again and again, always in the same order."""

    connection: Any
    sql: str
    title: str
    reading: Reading
    text: str | None = None  # a file without types
    streams: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # what DuckDB finds under a name of ours

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every column; those of an untyped file are numbers where every entry reads as one."""
        found: tuple[Column, ...] = remembered(self, "columns", lambda: _columns(self))
        return found

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(remembered(self, "n_rows", lambda: self.one("SELECT count(*) FROM {t}")[0]))

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
            found: list[tuple[Any, ...]] = self.cursor().execute(sql.replace("{t}", self.sql)).fetchall()
        return found

    def one(self, sql: str) -> tuple[Any, ...]:
        """The first row of a query."""
        return self.rows(sql)[0]

    def batches(self, expressions: Sequence[str], seed: int | None = None) -> Iterator[Array]:
        """The expressions over every row as matrices (m, expressions), one Arrow record batch after the other.

        With a ``seed`` in the order of a hash of it and the row's number.
        """
        nanoarrow = imported("nanoarrow")
        rows = self.sql
        if seed is not None:
            numbered = f'SELECT *, row_number() OVER () AS "estep row" FROM {rows}'
            rows = f'(SELECT * FROM ({numbered}) ORDER BY hash("estep row", {seed}))'
        with said(self.title, self.text):
            cursor = self.cursor()  # kept until the last batch: some versions close it with the last name for it
            stream = nanoarrow.c_array_stream(cursor.sql(f"SELECT {', '.join(expressions)} FROM {rows}"))
            for batch in _each_batch(stream):
                yield _matrix(batch)


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


def open_table(source: Any, query: str | None, reading: Reading, memory: str = MEMORY) -> Table:
    """The table in the file ``source`` (None: no file), or what ``query`` makes of it; the file is ``data`` in the query.

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
        table = _table(connection, source, query, reading)
        table.columns  # noqa: B018  a damaged file is noticed here, and not in the middle of a pass
    except BaseException:
        connection.close()
        raise
    weakref.finalize(table, connection.close)
    return table


def _table(connection: Any, source: Any, query: str | None, reading: Reading) -> Table:
    if source is None and query is None:
        raise ValueError("give a file, a query, or both")
    file = None if source is None else _file(connection, os.fspath(source), query, reading)
    if query is None:
        assert file is not None
        return file
    with said("the query", None if file is None else file.text):
        if file is not None and file.sql:
            shown = ", ".join(_typed(file, column) for column in file.columns)
            registered(connection, file.streams).execute(f"CREATE TEMP VIEW data AS SELECT {shown} FROM {file.sql}")
        # Read once: a query may give its rows in another order when it is asked again.
        connection.execute(f"CREATE TABLE {KEPT} AS SELECT * FROM ({query.strip().rstrip(';')})")
    return Table(connection, KEPT, "the query", reading, None if file is None else file.text)


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


def _file(connection: Any, path: str, query: str | None, reading: Reading) -> Table:
    """The table in a file; without SQL where it is a database that a query is asked of."""
    files = _files(path)
    suffix, title = _suffix(files[0]), os.path.basename(path)
    if suffix not in READERS:
        raise ValueError(f"{path}: files ending in {suffix or 'nothing'} cannot be read; estep reads {KINDS}")
    for file in files:
        if os.path.getsize(file) == 0:
            raise ValueError(f"{file} is empty (0 bytes)")
        if not os.access(file, os.R_OK):
            raise ValueError(f"{file} may not be read: permission denied")
    text = files[0] if suffix in TEXT else None
    streams = {f"{ARROW_FILE} {i}": ArrowFile(file) for i, file in enumerate(files)} if READERS[suffix] is _arrow else {}
    with said(title, text):
        return Table(connection, READERS[suffix](connection, files, query, reading), title, reading, text, streams)


def _files(path: str) -> list[str]:
    if os.path.isfile(path):
        return [path]
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder; name a file in it, or a pattern such as {os.path.join(path, '*.parquet')}")
    if found := sorted(file for file in glob.glob(path, recursive=True) if os.path.isfile(file)):
        return found
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ValueError(f"there is no file {path}: there is no folder {folder}")
    names = [name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name))]
    stems = {name.split(".")[0]: name for name in names}
    near = [stems[stem] for stem in difflib.get_close_matches(os.path.basename(path).split(".")[0], stems, n=3)]
    near = near or [name for name in sorted(names) if _suffix(name) in READERS][:3]
    if any(sign in path for sign in "*?["):
        raise ValueError(f"no file has a name like {path} (quote the pattern, so that the shell leaves it alone)")
    hint = f"; did you mean {' or '.join(os.path.join(os.path.dirname(path), name) for name in near)}?" if near else ""
    raise ValueError(f"there is no file {path}{hint}")


def _suffix(path: str) -> str:
    parts = os.path.basename(path).lower().split(".")
    if len(parts) > 2 and parts[-1] in ("gz", "zst") and parts[-2] in ("csv", "tsv", "txt", "json", "jsonl", "ndjson"):
        return f".{parts[-2]}"
    return f".{parts[-1]}" if len(parts) > 1 else ""


def _parquet(connection: Any, files: list[str], query: str | None, reading: Reading) -> str:
    return f"read_parquet([{', '.join(map(literal, files))}])"


def _json(connection: Any, files: list[str], query: str | None, reading: Reading) -> str:
    return f"read_json([{', '.join(map(literal, files))}], sample_size = -1)"


def _arrow(connection: Any, files: list[str], query: str | None, reading: Reading) -> str:
    parts = " UNION ALL ".join(f'SELECT * FROM "{ARROW_FILE} {i}"' for i in range(len(files)))
    return f"({parts})"


def _database(connection: Any, files: list[str], query: str | None, reading: Reading) -> str:
    connection.execute(f'ATTACH {literal(files[0])} AS "estep database" (READ_ONLY)')
    if query is not None:
        connection.execute('USE "estep database"')
        return ""
    here = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = 'estep database'"
    names = connection.execute(here).fetchall()
    if len(names) != 1:
        found = f"the tables {', '.join(sorted(repr(name) for _, name in names))}" if names else "no table"
        raise ValueError(f"{files[0]} holds {found}; say which rows with a query, such as SELECT * FROM ...")
    return ".".join(map(quoted, ("estep database", *names[0])))


TEXT = dict.fromkeys((".csv", ".tsv", ".txt"), csv_reader) | dict.fromkeys((".json", ".jsonl", ".ndjson"), _json)
READERS = {
    **TEXT,
    ".parquet": _parquet,
    ".pq": _parquet,
    ".arrow": _arrow,
    ".feather": _arrow,
    ".ipc": _arrow,
    ".duckdb": _database,
    ".db": _database,
}
KINDS = "CSV (.csv .tsv .txt), Parquet (.parquet), Arrow (.arrow .feather), JSON lines (.jsonl) and DuckDB databases (.duckdb)"


@dataclasses.dataclass(frozen=True)
class ArrowFile:
    """An Arrow IPC file or stream that DuckDB may read as often as it likes."""

    path: str

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        octets: Any = np.memmap(self.path, dtype=np.uint8, mode="r")
        if octets[:8].tobytes() == b"ARROW1\0\0":  # a file is a stream between a magic word and a footer
            octets = octets[8:]
        if importlib.util.find_spec("pyarrow"):  # which also reads what was compressed
            return importlib.import_module("pyarrow.ipc").open_stream(octets).__arrow_c_stream__()
        stream = imported("nanoarrow.ipc").InputStream.from_readable(octets)
        return imported("nanoarrow").c_array_stream(stream).__arrow_c_stream__()


def _columns(table: Table) -> tuple[Column, ...]:
    described = table.rows("DESCRIBE SELECT * FROM {t}")
    columns = [Column(name, kind, _kind(kind)) for name, kind, *_ in described]
    texts = [column for column in columns if table.text is not None and column.kind == "text"]
    if not texts:
        return tuple(columns)
    point = [number(column, table.reading) for column in texts]
    comma = [number(column, dataclasses.replace(table.reading, decimal=",")) for column in texts]
    counts = [f"count({quoted(c.name)}), count({p}), count({q})" for c, p, q in zip(texts, point, comma, strict=True)]
    seen = table.one(f"SELECT {', '.join(counts)} FROM {{t}}")
    kinds = {c.name: _held(*seen[3 * i : 3 * i + 3]) for i, c in enumerate(texts)}
    return tuple(dataclasses.replace(c, kind=kinds.get(c.name, c.kind)) for c in columns)


def _kind(type_name: str) -> str:
    word = type_name.split("(")[0]
    return "other" if type_name.endswith("]") else "number" if word in NUMBERS else "text" if word in TEXTS else "other"


def _held(entries: int, numbers: int, with_comma: int) -> str:
    """What a column of texts holds: numbers where all are, "mixed" where most are (or would be, with commas), else texts."""
    return "number" if numbers == entries else "mixed" if 2 * max(numbers, with_comma) >= entries else "text"


def number(column: Column, reading: Reading) -> str:
    """The SQL of a column as float64, NULL where it does not read as a number."""
    name = quoted(column.name)
    if column.type not in TEXTS:
        return f"CAST({name} AS DOUBLE)"
    text = f"CAST({name} AS VARCHAR)"
    sign = f"replace({text}, {literal(reading.decimal)}, '.')" if reading.decimal != "." else text
    truth = f"CASE lower({text}) WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 END"
    return f"coalesce(TRY_CAST({sign} AS DOUBLE), {truth})"


def seen(column: Column, reading: Reading) -> str:
    """The SQL of a column as a person sees it: numbers and truth values as such, all else as text."""
    if column.kind != "number":
        return f"CAST({quoted(column.name)} AS VARCHAR)"
    return quoted(column.name) if column.type == "BOOLEAN" else number(column, reading)


def measured(table: Table, column: Column, levels: Mapping[str, Sequence[Any]]) -> str:
    """The SQL of a column as float64 without NULL: numbers, or codes of its levels; raises ValueError where it is neither."""
    if column.name in levels:
        return f"coalesce(CAST({_code(table, column, levels[column.name])} AS DOUBLE), CAST('nan' AS DOUBLE))"
    if column.kind != "number":
        raise ValueError(not_numbers(table, column))
    return f"coalesce({number(column, table.reading)}, CAST('nan' AS DOUBLE))"


def _code(table: Table, column: Column, levels: Sequence[Any]) -> str:
    """The SQL of the place of an entry among the levels, NULL where it is none of them."""
    if not len(levels):
        return "NULL"
    if isinstance(levels[0], str):
        return f"enum_code(TRY_CAST(CAST({quoted(column.name)} AS VARCHAR) AS ENUM({', '.join(map(literal, levels))})))"
    return f"list_position([{', '.join(repr(float(v)) for v in levels)}], {number(column, table.reading)}) - 1"


def not_numbers(table: Table, column: Column) -> str:
    """Why a column cannot be read as numbers: the first entry that is none, its row (from 1), and what to do."""
    name, where = quoted(column.name), f"{table.title}: column {column.name!r}"
    if column.kind == "other":
        return f"{where} is of type {column.type}, which is no number; leave it out, or turn it to a number in a query"
    numbers = number(column, table.reading) if column.type in TEXTS else "NULL"
    odd = table.rows(
        f"SELECT i, v FROM (SELECT row_number() OVER () AS i, CAST({name} AS VARCHAR) AS v, {numbers} AS x FROM {{t}}) "
        "WHERE v IS NOT NULL AND x IS NULL ORDER BY i LIMIT 1"
    )
    row, value = odd[0] if odd else (1, "")
    if "," in value and table.reading.decimal == "." and value.replace(",", "", 1).lstrip("+-").isdigit():
        return f"{where} holds {value!r} in row {row}: a decimal comma? Then set decimal to ',' (--decimal ,)"
    held = "numbers, but also text" if column.kind == "mixed" else "text"
    return f"{where} holds {held}: {value!r:.60} in row {row}; mend it, leave the column out, or use a model for categories"


def levels_of(table: Table, column: Column) -> tuple[Any, ...]:
    """The sorted distinct texts of a column, or its numbers (0 and 1 where it holds no other)."""
    entry = number(column, table.reading) if column.kind == "number" else f"CAST({quoted(column.name)} AS VARCHAR)"
    found = table.rows(f"SELECT DISTINCT {entry} AS v FROM {{t}} WHERE v IS NOT NULL LIMIT {LEVELS_MOST + 1}")
    if len(found) > LEVELS_MOST:
        raise ValueError(
            f"{table.title}: column {column.name!r} holds more than {LEVELS_MOST} different values, as an identifier does; "
            "leave it out"
        )
    values = sorted(value for (value,) in found if value == value)
    return (0.0, 1.0) if values and set(values) <= {0.0, 1.0} else tuple(values)


def unknown_level(table: Table, column: Column, levels: Sequence[Any]) -> tuple[int, str] | None:
    """The first row (from 1) and text of a column that is not among the levels."""
    name, here = quoted(column.name), f"row_number() OVER () AS i, {_code(table, column, levels)} AS code"
    odd: list[Any] = table.rows(
        f"SELECT i, v FROM (SELECT {here}, CAST({name} AS VARCHAR) AS v FROM {{t}}) "
        "WHERE v IS NOT NULL AND lower(v) <> 'nan' AND code IS NULL ORDER BY i LIMIT 1"
    )
    return odd[0] if odd else None
