"""The M-step of a Dirichlet (and beta) law: Newton on a concave function whose Hessian is diagonal plus one number.

    maximise  f(a) = g . (a - 1) - log B(a),    g = mean log x

    slope     g_j + psi(a_0) - psi(a_j),    a_0 = sum_j a_j
    Hessian   psi'(a_0) 11' - diag psi'(a_j):  solved in O(m) (Sherman & Morrison)

Long steps are taken in log a, so that alphas stay positive, and every step is halved until f does not fall. Rows that are all
equal have no maximum: their alphas are left where they pass CEILING, for the family to call collapsed.

Source: Minka (2000), Estimating a Dirichlet distribution, section 1 and appendix.
"""

from __future__ import annotations

import numpy as np

from estep.core.record import Array
from estep.families.gamma_shape import gap, log_beta, slope

CEILING = 1e10
_STEPS, _HALVINGS = 200, 40


def alphas_at(log_means: Array, start: Array) -> Array:
    """The alphas (..., m) that maximise f for every row of ``log_means`` (..., m), from ``start``.

    >>> from scipy.special import digamma
    >>> truth = np.array([[0.5, 2.0, 7.0]])
    >>> alphas_at(digamma(truth) - digamma(truth.sum()), np.ones((1, 3))).round(9).tolist()
    [[0.5, 2.0, 7.0]]
    """
    alphas, value = start.copy(), height(start, log_means)
    for _ in range(_STEPS):
        step = _newton(alphas, log_means)
        new, gained = _search(alphas, value, step, log_means)
        done = (gained - value <= 1e-15 * (1.0 + np.abs(value))) | (new.sum(axis=-1) > CEILING)
        alphas, value = new, gained
        if done.all():
            break
    return alphas


def height(alphas: Array, log_means: Array) -> Array:
    """f, (...)."""
    return np.asarray((log_means * (alphas - 1.0)).sum(axis=-1) - log_beta(alphas))


def slopes(alphas: Array, log_means: Array) -> Array:
    """``g + psi(a_0) - psi(a)``, with the digits of large alphas: psi(a) = log a - gap(a)."""
    total = alphas.sum(axis=-1, keepdims=True)
    return np.asarray(log_means - np.log(alphas / total) + gap(alphas) - gap(total))


def _newton(alphas: Array, log_means: Array) -> Array:
    """The Newton step over alphas: (diag psi'(a_j) - psi'(a_0) 11')^-1 slope / a."""
    total = alphas.sum(axis=-1, keepdims=True)
    gradient = slopes(alphas, log_means)
    own, joint = 1.0 / alphas - slope(alphas), 1.0 / total - slope(total)
    ratio = (gradient / own).sum(axis=-1, keepdims=True)
    share = (1.0 / own).sum(axis=-1, keepdims=True)
    plain = gradient / own + (joint / own) * ratio / (1.0 - joint * share)
    return np.asarray(plain / alphas)


def _search(alphas: Array, value: Array, step: Array, log_means: Array) -> tuple[Array, Array]:
    """Alphas after the longest of the halved steps that does not lower f, row by row: a (1 + step), or a exp(step) if long."""
    length = np.ones(value.shape)
    best, height_now = alphas, value
    waiting = np.ones(value.shape, dtype=bool)
    for _ in range(_HALVINGS):
        moved = length[..., None] * step
        size = np.abs(moved).max(axis=-1, keepdims=True)
        new = np.where(size < 0.5, alphas * (1.0 + np.clip(moved, -0.5, 0.5)), alphas * np.exp(np.clip(moved, -3.0, 3.0)))
        found = height(new, log_means)
        better = waiting & (found >= value)
        best = np.where(better[..., None], new, best)
        height_now = np.where(better, found, height_now)
        waiting &= ~better
        if not waiting.any():
            break
        length = np.where(waiting, 0.5 * length, length)
    return best, height_now
