"""M-steps over free coordinates: the whole climb of q, or one safeguarded Newton step of it.

    climb     maximise q(unpack(v), stats) over v in R^p, from the current parameters, by L-BFGS; never below where it began
    ascend    one Newton step of the same, never lower (``core/newton.py``), structure and family each on its own

A family (or structure) solves in closed form the patterns of fixed and tied entries that it knows. For any other its answer
moves what is fixed or parts what is tied; that is noticed, and the maximum is found here, in the coordinates of its support.

A step of generalised EM needs no maximum. Two kinds of parts are left to their own M-step there: those with local statistics,
whose M-step is such a step already, and those with a parameter on the edge of its support (a probability of zero), where free
coordinates are infinite.

Sources: Liu & Nocedal (1989), Mathematical Programming 45:503, for L-BFGS (scipy's); Dempster, Laird & Rubin (1977), JRSS B
39:1, for generalised EM; Lange (1995), JRSS B 57:425, for one Newton step.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np

from estep.core.newton import newton_step
from estep.core.numeric import numeric_score
from estep.core.record import Array, shared_fields
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


def fitted(part: Any, stats: Any, params: Any, support: Support, constraints: Constraints) -> Any:
    """The part's own M-step, or where that does not heed the constraints the climb."""
    found = part.fit(stats, params, support)
    return found if not constraints or heeds(found, constraints) else climb(part, stats, params, support)


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


def ascend(self: Any, stats: Any, params: Any) -> Any:
    """Parameters at which q(., stats + prior) is no lower than at ``params``: one Newton step of structure and family each."""
    total, (s, f) = self.with_imagined(stats), self._supports(params)
    structure = _stepped(self.structure, total.structure, params.structure, s, self._part(self.structure))
    family = _stepped(self.family, total.family, params.family, f, self._part(self.family))
    return dataclasses.replace(params, structure=structure, family=family)


def _stepped(part: Any, stats: Any, params: Any, support: Support, constraints: Constraints) -> Any:
    begin = support.pack(params)
    if is_local(stats) or not np.isfinite(begin).all():
        return fitted(part, stats, params, support, constraints)
    own = getattr(part, "score", None) or partial(numeric_score, part)

    def value(vector: Array) -> float:
        return float(part.q(support.unpack(vector, params), stats))

    def slope(vector: Array) -> Array:
        return np.asarray(own(support.unpack(vector, params), stats, support))

    return support.unpack(newton_step(value, slope, begin), params)


def is_local(stats: Any) -> bool:
    """Whether statistics hold only at the parameters where they were counted (they have a shared field ``at``)."""
    return any(name.rpartition(".")[2] == "at" for name, _ in shared_fields(stats))
