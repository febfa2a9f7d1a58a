"""Normal mixtures within active classes: each row meets only the components that matter to it.

For every row r, over its active components k in A_r (compressed rows: entries start[r] .. start[r + 1] of ``classes``):

    u = z_r - m_k,   l_k = log w_gk - 1/2 (d log 2 pi + log |Sigma_k| + |L_k^-1 u|^2)
    p_k = M_r exp(l_k) / sum_{j in A_r} exp(l_j),     objective += w_r M_r (log sum exp(l) - log M_r)
    sums_k += w_r p_k (1, u, u u'),                   counts_gk += w_r p_k

symbol   variable      shape
z        z             (d, n)
m        offset        (k, d)      means about the anchor of z
L^-1     whiten        (k, d, d)   lower triangular
log w    log_weights   (groups, k), group of row r: codes[r]
M, w     mass, weight  (n,)

Moments are about the components' own means, so that they lose no digits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.lazy import compiled

Integers = NDArray[np.intp]


@compiled
def active_pass(
    z: Array,
    start: Integers,
    classes: NDArray[np.integer],
    log_weights: Array,
    codes: Integers,
    offset: Array,
    whiten: Array,
    constant: Array,
    mass: Array,
    weight: Array,
) -> tuple[Array, Array, float]:
    """Sums (k, 1 + d + d (d + 1) / 2), counts (groups, k) and objective of a block of rows."""
    (d, n), k = z.shape, len(offset)
    sums = np.zeros((k, 1 + d + d * (d + 1) // 2))
    counts = np.zeros(log_weights.shape)
    most = (start[1:] - start[:-1]).max()
    u, logs = np.empty((most, d)), np.empty(most)
    objective = 0.0
    for r in range(n):
        first, held, g = start[r], start[r + 1] - start[r], codes[r]
        top = -np.inf
        for e in range(held):
            c = classes[first + e]
            for i in range(d):
                u[e, i] = z[i, r] - offset[c, i]
            distance = 0.0
            for i in range(d):
                y = 0.0
                for j in range(i + 1):
                    y += whiten[c, i, j] * u[e, j]
                distance += y * y
            logs[e] = log_weights[g, c] + constant[c] - 0.5 * distance
            top = max(top, logs[e])
        total = 0.0
        for e in range(held):
            logs[e] = math.exp(logs[e] - top)
            total += logs[e]
        objective += weight[r] * mass[r] * (top + math.log(total) - math.log(mass[r]))
        for e in range(held):
            c, p = classes[first + e], weight[r] * mass[r] * logs[e] / total
            counts[g, c] += p
            sums[c, 0] += p
            at = d + 1
            for i in range(d):
                pu = p * u[e, i]
                sums[c, 1 + i] += pu
                for j in range(i, d):
                    sums[c, at] += pu * u[e, j]
                    at += 1
    return sums, counts, objective
