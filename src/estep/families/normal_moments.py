"""Anchored second moments of rows, one set a component: the statistics of every normal family.

For rows x_i with responsibilities r_ik about an anchor a_k, and f(z) = (1, z_1..z_d, z_1 z_1, z_1 z_2, .., z_d z_d):

    features_k = sum_i r_ik f(x_i - a_k)      logdet_k = sum_i r_ik

symbol     variable    shape
n_k        count       (k,)        features[:, 0]
s_k        total       (k, d)      features[:, 1:d+1]
S_k        second      (k, d, d)   upper triangle by rows; only its diagonal, (k, d), for diagonal structures
a_k        anchor      (k, d)      shared: equal in both terms of a sum
c_k        logdet      (k,)        weight of log |Sigma_k|: n_k for rows, its own for a conjugate prior

About an anchor near the component, plain sums are exact where raw sums of squares lose every digit. The anchor moves only
through ``reanchor``: z - (b - a) changes s and S by s -> s - n e, S -> S - s e' - e s' + n e e', e = b - a.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, record, shared


@record
class NormalStats:
    """Anchored moments by component; see the module's table."""

    features: Array
    logdet: Array
    anchor: Array = shared()

    @property
    def count(self) -> Array:
        """Weight of each component's rows for its mean, (k,)."""
        return self.features[:, 0]


@cache
def upper(d: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of each quadratic feature."""
    return np.triu_indices(d)


def width(d: int, diagonal: bool) -> int:
    """Number of features of a row of ``d`` values."""
    return 1 + 2 * d if diagonal else 1 + d + d * (d + 1) // 2


def features_of(z: Array, diagonal: bool) -> Array:
    """f(z) of every row, transposed: (d, n) -> (width, n).

    >>> features_of(np.array([[2.0], [3.0]]), diagonal=False).ravel().tolist()
    [1.0, 2.0, 3.0, 4.0, 6.0, 9.0]
    """
    d, n = z.shape
    out = np.empty((width(d, diagonal), n))
    out[0] = 1.0
    out[1 : d + 1] = z
    if diagonal:
        np.multiply(z, z, out=out[d + 1 :])
        return out
    at = d + 1
    for i in range(d):
        np.multiply(z[i], z[i:], out=out[at : at + d - i])
        at += d - i
    return out


def split(features: Array, d: int, diagonal: bool) -> tuple[Array, Array, Array]:
    """``count (k,), total (k, d), second (k, d, d) or (k, d)`` from summed features."""
    count, total, rest = features[:, 0], features[:, 1 : d + 1], features[:, d + 1 :]
    if diagonal:
        return count, total, rest
    rows, columns = upper(d)
    second = np.empty((len(features), d, d))
    second[:, rows, columns] = rest
    second[:, columns, rows] = rest
    return count, total, second


def join(count: Array, total: Array, second: Array) -> Array:
    """Summed features from their parts; the inverse of ``split``."""
    if second.ndim == 3:
        second = second[:, *upper(total.shape[1])]
    return np.concatenate([count[:, None], total, second], axis=1)


def about(count: Array, total: Array, second: Array, shift: Array) -> tuple[Array, Array]:
    """``total`` and ``second`` about ``anchor + shift``, shift (k, d)."""
    moved = total - count[:, None] * shift
    if second.ndim == 2:
        return moved, second - shift * (total + moved)
    cross = shift[:, :, None] * total[:, None, :]
    return moved, second - cross - cross.transpose(0, 2, 1) + count[:, None, None] * shift[:, :, None] * shift[:, None, :]


def reanchor(stats: NormalStats, anchor: Array, diagonal: bool) -> NormalStats:
    """The same moments about another anchor (k, d)."""
    d = stats.anchor.shape[1]
    count, total, second = split(stats.features, d, diagonal)
    total, second = about(count, total, second, anchor - stats.anchor)
    return NormalStats(join(count, total, second), stats.logdet, anchor)
