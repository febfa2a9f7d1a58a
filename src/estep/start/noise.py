"""A first guess of the noise: rows whose neighbours are far.

r_i is the distance of row i to its K-th nearest neighbour, columns scaled to unit variance. In a dense part r is
small, in noise it is large: the values log r_i are split by a mixture of two normals,

    log r ~ p N(a, s^2) + (1 - p) N(b, t^2),   a < b,       noise = { i : P(second | log r_i) > 1/2, log r_i > a }

The split is believed if it describes the distances better than one normal by 3 log n in BIC's scale (three more
parameters), if the two means are more than 2 sqrt((s^2 + t^2)/2) apart (Ashman's D > 2) and if it marks less than 0.4
of the rows; otherwise the 5 percent of the rows with the largest r are marked.

Sources: Byers and Raftery (1998) J. Am. Stat. Assoc. 93:577 (neighbour distances in two groups; there r^d is gamma);
Ashman, Bird and Zepf (1994) Astron. J. 108:2348 (D).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.start.present import comparable, present_rows

REFERENCE_ROWS = 20_000
UNCLEAR_SHARE = 0.05
LARGEST_SHARE = 0.4
SEPARATION = 2.0


def noise_rows(
    X: Array, n_neighbours: int = 12, weight: Array | None = None, rng: np.random.Generator | None = None
) -> NDArray[np.bool_]:
    """Which rows look like noise: X (n,d) -> bool (n,), less than half of the rows.

    Rows of weight 0 are neither marked nor anyone's neighbour. With more than 20000 rows the neighbours are sought in
    a random subset (``rng``; a fixed seed if None). Where n_neighbours + 1 or fewer rows, or no two distinct ones, are
    present nothing is marked. Raises ValueError where X is not a finite (n,d) matrix or n_neighbours < 1.
    Source: after Byers and Raftery (1998).

    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.normal(size=(300, 2)) * 0.1, rng.uniform(-9, 9, size=(30, 2))])
    >>> noise = noise_rows(X)
    >>> bool(noise[300:].mean() > 0.9), bool(noise[:300].mean() < 0.05)
    (True, True)
    """
    if n_neighbours < 1:
        raise ValueError(f"n_neighbours = {n_neighbours}; at least one neighbour is needed")
    rows = present_rows(X, 1, weight)
    noise = np.zeros(len(X), dtype=np.bool_)
    if len(rows) > n_neighbours + 1:
        (x,) = comparable(X[rows])
        distance = _neighbour_distances(x, n_neighbours, rng or np.random.default_rng(0))
        noise[rows] = _far(distance)
    return noise


def _neighbour_distances(x: Array, n_neighbours: int, rng: np.random.Generator) -> Array:
    from scipy.spatial import cKDTree

    x = x - x.mean(axis=0)
    sd = np.sqrt(np.mean(x**2, axis=0))
    x = x[:, sd > 0] / sd[sd > 0]
    if not x.shape[1]:
        return np.zeros(len(x))
    known = np.arange(len(x))
    if len(x) > REFERENCE_ROWS:
        known = np.sort(rng.choice(len(x), size=REFERENCE_ROWS, replace=False))
    near = cKDTree(x[known]).query(x, k=n_neighbours + 1)[0]
    distance = near[:, n_neighbours - 1].copy()
    distance[known] = near[known, n_neighbours]  # a reference row is its own nearest neighbour
    return np.asarray(distance, dtype=np.float64)


def _far(distance: Array) -> NDArray[np.bool_]:
    if not np.any(distance > 0):
        return np.zeros(len(distance), dtype=np.bool_)
    y = np.log(np.maximum(distance, np.min(distance[distance > 0])))
    far = _upper_group(y)
    if far is None:
        cut = np.sort(y)[math.ceil((1 - UNCLEAR_SHARE) * len(y)) - 1]
        far = y > cut
    return far


def _upper_group(y: Array) -> NDArray[np.bool_] | None:
    """The upper of two normal groups of y (n,), or None where there are no two groups or the upper is too large."""
    n, sd = len(y), float(np.std(y))
    if sd == 0:
        return None
    upper = (y > np.quantile(y, 0.75)).astype(np.float64)
    before = -math.inf
    for _ in range(200):
        resp = np.stack([1.0 - upper, upper])
        count = resp.sum(axis=1)
        if np.any(count < 2):
            return None
        mean = resp @ y / count
        spread = np.maximum(np.sqrt(np.sum(resp * (y - mean[:, None]) ** 2, axis=1) / count), 1e-3 * sd)
        logb = np.log(count / n / spread)[:, None] - 0.5 * ((y - mean[:, None]) / spread[:, None]) ** 2
        total = np.logaddexp(logb[0], logb[1])
        upper = np.exp(logb[1] - total)
        loglik = float(np.sum(total))
        if loglik - before <= 1e-6 * n:
            break
        before = loglik
    one = -n * math.log(sd) - 0.5 * n
    apart = mean[1] - mean[0] > SEPARATION * math.sqrt(0.5 * float(np.sum(spread**2)))
    far = np.asarray((upper > 0.5) & (y > mean[0]))
    if not apart or 2 * (loglik - one) <= 3 * math.log(n) or not 0 < np.mean(far) < LARGEST_SHARE:
        return None
    return far
