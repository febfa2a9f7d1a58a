"""Standard errors, intervals, diagnosis and influence of hidden Markov models with covariates, as ``sequence_inference.py``."""

from __future__ import annotations

from typing import Any

from estep.core.record import Array
from estep.estimators.diagnostic_methods import diagnosis_of, influence_of
from estep.estimators.inference_methods import errors_of, intervals_of
from estep.estimators.rows import Arguments
from estep.inference.errors import Errors
from estep.inference.findings import Diagnosis
from estep.inference.influence import Influence


def standard_errors(
    self: Any,
    X: Any,
    sample_weight: Any = None,
    method: str = "oakes",
    *,
    covariates: Any = None,
    y: Any = None,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
    clusters: Any = None,
    **options: Any,
) -> Errors:
    """Standard errors of every parameter as ``HMM.standard_errors``; with the ``covariates`` of the fit, where it had any."""
    arguments = Arguments(X, y, sample_weight, labels, None, None, covariates, sequence, lengths, time)
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
    covariates: Any = None,
    y: Any = None,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
    **settings: Any,
) -> dict[str, Array]:
    """Intervals as in ``GaussianMixture.confint``; rows, covariates, labels and sequences as in the fit."""
    arguments = Arguments(X, y, sample_weight, labels, None, None, covariates, sequence, lengths, time)
    return intervals_of(self, arguments, level, method, which, settings)


def diagnose(
    self: Any,
    X: Any,
    sample_weight: Any = None,
    *,
    covariates: Any = None,
    y: Any = None,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
    errors: Errors | None = None,
    n_sim: int = 199,
    seed: int = 0,
) -> Diagnosis:
    """What is wrong with the fit, as ``HMM.diagnose``; with the ``covariates`` of the fit, where it had any."""
    arguments = Arguments(X, y, sample_weight, labels, None, None, covariates, sequence, lengths, time)
    return diagnosis_of(self, arguments, errors, n_sim, seed)


def influence(
    self: Any,
    X: Any,
    sample_weight: Any = None,
    *,
    covariates: Any = None,
    y: Any = None,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
    errors: Errors | None = None,
) -> Influence:
    """How much each sequence moves the fit, as ``HMM.influence``; with the ``covariates`` of the fit, where it had any."""
    arguments = Arguments(X, y, sample_weight, labels, None, None, covariates, sequence, lengths, time)
    return influence_of(self, arguments, errors)
