"""Local statistics: what a law without sufficient statistics counts about its current parameters.

Such statistics know q exactly where they were made and a lower bound of it elsewhere. They add at equal ``at`` only, so that
variants that mix records of different passes refuse them. A prior cannot be made at a point, because the point moves: it is
kept as the imagined rows themselves, whose q is known everywhere, and is counted at the point of the statistics it joins.

    prior   q(theta, imagined) = sum_qk weight_qk log p(row_q | k, theta)
    align   imagined -> stats(at, imagined rows)

A family adds ``bound(params, stats) -> number``, ``slope(params, stats) -> gradient by parameter`` and ``imagine() -> rows``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, record, shared
from estep.core.support import Constraints, Pattern, Support
from estep.families import columns
from estep.families.normal_shapes import adopted_means, adopted_ties


@record
class ImaginedRows:
    """A prior: rows (q, d) and their weight under each component, (q, k)."""

    weight: Array
    rows: Array = shared()


@record
class ColumnSums:
    """Weight, sum and sum of squares about a provisional anchor of the observed entries, (d,) each."""

    weight: Array
    total: Array
    square: Array


def prior(self: Any, k: int, settings: Mapping[str, Any]) -> ImaginedRows:
    """``strength`` (default 1) imagined rows that spread like the data, shared equally by the components."""
    rows = self.imagine()
    each = columns.prior_strength(settings, type(self).__name__) / (k * len(rows))
    return ImaginedRows(np.full((len(rows), k), each), rows)


def align(self: Any, prior: ImaginedRows, stats: Any) -> Any:
    """The imagined rows as statistics at the point of ``stats``."""
    return self.stats(stats.at, self.encode(prior.rows), prior.weight)


def q(self: Any, params: Any, stats: Any) -> float:
    """Complete-data log-likelihood in nats: of imagined rows, or its bound from local statistics (equal at their point)."""
    if isinstance(stats, ImaginedRows):
        return float((stats.weight * self.log_density(params, self.encode(stats.rows))).sum())
    return float(self.bound(params, stats))


def score(self: Any, params: Any, stats: Any, support: Support) -> Array:
    """Gradient of ``q`` in free coordinates."""
    if isinstance(stats, ImaginedRows):
        stats = self.stats(params, self.encode(stats.rows), stats.weight)
    return support.pull(params, self.slope(params, stats))


def support(self: Any, params: Any, constraints: Constraints) -> Support:
    """Where each parameter may live, entry by entry."""
    shapes = {name: np.shape(getattr(params, name)) for name in self.entries}
    return Support({name: entry(constraints.pattern(name, shapes[name])) for name, entry in self.entries.items()})


def expose(self: Any, params: Any) -> dict[str, Array]:
    """Parameters as users see them."""
    return {name: getattr(params, name) for name in self.entries}


def adopt(self: Any, name: str, value: Any, k: int, d: int, argument: str) -> Array:
    """A user's array (k, d) for parameter ``name``, NaN where free; in one column (k,) will do. Raises ValueError."""
    array = adopted_means(value, k, d, argument)
    told = array[~np.isnan(array)]
    self.entries[name](Pattern(np.arange(told.size), told)).check(argument, told)
    return array


def adopt_ties(self: Any, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
    """A user's integers that tie entries of parameter ``name``, (k, d), or (k,) for whole components."""
    return adopted_ties(value, (k, d), argument)


def column_sums(values: Array, weight: Array | None, anchor: Any) -> ColumnSums:
    """Sums of the observed entries of ``values`` (n, d) about ``anchor`` (d,)."""
    w = np.ones(len(values)) if weight is None else np.asarray(weight, dtype=float)
    seen = ~np.isnan(values)
    z = np.where(seen, values - anchor, 0.0)
    return ColumnSums(w @ seen, w @ z, w @ z**2)
