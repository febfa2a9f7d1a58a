"""The weak conjugate prior of normal components, as imaginary statistics.

    mu_g | Sigma_g ~ Normal(m0, Sigma_g / kappa)          Sigma_g ~ inverse Wishart, gamma, ... with dof and scale

It only adds to the sums of the M-step (n_g, y_g, W_g: weight, mean, scatter of a component):

    mu_g     = (n_g y_g + kappa m0) / (n_g + kappa)
    Sigma    = fit(code, W_g + C_g + kappa n_g / (kappa + n_g) (y_g - m0)(y_g - m0)',  n_g + c_g)

with imaginary scatter C_g and imaginary counts c_g for the log-determinants. With b = 1 for kappa > 0 and b = 0
without a prior on the means, s the scalar and S the matrix scale, nu = dof:

    code      C_g           c_g                  code           C_g    c_g
    EII       s I / (k d)   (nu+2)/(k d) + b     EEE            S / k  (nu+d+1)/k + b
    VII       s I / d       (nu+2)/d + b         VVV VEE VVE    S      nu + d + 1 + b
    EEI       s I / k       (nu+2)/k + b         EEV EVE EVV    S      (nu+d+1)/k + b
    EVI       s I           (nu+2)/k + b         VEV            S      0
    VEI       s I           (nu+2+b)/d
    VVI       s I           nu + 2 + b

Defaults: m0 the mean of the data, kappa = 0.01, nu = d + 2, S = covariance / k^(2/d), s = tr S / d (for a singular
covariance, S is its diagonal).

These are the M-steps (``mstep`` of the R package mclust 6.0.0 under ``priorControl()``) of VII EEI VEI EVI VVI EEE VEV
VVV and of the univariate E and V (EII and VII at d = 1). For VEI mclust counts the prior of the mean once and not d
times, and for VEV it leaves every determinant out of the prior: both are the exact maximum of some imaginary
statistics, and kept. Two do not maximise a posterior and are not followed: its EII (d > 1) counts the prior but omits
the scale, where the printed formula is used here; its EEV omits kappa n/(kappa+n) (y-m0)(y-m0)' and the b of the mean,
which are in here, so that the two agree where kappa = 0. mclust has no prior for VEE EVE VVE EVV: where volumes vary
each component has the kernel of VVV restricted to the structure; where they are equal all share the determinant of one
inverse Wishart.

    symbol  variable       shape               meaning
    m0      mean           (d,)                where the means are drawn to
    kappa   mean_strength  number              in rows
    C_g     scatter        (k, d) | (k, d, d)  imaginary scatter, diagonals for the codes ..I
    c_g     logdet         (k,)                imaginary counts of the log-determinants

Source: Fraley and Raftery (2007), J. Classification 24:155, section 3 and tables 1 and 2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.families.covariance import is_diagonal

KEYS = ("mean", "mean_strength", "scale", "dof")


@dataclasses.dataclass(frozen=True)
class PriorParts:
    """Imaginary statistics: of the means ``mean, mean_strength``, of the covariances ``logdet, scatter``."""

    mean: Array
    mean_strength: float
    logdet: Array
    scatter: Array


def default_prior(
    code: str, mean: Array, covariance: Array, k: int, *, settings: Mapping[str, Any] | None = None
) -> PriorParts:
    """The conjugate prior of ``k`` components as imaginary statistics (formulas at the top of the module).

    ``mean`` (d,) and ``covariance`` (d, d) are those of the data, with divisor n - 1. ``settings`` replaces defaults:
    ``mean`` (d,), ``mean_strength`` >= 0 in rows, ``dof`` > 0, ``scale`` a positive number for the codes ..I (in
    squared units of the data) and a positive definite matrix (d, d) for the others.

    Raises
    ------
    ValueError
        When a setting is unknown, has the wrong shape or sign, or when a column of the data is constant.

    Source: Fraley and Raftery (2007), section 3.

    >>> parts = default_prior("VII", np.zeros(2), np.diag([1.0, 3.0]), 2)
    >>> parts.logdet, parts.scatter
    (array([4., 4.]), array([[0.5, 0.5],
           [0.5, 0.5]]))
    """
    mean, covariance = np.atleast_1d(np.asarray(mean, float)), np.atleast_2d(np.asarray(covariance, float))
    d = len(mean)
    chosen = dict(settings or {})
    if unknown := sorted(set(chosen) - set(KEYS)):
        raise ValueError(f"prior has the unknown settings {unknown}; known ones are {', '.join(KEYS)}")
    strength = _number("mean_strength", chosen.get("mean_strength", 0.01), zero=True)
    dof = _number("dof", chosen.get("dof", d + 2.0), zero=False)
    shift = np.atleast_1d(np.asarray(chosen.get("mean", mean), dtype=np.float64))
    if shift.shape != (d,) or not np.all(np.isfinite(shift)):
        raise ValueError(f"prior mean must be {d} finite numbers, one a column; got {shift!r}")
    scale = _scale(code, covariance, k, chosen.get("scale"))
    divisor, count = _TABLE[code]
    logdet = np.full(k, count(dof, d, k, float(strength > 0)))
    return PriorParts(shift, strength, logdet, np.repeat(scale[None] / divisor(d, k), k, axis=0))


def _number(name: str, value: Any, *, zero: bool) -> float:
    sign = ">= 0" if zero else "> 0"
    if np.ndim(value) != 0 or not np.isfinite(float(value)) or float(value) < 0 or (float(value) == 0 and not zero):
        raise ValueError(f"prior {name} must be a number {sign}; got {value!r}")
    return float(value)


def _scale(code: str, covariance: Array, k: int, given: Any) -> Array:
    """The scale as diagonal (d,) or matrix (d, d): given, or from the covariance of the data."""
    d = covariance.shape[0]
    if given is not None:
        return (_given_scalar if is_diagonal(code) else _given_matrix)(given, d)
    variances = np.diagonal(covariance)
    if not np.all(np.isfinite(covariance)) or not np.all(variances > 0):
        j = int(np.argmin(np.where(np.isfinite(variances), variances, -np.inf)))
        raise ValueError(f"column {j} has variance {variances[j]}; drop it or give prior scale")
    if is_diagonal(code):
        return np.full(d, float(variances.mean()) / k ** (2 / d))
    return np.asarray((covariance if _definite(covariance) else np.diag(variances)) / k ** (2 / d))


def _definite(matrix: Array) -> bool:
    sd = np.sqrt(np.diagonal(matrix))
    return bool(np.linalg.eigvalsh(matrix / np.outer(sd, sd))[0] > 1e-12)


def _given_scalar(given: Any, d: int) -> Array:
    return np.full(d, _number("scale", given, zero=False))


def _given_matrix(given: Any, d: int) -> Array:
    scale = np.atleast_2d(np.asarray(given, dtype=np.float64))
    if scale.shape != (d, d) or not np.all(np.isfinite(scale)) or not np.allclose(scale, scale.T, rtol=1e-10, atol=0):
        raise ValueError(f"prior scale must be a symmetric ({d}, {d}) matrix for the codes not ..I; got {given!r}")
    if not (np.all(np.diagonal(scale) > 0) and _definite(scale)):
        raise ValueError(f"prior scale must be positive definite; got {given!r}")
    return scale


Divisor = Callable[[int, int], float]
Count = Callable[[float, int, int, float], float]

_SHARED_WISHART: tuple[Divisor, Count] = (lambda d, k: 1.0, lambda nu, d, k, b: (nu + d + 1) / k + b)
_OWN_WISHART: tuple[Divisor, Count] = (lambda d, k: 1.0, lambda nu, d, k, b: nu + d + 1 + b)

_TABLE: dict[str, tuple[Divisor, Count]] = {
    "EII": (lambda d, k: k * d, lambda nu, d, k, b: (nu + 2) / (k * d) + b),
    "VII": (lambda d, k: d, lambda nu, d, k, b: (nu + 2) / d + b),
    "EEI": (lambda d, k: k, lambda nu, d, k, b: (nu + 2) / k + b),
    "VEI": (lambda d, k: 1.0, lambda nu, d, k, b: (nu + 2 + b) / d),
    "EVI": (lambda d, k: 1.0, lambda nu, d, k, b: (nu + 2) / k + b),
    "VVI": (lambda d, k: 1.0, lambda nu, d, k, b: nu + 2 + b),
    "EEE": (lambda d, k: k, lambda nu, d, k, b: (nu + d + 1) / k + b),
    "VEE": _OWN_WISHART,
    "EVE": _SHARED_WISHART,
    "VVE": _OWN_WISHART,
    "EEV": _SHARED_WISHART,
    "VEV": (lambda d, k: 1.0, lambda nu, d, k, b: 0.0),
    "EVV": _SHARED_WISHART,
    "VVV": _OWN_WISHART,
}
