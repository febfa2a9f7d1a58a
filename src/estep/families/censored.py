"""Censored values: of some entries only an interval is known. A wrapper for laws that can say what lies within one.

    x_ij ~ the base law;   seen are lower and upper bounds of it:   equal: x itself;   -inf, inf: open ends;   NaN, NaN: nothing

    log p = log density where the bounds are equal,   log [F(upper) - F(lower)] where they are not

E-step   for each component an interval is counted as a few weighted points with the same expected statistics (interval.py)
M-step   the base law's own; so are parameters, support, prior and collapse

Rows are (n, 2 d), lower and upper bound of each variable side by side, or for a regression the tuple (design, bounds (n, 2)).
There is no maximum where the likelihood can grow for ever, and ``bind`` refuses such data: nothing but bounds on one side, or
bounds that one narrow component can satisfy all together.

symbol   variable      shape
         low, high     (m, d)   bounds of the rows that have an interval; NaN at their other entries
         exact         (m, d)   values of these rows; NaN at intervals

Sources: Little & Rubin (2002), section 11.6; Dempster, Laird & Rubin (1977), section 4.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.core.support import Constraints, Support
from estep.families import interval_data
from estep.families.interval import interval_law
from estep.families.interval_data import Bounds, read_bounds, stand_ins
from estep.families.normal import Normal


@dataclasses.dataclass(frozen=True)
class _CensoredBlock:
    """Rows without intervals and those with, each as the base family reads it."""

    n: int
    rest: NDArray[np.intp]
    rest_block: Any
    some: NDArray[np.intp]
    some_block: Any
    bounds: Bounds


@dataclasses.dataclass(frozen=True)
class Censored:
    """``family`` seen through intervals: exact, left-, right- or interval-censored values, and missing ones.

    Rows hold a lower and an upper bound for each variable, side by side: equal where the value is known, ``-inf`` or ``inf``
    where a side is open, both NaN where nothing is known (survreg's ``interval2``, with infinities).

    Parameters
    ----------
    family : Family
        ``Normal`` (of one variable, or with a diagonal structure), ``LogNormal``, ``Exponential``, ``Gamma``, ``Weibull``,
        ``LinearRegression``, or any with an attribute ``interval`` (``estep.families.interval``).

    Raises
    ------
    ValueError
        By ``bind``: on bounds in the wrong order (naming row and variable), one bound missing, and data that admit no maximum.
    TypeError
        On a family that says nothing of intervals.

    Examples
    --------
    >>> family = Censored(dataclasses.replace(Normal("diag"), anchor=np.zeros(1), total=np.eye(1)))
    >>> params = family.start(1)  # standard normal
    >>> np.exp(family.log_density(params, family.encode(np.array([[0.0, np.inf]])))).round(12).tolist()
    [[0.5]]
    """

    family: Any = dataclasses.field(default_factory=lambda: Normal("diag"))
    infinite: ClassVar[bool] = True

    def __post_init__(self) -> None:
        interval_law(self.family)

    @property
    def names(self) -> tuple[str, ...]:
        """The base family's parameters."""
        return tuple(self.family.names)

    @property
    def constants(self) -> int:
        """Parameters that binding the base family estimated."""
        return int(getattr(self.family, "constants", 0))

    def bind(self, data: Any) -> Censored:
        """Bind the base family to values, midpoints and finite ends; raises ValueError where there is no maximum."""
        first = next(iter(data.chunks())).x
        law, open_below = interval_law(self.family), _floor(self.family)
        interval_data.refuse_unbounded(data, law.widths and not isinstance(first, tuple), open_below)
        seen = interval_data.Seen(data, open_below)
        base = self.family.bind(seen) if hasattr(self.family, "bind") else self.family
        _refuse_full(base, read_bounds(first, open_below).low.shape[1])
        return Censored(base)

    def start(self, k: int) -> Any:
        """The base family's start."""
        return self.family.start(k)

    def encode(self, x: Any) -> _CensoredBlock:
        """Rows with and without intervals."""
        read = read_bounds(x, _floor(self.family))
        hidden: NDArray[np.bool_] = np.asarray(read.hidden.any(axis=1))
        some, rest = np.flatnonzero(hidden), np.flatnonzero(~hidden)
        part = read.of(some)
        return _CensoredBlock(
            len(hidden), rest, self._base(read.of(rest).rows()), some, self._base(part.rows()) if some.size else None, part
        )

    def log_density(self, params: Any, encoded: _CensoredBlock) -> Array:
        """Log densities of values and log probabilities of intervals, (n, k), in nats."""
        if not encoded.some.size:
            return np.asarray(self.family.log_density(params, encoded.rest_block))
        out: Array | None = None
        if encoded.rest.size:
            rest = np.asarray(self.family.log_density(params, encoded.rest_block))
            out = np.empty((encoded.n, rest.shape[1]))
            out[encoded.rest] = rest
        some = np.asarray(self.family.log_density(params, encoded.some_block)) + self._mass(params, encoded.bounds)
        out = np.empty((encoded.n, some.shape[1])) if out is None else out
        out[encoded.some] = some
        return out

    def stats(self, params: Any, encoded: _CensoredBlock, resp: Array) -> Any:
        """The base family's statistics, expected where an interval hides the value."""
        total = self.family.stats(params, encoded.rest_block, resp[encoded.rest])
        for rows, part, _ in stand_ins(self.family, params, encoded.bounds, resp[encoded.some]):
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

    def unit_scores(self, params: Any, encoded: _CensoredBlock, resp: Array, support: Support) -> Array:
        """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
        out = np.zeros((encoded.n, support.count))
        if encoded.rest.size:
            out[encoded.rest] = self.family.unit_scores(params, encoded.rest_block, resp[encoded.rest], support)
        for rows, part, owner in stand_ins(self.family, params, encoded.bounds, resp[encoded.some]):
            each = self.family.unit_scores(params, self._base(rows), part, support)
            np.add.at(out, encoded.some[owner], each)
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
        """The first component that has collapsed, or None."""
        return _asked(self.family, "dying", params, stats, support)

    def frail(self, params: Any, stats: Any, support: Support) -> Collapsed | None:
        """The first component that has nearly collapsed, or None."""
        return _asked(self.family, "frail", params, stats, support)

    def permute(self, params: Any, order: NDArray[np.intp]) -> Any:
        """Components in another order."""
        return interval_data.permuted(self.family, params, order)

    def features(self, x: Any) -> Array:
        """Rows as start rules see them: values, midpoints and finite ends."""
        shown = interval_data.points(x, _floor(self.family))
        own = getattr(self.family, "features", None)
        return np.asarray(own(shown) if own else shown, dtype=float)

    def expose(self, params: Any) -> dict[str, Array]:
        """Parameters as users see them."""
        return interval_data.exposed(self.family, params)

    def adopt(self, name: str, value: Any, k: int, d: int, argument: str) -> Array:
        """A user's array for parameter ``name``; ``d`` counts columns of bounds."""
        return np.asarray(self.family.adopt(name, value, k, self.width(d), argument))

    def adopt_ties(self, name: str, value: Any, k: int, d: int, argument: str) -> NDArray[np.intp]:
        """A user's ties for parameter ``name``."""
        return np.asarray(self.family.adopt_ties(name, value, k, self.width(d), argument))

    def width(self, d: int) -> int:
        """Variables where rows have ``d`` columns of bounds."""
        return d if interval_data.is_regression(self.family) else d // 2

    def seat(self, params: Any, component: int, row: Any) -> Any:
        """``params`` with ``component`` moved to what is seen of ``row``."""
        shown = interval_data.points(np.atleast_2d(row), _floor(self.family))[0]
        return self.family.seat(params, component, shown)

    def sample(self, params: Any, labels: NDArray[np.intp], rng: np.random.Generator) -> Any:
        """One row for each label, its values known: both bounds equal."""
        return interval_data.doubled(self.family.sample(params, labels, rng))

    def impute(self, params: Any, x: Any, resp: Array) -> Array:
        """Expected values (n, d) of rows given their bounds and responsibilities (n, k): known ones as they are."""
        read = read_bounds(x, _floor(self.family))
        unknown = np.isnan(read.exact)
        low = np.where(read.hidden, read.low, np.where(unknown, -np.inf, np.nan))
        high = np.where(read.hidden, read.high, np.where(unknown, np.inf, np.nan))
        values, weights = interval_law(self.family).points(self.family, params, low, high, read.given)
        means = np.einsum("qnkd,q->nkd", values, weights)
        return np.where(unknown, np.einsum("nkd,nk->nd", means, resp), read.exact)

    def _mass(self, params: Any, bounds: Bounds) -> Array:
        """Log probability of each row's intervals, (m, k)."""
        each = interval_law(self.family).log_mass(self.family, params, bounds.low, bounds.high, bounds.given)
        return np.asarray(np.where(bounds.hidden[:, None, :], each, 0.0).sum(axis=2))

    def _base(self, x: Any) -> Any:
        encode = getattr(self.family, "encode", None)
        return encode(x) if encode else x


def _asked(family: Any, name: str, *args: Any) -> Collapsed | None:
    ask = getattr(family, name, None)
    found: Collapsed | None = ask(*args) if ask else None
    return found


def _floor(family: Any) -> float:
    """Where values of the family begin: 0 for positive laws."""
    return 0.0 if getattr(family, "nonnegative", False) else -float("inf")


def _refuse_full(base: Any, d: int) -> None:
    if isinstance(base, Normal) and d > 1 and not base.diagonal:
        raise ValueError(
            f"Censored takes independent variables, but covariance_type={base.covariance_type!r} lets {d} of them depend on "
            "one another; use 'diag', 'spherical' or a code that ends in I"
        )
