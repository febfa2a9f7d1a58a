"""Tables of numbers as coloured cells with the numbers in them: loadings of factors, probabilities of a table's cells.

    loadings      orange below zero, white at zero, blue above; columns are factors
    table         white at zero, blue at the largest probability; the number is a percentage

Figures are returned, never shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.views.plot import INK, figure_of, new_axes
from estep.views.words import column_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BELOW, ABOVE = "#D55E00", "#0072B2"
DARK = 0.55


def plot_loadings(
    estimator: Any, component: int | None = None, names: Sequence[str] | None = None, ax: Axes | None = None
) -> Figure:
    """Loadings of a factor analysis as a table of colours, with the share of each column that the factors explain.

    Parameters
    ----------
    estimator : fitted FactorAnalysis
        Loadings are divided by the columns' standard deviations: correlations with the factors.
    component : int, optional
        Which component of a mixture; not needed where there is one.
    names : sequence of str, optional
        Names of the columns, where the fit did not see any.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        On an estimator without loadings, a mixture without ``component``, or names of another length.
    """
    loadings, uniquenesses = _loadings(estimator, component)
    labels = column_names(estimator) if names is None else [str(name) for name in names]
    if len(labels) != len(loadings):
        raise ValueError(f"names has {len(labels)} entries, but the fit has {len(loadings)} columns")
    variance = (loadings**2).sum(axis=1) + uniquenesses
    scaled = loadings / np.sqrt(variance)[:, None]
    explained = 1.0 - uniquenesses / variance
    ax = new_axes("plot_loadings", (2.2 + 0.95 * scaled.shape[1], 1.0 + 0.42 * len(labels))) if ax is None else ax
    heads = [f"factor {q}" for q in range(scaled.shape[1])]
    _draw(ax, scaled, labels, heads, largest=1.0, written="{:+.2f}")
    for j, share in enumerate(explained):
        ax.text(scaled.shape[1] - 0.4, j, f"{100 * share:.0f}%", va="center", ha="left", fontsize="small", color=INK)
    ax.text(scaled.shape[1] - 0.4, -0.62, "explained", va="bottom", ha="left", fontsize="small", color=INK)
    return figure_of(ax)


def plot_table(estimator: Any, columns: Sequence[Any] = (0, 1), ax: Axes | None = None) -> Figure:
    """Two columns' table of fitted probabilities, in percent.

    Parameters
    ----------
    estimator : fitted SaturatedMultinomial
        Other columns are summed over.
    columns : two names or positions
        Lines and columns of the picture.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        On an estimator without a table, or other than two columns.
    """
    if not hasattr(estimator, "marginal"):
        raise ValueError(f"estimator: {type(estimator).__name__} has no table; give a fitted SaturatedMultinomial")
    if isinstance(columns, str) or len(columns) != 2:
        raise ValueError(f"columns must be two names or positions, got {columns!r}")
    shares = np.asarray(estimator.marginal(list(columns)), dtype=float)
    names = column_names(estimator)
    lines, heads = (names.index(c) if isinstance(c, str) else int(c) for c in columns)
    labels, across = ([str(level) for level in estimator.levels_[j]] for j in (lines, heads))
    ax = new_axes("plot_table", (2.4 + 0.8 * len(across), 1.4 + 0.5 * len(labels))) if ax is None else ax
    _draw(ax, 100.0 * shares, labels, across, largest=100.0 * float(shares.max()), written="{:.1f}%")
    ax.set_ylabel(names[lines])
    ax.set_xlabel(names[heads])
    ax.xaxis.set_label_position("top")
    return figure_of(ax)


def _loadings(estimator: Any, component: int | None) -> tuple[Array, Array]:
    if not hasattr(estimator, "loadings_"):
        raise ValueError(f"estimator: {type(estimator).__name__} has no loadings; give a fitted FactorAnalysis")
    loadings, uniquenesses = np.asarray(estimator.loadings_), np.asarray(estimator.uniquenesses_)
    if loadings.ndim == 2:
        return loadings, uniquenesses
    if component is None or not 0 <= component < len(loadings):
        raise ValueError(f"component must be 0..{len(loadings) - 1} for a mixture, got {component!r}")
    return loadings[component], uniquenesses[component]


def _draw(ax: Axes, values: Array, labels: Sequence[str], heads: Sequence[str], largest: float, written: str) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("estep", [BELOW, "#ffffff", ABOVE])
    ax.imshow(values, cmap=shades, vmin=-largest, vmax=largest, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        tone = "white" if abs(value) > DARK * largest else INK
        ax.text(j, i, written.format(value), ha="center", va="center", color=tone, fontsize="small")
    ax.set_xticks(range(len(heads)), list(heads))
    ax.set_yticks(range(len(labels)), list(labels))
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
