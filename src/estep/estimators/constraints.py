"""The user's ``fixed`` and ``tied`` dicts, and any array given for a parameter, in the model's own shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.core.support import Constraints
from estep.families.covariance import check
from estep.families.normal_shapes import numbers
from estep.models.latent import Latent


def constraints_of(model: Latent, d: int, fixed: Any, tied: Any) -> Constraints:
    """The user's ``fixed`` and ``tied`` dicts in the model's own shapes."""
    for argument, given in (("fixed", fixed), ("tied", tied)):
        if given is not None and not isinstance(given, Mapping):
            raise ValueError(f"{argument} must be a dict from parameter names to arrays, got {type(given).__name__}")
        unknown = sorted(set(given or ()) - set(names_of(model)))
        if unknown:
            raise ValueError(f"{argument} names {unknown}; this model has {names_of(model)}")
    held = {n: adopt(model, n, v, d, f"fixed[{n!r}]") for n, v in (fixed or {}).items()}
    ties = {n: _ties(model, n, v, d, f"tied[{n!r}]") for n, v in (tied or {}).items()}
    for name, value in held.items():
        if np.isinf(value).any():
            raise ValueError(f"fixed[{name!r}] holds infinity; give numbers, and NaN at the entries left free")
        HELD.get(name, _anything)(model, value, f"fixed[{name!r}]")
    return Constraints(held, ties)


def _room_left(model: Latent, weights: Array, argument: str) -> None:
    full = np.abs(np.nansum(weights, axis=-1) - 1.0) <= 1e-8
    if (np.isnan(weights).any(axis=-1) & full).any():
        raise ValueError(f"{argument} sums to one and leaves nothing for the free entries; lower it or free more of it")


def _positive(model: Latent, covariances: Array, argument: str) -> None:
    if not hasattr(model.family, "adopt"):
        return
    free = np.isnan(covariances)
    if covariances.ndim == 2:
        check("VVI", np.where(free, 1.0, covariances), argument)
        return
    whole = ~free.any(axis=(1, 2), keepdims=True)
    check("VVV", np.where(whole, covariances, np.eye(covariances.shape[1])), argument)


def _anything(model: Latent, value: Array, argument: str) -> None:
    """Other parameters are checked by their support."""


HELD: dict[str, Callable[[Latent, Array, str], None]] = {"weights": _room_left, "covariances": _positive}


def names_of(model: Latent) -> list[str]:
    """Parameter names of structure and family."""
    return [*model.structure.names, *model.family.names]


def adopt(model: Latent, name: str, value: Any, d: int, argument: str) -> Array:
    """A user's array for one parameter, in the model's own shape."""
    own = getattr(model.family, "adopt", None)
    if name not in model.structure.names:
        return np.asarray(own(name, value, model.k, d, argument) if own else numbers(value, argument))
    array, own = numbers(value, argument), getattr(model.structure, "adopt", None)
    if own:
        return np.asarray(own(name, array, model.k, argument))
    expected = np.shape(getattr(model.structure.start(model.k), name))
    if array.shape != expected:
        raise ValueError(f"{argument} has shape {array.shape}, expected {expected}")
    return array


def _ties(model: Latent, name: str, value: Any, d: int, argument: str) -> Any:
    own = getattr(model.family, "adopt_ties", None)
    if name not in model.structure.names:
        return own(name, value, model.k, d, argument) if own else np.asarray(value)
    own = getattr(model.structure, "adopt_ties", None)
    return own(name, np.asarray(value), model.k, argument) if own else np.asarray(value)
