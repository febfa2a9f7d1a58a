"""A model with rows and parameters: where the laws of ``model.py`` are checked."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import SOFT
from estep.core.protocols import Expected
from estep.core.record import Array
from estep.core.result import Result
from estep.core.rows import count, take
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.presets import Variant, variant_of

PASSES = 8
"""EM passes that laws about runs make: enough for statistics, parameters and history to differ from the start's."""


@dataclasses.dataclass(frozen=True)
class ModelCase:
    """A bound model with the rows it is checked on and parameters away from the optimum.

    ``exchangeable``: rows may be shuffled. ``symmetric``: components may be renamed (no constraint or prior singles one
    out).
    """

    model: Any
    x: Any
    params: Any
    weight: Array | None
    allowed: NDArray[Any] | None
    given: Any
    how: str | Variant
    exchangeable: bool
    symmetric: bool
    seed: int

    @property
    def n(self) -> int:
        """Number of rows."""
        return count(self.x)

    @property
    def assign(self) -> Any:
        """How the variant fills labels in."""
        return variant_of(self.how, "none").assign

    @property
    def soft(self) -> bool:
        """Whether the watched objective is the (penalised) likelihood."""
        return bool(self.assign.name == SOFT.name)

    def rng(self) -> np.random.Generator:
        """A fresh generator for a law."""
        return np.random.default_rng(self.seed)

    def data(self, which: Any = slice(None), weight: Array | None = None, **plane: Any) -> Memory:
        """The rows ``which``, with ``weight`` in place of their own where given; ``plane``: settings of ``Memory``."""
        weight = self.weight[which] if weight is None and self.weight is not None else weight
        allowed = None if self.allowed is None else self.allowed[which]
        given = None if self.given is None else take(self.given, which)
        return Memory(take(self.x, which), weight=weight, allowed=allowed, given=given, **plane)

    def expected(self, data: Memory | None = None, params: Any = None, assign: Any = None) -> Expected:
        """One E-step over ``data``."""
        params, assign = self.params if params is None else params, assign or self.assign
        found: Expected = (data or self.data()).sum(lambda chunk: self.model.estep(params, chunk, assign))
        return found

    def objective(self, seen: Expected, params: Any) -> float:
        """What the run watches: the expected objective plus the log prior."""
        prior = 0.0 if self.model.prior is None else float(self.model.q(params, self.model.prior))
        return float(seen.objective) + prior

    def fit(self, accelerate: str = "none", **settings: Any) -> Result:
        """A run of the engine from ``params``."""
        settings = {"max_iter": PASSES, "tol": 1e-12, "data": self.data(), "params": self.params, **settings}
        return fit(self.model, settings.pop("data"), settings.pop("params"), self.how, accelerate=accelerate, **settings)


def model_case(
    model: Any,
    data_rows: Any,
    *,
    how: str | Variant = "em",
    rng: np.random.Generator | None = None,
    params: Any = None,
    weight: Array | None = None,
    allowed: NDArray[Any] | None = None,
    given: Any = None,
    exchangeable: bool = True,
    symmetric: bool | None = None,
) -> ModelCase:
    """The case that ``check_model`` runs its laws on; arguments as there."""
    rng = rng or np.random.default_rng(0)
    data = Memory(data_rows, weight=weight, allowed=allowed, given=given)
    bind = getattr(model, "bind", None)
    model = bind(data) if bind else model
    if symmetric is None:
        symmetric = not getattr(model, "constraints", None)
    if params is None:
        params = _off_centre(model, data, rng)
    seed = int(rng.integers(2**31))
    return ModelCase(model, data_rows, params, weight, allowed, given, how, exchangeable, symmetric, seed)


def _off_centre(model: Any, data: Memory, rng: np.random.Generator) -> Any:
    """Parameters with unlike components: an M-step from random responsibilities, or a jolt of the start."""
    params = model.start()
    if hasattr(model, "tally"):
        tally = lambda chunk: model.tally(params, chunk, rng.dirichlet(np.full(model.k, 0.5), size=len(chunk)))  # noqa: E731
        return model.mstep(dataclasses.replace(data, n_jobs=1).sum(tally), params)
    support = model.support(params)
    return support.unpack(support.pack(params) + 0.1 * rng.standard_normal(support.count), params)
