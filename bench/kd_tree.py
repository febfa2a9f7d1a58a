"""kd-tree EM against the dense pass, on overlapping Gaussian mixtures in one to four dimensions.

a pass      one E-step and one M-step from the same parameters, dense and over corrected points (the points chosen beforehand)
a fit       from the start until Aitken's projection says that at most 1e-8 nats a row are left; ours with the growing of the
            tree. At the largest size the passes of a dense fit are counted on PROBE rows and SOME are timed on all: "counted"
off         exact log-likelihood of the final parameters below the exact optimum, nats a row; the optimum is the higher end of
            accelerated dense passes from ours and of the dense fit
bound       what the points' log-likelihood may miss, nats a row, and what it does miss, at the final parameters
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator
from functools import partial
from typing import Any

import measure
from measure import Line, Plan

ROW = "kd_tree"
PROBLEMS = ((1, 2, 2.2), (2, 3, 1.9), (3, 3, 1.5), (4, 3, 1.7))  # d, k, distance between means in standard deviations
SIZES = (1_000_000, 10_000_000)
FIT_GOAL = {1_000_000: 5.0, 10_000_000: 20.0}
PASS_GOAL, OFF_GOAL = {(2, 1_000_000): 20.0}, 1e-6
PROBE, SOME = 300_000, 6
TOL, CAP = 1e-8, 5000


def problem(n: int, d: int, k: int, distance: float) -> tuple[Any, Any, Any]:
    """Rows in memory, a bound model, and a start beside the truth."""
    import slow_mixtures

    from estep.data.memory import Memory
    from estep.families.normal import Normal
    from estep.families.normal_density import NormalParams
    from estep.models.latent import Latent, LatentParams
    from estep.structures.iid import Iid, IidParams

    x, begin = slow_mixtures.problem(n, d, k, distance)
    data = Memory(x)
    model = Latent(Iid(), Normal("VVV"), k).bind(data)
    return data, model, LatentParams(IidParams(begin["weights"]), NormalParams(begin["means"], begin["covariances"]))


def run(plan: Plan) -> Iterator[Line]:
    """Every problem at every size."""
    import estep

    small = problem(20_000, 2, 2, 2.0)
    estep.fit(small[1], small[0], small[2], "kdtree", max_iter=40)  # kernels compiled
    for n in SIZES:
        for d, k, distance in PROBLEMS:
            data, model, params = problem(n // 10 if plan.quick else n, d, k, distance)
            yield from _compared(n, f"n={data.n_rows} d={d} k={k}", data, model, params, plan)
            del data, model


def _compared(size: int, case: str, data: Any, model: Any, params: Any, plan: Plan) -> Iterator[Line]:
    import estep

    pairs, tree, top, words = _fits(data, model, params, counted=size >= SIZES[-1])
    passes = _passes(model, data, tree, plan)
    dense = [1e3 * t for t in passes["dense"]]
    ratio, goal = measure.ratio(passes["dense"], passes["tree"]), PASS_GOAL.get((data.x.shape[1], size))
    yield _line(case, "a dense pass", "ms a pass", [1e3 * t for t in passes["tree"]], dense, ratio, goal)
    ours, theirs = [o for o, _ in pairs], [t for _, t in pairs]
    yield dataclasses.replace(
        _line(case, "a dense fit", "s", ours, theirs, measure.ratio(theirs, ours), FIT_GOAL[size]), note=words
    )
    best = estep.fit(model, data, tree.params, accelerate="squarem", tol=1e-11, max_iter=30)
    off = (max(top, best.loglik) - tree.loglik) / data.n_rows
    yield Line(ROW, case, "the exact optimum", "nats a row", off, goal=f"<= {OFF_GOAL:g}", met=off <= OFF_GOAL)
    yield _bound(case, data, model, tree)


def _fits(data: Any, model: Any, params: Any, counted: bool) -> tuple[list[tuple[float, float]], Any, float, str]:
    """Seconds of whole fits, ours (each with a tree of its own) and dense, in turn; our fit, the highest end, and words."""
    import estep
    from estep.core.assign import SOFT
    from estep.data.memory import Memory
    from estep.engine.visit import total

    found: dict[str, Any] = {}
    count, pairs, how = 0, [], "counted: "
    if counted:
        probe = problem(PROBE, *next(p for p in PROBLEMS if p[0] == data.x.shape[1]))
        count = estep.fit(probe[1], probe[0], probe[2], tol=TOL, max_iter=CAP).passes

    def fitted(name: str, plane: Any, how: str) -> None:
        found[name] = estep.fit(model, plane, params, how, tol=TOL, max_iter=CAP)

    def some() -> None:
        for _ in range(SOME):
            model.mstep(total(model, data, params, SOFT).stats, params)

    for _ in range(3 if counted else 1):
        ours = measure.seconds(partial(fitted, "tree", Memory(data.x), "kdtree"))
        theirs = measure.seconds(some) / SOME * count if counted else measure.seconds(partial(fitted, "dense", data, "em"))
        pairs.append((ours, theirs))
    tree = found["tree"]
    top = max(tree.loglik, found["dense"].loglik) if "dense" in found else tree.loglik
    if "dense" in found:
        count, how = found["dense"].passes, ""
    return pairs, tree, top, f"{len(tree.trace)} passes ({tree.passes} over the rows) against {how}{count} passes"


def _line(case: str, rival: str, unit: str, ours: list[float], theirs: list[float], ratio: float, goal: float | None) -> Line:
    met, words = (None, "") if goal is None else (ratio >= goal, f">= {goal:g}x")
    return Line(ROW, case, rival, unit, statistics.median(ours), statistics.median(theirs), ratio, goal=words, met=met)


def _passes(model: Any, data: Any, tree: Any, plan: Plan) -> dict[str, list[float]]:
    """Seconds of one E-step and M-step, dense and over corrected points, in turn."""
    from estep.core.assign import SOFT
    from estep.engine.points import CORRECTED, memory_of
    from estep.engine.visit import total
    from estep.engine.visit_nodes import KdTree

    state = dataclasses.replace(tree.state, params=tree.params, nodes=memory_of(tree.params, 0, CORRECTED))

    def dense() -> None:
        model.mstep(total(model, data, tree.params, SOFT).stats, tree.params)

    def points() -> None:
        model.mstep(KdTree().expected(model, data, state, SOFT).stats, tree.params)

    points()
    rounds = max(plan.repeats, 3)
    many = 20
    timers = {
        "dense": partial(measure.seconds, dense),
        "tree": lambda: measure.seconds(lambda: [points() for _ in range(many)]) / many,
    }
    return measure.interleaved(timers, rounds)


def _bound(case: str, data: Any, model: Any, tree: Any) -> Line:
    """What the points may miss and what they do miss, at the end."""
    from estep.core.assign import SOFT
    from estep.core.memo import remembered
    from estep.engine.points import Points, in_chunks
    from estep.engine.visit_nodes import KdTree

    nodes = KdTree().choose(model, tree.params, remembered(data, "kd-tree", dict), 0, data.n_rows)
    seen = Points(in_chunks(nodes), nodes.loglik_error).sum(model, data, tree.params, SOFT)
    missed = abs(float(seen.loglik) - tree.loglik) / data.n_rows
    note = f"{len(nodes.x)} points, tau {nodes.tau:g}"
    return Line(
        ROW, case, "stated bound", "nats a row", missed, nodes.loglik_error, note=note, met=missed <= nodes.loglik_error
    )
