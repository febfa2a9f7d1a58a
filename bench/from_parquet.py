"""Rows from Parquet against the same rows in memory: seconds of a pass, and the memory that a fit takes.

Each in a process of its own. The first pass reads the file and keeps it on disk; later passes read the map. Memory is the
high-water mark of anonymous memory (Linux), which a map of the file does not count towards.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measure import Line, Plan, absent

ROW = "from_parquet"
D, K = 4, 4
ROWS = 10_000_000
MOST = 2e9
HERE = Path(__file__).resolve().parent

CHILD = """
import json, sys, threading, time, warnings
warnings.simplefilter("ignore")
import numpy as np, estep
from estep.data import Arrow
source, path, k, passes = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) * 1024
peak = [0]
def look():
    while True:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.01)
threading.Thread(target=look, daemon=True).start()
began = time.perf_counter()
data = Arrow(path)
x = data if source == "file" else np.array(data.x)
shape = x.shape
first = time.perf_counter() - began
d = shape[1]
given = dict(weights=np.full(k, 1 / k), means=np.array(data.x[:k]), covariances=np.tile(np.eye(d), (k, 1, 1)))
def seconds(cap):
    began = time.perf_counter()
    estep.GaussianMixture(k, init=given, tol=0.0, accelerate="none", max_iter=cap).fit(x)
    return time.perf_counter() - began
seconds(1)
took = sorted((seconds(1 + passes) - seconds(1)) / passes for _ in range(3))[1]
print(json.dumps(dict(seconds=took, peak=peak[0], first=first, rows=shape[0])))
"""


def run(plan: Plan) -> Iterator[Line]:
    """A pass, and the memory of a fit."""
    try:
        import duckdb
        import nanoarrow  # noqa: F401
    except ImportError:
        yield absent(ROW, "a pass", "memory", "s", "duckdb or nanoarrow is not installed")
        return
    n = ROWS // 20 if plan.quick else ROWS
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "rows.parquet")
        columns = ", ".join(f"random() + random() + (i % {K}) AS x{j}" for j in range(D))
        duckdb.sql(f"SELECT {columns} FROM range({n}) AS t(i)").write_parquet(path)
        file, memory = (_child(source, path) for source in ("file", "memory"))
    share = memory["seconds"] / file["seconds"]
    case = f"n={n} d={D} k={K}"
    yield Line(
        ROW,
        f"a pass, {case}",
        "memory",
        "s",
        file["seconds"],
        memory["seconds"],
        share,
        ">= 0.5",
        share >= 0.5,
        f"reading the file the first time took {file['first']:.2f} s",
    )
    mb = file["peak"] / 1e6
    other, within = memory["peak"] / 1e6, file["peak"] <= MOST
    yield Line(ROW, f"anonymous memory, {case}", "memory", "MB", mb, other, goal="<= 2 GB", met=within)


def _child(source: str, path: str) -> dict[str, Any]:
    paths = os.pathsep.join(filter(None, [str(HERE.parent / "src"), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-c", CHILD, source, path, str(K), "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": paths})
    found: dict[str, Any] = json.loads(done.stdout)
    return found
