"""Model-based hierarchical clustering: a partition for every k from one tree of greedy merges.

Begin with every row as a group and merge, at each step, the two groups whose union raises least the criterion of the
classification likelihood (m, W: size and scatter of a group):

| model | criterion | groups are |
|---|---|---|
| VVV | sum m log( |W/m| + (tr W + t0)/m ),  t0 = tr(W of all rows)/(n d) | normals with any covariances |
| EEE | log( |P| + tr P ),  P = sum W / n | normals with one covariance |
| VII | sum m log( (tr W + t0)/m ) | spherical, volumes differ |
| EII | sum tr W | spherical, one volume (Ward) |

The traces keep the criterion finite while groups are too small to span the space; they have no unit in common with the
determinant, so the columns are first made comparable by ``scaled_svd``: centre, scale to unit variance (X_s), and with
X_s = U D V' return X_s V D^(-1/2), uncorrelated columns whose spreads are the square roots of those of the principal
components. EEE uses |P + u u'| = |P| + u' adj(P) u: the cheapest pair is Ward's after the linear map
L'L = adj(P) + I, made anew at every merge.

Memory is O(n^2), time O(n^2) (EEE: O(n^3)); ``hierarchical_labels`` builds the tree on at most ``max_rows`` rows and
gives the others the class of the highest normal density.

Sources: Banfield and Raftery (1993) Biometrics 49:803; Fraley (1998) SIAM J. Sci. Comput. 20:270; Scrucca and Raftery
(2015) Adv. Data Anal. Classif. 9:447 (the transformation).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import final

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.agglomerate import (
    Term,
    agglomerate,
    nearest_pair,
    nearest_pair_in_arrays,
    spherical_term,
    unconstrained_term,
    ward_term,
)
from estep.start.nearest import nearest_labels
from estep.start.present import comparable, present_rows

Labels = NDArray[np.int64]
FEW = 400  # rows up to which the search for a pair is not worth compiling


@final
@dataclasses.dataclass(frozen=True)
class MergeTree:
    """The merges of an agglomeration of n rows.

    Row (a, b) of ``merges`` (n-1, 2), a < b, says that the group whose lowest row is b joins the group whose lowest
    row is a.
    """

    merges: Labels
    n: int

    def cut(self, k: int) -> Labels:
        """The partition into k groups: labels (n,), 0 .. k-1 in the order of first appearance.

        Raises ValueError unless 1 <= k <= n.

        >>> MergeTree(np.array([[1, 2], [0, 1]]), 3).cut(2).tolist()
        [0, 1, 1]
        """
        if not 1 <= k <= self.n:
            raise ValueError(f"k = {k} groups asked of a tree of {self.n} rows; k must be between 1 and {self.n}")
        parent = np.arange(self.n)
        done = self.merges[: self.n - k]
        parent[done[:, 1]] = done[:, 0]
        for i in np.flatnonzero(parent < np.arange(self.n)):  # a parent has a lower index: its root is known
            parent[i] = parent[parent[i]]
        return np.unique(parent, return_inverse=True)[1].astype(np.int64)


def scaled_svd(X: Array) -> Array:
    """Uncorrelated, comparable columns: Z = X_s V D^(-1/2), X_s = U D V' the standardised columns.

    X (n,d) in any units -> Z (n,r), r <= d: directions without variance are dropped (r = 0 if all rows are equal).
    Raises ValueError where X is not a finite (n,d) matrix. Source: Scrucca and Raftery (2015), section 3.

    >>> Z = scaled_svd(np.array([[0.0, 1.0], [1.0, 3.0], [5.0, 11.0]]))
    >>> Z.shape
    (3, 1)
    """
    present_rows(X, 1)
    (X,) = comparable(X)
    centred = X - X.mean(axis=0)
    sd = np.sqrt(np.sum(centred**2, axis=0) / max(len(X) - 1, 1))
    varies = sd > 1e-13 * np.max(np.abs(X), axis=0, initial=0.0)
    standard: Array = centred[:, varies] / sd[varies]
    if standard.shape[1] == 0:
        return standard
    D, V = np.linalg.svd(standard, full_matrices=False)[1:]
    keep = D[0] * max(standard.shape) * np.finfo(np.float64).eps < D
    return np.asarray(standard @ V[keep].T / np.sqrt(D[keep]))


def merge_tree(X: Array, model: str = "VVV") -> MergeTree:
    """The tree of merges of the rows of X (n,d) by the criterion of ``model``: "VVV", "EEE", "VII" or "EII".

    The columns should be comparable (``scaled_svd``). Identical rows are legal. Raises ValueError where X is
    not a finite (n,d) matrix, n >= 1, where the model is unknown, or where the spread of the rows is so small or large
    that its square is no finite positive number.

    >>> merge_tree(np.array([[0.0], [10.0], [11.0], [0.2]])).cut(2).tolist()
    [0, 1, 1, 0]
    """
    if model not in CRITERIA:
        raise ValueError(f"model {model!r} is unknown; use one of {', '.join(CRITERIA)}")
    present_rows(X, 1)
    n = len(X)
    if not np.any(X - X[0]):
        return MergeTree(np.column_stack([np.zeros(n - 1, dtype=np.int64), np.arange(1, n)]), n)
    return MergeTree(CRITERIA[model](X), n)


def _mean_square(X: Array) -> float:
    """t0 = tr(W)/(n d)."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        t0 = float(np.mean((X - X.mean(axis=0)) ** 2))
    if not 0 < t0 < np.inf:
        raise ValueError(
            f"X has a mean squared deviation of {t0} in float64, so merges cannot be compared; "
            "rescale its columns first (scaled_svd)"
        )
    return t0


def _by_terms(term: Term) -> Callable[[Array], Labels]:
    def merges(X: Array) -> Labels:
        return agglomerate(X, _mean_square(X), term)

    return merges


def _by_pooled_covariance(X: Array) -> Labels:
    _mean_square(X)
    n, d = X.shape
    mean, size, lowest_row = np.array(X, dtype=np.float64), np.ones(n), np.arange(n)
    pooled = np.zeros((d, d))
    merges = np.empty((n - 1, 2), dtype=np.int64)
    for step in range(n - 1):
        last = n - 1 - step
        eigenvalues, Q = np.linalg.eigh(pooled)
        others = np.where(np.eye(d, dtype=bool), 1.0, np.maximum(eigenvalues, 0.0))
        nearest = nearest_pair_in_arrays if n <= FEW else nearest_pair
        a, b = nearest(mean[: last + 1] @ (Q * np.sqrt(1.0 + np.prod(others, axis=1))), size[: last + 1])
        merges[step] = sorted((lowest_row[a], lowest_row[b]))
        m, difference = size[a] + size[b], mean[b] - mean[a]
        pooled += size[a] * size[b] / m / n * np.outer(difference, difference)
        mean[a] += size[b] / m * difference
        size[a], lowest_row[a] = m, merges[step, 0]
        mean[b], size[b], lowest_row[b] = mean[last], size[last], lowest_row[last]
    return merges


CRITERIA: dict[str, Callable[[Array], Labels]] = {
    "VVV": _by_terms(unconstrained_term),
    "EEE": _by_pooled_covariance,
    "VII": _by_terms(spherical_term),
    "EII": _by_terms(ward_term),
}


def hierarchical_labels(
    X: Array,
    ks: Iterable[int],
    rng: np.random.Generator,
    *,
    model: str = "VVV",
    max_rows: int = 2000,
    transform: bool = True,
) -> dict[int, Labels]:
    """Labels (n,) for every k in ``ks``, from one tree: {k: labels}, labels 0 .. k-1.

    X (n,d) is transformed by ``scaled_svd`` unless ``transform`` is false. With n > max_rows the tree is built on a
    random subset; the other rows get the class of the largest N_g normal density (see ``discriminant_labels``).
    Raises ValueError where a k is below 1 or above the number of rows (of the subset), and as ``merge_tree`` does.

    >>> X = np.array([[0.0, 0.0], [0.1, 0.2], [5.0, 5.0], [5.2, 5.1]])
    >>> hierarchical_labels(X, [2], np.random.default_rng(0))[2].tolist()
    [0, 0, 1, 1]
    """
    if max_rows < 1:
        raise ValueError(f"max_rows = {max_rows}; the tree needs at least one row")
    Z = scaled_svd(X) if transform else X
    if len(Z) <= max_rows:
        tree = merge_tree(Z, model)
        return {k: tree.cut(k) for k in ks}
    chosen = np.sort(rng.choice(len(Z), size=max_rows, replace=False))
    tree = merge_tree(Z[chosen], model)
    labels = {}
    for k in ks:
        part = tree.cut(k)
        labels[k] = discriminant_labels(Z, Z[chosen], part, k)
        labels[k][chosen] = part
    return labels


def discriminant_labels(X: Array, known: Array, part: Labels, k: int) -> Labels:
    """The class of largest log m_g + log N(x; mean_g, S_g) for every row of X (n,d), from labelled rows known (r,d).

    S_g = W_g / m_g. A class that does not span the space borrows d + 1 rows' worth of the pooled covariance
    P = sum W / r: S_g = (W_g + (d + 1) P) / (m_g + d + 1). Where P is singular too: the nearest mean.

    >>> discriminant_labels(np.array([[0.4], [9.0]]), np.array([[0.0], [1.0], [8.0], [9.0]]), np.array([0, 0, 1, 1]), 2)
    array([0, 1])
    """
    d = X.shape[1]
    size = np.bincount(part, minlength=k).astype(np.float64)
    mean = np.array([known[part == g].mean(axis=0) for g in range(k)])
    centred = known - mean[part]
    pooled = centred.T @ centred / len(known)
    if _is_singular(pooled, pooled):
        return nearest_labels(X, mean)
    best, labels = np.full(len(X), -np.inf), np.zeros(len(X), dtype=np.int64)
    for g in range(k):
        scatter = centred[part == g].T @ centred[part == g]
        covariance = scatter / size[g]
        if size[g] <= d or _is_singular(covariance, pooled):
            covariance = (scatter + (d + 1) * pooled) / (size[g] + d + 1)
        root = np.linalg.cholesky(covariance)
        whitened = np.linalg.solve(root, (X - mean[g]).T)
        logb = np.log(size[g]) - np.sum(np.log(np.diag(root))) - 0.5 * np.sum(whitened**2, axis=0)
        higher = logb > best
        best[higher], labels[higher] = logb[higher], g
    return labels


def _is_singular(covariance: Array, pooled: Array) -> bool:
    """Whether a covariance is below 1e-8 of the pooled one in some direction (1e-12 of its own largest direction)."""
    if not covariance.size or not np.all(np.diag(covariance) > 1e-8 * np.diag(pooled)):
        return True
    eigenvalues = np.linalg.eigvalsh(covariance)
    return bool(eigenvalues[0] <= 1e-12 * eigenvalues[-1])
