"""Unit vectors drawn from von Mises-Fisher laws of any concentration and dimension.

    x = w mu + sqrt(1 - w^2) v,    v uniform on the unit sphere across mu,    w in [-1, 1] with density
    f(w) proportional to (1 - w^2)^((d-3)/2) exp(kappa w)

w is drawn by rejection from a transformed Beta((d-1)/2, (d-1)/2) variable, of which about two in three are kept; 1 - w is
kept beside w, so that large concentrations keep their digits.

Source: Wood (1994), Communications in Statistics: Simulation and Computation 23:157.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.families.directions import reflected


def draw(means: Array, concentrations: Array, labels: NDArray[np.intp], rng: np.random.Generator) -> Array:
    """One unit vector (d,) for each label, (n, d)."""
    n, d = labels.size, means.shape[1]
    less = np.empty(n)
    for k, kappa in enumerate(concentrations):
        mine = labels == k
        less[mine] = heights(float(kappa), d, int(mine.sum()), rng)
    across = rng.standard_normal((n, d))
    across[:, 0] = 0.0
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    out = np.sqrt(less * (2.0 - less))[:, None] * across
    for k, mu in enumerate(means):
        mine = labels == k
        out[mine] = reflected(mu, out[mine])
    out += (1.0 - less)[:, None] * means[labels]
    return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True))


def heights(kappa: float, d: int, n: int, rng: np.random.Generator) -> Array:
    """``n`` draws of 1 - w.

    >>> less = heights(1e8, 3, 10000, np.random.default_rng(0))  # kappa (1 - w) is nearly a standard exponential
    >>> bool(abs(1e8 * less.mean() - 1.0) < 0.05)
    True
    """
    m = d - 1.0
    b = m / (2.0 * kappa + np.hypot(2.0 * kappa, m))
    # at w0 = (1 - b) / (1 + b):  kappa w0 + m log(1 - w0^2), less kappa
    peak = -2.0 * kappa * b / (1.0 + b) + m * (np.log(4.0 * b) - 2.0 * np.log1p(b))
    less = np.empty(0)
    while less.size < n:
        z = rng.beta(0.5 * m, 0.5 * m, size=2 * (n - less.size) + 8)
        bottom = 1.0 - (1.0 - b) * z
        short = 2.0 * b * z / bottom  # 1 - w
        # 1 - w0 w = (1 - w0) + w0 (1 - w),  1 - w0 = 2 b / (1 + b)
        apart = (2.0 * b + (1.0 - b) * short) / (1.0 + b)
        kept = -kappa * short + m * np.log(apart) - peak >= np.log(rng.random(z.size))
        less = np.append(less, short[kept])
    return less[:n]
