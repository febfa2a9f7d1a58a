"""A model whose every run is known beforehand: to test loops, stopping rules, leaps and new variants on.

    maximise  f(theta) = -50 (theta - 1)^2   by   theta -> 1 + 0.8 (theta - 1)

Gains shrink by 0.8^2 a pass, and what is left to gain at any theta is -f(theta). Any other ``height`` and ``move`` may be
given: a move that falls, one that stays, one that raises.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from estep.core.protocols import Assign, Chunk, Expected
from estep.core.record import record
from estep.core.support import Constraints, Real, Support

N = 10
"""Rows of data that the toy is meant to be run on; their values do not matter."""


@record
class Point:
    """The one parameter, a number, as an array ()."""

    theta: Any


def _hill(theta: Any) -> float:
    return float(-50.0 * (theta - 1.0) ** 2)


def _towards_the_top(theta: Any) -> Any:
    return 1.0 + 0.8 * (theta - 1.0)


@dataclasses.dataclass(frozen=True)
class Climb:
    """``height(theta)`` in nats is the log-likelihood of ``N`` rows, ``move(theta)`` the M-step.

    >>> from estep.data.memory import Memory
    >>> from estep.engine.fit import fit
    >>> result = fit(Climb(), Memory(np.zeros((N, 1))), Point(np.array(3.0)))
    >>> round(float(result.params.theta), 3), round(result.loglik, 6) == 0
    (1.0, True)
    """

    height: Callable[[Any], float] = _hill
    move: Callable[[Any], Any] = _towards_the_top
    prior: Any = None

    def estep(self, params: Point, chunk: Chunk, assign: Assign) -> Expected:
        """The chunk's share of the height; its statistics are theta itself."""
        share, value = len(chunk) / N, float(self.height(params.theta))
        return Expected(Point(params.theta * share), value * share, value * share, float(len(chunk)))

    def mstep(self, stats: Point, params: Point) -> Point:
        """``move(theta)``."""
        return Point(np.asarray(self.move(stats.theta), dtype=float))

    def q(self, params: Point, stats: Point) -> float:
        """Nothing: the toy has no complete data."""
        return 0.0

    def support(self, params: Point) -> Support:
        """Any real number."""
        return Support({"theta": Real(Constraints().pattern("theta", ()))})
