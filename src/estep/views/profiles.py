"""Profiles: what each component looks like, column by column, whatever its family.

    one number a column (means, rates, probabilities of a yes)     a line for each component across the columns
    a distribution a column (probabilities of categories)          a bar for each component and column, cut into categories

Means are drawn in units of the column's spread over all rows, (mu_kj - m_j) / s_j, so that columns can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.views.palette import colours
from estep.views.plot import SOFT, add_legend, figure_of, new_axes, new_figure, tidy
from estep.views.values import numeric_columns, some_rows, values_of
from estep.views.words import column_names, component_names, named_components

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 40


def plot_profiles(estimator: Any, X: Any = None, parameter: str | None = None, ax: Axes | None = None) -> Figure:
    """A parameter of every component across the columns.

    Parameters
    ----------
    estimator : fitted mixture
        With a parameter of shape (k, d), or (k, d, m) for categories.
    X : array or DataFrame (n, d), optional
        Rows: means are then drawn in standard deviations from the column's mean.
    parameter : str, optional
        Which one; by default the first that has a value for each column.
    ax : matplotlib Axes, optional
        Where to draw a parameter of shape (k, d); otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        An unknown parameter, or none with a value for each column.
    """
    if parameter is None and X is not None and not candidates(estimator):
        return _draw_means(estimator, X, ax)
    name, values = profile_of(estimator, parameter)
    if values.ndim == 3:
        return _draw_bars(estimator, name, values)
    scaled = X is not None and name in ("means", "locations")
    shown = _in_spreads(values, values_of(estimator, X)) if scaled else values
    return _draw_lines(estimator, f"{name} ({SPREAD_WORDS})" if scaled else name, column_names(estimator), shown, scaled, ax)


def _draw_means(estimator: Any, X: Any, ax: Axes | None) -> Figure:
    """Means of each component's rows in the columns of numbers, for families with a law of its own for each column."""
    values, resp = some_rows(estimator, X)
    numeric = numeric_columns(estimator)
    if not numeric:
        raise ValueError("parameter: no parameter has a value for each column, and no column holds numbers")
    x = values[:, numeric]
    seen = ~np.isnan(x)
    means = (resp.T @ np.where(seen, x, 0.0)) / np.maximum(resp.T @ seen.astype(float), 1e-300)
    names = [column_names(estimator)[j] for j in numeric]
    return _draw_lines(estimator, f"mean of the rows ({SPREAD_WORDS})", names, _in_spreads(means, x), True, ax)


def _draw_lines(estimator: Any, words: str, labels: list[str], values: Array, scaled: bool, ax: Axes | None) -> Figure:
    """A line for each component across the columns."""
    shown, labels = values[:, :MOST_COLUMNS], [shorten(label, 18, placeholder="...") for label in labels[:MOST_COLUMNS]]
    ax = new_axes("plot_profiles", (float(np.clip(2.4 + 0.7 * len(labels), 5.0, 14.0)), 3.8)) if ax is None else ax
    names = component_names(estimator)
    for k, colour in enumerate(colours(len(shown))):
        ax.plot(np.arange(len(labels)), shown[k], marker="o", color=colour, linewidth=1.5, label=names[k])
    if scaled:
        ax.axhline(0.0, color=SOFT, linewidth=0.8)
    crowded = len(labels) > 4 or max(len(label) for label in labels) > 12
    ax.set_xticks(np.arange(len(labels)), labels, rotation=40 if crowded else 0, ha="right" if crowded else "center")
    ax.set_ylabel(words)
    if values.shape[1] > MOST_COLUMNS:
        ax.set_title(f"the first {MOST_COLUMNS} of {values.shape[1]} columns", fontsize="small", color=SOFT, loc="right")
    ax.margins(x=0.04)
    add_legend(ax, title="component", loc="center left", bbox_to_anchor=(1.0, 0.5))
    tidy(ax)
    return figure_of(ax)


def profile_of(estimator: Any, parameter: str | None = None) -> tuple[str, Array]:
    """Name and values, (k, d) or (k, d, m), of the parameter that describes components column by column."""
    fit = candidates(estimator)
    if parameter is None and fit:
        return next(iter(fit.items()))
    if parameter in fit:
        return str(parameter), fit[str(parameter)]
    asked = "no parameter" if parameter is None else f"parameter {parameter!r}"
    raise ValueError(f"parameter: {asked} has a value for each column of this model; those that do: {sorted(fit)}")


def candidates(estimator: Any) -> dict[str, Array]:
    """Parameters with a value, or a distribution over categories, for each column."""
    d, k = int(estimator.n_features_in_), named_components(estimator.result_)
    found = {n: np.asarray(v) for n, v in estimator.params_.items() if n != "weights" and not isinstance(v, dict)}
    numeric = {n: v.astype(float) for n, v in found.items() if v.dtype.kind in "fiu"}
    return {
        n: v for n, v in numeric.items() if v.ndim in (2, 3) and v.shape[:2] == (k, d) and not (v.ndim == 3 and n in SPREADS)
    }


SPREAD_WORDS = "sd from overall"
SPREADS = ("covariances", "scales", "loadings")


def _in_spreads(values: Array, x: Array) -> Array:
    sd = np.nanstd(x, axis=0)
    return np.asarray((values - np.nanmean(x, axis=0)) / np.where(sd > 0, sd, 1.0))


def _levels(estimator: Any, j: int, m: int) -> Sequence[str]:
    known = getattr(estimator, "levels_", None)
    own = None if known is None else known[j]
    return [str(v) for v in own] if own is not None else [str(i) for i in range(m)]


def _draw_bars(estimator: Any, name: str, values: Array) -> Figure:
    """For each column a panel with a bar for each component, cut into its categories."""
    labels, names = column_names(estimator)[:MOST_COLUMNS], component_names(estimator)
    k, across = len(values), min(len(labels), 4)
    down = -(-len(labels) // across)
    figure = new_figure("plot_profiles", (2.7 * across, (0.9 + 0.32 * k) * down + 0.3))
    axes = figure.subplots(down, across, squeeze=False, sharex=True)
    places = np.arange(k)
    for j, ax in enumerate(axes.ravel()):
        if j >= len(labels):
            ax.set_axis_off()
            continue
        levels = _levels(estimator, j, values.shape[2])
        left = np.zeros(k)
        for c, shade in zip(range(len(levels)), _shades(len(levels)), strict=True):
            ax.barh(places, values[:, j, c], left=left, color=shade, edgecolor="white", linewidth=0.5, label=levels[c])
            left = left + values[:, j, c]
        ax.set_yticks(places, names)
        ax.invert_yaxis()
        ax.set_xlim(0.0, 1.0)
        ax.set_title(f"{labels[j]}: {', '.join(levels[:4])}{', ...' if len(levels) > 4 else ''}", fontsize="small", loc="left")
        tidy(ax)
    figure.supylabel("component")
    figure.supxlabel(f"{name}, from the first category (dark) to the last (light)", fontsize="small")
    return figure


def _shades(m: int) -> list[tuple[float, float, float]]:
    """From dark to light blue."""
    share = np.linspace(0.0, 1.0, max(m, 2))[:m, None]
    dark, light = np.array([0.03, 0.19, 0.42]), np.array([0.87, 0.92, 0.97])
    return [(float(r), float(g), float(b)) for r, g, b in dark + share * (light - dark)]
