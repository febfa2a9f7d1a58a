"""Independent Weibull columns: times to failure whose hazard rises or falls as a power of time.

    x_ij | z_i = k ~ Weibull(shape a_kj, scale s_kj):   P(x > t) = exp(-(t / s)^a)

E-step   log p = log a + a z - log x - exp(a z),   z = log(x / s)
M-step   maximise a lower bound of  Q = n log a + sum r a z - sum r exp(a z)  that is equal to it, with slope and curvature, at
         the current (a_t, s_t); so Q and the likelihood never fall, and near the end the step is Newton's

There are no sufficient statistics for the shape, because M(a) = sum r (x / s_t)^a is needed at every a. With a = a_t (1 + u)
and y = a_t log(x / s_t), M = sum r e^y e^{u y} has a fourth derivative above zero, so the cubic H that meets M, M', M'' at
u = 0 and M at u = 1 (on the left: at u = -1/2) lies above M between these points: M - H = M'''' u^3 (u - 1) / 24 <= 0. A step
goes to between half and twice the shape. For every u the best scale is known: (s / s_t)^a = H(u) / n.

symbol     variable   shape
a, s       shapes, scales   (k, d)
n          count      (k, d)   sum r
Y          total      (k, d)   sum r y
M(0)       level      (k, d)   sum r e^y
M'(0)      first      (k, d)   sum r e^y y
M''(0)     second     (k, d)   sum r e^y y^2
M(1)       above      (k, d)   sum r e^{2 y}
M(-1/2)    below      (k, d)   sum r e^{y / 2}
L          logs       (k, d)   sum r log x
a_t, s_t   at         shared: records add at equal ``at`` only

Sources: Johnson, Kotz & Balakrishnan (1994), Continuous Univariate Distributions, volume 1, chapter 21; Hunter & Lange (2004),
The American Statistician 58:30, for maximising a bound. The cubic is Hermite's, with its remainder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array, record, shared
from estep.core.support import Positive, Support
from estep.families import columns, local, spread
from estep.families.constrained import climb
from estep.families.dispersion import positive

LEAST = 1e-16
"""The smallest 1 / shape^2 that logarithms resolve."""
WORDS = "its relative variance (1 / shape^2) fell to"
_LARGEST = 300.0
_STEPS, _HALVINGS = 50, 30
_EULER = float(np.euler_gamma)


@record
class WeibullParams:
    """``shapes`` and ``scales``, (k, d) each."""

    shapes: Array
    scales: Array


@record
class WeibullStats:
    """Local statistics at ``at``; see the module's table."""

    count: Array
    total: Array
    level: Array
    first: Array
    second: Array
    above: Array
    below: Array
    logs: Array
    at: WeibullParams = shared()


@dataclasses.dataclass(frozen=True)
class WeibullBlock:
    """Logarithms of the entries (n, d), 0 where missing, and which are seen (n, d) as numbers."""

    logs: Array
    seen: Array


@dataclasses.dataclass(frozen=True)
class Weibull:
    """Positive values, independent given the component: ``p(x) = prod_j (a/s) (x/s)^(a-1) exp(-(x/s)^a)``.

    Parameters
    ----------
    centre, width
        Mean and standard deviation of the logarithms of each column, set by ``bind``.

    Raises
    ------
    ValueError
        On values that are not above zero, and on a column without values or with one value only.

    Examples
    --------
    >>> family, params = Weibull(), WeibullParams(np.array([[1.0]]), np.array([[0.5]]))  # exponential with rate 2
    >>> family.log_density(params, family.encode(np.array([[0.5]]))).round(12).tolist()  # log 2 - 1
    [[-0.30685281944]]
    """

    centre: Array | None = None
    width: Array | None = None
    names: ClassVar[tuple[str, ...]] = ("shapes", "scales")
    entries: ClassVar[Mapping[str, Any]] = {"shapes": Positive, "scales": Positive}
    nonnegative: ClassVar[bool] = True

    def bind(self, data: Any) -> Weibull:
        """Fix mean and spread of the logarithms; raises ValueError on values <= 0, empty and constant columns."""
        rough: local.ColumnSums = data.sum(lambda chunk: _log_sums(chunk, 0.0))
        columns.refuse(rough.weight <= 0, "has no observed value; drop it or supply data for it")
        anchor = rough.total / rough.weight
        exact: local.ColumnSums = data.sum(lambda chunk: _log_sums(chunk, anchor))
        shift = exact.total / exact.weight
        variance = exact.square / exact.weight - shift**2
        constant = variance <= LEAST
        columns.refuse(constant, "is constant, so its spread is zero and the Weibull likelihood has no maximum; drop it")
        return dataclasses.replace(self, centre=anchor + shift, width=np.sqrt(variance))

    def start(self, k: int) -> WeibullParams:
        """Every component with the mean and the spread of the data's logarithms."""
        centre, width = self._known()
        shape = np.pi / (np.sqrt(6.0) * width)
        return WeibullParams(np.tile(shape, (k, 1)), np.tile(np.exp(centre + _EULER / shape), (k, 1)))

    def encode(self, x: Any) -> WeibullBlock:
        """Logarithms of rows (n, d); raises ValueError on values <= 0."""
        x = positive(np.asarray(x, dtype=float), "Weibull")
        seen = ~np.isnan(x)
        return WeibullBlock(np.log(np.where(seen, x, 1.0)), seen.astype(float))

    def log_density(self, params: WeibullParams, encoded: WeibullBlock) -> Array:
        """Log densities (n, k) of the observed entries, in nats; an all-missing row has 0."""
        logb = np.empty((len(encoded.logs), len(params.shapes)))
        for j, (a, s) in enumerate(zip(params.shapes, params.scales, strict=True)):
            y = a * (encoded.logs - np.log(s))
            with np.errstate(over="ignore"):
                each = np.log(a) + y - encoded.logs - np.exp(y)
            logb[:, j] = np.where(encoded.seen > 0, each, 0.0).sum(axis=1)
        return logb

    def stats(self, params: WeibullParams, encoded: WeibullBlock, resp: Array) -> WeibullStats:
        """Value, slope and curvature of Q at ``params``, with what bounds it from there."""
        found = np.empty((8, *params.shapes.shape))
        for j, (a, s) in enumerate(zip(params.shapes, params.scales, strict=True)):
            y = np.minimum(a * (encoded.logs - np.log(s)), _LARGEST)
            half = np.exp(0.5 * y)
            whole = half * half
            r = resp[:, j]
            found[:, j] = [
                r @ (part * encoded.seen)
                for part in (np.ones(y.shape), y, whole, whole * y, whole * y * y, whole * whole, half, encoded.logs)
            ]
        count, total, level, first, second, above, below, logs = found
        return WeibullStats(count, total, level, first, second, above, below, logs, at=params)

    def fit(self, stats: WeibullStats, params: WeibullParams, support: Support) -> WeibullParams:
        """The maximum of the bound over the free entries, from the point of ``stats``; shapes at most double or halve."""
        patterns = [entry.pattern for entry in support.entries.values()]  # type: ignore[attr-defined]
        if not all(pattern.free for pattern in patterns):
            begin = _obedient(stats, support)
            bound, slope = partial(self.bound, stats=stats), partial(self.score, stats=stats, support=support)
            found: WeibullParams = begin if np.isneginf(self.bound(begin, stats)) else climb(bound, slope, support, begin)
            return found
        u = _best_shape(stats)
        return WeibullParams(stats.at.shapes * (1.0 + u), _best_scales(stats, u))

    def bound(self, params: WeibullParams, stats: WeibullStats) -> float:
        """Lower bound of the complete-data log-likelihood, equal to it at ``at``; -inf beyond half or twice the shapes."""
        u = params.shapes / stats.at.shapes - 1.0
        if not ((u >= -0.5 - 1e-12) & (u <= 1.0 + 1e-12)).all():
            return -np.inf
        moved = params.shapes * np.log(params.scales / stats.at.scales)
        value = stats.count * (np.log(params.shapes) - moved) + (1.0 + u) * stats.total - stats.logs
        return float((value - np.exp(-moved) * _cubic(stats, u)[0]).sum())

    def slope(self, params: WeibullParams, stats: WeibullStats) -> dict[str, Array]:
        """Gradient of ``bound``."""
        u = params.shapes / stats.at.shapes - 1.0
        shift = np.log(params.scales / stats.at.scales)
        cubic, rise, _ = _cubic(stats, u)
        shrunk = np.exp(-params.shapes * shift)
        by_shape = stats.count * (1.0 / params.shapes - shift) + stats.total / stats.at.shapes
        by_shape += shrunk * (shift * cubic - rise / stats.at.shapes)
        return {"shapes": by_shape, "scales": params.shapes / params.scales * (shrunk * cubic - stats.count)}

    def unit_scores(self, params: WeibullParams, encoded: WeibullBlock, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its log-likelihood under the components it belongs to, (n, p)."""
        a, s = params.shapes[None], params.scales[None]
        z = encoded.logs[:, None, :] - np.log(s)
        weight = resp[:, :, None] * encoded.seen[:, None, :]
        power = np.exp(np.minimum(a * z, _LARGEST))
        parts = (weight * (1.0 / a + z - power * z), weight * (a / s) * (power - 1.0))
        raw = np.hstack([part.reshape(len(resp), -1) for part in parts])
        return np.asarray(raw @ columns.jacobian(params, support))

    def imagine(self) -> Array:
        """Two rows with the mean and the spread of the data's logarithms, (2, d)."""
        centre, width = self._known()
        return np.exp(np.stack([centre - width, centre + width]))

    def dying(self, params: WeibullParams, stats: WeibullStats, support: Support) -> Collapsed | None:
        """The first free component that has collapsed, or None."""
        free = spread.moving(support.entries["shapes"])
        return spread.dying(params.shapes**-2.0, stats.count, free, self._known()[1] ** 2, WORDS, LEAST)

    def frail(self, params: WeibullParams, stats: WeibullStats, support: Support) -> Collapsed | None:
        """The first free component that has nearly collapsed, or None."""
        return spread.frail(params.shapes**-2.0, stats.count, spread.moving(support.entries["shapes"]), WORDS)

    def features(self, x: Array) -> Array:
        """Rows as start rules see them: logarithms."""
        return np.log(positive(np.asarray(x, dtype=float), "Weibull"))

    def sample(self, params: WeibullParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        return np.asarray(params.scales[labels] * rng.weibull(params.shapes[labels]))

    def cdf(self, params: WeibullParams, x: Array) -> Array:
        """``P(X <= x)`` of a single column, (n, k); NaN where missing."""
        x = np.maximum(np.asarray(x, dtype=float), 0.0)
        return np.asarray(-np.expm1(-((x / params.scales[:, 0]) ** params.shapes[:, 0])))

    def seat(self, params: WeibullParams, component: int, row: Array) -> WeibullParams:
        """``params`` with the scale of ``component`` at ``row`` where it is observed."""
        scales = params.scales.copy()
        scales[component] = np.where(np.isnan(row), scales[component], row)
        return WeibullParams(params.shapes, scales)

    def _known(self) -> tuple[Array, Array]:
        if self.centre is None or self.width is None:
            raise ValueError("this Weibull family has seen no data yet: call bind(data) first")
        return self.centre, self.width

    q = local.q
    score = local.score
    support = local.support
    prior = local.prior
    align = local.align
    expose = local.expose
    adopt = local.adopt
    adopt_ties = local.adopt_ties


def _log_sums(chunk: Any, anchor: Any) -> local.ColumnSums:
    return local.column_sums(np.log(positive(np.asarray(chunk.x, dtype=float), "Weibull")), chunk.weight, anchor)


def _cubic(stats: WeibullStats, u: Array) -> tuple[Array, Array, Array]:
    """H(u), H'(u) and H''(u), (k, d) each."""
    up = stats.above - stats.level - stats.first - 0.5 * stats.second
    down = -8.0 * (stats.below - stats.level + 0.5 * stats.first - 0.125 * stats.second)
    third = np.where(u > 0, up, down)
    value = stats.level + u * (stats.first + u * (0.5 * stats.second + u * third))
    return value, stats.first + u * (stats.second + 3.0 * u * third), stats.second + 6.0 * u * third


def _obedient(stats: WeibullStats, support: Support) -> WeibullParams:
    """The point of ``stats`` with fixed entries at their values and tied ones equal, where a neutral start did not hold them.

    Where that takes a shape beyond the bound, free scales are the best for the nearest shape that the bound knows.
    """
    held: WeibullParams = support.unpack(support.pack(stats.at), stats.at)
    u = held.shapes / stats.at.shapes - 1.0
    if ((u >= -0.5) & (u <= 1.0)).all():
        return held
    near = WeibullParams(held.shapes, _best_scales(stats, np.clip(u, -0.5, 1.0)))
    obedient: WeibullParams = support.unpack(support.pack(near), held)
    return obedient


def _best_scales(stats: WeibullStats, u: Array) -> Array:
    """``s_t (H(u) / n)^(1 / a)`` at the shapes a = a_t (1 + u); those without rows stay."""
    seen = stats.count > 0
    level = np.where(seen, _cubic(stats, u)[0] / np.where(seen, stats.count, 1.0), 1.0)
    return np.asarray(stats.at.scales * level ** (1.0 / (stats.at.shapes * (1.0 + u))))


def _best_shape(stats: WeibullStats) -> Array:
    """The u in [-1/2, 1] that maximises ``n log(1 + u) + u Y - n log H(u)``: Newton, halved until it does not fall."""
    seen = stats.count > 0
    share = np.where(seen, stats.count, 1.0)

    def profile(u: Array) -> Array:
        level = np.log(np.where(seen, _cubic(stats, u)[0], 1.0))
        return np.asarray(share * (np.log1p(u) - level) + u * stats.total)

    u = np.zeros(stats.count.shape)
    value = profile(u)
    for _ in range(_STEPS):
        cubic, rise, bend = _cubic(stats, u)
        cubic = np.where(seen, cubic, 1.0)
        slope = share / (1.0 + u) + stats.total - share * rise / cubic
        curve = share * (1.0 / (1.0 + u) ** 2 + bend / cubic - (rise / cubic) ** 2)
        step = np.where(seen, slope / np.maximum(np.abs(curve), 1e-3 * share), 0.0)
        new, gained = _halved(profile, u, step, value)
        done = gained - value <= 1e-15 * (1.0 + np.abs(value))
        u, value = new, gained
        if done.all():
            break
    return u


def _halved(profile: Any, u: Array, step: Array, value: Array) -> tuple[Array, Array]:
    """The first of the halved steps within [-1/2, 1] that does not lower ``profile``, entry by entry."""
    best, height, waiting = u, value, np.ones(u.shape, dtype=bool)
    for _ in range(_HALVINGS):
        new = np.clip(u + step, -0.5, 1.0)
        found = profile(new)
        better = waiting & (found >= value)
        best, height = np.where(better, new, best), np.where(better, found, height)
        waiting &= ~better
        if not waiting.any():
            break
        step = 0.5 * step
    return best, height
