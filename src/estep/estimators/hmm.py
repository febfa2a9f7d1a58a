"""Hidden Markov models as scikit-learn estimators: rows of any family, and Gaussian rows."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks

from estep.estimators import estimate_methods as estimates
from estep.estimators import forecasts, methods, sequence_inference, sequence_methods, sequence_pictures, streaming
from estep.estimators.hmm_starts import fit_chain
from estep.estimators.rows import Arguments
from estep.estimators.sequences import read_sequences
from estep.families.normal import Normal


class HMM(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Hidden Markov model with ``n_states`` states and rows of any family.

    ``z_1 ~ startprob,  z_t | z_{t-1} = i ~ transmat[i],  x_t | z_t = k ~ p(x | theta_k)``

    Missing values, sequence weights, partial labels, fixed, tied and zero parameters and priors work alone and together.

    Parameters
    ----------
    family : Family
        How a row looks once its state is known, such as ``estep.Normal("VVI")`` or a class of your own.
    n_states : int
        Number of states.
    topology : "full", "left-to-right", "cyclic" or "banded"
        Which moves there are; the others are structural zeros and no parameters. Left-to-right begins in the first state.
    bandwidth : int or None
        How far a move may go where the topology is not "full"; None is 1 (left-to-right: any later state).
    absorbing : tuple of int
        States that are never left.
    end : bool
        Each state ends the sequence with a probability of its own, the last column of ``transmat_`` (k, k + 1).
    init : str, dict or array
        "auto", a rule of ``Mixture``, a dict of starting parameters, labels (n,) or responsibilities (n, k). Rules see the rows
        as if they were independent, and a state then stays with probability 0.9; "auto" with left-to-right first tries equal
        parts of each sequence.
    prior : "auto", "default", None or dict
        As in ``Mixture``; a dict also sets ``startprob`` and ``transmat`` (Dirichlet alpha, numbers or arrays >= 1) and
        ``sticky`` (moves imagined to stay in each state).
    n_init, algorithm, accelerate, search, progressive, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``Mixture``; ``algorithm="cem"`` is Viterbi training.

    Attributes
    ----------
    startprob_ (k,), transmat_ (k, k), and the family's parameters
        States come in decreasing order of the share of rows they are expected to have, ``weights_`` (k,), unless init, labels,
        fixed entries or the topology give an order.
    blank_rows_ : int
        Steps of time that had no row, where there were any: each is a row in which everything is missing.
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How it ended; see ``summary()``.

    Examples
    --------
    >>> import numpy as np, estep
    >>> X = np.array([[0.1], [0.2], [0.0], [5.1], [5.0], [4.9], [0.1], [0.0]])
    >>> fit = estep.HMM(estep.Normal("EII"), 2, random_state=0).fit(X)
    >>> fit.predict(X).tolist()
    [0, 0, 0, 1, 1, 1, 0, 0]
    """

    def __init__(
        self,
        family: Any = None,
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
        self.topology = topology
        self.bandwidth = bandwidth
        self.absorbing = absorbing
        self.end = end
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
        labels: Any = None,
        sequence: Any = None,
        lengths: Any = None,
        time: Any = None,
    ) -> HMM:
        """Fit to the sequences of ``X``; see the class for the settings.

        Parameters
        ----------
        X : array, DataFrame or list of these
            A list holds a sequence each; a matrix or table is one sequence, unless the arguments below say more. NaN marks a
            missing entry, a row of NaN a missing observation.
        y : array (n,), list of arrays or None
            Known states; -1, NaN or None is unlabelled. Every row labelled: the fit counts.
        sample_weight : array (s,) or (n,), or None
            Frequency of each sequence: 2 is seen twice, 0 is absent; per row all rows of a sequence share it.
        labels : sequence or boolean array (n, k)
            Sets of permitted states.
        sequence : array (n,) or name of a column
            The id of each row's sequence; the rows of a sequence may lie apart.
        lengths : ints (s,)
            Rows of each sequence, in order; they add up to n.
        time : array (n,) or name of a column
            Whole numbers or dates, increasing within a sequence; steps without a row become missing rows.

        Raises
        ------
        ValueError
            Naming the argument, what was found and what to do.
        """
        arguments = Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time)
        fitted: HMM = fit_chain(self, arguments, Normal() if self.family is None else self.family)
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
        return methods.tags(super().__sklearn_tags__(), self.family)


class GaussianHMM(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Hidden Markov model with Gaussian rows.

    ``x_t | z_t = k ~ N(mu_k, Sigma_k)``

    Parameters
    ----------
    n_states : int
        Number of states.
    covariance_type : str
        "full" "tied" "diag" "spherical", or a code "EII" ... "VVV" (volume, shape, orientation: equal, varying, identity).
    topology, bandwidth, absorbing, end, init, prior
        As in ``HMM``.
    n_init, algorithm, accelerate, search, progressive, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``HMM``.

    Attributes
    ----------
    startprob_ (k,), transmat_ (k, k), means_ (k, d), covariances_
        Covariances in scikit-learn's shapes for its names, (k, d, d) for codes.
    weights_, converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        As in ``HMM``.

    Examples
    --------
    >>> import numpy as np, estep
    >>> rng = np.random.default_rng(0)
    >>> X = [np.concatenate([rng.normal(0, 1, 30), rng.normal(6, 1, 20)])[:, None] for _ in range(3)]
    >>> fit = estep.GaussianHMM(2, topology="left-to-right", random_state=0).fit(X)
    >>> fit.means_.round(0).astype(int).ravel().tolist(), fit.transmat_[1].tolist()
    ([0, 6], [0.0, 1.0])
    """

    def __init__(
        self,
        n_states: int = 1,
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
        self.n_states = n_states
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
        labels: Any = None,
        sequence: Any = None,
        lengths: Any = None,
        time: Any = None,
    ) -> GaussianHMM:
        """Fit to the sequences of ``X``; see ``HMM.fit``."""
        arguments = Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time)
        fitted: GaussianHMM = fit_chain(self, arguments, Normal(self.covariance_type))
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
        return methods.tags(super().__sklearn_tags__(), Normal(self.covariance_type))
