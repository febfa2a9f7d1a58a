"""Gamma regression in each component: positive responses whose log mean is linear in covariates.

    y_i | x_i, z_i = k ~ Gamma(shape nu_k, mean mu_ik),   log mu_ik = b_k + beta_k' x_i + o_i

    log density   -log y + E(nu) - nu dev,     E(nu) = nu log nu - nu - log Gamma(nu),     dev = y / mu - 1 - log(y / mu) >= 0

E-step   log density; a row without response counts for nothing
M-step   one guarded Newton step for -sum dev, which no shape enters; then E'(nu) = mean dev, with the dev that this step is
         sure of: the likelihood cannot fall
prior    ridge on coefficients with precision ridge * nu, and imagined rows with the deviance of the whole data (over k^2)

symbol   variable     shape
nu       shapes       (k,)    nu^-1/2 is the coefficient of variation
-dev     local        value, slope y / mu - 1, curvature y / mu       (kernels/local.py)
         rows         (k,)    weight of rows, the prior's imagined ones included
         carrier      ()      -sum r log y

Sources: McCullagh & Nelder (1989), Generalized Linear Models, chapter 8; Minka (2002), Estimating a Gamma distribution (nu).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array, record
from estep.core.support import Constraints, Positive, Support
from estep.families import regression, regression_rows
from estep.families.gamma_shape import gap, shape_at
from estep.families.log_gamma import entropy
from estep.families.regression import RegressionBlock, RegressionStats
from estep.kernels import local
from estep.kernels.design import Design, pulled
from estep.kernels.local import LocalStats

SMALLEST = 1e-20
SHRUNK = 1e-10
NEAR = 1e-6


@record
class GammaRegressionParams:
    """Coefficients (k, p), intercepts (k,) and shapes (k,)."""

    coefs: Array
    intercepts: Array
    shapes: Array


@record
class GammaRegressionStats:
    """Weight of rows with a response, weight that shapes learn from, minus the deviance, and the carrier."""

    count: Array
    rows: Array
    local: LocalStats
    carrier: Array


@record
class PositiveTotals:
    """Weight and weighted sums of y / exposure and its logarithm."""

    weight: float
    total: float
    logs: float


@dataclasses.dataclass(frozen=True)
class GammaRegression:
    """Positive responses with a log mean that is linear in covariates.

    Rows are ``(design (n, p), response (n,))`` or ``(design, response, offset (n,))``; NaN in the response is missing.

    Parameters
    ----------
    intercept : bool
        Whether each component has an intercept.
    ridge : float
        Precision, in units of 1 / shape, of the normal prior on coefficients that ``prior`` makes; above 0 admits collinear
        columns.
    columns : tuple of str
        Names of the covariates, for messages.
    design, sizes, level, deviance
        Set by ``bind``: the map of covariates, their standard deviations, the log of the overall mean, the mean deviance.

    Examples
    --------
    >>> from estep.data import Memory
    >>> x = (np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 2.0, 4.5]))
    >>> family = GammaRegression().bind(Memory(x))
    >>> params = GammaRegressionParams(np.array([[0.0]]), np.array([np.log(2.0)]), np.array([1.0]))
    >>> float(family.log_density(params, family.encode(x))[1, 0].round(9))  # exponential with mean 2 at 2: -log 2 - 1
    -1.693147181
    """

    intercept: bool = True
    ridge: float = 0.0
    columns: tuple[str, ...] = ()
    design: Design | None = None
    sizes: Array | None = None
    level: float = 0.0
    deviance: float = 0.0
    names: ClassVar[tuple[str, ...]] = ("coefs", "intercepts", "shapes")
    bounded: ClassVar[bool] = False

    def bind(self, data: Any) -> GammaRegression:
        """Fix the map of covariates, the overall mean and the deviance about it.

        Raises ValueError on collinear or constant columns (by name), missing covariates, and responses not above zero.
        """
        bound: GammaRegression = regression_rows.bind(self, data)
        total = data.sum(bound._totals)
        deviance = float(np.log(total.total / total.weight) - total.logs / total.weight)
        if not deviance > SMALLEST:
            raise ValueError("response is constant, so its shape has no finite maximum; drop it or bring other rows")
        return dataclasses.replace(bound, deviance=deviance)

    def improper(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        """Rows that no gamma law gives, and what was expected."""
        if y.ndim != 1:
            return np.ones(len(y), dtype=bool), "but a gamma response is one number a row"
        return (y <= 0) | np.isinf(y), "but a gamma response is a finite number above zero"

    def find_level(self, data: Any) -> float:
        """Log of the overall mean."""
        total = data.sum(self._totals)
        return float(np.log(total.total / total.weight))

    def start(self, k: int) -> GammaRegressionParams:
        """Every component at the level of the whole of the data, without slopes."""
        base = regression.start(self, k)
        return GammaRegressionParams(base.coefs, base.intercepts, np.full(k, shape_at(np.array([self.deviance]))[0]))

    def log_density(self, params: GammaRegressionParams, encoded: RegressionBlock) -> Array:
        """Log densities (n, k) of the responses given covariates, in nats; 0 where the response is missing."""
        left = self.values(encoded, regression.predictors(self, params, encoded))
        found = encoded.constant[:, None] + entropy(params.shapes) + params.shapes * left
        return np.where(encoded.seen[:, None], found, 0.0)

    def stats(self, params: GammaRegressionParams, encoded: RegressionBlock, resp: Array) -> GammaRegressionStats:
        """Minus the weighted deviance to second order, and the weight of rows."""
        bare = dataclasses.replace(encoded, constant=np.zeros(len(encoded.y)))
        found: RegressionStats = regression.stats(self, params, bare, resp)
        carrier = (resp * encoded.seen[:, None]).T @ encoded.constant
        return GammaRegressionStats(found.count, found.count, found.local, carrier)

    def fit(self, stats: GammaRegressionStats, params: GammaRegressionParams, support: Support) -> GammaRegressionParams:
        """One guarded Newton step for coefficients, then shapes; never lowers the likelihood. Raises Collapsed."""
        entry = support.entries["shapes"]
        assert isinstance(entry, Positive)
        pattern, design = regression.pattern_of(support), regression_rows.known(self)
        phi = local.step(local.times(stats.local, params.shapes), design, regression.phi_of(params), pattern)
        height = stats.local.value - 0.5 * (stats.local.penalty * stats.local.at**2).sum(axis=(1, 2))
        each = [local.part_of(stats.local, np.array([k])) for k in range(len(phi))]
        gains = np.array([local.sure_gain(one, design, phi[k : k + 1]) for k, one in enumerate(each)])
        pooled = entry.pattern.pool(-(height + gains))
        weight = entry.pattern.pool(np.maximum(stats.rows, 0.0))
        free = entry.pattern.pick(params.shapes).copy()
        told = weight > 0
        left = pooled[told] / weight[told]
        if (left <= SMALLEST).any():
            first = int(np.flatnonzero(told)[np.argmin(left)])
            k = int(np.flatnonzero(entry.pattern.groups == first)[0])
            raise Collapsed(k, "its regression passes through its rows exactly, with no deviance left")
        free[told] = shape_at(left)
        return GammaRegressionParams(phi[:, 0, 1:], phi[:, 0, 0], entry.pattern.spread(free))

    def q(self, params: GammaRegressionParams, stats: GammaRegressionStats) -> float:
        """Complete-data log-likelihood in nats, coefficients to second order about the point of the statistics."""
        height = local.expansion(stats.local, regression_rows.known(self), regression.phi_of(params))
        return float(stats.carrier.sum() + (stats.rows * entropy(params.shapes) + params.shapes * height).sum())

    def score(self, params: GammaRegressionParams, stats: GammaRegressionStats, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        design, phi = regression_rows.known(self), regression.phi_of(params)
        slope = local.slope(stats.local, design, phi) * params.shapes[:, None, None]
        shapes = stats.rows * gap(params.shapes) + local.expansion(stats.local, design, phi)
        return support.pull(params, {**regression.slopes_of(slope), "shapes": shapes})

    def unit_scores(self, params: GammaRegressionParams, encoded: RegressionBlock, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its weighted log density, (n, free coordinates)."""
        resp = resp * encoded.seen[:, None]
        value, slope, _, _ = self.pieces(encoded, regression.predictors(self, params, encoded))
        raw = (resp * params.shapes * slope)[:, :, None] * pulled(regression_rows.known(self), encoded.z)[:, None, :]
        shapes = resp * (gap(params.shapes) + value)
        return regression.rows_pulled(params, support, {"coefs": raw[:, :, 1:], "intercepts": raw[:, :, 0], "shapes": shapes})

    def support(self, params: GammaRegressionParams, constraints: Constraints) -> Support:
        """Real coefficients and intercepts (held at zero without an intercept), positive shapes."""
        shapes = Positive(constraints.pattern("shapes", params.shapes.shape))
        return Support({**regression.coefficient_entries(self, params, constraints), "shapes": shapes})

    def prior(self, k: int, settings: Mapping[str, Any]) -> GammaRegressionStats:
        """Ridge on coefficients (precision ridge * shape) and imagined rows for the shape.

        ``ridge`` (a number or one a column; by default a hundredth of each column's variance), ``rows`` (3; 0: none) imagined
        rows with mean deviance ``deviance`` (that of the whole data over k^2).
        """
        regression.refuse_settings(self, settings, ("ridge", "rows", "deviance"))
        rows, deviance = settings.get("rows"), settings.get("deviance")
        rows = 3.0 if rows is None else float(rows)
        deviance = self.deviance / k**2 if deviance is None else float(deviance)
        if not (rows >= 0 and deviance > 0):
            raise ValueError(f"prior: rows must be >= 0 and deviance > 0, got rows={rows!r}, deviance={deviance!r}")
        base = regression.prior(self, k, {"ridge": settings["ridge"]} if "ridge" in settings else {})
        imagined = dataclasses.replace(base.local, value=np.full(k, -rows * deviance))
        return GammaRegressionStats(base.count, np.full(k, rows), imagined, np.zeros(k))

    def carried(self, k: int) -> GammaRegressionStats | None:
        """The prior that the family's own ridge asks for, with nothing imagined for shapes, or None."""
        return self.prior(k, {"rows": 0.0}) if self.ridge > 0 else None

    def dying(self, params: GammaRegressionParams, stats: GammaRegressionStats, support: Support) -> Collapsed | None:
        """The first component with a free shape whose spread fell to nothing beside the others', or None."""
        return self._spread_below(params, stats, support, SHRUNK, "fell to")

    def frail(self, params: GammaRegressionParams, stats: GammaRegressionStats, support: Support) -> Collapsed | None:
        """The first component that has nearly collapsed, or holds fewer rows than parameters; None if all are well."""
        pattern = regression.pattern_of(support)
        imagined = stats.local.penalty.any(axis=(1, 2)) | (stats.rows > stats.count + 1.0)
        own = int(support.entries["shapes"].count == len(stats.count))
        if (thin := regression.too_few(stats.count, imagined, pattern, own)) is not None:
            return thin
        found = local.runaway(stats.local, regression_rows.known(self), regression.phi_of(params), pattern)
        if found is not None:
            return regression.endless(self, *found)
        return self._spread_below(params, stats, support, NEAR, "is")

    def carrier(self, y: Array) -> Array:
        """Minus log y, (n,)."""
        return -np.log(y)

    def linked(self, y: Array) -> Array:
        """Log responses, as start rules see them."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(y)

    def mean_at(self, eta: Array) -> Array:
        """Expected response."""
        return np.exp(eta)

    def values(self, block: RegressionBlock, eta: Array) -> Array:
        """Minus the deviance, (n, k)."""
        far = np.log(block.y)[:, None] - eta
        return np.asarray(-(np.expm1(far) - far))

    def pieces(self, block: RegressionBlock, eta: Array) -> tuple[Array, Array, Array, None]:
        """Minus the deviance, its slope and curvature (n, k) in eta; the curvature has no bound."""
        far = np.log(block.y)[:, None] - eta
        more = np.expm1(far)
        return far - more, more, more + 1.0, None

    def draw(self, params: Any, labels: NDArray[np.intp], eta: Array, rng: np.random.Generator) -> Array:
        """A response for each predictor."""
        shapes = params.shapes[labels]
        return np.asarray(rng.gamma(shapes) / shapes * np.exp(eta))

    def cdf(self, params: Any, x: Any) -> Array:
        """P(Y <= y) of each row under each component, (n, k); NaN where the response is missing."""
        from scipy.stats import gamma

        scales = self.means(params, x) / params.shapes
        return np.asarray(gamma.cdf(np.asarray(x[1], dtype=float)[:, None], params.shapes, scale=scales))

    def _totals(self, chunk: Any) -> PositiveTotals:
        _, y, offset, weight = regression_rows.weighted(self, chunk)
        return PositiveTotals(float(weight.sum()), float(weight @ (y * np.exp(-offset))), float(weight @ (np.log(y) - offset)))

    def _spread_below(
        self, params: GammaRegressionParams, stats: GammaRegressionStats, support: Support, limit: float, verb: str
    ) -> Collapsed | None:
        entry, count = support.entries["shapes"], np.maximum(stats.count, 0.0)
        assert isinstance(entry, Positive)
        variance = 1.0 / params.shapes
        thin = variance / max(float(count @ variance / max(float(count.sum()), np.finfo(float).tiny)), SMALLEST)
        for k in np.flatnonzero((thin < limit) & (entry.pattern.groups >= 0)):
            return Collapsed(int(k), f"its squared coefficient of variation {verb} {thin[k]:.1e} of the pooled one")
        return None

    features = regression_rows.residual_features
    encode = regression.encode
    align = regression.align
    permute = regression.permute
    expose = regression.expose
    adopt = regression.adopt
    adopt_ties = regression.adopt_ties
    means = regression.means
    sample = regression.sample
