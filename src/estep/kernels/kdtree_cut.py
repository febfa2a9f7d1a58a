"""Which nodes of a kd-tree stand for their rows, by a bound on the error, and the points that stand for a node.

The joint log densities of a row are quadratic, l_k(c + u) = l_k(c) + b_k'u - u'P_k u / 2, and what a pass adds up is
g = log sum_k exp(l_k) and r_k = exp(l_k - g) times 1, u, uu'. A node of weight W is replaced by d + 1 points

    c +- sqrt(d) L s_j,   weight W / (d + 1) each,   C = L L',   s_j the corners of a regular simplex

which have its weight, centroid and covariance. What they get wrong is bounded over the region that holds rows and points.
m is the most probable class at c; D_k is the slope of l_k along u and Y_k = D_k - D_m = (b_k - b_m)'u - t u'(P_k - P_m)u at tu.

    e^{s_k}    with s_k the highest l_k - l_m over the region (``highest``): r_k <= p_k = 1 / (1 + e^{-s_k})
    dropped    classes with e^{s_k} below ``negligible`` / k, together rho: they add log(1 + .) <= rho to g, <= rho to any r_k
    the rest   g along u has third derivative kappa_3(D) + 3 Cov(D, Q), Q_k = -u'P_k u; kappa_3 <= range(D) Var(D),
               Var(D) <= sum_k p_k Y_k^2, Var(Q) <= sum_k p_k (u'(P_k - P_m)u)^2; of two classes kappa_3 = p (1 - p)(1 - 2p) Y^3

Rows and points agree to second order, so each may miss a sixth of that, and a node's g is off by at most

    W e,   e = rho + (E|kappa_3| + 3 E|Cov|) / 3      E|u|^3 <= max|u| E u^2, and E uu' = C for rows and points alike

In the same way from r_k' = r_k (D_k - D), r_k'' and r_k''': the counts, first and second moments about the centroid. With one
class left everything is exact. A budget goes down the tree, B = tau W at the root, shared between children as W^a V^{1-a},
V the volumes of their boxes, a = d / (d + 3), which is about what the best nodes would use of it; a node is kept whole where
W e <= B, so that all errors add to at most tau a row. Nodes of d + 1 rows or fewer, and leaves that are still too coarse,
give their rows.

Sources: Moore (1999), NIPS 11:543 (nodes, bounds, pruning); the moment-matched points are a degree-2 cubature, Stroud (1971),
Approximate Calculation of Multiple Integrals, section 3.9.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.lazy import compiled

LOG_TINY = -745.0  # exp of less is zero
CUBIC = 0.09622504486493764  # the highest p (1 - p)(1 - 2p), at CUBIC_AT
CUBIC_AT = 0.21132486540518713


def simplex(d: int) -> Array:
    """Corners (d + 1, d) of a regular simplex about the origin, of length 1, times sqrt(d).

    >>> simplex(1).ravel().tolist()
    [1.0, -1.0]
    """
    corners = np.zeros((d + 1, d))
    for j in range(d):
        corners[j, j] = math.sqrt(1.0 - float((corners[j, :j] ** 2).sum()))
        for i in range(j + 1, d + 1):
            corners[i, j] = (-1.0 / d - float(corners[i, :j] @ corners[j, :j])) / corners[j, j]
    return corners * math.sqrt(d)


@compiled
def region(row: Array, d: int, low: Array, high: Array, spread: Array) -> None:
    """The box about the centroid that holds a node's rows and its points, and its standard deviations."""
    b = 1 + d + d * (d + 1) // 2
    f = 1 + d
    for i in range(d):
        spread[i] = math.sqrt(max(row[f], 0.0))
        f += d - i
        reach = math.sqrt(d) * spread[i]
        low[i] = min(row[b + i] - row[1 + i], -reach)
        high[i] = max(row[b + d + i] - row[1 + i], reach)


@compiled
def highest(slope: Array, bend: Array, low: Array, high: Array) -> float:
    """A bound on ``slope'u - u' bend u / 2`` over a box that holds 0: each square exactly, each product at its best corner."""
    total = 0.0
    for i in range(slope.size):
        b, a, near, far = slope[i], bend[i, i], low[i], high[i]
        best = max(b * near - 0.5 * a * near * near, b * far - 0.5 * a * far * far)
        if a > 0.0 and a * near < b < a * far:
            best = 0.5 * b * b / a
        total += best
        for j in range(i):
            q = -bend[i, j]
            total += max(max(q * near * low[j], q * near * high[j]), max(q * far * low[j], q * far * high[j]))
    return total


@compiled
def centred(row: Array, const: Array, mean: Array, precision: Array, slope: Array, height: Array) -> int:
    """``l_k(c)`` into ``height``, b_k into ``slope``; the highest class."""
    k, d = mean.shape
    best = 0
    for g in range(k):
        value = const[g]
        for i in range(d):
            total = 0.0
            for j in range(d):
                total += precision[g, i, j] * (mean[g, j] - row[1 + j])
            slope[g, i] = total
            value -= 0.5 * total * (mean[g, i] - row[1 + i])
        height[g] = value
        if value > height[best]:
            best = g
    return best


@compiled
def apart(row: Array, slope: Array, bend: Array, low: Array, high: Array, spread: Array, out: Array) -> None:
    """Of one class against m: sup|Y|, the root of E Y^2, and E (u'Pu)^2, P the difference of precisions."""
    d = slope.size
    reach, square, f = 0.0, 0.0, 1 + d
    curved, mean_curved = 0.0, 0.0
    for i in range(d):
        most = max(-low[i], high[i])
        reach += abs(slope[i]) * most
        for j in range(i, d):
            square += (1.0 if i == j else 2.0) * slope[i] * slope[j] * row[f]
            f += 1
        for j in range(d):
            curved += abs(bend[i, j]) * most * max(-low[j], high[j])
            mean_curved += abs(bend[i, j]) * spread[i] * spread[j]
    out[0] = reach + curved
    out[1] = math.sqrt(max(square, 0.0)) + math.sqrt(curved * mean_curved)
    out[2] = curved * mean_curved


@compiled
def remainders(live: int, p: float, sums: Array, dead: float, out: Array) -> None:
    """Errors a row: of g, of counts, of first moments (in standard deviations) and of second ones (in two of them).

    ``sums``: the two largest sup|Y|, sum p E Y^2, sum p E (u'Pu)^2, sum E Y^2, sum E (u'Pu)^2, P the difference of precisions.
    """
    out[0], out[1], out[2], out[3] = dead, dead, 2.0 * dead, 2.0 * dead
    if live == 0:
        return
    width = sums[0] + sums[1]
    v = 0.25 if live > 1 or p > 0.5 else p * (1.0 - p)
    if live == 1:
        third = CUBIC if p > CUBIC_AT else p * (1.0 - p) * (1.0 - 2.0 * p)
        bent = third * width * sums[4]
        joint = v * math.sqrt(sums[4] * sums[5])
        variance, square, curve = v * sums[4], sums[4], sums[5]
    else:
        bent = width * sums[2]
        joint = math.sqrt(sums[2] * sums[3])
        variance, square, curve = sums[2], 4.0 * sums[4], 4.0 * sums[5]
    out[0] += (bent + 3.0 * joint) / 3.0
    out[1] += (v * width * square + 3.0 * v * (width * variance + math.sqrt(square * curve)) + bent + 3.0 * joint) / 3.0
    out[2] += v * (width * math.sqrt(square) + math.sqrt(curve))
    out[3] += 2.0 * v * width


@compiled
def node_error(
    row: Array, const: Array, mean: Array, precision: Array, negligible: float, slope: Array, work: Array, out: Array
) -> None:
    """The errors a row of a node's points, (4,), as in ``remainders``; ``slope`` (k, d), ``work`` (6, >= k, d, 6) are room."""
    k, d = mean.shape
    low, high, spread, found, sums = work[0, :d], work[1, :d], work[2, :d], work[3, :3], work[4, :6]
    height = work[5, :k]
    region(row, d, low, high, spread)
    m = centred(row, const, mean, precision, slope, height)
    sums[:] = 0.0
    dead, live, most = 0.0, 0, 0.0
    floor = max(math.log(negligible / k), LOG_TINY) if negligible > 0.0 else LOG_TINY
    for g in range(k):
        if g == m or height[g] == -np.inf:
            continue
        step, bend = slope[g] - slope[m], precision[g] - precision[m]
        above = height[g] - height[m] + highest(step, bend, low, high)
        if above < floor:
            dead += math.exp(above)
            continue
        live += 1
        p = 1.0 / (1.0 + math.exp(-above))
        most = max(most, p)
        apart(row, step, bend, low, high, spread, found)
        if found[0] > sums[0]:
            sums[0], sums[1] = found[0], sums[0]
        elif found[0] > sums[1]:
            sums[1] = found[0]
        sums[2] += p * found[1] * found[1]
        sums[3] += p * found[2]
        sums[4] += found[1] * found[1]
        sums[5] += found[2]
    remainders(live, most, sums, dead, out)


@compiled
def share(left: Array, right: Array, d: int) -> float:
    """The part of a budget that goes to the left of two nodes."""
    b = 1 + d + d * (d + 1) // 2
    a = d / (d + 3.0)
    volume = 1.0
    for i in range(d):
        here, there = left[b + d + i] - left[b + i], right[b + d + i] - right[b + i]
        least = 1e-3 * max(here, there) + 1e-300
        volume *= max(here, least) / max(there, least)
    odds = (left[0] / right[0]) ** a * volume ** (1.0 - a)
    return float(odds / (1.0 + odds))


@compiled
def cut(
    node: Array,
    link: NDArray[np.int64],
    const: Array,
    mean: Array,
    precision: Array,
    tau: float,
    negligible: float,
    most: int,
    chosen: NDArray[np.int64],
    errors: Array,
) -> tuple[int, int]:
    """The nodes that stand for their rows, ``chosen`` (m,), -1 - i for those whose rows are given; and points and rows in all.

    ``errors`` (m, 4) are the bounds a row. More than ``most`` points and rows end the search: (-1, ...).
    """
    k, d = mean.shape
    slope, work, out = np.empty((k, d)), np.empty((6, max(k, d, 6))), np.empty(4)
    waiting, budget, top, m, rows = np.empty(512, np.int64), np.empty(512), 1, 0, 0
    waiting[0], budget[0] = 0, tau * node[0, 0]
    while top:
        top -= 1
        x, left_over = waiting[top], budget[top]
        size = link[x, 1] - link[x, 0]
        whole = size <= d + 1
        if not whole:
            weight = node[x, 0]
            node_error(node[x], const, mean, precision, min(negligible, 0.25 * left_over / weight), slope, work, out)
            if not weight * out[0] <= left_over:
                if link[x, 2] >= 0:
                    part = share(node[link[x, 2]], node[link[x, 3]], d)
                    waiting[top], budget[top] = link[x, 3], left_over * (1.0 - part)
                    waiting[top + 1], budget[top + 1] = link[x, 2], left_over * part
                    top += 2
                    continue
                whole = True
        rows += size if whole else d + 1
        if rows > most:
            return -1, rows
        chosen[m] = -1 - x if whole else x
        errors[m] = 0.0
        if not whole:
            errors[m] = out
        m += 1
    return m, rows


@compiled
def root_of(row: Array, d: int, lower: Array) -> None:
    """L with L L' = C, lower triangular; zero columns where C is singular."""
    f = 1 + d
    for i in range(d):
        for j in range(i, d):
            lower[j, i] = row[f]
            f += 1
    for i in range(d):
        pivot = lower[i, i]
        size = pivot
        for j in range(i):
            pivot -= lower[i, j] ** 2
        root = math.sqrt(pivot) if pivot > 1e-14 * size else 0.0
        for r in range(i + 1, d):
            total = lower[r, i]
            for j in range(i):
                total -= lower[r, j] * lower[i, j]
            lower[r, i] = total / root if root > 0.0 else 0.0
        lower[i, i] = root


@compiled
def stand_ins(
    z: Array,
    weight: Array,
    node: Array,
    link: NDArray[np.int64],
    chosen: NDArray[np.int64],
    corners: Array,
    out: Array,
    mass: Array,
) -> None:
    """The points of the chosen nodes, and rows, into ``out`` (rows, d) with their weights ``mass``."""
    d = z.shape[1]
    lower, at, sign = np.empty((d, d)), 0, 1.0
    for x in chosen:
        if x < 0:
            for r in range(link[-1 - x, 0], link[-1 - x, 1]):
                for i in range(d):
                    out[at, i] = z[r, i]
                mass[at] = weight[r] if weight.size else 1.0
                at += 1
            continue
        root_of(node[x], d, lower)
        for j in range(d + 1):
            for i in range(d):
                total = 0.0
                for c in range(i + 1):
                    total += lower[i, c] * corners[j, c]
                out[at, i] = node[x, 1 + i] + sign * total
            mass[at] = node[x, 0] / (d + 1)
            at += 1
        sign = -sign
