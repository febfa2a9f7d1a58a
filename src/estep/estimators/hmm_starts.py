"""Where a hidden Markov model begins: components from the start rules of mixtures, moves from the topology.

rules          classes of the rows as if these were independent; a chain stays with probability 0.9 (``Chain.start``)
left-to-right  each sequence cut into k equal parts, then the rules
given          a dict of parameters; labels or responsibilities, from which moves are counted too
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.core.support import Constraints
from estep.engine.restart import Start
from estep.estimators.mixed_starts import mixed_starts
from estep.estimators.rows import Arguments
from estep.estimators.seam import Spec, fit_latent
from estep.estimators.settings import absorbing_of, check_settings
from estep.estimators.starts import Task, starts_of
from estep.families.mixed import Mixed
from estep.models.latent import Latent, LatentParams
from estep.start.plan import Proposal, begin, one_hot
from estep.structures.chain import Chain
from estep.structures.iid import Iid


def fit_chain(self: Any, arguments: Arguments, family: Any) -> Any:
    """Fit a chain of ``family`` rows with the settings of ``self``, an estimator of sequences."""
    check_settings(self)
    absorbing = absorbing_of(self)
    chain = Chain(self.topology, self.bandwidth, absorbing, bool(self.end))
    chain.start(self.n_states)
    spec = Spec(family, self.n_states, structure=chain, argument="n_states", starts=hmm_starts)
    return fit_latent(self, arguments, spec)


def hmm_starts(model: Latent, task: Task) -> list[Start]:
    """The starts that ``init`` asks for."""
    plain = dataclasses.replace(task, own=None)
    if not isinstance(task.init, str):
        return starts_of(model, plain)
    rows = dataclasses.replace(task.rows, ends=None, place=None)
    alone = dataclasses.replace(plain, model=_rowwise(model), rows=rows, data=rows.data(task.n_jobs))
    mixed = isinstance(model.family, Mixed)
    made = mixed_starts(alone.model, alone, np.asarray(task.rows.ends)) if mixed else starts_of(alone.model, alone)
    found = [Start(s.name, _with_moves(model, s.make)) for s in made]
    if mixed or model.structure.topology != "left-to-right" or task.init != "auto" or model.k == 1:
        return found
    parts = Proposal("equal parts", np.arange(task.rows.n), one_hot(_parts(task.rows.ends, model.k), model.k), False)
    first = Start(parts.name, _with_moves(model, lambda: begin(alone.model, alone.data, parts)))
    return [first, *found[: max(task.n_init - 1, 0)]]


def _rowwise(model: Latent) -> Latent:
    """The model of the same rows as if they were independent, with the constraints of the family."""
    held = Constraints(*({n: v for n, v in part.items() if n in model.family.names} for part in _both(model.constraints)))
    prior = None if model.prior is None else dataclasses.replace(model.prior, structure=Iid().prior(model.k, None))
    return dataclasses.replace(model, structure=Iid(), prior=prior, constraints=held)


def _both(constraints: Constraints) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return constraints.fixed, constraints.tied


def _with_moves(model: Latent, make: Callable[[], Any]) -> Callable[[], Any]:
    def made() -> Any:
        params = LatentParams(model.structure.start(model.k), make().family)
        support = model.support(params)
        with np.errstate(invalid="ignore"):  # a zero of the family has no coordinate; only the structure is read
            return dataclasses.replace(params, structure=support.unpack(support.pack(params), params).structure)

    return made


def _parts(ends: Any, k: int) -> Any:
    """The part of its sequence, of k of equal length, that each row is in."""
    lengths = np.diff(ends, prepend=0)
    inside: Array = np.arange(int(ends[-1])) - np.repeat(ends - lengths, lengths)
    return np.minimum(inside * k // np.repeat(lengths, lengths), k - 1).astype(np.intp)
