"""The negative binomial law and its M-step, accurate from strong overdispersion to the Poisson limit.

With w = (x - mu) / (s + mu), m = mu (x + s) / (s + mu), and r(x) = log x! - x log x + x (``log_stirling``):

    log P(x)         = log Poisson(x; m) + s (log(1 + w) - w) + r(x + s) - r(s) - log(1 + x / s)
    d/dmu log P(x)   = s (x - mu) / (mu (s + mu))
    d/ds log P(x)    = (log(1 + w) - w) + g(x + s) - g(s),     g(y) = psi(y) - log y

No term grows with s, so nothing cancels as s -> infinity, where P is Poisson(mu).

symbol   variable   shape
x        values     (u,)
mu, s               (k, d)
N        totals     (k, u, d)

Sources: the density rewritten about Poisson as in Loader (2000), Fast and Accurate Computation of Binomial Probabilities;
series of r and g: Abramowitz & Stegun (1964), 6.1.41 and 6.3.18.
"""

from __future__ import annotations

import numpy as np

from estep.core.record import Array
from estep.core.support import Pattern
from estep.families.columns import FLOOR
from estep.families.poisson import log_poisson, log_stirling

LARGEST = 1e8
"""Largest size, in units of 1 + mean: the variance then exceeds the Poisson one by a share of 1e-8."""
SMALLEST = 1e-8
TURNS = 200
STEPS = 100
Pair = tuple[Array, Array]
Patterns = tuple[Pattern, Pattern]


def log_table(values: Array, means: Array, sizes: Array) -> Array:
    """``log P(v)`` of every distinct count, (k, u, d)."""
    v, mu, s = values[:, None], means[:, None, :], sizes[:, None, :]
    w = (v - mu) / (s + mu)
    with np.errstate(divide="ignore", invalid="ignore"):
        near = log_poisson(v, mu * (v + s) / (s + mu)) + s * (_log1p(w, v + s, s + mu) - w)
        table = near + log_stirling(v + s) - log_stirling(s) - np.log1p(v / s)
    return np.where((mu == 0) & (v > 0), -np.inf, table)


def slopes(values: Array, means: Array, sizes: Array) -> Pair:
    """``d/dmu log P(v)`` and ``d/ds log P(v)``, (k, u, d) each."""
    v, mu, s = values[:, None], means[:, None, :], sizes[:, None, :]
    w = (v - mu) / (s + mu)
    by_mean = s * (v - mu) / (np.maximum(mu, FLOOR) * (s + mu))
    return by_mean, _log1p(w, v + s, s + mu) - w + _digamma_gap(v + s) - _digamma_gap(s)


def _log1p(w: Array, above: Array, below: Array) -> Array:
    """``log(1 + w)`` of ``w = above / below - 1``, which rounds to -1 where a mean is far larger than count and size."""
    return np.where(w < -0.5, np.log(above / below), np.log1p(np.maximum(w, -0.5)))


def _digamma_gap(y: Array) -> Array:
    """``psi(y) - log y``, by its series from 16 on."""
    from scipy.special import digamma

    small, inverse = np.minimum(y, 16.0), 1.0 / np.maximum(y, 16.0)
    series = -inverse * (1 / 2 + inverse * (1 / 12 - inverse**2 * (1 / 120 - inverse**2 * (1 / 252 - inverse**2 / 240))))
    return np.where(y < 16.0, digamma(small) - np.log(small), series)


def moments(values: Array, totals: Array) -> Pair:
    """Means, and sizes by moments (finite: the variance exceeds the mean by at least a hundredth of its square)."""
    v, weight = values[:, None], np.maximum(totals.sum(axis=1), np.finfo(float).tiny)
    mean = (totals * v).sum(axis=1) / weight
    extra = (totals * (v - mean[:, None]) ** 2).sum(axis=1) / weight - mean
    safe = np.maximum(extra, 1e-2 * mean**2)
    return mean, np.where(mean > 0, mean**2 / np.where(safe > 0, safe, 1.0), 1.0)


def fitted(values: Array, totals: Array, begin: Pair, patterns: Patterns) -> Pair:
    """Means and sizes that maximise ``sum N log P`` over the free values, from ``begin``, never lower."""
    means, sizes = begin
    joint = not _apart(patterns[0])
    for _ in range(TURNS):
        before = (means, sizes)
        means = fitted_means(values, totals, before, patterns[0])
        sizes = fitted_sizes(values, totals, (means, sizes), patterns[1])
        if not joint or all(np.allclose(a, b, rtol=1e-12, atol=0.0) for a, b in zip(before, (means, sizes), strict=True)):
            break
    return (means, sizes) if height(values, totals, (means, sizes)) >= height(values, totals, begin) else begin


def _apart(pattern: Pattern) -> bool:
    """Whether no two entries share a value."""
    return bool((pattern.sizes <= 1).all())


def height(values: Array, totals: Array, at: Pair) -> float:
    """``sum N log P``, 0 log 0 = 0."""
    used = totals != 0
    return float((totals[used] * log_table(values, *at)[used]).sum())


def fitted_means(values: Array, totals: Array, at: Pair, pattern: Pattern) -> Array:
    """Weighted means; tied ones weigh each entry by N s / (s + mu), at the current mu."""
    means, sizes = at
    weight, sums = totals.sum(axis=1), (totals * values[:, None]).sum(axis=1)
    share = sizes / (sizes + means)
    above, below = pattern.pool(share * sums), pattern.pool(share * weight)
    free = np.where(below > 0, above / np.where(below > 0, below, 1.0), pattern.pick(means))
    return pattern.spread(free)


def fitted_sizes(values: Array, totals: Array, at: Pair, pattern: Pattern) -> Array:
    """The sizes at which the slope of ``sum N log P`` in log s is zero: Newton within a bracket that halves."""
    means, sizes = at
    counted = pattern.pool(totals[:, values > 0].sum(axis=1)) > 0
    if not pattern.count or not counted.any():
        return sizes
    t = np.log(pattern.pick(sizes))
    low, high = np.full(t.shape, np.log(SMALLEST)), np.log(LARGEST * (1.0 + _largest(means, pattern)))
    ends = [_slope_and_bend(values, totals, means, pattern.spread(np.exp(end)), pattern)[0] for end in (low, high)]
    t, settled = np.clip(t, low, high), ~counted
    for end, done in ((low, ends[0] <= 0), (high, ends[1] >= 0)):
        t, settled = np.where(done & ~settled, end, t), settled | done
    for _ in range(STEPS):
        if settled.all():
            break
        slope, bend = _slope_and_bend(values, totals, means, pattern.spread(np.exp(t)), pattern)
        low, high = np.where(slope > 0, t, low), np.where(slope > 0, high, t)
        step = np.where(bend < 0, -slope / np.where(bend < 0, bend, -1.0), np.inf)
        inside = (t + step > low) & (t + step < high)
        new = np.where(settled, t, np.where(inside, t + step, 0.5 * (low + high)))
        settled, t = settled | (np.abs(new - t) <= 1e-13 * (1.0 + np.abs(t))), new
    return pattern.spread(np.where(counted, np.exp(t), pattern.pick(sizes)))


def _largest(means: Array, pattern: Pattern) -> Array:
    """The largest mean behind each free size."""
    out = np.zeros(pattern.count)
    moving = pattern.groups >= 0
    np.maximum.at(out, pattern.groups[moving], means[moving])
    return out


def _slope_and_bend(values: Array, totals: Array, means: Array, sizes: Array, pattern: Pattern) -> Pair:
    """First and second derivative of ``sum N log P`` in the log of each free size."""
    from scipy.special import polygamma

    v, s = values[:, None], sizes[:, None, :]
    w = (v - means[:, None, :]) / (s + means[:, None, :])
    first = (totals * slopes(values, means, sizes)[1]).sum(axis=1) * sizes
    curve = w**2 / (s + v) + polygamma(1, v + s) - 1.0 / (v + s) - polygamma(1, s) + 1.0 / s
    second = first + (totals * curve).sum(axis=1) * sizes**2
    return pattern.pool(first), pattern.pool(second)
