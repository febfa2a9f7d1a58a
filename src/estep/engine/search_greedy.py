"""Greedy EM: a mixture grown from one component, each time by the best of many candidates for one more.

    f_{m+1}(x) = (1 - a) f_m(x) + a phi(x)

Candidates for phi: of every component, the rows that most probably belong to it are parted by the nearer of two rows drawn
from them, and each part makes one. All candidates are then improved side by side, the mixture held (partial EM):

    E-step   r_n = a phi(x_n) / ((1 - a) f_m(x_n) + a phi(x_n))          M-step   phi from the rows with shares r,  a = mean r
    height   sum_n log((1 - a) f_m(x_n) + a phi(x_n))

The highest is put in, EM on all components follows to a loose tolerance, and so on up to the number that was asked for. The
mixture so grown is one start among the others, and goes on as they do.

Sources: Vlassis & Likas (2002), Neural Processing Letters 15:77; Verbeek, Vlassis & Kroese (2003), Neural Computation 15:469
(candidates from parts of components, partial EM).
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from estep.core.protocols import Chunk
from estep.core.record import Array, record
from estep.core.result import Result
from estep.engine.ladder import where
from estep.engine.restart import Start
from estep.engine.run import advance, start
from estep.engine.search import Fit, joined, require
from estep.engine.tallied import fitted_to, gently

PAIRS, MOST, PARTIAL = 3, 60, 5
LOOSE = 1e-5
"""Nats a row that the mixtures on the way may leave."""


@record
class Tried:
    """Of every candidate: its statistics, its height and the sum of its shares."""

    stats: Any
    height: Array
    mass: Array
    n: Any


@dataclasses.dataclass(frozen=True)
class Greedy:
    """One more start, grown component by component; ``pairs`` pairs of candidates for each component on the way."""

    pairs: int = PAIRS
    name: Final[str] = "greedy"

    def __call__(self, fit: Fit) -> Result:
        """The best end over the starts and the grown one."""
        needs = ("explain", "tally", "densities", "pictured", "sized")
        require(fit.model, needs, self.name, "use search='random_swap' or more starts (n_init)")
        refuse_rows(fit.data)
        fit.model.sized(1)
        grown = Start("greedy insertion", lambda: self.grow(fit))
        note = f"search greedy: one start grown from 1 to {fit.model.k} components"
        return fit.from_starts(dataclasses.replace(fit.plan, note=joined(note, fit.plan.note)), [*fit.starts, grown])

    def grow(self, fit: Fit) -> Any:
        """The parameters of the grown mixture; raises Collapsed."""
        data = fit.plan.ladder[-1] if fit.plan.ladder else fit.data
        loose = dataclasses.replace(fit.control, tol=max(fit.control.tol, LOOSE), save=None, ledger=None, note=None)
        model = fit.model.sized(1)
        params = fitted_to(model, data, lambda chunk: np.ones((len(chunk), 1)))
        for m in range(1, fit.model.k):
            small, model = model, fit.model.sized(m + 1)
            params = self.inserted(small, model, data, params, fit.seed)
            if m + 1 < fit.model.k:
                state = start(model, params, fit.variant, loose)
                params = where(advance(model, data, state, fit.variant, loose).state)
        return params

    def inserted(self, small: Any, large: Any, data: Any, params: Any, seed: int) -> Any:
        """Parameters of ``large``: those of ``small`` and the best candidate."""
        seeds, owners = self._seeds(small, data, params, seed)
        many = small.sized(len(owners))
        tried = fitted_to(many, data, lambda chunk: _parts(small, params, chunk, seeds, owners))
        share = np.full(len(owners), 0.5 / small.k)
        for _ in range(PARTIAL):
            seen: Tried = data.sum(lambda chunk: _look(small, params, many, tried, share, chunk))  # noqa: B023
            tried = gently(many).mstep(seen.stats, tried)
            share = np.clip(seen.mass / float(seen.n), 1e-8, 0.5)
        best = int(np.argmax(seen.height))

        def resp_of(chunk: Chunk) -> Array:
            r = _shares(small, params, many, tried, share, chunk)[0][:, [best]]
            return np.hstack([small.explain(params, chunk).resp * (1.0 - r), r])

        return fitted_to(large, data, resp_of)

    def _seeds(self, small: Any, data: Any, params: Any, seed: int) -> tuple[Array, NDArray[np.intp]]:
        """Rows as pictures (2, c, p): for candidate c its own and that on the other side; and the class (c,) it is cut from."""
        pairs = max(1, min(self.pairs, MOST // (2 * small.k)))
        kept: list[list[tuple[float, Array]]] = [[] for _ in range(small.k)]

        def draw(chunk: Chunk) -> tuple[Array, NDArray[Any], Array]:
            labels = np.argmax(small.explain(params, chunk).resp, axis=1)
            rng = np.random.default_rng(np.random.SeedSequence([seed, 41, small.k, int(chunk.key[1])]))
            weight = np.ones(len(chunk)) if chunk.weight is None else np.maximum(chunk.weight, np.finfo(float).tiny)
            return np.log(rng.random(len(chunk))) / weight, labels, np.nan_to_num(small.pictured(chunk), nan=0.0)

        def keep(chunk: Chunk, drawn: tuple[Array, NDArray[Any], Array]) -> None:
            keys, labels, seen = drawn
            for g in range(small.k):
                mine = np.flatnonzero(labels == g)
                first = mine[np.argsort(-keys[mine], kind="stable")[: 2 * pairs]]
                kept[g] = sorted([*kept[g], *((float(keys[i]), seen[i]) for i in first)], key=lambda found: -found[0])[
                    : 2 * pairs
                ]

        data.map(draw, keep)
        own: list[Array] = []
        other: list[Array] = []
        owners: list[int] = []
        for g, found in enumerate(kept):
            for (_, a), (_, b) in zip(found[::2], found[1::2], strict=False):
                own, other, owners = [*own, a, b], [*other, b, a], [*owners, g, g]
        return np.array([own, other]), np.array(owners, dtype=np.intp)


def refuse_rows(data: Any) -> None:
    """Raise ValueError for rows whose components cannot be added one by one."""
    first = next(iter(data.chunks()))
    why = "rows that belong to sequences" if first.ends is not None else "partial labels" if first.allowed is not None else ""
    if why:
        raise ValueError(
            f"search='greedy' adds components to independent, unlabelled rows, and these are {why}; use 'random_swap'"
        )


def _parts(small: Any, params: Any, chunk: Chunk, seeds: Array, owners: NDArray[np.intp]) -> Array:
    """One row to every candidate whose component it belongs to and whose own row is the nearer, (n, c)."""
    seen = np.nan_to_num(small.pictured(chunk), nan=0.0)
    labels = np.argmax(small.explain(params, chunk).resp, axis=1)
    centre, ways = 0.5 * (seeds[0] + seeds[1]), seeds[0] - seeds[1]
    nearer = seen @ ways.T - (centre * ways).sum(axis=1) > 0
    return np.asarray(nearer & (labels[:, None] == owners), dtype=float)


def _shares(small: Any, params: Any, many: Any, tried: Any, share: Array, chunk: Chunk) -> tuple[Array, Array]:
    """r (n, c) and log((1 - a) f + a phi) (n, c)."""
    old = np.asarray(small.explain(params, chunk).log_density)[:, None] + np.log1p(-share)
    new = many.densities(tried, chunk) + np.log(share)
    both = np.logaddexp(old, new)
    return np.exp(new - both), both


def _look(small: Any, params: Any, many: Any, tried: Any, share: Array, chunk: Chunk) -> Tried:
    r, both = _shares(small, params, many, tried, share, chunk)
    weight = np.ones(len(chunk)) if chunk.weight is None else chunk.weight
    return Tried(many.tally(tried, chunk, r), weight @ both, weight @ r, float(weight.sum()))
