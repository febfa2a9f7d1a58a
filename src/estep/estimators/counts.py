"""Counts of words in documents: read and checked, split into kept and held-out tokens, scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.estimators.columns import read_columns, table_of
from estep.models.plsa import PlsaParams, mixed


@dataclasses.dataclass(frozen=True)
class _Counts:
    """How rows are read: counts, dense or sparse."""

    sparse: bool = True
    nonnegative: bool = True


COUNTS = _Counts()


def read_counts(self: Any, X: Any, reset: bool) -> Any:
    """Counts as ``csr_array`` of floats without explicit zeros; raises ValueError naming the first that is none."""
    from scipy.sparse import csr_array

    counts = csr_array(read_columns(self, table_of(X), COUNTS, reset=reset), dtype=float)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    bad = np.flatnonzero(~(counts.data > 0))
    if bad.size:
        at = int(bad[0])
        value = counts.data[at]
        what = "NaN" if np.isnan(value) else f"{value:g}: Negative values in data passed to {type(self).__name__}"
        where = f"X[{document_of(counts, at)}, {int(counts.indices[at])}]"
        raise ValueError(f"{where} is {what}; counts of words are numbers >= 0, with none missing")
    return counts


def document_of(counts: Any, at: Any) -> int:
    """The document that nonzero number ``at`` belongs to."""
    return int(np.searchsorted(counts.indptr, at, side="right")) - 1


def thinned(counts: Any, share: float, rng: np.random.Generator) -> tuple[Any, Any]:
    """Counts split token by token: kept, and held out with probability ``share``; a count's fraction is kept."""
    whole = np.floor(counts.data)
    held = rng.binomial(whole.astype(np.int64), share).astype(float)
    parts = []
    for data in (counts.data - held, held):
        part = type(counts)((data, counts.indices.copy(), counts.indptr.copy()), shape=counts.shape)
        part.eliminate_zeros()
        parts.append(part)
    if not parts[1].nnz or not parts[0].nnz:
        raise ValueError(f"held_out={share:g} leaves no token on one side; bring more tokens or another share")
    return parts[0], parts[1]


def held_out_score(held: Any, weight: NDArray[Any] | None) -> Callable[[PlsaParams, float], float]:
    """Held-out log-likelihood a token; a word that no topic holds counts as one in the number of words."""
    rows = np.repeat(np.arange(held.shape[0]), np.diff(held.indptr))
    tokens = held.data if weight is None else held.data * weight[rows]

    def score(params: PlsaParams, beta: float) -> float:
        mix = np.maximum(mixed(params.documents, params.topics, held), 1e-12)
        return float(tokens @ np.log(mix)) / float(tokens.sum())

    return score
