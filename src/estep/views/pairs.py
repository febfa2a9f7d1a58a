"""More than two columns at once: a matrix of pairs, and the plane in which the components lie farthest apart.

    B = sum_k n_k (m_k - m)(m_k - m)' / n      between components        n_k = sum_i r_ik,  m_k = sum_i r_ik x_i / n_k
    W = sum_ik r_ik (x_i - m_k)(x_i - m_k)' / n   within
    directions a maximise a'B a / a'W a:  B a = lambda W a;  at most k - 1 of them separate anything

Source: Fisher (1936), Annals of Eugenics 7:179, with responsibilities for class labels.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.families.normal import Normal
from estep.views.palette import colours, mixed
from estep.views.plot import (
    add_legend,
    ellipse,
    figure_of,
    new_axes,
    new_figure,
    plot_clusters,
    say_if_sampled,
    tidy,
)
from estep.views.responsibilities import component_colours, position_of
from estep.views.table import moments
from estep.views.values import numeric_columns, some_rows
from estep.views.words import column_names, component_names, inner_family, is_noisy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 6


def plot_pairs(estimator: Any, X: Any, columns: Sequence[Any] | None = None) -> Figure:
    """Every pair of columns below the diagonal, each column's histogram on it.

    Parameters
    ----------
    estimator : fitted mixture
        Ellipses and curves need normal components; other families get coloured rows.
    X : array or DataFrame (n, d)
        Rows.
    columns : names or positions, optional
        At most six; by default the first six.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        On unknown columns, fewer than two or more than six.
    """
    names = column_names(estimator)
    chosen = numeric_columns(estimator)[:MOST] if columns is None else [position_of(c, names, "columns") for c in columns]
    if not 2 <= len(chosen) <= MOST:
        raise ValueError(f"columns: a matrix of pairs takes 2 to {MOST} columns, got {len(chosen)}")
    d = len(chosen)
    figure = new_figure("plot_pairs", (2.1 * d + 0.6, 2.0 * d + 0.4))
    axes = figure.subplots(d, d, squeeze=False)
    for i, row in enumerate(chosen):
        for j, column in enumerate(chosen):
            _panel(estimator, X, axes[i, j], row, column, i == d - 1, j == 0)
    figure.legend(handles=_handles(estimator), title="component", loc="upper right", fontsize="small", frameon=False)
    return figure


def plot_projection(estimator: Any, X: Any, ax: Axes | None = None) -> Figure:
    """Rows in the plane (or on the line) where the components lie farthest apart, relative to their spread.

    Parameters
    ----------
    estimator : fitted mixture
        With two components or more.
    X : array or DataFrame (n, d)
        Rows; missing entries are put at the mean of their component, in proportion to the responsibilities.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure
        Axes are named by the columns that weigh most in them.

    Raises
    ------
    ValueError
        For one component, which nothing can be told apart from.
    """
    values, resp = some_rows(estimator, X)
    numeric = numeric_columns(estimator)
    values = values[:, numeric]
    directions = separating(values, resp)
    ax = new_axes("plot_projection", (6.0, 4.8)) if ax is None else ax
    say_if_sampled(len(X), ax)
    points = _filled(values, resp) @ directions
    size = float(np.clip(4000.0 / max(len(points), 1), 2.0, 26.0))
    many = len(points) > 5000
    shades = mixed(resp, is_noisy(estimator.result_))
    ax.scatter(points[:, 0], points[:, 1], s=size, c=shades, alpha=0.6, linewidths=0, rasterized=many, label="rows")
    if isinstance(inner_family(estimator.result_), Normal):
        _draw_projected(estimator, directions, ax)
    names = [column_names(estimator)[j] for j in numeric]
    ax.set_xlabel(_in_words(directions[:, 0], values, names, "first direction"), fontsize="small")
    ax.set_ylabel(_in_words(directions[:, 1], values, names, "second direction"), fontsize="small")
    add_legend(ax, handles=_handles(estimator), title="component", loc="best")
    tidy(ax)
    return figure_of(ax)


def separating(values: Array, resp: Array) -> Array:
    """The two directions (d, 2) in which the components lie farthest apart, scaled to unit spread within components.

    Where the components span a line only, the second is the direction of most spread within them.

    >>> x = np.array([[0.0, 0.0], [0.0, 1.0], [9.0, 0.0], [9.0, 1.0]])
    >>> abs(separating(x, np.repeat(np.eye(2), 2, axis=0))).round(3)[:, 1].tolist()
    [0.0, 2.0]
    """
    if resp.shape[1] < 2:
        raise ValueError("estimator: one component has nothing to be told apart from; plot_pairs shows its columns")
    if values.shape[1] < 2:
        raise ValueError("X: one column needs no projection; plot_clusters draws its histogram")
    from scipy.linalg import eigh

    x = _filled(values, resp)
    n_k = resp.sum(axis=0)
    centres = (resp.T @ x) / np.maximum(n_k, 1e-300)[:, None]
    gap = centres - (n_k / n_k.sum()) @ centres
    between = (gap.T * n_k) @ gap / n_k.sum()
    total = np.cov(x.T, bias=True)
    within = total - between
    ridge = 1e-9 * np.diag(np.diagonal(total) + 1e-300)
    within = within + ridge
    strength, axes = eigh(between, within)
    first, second = axes[:, -1], axes[:, -2]
    if strength[-2] < 1e-9 * strength[-1]:
        second = _widest(within, first)
    return np.column_stack([first, second])


def _widest(within: Array, first: Array) -> Array:
    """The direction of most spread within components among those uncorrelated with ``first`` there, at unit spread."""
    spread = np.sqrt(np.diagonal(within))
    correlation = within / np.outer(spread, spread)
    known = correlation @ (first * spread)
    basis = np.eye(len(first)) - np.outer(known, known) / (known @ known)
    _, axes = np.linalg.eigh(basis @ correlation @ basis)
    direction = (basis @ axes[:, -1]) / spread
    return np.asarray(direction / np.sqrt(direction @ within @ direction))


def _filled(values: Array, resp: Array) -> Array:
    seen = ~np.isnan(values)
    if seen.all():
        return values
    known = np.where(seen, values, 0.0)
    centres = (resp.T @ known) / np.maximum(resp.T @ seen.astype(float), 1e-300)
    return np.where(seen, known, resp @ centres)


def _in_words(direction: Array, values: Array, names: list[str], title: str) -> str:
    """The direction's largest parts, in standard deviations of the columns."""
    parts = direction * np.nanstd(values, axis=0)
    order = np.argsort(-np.abs(parts))[:3]
    shares = parts / max(float(np.abs(parts).max()), 1e-300)
    words = [f"{shares[j]:+.1f} {textwrap.shorten(names[j], 18, placeholder='...')}" for j in order if abs(shares[j]) >= 0.1]
    return f"{title}\n{'  '.join(words)}"


def _draw_projected(estimator: Any, directions: Array, ax: Axes) -> None:
    from matplotlib.patches import Ellipse

    means, covariances = moments(estimator)
    for k, colour in zip(range(len(means)), colours(len(means)), strict=True):
        centre = means[k] @ directions
        width, height, angle = ellipse(directions.T @ covariances[k] @ directions)
        place = (float(centre[0]), float(centre[1]))
        for sds, style in ((1, "-"), (2, "--")):
            ax.add_patch(Ellipse(place, sds * width, sds * height, angle=angle, fill=False, edgecolor=colour, ls=style, lw=1.5))


def _panel(estimator: Any, X: Any, ax: Axes, row: int, column: int, bottom: bool, left: bool) -> None:
    if row < column:
        ax.set_axis_off()
        return
    names = column_names(estimator)
    plot_clusters(estimator, X, columns=[column] if row == column else [column, row], ax=ax)
    if (legend := ax.get_legend()) is not None:
        legend.remove()
    ax.set_title("", loc="right")
    ax.set_xlabel(names[column] if bottom else "")
    ax.set_ylabel((names[row] if row != column else ax.get_ylabel()) if left else "")
    ax.tick_params(labelsize="x-small")


def _handles(estimator: Any) -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], marker="o", linestyle="none", color=colour, label=name)
        for name, colour in zip(component_names(estimator), component_colours(estimator), strict=True)
    ]
