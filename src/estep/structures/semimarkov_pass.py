"""One pass of a hidden semi-Markov chain over the sequences of a chunk: scaled, and in logs where that would lose digits.

``logb(rows)`` gives log densities (rows, k), of the whole chunk at once; ``ends`` (s,) and ``weight`` (s,) belong to its
sequences, ``origin`` is its first row within the data, for errors. A pass holds about seven arrays of rows x states.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels import chain, semimarkov, semimarkov_log, semimarkov_several
from estep.kernels.semimarkov import Counts, Open, Tables
from estep.structures.chain_pass import impossible

Logb = Callable[[slice], Array]
Integers = NDArray[np.int64]
Path = NDArray[np.intp]


@dataclasses.dataclass(frozen=True)
class SegmentLaw:
    """What the recursions read: ``start`` (k,), ``moves`` (k, k), ``lasting`` (k,) and log tables (k, D).

    ``shares`` are log probabilities of lasting exactly d rows, ``tails`` at least d; ``cut``: the last segment may go on.
    """

    start: Array
    moves: Array
    lasting: NDArray[np.bool_]
    shares: Array
    tails: Array
    cut: bool

    @property
    def closing(self) -> Array:
        """Log probabilities of a last segment by its length, (k, D)."""
        return self.tails if self.cut else self.shares

    @property
    def k(self) -> int:
        """Number of states."""
        return self.start.size

    @cached_property
    def logs(self) -> Tables:
        """Everything in logs."""
        with np.errstate(divide="ignore"):
            return Tables(np.log(self.start), np.log(self.moves), self.lasting, self.shares, self.tails, self.closing)

    @cached_property
    def tables(self) -> Tables:
        """Everything as probabilities."""
        shares, tails = np.exp(self.shares), np.exp(self.tails)
        return Tables(self.start, self.moves, self.lasting, shares, tails, tails if self.cut else shares)

    def power(self, beta: float) -> SegmentLaw:
        """Every probability to the power ``beta``."""
        return SegmentLaw(self.start**beta, self.moves**beta, self.lasting, beta * self.shares, beta * self.tails, self.cut)


@dataclasses.dataclass
class SegmentSums:
    """What a pass adds up, weighted: ``first`` (k,), ``pairs`` (k, k), segments by length (k, D), the log-likelihood.

    ``resp`` (k, n), ``steps`` (n,): log p(x_t | x_<t), ``held`` (k, n): p(z_t | x_1..t).
    """

    first: Array
    pairs: Array
    ended: Array
    running: Array
    resp: Array
    steps: Array
    held: Array
    loglik: float = 0.0


@dataclasses.dataclass
class _Scaled:
    """A chunk after its scaled forward pass."""

    columns: Array
    like: Array
    top: Array
    out: Open
    failed: Integers

    @property
    def steps(self) -> Array:
        """log p(x_t | x_<t), (n,), of sequences that have not failed."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(self.out.scale) + self.top)


def _begins(ends: Integers) -> Integers:
    return np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]])


def _forward(law: SegmentLaw, columns: Array, ends: Integers) -> _Scaled:
    k, n = columns.shape
    like, top = np.empty((n, k)), np.empty(n)
    chain.likelihoods(columns, like, top)
    out = Open(np.empty((k, n)), np.empty((k, n)), np.empty((k, n)), np.ones(n))
    failed, rows = np.empty(len(ends), dtype=np.int64), np.ascontiguousarray(like.T)
    semimarkov.forward(law.tables, law.cut, rows, ends, out, failed)
    return _Scaled(columns, rows, top, out, failed)


def smooth(law: SegmentLaw, logb: Logb, ends: Integers, weight: Array, origin: int) -> SegmentSums:
    """Forward and backward over all sequences; raises ImpossibleRow."""
    columns = np.ascontiguousarray(logb(slice(0, int(ends[-1]))).T, dtype=float)
    seen, tables = _forward(law, columns, ends), law.tables
    ended, running, resp = np.zeros(law.shares.shape), np.zeros(law.shares.shape), np.zeros(columns.shape)
    sums = SegmentSums(np.zeros(law.k), np.zeros((law.k, law.k)), ended, running, resp, seen.steps, seen.out.held)
    counts = Counts(sums.first, sums.pairs, sums.ended, sums.running)
    semimarkov.backward(tables, seen.like, ends, seen.out, weight, resp, counts, seen.failed)
    sums.pairs *= tables.moves
    sums.ended *= tables.shares
    sums.running *= tables.closing
    begins = _begins(ends)
    for s in np.flatnonzero(seen.failed >= 0):
        _in_logs(law, columns, slice(int(begins[s]), int(ends[s])), float(weight[s]), origin, sums)
    sums.loglik = float(np.add.reduceat(sums.steps, begins) @ weight)
    return sums


@dataclasses.dataclass
class Logged:
    """One sequence after its forward pass in logs: joint probabilities with all rows so far, (k, n) each."""

    rows: Array
    begun: Array
    ended: Array
    held: Array
    steps: Array
    loglik: float


def logged(law: SegmentLaw, rows: Array, origin: int) -> Logged:
    """The forward pass in logs over one sequence, ``rows`` (k, n) of log densities; raises ImpossibleRow."""
    rows = np.ascontiguousarray(rows)
    begun, ended, held = np.empty(rows.shape), np.empty(rows.shape), np.empty(rows.shape)
    bad = semimarkov_log.log_forward(law.logs, rows, begun, ended, held)
    if bad >= 0:
        raise impossible(origin + bad, bool(np.isneginf(rows[:, bad]).all()))
    running = np.logaddexp.reduce(held, axis=0)
    ending = [semimarkov_log.log_ending(law.logs, rows, begun, held, j) for j in range(law.k)]
    loglik = float(np.logaddexp.reduce(ending))
    if not np.isfinite(loglik):
        raise impossible(origin + rows.shape[1] - 1, False)
    running[-1] = loglik
    return Logged(rows, begun, ended, held, np.diff(running, prepend=0.0), loglik)


def _in_logs(law: SegmentLaw, columns: Array, rows: slice, weight: float, origin: int, sums: SegmentSums) -> None:
    """Go through one sequence in logs and add what it has to ``sums``."""
    seen = logged(law, columns[:, rows], origin + rows.start)
    sums.steps[rows] = seen.steps
    sums.held[:, rows] = np.exp(seen.held - np.logaddexp.reduce(seen.held, axis=0))
    resp, counts = np.empty(seen.rows.shape), Counts(sums.first, sums.pairs, sums.ended, sums.running)
    semimarkov_log.log_backward(law.logs, seen.rows, seen.begun, seen.ended, seen.loglik, weight, resp, counts)
    sums.resp[:, rows] = resp


def filtered(law: SegmentLaw, logb: Logb, ends: Integers, origin: int) -> Array:
    """``p(z_t | x_1..t)``, (n, k), from forward passes alone; raises ImpossibleRow."""
    columns = np.ascontiguousarray(logb(slice(0, int(ends[-1]))).T, dtype=float)
    seen = _forward(law, columns, ends)
    for s, begin in enumerate(_begins(ends).tolist()):
        if seen.failed[s] >= 0:
            own = logged(law, columns[:, begin : ends[s]], origin + begin)
            seen.out.held[:, begin : ends[s]] = np.exp(own.held - np.logaddexp.reduce(own.held, axis=0))
    return seen.out.held.T


def predicted(law: SegmentLaw, logb: Logb, ends: Integers, origin: int) -> Array:
    """``p(z_t | x_<t)``, (n, k), given that the sequence goes on; raises ImpossibleRow."""
    out, going_on = np.empty((law.k, int(ends[-1]))), dataclasses.replace(law, cut=True)
    for rows, seen in zip(sequences_of(ends), joint_of(going_on, logb, ends, origin), strict=True):
        before = np.empty(seen.rows.shape)
        semimarkov_log.log_ahead(law.logs, seen.rows, seen.begun, seen.held, before)
        out[:, rows] = np.exp(before - np.logaddexp.reduce(before, axis=0))
    return out.T


def best(law: SegmentLaw, logb: Logb, ends: Integers, origin: int) -> tuple[Path, Array]:
    """The most probable path of every sequence, (n,), and its log p(x, z), (s,); raises ImpossibleRow."""
    columns = np.ascontiguousarray(logb(slice(0, int(ends[-1]))).T, dtype=float)
    path, values = np.zeros(columns.shape[1], dtype=np.intp), np.empty(len(ends))
    for s, begin in enumerate(_begins(ends).tolist()):
        rows = np.ascontiguousarray(columns[:, begin : ends[s]])
        values[s], bad = semimarkov_log.best_path(law.logs, rows, path[begin : ends[s]])
        if bad >= 0:
            raise impossible(origin + begin + bad, bool(np.isneginf(rows[:, bad]).all()))
    return path, values


def best_several(law: SegmentLaw, logb: Logb, n: int, count: int) -> tuple[Path, Array]:
    """The ``count`` most probable paths (count, n) of the one sequence of ``n`` rows, and their log p(x, z) (count,).

    Where there are fewer, the rest have value -inf and states -1; raises ImpossibleRow where there is none.
    """
    rows = np.ascontiguousarray(logb(slice(0, n)).T, dtype=float)
    values, paths = np.empty(count), np.empty((count, n), dtype=np.intp)
    semimarkov_several.best_paths(law.logs, rows, values, paths)
    if values[0] == -np.inf:
        best(law, logb, np.array([n], dtype=np.int64), 0)
    return paths, values


def draw(law: SegmentLaw, seen: list[Logged], uniforms: Array) -> Path:
    """A path of every sequence drawn from its posterior, (n,), given forward passes; ``uniforms`` (n,) in [0, 1)."""
    path, begin = np.zeros(len(uniforms), dtype=np.intp), 0
    for one in seen:
        own = slice(begin, begin + one.rows.shape[1])
        semimarkov_log.draw_path(law.logs, one.rows, one.begun, one.ended, one.held, uniforms[own], path[own])
        begin = own.stop
    return path


def joint_of(law: SegmentLaw, logb: Logb, ends: Integers, origin: int) -> Iterator[Logged]:
    """The forward pass of every sequence, in logs."""
    columns = np.ascontiguousarray(logb(slice(0, int(ends[-1]))).T, dtype=float)
    for rows in sequences_of(ends):
        yield joint(law, columns[:, rows], origin + rows.start)


def joint(law: SegmentLaw, columns: Array, origin: int) -> Logged:
    """What ``logged`` gives, from a scaled pass where that loses no digits."""
    columns = np.ascontiguousarray(columns)
    n = columns.shape[1]
    seen = _forward(law, columns, np.array([n], dtype=np.int64))
    if seen.failed[0] >= 0:
        return logged(law, columns, origin)
    steps = seen.steps
    so_far = np.cumsum(steps)
    before = np.concatenate([[0.0], so_far[:-1]])
    with np.errstate(divide="ignore"):
        begun, ended, held = np.log(seen.out.begun) + before, np.log(seen.out.ended) + so_far, np.log(seen.out.held) + so_far
    return Logged(columns, begun, ended, held, steps, float(so_far[-1]))


def segments_of(path: Path, ends: Integers) -> tuple[Path, Integers, NDArray[np.bool_], Integers]:
    """State, length, whether it is its sequence's last, and sequence of every segment of given paths.

    >>> states, lengths, last, of = segments_of(np.array([0, 0, 1, 1]), np.array([3, 4]))
    >>> states.tolist(), lengths.tolist(), last.tolist(), of.tolist()
    ([0, 1, 1], [2, 1, 1], [False, True, True], [0, 0, 1])
    """
    new = np.ones(len(path), dtype=bool)
    new[1:] = path[1:] != path[:-1]
    new[_begins(ends)] = True
    at = np.flatnonzero(new)
    of = np.searchsorted(ends, at, side="right")
    last = np.append(of[1:] != of[:-1], True)
    return path[at], np.diff(at, append=len(path)), last, of


def sequences_of(ends: Integers) -> Iterator[slice]:
    """The rows of each sequence."""
    for a, z in zip(_begins(ends).tolist(), ends.tolist(), strict=True):
        yield slice(a, z)


def blank(k: int) -> Logb:
    """Log densities of rows that say nothing."""
    return lambda rows: np.zeros((rows.stop - rows.start, k))
