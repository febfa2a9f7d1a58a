"""Equal rows counted once: distinct patterns and their weights, so that a pass costs what differs and not what is written.

    sum_i w_i f(row_i) = sum_p W_p f(pattern_p),   W_p = sum of w_i over the rows equal to pattern p

Rows are equal that agree in every number they carry; NaN equals NaN. A column of few whole numbers is a digit, NaN one more;
any other column is first replaced by the ranks of its values. Digits of mixed radices make one integer, the key. Where the
radices outgrow 63 bits the key so far is replaced by its ranks, of which there are at most as many as rows. The patterns come
in the order of their keys, so they do not depend on the order of the rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.core.rows import count, is_sparse

Codes = NDArray[np.int64]
WIDEST = 1 << 62
SMALL_RANGE = 1 << 16
COUNTED = 4  # keys below this many times the rows are counted in a table, others sorted


@dataclasses.dataclass(frozen=True)
class Patterns:
    """Distinct rows: ``first`` (m,) an occurrence of each, ``member`` (n,) the pattern of each row, ``weight`` (m,)."""

    first: NDArray[np.intp]
    member: NDArray[np.intp]
    weight: Array


def distinct(carried: Any, weight: Array | None = None) -> Patterns | None:
    """The distinct rows of ``carried``: arrays (n, ...) in nested tuples, None where there are none. None if one is sparse.

    >>> found = distinct((np.array([[1.0, np.nan], [0.0, 2.0], [1.0, np.nan]]), None))
    >>> found.first.tolist(), found.member.tolist(), found.weight.tolist()
    ([1, 0], [1, 0, 1], [1.0, 2.0])
    """
    arrays = list(_arrays(carried))
    if not arrays or any(is_sparse(array) for array in arrays):
        return None
    n = count(arrays[0])
    key, radix = np.zeros(n, dtype=np.int64), 1
    for column in _columns(arrays):
        digit, size = _digits(column)
        if radix * size >= WIDEST:
            key, radix = _ranks(key)
        if size == 1:
            continue
        key = digit if radix == 1 else key + radix * digit
        radix *= size
    return _counted(key, radix, weight)


def _counted(key: Codes, radix: int, weight: Array | None) -> Patterns:
    n = len(key)
    if radix > COUNTED * max(n, 1024):
        key, radix = _ranks(key)
    times = np.bincount(key, minlength=radix)
    seen = np.flatnonzero(times)
    rank = np.zeros(radix, dtype=np.intp)
    rank[seen] = np.arange(len(seen))
    first = np.zeros(radix, dtype=np.intp)
    first[key[::-1]] = np.arange(n - 1, -1, -1)
    total = times if weight is None else np.bincount(key, weight, minlength=radix)
    return Patterns(first[seen], rank[key], total[seen].astype(np.float64))


def _arrays(carried: Any) -> Iterator[Any]:
    if isinstance(carried, tuple):
        for part in carried:
            yield from _arrays(part)
    elif carried is not None:
        yield carried if is_sparse(carried) else np.asarray(carried)


def _columns(arrays: list[Any]) -> Iterator[NDArray[Any]]:
    """The columns of all arrays, each contiguous; a few at a time are copied out of a block of rows that sits in cache."""
    for array in arrays:
        matrix = array.reshape(len(array), int(np.prod(array.shape[1:], dtype=int)))
        for j in range(0, matrix.shape[1], 8):
            yield from np.ascontiguousarray(matrix[:, j : j + 8].T)


def _digits(column: NDArray[Any]) -> tuple[Codes, int]:
    """The column as integers 0 .. size - 1, equal where its values are; missing values come last."""
    if column.dtype.kind == "b":
        return column.astype(np.int64), 2
    if column.dtype.kind in "iu":
        low, high = int(column.min(initial=0)), int(column.max(initial=0))
        return (column.astype(np.int64) - low, high - low + 1) if high - low < SMALL_RANGE else _ranks(column)
    missing = np.isnan(column)
    some = bool(missing.any())
    values = np.where(missing, 0.0, column) if some else column
    low_value, high_value = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    if not high_value - low_value < SMALL_RANGE:
        digit, size = _ranks(values)
    else:
        digit, size = (values - low_value).astype(np.int64), int(high_value - low_value) + 1
        if not np.array_equal(digit + low_value, values):
            digit, size = _ranks(values)
    return (np.where(missing, size, digit), size + 1) if some else (digit, size)


def _ranks(values: NDArray[Any]) -> tuple[Codes, int]:
    found, rank = np.unique(values, return_inverse=True)
    return rank.reshape(-1).astype(np.int64), max(len(found), 1)
