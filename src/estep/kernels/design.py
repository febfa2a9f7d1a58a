"""Design matrices in coordinates where columns are uncorrelated and of unit size, so that no offset or unit costs digits.

    z_i = (1, W'(x_i - c)),   sum_i w_i W'(x_i - c)(x_i - c)' W = N I        (no intercept: c = 0)

A linear predictor ``b + beta' x`` is ``theta' z`` with ``theta = T (b, beta)``, T = [[1, c'], [0, W^{-1}]]. The reach is the
largest length of W'(x_i - c): it bounds how far any predictor can move when theta does.

    E-step, M-step     none: a map of covariates that is made once, before the first pass

symbol   variable   shape
c        centre     (p,)      column means, or zeros without an intercept
W        whiten     (p, p)    upper triangular
W^{-1}   unwhiten   (p, p)
R        reach      ()        max_i |W'(x_i - c)|

Columns that are collinear (smallest eigenvalue of their correlations below COLLINEAR) are refused by name, unless a ridge
makes up for it.

Sources: Golub & Van Loan (2013), Matrix Computations, section 5.3; Belsley, Kuh & Welsch (1980), Regression Diagnostics.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from estep.core.record import Array, record

COLLINEAR = 1e-13
FLAT = 1e-13


@record
class Design:
    """The map from covariates to whitened features; see the module's table."""

    centre: Array
    whiten: Array
    unwhiten: Array
    reach: float


@record
class RowMoments:
    """Weight, sum and cross-products of rows about a point."""

    weight: float
    total: Array
    cross: Array


@dataclasses.dataclass(frozen=True)
class Longest:
    """Largest length of a row; adds as such."""

    length: float

    def __add__(self, other: Longest) -> Longest:
        return Longest(max(self.length, other.length))


Read = Callable[[Any], tuple[Array, Array]]
"""Rows (n, d) of a chunk and their weights (n,)."""


def moments(data: Any, read: Read, about: Array) -> RowMoments:
    """Weighted moments of all rows about a point; rows of weight 0 count for nothing."""

    def part(chunk: Any) -> RowMoments:
        rows, weight = read(chunk)
        z = rows - about
        heavy = z * weight[:, None]
        return RowMoments(float(weight.sum()), heavy.sum(axis=0), heavy.T @ z)

    found: RowMoments = data.sum(part)
    return found


def centred(data: Any, read: Read, d: int) -> tuple[float, Array, Array]:
    """Total weight, mean (d,) and covariance (d, d) of the rows, exact whatever their offset."""
    guess = _guess(data, read, d)
    rough = moments(data, read, guess)
    weight = max(rough.weight, np.finfo(float).tiny)
    mean = guess + rough.total / weight
    fine = moments(data, read, mean)
    shift = fine.total / weight
    return rough.weight, mean + shift, fine.cross / weight - np.outer(shift, shift)


def _guess(data: Any, read: Read, d: int) -> Array:
    """The mean of the first chunk that has rows."""
    for chunk in data.chunks():
        rows, weight = read(chunk)
        if (weight > 0).any():
            return np.asarray(rows[weight > 0].mean(axis=0))
    return np.zeros(d)


def find_design(
    mean: Array, covariance: Array, weight: float, *, intercept: bool, ridge: float, names: Sequence[str], argument: str
) -> Design:
    """The whitening map of columns with these moments; its reach is set by ``with_reach``.

    Raises ValueError naming the columns that are constant or collinear (unless ``ridge`` > 0).
    """
    p = mean.size
    if p == 0:
        return Design(mean, np.empty((0, 0)), np.empty((0, 0)), 0.0)
    second = covariance if intercept else covariance + np.outer(mean, mean)
    size = np.sqrt(np.maximum(np.diagonal(second), 0.0))
    flat = size <= FLAT * np.abs(mean) if intercept else size <= 0
    if flat.any() and ridge == 0:
        _refuse_flat(int(np.flatnonzero(flat)[0]), intercept, names, argument)
    size = np.where(flat, np.maximum(np.abs(mean), 1.0), size)
    scaled = np.where(flat[:, None] | flat, 0.0, second / np.outer(size, size))
    if ridge > 0:
        scaled = scaled + np.diag(np.clip(ridge / (max(weight, 1.0) * size**2), 1e-8, 1.0))
    values, vectors = np.linalg.eigh(scaled)
    if values[0] <= COLLINEAR * p:
        _refuse_collinear(vectors[:, values <= COLLINEAR * p], weight, intercept, names, argument)
    lower = np.linalg.cholesky(scaled)
    unwhiten = np.ascontiguousarray(lower.T * size)
    whiten = np.ascontiguousarray(np.linalg.solve(lower, np.eye(p)).T / size[:, None])
    return Design(mean if intercept else np.zeros(p), whiten, unwhiten, 0.0)


def _refuse_flat(j: int, intercept: bool, names: Sequence[str], argument: str) -> None:
    why = "is constant, as the intercept is" if intercept else "is zero in every row"
    remedy = "drop it (or set intercept=False)" if intercept else "drop it"
    raise ValueError(f"{argument}: column {names[j]!r} {why}, so its coefficient has no unique value; {remedy}")


def _refuse_collinear(null: Array, weight: float, intercept: bool, names: Sequence[str], argument: str) -> None:
    p = len(names)
    if weight < p + intercept:
        raise ValueError(
            f"{argument} has {p} columns{' and an intercept' if intercept else ''} but only {weight:g} rows, so coefficients "
            "have no unique values; drop columns, bring more rows, or set ridge > 0"
        )
    share = np.abs(null).max(axis=1)
    involved = [repr(names[j]) for j in np.flatnonzero(share > 0.05 * share.max()).tolist()]
    what = "constant" if intercept else "zero"
    raise ValueError(
        f"{argument}: columns {', '.join(involved)} are collinear (a weighted sum of them is {what} in every row), so their "
        "coefficients have no unique values; drop one of them, or set ridge > 0"
    )


def with_reach(design: Design, data: Any, read: Read) -> Design:
    """``design`` with the largest length of a whitened row of positive weight."""

    def part(chunk: Any) -> Longest:
        rows, weight = read(chunk)
        z = (rows[:, : design.centre.size] - design.centre) @ design.whiten
        return Longest(float(np.sqrt(np.einsum("ij,ij->i", z, z)[weight > 0].max(initial=0.0))))

    return dataclasses.replace(design, reach=float(data.sum(part).length))


def features(design: Design, x: Array) -> Array:
    """z of every row, (n, p) -> (n, 1 + p).

    >>> design = Design(np.array([1.0]), np.array([[0.5]]), np.array([[2.0]]), 1.0)
    >>> features(design, np.array([[3.0], [-1.0]])).tolist()
    [[1.0, 1.0], [1.0, -1.0]]
    """
    out = np.empty((len(x), 1 + x.shape[1]))
    out[:, 0] = 1.0
    out[:, 1:] = (x - design.centre) @ design.whiten
    return out


def inner(design: Design, phi: Array) -> Array:
    """theta = T phi of coefficients ``phi = (b, beta)`` along the last axis."""
    out = np.empty(phi.shape)
    out[..., 0] = phi[..., 0] + phi[..., 1:] @ design.centre
    out[..., 1:] = phi[..., 1:] @ design.unwhiten.T
    return out


def outer(design: Design, theta: Array) -> Array:
    """phi = T^{-1} theta; the inverse of ``inner``."""
    out = np.empty(theta.shape)
    out[..., 1:] = theta[..., 1:] @ design.whiten.T
    out[..., 0] = theta[..., 0] - out[..., 1:] @ design.centre
    return out


def pulled(design: Design, gradient: Array) -> Array:
    """T' g: the gradient in phi from the gradient in theta, along the last axis."""
    out = np.empty(gradient.shape)
    out[..., 0] = gradient[..., 0]
    out[..., 1:] = gradient[..., :1] * design.centre + gradient[..., 1:] @ design.unwhiten
    return out
