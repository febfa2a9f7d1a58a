"""Tempered EM: the inverse temperature is lowered as long as held-out data are predicted better for it.

    begin   b = 1:  EM until the held-out score has not improved for PATIENCE passes; keep the best point
    then    b <- eta b:  the same from the best point; stop where a lower b no longer improves the best score

The model needs a field ``beta``; ``score(params, beta)`` is what is to be large, such as the held-out log-likelihood a token.

Source: Hofmann (2001), Machine Learning 42:177, section 3.6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from estep.core.assign import SOFT
from estep.core.result import Result, StartRow, StartTable, Status
from estep.engine.fit import fit
from estep.engine.presets import Variant
from estep.engine.run import Control, log_prior
from estep.engine.state import State
from estep.engine.visit import total

PATIENCE = 5
GAIN = 1e-6
"""Improvement of the held-out score, relative, that counts as one."""


@dataclasses.dataclass
class _Best:
    """The best point so far, its score, and how many passes ago it was found."""

    params: Any
    score: float
    since: int = 0

    def beaten(self, score: float) -> bool:
        """Whether ``score`` is better by more than GAIN."""
        return bool(score > (self.score + GAIN * abs(self.score) if np.isfinite(self.score) else self.score))

    def look(self, params: Any, score: float) -> None:
        """Note a point."""
        self.since += 1
        if self.beaten(score):
            self.params, self.score, self.since = params, score, 0


def tempered(
    model: Any, data: Any, params: Any, score: Callable[[Any, float], float], eta: float, variant: Variant, control: Control
) -> tuple[Result, float, list[tuple[float, float]]]:
    """The best point over a falling schedule of ``beta``, that beta, and the schedule as (beta, best held-out score) pairs."""
    best, beta, chosen = _Best(params, -np.inf), 1.0, 1.0
    path: list[tuple[float, float]] = []
    passes, last = 0, None
    while True:
        stage = _Best(best.params, -np.inf)
        last = _stage(dataclasses.replace(model, beta=beta), data, stage, score, variant, control)
        passes += last.passes
        path.append((beta, stage.score))
        if last.status in (Status.INTERRUPTED, Status.FELL) or not best.beaten(stage.score):
            break
        best, chosen, beta = stage, beta, beta * eta
    return _closed(dataclasses.replace(model, beta=chosen), data, best, last, passes, chosen), chosen, path


def _stage(
    model: Any, data: Any, best: _Best, score: Callable[[Any, float], float], variant: Variant, control: Control
) -> Result:
    """Plain EM at one temperature, stopped where the held-out score has stopped improving."""

    def watch(state: State, status: Status) -> bool:
        best.look(state.here, score(state.here, model.beta))
        asked = control.watch is not None and control.watch(state, status)
        return asked or best.since >= PATIENCE

    plain = variant.without_leap()
    return fit(model, data, best.params, plain, tol=control.tol, max_iter=control.max_iter, watch=watch, seed=control.seed)


def _closed(model: Any, data: Any, best: _Best, last: Result, passes: int, beta: float) -> Result:
    """The result at the best point; an interruption or a fall of the last run keeps its status."""
    seen = total(model, data, best.params, SOFT)
    objective = float(seen.objective) + log_prior(model, best.params)
    status, message = last.status, last.message
    if status not in (Status.INTERRUPTED, Status.FELL):
        status = Status.HELD_OUT
        message = f"{Status.HELD_OUT.value}: at beta={beta:.4g}, {-best.score:.6g} nats a held-out token"
    row = StartRow("tempered", objective, passes, status, message, True)
    return dataclasses.replace(
        last,
        params=best.params,
        model=model,
        objective=objective,
        loglik=float(seen.loglik),
        status=status,
        message=message,
        passes=passes,
        starts=StartTable((row,), 0, 1e-6 * max(float(seen.n), 1.0)),
    )
