"""Independent Poisson columns: counts in a time or an area of known size.

    x_ij | z_i = k ~ Poisson(e_i lambda_kj),   e_i the row's exposure (1 unless the last column of X gives it)

E-step   log p = x log(lambda / m) - e (lambda - m) + log Poisson(x; e m),   m the data's own rate: large counts lose no digits
M-step   lambda_kj = sum_i r_ik x_ij / sum_i r_ik e_i over the rows where x_ij is observed; 0 is a legal end
prior    a Gamma law: imagined rows with the data's own rate (columns.py)

symbol   variable       shape
lambda   rates          (k, d)    counts per unit of exposure
m        overall        (2, d)    total exposure and total count of the data: m is their ratio

Sources: McLachlan & Peel (2000), Finite Mixture Models, section 5.5; for log Poisson, Loader (2000), Fast and Accurate
Computation of Binomial Probabilities.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.ranges import NonNegative
from estep.core.record import Array, record
from estep.core.support import Support
from estep.families import columns


@record
class PoissonParams:
    """Expected counts per unit of exposure, ``rates`` (k, d)."""

    rates: Array


@dataclasses.dataclass(frozen=True)
class Poisson:
    """Counts, independent given the component: ``p(x) = prod_j exp(-e lambda_j) (e lambda_j)^x_j / x_j!``.

    Parameters
    ----------
    exposure : None or "last"
        "last": the last column of X holds the exposure of each row (time at risk, area; above zero); None: 1 everywhere.
    overall
        Set by ``bind``.

    Raises
    ------
    ValueError
        On a count that is no whole number >= 0, an exposure that is not above zero, or a column without values.

    Examples
    --------
    >>> family = Poisson()
    >>> params = PoissonParams(np.array([[1.0], [2.0]]))
    >>> family.log_density(params, family.encode(np.array([[2.0]]))).round(6).tolist()  # -1 - log 2, -2 + log 2
    [[-1.693147, -1.306853]]
    """

    exposure: str | None = None
    overall: Array | None = None
    discrete: ClassVar[bool] = True
    nonnegative: ClassVar[bool] = True
    names: ClassVar[tuple[str, ...]] = ("rates",)
    entries: ClassVar[Mapping[str, Any]] = {"rates": NonNegative}

    def __post_init__(self) -> None:
        if self.exposure not in (None, "last"):
            raise ValueError(f"exposure={self.exposure!r} is unknown; choose None or 'last' (the last column of X)")

    def terms(self, x: Array) -> tuple[Array, Array]:
        """Exposure and count of every entry, (n, d) each."""
        counts, exposure = self._parts(x)
        return np.where(np.isnan(counts), np.nan, exposure), counts

    def carrier(self, x: Array) -> Array:
        """``log Poisson(x; e m)``, (n, d)."""
        counts, exposure = self._parts(x)
        centre = self._centre(counts.shape[1])
        if self.exposure is None:
            return tabulated(lambda values: log_poisson(values, centre), counts)
        return log_poisson(counts, exposure * centre)

    def coefficients(self, params: PoissonParams) -> Array:
        """``-(lambda - m)`` and ``log(lambda / m)``, (k, 2, d)."""
        centre = self._centre(params.rates.shape[1])
        with np.errstate(divide="ignore"):
            return np.stack([centre - params.rates, np.log(params.rates / centre)], axis=1)

    def gradient(self, params: PoissonParams, totals: Array) -> dict[str, Array]:
        """``x / lambda - e``."""
        return {"rates": totals[..., 1, :] / np.maximum(params.rates, columns.FLOOR) - totals[..., 0, :]}

    def guess(self, totals: Array) -> PoissonParams:
        """Where ``maximise`` may begin."""
        return PoissonParams(np.ones(totals[:, 0].shape))

    def maximise(self, totals: Array, params: PoissonParams, support: Support) -> PoissonParams:
        """Counts over exposure."""
        entry = support.entries["rates"]
        assert isinstance(entry, NonNegative)
        return PoissonParams(columns.ratio(totals[:, 1], totals[:, 0], params.rates, entry.pattern))

    def width(self, d: int) -> int:
        """Columns of counts where rows have ``d``."""
        return d if self.exposure is None else d - 1

    def features(self, x: Array) -> Array:
        """Rows as start rules see them: root rates, whose spread is even."""
        counts, exposure = self._parts(np.asarray(x, dtype=float))
        return np.sqrt(counts / exposure)

    def sample(self, params: PoissonParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label, at exposure 1."""
        counts = rng.poisson(params.rates[labels]).astype(float)
        return counts if self.exposure is None else np.column_stack([counts, np.ones(len(counts))])

    def cdf(self, params: PoissonParams, x: Array) -> Array:
        """``P(X <= x)`` of a single column, (n, k); NaN where missing."""
        from scipy.special import pdtr

        counts, exposure = self._parts(np.asarray(x, dtype=float))
        return np.asarray(pdtr(counts, exposure * params.rates[:, 0]))

    def _parts(self, x: Array) -> tuple[Array, Array]:
        """Counts (n, d) and exposures (n, 1)."""
        if self.exposure is None:
            return columns.counted(x, "Poisson"), np.ones((len(x), 1))
        if x.shape[1] < 2:
            raise ValueError("X has one column, but exposure='last' reads counts and then the exposure; add the column")
        counts, exposure = columns.counted(x[:, :-1], "Poisson"), x[:, -1:]
        needed = ~np.isnan(counts).all(axis=1, keepdims=True)
        bad = np.zeros(x.shape, dtype=bool)
        bad[:, -1:] = needed & ~((exposure > 0) & np.isfinite(exposure))
        columns.refuse_values(x, bad, "an exposure is above zero", "correct it, or leave the counts of that row out (NaN)")
        return counts, np.where(needed, exposure, 1.0)

    def _centre(self, d: int) -> Array:
        """The data's own rates (d,); 1 before ``bind`` and where every count is zero."""
        if self.overall is None:
            return np.ones(d)
        rates = self.overall[1] / self.overall[0]
        return np.where(rates > 0, rates, 1.0)

    bind = columns.bind
    start = columns.start
    encode = columns.encode
    log_density = columns.log_density
    stats = columns.stats
    fit = columns.fit
    q = columns.q
    score = columns.score
    unit_scores = columns.unit_scores
    cell_density = columns.cell_density
    cell_stats = columns.cell_stats
    cell_scores = columns.cell_scores
    support = columns.support
    prior = columns.prior
    rows_in = columns.rows_in
    expose = columns.expose
    adopt = columns.adopt
    adopt_ties = columns.adopt_ties
    seat = columns.seat


def tabulated(law: Callable[[Array], Array], counts: Array) -> Array:
    """``law(counts)`` (n, d), from a table (u, d) of the law at 0 .. u - 1 where that is shorter than the counts.

    >>> tabulated(np.sqrt, np.array([[4.0], [np.nan], [1.0], [0.0], [1.0]])).ravel().tolist()
    [2.0, nan, 1.0, 0.0, 1.0]
    """
    top = np.fmax.reduce(counts, axis=None, initial=0.0)
    if top + 1.0 >= len(counts):
        return law(counts)
    values = np.arange(top + 2.0)
    values[-1] = np.nan
    table = np.broadcast_to(law(values[:, None]), (len(values), counts.shape[1]))
    return np.take_along_axis(table, np.where(np.isnan(counts), top + 1.0, counts).astype(np.intp), axis=0)


def log_poisson(x: Array, mean: Array) -> Array:
    """Log Poisson probabilities, accurate for large counts: ``-D(x, mean) - s(x)`` (Loader's saddle point).

    >>> log_poisson(np.array([0.0, 2.0]), np.array([1.0, 2.0])).round(6).tolist()
    [-1.0, -1.306853]
    """
    return np.asarray(-half_deviance(x, mean) - log_stirling(x))


def half_deviance(x: Array, mean: Array) -> Array:
    """``D(x, m) = x log(x / m) + m - x`` for x >= 0; ``m`` at x = 0, infinity at m = 0 < x, NaN where x is.

    >>> half_deviance(np.array([0.0, 1.0, 3.0]), np.array([2.0, 1.0, 0.0])).tolist()
    [2.0, 0.0, inf]
    """
    positive = np.where(x > 0, x, 1.0)
    gap = mean - positive
    with np.errstate(divide="ignore"):
        deviance = gap - positive * np.log1p(gap / positive)
    return np.where(np.isnan(x), np.nan, np.where(x > 0, deviance, mean))


def log_stirling(x: Array) -> Array:
    """``s(x) = log x! - x log x + x`` for x >= 0 (0 at 0), by its series from 16 on.

    >>> log_stirling(np.array([0.0, 1.0])).tolist()  # log 1! + 1
    [0.0, 1.0]
    """
    from scipy.special import gammaln, xlogy

    small, large = np.minimum(x, 16.0), np.maximum(x, 16.0)
    exact = gammaln(small + 1.0) - xlogy(small, small) + small
    inverse = 1.0 / large
    series = inverse * (1 / 12 - inverse**2 * (1 / 360 - inverse**2 * (1 / 1260 - inverse**2 / 1680)))
    return np.asarray(np.where(large > 16.0, 0.5 * np.log(2.0 * np.pi * large) + series, exact))
