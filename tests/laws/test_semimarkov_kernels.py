"""The compiled recursions of semi-Markov chains against a list of every segmentation, scaled and in logs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estep.core.assign import ImpossibleRow
from estep.core.record import Array
from estep.kernels.reference_semimarkov import counts_reference, cuts_reference, path_of, segmentations
from estep.structures import semimarkov_pass
from estep.structures.semimarkov_pass import SegmentLaw, SegmentSums, best, draw, filtered, joint_of, predicted, smooth


def random_law(rng: np.random.Generator, k: int, longest: int, cut: bool = True, lasting: tuple[int, ...] = ()) -> SegmentLaw:
    """Starts, moves and durations drawn from flat laws; a little of every duration lies beyond the longest."""
    moves = rng.random((k, k)) * (1.0 - np.eye(k))
    moves /= np.maximum(moves.sum(axis=1, keepdims=True), 1e-300)
    never = np.isin(np.arange(k), lasting)
    moves[never] = 0.0
    shares = rng.dirichlet(np.ones(longest + 1), k)[:, :longest]
    tails = 1.0 - np.cumsum(shares, axis=1) + shares
    return SegmentLaw(rng.dirichlet(np.ones(k)), moves, never, np.log(shares), np.log(tails), cut)


def reference(law: SegmentLaw, logb: Array) -> Any:
    return counts_reference(law.start, law.moves, np.exp(law.shares), np.exp(law.closing), logb, law.lasting)


def passed(law: SegmentLaw, logb: Array, ends: list[int], weight: list[float]) -> SegmentSums:
    return smooth(law, lambda rows: logb[rows], np.array(ends, dtype=np.int64), np.array(weight), 0)


CASES = {
    "short durations": (2, 3, True, ()),
    "any duration": (3, 6, True, ()),
    "the last segment ends": (3, 4, False, ()),
    "a state that is never left": (3, 4, True, (1,)),
    "one state, never left": (1, 3, True, (0,)),
}


@pytest.mark.parametrize("name", CASES)
def test_forward_and_backward_by_enumeration(name: str) -> None:
    """Two sequences, of six and five rows, the second seen twice."""
    k, longest, cut, lasting = CASES[name]
    rng = np.random.default_rng(7)
    law, logb = random_law(rng, k, longest, cut, lasting), 2.0 * rng.standard_normal((11, k))
    found, one, two = passed(law, logb, [6, 11], [1.0, 2.0]), reference(law, logb[:6]), reference(law, logb[6:])
    for field in ("first", "pairs", "ended", "running"):
        np.testing.assert_allclose(getattr(found, field), getattr(one, field) + 2.0 * getattr(two, field), atol=1e-13)
    np.testing.assert_allclose(found.resp.T, np.vstack([one.resp, 2.0 * two.resp]), atol=1e-13)
    assert found.loglik == pytest.approx(one.loglik + 2.0 * two.loglik, rel=1e-13)
    assert found.steps[:6].sum() == pytest.approx(one.loglik, rel=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_logs_are_the_scaled_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    k, longest, cut, lasting = CASES[name]
    rng = np.random.default_rng(3)
    law, logb = random_law(rng, k, longest, cut, lasting), 2.0 * rng.standard_normal((9, k))
    scaled, before = passed(law, logb, [4, 9], [1.0, 0.5]), filtered(law, lambda rows: logb[rows], np.array([4, 9]), 0)
    real = semimarkov_pass._forward

    def failing(*arguments: Any) -> Any:
        seen = real(*arguments)
        return dataclasses.replace(seen, failed=np.zeros_like(seen.failed))

    monkeypatch.setattr(semimarkov_pass, "_forward", failing)
    logs = passed(law, logb, [4, 9], [1.0, 0.5])
    for field in dataclasses.fields(SegmentSums):
        np.testing.assert_allclose(getattr(logs, field.name), getattr(scaled, field.name), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(filtered(law, lambda rows: logb[rows], np.array([4, 9]), 0), before, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_the_best_path_by_enumeration(name: str) -> None:
    k, longest, cut, lasting = CASES[name]
    rng = np.random.default_rng(11)
    law, logb = random_law(rng, k, longest, cut, lasting), 2.0 * rng.standard_normal((6, k))
    path, value = best(law, lambda rows: logb[rows], np.array([6]), 0)
    ways = cuts_reference(law.start, law.moves, np.exp(law.shares), np.exp(law.closing), logb, law.lasting)
    assert value[0] == pytest.approx(ways[0][0], rel=1e-13)
    assert path.tolist() == path_of(ways[0][1]).tolist()


def test_drawn_paths_have_the_posterior() -> None:
    """Shares among 3000 draws; their standard error is at most 0.5 / sqrt(3000), and 6 of them are 2e-9 of a normal."""
    rng = np.random.default_rng(5)
    law, logb = random_law(rng, 3, 4, True, (2,)), 2.0 * rng.standard_normal((6, 3))
    seen = list(joint_of(law, lambda rows: logb[rows], np.array([6]), 0))
    shares = np.zeros((6, 3))
    for _ in range(3000):
        shares[np.arange(6), draw(law, seen, rng.random(6))] += 1 / 3000
    np.testing.assert_allclose(shares, reference(law, logb).resp, atol=6 * 0.5 / np.sqrt(3000))


def test_what_is_ahead_of_a_row_is_the_filter_without_it() -> None:
    """p(z_t | x_<t) is p(z_t | x_1..t) of rows whose last says nothing; densities of zero among them."""
    rng = np.random.default_rng(8)
    law, logb = random_law(rng, 3, 4), 2.0 * rng.standard_normal((6, 3))
    logb[2, 0], logb[4, 1] = -np.inf, -np.inf
    ahead = predicted(law, lambda rows: logb[rows], np.array([6]), 0)
    for t in range(6):
        own = filtered(law, np.vstack([logb[:t], np.zeros((1, 3))]).__getitem__, np.array([t + 1]), 0)[-1]
        np.testing.assert_allclose(ahead[t], own, rtol=1e-12)


def test_numbers_that_scaling_would_lose_go_through_logs() -> None:
    """A segment that only a duration of probability e^-900 explains: every other path is forbidden, or less likely still."""
    n, shares = 30, np.full((2, 30), -900.0)
    shares[:, 0] = -0.1
    tails = np.logaddexp.accumulate(shares[:, ::-1], axis=1)[:, ::-1]
    law = SegmentLaw(np.array([0.5, 0.5]), 1.0 - np.eye(2), np.zeros(2, dtype=bool), shares, tails, True)
    logb = np.zeros((n, 2))
    logb[3:28, 1] = -2000.0
    found = passed(law, logb, [n], [1.0])
    assert found.resp[0, 3:28] == pytest.approx(np.ones(25))
    assert found.loglik < -890.0
    scaled = semimarkov_pass._forward(law, np.ascontiguousarray(logb.T), np.array([n], dtype=np.int64))
    assert scaled.failed[0] >= 0, "the case must be one that scaling refuses"


def test_impossible_rows_are_named() -> None:
    law, logb = random_law(np.random.default_rng(0), 2, 3), np.zeros((8, 2))
    logb[6] = -np.inf
    with pytest.raises(ImpossibleRow, match="row 106 is impossible under every component"):
        smooth(law, lambda rows: logb[rows], np.array([4, 8], dtype=np.int64), np.ones(2), 100)
    logb[6] = 0.0
    logb[:4, 1] = -np.inf  # four rows in one state, of which no segment lasts more than three
    with pytest.raises(ImpossibleRow, match="row 3 is impossible given the rows"):
        smooth(law, lambda rows: logb[rows], np.array([4, 8], dtype=np.int64), np.ones(2), 0)
    with pytest.raises(ImpossibleRow, match="row 3"):
        best(law, lambda rows: logb[rows], np.array([4, 8], dtype=np.int64), 0)


def test_a_long_chain_counts_what_it_should() -> None:
    """4000 rows: responsibilities of a row, ended and begun segments, and moves agree with one another."""
    rng = np.random.default_rng(2)
    law, logb = random_law(rng, 4, 50), 3.0 * rng.standard_normal((4000, 4))
    found = passed(law, logb, [1500, 4000], [1.0, 1.0])
    np.testing.assert_allclose(found.resp.sum(axis=0), 1.0, atol=1e-10)
    segments = found.first.sum() + found.pairs.sum()
    assert found.ended.sum() + found.running.sum() == pytest.approx(segments, rel=1e-12)
    assert found.running.sum() == pytest.approx(2.0, rel=1e-12)
    lengths = 1.0 + np.arange(50)
    np.testing.assert_allclose(found.resp.sum(axis=1), (found.ended + found.running) @ lengths, rtol=1e-10)


def test_the_reference_lists_every_path_once() -> None:
    paths = {tuple(path_of(cut).tolist()) for cut in segmentations(5, 3)}
    assert len(paths) == 3**5 == sum(1 for _ in segmentations(5, 3))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 3), st.integers(1, 5), st.integers(1, 6), st.booleans(), st.floats(0.1, 30.0))
def test_any_law_by_enumeration(seed: int, k: int, longest: int, n: int, cut: bool, spread: float) -> None:
    """Extreme densities included: what is found is the posterior, or the sequence is refused because nothing explains it."""
    rng = np.random.default_rng(seed)
    law, logb = random_law(rng, k, longest, cut), spread * rng.standard_normal((n, k))
    told = reference(law, logb)
    found = passed(law, logb, [n], [1.0])
    assert found.loglik == pytest.approx(told.loglik, rel=1e-10, abs=1e-10)
    for field in ("first", "pairs", "ended", "running"):
        np.testing.assert_allclose(getattr(found, field), getattr(told, field), atol=1e-10)
    np.testing.assert_allclose(found.resp.T, told.resp, atol=1e-10)


def test_a_planted_bug_is_caught() -> None:
    """Negative control: a last segment that is taken to end where rows stop has another likelihood."""
    rng = np.random.default_rng(7)
    law, logb = random_law(rng, 2, 3), rng.standard_normal((6, 2))
    wrong = dataclasses.replace(law, cut=False)
    assert abs(passed(wrong, logb, [6], [1.0]).loglik - reference(law, logb).loglik) > 0.1
