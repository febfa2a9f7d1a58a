"""Everything the next step reads, in one record of arrays: watch it, save it, resume from it to the bit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, record


@record
class LeapMemory:
    """History of the accelerator: evaluated points and their EM images in the chart of ``base``, (m, p) each."""

    points: Array
    images: Array
    base: Any
    plain: Any  # plain EM steps since the last leap
    trust: Any  # how bold the next leap may be: longest length, ridge of the least squares, or place on the grid of lengths
    mode: Any = np.int64(0)  # above zero: leaps accepted along one parabola; below zero: refusals in a row
    wait: Any = np.int64(0)  # points to let pass before a step of Newton's
    fails: Any = np.int64(0)  # steps of Newton's that failed
    information: Array = dataclasses.field(default_factory=lambda: np.empty((0, 0)))  # (p, p) where it is known
    score: Array = dataclasses.field(default_factory=lambda: np.empty(0))  # (p,) at the last point, where it is known


@record
class StopMemory:
    """History of the stopping rule, from plain EM steps only."""

    gain: Any  # last plain gain; NaN when the step before was not plain
    rates: Array  # recent ratios of successive plain gains, newest last
    left: Any  # projected gain still to come
    calm: Any  # consecutive checks at which it was small enough
    flat: Any  # consecutive plain gains lost in rounding
    trembles: Any = np.int64(0)  # small falls and what is no larger, less the gains between them
    values: Any = None  # of rules that look further back: the objective of every pass
    slowest: Any = np.float64(0.0)  # the largest rate that was known when the run leaped; 0 before


@record
class State:
    """Where a run stands before its next pass.

    ``params`` is evaluated next; ``here`` is the last accepted point and ``value`` its objective; ``fallback`` is what a
    refused leap returns to.
    """

    params: Any
    here: Any
    fallback: Any
    value: Any
    tentative: Any
    trace: Array
    leaped: NDArray[np.bool_]
    leap: LeapMemory
    stop: StopMemory
    blend: Any
    passes: Any  # over the data, an update's own included
    seed: Any
    kept: Any = None  # of variants that remove classes: which of the first ones are left
    iterates: Any = None  # of variants that answer with other than the last point: what they have seen
    nodes: Any = None  # of visits that read points in place of rows: which they are


def fresh_stop(rule: Any = None) -> StopMemory:
    """The memory of a stopping rule that has seen nothing; of a ``rule`` that keeps more, as it begins."""
    begin = getattr(rule, "begin", None)
    if begin is not None:
        remembers: StopMemory = begin()
        return remembers
    return StopMemory(np.float64(np.nan), np.empty(0), np.float64(np.inf), np.int64(0), np.int64(0))


def begin(params: Any, p: int, blend: Any, trust: float, seed: int = 0) -> State:
    """The state before the first pass of a run from ``params`` with ``p`` free coordinates."""
    return State(
        params=params,
        here=params,
        fallback=params,
        value=np.float64(-np.inf),
        tentative=np.False_,
        trace=np.empty(0),
        leaped=np.empty(0, dtype=bool),
        leap=LeapMemory(np.empty((0, p)), np.empty((0, p)), params, np.int64(0), np.float64(trust)),
        stop=fresh_stop(),
        blend=blend,
        passes=np.int64(0),
        seed=np.int64(seed),
    )
