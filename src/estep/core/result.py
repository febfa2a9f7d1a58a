"""What a run returns: parameters, an honest status in words, the trace of the objective, and the table of starts."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array


class ConvergenceWarning(UserWarning):
    """A fit ended somewhere other than at a maximum; the text says where, how much is left and what to do."""


class Status(enum.Enum):
    """How a run ended. The value is the sentence; ``Result.message`` adds the numbers."""

    RUNNING = "still running"
    CONVERGED = "converged: what is left to gain is below the tolerance"
    SETTLED = "converged: a further pass changes nothing"
    ROUNDED = "converged as far as rounding lets the objective show"
    DEFAULT_PRIOR = "converged with the default prior, because every start collapsed under maximum likelihood"
    SLOWED = (
        "stopped by the rule of online EM: a pass hardly changes the likelihood any more, its steps having become short; how "
        "much higher the maximum is, algorithm='em' from here tells"
    )
    STREAM = "learned from a stream by partial_fit: each row counted once, at the parameters of its time"
    HIT_CAP = "stopped at max_iter before convergence"
    DEGENERATE = "a component collapsed: the likelihood grows without bound there"
    FRAIL = "converged, but to a nearly collapsed component"
    SADDLE = "converged, but to a saddle point of the objective"
    RIDGE = "converged, but on a ridge: the data do not identify every parameter"
    BOUNDARY = "converged at the boundary of where the parameters may live"
    FELL = "the objective fell by more than rounding allows: the M-step or the model has an error"
    STEADY = "converged in law: further draws move the parameters to and fro, and the likelihood no higher"
    HELD_OUT = "stopped where held-out data are predicted best"
    INTERRUPTED = "interrupted by the user: these are the best parameters so far"
    STOPPED = "stopped by a callback: these are the best parameters so far"

    @property
    def converged(self) -> bool:
        """Whether the parameters are a stationary point of what was asked for (of draws: the run has reached equilibrium)."""
        return self in (
            Status.CONVERGED,
            Status.SETTLED,
            Status.ROUNDED,
            Status.STEADY,
            Status.DEFAULT_PRIOR,
            Status.FRAIL,
            Status.SADDLE,
            Status.RIDGE,
            Status.BOUNDARY,
        )


PROMISES = {
    "exact": "exact: no pass lowers the objective",
    "bound": "bound: no pass lowers a lower bound of the objective",
    "heuristic": "heuristic: nothing is promised of the objective; compare several starts",
    "": "none",
}


@dataclasses.dataclass(frozen=True)
class Trace:
    """The watched objective (nats), one value a pass; ``leaped`` marks passes that tried an accelerated step.

    A pass whose leap was refused repeats the value it fell back to, so an exact run's trace never falls.
    """

    objective: Array
    leaped: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.objective.size)


@dataclasses.dataclass(frozen=True)
class StartRow:
    """One start: where it ended."""

    start: str
    objective: float
    passes: int
    status: Status
    message: str
    polished: bool

    @property
    def usable(self) -> bool:
        """Whether the end is a finite, healthy point."""
        return self.status not in (Status.DEGENERATE, Status.FRAIL, Status.FELL)


@dataclasses.dataclass(frozen=True)
class StartTable:
    """The replication table: every start, where it ended, and how many ended at the best optimum.

    ``width`` is the distance (nats) within which two ends count as the same optimum; ``note`` tells in words what else was
    done: a search beyond the starts, parts of the data that came before the whole.
    """

    rows: tuple[StartRow, ...]
    best: int
    width: float
    note: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> StartRow:
        return self.rows[i]

    @property
    def optima(self) -> list[tuple[float, int]]:
        """Distinct objectives of the polished healthy ends, best first, with how many reached each."""
        ends = sorted((r.objective for r in self.rows if r.polished and r.usable), reverse=True)
        found: list[tuple[float, int]] = []
        for value in ends:
            if found and found[-1][0] - value <= self.width:
                found[-1] = (found[-1][0], found[-1][1] + 1)
            else:
                found.append((value, 1))
        return found

    @property
    def collapsed(self) -> list[StartRow]:
        """Starts that collapsed or ended nearly collapsed."""
        return [r for r in self.rows if r.status in (Status.DEGENERATE, Status.FRAIL)]

    def __str__(self) -> str:
        lines = [f"{len(self)} starts", *([f"  {self.note}"] if self.note else [])]
        for i, (value, count) in enumerate(self.optima):
            gap = "best" if i == 0 else f"{self.optima[0][0] - value:.4g} nats below"
            lines.append(f"  {count} ended at {value:.6f} ({gap})")
        waiting = sum(not r.polished and r.usable for r in self.rows)
        if waiting:
            lines.append(f"  {waiting} left after a short run: lower than those continued")
        lines += [f"  {r.start}: {r.message}" for r in self.collapsed]
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a fit.

    ``objective`` is what was climbed (penalised or classification likelihood where asked for), ``loglik`` the observed-data
    log-likelihood at ``params``, both in nats. ``left`` projects what further passes would still gain (NaN if unknown).
    ``certificate`` is "exact", "bound" or "heuristic": what the variant promises of its objective.
    """

    params: Any
    model: Any
    objective: float
    loglik: float
    n: float
    n_free: int
    status: Status
    message: str
    trace: Trace
    left: float
    rate: float
    certificate: str
    variant: str
    starts: StartTable | None = None
    state: Any = None
    passes: int = 0  # over the data, an update's own included and the closing one apart
    first: Any = None  # parameters at which the returned run began
    removed: int = 0  # classes that the variant has removed
    account: tuple[tuple[str, str], ...] = ()  # what the variant does, axis by axis, in words

    @property
    def converged(self) -> bool:
        """Whether the run ended at a stationary point."""
        return self.status.converged

    def explain(self) -> str:
        """What was run, in words: the axes, the objective and what is promised of it, passes, evaluations, what stopped it.

        >>> import numpy as np, estep
        >>> X = np.array([[0.0], [0.2], [0.1], [5.0], [5.2], [5.1]])
        >>> fit = estep.GaussianMixture(2, covariance_type="EII", random_state=0).fit(X)
        >>> print(fit.result_.explain().splitlines()[0])
        algorithm    em
        """
        told = self.told()
        width = max(len(label) for label, _ in told)
        return "\n".join(f"{label:<{width}}  {words}" for label, words in told)

    def told(self) -> list[tuple[str, str]]:
        """The lines of ``explain`` as pairs of label and words."""
        tried = int(self.trace.leaped.sum())
        work = f"{self.passes} over the data, {len(self.trace)} evaluations of the objective"
        leaps = f", {tried} of them tried leaps" if tried else ""
        told = [*self.account, ("certificate", PROMISES[self.certificate]), ("passes", work + leaps), ("stopped", self.message)]
        if self.starts is not None and len(self.starts) > 1:
            told.append(("starts", f"{len(self.starts)}; the best is {self.starts[self.starts.best].start!r}"))
        return told
