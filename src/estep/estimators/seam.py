"""One seam for every estimator: read the rows, bind the model, begin, run, publish, warn. No mathematics here.

    Arguments (X, y, sample_weight, labels, by)     what the user gave
    Spec (family, k, structure, noise)              what is to be fitted
    fit_latent(self, arguments, spec)               the fit; fitted attributes go to ``self``
    explain(self, arguments)  in methods.py         every row seen by the fitted model

An estimator whose rows are more than a matrix (a response beside a design, a gate's covariates) has a method
``_read(arguments, target, reset=...)`` that returns ``Rows``; fit, predict and score all read through it.
One that tells more about a fit than its parameters has ``_describe(rows)``, from the fitted (distinct) rows to attributes.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from estep.core.result import Result
from estep.core.rows import is_elsewhere, is_sparse
from estep.engine.presets import variant_of
from estep.engine.run import Control
from estep.engine.state import State
from estep.estimators.columns import own_names, table_of
from estep.estimators.constraints import constraints_of
from estep.estimators.fitting import in_order, seed_of, solve
from estep.estimators.from_file import with_own
from estep.estimators.rows import Arguments, Rows, Target, read_rows, require_enough
from estep.estimators.settings import check_settings
from estep.estimators.starts import Task
from estep.estimators.warnings import warn_of
from estep.estimators.watching import watcher
from estep.models.latent import Latent
from estep.start.plan import rule_names
from estep.structures.grouped import Grouped
from estep.structures.iid import Iid

__all__ = ["Arguments", "Spec", "fit_latent", "published", "read", "read_seen", "require_responses", "worth_collapsing"]


@dataclasses.dataclass(frozen=True)
class Spec:
    """What is to be fitted: ``k`` named components of ``family`` under ``structure``, with a noise class beside or not.

    ``structure`` None stands for independent rows, or, where the user gave ``by``, for weights of each group's own.
    ``argument`` is the setting that names k, for errors; ``starts`` makes starts of the estimator's own (``Task.own``);
    ``settings`` stand in for the estimator's own ``init``, ``fixed`` or ``algorithm``, where it has other words for them;
    ``few``: there may be fewer distinct rows than components, as where components are known by name.
    """

    family: Any
    k: int
    structure: Any = None
    noise: bool = False
    argument: str = "n_components"
    starts: Any = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    few: bool = False


def read(self: Any, arguments: Arguments, target: Target, *, reset: bool) -> Rows:
    """The user's rows, as the estimator reads them."""
    arguments = with_own(dataclasses.replace(arguments, X=table_of(arguments.X)))
    own = getattr(self, "_read", None)
    rows: Rows = own(arguments, target, reset=reset) if own else read_rows(self, arguments, target, reset=reset)
    if getattr(target.family, "nonnegative", False):
        _refuse_negative(rows.x, type(target.family).__name__)
    return rows


def read_seen(self: Any, arguments: Arguments) -> Rows:
    """The rows of a fitted estimator for what is said of the fit: those of a regression have responses. Raises ValueError."""
    model, noisy = self.result_.model, getattr(self, "noise", False) is not False
    rows = read(self, arguments, Target(model.family, model.k, model.k - int(noisy)), reset=False)
    require_responses(rows, arguments)
    return rows


def require_responses(rows: Rows, arguments: Arguments) -> None:
    """Raise ValueError where rows are regressed, ``y`` was left out and no response came with X."""
    response = rows.x[1] if isinstance(rows.x, tuple) and len(rows.x) > 1 else None
    if arguments.y is not None or not isinstance(response, np.ndarray) or response.dtype.kind != "f":
        return
    if response.size and np.isnan(response).all():
        raise ValueError("y is missing: likelihoods are those of the responses given X; give y, the responses of these rows")


def _refuse_negative(x: Any, family: str) -> None:
    """Raise ValueError where a matrix holds a value below zero."""
    values = x.data if is_sparse(x) else x
    if not isinstance(values, np.ndarray) or not (low := float(np.fmin.reduce(values, axis=None, initial=0.0))) < 0:
        return
    where = "" if is_sparse(x) else f" in column {int(np.argwhere(x == low)[0, 1])}"
    raise ValueError(f"Negative values in data: X holds {low:g}{where}, but {family} reads values >= 0; correct or shift them")


def _check_names(self: Any, family: Any) -> None:
    """Raise where a family is a class or plain data, or where ``init`` names no rule, whatever the number of components."""
    if isinstance(family, type | str | int | float | tuple | list | dict) or family is None:
        plain = "text" if isinstance(family, str) else type(family).__name__
        what = f"the class {family.__name__}" if isinstance(family, type) else f"the {plain} {family!r}"
        name = family.__name__ if isinstance(family, type) else "Poisson"
        raise TypeError(f"family is {what}; give an instance, such as {name}()")
    if isinstance(self.init, str):
        rule_names(self.init, 1, 1)


def fit_latent(self: Any, arguments: Arguments, spec: Spec) -> Any:
    """Fit ``spec`` to the user's rows and publish the result on the estimator."""
    check_settings(self)
    _check_names(self, spec.family)
    arguments = dataclasses.replace(arguments, X=table_of(arguments.X))
    family, k = spec.family, spec.k + int(spec.noise)
    if hasattr(family, "by_name"):
        family = family.by_name(own_names(arguments.X))
    read_as = Target(family, k, spec.k)
    rows = read(self, arguments, read_as, reset=True)
    self.__dict__.pop("blank_rows_", None)
    if rows.blanks:
        self.blank_rows_ = rows.blanks
    if not spec.few:
        require_enough(rows, spec.k, spec.argument)
    _note_supervised(self, rows, spec.k)
    family = _with_levels(self, family)
    if worth_collapsing(family, rows) and not (is_elsewhere(rows.x) and _told(self, spec)):
        rows = rows.distinct()
        if getattr(family, "nonnegative", False):  # rows that were counted where they are have not been seen before
            _refuse_negative(rows.x, type(family).__name__)
    structure = spec.structure or _default_structure(self)
    data = rows.data(self.n_jobs)
    model = Latent(structure, family, k).bind(data)
    model = dataclasses.replace(model, constraints=constraints_of(model, rows.d, _setting(self, spec, "fixed"), self.tied))
    with watcher(self, arguments.X, arguments.y, lambda state: _passing(self, model, state)) as watch:
        task = _task(self, model, rows, data, spec, watch)
        result = _cautioned(self, solve(task), task)
    if isinstance(self.init, str) and rows.allowed is None and not model.constraints and not _orders(self.prior):
        result = in_order(result, result.model.k - int(spec.noise))
    for name, value in published(self, dataclasses.replace(result, state=None)).items():
        setattr(self, name, value)
    if hasattr(self, "_describe"):
        for name, value in self._describe(rows).items():
            setattr(self, name, value)
    warn_of(result, type(self).__name__)
    return self


def _cautioned(self: Any, result: Result, task: Task) -> Result:
    """The result, with what the variant says of rows that it is not made for."""
    ask = getattr(task.variant.visit, "caution", None)
    words, slower = ask(task.data.n_rows, task.rows.d) if ask else ("", False)
    if slower:
        warnings.warn(f"{type(self).__name__}: {words}", UserWarning, stacklevel=5)
    return dataclasses.replace(result, account=(*result.account, ("mind", words))) if words else result


def _task(self: Any, model: Latent, rows: Rows, data: Any, spec: Spec, watch: Any) -> Task:
    seed = seed_of(self.random_state)
    return Task(
        model=model,
        rows=rows,
        data=data,
        init=_setting(self, spec, "init"),
        n_init=self.n_init,
        prior=self.prior,
        variant=variant_of(_setting(self, spec, "algorithm"), self.accelerate),
        control=Control(
            tol=self.tol,
            max_iter=self.max_iter,
            watch=watch,
            catch=not getattr(self, "_enclosed", False),
            ledger=getattr(self, "_ledger", None),
            seed=seed,
        ),
        seed=seed,
        n_jobs=self.n_jobs,
        noise=spec.noise,
        shared=getattr(self, "_shared_starts", None),
        own=spec.starts,
        search=getattr(self, "search", None),
        progressive=getattr(self, "progressive", False),
        picture=f"{spec.family!r}, {rows.n} rows" if rows.member is not None or hasattr(model.family, "features") else "",
    )


def _setting(self: Any, spec: Spec, name: str) -> Any:
    return spec.settings.get(name, getattr(self, name))


def worth_collapsing(family: Any, rows: Rows) -> bool:
    """Whether equal rows are counted once: where rows take few values."""
    return bool(getattr(family, "discrete", False)) and not is_sparse(rows.x) and rows.ends is None


def _told(self: Any, spec: Spec) -> bool:
    """Whether ``init`` says something of each row."""
    return not isinstance(_setting(self, spec, "init"), str | Mapping)


def _with_levels(self: Any, family: Any) -> Any:
    levels = getattr(self, "levels_", None)
    if levels is None or not hasattr(family, "with_levels"):
        return family
    return family.with_levels({j: len(found) for j, found in enumerate(levels) if found is not None})


def _default_structure(self: Any) -> Any:
    groups = getattr(self, "groups_", None)
    return Iid() if groups is None else Grouped(len(groups))


def _orders(prior: Any) -> bool:
    """Whether a prior tells the components apart."""
    return isinstance(prior, Mapping) and any(np.ndim(prior.get(n, 1.0)) > 0 for n in ("weights", "startprob", "transmat"))


def published(self: Any, result: Result) -> dict[str, Any]:
    """The fitted attributes: every parameter under its name, where that can be an attribute; all of them in ``params_``."""
    params, family, structure = result.params, result.model.family, result.model.structure
    expose = getattr(family, "expose", None)
    shown = {name: getattr(params.structure, name) for name in structure.names}
    shown |= expose(params.family) if expose else {n: getattr(params.family, n) for n in family.names}
    noisy = getattr(self, "noise", False) is not False
    n, overall = max(result.n, np.finfo(float).tiny), getattr(structure, "overall", None)
    return {
        **({"weights_": overall(params.structure)} if overall and "weights" not in shown else {}),
        **{f"{name}_": result.model.k - int(noisy) for name in ("n_components", "n_states") if hasattr(self, name)},
        "result_": result,
        "params_": shown,
        **{f"{name}_": value for name, value in shown.items() if name.isidentifier()},
        "converged_": result.converged,
        "status_": result.status,
        "n_iter_": result.passes,
        "log_likelihood_": result.loglik,
        "objective_": result.objective,
        "trace_": result.trace.objective,
        "starts_": result.starts,
        "lower_bound_": result.objective / n,
        "lower_bounds_": (result.trace.objective / n).tolist(),
    }


LEARNED = ("n_features_in_", "feature_names_in_", "classes_", "groups_", "levels_")
"""What reading the rows leaves on the estimator."""


def _passing(self: Any, model: Latent, state: State) -> dict[str, Any]:
    """Fitted attributes as if the run had stopped at ``state``, for callbacks that ask."""
    from estep.engine.passing import passing_result

    found = published(self, passing_result(model, state))
    return {**found, **{n: v for n, v in self.__dict__.items() if n in LEARNED}}


def _note_supervised(self: Any, rows: Rows, named: int) -> None:
    allowed = rows.allowed
    if allowed is None or named == 1:
        return
    certain = (allowed >= 0) if allowed.ndim == 1 else (allowed.sum(axis=1) == 1)
    if certain.all():
        warnings.warn(
            f"{type(self).__name__}: every row has a label, so the fit is supervised and no class is inferred; "
            "for a clustering pass y=None",
            UserWarning,
            stacklevel=5,
        )
