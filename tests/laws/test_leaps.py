"""Accelerated steps: they are kept only where they are high enough, and refused ones leave no trace but their cost."""

import dataclasses

import numpy as np
import pytest

from estep.core.assign import ImpossibleRow
from estep.core.collapse import Collapsed
from estep.core.record import identical
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.engine import leap_newton
from estep.engine.fit import fit
from estep.engine.leap import ANDERSON, AUTO, LEAPS, SQUAREM
from estep.engine.leap_parabola import SCHEMES, A, H, bends, squarem
from estep.engine.presets import variant_of
from estep.engine.state import LeapMemory
from estep.families.normal import Normal
from estep.families.poisson import Poisson, PoissonParams
from estep.models.latent import Latent, LatentParams
from estep.structures.iid import Iid, IidParams
from estep.testing import model_case
from estep.testing.toy import Climb, N, Point

DATA = Memory(np.zeros((N, 1)))
FAR = Point(np.array(3.0))
EVERY = [name for name in LEAPS if isinstance(name, str) and name not in ("auto", "none")]


DEATHS = np.array([162, 267, 271, 185, 111, 61, 27, 8, 3, 1])  # Hasselblad (1969): days with 0..9 deaths


def climb(model=None, params=FAR, **settings):
    return fit(model or Climb(), DATA, params, **settings)


def clusters(n=60, d=2, apart=2.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + apart * (np.arange(n) % 3)[:, None]


def mixture(code="VVV", x=None, **settings):
    return model_case(Latent(Iid(), Normal(code), 3), clusters() if x is None else x, **settings)


def with_leap(leap, **changes):
    return dataclasses.replace(variant_of("em", "none"), leap=dataclasses.replace(leap, **changes))


@pytest.mark.parametrize("accelerate", [*EVERY, "auto"])
def test_leaps_need_fewer_passes_and_end_at_the_same_place(accelerate):
    slow = Climb(move=lambda theta: 1.0 + 0.99 * (theta - 1.0))
    plain, fast = (climb(slow, accelerate=a, max_iter=5000) for a in ("none", accelerate))
    assert fast.converged
    assert plain.converged
    assert fast.loglik >= plain.loglik - 1e-8 * N
    assert len(fast.trace) < len(plain.trace) / 5
    assert fast.trace.leaped.any()
    assert not plain.trace.leaped.any()


@pytest.mark.parametrize("accelerate", EVERY)
@pytest.mark.parametrize("code", ["VVV", "EEE", "VEI", "EVE"])
def test_no_leap_ends_below_the_em_step_it_replaces(code, accelerate):
    """The leap stands in for the last plain step, whose height is known: an accepted one is at least as high."""
    case, seen = mixture(code, clusters(apart=1.0)), []
    case.fit(accelerate, max_iter=60, watch=lambda state, status: seen.append(state))
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


@pytest.mark.parametrize("leap", [SQUAREM, ANDERSON], ids=lambda leap: leap.name)
def test_plain_passes_come_before_every_leap(leap):
    result = climb(how=with_leap(leap), max_iter=20, tol=0.0)
    places = np.flatnonzero(result.trace.leaped)
    assert places[0] > leap.plain
    assert np.diff(places).min(initial=leap.plain + 1) > leap.plain


def test_leaps_stay_within_what_is_fixed():
    x = clusters()
    free = mixture(x=x)
    held = Constraints({"weights": np.array([1.0, 1.0, 1.0]) / 3})
    model = dataclasses.replace(free.model, constraints=held)
    params = dataclasses.replace(free.params, structure=dataclasses.replace(free.params.structure, weights=np.full(3, 1 / 3)))
    result = fit(model, Memory(x), params, accelerate="squarem", max_iter=30)
    np.testing.assert_array_equal(result.params.structure.weights, np.full(3, 1 / 3))


# --- each proposal on a map whose answer is known: M(x) = x* + B (x - x*) ---

TOP = np.array([1.0, -2.0, 0.5])
RATES = np.array([0.97, 0.8, 0.3])


def memory_of(*points, images=None, **changes):
    points = np.array(points)
    images = TOP + RATES * (points - TOP) if images is None else images
    memory = LeapMemory(points, images, None, np.int64(1), np.float64(1e-15))
    return dataclasses.replace(memory, **changes)


def iterates(count, begin=(3.0, 1.0, -1.0)):
    found = [np.array(begin)]
    for _ in range(count - 1):
        found.append(TOP + RATES * (found[-1] - TOP))
    return found


def test_anderson_and_the_secants_find_the_fixed_point_of_a_linear_map():
    """Four points tell three directions; of a map of dimension three nothing is left to guess."""
    for propose in (LEAPS["anderson"].propose, LEAPS["quasi_newton"].propose):
        np.testing.assert_allclose(propose(memory_of(*iterates(4))), TOP, atol=1e-5)
        assert np.abs(propose(memory_of(*iterates(2))) - TOP).max() > 1e-2, "two points cannot tell three directions"


@pytest.mark.parametrize("scheme", ["S1", "S2", "S3"])
def test_squarem_is_exact_in_one_dimension_and_between_its_bounds_in_three(scheme):
    """With one rate a, r = (a - 1) e and v = (a - 1)^2 e: every length is 1 / (1 - a), and the leap ends at the fixed point."""
    one = np.array([[3.0], [1.0 + 0.97 * 2.0]])
    memory = memory_of(*one, images=1.0 + 0.97 * (one - 1.0), trust=np.float64(1e3))
    np.testing.assert_allclose(squarem(scheme)(memory), [1.0], atol=1e-10)
    start, r, v = bends(memory_of(*iterates(2)))
    lengths = {s: SCHEMES[s](r, v) for s in SCHEMES}
    assert lengths["S1"] <= lengths["S3"] <= lengths["S2"]  # Cauchy-Schwarz
    assert 1.0 / (1.0 - RATES.min()) <= lengths[scheme] <= 1.0 / (1.0 - RATES.max())


def test_the_parabola_passes_through_three_iterates():
    memory = memory_of(*iterates(2))
    start, r, v = bends(memory)
    for t, expected in ((0.0, iterates(3)[0]), (1.0, iterates(3)[2])):
        np.testing.assert_allclose(start + 2 * t * r + t**2 * v, expected, atol=1e-12)
    memory = dataclasses.replace(memory, trust=np.float64(3.0), mode=np.int64(2))
    t = 1.0 + H * A**5
    np.testing.assert_allclose(LEAPS["parabolic"].propose(memory), start + 2 * t * r + t**2 * v)


def test_parabolic_searches_one_parabola_until_it_goes_down():
    """Accepted leaps follow one another without a plain pass; the first refusal ends the search."""
    result = climb(Climb(move=lambda theta: 1.0 + 0.99 * (theta - 1.0)), accelerate="parabolic", max_iter=200)
    runs = "".join("x" if leap else "." for leap in result.trace.leaped)
    assert "xxx" in runs


def test_newton_ends_a_slow_run_in_a_few_passes():
    """On a quadratic objective with its own score the information is exact, and one step of Newton's is the end."""
    x = np.repeat(np.arange(10.0), DEATHS.astype(int))[:, None]
    model = Latent(Iid(), Poisson(), 2).bind(Memory(x))
    begin = LatentParams(IidParams(np.array([0.3, 0.7])), PoissonParams(np.array([[1.0], [2.5]])))
    near = fit(model, Memory(x), begin, accelerate="anderson", tol=1e-9).params
    aside = dataclasses.replace(near, structure=IidParams(np.array([0.37, 0.63])))
    seen = []
    newton = dataclasses.replace(LEAPS["newton"], patience=0.6)
    end = fit(model, Memory(x), aside, dataclasses.replace(variant_of("em", "none"), leap=newton), tol=1e-13,
              watch=lambda state, status: seen.append(state.leap.information.size > 0))  # fmt: skip
    assert any(seen), "Newton's steps were never tried"
    assert end.loglik == pytest.approx(-1989.945859883, abs=1e-8)
    assert end.passes < 60


def test_a_failed_step_of_newtons_waits_longer_every_time():
    memory = dataclasses.replace(memory_of(*iterates(2)), information=-np.eye(3), score=np.ones(3))
    once = leap_newton.kept(memory, False)
    twice = leap_newton.kept(dataclasses.replace(once, information=-np.eye(3)), False)
    assert not once.information.size
    assert 0 < int(once.wait) < int(twice.wait)


def test_close_to_the_end_accelerators_wait_for_plain_passes():
    """Whatever stops a run is told by plain EM: the last passes are no leaps."""
    for accelerate in (*EVERY, "auto"):
        result = climb(Climb(move=lambda theta: 1.0 + 0.99 * (theta - 1.0)), accelerate=accelerate, max_iter=5000)
        assert result.converged
        assert not result.trace.leaped[-2:].any(), accelerate


def test_auto_leaves_a_fast_run_alone_and_waits_for_a_settled_rate():
    assert not climb(Climb(move=lambda theta: 1.0 + 0.5 * (theta - 1.0)), accelerate="auto").trace.leaped.any()
    assert AUTO.patient(np.array([0.95, 0.96, 0.95]), begun=False)
    assert not AUTO.patient(np.array([0.5, 0.95, 0.7]), begun=False)
    assert not AUTO.patient(np.array([0.95, 1.2, 1.1]), begun=False)
    assert AUTO.patient(np.array([0.5, 0.95, 0.7]), begun=True)


@pytest.mark.parametrize("accelerate", [*EVERY, "auto"])
def test_a_run_that_was_cut_off_goes_on_to_the_same_bits_whatever_the_threads(accelerate, tmp_path):
    x = clusters(apart=1.0)
    case = mixture("VVV", x)
    whole = fit(case.model, Memory(x, rows=16, n_jobs=1), case.params, accelerate=accelerate, max_iter=40, tol=1e-12)
    for stop in (7, 19):
        path = tmp_path / f"{stop}.safetensors"
        fit(case.model, Memory(x, rows=16, n_jobs=2), case.params, accelerate=accelerate, max_iter=40, tol=1e-12,
            checkpoint=path, watch=lambda state, status, stop=stop: len(state.trace) >= stop)  # fmt: skip
        again = fit(case.model, Memory(x, rows=16, n_jobs=2), case.params, accelerate=accelerate, max_iter=40, tol=1e-12,
                    checkpoint=path)  # fmt: skip
        np.testing.assert_array_equal(again.trace.objective, whole.trace.objective)
        np.testing.assert_array_equal(again.trace.leaped, whole.trace.leaped)
        assert again.passes == whole.passes
        assert identical(again.params, whole.params)


def test_a_leap_that_is_kept_though_lower_is_seen():
    """Negative control: were refused leaps kept, the objective would fall and the law above would fail."""

    def reckless(memory):
        return memory.images[-1] + 50.0 * (memory.images[-1] - memory.points[-1])

    result = climb(how=with_leap(SQUAREM, propose=reckless), max_iter=40)
    assert np.all(np.diff(result.trace.objective) >= 0)
    refused = np.flatnonzero(result.trace.leaped & (np.diff(result.trace.objective, prepend=-np.inf) == 0))
    assert refused.size, "no leap went too far, so nothing was refused"


def test_an_unknown_accelerator_lists_the_known():
    with pytest.raises(ValueError, match="'quasi_newton'.*'newton'"):
        climb(accelerate="warp")


# --- where accelerated runs end ---


def three_rates(i):
    x, times = np.unique(np.random.default_rng(5).poisson(np.repeat([1.0, 3.0, 7.0], [300, 400, 300])), return_counts=True)
    data = Memory(x[:, None].astype(float), weight=times.astype(float))
    model = Latent(Iid(), Poisson(), 3).bind(data)
    rng = np.random.default_rng([i, 3])
    rates = np.sort(rng.uniform(0.3, 9.0, 3))[:, None]
    return model, data, LatentParams(IidParams(rng.dirichlet(np.full(3, 3.0))), PoissonParams(rates))


def three_clouds(i):
    x = clusters(n=150, apart=2.5, seed=1)
    data = Memory(x)
    model = Latent(Iid(), Normal("VVI"), 3).bind(data)
    resp = np.random.default_rng([i, 4]).dirichlet(np.full(3, 0.3), size=len(x))
    neutral = model.start()
    return model, data, model.mstep(data.sum(lambda chunk: model.tally(neutral, chunk, resp[chunk.rows])), neutral)


@pytest.mark.parametrize("accelerate", ["auto", "anderson", "squarem", "quasi_newton"])
def test_ends_are_those_of_plain_em_or_higher_and_the_others_stationary(accelerate):
    """To 1e-6 nats a row in at least 95 of 100 starts; the rest are where one more EM step gains nothing."""
    lower, count = [], 0
    for make in (three_rates, three_clouds):
        for i in range(10):
            model, data, begin = make(i)
            plain, fast = (fit(model, data, begin, accelerate=a, tol=1e-9, max_iter=3000) for a in ("none", accelerate))
            count += 1
            if (fast.objective - plain.objective) / plain.n < -1e-6:
                lower.append((make.__name__, i, fast))
                onward = fit(model, data, fast.params, max_iter=3)
                assert onward.objective - fast.objective < 1e-6 * plain.n, "lower, and not even stationary"
    assert len(lower) <= 0.05 * count, lower
