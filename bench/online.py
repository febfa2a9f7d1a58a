"""Online EM on ten million rows from Parquet: how far from the optimum after so many passes, against plain EM.

The distance is what the exact log-likelihood at the parameters lacks of the optimum, in nats a row; the optimum is that of a
long accelerated run. Seconds are of the whole fit, with the closing pass, and for online EM with the shuffle on disk.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measure import Line, Plan, absent, seconds

ROW = "online"
ROWS, D, K = 10_000_000, 2, 4
PASSES = (1, 2, 3, 5)


def run(plan: Plan) -> Iterator[Line]:
    """One file, several numbers of passes."""
    try:
        import duckdb  # noqa: F401
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        yield absent(ROW, f"n={ROWS} d={D}", "plain EM", "nats", "pyarrow or duckdb is not installed")
        return
    n = ROWS // 20 if plan.quick else ROWS
    rng = np.random.default_rng(0)
    means = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0], [3.5, 3.5]])
    x = means[rng.choice(K, n, p=[0.4, 0.3, 0.2, 0.1])] + rng.normal(size=(n, D))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pq.write_table(pa.table({f"x{j}": x[:, j] for j in range(D)}), path)
        del x
        yield from _compared(path, means, n)


def _compared(path: Path, means: Any, n: int) -> Iterator[Line]:
    from estep.data import Arrow
    from estep.engine.fit import fit
    from estep.families.normal import Normal
    from estep.families.normal_density import NormalParams
    from estep.models.latent import Latent, LatentParams
    from estep.structures.iid import Iid, IidParams

    data = Arrow(path)
    model = Latent(Iid(), Normal(), K).bind(data)
    start = NormalParams(0.5 * means + 0.75, np.tile(4.0 * np.eye(D), (K, 1, 1)))
    begin = LatentParams(IidParams(np.full(K, 1 / K)), start)
    best = fit(model, data, begin, accelerate="auto", max_iter=300, tol=1e-10)
    spent = seconds(lambda: fit(model, data, begin, "online", max_iter=1))
    yield Line(ROW, f"n={n} d={D} k={K}", "", "s", spent, note="first online pass, with the shuffle and the closing pass")
    for passes in PASSES:
        (online, ours), (plain, theirs) = (_timed(model, data, begin, how, passes) for how in ("online", "em"))
        gap, lost = (float(best.loglik - result.loglik) / n for result in (online, plain))
        note = f"nats a row below the optimum; {ours:.1f} s against {theirs:.1f} s"
        yield Line(ROW, f"{passes} passes", "plain EM", "nats", gap, lost, lost / gap, note=note)
    plain = fit(model, data, begin, max_iter=300, watch=lambda state, status: _gap(state, best, n) <= gap)
    if _gap(plain.state, best, n) <= gap:
        needed = len(plain.trace)
        yield Line(ROW, "passes for the same", "plain EM", "passes", PASSES[-1], needed, needed / PASSES[-1])


def _timed(model: Any, data: Any, begin: Any, how: str, passes: int) -> tuple[Any, float]:
    """The result of so many passes, and the seconds that they took."""
    from estep.engine.fit import fit

    began = time.perf_counter()
    return fit(model, data, begin, how, max_iter=passes), time.perf_counter() - began


def _gap(state: Any, best: Any, n: int) -> float:
    """What the last value of a plain run lacks of the optimum, in nats a row."""
    return float(best.loglik - state.trace[-1]) / n
