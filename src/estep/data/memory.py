"""Data in memory: arrays cut into blocks that sit in cache, summed by a pool of threads in a fixed order.

Block boundaries depend on shapes only and contributions are added in block order, so the same seed gives the same bits for
any number of threads. BLAS is held to one thread: blocks run side by side instead.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.core.rows import count, take, width
from estep.data.blocks import in_blocks

BLOCK_VALUES = 1 << 18
BLOCK_ROWS = 1 << 15
SHARES = 4
KEPT_VALUES = 1 << 22


def features_width(width: int) -> int:
    """Quadratic features of a row of ``width`` values."""
    return 1 + width * (width + 3) // 2


def block_rows(width: int, n: int) -> int:
    """Rows of a block, where there are ``n`` of ``width`` values: near what a core's cache holds, and in equal shares.

    A thread hands the interpreter's lock on with every operation on arrays, which costs as much as the operation where blocks
    are small. An odd multiple of 8, so that columns fall in different cache sets.
    """
    most = int(np.clip(BLOCK_VALUES // max(width, 1), 512, BLOCK_ROWS))
    if n > most:
        shares = SHARES * -(-n // (SHARES * most))
        most = -(-n // shares)
    return -(-(most - 8) // 16) * 16 + 8


def summed(self: Any, fn: Callable[[Chunk], Any]) -> Any:
    """``fn`` of every block, added in block order."""
    total: Any = None
    for _, part in self.each(fn):
        total = part if total is None else total + part
    return total


def mapped(self: Any, fn: Callable[[Chunk], Any], sink: Callable[[Chunk, Any], None]) -> None:
    """``fn`` of every block, handed to ``sink`` in block order."""
    for chunk, part in self.each(fn):
        sink(chunk, part)


def shared(self: Any, chunks: Sequence[Chunk], fn: Callable[[Chunk], Any]) -> Iterator[tuple[Chunk, Any]]:
    """``fn`` of some chunks of the plane, in their order, by as many threads as it has."""
    return in_order(chunks, fn, min(threads_of(self.n_jobs), len(chunks)))


@dataclasses.dataclass(frozen=True)
class Memory:
    """Rows held in arrays.

    Parameters
    ----------
    x : array (n, ...), csr_array or tuple of these
        What the family reads.
    weight, allowed, given : arrays or None
        Per row; see ``Chunk``.
    n_jobs : int or None
        Threads; None takes one for each processor this process may use.
    rows : int or None
        Rows of a block; None chooses by the width of ``x``.
    ends : int array or None
        For sequences, the end row of each: a block then ends with the first sequence that fills it.

    Examples
    --------
    >>> data = Memory(np.arange(6.0).reshape(3, 2))
    >>> float(data.sum(lambda chunk: chunk.x.sum()))
    15.0
    """

    x: Any
    weight: Array | None = None
    allowed: NDArray[Any] | None = None
    given: Any = None
    n_jobs: int | None = None
    rows: int | None = None
    ends: NDArray[np.intp] | None = None

    def __reduce__(self) -> Any:
        return Memory, tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return count(self.x)

    def chunks(self) -> Iterator[Chunk]:
        """The blocks, in row order."""
        return iter(remembered(self, "chunks", self._cut))

    def _cut(self) -> list[Chunk]:
        size = width(self.x)
        step = self.rows or block_rows(size, self.n_rows)
        keep = self.n_rows * features_width(size) <= KEPT_VALUES
        return [self._chunk(rows, keep) for rows in self._blocks(step)]

    def _blocks(self, step: int) -> Iterator[slice]:
        at = 0
        for end in range(step, self.n_rows + step, step) if self.ends is None else self.ends.tolist():
            if end - at >= step or end >= self.n_rows:
                yield slice(at, min(end, self.n_rows))
                at = end

    def _chunk(self, rows: slice, keep: bool) -> Chunk:
        return Chunk(
            key=("memory", rows.start, rows.stop),
            x=take(self.x, rows),
            given=None if self.given is None else take(self.given, rows),
            weight=None if self.weight is None else self.weight[rows],
            allowed=None if self.allowed is None else self.allowed[rows],
            ends=None if self.ends is None else self._ends_within(rows),
            keep=keep,
        )

    def _ends_within(self, rows: slice) -> NDArray[np.intp]:
        assert self.ends is not None
        return np.asarray(self.ends[(self.ends > rows.start) & (self.ends <= rows.stop)] - rows.start)

    sum = summed
    map = mapped

    def shuffled(self, rng: np.random.Generator) -> Memory:
        """The same rows, or sequences, in random order."""
        order, ends = self._order(rng)

        def pick(value: Any) -> Any:
            return None if value is None else take(value, order)

        x, weight, allowed, given = pick(self.x), pick(self.weight), pick(self.allowed), pick(self.given)
        return dataclasses.replace(self, x=x, weight=weight, allowed=allowed, given=given, ends=ends)

    def _order(self, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp] | None]:
        if self.ends is None:
            return rng.permutation(self.n_rows), None
        pieces = np.split(np.arange(self.n_rows), self.ends[:-1])
        mixed = [pieces[i] for i in rng.permutation(len(pieces))]
        return np.concatenate(mixed), np.cumsum([len(piece) for piece in mixed], dtype=np.intp)

    def each(self, fn: Callable[[Chunk], Any]) -> Iterator[tuple[Chunk, Any]]:
        """Every block and ``fn`` of it, in block order."""
        return shared(self, list(self.chunks()), fn)

    shared = shared
    blocks = in_blocks


def in_order(chunks: Iterable[Chunk], fn: Callable[[Chunk], Any], threads: int) -> Iterator[tuple[Chunk, Any]]:
    """Every block and ``fn`` of it, in the order given, worked on by ``threads`` threads."""
    with single_threaded_blas():
        if threads <= 1:
            for chunk in chunks:
                yield chunk, fn(chunk)
            return
        yield from _in_order(_pool(threads), fn, chunks, window=4 * threads)


def _in_order(
    pool: ThreadPoolExecutor, fn: Callable[[Chunk], Any], chunks: Iterable[Chunk], window: int
) -> Iterator[tuple[Chunk, Any]]:
    waiting: deque[tuple[Chunk, Future[Any]]] = deque()
    try:
        for chunk in chunks:
            waiting.append((chunk, pool.submit(fn, chunk)))
            if len(waiting) >= window:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


@cache
def available_processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(n_jobs: int | None) -> int:
    """Threads for ``n_jobs``: None and -1 take every processor."""
    return available_processors() if n_jobs is None or n_jobs < 0 else n_jobs


@cache
def _pools() -> dict[tuple[int, int], ThreadPoolExecutor]:
    return {}


def _pool(threads: int) -> ThreadPoolExecutor:
    """The process's pool of that size; a forked child makes its own."""
    key = (os.getpid(), threads)
    if key not in _pools():
        _pools()[key] = ThreadPoolExecutor(threads, thread_name_prefix="estep")
    return _pools()[key]


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def single_threaded_blas() -> contextlib.AbstractContextManager[Any]:
    """A context in which BLAS uses one thread."""
    return _controller().limit(limits=1)  # type: ignore[no-any-return]
