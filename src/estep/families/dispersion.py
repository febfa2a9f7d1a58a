"""Dispersion laws on independent columns: a place, a precision, and the distance between a value and the place.

    log p(x | k) = h(x) - A(lambda) - lambda D(t; m),     D(t; m) = phi(t) - phi(m) - phi'(m) (t - m) >= 0

t is the value in units of an anchor of its column, m the place in the same units, lambda the precision, phi convex.

    law               t           phi(t)                 A(lambda)
    Gamma             x / c       t - 1 - log t          log Gamma(lambda) - lambda log lambda + lambda
    InverseGaussian   x / c       (t - 1)^2 / (2 t)      -1/2 log lambda
    LogNormal         log x - c   t^2 / 2                -1/2 log lambda

E-step   totals of 1, t and phi(t); phi is small near the anchor, so that narrow components far from zero lose no digits
M-step   m = mean t,   -A'(lambda) = mean phi(t) - phi(m)         (where entries are fixed or tied: Newton, constrained.py)
prior    imagined rows like the data (columns.py): each of these laws is conjugate to such rows

symbol    variable      shape
c         anchor        (d,)      mean of the column (of its logarithm for LogNormal)
m         place         (k, d)
lambda    precision     (k, d)
          totals        (k, 3, d)

A family adds to those of ``columns.py``: ``anchor`` and ``law``, ``centre(mean, log_mean) -> c``, ``units(x) -> t``,
``place(params) -> m, lambda``, ``params_of(m, lambda)`` and ``chain(params, d/dm, d/dlambda) -> gradient in its parameters``.

Source: Jorgensen (1987), J. R. Statist. Soc. B 49:127, for the laws.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from estep.core.collapse import Collapsed
from estep.core.record import Array, record
from estep.core.support import Support
from estep.families import columns, gamma_shape, spread
from estep.families.columns import ColumnStats
from estep.families.constrained import climb

_NEAR = 0.03
_LOST = 8.0 * float(np.finfo(float).eps)
NOT_ABOVE = "not above zero (or infinite)"
REMEDY = "drop them, shift the column, or use Normal (exact zeros beside positive values: ZeroInflated({law}()))"


@dataclasses.dataclass(frozen=True)
class DispersionLaw:
    """What tells one law from another, entry by entry: phi, phi', phi'', A, -A' and its inverse; ``width`` is scale-free."""

    phi: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    bend: Callable[[Array], Array]
    normaliser: Callable[[Array], Array]
    gap: Callable[[Array], Array]
    precision: Callable[[Array], Array]
    width: Callable[[Array, Array], Array]


def log_distance(t: Array) -> Array:
    """``t - 1 - log t`` for t > 0, by its series near one.

    >>> log_distance(np.array([1.0, 1.0 + 2.0**-30, 2.0])).tolist() == [0.0, 2.0**-61 - 2.0**-90 / 3, 1.0 - np.log(2.0)]
    True
    """
    e = t - 1.0
    near = np.where(np.abs(e) < _NEAR, e, 0.0)
    series = np.zeros_like(near)
    for j in range(11, 1, -1):
        series = 1.0 / j - near * series
    return np.asarray(np.where(np.abs(e) < _NEAR, near * near * series, e - np.log(t)))


GAMMA: Final = DispersionLaw(
    phi=log_distance,
    slope=lambda t: (t - 1.0) / t,
    bend=lambda t: t**-2.0,
    normaliser=lambda a: gamma_shape.remainder(a) - 0.5 * np.log(a) + 0.5 * np.log(2.0 * np.pi),
    gap=gamma_shape.gap,
    precision=gamma_shape.shape_at,
    width=lambda m, a: 1.0 / a,
)
INVERSE_GAUSSIAN: Final = DispersionLaw(
    phi=lambda t: 0.5 * (t - 1.0) ** 2 / t,
    slope=lambda t: 0.5 * (t - 1.0) * (t + 1.0) / t**2,
    bend=lambda t: t**-3.0,
    normaliser=lambda a: -0.5 * np.log(a),
    gap=lambda a: 0.5 / a,
    precision=lambda g: 0.5 / g,
    width=lambda m, a: m / a,
)
QUADRATIC: Final = DispersionLaw(
    phi=lambda t: 0.5 * t * t,
    slope=lambda t: t,
    bend=np.ones_like,
    normaliser=lambda a: -0.5 * np.log(a),
    gap=lambda a: 0.5 / a,
    precision=lambda g: 0.5 / g,
    width=lambda m, a: 1.0 / a,
)


@record
class _Look:
    """What a first look at the columns adds up, (d,) each: weight, sum and sum of logarithms of the observed entries."""

    count: Array
    total: Array
    logs: Array


def bind(self: Any, data: Any) -> Any:
    """Fix the anchor and the totals of the data; raises ValueError on values <= 0, columns without values, constant columns."""
    name = type(self).__name__
    look: _Look = data.sum(partial(_look, name))
    columns.refuse(look.count <= 0, "has no observed value; drop it or supply data for it")
    anchored = dataclasses.replace(self, anchor=self.centre(look.total / look.count, look.logs / look.count))
    bound = columns.bind(anchored, data)
    constant = gap_of(bound.law, bound.overall) <= spread.LEAST
    columns.refuse(constant, f"is constant, so its spread is zero and the {name} likelihood has no maximum; drop it")
    return bound


def _look(law: str, chunk: Any) -> _Look:
    x = positive(np.asarray(chunk.x, dtype=float), law)
    weight = np.ones(len(x)) if chunk.weight is None else np.asarray(chunk.weight, dtype=float)
    seen = ~np.isnan(x)
    return _Look(weight @ seen, weight @ np.where(seen, x, 0.0), weight @ np.log(np.where(seen, x, 1.0)))


def positive(x: Array, law: str) -> Array:
    """``x`` where every observed value is above zero and finite; raises ValueError naming column, count and remedy."""
    with np.errstate(invalid="ignore"):
        columns.refuse_rows(~np.isnan(x) & ~((x > 0) & np.isfinite(x)), NOT_ABOVE, law, REMEDY.format(law=law))
    return x


def terms(self: Any, x: Array) -> tuple[Array, Array, Array]:
    """1, t and phi(t) of every entry, (n, d) each."""
    t = self.units(positive(x, type(self).__name__))
    return np.where(np.isnan(x), np.nan, 1.0), t, self.law.phi(t)


def coefficients(self: Any, params: Any) -> Array:
    """``lambda (phi(m) - m phi'(m)) - A(lambda)``, ``lambda phi'(m)`` and ``-lambda``, (k, 3, d)."""
    law: DispersionLaw = self.law
    m, precision = self.place(params)
    slope = law.slope(m)
    constant = precision * (law.phi(m) - m * slope) - law.normaliser(precision)
    return np.stack([constant, precision * slope, -precision], axis=1)


def gradient(self: Any, params: Any, totals: Array) -> dict[str, Array]:
    """Gradient of q: ``lambda phi''(m) (s_1 - n m)`` for m and ``-D - A'(lambda) n`` for lambda, in the family's parameters."""
    law: DispersionLaw = self.law
    m, precision = self.place(params)
    count, total, distance = (totals[..., s, :] for s in range(3))
    slope = law.slope(m)
    apart = distance - law.phi(m) * count - slope * (total - m * count)
    by_place = precision * law.bend(m) * (total - m * count)
    found: dict[str, Array] = self.chain(params, by_place, law.gap(precision) * count - apart)
    return found


def gap_of(law: DispersionLaw, totals: Array) -> Array:
    """``mean phi(t) - phi(mean t)`` of totals (..., 3, d); 0 where there are no rows."""
    count = np.where(totals[..., 0, :] > 0, totals[..., 0, :], 1.0)
    place = totals[..., 1, :] / count
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(totals[..., 0, :] > 0, totals[..., 2, :] / count - law.phi(place), 0.0))


def anchor_of(self: Any) -> Array:
    """The anchor (d,); raises ValueError before ``bind``."""
    if self.anchor is None:
        raise ValueError(f"this {type(self).__name__} family has seen no data yet: call bind(data) first")
    return np.asarray(self.anchor)


def guess(self: Any, totals: Array) -> Any:
    """Where ``maximise`` may begin."""
    ones = np.ones(totals[:, 0].shape)
    return self.params_of(ones * self.law_place, ones)


def maximise(self: Any, totals: Array, params: Any, support: Support) -> Any:
    """Place and precision that maximise q over the free entries; raises Collapsed where rows do not differ."""
    count = totals[:, 0]
    patterns = [entry.pattern for entry in support.entries.values()]  # type: ignore[attr-defined]
    alone = np.all([p.groups >= 0 for p in patterns], axis=0)
    for pattern in patterns:
        sizes = np.append(pattern.sizes, 0.0)
        alone &= sizes[pattern.groups] == 1.0
    filled = np.where(count > 0, count, 1.0)
    gap, size = gap_of(self.law, totals), np.abs(totals[:, 2]) / filled
    spread.refuse_flat(gap, alone, count, np.maximum(_LOST * size, spread.LEAST))
    if all(pattern.free for pattern in patterns):
        m, precision = self.place(params)
        seen = count > 0
        return self.params_of(
            np.where(seen, totals[:, 1] / filled, m),
            np.where(seen, self.law.precision(np.where(seen, gap, 1.0)), precision),
        )
    stats = ColumnStats(totals, np.zeros(len(totals)))
    return climb(partial(self.q, stats=stats), partial(self.score, stats=stats, support=support), support, params)


def dying(self: Any, params: Any, stats: ColumnStats, support: Support) -> Collapsed | None:
    """The first free component that has collapsed, or None."""
    free, width = _free_width(self, params, support)
    total = 2.0 * gap_of(self.law, columns.known(self))
    return spread.dying(width, stats.totals[:, 0], free, total, self.width_words)


def frail(self: Any, params: Any, stats: ColumnStats, support: Support) -> Collapsed | None:
    """The first free component that has nearly collapsed, or None."""
    free, width = _free_width(self, params, support)
    return spread.frail(width, stats.totals[:, 0], free, self.width_words)


def _free_width(self: Any, params: Any, support: Support) -> Any:
    return spread.moving(support.entries[self.precision_name]), self.law.width(*self.place(params))
