"""The Bessel functions of directional laws, for any concentration and any dimension.

On the unit sphere of R^d a law with mean direction mu and concentration kappa >= 0 has, nu = d/2 - 1,

    p(x) = exp(kappa (mu'x - 1) - M(kappa)) / area,     area = 2 pi^(d/2) / Gamma(d/2)
    M(kappa) = log [ Gamma(nu+1) (2/kappa)^nu I_nu(kappa) ] - kappa                    0 at kappa = 0, where p is uniform
    A(kappa) = I_(nu+1)(kappa) / I_nu(kappa) = E[mu'x],   A' = 1 - A^2 - (d-1) A / kappa

    where                          M                                     A
    kappa > FAR (d-1)^2            Hankel's series in 1/kappa            its series from A' (Riccati), and 1 - A with all digits
    nu >= UNIFORM                  Debye's uniform expansion             Gauss's fraction for kappa <= 2 (nu+1), else Debye
    kappa^2 <= NEAR (nu+1)         power series (of positive terms)      Gauss's continued fraction, or scaled Bessel functions
    else                           scaled Bessel functions (scipy)

symbol   variable        shape
kappa    concentration   any
R        length          any      mean resultant length; 1 - R is passed beside it, for R near one

Sources: Abramowitz & Stegun (1964), 9.6.10, 9.7.1, 9.7.7-9.7.9; Sra (2012), Computational Statistics 27:177, for the start of
the inverse.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.polynomial import Polynomial

from estep.core.record import Array

FAR, NEAR, UNIFORM = 100.0, 100.0, 200.0
TERMS, ORDER, NEWTON = 60, 6, 60
_TINY = float(np.finfo(float).tiny)


def log_area(d: int) -> float:
    """Log of the surface of the unit sphere of R^d.

    >>> round(math.exp(log_area(3)) / math.pi, 12)
    4.0
    """
    return math.log(2.0) + 0.5 * d * math.log(math.pi) - math.lgamma(0.5 * d)


def log_scaled(kappa: Array, d: int) -> Array:
    """M(kappa) <= 0, elementwise.

    >>> bool(np.isclose(log_scaled(np.array([2.0]), 3)[0], math.log(math.sinh(2.0) / 2.0) - 2.0, rtol=1e-14))
    True
    """
    nu, kappa = 0.5 * d - 1.0, np.asarray(kappa, dtype=float)
    out = np.empty(kappa.shape)
    far = kappa > FAR * (d - 1) ** 2
    near = ~far & (kappa**2 <= NEAR * (nu + 1.0)) if nu < UNIFORM else np.zeros(kappa.shape, dtype=bool)
    rest = ~(far | near)
    out[far] = _hankel(kappa[far], nu)
    out[near] = _power(kappa[near], nu)
    out[rest] = (_debye if nu >= UNIFORM else _bessel)(kappa[rest], nu)
    return out


def mean_length(kappa: Array, d: int) -> tuple[Array, Array]:
    """A(kappa) and 1 - A(kappa), each with its own digits where it is small.

    >>> a, less = mean_length(np.array([0.0, 1e-9, 1e12]), 2)
    >>> a.tolist()[:2], round(less.tolist()[2] * 1e12, 9)
    ([0.0, 5e-10], 0.5)
    """
    nu, kappa = 0.5 * d - 1.0, np.asarray(kappa, dtype=float)
    far, near = kappa > FAR * (d - 1) ** 2, kappa <= 2.0 * (nu + 1.0)
    rest = ~(far | near)
    length, less = np.empty(kappa.shape), np.empty(kappa.shape)
    less[far] = _series(1.0 / kappa[far], d)[0]
    length[far] = 1.0 - less[far]
    length[near] = _fraction(kappa[near], nu)
    less[near] = 1.0 - length[near]
    length[rest], less[rest] = (_debye_ratio if nu >= UNIFORM else _bessel_ratio)(kappa[rest], nu)
    return length, less


def concentration_of(length: Array, less: Array, d: int) -> Array:
    """The kappa with A(kappa) = ``length`` = 1 - ``less``; 0 for a length of 0 or below, infinity where ``less`` is 0 or below.

    Newton's method: A is concave, so from the left it climbs to the root without passing it.

    >>> k = np.array([1e-8, 1.0, 1e3, 1e12])
    >>> bool(np.allclose(concentration_of(*mean_length(k, 3), 3), k, rtol=1e-9))
    True
    """
    length, less = np.broadcast_arrays(np.asarray(length, dtype=float), np.asarray(less, dtype=float))
    inside = (length > 0) & (less > 0)
    out = np.where(less > 0, 0.0, np.inf)
    out[inside] = _solve(length[inside], less[inside], d)
    return out


def _solve(length: Array, less: Array, d: int) -> Array:
    kappa = np.maximum(length * (d - length**2) / (less * (1.0 + length)), _TINY)
    for _ in range(NEWTON):
        a, short = mean_length(kappa, d)
        gap = np.where(length < 0.5, length - a, short - less)
        slope = np.maximum(_slope(kappa, a, short, d), _TINY)
        new = np.maximum(kappa + gap / slope, 0.1 * kappa)
        done = np.abs(new - kappa) <= 4.0 * np.finfo(float).eps * kappa
        kappa = new
        if done.all():
            break
    return kappa


def _slope(kappa: Array, a: Array, short: Array, d: int) -> Array:
    """A'(kappa)."""
    far = kappa > FAR * (d - 1) ** 2
    safe = np.where(far, 1.0, np.maximum(kappa, _TINY))
    inside = short * (1.0 + a) - (d - 1) * a / safe
    y = np.where(far, 1.0 / np.maximum(kappa, _TINY), 0.0)
    return np.asarray(np.where(far, _series(y, d)[1], np.where(kappa < 1e-3, 1.0 / d, inside)))


def _series(y: Array, d: int) -> tuple[Array, Array]:
    """1 - A and A' at kappa = 1 / y large: A = sum a_j y^j, 2 a_m = (m - d) a_(m-1) - sum_(0<i<m) a_i a_(m-i)."""
    a = [1.0]
    for m in range(1, 9):
        a.append(0.5 * ((m - d) * a[m - 1] - sum(a[i] * a[m - i] for i in range(1, m))))
    less = -np.asarray(y) * np.polynomial.polynomial.polyval(y, a[1:])
    return less, -(np.asarray(y) ** 2) * np.polynomial.polynomial.polyval(y, [j * c for j, c in enumerate(a)][1:])


def _fraction(kappa: Array, nu: float) -> Array:
    """I_(nu+1) / I_nu = kappa / (2(nu+1) + kappa^2 / (2(nu+2) + ...))."""
    tail = np.zeros(kappa.shape)
    for m in range(TERMS, 0, -1):
        tail = kappa**2 / (2.0 * (nu + m) + tail) if m > 1 else tail
    return np.asarray(kappa / (2.0 * (nu + 1.0) + tail))


def _power(kappa: Array, nu: float) -> Array:
    """Log of the sum of (kappa^2/4)^m / (m! (nu+1)...(nu+m)), less kappa."""
    z, term, total, m = 0.25 * kappa**2, np.ones(kappa.shape), np.ones(kappa.shape), 0
    while term.size and (term > 1e-17 * total).any():
        m += 1
        term = term * z / (m * (nu + m))
        total = total + term
    return np.log(total) - kappa


def _hankel(kappa: Array, nu: float) -> Array:
    total, term = np.ones(kappa.shape), np.ones(kappa.shape)
    for m in range(1, 13):
        term = term * -(4.0 * nu**2 - (2 * m - 1) ** 2) / (8.0 * m * kappa)
        total = total + term
    return math.lgamma(nu + 1.0) + nu * np.log(2.0 / kappa) - 0.5 * np.log(2.0 * np.pi * kappa) + np.log(total)


def _bessel(kappa: Array, nu: float) -> Array:
    from scipy.special import ive

    return np.asarray(math.lgamma(nu + 1.0) + nu * np.log(2.0 / kappa) + np.log(ive(nu, kappa)))


def _bessel_ratio(kappa: Array, nu: float) -> tuple[Array, Array]:
    from scipy.special import ive

    ratio = np.asarray(ive(nu + 1.0, kappa) / ive(nu, kappa))
    return ratio, 1.0 - ratio


@cache
def _debye_polynomials() -> tuple[tuple[Polynomial, ...], tuple[Polynomial, ...]]:
    """u_k of the uniform expansion of I, and v_k - u_k, v_k that of its derivative (9.3.10 and 9.3.14)."""
    p = Polynomial([0.0, 1.0])
    u, more = [Polynomial([1.0])], [Polynomial([0.0])]
    for _ in range(ORDER):
        last = u[-1]
        u.append(0.5 * p**2 * (1 - p**2) * last.deriv() + ((1 - 5 * p**2) * last).integ() / 8)
        more.append(p * (p**2 - 1) * (0.5 * last + p * last.deriv()))
    return tuple(u), tuple(more)


def _expansions(kappa: Array, nu: float) -> tuple[Array, Array, Array, Array]:
    """kappa / nu, w = sqrt(1 + (kappa/nu)^2), and the sums of u_k and of v_k - u_k over nu^k."""
    t = kappa / nu
    w = np.hypot(1.0, t)
    sums = [sum(poly(1.0 / w) / nu**k for k, poly in enumerate(polys)) for polys in _debye_polynomials()]
    return t, w, np.asarray(sums[0]), np.asarray(sums[1])


def _debye(kappa: Array, nu: float) -> Array:
    from estep.families.log_gamma import entropy

    t, w, u, _ = _expansions(kappa, nu)
    stirling = 0.5 * math.log(nu / (2.0 * math.pi)) - float(entropy(nu))
    return np.asarray(stirling + nu * (1.0 / (w + t) - 1.0 - np.log(0.5 * (1.0 + w))) - 0.5 * np.log(w) + np.log(u))


def _debye_ratio(kappa: Array, nu: float) -> tuple[Array, Array]:
    t, w, u, more = _expansions(kappa, nu)
    less = np.asarray((1.0 - 1.0 / (w + t) - w * more / u) / t)
    return 1.0 - less, less
