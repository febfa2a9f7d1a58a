"""Laws of anything that has q, score, fit and support, stated in free coordinates.

    five(h)     (8 (f(v+h) - f(v-h)) - (f(v+2h) - f(v-2h))) / 12 h              error O(h^4)
    slope       (16 five(h/2) - five(h)) / 15                                   error O(h^6)
    curvature   (f(v+h) - 2 f(v) + f(v-h)) / h^2

The step h of each coordinate is a power of two at which f bends (anywhere between v - 2h and v + 2h) by 1e-5 to 2e-3
nats and rises by at most 0.3: large enough to stand above rounding, small enough that f is a parabola there, and exact
in floating point however far the coordinate lies from zero.

    gain left   sum_j score_j^2 / 2 |curvature_j|        nats that a Newton step along each coordinate would still gain
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from estep.core.record import Array, leaves
from estep.testing.agreement import agree, agree_records, at_least, broken

Q = Callable[[Any], float]

BEND = (1e-5, 2e-3)
RISE = 0.3
SLOPE = 1e-6
"""Relative error allowed in a slope, where one unit is |slope| + sqrt |curvature| (a nat within a standard error)."""
GAIN = 1e-8
"""Nats left to gain, relative to 1 + |q|, that still count as a maximum."""


def slopes(fn: Callable[[Array], float], at: Array) -> tuple[Array, Array]:
    """Slope and curvature of ``fn`` along every coordinate at ``at``, (p,) each.

    >>> slope, curvature = slopes(lambda v: float(3.0 * v[0] - 2.0 * v[1] ** 2), np.array([1.0, 1.0]))
    >>> slope.round(9).tolist(), curvature.round(4).tolist()
    ([3.0, -4.0], [0.0, -4.0])
    """
    slope, curvature, centre = np.empty_like(at), np.empty_like(at), fn(at)
    for j in range(at.size):

        def along(t: float, j: int = j) -> float:
            moved = at.copy()
            moved[j] += t
            return fn(moved)

        step, around = _step(along, centre, float(at[j]))
        low2, low, high, high2 = around
        near, middle, far = along(0.5 * step) - along(-0.5 * step), high - low, high2 - low2
        five, finer = (8.0 * middle - far) / (12.0 * step), (8.0 * near - middle) / (6.0 * step)
        slope[j] = (16.0 * finer - five) / 15.0
        curvature[j] = (high - 2.0 * centre + low) / step**2
    return slope, curvature


def _step(along: Callable[[float], float], centre: float, at: float) -> tuple[float, list[float]]:
    """The step, and the values at -2, -1, 1 and 2 steps."""
    step, longest = 2.0**-10, 2.0 ** np.floor(np.log2(0.1 * (1.0 + abs(at))))
    for _ in range(30):
        around = [along(t * step) for t in (-2.0, -1.0, 1.0, 2.0)]
        bend = float(np.abs(np.diff([*around[:2], centre, *around[2:]], 2)).max())
        rise = abs(around[2] - around[1])
        if not (bend <= BEND[1] and rise <= RISE):
            step /= 4.0 if not np.isfinite(bend) else 2.0 ** np.ceil(0.5 * np.log2(max(bend / BEND[1], rise / RISE, 4.0)))
        elif bend < BEND[0] and rise < RISE / 8.0 and step < longest:
            step = min(step * 4.0, longest)
        else:
            break
    return step, around


def gain_left(score: Array, curvature: Array) -> float:
    """Nats that Newton steps along the coordinates would still gain."""
    return float((score**2 / (2.0 * np.maximum(np.abs(curvature), 1e-6))).sum())


def in_coordinates(q: Q, support: Any, params: Any) -> tuple[Callable[[Array], float], Array]:
    """``q`` as a function of free coordinates in the chart of ``params``, and the coordinates of ``params``."""
    return (lambda vector: q(support.unpack(vector, params))), np.asarray(support.pack(params), dtype=float)


def slope_agrees(law: str, what: str, q: Q, score: Array, support: Any, params: Any) -> None:
    """Break ``law`` unless ``score`` is the gradient of ``q`` at ``params`` in free coordinates."""
    slope, curvature = slopes(*in_coordinates(q, support, params))
    unit = np.abs(slope) + np.sqrt(np.abs(curvature)) + 1e-6
    if np.shape(score) != slope.shape:
        broken(law, f"{what} has shape {np.shape(score)}, expected {slope.shape} (one entry a free coordinate)")
    agree(law, f"{what} (in units of slope + root curvature)", score / unit, slope / unit, rtol=0.0, atol=SLOPE)


def is_highest(law: str, q: Q, support: Any, fitted: Any, rng: np.random.Generator, score: Array | None = None) -> None:
    """Break ``law`` unless ``fitted`` is a maximum of ``q`` along every coordinate and in random directions."""
    value, (fn, at) = q(fitted), in_coordinates(q, support, fitted)
    if not np.isfinite(value):
        broken(law, f"q at the fit is {value!r}")
    if not at.size:
        return
    slope, curvature = slopes(fn, at)
    for words, gradient in (("slope", slope), ("score", slope if score is None else score)):
        left = gain_left(gradient, curvature)
        if not left <= GAIN * (1.0 + abs(value)):
            worst = int(np.argmax(np.abs(gradient) / np.sqrt(np.maximum(np.abs(curvature), 1e-6))))
            broken(
                law,
                f"at the fit the {words} of q in coordinate {worst} is {gradient[worst]:.4g}: {left:.3g} nats are left",
            )
    for size in (1e-3, 1e-2, 0.1, 1.0, 1.0):
        there = fn(at + size * rng.standard_normal(at.size) / np.sqrt(np.maximum(np.abs(curvature), 1e-6)))
        at_least(law, f"q at the fit, against a random point {size:g} standard errors away,", value, there, rtol=GAIN)


def is_legal(law: str, what: str, support: Any, params: Any) -> None:
    """Break ``law`` unless ``support`` accepts ``params``."""
    try:
        support.check(params)
    except ValueError as error:
        broken(law, f"{what} lies outside the support: {error}")


def goes_there_and_back(law: str, support: Any, params: Any, rng: np.random.Generator) -> None:
    """Break ``law`` unless ``params`` are legal, and pack and unpack undo one another there and nearby."""
    is_legal(law, "the point", support, params)
    vector = np.asarray(support.pack(params), dtype=float)
    if vector.shape != (support.count,):
        broken(law, f"pack gives {vector.shape} coordinates, but count says {support.count}")
    if not np.all(np.isfinite(vector)):
        broken(law, f"coordinate {int(np.argmin(np.isfinite(vector)))} of the parameters is not finite")
    agree_records(law, "unpack(pack(params))", support.unpack(vector, params), params)
    moved = vector + 1e-3 * rng.standard_normal(vector.size)
    there = support.unpack(moved, params)
    is_legal(law, "a point near it", support, there)
    agree(law, "pack(unpack(v))", support.pack(there, params), moved, rtol=1e-8, atol=1e-9)
    if vector.size and all(np.array_equal(a, b) for (_, a), (_, b) in zip(leaves(there), leaves(params), strict=True)):
        broken(law, "moving every free coordinate moves no parameter")


def moves_only_the_free(law: str, support: Any, before: Any, after: Any) -> None:
    """Break ``law`` unless ``after`` can be rebuilt from ``before`` and the free coordinates of ``after``."""
    rebuilt = support.unpack(support.pack(after, before), before)
    agree_records(law, "the fit, against itself rebuilt from its free coordinates,", after, rebuilt, rtol=1e-8)


def mean_is_zero(law: str, scores: Array, what: str) -> None:
    """Break ``law`` if a column of ``scores`` (batches, p) has a mean that is not 0 (Student's t, false alarm 1e-9)."""
    from scipy.stats import t

    batches, p = scores.shape
    if not p:
        return
    spread = scores.std(axis=0, ddof=1) / np.sqrt(batches)
    size = np.abs(scores.mean(axis=0)) / np.maximum(spread, 1e-12 * (1.0 + np.abs(scores).max()))
    limit = float(t.isf(0.5e-9 / p, batches - 1))
    worst = int(np.argmax(size))
    if not size[worst] <= limit:
        broken(law, f"the mean score of {what} in coordinate {worst} is {size[worst]:.3g} standard errors from zero")
