"""Peak memory of a fit beyond the data, each in a process of its own: it must not grow with the rows.

The peak is the kernel's high-water mark of resident memory, less its value once the rows exist and a fit of a small
problem has loaded everything that a fit loads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measure import Line, Plan

ROW = "memory"
D, K = 8, 8
ROWS = (250_000, 1_000_000, 2_000_000)
SHARE = 0.1  # of the data's own size, as growth of the peak with the rows
HERE = Path(__file__).resolve().parent

CHILD = """
import json, resource, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, estep
n, d, k, starts = map(int, sys.argv[1:5])
rng = np.random.default_rng(0)
small = rng.normal(size=(20_000, d))
estep.GaussianMixture(k, n_init=1, init="kmeans++", max_iter=3, random_state=0).fit(small)
x = np.empty((n, d))
for at in range(0, n, 10_000):
    rng.standard_normal(out=x[at : at + 10_000])
x[::2] += 3.0
given = dict(weights=np.full(k, 1 / k), means=x[:k].copy(), covariances=np.tile(np.eye(d), (k, 1, 1)))
settings = dict(init=given) if starts == 0 else dict(n_init=starts)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
before = peak()
estep.GaussianMixture(k, max_iter=5, random_state=0, **settings).fit(x)
print(json.dumps(dict(extra=peak() - before, data=x.nbytes)))
"""


def run(plan: Plan) -> Iterator[Line]:
    """A given start, and the default starts."""
    rows = tuple(n // 10 for n in ROWS) if plan.quick else ROWS
    for case, starts in (("given start", 0), ("default starts", 10)):
        yield from _grow(case, starts, rows)


def _grow(case: str, starts: int, rows: tuple[int, ...]) -> list[Line]:
    found = [_child(n, starts) for n in rows]
    lines = [
        Line(
            ROW,
            f"{case}, n={n}",
            "the data",
            "MB",
            f["extra"] / 1e6,
            f["data"] / 1e6,
            note=f"peak beyond the data, d={D} k={K}",
        )
        for n, f in zip(rows, found, strict=True)
    ]
    growth = (found[-1]["extra"] - found[0]["extra"]) / (found[-1]["data"] - found[0]["data"])
    last = Line(
        ROW,
        f"{case}, growth",
        "the data",
        "share",
        ours=growth,
        goal=f"<= {SHARE:g}",
        met=growth <= SHARE,
        note="growth of the peak for each byte of further rows",
    )
    return [*lines, last]


def _child(n: int, starts: int) -> dict[str, Any]:
    paths = os.pathsep.join(filter(None, [str(HERE.parent / "src"), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-c", CHILD, *map(str, (n, D, K, starts))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": paths})
    found: dict[str, Any] = json.loads(done.stdout)
    return found
