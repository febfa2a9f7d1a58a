"""What searches ask of a latent-class model: other numbers of classes, a class begun anew at a row, densities and pictures."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from estep.core.picture import pictured as picture_of
from estep.core.protocols import Chunk
from estep.core.record import Array, leaves, rebuild


def named(self: Any) -> int:
    """How many of the classes, the first ones, are alike: all but noise."""
    return int(self.k - bool(getattr(self.family, "noisy", False)))


def sized(self: Any, k: int) -> Any:
    """This model with ``k`` classes, its weak default prior where it has one. Raises ValueError where they differ in kind."""
    if k == self.k:
        return self
    if self.constraints:
        raise ValueError("fixed and tied entries belong to components by number, so components cannot be added one by one")
    if not getattr(self.family, "exchangeable", True) or self.named != self.k:
        raise ValueError(f"the components of {type(self.family).__name__} differ in kind and cannot be added one by one")
    fresh = dataclasses.replace(self, k=k, prior=None)
    return fresh if self.prior is None or not hasattr(self.family, "prior") else fresh.with_prior({})


def moved(self: Any, params: Any, component: int, row: Any) -> Any:
    """``params`` with ``component`` at ``row``, else like the component that the row fits best; weights half-way to equal.

    Raises TypeError where the family has no ``seat``.
    """
    seat = getattr(self.family, "seat", None)
    if seat is None:
        raise TypeError(
            f"{type(self.family).__name__} has no seat(params, component, row), by which a component moves to a row"
        )
    encode, block = getattr(self.family, "encode", None), row[None] if isinstance(row, np.ndarray) else row
    fits = np.array(self.family.log_density(params.family, encode(block) if encode else block))[0, : self.named]
    fits[component] = -np.inf
    owner, values = int(np.argmax(fits)), dict(leaves(params.family))
    if all(np.shape(value)[:1] == (self.named,) for value in values.values()):
        values = {name: np.array(value) for name, value in values.items()}
        for value in values.values():
            value[component] = value[owner]
    family = seat(rebuild(params.family, values), component, row)
    even = dict(leaves(self.start().structure))
    structure = rebuild(params.structure, {n: 0.5 * (np.asarray(v) + even[n]) for n, v in leaves(params.structure)})
    found = dataclasses.replace(params, structure=structure, family=family)
    support = self.support(found)
    return support.unpack(support.pack(found), found)


def densities(self: Any, params: Any, chunk: Chunk) -> Array:
    """Log density of every row under every class, (n, k), forbidden classes -inf."""
    encode = getattr(self.family, "encode", None)
    logb: Array = self.family.log_density(params.family, encode(chunk.x) if encode else chunk.x)
    allowed = chunk.allowed
    if allowed is not None and allowed.ndim == 1:
        allowed = (allowed[:, None] == np.arange(self.k)) | (allowed[:, None] < 0)
    return logb if allowed is None else np.where(allowed, logb, -np.inf)


def pictured(self: Any, chunk: Chunk) -> Array:
    """Rows as numbers, (n, p), NaN where nothing is known."""
    return picture_of(chunk.x, getattr(self.family, "features", None))
