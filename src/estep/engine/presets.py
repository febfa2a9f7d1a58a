"""A variant of EM is a point on five axes; a named algorithm is one line of the table below."""

from __future__ import annotations

import dataclasses
from difflib import get_close_matches
from typing import Any

from estep.core.assign import HARD, SOFT, Annealed, Entropic, Sampled
from estep.engine.active import Sparse
from estep.engine.average import Average
from estep.engine.batches import Batches, Slowed, Stepwise
from estep.engine.blend import Remember, Replace
from estep.engine.blocks import Blocks
from estep.engine.leap import Leap, leap_named
from estep.engine.stop import Aitken, Settled
from estep.engine.update import Ascend, Cycle, Maximise, OnLikelihood, Only, Prune, Reseat
from estep.engine.visit import Whole
from estep.engine.visit_nodes import KdTree
from estep.engine.wander import MeanOrBest, Steady

UNASKED = ("auto", "none", None)
PROMISES = ("exact", "bound", "heuristic")


@dataclasses.dataclass(frozen=True)
class Variant:
    """visit x assign x blend x update x leap, with the stopping rule and what is promised of the objective.

    ``answer`` chooses the parameters that a run ends with, where that is not its last point (``MeanOrBest``).
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
    answer: Any = None

    def __post_init__(self) -> None:
        axes = (self.visit, self.assign, self.blend, self.update)
        claims = [self.certificate, *(getattr(axis, "certificate", "exact") for axis in axes)]
        object.__setattr__(self, "certificate", max(claims, key=PROMISES.index))

    def describe(self) -> str:
        """The axes in one line."""
        leap = self.leap.name if self.leap else "none"
        named = {"visit": self.visit, "assign": self.assign, "blend": self.blend, "update": self.update}
        axes = ", ".join(f"{axis} {getattr(value, 'label', value.name)}" for axis, value in named.items())
        return f"{self.name}: {axes}, leap {leap}; stop {self.stop.name}; {self.certificate}"

    def without_leap(self) -> Variant:
        """The same with plain steps."""
        return dataclasses.replace(self, leap=None)


PRESETS: dict[str, Variant] = {
    "em": Variant(),
    "cem": Variant("cem", assign=HARD, stop=Settled()),
    "incremental": Variant("incremental", visit=Blocks(), blend=Remember()),
    "sparse": Variant("sparse", visit=Blocks(1), assign=Sparse(), blend=Remember()),
    "sparse_incremental": Variant("sparse_incremental", visit=Blocks(), assign=Sparse(), blend=Remember()),
    "online": Variant("online", visit=Batches(), blend=Stepwise(), stop=Slowed()),
    "sem": Variant("sem", assign=Sampled(), stop=Steady(), answer=MeanOrBest()),
    "mcem": Variant("mcem", assign=Sampled(draws=5, growth=0.2), stop=Steady(), answer=MeanOrBest()),
    "saem": Variant("saem", assign=Sampled(), blend=Average(), stop=Steady(200)),
    "annealed": Variant("annealed", assign=Annealed()),
    "regularized": Variant("regularized", assign=Entropic(), update=Prune()),
    "gem": Variant("gem", update=Ascend()),
    "ecm": Variant("ecm", update=Cycle()),
    "ecme": Variant("ecme", update=OnLikelihood()),
    "kdtree": Variant("kdtree", visit=KdTree()),
    "kmeans": Variant("kmeans", assign=HARD, update=Reseat(), stop=Settled()),
}


def variant_of(algorithm: Any = "em", accelerate: Any = "auto") -> Variant:
    """The variant for the public arguments ``algorithm`` and ``accelerate``.

    Raises ValueError on an unknown name, listing the known ones, and where the variant cannot be accelerated, saying why.
    """
    if isinstance(algorithm, Variant):
        return algorithm if accelerate in UNASKED else _leaping(algorithm, leap_named(accelerate), accelerate)
    if not isinstance(algorithm, str) or algorithm not in PRESETS:
        near = get_close_matches(str(algorithm), PRESETS, n=1)
        guess = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"algorithm={algorithm!r} is unknown; choose one of {sorted(PRESETS)}{guess} or pass a Variant")
    return _leaping(PRESETS[algorithm], leap_named(accelerate), accelerate)


def _leaping(variant: Variant, leap: Leap | None, accelerate: Any) -> Variant:
    why = no_leap(variant)
    if why and leap is not None and accelerate != "auto":
        raise ValueError(
            f"accelerate={accelerate!r}: {variant.name!r} takes no leaps ({why}); use accelerate='none', "
            f"or algorithm='em' with accelerate={accelerate!r}"
        )
    return dataclasses.replace(variant, leap=None if why else leap)


def no_leap(variant: Variant) -> str:
    """Why the steps of a variant cannot be extrapolated, or an empty text: an axis tells (``no_leap``, or ``leaps`` False)."""
    axes = (variant.visit, variant.assign, variant.blend, variant.update)
    told = [str(axis.no_leap) for axis in axes if hasattr(axis, "no_leap")]
    smooth = variant.assign.name == SOFT.name and all(getattr(axis, "leaps", True) for axis in axes)
    return told[0] if told else "" if smooth else "its steps are not those of a smooth map"


__all__ = ["PRESETS", "Maximise", "Only", "Reseat", "Variant", "variant_of"]
