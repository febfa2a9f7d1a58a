"""The compiled recursions of a hidden Markov chain against their definitions (``kernels/reference_chain.py``).

Tolerances: scaled and log recursions add rounding of a few epsilon a step; on sequences of at most 40 rows 1e-11 relative is
far above that and far below what a wrong recursion gives.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from estep.core.assign import ImpossibleRow
from estep.core.record import Array
from estep.kernels import chain
from estep.kernels.reference_chain import draw_reference, paths_reference, posteriors_reference
from estep.structures import chain_pass
from estep.structures.chain_pass import Group, InLogs, Law, plan, smooth, steps_of
from estep.structures.chain_paths import best, best_several, draw, path_values

KINDS = ("full", "varying", "sparse", "ending")


def problem(kind: str, k: int = 3, n: int = 40) -> tuple[Array, Array, Array, Array, Law, NDArray[np.int64]]:
    """start, transmat (a matrix a row where it varies), stop, logb, law, ends of three sequences."""
    rng = np.random.default_rng(KINDS.index(kind))
    k = 9 if kind == "sparse" else k
    start, transmat, stop = rng.dirichlet(np.ones(k)), rng.dirichlet(np.ones(k), k), np.ones(k)
    which = None
    each = transmat
    if kind == "varying":
        transmat = rng.dirichlet(np.ones(k), (4, k))
        which = rng.integers(4, size=n)
        each = transmat[which]
    if kind == "sparse":
        near = (np.subtract.outer(np.arange(k), np.arange(k)) + k) % k
        transmat = np.where((near == 0) | (near == k - 1), transmat, 0.0)
        each = transmat = transmat / transmat.sum(axis=1, keepdims=True)
    if kind == "ending":
        stop = rng.random(k)
        each = transmat = transmat * (1 - stop[:, None])
    logb = 2.0 * rng.normal(size=(n, k))
    return start, each, stop, logb, Law.of(start, transmat, stop, which), np.array([1, 15, n], dtype=np.int64)


WEIGHT = np.array([1.0, 0.5, 2.0])


def by_definition(kind: str) -> tuple[Array, Array, float]:
    """Weighted responsibilities (n, k), pairs (k, k), log-likelihood."""
    start, transmat, stop, logb, law, ends = problem(kind)
    resp, pairs, loglik = np.empty(logb.shape), np.zeros(law.moves.out.shape), 0.0
    for a, z, w in zip([0, *ends[:-1]], ends, WEIGHT, strict=True):
        part = transmat[a:z] if transmat.ndim == 3 else transmat
        r, xi, one = posteriors_reference(start, part, stop, logb[a:z])
        resp[a:z] = w * r
        for t in range(len(xi)):
            pairs[law.moves.which[a + t + 1] if law.moves.which.size else 0] += w * xi[t]
        loglik += w * one
    return resp, pairs, loglik


def run(law: Law, logb: Array, groups: list[Group]) -> tuple[Array, Array, float]:
    resp = np.full(logb.shape, np.nan)
    sums = smooth(law, lambda rows: logb[rows], groups, 0, resp.__setitem__)
    begins = resp[[group[0].rows.start for group in groups]]
    assert begins.shape[1] == law.start.size
    return resp, sums.pairs, sums.loglik


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("blocks", [False, True])
def test_forward_backward_is_its_definition(kind: str, blocks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, _, logb, law, ends = problem(kind)
    if blocks:
        monkeypatch.setattr(chain_pass, "BUDGET", 1)
        monkeypatch.setattr(chain_pass, "BLOCK", 7)
    groups = plan(logb.shape[1], ends, WEIGHT)
    assert max(len(group) for group in groups) == (4 if blocks else 1)
    resp, pairs, loglik = by_definition(kind)
    seen = run(law, logb, groups)
    np.testing.assert_allclose(seen[0], resp, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(seen[1], pairs, rtol=1e-11, atol=1e-14)
    assert seen[2] == pytest.approx(loglik, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("blocks", [False, True])
def test_in_logs_is_the_same(kind: str, blocks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a floor above one nothing passes the bound, so that every sequence goes in logs."""
    _, _, _, logb, law, ends = problem(kind)
    monkeypatch.setattr(chain_pass, "filtered", lost_always(chain_pass.filtered))
    if blocks:
        monkeypatch.setattr(chain_pass, "BUDGET", 1)
        monkeypatch.setattr(chain_pass, "BLOCK", 7)
    resp, pairs, loglik = by_definition(kind)
    groups = plan(logb.shape[1], ends, WEIGHT)
    seen = run(law, logb, groups)
    np.testing.assert_allclose(seen[0], resp, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(seen[1], pairs, rtol=1e-11, atol=1e-14)
    assert seen[2] == pytest.approx(loglik, rel=1e-12)
    steps = np.concatenate([steps for _, steps in steps_of(law, lambda rows: logb[rows], groups, 0)])
    weights = np.repeat(WEIGHT, np.diff(ends, prepend=0))
    assert steps @ weights == pytest.approx(loglik, rel=1e-12)


def lost_always(find: object) -> object:
    """A forward pass that says it lost digits everywhere (and has)."""

    def found(law: Law, logb: object, span: chain_pass.Span, carry: Array) -> chain_pass.Filtered:
        seen = find(law, logb, span, carry)  # type: ignore[operator]
        seen.alpha[...], seen.failed[...] = np.nan, 0
        return chain_pass.dataclasses.replace(seen, lost=len(span.ends))  # type: ignore[attr-defined, no-any-return]

    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("blocks", [False, True])
def test_best_paths_by_enumeration(kind: str, blocks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    start, transmat, stop, logb, _, _ = problem(kind)
    n, k = 6, 3
    stop, logb = stop[:k], logb[:n, :k]
    transmat = transmat[:n, :k, :k] if transmat.ndim == 3 else transmat[:k, :k]
    law = Law.of(start[:k], transmat, stop, np.arange(n) if transmat.ndim == 3 else None)
    if blocks:
        monkeypatch.setattr(chain_pass, "BUDGET", 1)
        monkeypatch.setattr(chain_pass, "BLOCK", 2)
    groups = plan(k, np.array([n], dtype=np.int64), np.ones(1))
    truth = [found for found in paths_reference(start[:k], transmat, stop, logb) if found[0] > -np.inf]
    path = best(law, lambda rows: logb[rows], groups, 0, n)
    assert tuple(path) == truth[0][1]
    assert path_values(law, lambda rows: logb[rows], groups, path) == pytest.approx(truth[0][0], rel=1e-13)
    paths, values = best_several(law, lambda rows: logb[rows], slice(0, n), 7)
    found = min(7, len(truth))
    np.testing.assert_allclose(values[:found], [value for value, _ in truth[:found]], rtol=1e-13, atol=1e-14)
    assert [tuple(path) for path in paths[:found]] == [z for _, z in truth[:found]]


def test_more_paths_are_asked_for_than_there_are() -> None:
    law = Law.of(np.array([1.0, 0.0]), np.array([[0.5, 0.5], [0.0, 1.0]]))
    paths, values = best_several(law, lambda rows: np.zeros((2, 2)), slice(0, 2), 4)
    assert paths.tolist() == [[0, 0], [0, 1], [-1, -1], [-1, -1]]
    np.testing.assert_allclose(values, [np.log(0.5), np.log(0.5), -np.inf, -np.inf])


def test_ties_go_to_the_lowest_state() -> None:
    law = Law.of(np.full(3, 1 / 3), np.full((3, 3), 1 / 3))
    groups = plan(3, np.array([5], dtype=np.int64), np.ones(1))
    assert best(law, lambda rows: np.zeros((5, 3)), groups, 0, 5).tolist() == [0] * 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("blocks", [False, True])
def test_draws_invert_the_posterior(kind: str, blocks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    start, transmat, stop, logb, law, ends = problem(kind)
    if blocks:
        monkeypatch.setattr(chain_pass, "BUDGET", 1)
        monkeypatch.setattr(chain_pass, "BLOCK", 7)
    uniforms = np.random.default_rng(5).random(len(logb))
    groups = plan(logb.shape[1], ends, np.ones(3))
    path, steps = draw(law, lambda rows: logb[rows], groups, 0, uniforms)
    loglik = 0.0
    for a, z in zip([0, *ends[:-1]], ends, strict=True):
        part = transmat[a:z] if transmat.ndim == 3 else transmat
        assert path[a:z].tolist() == draw_reference(start, part, stop, logb[a:z], uniforms[a:z]).tolist()
        loglik += posteriors_reference(start, part, stop, logb[a:z])[2]
    assert steps.sum() == pytest.approx(loglik, rel=1e-12)


# --- underflow: never silently wrong ---


def test_a_path_that_scaling_would_lose_is_found_in_logs() -> None:
    """State 1 cannot follow state 0 and fits the first row 800 nats worse; the second row fits only state 1."""
    law = Law.of(np.array([0.5, 0.5]), np.eye(2))
    logb = np.array([[0.0, -800.0], [-3000.0, 0.0]])
    groups = plan(2, np.array([2], dtype=np.int64), np.ones(1))
    seen = chain_pass.filtered(law, lambda rows: logb[rows], groups[0][0], np.zeros(2))
    assert seen.lost == 1
    resp, _, loglik = run(law, logb, groups)
    assert loglik == pytest.approx(np.log(0.5) - 800.0, rel=1e-14)
    np.testing.assert_allclose(resp, [[0.0, 1.0], [0.0, 1.0]], atol=1e-300)


def test_digits_lost_without_a_zero_are_noticed() -> None:
    """No scale underflows here, but the path that ends up carrying everything was below the smallest double on the way."""
    n = 12
    law = Law.of(np.array([0.5, 0.5]), np.eye(2))
    logb = np.zeros((n, 2))
    logb[:6, 1], logb[6:, 0] = -150.0, -160.0
    groups = plan(2, np.array([n], dtype=np.int64), np.ones(1))
    expected, _, whole = posteriors_reference(law.start, np.eye(2), law.stop, logb)
    resp, _, loglik = run(law, logb, groups)
    assert loglik == pytest.approx(whole, rel=1e-14)
    np.testing.assert_allclose(resp, expected, rtol=1e-10)
    assert whole == pytest.approx(np.log(0.5) - 900.0, rel=1e-12)


def test_only_the_sequence_in_need_goes_in_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    law, rng = Law.of(np.array([0.5, 0.5]), np.array([[1.0, 0.0], [0.3, 0.7]])), np.random.default_rng(0)
    logb = rng.normal(size=(9, 2))
    logb[4] = [-2000.0, 0.0]
    logb[3] = [0.0, -900.0]
    ends, counted = np.array([3, 6, 9], dtype=np.int64), []
    whole = InLogs.forward
    monkeypatch.setattr(InLogs, "forward", lambda self, group: (counted.append(group), whole(self, group))[1])
    resp, pairs, loglik = run(law, logb, plan(2, ends, np.ones(3)))
    assert len(counted) == 1
    total, moves = 0.0, np.zeros((2, 2))
    for a, z in ((0, 3), (3, 6), (6, 9)):
        expected, xi, one = posteriors_reference(law.start, law.moves.out[0], law.stop, logb[a:z])
        np.testing.assert_allclose(resp[a:z], expected, rtol=1e-11, atol=1e-200)
        total, moves = total + one, moves + xi.sum(axis=0)
    assert loglik == pytest.approx(total, rel=1e-13)
    np.testing.assert_allclose(pairs[0], moves, rtol=1e-11, atol=1e-200)


def test_a_long_sequence_turns_to_logs_halfway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits are lost in the third block of five: blocks behind it are done, those before it follow in logs."""
    monkeypatch.setattr(chain_pass, "BUDGET", 1)
    monkeypatch.setattr(chain_pass, "BLOCK", 6)
    n, law = 30, Law.of(np.array([0.5, 0.5]), np.array([[1.0, 0.0], [1e-3, 0.999]]))
    logb = 0.1 * np.random.default_rng(0).normal(size=(n, 2))
    logb[10:13, 1], logb[13:16, 0] = -120.0, -130.0
    groups = plan(2, np.array([n], dtype=np.int64), np.ones(1))
    assert len(groups[0]) == 5
    resp, pairs, loglik = run(law, logb, groups)
    expected, xi, whole = posteriors_reference(law.start, law.moves.out[0], law.stop, logb)
    np.testing.assert_allclose(resp, expected, rtol=1e-10, atol=1e-290)
    np.testing.assert_allclose(pairs[0], xi.sum(axis=0), rtol=1e-10, atol=1e-290)
    assert loglik == pytest.approx(whole, rel=1e-13)


def test_impossible_rows_are_named() -> None:
    law = Law.of(np.array([1.0, 0.0]), np.eye(2))
    logb = np.zeros((5, 2))
    logb[3] = [-np.inf, 0.0]
    groups = plan(2, np.array([2, 5], dtype=np.int64), np.ones(2))
    for find in (run_at_100, best_at_100, draw_at_100):
        with pytest.raises(ImpossibleRow, match="row 103 is impossible given the rows of its sequence before it"):
            find(law, logb, groups)
    logb[3] = -np.inf
    for find in (run_at_100, best_at_100, draw_at_100):
        with pytest.raises(ImpossibleRow, match="row 103 is impossible under every component"):
            find(law, logb, groups)
    never = Law.of(np.array([1.0, 0.0]), np.eye(2), np.array([0.0, 0.5]))
    for find in (run_at_100, best_at_100, draw_at_100):
        with pytest.raises(ImpossibleRow, match=r"row 101 .* \(or ends there"):
            find(never, np.zeros((5, 2)), groups)


def run_at_100(law: Law, logb: Array, groups: list[Group]) -> None:
    smooth(law, lambda rows: logb[rows], groups, 100, lambda rows, resp: None)


def best_at_100(law: Law, logb: Array, groups: list[Group]) -> None:
    best(law, lambda rows: logb[rows], groups, 100, len(logb))


def draw_at_100(law: Law, logb: Array, groups: list[Group]) -> None:
    draw(law, lambda rows: logb[rows], groups, 100, np.full(len(logb), 0.5))


def test_the_bound_is_what_protects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: with no floor the scaled recursion gives another answer on the example of lost digits."""
    monkeypatch.setattr(chain, "FLOOR", 0.0)
    law, logb, n = Law.of(np.array([0.5, 0.5]), np.eye(2)), np.zeros((12, 2)), 12
    logb[:6, 1], logb[6:, 0] = -150.0, -160.0
    like, alpha, scale, failed = np.empty((n, 2)), np.empty((n, 2)), np.empty(n), np.empty(1, dtype=np.int64)
    top = np.empty(n)
    chain.likelihoods(np.ascontiguousarray(logb.T), like, top)
    ends, carry = np.array([n]), np.zeros(2)
    chain.forward.reference(law.start, law.moves, law.stop, like, ends, True, True, carry, alpha, scale, failed)
    assert failed[0] == -1
    assert np.log(scale).sum() + top.sum() < -950  # the truth is log 0.5 - 900


def test_plain_python_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels as plain functions, where nothing may be compiled."""
    _, _, _, logb, law, ends = problem("ending")
    expected = run(law, logb, plan(3, ends, WEIGHT))
    for name in ("forward", "backward", "add_pairs"):
        monkeypatch.setattr(chain, name, getattr(chain, name).reference)
    for found, truth in zip(run(law, logb, plan(3, ends, WEIGHT)), expected, strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-11, atol=1e-14)
