"""Dirichlet rows: parts of a whole, positive and adding up to one.

    x_i | z_i = k ~ Dirichlet(alpha_k1, ..., alpha_kd)

E-step   log p = sum_j (alpha_j - 1) log x_j - log B(alpha)
M-step   psi(alpha_j) - psi(sum alpha) = mean log x_j: Newton (dirichlet_fit.py); over free entries where some are held
prior    imagined rows with the mean logarithms of the data

Missing entries U of a row leave R = 1 - sum of the observed ones. The observed parts and R are Dirichlet(alpha_o, alpha_U),
alpha_U = sum of alpha over U, and the parts of R are Dirichlet(alpha_u) of their own, so

    log p(x_o) = sum_o (alpha_o - 1) log x_o + (alpha_U - 1) log R - log B(alpha_o, alpha_U)
    E[log x_u | x_o] = log R + psi(alpha_u) - psi(alpha_U)

symbol    variable   shape
alpha     alphas     (k, d)
          count      (k,)      sum r
          logs       (k, d)    sum r E[log x]

Source: Minka (2000), Estimating a Dirichlet distribution; Kotz, Balakrishnan & Johnson (2000), Continuous Multivariate
Distributions, chapter 49, for the marginals.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array, record
from estep.core.support import Constraints, Pattern, Positive, Support
from estep.families import columns
from estep.families.constrained import climb
from estep.families.dirichlet_fit import alphas_at, slopes
from estep.families.gamma_shape import log_beta
from estep.families.normal_fit import NEAR, SHRUNK
from estep.families.normal_shapes import adopted_means, adopted_ties
from estep.families.spread import FEWEST, REMEDY

LEAST = 1e-8
"""The smallest 1 / (sum alpha + 1) that mean logarithms resolve."""
SLACK = 1e-6
"""How far a row may add up to other than one: rounding of single precision, not of printed tables."""


@record
class DirichletParams:
    """``alphas`` (k, d)."""

    alphas: Array


@record
class DirichletStats:
    """Weight of rows ``count`` (k,) and sums of expected logarithms ``logs`` (k, d)."""

    count: Array
    logs: Array


@record
class _Moments:
    """Weight, sum and sum of squares of the observed entries by column, and what complete rows add to weight and logs."""

    weight: Array
    total: Array
    square: Array
    complete: float
    partial: float
    logs: Array


@dataclasses.dataclass(frozen=True)
class DirichletBlock:
    """Logarithms of the observed entries (n, d), 0 where missing; what is missing; log R (n,), 0 for complete rows."""

    logs: Array
    missing: NDArray[np.bool_]
    rest: Array

    @property
    def gaps(self) -> NDArray[np.intp]:
        """Rows with a missing entry."""
        return np.flatnonzero(self.missing.any(axis=1))


@dataclasses.dataclass(frozen=True)
class Dirichlet:
    """Rows of parts that add up to one: ``p(x) = prod_j x_j^(alpha_j - 1) / B(alpha)``.

    Parameters
    ----------
    neutral
        Alphas (d,) of the whole data, set by ``bind``.

    Raises
    ------
    ValueError
        On entries outside (0, 1), rows that do not add up to one, fewer than two columns, or rows that are all equal.

    Examples
    --------
    >>> family, params = Dirichlet(), DirichletParams(np.array([[1.0, 1.0, 1.0]]))
    >>> family.log_density(params, family.encode(np.array([[0.2, 0.3, 0.5]]))).round(6).tolist()  # log 2!
    [[0.693147]]
    """

    neutral: Array | None = None
    names: ClassVar[tuple[str, ...]] = ("alphas",)

    def bind(self, data: Any) -> Dirichlet:
        """Fix the alphas of the whole data; raises ValueError naming the row that is no composition."""
        seen: _Moments = data.sum(_moments)
        columns.refuse(seen.weight <= 0, "has no observed value; drop it or supply data for it")
        mean: Array = seen.total / seen.weight
        variance: Array = np.maximum(seen.square / seen.weight - mean**2, 0.0)
        if not np.any(variance > (8.0 * np.finfo(float).eps * mean) ** 2):
            raise ValueError("X: every row is the same composition, so the likelihood has no maximum; there is nothing to fit")
        mean = mean / mean.sum()
        strength = float(np.median(mean * (1.0 - mean) / np.maximum(variance, np.finfo(float).tiny))) - 1.0
        neutral: Array = mean * min(max(strength, 0.1), 1.0 / LEAST)
        if seen.partial == 0:
            neutral = alphas_at((seen.logs / seen.complete)[None, :], neutral[None, :])[0]
        return dataclasses.replace(self, neutral=neutral)

    def start(self, k: int) -> DirichletParams:
        """Every component like the whole of the data."""
        return DirichletParams(np.tile(self._known(), (k, 1)))

    def encode(self, x: Any) -> DirichletBlock:
        """Logarithms of rows (n, d); raises ValueError on rows that are no compositions."""
        x = np.asarray(x, dtype=float)
        rest = checked_rest(x)
        missing = np.isnan(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_rest = np.where(missing.any(axis=1), np.log(rest), 0.0)
            return DirichletBlock(np.where(missing, 0.0, np.log(x)), missing, log_rest)

    def log_density(self, params: DirichletParams, encoded: DirichletBlock) -> Array:
        """Log densities (n, k) of the observed entries, in nats; an all-missing row has 0."""
        alphas = params.alphas
        logb: Array = encoded.logs @ (alphas - 1.0).T - log_beta(alphas)
        gaps = encoded.gaps
        if gaps.size:
            logb[gaps] = _log_marginal(alphas, encoded.logs[gaps], encoded.missing[gaps], encoded.rest[gaps])
        return np.asarray(logb)

    def stats(self, params: DirichletParams, encoded: DirichletBlock, resp: Array) -> DirichletStats:
        """Weights and expected logarithms; an all-missing row counts for nothing."""
        gaps = encoded.gaps
        if not gaps.size:
            return DirichletStats(resp.sum(axis=0), resp.T @ encoded.logs)
        used = np.where(encoded.missing.all(axis=1, keepdims=True), 0.0, resp)
        hidden = self._hidden(params, encoded, gaps)
        logs = used.T @ encoded.logs + np.einsum("nk,nkd->kd", used[gaps], hidden)
        return DirichletStats(used.sum(axis=0), logs)

    def fit(self, stats: DirichletStats, params: DirichletParams, support: Support) -> DirichletParams:
        """The alphas that maximise ``q`` over the free entries, from ``params``; an empty component keeps its own."""
        entry = support.entries["alphas"]
        assert isinstance(entry, Positive)
        if not entry.pattern.free:
            q, score = partial(self.q, stats=stats), partial(self.score, stats=stats, support=support)
            found: DirichletParams = climb(q, score, support, params)
            return found
        seen, alphas = stats.count > 0, params.alphas.copy()
        alphas[seen] = alphas_at(stats.logs[seen] / stats.count[seen][:, None], alphas[seen])
        return DirichletParams(alphas)

    def q(self, params: DirichletParams, stats: DirichletStats) -> float:
        """Complete-data log-likelihood in nats."""
        return float(((params.alphas - 1.0) * stats.logs).sum() - stats.count @ log_beta(params.alphas))

    def score(self, params: DirichletParams, stats: DirichletStats, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        expected = -slopes(params.alphas, np.zeros(params.alphas.shape))
        return support.pull(params, {"alphas": stats.logs - stats.count[:, None] * expected})

    def unit_scores(self, params: DirichletParams, encoded: DirichletBlock, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
        gaps = encoded.gaps
        each = np.repeat(encoded.logs[:, None, :], len(params.alphas), axis=1)
        each[gaps] += self._hidden(params, encoded, gaps)
        each += slopes(params.alphas, np.zeros(params.alphas.shape))
        each[encoded.missing.all(axis=1)] = 0.0
        raw = (resp[:, :, None] * each).reshape(len(resp), -1)
        return np.asarray(raw @ columns.jacobian(params, support))

    def support(self, params: DirichletParams, constraints: Constraints) -> Support:
        """Positive alphas."""
        return Support({"alphas": Positive(constraints.pattern("alphas", params.alphas.shape))})

    def prior(self, k: int, settings: Mapping[str, Any]) -> DirichletStats:
        """``strength`` (default 1) imagined rows with the mean logarithms of the data, shared equally by the components."""
        each = columns.prior_strength(settings, "Dirichlet") / k
        neutral = self._known()
        expected = -slopes(neutral, np.zeros(neutral.shape))
        return DirichletStats(np.full(k, each), np.tile(each * expected, (k, 1)))

    def dying(self, params: DirichletParams, stats: DirichletStats, support: Support) -> Collapsed | None:
        """The first free component that has collapsed, or None."""
        width, within = _widths(params, stats)
        for k in np.flatnonzero(_moving(support) & ((width < LEAST) | (width < SHRUNK * within))):
            return Collapsed(int(k), f"its sum of alphas rose to {1.0 / width[k]:.1e}: its rows are all but equal; {REMEDY}")
        return None

    def frail(self, params: DirichletParams, stats: DirichletStats, support: Support) -> Collapsed | None:
        """The first free component that has nearly collapsed, or None."""
        width, within = _widths(params, stats)
        for k in np.flatnonzero(_moving(support)):
            if stats.count[k] < FEWEST:
                return Collapsed(int(k), f"it holds only {stats.count[k]:.3g} rows, its alphas need {FEWEST:g}")
            if width[k] < NEAR * within:
                return Collapsed(
                    int(k), f"its sum of alphas is {1.0 / width[k]:.1e}, {within / width[k]:.1e} times the pooled one"
                )
        return None

    def features(self, x: Array) -> Array:
        """Rows as start rules see them: logarithms about the row's mean logarithm."""
        logs = np.log(np.asarray(x, dtype=float))
        seen = ~np.isnan(logs)
        mean = np.where(seen, logs, 0.0).sum(axis=1, keepdims=True) / np.maximum(seen.sum(axis=1, keepdims=True), 1)
        return np.asarray(logs - mean)

    def sample(self, params: DirichletParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label; in logarithms, so that small alphas do not give 0 / 0."""
        alphas = params.alphas[labels]
        logs = np.log(rng.standard_gamma(alphas + 1.0)) - rng.standard_exponential(alphas.shape) / alphas
        parts = np.exp(logs - logs.max(axis=1, keepdims=True))
        return np.asarray(parts / parts.sum(axis=1, keepdims=True))

    def expose(self, params: DirichletParams) -> dict[str, Array]:
        """Parameters as users see them."""
        return {"alphas": params.alphas}

    def adopt(self, name: str, value: Any, k: int, d: int, argument: str) -> Array:
        """A user's alphas (k, d), NaN where free; raises ValueError."""
        array = adopted_means(value, k, d, argument)
        told = array[~np.isnan(array)]
        Positive(Pattern(np.arange(told.size), told)).check(argument, told)
        return array

    def adopt_ties(self, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
        """A user's integers that tie alphas, (k, d), or (k,) for whole components."""
        return adopted_ties(value, (k, d), argument)

    def seat(self, params: DirichletParams, component: int, row: Array) -> DirichletParams:
        """``params`` with the mean of ``component`` at ``row`` where it is observed, the sum of its alphas as it was."""
        alphas = params.alphas.copy()
        own = alphas[component]
        alphas[component] = np.where(np.isnan(row), own, np.nan_to_num(row) * own.sum())
        return DirichletParams(alphas)

    def _hidden(self, params: DirichletParams, encoded: DirichletBlock, gaps: NDArray[np.intp]) -> Array:
        """E[log x_u] of the missing entries of the rows ``gaps``, 0 at observed ones, (m, k, d)."""
        missing = encoded.missing[gaps].astype(float)
        own = -slopes(params.alphas, np.zeros(params.alphas.shape))
        total = params.alphas.sum(axis=1)
        hidden = missing @ params.alphas.T
        # psi(alpha_u) - psi(alpha_U) = (psi(alpha_u) - psi(alpha_0)) - (psi(alpha_U) - psi(alpha_0))
        both = np.stack([hidden, np.maximum(total - hidden, np.finfo(float).tiny)], axis=-1)
        part = np.where(total - hidden > 0, -slopes(both, np.zeros(both.shape))[..., 0], 0.0)
        level = encoded.rest[gaps][:, None] - part
        return np.asarray(missing[:, None, :] * (own[None, :, :] + level[:, :, None]))

    def _known(self) -> Array:
        if self.neutral is None:
            raise ValueError("this Dirichlet family has seen no data yet: call bind(data) first")
        return self.neutral


def checked_rest(x: Array, first: int | None = None) -> Array:
    """What the observed entries of each row leave of one, (n,); raises ValueError on a row that is no composition.

    ``first`` is the number of the first row, or None where it is not known.
    """
    if x.shape[1] < 2:
        raise ValueError("X has one column, but a composition has two parts or more; add the rest as a column, or use Beta")
    with np.errstate(invalid="ignore"):
        outside = (~np.isnan(x) & ~((x > 0) & (x <= 1))).any(axis=1)
    total = np.where(np.isnan(x), 0.0, x).sum(axis=1)
    gap = np.isnan(x).any(axis=1)
    remedies = (
        (
            outside,
            "holds a part that is not above 0 and at most 1; replace zeros by a small part and divide the row by its sum",
        ),
        (~gap & ~(np.abs(total - 1.0) <= SLACK), "does not add up to 1; divide each row by its sum"),
        (gap & ~(total < 1.0), "leaves nothing for its missing parts; the observed ones must add up to less than 1"),
    )
    for bad, why in remedies:
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            name = "a row" if first is None else f"row {first + i}"
            raise ValueError(f"X: {name} {np.array2string(x[i], precision=6, threshold=6)} (sum {total[i]:.8g}) {why}")
    return np.asarray(1.0 - total)


def _moments(chunk: Any) -> _Moments:
    x = np.asarray(chunk.x, dtype=float)
    checked_rest(x, int(chunk.key[1]))
    weight = np.ones(len(x)) if chunk.weight is None else np.asarray(chunk.weight, dtype=float)
    seen = ~np.isnan(x)
    filled, whole = np.where(seen, x, 0.0), seen.all(axis=1)
    logs = (weight * whole) @ np.log(np.where(seen, x, 1.0))
    complete = float(weight @ whole)
    return _Moments(weight @ seen, weight @ filled, weight @ filled**2, complete, float(weight.sum()) - complete, logs)


def _log_marginal(alphas: Array, logs: Array, missing: NDArray[np.bool_], rest: Array) -> Array:
    """Log densities (m, k) of rows with gaps: the observed parts beside the sum of the missing ones."""
    logb = np.zeros((len(logs), len(alphas)))
    for pattern in np.unique(missing, axis=0):
        if pattern.all():
            continue
        rows = np.flatnonzero((missing == pattern).all(axis=1))
        merged = np.column_stack([alphas[:, ~pattern], alphas[:, pattern].sum(axis=1)])
        data = np.column_stack([logs[rows][:, ~pattern], rest[rows]])
        logb[rows] = data @ (merged - 1.0).T - log_beta(merged)
    return logb


def _moving(support: Support) -> NDArray[np.bool_]:
    """Components with a free alpha, (k,)."""
    entry = support.entries["alphas"]
    assert isinstance(entry, Positive)
    return np.asarray((entry.pattern.groups >= 0).any(axis=1))


def _widths(params: DirichletParams, stats: DirichletStats) -> tuple[Array, float]:
    """``1 / (sum alpha + 1)`` of each component, (k,), and their mean weighted by rows."""
    width = 1.0 / (params.alphas.sum(axis=1) + 1.0)
    return width, float(stats.count @ width / max(float(stats.count.sum()), np.finfo(float).tiny))
