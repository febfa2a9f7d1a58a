"""Autoregressive hidden Markov models as a scikit-learn estimator: each row is regressed on the rows before it."""

from __future__ import annotations

import dataclasses
from typing import Any

from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks

from estep.estimators import autoregression, gated_inference, gated_sequences, methods
from estep.estimators import estimate_methods as estimates
from estep.estimators.gated_methods import names_of_covariates
from estep.estimators.regressions import FAMILIES
from estep.estimators.rows import Arguments
from estep.estimators.seam import Spec, fit_latent
from estep.estimators.settings import absorbing_of, check_settings
from estep.structures.chain import Chain

ONE_NUMBER = ("linear", "poisson", "gamma", "logistic")
"""Regressions whose response is one number a row, as its lags are."""


class AutoregressiveHMM(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Hidden Markov model whose rows are regressed on the rows before them (Markov-switching autoregression).

    ``x_t | z_t = k ~ p(x_t | intercept_k + sum_l coefs_kl x_{t-l} + coefs_k . covariates_t)``

    Rows without complete history, the first of each sequence and those after a gap, count for nothing themselves: the
    likelihood is that of the other rows given their histories, and the chain runs through all of them.

    Parameters
    ----------
    n_states : int
        Number of states.
    lags : int or list of ints
        How many rows back, or which.
    family : str or regression family
        "linear" (normal errors), "poisson", "gamma" (both on lags as they are, log link), "logistic" (rows of 0 and 1), or an
        object such as ``estep.families.LinearRegression()``.
    intercept : bool
        Whether each state has an intercept.
    ridge : float
        As in ``MixtureOfRegressions``.
    topology, bandwidth, absorbing, end
        As in ``HMM``.
    init, n_init, algorithm, accelerate, prior, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``HMM``; the family's parameters are ``coefs`` (k, p), lags first, ``intercepts`` (k,) and ``scales`` (linear)
        or ``shapes`` (gamma). ``tied=dict(coefs=np.zeros((2, 1), int))``: the same autoregression in both states.

    Attributes
    ----------
    startprob_ (k,), transmat_ (k, k), coefs_ (k, p), intercepts_ (k,), scales_ (k,)
        States in decreasing order of the share of rows they are expected to have, as in ``HMM``.
    weights_, converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        As in ``HMM``.

    Notes
    -----
    The mean belongs to the regression (x_t on x_{t-1}), and not to deviations from means that switch with the state of t - 1
    as well, as in Hamilton's first model. Source: Hamilton (1989), Econometrica 57:357; Kim & Nelson (1999), State-Space Models
    with Regime Switching, chapter 4.

    Examples
    --------
    >>> import numpy as np, estep
    >>> rng = np.random.default_rng(0)
    >>> x = [0.0]
    >>> for t in range(300):
    ...     x.append((0.9 if t // 75 % 2 else -0.7) * x[-1] + rng.normal())
    >>> fit = estep.AutoregressiveHMM(2, random_state=0).fit(np.array(x))
    >>> sorted(fit.coefs_[:, 0].round(1).tolist())
    [-0.7, 0.9]
    """

    def __init__(
        self,
        n_states: int = 1,
        *,
        lags: Any = 1,
        family: Any = "linear",
        intercept: bool = True,
        ridge: float = 0.0,
        topology: str = "full",
        bandwidth: int | None = None,
        absorbing: Any = (),
        end: bool = False,
        n_init: int = 10,
        init: Any = "auto",
        algorithm: Any = "em",
        accelerate: Any = "auto",
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
        self.lags = lags
        self.family = family
        self.intercept = intercept
        self.ridge = ridge
        self.topology = topology
        self.bandwidth = bandwidth
        self.absorbing = absorbing
        self.end = end
        self.n_init = n_init
        self.init = init
        self.algorithm = algorithm
        self.accelerate = accelerate
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
    ) -> AutoregressiveHMM:
        """Fit to the sequences of ``X``; see the class for the settings.

        Parameters
        ----------
        X : array (n,) or (n, 1), DataFrame, or list of these
            One column; NaN marks a missing value, and the rows that look back on it have no complete history.
        y : array (n,), list of arrays or None
            Known states; -1, NaN or None is unlabelled.
        covariates : array or DataFrame (n, q), list of these, or names of columns of X
            More columns of the regression, beside the lags.
        sample_weight, labels, sequence, lengths, time
            As in ``HMM.fit``.

        Raises
        ------
        ValueError
            Naming the argument, what was found and what to do.
        """
        check_settings(self)
        absorbing = absorbing_of(self)
        chain = Chain(self.topology, self.bandwidth, absorbing, bool(self.end))
        chain.start(self.n_states)
        told = Arguments(X, y, sample_weight, labels, None, None, covariates, sequence, lengths, time)
        own = gated_sequences.with_own_columns(told).covariates
        names = () if own is None else names_of_covariates(gated_sequences.end_to_end(own))
        columns = (*(f"lag{step}" for step in autoregression.lags_of(self)), *names)
        spec = Spec(self._family(columns), self.n_states, chain, argument="n_states", starts=autoregression.starts)
        fitted: AutoregressiveHMM = fit_latent(self, told, spec)
        return fitted

    def _family(self, columns: tuple[str, ...]) -> Any:
        """The regression that ``family`` stands for."""
        if isinstance(self.family, str):
            if self.family not in ONE_NUMBER:
                raise ValueError(f"family={self.family!r} is unknown; choose one of {list(ONE_NUMBER)} or give a regression")
            return FAMILIES[self.family](intercept=bool(self.intercept), ridge=float(self.ridge), columns=columns)
        if isinstance(self.family, type) or not hasattr(self.family, "means"):
            raise TypeError(f"family must be one of {list(ONE_NUMBER)} or a regression such as LinearRegression()")
        if self.ridge != 0 or self.intercept is not True:
            raise ValueError("ridge and intercept belong to the family where it is given as an object; set them there")
        return dataclasses.replace(self.family, columns=columns)

    predict = gated_sequences.predict
    predict_proba = gated_sequences.predict_proba
    decode = gated_sequences.decode
    forecast = autoregression.forecast
    pseudo_residuals = autoregression.pseudo_residuals
    score_samples = gated_sequences.score_samples
    score = gated_sequences.score
    sample = autoregression.sample
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
    summary = autoregression.summary
    title = property(autoregression.title)
    plot = autoregression.plot
    save = methods.save
    _read = autoregression.read
    _blank_row = autoregression.blank_row

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        tags = methods.tags(super().__sklearn_tags__())
        tags.input_tags.one_d_array = True
        return tags
