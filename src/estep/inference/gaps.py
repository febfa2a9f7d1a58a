"""How far rows are from a law: Kolmogorov's distance of probabilities from the uniform law."""

from __future__ import annotations

import dataclasses

import numpy as np

from estep.core.record import Array


@dataclasses.dataclass(frozen=True)
class Distance:
    """How far rows are from a model: the statistic, and where and how it shows."""

    value: float
    where: str
    numbers: dict[str, float]


def largest_gap(u: Array, weight: Array | None = None) -> tuple[float, int]:
    """Kolmogorov's distance of values from the uniform law, and the index of the value where it is.

    >>> largest_gap(np.array([0.5, 0.9]))
    (0.5, 0)
    """
    order = np.argsort(u, kind="stable")
    w = np.full(len(u), 1.0 / max(len(u), 1)) if weight is None else weight / weight.sum()
    after = np.cumsum(w[order])
    gaps = np.maximum(np.abs(after - u[order]), np.abs(after - w[order] - u[order]))
    i = int(np.argmax(gaps)) if len(u) else 0
    return (float(gaps[i]), int(order[i])) if len(u) else (0.0, 0)
