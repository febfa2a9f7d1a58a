"""Input-output hidden Markov models as a scikit-learn estimator: moves between states depend on covariates."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks

from estep.estimators import estimate_methods as estimates
from estep.estimators import gated_inference, gated_sequences, methods, streaming
from estep.estimators.gated_methods import names_of_covariates
from estep.estimators.hmm_starts import hmm_starts
from estep.estimators.rows import Arguments
from estep.estimators.seam import Spec, fit_latent
from estep.estimators.settings import absorbing_of, check_settings
from estep.families.normal import Normal
from estep.structures.gated_chain import GatedChain


class InputOutputHMM(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Hidden Markov model whose moves depend on covariates, with ``n_states`` states and rows of any family.

    ``log P(z_t = j | z_{t-1} = i, g_t) / P(z_t = i | z_{t-1} = i, g_t) = move_coefs[i, j] . (1, g_t)``

    Row t's covariates act on the move into row t. Staying is the reference: coefficients are log-odds of moving from i to j
    against staying in i. Missing values, sequence weights, partial labels, fixed and tied entries work as in ``HMM``.

    Parameters
    ----------
    family : Family
        How a row looks once its state is known; None is ``Normal()``.
    n_states : int
        Number of states.
    start_gate : bool
        Whether the first state depends on its row's covariates too, which takes many sequences; else it follows ``startprob``.
    ridge : float
        Precision of a normal prior on the coefficients of covariates; above 0 admits collinear columns and separable moves.
    topology, bandwidth, absorbing
        As in ``HMM``; moves that are not there have no coefficients.
    init, n_init, algorithm, accelerate, search, progressive, prior, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``HMM``; parameters are ``startprob`` (or ``start_coefs`` (k, 1 + q)) and ``move_coefs`` (k, k, 1 + q), intercept
        first, with zeros on the diagonal.

    Attributes
    ----------
    move_coefs_ (k, k, 1 + q), startprob_ (k,) or start_coefs_ (k, 1 + q), and the family's parameters
        States come in decreasing order of the share of rows they are expected to have, ``weights_`` (k,), as in ``HMM``.
    covariate_names_
        Names of the covariates.
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How it ended; see ``summary()``.

    Notes
    -----
    Source: Bengio & Frasconi (1996), IEEE Transactions on Neural Networks 7:1231.

    Examples
    --------
    >>> import numpy as np, estep
    >>> rng, state = np.random.default_rng(0), [0]
    >>> dose = rng.normal(size=200)
    >>> for t in range(1, 200):  # a high dose starts an episode, which then ends by itself
    ...     state.append(int(rng.random() < (1 / (1 + np.exp(2 - 2 * dose[t])) if state[-1] == 0 else 0.9)))
    >>> X = np.array([0.0, 6.0])[state][:, None] + rng.normal(size=(200, 1))
    >>> fit = estep.InputOutputHMM(estep.Normal("EII"), 2, random_state=0).fit(X, covariates=dose)
    >>> calm, episode = fit.means_[:, 0].argsort()
    >>> fit.transmat([[-1.0], [1.0]])[:, calm, episode].round(1).tolist()
    [0.0, 0.6]
    """

    def __init__(
        self,
        family: Any = None,
        n_states: int = 1,
        *,
        start_gate: bool = False,
        ridge: float = 0.0,
        topology: str = "full",
        bandwidth: int | None = None,
        absorbing: Any = (),
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
        self.n_states = n_states
        self.start_gate = start_gate
        self.ridge = ridge
        self.topology = topology
        self.bandwidth = bandwidth
        self.absorbing = absorbing
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
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        covariates: Any = None,
        labels: Any = None,
        sequence: Any = None,
        lengths: Any = None,
        time: Any = None,
    ) -> InputOutputHMM:
        """Fit to the sequences of ``X``; see the class for the settings.

        Parameters
        ----------
        X : array, DataFrame or list of these
            As in ``HMM.fit``.
        covariates : array or DataFrame (n, q), list of these, or names of columns of X
            A row for every row of X, complete; it acts on the move into that row.
        y, sample_weight, labels, sequence, lengths, time
            As in ``HMM.fit``. A step of time without a row has no covariates: give it a row with NaN in X.

        Raises
        ------
        ValueError
            Naming the argument, what was found and what to do.
        """
        check_settings(self)
        absorbing = absorbing_of(self)
        told = Arguments(X, y, sample_weight, labels, None, None, covariates, sequence, lengths, time)
        own = gated_sequences.with_own_columns(told).covariates
        names = () if own is None else names_of_covariates(gated_sequences.end_to_end(own))
        ridge = float(self.ridge) or (1.0 if self.n_states == 1 else 0.0)  # one state has no moves to fit
        chain = GatedChain(bool(self.start_gate), ridge, self.topology, self.bandwidth, absorbing, names)
        family = Normal() if self.family is None else self.family
        spec = Spec(family, self.n_states, structure=chain, argument="n_states", starts=hmm_starts)
        fitted: InputOutputHMM = fit_latent(self, told, spec)
        return fitted

    predict = gated_sequences.predict
    predict_proba = gated_sequences.predict_proba
    decode = gated_sequences.decode
    forecast = gated_sequences.forecast
    transmat = gated_sequences.transmat
    score_samples = gated_sequences.score_samples
    score = gated_sequences.score
    sample = gated_sequences.sample
    bic = gated_sequences.bic
    aic = gated_sequences.aic
    icl = gated_sequences.icl
    standard_errors = gated_inference.standard_errors
    confint = gated_inference.confint
    diagnose = gated_inference.diagnose
    influence = gated_inference.influence
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    summary = gated_sequences.summary
    title = property(gated_sequences.title)
    plot = gated_sequences.plot
    save = methods.save
    partial_fit = streaming.partial_fit
    _read = gated_sequences.read

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        return methods.tags(super().__sklearn_tags__(), self.family)
