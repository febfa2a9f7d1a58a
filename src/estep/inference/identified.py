"""Which directions of the parameters the data identify, and the covariance of those they do.

    B' I_complete B = 1,   U' (B' I B) U = diag(lambda)        directions v = B u, each a unit of complete information

lambda, the share of the information that is observed, lies in [0, 1] at a maximum; 1 - lambda are the eigenvalues of EM's rate
matrix. The covariance is sum v v' / lambda over the directions that are identified:

    |lambda| at rounding level     the likelihood is flat along v: what moves with it is not identified
    lambda below that              it rises along v: the point is no maximum
    no complete information        nothing in the data bears on v

Rounding level is the largest of 1e-7, ten times the asymmetry of I, and the score's size sqrt(s' I_complete^-1 s / n) (at most
1e-3), the accuracy with which a point that far from the maximum shows the curvature there.

Source: Meng & Rubin (1991), J. Amer. Statist. Assoc. 86:899 (I_complete^-1 I); Rothenberg (1971), Econometrica 39:577.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from estep.core.record import Array

LEVEL = 1e-7
AWAY = 1e-3
EMPTY = 1e-12
MOVES = 1e-3
"""A parameter moves along a direction if this share of its complete-data standard error lies in it."""


@dataclasses.dataclass(frozen=True)
class Directions:
    """Directions in free coordinates, one a column.

    ``inverse`` (p, p) is the inverse of the information over the identified ones, ``flat``, ``rising`` and ``empty`` are the
    others; ``shares`` the lambdas in increasing order; ``spread`` (p,) one over the root of complete information.
    """

    inverse: Array
    known: Array
    flat: Array
    rising: Array
    empty: Array
    shares: Array
    spread: Array

    def lost(self, slopes: Array) -> tuple[Array, Array]:
        """For rows of ``slopes`` (m, p): whether they move along a flat or empty direction, and along a rising one."""
        whole = np.sqrt(sum(((slopes @ part) ** 2).sum(axis=1) for part in (self.known, self.flat, self.rising, self.empty)))
        flat = np.sqrt(((slopes @ self.flat) ** 2).sum(axis=1) + ((slopes @ self.empty) ** 2).sum(axis=1))
        rising = np.sqrt(((slopes @ self.rising) ** 2).sum(axis=1))
        return flat > MOVES * whole, rising > MOVES * whole


def directions(observed: Array, complete: Array, score: Array, n: float, asymmetry: float) -> Directions:
    """The directions of an observed information beside the complete one."""
    p = len(complete)
    diagonal = np.diagonal(complete)
    told = diagonal > 0
    spread = np.where(told, 1.0 / np.sqrt(np.where(told, diagonal, 1.0)), 1.0)
    scaled = np.where(np.outer(told, told), complete * np.outer(spread, spread), 0.0)
    size, axes = np.linalg.eigh(scaled)
    kept = size > EMPTY * max(1.0, float(size.max(initial=0.0)))
    basis = spread[:, None] * axes[:, kept] / np.sqrt(size[kept])
    inner = basis.T @ observed @ basis
    shares, turns = np.linalg.eigh((inner + inner.T) / 2)
    away = float(np.sqrt(((basis.T @ score) ** 2).sum() / max(n, 1.0)))
    level = max(LEVEL, 10.0 * asymmetry, min(away, AWAY))
    ways = basis @ turns
    known, rising = shares > level, shares < -level
    inverse = (ways[:, known] / shares[known]) @ ways[:, known].T
    return Directions(
        inverse.reshape(p, p),
        ways[:, known],
        ways[:, ~known & ~rising],
        ways[:, rising],
        spread[:, None] * axes[:, ~kept],
        shares,
        spread,
    )
