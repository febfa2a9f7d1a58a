"""What a pass does with its statistics: ``update(model, data, stats, params) -> params``."""

from __future__ import annotations

import dataclasses
from typing import Any, Final


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


def _worst_rows(model: Any, data: Any, params: Any, m: int) -> list[Any]:
    """The ``m`` distinct rows of lowest density."""
    if not m:
        return []
    worst: list[tuple[float, Any]] = []

    def keep(chunk: Any, density: Any) -> None:
        order = density.argsort(kind="stable")[: 8 * m]
        worst.extend((float(density[i]), chunk.x[i]) for i in order)
        worst.sort(key=lambda pair: pair[0])
        del worst[8 * m :]

    data.map(lambda chunk: model.explain(params, chunk).log_density, keep)
    found: list[Any] = []
    for _, row in worst:
        if not any((row == other).all() for other in found):
            found.append(row)
    return found[:m]


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
