"""A normal probability plot of censored values: where the fit is right, the marks lie on the line.

    residual of a row    e_i = (y_i - mean_i) / scale
    Kaplan-Meier         S(e) = prod over residuals e_j <= e of (1 - d_j / n_j),   d_j known values of n_j that are still there
    mark of a value      (Phi^-1(1 - S), e) with S half way down its step;  the line is the fitted normal, e = Phi^-1(p)

Values known to lie below (left censored) are the mirror image. Censored rows are arrows at the place where they were cut.

Sources: Kaplan & Meier (1958), JASA 53:457; Meeker & Escobar (1998), Statistical Methods for Reliability Data, section 6.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.views.palette import colours
from estep.views.plot import INK, add_legend, figure_of, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


def plot_censored(estimator: Any, bounds: Any, covariates: Any = None, ax: Axes | None = None, name: str = "value") -> Figure:
    """Values against the quantiles of the fitted normal, censored ones taken into account by Kaplan and Meier's estimate.

    Parameters
    ----------
    estimator : fitted CensoredNormal
        With covariates the picture shows residuals in units of the scale.
    bounds : array (n, 2)
        Lower and upper bounds, equal where the value is known, infinite where a side is open; NaN where nothing is known.
    covariates : array or DataFrame (n, p), optional
        As in ``fit``.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.
    name : str
        What the values are, for the axis.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        On an estimator without censored values; where rows are censored on both sides or in intervals, which have no places of
        this kind; where no value is known.
    """
    if not (hasattr(estimator, "std_") or hasattr(estimator, "scale_")):
        raise ValueError(f"estimator: {type(estimator).__name__} is no fitted CensoredNormal; give one")
    low, high = np.asarray(bounds, dtype=float).T
    mean, scale = _centre(estimator, covariates, len(low))
    told = ~np.isnan(low)
    low, high, mean = low[told], high[told], mean[told]
    below = _side(low, high)
    first, last = (-high, -low) if below else (low, high)
    start = (first - (-mean if below else mean)) / scale
    known = first == last
    values, shares = kaplan_meier(start, known)
    sign = -1.0 if below else 1.0
    plain = hasattr(estimator, "std_")
    centre, unit = (float(estimator.mean_), float(estimator.std_)) if plain else (0.0, 1.0)
    ax = new_axes("plot_censored", (6.0, 4.6)) if ax is None else ax
    _draw(ax, centre + unit * sign * values, sign * _normal_quantile(shares), centre, unit)
    cut = centre + unit * sign * start[~known]
    marker = "<" if below else ">"
    if cut.size:
        ax.plot(
            cut, np.full(cut.size, 0.03), marker, color=colours(2)[1], markersize=6, alpha=0.7, linestyle="none",
            transform=ax.get_xaxis_transform(), label=f"{'below' if below else 'above'} this: {cut.size}",
        )  # fmt: skip
    ax.set_xlabel(name if plain else f"({name} - its mean) / scale")
    add_legend(ax, loc="upper left")
    tidy(ax)
    return figure_of(ax)


def kaplan_meier(values: Array, known: Any) -> tuple[Array, Array]:
    """Distinct known values and the share of the law below each, half way up its step; the others are known to lie above.

    >>> kaplan_meier(np.array([1.0, 2.0, 2.0, 3.0]), np.array([True, True, False, False]))
    (array([1., 2.]), array([0.125, 0.375]))
    """
    places = np.unique(values[known])
    at_risk = (values[None, :] >= places[:, None]).sum(axis=1)
    died = ((values[None, :] == places[:, None]) & known[None, :]).sum(axis=1)
    after = np.cumprod(1.0 - died / at_risk)
    before = np.concatenate([[1.0], after[:-1]])
    return places, 1.0 - (before + after) / 2.0


def _draw(ax: Axes, values: Array, quantiles: Array, centre: float, unit: float) -> None:
    reached = np.concatenate([quantiles, (values - centre) / unit, [-2.0, 2.0]])
    ends = np.array([reached.min(), reached.max()])
    ax.plot(centre + unit * ends, ends, color=INK, linewidth=1.4, label="fitted normal", zorder=2)
    ax.plot(values, quantiles, "o", color=colours(1)[0], markersize=5.5, label="known values", zorder=3)
    ticks = [(float(q), share) for q, share in zip(_normal_quantile(np.array(SHARES)), SHARES, strict=True)]
    inside = [(q, share) for q, share in ticks if ends[0] - 0.4 <= q <= ends[1] + 0.4]
    ax.set_yticks([q for q, _ in inside], [f"{100 * share:g}%" for _, share in inside])
    ax.set_ylim(ends[0] - 0.45, ends[1] + 0.25)
    ax.set_ylabel("share below (normal scale)")


def _side(low: Array, high: Array) -> bool:
    """Whether rows are censored on the left; raises ValueError where that has no answer."""
    cut = low != high
    left, right = np.isneginf(low) & cut, np.isposinf(high) & cut
    if not (~cut).any():
        raise ValueError("bounds: no value is known exactly, so there is no place to mark")
    if (cut & ~left & ~right).any() or (left.any() and right.any()):
        raise ValueError(
            "bounds: rows censored in intervals or on both sides have no places on a probability plot; draw impute(...), or "
            "give the rows censored on one side alone"
        )
    return bool(left.any())


def _centre(estimator: Any, covariates: Any, n: int) -> tuple[Array, float]:
    if hasattr(estimator, "std_"):
        return np.full(n, float(estimator.mean_)), float(estimator.std_)
    return np.asarray(estimator.predict(covariates), dtype=float), float(estimator.scale_)


def _normal_quantile(shares: Array) -> Array:
    from scipy.special import ndtri

    return np.asarray(ndtri(shares))
