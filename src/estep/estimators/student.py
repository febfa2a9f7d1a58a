"""Mixtures of multivariate t components as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from estep.core.record import Array
from estep.engine.leap import leap_named
from estep.engine.presets import Variant
from estep.estimators import diagnostic_methods as diagnostics
from estep.estimators import estimate_methods as estimates
from estep.estimators import inference_methods as inference
from estep.estimators import methods, pictures, streaming
from estep.estimators.rows import Arguments
from estep.estimators.seam import Spec, fit_latent
from estep.estimators.settings import check_settings
from estep.families.normal_shapes import exposed
from estep.families.student import HIGHEST, Student
from estep.models.ecme import Ecme


class StudentMixture(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Mixture of multivariate t components: a Gaussian mixture that rows far out do not pull along.

    ``p(x) = sum_k w_k t(x; mu_k, Sigma_k, nu_k)``

    Missing values, sample weights, partial labels, fixed and tied parameters and priors work alone and together.

    Parameters
    ----------
    n_components : int
        Number of components.
    covariance_type : str
        Structure of the scale matrices: "full" "tied" "diag" "spherical", or a code "EII" ... "VVV".
    dof : "estimate", "tied", number or array (k,)
        Degrees of freedom: estimated for each component, one estimate for all, or given. Small is robust; large is normal.
    algorithm : str or Variant
        "em" is ECME where degrees of freedom are estimated (one pass more each time, far fewer of them) and EM where they are
        given; ``estep.Variant()`` is EM everywhere. Otherwise as in ``Mixture``.
    prior : "auto", "default", None or dict
        As in ``GaussianMixture``, on means and scale matrices.
    n_init, init, accelerate, search, progressive, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``Mixture``.

    Attributes
    ----------
    weights_ (k,), means_ (k, d), scales_, dofs_ (k,)
        Scale matrices in the shapes that ``GaussianMixture`` gives covariances. Estimated dofs stay between 0.1 and 1e6.
    covariances_
        ``scales_ nu / (nu - 2)``, infinite for nu <= 2; (k, d, d) where one scale meets several dofs.
    normal_limit_ : booleans (k,)
        Where dofs ended at 1e6: no t fits the component better than a normal.
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How it ended; see ``summary()``.

    Source: Peel & McLachlan (2000), Statistics and Computing 10:339; Liu & Rubin (1995), Statistica Sinica 5:19.

    Examples
    --------
    >>> import numpy as np, estep
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.normal(size=(50, 2)), 8 + rng.normal(size=(50, 2)), [[60.0, -40.0]]])
    >>> fit = estep.StudentMixture(2, dof=4.0, random_state=0).fit(X)
    >>> bool(fit.row_weights(X)[-1] < 0.01), bool(np.abs(np.sort(fit.means_[:, 0]) - [0, 8]).max() < 0.5)
    (True, True)
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        dof: Any = "estimate",
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
        self.dof = dof
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
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None) -> StudentMixture:
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
            Groups with weights of their own and shared components.

        Raises
        ------
        ValueError
            Naming the argument, what was found and what to do.
        """
        check_settings(self)
        family = Student(self.covariance_type, self.dof)
        spec = Spec(family, self.n_components, settings=self._variant())
        fitted: StudentMixture = fit_latent(self, Arguments(X, y, sample_weight, labels, by), spec)
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

    def row_weights(self, X: Any, *, y: Any = None, labels: Any = None, by: Any = None) -> Array:
        """How much each row counted in the means, (n,): the expected hidden weight, ``sum_k r_ik (nu + d) / (nu + delta_ik)``.

        Near 1 for a row like the others, near 0 for one far out; a row that is all missing has 1.
        """
        check_is_fitted(self, "result_")
        arguments = Arguments(X, y, None, labels, by)
        rows, seen = methods.explain(self, arguments)
        family, params = self.result_.model.family, self.result_.params.family
        out = np.empty(rows.n)

        def keep(chunk: Any, each: Array) -> None:
            out[chunk.rows] = (each * seen.resp[chunk.rows]).sum(axis=1)

        rows.data(self.n_jobs).map(lambda chunk: family.row_weights(params, chunk.x), keep)
        return out

    def _variant(self) -> dict[str, Any]:
        """ECME where "em" is asked for and degrees of freedom are to be estimated."""
        if not isinstance(self.dof, str) or not isinstance(self.algorithm, str) or self.algorithm != "em":
            return {}
        return {"algorithm": Variant("ecme", update=Ecme(), leap=leap_named(self.accelerate))}

    @property
    def covariances_(self) -> Array:
        """Covariances of the components; infinite for two degrees of freedom or fewer."""
        params = self.result_.params.family
        factor = np.where(params.dofs > 2, params.dofs / np.where(params.dofs > 2, params.dofs - 2.0, 1.0), np.inf)
        whole = params.scales * factor.reshape(-1, *(1,) * (params.scales.ndim - 1))
        shape = self.covariance_type if (factor == factor[0]).all() or self.covariance_type != "tied" else "EEE"
        return exposed(shape, whole)

    @property
    def normal_limit_(self) -> Any:
        """Which components are normal as far as the data can tell, (k,)."""
        return self.dofs_ >= HIGHEST

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        return methods.tags(super().__sklearn_tags__())
