"""How things are timed here, and the line of the table that comes out.

Two contenders are timed in turn, A B A B, and the ratio is the median over the pairs: whatever else the machine does at the
time falls on both. The cost of one pass is a difference of two runs, (t(m2) - t(m1)) / (m2 - m1), so that starts, checks
and closing passes cancel.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Timer = Callable[[], float]


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of the table: what was measured, for us and for one rival, and the goal if there is one.

    ``ratio`` is rival / ours where both are costs; ``met`` is None where there is no goal or no rival.
    """

    row: str
    case: str
    rival: str
    unit: str
    ours: float | None = None
    theirs: float | None = None
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much to do: ``repeats`` interleaved pairs; ``quick`` asks for smaller problems."""

    repeats: int
    quick: bool


def seconds(call: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def a_pass(run: Callable[[int], Any], m1: int, m2: int) -> Timer:
    """A timer of one pass of ``run(m)``, by the difference of ``m2`` and ``m1`` passes."""
    return lambda: max(seconds(lambda: run(m2)) - seconds(lambda: run(m1)), 1e-9) / (m2 - m1)


def interleaved(timers: Mapping[str, Timer], repeats: int, *, warm: bool = False) -> dict[str, list[float]]:
    """Every timer in turn, ``repeats`` times, after one round that is thrown away unless they are ``warm`` already."""
    if not warm:
        for timer in timers.values():
            timer()
    found: dict[str, list[float]] = {name: [] for name in timers}
    for _ in range(repeats):
        for name, timer in timers.items():
            found[name].append(timer())
    return found


def ratio(theirs: list[float], ours: list[float]) -> float:
    """Median over the pairs of theirs / ours."""
    return statistics.median(t / o for t, o in zip(theirs, ours, strict=True))


def geometric_mean(values: list[float]) -> float:
    """exp of the mean logarithm."""
    return float(np.exp(np.mean(np.log(values))))


def matrix_product(size: int = 2000) -> Callable[[], float]:
    """A timer of a product of two square float64 matrices with all threads, in floating-point operations a second."""
    left, right = np.random.default_rng(0).normal(size=(2, size, size))
    out = np.empty((size, size))
    return lambda: 2.0 * size**3 / seconds(lambda: np.matmul(left, right, out=out))


def absent(row: str, case: str, rival: str, unit: str, why: str) -> Line:
    """The line of a rival that is not here."""
    return Line(row, case, rival, unit, note=f"absent: {why}")
