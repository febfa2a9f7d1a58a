"""Weighted points that stand for the rows of the data in a pass, what they miss, and what a run remembers of them.

What they miss at the parameters where they were chosen is S - S~, the statistics of the rows less their own.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from estep.core.protocols import Assign, Chunk, Expected
from estep.core.record import leaves, rebuild, record, shared_fields
from estep.engine.blend import brought
from estep.engine.visit import expected_of, total

POINTS, CORRECTED, ROWS, SETTLED_ROWS, ONLY_ROWS = range(5)
SPAN = 32
BLOCK = 8200


@record
class NodesMemory:
    """Where the points were chosen, how finely, and what the next pass reads (POINTS ... ONLY_ROWS).

    ``passes`` were made since, of ``span`` at most; ``fresh`` where the next is the first, whose gain means nothing. ``rate``
    is that of plain EM, remembered through leaps. ``left`` and ``height`` (nats) belong to the last pass over the rows,
    ``foreseen`` to the next.
    """

    at: Any
    rung: Any
    reads: Any
    passes: Any
    fresh: Any
    span: Any
    rate: Any
    left: Any
    height: Any
    foreseen: Any


class Points:
    """Chunks of weighted points, the bound on their error (nats per unit weight) and what they miss."""

    def __init__(self, chunks: list[Chunk], error: float) -> None:
        self.chunks, self.error = chunks, error
        self.rows: Expected | None = None  # the rows' own where they are chosen, if known
        self._missed: Expected | None = None

    def sum(self, model: Any, plane: Any, params: Any, assign: Assign) -> Expected:
        """Their expected statistics, by as many threads as the plane has."""
        whole: Any = None
        for _, part in getattr(plane, "shared", _in_turn)(self.chunks, partial(expected_of, model, params, assign)):
            whole = part if whole is None else whole + part
        return whole  # type: ignore[no-any-return]

    def missed(self, model: Any, plane: Any, at: Any, assign: Assign) -> Expected:
        """Statistics of the rows less their own at ``at``, and the constant that makes the corrected objective exact there."""
        if self._missed is None:
            rows, own = self.rows or total(model, plane, at, assign), self.sum(model, plane, at, assign)
            stats = less(rows.stats, brought(model, own.stats, rows.stats))
            constant = rows.objective - own.objective - model.q(at, stats)
            self._missed = Expected(stats, 0.0, constant, 0.0)
        return self._missed


def less(stats: Any, own: Any) -> Any:
    """``stats`` minus ``own``, in all but their shared fields: imagined data, some of it negative."""
    same = {name for name, _ in shared_fields(stats)}
    mine = dict(leaves(own))
    return rebuild(stats, {name: leaf if name in same else leaf - mine[name] for name, leaf in leaves(stats)})


def memory_of(at: Any, rung: int, reads: int) -> NodesMemory:
    """A memory that has seen nothing."""
    none, inf, few = np.int64(0), np.float64(np.inf), np.int64(SPAN)
    return NodesMemory(at, np.int64(rung), np.int64(reads), none, np.True_, few, np.float64(0.0), inf, -inf, -inf)


def in_chunks(points: Any) -> list[Chunk]:
    """Points in blocks, boundaries by their number alone."""
    found = []
    for start in range(0, len(points.x), BLOCK):
        rows = slice(start, min(start + BLOCK, len(points.x)))
        allowed = None if points.allowed is None else points.allowed[rows]
        found.append(Chunk(("kd-tree", rows.start, rows.stop), points.x[rows], None, points.weight[rows], allowed, keep=True))
    return found


def _in_turn(chunks: Any, fn: Any) -> Any:
    return ((chunk, fn(chunk)) for chunk in chunks)
