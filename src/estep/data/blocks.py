"""Rows in blocks: some consecutive rows (or sequences) of a data plane, as a plane of their own.

    n rows in B blocks     block b holds rows  round(b n / B) .. round((b + 1) n / B)     (a sequence goes where it ends)

Chunks of the plane are cut and joined to fit, so a block is summed by all threads where it holds several of them. Where the
plane keeps its chunks, the blocks are kept as well, with the encodings of their rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.core.protocols import Chunk
from estep.core.rows import take


@dataclasses.dataclass(frozen=True)
class Block:
    """Consecutive rows of a data plane; ``share(chunks, fn)`` works on several chunks at once, in their order."""

    pieces: tuple[Chunk, ...]
    share: Callable[[Any, Callable[[Chunk], Any]], Iterator[tuple[Chunk, Any]]]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return sum(len(piece) for piece in self.pieces)

    def chunks(self) -> Iterator[Chunk]:
        """The chunks, in row order."""
        return iter(self.pieces)

    def each(self, fn: Callable[[Chunk], Any]) -> Iterator[tuple[Chunk, Any]]:
        """Every chunk and ``fn`` of it, in row order."""
        return self.share(self.pieces, fn)

    def sum(self, fn: Callable[[Chunk], Any]) -> Any:
        """``fn`` of every chunk, added in row order."""
        total: Any = None
        for _, part in self.each(fn):
            total = part if total is None else total + part
        return total

    def map(self, fn: Callable[[Chunk], Any], sink: Callable[[Chunk, Any], None]) -> None:
        """``fn`` of every chunk, handed to ``sink`` in row order."""
        for chunk, part in self.each(fn):
            sink(chunk, part)


def in_blocks(self: Any, count: int) -> Iterator[Block]:
    """The rows in ``count`` blocks of nearly equal size, in row order; fewer where there are fewer rows or sequences."""
    if not isinstance(count, int | np.integer) or count < 1:
        raise ValueError(f"blocks: count must be a whole number >= 1, got {count!r}")
    plane = getattr(self, "plane", self)
    if not hasattr(plane, "_cut"):
        return _blocks(plane, int(count))
    kept: list[Block] = remembered(plane, ("blocks", int(count)), lambda: list(_blocks(plane, int(count))))
    return iter(kept)


def _blocks(plane: Any, count: int) -> Iterator[Block]:
    """Blocks, as the chunks come."""
    limits, share = _limits(plane.n_rows, count), getattr(plane, "shared", _in_turn)
    held: list[Chunk] = []
    for chunk in plane.chunks():
        at = 0
        for end in _ends_of(chunk, limits):
            held.append(part_of(chunk, at, end))
            at = end
            if held[-1].key[2] >= limits[0]:
                yield Block(tuple(held), share)
                limits, held = limits[limits > held[-1].key[2]], []
        if at < len(chunk):
            held.append(part_of(chunk, at, len(chunk)))
    if held:
        yield Block(tuple(held), share)


def _in_turn(chunks: Any, fn: Callable[[Chunk], Any]) -> Iterator[tuple[Chunk, Any]]:
    """One chunk after the other."""
    return ((chunk, fn(chunk)) for chunk in chunks)


def _limits(n: int, count: int) -> NDArray[np.intp]:
    """End rows of the blocks.

    >>> _limits(10, 4).tolist(), _limits(2, 4).tolist()
    ([3, 5, 8, 10], [1, 2])
    """
    count = max(min(count, n), 1)
    return np.unique((2 * np.arange(1, count + 1) * n + count) // (2 * count)).astype(np.intp)


def _ends_of(chunk: Chunk, limits: NDArray[np.intp]) -> list[int]:
    """Rows of the chunk after which a block ends: at a limit, or with the sequence that reaches it."""
    first, last = int(chunk.key[1]), int(chunk.key[2])
    if chunk.ends is None:
        inside = limits[(limits > first) & (limits <= last)] - first
        return [int(end) for end in inside]
    reached = np.searchsorted(limits, chunk.ends + first, side="right")
    before = np.searchsorted(limits, first, side="right")
    return [int(end) for end, now, past in zip(chunk.ends, reached, [before, *reached[:-1]], strict=True) if now > past]


def part_of(chunk: Chunk, start: int, end: int) -> Chunk:
    """The rows ``start .. end`` of a chunk; in sequences both are ends of these.

    >>> part_of(Chunk(("here", 10, 14), np.arange(4)), 1, 3).key
    ('here', 11, 13)
    """
    if (start, end) == (0, len(chunk)):
        return chunk
    rows, first = slice(start, end), int(chunk.key[1])
    return Chunk(
        key=(chunk.key[0], first + start, first + end),
        x=take(chunk.x, rows),
        given=None if chunk.given is None else take(chunk.given, rows),
        weight=None if chunk.weight is None else chunk.weight[rows],
        allowed=None if chunk.allowed is None else chunk.allowed[rows],
        ends=None if chunk.ends is None else chunk.ends[(chunk.ends > start) & (chunk.ends <= end)] - start,
        keep=chunk.keep,
    )
