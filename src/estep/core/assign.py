"""How hidden labels are filled in: soft (posterior probabilities), hard (the most probable class), drawn or tempered.

    soft      resp = softmax(logits)         objective = log sum exp(logits)          (observed-data log-likelihood)
    hard      resp = one-hot(argmax logits)  objective = max(logits)                  (classification log-likelihood)
    sampled   resp = one-hot(z), z ~ soft    objective = logits[z]                    (complete-data log-likelihood)
    tempered  resp = softmax(beta logits)    objective = log sum exp(beta logits) / beta   (minus the free energy)

Each is a value that a structure applies to a block of joint log densities ``logits[i, k] = log w_k + log p(x_i | k)``.
``semiring`` tells structures whose rows hang together which recursion does the same for whole paths: "sum", "max", "draw", or
"power" (sums of powers ``beta``); one that they have no recursion for is refused by name.

Sources: Celeux & Diebolt (1985), Computational Statistics Quarterly 2:73 (sampled);
Ueda & Nakano (1998), Neural Networks 11:271 (tempered).
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np

from estep.core.record import Array


class ImpossibleRow(ValueError):
    """A row has zero density under every component it may belong to; ``row`` is its index in the data."""

    def __init__(self, row: int, why: str = "") -> None:
        why = why or (
            "is impossible under every component it may belong to (log density -inf); "
            "check the row and its label, or add a noise component"
        )
        super().__init__(f"row {row} {why}")
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
    semiring: Final[str] = "sum"
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
    semiring: Final[str] = "max"
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


@dataclasses.dataclass(frozen=True)
class Sampled:
    """Labels drawn from their posterior, anew every pass: stochastic EM.

    ``seed`` and ``passes`` name the draw; a run sets both (``for_pass``). Rows draw by their place in the data, so that the
    draw does not depend on threads.
    """

    seed: int = 0
    passes: int = 0
    name: Final[str] = "sampled"
    semiring: Final[str] = "draw"
    certificate: Final[str] = "heuristic"

    def for_pass(self, seed: int, passes: int) -> Sampled:
        """The draw of one pass of a run."""
        return Sampled(seed, passes)

    def uniforms(self, key: tuple[Any, ...], n: int) -> Array:
        """Numbers in [0, 1), (n,), for the rows of the chunk ``key``."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, self.passes, int(key[1])])).random(n)

    def rows(self, logits: Array, key: tuple[Any, ...]) -> tuple[Array, Array, Array]:
        """Responsibilities, objective and log-likelihood a row."""
        resp, lse = normalise(logits)
        _refuse_impossible(lse, key)
        (n, k), below = logits.shape, np.cumsum(resp, axis=1)
        drawn = (self.uniforms(key, n)[:, None] * below[:, -1:] >= below).sum(axis=1)
        drawn = np.minimum(drawn, k - 1 - np.argmax(resp[:, ::-1] > 0, axis=1))
        one = np.zeros((k, n))
        one[drawn, np.arange(n)] = 1.0
        return one.T, logits[np.arange(n), drawn], lse


@dataclasses.dataclass(frozen=True)
class Tempered:
    """Posterior probabilities of the joint density to the power ``beta`` in (0, 1]: deterministic annealing."""

    beta: float = 1.0
    name: Final[str] = "tempered"
    semiring: Final[str] = "power"
    certificate: Final[str] = "exact"

    def __post_init__(self) -> None:
        if not 0 < self.beta <= 1:
            raise ValueError(f"beta={self.beta!r}: an inverse temperature lies in (0, 1]; 1 is plain EM")

    def rows(self, logits: Array, key: tuple[Any, ...]) -> tuple[Array, Array, Array]:
        """Responsibilities, objective and log-likelihood a row."""
        _, lse = normalise(logits)
        _refuse_impossible(lse, key)
        resp, scaled = normalise(self.beta * logits)
        return resp, scaled / self.beta, lse


def _refuse_impossible(lse: Array, key: tuple[Any, ...]) -> None:
    if not np.isfinite(lse.sum()):
        bad = np.flatnonzero(~np.isfinite(lse))
        if bad.size:
            raise ImpossibleRow(int(key[1] + bad[0]))


SOFT = Soft()
HARD = Hard()
