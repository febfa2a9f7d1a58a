"""One EM pass of a Gaussian mixture with full covariances, against scikit-learn, tgmm and mixle from the same start.

Before anything is timed every contender runs a few passes, and its log-likelihood must agree to 1e-8 relative. Ours runs
through the estimator as a user calls it. The rate of a pass is counted as 4 n k (1 + d + d (d + 1) / 2) floating-point
operations and compared with the rate of a plain matrix product measured between the pairs.
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

ROW = "gmm_pass"
SHAPES = ((100_000, 2, 5), (100_000, 8, 8), (200_000, 16, 16), (100_000, 32, 32), (50_000, 64, 16))
GOALS = {2: 10.0, 8: 10.0, 16: 10.0, 32: 5.0, 64: 5.0}
MEAN_GOAL, RATE_GOAL = 9.0, 0.6
AGREE, PASSES = 1e-8, 3
DISTANCE = 4.0
Run = Callable[[int], Any]


def problem(n: int, d: int, k: int) -> tuple[Any, dict[str, Any]]:
    """Rows of ``k`` components whose means lie about DISTANCE standard deviations apart, and a start beside the truth."""
    rng = np.random.default_rng([n, d, k])
    means = rng.normal(size=(k, d)) * DISTANCE / np.sqrt(2.0 * d)
    x = means[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    start = {
        "weights": np.full(k, 1.0 / k),
        "means": means + 0.2 * rng.normal(size=(k, d)),
        "covariances": np.tile(1.3 * np.eye(d), (k, 1, 1)),
    }
    return x, start


def ours(x: Any, start: dict[str, Any]) -> tuple[Run, Callable[[Any], float]]:
    """A run of m passes, and the log-likelihood of what it returns."""
    import estep

    def run(m: int) -> Any:
        k = len(start["weights"])
        return estep.GaussianMixture(k, init=start, prior=None, accelerate="none", tol=0.0, max_iter=m).fit(x)

    return run, lambda fitted: float(fitted.log_likelihood_)


def sklearn_run(x: Any, start: dict[str, Any]) -> tuple[Run, Callable[[Any], float]]:
    """The same with scikit-learn."""
    from sklearn.mixture import GaussianMixture

    given = {
        "weights_init": start["weights"],
        "means_init": start["means"],
        "precisions_init": np.linalg.inv(start["covariances"]),
    }
    k = len(start["weights"])
    return (
        lambda m: GaussianMixture(k, tol=0.0, reg_covar=0.0, max_iter=m, **given).fit(x),
        lambda fitted: float(fitted.score(x)) * len(x),
    )


def tgmm_run(x: Any, start: dict[str, Any]) -> tuple[Run, Callable[[Any], float]]:
    """The same with tgmm on torch's CPU."""
    import torch
    from tgmm import GaussianMixture

    rows = torch.from_numpy(x)
    given = {f"init_{name}": torch.from_numpy(value) for name, value in start.items()}
    k, d = start["means"].shape
    return (
        lambda m: GaussianMixture(k, d, tol=1e-300, reg_covar=0.0, max_iter=m, device="cpu", **given).fit(rows),
        lambda fitted: float(fitted.lower_bound_) * len(x),
    )


def mixle_run(x: Any, start: dict[str, Any]) -> tuple[Run, Callable[[Any], float]]:
    """The same with mixle's EM step on encoded data."""
    from mixle.stats.compute.sequence import seq_encode, seq_estimate, seq_log_density_sum
    from mixle.stats.latent.gaussian_mixture import GaussianMixtureDistribution, GaussianMixtureEstimator
    from mixle.stats.multivariate.multivariate_gaussian import MultivariateGaussianEstimator

    first = GaussianMixtureDistribution(start["means"], start["covariances"], w=start["weights"])
    estimator = GaussianMixtureEstimator([MultivariateGaussianEstimator(dim=x.shape[1]) for _ in start["weights"]])
    rows = seq_encode(x, model=first)

    def run(m: int) -> Any:
        model = first
        for _ in range(m):
            model = seq_estimate(rows, estimator, model)
        return model

    return run, lambda model: float(seq_log_density_sum(rows, model)[1])


CONTENDERS = {"scikit-learn": sklearn_run, "tgmm": tgmm_run, "mixle": mixle_run}


def run(plan: Plan) -> Iterator[Line]:
    """Every shape against every rival that is here."""
    warnings.simplefilter("ignore")
    ratios = []
    for n, d, k in SHAPES:
        found = _shape(n // 10 if plan.quick else n, d, k, plan)
        ratios += [line.ratio for line in found if line.rival.startswith("scikit-learn") and line.ratio]
        yield from found
    if not ratios:
        return
    mean = measure.geometric_mean(ratios)
    goal = f">= {MEAN_GOAL:g}x"
    yield Line(ROW, "geometric mean", rivals.label("scikit-learn"), "", ratio=mean, goal=goal, met=mean >= MEAN_GOAL)


def _shape(n: int, d: int, k: int, plan: Plan) -> list[Line]:
    x, start = problem(n, d, k)
    case = f"n={n} d={d} k={k}"
    mine, value = ours(x, start)
    want = value(mine(PASSES))
    timers, lines = {"ours": measure.a_pass(mine, 2, 8 if plan.quick else 12)}, []
    for name, make in CONTENDERS.items():
        why = rivals.why_absent(name)
        if why is None:
            theirs, their_value = make(x, start)
            got = their_value(theirs(PASSES))
            if abs(got - want) <= AGREE * abs(want):
                timers[name] = measure.a_pass(theirs, 1, 3)
                continue
            why = f"disagrees: log-likelihood {got:.6f} after {PASSES} passes, ours {want:.6f}; not timed"
            lines.append(Line(ROW, case, rivals.label(name), "ms a pass", note=why, met=False))
            continue
        lines.append(measure.absent(ROW, case, name, "ms a pass", why))
    product = measure.matrix_product()
    timers["product"] = lambda: 1.0 / product()
    times = measure.interleaved(timers, plan.repeats)
    return [*_compared(case, d, times), *lines, _rate(case, n, d, k, times)]


def _compared(case: str, d: int, times: dict[str, list[float]]) -> list[Line]:
    lines = []
    mine = statistics.median(times["ours"])
    for name in CONTENDERS:
        if name not in times:
            continue
        found = measure.ratio(times[name], times["ours"])
        goal = GOALS[d] if name == "scikit-learn" else None
        lines.append(
            Line(
                ROW,
                case,
                rivals.label(name),
                "ms a pass",
                ours=1e3 * mine,
                theirs=1e3 * statistics.median(times[name]),
                ratio=found,
                goal=f">= {goal:g}x" if goal else "",
                met=found >= goal if goal else None,
            )
        )
    return lines


def _rate(case: str, n: int, d: int, k: int, times: dict[str, list[float]]) -> Line:
    work = 4.0 * n * k * (1 + d + d * (d + 1) // 2)
    rates = [work / t for t in times["ours"]]
    products = [1.0 / t for t in times["product"]]
    share = statistics.median(r / p for r, p in zip(rates, products, strict=True))
    return Line(
        ROW,
        case,
        "matrix product",
        "Gflop/s",
        ours=statistics.median(rates) / 1e9,
        theirs=statistics.median(products) / 1e9,
        ratio=share,
        goal=f">= {RATE_GOAL:g} of it" if d >= 32 else "",
        met=share >= RATE_GOAL if d >= 32 else None,
    )
