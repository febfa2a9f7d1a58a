"""Random starts: k rows as centres, or random responsibilities.

    rows: successive draws without replacement, P(i) = w_i / (weight not drawn yet); repeated values are passed over
    responsibilities: each row is Dirichlet(1, ..., 1), uniform on the simplex

Source of drawing by exponential keys E_i / w_i: Efraimidis and Spirakis (2006) Inf. Process. Lett. 97:181.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.start.present import present_rows


def random_rows(X: Array, k: int, rng: np.random.Generator, weight: Array | None = None) -> NDArray[np.int64]:
    """The indices (k,) of k different rows, with k different values where the data has as many.

    X (n,d), weight (n,) >= 0 is a frequency; rows of weight 0 are never chosen. Raises ValueError where fewer than k
    rows have positive weight.

    >>> sorted(random_rows(np.array([[1.0], [1.0], [2.0]]), 2, np.random.default_rng(0)).tolist())[-1]
    2
    """
    rows = present_rows(X, k, weight)
    key = rng.exponential(size=len(rows))
    if weight is not None:
        key /= weight[rows] / np.max(weight)
    fresh: list[int] = []
    repeats: list[int] = []
    seen: set[bytes] = set()
    for i in rows[np.argsort(key, kind="stable")]:
        value = (X[i] + 0.0).tobytes()  # + 0.0: a negative zero is a zero
        (repeats if value in seen else fresh).append(int(i))
        seen.add(value)
        if len(fresh) == k:
            break
    return np.asarray((fresh + repeats)[:k], dtype=np.int64)


def random_responsibilities(n: int, k: int, rng: np.random.Generator) -> Array:
    """Responsibilities (n,k): each row uniform on the simplex, positive, summing to 1.

    Raises ValueError where n < 0 or k < 1.

    >>> random_responsibilities(2, 3, np.random.default_rng(0)).sum(axis=1).round(12).tolist()
    [1.0, 1.0]
    """
    if n < 0 or k < 1:
        raise ValueError(f"n = {n}, k = {k}; responsibilities need n >= 0 rows and k >= 1 components")
    resp = np.maximum(rng.exponential(size=(n, k)), np.finfo(np.float64).tiny)
    return np.asarray(resp / resp.sum(axis=1, keepdims=True))
