"""Where rates and probabilities may live, ends included; rows of probabilities that are tied whole.

    entry          value                             free coordinates
    NonNegative    x >= 0                            log x
    Probability    0 <= x <= 1                       log x - log(1 - x)
    TiedRows       rows of a simplex, some equal     those of the distinct rows (``Simplex``)

An end is a legal estimate (a rate of 0, a probability of 1): its coordinate is -+ ``END`` instead of infinite, and coordinates
at or beyond +- ``END`` lead back to the end itself. There the gradient in coordinates is zero.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.core.support import Pattern, Simplex

END = 700.0


@dataclasses.dataclass(frozen=True)
class NonNegative:
    """A number at or above zero; its coordinate is the logarithm.

    >>> entry = NonNegative(Pattern(np.arange(2), np.full(2, np.nan)))
    >>> entry.unpack(entry.pack(np.array([0.0, 2.0]), np.zeros(2)), np.zeros(2)).round(9).tolist()
    [0.0, 2.0]
    """

    pattern: Pattern

    @property
    def count(self) -> int:
        """Free coordinates."""
        return self.pattern.count

    def check(self, name: str, value: Array) -> None:
        """Raise ValueError unless every entry is finite and at least zero."""
        _check_within(name, value, np.inf, "finite and at least zero")

    def pack(self, value: Array, base: Array) -> Array:
        """Coordinates of ``value``."""
        with np.errstate(divide="ignore"):
            return np.maximum(np.log(self.pattern.pick(value)), -END)

    def unpack(self, vector: Array, base: Array) -> Array:
        """The value at ``vector``."""
        return self.pattern.spread(np.where(vector > -END, np.exp(vector), 0.0))

    def pull(self, value: Array, gradient: Array) -> Array:
        """Gradient in coordinates from the gradient in the value."""
        return self.pattern.pool(gradient * value)


@dataclasses.dataclass(frozen=True)
class Probability:
    """A number between zero and one; its coordinate is the log-odds.

    >>> entry = Probability(Pattern(np.arange(3), np.full(3, np.nan)))
    >>> entry.unpack(entry.pack(np.array([0.0, 0.25, 1.0]), np.zeros(3)), np.zeros(3)).round(9).tolist()
    [0.0, 0.25, 1.0]
    """

    pattern: Pattern

    @property
    def count(self) -> int:
        """Free coordinates."""
        return self.pattern.count

    def check(self, name: str, value: Array) -> None:
        """Raise ValueError unless every entry lies between zero and one."""
        _check_within(name, value, 1.0, "between 0 and 1")

    def pack(self, value: Array, base: Array) -> Array:
        """Coordinates of ``value``."""
        free = self.pattern.pick(value)
        with np.errstate(divide="ignore"):
            return np.asarray(np.clip(np.log(free) - np.log1p(-free), -END, END))

    def unpack(self, vector: Array, base: Array) -> Array:
        """The value at ``vector``."""
        odds = np.exp(-np.abs(vector))
        inside = np.where(vector < 0, odds, 1.0) / (1.0 + odds)
        return self.pattern.spread(np.where(vector <= -END, 0.0, np.where(vector >= END, 1.0, inside)))

    def pull(self, value: Array, gradient: Array) -> Array:
        """Gradient in coordinates from the gradient in the value."""
        return self.pattern.pool(gradient * value * (1.0 - value))


@dataclasses.dataclass(frozen=True)
class TiedRows:
    """Rows of probabilities (last axis), any number of which may be tied to one another whole.

    ``row_of`` names the row of ``simplex`` that each row takes; entries may be tied within a row, as in ``Simplex``.

    >>> entry = TiedRows.of("probs", Pattern(np.array([[0, 1], [0, 1]]), np.full((2, 2), np.nan)))
    >>> entry.count, entry.share(np.array([[1.0, 0.0], [1.0, 2.0]])).tolist()
    (1, [[0.5, 0.5], [0.5, 0.5]])
    """

    simplex: Simplex
    row_of: NDArray[np.intp]
    shape: tuple[int, ...]

    @staticmethod
    def of(name: str, pattern: Pattern) -> TiedRows:
        """The support of rows whose entries follow ``pattern``; raises ValueError where rows are tied in part."""
        groups = pattern.groups.reshape(-1, pattern.groups.shape[-1])
        values = np.where(groups < 0, pattern.values.reshape(groups.shape), -1.0)
        _, first, row_of = np.unique(np.hstack([groups, values]), axis=0, return_index=True, return_inverse=True)
        distinct = groups[first]
        if np.unique(distinct[distinct >= 0]).size != sum(np.unique(row[row >= 0]).size for row in distinct):
            raise ValueError(
                f"tied[{name!r}] ties some probabilities of one row to another row; tie rows whole (one integer a row), "
                "or entries within a row"
            )
        return TiedRows(_distinct_rows(name, distinct, values[first]), row_of.ravel(), pattern.groups.shape)

    @property
    def pattern(self) -> Pattern:
        """Which entries are fixed (-1), and which share a value."""
        wide = np.array([row.groups for row in self.simplex.rows])
        offset = np.cumsum([0, *(row.count for row in self.simplex.rows)])[:-1, None]
        groups = np.where(wide < 0, -1, wide + offset)[self.row_of]
        values = np.array([row.values for row in self.simplex.rows])[self.row_of]
        return Pattern(groups.reshape(self.shape), values.reshape(self.shape))

    @property
    def count(self) -> int:
        """Free coordinates."""
        return self.simplex.count

    def check(self, name: str, value: Array) -> None:
        """Raise ValueError unless entries are >= 0 and rows sum to one (to 1e-8)."""
        self.simplex.check(name, value)

    def pack(self, value: Array, base: Array) -> Array:
        """Coordinates of ``value``."""
        return self.simplex.pack(self._distinct(value), base)

    def unpack(self, vector: Array, base: Array) -> Array:
        """The value at ``vector``."""
        return self.simplex.unpack(vector, base)[self.row_of].reshape(self.shape)

    def pull(self, value: Array, gradient: Array) -> Array:
        """Gradient in coordinates from the gradient in the value."""
        return self.simplex.pull(self._distinct(value), self._pool(gradient))

    def share(self, counts: Array, old: Array | None = None) -> Array:
        """The probabilities that maximise sum counts * log p, tied rows by their pooled counts.

        A row without counts at its free entries keeps ``old``, where that is given.
        """
        pooled = self._pool(counts)
        if old is not None:
            free = np.array([row.groups >= 0 for row in self.simplex.rows])
            pooled = np.where((pooled * free).sum(axis=1, keepdims=True) > 0, pooled, self._distinct(old))
        return self.simplex.share(pooled)[self.row_of].reshape(self.shape)

    def _distinct(self, value: Array) -> Array:
        first = np.unique(self.row_of, return_index=True)[1]
        return value.reshape(len(self.row_of), -1)[first]

    def _pool(self, value: Array) -> Array:
        pooled = np.zeros((len(self.simplex.rows), self.shape[-1]))
        np.add.at(pooled, self.row_of, value.reshape(len(self.row_of), -1))
        return pooled


def _distinct_rows(name: str, groups: NDArray[np.intp], values: Array) -> Simplex:
    """The simplex of rows that share nothing, their groups numbered anew."""
    renumbered = np.full(groups.shape, -1, dtype=np.intp)
    renumbered[groups >= 0] = np.unique(groups[groups >= 0], return_inverse=True)[1]
    return Simplex.of(name, Pattern(renumbered, np.where(groups < 0, values, np.nan)))


def _check_within(name: str, value: Array, top: float, words: str) -> None:
    bad = ~(np.isfinite(value) & (value >= 0) & (value <= top))
    if np.any(bad):
        raise ValueError(f"{name} must be {words}, found {float(np.asarray(value)[bad][0]):g}")
