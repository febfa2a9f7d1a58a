"""Where parameters may live, declared once as data: checks, unconstrained coordinates, counts and gradients follow.

    entry            value            free coordinates
    Real             x                x
    Positive         x > 0            log x
    Ordered          x1 < x2 < ...    x1, log(x2 - x1), ...        (last axis)
    Simplex          x >= 0, sum 1    log-ratios to the last free value (last axis)

A fixed entry never moves; tied entries (equal integers) share one value. Both leave the count of free coordinates.
``pull`` carries a gradient with respect to the value to one with respect to the coordinates (the chain rule).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, leaves, rebuild


@dataclasses.dataclass(frozen=True)
class Pattern:
    """Which entries of an array are fixed, and which share a value.

    ``groups`` has the array's shape: -1 at a fixed entry, else the index of the free value the entry takes.
    """

    groups: NDArray[np.intp]
    values: Array

    @cached_property
    def count(self) -> int:
        """Number of free values."""
        return int(self.groups.max(initial=-1)) + 1

    @cached_property
    def free(self) -> bool:
        """Whether nothing is fixed and nothing is tied."""
        return self.count == self.groups.size

    @cached_property
    def first(self) -> NDArray[np.intp]:
        """Flat index of the first entry of each group."""
        flat = self.groups.ravel()
        return np.array([np.flatnonzero(flat == g)[0] for g in range(self.count)], dtype=np.intp)

    @cached_property
    def sizes(self) -> Array:
        """How many entries share each free value."""
        return np.bincount(self.groups[self.groups >= 0], minlength=self.count).astype(float)

    def pick(self, value: Array) -> Array:
        """The free values of ``value``."""
        return value.ravel() if self.free else value.ravel()[self.first]

    def spread(self, free: Array) -> Array:
        """The full array from its free values."""
        if self.free:
            return free.reshape(self.groups.shape)
        out = np.array(self.values, dtype=free.dtype)
        moving = self.groups >= 0
        out[moving] = free[self.groups[moving]]
        return out

    def pool(self, gradient: Array) -> Array:
        """Sum over the entries that share each free value."""
        if self.free:
            return gradient.ravel()
        moving = self.groups >= 0
        return np.bincount(self.groups[moving], gradient[moving], minlength=self.count).astype(float)


@dataclasses.dataclass(frozen=True)
class Constraints:
    """The user's ``fixed`` (NaN = free) and ``tied`` (equal integers share a value), by parameter name."""

    fixed: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    tied: Mapping[str, NDArray[np.intp]] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.fixed or self.tied)

    def pattern(self, name: str, shape: tuple[int, ...]) -> Pattern:
        """The pattern of parameter ``name``, whose entries (or whole components) have ``shape``."""
        size = int(np.prod(shape))
        if name not in self.fixed and name not in self.tied:
            return Pattern(np.arange(size, dtype=np.intp).reshape(shape), np.full(shape, np.nan))
        values = _array_of(self.fixed.get(name), f"fixed[{name!r}]", shape, np.full(shape, np.nan))
        ties = _array_of(self.tied.get(name), f"tied[{name!r}]", shape, np.arange(size).reshape(shape))
        return _pattern(name, values.astype(float), ties)


def _array_of(given: Any, argument: str, shape: tuple[int, ...], default: NDArray[Any]) -> NDArray[Any]:
    if given is None:
        return default
    array = np.asarray(given)
    if array.shape != shape:
        raise ValueError(f"{argument} has shape {array.shape}, expected {shape}")
    return array


def _pattern(name: str, values: Array, ties: NDArray[Any]) -> Pattern:
    if ties.dtype.kind not in "iu":
        raise ValueError(f"tied[{name!r}] must hold integers (equal integers share a value), got dtype {ties.dtype}")
    held = ~np.isnan(values)
    groups = np.full(values.shape, -1, dtype=np.intp)
    values, next_group = values.copy(), 0
    for tie in dict.fromkeys(ties.ravel().tolist()):
        members = ties == tie
        known = np.unique(values[members & held])
        if known.size > 1:
            raise ValueError(
                f"fixed and tied disagree: entries of {name!r} tied by {tie} are fixed at different values "
                f"{known.tolist()}; give tied entries one value or untie them"
            )
        if known.size == 1:
            values[members] = known[0]
            continue
        groups[members] = next_group
        next_group += 1
    return Pattern(groups, values)


class Entry(Protocol):
    """Where one parameter array may live."""

    @property
    def count(self) -> int: ...
    def check(self, name: str, value: Array) -> None: ...
    def pack(self, value: Array, base: Array) -> Array: ...
    def unpack(self, vector: Array, base: Array) -> Array: ...
    def pull(self, value: Array, gradient: Array) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Real:
    """Any finite number."""

    pattern: Pattern

    @property
    def count(self) -> int:
        """Free coordinates."""
        return self.pattern.count

    def check(self, name: str, value: Array) -> None:
        """Raise ValueError unless every entry is finite."""
        _check_finite(name, value)

    def pack(self, value: Array, base: Array) -> Array:
        """Coordinates of ``value``."""
        return self.pattern.pick(value)

    def unpack(self, vector: Array, base: Array) -> Array:
        """The value at ``vector``."""
        return self.pattern.spread(vector)

    def pull(self, value: Array, gradient: Array) -> Array:
        """Gradient in coordinates from the gradient in the value."""
        return self.pattern.pool(gradient)


@dataclasses.dataclass(frozen=True)
class Positive:
    """A number above zero; its coordinate is the logarithm."""

    pattern: Pattern

    @property
    def count(self) -> int:
        """Free coordinates."""
        return self.pattern.count

    def check(self, name: str, value: Array) -> None:
        """Raise ValueError unless every entry is finite and above zero."""
        _check_finite(name, value)
        if np.any(value <= 0):
            raise ValueError(f"{name} must be above zero, found {float(np.min(value)):g}")

    def pack(self, value: Array, base: Array) -> Array:
        """Coordinates of ``value``."""
        return np.log(self.pattern.pick(value))

    def unpack(self, vector: Array, base: Array) -> Array:
        """The value at ``vector``."""
        return self.pattern.spread(np.exp(vector))

    def pull(self, value: Array, gradient: Array) -> Array:
        """Gradient in coordinates from the gradient in the value."""
        return self.pattern.pool(gradient * value)


@dataclasses.dataclass(frozen=True)
class Ordered:
    """Numbers that increase along the last axis; coordinates are the first and the logs of the steps."""

    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Free coordinates."""
        return int(np.prod(self.shape))

    def check(self, name: str, value: Array) -> None:
        """Raise ValueError unless finite and strictly increasing along the last axis."""
        _check_finite(name, value)
        if np.any(np.diff(value, axis=-1) <= 0):
            raise ValueError(f"{name} must increase strictly along its last axis; sort it")

    def pack(self, value: Array, base: Array) -> Array:
        """Coordinates of ``value``."""
        return np.concatenate([value[..., :1], np.log(np.diff(value, axis=-1))], axis=-1).ravel()

    def unpack(self, vector: Array, base: Array) -> Array:
        """The value at ``vector``."""
        v = vector.reshape(self.shape)
        return np.cumsum(np.concatenate([v[..., :1], np.exp(v[..., 1:])], axis=-1), axis=-1)

    def pull(self, value: Array, gradient: Array) -> Array:
        """Gradient in coordinates: step j moves every later entry."""
        later = np.cumsum(gradient[..., ::-1], axis=-1)[..., ::-1]
        return np.concatenate([later[..., :1], later[..., 1:] * np.diff(value, axis=-1)], axis=-1).ravel()


@dataclasses.dataclass(frozen=True)
class Simplex:
    """Rows of probabilities (last axis); the free values of a row share what its fixed entries leave.

    Coordinates of a row with free values v_1..v_m: log(v_j / v_m), j < m.
    """

    rows: tuple[Pattern, ...]
    shape: tuple[int, ...]

    @staticmethod
    def of(name: str, pattern: Pattern) -> Simplex:
        """The support of rows of probabilities whose entries follow ``pattern`` (ties within a row)."""
        groups = pattern.groups.reshape(-1, pattern.groups.shape[-1])
        values = pattern.values.reshape(groups.shape)
        rows = tuple(_row_pattern(name, g, v) for g, v in zip(groups, values, strict=True))
        if sum(r.count for r in rows) != pattern.count:
            raise ValueError(f"tied[{name!r}] ties probabilities of different rows; tie within a row only")
        return Simplex(rows, pattern.groups.shape)

    @cached_property
    def count(self) -> int:
        """Free coordinates."""
        return sum(max(row.count - 1, 0) for row in self.rows)

    @cached_property
    def many(self) -> bool:
        """Whether there are several rows with nothing fixed or tied, which are then treated together."""
        return len(self.rows) > 1 and all(row.free for row in self.rows)

    def check(self, name: str, value: Array) -> None:
        """Raise ValueError unless entries are >= 0 and rows sum to one (to 1e-8)."""
        _check_finite(name, value)
        if np.any(value < 0):
            raise ValueError(f"{name} holds a negative probability {float(np.min(value)):g}")
        total = value.sum(axis=-1)
        if not np.allclose(total, 1.0, atol=1e-8, rtol=0):
            raise ValueError(f"{name} must sum to one along its last axis, found {np.ravel(total)[:3]}; normalise it")

    def pack(self, value: Array, base: Array) -> Array:
        """Coordinates of ``value``; a free value of zero has no finite coordinate and gives -inf."""
        if self.many:
            with np.errstate(divide="ignore", invalid="ignore"):
                whole = np.log(value.reshape(len(self.rows), -1))
                return np.asarray((whole[:, :-1] - whole[:, -1:]).ravel())
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = [np.log(row.pick(v)) for row, v in self._each(value)]
            return np.concatenate([v[:-1] - v[-1:] for v in logs])

    def unpack(self, vector: Array, base: Array) -> Array:
        """The value at ``vector``."""
        if self.many:
            whole = np.hstack([vector.reshape(len(self.rows), -1), np.zeros((len(self.rows), 1))])
            ratio = np.exp(whole - whole.max(axis=1, keepdims=True))
            return np.asarray(ratio / ratio.sum(axis=1, keepdims=True)).reshape(self.shape)
        out, at = np.empty((len(self.rows), self.shape[-1])), 0
        for i, row in enumerate(self.rows):
            m = max(row.count - 1, 0)
            logs = np.append(vector[at : at + m], 0.0)[: row.count]
            free = np.exp(logs - logs.max(initial=-np.inf))
            left = 1.0 - row.values[row.groups < 0].sum()
            out[i] = row.spread(free * left / max((free * row.sizes).sum(), np.finfo(float).tiny))
            at += m
        return out.reshape(self.shape)

    def pull(self, value: Array, gradient: Array) -> Array:
        """d f / d coordinate_j = v_j (g_j - sizes_j * mean g), with the mean over the free mass."""
        if self.many:
            whole, slope = value.reshape(len(self.rows), -1), gradient.reshape(len(self.rows), -1)
            total = np.maximum(whole.sum(axis=1, keepdims=True), np.finfo(float).tiny)
            return np.asarray((whole * (slope - (whole * slope).sum(axis=1, keepdims=True) / total))[:, :-1].ravel())
        parts = []
        for (row, v), g in zip(self._each(value), gradient.reshape(len(self.rows), -1), strict=True):
            free, pooled = row.pick(v), row.pool(g)
            left = float((free * row.sizes).sum())
            mean = float((free * pooled).sum()) / left if left > 0 else 0.0
            parts.append((free * (pooled - row.sizes * mean))[:-1])
        return np.concatenate(parts)

    def share(self, counts: Array) -> Array:
        """The probabilities that maximise sum counts * log p: each free value in proportion to its pooled counts."""
        if self.many:
            whole = np.maximum(counts, 0.0).reshape(len(self.rows), -1)
            total = whole.sum(axis=1, keepdims=True)
            return np.where(total > 0, whole / np.where(total > 0, total, 1.0), 1.0 / whole.shape[1]).reshape(self.shape)
        out = np.empty((len(self.rows), self.shape[-1]))
        for i, (row, c) in enumerate(self._each(np.maximum(counts, 0.0))):
            if row.free and (total := c.sum()) > 0:
                out[i] = c / total
                continue
            if row.count == 0:
                out[i] = row.values
                continue
            pooled, left = row.pool(c), 1.0 - row.values[row.groups < 0].sum()
            total = pooled.sum()
            free = pooled / row.sizes * (left / total) if total > 0 else np.full(row.count, left / row.sizes.sum())
            out[i] = row.spread(free)
        return out.reshape(self.shape)

    def _each(self, value: Array) -> Any:
        return zip(self.rows, value.reshape(len(self.rows), -1), strict=True)


def _row_pattern(name: str, groups: NDArray[np.intp], values: Array) -> Pattern:
    held = values[groups < 0]
    left = 1.0 - held.sum()
    if np.any(held < 0) or left < -1e-8:
        raise ValueError(f"fixed[{name!r}]: fixed probabilities must be >= 0 and sum to at most one, found {held.tolist()}")
    free = groups >= 0
    if not free.any() and abs(left) > 1e-8:
        raise ValueError(f"fixed[{name!r}]: every entry is fixed but they sum to {held.sum():g}, not one")
    renumbered = np.full(groups.shape, -1, dtype=np.intp)
    renumbered[free] = np.unique(groups[free], return_inverse=True)[1]
    return Pattern(renumbered, values)


@dataclasses.dataclass(frozen=True)
class Support:
    """The supports of all parameters of a model, by dotted name, in a fixed order."""

    entries: Mapping[str, Entry]

    @staticmethod
    def join(**parts: Support) -> Support:
        """One support from those of named parts: ``join(family=s)`` prefixes its names with ``family.``."""
        return Support({f"{part}.{n}": e for part, s in parts.items() for n, e in s.entries.items()})

    @property
    def count(self) -> int:
        """Number of free parameters (degrees of freedom)."""
        return sum(entry.count for entry in self.entries.values())

    def check(self, params: Any) -> None:
        """Raise ValueError naming the first parameter outside its support."""
        values = dict(leaves(params))
        for name, entry in self.entries.items():
            entry.check(name.rsplit(".", 1)[-1], np.asarray(values[name]))

    def pack(self, params: Any, base: Any = None) -> Array:
        """Free coordinates (count,) of ``params`` in the chart of ``base`` (default: its own)."""
        values, bases = dict(leaves(params)), dict(leaves(params if base is None else base))
        parts = [entry.pack(np.asarray(values[n]), np.asarray(bases[n])) for n, entry in self.entries.items()]
        return np.concatenate(parts) if parts else np.empty(0)

    def unpack(self, vector: Array, base: Any) -> Any:
        """Parameters at the coordinates ``vector`` in the chart of ``base``."""
        bases, new, at = dict(leaves(base)), dict(leaves(base)), 0
        for name, entry in self.entries.items():
            new[name] = entry.unpack(vector[at : at + entry.count], np.asarray(bases[name]))
            at += entry.count
        return rebuild(base, new)

    def pull(self, params: Any, gradient: Mapping[str, Array]) -> Array:
        """Gradient in free coordinates at ``params`` from gradients with respect to the parameters themselves."""
        values = dict(leaves(params))
        parts = [entry.pull(np.asarray(values[n]), gradient[n]) for n, entry in self.entries.items()]
        return np.concatenate(parts) if parts else np.empty(0)


def _check_finite(name: str, value: Array) -> None:
    if not np.all(np.isfinite(value)):
        raise ValueError(f"{name} holds a value that is not finite; replace NaN and infinity by numbers")
