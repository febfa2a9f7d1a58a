"""Standard errors, intervals, diagnosis and residuals of hidden Markov models: as for mixtures, with rows in sequences.

What counts rows one by one elsewhere counts whole sequences here: scores (``opg``, ``sandwich``, ``influence``), clusters, and
what a bootstrap draws. One sequence has nothing to be compared with; ``oakes``, ``louis``, ``sem`` and ``hessian`` do not mind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from estep.core.record import Array
from estep.estimators.diagnostic_methods import diagnosis_of, influence_of
from estep.estimators.inference_methods import errors_of, intervals_of
from estep.estimators.methods import summary_of
from estep.estimators.rows import Arguments
from estep.inference.errors import Errors
from estep.inference.findings import Diagnosis
from estep.inference.influence import Influence

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def standard_errors(
    self: Any,
    X: Any,
    sample_weight: Any = None,
    method: str = "oakes",
    *,
    y: Any = None,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
    clusters: Any = None,
    **options: Any,
) -> Errors:
    """Standard errors of every parameter: a mapping from name to an array of the parameter's shape.

    Parameters
    ----------
    X, sample_weight, y, labels, sequence, lengths, time
        The rows of the fit, and what it was given with them.
    method : str
        "oakes" (observed information), "louis", "sem", "hessian"; of many sequences also "opg" and "sandwich"; "bootstrap"
        (whole sequences; of one sequence ``kind="parametric"`` or ``kind="blocks"``).
    clusters : array (s,) or (n,), or None
        For "sandwich", "opg" and "bootstrap": sequences of one cluster may depend on one another.

    Returns
    -------
    Errors
        A mapping, with ``reasons`` where an entry is NaN, ``covariance``, ``vcov()``, ``to_frame()`` and ``notes``.

    Raises
    ------
    ValueError, TypeError
        Unknown method; a method that needs many sequences, or what the model does not have, naming one that does not.
    """
    arguments = Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time)
    found: Errors = errors_of(self, arguments, method, clusters, options)
    return found


def confint(
    self: Any,
    X: Any,
    level: float = 0.95,
    method: str = "wald",
    which: Any = None,
    *,
    sample_weight: Any = None,
    y: Any = None,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
    **settings: Any,
) -> dict[str, Array]:
    """Intervals as in ``GaussianMixture.confint``; rows, labels and sequences as in the fit."""
    arguments = Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time)
    return intervals_of(self, arguments, level, method, which, settings)


def diagnose(
    self: Any,
    X: Any,
    sample_weight: Any = None,
    *,
    y: Any = None,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
    errors: Errors | None = None,
    n_sim: int = 199,
    seed: int = 0,
) -> Diagnosis:
    """What is wrong with the fit, as ``GaussianMixture.diagnose``; its law is judged by the residuals of one-step forecasts."""
    arguments = Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time)
    return diagnosis_of(self, arguments, errors, n_sim, seed)


def influence(
    self: Any,
    X: Any,
    sample_weight: Any = None,
    *,
    y: Any = None,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
    errors: Errors | None = None,
) -> Influence:
    """How much each sequence moves the fit: distance (squared standard errors) and the parameter that moves most.

    Sequences are numbered in the order in which they first appear.

    Raises
    ------
    ValueError
        Where there is one sequence.
    """
    arguments = Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time)
    return influence_of(self, arguments, errors)


def summary(
    self: Any,
    X: Any = None,
    *,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
    errors: Any = None,
    level: float = 0.95,
) -> str:
    """The fit in words and a table: model, likelihood, criteria, status, states. Print it.

    Parameters
    ----------
    X, sequence, lengths, time
        The rows of the fit: add what only rows tell (ICL, missing entries).
    errors : Errors, str, True or None
        Adds standard errors and intervals: what ``standard_errors`` returned, or its ``method``, or True, to find them from X.
    level : float
        Of the intervals.
    """
    check_is_fitted(self, "result_")
    given = {"sequence": sequence, "lengths": lengths, "time": time}
    return summary_of(self, X, {name: value for name, value in given.items() if value is not None}, errors, level)


def plot_residuals(
    self: Any,
    X: Any,
    column: Any = 0,
    *,
    kind: str = "ordinary",
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> Figure:
    """Normal pseudo-residuals of a column in the order of the rows, their normal Q-Q plot, and their autocorrelations.

    Parameters
    ----------
    X : array or DataFrame (n, d), or list of arrays
        Rows; missing values are left out.
    column : name or position
        Of a family that has a distribution function along it.
    kind : "ordinary" or "forecast"
        Given all other rows of the sequence, or those before; only the second are independent of one another.
    sequence, lengths, time
        As in ``fit``.

    Returns
    -------
    matplotlib Figure
    """
    check_is_fitted(self, "result_")
    from estep.estimators.forecasts import arranged_residuals
    from estep.estimators.sequence_methods import rows_of_sequences
    from estep.views.residuals import draw_residuals
    from estep.views.responsibilities import position_of
    from estep.views.words import column_names

    names = column_names(self)
    at = position_of(column, names)
    rows = rows_of_sequences(self, Arguments(X, sequence=sequence, lengths=lengths, time=time))
    return draw_residuals(arranged_residuals(self, rows, kind, at), f"pseudo-residual of {names[at]}", ends=rows.ends)
