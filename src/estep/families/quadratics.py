"""Log densities that are quadratic in the row, as a kd-tree needs them to bound what it leaves out.

    log p(x | k) = const_k - (x - mean_k)' precision_k (x - mean_k) / 2

of the columns that are observed; a uniform law has precision 0.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from estep.core.record import Array
from estep.families.normal_density import NormalParams, factor


@dataclasses.dataclass(frozen=True)
class Quadratics:
    """``const`` (k,), ``mean`` (k, o) and ``precision`` (k, o, o) of the log densities of ``o`` columns."""

    const: Array
    mean: Array
    precision: Array


def normal_quadratics(params: NormalParams, columns: tuple[int, ...]) -> Quadratics:
    """The log densities of ``columns`` under normal laws; raises Collapsed.

    >>> law = normal_quadratics(NormalParams(np.zeros((1, 2)), np.ones((1, 2))), (0,))
    >>> round(float(law.const[0]), 4), law.precision.tolist()
    (-0.9189, [[[1.0]]])
    """
    seen, covariance = list(columns), params.covariances
    whiten, logdet = factor(covariance[:, seen] if covariance.ndim == 2 else covariance[:, seen][:, :, seen])
    precision = whiten[:, :, None] ** 2 * np.eye(len(seen)) if covariance.ndim == 2 else whiten.transpose(0, 2, 1) @ whiten
    const = -0.5 * (len(seen) * math.log(2 * math.pi) + logdet)
    return Quadratics(const, params.means[:, seen], precision)


def with_uniform(law: Quadratics, log_density: float) -> Quadratics:
    """The same with one more class, last, of constant density."""
    o = law.mean.shape[1]
    return Quadratics(
        np.append(law.const, log_density),
        np.vstack([law.mean, np.zeros((1, o))]),
        np.concatenate([law.precision, np.zeros((1, o, o))]),
    )
