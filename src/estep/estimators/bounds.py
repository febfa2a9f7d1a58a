"""How users write censored values: two columns of bounds, or values with a status. No mathematics here.

bounds (n, 2)     lower and upper bound; equal: a value; -inf, inf or NaN: an open side; both NaN: missing
value, status     1 "exact" "event"   0 "right"   2 "left"   3 "interval" (from value to ``upper``); as in R's survival

"""

from __future__ import annotations

from typing import Any

import numpy as np

from estep.core.record import Array
from estep.families.normal_shapes import numbers

CODES: dict[Any, int] = {
    "exact": 1, "event": 1, "observed": 1, "right": 0, "censored": 0, "left": 2, "interval": 3,
    0: 0, 1: 1, 2: 2, 3: 3,  # and so False and True
}  # fmt: skip
WORDS = "0 or 'right' (known to lie above), 1 or 'exact', 2 or 'left' (known to lie below), 3 or 'interval'"


def bounds_of(y: Any, status: Any, upper: Any) -> Array:
    """Bounds (n, 2) from what a user wrote; raises ValueError naming argument, row and remedy."""
    values = numbers(y, "y")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2:
        return _open_sides(values, status, upper)
    if values.ndim != 1:
        raise ValueError(f"y has shape {values.shape}, expected (n, 2) bounds, or (n,) values")
    codes = np.ones(len(values), dtype=int) if status is None else _codes(status, len(values))
    ends = np.full(len(values), np.nan) if upper is None else _shaped(numbers(upper, "upper"), len(values), "upper")
    between = codes == 3
    if upper is not None and not between.any() and (status is None or (ends > values).any()):
        raise ValueError("upper is read where status is 'interval', which no row has; set status there, or leave upper out")
    if (lost := between & np.isnan(ends) & ~np.isnan(values)).any():
        raise ValueError(f"upper has no value in row {int(np.argmax(lost))}, whose status is 'interval'; give its upper end")
    low = np.where(codes == 2, -np.inf, values)
    high = np.select([codes == 0, between], [np.full(len(values), np.inf), ends], values)
    missing = np.isnan(values)
    return np.column_stack([np.where(missing, np.nan, low), np.where(missing, np.nan, high)])


def _open_sides(bounds: Array, status: Any, upper: Any) -> Array:
    if bounds.shape[1] != 2:
        raise ValueError(f"y has shape {bounds.shape}, expected (n, 2): a lower and an upper bound for each row")
    if status is not None or upper is not None:
        raise ValueError("y holds bounds, which say what is censored; leave status and upper out, or give y as (n,) values")
    low, high = bounds.T
    nothing = np.isnan(low) & np.isnan(high)
    low = np.where(np.isnan(low) & ~nothing, -np.inf, low)
    return np.column_stack([low, np.where(np.isnan(high) & ~nothing, np.inf, high)])


def _codes(status: Any, n: int) -> Any:
    given = _shaped(np.asarray(status, dtype=object), n, "status")
    codes = np.empty(n, dtype=int)
    for i, value in enumerate(given.tolist()):
        key = int(value) if isinstance(value, float) and value.is_integer() else value
        try:
            codes[i] = CODES[key]
        except (KeyError, TypeError):
            raise ValueError(f"status[{i}] is {value!r}; expected {WORDS}") from None
    return codes


def _shaped(values: Any, n: int, argument: str) -> Any:
    if values.shape != (n,):
        raise ValueError(f"{argument} has shape {values.shape}, expected ({n},): one entry for each value of y")
    return values
