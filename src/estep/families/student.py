"""The multivariate t family: normal rows with a hidden weight, which makes them robust against rows far out.

    u ~ Gamma(nu_k/2, nu_k/2),   x | u, z = k ~ N(mu_k, Sigma_k / u),   Sigma_k of one of the fourteen structures

E-step   E[u], E[log u] given the observed entries, and moments of whole rows weighted by u (student_weights.py)
M-step   mu_k, Sigma_k as the normal's, from weighted moments with sum r as the weight of log|Sigma_k|
         nu_k solves  log(nu/2) - psi(nu/2) = -e_k / N_k,  within LOWEST and HIGHEST
q        -1/2 sum_k [ N_k (d log 2 pi + log|Sigma_k|) + tr(Sigma_k^-1 M_k) - d L_k ]
         + sum_k [ N_k entropy(nu_k/2) + nu_k/2 e_k - L_k ],   L_k = sum r E[log u],  e_k = sum r (E[log u] - E[u] + 1)
prior    the normal's, on means and scales as those of weight one; none on the dofs

symbol   variable   shape
mu       means      (k, d)
Sigma    scales     (k, d, d); (k, d) for diagonal structures. The covariance is Sigma nu / (nu - 2) for nu > 2
nu       dofs       (k,)

The likelihood falls off slowly towards nu = infinity: there the law is the normal. At HIGHEST a row's log density is within
d^2 / HIGHEST nats of it, and dofs end there where the normal fits better than any t.

Sources: Liu & Rubin (1995), Statistica Sinica 5:19; Peel & McLachlan (2000), Statistics and Computing 10:339.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.support import Constraints, Positive, Real, Support
from estep.families import covariance, normal_fit, student_weights
from estep.families.covariance_support import DiagonalCovariances, WholeCovariances, covariance_support
from estep.families.gamma_shape import gap, shape_at
from estep.families.log_gamma import entropy
from estep.families.normal import Normal
from estep.families.normal_density import NormalBlock, NormalParams
from estep.families.normal_moments import NormalStats
from estep.families.normal_scores import raw_scores, to_free
from estep.families.normal_shapes import adopted_covariances, adopted_means, adopted_ties, exposed, numbers
from estep.families.student_weights import StudentParams, StudentStats, as_normal

LOWEST, HIGHEST = 0.1, 1e6
"""Where estimated dofs may end: tails so long that only repeated rows ask for them, and the normal law."""
FIRST = 10.0
Scales = WholeCovariances | DiagonalCovariances


@dataclasses.dataclass(frozen=True)
class Student:
    """Multivariate t rows.

    ``log t(x; mu, Sigma, nu)``, nats; the scale matrices take the normal's fourteen structures.

    Parameters
    ----------
    covariance_type : str
        Structure of the scale matrices: ``"full"`` ``"tied"`` ``"diag"`` ``"spherical"`` or a code ``"EII"`` ... ``"VVV"``.
    dof : "estimate", "tied", number or array (k,)
        Degrees of freedom: estimated for each component, one estimate for all, or given.
    normal
        The normal family bound to the data, set by ``bind``.

    Raises
    ------
    ValueError
        When ``dof`` is none of these; by ``bind`` on a column that is constant or has no value.

    Examples
    --------
    >>> family = Student("spherical", dof=1.0)
    >>> family = dataclasses.replace(family, normal=dataclasses.replace(family.normal, anchor=np.zeros(1), total=np.eye(1)))
    >>> params = StudentParams(np.zeros((1, 1)), np.ones((1, 1)), np.ones(1))
    >>> round(float(np.exp(family.log_density(params, family.encode(np.zeros((1, 1)))))[0, 0] * np.pi), 12)  # Cauchy
    1.0
    """

    covariance_type: str = "full"
    dof: Any = "estimate"
    normal: Normal = dataclasses.field(default_factory=Normal)
    names: ClassVar[tuple[str, ...]] = ("means", "scales", "dofs")

    def __post_init__(self) -> None:
        if self.normal.covariance_type != self.covariance_type:
            object.__setattr__(self, "normal", Normal(self.covariance_type))
        if isinstance(self.dof, str) and self.dof in ("estimate", "tied"):
            return
        given = np.nan if isinstance(self.dof, str | bool) else numbers(self.dof, "dof")
        if np.ndim(given) > 1 or not (np.isfinite(given) & (given > 0)).all():
            raise ValueError(f"dof must be 'estimate', 'tied', a number > 0 or one for each component, got {self.dof!r}")

    @property
    def code(self) -> str:
        """The mclust code of the structure."""
        return covariance.resolve(self.covariance_type)

    @property
    def total(self) -> Array | None:
        """Covariance of the data, (d, d)."""
        return self.normal.total

    def bind(self, data: Any) -> Student:
        """Fix the anchor and the total covariance, as the normal family does."""
        return dataclasses.replace(self, normal=self.normal.bind(data))

    def start(self, k: int) -> StudentParams:
        """Every component like the whole of the data."""
        like, given = self.normal.start(k), self._given(k)
        return StudentParams(like.means, like.covariances, np.full(k, FIRST) if given is None else given)

    def encode(self, x: Any) -> NormalBlock:
        """Rows (n, d) by missing pattern, with their quadratic features about the anchor."""
        return self.normal.encode(x)

    def log_density(self, params: StudentParams, encoded: NormalBlock) -> Array:
        """Log densities (n, k) of the observed entries, in nats; an all-missing row has 0."""
        return student_weights.log_density(params, encoded, encoded.anchor)

    def stats(self, params: StudentParams, encoded: NormalBlock, resp: Array) -> StudentStats:
        """Expected weights and anchored weighted moments of whole rows."""
        return student_weights.expected_stats(params, encoded, resp, encoded.anchor)

    def fit(self, stats: StudentStats, params: StudentParams, support: Support) -> StudentParams:
        """The parameters that maximise ``q`` over the free entries, from ``params``; raises Collapsed.

        An excess of zero (weights known to be one, ``closer``) says nothing about the dofs, which then stay.
        """
        means, scales = _location(support)
        normal = normal_fit.maximise(stats.moments, as_normal(params), means.pattern, scales)
        return StudentParams(normal.means, normal.covariances, _dofs(stats, params.dofs, support))

    def q(self, params: StudentParams, stats: StudentStats) -> float:
        """Complete-data log-likelihood in nats."""
        d, half = params.means.shape[1], 0.5 * params.dofs
        normal = normal_fit.complete_loglik(as_normal(params), stats.moments)
        constant = 0.5 * d * (math.log(2 * math.pi) * (stats.moments.count - stats.count) + stats.log_weight)
        return normal + float((constant + stats.count * entropy(half) + half * stats.excess - stats.log_weight).sum())

    def score(self, params: StudentParams, stats: StudentStats, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        slopes = normal_fit.gradient(as_normal(params), stats.moments)
        dofs = 0.5 * (stats.count * gap(0.5 * params.dofs) + stats.excess)
        return support.pull(params, {"means": slopes["means"], "scales": slopes["covariances"], "dofs": dofs})

    def unit_scores(self, params: StudentParams, encoded: NormalBlock, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
        weight, excess = student_weights.row_weights(params, encoded, encoded.anchor)
        entries, normal = support.entries, as_normal(params)
        inside = raw_scores(normal, encoded, resp, weight) @ to_free(normal, entries["means"], entries["scales"])
        raw = 0.5 * resp * (gap(0.5 * params.dofs) + excess)
        units = [entries["dofs"].pull(params.dofs, unit) for unit in np.eye(len(params.dofs))]
        return np.hstack([inside, raw @ np.array(units).reshape(len(units), -1)])

    def row_weights(self, params: StudentParams, x: Any) -> Array:
        """Expected hidden weight of each row under each component, (n, k)."""
        encoded = self.encode(x)
        return student_weights.row_weights(params, encoded, encoded.anchor)[0]

    def support(self, params: StudentParams, constraints: Constraints) -> Support:
        """Real means; scales of the structure; positive dofs, fixed or tied where ``dof`` says so."""
        k, d = params.means.shape
        return Support(
            {
                "means": Real(constraints.pattern("means", (k, d))),
                "scales": covariance_support(self.code, constraints, k, d, "scales"),
                "dofs": Positive(self._dof_constraints(constraints, k).pattern("dofs", (k,))),
            }
        )

    def prior(self, k: int, settings: Mapping[str, Any]) -> StudentStats:
        """The normal's weak conjugate prior on means and scales, as imaginary moments of weight one."""
        return StudentStats(self.normal.prior(k, settings), np.zeros(k), np.zeros(k), np.zeros(k))

    def align(self, prior: StudentStats, stats: StudentStats) -> StudentStats:
        """``prior`` about the anchor of ``stats``."""
        return dataclasses.replace(prior, moments=self.normal.align(prior.moments, stats.moments))

    def closer(self, params: StudentParams, stats: StudentStats) -> StudentParams:
        """Where a start is tallied: at infinite dofs, so that its first M-step has every weight one, as the normal's."""
        near = normal_fit.closer(as_normal(params), stats.moments) or as_normal(params)
        return StudentParams(near.means, near.covariances, np.full(params.dofs.shape, np.inf))

    def dying(self, params: StudentParams, stats: StudentStats, support: Support) -> Collapsed | None:
        """The first free component whose scale has collapsed, or None."""
        moving, total = _moving(support), self.normal.total
        assert total is not None
        return normal_fit.dying(as_normal(params), _rows(stats), moving, total) if moving.any() else None

    def frail(self, params: StudentParams, stats: StudentStats, support: Support) -> Collapsed | None:
        """The first free component that has nearly collapsed, or whose estimated dofs fell to the lowest, or None."""
        moving, rows = _moving(support), np.maximum(stats.count, stats.moments.logdet)
        if moving.any():
            thin = normal_fit.frail(as_normal(params), rows, moving, self.normal.fewest(params.means.shape[1]))
            if thin is not None:
                return thin
        entry = support.entries["dofs"]
        assert isinstance(entry, Positive)
        low = np.flatnonzero((entry.pattern.groups >= 0) & (params.dofs <= LOWEST))
        return Collapsed(int(low[0]), f"its degrees of freedom fell to {LOWEST:g}, the lowest allowed") if low.size else None

    def ends(self, params: StudentParams) -> dict[str, NDArray[np.bool_]]:
        """Degrees of freedom that ended at the lowest, or at the normal law, where no curvature tells their error."""
        return {"dofs": (params.dofs <= LOWEST) | (params.dofs >= HIGHEST * (1.0 - 1e-6))}

    def permute(self, params: StudentParams, order: NDArray[np.intp]) -> StudentParams:
        """Components in another order."""
        return StudentParams(params.means[order], params.scales[order], params.dofs[order])

    def expose(self, params: StudentParams) -> dict[str, Array]:
        """Parameters as users see them: scales in the shape that their structure's name has for covariances."""
        return {"means": params.means, "scales": exposed(self.covariance_type, params.scales), "dofs": params.dofs}

    def adopt(self, name: str, value: Any, k: int, d: int, argument: str) -> Array:
        """A user's array for parameter ``name`` in the family's own shape; raises ValueError naming ``argument``."""
        if name == "means":
            return adopted_means(value, k, d, argument)
        if name == "dofs":
            return _adopted_dofs(value, k, argument)
        scales = adopted_covariances(self.covariance_type, value, k, d, argument)
        _check_scales(scales, argument)
        return scales

    def adopt_ties(self, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
        """A user's integers that tie entries of parameter ``name``, in the shape of its pattern."""
        whole = name == "dofs" or (name == "scales" and self.code != "VVI")
        return adopted_ties(value, (k,) if whole else (k, d), argument)

    def seat(self, params: StudentParams, component: int, row: Array) -> StudentParams:
        """``params`` with the mean of ``component`` at ``row``."""
        means = params.means.copy()
        means[component] = np.where(np.isnan(row), means[component], row)
        return dataclasses.replace(params, means=means)

    def sample(self, params: StudentParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        normal = NormalParams(np.zeros_like(params.means), params.scales)
        half = 0.5 * params.dofs[labels]
        weight = rng.gamma(half, 1.0 / half)
        return np.asarray(params.means[labels] + self.normal.sample(normal, labels, rng) / np.sqrt(weight)[:, None])

    def _given(self, k: int) -> Array | None:
        """Given dofs (k,), or None where they are estimated."""
        if isinstance(self.dof, str):
            return None
        given = np.asarray(self.dof, dtype=float)
        if given.ndim and given.shape != (k,):
            raise ValueError(f"dof has shape {given.shape}, but there are {k} components; give one number, or one for each")
        return np.full(k, given) if given.ndim == 0 else given

    def _dof_constraints(self, constraints: Constraints, k: int) -> Constraints:
        given = self._given(k)
        if given is not None:
            return Constraints(fixed={"dofs": constraints.fixed.get("dofs", given)})
        if self.dof == "tied":
            return Constraints(constraints.fixed, {"dofs": np.zeros(k, dtype=np.intp)})
        return constraints


def _location(support: Support) -> tuple[Real, Scales]:
    means, scales = support.entries["means"], support.entries["scales"]
    assert isinstance(means, Real)
    assert isinstance(scales, WholeCovariances | DiagonalCovariances)
    return means, scales


def _dofs(stats: StudentStats, current: Array, support: Support) -> Array:
    entry = support.entries["dofs"]
    assert isinstance(entry, Positive)
    pattern = entry.pattern
    if pattern.count == 0:
        return pattern.spread(np.empty(0))
    count, excess, now = pattern.pool(stats.count), pattern.pool(stats.excess), pattern.pick(current)
    told = (count > 0) & (excess < 0)
    ratio = np.where(told, -excess / np.where(told, count, 1.0), 1.0)
    found = np.clip(2.0 * shape_at(ratio), np.minimum(LOWEST, now), np.maximum(HIGHEST, now))
    return pattern.spread(np.where(told, found, now))


def _moving(support: Support) -> NDArray[np.bool_]:
    """Components whose scale is not wholly fixed, (k,)."""
    free = _location(support)[1].pattern.groups >= 0
    return np.asarray(free if free.ndim == 1 else free.any(axis=1))


def _rows(stats: StudentStats) -> NormalStats:
    """Moments with the weight of rows where the moments' own count is that of hidden weights."""
    features = stats.moments.features.copy()
    features[:, 0] = stats.count
    return dataclasses.replace(stats.moments, features=features)


def _adopted_dofs(value: Any, k: int, argument: str) -> Array:
    array = numbers(value, argument)
    array = np.full(k, array) if array.ndim == 0 else array
    if array.shape != (k,):
        raise ValueError(f"{argument} has shape {array.shape}, expected ({k},)")
    if (array <= 0).any():
        raise ValueError(f"{argument} must be above zero, got {array.tolist()}")
    return array


def _check_scales(scales: Array, argument: str) -> None:
    """Raise ValueError unless every scale that is given whole is positive definite."""
    free = np.isnan(scales)
    if scales.ndim == 2:
        covariance.check("VVI", np.where(free, 1.0, scales), argument)
        return
    whole = ~free.any(axis=(1, 2), keepdims=True)
    covariance.check("VVV", np.where(whole, scales, np.eye(scales.shape[1])), argument)
