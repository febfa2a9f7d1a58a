"""Several Markov chains behind one observation: with any family, a factorial hidden Markov model.

    z_m1 ~ pi_m,   z_mt | z_m,t-1 = a ~ A_m(a, .),   m = 1 .. M independent of one another
    x_t | z_1t, .., z_Mt ~ p(. | theta_z)        a component of the family for every combination z of states

The chains are independent before the data are seen, and hang together once they are. A combination is a class of the family,
numbered with the last chain running fastest: k = K_1 .. K_M of them.

E-step   resp of combinations and moves of each chain, exactly, in O(T M K^{M+1}) (``kernels/factorial.py``); the best path
         (hard), a drawn path, or powers (tempered)
M-step   pi_m = first_m / sum first_m,   A_m = pairs_m / row sums            (over the free entries, what fixed ones leave)
prior    Dirichlet on every pi_m and on the rows of A_m, as imaginary counts alpha - 1; "sticky" counts stand on the diagonals

symbol   variable   shape
pi       startprob  M of (K_m,)        users see ``startprob_0``, ``startprob_1``, ...
A        transmat   M of (K_m, K_m)    users see ``transmat_0``, ``transmat_1``, ...
         first      M of (K_m,)
         pairs      M of (K_m, K_m)

Source: Ghahramani & Jordan (1997), Machine Learning 29:245.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.protocols import Assign, Chunk, Explained
from estep.core.record import Array, record
from estep.core.support import Constraints, Simplex, Support
from estep.structures.chain import STAY, TAGS, TINY, _ends_and_weights, _imagined, _sequences, _weighted_log
from estep.structures.chain_pass import shifted
from estep.structures.factorial_pass import FactorialLaw, FactorialSums, best, draw, filtered, smooth
from estep.structures.semimarkov_pass import sequences_of

MOST = 4096
"""Combinations beyond which exact inference is refused."""


@record
class FactorialParams:
    """``startprob`` and ``transmat`` of every chain; those of chain m also as ``startprob_m`` and ``transmat_m``."""

    startprob: tuple[Array, ...]
    transmat: tuple[Array, ...]

    def __getattr__(self, name: str) -> Any:
        kind, _, chain = name.rpartition("_")
        if kind in ("startprob", "transmat") and chain.isdigit() and int(chain) < len(self.startprob):
            return getattr(self, kind)[int(chain)]
        raise AttributeError(name)


@record
class FactorialCounts:
    """Expected starts ``first`` and moves ``pairs`` of every chain."""

    first: tuple[Array, ...]
    pairs: tuple[Array, ...]


Passed = tuple[FactorialCounts, float, float]
Collect = Callable[[slice, Array], None]
Logb = Callable[[slice], Array]


@dataclasses.dataclass(frozen=True)
class FactorialChain:
    """Labels are combinations of the states of independent Markov chains within each sequence.

    Parameters
    ----------
    sizes : tuple of int
        States of each chain.
    length
        Rows of a typical sequence, set by ``bind``.

    Raises
    ------
    ValueError
        Where there are more than 4096 combinations, or rows come without ends of sequences.

    Examples
    --------
    >>> FactorialChain((2, 3)).start(6).transmat_1.round(2).tolist()
    [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]]
    """

    sizes: tuple[int, ...] = (2, 2)
    length: float = 100.0
    exchangeable: ClassVar[bool] = False
    settings: ClassVar[tuple[str, ...]] = ("startprob", "transmat", "sticky")

    def __post_init__(self) -> None:
        whole = all(isinstance(size, int | np.integer) and size >= 1 for size in self.sizes)
        if not self.sizes or not whole:
            raise ValueError(f"sizes={self.sizes!r} must be a tuple of integers >= 1: the states of each chain")

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters: ``startprob_m`` and ``transmat_m`` of every chain m."""
        return tuple(f"{kind}_{m}" for kind in ("startprob", "transmat") for m in range(len(self.sizes)))

    @property
    def k(self) -> int:
        """Number of combinations."""
        return math.prod(self.sizes)

    def bind(self, data: Any) -> FactorialChain:
        """Check ends and weights, and note how long a typical sequence is."""
        if self.k > MOST:
            raise ValueError(
                f"sizes={self.sizes}: exact inference goes through all {self.k} combinations of states, at most {MOST}; "
                "use fewer chains or states, or variational inference (models.Factorial)"
            )
        counts = data.sum(_sequences)
        return dataclasses.replace(self, length=float(counts[1] / max(counts[0], 1.0)))

    def start(self, k: int) -> FactorialParams:
        """Sticky: a state stays with probability 0.9, and goes elsewhere with equal probabilities."""
        if k != self.k:
            raise ValueError(f"sizes={self.sizes} make {self.k} combinations, but the model has {k} components")
        moves = [np.full((size, size), (1.0 - STAY) / max(size - 1, 1)) for size in self.sizes]
        for own in moves:
            np.fill_diagonal(own, STAY if len(own) > 1 else 1.0)
        return FactorialParams(tuple(np.full(size, 1.0 / size) for size in self.sizes), tuple(moves))

    def law(self, params: FactorialParams) -> FactorialLaw:
        """The parameters as the recursions read them."""
        return FactorialLaw(params.startprob, params.transmat)

    def refuses(self, assign: Any) -> str:
        """Why there is no recursion for ``assign``, or an empty text."""
        if getattr(assign, "semiring", None) in SEMIRINGS:
            return ""
        return f"assign={assign.name!r}: factorial chains have no recursion for it; they take {TAGS}; use algorithm='em'"

    def infer(self, params: FactorialParams, logb: Logb, chunk: Chunk, assign: Assign, collect: Collect) -> Passed:
        """Counts, objective and log-likelihood of a chunk; weighted responsibilities go to ``collect``."""
        if why := self.refuses(assign):
            raise ValueError(why)
        counts, resp, objective, loglik = SEMIRINGS[assign.semiring](self, params, logb, chunk, assign)  # type: ignore[attr-defined]
        collect(slice(0, len(chunk)), resp)
        return counts, objective, loglik

    def counted(self, sums: FactorialSums) -> FactorialCounts:
        """Expected counts of each chain from what a pass has summed."""
        first = self.each_chain(sums.first[None])
        return FactorialCounts(
            tuple(own[0] for own in first), tuple(sums.pairs[m, :size, :size] for m, size in enumerate(self.sizes))
        )

    def each_chain(self, resp: Array) -> tuple[Array, ...]:
        """Probabilities (n, K_m) of each chain's states from those of combinations (n, k)."""
        table, chains = resp.reshape(-1, *self.sizes), range(len(self.sizes))
        return tuple(table.sum(axis=tuple(1 + other for other in chains if other != m)) for m in chains)

    def states_of(self, path: NDArray[np.intp]) -> NDArray[np.intp]:
        """States of each chain, (n, M), from combinations (n,).

        >>> FactorialChain((2, 3)).states_of(np.array([0, 4, 5])).tolist()
        [[0, 0], [1, 1], [1, 2]]
        """
        return np.stack(np.unravel_index(path, self.sizes), axis=1)

    def tally(self, params: FactorialParams, resp: Array, chunk: Chunk) -> FactorialCounts:
        """Counts from given (weighted) responsibilities, as if neighbouring rows were independent given these."""
        ends = _ends_and_weights(chunk)[0]
        begins, first, pairs = np.concatenate([[0], ends[:-1]]), [], []
        for own in self.each_chain(resp):
            total = own.sum(axis=1, keepdims=True)
            share = own / np.where(total > 0, total, 1.0)
            share[ends - 1] = 0.0
            first.append(own[begins].sum(axis=0))
            pairs.append(share[:-1].T @ own[1:])
        return FactorialCounts(tuple(first), tuple(pairs))

    def explain(self, params: FactorialParams, logb: Logb, chunk: Chunk) -> Explained:
        """Per row: log p(x_t | x_<t), p(z_t | x) of combinations, and the best path of combinations."""
        ends, weight = _ends_and_weights(chunk)
        law, origin = self.law(params), int(chunk.key[1])
        sums = smooth(law, logb, ends, np.ones_like(weight), origin)
        return Explained(sums.steps, sums.resp, best(law, logb, ends, origin)[0])

    def ahead(self, params: FactorialParams, logb: Logb, chunk: Chunk) -> Array:
        """Per row p(z_t | x_<t) of combinations, (n, k)."""
        ends, law = _ends_and_weights(chunk)[0], self.law(params)
        seen = filtered(law, logb, ends, int(chunk.key[1]))[0]
        out = np.vstack([law.start, law.ahead(seen[:-1])])
        out[np.concatenate([[0], ends[:-1]])] = law.start
        return np.asarray(out / out.sum(axis=1, keepdims=True))

    def sequence_scores(
        self, params: FactorialParams, logb: Logb, chunk: Chunk, support: Support, collect: Collect
    ) -> tuple[Array, NDArray[np.int64]]:
        """Per sequence, the gradient of its expected log p(z) (s, p), and the ends; responsibilities go to ``collect``."""
        ends, found = _ends_and_weights(chunk)[0], []
        for rows in sequences_of(ends):
            own = np.array([rows.stop - rows.start], dtype=np.int64)
            sums = smooth(self.law(params), shifted(logb, rows.start), own, np.ones(1), int(chunk.key[1]) + rows.start)
            collect(rows, sums.resp)
            found.append(self.score(params, self.counted(sums), support))
        return np.array(found).reshape(len(ends), support.count), ends

    def fit(self, counts: FactorialCounts, params: FactorialParams, support: Support) -> FactorialParams:
        """The probabilities that maximise ``q``; a state that is never left keeps its row."""
        starts, moves = [], []
        for m, (first, pairs) in enumerate(zip(counts.first, counts.pairs, strict=True)):
            startprob, transmat = support.entries[f"startprob.{m}"], support.entries[f"transmat.{m}"]
            assert isinstance(startprob, Simplex)
            assert isinstance(transmat, Simplex)
            starts.append(startprob.share(first if first.sum() > 0 else params.startprob[m]))
            left = pairs.sum(axis=1, keepdims=True) > 0
            moves.append(transmat.share(np.where(left, pairs, params.transmat[m])))
        return FactorialParams(tuple(starts), tuple(moves))

    def q(self, params: FactorialParams, counts: FactorialCounts) -> float:
        """``sum_m sum first_m log pi_m + sum pairs_m log A_m`` in nats (0 log 0 = 0)."""
        given, asked = (*counts.first, *counts.pairs), (*params.startprob, *params.transmat)
        return sum(_weighted_log(c, p) for c, p in zip(given, asked, strict=True))

    def score(self, params: FactorialParams, counts: FactorialCounts, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        slopes = {}
        for m in range(len(self.sizes)):
            slopes[f"startprob.{m}"] = counts.first[m] / np.maximum(params.startprob[m], TINY)
            slopes[f"transmat.{m}"] = counts.pairs[m] / np.maximum(params.transmat[m], TINY)
        return support.pull(params, slopes)

    def support(self, params: FactorialParams, constraints: Constraints) -> Support:
        """Simplices of every chain, less what is fixed or tied."""
        entries = {}
        for kind in ("startprob", "transmat"):
            for m, value in enumerate(getattr(params, kind)):
                entries[f"{kind}.{m}"] = Simplex.of(f"{kind}_{m}", constraints.pattern(f"{kind}_{m}", value.shape))
        return Support(entries)

    def prior(self, k: int, strength: Any) -> FactorialCounts:
        """Dirichlet counts alpha - 1 of every chain; where ``strength`` is no dict it is alpha for all, None no prior.

        ``startprob`` and ``transmat`` are numbers >= 1, ``sticky`` moves imagined to stay in each state.
        """
        given = strength if isinstance(strength, dict) else {"startprob": strength, "transmat": strength}
        sticky = float(given.get("sticky") or 0.0)
        if not 0 <= sticky < np.inf:
            raise ValueError(f"prior['sticky'] must be a number >= 0 (moves imagined to stay in each state), got {sticky:g}")
        first = tuple(_imagined("startprob", given.get("startprob"), (size,)) for size in self.sizes)
        pairs = [_imagined("transmat", given.get("transmat"), (size, size)) + sticky * np.eye(size) for size in self.sizes]
        return FactorialCounts(first, tuple(pairs))

    def overall(self, params: FactorialParams) -> Array:
        """Share of the rows of a sequence of typical length that each combination is expected to have, (k,)."""
        law = self.law(params)
        now, share = law.start, np.zeros(self.k)
        for _ in range(max(round(min(self.length, 2000.0)), 1)):
            share += now
            now = law.ahead(now)
        return np.asarray(share / share.sum())

    def occupancy(self, counts: FactorialCounts) -> Array:
        """Expected rows of each combination, (k,), as if the chains were in their states independently."""
        rows, shares = 1.0, np.ones(1)
        for first, pairs in zip(counts.first, counts.pairs, strict=True):
            own = first + pairs.sum(axis=0)
            rows, shares = float(own.sum()), np.kron(shares, own / max(float(own.sum()), TINY))
        return np.asarray(rows * shares)

    def adopt(self, name: str, value: Array, k: int, argument: str) -> Array:
        """A user's array for one parameter; raises ValueError naming ``argument``."""
        kind, _, chain = name.rpartition("_")
        size = self.sizes[int(chain)]
        expected = (size,) if kind == "startprob" else (size, size)
        if value.shape != expected:
            raise ValueError(f"{argument} has shape {value.shape}, expected {expected}")
        return value

    def sample(self, params: FactorialParams, n: int, rng: np.random.Generator, **where: Any) -> NDArray[np.intp]:
        """``n`` combinations of sequences that end at ``ends`` (one sequence where it is not given)."""
        ends = where.get("ends")
        fresh = np.zeros(n + 1, dtype=bool)
        fresh[[0, *np.asarray(ends if ends is not None else [n]).tolist()]] = True
        labels = np.zeros(n, dtype=np.intp)
        for start, moves, size in zip(params.startprob, params.transmat, self.sizes, strict=True):
            first, below, uniforms, state = np.cumsum(start), np.cumsum(moves, axis=1), rng.random(n), 0
            for t in range(n):
                chances = first if fresh[t] else below[state]
                state = min(int(np.searchsorted(chances, uniforms[t] * chances[-1], side="right")), size - 1)
                labels[t] = labels[t] * size + state
        return labels


Found = tuple[FactorialCounts, Array, float, float]


def _summed(self: FactorialChain, law: FactorialLaw, logb: Logb, chunk: Chunk) -> tuple[FactorialCounts, Array, float]:
    sums = smooth(law, logb, *_ends_and_weights(chunk), int(chunk.key[1]))
    return self.counted(sums), sums.resp, sums.loglik


def _soft(self: FactorialChain, params: FactorialParams, logb: Logb, chunk: Chunk, assign: Any) -> Found:
    counts, resp, loglik = _summed(self, self.law(params), logb, chunk)
    return counts, resp, loglik, loglik


def _tempered(self: FactorialChain, params: FactorialParams, logb: Logb, chunk: Chunk, assign: Any) -> Found:
    law, beta = self.law(params), assign.beta
    loglik = _summed(self, law, logb, chunk)[2]
    shaken = np.broadcast_to(assign.shaken(chunk.key, len(chunk), self.k), (len(chunk), self.k))
    counts, resp, scaled = _summed(self, law.power(beta), lambda rows: beta * logb(rows) + shaken[rows], chunk)
    return counts, resp, scaled / beta, loglik


def _path(self: FactorialChain, path: NDArray[np.intp], chunk: Chunk, weight: Array) -> tuple[FactorialCounts, Array]:
    ends, resp = _ends_and_weights(chunk)[0], np.zeros((len(path), self.k))
    resp[np.arange(len(path)), path] = np.repeat(weight, np.diff(ends, prepend=0))
    return self.tally(self.start(self.k), resp, chunk), resp


def _hard(self: FactorialChain, params: FactorialParams, logb: Logb, chunk: Chunk, assign: Any) -> Found:
    (ends, weight), law, origin = _ends_and_weights(chunk), self.law(params), int(chunk.key[1])
    path, values = best(law, logb, ends, origin)
    steps = filtered(law, logb, ends, origin)[1]
    loglik = float(np.add.reduceat(steps, np.concatenate([[0], ends[:-1]])) @ weight)
    return *_path(self, path, chunk, weight), float(values @ weight), loglik


def _drawn(self: FactorialChain, params: FactorialParams, logb: Logb, chunk: Chunk, assign: Any) -> Found:
    (ends, weight), law = _ends_and_weights(chunk), self.law(params)
    (alpha, steps), times = filtered(law, logb, ends, int(chunk.key[1])), assign.times(weight)
    counts: Any = None
    resp: Any = 0.0
    for j in range(int(times.max())):
        path = draw(law, alpha, ends, assign.uniforms(chunk.key, len(chunk), j))
        drawn, shares = _path(self, path, chunk, np.where(times > j, weight / times, 0.0))
        counts, resp = drawn if counts is None else counts + drawn, resp + shares
    loglik = float(np.add.reduceat(steps, np.concatenate([[0], ends[:-1]])) @ weight)
    return counts, resp, loglik, loglik


SEMIRINGS: dict[str, Callable[..., Found]] = {"sum": _soft, "max": _hard, "draw": _drawn, "power": _tempered}
