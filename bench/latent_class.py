"""Latent class analysis of a large binary table, against StepMix, from one start each to the same likelihood.

Equal rows are counted once here; StepMix goes through every row in every pass. The whole fit is timed, reading included.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Iterator
from typing import Any

import measure
import numpy as np
import rivals
from measure import Line, Plan

ROW, RIVAL, GOAL = "latent_class", "stepmix", 100.0
SHAPES = ((100_000, 10, 5), (1_000_000, 10, 5))
APART = 1e-8  # nats a row between the two ends: the rival stops at a change of 1e-10 a pass, and EM is slow here


def run(plan: Plan) -> Iterator[Line]:
    """Every shape."""
    warnings.simplefilter("ignore")
    for n, d, k in SHAPES:
        yield _shape(n // 10 if plan.quick else n, d, k, plan)


def table(n: int, d: int, k: int) -> Any:
    """Zeros and ones (n, d) from ``k`` classes."""
    rng = np.random.default_rng(0)
    probs = rng.uniform(0.1, 0.9, (k, d))
    return (rng.random((n, d)) < probs[rng.integers(0, k, n)]).astype(float)


def _shape(n: int, d: int, k: int, plan: Plan) -> Line:
    import estep

    case, unit = f"n={n} d={d} k={k}", "s a fit"
    x = table(n, d, k)
    fits: dict[str, Any] = {}

    def ours() -> None:
        fits["ours"] = estep.LatentClass(k, n_init=1, init="random_rows", random_state=0).fit(x)

    ours()  # compiled kernels and imports are not what is compared
    why = rivals.why_absent(RIVAL)
    if why is not None:
        times = [measure.seconds(ours) for _ in range(plan.repeats)]
        line = measure.absent(ROW, case, RIVAL, unit, why)
        return Line(**{**vars(line), "ours": statistics.median(times), "goal": f">= {GOAL:.0f}"})
    from stepmix.stepmix import StepMix

    def theirs() -> None:
        fits["theirs"] = StepMix(k, measurement="binary", n_init=1, random_state=0, progress_bar=0).fit(x)

    # one pair: a fit of the rival takes minutes, against which the noise of a machine is small
    times_of = {"ours": [measure.seconds(ours)], "theirs": [measure.seconds(theirs)]}
    gap = float(fits["theirs"].score(x)) - fits["ours"].log_likelihood_ / n
    ratio = measure.ratio(times_of["theirs"], times_of["ours"])
    return Line(
        ROW,
        case,
        rivals.label(RIVAL),
        unit,
        ours=times_of["ours"][0],
        theirs=times_of["theirs"][0],
        ratio=ratio,
        goal=f">= {GOAL:.0f}",
        met=ratio >= GOAL and gap <= APART,
        note=f"{fits['ours'].n_iter_} passes against {fits['theirs'].n_iter_}; theirs ends {gap:+.1e} nats a row from ours",
    )
