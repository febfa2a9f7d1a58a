"""What families made of other families share: parameters and statistics by the name of a part.

    log p(x | k) is put together from parts p_1 ... p_m with parameters of their own, so that

    q(theta, stats) = sum_p q_p(theta_p, stats_p)          fit, score, support, prior: each part on its own

A part's parameter ``rates`` is named ``visits.rates`` where ``visits`` names the part. The functions of this file take a
family with ``family_of`` (part name -> family), ``components_of(part, k)`` and ``columns_of(part, d)``.

symbol   variable                     shape
theta_p  params.parts["visits"]       the part's record
theta_p  params.visits.rates by getattr(params, "visits.rates")
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.memo import remembered
from estep.core.numeric import numeric_score
from estep.core.record import Array, record, transform
from estep.core.support import Constraints, Support
from estep.families.normal_shapes import numbers

PREFIX = "parts."


@record
class Parts:
    """Parameters or statistics of several families, by part; None for a part that has none.

    >>> @record
    ... class Rates:
    ...     rates: Array
    >>> getattr(Parts({"visits": Rates(np.array([2.0]))}), "visits.rates").tolist()
    [2.0]
    """

    parts: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        parts = self.__dict__.get("parts", {})
        for part in _owners(parts, name):
            if hasattr(parts[part], inner := name[len(part) + 1 :]):
                return getattr(parts[part], inner)
        raise AttributeError(f"{type(self).__name__} has no {name!r}; it has the parts {[*parts]}")

    def __getitem__(self, part: str) -> Any:
        return self.parts[part]


def _owners(parts: Mapping[str, Any], name: str) -> Iterator[str]:
    """The parts to which a parameter name may belong: those it begins with, the longest first."""
    yield from sorted((part for part in parts if name.startswith(f"{part}.")), key=len, reverse=True)


def split(family_of: Mapping[str, Any], name: str) -> tuple[str, str]:
    """Part and inner name of the parameter ``name``.

    >>> class Rates:
    ...     names = ("rates",)
    >>> split({"a.b": Rates()}, "a.b.rates")
    ('a.b', 'rates')
    """
    for part in _owners(family_of, name):
        if (inner := name[len(part) + 1 :]) in family_of[part].names:
            return part, inner
    raise ValueError(f"there is no parameter {name!r}; there are {[*names_of(family_of)]}")


def names_of(family_of: Mapping[str, Any]) -> tuple[str, ...]:
    """Parameter names ``part.name`` of all parts."""
    return tuple(f"{part}.{name}" for part, family in family_of.items() for name in family.names)


def owned(family_of: Mapping[str, Any], constraints: Constraints) -> dict[str, Constraints]:
    """Each part's own constraints, under its own parameter names."""
    fixed: dict[str, dict[str, Any]] = {part: {} for part in family_of}
    tied: dict[str, dict[str, Any]] = {part: {} for part in family_of}
    for found, given in ((fixed, constraints.fixed), (tied, constraints.tied)):
        for name, value in given.items():
            part, inner = split(family_of, name)
            found[part][inner] = value
    return {part: Constraints(fixed[part], tied[part]) for part in family_of}


def support(self: Any, params: Parts, constraints: Constraints) -> Support:
    """The supports of the parts, side by side."""
    entries: dict[str, Any] = {}
    for part, own in owned(self.family_of, constraints).items():
        try:
            found = self.family_of[part].support(params.parts[part], own)
        except ValueError as error:
            raise ValueError(f"{part}: {error}") from None
        entries.update({f"{PREFIX}{part}.{name}": entry for name, entry in found.entries.items()})
    return Support(entries)


def supports(self: Any, joint: Support) -> dict[str, Support]:
    """``joint`` cut into the supports of the parts, each under its own names."""

    def cut() -> dict[str, Support]:
        found: dict[str, dict[str, Any]] = {part: {} for part in self.family_of}
        for name, entry in joint.entries.items():
            part = next(_owners(found, name[len(PREFIX) :]))
            found[part][name[len(PREFIX) + len(part) + 1 :]] = entry
        return {part: Support(entries) for part, entries in found.items()}

    return remembered(joint, "by part", cut)  # type: ignore[no-any-return]


def fit(self: Any, stats: Parts, params: Parts, support: Support) -> Parts:
    """Each part's parameters that maximise its own ``q``, from ``params``; raises Collapsed naming the part."""
    fitted, own = {}, supports(self, support)
    for part, family in self.family_of.items():
        try:
            fitted[part] = family.fit(stats.parts[part], params.parts[part], own[part])
        except Collapsed as gone:
            raise self.collapsed(part, gone) from None
    return Parts(fitted)


def q(self: Any, params: Parts, stats: Parts) -> float:
    """The sum of the parts' ``q`` in nats; a part without statistics (no prior) adds nothing."""
    return float(sum(f.q(params.parts[p], s) for p, f in self.family_of.items() if (s := stats.parts[p]) is not None))


def score(self: Any, params: Parts, stats: Parts, support: Support) -> Array:
    """Gradient of ``q`` in free coordinates, part after part; of a part without ``score`` by finite differences."""
    own = supports(self, support)
    found = [np.empty(0)]
    for part, family in self.family_of.items():
        if stats.parts[part] is None:
            found.append(np.zeros(own[part].count))
            continue
        exact = getattr(family, "score", None)
        given = (params.parts[part], stats.parts[part], own[part])
        found.append(np.asarray(exact(*given) if exact else numeric_score(family, *given)))
    return np.concatenate(found)


def align(self: Any, prior: Parts, stats: Parts) -> Parts:
    """Each part's prior about the anchor of its statistics; a part without a prior imagines no rows."""
    return Parts({part: _aligned(family, prior.parts[part], stats.parts[part]) for part, family in self.family_of.items()})


def _aligned(family: Any, prior: Any, stats: Any) -> Any:
    if prior is None:
        return stats * 0.0
    own = getattr(family, "align", None)
    return own(prior, stats) if own else prior


def closer(self: Any, params: Parts, stats: Parts) -> Parts | None:
    """Where to count again the parts that lost digits about their anchor; None if all kept them."""
    moved = {
        part: found
        for part, family in self.family_of.items()
        if (find := getattr(family, "closer", None)) and (found := find(params.parts[part], stats.parts[part])) is not None
    }
    return Parts({**params.parts, **moved}) if moved else None


def dying(self: Any, params: Parts, stats: Parts, support: Support) -> Collapsed | None:
    """The first component that has collapsed in some part, or None."""
    return _first(self, "dying", params, stats, support)


def frail(self: Any, params: Parts, stats: Parts, support: Support) -> Collapsed | None:
    """The first component that has nearly collapsed in some part, or None."""
    return _first(self, "frail", params, stats, support)


def _first(self: Any, name: str, params: Parts, stats: Parts, support: Support) -> Collapsed | None:
    own = supports(self, support)
    for part, family in self.family_of.items():
        find: Callable[..., Collapsed | None] | None = getattr(family, name, None)
        gone = find(params.parts[part], stats.parts[part], own[part]) if find else None
        if gone is not None:
            return self.collapsed(part, gone)  # type: ignore[no-any-return]
    return None


def permuted(family: Any, params: Any, order: NDArray[np.intp]) -> Any:
    """One part's components in another order."""
    own = getattr(family, "permute", None)
    return own(params, order) if own else transform(params, lambda _, leaf: leaf[order])


def expose(self: Any, params: Parts) -> dict[str, Array]:
    """Every part's parameters as users see them, by ``part.name``."""
    return {
        f"{part}.{name}": value
        for part, family in self.family_of.items()
        for name, value in _shown(family, params.parts[part]).items()
    }


def _shown(family: Any, params: Any) -> dict[str, Any]:
    own = getattr(family, "expose", None)
    return own(params) if own else {name: getattr(params, name) for name in family.names}


def adopt(self: Any, name: str, value: Any, k: int, d: int, argument: str) -> Array:
    """A user's array for the parameter ``part.name`` in the part's own shape."""
    part, inner = split(self.family_of, name)
    own = getattr(self.family_of[part], "adopt", None)
    if own is None:
        return numbers(value, argument)
    return np.asarray(own(inner, value, self.components_of(part, k), self.columns_of(part, d), argument))


def adopt_ties(self: Any, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
    """A user's ties for the parameter ``part.name`` in the part's own shape."""
    part, inner = split(self.family_of, name)
    own = getattr(self.family_of[part], "adopt_ties", None)
    if own is None:
        return np.asarray(value)
    return np.asarray(own(inner, value, self.components_of(part, k), self.columns_of(part, d), argument))


def with_values(self: Any, params: Parts, values: Mapping[str, Any]) -> Parts:
    """``params`` with the arrays of ``values`` (by ``part.name``, in the parts' own shapes) in their places."""
    parts = dict(params.parts)
    for name, value in values.items():
        part, inner = split(self.family_of, name)
        parts[part] = _with_value(self.family_of[part], parts[part], inner, value)
    return Parts(parts)


def _with_value(family: Any, params: Any, name: str, value: Any) -> Any:
    own = getattr(family, "with_values", None)
    if own:
        return own(params, {name: value})
    return type(params)(**{**vars_of(params), name: value})


def vars_of(params: Any) -> dict[str, Any]:
    """A record's fields by name."""
    return {f.name: getattr(params, f.name) for f in dataclasses.fields(params)}


def prior_settings(self: Any, settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The prior settings of each part: a dict of settings under the part's name, the defaults for the others."""
    if unknown := [name for name in settings if name not in self.family_of]:
        raise ValueError(
            f"prior names {unknown[0]!r}; here it takes 'weights' and a dict of settings for each of {[*self.family_of]}"
        )
    return {part: dict(settings.get(part, {})) for part in self.family_of}


def optional(self: Any, table: Mapping[str, Callable[..., Any]], name: str) -> Any:
    """The method ``name`` of ``table``, where every part's family has it; raises AttributeError saying which has not."""
    if name not in table:
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
    if lacking := [part for part, family in self.family_of.items() if not hasattr(family, name)]:
        raise AttributeError(f"this {type(self).__name__} has no {name}, because the family of {lacking[0]!r} has none")
    return lambda *args: table[name](self, *args)
