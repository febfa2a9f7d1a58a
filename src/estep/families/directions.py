"""Where mean directions may live, and the M-step that every directional law shares.

    q = sum_i [ kappa_i (mu_i' s_i - n_i) - n_i M(kappa_i) ]      n_i weight, s_i sum of the i-th's unit vectors

    mu    of a free value: the direction of sum kappa_i s_i over the means that share it
    kappa of a free value: A(kappa) = sum mu_i's_i / sum n_i over the concentrations that share it, at least 0

Means that are not tied do not depend on the concentrations, so that one round is exact; with ties the two alternate, each
raising q, until they rest.

``UnitRows`` holds unit vectors. Coordinates of mu in the chart of b are those of the tangent at b that leads to mu, in the
basis that the reflection H = I - 2 v v' (H e_1 = b) makes of e_2, ..., e_d:

    mu = cos |t| b + sin |t| / |t| H (0, t)

symbol   variable   shape
n        count      (m,)
s        total      (m, p)
mu       means      (m, p)
kappa    kappa      (m,)

Source: Mardia & Jupp (2000), Directional Statistics, sections 5.3 and 10.3; Banerjee et al. (2005), JMLR 6:1345.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.support import Constraints, Pattern
from estep.families.concentration import concentration_of, mean_length

RESTED, ROUNDS = 1e-13, 500
SHRUNK, NEAR, LARGEST = 1e-10, 1e-6, 1e10
"""1 - A relative to the pooled one, below which a component has collapsed or nearly so; the largest concentration that unit
vectors in double precision can tell."""


def maximise(count: Array, total: Array, means: Array, kappa: Array, shared: Pattern, alike: Pattern) -> tuple[Array, Array]:
    """Mean directions (m, p) and concentrations (m,) that maximise q, from the given ones.

    ``shared`` (m,) says which means share a value (-1: ``means`` holds the fixed one), ``alike`` the same of concentrations.
    """
    tied = shared.count < int((shared.groups >= 0).sum())
    for _ in range(ROUNDS if tied else 1):
        before = kappa
        means = _directions(total, means, kappa, shared)
        kappa = _concentrations(count, np.einsum("mp,mp->m", means, total), kappa, alike, total.shape[1])
        if np.abs(kappa - before).max(initial=0.0) <= RESTED * kappa.max(initial=0.0):
            break
    return means, kappa


def _directions(total: Array, means: Array, kappa: Array, shared: Pattern) -> Array:
    moving = shared.groups >= 0
    pull = np.zeros((shared.count, total.shape[1]))
    weight = np.where(kappa > 0, kappa, np.finfo(float).eps * max(float(kappa.max(initial=0.0)), 1.0))
    np.add.at(pull, shared.groups[moving], (weight[:, None] * total)[moving])
    size = np.linalg.norm(pull, axis=1)
    out = means.copy()
    kept = means[shared.first] if shared.count else pull
    out[moving] = np.where(size > 0, pull.T / np.where(size > 0, size, 1.0), kept.T).T[shared.groups[moving]]
    return out


def _concentrations(count: Array, along: Array, kappa: Array, alike: Pattern, p: int) -> Array:
    if alike.count == 0:
        return alike.spread(np.empty(0))
    weight, sums, kept = alike.pool(count), alike.pool(along), alike.pick(kappa)
    safe = np.where(weight > 0, weight, 1.0)
    found = concentration_of(sums / safe, (weight - sums) / safe, p)
    return alike.spread(np.where(weight > 0, found, kept))


def shrunk(count: Array, kappa: Array, free: NDArray[np.bool_], p: int, bound: float, words: str) -> Collapsed | None:
    """The first free component (k,) whose spread 1 - A is below ``bound`` of the pooled one, or kappa beyond LARGEST."""
    less = mean_length(kappa, p)[1]
    pooled = float(count @ less) / max(float(count.sum()), np.finfo(float).tiny)
    gone = np.flatnonzero(free & (~(less >= bound * pooled) | ~(kappa <= LARGEST)))
    if not gone.size:
        return None
    return Collapsed(int(gone[0]), f"its {words} rose to {kappa[gone[0]]:.1e}: its directions agree almost exactly")


@dataclasses.dataclass(frozen=True)
class UnitRows:
    """Unit vectors (k, d), fixed or tied component by component: ``pattern`` has shape (k,), ``held`` the fixed vectors."""

    pattern: Pattern
    d: int
    held: Array

    @staticmethod
    def of(name: str, constraints: Constraints, k: int, d: int) -> UnitRows:
        """The support of parameter ``name`` under ``constraints``; raises ValueError on a vector fixed in part."""
        held = np.full((k, d), np.nan)
        if (given := constraints.fixed.get(name)) is not None:
            if np.shape(given) != (k, d):
                raise ValueError(f"fixed[{name!r}] has shape {np.shape(given)}, expected ({k}, {d})")
            held = np.asarray(given, dtype=float)
        missing = np.isnan(held)
        if (missing.any(axis=1) & ~missing.all(axis=1)).any():
            raise ValueError(f"fixed[{name!r}]: a direction is fixed as a whole or left free (a row of NaN); fix it or free it")
        _, number = np.unique(np.nan_to_num(held), axis=0, return_inverse=True)
        numbers = np.where(missing.all(axis=1), np.nan, number.ravel().astype(float))
        return UnitRows(Constraints({name: numbers}, constraints.tied).pattern(name, (k,)), d, held)

    @property
    def count(self) -> int:
        """Free coordinates: d - 1 for each free direction."""
        return self.pattern.count * (self.d - 1)

    def check(self, name: str, value: Array) -> None:
        """Raise ValueError unless every row has length one (to 1e-8)."""
        length = np.linalg.norm(value, axis=1)
        bad = ~(np.abs(length - 1.0) <= 1e-8)
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise ValueError(f"{name}[{at}] has length {length[at]:g}; a direction has length 1: divide it by its length")

    def settle(self, value: Array) -> Array:
        """``value`` with fixed rows, and those tied to them, at what they are fixed at."""
        out = value.copy()
        for i in np.flatnonzero(self.pattern.groups < 0):
            source = np.flatnonzero((self.pattern.values == self.pattern.values[i]) & ~np.isnan(self.held[:, 0]))
            out[i] = self.held[source[0]]
        return out

    def pack(self, value: Array, base: Array) -> Array:
        """Tangents at ``base`` that lead to ``value``."""
        v, b = value[self.pattern.first], base[self.pattern.first]
        along = np.einsum("gi,gi->g", v, b)
        across = v - along[:, None] * b
        size = np.linalg.norm(across, axis=1)
        stretch = np.where(size > 0, np.arctan2(size, along) / np.where(size > 0, size, 1.0), 1.0)
        return np.asarray((reflected(b, across) * stretch[:, None])[:, 1:].ravel())

    def unpack(self, vector: Array, base: Array) -> Array:
        """The directions to which tangents lead."""
        b = base[self.pattern.first]
        t = np.zeros_like(b)
        t[:, 1:] = vector.reshape(len(b), self.d - 1)
        size = np.linalg.norm(t, axis=1, keepdims=True)
        free = np.cos(size) * b + np.sinc(size / np.pi) * reflected(b, t)
        out, moving = self.settle(base), self.pattern.groups >= 0
        out[moving] = (free / np.linalg.norm(free, axis=1, keepdims=True))[self.pattern.groups[moving]]
        return out

    def pull(self, value: Array, gradient: Array) -> Array:
        """Gradient in the tangent's coordinates at ``value`` from df/dmu (k, d) or, row by row, (n, k, d) to (n, count)."""
        moving = self.pattern.groups >= 0
        lead = gradient.shape[:-2]
        pooled = np.zeros((self.pattern.count, *lead, self.d))
        np.add.at(pooled, self.pattern.groups[moving], np.moveaxis(gradient, -2, 0)[moving])
        turned = [reflected(b, g)[..., 1:] for b, g in zip(value[self.pattern.first], pooled, strict=True)]
        return np.concatenate(turned, axis=-1) if turned else np.empty((*lead, 0))


def reflected(b: Array, x: Array) -> Array:
    """H x for the reflection with H e_1 = b (or -b, whichever is safe from cancellation); leading axes broadcast.

    >>> reflected(np.array([0.0, 1.0]), np.array([0.0, 1.0])).round(12).tolist()
    [-1.0, 0.0]
    """
    v = np.array(b)
    v[..., 0] += np.where(b[..., 0] >= 0, 1.0, -1.0)
    scale = 2.0 / (v * v).sum(axis=-1, keepdims=True)
    return np.asarray(x - scale * (v * x).sum(axis=-1, keepdims=True) * v)
