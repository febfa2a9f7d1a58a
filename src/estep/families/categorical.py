"""Independent categorical columns: answers, grades, symbols coded 0, 1, ..., m_j - 1.

    P(x_ij = c | z_i = k) = p_kjc,   sum_c p_kjc = 1

E-step   log p = log p_kjc at the observed code; a missing answer says nothing
M-step   p_kjc = sum_i r_ik [x_ij = c] / sum_i r_ik [x_ij observed]; 0 is a legal end
prior    a Dirichlet law: ``strength`` imagined answers in the proportions of the data, or ``alpha - 1`` of every level

symbol   variable   shape
p        probs      (k, d, m)   m the most levels of any column; zero beyond a column's own
m_j      levels     d of them

Sources: Goodman (1974), Biometrika 61:215; Linzer & Lewis (2011), J. Stat. Software 42(10).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.ranges import TiedRows
from estep.core.record import Array, record
from estep.core.support import Constraints, Support
from estep.families import columns, hazards
from estep.families.columns import ColumnBlock, ColumnStats
from estep.families.normal_shapes import numbers

DENSE = 8
"""Most levels for which a block of indicators is written out; beyond, it is a sparse array."""


@record
class CategoricalParams:
    """Probabilities of every level, ``probs`` (k, d, m)."""

    probs: Array


@dataclasses.dataclass(frozen=True)
class Categorical:
    """Categories, independent given the component: ``p(x) = prod_j p_{j, x_j}``.

    Parameters
    ----------
    levels : tuple of int or None
        Levels of each column (0: one more than the largest code); None leaves all to ``bind``.
    overall
        Set by ``bind``.

    Raises
    ------
    ValueError
        On a value that is no code of its column, or a column without values.

    Examples
    --------
    >>> family = Categorical((2, 3))
    >>> params = CategoricalParams(np.array([[[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]]]))
    >>> family.log_density(params, family.encode(np.array([[0, 2], [1, np.nan]]))).round(6).ravel().tolist()
    [-1.386294, -0.693147]
    """

    levels: tuple[int, ...] | None = None
    overall: Array | None = None
    discrete: ClassVar[bool] = True
    names: ClassVar[tuple[str, ...]] = ("probs",)

    def categorical(self, names: Sequence[str]) -> Sequence[int]:
        """Columns read as categories: all of them."""
        return range(len(names))

    def with_levels(self, sizes: Mapping[int, int]) -> Categorical:
        """This family with ``sizes[j]`` levels in column j."""
        d = max([len(self.levels or ()), *(j + 1 for j in sizes)])
        before = (*(self.levels or ()), *[0] * d)
        return dataclasses.replace(self, levels=tuple(int(sizes.get(j, before[j])) for j in range(d)))

    def bind(self, data: Any) -> Categorical:
        """Fix the numbers of levels and the counts of the whole data; raises ValueError on a column without values."""
        largest: _Largest = data.sum(lambda chunk: _Largest(_largest_codes(np.asarray(chunk.x, dtype=float))))
        columns.refuse(largest.codes < 0, "has no observed value; drop it or supply data for it")
        given = (*(self.levels or ()), *[0] * len(largest.codes))
        levels = tuple(given[j] or int(code) + 1 for j, code in enumerate(largest.codes))
        bound: Categorical = columns.bind(dataclasses.replace(self, levels=levels), data)
        return bound

    def encode(self, x: Any) -> ColumnBlock:
        """Indicators of every level, zero where missing; raises ValueError on values that are no codes."""
        x = np.asarray(x, dtype=float)
        levels = self._sizes(x.shape[1])
        with np.errstate(invalid="ignore"):
            bad = ~np.isnan(x) & ~((x >= 0) & (x < levels) & (x == np.floor(x)))
        if bad.any():
            at = int(np.argwhere(bad)[0, 1])
            columns.refuse_values(x, bad, f"its codes are 0 to {levels[at] - 1:g}", "code it anew, or fit with that level")
        m = int(levels.max())
        if m > DENSE:
            return ColumnBlock(_sparse_indicators(x, m), m)
        features = np.zeros((m * x.shape[1] + 1, len(x)))
        features[:-1] = np.equal(x.T, np.arange(m)[:, None, None]).reshape(-1, len(x))
        return ColumnBlock(features, m)

    def coefficients(self, params: CategoricalParams) -> Array:
        """``log p``, (k, m, d); 0 for levels that a column does not have."""
        with np.errstate(divide="ignore"):
            logs = np.log(params.probs)
        m = logs.shape[2]
        return np.moveaxis(np.where(np.arange(m) < self._sizes(logs.shape[1])[:, None], logs, 0.0), 2, 1)

    def gradient(self, params: CategoricalParams, totals: Array) -> dict[str, Array]:
        """``counts / p``."""
        return {"probs": np.moveaxis(totals, -2, -1) / np.maximum(params.probs, columns.FLOOR)}

    def guess(self, totals: Array) -> CategoricalParams:
        """Where ``maximise`` may begin: equal probabilities of a column's levels."""
        k, m, d = totals.shape
        levels = self._sizes(d)[:, None]
        return CategoricalParams(np.tile(np.where(np.arange(m) < levels, 1.0 / levels, 0.0), (k, 1, 1)))

    def maximise(self, totals: Array, params: CategoricalParams, support: Support) -> CategoricalParams:
        """Shares of the levels."""
        entry = support.entries["probs"]
        assert isinstance(entry, TiedRows)
        return CategoricalParams(entry.share(np.moveaxis(totals, 1, 2), params.probs))

    def support(self, params: CategoricalParams, constraints: Constraints) -> Support:
        """Rows of probabilities, zero beyond a column's levels; rows tied whole, or entries within a row."""
        k, d, m = params.probs.shape
        levels = self._sizes(d)
        fixed = np.array(constraints.fixed.get("probs", np.full((k, d, m), np.nan)))
        beyond = np.broadcast_to(np.arange(m) >= levels[:, None], (k, d, m))
        if "probs" in constraints.tied:
            _refuse_unlike(np.asarray(constraints.tied["probs"]), beyond, d)
        fixed[beyond] = 0.0
        pattern = Constraints({"probs": fixed}, constraints.tied).pattern("probs", (k, d, m))
        return Support({"probs": TiedRows.of("probs", pattern)})

    def prior(self, k: int, settings: Mapping[str, Any]) -> ColumnStats:
        """``strength`` (1) imagined rows like the data, shared by the components; or ``alpha - 1`` answers of every level."""
        if settings.get("alpha") is None:
            return columns.prior(self, k, {n: v for n, v in settings.items() if n != "alpha"})
        added = columns.dirichlet_counts(settings, type(self).__name__)
        m, d = columns.known(self).shape
        counts = np.where(np.arange(m)[:, None] < self._sizes(d), added, 0.0)
        return ColumnStats(np.tile(counts, (k, 1, 1)), np.zeros(k))

    def rows_in(self, totals: Array) -> Array:
        """Weight of the rows behind ``totals``: answers."""
        return np.asarray(totals.sum(axis=-2))

    def expose(self, params: CategoricalParams) -> dict[str, Array]:
        """Parameters as users see them."""
        return {"probs": params.probs}

    def adopt(self, name: str, value: Any, k: int, d: int, argument: str) -> Array:
        """A user's probabilities, NaN where free: (k, d, m), or (k, m) in one column.

        Where all columns are binary also (k, d), the probabilities of the second level.
        """
        array = numbers(value, argument)
        m = self._most(array)
        if array.shape == (k, m) and d == 1:
            array = array[:, None, :]
        elif m == 2 and (array.shape == (k, d) or (d == 1 and array.shape == (k,))):
            second = array.reshape(k, d)
            array = np.stack([1.0 - second, second], axis=2)
        if array.shape != (k, d, m):
            raise ValueError(f"{argument} has shape {array.shape}, expected ({k}, {d}, {m})")
        told = array[~np.isnan(array)]
        if ((told < 0) | (told > 1)).any():
            raise ValueError(f"{argument} must be between 0 and 1, found {told[(told < 0) | (told > 1)][0]:g}")
        return self._without_levels(array, argument)

    def adopt_ties(self, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
        """A user's ties: integers (k, d) tie whole rows of probabilities, (k,) whole components, (k, d, m) entries of a row."""
        array = np.asarray(value)
        if array.dtype.kind not in "iu":
            raise ValueError(f"{argument} must hold integers (equal integers share a value), got dtype {array.dtype}")
        m = self._most(array)
        if array.shape == (k,):
            array = array[:, None] * d + np.arange(d)
        if array.shape == (k, d):
            array = array[:, :, None] * m + np.arange(m)
        if array.shape != (k, d, m):
            raise ValueError(f"{argument} has shape {array.shape}, expected ({k}, {d}) for rows or ({k}, {d}, {m}) for entries")
        return array.astype(np.intp)

    def features(self, x: Array) -> Array:
        """Rows as start rules see them: an indicator of every level; NaN where missing."""
        x = np.asarray(x, dtype=float)
        levels = self._sizes(x.shape[1])
        shown = [np.where(np.isnan(x[:, [j]]), np.nan, x[:, [j]] == np.arange(m)) for j, m in enumerate(levels)]
        return np.hstack(shown)

    def sample(self, params: CategoricalParams, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
        """One row of codes for each label."""
        below = np.cumsum(params.probs, axis=2)[..., :-1]
        codes = (rng.random((labels.size, below.shape[1], 1)) > below[labels]).sum(axis=2)
        return np.asarray(np.minimum(codes, self._sizes(below.shape[1]) - 1), dtype=float)

    def _most(self, array: Array) -> int:
        """The most levels of any column; before they are known, as many as ``array`` (k, d, m) has, else two."""
        if self.levels is not None and all(self.levels):
            return max(self.levels)
        return int(array.shape[2]) if array.ndim == 3 else 2

    def _without_levels(self, array: Array, argument: str) -> Array:
        """``array`` with zeros beyond each column's levels; raises ValueError where it holds anything else."""
        if self.levels is None or not all(self.levels):
            return array
        beyond = np.arange(array.shape[2]) >= self._sizes(array.shape[1])[:, None]
        told = np.nan_to_num(array[:, beyond])
        if told.any():
            column = int(np.flatnonzero((np.nan_to_num(array) * beyond).any(axis=(0, 2)))[0])
            raise ValueError(
                f"{argument} gives a probability to a level that column {column} does not have: it has "
                f"{self._sizes(array.shape[1])[column]} levels; put 0 there"
            )
        return np.asarray(np.where(beyond, 0.0, array))

    def _sizes(self, d: int) -> NDArray[np.intp]:
        if self.levels is None or not all(self.levels):
            raise ValueError("this Categorical family does not know its levels yet: give levels=, or call bind(data) first")
        if len(self.levels) != d:
            raise ValueError(f"levels names {len(self.levels)} columns, but there are {d}; give one number for each")
        return np.array(self.levels, dtype=np.intp)

    start = columns.start
    log_density = columns.log_density
    stats = columns.stats
    fit = columns.fit
    q = columns.q
    score = columns.score
    unit_scores = columns.unit_scores
    from_hazards = hazards.free
    seat = columns.seat


@dataclasses.dataclass(frozen=True)
class _Largest:
    """Largest code of each column, -1 where none is observed; adds as such."""

    codes: Array

    def __add__(self, other: _Largest) -> _Largest:
        return _Largest(np.maximum(self.codes, other.codes))


def _largest_codes(x: Array) -> Array:
    with np.errstate(invalid="ignore"):
        bad = ~np.isnan(x) & ~((x >= 0) & (x == np.floor(x)) & np.isfinite(x))
    columns.refuse_values(x, bad, "codes are whole numbers 0, 1, 2, ...", "number the categories from 0, NaN for missing")
    return np.asarray(np.where(np.isnan(x), -1.0, x).max(axis=0, initial=-1.0))


def _sparse_indicators(x: Array, m: int) -> Any:
    """Indicators (m d + 1, n) as a sparse array, the last row (carrier) empty."""
    from scipy.sparse import csc_array

    n, d = x.shape
    seen = ~np.isnan(x)
    where = (np.where(seen, x, 0.0).astype(np.intp) * d + np.arange(d))[seen]
    ends = np.concatenate([[0], np.cumsum(seen.sum(axis=1))])
    return csc_array((np.ones(where.size), where, ends), shape=(m * d + 1, n))


def _refuse_unlike(ties: NDArray[np.intp], beyond: NDArray[np.bool_], d: int) -> None:
    """Raise ValueError where a level that one column has is tied to one that another lacks."""
    for tie in np.unique(ties[beyond]):
        members = ties == tie
        if not beyond[members].all():
            wrong = sorted({int(j) for j in np.argwhere(members)[:, 1]})
            raise ValueError(f"tied['probs'] ties columns {wrong}, which differ in their number of levels; untie them")
