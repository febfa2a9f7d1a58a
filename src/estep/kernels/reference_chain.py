"""Hidden Markov chains from their definitions, in logs and never optimised: what ``chain.py`` and ``chain_log.py`` are held to.

    forward    log alpha_t(j) = logb_tj + log sum_i exp(log alpha_{t-1}(i) + log A_ij)          p(x_1..t, z_t = j)
    backward   log beta_t(i)  = log sum_j exp(log A_ij + logb_{t+1,j} + log beta_{t+1}(j))      p(x_{t+1}..T | z_t = i)
    resp_t(i) = alpha_t(i) beta_t(i) / p(x),   xi_t(i, j) = alpha_t(i) A_ij b_{t+1}(j) beta_{t+1}(j) / p(x)

``transmat`` is (k, k), or (n, k, k) whose entry t leads into row t (the first is not read); ``stop`` (k,) are probabilities
of ending, ones where sequences just stop.

Source: Rabiner (1989), Proc. IEEE 77:257, equations 19-40.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array


def _log(x: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(x))


def _log_sum(x: Array, axis: int) -> Array:
    return np.asarray(np.logaddexp.reduce(x, axis=axis))


def _stack(transmat: Array, n: int) -> Array:
    return np.broadcast_to(_log(transmat), (n, *transmat.shape[-2:]))


def forward_reference(start: Array, transmat: Array, logb: Array) -> Array:
    """log p(x_1..t, z_t), (n, k)."""
    out, moves = np.empty(logb.shape), _stack(transmat, len(logb))
    out[0] = _log(start) + logb[0]
    for t in range(1, len(logb)):
        out[t] = logb[t] + _log_sum(out[t - 1][:, None] + moves[t], axis=0)
    return out


def backward_reference(transmat: Array, stop: Array, logb: Array) -> Array:
    """log p(x_{t+1}..T, end | z_t), (n, k)."""
    out, moves = np.empty(logb.shape), _stack(transmat, len(logb))
    out[-1] = _log(stop)
    for t in range(len(logb) - 2, -1, -1):
        out[t] = _log_sum(moves[t + 1] + logb[t + 1] + out[t + 1], axis=1)
    return out


def posteriors_reference(start: Array, transmat: Array, stop: Array, logb: Array) -> tuple[Array, Array, float]:
    """``resp`` (n, k), ``xi`` (n - 1, k, k) and the log-likelihood of one sequence.

    >>> resp, xi, loglik = posteriors_reference(np.ones(1), np.ones((1, 1)), np.ones(1), np.zeros((3, 1)))
    >>> resp.ravel().tolist(), xi.shape, loglik
    ([1.0, 1.0, 1.0], (2, 1, 1), 0.0)
    """
    alpha, beta = forward_reference(start, transmat, logb), backward_reference(transmat, stop, logb)
    moves, whole = _stack(transmat, len(logb)), float(_log_sum(alpha[-1] + _log(stop), axis=0))
    steps = [alpha[t][:, None] + moves[t + 1] + logb[t + 1] + beta[t + 1] for t in range(len(logb) - 1)]
    xi = np.exp(np.array(steps).reshape(-1, *transmat.shape[-2:]) - whole)
    return np.exp(alpha + beta - whole), xi, whole


def paths_reference(start: Array, transmat: Array, stop: Array, logb: Array) -> list[tuple[float, tuple[int, ...]]]:
    """Every path with its log p(x, z), the best first, equal ones in the order of their states from the last row back."""
    (n, k), moves = logb.shape, _stack(transmat, len(logb))
    found = []
    for z in itertools.product(range(k), repeat=n):
        value = _log(start)[z[0]] + logb[np.arange(n), z].sum() + _log(stop)[z[-1]]
        value += sum(moves[t + 1][i, j] for t, (i, j) in enumerate(itertools.pairwise(z)))
        found.append((float(value), z))
    return sorted(found, key=lambda each: (-each[0], each[1][::-1]))


def draw_reference(start: Array, transmat: Array, stop: Array, logb: Array, uniforms: Array) -> NDArray[np.intp]:
    """One path from its posterior: the last state first, by inverting the distribution function at ``uniforms`` (n,)."""
    alpha, moves, path = (
        forward_reference(start, transmat, logb),
        _stack(transmat, len(logb)),
        np.empty(len(logb), dtype=np.intp),
    )
    for t in range(len(logb) - 1, -1, -1):
        ways = alpha[t] + (_log(stop) if t == len(logb) - 1 else moves[t + 1][:, path[t + 1]])
        share = np.exp(ways - ways.max())
        path[t] = int(np.searchsorted(np.cumsum(share) / share.sum(), uniforms[t], side="right"))
    return path
