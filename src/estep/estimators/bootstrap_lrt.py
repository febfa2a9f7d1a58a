"""The bootstrap likelihood ratio test of two estimators: their rows and settings, handed to ``estep.inference.lrt``."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
from sklearn.base import clone

from estep.core.collapse import Collapsed
from estep.data.memory import Memory
from estep.engine.presets import Variant, variant_of
from estep.engine.restart import Start
from estep.engine.run import Control
from estep.estimators.fitting import seed_of
from estep.estimators.methods import _noisy
from estep.estimators.rows import Arguments, Rows, Target
from estep.estimators.seam import read, worth_collapsing
from estep.estimators.settings import require_integer
from estep.estimators.starts import Task, starts_of
from estep.inference.counted import counted, in_batches
from estep.inference.lrt import BootstrapLRT, judged
from estep.inference.refits import refitted
from estep.inference.resample import Sampled, simulated

SETTLED = 1e-3
"""Nats in all to which refits converge: the statistics are right to about twice that."""


def bootstrap_lrt(
    small: Any,
    large: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    n_boot: int = 99,
    stop_after: int | None = None,
    own_starts: int = 4,
    random_state: Any = None,
    n_jobs: int | None = None,
    progress: bool = False,
    **rows: Any,
) -> BootstrapLRT:
    """Test the smaller of two nested models against the larger by the parametric bootstrap of their likelihood ratio.

    ``T = 2 (L_large - L_small)``, compared with that of data drawn from the smaller fit.

    Parameters
    ----------
    small, large : estimators
        Such as mixtures of 2 and of 3 components; those without a fit are fitted (as clones) first.
    X, y, sample_weight, **rows
        The rows of the fits, and what they are given with them; ``y`` are responses of regressions. Gaps stay gaps.
    n_boot : int
        Data sets that are drawn; 99 resolves a p value to 0.01, 999 to 0.001.
    stop_after : int or None
        Stop once so many replicates have reached the statistic (10 is usual): then p is large, and known well enough.
    own_starts : int
        Starts of its own for each refit of the larger model, beside its fitted parameters.
    random_state
        Seed; None takes the smaller estimator's.
    n_jobs : int or None
        Processes; the numbers do not depend on it.
    progress : bool
        Show how far it is, and the time left.

    Raises
    ------
    ValueError
        Where the fits are of other rows or read them differently, where rows are labelled, or where rows cannot be drawn.

    Examples
    --------
    >>> import estep
    >>> X = np.random.default_rng(0).normal(size=(30, 1)) + np.repeat([0, 6], 15)[:, None]
    >>> one, two = (estep.GaussianMixture(k, covariance_type="E", random_state=0) for k in (1, 2))
    >>> estep.bootstrap_lrt(one, two, X, n_boot=19).p_value  # none of 19 draws from one normal is as bimodal
    0.05
    """
    require_integer(n_boot, "n_boot")
    require_integer(own_starts, "own_starts", 0)
    if stop_after is not None:
        require_integer(stop_after, "stop_after")
    arguments = Arguments(X, y, sample_weight, **rows)
    fits = [_fitted(fit, X, y, sample_weight, rows) for fit in (small, large)]
    read_rows = [_rows(fit, arguments) for fit in fits]
    _check_alike(fits, read_rows)
    seed = seed_of(fits[0].random_state if random_state is None else random_state)
    work = _Work(_Side.of(fits[0], 0), _Side.of(fits[1], own_starts), _sampled(fits[0], read_rows[0]), seed)
    statistic = 2.0 * (fits[1].result_.loglik - fits[0].result_.loglik)
    simulated(work.sampled, work.small.model, work.small.params, np.random.default_rng(seed))  # what is refused is refused here
    drawn = counted(in_batches(work.replicate, range(n_boot), n_jobs), n_boot, progress, "bootstrap_lrt", "replicates")
    found = judged(statistic, drawn, stop_after)
    if statistic < -1e-6 * max(float(fits[0].result_.n), 1.0):
        words = f"the larger model ended {-0.5 * statistic:.3g} nats below the smaller; raise its n_init"
        found = dataclasses.replace(found, notes=(words, *found.notes))
    for note in found.notes:
        warnings.warn(f"bootstrap_lrt: {note}", UserWarning, stacklevel=2)
    return found


def _fitted(fit: Any, X: Any, y: Any, sample_weight: Any, rows: Any) -> Any:
    if hasattr(fit, "result_"):
        return fit
    if not hasattr(fit, "get_params") or isinstance(fit, type):
        raise TypeError(f"small and large must be estimators, such as estep.GaussianMixture(2), got {fit!r}")
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    return clone(fit).fit(X, y, **weights, **rows)


def _rows(fit: Any, arguments: Arguments) -> Rows:
    model = fit.result_.model
    return read(fit, arguments, Target(model.family, model.k, model.k - int(_noisy(fit))), reset=False)


def _sampled(fit: Any, rows: Rows) -> Sampled:
    return Sampled(rows.data(1), collapse=worth_collapsing(fit.result_.model.family, rows))


def _check_alike(fits: list[Any], rows: list[Rows]) -> None:
    """Raise ValueError unless both fits are of these rows, and read them as the same numbers."""
    one, two = ((r.x if isinstance(r.x, tuple) else (r.x,)) for r in rows)
    alike = len(one) == len(two) and all(
        np.shape(a) == np.shape(b) and (hasattr(a, "nnz") or np.array_equal(a, b, equal_nan=True))
        for a, b in zip(one, two, strict=True)
    )
    if not alike:
        raise ValueError(
            "small and large read the rows differently, so data drawn from one are none for the other; use one family"
        )
    for name, fit, read_rows in zip(("small", "large"), fits, rows, strict=True):
        if read_rows.allowed is not None:
            raise ValueError(
                f"rows have labels of classes, which {name} has not in common with the other model; leave them out"
            )
        if abs(read_rows.total - fit.result_.n) > 1e-6 * fit.result_.n:
            raise ValueError(
                f"{name} was fitted to a total weight of {fit.result_.n:g}, but X has {read_rows.total:g}; give the same"
            )
        if not fit.result_.converged:
            raise ValueError(f"{name} has not converged ({fit.result_.message}); fit it to the end first")
    if fits[0].result_.n_free >= fits[1].result_.n_free:
        found = f"{fits[0].result_.n_free} and {fits[1].result_.n_free} free parameters"
        raise ValueError(f"small and large have {found}; the first must be the smaller")


@dataclasses.dataclass(frozen=True)
class _Side:
    """One of the two models: where its refits begin, and how they run."""

    model: Any
    params: Any
    variant: Variant
    control: Control
    init: Any
    prior: Any
    noise: bool
    own: int

    @staticmethod
    def of(fit: Any, own: int) -> _Side:
        """The side of a fitted estimator, with ``own`` starts by its rule."""
        return _Side(
            model=fit.result_.model,
            params=fit.result_.params,
            variant=variant_of(fit.algorithm, fit.accelerate),
            control=Control(tol=max(fit.tol, SETTLED / fit.result_.n), max_iter=fit.max_iter, catch=False),
            init=getattr(fit, "init", "auto"),
            prior=getattr(fit, "prior", None),
            noise=_noisy(fit),
            own=own if isinstance(getattr(fit, "init", None), str) else 0,
        )

    def refit(self, data: Memory, seed: int) -> float | str:
        """Log-likelihood of the refit to ``data``, or why there is none."""
        starts = [Start("the fitted parameters", lambda: self.params)]
        try:
            starts += self._own(data, seed) if self.own else []
        except (ValueError, Collapsed) as error:
            return str(error)
        found = refitted(self.model, data, starts, self.variant, self.control)
        return found if isinstance(found, str) else float(found.loglik)

    def _own(self, data: Memory, seed: int) -> list[Start]:
        rows = Rows(data.x, data.weight, data.allowed, None, data.given, ends=data.ends)
        picture = "drawn" if hasattr(self.model.family, "features") else ""
        task = Task(
            model=self.model,
            rows=rows,
            data=data,
            init=self.init,
            n_init=self.own,
            prior=self.prior,
            variant=self.variant,
            control=self.control,
            seed=seed,
            n_jobs=1,
            noise=self.noise,
            picture=picture,
        )
        return starts_of(self.model, task)


@dataclasses.dataclass(frozen=True)
class _Work:
    """What every replicate needs; travels to other processes."""

    small: _Side
    large: _Side
    sampled: Sampled
    seed: int

    def replicate(self, b: int) -> tuple[float, str]:
        """The statistic of replicate ``b``, and in words why there is none ("" where there is)."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(b,)))
        data = simulated(self.sampled, self.small.model, self.small.params, rng)
        ends = []
        for name, side in (("smaller", self.small), ("larger", self.large)):
            end = side.refit(data, int(rng.integers(2**31)))
            if isinstance(end, str):
                return np.nan, f"the {name} model: {end}"
            ends.append(end)
        return 2.0 * (ends[1] - ends[0]), ""
