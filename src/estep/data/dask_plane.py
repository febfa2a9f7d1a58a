"""Rows on the workers of a Dask cluster: the functions of a pass go to the rows, and sums come back up a tree.

    pass     fn -> every partition;  its blocks are summed there;  FAN sums at a time are added, in their order, the last here
    fault    a worker is lost: Dask makes its partitions again on another, the same to the bit, and the pass goes on
    hang     nothing has been finished for ``timeout`` seconds: an error that says so, and which partitions are waited for

The shape of the tree depends on the number of partitions alone, so sums have the same bits whichever workers take part.
"""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.data.dask_parts import added, chunk_of, lengths_of, mapped_part, part_of, summed_part, taken

FAN = 8
LARGE = 1 << 18
"""Bytes from which a pass's function is sent to each worker once and not with every task."""
LOOK = 0.5


class ClusterLost(RuntimeError):
    """The cluster is gone, or stands still; the text says which, and what to do."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A Dask client and how long to wait for it: ``timeout`` seconds without any task finished (None: for ever)."""

    client: Any
    timeout: float | None = None

    def submit(self, fn: Callable[..., Any], *arguments: Any) -> Any:
        """A task, run anew whenever it is asked for; lost results are made again."""
        with _said():
            return self.client.submit(fn, *arguments, pure=False)

    def map(self, task: Callable[..., Any], *parts: Sequence[Any], **same: Any) -> list[Any]:
        """A task for each part, all told to the scheduler at once; ``same`` are the same arguments for all of them."""
        with _said():
            found: list[Any] = self.client.map(task, *parts, pure=False, **same)
        return found

    def added(self, level: list[Any]) -> list[Any]:
        """The next level of the tree: FAN results at a time are added, in their order."""
        whole = len(level) - len(level) % FAN
        sums = self.map(added, *(level[i:whole:FAN] for i in range(FAN)))
        return [*sums, self.submit(added, *level[whole:])] if whole < len(level) else sums

    def submit_each(self, fn: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
        """A task for each, dealt to the workers in turn, so that what stays is spread; others do where one is lost."""
        with _said():
            there = sorted(self.client.scheduler_info(n_workers=-1)["workers"])
            return [
                self.client.submit(fn, *each, pure=False, workers=[there[i % len(there)]], allow_other_workers=True)
                if there
                else self.client.submit(fn, *each, pure=False)
                for i, each in enumerate(arguments)
            ]

    def sent(self, fn: Callable[..., Any]) -> Any:
        """A function as tasks take it: itself, or where it is large, one copy on every worker."""
        if len(_distributed("protocol.pickle").dumps(fn)) < LARGE:
            return fn
        with _said():
            return self.client.scatter(fn, broadcast=True, hash=False)

    def result(self, future: Any, upon: list[Any]) -> Any:
        """What a task found, once it is there; ``upon`` are the tasks that it waits for."""
        return self.results([future], upon)[0]

    def results(self, futures: list[Any], upon: list[Any]) -> list[Any]:
        """What tasks found. Raises ClusterLost; Ctrl-C cancels what is under way."""
        try:
            with _said():
                self._wait(futures, upon)
                found: list[Any] = self.client.gather(futures)
        except KeyboardInterrupt:
            self.client.cancel([*futures, *upon], force=True)
            raise
        return found

    def _wait(self, futures: list[Any], upon: list[Any]) -> None:
        """Until all are finished; the clock starts again whenever one of them is."""
        distributed, before, since = _distributed(), -1, time.monotonic()
        while True:
            try:
                with self.client.as_current():
                    distributed.wait(futures, timeout=LOOK if self.timeout is None else min(LOOK, self.timeout))
                return
            except distributed.TimeoutError:
                pass
            if self.client.status not in ("running", "connecting"):
                raise ClusterLost(_LOST)
            done = sum(future.done() for future in (*futures, *upon))
            if done != before:
                before, since = done, time.monotonic()
            elif self.timeout is not None and time.monotonic() - since > self.timeout:
                waiting = [i for i, future in enumerate(upon or futures) if not future.done()]
                self.client.cancel([*futures, *upon], force=True)
                shown = ", ".join(map(str, waiting[:8])) + (" ..." if len(waiting) > 8 else "")
                raise ClusterLost(
                    f"no partition was finished within {self.timeout:g} s (waiting for partition {shown}): a worker hangs, or "
                    "partitions are too large; look at its log, restart it (client.restart()), or raise timeout="
                )


_LOST = (
    "the connection to the Dask scheduler was lost, so this pass could not be finished; start a cluster again, and resume "
    "from the checkpoint, if the run has one (checkpoint=, or --out on the command line)"
)


class _said:
    """Dask's own errors as ClusterLost, in words; errors of the tasks themselves go through."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None or isinstance(error, ClusterLost | KeyboardInterrupt):
            return
        lost = (_distributed("client").FutureCancelledError, _distributed("comm.core").CommClosedError)
        if isinstance(error, _distributed("scheduler").KilledWorker):
            raise ClusterLost(
                f"the workers of a partition were lost one after the other, so it is given up ({error}); it may not fit "
                "in a worker's memory: make partitions smaller (repartition), or workers larger"
            ) from error
        closed = isinstance(error, OSError | RuntimeError) and any(
            words in str(error).lower() for words in ("closed", "timed out", "no running", "not running", "scheduler")
        )
        if isinstance(error, lost) or closed:
            raise ClusterLost(_LOST) from error


def _distributed(part: str = "") -> Any:
    """The package, or a module of it."""
    return importlib.import_module(f"distributed.{part}" if part else "distributed")


@dataclasses.dataclass(frozen=True)
class Spread:
    """The plane: ``parts`` are futures of ``Part``, ``lengths`` their rows."""

    cluster: Cluster
    parts: tuple[Any, ...]
    lengths: tuple[int, ...]
    title: str
    raw: tuple[Any, ...]  # futures of the rows alone
    carried: tuple[Any, ...]  # what rows carry, for each partition
    rows: int | None = None

    def __reduce__(self) -> Any:
        return Elsewhere, (self.n_rows, self.title)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return sum(self.lengths)

    def sum(self, fn: Callable[[Chunk], Any]) -> Any:
        """``fn`` of every block, added up the tree."""
        level = below = self.cluster.map(summed_part, self.parts, fn=self.cluster.sent(fn))
        while len(level) > FAN:
            level = self.cluster.added(level)
        return added(*self.cluster.results(level, below))

    def map(self, fn: Callable[[Chunk], Any], sink: Callable[[Chunk, Any], None]) -> None:
        """``fn`` of every block, handed to ``sink`` in order; the blocks that ``sink`` sees have keys, but no rows."""
        futures = self.cluster.map(mapped_part, self.parts, fn=self.cluster.sent(fn))
        for future in futures:
            for key, found in self.cluster.result(future, futures):
                sink(Chunk(key, None), found)

    def chunks(self) -> Iterator[Chunk]:
        """The blocks, in row order, fetched one by one."""
        for part in self.parts:
            for i in range(len(self.cluster.result(self.cluster.submit(lengths_of, part), []))):
                yield self.cluster.result(self.cluster.submit(chunk_of, part, i), [])

    def blocks(self, count: int) -> Iterator[Spread]:
        """The rows in ``count`` blocks of whole partitions, of nearly as many partitions each; fewer where there are fewer."""
        if not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(f"blocks: count must be a whole number >= 1, got {count!r}")
        count = min(int(count), len(self.parts))
        limits = [round(b * len(self.parts) / count) for b in range(count + 1)]
        for a, z in zip(limits, limits[1:], strict=False):
            yield dataclasses.replace(
                self, parts=self.parts[a:z], lengths=self.lengths[a:z], raw=self.raw[a:z], carried=self.carried[a:z]
            )

    def shuffled(self, rng: np.random.Generator) -> Spread:
        """The partitions in random order, and the rows within each; rows do not change their partition."""
        order = rng.permutation(len(self.parts))
        seeds = rng.integers(np.iinfo(np.int64).max, size=len(order))
        lengths = tuple(self.lengths[i] for i in order)
        raw, carried = tuple(self.raw[i] for i in order), tuple(self.carried[i] for i in order)
        firsts = np.cumsum([0, *lengths])
        parts = tuple(
            self.cluster.submit(part_of, x, more, self.title, int(first), self.rows, int(seed))
            for x, more, first, seed in zip(raw, carried, firsts, seeds, strict=False)
        )
        return dataclasses.replace(self, parts=parts, lengths=lengths, raw=raw, carried=carried)


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    """What remains of a plane that was sent to a worker: no rows; those are reached from where the plane was made."""

    n_rows: int
    title: str

    def chunks(self) -> Iterator[Chunk]:
        """Refused."""
        raise RuntimeError(f"{self.title}: a worker has no other partition's rows")


def gathered(cluster: Cluster, raw: tuple[Any, ...], lengths: tuple[int, ...], rows: Any, d: int) -> Array:
    """Rows by slice, mask or ascending numbers, fetched from the partitions that have them."""
    wanted = np.atleast_1d(np.arange(sum(lengths))[rows])
    firsts = np.cumsum([0, *lengths])
    futures = []
    for x, first, end in zip(raw, firsts, firsts[1:], strict=False):
        inside = wanted[(wanted >= first) & (wanted < end)] - first
        if len(inside) == end - first and len(inside) and (np.diff(inside) == 1).all():
            futures.append(x)
        elif len(inside):
            futures.append(cluster.submit(taken, x, inside))
    return np.concatenate([np.empty((0, d)), *cluster.results(futures, [])]) if futures else np.empty((0, d))
