"""Statistics averaged over passes, for stochastic approximation EM (SAEM).

    s <- s + gamma_t (S_t - s),     gamma_t = 1 for the first ``burn`` passes, then (t - burn)^-power,  1/2 < power <= 1

S_t are the statistics at the labels drawn in pass t. While gamma is 1 this is stochastic EM, which finds the neighbourhood of
an optimum; then the draws of all passes are averaged, and the run settles down on a stationary point of the likelihood.

Source: Delyon, Lavielle & Moulines (1999), Annals of Statistics 27:94.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from estep.core.record import leaves, rebuild, record
from estep.engine.blend import refuse_local


@record
class Averaged:
    """How many passes were averaged, and the leaves of the average by name."""

    passes: Any
    stats: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Average:
    """The weighted mean of the statistics of all passes; raises TypeError where they cannot be added (local statistics)."""

    burn: int = 50
    power: float = 0.75
    name: ClassVar[str] = "average"
    certificate: ClassVar[str] = "heuristic"
    no_leap: ClassVar[str] = "its M-steps answer to an average, and not to the point they start from"

    def __post_init__(self) -> None:
        if not (self.burn >= 1 and 0.5 < self.power <= 1):
            raise ValueError(f"burn={self.burn!r}, power={self.power!r}: burn is at least 1, power above 1/2 and at most 1")

    @property
    def label(self) -> str:
        """The name with the schedule."""
        return f"average (after {self.burn} passes with step t^-{self.power:g})"

    def begin(self) -> Averaged:
        """The memory before the first pass."""
        return Averaged(np.int64(0), {})

    def recall(self, arrays: Mapping[str, Any]) -> Averaged:
        """A memory with the leaves of a saved one."""
        return Averaged(np.int64(0), {n.removeprefix("stats."): a for n, a in arrays.items() if n.startswith("stats.")})

    def join(self, memory: Averaged, stats: Any, model: Any = None) -> tuple[Averaged, Any]:
        """New memory and the statistics to maximise."""
        refuse_local(model, stats, "saem")
        t = int(memory.passes) + 1
        gamma = 1.0 if t <= self.burn else float(t - self.burn) ** -self.power
        if memory.stats and gamma < 1.0:
            held, align = rebuild(stats, memory.stats), getattr(model, "align", None)
            stats = (held if align is None else align(held, stats)) * (1.0 - gamma) + stats * gamma
        return Averaged(np.int64(t), dict(leaves(stats))), stats
