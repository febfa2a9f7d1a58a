"""Where a hidden semi-Markov model begins: components from the start rules, segments from the best path of a sticky chain.

rules   components as if rows were independent; the best path of a chain that stays with probability 0.9 cuts each sequence into
        segments, from which starts, moves and durations are counted (with one imagined segment in each state)
given   a dict of parameters; labels or responsibilities, whose runs are the segments
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from estep.core.protocols import Chunk
from estep.core.support import Constraints
from estep.engine.restart import Start
from estep.estimators.hmm_starts import _parts, _rowwise
from estep.estimators.starts import Task, starts_of
from estep.models.latent import Latent, LatentParams
from estep.start.plan import Proposal, begin, one_hot
from estep.structures.chain import Chain
from estep.structures.semimarkov_counts import counts_of, lasting_of


def semimarkov_starts(model: Latent, task: Task) -> list[Start]:
    """The starts that ``init`` asks for."""
    plain = dataclasses.replace(task, own=None)
    if not isinstance(task.init, str):
        return starts_of(model, plain)
    rows = dataclasses.replace(task.rows, ends=None, place=None)
    alone = dataclasses.replace(plain, model=_rowwise(model), rows=rows, data=rows.data(task.n_jobs))
    found = [Start(s.name, _segmented(model, task, s.make)) for s in starts_of(alone.model, alone)]
    if model.structure.topology != "left-to-right" or task.init != "auto" or model.k == 1:
        return found
    parts = Proposal("equal parts", np.arange(task.rows.n), one_hot(_parts(task.rows.ends, model.k), model.k), False)
    first = Start(parts.name, _segmented(model, task, lambda: begin(alone.model, alone.data, parts)))
    return [first, *found[: max(task.n_init - 1, 0)]]


def _segmented(model: Latent, task: Task, make: Callable[[], Any]) -> Callable[[], Any]:
    """What makes a start from the components of ``make``."""

    def made() -> Any:
        family, structure = make().family, model.structure
        neutral = structure.start(model.k)
        chain = Chain(structure.topology, structure.bandwidth, structure.absorbing)
        sticky = dataclasses.replace(model, structure=chain, prior=None, constraints=_of_family(model))
        point, lasting = LatentParams(chain.start(model.k), family), lasting_of(neutral)

        def count(chunk: Chunk) -> Any:
            path, ends = sticky.explain(point, chunk).path, np.asarray(chunk.ends, dtype=np.int64)
            weight = np.ones(len(ends)) if chunk.weight is None else np.asarray(chunk.weight[ends - 1], dtype=float)
            return counts_of(path, lasting, ends, weight, structure)

        counts = task.data.sum(count) + structure.prior(model.k, {"startprob": 2.0, "transmat": 2.0, "durations": 1.0})
        start = LatentParams(neutral, family)
        support = model.support(start)
        held = support.unpack(support.pack(start), start).structure
        return LatentParams(structure.fit(counts, held, structure.support(held, _of_structure(model))), family)

    return made


def _of_family(model: Latent) -> Constraints:
    return _named(model, model.family.names)


def _of_structure(model: Latent) -> Constraints:
    return _named(model, model.structure.names)


def _named(model: Latent, names: Any) -> Constraints:
    """The constraints on parameters of these names."""
    fixed, tied = model.constraints.fixed, model.constraints.tied
    return Constraints({n: v for n, v in fixed.items() if n in names}, {n: v for n, v in tied.items() if n in names})
