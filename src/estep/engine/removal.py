"""Runs that end with fewer classes than they began with.

An update with ``below`` removes a class whose share of the rows falls under it: the pass makes no M-step, and the next one is
at the same parameters without the class. ``State.kept`` says which of the first classes are left, so the model of any pass
follows from the model that was given and the state; the parameters in the state are already those of the classes that are left.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.engine.state import State, fresh_stop


def every_class(model: Any, variant: Any) -> NDArray[np.intp] | None:
    """The classes before the first pass, where the variant may remove some."""
    return np.arange(model.k) if getattr(variant.update, "below", None) is not None else None


def present(model: Any, state: State) -> Any:
    """The model with the classes that are left at ``state``."""
    if state.kept is None or len(state.kept) == model.k:
        return model
    kept = np.asarray(state.kept, dtype=np.intp)
    return remembered(model, ("kept", *kept.tolist()), lambda: model.keeping(kept))


def leftover(model: Any, data: Any, variant: Any, stats: Any) -> NDArray[np.intp] | None:
    """The classes that stay, where some do not; raises ValueError where the data's labels name classes."""
    below = getattr(variant.update, "below", None)
    if below is None:
        return None
    order: NDArray[np.intp] = model.staying(stats, below)
    if len(order) == model.k:
        return None
    if any(chunk.allowed is not None for chunk in data.chunks()):
        first = int(np.setdiff1d(np.arange(model.k), order)[0])
        raise ValueError(
            f"algorithm={variant.name!r} was to remove class {first}, which has become superfluous, but the rows have labels "
            "that name classes; use y=None, or algorithm='em' with a number of components of your own"
        )
    return order


def without(model: Any, state: State, variant: Any, value: float, order: NDArray[np.intp]) -> State:
    """The state after a pass that found only the classes in ``order`` to stay: the same parameters, without the others."""
    try:
        model.keeping(order)
    except ValueError as error:
        raise ValueError(f"algorithm={variant.name!r}: {error}") from None
    params = model.cut(state.params, order)
    assert state.kept is not None
    return dataclasses.replace(
        state,
        params=params,
        here=params,
        fallback=params,
        value=np.float64(-np.inf),
        trace=np.append(state.trace, value),
        leaped=np.append(state.leaped, False),
        stop=fresh_stop(variant.stop),
        kept=np.asarray(state.kept)[order],
    )
