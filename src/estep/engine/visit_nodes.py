"""kd-tree EM: passes over a few weighted points that stand for all rows, put right by a few passes over the rows.

    points      chosen at parameters ``at`` with a bound on what their log-likelihood misses there: tau nats a row, or with tau
                None as fine as pays for that many rows; chosen anew after 1, 2, 4, ... passes, until a pass gains little beside
                that bound
    rows        one pass over the rows at theta_0: L, its statistics S, and what an EM step gains in q. What is left is at most
                that gain / (1 - rate), with the rate of the passes before
    corrected   S - S~, what the points miss at theta_0 (S~ their statistics), is added as imagined data to every pass:

                    L~(theta) + q(theta, S - S~) + constant,   with the value and the gradient of L at theta_0 (Fisher)

                EM on that, a MAP step that never falls, goes on to theta_1: after SPAN, 2 SPAN, ... 8 SPAN passes, or where it
                has converged, the rows are read again, and points chosen there
    judged      L(theta_1) below L(theta_0): back to theta_0 with finer points. Less than POOR of the gain that was foreseen, or
                after convergence what is left did not shrink by SHRINKS: finer points. Converged with at most tol left: the
                end; passes that gained tol / TIGHTER in all count as converged, with a rate of at least 1 - 1 / SPAN. Where
                points are nearly as many as the rows, these alone are read to the end

Passes over points are no passes over the data, and not counted as such; the end was measured on all rows. On given points the
objective is smooth and cannot fall: leaps and Aitken's rule work as ever, and a fall beyond rounding ends the run as one of
plain EM does. Where a component collapses on points, finer ones, in the end the rows, decide.

The model makes the points: ``summaries(data)``, kept with the data, and ``nodes(params, summaries, tau, tau_class, most)``.
S - S~ is the one difference of statistics in the engine: two sums over the same rows, apart by little of either.
Memory: what the summaries take, and the points.

Sources: Moore (1999), Advances in Neural Information Processing Systems 11:543; Stetter (1978), Numerische Mathematik 29:425,
for correcting a cheap map by the defect of its solution.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np

from estep.core.assign import SOFT, ImpossibleRow
from estep.core.memo import remembered
from estep.core.protocols import Assign, Expected
from estep.core.record import leaves
from estep.core.result import Status
from estep.engine.blend import brought
from estep.engine.leap import forgotten
from estep.engine.points import (
    CORRECTED,
    ONLY_ROWS,
    POINTS,
    ROWS,
    SETTLED_ROWS,
    SPAN,
    NodesMemory,
    Points,
    in_chunks,
    memory_of,
)
from estep.engine.visit import total

FREE = 4096  # points that cost hardly more than fewer
MANY_COLUMNS = 6
PART = 128  # of the rows, at most, for the first points
FINER, CLOSER = 4, 4.0
TARGET, LEAST, MOST, RUNGS = 2.0**-6, 2.0**-23, 8.0, 4
SURE, WIDEST = 0.01, 8
POOR, GOOD, SHRINKS, FADES, TIGHTER = 0.25, 0.5, 4.0, 0.98, 8.0
KEPT = 2
FALL = 1e-9


@dataclasses.dataclass(frozen=True)
class KdTree:
    """Passes over points that stand for the nodes of a kd-tree.

    Parameters
    ----------
    tau : float or None
        Most that the log-likelihood may miss, nats per unit weight, where the points are chosen; 0 is exact EM. None chooses
        by the number of rows.
    tau_class : float
        Classes whose densities, summed, are below this share of the largest one's all over a node need no bound on how they
        bend there; they count in it in full.
    robust : str or None
        "student" or "huber": rows far from a component count less in its M-step (``model.downweighted(robust)``).

    Examples
    --------
    >>> KdTree().name, KdTree(tau=0.01, robust="huber").name
    ('kd-tree', 'kd-tree tau 0.01 huber')
    """

    tau: float | None = None
    tau_class: float = 1e-2
    robust: str | None = None
    exact: Final[bool] = True
    certificate: Final[str] = "heuristic"
    climbs: ClassVar[str] = "log-likelihood of weighted points that stand for the rows, put right by passes over the rows"
    words: ClassVar[str] = "points that stand for the nodes of a kd-tree, and every row in a few passes"
    needs: ClassVar[Mapping[str, tuple[str, str]]] = {
        "summaries": ("rows summed up in trees", "algorithm='em'"),
        "nodes": ("points that stand for rows", "algorithm='em'"),
        "q": ("the complete-data log-likelihood, by which points are put right", "algorithm='em'"),
    }

    def __post_init__(self) -> None:
        for name, value in (("tau", self.tau), ("tau_class", self.tau_class)):
            number = isinstance(value, int | float | np.number) and 0 <= value < np.inf
            if not number and (value is not None or name == "tau_class"):
                raise ValueError(f"{name}={value!r}: a tolerance is a number >= 0, in nats a row{' or None' * (name == 'tau')}")

    @property
    def name(self) -> str:
        """The axis value in words."""
        parts = [] if self.tau is None else [f"tau {self.tau:g}"]
        return " ".join(["kd-tree", *parts, *([self.robust] if self.robust else [])])

    def caution(self, n: int, d: int) -> tuple[str, bool]:
        """What to say where ``n`` rows of ``d`` columns gain nothing by a tree, and whether it may be slower for that."""
        if d > MANY_COLUMNS:
            words = f"a kd-tree is for at most {MANY_COLUMNS} columns, and X has {d}: its nodes hold few rows each"
            return f"{words}, so expect it to be slower than algorithm='em', to the same optimum", True
        if self._all(0, n):
            return f"{n} rows are no more than points that would stand for them, so all of them are read as 'em' does", False
        return "", False

    def begin(self, model: Any, params: Any, variant: Any) -> NodesMemory:
        """The memory before the first pass; raises TypeError or ValueError where model or variant do not admit points."""
        if variant.assign.name != SOFT.name:
            raise ValueError(
                f"assign={variant.assign.name!r}: points stand for rows where responsibilities are soft; "
                "use algorithm='em' or visit 'whole' with it"
            )
        if why := getattr(model, "no_summaries", ""):
            raise TypeError(f"algorithm={variant.name!r} {why}; use algorithm='em', or 'incremental' where there are many rows")
        self._weighted(model)
        return memory_of(params, 0, POINTS)

    def expected(self, model: Any, data: Any, state: Any, assign: Assign) -> Expected:
        """Expected statistics of the points, corrected or not, or of the rows, at ``state.params``."""
        model = self._weighted(model)
        if self.reads_rows(data, state):
            return total(model, data, state.params, assign)
        plane = getattr(data, "data", data)
        found = self._points(model, plane, state.nodes)
        try:
            seen = found.sum(model, plane, state.params, assign)
        except ImpossibleRow:
            return total(model, data, state.params, assign)
        if int(state.nodes.reads) == CORRECTED:
            missed = found.missed(model, plane, state.nodes.at, assign)
            stats = brought(model, missed.stats, seen.stats) + seen.stats
            objective = seen.objective + model.q(state.params, missed.stats) + missed.objective
            return Expected(stats, seen.loglik, objective, seen.n)
        return seen

    def reads_rows(self, data: Any, state: Any) -> bool:
        """Whether the pass from ``state`` reads the rows themselves."""
        return int(state.nodes.reads) >= ROWS or self._last(int(state.nodes.rung), data)

    def evaluated(self, data: Any, state: Any, seen: Any) -> Any:
        """``seen`` where it is an evaluation of the rows, else None."""
        return seen if self.robust is None and self.reads_rows(data, state) else None

    def onward(self, model: Any, data: Any, before: Any, led: Any, variant: Any, tol: float) -> Any:
        """The step ``led`` from ``before``, with what the next pass reads."""
        memory, reads = before.nodes, int(before.nodes.reads)
        if led.status not in (Status.RUNNING, Status.DEGENERATE) and not led.status.converged:
            return led
        if bool(memory.fresh) and led.status is not Status.DEGENERATE:
            aged = dataclasses.replace(led.state.nodes, fresh=np.False_)
            state = dataclasses.replace(led.state, stop=before.stop, nodes=aged)
            led = dataclasses.replace(led, status=Status.RUNNING, state=state)
        if reads in (ROWS, SETTLED_ROWS) and led.seen is not None and led.status is not Status.DEGENERATE:
            return self._judged(model, data, before, led, tol)
        if self.reads_rows(data, before):
            return led
        if led.status is Status.DEGENERATE:
            return self._switched(led, before.params, int(memory.rung) + 1, POINTS)
        if self._fell(before, led):
            state = dataclasses.replace(before, trace=led.state.trace, leaped=led.state.leaped)
            return dataclasses.replace(led, state=state, status=Status.FELL)
        steepest = float(led.state.stop.rates.max(initial=0.0))
        rate = max(steepest, FADES * float(memory.rate)) if steepest < 1.0 else float(memory.rate)
        memory = dataclasses.replace(led.state.nodes, rate=np.float64(rate), passes=np.int64(int(memory.passes) + 1))
        led = dataclasses.replace(led, state=dataclasses.replace(led.state, nodes=memory))
        if led.status.converged:
            return self._settled(led, tol)
        if bool(led.state.tentative) or led.seen is None:
            return led
        return (self._roaming if reads == POINTS else self._corrected)(model, data, before, led)

    def _settled(self, led: Any, tol: float) -> Any:
        """After convergence on points: a pass over the rows, or a little further where the projection could be closer."""
        state = led.state
        if led.status is Status.CONVERGED and led.seen is not None and state.stop.left > tol * float(led.seen.n) / TIGHTER:
            stop = dataclasses.replace(state.stop, calm=np.int64(0))
            return dataclasses.replace(led, status=Status.RUNNING, state=dataclasses.replace(state, stop=stop))
        return self._look(led, SETTLED_ROWS)

    def _look(self, led: Any, reads: int) -> Any:
        """On to a pass over the rows at the point last evaluated."""
        nodes, state = led.state.nodes, led.state
        if self.robust is not None:
            return self._switched(led, nodes.at, int(nodes.rung), ONLY_ROWS, ahead=state.params)
        return self._switched(led, nodes.at, int(nodes.rung), reads, ahead=state.here, foreseen=state.value)

    def _roaming(self, model: Any, data: Any, before: Any, led: Any) -> Any:
        """After a pass over points as they are: others on the way, and the rows where their error might tell."""
        memory, gain = led.state.nodes, float(led.state.value) - float(before.value)
        passes = int(memory.passes)
        error = self._points(model, getattr(data, "data", data), memory).error
        if self.robust is None and not bool(before.nodes.fresh) and gain <= SURE * error * float(led.seen.n):
            return self._look(led, ROWS)
        if passes & (passes - 1) == 0:
            return self._switched(led, led.state.params, int(memory.rung), POINTS, passes=memory.passes)
        return led

    def _corrected(self, model: Any, data: Any, before: Any, led: Any) -> Any:
        """After a pass over corrected points: the rows, in good time."""
        memory = led.state.nodes
        return self._look(led, ROWS) if int(memory.passes) >= int(memory.span) else led

    def _judged(self, model: Any, data: Any, before: Any, led: Any, tol: float) -> Any:
        """After a pass over the rows at ``before.params``: the end, or on with corrected points, finer where they misled."""
        memory, state, seen = before.nodes, led.state, led.seen
        here, image, height, rung = before.params, state.fallback, float(state.value), int(memory.rung)
        gain = model.q(image, seen.stats) - model.q(here, seen.stats) + prior_of(model, image) - prior_of(model, here)
        rounding, close = FALL * (1.0 + abs(height)), tol * float(seen.n)
        fell, idle = height < float(memory.height) - rounding, height - float(memory.height) <= close / TIGHTER
        settled = int(memory.reads) == SETTLED_ROWS or idle
        rate = max(float(memory.rate), 1.0 - 1.0 / float(memory.span)) if idle else float(memory.rate)
        left = max(gain, 0.0) / (1.0 - rate)
        if settled and not fell and left <= close:
            stop = dataclasses.replace(state.stop, left=np.float64(left))
            return dataclasses.replace(led, status=Status.CONVERGED, state=dataclasses.replace(state, stop=stop))
        kept = (height - float(memory.height) + rounding) / max(float(memory.foreseen) - float(memory.height), rounding)
        known = np.isfinite(memory.height)
        if fell or (known and kept < POOR) or (settled and left * SHRINKS > float(memory.left)):
            rung += 1
        span = SPAN if fell else min(int(memory.span) * (2 if known and kept >= GOOD else 1), WIDEST * SPAN)
        told = {"left": np.float64(left if settled else np.inf), "height": np.float64(memory.height if fell else height)}
        if self._last(rung, data):
            return self._switched(led, memory.at if fell else here, rung, ONLY_ROWS, ahead=None if fell else image)
        if fell:
            return self._switched(led, memory.at, rung, CORRECTED, span=np.int64(span), **told)
        led = self._switched(led, here, rung, CORRECTED, ahead=image, span=np.int64(span), **told)
        self._points(model, getattr(data, "data", data), led.state.nodes).rows = seen
        return led

    def _fell(self, before: Any, led: Any) -> bool:
        """Whether the objective of the same points fell by more than rounding."""
        fall = float(before.value) - float(led.state.value)
        plain = not bool(led.state.leaped[-1:].any())
        known = plain and not bool(before.nodes.fresh) and self.robust is None
        return known and fall > FALL * (1.0 + abs(float(led.state.value)))

    def _switched(self, led: Any, at: Any, rung: int, reads: int, ahead: Any = None, **told: Any) -> Any:
        """On with something else to read, from ``ahead`` (else ``at``): another objective, whose gains begin anew."""
        state, zero = led.state, np.int64(0)
        stop = dataclasses.replace(state.stop, gain=np.float64(np.nan), calm=zero, flat=zero, trembles=zero)
        kept = {name: getattr(state.nodes, name) for name in ("span", "rate", "left", "height")}
        state = dataclasses.replace(
            state,
            params=at if ahead is None else ahead,
            tentative=np.False_,
            stop=stop,
            leap=forgotten(state.leap),
            nodes=dataclasses.replace(memory_of(at, rung, reads), **(kept | told)),
        )
        return dataclasses.replace(led, state=state, status=Status.RUNNING, gone=None)

    def _last(self, rung: int, data: Any) -> bool:
        """Whether points as fine as ``rung`` asks would be no fewer than the rows, nearly."""
        return self._all(rung, int(data.n_rows))

    def _all(self, rung: int, n: int) -> bool:
        return rung >= RUNGS if self.tau is not None else 2 * most_points(rung, n) >= n

    def _points(self, model: Any, plane: Any, memory: NodesMemory) -> Points:
        """The points, kept with the data for the next pass."""
        kept: dict[Any, Points] = remembered(plane, "kd-tree points", dict)
        where = (np.asarray(leaf).tobytes() for _, leaf in leaves(memory.at))
        key = (self.tau, self.tau_class, self.robust, int(memory.rung), *where)
        if key not in kept:
            found = remembered(plane, "kd-tree", lambda: model.summaries(plane))
            while len(kept) >= KEPT:
                kept.pop(next(iter(kept)))
            points = self.choose(model, memory.at, found, int(memory.rung), plane.n_rows)
            kept[key] = Points(in_chunks(points), points.loglik_error)
        return kept[key]

    def choose(self, model: Any, params: Any, found: Any, rung: int, n: int) -> Any:
        """The points for ``params``: for tau / 4^rung; or the smallest tau, a power of 4, that takes few enough of them."""
        if self.tau is not None:
            return model.nodes(params, found, self.tau / CLOSER**rung, self.tau_class, None)
        tau, most = TARGET / CLOSER**rung, most_points(rung, n)
        got = model.nodes(params, found, tau, self.tau_class, most)
        if got is None:
            while got is None and tau < MOST:
                tau *= CLOSER
                got = model.nodes(params, found, tau, self.tau_class, most)
            return got or model.nodes(params, found, MOST, self.tau_class, None)
        while tau > LEAST:
            tau /= CLOSER
            more = model.nodes(params, found, tau, self.tau_class, FREE * FINER**rung)
            if more is None:
                break
            got = more
        return got

    def _weighted(self, model: Any) -> Any:
        """The model, or the one whose rows far out count less."""
        if self.robust is None:
            return model
        if not hasattr(model, "downweighted"):
            raise TypeError(f"robust={self.robust!r} needs a model with downweighted(kind); {type(model).__name__} has none")
        return model.downweighted(self.robust)


def prior_of(model: Any, params: Any) -> float:
    """What a prior adds to the objective."""
    prior = getattr(model, "prior", None)
    return 0.0 if prior is None else float(model.q(params, prior))


def most_points(rung: int, n: int) -> int:
    """The most points of a rung for ``n`` rows.

    >>> most_points(0, 1_000_000), most_points(1, 1_000_000)
    (7812, 31248)
    """
    return int(max(FREE, n // PART) * FINER**rung)
