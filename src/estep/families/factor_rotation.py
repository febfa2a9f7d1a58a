"""The turns of the factors: which loadings nothing identifies, and the turn in which loadings are shown.

L L' = (L T)(L T)' for every orthogonal T, so q (q - 1) / 2 numbers of L are free to turn; entries that are fixed or tied may
hold them. The canonical turn makes L' Psi^-1 L diagonal and decreasing, each column's largest loading positive.

Source: Lawley & Maxwell (1971), Factor Analysis as a Statistical Method, section 2.3.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from estep.core.record import Array
from estep.core.support import Constraints
from estep.families.factor_stats import FactorParams


def redundant(constraints: Constraints, k: int, d: int, q: int) -> int:
    """Dimension of the turns that the constraints on the loadings leave: k q (q - 1) / 2 where there are none.

    >>> redundant(Constraints(), 2, 4, 3)
    6
    """
    pairs = list(itertools.combinations(range(q), 2))
    if not pairs or not ("loadings" in constraints.fixed or "loadings" in constraints.tied):
        return k * len(pairs)
    pattern = constraints.pattern("loadings", (k, d, q))
    rng = np.random.default_rng(0)
    loadings = pattern.spread(rng.standard_normal(pattern.count))
    moves = []
    for c, (i, j) in itertools.product(range(k), pairs):
        move = np.zeros((k, d, q))
        move[c, :, i], move[c, :, j] = loadings[c, :, j], -loadings[c, :, i]
        obeyed = pattern.spread(pattern.pick(move))
        obeyed[pattern.groups < 0] = 0.0
        moves.append((move - obeyed).ravel())
    return k * len(pairs) - int(np.linalg.matrix_rank(np.array(moves)))


def canonical(params: FactorParams) -> FactorParams:
    """The same law with the factors in their canonical turn.

    >>> turned = canonical(FactorParams(np.zeros((1, 2)), np.array([[[0.0, -2.0], [1.0, 0.0]]]), np.ones((1, 2))))
    >>> np.abs(turned.loadings[0]).round(6).tolist()
    [[2.0, 0.0], [0.0, 1.0]]
    """
    turned = [_turned(loadings, noise) for loadings, noise in zip(params.loadings, params.uniquenesses, strict=True)]
    return dataclasses.replace(params, loadings=np.array(turned))


def _turned(loadings: Array, noise: Array) -> Array:
    turn = np.linalg.svd(loadings / np.sqrt(noise)[:, None], full_matrices=False)[2].T
    out = loadings @ turn
    signs = np.sign(out[np.argmax(np.abs(out), axis=0), np.arange(out.shape[1])])
    return np.asarray(out * np.where(signs == 0, 1.0, signs))
