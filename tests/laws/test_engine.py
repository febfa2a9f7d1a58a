"""The one loop. First of all: when it stops. Then leaps, interruptions, checkpoints, threads and restarts.

Most runs are of a toy whose answers are known: climb f(theta) = -curve (theta - 1)^2 / 2 by theta -> 1 + rate (theta - 1), so that
gains shrink by rate^2 a pass and what is left to gain after any pass is curve (theta - 1)^2 / 2.
"""

import dataclasses
from typing import Any

import numpy as np
import pytest

from estep.core.assign import ImpossibleRow
from estep.core.collapse import Collapsed
from estep.core.protocols import Expected
from estep.core.record import identical, record
from estep.core.result import Status
from estep.core.support import Constraints, Real, Support
from estep.data.memory import Memory
from estep.engine.checkpoint import load_state, save_state
from estep.engine.fit import fit
from estep.engine.leap import ANDERSON, PLAIN, SQUAREM
from estep.engine.presets import PRESETS, Variant, variant_of
from estep.engine.restart import Start, fit_starts
from estep.engine.run import FALL, Control, run, start
from estep.engine.stop import CALM
from estep.engine.update import Only
from estep.families.normal import Normal
from estep.models.latent import Latent
from estep.structures.iid import Iid
from estep.testing import model_case

N = 10
DATA = Memory(np.zeros((N, 1)))


@record
class Point:
    theta: Any


@dataclasses.dataclass(frozen=True)
class Climb:
    """The toy: ``height(theta)`` and the M-step ``move(theta)``; one nat of ``height`` a row."""

    height: Any = lambda theta: -50.0 * (theta - 1.0) ** 2
    move: Any = lambda theta: 1.0 + 0.8 * (theta - 1.0)
    prior: Any = None

    def estep(self, params, chunk, assign):
        share, value = len(chunk) / N, float(self.height(params.theta))
        return Expected(Point(params.theta * share), value * share, value * share, float(len(chunk)))

    def mstep(self, stats, params):
        return Point(np.asarray(self.move(stats.theta), dtype=float))

    def q(self, params, stats):
        return 0.0

    def support(self, params):
        return Support({"theta": Real(Constraints().pattern("theta", ()))})


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


# --- leaps ---


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


# --- watching and interrupting ---


def test_the_watch_sees_every_pass_once():
    lengths = []
    result = climb(max_iter=9, watch=lambda state, status: lengths.append(len(state.trace)))
    assert lengths == list(range(1, 10))
    assert len(result.trace) == 9


def test_a_watch_stops_the_run():
    result = climb(watch=lambda state, status: len(state.trace) == 4)
    assert result.status is Status.STOPPED
    assert not result.converged
    assert len(result.trace) == 4
    assert result.params.theta == pytest.approx(1 + 2 * 0.8**4)


def test_a_watch_cannot_undo_convergence():
    result = climb(Climb(move=lambda theta: theta), watch=lambda state, status: status.converged)
    assert result.converged


def interrupt(state, status):
    if len(state.trace) == 4:
        raise KeyboardInterrupt


def test_an_interrupt_returns_the_best_so_far():
    result = climb(watch=interrupt)
    assert result.status is Status.INTERRUPTED
    assert not result.converged
    assert len(result.trace) == 4
    assert result.params.theta == pytest.approx(1 + 2 * 0.8**4)
    assert result.loglik > result.trace.objective[-1]


def test_an_interrupt_in_the_middle_of_a_pass_loses_that_pass_only():
    calls = []

    def height(theta):
        calls.append(theta)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return -50.0 * (theta - 1.0) ** 2

    result = climb(Climb(height=height))
    assert result.status is Status.INTERRUPTED
    assert len(result.trace) == 4
    assert result.params.theta == pytest.approx(1 + 2 * 0.8**4)


def test_an_interrupt_is_raised_inside_an_enclosing_loop():
    variant, control = variant_of("em", "none"), Control(watch=interrupt, catch=False)
    with pytest.raises(KeyboardInterrupt):
        run(Climb(), DATA, start(Climb(), FAR, variant, control), variant, control)


def test_an_interrupt_ends_all_restarts():
    """Ctrl-C is pressed once, in the first pass of the first start."""
    passes = []

    def watch(state, status):
        passes.append(1)
        if len(passes) == 1:
            raise KeyboardInterrupt

    starts = [Start(f"start {i}", lambda: FAR) for i in range(6)]
    result = fit_starts(Climb(), DATA, starts, variant_of("em", "none"), Control(watch=watch))
    assert result.status is Status.INTERRUPTED
    assert len(passes) == 1


# --- checkpoints ---


def test_the_state_at_the_cap_is_kept(tmp_path):
    """Raising max_iter is the advice at the cap: it goes on from there."""
    path = tmp_path / "state"
    climb(max_iter=7, checkpoint=path)
    assert path.exists()
    passes = []
    more = climb(max_iter=15, checkpoint=path, watch=lambda state, status: passes.append(1))
    assert len(passes) == 8
    assert identical(more.params, climb(max_iter=15).params)


def test_every_kind_of_memory_survives_a_checkpoint(tmp_path):
    variant = variant_of("em", "anderson")
    control = Control(max_iter=8)
    state = run(Climb(), DATA, start(Climb(), FAR, variant, control), variant, control).state
    assert len(state.leap.points) > 0
    save_state(state, tmp_path / "state", variant)
    again = load_state(tmp_path / "state", start(Climb(), FAR, variant, control), variant)
    assert identical(again, state)


def test_a_checkpoint_of_another_model_or_variant_is_refused(tmp_path):
    path, case = tmp_path / "state", mixture()
    climb(max_iter=20, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another model"):
        case.fit("none", checkpoint=path)
    with pytest.raises(ValueError, match="was written by"):
        climb(accelerate="anderson", checkpoint=path)
    other = tmp_path / "other"
    case.fit("none", checkpoint=other, max_iter=20)
    with pytest.raises(ValueError, match="has shape"):
        mixture(x=clusters(d=3)).fit("none", checkpoint=other)


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"\x00" * len(b)], ids=["half", "empty", "zeros"]
)
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path, damage):
    path = tmp_path / "state"
    climb(max_iter=20, checkpoint=path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="state"):
        climb(checkpoint=path)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "state"
    climb(max_iter=20, checkpoint=path)
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        climb(max_iter=40, checkpoint=path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


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
