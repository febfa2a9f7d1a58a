"""Truncated values: rows outside a window were never recorded. A wrapper for laws that can say what lies in an interval.

    x_i | z_i = k ~ base law given low < x < high:   log p = log f(x; theta_k) - log P_k,   P_k = F_k(high) - F_k(low)

E-step   behind r rows seen stand r (1 - P_k) / P_k expected to be unseen; they are counted as weighted points beyond the window
         that have the unseen rows' expected statistics (interval.py)
M-step   the base law's own, from seen and unseen rows

Each component is truncated for itself, so the weights are those of the components among the rows that were seen.

symbol   variable    shape
         low, high   numbers; -inf and inf are open ends
P_k      mass        (k,), or (n, k) for a regression

Where the rows crowd towards one end as an exponential or steeper law would, a truncated normal has no maximum: its mean runs
away beyond the other end. A component whose window holds less than LEAST of its mass has collapsed in that way.

Sources: Dempster, Laird & Rubin (1977), section 4.2; Blumenthal & Marcus (1975), JASA 70:913.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.support import Constraints, Support
from estep.families import interval_data
from estep.families.interval import Given, interval_law
from estep.families.interval_data import Bounds, stand_ins
from estep.families.normal import Normal

LEAST = 1e-12
ROUNDS = 10_000


@dataclasses.dataclass(frozen=True)
class _TruncatedBlock:
    """The base family's block, which rows are seen (n,), and covariates of a regression."""

    inner: Any
    seen: NDArray[np.bool_]
    given: Given


@dataclasses.dataclass(frozen=True)
class Truncated:
    """``family`` seen through a window: rows with a value outside ``low`` .. ``high`` never came to be in the data.

    Parameters
    ----------
    family : Family
        Of one variable: ``Normal``, ``LogNormal``, ``Exponential``, ``Gamma``, ``Weibull``, ``LinearRegression``, or any with
        an attribute ``interval`` (``estep.families.interval``).
    low, high : float
        Ends of the window, in the units of the variable.

    Raises
    ------
    ValueError
        When the window is empty; by ``bind`` on values outside it (naming the row) and on more than one variable.
    TypeError
        On a family that says nothing of intervals.

    Examples
    --------
    >>> base = dataclasses.replace(Normal(), anchor=np.zeros(1), total=np.eye(1))
    >>> family = Truncated(base, low=0.0)
    >>> params = family.start(1)  # half of a standard normal
    >>> round(float(np.exp(family.log_density(params, family.encode(np.zeros((1, 1)))))[0, 0] * np.sqrt(np.pi / 2)), 12)
    1.0
    """

    family: Any = dataclasses.field(default_factory=Normal)
    low: float = -np.inf
    high: float = np.inf

    def __post_init__(self) -> None:
        interval_law(self.family)
        if not self.low < self.high:
            raise ValueError(f"low={self.low!r} must be below high={self.high!r}: the window holds nothing")

    @property
    def names(self) -> tuple[str, ...]:
        """The base family's parameters."""
        return tuple(self.family.names)

    @property
    def constants(self) -> int:
        """Parameters that binding the base family estimated."""
        return int(getattr(self.family, "constants", 0))

    @property
    def nonnegative(self) -> bool:
        """Whether the base family's values are."""
        return bool(getattr(self.family, "nonnegative", False))

    def bind(self, data: Any) -> Truncated:
        """Check that every value lies within the window, and bind the base family."""
        data.map(lambda chunk: self._value(chunk.x, int(chunk.key[1])), lambda chunk, found: None)
        return dataclasses.replace(self, family=self.family.bind(data)) if hasattr(self.family, "bind") else self

    def start(self, k: int) -> Any:
        """The base family's start."""
        return self.family.start(k)

    def encode(self, x: Any) -> _TruncatedBlock:
        """The base family's block; raises ValueError on a value outside the window."""
        value, encode = self._value(x, 0), getattr(self.family, "encode", None)
        given: Given = None
        if isinstance(x, tuple):
            design = np.asarray(x[0], dtype=float)
            given = (design, np.zeros(len(design)) if len(x) < 3 or x[2] is None else np.asarray(x[2], dtype=float))
        return _TruncatedBlock(encode(x) if encode else x, ~np.isnan(value), given)

    def log_density(self, params: Any, encoded: _TruncatedBlock) -> Array:
        """Log densities given the window, (n, k), in nats; a missing value has 0."""
        inside = self._log_mass(params, self.low, self.high, encoded.given)
        return np.asarray(self.family.log_density(params, encoded.inner) - inside * encoded.seen[:, None])

    def stats(self, params: Any, encoded: _TruncatedBlock, resp: Array) -> Any:
        """The base family's statistics of seen and expected unseen rows."""
        total = self.family.stats(params, encoded.inner, resp)
        for rows, part, _ in self._unseen(params, encoded.given, encoded.seen, resp):
            total = total + self.family.stats(params, self._base(rows), part)
        return total

    def fit(self, stats: Any, params: Any, support: Support) -> Any:
        """The base family's fit."""
        return self.family.fit(stats, params, support)

    def q(self, params: Any, stats: Any) -> float:
        """The base family's q."""
        return float(self.family.q(params, stats))

    def score(self, params: Any, stats: Any, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        return np.asarray(self.family.score(params, stats, support))

    def unit_scores(self, params: Any, encoded: _TruncatedBlock, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
        out = np.array(self.family.unit_scores(params, encoded.inner, resp, support))
        there = np.flatnonzero(encoded.seen)
        for rows, part, owner in self._unseen(params, encoded.given, encoded.seen, resp, alone=True):
            np.add.at(out, there[owner], self.family.unit_scores(params, self._base(rows), part, support))
        return out

    def support(self, params: Any, constraints: Constraints) -> Support:
        """The base family's support."""
        support: Support = self.family.support(params, constraints)
        return support

    def prior(self, k: int, settings: Mapping[str, Any]) -> Any:
        """The base family's prior."""
        return self.family.prior(k, settings)

    def align(self, prior: Any, stats: Any) -> Any:
        """The base family's prior at the shared fields of ``stats``."""
        align = getattr(self.family, "align", None)
        return align(prior, stats) if align else prior

    def dying(self, params: Any, stats: Any, support: Support) -> Collapsed | None:
        """The first component that has collapsed, or whose window holds almost nothing of it, or None."""
        ask = getattr(self.family, "dying", None)
        found: Collapsed | None = ask(params, stats, support) if ask else None
        if found is not None or interval_data.is_regression(self.family):
            return found
        inside = self._log_mass(params, self.low, self.high, None)[0]
        gone = np.flatnonzero(inside < np.log(LEAST))
        if not gone.size:
            return None
        return Collapsed(
            int(gone[0]),
            f"its window holds only {np.exp(inside[gone[0]]):.1e} of it: the rows crowd towards one end, and no law of this "
            "family fits them best",
        )

    def frail(self, params: Any, stats: Any, support: Support) -> Collapsed | None:
        """The first component that has nearly collapsed, or None."""
        ask = getattr(self.family, "frail", None)
        found: Collapsed | None = ask(params, stats, support) if ask else None
        return found

    def permute(self, params: Any, order: NDArray[np.intp]) -> Any:
        """Components in another order."""
        return interval_data.permuted(self.family, params, order)

    def features(self, x: Any) -> Array:
        """Rows as start rules see them: as the base family shows them."""
        own = getattr(self.family, "features", None)
        return np.asarray(own(x) if own else x, dtype=float)

    def expose(self, params: Any) -> dict[str, Array]:
        """Parameters as users see them: of the whole law, not of what the window shows."""
        return interval_data.exposed(self.family, params)

    def adopt(self, name: str, value: Any, k: int, d: int, argument: str) -> Array:
        """A user's array for parameter ``name``."""
        return np.asarray(self.family.adopt(name, value, k, d, argument))

    def adopt_ties(self, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
        """A user's ties for parameter ``name``."""
        return np.asarray(self.family.adopt_ties(name, value, k, d, argument))

    def seat(self, params: Any, component: int, row: Any) -> Any:
        """``params`` with ``component`` moved to ``row``."""
        return self.family.seat(params, component, row)

    def sample(self, params: Any, labels: NDArray[np.intp], rng: np.random.Generator) -> Any:
        """One row within the window for each label, by rejection; raises ValueError where the window holds next to nothing."""
        drawn = self.family.sample(params, labels, rng)
        value = np.array(drawn[1] if isinstance(drawn, tuple) else drawn, dtype=float)
        for _ in range(ROUNDS):
            wanted = np.flatnonzero(~((value.ravel() > self.low) & (value.ravel() < self.high)))
            if not wanted.size:
                return (drawn[0], value, *drawn[2:]) if isinstance(drawn, tuple) else value
            design = (drawn[0][wanted],) if isinstance(drawn, tuple) else ()
            again = self.family.sample(params, labels[wanted], rng, *design)
            value[wanted] = again[1] if isinstance(again, tuple) else again
        raise ValueError(f"sample: of {ROUNDS} draws for component {int(labels[wanted[0]])} none fell within the window")

    def cdf(self, params: Any, x: Array) -> Array:
        """``P(X <= x | low < X < high)``, (n, k); NaN where missing."""
        x = np.asarray(x, dtype=float)
        upper = np.clip(x, self.low, self.high)
        law = interval_law(self.family)
        with np.errstate(divide="ignore"):
            part = law.log_mass(self.family, params, np.full(x.shape, self.low), upper, None)[:, :, 0]
        part = np.where(upper > self.low, part, np.where(np.isnan(x), np.nan, -np.inf))
        return np.asarray(np.exp(part - self._log_mass(params, self.low, self.high, None)))

    def _value(self, x: Any, at: int) -> Array:
        """The variable (n,), checked; ``at`` counts rows."""
        value = np.asarray(x[1] if isinstance(x, tuple) else x, dtype=float)
        if value.ndim == 2 and value.shape[1] != 1:
            raise ValueError(f"X has {value.shape[1]} columns, but Truncated takes one variable; wrap others in a Product")
        value = value.ravel()
        bad = (value < self.low) | (value > self.high)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                f"X: row {at + row} is {value[row]:g}, outside the window {self.low:g} .. {self.high:g} that all rows were "
                "seen through; correct the window, or use Censored for values known to lie beyond a bound"
            )
        return value

    def _log_mass(self, params: Any, low: float, high: float, given: Given) -> Array:
        """Log probability of an interval, (1, k), or (n, k) for a regression."""
        n = 1 if given is None else len(given[0])
        ends = np.full((n, 1), low), np.full((n, 1), high)
        return interval_law(self.family).log_mass(self.family, params, *ends, given)[:, :, 0]

    def _unseen(
        self, params: Any, given: Given, seen: NDArray[np.bool_], resp: Array, alone: bool = False
    ) -> Iterator[tuple[Any, Array, NDArray[np.intp]]]:
        """Weighted rows beyond the window, component by component, and which of the seen rows each stands behind.

        Rows without covariates have the same unseen ones, which are counted at once unless they are to stand ``alone``.
        """
        resp = resp[seen]
        given = None if given is None else (given[0][seen], given[1][seen])
        resp = resp.sum(axis=0, keepdims=True) if given is None and not alone else resp
        inside = self._log_mass(params, self.low, self.high, given)
        floor = 0.0 if self.nonnegative else -np.inf
        for low, high in ((-np.inf, self.low), (self.high, np.inf)):
            if low == high or high <= floor:
                continue
            weight = resp * np.exp(self._log_mass(params, low, high, given) - inside)
            shape = (len(resp), 1)
            nothing, below, above = (np.full(shape, value) for value in (np.nan, low, high))
            hidden = Bounds(nothing, below, above, np.ones(shape, dtype=bool), given)
            yield from stand_ins(self.family, params, hidden, weight)

    def _base(self, x: Any) -> Any:
        encode = getattr(self.family, "encode", None)
        return encode(x) if encode else x
