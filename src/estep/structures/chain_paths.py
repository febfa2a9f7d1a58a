"""Paths of a hidden Markov chain over the sequences of a chunk: the best (Viterbi), the ``count`` best, and draws.

    best     argmax_z log p(x, z)                        ties to the lowest state
    draw     z ~ p(z | x), the last state of a sequence first

As in ``chain_pass.py`` a long sequence goes in blocks: forward once with checkpoints, then back from the last block, its
pointers (or filtered distributions) found again from where it begins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels import chain_log
from estep.structures.chain_pass import Group, InLogs, Law, Logb, Span, columns_of, filtered, impossible

Path = NDArray[np.intp]


def best(law: Law, logb: Logb, groups: list[Group], origin: int, n: int) -> Path:
    """The most probable path of every sequence, (n,); raises ImpossibleRow."""
    path, logs = np.zeros(n, dtype=np.intp), law.logs
    for group in groups:
        for one in _single(group):
            _best(logs, logb, one, origin, path)
    return path


def _single(group: Group) -> list[Group]:
    """The sequences of a group, one by one."""
    if len(group) > 1:
        return [group]
    span = group[0]
    return [
        [Span(slice(span.rows.start + a, span.rows.start + z), np.array([z - a], dtype=np.int64), w[None])]
        for a, z, w in zip(span.begins.tolist(), span.ends.tolist(), span.weight, strict=True)
    ]


def _best(law: Law, logb: Logb, group: Group, origin: int, path: Path) -> None:
    checkpoints, back = [np.zeros(law.start.size)], np.empty((0, 0), dtype=np.int32)
    for span in group:
        carry = checkpoints[-1].copy()
        back = _pointers(law, logb, span, carry, origin)
        checkpoints.append(carry)
    ending = checkpoints[-1] + law.stop
    if not ending.max() > -np.inf:
        raise impossible(origin + group[-1].rows.stop - 1, False)
    state = int(ending.argmax())
    for b in range(len(group) - 1, -1, -1):
        span = group[b]
        if b < len(group) - 1:
            back = _pointers(law, logb, span, checkpoints[b].copy(), origin)
        state = chain_log.trace_back(back, 0, span.n, state, path[span.rows])


def _pointers(law: Law, logb: Logb, span: Span, carry: Array, origin: int) -> NDArray[np.int32]:
    """Back pointers of a block, (n, k); ``carry`` moves on to its last row."""
    rows = np.ascontiguousarray(logb(span.rows), dtype=float)
    back = np.empty(rows.shape, dtype=np.int32)
    bad = chain_log.best_forward(law.start, law.moves.part(span.rows), rows, 0, span.n, span.fresh, carry, back)
    if bad >= 0:
        raise impossible(origin + span.rows.start + bad, bool(np.isneginf(rows[bad]).all()))
    return back


def draw(law: Law, logb: Logb, groups: list[Group], origin: int, uniforms: Array) -> tuple[Path, Array]:
    """A path of every sequence drawn from its posterior, and log p(x_t | x_<t): (n,) each; ``uniforms`` (n,) in [0, 1).

    Of ``uniforms`` (m, n) there are m draws, paths (m, n), from one pass forward.
    """
    several = np.atleast_2d(uniforms)
    paths, steps = np.zeros(several.shape, dtype=np.intp), np.empty(several.shape[1])
    for group in groups:
        for one in _single(group):
            _draw(law, logb, one, origin, several, paths, steps)
    return paths.reshape(np.shape(uniforms)), steps


def filter_states(law: Law, logb: Logb, groups: list[Group], origin: int, n: int) -> Array:
    """``p(z_t | x_1..t)``, (n, k); raises ImpossibleRow."""
    out = np.empty((n, law.start.size))
    for group in groups:
        for one in _single(group):
            alphas, _ = _alphas(law, logb, one, origin)
            for b, span in enumerate(one):
                out[span.rows] = np.exp(alphas(b))
    return out


def states_ahead(law: Law, filtered: Array, ends: NDArray[Any]) -> Array:
    """``p(z_t | x_1..t-1)`` (n, k), given that the sequence goes on, from ``p(z_t | x_1..t)`` of sequences with these ends."""
    ahead = np.vstack([law.start, filtered[:-1] @ law.moves.out[0]])
    ahead[np.concatenate([[0], np.asarray(ends)[:-1]])] = law.start
    total = ahead.sum(axis=1, keepdims=True)
    return np.asarray(ahead / np.where(total > 0, total, 1.0))


def _draw(law: Law, logb: Logb, group: Group, origin: int, uniforms: Array, paths: Path, steps: Array) -> None:
    (alphas, found), states = _alphas(law, logb, group, origin), [0] * len(paths)
    for span, each in zip(group, found, strict=True):
        steps[span.rows] = each
    for b in range(len(group) - 1, -1, -1):
        span, alpha = group[b], alphas(b)
        moves, stop = law.logs.moves.part(span.rows), law.logs.stop
        for j, (path, draws) in enumerate(zip(paths, uniforms, strict=True)):
            at, u = path[span.rows], draws[span.rows]
            states[j] = chain_log.draw_back(moves, stop, alpha, 0, span.n, span.final, states[j], u, at)


def _alphas(law: Law, logb: Logb, group: Group, origin: int) -> tuple[Callable[[int], Array], list[Array]]:
    """What gives log p(z_t | x_1..t) of each block of a sequence, and log p(x_t | x_<t) of each."""
    checkpoints, steps, logs = [np.zeros(law.start.size)], [], InLogs(law, logb, origin)
    for span in group:
        seen = filtered(law, logb, span, checkpoints[-1])
        if seen.lost:
            steps = logs.forward(group)
            return lambda b: logs.filtered_logs(group[b], b), steps
        checkpoints.append(seen.carry)
        steps.append(seen.steps)

    def alpha(b: int) -> Array:
        again = seen if len(group) == 1 else filtered(law, logb, group[b], checkpoints[b])
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(again.alpha / again.alpha.sum(axis=1, keepdims=True)))

    return alpha, steps


def best_several(law: Law, logb: Logb, rows: slice, count: int) -> tuple[Path, Array]:
    """The ``count`` most probable paths (count, n) of the one sequence in ``rows``, and their log p(x, z) (count,).

    Where there are fewer, the rest have value -inf and states -1.
    """
    each, logs = np.ascontiguousarray(logb(rows), dtype=float), law.logs
    values, paths = np.empty(count), np.empty((count, len(each)), dtype=np.intp)
    chain_log.best_paths(logs.start, logs.moves.part(rows), logs.stop, each, values, paths)
    return paths, values


def path_values(law: Law, logb: Logb, groups: list[Group], path: Path) -> Array:
    """log p(x, z) of given paths, summed over each sequence, (s,)."""
    logs, found, run = law.logs, [], 0.0
    for group in groups:
        for span in group:
            columns, states = columns_of(logb, span), path[span.rows]
            each = columns[states, np.arange(span.n)]
            begins = span.begins if span.fresh else span.begins[1:]
            inner = np.ones(span.n, dtype=bool)
            inner[begins] = False
            t = np.flatnonzero(inner)
            which = logs.moves.which[span.rows][t] if logs.moves.which.size else np.zeros(len(t), dtype=np.int64)
            each[t] += logs.moves.out[which, path[span.rows.start + t - 1], states[t]]
            each[begins] += logs.start[states[begins]]
            if span.final:
                each[span.ends - 1] += logs.stop[states[span.ends - 1]]
            sums = np.add.reduceat(each, span.begins)
            sums[0] += run
            run = 0.0 if span.final else float(sums[-1])
            found.append(sums if span.final else sums[:0])
    return np.concatenate(found) if found else np.zeros(0)
