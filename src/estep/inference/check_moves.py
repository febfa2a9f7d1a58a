"""Checks of a Markov chain whose states are seen: states without rows, states never left, classes, moves that are few.

    visits of j     first_j + sum_i n_ij,   n_ij the moves from i to j, expected where states are missing (a pass)
    never left      sum_j n_ij = 0, though more than one move is free and nothing is imagined of them
    classes         more of them among the moves with p_ij > 0 than among those that there may be
    few             n_ij or n_i - n_ij above 0 and below 5, where sqrt(p (1 - p) / n_i) and Wald's interval are rough

Source: Brown, Cai & DasGupta (2001), Statistical Science 16:101 (the rule of five on either side, and how rough it is).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from estep.core.assign import SOFT
from estep.core.record import Array
from estep.core.support import Simplex
from estep.engine.visit import total
from estep.inference.boundary import NEAR, Mask, pattern_of
from estep.inference.findings import Finding, Severity
from estep.inference.scene import Scene
from estep.structures import markov

FEW = 5.0
LISTED = 6


def free_moves(model: Any, params: Any) -> Mask:
    """Which moves are estimated, (k, k) or (k, k + 1): neither fixed nor the only one that is left in their row."""
    entry = model.support(params).entries["structure.transmat"]
    assert isinstance(entry, Simplex)
    pattern = pattern_of(entry)
    assert pattern is not None
    open_rows = np.array([row.count > 1 for row in entry.rows])
    return np.asarray((pattern.groups >= 0) & open_rows[:, None])


def unleft(model: Any, params: Any, moves: Array) -> Mask:
    """States (k,) from which there are no ``moves`` and none imagined, though some are free."""
    imagined = 0.0 if model.prior is None else model.prior.structure.pairs
    return np.asarray(free_moves(model, params).any(axis=1) & ((moves + imagined).sum(axis=1) <= 0))


def never_seen(scene: Scene) -> Iterator[Finding]:
    """States that no row shows."""
    gone = np.flatnonzero(~_visited(scene))
    if gone.size:
        yield Finding(
            "never_seen", Severity.WARNING, "States were never seen",
            f"no row shows {_named(scene, gone)}, nor may a missing one", "leave them out of states=, or set a prior; what the "
            "chain says of them does not come from these rows", {"states": tuple(gone.tolist())},
        )  # fmt: skip


def never_left(scene: Scene) -> Iterator[Finding]:
    """States that are seen, but only where sequences end."""
    stuck = np.flatnonzero(unleft(scene.model, scene.params, _counts(scene).pairs) & _visited(scene))
    if stuck.size:
        yield Finding(
            "never_left", Severity.WARNING, "States were never left, so where they lead is not known",
            f"sequences stop in {_named(scene, stuck)} once they are there; moves from there are taken as equally likely",
            "declare them absorbing=, set a prior, or fix their rows", {"states": tuple(stuck.tolist())},
        )  # fmt: skip


def apart(scene: Scene) -> Iterator[Finding]:
    """States seen that cannot reach one another, though by the declared moves they might."""
    moves = np.asarray(scene.params.structure.transmat)
    moves = np.where(moves > NEAR, moves, 0.0)
    may = free_moves(scene.model, scene.params) | (moves > 0)
    kept = np.append(_visited(scene), np.ones(moves.shape[1] - len(moves), dtype=bool))
    found, declared = (markov.communicating_classes(markov.square(m)[np.ix_(kept, kept)]) for m in (moves, may.astype(float)))
    if len(found) > len(declared):
        names = np.array([*(scene.component(j) for j in range(len(moves))), "end"], dtype=object)[: len(kept)][kept]
        told = [f"{{{', '.join(names[c.states])}}} {'is never left' if c.closed else 'is left for good'}" for c in found]
        more = f" and {len(told) - LISTED} more" if len(told) > LISTED else ""
        yield Finding(
            "apart", Severity.NOTE, "Not every state can be reached from every other by the moves that were seen",
            "; ".join(told[:LISTED]) + more,
            "what happens in the long run depends on where the chain starts: see classes(), long_run() and absorption(). Where "
            "a move is possible though it was not seen, prior=dict(transmat=...) keeps it", {"classes": len(found)},
        )  # fmt: skip


def few(scene: Scene) -> Iterator[Finding]:
    """Moves whose probability rests on fewer than five of them, or on fewer than five others from the same state."""
    moves = _counts(scene).pairs
    left = moves.sum(axis=1, keepdims=True)
    least = np.minimum(moves, left - moves)
    rough = free_moves(scene.model, scene.params) & (least > NEAR) & (least < FEW)
    if rough.any():
        cells = sorted(np.argwhere(rough).tolist(), key=lambda at: (least[at[0], at[1]], at))
        told = ", ".join(f"{_move(scene, i, j)} ({moves[i, j]:.4g} of {left[i, 0]:.4g})" for i, j in cells[:LISTED])
        more = f" and {len(cells) - LISTED} more" if len(cells) > LISTED else ""
        yield Finding(
            "few_moves", Severity.NOTE, "Some probabilities of moves rest on few moves",
            f"fewer than {FEW:g} moves, or fewer than {FEW:g} others from there: {told}{more}",
            "do not read their intervals as exact; a bootstrap of many sequences, or prior=dict(transmat=...), steadies them",
            {"cells": tuple((i, j) for i, j in cells), "moves": tuple(float(moves[i, j]) for i, j in cells)},
        )  # fmt: skip


def _counts(scene: Scene) -> Any:
    """Expected starts and moves."""
    return total(scene.model, scene.data, scene.params, SOFT).stats.structure


def _visited(scene: Scene) -> Mask:
    return np.asarray(scene.weight @ scene.resp > NEAR)


def _named(scene: Scene, states: Any) -> str:
    told = [scene.component(j) for j in states.tolist()]
    return ", ".join(told[:LISTED]) + (f" and {len(told) - LISTED} more" if len(told) > LISTED else "")


def _move(scene: Scene, i: int, j: int) -> str:
    return f"{scene.component(i)} -> {scene.component(j) if j < scene.k else 'end'}"
