"""``select`` over 1..9 components and fourteen structures on the geyser data, against ``mclustBIC`` in R.

R is timed inside R by ``system.time``, after one call to warm up; ours in this process, warm too. Ours has two lines: starts
as in mclust (one hierarchical tree, shared) and our default of ten starts. Ours stops when the projected gain is below
1e-8 nats a row; mclust where the relative change of the log-likelihood is below 1e-5.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure
import numpy as np
import rivals
from measure import Line, Plan

ROW = "select_faithful"
DATA = Path(__file__).resolve().parent.parent / "tests" / "reference" / "data" / "faithful.csv"
SCRIPT = Path(__file__).with_name("mclust.R")
STARTS = {"starts as in mclust": 1, "our default starts": 10}
GOAL = 1.0
RAISED = 0.01  # BIC


def run(plan: Plan) -> Iterator[Line]:
    """Both lines; the criterion of the common winner must agree to RAISED."""
    warnings.simplefilter("ignore")
    x = np.loadtxt(DATA, delimiter=",", skiprows=1, usecols=(0, 1))
    for case, n_init in STARTS.items():
        yield _line(x, case, n_init, plan)


def _line(x: Any, case: str, n_init: int, plan: Plan) -> Line:
    import estep

    components = range(1, 4) if plan.quick else range(1, 10)
    grid = {"n_components": components, "covariance_type": "all"}
    case = f"{case}, {len(components)} x 14"

    def ours() -> Any:
        return estep.select(estep.GaussianMixture(n_init=n_init, random_state=0), x, grid)

    best = ours().best_cell
    version = rivals.mclust_version()
    if version is None:
        mine = statistics.median(measure.seconds(ours) for _ in range(plan.repeats))
        return Line(ROW, case, "mclust", "s", ours=mine, note="absent: no R with mclust here")
    found = mclust(components)
    note = f"both choose {best.settings['covariance_type']},{best.settings['n_components']}"
    if found["best"] != [best.settings["covariance_type"], best.settings["n_components"]]:
        note = f"ours chooses {best.settings} at {best.criterion:.3f}, mclust {found['best']} at {-found['bic']:.3f}"
    elif abs(found["bic"] + best.criterion) > RAISED:
        note += f", BIC {best.criterion:.3f} against {-found['bic']:.3f}"
    timers = {"ours": lambda: measure.seconds(ours), "theirs": lambda: mclust(components)["seconds"]}
    times = measure.interleaved(timers, plan.repeats)
    share = measure.ratio(times["theirs"], times["ours"])
    pinned = "" if version == rivals.MCLUST else f" (pinned: {rivals.MCLUST})"
    return Line(
        ROW,
        case,
        f"mclust {version}{pinned}",
        "s",
        ours=statistics.median(times["ours"]),
        theirs=statistics.median(times["theirs"]),
        ratio=share,
        goal=f">= {GOAL:g}x",
        met=share >= GOAL,
        note=note,
    )


def mclust(components: range) -> dict[str, Any]:
    """Best model, its BIC and the median seconds of three calls, from R."""
    command = ["Rscript", "--vanilla", str(SCRIPT), str(max(components))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
