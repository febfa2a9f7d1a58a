"""How long a state lasts: any family of counts as a law of durations, with segments that were cut short.

    D = 1 + X,   X ~ f(. | theta_j) on 0, 1, 2, ...            with a longest duration M: given that D <= M

A segment that ended after d rows has probability p_j(d) = f(d - 1), one that was still running after d rows S_j(d) = P(D >= d).

    q(theta) = sum_jd ended_j(d) log p_j(d) + running_j(d) log S_j(d)

M-step   where nothing was cut short: the family's own. A family that has one by hazards (geometric, categorical): ended / at
         risk, at_risk_j(d) = sum_{e >= d} ended_j(e) + sum_{e > d} running_j(e). Any other: fill in how long the segments would
         have lasted (and those longer than M that were never seen), fit the family to that, again until nothing is gained: a
         lower bound that touches q, so no step is lower; where that is slow, q is climbed.
score    that of the family at the filled-in lengths (Fisher's identity)

symbol    variable          shape
log p     shares            (k, D)
log S     tails             (k, D)
          ended, running    (k, D)   expected numbers of segments by length

Sources: Kaplan & Meier (1958), J. Am. Stat. Assoc. 53:457 (hazards); Dempster, Laird & Rubin (1977), section 4.2 (filling in).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.core.numeric import numeric_score
from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.core.support import Support

FARTHEST = 1 << 18
"""Longest duration to which a tail is summed."""
NEGLIGIBLE = -40.0
"""Log of the share of a tail below which the rest of it is left out: e^-40 is below rounding."""
STEPS = 10
"""Steps of the lower bound before q is climbed."""
TYPICAL = 10.0
"""Mean duration at which a law begins."""


@dataclasses.dataclass(frozen=True, eq=False)
class DurationCounts:
    """Expected segments by state and length (k, D): those that ``ended``, and those still ``running`` when rows stopped.

    Sums are as long as the longer term.

    >>> one, two = DurationCounts(np.ones((1, 1)), np.zeros((1, 1))), DurationCounts(np.ones((1, 2)), np.ones((1, 2)))
    >>> (one + two * 2.0).ended.tolist(), (one + two).running.tolist()
    ([[3.0, 2.0]], [[1.0, 1.0]])
    """

    ended: Array
    running: Array

    def __add__(self, other: DurationCounts) -> DurationCounts:
        size = max(self.ended.shape[1], other.ended.shape[1])
        mine, theirs = self.padded(size), other.padded(size)
        return DurationCounts(mine.ended + theirs.ended, mine.running + theirs.running)

    def __mul__(self, c: float) -> DurationCounts:
        if not float(c) >= 0:
            raise ValueError(f"statistics are scaled by a number >= 0, got {c!r}")
        return DurationCounts(self.ended * c, self.running * c)

    __rmul__ = __mul__

    def padded(self, size: int) -> DurationCounts:
        """The same with lengths up to ``size``, if that is longer."""
        more = max(size - self.ended.shape[1], 0)
        return DurationCounts(*(np.pad(part, ((0, 0), (0, more))) for part in (self.ended, self.running)))


@dataclasses.dataclass(frozen=True)
class DurationLaw:
    """``family`` as a law of durations 1, 2, ..., ``longest`` (None: without end)."""

    family: Any
    longest: int | None = None

    @property
    def reach(self) -> int | None:
        """The longest duration that the family itself allows, None where there is none."""
        found: int | None = remembered(self.family, "reach", lambda: _reach(self.family))
        return found

    @property
    def capped(self) -> bool:
        """Whether ``longest`` cuts the family short."""
        return self.longest is not None and (self.reach is None or self.reach > self.longest)

    @property
    def last(self) -> int | None:
        """The longest duration there is, None where there is none."""
        return self.longest if self.capped else self.reach

    def bound(self, size: int) -> DurationLaw:
        """The family bound to imagined durations of mean about TYPICAL, up to ``size`` rows."""
        if not hasattr(self.family, "bind"):
            return self
        bound: DurationLaw = dataclasses.replace(self, family=self.family.bind(_imagined(self.last or max(size, 2))))
        return bound

    def shares(self, params: Any, begin: int, end: int) -> Array:
        """Log probabilities of the family at durations begin + 1 .. end, (k, end - begin)."""
        last = end if self.reach is None else min(end, self.reach)
        logs: Array = np.asarray(self.family.log_density(params, _lengths(self.family, begin, max(last, begin + 1)))).T
        if last == end:
            return logs
        out = np.full((len(logs), end - begin), -np.inf)
        out[:, : last - begin] = logs[:, : last - begin]
        return out

    def tables(self, params: Any, size: int) -> tuple[Array, Array]:
        """Log probabilities of lasting exactly d rows, and at least d, for d = 1 .. ``size``, (k, size) each."""
        shares, tails, _ = self._tables(params, size)
        return shares[:, :size], tails[:, :size]

    def _tables(self, params: Any, size: int) -> tuple[Array, Array, Array]:
        """The same, as far as the longest duration at least, and the log of the family's mass up to there (capped laws)."""
        if self.capped:
            assert self.longest is not None
            shares = self.shares(params, 0, self.longest)
            tails = _from_the_end(shares)
            whole = tails[:, :1]
            more = ((0, 0), (0, max(size - self.longest, 0)))
            return np.pad(shares - whole, more, **NOTHING), np.pad(tails - whole, more, **NOTHING), whole
        shares = self.shares(params, 0, size)
        beyond = self._beyond(params, shares)
        return shares, _from_the_end(np.hstack([shares, beyond]))[:, :-1], np.zeros((len(shares), 1))

    def _beyond(self, params: Any, shares: Array) -> Array:
        """Log probability of lasting longer than the table, (k, 1): by subtraction where that loses nothing, else summed."""
        left = 1.0 - np.exp(shares).sum(axis=1, keepdims=True)
        if self.reach is not None and self.reach <= shares.shape[1]:
            return np.full(left.shape, -np.inf)
        if (left > 1e-3).all():
            return np.asarray(np.log(left))
        summed = np.full(left.shape, -np.inf)
        for _, block in self._tail_blocks(params, shares.shape[1]):
            summed = np.logaddexp(summed, np.logaddexp.reduce(block, axis=1, keepdims=True))
        return np.asarray(np.where(left > 1e-3, np.log(np.maximum(left, 1e-3)), summed))

    def _tail_blocks(self, params: Any, begin: int) -> Any:
        """First duration and log probabilities of stretches beyond ``begin``, until what is left is negligible."""
        step, seen = max(begin, 256), -np.inf
        while begin < min(FARTHEST, self.reach or FARTHEST):
            block = self.shares(params, begin, begin + step)
            yield begin, block
            last = np.logaddexp.reduce(block, axis=1)
            seen = np.logaddexp(seen, last)
            if (np.where(np.isneginf(last), -np.inf, last - np.where(np.isneginf(seen), 0.0, seen)) < NEGLIGIBLE).all():
                return
            begin, step = begin + step, 4 * step

    def q(self, params: Any, counts: DurationCounts) -> float:
        """``sum ended log p + sum running log S`` in nats (0 log 0 = 0)."""
        shares, tails = self.tables(params, counts.ended.shape[1])
        ended, running = counts.ended > 0, counts.running > 0
        return float(counts.ended[ended] @ shares[ended] + counts.running[running] @ tails[running])

    def filled(self, params: Any, counts: DurationCounts) -> tuple[int, Array]:
        """How often every duration 1 .. L is expected among all segments, seen to their end or not: L and (L, k)."""
        counts = counts.padded((self.longest or 0) if self.capped else 0)
        size = counts.ended.shape[1]
        shares, tails, whole = self._tables(params, size)
        with np.errstate(divide="ignore", invalid="ignore"):
            waiting = np.where(counts.running > 0, np.log(counts.running) - tails, -np.inf)
            waiting = np.logaddexp.accumulate(waiting, axis=1)
            unseen = np.log((counts.ended + counts.running).sum(axis=1, keepdims=True)) - whole
        parts = [counts.ended + np.exp(waiting + shares)]
        if self.capped or (counts.running.any() and (self.reach is None or self.reach > size)):
            factor = unseen if self.capped else waiting[:, -1:]
            parts += [np.exp(block + factor) for _, block in self._tail_blocks(params, size)]
        weights = np.hstack(parts)
        end = weights.shape[1] if self.reach is None else min(weights.shape[1], self.reach)
        return end, weights[:, :end].T

    def stats(self, params: Any, counts: DurationCounts) -> Any:
        """The family's statistics of all segments, with the lengths of those that were cut short filled in."""
        end, weights = self.filled(params, counts)
        return self.family.stats(params, _lengths(self.family, 0, end), np.ascontiguousarray(weights))

    def fit(self, counts: DurationCounts, params: Any, support: Support) -> Any:
        """The parameters that maximise ``q`` over the free entries, from ``params``; never lower."""
        if not self.capped and not counts.running.any():
            return self.family.fit(self.stats(params, counts), params, support)
        hazards = None if self.capped else getattr(self.family, "from_hazards", None)
        found = hazards(counts.ended, at_risk(counts), params, support) if hazards else None
        if found is not None:
            return found
        height = self.q(params, counts)
        for _ in range(STEPS):
            params = self.family.fit(self.stats(params, counts), params, support)
            before, height = height, self.q(params, counts)
            if height - before <= 1e-14 * (1.0 + abs(height)):
                return params
        return _climbed(self, counts, params, support)

    def score(self, params: Any, counts: DurationCounts, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        stats, own = self.stats(params, counts), getattr(self.family, "score", None)
        found: Array = own(params, stats, support) if own else numeric_score(self.family, params, stats, support)
        return found

    def draw(self, params: Any, state: int, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """``count`` durations of one state."""
        if not self.capped:
            rows = self.family.sample(params, np.full(count, state, dtype=np.intp), rng)
            return np.asarray(rows, dtype=float).reshape(count).astype(np.intp) + 1
        assert self.longest is not None
        below = np.cumsum(np.exp(self.tables(params, self.longest)[0][state]))
        at = np.searchsorted(below, rng.random(count) * below[-1], side="right")
        return np.asarray(np.minimum(at, self.longest - 1) + 1, dtype=np.intp)

    def means(self, params: Any) -> Array:
        """Mean durations, (k,)."""
        size = self.last or 256
        total = np.exp(self.tables(params, size)[0]) @ (1.0 + np.arange(size))
        if self.last is None:
            for begin, block in self._tail_blocks(params, size):
                total = total + np.exp(block) @ (1.0 + begin + np.arange(block.shape[1]))
        return np.asarray(total)


NOTHING: dict[str, Any] = {"mode": "constant", "constant_values": -np.inf}


def check_duration(family: Any) -> None:
    """Raise TypeError unless ``family`` is a law of counts in one column."""
    if isinstance(family, type | str) or not getattr(family, "discrete", False) or not hasattr(family, "log_density"):
        found = family.__name__ if isinstance(family, type) else repr(family)
        raise TypeError(f"duration must be a family of counts 0, 1, 2, ..., such as Poisson() or Geometric(), got {found}")


def _lengths(family: Any, begin: int, end: int) -> Any:
    """The durations begin + 1 .. end as the family reads them: one less, in a column."""
    x = np.arange(begin, end, dtype=float)[:, None]
    return family.encode(x) if hasattr(family, "encode") else x


def _reach(family: Any) -> int | None:
    """One more than the largest count that the family reads, None where that is beyond FARTHEST."""

    def reads(count: int) -> bool:
        try:
            _lengths(family, count, count + 1)
        except ValueError:
            return False
        return True

    high = 1
    while reads(high):
        high *= 2
        if high >= FARTHEST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if reads(middle) else (low, middle)
    return high


class _Imagined:
    """Data that laws of durations are bound to."""

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.n_rows = len(chunk)

    def chunks(self) -> Any:
        """The only chunk."""
        return iter([self.chunk])

    def sum(self, fn: Callable[[Chunk], Any]) -> Any:
        """``fn`` of it."""
        return fn(self.chunk)


def _imagined(size: int) -> _Imagined:
    """Durations 1 .. ``size`` with geometric weights of mean TYPICAL (at most half of the longest), none of them zero."""
    stay = 1.0 - 1.0 / max(min(TYPICAL, size / 2), 1.1)
    weight = stay ** np.arange(size)
    weight = weight / weight.sum() + 1e-3 / size
    return _Imagined(Chunk(("durations", 0, size), np.arange(size, dtype=float)[:, None], weight=weight))


def _from_the_end(logs: Array) -> Array:
    """Log of the sums from each column to the last."""
    return np.asarray(np.logaddexp.accumulate(logs[:, ::-1], axis=1)[:, ::-1])


def at_risk(counts: DurationCounts) -> Array:
    """Segments that are known to have ended after d rows or to have gone on, (k, D)."""
    later = np.cumsum((counts.ended + counts.running)[:, ::-1], axis=1)[:, ::-1]
    beyond = np.hstack([later[:, 1:], np.zeros((len(later), 1))])
    return np.asarray(counts.ended + beyond)  # nothing is subtracted: never below what ended


def _climbed(law: DurationLaw, counts: DurationCounts, params: Any, support: Support) -> Any:
    """``params`` moved up q by quasi-Newton steps in free coordinates, never lower."""
    from scipy.optimize import minimize

    begin, floor = support.pack(params), law.q(params, counts)
    scale = max(float(counts.ended.sum() + counts.running.sum()), 1.0)
    if not begin.size or not np.isfinite(begin).all():
        return params

    def loss(vector: Array) -> tuple[float, Array]:
        at = support.unpack(vector, params)
        with np.errstate(all="ignore"):
            value, slope = law.q(at, counts), law.score(at, counts, support)
        if not np.isfinite(value) or not np.isfinite(slope).all():
            return np.inf, np.zeros_like(vector)
        return -value / scale, -slope / scale

    found = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"ftol": 1e-16, "gtol": 1e-11, "maxiter": 100})
    return support.unpack(found.x, params) if -found.fun * scale > floor else params
