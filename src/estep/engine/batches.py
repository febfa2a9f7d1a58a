"""Online EM: an M-step after every mini-batch of shuffled rows, from statistics that forget.

    s_bar <- s_bar + gamma (s_batch - s_bar),   theta = M-step(n s_bar)            s per unit weight
    gamma = (t + delay)^-power w_batch / mean w,   1/2 < power <= 1;   in the first ``warm`` batches 1 / t and no M-step

so that old parameters' statistics fade at the right pace: sum gamma = infinity, sum gamma^2 < infinity. What is returned is
the M-step of the mean of s_bar over batches (Polyak and Ruppert): of half of the first pass, then of all passes since the 2nd,
3rd, 5th, 9th, ... began. The run ends with an exact evaluation there. Watched is the progressive log-likelihood of a pass:
every batch at the parameters before it was learned. It may fall: "heuristic".

The rows are shuffled once, by the seed; local statistics are refused by name.
Memory: three records of statistics, and the shuffled copy of the rows (``data.shuffled``).

Sources: Cappe & Moulines (2009), JRSS B 71:593; Polyak & Juditsky (1992), SIAM J. Control Optim. 30:838.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np

from estep.core.memo import remembered
from estep.core.protocols import Assign, Expected
from estep.core.record import leaves, rebuild, record
from estep.core.result import Status
from estep.engine.blend import brought, refuse_local
from estep.engine.state import StopMemory
from estep.engine.visit import Swept, expected_of

SMALLEST, LARGEST, PARTS = 32, 4096, 200


@record
class Stepped:
    """Leaves of the running statistics and of their mean, per unit weight; batches seen, batches in the mean, total weight."""

    stats: dict[str, Any]
    mean: dict[str, Any]
    seen: Any
    averaged: Any
    weight: Any


@dataclasses.dataclass(frozen=True)
class Stepwise:
    """Statistics that forget: weight ``(t + delay)^-power`` for the t-th batch, after ``warm`` batches without an M-step."""

    power: float = 0.6
    delay: float = 2.0
    warm: int = 20
    name: Final[str] = "stepwise"
    words: ClassVar[str] = "a running mean of the batches' statistics that forgets the old ones"
    no_leap: ClassVar[str] = "its M-steps answer to an average, and not to the point they start from"

    def __post_init__(self) -> None:
        if not (0.5 < self.power <= 1 and self.delay >= 0 and self.warm >= 1):
            raise ValueError(
                f"power={self.power!r}, delay={self.delay!r}, warm={self.warm!r}: power is above 1/2 and at most 1, "
                "delay at least 0, warm at least 1"
            )

    @property
    def label(self) -> str:
        """The name with the schedule."""
        return f"stepwise (step 1 / (t + {self.delay:g})^{self.power:g}, after {self.warm} batches)"

    def gamma(self, t: int) -> float:
        """Weight of batch number ``t`` (from 1), of average size.

        >>> [round(Stepwise(warm=2).gamma(t), 3) for t in (1, 2, 3, 100)]
        [1.0, 0.5, 0.381, 0.062]
        """
        return 1.0 / t if t <= self.warm else (t + self.delay) ** -self.power

    def begin(self) -> Stepped:
        """The memory before the first pass."""
        return Stepped({}, {}, np.int64(0), np.int64(0), np.float64(0.0))

    def recall(self, arrays: Mapping[str, Any]) -> Stepped:
        """A memory with the leaves of a saved one."""
        parts = [{n.removeprefix(p): a for n, a in arrays.items() if n.startswith(p)} for p in ("stats.", "mean.")]
        return Stepped(parts[0], parts[1], np.int64(0), np.int64(0), np.float64(0.0))


@dataclasses.dataclass(frozen=True)
class Batches:
    """Mini-batches of ``rows`` rows in random order; None takes 1/200 of the data, but 32 to 4096 rows."""

    rows: int | None = None
    exact: Final[bool] = True
    certificate: Final[str] = "heuristic"
    words: ClassVar[str] = "small batches of shuffled rows, each followed by an M-step"
    climbs: ClassVar[str] = "progressive log-likelihood: of every batch at the parameters before it was learned"

    def __post_init__(self) -> None:
        if self.rows is not None and (not isinstance(self.rows, int | np.integer) or self.rows < 1):
            raise ValueError(f"rows={self.rows!r}: a batch has a whole number of rows >= 1; None lets the data decide")

    @property
    def name(self) -> str:
        """The axis value."""
        return "batches"

    @property
    def label(self) -> str:
        """The name with the rows of a batch."""
        return self.name if self.rows is None else f"batches ({self.rows} rows)"

    def sweep(self, model: Any, data: Any, state: Any, variant: Any, assign: Assign) -> Swept:
        """One pass over the shuffled rows."""
        blend, n = variant.blend, data.n_rows
        count = max(round(n / (self.rows or int(np.clip(n // PARTS, SMALLEST, LARGEST)))), 1)
        run, params = Learner(model, blend, variant.update, data, state.blend, n, count, len(state.trace)), state.params
        for part in shuffled(data, int(state.seed)).blocks(count):
            seen = part.sum(partial(expected_of, model, params, assign))
            refuse_local(model, seen.stats, variant.name)
            params = run.learn(params, seen, part.n_rows)
        data.passes += 1
        answer, stats = run.answer(params)
        return Swept(answer, stats, run.value, run.weight, run.memory(), ahead=params)


class Learner:
    """Stepwise statistics on their way through a pass."""

    def __init__(
        self, model: Any, blend: Stepwise, update: Any, data: Any, memory: Stepped, n_rows: int, count: int, passes: int
    ) -> None:
        if not isinstance(memory, Stepped):
            raise TypeError(f"mini-batches are blended step by step; give blend=Stepwise(), not {blend.name!r}")
        self.model, self.update, self.data, self.old = model, update, data, memory
        self.blend = dataclasses.replace(blend, warm=min(blend.warm, count))
        self.n_rows, self.count, self.first = n_rows, count, passes == 0
        self.seen, self.total = int(memory.seen), float(memory.weight)
        self.averaged = 0 if passes & (passes - 1) == 0 else int(memory.averaged)  # anew at 0, 1, 2, 4, 8, ...
        self.rows, self.weight, self.value = 0, 0.0, 0.0
        self.stats: Any = None
        self.mean: Any = None

    def learn(self, params: Any, seen: Expected, rows: int) -> Any:
        """The parameters after a batch of ``rows`` rows."""
        self.rows, self.weight, self.value = self.rows + rows, self.weight + float(seen.n), self.value + float(seen.objective)
        if not seen.n > 0:
            return params
        total = self.total if self.total > 0 else self.weight * self.n_rows / self.rows
        self.seen += 1
        share = 1.0 if self.seen == 1 else float(seen.n) * self.count / total
        self._recall(seen.stats)
        self.stats = mixed(
            self.model, self.stats, seen.stats * (1.0 / float(seen.n)), min(self.blend.gamma(self.seen) * share, 1.0)
        )
        if not self.first or 2 * self.rows > self.n_rows:
            self.averaged += 1
            self.mean = mixed(self.model, self.mean, self.stats, 1.0 / self.averaged)
        return params if self.seen < self.blend.warm else self.update(self.model, self.data, self.stats * total, params)

    def answer(self, params: Any) -> tuple[Any, Any]:
        """The averaged parameters, and the statistics that they maximise."""
        if self.mean is None:
            raise ValueError("the data have no rows of positive weight")
        stats = self.mean * self.weight
        return self.update(self.model, self.data, stats, params), stats

    def memory(self) -> Stepped:
        """What the next pass is to know."""
        return Stepped(
            dict(leaves(self.stats)),
            dict(leaves(self.mean)),
            np.int64(self.seen),
            np.int64(self.averaged),
            np.float64(self.weight),
        )

    def _recall(self, like: Any) -> None:
        if self.stats is None and self.old.stats:
            self.stats, self.mean = rebuild(like, self.old.stats), rebuild(like, self.old.mean)


def mixed(model: Any, old: Any, new: Any, gamma: float) -> Any:
    """``old + gamma (new - old)`` as a sum of positive parts, about the anchor of ``new``."""
    if old is None or gamma >= 1.0:
        return new
    return brought(model, old, new) * (1.0 - gamma) + new * gamma


def shuffled(data: Any, seed: int) -> Any:
    """The rows in the random order of ``seed``; drawn once for this plane."""
    plane = getattr(data, "data", data)
    if not hasattr(plane, "shuffled") or not hasattr(plane, "blocks"):
        raise TypeError(
            f"{type(plane).__name__} has no shuffled(rng) or no blocks(count), from which mini-batches come; "
            "use algorithm='em', or a data plane that has them, such as estep.data.Memory"
        )
    return remembered(plane, ("shuffled", seed), lambda: plane.shuffled(np.random.default_rng(np.random.SeedSequence([seed]))))


@dataclasses.dataclass(frozen=True)
class Slowed:
    """Stop when twice in a row a pass changes the objective by at most ``least`` (or tol, if more) nats per unit weight."""

    least: float = 1e-5
    name: Final[str] = "slowed"

    @property
    def words(self) -> str:
        """The rule in words."""
        return f"two passes in a row change the progressive log-likelihood by at most {self.least:g} nats per unit weight"

    def note(self, memory: StopMemory, gain: float, objective: float, target: float) -> StopMemory:
        """The memory after a pass."""
        calm = np.int64(int(memory.calm) + 1 if abs(gain) <= target else 0)
        return dataclasses.replace(memory, gain=np.float64(gain), left=np.float64(np.nan), calm=calm)

    def interrupted(self, memory: StopMemory) -> StopMemory:
        """Leaps do not apply; the memory as it is."""
        return memory

    def verdict(self, memory: StopMemory) -> Status:
        """RUNNING, or SLOWED."""
        return Status.SLOWED if memory.calm >= 2 else Status.RUNNING
