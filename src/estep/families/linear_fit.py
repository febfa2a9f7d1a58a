"""The M-step of linear regressions: maximise q over coefficients and scales from cross-products.

    q = sum_k -1/2 [ n_k log 2 pi + c_k log sigma_k^2 + (S_k(phi_k) + pen_k phi_k^2) / sigma_k^2 ]
    S_k(phi) = d' cross_k d,   d = (-T (phi - base), 1)

With free coefficients each component is a weighted least-squares problem, whatever its scale. Values shared between components
weigh each by 1 / sigma^2: coefficients and scales then alternate, each raising q, until the gain is below RESTED.

Source: Meng & Rubin (1993), Biometrika 80:267, for the alternation.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array, record, shared
from estep.core.support import Pattern
from estep.families.regression import phi_of
from estep.families.regression_rows import known, weighted
from estep.kernels.design import Design, features, inner, pulled
from estep.kernels.local import Chart, blocks_of, solved

RESTED = 1e-15
_SWEEPS = 1000
SHRUNK = 1e-10
VANISHED = 1e-20
NEAR = 1e-6


@record
class LinearParams:
    """Coefficients (k, p), intercepts (k,) and standard deviations (k,)."""

    coefs: Array
    intercepts: Array
    scales: Array


@record
class LinearStats:
    """Cross-products of features and residuals, weight of log sigma, and ridge; see linear_regression.py."""

    cross: Array
    logdet: Array
    penalty: Array
    base: Array = shared()

    @property
    def count(self) -> Array:
        """Weight of each component's rows, (k,)."""
        return self.cross[:, 0, 0]


@dataclasses.dataclass(frozen=True)
class Squares:
    """The whole data about a regression: the least-squares step from it, sums of squares and weight."""

    step: Array
    residual: float
    response: float
    weight: float


@record
class Products:
    """Cross-products of whole data."""

    cross: Array


def squares(family: Any, data: Any, phi: Array) -> Squares:
    """The step to the least-squares regression of the whole data from ``phi``, and what is left before it."""
    design = known(family)
    theta = inner(design, phi)

    def part(chunk: Any) -> Products:
        x, y, offset, weight = weighted(family, chunk)
        z = features(design, x)
        u = np.column_stack([z, (y - offset - theta[0]) - z[:, 1:] @ theta[1:]])
        return Products((u * weight[:, None]).T @ u)

    cross = data.sum(part).cross
    move = np.zeros(phi.size)
    free = slice(0 if family.intercept else 1, phi.size)
    if move[free].size:
        gram = cross[:-1, :-1][free, free] + np.diag(np.r_[0.0, np.full(phi.size - 1, family.ridge)][free])
        move[free] = solved(gram, cross[:-1, -1][free])
    return Squares(move, float(cross[-1, -1]), _response_squares(cross, theta), float(cross[0, 0]))


def _response_squares(cross: Array, theta: Array) -> float:
    """Sum of squares of the response about the intercept alone."""
    slopes = np.r_[0.0, theta[1:], 1.0]
    return float(slopes @ cross @ slopes)


def maximise(
    stats: LinearStats, params: LinearParams, pattern: Pattern, scales: Pattern, design: Design, spread: float
) -> LinearParams:
    """The parameters that maximise q under the given patterns, from ``params``; raises Collapsed on a scale of zero."""
    blocks = blocks_of(pattern)
    now = _with_scales(stats, _with_phi(stats, params, pattern, blocks, design), scales, design, spread)
    if all(members.size == 1 for members in blocks):
        return now
    value = complete_loglik(now, stats, design)
    for _ in range(_SWEEPS):
        new = _with_scales(stats, _with_phi(stats, now, pattern, blocks, design), scales, design, spread)
        gain = complete_loglik(new, stats, design) - value
        if not gain > 0:
            break
        now, value = new, value + gain
        if gain <= RESTED * (1.0 + abs(value)):
            break
    return now


def _with_phi(
    stats: LinearStats, params: LinearParams, pattern: Pattern, blocks: list[NDArray[np.intp]], design: Design
) -> LinearParams:
    """Least squares for given scales; what nothing informs stays where it is."""
    phi = pattern.spread(pattern.pick(phi_of(params)))
    precision = 1.0 / params.scales**2
    for _ in range(2):  # the second round takes back the rounding of the first
        left = _left(stats, phi, design)
        for members in blocks:
            weight = (precision[members] if members.size > 1 else np.ones(1))[:, None, None]
            chart = Chart.of(Pattern(pattern.groups[members], pattern.values[members]), design)
            gradient, curvature = chart.slope(
                left[members, None] * weight,
                stats.cross[members, :-1, :-1] * weight,
                stats.penalty[members, None] * weight,
                phi[members],
            )
            phi[members] += chart.moved(solved(curvature, gradient))
        phi = pattern.spread(pattern.pick(phi))
    return LinearParams(phi[:, 0, 1:], phi[:, 0, 0], params.scales)


def _left(stats: LinearStats, phi: Array, design: Design) -> Array:
    """``sum_i r_ik z_i (y_i - eta_ik)``, (k, m)."""
    theta = inner(design, phi[:, 0] - stats.base)
    return np.asarray(stats.cross[:, :-1, -1] - np.einsum("kij,kj->ki", stats.cross[:, :-1, :-1], theta))


def residual_squares(params: LinearParams, stats: LinearStats, design: Design) -> Array:
    """S_k + pen phi^2, (k,): weighted squares about the fit, and the penalty."""
    phi = phi_of(params)[:, 0]
    d = np.concatenate([-inner(design, phi - stats.base), np.ones((len(phi), 1))], axis=1)
    found = np.einsum("ki,kij,kj->k", d, stats.cross, d)
    return np.asarray(np.maximum(found, 0.0) + (stats.penalty * phi**2).sum(axis=1))


def _with_scales(stats: LinearStats, params: LinearParams, scales: Pattern, design: Design, spread: float) -> LinearParams:
    left = residual_squares(params, stats, design)
    pooled, weight = scales.pool(left), scales.pool(np.maximum(stats.logdet, 0.0))
    free = scales.pick(params.scales).copy()
    told = weight > 0
    variance = pooled[told] / weight[told]
    if (variance <= VANISHED * spread).any():
        first = int(np.flatnonzero(told)[np.argmax(variance <= VANISHED * spread)])
        k = int(np.flatnonzero(scales.groups == first)[0])
        raise Collapsed(k, "its regression passes through its rows exactly, with no error left")
    free[told] = np.sqrt(variance)
    return LinearParams(params.coefs, params.intercepts, scales.spread(free))


def complete_loglik(params: LinearParams, stats: LinearStats, design: Design) -> float:
    """q: the complete-data log-likelihood in nats."""
    left = residual_squares(params, stats, design) / params.scales**2
    return float(-0.5 * (stats.count.sum() * np.log(2.0 * np.pi) + (2.0 * stats.logdet * np.log(params.scales) + left).sum()))


def gradient(params: LinearParams, stats: LinearStats, design: Design) -> dict[str, Array]:
    """Gradient of q in coefs, intercepts and scales."""
    phi = phi_of(params)
    slope = pulled(design, _left(stats, phi, design)) - stats.penalty * phi[:, 0]
    slope = slope / params.scales[:, None] ** 2
    left = residual_squares(params, stats, design)
    scales = (left / params.scales**2 - stats.logdet) / params.scales
    return {"coefs": slope[:, 1:], "intercepts": slope[:, 0], "scales": scales}


def align(self: Any, prior: LinearStats, stats: LinearStats) -> LinearStats:
    """``prior`` (or other statistics) about the regression of ``stats``: residuals e become e - z' T (base' - base)."""
    turn = np.eye(prior.cross.shape[1])
    turn[-1, :-1] = -inner(known(self), stats.base - prior.base)
    return dataclasses.replace(prior, cross=turn @ prior.cross @ turn.T, base=stats.base)


def dying(params: LinearParams, stats: LinearStats, moving: NDArray[np.bool_], spread: float) -> Collapsed | None:
    """The first component whose error variance fell below SHRUNK of the pooled one, or None."""
    pooled = _pooled(params, stats)
    if moving.any() and pooled < VANISHED * spread:
        return Collapsed(int(np.argmin(params.scales)), "the regressions pass through all rows exactly")
    thin = params.scales**2 / max(pooled, np.finfo(float).tiny)
    for k in np.flatnonzero((thin < SHRUNK) & moving):
        return Collapsed(int(k), f"its error variance fell to {thin[k]:.1e} of the pooled one")
    return None


def frail(params: LinearParams, stats: LinearStats, moving: NDArray[np.bool_]) -> Collapsed | None:
    """The first component whose error variance is below NEAR of the pooled one, or None."""
    thin = params.scales**2 / max(_pooled(params, stats), np.finfo(float).tiny)
    for k in np.flatnonzero((thin < NEAR) & moving):
        return Collapsed(int(k), f"its error variance is {thin[k]:.1e} of the pooled one")
    return None


def _pooled(params: LinearParams, stats: LinearStats) -> float:
    """Error variance within components, averaged over rows."""
    count = np.maximum(stats.count, 0.0)
    return float(count @ params.scales**2 / max(float(count.sum()), np.finfo(float).tiny))
