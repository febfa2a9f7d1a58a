"""Pictures of a fitted estimator: ``plot`` and ``animate``, which replays the returned run pass by pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from estep.core.record import Array
from estep.core.result import Status
from estep.engine.fit import fit as run_from
from estep.engine.state import State

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from estep.views.animate import Animation
    from estep.views.frames import Frames

LONGEST = 2_000


def plot(self: Any, X: Any = None, columns: Sequence[Any] | None = None) -> Figure:
    """A picture of the fit: rows coloured by component, or without rows the profiles of the components.

    Parameters
    ----------
    X : array or DataFrame (n, d), optional
        Rows. One column of numbers gives a histogram with curves, two a scatter plot with ellipses, more a matrix of pairs;
        where every column holds categories, the profiles.
    columns : names or positions, optional
        Which columns to draw.

    Returns
    -------
    matplotlib Figure
    """
    check_is_fitted(self, "result_")
    if X is None:
        from estep.views.profiles import candidates, plot_profiles

        if not candidates(self):
            raise ValueError(f"X is missing: this {type(self).__name__} can only be drawn with its rows; call plot(X)")
        return plot_profiles(self)
    if hasattr(self, "cluster_centers_"):
        from estep.views.voronoi import plot_voronoi

        return plot_voronoi(self, X)
    from estep.views.values import numeric_columns

    if columns is None and not numeric_columns(self):
        from estep.views.profiles import plot_profiles

        return plot_profiles(self)
    if (len(numeric_columns(self)) if columns is None else len(columns)) > 2:
        from estep.views.pairs import plot_pairs

        return plot_pairs(self, X, columns)
    from estep.views.plot import plot_clusters

    return plot_clusters(self, X, columns)


def animate(self: Any, X: Any, columns: Sequence[Any] | None = None) -> Animation:
    """The returned run again, pass by pass and without acceleration, as an animation.

    Parameters
    ----------
    X : array or DataFrame (n, d)
        The training rows (weights and labels of the fit are left out: every row counts once).
    columns : one or two names or positions, optional
        Which columns to draw; the first two by default.

    Returns
    -------
    Animation
        ``.save("run.gif")`` or ``.save("run.html")``; shows itself in a notebook.

    Raises
    ------
    ValueError
        For a fit whose start was not kept, or columns that are not there.
    """
    from estep.views.animate import Animation

    return Animation(frames(self, X, columns))


def frames(self: Any, X: Any, columns: Sequence[Any] | None = None) -> Frames:
    """The frames of ``animate``."""
    check_is_fitted(self, "result_")
    from estep.data.memory import Memory
    from estep.views.frames import frames_of
    from estep.views.responsibilities import position_of
    from estep.views.values import values_of
    from estep.views.words import column_names

    result, names = self.result_, column_names(self)
    if result.first is None:
        raise ValueError(f"this {type(self).__name__} does not know where its run began; fit it again to animate it")
    chosen = list(range(min(2, len(names)))) if columns is None else [position_of(c, names, "columns") for c in columns]
    x = values_of(self, X)
    preset = "kmeans" if hasattr(self, "cluster_centers_") else "em"
    seen: list[Any] = []
    climbed: list[float] = []

    def watch(state: State, status: Status) -> bool:
        seen.append(state.here)
        climbed.append(float(state.value))
        return False

    again = run_from(result.model, Memory(x, n_jobs=self.n_jobs), result.first, preset, max_iter=LONGEST, watch=watch)
    objective: Array = np.array(climbed)
    ending = again.status.value.split(":")[0]
    return frames_of(result.model, seen, objective, x, chosen, names, ending, hard=preset == "kmeans")
