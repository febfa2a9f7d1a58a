"""Starts from words: all at once they are what one EM step from each gives, for every law, strand and weight."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from estep.core.assign import SOFT
from estep.core.letters import DNA
from estep.data.memory import Memory
from estep.engine.visit import total
from estep.models.motif import Motif, MotifParams
from estep.start import words
from estep.start.words import best_words, shares_tried, steps, windows_of

ENDS = np.cumsum([14, 9, 20])
CODES = np.random.default_rng(3).integers(0, 4, 43)
CODES[5] = -1
WEIGHT = np.array([1.0, 2.0, 3.0])
BACKGROUND = np.array([0.3, 0.2, 0.2, 0.3])


def model_of(law: str, **more: Any) -> Motif:
    imagined = np.full(4, 0.05)
    return Motif(4, 4, law, DNA.complement, background=BACKGROUND, imagined=imagined, **more)


@pytest.mark.parametrize("form", [{}, {"both_strands": True}, {"palindrome": True}], ids=str)
@pytest.mark.parametrize("law, share", [("one", 1.0), ("at most one", 0.4)])
def test_a_word_at_once_is_a_word_by_itself(law: str, share: float, form: dict[str, Any]) -> None:
    model = model_of(law, **form)
    open = np.zeros(43)
    open[[3, 20]] = np.log([0.5, 0.25])
    seen = windows_of(model, CODES, ENDS, BACKGROUND, open, WEIGHT)
    rows = np.repeat(WEIGHT, np.diff(ENDS, prepend=0))
    data = Memory(CODES, weight=rows, given=open, ends=ENDS)
    shares = np.array([share, 1.0 - share])
    base = float(rows[CODES >= 0] @ np.log(BACKGROUND)[CODES[CODES >= 0]])
    found = [
        (w, v, p)
        for block, values, probs in steps(model, seen, seen.words, share)
        for w, v, p in zip(block, values, probs, strict=True)
    ]
    assert len(found) == len(np.unique(seen.letters[(seen.letters >= 0).all(axis=1)], axis=0))
    for window, value, probs in found:
        seed = np.full((4, 4), 0.5 / 3)
        seed[np.arange(4), seen.letters[window]] = 0.5
        # seeds of palindromes are not tied: the step is made from the word as it stands, and then ties
        free = dataclasses.replace(model, palindrome=False)
        counted = total(free, data, MotifParams(seed, BACKGROUND, shares), SOFT).stats
        own = model.mstep(
            dataclasses.replace(counted, probs=model._folded(counted.probs)), MotifParams(model.half(seed), BACKGROUND, shares)
        )
        # ours is in single precision, with sums over 33 windows of 4 letters
        np.testing.assert_allclose(probs, own.probs, atol=2e-6)
        after = dataclasses.replace(own, shares=shares)
        assert value == pytest.approx(total(model, data, after, SOFT).loglik - base, abs=2e-4)


def test_words_of_any_number_are_ranked_by_the_mixture_of_windows() -> None:
    model = model_of("any")
    seen = windows_of(model, CODES, ENDS, BACKGROUND, None, None)
    tried = shares_tried(model, seen)
    assert len(tried) > 1 and np.allclose(np.array(tried[1:]) / tried[:-1], 2.0) and tried[-1] < 0.5 / 4
    block, values, probs = next(steps(model, seen, seen.words[:1], 0.05))
    letters = seen.letters
    ratios = np.zeros(len(letters))
    for w in range(4):
        known = letters[:, w] >= 0
        ratios[known] += np.log(probs[0][w] / BACKGROUND)[letters[known, w]]
    expected = np.log(0.95 + 0.05 * np.exp(ratios)).sum()
    assert values[0] == pytest.approx(expected, abs=1e-4) and block[0] == seen.words[0]


def test_the_best_words_lie_apart_and_come_in_order() -> None:
    found = best_words(model_of("one"), CODES, ENDS, BACKGROUND, 6, np.random.default_rng(0))
    values = [word.objective for word in found]
    assert values == sorted(values, reverse=True) and 2 <= len(found) <= 6
    assert all((word.codes >= 0).all() and word.params.probs.sum() == pytest.approx(4.0) for word in found)


def test_of_very_many_a_part_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "WINDOWS", 30)
    monkeypatch.setattr(words, "PAIRS", 100)
    model = model_of("one")
    one, two = (best_words(model, CODES, ENDS, BACKGROUND, 2, np.random.default_rng(5)) for _ in range(2))
    assert [w.row for w in one] == [w.row for w in two] and one  # the same seed draws the same


def test_a_motif_without_a_word_has_no_start() -> None:
    assert best_words(model_of("one"), np.full(9, -1), np.array([9]), BACKGROUND, 3, np.random.default_rng(0)) == []
