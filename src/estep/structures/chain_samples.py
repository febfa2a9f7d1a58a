"""Paths drawn from a Markov chain, of lengths that are given, or where states end sequences of lengths that are drawn too.

The chain:

    z_1 ~ pi,   z_t | z_{t-1} = i ~ A_i            with ``end``: a sequence stops after a row in state i with A_{i,end}
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TINY = float(np.finfo(float).tiny)
Path = NDArray[np.intp]


def sample(self: Any, params: Any, n: int, rng: np.random.Generator, **where: Any) -> Path:
    """``n`` states of sequences that end at ``ends`` (one sequence where it is not given), given that each goes on till then.

    Lengths are taken as they are; ``sample_sequences`` draws them.
    """
    ends, k = where.get("ends"), params.startprob.size
    last = np.zeros(n, dtype=bool)
    last[np.asarray(ends if ends is not None else [n]) - 1] = True
    moves = params.transmat[:, :k]
    moves = np.cumsum(moves / np.maximum(moves.sum(axis=1, keepdims=True), TINY), axis=1)
    start, labels, fresh, uniforms = np.cumsum(params.startprob), np.empty(n, dtype=np.intp), True, rng.random(n)
    for t in range(n):
        below = start if fresh else moves[labels[t - 1]]
        labels[t] = min(int(np.searchsorted(below, uniforms[t] * below[-1], side="right")), k - 1)
        fresh = bool(last[t])
    return labels


def sample_sequences(self: Any, params: Any, s: int, rng: np.random.Generator) -> tuple[Path, Path]:
    """States of ``s`` sequences end to end, and where each ends; lengths are drawn.

    Raises
    ------
    ValueError
        Where no state ends a sequence, or one that a sequence can come to never leads to an end.
    """
    k = params.startprob.size
    if not self.end:
        raise ValueError("lengths cannot be drawn, as no state ends a sequence (end=False); give lengths")
    stuck = _never_ending(params.startprob > 0, params.transmat > 0)
    if stuck.size:
        raise ValueError(f"lengths cannot be drawn: from state {stuck[0]} a sequence never ends; give lengths")
    start, moves = np.cumsum(params.startprob), np.cumsum(params.transmat, axis=1)
    labels: list[int] = []
    ends: list[int] = []
    for _ in range(s):
        state = min(int(np.searchsorted(start, rng.random() * start[-1], side="right")), k - 1)
        while state < k:
            labels.append(state)
            below = moves[state]
            state = min(int(np.searchsorted(below, rng.random() * below[-1], side="right")), k)
        ends.append(len(labels))
    return np.array(labels, dtype=np.intp), np.array(ends, dtype=np.intp)


def _never_ending(begun: NDArray[np.bool_], moves: NDArray[np.bool_]) -> Path:
    """States that can be come to and from which there is no way to the end, the last column."""
    k = begun.size
    reached, ending = begun.copy(), moves[:, k].copy()
    for _ in range(k):
        reached |= moves[reached, :k].any(axis=0)
        ending |= moves[:, :k][:, ending].any(axis=1)
    return np.flatnonzero(reached & ~ending)
