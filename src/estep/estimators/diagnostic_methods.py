"""What is wrong with a fit, and which rows move it: plain functions that the classes list beside ``standard_errors``.

Each takes the rows of the fit with the row keywords of that class.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from estep.estimators.bounds import bounds_of
from estep.estimators.inference_methods import other_rows, reported
from estep.estimators.rows import Arguments, Rows
from estep.estimators.seam import read_seen
from estep.estimators.settings import require_integer
from estep.inference import diagnose as diagnosing
from estep.inference import influence as influencing
from estep.inference.errors import Errors, standard_errors
from estep.inference.findings import Diagnosis
from estep.inference.influence import Influence


def _rows(self: Any, arguments: Arguments) -> tuple[Rows, Any]:
    """Rows one each, and their places in what was given."""
    check_is_fitted(self, "result_")
    rows = read_seen(self, arguments)
    places = np.arange(rows.given_count)
    if rows.kept is not None:
        places = places[rows.kept]
    if rows.place is not None:
        places = np.argsort(rows.place, kind="stable")
    return rows, places[: rows.n]


def _refuse_bootstraps(errors: Any) -> None:
    """Raise TypeError on standard errors without information."""
    if errors is not None and not isinstance(errors, Errors):
        what = repr(errors) if isinstance(errors, str) else f"a {type(errors).__name__}"
        raise TypeError(
            f"errors is {what}, which holds no information; give fit.standard_errors(X), method 'oakes', or leave it out"
        )


def diagnosis_of(self: Any, arguments: Arguments, errors: Errors | None, n_sim: int, seed: int) -> Diagnosis:
    """The findings about all that a user gave for the rows."""
    _refuse_bootstraps(errors)
    require_integer(n_sim, "n_sim", 0)
    require_integer(seed, "seed", 0)
    rows, places = _rows(self, arguments)
    return diagnosing.diagnose(
        self.result_.model,
        rows.data(self.n_jobs),
        self.result_,
        errors=errors,
        natural=lambda params: reported(self, params),
        numbers=places,
        n_sim=n_sim,
        seed=seed,
        names=getattr(self, "states_", None),
    )


def influence_of(self: Any, arguments: Arguments, errors: Errors | None) -> Influence:
    """Influence of all that a user gave for the rows."""
    _refuse_bootstraps(errors)
    rows, places = _rows(self, arguments)
    data = rows.data(self.n_jobs)
    if errors is None:
        model, natural = self.result_.model, lambda params: reported(self, params)
        like = getattr(self, "_reports", {})
        errors = standard_errors(model, data, self.result_.params, natural=natural, like=like, quiet=True)
    if words := other_rows(errors, self.result_):
        warnings.warn(f"influence: {words}", UserWarning, stacklevel=4)
    return influencing.influence(errors, data, places)


def diagnose(
    self: Any,
    X: Any,
    sample_weight: Any = None,
    *,
    y: Any = None,
    labels: Any = None,
    by: Any = None,
    errors: Errors | None = None,
    n_sim: int = 199,
    seed: int = 0,
) -> Diagnosis:
    """What is wrong with the fit, in plain words: an ordered sequence of findings to print.

    Parameters
    ----------
    X, sample_weight, y, labels, by
        The rows of the fit, and what it was given with them.
    errors : Errors or None
        What ``standard_errors`` returned; None finds them (two passes a free parameter, up to 150).
    n_sim, seed
        Data sets drawn from the fit for the p value of its law (99 at least; 0 leaves it out), and their seed.

    Returns
    -------
    Diagnosis
        Findings with severity, title, evidence and remedy; what was checked, and what could not be.
    """
    return diagnosis_of(self, Arguments(X, y, sample_weight, labels, by), errors, n_sim, seed)


def influence(
    self: Any,
    X: Any,
    sample_weight: Any = None,
    *,
    y: Any = None,
    labels: Any = None,
    by: Any = None,
    errors: Errors | None = None,
) -> Influence:
    """How much each row moves the fit: distance (squared standard errors) and the parameter that moves most.

    Parameters
    ----------
    X, sample_weight, y, labels, by
        The rows of the fit, and what it was given with them.
    errors : Errors or None
        What ``standard_errors`` returned; None finds them.

    Raises
    ------
    TypeError
        From a model without scores of single rows.
    """
    return influence_of(self, Arguments(X, y, sample_weight, labels, by), errors)


def gated_diagnose(
    self: Any,
    X: Any,
    sample_weight: Any = None,
    *,
    y: Any = None,
    labels: Any = None,
    by: Any = None,
    covariates: Any = None,
    errors: Errors | None = None,
    n_sim: int = 199,
    seed: int = 0,
) -> Diagnosis:
    """What is wrong with the fit, as ``GaussianMixture.diagnose``; with the ``covariates`` of the fit, where it had any."""
    return diagnosis_of(self, Arguments(X, y, sample_weight, labels, by, covariates=covariates), errors, n_sim, seed)


def gated_influence(
    self: Any,
    X: Any,
    sample_weight: Any = None,
    *,
    y: Any = None,
    labels: Any = None,
    by: Any = None,
    covariates: Any = None,
    errors: Errors | None = None,
) -> Influence:
    """How much each row moves the fit, as ``GaussianMixture.influence``; with ``covariates`` where the fit had any."""
    return influence_of(self, Arguments(X, y, sample_weight, labels, by, covariates=covariates), errors)


def regression_diagnose(
    self: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    labels: Any = None,
    offset: Any = None,
    by: Any = None,
    errors: Errors | None = None,
    n_sim: int = 199,
    seed: int = 0,
) -> Diagnosis:
    """What is wrong with the fit, as ``GaussianMixture.diagnose``; ``y`` are the responses."""
    return diagnosis_of(self, Arguments(X, y, sample_weight, labels, by, offset), errors, n_sim, seed)


def regression_influence(
    self: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    labels: Any = None,
    offset: Any = None,
    by: Any = None,
    errors: Errors | None = None,
) -> Influence:
    """How much each row moves the fit, as ``GaussianMixture.influence``; ``y`` are the responses."""
    return influence_of(self, Arguments(X, y, sample_weight, labels, by, offset), errors)


def censored_diagnose(
    self: Any,
    y: Any,
    status: Any = None,
    *,
    upper: Any = None,
    covariates: Any = None,
    sample_weight: Any = None,
    errors: Errors | None = None,
    n_sim: int = 199,
    seed: int = 0,
) -> Diagnosis:
    """What is wrong with the fit, as ``GaussianMixture.diagnose``; values, status and covariates as in the fit."""
    arguments = Arguments(bounds_of(y, status, upper), None, sample_weight, covariates=covariates)
    return diagnosis_of(self, arguments, errors, n_sim, seed)


def censored_influence(
    self: Any,
    y: Any,
    status: Any = None,
    *,
    upper: Any = None,
    covariates: Any = None,
    sample_weight: Any = None,
    errors: Errors | None = None,
) -> Influence:
    """How much each row moves the fit, as ``GaussianMixture.influence``; values, status and covariates as in the fit."""
    return influence_of(self, Arguments(bounds_of(y, status, upper), None, sample_weight, covariates=covariates), errors)
