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
    return "what is left to gain cannot be projected from these passes; raise max_iter"


def fall_words(model: Any, trace: Array) -> str:
    """Which model fell at which pass, and by how much."""
    before, after = (float(trace[-2]) if trace.size > 1 else np.nan), float(trace[-1])
    who = f"{type(model).__name__} at pass {trace.size}"
    if np.isnan(after):
        return f"the objective of {who} is not a number; check its E-step at these parameters"
    size = f"{before - after:.3g} nats (from {before:.10g} to {after:.10g})"
    return f"the objective of {who} fell by {size}: its E-step or M-step has an error"


READS = {"whole": "every row in every pass"}
FILLS = {
    "soft": "each row belongs to every class with its posterior probability",
    "hard": "each row belongs to its most probable class",
    "sampled": "each row belongs to classes drawn from its posterior",
    "tempered": "each row belongs to every class with its tempered posterior probability",
    "annealed": "each row belongs to every class with its tempered posterior probability",
    "entropic": "each row belongs to every class with its posterior probability, uncertain ones reduced",
}
JOINS = {"replace": "the statistics of the pass alone", "average": "a running average of the statistics of all passes"}
MOVES = {
    "maximise": "the M-step maximises over all free parameters",
    "ascend": "one safeguarded Newton step on q (generalised EM)",
}
STOPS = {
    "aitken": "what is left to gain, as Aitken projects it, is below the tolerance",
    "settled": "a pass changes nothing",
    "all passes": "the passes asked for have been made",
}


def account(variant: Any, model: Any) -> tuple[tuple[str, str], ...]:
    """What a variant does, axis by axis, in words; an axis that the tables do not know tells its own ``words`` or name."""
    leap = variant.leap
    objective = str(getattr(variant.assign, "objective", f"that of the assignment {variant.assign.name!r}"))
    objective = str(getattr(variant.visit, "climbs", objective))
    prior = " plus log prior" if getattr(model, "prior", None) is not None else ""
    return (
        ("algorithm", variant.name),
        ("reads", _told(variant.visit, READS)),
        ("fills in", _told(variant.assign, FILLS)),
        ("adds up", _told(variant.blend, JOINS)),
        ("moves by", _told(variant.update, MOVES)),
        ("leaps", "none" if leap is None else f"{leap.name}: a leap is kept where it is no lower than the step it replaces"),
        ("climbs", f"{objective}{prior}"),
        ("ends when", _told(variant.stop, STOPS)),
    )


def _told(axis: Any, table: dict[str, str]) -> str:
    words = getattr(axis, "words", None) or table.get(axis.name)
    label = str(getattr(axis, "label", axis.name))
    if words is None:
        return label
    told = label.removeprefix(f"{axis.name} (").removesuffix(")")
    return f"{words} [{told}]" if label != axis.name else str(words)


def ending(message: str, said: str, first: Any, model: Any) -> str:
    """The status sentence with what answers for the run (``said``) and how many of the ``first`` model's classes are left."""
    if said:
        message = f"{message}; these are {said}"
    before, after = getattr(first, "k", None), getattr(model, "k", None)
    return message if before == after else f"{message}; {after} of {before} components are left"
