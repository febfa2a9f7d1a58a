"""Collapse of components whose law acts on columns: a spread that shrinks to nothing where the likelihood has no bound.

A law on columns has for each component and column one number that says how wide it is: a squared coefficient of variation,
the variance of logarithms, a squared scale. It goes to zero, and the density to infinity, on rows that are equal.

    dying    spread below SHRUNK of the pooled one, the pooled one below VANISHED of the data's, or below LEAST: rounding alone
    frail    below NEAR of the pooled one, or fewer than FEWEST rows
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.support import Entry
from estep.families.normal_fit import NEAR, SHRUNK, VANISHED

FEWEST = 2.0
LEAST = 1e-28
REMEDY = "if values repeat because they were rounded, merge or jitter them; prior='default' imagines a row that differs"


def moving(entry: Entry) -> NDArray[np.bool_]:
    """Entries of a parameter that are not fixed."""
    pattern = entry.pattern  # type: ignore[attr-defined]
    return np.asarray(pattern.groups >= 0)


def pooled(spread: Array, weight: Array) -> Array:
    """Mean spread within components, (d,), weighted by their rows."""
    total = weight.sum(axis=0)
    return np.asarray((weight * spread).sum(axis=0) / np.where(total > 0, total, 1.0))


def dying(
    spread: Array, weight: Array, free: NDArray[np.bool_], total: Array, words: str, least: Any = LEAST
) -> Collapsed | None:
    """The first component whose ``spread`` (k, d) has collapsed in a column, or None; ``total`` (d,) is the data's own."""
    within = pooled(spread, weight)
    gone = free & (weight > 0) & ((spread < SHRUNK * within) | (spread < least) | (within < VANISHED * total))
    if not gone.any():
        return None
    k, j = (int(i) for i in np.argwhere(gone)[0])
    return Collapsed(k, f"{words} {spread[k, j]:.1e} in column {j}: its rows are all but equal there; {REMEDY}")


def frail(spread: Array, weight: Array, free: NDArray[np.bool_], words: str) -> Collapsed | None:
    """The first component that has nearly collapsed, or None."""
    within = pooled(spread, weight)
    for k, j in np.argwhere(free & (weight > 0)):
        if weight[k, j] < FEWEST:
            return Collapsed(int(k), f"it holds only {weight[k, j]:.3g} rows in column {j}, its own spread needs {FEWEST:g}")
        if spread[k, j] < NEAR * within[j]:
            return Collapsed(
                int(k), f"{words} {spread[k, j]:.1e} in column {j}, {spread[k, j] / within[j]:.1e} of the pooled one"
            )
    return None


def refuse_flat(gap: Array, free: NDArray[np.bool_], weight: Array, least: Array) -> None:
    """Raise Collapsed naming the first component whose rows do not differ in a column: ``gap`` (k, d) at most ``least``."""
    flat = free & (weight > 0) & ~(gap > least)
    if flat.any():
        k, j = (int(i) for i in np.argwhere(flat)[0])
        raise Collapsed(k, f"its rows are equal in column {j} to the last digit, so its spread there is zero; {REMEDY}")
