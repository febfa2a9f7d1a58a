"""Distribution functions of a fitted mixture, one column at a time.

    F(x_ij) = sum_k prior_ik F_k(x_ij)          prior_ik: class probabilities of the row before it is seen

The rows' other columns are unobserved. Uniform on 0..1 under the model where the column is continuous.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from estep.core.record import Array, leaves, rebuild
from estep.families.mixed import Mixed
from estep.families.noise import WithNoise
from estep.families.normal import Normal
from estep.families.product import Product
from estep.families.repeated import Repeated
from estep.families.student import Student


def has_cdf(family: Any, column: int, d: int) -> bool:
    """Whether the distribution function along a column is known."""
    if isinstance(family, Product):
        inner = _inner(family, column)
        return inner is not None and has_cdf(inner[0], inner[1], inner[2])
    if isinstance(family, Mixed | Repeated):
        return has_cdf(family.family, column, d)
    if type(family) in OF_FAMILY:
        return True
    return hasattr(family, "cdf") and (d == 1 or type(family).__name__ in INDEPENDENT)


def is_counted(family: Any, column: int) -> bool:
    """Whether a column's law lives on whole numbers."""
    if isinstance(family, Product):
        inner = _inner(family, column)
        return inner is not None and is_counted(inner[0], inner[1])
    if isinstance(family, WithNoise | Repeated):
        return is_counted(family.family, column)
    return bool(getattr(family, "discrete", False))


def cdf(family: Any, params: Any, values: Array, column: int, d: int) -> Array:
    """P(x_j <= value) under each component, (n, k), at ``values`` (n,) of column ``column`` of ``d``; NaN where missing.

    >>> from estep.families.normal import NormalParams
    >>> cdf(Normal("VVI"), NormalParams(np.zeros((1, 2)), np.ones((1, 2))), np.zeros(1), 1, 2).tolist()
    [[0.5]]

    Raises
    ------
    TypeError
        From a family that has none.
    """
    if not has_cdf(family, column, d):
        raise TypeError(f"{type(family).__name__} has no distribution function along column {column}")
    if isinstance(family, Product):
        inner, at, width, label = _inner(family, column)  # type: ignore[misc]
        return cdf(inner, params.parts[label], values, at, width)
    if isinstance(family, Mixed):
        weights = params.mix_weights
        of_parts = cdf(family.family, params.inner, values, column, d).reshape(len(values), *weights.shape)
        return np.asarray((of_parts * weights).sum(axis=2) / weights.sum(axis=1))
    if isinstance(family, Repeated):
        return np.tile(cdf(family.family, params, values, column, d), family.times)
    own = OF_FAMILY.get(type(family))
    if own is not None:
        return own(params, values, column)
    if d > 1:
        params = rebuild(params, {n: np.asarray(v)[:, [column]] if np.ndim(v) > 1 else v for n, v in leaves(params)})
    return np.asarray(family.cdf(params, values[:, None]), dtype=float)


def _normal(params: Any, values: Array, column: int) -> Array:
    from scipy.special import ndtr

    whole = params.covariances
    variances = whole[:, column] if whole.ndim == 2 else whole[:, column, column]
    return np.asarray(ndtr((values[:, None] - params.means[:, column]) / np.sqrt(variances)))


def _student(params: Any, values: Array, column: int) -> Array:
    from scipy.special import stdtr

    whole = params.scales
    scales = whole[:, column] if whole.ndim == 2 else whole[:, column, column]
    return np.asarray(stdtr(params.dofs, (values[:, None] - params.means[:, column]) / np.sqrt(scales)))


OF_FAMILY: Mapping[type, Callable[[Any, Array, int], Array]] = {Normal: _normal, Student: _student}
"""Families of several columns whose margins are known: function of params, values and column."""


INDEPENDENT = (
    "Bernoulli", "Beta", "Exponential", "Gamma", "Geometric", "InverseGaussian", "Laplace", "LogNormal", "NegativeBinomial",
    "Poisson", "VonMises", "Weibull",
)  # fmt: skip
"""Families of independent columns whose parameters (k, d) say all of a column."""


def _inner(family: Product, column: int) -> tuple[Any, int, int, str] | None:
    """The part that reads a column: its family, the column's place in it, its columns, its label."""
    for part in family.parts:
        if column in part.at:
            return part.family, list(part.at).index(column), len(part.at), part.label
    return None
