"""The censored normal, and its regression, as an estimator: values of which some are known only to lie in an interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from estep.core.record import Array
from estep.core.result import Result
from estep.estimators import diagnostic_methods as diagnostics
from estep.estimators import estimate_methods as estimates
from estep.estimators import inference_methods as inference
from estep.estimators import methods, own_pictures, streaming
from estep.estimators.bounds import bounds_of
from estep.estimators.columns import column_names, own_names, read_matrix, table_of
from estep.estimators.rows import Arguments, Rows, Target, rows_of
from estep.estimators.seam import Spec, fit_latent, published
from estep.families.censored import Censored
from estep.families.linear_regression import LinearRegression
from estep.families.normal import Normal
from estep.families.normal_shapes import numbers

PLAIN = {"mean": "means", "std": "covariances"}
PUBLIC = ("mean_", "std_", "means_", "covariances_", "coefs_", "intercept_", "intercepts_", "scale_", "scales_")
SHAPES: dict[str, Any] = {"mean": (1, -1), "std": (1, -1), "coefs": (1, -1), "intercept": -1, "scale": -1}
REGRESSION = {"coefs": "coefs", "intercept": "intercepts", "scale": "scales"}


class CensoredNormal(CallbackSupportMixin, BaseEstimator):
    """Mean and standard deviation of normal values some of which are censored; with covariates, the censored regression.

    ``y ~ N(mu, sigma^2)``, ``mu`` one number or ``intercept + coefs' x`` (Tobit model), by maximum likelihood: a known value
    counts with its density, an interval with its probability.

    Parameters
    ----------
    init : "auto" or dict
        ``dict(mean=..., std=...)``, or with covariates ``dict(coefs=(p,), intercept=..., scale=...)``; used as given.
    fixed : dict or None
        Any of the same, held at these values.
    algorithm, accelerate, prior, tol, max_iter, random_state, n_jobs, progress
        As in ``Mixture``.

    Attributes
    ----------
    mean_, std_ : float
        Without covariates (also ``means_``, ``covariances_``).
    coefs_ (p,), intercept_, scale_, covariate_names_
        With covariates; ``scale_`` is the standard deviation of the errors.
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How it ended; see ``summary()``.

    Source: Little & Rubin (2002), section 11.6; Schmee & Hahn (1979), Technometrics 21:417; Tobin (1958), Econometrica 26:24.

    Examples
    --------
    >>> import numpy as np, estep
    >>> log_days = [1.613, 1.644, 1.663, 1.732, 1.740, 1.763, 1.778, 1.778, 1.778, 1.778]  # Gupta (1952): the first 7 of 10
    >>> status = ["exact"] * 7 + ["right"] * 3
    >>> fit = estep.CensoredNormal().fit(log_days, status)
    >>> round(fit.mean_, 4), round(fit.std_, 4), round(float(fit.impute(log_days, status)[-1]), 2)
    (1.7422, 0.0791, 1.83)
    """

    n_components: ClassVar[int] = 1
    n_init: ClassVar[int] = 1
    tied: ClassVar[None] = None

    def __init__(
        self,
        *,
        init: Any = "auto",
        algorithm: Any = "em",
        accelerate: Any = "auto",
        prior: Any = "auto",
        fixed: Any = None,
        tol: float = 1e-10,
        max_iter: int = 1000,
        random_state: Any = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.init = init
        self.algorithm = algorithm
        self.accelerate = accelerate
        self.prior = prior
        self.fixed = fixed
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    @property
    def title(self) -> str:
        """The model in words, for summaries and reports."""
        return "Censored normal regression" if hasattr(self, "covariate_names_") else "Censored normal"

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(
        self, y: Any, status: Any = None, *, upper: Any = None, covariates: Any = None, sample_weight: Any = None
    ) -> CensoredNormal:
        """Fit to values or bounds.

        Parameters
        ----------
        y : array (n, 2) or (n,)
            Lower and upper bounds, equal where the value is known, infinite or NaN where a side is open, both NaN where
            nothing is known; or values, whose ``status`` says what they are.
        status : array (n,) or None
            For values: 1 or "exact", 0 or "right" (known to lie above), 2 or "left" (below), 3 or "interval" (up to ``upper``).
        upper : array (n,) or None
            Upper ends of intervals.
        covariates : array or DataFrame (n, p) or None
            Covariates of the mean, complete.
        sample_weight : array (n,) or None
            Frequencies: 2 is seen twice, 0 is absent.

        Raises
        ------
        ValueError
            Naming argument, row and remedy; where the data admit no maximum (every value censored on one side, one point that
            agrees with everything) saying why.
        """
        covariates = None if covariates is None else table_of(covariates)
        family, names = _family(covariates)
        bounds = bounds_of(y, status, upper)
        for name in ("covariate_names_", "feature_names_in_", *PUBLIC):
            self.__dict__.pop(name, None)
        settings = {"init": _inner(self.init, names, "init"), "fixed": _inner(self.fixed, names, "fixed")}
        arguments = Arguments(bounds, None, sample_weight, covariates=covariates)
        fit_latent(self, arguments, Spec(family, 1, settings=settings))
        for name, value in self.published_as(self.result_).items():
            setattr(self, name, value)
        return self

    def predict(self, covariates: Any) -> Array:
        """Expected values (n,) at ``covariates``: of the values themselves, censored or not."""
        design = self._design(covariates, reset=False)
        if design is None:
            raise ValueError("covariates is None; predict gives expected values at covariates, and without them there is mean_")
        return np.asarray(design @ self.coefs_ + self.intercept_)

    def impute(self, y: Any, status: Any = None, *, upper: Any = None, covariates: Any = None) -> Array:
        """Values (n,), censored and missing ones at their conditional expectations given their bounds."""
        arguments = Arguments(bounds_of(y, status, upper), None, None, covariates=covariates)
        rows, seen = methods.explain(self, arguments)
        family: Censored = self.result_.model.family
        return family.impute(self.result_.params.family, rows.x, seen.resp)[:, 0]

    def score_samples(self, y: Any, status: Any = None, *, upper: Any = None, covariates: Any = None) -> Array:
        """Log density of each value, log probability of each interval, (n,), in nats."""
        return methods.explain(self, Arguments(bounds_of(y, status, upper), covariates=covariates))[1].log_density

    def score(
        self, y: Any, status: Any = None, *, upper: Any = None, covariates: Any = None, sample_weight: Any = None
    ) -> float:
        """Mean log-likelihood per unit weight, in nats."""
        return methods.score_of(self, Arguments(bounds_of(y, status, upper), None, sample_weight, covariates=covariates))

    def bic(self, y: Any, status: Any = None, *, upper: Any = None, covariates: Any = None, sample_weight: Any = None) -> float:
        """Bayesian information criterion, ``-2 L + p log n``; lower is better."""
        return methods.bic_of(self, Arguments(bounds_of(y, status, upper), None, sample_weight, covariates=covariates))

    def aic(self, y: Any, status: Any = None, *, upper: Any = None, covariates: Any = None, sample_weight: Any = None) -> float:
        """Akaike information criterion, ``-2 L + 2 p``; lower is better."""
        return methods.aic_of(self, Arguments(bounds_of(y, status, upper), None, sample_weight, covariates=covariates))

    summary = methods.summary
    standard_errors = inference.censored_standard_errors
    confint = inference.censored_confint
    diagnose = diagnostics.censored_diagnose
    influence = diagnostics.censored_influence
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    plot = own_pictures.plot_censored
    save = methods.save
    partial_fit = streaming.partial_fit_values

    def published_as(self, result: Result) -> dict[str, Any]:
        """The fitted attributes that follow from a result."""
        found, params = published(self, result), result.params.family
        if hasattr(params, "coefs"):
            own = {"coefs_": params.coefs[0], "intercept_": float(params.intercepts[0]), "scale_": float(params.scales[0])}
            return {**found, **own}
        return {**found, "mean_": float(params.means[0, 0]), "std_": float(np.sqrt(params.covariances[0].item()))}

    @property
    def _reports(self) -> Mapping[str, str]:
        return REGRESSION if hasattr(self, "covariate_names_") else PLAIN

    def _read(self, arguments: Arguments, target: Target, *, reset: bool) -> Rows:
        design = self._design(arguments.covariates, reset=reset)
        bounds = np.asarray(arguments.X, dtype=float)
        if design is not None and len(design) != len(bounds):
            raise ValueError(f"covariates has {len(design)} rows, but y has {len(bounds)}; give one row for each value")
        x: Any = bounds if design is None else (design, bounds)
        return rows_of(self, dataclasses.replace(arguments, y=None), target, x=x, reset=reset)

    def _design(self, covariates: Any, *, reset: bool) -> Array | None:
        if not reset:
            check_is_fitted(self, "result_")
            wanted = hasattr(self, "covariate_names_")
            if wanted != (covariates is not None):
                told = "covariates is missing: the mean depends on" if wanted else "covariates was given, but the fit had none:"
                raise ValueError(f"{told} {'its covariates; give them' if wanted else 'leave it out'}")
        if covariates is None:
            self.n_features_in_ = 2
            return None
        design = np.asarray(read_matrix(self, covariates, reset), dtype=float)
        if reset:
            self.covariate_names_ = np.array(column_names(covariates), dtype=str)
        return design

    def _blank_row(self) -> Any:
        bounds = np.full((1, 2), np.nan)
        return (np.zeros((1, self.n_features_in_)), bounds) if hasattr(self, "covariate_names_") else bounds

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())


def _family(covariates: Any) -> tuple[Censored, Mapping[str, str]]:
    if covariates is None:
        return Censored(Normal("diag")), PLAIN
    return Censored(LinearRegression(columns=tuple(own_names(covariates) or ()))), REGRESSION


def _inner(given: Any, names: Mapping[str, str], argument: str) -> Any:
    """A user's dict with the family's names and a leading axis for its one component."""
    if not isinstance(given, Mapping):
        return given
    if unknown := sorted(set(given) - set(names)):
        raise ValueError(f"{argument} names {unknown}; this model has {sorted(names)}")
    inside = {}
    for name, value in given.items():
        array = numbers(value, f"{argument}[{name!r}]")
        inside[names[name]] = array.reshape(SHAPES[name]) ** (2 if name == "std" else 1)
    return inside
