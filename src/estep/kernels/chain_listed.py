"""Forward-backward of ``chain.py`` where few moves are possible: through lists of predecessors and successors.

    alpha_t(j) = l_tj / c_{t-1} sum_{i before j} alpha_{t-1}(i) A_ij,      u_t(i) = sum_{j after i} A_ij v_{t+1}(j)

A step of a banded or left-to-right chain of k states takes a multiple of k operations, and not of k^2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.chain import FAST, FLOOR, RESCALED, Moves
from estep.kernels.lazy import compiled


@compiled(fastmath=FAST)
def forward(
    start: Array,
    moves: Moves,
    stop: Array,
    like: Array,
    ends: NDArray[np.int64],
    fresh: bool,
    final: bool,
    carry: Array,
    alpha: Array,
    scale: Array,
    failed: NDArray[np.int64],
) -> int:
    """``chain.forward``, through the predecessors of each state alone."""
    k, into, varying, begin = start.size, moves.into, moves.which.size > 0, 0
    heads, sources = moves.before, moves.sources
    for s in range(ends.size):
        end, total = ends[s], 1.0
        failed[s] = -1
        for t in range(begin, end):
            c, m = 0.0, (moves.which[t] if varying else 0)
            for j in range(k):
                a = start[j]
                if t > begin:
                    a = 0.0
                    for p in range(heads[j], heads[j + 1]):
                        a += alpha[t - 1, sources[p]] * into[m, j, sources[p]]
                elif s == 0 and not fresh:
                    a = 0.0
                    for p in range(heads[j], heads[j + 1]):
                        a += carry[sources[p]] * into[m, j, sources[p]]
                a *= like[t, j]
                alpha[t, j] = a
                c += a
            scale[t] = c / total
            if not FLOOR * total <= c < math.inf:
                failed[s] = t
                break
            total = c
            if c < RESCALED:
                alpha[t] /= c
                total = 1.0
        if failed[s] < 0 and (final or s < ends.size - 1):
            ending = (alpha[end - 1] * stop).sum()
            if not ending >= FLOOR * total:
                failed[s] = end - 1
            scale[end - 1] *= ending / total
        elif failed[s] < 0:
            carry[:] = alpha[end - 1] / total
        begin = end
    return (failed >= 0).sum()  # type: ignore[no-any-return]


@compiled(fastmath=FAST)
def backward(
    moves: Moves,
    stop: Array,
    like: Array,
    ends: NDArray[np.int64],
    final: bool,
    carry: Array,
    alpha: Array,
    weight: Array,
    resp: Array,
    failed: NDArray[np.int64],
) -> int:
    """``chain.backward``, through the successors of each state alone."""
    k, varying, u = stop.size, moves.which.size > 0, np.empty(stop.size)
    out, heads, targets = moves.out, moves.after, moves.targets
    for s in range(ends.size - 1, -1, -1):
        begin, final_row, total = (ends[s - 1] if s > 0 else 0), ends[s] - 1, 1.0
        for t in range(final_row, begin - 1 if failed[s] < 0 else final_row, -1):
            last, z, c, d = t == final_row and (final or s < ends.size - 1), 0.0, 0.0, 0.0
            m = moves.which[t + 1] if varying and not last else 0
            for i in range(k):
                a = stop[i]
                if t < final_row:
                    a = 0.0
                    for p in range(heads[i], heads[i + 1]):
                        a += out[m, i, targets[p]] * like[t + 1, targets[p]]
                elif not last:
                    a = 0.0
                    for p in range(heads[i], heads[i + 1]):
                        a += out[m, i, targets[p]] * carry[targets[p]]
                u[i] = a
                z += alpha[t, i] * a
                c += alpha[t, i]
            share, limit = weight[s] / z, FLOOR * c * total
            for i in range(k):
                resp[i, t] = alpha[t, i] * u[i] * share
                alpha[t, i] *= 0.0 if last else share
                like[t, i] *= u[i]
                d += like[t, i]
            if not (z >= limit and FLOOR * total <= d < math.inf):
                failed[s] = t
                break
            total = d
            if d < RESCALED:
                like[t] /= d
                total = 1.0
        if failed[s] >= 0:
            alpha[begin : ends[s]], like[begin : ends[s]], resp[:, begin : ends[s]] = 0.0, 0.0, 0.0
        elif s == 0:
            carry[:] = like[0] / total
    return (failed >= 0).sum()  # type: ignore[no-any-return]


@compiled(fastmath=FAST)
def add_pairs(moves: Moves, g: Array, v: Array, beyond: Array, pairs: Array) -> None:
    """``chain.add_pairs``, for the moves that there are alone."""
    n, k = g.shape
    heads, targets, m = moves.after, moves.targets, 0
    for t in range(n):
        if moves.which.size and t + 1 < moves.which.size:
            m = moves.which[t + 1]
        for i in range(k):
            for p in range(heads[i], heads[i + 1]):
                j = targets[p]
                pairs[m, i, j] += g[t, i] * (v[t + 1, j] if t < n - 1 else beyond[j])
