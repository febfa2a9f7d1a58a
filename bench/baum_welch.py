"""One Baum-Welch pass of a Gaussian hidden Markov model against hmmlearn, on one thread, from the same start.

hmmlearn runs in both implementations, logs and scaling, and the faster one of each pair counts. Its log-likelihood history must
agree with our trace to 1e-8 relative over the first passes before anything is timed. Covariances are full, the default of ours,
and diagonal, the default of theirs.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import measure
import numpy as np
import rivals
from measure import Line, Plan

ROW = "baum_welch"
LONG = ((100_000, 3, 1, 1), (100_000, 5, 2, 1), (100_000, 16, 4, 1), (30_000, 64, 4, 1))
MANY = ((5_000, 2, 1, 50), (5_000, 10, 1, 50))
GOAL, MEAN_GOAL, AGREE, PASSES = 5.0, 10.0, 1e-8, 3
Run = Callable[[int], Any]


def problem(n: int, k: int, d: int, sequences: int) -> tuple[Any, list[int], dict[str, Any]]:
    """Rows of sticky states, lengths of sequences, and a start beside the truth."""
    rng = np.random.default_rng([n, k, d])
    means = 2.0 * rng.normal(size=(k, d))
    labels = np.repeat(rng.integers(k, size=n // 20 + 1), 20)[:n]
    moves = np.full((k, k), 0.1 / (k - 1))
    np.fill_diagonal(moves, 0.9)
    start = {"startprob": np.full(k, 1.0 / k), "transmat": moves, "means": means + 0.3}
    return means[labels] + rng.normal(size=(n, d)), [n // sequences] * sequences, start


def ours(x: Any, lengths: list[int], start: dict[str, Any], kind: str) -> Run:
    """A run of m passes."""
    import estep

    k, d = start["means"].shape
    init = start | {"covariances": np.tile(np.eye(d), (k, 1, 1)) if kind == "full" else np.ones((k, d))}
    settings: dict[str, Any] = {"init": init, "prior": None, "accelerate": "none", "tol": 0.0, "n_jobs": 1}
    return lambda m: estep.GaussianHMM(k, covariance_type=kind, max_iter=m, **settings).fit(x, lengths=lengths)


def hmmlearn_run(x: Any, lengths: list[int], start: dict[str, Any], kind: str, implementation: str) -> Run:
    """The same with hmmlearn."""
    from hmmlearn.hmm import GaussianHMM

    k, d = start["means"].shape

    def run(m: int) -> Any:
        settings: dict[str, Any] = {"covars_prior": 0, "min_covar": 0, "init_params": "", "tol": -np.inf}
        model = GaussianHMM(k, covariance_type=kind, n_iter=m, implementation=implementation, **settings)
        model.startprob_, model.transmat_, model.means_ = start["startprob"], start["transmat"], start["means"]
        model.covars_ = np.tile(np.eye(d), (k, 1, 1)) if kind == "full" else np.ones((k, d))
        return model.fit(x, lengths)

    return run


def run(plan: Plan) -> Iterator[Line]:
    """The lines of the table."""
    from threadpoolctl import threadpool_limits

    logging.getLogger("hmmlearn").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    why = rivals.why_absent("hmmlearn")
    if why:
        yield measure.absent(ROW, "", rivals.label("hmmlearn"), "ms a pass", why)
        return
    with threadpool_limits(1):
        for kind in ("full", "diag"):
            ratios = []
            for n, k, d, sequences in LONG + MANY:
                line = compared(plan, kind, n // 10 if plan.quick else n, k, d, sequences)
                ratios.append(line.ratio)
                yield line
            mean = measure.geometric_mean([ratio for ratio in ratios if ratio is not None])
            case, goal = f"{kind}: geometric mean", f">= {MEAN_GOAL:g}"
            yield Line(ROW, case, rivals.label("hmmlearn"), "", ratio=mean, goal=goal, met=mean >= MEAN_GOAL)


def compared(plan: Plan, kind: str, n: int, k: int, d: int, sequences: int) -> Line:
    """One shape: agreement, then interleaved timings."""
    x, lengths, start = problem(n, k, d, sequences)
    mine = ours(x, lengths, start, kind)
    theirs = {name: hmmlearn_run(x, lengths, start, kind, name) for name in ("scaling", "log")}
    trace = np.asarray(mine(PASSES).trace_)[:PASSES]
    for name, other in theirs.items():
        np.testing.assert_allclose(trace, list(other(PASSES).monitor_.history)[:PASSES], rtol=AGREE, err_msg=name)
    m = 2 if n * k >= 10**6 else 6
    timers = {"ours": measure.a_pass(mine, 1, 1 + 4 * m), **{name: measure.a_pass(r, 1, 1 + m) for name, r in theirs.items()}}
    found = measure.interleaved(timers, plan.repeats, warm=True)
    best = [min(pair) for pair in zip(found["scaling"], found["log"], strict=True)]
    ratio = measure.ratio(best, found["ours"])
    case = f"{kind} T={n} k={k} d={d}" + (f", {sequences} sequences" if sequences > 1 else "")
    median = {name: 1e3 * float(np.median(values)) for name, values in (("ours", found["ours"]), ("theirs", best))}
    return Line(ROW, case, rivals.label("hmmlearn"), "ms a pass", **median, ratio=ratio, goal=f">= {GOAL:g}", met=ratio >= GOAL)
