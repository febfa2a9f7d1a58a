"""Which part of the data a pass reads."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from estep.core.protocols import Assign, Expected


@dataclasses.dataclass(frozen=True)
class Whole:
    """Every chunk, every pass."""

    name: Final[str] = "whole"
    exact: Final[bool] = True

    def expected(self, model: Any, data: Any, params: Any, assign: Assign) -> Expected:
        """The sum of every chunk's expected statistics."""
        total: Expected = data.sum(lambda chunk: model.estep(params, chunk, assign))
        return total
