"""Where a factorial hidden Markov model begins: components that tell the chains apart, sticky moves.

effects, first start   chain m splits the rows along principal axis m mod d, each later round half as far
effects, others        normal effects of every chain, with the chains' variances adding up to that of the rows
tables                 components by the rules of mixtures, dealt to the combinations in an order drawn anew for every start
given                  a dict of parameters; labels or responsibilities of combinations
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from estep.core.record import transform
from estep.engine.restart import Start
from estep.estimators.hmm_starts import _rowwise
from estep.estimators.starts import Task, starts_of
from estep.families.additive_normal import AdditiveNormal, AdditiveParams
from estep.models.latent import Latent, LatentParams


def factorial_starts(model: Latent, task: Task) -> list[Start]:
    """The starts that ``init`` asks for."""
    plain = dataclasses.replace(task, own=None)
    if isinstance(task.init, Mapping) and isinstance(model.family, AdditiveNormal):
        return [Start("given parameters", lambda: given_effects(model, task.init, task.rows.d))]
    if not isinstance(task.init, str):
        return starts_of(model, plain)
    if isinstance(model.family, AdditiveNormal):
        return effect_starts(model, task.init, task.n_init, task.seed)
    rows = dataclasses.replace(task.rows, ends=None, place=None)
    alone = dataclasses.replace(plain, model=_rowwise(model), rows=rows, data=rows.data(task.n_jobs))
    made = starts_of(alone.model, alone)
    return [Start(s.name, _dealt(model, s.make, task.seed, i)) for i, s in enumerate(made)]


def effect_starts(model: Any, init: str, n_init: int, seed: int) -> list[Start]:
    """Starts of effects; ``model`` has a ``structure`` and a bound ``AdditiveNormal`` family."""
    if init not in ("auto", "random", "axes"):
        raise ValueError(f"init={init!r} is unknown for effects; choose 'auto', 'axes' (principal axes) or 'random', or a dict")
    axes = [Start("principal axes", lambda: _made(model, _axes(model.family)))]
    drawn = [
        Start("random effects", lambda i=i: _made(model, _drawn(model.family, np.random.default_rng([seed, 1 + i]))))  # type: ignore[misc]
        for i in range(n_init)
    ]
    return {"auto": [*axes, *drawn[: max(n_init - 1, 0)]], "axes": axes, "random": drawn}[init]


def given_effects(model: Any, init: Mapping[str, Any], d: int) -> Any:
    """Starting parameters from a dict; those left out are as at the neutral point, effects along principal axes."""
    from estep.estimators.constraints import adopt, names_of

    unknown = sorted(set(init) - set(names_of(model)))
    if unknown:
        raise ValueError(f"init names {unknown}; this model has {names_of(model)}")
    values = {name: adopt(model, name, value, d, f"init[{name!r}]") for name, value in init.items()}
    base = _made(model, _axes(model.family))
    family = dataclasses.replace(base.family, **{n: v for n, v in values.items() if n in model.family.names})
    parts = {
        kind: tuple(values.get(f"{kind}_{m}", own) for m, own in enumerate(getattr(base.structure, kind)))
        for kind in ("startprob", "transmat")
    }
    made = dataclasses.replace(base, structure=type(base.structure)(**parts), family=family)
    support = model.support(made)
    try:
        support.check(made)
    except ValueError as error:
        raise ValueError(f"init: {error}") from None
    return support.unpack(support.pack(made), made)


def _made(model: Any, family: AdditiveParams) -> Any:
    """Parameters of the model with these effects, held where they are held."""
    structure = model.structure.start(model.k)
    made = model.fresh(structure, family) if hasattr(model, "fresh") else LatentParams(structure, family)
    support = model.support(made)
    return support.unpack(support.pack(made), made)


def _around(family: AdditiveNormal) -> tuple[Any, Any, Any]:
    """Mean, covariance and the covariance that combinations begin with."""
    inner = family.inner
    assert inner is not None
    total = np.asarray(inner.total)
    return inner.anchor, total, inner.start(1).covariances / 2.0


def _axes(family: AdditiveNormal) -> AdditiveParams:
    mean, total, inside = _around(family)
    values, vectors = np.linalg.eigh(total)
    effects = np.zeros((sum(family.sizes), mean.size))
    for m, own in enumerate(family.chains):
        axis, round_ = m % mean.size, m // mean.size
        step = np.sqrt(max(values[-1 - axis], 0.0)) * 0.5**round_
        size = own.stop - own.start
        places = np.linspace(-1.0, 1.0, size) if size > 1 else np.zeros(1)
        effects[own] = step * places[:, None] * vectors[:, -1 - axis]
    effects[family.chains[0]] += mean
    return AdditiveParams(effects, inside)


def _drawn(family: AdditiveNormal, rng: np.random.Generator) -> AdditiveParams:
    mean, total, inside = _around(family)
    share = np.linalg.cholesky(total / len(family.sizes) + 1e-12 * np.trace(total) * np.eye(mean.size))
    effects = rng.standard_normal((sum(family.sizes), mean.size)) @ share.T
    for own in family.chains:
        effects[own] -= effects[own].mean(axis=0)
    effects[family.chains[0]] += mean
    return AdditiveParams(effects, inside)


def _dealt(model: Latent, make: Callable[[], Any], seed: int, i: int) -> Callable[[], Any]:
    """What makes a start whose components are dealt to the combinations at random (the first as they come)."""

    def made() -> Any:
        family = make().family
        if i > 0 and not set(model.constraints.fixed) & set(model.family.names):
            order = np.random.default_rng([seed, 1 + i]).permutation(model.k)
            own = getattr(model.family, "permute", None)
            family = own(family, order) if own else transform(family, lambda _, leaf: leaf[order])
        params = LatentParams(model.structure.start(model.k), family)
        support = model.support(params)
        return dataclasses.replace(params, structure=support.unpack(support.pack(params), params).structure)

    return made
