"""Forward-backward on several independent chains behind one observation, in O(T M K^{M+1}): moves chain by chain.

    z_t = (z_1t, .., z_Mt),   chain m moves by A_m,   x_t | z_t ~ p(. | z_t)

The chains move independently, so the step alpha A_1 x .. x A_M of the product space is one sum along each axis:

    (alpha A)(.., b, ..) = sum_a alpha(.., a, ..) A_m(a, b)          m = 1 .. M in turn

E-step   alpha_t = (alpha_{t-1} A) l_t / c_t,   u_t = A v_{t+1},   v_t = l_t u_t (scaled),   resp_t = alpha_t u_t / z_t
         pairs_m(a, b) = A_m(a, b) sum_t sum_rest X_m(.., a, ..) Y_m(.., b, ..) / z_t
         X_m is alpha_t moved along the axes before m, Y_m is v_{t+1} moved (back) along the axes behind m
best     the same forward step with max and + of logs, and a pointer for every axis

Combinations are numbered with the last chain running fastest (the order of the Kronecker product). Where a scale falls below
FLOOR, or z_t does, the row is returned and the caller goes through the sequence in logs.

symbol   variable        shape
K_m      sizes           (M,)
A_m      moves           (M, K, K)    K the largest size
l        like            (n, k)       k the product of the sizes
alpha    alpha           (n, k)
xi       pairs           (M, K, K)    before the factor A
         first           (k,)

Source: Ghahramani & Jordan (1997), Machine Learning 29:245, section 3.1 and appendix B.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.lazy import compiled

FLOOR = 1e-100
"""Smallest scale for which scaled recursions are trusted."""
Integers = NDArray[np.int64]


@compiled
def moved(x: Array, moves: Array, size: int, inner: int, out: Array) -> None:
    """``out[.., b, ..] = sum_a x[.., a, ..] moves[a, b]`` along the axis of ``size`` states with ``inner`` behind it."""
    for outer in range(x.size // (size * inner)):
        base = outer * size * inner
        for b in range(size):
            for i in range(inner):
                out[base + b * inner + i] = 0.0
            for a in range(size):
                chance = moves[a, b]
                if chance != 0.0:
                    for i in range(inner):
                        out[base + b * inner + i] += x[base + a * inner + i] * chance


@compiled
def along(left: Array, right: Array, size: int, inner: int, weight: float, pairs: Array) -> None:
    """Add ``weight sum_rest left[.., a, ..] right[.., b, ..]`` to ``pairs[a, b]``."""
    for outer in range(left.size // (size * inner)):
        base = outer * size * inner
        for a in range(size):
            for b in range(size):
                total = 0.0
                for i in range(inner):
                    total += left[base + a * inner + i] * right[base + b * inner + i]
                pairs[a, b] += weight * total


@compiled
def forward(start: Array, moves: Array, sizes: Integers, like: Array, alpha: Array, scale: Array) -> int:
    """Fill ``alpha`` and ``scale`` for one sequence; returns -1, or the row whose scale is below FLOOR."""
    n, k = like.shape
    old, new = np.empty(k), np.empty(k)
    for t in range(n):
        if t == 0:
            old[:] = start
        else:
            old[:] = alpha[t - 1]
            inner = k
            for m in range(sizes.size):
                inner //= sizes[m]
                moved(old, moves[m], sizes[m], inner, new)
                old, new = new, old
        total = 0.0
        for j in range(k):
            old[j] *= like[t, j]
            total += old[j]
        scale[t] = total
        if not FLOOR <= total < math.inf:
            return t
        for j in range(k):
            alpha[t, j] = old[j] / total
    return -1


@compiled
def backward(
    moves: Array, sizes: Integers, like: Array, alpha: Array, weight: float, resp: Array, pairs: Array, back: Array
) -> int:
    """Fill ``resp`` (n, k), add to ``pairs``; ``back`` (M, K, K) are the moves transposed. Returns -1, or a row that fails."""
    n, k = like.shape
    chains = sizes.size
    later = np.ones((chains + 1, k))
    left, new, v = np.empty(k), np.empty(k), np.ones(k)
    for t in range(n - 1, -1, -1):
        if t < n - 1:
            later[chains] = v
            inner = 1
            for m in range(chains - 1, -1, -1):
                moved(later[m + 1], back[m], sizes[m], inner, later[m])
                inner *= sizes[m]
        z, total = 0.0, 0.0
        for j in range(k):
            z += alpha[t, j] * later[0, j]
        if not FLOOR <= z < math.inf:
            return t
        for j in range(k):
            resp[t, j] = weight * alpha[t, j] * later[0, j] / z
            v[j] = like[t, j] * later[0, j]
            total += v[j]
        if t < n - 1:
            left[:] = alpha[t]
            inner = k
            for m in range(chains):
                inner //= sizes[m]
                along(left, later[m + 1], sizes[m], inner, weight / z, pairs[m])
                moved(left, moves[m], sizes[m], inner, new)
                left, new = new, left
        if not 0.0 < total < math.inf:
            return t
        for j in range(k):
            v[j] /= total
    return -1


@compiled
def best(log_start: Array, log_moves: Array, sizes: Integers, rows: Array, path: NDArray[np.intp]) -> tuple[float, int]:
    """Fill ``path`` (n,) with the most probable combinations; returns log p(x, z) and -1, or a row that nothing can reach."""
    n, k = rows.shape
    chains = sizes.size
    pointer = np.zeros((n, chains, k), np.int16)
    old, new = log_start + rows[0], np.empty(k)
    if not old.max() > -math.inf:
        return -math.inf, 0
    for t in range(1, n):
        inner = k
        for m in range(chains):
            size = sizes[m]
            inner //= size
            for outer in range(k // (size * inner)):
                base = outer * size * inner
                for b in range(size):
                    for i in range(inner):
                        at = base + b * inner + i
                        new[at] = -math.inf
                        for a in range(size):
                            way = old[base + a * inner + i] + log_moves[m, a, b]
                            if way > new[at]:
                                new[at], pointer[t, m, at] = way, a
            old, new = new, old
        for j in range(k):
            old[j] += rows[t, j]
        if not old.max() > -math.inf:
            return -math.inf, t
    value, state = old.max(), old.argmax()
    for t in range(n - 1, -1, -1):
        path[t] = state
        if t == 0:
            break
        inner = 1
        for m in range(chains - 1, -1, -1):
            own = (state // inner) % sizes[m]
            state += (pointer[t, m, state] - own) * inner
            inner *= sizes[m]
    return value, -1


@compiled
def draw(moves: Array, sizes: Integers, alpha: Array, uniforms: Array, path: NDArray[np.intp]) -> None:
    """Draw a path of combinations given ``alpha``, the last row first; ``uniforms`` (n,) in [0, 1)."""
    n, k = alpha.shape
    share, after = np.empty(k), -1
    for t in range(n - 1, -1, -1):
        total = 0.0
        for j in range(k):
            share[j] = alpha[t, j]
            inner = 1
            if after >= 0 and share[j] > 0.0:
                for m in range(sizes.size - 1, -1, -1):
                    share[j] *= moves[m, (j // inner) % sizes[m], (after // inner) % sizes[m]]
                    inner *= sizes[m]
            total += share[j]
        left, state = uniforms[t] * total, -1
        for j in range(k):
            if share[j] > 0.0 and (state < 0 or left >= 0.0):
                state = j
            left -= share[j]
        path[t] = state
        after = state
