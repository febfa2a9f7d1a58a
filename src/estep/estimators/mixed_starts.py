"""Where a hidden Markov model begins whose states are mixtures themselves: classes for states, and parts within them.

    nested   classes of the rows for the states, then classes within each for its parts
    flow     k m classes of the rows; classes that are followed by the same classes make a state: in the order of the second
             eigenvector of the moves between classes, cut into k groups of m

Parts that overlap in x and differ in what follows them are found by flow; parts that make up one cloud by nesting.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.engine.restart import Start
from estep.estimators.starts import Task
from estep.families.mixed import MixedParams
from estep.models.latent import Latent, LatentParams
from estep.start.plan import Proposal, Sample, begin, one_hot, propose, respecting, rule_names
from estep.structures.iid import Iid

RULE = "kmeans++"


def mixed_starts(model: Latent, task: Task, ends: NDArray[np.intp]) -> list[Start]:
    """Nested and flow starts by turns, ``n_init`` of them; ``model`` has independent rows and a ``Mixed`` family."""
    k, m = model.k, model.family.m
    inner = dataclasses.replace(model, structure=Iid(), family=model.family.family, k=k * m, prior=_inner_prior(model))
    seen = Sample.of(task.rows.x, task.rows.weight, task.seed, getattr(model.family, "features", None))
    names = rule_names(task.init, task.n_init, seen.scaled.shape[1])
    starts = []
    for i, proposal in enumerate(propose(seen, k, names, task.seed)):
        told = respecting(proposal, task.rows.allowed, k)
        nested = i % 2 == 0 or k == 1 or task.rows.allowed is not None
        make = partial(_nested, told, seen, m, task.seed + i) if nested else partial(_flow, seen, k, m, ends, task.seed + i)
        name = f"{proposal.name}, {'nested' if nested else 'flow'}"
        starts.append(Start(name, partial(_made, inner, make, k, m, name, task, seen)))
    return starts


def _inner_prior(model: Latent) -> Any:
    if model.prior is None:
        return None
    return dataclasses.replace(
        model.prior, structure=Iid().prior(model.k * model.family.m, None), family=model.prior.family.inner
    )


def _made(inner: Latent, make: Any, k: int, m: int, name: str, task: Task, seen: Sample) -> LatentParams:
    params = begin(inner, task.rows.part(seen.rows, task.n_jobs), Proposal(name, seen.rows, make(), False))
    weights = np.maximum(params.structure.weights.reshape(k, m), 1e-3)
    return LatentParams(params.structure, MixedParams(params.family, weights / weights.sum(axis=1, keepdims=True)))


def _nested(states: Proposal, seen: Sample, m: int, seed: int) -> Array:
    """Responsibilities (rows, k m): those of the states, each row's share to one part."""
    k, rng = states.resp.shape[1], np.random.default_rng([seed, 11])
    resp = np.zeros((len(seen.rows), k, m))
    for c in range(k):
        mine = np.flatnonzero(states.resp[:, c] > 0)
        part = Sample(mine, seen.scaled[mine], None if seen.weight is None else seen.weight[mine])
        few = len(np.unique(part.scaled, axis=0)) < m
        inside = one_hot(rng.integers(m, size=len(mine)), m) if few else propose(part, m, [RULE], seed)[0].resp
        resp[mine, c] = states.resp[mine, c][:, None] * inside
    return resp.reshape(len(resp), -1)


def _flow(seen: Sample, k: int, m: int, ends: NDArray[np.intp], seed: int) -> Array:
    """Responsibilities (rows, k m) of k m classes, ordered so that those that lead to the same classes make a state."""
    resp = propose(seen, k * m, [RULE], seed)[0].resp
    labels = resp.argmax(axis=1)
    next_to = np.diff(seen.rows) == 1
    next_to &= ~np.isin(seen.rows[:-1] + 1, ends)
    moves = np.full((k * m, k * m), 1e-3)
    np.add.at(moves, (labels[:-1][next_to], labels[1:][next_to]), 1.0)
    both = moves + moves.T
    scale = 1.0 / np.sqrt(both.sum(axis=1))
    vectors = np.linalg.eigh(both * scale[:, None] * scale)[1]
    return np.asarray(resp[:, np.argsort(vectors[:, -2] * scale, kind="stable")])
