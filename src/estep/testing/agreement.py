"""How a law says that it is broken: a sentence with its name, what was found, what was expected, and the worst place.

Two arrays agree when, entry by entry,

    |found - expected| <= rtol |expected| + rtol / 10 max |expected| + atol

The second term is there for entries that are small because larger ones cancelled in them; infinities must be equal.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from estep.core.record import Array, leaves

ROUNDING = 1e-9
"""Relative difference put down to rounding: sums of a thousand terms lose 1e-13, the rest is for bad conditioning."""


def broken(law: str, what: str) -> NoReturn:
    """Raise AssertionError: ``law`` does not hold, and ``what`` was seen.

    >>> broken("rows_add", "the count of component 0 is 3, expected 4")
    Traceback (most recent call last):
        ...
    AssertionError: law rows_add is broken: the count of component 0 is 3, expected 4
    """
    raise AssertionError(f"law {law} is broken: {what}")


def agree(law: str, what: str, found: Any, expected: Any, *, rtol: float = ROUNDING, atol: float = 0.0) -> None:
    """Break ``law`` unless two arrays agree (formula at the top of the module); ``what`` names them in the message.

    >>> agree("rows_add", "the counts", np.ones(2), np.array([1.0, 2.0]))
    Traceback (most recent call last):
        ...
    AssertionError: law rows_add is broken: the counts[1] is 1.0, expected 2.0 (off by 1, 2.2e-09 allowed)
    """
    a, b = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    if a.shape != b.shape:
        broken(law, f"{what} has shape {a.shape}, expected {b.shape}")
    if not a.size:
        return
    finite = np.abs(b[np.isfinite(b)])
    allowed = rtol * np.where(np.isfinite(b), np.abs(b), 0.0) + 0.1 * rtol * finite.max(initial=0.0) + atol
    with np.errstate(invalid="ignore"):
        gap = np.where(a == b, 0.0, np.abs(a - b))
    gap = np.where(np.isnan(gap), np.inf, gap)
    excess = gap - allowed
    if np.any(excess > 0):
        place = np.unravel_index(int(np.argmax(excess)), a.shape)
        where = f"[{', '.join(str(int(i)) for i in place)}]" if place else ""
        numbers = f"off by {gap[place]:.3g}, {allowed[place]:.2g} allowed"
        broken(law, f"{what}{where} is {float(a[place])!r}, expected {float(b[place])!r} ({numbers})")


def agree_records(law: str, what: str, found: Any, expected: Any, *, rtol: float = ROUNDING, atol: float = 0.0) -> None:
    """Break ``law`` unless two records (statistics, parameters) have the same fields and these agree."""
    left, right = dict(leaves(found)), dict(leaves(expected))
    if left.keys() != right.keys():
        broken(law, f"{what} has the fields {sorted(left)}, expected {sorted(right)}")
    for name, value in left.items():
        agree(law, f"{what}.{name}" if name else what, value, right[name], rtol=rtol, atol=atol)


def added(law: str, left: Any, right: Any) -> Any:
    """``left + right``; breaks ``law`` where they refuse to add."""
    try:
        return left + right
    except (ValueError, TypeError) as error:
        broken(law, f"two parts do not add: {error}")


def at_least(law: str, what: str, found: float, floor: float, *, rtol: float = 1e-12) -> None:
    """Break ``law`` if ``found`` lies below ``floor`` by more than rounding (relative to 1 + |floor|)."""
    if not found >= floor - rtol * (1.0 + abs(floor)):
        broken(law, f"{what} is {found!r}, which is {floor - found:.3g} below {floor!r}")


def weighted_sum(resp: Array, log_density: Array) -> float:
    """``sum_ik resp_ik log_density_ik`` with 0 times -inf = 0."""
    held = resp != 0
    return float((resp[held] * log_density[held]).sum())
