"""All that the checks of a fit look at: rows, responsibilities, standard errors, rate, and rows drawn from the model.

prior_ik        class probabilities of row i before it is seen      weights, a group's weights, or a gate's
drawn rows      z_i ~ prior_i, x_i ~ p(. | theta_{z_i}), with the covariates, groups and gaps of the row they stand for
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.protocols import Chunk, Explained
from estep.core.record import Array
from estep.core.result import Result
from estep.core.rows import count, is_sparse, take
from estep.data.memory import Memory
from estep.families.censored import Censored
from estep.families.noise import WithNoise
from estep.families.observed import Observed
from estep.inference.errors import Errors
from estep.inference.rate import Rate
from estep.inference.resample import drawn_sequences

SAME, NEAR = 1e-6, 0.05
"""Relative gaps below which two log-likelihoods belong to the same rows, and two bounds, whose rounds begin anew."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """A fit and its rows.

    Attributes
    ----------
    model, data, result
        As a run left them; ``data`` one row each, none collapsed.
    log_density, resp, weight : arrays (n,), (n, k), (n,)
    numbers : ints (n,)
        The rows' places in what the user gave.
    errors, rate
        Standard errors and rate, or None, with ``why_no_errors``.
    n_sim, seed
        How many data sets to draw for a p value, and from which seed.
    names : tuple of str
        What the components are called; without, by their numbers.
    beside : int
        Components of other chains, of a scene that ``each_chain`` gave.
    """

    model: Any
    data: Any
    result: Result
    log_density: Array
    resp: Array
    weight: Array
    numbers: NDArray[np.intp]
    errors: Errors | None
    why_no_errors: str
    rate: Rate | None
    n_sim: int
    seed: int
    names: tuple[str, ...] = ()
    beside: int = 0

    @property
    def params(self) -> Any:
        """The parameters of the fit."""
        return self.result.params

    @property
    def n(self) -> float:
        """Total weight."""
        return float(self.weight.sum())

    @property
    def k(self) -> int:
        """Number of components, the noise included; of several chains that of combinations, or of all their states."""
        return int(self.resp.shape[1])

    @property
    def observed(self) -> bool:
        """Whether rows show their components."""
        return isinstance(getattr(self.model, "family", None), Observed)

    @property
    def noisy(self) -> bool:
        """Whether the last component is noise."""
        return isinstance(getattr(self.model, "family", None), WithNoise)

    @property
    def trained(self) -> bool:
        """Whether these are the rows of the fit, with its weights and labels."""
        seen = float((self.weight * self.log_density).sum())
        gap = SAME if getattr(self.model, "certificate", "exact") == "exact" else NEAR
        same = abs(seen - self.result.loglik) <= gap * (1.0 + abs(self.result.loglik))
        return same and abs(self.n - self.result.n) <= SAME * max(self.n, self.result.n)

    def component(self, k: int) -> str:
        """The name of a component: its own, its number, or noise."""
        if self.names:
            return self.names[k]
        return "noise" if self.noisy and k == self.k - 1 else str(k)

    def each_chain(self) -> Iterator[Scene]:
        """This scene; of several chains behind a row one for each, whose components are its states."""
        structure: Any = getattr(self.model, "structure", None)
        if not hasattr(structure, "each_chain"):
            yield self
            return
        exact = getattr(self.model, "certificate", "exact") == "exact"
        shares = structure.each_chain(self.resp) if exact else np.split(self.resp, np.cumsum(structure.sizes)[:-1], axis=1)
        for m, own in enumerate(shares):
            names = tuple(f"{a} of chain {m}" for a in range(own.shape[1]))
            yield dataclasses.replace(self, resp=own, names=names, beside=sum(structure.sizes) - own.shape[1])

    def no_rows(self) -> str:
        """Why nothing can be said row by row from drawn rows; "" where it can."""
        together = getattr(self.data, "ends", None) is not None
        return self.no_draws() or ("rows of sequences depend on one another" if together else "")

    def no_draws(self) -> str:
        """Why rows cannot be drawn from the model in place of these; "" where they can."""
        model, data = self.model, self.data
        if not isinstance(data, Memory) or is_sparse(data.x):
            return "it takes the rows as a matrix in memory"
        if data.allowed is not None:
            return "rows have labels"
        if not hasattr(getattr(model, "family", None), "sample"):
            return f"{type(getattr(model, 'family', model)).__name__} cannot draw rows"
        if data.ends is not None and getattr(model.structure, "end", False) and np.isnan(data.x).any():
            return "sequences end by themselves, and what sequences of other lengths would miss is not known"
        if isinstance(model.family, Censored):
            return "values are known to intervals"
        if getattr(model.family, "exposure", None) is not None:
            return "rows have exposures"
        return ""


def see(
    model: Any,
    data: Any,
    result: Result,
    numbers: Sequence[int] | None = None,
    errors: Errors | None = None,
    why_no_errors: str = "",
    rate: Rate | None = None,
    n_sim: int = 199,
    seed: int = 0,
    names: Sequence[Any] | None = None,
) -> Scene:
    """A fit and its rows, after one pass."""
    n, parts = data.n_rows, []
    density, weight = np.empty(n), np.ones(n)

    def keep(chunk: Chunk, part: Explained) -> None:
        density[chunk.rows] = part.log_density
        parts.append((chunk.rows.start, part.resp))
        if chunk.weight is not None:
            weight[chunk.rows] = chunk.weight

    data.map(lambda chunk: model.explain(result.params, chunk), keep)
    resp = np.concatenate([part for _, part in sorted(parts, key=lambda one: one[0])])
    places = np.arange(n) if numbers is None else np.asarray(numbers, dtype=np.intp)
    called = tuple(map(str, () if names is None else names))
    return Scene(model, data, result, density, resp, weight, places, errors, why_no_errors, rate, n_sim, seed, called)


def prior_of(model: Any, params: Any, n: int, given: Any) -> Array:
    """Class probabilities (n, k) of rows before they are seen."""
    nothing = np.zeros((n, model.k))
    chunk = Chunk(("prior", 0, n), nothing, given=given)
    return np.asarray(model.structure.explain(params.structure, lambda rows: nothing[rows], chunk).resp)


def drawn(model: Any, params: Any, like: Memory, rng: np.random.Generator) -> Memory:
    """As many rows as ``like`` has, drawn from the model with the covariates, groups and gaps of these."""
    n = count(like.x)
    if like.ends is not None and getattr(model.structure, "end", False):
        made, _, ends = drawn_sequences(model, params, len(like.ends), rng)
        return dataclasses.replace(like, x=np.asarray(made, dtype=float), ends=ends, weight=None, n_jobs=1)
    where = {name: value for name, value in (("given", like.given), ("ends", like.ends)) if value is not None}
    labels = model.structure.sample(params.structure, n, rng, **where)
    if isinstance(like.x, tuple):
        offset = like.x[2] if len(like.x) > 2 else None
        x = model.family.sample(params.family, labels, rng, design=like.x[0], offset=offset)
        gone = np.isnan(np.asarray(like.x[1], dtype=float))
        response = np.asarray(x[1], dtype=float).reshape(gone.shape)
        x = (x[0], np.where(gone, np.nan, response), *x[2:])
    else:
        x = np.asarray(model.family.sample(params.family, labels, rng), dtype=float)
        x = np.where(np.isnan(like.x), np.nan, x)
    return dataclasses.replace(like, x=x, weight=None, n_jobs=1)


@dataclasses.dataclass(frozen=True)
class Block:
    """Few rows as one chunk, worked on without threads; its encoding is kept between passes."""

    chunk: Chunk

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.chunk)

    def chunks(self) -> Iterator[Chunk]:
        """The chunk."""
        return iter((self.chunk,))

    def sum(self, fn: Callable[[Chunk], Any]) -> Any:
        """``fn`` of the chunk."""
        return fn(self.chunk)

    def map(self, fn: Callable[[Chunk], Any], sink: Callable[[Chunk, Any], None]) -> None:
        """``fn`` of the chunk, handed to ``sink``."""
        sink(self.chunk, fn(self.chunk))


def some(data: Memory, rows: NDArray[np.intp]) -> Memory:
    """Some rows of a data set, unweighted; repeated where they are named twice."""
    given = None if data.given is None else take(data.given, rows)
    return Memory(take(data.x, rows), given=given, n_jobs=1)


def first_sequences(data: Memory, most: int) -> tuple[Memory, bool]:
    """The first sequences of up to ``most`` rows in all (of a longer first one its beginning), and whether these are all."""
    assert data.ends is not None
    kept = data.ends[data.ends <= most]
    ends = kept if kept.size else np.array([min(most, data.n_rows)], dtype=np.intp)
    rows = slice(0, int(ends[-1]))
    given = None if data.given is None else take(data.given, rows)
    return Memory(take(data.x, rows), given=given, ends=ends, n_jobs=1), int(ends[-1]) == data.n_rows


def complete_rows(x: Any) -> NDArray[np.bool_]:
    """Which rows have no missing entry."""
    parts = x if isinstance(x, tuple) else (x,)
    gaps = [np.isnan(np.asarray(p, dtype=float)).reshape(len(p), -1).any(axis=1) for p in parts]
    return np.asarray(~np.logical_or.reduce(gaps))
