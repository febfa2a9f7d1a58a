"""Profiles: recursions against all paths written out, and what EM promises of the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from estep.core.assign import HARD, SOFT, ImpossibleRow, Tempered
from estep.core.record import identical
from estep.core.result import Status
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.visit import total
from estep.kernels import profile as kernels
from estep.kernels.reference_profile import profile_joint, profile_paths, profile_reference
from estep.models.profile import Profile, ProfileParams

ENDS = np.array([4, 5, 9])
CODES = np.array([0, 2, 1, 1, 2, 1, -1, 0, 2])
FORMS = [
    {},
    {"imagined": (0.5, 1.0, 0.25)},
    {"background": np.array([0.5, 0.2, 0.3])},
    {"held": {"match": np.array([[0.2, np.nan, np.nan], [np.nan] * 3])}},
]


def params_of(model: Profile, seed: int = 0) -> ProfileParams:
    neutral = model.start()
    support = model.support(neutral)
    return support.unpack(0.7 * np.random.default_rng(seed).standard_normal(support.count), neutral)


def parts(codes: np.ndarray = CODES, ends: np.ndarray = ENDS) -> list[list[int]]:
    return [part.tolist() for part in np.split(codes, ends[:-1])]


# --- brute force ---


@budget(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(0, 4), st.integers(0, 10_000))
def test_one_sequence_is_all_its_paths(length: int, letters: int, seed: int) -> None:
    model, rng = Profile(length, 3), np.random.default_rng(seed)
    params, codes = params_of(model, seed), rng.integers(-1, 3, letters)
    loglik, pairs, emits, (path, best) = profile_reference(codes.tolist(), params.match, params.insert, params.moves)
    logs, written = model.logs(params), np.where(codes < 0, 3, codes)
    ahead = np.empty((letters + 1, length + 1, 3))
    value = kernels.profile_forward(written, *logs, ahead)
    assert value == pytest.approx(loglik, rel=1e-12, abs=1e-13)
    found = np.zeros_like(pairs), np.zeros((2, length + 1, 4))
    resp = np.empty((letters, length + 1, 2))
    kernels.profile_backward(written, *logs, ahead, value, 2.0, *found, resp)
    np.testing.assert_allclose(found[0], 2.0 * pairs, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(found[1][:, :, :3], 2.0 * emits, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(resp.sum(axis=(1, 2)), np.ones(letters), rtol=1e-12)
    steps, highest = model.best(logs, written)
    assert highest == pytest.approx(best, rel=1e-12, abs=1e-13)
    assert profile_joint(codes.tolist(), tuple(map(tuple, steps.tolist())), params.match, params.insert, params.moves) == (
        pytest.approx(np.exp(best), rel=1e-12)
    )
    assert len(path) == len(steps) or best == pytest.approx(highest)


def test_the_compiled_kernels_are_their_plain_selves() -> None:
    model = Profile(2, 3)
    logs, codes = model.logs(params_of(model)), np.array([0, 2, 1, 3])
    one, two = np.empty((5, 3, 3)), np.empty((5, 3, 3))
    plain = kernels.profile_forward.reference(codes, *logs, one)
    assert kernels.profile_forward(codes, *logs, two) == pytest.approx(plain, rel=1e-14)
    np.testing.assert_allclose(one, two, rtol=1e-13)


def test_a_delete_that_is_left_out_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Profile(2, 3)
    params = params_of(model)
    expected = profile_reference([0, 2], params.match, params.insert, params.moves)[0]
    data = Memory(np.array([0, 2]), ends=np.array([2]))
    assert total(model, data, params, SOFT).loglik == pytest.approx(expected, rel=1e-13)
    right = Profile.logs

    def without(self: Profile, at: ProfileParams) -> Any:
        match, insert, moves = right(self, at)
        moves = moves.copy()
        moves[:, 2, 2] = -np.inf
        return match, insert, moves

    monkeypatch.setattr(Profile, "logs", without)
    assert abs(total(model, data, params, SOFT).loglik - expected) > 1e-3


# --- what EM promises ---


def plane(**settings: Any) -> Memory:
    weight = np.repeat([1.0, 3.0, 2.0], [4, 1, 4])
    return Memory(CODES, weight=weight, ends=ENDS, **settings)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: ", ".join(f) or "plain")
def test_score_is_the_slope_of_the_likelihood(form: dict[str, Any]) -> None:
    model = Profile(2, 3, **form)
    params = params_of(model)
    support = model.support(params)
    at = support.pack(params)

    def loglik(v: np.ndarray) -> float:
        return total(model, plane(), support.unpack(v, params), SOFT).loglik

    slopes = [(loglik(at + 1e-5 * e) - loglik(at - 1e-5 * e)) / 2e-5 for e in np.eye(at.size)]
    # central differences of a value near 40: 40 eps / 1e-5 and the third derivative times 1e-10
    np.testing.assert_allclose(model.score(params, total(model, plane(), params, SOFT).stats), slopes, atol=1e-8)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: ", ".join(f) or "plain")
def test_the_mstep_maximises_q_and_em_climbs(form: dict[str, Any]) -> None:
    model = Profile(2, 3, **form)
    params = params_of(model)
    stats = total(model, plane(), params, SOFT).stats
    fitted = model.mstep(stats, params)
    support, rng = model.support(fitted), np.random.default_rng(0)
    support.check(fitted)

    def q(v: np.ndarray) -> float:
        at = support.unpack(v, fitted)
        return model.q(at, stats) + (0.0 if model.prior is None else model.q(at, model.prior))

    at = support.pack(fitted)
    assert all(q(at) >= q(at + 0.1 * rng.standard_normal(at.size)) - 1e-12 for _ in range(30))
    for how in ("em", "cem"):
        result = fit(model, plane(), params, how, accelerate="none", max_iter=40)
        assert result.status is not Status.FELL
        assert np.diff(result.trace.objective).min(initial=0.0) >= -1e-12 * abs(result.objective)
    if "held" in form:
        assert result.params.match[0, 0] == 0.2


def test_there_is_no_delete_before_the_first_node_or_after_the_last() -> None:
    model = Profile(3, 4)
    result = fit(model, Memory(np.array([0, 1, 2, 0, 1, 3, 3]), ends=np.array([3, 7])), params_of(model), max_iter=5)
    assert (result.params.moves[-1, :, 2] == 0).all() and result.params.moves[0, 2].tolist() == [1.0, 0.0, 0.0]
    # letters: 3 x 3 and 4 x 3; moves: 4 nodes x 3 x 2, less the first delete state's 2 and the last node's 3
    assert model.support(result.params).count == 9 + 12 + 24 - 2 - 3


def test_hard_assignment_counts_the_best_path() -> None:
    model = Profile(2, 3)
    params = params_of(model, 5)
    best = [profile_reference(codes, params.match, params.insert, params.moves)[3] for codes in parts()]
    seen = total(model, Memory(CODES, ends=ENDS), params, HARD)
    assert seen.objective == pytest.approx(sum(value for _, value in best), rel=1e-13)
    assert seen.stats.moves.sum() == sum(len(path) + 1 for path, _ in best)
    assert seen.loglik == pytest.approx(total(model, Memory(CODES, ends=ENDS), params, SOFT).loglik, rel=1e-14)


def test_chunks_and_threads_do_not_matter() -> None:
    model = Profile(2, 3)
    params = params_of(model)
    whole = total(model, plane(), params, SOFT)
    one, two = (total(model, plane(rows=1, n_jobs=n), params, SOFT) for n in (1, 2))
    assert identical(one.stats, two.stats)
    np.testing.assert_allclose(one.stats.moves, whole.stats.moves, rtol=1e-12)
    assert one.loglik == pytest.approx(whole.loglik, rel=1e-14) and whole.n == 4 + 3 + 8


def test_known_states_are_counted() -> None:
    """Letters with their states: the path with its deletes, hence counts, and a fit that is over at once."""
    model = Profile(3, 3)
    states = np.array([0, 1, 5, 6])  # I0 M1 (D2) M3 I3
    assert model.steps_of(states).tolist() == [[0, 1], [1, 0], [2, 2], [3, 0], [3, 1]]
    assert model.steps_of(np.array([], dtype=int)).tolist() == [[1, 2], [2, 2], [3, 2]]
    data = Memory(np.array([0, 1, 2, 2]), given=states, ends=np.array([4]))
    params = params_of(model)
    seen = total(model, data, params, SOFT)
    path = tuple(map(tuple, model.steps_of(states).tolist()))
    value = profile_joint([0, 1, 2, 2], path, params.match, params.insert, params.moves)
    assert seen.loglik == pytest.approx(np.log(value), rel=1e-13)
    assert seen.stats.moves[0, 0, 1] == seen.stats.moves[1, 0, 2] == seen.stats.moves[2, 2, 0] == 1.0
    assert path in profile_paths(4, 3)
    with pytest.raises(ValueError, match="go back, from node 2 to node 1"):
        model.steps_of(np.array([3, 1]))


def test_what_is_refused() -> None:
    model = Profile(2, 3)
    params = params_of(model)
    with pytest.raises(ValueError, match="give ends to the data"):
        total(model, Memory(CODES), params, SOFT)
    with pytest.raises(ValueError, match="recursions for soft and hard"):
        total(model, Memory(CODES, ends=ENDS), params, Tempered(0.5))
    never = ProfileParams(np.array([[1.0, 0, 0]] * 2), np.array([[1.0, 0, 0]] * 3), params.moves)
    with pytest.raises(ImpossibleRow, match="row 4 begins a sequence that no path through the profile explains"):
        total(model, Memory(np.array([0, 0, 0, 0, 1]), ends=np.array([4, 5])), never, SOFT)


def test_long_sequences_do_not_underflow() -> None:
    model = Profile(400, 4)
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 500)
    params = model.start(rng.dirichlet(np.full(4, 0.05), 400) * 0.999 + 0.00025)
    seen = total(model, Memory(codes, ends=np.array([500])), params, SOFT)
    assert np.isfinite(seen.loglik) and seen.loglik < -600  # far below what exp can hold
    moves = seen.stats.moves
    np.testing.assert_allclose(moves[:-1, :, 0].sum(axis=1) + moves[:-1, :, 2].sum(axis=1), np.ones(400), rtol=1e-9)


def test_samples_come_from_the_profile() -> None:
    model = Profile(4, 4, background=np.full(4, 0.25))
    truth = model.start(0.02 + 0.92 * np.eye(4)[[0, 2, 1, 3]])
    texts, paths = model.sample(truth, 800, np.random.default_rng(1))
    assert all(len(text) == int((path[:, 1] < 2).sum()) for text, path in zip(texts, paths, strict=True))
    kept = [text for text in texts if len(text)]
    data = Memory(np.concatenate(kept), ends=np.cumsum([len(t) for t in kept]))
    result = fit(model, data, truth)
    # a probability of 0.94 from some 700 letters that are themselves only half known: six standard errors
    assert np.abs(result.params.match - truth.match).max() < 6 * np.sqrt(0.94 * 0.06 / 350)
