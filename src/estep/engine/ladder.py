"""Progressive starts: a growing part of the rows before the first pass over all of them.

What a part of m rows cannot tell about p free parameters is worth about p / 2 nats (the likelihood ratio of the truth), so a
run on it goes on until a small share of that is left to gain, and then to the next part. After the last part the run goes over
all rows to the tolerance that was asked for: parts decide where it begins, and all rows where it ends.

    parts   m_0 < 4 m_0 < 16 m_0 < ...           as far as a quarter of the rows; nested, drawn by the seed
    m_0     at least FIRST rows and PER_PARAMETER rows for each free parameter
    used    from MANY m_0 rows on

Where a class gave a value no chance on a part (a probability of zero that EM would never leave), the step to the next part is
an M-step from softened responsibilities.

Source: starts from samples as in Bradley, Fayyad & Reina (1998), Proc. 4th Int. Conf. Knowledge Discovery and Data Mining, 9.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from estep.engine.state import State
from estep.engine.tallied import absorbs, families_in, fitted_to

FIRST, PER_PARAMETER, GROWTH, MANY = 5_000, 40, 4, 8
LEFT = 0.05
"""Nats left to gain for each free parameter when a run goes on to the next part."""


def part_sizes(n: int, p: int, first: int | None = None, least: int | None = None) -> tuple[int, ...]:
    """Rows of the parts for ``n`` rows and ``p`` free parameters; none where there are too few rows to be worth it.

    >>> part_sizes(1_000_000, 50)
    (5000, 20000, 80000)
    >>> part_sizes(30_000, 50)
    ()
    """
    size = max(FIRST, PER_PARAMETER * p) if first is None else first
    if n < (MANY * size if least is None else least):
        return ()
    found = []
    while size * GROWTH <= n:
        found.append(size)
        size *= GROWTH
    return tuple(found)


def stage_tol(model: Any, params: Any, part: Any) -> float:
    """Nats a row at which a run leaves ``part``."""
    return LEFT * float(model.support(params).count) / float(max(part.n_rows, 1))


def where(state: State) -> Any:
    """The best known parameters of a run: the EM image of its last accepted point."""
    return state.fallback if len(state.trace) else state.params


def climbs(model: Any, variant: Any) -> bool:
    """Whether parts may come first: whole soft passes, and a likelihood whose support does not hang on the parameters."""
    smooth = all(getattr(family, "smooth", True) for family in families_in(getattr(model, "family", None)))
    return bool(smooth and variant.visit.name == "whole" and variant.assign.name == "soft")


def handed_on(model: Any, part: Any, params: Any) -> Any:
    """Where a run begins on ``part`` that comes from a smaller one."""
    if not absorbs(model):
        return params
    return fitted_to(model, part, lambda chunk: np.asarray(model.explain(params, chunk).resp))
