"""Accelerated steps: they are kept only where they are high enough, and refused ones leave no trace but their cost."""

import dataclasses

import numpy as np
import pytest

from estep.core.assign import ImpossibleRow
from estep.core.collapse import Collapsed
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.leap import ANDERSON, PLAIN, SQUAREM
from estep.engine.presets import variant_of
from estep.families.normal import Normal
from estep.models.latent import Latent
from estep.structures.iid import Iid
from estep.testing import model_case
from estep.testing.toy import Climb, N, Point

DATA = Memory(np.zeros((N, 1)))
FAR = Point(np.array(3.0))


def climb(model=None, params=FAR, **settings):
    return fit(model or Climb(), DATA, params, **settings)


def clusters(n=60, d=2, apart=2.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + apart * (np.arange(n) % 3)[:, None]


def mixture(code="VVV", x=None, **settings):
    return model_case(Latent(Iid(), Normal(code), 3), clusters() if x is None else x, **settings)


def with_leap(leap, **changes):
    return dataclasses.replace(variant_of("em", "none"), leap=dataclasses.replace(leap, **changes))


@pytest.mark.parametrize("accelerate", ["squarem", "anderson"])
def test_leaps_need_fewer_passes_and_end_at_the_same_place(accelerate):
    slow = Climb(move=lambda theta: 1.0 + 0.99 * (theta - 1.0))
    plain, fast = (climb(slow, accelerate=a, max_iter=5000) for a in ("none", accelerate))
    assert fast.converged
    assert plain.converged
    assert fast.loglik >= plain.loglik - 1e-8 * N
    assert len(fast.trace) < len(plain.trace) / 5
    assert fast.trace.leaped.any()
    assert not plain.trace.leaped.any()


@pytest.mark.parametrize("accelerate", ["squarem", "anderson"])
@pytest.mark.parametrize("code", ["VVV", "EEE", "VEI", "EVE"])
def test_no_leap_ends_below_the_em_step_it_replaces(code, accelerate):
    """The leap stands in for the last plain step, whose height is known: an accepted one is at least as high."""
    case, seen = mixture(code, clusters(apart=1.0)), []
    case.fit(accelerate, max_iter=40, watch=lambda state, status: seen.append(state))
    pairs = [(a, b) for a, b in zip(seen, seen[1:], strict=False) if a.tentative]
    accepted = [(float(a.value), float(b.value)) for a, b in pairs if b.here is not a.here]
    assert accepted, "no leap was accepted, so nothing was tested"
    assert all(after >= before for before, after in accepted)


@pytest.mark.parametrize("leap", [SQUAREM, ANDERSON], ids=lambda leap: leap.name)
@pytest.mark.parametrize("how", ["too low", "no number", "impossible", "collapsed"])
def test_a_refused_leap_repeats_the_trace_and_the_run_goes_on_as_plain_em(leap, how):
    """Every leap goes to theta = 77, which is no good; the other passes are those of plain EM to the bit."""

    def height(theta):
        if theta == 77.0:
            if how == "impossible":
                raise ImpossibleRow(0)
            if how == "collapsed":
                raise Collapsed(0, "gone")
            return np.nan if how == "no number" else -1e6
        return -50.0 * (theta - 1.0) ** 2

    variant = with_leap(leap, propose=lambda memory: np.array([77.0]))
    result = climb(Climb(height=height), how=variant, max_iter=60)
    plain = climb(max_iter=60)
    leaped = result.trace.leaped
    assert leaped.any()
    refused = np.flatnonzero(leaped)
    np.testing.assert_array_equal(result.trace.objective[refused], result.trace.objective[refused - 1])
    np.testing.assert_array_equal(result.trace.objective[~leaped], plain.trace.objective[: (~leaped).sum()])
    assert np.all(np.diff(result.trace.objective) >= 0)


@pytest.mark.parametrize("proposed", [None, np.array([np.nan]), np.array([np.inf])], ids=["none", "nan", "infinity"])
def test_a_leap_to_nowhere_costs_no_pass(proposed):
    result = climb(how=with_leap(SQUAREM, propose=lambda memory: proposed), max_iter=30)
    assert not result.trace.leaped.any()
    np.testing.assert_array_equal(result.trace.objective, climb(max_iter=30).trace.objective)


def test_plain_passes_come_before_every_leap():
    result = climb(accelerate="squarem", max_iter=20, tol=0.0)
    places = np.flatnonzero(result.trace.leaped)
    assert places[0] > PLAIN
    assert np.diff(places).min(initial=PLAIN + 1) > PLAIN


def test_leaps_stay_within_what_is_fixed():
    x = clusters()
    free = mixture(x=x)
    held = Constraints({"weights": np.array([1.0, 1.0, 1.0]) / 3})
    model = dataclasses.replace(free.model, constraints=held)
    params = dataclasses.replace(free.params, structure=dataclasses.replace(free.params.structure, weights=np.full(3, 1 / 3)))
    result = fit(model, Memory(x), params, accelerate="squarem", max_iter=30)
    np.testing.assert_array_equal(result.params.structure.weights, np.full(3, 1 / 3))
