"""Local statistics: a log-likelihood without sufficient statistics, to second order about the current coefficients.

    Q(phi) = sum_i l_i(theta z_i) - 1/2 sum pen beta^2,     theta = T phi (rows of coefficients), z_i whitened features

is known through its value, gradient g and curvature H (minus the Hessian) at ``at``. Records of the same ``at`` add.

    q(phi) = value + g'D - 1/2 D'H D - 1/2 sum pen beta^2,     D = T (phi - at)              (exact to second order at ``at``)

A step that cannot lower Q. With a logarithmic or logit link every l_i is generalised self-concordant: along D its curvature
grows no faster than exp(s t), where s bounds how far any row's predictors move apart. Hence, with h(u) = e^u - u - 1,

    Q(at + t D) - Q(at) >= t g'D - h(s t) / s^2 D'H D           greatest at   t = log(1 + s g'D / D'H D) / s

Newton's direction with this t is never wrong and turns into Newton's method as s falls. Where the curvature has a bound B
(logit links: B = (I - 11'/r)/2 x G, G the weighted Gram matrix), the maximum of ``g'D - D'B D / 2`` gains at least its own
value; the larger of the two promises is taken.

symbol   variable    shape
g        gradient    (k, r, m)       r linear predictors, m = 1 + p whitened features
H        curvature   (k, r m, r m)
G        gram        (k, m, m)       or None: no bound on the curvature
pen      penalty     (k, r, m)       ridge on (b, beta); it does not depend on ``at``
         at          (k, r, m)       phi, shared

Sources: Bach (2010), Electronic Journal of Statistics 4:384 (self-concordance); Sun & Tran-Dinh (2019), Mathematical
Programming 178:145 (damped steps); Boehning (1992), Annals of the Institute of Statistical Mathematics 44:197 (the bound).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, record, shared
from estep.core.support import Pattern
from estep.kernels.design import Design, inner, outer, pulled

RUNAWAY = 0.5
"""Distance (of a log-odds or log mean) that the next step would go, though nothing is left to gain, in a runaway fit."""
GAINLESS = 1e-2
"""Nats that such a step would gain, at most."""


@record
class LocalStats:
    """Value (k,), gradient, curvature, Gram matrix and penalty at ``at``; see the module's table."""

    value: Array
    gradient: Array
    curvature: Array
    gram: Array | None
    penalty: Array
    at: Array = shared()


def expansion(local: LocalStats, design: Design, phi: Array) -> Array:
    """q of each component, (k,): the log-likelihood to second order, less the penalty."""
    k = len(phi)
    moved = inner(design, phi - local.at)
    flat = moved.reshape(k, -1)
    slope = (local.gradient * moved).reshape(k, -1).sum(axis=1)
    bend = np.einsum("ki,kij,kj->k", flat, local.curvature, flat)
    return np.asarray(local.value + slope - 0.5 * bend - 0.5 * (local.penalty * phi**2).reshape(k, -1).sum(axis=1))


def slope(local: LocalStats, design: Design, phi: Array) -> Array:
    """Gradient of ``expansion`` in phi, (k, r, m)."""
    moved = inner(design, phi - local.at).reshape(len(phi), -1)
    left = local.gradient - np.einsum("kij,kj->ki", local.curvature, moved).reshape(local.gradient.shape)
    return pulled(design, left) - local.penalty * phi


def joined(intercepts: Pattern, coefs: Pattern) -> Pattern:
    """One pattern over phi = (b, beta) from those of b (...,) and beta (..., p)."""
    values = np.concatenate([intercepts.values[..., None], coefs.values], axis=-1)
    if intercepts.free and coefs.free:
        return Pattern(np.arange(values.size, dtype=np.intp).reshape(values.shape), values)
    shifted = np.where(coefs.groups >= 0, coefs.groups + intercepts.count, -1)
    return Pattern(np.concatenate([intercepts.groups[..., None], shifted], axis=-1), values)


def blocks_of(pattern: Pattern) -> list[NDArray[np.intp]]:
    """Components that can be fitted on their own: each by itself unless a free value is shared between two of them."""
    k = len(pattern.groups)
    if pattern.free:
        return [np.array([c]) for c in range(k)]
    owners = [set(g[g >= 0].ravel().tolist()) for g in pattern.groups.reshape(k, -1)]
    total = sum(len(owned) for owned in owners)
    if total == len(set().union(*owners)):
        return [np.array([c]) for c in range(k)]
    return [np.arange(k)]


@dataclasses.dataclass(frozen=True)
class Chart:
    """Coordinates u in which the free values of some components are well scaled: phi = U u, theta = V u.

    A predictor whose coefficients are all free and not tied has theta itself for coordinates; one with a free intercept the
    value at the mean of the covariates in its place, so that offsets cost no digits; others phi.

    ``groups`` (c, r m) says which of the free values ``used`` (f,) each coordinate is, -1 for none.
    """

    groups: NDArray[np.intp]
    used: NDArray[np.intp]
    to_phi: Array
    to_theta: Array

    @staticmethod
    def of(pattern: Pattern, design: Design) -> Chart:
        """The chart of a pattern (c, r, m)."""
        c, r, m = pattern.groups.shape
        eye = np.eye(m)
        times = np.bincount(pattern.groups[pattern.groups >= 0], minlength=1)
        alone = (pattern.groups >= 0) & (times[pattern.groups] == 1)
        back, turn = outer(design, eye).T, inner(design, eye).T
        half = eye.copy()
        half[0, 1:] = -design.centre
        to_phi = np.where(alone[..., :1, None], half, eye)
        to_phi = np.where(alone.all(axis=2)[..., None, None], back, to_phi)
        groups = pattern.groups.reshape(c, r * m)
        return Chart(groups, np.unique(groups[groups >= 0]), to_phi, turn @ to_phi)

    def slope(self, gradient: Array, curvature: Array, penalty: Array, phi: Array) -> tuple[Array, Array]:
        """Gradient (f,) and curvature (f, f) with the penalty, from those in theta, (c, r, m) and (c, r m, r m), at ``phi``."""
        c, r, m = phi.shape
        g = np.einsum("crai,cra->cri", self.to_theta, gradient) - np.einsum("crai,cra->cri", self.to_phi, penalty * phi)
        h = curvature.reshape(c, r, m, r, m).transpose(0, 1, 3, 2, 4)
        h = self.to_theta.swapaxes(2, 3)[:, :, None] @ h @ self.to_theta[:, None]
        own = np.arange(r)
        h[:, own, own] += (self.to_phi * penalty[..., None]).swapaxes(2, 3) @ self.to_phi
        return self._pooled(g.reshape(c, -1), h.transpose(0, 1, 3, 2, 4).reshape(c, r * m, r * m))

    def _pooled(self, g: Array, h: Array) -> tuple[Array, Array]:
        if len(g) == 1 and self.used.size == int((self.groups >= 0).sum()):
            at = np.flatnonzero(self.groups[0] >= 0)
            at = at[np.argsort(self.groups[0, at])]
            return g[0, at], h[0][np.ix_(at, at)]
        chosen = np.asarray(self.groups[..., None] == self.used, dtype=float)
        return np.einsum("cif,ci->f", chosen, g), (chosen.swapaxes(1, 2) @ h @ chosen).sum(axis=0)

    def moved(self, free: Array) -> Array:
        """How phi moves, (c, r, m), when the free values move by ``free``."""
        out = np.zeros(self.groups.shape)
        if self.used.size:
            at = self.groups >= 0
            out[at] = free[np.searchsorted(self.used, self.groups[at])]
        return np.asarray((self.to_phi @ out.reshape(self.to_phi.shape[:3])[..., None])[..., 0])


def solved(curvature: Array, gradient: Array) -> Array:
    """The step H^{-1} g, of least length where H leaves directions undetermined; safe for any scale of the coordinates."""
    size = np.sqrt(np.maximum(np.diagonal(curvature), 0.0))
    scale = np.where(size > 0, size, 1.0)
    even = curvature / np.outer(scale, scale)
    values, vectors = np.linalg.eigh(0.5 * (even + even.T))
    kept = values > 1e-13 * max(float(values.max(initial=0.0)), np.finfo(float).tiny)
    along = vectors.T @ (gradient / scale)
    return np.asarray((vectors @ np.where(kept, along / np.where(kept, values, 1.0), 0.0)) / scale)


def farthest(moved: Array, reach: float) -> float:
    """How far two predictors of a row can move apart, at most, when theta moves by ``moved`` (c, r, m)."""
    against = np.zeros_like(moved[:, :1]) if moved.shape[1] == 1 else moved
    gaps = moved[:, :, None, :] - against[:, None, :, :]
    lengths = np.abs(gaps[..., 0]) + reach * np.sqrt((gaps[..., 1:] ** 2).sum(axis=-1))
    return float(lengths.max(initial=0.0))


def damped(rise: float, bend: float, s: float) -> float:
    """The length t that maximises ``t rise - h(s t) / s^2 bend``; 0 where nothing rises.

    >>> round(damped(1.0, 1.0, 1e-9), 3), round(damped(1.0, 1.0, 2.0), 3)
    (1.0, 0.549)
    """
    if not (rise > 0 and np.isfinite(bend) and np.isfinite(s)):
        return 0.0
    if bend <= 0:
        return 1.0
    ratio = rise / bend
    return ratio if s * ratio < 1e-6 else float(np.log1p(s * ratio) / s)


def bound_curvature(gram: Array, r: int) -> Array:
    """B: no smaller than the curvature of a logit log-likelihood, wherever it is taken, (c, r m, r m)."""
    shape = np.full((1, 1), 0.25) if r == 1 else 0.5 * (np.eye(r) - 1.0 / r)
    return np.stack([np.kron(shape, g) for g in gram])


def sure_gain(local: LocalStats, design: Design, phi: Array) -> float:
    """What Q is sure to gain, in nats, when coefficients move from ``at`` to ``phi`` (c, r, m): the larger of two bounds."""
    moved = inner(design, phi - local.at)
    flat = moved.reshape(len(phi), -1)
    rise = float((local.gradient * moved).sum()) - 0.5 * float((local.penalty * (phi**2 - local.at**2)).sum())
    bend = float(np.einsum("ci,cij,cj->", flat, local.curvature, flat))
    s = farthest(moved, design.reach)
    with np.errstate(over="ignore", invalid="ignore"):
        growth = 0.5 if s < 1e-5 else float((np.expm1(s) - s) / s**2)
        gain = rise - growth * bend if bend > 0 else rise
    if local.gram is not None:
        roof = bound_curvature(local.gram, phi.shape[1])
        gain = max(gain, rise - 0.5 * float(np.einsum("ci,cij,cj->", flat, roof, flat)))
    return gain


def step(local: LocalStats, design: Design, phi: Array, pattern: Pattern) -> Array:
    """New coefficients that cannot lower Q.

    Fixed entries take their values and tied ones one value. The step starts at ``at``, or where ``phi`` has moved to since
    (a later block of a cycle).
    """
    new = pattern.spread(pattern.pick(phi))
    for members in blocks_of(pattern):
        piece = Pattern(pattern.groups[members], pattern.values[members])
        new[members] += _block_step(part_of(local, members), design, new[members], piece)
    return pattern.spread(pattern.pick(new))


def part_of(local: LocalStats, members: NDArray[np.intp]) -> LocalStats:
    """The statistics of some components."""
    gram = None if local.gram is None else local.gram[members]
    v, g, h = local.value[members], local.gradient[members], local.curvature[members]
    return LocalStats(v, g, h, gram, local.penalty[members], local.at[members])


def times(local: LocalStats, factor: Array) -> LocalStats:
    """The statistics with each component's log-likelihood and penalty multiplied by a factor (k,)."""
    c = factor[:, None, None]
    gram = None if local.gram is None else local.gram * c
    return LocalStats(local.value * factor, local.gradient * c, local.curvature * c, gram, local.penalty * c, local.at)


def _block_step(local: LocalStats, design: Design, phi: Array, pattern: Pattern) -> Array:
    """How phi moves: by the candidate that is sure of most."""
    best, gain = np.zeros(phi.shape), sure_gain(local, design, phi)
    for move in _candidates(local, design, phi, Chart.of(pattern, design)):
        promise = sure_gain(local, design, phi + move)
        if promise > gain:
            best, gain = move, promise
    return best


def _candidates(local: LocalStats, design: Design, phi: Array, chart: Chart) -> list[Array]:
    before = inner(design, phi - local.at).reshape(len(phi), -1)

    def about(curvature: Array) -> tuple[Array, Array]:
        left = local.gradient - np.einsum("cij,cj->ci", curvature, before).reshape(local.gradient.shape)
        return chart.slope(left, curvature, local.penalty, phi)

    gradient, curvature = about(local.curvature)
    newton = solved(curvature, gradient)
    if before.any():
        found = [0.5**j * newton for j in range(10)]
    else:
        s = farthest(inner(design, chart.moved(newton)), design.reach)
        found = [damped(float(gradient @ newton), float(newton @ curvature @ newton), s) * newton]
    if local.gram is not None:
        gradient, curvature = about(bound_curvature(local.gram, phi.shape[1]))
        found.append(solved(curvature, gradient))
    return [chart.moved(free) for free in found]


def runaway(local: LocalStats, design: Design, phi: Array, pattern: Pattern) -> tuple[int, int] | None:
    """The component whose coefficients run to infinity, and the feature that leads, or None.

    The next Newton step would still move a predictor by RUNAWAY although it gains next to nothing: the likelihood rises for
    ever along that direction, as it does where covariates separate the classes.
    """
    for members in blocks_of(pattern):
        part = part_of(local, members)
        chart = Chart.of(Pattern(pattern.groups[members], pattern.values[members]), design)
        gradient, curvature = chart.slope(part.gradient, part.curvature, part.penalty, phi[members])
        newton = solved(curvature, gradient)
        moved = inner(design, chart.moved(newton))
        far = [farthest(one[None], design.reach) for one in moved]
        if max(far, default=0.0) > RUNAWAY and float(gradient @ newton) < GAINLESS:
            worst = int(np.argmax(far))
            lengths = np.abs(outer(design, moved[worst]))[:, 1:].max(axis=0)
            sizes = np.sqrt((design.unwhiten**2).sum(axis=0))
            lead = int(np.argmax(lengths * sizes)) if lengths.size else -1
            return int(members[worst]), lead
    return None
