"""Every preset on every model: the cross product.

A preset either refuses a model, before it has cost a pass, in a sentence that says what is lacking and what to use instead; or

    ascent        an exact or bound objective never falls, pass by pass (within a temperature, where that changes)
    honesty       the run ends with the exact log-likelihood of the parameters it returns
    same end      a variant of EM's own objective ends where plain EM ends from the same start, to 1e-6 nats a row, in 95 of 100
                  starts; every other end is a stationary point of the likelihood (Newton steps gain nothing), or EM's is not
    the same bits when it is cut off and resumed from a checkpoint

Presets are taken from ``PRESETS``: one that is new is covered when it is registered. The planted bugs at the end are caught by
the same functions.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest

from estep.core.assign import SOFT, Annealed, Sampled, Tempered, normalise
from estep.core.record import identical
from estep.core.result import Result, Status
from estep.engine.fit import fit
from estep.engine.presets import PRESETS, Variant, variant_of
from estep.engine.run import log_prior
from estep.engine.update import Cycle
from estep.engine.visit import total
from estep.testing.coordinates import gain_left, in_coordinates, slopes
from tests.every_model import PROBLEMS, Problem

CAP = 1500
SHORT = 25
"""Passes of presets of which neither ascent nor a common end is asked: only that what is returned is told honestly."""
SAME = 1e-6
"""Nats a row within which two ends are one optimum."""
FLAT = 1e-5
"""Nats a row that Newton steps along the coordinates may still promise at a stationary point: EM stops 1e-8 below, by Aitken's
projection; where coordinates are correlated, steps along them overstate what is left."""
BY_NAME = {problem.name: problem for problem in PROBLEMS}
PARAMETERS = {"em", "gem", "ecm", "ecme", "incremental", "sparse", "sparse_incremental", "kdtree"}
"""Presets that climb the log-likelihood itself, or a bound that ends there: their ends are compared with EM's."""
WORDS = ("use ", "algorithm='em'")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a preset on a problem: ``kind`` is "refused", "same", "stationary", "capped", "collapsed" or "ran"."""

    kind: str
    words: str = ""


@cache
def plain(name: str, seed: int) -> Result:
    problem = BY_NAME[name]
    return fit(problem.model, problem.data, problem.start(seed), max_iter=CAP)


def ran(problem: Problem, variant: str | Variant, seed: int = 0, **settings: Any) -> Result:
    settings = {"max_iter": CAP, "seed": seed, **settings}
    return fit(problem.model, problem.data, problem.start(seed), variant, **settings)


def climbs(variant: Variant, result: Result) -> None:
    """Raise AssertionError where an objective that is promised not to fall has fallen."""
    if variant.certificate == "heuristic":
        return
    assert result.status is not Status.FELL, result.message
    trace, stage = result.trace.objective, getattr(variant.assign, "stage", lambda passes: 0)
    for t in range(1, len(trace)):
        if stage(t) == stage(t - 1):
            fall = trace[t - 1] - trace[t]
            assert fall <= 1e-9 * (1.0 + abs(trace[t])), f"pass {t + 1} lost {fall:.3g} nats"


def honest(problem: Problem, result: Result) -> None:
    """Raise AssertionError unless the log-likelihood is that of the parameters."""
    model = result.model if result.removed else problem.model
    exact = float(total(model, problem.data, result.params, SOFT).loglik)
    assert result.loglik == pytest.approx(exact, rel=1e-12, abs=1e-9)


def left_to_gain(problem: Problem, params: Any) -> float:
    """Nats that Newton steps along the free coordinates would gain; of infinite coordinates (edges) nothing is asked."""
    model = problem.model

    def height(p: Any) -> float:
        return float(total(model, problem.data, p, SOFT).objective) + log_prior(model, p)

    fn, at = in_coordinates(height, model.support(params), params)
    if not at.size or not np.isfinite(at).all():
        return 0.0
    slope, curvature = slopes(fn, at)
    return gain_left(slope, curvature)


def compared(problem: Problem, result: Result, seed: int) -> Outcome:
    """Where a run ended, against plain EM from the same start; raises AssertionError at a point that is no end."""
    em, prior = plain(problem.name, seed), log_prior(problem.model, result.params)
    assert result.objective == pytest.approx(result.loglik + prior, rel=1e-9), "it climbs another objective than EM"
    if Status.HIT_CAP in (em.status, result.status):
        return Outcome("capped", f"{em.status.name}, {result.status.name}")
    if not (em.converged and result.converged):
        assert result.status is em.status, f"{result.message}; plain EM: {em.message}"
        return Outcome("collapsed", result.message)
    gap = (result.objective - em.objective) / em.n
    if abs(gap) <= SAME:
        return Outcome("same")
    left = left_to_gain(problem, result.params) / em.n
    assert left <= FLAT, f"ended {gap:+.3g} nats a row from EM's end, with {left:.3g} a row left to gain"
    return Outcome("stationary", f"{gap:+.3g}")


def outcome(problem: Problem, name: str, seed: int) -> Outcome:
    variant = variant_of(name, "none")
    try:
        result = ran(problem, name, seed, max_iter=CAP if variant.certificate != "heuristic" else SHORT)
    except (TypeError, ValueError) as error:
        words = str(error)
        assert name in words or variant.assign.name in words, f"{words!r} does not name what was asked for"
        assert any(some in words for some in WORDS), f"{words!r} does not say what to use instead"
        return Outcome("refused", words)
    climbs(variant, result)
    honest(problem, result)
    return compared(problem, result, seed) if name in PARAMETERS else Outcome("ran", result.status.name)


def all_outcomes(name: str, seeds: range) -> dict[tuple[str, int], Outcome]:
    found = {}
    for problem in PROBLEMS:
        for seed in seeds:
            try:
                found[problem.name, seed] = outcome(problem, name, seed)
            except AssertionError as error:
                raise AssertionError(f"{name} on {problem.name}, start {seed}: {error}") from error
            if found[problem.name, seed].kind == "refused":
                break
    return found


def check_outcomes(name: str, seeds: range) -> None:
    found = all_outcomes(name, seeds)
    kinds = [o.kind for o in found.values()]
    ended = [k for k in kinds if k in ("same", "stationary")]
    assert len(kinds) > kinds.count("refused"), f"{name} runs on no model: {found}"
    assert kinds.count("capped") <= 0.1 * len(kinds), {k: o for k, o in found.items() if o.kind == "capped"}
    if name in PARAMETERS:
        others = {k: o.words for k, o in found.items() if o.kind == "stationary"}
        assert ended.count("same") >= 0.95 * len(ended), f"{len(others)} of {len(ended)} ended elsewhere: {others}"


@pytest.mark.parametrize("name", PRESETS)
def test_one_start_on_every_model(name: str) -> None:
    check_outcomes(name, range(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_many_starts_on_every_model(name: str) -> None:
    check_outcomes(name, range(1, 9))


# --- cut off and resumed ---

RESUMED = ("Normal", "Poisson in a chain", "Normal with gaps and weights")
STOPS = {"Normal": (1, 12, 61), "Poisson in a chain": (4,), "Normal with gaps and weights": (6,)}


def resumes(problem: Problem, variant: str | Variant, stop: int, folder: Any) -> None:
    """Raise AssertionError unless a run stopped after ``stop`` passes and resumed has the bits of one that was not."""
    whole = ran(problem, variant, max_iter=stop + 9, tol=1e-12)
    if len(whole.trace) <= stop:
        return
    path = folder / f"{problem.name} {stop}"
    ran(problem, variant, max_iter=stop + 9, tol=1e-12, checkpoint=path, watch=lambda state, _: len(state.trace) >= stop)
    resumed = ran(problem, variant, max_iter=stop + 9, tol=1e-12, checkpoint=path)
    np.testing.assert_array_equal(resumed.trace.objective, whole.trace.objective)
    assert identical(resumed.params, whole.params)
    assert resumed.loglik == whole.loglik


@pytest.mark.parametrize("name", PRESETS)
def test_a_run_that_was_cut_off_goes_on_to_the_bit(name: str, tmp_path: Any) -> None:
    for problem in RESUMED:
        if outcome_kind(problem, name) != "refused":
            for stop in STOPS[problem]:
                resumes(BY_NAME[problem], name, stop, tmp_path)


def outcome_kind(problem: str, name: str) -> str:
    try:
        ran(BY_NAME[problem], name, max_iter=1)
    except (TypeError, ValueError):
        return "refused"
    return "ran"


@pytest.mark.parametrize("name", PRESETS)
def test_threads_do_not_matter(name: str) -> None:
    for problem in (BY_NAME[p] for p in RESUMED):
        if outcome_kind(problem.name, name) == "refused":
            continue
        one, many = (
            fit(problem.model, dataclasses.replace(problem.data, n_jobs=j), problem.start(0), name, max_iter=8, seed=3)
            for j in (1, 3)
        )
        np.testing.assert_array_equal(one.trace.objective, many.trace.objective)
        assert identical(one.params, many.params)


# --- planted bugs ---


def caught(name: str, variant: Variant) -> None:
    """Raise AssertionError where a run of ``variant`` on the problem breaks a law."""
    problem = BY_NAME[name]
    result = ran(problem, variant)
    climbs(variant, result)
    honest(problem, result)
    compared(problem, result, 0)


@dataclasses.dataclass(frozen=True)
class NoEntropy:
    """Tempered, with the expected complete-data log-likelihood for the free energy: the entropy is forgotten."""

    name: str = "soft"
    semiring: str = "sum"
    certificate: str = "exact"

    def rows(self, logits: Any, key: Any) -> Any:
        resp, lse = normalise(logits)
        return resp, (resp * np.where(resp > 0, logits, 0.0)).sum(axis=1), lse


@dataclasses.dataclass(frozen=True)
class Unguarded:
    """A Newton step on q without a look at where it leads: three times too long."""

    name: str = "unguarded"

    def __call__(self, model: Any, data: Any, stats: Any, params: Any) -> Any:
        support = model.support(params)
        here, there = support.pack(params), support.pack(model.mstep(stats, params), params)
        return support.unpack(here + 3.0 * (there - here), params)


@dataclasses.dataclass(frozen=True)
class Forgetful:
    """ECM that forgets a block: the means stay where they are."""

    name: str = "forgetful"

    def __call__(self, model: Any, data: Any, stats: Any, params: Any) -> Any:
        return Cycle((("weights", "covariances"),))(model, data, stats, params)


BUGS = {
    "the entropy forgotten": Variant("bug", assign=NoEntropy()),
    "an unguarded step": Variant("bug", update=Unguarded()),
    "a block forgotten": Variant("bug", update=Forgetful()),
    "a temperature that is never left": Variant("bug", assign=Tempered(0.5)),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug: str) -> None:
    with pytest.raises(AssertionError):
        caught("Normal", BUGS[bug])


def test_without_a_bug_nothing_is_caught() -> None:
    caught("Normal", Variant("right"))
    caught("Normal", Variant("right", update=Cycle()))


@dataclasses.dataclass(frozen=True)
class Colder(Annealed):  # type: ignore[misc]
    """A schedule that calls all its temperatures one objective."""

    def stage(self, passes: int) -> int:
        return 0

    def for_pass(self, seed: int, passes: int) -> Any:
        return Tempered(min(1.0, 0.2 * (1 + passes // 4)))


def test_temperatures_that_are_taken_for_one_objective_are_caught() -> None:
    variant = Variant("bug", assign=Colder())
    with pytest.raises(AssertionError):
        climbs(variant, ran(BY_NAME["Normal"], variant, max_iter=20))


@dataclasses.dataclass(frozen=True)
class Reused(Sampled):  # type: ignore[misc]
    """Draws that are made once and used in every pass."""

    def for_pass(self, seed: int, passes: int) -> Any:
        return dataclasses.replace(self, seed=seed, passes=0)


def draws_are_anew(assign: Any) -> None:
    """Raise AssertionError unless labels of two passes are independent given the rows: of 4000 even rows half agree."""
    logits = np.zeros((4000, 2))
    one, two = (assign.for_pass(5, passes).rows(logits, ("memory", 0, 4000))[0][:, 0] for passes in (0, 1))
    assert abs(float((one == two).mean()) - 0.5) < 5.5 * 0.5 / np.sqrt(4000)  # a false alarm in 10^7


def chunks_draw_alike(assign: Any) -> None:
    """Raise AssertionError unless a row draws the same in whatever chunk it is."""
    logits = np.random.default_rng(2).normal(size=(50, 3))
    whole = assign.for_pass(5, 3).rows(logits, ("memory", 0, 50))[0]
    for a in range(0, 50, 7):
        part = assign.for_pass(5, 3).rows(logits[a : a + 7], ("memory", a, min(a + 7, 50)))[0]
        np.testing.assert_array_equal(part, whole[a : a + 7])


@dataclasses.dataclass(frozen=True)
class ByChunk(Sampled):  # type: ignore[misc]
    """Draws that depend on where a chunk begins."""

    def uniforms(self, key: Any, n: int, stream: int = 0) -> Any:
        return np.random.default_rng([self.seed, self.passes, stream, int(key[1])]).random(n)


def test_draws_are_anew_in_every_pass_and_the_same_in_every_chunk() -> None:
    for assign in (Sampled(), Sampled(draws=7)):
        chunks_draw_alike(assign)
    draws_are_anew(Sampled())
    with pytest.raises(AssertionError):
        draws_are_anew(Reused())
    with pytest.raises(AssertionError):
        chunks_draw_alike(ByChunk())


# --- words ---


def test_an_unknown_word_lists_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"algorithm='anealed' is unknown; choose one of .*'annealed'.*did you mean 'annealed'"
    ):
        variant_of("anealed")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_takes_an_accelerator_or_says_why_not(name: str) -> None:
    assert variant_of(name, "auto").name == name
    try:
        assert variant_of(name, "squarem").leap is not None
    except ValueError as error:
        assert f"accelerate='squarem': {name!r} takes no leaps (" in str(error)
        assert "use accelerate='none', or algorithm='em'" in str(error)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_explains_itself(name: str) -> None:
    problem = BY_NAME["Student" if name == "ecme" else "Normal"]
    words = ran(problem, name, max_iter=5).explain()
    for label in (
        "algorithm",
        "reads",
        "fills in",
        "adds up",
        "moves by",
        "leaps",
        "climbs",
        "certificate",
        "passes",
        "stopped",
    ):
        assert any(line.startswith(f"{label} ") for line in words.splitlines()), f"no {label} in\n{words}"
    assert name in words.splitlines()[0]
