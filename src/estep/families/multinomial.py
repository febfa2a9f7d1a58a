"""Multinomial rows: how often each of d categories was seen, such as the words of a document.

    x_i | z_i = k ~ Multinomial(m_i; p_k1, ..., p_kd),   m_i = sum_j x_ij taken as given

E-step   log p = sum_j x_ij log p_kj + log m_i! - sum_j log x_ij!
M-step   p_kj = sum_i r_ik x_ij / sum_i r_ik m_i; 0 is a legal end
prior    a Dirichlet law: ``strength`` imagined rows like the data, or ``alpha - 1`` counts of every category

symbol   variable   shape
p        probs      (k, d)
x        X          (n, d)   dense or scipy.sparse.csr_array

A row is whole or missing: the counts that remain of a row with a missing one are no multinomial of a known total.

Source: Nigam, McCallum, Thrun & Mitchell (2000), Machine Learning 39:103.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.ranges import TiedRows
from estep.core.record import Array, record
from estep.core.support import Constraints, Support
from estep.families import columns
from estep.families.columns import ColumnBlock, ColumnStats
from estep.families.normal_shapes import adopted_means


@record
class MultinomialParams:
    """Probabilities of the categories, ``probs`` (k, d)."""

    probs: Array


@dataclasses.dataclass(frozen=True)
class Multinomial:
    """Vectors of counts: ``p(x) = (sum x)! prod_j p_j^x_j / x_j!``.

    Parameters
    ----------
    overall, rows
        Total counts (1, d) and the number of rows, set by ``bind``.

    Raises
    ------
    ValueError
        On a count that is no whole number >= 0, on a row with some counts missing (all may be), or where every count is zero.

    Examples
    --------
    >>> family = Multinomial()
    >>> params = MultinomialParams(np.array([[0.5, 0.5], [1.0, 0.0]]))
    >>> family.log_density(params, family.encode(np.array([[2.0, 0.0], [1.0, 1.0]]))).round(6).tolist()
    [[-1.386294, 0.0], [-0.693147, -inf]]
    """

    overall: Array | None = None
    rows: float = 0.0
    discrete: ClassVar[bool] = True
    sparse: ClassVar[bool] = True
    nonnegative: ClassVar[bool] = True
    names: ClassVar[tuple[str, ...]] = ("probs",)

    def bind(self, data: Any) -> Multinomial:
        """Fix the counts of the whole data; raises ValueError on values that are no counts, and where all are zero."""
        sums = data.sum(self._sums)
        if not sums[:-1].any():
            raise ValueError("X: every count is zero, so there is nothing to learn about the categories; supply counts")
        return dataclasses.replace(self, overall=sums[None, :-1], rows=float(sums[-1]))

    def _sums(self, chunk: Any) -> Array:
        """Counts of each category and rows, weighted, (d + 1,)."""
        block = self.encode(chunk.x)
        weight = np.ones(len(chunk)) if chunk.weight is None else np.asarray(chunk.weight, dtype=float)
        seen = 1.0 if columns.is_sparse(chunk.x) else ~np.isnan(np.asarray(chunk.x, dtype=float)[:, 0])
        return np.append((block.features @ weight)[:-1], (weight * seen).sum())

    def encode(self, x: Any) -> ColumnBlock:
        """Counts and ``log m! - sum log x!``; raises ValueError on values that are no counts and on rows missing in part."""
        from scipy.special import gammaln

        if columns.is_sparse(x):
            return self._encode_sparse(x)
        x = columns.counted(np.asarray(x, dtype=float), "multinomial")
        missing = np.isnan(x)
        partly = missing.any(axis=1) & ~missing.all(axis=1)
        if partly.any():
            column = int(np.flatnonzero(missing[partly][0])[0])
            raise ValueError(
                f"X: column {column} is missing in a row with other counts; a multinomial row is whole or missing, for without "
                "its total the rest has no law: fill it, blank the whole row, or use Poisson (independent columns)"
            )
        counts = np.where(missing, 0.0, x)
        carrier = gammaln(1.0 + counts.sum(axis=1)) - gammaln(1.0 + counts).sum(axis=1)
        return ColumnBlock(np.vstack([counts.T, carrier]), 1)

    def _encode_sparse(self, x: Any) -> ColumnBlock:
        from scipy.sparse import csr_array, vstack
        from scipy.special import gammaln

        x = csr_array(x, dtype=float)
        bad = ~((x.data >= 0) & (x.data == np.floor(x.data)) & np.isfinite(x.data))
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            words = "multinomial counts are whole numbers 0, 1, 2, ..."
            raise ValueError(f"X: column {int(x.indices[at])} holds {x.data[at]:g}, but {words}; correct it or drop the row")
        logs = csr_array((gammaln(1.0 + x.data), x.indices, x.indptr), shape=x.shape)
        carrier = gammaln(1.0 + x.sum(axis=1)) - logs.sum(axis=1)
        return ColumnBlock(csr_array(vstack([x.T, csr_array(carrier[None, :])])), 1)

    def coefficients(self, params: MultinomialParams) -> Array:
        """``log p``, (k, 1, d)."""
        with np.errstate(divide="ignore"):
            return np.log(params.probs)[:, None, :]

    def gradient(self, params: MultinomialParams, totals: Array) -> dict[str, Array]:
        """``counts / p``."""
        return {"probs": totals[..., 0, :] / np.maximum(params.probs, columns.FLOOR)}

    def guess(self, totals: Array) -> MultinomialParams:
        """Where ``maximise`` may begin: equal probabilities."""
        k, _, d = totals.shape
        return MultinomialParams(np.full((k, d), 1.0 / d))

    def maximise(self, totals: Array, params: MultinomialParams, support: Support) -> MultinomialParams:
        """Shares of the categories."""
        entry = support.entries["probs"]
        assert isinstance(entry, TiedRows)
        return MultinomialParams(entry.share(totals[:, 0], params.probs))

    def support(self, params: MultinomialParams, constraints: Constraints) -> Support:
        """Rows of probabilities; rows tied whole, or entries within a row."""
        return Support({"probs": TiedRows.of("probs", constraints.pattern("probs", params.probs.shape))})

    def prior(self, k: int, settings: Mapping[str, Any]) -> ColumnStats:
        """``strength`` (1) imagined rows like the data, shared by the components; or ``alpha - 1`` counts of every category."""
        if settings.get("alpha") is None:
            return columns.prior(self, k, {n: v for n, v in settings.items() if n != "alpha"})
        added = columns.dirichlet_counts(settings, type(self).__name__)
        return ColumnStats(np.full((k, 1, columns.known(self).shape[1]), added), np.zeros(k))

    def rows_in(self, totals: Array) -> Array:
        """Weight of the rows behind the whole data's totals."""
        return np.asarray(self.rows)

    def expose(self, params: MultinomialParams) -> dict[str, Array]:
        """Parameters as users see them."""
        return {"probs": params.probs}

    def adopt(self, name: str, value: Any, k: int, d: int, argument: str) -> Array:
        """A user's probabilities (k, d), NaN where free."""
        array = adopted_means(value, k, d, argument)
        told = array[~np.isnan(array)]
        if ((told < 0) | (told > 1)).any():
            raise ValueError(f"{argument} must be between 0 and 1, found {told[(told < 0) | (told > 1)][0]:g}")
        return array

    def adopt_ties(self, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
        """A user's ties: integers (k,) tie the probabilities of whole components, (k, d) entries of a component."""
        return columns.adopt_ties(self, name, value, k, d, argument)

    def features(self, x: Any) -> Array:
        """Rows as start rules see them: roots of the shares of the categories."""
        counts = np.asarray(x.toarray() if columns.is_sparse(x) else x, dtype=float)
        total = counts.sum(axis=1, keepdims=True)
        return np.asarray(np.sqrt(counts / np.where(total > 0, total, 1.0)))

    def sample(self, params: MultinomialParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row for each label, of the data's mean total (rounded)."""
        total = round(float(columns.known(self).sum()) / max(self.rows, columns.FLOOR))
        return rng.multinomial(max(total, 1), params.probs[labels]).astype(float)

    width = columns.width
    start = columns.start
    log_density = columns.log_density
    stats = columns.stats
    fit = columns.fit
    q = columns.q
    score = columns.score
    unit_scores = columns.unit_scores
    seat = columns.seat
