"""Incremental EM: an M-step after every block of rows, with the other blocks' statistics as they were last counted.

    scan     for each block b:  s_b = E-step(block b, theta),   theta = M-step(sum of all s)
    first    one whole pass at the start and one M-step, so that no component dies for want of rows
    F        q(theta, sum of s_b) + sum of entropies: each half of every step raises it; at the end F = log-likelihood

Blocks: about n^(2/5) of them, a factor of n where one is near, or as many as asked for. One block is plain EM.

Sources: Neal & Hinton (1998), in Learning in Graphical Models, 355; Ng & McLachlan (2003), Statistics and Computing 13:45,
for the number of blocks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np

from estep.core.protocols import Assign
from estep.engine.blend import Kept, Records, Tree, refuse_local, refuse_own_sums
from estep.engine.visit import Swept, expected_of

POWER = 0.4


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Blocks in row order, each followed by an M-step; ``count`` None is the n^(2/5) rule. Goes with blend ``Remember``.

    >>> Blocks(16).label, Blocks().label
    ('blocks (16)', 'blocks (n^(2/5))')
    """

    count: int | None = None
    exact: Final[bool] = True
    certificate: Final[str] = "bound"
    needs: ClassVar[Mapping[str, tuple[str, str]]] = {
        "q": ("the complete-data log-likelihood, by which the free energy is known", "algorithm='em'")
    }
    climbs: ClassVar[str] = "free energy, a lower bound of the log-likelihood that meets it at the end"

    def __post_init__(self) -> None:
        if self.count is not None and (not isinstance(self.count, int | np.integer) or self.count < 1):
            raise ValueError(f"count={self.count!r}: the number of blocks is a whole number >= 1, or None for about n^(2/5)")

    @property
    def name(self) -> str:
        """The axis value: one block is the whole."""
        return "whole" if self.count == 1 else "blocks"

    @property
    def label(self) -> str:
        """The name with the number of blocks."""
        return self.name if self.count == 1 else f"blocks ({'n^(2/5)' if self.count is None else self.count})"

    @property
    def words(self) -> str:
        """The axis in words."""
        if self.count == 1:
            return "every row in every pass"
        return "block after block of rows, each followed by an M-step"

    def sweep(self, model: Any, data: Any, state: Any, variant: Any, assign: Assign) -> Swept:
        """One scan: every block once; the first is a whole pass with one M-step."""
        params, tree, visit = state.params, None, None
        for params, tree, visit in self.steps(model, data, state, variant, assign):  # noqa: B007
            pass
        if tree is None or visit is None:
            raise ValueError("the data have no rows")
        root = tree.root
        return Swept(params, root.stats, free_energy(model, params, root), float(root.n), Records(tree.saved(), visit.saved()))

    def steps(self, model: Any, data: Any, state: Any, variant: Any, assign: Assign) -> Iterator[tuple[Any, Tree, Any]]:
        """The parameters and records after every block of a scan (after the whole of the first)."""
        memory = _records(state.blend, variant)
        opened = getattr(assign, "opened", None)
        visit = opened(memory.more, len(state.trace), variant.name) if opened else Plain(assign, variant.name)
        parts = data.blocks(self.count or block_count(data.n_rows))
        if not memory.nodes:
            whole = Tree.of(model, [visit.kept(model, state.params, part, b) for b, part in enumerate(parts)])
            yield variant.update(model, data, whole.root.stats, state.params), whole, visit
            return
        params, tree = state.params, None
        for b, part in enumerate(parts):
            kept = visit.kept(model, params, part, b)
            tree = tree or Tree.recalled(model, memory.nodes, kept)
            tree.put(b, kept)
            params = variant.update(model, data, tree.root.stats, params)
            yield params, tree, visit


@dataclasses.dataclass(frozen=True)
class Plain:
    """A visit of a block that keeps nothing but its record."""

    assign: Assign
    who: str

    def kept(self, model: Any, params: Any, part: Any, b: int) -> Kept:
        """The record of block ``b`` at ``params``."""
        seen = part.sum(partial(expected_of, model, params, self.assign))
        refuse_local(model, seen.stats, self.who)
        refuse_own_sums(model, seen.stats, self.who)
        return Kept(seen.stats, entropy(model, params, seen.objective, seen.stats), np.float64(seen.n))

    def saved(self) -> dict[str, Any]:
        """What the next scan is to know: nothing."""
        return {}


def entropy(model: Any, params: Any, objective: float, stats: Any) -> np.float64:
    """What the hidden data's law adds to q, in nats: ``objective - q(params, stats)`` at the parameters of the E-step."""
    return np.float64(objective - model.q(params, stats))


def free_energy(model: Any, params: Any, root: Kept) -> float:
    """F = q(params, all statistics) + all entropies, in nats; without the prior."""
    return float(model.q(params, root.stats) + root.entropy)


def block_count(n: int) -> int:
    """The factor of n nearest n^(2/5) if one is within a factor of 2 of it, else n^(2/5) rounded.

    >>> block_count(4096), block_count(65536), block_count(1000003)
    (32, 64, 251)
    """
    ideal = n**POWER
    near = [b for b in range(max(int(ideal / 2), 1), int(2 * ideal) + 2) if n % b == 0 and ideal / 2 <= b <= 2 * ideal]
    return min(near, key=lambda b: abs(b - ideal)) if near else max(round(ideal), 1)


def _records(memory: Any, variant: Any) -> Records:
    if isinstance(memory, Records):
        return memory
    raise TypeError(f"visit {variant.visit.label} keeps a record a block; give it blend=Remember(), not {variant.blend.name!r}")
