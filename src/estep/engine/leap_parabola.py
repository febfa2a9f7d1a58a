"""Leaps along the parabola through three EM iterates: SQUAREM, which picks a length, and parabolic EM, which searches one.

    z(t) = (1 - t)^2 P0 + 2 t (1 - t) P1 + t^2 P2 = P0 + 2 t r + t^2 v          r = P1 - P0,  v = P2 - 2 P1 + P0

P0, P1 = M(P0), P2 = M(P1) are EM iterates in free coordinates; z(1) = P2. The first two are evaluated, the third is known as
the image of the second.

    S1   t = -r'v / v'v        S2   t = -r'r / r'v        S3   t = |r| / |v|            none where t <= 1; at most ``trust``
    parabolic   t = 1 + H A^i,  i = i0, i0 + 1, ...   for as long as the objective rises; i0 follows where the last search ended

Sources: Varadhan & Roland (2008), Scand. J. Statist. 35:335 (S1 to S3); Berlinet & Roland (2009), Computational Statistics &
Data Analysis 53:1297 (parabolic, geometric grid).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from estep.core.record import Array
from estep.engine.state import LeapMemory

SHORTEST, LONGEST = 2.0, 1e6
H, A = 0.1, 1.5


def _ratio(above: float, below: float) -> float:
    return above / below if below != 0.0 else 1.0


SCHEMES: dict[str, Callable[[Array, Array], float]] = {
    "S1": lambda r, v: _ratio(-float(r @ v), float(v @ v)),
    "S2": lambda r, v: _ratio(-float(r @ r), float(r @ v)),
    "S3": lambda r, v: _ratio(float(np.linalg.norm(r)), float(np.linalg.norm(v))),
}


def bends(memory: LeapMemory) -> tuple[Array, Array, Array] | None:
    """P0, r and v of the last three iterates; None where the last two points are not an EM step apart.

    >>> line = LeapMemory(np.array([[0.0], [4.0]]), np.array([[4.0], [6.0]]), None, np.int64(1), np.float64(1.0))
    >>> [float(part[0]) for part in bends(line)]
    [0.0, 4.0, -2.0]
    """
    if len(memory.points) < 2 or not np.array_equal(memory.points[-1], memory.images[-2]):
        return None
    first, second, third = memory.points[-2], memory.points[-1], memory.images[-1]
    r = second - first
    return first, r, (third - second) - r


def squarem(scheme: str, most: float | None = None) -> Callable[[LeapMemory], Array | None]:
    """A proposal of that scheme, its length at most ``most`` (None: ``trust``)."""
    length_of = SCHEMES[scheme]

    def propose(memory: LeapMemory) -> Array | None:
        found = bends(memory)
        if found is None:
            return None
        start, r, v = found
        length = min(length_of(r, v), float(memory.trust) if most is None else most)
        return start + 2.0 * length * r + length**2 * v if length > 1.0 else None

    return propose


def lengthened(scheme: str) -> Callable[[LeapMemory, bool], LeapMemory]:
    """After a leap of that scheme: lengths up to 4 times as long, or, refused, half of the one that was too long."""
    length_of = SCHEMES[scheme]

    def after(memory: LeapMemory, accepted: bool) -> LeapMemory:
        found, trust = bends(memory), float(memory.trust)
        if accepted:
            trust = min(4.0 * trust, LONGEST)
        elif found is not None:
            trust = max(min(length_of(*found[1:]), trust) / 2.0, SHORTEST)
        none = memory.points[:0]
        return dataclasses.replace(memory, points=none, images=none, trust=np.float64(trust))

    return after


def along(memory: LeapMemory) -> Array | None:
    """The next length on the parabola: ``mode`` leaps on it were accepted so far."""
    found = bends(memory)
    if found is None:
        return None
    start, r, v = found
    t = 1.0 + H * A ** (float(memory.trust) + int(memory.mode))
    return np.asarray(start + 2.0 * t * r + t**2 * v)


def searched(memory: LeapMemory, accepted: bool) -> LeapMemory:
    """After a leap: on along the parabola; or, refused, a new one, whose search begins two lengths before the last ended."""
    if accepted:
        return dataclasses.replace(memory, mode=np.int64(int(memory.mode) + 1))
    ended = float(memory.trust) + int(memory.mode)
    begin = max(ended - 2.0, 0.0)
    none = memory.points[:0]
    return dataclasses.replace(memory, points=none, images=none, trust=np.float64(begin), mode=np.int64(0))
