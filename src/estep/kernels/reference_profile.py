"""Profile hidden Markov models from their definition: every path written out. What ``profile.py`` is held to.

A path is a tuple of (node, kind), kinds 0 match, 1 insert, 2 delete, from the beginning (node 0, match) to the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from estep.core.record import Array

Path = tuple[tuple[int, int], ...]


def profile_paths(letters: int, length: int, node: int = 0) -> list[Path]:
    """Every path that emits ``letters`` letters and goes through all nodes.

    >>> len(profile_paths(1, 1)), profile_paths(0, 1)
    (3, [((1, 2),)])
    """
    found: list[Path] = [()] if letters == 0 and node == length else []
    if letters > 0:
        found += [((node, 1), *rest) for rest in profile_paths(letters - 1, length, node)]
    if node < length:
        if letters > 0:
            found += [((node + 1, 0), *rest) for rest in profile_paths(letters - 1, length, node + 1)]
        found += [((node + 1, 2), *rest) for rest in profile_paths(letters, length, node + 1)]
    return found


def profile_joint(codes: Sequence[int], path: Path, match: Array, insert: Array, moves: Array) -> float:
    """p(x, path) from probabilities; -1 is an unknown letter."""
    value, at, (node, kind) = 1.0, 0, (0, 0)
    for to_node, to_kind in path:
        value *= moves[node, kind, to_kind]
        if to_kind < 2:
            emits = match[to_node - 1] if to_kind == 0 else insert[to_node]
            value *= emits[codes[at]] if codes[at] >= 0 else 1.0
            at += 1
        node, kind = to_node, to_kind
    return float(value * moves[node, kind, 0])


def profile_reference(
    codes: Sequence[int], match: Array, insert: Array, moves: Array
) -> tuple[float, Array, Array, tuple[Path, float]]:
    """Log-likelihood, expected moves (L + 1, 3, 3), expected letters (2, L + 1, m), and the best path with its log p."""
    paths = profile_paths(len(codes), len(match))
    joint = np.array([profile_joint(codes, path, match, insert, moves) for path in paths])
    pairs, emits = np.zeros(moves.shape), np.zeros((2, len(match) + 1, match.shape[1]))
    for path, share in zip(paths, joint / joint.sum(), strict=True):
        at, (node, kind) = 0, (0, 0)
        for to_node, to_kind in path:
            pairs[node, kind, to_kind] += share
            if to_kind < 2:
                if codes[at] >= 0:
                    emits[to_kind, to_node, codes[at]] += share
                at += 1
            node, kind = to_node, to_kind
        pairs[node, kind, 0] += share
    best = int(joint.argmax())
    return float(np.log(joint.sum())), pairs, emits, (paths[best], float(np.log(joint[best])))
