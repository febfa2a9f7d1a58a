"""A fit in free coordinates: its steps, its scores, and the information of complete data. What standard errors start from.

phi are the coordinates of ``model.support(params)`` in its chart about ``params``; S(phi) the expected statistics, imagined
data (a prior) included; q(phi, S) the complete-data log-likelihood.

    observed score   s(phi) = dq(phi, S)/dphi at S = S(phi)                                  (Fisher's identity; a pass)
    I_complete       -d/dphi' dq(phi, S)/dphi at S = S(phi_hat) held                         (no pass)
    step             h_j = u sqrt(n / I_complete,jj)      u = eps^(1/3), eps^(1/4) where scores are differences of q themselves

A step is thus a fixed share of the spread that one row leaves in coordinate j, whatever its unit: a mean near 1e8, a variance
of 1e-8. The curvature needs a step and the step the curvature, so the two are found in turns. Differences are divided by the
distance that floating point really moved.

A model's ``score`` is in the chart about the point where it is taken. Where charts differ (rotations, points on a sphere) it is
carried over by the Jacobian of one chart in the other.

Source: Oakes (1999), J. R. Statist. Soc. B 61:479; Nocedal & Wright (2006), Numerical Optimization, section 8.1 (steps).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import SOFT
from estep.core.protocols import Expected
from estep.core.ranges import NonNegative, Probability
from estep.core.record import Array, leaves
from estep.core.support import Support
from estep.engine.scores import carried, with_imagined
from estep.engine.visit import total

EPS = float(np.finfo(float).eps)
FINE, ROUGH = EPS ** (1 / 3), EPS**0.25
FAR = 690.0
"""Coordinates beyond this stand for the end of a range (a rate of 0, a probability of 1)."""


@dataclasses.dataclass(frozen=True)
class Point:
    """A model at ``params``, with what differences about it need.

    Attributes
    ----------
    at : array (p,)
        Coordinates that move; ``whole`` are all of them, ``kept`` where in these the p stand.
    stats : statistics at ``params``, imagined data included; ``n`` the weight of the rows, ``loglik`` their log-likelihood
    exact : whether scores are the model's own; else differences of q
    charts : entries whose chart depends on the point, as (first coordinate, name)
    step, score, complete : arrays (p,), (p,), (p, p)
    """

    model: Any
    data: Any
    params: Any
    support: Support
    whole: Array
    kept: NDArray[np.intp]
    stats: Any
    n: float
    loglik: float
    exact: bool
    charts: tuple[tuple[int, str], ...]
    step: Array
    score: Array
    complete: Array

    @property
    def at(self) -> Array:
        """Coordinates that move, (p,)."""
        return self.whole[self.kept]

    @property
    def p(self) -> int:
        """Number of coordinates that move."""
        return int(self.kept.size)

    @property
    def names(self) -> tuple[str, ...]:
        """Coordinates by entry and place: ``family.means[3]``."""
        every = [f"{name}[{i}]" for name, entry in self.support.entries.items() for i in range(entry.count)]
        return tuple(every[i] for i in self.kept)

    def params_at(self, vector: Array) -> Any:
        """Parameters at the coordinates ``vector`` (p,)."""
        whole = self.whole.copy()
        whole[self.kept] = vector
        return self.support.unpack(whole, self.params)

    def apart(self, j: int, share: float = 1.0) -> tuple[Array, Array, float]:
        """Points a step up and down coordinate ``j``, and their distance."""
        up, down = self.at.copy(), self.at.copy()
        step = max(share * self.step[j], 8.0 * float(np.spacing(abs(self.at[j]))))
        up[j] += step
        down[j] -= step
        return up, down, float(up[j] - down[j])

    def expected(self, vector: Array) -> Expected:
        """A pass at ``vector``."""
        return total(self.model, self.data, self.params_at(vector), SOFT)

    def gradient(self, vector: Array, stats: Any) -> Array:
        """Gradient of q(., ``stats``) at ``vector`` in the chart of this point, (p,); ``stats`` with imagined data."""
        if not self.exact:
            return self._differences(vector, stats)
        params = self.params_at(vector)
        found = np.array(self.model.score(params, stats), dtype=float)
        if self.charts and vector is not self.at:
            here, there = dict(leaves(self.params)), dict(leaves(params))
            for at, name in self.charts:
                entry = self.support.entries[name]
                part = slice(at, at + entry.count)
                found[part] = carried(entry, np.asarray(here[name]), np.asarray(there[name]), found[part])
        return np.asarray(found[self.kept])

    def observed_score(self, vector: Array) -> Array:
        """Gradient of the observed log-likelihood (and log prior) at ``vector``; a pass."""
        return self.gradient(vector, with_imagined(self.model, self.expected(vector).stats))

    def _differences(self, vector: Array, stats: Any) -> Array:
        out = np.empty(self.p)
        for j in range(self.p):
            up, down = vector.copy(), vector.copy()
            step = max(self.step[j], 8.0 * float(np.spacing(abs(vector[j]))))
            up[j] += step
            down[j] -= step
            rise = self.model.q(self.params_at(up), stats) - self.model.q(self.params_at(down), stats)
            out[j] = rise / (up[j] - down[j])
        return out


def look(model: Any, data: Any, params: Any) -> Point:
    """The point ``params`` of ``model`` on ``data``; a pass."""
    seen = total(model, data, params, SOFT)
    support = model.support(params)
    whole = support.pack(params)
    kept = np.flatnonzero(np.isfinite(whole) & (~_ended(support) | (np.abs(whole) < FAR)))
    exact = scores_exactly(model)
    unit, p = FINE if exact else ROUGH, kept.size
    stats = with_imagined(model, seen.stats)
    charts = _charts(support, params, whole) if exact else ()
    first = unit * np.maximum(1.0, np.abs(whole[kept]))
    blank = Point(
        model, data, params, support, whole, kept, stats, float(seen.n), float(seen.loglik), exact, charts,
        first, np.zeros(p), np.zeros((p, p)),
    )  # fmt: skip
    stepped = dataclasses.replace(blank, step=np.array([_step(blank, j, unit) for j in range(p)]))
    complete = np.empty((p, p))
    for j in range(p):
        up, down, width = stepped.apart(j)
        complete[:, j] = (stepped.gradient(down, stats) - stepped.gradient(up, stats)) / width
    score = stepped.gradient(stepped.at, stats)
    return dataclasses.replace(stepped, score=score, complete=(complete + complete.T) / 2)


def _ended(support: Support) -> NDArray[np.bool_]:
    """Coordinates that stand for an end of a range where they are far out."""
    parts = [np.full(e.count, isinstance(e, NonNegative | Probability)) for e in support.entries.values()]
    return np.concatenate([np.zeros(0, dtype=bool), *parts])


def scores_exactly(model: Any) -> bool:
    """Whether a model has scores of its own, all its families included."""
    return hasattr(model, "score") and all(hasattr(family, "score") for family in families_of(model))


def families_of(model: Any) -> list[Any]:
    """The families that a model is made of: its own, and those that it wraps or joins."""
    found, waiting = [], [getattr(model, "family", None)]
    while waiting:
        family = waiting.pop()
        if family is not None:
            found.append(family)
            inner = getattr(family, "family_of", None)
            waiting += [*inner.values()] if inner else [getattr(family, "family", None)]
    return found


def _step(point: Point, j: int, unit: float) -> float:
    """The step of coordinate ``j``: ``unit`` times the spread that one row leaves in it."""
    step, found = float(point.step[j]), False
    for _ in range(10):
        bend = _curvature(point, j, step)
        if not (np.isfinite(bend) and bend > 0):
            step *= 0.1
            continue
        wanted, found = unit * float(np.sqrt(point.n / bend)), True
        settled = 2 / 3 < wanted / step < 1.5
        step = wanted
        if settled:
            break
    if not found:
        return float(point.step[j])
    for _ in range(4):  # a flat coordinate asks for a long step, over which curvature must not change
        if step <= 1e-3 * max(1.0, abs(float(point.at[j]))):
            break
        if abs(_curvature(point, j, step) / _curvature(point, j, step / 8) - 1.0) < 1e-4:
            break
        step /= 8
    return step


def _curvature(point: Point, j: int, step: float) -> float:
    moved = dataclasses.replace(point, step=np.where(np.arange(point.p) == j, step, point.step))
    up, down, width = moved.apart(j)
    with np.errstate(all="ignore"):
        if point.exact:
            return float(moved.gradient(down, point.stats)[j] - moved.gradient(up, point.stats)[j]) / width
        high, middle, low = (float(point.model.q(point.params_at(v), point.stats)) for v in (up, point.at, down))
        return (2.0 * middle - high - low) / (0.5 * width) ** 2


def _charts(support: Support, params: Any, whole: Array) -> tuple[tuple[int, str], ...]:
    """The entries whose coordinates depend on the chart's base, by trial."""
    values, found, at = dict(leaves(params)), [], 0
    for name, entry in support.entries.items():
        part = whole[at : at + entry.count]
        if entry.count and np.isfinite(part).all():
            base = np.asarray(values[name])
            moved = entry.unpack(part + 1e-3 * (1.0 + np.arange(part.size) / part.size), base)
            if not np.allclose(entry.pack(moved, base), entry.pack(moved, moved), rtol=1e-9, atol=1e-9):
                found.append((at, name))
        at += entry.count
    return tuple(found)

