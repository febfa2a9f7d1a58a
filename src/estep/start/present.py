"""The rows that count: a row of weight 0 is treated as absent, and a weight is how often a row was seen.

present = { i : weight_i > 0 }
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array


def present_rows(X: Array, k: int, weight: Array | None = None) -> NDArray[np.int64]:
    """The indices of the rows with a positive weight, ascending; all rows where ``weight`` is None.

    X (n,d) finite, weight (n,) >= 0 and finite. Raises ValueError where they are not, and where fewer than k >= 1
    rows are present.

    >>> present_rows(np.zeros((3, 1)), 2, np.array([1.0, 0.0, 2.0])).tolist()
    [0, 2]
    """
    if X.ndim != 2 or not np.all(np.isfinite(X)):
        raise ValueError(f"X must be a finite matrix (n,d), got shape {X.shape}; fill in missing values first")
    if weight is not None and (weight.shape != (len(X),) or not np.all(np.isfinite(weight)) or np.any(weight < 0)):
        raise ValueError(f"weight must hold {len(X)} finite numbers >= 0, one a row, got shape {weight.shape}")
    rows = np.arange(len(X)) if weight is None else np.flatnonzero(weight > 0)
    if not 1 <= k <= len(rows):
        raise ValueError(f"k = {k} asked of {len(rows)} rows with positive weight; k must be between 1 and that number")
    return rows.astype(np.int64)


def comparable(*arrays: Array) -> tuple[Array, ...]:
    """The arrays, or all times one power of two where their squares would leave the range of float64.

    >>> comparable(np.array([2.0**900]), np.array([2.0**899]))
    (array([0.5]), array([0.25]))
    """
    largest = max(float(np.max(np.abs(values), initial=0.0)) for values in arrays)
    if largest == 0 or 1e-100 < largest < 1e100:
        return arrays
    return tuple(np.asarray(np.ldexp(values, -int(np.frexp(largest)[1]))) for values in arrays)


def distinct(X: Array, weight: Array | None = None) -> tuple[Array, Array]:
    """The distinct rows of X (n,d) in lexicographic order, and how often each was seen.

    Rules that draw from these give the same centres for weight 2 as for a row seen twice, and for rows in any order.

    >>> [part.tolist() for part in distinct(np.array([[2.0], [1.0], [2.0]]))]
    [[[1.0], [2.0]], [1.0, 2.0]]
    """
    rows, which = np.unique(X, axis=0, return_inverse=True)
    return rows, np.bincount(which.ravel(), weight, minlength=len(rows)).astype(np.float64)
