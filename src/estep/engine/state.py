"""Everything the next step reads, in one record of arrays: watch it, save it, resume from it to the bit."""

from __future__ import annotations

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
    trust: Any  # longest leap allowed (squarem), or ridge of the least squares (anderson)


@record
class StopMemory:
    """History of the stopping rule, from plain EM steps only."""

    gain: Any  # last plain gain; NaN when the step before was not plain
    rates: Array  # recent ratios of successive plain gains, newest last
    left: Any  # projected gain still to come
    calm: Any  # consecutive checks at which it was small enough
    flat: Any  # consecutive plain gains lost in rounding
    trembles: Any = np.int64(0)  # small falls and what is no larger, less the gains between them


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
        stop=StopMemory(np.float64(np.nan), np.empty(0), np.float64(np.inf), np.int64(0), np.int64(0)),
        blend=blend,
        passes=np.int64(0),
        seed=np.int64(seed),
    )
