"""Where mixtures of hidden Markov models begin: rows sorted into states, sequences into classes by how they use them.

states      the start rules of mixtures on the rows, as if these were independent: responsibilities b (n, m)
classes     the same rules on pictures of the sequences: how often each state comes, moves between states, and means and
            spreads of the columns: responsibilities a (s, K), softened
together    row t of sequence s belongs to state j of class c by a_sc b_tj; moves of class c are those of its sequences
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.protocols import Explained
from estep.core.record import Array
from estep.core.support import Constraints
from estep.engine.restart import Start
from estep.estimators.hmm_starts import _rowwise
from estep.estimators.rows import Rows
from estep.estimators.starts import Task, starts_of
from estep.families.repeated import Repeated
from estep.models.latent import Latent, LatentParams
from estep.start.plan import Proposal, Sample, begin, propose, respecting, rule_names, soften
from estep.structures.chain import ChainParams
from estep.structures.iid import Iid

MINE = 0.8
"""Share of what sequences show in the first moves and classes; the rest is even."""


def mixture_starts(model: Latent, task: Task) -> list[Start]:
    """The starts that ``init`` asks for; classes by sequence (s,) are an ``init`` too."""
    ends, blocks = np.asarray(task.rows.ends), model.structure.blocks
    plain = dataclasses.replace(task, own=None)
    if not isinstance(task.init, str):
        known = None if isinstance(task.init, dict) else np.asarray(task.init)
        if known is None or known.shape != (len(ends),):
            return starts_of(model, plain)
        if known.dtype.kind not in "iu" or known.min() < 0 or known.max() >= blocks:
            raise ValueError(f"init holds classes of sequences, whole numbers 0..{blocks - 1}, got {known[:8].tolist()}")
        proposals = [Proposal("given classes", np.arange(len(ends)), np.eye(blocks)[known], False)]
    else:
        proposals = []
    rows = dataclasses.replace(task.rows, ends=None, place=None, allowed=None)
    family = model.family.family if isinstance(model.family, Repeated) else model.family
    alone = _independent(model, family, model.k // blocks)
    names = rule_names(task.init if isinstance(task.init, str) else "auto", task.n_init, rows.d)
    sample = Sample.of(rows.x, rows.weight, task.seed, getattr(family, "features", None))
    states = propose(sample, alone.k, names, task.seed) if alone.k > 1 else [_everything(rows.n)] * len(names)
    return [
        Start(name, _maker(model, alone, rows, ends, (name, i, states[i]), proposals, task)) for i, name in enumerate(names)
    ]


def _independent(model: Latent, family: Any, k: int) -> Latent:
    """``k`` states of the same rows as if they were independent."""
    return dataclasses.replace(model, structure=Iid(), family=family, k=k, prior=None, constraints=Constraints())


def _everything(n: int) -> Proposal:
    return Proposal("all rows", np.arange(n), np.ones((n, 1)), True)


def _maker(
    model: Latent,
    alone: Latent,
    rows: Rows,
    ends: NDArray[Any],
    rule: tuple[str, int, Proposal],
    given: list[Proposal],
    task: Task,
) -> Callable[[], Any]:
    """The start whose rule has that name, number and proposal of states."""
    name, i, states = rule

    def made() -> Any:
        seen = _states_of_rows(alone, rows, states, task)
        told = given[0] if given else _classes(model, rows, ends, seen, (name, i), task)
        share = np.full((len(ends), model.structure.blocks), 1.0 / model.structure.blocks)
        share[told.rows] = told.resp
        if (allowed := _allowed_classes(task.rows, ends, model)) is not None:
            share = respecting(Proposal("", np.arange(len(ends)), share, False), allowed, model.structure.blocks).resp
        share = soften(share, 1.0 - MINE, allowed)
        lengths = np.diff(ends, prepend=0)
        resp = (np.repeat(share, lengths, axis=0)[:, :, None] * seen[:, None, :]).reshape(rows.n, model.k)
        family = begin(_rowwise(model), rows.data(task.n_jobs), Proposal(name, np.arange(rows.n), resp, False)).family
        params = LatentParams(_moves(model, share, seen, ends), family)
        support = model.support(params)
        return dataclasses.replace(params, structure=support.unpack(support.pack(params), params).structure)

    return made


def _states_of_rows(alone: Latent, rows: Rows, states: Proposal, task: Task) -> Array:
    """Probabilities of states of every row, (n, m)."""
    if alone.k == 1:
        return np.ones((rows.n, 1))
    params, resp = begin(alone, rows.part(states.rows, task.n_jobs), states), np.empty((rows.n, alone.k))

    def keep(chunk: Any, part: Explained) -> None:
        resp[chunk.rows] = part.resp

    rows.data(task.n_jobs).map(lambda chunk: alone.explain(params, chunk), keep)
    return resp


def _classes(model: Latent, rows: Rows, ends: NDArray[Any], seen: Array, rule: tuple[str, int], task: Task) -> Proposal:
    """Classes of sequences by rule, from pictures of them."""
    blocks, (name, i) = model.structure.blocks, rule
    if blocks == 1:
        return _everything(len(ends))
    pictures = np.column_stack([_moments(rows, ends, model.family), _usage(seen, ends)])
    sample = Sample.of(pictures, None, task.seed + i)
    return propose(sample, blocks, ["hierarchical" if name == "quantiles" else name], task.seed + i)[0]


def _usage(seen: Array, ends: NDArray[Any]) -> Array:
    """How often each sequence is in each state, and its moves between states."""
    found = []
    for a, z in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        part = seen[a:z]
        pairs = part[:-1].T @ part[1:] if z - a > 1 else np.outer(part[0], part[0])
        found.append(np.concatenate([part.mean(axis=0), (pairs / pairs.sum()).ravel()]))
    return np.array(found)


def _moments(rows: Rows, ends: NDArray[Any], family: Any) -> Array:
    """Means and log spreads of the columns of each sequence, as start rules see rows; NaN where nothing is known."""
    own = getattr(family, "features", None)
    made = own(rows.x) if own else rows.x
    x = np.hstack(
        [np.asarray(p, dtype=float).reshape(len(ends) and rows.n, -1) for p in (made if isinstance(made, tuple) else (made,))]
    )
    x = np.where(np.isfinite(x), x, np.nan)
    seen, begins = ~np.isnan(x), np.concatenate([[0], ends[:-1]])
    count = np.add.reduceat(seen.astype(float), begins)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.add.reduceat(np.where(seen, x, 0.0), begins) / count
        left = np.where(seen, x - np.repeat(mean, np.diff(ends, prepend=0), axis=0), 0.0)
        spread = np.log(np.add.reduceat(left**2, begins) / count + 1e-3 * np.nanvar(x, axis=0) + 1e-300)
    return np.column_stack([mean, spread])


def _moves(model: Latent, share: Array, seen: Array, ends: NDArray[Any]) -> ChainParams:
    """Starts and moves that the states of each class show, mixed with those that a chain begins with."""
    m, k = seen.shape[1], model.k
    even = model.structure.start(k)
    first, pairs = np.zeros(k), np.zeros((k, k))
    for s, (a, z) in enumerate(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)):
        own = seen[a : z - 1].T @ seen[a + 1 : z]
        for c, weight in enumerate(share[s]):
            part = slice(c * m, (c + 1) * m)
            first[part] += weight * seen[a]
            pairs[part, part] += weight * own
    moves = even.transmat.copy()
    going = 1.0 - moves[:, k:].sum(axis=1, keepdims=True)
    pairs = np.where(moves[:, :k] > 0, pairs, 0.0)
    total = pairs.sum(axis=1, keepdims=True)
    shown = np.where(total > 0, pairs / np.where(total > 0, total, 1.0) * going, moves[:, :k])
    moves[:, :k] = MINE * shown + (1.0 - MINE) * moves[:, :k]
    first = np.where(even.startprob > 0, first, 0.0)
    start = MINE * first / max(first.sum(), 1e-300) + (1.0 - MINE) * even.startprob
    return ChainParams(start / start.sum(), moves)


def _allowed_classes(rows: Rows, ends: NDArray[Any], model: Latent) -> NDArray[np.bool_] | None:
    """Classes that each sequence may belong to, (s, K)."""
    if rows.allowed is None:
        return None
    allowed = np.asarray(rows.allowed)[ends - 1]
    return np.asarray(allowed.reshape(len(ends), model.structure.blocks, -1).any(axis=2))
