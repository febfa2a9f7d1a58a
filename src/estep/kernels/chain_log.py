"""The recursions of a hidden Markov chain in logs: best paths, draws of paths, and forward-backward without underflow.

    Viterbi        best_t(j) = max_i best_{t-1}(i) + log A_ij + logb_tj,   back_t(j) = the first i that reaches it
    k best paths   the same with the ``count`` highest ways into every state (best_t(j, .) in decreasing order)
    draws          z_T ~ alpha_T stop,   z_t ~ alpha_t(i) A_{i, z_{t+1}}
    forward        la_t(j) = logb_tj + log sum_i exp(la_{t-1}(i) + log A_ij) - log c_t
    backward       lu_t(i) = log sum_j exp(log A_ij + lv_{t+1}(j)),   lv_t = logb_t + lu_t - max

Forward and backward follow ``chain.py`` step by step and stand in where its scaled numbers would lose digits.

symbol     variable     shape
logb       rows         (n, k)
log A      moves        as in ``chain.py``, entries in logs
back       back         (n, k)    the state before
best       carry        (k,)

Sources: Viterbi (1967), IEEE Trans. Inf. Theory 13:260; Rabiner (1989), Proc. IEEE 77:257, sections III.B and V.A;
Fruehwirth-Schnatter (1994), J. Time Series Analysis 15:183 (draws); Seshadri & Sundberg (1994), IEEE Trans. Commun. 42:313.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.chain import Moves
from estep.kernels.lazy import compiled


def logs_of(moves: Moves) -> Moves:
    """Transitions with their entries in logs."""
    with np.errstate(divide="ignore"):
        return moves._replace(out=np.log(moves.out), into=np.log(moves.into))


@compiled
def best_forward(
    start: Array,
    moves: Moves,
    rows: Array,
    begin: int,
    end: int,
    fresh: bool,
    carry: Array,
    back: NDArray[np.int32],
) -> int:
    """Viterbi over the rows begin..end-1: fills ``back``, moves ``carry`` on; returns -1 or a row that nothing can reach."""
    k, listed, m = start.size, moves.sources.size > 0, 0
    best = np.empty(k)
    for t in range(begin, end):
        top = -math.inf
        if moves.which.size:
            m = moves.which[t]
        for j in range(k):
            if fresh and t == begin:
                best[j], back[t, j] = start[j] + rows[t, j], 0
            else:
                high, at = -math.inf, 0
                if listed:
                    for p in range(moves.before[j], moves.before[j + 1]):
                        way = carry[moves.sources[p]] + moves.into[m, j, moves.sources[p]]
                        if way > high:
                            high, at = way, moves.sources[p]
                else:
                    for i in range(k):
                        way = carry[i] + moves.into[m, j, i]
                        if way > high:
                            high, at = way, i
                best[j], back[t, j] = high + rows[t, j], at
            top = max(top, best[j])
        if not top > -math.inf:
            return t
        for j in range(k):
            carry[j] = best[j]
    return -1


@compiled
def trace_back(back: NDArray[np.int32], begin: int, end: int, state: int, path: NDArray[np.intp]) -> int:
    """Fill ``path`` for the rows end-1..begin, the last in ``state``; returns the state before the first."""
    for t in range(end - 1, begin - 1, -1):
        path[t] = state
        state = back[t, state]
    return state


@compiled
def draw_back(
    moves: Moves,
    stop: Array,
    alpha: Array,
    begin: int,
    end: int,
    final: bool,
    after: int,
    uniforms: Array,
    path: NDArray[np.intp],
) -> int:
    """Draw the states of the rows end-1..begin given those after them; returns the first row's.

    ``alpha`` (n, k) holds log p(z_t | x_1..t). ``final``: a sequence ends here, else ``after`` is the state of the row after
    the last. ``uniforms`` (n,) in [0, 1).
    """
    k, m = stop.size, 0
    share = np.empty(k)
    for t in range(end - 1, begin - 1, -1):
        last = final and t == end - 1
        if moves.which.size and not last:
            m = moves.which[t + 1]
        top, total = -math.inf, 0.0
        for i in range(k):
            share[i] = alpha[t, i] + (stop[i] if last else moves.into[m, after, i])
            top = max(top, share[i])
        for i in range(k):
            share[i] = math.exp(share[i] - top)
            total += share[i]
        left, state = uniforms[t] * total, -1
        for i in range(k):
            if share[i] > 0.0 and (state < 0 or left >= 0.0):
                state = i
            left -= share[i]
        path[t] = state
        after = state
    return after


@compiled
def best_paths(start: Array, moves: Moves, stop: Array, rows: Array, values: Array, paths: NDArray[np.intp]) -> None:
    """The most probable ``count`` paths of one sequence: ``values`` (count,) decreasing, ``paths`` (count, n).

    Equal values keep the order of lower states before; where there are fewer paths the rest have value -inf.
    """
    n, k = rows.shape
    count, m = values.size, 0
    best = np.full((k, count), -math.inf)
    new = np.empty((k, count))
    back = np.zeros((n, k, count), np.int32)
    next_of = np.empty(k, np.int64)
    for j in range(k):
        best[j, 0] = start[j] + rows[0, j]
    for t in range(1, n):
        if moves.which.size:
            m = moves.which[t]
        for j in range(k):
            next_of[:] = 0
            for r in range(count):
                high, at = -math.inf, -1
                for i in range(k):
                    if next_of[i] < count and best[i, next_of[i]] + moves.into[m, j, i] > high:
                        high, at = best[i, next_of[i]] + moves.into[m, j, i], i
                if at < 0:
                    new[j, r], back[t, j, r] = -math.inf, 0
                else:
                    new[j, r], back[t, j, r] = high + rows[t, j], at * count + next_of[at]
                    next_of[at] += 1
        best[:] = new
    next_of[:] = 0
    for r in range(count):
        high, at = -math.inf, -1
        for i in range(k):
            if next_of[i] < count and best[i, next_of[i]] + stop[i] > high:
                high, at = best[i, next_of[i]] + stop[i], i
        values[r] = high
        if at < 0:
            paths[r, :] = -1
            continue
        node = at * count + next_of[at]
        next_of[at] += 1
        for t in range(n - 1, -1, -1):
            paths[r, t] = node // count
            node = back[t, node // count, node % count]


@compiled
def log_sum(values: Array) -> float:
    """``log sum exp(values)``."""
    top = -math.inf
    for value in values:
        top = max(top, value)
    if top == -math.inf:
        return top
    total = 0.0
    for value in values:
        total += math.exp(value - top)
    return float(top + math.log(total))


@compiled
def log_forward(
    start: Array,
    moves: Moves,
    stop: Array,
    rows: Array,
    fresh: bool,
    final: bool,
    carry: Array,
    alpha: Array,
    scale: Array,
) -> int:
    """``chain.forward`` of one sequence, or block of one, in logs: ``alpha`` is log p(z_t | x_1..t), ``scale`` log c_t.

    Returns -1, or the first row that is impossible given those before it.
    """
    n, k = rows.shape
    ways, m = np.empty(k), 0
    before = carry.copy()
    for t in range(n):
        if moves.which.size:
            m = moves.which[t]
        for j in range(k):
            if fresh and t == 0:
                alpha[t, j] = start[j] + rows[t, j]
            else:
                for i in range(k):
                    ways[i] = before[i] + moves.into[m, j, i]
                alpha[t, j] = log_sum(ways) + rows[t, j]
        c = log_sum(alpha[t])
        if not -math.inf < c < math.inf:
            return t
        for j in range(k):
            alpha[t, j] -= c
            before[j] = alpha[t, j]
        scale[t] = c
    if final:
        ending = log_sum(before + stop)
        if not ending > -math.inf:
            return int(n - 1)
        scale[n - 1] += ending
    carry[:] = before
    return -1


@compiled
def log_backward(
    moves: Moves,
    stop: Array,
    rows: Array,
    final: bool,
    carry: Array,
    alpha: Array,
    weight: float,
    resp: Array,
    pairs: Array,
) -> None:
    """``chain.backward`` of one sequence, or block of one, in logs; ``pairs`` (m, k, k) get the factor A at once."""
    n, k = rows.shape
    ways, u, m = np.empty(k), np.empty(k), 0
    after = carry.copy()
    for t in range(n - 1, -1, -1):
        last = final and t == n - 1
        if moves.which.size and not last:
            m = moves.which[t + 1]
        for i in range(k):
            if last:
                u[i] = stop[i]
            else:
                for j in range(k):
                    ways[j] = moves.out[m, i, j] + after[j]
                u[i] = log_sum(ways)
        z = log_sum(alpha[t] + u)
        for i in range(k):
            resp[i, t] = weight * math.exp(alpha[t, i] + u[i] - z)
            if not last and alpha[t, i] > -math.inf:
                for j in range(k):
                    pairs[m, i, j] += weight * math.exp(alpha[t, i] + moves.out[m, i, j] + after[j] - z)
        top = -math.inf
        for i in range(k):
            after[i] = rows[t, i] + u[i]
            top = max(top, after[i])
        for i in range(k):
            after[i] -= top
    carry[:] = after
