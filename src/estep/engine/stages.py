"""Objectives that change on the way: where passes may be compared, and where a run may stop.

An assignment that changes its objective from pass to pass has ``stage(passes)``, the number of the objective that the pass
after ``passes`` passes climbs, and ``stages``, how many there are. Gains are taken within a stage; a run stops in the last.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from estep.engine.state import State, StopMemory, fresh_stop


def restaged(variant: Any, state: State) -> State:
    """The state before a pass; where the objective is not that of the pass before, with nothing to compare with."""
    assign = variant.assign
    stage, passes = getattr(assign, "stage", None), len(state.trace)
    if stage is None or not passes or stage(passes) == stage(passes - 1):
        return state
    return dataclasses.replace(state, value=np.float64(-np.inf), stop=fresh_stop(variant.stop))


def unhurried(assign: Any, state: State, stop: StopMemory) -> StopMemory:
    """The memory of the stopping rule after a pass; before the last stage one that is not about to stop."""
    stage = getattr(assign, "stage", None)
    if stage is None or stage(len(state.trace)) == assign.stages - 1:
        return stop
    none = np.int64(0)
    return dataclasses.replace(stop, left=np.float64(np.inf), calm=none, flat=none, trembles=none)
