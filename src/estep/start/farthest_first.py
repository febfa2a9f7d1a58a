"""Farthest-first traversal: greedy packing of k centres among the rows.

    c_1 at random;   c_(j+1) = argmax_i  min_(h <= j) |x_i - c_h|

The radius max_i min_h |x_i - c_h| is at most twice the smallest possible with k rows as centres. The traversal seeks
the extremes, so outliers become centres; ``kmeans_plusplus`` is milder.

Source: Gonzalez (1985) Theor. Comput. Sci. 38:293.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.start.nearest import squared_distances
from estep.start.present import comparable, present_rows


def farthest_first(
    X: Array, k: int, rng: np.random.Generator, weight: Array | None = None, first: int | None = None
) -> NDArray[np.int64]:
    """The indices (k,) of k different rows, each farthest from those before it, ties to the lowest index.

    X (n,d), weight (n,) >= 0: the first row is drawn in proportion to it (or is ``first``), rows of weight 0 are never
    chosen. Raises ValueError where there are fewer than k rows of positive weight or ``first`` is not one of them.
    Source: Gonzalez (1985).

    >>> X = np.array([[0.0], [1.0], [9.0], [5.0]])
    >>> farthest_first(X, 3, np.random.default_rng(0), first=0).tolist()
    [0, 2, 3]
    """
    rows = present_rows(X, k, weight)
    if first is not None and first not in rows:
        raise ValueError(f"first = {first} is not a row of positive weight; give one of 0 .. {len(X) - 1}")
    share = None if weight is None else weight[rows] / np.max(weight) / np.sum(weight[rows] / np.max(weight))
    (x,) = comparable(X[rows])
    chosen = [int(rng.choice(len(rows), p=share)) if first is None else int(np.searchsorted(rows, first))]
    distance = np.full(len(rows), np.inf)
    for _ in range(k - 1):
        np.minimum(distance, squared_distances(x, x[chosen[-1]]), out=distance)
        distance[chosen] = -1.0  # below every other row, also below a copy of a centre
        chosen.append(int(np.argmax(distance)))
    return np.asarray(rows[chosen], dtype=np.int64)
