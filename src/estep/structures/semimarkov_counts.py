"""What a semi-Markov chain counts, and how it fills in labels: softly, by the best path, by a drawn one, or by powers.

soft       expected starts, moves and segments by length, from forward-backward
hard       those of the path that maximises log p(x, z)
sampled    those of a path drawn from p(z | x)
tempered   expected ones under p(x, z)^beta, normalised; objective log sum p(x, z)^beta / beta
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.protocols import Chunk
from estep.core.record import Array, record
from estep.structures.chain import _ends_and_weights
from estep.structures.durations import DurationCounts
from estep.structures.semimarkov_pass import Path, SegmentLaw, SegmentSums, best, draw, joint_of, segments_of, smooth

PREFIX = "duration_"
Logb = Callable[[slice], Array]
Flags = NDArray[np.bool_]


@record
class SemiMarkovParams:
    """``startprob`` (k,), ``transmat`` (k, k), and the parameters of the duration family (also as ``duration_<name>``)."""

    startprob: Array
    transmat: Array
    duration: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith(PREFIX):
            return getattr(self.duration, name.removeprefix(PREFIX))
        raise AttributeError(name)


@record
class SemiMarkovCounts:
    """Expected starts ``first`` (k,), moves ``pairs`` (k, k) and segments by length."""

    first: Array
    pairs: Array
    lengths: DurationCounts


def lasting_of(params: SemiMarkovParams) -> Flags:
    """States that are never left, (k,): all of whose moves stay."""
    return np.asarray(params.transmat.diagonal() == 1.0)


def counts_of(path: Path, lasting: Flags, ends: NDArray[np.int64], weight: Array, structure: Any) -> SemiMarkovCounts:
    """Counts of given paths of sequences that end at ``ends``, with weights (s,); ``lasting``: never left (k,).

    Segments longer than the longest duration of ``structure`` count as such.
    """
    k = len(lasting)
    states, lengths, last, of = segments_of(path, ends)
    begins, share = np.concatenate([[True], last[:-1]]), weight[of]
    first = np.bincount(states[begins], share[begins], k).astype(float)
    leaving = ~last[:-1]
    pairs = np.bincount((states[:-1] * k + states[1:])[leaving], share[:-1][leaving], k * k).reshape(k, k).astype(float)
    lengths = np.minimum(lengths, structure.durations.last or lengths.max())
    size = int(lengths.max())
    cells: list[Array] = []
    open_ = last & structure.censored
    for which in (~open_ & ~lasting[states], open_ & ~lasting[states]):
        at = states[which] * size + lengths[which] - 1
        cells.append(np.bincount(at, share[which], k * size).reshape(k, size).astype(float))
    return SemiMarkovCounts(first, pairs, DurationCounts(*cells))


Found = tuple[SemiMarkovCounts, Array, float, float]


def counted(self: Any, sums: SegmentSums) -> SemiMarkovCounts:
    """Expected counts from what a pass has summed; without censoring the last segments ended too."""
    last = sums.running if self.censored else np.zeros_like(sums.running)
    ended = sums.ended if self.censored else sums.ended + sums.running
    return SemiMarkovCounts(sums.first, sums.pairs, DurationCounts(ended, last))


def _summed(self: Any, law: SegmentLaw, logb: Logb, chunk: Chunk) -> tuple[SemiMarkovCounts, Array, float]:
    ends, weight = _ends_and_weights(chunk)
    sums = smooth(law, logb, ends, weight, int(chunk.key[1]))
    return counted(self, sums), sums.resp.T, sums.loglik


def _soft(self: Any, params: SemiMarkovParams, logb: Logb, chunk: Chunk, assign: Any) -> Found:
    counts, resp, loglik = _summed(self, self.law(params, _ends_and_weights(chunk)[0]), logb, chunk)
    return counts, resp, loglik, loglik


def _tempered(self: Any, params: SemiMarkovParams, logb: Logb, chunk: Chunk, assign: Any) -> Found:
    law, beta = self.law(params, _ends_and_weights(chunk)[0]), assign.beta
    loglik = _summed(self, law, logb, chunk)[2]
    shaken = np.broadcast_to(assign.shaken(chunk.key, len(chunk), law.k), (len(chunk), law.k))
    counts, resp, scaled = _summed(self, law.power(beta), lambda rows: beta * logb(rows) + shaken[rows], chunk)
    return counts, resp, scaled / beta, loglik


def _path(self: Any, path: Path, lasting: Flags, chunk: Chunk, weight: Array) -> tuple[SemiMarkovCounts, Array]:
    ends, resp = _ends_and_weights(chunk)[0], np.zeros((len(path), len(lasting)))
    resp[np.arange(len(path)), path] = np.repeat(weight, np.diff(ends, prepend=0))
    return counts_of(path, lasting, ends, weight, self), resp


def _hard(self: Any, params: SemiMarkovParams, logb: Logb, chunk: Chunk, assign: Any) -> Found:
    ends, weight = _ends_and_weights(chunk)
    law, origin = self.law(params, ends), int(chunk.key[1])
    path, values = best(law, logb, ends, origin)
    loglik = smooth(law, logb, ends, weight, origin).loglik
    counts, resp = _path(self, path, law.lasting, chunk, weight)
    return counts, resp, float(values @ weight), loglik


def _drawn(self: Any, params: SemiMarkovParams, logb: Logb, chunk: Chunk, assign: Any) -> Found:
    ends, weight = _ends_and_weights(chunk)
    law, times = self.law(params, ends), assign.times(weight)
    counts: Any = None
    resp: Any = 0.0
    seen = list(joint_of(law, logb, ends, int(chunk.key[1])))
    for j in range(int(times.max())):
        path = draw(law, seen, assign.uniforms(chunk.key, len(chunk), j))
        drawn, shares = _path(self, path, law.lasting, chunk, np.where(times > j, weight / times, 0.0))
        counts, resp = drawn if counts is None else counts + drawn, resp + shares
    loglik = float(np.array([one.loglik for one in seen]) @ weight)
    return counts, resp, loglik, loglik


SEMIRINGS: dict[str, Callable[..., Found]] = {"sum": _soft, "max": _hard, "draw": _drawn, "power": _tempered}
