"""Whether a run ended at a maximum or at a saddle point, and the way on from a saddle.

EM is a map M with the fixed point theta, and near theta it multiplies a gap by

    J = I - I_complete^-1 I_observed                        eigenvalues >= 0; theta is a maximum where all are below one

so an eigenvalue above one is a direction in which the objective rises. The largest is found by Arnoldi's iteration on
differences of M, (M(theta + h w) - M(theta - h w)) / 2h, two passes a step, in coordinates scaled by the curvature of q.
What it proposes is believed only if the objective, evaluated along it, does rise.

Sources: Dempster, Laird & Rubin (1977), J. R. Statist. Soc. B 39:1, section 3 (the rate matrix); Murray (1977), same volume,
p. 27 (a saddle at which EM stays); Saad (2011), Numerical Methods for Large Eigenvalue Problems, chapter 6 (Arnoldi).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from estep.core.assign import SOFT
from estep.core.record import Array, leaves
from estep.core.result import Result, StartRow, StartTable, Status
from estep.engine.presets import Variant
from estep.engine.restart import SAME, Start, fit_starts
from estep.engine.run import NO_POINT, Control, log_prior
from estep.engine.stop import lost_in_rounding
from estep.engine.visit import total

STEPS = 24
NUDGE = 1e-2
"""Half the difference, in standard errors of complete data."""
REACH = (0.1, 0.3, 1.0, 3.0)
"""How far to look along a direction, in the same unit."""
MOST = 4


@dataclasses.dataclass(frozen=True)
class Rise:
    """A way up from a stationary point.

    The best points found one way and the other, the gain (nats) of the better, and the parameter entry that moves most.
    """

    points: tuple[Any, ...]
    gain: float
    mostly: str


def find_rise(model: Any, data: Any, result: Result, seed: int = 0) -> Rise | None:
    """A direction in which the objective rises from ``result.params``, or None where it is a maximum as far as can be told.

    Costs at most 2 passes for each of min(free parameters, 24) steps, and 9 more.
    """
    support = model.support(result.params)
    centre = support.pack(result.params)
    if not centre.size or not np.isfinite(centre).all():  # nothing to move, or at an edge of the space
        return None
    scale = _scale(model, data, result.params, centre, support)

    def image(w: Array) -> Array:
        params = support.unpack(centre + scale * w, result.params)
        stats = total(model, data, params, SOFT).stats
        return np.asarray(support.pack(model.mstep(stats, params), result.params) - centre) / scale

    try:
        direction = _steepest(lambda w: (image(NUDGE * w) - image(-NUDGE * w)) / (2 * NUDGE), support.count, seed)
    except NO_POINT:
        return None

    def point(w: Array) -> Any:
        return support.unpack(centre + scale * w, result.params)

    return _climbs(model, data, result, point, direction)


def leave_saddles(
    model: Any, data: Any, result: Result, variant: Variant, control: Control, width: float | None = None
) -> Result:
    """``result``, or where it ended at a saddle point, the higher end of runs on from there; the table of starts keeps both."""
    for seed in range(MOST):
        if not result.converged or (rise := find_rise(model, data, result, seed)) is None:
            return result
        names = ("off the saddle, one way", "off the saddle, the other way")
        starts = [Start(name, lambda p=p: p) for name, p in zip(names, rise.points, strict=False)]  # type: ignore[misc]
        onward = fit_starts(model, data, starts, variant, control)
        if not onward.objective > result.objective + (SAME * max(result.n, 1.0) if width is None else width):
            return result
        result = _joined(result, onward)
    return result


def name_saddle(model: Any, data: Any, result: Result) -> Result:
    """``result`` with the status SADDLE, and words that say which way is up, where it ended at a saddle point."""
    if not result.converged or (rise := find_rise(model, data, result)) is None:
        return result
    message = (
        f"{Status.SADDLE.value}: it rises by {rise.gain:.3g} nats or more along a direction that mostly moves {rise.mostly}; "
        "start elsewhere along it, or with init='auto', which leaves saddle points"
    )
    return dataclasses.replace(result, status=Status.SADDLE, message=message)


def _scale(model: Any, data: Any, params: Any, centre: Array, support: Any) -> Array:
    """Standard errors of complete data, coordinate by coordinate: 1 / sqrt(-d2 q / d coordinate^2)."""
    stats = total(model, data, params, SOFT).stats
    here, out = float(model.q(params, stats)), np.ones(centre.size)

    def drop(j: int, step: float) -> float:
        """How far q falls on average, one step to either side; NaN where it cannot be evaluated."""
        e = step * (np.arange(centre.size) == j)
        with np.errstate(all="ignore"):
            return here - 0.5 * sum(float(model.q(support.unpack(centre + s * e, params), stats)) for s in (1.0, -1.0))

    for j in range(centre.size):
        step = 1e-3 * max(1.0, abs(centre[j]))
        for _ in range(40):  # a step that q notices, and at which it is still a parabola
            lost = drop(j, step)
            factor = 0.1 if not lost <= 0.1 else 10.0 if lost < 1e-6 * (1.0 + abs(here)) else 1.0
            if factor == 1.0:
                out[j] = step / np.sqrt(2.0 * lost)
                break
            step *= factor
    return out


def _steepest(apply: Callable[[Array], Array], p: int, seed: int) -> Array:
    """The direction of the largest eigenvalue of ``apply``, (p,), unit length, by Arnoldi's iteration."""
    m = min(p, STEPS)
    basis, table = np.zeros((m + 1, p)), np.zeros((m + 1, m))
    basis[0] = np.random.default_rng(seed).standard_normal(p)
    basis[0] /= np.linalg.norm(basis[0])
    vector = basis[0]
    for j in range(m):
        ahead = apply(basis[j])
        for _ in range(2):
            share = basis[: j + 1] @ ahead
            table[: j + 1, j] += share
            ahead = ahead - share @ basis[: j + 1]
        table[j + 1, j] = np.linalg.norm(ahead)
        values, vectors = np.linalg.eig(table[: j + 1, : j + 1])
        best = int(np.argmax(values.real))
        vector = vectors[:, best].real @ basis[: j + 1]
        doubt = table[j + 1, j] * abs(vectors[-1, best])
        if doubt < 0.1 * abs(values[best].real - 1.0) or table[j + 1, j] < 1e-8:
            break
        basis[j + 1] = ahead / table[j + 1, j]
    return np.asarray(vector / max(float(np.linalg.norm(vector)), np.finfo(float).tiny))


def _climbs(model: Any, data: Any, result: Result, point: Callable[[Array], Any], direction: Array) -> Rise | None:
    """The best points along both halves of a line, if the better is above the end by more than the run had left to gain."""
    ends = []
    for way in (1.0, -1.0):
        found = [(_height(model, data, p), p) for p in (point(way * t * direction) for t in REACH)]
        ends.append(max(found, key=lambda pair: pair[0]))
    ends.sort(key=lambda pair: -pair[0])
    gain = ends[0][0] - result.objective
    left = result.left if np.isfinite(result.left) else 0.0
    if not gain > max(4.0 * left, 10.0 * lost_in_rounding(result.objective)):
        return None
    points = tuple(p for value, p in ends if np.isfinite(value))
    return Rise(points, gain, _most_moved(result.params, points[0], point, direction.size))


def _height(model: Any, data: Any, params: Any) -> float:
    try:
        value = float(total(model, data, params, SOFT).objective) + log_prior(model, params)
    except NO_POINT:
        return -np.inf
    return value if np.isfinite(value) else -np.inf


def _joined(saddle: Result, onward: Result) -> Result:
    """``onward`` with the starts that led to the saddle before its own, and a sentence on it."""
    before = saddle.starts.rows if saddle.starts else (_row(saddle),)
    assert onward.starts is not None
    table = StartTable(before + onward.starts.rows, len(before) + onward.starts.best, onward.starts.width)
    words = (
        f"{onward.message}; an earlier run had ended at a saddle point {onward.objective - saddle.objective:.3g} nats below, "
        "from which it was moved on in the direction of the rise"
    )
    return dataclasses.replace(onward, starts=table, message=words)


def _row(result: Result) -> StartRow:
    return StartRow("start", result.objective, result.passes, result.status, result.message, True)


def _most_moved(params: Any, other: Any, point: Callable[[Array], Any], p: int) -> str:
    """The parameter entry that differs most, in units of how far random directions of one standard error move it."""
    rng = np.random.default_rng(0)
    jolts = [dict(leaves(point(rng.choice([-1.0, 1.0], p) / np.sqrt(p)))) for _ in range(8)]
    best, words, there = -1.0, "", dict(leaves(other))
    for name, value in leaves(params):
        usual = np.sqrt(np.mean([(np.asarray(j[name]) - value) ** 2 for j in jolts], axis=0))
        gap = np.abs(np.asarray(there[name]) - value) / np.maximum(usual, np.finfo(float).tiny)
        if gap.size and float(gap.max()) > best:
            best = float(gap.max())
            at = ", ".join(str(int(i)) for i in np.unravel_index(int(np.argmax(gap)), gap.shape))
            words = f"{name.rsplit('.', 1)[-1]}[{at}]"
    return words
