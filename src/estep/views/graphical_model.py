"""The chain of variables: states as open circles, observations as shaded ones, an arrow where one depends on another.

    Markov chain          s_0 -> s_1 -> s_2 -> ...                       the states are seen, so they are shaded
    hidden Markov model   the same, and s_t -> x_t below each state
    covariates            u_t -> the move into s_t;   lags: x_{t-1} -> x_t

Source: Ghahramani (2001), Int. J. Pattern Recognition and Artificial Intelligence 15:9 (graphical models of sequences).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RADIUS, STEP, DROP = 0.3, 1.2, 1.1
SEEN, HIDDEN = "0.82", "white"


def plot_graph(steps: int = 4, *, hidden: bool = True, covariates: bool = False, lags: int = 0) -> Figure:
    """The dependence of states and observations over some steps of time.

    Parameters
    ----------
    steps : int
        Steps that are drawn; dots stand for those that follow.
    hidden : bool
        Whether states are hidden, and observations stand below them.
    covariates : bool
        Whether the moves depend on covariates, which stand above.
    lags : int
        How many earlier observations an observation depends on.

    Raises
    ------
    ValueError
        For less than two steps, or lags without observations.
    """
    if steps < 2:
        raise ValueError(f"steps={steps}: a chain has at least 2 steps")
    if lags and not hidden:
        raise ValueError("lags: only observations of hidden states depend on earlier ones")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.1 * (steps + 1), 1.0 + 1.1 * (hidden + covariates)), layout="constrained")
    ax = figure.add_subplot()
    for t in range(steps):
        _node(ax, t * STEP, 0.0, f"$s_{t}$", HIDDEN if hidden else SEEN)
        _arrow(ax, (t * STEP, 0.0), ((t + 1) * STEP, 0.0))
        if hidden:
            _node(ax, t * STEP, -DROP, f"$x_{t}$", SEEN)
            _arrow(ax, (t * STEP, 0.0), (t * STEP, -DROP))
        if covariates and t:
            _node(ax, t * STEP, DROP, f"$u_{t}$", SEEN)
            _arrow(ax, (t * STEP, DROP), (t * STEP, 0.0))
        for lag in range(1, min(lags, t) + 1):
            _arrow(ax, ((t - lag) * STEP, -DROP), (t * STEP, -DROP), bend=0.35 * (lag > 1))
    ax.text(steps * STEP, 0.0, "...", ha="center", va="center", fontsize=14)
    ax.set(xlim=(-0.6, steps * STEP + 0.4), ylim=(-0.5 - DROP * hidden - 0.25 * (lags > 1), 0.5 + DROP * covariates))
    ax.set_aspect("equal")
    ax.axis("off")
    return figure


def _node(ax: Axes, x: float, y: float, name: str, colour: str) -> None:
    from matplotlib.patches import Circle

    ax.add_patch(Circle((x, y), RADIUS, facecolor=colour, edgecolor="0.25", zorder=3))
    ax.text(x, y, name, ha="center", va="center", zorder=4)


def _arrow(ax: Axes, tail: tuple[float, float], head: tuple[float, float], bend: float = 0.0) -> None:
    from matplotlib.patches import FancyArrowPatch

    gap = 72.0 * RADIUS * 0.86
    how: Any = {"connectionstyle": f"arc3,rad={bend}", "arrowstyle": "-|>", "mutation_scale": 11, "color": "0.25"}
    ax.add_patch(FancyArrowPatch(tail, head, shrinkA=gap, shrinkB=gap, **how))
