"""Which part of the data a pass reads."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, Final

import numpy as np

from estep.core.assign import ImpossibleRow
from estep.core.collapse import Collapsed
from estep.core.protocols import Assign, Chunk, Expected

NO_POINT = (Collapsed, ImpossibleRow, FloatingPointError, np.linalg.LinAlgError)
"""What a pass raises at parameters from which EM cannot go on."""


def expected_of(model: Any, params: Any, assign: Assign, chunk: Chunk) -> Expected:
    """One chunk's contribution, with the chunk last, so that a partial of it travels to other processes."""
    expected: Expected = model.estep(params, chunk, assign)
    return expected


@dataclasses.dataclass
class Counted:
    """A data plane as a step sees it: the same, with passes counted."""

    data: Any
    passes: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.data, name)

    def sum(self, fn: Any) -> Any:
        """A pass."""
        self.passes += 1
        return self.data.sum(fn)

    def map(self, fn: Any, sink: Any) -> None:
        """A pass."""
        self.passes += 1
        self.data.map(fn, sink)

    def blocks(self, count: int) -> Any:
        """A pass, block by block."""
        self.passes += 1
        if not hasattr(self.data, "blocks"):
            raise TypeError(
                f"{type(self.data).__name__} cannot be visited block by block (it has no blocks(count)); "
                "use algorithm='em', or a data plane that can, such as estep.data.Memory"
            )
        return self.data.blocks(count)


@dataclasses.dataclass(frozen=True)
class Swept:
    """What one scan led to: parameters, the statistics they maximise, the objective there, weight, and the memory for the next.

    ``ahead`` is where the next scan begins, if elsewhere than at ``params``.
    """

    params: Any
    stats: Any
    value: float
    n: float
    blend: Any
    ahead: Any = None


@dataclasses.dataclass(frozen=True)
class Whole:
    """Every chunk, every pass."""

    name: Final[str] = "whole"
    exact: Final[bool] = True

    def expected(self, model: Any, data: Any, state: Any, assign: Assign) -> Expected:
        """The sum of every chunk's expected statistics at ``state.params``; other visits read the pass and the seed too."""
        return total(model, data, state.params, assign)


def total(model: Any, data: Any, params: Any, assign: Assign) -> Expected:
    """One whole pass: every chunk's expected statistics at ``params``, added."""
    expected: Expected = data.sum(partial(expected_of, model, params, assign))
    return expected
