"""Hidden semi-Markov models as a scikit-learn estimator: states that last for a drawn number of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks

from estep.core.record import Array
from estep.estimators import estimate_methods as estimates
from estep.estimators import (
    forecasts,
    methods,
    semimarkov_methods,
    sequence_inference,
    sequence_methods,
    sequence_pictures,
    streaming,
)
from estep.estimators.rows import Arguments
from estep.estimators.seam import Spec, fit_latent
from estep.estimators.semimarkov_starts import semimarkov_starts
from estep.estimators.sequences import read_sequences
from estep.estimators.settings import absorbing_of, check_settings
from estep.families.binomial import Binomial
from estep.families.categorical import Categorical
from estep.families.geometric import Geometric
from estep.families.negative_binomial import NegativeBinomial
from estep.families.normal import Normal
from estep.families.poisson import Poisson
from estep.structures.semimarkov import SemiMarkov

DURATIONS: dict[str, Callable[[int | None], Any]] = {
    "poisson": lambda most: Poisson(),
    "geometric": lambda most: Geometric(),
    "negative_binomial": lambda most: NegativeBinomial(),
    "categorical": lambda most: Categorical((_told(most, "categorical"),)),
    "binomial": lambda most: Binomial(max(_told(most, "binomial") - 1, 1)),
}
"""Laws of durations by name, from the longest duration."""


class SemiMarkovHMM(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Hidden semi-Markov model with ``n_states`` states, rows of any family, and durations by any family of counts.

    ``D - 1 ~ duration(theta_j)`` rows in state j, then a move to another state; ``x_t | z_t = k ~ p(x | theta_k)``

    Sequences stop while their last segment may still be running (right-censored); a first segment begins with the first row.
    Missing values, sequence weights, partial labels, fixed, tied and zero parameters and priors work alone and together.

    Parameters
    ----------
    family : Family
        How a row looks once its state is known; None is ``estep.Normal()``.
    n_states : int
        Number of states.
    duration : str or Family
        The law of durations less one: "poisson", "geometric" (an ordinary hidden Markov model), "negative_binomial",
        "categorical" (any law on 1 .. ``max_duration``), "binomial" (on 1 .. ``max_duration``), or a family of counts.
    max_duration : int or None
        The longest duration; a law without an end of its own is taken given that. None: as long as sequences last. A pass takes
        time in proportion to rows x longest duration: give it for long sequences.
    topology, bandwidth, absorbing
        As in ``HMM``, for moves to other states.
    censored : bool
        Whether the last segment may go on after the last row; False: it ends there.
    init : str, dict or array
        As in ``HMM``. Rules see rows as if they were independent; the best path of a sticky chain makes the first segments.
    prior : "auto", "default", None or dict
        As in ``Mixture``; a dict also sets ``startprob`` and ``transmat`` (Dirichlet alpha, numbers or arrays >= 1) and
        ``durations`` (segments imagined in each state, of mean duration about 10).
    n_init, algorithm, accelerate, search, progressive, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``HMM``; ``algorithm="cem"`` is Viterbi training.

    Attributes
    ----------
    startprob_ (k,), transmat_ (k, k)
        Starts, and moves to other states: the diagonal is zero.
    duration_rates_, duration_probs_, ...
        The duration family's parameters, its names with ``duration_`` before them, (k, 1); they are of D - 1.
    durations_ (k, D)
        Probabilities of lasting 1, 2, ... rows.
    weights_, converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_, and the family's parameters
        As in ``HMM``.

    References
    ----------
    Guedon (2003), J. Computational and Graphical Statistics 12:604; Yu (2010), Artificial Intelligence 174:215.

    Examples
    --------
    >>> import numpy as np, estep
    >>> level = np.tile(np.repeat([0.0, 6.0], [5, 8]), 6)
    >>> X = (level + np.random.default_rng(0).normal(size=level.size))[:, None]
    >>> fit = estep.SemiMarkovHMM(estep.Normal("EII"), 2, random_state=0).fit(X)
    >>> (1 + fit.duration_rates_).round(1).ravel().tolist()  # mean durations
    [8.3, 5.0]
    """

    def __init__(
        self,
        family: Any = None,
        n_states: int = 1,
        *,
        duration: Any = "poisson",
        max_duration: int | None = None,
        topology: str = "full",
        bandwidth: int | None = None,
        absorbing: Any = (),
        censored: bool = True,
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
        self.duration = duration
        self.max_duration = max_duration
        self.topology = topology
        self.bandwidth = bandwidth
        self.absorbing = absorbing
        self.censored = censored
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
    ) -> SemiMarkovHMM:
        """Fit to the sequences of ``X``; see the class for the settings and ``HMM.fit`` for the arguments."""
        check_settings(self)
        structure = self._structure()
        structure.masks(self.n_states)
        spec = Spec(
            Normal() if self.family is None else self.family,
            self.n_states,
            structure=structure,
            argument="n_states",
            starts=semimarkov_starts,
        )
        arguments = Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time)
        fitted: SemiMarkovHMM = fit_latent(self, arguments, spec)
        return fitted

    def _structure(self) -> SemiMarkov:
        """The chain that the settings ask for."""
        law = self.duration
        if isinstance(law, str):
            if law not in DURATIONS:
                raise ValueError(f"duration={law!r} is unknown; choose one of {sorted(DURATIONS)}, or give a family of counts")
            law = DURATIONS[law](self.max_duration)
        absorbing = absorbing_of(self)
        return SemiMarkov(law, self.max_duration, self.topology, self.bandwidth, absorbing, bool(self.censored))

    @property
    def durations_(self) -> Array:
        """Probabilities of lasting 1, 2, ... rows, (k, D)."""
        if "result_" not in self.__dict__:
            raise AttributeError("durations_: fit the model first")
        return semimarkov_methods.duration_table(self)

    predict = sequence_methods.predict
    predict_proba = sequence_methods.predict_proba
    decode = semimarkov_methods.decode
    filter = semimarkov_methods.start_filter
    forecast = semimarkov_methods.forecast
    pseudo_residuals = forecasts.pseudo_residuals
    score_samples = sequence_methods.score_samples
    score = sequence_methods.score
    sample = sequence_methods.sample
    bic = sequence_methods.bic
    aic = sequence_methods.aic
    icl = semimarkov_methods.icl
    standard_errors = sequence_inference.standard_errors
    confint = sequence_inference.confint
    diagnose = sequence_inference.diagnose
    influence = sequence_inference.influence
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    summary = sequence_inference.summary
    title = property(semimarkov_methods.title)
    plot = sequence_pictures.plot
    plot_residuals = sequence_inference.plot_residuals
    plot_durations = semimarkov_methods.plot_durations
    save = methods.save
    partial_fit = streaming.partial_fit
    _read = read_sequences

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        return methods.tags(super().__sklearn_tags__(), self.family)


def _told(most: int | None, name: str) -> int:
    """The longest duration; raises ValueError where there is none."""
    if most is None:
        raise ValueError(f"duration={name!r} needs max_duration: the most rows that a state may last")
    return int(most)
