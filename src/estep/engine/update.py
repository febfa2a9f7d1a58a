"""What a pass does with its statistics: ``update(model, data, stats, params) -> params``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np

from estep.core.assign import SOFT
from estep.core.newton import newton_step
from estep.core.numeric import numeric_score
from estep.core.record import Array, shared_fields
from estep.engine.visit import total


@dataclasses.dataclass(frozen=True)
class Maximise:
    """The M-step: maximise q over every free parameter."""

    name: Final[str] = "maximise"

    def __call__(self, model: Any, data: Any, stats: Any, params: Any) -> Any:
        """The new parameters."""
        return model.mstep(stats, params)


@dataclasses.dataclass(frozen=True)
class Reseat:
    """The M-step, then every empty component moved to the row that fits worst: a k-means step that loses no cluster.

    The model needs ``empty(stats)`` and ``seat(params, component, row)``. Costs one more pass when a component is empty.
    """

    name: Final[str] = "maximise, reseat empty components"

    def __call__(self, model: Any, data: Any, stats: Any, params: Any) -> Any:
        """The new parameters."""
        new = model.mstep(stats, params)
        empty = model.empty(stats)
        for component, row in zip(empty, _worst_rows(model, data, new, len(empty)), strict=False):
            new = model.seat(new, component, row)
        return new


def _lowest(model: Any, params: Any, m: int, chunk: Any) -> list[tuple[float, Any]]:
    """The rows of lowest density of a chunk, with it."""
    density = model.explain(params, chunk).log_density
    return [(float(density[i]), chunk.x[i]) for i in density.argsort(kind="stable")[:m]]


def _worst_rows(model: Any, data: Any, params: Any, m: int) -> list[Any]:
    """The ``m`` distinct rows of lowest density."""
    if not m:
        return []
    worst: list[tuple[float, Any]] = []

    def keep(chunk: Any, lowest: list[tuple[float, Any]]) -> None:
        worst.extend(lowest)
        worst.sort(key=lambda pair: pair[0])
        del worst[8 * m :]

    data.map(partial(_lowest, model, params, 8 * m), keep)
    found: list[Any] = []
    for _, row in worst:
        if not any((row == other).all() for other in found):
            found.append(row)
    return found[:m]


@dataclasses.dataclass(frozen=True)
class Prune:
    """The M-step; before it, classes with less than the share ``below`` of the rows are removed.

    The model needs ``staying(stats, below)``, ``keeping(order)`` and ``cut(params, order)``.
    """

    below: float = 0.03
    name: ClassVar[str] = "maximise, drop small classes"
    certificate: ClassVar[str] = "heuristic"
    no_leap: ClassVar[str] = "classes may vanish between two passes"
    needs: ClassVar[Mapping[str, tuple[str, str]]] = {
        "staying": ("which classes have rows enough", "algorithm='em' with a number of components of your own")
    }

    def __post_init__(self) -> None:
        if not 0 <= self.below < 1:
            raise ValueError(f"below={self.below!r}: the share of the rows under which a class is removed lies in [0, 1)")

    @property
    def label(self) -> str:
        """The name with the share."""
        return f"{self.name} (below {self.below:g})"

    def __call__(self, model: Any, data: Any, stats: Any, params: Any) -> Any:
        """The new parameters."""
        return model.mstep(stats, params)


@dataclasses.dataclass(frozen=True)
class Ascend:
    """Generalised EM: one safeguarded Newton step on q in free coordinates; q never falls.

    A model with ``ascend(stats, params)`` makes the step itself, part by part; of another ``q``, ``support`` and ``score`` (or
    differences) are asked, and where a coordinate is infinite (a probability of zero) the M-step is made.

    Sources: Dempster, Laird & Rubin (1977), JRSS B 39:1; Lange (1995), JRSS B 57:425.
    """

    name: ClassVar[str] = "ascend"
    needs: ClassVar[Mapping[str, tuple[str, str]]] = {
        "q": ("the complete-data log-likelihood from statistics", "algorithm='em'")
    }

    def __call__(self, model: Any, data: Any, stats: Any, params: Any) -> Any:
        """The new parameters."""
        own = getattr(model, "ascend", None)
        return own(stats, params) if own else _ascended(model, stats, params)


def _ascended(model: Any, stats: Any, params: Any) -> Any:
    support = model.support(params)
    begin = support.pack(params)
    if not begin.size or not np.isfinite(begin).all():
        return model.mstep(stats, params)
    told = [stats] if model.prior is None else [stats, model.prior]

    def value(vector: Array) -> float:
        here = support.unpack(vector, params)
        return sum(float(model.q(here, part)) for part in told)

    def slope(vector: Array) -> Array:
        here = support.unpack(vector, params)
        own = getattr(model, "score", None)
        parts = [own(here, part) if own else numeric_score(model, here, part, support) for part in told]
        return np.asarray(sum(parts[1:], start=parts[0]))

    return support.unpack(newton_step(value, slope, begin), params)


@dataclasses.dataclass(frozen=True)
class Cycle:
    """Conditional maximisations, block after block, the others held at their newest values: ECM.

    ``blocks`` are tuples of parameter names; None takes every parameter by itself. ``recount`` takes a pass between blocks, so
    that each sees the statistics of the newest parameters (multicycle ECM); statistics that hold only where they were counted
    are always counted anew. The model needs ``holding(params, free)``, and ``blocks`` where none are given.

    Source: Meng & Rubin (1993), Biometrika 80:267.
    """

    blocks: tuple[tuple[str, ...], ...] | None = None
    recount: bool = False
    name: ClassVar[str] = "cycle"
    needs: ClassVar[Mapping[str, tuple[str, str]]] = {
        "holding": ("itself with the other parameters fixed", "algorithm='em', which maximises over all of them at once")
    }

    @property
    def label(self) -> str:
        """The name with the blocks."""
        blocks = "every parameter" if self.blocks is None else "; ".join(", ".join(block) for block in self.blocks)
        return f"cycle ({blocks}{', counted anew between' if self.recount else ''})"

    @property
    def words(self) -> str:
        """The axis in words."""
        return "one block of parameters after another is maximised, the others held"

    def __call__(self, model: Any, data: Any, stats: Any, params: Any) -> Any:
        """The new parameters."""
        recount = self.recount or any(n.rpartition(".")[2] == "at" for n, _ in shared_fields(stats))
        for i, block in enumerate(self._blocks(model)):
            stats = total(model, data, params, SOFT).stats if i and recount else stats
            params = model.holding(params, block).mstep(stats, params)
        return params

    def _blocks(self, model: Any) -> tuple[tuple[str, ...], ...]:
        return self.blocks if self.blocks is not None else tuple((name,) for name in model.blocks)


@dataclasses.dataclass(frozen=True)
class OnLikelihood:
    """An M-step part of which climbs the observed likelihood itself: ECME. The model needs ``ecme(data, stats, params)``."""

    name: ClassVar[str] = "maximise, some on the likelihood"
    needs: ClassVar[Mapping[str, tuple[str, str]]] = {
        "ecme": ("an M-step that climbs the likelihood itself in some parameters", "algorithm='em' or 'ecm'")
    }

    def __call__(self, model: Any, data: Any, stats: Any, params: Any) -> Any:
        """The new parameters."""
        return model.ecme(data, stats, params)


@dataclasses.dataclass(frozen=True)
class Only:
    """Maximise q over the named parameters, the others held where they are.

    The model needs ``holding(params, free)``: itself with every other parameter fixed.
    """

    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The axis value in words, with the names."""
        return f"only {', '.join(self.names)}"

    def __call__(self, model: Any, data: Any, stats: Any, params: Any) -> Any:
        """The new parameters."""
        if not hasattr(model, "holding"):
            raise TypeError(f"update=only needs a model with holding(params, free); {type(model).__name__} has none")
        return model.holding(params, self.names).mstep(stats, params)
