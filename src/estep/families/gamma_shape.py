"""The gamma function as likelihoods need it: differences that keep their digits for large shapes.

    gap(a)   = log a - psi(a)                        the equation of a gamma shape: gap(a) = log mean - mean log
    slope(a) = 1 / a - psi'(a)                       its derivative, below zero
    log_beta(a) = sum_j log Gamma(a_j) - log Gamma(sum_j a_j)

From ``LARGE`` on the asymptotic series is used (its first term left out is below 1e-16 there).

Sources: Abramowitz & Stegun (1964), 6.1.40, 6.3.18, 6.4.12; Minka (2002), Estimating a Gamma distribution.
"""

from __future__ import annotations

import numpy as np

from estep.core.record import Array

LARGE = 16.0
_STEPS = 60


def gap(a: Array) -> Array:
    """``log a - digamma(a)`` for a > 0, near 1 / (2a) for large a.

    >>> float(gap(np.array([1.0]))[0].round(12))  # Euler's constant
    0.577215664902
    """
    from scipy.special import digamma

    small, v = np.minimum(a, LARGE), 1.0 / np.maximum(a, LARGE)
    w = v * v
    series = 0.5 * v + w * (1 / 12 - w * (1 / 120 - w * (1 / 252 - w * (1 / 240 - w / 132))))
    return np.asarray(np.where(a < LARGE, np.log(small) - digamma(small), series))


def slope(a: Array) -> Array:
    """``1 / a - trigamma(a)``, the derivative of ``gap``: near -1 / (2 a^2) for large a."""
    from scipy.special import polygamma

    small, v = np.minimum(a, LARGE), 1.0 / np.maximum(a, LARGE)
    w = v * v
    series = -w * (0.5 + v * (1 / 6 - w * (1 / 30 - w * (1 / 42 - w * (1 / 30 - w * 5 / 66)))))
    return np.asarray(np.where(a < LARGE, 1.0 / small - polygamma(1, small), series))


def shape_at(value: Array) -> Array:
    """The ``a`` with ``gap(a) = value``, value > 0: Newton on 1 / gap, which is nearly straight, from Minka's start.

    >>> shape_at(gap(np.array([1e-3, 1.0, 4096.0]))).round(9).tolist()
    [0.001, 1.0, 4096.0]
    """
    a = (3.0 - value + np.sqrt((value - 3.0) ** 2 + 24.0 * value)) / (12.0 * value)
    for _ in range(_STEPS):
        found = gap(a)
        # d(1/gap)/d log a = -a slope / gap^2
        step = (1.0 / value - 1.0 / found) * found**2 / (-a * slope(a))
        new = a * np.exp(np.clip(step, -1.0, 1.0))
        done = np.abs(new - a) <= 4.0 * np.finfo(float).eps * a
        a = new
        if done.all():
            break
    return np.asarray(a)


def log_beta(alphas: Array) -> Array:
    """``log B(alpha) = sum_j log Gamma(alpha_j) - log Gamma(sum_j alpha_j)`` over the last axis, by Stirling's formula.

    >>> float(log_beta(np.array([2.0, 3.0])).round(12)), float(np.log(1 / 12).round(12))
    (-2.484906649788, -2.484906649788)
    """
    total = alphas.sum(axis=-1)
    share = alphas / total[..., None]
    whole = (alphas * np.log(share) - 0.5 * np.log(alphas) + remainder(alphas)).sum(axis=-1)
    parts = 0.5 * (alphas.shape[-1] - 1) * np.log(2.0 * np.pi)
    return np.asarray(whole + 0.5 * np.log(total) - remainder(total) + parts)


def remainder(a: Array) -> Array:
    """``log Gamma(a) - (a - 1/2) log a + a - log(2 pi) / 2``, near 1 / (12 a) for large a."""
    from scipy.special import gammaln

    small, v = np.minimum(a, LARGE), 1.0 / np.maximum(a, LARGE)
    w = v * v
    exact = gammaln(small) - (small - 0.5) * np.log(small) + small - 0.5 * np.log(2.0 * np.pi)
    series = v * (1 / 12 - w * (1 / 360 - w * (1 / 1260 - w * (1 / 1680 - w / 1188))))
    return np.asarray(np.where(a < LARGE, exact, series))
