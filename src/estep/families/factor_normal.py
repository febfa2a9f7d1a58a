"""The factor-analytic normal family: few factors explain the correlations, each column keeps a variance of its own.

    f ~ N(0, I_q),   x | f, z = k ~ N(mu_k + L_k f, Psi_k),   so   x | z = k ~ N(mu_k, L_k L_k' + Psi_k)

E-step   of the observed columns o, with  G = I + L_o' Psi_o^-1 L_o  (q x q, Woodbury) and  u = x_o - mu_o:
         E[f | x_o] = G^-1 L_o' Psi_o^-1 u,   Cov[f | x_o] = G^-1;   a hidden column j has mean mu_j + L_j f, variance psi_j
M-step   regression of every column on (f, 1):  (L_j, mu_j) = (sum x_j (f, 1)') (sum (f, 1)(f, 1)')^-1,
         psi_j = residual sum of squares / count, not below its floor; equal noise pools residuals and counts
prior    for psi: ``strength`` imaginary residuals of a ``share`` of the column's variance (factor_stats.py)

symbol   variable        shape
mu       means           (k, d)
L        loadings        (k, d, q)   known up to a rotation of the factors, q (q - 1) / 2 numbers that nothing identifies
Psi      uniquenesses    (k, d)      equal over columns ("spherical": probabilistic PCA) or components (shared="noise")

Sources: Rubin & Thayer (1982), Psychometrika 47:69; Tipping & Bishop (1999), J. R. Statist. Soc. B 61:611; Ghahramani &
Hinton (1996), CRG-TR-96-1 (mixtures); McLachlan & Peel (2000), Finite Mixture Models, chapter 8.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.support import Constraints, Positive, Real, Support
from estep.families import factor_stats
from estep.families.factor_rotation import redundant
from estep.families.factor_stats import AtLeast, FactorParams, FactorStats
from estep.families.normal import Normal
from estep.families.normal_density import NormalBlock, encode
from estep.families.normal_shapes import adopted_ties, numbers

NOISES = ("diag", "spherical")
SHARED = ("none", "noise")


@dataclasses.dataclass(frozen=True)
class FactorNormal:
    """Normal rows whose covariances are ``L L' + Psi`` with ``n_factors`` columns in L and Psi diagonal.

    Parameters
    ----------
    n_factors : int
        Factors q of each component.
    noise_type : "diag" or "spherical"
        A variance for each column (factor analysis), or one for all (probabilistic PCA).
    shared : "none" or "noise"
        "noise": components share their uniquenesses.
    floor : float
        Least uniqueness, as a share of the column's variance; an estimate at it is a Heywood case.
    anchor, total, weight
        Mean (d,), covariance (d, d) and weight of the data, set by ``bind``.

    Examples
    --------
    >>> family = dataclasses.replace(FactorNormal(1), anchor=np.zeros(2), total=np.eye(2))
    >>> params = FactorParams(np.zeros((1, 2)), np.zeros((1, 2, 1)), np.ones((1, 2)))
    >>> float(family.log_density(params, family.encode(np.zeros((1, 2))))[0, 0])  # -log 2 pi
    -1.8378770664093453
    """

    n_factors: int = 1
    noise_type: str = "diag"
    shared: str = "none"
    floor: float = 0.005
    anchor: Array | None = None
    total: Array | None = None
    weight: float = 0.0
    names: ClassVar[tuple[str, ...]] = ("means", "loadings", "uniquenesses")

    def __post_init__(self) -> None:
        if not isinstance(self.n_factors, int | np.integer) or isinstance(self.n_factors, bool) or self.n_factors < 1:
            raise ValueError(f"n_factors must be an integer >= 1, got {self.n_factors!r}")
        for name, value, known in (("noise_type", self.noise_type, NOISES), ("shared", self.shared, SHARED)):
            if value not in known:
                raise ValueError(f"{name}={value!r} is unknown; choose one of {list(known)}")
        if isinstance(self.floor, bool) or not isinstance(self.floor, int | float | np.number) or not 0.0 < self.floor < 1.0:
            raise ValueError(f"floor must be between 0 and 1 (a share of each column's variance), got {self.floor!r}")

    def constants(self, k: int, constraints: Constraints) -> int:
        """Minus the free loadings that only turn the factors: they count for no degree of freedom."""
        d = self._bound()[0].size
        free = redundant(constraints, k, d, self.n_factors)
        if constraints:
            return -free
        q, noise = self.n_factors, d if self.noise_type == "diag" else 1
        over = d * q - q * (q - 1) // 2 + noise - d * (d + 1) // 2  # more than a whole covariance has
        return -free - (k * max(over, 0) if self.shared == "none" else 0)

    def bind(self, data: Any) -> FactorNormal:
        """Fix anchor and total covariance; raises ValueError on a column without variance, or too many factors."""
        seen = Normal("VVI").bind(data)
        assert seen.anchor is not None
        if self.n_factors > seen.anchor.size:
            raise ValueError(f"n_factors={self.n_factors} for {seen.anchor.size} columns; use fewer factors than columns")
        return dataclasses.replace(self, anchor=seen.anchor, total=seen.total, weight=seen.weight)

    def start(self, k: int) -> FactorParams:
        """Every component like the whole of the data: loadings along the principal axes of its correlations."""
        anchor, total = self._bound()
        loadings, uniquenesses = factor_stats.principal(total, self.n_factors, self.noise_type)
        noise = np.maximum(uniquenesses, self._floors(k)[0])
        return FactorParams(np.tile(anchor, (k, 1)), np.tile(loadings, (k, 1, 1)), np.tile(noise, (k, 1)))

    def encode(self, x: Any) -> NormalBlock:
        """Rows (n, d) by missing pattern, about the anchor."""
        return encode(x, self._bound()[0], diagonal=True)

    def log_density(self, params: FactorParams, encoded: NormalBlock) -> Array:
        """Log densities (n, k) of the observed entries, in nats; an all-missing row has 0."""
        return factor_stats.log_density(params, encoded)

    def stats(self, params: FactorParams, encoded: NormalBlock, resp: Array) -> FactorStats:
        """Expected moments of rows and factors."""
        return factor_stats.expected_stats(params, encoded, resp)

    def fit(self, stats: FactorStats, params: FactorParams, support: Support) -> FactorParams:
        """The parameters that maximise ``q`` over the free entries; tied means and loadings are left to the engine."""
        means, loadings, noise = (support.entries[n] for n in self.names)
        assert isinstance(means, Real)
        assert isinstance(loadings, Real)
        assert isinstance(noise, AtLeast)
        return factor_stats.maximise(stats, params, means.pattern, loadings.pattern, noise)

    def q(self, params: FactorParams, stats: FactorStats) -> float:
        """Complete-data log-likelihood of rows and factors in nats."""
        return factor_stats.complete_loglik(params, stats)

    def score(self, params: FactorParams, stats: FactorStats, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        return support.pull(params, factor_stats.gradient(params, stats))

    def unit_scores(self, params: FactorParams, encoded: NormalBlock, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
        return factor_stats.unit_gradients(params, encoded, resp) @ factor_stats.pulls(params, support)

    def support(self, params: FactorParams, constraints: Constraints) -> Support:
        """Real means and loadings; uniquenesses at least at their floor, tied as ``noise_type`` and ``shared`` say."""
        k, d, q = params.loadings.shape
        noise = self._noise_constraints(constraints, k, d).pattern("uniquenesses", (k, d))
        return Support(
            {
                "means": Real(constraints.pattern("means", (k, d))),
                "loadings": Real(constraints.pattern("loadings", (k, d, q))),
                "uniquenesses": AtLeast(Positive(noise), self._floors(k)),
            }
        )

    def prior(self, k: int, settings: Mapping[str, Any]) -> FactorStats:
        """Inverse gamma on every uniqueness, as ``strength`` (2) residuals of ``share`` (0.5) of the column's variance."""
        settings = dict(settings)
        strength, share = float(settings.pop("strength", 2.0)), float(settings.pop("share", 0.5))
        if settings:
            raise ValueError(f"prior has the unknown settings {sorted(settings)}; known ones are strength, share (and weights)")
        if not (strength >= 0 and share > 0 and np.isfinite([strength, share]).all()):
            raise ValueError(f"prior: strength must be >= 0 and share above 0, got {strength:g} and {share:g}")
        anchor, total = self._bound()
        scatter = strength * share * np.diagonal(total) / k ** (2.0 / anchor.size)
        return factor_stats.imagined(k, self.n_factors, anchor, strength, scatter)

    def align(self, prior: FactorStats, stats: FactorStats) -> FactorStats:
        """``prior`` about the anchor of ``stats``."""
        return factor_stats.reanchor(prior, stats.anchor)

    def frail(self, params: FactorParams, stats: FactorStats, support: Support) -> Collapsed | None:
        """Of several components, the first with too few rows for factors of its own or with every uniqueness at its floor."""
        k, floors = len(params.means), self._floors(len(params.means))
        fewest = self.n_factors + 2 if k > 1 else 0
        for j in range(k if k > 1 else 0):
            if max(stats.count[j], stats.logdet[j]) < fewest:
                return Collapsed(j, f"it holds only {stats.count[j]:.3g} rows, factors of its own need {fewest}")
            if (params.uniquenesses[j] <= floors[j] * (1.0 + 1e-9)).all():
                return Collapsed(j, "every uniqueness is at its floor, so its rows lie in the space of its factors")
        return None

    def expose(self, params: FactorParams) -> dict[str, Array]:
        """Parameters as users see them; the factors as the fit turned them (``factor_rotation.canonical`` turns them back)."""
        return {"means": params.means, "loadings": params.loadings, "uniquenesses": params.uniquenesses}

    def adopt(self, name: str, value: Any, k: int, d: int, argument: str) -> Array:
        """A user's array for parameter ``name``, (k, d) or loadings (k, d, q); without the first axis where k is one."""
        shape = (k, d, self.n_factors) if name == "loadings" else (k, d)
        array = numbers(value, argument)
        if k == 1 and array.shape == shape[1:]:
            array = array[None]
        if array.shape != shape:
            raise ValueError(f"{argument} has shape {array.shape}, expected {shape}")
        return array

    def adopt_ties(self, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
        """A user's integers that tie entries of parameter ``name``."""
        return adopted_ties(value, (k, d, self.n_factors) if name == "loadings" else (k, d), argument)

    def seat(self, params: FactorParams, component: int, row: Array) -> FactorParams:
        """``params`` with the mean of ``component`` at ``row``."""
        means = params.means.copy()
        means[component] = np.where(np.isnan(row), means[component], row)
        return dataclasses.replace(params, means=means)

    def sample(self, params: FactorParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        n, d = labels.size, params.means.shape[1]
        f, e = rng.standard_normal((n, self.n_factors)), rng.standard_normal((n, d))
        rows = params.means[labels] + np.einsum("ndq,nq->nd", params.loadings[labels], f)
        return np.asarray(rows + e * np.sqrt(params.uniquenesses)[labels])

    def _floors(self, k: int) -> Array:
        """Least uniquenesses (k, d); of equal noise, the same share of the mean variance."""
        variances = np.diagonal(self._bound()[1])
        level = np.full(variances.size, variances.mean()) if self.noise_type == "spherical" else variances
        return np.tile(self.floor * level, (k, 1))

    def _noise_constraints(self, constraints: Constraints, k: int, d: int) -> Constraints:
        rows, columns = np.arange(k)[:, None] * np.ones((1, d), int), np.ones((k, 1), int) * np.arange(d)
        ties = rows * (self.shared == "none") * d + columns * (self.noise_type == "diag")
        if self.noise_type == "diag" and self.shared == "none":
            return constraints
        if "uniquenesses" in constraints.tied:
            raise ValueError(
                f"tied['uniquenesses']: noise_type={self.noise_type!r}, shared={self.shared!r} already tie them; leave one out"
            )
        return Constraints(constraints.fixed, {**constraints.tied, "uniquenesses": ties})

    def _bound(self) -> tuple[Array, Array]:
        if self.anchor is None or self.total is None:
            raise ValueError("this FactorNormal family has seen no data yet: call bind(data) first")
        return self.anchor, self.total
