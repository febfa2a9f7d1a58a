"""CSV as DuckDB reads it, with three decisions of our own: where names stand, what is missing, and which bytes are at fault.

The first line holds names unless one of its fields reads as a number. Fields that are empty, NA, NaN or NULL are missing.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from typing import Any

from estep.data.sql import literal

MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
DELIMITERS = (",", ";", "\t", "|")
FIRST = 20


def csv_reader(connection: Any, files: list[str], reading: Any) -> Callable[..., str]:
    """The SQL that reads any of the files, every column as text; raises ValueError naming a line that is not like the rest."""
    import duckdb

    try:
        read = _reader(connection, files, reading.encoding, reading.header)
        for file in files:
            connection.execute(f"SELECT * FROM {read([file], hive=False)} LIMIT 1")
    except duckdb.Error:
        for file in files:
            if (odd := _uneven(file, reading.encoding)) is not None:
                raise ValueError(f"{os.path.basename(file)}: {odd}") from None
        raise
    return read


def _reader(connection: Any, files: list[str], encoding: str | None, header: bool | None) -> Callable[..., str]:
    file, options = literal(files[0]), f"all_varchar = true, nullstr = [{', '.join(map(literal, MISSING))}]"
    if encoding is not None:
        options += f", encoding = {literal(encoding)}"
    delimiter, skipped = connection.execute(f"SELECT Delimiter, SkipRows FROM sniff_csv({file}, {options})").fetchone()
    if skipped and (other := _commoner(connection, file, options, delimiter)) is not None:
        delimiter, skipped = other, 0
    alone = f"header = false, {options}, hive_partitioning = false, null_padding = true"
    peek = f"{alone}, delim = {literal(delimiter)}, skip = {skipped}"
    first = connection.execute(f"SELECT * FROM read_csv({file}, {peek}) LIMIT 1").fetchone()
    if first and first[0] and not any(first[1:]):  # nothing there parts the first line: does it know better?
        delimiter = next((sign for sign in DELIMITERS if sign in first[0]), delimiter)
        first = first[0].split(delimiter)
    if header is None:
        header = first is None or not any(_is_number(field) for field in first)
    dialect = f"header = {str(header).lower()}, delim = {literal(delimiter)}, skip = {skipped}, {options}"

    def read(some: list[str], hive: bool = True) -> str:
        without = "" if hive else ", hive_partitioning = false"
        return f"read_csv([{', '.join(map(literal, some))}], {dialect}{without})"

    return read


def _commoner(connection: Any, file: str, options: str, delimiter: str) -> str | None:
    """The sign that parts the first lines alike from the very first on, where ``delimiter`` does not: "a;b" over "0,1;0,2"."""
    import duckdb

    alone = f"header = false, {options}, hive_partitioning = false, null_padding = true"
    whole = f"{alone}, delim = '\x1f', quote = '', escape = '', skip = 0"
    try:
        rows = connection.execute(f"SELECT * FROM read_csv({file}, {whole}) LIMIT {FIRST}").fetchall()
    except duckdb.Error:  # the file is read as it was found, and says itself what is wrong with it
        return None
    lines = [row[0] or "" for row in rows]
    if len(lines) < 2 or delimiter in lines[0]:
        return None
    alike = [sign for sign in DELIMITERS if sign in lines[0] and len({line.count(sign) for line in lines}) == 1]
    return alike[0] if alike else None


def _uneven(file: str, encoding: str | None) -> str | None:
    """Words about the first line with more or fewer fields than the first one has."""
    try:
        with open(file, newline="", encoding=encoding or "utf-8") as text:
            first = text.readline()
            text.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            expected = 0
            for fields in (lines := csv.reader(text, delimiter=delimiter)):
                expected = expected or len(fields)
                if fields and len(fields) != expected:
                    return f"line {lines.line_num} has {len(fields)} fields where the first line has {expected}"
    except (UnicodeDecodeError, LookupError, csv.Error):
        return None
    return None


def _is_number(field: str | None) -> bool:
    try:
        float(field or "")
    except ValueError:
        return False
    return True
