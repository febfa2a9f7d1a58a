"""Clusters as users give them, and as the rows that were read need them: one for each row, or for each sequence.

Rows of one cluster (patients of a clinic, years of a region) may depend on one another. A sequence lies within one cluster.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.estimators.rows import Rows


def clusters_of(clusters: Any, rows: Rows) -> NDArray[Any]:
    """The cluster of every row that was read, or of every sequence; rows of weight 0 are left out.

    Raises
    ------
    ValueError
        Where there is not one for each row (or sequence), or where a sequence lies in several.
    """
    given = np.asarray(clusters)
    if rows.ends is not None:
        return _of_sequences(given, rows)
    if given.shape != (rows.given_count,):
        raise ValueError(f"clusters has shape {given.shape}, expected ({rows.given_count},): the cluster of each row of X")
    return given if rows.kept is None else given[rows.kept]


def units_of_clusters(clusters: Any, rows: Rows) -> NDArray[np.intp]:
    """Codes 0 .. c - 1 of the cluster of every row."""
    found = clusters_of(clusters, rows)
    codes = np.unique(found.astype(str) if found.dtype == object else found, return_inverse=True)[1].reshape(-1)
    return codes.astype(np.intp) if rows.ends is None else np.repeat(codes, np.diff(rows.ends, prepend=0)).astype(np.intp)


def _of_sequences(given: NDArray[Any], rows: Rows) -> NDArray[Any]:
    ends = np.asarray(rows.ends)
    if rows.kept is None and given.shape == (len(ends),):
        return given
    if given.shape != (rows.given_count,):
        alone = f"({len(ends)},), the cluster of each sequence, or " if rows.kept is None else ""
        raise ValueError(f"clusters has shape {given.shape}, expected {alone}({rows.given_count},), that of each row of X")
    place = np.arange(len(given)) if rows.place is None else rows.place
    arranged = np.empty(rows.n if rows.kept is None else len(rows.kept), dtype=given.dtype)
    there = np.zeros(len(arranged), dtype=bool)
    arranged[place], there[place] = given, True
    if rows.kept is not None:
        arranged, there = arranged[rows.kept], there[rows.kept]
    last = arranged[ends - 1]
    odd = np.flatnonzero(there & (arranged != np.repeat(last, np.diff(ends, prepend=0))))
    if odd.size:
        s = int(np.searchsorted(ends, odd[0], side="right"))
        raise ValueError(f"clusters differ within sequence {s}; a sequence lies within one cluster")
    return np.asarray(last)
