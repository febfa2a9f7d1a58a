"""How hidden labels are filled in: soft (posterior probabilities) and hard (the most probable class).

    soft   resp = softmax(logits)         objective = log sum exp(logits)      (observed-data log-likelihood)
    hard   resp = one-hot(argmax logits)  objective = max(logits)              (classification log-likelihood)

Each is a value that a structure applies to a block of joint log densities ``logits[i, k] = log w_k + log p(x_i | k)``.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np

from estep.core.record import Array


class ImpossibleRow(ValueError):
    """A row has zero density under every component it may belong to; ``row`` is its index in the data."""

    def __init__(self, row: int) -> None:
        super().__init__(
            f"row {row} is impossible under every component it may belong to (log density -inf); "
            "check the row and its label, or add a noise component"
        )
        self.row = row


def normalise(logits: Array) -> tuple[Array, Array]:
    """Softmax and log-sum-exp over the last axis, (n, k) -> (n, k), (n,); a row of -inf gives lse -inf and resp 0.

    >>> resp, lse = normalise(np.log([[1.0, 3.0]]))
    >>> resp.round(2).tolist(), round(float(np.exp(lse[0])), 6)
    ([[0.25, 0.75]], 4.0)
    """
    columns = np.ascontiguousarray(logits.T)
    top = columns.max(axis=0)
    top[np.isneginf(top)] = 0.0
    resp = np.subtract(columns, top, out=np.empty_like(columns))
    np.exp(resp, out=resp)
    total = resp.sum(axis=0)
    with np.errstate(divide="ignore"):
        lse = np.log(total)
    lse += top
    resp /= np.where(total > 0, total, 1.0)
    return resp.T, lse


@dataclasses.dataclass(frozen=True)
class Soft:
    """Posterior class probabilities: the E-step of EM."""

    name: Final[str] = "soft"
    certificate: Final[str] = "exact"

    def rows(self, logits: Array, key: tuple[Any, ...]) -> tuple[Array, Array, Array]:
        """Responsibilities, objective and log-likelihood a row."""
        resp, lse = normalise(logits)
        _refuse_impossible(lse, key)
        return resp, lse, lse


@dataclasses.dataclass(frozen=True)
class Hard:
    """All of a row to its most probable class (ties to the lowest index): classification EM, k-means."""

    name: Final[str] = "hard"
    certificate: Final[str] = "exact"

    def rows(self, logits: Array, key: tuple[Any, ...]) -> tuple[Array, Array, Array]:
        """Responsibilities, objective and log-likelihood a row."""
        n, k = logits.shape
        _, lse = normalise(logits)
        _refuse_impossible(lse, key)
        best = np.argmax(logits, axis=1)
        resp = np.zeros((k, n))
        resp[best, np.arange(n)] = 1.0
        return resp.T, logits[np.arange(n), best], lse


def _refuse_impossible(lse: Array, key: tuple[Any, ...]) -> None:
    if not np.isfinite(lse.sum()):
        bad = np.flatnonzero(~np.isfinite(lse))
        if bad.size:
            raise ImpossibleRow(int(key[1] + bad[0]))


SOFT = Soft()
HARD = Hard()
