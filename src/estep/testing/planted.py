"""Planted bugs: a part that is right except in one place, to see that a law catches it.

A test that cannot fail says nothing. Before you trust that ``check_family`` passes on your family, break the family and look.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any


def altered(part: Any, **changes: Any) -> Any:
    """``part`` (family, structure or model) with some methods or attributes replaced; it stays altered when it is bound.

    A change that is callable is called with the right part first, then the arguments of the method; others are attributes.
    The part is wrapped, not inherited from.

    >>> from estep.families.normal import Normal
    >>> from estep.testing import check_family
    >>> import numpy as np
    >>> wrong = altered(Normal("VVI"), score=lambda right, *args: -right.score(*args))
    >>> check_family(wrong, np.random.default_rng(0).normal(size=(40, 2)), k=2)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    AssertionError: law score_is_the_gradient_of_q is broken: ...
    """
    made = types.SimpleNamespace(**{name: getattr(part, name) for name in dir(part) if not name.startswith("_")})
    if hasattr(part, "bind"):
        made.bind = lambda data: altered(part.bind(data), **changes)
    for name, change in changes.items():
        setattr(made, name, _with_part(change, part) if callable(change) else change)
    return made


def _with_part(change: Callable[..., Any], part: Any) -> Callable[..., Any]:
    return lambda *args, **named: change(part, *args, **named)
