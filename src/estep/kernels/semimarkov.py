"""Forward-backward on a hidden semi-Markov chain: scaled, segments of up to D rows, in O(T k (k + D)).

    a segment in state j that begins at s lasts d rows with probability p_j(d), then moves to i with A_ji  (A_jj = 0)

E-step   w_j(s..t) = prod_{u=s..t} l_u(j) / c_u,     c_t = p(x_t | x_<t) up to the factor taken out of l

    forward    E_t(j) = sum_i F_{t-1}(i) A_ij  (pi at first)      p(a segment of j begins at t | x_<t)
               F_t(j) = sum_d E_{t-d+1}(j) w(t-d+1..t) p_j(d)     p(a segment of j ends at t | x_<=t)
               O_t(j) = sum_d E_{t-d+1}(j) w(t-d+1..t) S_j(d)     p(z_t = j | x_<=t),   S_j(d) = P(D >= d);   sum_j O_t(j) = 1
    backward   u_t(i) = sum_j A_ij v_{t+1}(j),   v_t(j) = sum_d w(t..t+d-1) p_j(d) u_{t+d-1}(j) + w(t..T) R_j(T-t+1)
    counts     ended_j(d) = p_j(d) sum_t E_t(j) w(t..t+d-1) u_{t+d-1}(j),   running_j(d) = E_{T-d+1}(j) w R_j(d)
               resp_t(j) = resp_{t-1}(j) + E_t(j) v_t(j) - F_{t-1}(j) u_{t-1}(j)

The last segment has R = S where it may go on after the last row (right-censored), R = p where it ends there. A state that is
never left (``lasting``) has segments without an end. Both passes keep, for every segment that is still open, one running
product; a step multiplies all of them by one number, so that the inner loops run over neighbouring memory.

Products that fall below the smallest double are lost. Their share of anything is below 1e-300 LIMIT, because a sequence for
which a running product of the backward pass exceeds LIMIT, or a scale falls below FLOOR, is given back to its caller, who goes
through it in logs (``semimarkov_log.py``).

symbol   variable          shape
pi, A    start, moves      (k,), (k, k)
p, R     shares, closing   (k, D)   S: ``tails``
l        like              (k, n)   component by component, 1 at most
E, F     begun, ended      (k, n)
O        held              (k, n)
c        scale             (n,)

Sources: Guedon (2003), J. Computational and Graphical Statistics 12:604 (right-censored last segment, scaling);
Yu & Kobayashi (2003), IEEE Signal Processing Letters 10:11 (resp as a running sum).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.chain import FAST
from estep.kernels.lazy import compiled

FLOOR, LIMIT = 1e-100, 1e100
"""Smallest scale, and largest running product of the backward pass, for which scaled recursions are trusted."""
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]


@compiled(fastmath=FAST)
def open_segments(open_: Array, lo: int, hi: int, factor: float, shares: Array, tails: Array, at: int) -> tuple[float, float]:
    """Multiply ``open_[lo:hi]`` by ``factor``; returns their sums with ``shares[at:]`` and ``tails[at:]``."""
    ended, held = 0.0, 0.0
    for s in range(hi - lo):
        value = open_[lo + s] * factor
        open_[lo + s] = value
        ended += value * shares[at + s]
        held += value * tails[at + s]
    return ended, held


class Tables(NamedTuple):
    """The law as the kernels read it: probabilities, or (in ``semimarkov_log.py``) logs of these."""

    start: Array  # (k,)
    moves: Array  # (k, k)
    lasting: Flags  # (k,)
    shares: Array  # (k, D)
    tails: Array  # (k, D)
    closing: Array  # (k, D)


class Open(NamedTuple):
    """What the forward pass leaves: ``begun``, ``ended``, ``held`` (k, n), ``scale`` (n,)."""

    begun: Array
    ended: Array
    held: Array
    scale: Array


@compiled(fastmath=FAST)
def forward(law: Tables, cut: bool, like: Array, ends: Integers, out: Open, failed: Integers) -> int:
    """Fill ``out`` for sequences that end at ``ends``; returns how many failed.

    ``cut``: the last segment may go on after the last row; else the last scale includes the probability that it ends there.
    ``failed`` (s,) is -1, or the row whose scale is below FLOOR, after which nothing is filled.
    """
    k, longest = law.shares.shape
    back_shares, back_tails = law.shares[:, ::-1].copy(), law.tails[:, ::-1].copy()
    open_, stay, begin = np.empty((k, like.shape[1])), np.empty(k), 0
    for s in range(ends.size):
        shrink = 1.0
        stay[:] = 0.0
        failed[s] = -1
        for t in range(begin, ends[s]):
            low, total = max(begin, t - longest + 1), 0.0
            at = longest - 1 - (t - low)
            for j in range(k):
                e, b = law.start[j], like[j, t]
                if t > begin:
                    e = 0.0
                    for i in range(k):
                        e += out.ended[i, t - 1] * law.moves[i, j]
                out.begun[j, t] = e
                if law.lasting[j]:
                    stay[j] = (stay[j] * shrink + e) * b
                    f, o = 0.0, stay[j]
                else:
                    open_[j, t] = e / shrink
                    f, o = open_segments(open_[j], low, t + 1, b * shrink, back_shares[j], back_tails[j], at)
                out.ended[j, t], out.held[j, t] = f, o
                total += o
            out.scale[t] = total
            if not FLOOR <= total < math.inf:
                failed[s] = t
                break
            shrink = 1.0 / total
            for j in range(k):
                out.ended[j, t] *= shrink
                out.held[j, t] *= shrink
        if failed[s] < 0 and not cut:
            last = shrink * closing_mass(law, open_, stay, begin, ends[s])
            out.scale[ends[s] - 1] *= last
            if not last >= FLOOR:
                failed[s] = ends[s] - 1
        begin = ends[s]
    return (failed >= 0).sum()  # type: ignore[no-any-return]


@compiled(fastmath=FAST)
def closing_mass(law: Tables, open_: Array, stay: Array, begin: int, end: int) -> float:
    """Sum of all open segments, each with the probability of a last segment of its length."""
    total, low = 0.0, max(begin, end - law.closing.shape[1])
    for j in range(stay.size):
        if law.lasting[j]:
            total += stay[j]
        else:
            for s in range(low, end):
                total += open_[j, s] * law.closing[j, end - 1 - s]
    return total


@compiled(fastmath=FAST)
def closed_segments(
    closed: Array, lo: int, hi: int, factor: float, shares: Array, counts: Array, weight: float
) -> tuple[float, float]:
    """Multiply ``closed[lo:hi]`` by ``factor``, add ``weight`` times them to ``counts``; their sum with shares, and alone."""
    total, plain = 0.0, 0.0
    for d in range(hi - lo):
        value = closed[lo + d] * factor
        closed[lo + d] = value
        total += value * shares[d]
        plain += value
        counts[d] += weight * value
    return total, plain


class Counts(NamedTuple):
    """What the backward pass adds up: ``first`` (k,), ``pairs`` (k, k), ``finished`` and ``running`` (k, D)."""

    first: Array
    pairs: Array
    finished: Array
    running: Array


@compiled(fastmath=FAST)
def left_behind(law: Tables, v: Array, t: int, weight: float, ended: Array, u: Array, pairs: Array) -> None:
    """``u`` (k,) from ``v`` of the row after t; moves out of t go to ``pairs``, and ``ended`` gets their probability."""
    for i in range(v.size):
        u[i] = 0.0
        g = weight * ended[i, t]
        for j in range(v.size):
            u[i] += law.moves[i, j] * v[j]
            pairs[i, j] += g * v[j]
        ended[i, t] = g * u[i]


@compiled(fastmath=FAST)
def backward(
    law: Tables, like: Array, ends: Integers, seen: Open, weight: Array, resp: Array, sums: Counts, failed: Integers
) -> int:
    """Fill ``resp`` (k, n), weighted by ``weight`` (s,), for sequences that end at ``ends``; returns how many failed.

    Adds to ``sums``, of which ``pairs``, ``finished`` and ``running`` still lack the factors A, p and R. ``seen.ended`` becomes
    the (weighted) probability that a segment ends at each row. ``failed`` (s,) is set for a sequence that would lose digits;
    those, and those that failed before, add nothing.
    """
    k, longest = law.shares.shape
    closed, u, v, whole = np.empty((k, like.shape[1])), np.empty(k), np.zeros(k), np.empty(k)
    own = Counts(np.empty(k), np.empty((k, k)), np.empty((k, longest)), np.empty((k, longest)))
    for s in range(ends.size):
        begin, end = (ends[s - 1] if s > 0 else 0), ends[s]
        own.pairs[:], own.finished[:], own.running[:], whole[:] = 0.0, 0.0, 0.0, 1.0
        for t in range(end - 1, begin - 1 if failed[s] < 0 else end - 1, -1):
            shrink, plain, rest = 1.0 / seen.scale[t], 0.0, end - 1 - t
            if rest > 0:
                left_behind(law, v, t, weight[s], seen.ended, u, own.pairs)
            else:
                seen.ended[:, t] = 0.0
            for j in range(k):
                b, e, total = like[j, t] * shrink, weight[s] * seen.begun[j, t], 0.0
                whole[j] *= b
                plain += whole[j]
                if law.lasting[j]:
                    total = whole[j]
                else:
                    closed[j, t] = u[j]
                    if rest > 0:
                        high = min(t + longest, end - 1)
                        total, alone = closed_segments(closed[j], t, high, b, law.shares[j], own.finished[j], e)
                        plain += alone
                    if rest < longest:
                        total += whole[j] * law.closing[j, rest]
                        own.running[j, rest] += e * whole[j]
                v[j] = total
                resp[j, t] = e * total
            if not plain <= LIMIT:
                failed[s] = t
                break
        if failed[s] >= 0:
            resp[:, begin:end] = 0.0
        else:
            sums.first[:] += resp[:, begin]
            sums.pairs[:] += own.pairs
            sums.finished[:] += own.finished
            sums.running[:] += own.running
            running_sums(resp, seen.ended, begin, end)
    return (failed >= 0).sum()  # type: ignore[no-any-return]


@compiled
def running_sums(resp: Array, ended: Array, begin: int, end: int) -> None:
    """From probabilities that a segment begins (``resp``) and ends at each row to those that it covers the row, in place."""
    for j in range(resp.shape[0]):
        covered = 0.0
        for t in range(begin, end):
            covered = max(covered + resp[j, t], 0.0)
            resp[j, t] = covered
            covered -= ended[j, t]
