"""A kd-tree over rows: halves of boxes, down to leaves of a few rows, each node with the moments of its rows.

    node   weight W, centroid c, covariance C (divisor W), bounding box [lo, hi] of its rows; its rows are start .. stop
    split  in the middle of the side that is longest in units of ``scale``, of the cell that earlier splits left; a leaf has at
           most ``leaf`` rows, or sides of at most ``narrow`` scales

Rows are moved within the array (and weights with them), so that every node's are next to one another. Moments go up the tree
by  W = W_l + W_r,  c = p c_l + q c_r,  C = p C_l + q C_r + p q (c_r - c_l)(c_r - c_l)',  p = W_l / W, q = 1 - p:
sums of non-negative parts about each node's own centroid, whatever the data's offset.

symbol   variable         shape
z        z                (n, d)
W        node[:, 0]       (m,)
c        node[:, 1:]      (m, d)
C        then             (m, d (d + 1) / 2)   upper triangle by rows
lo, hi   then             (m, d) each
         link             (m, 4)   start, stop, left child, right child (-1 for a leaf); children follow their parents

Source: Moore (1999), Advances in Neural Information Processing Systems 11:543.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.lazy import compiled


def node_width(d: int) -> int:
    """Numbers kept of a node."""
    return 1 + 3 * d + d * (d + 1) // 2


@compiled
def box(z: Array, start: int, stop: int, out: Array) -> None:
    """Smallest and largest value of every column of some rows, into ``out`` (2 d,)."""
    d = z.shape[1]
    for i in range(d):
        out[i] = z[start, i]
        out[d + i] = z[start, i]
    for r in range(start, stop):
        for i in range(d):
            out[i] = min(out[i], z[r, i])
            out[d + i] = max(out[d + i], z[r, i])


@compiled
def widest(bounds: Array, scale: Array) -> tuple[int, float]:
    """The longest side of a box in units of ``scale``, and its length."""
    d = scale.size
    side, length = 0, -1.0
    for i in range(d):
        here = (bounds[d + i] - bounds[i]) / scale[i]
        if here > length:
            side, length = i, here
    return side, length


@compiled
def partition(z: Array, weight: Array, start: int, stop: int, side: int, middle: float) -> int:
    """Move the rows with ``z[:, side] <= middle`` to the front; where the others begin."""
    i, j = start, stop - 1
    while True:
        while i <= j and z[i, side] <= middle:
            i += 1
        while i <= j and z[j, side] > middle:
            j -= 1
        if i >= j:
            return i
        for c in range(z.shape[1]):
            held = z[i, c]
            z[i, c] = z[j, c]
            z[j, c] = held
        if weight.size:
            kept = weight[i]
            weight[i] = weight[j]
            weight[j] = kept
        i += 1
        j -= 1


@compiled
def leaf_moments(z: Array, weight: Array, start: int, stop: int, out: Array) -> None:
    """Weight, centroid and covariance of some rows, in two passes."""
    d = z.shape[1]
    total = 0.0
    out[: 1 + d + d * (d + 1) // 2] = 0.0
    for r in range(start, stop):
        w = weight[r] if weight.size else 1.0
        total += w
        for i in range(d):
            out[1 + i] += w * z[r, i]
    for i in range(d):
        out[1 + i] /= total
    for r in range(start, stop):
        w = weight[r] if weight.size else 1.0
        f = 1 + d
        for i in range(d):
            part = w * (z[r, i] - out[1 + i])
            for j in range(i, d):
                out[f] += part * (z[r, j] - out[1 + j])
                f += 1
    for f in range(1 + d, 1 + d + d * (d + 1) // 2):
        out[f] /= total
    out[0] = total


@compiled
def merge(left: Array, right: Array, out: Array) -> None:
    """The moments and the box of two nodes together."""
    h = left.size - 1
    d = 1
    while 3 * d + d * (d + 1) // 2 < h:
        d += 1
    total = left[0] + right[0]
    p, q = left[0] / total, right[0] / total
    f = 1 + d
    for i in range(d):
        for j in range(i, d):
            apart = (right[1 + i] - left[1 + i]) * (right[1 + j] - left[1 + j])
            out[f] = p * left[f] + q * right[f] + p * q * apart
            f += 1
    for i in range(d):
        out[1 + i] = p * left[1 + i] + q * right[1 + i]
        out[f + i] = min(left[f + i], right[f + i])
        out[f + d + i] = max(left[f + d + i], right[f + d + i])
    out[0] = total


@compiled
def halve(z: Array, weight: Array, start: int, stop: int, scale: Array, cell: Array, narrow: float) -> tuple[int, int, float]:
    """Cut rows in two at the middle of the longest side of their ``cell``: where, along which side, at which value.

    ``cell`` (2 d,) holds the rows and is drawn close where one part would be below a sixteenth; ``start`` is returned where the
    sides are at most ``narrow``.
    """
    d = scale.size
    cut, side, middle = start, 0, 0.0
    for attempt in range(2):
        side, length = widest(cell, scale)
        if not length > narrow:
            return start, side, middle
        middle = 0.5 * (cell[side] + cell[d + side])
        cut = partition(z, weight, start, stop, side, middle)
        if attempt == 1 or 16 * min(cut - start, stop - cut) >= stop - start:
            break
        box(z, start, stop, cell)
    return cut, side, middle


@compiled
def grow(
    z: Array, weight: Array, start: int, stop: int, scale: Array, leaf: int, narrow: float
) -> tuple[Array, NDArray[np.int64]]:
    """The tree over the rows ``start .. stop``; its own nodes are counted from 0."""
    d = z.shape[1]
    b = 1 + d + d * (d + 1) // 2
    room = max(64, 4 * (stop - start) // leaf)
    node, link = np.empty((room, b + 2 * d)), np.empty((room, 4), np.int64)
    waiting, cells, top, m = np.empty((512, 4), np.int64), np.empty((512, 2 * d)), 1, 0
    waiting[0] = np.array([start, stop, -1, 0])
    box(z, start, stop, cells[0])
    while top:
        top -= 1
        at, end, parent, which = waiting[top, 0], waiting[top, 1], waiting[top, 2], waiting[top, 3]
        if m == room:
            room *= 2
            node, link = roomier(node, link, room)
        if parent >= 0:
            link[parent, which] = m
        link[m, 0], link[m, 1], link[m, 2], link[m, 3] = at, end, -1, -1
        if end - at > leaf and top < 510:
            cut, side, middle = halve(z, weight, at, end, scale, cells[top], narrow)
            if at < cut < end:
                cells[top + 1] = cells[top]
                cells[top, side], cells[top + 1, d + side] = middle, middle
                waiting[top, 0], waiting[top, 1], waiting[top, 2], waiting[top, 3] = cut, end, m, 3
                waiting[top + 1, 0], waiting[top + 1, 1], waiting[top + 1, 2], waiting[top + 1, 3] = at, cut, m, 2
                top += 2
        m += 1
    for x in range(m - 1, -1, -1):
        if link[x, 2] < 0:
            box(z, link[x, 0], link[x, 1], node[x, b:])
            leaf_moments(z, weight, link[x, 0], link[x, 1], node[x])
        else:
            merge(node[link[x, 2]], node[link[x, 3]], node[x])
    return node[:m].copy(), link[:m].copy()


@compiled
def roomier(node: Array, link: NDArray[np.int64], room: int) -> tuple[Array, NDArray[np.int64]]:
    """The same arrays with ``room`` rows."""
    more, further = np.empty((room, node.shape[1])), np.empty((room, 4), np.int64)
    more[: len(node)] = node
    further[: len(link)] = link
    return more, further
