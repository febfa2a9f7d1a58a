"""Counts with more zeros than their law gives: some zeros are structural, the rest are draws.

    with probability pi_kj   x_ij = 0            (a structural zero)
    otherwise                x_ij ~ f(. | theta_kj)            f: Poisson, NegativeBinomial, Binomial or Geometric columns

Whether a zero is structural is a hidden part of the family, integrated by it (and not by the mixture):

E-step   log p(x) = log(pi + (1 - pi) f(0)) at x = 0,  log(1 - pi) + log f(x) above;  tau = pi / (pi + (1 - pi) f(0)) at x = 0
         structural_kj = sum_i r_ik tau_ikj,  the statistics of f with the weights r_ik (1 - tau_ikj)
M-step   pi_kj = structural_kj / (structural_kj + drawn_kj);  f's own for theta
prior    f's own

symbol   variable      shape
pi       inflations    (k, d)
tau                    (k, d, n)

Sources: Lambert (1992), Technometrics 34:1; Hall (2000), Biometrics 56:1030 (binomial).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.ranges import Probability
from estep.core.record import Array, record, transform
from estep.core.support import Constraints, Support
from estep.families import columns

INNER = "inner."


@record
class ZeroInflatedParams:
    """The inner law's parameters (also by their own names) and ``inflations`` (k, d).

    >>> @record
    ... class Rates:
    ...     rates: Array
    >>> ZeroInflatedParams(Rates(np.ones((1, 1))), np.zeros((1, 1))).rates.tolist()
    [[1.0]]
    """

    inner: Any
    inflations: Array

    def __getattr__(self, name: str) -> Any:
        inner = self.__dict__.get("inner")
        if inner is None or name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no {name!r}")
        return getattr(inner, name)


@record
class ZeroInflatedStats:
    """The inner law's statistics, and the weight of structural zeros and of draws, (k, d) each; ``carrier`` (k,)."""

    inner: Any
    structural: Array
    drawn: Array
    carrier: Array


@dataclasses.dataclass(frozen=True)
class _ZeroBlock:
    """The inner block; which entries are zero and which are seen, and their carriers, (d, n) each."""

    inner: Any
    zero: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    carrier: Array


@dataclasses.dataclass(frozen=True)
class ZeroInflated:
    """Zero-inflated counts, independent columns: ``p(0) = pi + (1 - pi) f(0)``, ``p(x) = (1 - pi) f(x)`` above.

    Parameters
    ----------
    family : Poisson, NegativeBinomial, Binomial or Geometric
        The law of the counts that are drawn.

    Raises
    ------
    ValueError, TypeError
        On values that the inner law refuses; on a family that is no law of counts.

    Examples
    --------
    >>> from estep.families.poisson import Poisson, PoissonParams
    >>> family = ZeroInflated(Poisson())
    >>> params = ZeroInflatedParams(PoissonParams(np.array([[1.0]])), np.array([[0.5]]))
    >>> np.exp(family.log_density(params, family.encode(np.array([[0.0], [1.0]])))).round(6).ravel().tolist()
    [0.68394, 0.18394]
    """

    family: Any
    discrete: ClassVar[bool] = True
    nonnegative: ClassVar[bool] = True

    def __post_init__(self) -> None:
        lacking = [name for name in ("cell_density", "cell_stats", "cell_scores", "carrier") if not hasattr(self.family, name)]
        if isinstance(self.family, type) or lacking:
            words = "an instance of Poisson, NegativeBinomial, Binomial or Geometric"
            found = f"the class {self.family.__name__}" if isinstance(self.family, type) else type(self.family).__name__
            raise TypeError(f"family must be {words}, got {found}")

    @property
    def names(self) -> tuple[str, ...]:
        """The inner law's parameters, and ``inflations``."""
        return (*self.family.names, "inflations")

    def bind(self, data: Any) -> ZeroInflated:
        """Bind the inner law."""
        return dataclasses.replace(self, family=self.family.bind(data))

    def start(self, k: int) -> ZeroInflatedParams:
        """Every component like the whole of the data, with one value in ten a structural zero."""
        inner = self.family.start(k)
        shape = np.shape(getattr(inner, self.family.names[0]))
        return ZeroInflatedParams(inner, np.full(shape, 0.1))

    def encode(self, x: Any) -> _ZeroBlock:
        """The inner block, and where its counts are zero or missing; raises ValueError as the inner law does."""
        x = np.asarray(x, dtype=float)
        inner = self.family.encode(x)
        counts = x[:, : self.family.width(x.shape[1])].T
        carrier = self.family.carrier(x).T
        return _ZeroBlock(inner, counts == 0, ~np.isnan(counts), np.where(np.isnan(carrier), 0.0, carrier))

    def log_density(self, params: ZeroInflatedParams, encoded: _ZeroBlock) -> Array:
        """Log densities (n, k) of the observed entries, in nats."""
        return np.asarray(self._cells(params, encoded)[0].sum(axis=1).T)

    def _cells(self, params: ZeroInflatedParams, encoded: _ZeroBlock) -> tuple[Array, Array]:
        """Log densities of single entries, and tau, (k, d, n) each."""
        with np.errstate(divide="ignore"):
            structural = np.log(params.inflations)[:, :, None]
            drawn = np.log1p(-params.inflations)[:, :, None]
        drawn = drawn + self.family.cell_density(params.inner, encoded.inner) + encoded.carrier
        logs = np.where(encoded.zero, np.logaddexp(structural, drawn), drawn)
        possible = encoded.zero & ~np.isneginf(logs)
        tau = np.where(possible, np.exp(structural - np.where(possible, logs, 0.0)), 0.0)
        return np.where(encoded.seen, logs, 0.0), tau

    def stats(self, params: ZeroInflatedParams, encoded: _ZeroBlock, resp: Array) -> ZeroInflatedStats:
        """Expected statistics: structural zeros, and the inner law's with the weight of what is drawn."""
        tau = self._cells(params, encoded)[1]
        weight = resp.T[:, None, :] * encoded.seen
        structural = weight * tau
        drawn = weight - structural
        inner = self.family.cell_stats(encoded.inner, drawn)
        carrier = np.einsum("kdn,dn->k", drawn, encoded.carrier)
        return ZeroInflatedStats(inner, structural.sum(axis=2), drawn.sum(axis=2), carrier)

    def fit(self, stats: ZeroInflatedStats, params: ZeroInflatedParams, support: Support) -> ZeroInflatedParams:
        """The parameters that maximise ``q`` over the free entries, from ``params``."""
        entry = support.entries["inflations"]
        assert isinstance(entry, Probability)
        inner = self.family.fit(stats.inner, params.inner, _inner(support))
        all_seen = stats.structural + stats.drawn
        return ZeroInflatedParams(inner, columns.ratio(stats.structural, all_seen, params.inflations, entry.pattern))

    def q(self, params: ZeroInflatedParams, stats: ZeroInflatedStats) -> float:
        """Expected complete-data log-likelihood in nats."""
        from scipy.special import xlog1py, xlogy

        labels = xlogy(stats.structural, params.inflations) + xlog1py(stats.drawn, -params.inflations)
        return float(labels.sum() + self.family.q(params.inner, stats.inner) + stats.carrier.sum())

    def score(self, params: ZeroInflatedParams, stats: ZeroInflatedStats, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        entry = support.entries["inflations"]
        up, down = np.maximum(params.inflations, columns.FLOOR), np.maximum(1.0 - params.inflations, columns.FLOOR)
        own = entry.pull(params.inflations, stats.structural / up - stats.drawn / down)
        return np.concatenate([self.family.score(params.inner, stats.inner, _inner(support)), own])

    def unit_scores(self, params: ZeroInflatedParams, encoded: _ZeroBlock, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
        tau = np.moveaxis(self._cells(params, encoded)[1], 2, 0)
        weight = resp[:, :, None] * encoded.seen.T[:, None, :]
        drawn, pi = weight * (1.0 - tau), params.inflations
        inner = self.family.cell_scores(params.inner, encoded.inner, drawn, _inner(support))
        raw = weight * tau / np.maximum(pi, columns.FLOOR) - drawn / np.maximum(1.0 - pi, columns.FLOOR)
        entry = support.entries["inflations"]
        units = np.eye(pi.size).reshape(pi.size, *pi.shape)
        to_free = np.array([entry.pull(pi, unit) for unit in units]).reshape(pi.size, -1)
        return np.hstack([inner, raw.reshape(len(raw), -1) @ to_free])

    def support(self, params: ZeroInflatedParams, constraints: Constraints) -> Support:
        """The inner law's support, and probabilities."""
        fixed = {name: value for name, value in constraints.fixed.items() if name != "inflations"}
        tied = {name: value for name, value in constraints.tied.items() if name != "inflations"}
        inner = self.family.support(params.inner, Constraints(fixed, tied))
        pattern = constraints.pattern("inflations", params.inflations.shape)
        return Support({**{f"{INNER}{n}": e for n, e in inner.entries.items()}, "inflations": Probability(pattern)})

    def prior(self, k: int, settings: Mapping[str, Any]) -> ZeroInflatedStats:
        """The inner law's imagined rows; nothing on the inflations."""
        inner = self.family.prior(k, settings)
        zeros = np.zeros_like(getattr(self.family.start(k), self.family.names[0]))
        return ZeroInflatedStats(inner, zeros, zeros, np.zeros(k))

    def permute(self, params: ZeroInflatedParams, order: NDArray[np.intp]) -> ZeroInflatedParams:
        """Components in another order."""
        return transform(params, lambda _, leaf: leaf[order])

    def with_values(self, params: ZeroInflatedParams, values: Mapping[str, Any]) -> ZeroInflatedParams:
        """``params`` with the arrays of ``values``, by name, in their places."""
        inner = {n: v for n, v in values.items() if n != "inflations"}
        return ZeroInflatedParams(
            dataclasses.replace(params.inner, **inner), np.asarray(values.get("inflations", params.inflations))
        )

    def expose(self, params: ZeroInflatedParams) -> dict[str, Array]:
        """Parameters as users see them."""
        return {**self.family.expose(params.inner), "inflations": params.inflations}

    def adopt(self, name: str, value: Any, k: int, d: int, argument: str) -> Array:
        """A user's array (k, d) for parameter ``name``, NaN where free."""
        if name != "inflations":
            return np.asarray(self.family.adopt(name, value, k, d, argument))
        return columns.adopted(Probability, value, (k, self.family.width(d)), argument)

    def adopt_ties(self, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
        """A user's integers that tie entries of parameter ``name``, (k, d), or (k,) for whole components."""
        return np.asarray(self.family.adopt_ties(self.family.names[0], value, k, d, argument))

    def seat(self, params: ZeroInflatedParams, component: int, row: Array) -> ZeroInflatedParams:
        """``params`` with the inner law of ``component`` at ``row``."""
        return ZeroInflatedParams(self.family.seat(params.inner, component, row), params.inflations)

    def features(self, x: Array) -> Array:
        """Rows as start rules see them: as the inner law's."""
        return np.asarray(self.family.features(x))

    def sample(self, params: ZeroInflatedParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        rows = np.array(self.family.sample(params.inner, labels, rng))
        pi = params.inflations[labels]
        counts = rows[:, : pi.shape[1]]
        counts[rng.random(pi.shape) < pi] = 0.0
        return rows

    def cdf(self, params: ZeroInflatedParams, x: Array) -> Array:
        """``P(X <= x) = pi + (1 - pi) F(x)`` of a single column, (n, k); NaN where missing."""
        pi, below = params.inflations[:, 0], np.asarray(x, dtype=float)[:, :1] < 0
        return np.where(below, 0.0, pi + (1.0 - pi) * self.family.cdf(params.inner, x))


def _inner(support: Support) -> Support:
    """The inner law's part of ``support``, under its own names."""
    return Support({n[len(INNER) :]: e for n, e in support.entries.items() if n.startswith(INNER)})
