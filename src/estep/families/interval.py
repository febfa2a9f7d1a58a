"""What a law must say of intervals, so that ``Censored`` and ``Truncated`` can wrap it: probability and stand-in points.

    log_mass(base, params, low, high, given)   log P(low < X < high | k)                          (n, k, d)
    points(base, params, low, high, given)     values (q, n, k, d) and weights (q,), sum 1, such that for the statistics T
                                               that the family counts   E[T(X) | low < X < high, k] = sum_q weight_q T(value_q)

A censored row is then counted as a few weighted rows, and the family does the rest.

    Normal, LinearRegression, LogNormal   T are first and second moments (of logs): mean -+ standard deviation, 1/2 each
    Exponential                           T is x itself: the mean
    Gamma, Weibull                        tanh-sinh quadrature over the probability within the interval, NODES points

Quadrature: with u in (0, 1) and S the upper tail, S(x_u) = (1 - u) S(low) + u S(high), x_u its quantile; or the same with the
lower tail, whichever is the smaller, in logarithms. Both 1 - u and u are known to their last digit, so that log x and powers of
x, which may be infinite at an open end, integrate to nearly full precision.

A family of one's own joins by an attribute ``interval`` with these two methods.

symbol   variable    shape
         low, high   (n, d)   -inf and inf are open ends; NaN where the entry is no interval
         given       None, or (design (n, p), offset (n,)) of a regression

Sources: Little & Rubin (2002), section 11.6; Takahasi & Mori (1974), Publ. RIMS 9:721, for tanh-sinh quadrature.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import numpy as np

from estep.core.record import Array
from estep.families.normal_interval import within

NODES, SPAN = 61, 3.3
DEEP = 650.0

Given = tuple[Array, Array] | None
Place = Callable[[Any, Any, Given], tuple[Array, Array]]
Map = Callable[[Array], Array]
Tail = Callable[[Any, Array], Array]


class IntervalLaw(Protocol):
    """The capability; ``widths`` says whether a component has a width of its own that may shrink into an interval."""

    @property
    def widths(self) -> bool: ...

    def log_mass(self, base: Any, params: Any, low: Array, high: Array, given: Given) -> Array: ...
    def points(self, base: Any, params: Any, low: Array, high: Array, given: Given) -> tuple[Array, Array]: ...


def interval_law(base: Any) -> IntervalLaw:
    """The interval law of a family: its attribute ``interval``, or one of the table; raises TypeError naming those."""
    law = getattr(base, "interval", None) or LAWS.get(type(base).__name__)
    if law is None:
        raise TypeError(
            f"{type(base).__name__} says nothing of intervals; Censored and Truncated take {', '.join(LAWS)}, and any family "
            "with an attribute interval that has log_mass and points (estep.families.interval)"
        )
    found: IntervalLaw = law
    return found


@dataclasses.dataclass(frozen=True)
class GaussianLaw:
    """Laws that are normal after ``forward``: ``place`` gives mean and standard deviation, (n or 1, k, d)."""

    place: Place
    forward: Map
    back: Map
    widths: bool = True

    def log_mass(self, base: Any, params: Any, low: Array, high: Array, given: Given) -> Array:
        """``log [ Phi((high - mu) / sigma) - Phi((low - mu) / sigma) ]``."""
        return within(*self._ends(params, low, high, given))[0]

    def points(self, base: Any, params: Any, low: Array, high: Array, given: Given) -> tuple[Array, Array]:
        """Mean minus and plus one standard deviation."""
        mu, sigma = self.place(base, params, given)
        _, mean, variance = within(*self._ends(params, low, high, given))
        root = np.sqrt(variance)
        return self.back(mu + sigma * np.stack([mean - root, mean + root])), np.array([0.5, 0.5])

    def _ends(self, params: Any, low: Array, high: Array, given: Given) -> tuple[Array, Array]:
        mu, sigma = self.place(None, params, given)
        return (self.forward(low)[:, None, :] - mu) / sigma, (self.forward(high)[:, None, :] - mu) / sigma


@dataclasses.dataclass(frozen=True)
class ExponentialLaw:
    """Waiting times: beyond ``low`` the mean is ``low + 1 / b``, less what an upper end cuts off."""

    widths: bool = False

    def log_mass(self, base: Any, params: Any, low: Array, high: Array, given: Given) -> Array:
        """``-b low + log(1 - exp(-b (high - low)))``."""
        rate, low, high = params.rates, np.maximum(low, 0.0)[:, None, :], high[:, None, :]
        with np.errstate(divide="ignore"):
            return np.asarray(-rate * low + np.log(-np.expm1(-rate * (high - low))))

    def points(self, base: Any, params: Any, low: Array, high: Array, given: Given) -> tuple[Array, Array]:
        """The mean within the interval, of weight one."""
        rate, low = params.rates, np.maximum(low, 0.0)[:, None, :]
        width = rate * (high[:, None, :] - low)
        return (low + _mean_within(width) / rate)[None], np.ones(1)


def _mean_within(width: Array) -> Array:
    """Mean of a standard exponential variable given that it is below ``width``: 1 - w / (e^w - 1), w/2 - w^2/12 for small w."""
    safe = np.where(np.isfinite(width), np.maximum(width, 1e-3), 1.0)
    with np.errstate(over="ignore"):
        mean = 1.0 - safe / np.expm1(safe)
    small = np.where(np.isfinite(width), np.minimum(width, 1e-3), 0.0)
    series = small * (0.5 - small * (1 / 12 - small**2 / 720))
    mean = np.where(width < 1e-3, series, mean)
    return np.where(np.isposinf(width), 1.0, np.where(np.isnan(width), np.nan, mean))


@dataclasses.dataclass(frozen=True)
class TailLaw:
    """Laws known by the logarithms of their tails and by quantiles that start from those."""

    log_lower: Tail
    log_upper: Tail
    from_lower: Tail
    from_upper: Tail
    widths: bool = True

    def log_mass(self, base: Any, params: Any, low: Array, high: Array, given: Given) -> Array:
        """The difference of the smaller tails."""
        ends = self._ends(params, low, high)
        by_upper, by_lower = ends[0] + _log_less(ends[1] - ends[0]), ends[3] + _log_less(ends[2] - ends[3])
        return np.where(ends[0] <= ends[3], by_upper, by_lower)

    def points(self, base: Any, params: Any, low: Array, high: Array, given: Given) -> tuple[Array, Array]:
        """Quantiles at the nodes of tanh-sinh quadrature."""
        upper_low, upper_high, lower_low, lower_high = self._ends(params, low, high)
        u, less, weights = _rule()
        with np.errstate(divide="ignore"):
            upper = upper_low + np.log(_column(less, 3) + _column(u, 3) * np.exp(upper_high - upper_low))
            lower = lower_high + np.log(_column(u, 3) + _column(less, 3) * np.exp(lower_low - lower_high))
        right = (upper_low < 0) & (upper_low <= lower_high)
        values = np.where(right, self.from_upper(params, upper), self.from_lower(params, lower))
        ends = np.maximum(low, 0.0)[:, None, :], high[:, None, :]
        return np.clip(values, *ends), weights

    def _ends(self, params: Any, low: Array, high: Array) -> tuple[Array, Array, Array, Array]:
        low, high = np.maximum(low, 0.0)[:, None, :], high[:, None, :]
        with np.errstate(divide="ignore", over="ignore"):
            return (
                self.log_upper(params, low),
                self.log_upper(params, high),
                self.log_lower(params, low),
                self.log_lower(params, high),
            )


def _column(values: Array, more: int) -> Array:
    return values.reshape(-1, *(1,) * more)


def _log_less(gap: Array) -> Array:
    """Log(1 - exp(gap)) for gap <= 0."""
    with np.errstate(divide="ignore"):
        return np.where(gap > -0.7, np.log(-np.expm1(gap)), np.log1p(-np.exp(gap)))


@cache
def _rule() -> tuple[Array, Array, Array]:
    """Nodes u, 1 - u and weights of tanh-sinh quadrature on (0, 1)."""
    t = np.linspace(-SPAN, SPAN, NODES)
    s = 0.5 * np.pi * np.sinh(t)
    u, less = 1.0 / (1.0 + np.exp(-2.0 * s)), 1.0 / (1.0 + np.exp(2.0 * s))
    weights = np.cosh(t) * u * less
    return u, less, weights / weights.sum()


def _power(params: Any, x: Array) -> Array:
    """(x / s)^a."""
    return np.asarray((x / params.scales) ** params.shapes)


def _root(params: Any, t: Array) -> Array:
    return np.asarray(params.scales * t ** (1.0 / params.shapes))


WEIBULL = TailLaw(
    log_lower=lambda params, x: np.log(-np.expm1(-_power(params, x))),
    log_upper=lambda params, x: -_power(params, x),
    from_lower=lambda params, log_p: _root(params, -_log_less(log_p)),
    from_upper=lambda params, log_p: _root(params, -log_p),
)


def _gamma_lower(params: Any, x: Array) -> Array:
    from scipy.special import gammainc

    return np.asarray(np.log(gammainc(params.shapes, params.rates * x)))


def _gamma_upper(params: Any, x: Array) -> Array:
    """Log of the upper tail; far out by Legendre's continued fraction, where the tail itself underflows."""
    from scipy.special import gammaincc, gammaln

    t, a = params.rates * x, params.shapes
    far = np.where((t > DEEP) & np.isfinite(t) & (t > 2.0 * a), t, np.maximum(DEEP, 2.0 * a))
    tail = np.zeros(far.shape)
    for m in range(60, 0, -1):
        tail = m * (m - a) / (far + 2.0 * m + 1.0 - a - tail)
    deep = a * np.log(far) - far - gammaln(a) - np.log(far + 1.0 - a - tail)
    with np.errstate(divide="ignore"):
        near = np.log(gammaincc(a, t))
    return np.where((t > DEEP) & (t > 2.0 * a), np.where(np.isposinf(t), -np.inf, deep), near)


def _from_gamma_lower(params: Any, log_p: Array) -> Array:
    from scipy.special import gammaincinv

    return np.asarray(gammaincinv(params.shapes, np.exp(log_p)) / params.rates)


def _from_gamma_upper(params: Any, log_p: Array) -> Array:
    """The quantile; deep in the tail by Newton steps on its logarithm, whose slope is nearly -1."""
    from scipy.special import gammainccinv

    a = params.shapes
    near = gammainccinv(a, np.exp(np.maximum(log_p, -DEEP)))
    if not (log_p < -DEEP).any():
        return np.asarray(near / params.rates)
    unit = dataclasses.replace(params, rates=np.ones_like(params.rates))
    t = np.maximum(near, 1.0) - np.where(np.isfinite(log_p), np.minimum(log_p + DEEP, 0.0), 0.0)
    for _ in range(20):
        t = np.maximum(t + (_gamma_upper(unit, t) - log_p) / (1.0 - (a - 1.0) / t), 0.5 * t)
    return np.asarray(np.where(np.isfinite(log_p) & (log_p < -DEEP), t, near) / params.rates)


GAMMA = TailLaw(_gamma_lower, _gamma_upper, _from_gamma_lower, _from_gamma_upper)


def _normal_place(base: Any, params: Any, given: Given) -> tuple[Array, Array]:
    spread = params.covariances
    variances = spread if spread.ndim == 2 else np.diagonal(spread, axis1=1, axis2=2)
    return params.means[None], np.sqrt(variances)[None]


def _lognormal_place(base: Any, params: Any, given: Given) -> tuple[Array, Array]:
    return params.means[None], np.sqrt(params.variances)[None]


def _regression_place(base: Any, params: Any, given: Given) -> tuple[Array, Array]:
    assert given is not None
    design, offset = given
    mean = design @ params.coefs.T + params.intercepts + offset[:, None]
    return mean[:, :, None], params.scales[None, :, None]


def _same(x: Array) -> Array:
    return x


def _log(x: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(x, 0.0))


LAWS: dict[str, IntervalLaw] = {
    "Normal": GaussianLaw(_normal_place, _same, _same),
    "LogNormal": GaussianLaw(_lognormal_place, _log, np.exp),
    "LinearRegression": GaussianLaw(_regression_place, _same, _same),
    "Exponential": ExponentialLaw(),
    "Gamma": GAMMA,
    "Weibull": WEIBULL,
}
