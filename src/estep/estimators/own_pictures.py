"""``plot`` of estimators whose picture is not rows coloured by component; each is assigned in its class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from estep.estimators import pictures
from estep.estimators.bounds import bounds_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_censored(self: Any, y: Any, status: Any = None, *, upper: Any = None, covariates: Any = None) -> Figure:
    """A normal probability plot: known values beside the fitted normal, censored ones taken into account.

    Parameters
    ----------
    y, status, upper, covariates
        As in ``fit``; with covariates the picture shows residuals in units of the scale.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        Where rows are censored on both sides or in intervals, which have no places of this kind.
    """
    check_is_fitted(self, "result_")
    from estep.views.censored import plot_censored as draw

    return draw(self, bounds_of(y, status, upper), covariates, name=str(getattr(y, "name", None) or "value"))


def plot_imputed(self: Any, X: Any, columns: Sequence[Any] = (0, 1)) -> Figure:
    """Two columns of ``X`` with missing entries at their conditional means, and the fitted normal's ellipses.

    Parameters
    ----------
    X : array or DataFrame (n, d)
        Rows; NaN is missing.
    columns : two names or positions
        Which columns to draw.

    Returns
    -------
    matplotlib Figure
    """
    check_is_fitted(self, "result_")
    from estep.views.gaps import plot_imputed as draw

    return draw(self, X, columns)


def plot_factors(self: Any, X: Any = None, columns: Sequence[Any] | None = None, *, component: int | None = None) -> Figure:
    """The loadings as a table of colours, or with rows a picture of them coloured by component.

    Parameters
    ----------
    X : array or DataFrame (n, d), optional
        Rows, of a mixture.
    columns : names or positions, optional
        Which columns of the rows to draw.
    component : int, optional
        Whose loadings, of a mixture without rows.

    Returns
    -------
    matplotlib Figure
    """
    check_is_fitted(self, "result_")
    if X is not None:
        return pictures.plot(self, X, columns)
    from estep.views.heat import plot_loadings

    return plot_loadings(self, component)


def plot_table(self: Any, columns: Sequence[Any] = (0, 1)) -> Figure:
    """The fitted probabilities of two columns' table, in percent; other columns are summed over.

    Parameters
    ----------
    columns : two names or positions
        Lines and columns of the picture.

    Returns
    -------
    matplotlib Figure
    """
    check_is_fitted(self, "result_")
    from estep.views.heat import plot_table as draw

    return draw(self, columns)


def plot_topics(self: Any, n: int = 10, names: Sequence[str] | None = None) -> Figure:
    """The ``n`` most probable words of every topic as bars.

    Parameters
    ----------
    n : int
        Words a topic.
    names : sequence of str, optional
        The words, where the fit did not see the columns' names.

    Returns
    -------
    matplotlib Figure
    """
    check_is_fitted(self, "result_")
    from estep.views.topic_bars import plot_topics as draw

    return draw(self, n, names)


def plot_regressions(
    self: Any, X: Any, y: Any, column: Any = 0, *, offset: Any = None, by: Any = None, at: Any = None
) -> Figure:
    """Responses against one column of ``X``, coloured by component, with the regression of every component.

    Parameters
    ----------
    X, y, offset, by
        As in ``fit``; where a formula names the response, ``y`` is what its left side gives.
    column : name or position
        The column to draw along.
    at : array or DataFrame, optional
        Rows at which the lines are drawn; by default the range of the column, the others at their medians.

    Returns
    -------
    matplotlib Figure
    """
    check_is_fitted(self, "result_")
    from estep.views.regressions import plot_regressions as draw

    return draw(self, X, y, column, offset=offset, by=by, at=at)
