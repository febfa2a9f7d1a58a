"""Files as partitions: each worker reads its own rows, with the columns, types and levels that were found for the whole.

    n rows   ->  pieces of at most PIECE_ROWS rows;  their number depends on n alone, and so do the bits of every sum

The workers need to see the files under the same path.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.data.column_sql import number
from estep.data.sql import quoted

PIECE_ROWS = 1_000_000
LEAST_PIECES = 8
SMALL = 10_000


@dataclasses.dataclass(frozen=True)
class FilePiece:
    """Rows ``first`` to ``stop`` of an ``Arrow`` source, with the kinds of its columns as the whole of it has them."""

    data: Any
    first: int
    stop: int
    kinds: tuple[tuple[str, str], ...]

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name: floats (NaN where missing), or texts (None)."""
        table = self.data.table
        entries = [
            number(table.column(name), table.reading) if kind == "number" else f"CAST({quoted(name)} AS VARCHAR)"
            for name, kind in self.kinds
        ]
        shown = [f"{entry} AS {quoted(name)}" for entry, (name, _) in zip(entries, self.kinds, strict=True)]
        sql = f"SELECT {', '.join(shown)} FROM {table.whole} LIMIT {self.stop - self.first} OFFSET {self.first}"
        found = table.arrays(sql)
        return {name: _filled(found[name], kind) for name, kind in self.kinds}


def _filled(values: Any, kind: str) -> NDArray[Any]:
    gone = np.ma.getmaskarray(values)
    if kind == "number":
        numbers: NDArray[Any] = np.ma.getdata(values).astype(float)
        numbers[gone] = np.nan
        return numbers
    texts: NDArray[Any] = np.ma.getdata(values).astype(object)
    texts[gone] = None
    return texts


def pieces_of(data: Any) -> list[FilePiece]:
    """The pieces of an ``Arrow`` source. Raises ValueError for a query, whose rows are in no file."""
    if data.query is not None:
        raise ValueError("the rows of a query cannot be read by several workers; write them to Parquet files, and name those")
    n = data.table.n_rows
    count = max(-(-n // PIECE_ROWS), min(LEAST_PIECES, -(-n // SMALL)), 1)
    limits = [round(i * n / count) for i in range(count + 1)]
    kinds = tuple((column.name, column.kind) for column in data.table.columns if column.kind in ("number", "text"))
    return [FilePiece(data, a, z, kinds) for a, z in zip(limits, limits[1:], strict=False)]
