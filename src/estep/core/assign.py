"""How hidden labels are filled in: soft (posterior probabilities), hard (the most probable class), drawn, tempered, entropic.

    soft      resp = softmax(logits)         objective = log sum exp(logits)          (observed-data log-likelihood)
    hard      resp = one-hot(argmax logits)  objective = max(logits)                  (classification log-likelihood)
    sampled   resp = one-hot(z), z ~ soft    objective = log sum exp(logits)          (which it climbs only in the long run)
    tempered  resp = softmax(beta logits)    objective = log sum exp(beta logits) / beta   (minus the free energy)
    entropic  r = softmax(logits)            objective = log sum exp(logits) + gamma sum r log r
              resp = max(0, r (1 + gamma log r))

Each is a value that a structure applies to a block of joint log densities ``logits[i, k] = log w_k + log p(x_i | k)``.
``semiring`` tells structures whose rows hang together which recursion does the same for whole paths: "sum", "max", "draw", or
"power" (sums of powers ``beta``); one that they have no recursion for is refused by name.

Sources: Celeux & Diebolt (1985), Computational Statistics Quarterly 2:73, and Wei & Tanner (1990), JASA 85:699 (sampled);
Ueda & Nakano (1998), Neural Networks 11:271, and Hofmann (2001), Machine Learning 42:177 (tempered);
Li, Zhang & Jiang (2005), AAAI-05, 807 (entropic).
"""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array

FEW = 32
"""Draws of a row up to which they are made one by one."""


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
    objective: ClassVar[str] = "log-likelihood"

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
    objective: ClassVar[str] = "classification log-likelihood: of the rows and their most probable classes"
    no_leap: ClassVar[str] = "its objective is not smooth"

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
    """Labels drawn from their posterior, anew every pass: stochastic EM; of several draws the mean is taken (Monte Carlo EM).

    Pass t makes ``draws + growth t`` draws of each row, rounded up; a row of weight w, which was seen w times, makes w times as
    many. ``seed`` and ``passes`` name the draws, and a run sets both (``for_pass``). Every row has numbers of its own, by its
    place in the data: neither threads nor the cut into chunks change a draw.
    """

    seed: int = 0
    passes: int = 0
    draws: int = 1
    growth: float = 0.0
    weight: Array | None = dataclasses.field(default=None, compare=False, repr=False)
    name: ClassVar[str] = "sampled"
    semiring: ClassVar[str] = "draw"
    certificate: ClassVar[str] = "heuristic"
    objective: ClassVar[str] = "log-likelihood, at parameters that wander with the draws"
    no_leap: ClassVar[str] = "its passes are random"

    def __post_init__(self) -> None:
        if not (self.draws >= 1 and self.growth >= 0):
            raise ValueError(f"draws={self.draws!r}, growth={self.growth!r}: at least one draw of each row, and never fewer")

    @property
    def label(self) -> str:
        """The name with the number of draws."""
        more = f" + {self.growth:g} a pass" if self.growth else ""
        return self.name if self.draws == 1 and not more else f"sampled ({self.draws}{more} draws)"

    @property
    def closes(self) -> Soft:
        """The assignment at the end: a run ends with the likelihood itself."""
        return SOFT

    def for_pass(self, seed: int, passes: int) -> Sampled:
        """The draws of one pass of a run."""
        return dataclasses.replace(self, seed=seed, passes=passes)

    def for_weight(self, weight: Array | None) -> Sampled:
        """The draws of rows that were seen ``weight`` (n,) times."""
        return self if weight is None else dataclasses.replace(self, weight=weight)

    def times(self, weight: Array) -> NDArray[np.int64]:
        """How many draws units of ``weight`` make in this pass, at least one each."""
        each = math.ceil(self.draws + self.growth * self.passes)
        return np.asarray(each * np.maximum(np.ceil(weight), 1.0), dtype=np.int64)

    def uniforms(self, key: tuple[Any, ...], n: int, stream: int = 0) -> Array:
        """Numbers in [0, 1), (n,), for the rows of the chunk ``key``; other streams have others."""
        return _uniforms([self.seed, self.passes, stream], key, n)

    def rows(self, logits: Array, key: tuple[Any, ...]) -> tuple[Array, Array, Array]:
        """Shares of each class among the draws, objective and log-likelihood a row."""
        resp, lse = normalise(logits)
        _refuse_impossible(lse, key)
        times = self.times(np.ones(len(resp)) if self.weight is None else self.weight)
        few = times <= FEW
        counts = self._one_by_one(resp, np.where(few, times, 0), key)
        if not few.all():
            uniforms = [self.uniforms(key, len(few), j)[~few] for j in range(len(counts) - 1)]
            counts[:, ~few] = self._at_once(resp[~few], times[~few], uniforms)
        return (counts / times).T, lse, lse

    def _one_by_one(self, resp: Array, times: NDArray[np.int64], key: tuple[Any, ...]) -> Array:
        """How many of its ``times`` draws each row has in each class, (k, n): draw after draw, by inversion."""
        (n, k), below, counts = resp.shape, np.cumsum(resp, axis=1), np.zeros(resp.shape[::-1])
        last = k - 1 - np.argmax(resp[:, ::-1] > 0, axis=1)
        for j in range(int(times.max(initial=0))):
            drawn = (self.uniforms(key, n, j)[:, None] * below[:, -1:] >= below).sum(axis=1)
            counts[np.minimum(drawn, last), np.arange(n)] += times > j
        return counts

    def _at_once(self, resp: Array, times: NDArray[np.int64], uniforms: list[Array]) -> Array:
        """The same of many draws: class after class a binomial count of the draws that are left, by inversion."""
        from scipy.stats import binom

        left, counts = times.astype(float), np.empty(resp.shape[::-1])
        tail = np.cumsum(resp[:, ::-1], axis=1)[:, ::-1]
        for j in range(len(counts) - 1):
            share = np.minimum(resp[:, j] / np.where(tail[:, j] > 0, tail[:, j], 1.0), 1.0)
            counts[j] = np.maximum(binom.ppf(uniforms[j], left, share), 0.0)
            left -= counts[j]
        counts[-1] = left
        return counts


@dataclasses.dataclass(frozen=True)
class Tempered:
    """Posterior probabilities of the joint density to the power ``beta`` in (0, 1]: deterministic annealing.

    ``shake`` moves every power's logarithm by up to that much, at random by ``seed``, ``passes`` and the row's place in the
    data: classes that have become alike part again.
    """

    beta: float = 1.0
    shake: float = 0.0
    seed: int = 0
    passes: int = 0
    name: ClassVar[str] = "tempered"
    semiring: ClassVar[str] = "power"
    certificate: ClassVar[str] = "exact"
    objective: ClassVar[str] = "minus the free energy at the inverse temperature beta"
    no_leap: ClassVar[str] = "an accelerator knows the likelihood only"

    def __post_init__(self) -> None:
        if not 0 < self.beta <= 1:
            raise ValueError(f"beta={self.beta!r}: an inverse temperature lies in (0, 1]; 1 is plain EM")

    @property
    def label(self) -> str:
        """The name with the inverse temperature."""
        return f"tempered (beta {self.beta:g})"

    def rows(self, logits: Array, key: tuple[Any, ...]) -> tuple[Array, Array, Array]:
        """Responsibilities, objective and log-likelihood a row."""
        _, lse = normalise(logits)
        _refuse_impossible(lse, key)
        resp, scaled = normalise(self.beta * logits + self.shaken(key, *logits.shape))
        return resp, scaled / self.beta, lse

    def shaken(self, key: tuple[Any, ...], n: int, k: int) -> Any:
        """What the shake adds, (n, k), or zero."""
        if not self.shake:
            return 0.0
        draws = [_uniforms([self.seed, self.passes, j], key, n) for j in range(k)]
        return self.shake * (2.0 * np.array(draws).T - 1.0)


@dataclasses.dataclass(frozen=True)
class Annealed:
    """Tempered, with an inverse temperature that moves from ``first`` to ``last``, by a factor every ``each`` passes.

    Upwards it ends in plain EM (Ueda & Nakano); downwards from 1 it flattens what was found (Hofmann). The objective changes
    with the temperature: passes are compared, and a run may stop, only while it stays. On the way up the first pass at each
    temperature is shaken (by ``shake``), because classes become one where it is hot, and EM parts none that are exactly alike.
    Where the scale of every class is free (covariance matrices), heat soon melts classes into one, and more of it gains little.

    >>> [Annealed(0.25, each=2, factor=2.0).beta_of(passes) for passes in range(6)]
    [0.25, 0.25, 0.5, 0.5, 1.0, 1.0]
    """

    first: float = 0.5
    last: float = 1.0
    factor: float = 1.2
    each: int = 2
    shake: float = 1.0
    name: ClassVar[str] = "annealed"
    semiring: ClassVar[str] = "power"
    certificate: ClassVar[str] = "exact"
    objective: ClassVar[str] = "minus the free energy, at an inverse temperature that changes on the way"
    no_leap: ClassVar[str] = "its objective changes with the temperature"

    def __post_init__(self) -> None:
        inside = 0 < self.first <= 1 and 0 < self.last <= 1 and self.factor > 1 and self.each >= 2 and self.shake >= 0
        if not inside:
            raise ValueError(
                f"first={self.first!r}, last={self.last!r}, factor={self.factor!r}, each={self.each!r}, shake={self.shake!r}: "
                "inverse temperatures lie in (0, 1], the factor above 1, each takes at least two passes, and a shake is >= 0"
            )

    @property
    def label(self) -> str:
        """The name with the schedule."""
        return f"annealed (beta {self.first:g} to {self.last:g}, factor {self.factor:g} every {self.each} passes)"

    @property
    def closes(self) -> Soft | Tempered:
        """The assignment at the end."""
        return self._at(self.last)

    @cached_property
    def temperatures(self) -> int:
        """Number of temperatures."""
        return 1 + math.ceil(abs(math.log(self.last / self.first)) / math.log(self.factor) - 1e-9)

    @property
    def stages(self) -> int:
        """Number of objectives: two a temperature, for the shaken pass has its own, and one in the end."""
        return 2 * self.temperatures - 1

    def stage(self, passes: int) -> int:
        """Which objective the pass after ``passes`` passes has."""
        at = min(passes // self.each, self.temperatures - 1)
        return 2 * at + int(at < self.temperatures - 1 and passes % self.each > 0)

    def beta_of(self, passes: int) -> float:
        """Inverse temperature of the pass after ``passes`` passes."""
        at = self.stage(passes) // 2
        up = self.last > self.first
        return self.last if at == self.temperatures - 1 else self.first * self.factor ** (at if up else -at)

    def for_pass(self, seed: int, passes: int) -> Soft | Tempered:
        """The assignment of one pass of a run."""
        shaken = self.last > self.first and self.stage(passes) % 2 == 0 and self.stage(passes) < self.stages - 1
        return Tempered(self.beta_of(passes), self.shake, seed, passes) if shaken else self._at(self.beta_of(passes))

    def rows(self, logits: Array, key: tuple[Any, ...]) -> tuple[Array, Array, Array]:
        """As at the end."""
        return self.closes.rows(logits, key)

    def _at(self, beta: float) -> Soft | Tempered:
        return SOFT if beta == 1.0 else Tempered(beta)


@dataclasses.dataclass(frozen=True)
class Entropic:
    """Posterior probabilities that favour certain rows: uncertain classes lose, and superfluous components starve.

    The exact gradient of ``gamma sum r log r`` would take negative responsibilities; they are set to zero, and so the objective
    may fall a little. ``gamma`` is between 0 (plain EM) and 1 (nats); 0.2 is much.
    """

    gamma: float = 0.2
    name: ClassVar[str] = "entropic"
    semiring: ClassVar[str] = "entropic"
    certificate: ClassVar[str] = "heuristic"
    objective: ClassVar[str] = "log-likelihood plus gamma times the negative entropy of the classes"
    no_leap: ClassVar[str] = "its objective is not smooth"

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma={self.gamma!r}: the weight of the entropy lies between 0 (plain EM) and 1")

    @property
    def label(self) -> str:
        """The name with the weight of the entropy."""
        return f"entropic (gamma {self.gamma:g})"

    def rows(self, logits: Array, key: tuple[Any, ...]) -> tuple[Array, Array, Array]:
        """Responsibilities, which need not sum to one, objective and log-likelihood a row."""
        resp, lse = normalise(logits)
        _refuse_impossible(lse, key)
        logs = np.log(np.where(resp > 0, resp, 1.0))
        return np.maximum(resp * (1.0 + self.gamma * logs), 0.0), lse + self.gamma * (resp * logs).sum(axis=1), lse


def _uniforms(seeds: list[int], key: tuple[Any, ...], n: int) -> Array:
    """Numbers in [0, 1), (n,), one for each row by its place in the data, whatever chunk it is in."""
    bits = np.random.PCG64(np.random.SeedSequence(seeds))
    return np.random.Generator(bits.advance(int(key[1]))).random(n)


def _refuse_impossible(lse: Array, key: tuple[Any, ...]) -> None:
    if not np.isfinite(lse.sum()):
        bad = np.flatnonzero(~np.isfinite(lse))
        if bad.size:
            raise ImpossibleRow(int(key[1] + bad[0]))


SOFT = Soft()
HARD = Hard()
