"""Laws that act on independent columns and are exponential families: the mathematics that all of them share.

    log p(x_i | k) = sum over observed j of [ sum_s c_s(theta_kj) T_s(x_ij) + h(x_ij) ]

T_1, T_2, ... are the statistics of an entry (one of them is 1, or an exposure, with coefficient minus the log normaliser), c_s
their coefficients, h the carrier. A missing entry has T = h = 0, which is its exact marginal.

E-step   logb = features' c + carrier,  totals_k = sum_i r_ik features_i                (one matrix product each)
M-step   a family's own: maximise q = sum_skj c_s(theta_kj) totals_skj over the free entries
prior    ``strength`` imagined rows, shared equally by the components, that look like the whole of the data

symbol   variable        shape
T        features        (r d + 1, n)   statistic by statistic, columns within; the last row is the carrier
c        coefficients    (k, r, d)      -inf only where T >= 0 and the law gives T > 0 no mass
         totals          (k, r, d)
h        carrier         (k,)           its weighted sum, a constant of q
         overall         (r, d)         totals of the whole data, set by ``bind``

A family is a frozen dataclass with ``overall`` that assigns these functions and adds: ``entries`` (parameter name -> entry of a
support), ``terms(x)``, ``carrier(x)``, ``coefficients(params)``, ``gradient(params, totals)`` and ``maximise(totals, params,
support)``; ``poisson.py`` is the model of the others.

Source: Barndorff-Nielsen (1978), Information and Exponential Families, chapter 8.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.core.record import Array, leaves, rebuild, record
from estep.core.support import Constraints, Pattern, Support
from estep.families.normal_shapes import adopted_means, adopted_ties

FLOOR = 1e-280
"""What a gradient divides by instead of zero: finite for every count, and zero again once it is pulled to coordinates."""


@record
class ColumnStats:
    """Weighted sums of the statistics, ``totals`` (k, r, d), and of the carrier, (k,)."""

    totals: Array
    carrier: Array


@dataclasses.dataclass(frozen=True)
class ColumnBlock:
    """Statistics of a block of rows, ``features`` (r d + 1, n), dense or a scipy sparse array."""

    features: Any
    r: int

    def split(self, summed: Array) -> ColumnStats:
        """Statistics from ``summed`` features (k, r d + 1)."""
        return ColumnStats(summed[:, :-1].reshape(len(summed), self.r, -1), summed[:, -1])

    def each(self) -> Array:
        """The statistics of every row, (n, r, d)."""
        features = self.features if isinstance(self.features, np.ndarray) else self.features.toarray()
        return self.split(features.T).totals


def bind(self: Any, data: Any) -> Any:
    """Fix the totals of the whole data; raises ValueError on values the law cannot give and on columns without values."""
    whole: ColumnStats = data.sum(lambda chunk: _whole(self, chunk))
    overall = whole.totals[0]
    empty = (overall == 0).all(axis=0)
    refuse(empty, "has no observed value; drop it or supply data for it")
    return dataclasses.replace(self, overall=overall)


def _whole(self: Any, chunk: Any) -> ColumnStats:
    block: ColumnBlock = self.encode(chunk.x)
    weight = np.ones(len(chunk)) if chunk.weight is None else np.asarray(chunk.weight, dtype=float)
    return block.split((block.features @ weight)[None, :])


def known(self: Any) -> Array:
    """Totals of the whole data (r, d); raises ValueError before ``bind``."""
    if self.overall is None:
        raise ValueError(f"this {type(self).__name__} family has seen no data yet: call bind(data) first")
    return np.asarray(self.overall)


def start(self: Any, k: int) -> Any:
    """Every component like the whole of the data."""
    totals = np.tile(known(self), (k, 1, 1))
    neutral = self.guess(totals)
    return self.maximise(totals, neutral, self.support(neutral, Constraints()))


def encode(self: Any, x: Any) -> ColumnBlock:
    """Statistics and carrier of rows (n, d), zero where missing; raises ValueError on values the law cannot give."""
    x = np.asarray(x, dtype=float)
    terms = self.terms(x)
    n, d = terms[0].shape
    features = np.empty((len(terms) * d + 1, n))
    for s, term in enumerate(terms):
        features[s * d : (s + 1) * d] = np.where(np.isnan(term), 0.0, term).T
    carrier = self.carrier(x)
    features[-1] = np.where(np.isnan(carrier), 0.0, carrier).sum(axis=1)
    return ColumnBlock(features, len(terms))


def log_density(self: Any, params: Any, encoded: ColumnBlock) -> Array:
    """Log densities (n, k) of the observed entries, in nats; -inf where a component gives a value no mass."""
    coefficients = self.coefficients(params)
    k = len(coefficients)
    table = np.ones((k, encoded.features.shape[0]))
    table[:, :-1] = coefficients.reshape(k, -1)
    barred = np.isneginf(table)
    if not barred.any():
        return np.asarray((table @ encoded.features).T)
    logb = np.where(barred, 0.0, table) @ encoded.features
    logb[barred.astype(float) @ (encoded.features > 0) > 0] = -np.inf
    return np.asarray(logb.T)


def stats(self: Any, params: Any, encoded: ColumnBlock, resp: Array) -> ColumnStats:
    """Statistics summed over rows with responsibilities (n, k)."""
    return encoded.split((encoded.features @ resp).T)


def fit(self: Any, stats: ColumnStats, params: Any, support: Support) -> Any:
    """The parameters that maximise ``q`` over the free entries, from ``params``; a component without rows keeps its own."""
    return self.maximise(stats.totals, params, support)


def q(self: Any, params: Any, stats: ColumnStats) -> float:
    """Complete-data log-likelihood in nats (0 log 0 = 0)."""
    used = stats.totals != 0
    return float((self.coefficients(params)[used] * stats.totals[used]).sum() + stats.carrier.sum())


def score(self: Any, params: Any, stats: ColumnStats, support: Support) -> Array:
    """Gradient of ``q`` in free coordinates."""
    return support.pull(params, self.gradient(params, stats.totals))


def unit_scores(self: Any, params: Any, encoded: Any, resp: Array, support: Support) -> Array:
    """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
    d = np.shape(getattr(params, self.names[0]))[1]
    return cell_scores(self, params, encoded, np.repeat(resp[:, :, None], d, axis=2), support)


def cell_density(self: Any, params: Any, encoded: ColumnBlock) -> Array:
    """Log densities of single entries less their carriers, (k, d, n), 0 where missing."""
    coefficients = self.coefficients(params)
    features = encoded.features[:-1].reshape(encoded.r, -1, encoded.features.shape[1])
    barred = np.isneginf(coefficients)
    cells = np.einsum("krd,rdn->kdn", np.where(barred, 0.0, coefficients), features)
    if barred.any():
        cells[np.einsum("krd,rdn->kdn", barred.astype(float), (features > 0).astype(float)) > 0] = -np.inf
    return np.asarray(cells)


def cell_stats(self: Any, encoded: ColumnBlock, weights: Array) -> ColumnStats:
    """Statistics from the weight of every entry, (k, d, n); carriers are left to the caller."""
    features = encoded.features[:-1].reshape(encoded.r, -1, encoded.features.shape[1])
    return ColumnStats(np.einsum("kdn,rdn->krd", weights, features), np.zeros(len(weights)))


def cell_scores(self: Any, params: Any, encoded: ColumnBlock, weights: Array, support: Support) -> Array:
    """Per row, the gradient of the log density of its entries, weighted by ``weights`` (n, k, d), (n, p)."""
    gradients = self.gradient(params, weights[:, :, None, :] * encoded.each()[:, None])
    raw = np.hstack([gradients[name].reshape(len(weights), -1) for name in support.entries])
    return np.asarray(raw @ jacobian(params, support))


def jacobian(params: Any, support: Support) -> Array:
    """Free coordinates' gradient from the gradient in every parameter entry, (entries, p): ``pull`` is linear."""
    kept = remembered(params, "jacobian", lambda: (support, _jacobian(params, support)))
    return kept[1] if kept[0] is support else _jacobian(params, support)


def _jacobian(params: Any, support: Support) -> Array:
    zeros = {name: np.zeros_like(np.asarray(value)) for name, value in leaves(params)}
    rows = []
    for name in support.entries:
        for at in np.ndindex(zeros[name].shape):
            unit = zeros[name].copy()
            unit[at] = 1.0
            rows.append(support.pull(params, {**zeros, name: unit}))
    return np.array(rows)


def support(self: Any, params: Any, constraints: Constraints) -> Support:
    """Where each parameter may live, entry by entry."""
    shapes = {name: np.shape(getattr(params, name)) for name in self.entries}
    return Support({name: entry(constraints.pattern(name, shapes[name])) for name, entry in self.entries.items()})


def prior(self: Any, k: int, settings: Mapping[str, Any]) -> ColumnStats:
    """``strength`` (default 1) imagined rows like the whole of the data, shared equally by the components."""
    strength = prior_strength(settings, type(self).__name__)
    totals = known(self)
    seen = np.maximum(self.rows_in(totals), np.finfo(float).tiny)
    return ColumnStats(np.tile(totals * (strength / k / seen), (k, 1, 1)), np.zeros(k))


def prior_strength(settings: Mapping[str, Any], family: str) -> float:
    """The prior's only setting; raises ValueError on others, and unless it is a number >= 0."""
    unknown = sorted(set(settings) - {"strength"})
    if unknown:
        raise ValueError(f"prior: {family} has no setting {unknown[0]!r}; it has 'strength' (imagined rows) and 'weights'")
    strength = settings.get("strength", 1.0)
    if np.ndim(strength) or not float(strength) >= 0 or not np.isfinite(strength):
        raise ValueError(f"prior['strength'] must be a number of imagined rows >= 0, got {strength!r}")
    return float(strength)


def expose(self: Any, params: Any) -> dict[str, Array]:
    """Parameters as users see them."""
    return {name: getattr(params, name) for name in self.entries}


def adopt(self: Any, name: str, value: Any, k: int, d: int, argument: str) -> Array:
    """A user's array (k, d) for parameter ``name``, NaN where free; in one column (k,) will do. Raises ValueError."""
    return adopted(self.entries[name], value, (k, self.width(d)), argument)


def adopted(entry: Any, value: Any, shape: tuple[int, int], argument: str) -> Array:
    """``value`` in that shape, each number that is not NaN where ``entry`` may live; raises ValueError."""
    array = adopted_means(value, *shape, argument)
    told = array[~np.isnan(array)]
    entry(Pattern(np.arange(told.size), told)).check(argument, told)
    return array


def adopt_ties(self: Any, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
    """A user's integers that tie entries of parameter ``name``, (k, d), or (k,) for whole components."""
    return adopted_ties(value, (k, self.width(d)), argument)


def seat(self: Any, params: Any, component: int, row: Array) -> Any:
    """``params`` with ``component`` fitted to ``row`` and one imagined row like the whole of the data."""
    whole = known(self)
    totals = self.encode(np.asarray(row)[None, :]).each() + whole / np.maximum(self.rows_in(whole), np.finfo(float).tiny)
    neutral = self.guess(totals)
    moved = dict(leaves(self.maximise(totals, neutral, self.support(neutral, Constraints()))))
    new = {name: np.array(value) for name, value in leaves(params)}
    for name in new:
        new[name][component] = moved[name][0]
    return rebuild(params, new)


def width(self: Any, d: int) -> int:
    """Columns of the parameters where rows have ``d``."""
    return d


def rows_in(self: Any, totals: Array) -> Array:
    """Weight of the rows behind ``totals`` (..., r, d), where the first statistic is 1: (..., d)."""
    return np.asarray(totals[..., 0, :])


def ratio(top: Array, bottom: Array, old: Array, pattern: Pattern) -> Array:
    """``top / bottom`` (k, d) pooled over tied entries; fixed entries, and those without weight below, stay ``old``."""
    above, below = pattern.pool(top), pattern.pool(bottom)
    return pattern.spread(np.where(below > 0, above / np.where(below > 0, below, 1.0), pattern.pick(old)))


def refuse(bad: NDArray[np.bool_], why: str) -> None:
    """Raise ValueError naming the first column of ``bad`` (d,)."""
    if bad.any():
        raise ValueError(f"X: column {int(np.flatnonzero(bad)[0])} {why}")


def refuse_values(x: Array, bad: NDArray[np.bool_], law: str, remedy: str) -> None:
    """Raise ValueError naming the column and the first of the values (n, d) that a law cannot give."""
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"X: column {column} holds {x[row, column]:g}, but {law}; {remedy}")


def refuse_rows(bad: NDArray[np.bool_], where: str, law: str, remedy: str) -> None:
    """Raise ValueError naming the first column of ``bad`` (n, d), how many of its rows lie ``where``, and the remedy."""
    for j in np.flatnonzero(bad.any(axis=0))[:1]:
        rows = int(bad[:, j].sum())
        raise ValueError(
            f"X: column {int(j)} has {rows} {'row' if rows == 1 else 'rows'} {where}, where {law} has no density; {remedy}"
        )


def counted(x: Array, law: str) -> Array:
    """``x`` where every observed value is a whole number >= 0; raises ValueError naming column and value."""
    with np.errstate(invalid="ignore"):
        bad = ~np.isnan(x) & ~((x >= 0) & (x == np.floor(x)) & np.isfinite(x))
    refuse_values(x, bad, f"{law} counts are whole numbers 0, 1, 2, ...", "round it, drop the row or use another family")
    return x


def is_sparse(x: Any) -> bool:
    """Whether ``x`` is a scipy sparse array."""
    return hasattr(x, "tocsr")


def dirichlet_counts(settings: Mapping[str, Any], family: str) -> float:
    """Imagined counts ``alpha - 1`` of every level; raises ValueError unless alpha is a number >= 1 and the only setting."""
    if unknown := sorted(set(settings) - {"alpha"}):
        raise ValueError(f"prior: {family} takes 'alpha' or 'strength', not 'alpha' with {unknown[0]!r}")
    alpha = settings["alpha"]
    if np.ndim(alpha) or not float(alpha) >= 1 or not np.isfinite(alpha):
        raise ValueError(f"prior['alpha'] must be a number >= 1 (Dirichlet: 1 + the imagined counts of a level), got {alpha!r}")
    return float(alpha) - 1.0
