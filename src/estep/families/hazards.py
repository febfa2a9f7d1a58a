"""Laws of waiting times by their hazards: what ended at each value, out of what could have.

    h_j(x) = P(X = x | X >= x) = events_j(x) / exposed_j(x),     P(X = x) = h(x) prod_{u < x} (1 - h(u))

maximises ``sum_x events log h + (exposed - events) log(1 - h)``, the likelihood of waiting times some of which were cut short.
A family with such an M-step has a method ``from_hazards(events, exposed, params, support)``, which gives None where it has none
under these constraints: a constant hazard (geometric) and free ones (categorical).

symbol   variable   shape
         events     (k, m)   waiting times that ended at x = 0 .. m - 1
         exposed    (k, m)   those that ended there or went on

Source: Kaplan & Meier (1958), J. Am. Stat. Assoc. 53:457.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from estep.core.record import Array
from estep.core.support import Support
from estep.families import columns


def constant(self: Any, events: Array, exposed: Array, params: Any, support: Support) -> Any:
    """A geometric law: all events over all exposure, pooled over tied states."""
    entry: Any = support.entries["probs"]
    ended, exposure = events.sum(axis=1, keepdims=True), exposed.sum(axis=1, keepdims=True)
    return type(params)(columns.ratio(ended, exposure, params.probs, entry.pattern))


def free(self: Any, events: Array, exposed: Array, params: Any, support: Support) -> Any:
    """Any law on 0 .. m - 1, where nothing is fixed or tied; a hazard that nobody was exposed to stays as it was."""
    k, _, m = params.probs.shape
    if support.count != k * (m - 1):
        return None
    more = ((0, 0), (0, m - events.shape[1]))
    events, exposed = np.pad(events, more), np.pad(exposed, more)
    probs = params.probs[:, 0]
    left = np.cumsum(probs[:, ::-1], axis=1)[:, ::-1]
    old = np.where(left > 0, probs / np.where(left > 0, left, 1.0), 1.0)
    old[:, -1] = 1.0
    hazards = np.where(exposed > 0, events / np.where(exposed > 0, exposed, 1.0), old)
    survived = np.cumprod(np.hstack([np.ones((k, 1)), 1.0 - hazards[:, :-1]]), axis=1)
    found = hazards * survived
    return type(params)((found / found.sum(axis=1, keepdims=True))[:, None, :])
