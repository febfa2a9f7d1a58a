"""Independent beta columns: proportions strictly between 0 and 1.

    x_ij | z_i = k ~ Beta(alpha_kj, beta_kj),    mean alpha / (alpha + beta), variance mean (1 - mean) / (alpha + beta + 1)

E-step   log p = (alpha - 1) log x + (beta - 1) log(1 - x) - log B(alpha, beta)
M-step   psi(alpha) - psi(alpha + beta) = mean log x,  psi(beta) - psi(alpha + beta) = mean log(1 - x): Newton in both at once
prior    imagined rows with the mean logarithms of the data (columns.py)

symbol   variable   shape
alpha    alphas     (k, d)
beta     betas      (k, d)

A component whose alpha + beta passes 1e8 has collapsed: its values differ by less than the logarithms can tell.

Source: Ma & Leijon (2011), IEEE Trans. Pattern Anal. Mach. Intell. 33:2160, for mixtures; Minka (2000), Estimating a Dirichlet
distribution, for the steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.memo import remembered
from estep.core.record import Array, record
from estep.core.support import Positive, Support
from estep.families import columns, spread
from estep.families.columns import ColumnStats
from estep.families.constrained import climb
from estep.families.dirichlet_fit import alphas_at, slopes
from estep.families.gamma_shape import log_beta

LEAST = 1e-8
"""The smallest 1 / (alpha + beta + 1) that mean logarithms resolve."""
WORDS = "its relative variance 1 / (alpha + beta + 1) fell to"


@record
class BetaParams:
    """``alphas`` and ``betas``, (k, d) each."""

    alphas: Array
    betas: Array


@dataclasses.dataclass(frozen=True)
class Beta:
    """Proportions, independent given the component: ``p(x) = prod_j x_j^(a_j - 1) (1 - x_j)^(b_j - 1) / B(a_j, b_j)``.

    Parameters
    ----------
    overall
        Set by ``bind``.

    Raises
    ------
    ValueError
        On values outside (0, 1), ends included, and on a column without values or with one value only.

    Examples
    --------
    >>> family, params = Beta(), BetaParams(np.array([[2.0]]), np.array([[1.0]]))
    >>> family.log_density(params, family.encode(np.array([[0.25]]))).round(6).tolist()  # log(2 x)
    [[-0.693147]]
    """

    overall: Array | None = None
    names: ClassVar[tuple[str, ...]] = ("alphas", "betas")
    entries: ClassVar[Mapping[str, Any]] = {"alphas": Positive, "betas": Positive}

    def bind(self, data: Any) -> Beta:
        """Fix the totals of the data; raises ValueError on values outside (0, 1) and on constant columns."""
        bound: Beta = columns.bind(self, data)
        constant = _width(bound.start(1))[0] <= LEAST
        columns.refuse(constant, "is constant, so its spread is zero and the Beta likelihood has no maximum; drop it")
        return bound

    def terms(self, x: Array) -> tuple[Array, Array, Array]:
        """1, log x and log(1 - x) of every entry, (n, d) each."""
        with np.errstate(invalid="ignore"):
            bad = ~np.isnan(x) & ~((x > 0) & (x < 1))
        remedy = "rescale it, move 0 and 1 inwards by half a unit of measurement, or treat them apart"
        columns.refuse_rows(bad, "outside (0, 1)", "Beta", remedy)
        return np.where(np.isnan(x), np.nan, 1.0), np.log(x), np.log1p(-x)

    def carrier(self, x: Array) -> Array:
        """``-log x - log(1 - x)``."""
        return -np.log(x) - np.log1p(-x)

    def coefficients(self, params: BetaParams) -> Array:
        """``-log B(alpha, beta)``, alpha and beta, (k, 3, d)."""
        both = np.stack([params.alphas, params.betas], axis=-1)
        return np.stack([-log_beta(both), params.alphas, params.betas], axis=1)

    def gradient(self, params: BetaParams, totals: Array) -> dict[str, Array]:
        """Totals of log x and log(1 - x) less n times their expectations."""
        both = np.stack([params.alphas, params.betas], axis=-1)
        expected = -slopes(both, np.zeros(both.shape))
        count = totals[..., 0, :]
        return {
            "alphas": totals[..., 1, :] - count * expected[..., 0],
            "betas": totals[..., 2, :] - count * expected[..., 1],
        }

    def guess(self, totals: Array) -> BetaParams:
        """Where ``maximise`` may begin."""
        ones = np.ones(totals[:, 0].shape)
        return BetaParams(ones, ones)

    def maximise(self, totals: Array, params: BetaParams, support: Support) -> BetaParams:
        """Newton in both parameters of each column; over what is free where entries are fixed or tied."""
        if not all(entry.pattern.free for entry in support.entries.values()):  # type: ignore[attr-defined]
            stats = ColumnStats(totals, np.zeros(len(totals)))
            found: BetaParams = climb(
                partial(self.q, stats=stats), partial(self.score, stats=stats, support=support), support, params
            )
            return found
        seen = totals[:, 0] > 0
        log_means = np.moveaxis(totals[:, 1:], 1, -1)[seen] / totals[:, 0][seen][:, None]
        both = np.stack([params.alphas, params.betas], axis=-1)
        both[seen] = alphas_at(log_means, both[seen])
        return BetaParams(both[..., 0], both[..., 1])

    def dying(self, params: BetaParams, stats: ColumnStats, support: Support) -> Collapsed | None:
        """The first free component that has collapsed, or None."""
        total = remembered(self, "width", lambda: _width(self.start(1))[0])
        return spread.dying(_width(params), stats.totals[:, 0], _moving(support), total, WORDS, LEAST)

    def frail(self, params: BetaParams, stats: ColumnStats, support: Support) -> Collapsed | None:
        """The first free component that has nearly collapsed, or None."""
        return spread.frail(_width(params), stats.totals[:, 0], _moving(support), WORDS)

    def features(self, x: Array) -> Array:
        """Rows as start rules see them: log-odds."""
        _, log_x, log_rest = self.terms(np.asarray(x, dtype=float))
        return log_x - log_rest

    def sample(self, params: BetaParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        return rng.beta(params.alphas[labels], params.betas[labels])

    def cdf(self, params: BetaParams, x: Array) -> Array:
        """``P(X <= x)`` of a single column, (n, k); NaN where missing."""
        from scipy.special import betainc

        return np.asarray(betainc(params.alphas[:, 0], params.betas[:, 0], np.clip(np.asarray(x, dtype=float), 0.0, 1.0)))

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


def _width(params: BetaParams) -> Array:
    return 1.0 / (params.alphas + params.betas + 1.0)


def _moving(support: Support) -> NDArray[np.bool_]:
    """Entries with a free alpha or beta: with one of them fixed the other may still grow without bound at an end of (0, 1)."""
    return np.asarray(spread.moving(support.entries["alphas"]) | spread.moving(support.entries["betas"]))
