"""Which entries of the rows are seen: the distinct patterns, pairs of columns never seen together, and monotone patterns.

A set of patterns is monotone when the columns can be put in an order in which every row sees a first part of them and
nothing after; the likelihood of normal rows then factors into regressions and has one maximum.

Source: Little & Rubin (2002), Statistical Analysis with Missing Data, sections 1.2 and 7.4.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array


@dataclasses.dataclass(frozen=True)
class MissingPatterns:
    """Distinct patterns, the most frequent first.

    Attributes
    ----------
    observed : booleans (patterns, d)
        True where a column is seen.
    counts : array (patterns,)
        Weight of the rows with each pattern.
    """

    observed: NDArray[np.bool_]
    counts: Array

    def __len__(self) -> int:
        return len(self.counts)

    def __str__(self) -> str:
        lines = [f"{len(self)} patterns of {self.observed.shape[1]} columns (x seen, . missing)"]
        lines += [
            "".join("x" if v else "." for v in row) + f"  {count:g}"
            for row, count in zip(self.observed, self.counts, strict=True)
        ]
        return "\n".join(lines)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return bool(self.observed.all())

    @property
    def monotone(self) -> bool:
        """Whether the patterns are nested: of any two, one sees all that the other sees."""
        inside = self.observed.astype(int) @ (~self.observed).astype(int).T == 0
        return bool((inside | inside.T).all())

    @property
    def never_together(self) -> list[tuple[int, int]]:
        """Pairs of columns that no row sees both of."""
        seen = self.observed.astype(float)
        first, second = np.nonzero(np.triu(seen.T @ seen == 0, 1))
        return [(int(i), int(j)) for i, j in zip(first, second, strict=True)]


def missing_patterns(x: Array, weight: Array | None = None) -> MissingPatterns:
    """The distinct missing patterns of rows ``x`` (n, d), and how much weight has each.

    >>> str(missing_patterns(np.array([[1.0, np.nan], [2.0, 3.0], [4.0, np.nan]]))).splitlines()[1:]
    ['x.  2', 'xx  1']
    """
    kinds, which = np.unique(~np.isnan(x), axis=0, return_inverse=True)
    counts = np.bincount(which.ravel(), weight, minlength=len(kinds)).astype(float)
    order = np.argsort(-counts, kind="stable")
    return MissingPatterns(kinds[order], counts[order])
