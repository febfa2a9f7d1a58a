"""Where a pass spends its time: the stages of one block, on one thread, in processor time, as shares of the pass.

features    rows about the anchor, and their products where they are written down
densities   eta F: the log densities
softmax     weights added, responsibilities and log-likelihoods
statistics  w F'
the rest    what a whole pass costs beyond the stages: Python, chunks, the M-step
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gmm_pass
import numpy as np
from measure import Line, Plan

ROW = "stages"
STAGES = ("features", "densities", "softmax", "statistics")


def run(plan: Plan) -> Iterator[Line]:
    """Every shape of the row ``gmm_pass``."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        for n, d, k in gmm_pass.SHAPES:
            yield from _shape(n // 10 if plan.quick else n, d, k, plan)


def _shape(n: int, d: int, k: int, plan: Plan) -> list[Line]:
    from estep.core.assign import SOFT
    from estep.data.memory import Memory
    from estep.engine.visit import expected_of
    from estep.families.normal import Normal
    from estep.families.normal_density import NormalParams
    from estep.models.latent import Latent, LatentParams
    from estep.structures.iid import Iid, IidParams

    x, start = gmm_pass.problem(n, d, k)
    data = Memory(x, n_jobs=1)
    model = Latent(Iid(), Normal("VVV"), k).bind(data)
    params = LatentParams(IidParams(start["weights"]), NormalParams(start["means"], start["covariances"]))

    def whole() -> float:
        fresh = Memory(x, n_jobs=1)  # nothing kept from an earlier pass
        return _spent(lambda: model.mstep(fresh.sum(partial(expected_of, model, params, SOFT)).stats, params))

    log_weights = np.log(start["weights"])

    def parts() -> dict[str, float]:
        found = dict.fromkeys(STAGES, 0.0)
        for chunk in Memory(x, n_jobs=1).chunks():
            clock = [time.thread_time()]
            block = model.family.encode(chunk.x)
            clock.append(time.thread_time())
            logb = model.family.log_density(params.family, block)
            clock.append(time.thread_time())
            resp, _, _ = SOFT.rows(logb + log_weights, chunk.key)
            clock.append(time.thread_time())
            model.family.stats(params.family, block, resp)
            clock.append(time.thread_time())
            for name, before, after in zip(STAGES, clock[:-1], clock[1:], strict=True):
                found[name] += after - before
        return found

    whole(), parts()
    rounds = [(whole(), parts()) for _ in range(max(plan.repeats, 3))]
    total = statistics.median(r[0] for r in rounds)
    medians = {name: statistics.median(r[1][name] for r in rounds) for name in STAGES}
    medians["the rest"] = max(total - sum(medians.values()), 0.0)
    case = f"d={d} k={k}"
    note = "share of a pass on one thread"
    return [
        Line(ROW, case, name, "ns a row", 1e9 * part / n, 1e9 * total / n, part / total, note=note)
        for name, part in medians.items()
    ]


def _spent(call: Callable[[], Any]) -> float:
    began = time.thread_time()
    call()
    return time.thread_time() - began
