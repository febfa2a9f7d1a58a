"""A latent-class model is a structure (how labels hang together) times a family (how a row looks given its label).

    log p(x, z) = log p(z | structure) + sum_i log p(x_i | z_i, family)

Everything that is the same for all of them is here: encoding once a block, partial labels, the prior as imaginary
statistics, and the split of statistics, gradients and supports into the two parts.

    E-step   resp, counts = structure.infer(logb);   stats = family.stats(resp)
    M-step   maximise q = q_structure(counts) + q_family(stats), each part on its own
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.core.numeric import numeric_score
from estep.core.protocols import Assign, Chunk, Expected, Explained, Family, Structure
from estep.core.record import Array, record, transform
from estep.core.rows import take
from estep.core.support import Constraints, Support
from estep.models import fewer, reshaping
from estep.models import summaries as trees
from estep.models.ascend import ascend, fitted


@record
class LatentParams:
    """Parameters of the structure and of the family."""

    structure: Any
    family: Any


@record
class LatentStats:
    """Expected counts of the structure and expected statistics of the family."""

    structure: Any
    family: Any


@dataclasses.dataclass(frozen=True)
class Latent:
    """``k`` latent classes under ``structure``, rows by ``family``.

    ``prior`` is a value of the statistics type (imaginary data) or None; ``constraints`` are fixed and tied entries.
    """

    structure: Any
    family: Any
    k: int
    prior: Any | None = None
    constraints: Constraints = dataclasses.field(default_factory=Constraints)

    def __post_init__(self) -> None:
        _refuse_incomplete("structure", self.structure, Structure)
        _refuse_incomplete("family", self.family, Family)
        known = {*self.structure.names, *self.family.names}
        if both := set(self.structure.names) & set(self.family.names):
            raise ValueError(f"structure and family both name {sorted(both)}; fixed and tied could not tell them apart")
        for kind in ("fixed", "tied"):
            unknown = set(getattr(self.constraints, kind)) - known
            if unknown:
                raise ValueError(f"{kind} names {sorted(unknown)}; this model has {sorted(known)}")

    @property
    def constants(self) -> int:
        """Parameters that binding estimated once from the data, less coordinates that nothing identifies (rotations)."""
        found = getattr(self.family, "constants", 0)
        return int(found(self.k, self._part(self.family)) if callable(found) else found)

    @property
    def remedy(self) -> str:
        """What helps where a component collapses, as the family knows it."""
        return str(getattr(self.family, "remedy", ""))

    def bind(self, data: Any) -> Latent:
        """Fix what depends on the data as a whole."""
        bind = getattr(self.family, "bind", None)
        bound = dataclasses.replace(self, structure=self.structure.bind(data), family=bind(data) if bind else self.family)
        return dataclasses.replace(bound, prior=self.prior or bound._carried())

    def _carried(self) -> LatentStats | None:
        """The prior that settings of the parts ask for (``carried(k)``: a ridge), or None."""
        structure, family = (getattr(p, "carried", lambda k: None)(self.k) for p in (self.structure, self.family))
        if structure is None and family is None:
            return None
        structure = self.structure.prior(self.k, None) if structure is None else structure
        return LatentStats(structure, self.family.prior(self.k, {}) * 0.0 if family is None else family)

    def with_prior(self, settings: dict[str, Any]) -> Latent:
        """This model with the family's weak conjugate prior (``settings`` override its entries; ``weights``: Dirichlet)."""
        if not hasattr(self.family, "prior"):
            raise ValueError(
                f"prior: {type(self.family).__name__} has no conjugate prior (a method prior(k, settings)); use prior=None"
            )
        settings = dict(settings)
        named = getattr(self.structure, "settings", None)
        weights = {n: settings.pop(n, None) for n in named} if named else settings.pop("weights", None)
        prior = LatentStats(self.structure.prior(self.k, weights), self.family.prior(self.k, settings))
        return dataclasses.replace(self, prior=prior)

    def holding(self, params: LatentParams, free: tuple[str, ...]) -> Latent:
        """This model with every parameter but those in ``free`` fixed at ``params``."""
        unknown = set(free) - {*self.structure.names, *self.family.names}
        if unknown:
            raise ValueError(
                f"only: no parameter {sorted(unknown)}; this model has {[*self.structure.names, *self.family.names]}"
            )
        values = {**_fields(params.structure, self.structure.names), **_fields(params.family, self.family.names)}
        fixed = dict(self.constraints.fixed) | {n: v for n, v in values.items() if n not in free}
        return dataclasses.replace(self, constraints=Constraints(fixed, self.constraints.tied))

    @property
    def blocks(self) -> tuple[str, ...]:
        """The parameters by name, each of which can be maximised with the others held."""
        return (*self.structure.names, *self.family.names)

    def refuses(self, assign: Any) -> str:
        """Why the structure cannot fill labels in so, or an empty text."""
        return str(getattr(self.structure, "refuses", lambda assign: "")(assign))

    def start(self) -> LatentParams:
        """A neutral point: equal weights, every component like the whole of the data."""
        return LatentParams(self.structure.start(self.k), self.family.start(self.k))

    def estep(self, params: LatentParams, chunk: Chunk, assign: Assign) -> Expected:
        """Expected statistics of one chunk at ``params``."""
        block = _Block(self.family, params.family, chunk)
        assign = assign.for_weight(chunk.weight) if hasattr(assign, "for_weight") else assign
        counts, objective, loglik = self.structure.infer(params.structure, block.logb, chunk, assign, block.collect)
        weight = float(chunk.weight.sum()) if chunk.weight is not None else float(len(chunk))
        return Expected(LatentStats(counts, block.total), loglik, objective, weight)

    def estep_within(self, params: LatentParams, chunk: Chunk, active: Any) -> Expected | None:
        """``estep`` within the active classes of each row (sparse EM); None where the parts cannot look at these alone."""
        by_group, within = getattr(self.structure, "by_group", None), getattr(self.family, "within", None)
        if by_group is None or within is None:
            return None
        block = kept_encoding(self.family, chunk)
        found = within(params.family, block, active, *by_group(params.structure, chunk), chunk.weight)
        if found is None:
            return None
        stats, counts, objective = found
        weight = float(chunk.weight.sum()) if chunk.weight is not None else float(len(chunk))
        return Expected(LatentStats(self.structure.from_groups(counts), stats), objective, objective, weight)

    def tally(self, params: LatentParams, chunk: Chunk, resp: Array) -> LatentStats:
        """Statistics of one chunk under given responsibilities (n, k); rows of zeros count for nothing."""
        if chunk.weight is not None:
            resp = resp * chunk.weight[:, None]
        counts = self.structure.tally(params.structure, resp, chunk)
        return LatentStats(counts, self.family.stats(params.family, encoded(self.family, chunk.x), resp))

    summaries = trees.summaries
    nodes = trees.nodes
    no_summaries = trees.no_summaries
    downweighted = trees.downweighted

    def closer(self, params: LatentParams, stats: LatentStats) -> LatentParams | None:
        """Where to tally again, because ``stats`` lost digits about their anchor; None if they kept them."""
        find = getattr(self.family, "closer", None)
        family = None if find is None else find(params.family, stats.family)
        return None if family is None else LatentParams(params.structure, family)

    def mstep(self, stats: LatentStats, params: LatentParams) -> LatentParams:
        """Parameters that maximise q(., stats + prior), from ``params`` on."""
        total, (s, f) = self.with_imagined(stats), self._supports(params)
        structure = fitted(self.structure, total.structure, params.structure, s, self._part(self.structure))
        return LatentParams(structure, fitted(self.family, total.family, params.family, f, self._part(self.family)))

    ascend = ascend
    staying = fewer.staying
    keeping = fewer.keeping
    cut = fewer.cut

    def ecme(self, data: Any, stats: LatentStats, params: LatentParams) -> LatentParams:
        """An M-step part of which climbs the likelihood itself; raises TypeError where the family has no such part."""
        if not hasattr(params.family, "dofs"):
            raise TypeError(
                f"algorithm='ecme' maximises degrees of freedom on the likelihood itself, and {type(self.family).__name__} has "
                "none; use algorithm='em' (or 'ecm', block by block), or estep.Student components"
            )
        from estep.models.ecme import Ecme

        found: LatentParams = Ecme()(self, data, stats, params)
        return found

    def with_imagined(self, stats: LatentStats) -> LatentStats:
        """``stats + prior``, with the prior brought to the anchor of ``stats``."""
        if self.prior is None:
            return stats
        imagined: Any = LatentStats(
            aligned(self.structure, self.prior.structure, stats.structure),
            aligned(self.family, self.prior.family, stats.family),
        )
        total: LatentStats = imagined + stats
        return total

    def align(self, stats: LatentStats, like: LatentStats) -> LatentStats:
        """``stats`` brought to the shared fields (anchors) of ``like``, so that the two add."""
        return LatentStats(
            aligned(self.structure, stats.structure, like.structure), aligned(self.family, stats.family, like.family)
        )

    def q(self, params: LatentParams, stats: LatentStats) -> float:
        """Complete-data log-likelihood in nats from statistics alone."""
        return float(self.structure.q(params.structure, stats.structure) + self.family.q(params.family, stats.family))

    def score(self, params: LatentParams, stats: LatentStats) -> Array:
        """Gradient of ``q`` in free coordinates; of a family without ``score`` by finite differences."""
        s, f = self._supports(params)
        own = getattr(self.family, "score", None) or partial(numeric_score, self.family)
        return np.concatenate([self.structure.score(params.structure, stats.structure, s), own(params.family, stats.family, f)])

    def unit_scores(self, params: LatentParams, chunk: Chunk) -> Array:
        """Per row, or where rows hang together per sequence, the gradient of its log-likelihood (Fisher's identity), (n, p)."""
        s, f = self._supports(params)
        block = _Block(self.family, params.family, chunk)
        if hasattr(self.structure, "sequence_scores"):
            found = np.zeros((0 if chunk.ends is None else len(chunk.ends), f.count))

            def add(rows: slice, resp: Array) -> None:
                at = np.searchsorted(np.asarray(chunk.ends), np.arange(rows.start, rows.stop), side="right")
                first = np.flatnonzero(np.diff(at, prepend=-1))
                found[at[first]] += np.add.reduceat(block.unit_scores(rows, resp, f), first, axis=0)

            return np.hstack([self.structure.sequence_scores(params.structure, block.logb, chunk, s, add)[0], found])
        resp = self.explain(params, chunk).resp
        own = self.structure.unit_scores(params.structure, resp, s, chunk.given)
        return np.hstack([own, block.unit_scores(slice(0, len(chunk)), resp, f)])

    def score_covariance(self, params: LatentParams, chunk: Chunk) -> Array:
        """Where rows hang together: ``sum w Cov[score of the labels | rows]`` over the sequences of a chunk, (p, p)."""
        s, f = self._supports(params)
        block, one = _Block(self.family, params.family, chunk), np.eye(self.k)

        def seen(rows: slice) -> Array:
            n = rows.stop - rows.start
            each = [block.unit_scores(rows, np.broadcast_to(one[j], (n, self.k)), f) for j in range(self.k)]
            return np.stack(each, axis=1)

        found: Array = self.structure.score_covariance(params.structure, block.logb, chunk, s, seen)
        return found

    named = property(reshaping.named)
    sized = reshaping.sized
    moved = reshaping.moved
    densities = reshaping.densities
    pictured = reshaping.pictured

    def support(self, params: LatentParams) -> Support:
        """Where each parameter may live."""
        s, f = self._supports(params)
        return Support.join(structure=s, family=f)

    def explain(self, params: LatentParams, chunk: Chunk) -> Explained:
        """Per row: log density, responsibilities, most probable class or path."""
        return self.structure.explain(params.structure, _Block(self.family, params.family, chunk).logb, chunk)  # type: ignore[no-any-return]

    def dying(self, params: LatentParams, stats: LatentStats) -> Any:
        """The first component that has collapsed at ``params``, as an exception to read, or None."""
        find = getattr(self.family, "dying", None)
        return None if find is None else find(params.family, stats.family, self._supports(params)[1])

    def empty(self, stats: LatentStats) -> list[int]:
        """Classes to which no row belongs."""
        return [int(j) for j in np.flatnonzero(np.asarray(self.structure.occupancy(stats.structure)) <= 0)]

    def seat(self, params: LatentParams, component: int, row: Array) -> LatentParams:
        """``params`` with ``component`` moved to ``row``."""
        return LatentParams(params.structure, self.family.seat(params.family, component, row))

    def permute(self, params: LatentParams, order: NDArray[np.intp]) -> LatentParams:
        """Classes in another order."""
        own = getattr(self.family, "permute", None)
        family = own(params.family, order) if own else transform(params.family, lambda _, leaf: leaf[order])
        return LatentParams(self.structure.permute(params.structure, order), family)

    def sample(self, params: LatentParams, n: int, rng: np.random.Generator, **where: Any) -> tuple[Any, NDArray[np.intp]]:
        """``n`` rows and their labels; ``where`` is what the structure reads (``given``, ``ends``)."""
        if not hasattr(self.family, "sample"):
            raise TypeError(f"{type(self.family).__name__} has no sample(params, labels, rng)")
        labels = self.structure.sample(params.structure, n, rng, **where)
        return self.family.sample(params.family, labels, rng), labels

    def frail(self, params: LatentParams, stats: LatentStats) -> Any:
        """The first component that has nearly collapsed at ``params``, as an exception to read, or None."""
        total, (s, f) = self.with_imagined(stats), self._supports(params)
        family, structure = (getattr(part, "frail", None) for part in (self.family, self.structure))
        found = family(params.family, total.family, f) if family else None
        return structure(params.structure, total.structure, s) if found is None and structure else found

    def _supports(self, params: LatentParams) -> tuple[Support, Support]:
        return remembered(self, "supports", lambda: self._make_supports(params))  # type: ignore[no-any-return]

    def _make_supports(self, params: LatentParams) -> tuple[Support, Support]:
        return (
            self.structure.support(params.structure, self._part(self.structure)),
            self.family.support(params.family, self._part(self.family)),
        )

    def _part(self, part: Any) -> Constraints:
        if not self.constraints:
            return self.constraints
        mine = {n: v for n, v in self.constraints.fixed.items() if n in part.names}
        return Constraints(mine, {n: v for n, v in self.constraints.tied.items() if n in part.names})


class _Block:
    """A chunk as its family sees it: encodes a slice of rows once and adds up what is collected."""

    def __init__(self, family: Any, params: Any, chunk: Chunk) -> None:
        self.family, self.params, self.chunk = family, params, chunk
        self.total: Any = None
        self._last: tuple[slice, Any] | None = None

    def logb(self, rows: slice) -> Array:
        logb: Array = self.family.log_density(self.params, self._encode(rows))
        return logb if self.chunk.allowed is None else forbid(logb, self.chunk.allowed[rows])

    def collect(self, rows: slice, resp: Array) -> None:
        stats = self.family.stats(self.params, self._encode(rows), resp)
        self.total = stats if self.total is None else self.total + stats

    def unit_scores(self, rows: slice, resp: Array, support: Support) -> Array:
        """Gradients (n, p) of the rows' log densities, weighted by ``resp``."""
        return np.asarray(self.family.unit_scores(self.params, self._encode(rows), resp, support))

    def _encode(self, rows: slice) -> Any:
        if self._last is None or self._last[0] != rows:
            whole = rows == slice(0, len(self.chunk))
            block = kept_encoding(self.family, self.chunk) if whole else encoded(self.family, take(self.chunk.x, rows))
            self._last = (rows, block)
        return self._last[1]


def forbid(logb: Array, allowed: NDArray[Any]) -> Array:
    """Log densities with -inf at the classes a row may not belong to.

    >>> forbid(np.zeros((2, 2)), np.array([-1, 1])).tolist()
    [[0.0, 0.0], [-inf, 0.0]]
    """
    if allowed.ndim == 1:
        allowed = (allowed[:, None] == np.arange(logb.shape[1])) | (allowed[:, None] < 0)
    return np.where(allowed, logb, -np.inf)


def aligned(part: Any, prior: Any, stats: Any) -> Any:
    """``prior`` brought to the shared fields of ``stats`` (anchor, point), where the part has any."""
    align = getattr(part, "align", None)
    return align(prior, stats) if align else prior


def encoded(family: Any, x: Any) -> Any:
    """``x`` as the family reads it."""
    encode = getattr(family, "encode", None)
    return encode(x) if encode else x


def kept_encoding(family: Any, chunk: Chunk) -> Any:
    """The encoding of a whole chunk, kept with it between passes where the plane has room."""
    if not chunk.keep:
        return encoded(family, chunk.x)
    kept = chunk.__dict__.get("_encoding")
    if kept is None or kept[0] is not family:
        kept = (family, encoded(family, chunk.x))
        object.__setattr__(chunk, "_encoding", kept)
    return kept[1]


def _refuse_incomplete(argument: str, part: Any, protocol: type) -> None:
    """Raise TypeError naming what ``part`` lacks of ``protocol``."""
    if isinstance(part, type):
        raise TypeError(f"{argument} is the class {part.__name__}; give an instance, such as {part.__name__}()")
    promised = [n for n in (*protocol.__annotations__, *vars(protocol)) if not n.startswith("_")]
    missing = [n for n in promised if not hasattr(part, n)]
    if missing:
        raise TypeError(
            f"{argument}: {type(part).__name__} lacks {', '.join(missing)}; a {protocol.__name__} has {', '.join(promised)}"
        )


def _fields(params: Any, names: tuple[str, ...]) -> dict[str, Array]:
    return {n: np.asarray(getattr(params, n), dtype=float) for n in names}
