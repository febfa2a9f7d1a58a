"""A standard normal variable known to lie in an interval: log probability, mean and variance, from any distance.

    one end open   P(Z > a) = Q(a);   mean h = phi(a) / Q(a),  variance 1 - h (h - a)
                   h = sqrt(2/pi) / erfcx(a / sqrt 2);  for a > FAR by a fraction: h - a = 1/(a + f), f = 2/(a + 3/(a + ..)),
                   which gives the variance (f - (h - a)) / (a + f) without cancellation
    both ends      Gauss-Legendre quadrature of exp(-(z^2 - p^2)/2), p the point of [a, b] nearest 0, down to exp(-DROP)

symbol   variable   shape
a, b     low, high  any, broadcast; -inf and inf are open ends; NaN gives NaN

Sources: Abramowitz & Stegun (1964), 26.2.14; Johnson, Kotz & Balakrishnan (1994), volume 1, section 13.10.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from estep.core.record import Array

FAR, TERMS = 5.0, 80
DROP, NODES = 40.0, 64
_LOG_ROOT = 0.5 * math.log(2.0 * math.pi)


def within(low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Log probability, mean and variance of Z given low < Z < high.

    >>> log_mass, mean, variance = within(np.array([0.0, -np.inf]), np.array([np.inf, np.inf]))
    >>> np.exp(log_mass).round(12).tolist(), (mean**2 + variance).round(12).tolist()
    ([0.5, 1.0], [1.0, 1.0])
    """
    low, high = np.broadcast_arrays(np.asarray(low, dtype=float), np.asarray(high, dtype=float))
    log_mass, mean, variance = (np.full(low.shape, np.nan) for _ in range(3))
    open_low, open_high = np.isneginf(low), np.isposinf(high)
    everything = open_low & open_high
    log_mass[everything], mean[everything], variance[everything] = 0.0, 0.0, 1.0
    above = open_high & ~open_low & ~np.isnan(low)
    log_mass[above], mean[above], variance[above] = _above(low[above])
    below = open_low & ~open_high & ~np.isnan(high)
    log_mass[below], flipped, variance[below] = _above(-high[below])
    mean[below] = -flipped
    both = np.isfinite(low) & np.isfinite(high)
    log_mass[both], mean[both], variance[both] = _between(low[both], high[both])
    return log_mass, mean, variance


def _above(a: Array) -> tuple[Array, Array, Array]:
    from scipy.special import erfcx, log_ndtr

    near, far = np.minimum(a, FAR), np.maximum(a, FAR)
    hazard = math.sqrt(2.0 / math.pi) / erfcx(near / math.sqrt(2.0))
    tail = np.zeros(a.shape)
    for m in range(TERMS, 1, -1):
        tail = m / (far + tail)
    excess = 1.0 / (far + tail)
    mean = np.where(a > FAR, far + excess, hazard)
    variance = np.where(a > FAR, (tail - excess) / (far + tail), 1.0 - hazard * (hazard - near))
    return np.asarray(log_ndtr(-a)), mean, variance


@cache
def _rule() -> tuple[Array, Array]:
    return np.polynomial.legendre.leggauss(NODES)


def _between(a: Array, b: Array) -> tuple[Array, Array, Array]:
    nodes, weights = _rule()
    nearest = np.clip(0.0, a, b)
    reach = np.sqrt(nearest**2 + 2.0 * DROP)
    left, right = np.maximum(a, -reach), np.minimum(b, reach)
    half, middle = 0.5 * (right - left), 0.5 * (right + left)
    z = middle[:, None] + half[:, None] * nodes
    near = nearest[:, None]
    density = weights * np.exp(-0.5 * (z - near) * (z + near))
    total = density.sum(axis=1)
    step = (density @ nodes) / total  # mean, in half widths from the middle
    square = (density * (nodes - step[:, None]) ** 2).sum(axis=1) / total
    with np.errstate(divide="ignore"):
        log_mass = np.log(total * half) - 0.5 * nearest**2 - _LOG_ROOT
    return log_mass, middle + half * step, half**2 * square
