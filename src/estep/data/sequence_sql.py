"""Sequences in a file: the database puts rows in order, sequence by sequence, with a row for every step of time.

    rows of a sequence   come in the order that they have, sequences in the order in which they first appear
    step of time         what divides every gap between the times of a sequence
    a gap of j steps     j - 1 rows in which everything is missing, before the row that follows it

Sorting is the database's, within its bounded memory and the disk; what comes here is where each row stands.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from estep.data.layout import MOST_FILLED, Layout, Order
from estep.data.places import FIRST, ROW, placed
from estep.data.sql import quoted

DATABASE = '"estep database"'
MOST_GAPS = 100_000
DATES = ("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE")


def ordered_query(data: Any, sequence: str | None, time: str | None) -> str:
    """The SQL of the rows of an ``Arrow`` source in order; raises ValueError naming the first row that cannot be placed."""
    table = data.table
    names = [column.name for column in table.columns]
    for name in (sequence, time):
        if name is not None:
            table.column(name)
    own = table.sql if table.sql.startswith(DATABASE) else "data"  # a query meets a database under its own names
    asked = f"({data.query.strip().rstrip(';')})" if data.query is not None else own
    numbered = f"SELECT *, row_number() OVER () AS {ROW} FROM {asked}"
    key = "0" if sequence is None else quoted(sequence)
    first = f"SELECT *, min({ROW}) OVER (PARTITION BY {key}) AS {FIRST} FROM ({numbered})"
    _refuse_missing(table, "sequence", sequence)
    if time is None:
        return f"SELECT * FROM ({first}) ORDER BY {FIRST}, {ROW}"
    _refuse_missing(table, "time", time)
    _refuse_undated(table, time)
    gap = f"{_whole(table, time)} - lag({_whole(table, time)}) OVER (PARTITION BY {FIRST} ORDER BY {ROW})"
    gaps = f"SELECT *, {gap} AS gap FROM ({first})"
    step = _step(table, gaps.replace(f"FROM {asked})", "FROM {t})"), time)
    kept = [name for name in names if name not in (sequence, time)]
    shown = ", ".join(f"CASE WHEN k = jump THEN {quoted(name)} END AS {quoted(name)}" for name in kept)
    jumps = f"SELECT *, coalesce(gap // {step}, 1) AS jump FROM ({gaps})"
    each = f"SELECT *, unnest(range(1, jump + 1)) AS k FROM ({jumps})"
    return (
        f"SELECT {shown}, CASE WHEN k = jump THEN {ROW} END AS {ROW}, {FIRST} "
        f"FROM (SELECT *, {ROW} AS after FROM ({each})) ORDER BY {FIRST}, after, k"
    )


def _refuse_missing(table: Any, argument: str, name: str | None) -> None:
    if name is None:
        return
    odd = table.rows(
        f"SELECT i FROM (SELECT row_number() OVER () AS i, {quoted(name)} AS v FROM {{t}}) WHERE v IS NULL ORDER BY i LIMIT 1"
    )
    if odd:
        raise ValueError(f"{argument}: column {name!r} has no value in {_called(table, odd[0][0])}; every row needs one")


def _refuse_undated(table: Any, name: str) -> None:
    """Raise ValueError where a column of text holds something else than dates."""
    column = table.column(name)
    if column.kind == "number" or column.type in DATES:
        return
    dated = f"TRY_CAST({quoted(name)} AS TIMESTAMP)"
    odd = table.rows(
        f"SELECT i, v FROM (SELECT row_number() OVER () AS i, {quoted(name)} AS v, {dated} AS x FROM {{t}}) "
        "WHERE x IS NULL ORDER BY i LIMIT 1"
    )
    if odd:
        raise ValueError(
            f"time: column {name!r} holds {odd[0][1]!r} in {_called(table, odd[0][0])}, neither a whole number nor a date"
        )


def _called(table: Any, row: int) -> str:
    """A row (from 1), and its file where there are several."""
    title, number = placed(table, int(row))
    return f"row {number}" if title == table.title else f"row {number} of {title}"


def _whole(table: Any, name: str) -> str:
    """The SQL of times as whole numbers."""
    column = table.column(name)
    if column.type in DATES:
        return f"epoch_us(CAST({quoted(name)} AS TIMESTAMP))"
    return f"CAST({quoted(name)} AS BIGINT)" if column.kind == "number" else f"epoch_us(CAST({quoted(name)} AS TIMESTAMP))"


def _step(table: Any, gaps: str, time: str) -> int:
    """What divides every gap; raises ValueError where rows of a sequence are not in order of time."""
    if table.column(time).kind == "number":
        odd = table.rows(f"SELECT {quoted(time)} FROM {{t}} WHERE {_number(time)} <> floor({_number(time)}) LIMIT 1")
        if odd:
            raise ValueError(f"time: column {time!r} holds {odd[0][0]}; times are whole numbers (steps) or dates")
    wrong = table.rows(f"SELECT {ROW}, gap FROM ({gaps}) WHERE gap <= 0 ORDER BY {ROW} LIMIT 1")
    if wrong:
        row, gap = wrong[0]
        what = "has the time of the row before it" if gap == 0 else "is earlier than the row before it"
        raise ValueError(
            f"{_called(table, row)} {what} in its sequence; sort each sequence by time, and keep one row for each time"
        )
    found = [int(gap) for (gap,) in table.rows(f"SELECT DISTINCT gap FROM ({gaps}) WHERE gap IS NOT NULL LIMIT {MOST_GAPS}")]
    step = int(np.gcd.reduce(found)) if found else 1
    n, more = table.one(f"SELECT count(*), coalesce(sum(gap // {step} - 1), 0) FROM ({gaps})")
    if more > MOST_FILLED * n:
        raise ValueError(f"time leaves {more} steps of {step} without a row, for {n} rows; number the steps, or drop time")
    return step


def _number(name: str) -> str:
    return f"CAST({quoted(name)} AS DOUBLE)"


def layout_in(table: Any) -> Layout:
    """Where the user's rows stand among ordered ones."""
    parts = list(table.matrices(f"SELECT CAST({FIRST} AS DOUBLE), CAST(coalesce({ROW}, 0) AS DOUBLE) FROM {{t}}"))
    found = np.concatenate([np.empty((0, 2)), *parts])
    first, rows = found[:, 0], found[:, 1].astype(np.int64) - 1
    ends: Order = np.append(np.flatnonzero(np.diff(first)) + 1, len(first)).astype(np.intp)
    place = np.empty(int((rows >= 0).sum()), dtype=np.intp)
    place[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
    return Layout(ends, place)
