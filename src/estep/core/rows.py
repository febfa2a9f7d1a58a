"""Rows of what a family or structure reads: an array, a sparse matrix, or a tuple of these that share their first axis."""

from __future__ import annotations

import math
from typing import Any


def take(x: Any, rows: Any) -> Any:
    """The given rows (a slice or indices).

    >>> take((["a", "b"], [1, 2]), slice(0, 1))
    (['a'], [1])
    """
    if isinstance(x, tuple):
        return tuple(take(part, rows) for part in x)
    return x[rows]


def count(x: Any) -> int:
    """How many rows there are.

    >>> count(([1, 2], [3, 4]))
    2
    """
    if isinstance(x, tuple):
        return count(x[0])
    return int(x.shape[0]) if hasattr(x, "shape") else len(x)


def width(x: Any) -> int:
    """Numbers in a row; of a sparse matrix those that it holds, on average and rounded up.

    >>> import numpy as np
    >>> width((np.zeros((3, 2)), np.zeros(3)))
    3
    """
    if isinstance(x, tuple):
        return sum(width(part) for part in x)
    if is_sparse(x):
        return int(math.ceil(x.nnz / max(x.shape[0], 1)))
    return int(math.prod(x.shape[1:])) if hasattr(x, "shape") else 1


def is_elsewhere(x: Any) -> bool:
    """Whether ``x`` has the shape of a matrix, while its rows are not in memory: in a file, or on other machines.

    It gives rows by slice or ascending numbers, and ``carrying(weight, allowed, given, n_jobs)``, the data plane of them all.
    """
    return bool(getattr(x, "elsewhere", False))


def is_sparse(x: Any) -> bool:
    """Whether ``x`` is a sparse matrix in compressed rows, as scipy's ``csr_array``; scipy is not loaded to ask."""
    return getattr(x, "format", None) == "csr" and hasattr(x, "nnz")
