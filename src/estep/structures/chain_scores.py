"""Scores of whole sequences of a hidden Markov chain, and what is not known of them because labels are hidden.

    score of a sequence     s = d/dphi [ log pi_{z_1} + sum_t log A_{z_{t-1} z_t} + sum_t log p(x_t | theta_{z_t}) ]
    E[s | x]                from expected counts, by forward-backward         (Fisher's identity: the observed score)
    Cov[s | x]              s is a sum along the path, so its moments given x_1..t and z_t = j follow one another:

        w_t(i | j) = f_{t-1}(i) A_ij / sum_i f_{t-1}(i) A_ij             p(z_{t-1} = i | z_t = j, x_1..t-1)
        d_ij       = m_{t-1}(i) + a_ij
        m_t(j)     = sum_i w_t(i | j) d_ij + e_tj
        C_t(j)     = sum_i w_t(i | j) [ C_{t-1}(i) + (d_ij - mean_i d_ij) (d_ij - mean_i d_ij)' ]

A step takes k^2 p^2 operations. Nothing large is subtracted: deviations are taken before they are squared.

symbol   variable   shape
f        filtered   (k,)          p(z_t | x_1..t)
a        moved      (k, k, p)     gradient of log A_ij
e        seen       (n, k, p)     gradient of log p(x_t | theta_k)
m, C     mean, cov  (k, p), (k, p, p)

Sources: Louis (1982), J. R. Statist. Soc. B 44:226; Cappe, Moulines & Ryden (2005), Inference in Hidden Markov Models, sections
4.1 and 10.2.4 (moments of sums along the path).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import normalise
from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.core.support import Support
from estep.structures.chain_pass import Law, plan, shifted, smooth

Logb = Callable[[slice], Array]
Collect = Callable[[slice, Array], None]
Seen = Callable[[slice], Array]
TINY = float(np.finfo(float).tiny)
ROWS = 2048
"""Rows whose scores are held at a time."""


def sequence_scores(
    self: Any, params: Any, logb: Logb, chunk: Chunk, support: Support, collect: Collect
) -> tuple[Array, NDArray[np.int64]]:
    """Per sequence, the gradient of its expected log p(z) (s, p), and the ends; responsibilities go to ``collect``."""
    k, law, rows = params.startprob.size, self.law(params), []
    ends = np.asarray(chunk.ends, dtype=np.int64)
    for a, z in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        groups = plan(k, np.array([z - a], dtype=np.int64), np.ones(1))
        own, take = shifted(logb, a), shifted(collect, a)
        sums = smooth(law, own, groups, int(chunk.key[1]) + a, take)
        rows.append(self.score(params, self.counted(sums), support))
    return np.array(rows).reshape(len(ends), support.count), ends


def score_covariance(self: Any, params: Any, logb: Logb, chunk: Chunk, support: Support, seen: Seen) -> Array:
    """``sum_s w_s Cov[score of sequence s | x]`` (p, p): the structure's coordinates first, then those of ``seen``.

    ``seen(rows)`` are the scores (rows, k, p) of rows under each state.
    """
    law, ends = self.law(params), np.asarray(chunk.ends, dtype=np.int64)
    weight = np.ones(len(ends)) if chunk.weight is None else np.asarray(chunk.weight)[ends - 1]
    slopes = _slopes(self, params, support)
    total: Any = 0.0
    for a, z, w in zip([0, *ends[:-1].tolist()], ends.tolist(), weight.tolist(), strict=True):
        total = total + w * _covariance(law, slopes, shifted(logb, a), shifted(seen, a), z - a)
    return np.asarray(total)


def _slopes(self: Any, params: Any, support: Support) -> tuple[Array, Array, Array]:
    """Gradients of log pi_i (k, p), of log A_ij (k, k, p), and of the log probability of ending in i (k, p)."""
    k = params.startprob.size

    def slope(name: str, index: tuple[int, ...]) -> Array:
        value = getattr(params, name)
        given = {n: np.zeros_like(getattr(params, n)) for n in self.names}
        if value[index] > 0:
            given[name][index] = 1.0 / max(float(value[index]), TINY)
        return support.pull(params, given)

    begun = np.array([slope("startprob", (i,)) for i in range(k)])
    moved = np.array([[slope("transmat", (i, j)) for j in range(k)] for i in range(k)])
    ended = np.array([slope("transmat", (i, k)) for i in range(k)]) if self.end else np.zeros_like(begun)
    return begun, moved, ended


def _covariance(law: Law, slopes: tuple[Array, Array, Array], logb: Logb, seen: Seen, n: int) -> Array:
    """Cov[score | x] of one sequence of ``n`` rows, (p, p)."""
    begun, moved, ended = slopes
    moves, k, own = law.moves.out[0], law.start.size, begun.shape[-1]
    filtered, mean, cov = law.start, np.zeros((k, 0)), np.zeros((k, 0, 0))
    for at in range(0, n, ROWS):
        rows = slice(at, min(at + ROWS, n))
        density, scores = logb(rows), seen(rows)
        p = own + scores.shape[-1]
        for t in range(rows.stop - rows.start):
            if at + t == 0:
                ahead, cov = law.start, np.zeros((k, p, p))
                mean = np.hstack([begun, np.zeros((k, p - own))])
            else:
                ahead, mean, cov = _moved(filtered, moves, mean, moved, cov)
            with np.errstate(divide="ignore"):
                filtered = normalise((np.log(ahead) + density[t])[None])[0][0]
            mean[:, own:] += np.where(filtered[:, None] > 0, scores[t], 0.0)
    mean[:, :own] += ended
    last = filtered * law.stop / (filtered @ law.stop)
    gaps = mean - last @ mean
    return np.asarray(np.einsum("j,jpq->pq", last, cov) + (gaps * last[:, None]).T @ gaps)


def _moved(filtered: Array, moves: Array, mean: Array, moved: Array, cov: Array) -> tuple[Array, Array, Array]:
    """A step: p(z_t | x_1..t-1), and the moments of the score so far given z_t."""
    k, p = mean.shape
    ahead = filtered @ moves
    back = filtered[:, None] * moves / np.where(ahead > 0, ahead, 1.0)
    paths = np.repeat(mean[:, None, :], k, axis=1)
    paths[:, :, : moved.shape[-1]] += moved
    middle = np.einsum("ij,ijp->jp", back, paths)
    gaps = (paths - middle) * np.sqrt(back)[:, :, None]
    within = (back.T @ cov.reshape(k, -1)).reshape(k, p, p)
    return ahead, middle, within + np.einsum("ijp,ijq->jpq", gaps, gaps)
