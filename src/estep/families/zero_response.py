"""A response that is always zero: the structural zeros beside a regression of counts.

    y_i = 0 with probability one,   whatever the covariates

As one of two components, with a count regression as the other, it gives zero-inflated regression; with a gate (``Gated``) in
place of weights the inflation depends on covariates. It has no parameters.

E-step   log density 0 at y = 0 (and where the response is missing), else -inf
M-step   none

Source: Lambert (1992), Technometrics 34:1.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, record
from estep.core.support import Constraints, Support


@record
class ZeroResponseParams:
    """No parameters but the number of components, told by the length of ``zeros`` (k,)."""

    zeros: Array


@record
class ZeroResponseStats:
    """Weight of each component's rows, (k,)."""

    count: Array


@dataclasses.dataclass(frozen=True)
class ZeroResponse:
    """Responses that are zero, in rows ``(design, response, ...)``.

    Examples
    --------
    >>> family = ZeroResponse()
    >>> family.log_density(family.start(1), (np.zeros((2, 1)), np.array([0.0, 3.0]))).tolist()
    [[0.0], [-inf]]
    """

    names: ClassVar[tuple[str, ...]] = ()

    def start(self, k: int) -> ZeroResponseParams:
        """Nothing to begin from."""
        return ZeroResponseParams(np.zeros(k))

    def log_density(self, params: ZeroResponseParams, encoded: Any) -> Array:
        """Log densities (n, k) in nats: 0 at zero and where the response is missing, else -inf."""
        y = np.asarray(encoded[1], dtype=float)
        column = np.where((y == 0) | np.isnan(y), 0.0, -np.inf)
        return np.tile(column[:, None], (1, params.zeros.size))

    def stats(self, params: ZeroResponseParams, encoded: Any, resp: Array) -> ZeroResponseStats:
        """Weights alone."""
        return ZeroResponseStats(resp.sum(axis=0))

    def fit(self, stats: ZeroResponseStats, params: ZeroResponseParams, support: Support) -> ZeroResponseParams:
        """Nothing to fit."""
        return params

    def q(self, params: ZeroResponseParams, stats: ZeroResponseStats) -> float:
        """Zero: a certain response."""
        return 0.0

    def score(self, params: ZeroResponseParams, stats: ZeroResponseStats, support: Support) -> Array:
        """No coordinates."""
        return np.empty(0)

    def unit_scores(self, params: ZeroResponseParams, encoded: Any, resp: Array, support: Support) -> Array:
        """No coordinates, (n, 0)."""
        return np.empty((len(resp), 0))

    def support(self, params: ZeroResponseParams, constraints: Constraints) -> Support:
        """No coordinates."""
        return Support({})

    def permute(self, params: ZeroResponseParams, order: NDArray[np.intp]) -> ZeroResponseParams:
        """Components in another order."""
        return params

    def expose(self, params: ZeroResponseParams) -> dict[str, Array]:
        """Nothing to see."""
        return {}

    def prior(self, k: int, settings: Any) -> ZeroResponseStats:
        """Nothing imagined."""
        return ZeroResponseStats(np.zeros(k))

    def means(self, params: ZeroResponseParams, x: Any) -> Array:
        """Zero in every row, (n, k)."""
        return np.zeros((len(x[0]), params.zeros.size))
