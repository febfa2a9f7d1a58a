"""Checks of how a run ended: convergence, falls, replication, collapse, saddle points, ridges, ends of ranges, the rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from estep.core.result import Status
from estep.inference.errors import BOUNDARY, FLAT, RISING, Errors, shown
from estep.inference.findings import Finding, Severity
from estep.inference.scene import Scene

TOL = 1e-8
"""Nats a unit weight to which a run converges unless told otherwise."""
SLOW = 0.99
MOST_NAMED = 6
OTHER_START = "fit again from other starts (init='auto', a larger n_init)"

ENDINGS: Mapping[Status, tuple[str, Severity, str, str]] = {
    Status.FELL: (
        "fell",
        Severity.SERIOUS,
        "The objective fell during the run",
        "an exact algorithm never lets it fall: check the M-step and q of the model with estep.testing.check_model",
    ),
    Status.DEGENERATE: (
        "collapsed",
        Severity.SERIOUS,
        "A component collapsed, so these are no estimates",
        "take prior='default', fewer components or a covariance structure that components share",
    ),
    Status.FRAIL: (
        "nearly_collapsed",
        Severity.SERIOUS,
        "A component has nearly collapsed, which inflates the likelihood",
        "take prior='default', fewer components or a covariance structure that components share",
    ),
    Status.SADDLE: ("saddle", Severity.SERIOUS, "The run ended at a saddle point, not at a maximum", OTHER_START),
    Status.RIDGE: (
        "ridge",
        Severity.WARNING,
        "The run ended on a ridge: some parameters move without changing the likelihood",
        "fix or drop parameters, take fewer components, or add a prior; do not interpret those that can move",
    ),
    Status.INTERRUPTED: ("cut_short", Severity.SERIOUS, "The run was interrupted", "fit on, from params_ as init"),
    Status.STOPPED: ("cut_short", Severity.SERIOUS, "A callback stopped the run", "fit on, from params_ as init"),
    Status.DEFAULT_PRIOR: (
        "default_prior",
        Severity.WARNING,
        "Every start collapsed under maximum likelihood; these are posterior modes under the default prior",
        "say so where you report them, or take fewer components or a covariance structure that components share",
    ),
}
"""Status -> kind, severity, title and remedy of what it means."""


def ending(scene: Scene) -> Iterator[Finding]:
    """Whether the run converged, and to what."""
    result = scene.result
    if result.status in ENDINGS:
        kind, severity, title, remedy = ENDINGS[result.status]
        yield Finding(kind, severity, title, result.message, remedy, {"status": result.status.name})
    if result.status is Status.HIT_CAP:
        yield _cut(scene)
    if result.certificate == "heuristic":
        words = f"the algorithm ({result.variant}) promises nothing of its objective"
        remedy = "compare several starts, and end with algorithm='em' from these parameters"
        yield Finding("heuristic", Severity.NOTE, "The algorithm is a heuristic", words, remedy)


def _cut(scene: Scene) -> Finding:
    result = scene.result
    left = result.left if np.isfinite(result.left) else float("nan")
    words, numbers = [f"{result.passes} passes"], {"passes": float(result.passes), "left": left}
    words.append(f"about {left:.2g} nats left to gain" if np.isfinite(left) else "what is left to gain is unknown")
    if scene.rate is not None and np.isfinite(left):
        more = scene.rate.passes_left(left, TOL * scene.n)
        numbers |= {"rate": scene.rate.value, "passes_left": float(more)}
        if np.isfinite(more):
            words.append(f"at a rate of {scene.rate.value:.4f} some {more:,} passes of plain EM more")
    title = "The run stopped at max_iter before convergence"
    remedy = "raise max_iter, or let the run leap (accelerate='squarem'); estimates and criteria would still move"
    return Finding("not_converged", Severity.SERIOUS, title, "; ".join(words), remedy, numbers)


def replication(scene: Scene) -> Iterator[Finding]:
    """How many starts reached the best optimum, and how many collapsed."""
    table = scene.result.starts
    if table is None or scene.k < 2:
        return
    if len(table) == 1:
        yield Finding(
            "one_start", Severity.NOTE, "There was one start, so nothing says that this is the highest optimum",
            f"the run began at {table[0].start}", f"to see whether others end higher, {OTHER_START}", {"starts": 1},
        )  # fmt: skip
        return
    optima = table.optima
    polished = sum(count for _, count in optima)
    if polished > 1 and optima[0][1] == 1:
        gap = optima[0][0] - optima[1][0]
        yield Finding(
            "not_replicated", Severity.WARNING, "Only one start reached the best optimum, so a better one may exist",
            f"1 of {polished} starts that ran to the end reached it; the next is {gap:.3g} nats below",
            "raise n_init until several starts agree", {"reached": 1, "polished": polished, "gap": gap},
        )  # fmt: skip
    gone = table.collapsed
    if gone and scene.result.status is not Status.DEFAULT_PRIOR:
        many = 2 * len(gone) >= len(table)
        yield Finding(
            "starts_collapsed", Severity.WARNING if many else Severity.NOTE,
            "Some starts ran into a component that collapses",
            f"{len(gone)} of {len(table)} starts; the first is {gone[0].start}: {gone[0].message}",
            "nothing, if the returned optimum is replicated; else take prior='default' or fewer components",
            {"collapsed": len(gone), "starts": len(table)},
        )  # fmt: skip


def curvature(scene: Scene) -> Iterator[Finding]:
    """Directions in which the likelihood rises or is flat, and estimates at an end of their range."""
    errors = scene.errors
    assert errors is not None
    p, flat = errors.point.p, errors.ways.flat.shape[1] + errors.ways.empty.shape[1]
    lost = any((reason == FLAT).any() for reason in errors.reasons.values())  # else what is flat moves nothing that is shown
    if errors.ways.rising.shape[1] and scene.result.status is not Status.SADDLE:
        yield Finding(
            "saddle", Severity.SERIOUS, "The likelihood rises away from the estimates: they are at no maximum",
            f"the information has {errors.ways.rising.shape[1]} negative directions, which move {_entries(errors, RISING)}",
            f"{OTHER_START}, or on with a smaller tol", {"directions": errors.ways.rising.shape[1]},
        )  # fmt: skip
    if flat and lost:
        yield Finding(
            "not_identified", Severity.WARNING, "The data do not identify every parameter",
            f"the information has rank {p - flat} of {p}; the likelihood is flat along what moves {_entries(errors, FLAT)}",
            "fix or drop parameters, take fewer components, or add a prior; do not interpret those that can move",
            {"rank": p - flat, "parameters": p},
        )  # fmt: skip
    ends = sum(int((reason == BOUNDARY).sum()) for reason in errors.reasons.values())
    if ends:
        yield Finding(
            "boundary", Severity.NOTE, "Estimates lie at an end of their range, where they have no standard error",
            _entries(errors, BOUNDARY), "take a bootstrap for intervals there, or prior='default' to keep off the end",
            {"entries": ends},
        )  # fmt: skip


def _entries(errors: Errors, reason: str) -> str:
    """The entries that have no standard error for this reason."""
    names = [shown(n, tuple(int(v) for v in i)) for n, r in errors.reasons.items() for i in np.argwhere(r == reason)]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return (", ".join(names[:MOST_NAMED]) + more) or "no parameter that is shown"


def speed(scene: Scene) -> Iterator[Finding]:
    """Whether EM creeps, and along what."""
    rate = scene.rate
    assert rate is not None
    if SLOW < rate.value < 1.0:
        yield Finding(
            "slow", Severity.NOTE, "EM converges slowly here, as much of the information is missing",
            f"a pass leaves {rate.value:.5f} of the gap, so a decimal takes {rate.passes_a_digit:,.0f} passes; it is slow "
            f"along a direction of {rate.words}",
            "keep accelerate='auto' and a small tol, and read these parameters with their standard errors, which are large",
            {"rate": rate.value, "passes_a_digit": rate.passes_a_digit},
        )  # fmt: skip


def same_rows(scene: Scene) -> Iterator[Finding]:
    """Whether these are the rows of the fit."""
    if not scene.trained:
        here = float((scene.weight * scene.log_density).sum())
        yield Finding(
            "other_rows", Severity.WARNING, "These are not the rows of the fit, or come without its weights or labels",
            f"their log-likelihood is {here:.6g} with weight {scene.n:g}; the fit's was {scene.result.loglik:.6g} with "
            f"{scene.result.n:g}",
            "give the rows, weights and labels of the fit; what needs its maximum was left out",
            {"log_likelihood": here, "n": scene.n},
        )  # fmt: skip
