"""The two ways in which rows of a file stay at hand between passes: mapped from disk, or read again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.data.blocks import in_blocks
from estep.data.memory import Memory, block_rows, in_order, mapped, shared, summed, threads_of
from estep.data.places import placed
from estep.data.source import Table
from estep.data.spool import NoRoom, spooled

PIECE_VALUES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Mapped:
    """Rows mapped from disk."""

    title: str
    x: Array
    weight: Array | None
    codes: Array | None
    n_jobs: int | None
    rows: int | None
    folder: str

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.x)

    def chunks(self) -> Iterator[Chunk]:
        """The blocks of ``Memory``, under names of their own."""
        return iter(remembered(self, "chunks", self._cut))

    def _cut(self) -> list[Chunk]:
        memory = Memory(self.x, self.weight, _allowed(self.codes), rows=self.rows)
        return [dataclasses.replace(c, key=(("arrow", self.title), *c.key[1:])) for c in memory.chunks()]

    def each(self, fn: Callable[[Chunk], Any]) -> Iterator[tuple[Chunk, Any]]:
        """Every block and ``fn`` of it, in block order."""
        return shared(self, list(self.chunks()), fn)

    sum = summed
    map = mapped
    shared = shared
    blocks = in_blocks

    def shuffled(self, rng: np.random.Generator) -> Mapped:
        """The same rows in random order, kept in a file of their own."""
        order = rng.permutation(self.n_rows)
        step = max(PIECE_VALUES // max(self.x.shape[1], 1), 1)
        parts = [part for part in (self.x, self.weight, self.codes) if part is not None]
        pieces = (tuple(part[order[at : at + step]] for part in parts) for at in range(0, len(order), step))
        try:
            x, *beside = spooled(pieces, self.folder, None)
        except NoRoom as reason:
            raise ValueError(
                f"{self.title}: its rows cannot be shuffled in {self.folder} ({reason}); make room there"
            ) from None
        weight = None if self.weight is None else beside.pop(0)
        return dataclasses.replace(self, x=x, weight=weight, codes=beside[0] if beside else None)


@dataclasses.dataclass(frozen=True)
class Reread:
    """Rows that every pass reads from their source again."""

    table: Table
    expressions: tuple[str, ...]
    d: int
    weights: str | None
    labels: str | None
    names: tuple[str, ...]
    n_jobs: int | None
    rows: int | None
    seed: int | None = None
    held: Held = dataclasses.field(default_factory=lambda: Held())

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.table.n_rows

    @property
    def codes(self) -> Array | None:
        """Class codes of the rows, NaN where unknown, or None."""
        return None if self.labels is None else np.concatenate([block[-1] for block in self.pieces(PIECE_VALUES)])

    def pieces(self, step: int) -> Iterator[tuple[Array, ...]]:
        """Blocks of ``step`` rows: x (m, d), weight (m,) and class codes (m,) where there are any."""
        at = 0
        for block in recut(self.table.batches(self.expressions, self.seed), step):
            x = np.ascontiguousarray(block[:, : self.d])
            self._check(x, block, at)
            at += len(block)
            yield (x, *(np.ascontiguousarray(block[:, j]) for j in range(self.d, block.shape[1])))

    def _check(self, x: Array, block: Array, at: int) -> None:
        if np.isinf(x).any():
            i, j = np.argwhere(np.isinf(x))[0].tolist()
            title, row = placed(self.table, at + i + 1)
            raise ValueError(f"{title}: column {self.names[j]!r} holds infinity in row {row}; mend it or leave it empty")
        if self.weights is not None:
            weight = block[:, self.d]
            if (odd := np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))).size:
                title, row = placed(self.table, at + int(odd[0]) + 1)
                raise ValueError(
                    f"{title}: column {self.weights!r} holds the weight {weight[odd[0]]:g} in row {row}"
                    "; a weight is how often a row was seen, a number >= 0"
                )

    def chunks(self) -> Iterator[Chunk]:
        """The blocks of ``Memory``, read as they are asked for."""
        at, step = 0, self.rows or block_rows(self.d, self.n_rows)
        for x, *beside in self.pieces(step):
            here = slice(at, at + len(x))
            weight = beside.pop(0) if self.weights is not None else _part(self.held.weight, here)
            allowed = _allowed(beside[0]) if beside else _part(self.held.allowed, here)
            key = (("arrow", self.table.title), here.start, here.stop)
            yield Chunk(key, x, _part(self.held.given, here), weight, allowed)
            at = here.stop

    def each(self, fn: Callable[[Chunk], Any]) -> Iterator[tuple[Chunk, Any]]:
        """Every block and ``fn`` of it, in block order."""
        return in_order(self.chunks(), fn, threads_of(self.n_jobs))

    sum = summed
    map = mapped
    shared = shared
    blocks = in_blocks

    def shuffled(self, rng: np.random.Generator) -> Reread:
        """The same rows in an order drawn once, by a sort before every pass."""
        if any(part is not None for part in (self.held.weight, self.held.allowed, self.held.given)):
            raise ValueError(f"{self.table.title}: rows with weights or labels are shuffled on disk only; make room there")
        return dataclasses.replace(self, seed=int(rng.integers(np.iinfo(np.int32).max)))


@dataclasses.dataclass(frozen=True)
class Held:
    """What rows carry that is kept in memory while the rows are not."""

    weight: Array | None = None
    allowed: NDArray[Any] | None = None
    given: Any = None


@dataclasses.dataclass(frozen=True)
class Unkept:
    """The matrix of rows that are read again whenever they are asked for: its shape, and rows of it."""

    plane: Reread
    elsewhere = True
    ndim = 2
    dtype = np.dtype(np.float64)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.plane.n_rows, self.plane.d

    def __len__(self) -> int:
        return self.plane.n_rows

    def __getitem__(self, rows: Any) -> Array:
        """The rows of a slice, or of ascending numbers, by one pass over the source."""
        wanted = np.atleast_1d(np.arange(len(self))[rows])
        parts, at = [np.empty((0, self.plane.d))], 0
        for x, *_ in self.plane.pieces(PIECE_VALUES // max(self.plane.d, 1) + 1):
            inside = wanted[np.searchsorted(wanted, at) : np.searchsorted(wanted, at + len(x))]
            parts.append(x[inside - at])
            at += len(x)
            if not wanted.size or at > wanted[-1]:
                break
        return np.concatenate(parts)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.asarray(self[:], dtype=dtype)

    def carrying(self, weight: Array | None, allowed: NDArray[Any] | None, given: Any, n_jobs: int | None) -> Reread:
        """The rows as a data plane, with what they carry."""
        return dataclasses.replace(self.plane, n_jobs=n_jobs, held=Held(weight, allowed, given))


def _part(array: Any, rows: slice) -> Any:
    return None if array is None else array[rows]


def _allowed(codes: Array | None) -> NDArray[np.intp] | None:
    return None if codes is None else np.where(np.isnan(codes), -1, codes).astype(np.intp)


def recut(parts: Iterator[Array], step: int) -> Iterator[Array]:
    """Matrices cut anew into blocks of ``step`` rows, the last one shorter.

    >>> [len(block) for block in recut(iter([np.zeros((3, 1)), np.zeros((4, 1))]), 2)]
    [2, 2, 2, 1]
    """
    held: list[Array] = []
    n = 0
    for part in parts:
        held.append(part)
        n += len(part)
        if n >= step:
            whole = held[0] if len(held) == 1 else np.concatenate(held)
            full = n - n % step
            yield from (whole[at : at + step] for at in range(0, full, step))
            held, n = [whole[full:]], n - full
    if n:
        yield np.concatenate(held)
