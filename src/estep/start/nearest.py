"""Nearest centre, and classes of equal counts in one dimension.

    label_i = argmin_g |x_i - c_g|^2 = argmin_g ( |c_g - a|^2 - 2 (x_i - a)'(c_g - a) )

for any common anchor a; it is a matrix product, and the anchor (the mean of the present rows) keeps its digits. Rows
whose two lowest values are closer than rounding can tell are settled by the differences themselves, so the labels are
those of the direct formula and ties go to the lowest index. Nothing of size n x k is kept.

    classes of equal counts: class j holds  q_j <= x < q_(j+1),   q_j the j/k quantile (linear between order statistics)

Source of the second: Hyndman and Fan (1996) Am. Stat. 50:361, definition 7.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.start.present import comparable, present_rows

BLOCK = 1 << 18  # numbers of a block of distances: it stays in cache


def squared_distances(X: Array, centre: Array) -> Array:
    """|x_i - c|^2 for every row, by differences: X (n,d), centre (d,) -> (n,).

    >>> squared_distances(np.array([[0.0, 3.0], [4.0, 0.0]]), np.zeros(2)).tolist()
    [9.0, 16.0]
    """
    result = np.empty(len(X))
    rows = max(1, BLOCK // max(1, X.shape[1]))
    for start in range(0, len(X), rows):
        difference = X[start : start + rows] - centre
        result[start : start + rows] = np.einsum("ij,ij->i", difference, difference)
    return result


def nearest_labels(X: Array, centres: Array, weight: Array | None = None) -> NDArray[np.int64]:
    """The index of the nearest centre of every row, ties to the lowest: X (n,d), centres (k,d) -> (n,).

    Every row is labelled; ``weight`` (n,) only says which rows count for the anchor, so that an absent row (weight 0)
    cannot cost the others their digits. Raises ValueError where X or centres are not finite matrices of one width.

    >>> nearest_labels(np.array([[0.0], [0.5], [0.6]]), np.array([[0.0], [1.0]])).tolist()
    [0, 0, 1]
    """
    if centres.ndim != 2 or centres.shape[1:] != X.shape[1:] or not len(centres) or not np.all(np.isfinite(centres)):
        raise ValueError(f"centres must be a finite matrix, k >= 1 rows as wide as X {X.shape}, got shape {centres.shape}")
    X, centres = comparable(X, centres)
    labels = np.empty(len(X), dtype=np.int64)
    if not len(X):
        return labels
    anchor = X[present_rows(X, 1, weight)].mean(axis=0)
    moved = centres - anchor
    square = np.einsum("kj,kj->k", moved, moved)
    rows = max(1, BLOCK // max(len(centres), X.shape[1], 1))
    for start in range(0, len(X), rows):
        labels[start : start + rows] = _nearest_in_block(X[start : start + rows], centres, anchor, moved, square)
    return labels


def _nearest_in_block(x: Array, centres: Array, anchor: Array, moved: Array, square: Array) -> NDArray[np.int64]:
    centred = x - anchor
    distance = square - 2.0 * (centred @ moved.T)
    labels = np.argmin(distance, axis=1)
    size = np.sqrt(np.max(square)) + np.sqrt(np.einsum("ij,ij->i", centred, centred))
    doubt = 8 * (x.shape[1] + 4) * np.finfo(np.float64).eps * size**2
    close = np.sum(distance <= (np.min(distance, axis=1) + doubt)[:, None], axis=1) > 1
    for i in np.flatnonzero(close):
        labels[i] = np.argmin(squared_distances(centres, x[i]))
    return np.asarray(labels, dtype=np.int64)


def quantile_labels(x: Array, k: int, weight: Array | None = None) -> NDArray[np.int64]:
    """Classes 0 .. k-1 of equal counts in ascending order of x (n,), split at the j/k quantiles.

    Equal values share a class wherever the k + 1 quantiles are distinct. Where ties make them coincide, the quantiles
    of the distinct values are used; with fewer than k distinct values, ties are split by rank. Weights are frequencies.
    Raises ValueError unless 1 <= k <= number of rows with positive weight.

    >>> quantile_labels(np.array([5.0, 1.0, 2.0, 9.0]), 2).tolist()
    [1, 0, 0, 1]
    """
    rows = present_rows(x[:, None], k, weight)
    seen = np.ones(len(rows)) if weight is None else weight[rows]
    breaks = _quantiles(x[rows], seen, k)
    if np.all(np.diff(breaks) > 0):
        return _classes(x, breaks)
    distinct = np.unique(x[rows])
    if len(distinct) >= k:
        return _classes(x, _quantiles(distinct, np.ones(len(distinct)), k))
    order = np.argsort(x[rows], kind="stable")
    labels = np.zeros(len(x), dtype=np.int64)
    labels[rows[order]] = np.arange(len(rows)) * k // len(rows)
    return labels


def _classes(x: Array, breaks: Array) -> NDArray[np.int64]:
    return np.searchsorted(breaks[1:-1], x, side="right").astype(np.int64)


def _quantiles(x: Array, seen: Array, k: int) -> Array:
    """The k + 1 quantiles of x seen so often: of the repeated sample for whole numbers, between them for others."""
    order = np.argsort(x, kind="stable")
    seen = seen[order] / min(1.0, float(np.min(seen)))
    last = np.cumsum(seen) - 1.0
    place = np.column_stack([last - seen + 1.0, last]).reshape(-1)  # a row occupies the ranks first .. last
    value = np.repeat(x[order], 2)
    place, first = np.unique(place, return_index=True)
    return np.asarray(np.interp(np.arange(k + 1) * last[-1] / k, place, value[first]), dtype=np.float64)
