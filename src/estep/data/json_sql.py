"""JSON lines in several files: every object as it is, its entries picked by the types that are found in the files together.

    each file       ->  its columns and their types, by the database
    all files       ->  a type for each column: numbers or times where all are, text where not, none where they nest
    every object    ->  entry ->> path, CAST to the type

A column that a file lacks is missing there, as an entry is that an object lacks. Objects are read as text first because the
database keeps a large buffer for each file that it reads as columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from estep.data.column_sql import kind_of_type
from estep.data.schemas import types_in
from estep.data.sequence_sql import DATES
from estep.data.sql import literal, quoted

NESTED = ("]", ")")


def read_json(files: Sequence[str]) -> str:
    """The SQL of one file, all of whose objects say what its columns are."""
    return f"read_json([{', '.join(map(literal, files))}], sample_size = -1, maximum_sample_files = {max(len(files), 1)})"


def several(connection: Any, files: Sequence[str], folders: Sequence[dict[str, str]]) -> tuple[str, list[str]]:
    """The SQL of all files, and of each; ``folders`` are the columns that their folders stand for.

    A column that folders stand for is that of the folders. Raises ValueError where keys differ in upper and lower case alone.
    """
    found: dict[str, list[str]] = {}
    for file in files:
        alone = f"read_json([{literal(file)}], sample_size = -1, hive_partitioning = false)"
        for name, kind in types_in(connection, alone).items():
            found.setdefault(name, []).append(kind)
    _refuse_alike(connection, files, list(found))
    shown = [f"{_entry(name, kinds)} AS {quoted(name)}" for name, kinds in found.items() if name not in folders[0]]
    each = []
    for file, columns in zip(files, folders, strict=True):
        more = [f"{literal(value)} AS {quoted(name)}" for name, value in columns.items()]
        each.append(f"(SELECT {', '.join([*shown, *more])} FROM read_json_objects([{literal(file)}]))")
    if not any(folders):
        listed = ", ".join(map(literal, files))
        return f"(SELECT {', '.join(shown)} FROM read_json_objects([{listed}]))", each
    return f"({' UNION ALL '.join(f'SELECT * FROM {one}' for one in each)})", each


def _refuse_alike(connection: Any, files: Sequence[str], names: Sequence[str]) -> None:
    """Raise ValueError where keys differ in upper and lower case alone: the database calls the second of them "key_1"."""
    first: dict[str, str] = {}
    for name in names:
        base, _, number = name.rpartition("_")
        known = first.setdefault(name.casefold(), name)
        if known == name and number.isdigit() and (known := first.get(base.casefold(), name)) != name:
            listed = ", ".join(map(literal, files))
            asked = f"SELECT count(*) FROM read_json_objects([{listed}]) WHERE json_exists(json, {_path(name)})"
            known = name if connection.execute(asked).fetchone()[0] else known
        if known != name:
            raise ValueError(f"several keys are {known!r} but for upper and lower case; rename all but one of them")


def _path(name: str) -> str:
    """Where an object holds the entry of that name, as SQL."""
    return literal('$."' + name.replace('"', '\\"') + '"')


def _entry(name: str, kinds: Sequence[str]) -> str:
    path = _path(name)
    held = {kind for kind in kinds if kind not in ("JSON", '"NULL"')}
    if not held:
        return f"json -> {path}"
    if len(held) == 1 and not (only := next(iter(held))).endswith(NESTED) and "JSON" not in kinds:
        return f"CAST(json ->> {path} AS {only})" if only != "VARCHAR" else f"json ->> {path}"
    words = {kind_of_type(kind) for kind in held}
    if words == {"number"} and not {"JSON", "BOOLEAN"} & set(kinds):
        return f"CAST(json ->> {path} AS DOUBLE)"
    if held <= set(DATES) and "JSON" not in kinds:
        return f"CAST(json ->> {path} AS TIMESTAMP)"
    if "other" in words and any(kind.endswith(NESTED) for kind in held):
        return f"[json -> {path}]"
    return f"nullif(json -> {path}, 'null'::JSON)"
