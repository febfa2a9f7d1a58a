"""Derivatives by finite differences, for parts that bring none of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from estep.core.record import Array
from estep.core.support import Support


def numeric_score(family: Any, params: Any, stats: Any, support: Support) -> Array:
    """Gradient of q in free coordinates by central differences, for families without ``score`` (error about 1e-9 relative)."""
    at, out = support.pack(params), np.empty(support.count)
    for j in range(at.size):
        step = np.zeros_like(at)
        step[j] = 1e-5 * max(1.0, abs(at[j]))
        high = family.q(support.unpack(at + step, params), stats)
        out[j] = (high - family.q(support.unpack(at - step, params), stats)) / (2 * step[j])
    return out
