"""Recursions of a profile hidden Markov model in logs: match, insert and silent delete states over one sequence.

    M_j(t) = e_j(x_t) + lse(M_{j-1}(t-1) + a_{j-1}^MM, I_{j-1}(t-1) + a_{j-1}^IM, D_{j-1}(t-1) + a_{j-1}^DM)
    I_j(t) = i_j(x_t) + lse(M_j(t-1) + a_j^MI, I_j(t-1) + a_j^II, D_j(t-1) + a_j^DI)
    D_j(t) =            lse(M_{j-1}(t) + a_{j-1}^MD, I_{j-1}(t) + a_{j-1}^ID, D_{j-1}(t) + a_{j-1}^DD)

M_0 is the beginning, before any letter; the end follows node L as M_{L+1} would. Delete states emit nothing, so that a row t is
gone through from left to right. ``best_*`` takes the largest way in place of the sum (ties: match, insert, delete).

symbol   variable      shape
e, i     match, insert (L, m + 1), (L + 1, m + 1)   logs; the last letter stands for unknown and is 0
a        moves         (L + 1, 3, 3)   logs, from and to match, insert, delete
M, I, D  ahead         (n + 1, L + 1, 3)
counts   pairs         (L + 1, 3, 3) expected moves;   emits (2, L + 1, m + 1) expected letters of match and insert states

Source: Krogh et al. (1994), J. Molecular Biology 235:1501; Durbin et al. (1998), sections 5.4 and 6.5.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.lazy import compiled

Codes = NDArray[np.int64]


@compiled
def log_of_three(a: float, b: float, c: float) -> float:
    """``log(exp(a) + exp(b) + exp(c))``."""
    top = max(a, b, c)
    if top == -math.inf:
        return top
    return top + math.log(math.exp(a - top) + math.exp(b - top) + math.exp(c - top))


@compiled
def profile_forward(codes: Codes, match: Array, insert: Array, moves: Array, ahead: Array) -> float:
    """Fill ``ahead`` with log p(x_1..t, state); gives the log-likelihood, -inf where no path leads through."""
    n, length = codes.size, match.shape[0]
    ahead[:] = -math.inf
    for t in range(n + 1):
        for j in range(length + 1):
            if t == 0 and j == 0:
                ahead[0, 0, 0] = 0.0
            if t > 0 and j > 0:
                f, a = ahead[t - 1, j - 1], moves[j - 1]
                ahead[t, j, 0] = match[j - 1, codes[t - 1]] + log_of_three(f[0] + a[0, 0], f[1] + a[1, 0], f[2] + a[2, 0])
            if t > 0:
                f, a = ahead[t - 1, j], moves[j]
                ahead[t, j, 1] = insert[j, codes[t - 1]] + log_of_three(f[0] + a[0, 1], f[1] + a[1, 1], f[2] + a[2, 1])
            if j > 0:
                f, a = ahead[t, j - 1], moves[j - 1]
                ahead[t, j, 2] = log_of_three(f[0] + a[0, 2], f[1] + a[1, 2], f[2] + a[2, 2])
    f, a = ahead[n, length], moves[length]
    return log_of_three(f[0] + a[0, 0], f[1] + a[1, 0], f[2] + a[2, 0])


@compiled
def profile_backward(
    codes: Codes,
    match: Array,
    insert: Array,
    moves: Array,
    ahead: Array,
    whole: float,
    weight: float,
    pairs: Array,
    emits: Array,
    resp: Array,
) -> None:
    """Add expected moves and letters, times ``weight``; fill ``resp`` (n, L + 1, 2) with p(match or insert state | x)."""
    n, length = codes.size, match.shape[0]
    after, row = np.full((length + 1, 3), -math.inf), np.full((length + 1, 3), -math.inf)
    for t in range(n, -1, -1):
        for j in range(length, -1, -1):
            to_match, to_insert, to_delete = -math.inf, -math.inf, -math.inf
            if j == length:
                if t == n:
                    to_match = 0.0
            else:
                if t < n:
                    to_match = match[j, codes[t]] + after[j + 1, 0]
                to_delete = row[j + 1, 2]
            if t < n:
                to_insert = insert[j, codes[t]] + after[j, 1]
            for s in range(3):
                a = moves[j, s]
                ways = (a[0] + to_match, a[1] + to_insert, a[2] + to_delete)
                row[j, s] = log_of_three(ways[0], ways[1], ways[2])
                here = ahead[t, j, s]
                if here > -math.inf:
                    for r in range(3):
                        if ways[r] > -math.inf:
                            pairs[j, s, r] += weight * math.exp(here + ways[r] - whole)
            if t > 0:
                for s in range(2):
                    share = math.exp(ahead[t, j, s] + row[j, s] - whole)
                    resp[t - 1, j, s] = share
                    emits[s, j, codes[t - 1]] += weight * share
        for j in range(length + 1):
            for s in range(3):
                after[j, s] = row[j, s]
                row[j, s] = -math.inf


@compiled
def way_of_three(a: float, b: float, c: float) -> int:
    """The largest of three; the first of equals."""
    if a >= b and a >= c:
        return 0
    return 1 if b >= c else 2


@compiled
def profile_best(codes: Codes, match: Array, insert: Array, moves: Array, ahead: Array, came: NDArray[np.int8]) -> float:
    """``profile_forward`` for the best path: ``came`` (n + 1, L + 1, 3) says from which kind of state; gives its log p."""
    n, length = codes.size, match.shape[0]
    ahead[:] = -math.inf
    for t in range(n + 1):
        for j in range(length + 1):
            if t == 0 and j == 0:
                ahead[0, 0, 0] = 0.0
            for to in range(3):
                if (to < 2 and t == 0) or (to != 1 and j == 0):
                    continue
                from_t, from_j = (t if to == 2 else t - 1), (j if to == 1 else j - 1)
                f, a = ahead[from_t, from_j], moves[from_j]
                way = way_of_three(f[0] + a[0, to], f[1] + a[1, to], f[2] + a[2, to])
                came[t, j, to] = way
                gain = 0.0 if to == 2 else (match[j - 1, codes[t - 1]] if to == 0 else insert[j, codes[t - 1]])
                ahead[t, j, to] = f[way] + a[way, to] + gain
    f, a = ahead[n, length], moves[length]
    way = way_of_three(f[0] + a[0, 0], f[1] + a[1, 0], f[2] + a[2, 0])
    came[0, 0, 0] = way
    return float(f[way] + a[way, 0])


@compiled
def profile_trace(came: NDArray[np.int8], path: Codes) -> int:
    """Steps of the best path from the last to the first: ``path`` (n + L, 2) holds node and kind; gives their number."""
    t, j, kind, steps = came.shape[0] - 1, came.shape[1] - 1, int(came[0, 0, 0]), 0
    while t > 0 or j > 0:
        path[steps, 0], path[steps, 1] = j, kind
        steps += 1
        before = int(came[t, j, kind])
        if kind != 2:
            t -= 1
        if kind != 1:
            j -= 1
        kind = before
    return steps
