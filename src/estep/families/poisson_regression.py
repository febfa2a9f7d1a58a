"""Poisson regression in each component: counts whose log mean is linear in covariates.

    y_i | x_i, z_i = k ~ Poisson(mu_ik),   log mu_ik = b_k + beta_k' x_i + o_i        o: log exposure

log density   y eta - e^eta - log y!          slope   y - e^eta          curvature   e^eta

E-step, M-step, prior and shapes: regression.py.

Source: McCullagh & Nelder (1989), Generalized Linear Models, chapter 6.
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
class CountTotals:
    """Weighted sums of responses and of exposures e^offset."""

    counts: float
    exposure: float


@dataclasses.dataclass(frozen=True)
class PoissonRegression:
    """Counts with a log mean that is linear in covariates.

    Rows are ``(design (n, p), counts (n,))`` or ``(design, counts, offset (n,))``; NaN in the counts is a missing response.

    Parameters
    ----------
    intercept : bool
        Whether each component has an intercept.
    ridge : float
        Precision of the normal prior on coefficients that ``prior`` makes; above 0 admits collinear columns.
    columns : tuple of str
        Names of the covariates, for messages.
    design, sizes, level
        Set by ``bind``: the map of covariates, their standard deviations, the log of the overall rate.

    Examples
    --------
    >>> from estep.data import Memory
    >>> x = (np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 2.0, 4.0]))
    >>> family = PoissonRegression().bind(Memory(x))
    >>> params = regression.RegressionParams(np.array([[np.log(2.0)]]), np.array([0.0]))
    >>> family.means(params, x).ravel().round(9).tolist()
    [1.0, 2.0, 4.0]
    """

    intercept: bool = True
    ridge: float = 0.0
    columns: tuple[str, ...] = ()
    design: Design | None = None
    sizes: Array | None = None
    level: float = 0.0
    names: ClassVar[tuple[str, ...]] = ("coefs", "intercepts")
    bounded: ClassVar[bool] = False

    def improper(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        """Rows that no Poisson law gives, and what was expected."""
        return (y < 0) | (y != np.floor(y)) | np.isinf(y), "but a Poisson response is a count 0, 1, 2, ..."

    def find_level(self, data: Any) -> float:
        """Log of the overall rate; raises ValueError where every count is zero."""

        def part(chunk: Any) -> CountTotals:
            _, y, offset, weight = regression_rows.weighted(self, chunk)
            return CountTotals(float(weight @ y), float(weight @ np.exp(offset)))

        total = data.sum(part)
        if total.counts <= 0:
            raise ValueError("response: every count is zero, so the likelihood has no maximum; bring rows with counts")
        return float(np.log(total.counts / total.exposure))

    def carrier(self, y: Array) -> Array:
        """Minus log y!, (n,)."""
        from scipy.special import gammaln

        return -np.asarray(gammaln(y + 1.0))

    def linked(self, y: Array) -> Array:
        """Counts on the scale of the predictor, as start rules see them."""
        return np.asarray(np.log(np.maximum(y, 0.0) + 0.5))

    def mean_at(self, eta: Array) -> Array:
        """Expected count."""
        return np.exp(eta)

    def values(self, block: RegressionBlock, eta: Array) -> Array:
        """Log density less the carrier, (n, k)."""
        return np.asarray(block.y[:, None] * eta - np.exp(eta))

    def pieces(self, block: RegressionBlock, eta: Array) -> tuple[Array, Array, Array, None]:
        """Value, slope and curvature (n, k) in eta; the curvature has no bound."""
        mu = np.exp(eta)
        y = block.y[:, None]
        return y * eta - mu, y - mu, mu, None

    def draw(self, params: Any, labels: NDArray[np.intp], eta: Array, rng: np.random.Generator) -> Array:
        """A count for each predictor."""
        return rng.poisson(np.exp(eta)).astype(float)

    def cdf(self, params: Any, x: Any) -> Array:
        """P(Y <= y) of each row under each component, (n, k); NaN where the response is missing."""
        from scipy.stats import poisson

        return np.asarray(poisson.cdf(np.asarray(x[1], dtype=float)[:, None], self.means(params, x)))

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
