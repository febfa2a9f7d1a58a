"""Independent negative binomial columns: counts that vary more than a Poisson law allows.

    lambda ~ Gamma(s_kj, mean mu_kj),   x_ij | lambda ~ Poisson(lambda)         mean mu, variance mu + mu^2 / s

    P(x) = Gamma(x + s) / (Gamma(s) x!) (s / (s + mu))^s (mu / (s + mu))^x

The law is no exponential family in its size s, but depends on the data only through how often each distinct count was seen:
those weighted frequencies are its statistics, exact and additive.

E-step   log p from a table over the distinct counts; N_kvj = sum_i r_ik [x_ij = v]
M-step   mu_kj = sum_v v N_kvj / sum_v N_kvj, then Newton (within a bracket) in log s for
         sum_v N_kvj d/ds log P(v) = 0; tied means and sizes in turn until neither moves (ECM)
prior    imagined rows like the data (columns.py)

symbol   variable   shape
mu       means      (k, d)
s        sizes      (k, d)    counts no more spread than Poisson ones have s -> infinity: it ends at ``LARGEST * (1 + mu)``
v        values     (u,)      distinct counts
N        totals     (k, u, d)

Sources: McLachlan & Peel (2000), Finite Mixture Models, section 5.5; Meng & Rubin (1993), Biometrika 80:267 (ECM).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.ranges import NonNegative
from estep.core.record import Array, record
from estep.core.support import Constraints, Positive, Support
from estep.families import columns
from estep.families.negative_binomial_fit import LARGEST, SMALLEST, fitted, height, log_table, moments, slopes


@record
class NegativeBinomialParams:
    """``means`` and ``sizes``, (k, d) each."""

    means: Array
    sizes: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Frequencies:
    """How often each distinct count was seen, ``totals`` (k, u, d) at ``values`` (u,); a sum has the counts of both terms.

    >>> one, two = (Frequencies(np.array([v]), np.ones((1, 1, 1))) for v in (3.0, 1.0))
    >>> (one + two * 2.0).values.tolist(), (one + two * 2.0).totals.ravel().tolist()
    ([1.0, 3.0], [2.0, 1.0])
    """

    values: Array
    totals: Array

    def __add__(self, other: Frequencies) -> Frequencies:
        if np.array_equal(self.values, other.values):
            return Frequencies(self.values, self.totals + other.totals)
        values = np.union1d(self.values, other.values)
        return Frequencies(values, self.spread(values) + other.spread(values))

    def __mul__(self, c: float) -> Frequencies:
        if not float(c) >= 0:
            raise ValueError(f"statistics are scaled by a number >= 0, got {c!r}")
        return Frequencies(self.values, self.totals * c)

    __rmul__ = __mul__

    def spread(self, values: Array) -> Array:
        """The frequencies at ``values``, which hold these and perhaps more."""
        k, _, d = self.totals.shape
        out = np.zeros((k, len(values), d))
        out[:, np.searchsorted(values, self.values)] = self.totals
        return out


@dataclasses.dataclass(frozen=True)
class _CountBlock:
    """Place of every count among the sorted ``values`` (u,), (n, d); u where it is missing."""

    codes: NDArray[np.intp]
    values: Array


@dataclasses.dataclass(frozen=True)
class _Distinct:
    """Distinct counts; adds as a union."""

    values: Array

    def __add__(self, other: _Distinct) -> _Distinct:
        return _Distinct(np.union1d(self.values, other.values))


@dataclasses.dataclass(frozen=True)
class NegativeBinomial:
    """Overdispersed counts, independent columns, by mean and size: variance ``mu + mu^2 / s``.

    A component whose counts vary no more than Poisson counts has its size at ``1e8 (1 + mean)``, where the law is Poisson to
    eight digits; the likelihood has no larger maximum.

    Parameters
    ----------
    values, overall
        Distinct counts (u,) and how often each was seen in each column (u, d), set by ``bind``.

    Raises
    ------
    ValueError
        On a count that is no whole number >= 0, or a column without values.

    Examples
    --------
    >>> family = NegativeBinomial()
    >>> params = NegativeBinomialParams(np.array([[1.0]]), np.array([[1.0]]))  # geometric with p = 1/2
    >>> family.log_density(params, family.encode(np.array([[0.0], [2.0]]))).round(6).ravel().tolist()
    [-0.693147, -2.079442]
    """

    values: Array | None = None
    overall: Array | None = None
    discrete: ClassVar[bool] = True
    nonnegative: ClassVar[bool] = True
    names: ClassVar[tuple[str, ...]] = ("means", "sizes")
    entries: ClassVar[Mapping[str, Any]] = {"means": NonNegative, "sizes": Positive}

    def bind(self, data: Any) -> NegativeBinomial:
        """Fix the distinct counts and their frequencies; raises ValueError on values that are no counts."""
        found: _Distinct = data.sum(lambda chunk: _Distinct(_distinct(_counts(chunk.x))))
        bound = dataclasses.replace(self, values=found.values)
        overall = data.sum(bound._frequencies)
        columns.refuse(~(overall > 0).any(axis=0), "has no observed value; drop it or supply data for it")
        return dataclasses.replace(bound, overall=overall)

    def _frequencies(self, chunk: Any) -> Array:
        weight = np.ones(len(chunk)) if chunk.weight is None else np.asarray(chunk.weight, dtype=float)
        return np.asarray(self.stats(None, self.encode(chunk.x), weight[:, None]).totals[0])

    def start(self, k: int) -> NegativeBinomialParams:
        """Every component like the whole of the data."""
        whole = Frequencies(self._known(), np.tile(columns.known(self), (k, 1, 1)))
        neutral = NegativeBinomialParams(*moments(whole.values, whole.totals))
        return self.fit(whole, neutral, self.support(neutral, Constraints()))

    def encode(self, x: Any) -> _CountBlock:
        """Every count by its place among the distinct ones; raises ValueError on values that are no counts."""
        x = _counts(x)
        missing, values = np.isnan(x), _distinct(x)
        if self.values is not None:
            values = np.union1d(self.values, values)
        return _CountBlock(np.where(missing, len(values), np.searchsorted(values, np.where(missing, 0.0, x))), values)

    def cell_density(self, params: NegativeBinomialParams, encoded: _CountBlock) -> Array:
        """Log densities of single entries, (k, d, n), 0 where missing."""
        k, d = params.means.shape
        table = np.zeros((d, k, len(encoded.values) + 1))
        table[..., :-1] = np.moveaxis(log_table(encoded.values, params.means, params.sizes), 2, 0)
        return np.stack([table[j][:, encoded.codes[:, j]] for j in range(d)], axis=1)

    def cell_stats(self, encoded: _CountBlock, weights: Array) -> Frequencies:
        """Frequencies from the weight of every entry, (k, d, n)."""
        (k, d, _), u = weights.shape, len(encoded.values)
        each = [np.bincount(encoded.codes[:, j], weights[c, j], minlength=u + 1)[:u] for c in range(k) for j in range(d)]
        return Frequencies(encoded.values, np.moveaxis(np.array(each, dtype=float).reshape(k, d, u), 1, 2))

    def cell_scores(self, params: NegativeBinomialParams, encoded: _CountBlock, weights: Array, support: Support) -> Array:
        """Per row, the gradient of the log density of its entries, weighted by ``weights`` (n, k, d), (n, p)."""
        (n, k, d), raw = weights.shape, np.zeros((2, *weights.shape))
        for part, slope in zip(raw, slopes(encoded.values, params.means, params.sizes), strict=True):
            padded = np.concatenate([slope, np.zeros((k, 1, d))], axis=1)
            for j in range(d):
                part[:, :, j] = weights[:, :, j] * padded[:, encoded.codes[:, j], j].T
        return np.asarray(np.hstack([*raw.reshape(2, n, -1)]) @ columns.jacobian(params, support))

    def ends(self, params: NegativeBinomialParams) -> dict[str, NDArray[np.bool_]]:
        """Sizes that ended at the Poisson law, or at the least, where no curvature tells their error."""
        last = LARGEST * (1.0 + params.means) * (1.0 - 1e-6)
        return {"sizes": (params.sizes >= last) | (params.sizes <= SMALLEST * (1.0 + 1e-6))}

    def unit_scores(self, params: NegativeBinomialParams, encoded: _CountBlock, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
        d = params.means.shape[1]
        return self.cell_scores(params, encoded, np.repeat(resp[:, :, None], d, axis=2), support)

    def carrier(self, x: Array) -> Array:
        """Nothing, (n, d)."""
        return np.zeros(x.shape)

    def log_density(self, params: NegativeBinomialParams, encoded: _CountBlock) -> Array:
        """Log densities (n, k) of the observed entries, in nats."""
        return np.asarray(self.cell_density(params, encoded).sum(axis=1).T)

    def stats(self, params: Any, encoded: _CountBlock, resp: Array) -> Frequencies:
        """Weighted frequencies of the distinct counts."""
        n, d = encoded.codes.shape
        return self.cell_stats(encoded, np.broadcast_to(resp.T[:, None, :], (resp.shape[1], d, n)))

    def fit(self, stats: Frequencies, params: NegativeBinomialParams, support: Support) -> NegativeBinomialParams:
        """The parameters that maximise ``q`` over the free entries, from ``params``; see the module."""
        means, sizes = support.entries["means"], support.entries["sizes"]
        assert isinstance(means, NonNegative)
        assert isinstance(sizes, Positive)
        found = fitted(stats.values, stats.totals, (params.means, params.sizes), (means.pattern, sizes.pattern))
        return NegativeBinomialParams(*found)

    def q(self, params: NegativeBinomialParams, stats: Frequencies) -> float:
        """Complete-data log-likelihood in nats."""
        return height(stats.values, stats.totals, (params.means, params.sizes))

    def score(self, params: NegativeBinomialParams, stats: Frequencies, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        by_mean, by_size = slopes(stats.values, params.means, params.sizes)
        gradient = {"means": (stats.totals * by_mean).sum(axis=1), "sizes": (stats.totals * by_size).sum(axis=1)}
        return support.pull(params, gradient)

    def prior(self, k: int, settings: Mapping[str, Any]) -> Frequencies:
        """``strength`` (default 1) imagined rows like the whole of the data, shared equally by the components."""
        share = columns.prior_strength(settings, type(self).__name__) / k
        whole = columns.known(self)
        return Frequencies(self._known(), np.tile(whole * (share / whole.sum(axis=0)), (k, 1, 1)))

    def seat(self, params: NegativeBinomialParams, component: int, row: Array) -> NegativeBinomialParams:
        """``params`` with the means of ``component`` halfway between ``row`` and the data's own."""
        means, overall = params.means.copy(), columns.known(self)
        own = (overall * self._known()[:, None]).sum(axis=0) / overall.sum(axis=0)
        means[component] = np.where(np.isnan(row), means[component], 0.5 * (row + own))
        return NegativeBinomialParams(means, params.sizes)

    def features(self, x: Array) -> Array:
        """Rows as start rules see them: log(1 + x)."""
        return np.asarray(np.log1p(np.asarray(x, dtype=float)))

    def sample(self, params: NegativeBinomialParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        sizes = params.sizes[labels]
        return np.asarray(rng.poisson(rng.gamma(sizes, params.means[labels] / sizes)), dtype=float)

    def cdf(self, params: NegativeBinomialParams, x: Array) -> Array:
        """``P(X <= x)`` of a single column, (n, k); NaN where missing."""
        from scipy.special import betainc

        whole = np.floor(np.asarray(x, dtype=float))
        mean, size = params.means[:, 0], params.sizes[:, 0]
        inside = betainc(size, np.maximum(whole, 0.0) + 1.0, size / (size + mean))
        return np.where(np.isnan(whole), np.nan, np.where(whole < 0, 0.0, inside))

    def _known(self) -> Array:
        if self.values is None:
            raise ValueError("this NegativeBinomial family has seen no data yet: call bind(data) first")
        return self.values

    support = columns.support
    width = columns.width
    expose = columns.expose
    adopt = columns.adopt
    adopt_ties = columns.adopt_ties


def _counts(x: Any) -> Array:
    return columns.counted(np.asarray(x, dtype=float), "negative binomial")


def _distinct(x: Array) -> Array:
    return np.unique(x[~np.isnan(x)])
