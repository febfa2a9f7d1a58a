"""One forward-backward pass of a hidden semi-Markov chain against the textbook recursion in numpy, on one thread.

The recursion of the textbook goes through the rows in Python and through durations and states in numpy, in logs (Yu 2010,
section 2.2). Both begin at the same parameters, and their likelihoods and expected segments agree to 1e-9 before anything is
timed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import measure
import numpy as np
from measure import Line, Plan

ROW = "semimarkov"
SHAPES = ((10_000, 3, 20), (10_000, 4, 100), (10_000, 8, 300), (100_000, 4, 100))
GOAL, AGREE = 10.0, 1e-9


def problem(n: int, k: int, longest: int) -> tuple[Any, Any]:
    """A law and log densities (n, k)."""
    from estep.structures.semimarkov_pass import SegmentLaw

    rng = np.random.default_rng([n, k, longest])
    moves = rng.random((k, k)) * (1.0 - np.eye(k))
    shares = rng.dirichlet(np.ones(longest), k)
    tails = np.cumsum(shares[:, ::-1], axis=1)[:, ::-1]
    labels = np.repeat(rng.integers(k, size=n), rng.integers(1, longest, size=n))[:n]
    logb = -0.5 * (labels[:, None] + rng.standard_normal((n, 1)) - np.arange(k)) ** 2
    law = SegmentLaw(
        np.full(k, 1.0 / k),
        moves / moves.sum(axis=1, keepdims=True),
        np.zeros(k, dtype=bool),
        np.log(shares),
        np.log(tails),
        True,
    )
    return law, logb


def textbook(law: Any, logb: Any) -> tuple[float, Any]:
    """Log-likelihood and expected ended segments (k, D), row by row."""
    n, k = logb.shape
    longest, moves = law.shares.shape[1], law.logs.moves
    begun, ended, summed = np.full((n + 1, k), -np.inf), np.full((n, k), -np.inf), np.vstack([np.zeros(k), logb.cumsum(axis=0)])
    begun[0] = law.logs.start
    for t in range(n):
        first = max(0, t - longest + 1)
        ways = (
            begun[first : t + 1] + summed[t + 1] - summed[first : t + 1] + law.shares[:, t - first :: -1][:, : t + 1 - first].T
        )
        ended[t] = np.logaddexp.reduce(ways, axis=0)
        begun[t + 1] = np.logaddexp.reduce(ended[t][:, None] + moves, axis=0)
    first = max(0, n - longest)
    last = begun[first:n] + summed[n] - summed[first:n] + law.tails[:, : n - first][:, ::-1].T
    loglik = float(np.logaddexp.reduce(last.ravel()))
    later, counts = np.full((n, k), -np.inf), np.zeros((k, longest))
    for t in range(n - 1, -1, -1):
        stop = min(t + longest, n - 1)
        ways = summed[t + 1 : stop + 1] - summed[t] + law.shares[:, : stop - t].T + later[t:stop]
        value = np.logaddexp.reduce(ways, axis=0) if stop > t else np.full(k, -np.inf)
        counts[:, : stop - t] += np.exp(begun[t] + ways - loglik).T
        if n - t <= longest:
            value = np.logaddexp(value, summed[n] - summed[t] + law.tails[:, n - t - 1])
        if t > 0:
            later[t - 1] = np.logaddexp.reduce(moves + value, axis=1)
    return loglik, counts


def run(plan: Plan) -> Iterator[Line]:
    """Every shape."""
    from threadpoolctl import threadpool_limits

    from estep.structures.semimarkov_pass import smooth

    with threadpool_limits(1):
        for n, k, longest in SHAPES:
            n = n // 10 if plan.quick else n
            law, logb = problem(n, k, longest)
            ends, one = np.array([n], dtype=np.int64), np.ones(1)

            def ours(law: Any = law, logb: Any = logb, ends: Any = ends, one: Any = one) -> Any:
                return smooth(law, lambda rows: logb[rows], ends, one, 0)

            loglik, counts = textbook(law, logb)
            np.testing.assert_allclose(ours().loglik, loglik, rtol=AGREE)
            np.testing.assert_allclose(ours().ended, counts, rtol=1e-6, atol=AGREE * n)
            timers = {
                "ours": lambda: measure.seconds(ours),
                "theirs": lambda law=law, logb=logb: measure.seconds(lambda: textbook(law, logb)),  # type: ignore[misc]
            }
            found = measure.interleaved(timers, plan.repeats, warm=True)
            ratio = measure.ratio(found["theirs"], found["ours"])
            median = {name: 1e3 * float(np.median(values)) for name, values in found.items()}
            case = f"T={n} k={k} D={longest}"
            yield Line(
                ROW, case, "textbook in numpy", "ms a pass", **median, ratio=ratio, goal=f">= {GOAL:g}", met=ratio >= GOAL
            )
