"""k-means as the hard-assignment preset: a mixture with equal weights and one fixed spherical covariance.

    minimise  J = sum_i w_i |x_i - mu_{z_i}|^2        E-step: nearest centre        M-step: mean of the members

J is minus twice the classification log-likelihood in units of the fixed variance, up to a constant; Lloyd's algorithm step
by step. A cluster that loses every row is moved to the row that fits worst.

Source: Lloyd (1982), IEEE Trans. Information Theory 28:129.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.core.result import Result
from estep.core.support import Constraints
from estep.engine.passing import passing_result
from estep.engine.presets import PRESETS
from estep.engine.restart import Start, fit_starts
from estep.engine.run import Control
from estep.estimators import estimate_methods as estimates
from estep.estimators import methods, pictures, streaming
from estep.estimators.fitting import seed_of
from estep.estimators.rows import Arguments, Rows, Target, read_rows, require_enough
from estep.estimators.settings import check_settings
from estep.estimators.warnings import warn_of
from estep.estimators.watching import watcher
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.families.normal_shapes import numbers
from estep.models.latent import Latent, LatentParams
from estep.start.farthest_first import farthest_first
from estep.start.kmeanspp import kmeans_plusplus
from estep.start.present import distinct
from estep.structures.iid import Iid

SEEDS = {"farthest_first": farthest_first, "kmeans++": kmeans_plusplus}
SAMPLE = 50_000


class KMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, CallbackSupportMixin, ClusterMixin, BaseEstimator):
    """k-means clustering; rows with missing entries are placed by what was observed.

    Parameters
    ----------
    n_clusters : int
        Number of clusters.
    init : "farthest_first", "kmeans++" or array (n_clusters, d)
        Greedy packing, spread at random by squared distance, or given centres.
    n_init : int
        Starts, where ``init`` draws them; the best is kept.
    max_iter : int
        Cap on Lloyd steps.
    random_state, n_jobs, progress
        Seed; threads (None: all processors); whether to show a progress line.

    Attributes
    ----------
    cluster_centers_ : array (n_clusters, d)
    labels_ : array (n,)
    inertia_ : float
        Weighted sum of squared distances to the nearest centre, over observed entries.
    n_iter_, converged_, status_, trace_, starts_, result_
        How it ended.

    Examples
    --------
    >>> import numpy as np, estep
    >>> estep.KMeans(2, random_state=0).fit(np.array([[0.0], [1.0], [9.0], [10.0]])).inertia_
    1.0
    """

    def __init__(
        self,
        n_clusters: int = 2,
        *,
        init: Any = "farthest_first",
        n_init: int = 10,
        max_iter: int = 1000,
        random_state: Any = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> KMeans:
        """Fit to the rows of ``X``.

        Parameters
        ----------
        X : array or DataFrame (n, d)
            Rows; NaN marks a missing entry.
        y : ignored
        sample_weight : array (n,) or None
            Frequencies: 2 is seen twice, 0 is absent.
        """
        check_settings(self)
        rows = self._rows(X, sample_weight, reset=True)
        require_enough(rows, self.n_clusters, "n_clusters")
        data = rows.data(self.n_jobs)
        model = model_of(data, self.n_clusters)
        with watcher(self, X, y, lambda state: self.published_as(passing_result(model, state))) as watch:
            catch, ledger = not getattr(self, "_enclosed", False), getattr(self, "_ledger", None)
            control = Control(tol=0.0, max_iter=self.max_iter, watch=watch, catch=catch, ledger=ledger)
            result = fit_starts(model, data, self._starts(model, rows), PRESETS["kmeans"], control)
        for name, value in self.published_as(dataclasses.replace(result, state=None)).items():
            setattr(self, name, value)
        self.labels_ = self.predict(X)
        self.inertia_ = -self.score(X, sample_weight=sample_weight)
        warn_of(result, "KMeans")
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> NDArray[np.intp]:
        """Fit, then the cluster of each row, (n,)."""
        return np.asarray(self.fit(X, y, sample_weight=sample_weight).labels_)

    def predict(self, X: Any) -> NDArray[np.intp]:
        """Nearest centre of each row, (n,); ties go to the lowest number."""
        return methods.explain(self, Arguments(X))[1].path

    def transform(self, X: Any) -> Array:
        """Distances to every centre over the observed entries, (n, n_clusters)."""
        check_is_fitted(self, "result_")
        rows = self._rows(X)
        return np.sqrt(_squares(rows.x, self.cluster_centers_))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the weighted sum of squared distances to the nearest centre."""
        check_is_fitted(self, "result_")
        data = self._rows(X, sample_weight).data(self.n_jobs)
        return -float(data.sum(lambda chunk: _inertia(chunk, self.cluster_centers_)))

    plot = pictures.plot
    animate = pictures.animate
    save = methods.save
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    partial_fit = streaming.partial_fit
    _ignores_y = _hard = True

    def _streamed(self, arguments: Arguments, rows: Rows) -> None:
        self.labels_ = self.predict(arguments.X)
        self.inertia_ = -self.score(arguments.X, sample_weight=arguments.sample_weight)

    def _rows(self, X: Any, sample_weight: Any = None, *, reset: bool = False) -> Rows:
        target = Target(None, self.n_clusters, self.n_clusters)
        return read_rows(self, Arguments(X, sample_weight=sample_weight), target, reset=reset)

    def _starts(self, model: Latent, rows: Rows) -> list[Start]:
        if isinstance(self.init, str):
            if self.init not in SEEDS:
                raise ValueError(f"init={self.init!r} is unknown; choose one of {sorted(SEEDS)} or give centres")
            seed = seed_of(self.random_state)
            return [Start(self.init, lambda i=i: self._drawn(model, rows, [seed, i])) for i in range(self.n_init)]  # type: ignore[misc]
        centres = numbers(self.init, "init")
        shape = (self.n_clusters, rows.x.shape[1])
        if centres.shape != shape or not np.isfinite(centres).all():
            found = f"shape {centres.shape}" if centres.shape != shape else "values that are not finite"
            raise ValueError(f"init: expected {sorted(SEEDS)} or finite centres of shape {shape}, got {found}")
        return [Start("given centres", lambda: at_centres(model, centres))]

    def _drawn(self, model: Latent, rows: Rows, seed: list[int]) -> LatentParams:
        rng = np.random.default_rng(seed)
        some = np.arange(len(rows.x)) if len(rows.x) <= SAMPLE else np.sort(rng.choice(len(rows.x), SAMPLE, replace=False))
        x = np.asarray(rows.x[some], dtype=float)
        x, mass = distinct(np.where(np.isnan(x), model.family.anchor, x), None if rows.weight is None else rows.weight[some])
        return at_centres(model, x[SEEDS[self.init](x, self.n_clusters, rng, weight=mass)])

    def published_as(self, result: Result) -> dict[str, Any]:
        """The fitted attributes that follow from a result."""
        return {
            "result_": result,
            "cluster_centers_": result.params.family.means,
            "_n_features_out": self.n_clusters,
            "converged_": result.converged,
            "status_": result.status,
            "n_iter_": result.passes,
            "objective_": result.objective,
            "trace_": result.trace.objective,
            "starts_": result.starts,
        }

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        return methods.tags(super().__sklearn_tags__())


def model_of(data: Any, k: int) -> Latent:
    """Equal weights and one spherical covariance, fixed at the mean variance of the columns."""
    family = Normal("EII").bind(data)
    assert family.total is not None
    spread = np.full((k, len(family.total)), float(np.diagonal(family.total).mean()))
    return Latent(Iid(equal=True), family, k, constraints=Constraints(fixed={"covariances": spread}))


def at_centres(model: Latent, centres: Array) -> LatentParams:
    """Starting parameters with the given centres."""
    neutral = model.start()
    return LatentParams(neutral.structure, NormalParams(centres, model.constraints.fixed["covariances"]))


def _inertia(chunk: Chunk, centres: Array) -> float:
    """Weighted sum of squared distances to the nearest centre."""
    nearest = _squares(chunk.x, centres).min(axis=1)
    return float(nearest.sum() if chunk.weight is None else nearest @ chunk.weight)


def _squares(x: Array, centres: Array) -> Array:
    """Squared distances (n, k) over observed entries."""
    out = np.empty((len(x), len(centres)))
    for k, centre in enumerate(centres):
        gap = np.nan_to_num(np.asarray(x, dtype=float) - centre)
        out[:, k] = np.einsum("ij,ij->i", gap, gap)
    return out
