"""Logistic regression in each component: successes whose log-odds are linear in covariates.

    y_i | x_i, z_i = k ~ Binomial(t_i, p_ik),   log p_ik / (1 - p_ik) = b_k + beta_k' x_i + o_i

log density   y eta - t log(1 + e^eta) + log C(t, y)      slope   y - t p      curvature   t p (1 - p) <= t / 4

A binary response is (n,) with 0 and 1; a binomial one is (n, 2): successes and failures, t their sum. E-step, M-step, prior and
shapes: regression.py.

Sources: McCullagh & Nelder (1989), Generalized Linear Models, chapter 4; Albert & Anderson (1984), Biometrika 71:1.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, record
from estep.families import regression, regression_rows
from estep.families.regression import RegressionBlock
from estep.kernels.design import Design


@record
class TrialTotals:
    """Weighted sums of successes and of trials."""

    successes: float
    trials: float


def successes_of(y: Array) -> tuple[Array, Array]:
    """Successes and trials (n,) of a response (n,) or (n, 2)."""
    return (y, np.ones(len(y))) if y.ndim == 1 else (y[:, 0], y.sum(axis=1))


@dataclasses.dataclass(frozen=True)
class LogisticRegression:
    """Binary or binomial responses with log-odds that are linear in covariates.

    Rows are ``(design (n, p), response)`` or ``(design, response, offset (n,))``; the response is (n,) of 0 and 1, or (n, 2) of
    successes and failures; NaN is missing.

    Parameters
    ----------
    intercept : bool
        Whether each component has an intercept.
    ridge : float
        Precision of the normal prior on coefficients that ``prior`` makes; above 0 admits collinear columns.
    columns : tuple of str
        Names of the covariates, for messages.
    design, sizes, level
        Set by ``bind``: the map of covariates, their standard deviations, the overall log-odds.

    Examples
    --------
    >>> from estep.data import Memory
    >>> x = (np.array([[0.0], [1.0], [2.0]]), np.array([0.0, 1.0, 1.0]))
    >>> family = LogisticRegression().bind(Memory(x))
    >>> params = regression.RegressionParams(np.array([[1.0]]), np.array([-1.0]))
    >>> float(family.log_density(params, family.encode(x))[1, 0])  # log-odds 0 there
    -0.6931471805599453
    """

    intercept: bool = True
    ridge: float = 0.0
    columns: tuple[str, ...] = ()
    design: Design | None = None
    sizes: Array | None = None
    level: float = 0.0
    names: ClassVar[tuple[str, ...]] = ("coefs", "intercepts")
    bounded: ClassVar[bool] = True
    classes: ClassVar[str] = "two"

    def improper(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        """Rows that no binomial law gives, and what was expected."""
        if y.ndim == 1:
            return (y != 0) & (
                y != 1
            ), "but a binary response is 0 or 1 (for several trials give successes and failures, (n, 2))"
        if y.ndim != 2 or y.shape[1] != 2:
            return np.ones(len(y), dtype=bool), "but a binomial response has two columns, successes and failures"
        odd = (y < 0) | (y != np.floor(y)) | np.isinf(y)
        return np.asarray(odd.any(axis=1)), "but successes and failures are counts 0, 1, 2, ..."

    def find_level(self, data: Any) -> float:
        """Overall log-odds; raises ValueError where all responses are alike."""

        def part(chunk: Any) -> TrialTotals:
            _, y, _, weight = regression_rows.weighted(self, chunk)
            good, trials = successes_of(y)
            return TrialTotals(float(weight @ good), float(weight @ trials))

        total = data.sum(part)
        if not 0 < total.successes < total.trials:
            found = "a success" if total.successes > 0 else "a failure"
            raise ValueError(
                f"response: every trial is {found}, so the likelihood has no maximum; bring rows with both outcomes"
            )
        return float(np.log(total.successes / (total.trials - total.successes)))

    def carrier(self, y: Array) -> Array:
        """Log of the binomial coefficient, (n,)."""
        from scipy.special import gammaln

        good, trials = successes_of(y)
        return np.asarray(gammaln(trials + 1.0) - gammaln(good + 1.0) - gammaln(trials - good + 1.0))

    def linked(self, y: Array) -> Array:
        """Shares of successes on the scale of the predictor (drawn in by half a trial), as start rules see them."""
        good, trials = successes_of(y)
        return np.asarray(np.log((good + 0.5) / (trials - good + 0.5)))

    def mean_at(self, eta: Array) -> Array:
        """Probability of success."""
        return np.asarray(np.exp(-np.logaddexp(0.0, -eta)))

    def values(self, block: RegressionBlock, eta: Array) -> Array:
        """Log density less the carrier, (n, k)."""
        good, trials = successes_of(block.y)
        return np.asarray(good[:, None] * eta - trials[:, None] * np.logaddexp(0.0, eta))

    def pieces(self, block: RegressionBlock, eta: Array) -> tuple[Array, Array, Array, Array]:
        """Value, slope and curvature (n, k) in eta, and four times the bound on the curvature, (n,)."""
        good, trials = successes_of(block.y)
        p, t = self.mean_at(eta), trials[:, None]
        return self.values(block, eta), good[:, None] - t * p, t * p * self.mean_at(-eta), trials

    def draw(self, params: Any, labels: NDArray[np.intp], eta: Array, rng: np.random.Generator) -> Array:
        """A response 0 or 1 for each predictor."""
        return (rng.random(eta.shape) < self.mean_at(eta)).astype(float)

    def cdf(self, params: Any, x: Any) -> Array:
        """P(Y <= y) of each row under each component, (n, k); NaN where the response is missing."""
        from scipy.stats import binom

        good, trials = successes_of(np.asarray(x[1], dtype=float))
        return np.asarray(binom.cdf(good[:, None], trials[:, None], self.means(params, x)))

    bind = regression_rows.bind
    features = regression_rows.residual_features
    start = regression.start
    encode = regression.encode
    log_density = regression.log_density
    stats = regression.stats
    fit = regression.fit
    q = regression.q
    score = regression.score
    unit_scores = regression.unit_scores
    support = regression.support
    prior = regression.prior
    align = regression.align
    carried = regression.carried
    frail = regression.frail
    permute = regression.permute
    expose = regression.expose
    adopt = regression.adopt
    adopt_ties = regression.adopt_ties
    means = regression.means
    sample = regression.sample
