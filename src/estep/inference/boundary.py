"""Estimates at an end of their range, which have no standard error, and the model with these held.

    entry                         an end is
    Simplex, TiedRows             0 or 1, to 1e-7 of two equal shares
    Probability                   0 or 1, to 1e-7
    NonNegative                   0, to 1e-7 of the largest of its array
    AtLeast                       its floor
    any, by the family's ``ends`` what the family says (degrees of freedom that ended at the normal law)

At an end the likelihood rises outwards or the score says nothing, and no quadratic approximates it there. The other parameters
keep theirs with these held (Self & Liang 1987, J. Amer. Statist. Assoc. 82:605; the usual practice of latent class programs).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.ranges import NonNegative, Probability, TiedRows
from estep.core.record import Array, leaves
from estep.core.support import Constraints, Pattern, Simplex, Support

Mask = NDArray[np.bool_]
NEAR = 1e-7


def _of_shares(entry: Any, value: Array) -> Mask:
    m = value.shape[-1]
    ends: Mask = (value < NEAR * 2.0 / m) | (value > 1.0 - NEAR)
    free = _free(entry)
    ends &= free & (free.sum(axis=-1, keepdims=True) > 1)
    alone = (free & ~ends).sum(axis=-1, keepdims=True) <= 1
    return np.asarray(ends | (alone & ends.any(axis=-1, keepdims=True) & free))


def _of_probabilities(entry: Any, value: Array) -> Mask:
    return np.asarray(((value < NEAR) | (value > 1.0 - NEAR)) & _free(entry))


def _of_rates(entry: Any, value: Array) -> Mask:
    return np.asarray((value <= NEAR * np.max(np.abs(value), initial=0.0)) & _free(entry))


def _of_floors(entry: Any, value: Array) -> Mask:
    return np.asarray((value <= entry.lowest * (1.0 + 1e-6)) & _free(entry))


ENDS: Mapping[str, Callable[[Any, Array], Mask]] = {
    Simplex.__name__: _of_shares,
    TiedRows.__name__: _of_shares,
    Probability.__name__: _of_probabilities,
    NonNegative.__name__: _of_rates,
    "AtLeast": _of_floors,
}
"""Which entries of a parameter are at an end, by the class of its support entry."""


def pattern_of(entry: Any) -> Pattern | None:
    """Which entries are fixed (groups -1), where the support can tell."""
    if isinstance(entry, Simplex):
        groups = np.array([row.groups for row in entry.rows]).reshape(entry.shape)
        return Pattern(groups, np.array([row.values for row in entry.rows]).reshape(entry.shape))
    return getattr(entry, "pattern", None)


def _free(entry: Any) -> Mask:
    pattern = pattern_of(entry)
    assert pattern is not None
    return np.asarray(pattern.groups >= 0)


def user_name(name: str) -> str:
    """The name under which users fix a parameter: ``family.parts.visits.rates`` is ``visits.rates``.

    >>> user_name("family.parts.visits.rates"), user_name("structure.weights"), user_name("rate")
    ('visits.rates', 'weights', 'rate')
    """
    for prefix in ("structure.", "family.", "parts."):
        name = name.removeprefix(prefix)
    return name


def at_ends(model: Any, params: Any, support: Support) -> dict[str, Mask]:
    """The parameters that have entries at an end, with these entries, by name in the support."""
    values = dict(leaves(params))
    found = {n: ENDS[k](e, np.asarray(values[n])) for n, e in support.entries.items() if (k := type(e).__name__) in ENDS}
    family = getattr(model, "family", None)
    told = family.ends(params.family) if family is not None and hasattr(family, "ends") else {}
    for name, mask in told.items():
        entry = support.entries[f"family.{name}"]
        found[f"family.{name}"] = mask & _free(entry)
    return {name: mask for name, mask in found.items() if mask.any()}


def holding_ends(model: Any, params: Any, ends: Mapping[str, Mask]) -> Any:
    """``model`` with the entries ``ends`` fixed at ``params``; a model without constraints as it is."""
    if not ends or not isinstance(getattr(model, "constraints", None), Constraints):
        return model
    values, fixed = dict(leaves(params)), dict(model.constraints.fixed)
    for name, mask in ends.items():
        value = np.asarray(values[name], dtype=float)
        held = np.array(fixed.get(user_name(name), np.full(value.shape, np.nan)), dtype=float)
        held[mask] = value[mask]
        fixed[user_name(name)] = held
    return dataclasses.replace(model, constraints=Constraints(fixed, model.constraints.tied))
