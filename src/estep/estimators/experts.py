"""Mixtures of experts as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils.metaestimators import available_if

from estep.core.record import Array
from estep.estimators import diagnostic_methods as diagnostics
from estep.estimators import estimate_methods as estimates
from estep.estimators import inference_methods as inference
from estep.estimators import methods, own_pictures
from estep.estimators import regression_methods as regression
from estep.estimators import regression_residuals as residuals
from estep.estimators.regression_starts import regression_starts
from estep.estimators.regressions import begun, family_of
from estep.estimators.responses import Frame, read_gate
from estep.estimators.seam import Arguments, Spec, fit_latent
from estep.estimators.settings import check_settings
from estep.structures.gated import Gated
from estep.structures.hierarchical_gate import HierarchicalGate


def _classifies(self: Any) -> bool:
    """Whether responses are classes; raises AttributeError otherwise."""
    family = self.family if isinstance(self.family, str) else getattr(self.family, "classes", "none")
    if family not in ("logistic", "multinomial", "two", "many"):
        raise AttributeError(f"predict_proba needs classes as responses, not family={self.family!r}; see gate_proba, posterior")
    return True


class MixtureOfExperts(CallbackSupportMixin, BaseEstimator):
    """Mixture of experts: regressions, and a gate that says from covariates which of them to ask.

    ``p(y | x) = sum_k softmax(V (1, g))_k p(y | b_k + beta_k' x + offset)``

    Parameters
    ----------
    family : str or regression family
        The experts: "linear", "logistic", "poisson", "gamma", "multinomial", or a regression family.
    n_components : int
        Number of experts.
    formula : str or None
        The experts' formula on a DataFrame, such as ``"y ~ a + b"`` (needs the extra ``estep[formula]``).
    experts, gate : columns, formula or None
        Columns of ``X`` (names or indices) that the experts and the gate read; None: all of them, and for the gate what the
        experts read. The gate may be a formula, ``"~ z"``; its intercept is always there.
    groups : tuple of int or None
        Two levels: how many experts each group has, such as ``(2, 2)``; a gate chooses the group, and one in each group the
        expert (hierarchical mixture of experts).
    intercept : bool
        Whether each expert has an intercept, where there is no formula.
    ridge, gate_ridge : float
        Normal priors on the coefficients of experts (as in ``MixtureOfRegressions``) and of the gate, mean zero and this
        precision; the gate's keeps classes that covariates separate finite.
    n_init, init, algorithm, accelerate, search, progressive, prior, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``MixtureOfRegressions``; the gate's parameter is ``gate_coefs`` (k, 1 + q), intercept first, with zeros for the
        first expert (with groups also ``leaf_coefs``).

    Attributes
    ----------
    gate_coefs_ (k, 1 + q), coefs_ (k, p), intercepts_ (k,), scales_ or shapes_ (k,), weights_ (k,)
        ``weights_`` are the gate's mean probabilities over the training rows (at most 2000 of them, evenly spaced).
    classes_
        The classes of a logistic or multinomial response.
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How it ended; see ``summary()``.

    Notes
    -----
    Source: Jordan & Jacobs (1994), Neural Computation 6:181.

    Examples
    --------
    >>> import numpy as np, estep
    >>> x = np.linspace(-2, 2, 80)
    >>> y = np.abs(x) + 0.05 * np.cos(np.arange(80.0) ** 2)
    >>> fit = estep.MixtureOfExperts(n_components=2, gate_ridge=0.01, random_state=0).fit(x[:, None], y)
    >>> fit.predict(np.array([[-1.5], [1.5]])).round(1).tolist()
    [1.5, 1.5]
    """

    def __init__(
        self,
        family: Any = "linear",
        n_components: int = 1,
        *,
        formula: str | None = None,
        experts: Any = None,
        gate: Any = None,
        groups: Any = None,
        intercept: bool = True,
        ridge: float = 0.0,
        gate_ridge: float = 0.0,
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
        self.experts = experts
        self.gate = gate
        self.groups = groups
        self.intercept = intercept
        self.ridge = ridge
        self.gate_ridge = gate_ridge
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
        self, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, offset: Any = None
    ) -> MixtureOfExperts:
        """Fit to responses ``y`` at covariates ``X``.

        Parameters
        ----------
        X : array or DataFrame (n, p)
            Covariates; the gate's must be complete, the experts' wherever the response is known.
        y : array (n,) or None
            Responses or classes, NaN where missing; None where the formula names them.
        sample_weight : array (n,) or None
            Frequencies: 2 is seen twice, 0 is absent.
        labels : sequence or boolean array (n, k)
            For each row an expert, a set of permitted experts, or None.
        offset : array (n,) or None
            Known part of the linear predictor.

        Raises
        ------
        ValueError
            Naming the argument, what was found and what to do.
        """
        check_settings(self)
        X, frame = begun(self, X)
        names = read_gate(self, X, frame, reset=True)[1]
        spec = Spec(family_of(self, frame), self.n_components, self._structure(names), starts=regression_starts)
        fitted: MixtureOfExperts = fit_latent(self, Arguments(X, y, sample_weight, labels, None, offset), spec)
        return fitted

    def predict(self, X: Any, *, offset: Any = None) -> NDArray[Any]:
        """Expected response of each row, experts mixed by the gate, (n,); of classes the most probable one.

        Parameters
        ----------
        X : array or DataFrame (n, p)
            Covariates, complete.
        offset : array (n,) or None
            Known part of the linear predictor.
        """
        mean = regression.mixed_mean(self, X, offset)
        if mean.ndim == 2:
            return np.asarray(self.classes_[mean.argmax(axis=1)])
        if hasattr(self, "classes_"):
            return np.asarray(self.classes_[(mean > 0.5).astype(np.intp)])
        return mean

    @available_if(_classifies)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any, *, offset: Any = None) -> Array:
        """Probabilities of the response's classes, experts mixed by the gate, (n, m)."""
        mean = regression.mixed_mean(self, X, offset)
        return mean if mean.ndim == 2 else np.column_stack([1.0 - mean, mean])

    def gate_proba(self, X: Any) -> Array:
        """Probabilities of the experts given covariates alone, (n, k)."""
        return np.asarray(regression.posterior(self, X))

    def _structure(self, names: tuple[str, ...]) -> Any:
        if self.groups is None:
            alone = 1.0 if self.n_components == 1 else 0.0  # one expert has no gate to fit: its columns may be collinear
            return Gated(float(self.gate_ridge) or alone, names)
        sizes = np.atleast_1d(np.asarray(self.groups))
        if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or (sizes < 1).any():
            raise ValueError(f"groups must be numbers of experts >= 1, one for each group, or None, got {self.groups!r}")
        groups = tuple(int(size) for size in sizes)
        if sum(groups) != self.n_components:
            raise ValueError(f"groups={self.groups!r} have {sum(groups)} experts, but n_components={self.n_components}")
        return HierarchicalGate(groups, float(self.gate_ridge), names)

    def _given(self, X: Any, frame: Frame, reset: bool) -> Array:
        return read_gate(self, X, frame, reset=reset)[0]

    _read = regression.read
    _blank_row = regression.blank_row
    posterior = regression.posterior
    predict_component = regression.predict_component
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

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        kind = self.family if isinstance(self.family, str) else getattr(self.family, "classes", "none")
        tags.target_tags.required = True
        tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags(poor_score=True)  # a score in nats
        if kind in ("logistic", "multinomial", "two", "many"):
            tags.estimator_type, tags.regressor_tags = "classifier", None
            tags.classifier_tags = ClassifierTags(poor_score=True, multi_class=kind in ("multinomial", "many"))
        return tags
