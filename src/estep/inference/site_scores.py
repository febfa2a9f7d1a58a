"""How often background alone scores as high as a site: the exact law of a motif's score over words of background letters.

    score(x) = sum_w s_w(x_w),   s_w(a) = log2 f_w(a) - log2 b(a), rounded to whole units of a fraction of a bit
    p(score = q | background): column by column, P_w(q) = sum_a b(a) P_{w-1}(q - s_w(a))
    p-value of a site = P(score >= its score),   of one word read on one strand

Rounded scores are whole numbers, so that the recursion is exact: p-values are those of the rounded score, which is within
``W / 2`` units of the score itself. A letter with f_w(a) = 0 has the score -inf. A column whose letter is not known says
nothing and is left out: the p-value is given which letters are known.

Under the background P(p-value <= u) <= u for every u, with equality at the values that it takes. Where L places and S strands
are looked at, L S u of them are expected at or below u: a site's own p-value says nothing of how many words were tried.

symbol   variable     shape
f        columns      (W, m)
b        background   (m,)
s        scores       (W, m)   in units; IMPOSSIBLE where f = 0
         tail         (range,)   P(score >= lowest + i)

Source: Staden (1989), CABIOS 5:89.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array

UNIT = 1e-3
"""Bits of a unit, where the scores of a motif span no more than MOST_UNITS of them."""
MOST_UNITS = 1 << 16
IMPOSSIBLE = np.iinfo(np.int64).min // (1 << 20)
"""Score of a letter that a column does not have; sums of it over any width stay far below all others."""


@dataclasses.dataclass(frozen=True)
class ScoreLaw:
    """The law of a motif's score over words of background letters; make it by ``score_law``.

    Attributes
    ----------
    scores : int array (W, m)
        Scores of letters, in units.
    unit : float
        Bits of a unit.
    background : array (m,)
    """

    scores: NDArray[np.int64]
    unit: float
    background: Array

    def score(self, codes: NDArray[np.int64]) -> Array:
        """Scores of words (N, W) in bits, as rounded; -1 is an unknown letter."""
        total = self._units(np.atleast_2d(codes))
        return np.where(total < IMPOSSIBLE // 2, -np.inf, total * self.unit)

    def pvalue(self, codes: NDArray[np.int64]) -> Array:
        """P(score >= that of each word) for words (N, W) of codes, over the letters that are known, (N,)."""
        codes = np.atleast_2d(codes)
        total, known = self._units(codes), codes >= 0
        out = np.empty(len(codes))
        kinds, which = np.unique(known, axis=0, return_inverse=True)
        for i, columns in enumerate(kinds):
            lowest, tail = tail_of(self.scores[columns], self.background)
            rows = which.reshape(-1) == i
            out[rows] = tail[np.clip(total[rows] - lowest, 0, len(tail) - 1)]
            out[rows & (total < IMPOSSIBLE // 2)] = 1.0
        return out

    def threshold(self, pvalue: float) -> float:
        """The lowest score, in bits, that background words reach with at most this probability; inf where there is none."""
        lowest, tail = tail_of(self.scores, self.background)
        at = int(np.searchsorted(-tail, -pvalue))
        return float("inf") if at == len(tail) - 1 else (lowest + at) * self.unit

    def _units(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        each = np.take_along_axis(self.scores[None], np.maximum(codes, 0)[:, :, None], axis=2)[:, :, 0]
        return np.asarray(np.where(codes >= 0, each, 0).sum(axis=1))


def score_law(columns: Array, background: Array) -> ScoreLaw:
    """The law of the score of a motif with letter probabilities ``columns`` (W, m) over letters from ``background`` (m,).

    Letters of background probability zero do not occur; their score is 0.

    Examples
    --------
    >>> law = score_law(np.array([[0.5, 0.5, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]]), np.full(4, 0.25))
    >>> law.score(np.array([[0, 3], [2, 0]])).tolist(), law.pvalue(np.array([[0, 3], [2, 0]])).tolist()
    ([1.0, -inf], [0.5, 1.0])
    """
    occurs = background > 0
    with np.errstate(divide="ignore"):
        bits = np.where(occurs, np.log2(columns) - np.log2(np.where(occurs, background, 1.0)), 0.0)
    finite = np.where(np.isneginf(bits), np.inf, bits)
    lowest = np.where(np.isinf(finite.min(axis=1)), 0.0, finite.min(axis=1))
    span = float((np.maximum(bits.max(axis=1), lowest) - lowest).sum())
    unit = max(UNIT, span / MOST_UNITS)
    scores = np.where(np.isneginf(bits), IMPOSSIBLE, np.round(np.where(np.isneginf(bits), 0.0, bits) / unit)).astype(np.int64)
    return ScoreLaw(scores, unit, np.asarray(background, dtype=float))


def tail_of(scores: NDArray[np.int64], background: Array) -> tuple[int, Array]:
    """The lowest score that is possible, and P(score >= it + i) for every i up to the highest, the last entry 0."""
    law, lowest = np.ones(1), 0
    for column in scores:
        can = (column > IMPOSSIBLE) & (background > 0)
        if not can.any():
            return 0, np.zeros(1)
        low, high = int(column[can].min()), int(column[can].max())
        wider = np.zeros(len(law) + high - low)
        for step, share in zip(column[can] - low, background[can], strict=True):
            wider[step : step + len(law)] += share * law
        law, lowest = wider, lowest + low
    return lowest, np.append(np.cumsum(law[::-1])[::-1], 0.0)
