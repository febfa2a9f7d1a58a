"""Parts of the rows for progressive starts (``engine/ladder.py``): nested, drawn by the seed, with all that rows carry.

    rows without weights    drawn without replacement
    rows with weights       drawn in proportion to them, with replacement; how often a row was drawn is its weight in the part
    labels, groups          of every class that labels name, and every group, up to KEPT rows are in the first part
    sequences               whole ones, at least FEWEST in the first part, else none
    missing entries         as they are

``progressive`` is "auto" (from 8 first parts of rows on), True (from 4), False, or the rows of the first part.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.core.rows import is_sparse, take
from estep.engine.ladder import FIRST, GROWTH, PER_PARAMETER, climbs, part_sizes
from estep.engine.restart import Plan
from estep.estimators.rows import Rows
from estep.estimators.starts import Task

KEPT, FEWEST = 50, 20
Drawn = tuple[NDArray[np.intp], Array | None]


def plan_of(model: Any, task: Task) -> Plan:
    """The plan of a fit: parts before the whole where rows are many and starts are proposed, not given."""
    if task.progressive is False or not isinstance(task.init, str) or model.k == 1 or not climbs(model, task.variant):
        return Plan()
    sizes = _sizes(task.progressive, task.rows.n, int(model.support(model.start()).count))
    parts = _parts(task.rows, sizes, task.seed) if sizes else []
    if not parts:
        return Plan()
    planes = tuple(_picked(task.rows, *part).data(task.n_jobs) for part in parts)
    grown = [f"{plane.n_rows:,}" for plane in planes[1:]]
    after = f", the best went on over {' and '.join(grown)}" if grown else ", the best went on"
    note = f"progressive: short runs on {planes[0].n_rows:,} rows{after} before all {task.rows.n:,}"
    return Plan(ladder=planes, note=note)


def _sizes(setting: Any, n: int, p: int) -> tuple[int, ...]:
    if isinstance(setting, str):
        return part_sizes(n, p)
    first = max(FIRST, PER_PARAMETER * p) if setting is True else int(setting)
    return part_sizes(n, p, first, GROWTH * first)


def _parts(rows: Rows, sizes: tuple[int, ...], seed: int) -> list[Drawn]:
    """Row numbers, ascending, and weights of each part; none where parts could not stand for the whole."""
    rng = np.random.default_rng([seed, 51])
    if rows.ends is not None:
        return _sequences(rows, sizes, rng)
    if rows.weight is not None:
        order = rng.choice(rows.n, size=sizes[-1], p=rows.weight / rows.weight.sum())
    else:
        order = rng.permutation(rows.n)[: sizes[-1]] if sizes[-1] * 2 > rows.n else _few(rows.n, sizes[-1], rng)
    head = _heads(rows, rng)
    if head is None or head.size > sizes[0] // 2:
        return []
    return [_counted(np.concatenate([head, order[: m - head.size]]), rows.weight is not None) for m in sizes]


def _few(n: int, m: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """``m`` different numbers below ``n`` in random order, without an array of all."""
    found = np.unique(rng.integers(n, size=m + m // 2 + 16))
    return np.asarray(rng.permutation(found)[:m] if found.size >= m else rng.permutation(n)[:m], dtype=np.intp)


def _heads(rows: Rows, rng: np.random.Generator) -> NDArray[np.intp] | None:
    """Up to KEPT rows of every class that labels name and of every group; None where these cannot be told."""
    codes = []
    for carried in (rows.allowed, rows.given):
        if carried is None or (isinstance(carried, np.ndarray) and carried.ndim == 1 and carried.dtype.kind not in "iu"):
            continue
        if not isinstance(carried, np.ndarray) or carried.ndim > 2 or (carried.ndim == 2 and carried.dtype != bool):
            continue
        codes.append(carried if carried.ndim == 1 else carried @ (2.0 ** np.arange(carried.shape[1])))
    found = []
    for code in codes:
        values = np.unique(code)
        if values.size > 1000:
            return None
        for value in values:
            mine = np.flatnonzero(code == value)
            found.append(mine if mine.size <= KEPT else rng.choice(mine, KEPT, replace=False))
    return np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.intp)


def _counted(drawn: NDArray[Any], weighted: bool) -> Drawn:
    rows, times = np.unique(drawn, return_counts=True)
    return rows.astype(np.intp), times.astype(float) if weighted else None


def _sequences(rows: Rows, sizes: tuple[int, ...], rng: np.random.Generator) -> list[Drawn]:
    """Whole sequences in random order until a part is full."""
    ends = np.asarray(rows.ends)
    starts, lengths = np.concatenate([[0], ends[:-1]]), np.diff(ends, prepend=0)
    if rows.weight is None:
        order = rng.permutation(len(ends))
    else:
        share = rows.weight[starts]
        order = rng.choice(len(ends), size=len(ends), p=share / share.sum())
    full = np.cumsum(lengths[order])
    parts = []
    for m in sizes:
        chosen, times = np.unique(order[: int(np.searchsorted(full, m)) + 1], return_counts=True)
        if len(chosen) < FEWEST:
            return []
        picked = np.concatenate([np.arange(starts[s], ends[s]) for s in chosen])
        parts.append((picked, None if rows.weight is None else np.repeat(times, lengths[chosen]).astype(float)))
    return parts


def _picked(rows: Rows, chosen: NDArray[np.intp], weight: Array | None) -> Rows:
    """Some rows with all that they carry."""

    def pick(value: Any) -> Any:
        if value is None:
            return None
        return take(value, chosen) if not is_sparse(value) else value[chosen]

    ends = None
    if rows.ends is not None:
        which = np.searchsorted(np.asarray(rows.ends), chosen, side="right")
        ends = np.flatnonzero(np.diff(which, append=-1)) + 1
    return dataclasses.replace(
        rows, x=pick(rows.x), weight=weight, allowed=pick(rows.allowed), kept=None, given=pick(rows.given), member=None,
        times=None, ends=ends, place=None,
    )  # fmt: skip
