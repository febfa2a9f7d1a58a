"""The columns of rows on a cluster: which there are, what they hold, their levels; the same in every partition.

Facts of every partition  ->  names, kinds (text where one partition holds text), levels of categories
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from estep.data.dask_parts import LEVELS_MOST, Facts, called, facts_of
from estep.data.sql import nearest


def all_facts(data: Any) -> list[Facts]:
    """What there is in each partition; raises ValueError where their columns differ."""
    futures = [data.cluster.submit(facts_of, raw) for raw in data.raw]
    facts: list[Facts] = data.cluster.results(futures, list(data.raw))
    some = [f for f in facts if f.names] or facts
    for i, other in enumerate(facts):
        if other.n and other.names != some[0].names:
            raise ValueError(
                f"{data.title}: partition {i} has the columns {list(other.names)[:12]}, "
                f"the first one {list(some[0].names)[:12]}"
            )
    return facts


def kinds_of(data: Any) -> dict[str, str]:
    """What each column holds: "number", "text" or "other"."""
    found: dict[str, str] = {}
    for facts in data.facts:
        for name, kind in facts.kinds.items():
            found[name] = "text" if "text" in (kind, found.get(name)) else kind
    return found


def refuse_unknown(data: Any, name: str) -> None:
    """Raise ValueError on a name that no column has."""
    if name not in (names := list(kinds_of(data))):
        raise ValueError(f"{data.title} has no column {name!r}; {nearest(name, names)}")


def names_of(data: Any) -> tuple[str, ...]:
    """Names of the columns that are read; those of times are left out with a warning, and refused where they are named."""
    roles = [name for name in (data.weights, data.labels) if name is not None]
    for name in (*roles, *data.exclude, *(data.columns or ())):
        refuse_unknown(data, name)
    kinds = kinds_of(data)
    if data.columns is not None:
        if odd := [name for name in data.columns if kinds[name] == "other"]:
            raise ValueError(
                f"{data.title}: column {odd[0]!r} holds times, which are no numbers; leave it out, or turn it to one"
            )
        return tuple(data.columns)
    free = [name for name in kinds if name not in (*roles, *data.exclude)]
    if odd := [name for name in free if kinds[name] == "other"]:
        told = ", ".join(map(repr, odd))
        warnings.warn(f"{data.title}: left out {told}, neither numbers nor text", UserWarning, stacklevel=2)
    if not (names := tuple(name for name in free if kinds[name] != "other")):
        raise ValueError(f"{data.title} has no column left to read; it has {', '.join(map(repr, kinds))}")
    return names


def coded_of(data: Any) -> dict[str, tuple[Any, ...]]:
    """Levels of the columns of categories."""
    kinds, given = kinds_of(data), data.levels or {}
    return {
        name: tuple(given[name]) if name in given else _levels(data, name)
        for name in data.names
        if name in given or kinds[name] == "text" or name in data.categories
    }


def _levels(data: Any, name: str) -> tuple[Any, ...]:
    """Levels as declared where all partitions declare the same, else those seen, sorted (0 and 1 where there are no others)."""
    declared = {facts.declared.get(name) for facts in data.facts if facts.n}
    if len(declared) == 1 and (only := declared.pop()) is not None:
        return tuple(only)
    found = frozenset[Any]().union(*(facts.levels[name] for facts in data.facts if facts.n))
    if len({isinstance(level, str) for level in found}) > 1:
        which = {facts.kinds[name]: i for i, facts in enumerate(data.facts) if facts.n}
        raise ValueError(
            f"{data.title}: column {name!r} holds text in partition {which['text']} and numbers in partition "
            f"{which['number']}; mend it, or leave the column out"
        )
    if len(found) > LEVELS_MOST:
        raise ValueError(
            f"{data.title}: column {name!r} holds more than {LEVELS_MOST} different values, as an identifier does; leave it out"
        )
    return (0.0, 1.0) if found and found <= {0.0, 1.0} else tuple(sorted(found))


def weights_in(data: Any, name: str) -> Any:
    """The weights in a column, (n,); raises ValueError naming the first that is none, with its partition or file and row."""
    values = data.values(name)
    numbers = values.dtype.kind == "f"
    good = np.isfinite(values) & (values >= 0) if numbers else np.zeros(len(values), dtype=bool)
    if numbers and data.layout is not None:  # steps of time without a row have none
        good |= np.isnan(values)
    if not good.all():
        at = int(np.flatnonzero(~good)[0])
        where, row = _row_called(data, at)
        held = f"the weight {values[at]:g}" if numbers else f"text, {values[at]!r:.60},"
        raise ValueError(
            f"{where}, column {name!r} holds {held} in row {row}; a weight is how often a row was seen, a number >= 0"
        )
    return values


def _row_called(data: Any, row: int) -> tuple[str, int]:
    """The file or partition of a row (from 0) among all, and its number there."""
    for number, facts in enumerate(data.facts):
        if row < facts.n:
            partition = f"{data.title}: partition {number}"
            return data.cluster.result(data.cluster.submit(called, data.raw[number], partition, row), [])  # type: ignore[no-any-return]
        row -= facts.n
    return data.title, row
