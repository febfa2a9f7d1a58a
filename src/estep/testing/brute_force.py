"""Every hidden configuration of a tiny instance, one by one: what clever recursions are compared to.

    log p(x, z) = log p(z) + sum_i logb[i, z_i]

    log-likelihood   log sum_z p(x, z)              marginals   p(z_i = c | x)
    best path        argmax_z p(x, z)               expected    sum_z p(z | x) f(z)

symbol   variable     shape
z        paths        (k^n, n)   all of them, the last row of the data varying fastest
log p(z) log_prior    (k^n,)
         logb         (n, k)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array

Paths = NDArray[np.intp]
LARGEST = 1_000_000


def enumerate_paths(k: int, n: int) -> Paths:
    """All ``k**n`` configurations of ``n`` labels, (k^n, n); raises ValueError beyond a million.

    >>> enumerate_paths(2, 2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    if k < 1 or n < 0 or k**n > LARGEST:
        raise ValueError(f"k={k}, n={n}: {k}**{n} configurations cannot be enumerated; use at most {LARGEST:,}")
    return np.indices((k,) * n).reshape(n, -1).T.astype(np.intp)


def log_priors(params: Any, log_prior_of_path: Callable[[Any, Paths], float], k: int, n: int) -> Array:
    """``log p(z)`` of every configuration, in the order of ``enumerate_paths``."""
    with np.errstate(divide="ignore"):
        return np.array([float(log_prior_of_path(params, path)) for path in enumerate_paths(k, n)])


def log_joint(log_prior: Array, logb: Array) -> Array:
    """``log p(x, z)`` of every configuration, (k^n,)."""
    n, k = logb.shape
    paths = enumerate_paths(k, n)
    return np.asarray(log_prior + logb[np.arange(n), paths].sum(axis=1))


def log_likelihood(log_prior: Array, logb: Array) -> float:
    """``log sum_z p(x, z)`` in nats.

    >>> round(log_likelihood(np.log(np.full(4, 0.25)), np.zeros((2, 2))), 12)
    0.0
    """
    joint = log_joint(log_prior, logb)
    top = joint.max()
    return float(top + np.log(np.exp(joint - top).sum())) if np.isfinite(top) else float("-inf")


def posterior(log_prior: Array, logb: Array) -> Array:
    """``p(z | x)`` of every configuration, (k^n,); raises ValueError where none is possible."""
    joint = log_joint(log_prior, logb)
    if not np.isfinite(joint.max()):
        raise ValueError("every configuration has probability zero, so none has a posterior; check logb and log_prior")
    weight = np.exp(joint - joint.max())
    return np.asarray(weight / weight.sum())


def marginals(log_prior: Array, logb: Array) -> Array:
    """``p(z_i = c | x)``, (n, k)."""
    n, k = logb.shape
    weight, paths = posterior(log_prior, logb), enumerate_paths(k, n)
    out = np.zeros((n, k))
    for i in range(n):
        out[i] = np.bincount(paths[:, i], weights=weight, minlength=k)
    return out


def expected(log_prior: Array, logb: Array, values: Array) -> float:
    """``sum_z p(z | x) values[z]``, configurations of probability zero left out."""
    weight = posterior(log_prior, logb)
    held = weight > 0
    return float((weight[held] * values[held]).sum())


def best_path(log_prior: Array, logb: Array) -> tuple[Paths, float]:
    """The most probable configuration (ties to the first) and its ``log p(x, z)``.

    >>> path, value = best_path(np.zeros(4), np.array([[0.0, 1.0], [2.0, 0.0]]))
    >>> path.tolist(), value
    ([1, 0], 3.0)
    """
    joint = log_joint(log_prior, logb)
    best = int(np.argmax(joint))
    return enumerate_paths(logb.shape[1], len(logb))[best], float(joint[best])


def iid_log_prior(params: Any, path: Paths) -> float:
    """``log p(z) = sum_i log weights[z_i]``: labels drawn independently."""
    with np.errstate(divide="ignore"):
        return float(np.log(params.weights[path]).sum())
