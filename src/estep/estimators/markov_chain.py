"""Markov chains of states that are seen, as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks

from estep.core.assign import SOFT
from estep.engine.restart import Start
from estep.engine.visit import total
from estep.estimators import estimate_methods as estimates
from estep.estimators import markov_methods, methods, sequence_inference, sequence_methods, streaming
from estep.estimators.rows import Arguments, Rows
from estep.estimators.seam import Spec, fit_latent
from estep.estimators.settings import check_settings
from estep.estimators.starts import Task
from estep.families.observed import Observed, ObservedParams
from estep.inference.check_moves import unleft
from estep.models.latent import Latent, LatentParams
from estep.structures.chain import Chain, ChainParams
from estep.structures.topology import moves_allowed, starts_allowed


class MarkovChain(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Markov chain of order one on states that are seen, some of them missing.

    ``P(s_1..n) = startprob[s_1] prod_t transmat[s_{t-1}, s_t]``

    Without missing states ``transmat[i, j] = n_ij / n_i``, the moves from i to j among all from i; missing states are summed
    over exactly.

    Parameters
    ----------
    states : sequence or None
        The states in the order wanted, those never seen included; None: those seen, sorted.
    topology, bandwidth, absorbing, end
        As in ``HMM``: structural zeros, and with ``end`` a probability of ending from each state, the last column of
        ``transmat_``.
    prior : None or dict
        Dirichlet alpha, ``dict(startprob=..., transmat=...)``, numbers or arrays >= 1 (``transmat=2.0``: every move seen once
        more), and ``sticky``, moves imagined to stay in each state.
    fixed, tied : dict or None
        Entries held, ``dict(transmat=...)`` with NaN where free, and entries of a row that share a value.
    tol, max_iter, n_jobs
        Of EM, which states that are missing need; with none missing it is over at once.
    random_state : int, RandomState or None
        Of ``sample``.

    Attributes
    ----------
    states_ : array (k,)
        The states, in the order of everything below.
    startprob_ (k,), transmat_ (k, k)
        A state that is never left keeps equal probabilities, and a warning names it.
    counts_ : array (k, k)
        Moves, expected where states are missing.
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, result_
        How it ended.

    Notes
    -----
    Source: Kemeny & Snell (1976), Finite Markov Chains; the example is theirs.

    Examples
    --------
    >>> import numpy as np, estep
    >>> oz = estep.MarkovChain().fit([["rain", "nice", "snow", "snow", "rain"], ["snow", None, "rain", "rain", "nice", "rain"]])
    >>> oz.states_.tolist(), oz.transmat_[0].round(3).tolist()
    (['nice', 'rain', 'snow'], [0.0, 0.5, 0.5])
    >>> oz.stationary().round(2).tolist()
    [0.28, 0.48, 0.24]
    """

    n_init = 1
    init = "auto"
    algorithm = "em"
    accelerate = "auto"
    progress = False

    def __init__(
        self,
        *,
        states: Any = None,
        topology: str = "full",
        bandwidth: int | None = None,
        absorbing: Any = (),
        end: bool = False,
        prior: Any = None,
        fixed: Any = None,
        tied: Any = None,
        tol: float = 1e-8,
        max_iter: int = 1000,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.states = states
        self.topology = topology
        self.bandwidth = bandwidth
        self.absorbing = absorbing
        self.end = end
        self.prior = prior
        self.fixed = fixed
        self.tied = tied
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        sequence: Any = None,
        lengths: Any = None,
        time: Any = None,
    ) -> MarkovChain:
        """Count moves.

        Parameters
        ----------
        X : states, list of sequences of states, or table
            Labels: text, whole numbers or booleans; None and NaN are missing. A list of lists or arrays holds a sequence each,
            anything else is one sequence unless the arguments below say more. Rows of a file or a cluster are brought here.
        y : None
            Not used.
        sample_weight : array (s,) or (n,), or None
            Frequency of each sequence: 2 is seen twice, 0 is absent.
        sequence, lengths, time
            As in ``HMM.fit``; a step of time without a row is a missing state.

        Raises
        ------
        ValueError
            Naming the argument, what was found and what to do.
        """
        check_settings(self)
        told = Arguments(X, None, sample_weight, None, None, None, None, sequence, lengths, time)
        self.states_ = markov_methods.learned_states(self, told)
        absorbing = tuple(int(i) for i in markov_methods.places(self, self.absorbing))
        chain, k = Chain(self.topology, self.bandwidth, absorbing, bool(self.end)), len(self.states_)
        chain.start(k)
        spec = Spec(Observed(k), k, structure=chain, argument="states", starts=_start, few=True)
        fitted: MarkovChain = fit_latent(self, told, spec)
        self._warn_of_unleft()
        return fitted

    def _count(self) -> int:
        """Number of states of a loaded chain."""
        return len(self.states_)

    def _describe(self, rows: Rows) -> dict[str, Any]:
        """What was counted."""
        result = self.result_
        found = total(result.model, rows.data(self.n_jobs), result.params, SOFT).stats.structure
        return {"counts_": found.pairs}

    def _warn_of_unleft(self) -> None:
        """Say which states were never left, though they may be and nothing else says how."""
        never = unleft(self.result_.model, self.result_.params, self.counts_)
        if never.any():
            names = ", ".join(map(repr, self.states_[never].tolist()))
            warnings.warn(
                f"MarkovChain: {names} was never left, so its moves cannot be told and are taken as equally likely; declare it "
                "absorbing, set a prior, or fix its row",
                UserWarning,
                stacklevel=4,
            )

    predict = markov_methods.predict
    predict_proba = markov_methods.predict_proba
    forecast = markov_methods.forecast
    posterior = markov_methods.posterior
    decode = markov_methods.decode
    score_samples = sequence_methods.score_samples
    score = sequence_methods.score
    bic = sequence_methods.bic
    aic = sequence_methods.aic
    sample = markov_methods.sample
    square = markov_methods.square
    classes = markov_methods.classes
    is_irreducible = markov_methods.is_irreducible
    is_ergodic = markov_methods.is_ergodic
    stationary = markov_methods.stationary
    long_run = markov_methods.long_run
    absorption = markov_methods.absorption
    hitting = markov_methods.hitting
    standard_errors = sequence_inference.standard_errors
    confint = sequence_inference.confint
    diagnose = sequence_inference.diagnose
    influence = sequence_inference.influence
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    summary = markov_methods.summary
    title = property(markov_methods.title)
    plot = markov_methods.plot
    save = methods.save
    partial_fit = streaming.partial_fit
    _read = markov_methods.read

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        tags = methods.tags(super().__sklearn_tags__())
        tags.input_tags.categorical = tags.input_tags.string = tags.input_tags.one_d_array = True
        return tags


def _start(model: Latent, task: Task) -> list[Start]:
    """Every move there is equally likely."""

    def make() -> LatentParams:
        starts, moves = (np.asarray(mask, dtype=float) for mask in _masks(model))
        params = LatentParams(ChainParams(starts / starts.sum(), moves / moves.sum(axis=1, keepdims=True)), ObservedParams())
        support = model.support(params)
        held: LatentParams = support.unpack(support.pack(params), params)
        return held

    return [Start("equal moves", make)]


def _masks(model: Latent) -> tuple[Any, Any]:
    return starts_allowed(model.structure, model.k), moves_allowed(model.structure, model.k)
