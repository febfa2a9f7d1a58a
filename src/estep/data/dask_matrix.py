"""A matrix whose rows are on the workers of a cluster, partition by partition."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.core.rows import take
from estep.data.dask_parts import Carried, merged_patterns, part_of, patterns_of
from estep.data.dask_plane import Cluster, Spread, gathered
from estep.data.layout import Order


@dataclasses.dataclass(frozen=True)
class Scattered:
    """A matrix (n, d) whose rows are on the workers: ``raw`` are futures of the rows of each partition."""

    cluster: Cluster
    raw: tuple[Any, ...]
    lengths: tuple[int, ...]
    d: int
    title: str
    rows: int | None = None
    ends: tuple[Order, ...] | None = None

    elsewhere = True
    ndim = 2
    dtype = np.dtype(np.float64)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return sum(self.lengths), self.d

    def __len__(self) -> int:
        return sum(self.lengths)

    def __getitem__(self, rows: Any) -> Array:
        """The rows of a slice, or of ascending numbers, fetched from the workers."""
        return gathered(self.cluster, self.raw, self.lengths, rows, self.d)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.asarray(self[:], dtype=dtype)

    def patterns(self, weight: Array | None, allowed: NDArray[Any] | None, given: Any) -> tuple[Any, Array] | None:
        """The rows that differ, with what they carry, and the weight of all that are equal; None where most of them differ."""
        each = self._carried(weight, allowed, given)
        futures = [self.cluster.submit(patterns_of, x, more) for x, more in zip(self.raw, each, strict=True)]
        found = self.cluster.results(futures, [])
        return None if any(part is None for part in found) else merged_patterns(found)

    def carrying(self, weight: Array | None, allowed: NDArray[Any] | None, given: Any, n_jobs: int | None) -> Spread:
        """The rows as a data plane, with what they carry; what is given here is sent to the workers once."""
        each = self._carried(weight, allowed, given)
        firsts = np.cumsum([0, *self.lengths])
        parts = tuple(
            self.cluster.submit_each(
                part_of,
                [(x, more, self.title, int(first), self.rows) for x, more, first in zip(self.raw, each, firsts, strict=False)],
            )
        )
        return Spread(self.cluster, parts, self.lengths, self.title, self.raw, each, self.rows)

    def _carried(self, weight: Array | None, allowed: NDArray[Any] | None, given: Any) -> tuple[Carried, ...]:
        limits = np.cumsum([0, *self.lengths]).tolist()
        places = [slice(a, z) for a, z in zip(limits, limits[1:], strict=False)]
        ends = [None] * len(places) if self.ends is None else self.ends

        def part(value: Any, rows: slice) -> Any:
            return None if value is None else take(value, rows)

        return tuple(
            Carried(part(weight, rows), part(allowed, rows), part(given, rows), end)
            for rows, end in zip(places, ends, strict=True)
        )
