"""Standard errors and intervals of a fitted estimator, as plain functions that the classes list beside ``summary``.

Each reads the rows as ``score`` does, with the row keywords of that class, and asks ``estep.inference``. The rows must be those
of the fit, in any order: standard errors at a maximum are those of the rows that it belongs to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from estep.core.record import Array
from estep.estimators.bootstrap_methods import BOOTSTRAP_INTERVALS, bootstrap_errors
from estep.estimators.bounds import bounds_of
from estep.estimators.clusters import clusters_of
from estep.estimators.rows import Arguments
from estep.estimators.seam import published, read_seen, worth_collapsing
from estep.estimators.warnings import ConvergenceWarning
from estep.inference import errors as asymptotic
from estep.inference import hypotheses
from estep.inference.bootstrap import Bootstrap
from estep.inference.errors import Errors
from estep.inference.hypotheses import ChiSquared
from estep.inference.information import METHODS
from estep.inference.intervals import INTERVALS, quantile
from estep.inference.words import keywords_of, known_options, known_word

OTHER_METHODS: dict[str, Callable[..., Any]] = {"bootstrap": bootstrap_errors}
"""More methods of ``standard_errors``, which refit (bootstraps): name -> function of (estimator, arguments, **options)."""
FIRST = ("errors", "level", "which")
SAME = 1e-7
"""Relative gap below which two log-likelihoods belong to the same rows."""
OTHER_INTERVALS: dict[str, Callable[..., dict[str, Array]]] = {**BOOTSTRAP_INTERVALS}
"""More methods of ``confint``: name -> function of (estimator, arguments, level, which, **options)."""


def errors_of(self: Any, arguments: Arguments, method: str, clusters: Any, options: Mapping[str, Any]) -> Any:
    """Standard errors by ``method`` of all that a user gave for the rows."""
    check_is_fitted(self, "result_")
    known_word(method, [*METHODS, *OTHER_METHODS])
    other = OTHER_METHODS.get(method)
    known_options(method, options, keywords_of(other, "self", "arguments") if other else ("clusters",))
    if other:
        return other(self, arguments, clusters=clusters, **options)
    model = self.result_.model
    rows = read_seen(self, arguments)
    codes = None if clusters is None else clusters_of(clusters, rows)
    few = rows.distinct() if codes is None and worth_collapsing(model.family, rows) else rows
    found = asymptotic.standard_errors(
        model,
        few.data(self.n_jobs),
        self.result_.params,
        method,
        clusters=codes,
        natural=lambda params: reported(self, params),
        like=getattr(self, "_reports", {}),
        quiet=True,
    )
    found = _told_of_other_rows(found, self.result_)
    asymptotic.tell(found, 5, ConvergenceWarning)
    return found


def _told_of_other_rows(found: Errors, result: Any) -> Errors:
    """Where something is amiss, whether that is because the rows are not those of the fit: said first."""
    if not found.cautions or not (words := other_rows(found, result)):
        return found
    return dataclasses.replace(found, cautions=(words, *found.cautions), notes=(words, *found.notes))


def other_rows(found: Errors, result: Any) -> str:
    """What to say where standard errors are of other rows than those of the fit; "" where they are of the same."""
    here, fitted = (found.point.n, found.point.loglik), (result.n, result.loglik)
    if np.allclose(here, fitted, rtol=SAME, atol=SAME):
        return ""
    return (
        f"these are not the rows of the fit, or come without its weights or labels: their log-likelihood is {here[1]:.6g} with "
        f"weight {here[0]:g}, the fit's was {fitted[1]:.6g} with {fitted[0]:g}; give those of the fit"
    )


def reported(self: Any, params: Any) -> dict[str, Array]:
    """Parameters by name, in the shapes of the fitted attributes."""
    result = dataclasses.replace(self.result_, params=params)
    own = getattr(self, "published_as", None)
    found = own(result) if own else published(self, result)
    names = getattr(self, "_reports", None) or found["params_"]
    return {name: np.asarray(found.get(f"{name}_", found["params_"].get(name)), dtype=float) for name in names}


def intervals_of(
    self: Any, arguments: Arguments, level: float, method: str, which: Any, settings: Mapping[str, Any]
) -> dict[str, Array]:
    """Intervals by ``method`` of all that a user gave for the rows."""
    settings = dict(settings)
    check_is_fitted(self, "result_")
    known_word(method, [*INTERVALS, *OTHER_INTERVALS])
    refits = method in OTHER_INTERVALS
    taken = keywords_of(bootstrap_errors, "self", "arguments") if refits else keywords_of(INTERVALS[method], *FIRST)
    known_options(method, settings, ["level", "which", "errors", *taken, *(() if refits else ("clusters",))])
    if refits:
        return OTHER_INTERVALS[method](self, arguments, level, which, **settings)
    errors, clusters = settings.pop("errors", "oakes"), settings.pop("clusters", None)
    if not isinstance(errors, Errors):
        known_word(errors, METHODS, "errors", ", or give what standard_errors returned")
    quantile(level)
    found = errors if isinstance(errors, Errors) else errors_of(self, arguments, errors, clusters, {})
    return INTERVALS[method](found, level, which, **settings)


def errors_told(self: Any, errors: Any, X: Any, row: Mapping[str, Any]) -> Any:
    """The standard errors that ``errors`` of a summary asks for: given, found now from ``X`` (True, or a method), or none."""
    if errors is None or errors is False:
        return None
    if isinstance(errors, Errors | Bootstrap):
        return errors
    if errors is not True:
        known_word(errors, [*METHODS, *OTHER_METHODS], "errors", ", True, or what standard_errors returned")
    if X is None:
        words = f"errors={errors!r} finds standard errors from the rows of the fit"
        raise ValueError(f"{words}; give X, or errors=fit.standard_errors(X)")
    return self.standard_errors(X, **row, **({} if errors is True else {"method": errors}))


def standard_errors(
    self: Any,
    X: Any,
    sample_weight: Any = None,
    method: str = "oakes",
    *,
    y: Any = None,
    labels: Any = None,
    by: Any = None,
    clusters: Any = None,
    **options: Any,
) -> Errors:
    """Standard errors of every parameter: a mapping from name to an array of the parameter's shape.

    Parameters
    ----------
    X, sample_weight, y, labels, by
        The rows of the fit, and what it was given with them.
    method : str
        "oakes" (observed information, any model), "louis", "sem", "opg", "sandwich" or "hessian".
    clusters : array (n,) or None
        For "sandwich" and "opg": rows of one cluster may depend on one another.

    Returns
    -------
    Errors
        A mapping, with ``reasons`` where an entry is NaN, ``covariance``, ``vcov()``, ``to_frame()`` and ``notes``.

    Raises
    ------
    ValueError, TypeError
        Unknown method; a method that needs what the model does not have, naming one that does not.
    """
    found: Errors = errors_of(self, Arguments(X, y, sample_weight, labels, by), method, clusters, options)
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
    by: Any = None,
    **settings: Any,
) -> dict[str, Array]:
    """Confidence intervals: a mapping from name to an array of the parameter's shape with lower and upper end on a last axis.

    Parameters
    ----------
    X, sample_weight, y, labels, by
        The rows of the fit, and what it was given with them.
    level : float
        Probability with which an interval covers.
    method : str
        "wald" (on the scale of logarithms for positive parameters, of log-odds for probabilities) or "profile" (likelihood).
    which : None, name, names, or dict from name to index, indices or mask
        Which parameters; a profile must be told.
    errors : str or Errors
        For "wald": the method of the standard errors ("oakes"), or these themselves; ``clusters`` for "sandwich".

    Raises
    ------
    ValueError
        Level out of range, unknown method or parameter.
    """
    return intervals_of(self, Arguments(X, y, sample_weight, labels, by), level, method, which, settings)


def gated_standard_errors(
    self: Any,
    X: Any,
    sample_weight: Any = None,
    method: str = "oakes",
    *,
    y: Any = None,
    labels: Any = None,
    by: Any = None,
    covariates: Any = None,
    clusters: Any = None,
    **options: Any,
) -> Errors:
    """Standard errors as in ``GaussianMixture.standard_errors``; with the ``covariates`` of the fit, where it had any."""
    arguments = Arguments(X, y, sample_weight, labels, by, covariates=covariates)
    found: Errors = errors_of(self, arguments, method, clusters, options)
    return found


def gated_confint(
    self: Any,
    X: Any,
    level: float = 0.95,
    method: str = "wald",
    which: Any = None,
    *,
    sample_weight: Any = None,
    y: Any = None,
    labels: Any = None,
    by: Any = None,
    covariates: Any = None,
    **settings: Any,
) -> dict[str, Array]:
    """Intervals as in ``GaussianMixture.confint``; with the ``covariates`` of the fit, where it had any."""
    arguments = Arguments(X, y, sample_weight, labels, by, covariates=covariates)
    return intervals_of(self, arguments, level, method, which, settings)


def regression_standard_errors(
    self: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    method: str = "oakes",
    *,
    labels: Any = None,
    offset: Any = None,
    by: Any = None,
    clusters: Any = None,
    **options: Any,
) -> Errors:
    """Standard errors as in ``GaussianMixture.standard_errors``; ``y`` are the responses, the rest is as in the fit."""
    found: Errors = errors_of(self, Arguments(X, y, sample_weight, labels, by, offset), method, clusters, options)
    return found


def regression_confint(
    self: Any,
    X: Any,
    y: Any = None,
    level: float = 0.95,
    method: str = "wald",
    which: Any = None,
    *,
    sample_weight: Any = None,
    labels: Any = None,
    offset: Any = None,
    by: Any = None,
    **settings: Any,
) -> dict[str, Array]:
    """Intervals as in ``GaussianMixture.confint``; ``y`` are the responses, ``offset`` and the rest as in the fit."""
    return intervals_of(self, Arguments(X, y, sample_weight, labels, by, offset), level, method, which, settings)


def censored_standard_errors(
    self: Any,
    y: Any,
    status: Any = None,
    *,
    upper: Any = None,
    covariates: Any = None,
    sample_weight: Any = None,
    method: str = "oakes",
    clusters: Any = None,
    **options: Any,
) -> Errors:
    """Standard errors as in ``GaussianMixture.standard_errors``; values, status and covariates as in the fit."""
    arguments = Arguments(bounds_of(y, status, upper), None, sample_weight, covariates=covariates)
    found: Errors = errors_of(self, arguments, method, clusters, options)
    return found


def censored_confint(
    self: Any,
    y: Any,
    status: Any = None,
    *,
    upper: Any = None,
    covariates: Any = None,
    sample_weight: Any = None,
    level: float = 0.95,
    method: str = "wald",
    which: Any = None,
    **settings: Any,
) -> dict[str, Array]:
    """Intervals as in ``GaussianMixture.confint``; values, status and covariates as in the fit."""
    arguments = Arguments(bounds_of(y, status, upper), None, sample_weight, covariates=covariates)
    return intervals_of(self, arguments, level, method, which, settings)


def wald_test(fit: Any, X: Any, hypothesis: Callable[[Mapping[str, Array]], Any], *rows: Any, **keywords: Any) -> ChiSquared:
    """Whether ``hypothesis(parameters)``, an array of numbers, is zero: ``r' [R V R']^-1 r`` of one fit.

    Parameters
    ----------
    fit : estimator
        A fitted estimator with ``standard_errors``, without the restriction.
    X, *rows, **keywords
        As for its ``standard_errors``; ``method="sandwich"`` (with ``clusters``) makes the test robust.
    hypothesis : function
        From the mapping of parameters by name to what should be zero.

    Raises
    ------
    ValueError
        Where the function moves with what is not identified, or with nothing.

    Examples
    --------
    >>> import estep
    >>> X = np.array([[0.1], [1.2], [-0.7], [0.4], [-1.3], [0.9]])
    >>> fit = estep.MultivariateNormal().fit(X)
    >>> round(estep.wald_test(fit, X, lambda p: p["mean"]).statistic, 4)  # n mean^2 / variance
    0.0793
    """
    return hypotheses.wald_test(fit.standard_errors(X, *rows, **keywords), hypothesis)


def score_test(
    restricted: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    release: Any = None,
    method: str = "oakes",
    **keywords: Any,
) -> ChiSquared:
    """Whether the constraints of a restricted fit (``fixed``, ``tied``) hold: ``s' I^-1 s`` of the model without them.

    Parameters
    ----------
    restricted : estimator
        Fitted with the constraints.
    X, y, sample_weight, labels, by, offset, covariates
        The rows of the fit, and what it was given with them.
    release : None, name or names
        The parameters whose constraints are tested; None is all that are constrained.
    method : str
        Information at the restricted maximum: "oakes" or "opg".

    Raises
    ------
    ValueError
        Where nothing is constrained; where the restriction lies at the end of a range.

    Examples
    --------
    >>> import estep
    >>> X = np.array([[1.0], [3.0], [4.0], [0.0]])
    >>> fit = estep.Mixture(estep.Poisson(), 1, fixed=dict(rates=[[1.0]])).fit(X)
    >>> round(estep.score_test(fit, X, method="oakes").statistic, 4)  # (sum - n)^2 / sum x, in log rates
    4.0
    """
    check_is_fitted(restricted, "result_")
    arguments = Arguments(X, y, sample_weight, **keywords)
    model = restricted.result_.model
    rows = read_seen(restricted, arguments)
    few = rows.distinct() if worth_collapsing(model.family, rows) else rows
    return hypotheses.score_test(model, few.data(restricted.n_jobs), restricted.result_.params, release, method)
