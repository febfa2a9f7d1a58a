"""Unconstrained coordinates of the fourteen covariance structures, and the gradient in them.

A vector of ``count_free(code, k, d)`` real numbers, in this order, each part once (E) or component by component (V):

    codes                coordinates
    EII .. VVI           log volume; log shape
    EEE VVV              lower Cholesky factor L, Sigma = L L': log diagonal, then the entries below it, row by row
    VEE EVV              log volume; factor U of determinant one, Sigma = lambda U U': log diagonal, entries below it
    EVE VVE EEV VEV      log volume; log shape; turn x of the axes

A log shape, or log diagonal of U, has sum zero: its first d-1 entries are the coordinates. Axes are D = D0 R(x) with
the axes D0 of the base and Cayley's rotation R(x) = (I - X/2)^-1 (I + X/2), X skew with X_pq = x_pq above the diagonal,
so x = 0 at the base. Turns of half a circle about the base are outside the chart.

With T_g = df/dSigma_g, H_g = D' T_g D and variances v_g along the axes, at the base:

    df/dlog lambda = tr T_g Sigma_g                       df/dlog a_j = v_gj (H_g)_jj - v_gd (H_g)_dd
    df/dx_pq = 2 (H_g)_pq (v_gq - v_gp)                   df/dL = 2 T_g L,  df/dlog L_jj = L_jj df/dL_jj

    symbol     variable  shape               meaning
    Sigma_g    covs      (k, d) | (k, d, d)  diagonals for the codes ..I
    T_g        dcov      as covs             derivative by each entry, every entry counted on its own
    D0         axes      (k | 1, d, d)       axes of the base, one a column

Sources: Pinheiro and Bates (1996), Statistics and Computing 6:289 (Cholesky coordinates); Cayley (1846), see Golub and
Van Loan (2013), Matrix Computations, problem 2.5.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from estep.core.record import Array
from estep.families.covariance import CODES, CovarianceCode, count_free
from estep.families.covariance_axes import planes, principal, rotation, shared_axes


def pack(code: str, covs: Array, base: Array | None = None) -> Array:
    """Coordinates of ``covs`` in the chart about ``base`` (about ``covs`` themselves when it is None).

    Shapes: covs (k, d) for the codes ..I, else (k, d, d); the vector has ``count_free(code, k, d)`` entries.

    Raises
    ------
    ValueError
        When the axes of ``covs`` lie half a turn from those of ``base``.

    >>> pack("EEI", np.array([[1.0, np.e], [1.0, np.e]]))
    array([ 0.5, -0.5])
    """
    return _CHARTS[code].pack(CODES[code], covs, covs if base is None else base)


def unpack(code: str, vector: Array, base: Array) -> Array:
    """Covariances with coordinates ``vector`` in the chart about ``base``; ``unpack(code, pack(code, c), c)`` is ``c``.

    Raises
    ------
    ValueError
        When the vector has another length than ``count_free(code, k, d)``.

    >>> unpack("EEI", np.array([0.5, -0.5]), np.ones((2, 2))).round(6)
    array([[1.      , 2.718282],
           [1.      , 2.718282]])
    """
    k, d = base.shape[:2]
    free = count_free(code, k, d)
    if np.shape(vector) != (free,):
        raise ValueError(f"vector has shape {np.shape(vector)}; {k} covariances {code} of dimension {d} need ({free},)")
    return _CHARTS[code].unpack(CODES[code], vector, base)


def gradient(code: str, covs: Array, dcov: Array) -> Array:
    """Gradient at ``covs`` of a function f in the chart about ``covs``.

        df = sum_g sum_ij dcov_gij dSigma_gij  ->  df/dvector

    ``dcov`` is symmetric (k, d, d), or (k, d) for the codes ..I. Closed forms, O(k d^3).

    >>> gradient("EEI", np.ones((1, 2)), np.array([[3.0, 1.0]]))
    array([4., 2.])
    """
    return _CHARTS[code].gradient(CODES[code], covs, dcov)


@dataclasses.dataclass(frozen=True)
class Chart:
    """The three maps of one kind of coordinates."""

    pack: Callable[[CovarianceCode, Array, Array], Array]
    unpack: Callable[[CovarianceCode, Array, Array], Array]
    gradient: Callable[[CovarianceCode, Array, Array], Array]


def _kept(letter: str, values: Array) -> Array:
    """The rows that are coordinates: none, the first, or all components'."""
    return values[: {"I": 0, "E": 1}.get(letter, len(values))].ravel()


def _summed(letter: str, values: Array) -> Array:
    """Derivatives by the coordinates that ``_kept`` keeps: shared ones collect those of all components."""
    return _kept(letter, values.sum(axis=0, keepdims=True) if letter == "E" else values)


def _rows(letter: str, vector: Array, k: int, width: int) -> tuple[Array, Array]:
    """The next part of ``vector`` as (k, width) (zeros for an identity), and the rest of it."""
    rows = {"I": 0, "E": 1}.get(letter, k)
    part = vector[: rows * width].reshape(rows, width) if rows else np.zeros((1, width))
    return np.broadcast_to(part, (k, width)), vector[rows * width :]


def _closed(shape: Array) -> Array:
    """Log shapes (k, d) of sum zero from their first d-1 entries."""
    return np.concatenate([shape, -shape.sum(axis=1, keepdims=True)], axis=1)


# Diagonal: log volume, log shape


def _pack_diagonal(code: CovarianceCode, covs: Array, base: Array) -> Array:
    logs = np.log(covs)
    volume = logs.mean(axis=1, keepdims=True)
    return np.concatenate([_kept(code.volume, volume), _kept(code.shape, (logs - volume)[:, :-1])])


def _unpack_diagonal(code: CovarianceCode, vector: Array, base: Array) -> Array:
    k, d = base.shape
    volume, rest = _rows(code.volume, vector, k, 1)
    shape, _ = _rows(code.shape, rest, k, d - 1)
    return np.exp(volume + _closed(shape))


def _gradient_diagonal(code: CovarianceCode, covs: Array, dcov: Array) -> Array:
    slope = covs * dcov
    shape = slope[:, :-1] - slope[:, -1:]
    return np.concatenate([_summed(code.volume, slope.sum(axis=1, keepdims=True)), _summed(code.shape, shape)])


# Cholesky factor with its volume, or with determinant one


def _roots(covs: Array) -> Array:
    return np.asarray(np.linalg.cholesky(covs), dtype=np.float64)


def _split(roots: Array) -> tuple[Array, Array]:
    """Log diagonals (k, d) and entries below the diagonal (k, d(d-1)/2) of lower factors."""
    i, j = np.tril_indices(roots.shape[-1], -1)
    return np.log(np.einsum("gii->gi", roots)), roots[:, i, j]


def _join(logs: Array, below: Array) -> Array:
    """Lower factors (k, d, d): the inverse of ``_split``."""
    k, d = logs.shape
    roots = np.zeros((k, d, d))
    i, j = np.tril_indices(d, -1)
    roots[:, i, j] = below
    roots[:, np.arange(d), np.arange(d)] = np.exp(logs)
    return roots


def _pack_cholesky(code: CovarianceCode, covs: Array, base: Array) -> Array:
    return _kept(code.shape, np.concatenate(_split(_roots(covs)), axis=1))


def _unpack_cholesky(code: CovarianceCode, vector: Array, base: Array) -> Array:
    k, d = base.shape[:2]
    part, _ = _rows(code.shape, vector, k, d * (d + 1) // 2)
    roots = _join(part[:, :d], part[:, d:])
    return roots @ roots.swapaxes(1, 2)


def _gradient_cholesky(code: CovarianceCode, covs: Array, dcov: Array) -> Array:
    diagonal, below = _root_slopes(_roots(covs), dcov)
    return _summed(code.shape, np.concatenate([diagonal, below], axis=1))


def _root_slopes(roots: Array, dcov: Array) -> tuple[Array, Array]:
    """df by the log diagonal (k, d) and by the entries below it (k, d(d-1)/2) of Sigma = L L'."""
    slope = 2 * dcov @ roots
    i, j = np.tril_indices(roots.shape[-1], -1)
    return np.einsum("gii,gii->gi", slope, roots), slope[:, i, j]


def _unit_roots(covs: Array) -> tuple[Array, Array]:
    """Log volumes (k, 1) and Cholesky factors of determinant one (k, d, d)."""
    roots = _roots(covs)
    half = np.log(np.einsum("gii->gi", roots)).mean(axis=1)
    return 2 * half[:, None], roots * np.exp(-half)[:, None, None]


def _pack_unit_cholesky(code: CovarianceCode, covs: Array, base: Array) -> Array:
    volume, roots = _unit_roots(covs)
    logs, below = _split(roots)
    return np.concatenate([_kept(code.volume, volume), _kept(code.shape, np.concatenate([logs[:, :-1], below], axis=1))])


def _unpack_unit_cholesky(code: CovarianceCode, vector: Array, base: Array) -> Array:
    k, d = base.shape[:2]
    volume, rest = _rows(code.volume, vector, k, 1)
    part, _ = _rows(code.shape, rest, k, d - 1 + d * (d - 1) // 2)
    roots = _join(_closed(part[:, : d - 1]), part[:, d - 1 :])
    return np.exp(volume)[:, :, None] * (roots @ roots.swapaxes(1, 2))


def _gradient_unit_cholesky(code: CovarianceCode, covs: Array, dcov: Array) -> Array:
    volume, roots = _unit_roots(covs)
    diagonal, below = _root_slopes(roots, np.exp(volume)[:, :, None] * dcov)
    shape = np.concatenate([diagonal[:, :-1] - diagonal[:, -1:], below], axis=1)
    whole = np.einsum("gij,gij->g", dcov, covs)[:, None]
    return np.concatenate([_summed(code.volume, whole), _summed(code.shape, shape)])


# Axes: log volume, log shape, turn


def _axes(code: CovarianceCode, covs: Array) -> Array:
    """The axes of the structure: one set (1, d, d) when they are common, else each component's (k, d, d)."""
    return shared_axes(covs)[None] if code.orientation == "E" else principal(covs)[1]


def _variances(covs: Array, axes: Array) -> Array:
    return np.asarray(np.einsum("gjp,gjp->gp", covs @ axes, np.broadcast_to(axes, covs.shape)))


def _pack_axes(code: CovarianceCode, covs: Array, base: Array) -> Array:
    axes = _axes(code, covs)
    d = covs.shape[1]
    turn = np.zeros((len(axes), d * (d - 1) // 2))
    if base is not covs:
        axes, turn = _matched(axes, _axes(code, base))
    logs = np.log(_variances(covs, axes))
    volume = logs.mean(axis=1, keepdims=True)
    parts = _kept(code.volume, volume), _kept(code.shape, (logs - volume)[:, :-1]), turn.ravel()
    return np.concatenate(parts)


def _matched(axes: Array, base: Array) -> tuple[Array, Array]:
    """``axes`` in the order and with the signs nearest to those of ``base``, and their turn from it (., d(d-1)/2).

    One order for all components, as they may share a shape.
    """
    overlap = ((base.swapaxes(1, 2) @ axes) ** 2).sum(axis=0)
    d = len(overlap)
    order = np.zeros(d, dtype=np.intp)
    for _ in range(d):
        i, p = divmod(int(np.argmax(overlap)), d)
        order[i] = p
        overlap[i, :] = overlap[:, p] = -1.0
    axes = axes[:, :, order]
    axes = axes * np.where(np.einsum("gji,gji->gi", base, axes) < 0, -1.0, 1.0)[:, None, :]
    relative = base.swapaxes(1, 2) @ axes
    for g in np.flatnonzero(np.linalg.det(relative) < 0):
        i = int(np.argmin(np.abs(np.diagonal(relative[g]))))
        axes[g, :, i] *= -1.0
        relative[g, :, i] *= -1.0
    plus = relative + np.eye(d)
    if np.linalg.cond(plus).max() > 1e8:
        raise ValueError("axes lie half a turn from those of the base; take a nearer base, such as the value itself")
    skew = 2 * np.linalg.solve(plus, relative - np.eye(d))
    p_axis, q_axis = planes(d)
    return axes, (skew[:, p_axis, q_axis] - skew[:, q_axis, p_axis]) / 2


def _unpack_axes(code: CovarianceCode, vector: Array, base: Array) -> Array:
    k, d = base.shape[:2]
    volume, rest = _rows(code.volume, vector, k, 1)
    shape, rest = _rows(code.shape, rest, k, d - 1)
    axes = _axes(code, base)
    turned = axes @ rotation(rest.reshape(len(axes), d * (d - 1) // 2), d)
    covs = (turned * np.exp(volume + _closed(shape))[:, None, :]) @ turned.swapaxes(1, 2)
    return np.asarray((covs + covs.swapaxes(1, 2)) / 2)


def _gradient_axes(code: CovarianceCode, covs: Array, dcov: Array) -> Array:
    axes = _axes(code, covs)
    v = _variances(covs, axes)
    inside = axes.swapaxes(1, 2) @ dcov @ axes
    slope = np.einsum("gii->gi", inside) * v
    p, q = planes(covs.shape[1])
    turn = 2 * inside[:, p, q] * (v[:, q] - v[:, p])
    return np.concatenate(
        [
            _summed(code.volume, slope.sum(axis=1, keepdims=True)),
            _summed(code.shape, slope[:, :-1] - slope[:, -1:]),
            _summed(code.orientation, turn),
        ]
    )


_DIAGONAL = Chart(_pack_diagonal, _unpack_diagonal, _gradient_diagonal)
_CHOLESKY = Chart(_pack_cholesky, _unpack_cholesky, _gradient_cholesky)
_UNIT_CHOLESKY = Chart(_pack_unit_cholesky, _unpack_unit_cholesky, _gradient_unit_cholesky)
_AXES = Chart(_pack_axes, _unpack_axes, _gradient_axes)

_CHARTS: dict[str, Chart] = {
    **dict.fromkeys(("EII", "VII", "EEI", "VEI", "EVI", "VVI"), _DIAGONAL),
    **dict.fromkeys(("EEE", "VVV"), _CHOLESKY),
    **dict.fromkeys(("VEE", "EVV"), _UNIT_CHOLESKY),
    **dict.fromkeys(("EVE", "VVE", "EEV", "VEV"), _AXES),
}
