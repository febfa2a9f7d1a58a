"""Seconds of one Lloyd step of k-means, against scikit-learn's ``lloyd`` from the same centres."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Iterator
from typing import Any

import measure
import numpy as np
import rivals
from measure import Line, Plan

ROW = "kmeans"
SHAPES = ((100_000, 2, 8), (100_000, 16, 16), (300_000, 32, 32), (1_000_000, 8, 16))
AGREE, PASSES = 1e-9, 3


def run(plan: Plan) -> Iterator[Line]:
    """Every shape."""
    warnings.simplefilter("ignore")
    for n, d, k in SHAPES:
        yield _shape(n // 10 if plan.quick else n, d, k, plan)


def _shape(n: int, d: int, k: int, plan: Plan) -> Line:
    import estep

    case = f"n={n} d={d} k={k}"
    why = rivals.why_absent("scikit-learn")
    if why is not None:
        return measure.absent(ROW, case, "scikit-learn", "ms a step", why)
    from sklearn.cluster import KMeans

    rng = np.random.default_rng([n, d, k])
    x = rng.random((n, d))  # no clusters: Lloyd goes on for hundreds of steps
    centres = x[rng.choice(n, k, replace=False)].copy()

    def ours(m: int) -> Any:
        return estep.KMeans(k, init=centres, max_iter=m).fit(x)

    def theirs(m: int) -> Any:
        return KMeans(k, init=centres, n_init=1, tol=0.0, max_iter=m, algorithm="lloyd").fit(x)

    a, b = ours(PASSES).cluster_centers_, theirs(PASSES).cluster_centers_
    label = rivals.label("scikit-learn")
    if not np.allclose(a, b, rtol=AGREE, atol=AGREE):
        return Line(ROW, case, label, "ms a step", note=f"centres differ by {abs(a - b).max():.1e}; not timed", met=False)
    times = measure.interleaved({"ours": measure.a_pass(ours, 3, 13), "theirs": measure.a_pass(theirs, 3, 13)}, plan.repeats)
    return Line(
        ROW,
        case,
        label,
        "ms a step",
        ours=1e3 * statistics.median(times["ours"]),
        theirs=1e3 * statistics.median(times["theirs"]),
        ratio=measure.ratio(times["theirs"], times["ours"]),
    )
