"""Rows of bounds: read, checked, cut into values and intervals, and shown to the family that is wrapped.

    lower = upper     a value                       lower < upper     an interval, one end of which may be open
    NaN, NaN          missing                       -inf, inf         missing too; so is (0, inf) for a positive law

A likelihood of intervals has no maximum (``refuse_unbounded``) where
    every bound is on one side                      the law escapes to the other
    one point lies within all of them               a component without width there has probability one
    bounds are on both sides, none on both at once, and those from above lie on the whole no higher than those from below
                                                    the wider the law, the better

Source: Silvapulle & Burridge (1986), JRSS B 48:100, for when estimates from intervals exist.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, transform
from estep.families.interval import Given, interval_law


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Of n rows: values (NaN where none), bounds (NaN where no interval), which entries are intervals, and covariates."""

    exact: Array
    low: Array
    high: Array
    hidden: NDArray[np.bool_]
    given: Given

    def of(self, rows: NDArray[np.intp]) -> Bounds:
        """Some of the rows."""
        given = None if self.given is None else (self.given[0][rows], self.given[1][rows])
        return Bounds(self.exact[rows], self.low[rows], self.high[rows], self.hidden[rows], given)

    def rows(self) -> Any:
        """The values as rows of the base family."""
        return with_values(self.exact, self.given)


def with_values(values: Array, given: Given) -> Any:
    """Rows of the base family: values (n, d), or design, response and offset."""
    return values if given is None else (given[0], values[:, 0], given[1])


def is_regression(family: Any) -> bool:
    """Whether rows of the family are a tuple (design, response)."""
    return "coefs" in family.names


def read_bounds(x: Any, floor: float, at: int = 0) -> Bounds:
    """Rows (n, 2 d) or (design, bounds (n, 2)[, offset]); raises ValueError naming row (counted from ``at``) and variable."""
    if isinstance(x, tuple):
        design, pairs = np.asarray(x[0], dtype=float), np.asarray(x[1], dtype=float)
        offset = np.zeros(len(design)) if len(x) < 3 or x[2] is None else np.asarray(x[2], dtype=float)
        given: Given = (design, offset)
    else:
        pairs, given = np.asarray(x, dtype=float), None
    if pairs.ndim != 2 or pairs.shape[1] % 2 or (given is not None and pairs.shape[1] != 2):
        found = f"shape {pairs.shape}"
        raise ValueError(f"bounds have {found}, expected two columns for each variable: its lower and its upper bound")
    low, high = pairs[:, ::2], pairs[:, 1::2]
    _refuse_pairs(low, high, at)
    known = low == high
    nothing = np.isnan(low) | ((low <= floor) & np.isposinf(high))
    hidden = ~known & ~nothing
    nan = np.full(low.shape, np.nan)
    return Bounds(np.where(known, low, nan), np.where(hidden, low, nan), np.where(hidden, high, nan), hidden, given)


def _refuse_pairs(low: Array, high: Array, at: int) -> None:
    for bad, why in (
        (
            np.isnan(low) != np.isnan(high),
            "has one bound missing; write -inf or inf for an open side, NaN twice for nothing",
        ),
        (low > high, "has its lower bound above its upper; swap them"),
        ((low == high) & np.isinf(low), "has an infinite value; write (-inf, upper) or (lower, inf) for an open side"),
    ):
        if bad.any():
            row, j = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(f"bounds: row {at + row}, variable {j} is ({low[row, j]:g}, {high[row, j]:g}): it {why}")


def points(x: Any, floor: float, at: int = 0) -> Any:
    """Rows of the base family that stand for bounds: values, midpoints, finite ends; NaN where nothing is known."""
    read = read_bounds(x, floor, at)
    with np.errstate(invalid="ignore"):
        middle = 0.5 * (np.maximum(read.low, floor) + read.high)
    shown = np.where(np.isfinite(middle), middle, np.where(np.isfinite(read.low), read.low, read.high))
    return with_values(np.where(read.hidden, shown, read.exact), read.given)


def doubled(rows: Any) -> Any:
    """Rows of the base family as bounds that are equal."""
    if isinstance(rows, tuple):
        return (rows[0], np.column_stack([rows[1], rows[1]]), *rows[2:])
    return np.repeat(np.asarray(rows), 2, axis=1)


@dataclasses.dataclass(frozen=True)
class Seen:
    """A data plane of bounds as a family without bounds sees it."""

    data: Any
    floor: float

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.data.n_rows)

    def chunks(self) -> Iterator[Any]:
        """Chunks of points."""
        return map(self._shown, self.data.chunks())

    def sum(self, fn: Callable[[Any], Any]) -> Any:
        """``fn`` of every chunk of points, added."""
        return self.data.sum(lambda chunk: fn(self._shown(chunk)))

    def map(self, fn: Callable[[Any], Any], sink: Callable[[Any, Any], None]) -> None:
        """``fn`` of every chunk of points, to ``sink``."""
        self.data.map(lambda chunk: fn(self._shown(chunk)), sink)

    def _shown(self, chunk: Any) -> Any:
        return dataclasses.replace(chunk, x=points(chunk.x, self.floor, int(chunk.key[1])), keep=False)


def stand_ins(base: Any, params: Any, bounds: Bounds, resp: Array) -> Iterator[tuple[Any, Array, NDArray[np.intp]]]:
    """For each component, rows that stand for rows with intervals: (rows of the base family, resp, row each belongs to)."""
    if not len(resp):
        return
    values, weights = interval_law(base).points(base, params, bounds.low, bounds.high, bounds.given)
    count, n = len(weights), len(resp)
    owner = np.tile(np.arange(n), count)
    given = None if bounds.given is None else (bounds.given[0][owner], bounds.given[1][owner])
    for k in range(resp.shape[1]):
        filled = np.where(bounds.hidden, values[:, :, k, :], bounds.exact)
        part = np.zeros((count * n, resp.shape[1]))
        part[:, k] = np.outer(weights, resp[:, k]).ravel()
        yield with_values(filled.reshape(count * n, -1), given), part, owner


def permuted(base: Any, params: Any, order: NDArray[np.intp]) -> Any:
    """Components of the base family in another order."""
    own = getattr(base, "permute", None)
    return own(params, order) if own else transform(params, lambda _, leaf: leaf[order])


def exposed(base: Any, params: Any) -> dict[str, Array]:
    """The base family's parameters as users see them."""
    own = getattr(base, "expose", None)
    return dict(own(params)) if own else {name: getattr(params, name) for name in base.names}


@dataclasses.dataclass(frozen=True)
class Sides:
    """What a column's bounds are like; adds as such. Extremes of values and bounds, weights of each kind, sums of bounds."""

    lowest: Array  # of values, upper bounds: the least
    highest: Array  # of values, lower bounds: the greatest
    least: Array  # of values: the least
    most: Array  # of values: the greatest
    exact: Array
    both: Array
    below: Array  # weight and sum of upper bounds alone, (2, d)
    above: Array  # weight and sum of lower bounds alone, (2, d)

    def __add__(self, other: Sides) -> Sides:
        return Sides(
            np.fmin(self.lowest, other.lowest),
            np.fmax(self.highest, other.highest),
            np.fmin(self.least, other.least),
            np.fmax(self.most, other.most),
            self.exact + other.exact,
            self.both + other.both,
            self.below + other.below,
            self.above + other.above,
        )


def sides(chunk: Any, floor: float) -> Sides:
    """One chunk's sides; rows of weight zero are absent."""
    read = read_bounds(chunk.x, floor, int(chunk.key[1]))
    weight = np.ones(len(chunk)) if chunk.weight is None else np.asarray(chunk.weight, dtype=float)
    there = (weight > 0)[:, None]
    known, hidden = ~np.isnan(read.exact) & there, read.hidden & there
    up, down = hidden & (read.low <= floor), hidden & np.isposinf(read.high)
    inside = hidden & ~up & ~down

    def least(*parts: Array) -> Array:
        return np.asarray(np.fmin.reduce(np.vstack([*parts, np.full((1, known.shape[1]), np.inf)]), axis=0))

    values = np.where(known, read.exact, np.nan)
    low, high = np.where(hidden, read.low, np.nan), np.where(hidden, read.high, np.nan)
    return Sides(
        lowest=least(values, high),
        highest=-least(-values, -low),
        least=least(values),
        most=-least(-values),
        exact=weight @ known,
        both=weight @ inside,
        below=np.stack([weight @ up, weight @ np.where(up, read.high, 0.0)]),
        above=np.stack([weight @ down, weight @ np.where(down, read.low, 0.0)]),
    )


def refuse_unbounded(data: Any, widths: bool, floor: float) -> None:
    """Raise ValueError naming the first variable whose bounds admit no maximum; ``widths``: laws with a width of their own."""
    seen: Sides = data.sum(lambda chunk: sides(chunk, floor))
    for j in range(seen.exact.size):
        told = seen.exact[j] + seen.both[j]
        below, above = seen.below[:, j], seen.above[:, j]
        where = f"bounds: variable {j}"
        if told + below[0] + above[0] <= 0:
            raise ValueError(f"{where} has no row that says anything; drop it or supply bounds for it")
        if told <= 0 and (below[0] <= 0 or above[0] <= 0):
            side, way = ("above", "up") if below[0] <= 0 else ("below", "down")
            raise ValueError(
                f"{where}: every value is censored, known only to lie {side} its bound, so the likelihood grows as the law "
                f"moves {way} for ever and has no maximum; observe some values exactly, or bounds on both sides"
            )
        if widths and _narrow(seen, j):
            raise ValueError(
                f"{where}: one point agrees with every value and every bound, so the likelihood grows without end as the law "
                "shrinks onto it, and has no maximum; observe at least two different values, or bounds that no one point meets"
            )
        if widths and told <= 0 and below[1] / below[0] <= above[1] / above[0]:
            raise ValueError(
                f"{where}: no value is known exactly, and upper bounds ({below[1] / below[0]:g} on average) lie no higher than "
                f"lower bounds ({above[1] / above[0]:g}), so the likelihood grows with the width of the law and has no maximum"
            )


def _narrow(seen: Sides, j: int) -> bool:
    """Whether one point lies within every bound and is every value."""
    if seen.exact[j] > 0 and seen.least[j] < seen.most[j]:
        return False
    return bool(seen.highest[j] <= seen.lowest[j])
