"""A noise component beside the components of any family on real rows: uniform over the data's volume.

    p(x | noise) = 1 / V,   V = min(volume of the box along the columns, volume of the box along the principal axes)

As in mclust. Noise is the last class; it has no parameters to fit. A row with missing entries has the density of its observed
columns, for which the box along the columns is used (the marginals of a tilted box are not uniform); then V is that box's.

Sources: Banfield & Raftery (1993), Biometrics 49:803; Fraley & Raftery (1998), The Computer Journal 41:578.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.core.support import Constraints, Support
from estep.families.quadratics import Quadratics, with_uniform


@dataclasses.dataclass(frozen=True)
class Extremes:
    """Smallest and largest value of each column; adds as such."""

    low: Array
    high: Array
    missing: bool

    def __add__(self, other: Extremes) -> Extremes:
        return Extremes(np.fmin(self.low, other.low), np.fmax(self.high, other.high), self.missing or other.missing)


@dataclasses.dataclass(frozen=True)
class NoisyBlock:
    """The inner family's block and the log density of noise, (n,)."""

    inner: Any
    log_noise: Array


@dataclasses.dataclass(frozen=True)
class WithNoise:
    """``family`` with a uniform noise component as the last class.

    ``density`` (1 / volume) given is used as it is; otherwise ``bind`` finds the volume and keeps log V, the logs of the box's
    sides and its corners.
    """

    family: Any
    density: float | None = None
    log_whole: float | None = None
    log_sides: Array | None = None
    low: Array | None = None
    high: Array | None = None
    noisy: ClassVar[bool] = True

    @property
    def names(self) -> tuple[str, ...]:
        """The inner family's parameters."""
        return tuple(self.family.names)

    @property
    def remedy(self) -> str:
        """What helps the inner family where a component collapses."""
        return str(getattr(self.family, "remedy", ""))

    @property
    def constants(self) -> int:
        """Parameters estimated once from the data: the volume, unless it was given."""
        return 0 if self.density is not None else 1

    def bind(self, data: Any) -> WithNoise:
        """Fix the volume; raises ValueError when the data span none."""
        family = self.family.bind(data)
        box: Extremes = data.sum(lambda chunk: _extremes(np.asarray(chunk.x, dtype=float)))
        with np.errstate(divide="ignore"):
            sides = np.log(box.high - box.low)
        whole = float(sides.sum())
        if self.density is not None:
            whole = -float(np.log(self.density))
            sides = np.full(sides.size, whole / sides.size)
        elif not box.missing:
            axes = np.linalg.eigh(family.total)[1]
            tilted: Extremes = data.sum(lambda chunk: _extremes(np.asarray(chunk.x, dtype=float) @ axes))
            with np.errstate(divide="ignore"):
                whole = min(whole, float(np.log(tilted.high - tilted.low).sum()))
        if not np.isfinite(whole):
            raise ValueError("noise: the data span no volume (a column is constant), so noise has no density; drop that column")
        return dataclasses.replace(self, family=family, log_whole=whole, log_sides=sides, low=box.low, high=box.high)

    def start(self, k: int) -> Any:
        """The inner family's start for its k - 1 classes."""
        return self.family.start(k - 1)

    def encode(self, x: Any) -> NoisyBlock:
        """The inner block and the noise density of each row's observed columns."""
        assert self.log_whole is not None and self.log_sides is not None
        missing = np.isnan(np.asarray(x, dtype=float))
        log_noise = np.where(missing.any(axis=1), -(~missing @ self.log_sides), -self.log_whole)
        return NoisyBlock(self.family.encode(x), log_noise)

    def log_density(self, params: Any, encoded: NoisyBlock) -> Array:
        """Log densities (n, k), noise last."""
        inner = self.family.log_density(params, encoded.inner)
        return np.vstack([inner.T, encoded.log_noise[None, :]]).T

    def stats(self, params: Any, encoded: NoisyBlock, resp: Array) -> Any:
        """The inner family's statistics: noise has none."""
        return self.family.stats(params, encoded.inner, resp[:, :-1])

    def fit(self, stats: Any, params: Any, support: Support) -> Any:
        """The inner family's fit."""
        return self.family.fit(stats, params, support)

    def q(self, params: Any, stats: Any) -> float:
        """The inner family's q; noise adds a constant that no parameter moves."""
        return float(self.family.q(params, stats))

    def score(self, params: Any, stats: Any, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        return np.asarray(self.family.score(params, stats, support))

    def unit_scores(self, params: Any, encoded: NoisyBlock, resp: Array, support: Support) -> Array:
        """Per-row scores, (n, p)."""
        return np.asarray(self.family.unit_scores(params, encoded.inner, resp[:, :-1], support))

    def support(self, params: Any, constraints: Constraints) -> Support:
        """The inner family's support."""
        support: Support = self.family.support(params, constraints)
        return support

    def seat(self, params: Any, component: int, row: Array) -> Any:
        """``params`` with ``component``, one of the inner family's, moved to ``row``."""
        return self.family.seat(params, component, row)

    def prior(self, k: int, settings: Any) -> Any:
        """The inner family's prior for its k - 1 classes."""
        return self.family.prior(k - 1, settings)

    def align(self, prior: Any, stats: Any) -> Any:
        """The inner family's prior about the anchor of ``stats``."""
        return self.family.align(prior, stats)

    def closer(self, params: Any, stats: Any) -> Any:
        """Where to count the inner family's moments again, or None."""
        return self.family.closer(params, stats)

    def dying(self, params: Any, stats: Any, support: Support) -> Any:
        """The first component that has collapsed, or None."""
        return self.family.dying(params, stats, support)

    def frail(self, params: Any, stats: Any, support: Support) -> Any:
        """The first component that has nearly collapsed, or None."""
        return self.family.frail(params, stats, support)

    def quadratics(self, params: Any, columns: tuple[int, ...]) -> Quadratics:
        """The log densities of ``columns`` as quadratic functions, noise last; raises Collapsed."""
        assert self.log_whole is not None and self.log_sides is not None
        whole = len(columns) == self.log_sides.size
        volume = self.log_whole if whole else float(self.log_sides[list(columns)].sum())
        return with_uniform(self.family.quadratics(params, columns), -volume)

    def permute(self, params: Any, order: NDArray[np.intp]) -> Any:
        """Classes in another order; noise must stay last."""
        return self.family.permute(params, order[:-1])

    def expose(self, params: Any) -> dict[str, Array]:
        """The inner family's parameters as users see them."""
        shown: dict[str, Array] = self.family.expose(params)
        return shown

    def adopt(self, name: str, value: Any, k: int, d: int, argument: str) -> Array:
        """A user's array for the inner family's k - 1 components."""
        return np.asarray(self.family.adopt(name, value, k - 1, d, argument))

    def adopt_ties(self, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
        """A user's ties for the inner family's k - 1 components."""
        return np.asarray(self.family.adopt_ties(name, value, k - 1, d, argument))

    def sample(self, params: Any, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label; noise rows are uniform over the box along the columns."""
        assert self.low is not None and self.high is not None
        k = 1 + int(params.means.shape[0])
        noisy = labels == k - 1
        rows = np.array(self.family.sample(params, np.where(noisy, 0, labels), rng))
        rows[noisy] = rng.uniform(self.low, self.high, size=(int(noisy.sum()), rows.shape[1]))
        return rows


def _extremes(x: Array) -> Extremes:
    with np.errstate(invalid="ignore"):
        return Extremes(np.fmin.reduce(x, axis=0), np.fmax.reduce(x, axis=0), bool(np.isnan(x).any()))
