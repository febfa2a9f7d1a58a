"""Mixtures of regressions as a scikit-learn estimator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin, with_callbacks

from estep.estimators import diagnostic_methods as diagnostics
from estep.estimators import estimate_methods as estimates
from estep.estimators import inference_methods as inference
from estep.estimators import methods, own_pictures, streaming
from estep.estimators import regression_methods as regression
from estep.estimators import regression_residuals as residuals
from estep.estimators.columns import table_of
from estep.estimators.regression_starts import regression_starts
from estep.estimators.responses import Frame, read_design
from estep.estimators.seam import Arguments, Spec, fit_latent
from estep.estimators.settings import check_settings
from estep.families.gamma_regression import GammaRegression
from estep.families.linear_regression import LinearRegression
from estep.families.logistic_regression import LogisticRegression
from estep.families.multinomial_regression import MultinomialRegression
from estep.families.poisson_regression import PoissonRegression

FAMILIES: dict[str, Callable[..., Any]] = {
    "linear": LinearRegression,
    "logistic": LogisticRegression,
    "poisson": PoissonRegression,
    "gamma": GammaRegression,
    "multinomial": MultinomialRegression,
}


def family_of(self: Any, frame: Frame) -> Any:
    """The regression that ``family`` stands for, with the names of the design's columns; raises ValueError and TypeError."""
    if isinstance(self.family, str):
        if self.family not in FAMILIES:
            raise ValueError(f"family={self.family!r} is unknown; choose one of {sorted(FAMILIES)} or give a regression family")
        return FAMILIES[self.family](intercept=frame.intercept, ridge=float(self.ridge), columns=frame.names)
    if isinstance(self.family, type) or not (hasattr(self.family, "means") and hasattr(self.family, "log_density")):
        raise TypeError(
            f"family must be one of {sorted(FAMILIES)} or a regression such as LinearRegression(), got {self.family!r}"
        )
    if self.ridge != 0 or self.intercept is not True:
        raise ValueError("ridge and intercept belong to the family where it is given as an object; set them there")
    known = {f.name for f in dataclasses.fields(self.family)}
    return dataclasses.replace(self.family, columns=frame.names) if "columns" in known else self.family


def begun(self: Any, X: Any) -> tuple[Any, Frame]:
    """The table and its design, before the family is known; what an earlier fit learned is forgotten."""
    for name in ("formula_", "gate_formula_", "classes_"):
        self.__dict__.pop(name, None)
    X = table_of(X)
    return X, read_design(self, X, reset=True)


class MixtureOfRegressions(CallbackSupportMixin, BaseEstimator):
    """Mixture of regressions: each component has coefficients of its own, and which one a row follows is hidden.

    ``p(y | x) = sum_k w_k p(y | b_k + beta_k' x + offset)``

    Parameters
    ----------
    family : str or regression family
        "linear" (normal errors), "logistic" (0 and 1, or successes and failures (n, 2)), "poisson", "gamma" (log link),
        "multinomial" (classes), or an object such as ``estep.families.PoissonRegression()``.
    n_components : int
        Number of regressions.
    formula : str or None
        Such as ``"y ~ a + log(b)"`` on a DataFrame (needs the extra ``estep[formula]``); its intercept counts.
        Rows of a file or a cluster are brought here for it, as one table.
    intercept : bool
        Whether each component has an intercept, where there is no formula.
    ridge : float
        A normal prior on coefficients (not on intercepts), mean zero and precision ``ridge``, for normal and gamma responses in
        units of 1 / variance and shape: imagined squares of each column with response zero, as in ridge regression.
    n_init, init, algorithm, accelerate, search, progressive, prior, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``Mixture``. Half of the starts under ``init="auto"`` are from small random sets of rows. Parameters are named
        ``weights, coefs (k, p), intercepts (k,)`` and ``scales`` (linear: standard deviations) or ``shapes`` (gamma).

    Attributes
    ----------
    coefs_ (k, p), intercepts_ (k,), scales_ or shapes_ (k,), weights_ (k,)
        With classes ``coefs_`` (k, m, p) and ``intercepts_`` (k, m), those of the first class zero.
    classes_
        The classes of a logistic or multinomial response.
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How it ended; see ``summary()``.

    Notes
    -----
    A row whose response is NaN counts for nothing; covariates must be complete. ``score`` is the mean log-likelihood, as for
    every estimator here, and not R^2.

    Source: DeSarbo & Cron (1988), Journal of Classification 5:249; Wedel & DeSarbo (1995), Journal of Classification 12:21.

    Examples
    --------
    >>> import numpy as np, estep
    >>> x = np.tile(np.linspace(0, 1, 20), 2)
    >>> y = np.where(np.arange(40) < 20, 1 + 2 * x, 4 - 3 * x) + 0.01 * np.cos(np.arange(40.0) ** 2)
    >>> fit = estep.MixtureOfRegressions(n_components=2, random_state=0).fit(x[:, None], y)
    >>> sorted(fit.coefs_.ravel().round(1).tolist())
    [-3.0, 2.0]
    """

    def __init__(
        self,
        family: Any = "linear",
        n_components: int = 1,
        *,
        formula: str | None = None,
        intercept: bool = True,
        ridge: float = 0.0,
        n_init: int = 20,
        init: Any = "auto",
        algorithm: Any = "em",
        accelerate: Any = "auto",
        search: Any = None,
        progressive: Any = "auto",
        prior: Any = "auto",
        fixed: Any = None,
        tied: Any = None,
        tol: float = 1e-8,
        max_iter: int = 1000,
        random_state: Any = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.family = family
        self.n_components = n_components
        self.formula = formula
        self.intercept = intercept
        self.ridge = ridge
        self.n_init = n_init
        self.init = init
        self.algorithm = algorithm
        self.accelerate = accelerate
        self.search = search
        self.progressive = progressive
        self.prior = prior
        self.fixed = fixed
        self.tied = tied
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, offset: Any = None, by: Any = None
    ) -> MixtureOfRegressions:
        """Fit to responses ``y`` at covariates ``X``.

        Parameters
        ----------
        X : array or DataFrame (n, p)
            Covariates, complete wherever the response is known.
        y : array (n,) or None
            Responses, NaN where missing; None where the formula names them.
        sample_weight : array (n,) or None
            Frequencies: 2 is seen twice, 0 is absent.
        labels : sequence or boolean array (n, k)
            For each row a component, a set of permitted components, or None.
        offset : array (n,) or None
            Known part of the linear predictor, such as a log exposure.
        by : array (n,) or None
            Groups with weights of their own and shared regressions.

        Raises
        ------
        ValueError
            Naming the argument, what was found and what to do: collinear columns by name, improper responses by row.
        """
        check_settings(self)
        X, frame = begun(self, X)
        spec = Spec(family_of(self, frame), self.n_components, starts=regression_starts)
        fitted: MixtureOfRegressions = fit_latent(self, Arguments(X, y, sample_weight, labels, by, offset), spec)
        return fitted

    _read = regression.read
    _blank_row = regression.blank_row
    predict = regression.predict
    predict_component = regression.predict_component
    predict_proba = regression.posterior
    score_samples = regression.score_samples
    score = regression.score
    bic = regression.bic
    aic = regression.aic
    icl = regression.icl
    icl_entropy = regression.icl_entropy
    sample = regression.sample
    summary = methods.summary
    standard_errors = inference.regression_standard_errors
    confint = inference.regression_confint
    diagnose = diagnostics.regression_diagnose
    influence = diagnostics.regression_influence
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    plot = own_pictures.plot_regressions
    pseudo_residuals = residuals.pseudo_residuals
    plot_residuals = residuals.plot_residuals
    save = regression.save
    partial_fit = streaming.partial_fit

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True  # not tagged as a regressor, for those have no predict_proba
        return tags
