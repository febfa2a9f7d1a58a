"""The multivariate normal with missing values as a scikit-learn estimator: moments, imputation, multiple imputation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin, OneToOneFeatureMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from estep.core.record import Array
from estep.core.result import Result, Status
from estep.engine.passing import passing_result
from estep.engine.presets import variant_of
from estep.engine.restart import Start
from estep.engine.run import Control
from estep.estimators import diagnostic_methods as diagnostics
from estep.estimators import estimate_methods as estimates
from estep.estimators import inference_methods as inference
from estep.estimators import methods, own_pictures, streaming
from estep.estimators.bootstrap_em import bootstrap_imputations
from estep.estimators.columns import column_names, table_of
from estep.estimators.constraints import constraints_of
from estep.estimators.fitting import seed_of, solve
from estep.estimators.rows import Arguments, Rows, Target, read_rows, require_enough
from estep.estimators.seam import published
from estep.estimators.settings import check_settings, require_integer
from estep.estimators.starts import Task, given_params
from estep.estimators.warnings import warn_of
from estep.estimators.watching import watcher
from estep.families.missing_patterns import MissingPatterns, missing_patterns
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.families.normal_impute import conditional_draws, conditional_means
from estep.inference.saddle import leave_saddles, name_saddle
from estep.models.latent import Latent, LatentParams
from estep.start.correlations import random_covariance
from estep.structures.iid import Iid

NAMES = {"mean": "means", "covariance": "covariances"}


class MultivariateNormal(OneToOneFeatureMixin, TransformerMixin, CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Mean and covariance of normal rows with missing entries, by maximum likelihood; fills in what is missing.

    ``x ~ N(mean, covariance)``; every row counts with what it shows (exact where entries are missing at random).

    Parameters
    ----------
    n_init : int
        Starts, where the missing entries leave room for several maxima: the data's moments, then random correlations. Complete
        rows and monotone patterns have one maximum, and get one start.
    init : "auto" or dict
        "auto", or ``dict(mean=..., covariance=...)``, used once as given.
    algorithm, accelerate, tol, max_iter, random_state, n_jobs, progress
        As in ``Mixture``.
    prior : "auto", "default", None or dict
        "default" is the weak conjugate prior of Fraley & Raftery (2007), for few rows or columns never seen together; a dict
        overrides its ``mean, mean_strength, scale, dof``; None is maximum likelihood; "auto" is maximum likelihood, with the
        default prior (and a warning) only where that has no maximum, as with fewer rows than columns.
    fixed : dict or None
        ``dict(mean=...)`` with NaN at the free entries; ``dict(covariance=...)`` as a whole.

    Attributes
    ----------
    mean_ : array (d,)
    covariance_ : array (d, d)
        Divisor n. ``precision_`` is its inverse.
    patterns_ : MissingPatterns
        Distinct missing patterns (``observed``, ``counts``); print it.
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How it ended. An end at a saddle point is left (with ``init="auto"``) or named in ``status_``; columns that no row
        shows together are named too.

    Examples
    --------
    >>> import numpy as np, estep
    >>> X = np.array([[1.0, 2.0], [2.0, 4.1], [3.0, 5.9], [4.0, np.nan]])
    >>> fit = estep.MultivariateNormal().fit(X)
    >>> fit.mean_.round(3).tolist(), fit.transform(X)[3].round(2).tolist()
    ([2.5, 4.975], [4.0, 7.9])
    """

    n_components: ClassVar[int] = 1
    title: ClassVar[str] = "Multivariate normal"

    def __init__(
        self,
        *,
        n_init: int = 4,
        init: Any = "auto",
        algorithm: Any = "em",
        accelerate: Any = "auto",
        prior: Any = "auto",
        fixed: Any = None,
        tol: float = 1e-8,
        max_iter: int = 1000,
        random_state: Any = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.n_init = n_init
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

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> MultivariateNormal:
        """Fit to the rows of ``X``.

        Parameters
        ----------
        X : array or DataFrame (n, d)
            Rows; NaN marks a missing entry.
        y : ignored
        sample_weight : array (n,) or None
            Frequencies: 2 is seen twice, 0 is absent.

        Raises
        ------
        ValueError
            Naming a column without any value or without variance, or a setting out of range.
        """
        check_settings(self)
        table = table_of(X)
        rows = read_rows(self, Arguments(table, None, sample_weight), Target(Normal(), 1, 1), reset=True)
        require_enough(rows, 1, "n_init")
        names = column_names(table)
        self.patterns_ = _patterns(rows, names)
        data = rows.data(self.n_jobs)
        model = Latent(Iid(), Normal(), 1).bind(data)
        model = dataclasses.replace(model, constraints=constraints_of(model, rows.d, _inner(self.fixed, "fixed"), None))
        with watcher(self, X, y, lambda state: self.published_as(passing_result(model, state))) as watch:
            task = self._task(model, rows, data, watch)
            result = _judged(solve(task), task, self.patterns_, names)
        for name, value in self.published_as(dataclasses.replace(result, state=None)).items():
            setattr(self, name, value)
        warn_of(result, type(self).__name__)
        return self

    def transform(self, X: Any) -> Array:
        """Rows with every missing entry at its conditional mean given what the row shows, (n, d)."""
        return conditional_means(*self._rows(X))

    def impute(self, X: Any, n_draws: int = 1, random_state: Any = None) -> Array:
        """Rows with every missing entry drawn given what the row shows, (n_draws, n, d); parameters as fitted.

        ``random_state`` None takes the estimator's own. For standard errors take ``multiple_imputation``, whose draws carry
        the uncertainty of the parameters too.
        """
        params, x = self._rows(X)
        require_integer(n_draws, "n_draws")
        rng = np.random.default_rng(seed_of(self.random_state if random_state is None else random_state))
        return np.stack([conditional_draws(params, x, rng) for _ in range(n_draws)])

    def multiple_imputation(self, X: Any, m: int = 20, *, sample_weight: Any = None, random_state: Any = None) -> Array:
        """``m`` completed copies of ``X``, (m, n, d), each drawn with parameters of its own from a bootstrap of the rows.

        Analyse each copy, then ``estep.pool_estimates(estimates, variances)``.

        Parameters
        ----------
        X : array or DataFrame (n, d)
            Rows; NaN marks a missing entry.
        m : int
            Copies; 20 to 100 where a third of the information or more is missing.
        sample_weight : array (n,) or None
            Frequencies.
        random_state : int, RandomState or None
            None takes the estimator's own.

        Raises
        ------
        ValueError
            Where most bootstrap samples have no maximum of the likelihood; a fit with ``prior="default"`` has one.

        Source: Honaker & King (2010), American J. Political Science 54:561 (EM with bootstrapping).
        """
        x = self._rows(X)[1]
        require_integer(m, "m")
        rows = read_rows(self, Arguments(table_of(X), None, sample_weight), Target(Normal(), 1, 1), reset=False)
        seed = seed_of(self.random_state if random_state is None else random_state)
        control = Control(tol=self.tol, max_iter=self.max_iter, catch=False)
        variant = variant_of(self.algorithm, self.accelerate)
        return bootstrap_imputations(self.result_, rows, x, m, variant, control, seed)

    def sample(self, n_samples: int = 1) -> Array:
        """``n_samples`` rows drawn from the fitted normal, (n_samples, d); draws follow ``random_state``."""
        rows: Array = methods.sample(self, n_samples)[0]
        return rows

    def score_samples(self, X: Any) -> Array:
        """Log density of what each row shows, (n,), in nats."""
        return methods.score_samples(self, X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-likelihood per unit weight, in nats."""
        return methods.score(self, X, None, sample_weight)

    def bic(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Bayesian information criterion, ``-2 L + p log n``; lower is better."""
        return methods.bic(self, X, None, sample_weight)

    def aic(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Akaike information criterion, ``-2 L + 2 p``; lower is better."""
        return methods.aic(self, X, None, sample_weight)

    summary = methods.summary
    standard_errors = inference.standard_errors
    confint = inference.confint
    diagnose = diagnostics.diagnose
    influence = diagnostics.influence
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    plot = own_pictures.plot_imputed
    save = methods.save
    partial_fit = streaming.partial_fit
    _ignores_y = True

    def _streamed(self, arguments: Arguments, rows: Rows) -> None:
        self.patterns_ = _patterns(rows, column_names(table_of(arguments.X)))

    @property
    def precision_(self) -> Array:
        """Inverse of the covariance, (d, d)."""
        return np.linalg.inv(self.covariance_)

    def published_as(self, result: Result) -> dict[str, Any]:
        """The fitted attributes that follow from a result."""
        found = published(self, result)
        mean, covariance = found.pop("means_")[0], found.pop("covariances_")[0]
        found.pop("weights_")
        return {**found, "params_": {"mean": mean, "covariance": covariance}, "mean_": mean, "covariance_": covariance}

    @property
    def _reports(self) -> Mapping[str, str]:
        return NAMES

    def _rows(self, X: Any) -> tuple[NormalParams, Array]:
        """The fitted parameters and the rows of ``X``."""
        check_is_fitted(self, "result_")
        rows = read_rows(self, Arguments(table_of(X)), Target(Normal(), 1, 1), reset=False)
        return self.result_.params.family, np.asarray(rows.x, dtype=float)

    def _task(self, model: Latent, rows: Rows, data: Any, watch: Any) -> Task:
        return Task(
            model=model,
            rows=rows,
            data=data,
            init=_inner(self.init, "init") if isinstance(self.init, Mapping) else self.init,
            n_init=self.n_init,
            prior=self.prior,
            variant=variant_of(self.algorithm, self.accelerate),
            control=Control(tol=self.tol, max_iter=self.max_iter, watch=watch, catch=not getattr(self, "_enclosed", False)),
            seed=seed_of(self.random_state),
            n_jobs=self.n_jobs,
            own=self._starts,
        )

    def _starts(self, model: Latent, task: Task) -> list[Start]:
        if isinstance(task.init, Mapping):
            return [Start("given parameters", lambda: given_params(model, task.init, task))]
        if task.init != "auto" or not isinstance(task.init, str):
            raise ValueError(f"init={self.init!r} is unknown; choose 'auto' or give dict(mean=..., covariance=...)")
        patterns = self.patterns_
        alone = patterns.monotone or bool(patterns.never_together) or "covariances" in model.constraints.fixed
        drawn = range(0 if alone else task.n_init - 1)
        first = Start("moments of the data", lambda: _obedient(model, model.start()))
        return [first, *(Start("random correlations", lambda i=i: _drawn(model, [task.seed, i])) for i in drawn)]  # type: ignore[misc]

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        return methods.tags(super().__sklearn_tags__())


def _inner(given: Any, argument: str) -> Any:
    """A user's dict with the family's names and a leading axis for its one component."""
    if not isinstance(given, Mapping):
        return given
    if unknown := sorted(set(given) - set(NAMES)):
        raise ValueError(f"{argument} names {unknown}; this model has {sorted(NAMES)}")
    return {NAMES[name]: np.asarray(value, dtype=float)[None] for name, value in given.items()}


def _patterns(rows: Rows, names: list[str]) -> MissingPatterns:
    patterns = missing_patterns(np.asarray(rows.x, dtype=float), rows.weight)
    unseen = np.flatnonzero(~patterns.observed.any(axis=0))
    if unseen.size:
        raise ValueError(
            f"X: column {names[unseen[0]]!r} has no observed value, so nothing can be learned about it; drop it or supply data"
        )
    return patterns


def _drawn(model: Latent, seed: list[int]) -> LatentParams:
    """The data's moments with random correlations."""
    neutral, rng = model.start(), np.random.default_rng(seed)
    covariance = random_covariance(np.diagonal(neutral.family.covariances[0]), rng)
    return _obedient(model, LatentParams(neutral.structure, NormalParams(neutral.family.means, covariance[None])))


def _obedient(model: Latent, params: LatentParams) -> LatentParams:
    """``params`` with what is fixed at its value."""
    support = model.support(params)
    held: LatentParams = support.unpack(support.pack(params), params)
    return held if model.constraints else params


def _judged(result: Result, task: Task, patterns: MissingPatterns, names: list[str]) -> Result:
    """The result off any saddle point, or named as what it is: a saddle point, or a point of a ridge."""
    if result.status not in (Status.CONVERGED, Status.ROUNDED) or patterns.monotone or task.variant.assign.name != "soft":
        return result
    if result.model.prior is None and patterns.never_together and "covariances" not in task.model.constraints.fixed:
        return dataclasses.replace(result, status=Status.RIDGE, message=_ridge_words(patterns.never_together, names))
    if isinstance(task.init, Mapping):
        named = name_saddle(result.model, task.data, result)
        return dataclasses.replace(
            named, message=named.message.replace("covariances[0, ", "covariance[").replace("means[0, ", "mean[")
        )
    return leave_saddles(result.model, task.data, result, task.variant, task.control)


def _ridge_words(pairs: list[tuple[int, int]], names: list[str]) -> str:
    told = "; ".join(f"{names[i]!r} and {names[j]!r}" for i, j in pairs[:3]) + (
        f"; and {len(pairs) - 3} more pairs" if pairs[3:] else ""
    )
    return (
        f"{Status.RIDGE.value}: no row shows both of {told}, so the likelihood says nothing about their covariance given the "
        "other columns. What is reported is one of equally likely values, reached from a start without correlation between "
        "them; prior='default' makes the estimate unique, rows that show both would make it known"
    )
