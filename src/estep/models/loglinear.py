"""Log-linear surfaces in the simplex of a table's cells: where probabilities with given margins fitted may live.

    log theta_c = constant + D_c b          D: indicators of levels 1.. of every subset of columns within a margin

coordinate   b    one for each independent column of D; probabilities follow by normalising exp(D b)

Source: Bishop, Fienberg & Holland (1975), Discrete Multivariate Analysis, chapters 2 and 3.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array

LARGEST = 1 << 24


@dataclasses.dataclass(frozen=True)
class LogLinear:
    """Probabilities whose logarithms lie in the span of ``design`` (m, r) and a constant."""

    design: Array

    @property
    def count(self) -> int:
        """Free coordinates."""
        return int(self.design.shape[1])

    def check(self, name: str, value: Array) -> None:
        """Raise ValueError unless entries are >= 0, sum to one, and where all are above zero lie on the surface (to 1e-6)."""
        if not np.isfinite(value).all() or (value < 0).any() or abs(float(value.sum()) - 1.0) > 1e-8:
            raise ValueError(f"{name} must be >= 0 and sum to one, found a sum of {float(value.sum()):.10g}")
        if (value > 0).all() and np.abs(np.log(value) - np.log(self.unpack(self.pack(value, value), value))).max() > 1e-6:
            raise ValueError(f"{name} does not obey the log-linear model of its margins; start from the uniform table")

    def pack(self, value: Array, base: Array) -> Array:
        """Coordinates of ``value``; NaN where an entry is zero."""
        if not (value > 0).all():
            return np.full(self.count, np.nan)
        with_constant = np.column_stack([np.ones(len(value)), self.design])
        return np.asarray(np.linalg.lstsq(with_constant, np.log(value), rcond=None)[0][1:])

    def unpack(self, vector: Array, base: Array) -> Array:
        """The probabilities at ``vector``."""
        logs = self.design @ vector
        free = np.exp(logs - logs.max(initial=-np.inf))
        return np.asarray(free / free.sum())

    def pull(self, value: Array, gradient: Array) -> Array:
        """Gradient in coordinates: D' (theta * (g - sum theta g))."""
        return np.asarray(self.design.T @ (value * (gradient - float(value @ gradient))))


def design_of(cells: NDArray[np.intp], levels: tuple[int, ...], margins: tuple[tuple[int, ...], ...]) -> Array:
    """The independent columns of D for these cells, (m, r).

    >>> design_of(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), (2, 2), ((0,), (1,))).astype(int).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    subsets = {s for m in margins for size in range(1, len(m) + 1) for s in itertools.combinations(sorted(m), size)}
    width = sum(int(np.prod([levels[j] - 1 for j in s])) for s in subsets)
    if width * len(cells) > LARGEST:
        raise ValueError(
            f"margins: {len(cells)} cells and {width} effects are too many for a log-linear model; use smaller margins"
        )
    columns = [
        np.all(cells[:, list(s)] == code, axis=1)
        for s in sorted(subsets, key=lambda s: (len(s), s))
        for code in itertools.product(*(range(1, levels[j]) for j in s))
    ]
    return _independent(np.array(columns, dtype=float).reshape(len(columns), len(cells)).T)


def _independent(design: Array) -> Array:
    """The columns that with a constant are linearly independent: structural zeros may make some redundant."""
    from scipy.linalg import qr

    centred = design - design.mean(axis=0)
    if not design.size:
        return design
    triangle, order = qr(centred, mode="r", pivoting=True)
    size = np.abs(np.diagonal(triangle))
    rank = int((size > 1e-10 * max(float(size.max(initial=0.0)), 1.0)).sum())
    return design[:, np.sort(order[:rank])]
