"""Which part of the data a pass reads."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, Final

from estep.core.protocols import Assign, Chunk, Expected


def expected_of(model: Any, params: Any, assign: Assign, chunk: Chunk) -> Expected:
    """One chunk's contribution, with the chunk last, so that a partial of it travels to other processes."""
    expected: Expected = model.estep(params, chunk, assign)
    return expected


@dataclasses.dataclass(frozen=True)
class Whole:
    """Every chunk, every pass."""

    name: Final[str] = "whole"
    exact: Final[bool] = True

    def expected(self, model: Any, data: Any, params: Any, assign: Assign) -> Expected:
        """The sum of every chunk's expected statistics."""
        total: Expected = data.sum(partial(expected_of, model, params, assign))
        return total
