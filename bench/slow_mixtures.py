"""From a start to within 1e-6 nats a row of the same optimum, on overlapping mixtures where plain EM is slow.

The optimum is where a long accelerated run and a long plain run from that start both end (checked). Passes count every
evaluation of the data, refused leaps included. Seconds are of a run that is stopped at the pass that first gets there.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import measure
import numpy as np
import rivals
from measure import Line, Plan

ROW = "slow_mixtures"
PROBLEMS = ((2, 3, 1.3), (4, 2, 1.1), (8, 2, 1.0))  # d, k, distance between means in standard deviations
WITHIN, SAME = 1e-6, 1e-7
PASSES_GOAL, SECONDS_GOAL = 5.0, 30.0
LONG = 50_000
LEAPS = ("squarem", "anderson", "auto")


def problem(n: int, d: int, k: int, distance: float) -> tuple[Any, dict[str, Any]]:
    """Rows of ``k`` components with unequal covariances and close means, and a start beside the truth."""
    rng = np.random.default_rng([d, k])
    means = np.zeros((k, d))
    means[np.arange(k), np.arange(k) % d] = distance * (1 + np.arange(k) // d)
    scale = np.stack([np.diag(rng.uniform(0.7, 1.4, d)) for _ in range(k)])
    labels = rng.integers(k, size=n)
    x = means[labels] + np.einsum("nij,nj->ni", scale[labels], rng.normal(size=(n, d)))
    start = {
        "weights": np.full(k, 1.0 / k),
        "means": means + 0.5 * rng.normal(size=(k, d)),
        "covariances": np.tile(np.cov(x.T), (k, 1, 1)),
    }
    return x, start


def fitter(x: Any, start: dict[str, Any], accelerate: str) -> Callable[[int], Any]:
    """A run of at most m passes that stops for nothing but rounding."""
    import estep

    k = len(start["weights"])
    return lambda m: estep.GaussianMixture(k, init=start, prior=None, accelerate=accelerate, tol=0.0, max_iter=m).fit(x)


def first_within(trace: Any, top: float, n: int) -> int | None:
    """Number of passes after which ``trace`` is within WITHIN nats a row of ``top``, or None."""
    there = np.flatnonzero(np.asarray(trace) >= top - WITHIN * n)
    return int(there[0]) + 1 if there.size else None


def run(plan: Plan) -> Iterator[Line]:
    """Every problem, every accelerator."""
    warnings.simplefilter("ignore")
    n = 2_000 if plan.quick else 20_000
    for d, k, distance in PROBLEMS:
        yield from _problem(n, d, k, distance, plan)


def _problem(n: int, d: int, k: int, distance: float, plan: Plan) -> list[Line]:
    x, start = problem(n, d, k, distance)
    case = f"n={n} d={d} k={k}"
    ends = {leap: fitter(x, start, leap)(LONG).trace_ for leap in ("none", *LEAPS)}
    top = max(float(trace.max()) for trace in ends.values())
    plain = first_within(ends["none"], top, n)
    if plain is None or top - float(ends["none"].max()) > SAME * n:
        gap = (top - float(ends["none"].max())) / n
        note = f"plain EM ended {gap:.1e} nats a row below; not compared"
        return [Line(ROW, case, "plain EM", "passes", note=note, met=False)]
    lines = [_passes(case, leap, first_within(ends[leap], top, n), plain) for leap in LEAPS]
    needed = first_within(ends["auto"], top, n)
    return [*lines, _seconds(case, x, start, top, plain, needed, plan)]


def _passes(case: str, leap: str, needed: int | None, plain: int) -> Line:
    if needed is None:
        return Line(ROW, case, f"plain EM, ours {leap}", "passes", theirs=plain, note="ended at another optimum", met=False)
    found = plain / needed
    goal = f">= {PASSES_GOAL:g}x" if leap == "auto" else ""
    met = found >= PASSES_GOAL if goal else None
    return Line(ROW, case, f"plain EM, ours {leap}", "passes", needed, plain, found, goal, met)


def _seconds(case: str, x: Any, start: dict[str, Any], top: float, plain: int, needed: int | None, plan: Plan) -> Line:
    why = rivals.why_absent("scikit-learn")
    if why is not None or needed is None:
        return measure.absent(ROW, case, "scikit-learn", "s", why or "our own run ended at another optimum")
    from sklearn.mixture import GaussianMixture

    def theirs(m: int) -> Any:
        given = {
            "weights_init": start["weights"],
            "means_init": start["means"],
            "precisions_init": np.linalg.inv(start["covariances"]),
        }
        return GaussianMixture(len(start["weights"]), tol=1e-300, reg_covar=0.0, max_iter=m, **given).fit(x)

    m = first_within(np.asarray(theirs(plain + 5).lower_bounds_) * len(x), top, len(x))
    if m is None:
        return Line(ROW, case, rivals.label("scikit-learn"), "s", note=f"not there after {plain + 5} passes", met=False)
    mine = fitter(x, start, "auto")
    timers = {"ours": lambda: measure.seconds(lambda: mine(needed)), "theirs": lambda: measure.seconds(lambda: theirs(m))}
    times = measure.interleaved(timers, max(plan.repeats // 2, 1), warm=True)
    found = measure.ratio(times["theirs"], times["ours"])
    return Line(
        ROW,
        case,
        rivals.label("scikit-learn"),
        "s",
        ours=statistics.median(times["ours"]),
        theirs=statistics.median(times["theirs"]),
        ratio=found,
        goal=f">= {SECONDS_GOAL:g}x",
        met=found >= SECONDS_GOAL,
        note=f"{needed} passes against {m}",
    )
