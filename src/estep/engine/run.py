"""The loop. Every algorithm is a pure ``step(model, data, state) -> state``; this file holds the only loop over passes.

A step evaluates the model at ``state.params`` (one pass), judges a leap if that point was one, maximises, and decides where
to go next. The loop adds what a step cannot: watching, checkpoints, interruption, the cap, and the closing exact pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from estep.core.assign import SOFT, ImpossibleRow
from estep.core.collapse import Collapsed
from estep.core.protocols import Expected
from estep.core.result import Result, Status, Trace
from estep.engine.ledger import Ledger
from estep.engine.presets import Variant
from estep.engine.state import State, begin
from estep.engine.visit import Counted, total
from estep.engine.words import fall_words, sentence

FALL = 1e-9
NO_POINT = (Collapsed, ImpossibleRow, FloatingPointError, np.linalg.LinAlgError)
Watch = Callable[[State, Status], bool]


@dataclasses.dataclass(frozen=True)
class Control:
    """When to stop and whom to tell.

    ``tol`` is nats per unit weight; ``watch(state, status)`` is called after every pass and stops the run by returning
    True; ``save(state)`` is called every ``save_every`` passes; ``catch`` turns the first Ctrl-C into a result. ``ledger``
    keeps where each run of a fit with many starts stands; ``note(state, status)`` is how a run tells it, after every pass.
    """

    tol: float = 1e-8
    max_iter: int = 1000
    watch: Watch | None = None
    save: Callable[[State], None] | None = None
    save_every: int = 10
    catch: bool = True
    seed: int = 0
    ledger: Ledger | None = None
    note: Callable[[State, Status], None] | None = None


@dataclasses.dataclass(frozen=True)
class Step:
    """What one pass led to: the state for the next, and why to stop if so. ``seen`` is the evaluation at ``state.here``."""

    state: State
    status: Status
    gone: Collapsed | None = None
    seen: Expected | None = None


def start(model: Any, params: Any, variant: Variant, control: Control) -> State:
    """The state of a run from ``params`` before its first pass."""
    p = model.support(params).count if variant.leap else 0
    trust = variant.leap.first_trust if variant.leap else 0.0
    return begin(params, p, variant.blend.begin(), trust, control.seed)


def run(model: Any, data: Any, state: State, variant: Variant, control: Control) -> Result:
    """Run ``variant`` from ``state`` until it stops, and evaluate the end exactly."""
    return close(model, data, advance(model, data, state, variant, control), variant, control)


def advance(model: Any, data: Any, state: State, variant: Variant, control: Control) -> Step:
    """THE loop: step from ``state`` until something stops it. A state that had already stopped is not moved."""
    last = Step(state, variant.stop.verdict(state.stop))
    while last.status is Status.RUNNING:
        if len(last.state.trace) >= control.max_iter:
            last = dataclasses.replace(last, status=Status.HIT_CAP)
        else:
            last = _watched(model, data, last, variant, control)
        if control.save is not None and _due(last, control):
            control.save(last.state)
        if control.note is not None:
            control.note(last.state, last.status)
    return last


def _watched(model: Any, data: Any, last: Step, variant: Variant, control: Control) -> Step:
    """The next step, as those who watch and interrupt let it be."""
    try:
        last = step(model, data, last.state, variant, control)
        if control.watch is not None and control.watch(last.state, last.status) and last.status is Status.RUNNING:
            return dataclasses.replace(last, status=Status.STOPPED)
    except KeyboardInterrupt:
        if not control.catch:
            raise
        return dataclasses.replace(last, status=Status.INTERRUPTED)
    return last


def _due(last: Step, control: Control) -> bool:
    return last.status is not Status.RUNNING or len(last.state.trace) % control.save_every == 0


def step(model: Any, data: Any, state: State, variant: Variant, control: Control) -> Step:
    """One step, with every pass over the data counted: evaluate, judge, maximise, move."""
    counted = Counted(data)
    led = _step(model, counted, state, variant, control)
    passes = np.int64(int(state.passes) + counted.passes)
    return dataclasses.replace(led, state=dataclasses.replace(led.state, passes=passes))


def _step(model: Any, data: Any, state: State, variant: Variant, control: Control) -> Step:
    try:
        seen = variant.visit.expected(model, data, state, drawn(variant.assign, state))
        value = float(seen.objective) + log_prior(model, state.params)
    except NO_POINT as error:
        if isinstance(error, ImpossibleRow) and not state.tentative:
            raise
        return _refuse(state, variant) if state.tentative else _collapse(state, _gone(error))
    if state.tentative and not value >= state.value:
        return _refuse(state, variant)
    if np.isnan(value):
        return _fall(state, value)
    blend, stats = variant.blend.join(state.blend, seen.stats)
    try:
        image = variant.update(model, data, stats, state.params)
        gone = find_dying(model, image, stats)
    except NO_POINT as error:
        image, gone = None, _gone(error)
    if gone is not None:
        return _refuse(state, variant) if state.tentative else _collapse(state, gone, value, seen)
    return _move(model, dataclasses.replace(state, blend=blend), seen, value, image, variant, control)


def _gone(error: BaseException) -> Collapsed:
    return error if isinstance(error, Collapsed) else Collapsed(0, str(error))


def _move(model: Any, state: State, seen: Expected, value: float, image: Any, variant: Variant, control: Control) -> Step:
    """From an accepted point with objective ``value`` and EM image ``image`` to the next state."""
    leaped, gain = bool(state.tentative), value - float(state.value)
    trace, flags = np.append(state.trace, value), np.append(state.leaped, leaped)
    if not leaped and gain < -FALL * (1.0 + abs(value)) and variant.certificate != "heuristic":
        return _fall(state, value)
    stop, memory = state.stop, state.leap
    if leaped:
        stop = variant.stop.interrupted(stop)
    elif np.isfinite(state.value):
        stop = variant.stop.note(stop, gain, value, control.tol * float(seen.n))
    status = variant.stop.verdict(stop)
    ahead, tentative = image, False
    if variant.leap is not None and status is Status.RUNNING:
        if leaped:
            memory = variant.leap.judged(memory, accepted=True)
        if variant.leap.ready(stop.rates, bool(flags.any())):
            support = model.support(state.params)
            memory = variant.leap.note(memory, support, state.params, image, plain=0 if leaped else 1)
            candidate = variant.leap.candidate(memory, support)
            ahead, tentative = (image, False) if candidate is None else (candidate, True)
        elif len(memory.points):
            memory = variant.leap.forget(memory)
    new = State(
        params=ahead,
        here=state.params,
        fallback=image,
        value=np.float64(value),
        tentative=np.bool_(tentative),
        trace=trace,
        leaped=flags,
        leap=memory,
        stop=stop,
        blend=state.blend,
        passes=state.passes,
        seed=state.seed,
    )
    return Step(new, status, seen=seen)


def _refuse(state: State, variant: Variant) -> Step:
    """Back to the EM step that the refused leap would have replaced."""
    assert variant.leap is not None
    return Step(
        dataclasses.replace(
            state,
            params=state.fallback,
            tentative=np.False_,
            trace=np.append(state.trace, state.value),
            leaped=np.append(state.leaped, True),
            leap=variant.leap.judged(state.leap, accepted=False),
        ),
        Status.RUNNING,
    )


def _fall(state: State, value: float) -> Step:
    """The objective fell, or is not a number: the run ends at the point before."""
    trace, flags = np.append(state.trace, value), np.append(state.leaped, False)
    return Step(dataclasses.replace(state, trace=trace, leaped=flags), Status.FELL)


def _collapse(state: State, gone: Collapsed, value: float = np.nan, seen: Expected | None = None) -> Step:
    """No M-step from here, or no E-step here: the run ends at the last point that could be evaluated."""
    if seen is None:
        return Step(state, Status.DEGENERATE, gone)
    ended = dataclasses.replace(
        state,
        here=state.params,
        value=np.float64(value),
        trace=np.append(state.trace, value),
        leaped=np.append(state.leaped, False),
    )
    return Step(ended, Status.DEGENERATE, gone, seen)


def close(model: Any, data: Any, last: Step, variant: Variant, control: Control) -> Result:
    """The result, with the exact log-likelihood and objective at the parameters that are returned."""
    state, status, cap = last.state, last.status, control.max_iter
    onward = status in (Status.HIT_CAP, Status.INTERRUPTED, Status.STOPPED)
    params = state.fallback if onward and len(state.trace) else state.here
    seen = last.seen if params is state.here else None
    exact = variant.visit.exact and variant.assign.name == SOFT.name
    try:
        if seen is None:
            seen = total(model, data, params, drawn(variant.assign, state))
        loglik = float(seen.loglik) if exact else float(total(model, data, params, SOFT).loglik)
        objective, n = float(seen.objective) + log_prior(model, params), float(seen.n)
    except (Collapsed, np.linalg.LinAlgError):
        params, loglik, objective, n = state.here, np.nan, float(state.value), np.nan
    gone = last.gone
    if status.converged and (frail := _frail(model, params, seen)) is not None:
        status, gone = Status.FRAIL, frail
    left = float(state.stop.left)
    fell = status is Status.FELL
    message = fall_words(model, state.trace) if fell else sentence(model, status, gone, left, control.tol * n, cap)
    return Result(
        params=params,
        model=model,
        objective=objective,
        loglik=loglik,
        n=n,
        n_free=model.support(params).count + int(getattr(model, "constants", 0)),
        status=status,
        message=message,
        trace=Trace(state.trace, state.leaped),
        left=left,
        rate=float(state.stop.rates[-1]) if state.stop.rates.size else float("nan"),
        certificate=variant.certificate,
        variant=variant.describe(),
        state=state,
        passes=int(state.passes),
    )


def drawn(assign: Any, state: State) -> Any:
    """The assignment of this pass: one that draws is told the seed and the pass, so that a resumed run draws the same."""
    for_pass = getattr(assign, "for_pass", None)
    return assign if for_pass is None else for_pass(int(state.seed), len(state.trace))


def log_prior(model: Any, params: Any) -> float:
    """q(params, prior): what MAP adds to the objective."""
    prior = getattr(model, "prior", None)
    return 0.0 if prior is None else float(model.q(params, prior))


def find_dying(model: Any, params: Any, stats: Any) -> Collapsed | None:
    """The component that has collapsed at ``params``, if the model can tell."""
    dying = getattr(model, "dying", None)
    return None if dying is None else dying(params, stats)


def _frail(model: Any, params: Any, seen: Any) -> Collapsed | None:
    frail = getattr(model, "frail", None)
    return None if frail is None or seen is None else frail(params, seen.stats)
