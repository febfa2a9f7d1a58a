"""Independent binomial columns: successes in a known number of trials.

    x_ij | z_i = k ~ Binomial(m_ij, p_kj),   m_ij the trials: one number, one a column, or columns of X

E-step   log p = x log(p / c) + (m - x) log((1 - p) / (1 - c)) + log Binomial(x; m, c),   c the data's own proportion
M-step   p_kj = sum_i r_ik x_ij / sum_i r_ik m_ij over the observed entries; 0 and 1 are legal ends
prior    a Beta law: imagined trials in the proportions of the data (columns.py)

symbol   variable   shape
p        probs      (k, d)
m        trials     ()  or  (d,)  or columns d .. 2d - 1 of X
c                   (d,)   about it, large numbers of trials lose no digits

Source: McLachlan & Peel (2000), Finite Mixture Models, section 5.4; for log Binomial, Loader (2000), Fast and Accurate
Computation of Binomial Probabilities.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.ranges import Probability
from estep.core.record import Array, record
from estep.core.support import Support
from estep.families import columns
from estep.families.bernoulli import odds_gradient
from estep.families.poisson import half_deviance, log_stirling, tabulated


@record
class BinomialParams:
    """Probabilities of success, ``probs`` (k, d)."""

    probs: Array


@dataclasses.dataclass(frozen=True)
class Binomial:
    """Successes out of ``trials``, independent columns: ``p(x) = prod_j C(m_j, x_j) p_j^x_j (1 - p_j)^(m_j - x_j)``.

    Parameters
    ----------
    trials : int, array (d,) or "columns"
        Trials of every entry, or of every column; "columns": X has 2d columns, successes and then the trials of each row.
    overall
        Set by ``bind``.

    Raises
    ------
    ValueError
        On a count that is no whole number between 0 and its trials, or a column without values.

    Examples
    --------
    >>> family = Binomial(2)
    >>> params = BinomialParams(np.array([[0.5]]))
    >>> family.log_density(params, family.encode(np.array([[1.0]]))).round(6).tolist()
    [[-0.693147]]
    >>> Binomial("columns").encode(np.array([[1.0, 2.0], [3.0, 4.0]])).features[:2].tolist()  # successes, failures
    [[1.0, 3.0], [1.0, 1.0]]
    """

    trials: int | Array | str = 1
    overall: Array | None = None
    discrete: ClassVar[bool] = True
    nonnegative: ClassVar[bool] = True
    names: ClassVar[tuple[str, ...]] = ("probs",)
    entries: ClassVar[Mapping[str, Any]] = {"probs": Probability}

    def __post_init__(self) -> None:
        if isinstance(self.trials, str):
            if self.trials != "columns":
                raise ValueError(f"trials={self.trials!r} is unknown; give a whole number, an array (d,) or 'columns'")
            return
        given = np.asarray(self.trials)
        if given.ndim > 1 or given.dtype.kind not in "iuf" or not ((given >= 1) & (given == np.floor(given))).all():
            raise ValueError(f"trials must be a whole number >= 1, an array (d,) of them or 'columns', got {self.trials!r}")

    def terms(self, x: Array) -> tuple[Array, Array]:
        """Successes and failures of every entry, (n, d) each."""
        counts, trials = self._parts(x)
        return counts, trials - counts

    def carrier(self, x: Array) -> Array:
        """``log Binomial(x; m, c)``, (n, d)."""
        counts, trials = self._parts(x)
        centre = self._centre(counts.shape[1])
        if isinstance(self.trials, str):
            return log_binomial(counts, trials, centre)
        most = np.asarray(self.trials, dtype=float)
        return tabulated(lambda values: log_binomial(np.minimum(values, most), most, centre), counts)

    def coefficients(self, params: BinomialParams) -> Array:
        """``log(p / c)`` and ``log((1 - p) / (1 - c))``, (k, 2, d)."""
        centre = self._centre(params.probs.shape[1])
        with np.errstate(divide="ignore"):
            return np.stack([np.log(params.probs / centre), np.log1p(-params.probs) - np.log1p(-centre)], axis=1)

    def gradient(self, params: BinomialParams, totals: Array) -> dict[str, Array]:
        """``successes / p - failures / (1 - p)``."""
        return {"probs": odds_gradient(params.probs, totals)}

    def guess(self, totals: Array) -> BinomialParams:
        """Where ``maximise`` may begin."""
        return BinomialParams(np.full(totals[:, 0].shape, 0.5))

    def maximise(self, totals: Array, params: BinomialParams, support: Support) -> BinomialParams:
        """Successes over trials."""
        entry = support.entries["probs"]
        assert isinstance(entry, Probability)
        return BinomialParams(columns.ratio(totals[:, 0], totals.sum(axis=1), params.probs, entry.pattern))

    def rows_in(self, totals: Array) -> Array:
        """Trials behind ``totals``."""
        return np.asarray(totals.sum(axis=-2))

    def width(self, d: int) -> int:
        """Columns of successes where rows have ``d``."""
        return d // 2 if isinstance(self.trials, str) else d

    def features(self, x: Array) -> Array:
        """Rows as start rules see them: arcs of root proportions, whose spread is even."""
        counts, trials = self._parts(np.asarray(x, dtype=float))
        return np.asarray(np.arcsin(np.sqrt(counts / np.where(trials > 0, trials, np.nan))))

    def sample(self, params: BinomialParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label; where trials are columns of X, of one trial each."""
        p = params.probs[labels]
        if isinstance(self.trials, str):
            return np.hstack([(rng.random(p.shape) < p).astype(float), np.ones(p.shape)])
        return rng.binomial(np.broadcast_to(np.asarray(self.trials).astype(np.int64), p.shape), p).astype(float)

    def cdf(self, params: BinomialParams, x: Array) -> Array:
        """``P(X <= x)`` of a single column of successes, (n, k); NaN where missing."""
        from scipy.special import bdtr

        counts, trials = self._parts(np.asarray(x, dtype=float))
        known = ~np.isnan(counts)
        whole = np.where(known, trials, 1.0).astype(np.int64)
        return np.where(known, bdtr(np.where(known, counts, 0.0), whole, params.probs[:, 0]), np.nan)

    def _parts(self, x: Array) -> tuple[Array, Array]:
        """Successes and trials, (n, d) each."""
        if isinstance(self.trials, str):
            if x.shape[1] % 2:
                raise ValueError(f"X has {x.shape[1]} columns, but trials='columns' reads d of successes and then d of trials")
            counts, trials = columns.counted(x[:, : x.shape[1] // 2], "binomial"), x[:, x.shape[1] // 2 :]
            return self._within(x, counts, _counted_trials(x, counts, trials))
        given = np.asarray(self.trials, dtype=float)
        if given.ndim and given.shape != (x.shape[1],):
            raise ValueError(f"trials has shape {given.shape}, but X has {x.shape[1]} columns; give one number for each")
        return self._within(x, columns.counted(x, "binomial"), np.broadcast_to(given, x.shape))

    def _within(self, x: Array, counts: Array, trials: Array) -> tuple[Array, Array]:
        with np.errstate(invalid="ignore"):
            above = counts > trials
        if above.any():
            at = np.argwhere(above)[0]
            law = f"it has {trials[tuple(at)]:g} trials there"
            columns.refuse_values(counts, above, law, "successes cannot outnumber trials: correct one of them")
        return counts, trials

    def _centre(self, d: int) -> Array:
        """The data's own proportions (d,); 1/2 before ``bind`` and at the ends."""
        if self.overall is None:
            return np.full(d, 0.5)
        share = self.overall[0] / self.overall.sum(axis=0)
        return np.where((share > 0) & (share < 1), share, 0.5)

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
    expose = columns.expose
    adopt = columns.adopt
    adopt_ties = columns.adopt_ties
    seat = columns.seat


def _counted_trials(x: Array, counts: Array, trials: Array) -> Array:
    """Trials (n, d) read from X, 0 where the count is missing; raises ValueError unless whole numbers >= 0."""
    needed = ~np.isnan(counts)
    with np.errstate(invalid="ignore"):
        bad = needed & ~((trials >= 0) & (trials == np.floor(trials)) & np.isfinite(trials))
    law, remedy = "trials are whole numbers 0, 1, 2, ...", "correct it, or leave the successes out too (NaN)"
    columns.refuse_values(x, np.hstack([np.zeros(bad.shape, dtype=bool), bad]), law, remedy)
    return np.where(needed, trials, 0.0)


def log_binomial(x: Array, trials: Array, p: Array) -> Array:
    """Log binomial probabilities for 0 < p < 1, accurate for many trials (Loader's saddle point).

    ``s(m) - s(x) - s(m - x) - D(x, m p) - D(m - x, m (1 - p))`` with s = ``log_stirling`` and D = ``half_deviance``.

    >>> log_binomial(np.array([0.0, 1.0]), np.array([2.0, 2.0]), np.array([0.5])).round(6).tolist()
    [-1.386294, -0.693147]
    """
    lost = trials - x
    gaps = half_deviance(x, trials * p) + half_deviance(lost, trials * (1.0 - p))
    return np.asarray(log_stirling(trials) - log_stirling(x) - log_stirling(lost) - gaps)
