"""k-means++ seeding: centres drawn far from those already drawn.

    D_i^2 = min_(h <= j) |x_i - c_h|^2,     P(c_(j+1) = x_i) = w_i D_i^2 / sum w D^2

The paper draws one row a step. Here, as is usual in practice, 2 + floor(log k) rows are drawn and the one that leaves
the smallest sum w D^2 is kept (the greedy variant, mentioned in the paper's section 5); the first centre is one draw.

Source: Arthur and Vassilvitskii (2007) Proc. 18th ACM-SIAM Symp. Discrete Algorithms, 1027.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.start.nearest import squared_distances
from estep.start.present import comparable, present_rows


def kmeans_plusplus(X: Array, k: int, rng: np.random.Generator, weight: Array | None = None) -> NDArray[np.int64]:
    """The indices (k,) of k different rows by greedy k-means++.

    X (n,d), weight (n,) >= 0 is a frequency; rows of weight 0 are never chosen. With fewer than k distinct rows the
    rest are drawn evenly from the rows left. Raises ValueError where fewer than k rows have positive weight.
    Source: Arthur and Vassilvitskii (2007).

    >>> X = np.array([[0.0], [0.1], [50.0], [50.1]])
    >>> sorted((kmeans_plusplus(X, 2, np.random.default_rng(0)) // 2).tolist())
    [0, 1]
    """
    rows = present_rows(X, k, weight)
    w = np.ones(len(rows)) if weight is None else weight[rows] / np.max(weight)
    (x,) = comparable(X[rows])
    chosen = [_draw(w, 1, rng)[0]]
    distance = squared_distances(x, x[chosen[0]])
    trials = 2 + int(math.log(k))
    while len(chosen) < k:
        mass = w * distance
        if not np.any(mass > 0):
            left = np.setdiff1d(np.arange(len(rows)), chosen)
            chosen += rng.choice(left, size=k - len(chosen), replace=False).tolist()
            break
        best = math.inf
        for row in _draw(mass, trials, rng):
            closer = np.minimum(distance, squared_distances(x, x[row]))
            potential = float(w @ closer)
            if potential < best:
                best, kept, winner = potential, closer, row
        distance = kept
        chosen.append(winner)
    return np.asarray(rows[chosen], dtype=np.int64)


def _draw(mass: Array, size: int, rng: np.random.Generator) -> list[int]:
    """Rows drawn with replacement in proportion to ``mass``; none of mass 0."""
    total = np.cumsum(mass / np.max(mass))
    at = np.searchsorted(total, rng.random(size) * total[-1], side="right")
    return [int(i) for i in np.minimum(at, np.flatnonzero(mass)[-1])]
