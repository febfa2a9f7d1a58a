"""Multinomial logit with soft targets: value, gradient and curvature of its log-likelihood.

    L(theta) = sum_i sum_a t_ia log p_ia,    p_i = softmax(theta z_i + o_i),    w_i = sum_a t_ia

    dL / d theta_a = sum_i (t_ia - w_i p_ia) z_i
    - d2L / d theta_a d theta_b = sum_i w_i p_ia (1[a = b] - p_ib) z_i z_i'

symbol   variable    shape
t        targets     (n, r)   weighted: one class in a regression, responsibilities in a gate
z        z           (n, m)
log p    log_probs   (n, r)

Source: McCullagh & Nelder (1989), Generalized Linear Models, section 5.2.
"""

from __future__ import annotations

import numpy as np

from estep.core.assign import normalise
from estep.core.record import Array


def log_probs(eta: Array) -> Array:
    """log softmax over the last axis, (n, r).

    >>> np.exp(log_probs(np.log([[1.0, 3.0]]))).round(9).tolist()
    [[0.25, 0.75]]
    """
    return np.asarray(eta - normalise(eta)[1][:, None])


def curvature_of(z: Array, probs: Array, weight: Array) -> Array:
    """Minus the Hessian in theta, (r m, r m), classes in blocks."""
    r, m = probs.shape[1], z.shape[1]
    out = np.empty((r, m, r, m))
    for a in range(r):
        for b in range(a, r):
            bend = weight * probs[:, a] * ((1.0 - probs[:, a]) if a == b else -probs[:, b])
            out[a, :, b] = (z * bend[:, None]).T @ z
            out[b, :, a] = out[a, :, b].T
    return out.reshape(r * m, r * m)


def expansion_of(z: Array, targets: Array, log_p: Array) -> tuple[float, Array, Array, Array]:
    """Value (), gradient (r, m), curvature (r m, r m) and Gram matrix (m, m) of L."""
    weight, probs = targets.sum(axis=1), np.exp(log_p)
    value = float(np.where(targets > 0, targets * log_p, 0.0).sum())
    gradient = (targets - weight[:, None] * probs).T @ z
    return value, gradient, curvature_of(z, probs, weight), (z * weight[:, None]).T @ z
