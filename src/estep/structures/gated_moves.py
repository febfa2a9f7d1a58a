"""Moves of a chain that depend on covariates: their probabilities, and what a pass over sequences counts of them.

    P(z_t = j | z_{t-1} = i, g_t) = A_t,ij = softmax_j(V_i (1, g_t))          over the moves there are; v_ii = 0
    Q(V) = sum_t sum_ij xi_t,ij log A_t,ij                                     xi the expected moves into row t

Rows with equal covariates share one matrix A, so that a treatment with two levels needs two of them and not one a row. A
pass runs the recursions of ``chain_pass.py`` with a matrix for every row (``Law.of(..., which)``); where the start depends on
covariates, its log probabilities join the log densities of first rows.

symbol   variable   shape
z        z          (m, 1 + q)   whitened features of the m distinct rows of covariates
         which      (n,)         the distinct row that leads into each row
log A    log_moves  (m, k, k)    -inf where there is no move
xi       pairs      (m, k, k)    weighted, summed over rows with equal covariates
         first      (s, k)       weighted expected starts of each sequence
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.protocols import Assign, Chunk
from estep.core.record import Array
from estep.kernels.design import Design, features
from estep.kernels.local import LocalStats
from estep.kernels.logit import expansion_of, log_probs
from estep.structures.chain import _ends_and_weights
from estep.structures.chain_pass import Law, plan, smooth, steps_of
from estep.structures.chain_paths import best, draw, filter_states, path_values
from estep.structures.gated import covariates

Logb = Callable[[slice], Array]
Collect = Callable[[slice, Array], None]


@dataclasses.dataclass(frozen=True)
class GatedRows:
    """Covariates of a chunk of sequences; see the module's table. ``begins`` and ``ends`` (s,), ``weight`` (s,)."""

    z: Array
    which: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    weight: Array
    key: tuple[Any, ...]

    @property
    def origin(self) -> int:
        """The chunk's first row within the data."""
        return int(self.key[1])

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.which)


@dataclasses.dataclass(frozen=True)
class GatedPass:
    """What a pass counted: ``first`` (s, k) and ``pairs`` (m, k, k), weighted; objective and log-likelihood in nats."""

    first: Array
    pairs: Array
    objective: float
    loglik: float


def distinct_rows(given: Array) -> tuple[Array, NDArray[np.int64]]:
    """The rows that differ and which of them each row is; all of them where few are equal.

    >>> distinct_rows(np.array([[1.0], [0.0], [1.0], [1.0]]))[1].tolist()
    [1, 0, 1, 1]
    """
    few, which = np.unique(given, axis=0, return_inverse=True)
    if 2 * len(few) > len(given):
        return given, np.arange(len(given), dtype=np.int64)
    return few, np.asarray(which, dtype=np.int64).reshape(-1)


def gated_rows(chunk: Chunk, design: Design, columns: tuple[str, ...]) -> GatedRows:
    """The covariates of a chunk's sequences; kept with the chunk between passes where the plane has room."""
    kept = chunk.__dict__.get("_gated_rows") if chunk.keep else None
    if kept is not None and kept[0] is design:
        return kept[1]  # type: ignore[no-any-return]
    ends, weight = _ends_and_weights(chunk)
    few, which = distinct_rows(covariates(chunk.given, columns, int(chunk.key[1])))
    begins = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]])
    found = GatedRows(features(design, few), which, begins, ends, weight, chunk.key)
    if chunk.keep:
        object.__setattr__(chunk, "_gated_rows", (design, found))
    return found


def ridge_alone(shape: tuple[int, int, int], ridge: float) -> LocalStats:
    """No rows, and the penalty on the coefficients (c, r, f) of covariates."""
    c, r, f = shape
    penalty, flat = np.full(shape, float(ridge)), np.zeros(shape)
    penalty[:, :, 0] = 0.0
    return LocalStats(np.zeros(c), flat, np.zeros((c, r * f, r * f)), np.zeros((c, f, f)), penalty, flat)


def log_moves(z: Array, theta: Array, mask: NDArray[np.bool_]) -> Array:
    """log A of every distinct row, (m, k, k), from coefficients ``theta`` (k, k, 1 + q) of whitened features."""
    k = len(mask)
    eta = (z @ theta.reshape(k * k, -1).T).reshape(-1, k, k)
    return log_probs(np.where(mask, eta, -np.inf).reshape(-1, k)).reshape(-1, k, k)


def expansion(z: Array, targets: Array, log_p: Array, mask: NDArray[np.bool_], at: Array) -> LocalStats:
    """Q to second order about ``at`` (c, r, f): targets and log probabilities (m, c, r), classes allowed (c, r)."""
    c, r, f = at.shape
    value, gradient = np.zeros(c), np.zeros(at.shape)
    curvature, gram = np.zeros((c, r, f, r, f)), np.zeros((c, f, f))
    for i in range(c):
        on = np.flatnonzero(mask[i])
        if on.size < 2:
            continue
        value[i], gradient[i, on], bend, gram[i] = expansion_of(z, targets[:, i, on], log_p[:, i, on])
        every = np.arange(f)
        curvature[i][np.ix_(on, every, on, every)] = bend.reshape(on.size, f, on.size, f)
    return LocalStats(value, gradient, curvature.reshape(c, r * f, r * f), gram, np.zeros(at.shape), at)


def joined_with_start(logb: Logb, log_start: Array, begins: NDArray[np.int64]) -> Logb:
    """Log densities with the log probability of starting, (s, k), added on first rows."""

    def both(rows: slice) -> Array:
        first, last = np.searchsorted(begins, [rows.start, rows.stop])
        found = logb(rows)
        if first == last:
            return found
        found = np.array(found)
        found[begins[first:last] - rows.start] += log_start[first:last]
        return found

    return both


def refuses(assign: Any) -> str:
    """Why there is no recursion for ``assign``, or an empty text."""
    if getattr(assign, "semiring", None) in SEMIRINGS:
        return ""
    known = f"it takes {sorted(SEMIRINGS)} (soft, hard, sampled and tempered assignments)"
    return f"assign={assign.name!r}: a chain has no recursion for it; {known}; use algorithm='em'"


def passed(law: Law, logb: Logb, rows: GatedRows, assign: Assign, collect: Collect) -> GatedPass:
    """A pass under ``assign``; weighted responsibilities go to ``collect``."""
    if why := refuses(assign):
        raise ValueError(why)
    return SEMIRINGS[assign.semiring](law, logb, rows, assign, collect)  # type: ignore[attr-defined]


def _smoothed(law: Law, logb: Logb, rows: GatedRows, collect: Collect) -> tuple[Array, Array, float]:
    """Expected starts (s, k) and moves, and the log-likelihood."""
    first = np.zeros((len(rows.ends), law.start.size))

    def take(part: slice, resp: Array) -> None:
        a, z = np.searchsorted(rows.begins, [part.start, part.stop])
        first[a:z] = resp[rows.begins[a:z] - part.start]
        collect(part, resp)

    sums = smooth(law, logb, plan(law.start.size, rows.ends, rows.weight), rows.origin, take)
    return first, sums.pairs, sums.loglik


def _soft(law: Law, logb: Logb, rows: GatedRows, assign: Any, collect: Collect) -> GatedPass:
    first, pairs, loglik = _smoothed(law, logb, rows, collect)
    return GatedPass(first, pairs, loglik, loglik)


def _tempered(law: Law, logb: Logb, rows: GatedRows, assign: Any, collect: Collect) -> GatedPass:
    beta, size = assign.beta, (rows.n, law.start.size)
    shaken = np.broadcast_to(assign.shaken(rows.key, *size), size)
    first, pairs, powered = _smoothed(law.power(beta), lambda part: beta * logb(part) + shaken[part], rows, collect)
    return GatedPass(first, pairs, powered / beta, _loglik(law, logb, rows))


def _hard(law: Law, logb: Logb, rows: GatedRows, assign: Any, collect: Collect) -> GatedPass:
    groups = plan(law.start.size, rows.ends, rows.weight)
    path = best(law, logb, groups, rows.origin, rows.n)
    objective = float(path_values(law, logb, groups, path) @ rows.weight)
    return GatedPass(*_of_path(path, law, rows, collect, rows.weight), objective, _loglik(law, logb, rows))


def _drawn(law: Law, logb: Logb, rows: GatedRows, assign: Any, collect: Collect) -> GatedPass:
    groups, k, m = plan(law.start.size, rows.ends, rows.weight), law.start.size, len(law.moves.out)
    times, first, pairs, steps = assign.times(rows.weight), np.zeros((len(rows.ends), k)), np.zeros((m, k, k)), np.zeros(0)
    for j in range(int(times.max())):
        path, steps = draw(law, logb, groups, rows.origin, assign.uniforms(rows.key, rows.n, j))
        found = _of_path(path, law, rows, collect, np.where(times > j, rows.weight / times, 0.0))
        first, pairs = first + found[0], pairs + found[1]
    loglik = float(np.add.reduceat(steps, rows.begins) @ rows.weight)
    return GatedPass(first, pairs, loglik, loglik)


SEMIRINGS: dict[str, Callable[..., GatedPass]] = {"sum": _soft, "max": _hard, "draw": _drawn, "power": _tempered}


def _loglik(law: Law, logb: Logb, rows: GatedRows) -> float:
    groups = plan(law.start.size, rows.ends, rows.weight)
    found = steps_of(law, logb, groups, rows.origin)
    return sum(float(np.add.reduceat(steps, span.begins) @ span.weight) for span, steps in found)


def _of_path(path: NDArray[np.intp], law: Law, rows: GatedRows, collect: Collect, weight: Array) -> tuple[Array, Array]:
    """Starts and moves of given paths, ``weight`` (s,) each, whose one-hot responsibilities go to ``collect``."""
    k, m, weights = law.start.size, len(law.moves.out), np.repeat(weight, rows.ends - rows.begins)
    resp = np.zeros((rows.n, k))
    resp[np.arange(rows.n), path] = weights
    collect(slice(0, rows.n), resp)
    inner = np.ones(rows.n, dtype=bool)
    inner[rows.begins] = False
    t = np.flatnonzero(inner)
    cells = (rows.which[t] * k + path[t - 1]) * k + path[t]
    return resp[rows.begins], np.bincount(cells, weights[t], m * k * k).reshape(m, k, k).astype(float)


def states_ahead(law: Law, logb: Logb, rows: GatedRows) -> Array:
    """``p(z_t | x_1..t-1)``, (n, k), with ``law.start`` in first rows."""
    groups = plan(law.start.size, rows.ends, rows.weight)
    seen = filter_states(law, logb, groups, rows.origin, rows.n)
    ahead = np.empty_like(seen)
    ahead[1:] = np.einsum("ni,nij->nj", seen[:-1], law.moves.out[rows.which[1:]])
    ahead[rows.begins] = law.start
    return ahead


def moves_of_resp(resp: Array, rows: GatedRows, m: int) -> tuple[Array, Array]:
    """Starts and moves from (weighted) responsibilities, as if neighbouring rows were independent given these."""
    total = resp.sum(axis=1, keepdims=True)
    share = resp / np.where(total > 0, total, 1.0)
    inner = np.ones(rows.n, dtype=bool)
    inner[rows.begins] = False
    t = np.flatnonzero(inner)
    pairs = np.zeros((m, resp.shape[1], resp.shape[1]))
    np.add.at(pairs, rows.which[t], share[t - 1][:, :, None] * resp[t][:, None, :])
    return resp[rows.begins], pairs


def sample(self: Any, params: Any, n: int, rng: np.random.Generator, **where: Any) -> NDArray[np.intp]:
    """``n`` states at the ``n`` rows of ``given``, of sequences that end at ``ends`` (one where it is not given)."""
    given = covariates(where.get("given"), self.columns)
    if len(given) != n:
        raise ValueError(f"sample: given has {len(given)} rows, expected {n}: each has covariates of its own")
    ends = where.get("ends")
    fresh = np.zeros(n + 1, dtype=bool)
    fresh[np.append(0, np.asarray(ends if ends is not None else [n]))] = True
    few, which = distinct_rows(given)
    moves = np.cumsum(self.transmat(params, few), axis=2)
    start = np.cumsum(self.startprobs(params, few), axis=1)
    labels, uniforms, k = np.empty(n, dtype=np.intp), rng.random(n), start.shape[1]
    for t in range(n):
        below = start[which[t]] if fresh[t] else moves[which[t], labels[t - 1]]
        labels[t] = min(int(np.searchsorted(below, uniforms[t] * below[-1], side="right")), k - 1)
    return labels
