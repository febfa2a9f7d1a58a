"""Regressions of a mixture along one covariate: the rows, and a line for each component.

    line of a component     E[y | x, k] along one column of X, the others at their medians (or at rows that are given)
    colour of a row         sum_k P(k | x_i, y_i) c_k
    strength of a line      with a gate: P(k | x) there, so that a line fades where its expert is not asked
    dashed                  sum_k P(k | x) E[y | x, k], where weights depend on covariates

With an offset, rows and lines are shown at offset zero: counts per unit of exposure, responses less what is known of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from estep.core.record import Array
from estep.families.gamma_regression import GammaRegression
from estep.families.linear_regression import LinearRegression
from estep.families.poisson_regression import PoissonRegression
from estep.views.palette import colours, mixed
from estep.views.plot import INK, add_legend, figure_of, new_axes, tidy
from estep.views.responsibilities import position_of
from estep.views.with_rows import names_response
from estep.views.words import column_names, component_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLACES = 200
FAINT = 0.12


def _less(response: Array, offset: Array) -> Array:
    return response - offset


def _per_unit(response: Array, offset: Array) -> Array:
    return np.asarray(response * np.exp(-offset))


AT_OFFSET_ZERO = ((LinearRegression, _less), (PoissonRegression, _per_unit), (GammaRegression, _per_unit))


def plot_regressions(
    estimator: Any,
    X: Any,
    y: Any,
    column: Any = 0,
    *,
    offset: Any = None,
    by: Any = None,
    at: Any = None,
    ax: Axes | None = None,
) -> Figure:
    """Responses against one column of ``X``, coloured by component, with the regression of every component.

    Parameters
    ----------
    estimator : fitted MixtureOfRegressions or MixtureOfExperts
        Of a response with one number: not "multinomial".
    X : array or DataFrame (n, p)
        Covariates as they were given to ``fit``.
    y : array (n,)
        Responses; where a formula names the response, what its left side gives.
    column : name or position
        The column of ``X`` to draw along.
    offset, by : optional
        As in ``fit``.
    at : array or DataFrame, optional
        Rows like those of ``X`` at which the lines are drawn, joined in the order of ``column``; by default the range of the
        column, with the other columns at their medians (text at its most frequent value).
    ax : matplotlib Axes, optional
        Where to draw; otherwise a new figure is made.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        On an estimator that is no fitted mixture of regressions, classes with more than two levels, an unknown column, or an
        offset of responses that cannot be brought to offset zero.
    """
    family = _family_of(estimator)
    place = position_of(column, column_names(estimator))
    response = _numbers(estimator, y)
    classify = getattr(estimator, "posterior", None) or estimator.predict_proba
    resp = classify(X, None if names_response(estimator) else y, offset=offset, **_groups(by))
    shown = response if offset is None else _at_zero(family, response, np.asarray(offset, dtype=float))
    rows = _typical(X, place) if at is None else at
    x, where = _column(X, place), _column(rows, place)
    ax = new_axes("plot_regressions", (6.4, 4.6)) if ax is None else ax
    size = float(np.clip(4000.0 / max(len(shown), 1), 6.0, 30.0))
    ax.scatter(x, shown, s=size, c=mixed(resp), alpha=0.75, linewidths=0, zorder=2)
    _draw_lines(estimator, rows, where, ax)
    ax.set_xlabel(column_names(estimator)[place])
    ax.set_ylabel(_response_name(estimator, y, offset is not None))
    add_legend(ax)
    tidy(ax)
    return figure_of(ax)


def _draw_lines(estimator: Any, rows: Any, where: Array, ax: Axes) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgb

    order = np.argsort(where, kind="stable")
    x, lines = where[order], np.asarray(estimator.predict_component(rows))[order]
    share = np.asarray(estimator.gate_proba(rows))[order] if hasattr(estimator, "gate_proba") else None
    for k, (name, colour) in enumerate(zip(component_names(estimator), colours(lines.shape[1]), strict=True)):
        if share is None:
            ax.plot(x, lines[:, k], color=colour, linewidth=2.0, zorder=3, label=f"component {name}")
            continue
        points = np.column_stack([x, lines[:, k]])
        strength = FAINT + (1.0 - FAINT) * (share[1:, k] + share[:-1, k]) / 2.0
        shades = [(*to_rgb(colour), float(s)) for s in strength]
        pieces = np.stack([points[:-1], points[1:]], axis=1)
        ax.add_collection(LineCollection(list(pieces), colors=shades, linewidths=2.4, zorder=3))
        ax.plot([], [], color=colour, linewidth=2.4, label=f"expert {name}")
    if share is not None:
        ax.plot(x, (share * lines).sum(axis=1), color=INK, linewidth=1.2, linestyle=(0, (4, 2)), zorder=4, label="mean")


def _family_of(estimator: Any) -> Any:
    name = type(estimator).__name__
    if not hasattr(estimator, "predict_component"):
        raise ValueError(f"estimator: {name} has no regressions; give a MixtureOfRegressions or a MixtureOfExperts")
    if not hasattr(estimator, "result_"):
        raise ValueError(f"estimator: this {name} is not fitted yet; call fit(X, y) first")
    family = estimator.result_.model.family
    if getattr(family, "classes", "none") == "many":
        raise ValueError(f"estimator: this {name} has classes as responses, which are no height to draw; see predict_component")
    return family


def _response_name(estimator: Any, y: Any, without_offset: bool) -> str:
    own = str(getattr(y, "name", None) or "y")
    left = str(estimator.formula).partition("~")[0].strip() if names_response(estimator) else own
    return f"{left} (at offset 0)" if without_offset else left


def _numbers(estimator: Any, y: Any) -> Array:
    """Responses as numbers; one of two classes is 0 or 1."""
    values = np.asarray(y)
    classes = getattr(estimator, "classes_", None)
    if classes is not None and values.ndim == 1 and values.dtype.kind not in "biuf":
        codes = {name: float(code) for code, name in enumerate(np.asarray(classes).tolist())}
        return np.array([codes.get(value, np.nan) for value in values.tolist()])
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim == 2 and numbers.shape[1] == 2:
        with np.errstate(invalid="ignore"):
            return np.asarray(numbers[:, 0] / numbers.sum(axis=1))
    return numbers.ravel()


def _at_zero(family: Any, response: Array, offset: Array) -> Array:
    move = next((move for kind, move in AT_OFFSET_ZERO if isinstance(family, kind)), None)
    if move is None:
        raise ValueError(f"offset: responses of {type(family).__name__} cannot be brought to offset zero; leave offset out")
    return move(response, offset)


def _groups(by: Any) -> dict[str, Any]:
    return {} if by is None else {"by": by}


def _column(X: Any, place: int) -> Array:
    return np.asarray(X.iloc[:, place] if hasattr(X, "iloc") else np.asarray(X)[:, place], dtype=float)


def _typical(X: Any, place: int) -> Any:
    """Rows over the range of one column, the others at their medians, text at its most frequent value."""
    x = _column(X, place)
    grid = np.linspace(np.nanmin(x), np.nanmax(x), PLACES)
    if not hasattr(X, "iloc"):
        rows = np.tile(np.nanmedian(np.asarray(X, dtype=float), axis=0), (PLACES, 1))
        rows[:, place] = grid
        return rows
    numeric = [X.iloc[:, j].dtype.kind in "biuf" if hasattr(X.iloc[:, j].dtype, "kind") else False for j in range(X.shape[1])]
    usual = [X.iloc[:, j].median() if number else X.iloc[:, j].mode().iloc[0] for j, number in enumerate(numeric)]
    table = X.iloc[np.zeros(PLACES, dtype=int)].reset_index(drop=True).copy()
    for j, value in enumerate(usual):
        table.isetitem(j, grid if j == place else [value] * PLACES)
    return table
