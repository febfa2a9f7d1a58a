"""One pass of several chains behind one observation over the sequences of a chunk; in logs where scaling would lose digits.

``logb(rows)`` gives log densities (rows, k) of the combinations of states, of the whole chunk at once. A sequence that fails in
the scaled pass is gone through as a chain on the product space in logs (k x k transitions).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels import chain, factorial
from estep.structures.chain_pass import InLogs, Law, Span, impossible
from estep.structures.semimarkov_pass import sequences_of

Logb = Callable[[slice], Array]
Integers = NDArray[np.int64]
Path = NDArray[np.intp]


@dataclasses.dataclass(frozen=True)
class FactorialLaw:
    """The chains: ``starts`` (K_m,) and ``moves`` (K_m, K_m) of each, as probabilities (or powers of these)."""

    starts: tuple[Array, ...]
    moves: tuple[Array, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """States of each chain."""
        return tuple(len(start) for start in self.starts)

    @cached_property
    def start(self) -> Array:
        """Probabilities of the first combination, (k,)."""
        return product(self.starts)

    @cached_property
    def counted(self) -> Integers:
        """``sizes`` as the kernels read them."""
        return np.array(self.sizes, dtype=np.int64)

    @cached_property
    def stacked(self) -> Array:
        """Moves of all chains, (M, K, K), zero beyond a chain's own."""
        most = max(self.sizes)
        out = np.zeros((len(self.sizes), most, most))
        for m, own in enumerate(self.moves):
            out[m, : len(own), : len(own)] = own
        return out

    @cached_property
    def product(self) -> Law:
        """The chain of the combinations, for sequences that are gone through in logs."""
        return Law.of(self.start, product(self.moves))

    def power(self, beta: float) -> FactorialLaw:
        """Every probability to the power ``beta``."""
        return FactorialLaw(tuple(s**beta for s in self.starts), tuple(m**beta for m in self.moves))

    def ahead(self, now: Array) -> Array:
        """Distributions of the next combination, (..., k), from those of this one."""
        table = now.reshape(-1, *self.sizes)
        for m, own in enumerate(self.moves):
            table = np.moveaxis(np.moveaxis(table, m + 1, -1) @ own, -1, m + 1)
        return np.asarray(table.reshape(now.shape))


@dataclasses.dataclass
class FactorialSums:
    """What a pass adds up, weighted: starts of combinations (k,), moves of each chain (M, K, K), the log-likelihood."""

    first: Array
    pairs: Array
    resp: Array
    steps: Array
    loglik: float = 0.0


def product(parts: tuple[Array, ...]) -> Array:
    """The Kronecker product of all parts."""
    out: Any = parts[0]
    for part in parts[1:]:
        out = np.kron(out, part)
    return np.ascontiguousarray(out)


def smooth(law: FactorialLaw, logb: Logb, ends: Integers, weight: Array, origin: int) -> FactorialSums:
    """Forward and backward over all sequences; raises ImpossibleRow."""
    columns = np.ascontiguousarray(logb(slice(0, int(ends[-1]))).T, dtype=float)
    k, n = columns.shape
    like, top = np.empty((n, k)), np.empty(n)
    chain.likelihoods(columns, like, top)
    back = np.ascontiguousarray(law.stacked.transpose(0, 2, 1))
    alpha, scale, resp = np.empty((n, k)), np.empty(n), np.empty((n, k))
    sums = FactorialSums(np.zeros(k), np.zeros(law.stacked.shape), resp, np.empty(n))
    for rows, w in zip(sequences_of(ends), weight.tolist(), strict=True):
        own = np.zeros(law.stacked.shape)
        bad = factorial.forward(law.start, law.stacked, law.counted, like[rows], alpha[rows], scale[rows])
        if bad < 0:
            bad = factorial.backward(law.stacked, law.counted, like[rows], alpha[rows], w, resp[rows], own, back)
        if bad < 0:
            sums.steps[rows] = np.log(scale[rows]) + top[rows]
            sums.pairs += own * law.stacked
        else:
            _in_logs(law, columns[:, rows].T, rows, w, origin, sums)
        sums.first += resp[rows.start]
        sums.loglik += w * float(sums.steps[rows].sum())
    return sums


def _in_logs(law: FactorialLaw, logb: Array, rows: slice, weight: float, origin: int, sums: FactorialSums) -> None:
    n = rows.stop - rows.start
    span = Span(slice(0, n), np.array([n], dtype=np.int64), np.array([weight]))
    part, pairs = InLogs(law.product, lambda _: logb, origin + rows.start), np.zeros((1, law.start.size, law.start.size))
    sums.steps[rows] = part.forward([span])[0]
    sums.resp[rows] = part.backward(span, pairs).T
    chains, table = len(law.sizes), pairs.reshape(*law.sizes, *law.sizes)
    for m, size in enumerate(law.sizes):
        others = tuple(axis for axis in range(2 * chains) if axis not in (m, chains + m))
        sums.pairs[m, :size, :size] += table.sum(axis=others)


def filtered(law: FactorialLaw, logb: Logb, ends: Integers, origin: int) -> tuple[Array, Array]:
    """``p(z_t | x_1..t)`` of combinations, (n, k), and log p(x_t | x_<t), (n,); raises ImpossibleRow."""
    columns = np.ascontiguousarray(logb(slice(0, int(ends[-1]))).T, dtype=float)
    k, n = columns.shape
    like, top, alpha, scale = np.empty((n, k)), np.empty(n), np.empty((n, k)), np.empty(n)
    chain.likelihoods(columns, like, top)
    steps = np.empty(n)
    for rows in sequences_of(ends):
        if factorial.forward(law.start, law.stacked, law.counted, like[rows], alpha[rows], scale[rows]) < 0:
            steps[rows] = np.log(scale[rows]) + top[rows]
            continue
        size = rows.stop - rows.start
        span = Span(slice(0, size), np.array([size], dtype=np.int64), np.ones(1))
        own = columns[:, rows].T
        part = InLogs(law.product, lambda _, own=own: own, origin + rows.start)  # type: ignore[misc]
        steps[rows] = part.forward([span])[0]
        alpha[rows] = np.exp(part.filtered_logs(span, 0))
    return alpha, steps


def best(law: FactorialLaw, logb: Logb, ends: Integers, origin: int) -> tuple[Path, Array]:
    """The most probable combinations of every sequence, (n,), and its log p(x, z), (s,); raises ImpossibleRow."""
    rows_of = np.ascontiguousarray(logb(slice(0, int(ends[-1]))), dtype=float)
    path, values = np.zeros(len(rows_of), dtype=np.intp), np.empty(len(ends))
    with np.errstate(divide="ignore"):
        start, moves = np.log(law.start), np.log(law.stacked)
    for s, rows in enumerate(sequences_of(ends)):
        values[s], bad = factorial.best(start, moves, law.counted, rows_of[rows], path[rows])
        if bad >= 0:
            raise impossible(origin + rows.start + bad, bool(np.isneginf(rows_of[rows.start + bad]).all()))
    return path, values


def draw(law: FactorialLaw, alpha: Array, ends: Integers, uniforms: Array) -> Path:
    """Paths of combinations drawn from their posterior, (n,), given filtered distributions."""
    path = np.zeros(len(alpha), dtype=np.intp)
    for rows in sequences_of(ends):
        factorial.draw(law.stacked, law.counted, np.ascontiguousarray(alpha[rows]), uniforms[rows], path[rows])
    return path
