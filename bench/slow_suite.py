"""From a start to within 1e-6 nats a row of the optimum on a fixed suite of slow problems: passes, seconds, ends.

The optimum of a start is the highest end that plain EM and the accelerators reach from it and share to SAME nats a row.
Passes count every evaluation of the data, refused leaps and differences of scores included. A second table tells, over many
starts, how often an accelerated run ends within WITHIN nats a row of plain EM's end, or higher; every other is listed with
what one more EM step gains there in nats a row: a stationary point, another local maximum, if that is nothing.

Rivals for seconds, on the Gaussian problems: scikit-learn's EM, and SQUAREM (scheme S3, as published and as in turboEM: no
check within a leap, a fall beyond one nat is undone) written here in a few lines of numpy around scikit-learn's own E- and
M-step.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import measure
import numpy as np
import rivals
import slow_problems
from measure import Line, Plan
from slow_problems import Slow

ROW = "slow_suite"
WITHIN, SAME = 1e-6, 1e-7
GOAL = 5.0
LONG = 30_000
LEAPS = ("squarem", "squarem1", "squarem2", "parabolic", "anderson", "quasi_newton", "newton", "auto")
RECOMMENDED = ("anderson", "auto")
STARTS = 12


def run(plan: Plan) -> Iterator[Line]:
    """Passes and seconds from start 0 of every problem, geometric means, and ends over many starts."""
    warnings.simplefilter("ignore")
    every = list(slow_problems.problems(plan.quick))
    gains: dict[str, list[float]] = {leap: [] for leap in LEAPS}
    for problem in every:
        yield from _problem(problem, gains, plan)
    for leap in LEAPS:
        found, goal = measure.geometric_mean(gains[leap]), f">= {GOAL:g}x" if leap in RECOMMENDED else ""
        met = found >= GOAL if goal else None
        yield Line(ROW, "geometric mean", f"plain EM, ours {leap}", "passes", ratio=found, goal=goal, met=met)
    yield from _ends(every, STARTS // 2 if plan.quick else STARTS)


def fit(problem: Slow, begin: Any, leap: str, passes: int = LONG, top: float | None = None) -> tuple[Any, int, float]:
    """The run, the passes and the seconds until it is within WITHIN of ``top`` (None: until rounding ends it)."""
    from estep.engine.fit import fit as run_em

    enough = np.inf if top is None else top - WITHIN * problem.n
    began = time.perf_counter()
    watch = lambda state, status: bool(float(state.value) >= enough)  # noqa: E731
    found = run_em(problem.model, problem.data, begin, accelerate=leap, tol=0.0, max_iter=passes, watch=watch)
    reached = found.passes if top is None or found.trace.objective.max() >= enough else 0
    return found, int(reached), time.perf_counter() - began


def top_of(problem: Slow, begin: Any) -> float | None:
    """The optimum of a start: what plain EM and accelerated runs share, None where plain EM ended lower."""
    ends = [float(fit(problem, begin, leap)[0].trace.objective.max()) for leap in ("none", "anderson", "squarem")]
    near = [end for end in ends if abs(end - ends[0]) <= SAME * problem.n]
    return max(near)


def _problem(problem: Slow, gains: dict[str, list[float]], plan: Plan) -> Iterator[Line]:
    begin = problem.start(0)
    top = top_of(problem, begin)
    _, plain, plain_s = fit(problem, begin, "none", top=top)
    for leap in LEAPS:
        _, needed, took = fit(problem, begin, leap, 10 * plain, top)
        if not needed:
            note = "ended at another optimum"
            yield Line(ROW, problem.name, f"plain EM, ours {leap}", "passes", theirs=plain, note=note, met=False)
            continue
        gains[leap].append(plain / needed)
        note = f"{took:.3g} s against {plain_s:.3g} s"
        yield Line(ROW, problem.name, f"plain EM, ours {leap}", "passes", needed, plain, plain / needed, note=note)
    if problem.kind == "normal":
        yield from _rivals(problem, begin, top, plain, plan)


def _rivals(problem: Slow, begin: Any, top: float | None, plain: int, plan: Plan) -> Iterator[Line]:
    why = rivals.why_absent("scikit-learn")
    if why is not None or top is None:
        yield measure.absent(ROW, problem.name, "scikit-learn", "s", why or "no shared optimum")
        return
    x, enough = np.asarray(problem.data.x), top - WITHIN * problem.n
    contenders: dict[str, Callable[[], int]] = {
        "scikit-learn's EM": lambda: _theirs(x, begin, enough, 2 * plain),
        "numpy SQUAREM on its steps": lambda: _their_squarem(x, begin, enough, 2 * plain),
    }
    for name, rival in contenders.items():
        needed = rival()
        if not needed:
            yield Line(ROW, problem.name, name, "s", note="not there in twice the passes of plain EM")
            continue
        timers = {
            "ours": lambda: measure.seconds(lambda: fit(problem, begin, "auto", top=top)),
            "theirs": lambda rival=rival: measure.seconds(rival),
        }
        times = measure.interleaved(timers, max(plan.repeats // 2, 1), warm=True)
        mine, yours = (statistics.median(times[who]) for who in ("ours", "theirs"))
        found = measure.ratio(times["theirs"], times["ours"])
        yield Line(ROW, problem.name, name, "s", mine, yours, found, note=f"they take {needed} passes; ours one thread, auto")


def _sklearn(x: Any, begin: Any) -> Any:
    from sklearn.mixture import GaussianMixture

    made = GaussianMixture(len(begin.structure.weights), reg_covar=0.0, tol=0.0, max_iter=1)
    made.set_params(weights_init=begin.structure.weights, means_init=begin.family.means)
    made.set_params(precisions_init=np.linalg.inv(begin.family.covariances))
    return made


def _theirs(x: Any, begin: Any, enough: float, most: int) -> int:
    """Passes of scikit-learn's own steps until ``enough``, 0 if never."""
    made = _sklearn(x, begin)
    made._initialize_parameters(x, np.random.RandomState(0))
    for m in range(1, most + 1):
        height, log_resp = made._e_step(x)
        if height * len(x) >= enough:
            return m
        made._m_step(x, log_resp)
    return 0


def _their_squarem(x: Any, begin: Any, enough: float, most: int) -> int:
    """Passes of SQUAREM (S3) in log weights, means and log-Cholesky coordinates around scikit-learn's steps."""
    from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

    made = _sklearn(x, begin)
    made._initialize_parameters(x, np.random.RandomState(0))
    made.covariances_ = np.array(begin.family.covariances)
    k, d = begin.family.means.shape
    low = np.tril_indices(d, -1)

    def pack() -> Any:
        lower = np.linalg.cholesky(made.covariances_)
        logs = np.log(np.diagonal(lower, axis1=1, axis2=2))
        return np.concatenate([np.log(made.weights_), made.means_.ravel(), logs.ravel(), lower[:, low[0], low[1]].ravel()])

    def unpack(vector: Any) -> None:
        weights = np.exp(vector[:k] - vector[:k].max())
        made.weights_, at = weights / weights.sum(), k + k * d
        made.means_ = vector[k:at].reshape(k, d)
        lower = np.zeros((k, d, d))
        lower[:, np.arange(d), np.arange(d)] = np.exp(vector[at : at + k * d].reshape(k, d))
        lower[:, low[0], low[1]] = vector[at + k * d :].reshape(k, -1)
        made.covariances_ = lower @ lower.transpose(0, 2, 1)
        made.precisions_cholesky_ = _compute_precision_cholesky(made.covariances_, "full")

    count = 0

    def step() -> float:
        nonlocal count
        count += 1
        height, log_resp = made._e_step(x)
        made._m_step(x, log_resp)
        return float(height) * len(x)

    while count < most:
        start = pack()
        if step() >= enough:
            return count
        first = pack()
        height = step()
        if height >= enough:
            return count
        second = pack()
        r, v = first - start, second - 2 * first + start
        length = max(np.linalg.norm(r) / max(np.linalg.norm(v), 1e-300), 1.0)
        unpack(start + 2 * length * r + length**2 * v)
        reached = step()
        if not reached >= height - 1.0:
            unpack(second)
        if reached >= enough:
            return count
    return 0


def _ends(every: list[Slow], starts: int) -> Iterator[Line]:
    """Over many starts: how many ends are plain EM's to WITHIN nats a row, or higher."""
    for leap in ("squarem", "anderson", "quasi_newton", "newton", "auto"):
        same = higher = 0
        lower: list[str] = []
        for problem in every:
            for i in range(starts):
                begin = problem.start(i)
                plain, fast = (fit(problem, begin, name)[0] for name in ("none", leap))
                gap = (fast.objective - plain.objective) / problem.n
                same, higher = same + (abs(gap) <= WITHIN), higher + (gap > WITHIN)
                if gap < -WITHIN:
                    lower.append(f"{problem.name} start {i}: {gap:.1e} a row, next EM step {_next_step(problem, fast):.0e}")
        n = same + higher + len(lower)
        note = f"{same} the same, {higher} higher, {len(lower)} lower of {n}" + "".join(f"; {words}" for words in lower)
        met = same + higher >= 0.95 * n
        yield Line(
            ROW, "ends", f"plain EM's, ours {leap}", "share", ratio=(same + higher) / n, goal=">= 0.95", met=met, note=note
        )


def _next_step(problem: Slow, end: Any) -> float:
    """Nats a row that one more EM step gains at an end: nothing at a stationary point."""
    from estep.core.assign import SOFT
    from estep.engine.visit import total

    here = total(problem.model, problem.data, end.params, SOFT)
    ahead = total(problem.model, problem.data, problem.model.mstep(here.stats, end.params), SOFT)
    return abs(float(ahead.objective) - float(here.objective)) / problem.n
