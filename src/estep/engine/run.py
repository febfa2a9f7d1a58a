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
from estep.engine.admit import admit
from estep.engine.leap import Here
from estep.engine.ledger import Ledger
from estep.engine.presets import Variant
from estep.engine.removal import every_class, leftover, present, without
from estep.engine.stages import restaged, unhurried
from estep.engine.state import State, begin, fresh_stop
from estep.engine.visit import NO_POINT as NO_POINT
from estep.engine.visit import Counted, total
from estep.engine.wander import redrawn
from estep.engine.words import account, ending, fall_words, sentence

FALL = 1e-9
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
    """The state of a run from ``params`` before its first pass; raises where the variant cannot run on the model."""
    admit(model, variant)
    p = model.support(params).count if variant.leap else 0
    trust = variant.leap.first_trust if variant.leap else 0.0
    return dataclasses.replace(
        begin(params, p, variant.blend.begin(), trust, control.seed),
        stop=fresh_stop(variant.stop),
        kept=every_class(model, variant),
        iterates=None if variant.answer is None else variant.answer.begin(params),
        nodes=variant.visit.begin(model, params, variant) if hasattr(variant.visit, "begin") else None,
    )


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
    led = _step(present(model, state), counted, restaged(variant, state), variant, control)
    if hasattr(variant.visit, "onward"):
        led = variant.visit.onward(model, counted, state, led, variant, control.tol)
    passes = np.int64(int(state.passes) + counted.passes)
    return dataclasses.replace(led, state=dataclasses.replace(led.state, passes=passes))


def _step(model: Any, data: Any, state: State, variant: Variant, control: Control) -> Step:
    if hasattr(variant.visit, "sweep"):
        return _scan(model, data, state, variant, control)
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
    blend, stats = variant.blend.join(state.blend, seen.stats, model)
    if (order := leftover(model, data, variant, stats)) is not None:
        return Step(without(model, state, variant, value, order), Status.RUNNING)
    try:
        image = variant.update(model, data, stats, state.params)
        gone = find_dying(model, image, stats)
    except NO_POINT as error:
        image, gone = None, _gone(error)
    if gone is not None and redrawn(variant.assign, state.trace, value):
        return Step(_noted(state, state.params, value, leaped=False), Status.RUNNING)
    if gone is not None:
        return _refuse(state, variant) if state.tentative else _collapse(state, gone, value, seen)
    return _move(model, data, dataclasses.replace(state, blend=blend), seen, value, image, variant, control)


def _scan(model: Any, data: Any, state: State, variant: Variant, control: Control) -> Step:
    """A step of a visit that maximises between blocks: one scan, whose objective belongs to the parameters it ends at."""
    try:
        swept = variant.visit.sweep(model, data, state, variant, drawn(variant.assign, state))
        gone = find_dying(model, swept.params, swept.stats)
    except ImpossibleRow:
        raise
    except NO_POINT as error:
        return _collapse(state, _gone(error))
    if gone is not None:
        return _collapse(state, gone)
    value = swept.value + log_prior(model, swept.params)
    gain = value - float(state.value)
    if np.isnan(value) or (gain < -FALL * (1.0 + abs(value)) and variant.certificate != "heuristic"):
        return _fall(state, value)
    tol = max(control.tol, float(getattr(variant.stop, "least", 0.0)))
    stop, scans, cycle = state.stop, len(state.trace), int(getattr(variant.assign, "every", 1))
    if scans and scans % cycle == 0 and np.isfinite(state.value):
        stop = variant.stop.note(stop, value - float(state.trace[scans - cycle]), value, tol * swept.n)
    stop = unhurried(variant.assign, state, stop)
    here, ahead = swept.params, swept.params if swept.ahead is None else swept.ahead
    noted = dataclasses.replace(_noted(state, here, value, leaped=False), params=ahead, here=here)
    return Step(dataclasses.replace(noted, stop=stop, blend=swept.blend), variant.stop.verdict(stop))


def _gone(error: BaseException) -> Collapsed:
    return error if isinstance(error, Collapsed) else Collapsed(0, str(error))


def _move(
    model: Any, data: Any, state: State, seen: Expected, value: float, image: Any, variant: Variant, control: Control
) -> Step:
    """From an accepted point with objective ``value`` and EM image ``image`` to the next state."""
    leaped, gain = bool(state.tentative), value - float(state.value)
    flags = np.append(state.leaped, leaped)
    if not leaped and gain < -FALL * (1.0 + abs(value)) and variant.certificate != "heuristic":
        return _fall(state, value)
    stop, memory = state.stop, state.leap
    if leaped:
        stop = variant.stop.interrupted(stop)
    elif np.isfinite(state.value):
        stop = variant.stop.note(stop, gain, value, control.tol * float(seen.n))
    stop = unhurried(variant.assign, state, stop)
    status = variant.stop.verdict(stop)
    ahead, tentative = image, False
    if variant.leap is not None and status is Status.RUNNING:
        target = control.tol * float(seen.n)
        here = Here(model, data, state.params, image, seen, stop, leaped, target, bool(flags.any()))
        memory, candidate = variant.leap.onward(memory, here)
        ahead, tentative = (image, False) if candidate is None else (candidate, True)
    new = _noted(state, image, value, leaped)
    new = dataclasses.replace(new, params=ahead, tentative=np.bool_(tentative), leap=memory, stop=stop)
    if variant.answer is not None:
        seen_so_far = variant.answer.note(state.iterates, state.params, value, len(new.trace))
        new = dataclasses.replace(new, iterates=seen_so_far)
    return Step(new, status, seen=seen)


def _noted(state: State, image: Any, value: float, leaped: bool) -> State:
    """The state after a pass at ``state.params``, with objective ``value``, that goes on to ``image``."""
    return dataclasses.replace(
        state,
        params=image,
        here=state.params,
        fallback=image,
        value=np.float64(value),
        tentative=np.False_,
        trace=np.append(state.trace, value),
        leaped=np.append(state.leaped, leaped),
    )


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
    state, status, cap, said, first = last.state, last.status, control.max_iter, "", model
    model = present(model, state)
    onward = status in (Status.HIT_CAP, Status.INTERRUPTED, Status.STOPPED)
    params = state.fallback if onward and len(state.trace) else state.here
    if variant.answer is not None and np.isfinite(state.iterates.value):
        params, said = variant.answer.choose(model, data, state.iterates)
    seen = last.seen if params is state.here else None
    seen = seen if not hasattr(variant.visit, "evaluated") else variant.visit.evaluated(data, state, seen)
    exact = variant.visit.exact and getattr(variant.assign, "closes", variant.assign).name == SOFT.name
    try:
        if seen is None:
            seen = total(model, data, params, drawn(getattr(variant.assign, "closes", variant.assign), state))
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
    message = ending(message, said, first, model)
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
        removed=int(getattr(first, "k", 0)) - int(getattr(model, "k", 0)),
        account=account(variant, model),
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
