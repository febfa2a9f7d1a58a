"""What follows from a transition matrix: textbook values, powers and simulation of the definition, planted bugs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from estep.structures import markov
from estep.views.state_diagram import places, state_diagram

OZ = np.array([[0.5, 0.25, 0.25], [0.5, 0.0, 0.5], [0.25, 0.25, 0.5]])
"""Rain, nice, snow: Kemeny & Snell (1976), Finite Markov Chains."""


def told(transmat: object) -> list[tuple[list[int], bool, int]]:
    return [(c.states.tolist(), c.closed, c.period) for c in markov.communicating_classes(np.asarray(transmat, dtype=float))]


def test_the_land_of_oz() -> None:
    assert told(OZ) == [([0, 1, 2], True, 1)]
    np.testing.assert_allclose(markov.stationary_of(OZ, np.arange(3)), [0.4, 0.2, 0.4], rtol=1e-14)
    np.testing.assert_allclose(np.linalg.matrix_power(OZ, 6)[0], [0.4, 0.2, 0.4], atol=2e-4)  # book: .400 .200 .400
    # first passage to rain, by hand: t_nice = 1 + t_snow / 2, t_snow = 1 + t_nice / 4 + t_snow / 2
    np.testing.assert_allclose(markov.hitting(OZ, [0]).times, [0.0, 8 / 3, 10 / 3], rtol=1e-14)


def test_periods_and_classes() -> None:
    ring = np.roll(np.eye(6), 1, axis=1)
    assert told(ring) == [([0, 1, 2, 3, 4, 5], True, 6)]
    ring[0] = [0, 0.5, 0, 0.5, 0, 0]  # a short cut of two steps less: gcd(6, 4)
    assert told(ring) == [([0, 1, 2, 3, 4, 5], True, 2)]
    passing = [[0, 1, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    assert told(passing) == [([0], False, 0), ([1], False, 1), ([2, 3], True, 2)]


def test_gamblers_ruin() -> None:
    """p = 0.4, ten coins: probabilities and durations in closed form (Feller, An Introduction to Probability, XIV.2-3)."""
    p, n = 0.4, 10
    walk = np.zeros((n + 1, n + 1))
    walk[0, 0] = walk[n, n] = 1.0
    for i in range(1, n):
        walk[i, i + 1], walk[i, i - 1] = p, 1 - p
    found, r, i = markov.absorption(walk), (1 - p) / p, np.arange(n + 1)
    win = (1 - r**i) / (1 - r**n)
    np.testing.assert_allclose(found.probabilities[:, 1], win, rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(found.times, i / (1 - 2 * p) - n / (1 - 2 * p) * win, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(markov.long_run(walk)[:, n], win, rtol=1e-10, atol=1e-15)
    reach = markov.hitting(walk, [n])
    np.testing.assert_allclose(reach.probabilities, win, rtol=1e-10, atol=1e-15)
    assert np.isinf(reach.times[:n]).all()
    assert reach.times[n] == 0


def chains() -> st.SearchStrategy[np.ndarray]:
    """Transition matrices with many zeros."""

    def make(seed: int, k: int, share: float) -> np.ndarray:
        rng = np.random.default_rng(seed)
        moves = np.where(rng.random((k, k)) < share, rng.random((k, k)) + 0.05, 0.0)
        moves[np.arange(k), rng.integers(0, k, k)] += 0.5
        return np.asarray(moves / moves.sum(axis=1, keepdims=True))

    return st.builds(make, st.integers(0, 10**6), st.integers(1, 6), st.floats(0.0, 0.8))


@settings(max_examples=60, deadline=None)
@given(chains())
def test_laws_of_any_chain(moves: np.ndarray) -> None:
    k, classes, found = len(moves), markov.communicating_classes(moves), markov.absorption(moves)
    assert sorted(i for c in classes for i in c.states.tolist()) == list(range(k))
    assert any(c.closed for c in classes)
    power, seen = np.eye(k), np.zeros((k, k), dtype=bool)
    for _ in range(k):
        seen |= power > 0
        power = power @ moves
    assert (markov.reachable(moves) == seen).all()
    for c in classes:
        # the definition: gcd of all lengths of returns; k^2 steps show every one that matters for k <= 6
        back, power = 0, np.eye(k)
        for m in range(1, k * k + 2 * k + 1):
            power = ((power @ (moves > 0)) > 0).astype(float)
            back = math.gcd(back, m) if power[c.states[0], c.states[0]] else back
        assert c.period == back
        if c.closed:
            q = markov.stationary_of(moves, c.states)
            np.testing.assert_allclose(q @ moves, q, atol=1e-13)
            assert q.sum() == pytest.approx(1.0, rel=1e-13)
            assert (q[c.states] > 0).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0, rtol=1e-9)
    np.testing.assert_allclose(moves @ found.probabilities, found.probabilities, atol=1e-9)
    passing = np.isin(np.arange(k), [i for c in classes if not c.closed for i in c.states])
    np.testing.assert_allclose((passing + moves @ found.times)[passing], found.times[passing], rtol=1e-9)
    run = markov.long_run(moves)
    np.testing.assert_allclose(run @ moves, run, atol=1e-9)
    np.testing.assert_allclose(moves @ run, run, atol=1e-9)


def test_small_probabilities_keep_their_digits() -> None:
    """Two states nearly cut off from each other: q = (b, a) / (a + b) to the last digit, where I - P has lost them."""
    a, b = 1e-17, 3e-17
    q = markov.stationary_of(np.array([[1 - a, a], [b, 1 - b]]), np.arange(2))
    np.testing.assert_allclose(q, [0.75, 0.25], rtol=1e-14)


def test_laws_catch_a_period_that_counts_first_returns_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted bug: the shortest way back in place of the greatest common divisor."""
    right = markov.period

    def shortest(transmat: np.ndarray, states: np.ndarray) -> int:
        power = np.eye(len(transmat))
        for m in range(1, len(transmat) + 1):
            power = power @ transmat
            if power[states[0], states[0]] > 0:
                return m
        return right(transmat, states)

    monkeypatch.setattr(markov, "period", shortest)
    with pytest.raises(AssertionError):
        test_periods_and_classes()


# --- the picture ---


def test_the_diagram_shows_every_move_the_null_state_and_the_end() -> None:
    moves = np.array([[0.7, 0.2, 0.0, 0.1], [0.0, 0.996, 0.004, 0.0], [1.0, 0.0, 0.0, 0.0]])
    figure = state_diagram(np.array([0.75, 0.25, 0.0]), moves, ["rain", "nice", "a very long name"])
    assert isinstance(figure, Figure)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(w for w in words if w[0] in "01") == ["0.10", "0.20", "0.25", "0.70", "0.75", "1.00", "1.00"]
    assert {"rain", "nice", "a very long name", "start", "end"} <= set(words)
    assert "start" not in [t.get_text() for t in state_diagram(None, np.eye(2)).axes[0].texts]
    assert len({tuple(p) for p in places(7).round(6).tolist()}) == 7


def test_the_diagram_refuses_shapes_that_disagree() -> None:
    with pytest.raises(ValueError, match=r"transmat has shape \(2, 4\)"):
        state_diagram(None, np.ones((2, 4)))
    with pytest.raises(ValueError, match="there are 3 labels"):
        state_diagram(np.array([1.0, 0.0]), np.eye(2), ["a", "b", "c"])
