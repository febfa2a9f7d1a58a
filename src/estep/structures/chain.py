"""A Markov chain of labels within each sequence: with any family, a hidden Markov model.

    z_1 ~ pi,   z_t | z_{t-1} = i ~ A_i,   x_t | z_t = k ~ p(. | theta_k)        (with ``end``: a sequence stops with A_{i,end})

E-step   resp and pairs by forward-backward (``kernels/chain.py``), the best path (hard), a drawn path, or powers (tempered)
M-step   pi = first / sum first,   A_i = pairs_i / sum_j pairs_ij           (over the free entries, what fixed ones leave)
prior    Dirichlet on pi and on the rows of A, as imaginary counts alpha - 1; "sticky" counts stand on the diagonal

A row of A that was never left keeps its values. Zeros of a topology are structural: they stay zero and are no parameters.

symbol   variable   shape
pi       startprob  (k,)
A        transmat   (k, k), or (k, k + 1) with ``end``: the last column is the probability of ending
         first      (k,)     expected starts in each state
         pairs      (k, k) or (k, k + 1)   expected moves from row to column

Sources: Rabiner (1989), Proc. IEEE 77:257; Fox et al. (2011), Annals of Applied Statistics 5:1020 (sticky prior).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.protocols import Assign, Chunk, Explained
from estep.core.record import Array, record
from estep.core.support import Constraints, Simplex, Support
from estep.structures import chain_samples, chain_scores
from estep.structures.chain_pass import Group, Law, Sums, plan, smooth, steps_of
from estep.structures.chain_paths import best, draw, filter_states, path_values, states_ahead
from estep.structures.topology import TOPOLOGIES, moves_allowed, starts_allowed

TINY = np.finfo(float).tiny
TOGETHER = 16
"""Draws of a path from one pass forward."""
STAY = 0.9
"""Probability of staying where a chain begins to be fitted."""


@record
class ChainParams:
    """``startprob`` (k,) and ``transmat`` (k, k), or (k, k + 1) with the probabilities of ending last."""

    startprob: Array
    transmat: Array


@record
class ChainCounts:
    """Expected starts ``first`` (k,) and moves ``pairs``, in the shape of ``transmat``."""

    first: Array
    pairs: Array


Passed = tuple[ChainCounts, float, float]
Collect = Callable[[slice, Array], None]
Logb = Callable[[slice], Array]


@dataclasses.dataclass(frozen=True)
class Chain:
    """Labels follow a Markov chain within each sequence, whose ends come with the data (``ends``).

    Parameters
    ----------
    topology : "full", "left-to-right", "cyclic" or "banded"
        Which moves there are: all; to the same or a later state, beginning in the first; to the same or the next, the first
        after the last; to neighbours.
    bandwidth : int or None
        How far a move may go, where the topology is not "full"; None is 1 (left-to-right: any).
    absorbing : tuple of int
        States that are never left.
    end : bool
        Each state ends the sequence with a probability of its own; else sequences just stop.
    length
        Rows of a typical sequence, set by ``bind``.
    blocks : int
        Chains side by side, each of k / blocks states, of which a sequence follows one from its start to its end: a mixture
        of chains. There are no moves between blocks.

    Raises
    ------
    ValueError
        Where rows come without ends of sequences, or weights differ within a sequence.

    Examples
    --------
    >>> Chain("left-to-right").start(2).transmat.round(2).tolist()
    [[0.9, 0.1], [0.0, 1.0]]
    """

    topology: str = "full"
    bandwidth: int | None = None
    absorbing: tuple[int, ...] = ()
    end: bool = False
    length: float = 100.0
    blocks: int = 1
    names: ClassVar[tuple[str, ...]] = ("startprob", "transmat")
    settings: ClassVar[tuple[str, ...]] = ("startprob", "transmat", "sticky")

    def __post_init__(self) -> None:
        if self.topology not in TOPOLOGIES:
            raise ValueError(f"topology={self.topology!r} is unknown; choose one of {sorted(TOPOLOGIES)}")

    @property
    def exchangeable(self) -> bool:
        """Whether states may be renamed."""
        return self.topology == "full" and not self.absorbing and self.blocks == 1

    def bind(self, data: Any) -> Chain:
        """Check ends and weights, and note how long a typical sequence is."""
        counts = data.sum(_sequences)
        return dataclasses.replace(self, length=float(counts[1] / max(counts[0], 1.0)))

    def start(self, k: int) -> ChainParams:
        """Sticky: a state stays with probability 0.9, and goes elsewhere with equal probabilities."""
        starts, moves = starts_allowed(self, k), moves_allowed(self, k)
        transmat = np.zeros(moves.shape)
        for i, row in enumerate(moves):
            others = np.flatnonzero(row & (np.arange(row.size) != i))
            transmat[i, i] = STAY if others.size else 1.0
            transmat[i, others] = (1.0 - STAY) / max(others.size, 1)
        return ChainParams(starts / starts.sum(), transmat)

    def infer(self, params: ChainParams, logb: Logb, chunk: Chunk, assign: Assign, collect: Collect) -> Passed:
        """Counts, objective and log-likelihood of a chunk; weighted responsibilities go to ``collect``."""
        if why := self.refuses(assign):
            raise ValueError(why)
        groups = plan(params.startprob.size, *_ends_and_weights(chunk))
        return SEMIRINGS[assign.semiring](self, params, logb, chunk, groups, assign, collect)  # type: ignore[attr-defined]

    def refuses(self, assign: Any) -> str:
        """Why there is no recursion for ``assign``, or an empty text."""
        if getattr(assign, "semiring", None) in SEMIRINGS:
            return ""
        known = f"it takes {sorted(SEMIRINGS)} ({TAGS})"
        return f"assign={assign.name!r}: a chain has no recursion for it; {known}; use algorithm='em'"

    def tally(self, params: ChainParams, resp: Array, chunk: Chunk) -> ChainCounts:
        """Counts from given (weighted) responsibilities, as if neighbouring rows were independent given these."""
        ends = _ends_and_weights(chunk)[0]
        total = resp.sum(axis=1, keepdims=True)
        share = resp / np.where(total > 0, total, 1.0)
        share[ends - 1] = 0.0
        pairs = share[:-1].T @ resp[1:]
        begins = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]])
        return self._counts(resp[begins].sum(axis=0), pairs, resp[ends - 1].sum(axis=0))

    def explain(self, params: ChainParams, logb: Logb, chunk: Chunk) -> Explained:
        """Per row: log p(x_t | x_<t) (the last with the probability of ending), p(z_t | x), and the best path."""
        k, n = params.startprob.size, len(chunk)
        ends, weight = _ends_and_weights(chunk)
        law, groups, origin = self.law(params), plan(k, ends, np.ones_like(weight)), int(chunk.key[1])
        steps, resp = np.empty(n), np.empty((n, k))
        smooth(law, logb, groups, origin, resp.__setitem__, steps.__setitem__)
        return Explained(steps, resp, best(law, logb, groups, origin, n))

    def ahead(self, params: ChainParams, logb: Logb, chunk: Chunk) -> Array:
        """Per row p(z_t | x_<t), (n, k), given that the sequence goes on."""
        ends, weight = _ends_and_weights(chunk)
        law, groups = self.law(params), plan(params.startprob.size, ends, np.ones_like(weight))
        return states_ahead(law, filter_states(law, logb, groups, int(chunk.key[1]), len(chunk)), ends)

    def fit(self, counts: ChainCounts, params: ChainParams, support: Support) -> ChainParams:
        """The probabilities that maximise ``q``; a state that is never left keeps its row."""
        startprob, transmat = support.entries["startprob"], support.entries["transmat"]
        assert isinstance(startprob, Simplex)
        assert isinstance(transmat, Simplex)
        first = counts.first if counts.first.sum() > 0 else params.startprob
        left = counts.pairs.sum(axis=1, keepdims=True) > 0
        return ChainParams(startprob.share(first), transmat.share(np.where(left, counts.pairs, params.transmat)))

    def q(self, params: ChainParams, counts: ChainCounts) -> float:
        """``sum first log pi + sum pairs log A`` in nats (0 log 0 = 0)."""
        return _weighted_log(counts.first, params.startprob) + _weighted_log(counts.pairs, params.transmat)

    def score(self, params: ChainParams, counts: ChainCounts, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        slopes = {
            "startprob": counts.first / np.maximum(params.startprob, TINY),
            "transmat": counts.pairs / np.maximum(params.transmat, TINY),
        }
        return support.pull(params, slopes)

    sequence_scores = chain_scores.sequence_scores
    score_covariance = chain_scores.score_covariance

    def support(self, params: ChainParams, constraints: Constraints) -> Support:
        """Simplices, less what is fixed, tied or zero by topology."""
        k = params.startprob.size
        masks = {"startprob": starts_allowed(self, k), "transmat": moves_allowed(self, k)}
        held = {n: _held(n, mask, constraints) for n, mask in masks.items() if n in constraints.fixed or not mask.all()}
        full = Constraints({n: v for n, v in held.items() if v is not None}, constraints.tied)
        return Support({n: Simplex.of(n, full.pattern(n, mask.shape)) for n, mask in masks.items()})

    def prior(self, k: int, strength: Any) -> ChainCounts:
        """Dirichlet counts alpha - 1 from ``settings``; where ``strength`` is no dict it is alpha for all, None no prior.

        ``startprob`` and ``transmat`` are alpha (a number or in their shape, >= 1), ``sticky`` moves imagined to stay in each
        state. Zeros of the topology get none.
        """
        given = strength if isinstance(strength, dict) else {"startprob": strength, "transmat": strength}
        moves, sticky = moves_allowed(self, k), float(given.get("sticky") or 0.0)
        if not 0 <= sticky < np.inf:
            raise ValueError(f"prior['sticky'] must be a number >= 0 (moves imagined to stay in each state), got {sticky:g}")
        first, pairs = (_imagined(n, given.get(n), s) for n, s in (("startprob", (k,)), ("transmat", moves.shape)))
        pairs = pairs + sticky * np.eye(*moves.shape)
        return ChainCounts(np.where(starts_allowed(self, k), first, 0.0), np.where(moves, pairs, 0.0))

    def occupancy(self, counts: ChainCounts) -> Array:
        """Expected rows in each state, (k,)."""
        return np.asarray(counts.first + counts.pairs[:, : counts.first.size].sum(axis=0))

    def overall(self, params: ChainParams) -> Array:
        """Share of the rows of a sequence of typical length that each state is expected to have, (k,)."""
        k, share = params.startprob.size, params.startprob.copy()
        moves, total = params.transmat[:, :k], 1
        while total < self.length:  # the rows so far, and as many after them
            share, total = share + share @ moves, 2 * total
            moves = moves @ moves
        return np.asarray(share / share.sum())

    def adopt(self, name: str, value: Array, k: int, argument: str) -> Array:
        """A user's array for one parameter; raises ValueError naming ``argument``. With ``end``, (k, k) leaves no ending."""
        expected = np.shape(getattr(self.start(k), name))
        if name == "transmat" and self.end and value.shape == (k, k):
            return np.hstack([value, np.maximum(1.0 - value.sum(axis=1, keepdims=True), 0.0)])
        if value.shape != expected:
            raise ValueError(f"{argument} has shape {value.shape}, expected {expected}")
        return value

    def permute(self, params: ChainParams, order: NDArray[np.intp]) -> ChainParams:
        """States in another order."""
        k = params.startprob.size
        moves = params.transmat[order]
        return ChainParams(params.startprob[order], np.hstack([moves[:, order], moves[:, k:]]))

    sample = chain_samples.sample
    sample_sequences = chain_samples.sample_sequences

    def law(self, params: ChainParams) -> Law:
        """The parameters as the recursions read them."""
        k = params.startprob.size
        return Law.of(params.startprob, params.transmat[:, :k], params.transmat[:, k] if self.end else None)

    def counted(self, sums: Sums) -> ChainCounts:
        """Expected counts from what a pass has summed."""
        return self._counts(sums.first, sums.pairs[0], sums.last)

    def _counts(self, first: Array, pairs: Array, last: Array) -> ChainCounts:
        return ChainCounts(first, np.hstack([pairs, last[:, None]]) if self.end else pairs)

    def _of_path(
        self, path: NDArray[np.intp], k: int, chunk: Chunk, groups: list[Group], collect: Collect, weight: Array
    ) -> ChainCounts:
        """Counts of given paths, ``weight`` (s,) each, whose one-hot responsibilities go to ``collect``."""
        ends = _ends_and_weights(chunk)[0]
        weights = np.repeat(weight, np.diff(ends, prepend=0))
        for span in (span for group in groups for span in group):
            resp = np.zeros((k, span.n))
            resp[path[span.rows], np.arange(span.n)] = weights[span.rows]
            collect(span.rows, resp.T)
        begins = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]])
        inner = np.ones(len(path), dtype=bool)
        inner[begins] = False
        t = np.flatnonzero(inner)
        pairs = np.bincount(path[t - 1] * k + path[t], weights[t], k * k).reshape(k, k).astype(float)
        first, last = (np.bincount(path[at], weight, k).astype(float) for at in (begins, ends - 1))
        return self._counts(first, pairs, last)


def _soft(self: Chain, p: ChainParams, logb: Logb, chunk: Chunk, groups: list[Group], assign: Any, collect: Collect) -> Passed:
    sums = smooth(self.law(p), logb, groups, int(chunk.key[1]), collect)
    return self.counted(sums), sums.loglik, sums.loglik


def _hard(self: Chain, p: ChainParams, logb: Logb, chunk: Chunk, groups: list[Group], assign: Any, collect: Collect) -> Passed:
    law, origin = self.law(p), int(chunk.key[1])
    loglik = sum(float(np.add.reduceat(steps, s.begins) @ s.weight) for s, steps in steps_of(law, logb, groups, origin))
    path, weight = best(law, logb, groups, origin, len(chunk)), _ends_and_weights(chunk)[1]
    objective = float(path_values(law, logb, groups, path) @ weight)
    return self._of_path(path, p.startprob.size, chunk, groups, collect, weight), objective, loglik


def _drawn(self: Chain, p: ChainParams, logb: Logb, chunk: Chunk, groups: list[Group], assign: Any, collect: Collect) -> Passed:
    law, (ends, weight) = self.law(p), _ends_and_weights(chunk)
    times, steps = assign.times(weight), np.zeros(0)
    counts: Any = None
    for first in range(0, int(times.max()), TOGETHER):
        which = range(first, min(first + TOGETHER, int(times.max())))
        uniforms = np.array([assign.uniforms(chunk.key, len(chunk), j) for j in which])
        paths, steps = draw(law, logb, groups, int(chunk.key[1]), uniforms)
        for j, path in zip(which, paths, strict=True):
            found = self._of_path(path, p.startprob.size, chunk, groups, collect, np.where(times > j, weight / times, 0.0))
            counts = found if counts is None else counts + found
    loglik = float(np.add.reduceat(steps, np.concatenate([[0], ends[:-1]])) @ weight)
    return counts, loglik, loglik


def _tempered(
    self: Chain, p: ChainParams, logb: Logb, chunk: Chunk, groups: list[Group], assign: Any, collect: Collect
) -> Passed:
    law, origin, beta = self.law(p), int(chunk.key[1]), assign.beta
    loglik = sum(float(np.add.reduceat(steps, s.begins) @ s.weight) for s, steps in steps_of(law, logb, groups, origin))
    shaken = np.broadcast_to(assign.shaken(chunk.key, len(chunk), p.startprob.size), (len(chunk), p.startprob.size))
    sums = smooth(law.power(beta), lambda rows: beta * logb(rows) + shaken[rows], groups, origin, collect)
    return self.counted(sums), sums.loglik / beta, loglik


SEMIRINGS: dict[str, Callable[..., Passed]] = {"sum": _soft, "max": _hard, "draw": _drawn, "power": _tempered}
TAGS = "soft, hard, sampled and tempered assignments"


def _ends_and_weights(chunk: Chunk) -> tuple[NDArray[np.int64], Array]:
    """Ends and weight of every sequence of a chunk; raises ValueError where it has no ends."""
    if chunk.ends is None:
        raise ValueError(
            "a chain needs to know where sequences end: give ends to the data (Memory(x, ends=...)); "
            "estimators take a list of arrays, sequence= or lengths="
        )
    ends = np.asarray(chunk.ends, dtype=np.int64)
    if len(ends) == 0 or ends[-1] != len(chunk) or (np.diff(ends, prepend=0) < 1).any():
        raise ValueError(
            f"ends {ends[:5].tolist()}... must increase to the number of rows, {len(chunk)}: one for each sequence"
        )
    return ends, np.ones(len(ends)) if chunk.weight is None else np.asarray(chunk.weight[ends - 1], dtype=float)


def _sequences(chunk: Chunk) -> Array:
    """Number of sequences and of rows; raises ValueError where weights differ within a sequence."""
    ends, weight = _ends_and_weights(chunk)
    if chunk.weight is not None and (odd := np.flatnonzero(chunk.weight != np.repeat(weight, np.diff(ends, prepend=0)))).size:
        raise ValueError(
            f"row {int(chunk.key[1] + odd[0])} has a weight unlike its sequence's; rows of one sequence share its weight"
        )
    return np.array([len(ends), len(chunk)], dtype=float)


def _held(name: str, mask: NDArray[np.bool_], constraints: Constraints) -> Array | None:
    """Fixed values of a parameter with the zeros of the topology among them."""
    value = constraints.fixed.get(name)
    value = np.full(mask.shape, np.nan) if value is None else np.array(value, dtype=float)
    if value.shape == mask.shape:
        if (odd := np.argwhere(~mask & (np.nan_to_num(value) != 0))).size:
            raise ValueError(f"fixed[{name!r}]{odd[0].tolist()} is {value[tuple(odd[0])]:g}, but the topology has no such move")
        value[~mask] = 0.0
    return value


def _imagined(name: str, strength: Any, shape: tuple[int, ...]) -> Array:
    value = np.ones(shape) if strength is None else np.asarray(strength, dtype=float)
    if value.shape not in ((), shape) or not (value >= 1).all():
        raise ValueError(
            f"prior[{name!r}] must be a number or {shape} >= 1 (Dirichlet: 1 + imaginary counts), got {strength!r}"
        )
    alpha = np.broadcast_to(value, shape)
    return np.asarray(alpha - 1.0)


def _weighted_log(counts: Array, probs: Array) -> float:
    """``sum counts log probs``, with 0 log 0 = 0."""
    held = counts > 0
    with np.errstate(divide="ignore"):
        return float(counts[held] @ np.log(probs[held]))
