"""Accelerated steps: extrapolate from plain EM steps, in free coordinates, and keep the leap only if it is higher.

After ``plain`` plain steps in a row, each evaluated, a candidate is proposed. It replaces the last of them only if its
objective is at least as high; otherwise the run goes on from the image of that step, which is already known.

    squarem        along the parabola through three EM iterates, one length            leap_parabola.py
    parabolic      along the same parabola, by a search over lengths                   leap_parabola.py
    anderson       the combination of many iterates whose residual is least            leap_secants.py
    quasi_newton   secants of the EM map                                               leap_secants.py
    newton         anderson, then Newton's steps with the observed score               leap_newton.py
    auto           anderson, where plain EM is slow and its rate has settled           this file

With ``patience`` a run leaps only where plain EM is slow, and first when its rate has settled, so that it stays in the basin
of its start. Close to the end every accelerator waits: plain steps, by which a run is judged, then show that nothing is left
to gain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from estep.core.protocols import Expected
from estep.core.record import Array, has_nan
from estep.engine import leap_newton, leap_parabola, leap_secants
from estep.engine.state import LeapMemory, StopMemory

STEADY = 3
FAR = 100.0
DRIFT = 0.05
Propose = Callable[[LeapMemory], Array | None]
Finish = Callable[[LeapMemory, Any, Any], LeapMemory]


@dataclasses.dataclass(frozen=True)
class Here:
    """Where a run stands when it asks for a leap: an accepted point, its evaluation and its EM image.

    ``leaped``: the point was reached by a leap; ``target``: nats that the run may leave; ``begun``: leaps were tried before.
    """

    model: Any
    data: Any
    params: Any
    image: Any
    seen: Expected
    stop: StopMemory
    leaped: bool
    target: float
    begun: bool

    @property
    def left(self) -> float:
        """Nats still to gain: the last plain gain projected at the largest recent rate; infinite where none is known."""
        gain, rate = abs(float(self.stop.gain)), self.rate
        return gain * rate / (1.0 - rate) if np.isfinite(gain) and 0.0 < rate < 1.0 else np.inf

    @property
    def rate(self) -> float:
        """The largest rate that is known; 0 where none is."""
        return float(self.stop.rates.max(initial=0.0 if not self.stop.rates.size else float(self.stop.slowest)))

    @property
    def passes_left(self) -> float:
        """Passes that plain EM would still need at that rate."""
        if self.left <= self.target:
            return 0.0
        return (
            float(np.log(max(self.target, 1e-300) / self.left) / np.log(self.rate))
            if self.left < np.inf
            else np.inf
        )


@dataclasses.dataclass(frozen=True)
class Leap:
    """An accelerator.

    Parameters
    ----------
    propose : function of LeapMemory -> coordinates or None
        Where to leap; None for no leap.
    after : function of (LeapMemory, accepted) -> LeapMemory
        What is remembered once the leap was judged.
    window : int
        Points kept, with their EM images.
    plain : int
        Plain steps between leaps.
    first_trust : float
        The first value of ``memory.trust``, which steers the caution of ``propose``.
    patience : float
        Rate of plain gains (0 to 1) from which leaps are worth their pass; with any, the first leap waits until the last
        STEADY rates are within DRIFT of one another.
    finish : function or None
        Makes the memory hold what leaps near the end need, at passes of its own.
    """

    name: str
    propose: Propose
    after: Callable[[LeapMemory, bool], LeapMemory]
    window: int = 3
    plain: int = 2
    first_trust: float = 1.0
    patience: float = 0.0
    finish: Finish | None = None

    def onward(self, memory: LeapMemory, here: Here) -> tuple[LeapMemory, Any | None]:
        """The memory after the accepted point ``here``, and parameters to try next, or None for the EM step."""
        if here.leaped:
            memory = self.judged(memory, accepted=True)
        if here.left <= here.target or not self.patient(here.stop.rates, here.begun):
            return (forgotten(memory) if len(memory.points) else memory), None
        support = here.model.support(here.params)
        memory = self.note(memory, support, here.params, here.image, plain=0 if here.leaped else 1)
        if not here.stop.rates.size:  # nothing is known yet of how fast plain EM is, so its end could not be told
            return memory, None
        if self.finish is not None:
            memory = self.finish(memory, here, support)
        return memory, self.candidate(memory, support)

    def patient(self, rates: Array, begun: bool) -> bool:
        """Whether plain EM is slow enough (and, before the first leap, steady enough) to leap."""
        if self.patience <= 0:
            return True
        if not rates.size or rates.max() < self.patience:
            return False
        return begun or (rates.size >= STEADY and rates.max() < 1.0 and rates.max() - rates.min() <= DRIFT)

    def note(self, memory: LeapMemory, support: Any, params: Any, image: Any, plain: int) -> LeapMemory:
        """The memory after the evaluation of ``params``, reached by ``plain`` (0 or 1) EM steps, with EM image ``image``."""
        if int(memory.mode) > 0 and not plain:
            return memory
        base = memory.base if len(memory.points) else params
        point, ahead = support.pack(params, base), support.pack(image, base)
        if not (np.isfinite(point).all() and np.isfinite(ahead).all()):
            return forgotten(memory)
        points = np.vstack([memory.points, point])[-self.window :]
        images = np.vstack([memory.images, ahead])[-self.window :]
        steps = np.int64(int(memory.plain) + plain)
        return dataclasses.replace(memory, points=points, images=images, base=base, plain=steps)

    def candidate(self, memory: LeapMemory, support: Any) -> Any | None:
        """Parameters to try next, or None."""
        if not len(memory.points) or (memory.plain < self.plain and int(memory.mode) <= 0):
            return None
        with np.errstate(all="ignore"):
            vector = self.propose(memory)
            if vector is None or not np.isfinite(vector).all() or _wild(vector, memory.points[-1]):
                return None
            params = support.unpack(vector, memory.base)
        return None if has_nan(params) else params

    def judged(self, memory: LeapMemory, accepted: bool) -> LeapMemory:
        """The memory after a leap was accepted or refused."""
        return dataclasses.replace(self.after(memory, accepted), plain=np.int64(0))


def _wild(vector: Array, point: Array) -> bool:
    """Whether a leap moves a coordinate by more than FAR, and by more than FAR times its size: logarithms would overflow."""
    return bool((np.abs(vector - point) > FAR * np.maximum(1.0, np.abs(point))).any())


def forgotten(memory: LeapMemory) -> LeapMemory:
    """The memory without its points."""
    none = np.empty((0, memory.points.shape[1]))
    return dataclasses.replace(memory, points=none, images=none, plain=np.int64(0), mode=np.int64(min(int(memory.mode), 0)))


def _squarem(name: str, scheme: str) -> Leap:
    return Leap(name, leap_parabola.squarem(scheme), leap_parabola.lengthened(scheme), first_trust=1e3)


SQUAREM = _squarem("squarem", "S3")
ANDERSON = Leap("anderson", leap_secants.anderson, leap_secants.damped, window=10, plain=1, first_trust=1e-10)
AUTO = dataclasses.replace(ANDERSON, name="auto (anderson)", patience=0.6)
LEAPS: dict[str, Leap | None] = {
    "auto": AUTO,
    "none": None,
    "squarem": SQUAREM,
    "squarem1": _squarem("squarem1", "S1"),
    "squarem2": _squarem("squarem2", "S2"),
    "parabolic": Leap("parabolic", leap_parabola.along, leap_parabola.searched, first_trust=4.0),
    "anderson": ANDERSON,
    "quasi_newton": dataclasses.replace(ANDERSON, name="quasi_newton", propose=leap_secants.quasi_newton),
    "newton": dataclasses.replace(
        ANDERSON, name="newton", propose=leap_newton.newton, after=leap_newton.kept, finish=leap_newton.finish
    ),
}


def leap_named(accelerate: Any) -> Leap | None:
    """The accelerator of that name; raises ValueError listing the known ones."""
    if isinstance(accelerate, Leap):
        return accelerate
    if accelerate is None or (isinstance(accelerate, bool | np.bool_) and not accelerate):
        return None
    if not isinstance(accelerate, str) or accelerate not in LEAPS:
        known = ", ".join(repr(name) for name in LEAPS)
        hint = "; 'auto' leaps where EM is slow" if accelerate is True else ""
        raise ValueError(f"accelerate={accelerate!r} is unknown; choose one of {known} (None and False are 'none'){hint}")
    return LEAPS[accelerate]
