"""From options and rows to a fitted estimator: one fit, or the best of a grid by a criterion."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from estep.cli.models import Kind, estimator_of, kind_of
from estep.cli.reading import Given, sample
from estep.cli.words import Voice

COMPONENTS, STATES = tuple(range(1, 10)), tuple(range(1, 6))
ALL = ("all",)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be fitted: an estimator and the values of the settings that are to be chosen."""

    name: str
    kind: Kind
    estimator: Any
    grid: dict[str, Any]
    fits: int


def model_name(options: Any) -> str:
    """The model that the options ask for; columns with families of their own make it "auto"."""
    if options.column and options.model not in (None, "auto"):
        raise ValueError(f"--column sets the family of one column under --model auto, not under --model {options.model}")
    return options.model or ("auto" if options.column else "regression" if options.formula else "gaussian")


def plan(name: str, options: Any, given: Given, voice: Voice) -> Plan:
    """The fits of one model."""
    kind = kind_of(name)
    estimator = estimator_of(name, options, _proposed(options, given, voice) if name == "auto" else None)
    if options.states is not None and (not kind.sequential or options.components is not None):
        raise ValueError("--states is for --model hmm, in place of --components; give one of them")
    components = options.states or options.components or ((STATES if kind.sequential else COMPONENTS) if kind.ranked else ())
    if not kind.ranked and len(components) != 1:
        raise ValueError(f"--model {name} has no criterion to choose by: give one number, such as --components 3")
    grid: dict[str, Any] = {kind.count: list(components)}
    if kind.covariances:
        covariances = options.covariance or ALL
        grid["covariance_type"] = "all" if covariances == ALL else list(covariances)
    from estep.inference.select import combinations

    cells = combinations(grid, len(given.data.names))
    if given.by is not None and len(cells) > 1:
        raise ValueError("--group takes one model: give one number of --components (and one --covariance)")
    return Plan(name, kind, estimator, grid, len(cells))


def fitted(plan: Plan, options: Any, given: Given) -> tuple[Any, Any]:
    """The estimator, fitted, and the selection, or None where there was nothing to choose. Ctrl-C ends both."""
    from estep.inference.select import combinations, select

    if plan.fits > 1:
        selection = select(plan.estimator, given.X, plan.grid, options.criterion, **given.row)
        return selection.best_, selection
    settings = combinations(plan.grid, len(given.data.names))[0]
    estimator = plan.estimator.set_params(**settings)
    estimator._enclosed = True
    estimator.fit(given.X, **given.row)
    return estimator, None


def _proposed(options: Any, given: Given, voice: Voice) -> Any:
    """A family for every column, as proposed, or as --column says."""
    from estep.estimators.propose import propose_family

    told: dict[str, str] = {}
    for text in options.column:
        name, sign, family = text.rpartition("=")
        if not sign or not name or not family:
            raise ValueError(f"--column {text}: write NAME=FAMILY, such as --column visits=poisson")
        given.data.table.column(name)
        told[name] = family
    family, words = propose_family(sample(given.data), told)
    for line in words.splitlines():
        voice.say(line)
    return family


def described(estimator: Any) -> dict[str, Any]:
    """A fitted estimator for the document: how it ended, criteria, parameters."""
    result = estimator.result_
    found: dict[str, Any] = {
        "estimator": type(estimator).__name__,
        "settings": {n: v for n, v in estimator.get_params().items() if isinstance(v, str | int | float | None)},
        "converged": bool(result.converged),
        "status": result.status.name.lower(),
        "message": result.message,
        "log_likelihood": float(result.loglik),
        "free_parameters": int(result.n_free),
        "total_weight": float(result.n),
        "passes": int(result.passes),
        "bic": -2.0 * float(result.loglik) + result.n_free * math.log(result.n) if result.n > 0 else math.nan,
        "aic": -2.0 * float(result.loglik) + 2.0 * result.n_free,
        "columns": [str(name) for name in getattr(estimator, "feature_names_in_", ())],
        "parameters": dict(getattr(estimator, "params_", {})) or {"cluster_centers": estimator.cluster_centers_},
    }
    return found


def table_of(selection: Any) -> list[dict[str, Any]]:
    """The rows of a selection for the document."""
    return [
        {
            **cell.settings,
            selection.criterion: cell.criterion,
            "log_likelihood": cell.log_likelihood,
            "free_parameters": cell.n_free,
            "status": cell.status,
            "message": cell.message,
            "usable": cell.usable,
        }
        for cell in selection.table
    ]
