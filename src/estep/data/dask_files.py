"""Files as partitions: each worker reads its own rows, with the columns, types and levels that were found for the whole.

    n rows   ->  pieces of at most PIECE_ROWS rows;  their number depends on n alone, and so do the bits of every sum

The workers need to see the same files under the same path: a piece that is made again after a worker was lost is read again,
and refused where its file is not what it was.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from numpy.typing import NDArray

from estep.data.found import Stamp, refuse_changed
from estep.data.here import entry, filled
from estep.data.places import placed
from estep.data.sequence_sql import DATES
from estep.data.source import Column, Table
from estep.data.sql import quoted

PIECE_ROWS = 1_000_000
LEAST_PIECES = 8
SMALL = 10_000


@dataclasses.dataclass(frozen=True)
class FilePiece:
    """Rows ``first`` to ``stop`` of an ``Arrow`` source: its columns and files as they are in the whole of it."""

    data: Any
    first: int
    stop: int
    kinds: tuple[Column, ...]
    files: tuple[Stamp, ...] = ()

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name: floats (NaN where missing), texts (None) or times (NaT)."""
        table = self._table()
        read = [column for column in self.kinds if column.kind != "other" or column.type in DATES]
        shown = [f"{entry(column, table)} AS {quoted(column.name)}" for column in read]
        sql = f"SELECT {', '.join(shown)} FROM {table.whole} LIMIT {self.stop - self.first} OFFSET {self.first}"
        found = table.arrays(sql)
        refuse_changed(self.files)
        return {column.name: filled(found[column.name], column.kind) for column in read}

    def placed(self, row: int) -> tuple[str, int]:
        """The file of a row (from 0) of the piece, and its number (from 1) in that file."""
        return placed(self._table(), self.first + row + 1)

    def _table(self) -> Table:
        refuse_changed(self.files)
        found: Table = self.data.opened(self.kinds)
        return found


def pieces_of(data: Any) -> list[FilePiece]:
    """The pieces of an ``Arrow`` source. Raises ValueError for a query, a table or a stream, whose rows are in no file."""
    if data.query is not None:
        raise ValueError("the rows of a query cannot be read by several workers; write them to Parquet files, and name those")
    if not isinstance(data.source, str | os.PathLike | list | tuple):
        raise ValueError(
            f"the rows of a {type(data.source).__name__} are in no file that several workers could read; write them to "
            "Parquet files, and name those, or give tables as a list of partitions"
        )
    n = data.table.n_rows
    count = max(-(-n // PIECE_ROWS), min(LEAST_PIECES, -(-n // SMALL)), 1)
    limits = [round(i * n / count) for i in range(count + 1)]
    return [FilePiece(data, a, z, data.table.columns, data.table.files) for a, z in zip(limits, limits[1:], strict=False)]
