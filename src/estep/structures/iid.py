"""Independent rows: each row draws its class afresh.

    z_i ~ Categorical(w),   x_i | z_i = k ~ p(. | theta_k)

E-step   logits_ik = log w_k + log p(x_i | theta_k),   resp = assign(logits)
M-step   w_k = counts_k / sum counts                    (over the free weights, what fixed ones leave)

symbol   variable   shape
w        weights    (k,)
N        counts     (k,)

Source: McLachlan & Peel (2000), Finite Mixture Models, section 2.8.
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


@record
class IidParams:
    """Class probabilities ``weights`` (k,)."""

    weights: Array


@record
class IidCounts:
    """Expected number of rows in each class, (k,)."""

    counts: Array


@dataclasses.dataclass(frozen=True)
class Iid:
    """Rows are independent draws from a mixture.

    ``equal=True`` holds every weight at 1/k, as in k-means.

    >>> Iid().start(2).weights.tolist()
    [0.5, 0.5]
    """

    equal: bool = False
    names: ClassVar[tuple[str, ...]] = ("weights",)

    def bind(self, data: Any) -> Iid:
        """Nothing depends on the data as a whole."""
        return self

    def start(self, k: int) -> IidParams:
        """Equal weights."""
        return IidParams(np.full(k, 1.0 / k))

    def infer(
        self,
        params: IidParams,
        logb: Callable[[slice], Array],
        chunk: Chunk,
        assign: Assign,
        collect: Callable[[slice, Array], None],
    ) -> tuple[IidCounts, float, float]:
        """Counts, objective and log-likelihood of a chunk; weighted responsibilities go to ``collect``."""
        everything = slice(0, len(chunk))
        logits = self._logits(params, logb(everything))
        resp, objective, loglik = assign.rows(logits, chunk.key)
        if chunk.weight is not None:
            resp = resp * chunk.weight[:, None]
            objective, loglik = objective * chunk.weight, loglik * chunk.weight
        collect(everything, resp)
        return IidCounts(resp.sum(axis=0)), float(objective.sum()), float(loglik.sum())

    def by_group(self, params: IidParams, chunk: Chunk) -> tuple[Array, None]:
        """Log weights of each group, (1, k), and which group a row belongs to: all rows are one group."""
        with np.errstate(divide="ignore"):
            return np.log(params.weights)[None], None

    def from_groups(self, counts: Array) -> IidCounts:
        """Counts of all groups (1, k) as the structure keeps them."""
        return IidCounts(counts[0])

    def tally(self, params: IidParams, resp: Array, chunk: Chunk) -> IidCounts:
        """Counts from given (weighted) responsibilities."""
        return IidCounts(resp.sum(axis=0))

    def explain(self, params: IidParams, logb: Callable[[slice], Array], chunk: Chunk) -> Explained:
        """Per row: mixture log density, class probabilities, most probable class (ties to the lowest index)."""
        resp, _, loglik = SOFT.rows(self._logits(params, logb(slice(0, len(chunk)))), chunk.key)
        return Explained(loglik, resp, np.argmax(resp, axis=1))

    def fit(self, counts: IidCounts, params: IidParams, support: Support) -> IidParams:
        """The weights that maximise ``q``."""
        if self.equal:
            return params
        entry = support.entries["weights"]
        assert isinstance(entry, Simplex)
        return IidParams(entry.share(counts.counts))

    def q(self, params: IidParams, counts: IidCounts) -> float:
        """``sum_k counts_k log w_k`` in nats (0 log 0 = 0)."""
        held = counts.counts != 0
        with np.errstate(divide="ignore"):
            return float((counts.counts[held] * np.log(params.weights[held])).sum())

    def score(self, params: IidParams, counts: IidCounts, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        return support.pull(params, {"weights": counts.counts / np.maximum(params.weights, np.finfo(float).tiny)})

    def unit_scores(self, params: IidParams, resp: Array, support: Support, given: Any = None) -> Array:
        """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
        identity = np.eye(params.weights.size)
        rows = [
            support.pull(params, {"weights": e / max(w, np.finfo(float).tiny)})
            for e, w in zip(identity, params.weights, strict=True)
        ]
        return resp @ np.array(rows).reshape(params.weights.size, -1)

    def support(self, params: IidParams, constraints: Constraints) -> Support:
        """The simplex, less what is fixed or tied."""
        k = params.weights.size
        if self.equal:
            constraints = Constraints(fixed={"weights": np.full(k, 1.0 / k)})
        return Support({"weights": Simplex.of("weights", constraints.pattern("weights", (k,)))})

    def prior(self, k: int, strength: float | None) -> IidCounts:
        """Dirichlet(alpha) on the weights as imaginary counts alpha - 1; None is no prior."""
        return IidCounts(np.full(k, 0.0 if strength is None else strength - 1.0))

    def occupancy(self, counts: IidCounts) -> Array:
        """Expected rows in each class, (k,)."""
        return counts.counts

    def permute(self, params: IidParams, order: NDArray[np.intp]) -> IidParams:
        """Classes in another order."""
        return IidParams(params.weights[order])

    def log_weights(self, params: IidParams) -> Array:
        """Log class weights (k,), the same for every row."""
        with np.errstate(divide="ignore"):
            return np.log(params.weights)

    def sample(self, params: IidParams, n: int, rng: np.random.Generator, **where: Any) -> NDArray[np.intp]:
        """``n`` class labels."""
        return rng.choice(params.weights.size, size=n, p=params.weights)

    def _logits(self, params: IidParams, logb: Array) -> Array:
        return (logb.T + self.log_weights(params)[:, None]).T
