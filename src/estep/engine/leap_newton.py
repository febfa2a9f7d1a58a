"""A Newton finish: where the end is near and few parameters are free, the information is found once, and steps are Newton's.

    s(phi)   observed score, from the statistics of the pass (Fisher's identity, ``scores.py``)
    I        observed information, -(s(phi + h_j e_j) - s(phi)) / h_j, a pass for each of p coordinates, made symmetric
    leap     phi + I^-1 s(phi)                                          I kept and corrected by BFGS from step to step

It is tried where at most NEAR nats a row are left and plain EM would still need more than p + SPARE passes for them, as its
gains and their settled rate tell; until then, and where I is not positive definite (no maximum is near), leaps are Anderson's.
A failed step of Newton's is tried again after twice as many points as the one before. Steps h_j are a small share of the
spread that one row leaves in coordinate j.

symbol   variable             shape
I        memory.information   (p, p)
s        memory.score         (p,)

Sources: Louis (1982), J. R. Statist. Soc. B 44:226; Lange (1995), J. R. Statist. Soc. B 57:425 (Newton's steps within EM);
Nocedal & Wright (2006), Numerical Optimization, section 6.1 (BFGS).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from estep.core.assign import SOFT
from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.support import Support
from estep.engine.leap_secants import anderson, damped
from estep.engine.scores import score_at, with_imagined
from estep.engine.state import LeapMemory
from estep.engine.visit import total

SPARE, NEAR = 6, 1e-4
FIRST_WAIT = 2
SHARE = 1e-4
"""Step of the differences, in spreads that one row leaves."""
LARGEST = 200
"""Most coordinates for which the information is kept."""


def newton(memory: LeapMemory) -> Array | None:
    """Newton's step where the information is known, else Anderson's leap."""
    if not memory.information.size:
        return anderson(memory)
    return np.asarray(memory.points[-1] + np.linalg.solve(memory.information, memory.score))


def kept(memory: LeapMemory, accepted: bool) -> LeapMemory:
    """After a leap: a refused step of Newton's forgets the information, for longer each time."""
    if not memory.information.size:
        return damped(memory, accepted)
    if accepted:
        return memory
    return _later(without(memory))


def _later(memory: LeapMemory) -> LeapMemory:
    """The memory after a failure: twice as many points are let pass as after the one before."""
    fails = np.int64(int(memory.fails) + 1)
    return dataclasses.replace(memory, wait=np.int64(FIRST_WAIT * 2 ** int(fails)), fails=fails)


def without(memory: LeapMemory) -> LeapMemory:
    """The memory without information."""
    return dataclasses.replace(memory, information=np.empty((0, 0)), score=np.empty(0))


def finish(memory: LeapMemory, here: Any, support: Support) -> LeapMemory:
    """The memory with score and information at the last point, where these are known or worth their passes."""
    if not len(memory.points):
        return without(memory)
    if memory.information.size:
        return _corrected(memory, _score(here, support, memory))
    if int(memory.wait) > 0:
        return dataclasses.replace(memory, wait=np.int64(int(memory.wait) - 1))
    p = memory.points.shape[1]
    pays = 0 < p <= LARGEST and here.passes_left > p + SPARE and here.left <= NEAR * float(here.seen.n)
    if not pays or memory.plain < 1 or not settled(here.stop.rates):
        return memory
    found = information(here, support)
    if found is None:
        return _later(memory)
    score = score_at(here.model, support, here.params, here.params, with_imagined(here.model, here.seen.stats))
    point, ahead = support.pack(here.params), support.pack(here.image, here.params)
    return dataclasses.replace(memory, points=point[None], images=ahead[None], base=here.params, information=found, score=score)


def settled(rates: Array) -> bool:
    """Whether the last rates agree, so that EM is linear here."""
    return bool(rates.size >= 3 and rates.max() < 1.0 and rates.max() - rates.min() <= 0.1)


def _score(here: Any, support: Support, memory: LeapMemory) -> Array:
    return score_at(here.model, support, here.params, memory.base, with_imagined(here.model, here.seen.stats))


def _corrected(memory: LeapMemory, score: Array) -> LeapMemory:
    """BFGS: the information that agrees with the last two scores."""
    if len(memory.points) < 2:
        return dataclasses.replace(memory, score=score)
    step, fall = memory.points[-1] - memory.points[-2], memory.score - score
    along, seen = memory.information @ step, float(step @ fall)
    bend = float(step @ along)
    if not (seen > 1e-8 * np.linalg.norm(step) * np.linalg.norm(fall) and bend > 0):
        return dataclasses.replace(memory, score=score)
    found = memory.information - np.outer(along, along) / bend + np.outer(fall, fall) / seen
    return dataclasses.replace(memory, information=found, score=score)


def information(here: Any, support: Support) -> Array | None:
    """Observed information (p, p) at the point, in its own chart; None where it is not positive definite."""
    model, params = here.model, here.params
    stats = with_imagined(model, here.seen.stats)
    at = support.pack(params)
    centre, step = score_at(model, support, params, params, stats), steps(here, support, at, stats)
    slope = np.empty((at.size, at.size))
    for j in range(at.size):
        moved = at.copy()
        moved[j] += step[j]
        beside = support.unpack(moved, params)
        try:
            seen = total(model, here.data, beside, SOFT)
        except (Collapsed, ValueError, FloatingPointError, np.linalg.LinAlgError):
            return None
        slope[:, j] = (centre - score_at(model, support, beside, params, with_imagined(model, seen.stats))) / (moved[j] - at[j])
    found = 0.5 * (slope + slope.T)
    size = np.sqrt(np.maximum(np.diagonal(found), np.finfo(float).tiny))
    if not np.isfinite(found).all() or np.linalg.eigvalsh(found / np.outer(size, size))[0] <= 1e-10:
        return None
    return found


def steps(here: Any, support: Support, at: Array, stats: Any) -> Array:
    """SHARE of the spread that one row leaves in each coordinate, from the curvature of q (no pass), (p,)."""
    model, params, n = here.model, here.params, max(float(here.seen.n), 1.0)
    step = 1e-5 * np.maximum(1.0, np.abs(at))
    centre = score_at(model, support, params, params, stats)
    for _ in range(2):
        bend = np.empty(at.size)
        for j in range(at.size):
            moved = at.copy()
            moved[j] += step[j]
            bend[j] = (centre[j] - score_at(model, support, support.unpack(moved, params), params, stats)[j]) / step[j]
        step = np.where(bend > 0, SHARE * np.sqrt(n / np.where(bend > 0, bend, 1.0)), step)
    return step
