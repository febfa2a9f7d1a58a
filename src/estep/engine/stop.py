"""When to stop: Aitken's projection of what is left to gain, from plain EM steps.

Successive gains g1, g2 of a linearly converging run have the ratio a = g2 / g1, so what is left after g2 is g2 a / (1 - a).
The run stops when that is at most ``tol`` nats per unit weight CALM times in a row, with the largest of the recent ratios
(fast directions die first, and the slow one decides). Gains lost in rounding stop it as well, and say so: those of the
size of rounding, three in a row; and, since EM climbs, many a small fall (of an ill-conditioned objective).

Source: Boehning et al. (1994), Ann. Inst. Statist. Math. 46:373; McLachlan & Peel (2000) section 2.11.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from estep.core.result import Status
from estep.engine.state import StopMemory

CALM = 3
ROUNDING = 8.0 * float(np.finfo(float).eps)
TREMOR = 1e-9
TREMBLES = 20


def lost_in_rounding(objective: float) -> float:
    """The size below which a change of ``objective`` cannot be told from rounding (relative: 8 epsilon)."""
    return ROUNDING * (1.0 + abs(objective))


def _trembled(gain: float, last: float, objective: float) -> bool:
    """Whether a gain is a small fall, or no larger than twice the fall before it."""
    small = TREMOR * (1.0 + abs(objective))
    return -small <= gain < 0.0 or (-small <= last < 0.0 and gain <= -2.0 * last)


@dataclasses.dataclass(frozen=True)
class Aitken:
    """Stop when the projected gain is at most ``tol`` nats per unit weight."""

    name: Final[str] = "aitken"

    def note(self, memory: StopMemory, gain: float, objective: float, target: float) -> StopMemory:
        """The memory after a plain step that gained ``gain``; ``target`` is tol times the weight."""
        floor = lost_in_rounding(objective)
        flat = int(memory.flat) + 1 if abs(gain) <= floor else 0
        trembled = _trembled(gain, float(memory.gain), objective)
        trembles = np.int64(int(memory.trembles) + 1 if trembled else max(int(memory.trembles) - 1, 0))
        rates = memory.rates
        if np.isfinite(memory.gain) and memory.gain > floor and gain > floor:
            rates = np.append(rates, gain / memory.gain)[-CALM:]
        if not np.isfinite(memory.gain):
            return dataclasses.replace(memory, gain=np.float64(gain), flat=np.int64(flat), trembles=trembles)
        left = self._left(np.append(rates, memory.slowest) if memory.slowest > 0 else rates, max(abs(gain), floor))
        calm = int(memory.calm) + 1 if left <= target else 0
        found = StopMemory(np.float64(gain), rates, np.float64(left), np.int64(calm), np.int64(flat), trembles)
        return dataclasses.replace(found, slowest=memory.slowest, values=memory.values)

    def interrupted(self, memory: StopMemory) -> StopMemory:
        """The memory after a leap: the chain of plain gains is broken, and few passes cannot show how slow the slowest way is.

        So the largest rate that was known before counts from now on.
        """
        known = memory.rates[memory.rates < 1.0]
        slowest = np.float64(max(float(memory.slowest), float(known.max(initial=0.0))))
        return dataclasses.replace(memory, gain=np.float64(np.nan), slowest=slowest)

    def verdict(self, memory: StopMemory) -> Status:
        """RUNNING, or why to stop."""
        if memory.calm >= CALM:
            return Status.CONVERGED
        return Status.ROUNDED if memory.flat >= CALM or memory.trembles >= TREMBLES else Status.RUNNING

    def _left(self, rates: np.ndarray, gain: float) -> float:
        slowest = float(rates.max(initial=0.5 if rates.size == 0 else 0.0))
        return gain * slowest / (1.0 - slowest) if slowest < 1.0 else np.inf


@dataclasses.dataclass(frozen=True)
class Settled:
    """Stop when a pass changes nothing: for hard assignment, whose partitions are finite in number."""

    name: Final[str] = "settled"

    def note(self, memory: StopMemory, gain: float, objective: float, target: float) -> StopMemory:
        """The memory after a step."""
        calm = 1 if gain <= lost_in_rounding(objective) else 0
        left = 0.0 if calm else np.nan
        return StopMemory(np.float64(gain), memory.rates, np.float64(left), np.int64(calm), np.int64(0))

    def interrupted(self, memory: StopMemory) -> StopMemory:
        """Leaps do not apply to hard assignment; the memory as it is."""
        return memory

    def verdict(self, memory: StopMemory) -> Status:
        """RUNNING, or SETTLED."""
        return Status.SETTLED if memory.calm else Status.RUNNING


@dataclasses.dataclass(frozen=True)
class AllPasses:
    """Never stop before the cap: for many small problems side by side, none of which is to depend on how many there are."""

    name: Final[str] = "all passes"

    def note(self, memory: StopMemory, gain: float, objective: float, target: float) -> StopMemory:
        """The memory after a plain step, as Aitken's."""
        return Aitken().note(memory, gain, objective, target)

    def interrupted(self, memory: StopMemory) -> StopMemory:
        """The memory after a leap, as Aitken's."""
        return Aitken().interrupted(memory)

    def verdict(self, memory: StopMemory) -> Status:
        """RUNNING."""
        return Status.RUNNING
