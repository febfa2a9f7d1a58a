"""Restarts: a short run from every start, the best continued to convergence, every end kept in the replication table.

With ``n`` starts the best max(3, ceil(n / 3)) of the short runs go on. Starts that collapse are listed and dropped; an end
that has nearly collapsed is flagged and loses to any healthy one, however high its likelihood.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from estep.core.collapse import Collapsed
from estep.core.result import Result, StartRow, StartTable, Status
from estep.engine.presets import Variant
from estep.engine.run import Control, Step, advance, close, start
from estep.engine.state import State
from estep.engine.words import collapse_words

SHORT = 8
SAME = 1e-6


@dataclasses.dataclass(frozen=True)
class Start:
    """A named way to make starting parameters; ``make`` may raise Collapsed."""

    name: str
    make: Callable[[], Any]


def fit_starts(model: Any, data: Any, starts: Sequence[Start], variant: Variant, control: Control) -> Result:
    """The best healthy end over ``starts``; where none is healthy, the best of the others with its status.

    A run that is interrupted, or stopped by whoever watches, ends the whole: the best point so far is returned.
    """
    short = dataclasses.replace(control, max_iter=min(SHORT, control.max_iter), save=None)
    trials: list[_Trial] = []
    for i, begin in enumerate(starts):
        trials.append(_begin(model, data, begin, variant, control if len(starts) == 1 else short, f"{i} short"))
        if trials[-1].halted:
            break
    for trial in _promising(trials, len(starts)):
        assert trial.last is not None
        which = next(i for i, t in enumerate(trials) if t is trial)
        trial.last = _advance(model, data, trial.last.state, variant, control, f"{which} long")
        trial.polished = True
        if trial.halted:
            break
    _halt_at_best(trials)
    for trial in trials:
        if trial.last is not None and trial.polished:
            trial.result = close(model, data, trial.last, variant, control)
    best = max(range(len(trials)), key=lambda i: _rank(trials[i]))
    chosen = trials[best].result
    if chosen is None:
        raise trials[best].gone or Collapsed(0, "no start could be made")
    table = StartTable(tuple(t.row() for t in trials), best, SAME * max(float(chosen.n), 1.0))
    return dataclasses.replace(chosen, starts=table, first=trials[best].first)


def _promising(trials: list[_Trial], n: int) -> list[_Trial]:
    """The highest of the short runs, best first; none once a run was halted."""
    if any(t.halted for t in trials):
        return []
    waiting = sorted((t for t in trials if t.last and t.last.status is Status.HIT_CAP), key=_height, reverse=True)
    return waiting[: max(3, math.ceil(n / 3))]


def _halt_at_best(trials: list[_Trial]) -> None:
    """Where a run was halted, only the highest point so far is finished, with the halted run's status."""
    halts = [t.last.status for t in trials if t.last is not None and t.halted]
    if not halts:
        return
    best = max(trials, key=_height)
    for trial in trials:
        trial.polished = trial is best
    if best.last is not None:
        best.last = dataclasses.replace(best.last, status=halts[0])


@dataclasses.dataclass
class _Trial:
    """One start on its way: where its run stands, and its result once it has ended."""

    name: str
    last: Step | None = None
    gone: Collapsed | None = None
    polished: bool = False
    result: Result | None = None
    first: Any = None

    @property
    def halted(self) -> bool:
        """Whether its run was interrupted or stopped from outside."""
        return self.last is not None and self.last.status in (Status.INTERRUPTED, Status.STOPPED)

    def row(self) -> StartRow:
        if self.last is None:
            return StartRow(self.name, np.nan, 0, Status.DEGENERATE, collapse_words(self.gone), True)
        if self.result is None:
            state = self.last.state
            return StartRow(self.name, float(state.value), len(state.trace), Status.HIT_CAP, "left after a short run", False)
        r = self.result
        words = collapse_words(self.last.gone) if r.status is Status.DEGENERATE else r.message
        return StartRow(self.name, r.objective, r.passes, r.status, words, True)


def _advance(model: Any, data: Any, state: State, variant: Variant, control: Control, run: str) -> Step:
    """The run of that name from ``state``, or from where the ledger says that it stood."""
    if (ledger := control.ledger) is None:
        return advance(model, data, state, variant, control)
    noting = dataclasses.replace(control, note=lambda state, status: ledger.note(run, variant, state, status))
    return advance(model, data, ledger.resume(run, state, variant), variant, noting)


def _begin(model: Any, data: Any, begin: Start, variant: Variant, control: Control, run: str) -> _Trial:
    try:
        state = start(model, begin.make(), variant, control)
    except Collapsed as gone:
        return _Trial(begin.name, gone=gone)
    last = _advance(model, data, state, variant, control, run)
    return _Trial(begin.name, last, polished=last.status is not Status.HIT_CAP, first=state.params)


def _height(trial: _Trial) -> float:
    value = float(trial.last.state.value) if trial.last else np.nan
    return value if np.isfinite(value) else -np.inf


def _rank(trial: _Trial) -> tuple[bool, bool, float]:
    if trial.result is None:
        return (False, False, -np.inf)
    status = trial.result.status
    return (trial.row().usable, status is not Status.DEGENERATE, trial.result.objective)
