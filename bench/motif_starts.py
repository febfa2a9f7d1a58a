"""Passes a second of a motif's starts: one EM step and its likelihood from every word at once, against a loop over words.

The loop is what one writes with numpy: for each word a sum of columns of log ratios over all windows, posteriors by sequence,
and counts by ``bincount``. Both must find the same likelihoods (ours in single precision) before they are timed.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import measure
import numpy as np
from measure import Line, Plan

ROW = "motif_starts"
CASES = ((18, 105, 22), (100, 200, 12))  # sequences, letters of each, width; the first is the size of the CRP promoters
AGREE, MOST = 1e-4, 1500


def run(plan: Plan) -> Iterator[Line]:
    """Every case."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        for n, length, width in CASES:
            yield _case(n // 4 if plan.quick else n, length, width, plan)


def _case(n: int, length: int, width: int, plan: Plan) -> Line:
    from estep.models.motif import Motif
    from estep.start.words import steps, windows_of

    rng = np.random.default_rng([n, length, width])
    codes, ends = rng.integers(0, 4, n * length), np.arange(1, n + 1) * length
    background = np.bincount(codes, minlength=4) / codes.size
    model = Motif(width, 4, imagined=0.01 * background)
    seen = windows_of(model, codes, ends, background, None, None)

    words = seen.words[:MOST]
    some = words[:: max(len(words) // 100, 1)]

    def ours() -> Any:
        return np.concatenate([values for _, values, _ in steps(model, seen, words, 1.0)])

    def loop() -> Any:
        return np.array([_step(seen.letters[w], seen.letters, n, background) for w in some])

    case, label = f"{n} x {length} letters, W={width}", "a loop in numpy"
    found, told = ours()[np.searchsorted(words, some)], loop()
    if not np.allclose(found, told, rtol=AGREE, atol=AGREE * n):
        gap = np.abs(found - told).max()
        return Line(ROW, case, label, "passes/s", note=f"likelihoods differ by {gap:.1e}; not timed", met=False)
    timers = {"ours": lambda: measure.seconds(ours) / len(words), "theirs": lambda: measure.seconds(loop) / len(some)}
    times = measure.interleaved(timers, plan.repeats)
    return Line(
        ROW,
        case,
        label,
        "passes/s",
        ours=2.0 / statistics.median(times["ours"]),
        theirs=2.0 / statistics.median(times["theirs"]),
        ratio=measure.ratio(times["theirs"], times["ours"]),
        note="an EM step and its likelihood are two passes; one thread",
    )


def _step(word: Any, letters: Any, n: int, background: Any) -> float:
    """Log-likelihood ratio after one EM step from a word."""
    width = len(word)
    probs = np.full((width, 4), 0.5 / 3)
    probs[np.arange(width), word] = 0.5
    base, value = np.log(background), 0.0
    for last in (False, True):
        ratios = np.zeros(len(letters))
        for w in range(width):
            ratios += np.log(probs[w])[letters[:, w]] - base[letters[:, w]]
        each = ratios.reshape(n, -1)
        top = each.max(axis=1, keepdims=True)
        odds = np.exp(each - top)
        total = odds.sum(axis=1, keepdims=True)
        value = float((np.log(total / each.shape[1]) + top).sum())
        if not last:
            resp = (odds / total).ravel()
            counts = np.array([np.bincount(letters[:, w], resp, 4) for w in range(width)]) + 0.01 * background
            probs = counts / counts.sum(axis=1, keepdims=True)
    return value
