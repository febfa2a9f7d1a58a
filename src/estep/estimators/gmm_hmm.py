"""Hidden Markov models whose rows are mixtures of Gaussians within each state, as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks

from estep.estimators import estimate_methods as estimates
from estep.estimators import forecasts, methods, sequence_inference, sequence_methods, sequence_pictures, streaming
from estep.estimators.hmm_starts import fit_chain
from estep.estimators.rows import Arguments
from estep.estimators.sequences import read_sequences
from estep.estimators.settings import check_settings
from estep.families.mixed import Mixed
from estep.families.normal import Normal


class GMMHMM(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Hidden Markov model whose rows are a mixture of Gaussians within each state.

    ``p(x_t | z_t = k) = sum_c weights[k, c] N(x_t; means[k, c], covariances[k, c])``

    Parameters
    ----------
    n_states : int
        Number of states.
    n_mix : int
        Number of Gaussians within a state.
    covariance_type : str
        "full" "diag" "spherical" or a code; as in ``GaussianHMM``.
    topology, bandwidth, absorbing, end, init, prior
        As in ``HMM``.
    n_init, algorithm, accelerate, search, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``HMM``.

    Attributes
    ----------
    startprob_ (k,), transmat_ (k, k), mix_weights_ (k, c), means_ (k, c, d), covariances_ (k, c, ...)
    weights_, converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        As in ``HMM``.

    Examples
    --------
    >>> import numpy as np, estep
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.choice([-4.0, 4.0], 60), rng.choice([-1.0, 1.0], 60)])[:, None]
    >>> X = X + 0.3 * rng.normal(size=X.shape)
    >>> estep.GMMHMM(2, n_mix=2, random_state=0).fit(X).means_.shape
    (2, 2, 1)
    """

    def __init__(
        self,
        n_states: int = 1,
        n_mix: int = 1,
        *,
        covariance_type: str = "full",
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
        self.n_mix = n_mix
        self.covariance_type = covariance_type
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
    ) -> GMMHMM:
        """Fit to the sequences of ``X``; see ``HMM.fit``."""
        check_settings(self)
        arguments = Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time)
        fitted: GMMHMM = fit_chain(self, arguments, Mixed(Normal(self.covariance_type), self.n_mix))
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
        return methods.tags(super().__sklearn_tags__(), Mixed(Normal(self.covariance_type), self.n_mix))
