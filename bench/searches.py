"""What searches find beyond restarts, and at what price: log-likelihood, agreement with the truth, passes and seconds.

Mixtures of many normals of unequal sizes whose clusters lie in groups, where random starts often put two components in one
cluster and one over two. Every method begins with the same random starts: one for plain EM, accelerated EM and each search;
as many as make up the passes of the random swap for "restarts". Nats are below the best that any method found on the data.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from measure import Line, Plan

ROW = "searches"
SETS = 10
N, D, K = 3_000, 3, 12
METHODS: dict[str, dict[str, Any]] = {
    "plain EM, 1 start": {"accelerate": "none", "n_init": 1},
    "accelerated EM, 1 start": {"n_init": 1},
    "restarts, 10": {"n_init": 10},
    "restarts, 50": {"n_init": 50},
    "short_runs, 50": {"n_init": 10, "search": "short_runs"},
    "random_swap, 1 start": {"n_init": 1, "search": "random_swap"},
    "split_merge, 1 start": {"n_init": 1, "search": "split_merge"},
    "greedy, 1 start": {"n_init": 1, "search": "greedy"},
    "starts of rules, 10": {"n_init": 10, "init": "auto"},
}


def problem(seed: int) -> tuple[Any, Any]:
    """Rows and the clusters they come from."""
    rng = np.random.default_rng([seed, 77])
    groups = 8.0 * rng.normal(size=(4, D))
    means = groups[np.arange(K) % 4] + 2.5 * rng.normal(size=(K, D))
    weights = rng.dirichlet(np.full(K, 2.0))
    labels = rng.choice(K, size=N, p=weights)
    return means[labels] + rng.uniform(0.4, 1.2, (K, 1))[labels] * rng.normal(size=(N, D)), labels


def run(plan: Plan) -> Iterator[Line]:
    """A line a method: means over the data sets."""
    warnings.simplefilter("ignore")
    from sklearn.metrics import adjusted_rand_score

    import estep

    sets = 3 if plan.quick else SETS
    found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in METHODS}
    for seed in range(sets):
        x, labels = problem(seed)
        for name, settings in METHODS.items():
            began = time.perf_counter()
            fit = estep.GaussianMixture(K, covariance_type="VVV", random_state=seed, **{"init": "random_rows", **settings}).fit(
                x
            )
            took = time.perf_counter() - began
            passes = sum(row.passes for row in fit.starts_.rows)
            found[name].append((fit.log_likelihood_, adjusted_rand_score(labels, fit.predict(x)), passes, took))
    best = [max(found[name][seed][0] for name in METHODS) for seed in range(sets)]
    for name, rows in found.items():
        below = np.array([top - row[0] for top, row in zip(best, rows, strict=True)])
        ari, passes, seconds = (float(np.mean([row[j] for row in rows])) for j in (1, 2, 3))
        note = f"ARI {ari:.3f}; {seconds:.2f} s; best on {int((below < 1e-3 * N).sum())} of {sets}; {passes:.0f} passes"
        yield Line(ROW, f"n={N} d={D} k={K}", name, "nats below", float(below.mean()), note=note)
