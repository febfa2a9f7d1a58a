"""Incremental and sparse EM against plain EM: passes and seconds to within 1e-6 nats a row of the same optimum.

A pass reads every row once. Their objective is a lower bound of the log-likelihood, so that the count is not flattered. Seconds
are of a run that stops at the pass that first gets there, ours and plain EM's in turn.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np
from measure import Line, Plan, interleaved, seconds

ROW = "visits"
WITHIN = 1e-6
LONG = 5000
PROBLEMS = ((4096, 2, 3, 2.5), (50_000, 4, 5, 2.6), (30_000, 2, 60, 4.0))  # rows, columns, components, distance of neighbours


def problem(n: int, d: int, k: int, distance: float) -> tuple[Any, Any, Any]:
    """A bound model, its rows, and a start beside the truth."""
    from estep.data.memory import Memory
    from estep.families.normal import Normal
    from estep.families.normal_density import NormalParams
    from estep.models.latent import Latent, LatentParams
    from estep.structures.iid import Iid, IidParams

    rng = np.random.default_rng([n, d, k])
    side = int(np.ceil(k ** (1 / d)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * d, indexing="ij"), axis=-1).reshape(-1, d)
    means = distance * grid[rng.permutation(len(grid))[:k]].astype(float)
    x = means[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    data = Memory(x)
    start = NormalParams(means + 0.5 * rng.normal(size=(k, d)), np.tile(2.0 * np.eye(d), (k, 1, 1)))
    return Latent(Iid(), Normal(), k).bind(data), data, LatentParams(IidParams(np.full(k, 1 / k)), start)


def variants(k: int) -> dict[str, Any]:
    """What is compared with plain EM."""
    from estep.engine.blocks import Blocks
    from estep.engine.presets import PRESETS

    incremental = PRESETS["incremental"]
    found = {"incremental": incremental, "sparse": PRESETS["sparse"], "sparse_incremental": PRESETS["sparse_incremental"]}
    if k == 3:
        blocked = {f"incremental, {b} blocks": dataclasses.replace(incremental, visit=Blocks(b)) for b in (4, 16, 28, 64)}
        return {**blocked, "sparse": found["sparse"]}
    return found


def run(plan: Plan) -> Iterator[Line]:
    """Every problem, every variant."""
    for n, d, k, distance in PROBLEMS:
        yield from _problem(n // 4 if plan.quick else n, d, k, distance, plan)


def _problem(n: int, d: int, k: int, distance: float, plan: Plan) -> Iterator[Line]:
    from estep.engine.fit import fit

    model, data, start = problem(n, d, k, distance)
    best = fit(model, data, start, max_iter=LONG, tol=1e-11)
    case = f"n={n} d={d} k={k}"

    def first(how: Any) -> int:
        trace = fit(model, data, start, how, max_iter=LONG, watch=reached).trace.objective
        return len(trace) if trace[-1] >= best.loglik - WITHIN * n else 0

    def reached(state: Any, status: Any) -> bool:
        return bool(state.trace[-1] >= best.loglik - WITHIN * n)

    plain = first("em")
    for name, how in variants(k).items():
        passes = first(how)
        if not passes:
            yield Line(ROW, case, "plain EM", "passes", theirs=plain, note=f"{name} ended elsewhere; not compared")
            continue
        yield Line(ROW, case, "plain EM", "passes", passes, plain, plain / passes, note=name)
        timers = {
            "ours": lambda how=how: seconds(lambda: fit(model, data, start, how, max_iter=LONG, watch=reached)),
            "plain": lambda: seconds(lambda: fit(model, data, start, max_iter=LONG, watch=reached)),
        }
        took = interleaved(timers, plan.repeats, warm=True)
        ours, theirs = (statistics.median(took[side]) for side in ("ours", "plain"))
        yield Line(ROW, case, "plain EM", "s", ours, theirs, theirs / ours, note=name)
