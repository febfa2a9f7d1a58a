"""Starts for the covariance of incomplete rows: standard deviations of the data with correlations drawn at random.

    R = corr(W),  W ~ Wishart(d + 2, I)           a correlation matrix; for d = 2 the correlation is spread over (-1, 1)

At a start without correlation EM may stay at a saddle point; starts to either side of it do not.

Source: Murray (1977), J. R. Statist. Soc. B 39:27.
"""

from __future__ import annotations

import numpy as np

from estep.core.record import Array


def random_covariance(variances: Array, rng: np.random.Generator) -> Array:
    """A covariance (d, d) with the given variances and random correlations.

    >>> np.diag(random_covariance(np.array([1.0, 4.0]), np.random.default_rng(0))).round(12).tolist()
    [1.0, 4.0]
    """
    d = len(variances)
    z = rng.standard_normal((d + 2, d))
    wishart = z.T @ z
    scale = np.sqrt(np.asarray(variances) / np.diagonal(wishart))
    return np.asarray(wishart * np.outer(scale, scale))
