"""Wald, score and likelihood ratio tests of restrictions on a model with a fixed number of components.

    wald     r(theta_hat)' [R V R']^-1 r(theta_hat),  R = dr/dphi'       one fit, the larger; V robust where its errors are
    score    s' I^-1 s  at the restricted maximum                        one fit, the smaller; s is the larger model's score
    ratio    2 (l_large - l_small)                                       both fits

Each is chi-squared with as many degrees of freedom as there are restrictions, where these lie inside the parameter space and
leave every parameter identified. The number of components is no such restriction: see a bootstrap of the likelihood ratio.

Source: Cox & Hinkley (1974), Theoretical Statistics, sections 9.2 and 9.3; McLachlan & Peel (2000), Finite Mixture Models, 6.4.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.core.support import Constraints
from estep.inference.boundary import at_ends, holding_ends, user_name
from estep.inference.errors import Errors
from estep.inference.free_point import look
from estep.inference.identified import directions
from estep.inference.information import METHODS
from estep.inference.words import known_word


@dataclasses.dataclass(frozen=True)
class ChiSquared:
    """A chi-squared test: its ``statistic``, degrees of freedom ``dof``, p value and name.

    >>> round(ChiSquared("ratio", 3.841459, 1).p_value, 4)
    0.05
    """

    kind: str
    statistic: float
    dof: int

    @property
    def p_value(self) -> float:
        """Probability of a statistic at least as large where the restrictions hold."""
        from scipy.stats import chi2

        return float(chi2.sf(self.statistic, self.dof))

    def __str__(self) -> str:
        return f"{self.kind} test: chi2({self.dof}) = {self.statistic:.4f}, p = {self.p_value:.4g}"


def wald_test(errors: Errors, hypothesis: Callable[[Mapping[str, Array]], Any]) -> ChiSquared:
    """Whether ``hypothesis(parameters)``, an array of numbers, is zero.

    Parameters
    ----------
    errors : Errors
        Of the fit without the restriction; with method "sandwich" (and clusters) the test is robust.
    hypothesis : function
        From the mapping of parameters, by name, to what should be zero, such as ``lambda p: p["means"][0] - p["means"][1]``.

    Raises
    ------
    ValueError
        Where the function moves with what is not identified, or with nothing.
    """
    value, covariance = errors.of(hypothesis)
    if not np.isfinite(covariance).all():
        raise ValueError("hypothesis moves with parameters that are not identified, so it cannot be tested; see errors.notes")
    size, axes = np.linalg.eigh(covariance)
    kept = size > 1e-10 * max(float(size.max(initial=0.0)), np.finfo(float).tiny)
    if not kept.any():
        raise ValueError("hypothesis moves with no free parameter, so there is nothing to test")
    inside = axes.T @ value
    if np.abs(inside[~kept]).max(initial=0.0) > 1e-6 * np.sqrt(size.max()):
        raise ValueError("hypothesis contradicts itself: a combination of its numbers has no variance and is not zero")
    return ChiSquared("Wald", float((inside[kept] ** 2 / size[kept]).sum()), int(kept.sum()))


def score_test(model: Any, data: Any, params: Any, release: Any = None, method: str = "oakes") -> ChiSquared:
    """Whether the constraints of a restricted fit hold: the score of the model without them, at its maximum.

    Parameters
    ----------
    model, data, params
        The restricted model (with constraints), its rows and its maximum (``result.model``, ``result.params``).
    release : None, name or names
        The parameters whose constraints are tested; None is all that are constrained.
    method : str
        Information at the restricted maximum: "oakes", "opg", ... as in ``standard_errors``.

    Raises
    ------
    ValueError
        Where nothing is constrained or released, where the restriction lies at the end of a range, and where the information is
        not positive there.
    """
    known_word(method, METHODS)
    constraints = getattr(model, "constraints", None)
    if not isinstance(constraints, Constraints) or not constraints:
        raise ValueError("score_test: the model has no constraints (fixed, tied), so there is nothing to test")
    names = (
        {*constraints.fixed, *constraints.tied} if release is None else {release} if isinstance(release, str) else {*release}
    )
    if unknown := names - {*constraints.fixed, *constraints.tied}:
        known = sorted({*constraints.fixed, *constraints.tied})
        raise ValueError(f"release names {sorted(unknown)}, which the model does not constrain; constrained are {known}")
    fixed = {n: v for n, v in constraints.fixed.items() if n not in names}
    tied = {n: v for n, v in constraints.tied.items() if n not in names}
    larger = dataclasses.replace(model, constraints=Constraints(fixed, tied))
    dof = larger.support(params).count - model.support(params).count
    if dof <= 0:
        raise ValueError("score_test: releasing these constraints frees no parameter")
    ends = at_ends(larger, params, larger.support(params))
    if freed := sorted(name for name in ends if user_name(name) in names):
        raise ValueError(f"score_test: {freed} are at an end of their range, where the score has no chi-squared law")
    point = look(holding_ends(larger, params, ends), data, params)
    found = METHODS[method](point, None)
    ways = directions(found.observed, point.complete, np.zeros(point.p), point.n, found.asymmetry)
    if ways.rising.shape[1]:
        raise ValueError("score_test: the information is not positive at the restricted maximum; take method='opg'")
    return ChiSquared("score", float(point.score @ ways.inverse @ point.score), dof)


def lr_test(small: Any, large: Any) -> ChiSquared:
    """Likelihood ratio test of a fit ``small`` within a fit ``large`` of the same rows: estimators or results.

    Raises
    ------
    ValueError
        Where they were fitted to different rows, differ in the number of components, or are in the wrong order.
    """
    low, high = (_result_of(fit, name) for fit, name in ((small, "small"), (large, "large")))
    if abs(low.n - high.n) > 1e-9 * max(low.n, high.n):
        raise ValueError(f"lr_test: the fits are of rows of weight {low.n:g} and {high.n:g}; fit both to the same rows")
    sizes = [getattr(fit.model, "k", None) for fit in (low, high)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"lr_test: {sizes[0]} and {sizes[1]} components. The ratio is not chi-squared then, as the smaller model lies at "
            "the end of the larger one's range; use a parametric bootstrap of the likelihood ratio"
        )
    for fit in (low, high):
        if fit.model.prior is not None:
            raise ValueError(
                "lr_test: a fit has a prior, so its parameters do not maximise the likelihood; fit with prior=None"
            )
    dof, ratio = high.n_free - low.n_free, 2.0 * (high.loglik - low.loglik)
    if dof <= 0:
        raise ValueError(
            f"lr_test: large has {high.n_free} free parameters and small {low.n_free}; small must be a special case of large"
        )
    if ratio < -1e-6 * (1.0 + abs(high.loglik)):
        raise ValueError(
            f"lr_test: small is {-ratio / 2:.4g} nats higher than large, so large is not at its maximum, or small not within "
            "it; fit large again from more starts, or from small's parameters"
        )
    return ChiSquared("likelihood ratio", max(float(ratio), 0.0), int(dof))


def _result_of(fit: Any, name: str) -> Any:
    """The result of a fitted estimator, or the result itself; raises TypeError."""
    found = getattr(fit, "result_", fit)
    if hasattr(found, "loglik") and hasattr(found, "n_free"):
        return found
    what = f"{type(fit).__name__}, which is not fitted; call its fit first" if hasattr(fit, "fit") else f"{type(fit).__name__}"
    raise TypeError(f"lr_test: {name} must be a fitted estimator or a result, got {what}")
