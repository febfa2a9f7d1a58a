"""Rows of a file or a cluster brought here, column by column, for what reads them by name: formulas, and chains of states."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.data.column_sql import number, text
from estep.data.dask_parts import column_told
from estep.data.sql import quoted


def brought(data: Any, more: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """The columns that an ``Arrow`` or ``OnDask`` reads, and ``more``: floats (NaN where missing), texts (None) or times (NaT).

    >>> from estep.data import Arrow
    >>> brought(Arrow(None, query="SELECT i, i + 1 AS j FROM range(3) AS t(i)"))["j"].tolist()
    [1.0, 2.0, 3.0]
    """
    other = dataclasses.replace(data, exclude=(*data.exclude, *more)) if data.columns is None else data
    for name in ("cluster", "raw", "facts") if hasattr(data, "client") else ("table",):
        remembered(other, name, lambda name=name: getattr(data, name))  # type: ignore[misc]
    names = list(dict.fromkeys((*other.names, *more)))
    return _from_cluster(other, names) if hasattr(data, "client") else _from_table(other.table, names)


def _from_cluster(data: Any, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    found = {}
    for name in names:
        parts = data.cluster.results([data.cluster.submit(column_told, raw, name) for raw in data.raw], [])
        some = [part for part in parts if len(part)] or parts[:1]
        alike = len({part.dtype.kind for part in some}) == 1
        found[name] = np.concatenate(some if alike else [part.astype(object) for part in some])
    return found


def _from_table(table: Any, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    columns = [table.column(name) for name in names]
    found = table.arrays(f"SELECT {', '.join(f'{entry(c, table)} AS {quoted(c.name)}' for c in columns)} FROM {{t}}")
    return {column.name: filled(found[column.name], column.kind) for column in columns}


def entry(column: Any, table: Any) -> str:
    """The SQL of the entries of a column: numbers, texts or times."""
    if column.kind == "number":
        return number(column, table.reading)
    return f"CAST({quoted(column.name)} AS TIMESTAMP)" if column.kind == "other" else text(column)


def filled(values: Any, kind: str) -> NDArray[Any]:
    """What DuckDB gives for a column: floats with NaN, times with NaT, texts with None where missing."""
    gone = np.ma.getmaskarray(values)
    if kind == "number":
        numbers: NDArray[Any] = np.ma.getdata(values).astype(float)
        numbers[gone] = np.nan
        return numbers
    if kind == "other":
        times: NDArray[Any] = np.ma.getdata(values).astype("datetime64[us]")
        times[gone] = np.datetime64("NaT")
        return times
    texts: NDArray[Any] = np.ma.getdata(values).astype(object)
    texts[gone] = None
    return texts
