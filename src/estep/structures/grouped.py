"""Rows in known groups: every group has weights of its own, the components are shared.

    z_i | group_i = h ~ Categorical(w_h),   x_i | z_i = k ~ component k      (the same components in every group)

Student exams of several years are the example: what a type of student answers is shared, how many there are of each type
differs by year. A class that is absent from a group has weight zero there, a legal end.

E-step   r_ik = w_{h(i) k} p(x_i | k) / sum_j w_{h(i) j} p(x_i | j)
M-step   w_hk = n_hk / sum_j n_hj,   n_hk = sum of r_ik over the rows of group h
prior    Dirichlet(alpha) on every group's weights, as imaginary counts alpha - 1

symbol   variable      shape
w        weights       (g, k)   one row a group
n        counts        (g, k)
h(i)     chunk.given   (n,)     integer codes 0 .. g-1
         share         (g,)     the groups' shares of the data's weight, set by ``bind``

Source: Clogg & Goodman (1984), J. Am. Stat. Assoc. 79:762 (latent structure in several populations).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import SOFT
from estep.core.protocols import Assign, Chunk, Explained
from estep.core.record import Array, record
from estep.core.support import Constraints, Simplex, Support

TINY = np.finfo(float).tiny


@record
class GroupedParams:
    """Class probabilities of each group, ``weights`` (g, k)."""

    weights: Array


@record
class GroupedCounts:
    """Expected number of rows of each group in each class, (g, k)."""

    counts: Array


@dataclasses.dataclass(frozen=True)
class Grouped:
    """Rows are independent draws from mixtures that share their components and differ, group by group, in their weights.

    Parameters
    ----------
    n_groups : int
        Number of groups; a row's group is its integer code in ``given``.
    share
        Set by ``bind``.

    Raises
    ------
    ValueError
        Where rows come without codes, or with codes outside 0 .. n_groups - 1.

    Examples
    --------
    >>> Grouped(2).start(4).weights.tolist()
    [[0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]]
    """

    n_groups: int
    share: Array | None = None
    names: ClassVar[tuple[str, ...]] = ("weights",)

    def bind(self, data: Any) -> Grouped:
        """Check the codes and note what share of the data's weight each group has."""
        each = np.asarray(data.sum(lambda chunk: self._counted(chunk, np.ones((len(chunk), 1)), chunk.weight)))[:, 0]
        return dataclasses.replace(self, share=each / max(float(each.sum()), TINY))

    def start(self, k: int) -> GroupedParams:
        """Equal weights."""
        return GroupedParams(np.full((self.n_groups, k), 1.0 / k))

    def infer(
        self,
        params: GroupedParams,
        logb: Callable[[slice], Array],
        chunk: Chunk,
        assign: Assign,
        collect: Callable[[slice, Array], None],
    ) -> tuple[GroupedCounts, float, float]:
        """Counts, objective and log-likelihood of a chunk; weighted responsibilities go to ``collect``."""
        everything = slice(0, len(chunk))
        logits = self._logits(params, logb(everything), chunk)
        resp, objective, loglik = assign.rows(logits, chunk.key)
        if chunk.weight is not None:
            resp = resp * chunk.weight[:, None]
            objective, loglik = objective * chunk.weight, loglik * chunk.weight
        collect(everything, resp)
        return self.tally(params, resp, chunk), float(objective.sum()), float(loglik.sum())

    def by_group(self, params: GroupedParams, chunk: Chunk) -> tuple[Array, NDArray[np.intp]]:
        """Log weights of each group, (g, k), and the group of each row, (n,)."""
        with np.errstate(divide="ignore"):
            return np.log(params.weights), self._codes(chunk.given, len(chunk)).astype(np.intp)

    def from_groups(self, counts: Array) -> GroupedCounts:
        """Counts of all groups (g, k) as the structure keeps them."""
        return GroupedCounts(counts)

    def tally(self, params: GroupedParams, resp: Array, chunk: Chunk) -> GroupedCounts:
        """Counts from given (weighted) responsibilities."""
        return GroupedCounts(self._counted(chunk, resp))

    def explain(self, params: GroupedParams, logb: Callable[[slice], Array], chunk: Chunk) -> Explained:
        """Per row: log density within its group, class probabilities, most probable class (ties to the lowest index)."""
        resp, _, loglik = SOFT.rows(self._logits(params, logb(slice(0, len(chunk))), chunk), chunk.key)
        return Explained(loglik, resp, np.argmax(resp, axis=1))

    def fit(self, counts: GroupedCounts, params: GroupedParams, support: Support) -> GroupedParams:
        """The weights that maximise ``q``; a group without rows has equal weights."""
        entry = support.entries["weights"]
        assert isinstance(entry, Simplex)
        return GroupedParams(entry.share(counts.counts))

    def q(self, params: GroupedParams, counts: GroupedCounts) -> float:
        """``sum_hk n_hk log w_hk`` in nats (0 log 0 = 0)."""
        held = counts.counts != 0
        with np.errstate(divide="ignore"):
            return float((counts.counts[held] * np.log(params.weights[held])).sum())

    def score(self, params: GroupedParams, counts: GroupedCounts, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        return support.pull(params, {"weights": counts.counts / np.maximum(params.weights, TINY)})

    def unit_scores(self, params: GroupedParams, resp: Array, support: Support, given: Any = None) -> Array:
        """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
        codes, entry, at = self._codes(given, len(resp)), support.entries["weights"], 0
        assert isinstance(entry, Simplex)
        out = np.zeros((len(resp), entry.count))
        for h, (row, weights) in enumerate(zip(entry.rows, params.weights, strict=True)):
            own = Simplex((row,), (1, weights.size))
            slopes = np.array([own.pull(weights[None], e[None]) for e in np.eye(weights.size) / np.maximum(weights, TINY)])
            here = codes == h
            out[here, at : at + own.count] = resp[here] @ slopes
            at += own.count
        return out

    def support(self, params: GroupedParams, constraints: Constraints) -> Support:
        """A simplex for each group, less what is fixed or tied."""
        return Support({"weights": Simplex.of("weights", constraints.pattern("weights", params.weights.shape))})

    def prior(self, k: int, strength: Any) -> GroupedCounts:
        """Dirichlet(``strength``, a number or (k,)) on the weights of each group as imaginary counts; None is no prior."""
        imagined = np.zeros(k) if strength is None else np.broadcast_to(np.asarray(strength, dtype=float) - 1.0, (k,))
        return GroupedCounts(np.tile(imagined, (self.n_groups, 1)))

    def occupancy(self, counts: GroupedCounts) -> Array:
        """Expected rows in each class, (k,)."""
        return np.asarray(counts.counts.sum(axis=0))

    def overall(self, params: GroupedParams) -> Array:
        """Weights over all rows, (k,)."""
        share = np.full(self.n_groups, 1.0 / self.n_groups) if self.share is None else self.share
        return np.asarray(share @ params.weights)

    def permute(self, params: GroupedParams, order: NDArray[np.intp]) -> GroupedParams:
        """Classes in another order."""
        return GroupedParams(params.weights[:, order])

    def sample(self, params: GroupedParams, n: int, rng: np.random.Generator, **where: Any) -> NDArray[np.intp]:
        """A class label for each of the ``n`` codes in ``given``."""
        below = np.cumsum(params.weights, axis=1)[self._codes(where.get("given"), n)]
        draws = rng.random(n) * below[:, -1]
        return np.asarray(
            np.minimum((draws[:, None] >= below).sum(axis=1), _last(params.weights)[self._codes(where["given"], n)])
        )

    def adopt(self, name: str, value: Array, k: int, argument: str) -> Array:
        """A user's weights (g, k); (k,) stands for the same in every group. Raises ValueError naming ``argument``."""
        if value.shape == (k,):
            return np.tile(value, (self.n_groups, 1))
        if value.shape != (self.n_groups, k):
            raise ValueError(f"{argument} has shape {value.shape}, expected ({self.n_groups}, {k}): a row for each group")
        return value

    def adopt_ties(self, name: str, value: NDArray[Any], k: int, argument: str) -> NDArray[Any]:
        """A user's ties (g, k); (k,) ties within every group alike."""
        if value.shape == (k,) and value.dtype.kind in "iu":
            return np.asarray(value - value.min() + np.arange(self.n_groups)[:, None] * (np.ptp(value) + 1))
        return value

    def blank(self) -> NDArray[np.intp]:
        """A row's group."""
        return np.zeros(1, dtype=np.intp)

    def _logits(self, params: GroupedParams, logb: Array, chunk: Chunk) -> Array:
        codes = self._codes(chunk.given, len(chunk))
        with np.errstate(divide="ignore"):
            return np.asarray(logb + np.log(params.weights)[codes])

    def _counted(self, chunk: Chunk, resp: Array, weight: Array | None = None) -> Array:
        codes = self._codes(chunk.given, len(chunk))
        columns = resp.T if weight is None else resp.T * weight
        return np.stack([np.bincount(codes, column, minlength=self.n_groups) for column in columns], axis=1)

    def _codes(self, given: Any, n: int) -> NDArray[np.intp]:
        if given is None:
            raise ValueError(f"the weights differ by group, so rows need their group: give a code 0..{self.n_groups - 1} each")
        codes = np.asarray(given)
        if codes.shape != (n,) or codes.dtype.kind not in "iu":
            raise ValueError(f"groups have shape {codes.shape} and dtype {codes.dtype}, expected integers ({n},)")
        if n and not 0 <= codes.min() <= codes.max() < self.n_groups:
            odd = codes[(codes < 0) | (codes >= self.n_groups)][0]
            raise ValueError(f"group {odd} is not one of the {self.n_groups} groups 0..{self.n_groups - 1}")
        return codes


def _last(weights: Array) -> NDArray[np.intp]:
    """The last class of positive weight in each group, which takes what rounding leaves."""
    return np.asarray(weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1))
