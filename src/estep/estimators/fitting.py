"""From a task to a result: prior, runs, order of components, and the rescue by the default prior. No mathematics here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from estep.core.collapse import Collapsed
from estep.core.result import Result, StartRow, StartTable, Status
from estep.engine.searches import fit_searched, search_named
from estep.engine.words import collapse_words, remedies
from estep.estimators.progressive import plan_of
from estep.estimators.starts import Task, starts_of
from estep.families.normal_shapes import numbers
from estep.models.latent import Latent

NUMBERS = ("weights", "mean", "mean_strength", "scale", "dof")


def solve(task: Task) -> Result:
    """Fit: set the prior, run the starts; under prior="auto" the default prior follows where every start collapses."""
    model, data = task.model, task.data
    if task.prior is not None and not (isinstance(task.prior, str) and task.prior == "auto"):
        model = model.with_prior(_settings(task.prior, model.k))
    rescuable = isinstance(task.prior, str) and task.prior == "auto" and hasattr(task.model.family, "prior")
    try:
        result = _run(model, data, task)
        rows, why = result.starts.rows if result.starts else (), None
    except Collapsed as gone:
        if not rescuable:
            raise _hopeless(gone, model) from None
        result, rows, why = None, (), collapse_words(gone)
    if result is not None and (not rescuable or any(row.usable and row.polished for row in rows)):
        return result
    why = why or next(row.message for row in rows if not row.usable)
    try:
        return _rescued(rows, why, _run(model.with_prior({}), data, _elsewhere(task)))
    except Collapsed as gone:
        raise _hopeless(gone, model) from None


def _elsewhere(task: Task) -> Task:
    """The task, with its runs under names of their own in the ledger."""
    ledger = task.control.ledger
    held = None if ledger is None else ledger.within("default prior")
    return dataclasses.replace(task, control=dataclasses.replace(task.control, ledger=held))


def _hopeless(gone: Collapsed, model: Latent) -> ValueError:
    return ValueError(f"{collapse_words(gone)} at the start, so there is nothing to continue from ({remedies(model)})")


def _settings(prior: Any, k: int) -> dict[str, Any]:
    if isinstance(prior, Mapping):
        settings = {n: _setting(v, f"prior[{n!r}]") if n in NUMBERS and v is not None else v for n, v in prior.items()}
        weights = np.asarray(1.0 if settings.get("weights") is None else settings["weights"])
        if weights.shape not in ((), (k,)) or not (weights >= 1).all():
            words = f"a number or ({k},) >= 1 (Dirichlet: 1 + the rows imagined in each class)"
            raise ValueError(f"prior['weights'] must be {words}, got {prior['weights']!r}")
        return settings
    if isinstance(prior, str) and prior == "default":
        return {}
    raise ValueError(f"prior={prior!r} is unknown; choose 'auto', 'default', None or a dict of settings")


def _setting(value: Any, argument: str) -> Any:
    array = numbers(value, argument)
    return array if array.ndim else array.item()


def _rescued(collapsed: tuple[StartRow, ...], why: str, rescued: Result) -> Result:
    """The fit with the default prior, with the collapsed starts before it in its table and a status that says so."""
    assert rescued.starts is not None
    renamed = tuple(dataclasses.replace(row, start=f"{row.start}, default prior") for row in rescued.starts.rows)
    table = StartTable(collapsed + renamed, len(collapsed) + rescued.starts.best, rescued.starts.width, rescued.starts.note)
    if not rescued.converged:
        return dataclasses.replace(rescued, starts=table)
    message = (
        f"every start collapsed under maximum likelihood ({why}); these are the estimates with the default prior "
        "(prior='default' asks for them and silences this warning; prior=None insists on maximum likelihood)"
    )
    return dataclasses.replace(rescued, starts=table, status=Status.DEFAULT_PRIOR, message=message)


def _run(model: Latent, data: Any, task: Task) -> Result:
    search = search_named(task.search)
    many = dataclasses.replace(task, n_init=task.n_init * int(getattr(search, "more", 1)), search=None)
    starts, plan = starts_of(model, many), plan_of(model, task)
    return fit_searched(model, data, starts, task.variant, task.control, search, plan=plan, seed=task.seed)


def seed_of(random_state: Any) -> int:
    """One integer from scikit-learn's ``random_state``."""
    try:
        return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    except ValueError as error:
        raise ValueError(f"random_state: {error}; give None, an integer >= 0 or a RandomState") from None


def in_order(result: Result, n_named: int) -> Result:
    """Components in decreasing weight over all rows; noise stays last. As they are where they may not be renamed."""
    structure, params = result.model.structure, result.params.structure
    overall = getattr(structure, "overall", None)
    weights = overall(params) if overall else getattr(params, "weights", None)
    alike = getattr(result.model.family, "exchangeable", True) and getattr(structure, "exchangeable", True)
    if weights is None or not alike or not hasattr(structure, "permute"):
        return result
    order = np.concatenate([np.argsort(-weights[:n_named], kind="stable"), np.arange(n_named, len(weights))]).astype(np.intp)
    if (order == np.arange(len(weights))).all():
        return result
    return dataclasses.replace(result, params=result.model.permute(result.params, order))
