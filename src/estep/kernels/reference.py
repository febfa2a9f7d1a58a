"""Reference twins: each reads like the paper and is never optimised. The tests compare the fast versions with them."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array


def agglomeration_criterion(X: Array, parts: list[list[int]], model: str) -> float:
    """The criterion of a partition ``parts`` of the rows of X (n,d), from its definition.

        VVV  sum m log(|W/m| + (tr W + t0)/m)      VII  sum m log((tr W + t0)/m)        t0 = tr(W of all rows)/(n d)
        EEE  |P| + tr P,  P = sum W / n            EII  sum tr W

    Sources: Banfield and Raftery (1993); Fraley (1998) SIAM J. Sci. Comput. 20:270.

    >>> agglomeration_criterion(np.array([[0.0], [2.0], [7.0]]), [[0, 1], [2]], "EII")
    2.0
    """
    n, d = X.shape
    t0 = np.trace(_scatter(X)) / (n * d)
    m = [len(part) for part in parts]
    W = [_scatter(X[part]) for part in parts]
    P = np.sum(W, axis=0) / n
    groups = list(zip(m, W, strict=True))
    value = {
        "VVV": lambda: sum(m * np.log(np.linalg.det(W / m) + (np.trace(W) + t0) / m) for m, W in groups),
        "VII": lambda: sum(m * np.log((np.trace(W) + t0) / m) for m, W in groups),
        "EEE": lambda: np.linalg.det(P) + np.trace(P),
        "EII": lambda: sum(np.trace(W) for _, W in groups),
    }[model]()
    return float(value)


def agglomerate_reference(X: Array, model: str) -> NDArray[np.int64]:
    """The n - 1 greedy merges (lowest rows of the two groups), the criterion computed anew for every candidate.

    >>> agglomerate_reference(np.array([[0.0], [5.0], [5.5]]), "EII").tolist()
    [[1, 2], [0, 1]]
    """
    parts = [[i] for i in range(len(X))]
    merges = []
    while len(parts) > 1:
        candidates = []
        for a, b in itertools.combinations(range(len(parts)), 2):
            rest = [part for g, part in enumerate(parts) if g not in (a, b)]
            union = sorted(parts[a] + parts[b])
            candidates.append((agglomeration_criterion(X, [*rest, union], model), a, b, sorted([*rest, union])))
        _, a, b, best = min(candidates)
        merges.append([parts[a][0], parts[b][0]])
        parts = best
    return np.asarray(merges, dtype=np.int64).reshape(-1, 2)


def _scatter(rows: Array) -> Array:
    centred = rows - rows.mean(axis=0)
    return np.asarray(centred.T @ centred)


def quadratic_forms_reference(z: Array, eta: Array) -> Array:
    """``c + sum_i z_i l_i + sum_{i<=j} q_ij z_i z_j`` for every row and component; z (1 + d, n) with ones first, (k, n)."""
    out = np.zeros((len(eta), z.shape[1]))
    for g, coefficients in enumerate(eta):
        for r in range(z.shape[1]):
            out[g, r] = coefficients @ _row_features(z[1:, r])
    return out


def quadratic_sums_reference(z: Array, weight: Array) -> Array:
    """``sum_r w[g, r] (1, z, z z')`` for every component; z (1 + d, n) with ones first, (k, width)."""
    d = len(z) - 1
    out = np.zeros((len(weight), 1 + d + d * (d + 1) // 2))
    for g, weights in enumerate(weight):
        for r, w in enumerate(weights):
            out[g] += w * _row_features(z[1:, r])
    return out


def _row_features(row: Array) -> Array:
    d = row.size
    return np.array([1.0, *row, *(row[i] * row[j] for i in range(d) for j in range(i, d))])
