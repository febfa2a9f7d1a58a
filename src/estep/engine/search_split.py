"""Split-and-merge EM: two components that overlap become one, and one that fits its rows badly becomes two.

    merge   i, j of the largest cosine of responsibilities             r_i'r_j / |r_i||r_j|
    split   c of the largest local Kullback-Leibler divergence   J_c = sum_n f_nc log(f_nc / p(x_n | c)),  f_nc = r_nc / sum r_c

The responsibilities of a move are r_i + r_j for i, and those of c shared between c and j on the two sides of the plane through
their mean, across their largest spread (of the rows as a picture of numbers). An M-step and EM on all components follow. Of all
triples (i, j, c) the first MOVES are tried, those of small rank in both lists first; the first that ends higher is kept and the
lists are made anew; the search ends when none does, or after ``rounds``.

symbol   variable   shape
r'r      gram       (k, k)
J        local      (k,)

Source: Ueda, Nakano, Ghahramani & Hinton (2000), Neural Computation 12:2109 (criteria; they follow a move with EM on its three
components before EM on all).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import Any, Final

import numpy as np

from estep.core.protocols import Chunk
from estep.core.record import Array, record
from estep.core.result import Result
from estep.engine.search import Climb, Fit, require
from estep.engine.tallied import fitted_to

MOVES = 10
SIDE = 0.95
"""Share of a row that goes to its side of the plane."""
Move = tuple[int, int, int]


@record
class Overlap:
    """Sums over rows: r'r, r log r, r log p(x | class), and r."""

    gram: Array
    own: Array
    fit: Array
    mass: Array


@record
class Cloud:
    """Moments about ``anchor`` of rows as a picture: weight, sums and products."""

    mass: Any
    total: Array
    products: Array


@dataclasses.dataclass(frozen=True)
class SplitMerge:
    """From the best start: split-and-merge moves, kept where they end higher; at most ``rounds`` of them are kept."""

    rounds: int = 20
    name: Final[str] = "split_merge"

    def __call__(self, fit: Fit) -> Result:
        """The best end; never below that of the starts."""
        needs = ("explain", "tally", "densities", "pictured")
        require(fit.model, needs, self.name, "use search='short_runs' or more starts (n_init)")
        climb = Climb(fit, fit.from_starts())
        for r in range(self.rounds):
            if climb.halted or not self._round(climb, r):
                break
        return climb.result(self.name, "moves")

    def _round(self, climb: Climb, r: int) -> bool:
        """Whether a move from the best was kept."""
        fit, params = climb.fit, climb.best.params
        for i, j, c in moves(measured(fit.model, fit.data, params), fit.model.named)[:MOVES]:
            name = f"{i} and {j} merged, {'the whole' if c in (i, j) else c} split"
            make = partial(reshaped, fit.model, fit.data, params, (i, j, c))
            if climb.move(name, make, f"round {r}: {i} {j} {c}"):
                return True
            if climb.halted:
                return False
        return False


def measured(model: Any, data: Any, params: Any) -> Overlap:
    """Overlaps and fits of all classes at ``params``; a pass."""

    def look(chunk: Chunk) -> Overlap:
        resp, logb = model.explain(params, chunk).resp, model.densities(params, chunk)
        weight = np.ones(len(chunk)) if chunk.weight is None else chunk.weight
        shared = resp * weight[:, None]
        held = resp > 0
        own = np.where(held, shared * np.log(np.where(held, resp, 1.0)), 0.0).sum(axis=0)
        fit = np.where(held, shared * np.where(held, logb, 0.0), 0.0).sum(axis=0)
        return Overlap(resp.T @ shared, own, fit, shared.sum(axis=0))

    found: Overlap = data.sum(look)
    return found


def local_divergence(seen: Overlap) -> Array:
    """J_c in nats, (k,)."""
    mass = np.maximum(seen.mass, np.finfo(float).tiny)
    return np.asarray((seen.own - seen.fit) / mass - np.log(mass))


def moves(seen: Overlap, k: int) -> list[Move]:
    """Triples (i, j, c) to try, best first. With two classes the merged one is split."""
    size = np.sqrt(np.maximum(np.diagonal(seen.gram), np.finfo(float).tiny))
    cosine = seen.gram / np.outer(size, size)
    pairs = sorted(combinations(range(k), 2), key=lambda pair: -cosine[pair])
    if k == 2:
        return [(0, 1, 0)]
    worst = np.argsort(-local_divergence(seen)[:k], kind="stable").tolist()
    ranked = [(m + s, m, (i, j, c)) for m, (i, j) in enumerate(pairs) for s, c in enumerate(worst) if c not in (i, j)]
    return [move for _, _, move in sorted(ranked)]


def reshaped(model: Any, data: Any, params: Any, move: Move) -> Any:
    """Parameters after a move: an M-step from its responsibilities."""
    i, j, c = move

    def merged(chunk: Chunk) -> Array:
        resp = np.array(model.explain(params, chunk).resp)
        resp[:, i] += resp[:, j]
        resp[:, j] = 0.0
        return resp

    anchor = next(_pictures(model, data))
    centre, across = _plane(model, data, lambda chunk: merged(chunk)[:, c], anchor)

    def shared(chunk: Chunk) -> Array:
        resp = merged(chunk)
        side = (_centred(model, chunk, anchor) - centre) @ across > 0
        part = np.where(side, SIDE, 1.0 - SIDE)
        resp[:, j] = resp[:, c] * part
        resp[:, c] *= 1.0 - part
        return resp

    return fitted_to(model, data, shared)


def _pictures(model: Any, data: Any) -> Iterator[Array]:
    """Column means of the picture of each chunk, 0 where nothing is known: the first is an anchor near the rows."""
    for chunk in data.chunks():
        seen = model.pictured(chunk)
        known = ~np.isnan(seen)
        yield np.where(known, seen, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def _centred(model: Any, chunk: Chunk, anchor: Array) -> Array:
    """The picture of a chunk about ``anchor``, unknown entries at it."""
    return np.asarray(np.nan_to_num(model.pictured(chunk) - anchor, nan=0.0))


def _plane(model: Any, data: Any, share_of: Any, anchor: Array) -> tuple[Array, Array]:
    """Mean and direction of the largest spread of rows with the given shares, each column in units of its own spread."""

    def look(chunk: Chunk) -> Cloud:
        seen = _centred(model, chunk, anchor)
        share = share_of(chunk) * (1.0 if chunk.weight is None else chunk.weight)
        return Cloud(share.sum(), share @ seen, (seen * share[:, None]).T @ seen)

    cloud: Cloud = data.sum(look)
    mass = max(float(cloud.mass), np.finfo(float).tiny)
    mean = cloud.total / mass
    cov = cloud.products / mass - np.outer(mean, mean)
    spread = np.sqrt(np.maximum(np.diagonal(cov), np.finfo(float).tiny))
    across = np.linalg.eigh(cov / np.outer(spread, spread))[1][:, -1] / spread
    return mean, np.asarray(across)
