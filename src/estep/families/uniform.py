"""Uniform rows over a box: a law for noise beside components that say something.

    p(x | k) = prod_j 1 / (high_j - low_j)  inside the box, 0 outside

Nothing is estimated by EM: the maximum of the likelihood over the bounds is the range of the rows, which no E-step can leave,
so bounds are given, or taken once from the data as a whole (and counted as parameters then). A missing entry leaves the density
of the others. A row outside the box is impossible under this component and is left to others.

symbol     variable    shape
low, high  low, high   (d,)
           volumes     (k,)     of the box; components of this law are all alike

Source: Banfield & Raftery (1993), Biometrics 49:803, section 2.4.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, record
from estep.core.support import Constraints, Support
from estep.families.noise import Extremes


@record
class UniformParams:
    """``volumes`` (k,): that of the box, once for each component; none of it moves."""

    volumes: Array


@record
class UniformStats:
    """Weight of the rows, (k,), and their summed log density, (k,)."""

    count: Array
    logs: Array


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Constant density on a box: ``p(x) = 1 / prod_j (high_j - low_j)``.

    Parameters
    ----------
    low, high : number, array (d,) or None
        Bounds of the box, the same for every column where one number is given; None is the range of the data.

    Raises
    ------
    ValueError
        Where a side of the box has no length.

    Examples
    --------
    >>> family = Uniform(0.0, 2.0)
    >>> family.log_density(UniformParams(np.array([4.0])), family.encode(np.array([[1.0, 1.5], [3.0, 1.0]]))).round(6).tolist()
    [[-1.386294], [-inf]]
    """

    low: Any = None
    high: Any = None
    constants: int = 0
    names: ClassVar[tuple[str, ...]] = ()
    smooth: ClassVar[bool] = False

    def bind(self, data: Any) -> Uniform:
        """Fix the box; raises ValueError where it has no volume or bounds do not fit the columns."""
        box: Extremes = data.sum(_extremes)
        given = [b is not None for b in (self.low, self.high)]
        low = _bound("low", self.low, box.low)
        high = _bound("high", self.high, box.high)
        flat = ~(np.isfinite(low) & np.isfinite(high) & (high > low))
        if flat.any():
            j = int(np.flatnonzero(flat)[0])
            raise ValueError(
                f"Uniform: column {j} has the bounds low = {low[j]:g} and high = {high[j]:g}, which leave no length; "
                "give low < high (without bounds the data's range is used, and this column is constant or empty)"
            )
        return Uniform(low, high, constants=low.size * (2 - sum(given)))

    def start(self, k: int) -> UniformParams:
        """Every component alike."""
        low, high = self._known()
        return UniformParams(np.full(k, float(np.prod(high - low))))

    def encode(self, x: Any) -> Array:
        """Log density of each row, (n,): what is known of it costs the log length of its sides; -inf outside the box."""
        x = np.asarray(x, dtype=float)
        low, high = (np.broadcast_to(np.asarray(b, dtype=float), x.shape[1:]) for b in self._known())
        seen = ~np.isnan(x)
        with np.errstate(invalid="ignore"):
            outside = (seen & ((x < low) | (x > high))).any(axis=1)
        return np.asarray(np.where(outside, -np.inf, -(seen @ np.log(high - low))))

    def log_density(self, params: UniformParams, encoded: Array) -> Array:
        """Log densities (n, k), in nats; an all-missing row has 0."""
        return np.repeat(encoded[:, None], len(params.volumes), axis=1)

    def stats(self, params: UniformParams, encoded: Array, resp: Array) -> UniformStats:
        """Weights and log densities; a row without weight counts for nothing."""
        inside = np.isfinite(encoded)
        lost = np.where((resp[~inside] > 0).any(axis=0), -np.inf, 0.0)
        return UniformStats(resp.sum(axis=0), resp[inside].T @ encoded[inside] + lost)

    def fit(self, stats: UniformStats, params: UniformParams, support: Support) -> UniformParams:
        """The same: nothing is free."""
        return params

    def q(self, params: UniformParams, stats: UniformStats) -> float:
        """Complete-data log-likelihood in nats."""
        return float(stats.logs.sum())

    def score(self, params: UniformParams, stats: UniformStats, support: Support) -> Array:
        """No coordinate, no gradient."""
        return np.empty(0)

    def unit_scores(self, params: UniformParams, encoded: Array, resp: Array, support: Support) -> Array:
        """No coordinate, no gradient: (n, 0)."""
        return np.empty((len(encoded), 0))

    def support(self, params: UniformParams, constraints: Constraints) -> Support:
        """Nothing is free."""
        return Support({})

    def prior(self, k: int, settings: Any) -> UniformStats:
        """No parameters, no prior: statistics of no rows."""
        return UniformStats(np.zeros(k), np.zeros(k))

    def expose(self, params: UniformParams) -> dict[str, Array]:
        """No parameters to show."""
        return {}

    def seat(self, params: UniformParams, component: int, row: Array) -> UniformParams:
        """The same: a box does not move."""
        return params

    def sample(self, params: UniformParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        low, high = (np.atleast_1d(np.asarray(b, dtype=float)) for b in self._known())
        return np.asarray(rng.uniform(low, high, size=(labels.size, low.size)))

    def cdf(self, params: UniformParams, x: Array) -> Array:
        """``P(X <= x)`` of a single column, (n, k); NaN where missing."""
        low, high = (np.ravel(b)[0] for b in self._known())
        part = np.clip((np.asarray(x, dtype=float)[:, :1] - low) / (high - low), 0.0, 1.0)
        return np.repeat(part, len(params.volumes), axis=1)

    def _known(self) -> tuple[Any, Any]:
        if self.low is None or self.high is None:
            raise ValueError("this Uniform family takes its bounds from the data: call bind(data) first, or give low and high")
        return self.low, self.high


def _extremes(chunk: Any) -> Extremes:
    x = np.asarray(chunk.x, dtype=float)
    with np.errstate(invalid="ignore"):
        return Extremes(np.fmin.reduce(x, axis=0), np.fmax.reduce(x, axis=0), bool(np.isnan(x).any()))


def _bound(name: str, given: Any, found: Array) -> Array:
    """The given bound of every column, or the one found in the data."""
    if given is None:
        return np.array(found)
    array = np.asarray(given, dtype=float)
    if array.shape not in ((), found.shape):
        raise ValueError(
            f"Uniform: {name} has shape {array.shape}, expected a number or one for each of the {found.size} columns"
        )
    return np.array(np.broadcast_to(array, found.shape))
