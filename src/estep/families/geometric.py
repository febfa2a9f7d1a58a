"""Independent geometric columns: failures before the first success, 0, 1, 2, ...

    P(x_ij = x | z_i = k) = p_kj (1 - p_kj)^x

E-step   log p = log p_kj + x log(1 - p_kj) over the observed entries
M-step   p_kj = 1 / (1 + mean_kj), mean_kj the weighted mean of the observed entries; all zeros give p = 1, a legal end
prior    a Beta law: imagined rows with the data's own mean (columns.py)

symbol   variable   shape
p        probs      (k, d)

Source: Johnson, Kemp & Kotz (2005), Univariate Discrete Distributions, section 5.2.
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
from estep.families import columns, hazards
from estep.families.bernoulli import odds_gradient


@record
class GeometricParams:
    """Probabilities of success at each trial, ``probs`` (k, d)."""

    probs: Array


@dataclasses.dataclass(frozen=True)
class Geometric:
    """Failures before the first success, independent columns: ``p(x) = prod_j p_j (1 - p_j)^x_j``, x = 0, 1, 2, ...

    Data that count the trials themselves (1, 2, ...) are brought here by subtracting 1.

    Raises
    ------
    ValueError
        On a count that is no whole number >= 0, or a column without values.

    Examples
    --------
    >>> family = Geometric()
    >>> params = GeometricParams(np.array([[0.5]]))
    >>> family.log_density(params, family.encode(np.array([[0.0], [2.0]]))).round(6).ravel().tolist()
    [-0.693147, -2.079442]
    """

    overall: Array | None = None
    discrete: ClassVar[bool] = True
    nonnegative: ClassVar[bool] = True
    names: ClassVar[tuple[str, ...]] = ("probs",)
    entries: ClassVar[Mapping[str, Any]] = {"probs": Probability}

    def terms(self, x: Array) -> tuple[Array, Array]:
        """Successes (one a row) and failures, (n, d) each."""
        counts = columns.counted(x, "geometric")
        return np.where(np.isnan(counts), np.nan, 1.0), counts

    def carrier(self, x: Array) -> Array:
        """Nothing, (n, d)."""
        return np.zeros(x.shape)

    def coefficients(self, params: GeometricParams) -> Array:
        """``log p`` and ``log(1 - p)``, (k, 2, d)."""
        with np.errstate(divide="ignore"):
            return np.stack([np.log(params.probs), np.log1p(-params.probs)], axis=1)

    def gradient(self, params: GeometricParams, totals: Array) -> dict[str, Array]:
        """``rows / p - failures / (1 - p)``."""
        return {"probs": odds_gradient(params.probs, totals)}

    def guess(self, totals: Array) -> GeometricParams:
        """Where ``maximise`` may begin."""
        return GeometricParams(np.full(totals[:, 0].shape, 0.5))

    def maximise(self, totals: Array, params: GeometricParams, support: Support) -> GeometricParams:
        """Successes over trials."""
        entry = support.entries["probs"]
        assert isinstance(entry, Probability)
        return GeometricParams(columns.ratio(totals[:, 0], totals.sum(axis=1), params.probs, entry.pattern))

    def features(self, x: Array) -> Array:
        """Rows as start rules see them: log(1 + x)."""
        return np.asarray(np.log1p(np.asarray(x, dtype=float)))

    def sample(self, params: GeometricParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label."""
        return np.asarray(rng.geometric(params.probs[labels]) - 1.0)

    def cdf(self, params: GeometricParams, x: Array) -> Array:
        """``P(X <= x) = 1 - (1 - p)^(x + 1)`` of a single column, (n, k); NaN where missing."""
        whole = np.maximum(np.floor(np.asarray(x, dtype=float)), -1.0) + 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            tail = np.where(whole == 0, 1.0, np.exp(whole * np.log1p(-params.probs[:, 0])))
        return np.asarray(1.0 - tail)

    bind = columns.bind
    start = columns.start
    encode = columns.encode
    log_density = columns.log_density
    stats = columns.stats
    fit = columns.fit
    q = columns.q
    score = columns.score
    unit_scores = columns.unit_scores
    cell_density = columns.cell_density
    cell_stats = columns.cell_stats
    cell_scores = columns.cell_scores
    support = columns.support
    prior = columns.prior
    rows_in = columns.rows_in
    width = columns.width
    expose = columns.expose
    adopt = columns.adopt
    adopt_ties = columns.adopt_ties
    from_hazards = hazards.constant
    seat = columns.seat
