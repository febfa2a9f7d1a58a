"""What is wrong with a fit, in plain words: every check that the model and the rows allow, each with evidence and a remedy.

    how it ended          convergence, falls, collapse, saddle points, replication of the best optimum
    what it rests on      the rows of the fit, rank of the information, ends of ranges, rate and slow direction of EM
    its components        alike, tiny, poorly told apart
    its moves             of chains whose states are seen: states never seen or left, classes, few moves
    single rows           influence, and rows outside the model
    the law               distance between rows and model, with a p value from drawn data sets

A check that a model does not admit is named with the reason. Two checks are tests: under the true model the law is doubted in
one fit of a hundred, outlying rows are reported in one of five hundred; influential rows and the rest follow fixed bars.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from estep.core.result import Result
from estep.inference import check_classes, check_law, check_moves, check_rows, check_run, units
from estep.inference.errors import Errors, Natural, standard_errors
from estep.inference.findings import Diagnosis, Finding, ordered
from estep.inference.information import lacking_scores
from estep.inference.rate import find_rate, rate_of
from estep.inference.scene import Scene, see

MOST_FREE = 150
"""Free parameters up to which standard errors are found unasked: two passes each."""


@dataclasses.dataclass(frozen=True)
class Check:
    """A check: what it looks at, its findings, and why it cannot be made ("" where it can)."""

    what: str
    findings: Callable[[Scene], Iterator[Finding]]
    barred: Callable[[Scene], str] = lambda scene: ""


def _no_errors(scene: Scene) -> str:
    if scene.errors is None:
        return scene.why_no_errors or "there are no standard errors"
    return ""


def _no_rate(scene: Scene) -> str:
    return "" if scene.rate is not None else _no_errors(scene) or "EM has no rate here"


def _one_start(scene: Scene) -> str:
    return "the states are seen, and there is one start" if scene.observed else _one_component(scene)


def _one_component(scene: Scene) -> str:
    return "the states are seen" if scene.observed else "there is one component" if scene.k < 2 else ""


def _of_chains(check: Callable[[Scene], Iterator[Finding]]) -> Callable[[Scene], Iterator[Finding]]:
    """A check of components, made of each of several chains by itself."""
    return lambda scene: (finding for chain in scene.each_chain() if chain.k > 1 for finding in check(chain))


def _no_scores(scene: Scene) -> str:
    if why := _no_errors(scene):
        return why
    if words := lacking_scores(scene.model, scene.data):
        return f"it needs {words}"
    units_seen, what = units.counted(scene.data)
    return "there is one sequence" if units_seen < 2 and what == units.SEQUENCES else ""


def _no_densities(scene: Scene) -> str:
    return scene.no_rows()


def _no_law(scene: Scene) -> str:
    if (scene.n_sim + 1) * check_law.ALARM < 1:
        least = round(1 / check_law.ALARM) - 1
        return f"n_sim={scene.n_sim} data sets cannot give a p value of {check_law.ALARM}; take {least} or more"
    return check_law.law_of(scene).why or _no_errors(scene)


CHECKS: tuple[Check, ...] = (
    Check("convergence", check_run.ending),
    Check("whether these are the rows of the fit", check_run.same_rows),
    Check("replication of the best optimum", check_run.replication, _one_start),
    Check("rank and sign of the information, and ends of ranges", check_run.curvature, _no_errors),
    Check("speed of EM", check_run.speed, _no_rate),
    Check("components that are alike", _of_chains(check_classes.alike), _one_component),
    Check("components of few rows", _of_chains(check_classes.tiny), _one_component),
    Check("separation of the components", _of_chains(check_classes.told_apart), _one_component),
    Check("influence of single rows", check_rows.influential, _no_scores),
    Check("outlying rows", check_rows.outlying, _no_densities),
    Check("the law of the rows", check_law.goodness_of_fit, _no_law),
)
"""Every check, in the order in which they are made."""
MOVES: tuple[Check, ...] = (
    Check("states never seen", check_moves.never_seen),
    Check("states never left", check_moves.never_left),
    Check("classes of states", check_moves.apart),
    Check("moves that are few", check_moves.few),
)
"""Checks of chains whose states are seen."""


def diagnose(
    model: Any,
    data: Any,
    result: Result,
    *,
    errors: Errors | None = None,
    natural: Natural | None = None,
    numbers: Sequence[int] | None = None,
    n_sim: int = 199,
    seed: int = 0,
    names: Sequence[Any] | None = None,
) -> Diagnosis:
    """The findings of a fit.

    Parameters
    ----------
    model, data, result
        Bound model, rows (one each, with weights and labels as in the fit) and what ``estep.fit`` returned.
    errors : Errors or None
        Standard errors of the fit; None finds them (two passes a free parameter, up to 150 of these).
    natural : function or None
        From parameters to the arrays that words are about.
    numbers : ints (n,) or None
        The rows' places in what a user gave.
    n_sim, seed
        Data sets drawn for the p value of the law (99 at least; 0 leaves it out), and their seed.
    names : sequence or None
        What the components are called; None: their numbers.

    Examples
    --------
    >>> import numpy as np, estep
    >>> from estep.data import Memory
    >>> fit = estep.MultivariateNormal().fit(np.random.default_rng(0).normal(size=(60, 2)))
    >>> found = diagnose(fit.result_.model, Memory(np.random.default_rng(0).normal(size=(60, 2))), fit.result_)
    >>> len(found)
    0
    """
    scene = see(model, data, result, numbers, n_sim=n_sim, seed=seed, names=names)
    scene = _with_information(scene, errors, natural)
    findings: list[Finding] = []
    checked, skipped = [], []
    for check in (*CHECKS, *(MOVES if scene.observed else ())):
        if why := check.barred(scene):
            skipped.append((check.what, why))
            continue
        checked.append(check.what)
        findings += check.findings(scene)
    return Diagnosis(ordered(findings), tuple(checked), tuple(skipped))


def _with_information(scene: Scene, errors: Errors | None, natural: Natural | None) -> Scene:
    """The scene with standard errors and rate, or why there are none."""
    if not scene.trained:
        return dataclasses.replace(scene, why_no_errors="it needs the rows of the fit")
    if errors is None and (why := _unfit(scene)):
        return dataclasses.replace(scene, why_no_errors=why, rate=_rate(scene, natural))
    if errors is None:
        try:
            errors = standard_errors(scene.model, scene.data, scene.params, natural=natural, quiet=True)
        except (TypeError, ValueError, FloatingPointError) as error:
            return dataclasses.replace(scene, why_no_errors=f"there are no standard errors ({error})")
    if not errors.point.p:
        return dataclasses.replace(scene, why_no_errors="no parameter is free")
    return dataclasses.replace(scene, errors=errors, rate=rate_of(errors))


def _unfit(scene: Scene) -> str:
    free = scene.result.n_free
    if free > MOST_FREE:
        return f"there are {free} free parameters; give errors=fit.standard_errors(...), which takes {2 * free} passes"
    return "" if hasattr(scene.model, "q") else "the model has no q"


def _rate(scene: Scene, natural: Natural | None) -> Any:
    """The rate alone, where standard errors cost too much."""
    try:
        return find_rate(scene.model, scene.data, scene.params, natural=natural, accuracy=0.05)
    except (TypeError, ValueError, AttributeError):
        return None
