"""One safeguarded Newton step uphill: higher than where it began, or there.

    H = dg/dv at v by central differences of the gradient g;   -H = U diag(h) U',   h <- max(|h|, FLOOR max|h|)
    step s = U diag(1/h) U' g;   v + t s for t = 1, 1/2, 1/4, ... until the value has risen by SLOPE t g's

A direction in which the value curves upwards is walked as if it curved downwards as much, so s always points uphill; where the
value is nearly quadratic the first trial is Newton's and t = 1.

Sources: Nocedal & Wright (2006), Numerical Optimization, sections 3.1 and 3.4; Gill, Murray & Wright (1981), section 4.4.2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from estep.core.record import Array

FLOOR = 1e-8
SLOPE = 1e-4
HALVINGS = 30
LONGEST = 10.0
"""Most that a free coordinate (a log, a logit, a location in its own units) moves, relative to 1 + its size."""


def newton_step(value: Callable[[Array], float], slope: Callable[[Array], Array], at: Array) -> Array:
    """A point no lower than ``at``: one Newton step, made uphill and short enough.

    >>> newton_step(lambda v: -float((v - 2) @ (v - 2)), lambda v: -2 * (v - 2), np.zeros(2)).round(8).tolist()
    [2.0, 2.0]
    """
    gradient, base = slope(at), value(at)
    if not np.isfinite(gradient).all() or not gradient.any():
        return at
    step = _uphill(gradient, _curvature(slope, at))
    length = np.abs(step) / (LONGEST * (1.0 + np.abs(at)))
    t, rise = 1.0 / max(1.0, float(length.max())), float(gradient @ step)
    for _ in range(HALVINGS):
        there = at + t * step
        with np.errstate(all="ignore"):
            higher = value(there) >= base + SLOPE * t * rise
        if higher:
            return there
        t *= 0.5
    return at


def _curvature(slope: Callable[[Array], Array], at: Array) -> Array:
    """Minus the matrix of second derivatives, symmetric."""
    bend = np.empty((at.size, at.size))
    for j in range(at.size):
        e = np.zeros(at.size)
        e[j] = 1e-5 * (1.0 + abs(at[j]))
        bend[j] = (slope(at - e) - slope(at + e)) / (2.0 * e[j])
    return np.asarray(0.5 * (bend + bend.T))


def _uphill(gradient: Array, curvature: Array) -> Array:
    """Newton's direction with every eigenvalue made positive; the gradient where there are none to be had."""
    if not np.isfinite(curvature).all():
        return gradient / float(np.abs(gradient).max())
    values, vectors = np.linalg.eigh(curvature)
    sizes = np.abs(values)
    if not sizes.max() > 0:
        return gradient / float(np.abs(gradient).max())
    return np.asarray(vectors @ ((vectors.T @ gradient) / np.maximum(sizes, FLOOR * sizes.max())))
