"""The von Mises-Fisher family: unit vectors about a mean direction, the round normal law of the sphere.

    x_i | z_i = k ~ vMF(mu_k, kappa_k),   log p = kappa (mu'x - 1) - M(kappa) - log area,   |x| = |mu| = 1

E-step   logb = x (kappa mu)' + constants: one matrix product; rows may be sparse (texts as weighted words)
M-step   mu_k = s_k / |s_k|,   A(kappa_k) = |s_k| / n_k              (directions.py, concentration.py; any dimension)
prior    ``strength`` imagined rows with the resultant of the whole data, shared equally by the components

symbol   variable          shape
mu       means             (k, d)   unit vectors
kappa    concentrations    (k,)     0 is the uniform law of the sphere
n        count             (k,)
s        total             (k, d)   sum r x

A row is a direction or wholly missing (all NaN: log density 0); a direction with some entries missing has no marginal in the
family and is refused.

Sources: Mardia & Jupp (2000), Directional Statistics, sections 9.3 and 10.3; Banerjee et al. (2005), JMLR 6:1345.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.ranges import NonNegative
from estep.core.record import Array, record
from estep.core.rows import is_sparse
from estep.core.support import Constraints, Support
from estep.families import directions
from estep.families.columns import prior_strength
from estep.families.concentration import log_area, log_scaled, mean_length
from estep.families.direction_draws import draw
from estep.families.directions import UnitRows
from estep.families.normal_shapes import adopted_ties, numbers

LARGE = 1e7
LENGTH = 1e-5
SAME = 1e-14


@record
class VonMisesFisherParams:
    """Mean directions ``means`` (k, d), of length one, and ``concentrations`` (k,) >= 0."""

    means: Array
    concentrations: Array


@record
class VonMisesFisherStats:
    """Weight ``count`` (k,) and weighted sum ``total`` (k, d) of the unit vectors."""

    count: Array
    total: Array


@dataclasses.dataclass(frozen=True)
class _Directions:
    """Rows (n, d), dense or sparse, with missing ones at zero, and which rows are seen (n,), 1 or 0."""

    x: Any
    seen: Array


@dataclasses.dataclass(frozen=True)
class VonMisesFisher:
    """Unit vectors: ``p(x) = exp(kappa mu'x) kappa^(d/2-1) / ((2 pi)^(d/2) I_(d/2-1)(kappa))``.

    Rows must have length one (to 1e-5); dense, or ``scipy.sparse.csr_array``.

    Parameters
    ----------
    count, total
        Weight and resultant (d,) of the data, set by ``bind``.

    Raises
    ------
    ValueError
        On a row that has not length one (naming it), is missing in part, or where all rows are one direction.

    Examples
    --------
    >>> family = VonMisesFisher()
    >>> params = VonMisesFisherParams(np.array([[1.0, 0.0, 0.0]]), np.array([0.0]))
    >>> round(float(np.exp(family.log_density(params, family.encode(np.eye(3))))[2, 0] * 4 * np.pi), 12)  # uniform
    1.0
    """

    count: float = 0.0
    total: Array | None = None
    names: ClassVar[tuple[str, ...]] = ("means", "concentrations")
    sparse: ClassVar[bool] = True

    def bind(self, data: Any) -> VonMisesFisher:
        """Fix the resultant of the data."""
        whole: VonMisesFisherStats = data.sum(_resultant)
        count, total = float(whole.count[0]), whole.total[0]
        if total.size < 2:
            raise ValueError("X has one column, and a direction needs at least two; for angles use VonMises")
        if count <= 0:
            raise ValueError("X holds no direction: every row is missing")
        if count - float(np.linalg.norm(total)) <= SAME * count:
            raise ValueError("X holds one direction over and over, so its concentration has no finite estimate")
        return dataclasses.replace(self, count=count, total=total)

    def start(self, k: int) -> VonMisesFisherParams:
        """Every component like the whole of the data."""
        count, total = self._bound()
        d = total.size
        first = VonMisesFisherParams(np.tile(np.eye(1, d), (k, 1)), np.ones(k))
        return self.fit(
            VonMisesFisherStats(np.full(k, count), np.tile(total, (k, 1))), first, self.support(first, Constraints())
        )

    def encode(self, x: Any) -> _Directions:
        """Rows with missing ones at zero; raises ValueError on a row that is no direction."""
        return _encode(x, 0)

    def log_density(self, params: VonMisesFisherParams, encoded: _Directions) -> Array:
        """Log densities (n, k), in nats; a missing row has 0."""
        d, kappa = params.means.shape[1], params.concentrations
        if kappa.max(initial=0.0) > LARGE and not is_sparse(encoded.x):
            # mu'x - 1 = -|x - mu|^2 / 2
            along = [-0.5 * c * ((encoded.x - mu) ** 2).sum(axis=1) for mu, c in zip(params.means, kappa, strict=True)]
            logb = np.array(along).T
        else:
            logb = np.asarray(encoded.x @ (kappa[:, None] * params.means).T) - kappa
        logb = logb - log_scaled(kappa, d) - log_area(d)
        return logb if encoded.seen.all() else logb * encoded.seen[:, None]

    def stats(self, params: VonMisesFisherParams, encoded: _Directions, resp: Array) -> VonMisesFisherStats:
        """Weights and resultants."""
        return VonMisesFisherStats(encoded.seen @ resp, np.asarray(encoded.x.T @ resp).T)

    def fit(self, stats: VonMisesFisherStats, params: VonMisesFisherParams, support: Support) -> VonMisesFisherParams:
        """The parameters that maximise ``q`` over the free entries, from ``params``; raises Collapsed."""
        means, concentrations = _entries(support)
        found = directions.maximise(
            stats.count,
            stats.total,
            means.settle(params.means),
            params.concentrations,
            means.pattern,
            concentrations.pattern,
        )
        if not np.isfinite(found[1]).all():
            raise Collapsed(int(np.argmin(np.isfinite(found[1]))), "its rows are all one direction")
        return VonMisesFisherParams(*found)

    def q(self, params: VonMisesFisherParams, stats: VonMisesFisherStats) -> float:
        """Complete-data log-likelihood in nats."""
        d, kappa = params.means.shape[1], params.concentrations
        along = np.einsum("kd,kd->k", params.means, stats.total) - stats.count
        return float((kappa * along - stats.count * (log_scaled(kappa, d) + log_area(d))).sum())

    def score(self, params: VonMisesFisherParams, stats: VonMisesFisherStats, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        along = np.einsum("kd,kd->k", params.means, stats.total)
        length = mean_length(params.concentrations, params.means.shape[1])[0]
        slopes = {
            "means": params.concentrations[:, None] * stats.total,
            "concentrations": along - stats.count * length,
        }
        return support.pull(params, slopes)

    def unit_scores(self, params: VonMisesFisherParams, encoded: _Directions, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
        means, concentrations = _entries(support)
        x = encoded.x.toarray() if is_sparse(encoded.x) else encoded.x
        inside = means.pull(params.means, (resp * params.concentrations)[:, :, None] * x[:, None, :])
        length = mean_length(params.concentrations, params.means.shape[1])[0]
        raw = resp * (x @ params.means.T - length) * encoded.seen[:, None]
        units = [concentrations.pull(params.concentrations, unit) for unit in np.eye(len(length))]
        return np.hstack([inside, raw @ np.array(units).reshape(len(units), -1)])

    def support(self, params: VonMisesFisherParams, constraints: Constraints) -> Support:
        """Unit vectors; concentrations at or above zero."""
        k, d = params.means.shape
        concentrations = NonNegative(constraints.pattern("concentrations", (k,)))
        return Support({"means": UnitRows.of("means", constraints, k, d), "concentrations": concentrations})

    def prior(self, k: int, settings: Mapping[str, Any]) -> VonMisesFisherStats:
        """``strength`` (default 1) imagined rows like the whole of the data, shared equally by the components."""
        count, total = self._bound()
        each = prior_strength(settings, "VonMisesFisher") / k
        return VonMisesFisherStats(np.full(k, each), np.tile(total * (each / count), (k, 1)))

    def dying(self, params: VonMisesFisherParams, stats: VonMisesFisherStats, support: Support) -> Collapsed | None:
        """The first free component that has collapsed, or None."""
        return _shrunk(params, stats, support, directions.SHRUNK)

    def frail(self, params: VonMisesFisherParams, stats: VonMisesFisherStats, support: Support) -> Collapsed | None:
        """The first free component that has nearly collapsed, or None."""
        return _shrunk(params, stats, support, directions.NEAR)

    def features(self, x: Any) -> Array:
        """Rows as start rules see them: dense."""
        return np.asarray(x.toarray() if is_sparse(x) else x, dtype=float)

    def expose(self, params: VonMisesFisherParams) -> dict[str, Array]:
        """Parameters as users see them."""
        return {"means": params.means, "concentrations": params.concentrations}

    def adopt(self, name: str, value: Any, k: int, d: int, argument: str) -> Array:
        """A user's array for parameter ``name``, NaN where free; raises ValueError naming ``argument``."""
        array, shape = numbers(value, argument), (k, d) if name == "means" else (k,)
        if array.shape != shape:
            raise ValueError(f"{argument} has shape {array.shape}, expected {shape}")
        if name == "means":
            UnitRows.of(name, Constraints(), k, d).check(argument, np.where(np.isnan(array), np.eye(1, d), array))
        elif (array < 0).any():
            raise ValueError(f"{argument} must be at least zero, got {array.tolist()}")
        return array

    def adopt_ties(self, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
        """A user's integers that tie components, (k,)."""
        return adopted_ties(value, (k,), argument)

    def seat(self, params: VonMisesFisherParams, component: int, row: Any) -> VonMisesFisherParams:
        """``params`` with the mean direction of ``component`` at ``row``."""
        one = self.features(row).ravel()
        means = params.means.copy()
        means[component] = np.where(np.isnan(one).any(), means[component], one)
        return VonMisesFisherParams(means, params.concentrations)

    def sample(self, params: VonMisesFisherParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One unit vector for each label."""
        return draw(params.means, params.concentrations, labels, rng)

    def _bound(self) -> tuple[float, Array]:
        if self.total is None:
            raise ValueError("this VonMisesFisher family has seen no data yet: call bind(data) first")
        return self.count, self.total


def _entries(support: Support) -> tuple[UnitRows, NonNegative]:
    means, concentrations = support.entries["means"], support.entries["concentrations"]
    assert isinstance(means, UnitRows)
    assert isinstance(concentrations, NonNegative)
    return means, concentrations


def _shrunk(params: VonMisesFisherParams, stats: VonMisesFisherStats, support: Support, bound: float) -> Collapsed | None:
    free = _entries(support)[1].pattern.groups >= 0
    return directions.shrunk(stats.count, params.concentrations, free, params.means.shape[1], bound, "concentration")


def _resultant(chunk: Any) -> VonMisesFisherStats:
    block = _encode(chunk.x, int(chunk.key[1]))
    weight = np.ones(len(chunk)) if chunk.weight is None else np.asarray(chunk.weight, dtype=float)
    return VonMisesFisherStats(np.array([block.seen @ weight]), np.asarray(block.x.T @ weight)[None, :])


def _encode(x: Any, first: int) -> _Directions:
    """Rows as directions; ``first`` is the index of the first of them in the data."""
    if is_sparse(x):
        square = np.asarray(x.multiply(x).sum(axis=1)).ravel()
        _refuse_lengths(square, np.ones(len(square), dtype=bool), first)
        return _Directions(x, np.ones(len(square)))
    x = np.asarray(x, dtype=float)
    missing = np.isnan(x)
    if not missing.any():
        _refuse_lengths(np.einsum("ij,ij->i", x, x), np.ones(len(x), dtype=bool), first)
        return _Directions(x, np.ones(len(x)))
    gone = missing.all(axis=1)
    if (part := missing.any(axis=1) & ~gone).any():
        raise ValueError(
            f"X: row {first + int(np.argmax(part))} has some entries missing, and a direction is known whole or not at all; "
            "fill them in, or set the whole row to NaN"
        )
    filled = np.where(missing, 0.0, x)
    _refuse_lengths(np.einsum("ij,ij->i", filled, filled), ~gone, first)
    return _Directions(filled, (~gone).astype(float))


def _refuse_lengths(square: Array, seen: NDArray[np.bool_], first: int) -> None:
    bad = seen & ~(np.abs(square - 1.0) <= 2.0 * LENGTH)
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(
            f"X: row {first + at} has length {float(np.sqrt(square[at])):.6g}, but directions have length 1; "
            "divide every row by its length (sklearn.preprocessing.normalize), and drop rows of zeros"
        )


__all__ = ["VonMisesFisher", "VonMisesFisherParams", "VonMisesFisherStats"]
