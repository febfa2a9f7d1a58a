"""The matrix of rows in a file that nobody has read yet: counted where they are, read only if somebody asks for them.

    distinct rows and how often each was seen:   SELECT columns, count(*) FROM rows GROUP BY columns

For rows that take few values this is all that a fit needs, and the database finds it by itself: a table of a billion rows of
categories becomes a small one, and none of its rows is kept.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.core.rows import is_elsewhere, take
from estep.data.distinct import distinct
from estep.data.memory import Memory

MOST_PATTERNS = 2_000_000
"""Distinct rows beyond which rows are kept as they are."""


@dataclasses.dataclass(frozen=True)
class Unread:
    """Rows (n, d) of an ``Arrow`` source: ``data`` is the source."""

    data: Any

    elsewhere = True
    ndim = 2
    dtype = np.dtype(np.float64)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.data.table.n_rows, len(self.data.names)

    def __len__(self) -> int:
        return int(self.data.table.n_rows)

    def __getitem__(self, rows: Any) -> Array:
        """Rows by slice or numbers; the first ones are read alone."""
        if isinstance(rows, slice) and rows.stop is not None and 0 <= rows.stop < len(self) and not self.data.is_kept:
            return np.asarray(self.data.first(rows.stop)[rows])
        return np.asarray(self.data.x[rows])

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.asarray(self.data.x, dtype=dtype)

    def patterns(self, weight: Array | None, allowed: NDArray[Any] | None, given: Any) -> tuple[Any, Array] | None:
        """The rows that differ, with what they carry, and the weight of all that are equal; None where most of them differ.

        What is known of each row beside its values is in memory, so that such rows are read and counted there.
        """
        if weight is None and allowed is None and given is None:
            found = self.data.counted()
            if found is None:
                return None
            everything: Any = (found[:, :-1], None, None)
            weight = found[:, -1]
        else:
            everything = (np.asarray(self.data.x), allowed, given)
        alike = distinct(everything, weight)  # in the order that patterns have in memory
        assert alike is not None  # no part of it is sparse
        return tuple(None if part is None else take(part, alike.first) for part in everything), alike.weight

    def carrying(self, weight: Array | None, allowed: NDArray[Any] | None, given: Any, n_jobs: int | None) -> Any:
        """The rows as a data plane, with what they carry: kept on disk from now on."""
        x = self.data.x
        if is_elsewhere(x):
            return x.carrying(weight, allowed, given, n_jobs)
        return Memory(x, weight=weight, allowed=allowed, given=given, n_jobs=n_jobs)
