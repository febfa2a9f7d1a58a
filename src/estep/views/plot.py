"""Pictures of a selection and of a fit, with matplotlib, which is loaded on first use.

    ellipse of s standard deviations    (x - mu)' Sigma^-1 (x - mu) = s^2:  half-axes s sqrt(lambda_j) along the axes of Sigma
    colour of a row                     sum_k r_ik c_k: a row between two components has a colour between theirs
    curve of a component                w_k p(x | theta_k); their sum is the fitted density

Figures are returned, never shown; no global state of matplotlib is read or changed beyond its defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.families.normal import Normal
from estep.views.palette import NOISE, colours, mixed
from estep.views.table import moments
from estep.views.values import MOST_POINTS, curves, mixing, numeric_columns, some_rows
from estep.views.words import column_names, component_names, inner_family, is_noisy, overall_weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_VECTORS = 5_000
MOST_INSIDE = 6
SMALL = 3.0
INK, SOFT = "#222222", "#8a8a8a"


def plot_selection(selection: Any, ax: Axes | None = None) -> Figure:
    """Criterion against the number of components, a line for each combination of the other settings.

    Parameters
    ----------
    selection : Selection
        What ``estep.select`` returned.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure
        The best fit is marked; fits that could not be used are gaps, and counted below the picture.

    Raises
    ------
    ImportError
        Where matplotlib is missing, naming what to install.
    """
    from estep.views.curves import draw_selection

    ax = new_axes("plot_selection", (7.2, 4.6)) if ax is None else ax
    draw_selection(selection, ax)
    return figure_of(ax)


def plot_clusters(estimator: Any, X: Any, columns: Sequence[Any] | None = None, ax: Axes | None = None) -> Figure:
    """Rows coloured by component with the ellipses of the components, or for one column a histogram with their curves.

    Parameters
    ----------
    estimator : fitted mixture
        Ellipses (1 and 2 standard deviations) need normal components; other families get coloured rows.
    X : array or DataFrame (n, d)
        Rows; those with a missing entry in the columns drawn are ticks along the axis they were observed on.
    columns : sequence of one or two, optional
        Names or positions of the columns; otherwise the first two.
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        On an estimator that is not a fitted mixture, an unknown column, or a family that gives no density along it.
    ImportError
        Where matplotlib is missing, naming what to install.
    """
    _refuse_other_than_fitted_mixtures(estimator)
    chosen = _chosen(estimator, columns)
    ax = new_axes("plot_clusters", (6.0, 4.8)) if ax is None else ax
    draw = _draw_histogram if len(chosen) == 1 else _draw_scatter
    draw(estimator, X, chosen, ax)
    tidy(ax)
    return figure_of(ax)


def new_axes(caller: str, size: tuple[float, float]) -> Axes:
    """Axes in a figure of their own; raises ImportError naming what to install."""
    return new_figure(caller, size).add_subplot()


def new_figure(caller: str, size: tuple[float, float]) -> Figure:
    """An empty figure, without pyplot; raises ImportError naming what to install."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(f"{caller} draws with matplotlib, which is not installed: pip install estep[plot]") from None
    return Figure(figsize=size, layout="constrained")


def figure_of(ax: Axes) -> Figure:
    """The figure that ``ax`` belongs to."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def tidy(ax: Axes) -> None:
    """Open frame, quiet ticks."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(SOFT)
    ax.tick_params(color=SOFT, labelcolor=INK)


def add_legend(ax: Axes, **settings: Any) -> None:
    """A quiet legend, in smaller letters where the axes are small."""
    width = ax.get_position().width * figure_of(ax).get_figwidth()
    look: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "framealpha": 0.75}
    ax.legend(fontsize="small" if width >= SMALL else "x-small", **look, **settings)


# --- two columns ---


def _draw_scatter(estimator: Any, X: Any, chosen: list[int], ax: Axes) -> None:
    values, resp = _rows(estimator, X, ax)
    points = values[:, chosen]
    seen = ~np.isnan(points)
    whole = seen.all(axis=1)
    shades = mixed(resp, is_noisy(estimator.result_))
    size = float(np.clip(4000.0 / max(len(points), 1), 2.0, 26.0))
    x, y = points[whole].T
    many = len(points) > MOST_VECTORS
    alpha = 0.65 * float(np.clip((500.0 / max(len(points), 1)) ** 0.3, 0.25, 1.0))
    ax.scatter(x, y, s=size, c=shades[whole], alpha=alpha, linewidths=0, zorder=2, rasterized=many, label="rows")
    _ticks_of_partial(points, seen, shades, ax)
    if isinstance(inner_family(estimator.result_), Normal):
        _draw_ellipses(estimator, chosen, ax)
    ax.margins(0.06)
    names = column_names(estimator)
    ax.set_xlabel(names[chosen[0]])
    ax.set_ylabel(names[chosen[1]])
    _legend(estimator, ax)


def _draw_ellipses(estimator: Any, chosen: list[int], ax: Axes) -> None:
    from matplotlib.patches import Ellipse
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.7, foreground="white", alpha=0.8)]
    means, covariances = moments(estimator)
    for k, colour in zip(range(len(means)), colours(len(means)), strict=True):
        centre = means[k, chosen]
        width, height, angle = ellipse(covariances[k][np.ix_(chosen, chosen)])
        for sds, style in ((1, "-"), (2, "--")):
            ax.add_patch(
                Ellipse(
                    (float(centre[0]), float(centre[1])), sds * width, sds * height, angle=angle, fill=False, edgecolor=colour,
                    linewidth=1.5, linestyle=style, path_effects=halo, label=f"component {k}: {sds} sd", zorder=3,
                )
            )  # fmt: skip
        ax.plot(*centre, marker="P", markersize=11, color=colour, mec="white", mew=1.2, label=f"mean {k}", zorder=4, ls="none")


def ellipse(covariance: Array) -> tuple[float, float, float]:
    """Width, height (of one standard deviation: twice the half-axes) and angle in degrees of the major axis.

    >>> ellipse(np.diag([4.0, 1.0]))
    (4.0, 2.0, 0.0)
    """
    variances, axes = np.linalg.eigh(covariance)
    major = axes[:, 1] if axes[0, 1] >= 0 else -axes[:, 1]
    width, height = 2.0 * np.sqrt(variances[::-1])
    return float(width), float(height), float(np.degrees(np.arctan2(major[1], major[0])))


def _ticks_of_partial(points: Array, seen: Any, shades: Array, ax: Axes) -> None:
    """Rows with one of the two entries missing, as ticks inside the axis that they were observed on."""
    x_only, y_only = seen[:, 0] & ~seen[:, 1], ~seen[:, 0] & seen[:, 1]
    if x_only.any():
        ax.vlines(points[x_only, 0], 0.0, 0.02, colors=shades[x_only], transform=ax.get_xaxis_transform(), label="y missing")
    if y_only.any():
        ax.hlines(points[y_only, 1], 0.0, 0.02, colors=shades[y_only], transform=ax.get_yaxis_transform(), label="x missing")


# --- one column ---


def _draw_histogram(estimator: Any, X: Any, chosen: list[int], ax: Axes) -> None:
    values, resp = _rows(estimator, X, ax)
    x = values[:, chosen[0]]
    resp, x = resp[~np.isnan(x)], x[~np.isnan(x)]
    grid, found, counted = curves(estimator, x, chosen[0])
    edges = np.arange(grid[0] - 0.5, grid[-1] + 1.0) if counted else _edges(x, resp)
    heights, _ = np.histogram(x, bins=edges, density=True)
    ax.stairs(heights, edges, fill=True, color="#dcdcdc", label="rows")
    drawn = found * mixing(estimator)
    names, dot = component_names(estimator), "." if counted else None
    for k, (name, colour) in enumerate(zip(names, _component_colours(estimator), strict=True)):
        ax.plot(grid, drawn[:, k], color=colour, linewidth=1.8, marker=dot, label=_named(estimator, name, k))
    if len(names) > 1:
        ax.plot(grid, drawn.sum(axis=1), color=INK, linewidth=1.4, linestyle=(0, (4, 2)), label="sum")
    ax.set_xlim(min(grid[0], edges[0]), max(grid[-1], edges[-1]))
    tops = [float(heights.max()), *(float(line[np.isfinite(line)].max(initial=0.0)) for line in (drawn.sum(axis=1),))]
    ax.set_ylim(0.0, 1.06 * min(max(tops), 3.0 * tops[0]))
    ax.set_xlabel(column_names(estimator)[chosen[0]])
    ax.set_ylabel("probability" if counted else "density")
    add_legend(ax)


def _edges(x: Array, resp: Array) -> Array:
    """Edges of bins by Scott's (1979) width 3.49 sd n^(-1/3), with the sd within components."""
    means = (resp.T @ x) / np.maximum(resp.sum(axis=0), 1e-300)
    sd = float(np.sqrt((resp * (x[:, None] - means) ** 2).sum() / x.size))
    width = 3.49 * sd * x.size ** (-1.0 / 3.0)
    bins = int(np.clip(np.ptp(x) / width if width > 0 else 1, 10, 60))
    return np.asarray(np.histogram_bin_edges(x, bins))


# --- both ---


def _refuse_other_than_fitted_mixtures(estimator: Any) -> None:
    name = type(estimator).__name__
    if not hasattr(estimator, "predict_proba"):
        raise ValueError(f"estimator: {name} gives no class probabilities to colour by; give a mixture, such as Mixture")
    if not hasattr(estimator, "result_"):
        raise ValueError(f"estimator: this {name} is not fitted yet; call fit(X) first")


def _chosen(estimator: Any, columns: Sequence[Any] | None) -> list[int]:
    """Positions of the columns to draw, one or two."""
    names = column_names(estimator)
    if columns is None:
        if not (numeric := numeric_columns(estimator)):
            raise ValueError("columns: every column holds categories; plot_profiles draws those")
        return numeric[:2]
    given = [columns] if isinstance(columns, str | int) else list(columns)
    if len(given) not in (1, 2):
        raise ValueError(f"columns has {len(given)} entries; give one (a histogram) or two (a scatter plot)")
    return [_position(column, names) for column in given]


def _position(column: Any, names: list[str]) -> int:
    if isinstance(column, str) and column in names:
        return names.index(column)
    if isinstance(column, int | np.integer) and 0 <= column < len(names):
        return int(column)
    raise ValueError(f"columns names {column!r}; the columns are {names[:12]} (or positions 0..{len(names) - 1})")


def _rows(estimator: Any, X: Any, ax: Axes) -> tuple[Array, Array]:
    """The rows, at most ``MOST_POINTS`` of them at random, and their responsibilities."""
    say_if_sampled(len(X), ax)
    return some_rows(estimator, X)


def say_if_sampled(n: int, ax: Axes) -> None:
    """Say above the picture that it shows a sample of the ``n`` rows, where it does."""
    if n > MOST_POINTS:
        ax.set_title(f"{MOST_POINTS:,} of {n:,} rows, drawn at random", fontsize="small", color=SOFT, loc="right")


def _legend(estimator: Any, ax: Axes) -> None:
    from matplotlib.lines import Line2D

    names = component_names(estimator)
    handles = [
        Line2D([], [], marker="o", linestyle="none", color=colour, label=_named(estimator, name, k))
        for k, (name, colour) in enumerate(zip(names, _component_colours(estimator), strict=True))
    ]
    if isinstance(inner_family(estimator.result_), Normal):
        handles += [Line2D([], [], color=SOFT, ls=style, label=f"{sds} sd") for sds, style in ((1, "-"), (2, "--"))]
    outside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if len(handles) > MOST_INSIDE else {"loc": "best"}
    add_legend(ax, handles=handles, borderaxespad=1.0, **outside)


def _named(estimator: Any, name: str, k: int) -> str:
    weights, said = overall_weights(estimator.result_), name if name == "noise" else f"component {name}"
    return said if weights is None else f"{said} ({weights[k]:.2f})"


def _component_colours(estimator: Any) -> list[str]:
    k = int(estimator.result_.model.k)
    return [*colours(k - 1), NOISE] if is_noisy(estimator.result_) else colours(k)
