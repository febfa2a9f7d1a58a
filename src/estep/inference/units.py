"""What information is counted in: rows, or where rows hang together whole sequences, or clusters of either.

units of a chunk    its rows, or its sequences (``ends``)
weight of a unit    how often it was seen; the rows of one sequence share theirs
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.protocols import Chunk
from estep.core.record import Array

ROWS, SEQUENCES, CLUSTERS = "rows", "sequences", "clusters"


def of_sequences(data: Any) -> bool:
    """Whether the rows of ``data`` belong to sequences."""
    return getattr(next(iter(data.chunks())), "ends", None) is not None


def count_of(data: Any) -> int:
    """Number of rows, or of sequences."""
    return sum(len(chunk.ends) for chunk in data.chunks()) if of_sequences(data) else int(data.n_rows)


def counted(data: Any, clusters: Any = None) -> tuple[int, str]:
    """How many units there are, and what they are called."""
    if clusters is not None:
        return len(np.unique(codes_of(clusters, count_of(data)))), CLUSTERS
    return count_of(data), SEQUENCES if of_sequences(data) else ROWS


def weight_of(chunk: Chunk) -> Array | None:
    """Weight of every unit of a chunk; None means one each."""
    if chunk.weight is None or chunk.ends is None:
        return chunk.weight
    return np.asarray(chunk.weight[np.asarray(chunk.ends) - 1], dtype=float)


class Places:
    """Where the units of a chunk stand among all of them; chunks come in order."""

    def __init__(self, data: Any) -> None:
        self._next = 0 if of_sequences(data) else None

    def of(self, chunk: Chunk) -> slice:
        """The chunk's units."""
        if self._next is None or chunk.ends is None:
            return chunk.rows
        begin, self._next = self._next, self._next + len(chunk.ends)
        return slice(begin, self._next)


def codes_of(clusters: Any, m: int) -> NDArray[np.intp]:
    """Codes 0..c-1 of the clusters of ``m`` units; raises ValueError unless each has one, and there are two in all."""
    given = np.asarray(clusters)
    if given.shape != (m,):
        raise ValueError(f"clusters has shape {given.shape}, expected ({m},): the cluster of each row, or of each sequence")
    codes = np.unique(given.astype(str) if given.dtype == object else given, return_inverse=True)[1].astype(np.intp)
    if codes.max(initial=0) < 1:
        raise ValueError("clusters names one cluster only, from which no variance can be told; leave it out, or name more")
    return np.asarray(codes)
