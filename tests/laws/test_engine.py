"""The one loop. First of all: when it stops. Then names, threads and restarts.

Most runs are of the toy whose answers are known (``estep.testing.toy``), from theta = 3: a pass multiplies what is left to
gain, 200 nats at the start, by 0.64.
"""

import dataclasses

import numpy as np
import pytest

from estep.core.assign import ImpossibleRow
from estep.core.collapse import Collapsed
from estep.core.record import identical
from estep.core.result import Status
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.presets import PRESETS, Variant, variant_of
from estep.engine.restart import Start, fit_starts
from estep.engine.run import FALL, Control
from estep.engine.stop import CALM
from estep.engine.update import Only
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


# --- when it stops: zero passes, one pass, the cap ---


def test_no_pass_returns_the_start_with_its_likelihood():
    result = climb(max_iter=0)
    assert result.status is Status.HIT_CAP
    assert not result.converged
    assert len(result.trace) == 0
    assert result.params.theta == 3.0
    assert result.loglik == pytest.approx(-200.0, rel=1e-14)
    assert "max_iter=0" in result.message
    assert "raise max_iter" in result.message


def test_one_pass_is_one_em_step():
    """The first value is compared with minus infinity: an infinite gain that must not count as one."""
    result = climb(max_iter=1)
    assert result.status is Status.HIT_CAP
    assert result.trace.objective == pytest.approx([-200.0], rel=1e-14)
    assert result.params.theta == pytest.approx(2.6, rel=1e-14)
    assert result.loglik == pytest.approx(-50 * 1.6**2, rel=1e-14)
    assert np.isnan(result.state.stop.gain)
    assert result.state.stop.calm == 0


def test_the_cap_says_how_much_is_left():
    result = climb(max_iter=12)
    assert result.status is Status.HIT_CAP
    assert len(result.trace) == 12
    truly_left = -result.trace.objective[-1]
    assert result.left == pytest.approx(truly_left, rel=1e-6)
    assert f"about {truly_left:.3g} nats are probably left to gain" in result.message
    assert f"tol asks for {1e-8 * N:.3g}" in result.message


@pytest.mark.parametrize("rate", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("tol", [1e-4, 1e-8])
def test_it_stops_when_what_is_left_is_below_the_tolerance(rate, tol):
    """Slow runs gain little a pass long before they arrive; lagging by CALM checks they stop a little later, never earlier."""
    model = Climb(move=lambda theta: 1.0 + rate * (theta - 1.0))
    result = climb(model, tol=tol, max_iter=100_000)
    assert result.status is Status.CONVERGED
    left = -result.trace.objective
    assert left[-1] <= tol * N * (1 + 1e-3)
    assert left[-CALM - 2] > tol * N
    assert result.rate == pytest.approx(rate**2, rel=1e-2)


def test_tolerance_is_per_unit_weight():
    light = dataclasses.replace(DATA, weight=np.full(N, 1.0))
    assert fit(Climb(), light, FAR, max_iter=200).passes == climb(max_iter=200).passes


# --- a fall, a plateau, rounding, nonsense ---


def test_a_fall_is_not_convergence():
    result = climb(Climb(move=lambda theta: theta + 0.5), max_iter=50)
    assert result.status is Status.FELL
    assert not result.converged
    assert "fell" in result.message
    assert result.params.theta == 3.0
    assert result.loglik == pytest.approx(-200.0)
    assert result.trace.objective.tolist() == pytest.approx([-200.0, -312.5])


def test_a_fall_after_a_climb_returns_the_summit():
    """Moves from 3 to 1.2, then overshoots to -4."""
    result = climb(Climb(move=lambda theta: np.where(theta > 2, 1.2, -4.0)), max_iter=50)
    assert result.status is Status.FELL
    assert result.params.theta == pytest.approx(1.2)
    assert result.objective == pytest.approx(-2.0)


@pytest.mark.parametrize("share", [0.3, 3.0])
def test_what_is_a_fall_and_what_is_rounding(share):
    """A drop of less than FALL, relative, may be rounding; more may not."""
    base = 1000.0
    model = Climb(height=lambda theta: base - share * FALL * base * (theta - 3.0), move=lambda theta: theta + 1.0)
    status = climb(model, max_iter=2).status
    assert status is (Status.FELL if share > 1 else Status.HIT_CAP)


def test_a_heuristic_may_fall_but_a_fall_is_no_convergence():
    variant = dataclasses.replace(variant_of("em", "none"), certificate="heuristic")
    assert climb(Climb(move=lambda theta: theta + 0.5), how=variant, max_iter=8).status is Status.HIT_CAP


def test_a_fixed_point_stops_at_once_and_says_rounding():
    result = climb(Climb(move=lambda theta: theta), max_iter=50)
    assert result.status in (Status.ROUNDED, Status.CONVERGED)
    assert result.converged
    assert len(result.trace) <= CALM + 2
    assert result.params.theta == 3.0


def test_noise_of_rounding_is_no_fall_and_no_progress():
    """At 1e9 nats the last bits of the objective jitter by 1e-7: the run ends, and says why."""
    jitter = np.random.default_rng(0)
    model = Climb(height=lambda theta: 1e9 + jitter.choice([0.0, 1.2e-7, -1.2e-7]), move=lambda theta: theta)
    result = climb(model, max_iter=50, tol=1e-30)
    assert result.status is Status.ROUNDED
    assert len(result.trace) < 20


def test_an_objective_that_is_no_number_is_not_run_to_the_cap():
    model = Climb(height=lambda theta: np.nan)
    try:
        result = climb(model, max_iter=50)
    except (ValueError, ArithmeticError):
        return
    assert len(result.trace) <= 2, "fifty passes of NaN"
    assert result.status is not Status.HIT_CAP


# --- collapse ---


def collapse_at(passes):
    def move(theta):
        if theta <= 1.0 + 2.0 * 0.8 ** (passes - 0.5):
            raise Collapsed(2, "it shrank to a point")
        return 1.0 + 0.8 * (theta - 1.0)

    return Climb(move=move)


@pytest.mark.parametrize("passes", [0, 1, 4])
def test_a_collapse_ends_the_run_where_it_can_still_be_evaluated(passes):
    result = climb(collapse_at(passes), max_iter=50)
    assert result.status is Status.DEGENERATE
    assert not result.converged
    assert "component 2" in result.message
    assert "shrank to a point" in result.message
    assert np.isfinite([result.loglik, result.objective]).all()
    assert result.params.theta == pytest.approx(1.0 + 2.0 * 0.8**passes)


@pytest.mark.parametrize("passes", [0, 4])
def test_the_trace_of_a_collapse_holds_the_objective_of_every_pass(passes):
    result = climb(collapse_at(passes), max_iter=50)
    np.testing.assert_allclose(result.trace.objective, -200.0 * 0.64 ** np.arange(passes + 1), rtol=1e-12)


def test_an_impossible_row_at_the_start_is_raised():
    def height(theta):
        raise ImpossibleRow(7)

    with pytest.raises(ImpossibleRow, match="row 7"):
        climb(Climb(height=height))


# --- names, threads, variants ---


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"algorithm='en' is unknown; choose one of"):
        climb(how="en")
    with pytest.raises(ValueError, match=r"accelerate='fast' is unknown; choose"):
        climb(accelerate="fast")
    with pytest.raises(ValueError, match="takes no leaps"):
        climb(how="cem", accelerate="squarem")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_describe_themselves(name):
    words = PRESETS[name].describe()
    assert words.startswith(f"{name}: visit")
    assert PRESETS[name].certificate in words


@pytest.mark.parametrize("accelerate", ["none", "squarem", "anderson"])
def test_the_same_bits_for_any_number_of_threads(accelerate):
    case = mixture(x=clusters(n=200))
    one, *others = (case.fit(accelerate, data=case.data(rows=32, n_jobs=j), max_iter=15) for j in (1, 2, 3))
    for other in others:
        assert identical(other.params, one.params)
        np.testing.assert_array_equal(other.trace.objective, one.trace.objective)
        assert other.loglik == one.loglik


def test_classification_em_settles():
    result = mixture("EII", clusters(apart=3.0), how="cem").fit(max_iter=200)
    assert result.status is Status.SETTLED
    assert np.all(np.diff(result.trace.objective) >= -1e-9)
    assert result.loglik > result.objective


@pytest.mark.parametrize("name", ["weights", "means", "covariances"])
@pytest.mark.parametrize("code", ["VVV", "VVI", "EEI"])
def test_only_the_named_parameter_moves(code, name):
    case = mixture(code)
    variant = Variant(update=Only((name,)))
    result = fit(case.model, case.data(), case.params, how=variant, max_iter=5)
    before, after = case.params, result.params
    moved = {
        "weights": not np.array_equal(after.structure.weights, before.structure.weights),
        "means": not np.array_equal(after.family.means, before.family.means),
        "covariances": not np.array_equal(after.family.covariances, before.family.covariances),
    }
    assert moved == {n: n == name for n in moved}
    assert np.all(np.diff(result.trace.objective) >= -1e-9)


def test_only_refuses_a_name_it_does_not_know():
    case = mixture()
    with pytest.raises(ValueError, match="no parameter"):
        fit(case.model, case.data(), case.params, how=Variant(update=Only(("mean",))), max_iter=5)


# --- restarts ---


def hills(theta):
    """Two optima: 0 at theta = 1 and -5 at theta = 20."""
    return max(-50.0 * (theta - 1.0) ** 2, -5.0 - 50.0 * (theta - 20.0) ** 2)


def to_the_nearer_hill(theta):
    top = 1.0 if theta < 10 else 20.0
    return top + 0.8 * (theta - top)


def test_the_best_of_several_starts_is_returned_with_the_table():
    model = Climb(height=hills, move=to_the_nearer_hill)
    starts = [Start(f"from {t}", lambda t=t: Point(np.array(t))) for t in (18.0, 3.0, 22.0, 2.0)]
    result = fit_starts(model, DATA, starts, variant_of("em", "none"), Control())
    assert result.converged
    assert result.objective == pytest.approx(0.0, abs=1e-6)
    assert len(result.starts) == 4
    assert result.starts[result.starts.best].start in ("from 3.0", "from 2.0")
    assert result.starts.optima[0][1] == 2
    alone = climb(model, params=starts[result.starts.best].make())
    assert identical(result.params, alone.params)


def test_a_start_that_collapses_is_listed_and_loses():
    def move(theta):
        if theta > 10:
            raise Collapsed(1, "it vanished")
        return to_the_nearer_hill(theta)

    model = Climb(height=lambda theta: 1e3 if theta > 10 else hills(theta), move=move)
    starts = [Start("bad", lambda: Point(np.array(18.0))), Start("good", lambda: FAR)]
    result = fit_starts(model, DATA, starts, variant_of("em", "none"), Control())
    assert result.converged
    assert result.starts[result.starts.best].start == "good"
    assert [row.start for row in result.starts.collapsed] == ["bad"]
    assert "it vanished" in str(result.starts)


def test_where_all_starts_collapse_the_result_says_so():
    def move(theta):
        raise Collapsed(1, "it vanished")

    starts = [Start(str(i), lambda: FAR) for i in range(3)]
    result = fit_starts(Climb(move=move), DATA, starts, variant_of("em", "none"), Control())
    assert result.status is Status.DEGENERATE
    assert not result.converged
