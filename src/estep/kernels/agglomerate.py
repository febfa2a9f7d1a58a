"""Agglomeration: merge, again and again, the two groups whose union raises a Gaussian criterion least.

A group g of m rows has mean mu and scatter W = sum (x - mu)(x - mu)'. The union of two groups has

    m = m_a + m_b,   mu = mu_a + (m_b/m) (mu_b - mu_a),   W = W_a + W_b + (m_a m_b / m) (mu_b - mu_a)(mu_b - mu_a)'

and the cost of a merge is term(a + b) - term(a) - term(b), where

    term(g) = m log( |W/m| + (tr W + t0)/m )    unconstrained               t0 = tr(W of all rows) / (n d)
    term(g) = m log( (tr W + t0)/m )            spherical, volumes differ
    term(g) = tr W                              spherical, one volume (Ward)

``t0`` keeps the term of a single row finite. |W/m| is zero while a group has too few rows to span d directions, and is
taken as zero where it is below 1e-13 of the product of its diagonal. The costs of all pairs are kept (n^2 numbers, of
which the lower triangle is used), together with the cheapest partner of each place, so a merge needs as many new costs
as there are groups: one sweep over the columns, in arrays, which at these sizes leaves nothing to compile.

Groups occupy the places 0, 1, ...; the union of a < b stays at a, and the group at the last place moves to b. Of equal
costs the pair with the highest b, then the highest a, is taken: the convention of the R package mclust, on whose
partitions rounded data with many ties would otherwise disagree.

| symbol | variable | shape |
|---|---|---|
| m, tr W, term(g) | size, trace, term | (n,) |
| mu | mean | (n, d) |
| W | scatter | (n, d, d) |
| cost of the pair a < b; lowest of a row and where | cost[b, a]; low, partner | (n, n); (n,) |

Sources: Banfield and Raftery (1993) Biometrics 49:803; Fraley (1998) SIAM J. Sci. Comput. 20:270.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import final

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.lazy import compiled

Places = NDArray[np.int64]
LOG_SINGULAR = math.log(1e-13)


@final
@dataclasses.dataclass(frozen=True)
class Groups:
    """The groups of one agglomeration: arrays that it overwrites, the first ``count`` places in use."""

    size: Array
    trace: Array
    term: Array
    mean: Array
    scatter: Array
    lowest_row: Places
    cost: Array
    low: Array
    partner: Places


Term = Callable[[Array, Array, Callable[[Places], Array], int, float], Array]


def ward_term(m: Array, trace: Array, scatter: Callable[[Places], Array], d: int, t0: float) -> Array:
    """term = tr W: m (s,), trace (s,), scatter(rows) gives W of some of them."""
    return trace


def spherical_term(m: Array, trace: Array, scatter: Callable[[Places], Array], d: int, t0: float) -> Array:
    """term = m log((tr W + t0)/m)."""
    return np.asarray(m * np.log((trace + t0) / m))


def unconstrained_term(m: Array, trace: Array, scatter: Callable[[Places], Array], d: int, t0: float) -> Array:
    """term = m log(|W/m| + (tr W + t0)/m)."""
    spread = np.log((trace + t0) / m)
    spans = np.flatnonzero(m > d)
    if len(spans):
        S = scatter(spans) / m[spans, None, None]
        with np.errstate(divide="ignore"):
            sign, volume = np.linalg.slogdet(S)
            singular = (sign <= 0) | (volume <= LOG_SINGULAR + np.sum(np.log(np.einsum("spp->sp", S)), axis=1))
        spread[spans] = np.logaddexp(spread[spans], np.where(singular, -np.inf, volume))
    return np.asarray(m * spread)


def agglomerate(X: Array, t0: float, term: Term) -> Places:
    """The n - 1 merges of the rows of X (n,d): the lowest rows of the two groups that become one, lower first.

    >>> agglomerate(np.array([[0.0], [5.0], [5.5]]), 1.0, ward_term).tolist()
    [[1, 2], [0, 1]]
    """
    n, d = X.shape
    single = term(np.ones(n), np.zeros(n), lambda rows: np.zeros((len(rows), d, d)), d, t0)
    g = Groups(
        size=np.ones(n),
        trace=np.zeros(n),
        term=np.array(single),
        mean=np.array(X, dtype=np.float64),
        scatter=np.zeros((n, d, d)),
        lowest_row=np.arange(n),
        cost=np.empty((n, n)),
        low=np.full(n, np.inf),
        partner=np.zeros(n, dtype=np.int64),
    )
    for b in range(1, n):
        g.cost[b, :b] = _union_costs(g, b, np.arange(b), term, t0)
        _find_partner(g, b)
    merges = np.empty((n - 1, 2), dtype=np.int64)
    for step in range(n - 1):
        last = n - 1 - step
        b = last - int(np.argmin(g.low[last::-1]))
        a = int(g.partner[b])
        merges[step] = sorted((g.lowest_row[a], g.lowest_row[b]))
        _join(g, a, b, last, term, t0)
        g.lowest_row[a] = merges[step, 0]
        _renew_costs(g, a, b, last, term, t0)
    return merges


def _union_costs(g: Groups, a: int, others: Places, term: Term, t0: float) -> Array:
    """cost(a + j) for every j in ``others``."""
    difference = g.mean[others] - g.mean[a]
    m = g.size[others] + g.size[a]
    c = g.size[others] * g.size[a] / m
    trace = g.trace[others] + g.trace[a] + c * np.einsum("jp,jp->j", difference, difference)

    def scatter(rows: Places) -> Array:
        u = difference[rows]
        between = c[rows, None, None] * u[:, :, None] * u[:, None, :]
        return np.asarray(g.scatter[others[rows]] + g.scatter[a] + between)

    return np.asarray(term(m, trace, scatter, g.mean.shape[1], t0) - g.term[others] - g.term[a])


def _find_partner(g: Groups, b: int) -> None:
    """The cheapest a < b, the highest of equals."""
    g.partner[b] = b - 1 - int(np.argmin(g.cost[b, :b][::-1])) if b else 0
    g.low[b] = g.cost[b, g.partner[b]] if b else np.inf


def _join(g: Groups, a: int, b: int, last: int, term: Term, t0: float) -> None:
    """Put the union of a and b at a, and the group at ``last`` with its costs at b."""
    m, difference = g.size[a] + g.size[b], g.mean[b] - g.mean[a]
    c = g.size[a] * g.size[b] / m
    g.trace[a] += g.trace[b] + c * (difference @ difference)
    g.scatter[a] += g.scatter[b] + c * np.outer(difference, difference)
    g.mean[a] += g.size[b] / m * difference
    g.size[a] = m
    here = slice(a, a + 1)
    g.term[here] = term(g.size[here], g.trace[here], lambda rows: g.scatter[here], g.mean.shape[1], t0)
    for values in (g.size, g.trace, g.term, g.mean, g.scatter, g.lowest_row):
        values[b] = values[last]
    g.cost[b, :b] = g.cost[last, :b]
    g.cost[b + 1 : last, b] = g.cost[last, b + 1 : last]


def _renew_costs(g: Groups, a: int, b: int, last: int, term: Term, t0: float) -> None:
    """The costs of the union at a, and the cheapest partners of all places below ``last``."""
    others = np.delete(np.arange(last), a)
    costs = _union_costs(g, a, others, term, t0)
    g.cost[a, :a], g.cost[a + 1 : last, a] = costs[:a], costs[a:]
    partner = g.partner[:last]
    stale = (partner == a) | (partner == b)
    stale[a] = True
    stale[b:][:1] = True
    stale[:a] = False
    for i in (a, b):
        rows = np.arange(i + 1, last)
        value = g.cost[rows, i]
        better = ~stale[rows] & ((value < g.low[rows]) | ((value == g.low[rows]) & (i > partner[rows])))
        g.low[rows[better]], g.partner[rows[better]] = value[better], i
    for j in np.flatnonzero(stale):
        _find_partner(g, int(j))
    g.low[last] = np.inf


@compiled
def nearest_pair(point: Array, size: Array) -> tuple[int, int]:
    """The pair i < j with the smallest size_i size_j / (size_i + size_j) |x_i - x_j|^2; ties to the highest j, i."""
    best, first, second = math.inf, 0, 0
    for j in range(1, point.shape[0]):
        for i in range(j):
            square = 0.0
            for p in range(point.shape[1]):
                square += (point[i, p] - point[j, p]) ** 2
            value = size[i] * size[j] / (size[i] + size[j]) * square
            if value <= best:
                best, first, second = value, i, j
    return first, second


def nearest_pair_in_arrays(point: Array, size: Array) -> tuple[int, int]:
    """The same pair as ``nearest_pair`` without compiling: for few points.

    >>> nearest_pair_in_arrays(np.array([[0.0], [5.0], [5.5]]), np.ones(3))
    (1, 2)
    """
    count = len(size)
    square = np.zeros((count, count))
    for column in point.T:
        square += (column - column[:, None]) ** 2
    value = np.where(np.tri(count, k=-1, dtype=bool), size * size[:, None] / (size + size[:, None]) * square, np.inf)
    at = count * count - 1 - int(np.argmin(value.reshape(-1)[::-1]))
    return at % count, at // count
