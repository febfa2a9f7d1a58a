"""Rows summed up in kd-trees, and the weighted points that stand for them in an E-step of given accuracy.

    summaries(data)        one tree for each group of rows that observe the same columns and may belong to the same classes
    nodes(params, ...)     of every tree the nodes whose points are good enough at ``params``, with a bound on their error

A tree holds no parameters: it is grown once for the data, whatever is fitted to them. The points are rows like any others, so
the model's own E-step does the rest, missing entries, labels, noise, priors and constraints included. Rows of groups with fewer
than FEW rows, which no tree would shorten, are kept as they are.

What a model must have: a structure with ``log_weights(params)`` (k,), the same for every row, and a family with
``quadratics(params, columns)``. Memory: a copy of the rows, and at most some 2^17 nodes of 1 + 3 d + d (d + 1) / 2 numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array

FEW = 64
BIG = 1 << 16
LEAVES = 16  # of a large tree, about 2 to this
NARROW = 2.0**-12
SAMPLE = 1 << 16
MOST_COLUMNS = 6


@dataclasses.dataclass(frozen=True)
class Group:
    """Rows ``z`` (n, o) about the anchor that observe ``columns``, in the order of their tree; ``allowed``: as for one row."""

    columns: tuple[int, ...]
    allowed: Any
    z: Array
    weight: Array
    node: Array
    link: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.z)


@dataclasses.dataclass(frozen=True)
class Summaries:
    """The groups of the data, and the rows of no group."""

    anchor: Array
    groups: tuple[Group, ...]
    rest: tuple[Array, Array, Any]
    mass: float
    labelled: bool


@dataclasses.dataclass(frozen=True)
class Nodes:
    """Points that stand for the data at given parameters.

    ``loglik_error`` bounds what the log-likelihood a row misses (nats per unit weight), ``count_error`` the same of any class's
    expected count, per unit weight of the data; ``whole`` nodes are given by points, the other rows of ``x`` as they are.
    ``first_error`` (d,) and ``second_error`` (d, d) belong to the sums of r (x - a) and r (x - a)(x - a)' over what was
    observed, ``a`` the anchor.
    """

    x: Array
    weight: Array
    allowed: Any
    tau: float
    whole: int
    loglik_error: float
    count_error: float
    first_error: Array
    second_error: Array
    anchor: Array


def summaries(self: Any, data: Any) -> Summaries:
    """The rows of ``data`` in kd-trees; raises ValueError where they do not admit it."""
    each = getattr(data, "shared", None) or (lambda items, fn: ((item, fn(item)) for item in items))
    x, weight, key, told = _gathered(data)
    anchor = _anchor(x)
    groups: list[Group] = []
    rest: list[NDArray[np.intp]] = []
    for rows in _alike(key, len(x)):
        columns: tuple[int, ...] = tuple(map(int, np.flatnonzero(~np.isnan(x[rows[0]]))))
        if len(rows) < FEW or not columns:
            rest.append(rows)
            continue
        z = x if key is None else x[rows][:, list(columns)]
        z -= anchor[list(columns)]
        mass = weight[rows] if weight.size else weight
        node, link = planted(z, mass, lambda fn, items: [got for _, got in each(items, fn)])
        groups.append(Group(columns, None if told is None else told[rows[0]], z, mass, node, link))
    left = np.concatenate(rest) if rest else np.empty(0, dtype=np.intp)
    kept = (x[left], weight[left] if weight.size else np.ones(len(left)), None if told is None else told[left])
    total = sum(float(g.node[0, 0]) for g in groups) + float(kept[1].sum())
    return Summaries(anchor, tuple(groups), kept, total, told is not None)


def _why_not(self: Any) -> str:
    """Why rows cannot be summed up for this model; empty where they can."""
    for part, method, need in (
        (self.structure, "log_weights", "rows that stand alone with the same class weights for all"),
        (self.family, "quadratics", "log densities that are quadratic in the row, as normal laws have"),
    ):
        inner = getattr(part, "family", None)  # of a family around another, such as noise beside it
        lacking = next((p for p in (part, inner) if p is not None and not hasattr(p, method)), None)
        if lacking is not None:
            return f"needs {need}: {type(lacking).__name__} has no {method}(...)"
    return ""


no_summaries = property(_why_not)


def downweighted(self: Any, kind: str) -> Any:
    """The model whose rows far from a component count less in its statistics (robust M-steps)."""
    find = getattr(self.family, "downweighted", None)
    if find is None:
        raise TypeError(f"robust={kind!r} needs a family with downweighted(kind); {type(self.family).__name__} has none")
    return dataclasses.replace(self, family=find(kind))


def _gathered(data: Any) -> tuple[Array, Array, NDArray[np.int64] | None, Any]:
    """Rows (n, d), weights (n,) or none, what tells groups apart or None, ``allowed`` or None; without rows of weight 0."""
    parts: list[tuple[Array, Array | None, Any]] = []
    for chunk in data.chunks():
        if chunk.given is not None or chunk.ends is not None:
            raise ValueError("algorithm='kdtree' needs rows that stand alone, without groups or sequences; use algorithm='em'")
        rows = chunk.x
        if not isinstance(rows, np.ndarray) or rows.ndim != 2 or not 1 <= rows.shape[1] <= MOST_COLUMNS:
            found = f"{rows.shape[1]} columns" if isinstance(rows, np.ndarray) and rows.ndim == 2 else type(rows).__name__
            raise ValueError(
                f"algorithm='kdtree' reads a dense matrix of at most {MOST_COLUMNS} columns, got {found}: the boxes of a tree "
                "are empty in more; use algorithm='em', or 'sparse' with many components"
            )
        if chunk.weight is None or chunk.weight.all():
            parts.append((rows, chunk.weight, chunk.allowed))
        else:
            kept = chunk.weight > 0
            parts.append((rows[kept], chunk.weight[kept], None if chunk.allowed is None else chunk.allowed[kept]))
    x = np.concatenate([part[0] for part in parts], dtype=float)
    weight = np.empty(0) if parts[0][1] is None else np.concatenate([np.asarray(part[1], dtype=float) for part in parts])
    told = None if parts[0][2] is None else np.concatenate([part[2] for part in parts])
    return x, weight, _keys(x, told), told


def _keys(x: Array, told: Any) -> NDArray[np.int64] | None:
    """One integer for each kind of row: which entries are missing, which classes it may belong to."""
    missing = np.isnan(x)
    if not missing.any() and told is None:
        return None
    key = missing @ (1 << np.arange(x.shape[1]))
    if told is not None:
        same = told if told.ndim == 1 else np.unique(told, axis=0, return_inverse=True)[1].reshape(len(x))
        key = key + (np.asarray(same, dtype=np.int64) + 1) * (1 << x.shape[1])
    return np.asarray(key, dtype=np.int64)


def _alike(key: NDArray[np.int64] | None, n: int) -> Iterator[NDArray[np.intp]]:
    """The rows of every kind."""
    if key is None:
        yield np.arange(n)
        return
    order = np.argsort(key, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(key[order])) + 1)


def _anchor(x: Array) -> Array:
    """About the mean of the data, from some rows of it."""
    some = x[:: max(len(x) // SAMPLE, 1)]
    seen = ~np.isnan(some)
    return np.asarray(np.where(seen, some, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1))


def planted(z: Array, weight: Array, each: Callable[..., Any]) -> tuple[Array, NDArray[np.int64]]:
    """The tree over rows ``z``, which are moved; its upper levels one after the other, what is below in parallel."""
    from estep.kernels.kdtree import grow, merge

    n, d = z.shape
    leaf, scale = max(2 * (d + 1), n >> LEAVES), z[:: max(n // SAMPLE, 1)].std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    upper = _upper(z, weight, scale, max(BIG, n >> 5), each)
    lower = [i for i, (_, _, left, _) in enumerate(upper) if left < 0]
    grown = each(lambda i: grow(z, weight, upper[i][0], upper[i][1], scale, leaf, NARROW), lower)
    place, at = np.empty(len(upper), dtype=np.int64), len(upper) - len(lower)
    place[[i for i, entry in enumerate(upper) if entry[2] >= 0]] = np.arange(at)
    links = [np.array([[*e[:2], e[2], e[3]] for e in upper if e[2] >= 0], dtype=np.int64).reshape(at, 4)]
    for i, (node, link) in zip(lower, grown, strict=True):
        place[i] = at
        link[:, 2:][link[:, 2:] >= 0] += at
        links.append(link)
        at += len(node)
    links[0][:, 2:] = place[links[0][:, 2:]]
    whole = np.concatenate([np.empty((len(links[0]), grown[0][0].shape[1])), *(node for node, _ in grown)])
    link = np.concatenate(links)
    for x in range(len(links[0]) - 1, -1, -1):
        merge(whole[link[x, 2]], whole[link[x, 3]], whole[x])
    return whole, link


def _upper(z: Array, weight: Array, scale: Array, big: int, each: Callable[..., Any]) -> list[list[int]]:
    """The nodes above those of at most ``big`` rows, and these: start, stop and places of the children, or -1."""
    from estep.kernels.kdtree import box, halve

    whole = np.empty(2 * z.shape[1])
    box(z, 0, len(z), whole)
    upper, cells, level = [[0, len(z), -1, -1]], [whole], [0]
    while level := [i for i in level if upper[i][1] - upper[i][0] > big]:
        tasks = [(*upper[i][:2], cells[i]) for i in level]
        cuts = each(lambda task: halve(z, weight, task[0], task[1], scale, task[2], NARROW), tasks)
        below = []
        for i, (cut, side, middle) in zip(level, cuts, strict=True):
            start, stop = upper[i][:2]
            if start < cut < stop:
                upper[i][2:] = len(upper), len(upper) + 1
                below += upper[i][2:]
                upper += [[start, cut, -1, -1], [cut, stop, -1, -1]]
                cells += [_part(cells[i], side + z.shape[1], middle), _part(cells[i], side, middle)]
        level = below
    return upper


def _part(cell: Array, bound: int, middle: float) -> Array:
    """A cell with one of its bounds moved."""
    part = cell.copy()
    part[bound] = middle
    return part


def nodes(self: Any, params: Any, found: Summaries, tau: float, tau_class: float, most: int | None = None) -> Nodes | None:
    """Points whose log-likelihood is within ``tau`` nats a unit weight of the rows'; None if that takes more than ``most``."""
    from estep.kernels.kdtree_cut import cut, simplex, stand_ins

    log_weights, d = self.structure.log_weights(params.structure), found.anchor.size
    room = np.iinfo(np.int64).max if most is None else most
    rows, mass, allowed = [found.rest[0]], [found.rest[1]], [found.rest[2]]
    errors: list[Any] = [0.0, 0.0, np.zeros(d), np.zeros((d, d))]
    whole = 0
    for group in found.groups:
        law = self.family.quadratics(params.family, group.columns)
        const = law.const + np.where(permitted(group.allowed, len(log_weights)), log_weights, -np.inf)
        mean = law.mean - found.anchor[list(group.columns)]
        chosen, bounds = np.empty(len(group.node), dtype=np.int64), np.empty((len(group.node), 4))
        m, size = cut(group.node, group.link, const, mean, law.precision, tau, tau_class, room, chosen, bounds)
        if m < 0:
            return None
        room, chosen, bounds = room - size, chosen[:m], bounds[:m]
        points, weight = np.empty((size, len(group.columns))), np.empty(size)
        stand_ins(group.z, group.weight, group.node, group.link, chosen, simplex(len(group.columns)), points, weight)
        rows.append(_placed(points + found.anchor[list(group.columns)], group.columns, d))
        mass.append(weight)
        allowed.append(None if group.allowed is None else np.repeat(np.asarray(group.allowed)[None], size, axis=0))
        kept = chosen >= 0
        whole += int(kept.sum())
        _add_errors(errors, group, chosen[kept], bounds[kept])
    labels = np.concatenate(allowed) if found.labelled else None
    loglik, count, first, second = (e / found.mass for e in errors)
    points, weights = np.concatenate(rows), np.concatenate(mass)
    return Nodes(points, weights, labels, tau, whole, loglik, count, first, second, found.anchor)


def permitted(allowed: Any, k: int) -> NDArray[np.bool_]:
    """The classes (k,) that a row with this label may belong to."""
    if allowed is None or np.ndim(allowed):
        return np.ones(k, dtype=bool) if allowed is None else np.asarray(allowed, dtype=bool)
    return np.ones(k, dtype=bool) if allowed < 0 else np.arange(k) == allowed


def _placed(points: Array, columns: tuple[int, ...], d: int) -> Array:
    if len(columns) == d:
        return points
    whole = np.full((len(points), d), np.nan)
    whole[:, list(columns)] = points
    return whole


def _add_errors(errors: list[Any], group: Group, chosen: NDArray[np.int64], bounds: Array) -> None:
    """Add what the chosen nodes' points may miss: of the log-likelihood, of counts, first and second moments."""
    o, seen = len(group.columns), list(group.columns)
    node = group.node[chosen]
    weight, centre = node[:, 0], np.abs(node[:, 1 : 1 + o])
    i = np.arange(o)
    spread = np.sqrt(np.maximum(node[:, 1 + o + i * o - i * (i - 1) // 2], 0.0))
    of_count, of_first, of_second = (weight * bounds[:, j] for j in (1, 2, 3))
    errors[0] += float(weight @ bounds[:, 0])
    errors[1] += float(of_count.sum())
    errors[2][seen] += of_count @ centre + of_first @ spread
    both = np.einsum("n,ni,nj->ij", of_first, centre, spread)
    second = np.einsum("n,ni,nj->ij", of_count, centre, centre) + np.einsum("n,ni,nj->ij", of_second, spread, spread)
    errors[3][np.ix_(seen, seen)] += second + both + both.T
