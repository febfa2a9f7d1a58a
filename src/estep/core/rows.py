"""Rows of what a family or structure reads: an array, or a tuple of arrays that share their first axis."""

from __future__ import annotations

from typing import Any


def take(x: Any, rows: Any) -> Any:
    """The given rows (a slice or indices).

    >>> take((["a", "b"], [1, 2]), slice(0, 1))
    (['a'], [1])
    """
    if isinstance(x, tuple):
        return tuple(take(part, rows) for part in x)
    return x[rows]
