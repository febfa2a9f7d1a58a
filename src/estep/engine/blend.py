"""How the statistics of this pass join those of earlier ones.

    replace     this pass's statistics alone
    remember    one record a block, in a binary tree of sums:  node = left + right,  root = the statistics of all rows

When a block is visited again its record is replaced and the sums above it are added anew (log2 B additions), so that nothing
is ever subtracted and no error piles up: after any number of scans the root is, to the rounding of one sum, the sum of the
records. A record whose anchor is older than its neighbour's is brought to that anchor for the sum (``model.align``), and is
itself left as it was counted.

The free energy of the records is F = q(params, sum of statistics) + sum of entropies, entropy = objective - q(params, stats)
at the parameters of the visit. Memory: 2B - 1 records, each the size of the model's statistics.

Source: Neal & Hinton (1998), in Learning in Graphical Models, 355.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, identical, is_record, leaves, rebuild, record, shared_fields


@dataclasses.dataclass(frozen=True)
class Replace:
    """This pass's statistics alone."""

    name: Final[str] = "replace"

    def begin(self) -> Any:
        """The memory before the first pass: none."""
        return ()

    def join(self, memory: Any, stats: Any, model: Any = None) -> tuple[Any, Any]:
        """New memory and the statistics to maximise; ``model`` brings old statistics to a new anchor."""
        return memory, stats


@record
class Kept:
    """What is kept of a block: its statistics, the entropy of its hidden data (nats) and its weight."""

    stats: Any
    entropy: Any
    n: Any


@record
class Records:
    """Records as they are saved.

    ``nodes``: ``sums`` (2B - 1, numbers in a record), ``which`` (2B - 1,) the anchor of each, and the anchors, one row each;
    ``more``: what else a visit keeps.
    """

    nodes: dict[str, Any]
    more: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Remember:
    """One record a block, kept from visit to visit."""

    name: Final[str] = "remember"
    words: ClassVar[str] = "the newest statistics of every block, added in a tree"
    no_leap: ClassVar[str] = "its M-steps answer to records, and not to the point they start from"

    def begin(self) -> Records:
        """The memory before the first pass: no records."""
        return Records({}, {})

    def recall(self, arrays: Mapping[str, Any]) -> Records:
        """A memory with the leaves of a saved one, by which it can be rebuilt."""
        nodes, more = ({n.removeprefix(p): a for n, a in arrays.items() if n.startswith(p)} for p in ("nodes.", "more."))
        return Records(nodes, more)


class Form:
    """How records of one kind are laid out: numbers that add, in one row, and shared fields apart."""

    def __init__(self, like: Any) -> None:
        self.like = like
        shared = [name for name, _ in shared_fields(like)]
        self.sizes = [(n, np.shape(v), np.size(v)) for n, v in leaves(like) if not _within(n, shared)]
        self.anchored = [n for n, _ in leaves(like) if _within(n, shared)]

    def packed(self, value: Any) -> Array:
        """The numbers that add, in a row."""
        held = dict(leaves(value))
        return np.concatenate([np.ravel(held[name]) for name, _, _ in self.sizes], dtype=float)

    def anchor(self, value: Any) -> dict[str, Array]:
        """The shared fields."""
        if not self.anchored:
            return {}
        held = dict(leaves(value))
        return {name: np.asarray(held[name]) for name in self.anchored}

    def unpacked(self, row: Array, anchor: Mapping[str, Array]) -> Any:
        """The record of a row and its shared fields."""
        held, at = dict(anchor), 0
        for name, shape, size in self.sizes:
            held[name] = row[at : at + size].reshape(shape) if shape else row[at]
            at += size
        return rebuild(self.like, held)


class Tree:
    """Records of B blocks and their sums; node i has the children 2i + 1 and 2i + 2, block b is node B - 1 + b."""

    def __init__(
        self, model: Any, form: Form, sums: Array, which: NDArray[np.intp], anchors: Sequence[Mapping[str, Array]]
    ) -> None:
        self.model, self.form = model, form
        self.sums, self.which, self.anchors = sums, which, list(anchors)

    @classmethod
    def of(cls, model: Any, blocks: Sequence[Kept]) -> Tree:
        """The tree over the records of all blocks, counted at the same parameters."""
        form, inner = Form(blocks[0]), len(blocks) - 1
        rows = np.stack([form.packed(kept) for kept in blocks])
        sums = np.concatenate([np.zeros((inner, rows.shape[1])), rows])
        tree = cls(model, form, sums, np.zeros(len(sums), dtype=np.intp), [form.anchor(blocks[0])])
        for b, kept in enumerate(blocks):
            tree.which[inner + b] = tree._placed(form.anchor(kept))
        for i in reversed(range(inner)):
            tree._add(i, 2 * i + 2)
        return tree

    @classmethod
    def recalled(cls, model: Any, nodes: Mapping[str, Any], like: Kept) -> Tree:
        """The tree that ``saved`` wrote, of records like ``like``."""
        form, which = Form(like), nodes["which"].copy()
        anchors = [{name: nodes[name][i] for name in form.anchored} for i in range(int(which.max()) + 1)]
        return cls(model, form, nodes["sums"].copy(), which, anchors)

    def saved(self) -> dict[str, Any]:
        """The tree as arrays."""
        used, which = np.unique(self.which, return_inverse=True)
        anchors = {name: np.stack([self.anchors[i][name] for i in used]) for name in self.form.anchored}
        return {"sums": self.sums, "which": which.reshape(self.which.shape).astype(np.intp)} | anchors

    @property
    def root(self) -> Kept:
        """The sum of all records."""
        return self._record(0)

    def put(self, block: int, kept: Kept) -> None:
        """Replace the record of a block, and add anew the sums that hold it."""
        at = len(self.sums) // 2 + block
        self.sums[at], self.which[at] = self.form.packed(kept), self._placed(self.form.anchor(kept))
        while at:
            self._add((at - 1) // 2, at)
            at = (at - 1) // 2

    def _add(self, i: int, newer: int) -> None:
        """Node ``i``: the sum of its children, about the anchor of the newer one."""
        older = 4 * i + 3 - newer
        left = self.sums[older]
        if self.which[older] != self.which[newer]:
            left = self.form.packed(moved(self.model, self._record(older), self._record(newer)))
        self.sums[i], self.which[i] = left + self.sums[newer], self.which[newer]

    def _record(self, i: int) -> Kept:
        found: Kept = self.form.unpacked(self.sums[i], self.anchors[self.which[i]])
        return found

    def _placed(self, anchor: Mapping[str, Array]) -> int:
        """The number of an anchor: the last one's, where they are equal."""
        if not all(np.array_equal(anchor[name], self.anchors[-1][name]) for name in anchor):
            self.anchors.append(anchor)
        return len(self.anchors) - 1


def _within(name: str, parts: Sequence[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def added(model: Any, older: Kept, newer: Kept) -> Kept:
    """The sum of two records, about the anchor of the newer one."""
    left: Any = moved(model, older, newer)
    total: Kept = left + newer
    return total


def moved(model: Any, kept: Kept, like: Kept) -> Kept:
    """A record about the anchor of ``like``."""
    return Kept(brought(model, kept.stats, like.stats), kept.entropy, kept.n)


def brought(model: Any, stats: Any, like: Any) -> Any:
    """Statistics about the anchor of ``like``; as they are where the two agree."""
    here, there = list(shared_fields(stats)), list(shared_fields(like))
    if all(a is b or identical(a, b) for (_, a), (_, b) in zip(here, there, strict=True)):
        return stats
    align = getattr(model, "align", None)
    if align is None:
        raise TypeError(
            f"{type(model).__name__} counts its statistics about {here[0][0]}, which has moved, and has no align(stats, like) "
            "to bring old ones to it; use algorithm='em'"
        )
    return align(stats, like)


def stacked(records: list[Any]) -> dict[str, Array]:
    """The leaves of records of one kind, a row for each."""
    columns = [list(leaves(r)) for r in records]
    return {name: np.stack([np.asarray(c[j][1]) for c in columns]) for j, (name, _) in enumerate(columns[0])}


def unstacked(arrays: Mapping[str, Array], like: Any) -> list[Any]:
    """The records of ``stacked``, in the structure of ``like``."""
    size = len(next(iter(arrays.values())))
    return [rebuild(like, {name: array[i] for name, array in arrays.items()}) for i in range(size)]


def refuse_local(model: Any, stats: Any, who: str) -> None:
    """Raise TypeError where statistics are local: counted at the current parameters, and added only to others of the same."""
    if part := local_part(model, stats):
        raise TypeError(
            f"algorithm={who!r} adds statistics of different passes, but those of {part} hold only at the parameters where "
            "they were counted (it has no sufficient statistics); use algorithm='em', with accelerate='auto' where it is slow"
        )


def refuse_own_sums(model: Any, stats: Any, who: str) -> None:
    """Raise TypeError where a part of the statistics adds by a rule of its own: records of blocks are added as numbers."""
    if odd := _own_sum(stats):
        raise TypeError(
            f"algorithm={who!r} adds records of blocks number by number, but {odd} of {type(model).__name__} adds by a rule of "
            "its own (values or rows that differ from block to block); use algorithm='em'"
        )


def _own_sum(value: Any) -> str:
    """The name of the first class within ``value`` that is not added field by field, or an empty text."""
    if value is None or isinstance(value, np.ndarray | np.number | float | int):
        return ""
    if isinstance(value, dict | tuple):
        parts = list(value.values() if isinstance(value, dict) else value)
    elif is_record(value) and type(value).__dict__.get("__add__") is Kept.__dict__["__add__"]:
        parts = [getattr(value, f.name) for f in dataclasses.fields(value)]
    else:
        return type(value).__name__
    return next((found for part in parts if (found := _own_sum(part))), "")


def local_part(model: Any, stats: Any) -> str:
    """The part of the model whose statistics are local, or an empty text."""
    for name, _ in shared_fields(stats):
        if name.rpartition(".")[2] == "at":
            return type(getattr(model, name.partition(".")[0], model)).__name__
    return ""
