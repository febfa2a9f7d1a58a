"""Where the covariances of a normal family may live: one of the fourteen structures, some components fixed or tied.

A fixed component keeps its matrix; tied components share one; the free (groups of) components are bound to one another
by the structure (equal volume, shape or orientation). For the diagonal structure VVI single variances may be fixed or tied.

Both classes maximise  sum_g -1/2 [c_g log|Sigma_g| + tr(Sigma_g^{-1} M_g)]  over what is free, pooling c and M within ties.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.support import Constraints, Pattern, Positive
from estep.families import covariance, covariance_chart, covariance_fit


@dataclasses.dataclass(frozen=True)
class WholeCovariances:
    """Covariances of a structure, fixed or tied component by component (``pattern`` has shape (k,))."""

    code: str
    pattern: Pattern
    d: int
    held: Array | None = None

    @property
    def count(self) -> int:
        """Free coordinates."""
        return covariance.count_free(self.code, self.pattern.count, self.d) if self.pattern.count else 0

    def check(self, name: str, value: Array) -> None:
        """Raise ValueError unless every matrix is positive definite and the free ones have the structure."""
        if self.pattern.count:
            covariance.check(self.code, value[self.pattern.first], name)

    def pack(self, value: Array, base: Array) -> Array:
        """Coordinates of the free matrices in the chart of ``base``."""
        if not self.pattern.count:
            return np.empty(0)
        return covariance_chart.pack(self.code, value[self.pattern.first], base[self.pattern.first])

    def unpack(self, vector: Array, base: Array) -> Array:
        """The covariances at ``vector``."""
        if not self.pattern.count:
            return self._spread(np.empty(0), base)
        return self._spread(covariance_chart.unpack(self.code, vector, base[self.pattern.first]), base)

    def pull(self, value: Array, gradient: Array) -> Array:
        """Gradient in coordinates from df/dSigma of every component."""
        if not self.pattern.count:
            return np.empty(0)
        return covariance_chart.gradient(self.code, value[self.pattern.first], self._pool(gradient))

    def maximise(self, scatter: Array, counts: Array, current: Array) -> Array:
        """The covariances that maximise the normal log-likelihood of scatter and counts, from ``current``."""
        if not self.pattern.count:
            return self._spread(np.empty(0), current)
        try:
            free = covariance_fit.fit(self.code, self._pool(scatter), self._pool(counts), current[self.pattern.first])
        except Collapsed as gone:
            raise Collapsed(int(self.pattern.first[gone.component]), gone.reason) from None
        return free if self.pattern.free else self._spread(free, current)

    def _pool(self, values: Array) -> Array:
        if self.pattern.free:
            return values
        out = np.zeros((self.pattern.count, *values.shape[1:]))
        moving = self.pattern.groups >= 0
        np.add.at(out, self.pattern.groups[moving], values[moving])
        return out

    def _spread(self, free: Array, base: Array) -> Array:
        moving = self.pattern.groups >= 0
        out = base.copy()
        if self.held is not None:
            out[~moving] = self.held[~moving]
        if moving.any():
            out[moving] = free[self.pattern.groups[moving]]
        return out


@dataclasses.dataclass(frozen=True)
class DiagonalCovariances:
    """Free variances (k, d), fixed or tied one by one: the structure VVI."""

    variances: Positive

    @property
    def pattern(self) -> Pattern:
        """Fixed and tied entries, (k, d)."""
        return self.variances.pattern

    @property
    def count(self) -> int:
        """Free coordinates."""
        return self.variances.count

    def check(self, name: str, value: Array) -> None:
        """Raise ValueError unless every variance is above zero."""
        self.variances.check(name, value)

    def pack(self, value: Array, base: Array) -> Array:
        """Logarithms of the free variances."""
        return self.variances.pack(value, base)

    def unpack(self, vector: Array, base: Array) -> Array:
        """The variances at ``vector``."""
        return self.variances.unpack(vector, base)

    def pull(self, value: Array, gradient: Array) -> Array:
        """Gradient in log variances."""
        return self.variances.pull(value, gradient)

    def maximise(self, scatter: Array, counts: Array, current: Array) -> Array:
        """Each free variance is its pooled scatter over its pooled count; an empty one stays."""
        weights = np.broadcast_to(counts[:, None], scatter.shape)
        total, weight = self.pattern.pool(scatter), self.pattern.pool(weights)
        kept = self.pattern.pick(current)
        return self.pattern.spread(np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), kept))


def covariance_support(
    code: str, constraints: Constraints, k: int, d: int, name: str = "covariances"
) -> WholeCovariances | DiagonalCovariances:
    """The support of the covariances of ``k`` components in ``d`` columns under ``constraints`` on the parameter ``name``."""
    if code == "VVI":
        return DiagonalCovariances(Positive(constraints.pattern(name, (k, d))))
    whole, held = _by_component(code, constraints, k, name)
    pattern = whole.pattern(name, (k,))
    return WholeCovariances(code, pattern, d, None if held is None else held[np.nan_to_num(pattern.values).astype(np.intp)])


def _by_component(code: str, constraints: Constraints, k: int, name: str) -> tuple[Constraints, Array | None]:
    """Constraints with each fixed matrix replaced by its number among the distinct ones, and the matrices by number."""
    given = constraints.fixed.get(name)
    if given is None:
        return constraints, None
    missing = np.isnan(given.reshape(k, -1))
    if (missing.any(axis=1) & ~missing.all(axis=1)).any():
        raise ValueError(
            f"fixed[{name!r}]: with structure {code} a component's covariance is fixed as a whole or left free (all NaN); "
            "single entries can be fixed with covariance_type='diag' only"
        )
    _, first, number = np.unique(np.nan_to_num(given.reshape(k, -1)), axis=0, return_index=True, return_inverse=True)
    numbers = np.where(missing.all(axis=1), np.nan, number.ravel().astype(float))
    fixed = {**constraints.fixed, name: numbers}
    return Constraints(fixed, constraints.tied), given[first]
