"""A variant of EM is a point on five axes; a named algorithm is one line of the table below."""

from __future__ import annotations

import dataclasses
from typing import Any

from estep.core.assign import HARD, SOFT
from estep.engine.blend import Replace
from estep.engine.leap import Leap, leap_named
from estep.engine.stop import Aitken, Settled
from estep.engine.update import Maximise, Only, Reseat
from estep.engine.visit import Whole

UNASKED = ("auto", "none", None)
PROMISES = ("exact", "bound", "heuristic")


@dataclasses.dataclass(frozen=True)
class Variant:
    """visit x assign x blend x update x leap, with the stopping rule and what is promised of the objective.

    ``certificate`` is "exact" (the objective never falls), "bound" (a lower bound never falls) or "heuristic": the weakest of
    what is given and what the axes promise.

    >>> Variant().describe()
    'em: visit whole, assign soft, blend replace, update maximise, leap none; stop aitken; exact'
    """

    name: str = "em"
    visit: Any = Whole()
    assign: Any = SOFT
    blend: Any = Replace()
    update: Any = Maximise()
    leap: Leap | None = None
    stop: Any = Aitken()
    certificate: str = "exact"

    def __post_init__(self) -> None:
        axes = (self.visit, self.assign, self.blend, self.update)
        claims = [self.certificate, *(getattr(axis, "certificate", "exact") for axis in axes)]
        object.__setattr__(self, "certificate", max(claims, key=PROMISES.index))

    def describe(self) -> str:
        """The axes in one line."""
        leap = self.leap.name if self.leap else "none"
        axes = f"visit {self.visit.name}, assign {self.assign.name}, blend {self.blend.name}, update {self.update.name}"
        return f"{self.name}: {axes}, leap {leap}; stop {self.stop.name}; {self.certificate}"

    def without_leap(self) -> Variant:
        """The same with plain steps."""
        return dataclasses.replace(self, leap=None)


PRESETS: dict[str, Variant] = {
    "em": Variant(),
    "cem": Variant("cem", assign=HARD, stop=Settled()),
    "kmeans": Variant("kmeans", assign=HARD, update=Reseat(), stop=Settled()),
}


def variant_of(algorithm: Any = "em", accelerate: Any = "auto") -> Variant:
    """The variant for the public arguments ``algorithm`` and ``accelerate``; raises ValueError on an unknown name."""
    if isinstance(algorithm, Variant):
        return algorithm if accelerate in UNASKED else dataclasses.replace(algorithm, leap=leap_named(accelerate))
    if not isinstance(algorithm, str) or algorithm not in PRESETS:
        raise ValueError(f"algorithm={algorithm!r} is unknown; choose one of {sorted(PRESETS)} or pass a Variant")
    variant, leap = PRESETS[algorithm], leap_named(accelerate)
    if variant.assign.name != "soft":
        if leap is not None and accelerate != "auto":
            raise ValueError(
                f"accelerate={accelerate!r}: {algorithm!r} takes no leaps (its objective is not smooth); use 'none'"
            )
        leap = None
    return dataclasses.replace(variant, leap=leap)


__all__ = ["PRESETS", "Maximise", "Only", "Reseat", "Variant", "variant_of"]
