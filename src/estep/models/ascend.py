"""The M-step of a part that solves fewer constraints than it was given: climb q over the free coordinates.

    maximise q(unpack(v), stats) over v in R^p, from the current parameters, by L-BFGS; never below where it began

A family (or structure) solves in closed form the patterns of fixed and tied entries that it knows. For any other its answer
moves what is fixed or parts what is tied; that is noticed, and the maximum is found here, in the coordinates of its support.

Source: Liu & Nocedal (1989), Mathematical Programming 45:503, for L-BFGS (scipy's).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from estep.core.record import Array
from estep.core.support import Constraints, Support


def heeds(params: Any, constraints: Constraints) -> bool:
    """Whether fixed entries hold their values and tied entries are equal (relative 1e-9)."""
    for name, held in constraints.fixed.items():
        value, known = np.asarray(getattr(params, name)), ~np.isnan(held)
        if value.shape == held.shape and not np.allclose(value[known], held[known], rtol=1e-9, atol=0.0):
            return False
    for name, ties in constraints.tied.items():
        value = np.asarray(getattr(params, name))
        groups = [value[ties == tie] for tie in np.unique(ties)] if value.shape[: ties.ndim] == ties.shape else []
        if not all(np.allclose(group, group[:1], rtol=1e-9, atol=0.0) for group in groups):
            return False
    return True


def climb(part: Any, stats: Any, params: Any, support: Support) -> Any:
    """The parameters that maximise ``part.q(., stats)`` over the free coordinates, from ``params``, never lower."""
    from scipy.optimize import minimize

    begin = support.pack(params)
    held = support.unpack(begin, params)
    if not begin.size:
        return held
    floor = float(part.q(held, stats))

    def loss(vector: Array) -> float:
        with np.errstate(all="ignore"):
            value = float(part.q(support.unpack(vector, held), stats))
        return -value if np.isfinite(value) else np.inf

    found = minimize(loss, begin, method="L-BFGS-B", jac="3-point", options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 200})
    return support.unpack(found.x, held) if -found.fun > floor else held
