"""Runs that are watched, stopped, interrupted, written to a file and resumed."""

import numpy as np
import pytest

from estep.core.record import identical
from estep.core.result import Status
from estep.data.memory import Memory
from estep.engine.checkpoint import load_state, save_state
from estep.engine.fit import fit
from estep.engine.presets import variant_of
from estep.engine.restart import Start, fit_starts
from estep.engine.run import Control, run, start
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
    control = Control(max_iter=3)
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
