"""Hidden Markov models as scikit-learn estimators: counts and categories."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks

from estep.estimators import estimate_methods as estimates
from estep.estimators import forecasts, methods, sequence_inference, sequence_methods, sequence_pictures, streaming
from estep.estimators.hmm_starts import fit_chain
from estep.estimators.rows import Arguments
from estep.estimators.sequences import read_sequences
from estep.families.categorical import Categorical
from estep.families.poisson import Poisson


class PoissonHMM(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Hidden Markov model of counts.

    ``x_tj | z_t = k ~ Poisson(rate_kj)``, columns independent given the state

    Parameters
    ----------
    n_states : int
        Number of states.
    topology, bandwidth, absorbing, end, init, prior
        As in ``HMM``.
    n_init, algorithm, accelerate, search, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``HMM``.

    Attributes
    ----------
    startprob_ (k,), transmat_ (k, k), rates_ (k, d)
    weights_, converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        As in ``HMM``.

    Examples
    --------
    >>> import numpy as np, estep
    >>> X = np.array([0, 1, 0, 0, 9, 8, 11, 9, 1, 0, 0, 1])[:, None]
    >>> estep.PoissonHMM(2, random_state=0).fit(X).rates_.round(2).ravel().tolist()
    [0.37, 9.24]
    """

    def __init__(
        self,
        n_states: int = 1,
        *,
        topology: str = "full",
        bandwidth: int | None = None,
        absorbing: Any = (),
        end: bool = False,
        n_init: int = 10,
        init: Any = "auto",
        algorithm: Any = "em",
        accelerate: Any = "auto",
        search: Any = None,
        prior: Any = "auto",
        fixed: Any = None,
        tied: Any = None,
        tol: float = 1e-8,
        max_iter: int = 1000,
        random_state: Any = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.n_states = n_states
        self.topology = topology
        self.bandwidth = bandwidth
        self.absorbing = absorbing
        self.end = end
        self.n_init = n_init
        self.init = init
        self.algorithm = algorithm
        self.accelerate = accelerate
        self.search = search
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
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        labels: Any = None,
        sequence: Any = None,
        lengths: Any = None,
        time: Any = None,
    ) -> PoissonHMM:
        """Fit to the sequences of ``X``; see ``HMM.fit``."""
        arguments = Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time)
        fitted: PoissonHMM = fit_chain(self, arguments, Poisson())
        return fitted

    predict = sequence_methods.predict
    predict_proba = sequence_methods.predict_proba
    decode = sequence_methods.decode
    filter = forecasts.start_filter
    forecast = forecasts.forecast
    pseudo_residuals = forecasts.pseudo_residuals
    score_samples = sequence_methods.score_samples
    score = sequence_methods.score
    sample = sequence_methods.sample
    bic = sequence_methods.bic
    aic = sequence_methods.aic
    icl = sequence_methods.icl
    icl_entropy = sequence_methods.icl_entropy
    standard_errors = sequence_inference.standard_errors
    confint = sequence_inference.confint
    diagnose = sequence_inference.diagnose
    influence = sequence_inference.influence
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    summary = sequence_inference.summary
    title = property(sequence_methods.title)
    plot = sequence_pictures.plot
    plot_states = sequence_pictures.plot_states
    plot_emissions = sequence_pictures.plot_emissions
    plot_residuals = sequence_inference.plot_residuals
    save = methods.save
    partial_fit = streaming.partial_fit
    _read = read_sequences

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        return methods.tags(super().__sklearn_tags__(), Poisson())


class CategoricalHMM(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Hidden Markov model of categories: text, booleans or whole numbers.

    ``P(x_tj = m | z_t = k) = probs[k, j, m]``, columns independent given the state

    Parameters
    ----------
    n_states : int
        Number of states.
    topology, bandwidth, absorbing, end, init, prior
        As in ``HMM``.
    n_init, algorithm, accelerate, search, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``HMM``.

    Attributes
    ----------
    startprob_ (k,), transmat_ (k, k), probs_ (k, d, m)
    levels_ : list of arrays, the levels of each column in the order of ``probs_``
    weights_, converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        As in ``HMM``.

    Examples
    --------
    >>> import numpy as np, estep
    >>> X = np.array(list("aabaaacccdccc"))[:, None]
    >>> fit = estep.CategoricalHMM(2, random_state=0).fit(X)
    >>> fit.predict(X).tolist(), fit.levels_[0].tolist()
    ([1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], ['a', 'b', 'c', 'd'])
    """

    def __init__(
        self,
        n_states: int = 1,
        *,
        topology: str = "full",
        bandwidth: int | None = None,
        absorbing: Any = (),
        end: bool = False,
        n_init: int = 10,
        init: Any = "auto",
        algorithm: Any = "em",
        accelerate: Any = "auto",
        search: Any = None,
        prior: Any = "auto",
        fixed: Any = None,
        tied: Any = None,
        tol: float = 1e-8,
        max_iter: int = 1000,
        random_state: Any = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.n_states = n_states
        self.topology = topology
        self.bandwidth = bandwidth
        self.absorbing = absorbing
        self.end = end
        self.n_init = n_init
        self.init = init
        self.algorithm = algorithm
        self.accelerate = accelerate
        self.search = search
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
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        labels: Any = None,
        sequence: Any = None,
        lengths: Any = None,
        time: Any = None,
    ) -> CategoricalHMM:
        """Fit to the sequences of ``X``; see ``HMM.fit``."""
        arguments = Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time)
        fitted: CategoricalHMM = fit_chain(self, arguments, Categorical())
        return fitted

    predict = sequence_methods.predict
    predict_proba = sequence_methods.predict_proba
    decode = sequence_methods.decode
    filter = forecasts.start_filter
    forecast = forecasts.forecast
    pseudo_residuals = forecasts.pseudo_residuals
    score_samples = sequence_methods.score_samples
    score = sequence_methods.score
    sample = sequence_methods.sample
    bic = sequence_methods.bic
    aic = sequence_methods.aic
    icl = sequence_methods.icl
    icl_entropy = sequence_methods.icl_entropy
    standard_errors = sequence_inference.standard_errors
    confint = sequence_inference.confint
    diagnose = sequence_inference.diagnose
    influence = sequence_inference.influence
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    summary = sequence_inference.summary
    title = property(sequence_methods.title)
    plot = sequence_pictures.plot
    plot_states = sequence_pictures.plot_states
    plot_emissions = sequence_pictures.plot_emissions
    plot_residuals = sequence_inference.plot_residuals
    save = methods.save
    partial_fit = streaming.partial_fit
    _read = read_sequences

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        return methods.tags(super().__sklearn_tags__(), Categorical())
