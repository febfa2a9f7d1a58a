"""Accelerated steps: extrapolate from a few plain EM steps, in free coordinates, and keep the leap only if it is higher.

After PLAIN plain steps theta_0 -> theta_1 -> theta_2 (all evaluated) a candidate is proposed. It replaces theta_2 only if its
objective is at least that of theta_2; otherwise the run goes on from M(theta_2), which is already known.

squarem    r = theta_1 - theta_0, v = (theta_2 - theta_1) - r, s = |r|/|v|:  theta_0 + 2 s r + s^2 v        (scheme S3)
anderson   minimise |F_m - sum_j g_j (F_m - F_j)|, F = M(theta) - theta:  the same combination of the images M(theta)

Sources: Varadhan & Roland (2008), Scand. J. Statist. 35:335; Henderson & Varadhan (2019), J. Comput. Graph. Statist. 28:834.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from estep.core.record import Array, has_nan
from estep.engine.state import LeapMemory

PLAIN = 2
STEADY = 3
DRIFT = 0.02
Propose = Callable[[LeapMemory], Array | None]


@dataclasses.dataclass(frozen=True)
class Leap:
    """An accelerator.

    The last ``window`` points are kept, with ``keep`` their images too and through accepted leaps. ``propose`` gives
    coordinates, or None for no leap; ``first_trust``, ``accepted`` and ``refused`` steer its caution. ``patience`` is the
    rate of plain EM (0 to 1) from which leaps are worth their pass; with any patience the first leap waits until the rate
    has settled, so that it stays in the basin of the start.
    """

    name: str
    window: int
    keep: bool
    propose: Propose
    first_trust: float
    accepted: Callable[[float], float]
    refused: Callable[[float], float]
    patience: float = 0.0

    def ready(self, rates: Array, leaped: bool) -> bool:
        """Whether plain EM is slow enough (and, before the first leap, steady enough) to leap."""
        if self.patience <= 0:
            return True
        if not rates.size or rates.max() < self.patience:
            return False
        return leaped or (rates.size >= STEADY and rates.max() < 1.0 and rates.max() - rates.min() <= DRIFT)

    def note(self, memory: LeapMemory, support: Any, params: Any, image: Any, plain: int) -> LeapMemory:
        """The memory after the evaluation of ``params``, reached by ``plain`` (0 or 1) EM steps, with EM image ``image``."""
        base = memory.base if len(memory.points) else params
        point = support.pack(params, base)
        ahead = support.pack(image, base) if self.keep else point
        if not (np.isfinite(point).all() and np.isfinite(ahead).all()):
            return self.forget(memory)
        points = np.vstack([memory.points, point])[-self.window :]
        images = np.vstack([memory.images, ahead])[-self.window :] if self.keep else memory.images
        return LeapMemory(points, images, base, np.int64(int(memory.plain) + plain), memory.trust)

    def forget(self, memory: LeapMemory) -> LeapMemory:
        """The memory without its history."""
        none = np.empty((0, memory.points.shape[1]))
        return dataclasses.replace(memory, points=none, images=none, plain=np.int64(0))

    def candidate(self, memory: LeapMemory, support: Any) -> Any | None:
        """Parameters to try next, or None."""
        if memory.plain < PLAIN or len(memory.points) <= PLAIN:
            return None
        with np.errstate(all="ignore"):
            vector = self.propose(memory)
            if vector is None or not np.isfinite(vector).all():
                return None
            params = support.unpack(vector, memory.base)
        return None if has_nan(params) else params

    def judged(self, memory: LeapMemory, accepted: bool) -> LeapMemory:
        """The memory after a leap was accepted or refused."""
        trust = self.accepted(float(memory.trust)) if accepted else self.refused(float(memory.trust))
        memory = dataclasses.replace(memory, trust=np.float64(trust), plain=np.int64(0))
        return memory if self.keep and accepted else self.forget(memory)


def _squarem(memory: LeapMemory) -> Array | None:
    start, first, second = memory.points[-3:]
    r = first - start
    v = (second - first) - r
    norm = float(np.linalg.norm(v))
    length = min(float(np.linalg.norm(r)) / norm, float(memory.trust)) if norm > 0 else 1.0
    return start + 2.0 * length * r + length**2 * v if length > 1.0 else None


def _anderson(memory: LeapMemory) -> Array | None:
    residuals = memory.images - memory.points
    newest, change = residuals[-1], residuals[-1] - residuals[:-1]
    gram = change @ change.T
    ridge = float(memory.trust) * np.trace(gram) / len(gram)
    if not ridge > 0:
        return None
    mix = np.linalg.solve(gram + ridge * np.eye(len(gram)), change @ newest)
    return np.asarray(memory.images[-1] - mix @ (memory.images[-1] - memory.images[:-1]))


SQUAREM = Leap("squarem", 3, False, _squarem, 1e3, lambda t: min(4.0 * t, 1e6), lambda t: max(t / 8.0, 4.0))
ANDERSON = Leap("anderson", 10, True, _anderson, 1e-10, lambda t: max(t / 4.0, 1e-14), lambda t: min(100.0 * t, 1e-2))
AUTO = dataclasses.replace(SQUAREM, name="auto (squarem)", patience=0.8, first_trust=8.0)
LEAPS: dict[Any, Leap | None] = {
    "auto": AUTO,
    "squarem": SQUAREM,
    "anderson": ANDERSON,
    "none": None,
    None: None,
    False: None,
    True: SQUAREM,
}


def leap_named(accelerate: Any) -> Leap | None:
    """The accelerator of that name; raises ValueError listing the known ones."""
    if isinstance(accelerate, Leap):
        return accelerate
    try:
        return LEAPS[accelerate]
    except (KeyError, TypeError):
        raise ValueError(f"accelerate={accelerate!r} is unknown; choose 'auto', 'none', 'squarem' or 'anderson'") from None
