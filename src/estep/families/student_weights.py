"""A t row is a normal row whose precision was multiplied by a hidden weight: densities and expected statistics.

    u ~ Gamma(nu/2, nu/2),   x | u ~ N(mu, Sigma / u)        hence, of the o observed entries of x,
    log t = rise(nu/2, o/2) - 1/2 (o log 2 pi + log|Sigma_oo|) - (nu + o)/2 log(1 + delta / nu)
    delta = (x_o - mu_o)' Sigma_oo^-1 (x_o - mu_o)

E-step   u | x_o ~ Gamma((nu + o)/2, (nu + delta)/2):   E[u] = (nu + o) / (nu + delta)
         E[log u] - E[u] + 1 = -gap((nu + o)/2) + log(1 + t) - t,   t = (o - delta) / (nu + delta)
         missing entries: E[u x x'] has the normal's regression on x_o weighted by E[u], and its covariance weighted by 1

symbol          variable        shape
r E[u] (1, x - a, (x - a)(x - a)')      moments.features     weighted moments about the normal's anchor
r               count, moments.logdet   (k,)
r E[log u]      log_weight      (k,)
r (E[log u] - E[u] + 1)         excess  (k,)   never above zero; small where weights are near one, so kept on its own

Everything stays exact for nu to infinity, where E[u] = 1 and the law is normal.

Sources: Liu & Rubin (1995), Statistica Sinica 5:19; Lange, Little & Taylor (1989), JASA 84:881.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from estep.core.memo import remembered
from estep.core.record import Array, record
from estep.families.gamma_shape import gap
from estep.families.log_gamma import rise
from estep.families.normal_density import (
    Marginal,
    NormalBlock,
    NormalParams,
    PatternRows,
    cancels,
    completed,
    marginal,
    pattern_logs,
    summed,
)
from estep.families.normal_moments import NormalStats, width


@record
class StudentParams:
    """``means`` (k, d), ``scales`` (k, d, d) or (k, d) for diagonal structures, ``dofs`` (k,)."""

    means: Array
    scales: Array
    dofs: Array


@record
class StudentStats:
    """Weighted moments and what is learned about the weights; see the module's table."""

    moments: NormalStats
    count: Array
    log_weight: Array
    excess: Array


@dataclasses.dataclass(frozen=True)
class Weights:
    """Of the rows of one pattern: E[u], E[log u] and E[log u] - E[u] + 1, (k, rows) each."""

    mean: Array
    log: Array
    excess: Array


def as_normal(params: StudentParams) -> NormalParams:
    """The normal law of rows of weight one."""
    return remembered(params, "normal", lambda: NormalParams(params.means, params.scales))  # type: ignore[no-any-return]


def distances(law: Marginal, part: PatternRows, lost: bool) -> Array:
    """Delta (k, rows)."""
    constant = len(part.observed) * math.log(2 * math.pi) + law.logdet
    return np.maximum(-2.0 * pattern_logs(law, part, lost) - constant[:, None], 0.0)


def weights_of(dofs: Array, o: int, delta: Array) -> Weights:
    """The posterior of the hidden weight given ``o`` observed entries at distance ``delta`` (k, rows)."""
    nu = dofs[:, None]
    mean = (1.0 + o / nu) / (1.0 + delta / nu)
    t = (o - delta) / (nu + delta)
    informed = gap(0.5 * (dofs + o))[:, None]
    return Weights(mean, np.log(mean) - informed, np.log1p(t) - t - informed)


def log_density(params: StudentParams, block: NormalBlock, anchor: Array) -> Array:
    """Log densities of the observed entries under every component, (n, k); 0 where nothing is observed."""
    normal = as_normal(params)
    lost, nu = cancels(normal, anchor), params.dofs
    out = np.zeros((len(nu), block.n))
    for part in block.patterns:
        o = len(part.observed)
        if o:
            law = marginal(normal, anchor, part.observed)
            constant = rise(0.5 * nu, 0.5 * o) - 0.5 * (o * math.log(2 * math.pi) + law.logdet)
            tail = 0.5 * (nu + o)[:, None] * np.log1p(distances(law, part, lost) / nu[:, None])
            out[:, part.rows] = constant[:, None] - tail
    return out.T


def expected_stats(params: StudentParams, block: NormalBlock, resp: Array, anchor: Array) -> StudentStats:
    """Expected statistics of whole rows and their weights, about the anchor of this pass."""
    normal = as_normal(params)
    (k, d), diagonal, lost = params.means.shape, params.scales.ndim == 2, cancels(normal, anchor)
    centre = params.means if lost else np.tile(anchor, (k, 1))
    features, log_weight, excess = np.zeros((k, width(d, diagonal))), np.zeros(k), np.zeros(k)
    for part in block.patterns:
        r = resp.T if isinstance(part.rows, slice) else resp.T[:, part.rows]
        law = marginal(normal, anchor, part.observed)
        u = weights_of(params.dofs, len(part.observed), distances(law, part, lost))
        sums = summed(law, part, r * u.mean, lost)
        if len(part.observed) < d:
            sums = completed(normal, sums, part.observed, params.means - centre, diagonal, r.sum(axis=1))
        features += sums
        log_weight += (r * u.log).sum(axis=1)
        excess += (r * u.excess).sum(axis=1)
    count = resp.sum(axis=0)
    return StudentStats(NormalStats(features, count, centre), count, log_weight, excess)


def row_weights(params: StudentParams, block: NormalBlock, anchor: Array) -> tuple[Array, Array]:
    """Of every row, E[u] and E[log u] - E[u] + 1, (n, k) each."""
    normal = as_normal(params)
    lost, k = cancels(normal, anchor), len(params.dofs)
    mean, excess = np.empty((block.n, k)), np.empty((block.n, k))
    for part in block.patterns:
        delta = distances(marginal(normal, anchor, part.observed), part, lost)
        u = weights_of(params.dofs, len(part.observed), delta)
        mean[part.rows], excess[part.rows] = u.mean.T, u.excess.T
    return mean, excess


def profile(params: StudentParams, block: NormalBlock, resp: Array, anchor: Array, dofs: Array) -> Array:
    """``sum_i r_ik log t(x_i; mu_k, Sigma_k, nu)`` for each candidate nu in ``dofs`` (m, k), less what nu does not move."""
    normal = as_normal(params)
    lost, out = cancels(normal, anchor), np.zeros(dofs.shape)
    for part in block.patterns:
        if o := len(part.observed):
            r = resp.T if isinstance(part.rows, slice) else resp.T[:, part.rows]
            delta, constant = distances(marginal(normal, anchor, part.observed), part, lost), rise(0.5 * dofs, 0.5 * o)
            for j, nu in enumerate(dofs):
                tail = (r * np.log1p(delta / nu[:, None])).sum(axis=1)
                out[j] += r.sum(axis=1) * constant[j] - 0.5 * (nu + o) * tail
    return out
