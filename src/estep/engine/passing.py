"""A result in passing: the state of a run as it stands, for those who watch it."""

from __future__ import annotations

from typing import Any

from estep.core.result import Result, Status, Trace
from estep.engine.removal import present
from estep.engine.state import State


def passing_result(model: Any, state: State) -> Result:
    """The result as if the run had stopped here; its log-likelihood is the watched objective, its weight unknown."""
    model = present(model, state)
    return Result(
        params=state.here,
        model=model,
        objective=float(state.value),
        loglik=float(state.value),
        n=1.0,
        n_free=model.support(state.here).count,
        status=Status.RUNNING,
        message=Status.RUNNING.value,
        trace=Trace(state.trace, state.leaped),
        left=float(state.stop.left),
        rate=float(state.stop.rates[-1]) if state.stop.rates.size else float("nan"),
        certificate="",
        variant="",
        passes=int(state.passes),
    )
