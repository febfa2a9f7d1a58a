"""Estimates at an end of their range, which have no standard error, and the model with these held.

    entry                         an end is
    Simplex, TiedRows             0 or 1, to 1e-7 of two equal shares
    Probability                   0 or 1, to 1e-7
    NonNegative                   0, to 1e-7 of the largest of its array
    AtLeast                       its floor
    any, by the family's ``ends`` what the family says (degrees of freedom that ended at the normal law)

A probability on its way to 0 or 1 counts too: one below 1e-3 that a step of EM brings nearer to its end by one per cent and
more. At a maximum inside the range it would stay; on the way to an end, such as where one sequence alone tells how sequences
begin, it falls by a constant factor for ever.

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
from estep.core.record import Array, leaves, rebuild
from estep.core.support import Constraints, Pattern, Simplex, Support

Mask = NDArray[np.bool_]
NEAR = 1e-7
LOW, FALLING = 1e-3, 0.99
"""Below which a probability is looked at once more, and the factor by which it then falls at least if it goes to 0."""


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
    """Which entries are fixed (groups -1), and which share a value (one group), where the support can tell."""
    if isinstance(entry, Simplex):
        first = np.cumsum([0, *(row.count for row in entry.rows)])  # every row counts its groups from 0
        each = [np.where(row.groups >= 0, row.groups + at, -1) for row, at in zip(entry.rows, first[:-1], strict=True)]
        groups = np.array(each).reshape(entry.shape)
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
    >>> user_name("family.inner.means"), user_name("structure.duration.rates"), user_name("structure.transmat.1")
    ('means', 'duration_rates', 'transmat_1')
    """
    if name.startswith("structure."):
        return name.removeprefix("structure.").replace("inner.", "").replace(".", "_")
    for prefix in ("family.", "parts.", "inner."):
        name = name.removeprefix(prefix)
    return name


def on_the_way(params: Any, support: Support, step: Callable[[Any], Any]) -> dict[str, Array]:
    """Probabilities of each parameter with those that ``step``, the EM map, brings ever nearer to an end put there."""
    values = {n: np.asarray(v, dtype=float) for n, v in leaves(params)}
    names = [n for n, e in support.entries.items() if isinstance(e, Simplex | TiedRows | Probability)]
    asked = {n: _near(support.entries[n], values[n], 0.0) | _near(support.entries[n], values[n], 1.0) for n in names}
    if not any(mask.any() for mask in asked.values()):
        return {}
    after = dict(leaves(step(params)))
    found = {}
    for name, mask in asked.items():
        value, then = values[name], np.asarray(after[name], dtype=float)
        down = mask & (value < LOW) & (then < FALLING * value)
        up = mask & (1.0 - value < LOW) & (1.0 - then < FALLING * (1.0 - value))
        if down.any() or up.any():
            found[name] = np.where(down, 0.0, np.where(up, 1.0, value))
    return found


def _near(entry: Any, value: Array, end: float) -> Mask:
    gap = np.abs(value - end)
    return np.asarray((gap < LOW) & (gap > 0.0) & _free(entry))


def at_ends(model: Any, params: Any, support: Support, put: Mapping[str, Array] | None = None) -> dict[str, Mask]:
    """The parameters that have entries at an end, with these entries, by name in the support.

    ``put`` are values to look at in place of those of ``params`` (``on_the_way``).
    """
    values = dict(leaves(params)) | dict(put or {})
    found = {n: ENDS[k](e, np.asarray(values[n])) for n, e in support.entries.items() if (k := type(e).__name__) in ENDS}
    family = getattr(model, "family", None)
    told = family.ends(params.family) if family is not None and hasattr(family, "ends") else {}
    for name, mask in told.items():
        entry = support.entries[f"family.{name}"]
        found[f"family.{name}"] = mask & _free(entry)
    return {name: mask for name, mask in found.items() if mask.any()}


def off_ends(params: Any, ends: Mapping[str, Mask]) -> Any:
    """``params`` with the entries at ends a little off them: what then changes rests on these."""
    values = dict(leaves(params))
    moved = {n: np.asarray(values[n], dtype=float) + LOW * np.where(values[n] > 0.5, -1.0, 1.0) * m for n, m in ends.items()}
    return rebuild(params, {**values, **moved})


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
