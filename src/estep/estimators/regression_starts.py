"""Where mixtures of regressions begin: partitions of residuals and covariates, and small random sets of rows.

A mixture of regressions has many local maxima, and a partition that looks sensible need not lie near the best one. So half of
the starts partition the rows by the rules of all mixtures (seen as residuals of the regression of the whole data beside the
covariates); the other half fits each component to a few rows drawn at random, under the weak prior.

Source of the random sets: elemental sets, as in Rousseeuw & Leroy (1987), Robust Regression and Outlier Detection, section 5.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.engine.restart import Start
from estep.estimators.starts import Task, starts_of
from estep.models.latent import Latent
from estep.start.plan import Proposal, begin, respecting


def regression_starts(model: Latent, task: Task) -> list[Start]:
    """The starts that ``init`` asks for; under "auto" every other one from random sets of rows."""
    plain = dataclasses.replace(task, own=None)
    if not (isinstance(task.init, str) and task.init == "auto") or model.k == 1:
        return starts_of(model, plain)
    rules = starts_of(model, dataclasses.replace(plain, n_init=task.n_init - task.n_init // 2))
    told = _told(task.rows.x[1])
    return [*rules, *(_random_sets(model, task, told, i) for i in range(task.n_init - len(rules)))]


def _told(y: Array) -> NDArray[np.intp]:
    """Indices of rows with a response."""
    return np.flatnonzero(~np.isnan(y if y.ndim == 1 else y.sum(axis=1)))


def _random_sets(model: Latent, task: Task, told: NDArray[np.intp], i: int) -> Start:
    """Every component fitted to a few rows of its own."""

    def make() -> object:
        rng = np.random.default_rng([task.seed, 2, i])
        few = min(task.rows.d + 3, max(told.size // model.k, 1))
        weight = None if task.rows.weight is None else task.rows.weight[told]
        size = min(few * model.k, told.size)
        drawn = rng.choice(told, size, replace=False, p=None if weight is None else _shares(weight, size))
        resp = np.eye(model.k)[np.arange(size) % model.k]
        proposal = respecting(Proposal("random rows", drawn, resp, False), task.rows.allowed, model.k)
        return begin(model, task.rows.part(proposal.rows, task.n_jobs), proposal)

    return Start("random rows", make)


def _shares(weight: Array, size: int) -> Array:
    """Probabilities of drawing rows, in proportion to their weights."""
    return np.asarray(weight / weight.sum())
