"""Mixtures as scikit-learn estimators: a mixture of any family, and the Gaussian mixture."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks

from estep.core.record import Array
from estep.estimators import diagnostic_methods as diagnostics
from estep.estimators import estimate_methods as estimates
from estep.estimators import inference_methods as inference
from estep.estimators import methods, pictures, streaming
from estep.estimators.seam import Arguments, Spec, fit_latent
from estep.estimators.settings import check_settings
from estep.families.noise import WithNoise
from estep.families.normal import Normal


class Mixture(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Mixture of ``n_components`` components of any family.

    ``p(x) = sum_k w_k p(x | theta_k)``

    Parameters
    ----------
    family : Family
        How a row looks once its component is known, such as ``estep.Normal("VEV")`` or a class of your own.
    n_components : int
        Number of components.
    n_init : int
        Starts: short runs from each, the best max(3, n_init/3) to convergence. One where ``init`` is given.
    init : str, dict or array
        "auto", a rule ("hierarchical", "kmeans++", "farthest_first", "random_rows", "random", "quantiles", "ward"), a dict of
        starting parameters, labels (n,) or responsibilities (n, k).
    algorithm : str or Variant
        "em", another preset ("annealed", "cem", "ecm", "gem", "incremental", "mcem", "online", "regularized", "saem", "sem",
        "sparse", ...: see the page on algorithms) or a point on the five axes.
    accelerate : str
        "auto" (leap where plain EM is slow), "none", "anderson", "quasi_newton", "newton", "squarem" or "parabolic".
    search : str or None
        What is done beyond the starts: "random_swap", "split_merge", "greedy" or "short_runs"; never ends below them.
    progressive : "auto", bool or int
        Whether short runs are made on a part of the rows, which grows before the first pass over all of them: where rows are
        many, always, never, or with so many rows in the first part. Where a fit ends is decided by all rows.
    prior : "auto", "default", None or dict
        "auto" is maximum likelihood, with the default prior (and a warning) only where every start collapses.
    fixed, tied : dict or None
        Entries that do not move (NaN = free) and entries that share a value (equal integers), by parameter name.
    tol : float
        Stop when Aitken's projection of what is left to gain is at most this many nats per unit weight.
    max_iter : int
        Cap on passes of a run.
    random_state, n_jobs, progress
        Seed; threads (None: all processors); whether to show a progress line.

    Attributes
    ----------
    weights_ : array (k,), or (g, k) with a row for each group of ``by``
    params_ : dict of every parameter; each is also an attribute with an underscore, where its name can be one.
    levels_ : list of arrays, the levels of each column that was read as categories (None for numbers), where there are some
    groups_ : array (g,) of the groups of ``by``, where it was given
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How it ended; see ``summary()``.

    Examples
    --------
    >>> import numpy as np, estep
    >>> X = np.array([[0.0], [0.2], [0.1], [5.0], [5.2], [5.1]])
    >>> estep.Mixture(estep.Normal("EII"), 2, random_state=0).fit(X).predict(X).tolist()
    [0, 0, 0, 1, 1, 1]
    """

    def __init__(
        self,
        family: Any = None,
        n_components: int = 1,
        *,
        n_init: int = 10,
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
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None) -> Mixture:
        """Fit to the rows of ``X``; see the class for the settings.

        Parameters
        ----------
        X : array, DataFrame, Arrow table or csr_array (n, d)
            Rows; NaN marks a missing entry where the family admits it. Columns that the family reads as categories may hold
            text, and other columns numbers. Sparse only where the family counts.
        y : array (n,) or None
            Known classes; -1, NaN or None is unlabelled. Ignored with one component.
        sample_weight : array (n,) or None
            Frequencies: 2 is seen twice, 0 is absent.
        labels : sequence or boolean array (n, k)
            Sets of permitted classes.
        by : array (n,) or None
            The group of each row: components are shared, weights are each group's own.

        Raises
        ------
        ValueError
            Naming the argument, what was found and what to do.
        """
        family = Normal() if self.family is None else self.family
        fitted: Mixture = fit_latent(self, Arguments(X, y, sample_weight, labels, by), Spec(family, self.n_components))
        return fitted

    fit_predict = methods.fit_predict
    predict = methods.predict
    predict_proba = methods.predict_proba
    score_samples = methods.score_samples
    score = methods.score
    sample = methods.sample
    bic = methods.bic
    aic = methods.aic
    icl = methods.icl
    icl_entropy = methods.icl_entropy
    summary = methods.summary
    standard_errors = inference.standard_errors
    confint = inference.confint
    diagnose = diagnostics.diagnose
    influence = diagnostics.influence
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    plot = pictures.plot
    animate = pictures.animate
    save = methods.save
    partial_fit = streaming.partial_fit

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        return methods.tags(super().__sklearn_tags__(), self.family)


class GaussianMixture(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Gaussian mixture with mclust's fourteen covariance structures.

    ``p(x) = sum_k w_k N(x; mu_k, Sigma_k) [+ w_0 / V]``

    Missing values, sample weights, partial labels, fixed and tied parameters and priors work alone and together.

    Parameters
    ----------
    n_components : int
        Number of Gaussian components.
    covariance_type : str
        "full" "tied" "diag" "spherical", or a code "EII" ... "VVV" (volume, shape, orientation: equal, varying, identity).
    noise : bool or float
        Add a uniform noise component over the data's volume (True), or with that density (1 / volume).
    prior : "auto", "default", None or dict
        "default" is the weak conjugate prior of Fraley & Raftery (2007); a dict overrides its ``mean, mean_strength, scale,
        dof`` and sets ``weights`` (Dirichlet); None is strict maximum likelihood; "auto" is maximum likelihood, with the
        default prior (and a warning) only where every start collapses.
    n_init, init, algorithm, accelerate, search, progressive, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``Mixture``.

    Attributes
    ----------
    weights_ (k,), means_ (k, d), covariances_, precisions_
        In scikit-learn's shapes for its names, (k, d, d) for codes; noise has the last weight.
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How it ended; see ``summary()``.

    Examples
    --------
    >>> import numpy as np, estep
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.normal(size=(50, 2)), 6 + rng.normal(size=(50, 2))])
    >>> fit = estep.GaussianMixture(2, covariance_type="EII", random_state=0).fit(X)
    >>> fit.converged_, np.bincount(fit.predict(X)).tolist()
    (True, [50, 50])
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        noise: Any = False,
        n_init: int = 10,
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
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.noise = noise
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
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None) -> GaussianMixture:
        """Fit to the rows of ``X``; see the class for the settings.

        Parameters
        ----------
        X : array or DataFrame (n, d)
            Rows; NaN marks a missing entry (exact under missing at random).
        y : array (n,) or None
            Known classes; -1, NaN or None is unlabelled. Ignored with one component.
        sample_weight : array (n,) or None
            Frequencies: 2 is seen twice, 0 is absent.
        labels : sequence or boolean array (n, k)
            Sets of permitted classes.
        by : array (n,) or None
            The group of each row: components are shared, weights are each group's own.

        Raises
        ------
        ValueError
            Naming the argument, what was found and what to do.
        """
        check_settings(self)
        family: Any = Normal(self.covariance_type)
        if self.noise is not False:
            family = WithNoise(family, None if self.noise is True else float(self.noise))
        spec = Spec(family, self.n_components, noise=self.noise is not False)
        fitted: GaussianMixture = fit_latent(self, Arguments(X, y, sample_weight, labels, by), spec)
        return fitted

    fit_predict = methods.fit_predict
    predict = methods.predict
    predict_proba = methods.predict_proba
    score_samples = methods.score_samples
    score = methods.score
    sample = methods.sample
    bic = methods.bic
    aic = methods.aic
    icl = methods.icl
    icl_entropy = methods.icl_entropy
    summary = methods.summary
    standard_errors = inference.standard_errors
    confint = inference.confint
    diagnose = diagnostics.diagnose
    influence = diagnostics.influence
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    plot = pictures.plot
    animate = pictures.animate
    save = methods.save
    partial_fit = streaming.partial_fit

    @property
    def precisions_(self) -> Array:
        """Inverse covariances, in the shape of ``covariances_``."""
        variances = self.covariance_type in ("diag", "spherical")
        return 1.0 / self.covariances_ if variances else np.linalg.inv(self.covariances_)

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        return methods.tags(super().__sklearn_tags__())
