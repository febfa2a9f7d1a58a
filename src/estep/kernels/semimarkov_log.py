"""The recursions of a hidden semi-Markov chain in logs: best paths, draws of paths, and forward-backward without underflow.

    Viterbi    E_t(j) = max_i F_{t-1}(i) + log A_ij,   F_t(j) = max_d E_{t-d+1}(j) + sum logb + log p_j(d)
    draws      the last segment first: (j, d) in proportion to E_{T-d+1}(j) w R_j(d), then i to F_t(i) A_ij, d to E w p_i(d)
    forward    log E, log F, log O as sums of the same, of joint probabilities: nothing is scaled
    backward   log u, log v; counts from exp(log joint - log-likelihood)

Symbols as in ``semimarkov.py``; one sequence at a time, every probability in logs, rows component by component (k, n).
Ties go to the lowest state and the shortest segment.

Sources: Guedon (2003), J. Computational and Graphical Statistics 12:604; Yu (2010), Artificial Intelligence 174:215.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.chain_log import log_sum
from estep.kernels.lazy import compiled
from estep.kernels.semimarkov import Counts, Tables, running_sums

Path = NDArray[np.intp]


@compiled
def add_log(total: float, value: float) -> float:
    """``log(exp(total) + exp(value))``."""
    high, low = (total, value) if total > value else (value, total)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


@compiled
def log_forward(law: Tables, rows: Array, begun: Array, ended: Array, held: Array) -> int:
    """Fill log p(x_<t, a segment begins at t), log p(x_<=t, it ends at t) and log p(x_<=t, z_t), (k, n) each.

    Returns -1, or the first row that is impossible given those before it.
    """
    (k, longest), n = law.shares.shape, rows.shape[1]
    for t in range(n):
        top = -math.inf
        for j in range(k):
            begun[j, t] = law.start[j] if t == 0 else log_sum(ended[:, t - 1] + law.moves[:, j])
            f, o, w = -math.inf, -math.inf, 0.0
            if law.lasting[j]:
                o = add_log(held[j, t - 1] if t > 0 else -math.inf, begun[j, t]) + rows[j, t]
            else:
                for d in range(min(longest, t + 1)):
                    w += rows[j, t - d]
                    if w == -math.inf:
                        break
                    f = add_log(f, begun[j, t - d] + w + law.shares[j, d])
                    o = add_log(o, begun[j, t - d] + w + law.tails[j, d])
            ended[j, t], held[j, t] = f, o
            top = max(top, o)
        if not -math.inf < top < math.inf:
            return t
    return -1


@compiled
def log_ahead(law: Tables, rows: Array, begun: Array, held: Array, ahead: Array) -> None:
    """Fill ``ahead`` (k, n) with log p(x_<t, z_t): ``held`` without the row's own density."""
    (k, longest), n = law.tails.shape, rows.shape[1]
    for j in range(k):
        for t in range(n):
            ahead[j, t] = begun[j, t]
            w = 0.0
            if law.lasting[j]:
                ahead[j, t] = add_log(held[j, t - 1] if t > 0 else -math.inf, begun[j, t])
                continue
            for d in range(1, min(longest, t + 1)):
                w += rows[j, t - d]
                if w == -math.inf:
                    break
                ahead[j, t] = add_log(ahead[j, t], begun[j, t - d] + w + law.tails[j, d])


@compiled
def log_ending(law: Tables, rows: Array, begun: Array, held: Array, j: int) -> float:
    """log of the joint probability of all rows and of a last segment in state ``j``."""
    n, total, w = rows.shape[1], -math.inf, 0.0
    if law.lasting[j]:
        return float(held[j, n - 1])
    for d in range(min(law.closing.shape[1], n)):
        w += rows[j, n - 1 - d]
        if w == -math.inf:
            break
        total = add_log(total, begun[j, n - 1 - d] + w + law.closing[j, d])
    return total


@compiled
def log_backward(
    law: Tables, rows: Array, begun: Array, ended: Array, loglik: float, weight: float, resp: Array, sums: Counts
) -> None:
    """``semimarkov.backward`` of one sequence in logs; here counts have all their factors. ``ended`` is overwritten."""
    (k, longest), n = law.shares.shape, rows.shape[1]
    u, v = np.full((k, n), -math.inf), np.empty((k, n))
    for t in range(n - 1, -1, -1):
        for i in range(k if t < n - 1 else 0):
            u[i, t] = log_sum(law.moves[i] + v[:, t + 1])
            for j in range(k):
                sums.pairs[i, j] += weight * math.exp(ended[i, t] + law.moves[i, j] + v[j, t + 1] - loglik)
        for j in range(k):
            w, total = 0.0, -math.inf
            if law.lasting[j]:
                total = rows[j, t] + (v[j, t + 1] if t < n - 1 else 0.0)
            for d in range(0 if law.lasting[j] else min(longest, n - t)):
                w += rows[j, t + d]
                if w == -math.inf:
                    break
                goes_on = t + d < n - 1
                way = w + (law.shares[j, d] + u[j, t + d] if goes_on else law.closing[j, d])
                total = add_log(total, way)
                share = weight * math.exp(begun[j, t] + way - loglik)
                if goes_on:
                    sums.finished[j, d] += share
                else:
                    sums.running[j, d] += share
            v[j, t] = total
            resp[j, t] = weight * math.exp(begun[j, t] + total - loglik)
    for j in range(k):
        sums.first[j] += resp[j, 0]
        for t in range(n):
            ended[j, t] = weight * math.exp(ended[j, t] + u[j, t] - loglik)
    running_sums(resp, ended, 0, n)


@compiled
def best_path(law: Tables, rows: Array, path: Path) -> tuple[float, int]:
    """Fill ``path`` (n,) with the most probable one; returns its log p(x, z) and -1, or a row that nothing can reach."""
    (k, longest), n = law.shares.shape, rows.shape[1]
    begun, ended = np.empty((k, n)), np.full((k, n), -math.inf)
    source, length, since = np.zeros((k, n), np.int32), np.zeros((k, n), np.int32), np.zeros(k, np.int64)
    stay = np.full(k, -math.inf)
    value, state, lasts = -math.inf, -1, 0
    for t in range(n):
        reached = False
        for j in range(k):
            begun[j, t] = law.start[j] if t == 0 else -math.inf
            for i in range(k if t > 0 else 0):
                if ended[i, t - 1] + law.moves[i, j] > begun[j, t]:
                    begun[j, t], source[j, t] = ended[i, t - 1] + law.moves[i, j], i
            if law.lasting[j]:
                if begun[j, t] > stay[j]:
                    stay[j], since[j] = begun[j, t], t
                stay[j] += rows[j, t]
                reached = reached or stay[j] > -math.inf
                if t == n - 1 and stay[j] > value:
                    value, state, lasts = stay[j], j, t + 1 - since[j]
                continue
            w = 0.0
            for d in range(min(longest, t + 1)):
                w += rows[j, t - d]
                if w == -math.inf:
                    break
                way = begun[j, t - d] + w
                reached = reached or way > -math.inf
                if way + law.shares[j, d] > ended[j, t]:
                    ended[j, t], length[j, t] = way + law.shares[j, d], d + 1
                if t == n - 1 and way + law.closing[j, d] > value:
                    value, state, lasts = way + law.closing[j, d], j, d + 1
        if not reached:
            return value, t
    if not value > -math.inf:
        return value, n - 1
    trace_back(source, length, state, lasts, path)
    return value, -1


@compiled
def trace_back(source: NDArray[np.int32], length: NDArray[np.int32], state: int, lasts: int, path: Path) -> None:
    """Fill ``path`` from its last segment, ``lasts`` rows in ``state``, to the first."""
    t = path.size
    while t > 0:
        path[t - lasts : t] = state
        t -= lasts
        if t > 0:
            state = source[state, t]
            lasts = length[state, t - 1]


@compiled
def draw_path(law: Tables, rows: Array, begun: Array, ended: Array, held: Array, uniforms: Array, path: Path) -> None:
    """Draw a path from its posterior, the last segment first; one uniform, that of its last row, for each segment."""
    (k, longest), n = law.shares.shape, rows.shape[1]
    chances, t, after = np.empty(k), n - 1, -1
    while t >= 0:
        for j in range(k):
            if after < 0:
                chances[j] = log_ending(law, rows, begun, held, j)
            else:
                chances[j] = ended[j, t] + law.moves[j, after]
        state, left = picked(chances, uniforms[t])
        lasts = np.empty(t + 1 if law.lasting[state] else min(longest, t + 1))
        w = 0.0
        for d in range(lasts.size):
            w += rows[state, t - d]
            lasts[d] = begun[state, t - d] + w
            if not law.lasting[state]:
                lasts[d] += law.closing[state, d] if after < 0 else law.shares[state, d]
        d, left = picked(lasts, left)
        path[t - d : t + 1] = state
        t -= d + 1
        after = state


@compiled
def picked(logs: Array, uniform: float) -> tuple[int, float]:
    """An index in proportion to ``exp(logs)``, and what is left of ``uniform`` within its share, in [0, 1)."""
    share = np.exp(logs - logs.max())
    left, at = uniform * share.sum(), -1
    for i in range(share.size):
        if share[i] > 0.0 and (at < 0 or left >= 0.0):
            at = i
            if left < share[i]:
                break
            left -= share[i]
    return at, min(max(left / share[at], 0.0), 1.0 - 1e-16)
