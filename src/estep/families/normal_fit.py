"""The M-step of a normal family: maximise q over means and covariances from anchored moments.

    q = sum_k -1/2 [ n_k d log 2 pi + c_k log|Sigma_k| + tr(Sigma_k^{-1} M_k) ]
    M_k = S_k - e s' - s e' + n e e',   e = mu_k - a_k

Free means: mu_k = a_k + s_k / n_k whatever the covariances, then Sigma from M_k. Means with fixed or tied entries depend on
the covariances: with mu = A phi + b (phi the free values), phi solves (A' H A) phi = A' H (xbar - b), H = diag(n_k P_k).
The two steps alternate, each raising q, until the gain is below RESTED of the whole.

Source: Celeux & Govaert (1995), Pattern Recognition 28:781, for the covariances; generalised least squares for the means.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.support import Pattern
from estep.families.covariance_support import DiagonalCovariances, WholeCovariances
from estep.families.normal_density import LOST, Factors, NormalParams, factor, factored
from estep.families.normal_moments import NormalStats, about, split

RESTED = 1e-14
_SWEEPS = 500


def maximise(
    stats: NormalStats, params: NormalParams, means: Pattern, covariances: WholeCovariances | DiagonalCovariances
) -> NormalParams:
    """Parameters that maximise q under the given patterns, never below ``params``."""
    diagonal, d = params.covariances.ndim == 2, params.means.shape[1]
    count, total, second = split(stats.features, d, diagonal)
    filled = count > 0
    centre = np.where(filled[:, None], stats.anchor + total / np.where(filled, count, 1.0)[:, None], params.means)
    if means.free:
        scatter = about(count, total, second, centre - stats.anchor)[1]
        return NormalParams(centre, covariances.maximise(scatter, stats.logdet, params.covariances))
    return _alternate(stats, params, means, covariances, centre)


def _alternate(
    stats: NormalStats,
    params: NormalParams,
    means: Pattern,
    covariances: WholeCovariances | DiagonalCovariances,
    centre: Array,
) -> NormalParams:
    d = params.means.shape[1]
    count, total, second = split(stats.features, d, params.covariances.ndim == 2)
    now, value, span = params, complete_loglik(params, stats), 0.0
    for _ in range(_SWEEPS):
        mu = constrained_means(means, centre, count, now.covariances, now.means)
        scatter = about(count, total, second, mu - stats.anchor)[1]
        new = NormalParams(mu, covariances.maximise(scatter, stats.logdet, now.covariances))
        gain = complete_loglik(new, stats) - value
        if not gain > 0:
            break
        now, value, span = new, value + gain, span + gain
        if gain <= RESTED * span or gain <= RESTED * abs(value):
            break
    return now


def constrained_means(pattern: Pattern, centre: Array, count: Array, covariances: Array, current: Array) -> Array:
    """The means under ``pattern`` that maximise q for given covariances; values nothing informs stay at ``current``."""
    if pattern.count == 0:
        return pattern.spread(np.empty(0))
    k, d = centre.shape
    rest = np.where(pattern.groups < 0, pattern.values, 0.0)
    basis = np.zeros((k, d, pattern.count))
    moving = np.nonzero(pattern.groups >= 0)
    basis[*moving, pattern.groups[moving]] = 1.0
    whiten, _ = factor(covariances)
    if whiten.ndim == 2:
        scaled, gap = whiten[:, :, None] * basis, whiten * (centre - rest)
    else:
        scaled, gap = whiten @ basis, (whiten @ (centre - rest)[:, :, None])[:, :, 0]
    root = np.sqrt(np.maximum(count, 0.0))
    scaled, gap = scaled * root[:, None, None], gap * root[:, None]
    gram = np.einsum("kif,kig->fg", scaled, scaled)
    right = np.einsum("kif,ki->f", scaled, gap)
    informed = np.diagonal(gram) > 0
    free = pattern.pick(current).copy()
    if informed.any():
        free[informed] = np.linalg.solve(gram[np.ix_(informed, informed)], right[informed])
    return pattern.spread(free)


def complete_loglik(params: NormalParams, stats: NormalStats) -> float:
    """q: the complete-data log-likelihood in nats from anchored moments."""
    d = params.means.shape[1]
    residual, law = _residual(params, stats)
    whiten = law.whiten
    count = stats.count
    inside = whiten**2 * residual if whiten.ndim == 2 else (whiten @ residual) * whiten
    spread = inside.reshape(len(inside), -1).sum(axis=1)
    return float(-0.5 * (count.sum() * d * np.log(2 * np.pi) + (stats.logdet * law.logdet).sum() + spread.sum()))


def gradient(params: NormalParams, stats: NormalStats) -> dict[str, Array]:
    """dq/dmeans (k, d) and dq/dcovariances: P (s - n e) and -1/2 (c P - P M P)."""
    residual, law = _residual(params, stats)
    precision = law.precision
    count, total, _ = split(stats.features, params.means.shape[1], residual.ndim == 2)
    moved = total - count[:, None] * (params.means - stats.anchor)
    if residual.ndim == 2:
        return {"means": precision * moved, "covariances": -0.5 * (stats.logdet[:, None] * precision - precision**2 * residual)}
    curve = stats.logdet[:, None, None] * precision - precision @ residual @ precision
    return {"means": (precision @ moved[:, :, None])[:, :, 0], "covariances": -0.5 * curve}


def closer(params: NormalParams, stats: NormalStats) -> NormalParams | None:
    """Parameters with the means of ``stats`` and variances so small that moments are counted about each mean, if need be.

    The second moment about the anchor is shift^2 + variance; epsilon times shift^2 / variance is what its difference loses.
    """
    d, diagonal = params.means.shape[1], params.covariances.ndim == 2
    count, total, second = split(stats.features, d, diagonal)
    filled = np.maximum(count, np.finfo(float).tiny)[:, None]
    shift = total / filled
    square = second / filled if diagonal else np.diagonal(second, axis1=1, axis2=2) / filled
    lost = np.finfo(float).eps * shift**2
    if not (lost > LOST * np.maximum(square - shift**2, 0.0)).any():
        return None
    variances = np.maximum(square - shift**2, np.maximum(lost, np.finfo(float).tiny))
    return NormalParams(stats.anchor + shift, variances if diagonal else variances[:, :, None] * np.eye(d))


def _residual(params: NormalParams, stats: NormalStats) -> tuple[Array, Factors]:
    count, total, second = split(stats.features, params.means.shape[1], params.covariances.ndim == 2)
    return about(count, total, second, params.means - stats.anchor)[1], factored(params)


def dying(params: NormalParams, stats: NormalStats, moving: NDArray[np.bool_], total: Array) -> Collapsed | None:
    """The first free component that has collapsed, or None.

    Collapsed: smallest eigenvalue below SHRUNK of the pooled within-component variance in the same direction, that pooled
    variance itself below VANISHED of the data's total variance, or a correlation matrix that is singular to rounding.
    """
    try:
        shrinkage = relative_spread(params, stats.count)
    except Collapsed as gone:
        return gone
    weight = stats.count / max(float(stats.count.sum()), np.finfo(float).tiny)
    diagonal = params.covariances if params.covariances.ndim == 2 else np.diagonal(params.covariances, axis1=1, axis2=2)
    if np.any(weight @ diagonal < VANISHED * np.diagonal(total)):
        return Collapsed(int(np.argmin(stats.count)), "the components fit the rows exactly, with no variance left within them")
    for k in np.flatnonzero((shrinkage < SHRUNK) & moving):
        return Collapsed(int(k), f"its smallest variance fell to {shrinkage[k]:.1e} of the pooled one in the same direction")
    if (flat := flattest(params)) is not None and moving[flat]:
        why = "some columns follow from others in it, or rows are too few"
        return Collapsed(flat, f"its covariance is singular to rounding: {why}")
    if len(shrinkage) == 1 and params.covariances.ndim == 3 and (ratio := spread_in_data(params, total)) < SHRUNK:
        return Collapsed(0, f"its smallest variance fell to {ratio:.1e} of the data's in the same direction")
    return None


def flattest(params: NormalParams) -> int | None:
    """The first component whose covariance is singular to rounding, or None, whether its factors exist or not by luck.

    1 / sum_j P_jj Sigma_jj lies between the smallest eigenvalue of the correlation matrix and that eigenvalue over d.
    """
    if params.covariances.ndim == 2:
        return None
    diagonals = [np.diagonal(a, axis1=1, axis2=2) for a in (factored(params).precision, params.covariances)]
    flat = np.flatnonzero(ROUNDED * params.means.shape[1] * (diagonals[0] * diagonals[1]).sum(axis=1) > 1.0)
    return int(flat[0]) if flat.size else None


def spread_in_data(params: NormalParams, total: Array) -> float:
    """Of a single component, the smallest ratio of its variance to the data's over all directions.

    Complete rows give one. The data's covariance, of rows with missing entries from the pairs that are seen, may be indefinite;
    its variances alone are compared with then.
    """
    try:
        np.linalg.cholesky(total)
    except np.linalg.LinAlgError:
        total = np.diag(np.diagonal(total))
    whiten = factored(params).whiten[0]
    return float(1.0 / np.linalg.eigvalsh(whiten @ total @ whiten.T)[-1])


def relative_spread(params: NormalParams, count: Array) -> Array:
    """Per component, the smallest ratio of its variance to the pooled within-component variance over all directions.

    The bound 1 / trace(Sigma_k^{-1} Sigma_within) <= smallest ratio settles the common case; below LOOK eigenvalues do.
    """
    law = factored(params)
    weight = count / max(float(count.sum()), np.finfo(float).tiny)
    pooled = weight @ params.covariances.reshape(len(weight), -1)
    if params.covariances.ndim == 2:
        return np.asarray((params.covariances / np.where(pooled > 0, pooled, 1.0)).min(axis=1))
    ratio = 1.0 / np.maximum(law.precision.reshape(len(weight), -1) @ pooled, np.finfo(float).tiny)
    for k in np.flatnonzero(ratio < LOOK):
        seen = law.whiten[k] @ pooled.reshape(params.covariances.shape[1:]) @ law.whiten[k].T
        ratio[k] = 1.0 / np.linalg.eigvalsh(seen)[-1]
    return np.asarray(ratio)


def frail(params: NormalParams, count: Array, moving: NDArray[np.bool_], minimum: float) -> Collapsed | None:
    """The first free component that has nearly collapsed: fewer than ``minimum`` rows, or spread below NEAR of the pooled."""
    thin = relative_spread(params, count)
    for k in np.flatnonzero(moving):
        if count[k] < minimum:
            return Collapsed(int(k), f"it holds only {count[k]:.3g} rows, its own covariance needs {minimum:g}")
        if thin[k] < NEAR:
            return Collapsed(int(k), f"its smallest variance is {thin[k]:.1e} of the pooled one in the same direction")
    return None


SHRUNK = 1e-10
VANISHED = 1e-20
NEAR = 1e-6
LOOK = 1e-4
ROUNDED = 16 * float(np.finfo(float).eps)
