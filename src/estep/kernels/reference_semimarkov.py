"""Hidden semi-Markov chains from their definition, never optimised: what ``semimarkov.py`` and its logs are held to.

Every way to cut a sequence into segments of neighbouring unequal states is listed:

    log p(x, cut) = log pi(j_1) + sum_m [ log A(j_{m-1}, j_m) ] + sum_{m<last} log p_{j_m}(d_m) + log R_j(d_last) + sum_t logb_t

``shares`` p and ``closing`` R are (k, D); segments longer than D rows have probability zero. ``lasting`` states are never left,
and their segments have probability one whatever their length.

Source: Ferguson (1980), Variable duration models for speech, in Hidden Markov Models for Text and Speech, IDA-CRD, 143-179.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array

Segments = tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class SegmentCounts:
    """Expected starts (k,), moves (k, k), lengths of ended and of last segments (k, D), responsibilities (n, k)."""

    first: Array
    pairs: Array
    ended: Array
    running: Array
    resp: Array
    loglik: float


def segmentations(n: int, k: int, before: int = -1) -> Iterator[Segments]:
    """Every way to cut ``n`` rows into segments ``(state, length)``, neighbours unequal.

    >>> [cut for cut in segmentations(2, 2)]
    [((0, 1), (1, 1)), ((0, 2),), ((1, 1), (0, 1)), ((1, 2),)]
    """
    if n == 0:
        yield ()
        return
    for j in range(k):
        if j != before:
            for d in range(1, n + 1):
                yield from (((j, d), *rest) for rest in segmentations(n - d, k, j))


def path_of(cut: Segments) -> NDArray[np.intp]:
    """The state of each row."""
    return np.repeat([j for j, _ in cut], [d for _, d in cut]).astype(np.intp)


def log_prior_of_cut(
    cut: Segments, start: Array, moves: Array, shares: Array, closing: Array, lasting: NDArray[np.bool_] | None = None
) -> float:
    """``log p(cut)``: starts, moves and lengths."""
    forever = np.zeros(len(start), dtype=bool) if lasting is None else lasting
    with np.errstate(divide="ignore"):
        value = float(np.log(start[cut[0][0]]))
        for (i, _), (j, _) in zip(cut[:-1], cut[1:], strict=True):
            value += -np.inf if forever[i] else float(np.log(moves[i, j]))
        for m, (j, d) in enumerate(cut):
            law = closing if m == len(cut) - 1 else shares
            if not forever[j]:
                value += float(np.log(law[j, d - 1])) if d <= law.shape[1] else -np.inf
    return value


def cuts_reference(
    start: Array, moves: Array, shares: Array, closing: Array, logb: Array, lasting: NDArray[np.bool_] | None = None
) -> list[tuple[float, Segments]]:
    """Every segmentation of the rows of ``logb`` (n, k) with its log p(x, z), the best first."""
    n, k = logb.shape
    found = [
        (log_prior_of_cut(cut, start, moves, shares, closing, lasting) + float(logb[np.arange(n), path_of(cut)].sum()), cut)
        for cut in segmentations(n, k)
    ]
    return sorted(found, key=lambda each: -each[0])


def counts_reference(
    start: Array, moves: Array, shares: Array, closing: Array, logb: Array, lasting: NDArray[np.bool_] | None = None
) -> SegmentCounts:
    """Posterior means over all segmentations of one sequence, and its log-likelihood."""
    (n, k), longest = logb.shape, shares.shape[1]
    cuts = cuts_reference(start, moves, shares, closing, logb, lasting)
    loglik = float(np.logaddexp.reduce([value for value, _ in cuts]))
    first, pairs, ended, running, resp = (np.zeros(shape) for shape in ((k,), (k, k), (k, longest), (k, longest), (n, k)))
    forever = np.zeros(k, dtype=bool) if lasting is None else lasting
    for value, cut in cuts:
        share = np.exp(value - loglik)
        if share == 0:
            continue
        first[cut[0][0]] += share
        resp[np.arange(n), path_of(cut)] += share
        for (i, d), (j, _) in zip(cut[:-1], cut[1:], strict=True):
            pairs[i, j] += share
            ended[i, d - 1] += share
        if not forever[cut[-1][0]]:
            running[cut[-1][0], cut[-1][1] - 1] += share
    return SegmentCounts(first, pairs, ended, running, resp, loglik)
