"""Restarts: a short run from every start, the best continued to convergence, every end kept in the replication table.

With ``n`` starts the best max(3, ceil(n / 3)) of the short runs go on, or ``plan.kept``. Starts that collapse are listed and
dropped; an end that has nearly collapsed is flagged and loses to any healthy one, however high its likelihood.

With a ladder (``plan.ladder``: parts of the rows, each larger than the one before) short runs are made on the first part, and
those that go on climb part by part, each until what is left to gain is small beside what the part leaves open; the last stretch
is on all rows, to the tolerance that was asked for, so that the end is a maximum for all rows (``ladder.py``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from estep.core.assign import ImpossibleRow
from estep.core.collapse import Collapsed
from estep.core.result import Result, StartRow, StartTable, Status
from estep.engine.ladder import handed_on, stage_tol, where
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


@dataclasses.dataclass(frozen=True)
class Plan:
    """How many short runs go on (None: the best third, at least three), the ladder, and a note for the table."""

    kept: int | None = None
    ladder: tuple[Any, ...] = ()
    note: str = ""


def fit_starts(
    model: Any, data: Any, starts: Sequence[Start], variant: Variant, control: Control, plan: Plan | None = None
) -> Result:
    """The best healthy end over ``starts``; where none is healthy, the best of the others with its status.

    A run that is interrupted, or stopped by whoever watches, ends the whole: the best point so far is returned.
    """
    plan = plan or Plan()
    trials = _short_runs(model, data, starts, variant, control, plan)
    if plan.ladder and not any(t.last is not None and t.last.status is not Status.DEGENERATE for t in trials):
        plan = dataclasses.replace(plan, ladder=(), note="")
        trials = _short_runs(model, data, starts, variant, control, plan)
    for trial in _promising(trials, len(starts), plan):
        which = next(i for i, t in enumerate(trials) if t is trial)
        trial.last = _continued(model, data, trial, variant, control, plan, which)
        trial.polished = True
        if trial.halted or _enough(trials, plan):
            break
    _halt_at_best(trials, model, variant, control, plan)
    for trial in trials:
        if trial.last is not None and trial.polished:
            trial.result = close(model, data, trial.last, variant, control)
    best = max(range(len(trials)), key=lambda i: rank(trials[i]))
    chosen = trials[best].result
    if chosen is None:
        raise trials[best].gone or Collapsed(0, "no start could be made")
    scale = data.n_rows / plan.ladder[0].n_rows if plan.ladder else 1.0
    table = StartTable(tuple(t.row(scale) for t in trials), best, SAME * max(float(chosen.n), 1.0), plan.note)
    return dataclasses.replace(chosen, starts=table, first=None if chosen.removed else trials[best].first)


def _short_runs(model: Any, data: Any, starts: Sequence[Start], variant: Variant, control: Control, plan: Plan) -> list[Trial]:
    short = dataclasses.replace(control, max_iter=min(SHORT, control.max_iter), save=None)
    first, named = (plan.ladder[0], "part 0") if plan.ladder else (data, "short")
    trials: list[Trial] = []
    for i, begin in enumerate(starts):
        alone = len(starts) == 1 and not plan.ladder
        trials.append(begun(model, first, begin, variant, control if alone else short, f"{i} {named}"))
        if plan.ladder and trials[-1].last is not None:
            trials[-1].polished = trials[-1].last.status is Status.DEGENERATE
        if trials[-1].halted:
            break
    return trials


def _promising(trials: list[Trial], n: int, plan: Plan) -> list[Trial]:
    """The highest of the short runs, best first; none once a run was halted."""
    if any(t.halted for t in trials):
        return []
    waiting = sorted((t for t in trials if t.last and not t.polished), key=height, reverse=True)
    return waiting[: max(3, math.ceil(n / 3))] if plan.kept is None else waiting


def _enough(trials: list[Trial], plan: Plan) -> bool:
    """Whether as many of the runs that went on are healthy as ``plan.kept`` asks for."""
    healthy = [t for t in trials if t.polished and t.last is not None and t.last.status is not Status.DEGENERATE]
    return plan.kept is not None and len(healthy) >= plan.kept


def _continued(model: Any, data: Any, trial: Trial, variant: Variant, control: Control, plan: Plan, which: int) -> Step:
    """The run of a trial to its end on all rows, up the ladder where there is one."""
    assert trial.last is not None
    trial.height = height(trial)
    state = trial.last.state
    for r, part in enumerate(plan.ladder):
        stage = dataclasses.replace(control, tol=max(control.tol, stage_tol(model, state.params, part)), save=None)
        try:
            begin = state if r == 0 else start(model, handed_on(model, part, where(state)), variant, control)
            last = _advance(model, part, begin, variant, stage, f"{which} part {r}" + (", continued" if r == 0 else ""))
        except (ImpossibleRow, Collapsed):
            return _whole(model, data, trial.first, variant, control, which)
        if last.status in (Status.INTERRUPTED, Status.STOPPED):
            return Step(start(model, where(last.state), variant, control), last.status)
        if last.status is Status.DEGENERATE:
            return _whole(model, data, trial.first, variant, control, which)
        state = last.state
    if not plan.ladder:
        return _advance(model, data, state, variant, control, f"{which} long")
    try:
        begin = start(model, handed_on(model, data, where(state)), variant, control)
        return _advance(model, data, begin, variant, control, f"{which} long")
    except (ImpossibleRow, Collapsed):
        return _whole(model, data, trial.first, variant, control, which)


def _whole(model: Any, data: Any, params: Any, variant: Variant, control: Control, which: int) -> Step:
    """A run on all rows from where a trial began: what a part of them led to does not fit the others."""
    return _advance(model, data, start(model, params, variant, control), variant, control, f"{which} whole")


def _halt_at_best(trials: list[Trial], model: Any, variant: Variant, control: Control, plan: Plan) -> None:
    """Where a run was halted, only the highest point so far is finished, with the halted run's status."""
    halts = [t.last.status for t in trials if t.last is not None and t.halted]
    if not halts:
        return
    best = max(trials, key=height)
    for trial in trials:
        trial.polished = trial is best
    if best.last is None:
        return
    best.last = dataclasses.replace(best.last, status=halts[0])
    if plan.ladder:  # its evaluation is that of a part
        best.last = Step(start(model, where(best.last.state), variant, control), halts[0])


@dataclasses.dataclass
class Trial:
    """One start on its way: where its run stands, and its result once it has ended; ``height`` is that of its short run."""

    name: str
    last: Step | None = None
    gone: Collapsed | None = None
    polished: bool = False
    result: Result | None = None
    first: Any = None
    height: float | None = None

    @property
    def halted(self) -> bool:
        """Whether its run was interrupted or stopped from outside."""
        return self.last is not None and self.last.status in (Status.INTERRUPTED, Status.STOPPED)

    def row(self, scale: float = 1.0) -> StartRow:
        """Its line of the table; ``scale``: all rows for each of those that short runs saw."""
        if self.last is None:
            return StartRow(self.name, np.nan, 0, Status.DEGENERATE, collapse_words(self.gone), True)
        if self.result is None:
            state = self.last.state
            value = float(state.value) * scale
            return StartRow(self.name, value, len(state.trace), Status.HIT_CAP, "left after a short run", False)
        r = self.result
        words = collapse_words(self.last.gone) if r.status is Status.DEGENERATE else r.message
        return StartRow(self.name, r.objective, r.passes, r.status, words, True)


def _advance(model: Any, data: Any, state: State, variant: Variant, control: Control, run: str) -> Step:
    """The run of that name from ``state``, or from where the ledger says that it stood."""
    if (ledger := control.ledger) is None:
        return advance(model, data, state, variant, control)
    noting = dataclasses.replace(control, note=lambda state, status: ledger.note(run, variant, state, status))
    return advance(model, data, ledger.resume(run, state, variant), variant, noting)


def begun(model: Any, data: Any, begin: Start, variant: Variant, control: Control, run: str) -> Trial:
    """The trial of a start, run until ``control`` ends it; a start that could not be made has no run."""
    try:
        state = start(model, begin.make(), variant, control)
    except Collapsed as gone:
        return Trial(begin.name, gone=gone)
    last = _advance(model, data, state, variant, control, run)
    return Trial(begin.name, last, polished=last.status is not Status.HIT_CAP, first=state.params)


def continued(model: Any, data: Any, trial: Trial, variant: Variant, control: Control, run: str) -> Trial:
    """The trial with its run gone on, and its result where it was not halted."""
    assert trial.last is not None
    trial.last = _advance(model, data, trial.last.state, variant, control, run)
    trial.polished = True
    trial.result = close(model, data, trial.last, variant, control)
    return trial


def height(trial: Trial) -> float:
    """The objective where its run stands; -inf where there is none. Of a run on parts, that of its short run."""
    if trial.height is not None:
        return trial.height
    value = float(trial.last.state.value) if trial.last else np.nan
    return value if np.isfinite(value) else -np.inf


def rank(trial: Trial) -> tuple[bool, bool, float]:
    """By health, then by height."""
    if trial.result is None:
        return (False, False, -np.inf)
    status = trial.result.status
    return (trial.row().usable, status is not Status.DEGENERATE, trial.result.objective)
