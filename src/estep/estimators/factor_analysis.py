"""Factor analysis and probabilistic PCA, one component or a mixture, as a scikit-learn estimator."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from estep.core.record import Array
from estep.core.result import Result, Status
from estep.estimators import diagnostic_methods as diagnostics
from estep.estimators import estimate_methods as estimates
from estep.estimators import inference_methods as inference
from estep.estimators import methods, own_pictures, streaming
from estep.estimators.columns import read_columns, table_of
from estep.estimators.rows import Arguments
from estep.estimators.seam import Spec, fit_latent, published
from estep.estimators.warnings import warn_of
from estep.families.factor_normal import FactorNormal
from estep.families.factor_rotation import canonical
from estep.families.factor_stats import FactorParams, factor_means
from estep.families.normal_shapes import numbers

HEYWOOD = 0.005
NEGLIGIBLE = 1e-6


class FactorAnalysis(ClassNamePrefixFeaturesOutMixin, TransformerMixin, CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Factor analysis by maximum likelihood, with missing values, and mixtures of factor analysers.

    ``x | z = k ~ N(mean_k, L_k L_k' + Psi_k)``, L (d, q) the loadings, Psi diagonal

    Parameters
    ----------
    n_factors : int
        Factors q of each component.
    n_components : int
        Components of the mixture; 1 is factor analysis proper.
    noise_type : "diag" or "spherical"
        A uniqueness for each column, or one for all: probabilistic PCA.
    shared : "none" or "noise"
        "noise": components share their uniquenesses.
    floor : float or None
        Least uniqueness as a share of the column's variance; None is 0.005 for one component and 1e-6 for a mixture.
        Columns at the floor (Heywood cases) are named in the status.
    n_init, init, algorithm, accelerate, search, progressive, prior, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``Mixture``; parameters are ``means`` (k, d), ``loadings`` (k, d, q), ``uniquenesses`` (k, d), without the first
        axis where there is one component. ``fixed=dict(loadings=...)`` with zeros is confirmatory factor analysis.

    Attributes
    ----------
    weights_ (k,), means_ (k, d), loadings_ (k, d, q), uniquenesses_ (k, d), covariances_ (k, d, d)
        Loadings, where none is constrained, turned so that L' Psi^-1 L is diagonal and decreasing. With one component also
        ``mean_`` (d,), and ``loadings_`` (d, q), ``uniquenesses_`` (d,), ``covariance_`` (d, d) without the first axis.
    noise_variance_ : float or array
        Spherical noise; otherwise the uniquenesses.
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How it ended.

    Examples
    --------
    >>> import numpy as np, estep
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 1)) @ np.array([[2.0, 1.0, 1.0, 3.0]]) + rng.normal(size=(200, 4))
    >>> fit = estep.FactorAnalysis(1).fit(X)
    >>> fit.loadings_.shape, fit.transform(X).shape, fit.result_.n_free
    ((4, 1), (200, 1), 12)
    """

    def __init__(
        self,
        n_factors: int = 1,
        n_components: int = 1,
        *,
        noise_type: str = "diag",
        shared: str = "none",
        floor: float | None = None,
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
        self.n_factors = n_factors
        self.n_components = n_components
        self.noise_type = noise_type
        self.shared = shared
        self.floor = floor
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
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None) -> FactorAnalysis:
        """Fit to the rows of ``X``.

        Parameters
        ----------
        X : array or DataFrame (n, d)
            Rows; NaN marks a missing entry (exact under missing at random).
        y : array (n,) or None
            Known classes of a mixture; -1, NaN or None is unlabelled. Ignored with one component.
        sample_weight : array (n,) or None
            Frequencies: 2 is seen twice, 0 is absent.
        labels, by : optional
            Sets of permitted classes; the group of each row, whose weights are its own.
        """
        fit_latent(self, Arguments(X, y, sample_weight, labels, by), Spec(self._family(), self.n_components))
        result = _named(self, self.result_)
        for name, value in self.published_as(result).items():
            setattr(self, name, value)
        if result.status in (Status.BOUNDARY, Status.RIDGE):
            warn_of(result, type(self).__name__)
        return self

    def fit_covariance(self, covariance: Any, n: float, mean: Any = None) -> FactorAnalysis:
        """Fit to a covariance or correlation matrix (d, d), divisor n, of ``n`` rows with the given mean (zeros if None).

        The likelihood of one component depends on the rows only through these; 2 d weighted rows that have exactly this mean
        and covariance stand for them.
        """
        S = numbers(covariance, "covariance")
        if S.ndim != 2 or S.shape[0] != S.shape[1] or not np.isfinite(S).all() or not np.allclose(S, S.T, rtol=1e-8):
            raise ValueError(f"covariance must be a symmetric matrix of finite numbers, got shape {S.shape}")
        values, vectors = np.linalg.eigh(S)
        if values[0] < -1e-8 * values[-1]:
            raise ValueError(
                f"covariance has the negative eigenvalue {values[0]:.3g}, so it is no covariance; check its entries"
            )
        if self.n_components != 1:
            raise ValueError(f"n_components={self.n_components}: a mixture needs the rows themselves; use fit(X)")
        if not n > 0:
            raise ValueError(f"n must be above zero, got {n!r}")
        d = len(S)
        arms = (vectors * np.sqrt(d * np.maximum(values, 0.0))).T
        centre = np.zeros(d) if mean is None else numbers(mean, "mean")
        fitted: FactorAnalysis = self.fit(centre + np.vstack([arms, -arms]), sample_weight=np.full(2 * d, float(n) / (2 * d)))
        return fitted

    def transform(self, X: Any) -> Array:
        """Factor scores ``E[f | x]`` given what each row shows, (n, q); of a mixture in every component in turn, (n, k q)."""
        check_is_fitted(self, "result_")
        model, params = self.result_.model, self.result_.params.family
        x = read_columns(self, table_of(X), model.family, reset=False)
        scores = factor_means(params, model.family.encode(np.asarray(x, dtype=float)))
        return np.asarray(scores.reshape(len(scores), -1))

    def get_covariance(self) -> Array:
        """``L L' + Psi``: (d, d), or (k, d, d) of a mixture."""
        check_is_fitted(self, "result_")
        return np.asarray(self.covariance_ if self.n_components == 1 else self.covariances_)

    @property
    def title(self) -> str:
        """The model in words, for summaries and reports."""
        factors = f"{self.n_factors} factor{'' if self.n_factors == 1 else 's'}"
        if self.n_components == 1:
            return f"Factor analysis, {factors}"
        return f"Mixture of factor analysers, {self.n_components} components, {factors} each"

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
    plot = own_pictures.plot_factors
    save = methods.save
    partial_fit = streaming.partial_fit

    def published_as(self, result: Result) -> dict[str, Any]:
        """The fitted attributes that follow from a result."""
        if not {"loadings"} & {*result.model.constraints.fixed, *result.model.constraints.tied}:
            turned = canonical(result.params.family)
            result = dataclasses.replace(result, params=dataclasses.replace(result.params, family=turned))
        found, params = published(self, result), result.params.family
        covariances = covariances_of(params)
        found |= {"covariances_": covariances, "_n_features_out": params.loadings.shape[2] * len(params.means)}
        if len(params.means) == 1:
            found |= {name: found[name][0] for name in ("loadings_", "uniquenesses_")}
            found |= {"mean_": params.means[0], "covariance_": covariances[0]}
        noise = found["uniquenesses_"]
        found["noise_variance_"] = float(noise[0]) if self.noise_type == "spherical" and noise.ndim == 1 else noise
        return found

    def _family(self) -> FactorNormal:
        floor = self.floor if self.floor is not None else HEYWOOD if self.n_components == 1 else NEGLIGIBLE
        return FactorNormal(self.n_factors, self.noise_type, self.shared, floor)

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        return methods.tags(super().__sklearn_tags__())


def covariances_of(params: FactorParams) -> Array:
    """``L L' + Psi`` of every component, (k, d, d)."""
    d = params.means.shape[1]
    return np.asarray(params.loadings @ params.loadings.transpose(0, 2, 1) + params.uniquenesses[:, :, None] * np.eye(d))


def _named(self: Any, result: Result) -> Result:
    """The result with a status that names Heywood cases, or loadings that nothing identifies, where it converged."""
    if result.status not in (Status.CONVERGED, Status.ROUNDED):
        return result
    params, family = result.params.family, result.model.family
    noise = result.model.support(result.params).entries["family.uniquenesses"]
    low = (params.uniquenesses <= noise.lowest * (1.0 + 1e-6)) & (noise.pattern.groups >= 0)
    if low.any():
        return dataclasses.replace(result, status=Status.BOUNDARY, message=_heywood_words(self, low, family.floor))
    d, q = params.loadings.shape[1:]
    numbers_of, room = d * q - q * (q - 1) // 2 + (d if self.noise_type == "diag" else 1), d * (d + 1) // 2
    if numbers_of <= room or result.model.constraints or result.model.prior is not None:
        return result
    message = (
        f"{Status.RIDGE.value}: {q} factors of {d} columns have {numbers_of} loadings and uniquenesses for {room} variances "
        "and covariances. The covariance is estimated, the loadings are one choice of many; use fewer factors or "
        "noise_type='spherical'"
    )
    return dataclasses.replace(result, status=Status.RIDGE, message=message)


def _heywood_words(self: Any, low: NDArray[np.bool_], floor: float) -> str:
    names = getattr(self, "feature_names_in_", [f"x{j}" for j in range(low.shape[1])])
    cases = [f"{str(names[j])!r}" + (f" in component {k}" if len(low) > 1 else "") for k, j in np.argwhere(low)]
    told = ", ".join(cases[:5]) + (f" and {len(cases) - 5} more" if len(cases) > 5 else "")
    return (
        f"{Status.BOUNDARY.value}: Heywood case, the uniqueness of {told} is at its floor of {floor:g} of the column's "
        "variance, so the factors explain the column entirely; use fewer factors, prior='default', or a lower floor if that "
        "is what you expect"
    )
