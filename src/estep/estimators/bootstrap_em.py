"""Multiple imputation by EM with bootstrapping: each copy is drawn with parameters refitted to rows drawn with replacement."""

from __future__ import annotations

from typing import Any

import numpy as np

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.result import Result, Status
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.presets import Variant
from estep.engine.run import Control
from estep.estimators.rows import Rows
from estep.families.normal_impute import conditional_draws

TRIES = 3


def bootstrap_imputations(result: Result, rows: Rows, x: Array, m: int, variant: Variant, control: Control, seed: int) -> Array:
    """``m`` completed copies of ``x``, (m, n, d); bootstrap samples without a maximum are drawn again, up to 3 m in all."""
    copies: list[Array] = []
    why = ""
    for i in range(TRIES * m):
        rng = np.random.default_rng([seed, i])
        params, words = _refitted(result, rows, variant, control, rng)
        why = words or why
        if params is not None:
            copies.append(conditional_draws(params.family, x, rng))
        if len(copies) == m:
            return np.stack(copies)
    raise ValueError(
        f"m={m}: of {TRIES * m} bootstrap samples only {len(copies)} have a maximum of the likelihood ({why}); "
        "fit with prior='default' before, or bring more rows"
    )


def _refitted(result: Result, rows: Rows, variant: Variant, control: Control, rng: np.random.Generator) -> tuple[Any, str]:
    """Parameters fitted to a bootstrap sample from where the fit ended, or None and why there are none."""
    n = rows.n
    if rows.weight is None:
        times = rng.multinomial(n, np.full(n, 1.0 / n)).astype(float)
    else:
        times = rng.multinomial(max(round(rows.total), 1), rows.weight / rows.total) * (rows.total / max(round(rows.total), 1))
    kept = times > 0
    drawn = np.asarray(rows.x)[kept]
    if ((~np.isnan(drawn)).sum(axis=0) < 2).any():
        return None, "a column is left with fewer than 2 observed values"
    try:
        again = fit(
            result.model,
            Memory(drawn, weight=times[kept], n_jobs=1),
            result.params,
            variant,
            tol=control.tol,
            max_iter=control.max_iter,
        )
    except (Collapsed, np.linalg.LinAlgError) as gone:
        return None, str(gone)
    if again.status in (Status.DEGENERATE, Status.FRAIL, Status.FELL):
        return None, again.message
    return again.params, ""
