"""Mixed columns at a million rows: four numbers, three categories, a count, 5 in 100 entries missing. No rival does this.

The whole fit is timed in a process of its own, reading included; memory is the growth of the process beyond the data.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measure import Line, Plan

ROW, MINUTES, TIMES = "mixed_columns", 5.0, 4.0
ROWS, CLASSES = 1_000_000, 3

PROGRAM = """
import json, resource, sys, time
import numpy as np, estep

n, k = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
z = rng.integers(0, k, n)
x = np.empty((n, 8))
x[:, :4] = rng.normal(size=(n, 4)) + 2.0 * z[:, None]
for j, m in enumerate((2, 3, 5)):
    x[:, 4 + j] = (rng.random(n)[:, None] > np.cumsum(rng.dirichlet(np.ones(m), k), axis=1)[z][:, :-1]).sum(axis=1)
x[:, 7] = rng.poisson(1.0 + 2.0 * z)
for j in range(8):
    x[rng.random(n) < 0.05, j] = np.nan
del z

def family():
    categories = [(estep.Categorical(), j) for j in (4, 5, 6)]
    return estep.Product([(estep.Normal("VVV"), [0, 1, 2, 3], "numbers"), *categories, (estep.Poisson(), 7)])

estep.Mixture(family(), k, n_init=2, random_state=0, max_iter=3).fit(x[:20_000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
fit = estep.Mixture(family(), k, n_init=3, random_state=0, tol=1e-6).fit(x)
seconds = time.perf_counter() - began
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ended = dict(passes=fit.n_iter_, converged=bool(fit.converged_))
print(json.dumps(dict(seconds=seconds, grown=1024 * (after - before), data=x.nbytes, **ended)))
"""


def run(plan: Plan) -> Iterator[Line]:
    """One fit."""
    n = ROWS // 20 if plan.quick else ROWS
    found = _measured(n)
    case = f"n={n} 4 numbers 3 categories 1 count k={CLASSES}"
    minutes = found["seconds"] / 60.0
    met = None if plan.quick else minutes <= MINUTES
    note = f"{found['passes']} passes, converged: {found['converged']}"
    yield Line(ROW, case, "", "minutes", ours=minutes, goal=f"<= {MINUTES:.0f}", met=met, note=note)
    grown = found["grown"] / found["data"]
    yield Line(ROW, case, "bytes of data", "times data", ours=grown, goal=f"<= {TIMES:.0f}", met=grown <= TIMES)


def _measured(n: int) -> dict[str, Any]:
    source = Path(__file__).resolve().parents[1] / "src"
    program = f"import sys; sys.path.insert(0, {str(source)!r})\n" + PROGRAM
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(n), str(CLASSES)], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
