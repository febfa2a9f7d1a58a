"""Statuses in words a person can act on: what happened, the numbers, and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.result import Status

GENERAL = ("fewer components", "prior='default'", "more or other starts", "removing repeated rows")


def sentence(model: Any, status: Status, gone: Collapsed | None, left: float, target: float, max_iter: int) -> str:
    """The status as a full sentence with its numbers and, where something went wrong, what to do."""
    if status is Status.DEGENERATE and gone is not None:
        return f"{collapse_words(gone)}, and the likelihood has no maximum there ({remedies(model)})"
    if status is Status.FRAIL and gone is not None:
        return f"converged, but component {gone.component} has nearly collapsed: {gone.reason} ({remedies(model)})"
    if status is Status.HIT_CAP:
        return f"stopped at max_iter={max_iter} before convergence; {_left_words(left, target)}"
    return str(status.value)


def remedies(model: Any) -> str:
    """What helps against a collapse: the model's own advice (``remedy``), then the general."""
    own = str(getattr(model, "remedy", ""))
    return f"remedies: {', '.join([*([own] if own else []), *GENERAL[:-1]])}, or {GENERAL[-1]}"


def collapse_words(gone: Collapsed | None) -> str:
    """What collapsed, in one clause."""
    return "a component collapsed" if gone is None else f"component {gone.component} collapsed: {gone.reason}"


def _left_words(left: float, target: float) -> str:
    if np.isfinite(left):
        return f"about {left:.3g} nats are probably left to gain (tol asks for {target:.3g}); raise max_iter or tol"
    return "too few plain passes were made to project what is left to gain; raise max_iter"


def fall_words(model: Any, trace: Array) -> str:
    """Which model fell at which pass, and by how much."""
    before, after = (float(trace[-2]) if trace.size > 1 else np.nan), float(trace[-1])
    who = f"{type(model).__name__} at pass {trace.size}"
    if np.isnan(after):
        return f"the objective of {who} is not a number; check its E-step at these parameters"
    size = f"{before - after:.3g} nats (from {before:.10g} to {after:.10g})"
    return f"the objective of {who} fell by {size}: its E-step or M-step has an error"
