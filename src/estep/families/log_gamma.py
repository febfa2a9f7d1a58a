"""Differences of the log gamma function that keep their digits however large the argument.

    log Gamma(x) = (x - 1/2) log x - x + 1/2 log 2 pi + s(x),     s(x) = 1/12x - 1/360x^3 + 1/1260x^5 - ...

    rise(h, a)   log Gamma(h + a) - log Gamma(h) - a log h          -> a (a - 1) / 2h
    entropy(h)   h log h - h - log Gamma(h)                         -> 1/2 log(h / 2 pi)

Formed from scipy's functions they lose log Gamma(h) times machine epsilon; from LARGE on the series is exact to rounding.
Beside them, ``gamma_shape`` has log h - psi(h).

Source: Abramowitz & Stegun (1964), 6.1.40.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from estep.core.record import Array

LARGE = 20.0
_GAMMA = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)


def _stirling(x: Array) -> Array:
    """s(x) for x >= LARGE."""
    inverse = 1.0 / x
    return np.asarray(inverse * np.polynomial.polynomial.polyval(inverse**2, _GAMMA))


def rise(h: Any, a: Any) -> Array:
    """log Gamma(h + a) - log Gamma(h) - a log h for h > 0, a >= 0.

    >>> round(float(np.exp(rise(1.0, 2.0))), 12), round(1e12 * float(rise(1e12, 2.0)), 9)  # 2, and 1 / h
    (2.0, 1.0)
    """
    from scipy.special import gammaln

    h, a = np.broadcast_arrays(np.asarray(h, dtype=float), np.asarray(a, dtype=float))
    large = np.maximum(h, LARGE)
    ratio = a / large
    # (h + a - 1/2) log(1 + a/h) - a, with what cancels taken out first
    far = (large + a - 0.5) * _log1p_less(ratio) + ratio * (a - 0.5) + _stirling(large + a) - _stirling(large)
    near = np.minimum(h, LARGE)
    return np.asarray(np.where(h < LARGE, gammaln(near + a) - gammaln(near) - a * np.log(near), far))


def _log1p_less(t: Array) -> Array:
    """log(1 + t) - t for t >= 0, by its series where that is small."""
    small = np.minimum(t, 0.02)
    series = small**2 * np.polynomial.polynomial.polyval(small, [(-1) ** (j + 1) / (j + 2) for j in range(9)])
    return np.where(t < 0.02, series, np.log1p(t) - t)


def entropy(h: Any) -> Array:
    """H log h - h - log Gamma(h) for h > 0.

    >>> float(entropy(1.0)), round(float(entropy(1e15)), 6)
    (-1.0, 16.35045)
    """
    from scipy.special import gammaln

    h = np.asarray(h, dtype=float)
    large, near = np.maximum(h, LARGE), np.minimum(h, LARGE)
    far = 0.5 * np.log(large / (2.0 * np.pi)) - _stirling(large)
    return np.asarray(np.where(h < LARGE, near * np.log(near) - near - gammaln(near), far))
