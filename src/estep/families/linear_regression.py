"""Linear regression with normal errors in each component.

    y_i | x_i, z_i = k ~ N(b_k + beta_k' x_i + o_i, sigma_k^2)

E-step   log N(y_i; eta_ik, sigma_k^2); a row without response counts for nothing
M-step   weighted least squares, sigma_k^2 = (weighted squares about the fit + pen beta^2) / c_k        (linear_fit.py)
prior    normal on coefficients with precision pen / sigma_k^2, inverse-gamma on sigma_k^2, as imagined cross-products

The statistics are finite and additive: cross-products of u_i = (1, W'(x_i - c), e_i), e_i the residual of the regression of the
whole data, so that neither offsets of 1e8 nor a near perfect fit costs digits.

symbol   variable     shape
beta     coefs        (k, p)
b        intercepts   (k,)
sigma    scales       (k,)          standard deviations
         cross        (k, m + 1, m + 1)   sum_i r_ik u_i u_i', m = 1 + p
c_k      logdet       (k,)          weight of log sigma_k: the rows' own, or a prior's
pen      penalty      (k, m)        ridge on (b, beta)
         base         (m,)          (b, beta) of the whole data's regression: shared

Sources: DeSarbo & Cron (1988), Journal of Classification 5:249; Seber & Lee (2003), Linear Regression Analysis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.support import Constraints, Positive, Support
from estep.families import linear_fit, regression, regression_rows
from estep.families.linear_fit import LinearParams, LinearStats
from estep.families.regression import RegressionBlock
from estep.kernels.design import Design, centred, features, inner, outer, pulled

EXACT = 1e-10
"""Residual variance, as a share of the response's, below which the whole data lie on one regression."""


@dataclasses.dataclass(frozen=True)
class LinearRegression:
    """Normal responses with a mean that is linear in covariates.

    Rows are ``(design (n, p), response (n,))`` or ``(design, response, offset (n,))``; NaN in the response is missing.

    Parameters
    ----------
    intercept : bool
        Whether each component has an intercept.
    ridge : float
        Imagined squares of each column, with response zero, that ``prior`` adds (as in ridge regression: the penalty is
        ``ridge / (2 scale^2) |coefs|^2``); above 0 admits collinear columns.
    columns : tuple of str
        Names of the covariates, for messages.
    design, sizes, level, spread, weight
        Set by ``bind``: the map of covariates, their standard deviations, intercept and coefficients of the regression of the
        whole data, its residual variance and the total weight.

    Examples
    --------
    >>> from estep.data import Memory
    >>> x = (np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([1.0, 3.0, 5.0, 7.5]))
    >>> family = LinearRegression().bind(Memory(x))
    >>> params = family.start(1)
    >>> params.coefs.round(6).tolist(), params.intercepts.round(6).tolist()
    ([[2.15]], [0.9])
    """

    intercept: bool = True
    ridge: float = 0.0
    columns: tuple[str, ...] = ()
    design: Design | None = None
    sizes: Array | None = None
    level: Array | None = None
    spread: float = 0.0
    weight: float = 0.0
    names: ClassVar[tuple[str, ...]] = ("coefs", "intercepts", "scales")

    def bind(self, data: Any) -> LinearRegression:
        """Fix the map of covariates and the regression of the whole data.

        Raises ValueError on collinear or constant columns (by name), missing covariates and a response without variance.
        """
        bound: LinearRegression = regression_rows.bind(self, data)
        assert bound.level is not None
        left = linear_fit.squares(bound, data, bound.level)
        level = bound.level + outer(regression_rows.known(bound), left.step)
        bound = dataclasses.replace(bound, level=level)
        again = linear_fit.squares(bound, data, level)
        rounding = again.weight * (8.0 * np.finfo(float).eps * bound.centre) ** 2
        if not again.response > rounding:
            raise ValueError("response is constant, so its error variance is zero and the likelihood has no maximum; drop it")
        spread = max(again.residual, EXACT * again.response) / again.weight
        return dataclasses.replace(bound, spread=spread, weight=again.weight)

    def improper(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        """Rows that no normal law gives, and what was expected."""
        if y.ndim != 1:
            return np.ones(len(y), dtype=bool), "but a normal response is one number a row"
        return np.isinf(y), "but a normal response is a finite number"

    def find_level(self, data: Any) -> Array:
        """Where the regression of the whole data starts: the mean response, without slopes."""

        def read(chunk: Any) -> tuple[Array, Array]:
            _, y, offset, weight = regression_rows.weighted(self, chunk)
            return (y - offset)[:, None], weight

        phi = np.zeros(len(self.columns) + 1)
        if self.intercept:
            phi[0] = centred(data, read, 1)[1][0]
        return phi

    def start(self, k: int) -> LinearParams:
        """Every component like the regression of the whole data."""
        phi = self._level()
        return LinearParams(np.tile(phi[1:], (k, 1)), np.full(k, phi[0]), np.full(k, np.sqrt(self.spread)))

    def encode(self, x: Any) -> RegressionBlock:
        """Whitened features with the residuals of the whole data's regression in place of the response."""
        design, y, offset, seen = regression_rows.split_rows(self, x)
        chosen, phi = regression_rows.known(self), self._level()
        z = features(chosen, design)
        left = (y - offset - inner(chosen, phi)[0]) - z[:, 1:] @ inner(chosen, phi)[1:]
        z[~seen], left[~seen] = 0.0, 0.0
        return RegressionBlock(z, left, offset, seen, np.where(seen, -0.5 * np.log(2.0 * np.pi), 0.0))

    def log_density(self, params: LinearParams, encoded: RegressionBlock) -> Array:
        """Log densities (n, k) of the responses given covariates, in nats; 0 where the response is missing."""
        with np.errstate(over="ignore"):  # an expert on its way to no error at all: minus infinity
            found = -np.log(params.scales) - 0.5 * (self._residuals(params, encoded) / params.scales) ** 2
        return np.where(encoded.seen[:, None], found + encoded.constant[:, None], 0.0)

    def stats(self, params: LinearParams, encoded: RegressionBlock, resp: Array) -> LinearStats:
        """Weighted cross-products of features and residuals."""
        resp = resp * encoded.seen[:, None]
        rows = np.column_stack([encoded.z, encoded.y])
        cross = regression.grams(rows, resp)
        return LinearStats(cross, resp.sum(axis=0), np.zeros((resp.shape[1], encoded.z.shape[1])), self._level())

    def fit(self, stats: LinearStats, params: LinearParams, support: Support) -> LinearParams:
        """The parameters that maximise ``q`` over the free entries, from ``params``; raises Collapsed."""
        scales = support.entries["scales"]
        assert isinstance(scales, Positive)
        pattern = regression.pattern_of(support)
        return linear_fit.maximise(stats, params, pattern, scales.pattern, regression_rows.known(self), self.spread)

    def q(self, params: LinearParams, stats: LinearStats) -> float:
        """Complete-data log-likelihood in nats."""
        return linear_fit.complete_loglik(params, stats, regression_rows.known(self))

    def score(self, params: LinearParams, stats: LinearStats, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        return support.pull(params, linear_fit.gradient(params, stats, regression_rows.known(self)))

    def unit_scores(self, params: LinearParams, encoded: RegressionBlock, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its weighted log density, (n, free coordinates)."""
        resp = resp * encoded.seen[:, None]
        error = self._residuals(params, encoded) / params.scales
        covariates = pulled(regression_rows.known(self), encoded.z)
        raw = (resp * error / params.scales)[:, :, None] * covariates[:, None, :]
        scales = resp * (error**2 - 1.0) / params.scales
        slopes = {"coefs": raw[:, :, 1:], "intercepts": raw[:, :, 0], "scales": scales}
        return regression.rows_pulled(params, support, slopes)

    def support(self, params: LinearParams, constraints: Constraints) -> Support:
        """Real coefficients and intercepts (held at zero without an intercept), positive scales."""
        scales = Positive(constraints.pattern("scales", params.scales.shape))
        return Support({**regression.coefficient_entries(self, params, constraints), "scales": scales})

    def prior(self, k: int, settings: Mapping[str, Any]) -> LinearStats:
        """Ridge on coefficients and an inverse-gamma prior on scales^2, as imagined cross-products.

        ``ridge`` (a number or one a column; by default a hundredth of each column's variance), ``dof`` (3) and ``scale`` (the
        residual variance of the whole data's regression over k^2; 0: no prior on scales): the density of scales^2 is
        inverse-gamma with shape dof / 2 and scale / 2.
        """
        regression.refuse_settings(self, settings, ("ridge", "dof", "scale"))
        scale, dof = settings.get("scale"), settings.get("dof")
        scale = self.spread / k**2 if scale is None else float(scale)
        dof = 3.0 if dof is None else float(dof)
        if not (scale >= 0 and dof > 0):
            raise ValueError(f"prior: scale must be >= 0 and dof > 0, got scale={scale!r}, dof={dof!r}")
        m = regression_rows.known(self).centre.size + 1
        cross = np.zeros((k, m + 1, m + 1))
        cross[:, -1, -1] = scale
        penalty = regression.penalties(self, k, settings)
        return LinearStats(cross, np.full(k, dof + 2.0 if scale > 0 else 0.0), penalty, self._level())

    def carried(self, k: int) -> LinearStats | None:
        """The prior that the family's own ridge asks for, with nothing imagined for scales, or None."""
        return self.prior(k, {"scale": 0.0}) if self.ridge > 0 else None

    def dying(self, params: LinearParams, stats: LinearStats, support: Support) -> Collapsed | None:
        """The first component with a free scale that has collapsed, or None."""
        return linear_fit.dying(params, stats, _moving(support), self.spread)

    def frail(self, params: LinearParams, stats: LinearStats, support: Support) -> Collapsed | None:
        """The first component that has nearly collapsed, or holds fewer rows than parameters; None if all are well."""
        moving, pattern = _moving(support), regression.pattern_of(support)
        imagined = stats.penalty.any(axis=1) | (stats.logdet > stats.count + 1.0)
        thin = regression.too_few(stats.count, imagined, pattern, int(moving.all()))
        return linear_fit.frail(params, stats, moving) if thin is None else thin

    def linked(self, y: Array) -> Array:
        """The response itself, as start rules see it."""
        return y

    def mean_at(self, eta: Array) -> Array:
        """Expected response."""
        return eta

    def draw(self, params: LinearParams, labels: NDArray[np.intp], eta: Array, rng: np.random.Generator) -> Array:
        """A response for each predictor."""
        return np.asarray(eta + params.scales[labels] * rng.standard_normal(eta.shape))

    def cdf(self, params: LinearParams, x: Any) -> Array:
        """P(Y <= y) of each row under each component, (n, k); NaN where the response is missing."""
        from scipy.stats import norm

        return np.asarray(norm.cdf((np.asarray(x[1], dtype=float)[:, None] - self.means(params, x)) / params.scales))

    @property
    def centre(self) -> float:
        """Mean response that the regression of the whole data gives at the mean of the covariates."""
        return float(inner(regression_rows.known(self), self._level())[0])

    def _level(self) -> Array:
        regression_rows.known(self)
        assert self.level is not None
        return self.level

    def _residuals(self, params: LinearParams, block: RegressionBlock) -> Array:
        """y - eta, (n, k), about the whole data's regression."""
        theta = inner(regression_rows.known(self), regression.phi_of(params)[:, 0] - self._level())
        return np.asarray(block.y[:, None] - block.z @ theta.T)

    features = regression_rows.residual_features
    align = linear_fit.align
    permute = regression.permute
    expose = regression.expose
    adopt = regression.adopt
    adopt_ties = regression.adopt_ties
    means = regression.means
    sample = regression.sample


def _moving(support: Support) -> NDArray[np.bool_]:
    """Components whose scale is free."""
    entry = support.entries["scales"]
    assert isinstance(entry, Positive)
    return np.asarray(entry.pattern.groups >= 0)
