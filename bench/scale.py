"""More rows than fit: 1e8 rows from Parquet, 1e9 rows of categories counted by the database, and two Dask workers.

parquet     a pass over the file's rows against the same rows in memory, and the anonymous memory of a fit
push-down   a latent class fit to rows that a query makes: the database counts the patterns, and none of the rows is kept
workers     one pass on one thread of this process against one on two workers; parts of what a pass costs on a cluster
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

from from_parquet import CHILD, MOST, D, K
from measure import Line, Plan, absent

ROW = "scale"
HERE = Path(__file__).resolve().parent
SHARE, EFFICIENCY, OVERHEAD = 0.7, 0.85, 20.0

COUNTED = """
import json, sys, threading, time, warnings
warnings.simplefilter("ignore")
import estep
from estep.data import Arrow
n = int(sys.argv[1])
peak = [0]
def look():
    while True:
        peak[0] = max(peak[0], next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("RssAnon")) * 1024)
        time.sleep(0.05)
threading.Thread(target=look, daemon=True).start()
def item(j):
    return f"CAST(((h >> {8 * j}) & 127) < (CASE WHEN h >> 63 = 0 THEN {20 + 5 * j} ELSE {107 - 4 * j} END) AS TINYINT) AS q{j}"
query = f"SELECT {', '.join(map(item, range(8)))} FROM (SELECT hash(i) AS h FROM range({n}) AS t(i))"
began = time.perf_counter()
fit = estep.LatentClass(2, random_state=0, n_init=3).fit(Arrow(None, query=query))
assert fit.result_.n == n
print(json.dumps(dict(seconds=time.perf_counter() - began, peak=peak[0])))
"""

WORKERS = """
import json, sys, time, warnings, pickle
warnings.simplefilter("ignore")
import numpy as np, estep
from functools import partial
from estep.core.assign import SOFT
from estep.data import Memory, OnDask
from estep.engine.visit import expected_of
from estep.models import Latent
from estep.structures import Iid

def block(seed, n):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4)) + (np.arange(n) % 4)[:, None]

def best(call, repeats):
    found = []
    for _ in range(repeats):
        began = time.perf_counter(); call(); found.append(time.perf_counter() - began)
    return sorted(found)[len(found) // 2]

if __name__ == "__main__":
    import distributed
    from dask import delayed
    n, parts = int(sys.argv[1]), 8
    x = np.concatenate([block(s, n // parts) for s in range(parts)])
    memory = Memory(x, n_jobs=1)
    model = Latent(Iid(), estep.Normal("VVV"), 4).bind(memory)
    start = model.start()
    labels = np.arange(len(x)) % 4
    params = model.mstep(memory.sum(lambda c: model.tally(start, c, np.eye(4)[labels[c.rows]])), start)
    one_pass = partial(expected_of, model, params, SOFT)
    memory.sum(one_pass)
    with distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        data = OnDask([delayed(block)(s, n // parts) for s in range(parts)], client)
        small = OnDask([x[:500], x[500:1000]], client)
        data.sum(one_pass), small.sum(one_pass)
        alone, spread = [], []
        for _ in range(5):
            alone.append(best(lambda: memory.sum(one_pass), 1))
            spread.append(best(lambda: data.sum(one_pass), 1))
        overhead = best(lambda: small.sum(one_pass), 40)
        many = OnDask([x[20 * i : 20 * i + 20] for i in range(256)], client)
        many.sum(one_pass)
        task, scheduler = (best(lambda: many.sum(fn), 5) / 256 for fn in (one_pass, len))
    size = len(pickle.dumps(memory.sum(one_pass)))
    sent = len(pickle.dumps(one_pass))
    ratio = sorted(a / b for a, b in zip(alone, spread))[2]
    found = dict(alone=sorted(alone)[2], spread=sorted(spread)[2], ratio=ratio)
    found |= dict(overhead=1e3 * overhead, size=size, sent=sent, task=1e3 * task, scheduler=1e3 * scheduler)
    print(json.dumps(found))
"""


def run(plan: Plan) -> Iterator[Line]:
    """The three of them; each in processes of their own."""
    try:
        import duckdb
        import nanoarrow  # noqa: F401
    except ImportError:
        yield absent(ROW, "a pass", "memory", "s", "duckdb or nanoarrow is not installed")
        return
    yield from _parquet(duckdb, 1_000_000 if plan.quick else 100_000_000)
    yield from _counted(10_000_000 if plan.quick else 1_000_000_000)
    yield from _workers(500_000 if plan.quick else 10_000_000)


def _parquet(duckdb: Any, n: int) -> Iterator[Line]:
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        path = str(Path(folder) / "rows.parquet")
        columns = ", ".join(f"random() + random() + (i % {K}) AS x{j}" for j in range(D))
        duckdb.sql(f"SELECT {columns} FROM range({n}) AS t(i)").write_parquet(path)
        file, memory = (_child(CHILD, source, path, str(K), "3") for source in ("file", "memory"))
    share, case = memory["seconds"] / file["seconds"], f"n={n:.0e} d={D} k={K}"
    note = f"reading the file the first time took {file['first']:.1f} s"
    met = share >= SHARE
    yield Line(ROW, f"a pass, {case}", "memory", "s", file["seconds"], memory["seconds"], share, f">= {SHARE}", met, note)
    mb, within = file["peak"] / 1e6, file["peak"] <= MOST
    yield Line(ROW, f"anonymous memory, {case}", "memory", "MB", mb, memory["peak"] / 1e6, goal="<= 2 GB", met=within)


def _counted(n: int) -> Iterator[Line]:
    found = _child(COUNTED, str(n))
    note = f"anonymous memory {found['peak'] / 1e6:.0f} MB; {n / found['seconds'] / 1e6:.1f} million rows a second"
    yield Line(ROW, f"latent class, {n:.0e} rows x 8 items, pushed down", "", "s", found["seconds"], note=note)


def _workers(n: int) -> Iterator[Line]:
    try:
        import distributed  # noqa: F401
    except ImportError:
        yield absent(ROW, "two workers", "one thread", "s", "dask and distributed are not installed")
        return
    found = _child(WORKERS, str(n))
    share, case = found["ratio"] / 2, f"n={n:.0e} d=4 k=4"
    note = f"efficiency {share:.2f}; statistics {found['size']} bytes, parameters sent {found['sent']} bytes"
    met = share >= EFFICIENCY
    goal = f">= {2 * EFFICIENCY}"
    yield Line(ROW, f"two workers, {case}", "one thread", "s", found["spread"], found["alone"], found["ratio"], goal, met, note)
    small = found["overhead"] <= OVERHEAD
    note = f"each further partition costs {found['task']:.1f} ms, {found['scheduler']:.1f} of them for the scheduler"
    goal, case = f"<= {OVERHEAD:g}", "a pass over 1000 rows, two workers"
    yield Line(ROW, case, "", "ms", found["overhead"], goal=goal, met=small, note=note)


def _child(code: str, *arguments: str) -> dict[str, Any]:
    paths = os.pathsep.join(filter(None, [str(HERE.parent / "src"), os.environ.get("PYTHONPATH")]))
    with tempfile.NamedTemporaryFile("w", suffix=".py", delete=False) as script:
        script.write(code)
    try:
        command = [sys.executable, script.name, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": paths})
    finally:
        os.unlink(script.name)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
