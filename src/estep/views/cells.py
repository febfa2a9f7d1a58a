"""The summary of a fitted table of cells as text: the facts of the fit, and the most probable cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from estep.core.result import Result
from estep.views.layout import Row, facts, number, numbers, table

MOST = 30


def cells_text(result: Result, names: Sequence[str], levels: Sequence[Any]) -> str:
    """A fitted ``Saturated`` as text: table, likelihood, criteria, how it ended, the cells by probability."""
    model, probs = result.model, result.params.probs
    kind = (
        "saturated"
        if not model.margins
        else "log-linear, margins " + ", ".join("".join(f"[{names[j]}]" for j in m) for m in model.margins)
    )
    told = [
        ("n", number(result.n, 0)),
        ("columns", ", ".join(f"{n} ({len(v)})" for n, v in zip(names, levels, strict=True))),
        ("cells", f"{len(probs)} that may occur, {int((probs > 0).sum())} above zero"),
        ("log-likelihood", number(result.loglik)),
        ("objective", "" if model.prior is None else f"{number(result.objective)} (log-likelihood plus log prior)"),
        ("free parameters", str(result.n_free)),
        ("BIC", f"{number(-2 * result.loglik + result.n_free * math.log(result.n))} (lower is better)"),
        ("AIC", number(-2 * result.loglik + 2 * result.n_free)),
        ("status", result.message),
        ("passes", str(result.passes)),
        ("algorithm", result.variant),
    ]
    order = np.argsort(-probs, kind="stable")[:MOST]
    shown = numbers(probs[order], 4)
    rows = [
        Row(", ".join(str(v[c]) for v, c in zip(levels, model.cells[i], strict=True)), [p])
        for i, p in zip(order, shown, strict=True)
    ]
    more = [f"... {len(probs) - MOST} more in cell_probs_"] if len(probs) > MOST else []
    return "\n".join(
        [f"Multinomial table, {kind}", "", *facts(told), "", *table(", ".join(names), ["probability"], rows), *more]
    )
