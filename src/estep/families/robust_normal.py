"""Normal rows whose M-step heeds rows far from a component less.

    u_ik = r_ik v(D_ik),   D_ik^2 = (x_i - mu_k)' Sigma_k^-1 (x_i - mu_k) of the o observed entries
    mu_k = sum u x / sum u,   Sigma_k = sum u (x - mu_k)(x - mu_k)' / sum r

    student    v = (DOF + o) / (DOF + D^2)
    huber      v = min(1, c / D),  c^2 the 95% point of chi-square with o degrees of freedom

Responsibilities and the log-likelihood are those of the normal mixture, which such steps do not maximise: the ends are
M-estimates, less drawn to outlying rows. A law of its own for rows with heavy tails is the Student family.

Sources: Ng & McLachlan (2003), Proceedings of DICTA 2003, 145; Maronna (1976), Annals of Statistics 4:51.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.families.normal_density import NormalBlock, NormalParams, marginal
from estep.families.normal_moments import NormalStats

DOF = 4.0
QUANTILE = 0.95


@cache
def huber_cut(o: int) -> float:
    """The distance from which a row of ``o`` normal entries counts less.

    >>> round(huber_cut(1), 4)
    1.96
    """
    from scipy.stats import chi2

    return float(np.sqrt(chi2.ppf(QUANTILE, o)))


def _student(squared: Array, o: int) -> Array:
    return (DOF + o) / (DOF + squared)


def _huber(squared: Array, o: int) -> Array:
    cut = huber_cut(o)
    return cut / np.maximum(np.sqrt(squared), cut)


KINDS: dict[str, Callable[[Array, int], Array]] = {"student": _student, "huber": _huber}


@dataclasses.dataclass(frozen=True)
class RobustNormal:
    """``family`` with rows downweighted in its statistics by ``kind``; everything else is the family's own.

    >>> from estep.families.normal import Normal
    >>> RobustNormal(Normal(), "huber").kind
    'huber'
    """

    family: Any
    kind: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"robust={self.kind!r} is unknown; choose one of {sorted(KINDS)}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "family":
            raise AttributeError(name)
        return getattr(self.family, name)

    def stats(self, params: NormalParams, encoded: NormalBlock, resp: Array) -> NormalStats:
        """Moments weighted by u; the weight of log |Sigma| stays that of r."""
        weight = resp * self._heed(params, encoded).T
        found: NormalStats = self.family.stats(params, encoded, weight)
        return NormalStats(found.features, resp.sum(axis=0), found.anchor)

    def _heed(self, params: NormalParams, block: NormalBlock) -> Array:
        """v of every component and row, (k, n)."""
        logs = self.family.log_density(params, block).T
        heed = np.ones(logs.shape)
        for part in block.patterns:
            o = len(part.observed)
            if o:
                top = -0.5 * (o * math.log(2 * math.pi) + marginal(params, block.anchor, part.observed).logdet)
                squared = np.maximum(2.0 * (top[:, None] - logs[:, part.rows]), 0.0)
                heed[:, part.rows] = KINDS[self.kind](squared, o)
        return heed
