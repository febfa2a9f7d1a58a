"""Pictures of a run: the trace with its limit, the starts, the bound and the two halves of a step."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import estep
from estep.core.assign import SOFT
from estep.core.protocols import Expected
from estep.core.record import record
from estep.core.result import StartRow, StartTable, Status, Trace
from estep.core.support import Constraints, Positive, Support
from estep.data.memory import Memory
from estep.data.sets import load_faithful
from estep.views.bound import curves_along, entry_of, halves_of, plot_bound, plot_halves, with_entry
from estep.views.run import BEST, GONE, OTHER, SHORT, kinds_of, limit_of, plot_starts, plot_trace


@pytest.fixture(scope="module")
def fitted() -> Any:
    return estep.GaussianMixture(3, n_init=6, random_state=0).fit(load_faithful()[0])


def test_the_trace_is_drawn_with_the_limit_it_heads_for(fitted: Any) -> None:
    left, right = plot_trace(fitted).axes
    curve = left.get_lines()[0]
    assert curve.get_ydata().tolist() == fitted.trace_.tolist()
    (limit,) = [line for line in left.get_lines() if line.get_label() == "projected limit"]
    assert limit.get_ydata()[0] == fitted.trace_[-1] + fitted.result_.left == limit_of(fitted.result_)
    assert right.get_yscale() == "log"


def test_leaps_are_marked_where_they_were_tried(fitted: Any) -> None:
    leaped = np.zeros(len(fitted.trace_), dtype=bool)
    leaped[[4, 7]] = True
    result = dataclasses.replace(fitted.result_, trace=Trace(fitted.trace_, leaped))
    (marks,) = [line for line in plot_trace(result).axes[0].get_lines() if line.get_label() == "accelerated step"]
    assert marks.get_xdata().tolist() == [5, 8]


def test_an_unknown_limit_is_said_and_not_drawn(fitted: Any) -> None:
    left, right = plot_trace(dataclasses.replace(fitted.result_, left=float("nan"))).axes
    assert "projected limit" not in [line.get_label() for line in left.get_lines()]
    assert "cannot be projected" in right.texts[0].get_text()


def test_every_start_is_shown_by_what_became_of_it() -> None:
    rows = (
        StartRow("a", -10.0, 5, Status.CONVERGED, "", True),
        StartRow("b", -10.0 - 1e-9, 5, Status.CONVERGED, "", True),
        StartRow("c", -12.0, 5, Status.CONVERGED, "", True),
        StartRow("d", -15.0, 8, Status.HIT_CAP, "", False),
        StartRow("e", float("nan"), 2, Status.DEGENERATE, "collapsed", True),
    )
    table = StartTable(rows, 0, 1e-6)
    assert kinds_of(table) == [BEST, BEST, OTHER, SHORT, GONE]


def test_starts_are_named_along_the_axis(fitted: Any) -> None:
    ax = plot_starts(fitted).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == [row.start for row in fitted.starts_.rows]


def test_a_result_from_one_point_has_no_starts_to_show(fitted: Any) -> None:
    with pytest.raises(ValueError, match="no table of starts"):
        plot_starts(dataclasses.replace(fitted.result_, starts=None))
    with pytest.raises(ValueError, match="holds no result"):
        plot_trace(estep.GaussianMixture())


# --- the bound ---


@record
class Share:
    """The linkage parameter t."""

    t: Any


@record
class Split:
    """Expected counts of the five cells."""

    cells: Any


@dataclasses.dataclass(frozen=True)
class Linkage:
    """Rao's linkage data: cells with probabilities 1/2 + t/4, (1-t)/4, (1-t)/4, t/4; the first is the sum of two."""

    prior: Any = None

    def bind(self, data: Any) -> Any:
        return self

    def estep(self, params: Any, chunk: Any, assign: Any) -> Expected:
        y, t = chunk.x.sum(axis=0), float(params.t)
        second = y[0] * t / (2.0 + t)
        loglik = float(y @ np.log([0.5 + t / 4, (1 - t) / 4, (1 - t) / 4, t / 4]))
        return Expected(Split(np.array([y[0] - second, second, *y[1:]])), loglik, loglik, 1.0)

    def mstep(self, stats: Any, params: Any) -> Share:
        c = stats.cells
        return Share(np.array((c[1] + c[4]) / (c[1] + c[2] + c[3] + c[4])))

    def q(self, params: Any, stats: Any) -> float:
        t = float(params.t)
        return float(stats.cells @ np.log([0.5, t / 4, (1 - t) / 4, (1 - t) / 4, t / 4]))

    def support(self, params: Any) -> Support:
        return Support({"t": Positive(Constraints().pattern("t", ()))})


@pytest.fixture
def linkage() -> tuple[Linkage, Memory]:
    return Linkage(), Memory(np.array([[125.0, 18.0, 20.0, 34.0]]))


def test_the_bound_touches_the_likelihood_and_lies_below_it(linkage: Any) -> None:
    model, data = linkage
    found = curves_along(model, data, Share(np.array(0.3)), "t", (), 0.1, 0.9)
    gap = found.loglik - found.bound
    at = np.flatnonzero(found.grid == 0.3)[0]
    assert abs(gap[at]) < 1e-10 * abs(found.height)
    far = np.abs(found.grid - 0.3) > 1e-3  # the grid's own 0.3 may lie one rounding beside it
    assert gap[far].min() > 0
    step = float(model.mstep(model.estep(Share(np.array(0.3)), next(data.chunks()), SOFT).stats, None).t)
    assert abs(found.top - step) <= np.diff(found.grid).max()


def test_a_bound_that_does_not_touch_would_be_seen(linkage: Any) -> None:
    """The planted bug: responsibilities of another point make the curve cross or miss the likelihood."""
    model, data = linkage

    class Wrong(Linkage):
        def estep(self, params: Any, chunk: Any, assign: Any) -> Expected:
            good = Linkage.estep(self, params, chunk, assign)
            return dataclasses.replace(good, stats=Split(good.stats.cells + np.array([-30.0, 30.0, 0, 0, 0])))

    found = curves_along(Wrong(), data, Share(np.array(0.3)), "t", (), 0.1, 0.9)
    assert (found.loglik - found.bound).min() < -1e-3


def test_each_half_step_raises_the_elbo_and_only_the_e_step_closes_the_gap(linkage: Any) -> None:
    found = halves_of(*linkage, Share(np.array(0.1)), passes=3)
    assert (np.diff(found.elbo.ravel()) >= -1e-9).all()
    gap = found.loglik - found.elbo
    assert (gap[:, 1] == 0).all()
    assert (gap[:, [0, 2]] >= -1e-9).all()
    assert (gap[0, [0, 2]] > 1e-4).all()


def test_the_bound_of_a_mixture_is_drawn_along_a_mean(fitted: Any) -> None:
    X = load_faithful()[0]
    params = with_entry(fitted.result_.params, "means", (0, 0), 3.0)
    assert entry_of(params, "means")[0, 0] == 3.0
    assert fitted.means_[0, 0] != 3.0
    ax = plot_bound(fitted.result_.model, Memory(X), params, "means", (0, 0), span=(2.0, 5.0)).axes[0]
    likelihood, bound = ax.get_lines()[:2]
    assert (likelihood.get_ydata() - bound.get_ydata() >= -1e-8).all()
    assert len(plot_halves(fitted.result_.model, Memory(X), params, passes=2).axes[0].patches) == 12


def test_a_weight_cannot_move_alone(fitted: Any) -> None:
    with pytest.raises(ValueError, match="choose another entry or span"):
        plot_bound(fitted.result_.model, Memory(load_faithful()[0]), fitted.result_.params, "weights", 0)
    with pytest.raises(ValueError, match="no parameter 'rates'"):
        plot_bound(fitted.result_.model, Memory(load_faithful()[0]), fitted.result_.params, "rates", 0)
