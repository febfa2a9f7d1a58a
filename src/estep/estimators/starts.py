"""Where a fit begins: what ``init`` says, or proposals of the start rules, turned into starts for the engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from estep.core.assign import SOFT
from estep.core.record import Array
from estep.core.rows import take
from estep.data.memory import Memory
from estep.engine.presets import Variant
from estep.engine.restart import Start
from estep.engine.run import Control
from estep.engine.tallied import gently
from estep.engine.visit import total
from estep.estimators.arranged import arranged
from estep.estimators.constraints import adopt, names_of
from estep.estimators.rows import Rows
from estep.families.normal_shapes import numbers
from estep.models.latent import Latent, LatentParams, encoded
from estep.start.plan import Proposal, Sample, begin, one_hot, propose, respecting, rule_names


@dataclasses.dataclass(frozen=True)
class Task:
    """Everything a fit needs: the model bound to its data, the rows and the settings.

    ``shared`` holds proposals that several fits begin from, ``picture`` says what features they were made of; ``own`` makes
    the starts of an estimator with rules of its own; ``search`` is what is done beyond starts, ``progressive`` whether parts of
    the rows come before the whole.
    """

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
    picture: str = ""
    own: Callable[[Latent, Task], list[Start]] | None = None
    search: Any = None
    progressive: Any = False


def starts_of(model: Latent, task: Task) -> list[Start]:
    """The starts that ``init`` asks for."""
    if task.own is not None:
        return task.own(model, task)
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
    def made() -> Any:
        rows = task.rows.part(proposal.rows, task.n_jobs)
        seated = _seated(model, proposal, task)
        told = task.rows.allowed is not None or not isinstance(task.init, str)
        return begin(model, rows, seated if told else arranged(model, seated, rows))

    return made


def _proposals(model: Latent, task: Task) -> list[Proposal]:
    if model.k == 1:
        n = task.rows.n
        return [Proposal("all rows", np.arange(n), np.ones((n, 1)), True)]
    shared: dict[Any, Any] = {} if task.shared is None else task.shared
    key = (model.k, task.init, task.n_init, task.seed, task.noise, task.picture)
    if key not in shared:
        whole = ("sample", task.seed, task.picture)
        if whole not in shared:
            shared[whole] = Sample.of(task.rows.x, task.rows.weight, task.seed, getattr(model.family, "features", None))
        names = rule_names(task.init, task.n_init, shared[whole].scaled.shape[1])
        shared[key] = propose(shared[whole], model.k, names, task.seed, task.noise)
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
    n = task.rows.given_count
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
    resp = task.rows.pooled(resp)
    if empty := np.flatnonzero(resp.sum(axis=0) <= 0).tolist():
        which = "noise (-1)" if task.noise and empty[0] == k - 1 else f"component {empty[0]}"
        raise ValueError(f"init gives no row to {which}, so nothing can be learned about it; give it some, or use init='auto'")
    return Proposal(name, np.arange(task.rows.n), resp, True, exact=name == "given responsibilities")


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
    """Classes renamed so that those with fixed parameters are the classes that fit these best."""
    if task.rows.allowed is not None or not isinstance(task.init, str) or model.k == 1:
        return proposal
    if not set(model.constraints.fixed) & set(model.family.names):
        return proposal
    means = model.constraints.fixed.get("means")
    if means is not None and means.ndim == 2 and not hasattr(model.family, "features"):
        costs = _far_from_means(means, proposal, task)
    else:
        costs = _unlikely(model, proposal, task)
    from scipy.optimize import linear_sum_assignment

    resp, m = proposal.resp.copy(), len(costs)
    resp[:, :m] = proposal.resp[:, linear_sum_assignment(costs)[1]]
    return dataclasses.replace(proposal, resp=resp)


def _far_from_means(means: Array, proposal: Proposal, task: Task) -> Array:
    """Squared distances of fixed means from the centres of the classes, in units of the columns' spread."""
    x = np.asarray(task.rows.x[proposal.rows], dtype=float)
    seen = ~np.isnan(x)
    weight = np.maximum(proposal.resp[:, : len(means)].T @ seen, 1e-300)
    centres = (proposal.resp[:, : len(means)].T @ np.where(seen, x, 0.0)) / weight
    spread = np.nanstd(x, axis=0)
    gaps = (means[:, None, :] - centres[None, :, :]) / np.where(spread > 0, spread, 1.0)
    return np.asarray(np.where(np.isnan(gaps), 0.0, gaps**2).sum(axis=2))


def _unlikely(model: Latent, proposal: Proposal, task: Task) -> Array:
    """Minus the log-likelihood of every class's rows under every component: the fixed entries, and else the whole's."""
    neutral = model.start()
    support = model.support(neutral)
    held = support.unpack(support.pack(neutral), neutral).family
    x = take(task.rows.x, proposal.rows)
    logb = np.maximum(model.family.log_density(held, encoded(model.family, x)), -1e6)
    weight = 1.0 if task.rows.weight is None else task.rows.weight[proposal.rows][:, None]
    return np.asarray(-(logb.T @ (proposal.resp * weight)))


def given_params(model: Latent, init: Mapping[str, Any], task: Task) -> LatentParams:
    """Starting parameters from a dict under the fitted attributes' names; those left out come from an M-step."""
    d = task.rows.d
    unknown = sorted(set(init) - set(names_of(model)))
    if unknown:
        raise ValueError(f"init names {unknown}; this model has {names_of(model)}")
    values = {n: _start_value(model, n, v, d) for n, v in init.items()}
    missing = [n for n in names_of(model) if n not in values and n != "weights"]
    base = _around(model, values, task) if missing else model.start()
    params = _with(model, base, values)
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
    if name == "weights" and (not (array > 0).all() or (np.abs(array.sum(axis=-1) - 1.0) > 1e-8).any()):
        raise ValueError(f"init['weights'] must be above zero and sum to one, got {array.tolist()}: a weight of 0 stays 0")
    return array


def _with(model: Latent, params: LatentParams, values: Mapping[str, Array]) -> LatentParams:
    """``params`` with the arrays of ``values`` in their places."""
    mine = {n: v for n, v in values.items() if n in model.structure.names}
    rest = {n: v for n, v in values.items() if n not in mine}
    own = getattr(model.family, "with_values", None)
    family = own(params.family, rest) if own else _replaced(params.family, rest)
    return LatentParams(_replaced(params.structure, mine), family)


def _replaced(part: Any, values: Mapping[str, Array]) -> Any:
    return type(part)(**{f.name: values.get(f.name, getattr(part, f.name)) for f in dataclasses.fields(part)})


def _around(model: Latent, values: Mapping[str, Array], task: Task) -> LatentParams:
    """The parameters that are not given: an M-step from the classes that the given ones make of the rows."""
    normal = set(model.family.names) == {"means", "covariances"} and not hasattr(model.family, "features")
    if ("means" not in values) if normal else not set(values) & set(model.family.names):
        least = "the means" if normal else f"one of {[*model.family.names]}"
        raise ValueError(f"init gives {sorted(values)}; give at least {least} (or every parameter)")
    if not normal:
        at = _with(model, model.start(), values)
        found: LatentParams = gently(model).mstep(total(model, task.data, at, SOFT).stats, at)
        return found
    from estep.start.nearest import nearest_labels

    x = np.asarray(task.rows.x, dtype=float)
    filled = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    resp = one_hot(nearest_labels(filled, values["means"]), model.k)
    base: LatentParams = begin(model, task.data, Proposal("given means", np.arange(len(x)), resp, False))
    return base
