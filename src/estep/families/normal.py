"""The multivariate normal family with the fourteen covariance structures.

    x | z = k ~ N(mu_k, Sigma_k),   Sigma_k = lambda_k D_k A_k D_k'   (volume, orientation, shape: equal, varying or identity)

E-step   log N(x_o; mu_k,o, Sigma_k,oo) of the observed entries o; expected moments of whole rows (normal_density.py)
M-step   mu_k = a_k + s_k / n_k;  Sigma by structure from the scatter about mu_k (normal_fit.py, covariance_fit.py)
prior    normal-inverse-Wishart as imaginary moments (covariance_prior.py)

symbol   variable       shape
mu       means          (k, d)
Sigma    covariances    (k, d, d); variances (k, d) for the diagonal structures EII VII EEI VEI EVI VVI
a        anchor         (d,)  the data's mean

Sources: Celeux & Govaert (1995), Pattern Recognition 28:781; Scrucca et al. (2016), The R Journal 8:289.
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
from estep.core.support import Constraints, Real, Support
from estep.families import covariance, normal_active, normal_fit
from estep.families.covariance_prior import default_prior
from estep.families.covariance_support import DiagonalCovariances, WholeCovariances, covariance_support
from estep.families.normal_density import NormalBlock, NormalParams, encode, expected_stats, log_density
from estep.families.normal_moments import NormalStats, join, reanchor
from estep.families.normal_scores import unit_scores
from estep.families.normal_shapes import adopted_covariances, adopted_means, adopted_ties, exposed
from estep.families.quadratics import Quadratics, normal_quadratics

FLAT = 1e-10


@record
class ColumnMoments:
    """Weight of rows; weight, sum and cross-products of the observed entries about a provisional anchor."""

    rows: float
    weight: Array
    total: Array
    cross: Array


@dataclasses.dataclass(frozen=True)
class Normal:
    """Normal rows with one of mclust's fourteen covariance structures.

    Parameters
    ----------
    covariance_type : str
        ``"full"`` ``"tied"`` ``"diag"`` ``"spherical"`` or a code ``"EII"`` ... ``"VVV"``.
    anchor, total, weight
        Mean (d,), covariance (d, d) (divisor n) and total weight of the data, set by ``bind``.

    Examples
    --------
    >>> family = Normal("spherical")
    >>> params = NormalParams(np.zeros((1, 2)), np.ones((1, 2)))
    >>> family = dataclasses.replace(family, anchor=np.zeros(2), total=np.eye(2))
    >>> float(family.log_density(params, family.encode(np.zeros((1, 2))))[0, 0])  # -log 2 pi
    -1.8378770664093453
    """

    covariance_type: str = "full"
    anchor: Array | None = None
    total: Array | None = None
    weight: float = 0.0
    names: ClassVar[tuple[str, ...]] = ("means", "covariances")
    remedy: ClassVar[str] = "covariances with more in common (such as 'EEE' or 'VEV')"

    def __post_init__(self) -> None:
        covariance.resolve(self.covariance_type)

    @property
    def code(self) -> str:
        """The mclust code of the structure."""
        return covariance.resolve(self.covariance_type)

    @property
    def diagonal(self) -> bool:
        """Whether covariances are held as variances (k, d)."""
        return covariance.is_diagonal(self.code)

    def bind(self, data: Any) -> Normal:
        """Fix the anchor (the mean) and the total covariance; raises ValueError on a column without variance or values."""
        first = np.asarray(next(iter(data.chunks())).x, dtype=float)
        with np.errstate(invalid="ignore"):
            counts = np.maximum((~np.isnan(first)).sum(axis=0), 1)
        guess = np.nansum(first / counts, axis=0)
        rough = data.sum(partial(_column_moments, guess))
        _refuse(rough.weight <= 0, "has no observed value; drop it or supply data for it")
        anchor = guess + rough.total / rough.weight
        exact = data.sum(partial(_column_moments, anchor))
        root = np.sqrt(exact.weight)
        shift = exact.total / exact.weight
        total = exact.cross / np.outer(root, root) - np.outer(shift, shift)
        self._refuse_constant(total, anchor)
        return dataclasses.replace(self, anchor=anchor + shift, total=total, weight=float(exact.rows))

    def start(self, k: int) -> NormalParams:
        """Every component like the whole of the data."""
        anchor, total = self._bound()
        means = np.tile(anchor, (k, 1))
        if self.diagonal:
            return NormalParams(means, np.tile(self._pooled_variances(total), (k, 1)))
        return NormalParams(means, np.tile(_regular(total), (k, 1, 1)))

    def encode(self, x: Any) -> NormalBlock:
        """Rows (n, d) by missing pattern, with their quadratic features about the anchor."""
        return encode(x, self._bound()[0], self.diagonal)

    def log_density(self, params: NormalParams, encoded: NormalBlock) -> Array:
        """Log densities (n, k) of the observed entries, in nats; an all-missing row has 0."""
        return log_density(params, encoded, self._bound()[0])

    def stats(self, params: NormalParams, encoded: NormalBlock, resp: Array) -> NormalStats:
        """Expected anchored moments of whole rows."""
        return expected_stats(params, encoded, resp, self._bound()[0])

    def within(
        self, params: NormalParams, encoded: NormalBlock, active: Any, log_weights: Array, codes: Any, weight: Any
    ) -> tuple[NormalStats, Array, float] | None:
        """Statistics, counts and objective within the active components of each row; None where it has no kernel for them."""
        return normal_active.within(params, encoded, self._bound()[0], active, log_weights, codes, weight)

    def fit(self, stats: NormalStats, params: NormalParams, support: Support) -> NormalParams:
        """The parameters that maximise ``q`` over the free entries, from ``params``; raises Collapsed."""
        means, covariances = support.entries["means"], support.entries["covariances"]
        assert isinstance(means, Real)
        assert isinstance(covariances, WholeCovariances | DiagonalCovariances)
        return normal_fit.maximise(stats, params, means.pattern, covariances)

    def q(self, params: NormalParams, stats: NormalStats) -> float:
        """Complete-data log-likelihood in nats."""
        return normal_fit.complete_loglik(params, stats)

    def score(self, params: NormalParams, stats: NormalStats, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        return support.pull(params, normal_fit.gradient(params, stats))

    def unit_scores(self, params: NormalParams, encoded: NormalBlock, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
        return unit_scores(params, encoded, resp, support)

    def support(self, params: NormalParams, constraints: Constraints) -> Support:
        """Real means; covariances of the structure."""
        k, d = params.means.shape
        return Support(
            {
                "means": Real(constraints.pattern("means", (k, d))),
                "covariances": covariance_support(self.code, constraints, k, d),
            }
        )

    def prior(self, k: int, settings: Mapping[str, Any]) -> NormalStats:
        """The weak conjugate prior (mclust's where it has one) as imaginary moments about its own mean."""
        anchor, total = self._bound()
        unbiased = total * self.weight / max(self.weight - 1.0, 1.0)
        parts = default_prior(self.code, anchor, unbiased, k, settings=dict(settings))
        count = np.full(k, parts.mean_strength)
        features = join(count, np.zeros((k, anchor.size)), parts.scatter)
        return NormalStats(features, parts.logdet, np.tile(parts.mean, (k, 1)))

    def align(self, prior: NormalStats, stats: NormalStats) -> NormalStats:
        """``prior`` about the anchor of ``stats``."""
        return reanchor(prior, stats.anchor, self.diagonal)

    def closer(self, params: NormalParams, stats: NormalStats) -> NormalParams | None:
        """Where to count moments again, because about their anchor they lost digits; None if they kept them."""
        return normal_fit.closer(params, stats)

    def dying(self, params: NormalParams, stats: NormalStats, support: Support) -> Collapsed | None:
        """The first free component that has collapsed, or None."""
        moving = _moving(support)
        return normal_fit.dying(params, stats, moving, self._bound()[1]) if moving.any() else None

    def frail(self, params: NormalParams, stats: NormalStats, support: Support) -> Collapsed | None:
        """The first free component that has nearly collapsed, or None."""
        moving = _moving(support)
        rows = stats.count if stats.logdet is None else np.maximum(stats.count, stats.logdet)
        return normal_fit.frail(params, rows, moving, self.fewest(params.means.shape[1])) if moving.any() else None

    def quadratics(self, params: NormalParams, columns: tuple[int, ...]) -> Quadratics:
        """The log densities of ``columns`` as quadratic functions; raises Collapsed."""
        return normal_quadratics(params, columns)

    def downweighted(self, kind: str) -> Any:
        """This family with statistics in which rows far from a component count less: "student" or "huber"."""
        from estep.families.robust_normal import RobustNormal

        return RobustNormal(self, kind)

    def permute(self, params: NormalParams, order: NDArray[np.intp]) -> NormalParams:
        """Components in another order."""
        return NormalParams(params.means[order], params.covariances[order])

    def expose(self, params: NormalParams) -> dict[str, Array]:
        """Parameters as users see them: covariance names have scikit-learn's shapes, codes always (k, d, d)."""
        return {"means": params.means, "covariances": exposed(self.covariance_type, params.covariances)}

    def adopt(self, name: str, value: Any, k: int, d: int, argument: str) -> Array:
        """A user's array for parameter ``name`` in the family's own shape; raises ValueError naming ``argument``."""
        if name == "means":
            return adopted_means(value, k, d, argument)
        return adopted_covariances(self.covariance_type, value, k, d, argument)

    def adopt_ties(self, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
        """A user's integers that tie entries of parameter ``name``, in the shape of its pattern."""
        shape = (k, d) if name == "means" or self.code == "VVI" else (k,)
        return adopted_ties(value, shape, argument)

    def seat(self, params: NormalParams, component: int, row: Array) -> NormalParams:
        """``params`` with the mean of ``component`` at ``row``."""
        means = params.means.copy()
        means[component] = np.where(np.isnan(row), means[component], row)
        return NormalParams(means, params.covariances)

    def sample(self, params: NormalParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        z = rng.standard_normal((labels.size, params.means.shape[1]))
        if self.diagonal:
            return np.asarray(params.means[labels] + z * np.sqrt(params.covariances)[labels])
        lower = np.linalg.cholesky(params.covariances)
        return np.asarray(params.means[labels] + np.einsum("nij,nj->ni", lower[labels], z))

    def fewest(self, d: int) -> float:
        """Rows a component needs for a covariance of its own: d + 1 with free shape and orientation, 2 along axes."""
        code = covariance.CODES[self.code]
        if code.volume == "E" and code.shape != "V":
            return 0.0
        return float(d + 1) if code.shape == "V" and code.orientation == "V" else 2.0

    def _bound(self) -> tuple[Array, Array]:
        if self.anchor is None or self.total is None:
            raise ValueError("this Normal family has seen no data yet: call bind(data) first")
        return self.anchor, self.total

    def _pooled_variances(self, total: Array) -> Array:
        variances = np.diagonal(total)
        return np.full(variances.size, variances.mean()) if self.code in ("EII", "VII") else variances.copy()

    def _refuse_constant(self, total: Array, anchor: Array) -> None:
        variances = np.diagonal(total)
        rounding = (8 * np.finfo(float).eps * np.abs(anchor)) ** 2
        constant = variances <= rounding
        if self.code in ("EII", "VII"):
            constant = np.full(constant.size, bool(constant.all()))
        _refuse(constant, "is constant, so its variance is zero and the likelihood has no maximum; drop it")


def _regular(total: Array) -> Array:
    """The total covariance, or its diagonal where the data lie in a subspace (fewer rows than columns, columns that repeat)."""
    scale = np.sqrt(np.diagonal(total))
    smallest = float(np.linalg.eigvalsh(total / np.outer(scale, scale))[0])
    return total if smallest > FLAT else np.diag(np.diagonal(total))


def _moving(support: Support) -> NDArray[np.bool_]:
    """Components whose covariance is not wholly fixed, (k,)."""
    entry = support.entries["covariances"]
    assert isinstance(entry, WholeCovariances | DiagonalCovariances)
    free = entry.pattern.groups >= 0
    return np.asarray(free if free.ndim == 1 else free.any(axis=1))


def _refuse(bad: NDArray[np.bool_], why: str) -> None:
    if bad.any():
        raise ValueError(f"X: column {int(np.flatnonzero(bad)[0])} {why}")


def _column_moments(anchor: Array, chunk: Any) -> ColumnMoments:
    x = np.asarray(chunk.x, dtype=float)
    seen = ~np.isnan(x)
    z = np.where(seen, x - anchor, 0.0)
    if chunk.weight is None:
        return ColumnMoments(float(len(x)), seen.sum(axis=0).astype(float), z.sum(axis=0), z.T @ z)
    w = chunk.weight[:, None]
    return ColumnMoments(float(w.sum()), (seen * w).sum(axis=0), (z * w).sum(axis=0), (z * w).T @ z)
