"""Per-row scores of a normal family: gradients of each row's expected complete-data log-likelihood.

With e = E[x - mu_k | x_o] = B u and C the covariance of the missing entries given the observed ones,

    d/dmu_k = r P_k e            d/dSigma_k = -r/2 (P_k - P_k (e e' + C) P_k)

carried to free coordinates by the (linear) pull of the support. Louis, OPG and sandwich errors need them.
"""

from __future__ import annotations

import numpy as np

from estep.core.record import Array
from estep.core.support import Entry, Support
from estep.families.normal_density import NormalBlock, NormalParams, PatternRows, factored, regression


def unit_scores(params: NormalParams, block: NormalBlock, resp: Array, support: Support) -> Array:
    """Scores (n, p) in free coordinates; ``resp`` (n, k)."""
    return raw_scores(params, block, resp) @ to_free(params, support.entries["means"], support.entries["covariances"])


def raw_scores(params: NormalParams, block: NormalBlock, resp: Array, weight: Array | None = None) -> Array:
    """Per row, gradients in the entries of means and covariances, (n, k (d + covariance size)).

    With ``weight`` (n, k) row i has the covariance Sigma_k / weight_ik (scale mixtures), which multiplies ``e`` and ``e e'``.
    """
    k, d = params.means.shape
    raw = np.zeros((block.n, k, d + params.covariances[0].size))
    for part in block.patterns:
        u = 1.0 if weight is None else weight[part.rows][:, :, None]
        raw[part.rows] = _raw(params, part, block, resp, u)
    return raw.reshape(block.n, -1)


def _raw(params: NormalParams, part: PatternRows, block: NormalBlock, resp: Array, weight: Array | float) -> Array:
    """Gradients in means and covariances, (rows, k, d + covariance size)."""
    seen, r = list(part.observed), resp[part.rows]
    precision = factored(params).precision
    u = (part.z + block.anchor[seen, None]).T[:, None, :] - params.means[:, seen]
    if precision.ndim == 2:
        e, spread = np.zeros((*r.shape, params.means.shape[1])), params.covariances.copy()
        e[:, :, seen] = u
        spread[:, seen] = 0.0
        curve = -0.5 * (precision - precision**2 * (weight * e**2 + spread))
        return np.asarray(r[:, :, None] * np.concatenate([weight * precision * e, curve], axis=2))
    b, spread = regression(params, part.observed)
    pe = np.einsum("kij,kjo,nko->nki", precision, b, u, optimize=True)
    inner = precision - precision @ spread @ precision
    curve = -0.5 * (inner - (weight * pe)[:, :, :, None] * pe[:, :, None, :])
    scores: Array = r[:, :, None] * np.concatenate([weight * pe, curve.reshape(*r.shape, -1)], axis=2)
    return scores


def to_free(params: NormalParams, means_entry: Entry, covariances_entry: Entry) -> Array:
    """d free coordinates' gradient / d raw gradient, (k (d + size), p): coordinates of means, then of covariances."""
    k, d = params.means.shape
    size = params.covariances[0].size
    rows = []
    for c in range(k):
        for j in range(d + size):
            means, covariances = np.zeros_like(params.means), np.zeros((k, size))
            if j < d:
                means[c, j] = 1.0
            else:
                covariances[c, j - d] = 1.0
            gradient = covariances.reshape(params.covariances.shape)
            if gradient.ndim == 3:
                gradient = 0.5 * (gradient + gradient.transpose(0, 2, 1))
            pulled = (means_entry.pull(params.means, means), covariances_entry.pull(params.covariances, gradient))
            rows.append(np.concatenate(pulled))
    return np.array(rows)
