"""Values derived from an immutable record, computed once and kept with it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any


def remembered(owner: Any, key: Hashable, make: Callable[[], Any]) -> Any:
    """``make()``, computed once for this (immutable) ``owner`` and ``key``."""
    memo = owner.__dict__.get("_memo")
    if memo is None:
        memo = {}
        object.__setattr__(owner, "_memo", memo)
    if key not in memo:
        memo[key] = make()
    return memo[key]
