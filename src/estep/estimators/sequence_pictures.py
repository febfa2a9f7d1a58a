"""The picture of a hidden Markov model: ``plot``."""

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
