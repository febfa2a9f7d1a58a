"""The ``count`` most probable paths of a hidden semi-Markov chain, segment by segment.

    E_t^r(j)   r-th largest over (i, s) of F_{t-1}^s(i) + log A_ij                           a segment in j begins at t
    F_t^r(j)   r-th largest over (d, s) of E_{t-d+1}^s(j) + sum logb + log p_j(d)            it ends at t
    last       r-th largest over (j, d, s) of E_{T-d+1}^s(j) + sum logb + log R_j(d)         (R_j = 1 where j is never left)

As every move goes to another state, segments and paths stand for one another, and no path comes twice. Each list is made by
merging sorted ones: the best entry that is left of any is next. Ties go to the lowest state and the shortest segment, as in
``semimarkov_log.best_path``, whose path is the first. Time grows with rows x states x count x (states + longest duration),
memory with rows x states x count.

Sources: Guedon (2007), Computational Statistics & Data Analysis 51:2379 (several most probable paths); Seshadri & Sundberg
(1994), IEEE Transactions on Communications 42:313 (list Viterbi).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.lazy import compiled
from estep.kernels.semimarkov import Tables

Integers = NDArray[np.int64]
Paths = NDArray[np.intp]


@compiled
def merged(lists: Array, gains: Array, most: int, values: Array, nodes: Integers) -> None:
    """Fill ``values`` and ``nodes`` (count,) with the largest of ``lists[i, s] + gains[i]`` for i < ``most``; node i count + s.

    Each ``lists[i]`` (count,) decreases. Where there are no more, values are -inf and nodes -1.
    """
    count, used = values.size, np.zeros(most, np.int64)
    for r in range(count):
        high, at = -math.inf, -1
        for i in range(most):
            if used[i] < count and lists[i, used[i]] + gains[i] > high:
                high, at = lists[i, used[i]] + gains[i], i
        values[r], nodes[r] = high, -1
        if at >= 0:
            nodes[r] = at * count + used[at]
            used[at] += 1


@compiled
def reached(rows: Array, j: int, t: int, logs: Array, gains: Array) -> int:
    """Fill ``gains`` with the log probability of rows t - d .. t in state ``j``, and of lasting so (``logs``); how many d."""
    w, most = 0.0, 0
    for d in range(min(logs.size, t + 1)):
        w += rows[j, t - d]
        if w == -math.inf:
            break
        gains[d], most = w + logs[d], d + 1
    return most


@compiled
def best_paths(law: Tables, rows: Array, values: Array, paths: Paths) -> None:
    """The most probable ``count`` paths of one sequence, ``rows`` (k, n): ``values`` (count,) decreasing, ``paths`` (count, n).

    Where there are fewer, the rest have value -inf and states -1.
    """
    (k, n), count = rows.shape, values.size
    begun, ended = np.full((k, n, count), -math.inf), np.full((k, n, count), -math.inf)
    source, length = np.full((k, n, count), -1, np.int64), np.full((k, n, count), -1, np.int64)
    gains, always = np.empty(n), np.zeros(n)
    for t in range(n):
        for j in range(k):
            if t == 0:
                begun[j, 0, 0] = law.start[j]
            else:
                merged(ended[:, t - 1], law.moves[:, j], k, begun[j, t], source[j, t])
        for j in range(k):
            if not law.lasting[j]:
                most = reached(rows, j, t, law.shares[j], gains)
                merged(begun[j, t - most + 1 : t + 1][::-1], gains, most, ended[j, t], length[j, t])
    last, ways = np.full((k, count), -math.inf), np.full((k, count), -1, np.int64)
    for j in range(k):
        most = reached(rows, j, n - 1, always if law.lasting[j] else law.closing[j], gains)
        merged(begun[j, n - most :][::-1], gains, most, last[j], ways[j])
    chosen = np.empty(count, np.int64)
    merged(last, np.zeros(k), k, values, chosen)
    for r in range(count):
        if chosen[r] < 0:
            paths[r] = -1
        else:
            trace_back(source, length, chosen[r] // count, ways[chosen[r] // count, chosen[r] % count], paths[r])


@compiled
def trace_back(source: Integers, length: Integers, state: int, way: int, path: Paths) -> None:
    """Fill ``path`` from its last segment, in ``state`` by ``way`` (its length less one, and the rank of its beginning)."""
    t, count = path.size, source.shape[2]
    while t > 0:
        lasts, rank = way // count + 1, way % count
        path[t - lasts : t] = state
        t -= lasts
        if t > 0:
            node = source[state, t, rank]
            state = node // count
            way = length[state, t - 1, node % count]
