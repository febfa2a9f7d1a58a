"""Alignments read into states of a profile, and paths of a profile written as an aligned block."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.letters import GAPS
from estep.core.record import Array
from estep.data.fasta import SequenceRecord
from estep.estimators.letters import Texts, read_sequence_weight, read_texts, records_of
from estep.views.block import AlignedBlock, in_columns


@dataclasses.dataclass(frozen=True)
class Aligned:
    """An alignment as a profile reads it: sequences without gaps, and the emitting state of every letter (n,)."""

    texts: Texts
    states: NDArray[np.int64]
    weight: Array | None
    length: int
    match: NDArray[np.bool_]


def read_aligned(X: Any, alphabet: Any, sample_weight: Any = None) -> Aligned:
    """The alignment ``X``; columns with gaps in less than half of the (weighted) sequences are nodes.

    Raises
    ------
    ValueError
        Where rows differ in length, a row is all gaps, or no column is a node.
    """
    names, rows = _rows(X)
    lengths = [len(row) for row in rows]
    if len(set(lengths)) > 1:
        odd = next(j for j, size in enumerate(lengths) if size != lengths[0])
        raise ValueError(
            f"rows of an alignment are equally long, but {names[0]} has {lengths[0]} columns and {names[odd]} {lengths[odd]}; "
            "fit reads sequences that are not aligned"
        )
    weight = read_sequence_weight(sample_weight, len(rows))
    kept = np.ones(len(rows), dtype=bool) if weight is None else weight > 0
    names, rows = ([each for each, stays in zip(part, kept, strict=True) if stays] for part in (names, rows))
    weight = None if weight is None else weight[kept]
    gaps = np.array([[c in GAPS for c in row] for row in rows], dtype=bool)
    if gaps.all(axis=1).any():
        raise ValueError(f"{names[int(np.flatnonzero(gaps.all(axis=1))[0])]} is all gaps; leave it out")
    share = np.average(gaps, axis=0, weights=weight)
    match = share < 0.5
    if not match.any():
        raise ValueError("every column has gaps in half of the rows or more, so there is no node; is this an alignment?")
    texts = read_texts(
        {n: "".join(c for c in row if c not in GAPS) for n, row in zip(_apart(names), rows, strict=True)}, alphabet
    )
    node = np.cumsum(match)
    state = np.where(match, 2 * node - 1, 2 * node)
    states = np.concatenate([state[~row] for row in gaps]).astype(np.int64)
    return Aligned(texts, states, weight, int(match.sum()), match)


def _rows(X: Any) -> tuple[list[str], list[str]]:
    if isinstance(X, AlignedBlock):
        return list(X.names), list(X.rows)
    if isinstance(X, str | Path):
        X = records_of(X)
    if isinstance(X, dict):
        return [str(name) for name in X], [str(row) for row in X.values()]
    found = list(X)
    if not found:
        raise ValueError("X holds no row; give an alignment of at least one")
    if all(isinstance(each, SequenceRecord) for each in found):
        return [each.name for each in found], [each.sequence for each in found]
    if not all(isinstance(each, str) for each in found):
        raise TypeError("an alignment is a list of strings with gaps, or the path of a file")
    return [f"sequence {j}" for j in range(len(found))], found


def _apart(names: Sequence[str]) -> list[str]:
    """Names, numbered where they come twice."""
    return list(names) if len(set(names)) == len(names) else [f"{name} ({j})" for j, name in enumerate(names)]


def block_of(texts: Texts, paths: Sequence[Sequence[tuple[int, str]]], length: int) -> AlignedBlock:
    """Sequences and their paths (node, "M", "I" or "D") as an aligned block."""
    parts = []
    for j, path in enumerate(paths):
        letters = [texts.alphabet.decode([c]) for c in texts.part(j).tolist()]
        pieces, at = [""] * (2 * length + 1), 0
        for node, kind in path:
            if kind == "D":
                pieces[2 * node - 1] = "-"
                continue
            where = 2 * node - 1 if kind == "M" else 2 * node
            pieces[where] += letters[at].upper() if kind == "M" else letters[at].lower()
            at += 1
        parts.append(pieces)
    widths = [max(len(row[i]) for row in parts) for i in range(2 * length + 1)]
    match = np.repeat(np.arange(2 * length + 1) % 2 == 1, widths)
    return AlignedBlock(texts.names, tuple(in_columns(parts, left=0)), match)
