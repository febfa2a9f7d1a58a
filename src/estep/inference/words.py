"""Words and options that a user gives to a method of inference: known ones, or an error that lists those."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any


def known_word(value: Any, known: Iterable[str], argument: str = "method", also: str = "") -> None:
    """Raise ValueError unless ``value`` is one of the ``known`` words of an argument.

    >>> known_word("oaks", ["oakes", "opg"])
    Traceback (most recent call last):
    ValueError: method='oaks' is unknown; choose one of ['oakes', 'opg']
    """
    words = list(known)
    if not isinstance(value, str) or value not in words:
        raise ValueError(f"{argument}={value!r} is unknown; choose one of {words}{also}")


def known_options(method: str, options: Iterable[str], taken: Iterable[str]) -> None:
    """Raise TypeError where an option is none that the method takes.

    >>> known_options("wald", ["parameters"], ["level", "which"])
    Traceback (most recent call last):
    TypeError: method='wald' takes no 'parameters'; it takes level, which
    """
    words = list(taken)
    if strange := [name for name in options if name not in words]:
        raise TypeError(f"method={method!r} takes no {strange[0]!r}; it takes {', '.join(words) or 'no options'}")


def keywords_of(function: Callable[..., Any], *left_out: str) -> list[str]:
    """Names of the keywords that a function takes, in its order.

    >>> keywords_of(known_word, "value", "known")
    ['argument', 'also']
    """
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = inspect.signature(function).parameters.items()
    return [name for name, each in found if each.kind in kinds and name not in left_out]
