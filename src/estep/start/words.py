"""Where a motif begins: every word of its width that occurs, one EM step from each, the best of them run on.

    seed of a word    f_w(a) = 0.5, or 0.4, for its letter, the rest shared by the others
    one EM step       Z from the seed;  f = (sum Z [x = a] + imagined) / total;  L of the data at f
    kept              of either strength of seed the words with the highest L, none within a few letters of a better one

All words at once: with windows as indicators H (N, W m), the log ratios of U words are one matrix product (U, W m) (W m, N),
and the letters they count another, Z H. Sequences with any number of sites are ranked by the mixture of windows,
sum log(1 - lambda + lambda exp(r)), for several lambda; the runs that follow use the law itself.

symbol   variable   shape
H        marks      (S, N, W m)   letters of every open window, on each strand
Z        resp       (U, N)

Source: Bailey & Elkan (1995), Machine Learning 21:51 (starting points of MEME).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.models.motif import Motif, MotifParams, room

BLOCK = 1 << 18
"""Values of the largest array: words of a block times windows."""
FEWEST = 64
"""Words of a block at least: a matrix product with fewer rows is slow."""
PAIRS = 1 << 25
"""Words times windows that are looked at; of more words as many are drawn at random."""
WINDOWS = 1 << 14
"""Windows by which words are ranked; of more sequences as many are drawn at random. The runs that follow see all."""
NEAR = 3
"""Words that begin within so many letters of a better one are left out: shifts of the motif are tried after the fit."""
SEEDS = (0.5, 0.4)
"""Probability of a word's letters in its seed; softer seeds reach other optima."""


@dataclasses.dataclass(frozen=True)
class Word:
    """A start: the word's text as codes, the row where it first occurs, the share of sites, and parameters after one step."""

    codes: NDArray[np.int64]
    row: int
    objective: float
    params: MotifParams


@dataclasses.dataclass(frozen=True)
class Windows:
    """Every open window: its first row, letters (N, W) with -1 unknown, sequence, log of its openness; words are distinct."""

    rows: NDArray[np.intp]
    letters: NDArray[np.int64]
    begins: NDArray[np.intp]
    open: Array
    weight: Array
    marks: NDArray[np.float32]
    base: NDArray[np.float32]
    words: NDArray[np.intp]

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.rows)


def best_words(
    model: Motif,
    codes: NDArray[np.int64],
    ends: NDArray[np.int64],
    background: Array,
    count: int,
    rng: np.random.Generator,
    open: Array | None = None,
    weight: Array | None = None,
) -> list[Word]:
    """The ``count`` best words (fewer where there are fewer), best first.

    Parameters
    ----------
    model : Motif
    codes, ends : arrays (n,), (s,)
        Letters, -1 for unknown, and ends of sequences.
    background : array (m,)
        Letter frequencies.
    count : int
    rng : Generator
        Draws words, or sequences, where there are too many of them.
    open, weight : arrays (n,), (s,) or None
        Log of how open each place is, and weights of sequences.
    """
    seen = windows_of(model, *_fewer(model, codes, ends, open, weight, background, rng))
    words = seen.words
    if len(words) * seen.count > PAIRS:
        words = np.sort(rng.choice(words, max(PAIRS // seen.count, count), replace=False))
    chosen: list[Word] = []
    for i, seed in enumerate(SEEDS):
        found: list[tuple[float, int, float, Array]] = []
        most = -(-(count - len(chosen)) // (len(SEEDS) - i))
        for share in shares_tried(model, seen):
            for block, values, probs in steps(model, seen, words, share, seed):
                top = np.argsort(-values, kind="stable")[: most * (2 * NEAR + 2)]
                found += [(float(values[j]), int(block[j]), share, probs[j]) for j in top]
        found.sort(key=lambda each: -each[0])
        chosen += _apart(model, seen, found, background, most)
    return sorted(chosen, key=lambda word: -word.objective)


def _fewer(
    model: Motif, codes: NDArray[np.int64], ends: NDArray[np.int64], open: Any, weight: Any, background: Array, rng: Any
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array, Any, Any]:
    """The sequences, or as many of them, drawn at random, as hold WINDOWS windows."""
    lengths = np.diff(ends, prepend=0)
    if len(codes) <= WINDOWS or len(ends) == 1:
        return codes, ends, background, open, weight
    drawn = rng.permutation(len(ends))
    kept = np.sort(drawn[: max(int(np.searchsorted(np.cumsum(lengths[drawn]), WINDOWS)), 1)])
    rows = np.repeat(np.isin(np.arange(len(ends)), kept), lengths)
    told = None if weight is None else weight[kept]
    return codes[rows], np.cumsum(lengths[kept]), background, None if open is None else open[rows], told


def windows_of(
    model: Motif, codes: NDArray[np.int64], ends: NDArray[np.int64], background: Array, open: Array | None, weight: Array | None
) -> Windows:
    """The windows where a site may begin, and the first of each word without unknown letters."""
    logs = room(ends, model.width) + (0.0 if open is None else open)
    rows = np.flatnonzero(logs > -np.inf)
    letters = codes[rows[:, None] + np.arange(model.width)]
    which = np.searchsorted(ends, rows, side="right")
    begins = np.flatnonzero(np.diff(which, prepend=-1))
    each = np.ones(len(ends)) if weight is None else weight
    frequencies = np.append(np.log(np.maximum(background, np.finfo(float).tiny)), 0.0)
    base = np.asarray(frequencies[letters].sum(axis=1), dtype=np.float32)
    known = np.flatnonzero((letters >= 0).all(axis=1))
    words = known[np.sort(np.unique(letters[known], axis=0, return_index=True)[1])] if known.size else known
    return Windows(rows, letters, begins, logs[rows], each[which[begins]], _marks(model, letters), base, words)


def _marks(model: Motif, letters: NDArray[np.int64]) -> NDArray[np.float32]:
    """Indicators (S, N, W m); the second strand's letters are complemented and read backwards."""
    strands = [letters]
    if model.both_strands:
        facing = np.append(np.array(model.complement), -1)
        strands.append(facing[letters][:, ::-1])
    out = np.zeros((len(strands), *letters.shape, model.size), dtype=np.float32)
    for s, text in enumerate(strands):
        np.put_along_axis(out[s], np.maximum(text, 0)[..., None], (text >= 0)[..., None].astype(np.float32), axis=2)
    return out.reshape(len(strands), len(letters), -1)


def shares_tried(model: Motif, seen: Windows) -> list[float]:
    """Probabilities of a site that starts are tried with: doubling from few sites to as many as there is room for."""
    if not model.sites.fitted:
        return [1.0]
    few = np.sqrt(max(len(seen.begins), 1))
    low, high = (1.0 / few, 1.0) if model.law == "at most one" else (few / seen.count, 0.5 / model.width)
    tried = [low]
    while 2.0 * tried[-1] < high:
        tried.append(2.0 * tried[-1])
    return [min(share, 0.5 + 0.5 * high) for share in tried]


def steps(
    model: Motif, seen: Windows, words: NDArray[np.intp], share: float, seed: float = SEEDS[0]
) -> Iterator[tuple[NDArray[np.intp], Array, Array]]:
    """Block by block: words, log-likelihood after one EM step from each, and the columns found, (U, rows, m)."""
    size = max(BLOCK // max(seen.count, 1), FEWEST)
    imagined = model.pseudocounts
    weight = np.asarray(_spread(seen), dtype=np.float32)
    low, high = np.log((1.0 - seed) / (model.size - 1)), np.log(seed)
    for at in range(0, len(words), size):
        block = words[at : at + size]
        seeds = np.asarray(np.where(seen.marks[0][block] > 0, high, low), dtype=np.float32)
        resp = _filled(model, seen, seeds, share)[0]
        if (weight != 1.0).any():
            resp = [z * weight for z in resp]
        parts = [np.asarray(z @ marks, dtype=float) for z, marks in zip(resp, seen.marks, strict=True)]
        counts = np.add.reduce(parts).reshape(len(block), model.width, model.size)
        columns = _shared(model, counts + imagined)
        with np.errstate(divide="ignore"):
            logs = np.maximum(np.log(columns), -1e4).astype(np.float32).reshape(len(block), -1)
        yield block, _filled(model, seen, logs, share, needed=False)[1], columns[:, : model.rows]


def _shared(model: Motif, counts: Array) -> Array:
    """Columns in proportion to counts (U, W, m); those of a palindrome to counts of both columns of a pair."""
    if model.palindrome:
        counts = counts + counts[:, ::-1][:, :, np.array(model.complement)]
    total = counts.sum(axis=2, keepdims=True)
    return np.asarray(np.where(total > 0, counts / np.where(total > 0, total, 1.0), 1.0 / model.size))


def _filled(
    model: Motif, seen: Windows, logs: NDArray[np.float32], share: float, needed: bool = True
) -> tuple[list[NDArray[np.float32]], Array]:
    """Posteriors of every window for each set of columns ``logs`` (U, W m), by strand, and log-likelihood ratios (U,).

    Without ``needed`` there are no posteriors.
    """
    strands = len(seen.marks)
    shift = np.asarray(seen.open - np.log(strands) - seen.base, dtype=np.float32)
    ways = [logs @ marks.T for marks in seen.marks]
    for way in ways:
        way += shift
    top = np.maximum.reduce(ways) if strands > 1 else ways[0]
    if model.law not in ("one", "at most one"):
        top = np.maximum(top, 0.0)
        odds = [np.float32(share) * np.exp(way - top) for way in ways]
        total = sum(odds) + np.asarray(1.0 - share * np.exp(seen.open), dtype=np.float32) * np.exp(-top)
        return [part / total for part in odds], np.asarray((np.log(total) + top) @ _spread(seen), dtype=float)
    highest = np.maximum.reduceat(top, seen.begins, axis=1)
    if share < 1.0:
        highest = np.maximum(highest, 0.0)
    lengths = np.diff(np.append(seen.begins, seen.count))
    for way in ways:
        way -= np.repeat(highest, lengths, axis=1)
        np.exp(way, out=way)
    places = np.add.reduceat(np.exp(seen.open), seen.begins)
    inside = share / places * sum(np.add.reduceat(way, seen.begins, axis=1) for way in ways)
    total = inside + (1.0 - share) * np.exp(-highest)
    if needed:
        scale = np.repeat(np.asarray(share / places / total, dtype=np.float32), lengths, axis=1)
        for way in ways:
            way *= scale
    return ways, np.asarray((np.log(total) + highest) @ seen.weight, dtype=float)


def _spread(seen: Windows) -> Array:
    return np.repeat(seen.weight, np.diff(np.append(seen.begins, seen.count)))


def _apart(
    model: Motif, seen: Windows, found: list[tuple[float, int, float, Array]], background: Array, count: int
) -> list[Word]:
    """The best words that do not begin within NEAR letters of a better one."""
    chosen: list[Word] = []
    for value, window, share, probs in found:
        row = int(seen.rows[window])
        if len(chosen) == count:
            break
        if all(abs(row - word.row) > NEAR for word in chosen):
            held = probs if model.held is None else np.where(np.isnan(model.held), probs, model.held)
            params = MotifParams(within(model, held), background, model.first_shares(share))
            chosen.append(Word(seen.letters[window], row, value, params))
    return chosen


def within(model: Motif, probs: Array) -> Array:
    """Rows of probabilities that obey the fixed entries."""
    if model.held is None:
        return probs
    free = np.isnan(model.held)
    left = 1.0 - np.where(free, 0.0, model.held).sum(axis=1, keepdims=True)
    total = np.where(free, probs, 0.0).sum(axis=1, keepdims=True)
    return np.asarray(np.where(free, probs * left / np.where(total > 0, total, 1.0), model.held))
