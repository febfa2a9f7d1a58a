"""Factorial hidden Markov models as a scikit-learn estimator: several chains behind one observation."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks

from estep.core.record import Array
from estep.core.result import Result
from estep.engine.passing import passing_result
from estep.engine.presets import variant_of
from estep.engine.restart import Start, fit_starts
from estep.engine.run import Control
from estep.estimators import estimate_methods as estimates
from estep.estimators import factorial_methods, methods, sequence_inference
from estep.estimators.constraints import constraints_of
from estep.estimators.factorial_starts import effect_starts, factorial_starts, given_effects
from estep.estimators.fitting import seed_of
from estep.estimators.rows import Arguments, Target, require_enough
from estep.estimators.seam import Spec, fit_latent, published, read
from estep.estimators.settings import check_settings
from estep.estimators.warnings import warn_of
from estep.estimators.watching import watcher
from estep.families.additive_normal import AdditiveNormal
from estep.families.normal import Normal
from estep.models.factorial import Factorial
from estep.structures.factorial import FactorialChain

EXACT = 256
"""Combinations up to which inference="auto" is exact."""


class FactorialHMM(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Factorial hidden Markov model: independent chains of states that make up every row together.

    ``x_t ~ N(W_1[z_1t] + .. + W_M[z_Mt], C)``, or with a family ``x_t ~ p(x | theta_z)``, z the combination of states

    Parameters
    ----------
    family : Family or None
        None: normal rows whose mean is a sum of effects, one for the state of each chain, with a shared covariance. A family: a
        component of its own for every combination of states.
    chains : tuple of int
        Number of states of each chain.
    covariance_type : "full", "diag" or "spherical"
        The shared covariance, where there is no family.
    inference : "auto", "exact" or "variational"
        "exact" goes through all combinations; "variational" through the chains one at a time (no family) and climbs a lower
        bound of the likelihood, which then stands wherever a likelihood is named. "auto" is exact up to 256 combinations.
    init : str, dict or array
        Effects: "auto" ("axes" and "random"), or a dict of starting parameters. With a family as in ``HMM``; its components
        are dealt to the combinations anew for every start.
    prior : "auto", "default", None or dict
        As in ``Mixture``; a dict also sets ``startprob`` and ``transmat`` (Dirichlet alpha, numbers >= 1) and ``sticky``.
    n_init, algorithm, accelerate, fixed, tied, tol, max_iter, random_state, n_jobs, progress
        As in ``HMM``. Parameters are ``startprob_0``, ``transmat_0``, ``startprob_1``, .., ``effects``, ``covariances``.

    Attributes
    ----------
    startprobs_, transmats_ : lists of arrays (K_m,), (K_m, K_m)
        Each chain's; also one by one as ``startprob_0_``, ``transmat_0_``, ...
    effects_ (K_1 + .. + K_M, d), covariances_
        Effects chain by chain, those of all but the first with mean zero; ``chain_effects_`` has them apart.
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        As in ``HMM``.

    References
    ----------
    Ghahramani & Jordan (1997), Machine Learning 29:245.

    Examples
    --------
    >>> import numpy as np, estep
    >>> slow, fast = np.repeat([0, 1, 0], 40), np.tile(np.repeat([0, 1], 5), 12)
    >>> X = (10.0 * slow + 3.0 * fast + np.random.default_rng(0).normal(size=120))[:, None]
    >>> fit = estep.FactorialHMM(chains=(2, 2), random_state=0).fit(X)
    >>> sorted(round(float(np.ptp(effects))) for effects in fit.chain_effects_)
    [3, 10]
    """

    def __init__(
        self,
        family: Any = None,
        chains: Any = (2, 2),
        *,
        covariance_type: str = "full",
        inference: str = "auto",
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
        self.family = family
        self.chains = chains
        self.covariance_type = covariance_type
        self.inference = inference
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
        sequence: Any = None,
        lengths: Any = None,
        time: Any = None,
    ) -> FactorialHMM:
        """Fit to the sequences of ``X``; see the class for the settings.

        Parameters
        ----------
        X, sample_weight, sequence, lengths, time
            As in ``HMM.fit``. Variational inference reads rows that are whole, or missing altogether.
        y : array (n, M), list of arrays or None
            Known states of each chain; -1 or NaN is unknown. Exact inference only.

        Raises
        ------
        ValueError
            Naming the argument, what was found and what to do.
        """
        check_settings(self)
        structure = FactorialChain(self._sizes())
        exact = self._is_exact(structure.k)
        if y is not None and not exact:
            raise ValueError("y: known states need inference='exact'")
        arguments = Arguments(X, y, sample_weight, None, None, sequence=sequence, lengths=lengths, time=time)
        if not exact:
            return self._fit_bound(arguments, structure)
        family = AdditiveNormal(structure.sizes, self.covariance_type) if self.family is None else self.family
        spec = Spec(family, structure.k, structure=structure, argument="the product of chains", starts=factorial_starts)
        fitted: FactorialHMM = fit_latent(self, arguments, spec)
        return fitted

    def _sizes(self) -> tuple[int, ...]:
        try:
            sizes = tuple(operator.index(size) for size in self.chains)
        except TypeError:
            raise ValueError(f"chains={self.chains!r} must be a tuple of integers >= 1: the states of each chain") from None
        if not sizes or min(sizes) < 1:
            raise ValueError(f"chains={self.chains!r} must be a tuple of integers >= 1: the states of each chain")
        return sizes

    def _is_exact(self, k: int) -> bool:
        choices = {"auto": self.family is not None or k <= EXACT, "exact": True, "variational": False}
        if self.inference not in choices:
            raise ValueError(f"inference={self.inference!r} is unknown; choose 'auto', 'exact' or 'variational'")
        if self.inference == "variational" and self.family is not None:
            raise ValueError("inference='variational' adds up effects (family=None); a family needs inference='exact'")
        return choices[self.inference]

    def _fit_bound(self, arguments: Arguments, structure: FactorialChain) -> FactorialHMM:
        """Climb the bound, from effects that tell the chains apart."""
        rows = read(self, arguments, Target(Normal(), structure.k, 1), reset=True)
        require_enough(rows, max(structure.sizes), "chains")
        data, variant = rows.data(self.n_jobs), variant_of(self.algorithm, self.accelerate)
        model = Factorial(structure, AdditiveNormal(structure.sizes, self.covariance_type)).bind(data)
        if why := model.refuses(variant.assign):
            raise ValueError(why)
        constraints = constraints_of(model, rows.d, self.fixed, self.tied)  # type: ignore[arg-type]
        model = dataclasses.replace(model, constraints=constraints)
        if isinstance(self.prior, Mapping):
            model = model.with_prior(dict(self.prior))
        if isinstance(self.init, Mapping):
            starts = [Start("given parameters", lambda: given_effects(model, self.init, rows.d))]
        else:
            starts = effect_starts(model, self.init, self.n_init, seed_of(self.random_state))
        with watcher(self, arguments.X, None, lambda state: self.published_as(passing_result(model, state))) as watch:
            control = Control(tol=self.tol, max_iter=self.max_iter, watch=watch, catch=not getattr(self, "_enclosed", False))
            result = fit_starts(model, data, starts, dataclasses.replace(variant, certificate="bound"), control)
        params = model.fresh(result.params.structure, result.params.family)
        for name, value in self.published_as(dataclasses.replace(result, params=params, first=None, state=None)).items():
            setattr(self, name, value)
        warn_of(result, type(self).__name__)
        return self

    def published_as(self, result: Result) -> dict[str, Any]:
        """The fitted attributes that follow from a result; ``weights_`` of combinations where these are gone through."""
        if not isinstance(result.model, Factorial):
            return published(self, factorial_methods.levelled(result))
        params, model = result.params, result.model
        shown = {name: getattr(params.structure, name) for name in model.structure.names} | model.family.expose(params.family)
        return {
            "result_": result,
            "params_": shown,
            **{f"{name}_": value for name, value in shown.items()},
            "converged_": result.converged,
            "status_": result.status,
            "n_iter_": result.passes,
            "log_likelihood_": result.loglik,
            "objective_": result.objective,
            "trace_": result.trace.objective,
            "starts_": result.starts,
        }

    @property
    def startprobs_(self) -> list[Array]:
        """Starts of each chain, (K_m,)."""
        return list(self._fitted("startprobs_").structure.startprob)

    @property
    def transmats_(self) -> list[Array]:
        """Moves of each chain, (K_m, K_m)."""
        return list(self._fitted("transmats_").structure.transmat)

    @property
    def chain_effects_(self) -> list[Array]:
        """Effects of each chain, (K_m, d); only without a family."""
        family = self._fitted("chain_effects_").family
        if not hasattr(family, "effects"):
            raise AttributeError("chain_effects_: with a family every combination has a component of its own")
        return [family.effects[own] for own in self.result_.model.family.chains]

    def _fitted(self, name: str) -> Any:
        if "result_" not in self.__dict__:
            raise AttributeError(f"{name}: fit the model first")
        return self.result_.params

    def _check_loaded(self, result: Result, columns: dict[str, Any]) -> None:
        """Raise ValueError unless the parameters of a file belong together."""
        model, params, d = result.model, result.params, columns.get("n_features_in_")
        if tuple(model.structure.sizes) != self._sizes() or model.k != math.prod(self._sizes()):
            raise ValueError("its chains are not those of its settings")
        model.support(params).check(params)
        rows, labels = model.sample(params, 1, np.random.default_rng(0))
        if np.shape(rows) != (1, d) or not 0 <= labels[0] < model.k:
            raise ValueError("its columns are miscounted")

    predict = factorial_methods.predict
    predict_proba = factorial_methods.predict_proba
    decode = factorial_methods.decode
    forecast = factorial_methods.forecast
    score_samples = factorial_methods.score_samples
    score = factorial_methods.score
    sample = factorial_methods.sample
    bic = factorial_methods.bic
    aic = factorial_methods.aic
    standard_errors = sequence_inference.standard_errors
    confint = sequence_inference.confint
    diagnose = sequence_inference.diagnose
    influence = sequence_inference.influence
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    summary = factorial_methods.summary
    title = property(factorial_methods.title)
    plot = factorial_methods.plot
    save = methods.save
    _read = factorial_methods.read

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        return methods.tags(super().__sklearn_tags__(), self.family)
