"""Forward-backward on a hidden Markov chain: scaled, one pass each way, pair counts added up and never stored by step.

    z_1 ~ pi,   z_t | z_{t-1} = i ~ A_i,   x_t | z_t = k ~ p(. | theta_k),   l_tk = e^{logb_tk - max_k logb_tk}

E-step

    alpha_1 = pi l_1,   alpha_t = (alpha_{t-1} A) l_t,   c_t = sum alpha_t / sum alpha_{t-1}
    log p(x_t | x_<t) = log c_t + max_k logb_tk
    u_T = stop (ones),  u_t = A v_{t+1},   v_t = l_t u_t
    z_t = alpha_t . u_t,   resp_t = alpha_t u_t / z_t,   pairs_ij = A_ij sum_t alpha_ti v_{t+1,j} / z_t

A row of alpha or v whose sum falls below RESCALED is divided by it, which leaves every result alone; it happens once in many
steps, so that no division is on the path from one step to the next. Numbers that fall below the smallest double are lost, which
matters only to paths that the rest of the sequence makes likely again. With factors of at most one, the likelihood that is lost
at t is below 1e-308 / (RESCALED FLOOR) of that of all paths as long as c_t, the same for v, and z_t / (sum alpha_t sum v_{t+1})
are above FLOOR: below it a kernel returns the row, and its caller turns to ``chain_log.py``.

A transition matrix may change with time (``which[t]`` names the one that leads into row t), and one with many zeros is gone
through by lists of predecessors and successors (``chain_listed.py``).

symbol   variable         shape
pi       start            (k,)
A        moves.out        (m, k, k)   ``moves.into`` the same transposed
l        like             (n, k)
alpha    alpha            (n, k)
c        scale            (n,)
v        carry            (k,)
         columns, resp    (k, n)      component by component, as families give and read them
         pairs            (m, k, k)   before the factor A: the sum of outer products of weight alpha_t / z_t and v_{t+1}

Sources: Rabiner (1989), Proc. IEEE 77:257, sections III and V.A; Devijver (1985), Pattern Recognition Letters 3:369 (scaled).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.lazy import compiled

FLOOR, RESCALED = 1e-100, 1e-30
"""Smallest scale for which scaled recursions are trusted; sum below which a row is divided by it."""
SPARSE_STATES, SPARSE_SHARE = 8, 0.25
"""From how many states on, and up to which share of entries that are not zero, transitions are gone through by lists."""
TILE_VALUES = 1 << 15
FAST = {"contract", "reassoc", "nsz", "arcp"}


class Moves(NamedTuple):
    """Transitions as the kernels read them; lists are empty where all entries are gone through."""

    out: Array  # (m, k, k)
    into: Array  # (m, k, k), transposed
    which: NDArray[np.int64]  # (n,) the matrix that leads into each row, or (0,): always the first
    before: NDArray[np.int64]  # (k + 1,) where the predecessors of each state begin in ``sources``
    sources: NDArray[np.int64]
    after: NDArray[np.int64]  # (k + 1,) where the successors of each state begin in ``targets``
    targets: NDArray[np.int64]

    def part(self, rows: slice) -> Moves:
        """Those of some rows, and of the one after them."""
        return self if self.which.size == 0 else self._replace(which=self.which[rows.start : rows.stop + 1])


def moves_of(transmat: Array, which: NDArray[np.int64] | None = None) -> Moves:
    """``transmat`` (k, k), or (m, k, k) with the matrix that leads into each row, as the kernels read it.

    >>> moves_of(np.eye(2)).into.shape
    (1, 2, 2)
    """
    out = np.ascontiguousarray(transmat.reshape(-1, *transmat.shape[-2:]), dtype=float)
    k, nothing = out.shape[-1], np.empty(0, dtype=np.int64)
    into = np.ascontiguousarray(out.transpose(0, 2, 1))
    which = nothing if which is None else np.ascontiguousarray(which, dtype=np.int64)
    present = (out != 0).any(axis=0)
    if k < SPARSE_STATES or present.mean() > SPARSE_SHARE:
        return Moves(out, into, which, nothing, nothing, nothing, nothing)
    return Moves(out, into, which, *_lists(present.T), *_lists(present))


def _lists(present: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, columns = np.nonzero(present)
    return np.searchsorted(rows, np.arange(len(present) + 1)).astype(np.int64), columns.astype(np.int64)


def likelihoods(columns: Array, like: Array, top: Array) -> None:
    """``like[t, k] = exp(columns[k, t] - top[t])`` with ``top`` (n,), which is filled, the largest of each row.

    A row without any finite value has ``top`` 0 and is 0 throughout.
    """
    k, n = columns.shape
    step = max(TILE_VALUES // k, 64)
    gap = np.empty((k, min(step, n)))
    for at in range(0, n, step):  # a tile stays in cache from the largest of a row to its exponentials
        part, high = columns[:, at : at + step], top[at : at + step]
        left = gap[:, : part.shape[1]]
        np.maximum.reduce(part, axis=0, out=high)
        high[high == -np.inf] = 0.0
        np.subtract(part, high, out=left)
        like[at : at + step] = np.exp(left, out=left).T


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
    """Fill ``alpha`` and ``scale`` for sequences that end at ``ends``; returns how many failed.

    ``fresh``: the first row begins a sequence, else ``carry`` (k,) is the filtered distribution before it; ``final``: the last
    row ends one, else ``carry`` becomes its filtered distribution. Where a sequence ends, its last scale includes the
    probability of ending. ``failed`` (s,) is -1, or the row whose scale is below FLOOR, after which nothing is filled.
    """
    k, into, varying, begin = start.size, moves.into, moves.which.size > 0, 0
    for s in range(ends.size):
        end, total = ends[s], 1.0
        failed[s] = -1
        for t in range(begin, end):
            c, m = 0.0, (moves.which[t] if varying else 0)
            for j in range(k):
                a = start[j]
                if t > begin:
                    a = 0.0
                    for i in range(k):
                        a += alpha[t - 1, i] * into[m, j, i]
                elif s == 0 and not fresh:
                    a = 0.0
                    for i in range(k):
                        a += carry[i] * into[m, j, i]
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
    """Fill ``resp`` (k, n) for sequences that end at ``ends``, weighted by ``weight`` (s,); returns how many failed.

    ``alpha`` is what ``forward`` left; it becomes ``weight alpha_t / z_t``, ``like`` becomes v, and alpha of the last row of a
    sequence zero, so that ``pairs`` are a sum of outer products over neighbouring rows. ``final``: the last row ends a
    sequence, else ``carry`` (k,) is v of the row after it; ``carry`` becomes v of the first row. ``failed`` (s,) is set for a
    sequence that would lose digits; those, and those that failed before, are zero everywhere.
    """
    k, out, varying, u = stop.size, moves.out, moves.which.size > 0, np.empty(stop.size)
    for s in range(ends.size - 1, -1, -1):
        begin, final_row, total = (ends[s - 1] if s > 0 else 0), ends[s] - 1, 1.0
        for t in range(final_row, begin - 1 if failed[s] < 0 else final_row, -1):
            last, z, c, d = t == final_row and (final or s < ends.size - 1), 0.0, 0.0, 0.0
            m = moves.which[t + 1] if varying and not last else 0
            for i in range(k):
                a = stop[i]
                if t < final_row:
                    a = 0.0
                    for j in range(k):
                        a += out[m, i, j] * like[t + 1, j]
                elif not last:
                    a = 0.0
                    for j in range(k):
                        a += out[m, i, j] * carry[j]
                u[i] = a
                z += alpha[t, i] * a
                c += alpha[t, i]
            share, limit = weight[s] / z, FLOOR * c * total
            for i in range(k):
                g = alpha[t, i] * share
                resp[i, t] = g * u[i]
                alpha[t, i] = 0.0 if last else g
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
    """Add ``g_t v_{t+1}'`` over all rows, to the matrix that leads from t to t + 1; ``beyond`` (k,) is v after the last row."""
    n, k = g.shape
    m, t = 0, 0
    if moves.which.size == 0:
        for t in range(0, n - 4, 4):
            for i in range(k):
                a, b, c, d = g[t, i], g[t + 1, i], g[t + 2, i], g[t + 3, i]
                for j in range(k):
                    pairs[0, i, j] += a * v[t + 1, j] + b * v[t + 2, j] + c * v[t + 3, j] + d * v[t + 4, j]
        t = max(n - 1, 0) // 4 * 4
    for r in range(t, n):
        if moves.which.size and r + 1 < moves.which.size:
            m = moves.which[r + 1]
        after = v[r + 1] if r < n - 1 else beyond
        for i in range(k):
            for j in range(k):
                pairs[m, i, j] += g[r, i] * after[j]
