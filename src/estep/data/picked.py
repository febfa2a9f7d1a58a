"""Some rows of a file or a cluster, by number, as a source of their own: neither here nor there are the others copied.

    file, query     SELECT rows FROM table POSITIONAL JOIN chosen WHERE chosen        one truth value a row is held here
    cluster         every partition takes its own share, when somebody asks for its columns

Levels, weights and labels are those of the rows that were taken, as if nobody had seen the others.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.data.dask_parts import Picked
from estep.data.source import Table
from estep.data.sql import quoted


def picked(data: Any, rows: NDArray[np.intp]) -> Any:
    """The rows of an ``Arrow`` or ``OnDask`` source with these numbers, ascending, as a source of the same kind.

    It stays in this process: whoever pickles it sends the whole source.

    >>> from estep.data import Arrow
    >>> data = Arrow(None, query="SELECT i FROM range(6) AS t(i)")
    >>> picked(data, np.array([1, 2, 5]))[:].tolist()
    [[1.0], [2.0], [5.0]]
    """
    other, names = dataclasses.replace(data), data.names
    remembered(other, "names", lambda: names)
    if not hasattr(data, "client"):
        remembered(other, "table", lambda: _table(data.table, rows))
        return other
    limits = np.cumsum([0, *(facts.n for facts in data.facts)])
    shares = np.split(rows, np.searchsorted(rows, limits[1:-1]))
    raw = tuple(
        data.cluster.submit(Picked, part, share - first)
        for part, share, first in zip(data.raw, shares, limits[:-1], strict=True)
    )
    remembered(other, "cluster", lambda: data.cluster)
    remembered(other, "raw", lambda: raw)
    return other


def _table(table: Table, rows: NDArray[np.intp]) -> Table:
    """The rows as a table; the whole one stays open with it."""
    chosen = np.zeros(table.n_rows, dtype=bool)
    chosen[rows] = True
    name, title = f"estep chosen {secrets.token_hex(4)}", f"{len(rows)} rows of {table.title}"
    sql = f"(SELECT every.* FROM {table.whole} AS every POSITIONAL JOIN {quoted(name)} AS chosen WHERE chosen.column0)"
    streams = {**table.streams, name: chosen}
    part = dataclasses.replace(table, sql=sql, title=title, streams=streams, asked=None, each=(), behind=table)
    remembered(part, "columns", lambda: table.columns)
    return part
