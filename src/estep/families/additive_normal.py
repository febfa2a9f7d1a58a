"""Normal rows whose mean is a sum of effects, one for the state of each of several chains, with a shared covariance.

    x | z_1 .. z_M ~ N(sum_m W_m[z_m], C)            the mean of combination z is h_z' W, h_z marking its states

E-step   as a normal family of k = K_1 .. K_M components with tied covariances: means H W (missing entries included)
M-step   W solves H' N H W = H' S      (N weights and S sums of rows by combination; least squares, whatever C)
         C = sum_z scatter of z about h_z' W / sum of weights       (full, diagonal or spherical)
prior    that of a normal family with tied covariances, as imaginary rows of every combination

W is known up to a constant that one chain gives and another takes: the effects of every chain but the first have mean zero, and
those M - 1 rows are no parameters. With fixed entries W and C are found in turn.

symbol   variable      shape
W        effects       (K_1 + .. + K_M, d)   chain by chain
C        covariances   (1, d, d), or variances (1, d)
H        design        (k, K_1 + .. + K_M)   the last chain running fastest

Source: Ghahramani & Jordan (1997), Machine Learning 29:245, equations 2, 3 and appendix A.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.memo import remembered
from estep.core.record import Array, record
from estep.core.support import Constraints, Real, Support
from estep.families import normal_fit
from estep.families.covariance_support import DiagonalCovariances, WholeCovariances, covariance_support
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.families.normal_moments import NormalStats, about, split
from estep.families.normal_shapes import numbers

CODES = {"full": "EEE", "diag": "EEI", "spherical": "EII"}
TURNS = 100


@record
class AdditiveParams:
    """``effects`` (K_1 + .. + K_M, d) and ``covariances`` (1, d, d), or variances (1, d)."""

    effects: Array
    covariances: Array


@record
class AdditiveMoments:
    """What the M-step reads: ``cross`` (S, S) and ``sums`` (S, d) of states and rows about the data's mean, ``second`` moments.

    ``weight`` counts rows, ``logdet`` the weight of log |C|.
    """

    cross: Array
    sums: Array
    second: Array
    weight: float
    logdet: float


@dataclasses.dataclass(frozen=True)
class AdditiveNormal:
    """Normal rows with the sum of the effects of several states as mean, and one covariance.

    Parameters
    ----------
    sizes : tuple of int
        States of each chain.
    covariance_type : "full", "diag" or "spherical"
        The covariance that all combinations share.
    inner
        The normal family of the combinations, set by ``bind``.

    Raises
    ------
    ValueError
        On an unknown covariance, a column without values or without variance.

    Examples
    --------
    >>> AdditiveNormal((2, 2)).design.tolist()
    [[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
    """

    sizes: tuple[int, ...] = (2, 2)
    covariance_type: str = "full"
    inner: Normal | None = None
    names: ClassVar[tuple[str, ...]] = ("effects", "covariances")
    exchangeable: ClassVar[bool] = False
    remedy: ClassVar[str] = "fewer states, or covariance_type='spherical'"

    def __post_init__(self) -> None:
        if self.covariance_type not in CODES:
            raise ValueError(f"covariance_type={self.covariance_type!r} is unknown; choose one of {sorted(CODES)}")

    @cached_property
    def design(self) -> Array:
        """Which states make up each combination, (k, K_1 + .. + K_M)."""
        states = np.stack(np.unravel_index(np.arange(int(np.prod(self.sizes))), self.sizes), axis=1)
        return np.hstack([np.eye(size)[states[:, m]] for m, size in enumerate(self.sizes)])

    @property
    def chains(self) -> list[slice]:
        """The rows of ``effects`` that belong to each chain."""
        ends = np.cumsum(self.sizes).tolist()
        return [slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]

    def constants(self, k: int, constraints: Constraints) -> int:
        """Less the coordinates that nothing identifies: a constant that one chain gives and another takes."""
        return 0 if "effects" in constraints.fixed or self.inner is None else -(len(self.sizes) - 1) * self.d

    def bind(self, data: Any) -> AdditiveNormal:
        """Bind the normal family of the combinations."""
        return dataclasses.replace(self, inner=Normal(CODES[self.covariance_type]).bind(data))

    def start(self, k: int) -> AdditiveParams:
        """Every combination like the whole of the data."""
        whole, effects = self._inner.start(1), np.zeros((sum(self.sizes), self.d))
        effects[self.chains[0]] = whole.means
        return AdditiveParams(effects, whole.covariances)

    def means(self, params: AdditiveParams) -> Array:
        """Means of the combinations, (k, d)."""
        return np.asarray(self.design @ params.effects)

    def whole(self, params: AdditiveParams) -> NormalParams:
        """The parameters of the normal family of the combinations."""
        return remembered(  # type: ignore[no-any-return]
            params,
            ("whole", self.sizes),
            lambda: NormalParams(self.means(params), np.repeat(params.covariances, len(self.design), axis=0)),
        )

    def encode(self, x: Any) -> Any:
        """Rows as a normal family reads them."""
        return self._inner.encode(x)

    def log_density(self, params: AdditiveParams, encoded: Any) -> Array:
        """Log densities (n, k) of the observed entries under every combination, in nats."""
        return self._inner.log_density(self.whole(params), encoded)

    def stats(self, params: AdditiveParams, encoded: Any, resp: Array) -> NormalStats:
        """Expected anchored moments of whole rows by combination."""
        return self._inner.stats(self.whole(params), encoded, resp)

    def moments(self, stats: NormalStats) -> AdditiveMoments:
        """What the M-step reads, about the data's mean."""
        diagonal = self._inner.diagonal
        count, total, second = split(stats.features, self.d, diagonal)
        total, second = about(count, total, second, self.centre - stats.anchor)
        cross = self.design.T @ (count[:, None] * self.design)
        return AdditiveMoments(cross, self.design.T @ total, second.sum(axis=0), float(count.sum()), float(stats.logdet.sum()))

    def fit(self, stats: NormalStats, params: AdditiveParams, support: Support) -> AdditiveParams:
        """The parameters that maximise ``q`` over the free entries, from ``params``."""
        return self.settled(self.moments(stats), params, support)

    def settled(self, moments: AdditiveMoments, params: AdditiveParams, support: Support) -> AdditiveParams:
        """``maximise`` once where no effect is held, else until nothing is gained."""
        entry, value = support.entries["effects"], -np.inf
        assert isinstance(entry, Real)
        for _ in range(TURNS):
            params = self.maximise(moments, params, support)
            if entry.pattern.free:
                return params
            before, value = value, self.height(moments, params)
            if value - before <= 1e-14 * (1.0 + abs(value)):
                break
        return params

    def height(self, moments: AdditiveMoments, params: AdditiveParams) -> float:
        """``q`` from moments."""
        c, scatter = params.covariances[0], self._scatter(moments, params.effects)[0]
        if c.ndim == 1:
            logdet, inside = float(np.log(c).sum()), float((scatter / c).sum())
        else:
            logdet, inside = float(np.linalg.slogdet(c)[1]), float(np.trace(np.linalg.solve(c, scatter)))
        return -0.5 * (moments.weight * self.d * float(np.log(2.0 * np.pi)) + moments.logdet * logdet + inside)

    def maximise(self, moments: AdditiveMoments, params: AdditiveParams, support: Support) -> AdditiveParams:
        """Effects by least squares (weighted by C where entries are held), and then the covariance about them."""
        effects, covariances = support.entries["effects"], support.entries["covariances"]
        assert isinstance(effects, Real)
        assert isinstance(covariances, WholeCovariances | DiagonalCovariances)
        from scipy.linalg import pinvh

        now = params.effects - self.shift
        slope = moments.sums - moments.cross @ now
        if effects.pattern.free:
            new = self.level(params.effects + pinvh(moments.cross) @ slope)
        else:
            new = params.effects + self._held_step(moments, slope, params, effects)
        scatter = self._scatter(moments, new)
        return AdditiveParams(new, covariances.maximise(scatter, np.array([moments.logdet]), params.covariances))

    def _held_step(self, moments: AdditiveMoments, slope: Array, params: AdditiveParams, effects: Real) -> Array:
        """The step of the free entries: generalised least squares, pooled over tied entries."""
        from scipy.linalg import pinvh

        c = params.covariances[0]
        precision = np.diag(1.0 / c) if c.ndim == 1 else np.linalg.inv(c)
        groups = effects.pattern.groups.ravel()
        basis = (groups[:, None] == np.arange(effects.pattern.count)).astype(float)
        curve = basis.T @ np.kron(moments.cross, precision) @ basis
        step: Array = basis @ (pinvh(curve) @ (basis.T @ (slope @ precision).ravel()))
        return step.reshape(slope.shape)

    def _scatter(self, moments: AdditiveMoments, effects: Array) -> Array:
        """Scatter about the means, (1, d, d), or its diagonal, (1, d)."""
        w = effects - self.shift
        if moments.second.ndim == 1:
            cross = (w * moments.sums).sum(axis=0)
            return np.asarray(moments.second - 2.0 * cross + (w * (moments.cross @ w)).sum(axis=0))[None]
        cross = w.T @ moments.sums
        return np.asarray(moments.second - cross - cross.T + w.T @ moments.cross @ w)[None]

    def level(self, effects: Array) -> Array:
        """The same means with effects of mean zero in every chain but the first."""
        out, first = effects.copy(), self.chains[0]
        for own in self.chains[1:]:
            mean = effects[own].mean(axis=0)
            out[own] -= mean
            out[first] += mean
        return out

    def q(self, params: AdditiveParams, stats: NormalStats) -> float:
        """Complete-data log-likelihood in nats."""
        return self._inner.q(self.whole(params), stats)

    def score(self, params: AdditiveParams, stats: NormalStats, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        slopes = normal_fit.gradient(self.whole(params), stats)
        return support.pull(
            params,
            {"effects": self.design.T @ slopes["means"], "covariances": slopes["covariances"].sum(axis=0, keepdims=True)},
        )

    def support(self, params: AdditiveParams, constraints: Constraints) -> Support:
        """Real effects; a covariance of the structure."""
        code = CODES[self.covariance_type]
        return Support(
            {
                "effects": Real(constraints.pattern("effects", params.effects.shape)),
                "covariances": covariance_support(code, constraints, 1, params.effects.shape[1]),
            }
        )

    def prior(self, k: int, settings: Mapping[str, Any]) -> NormalStats:
        """The normal family's weak prior, as imaginary rows of every combination."""
        return self._inner.prior(k, settings)

    def align(self, prior: NormalStats, stats: NormalStats) -> NormalStats:
        """``prior`` about the anchor of ``stats``."""
        return self._inner.align(prior, stats)

    def dying(self, params: AdditiveParams, stats: NormalStats, support: Support) -> Collapsed | None:
        """Whether the covariance has collapsed, or None."""
        entry = support.entries["covariances"]
        assert isinstance(entry, WholeCovariances | DiagonalCovariances)
        moving = np.full(len(self.design), bool((entry.pattern.groups >= 0).any()))
        total = self._inner.total
        assert total is not None
        return normal_fit.dying(self.whole(params), stats, moving, total) if moving.any() else None

    def expose(self, params: AdditiveParams) -> dict[str, Array]:
        """Parameters as users see them: the covariance as (d, d), (d,) or a number."""
        c = params.covariances[0]
        return {"effects": params.effects, "covariances": c[:1] if self.covariance_type == "spherical" else c}

    def adopt(self, name: str, value: Any, k: int, d: int, argument: str) -> Array:
        """A user's array for parameter ``name``; raises ValueError naming ``argument``."""
        array = numbers(value, argument)
        if name == "effects":
            shape: tuple[int, ...] = (sum(self.sizes), d)
            array = array[:, None] if array.shape == (sum(self.sizes),) and d == 1 else array
        else:
            shape = (1, d, d) if self.covariance_type == "full" else (1, d)
            array = np.broadcast_to(array, shape).copy() if array.shape in ((), (1,), shape[1:]) else array
        if array.shape != shape:
            raise ValueError(f"{argument} has shape {array.shape}, expected {shape if name == 'effects' else shape[1:]}")
        return array

    def sample(self, params: AdditiveParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each combination."""
        return self._inner.sample(self.whole(params), labels, rng)

    def cdf(self, params: AdditiveParams, x: Array) -> Array:
        """``P(X <= x)`` of a single column under every combination, (n, k); NaN where missing."""
        from scipy.special import ndtr

        sd = np.sqrt(params.covariances.reshape(1))
        return np.asarray(ndtr((np.asarray(x, dtype=float) - self.means(params)[:, 0]) / sd))

    @property
    def _inner(self) -> Normal:
        if self.inner is None:
            raise ValueError("this AdditiveNormal family has seen no data yet: call bind(data) first")
        return self.inner

    @property
    def centre(self) -> Array:
        """The data's mean, (d,)."""
        anchor = self._inner.anchor
        assert anchor is not None
        return anchor

    @property
    def d(self) -> int:
        """Number of columns."""
        return int(self.centre.size)

    @property
    def shift(self) -> Array:
        """The data's mean as effects of the first chain, (S, d)."""
        out = np.zeros((sum(self.sizes), self.d))
        out[self.chains[0]] = self.centre
        return out
