"""Labels that are seen as they are: a row shows its component, or nothing.

    P(x_i = j | z_i = k) = 1[j = k]          a missing row: 1 under every component

With a chain of labels this is the Markov chain itself, whose missing states are summed over exactly. There are no parameters:
nothing to fit, and nothing whose density could grow without bound.

E-step   log density 0 at the component that is seen, -inf at the others
M-step   none

symbol   variable   shape
x        x          (n, 1)   codes 0..k-1, NaN where missing
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, record
from estep.core.support import Constraints, Support


@record
class ObservedParams:
    """Nothing."""


@record
class ObservedStats:
    """Weight of the rows in each component, (k,); nothing depends on it."""

    counts: Array


@dataclasses.dataclass(frozen=True)
class Observed:
    """Rows are the codes of their own components, NaN where missing; ``k`` of them.

    Raises
    ------
    ValueError
        Where rows have more than one column, or a code that is no component.

    Examples
    --------
    >>> Observed(2).log_density(ObservedParams(), np.array([[0.0], [np.nan]])).tolist()
    [[0.0, -inf], [0.0, 0.0]]
    """

    k: int
    names: ClassVar[tuple[str, ...]] = ()
    exchangeable: ClassVar[bool] = False

    def bind(self, data: Any) -> Observed:
        """Check the codes."""
        for chunk in data.chunks():
            self.encode(chunk.x)
        return self

    def start(self, k: int) -> ObservedParams:
        """Nothing; raises ValueError unless ``k`` is the number of components."""
        if k != self.k:
            raise ValueError(f"Observed({self.k}) shows {self.k} components, but the model has {k}")
        return ObservedParams()

    def encode(self, x: Any) -> NDArray[np.intp]:
        """Codes (n,), -1 where missing."""
        rows = np.asarray(x, dtype=float)
        if rows.ndim != 2 or rows.shape[1] != 1:
            raise ValueError(f"Observed reads one column of codes, got an array of shape {rows.shape}")
        codes = np.where(np.isnan(rows[:, 0]), -1.0, rows[:, 0])
        if (odd := (codes != np.floor(codes)) | (codes < -1) | (codes >= self.k)).any():
            row = int(np.flatnonzero(odd)[0])
            raise ValueError(f"row {row} is {codes[row]:g}, expected a code 0..{self.k - 1}, or NaN where missing")
        return codes.astype(np.intp)

    def log_density(self, params: ObservedParams, encoded: Any) -> Array:
        """0 at the component a row shows, -inf elsewhere, (n, k); 0 throughout where it is missing."""
        codes = encoded if np.ndim(encoded) == 1 else self.encode(encoded)
        return np.where((codes[:, None] == np.arange(self.k)) | (codes[:, None] < 0), 0.0, -np.inf)

    def stats(self, params: ObservedParams, encoded: Any, resp: Array) -> ObservedStats:
        """Weight of each component."""
        return ObservedStats(resp.sum(axis=0))

    def fit(self, stats: ObservedStats, params: ObservedParams, support: Support) -> ObservedParams:
        """Nothing to fit."""
        return params

    def q(self, params: ObservedParams, stats: ObservedStats) -> float:
        """0: labels are certain of what they show."""
        return 0.0

    def score(self, params: ObservedParams, stats: ObservedStats, support: Support) -> Array:
        """No coordinates."""
        return np.zeros(0)

    def unit_scores(self, params: ObservedParams, encoded: Any, resp: Array, support: Support) -> Array:
        """No coordinates, (n, 0)."""
        return np.zeros((len(resp), 0))

    def support(self, params: ObservedParams, constraints: Constraints) -> Support:
        """No parameters."""
        return Support({})

    def prior(self, k: int, settings: Mapping[str, Any]) -> ObservedStats:
        """Nothing imagined; raises ValueError on any setting."""
        if settings:
            words = "but states that are seen have no parameters; name 'startprob' or 'transmat'"
            raise ValueError(f"prior names {sorted(settings)}, {words}")
        return ObservedStats(np.zeros(k))

    def sample(self, params: ObservedParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """The labels themselves, (n, 1)."""
        return labels[:, None].astype(float)
