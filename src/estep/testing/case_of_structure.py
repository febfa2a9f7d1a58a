"""A structure with random log densities and parameters: where the laws of ``structure.py`` are checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import SOFT
from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.core.rows import take
from estep.core.support import Constraints
from estep.testing import brute_force

LogPrior = Callable[[Any, NDArray[np.intp]], float]


@dataclasses.dataclass(frozen=True)
class StructureCase:
    """A structure with random log densities (n, k) and parameters at which its laws are checked.

    ``ends`` are the ends of sequences (None: every row is a unit of its own); ``assigns`` the ways to fill in labels
    that the structure accepts; ``local``: statistics are value, slope and curvature of q at the current parameters.
    """

    structure: Any
    k: int
    params: Any
    logb: Array
    support: Any
    given: Any
    ends: NDArray[np.intp] | None
    log_prior_of_path: LogPrior
    assigns: tuple[str, ...]
    seed: int
    local: bool = False

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.logb)

    @property
    def units(self) -> int:
        """Number of units that are independent: rows or sequences. Weights are given per row all the same."""
        return self.n if self.ends is None else len(self.ends)

    def rng(self) -> np.random.Generator:
        """A fresh generator for a law."""
        return np.random.default_rng(self.seed)

    def chunk(self, rows: NDArray[np.intp], ends: NDArray[np.intp] | None, weight: Array | None = None) -> Chunk:
        """A chunk of the given rows."""
        given = None if self.given is None else take(self.given, rows)
        return Chunk(key=("case", 0, len(rows)), x=rows, given=given, weight=weight, ends=ends)

    def whole(self, weight: Array | None = None) -> Chunk:
        """All rows."""
        return self.chunk(np.arange(self.n), self.ends, weight)

    def infer(self, chunk: Chunk, *, params: Any = None, logb: Array | None = None, assign: Any = SOFT) -> Inferred:
        """What the structure infers on ``chunk``, whose ``x`` holds row numbers."""
        block = (self.logb if logb is None else logb)[chunk.x]
        resp, seen = np.zeros((len(chunk), block.shape[1])), np.zeros(len(chunk), dtype=int)

        def collect(rows: slice, part: Array) -> None:
            resp[rows] = part
            seen[rows] += 1

        params = self.params if params is None else params
        found = self.structure.infer(params, lambda rows: block[rows], chunk, assign, collect)
        return Inferred(found[0], float(found[1]), float(found[2]), resp, seen)

    def log_priors(self, params: Any = None) -> Array:
        """``log p(z)`` of every configuration."""
        params = self.params if params is None else params
        return brute_force.log_priors(params, self.log_prior_of_path, self.k, self.n)

    def another(self) -> Any:
        """Parameters other than ``params``."""
        vector = np.asarray(self.support.pack(self.params))
        return self.support.unpack(vector + 0.5 * self.rng().standard_normal(vector.size), self.params)


@dataclasses.dataclass(frozen=True)
class Inferred:
    """What ``infer`` returns, and the responsibilities (n, k) that went to ``collect``, ``seen`` times a row."""

    counts: Any
    objective: float
    loglik: float
    resp: Array
    seen: NDArray[np.intp]


def structure_case(
    structure: Any,
    k: int,
    *,
    given: Any = None,
    n: int = 6,
    rng: np.random.Generator | None = None,
    params: Any = None,
    constraints: Constraints | None = None,
    ends: NDArray[np.intp] | None = None,
    log_prior_of_path: LogPrior | None = None,
    assigns: tuple[str, ...] = ("soft", "hard"),
    local: bool = False,
) -> StructureCase:
    """The case that ``check_structure`` runs its laws on; arguments as there."""
    rng = rng or np.random.default_rng(0)
    start = structure.start(k) if params is None else params
    support = structure.support(start, constraints or Constraints())
    if params is None and support.count:
        params = support.unpack(support.pack(start) + 0.7 * rng.standard_normal(support.count), start)
    logb = 1.5 * rng.standard_normal((n, k))
    prior = log_prior_of_path or brute_force.iid_log_prior
    params = start if params is None else params
    seed = int(rng.integers(2**31))
    return StructureCase(structure, k, params, logb, support, given, ends, prior, assigns, seed, local)
