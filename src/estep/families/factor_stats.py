"""Moments of rows and factors: density, statistics, M-step and gradients of the factor-analytic normal family.

With z = x - a about an anchor a_k (the means at which the statistics were made) and e = mu - a, a column's residual sum is

    R_j = sum r E (z_j - b_j g)^2 = S_j - 2 C_j b_j' + b_j F b_j',      g = (f, 1),  b_j = (L_j, e_j)
    q = -1/2 sum_k [ n d log 2 pi + sum_j (c log psi_j + R_j / psi_j) + n q log 2 pi + sum_m F_mm ]      (m <= q)

symbol   variable    shape               meaning
F        gram        (k, q + 1, q + 1)   sum of g g'; its last entry is n, the weight of the rows
C        cross       (k, d, q + 1)       sum of z g'; its last column is the sum of z
S        square      (k, d)              sum of z_j^2
c        logdet      (k,)                weight of log psi: n, and what a prior imagines
a        anchor      (k, d)              shared

Source: Rubin & Thayer (1982), Psychometrika 47:69, equations 5 to 8; the missing entries as in Little & Rubin (2002) 11.2.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.core.record import Array, record, shared
from estep.core.support import Pattern, Positive, Support
from estep.families.normal_density import NormalBlock, PatternRows

LOG_2PI = math.log(2.0 * math.pi)


@record
class FactorParams:
    """``means`` (k, d), ``loadings`` (k, d, q), ``uniquenesses`` (k, d)."""

    means: Array
    loadings: Array
    uniquenesses: Array


@record
class FactorStats:
    """Expected moments of rows and factors; see the module's table."""

    gram: Array
    cross: Array
    square: Array
    logdet: Array
    anchor: Array = shared()

    @property
    def count(self) -> Array:
        """Weight of each component's rows, (k,)."""
        return self.gram[:, -1, -1]


@dataclasses.dataclass(frozen=True)
class AtLeast:
    """Numbers at or above a floor; the coordinate is the logarithm."""

    positive: Positive
    floor: Array

    @property
    def pattern(self) -> Pattern:
        """Fixed and tied entries."""
        return self.positive.pattern

    @property
    def count(self) -> int:
        """Free coordinates."""
        return self.positive.count

    def check(self, name: str, value: Array) -> None:
        """Raise ValueError unless every entry is above zero, and every free one at its floor or above."""
        self.positive.check(name, value)
        low = (value < self.floor * (1.0 - 1e-9)) & (self.pattern.groups >= 0)
        if low.any():
            at = tuple(int(i) for i in np.argwhere(low)[0])
            raise ValueError(f"{name}{list(at)} is {value[at]:.4g}, below its floor {self.floor[at]:.4g}; raise it or fix it")

    def pack(self, value: Array, base: Array) -> Array:
        """Logarithms of the free values."""
        return self.positive.pack(value, base)

    def unpack(self, vector: Array, base: Array) -> Array:
        """The value at ``vector``, raised to the floor."""
        return np.where(self.pattern.groups >= 0, np.maximum(self.positive.unpack(vector, base), self.lowest), base)

    def pull(self, value: Array, gradient: Array) -> Array:
        """Gradient in coordinates from the gradient in the value."""
        return self.positive.pull(value, gradient)

    @property
    def lowest(self) -> Array:
        """The floor of every entry: the highest among those tied to it."""
        if self.pattern.free:
            return self.floor
        top = np.zeros(self.pattern.count)
        moving = self.pattern.groups >= 0
        np.maximum.at(top, self.pattern.groups[moving], self.floor[moving])
        return np.where(moving, top[np.maximum(self.pattern.groups, 0)] if top.size else 0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Posterior:
    """The law of the factors given the observed columns of one pattern, under one component."""

    mean: Array  # (observed,)
    weights: Array  # E[f] = weights' u, (observed, q)
    spread: Array  # Cov f, (q, q)
    half: Array  # quadratic form u' Sigma^-1 u = |u / sqrt psi|^2 - |half' u|^2, (observed, q)
    root: Array  # 1 / sqrt psi, (observed,)
    constant: float


def posterior(params: FactorParams, observed: tuple[int, ...], k: int) -> Posterior:
    """The factors' law given the ``observed`` columns, once a pass."""
    return remembered(params, ("posterior", observed, k), lambda: _posterior(params, list(observed), k))  # type: ignore[no-any-return]


def _posterior(params: FactorParams, seen: list[int], k: int) -> Posterior:
    loadings, noise = params.loadings[k, seen], params.uniquenesses[k, seen]
    scaled = loadings / noise[:, None]
    lower = np.linalg.cholesky(np.eye(loadings.shape[1]) + loadings.T @ scaled)
    inverse = np.linalg.inv(lower)
    spread = inverse.T @ inverse
    logdet = np.log(noise).sum() + 2.0 * np.log(np.diagonal(lower)).sum()
    constant = -0.5 * (len(seen) * LOG_2PI + float(logdet))
    return Posterior(params.means[k, seen], scaled @ spread, spread, scaled @ inverse.T, 1.0 / np.sqrt(noise), constant)


def _about(part: PatternRows, anchor: Array, law: Posterior) -> Array:
    """Observed entries about the component's mean, (observed, rows)."""
    return part.z - (law.mean - anchor[list(part.observed)])[:, None]


def log_density(params: FactorParams, block: NormalBlock) -> Array:
    """Log densities of the observed entries under every component, (n, k)."""
    out = np.zeros((len(params.means), block.n))
    for part in block.patterns:
        for k in range(len(out)):
            law = posterior(params, part.observed, k)
            u = _about(part, block.anchor, law)
            plain, explained = law.root[:, None] * u, law.half.T @ u
            squares = np.einsum("ij,ij->j", plain, plain) - np.einsum("ij,ij->j", explained, explained)
            out[k, part.rows] = law.constant - 0.5 * squares
    return out.T


def factor_means(params: FactorParams, block: NormalBlock) -> Array:
    """E[f | observed entries] under every component, (n, k, q)."""
    out = np.zeros((block.n, len(params.means), params.loadings.shape[2]))
    for part in block.patterns:
        for k in range(len(params.means)):
            law = posterior(params, part.observed, k)
            out[part.rows, k] = _about(part, block.anchor, law).T @ law.weights
    return out


def expected_stats(params: FactorParams, block: NormalBlock, resp: Array) -> FactorStats:
    """Expected moments of rows and factors, about the means."""
    k, d, q = params.loadings.shape
    sums = imagined(k, q, np.zeros(d), 0.0, np.zeros(d))
    for part in block.patterns:
        r = resp.T if isinstance(part.rows, slice) else resp.T[:, part.rows]
        for j in range(k):
            _add(sums, params, part, block.anchor, r[j], j)
    return dataclasses.replace(sums, logdet=sums.count.copy(), anchor=params.means)


def _add(sums: FactorStats, params: FactorParams, part: PatternRows, anchor: Array, r: Array, k: int) -> None:
    """Add the rows of one pattern, weighted by ``r``, to the sums of component ``k`` (arrays that are still ours)."""
    law = posterior(params, part.observed, k)
    q, u = len(law.spread), _about(part, anchor, law)
    g = np.ones((q + 1, len(r)))
    g[:q] = law.weights.T @ u
    weighted = g * r
    gram = weighted @ g.T
    gram[:q, :q] += gram[q, q] * law.spread
    seen = list(part.observed)
    hidden = [j for j in range(params.means.shape[1]) if j not in part.observed]
    sums.gram[k] += gram
    sums.cross[k, seen] += u @ weighted.T
    sums.square[k, seen] += (u * u) @ r
    if hidden:
        loadings = params.loadings[k, hidden]
        cross = loadings @ gram[:q]
        sums.cross[k, hidden] += cross
        sums.square[k, hidden] += (cross[:, :q] * loadings).sum(axis=1) + gram[q, q] * params.uniquenesses[k, hidden]


def imagined(k: int, q: int, anchor: Array, logdet: float, square: Array) -> FactorStats:
    """Statistics of no rows, with ``logdet`` imaginary residuals whose squares sum to ``square`` (d,)."""
    return FactorStats(
        gram=np.zeros((k, q + 1, q + 1)),
        cross=np.zeros((k, anchor.size, q + 1)),
        square=np.tile(np.asarray(square, dtype=float), (k, 1)),
        logdet=np.full(k, float(logdet)),
        anchor=np.tile(anchor, (k, 1)),
    )


def reanchor(stats: FactorStats, anchor: Array) -> FactorStats:
    """The same moments about another anchor (k, d)."""
    e, n = anchor - stats.anchor, stats.count[:, None]
    cross = stats.cross - e[:, :, None] * stats.gram[:, None, -1]
    square = stats.square - 2.0 * e * stats.cross[:, :, -1] + n * e**2
    return dataclasses.replace(stats, cross=cross, square=square, anchor=anchor)


def coefficients(params: FactorParams, stats: FactorStats) -> Array:
    """b = (L, mu - a), (k, d, q + 1)."""
    return np.concatenate([params.loadings, (params.means - stats.anchor)[:, :, None]], axis=2)


def residual(b: Array, stats: FactorStats) -> Array:
    """R (k, d): expected squared residuals of every column."""
    return np.asarray(stats.square - ((2.0 * stats.cross - b @ stats.gram) * b).sum(axis=2))


def maximise(stats: FactorStats, params: FactorParams, means: Pattern, loadings: Pattern, noise: AtLeast) -> FactorParams:
    """Each column regressed on the factors over its free coefficients, then the uniquenesses from its residuals."""
    held = np.concatenate([loadings.groups < 0, (means.groups < 0)[:, :, None]], axis=2)
    given = np.concatenate([loadings.values, (means.values - stats.anchor)[:, :, None]], axis=2)
    b = np.where(held, given, coefficients(params, stats))
    for c in np.flatnonzero(stats.count > 0):
        b[c] = _regressions(stats.gram[c], stats.cross[c], held[c], b[c])
    q = params.loadings.shape[2]
    return FactorParams(stats.anchor + b[:, :, q], b[:, :, :q], _noise(residual(b, stats), stats, params, noise))


def _regressions(gram: Array, cross: Array, held: NDArray[np.bool_], now: Array) -> Array:
    """Coefficients (d, q + 1) of every column on the factors, some held where they are."""
    if not held.any():
        return np.asarray(np.linalg.solve(gram, cross.T).T, dtype=float)
    out = now.copy()
    for j, free in enumerate(~held):
        if free.any():
            left = cross[j, free] - gram[np.ix_(free, ~free)] @ out[j, ~free]
            out[j, free] = np.linalg.solve(gram[np.ix_(free, free)], left)
    return out


def _noise(rest: Array, stats: FactorStats, params: FactorParams, noise: AtLeast) -> Array:
    weights = np.broadcast_to(stats.logdet[:, None], rest.shape)
    pattern = noise.pattern
    total, weight = pattern.pool(rest), pattern.pool(weights)
    free = np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), pattern.pick(params.uniquenesses))
    return np.where(pattern.groups >= 0, np.maximum(pattern.spread(free), noise.lowest), pattern.values)


def complete_loglik(params: FactorParams, stats: FactorStats) -> float:
    """q: the complete-data log-likelihood of rows and factors in nats."""
    d, q = params.loadings.shape[1:]
    noise = params.uniquenesses
    inside = stats.logdet[:, None] * np.log(noise) + residual(coefficients(params, stats), stats) / noise
    constant = stats.count.sum() * (d + q) * LOG_2PI + np.trace(stats.gram[:, :q, :q], axis1=1, axis2=2).sum()
    return float(-0.5 * (constant + inside.sum()))


def gradient(params: FactorParams, stats: FactorStats) -> dict[str, Array]:
    """dq / dmeans (k, d), dloadings (k, d, q), duniquenesses (k, d)."""
    b, noise = coefficients(params, stats), params.uniquenesses
    slope = (stats.cross - b @ stats.gram) / noise[:, :, None]
    spread = -0.5 * (stats.logdet[:, None] / noise - residual(b, stats) / noise**2)
    return {"means": slope[:, :, -1], "loadings": slope[:, :, :-1], "uniquenesses": spread}


def unit_gradients(params: FactorParams, block: NormalBlock, resp: Array) -> Array:
    """Per row, the gradient with respect to means, loadings and uniquenesses, flattened in that order: (n, k d (q + 2))."""
    k, d, q = params.loadings.shape
    level, slope, spread = np.zeros((block.n, k, d)), np.zeros((block.n, k, d, q)), np.zeros((block.n, k, d))
    for part in block.patterns:
        rows = np.arange(block.n) if isinstance(part.rows, slice) else part.rows
        seen = np.array(part.observed, dtype=np.intp)
        for j in range(k):
            law, r = posterior(params, part.observed, j), resp[rows, j]
            loadings, noise = params.loadings[j, seen], params.uniquenesses[j, seen]
            f = _about(part, block.anchor, law).T @ law.weights
            u = _about(part, block.anchor, law).T - f @ loadings.T
            doubt = loadings @ law.spread
            at = np.ix_(rows, np.array([j]), seen)
            level[at] = (r[:, None] * u / noise)[:, None]
            slope[at] = (r[:, None, None] * (u[:, :, None] * f[:, None, :] - doubt) / noise[:, None])[:, None]
            rest = u**2 + (doubt * loadings).sum(axis=1)
            spread[at] = (-0.5 * r[:, None] * (1.0 / noise - rest / noise**2))[:, None]
    return np.concatenate([part.reshape(block.n, -1) for part in (level, slope, spread)], axis=1)


def pulls(params: FactorParams, support: Support) -> Array:
    """The linear map from flattened gradients (means, loadings, uniquenesses) to free coordinates, (k d (q + 2), p)."""
    shapes = {n: np.shape(getattr(params, n)) for n in ("means", "loadings", "uniquenesses")}
    rows = []
    for name, shape in shapes.items():
        for i in range(int(np.prod(shape))):
            unit = {n: np.zeros(s) for n, s in shapes.items()}
            unit[name].ravel()[i] = 1.0
            rows.append(support.pull(params, unit))
    return np.array(rows)


def principal(total: Array, q: int, noise: str) -> tuple[Array, Array]:
    """Loadings (d, q) along the principal axes, and uniquenesses (d,): of the correlations, or for equal noise as they are."""
    d = len(total)
    sd = np.ones(d) if noise == "spherical" else np.sqrt(np.diagonal(total))
    values, vectors = np.linalg.eigh(total / np.outer(sd, sd))
    values, vectors = values[::-1], vectors[:, ::-1]
    mean = float(np.diagonal(total / np.outer(sd, sd)).mean())
    rest = max(float(values[q:].sum()) / d, 0.05 * mean)
    loadings = vectors[:, :q] * np.sqrt(np.maximum(values[:q] - rest, 0.1 * mean))
    if noise == "spherical":
        return loadings, np.full(d, rest)
    return loadings * sd[:, None], np.maximum(1.0 - (loadings**2).sum(axis=1), 0.1) * sd**2
