"""Gates in two levels: a gate chooses a group, and a gate of that group one of its classes (the leaves).

    P(z_i = leaf j of group h | g_i) = softmax(V (1, g_i))_h  softmax(U_h (1, g_i))_j        first rows of V and each U_h zero

With regressions at the leaves this is a hierarchical mixture of experts. Its likelihood factors over the gates: each is a
multinomial logit with soft targets, the top one with the summed responsibilities of its groups.

E-step   logits = log P(leaf | g_i) + log p(x_i | theta_leaf)
M-step   one guarded step for every gate (kernels/local.py); together they cannot lower the likelihood
prior    ridge on the coefficients of covariates in every gate

symbol   variable      shape
V        gate_coefs    (h, 1 + q)   intercept first
U        leaf_coefs    (k, 1 + q)   leaves of the first group, then of the second, ...
         groups        sizes of the groups, summing to k

Leaves belong to groups, so that classes cannot be renamed at will: there is no order by weight.

Source: Jordan & Jacobs (1994), Neural Computation 6:181.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import SOFT
from estep.core.collapse import Collapsed
from estep.core.protocols import Assign, Chunk, Explained
from estep.core.record import Array, record
from estep.core.support import Constraints, Pattern, Real, Support
from estep.kernels import local
from estep.kernels.design import Design, features, inner, pulled
from estep.kernels.local import LocalStats
from estep.kernels.logit import expansion_of, log_probs
from estep.structures import gated
from estep.structures.gated import Gated, covariates


@record
class HierarchyParams:
    """Coefficients of the top gate (h, 1 + q) and of the groups' gates, one row a leaf, (k, 1 + q)."""

    gate_coefs: Array
    leaf_coefs: Array


@record
class HierarchyStats:
    """Expected rows in each leaf, (k,), and the log-likelihood of every gate to second order, the top one first."""

    counts: Array
    gates: tuple[LocalStats, ...]


@dataclasses.dataclass(frozen=True)
class HierarchicalGate:
    """Class probabilities by two levels of multinomial logit on ``given`` (n, q).

    Parameters
    ----------
    groups : tuple of int
        How many classes each group has, two groups or more; classes are numbered group by group.
    ridge : float
        Precision of a normal prior on the coefficients of covariates in every gate; above 0 admits collinear columns.
    columns : tuple of str
        Names of the covariates, for messages.
    design, picture
        Set by ``bind``, as in ``Gated``.

    Raises
    ------
    ValueError
        Where groups are fewer than two or empty, and as ``Gated`` does.

    Examples
    --------
    >>> from estep.data import Memory
    >>> gate = HierarchicalGate((2, 1)).bind(Memory(np.zeros((3, 1)), given=np.array([[0.0], [1.0], [2.0]])))
    >>> gate.probs(gate.start(3), np.array([[1.0]])).tolist()
    [[0.25, 0.25, 0.5]]
    """

    groups: tuple[int, ...]
    ridge: float = 0.0
    columns: tuple[str, ...] = ()
    design: Design | None = None
    picture: Array | None = None
    names: ClassVar[tuple[str, ...]] = ("gate_coefs", "leaf_coefs")

    def __post_init__(self) -> None:
        if len(self.groups) < 2 or min(self.groups) < 1:
            raise ValueError(f"groups={self.groups!r}: give the number of classes of two groups or more, each at least 1")

    def bind(self, data: Any) -> HierarchicalGate:
        """Fix the map of covariates."""
        found = Gated(self.ridge, self.columns).bind(data)
        return dataclasses.replace(self, columns=found.columns, design=found.design, picture=found.picture)

    def start(self, k: int) -> HierarchyParams:
        """Equal probabilities in every gate, everywhere."""
        if k != sum(self.groups):
            raise ValueError(f"groups={self.groups!r} have {sum(self.groups)} classes together, expected {k}")
        m = 1 + gated.known(self).centre.size
        return HierarchyParams(np.zeros((len(self.groups), m)), np.zeros((k, m)))

    def log_probs(self, params: HierarchyParams, given: Any) -> Array:
        """log P(leaf) of each row, (n, k)."""
        z = features(gated.known(self), covariates(given, self.columns))
        top, *inside = self._logs(params, z)
        return np.hstack([top[:, h, None] + logs for h, logs in enumerate(inside)])

    def probs(self, params: HierarchyParams, given: Any) -> Array:
        """Class probabilities of each row, (n, k), before anything else of it is seen."""
        return np.exp(self.log_probs(params, given))

    def infer(
        self,
        params: HierarchyParams,
        logb: Callable[[slice], Array],
        chunk: Chunk,
        assign: Assign,
        collect: Callable[[slice, Array], None],
    ) -> tuple[HierarchyStats, float, float]:
        """Statistics, objective and log-likelihood of a chunk; weighted responsibilities go to ``collect``."""
        everything = slice(0, len(chunk))
        resp, objective, loglik = assign.rows(self.log_probs(params, chunk.given) + logb(everything), chunk.key)
        if chunk.weight is not None:
            resp = resp * chunk.weight[:, None]
            objective, loglik = objective * chunk.weight, loglik * chunk.weight
        collect(everything, resp)
        return self.tally(params, resp, chunk), float(objective.sum()), float(loglik.sum())

    def tally(self, params: HierarchyParams, resp: Array, chunk: Chunk) -> HierarchyStats:
        """Statistics from given (weighted) responsibilities."""
        z = features(gated.known(self), covariates(chunk.given, self.columns))
        targets = [np.stack([part.sum(axis=1) for part in self._split(resp, 1)], axis=1), *self._split(resp, 1)]
        gates = []
        for t, log_p, at in zip(targets, self._logs(params, z), self._coefs(params), strict=True):
            value, gradient, curvature, gram = expansion_of(z, t, log_p)
            flat = np.zeros((1, *at.shape))
            gates.append(LocalStats(np.array([value]), gradient[None], curvature[None], gram[None], flat, at[None]))
        return HierarchyStats(resp.sum(axis=0), tuple(gates))

    def explain(self, params: HierarchyParams, logb: Callable[[slice], Array], chunk: Chunk) -> Explained:
        """Per row: log density, class probabilities, most probable class (ties to the lowest index)."""
        resp, _, loglik = SOFT.rows(self.log_probs(params, chunk.given) + logb(slice(0, len(chunk))), chunk.key)
        return Explained(loglik, resp, np.argmax(resp, axis=1))

    def fit(self, counts: HierarchyStats, params: HierarchyParams, support: Support) -> HierarchyParams:
        """One guarded Newton step for every gate over the free entries; never lowers the likelihood."""
        pieces = zip(counts.gates, self._coefs(params), self._patterns(support), strict=True)
        top, *inside = [local.step(one, gated.known(self), at[None], pattern)[0] for one, at, pattern in pieces]
        return HierarchyParams(top, np.concatenate(inside))

    def q(self, params: HierarchyParams, counts: HierarchyStats) -> float:
        """``sum_ik r_ik log P(leaf k | g_i)`` in nats, to second order about the point of the statistics."""
        gates = zip(counts.gates, self._coefs(params), strict=True)
        return float(sum(local.expansion(one, gated.known(self), at[None])[0] for one, at in gates))

    def score(self, params: HierarchyParams, counts: HierarchyStats, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        gates = zip(counts.gates, self._coefs(params), strict=True)
        top, *inside = [local.slope(one, gated.known(self), at[None])[0] for one, at in gates]
        return support.pull(params, {"gate_coefs": top, "leaf_coefs": np.concatenate(inside)})

    def unit_scores(self, params: HierarchyParams, resp: Array, support: Support, given: Any = None) -> Array:
        """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
        z = features(gated.known(self), covariates(given, self.columns))
        top, *inside = [np.exp(logs) for logs in self._logs(params, z)]
        parts = self._split(resp, 1)
        totals = np.stack([part.sum(axis=1) for part in parts], axis=1)
        slopes = [totals - totals.sum(axis=1, keepdims=True) * top]
        slopes.append(np.hstack([t - t.sum(axis=1, keepdims=True) * p for t, p in zip(parts, inside, strict=True)]))
        covariate = pulled(gated.known(self), z)[:, None, :]
        each = []
        for slope, name in zip(slopes, self.names, strict=True):
            pattern = _pattern(support, name)
            chosen = np.asarray(pattern.groups.ravel()[:, None] == np.arange(pattern.count), dtype=float)
            each.append((slope[:, :, None] * covariate).reshape(len(z), -1) @ chosen)
        return np.hstack(each)

    def support(self, params: HierarchyParams, constraints: Constraints) -> Support:
        """Real coefficients; those of the first group, and of the first leaf of each group, are held at zero."""
        firsts = np.concatenate([[0], np.cumsum(self.groups)[:-1]])
        entries = {}
        for name, zero in zip(self.names, (firsts[:1], firsts), strict=True):
            held = np.zeros(getattr(params, name).shape, dtype=bool)
            held[zero] = True
            entries[name] = Real(gated.reference_at_zero(constraints, held, name))
        if not _apart(self._split(entries["leaf_coefs"].pattern.groups)):
            raise ValueError("tied['leaf_coefs'] ties classes of different groups; tie within a group")
        return Support(entries)

    def prior(self, k: int, strength: Any) -> HierarchyStats:
        """The ridge as statistics; as in ``Gated`` there is no Dirichlet prior."""
        flat = Gated(self.ridge, self.columns, self.design)
        sizes = (len(self.groups), *self.groups)
        return HierarchyStats(np.zeros(k), tuple(flat.prior(size, strength).local for size in sizes))

    def carried(self, k: int) -> HierarchyStats | None:
        """The prior that the structure's own settings ask for, or None."""
        return self.prior(k, None) if self.ridge > 0 else None

    def align(self, prior: HierarchyStats, counts: HierarchyStats) -> HierarchyStats:
        """``prior`` at the point of ``counts``: a penalty does not depend on it."""
        both = zip(prior.gates, counts.gates, strict=True)
        return dataclasses.replace(prior, gates=tuple(dataclasses.replace(p, at=c.at) for p, c in both))

    def frail(self, params: HierarchyParams, counts: HierarchyStats, support: Support) -> Collapsed | None:
        """A class whose probability depends on covariates without end, because these separate it; None if there is none."""
        pieces = zip(counts.gates, self._coefs(params), self._patterns(support), strict=True)
        for one, at, pattern in pieces:
            found = local.runaway(one, gated.known(self), at[None], pattern)
            if found is not None:
                return gated.separated(self, at, found[1])
        return None

    def occupancy(self, counts: HierarchyStats) -> Array:
        """Expected rows in each leaf, (k,)."""
        return counts.counts

    def overall(self, params: HierarchyParams) -> Array:
        """Mean class probabilities over the rows it was bound to (at most 2000 of them, evenly spaced), (k,)."""
        return np.asarray(self.probs(params, self.picture).mean(axis=0))

    def adopt(self, name: str, value: Array, k: int, argument: str) -> Array:
        """A user's coefficients, (h, 1 + q) or (k, 1 + q); those of the references must be zero or free."""
        zeros = getattr(self.start(k), name)
        if value.shape != zeros.shape:
            raise ValueError(f"{argument} has shape {value.shape}, expected {zeros.shape}: intercept first")
        pattern = _pattern(self.support(self.start(k), Constraints()), name)
        if np.any(np.nan_to_num(value[pattern.groups < 0]) != 0):
            raise ValueError(f"{argument}: the first class of every gate is its reference, so its entries are zero")
        return value

    def _patterns(self, support: Support) -> list[Pattern]:
        """Fixed and tied entries of every gate, (1, classes, 1 + q), the top one first."""
        top, leaves = (_pattern(support, name) for name in self.names)
        pieces = zip(self._split(leaves.groups), self._split(leaves.values), strict=True)
        inside = [Pattern(_own(groups)[None], values[None]) for groups, values in pieces]
        return [Pattern(top.groups[None], top.values[None]), *inside]

    def _coefs(self, params: HierarchyParams) -> list[Array]:
        return [params.gate_coefs, *self._split(params.leaf_coefs)]

    def _logs(self, params: HierarchyParams, z: Array) -> list[Array]:
        """Log probabilities of the top gate (n, h) and of each group's (n, leaves)."""
        return [log_probs(z @ inner(gated.known(self), coefs).T) for coefs in self._coefs(params)]

    def _split(self, values: NDArray[Any], axis: int = 0) -> list[NDArray[Any]]:
        return np.split(values, np.cumsum(self.groups)[:-1], axis=axis)

    sample = gated.sample
    blank = gated.blank


def _pattern(support: Support, name: str) -> Pattern:
    entry = support.entries[name]
    assert isinstance(entry, Real)
    return entry.pattern


def _own(groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """The same pattern with its free values counted from zero."""
    out = np.full(groups.shape, -1, dtype=np.intp)
    free = groups >= 0
    out[free] = np.unique(groups[free], return_inverse=True)[1]
    return out


def _apart(pieces: list[NDArray[np.intp]]) -> bool:
    """Whether no free value is shared between pieces."""
    owned = [set(p[p >= 0].ravel().tolist()) for p in pieces]
    return sum(map(len, owned)) == len(set().union(*owned))
