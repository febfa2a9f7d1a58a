"""What E and M do, for one parameter: the log-likelihood, the lower bound that touches it, and the step between them.

    L(t)      log-likelihood along one entry t of the parameters, all others held
    B(t; t')  = Q(t | t') + H(t')     with  H(t') = L(t') - Q(t' | t')     touches L at t' and lies below it elsewhere
    E-step    raises the bound to L(t') (the Kullback-Leibler gap goes to 0);  M-step moves t' to the top of B(.; t')

    L(t) = ELBO + KL       before the E-step ELBO = B(t; t_old), after it KL = 0, after the M-step both grow

Both hold for any model with ``estep`` and ``q``: Q(t | t') is ``q`` at t of the statistics made at t'.
Sources: Dempster, Laird & Rubin (1977), JRSS B 39:1; Neal & Hinton (1998), Learning in Graphical Models, 355.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core import assign
from estep.core.record import Array, transform
from estep.engine.run import log_prior
from estep.engine.visit import total
from estep.views.palette import colours
from estep.views.plot import INK, SOFT, add_legend, figure_of, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRID = 121
ELBO, KL = "ELBO", "KL to the posterior"


@dataclasses.dataclass(frozen=True)
class Touching:
    """Curves along one entry: ``grid`` (m,), ``loglik`` (m,), ``bound`` (m,) in nats, where they touch and the bound's top."""

    grid: Array
    loglik: Array
    bound: Array
    at: float
    top: float
    height: float


def curves_along(model: Any, data: Any, params: Any, name: str, entry: tuple[int, ...], low: float, high: float) -> Touching:
    """Log-likelihood and lower bound of ``model`` along one entry of parameter ``name`` between ``low`` and ``high``.

    Raises
    ------
    ValueError
        An unknown name or entry; values outside the parameter's support (a weight cannot move alone: its sum is one).
    """
    at = float(entry_of(params, name)[entry])
    grid = np.unique(np.r_[np.linspace(low, high, GRID), at])
    seen = total(model, data, params, assign.SOFT)
    entropy = float(seen.loglik) - float(model.q(params, seen.stats))
    loglik, bound = np.empty(grid.size), np.empty(grid.size)
    for i, value in enumerate(grid):
        there = with_entry(params, name, entry, float(value))
        try:
            model.support(there).check(there)
        except ValueError as error:
            words = f"{name}{list(entry)} cannot be {value:g} with the others held: {error}; choose another entry or span"
            raise ValueError(words) from None
        penalty = log_prior(model, there)
        loglik[i] = float(total(model, data, there, assign.SOFT).loglik) + penalty
        bound[i] = float(model.q(there, seen.stats)) + entropy + penalty
    best = int(np.argmax(bound))
    return Touching(grid, loglik, bound, at, float(grid[best]), float(loglik[np.flatnonzero(grid == at)[0]]))


def plot_bound(
    model: Any,
    data: Any,
    params: Any,
    name: str,
    entry: tuple[int, ...] | int = (),
    *,
    span: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """The log-likelihood along one parameter, the bound that the E-step makes at ``params``, and the M-step on it.

    Parameters
    ----------
    model, data, params
        As for ``estep.fit``; of a fitted estimator ``result_.model`` and ``result_.params`` (or an earlier point).
    name : str
        The parameter, such as "means" or "rates".
    entry : int or tuple of int
        Which entry of it; nothing for a number.
    span : (low, high), optional
        The stretch to draw; by default a stretch around the parameter.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        An unknown parameter or entry, or a stretch outside its support.
    """
    place = (entry,) if isinstance(entry, int | np.integer) else tuple(entry)
    at = float(entry_of(params, name)[place])
    low, high = span or (at - 0.5 * abs(at) - 0.5, at + 0.5 * abs(at) + 0.5)
    found = curves_along(model, data, params, name, place, low, high)
    ax = new_axes("plot_bound", (6.4, 4.2)) if ax is None else ax
    blue, red, *_ = colours(2)
    ax.plot(found.grid, found.loglik, color=blue, linewidth=2.0, label="log-likelihood")
    ax.plot(found.grid, found.bound, color=red, linewidth=1.6, linestyle="--", label="lower bound after the E-step")
    ax.plot([found.at], [found.height], marker="o", color=INK, linestyle="none", label="they touch here")
    peak = float(found.bound.max())
    ax.plot([found.top], [peak], marker="^", color=red, linestyle="none", label="M-step: top of the bound")
    ax.annotate("", (found.top, found.height), (found.at, found.height), arrowprops={"arrowstyle": "->", "color": SOFT})
    ax.set_ylim(*_window(found))
    ax.set_xlabel(f"{name}{list(place)}" if place else name)
    ax.set_ylabel("nats")
    add_legend(ax, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    tidy(ax)
    return figure_of(ax)


@dataclasses.dataclass(frozen=True)
class Halves:
    """ELBO and log-likelihood (nats) before the E-step, after it and after the M-step, for each of the passes (m, 3)."""

    elbo: Array
    loglik: Array


def halves_of(model: Any, data: Any, params: Any, passes: int = 3) -> Halves:
    """The two halves of ``passes`` EM steps from ``params`` as values of ELBO and log-likelihood.

    The first pass begins with the posterior of ``params`` one M-step earlier, so that its first bar already has a gap.
    """
    seen = total(model, data, params, assign.SOFT)
    held, entropy = seen.stats, float(seen.loglik) - float(model.q(params, seen.stats))
    now = model.mstep(seen.stats, params)
    elbo, loglik = np.empty((passes, 3)), np.empty((passes, 3))
    for i in range(passes):
        seen, penalty = total(model, data, now, assign.SOFT), log_prior(model, now)
        elbo[i, 0] = float(model.q(now, held)) + entropy + penalty
        loglik[i, :2] = elbo[i, 1] = float(seen.loglik) + penalty
        held, entropy = seen.stats, float(seen.loglik) - float(model.q(now, seen.stats))
        now = model.mstep(seen.stats, now)
        penalty = log_prior(model, now)
        elbo[i, 2] = float(model.q(now, held)) + entropy + penalty
        loglik[i, 2] = float(total(model, data, now, assign.SOFT).loglik) + penalty
    return Halves(elbo, loglik)


def plot_halves(model: Any, data: Any, params: Any, passes: int = 3, ax: Axes | None = None) -> Figure:
    """Bars of the log-likelihood as ELBO plus KL: before the E-step, after it, after the M-step, for a few passes.

    Parameters
    ----------
    model, data, params
        As for ``estep.fit``; ``params`` is where the first pass begins.
    passes : int
        How many passes are drawn, at least 1.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure
    """
    if passes < 1:
        raise ValueError(f"passes must be at least 1, got {passes}")
    found = halves_of(model, data, params, passes)
    ax = new_axes("plot_halves", (1.6 + 2.0 * passes, 4.0)) if ax is None else ax
    places = (np.arange(passes)[:, None] * 3.6 + np.arange(3)).ravel()
    elbo, loglik = found.elbo.ravel(), found.loglik.ravel()
    low = float(elbo.min()) - 0.15 * max(float(np.ptp(np.r_[elbo, loglik])), 1e-9)
    blue, red, *_ = colours(2)
    ax.bar(places, elbo - low, bottom=low, color=blue, width=0.9, label=ELBO)
    ax.bar(places, loglik - elbo, bottom=elbo, color=red, width=0.9, label=KL)
    ax.set_xticks(places, ["before E", "after E", "after M"] * passes, rotation=60, fontsize="small")
    ax.set_ylim(low, float(loglik.max()) + 0.05 * (float(loglik.max()) - low))
    ax.set_ylabel("log-likelihood (nats)")
    add_legend(ax, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    tidy(ax)
    return figure_of(ax)


def entry_of(params: Any, name: str) -> Array:
    """The parameter ``name`` within a record of parameters, nested ones included; raises ValueError naming those there are."""
    found: dict[str, Array] = {}

    def keep(path: Any, leaf: Any) -> Any:
        found[_last(path)] = np.asarray(leaf, dtype=float)
        return leaf

    transform(params, keep)
    if name not in found:
        raise ValueError(f"name: no parameter {name!r}; this model has {sorted(found)}")
    return found[name]


def with_entry(params: Any, name: str, entry: tuple[int, ...], value: float) -> Any:
    """``params`` with one entry of parameter ``name`` replaced."""

    def put(path: Any, leaf: Any) -> Any:
        if _last(path) != name:
            return leaf
        changed = np.array(leaf, dtype=float)
        changed[entry] = value
        return changed

    return transform(params, put)


def _last(path: Any) -> str:
    return str(path).split(".")[-1]


def _window(found: Touching) -> tuple[float, float]:
    """A view that shows both tops; the bound may fall far below."""
    top = float(max(found.loglik.max(), found.bound.max()))
    low = min(float(np.quantile(found.loglik, 0.05)), found.height)
    span = max(top - low, 1e-9)
    return low - 0.35 * span, top + 0.12 * span
