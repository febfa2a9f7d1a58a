"""The pictures of a hidden Markov model: ``plot``, ``plot_states``, ``plot_emissions``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from estep.estimators.rows import Arguments

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(self: Any, X: Any = None, *, sequence: Any = None, lengths: Any = None, time: Any = None) -> Figure:
    """The moves between states as a heat map and, with rows, each column over time with the most probable path.

    Parameters
    ----------
    X : array or DataFrame (n, d), or list of arrays, optional
        Rows; sequences are drawn one after the other.
    sequence, lengths, time
        As in ``fit``.

    Returns
    -------
    matplotlib Figure
    """
    check_is_fitted(self, "result_")
    from estep.views.sequences import plot_sequences

    if X is None:
        return plot_sequences(self.transmat_, None, None, None, None, [])
    from estep.estimators import methods
    from estep.views.words import column_names

    rows, out = methods.explain(self, Arguments(X, sequence=sequence, lengths=lengths, time=time))
    return plot_sequences(self.transmat_, np.asarray(rows.x), out.resp, out.path, rows.ends, column_names(self))


def plot_states(self: Any, labels: Any = None, *, smallest: float = 0.005) -> Figure:
    """The states and the moves between them as a diagram, with the null state from which sequences begin.

    Parameters
    ----------
    labels : sequence of str, optional
        Names of the states; else their numbers.
    smallest : float
        Moves and starts less probable than this are left out.

    Returns
    -------
    matplotlib Figure
    """
    check_is_fitted(self, "result_")
    from estep.views.state_diagram import state_diagram

    return state_diagram(self.startprob_, self.transmat_, labels, smallest=smallest)


def plot_emissions(self: Any, X: Any, *, sequence: Any = None, lengths: Any = None, time: Any = None) -> Figure:
    """What rows look like in each state: the law of one column over a histogram of the rows, or ellipses over two columns.

    The heights are the shares of the states among the rows, not those of the stationary law.

    Parameters
    ----------
    X : array or DataFrame (n, d), or list of arrays
        Rows.
    sequence, lengths, time
        As in ``fit``.

    Returns
    -------
    matplotlib Figure
    """
    check_is_fitted(self, "result_")
    from estep.views.plot import plot_clusters
    from estep.views.with_rows import with_rows

    return plot_clusters(*with_rows(self, X, sequence=sequence, lengths=lengths, time=time))
