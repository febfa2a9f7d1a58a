"""JSON lines in several files: every object as it is, its entries picked by the types that are found in the files together.

    each file       ->  its columns and their types, by the database
    all files       ->  a type for each column: numbers where all entries are, text where they are not, "" where they nest
    every object    ->  entry ->> path, CAST to the type

A column that a file lacks is missing there, as an entry is that an object lacks. Objects are read as text first because the
database keeps a large buffer for each file that it reads as columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from estep.data.column_sql import kind_of_type
from estep.data.schemas import types_in
from estep.data.sql import literal, quoted


def read_json(files: Sequence[str]) -> str:
    """The SQL of one file, all of whose objects say what its columns are."""
    return f"read_json([{', '.join(map(literal, files))}], sample_size = -1, maximum_sample_files = {max(len(files), 1)})"


def several(connection: Any, files: Sequence[str], folders: Sequence[dict[str, str]]) -> tuple[str, list[str]]:
    """The SQL of all files, and of each; ``folders`` are the columns that their folders stand for."""
    found: dict[str, list[str]] = {}
    for file in files:
        alone = f"read_json([{literal(file)}], sample_size = -1, hive_partitioning = false)"
        for name, kind in types_in(connection, alone).items():
            found.setdefault(name, []).append(kind)
    shown = [f"{_entry(name, kinds)} AS {quoted(name)}" for name, kinds in found.items()]
    each = []
    for file, columns in zip(files, folders, strict=True):
        more = [f"{literal(value)} AS {quoted(name)}" for name, value in columns.items()]
        each.append(f"(SELECT {', '.join([*shown, *more])} FROM read_json_objects([{literal(file)}]))")
    if not any(folders):
        listed = ", ".join(map(literal, files))
        return f"(SELECT {', '.join(shown)} FROM read_json_objects([{listed}]))", each
    return f"({' UNION ALL '.join(f'SELECT * FROM {one}' for one in each)})", each


def _entry(name: str, kinds: Sequence[str]) -> str:
    path = literal('$."' + name.replace('"', '\\"') + '"')
    held = {kind for kind in kinds if kind not in ("JSON", '"NULL"')}
    if not held:
        return f"json -> {path}"
    if len(held) == 1 and kind_of_type(only := next(iter(held))) != "other" and "JSON" not in kinds:
        return f"CAST(json ->> {path} AS {only})" if only != "VARCHAR" else f"json ->> {path}"
    words = {kind_of_type(kind) for kind in held}
    if words == {"number"} and "JSON" not in kinds:
        return f"CAST(json ->> {path} AS DOUBLE)"
    if "other" in words and any(kind.endswith(("]", ")")) for kind in held):
        return f"[json -> {path}]"
    return f"nullif(json -> {path}, 'null'::JSON)"
