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
class Only:
    """Maximise q over the named parameters, the others held where they are.

    The model needs ``holding(params, free)``: itself with every other parameter fixed.
    """

    names: tuple[str, ...]
    name: Final[str] = "only"

    def __call__(self, model: Any, data: Any, stats: Any, params: Any) -> Any:
        """The new parameters."""
        if not hasattr(model, "holding"):
            raise TypeError(f"update=only needs a model with holding(params, free); {type(model).__name__} has none")
        return model.holding(params, self.names).mstep(stats, params)
