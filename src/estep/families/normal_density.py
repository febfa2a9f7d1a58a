"""Log densities and expected statistics of normal rows, observed entries only, one matrix product each.

With z = x - a about a common anchor a, m_k = mu_k - a and precision P_k, the log density is linear in the features of z:

    log N(x; mu_k, Sigma_k) = eta_k . f(z),   eta_k = (c_k, P_k m_k, -P_k/2 off-diagonal doubled)
    c_k = -1/2 (d log 2 pi + log |Sigma_k| + m_k' P_k m_k)

so an E-step over a block is ``eta @ F`` and its statistics are ``resp' @ F'``. The terms are as large as

    kappa = max_k |m_k|' |P_k| |m_k| + s_k' |P_k| s_k,    s_k the standard deviations

and cancel to order one; when machine epsilon times kappa exceeds LOST the component-anchored path is taken: residuals
x - mu_k whitened by the Cholesky factor, moments about mu_k.

Rows with missing entries are grouped by pattern. With o observed, B = Sigma_{.o} Sigma_oo^{-1}, u = z_o - m_o:

    E[z | z_o] = m + B u,   Cov = C = Sigma - B Sigma_{o.}
    sum r E[z]    = N m + B U1                        U1 = sum r u
    sum r E[z z'] = N (m m' + C) + m (B U1)' + (B U1) m' + B U2 B'      U2 = sum r u u'

Sources: Little & Rubin (2002) section 11.2; Ghahramani & Jordan (1994), NIPS 6.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.memo import remembered
from estep.core.record import Array, record
from estep.families.normal_moments import NormalStats, about, features_of, join, split, upper, width

LOST = 1e-11
COMPILED_WIDTH, COMPILED_VALUES = 3, 1 << 16
_EPS = float(np.finfo(float).eps)


@record
class NormalParams:
    """``means`` (k, d) and ``covariances`` (k, d, d), or variances (k, d) for diagonal structures."""

    means: Array
    covariances: Array


@dataclasses.dataclass(frozen=True)
class PatternRows:
    """Rows of a block that observe the same columns: ``z`` is (observed, rows) about the anchor."""

    observed: tuple[int, ...]
    rows: NDArray[np.intp] | slice
    lifted: Array  # (1 + observed, rows): a row of ones above z
    diagonal: bool

    @property
    def z(self) -> Array:
        """The observed columns about the anchor, (observed, rows)."""
        return self.lifted[1:]

    @cached_property
    def features(self) -> Array:
        """f(z), (width, rows)."""
        return features_of(self.z, self.diagonal)

    @property
    def large(self) -> bool:
        """Whether the compiled kernels, which never write the features down, take over; by shapes alone."""
        o, n = self.z.shape
        return not self.diagonal and o >= COMPILED_WIDTH and n * width(o, False) >= COMPILED_VALUES


@dataclasses.dataclass(frozen=True)
class NormalBlock:
    """An encoded block: its rows by missing pattern."""

    n: int
    patterns: tuple[PatternRows, ...]
    anchor: Array


@dataclasses.dataclass(frozen=True)
class Marginal:
    """The law of the observed columns of one pattern, for every component."""

    offset: Array  # m_k, (k, o)
    whiten: Array  # L^-1, (k, o, o) or (k, o)
    logdet: Array  # (k,)
    eta: Array  # (k, width)
    kappa: float


def encode(x: Array, anchor: Array, diagonal: bool) -> NormalBlock:
    """Group the rows of a block (n, d) by missing pattern and compute their features."""
    x = np.asarray(x, dtype=float)
    missing = np.isnan(x)
    if not missing.any():
        return NormalBlock(len(x), (_lift(x, tuple(range(x.shape[1])), slice(0, len(x)), anchor, diagonal),), anchor)
    patterns = []
    for rows in _alike(missing):
        seen = np.flatnonzero(~missing[rows[0]])
        patterns.append(_lift(x[np.ix_(rows, seen)], tuple(seen.tolist()), rows, anchor[seen], diagonal))
    return NormalBlock(len(x), tuple(patterns), anchor)


def _alike(missing: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """The rows of every missing pattern, in order; up to 64 columns make one integer, which sorts faster than rows do.

    >>> [rows.tolist() for rows in _alike(np.array([[True, False], [False, False], [True, False]]))]
    [[1], [0, 2]]
    """
    n, d = missing.shape
    if d > 64:
        key = np.unique(missing, axis=0, return_inverse=True)[1].reshape(n)
    else:
        bytes_of = np.zeros((n, 2 if d <= 16 else 8), dtype=np.uint8)
        bytes_of[:, : -(-d // 8)] = np.packbits(missing, axis=1)
        key = bytes_of.view(">u2" if d <= 16 else ">u8").reshape(n).astype(np.uint16 if d <= 16 else np.uint64)
    order = np.argsort(key, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(key[order])) + 1)


def _lift(x: Array, observed: tuple[int, ...], rows: NDArray[np.intp] | slice, anchor: Array, diagonal: bool) -> PatternRows:
    lifted = np.empty((1 + x.shape[1], len(x)))
    lifted[0] = 1.0
    np.subtract(x.T, anchor[:, None], out=lifted[1:])
    return PatternRows(observed, rows, lifted, diagonal)


def factor(covariances: Array) -> tuple[Array, Array]:
    """Whitening factors L^-1 (Sigma = L L') and log determinants; raises Collapsed where Sigma is not positive definite."""
    if covariances.ndim == 2:
        bad = np.flatnonzero(~(covariances > 0).all(axis=1))
        if bad.size:
            raise Collapsed(int(bad[0]), "its variance fell to zero")
        return 1.0 / np.sqrt(covariances), np.log(covariances).sum(axis=1)
    try:
        lower = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        raise Collapsed(_first_singular(covariances), "its covariance became singular") from None
    diagonals = np.diagonal(lower, axis1=1, axis2=2)
    if not np.isfinite(diagonals).all():
        raise Collapsed(int(np.flatnonzero(~np.isfinite(diagonals).all(axis=1))[0]), "its covariance is not finite")
    return np.linalg.inv(lower), 2.0 * np.log(diagonals).sum(axis=1)


def _first_singular(covariances: Array) -> int:
    for k, covariance in enumerate(covariances):
        try:
            np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return k
    return 0


@dataclasses.dataclass(frozen=True)
class Factors:
    """Of every covariance: L^-1 (Sigma = L L'), log determinant and inverse; elementwise for diagonal structures."""

    whiten: Array
    logdet: Array
    precision: Array


def factored(params: NormalParams) -> Factors:
    """The factors of the covariances, computed once; raises Collapsed."""
    return remembered(params, "factors", lambda: _factors(params.covariances))  # type: ignore[no-any-return]


def _factors(covariances: Array) -> Factors:
    whiten, logdet = factor(covariances)
    return Factors(whiten, logdet, whiten**2 if whiten.ndim == 2 else whiten.transpose(0, 2, 1) @ whiten)


def marginal(params: NormalParams, anchor: Array, observed: tuple[int, ...]) -> Marginal:
    """The law of the ``observed`` columns about ``anchor``; computed once a pass."""
    return remembered(params, ("marginal", observed, anchor.tobytes()), lambda: _marginal(params, anchor, observed))  # type: ignore[no-any-return]


def _marginal(params: NormalParams, anchor: Array, observed: tuple[int, ...]) -> Marginal:
    seen = list(observed)
    o, whole = len(seen), len(seen) == anchor.size
    offset = (params.means if whole else params.means[:, seen]) - (anchor if whole else anchor[seen])
    diagonal = params.covariances.ndim == 2
    covariance = params.covariances
    if not whole:
        covariance = covariance[:, seen] if diagonal else covariance[:, seen][:, :, seen]
    law = factored(params) if whole else _factors(covariance)
    precision = law.precision
    if diagonal:
        linear = offset * precision
        kappa = float((offset * linear).sum(axis=1).max(initial=0.0)) + o
        quadratic = -0.5 * precision
    else:
        linear = (precision @ offset[:, :, None])[:, :, 0]
        extent = np.stack([np.abs(offset), np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))], axis=1)
        kappa = float(((extent @ np.abs(precision)) * extent).sum(axis=(1, 2)).max(initial=0.0))
        i, j, halves = _halves(o)
        quadratic = precision[:, i, j] * halves
    constant = -0.5 * (o * math.log(2 * math.pi) + law.logdet + (offset * linear).sum(axis=1))
    eta = np.concatenate([constant[:, None], linear, quadratic], axis=1)
    return Marginal(offset, law.whiten, law.logdet, eta, kappa)


@cache
def _halves(d: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    i, j = upper(d)
    return i, j, np.where(i == j, -0.5, -1.0)


def cancels(params: NormalParams, anchor: Array) -> bool:
    """Whether the common anchor would lose digits, so that each component takes its own."""
    whole = marginal(params, anchor, tuple(range(anchor.size)))
    return _EPS * whole.kappa > LOST


def log_density(params: NormalParams, block: NormalBlock, anchor: Array) -> Array:
    """Log densities of the observed entries under every component, (n, k)."""
    k, lost = len(params.means), cancels(params, anchor)
    if len(block.patterns) == 1 and isinstance(block.patterns[0].rows, slice):
        return pattern_logs(marginal(params, anchor, block.patterns[0].observed), block.patterns[0], lost).T
    out = np.zeros((k, block.n))
    for part in block.patterns:
        out[:, part.rows] = pattern_logs(marginal(params, anchor, part.observed), part, lost)
    return out.T


def pattern_logs(law: Marginal, part: PatternRows, lost: bool) -> Array:
    """Log densities (k, rows) of the rows of one pattern."""
    if not lost:
        if part.large:
            from estep.kernels.quadratic import quadratic_forms

            return quadratic_forms(part.lifted, law.eta)
        return law.eta @ part.features
    out = np.empty((len(law.eta), part.z.shape[1]))
    for k, (m, w) in enumerate(zip(law.offset, law.whiten, strict=True)):
        residual = part.z - m[:, None]
        whitened = w @ residual if w.ndim == 2 else w[:, None] * residual
        out[k] = -0.5 * (len(m) * math.log(2 * math.pi) + law.logdet[k] + np.einsum("ij,ij->j", whitened, whitened))
    return out


def expected_stats(params: NormalParams, block: NormalBlock, resp: Array, anchor: Array) -> NormalStats:
    """Expected moments of whole rows given their observed entries, about the anchor of this pass."""
    diagonal = params.covariances.ndim == 2
    lost = cancels(params, anchor)
    centre = (
        params.means
        if lost
        else remembered(params, ("anchors", anchor.tobytes()), lambda: np.tile(anchor, (len(params.means), 1)))
    )
    total = np.zeros((len(params.means), width(anchor.size, diagonal)))
    for part in block.patterns:
        r = resp.T if isinstance(part.rows, slice) else resp.T[:, part.rows]
        sums = summed(marginal(params, anchor, part.observed), part, r, lost)
        whole = len(part.observed) == anchor.size
        total += sums if whole else completed(params, sums, part.observed, params.means - centre, diagonal)
    return NormalStats(total, total[:, 0].copy(), centre)


def summed(law: Marginal, part: PatternRows, r: Array, lost: bool) -> Array:
    """Features of the observed columns of one pattern, (k, width), weighted by ``r`` (k, rows)."""
    if lost:
        residuals = (dataclasses.replace(part, lifted=part.lifted - np.append(0.0, m)[:, None]) for m in law.offset)
        return np.concatenate([_summed(residual, rk[None]) for residual, rk in zip(residuals, r, strict=True)])
    return _summed(part, r)


def _summed(part: PatternRows, r: Array) -> Array:
    """``r`` F', every feature summed in the same order of rows, so that nearly equal columns lose the same digits."""
    if part.large:
        from estep.kernels.quadratic import quadratic_sums

        return quadratic_sums(part.lifted, r)
    return r @ part.features.T


def completed(
    params: NormalParams, sums: Array, observed: tuple[int, ...], m: Array, diagonal: bool, hidden: Array | None = None
) -> Array:
    """Moments of whole rows from those of their observed part; ``m`` (k, d) are the means about the pass's anchor.

    ``hidden`` (k,) weighs the covariance of the missing entries where it is not the rows' own weight (scale mixtures).
    """
    seen = list(observed)
    count, first, second = split(sums, len(seen), diagonal)
    hidden = count if hidden is None else hidden
    u1, u2 = about(count, first, second, m[:, seen])
    if diagonal:
        total = m * count[:, None]
        total[:, seen] += u1
        square = count[:, None] * m**2 + hidden[:, None] * params.covariances
        square[:, seen] = second
        return join(count, total, square)
    b, spread = regression(params, observed)
    moved = (b @ u1[:, :, None])[:, :, 0]
    cross = m[:, :, None] * moved[:, None, :]
    square = count[:, None, None] * (m[:, :, None] * m[:, None, :]) + hidden[:, None, None] * spread
    square = square + cross + cross.transpose(0, 2, 1) + b @ u2 @ b.transpose(0, 2, 1)
    return join(count, count[:, None] * m + moved, square)


def regression(params: NormalParams, observed: tuple[int, ...]) -> tuple[Array, Array]:
    """B = Sigma_{.o} Sigma_oo^{-1} (k, d, o) and C = Sigma - B Sigma_{o.} (k, d, d) for full covariances."""
    return remembered(params, ("regression", observed), lambda: _regression(params, observed))  # type: ignore[no-any-return]


def _regression(params: NormalParams, observed: tuple[int, ...]) -> tuple[Array, Array]:
    seen, d = list(observed), params.means.shape[1]
    hidden = [j for j in range(d) if j not in observed]
    sigma = params.covariances
    b = np.zeros((len(sigma), d, len(seen)))
    b[:, seen, range(len(seen))] = 1.0
    spread = np.zeros_like(sigma)
    cross = sigma[:, hidden][:, :, seen]
    b[:, hidden] = np.linalg.solve(sigma[:, seen][:, :, seen], cross.transpose(0, 2, 1)).transpose(0, 2, 1)
    inner = sigma[:, hidden][:, :, hidden] - b[:, hidden] @ cross.transpose(0, 2, 1)
    spread[np.ix_(range(len(sigma)), hidden, hidden)] = 0.5 * (inner + inner.transpose(0, 2, 1))
    return b, spread
