"""One pass of a hidden Markov chain over the sequences of a chunk, in memory that does not grow with their length.

Short sequences go through the kernels many at a time. A sequence of more than BUDGET values (rows x states) goes in blocks of
about sqrt(T) rows: forward once, keeping the filtered distribution where each block begins; then from the last block to the
first, forward again from there and backward, so that recursions hold O(sqrt T) rows at a time and log densities are asked for
twice. Where scaled numbers would lose digits (``kernels/chain.py`` says where), the sequence is gone through in logs.

``logb(rows)`` gives log densities (rows, k), ``collect(rows, resp)`` takes weighted responsibilities, ``note(rows, steps)``
log p(x_t | x_<t). What ``collect`` is handed, and a ``Filtered``, are good until the next pass of the same thread.

Source: Tarnas & Hughey (1998), Bioinformatics 14:401 (checkpoints).
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import ImpossibleRow
from estep.core.record import Array
from estep.kernels import chain, chain_listed, chain_log
from estep.kernels.chain import Moves, moves_of

BUDGET = 1 << 21
"""Values (rows x states) that a pass over whole sequences holds at a time."""
BLOCK = 4096
"""Rows of a block of a long sequence, at least."""
Logb = Callable[[slice], Array]
Take = Callable[[slice, Array], None]
Integers = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Law:
    """How labels follow one another: ``start`` (k,), ``moves``, and ``stop`` (k,), ones where sequences just stop."""

    start: Array
    moves: Moves
    stop: Array

    @staticmethod
    def of(start: Array, transmat: Array, stop: Array | None = None, which: Integers | None = None) -> Law:
        """The law of a chain with ``transmat`` (k, k), or (m, k, k) of which ``which[t]`` leads into row t."""
        ones = np.ones(start.size) if stop is None else np.ascontiguousarray(stop, dtype=float)
        return Law(np.ascontiguousarray(start, dtype=float), moves_of(transmat, which), ones)

    def power(self, beta: float) -> Law:
        """Every probability to the power ``beta``."""
        moves = self.moves._replace(out=self.moves.out**beta, into=self.moves.into**beta)
        return Law(self.start**beta, moves, self.stop**beta)

    @cached_property
    def logs(self) -> Law:
        """The same in logs."""
        with np.errstate(divide="ignore"):
            return Law(np.log(self.start), chain_log.logs_of(self.moves), np.log(self.stop))


@dataclasses.dataclass(frozen=True)
class Span:
    """Rows that go through the kernels together: whole sequences, or a block of one.

    ``ends`` (s,) and ``weight`` (s,) are those of its sequences, counted from its first row.
    """

    rows: slice
    ends: Integers
    weight: Array
    fresh: bool = True
    final: bool = True

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.rows.stop - self.rows.start)

    @property
    def begins(self) -> Integers:
        """First row of each sequence."""
        return np.concatenate([np.zeros(1, dtype=np.int64), self.ends[:-1]])


Group = list[Span]


class _Rooms(threading.local):
    """Arrays that every pass of a thread writes anew: fresh memory costs more than the recursions themselves."""

    def __init__(self) -> None:
        self.held: dict[str, Array] = {}

    def of(self, name: str, *shape: int) -> Array:
        """An array of that shape, of undefined values, in the memory of the last one of that name."""
        size = math.prod(shape)
        if name not in self.held or self.held[name].size < size:
            self.held[name] = np.empty(size)
        return self.held[name][:size].reshape(shape)


ROOMS = _Rooms()


def plan(k: int, ends: Integers, weight: Array) -> list[Group]:
    """The sequences of a chunk that end at ``ends`` as groups: one span of whole sequences, or the blocks of a long one."""
    room, groups, first, begin = max(BUDGET // k, BLOCK), [], 0, 0
    for s, end in enumerate(ends.tolist()):
        if end - begin > room and s > first:
            groups.append([_whole(ends, weight, first, s)])
            first, begin = s, int(ends[s - 1])
        if end - begin > room:
            groups.append(_blocks(begin, end, weight[s : s + 1]))
            first, begin = s + 1, end
    if first < len(ends):
        groups.append([_whole(ends, weight, first, len(ends))])
    return groups


def _whole(ends: Integers, weight: Array, first: int, last: int) -> Span:
    begin = int(ends[first - 1]) if first else 0
    return Span(slice(begin, int(ends[last - 1])), ends[first:last] - begin, weight[first:last])


def _blocks(begin: int, end: int, weight: Array) -> Group:
    step = max(BLOCK, math.isqrt(end - begin))
    cuts = [*range(begin, end, step), end]
    return [
        Span(slice(a, z), np.array([z - a], dtype=np.int64), weight, a == begin, z == end)
        for a, z in zip(cuts[:-1], cuts[1:], strict=True)
    ]


@dataclasses.dataclass(frozen=True)
class Filtered:
    """A span after its forward pass, until the next; ``carry`` is the filtered distribution where its sequence goes on."""

    columns: Array
    like: Array
    alpha: Array
    scale: Array
    top: Array
    carry: Array
    failed: Integers
    lost: int

    @property
    def steps(self) -> Array:
        """log p(x_t | x_<t), (n,), of sequences that have not failed."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(self.scale) + self.top)


def shifted(fn: Any, by: int) -> Any:
    """``fn`` of rows counted from ``by`` on."""
    return lambda rows, *rest: fn(slice(by + rows.start, by + rows.stop), *rest)


def columnwise(columns: Array, rows: slice) -> Logb:
    """What gives the log densities (n, k) of one sequence within ``columns`` (k, n), whatever it is asked for."""
    return lambda _: columns[:, rows].T


def kernels_of(moves: Moves) -> Any:
    """The recursions for these moves: through all states, or through lists where there are lists."""
    return chain_listed if moves.sources.size else chain


def columns_of(logb: Logb, span: Span) -> Array:
    """Log densities of a span, component by component (k, n)."""
    return np.ascontiguousarray(logb(span.rows).T, dtype=float)


def filtered(law: Law, logb: Logb, span: Span, carry: Array) -> Filtered:
    """The forward pass over a span, from the filtered distribution ``carry`` before it."""
    columns, carry = columns_of(logb, span), carry.copy()
    k, n = columns.shape
    like, alpha, scale, top = ROOMS.of("like", n, k), ROOMS.of("alpha", n, k), ROOMS.of("scale", n), ROOMS.of("top", n)
    failed = np.empty(len(span.ends), dtype=np.int64)
    chain.likelihoods(columns, like, top)
    moves = law.moves.part(span.rows)
    run = kernels_of(moves).forward
    lost = run(law.start, moves, law.stop, like, span.ends, span.fresh, span.final, carry, alpha, scale, failed)
    return Filtered(columns, like, alpha, scale, top, carry, failed, lost)


@dataclasses.dataclass
class Sums:
    """What a pass adds up: weighted starts and ends (k,), moves (m, k, k), and the log-likelihood."""

    law: Law
    first: Array
    last: Array
    pairs: Array
    loglik: float = 0.0

    @staticmethod
    def of(law: Law) -> Sums:
        """Nothing yet."""
        k = law.start.size
        return Sums(law, np.zeros(k), np.zeros(k), np.zeros(law.moves.out.shape))

    def ended(self, span: Span, resp: Array, steps: Array | None) -> None:
        """Add the starts and ends of a span's sequences, and their log-likelihood."""
        if span.fresh:
            self.first += resp[:, span.begins].sum(axis=1)
        if span.final:
            self.last += resp[:, span.ends - 1].sum(axis=1)
        if steps is not None:
            self.loglik += float(np.add.reduceat(steps, span.begins) @ span.weight)


def smooth(law: Law, logb: Logb, groups: list[Group], origin: int, collect: Take, note: Take | None = None) -> Sums:
    """Forward and backward over all groups; ``origin`` is the chunk's first row within the data, for errors."""
    sums = Sums.of(law)
    for group in groups:
        (_smooth_whole if len(group) == 1 else _smooth_long)(law, logb, group, origin, collect, note, sums)
    return sums


def _smooth_whole(law: Law, logb: Logb, group: Group, origin: int, collect: Take, note: Take | None, sums: Sums) -> None:
    span, moves = group[0], law.moves.part(group[0].rows)
    nothing = np.zeros(law.start.size)
    seen = filtered(law, logb, span, nothing)
    resp, steps = ROOMS.of("resp", *seen.columns.shape), seen.steps
    run = kernels_of(moves)
    lost = run.backward(moves, law.stop, seen.like, span.ends, True, nothing, seen.alpha, span.weight, resp, seen.failed)
    pairs = np.zeros_like(sums.pairs)
    run.add_pairs(moves, seen.alpha, seen.like, np.zeros(law.start.size), pairs)
    sums.pairs += pairs * law.moves.out
    for s in np.flatnonzero(seen.failed >= 0) if lost else ():
        rows = slice(int(span.begins[s]), int(span.ends[s]))
        one = Span(slice(0, rows.stop - rows.start), span.ends[s : s + 1] - rows.start, span.weight[s : s + 1])
        part = InLogs(law, columnwise(seen.columns, rows), origin + span.rows.start + rows.start, span.rows.start + rows.start)
        steps[rows] = part.forward([one])[0]
        resp[:, rows] = part.backward(one, sums.pairs)
    sums.ended(span, resp, steps)
    if note is not None:
        note(span.rows, steps)
    collect(span.rows, resp.T)


def _smooth_long(law: Law, logb: Logb, group: Group, origin: int, collect: Take, note: Take | None, sums: Sums) -> None:
    checkpoints, logs, ahead = [np.zeros(law.start.size)], InLogs(law, logb, origin), np.zeros(law.start.size)
    exact, loglik = True, 0.0
    for span in group:
        seen = filtered(law, logb, span, checkpoints[-1])
        if seen.lost:
            exact = False
            break
        checkpoints.append(seen.carry)
        steps = seen.steps
        loglik += float(steps.sum())
        if note is not None:
            note(span.rows, steps)
    if not exact:
        again = logs.forward(group)
        loglik = float(sum(steps.sum() for steps in again))
        for span, steps in zip(group, again, strict=True):
            if note is not None:
                note(span.rows, steps)
    sums.loglik += loglik * float(group[0].weight[0])
    for b in range(len(group) - 1, -1, -1):
        span = group[b]
        found = _block(law, logb, span, checkpoints[b], ahead, sums) if exact else None
        if found is None:
            if exact:
                exact = False
                logs.forward(group)
                with np.errstate(divide="ignore"):
                    logs.ahead = np.log(ahead)
            found = logs.backward(span, sums.pairs, b)
        sums.ended(span, found, None)
        collect(span.rows, found.T)


def _block(law: Law, logb: Logb, span: Span, carry: Array, ahead: Array, sums: Sums) -> Array | None:
    """``resp`` of a block of a long sequence, or None where digits would be lost; ``ahead`` becomes v of its first row."""
    moves, seen, beyond, v = law.moves.part(span.rows), filtered(law, logb, span, carry), ahead.copy(), ahead.copy()
    resp = ROOMS.of("resp", *seen.columns.shape)
    run = kernels_of(moves)
    if run.backward(moves, law.stop, seen.like, span.ends, span.final, v, seen.alpha, span.weight, resp, seen.failed):
        return None
    pairs = np.zeros_like(sums.pairs)
    run.add_pairs(moves, seen.alpha, seen.like, beyond, pairs)
    sums.pairs += pairs * law.moves.out
    ahead[:] = v
    return resp


class InLogs:
    """The two passes over one sequence in logs, block by block."""

    def __init__(self, law: Law, logb: Logb, origin: int, offset: int = 0) -> None:
        self.law, self.logb, self.origin, self.offset = law.logs, logb, origin, offset
        self.checkpoints: list[Array] = []
        self.ahead = np.zeros(law.start.size)

    def forward(self, group: Group) -> list[Array]:
        """log p(x_t | x_<t) of each block; raises ImpossibleRow."""
        self.checkpoints = [np.zeros(self.law.start.size)]
        return [self._forward(span, self.checkpoints[-1].copy(), keep=True)[2] for span in group]

    def _forward(self, span: Span, carry: Array, keep: bool = False) -> tuple[Array, Array, Array]:
        rows, law = np.ascontiguousarray(self.logb(span.rows), dtype=float), self.law
        alpha, scale = np.empty(rows.shape), np.empty(len(rows))
        bad = chain_log.log_forward(law.start, self._moves(span), law.stop, rows, span.fresh, span.final, carry, alpha, scale)
        if bad >= 0:
            raise impossible(self.origin + span.rows.start + bad, bool(np.isneginf(rows[bad]).all()))
        if keep:
            self.checkpoints.append(carry)
        return rows, alpha, scale

    def backward(self, span: Span, pairs: Array, block: int = 0) -> Array:
        """``resp`` (k, n) of a block; adds to ``pairs``."""
        rows, alpha, _ = self._forward(span, self.checkpoints[block].copy())
        resp = np.empty(rows.T.shape)
        law, weight = self.law, float(span.weight[0])
        chain_log.log_backward(self._moves(span), law.stop, rows, span.final, self.ahead, alpha, weight, resp, pairs)
        return resp

    def filtered_logs(self, span: Span, block: int) -> Array:
        """Log of the filtered distributions of a block, (n, k)."""
        return self._forward(span, self.checkpoints[block].copy())[1]

    def _moves(self, span: Span) -> Moves:
        return self.law.moves.part(slice(self.offset + span.rows.start, self.offset + span.rows.stop))


def impossible(row: int, alone: bool) -> ImpossibleRow:
    """The error for a row without density: by itself, or given the rows before it."""
    if alone:
        return ImpossibleRow(row)
    return ImpossibleRow(
        row,
        "is impossible given the rows of its sequence before it: no path of states with probability above zero leads through "
        "it (or ends there, if it is the last); check the row and its label, or the zeros of startprob and transmat",
    )


def steps_of(law: Law, logb: Logb, groups: list[Group], origin: int) -> Iterator[tuple[Span, Array]]:
    """log p(x_t | x_<t) of every span, from forward passes alone."""
    for group in groups:
        carry, logs = np.zeros(law.start.size), False
        found: list[Array] = []
        for span in group:
            seen = filtered(law, logb, span, carry)
            if seen.lost:
                logs = True
                break
            carry = seen.carry
            found.append(seen.steps)
        if logs:
            found = (
                [_steps_in_logs(law, logb, group[0], origin)] if len(group) == 1 else InLogs(law, logb, origin).forward(group)
            )
        yield from zip(group, found, strict=True)


def _steps_in_logs(law: Law, logb: Logb, span: Span, origin: int) -> Array:
    columns, out = columns_of(logb, span), np.empty(span.n)
    for a, z in zip(span.begins.tolist(), span.ends.tolist(), strict=True):
        one = Span(slice(0, z - a), np.array([z - a], dtype=np.int64), np.ones(1))
        at = span.rows.start + a
        out[a:z] = InLogs(law, columnwise(columns, slice(a, z)), origin + at, at).forward([one])[0]
    return out
