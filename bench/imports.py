"""Time of ``import estep``, and of the first small fit in a fresh process with numba's cache warm and cold.

Byte code is written as anywhere: ``PYTHONDONTWRITEBYTECODE`` is taken out of the children's environment, and one run that is
thrown away has compiled every module before.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
from measure import Line, Plan

ROW = "imports"
SRC = Path(__file__).resolve().parent.parent / "src"
IMPORT_GOAL, FIT_GOAL = 0.1, 3.0
FIT = """
import time; began = time.perf_counter()
import numpy as np, estep
rng = np.random.default_rng(0)
x = np.vstack([rng.normal(size=(100, 2)), 6 + rng.normal(size=(100, 2))])
estep.GaussianMixture(2, random_state=0).fit(x)
print(time.perf_counter() - began)
"""
IMPORT = "import time; began = time.perf_counter(); import estep; print(time.perf_counter() - began)"
NUMPY = "import time; began = time.perf_counter(); import numpy; print(time.perf_counter() - began)"


def run(plan: Plan) -> list[Line]:
    """Import alone, then the first fit."""
    with tempfile.TemporaryDirectory() as warm:
        _child(FIT, warm)
        times = measure.interleaved(
            {
                "import": lambda: _child(IMPORT, warm),
                "numpy": lambda: _child(NUMPY, warm),
                "warm": lambda: _child(FIT, warm),
                "cold": _cold,
            },
            plan.repeats,
        )
    median = {name: statistics.median(values) for name, values in times.items()}
    return [
        _line("import estep", median["import"], IMPORT_GOAL, "import numpy", median["numpy"]),
        _line("first small fit, caches warm", median["warm"], FIT_GOAL),
        _line("first small fit, caches cold", median["cold"], FIT_GOAL),
    ]


def _line(case: str, found: float, goal: float, beside: str = "", other: float | None = None) -> Line:
    return Line(ROW, case, beside, "s", ours=found, theirs=other, goal=f"<= {goal:g} s", met=found <= goal)


def _cold() -> float:
    with tempfile.TemporaryDirectory() as empty:
        return _child(FIT, empty)


def _child(code: str, cache: str) -> float:
    paths = os.pathsep.join(filter(None, [str(SRC), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": paths, "NUMBA_CACHE_DIR": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout)
