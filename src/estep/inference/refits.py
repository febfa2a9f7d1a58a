"""Fits done again on other data, from the parameters that are known, with components under their old names.

    theta* = fit to data*, from theta_hat;   components renamed to match memberships of the original rows (``labels.py``)

A refit ends in parameters or in the reason why there are none; nothing is retried and nothing stands in for it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from estep.core.collapse import Collapsed
from estep.core.protocols import Explained
from estep.core.record import Array
from estep.core.result import Result, Status
from estep.data.memory import Memory
from estep.engine.presets import Variant
from estep.engine.restart import Start, fit_starts
from estep.engine.run import Control
from estep.inference.labels import align_responsibilities
from estep.inference.resample import KINDS, Sampled, picked

LOOK = 5000
"""Most rows on which memberships are compared."""
UNHEALTHY = (Status.DEGENERATE, Status.FRAIL, Status.FELL)


@dataclasses.dataclass(frozen=True)
class Problem:
    """What every refit needs; travels to other processes.

    ``start`` is where refits begin, ``resp`` (n, k) the memberships of the rows in ``look`` there, or None where components are
    never renamed; ``held`` of the last ones keep their place.
    """

    model: Any
    start: Any
    sampled: Sampled
    kind: str
    seed: int
    variant: Variant
    control: Control
    look: Memory | None = None
    resp: Array | None = None
    held: int = 0

    def replicate(self, b: int) -> Refit:
        """Refit number ``b``."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(b,)))
        return self.refit(KINDS[self.kind](self.sampled, self.model, self.start, rng))

    def refit(self, data: Memory) -> Refit:
        """The fit to ``data``, from the fitted parameters, with components in their order."""
        result = refitted(self.model, data, [Start("the fitted parameters", lambda: self.start)], self.variant, self.control)
        if isinstance(result, str):
            return Refit(None, result)
        params, cost = result.params, 0.0
        if self.resp is not None and self.look is not None:
            found = align_responsibilities(
                self.resp, explained(self.model, params, self.look).resp, self.look.weight, held=self.held
            )
            params, cost = self.model.permute(params, found.order) if found.renamed else params, found.cost
            return Refit(params, "", cost, found.renamed, result.status is Status.HIT_CAP)
        return Refit(params, "", cost, False, result.status is Status.HIT_CAP)


@dataclasses.dataclass(frozen=True)
class Refit:
    """Parameters of a refit (None where it failed, with the reason), what alignment left, and whether it hit the cap."""

    params: Any
    reason: str
    cost: float = np.nan
    renamed: bool = False
    capped: bool = False


def refitted(model: Any, data: Memory, starts: list[Start], variant: Variant, control: Control) -> Result | str:
    """The fit of ``model`` to ``data`` from ``starts``, or in words why there is none. Ctrl-C goes through."""
    try:
        result = fit_starts(model, data, starts, variant, dataclasses.replace(control, catch=False))
    except Collapsed as gone:
        return str(gone)
    except (ValueError, np.linalg.LinAlgError) as error:
        return str(error)
    return result.message if result.status in UNHEALTHY else result


def explained(model: Any, params: Any, data: Memory) -> Explained:
    """Log density, memberships and class of every row."""
    n = data.n_rows
    out = Explained(np.empty(n), np.empty((n, model.k)), np.empty(n, dtype=np.intp))

    def keep(chunk: Any, part: Explained) -> None:
        out.log_density[chunk.rows], out.resp[chunk.rows], out.path[chunk.rows] = part.log_density, part.resp, part.path

    data.map(lambda chunk: model.explain(params, chunk), keep)
    return out


def renamable(model: Any, data: Memory) -> bool:
    """Whether components may be renamed: nothing tells them apart but their parameters."""
    parts = (getattr(model, "family", None), getattr(model, "structure", None))
    alike = all(part is not None and getattr(part, "exchangeable", True) for part in parts)
    return bool(alike and model.k > 1 and data.allowed is None and not model.constraints and hasattr(parts[1], "permute"))


def look_of(data: Memory) -> Memory:
    """The rows on which memberships are compared: all, or every so-many-th of many."""
    n = data.n_rows
    if n <= LOOK or data.ends is not None:
        return dataclasses.replace(data, n_jobs=1)
    return dataclasses.replace(picked(data, np.linspace(0, n - 1, LOOK).astype(np.intp)), n_jobs=1)
