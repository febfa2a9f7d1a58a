"""Independent exponential columns: waiting times without memory.

    x_ij | z_i = k ~ Exponential(rate b_kj),    mean and standard deviation 1 / b

E-step   log p = log b - b x
M-step   b = sum_i r_ik / sum_i r_ik x_ij
prior    a Gamma law: imagined rows with the mean of the data (columns.py)

symbol   variable   shape
b        rates      (k, d)    per unit of x

A component whose rows are all 0 has no largest rate: it has collapsed.

Source: McLachlan & Peel (2000), Finite Mixture Models, section 5.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array, record
from estep.core.support import Positive, Support
from estep.families import columns
from estep.families.columns import ColumnStats

VANISHED = 1e-15
"""Part of the column's mean below which a component's mean is called zero."""


@record
class ExponentialParams:
    """``rates`` (k, d), the reciprocals of the means."""

    rates: Array


@dataclasses.dataclass(frozen=True)
class Exponential:
    """Values at or above zero, independent given the component: ``p(x) = prod_j b_j exp(-b_j x_j)``.

    Parameters
    ----------
    overall
        Set by ``bind``.

    Raises
    ------
    ValueError
        On negative values, and on a column without values or with zeros only.

    Examples
    --------
    >>> family, params = Exponential(), ExponentialParams(np.array([[1.0], [2.0]]))
    >>> family.log_density(params, family.encode(np.array([[0.5]]))).round(6).tolist()  # -1/2, log 2 - 1
    [[-0.5, -0.306853]]
    """

    overall: Array | None = None
    names: ClassVar[tuple[str, ...]] = ("rates",)
    entries: ClassVar[Mapping[str, Any]] = {"rates": Positive}
    nonnegative: ClassVar[bool] = True

    def bind(self, data: Any) -> Exponential:
        """Fix the totals of the data; raises ValueError on negative values and on a column of zeros."""
        bound: Exponential = columns.bind(self, data)
        columns.refuse(columns.known(bound)[1] <= 0, "is zero in every row, so its rate has no maximum; drop it")
        return bound

    def terms(self, x: Array) -> tuple[Array, Array]:
        """1 and x of every entry, (n, d) each."""
        with np.errstate(invalid="ignore"):
            bad = ~np.isnan(x) & ~((x >= 0) & np.isfinite(x))
        remedy = "drop them, shift the column, or use Normal"
        columns.refuse_rows(bad, "below zero (or infinite)", "Exponential", remedy)
        return np.where(np.isnan(x), np.nan, 1.0), x

    def carrier(self, x: Array) -> Array:
        """Nothing."""
        return np.zeros(x.shape)

    def coefficients(self, params: ExponentialParams) -> Array:
        """``log b`` and ``-b``, (k, 2, d)."""
        return np.stack([np.log(params.rates), -params.rates], axis=1)

    def gradient(self, params: ExponentialParams, totals: Array) -> dict[str, Array]:
        """``n / b - x``."""
        return {"rates": totals[..., 0, :] / params.rates - totals[..., 1, :]}

    def guess(self, totals: Array) -> ExponentialParams:
        """Where ``maximise`` may begin."""
        return ExponentialParams(np.ones(totals[:, 0].shape))

    def maximise(self, totals: Array, params: ExponentialParams, support: Support) -> ExponentialParams:
        """Rows over their sum; raises Collapsed for a component of zeros."""
        entry = support.entries["rates"]
        assert isinstance(entry, Positive)
        count, total = entry.pattern.pool(totals[:, 0]), entry.pattern.pool(totals[:, 1])
        for group in np.flatnonzero((count > 0) & (total <= 0))[:1]:
            k, j = (int(i) for i in np.argwhere(entry.pattern.groups == group)[0])
            raise Collapsed(k, f"its rows are all 0 in column {j}, so its rate has no maximum; treat exact zeros apart")
        return ExponentialParams(columns.ratio(totals[:, 0], totals[:, 1], params.rates, entry.pattern))

    def dying(self, params: ExponentialParams, stats: ColumnStats, support: Support) -> Collapsed | None:
        """The first free component whose mean has gone to zero, or None."""
        entry = support.entries["rates"]
        assert isinstance(entry, Positive)
        count, total = columns.known(self)
        gone = (entry.pattern.groups >= 0) & (params.rates * total / count > 1.0 / VANISHED)
        if not gone.any():
            return None
        k, j = (int(i) for i in np.argwhere(gone)[0])
        return Collapsed(k, f"its mean fell to {1.0 / params.rates[k, j]:.1e} in column {j}: its rows are all 0 there")

    def features(self, x: Array) -> Array:
        """Rows as start rules see them: logarithms, of zeros that of the smallest number that counts."""
        x = np.asarray(x, dtype=float)
        count, total = columns.known(self)
        return np.asarray(np.log(np.maximum(x, 1e-6 * total / count)))

    def sample(self, params: ExponentialParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        return rng.standard_exponential((labels.size, params.rates.shape[1])) / params.rates[labels]

    def cdf(self, params: ExponentialParams, x: Array) -> Array:
        """``P(X <= x)`` of a single column, (n, k); NaN where missing."""
        return np.asarray(-np.expm1(-params.rates[:, 0] * np.maximum(np.asarray(x, dtype=float), 0.0)))

    start = columns.start
    encode = columns.encode
    log_density = columns.log_density
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
