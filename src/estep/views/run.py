"""Pictures of a run: the objective pass by pass with its projected limit, and where every start ended.

    L_t        objective (nats) after pass t
    L_inf      = L_end + what is left to gain (Aitken's projection, ``result_.left``); dashed where it is known
    gap        L_inf - L_t on a log scale: plain EM is a straight line there, with slope log(rate)

Source of the projection: Boehning et al. (1994), Annals of the Institute of Statistical Mathematics 46:373.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.core.result import Result, StartRow, StartTable, Status
from estep.views.palette import colours
from estep.views.plot import INK, SOFT, add_legend, figure_of, new_axes, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_STARTS = 60
BEST, OTHER, SHORT, GONE = "best optimum", "another optimum", "left after a short run", "collapsed"


def plot_trace(fitted: Any, ax: Axes | None = None) -> Figure:
    """The objective of the returned run pass by pass, with the limit it is heading for and the gap to it.

    Parameters
    ----------
    fitted : fitted estimator or Result
        Whose ``trace`` is drawn, in nats.
    ax : matplotlib Axes, optional
        Where to draw the objective alone; otherwise a new figure shows the gap to the limit beside it.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ImportError
        Where matplotlib is missing, naming what to install.

    Examples
    --------
    >>> import numpy as np, estep
    >>> fit = estep.GaussianMixture(2, random_state=0).fit(np.r_[0.0, 0.1, 0.3, 5.0, 5.2, 5.3][:, None])
    >>> plot_trace(fit).axes[0].get_xlabel()
    'pass over the data'
    """
    result = result_of(fitted)
    if ax is not None:
        _draw_objective(result, ax)
        return figure_of(ax)
    figure = new_figure("plot_trace", (9.0, 3.8))
    left, right = figure.subplots(1, 2)
    _draw_objective(result, left)
    _draw_gap(result, right)
    return figure


def plot_starts(fitted: Any, ax: Axes | None = None) -> Figure:
    """Where every start ended: its objective, whether it reached the best optimum, which were dropped.

    Parameters
    ----------
    fitted : fitted estimator or Result
        With a replication table (``starts_``).
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Where the fit has no table of starts.
    """
    table = result_of(fitted).starts
    if table is None:
        raise ValueError("fitted: this result has no table of starts; estep.fit runs from one point, estimators from several")
    if ax is None:
        ax = new_axes("plot_starts", (7.2, 1.6 + 0.24 * min(len(table), MOST_STARTS)))
    _draw_starts(table, ax)
    return figure_of(ax)


def result_of(fitted: Any) -> Result:
    """The result itself, or that of a fitted estimator; raises ValueError on anything else."""
    result = fitted if isinstance(fitted, Result) else getattr(fitted, "result_", None)
    if not isinstance(result, Result):
        raise ValueError(
            f"fitted: {type(fitted).__name__} holds no result; give a fitted estimator (call fit first) or a Result"
        )
    return result


def limit_of(result: Result) -> float:
    """Where the objective is heading (nats), NaN where that is not known."""
    known = len(result.trace) > 0 and np.isfinite(result.left)
    return float(result.trace.objective[-1]) + result.left if known else float("nan")


def _draw_objective(result: Result, ax: Axes) -> None:
    values, passes = result.trace.objective, np.arange(1, len(result.trace) + 1)
    ax.plot(passes, values, color=colours(1)[0], linewidth=1.6, marker=".", markersize=5, label="objective")
    leaps = np.flatnonzero(result.trace.leaped)
    if leaps.size:
        ring = {"marker": "o", "linestyle": "none", "markerfacecolor": "none"}
        ax.plot(passes[leaps], values[leaps], color=colours(2)[1], label="accelerated step", **ring)  # type: ignore[arg-type]
    limit = limit_of(result)
    if np.isfinite(limit):
        ax.axhline(limit, color=SOFT, linewidth=1.2, linestyle=(0, (5, 3)), label="projected limit")
    ax.set_ylim(*_view(values, limit))
    ax.set_xlabel("pass over the data")
    ax.set_ylabel("objective (nats)")
    ax.set_title(result.status.value.split(":")[0], fontsize="small", color=SOFT, loc="right")
    add_legend(ax, loc="lower right")
    tidy(ax)


def _view(values: Array, limit: float) -> tuple[float, float]:
    """Limits that show the run's way up, leaving out at most the first value where it lies far below all others."""
    top = np.nanmax([values.max(), limit])
    low = float(values[1:].min() if values.size > 2 else values.min())
    span = max(float(top) - low, 1e-9 * (1.0 + abs(float(top))))
    far = float(values.min()) < low - 2.0 * span
    return (low if far else float(values.min())) - 0.06 * span, float(top) + 0.1 * span


def _draw_gap(result: Result, ax: Axes) -> None:
    limit = limit_of(result)
    gaps = limit - result.trace.objective
    shown = np.isfinite(gaps) & (gaps > 0)
    ax.plot(np.flatnonzero(shown) + 1, gaps[shown], color=colours(1)[0], marker=".", markersize=5, linewidth=1.2, label="gap")
    if shown.any():
        ax.set_yscale("log")
    else:
        words = "the gap is below rounding" if np.isfinite(limit) else "the limit cannot be projected"
        ax.text(0.5, 0.5, words, ha="center", va="center", transform=ax.transAxes, color=SOFT)
    ax.set_xlabel("pass over the data")
    ax.set_ylabel("gap to the projected limit (nats)")
    tidy(ax)


# --- starts ---


def kinds_of(table: StartTable) -> list[str]:
    """What became of each start, in the table's order."""
    best = table.optima[0][0] if table.optima else float("nan")
    return [_kind(row, best, table.width) for row in table.rows]


def _kind(row: StartRow, best: float, width: float) -> str:
    if row.status in (Status.DEGENERATE, Status.FRAIL, Status.FELL):
        return GONE
    if not row.polished:
        return SHORT
    return BEST if best - row.objective <= width else OTHER


LOOKS = {
    BEST: {"marker": "o", "color": "#009E73"},
    OTHER: {"marker": "s", "color": "#D55E00"},
    SHORT: {"marker": "|", "color": SOFT},
    GONE: {"marker": "x", "color": "#CC79A7"},
}


def _draw_starts(table: StartTable, ax: Axes) -> None:
    kinds = kinds_of(table)[:MOST_STARTS]
    values = np.array([row.objective for row in table.rows[:MOST_STARTS]])
    places = np.arange(len(kinds))
    low = float(np.nanmin(values)) if np.isfinite(values).any() else 0.0
    drawn = np.where(np.isfinite(values), values, low)
    for kind, look in LOOKS.items():
        of_kind = np.array([k == kind for k in kinds])
        if of_kind.any():
            count = f"{kind} ({int(of_kind.sum())})"
            ax.plot(drawn[of_kind], places[of_kind], linestyle="none", markersize=7, label=count, **look)  # type: ignore[arg-type]
    if table.best < len(kinds):
        ring = {"marker": "o", "markersize": 13, "markerfacecolor": "none", "markeredgecolor": INK, "linestyle": "none"}
        ax.plot([drawn[table.best]], [table.best], label="returned", **ring)  # type: ignore[arg-type]
    ax.set_yticks(places, [row.start for row in table.rows[: len(kinds)]], fontsize="small")
    ax.invert_yaxis()
    ax.set_xlabel("objective at the end of each start (nats)")
    if len(table) > MOST_STARTS:
        ax.set_title(f"the first {MOST_STARTS} of {len(table)} starts", fontsize="small", color=SOFT, loc="right")
    ax.margins(x=0.08)
    add_legend(ax, loc="center left", bbox_to_anchor=(1.0, 0.5))
    tidy(ax)
