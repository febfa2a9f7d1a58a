"""Independent Bernoulli columns: yes or no, 1 or 0.

    x_ij | z_i = k ~ Bernoulli(p_kj)

E-step   log p = x log p_kj + (1 - x) log(1 - p_kj) over the observed entries
M-step   p_kj = sum_i r_ik x_ij / sum_i r_ik over the rows where x_ij is observed; 0 and 1 are legal ends
prior    a Beta law: imagined answers in the proportions of the data (columns.py)

symbol   variable   shape
p        probs      (k, d)

Sources: Lazarsfeld & Henry (1968), Latent Structure Analysis; Goodman (1974), Biometrika 61:215.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.ranges import Probability
from estep.core.record import Array, record
from estep.core.support import Support
from estep.families import columns


@record
class BernoulliParams:
    """Probabilities of a 1, ``probs`` (k, d)."""

    probs: Array


@dataclasses.dataclass(frozen=True)
class Bernoulli:
    """Zeros and ones (or False and True), independent given the component: ``p(x) = prod_j p_j^x_j (1 - p_j)^(1 - x_j)``.

    Raises
    ------
    ValueError
        On a value other than 0, 1 and NaN (missing), or a column without values.

    Examples
    --------
    >>> family = Bernoulli()
    >>> params = BernoulliParams(np.array([[0.25, 1.0]]))
    >>> family.log_density(params, family.encode(np.array([[1, 1], [np.nan, 0]]))).round(6).ravel().tolist()
    [-1.386294, -inf]
    """

    overall: Array | None = None
    discrete: ClassVar[bool] = True
    nonnegative: ClassVar[bool] = True
    names: ClassVar[tuple[str, ...]] = ("probs",)
    entries: ClassVar[Mapping[str, Any]] = {"probs": Probability}

    def terms(self, x: Array) -> tuple[Array, Array]:
        """Ones and zeros of every entry, (n, d) each."""
        with np.errstate(invalid="ignore"):
            bad = ~(np.isnan(x) | (x == 0) | (x == 1))
        remedy = "use Binomial for numbers of successes, Categorical for more categories"
        columns.refuse_values(x, bad, "Bernoulli values are 0 and 1", remedy)
        return x, 1.0 - x

    def carrier(self, x: Array) -> Array:
        """Nothing, (n, d)."""
        return np.zeros(x.shape)

    def coefficients(self, params: BernoulliParams) -> Array:
        """``log p`` and ``log(1 - p)``, (k, 2, d)."""
        with np.errstate(divide="ignore"):
            return np.stack([np.log(params.probs), np.log1p(-params.probs)], axis=1)

    def gradient(self, params: BernoulliParams, totals: Array) -> dict[str, Array]:
        """``ones / p - zeros / (1 - p)``."""
        return {"probs": odds_gradient(params.probs, totals)}

    def guess(self, totals: Array) -> BernoulliParams:
        """Where ``maximise`` may begin."""
        return BernoulliParams(np.full(totals[:, 0].shape, 0.5))

    def maximise(self, totals: Array, params: BernoulliParams, support: Support) -> BernoulliParams:
        """Ones over ones and zeros."""
        entry = support.entries["probs"]
        assert isinstance(entry, Probability)
        return BernoulliParams(columns.ratio(totals[:, 0], totals.sum(axis=1), params.probs, entry.pattern))

    def rows_in(self, totals: Array) -> Array:
        """Weight of the rows behind ``totals``: ones and zeros."""
        return np.asarray(totals.sum(axis=-2))

    def sample(self, params: BernoulliParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        p = params.probs[labels]
        return (rng.random(p.shape) < p).astype(float)

    def cdf(self, params: BernoulliParams, x: Array) -> Array:
        """``P(X <= x)`` of a single column, (n, k); NaN where missing."""
        x = np.asarray(x, dtype=float)
        return np.where(np.isnan(x), np.nan, np.where(x < 0, 0.0, np.where(x >= 1, 1.0, 1.0 - params.probs[:, 0])))

    bind = columns.bind
    start = columns.start
    encode = columns.encode
    log_density = columns.log_density
    stats = columns.stats
    fit = columns.fit
    q = columns.q
    score = columns.score
    unit_scores = columns.unit_scores
    support = columns.support
    prior = columns.prior
    width = columns.width
    expose = columns.expose
    adopt = columns.adopt
    adopt_ties = columns.adopt_ties
    seat = columns.seat


def odds_gradient(probs: Array, totals: Array) -> Array:
    """``successes / p - failures / (1 - p)`` from totals (..., k, 2, d)."""
    up, down = np.maximum(probs, columns.FLOOR), np.maximum(1.0 - probs, columns.FLOOR)
    return np.asarray(totals[..., 0, :] / up - totals[..., 1, :] / down)
