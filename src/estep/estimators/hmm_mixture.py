"""Mixtures of hidden Markov models as a scikit-learn estimator: every sequence follows one of several."""

from __future__ import annotations

import dataclasses
from typing import Any

from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks

from estep.core.result import Result
from estep.estimators import class_methods, forecasts, methods, sequence_inference, sequence_methods, streaming
from estep.estimators import estimate_methods as estimates
from estep.estimators.mixture_starts import mixture_starts
from estep.estimators.rows import Arguments
from estep.estimators.seam import Spec, fit_latent, published
from estep.estimators.settings import absorbing_of, check_settings
from estep.families.normal import Normal
from estep.families.repeated import Repeated
from estep.structures.chain import Chain


class HMMMixture(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Mixture of hidden Markov models: each sequence belongs to one of ``n_components`` classes and follows its chain.

    ``c ~ weights,  z_1 | c ~ startprob[c],  z_t | z_{t-1} = i, c ~ transmat[c, i],  x_t | z_t = j, c ~ p(x | theta_cj)``

    It is one chain on the states of all classes side by side, without moves between classes, so that everything of ``HMM``
    works: missing values, weights of sequences, priors, fixed entries, long sequences. Known classes go into ``y``.

    Parameters
    ----------
    family : Family
        How a row looks once its state is known; None is ``Normal()``.
    n_components : int
        Number of classes of sequences.
    n_states : int
        Number of states in each class.
    shared : bool
        Whether state j looks the same in every class, so that classes differ in starts and moves alone.
    topology, bandwidth, absorbing, end
        As in ``HMM``, within each class.
    init, n_init
        As in ``HMM``; also classes of the sequences to begin from, integers (s,).
    algorithm, accelerate, prior, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``HMM``. ``fixed``, ``tied`` and dicts of ``init`` speak of the states of all classes end to end: ``startprob``
        (K m,), joint over class and first state, ``transmat`` (K m, K m), zero between classes, and of the family's K m
        components (with ``shared``, m).

    Attributes
    ----------
    weights_ (K,), startprob_ (K, m), transmat_ (K, m, m)
        Classes in decreasing order of weight; states in decreasing order of the share of rows of their class, or, where they
        are shared, of all rows. An order of the user's own (init, y, fixed entries, a topology) is kept.
    means_ (K, m, d), rates_ (K, m, d) ...
        The family's parameters; with ``shared`` without the first axis.
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How it ended; see ``summary()``.

    Notes
    -----
    Source: Smyth (1997), Clustering Sequences with Hidden Markov Models, Advances in Neural Information Processing Systems 9.

    Examples
    --------
    >>> import numpy as np, estep
    >>> calm = [np.repeat([0.0, 4.0], 10)[:, None] + 0.2 * np.sin(np.arange(20.0) + i)[:, None] for i in range(6)]
    >>> hasty = [np.tile([0.0, 4.0], 10)[:, None] + 0.2 * np.cos(np.arange(20.0) + i)[:, None] for i in range(4)]
    >>> fit = estep.HMMMixture(estep.Normal("EII"), 2, 2, shared=True, random_state=0).fit(calm + hasty)
    >>> fit.predict(calm + hasty).tolist(), fit.weights_.round(2).tolist()
    ([0, 0, 0, 0, 0, 0, 1, 1, 1, 1], [0.6, 0.4])
    """

    def __init__(
        self,
        family: Any = None,
        n_components: int = 1,
        n_states: int = 1,
        *,
        shared: bool = False,
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
        self.n_components = n_components
        self.n_states = n_states
        self.shared = shared
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
        sequence: Any = None,
        lengths: Any = None,
        time: Any = None,
    ) -> HMMMixture:
        """Fit to the sequences of ``X``; see the class for the settings.

        Parameters
        ----------
        X : list of arrays or tables, or array or DataFrame with sequence= or lengths=
            As in ``HMM.fit``.
        y : array (s,) or None
            Known classes of sequences, in the order in which sequences first appear; -1, NaN or None is unlabelled.
        sample_weight : array (s,) or (n,), or None
            Frequency of each sequence.
        sequence, lengths, time
            As in ``HMM.fit``.

        Raises
        ------
        ValueError
            Naming the argument, what was found and what to do.
        """
        check_settings(self)
        absorbing = absorbing_of(self)
        classes, m = self.n_components, self.n_states
        chain = Chain(self.topology, self.bandwidth, absorbing, bool(self.end), blocks=classes)
        chain.start(classes * m)
        family = Normal() if self.family is None else self.family
        family = Repeated(family, classes, m) if self.shared else family
        told = Arguments(X, y, sample_weight, None, None, None, None, sequence, lengths, time)
        spec = Spec(family, classes * m, structure=chain, argument="n_components * n_states", starts=mixture_starts)
        fit_latent(self, told, spec)
        result = class_methods.in_order(self, self.result_, y)
        for name, value in self.published_as(dataclasses.replace(result, state=None)).items():
            setattr(self, name, value)
        return self

    def published_as(self, result: Result) -> dict[str, Any]:
        """Fitted attributes, class by class."""
        return class_methods.by_class(published(self, result), self.n_components, self.n_states, self.shared)

    @property
    def _reports(self) -> dict[str, str]:
        """What is reported with standard errors, and after which parameter of the model its scale is chosen."""
        return {name: "startprob" if name == "weights" else name for name in self.params_}

    def _count(self) -> int:
        """Number of states of a loaded mixture, all classes together."""
        return int(self.n_components * self.n_states)

    predict = class_methods.predict
    predict_proba = class_methods.predict_proba
    decode = class_methods.decode
    forecast = forecasts.forecast
    score_samples = sequence_methods.score_samples
    score = sequence_methods.score
    sample = class_methods.sample
    bic = sequence_methods.bic
    aic = sequence_methods.aic
    standard_errors = sequence_inference.standard_errors
    confint = sequence_inference.confint
    diagnose = sequence_inference.diagnose
    influence = sequence_inference.influence
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    summary = class_methods.summary
    title = property(class_methods.title)
    plot = class_methods.plot
    save = methods.save
    partial_fit = streaming.partial_fit
    _read = class_methods.read

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        return methods.tags(super().__sklearn_tags__(), self.family)
