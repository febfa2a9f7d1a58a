"""Kinds of files as DuckDB reads them: the SQL of all files together, and of each.

Several files are one table whose columns go by name and have a type that all entries fit in (see ``schemas``); a column that
a folder ``key=value`` stands for is in the rows of the files below it.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from estep.data.delimited import csv_reader
from estep.data.found import folder_columns, is_far
from estep.data.json_sql import read_json, several
from estep.data.schemas import agreed, by_name, parquet_types, types_in
from estep.data.sql import ARROW_FILE, imported, literal, quoted

Read = tuple[str, list[str]]


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is asked of a reader: files of one kind, what they are called together, a query if there is one, and how to read."""

    connection: Any
    files: list[str]
    title: str
    query: str | None
    reading: Any


def listed(files: list[str]) -> str:
    """Files as an SQL list."""
    return f"[{', '.join(map(literal, files))}]"


def _parquet(asked: Asked) -> Read:
    connection, files = asked.connection, asked.files
    if any(is_far(file) and set("*?[") & set(file) for file in files):
        files = [name for (name,) in connection.execute(f"SELECT file FROM glob({listed(files)})").fetchall()] or files
    each = [f"read_parquet({listed([file])})" for file in files]
    if len(files) == 1:
        return f"read_parquet({listed(asked.files)})", each
    types = parquet_types(connection, files, listed(files))
    if agreed(asked.title, types):
        return f"read_parquet({listed(files)})", each
    more = {name for _, found in types for name in found} - set(types[0][1])
    but = f" EXCLUDE ({', '.join(map(quoted, sorted(more)))})" if more else ""
    return f"(SELECT *{but} FROM read_parquet({listed(files)}, union_by_name = true))", each


def _csv(asked: Asked) -> Read:
    read = csv_reader(asked.connection, asked.files, asked.reading)
    each = [read([file]) for file in asked.files]
    if len(each) > 1:
        alone = ((file, types_in(asked.connection, read([file], hive=False))) for file in asked.files)
        agreed(asked.title, list(alone))
    return read(asked.files), each


def _json(asked: Asked) -> Read:
    if len(asked.files) == 1:
        return read_json(asked.files), [read_json(asked.files)]
    return several(asked.connection, asked.files, folder_columns(asked.files))


def _arrow(asked: Asked) -> Read:
    names = [f'"{ARROW_FILE} {i}"' for i in range(len(asked.files))]
    types = [(file, types_in(asked.connection, name)) for file, name in zip(asked.files, names, strict=True)]
    agreed(asked.title, types)
    each = []
    for name, columns in zip(names, folder_columns(asked.files), strict=True):
        more = "".join(f", {_plain(value)} AS {quoted(key)}" for key, value in columns.items() if key not in types[0][1])
        each.append(f"(SELECT *{more} FROM {name})")
    return by_name(each, list(types_in(asked.connection, each[0]))), each


def _plain(value: str) -> str:
    """What a folder stands for, as SQL: a whole number where it is one."""
    return value if value.isascii() and value.isdigit() and len(value) < 19 else literal(value)


def _database(asked: Asked) -> Read:
    connection, file = asked.connection, asked.files[0]
    connection.execute(f'ATTACH {literal(file)} AS "estep database" (READ_ONLY)')
    if asked.query is not None:
        connection.execute('USE "estep database"')
        return "", [""] * len(asked.files)
    here = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = 'estep database'"
    names = connection.execute(here).fetchall()
    if len(asked.files) > 1:
        raise ValueError(
            f"{asked.title} stands for {len(asked.files)} databases; read one, and join others in a query (ATTACH)"
        )
    if len(names) != 1:
        found = f"the tables {', '.join(sorted(repr(name) for _, name in names))}" if names else "no table"
        raise ValueError(f"{file} holds {found}; say which rows with a query, such as SELECT * FROM ...")
    sql = ".".join(map(quoted, ("estep database", *names[0])))
    return sql, [sql]


TEXT = dict.fromkeys((".csv", ".tsv", ".txt"), _csv) | dict.fromkeys((".json", ".jsonl", ".ndjson"), _json)
ARROWS = dict.fromkeys((".arrow", ".feather", ".ipc"), _arrow)
READERS: dict[str, Callable[[Asked], Read]] = {
    **TEXT,
    ".parquet": _parquet,
    ".pq": _parquet,
    **ARROWS,
    ".duckdb": _database,
    ".db": _database,
}


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
