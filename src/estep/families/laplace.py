"""Independent Laplace columns: double-exponential errors, whose location is a weighted median.

    p(x_ij | z_i = k) = exp(-|x - m_kj| / b_kj) / (2 b_kj)

E-step   log p = -log 2b - |x - m| / b
M-step   m minimises A(m) = sum r |x - m|;   b = A(m) / n.  Here: the best m of a set of places that includes the present one,
         so that no step lowers q

A weighted median has no sufficient statistics: A is needed at every place. A is convex and piecewise linear, and what is
counted about the current (m_t, b_t) is a histogram of z = (x - m_t) / b_t whose bins double in width away from m_t. From
weight, sum and sum of squares of each bin, A is known exactly at the ends of bins, and from above at the mean of each bin
(where the bin's own part is at most weight times its standard deviation: nothing, if its rows are equal). Between these
places their chords lie above A. So a step either closes half of the way to the median or lands on the row that is the median.

symbol     variable   shape
m, b       locations, scales   (k, d)
           weight, total, square   (k, d, 123)   of each bin: sum r, sum r z, sum r z^2
m_t, b_t   at         shared: records add at equal ``at`` only

Sources: Johnson, Kotz & Balakrishnan (1995), Continuous Univariate Distributions, volume 2, chapter 24; the histogram is worked
out here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.memo import remembered
from estep.core.record import Array, record, shared
from estep.core.support import Pattern, Positive, Real, Support
from estep.families import columns, local, spread

WORDS = "its squared scale fell to"
LOWEST, HIGHEST = -40, 20
"""Powers of two between which bins end, in units of the scale."""
SIDE = HIGHEST - LOWEST + 1
BINS = 2 * SIDE + 1
_UP = 2.0 ** np.arange(LOWEST, HIGHEST)
ENDS: Array = np.concatenate([-_UP[::-1], [0.0], [0.0], _UP])
"""Ends between neighbouring bins, (BINS - 1,); the middle bin holds z = 0 alone."""
_SWEEPS = 100

Outlines = list[list[tuple[Array, Array]]]


@record
class LaplaceParams:
    """``locations`` and ``scales``, (k, d) each."""

    locations: Array
    scales: Array


@record
class LaplaceStats:
    """Histogram of every component and column about ``at``; see the module's table."""

    weight: Array
    total: Array
    square: Array
    at: LaplaceParams = shared()

    @property
    def count(self) -> Array:
        """Weight of the rows, (k, d)."""
        return np.asarray(self.weight.sum(axis=2))


@dataclasses.dataclass(frozen=True)
class LaplaceBlock:
    """Entries (n, d), 0 where missing, and which are seen."""

    values: Array
    seen: NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Laplace:
    """Values independent given the component: ``p(x) = prod_j exp(-|x_j - m_j| / b_j) / (2 b_j)``.

    Parameters
    ----------
    centre, width
        Mean and mean absolute deviation of each column, set by ``bind``.

    Raises
    ------
    ValueError
        On infinite values, and on a column without values or with one value only.

    Examples
    --------
    >>> family, params = Laplace(), LaplaceParams(np.array([[0.0]]), np.array([[0.5]]))
    >>> family.log_density(params, family.encode(np.array([[1.0]]))).tolist()  # -log 1 - 2
    [[-2.0]]
    """

    centre: Array | None = None
    width: Array | None = None
    names: ClassVar[tuple[str, ...]] = ("locations", "scales")
    smooth: ClassVar[bool] = False
    entries: ClassVar[Mapping[str, Any]] = {"locations": Real, "scales": Positive}

    def bind(self, data: Any) -> Laplace:
        """Fix mean and mean absolute deviation; raises ValueError on empty and constant columns."""
        sums: local.ColumnSums = data.sum(lambda chunk: local.column_sums(_finite(chunk.x), chunk.weight, 0.0))
        columns.refuse(sums.weight <= 0, "has no observed value; drop it or supply data for it")
        centre = sums.total / sums.weight
        apart: local.ColumnSums = data.sum(
            lambda chunk: local.column_sums(np.abs(_finite(chunk.x) - centre), chunk.weight, 0.0)
        )
        width = apart.total / apart.weight
        constant = width <= 8.0 * np.finfo(float).eps * np.abs(centre)
        columns.refuse(constant, "is constant, so its spread is zero and the Laplace likelihood has no maximum; drop it")
        return dataclasses.replace(self, centre=centre, width=width)

    def start(self, k: int) -> LaplaceParams:
        """Every component with the mean and the mean absolute deviation of the data."""
        centre, width = self._known()
        return LaplaceParams(np.tile(centre, (k, 1)), np.tile(width, (k, 1)))

    def encode(self, x: Any) -> LaplaceBlock:
        """Rows (n, d) and what is observed of them; raises ValueError on infinite values."""
        x = _finite(x)
        seen = ~np.isnan(x)
        return LaplaceBlock(np.where(seen, x, 0.0), seen)

    def log_density(self, params: LaplaceParams, encoded: LaplaceBlock) -> Array:
        """Log densities (n, k) of the observed entries, in nats; an all-missing row has 0."""
        logb = np.empty((len(encoded.values), len(params.scales)))
        for j, (m, b) in enumerate(zip(params.locations, params.scales, strict=True)):
            each = -np.log(2.0 * b) - np.abs(encoded.values - m) / b
            logb[:, j] = np.where(encoded.seen, each, 0.0).sum(axis=1)
        return logb

    def stats(self, params: LaplaceParams, encoded: LaplaceBlock, resp: Array) -> LaplaceStats:
        """The histogram of z under each component."""
        k, d = params.locations.shape
        found = np.empty((3, k, d * BINS))
        place = np.arange(d) * BINS
        for j, (m, b) in enumerate(zip(params.locations, params.scales, strict=True)):
            z = np.clip((encoded.values - m) / b, -1e150, 1e150)
            flat = (bins_of(z) + place).ravel()
            weight = resp[:, j][:, None] * encoded.seen
            for s, part in enumerate((weight, weight * z, weight * z * z)):
                found[s, j] = np.bincount(flat, part.ravel(), minlength=d * BINS)
        weights, totals, squares = found.reshape(3, k, d, BINS)
        return LaplaceStats(weights, totals, squares, at=params)

    def fit(self, stats: LaplaceStats, params: LaplaceParams, support: Support) -> LaplaceParams:
        """Locations at the best places known, scales to match, over the free entries; raises Collapsed at a scale of zero."""
        locations, scales = support.entries["locations"], support.entries["scales"]
        assert isinstance(locations, Real)
        assert isinstance(scales, Positive)
        outlines = _outlines(stats)
        now: LaplaceParams = support.unpack(support.pack(stats.at), stats.at)  # a neutral start need not hold what is fixed
        value = self.bound(now, stats)
        for _ in range(_SWEEPS):
            moved = _moved(outlines, stats, now, locations.pattern)
            new = LaplaceParams(moved, _rescaled(outlines, stats, now, moved, scales.pattern))
            gained = self.bound(new, stats)
            if not gained > value:
                break
            done = locations.pattern.free or gained - value <= 1e-14 * (1.0 + abs(value))
            now, value = new, gained
            if done:
                break
        return now

    def bound(self, params: LaplaceParams, stats: LaplaceStats) -> float:
        """Lower bound of the complete-data log-likelihood, equal to it at ``at`` and at the ends of bins."""
        away = _away(_outlines(stats), stats, params.locations)[0]
        return float(-(stats.count * np.log(2.0 * params.scales) + away / params.scales).sum())

    def slope(self, params: LaplaceParams, stats: LaplaceStats) -> dict[str, Array]:
        """Gradient of ``bound``; at a kink (rows within 2^-40 scales of the location) the mean of the slopes on both sides."""
        away, rise = _away(_outlines(stats), stats, params.locations)
        here = params.locations == stats.at.locations
        rise = np.where(here, stats.weight[..., : SIDE - 1].sum(axis=2) - stats.weight[..., SIDE + 2 :].sum(axis=2), rise)
        return {"locations": -rise / params.scales, "scales": away / params.scales**2 - stats.count / params.scales}

    def unit_scores(self, params: LaplaceParams, encoded: LaplaceBlock, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its log-likelihood under the components it belongs to, (n, p)."""
        z = (encoded.values[:, None, :] - params.locations) / params.scales
        weight = resp[:, :, None] * encoded.seen[:, None, :]
        side = np.where(np.abs(z) < _UP[0], 0.0, np.sign(z))
        parts = (weight * side / params.scales, weight * (np.abs(z) - 1.0) / params.scales)
        raw = np.hstack([part.reshape(len(resp), -1) for part in parts])
        return np.asarray(raw @ columns.jacobian(params, support))

    def imagine(self) -> Array:
        """Two rows with the mean and the mean absolute deviation of the data, (2, d)."""
        centre, width = self._known()
        return np.stack([centre - width, centre + width])

    def dying(self, params: LaplaceParams, stats: LaplaceStats, support: Support) -> Collapsed | None:
        """The first free component that has collapsed, or None."""
        free = spread.moving(support.entries["scales"])
        rounding = (8.0 * np.finfo(float).eps * params.locations) ** 2
        return spread.dying(params.scales**2, stats.count, free, self._known()[1] ** 2, WORDS, rounding)

    def frail(self, params: LaplaceParams, stats: LaplaceStats, support: Support) -> Collapsed | None:
        """The first free component that has nearly collapsed, or None."""
        return spread.frail(params.scales**2, stats.count, spread.moving(support.entries["scales"]), WORDS)

    def sample(self, params: LaplaceParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        return np.asarray(rng.laplace(params.locations[labels], params.scales[labels]))

    def cdf(self, params: LaplaceParams, x: Array) -> Array:
        """``P(X <= x)`` of a single column, (n, k); NaN where missing."""
        z = (np.asarray(x, dtype=float) - params.locations[:, 0]) / params.scales[:, 0]
        tail = 0.5 * np.exp(-np.abs(z))
        return np.asarray(np.where(z < 0, tail, 1.0 - tail))

    def seat(self, params: LaplaceParams, component: int, row: Array) -> LaplaceParams:
        """``params`` with the location of ``component`` at ``row`` where it is observed."""
        locations = params.locations.copy()
        locations[component] = np.where(np.isnan(row), locations[component], row)
        return LaplaceParams(locations, params.scales)

    def _known(self) -> tuple[Array, Array]:
        if self.centre is None or self.width is None:
            raise ValueError("this Laplace family has seen no data yet: call bind(data) first")
        return self.centre, self.width

    q = local.q
    score = local.score
    support = local.support
    prior = local.prior
    align = local.align
    expose = local.expose
    adopt = local.adopt
    adopt_ties = local.adopt_ties


def bins_of(z: Array) -> NDArray[np.intp]:
    """The bin of every z, by its sign and the power of two above it.

    >>> (bins_of(np.array([-1.0, 0.0, 1.0])) - SIDE).tolist()
    [-42, 0, 42]
    """
    power = np.clip(np.frexp(z)[1], LOWEST, HIGHEST) - LOWEST + 1
    return np.asarray(SIDE + np.sign(z).astype(np.intp) * power)


def _outlines(stats: LaplaceStats) -> Outlines:
    """For each component and column, places in units of ``at`` in increasing order and A (from above) there."""
    parts = zip(stats.weight, stats.total, stats.square, strict=True)
    found: Outlines = remembered(
        stats, "outlines", lambda: [[_outline(*column) for column in zip(*component, strict=True)] for component in parts]
    )
    return found


def _outline(weight: Array, total: Array, square: Array) -> tuple[Array, Array]:
    left, below = np.cumsum(weight), np.cumsum(total)
    right, beyond = left[-1] - left, below[-1] - below
    at_ends = beyond[:-1] - below[:-1] + ENDS * (left[:-1] - right[:-1])
    filled = np.flatnonzero(weight > 0)
    mean = total[filled] / weight[filled]
    second = square[filled] / weight[filled]
    # rounding of the second moment must not make the bound too low
    deviation = np.sqrt(np.maximum(second - mean**2, 0.0) + 8.0 * np.finfo(float).eps * second)
    before, after = left[filled] - weight[filled], right[filled]
    outside = beyond[filled] - (below[filled] - total[filled]) + mean * (before - after)
    inside = np.where(filled == SIDE, 0.0, weight[filled] * deviation)
    places = np.concatenate([np.delete(ENDS, HIGHEST - LOWEST), mean])
    heights = np.concatenate([np.delete(at_ends, HIGHEST - LOWEST), outside + inside])
    order = np.argsort(places, kind="stable")
    return _lowered(places[order], heights[order])


def _lowered(places: Array, heights: Array) -> tuple[Array, Array]:
    """Without places that lie on or above the chord of their neighbours, and one of each place."""
    kept = np.append(True, np.diff(places) > 0)
    places, heights = places[kept], heights[kept]
    width = np.diff(places)
    chord = (heights[:-2] * width[1:] + heights[2:] * width[:-1]) / (width[:-1] + width[1:])
    below = np.concatenate([[True], heights[1:-1] < chord, [True]]) | (places == 0.0)
    return places[below], heights[below]


def _away(outlines: Outlines, stats: LaplaceStats, locations: Array) -> tuple[Array, Array]:
    """A (from above) at ``locations`` and its slope there, in the units of the data, (k, d) each."""
    z = (locations - stats.at.locations) / stats.at.scales
    height, rise, count = np.empty(z.shape), np.empty(z.shape), stats.count
    for k, j in np.ndindex(*z.shape):
        places, heights = outlines[k][j]
        height[k, j], rise[k, j] = _chord(places, heights, float(z[k, j]), float(count[k, j]))
    return height * stats.at.scales, rise


def _chord(places: Array, heights: Array, z: float, count: float) -> tuple[float, float]:
    """The chords of an outline at ``z``, continued with slope -+ ``count`` beyond it, and their slope."""
    slopes = np.concatenate([[-count], np.diff(heights) / np.diff(places), [count]])
    lo, hi = int(np.searchsorted(places, z, "left")), int(np.searchsorted(places, z, "right"))
    end = min(max(hi - 1, 0), len(places) - 1)
    return float(heights[end] + slopes[hi] * (z - places[end])), 0.5 * float(slopes[lo] + slopes[hi])


def _moved(outlines: Outlines, stats: LaplaceStats, now: LaplaceParams, pattern: Pattern) -> Array:
    """The best known place of every free location at the present scales; those that share a value choose together."""
    free = np.array(pattern.pick(now.locations))
    for group in range(pattern.count):
        members = np.argwhere(pattern.groups == group)
        at, scale = stats.at.locations, stats.at.scales
        choices = np.concatenate([at[k, j] + scale[k, j] * outlines[k][j][0] for k, j in members] + [free[group : group + 1]])
        cost = np.zeros(choices.shape)
        for k, j in members:
            places, heights = outlines[k][j]
            z, count = (choices - at[k, j]) / scale[k, j], float(stats.count[k, j])
            beyond = np.maximum(places[0] - z, 0.0) + np.maximum(z - places[-1], 0.0)
            cost += (np.interp(z, places, heights) + count * beyond) * scale[k, j] / now.scales[k, j]
        best = int(np.argmin(cost))
        if cost[best] < cost[-1]:
            free[group] = choices[best]
    return pattern.spread(free)


def _rescaled(outlines: Outlines, stats: LaplaceStats, now: LaplaceParams, locations: Array, pattern: Pattern) -> Array:
    """``A / n`` of the free scales; one without rows stays; raises Collapsed where A is zero."""
    away, count = _away(outlines, stats, locations)[0], stats.count
    pooled, rows = pattern.pool(away), pattern.pool(count)
    for group in np.flatnonzero((rows > 0) & ~(pooled > 0))[:1]:
        k, j = (int(i) for i in np.argwhere(pattern.groups == group)[0])
        raise Collapsed(k, f"its rows are equal in column {j}, so its scale there is zero; {spread.REMEDY}")
    return pattern.spread(np.asarray(np.where(rows > 0, pooled / np.where(rows > 0, rows, 1.0), pattern.pick(now.scales))))


def _finite(x: Any) -> Array:
    rows: Array = np.asarray(x, dtype=float)
    remedy = "drop the row or write NaN where the value is unknown"
    columns.refuse_values(rows, np.isinf(rows), "Laplace takes finite values", remedy)
    return rows
