"""Missing entries of normal rows given the observed ones: conditional means and draws.

With o observed and h hidden,  B = Sigma_ho Sigma_oo^-1,  C = Sigma_hh - B Sigma_oh:

    x_h | x_o ~ N(mu_h + B (x_o - mu_o), C)

Source: Little & Rubin (2002), Statistical Analysis with Missing Data, section 11.2.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.families.normal_density import NormalParams, regression


def conditional_means(params: NormalParams, x: Array, component: int = 0) -> Array:
    """Rows ``x`` (n, d) with missing entries at their conditional means under one component.

    >>> params = NormalParams(np.zeros((1, 2)), np.array([[[1.0, 0.5], [0.5, 1.0]]]))
    >>> conditional_means(params, np.array([[2.0, np.nan]])).tolist()
    [[2.0, 1.0]]
    """
    out = np.array(x, dtype=float)
    for rows, hidden, means, _ in _patterns(params, out, component):
        out[np.ix_(rows, hidden)] = means
    return out


def conditional_draws(params: NormalParams, x: Array, rng: np.random.Generator, component: int = 0) -> Array:
    """Rows ``x`` (n, d) with missing entries drawn from their conditional law under one component."""
    out = np.array(x, dtype=float)
    for rows, hidden, means, spread in _patterns(params, out, component):
        noise = rng.standard_normal((len(rows), len(hidden)))
        out[np.ix_(rows, hidden)] = means + noise @ _root(spread).T
    return out


Pattern = tuple[NDArray[np.intp], NDArray[np.intp], Array, Array]


def _patterns(params: NormalParams, x: Array, component: int) -> Iterator[Pattern]:
    """For each missing pattern: its rows, hidden columns, their conditional means (rows, h) and covariance (h, h)."""
    whole = _whole(params)
    mean, missing = whole.means[component], np.isnan(x)
    kinds, which = np.unique(missing, axis=0, return_inverse=True)
    for i, kind in enumerate(kinds):
        hidden, seen = np.flatnonzero(kind), np.flatnonzero(~kind)
        if not hidden.size:
            continue
        rows = np.flatnonzero(which.ravel() == i)
        b, spread = (part[component] for part in regression(whole, tuple(seen.tolist())))
        means = mean[hidden] + (x[np.ix_(rows, seen)] - mean[seen]) @ b[hidden].T
        yield rows, hidden, means, spread[np.ix_(hidden, hidden)]


def _whole(params: NormalParams) -> NormalParams:
    """The parameters with whole covariances."""
    if params.covariances.ndim == 3:
        return params
    return NormalParams(params.means, params.covariances[:, :, None] * np.eye(params.covariances.shape[1]))


def _root(spread: Array) -> Array:
    """A square root of a covariance, which may be singular."""
    values, vectors = np.linalg.eigh(spread)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
