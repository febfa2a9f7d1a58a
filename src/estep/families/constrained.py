"""The M-step of a law under any pattern of fixed and tied entries: Newton on q in free coordinates, never below the start.

    v <- v + t H^{-1} score(v),      H = |-d score / dv|  (eigenvalues without their signs),   t = 1, 1/2, 1/4, ...

The Hessian comes from central differences of the exact gradient. Directions that q does not feel (a component without rows)
stay where they are. For laws that solve the free case in closed form and need this where entries are held.

Source: Nocedal & Wright (2006), Numerical Optimization, sections 3.3 and 3.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.core.support import Support

_SWEEPS, _HALVINGS = 60, 40
STEP = 2.0**-17  # the cube root of epsilon, where the central difference of a smooth function is most exact
RESTED = 1e-15  # the last Newton step has squared what was left before it
LONGEST = 2.0  # in coordinates: logs move by at most this a step


def climb(q: Callable[[Any], float], score: Callable[[Any], Array], support: Support, params: Any) -> Any:
    """The parameters that maximise ``q`` over the free coordinates of ``support``, from ``params``, never lower."""
    at = support.pack(params)
    held = support.unpack(at, params)
    if not at.size:
        return held

    def value_at(vector: Array) -> float:
        with np.errstate(all="ignore"):
            found = q(support.unpack(vector, held))
        return found if np.isfinite(found) else -np.inf

    def slope_at(vector: Array) -> Array:
        with np.errstate(all="ignore"):
            return score(support.unpack(vector, held))

    value = value_at(at)
    for _ in range(_SWEEPS):
        slope = slope_at(at)
        new, gained = _search(value_at, at, _newton(slope, _hessian(slope_at, at)), value)
        rested = gained - value <= RESTED * (1.0 + abs(value))
        at, value = new, gained
        if rested:
            break
    return support.unpack(at, held)


def _hessian(slope_at: Callable[[Array], Array], at: Array) -> Array:
    columns = []
    for j in range(at.size):
        step = np.zeros_like(at)
        step[j] = STEP * max(1.0, abs(at[j]))
        columns.append((slope_at(at + step) - slope_at(at - step)) / (2.0 * step[j]))
    whole = np.array(columns)
    return np.asarray(0.5 * (whole + whole.T)) if np.isfinite(whole).all() else np.eye(at.size)


def _newton(slope: Array, hessian: Array) -> Array:
    """The Newton step with every curvature taken downwards, no coordinate moved by more than LONGEST."""
    values, vectors = np.linalg.eigh(hessian)
    bend = np.abs(values)
    floor = 1e-12 * max(float(bend.max()), np.finfo(float).tiny)
    move = vectors @ ((vectors.T @ slope) / np.maximum(bend, floor))
    move = np.where(slope == 0.0, 0.0, move)
    return np.asarray(move * min(1.0, LONGEST / max(float(np.abs(move).max()), np.finfo(float).tiny)))


def _search(value_at: Callable[[Array], float], at: Array, move: Array, value: float) -> tuple[Array, float]:
    """The first of the halved steps that does not lower q, and q there."""
    for _ in range(_HALVINGS):
        there = value_at(at + move)
        if there >= value:
            return at + move, there
        move = 0.5 * move
    return at, value
