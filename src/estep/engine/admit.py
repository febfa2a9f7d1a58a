"""What a variant asks of a model, told before the first pass: what is lacking, and what to use instead."""

from __future__ import annotations

from typing import Any


def admit(model: Any, variant: Any) -> None:
    """Raise where ``variant`` cannot run on ``model``.

    A model (or its structure) says which assignments it refuses: ``refuses(assign) -> why``, an empty text for those it takes.
    An axis says which methods of the model it calls: ``needs``, from the method to what it is for and what to use instead.

    Raises
    ------
    ValueError
        The model refuses the assignment.
    TypeError
        The model lacks a method that the variant calls.
    """
    if why := getattr(model, "refuses", lambda assign: "")(variant.assign):
        raise ValueError(f"algorithm={variant.name!r} does not fit {type(model).__name__}: {why}")
    for axis in (variant.visit, variant.assign, variant.blend, variant.update):
        for method, (purpose, instead) in getattr(axis, "needs", {}).items():
            if not hasattr(model, method):
                raise TypeError(
                    f"algorithm={variant.name!r} needs a model with {method} ({purpose}); {type(model).__name__} has none; "
                    f"use {instead}"
                )
