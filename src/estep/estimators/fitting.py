"""From an estimator's arguments to a result: constraints, prior, starts, run. No mathematics here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.result import Result, StartRow, StartTable, Status
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.engine.presets import Variant
from estep.engine.restart import Start, fit_starts
from estep.engine.run import Control
from estep.engine.words import REMEDIES, collapse_words
from estep.estimators.rows import Rows
from estep.families.covariance import check
from estep.families.normal_shapes import numbers
from estep.models.latent import Latent, LatentParams
from estep.start.plan import Proposal, Sample, begin, one_hot, propose, respecting, rule_names


@dataclasses.dataclass(frozen=True)
class Task:
    """Everything a fit needs: the model bound to its data, the rows and the settings."""

    model: Latent
    rows: Rows
    data: Memory
    init: Any
    n_init: int
    prior: Any
    variant: Variant
    control: Control
    seed: int
    n_jobs: int | None
    noise: bool = False
    shared: dict[Any, Any] | None = None


NUMBERS = ("weights", "mean", "mean_strength", "scale", "dof")


def constraints_of(model: Latent, d: int, fixed: Any, tied: Any) -> Constraints:
    """The user's ``fixed`` and ``tied`` dicts in the model's own shapes."""
    for argument, given in (("fixed", fixed), ("tied", tied)):
        if given is not None and not isinstance(given, Mapping):
            raise ValueError(f"{argument} must be a dict from parameter names to arrays, got {type(given).__name__}")
        unknown = sorted(set(given or ()) - set(names_of(model)))
        if unknown:
            raise ValueError(f"{argument} names {unknown}; this model has {names_of(model)}")
    held = {n: adopt(model, n, v, d, f"fixed[{n!r}]") for n, v in (fixed or {}).items()}
    ties = {n: _ties(model, n, v, d, f"tied[{n!r}]") for n, v in (tied or {}).items()}
    for name, value in held.items():
        if np.isinf(value).any():
            raise ValueError(f"fixed[{name!r}] holds infinity; give numbers, and NaN at the entries left free")
        HELD.get(name, _anything)(model, value, f"fixed[{name!r}]")
    return Constraints(held, ties)


def _room_left(model: Latent, weights: Array, argument: str) -> None:
    if np.isnan(weights).any() and 1.0 - 1e-12 <= np.nansum(weights) <= 1.0 + 1e-8:
        raise ValueError(f"{argument} sums to one and leaves nothing for the free entries; lower it or free more of it")


def _positive(model: Latent, covariances: Array, argument: str) -> None:
    if not hasattr(model.family, "adopt"):
        return
    free = np.isnan(covariances)
    if covariances.ndim == 2:
        check("VVI", np.where(free, 1.0, covariances), argument)
        return
    whole = ~free.any(axis=(1, 2), keepdims=True)
    check("VVV", np.where(whole, covariances, np.eye(covariances.shape[1])), argument)


def _anything(model: Latent, value: Array, argument: str) -> None:
    """Other parameters are checked by their support."""


HELD: dict[str, Callable[[Latent, Array, str], None]] = {"weights": _room_left, "covariances": _positive}


def names_of(model: Latent) -> list[str]:
    """Parameter names of structure and family."""
    return [*model.structure.names, *model.family.names]


def adopt(model: Latent, name: str, value: Any, d: int, argument: str) -> Array:
    """A user's array for one parameter, in the model's own shape."""
    if name in model.structure.names:
        array = numbers(value, argument)
        if array.shape != (model.k,):
            raise ValueError(f"{argument} has shape {array.shape}, expected ({model.k},)")
        return array
    own = getattr(model.family, "adopt", None)
    return np.asarray(own(name, value, model.k, d, argument) if own else numbers(value, argument))


def _ties(model: Latent, name: str, value: Any, d: int, argument: str) -> Any:
    own = getattr(model.family, "adopt_ties", None)
    return own(name, value, model.k, d, argument) if own and name in model.family.names else np.asarray(value)


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
            raise _hopeless(gone) from None
        result, rows, why = None, (), collapse_words(gone)
    if result is not None and (not rescuable or any(row.usable for row in rows)):
        return result
    try:
        return _rescued(rows, why or rows[0].message, _run(model.with_prior({}), data, task))
    except Collapsed as gone:
        raise _hopeless(gone) from None


def _hopeless(gone: Collapsed) -> ValueError:
    return ValueError(f"{collapse_words(gone)} at the start, so there is nothing to continue from ({REMEDIES})")


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
    table = StartTable(collapsed + renamed, len(collapsed) + rescued.starts.best, rescued.starts.width)
    if not rescued.converged:
        return dataclasses.replace(rescued, starts=table)
    message = (
        f"every start collapsed under maximum likelihood ({why}); these are the estimates with the default prior "
        "(prior='default' asks for them and silences this warning; prior=None insists on maximum likelihood)"
    )
    return dataclasses.replace(rescued, starts=table, status=Status.DEFAULT_PRIOR, message=message)


def _run(model: Latent, data: Any, task: Task) -> Result:
    return fit_starts(model, data, starts_of(model, task), task.variant, task.control)


def starts_of(model: Latent, task: Task) -> list[Start]:
    """The starts that ``init`` asks for."""
    init = task.init
    if isinstance(init, Mapping):
        return [Start("given parameters", lambda: given_params(model, init, task))]
    if not isinstance(init, str):
        proposal = given_proposal(init, model.k, task)
        return [Start(proposal.name, _beginner(model, proposal, task))]
    proposals = [respecting(p, task.rows.allowed, model.k) for p in _proposals(model, task)]
    told = labelled_proposal(task, model.k)
    everything = proposals if told is None else [told, *proposals[: max(task.n_init - 1, 0)]]
    return [Start(p.name, _beginner(model, p, task)) for p in everything]


def _beginner(model: Latent, proposal: Proposal, task: Task) -> Callable[[], Any]:
    return lambda: begin(model, task.rows.part(proposal.rows, task.n_jobs), _seated(model, proposal, task))


def _proposals(model: Latent, task: Task) -> list[Proposal]:
    if model.k == 1:
        n = len(task.rows.x)
        return [Proposal("all rows", np.arange(n), np.ones((n, 1)), True)]
    shared: dict[Any, Any] = {} if task.shared is None else task.shared
    key = (model.k, task.init, task.n_init, task.seed, task.noise)
    if key not in shared:
        if ("sample", task.seed) not in shared:
            shared["sample", task.seed] = Sample.of(np.asarray(task.rows.x), task.rows.weight, task.seed)
        names = rule_names(task.init, task.n_init, task.rows.x.shape[1])
        shared[key] = propose(shared["sample", task.seed], model.k, names, task.seed, task.noise)
    found: list[Proposal] = shared[key]
    return found


def labelled_proposal(task: Task, k: int) -> Proposal | None:
    """A start from the labelled rows alone, where every class has some."""
    allowed = task.rows.allowed
    if allowed is None or allowed.ndim != 1:
        return None
    told = np.flatnonzero(allowed >= 0)
    named = k - 1 if task.noise else k
    if len(np.unique(allowed[told])) < named or task.noise:
        return None
    return Proposal("labelled rows", told, one_hot(allowed[told], k), True)


def given_proposal(init: Any, k: int, task: Task) -> Proposal:
    """A start from a label vector (n,) or responsibilities (n, k); -1 is noise where there is noise, else no class."""
    kept, n = task.rows.kept, len(task.rows.x) if task.rows.kept is None else len(task.rows.kept)
    array = np.asarray(init)
    if array.shape == (n,):
        codes = _start_codes(array, k - 1 if task.noise else k)
        resp = one_hot(np.where(codes < 0, k - 1 if task.noise else -1, codes), k)
        name = "given labels"
    elif array.shape in ((n, k), (n, k - 1) if task.noise else (n, k)):
        resp, name = np.zeros((n, k)), "given responsibilities"
        resp[:, : array.shape[1]] = _checked_resp(numbers(array, "init"))
        if array.shape[1] < k:
            resp[:, -1] = np.maximum(1.0 - resp.sum(axis=1), 0.0)
    else:
        found = f"has shape {array.shape}" if array.ndim else f"is {init!r}"
        raise ValueError(f"init {found}; expected labels ({n},), responsibilities ({n}, {k}), a dict or a rule's name")
    resp = resp if kept is None else resp[kept]
    if empty := np.flatnonzero(resp.sum(axis=0) <= 0).tolist():
        which = "noise (-1)" if task.noise and empty[0] == k - 1 else f"component {empty[0]}"
        raise ValueError(f"init gives no row to {which}, so nothing can be learned about it; give it some, or use init='auto'")
    return Proposal(name, np.arange(len(task.rows.x)), resp, True)


def _start_codes(array: Any, k: int) -> Any:
    if array.dtype.kind not in "biuf" and not all(isinstance(v, int | float | np.number | None) for v in array):
        raise ValueError(f"init: labels must be whole numbers 0..{k - 1} (or -1 for none), found {array[0]!r}")
    values = numbers(array, "init")
    codes = np.where(np.isnan(values), -1, values).astype(np.intp)
    if (codes >= k).any() or (codes < -1).any() or (codes[~np.isnan(values)] != values[~np.isnan(values)]).any():
        raise ValueError(f"init holds labels outside 0..{k - 1} (or -1 for none); found {np.unique(values)[:6].tolist()}")
    return codes


def _checked_resp(resp: Array) -> Array:
    bad = ~np.isfinite(resp).all(axis=1) | (resp < 0).any(axis=1) | (resp.sum(axis=1) > 1 + 1e-6)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"init: responsibilities must be finite, >= 0 and sum to at most one in each row; row {at} is {resp[at].tolist()}"
        )
    return resp


def _seated(model: Latent, proposal: Proposal, task: Task) -> Proposal:
    """Classes renamed so that those with fixed means lie nearest to them."""
    means = model.constraints.fixed.get("means")
    if means is None or means.ndim != 2 or task.rows.allowed is not None or not isinstance(task.init, str):
        return proposal
    from scipy.optimize import linear_sum_assignment

    x = np.asarray(task.rows.x[proposal.rows], dtype=float)
    seen = ~np.isnan(x)
    weight = np.maximum(proposal.resp[:, : len(means)].T @ seen, 1e-300)
    centres = (proposal.resp[:, : len(means)].T @ np.where(seen, x, 0.0)) / weight
    spread = np.nanstd(x, axis=0)
    gaps = (means[:, None, :] - centres[None, :, :]) / np.where(spread > 0, spread, 1.0)
    order = linear_sum_assignment(np.where(np.isnan(gaps), 0.0, gaps**2).sum(axis=2))[1]
    resp = proposal.resp.copy()
    resp[:, : len(means)] = proposal.resp[:, order]
    return dataclasses.replace(proposal, resp=resp)


def given_params(model: Latent, init: Mapping[str, Any], task: Task) -> LatentParams:
    """Starting parameters from a dict under the fitted attributes' names; those left out come from an M-step."""
    d = task.rows.x.shape[1]
    unknown = sorted(set(init) - set(names_of(model)))
    if unknown:
        raise ValueError(f"init names {unknown}; this model has {names_of(model)}")
    values = {n: _start_value(model, n, v, d) for n, v in init.items()}
    missing = [n for n in names_of(model) if n not in values and n != "weights"]
    base = _around(model, values, task) if missing else model.start()
    params = LatentParams(_replaced(base.structure, values), _replaced(base.family, values))
    support = model.support(params)
    try:
        support.check(params)
    except ValueError as error:
        raise ValueError(f"init: {error}") from None
    if not model.constraints:
        return params
    obedient: LatentParams = support.unpack(support.pack(params), params)
    return obedient


def _start_value(model: Latent, name: str, value: Any, d: int) -> Array:
    array = adopt(model, name, value, d, f"init[{name!r}]")
    if not np.isfinite(array).all():
        raise ValueError(f"init[{name!r}] holds a value that is not finite; a start needs a number everywhere")
    if name == "weights" and (not (array > 0).all() or abs(float(array.sum()) - 1.0) > 1e-8):
        raise ValueError(f"init['weights'] must be above zero and sum to one, got {array.tolist()}: a weight of 0 stays 0")
    return array


def _replaced(part: Any, values: Mapping[str, Array]) -> Any:
    return type(part)(**{f.name: values.get(f.name, getattr(part, f.name)) for f in dataclasses.fields(part)})


def _around(model: Latent, values: Mapping[str, Array], task: Task) -> LatentParams:
    if "means" not in values:
        raise ValueError(f"init gives {sorted(values)}; give at least the means (or every parameter)")
    from estep.start.nearest import nearest_labels

    x = np.asarray(task.rows.x, dtype=float)
    filled = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    resp = one_hot(nearest_labels(filled, values["means"]), model.k)
    base: LatentParams = begin(model, task.rows.data(task.n_jobs), Proposal("given means", np.arange(len(x)), resp, False))
    return base


def seed_of(random_state: Any) -> int:
    """One integer from scikit-learn's ``random_state``."""
    try:
        return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    except ValueError as error:
        raise ValueError(f"random_state: {error}; give None, an integer >= 0 or a RandomState") from None


def in_order(result: Result, n_named: int) -> Result:
    """Components in decreasing weight; noise stays last."""
    weights = result.params.structure.weights
    order = np.concatenate([np.argsort(-weights[:n_named], kind="stable"), np.arange(n_named, len(weights))]).astype(np.intp)
    if (order == np.arange(len(weights))).all():
        return result
    return dataclasses.replace(result, params=result.model.permute(result.params, order))
