"""Sparse EM: between full sweeps a row's probabilities move only within the classes that matter to it.

For joint log densities l_k = log w_k + log p(x | k) of a row, at a full sweep

    r_k = exp(l_k) / sum_j exp(l_j),   A = {k: r_k >= eps} with the largest,   M = sum of r_k over A

and in the passes until the next one, with r_k outside A frozen as it was,

    r_k = M exp(l_k) / sum_{j in A} exp(l_j)   for k in A

is the best of all laws with that frozen part, so that the free energy F never falls: "bound". The statistics of what is
frozen are a record that is added as it stands. Every ``every``-th pass is a full sweep and chooses A anew, so the end is a
stationary point of the likelihood itself.

Memory: a class number (1 or 2 bytes) for each active pair of row and class; a count of them and M for each row; one record of
frozen statistics a block. Nothing of size n x k.

Source: Neal & Hinton (1998), in Learning in Graphical Models, section 5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import SOFT, Soft, normalise
from estep.core.protocols import Chunk, Expected
from estep.core.record import Array
from estep.engine.blend import Kept, added, refuse_local, refuse_own_sums, stacked, unstacked
from estep.engine.blocks import entropy

FROZEN = "frozen."


@dataclasses.dataclass(frozen=True)
class Sparse:
    """Classes of posterior probability below ``eps`` are frozen until the next full sweep, every ``every`` passes.

    Goes with visit ``Blocks`` (``Blocks(1)`` for the whole data) and blend ``Remember``.
    """

    eps: float = 0.005
    every: int = 5
    name: Final[str] = "sparse"
    closes: Final[Soft] = SOFT
    semiring: Final[str] = "sparse"
    certificate: Final[str] = "bound"
    words: ClassVar[str] = "each row belongs to its active classes with probabilities that move, to the others with frozen ones"
    objective: ClassVar[str] = "free energy, a lower bound of the log-likelihood that meets it at the end"
    no_leap: ClassVar[str] = "between full sweeps its objective is not the likelihood"
    needs: ClassVar[Mapping[str, tuple[str, str]]] = {
        "tally": ("the statistics of given class probabilities: a mixture's", "algorithm='em' or 'incremental'")
    }

    def __post_init__(self) -> None:
        if not 0 <= self.eps < 1:
            raise ValueError(f"eps={self.eps!r}: a class is frozen below a probability in [0, 1); 0.005 is usual")
        if not isinstance(self.every, int | np.integer) or self.every < 1:
            raise ValueError(f"every={self.every!r}: passes between full sweeps are a whole number >= 1; 5 is usual")

    @property
    def label(self) -> str:
        """The name with its settings."""
        return f"sparse (below {self.eps:g}, full every {self.every} passes)"

    def rows(self, logits: Array, key: tuple[Any, ...]) -> tuple[Array, Array, Array]:
        """Responsibilities, objective and log-likelihood a row, of a full sweep: soft."""
        return SOFT.rows(logits, key)

    def opened(self, more: dict[str, Array], passes: int, who: str) -> Sets:
        """The active sets for the pass of that number."""
        return Sets(self, who, {} if passes % self.every == 0 else more)


@dataclasses.dataclass(frozen=True)
class Active:
    """The active classes of the rows of a chunk, in compressed rows: entries of row i are ``start[i] : start[i + 1]``."""

    start: NDArray[np.intp]
    classes: NDArray[Any]
    mass: Array
    name: Final[str] = "sparse"
    semiring: Final[str] = "sparse"

    def rows(self, logits: Array, key: tuple[Any, ...]) -> tuple[Array, Array, Array]:
        """Responsibilities within the active classes; objective a row, twice (the likelihood is not known)."""
        inside = np.full(logits.shape, -np.inf)
        at = np.repeat(np.arange(len(logits)), np.diff(self.start)), self.classes
        inside[at] = logits[at]
        resp, lse = normalise(inside)
        objective = self.mass * (lse - np.log(self.mass))
        return resp * self.mass[:, None], objective, objective


class Sweep:
    """A soft assignment of one chunk that notes which classes are active, and what is to be frozen."""

    name = "sparse"
    semiring = "sparse"

    def __init__(self, eps: float) -> None:
        self.eps, self.calls = eps, 0
        self.active: NDArray[np.bool_] = np.empty((0, 0), dtype=bool)
        self.frozen = self.mass = self.left = np.empty(0)

    def rows(self, logits: Array, key: tuple[Any, ...]) -> tuple[Array, Array, Array]:
        """Responsibilities, objective and log-likelihood a row."""
        resp, objective, loglik = SOFT.rows(logits, key)
        self.active = resp >= self.eps
        self.active[np.arange(len(resp)), resp.argmax(axis=1)] = True
        self.frozen = np.where(self.active, 0.0, resp)
        out = self.frozen.sum(axis=1)
        self.mass, self.left = 1.0 - out, out * loglik
        self.calls += 1
        return resp, objective, loglik


class Sets:
    """The active sets of a pass: those of the last full sweep (``more``), or, where that is empty, new ones."""

    def __init__(self, assign: Sparse, who: str, more: dict[str, Array]) -> None:
        self.assign, self.who, self.old = assign, who, more
        self.new: list[tuple[NDArray[Any], NDArray[np.intp], Array]] = []
        self.frozen: list[Kept] = []
        if more:
            self.start = np.concatenate([[0], np.cumsum(more["sizes"], dtype=np.intp)])

    def kept(self, model: Any, params: Any, part: Any, b: int) -> Kept:
        """The record of block ``b`` at ``params``: of all classes, or of the active ones and the frozen rest."""
        if not self.old:
            return self._full(model, params, part)
        seen = part.sum(lambda chunk: _within(model, params, chunk, self._of(chunk)))
        active = Kept(seen.stats, entropy(model, params, seen.objective, seen.stats), np.float64(seen.n))
        if not self.frozen:
            arrays = {n.removeprefix(FROZEN): a for n, a in self.old.items() if n.startswith(FROZEN)}
            self.frozen = unstacked(arrays, active)
        return added(model, self.frozen[b], active)

    def saved(self) -> dict[str, Array]:
        """What the next pass is to know."""
        if self.old:
            return self.old
        classes, sizes, mass = (np.concatenate(column) for column in zip(*self.new, strict=True))
        return {"classes": classes, "sizes": sizes, "mass": mass} | {f"{FROZEN}{n}": a for n, a in stacked(self.frozen).items()}

    def _of(self, chunk: Chunk) -> Active:
        first, last = int(chunk.key[1]), int(chunk.key[2])
        start = self.start[first : last + 1]
        return Active(start - start[0], self.old["classes"][start[0] : start[-1]], self.old["mass"][first:last])

    def _full(self, model: Any, params: Any, part: Any) -> Kept:
        total: Any = None

        def noted(chunk: Chunk) -> tuple[Expected, Expected, Sweep]:
            return _swept(model, params, chunk, self.assign.eps, self.who)

        def keep(chunk: Chunk, found: tuple[Expected, Expected, Sweep]) -> None:
            nonlocal total
            total = found[:2] if total is None else (total[0] + found[0], total[1] + found[1])
            active = found[2].active
            small = np.uint8 if active.shape[1] <= 1 << 8 else np.uint16 if active.shape[1] <= 1 << 16 else np.uint32
            self.new.append((np.nonzero(active)[1].astype(small), active.sum(axis=1).astype(small), found[2].mass))

        part.map(noted, keep)
        seen, frozen = total
        refuse_local(model, seen.stats, self.who)
        refuse_own_sums(model, seen.stats, self.who)
        self.frozen.append(Kept(frozen.stats, entropy(model, params, frozen.objective, frozen.stats), np.float64(0.0)))
        return Kept(seen.stats, entropy(model, params, seen.objective, seen.stats), np.float64(seen.n))


def _within(model: Any, params: Any, chunk: Chunk, active: Active) -> Expected:
    """A chunk within its active classes: looked at alone where the model can, else with the others at probability zero."""
    alone = getattr(model, "estep_within", None)
    found: Expected | None = alone(params, chunk, active) if alone else None
    return model.estep(params, chunk, active) if found is None else found


def _swept(model: Any, params: Any, chunk: Chunk, eps: float, who: str) -> tuple[Expected, Expected, Sweep]:
    """A full sweep of a chunk: what it contributes, what of that is frozen, and which classes are active."""
    sweep = Sweep(eps)
    seen = model.estep(params, chunk, sweep)
    if sweep.calls != 1:
        raise TypeError(
            f"algorithm={who!r} needs a mixture, and {type(model).__name__} does not hand its rows to the assignment; "
            "use algorithm='em' or 'incremental'"
        )
    left = sweep.left if chunk.weight is None else sweep.left * chunk.weight
    frozen = Expected(model.tally(params, chunk, sweep.frozen), 0.0, float(left.sum()), 0.0)
    return seen, frozen, sweep
