"""Columns of a table as SQL: numbers as float64, texts as codes of their levels, missing entries as NaN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from estep.data.places import placed
from estep.data.sql import literal, quoted

if TYPE_CHECKING:
    from estep.data.source import Column, Reading, Table

NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN", "UTINYINT",
           "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT")  # fmt: skip
TEXTS = ("VARCHAR", "ENUM", "JSON", "UUID")
LEVELS_MOST = 10_000


def kind_of_type(type_name: str) -> str:
    """What a column of one of DuckDB's types holds: "number", "text", or "other" (dates, lists ...)."""
    word = type_name.split("(")[0]
    return "other" if type_name.endswith("]") else "number" if word in NUMBERS else "text" if word in TEXTS else "other"


def text(column: Column) -> str:
    """The SQL of the entries of a column as texts; those of JSON without quotation marks."""
    name = quoted(column.name)
    return f"({name} ->> '$')" if column.type == "JSON" else f"CAST({name} AS VARCHAR)"


def number(column: Column, reading: Reading) -> str:
    """The SQL of a column as float64, NULL where it does not read as a number."""
    name = quoted(column.name)
    if column.type not in TEXTS:
        return f"CAST({name} AS DOUBLE)"
    told = text(column)
    sign = f"replace({told}, {literal(reading.decimal)}, '.')" if reading.decimal != "." else told
    truth = f"CASE lower({told}) WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 END"
    return f"coalesce(TRY_CAST({sign} AS DOUBLE), {truth})"


def seen(column: Column, reading: Reading) -> str:
    """The SQL of a column as a person sees it: numbers and truth values as such, all else as text."""
    if column.kind != "number":
        return text(column)
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
        return f"enum_code(TRY_CAST({text(column)} AS ENUM({', '.join(map(literal, levels))})))"
    return f"list_position([{', '.join(repr(float(v)) for v in levels)}], {number(column, table.reading)}) - 1"


def not_numbers(table: Table, column: Column) -> str:
    """Why a column cannot be read as numbers: the first entry that is none, its row (from 1), and what to do."""
    if column.kind == "other":
        where = f"{table.title}: column {column.name!r}"
        return f"{where} is of type {column.type}, which is no number; leave it out, or turn it to a number in a query"
    numbers = number(column, table.reading) if column.type in TEXTS else "NULL"
    odd = table.rows(
        f"SELECT i, v FROM (SELECT row_number() OVER () AS i, {text(column)} AS v, {numbers} AS x FROM {{t}}) "
        "WHERE v IS NOT NULL AND x IS NULL ORDER BY i LIMIT 1"
    )
    row, value = odd[0] if odd else (1, "")
    title, row = placed(table, row)
    where = f"{title}: column {column.name!r}"
    if "," in value and table.reading.decimal == "." and value.replace(",", "", 1).lstrip("+-").isdigit():
        return f"{where} holds {value!r} in row {row}: a decimal comma? Then set decimal to ',' (--decimal ,)"
    held = "numbers, but also text" if column.kind == "mixed" else "text"
    return f"{where} holds {held}: {value!r:.60} in row {row}; mend it, leave the column out, or use a model for categories"


def levels_of(table: Table, column: Column) -> tuple[Any, ...]:
    """The sorted distinct texts of a column, or its numbers (0 and 1 where it holds no other)."""
    entry = number(column, table.reading) if column.kind == "number" else text(column)
    found = table.rows(f"SELECT DISTINCT {entry} AS v FROM {{any}} WHERE v IS NOT NULL LIMIT {LEVELS_MOST + 1}")
    if len(found) > LEVELS_MOST:
        raise ValueError(
            f"{table.title}: column {column.name!r} holds more than {LEVELS_MOST} different values, as an identifier does; "
            "leave it out"
        )
    values = sorted(value for (value,) in found if value == value)
    return (0.0, 1.0) if values and set(values) <= {0.0, 1.0} else tuple(values)


def unknown_level(table: Table, column: Column, levels: Sequence[Any]) -> tuple[int, str] | None:
    """The first row (from 1) and text of a column that is not among the levels."""
    here = f"row_number() OVER () AS i, {_code(table, column, levels)} AS code"
    odd: list[Any] = table.rows(
        f"SELECT i, v FROM (SELECT {here}, {text(column)} AS v FROM {{t}}) "
        "WHERE v IS NOT NULL AND lower(v) <> 'nan' AND code IS NULL ORDER BY i LIMIT 1"
    )
    return odd[0] if odd else None
