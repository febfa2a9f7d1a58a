"""The several best paths of semi-Markov chains against a list of every segmentation, and against those of ordinary chains."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

import estep
from estep.core.assign import ImpossibleRow
from estep.core.record import Array
from estep.kernels import semimarkov_several
from estep.structures.semimarkov_pass import SegmentLaw, best, best_several


def random_law(rng: np.random.Generator, k: int, longest: int, cut: bool, lasting: tuple[int, ...]) -> SegmentLaw:
    """Starts, moves and durations drawn from flat laws; a little of every duration lies beyond the longest."""
    never = np.isin(np.arange(k), lasting)
    moves = rng.random((k, k)) * (1.0 - np.eye(k)) * ~never[:, None]
    moves /= np.maximum(moves.sum(axis=1, keepdims=True), 1e-300)
    shares = rng.dirichlet(np.ones(longest + 1), k)[:, :longest]
    tails = 1.0 - np.cumsum(shares, axis=1) + shares
    return SegmentLaw(rng.dirichlet(np.ones(k)), moves, never, np.log(shares), np.log(tails), cut)


def value_of(law: SegmentLaw, logb: Array, path: tuple[int, ...]) -> float:
    """log p(x, z) of one path, segment by segment."""
    logs, value, t = law.logs, float(logb[np.arange(len(path)), path].sum()), 0
    for state, group in itertools.groupby(path):
        lasts = len(list(group))
        value += float(logs.start[state] if t == 0 else logs.moves[path[t - 1], state])
        t += lasts
        if law.lasting[state]:
            value += 0.0 if t == len(path) else -np.inf
        else:
            table = logs.shares if t < len(path) else logs.closing
            value += float(table[state, lasts - 1]) if lasts <= table.shape[1] else -np.inf
    return value


def every(law: SegmentLaw, logb: Array) -> list[tuple[float, tuple[int, ...]]]:
    """All paths with their values, the best first."""
    found = [(value_of(law, logb, path), path) for path in itertools.product(range(law.k), repeat=len(logb))]
    return sorted(found, key=lambda one: (-one[0], one[1]))


CASES = {
    "short durations": (2, 3, True, ()),
    "any duration": (3, 6, True, ()),
    "the last segment ends": (3, 4, False, ()),
    "a state that is never left": (3, 4, True, (1,)),
    "two that are never left, ending": (3, 2, False, (0, 2)),
    "one state, never left": (1, 3, True, (0,)),
}


@pytest.mark.parametrize("name", CASES)
def test_all_paths_in_order(name: str) -> None:
    """As many as there are; the rest say that there are no more, and all add up to the likelihood."""
    k, longest, cut, lasting = CASES[name]
    rng = np.random.default_rng(11)
    law, logb = random_law(rng, k, longest, cut, lasting), 2.0 * rng.standard_normal((6, k))
    logb[2, 0] = -np.inf if k > 1 else logb[2, 0]
    ways = every(law, logb)
    possible = [way for way in ways if way[0] > -np.inf]
    paths, values = best_several(law, logb.__getitem__, 6, len(possible) + 3)
    np.testing.assert_allclose(values[: len(possible)], [value for value, _ in possible], rtol=1e-12, atol=1e-12)
    assert [tuple(path) for path in paths[: len(possible)].tolist()] == [path for _, path in possible]
    assert np.isneginf(values[len(possible) :]).all()
    assert (paths[len(possible) :] == -1).all()
    path, value = best(law, logb.__getitem__, np.array([6]), 0)
    assert (path == paths[0]).all() and value[0] == pytest.approx(values[0], rel=1e-13)
    assert logsumexp(values) == pytest.approx(logsumexp([value for value, _ in possible]), rel=1e-13)


@given(seed=st.integers(0, 10_000), count=st.integers(2, 12), n=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_any_law(seed: int, count: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    k, longest = int(rng.integers(1, 4)), int(rng.integers(1, 6))
    law = random_law(rng, k, max(longest, n if k == 1 else 1), bool(rng.integers(2)), ())
    logb = np.where(rng.random((n, k)) < 0.1, -np.inf, rng.standard_normal((n, k)))
    ways = every(law, logb)
    if np.isneginf(ways[0][0]):
        with pytest.raises(ImpossibleRow):
            best_several(law, logb.__getitem__, n, count)
        return
    values = best_several(law, logb.__getitem__, n, count)[1]
    expected = np.full(count, -np.inf)
    expected[: min(count, len(ways))] = [value for value, _ in ways[:count]]
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)


def test_lists_merged_without_their_ranks_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: of every list but the first entry is forgotten, which the best path alone does not show."""

    def forgetful(lists: Any, gains: Any, most: int, values: Any, nodes: Any) -> None:
        order = np.argsort(-(lists[:most, 0] + gains[:most]), kind="stable")[: values.size]
        values[:], nodes[:] = -np.inf, -1
        values[: len(order)], nodes[: len(order)] = (lists[:most, 0] + gains[:most])[order], order * values.size

    rng = np.random.default_rng(11)
    law, logb = random_law(rng, 3, 4, True, ()), rng.standard_normal((6, 3))
    values, paths = np.empty(8), np.empty((8, 6), dtype=np.intp)
    plain = semimarkov_several.best_paths.reference  # the same arithmetic in plain Python
    expected = [value for value, _ in every(law, logb)[:8]]
    plain(law.logs, logb.T, values, paths)
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    monkeypatch.setattr(semimarkov_several, "merged", forgetful)
    plain(law.logs, logb.T, values, paths)
    assert values[0] == pytest.approx(expected[0], rel=1e-12)
    assert not np.allclose(values, expected)


def test_with_geometric_durations_they_are_those_of_a_hidden_markov_model() -> None:
    rng = np.random.default_rng(0)
    x = np.array([0.0, 5.0])[np.repeat([0, 1, 0], [8, 5, 7])][:, None] + rng.normal(size=(20, 1))
    stay, held = np.array([0.8, 0.7]), {"means": [[0.0], [5.0]], "covariances": [[[1.0]], [[1.0]]], "startprob": [0.6, 0.4]}
    semi = estep.SemiMarkovHMM(
        estep.Normal(), 2, duration="geometric", fixed={**held, "duration_probs": 1.0 - stay[:, None]}, random_state=0
    ).fit(x)
    moves = np.array([[0.8, 0.2], [0.3, 0.7]])
    plain = estep.HMM(estep.Normal(), 2, fixed={**held, "transmat": moves}, random_state=0).fit(x)
    paths, values = semi.decode(x, count=6)
    others, expected = plain.decode(x, count=6)
    assert (paths == others).all()
    np.testing.assert_allclose(values, expected, rtol=1e-10)
    assert (semi.decode(x, count=1)[0] == paths[0]).all()


def test_what_is_asked_of_it() -> None:
    x = np.array([0.0, 0.2, 5.0, 5.1, 0.1, 4.9])[:, None]
    fit = estep.SemiMarkovHMM(estep.Normal("EII"), 2, random_state=0, n_init=2).fit(x)
    for count in (0, 1.5, "two"):
        with pytest.raises(ValueError, match="count must be an integer >= 1"):
            fit.decode(x, count=count)
    with pytest.raises(ValueError, match="several best paths are of one sequence, and X holds 2; decode each"):
        fit.decode([x[:3], x[3:]], count=2)
    other = int(1 - fit.decode(x)[0][2])
    known = fit.decode(x, count=2, y=[-1, -1, other, -1, -1, -1])[0]
    assert (known[:, 2] == other).all()
