"""Rows as a picture: finite numbers in columns, whatever a family reads. What start rules and searches compare rows by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.core.rows import is_sparse

MOST_COLUMNS = 256  # of a sparse picture, beyond which it is projected


def pictured(x: Any, features: Callable[[Any], Any] | None = None, seed: int = 0) -> Array:
    """``features(x)``, or ``x``, as a matrix (m, p) with NaN where nothing finite is known.

    Parts of a tuple stand side by side; many sparse columns become random projections.

    >>> pictured((np.array([[1.0], [2.0]]), np.array([3.0, np.inf]))).tolist()
    [[1.0, 3.0], [2.0, nan]]
    """
    seen: Any = x if features is None else features(x)
    if is_sparse(seen):
        if seen.shape[1] <= MOST_COLUMNS:
            seen = seen.toarray()
        else:
            seen = seen @ np.random.default_rng([seed, 7]).standard_normal((seen.shape[1], MOST_COLUMNS))
    parts = [np.array(part, dtype=float).reshape(len(part), -1) for part in (seen if isinstance(seen, tuple) else (seen,))]
    part = np.hstack(parts)
    part[np.isinf(part)] = np.nan
    return part
