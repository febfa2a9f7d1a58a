"""Searches: what a fit does beyond restarts to leave a local optimum.

    short_runs     many short runs, only the best goes on (``more`` times the starts)                   this file
    random_swap    a component begun anew at a random row, EM, kept if higher; again and again          this file
    split_merge    two components that overlap become one, one that fits badly becomes two, EM     search_split.py
    greedy         one more start, grown from one component by inserting the best of many candidates    search_greedy.py

All begin with the starts as ever (``restart.py``), so no search ends below them. A move is judged after a short run: it goes on
only where twice what Aitken's rule projects would lift it above the best so far. Every move is a line of the replication table.

A search knows no model by name. It asks for ``moved``, ``explain``, ``tally``, ``densities``, ``pictured`` and ``sized`` and
says what is missing. Moves follow from the seed and the best point so far, and every run has a name in the ledger, so that a
fit that was cut off goes on to the same bits.

Sources: Biernacki, Celeux & Govaert (2003), Computational Statistics & Data Analysis 41:561 (short runs, "emEM"); Zhao,
Hautamaki, Karkkainen & Franti (2012), Pattern Recognition Letters 33:2120 (random swap).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from estep.core.result import Result, StartRow, StartTable, Status
from estep.core.rows import take
from estep.engine.presets import Variant
from estep.engine.restart import SAME, Plan, Start, Trial, begun, continued, fit_starts
from estep.engine.run import Control, close

LOOK = 24
"""Passes after which a move is judged."""


@dataclasses.dataclass(frozen=True)
class Fit:
    """What a search works on: a model, its data, the starts and how runs are made; ``seed`` draws the moves."""

    model: Any
    data: Any
    starts: Sequence[Start]
    variant: Variant
    control: Control
    plan: Plan
    seed: int

    def from_starts(self, plan: Plan | None = None, starts: Sequence[Start] | None = None) -> Result:
        """The best over the starts."""
        return fit_starts(self.model, self.data, starts or self.starts, self.variant, self.control, plan or self.plan)


@dataclasses.dataclass(frozen=True)
class ShortRuns:
    """Many short runs, the best of which goes on to convergence ("emEM"); estimators make ``more`` times ``n_init`` starts."""

    more: int = 5
    name: Final[str] = "short_runs"

    def __call__(self, fit: Fit) -> Result:
        """The best end."""
        n = len(fit.starts)
        note = f"search short_runs: of {n} short runs the best went on"
        return fit.from_starts(dataclasses.replace(fit.plan, kept=1, note=joined(note, fit.plan.note)))


@dataclasses.dataclass(frozen=True)
class RandomSwap:
    """From the best start: a random component begun anew at a random row, EM, kept if higher; ``swaps`` times (None: 5 k)."""

    swaps: int | None = None
    name: Final[str] = "random_swap"

    def __call__(self, fit: Fit) -> Result:
        """The best end; never below that of the starts."""
        require(fit.model, ("moved",), self.name, "use search='split_merge', search='greedy' or more starts (n_init)")
        climb = Climb(fit, fit.from_starts())
        k = fit.model.named
        for t in range(5 * k if self.swaps is None else self.swaps):
            rng = np.random.default_rng([fit.seed, 31, t])
            component, (place, row) = int(rng.integers(k)), drawn_row(fit.data, rng)
            best = climb.best.params
            make = partial(fit.model.moved, best, component, row)
            climb.move(f"component {component} to row {place}", make, f"swap {t}")
            if climb.halted:
                break
        return climb.result(self.name, "swaps")


@dataclasses.dataclass
class Climb:
    """The best so far, and the lines of the moves that were made from it."""

    fit: Fit
    best: Result
    rows: list[StartRow] = dataclasses.field(default_factory=list)
    kept: list[int] = dataclasses.field(default_factory=list)
    first: float = np.nan
    halted: bool = False

    def __post_init__(self) -> None:
        self.start, self.first = self.best, self.best.objective
        self.halted = self.best.status in (Status.INTERRUPTED, Status.STOPPED)

    @property
    def width(self) -> float:
        """Nats within which two ends count as the same."""
        return SAME * max(float(self.start.n), 1.0)

    def move(self, name: str, make: Callable[[], Any], run: str) -> bool:
        """Run from what ``make`` gives; whether it ended higher than the best, and is now that."""
        fit = self.fit
        short = dataclasses.replace(fit.control, max_iter=min(LOOK, fit.control.max_iter), save=None)
        trial = begun(fit.model, fit.data, Start(name, make), fit.variant, short, f"{run} short")
        if trial.last is not None and not trial.halted:
            if trial.polished:
                trial.result = close(fit.model, fit.data, trial.last, fit.variant, fit.control)
            elif self._promises(trial):
                trial = continued(fit.model, fit.data, trial, fit.variant, fit.control, f"{run} long")
        self.halted = trial.halted
        if self.halted:
            return False
        row = trial.row()
        gain = row.objective - self.best.objective if row.polished else np.nan
        higher = trial.result is not None and row.usable and gain > self.width
        if row.polished and row.usable:
            words = (
                f"{gain:.4g} nats higher" if higher else "the same" if abs(gain) <= self.width else f"{-gain:.4g} nats lower"
            )
            row = dataclasses.replace(row, message=f"{'kept' if higher else 'not kept'}: {words}; {row.message}")
        self.rows.append(row)
        if higher:
            assert trial.result is not None
            self.best = dataclasses.replace(trial.result, first=trial.first)
            self.kept.append(len(self.rows) - 1)
        return bool(higher)

    def _promises(self, trial: Trial) -> bool:
        assert trial.last is not None
        state = trial.last.state
        left = float(state.stop.left)
        return not np.isfinite(left) or float(state.value) + 2.0 * left > self.best.objective

    def result(self, name: str, moves: str) -> Result:
        """The best with the lines of all starts and moves; cut short where a run was halted."""
        base = self.start.starts
        assert base is not None
        gained = self.best.objective - self.first
        note = f"search {name}: {len(self.rows)} {moves} tried, {len(self.kept)} kept, {gained:.4g} nats gained"
        at = len(base.rows) + self.kept[-1] if self.kept else base.best
        table = StartTable((*base.rows, *self.rows), at, base.width, joined(note, base.note))
        best = dataclasses.replace(self.best, starts=table)
        if self.halted and best.status not in (Status.INTERRUPTED, Status.STOPPED):
            return dataclasses.replace(
                best, status=Status.STOPPED, message=f"{Status.STOPPED.value} (the search was cut short)"
            )
        return best


def joined(*notes: str) -> str:
    """Notes that say something, one after the other."""
    return "; ".join(note for note in notes if note)


def require(model: Any, names: tuple[str, ...], search: str, instead: str) -> None:
    """Raise TypeError naming what ``model`` lacks of what a search asks for."""
    lacking = [name for name in names if not hasattr(model, name)]
    family = getattr(model, "family", None)
    who = type(model).__name__
    if not lacking and "moved" in names and family is not None and not hasattr(family, "seat"):
        lacking, who = ["seat(params, component, row)"], type(family).__name__
    if lacking:
        raise TypeError(f"search={search!r} needs {', '.join(lacking)}, which {who} lacks; {instead}")


def drawn_row(data: Any, rng: np.random.Generator) -> tuple[int, Any]:
    """A row drawn in proportion to its weight: its number and what the family reads of it."""
    masses = [(chunk, float(len(chunk) if chunk.weight is None else chunk.weight.sum())) for chunk in data.chunks()]
    ends = np.cumsum([mass for _, mass in masses])
    at = float(rng.random()) * float(ends[-1])
    chunk, mass = masses[min(int(np.searchsorted(ends, at, side="right")), len(masses) - 1)]
    share = None if chunk.weight is None else chunk.weight / mass
    i = int(rng.choice(len(chunk), p=share))
    row = take(chunk.x, slice(i, i + 1))
    return chunk.rows.start + i, row[0] if isinstance(row, np.ndarray) else row


def refuse_variant(variant: Variant, search: str) -> None:
    """Raise ValueError where objectives of runs cannot be compared."""
    if variant.certificate == "heuristic":
        raise ValueError(
            f"search={search!r} keeps what is higher, and algorithm={variant.name!r} promises nothing of its objective; "
            "use algorithm='em', or search=None"
        )
