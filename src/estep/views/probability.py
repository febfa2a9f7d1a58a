"""Rows against the distribution function of the fitted mixture: P-P and Q-Q plots, and pseudo-residuals.

    F(x) = sum_k w_k F_k(x)
    P-P     F(x_(i))  against  (i - 1/2) / n         band: F(x_(i)) ~ Beta(i, n + 1 - i) where the model holds
    Q-Q     x_(i)     against  F^-1((i - 1/2) / n)
    pseudo-residual   z_i = Phi^-1(F(x_i)),  for counts Phi^-1((F(x_i) + F(x_i - 1)) / 2); standard normal where it holds

The band is pointwise and takes the parameters as known; with estimated ones rows keep within it even more than they should.

Source: Zucchini, MacDonald & Langrock (2016), Hidden Markov Models for Time Series, section 6.2 (pseudo-residuals).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.inference.distribution import cdf, has_cdf, is_counted
from estep.views.palette import colours
from estep.views.plot import INK, SOFT, add_legend, figure_of, new_axes, tidy
from estep.views.residuals import draw_residuals
from estep.views.responsibilities import position_of
from estep.views.values import mixing, numeric_columns, values_of
from estep.views.words import column_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BISECTIONS = 80
WIDENINGS = 60
TINY = 1e-15
"""Shares are held this far from 0 and 1, so that residuals stay finite (beyond 7.9)."""


def plot_probability(estimator: Any, X: Any, column: Any = 0, kind: str = "pp", ax: Axes | None = None) -> Figure:
    """Rows against the fitted mixture: shares (P-P) or values (Q-Q), which lie on the diagonal where the model holds.

    Parameters
    ----------
    estimator : fitted mixture
        Whose family has a distribution function along the column.
    X : array or DataFrame (n, d)
        Rows; missing values are left out.
    column : name or position
    kind : "pp" or "qq"
        "pp" shows the middle, "qq" the tails.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Of an unknown kind, or a column of counts or categories.
    """
    if kind not in ("pp", "qq"):
        raise ValueError(f"kind must be 'pp' or 'qq', got {kind!r}")
    at, values = _values(estimator, X, column, "plot_probability")
    if is_counted(estimator.result_.model.family, at):
        raise ValueError(f"column: {column_names(estimator)[at]!r} counts; see plot_rootogram")
    values = np.sort(values)
    shares = (np.arange(len(values)) + 0.5) / len(values)
    low, high = band(len(values))
    ax = new_axes("plot_probability", (5.2, 5.0)) if ax is None else ax
    if kind == "pp":
        across, up, inside = shares, mixture_cdf(estimator, values, at), (low, high)
        ax.set_xlabel("share of rows below")
        ax.set_ylabel("share of the fitted mixture below")
    else:
        across, up = quantiles(estimator, shares, at, values), values
        inside = (quantiles(estimator, low, at, values), quantiles(estimator, high, at, values))
        name = column_names(estimator)[at]
        ax.set_xlabel(f"{name}, quantiles of the fitted mixture")
        ax.set_ylabel(f"{name}, rows in order")
    ax.fill_between(across, *inside, color=SOFT, alpha=0.25, linewidth=0, label="95 % of rows, each place")
    ends = [float(across[0]), float(across[-1])]
    ax.plot(ends, ends, color=INK, linewidth=1.0)
    ax.plot(across, up, ".", markersize=4, color=colours(1)[0], label="rows")
    add_legend(ax, loc="upper left")
    tidy(ax)
    return figure_of(ax)


def plot_residuals(estimator: Any, X: Any, column: Any = 0) -> Figure:
    """Pseudo-residuals in the order of the rows, and their normal Q-Q plot.

    Parameters
    ----------
    estimator : fitted mixture
        Whose family has a distribution function along the column.
    X : array or DataFrame (n, d)
        Rows; missing values are left out.
    column : name or position

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Where the family has no distribution function along the column.
    """
    at = position_of(column, column_names(estimator))
    return draw_residuals(pseudo_residuals(estimator, X, at), f"pseudo-residual of {column_names(estimator)[at]}")


def mixture_cdf(estimator: Any, values: Array, column: int) -> Array:
    """Share of the fitted mixture at or below each value of a column."""
    result = estimator.result_
    d = int(estimator.n_features_in_)
    return np.asarray(cdf(result.model.family, result.params.family, values, column, d) @ mixing(estimator))


def pseudo_residuals(estimator: Any, X: Any, column: int) -> Array:
    """Pseudo-residuals (n,); NaN where the value is missing."""
    from scipy.special import ndtri

    _values(estimator, X, column, "plot_residuals")
    values = values_of(estimator, X)[:, column]
    seen, out = ~np.isnan(values), np.full(len(values), np.nan)
    share = mixture_cdf(estimator, values[seen], column)
    if is_counted(estimator.result_.model.family, column):
        before = np.maximum(values[seen] - 1.0, 0.0)
        share = (share + np.where(values[seen] > 0, mixture_cdf(estimator, before, column), 0.0)) / 2.0
    out[seen] = ndtri(np.clip(share, TINY, 1.0 - TINY))
    return out


def quantiles(estimator: Any, shares: Array, column: int, values: Array) -> Array:
    """Values below which the shares of the fitted mixture lie, by bisection from the range of the rows."""
    width = max(float(values.max() - values.min()), 1e-9 * (1.0 + float(np.abs(values).max())))
    low, high = float(values.min()), float(values.max())
    for _ in range(WIDENINGS):
        if mixture_cdf(estimator, np.array([low]), column)[0] <= shares.min():
            break
        low, width = low - width, 2.0 * width
    for _ in range(WIDENINGS):
        if mixture_cdf(estimator, np.array([high]), column)[0] >= shares.max():
            break
        high, width = high + width, 2.0 * width
    under, over = np.full(len(shares), low), np.full(len(shares), high)
    for _ in range(BISECTIONS):
        middle = 0.5 * (under + over)
        above = mixture_cdf(estimator, middle, column) >= shares
        over, under = np.where(above, middle, over), np.where(above, under, middle)
    return np.asarray(0.5 * (under + over), dtype=float)


def band(n: int) -> tuple[Array, Array]:
    """Shares (n,) between which the i-th of n uniform values lies in 95 of 100 samples."""
    from scipy.special import betaincinv

    i = np.arange(1, n + 1)
    low, high = (np.asarray(betaincinv(i, n + 1 - i, level), dtype=float) for level in (0.025, 0.975))
    return low, high


def _values(estimator: Any, X: Any, column: Any, caller: str) -> tuple[int, Array]:
    """A column's position and its values that are there; raises ValueError where it has no distribution function."""
    names = column_names(estimator)
    at = position_of(column, names)
    family = getattr(estimator.result_.model, "family", None)
    if at not in numeric_columns(estimator) or not has_cdf(family, at, len(names)):
        raise ValueError(
            f"{caller}: {type(family).__name__} has no distribution function along {names[at]!r}; choose another column"
        )
    values = values_of(estimator, X)[:, at]
    values = values[~np.isnan(values)]
    if not values.size:
        raise ValueError("column: no row of X has a value there; choose another column")
    return at, values
