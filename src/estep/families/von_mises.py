"""Independent von Mises columns: angles in radians, the normal law of the circle.

    x_ij | z_i = k ~ VonMises(mu_kj, kappa_kj),   log p = kappa (cos(x - mu) - 1) - M(kappa) - log 2 pi

E-step   a product with the features 1, cos x, sin x; where a concentration is large, from the distance of the unit vectors
M-step   mu: direction of the resultant (C, S); kappa: A(kappa) = its mean length along mu (directions.py, concentration.py)
prior    imagined angles like the whole of the data (columns.py)

symbol    variable          shape
mu        means             (k, d)   radians
kappa     concentrations    (k, d)   about 1 / variance where large; 0 is the uniform law of the circle
n, C, S   totals            (k, 3, d)

Sources: Mardia & Jupp (2000), Directional Statistics, section 5.3; Fisher (1993), Statistical Analysis of Circular Data.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.ranges import NonNegative
from estep.core.record import Array, record
from estep.core.support import Pattern, Real, Support
from estep.families import columns, directions
from estep.families.concentration import log_scaled, mean_length

LARGE = 1e5
SAME = 1e-14


@record
class VonMisesParams:
    """Mean angles ``means`` (k, d) in radians and ``concentrations`` (k, d) >= 0."""

    means: Array
    concentrations: Array


@dataclasses.dataclass(frozen=True)
class VonMises:
    """Angles in radians, independent given the component: ``p(x) = prod_j exp(kappa_j cos(x_j - mu_j)) / (2 pi I_0(kappa_j))``.

    Angles may lie anywhere on the line; only where they point matters. Start rules see their cosines and sines.

    Parameters
    ----------
    overall
        Set by ``bind``.

    Raises
    ------
    ValueError
        On an angle that is not finite, a column without values, or one whose angles are all equal.

    Examples
    --------
    >>> family = VonMises()
    >>> params = VonMisesParams(np.array([[0.0]]), np.array([[0.0]]))
    >>> round(float(np.exp(family.log_density(params, family.encode(np.array([[7.0]]))))[0, 0] * 2 * np.pi), 12)  # uniform
    1.0
    """

    overall: Array | None = None
    names: ClassVar[tuple[str, ...]] = ("means", "concentrations")
    entries: ClassVar[Mapping[str, Any]] = {"means": Real, "concentrations": NonNegative}

    def bind(self, data: Any) -> VonMises:
        """Fix the resultants of the whole data; raises ValueError on a column whose angles are all equal."""
        bound: VonMises = columns.bind(self, data)
        count, cosines, sines = columns.known(bound)
        columns.refuse(
            count - np.hypot(cosines, sines) <= SAME * count,
            "holds one angle over and over, so its concentration has no finite estimate; drop it",
        )
        return bound

    def terms(self, x: Array) -> tuple[Array, Array, Array]:
        """1, cos x and sin x of every entry, (n, d) each."""
        columns.refuse_values(x, np.isinf(x), "an angle is a finite number of radians", "correct it or leave it out (NaN)")
        return np.where(np.isnan(x), np.nan, 1.0), np.cos(x), np.sin(x)

    def carrier(self, x: Array) -> Array:
        """Nothing without parameters but 2 pi, which ``coefficients`` hold."""
        return np.zeros(x.shape)

    def coefficients(self, params: VonMisesParams) -> Array:
        """``-log 2 pi - M - kappa``, ``kappa cos mu`` and ``kappa sin mu``, (k, 3, d)."""
        kappa = params.concentrations
        normaliser = -math.log(2.0 * math.pi) - log_scaled(kappa, 2) - kappa
        return np.stack([normaliser, kappa * np.cos(params.means), kappa * np.sin(params.means)], axis=1)

    def log_density(self, params: VonMisesParams, encoded: columns.ColumnBlock) -> Array:
        """Log densities (n, k) of the observed entries, in nats."""
        if params.concentrations.max(initial=0.0) <= LARGE:
            return columns.log_density(self, params, encoded)
        d = params.means.shape[1]
        seen, cosine, sine = encoded.features[:d], encoded.features[d : 2 * d], encoded.features[2 * d : 3 * d]
        out = np.empty((seen.shape[1], len(params.means)))
        constant = -math.log(2.0 * math.pi) - log_scaled(params.concentrations, 2)
        for k, (mu, kappa) in enumerate(zip(params.means, params.concentrations, strict=True)):
            # cos(x - mu) - 1 = -|e(x) - e(mu)|^2 / 2
            gap = (cosine - np.cos(mu)[:, None]) ** 2 + (sine - np.sin(mu)[:, None]) ** 2
            out[:, k] = constant[k] @ seen - 0.5 * kappa @ (gap * seen)
        return out

    def gradient(self, params: VonMisesParams, totals: Array) -> dict[str, Array]:
        """``kappa (S cos mu - C sin mu)`` and ``C cos mu + S sin mu - n A(kappa)``."""
        count, cosines, sines = totals[..., 0, :], totals[..., 1, :], totals[..., 2, :]
        c, s = np.cos(params.means), np.sin(params.means)
        length = mean_length(params.concentrations, 2)[0]
        return {
            "means": params.concentrations * (sines * c - cosines * s),
            "concentrations": cosines * c + sines * s - count * length,
        }

    def guess(self, totals: Array) -> VonMisesParams:
        """Where ``maximise`` may begin."""
        return VonMisesParams(np.zeros(totals[:, 0].shape), np.ones(totals[:, 0].shape))

    def maximise(self, totals: Array, params: VonMisesParams, support: Support) -> VonMisesParams:
        """Resultants' directions and lengths; raises Collapsed where one has the length of its angles' number."""
        angles, kappa = _patterns(support)
        means = np.where(angles.groups < 0, angles.values, params.means)
        count, cosines, sines = (totals[:, s].ravel() for s in range(3))
        vectors = np.column_stack([np.cos(means).ravel(), np.sin(means).ravel()])
        resultants = np.column_stack([cosines, sines])
        found, concentrations = directions.maximise(
            count, resultants, vectors, params.concentrations.ravel(), _flat(angles), _flat(kappa)
        )
        if not np.isfinite(concentrations).all():
            raise Collapsed(int(np.argmin(np.isfinite(concentrations))) // means.shape[1], "its angles are all equal")
        moved = np.arctan2(found[:, 1], found[:, 0]).reshape(means.shape)
        return VonMisesParams(np.where(angles.groups < 0, means, moved), concentrations.reshape(means.shape))

    def dying(self, params: VonMisesParams, stats: columns.ColumnStats, support: Support) -> Collapsed | None:
        """The first component that has collapsed in a column, or None."""
        return self._shrunk(params, stats, support, directions.SHRUNK)

    def frail(self, params: VonMisesParams, stats: columns.ColumnStats, support: Support) -> Collapsed | None:
        """The first component that has nearly collapsed in a column, or None."""
        return self._shrunk(params, stats, support, directions.NEAR)

    def features(self, x: Array) -> Array:
        """Rows as start rules see them: cosines and sines, (n, 2 d)."""
        x = np.asarray(x, dtype=float)
        return np.hstack([np.cos(x), np.sin(x)])

    def sample(self, params: VonMisesParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row of angles between -pi and pi for each label."""
        return np.asarray(rng.vonmises(params.means[labels], params.concentrations[labels]))

    def cdf(self, params: VonMisesParams, x: Array) -> Array:
        """Probability of the arc from -pi to x of a single column, (n, k); NaN where missing."""
        from scipy.stats import vonmises

        mu, kappa = params.means[:, 0], params.concentrations[:, 0]
        wrapped = -np.mod(np.pi - np.asarray(x, dtype=float), 2 * np.pi) + np.pi
        law = vonmises(np.maximum(kappa, np.finfo(float).tiny), loc=mu)
        return np.asarray(law.cdf(wrapped) - law.cdf(-np.pi))

    def _shrunk(self, params: VonMisesParams, stats: columns.ColumnStats, support: Support, bound: float) -> Collapsed | None:
        free = _patterns(support)[1].groups >= 0
        for j, (count, kappa) in enumerate(zip(stats.totals[:, 0].T, params.concentrations.T, strict=True)):
            gone = directions.shrunk(count, kappa, free[:, j], 2, bound, f"concentration in column {j}")
            if gone is not None:
                return gone
        return None

    start = columns.start
    encode = columns.encode
    stats = columns.stats
    fit = columns.fit
    q = columns.q
    score = columns.score
    unit_scores = columns.unit_scores
    support = columns.support
    prior = columns.prior
    rows_in = columns.rows_in
    width = columns.width
    expose = columns.expose
    adopt = columns.adopt
    adopt_ties = columns.adopt_ties
    seat = columns.seat


def _patterns(support: Support) -> tuple[Pattern, Pattern]:
    means, concentrations = support.entries["means"], support.entries["concentrations"]
    assert isinstance(means, Real)
    assert isinstance(concentrations, NonNegative)
    return means.pattern, concentrations.pattern


def _flat(pattern: Pattern) -> Pattern:
    return Pattern(pattern.groups.ravel(), pattern.values.ravel())
