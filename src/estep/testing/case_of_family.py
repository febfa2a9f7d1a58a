"""A family with rows, responsibilities and parameters: where the laws of ``family.py`` are checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.core.rows import take
from estep.core.support import Constraints
from estep.testing.agreement import weighted_sum
from estep.testing.coordinates import in_coordinates, slopes


@dataclasses.dataclass(frozen=True)
class FamilyCase:
    """A bound family with rows, responsibilities (n, k) and parameters at which its laws are checked.

    ``hidden``: part of a row is unobserved (missing values, latent scales), so that q is not the log density itself;
    ``local``: statistics are value, slope and curvature of q at the current parameters.
    """

    family: Any
    x: Any
    k: int
    params: Any
    resp: Array
    support: Any
    hidden: bool
    local: bool
    seed: int

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.resp)

    def rng(self) -> np.random.Generator:
        """A fresh generator: what a law draws does not depend on the laws before it."""
        return np.random.default_rng(self.seed)

    def rows(self, which: Any) -> Any:
        """The rows ``which`` (a slice or indices) of ``x``."""
        return take(self.x, which)

    def encode(self, x: Any) -> Any:
        """``x`` as the family reads it."""
        encode = getattr(self.family, "encode", None)
        return encode(x) if encode else x

    def log_density(self, params: Any, x: Any) -> Array:
        """Log densities (n, k)."""
        return np.asarray(self.family.log_density(params, self.encode(x)), dtype=float)

    def stats(self, params: Any, x: Any, resp: Array) -> Any:
        """Expected statistics of the rows ``x``."""
        return self.family.stats(params, self.encode(x), resp)

    def loglik(self, params: Any) -> float:
        """``sum_ik resp_ik log p(x_i | k, params)`` of all rows."""
        return weighted_sum(self.resp, self.log_density(params, self.x))

    def q(self, stats: Any) -> Callable[[Any], float]:
        """``params -> q(params, stats)``."""
        return lambda params: float(self.family.q(params, stats))

    def score(self, params: Any, stats: Any) -> Array:
        """The family's ``score``, or the slope of q where it has none."""
        if hasattr(self.family, "score"):
            return np.asarray(self.family.score(params, stats, self.support), dtype=float)
        return slopes(*in_coordinates(self.q(stats), self.support, params))[0]

    def another(self) -> Any:
        """Parameters other than ``params``: those of other responsibilities."""
        resp = self.rng().dirichlet(np.full(self.k, 0.7), size=self.n)
        return self.family.fit(self.stats(self.params, self.x, resp), self.params, self.support)


def family_case(
    family: Any,
    x: Any,
    *,
    k: int = 3,
    rng: np.random.Generator | None = None,
    params: Any = None,
    labels: NDArray[np.intp] | None = None,
    constraints: Constraints | None = None,
    has_hidden_part: bool = False,
    local: bool = False,
) -> FamilyCase:
    """The case that ``check_family`` runs its laws on; arguments as there."""
    from estep.data.memory import Memory

    rng = rng or np.random.default_rng(0)
    bind = getattr(family, "bind", None)
    family = bind(Memory(x)) if bind else family
    n = len(x[0] if isinstance(x, tuple) else x)
    resp = rng.dirichlet(np.full(k, 0.5), size=n)
    if labels is not None:
        resp = 0.1 * resp + 0.9 * np.eye(k)[labels]
    if params is None:
        params = family.start(k)
    support = family.support(params, constraints or Constraints())
    hidden = has_hidden_part or _has_missing(x)
    case = FamilyCase(family, x, k, params, resp, support, hidden, local, int(rng.integers(2**31)))
    fitted = family.fit(case.stats(params, x, resp), params, support)
    return dataclasses.replace(case, params=fitted)


def _has_missing(x: Any) -> bool:
    parts = x if isinstance(x, tuple) else (x,)
    return any(np.isnan(p).any() for p in map(np.asarray, parts) if p.dtype.kind == "f")
