"""Several files as one table: they hold the same columns, and numbers in the same of them.

A database reads later files as the first one is: numbers with a fraction would be rounded where the first file holds whole
ones, and columns taken by their place. Here columns go by name, a type is one that all entries fit in, and a file without a
column that the first one has, or with text where that one has numbers, is named.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from estep.data.column_sql import kind_of_type
from estep.data.places import short
from estep.data.sql import quoted

Types = Mapping[str, str]


def types_in(connection: Any, sql: str) -> dict[str, str]:
    """DuckDB's type of each column of a relation, by name."""
    return {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE SELECT * FROM {sql}").fetchall()}


def agreed(title: str, types: Sequence[tuple[str, Types]]) -> bool:
    """Whether files, given with the types of their columns, hold the very same types.

    Raises ValueError where one lacks a column of the first, or where text and numbers meet in a column.
    """
    (first, known), paths = types[0], [path for path, _ in types]
    same = True
    for path, found in types[1:]:
        if gone := [name for name in known if name not in found]:
            raise ValueError(
                f"{title}: {short(path, paths)} has no column {gone[0]!r}, which {short(first, paths)} has (it has "
                f"{', '.join(map(repr, list(found)[:12]))}); read files of the same columns together"
            )
        for name, kind in known.items():
            kinds = {kind_of_type(kind), kind_of_type(found[name])}
            if kinds == {"number", "text"}:
                raise ValueError(
                    f"{title}: column {name!r} holds {_word(kind)} in {short(first, paths)} and {_word(found[name])} in "
                    f"{short(path, paths)}; mend it, or leave that file out"
                )
            same = same and found[name] == kind
        if more := [name for name in found if name not in known]:
            told = ", ".join(map(repr, more[:12]))
            words = f"{title}: left out {told} of {short(path, paths)}, which {short(first, paths)} lacks"
            warnings.warn(words, UserWarning, stacklevel=2)
    return same


def _word(kind: str) -> str:
    return "text" if kind_of_type(kind) == "text" else "numbers"


def parquet_types(connection: Any, files: Sequence[str], listed: str) -> list[tuple[str, Types]]:
    """Files with the types of their columns: the first, and one for each way in which others differ from it.

    The footers of all files are read in one query; only those that differ are looked at by themselves.
    """
    types = "[name, type, converted_type, logical_type, duckdb_type] AS types"
    leaves = f"SELECT file_name, {types}, row_number() OVER () AS place FROM parquet_schema({listed})"
    seen = connection.execute(f"SELECT file_name, list(types ORDER BY place) FROM ({leaves}) GROUP BY file_name").fetchall()
    schema = {path: str(entries) for path, entries in seen}
    kept = {schema.get(file, file): file for file in reversed(files)}  # the first file of each schema
    some = [file for file in files if file == files[0] or kept[schema.get(file, file)] == file]
    return [(file, types_in(connection, f"read_parquet(['{file.replace(chr(39), chr(39) * 2)}'])")) for file in some]


def by_name(relations: Sequence[str], names: Sequence[str]) -> str:
    """The SQL of relations end to end, columns by name; a type is one that all entries fit in."""
    shown = ", ".join(map(quoted, names))
    return f"({' UNION ALL '.join(f'SELECT {shown} FROM {relation}' for relation in relations)})"
