"""Runs that wander: when draws are in equilibrium, and which point answers for them.

Stochastic EM converges to no point but to a law around the optimum. It stops where the log-likelihood no longer drifts: at
passes 60, 90, 135, ... (times 3/2) the mean over the last third of the passes is compared with that over the third before,

    drift = mean last - mean before <= 2 standard errors (from BATCHES batch means each), or LITTLE nats

A hundredth of a nat is little however many rows there are: moving every parameter by its standard error costs half a nat each.

The answer is the mean of the iterates since the check before, or the best iterate, whichever has the higher likelihood.

Sources: Celeux & Diebolt (1985), Computational Statistics Quarterly 2:73; Celeux, Chauveau & Diebolt (1996), J. Statist.
Comput. Simul. 55:287; Geyer (1992), Statistical Science 7:473 (batch means).
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Final

import numpy as np

from estep.core.assign import SOFT
from estep.core.record import Array, leaves, rebuild, record
from estep.core.result import Status
from estep.engine.state import StopMemory, fresh_stop
from estep.engine.visit import NO_POINT, total

FIRST, GROWTH = 60, 1.5
BATCHES = 5
LITTLE = 0.01
REDRAWS = 20


def is_check(passes: int, first: int = FIRST) -> bool:
    """Whether the drift is looked at after this many passes, for the ``first`` time and later.

    >>> [t for t in range(200) if is_check(t)]
    [60, 90, 135]
    """
    at = first
    while at < passes:
        at = int(GROWTH * at)
    return at == passes


def drift_of(values: Array) -> tuple[float, float]:
    """Rise of the mean from the middle third of ``values`` to the last, and its standard error."""
    third = len(values) // 3
    before, after = values[third : 2 * third], values[2 * third :]
    means = [np.array([part.mean() for part in np.array_split(some, BATCHES)]) for some in (before, after)]
    error = np.sqrt(sum(float(m.var(ddof=1)) / BATCHES for m in means))
    return float(after.mean() - before.mean()), float(error)


@dataclasses.dataclass(frozen=True)
class Steady:
    """Stop when the log-likelihood of the iterates no longer drifts upwards, looked at after ``first`` passes and later."""

    first: int = FIRST
    name: Final[str] = "steady"
    words: ClassVar[str] = "when the log-likelihood of the iterates no longer drifts upwards (thirds of the run compared)"

    def begin(self) -> StopMemory:
        """The memory before the first pass."""
        return dataclasses.replace(fresh_stop(), values=np.empty(0))

    def note(self, memory: StopMemory, gain: float, objective: float, target: float) -> StopMemory:
        """The memory after a pass; ``left`` is the drift."""
        values = np.append(memory.values, objective)
        memory = dataclasses.replace(memory, values=values, gain=np.float64(gain))
        if not is_check(len(values) + 1, self.first):
            return memory
        drift, error = drift_of(values)
        settled = drift <= max(2.0 * error, target, LITTLE)
        return dataclasses.replace(memory, left=np.float64(max(drift, 0.0)), calm=np.int64(settled))

    def interrupted(self, memory: StopMemory) -> StopMemory:
        """Leaps do not apply to random passes; the memory as it is."""
        return memory

    def verdict(self, memory: StopMemory) -> Status:
        """RUNNING, or STEADY."""
        return Status.STEADY if memory.calm else Status.RUNNING


@record
class Iterates:
    """The mean of ``count`` iterates, and the best of all with its objective."""

    mean: Any
    count: Any
    best: Any
    value: Any


@dataclasses.dataclass(frozen=True)
class MeanOrBest:
    """Answer with the mean of the later iterates or with the best iterate, whichever is higher."""

    name: ClassVar[str] = "mean of later iterates, or the best"

    def begin(self, params: Any) -> Iterates:
        """Nothing seen yet."""
        return Iterates(params, np.int64(0), params, np.float64(-np.inf))

    def note(self, memory: Iterates, params: Any, value: float, passes: int) -> Iterates:
        """The memory after pass number ``passes``, at ``params`` with objective ``value``."""
        count = 0 if is_check(passes - 1) else int(memory.count)
        held = dict(leaves(memory.mean))
        mean = rebuild(params, {n: v if count == 0 else held[n] + (v - held[n]) / (count + 1) for n, v in leaves(params)})
        higher = value > memory.value
        best, top = (params, value) if higher else (memory.best, memory.value)
        return Iterates(mean, np.int64(count + 1), best, np.float64(top))

    def choose(self, model: Any, data: Any, memory: Iterates) -> tuple[Any, str]:
        """The parameters that answer, and which they are; one pass."""
        best = memory.best, "the best iterate"
        try:
            mean = legal(model, memory.mean)
            value = float(total(model, data, mean, SOFT).objective)
            if model.prior is not None:
                value += float(model.q(mean, model.prior))
        except NO_POINT:
            return best
        return (mean, f"the mean of the last {int(memory.count)} iterates") if value >= float(memory.value) else best


def legal(model: Any, params: Any) -> Any:
    """Parameters where the model's may live, from a mean of such; as they are where a coordinate is on an edge."""
    support = model.support(params)
    at = support.pack(params)
    return support.unpack(at, params) if np.isfinite(at).all() else params


def redrawn(assign: Any, trace: Array, value: float) -> bool:
    """Whether labels from which there is no M-step are to be drawn anew: up to REDRAWS times from one point."""
    return hasattr(assign, "draws") and not (len(trace) >= REDRAWS and bool((trace[-REDRAWS:] == value).all()))
