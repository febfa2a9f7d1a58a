"""Axes common to several scatter matrices: the M-step of EVE and VVE.

With M_g = D' W_g D and v_gj = (M_g)_jj the best volumes and shapes for given axes D are closed forms, and what is left
to minimise over the orthogonal matrices is

    VVE:  f(D) = sum_g n_g sum_j log v_gj
    EVE:  f(D) = N d log sum_g (prod_j v_gj)^(1/d)

Turn the axes by exp(X), X skew, x_pq = X_pq for p < q. With u_g = n_g (VVE) or N times the share of g in the sum (EVE):

    df/dx_pq = 2 sum_g u_g (M_g)_pq (1/v_gq - 1/v_gp)
    d2f/dx_pq^2 ~ 2 sum_g u_g (v_gp - v_gq)^2 / (v_gp v_gq)        (exact where the M_g are diagonal)

From good axes a few quasi-Newton steps in these coordinates, scaled by that curvature, reach the optimum to rounding.
Without any, plane rotations are tried first from several starts: in the plane (p, q) the product v_p v_q of group g is
a_g - b_g cos(t - t_g) in t = four times the angle, so each plane is searched over its whole circle.

    symbol  variable  shape      meaning
    W_g     scatter   (k, d, d)  weighted sums of squares and products
    n_g     counts    (k,)       effective numbers of observations
    D       axes      (d, d)     common axes, one a column
    x       turn      (d(d-1)/2,)  angles of an infinitesimal rotation, radians

Sources: Flury and Gautschi (1986), SIAM J. Sci. Stat. Comput. 7:169 (plane rotations, VVE); Celeux and Govaert (1995),
section 3; Browne and McNicholas (2014), Adv. Data Anal. Classif. 8:217; Nocedal and Wright (2006), algorithm 7.4.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.record import Array

STEPS = 500  # cap on quasi-Newton steps; a warm start needs 3 to 10
MEMORY = 8  # pairs of steps and gradient changes remembered
SWEEPS = 6  # cap on sweeps of plane rotations a start
ROTATIONS = 400  # cap on plane rotations a start: in high dimension fewer sweeps, from d = 29 none
STARTS = 6  # groups whose own axes are tried
_CIRCLE = np.linspace(0.0, 2 * np.pi, 33)[:-1]

UNLIKE = 1e-8


def common_axes(equal_volume: bool, scatter: Array, counts: Array, start: Array | None = None) -> Array:
    """Axes (d, d) that minimise f over rotations of ``start``, or over several starts when there is none.

    Never returns axes with f above its value at ``start``.

    Raises
    ------
    Collapsed
        When a component has no scatter along one of the axes.

    >>> turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    >>> scatter = np.stack([turn @ np.diag([4.0, 1.0]) @ turn.T, turn @ np.diag([1.0, 9.0]) @ turn.T])
    >>> axes = common_axes(False, scatter, np.array([10.0, 20.0]))
    >>> bool(np.allclose(axes.T @ scatter[0] @ axes, np.diag([4.0, 1.0])))
    True
    """
    if start is not None:
        return _descend(equal_volume, scatter, counts, start)[1]
    turned = [_sweep(equal_volume, scatter, counts, axes) for axes in _starts(scatter, counts)]
    turned.sort(key=lambda found: found[0])
    distinct = [found for i, found in enumerate(turned) if i == 0 or found[0] > turned[i - 1][0] + 1e-6 * counts.sum()]
    polished = [_descend(equal_volume, scatter, counts, axes) for _, axes in distinct[:3]]
    return min(polished, key=lambda found: found[0])[1]


def principal(covs: Array) -> tuple[Array, Array]:
    """Eigenvalues >= 0 in increasing order (k, d) and axes (k, d, d).

    Where columns are in unlike units the small ones are read off the singular values of the Cholesky factor, which keeps
    digits that the eigenvalues of the matrix itself have lost.
    """
    lengths, axes = np.linalg.eigh(covs)
    if (lengths[:, 0] < UNLIKE * lengths[:, -1]).any():
        try:
            axes, roots, _ = np.linalg.svd(np.linalg.cholesky(covs))
            lengths, axes = (roots**2)[:, ::-1], axes[:, :, ::-1]
        except np.linalg.LinAlgError:
            return np.maximum(lengths, 0.0), axes
    return np.maximum(lengths, 0.0), axes


def shared_axes(covs: Array) -> Array:
    """The axes (d, d) that diagonalise every one of ``covs`` (k, d, d), which have common axes.

    The eigenvectors of one irregular mean of the matrices; where rounding has mixed axes that only some of the
    components tell apart, f of VVE is minimised, whose minimum is at the exact axes.

    >>> axes = shared_axes(np.stack([np.eye(2), np.diag([1.0, 5.0])]))
    >>> bool(np.allclose(np.abs(axes), np.eye(2)))
    True
    """
    k, d = covs.shape[:2]
    weights = (1.0 + (0.6180339887498949 * np.arange(k)) % 1.0) / np.einsum("gii->g", covs)
    axes: Array = np.linalg.eigh(np.tensordot(weights, covs, 1))[1]
    if k == 1:
        return axes
    inside = axes.T @ covs @ axes
    v = np.einsum("gii->gi", inside)
    p, q = planes(d)
    if np.all(inside[:, p, q] ** 2 <= 1e-20 * v[:, p] * v[:, q]):
        return axes
    return _descend(False, covs, np.ones(k), axes)[1]


@functools.lru_cache(maxsize=64)
def planes(d: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The pairs of axes p < q, in the order of the coordinates x.

    >>> planes(3)
    (array([0, 0, 1]), array([1, 2, 2]))
    """
    p, q = np.triu_indices(d, 1)
    p.flags.writeable = q.flags.writeable = False
    return p, q


def _profile(equal_volume: bool, scatter: Array, counts: Array, axes: Array) -> tuple[float, Array, Array, Array]:
    """f, the matrices M (k, d, d), their diagonals v (k, d) and the weights u (k,)."""
    inside = axes.T @ scatter @ axes
    v = np.einsum("gii->gi", inside)
    if not v.min() > 0:
        g = int(np.argmin(v.min(axis=1)))
        raise Collapsed(g, "no scatter along one of the common axes")
    logs = np.log(v).sum(axis=1)
    if not equal_volume:
        return float(counts @ logs), inside, v, counts
    d, total = v.shape[1], counts.sum()
    top = logs.max()
    share = np.exp((logs - top) / d)
    return float(total * (top + d * np.log(share.sum()))), inside, v, total * share / share.sum()


def _descend(equal_volume: bool, scatter: Array, counts: Array, axes: Array) -> tuple[float, Array]:
    """Quasi-Newton steps on the orthogonal group until the expected gain is rounding; returns (f, axes)."""
    d, total = axes.shape[0], float(counts.sum())
    value, inside, v, u = _profile(equal_volume, scatter, counts, axes)
    gradient, curvature = _slope(inside, v, u)
    pairs: list[tuple[Array, Array, float]] = []
    for _ in range(STEPS if d > 1 else 0):
        turn = _direction(gradient, np.maximum(curvature, 1e-3 * total), pairs)
        gain = float(-gradient @ turn)
        if not gain >= 0:
            pairs, turn = [], -gradient / np.maximum(curvature, 1e-3 * total)
            gain = float(-gradient @ turn)
        last = gain <= 1e-13 * total * d
        found = _line_search(equal_volume, scatter, counts, axes, value, turn, 0.0 if last else gain)
        if last:
            return (found[2][0], found[1]) if found else (value, axes)
        if found is None:
            if not pairs:
                break
            pairs = []
            continue
        size, axes, (value, inside, v, u) = found
        old, (gradient, curvature) = gradient, _slope(inside, v, u)
        step, change = size * turn, gradient - old
        if (overlap := float(step @ change)) > 0:
            pairs = [*pairs[1 - MEMORY :], (step, change, overlap)]
    return value, axes


def _slope(inside: Array, v: Array, u: Array) -> tuple[Array, Array]:
    """Gradient and approximate curvature of f in the coordinates x_pq, p < q."""
    ratio = (u[:, None] / v).T
    half = np.einsum("gpq,qg->pq", inside, ratio)
    both = ratio @ v
    p, q = planes(len(both))
    return 2 * (half[p, q] - half[q, p]), 2 * (both[p, q] + both[q, p] - 2 * u.sum())


def _direction(gradient: Array, curvature: Array, pairs: list[tuple[Array, Array, float]]) -> Array:
    """The limited-memory quasi-Newton direction with a diagonal first guess of the curvature."""
    turn = -gradient
    shares = []
    for step, change, overlap in reversed(pairs):
        shares.append(float(step @ turn) / overlap)
        turn = turn - shares[-1] * change
    turn = turn / curvature
    for step, change, overlap in pairs:
        turn = turn + (shares.pop() - float(change @ turn) / overlap) * step
    return turn


def _line_search(
    equal_volume: bool, scatter: Array, counts: Array, axes: Array, value: float, turn: Array, gain: float
) -> tuple[float, Array, tuple[float, Array, Array, Array]] | None:
    """Halve the step until f falls by a share of what the slope promises; None when it never does.

    With a promised ``gain`` of zero one step is tried, which must not raise f.
    """
    size = 1.0 / max(1.0, float(np.abs(turn).max()))
    for _ in range(30):
        trial = axes @ rotation(size * turn, axes.shape[0])
        profile = _profile(equal_volume, scatter, counts, trial)
        if profile[0] <= value - 1e-4 * size * gain:
            return size, trial, profile
        size /= 2
        if size * gain <= 1e-15 * counts.sum() * axes.shape[0]:
            break
    return None


def rotation(turn: Array, d: int) -> Array:
    """Cayley's rotations (..., d, d) with coordinates ``turn`` (..., d(d-1)/2):  (I - X/2)^-1 (I + X/2) ~ I + X.

    >>> rotation(np.array([2.0]), 2).round(12)
    array([[ 0.,  1.],
           [-1.,  0.]])
    """
    half = np.zeros((*turn.shape[:-1], d, d))
    p, q = planes(d)
    half[..., p, q] = 0.5 * turn
    half[..., q, p] = -0.5 * turn
    identity = np.eye(d)
    return np.asarray(np.linalg.solve(identity - half, identity + half))


def _starts(scatter: Array, counts: Array) -> list[Array]:
    """Axes of the pooled scatter, of the mean correlation-like scatter, of the largest groups, and the coordinates'."""
    d = scatter.shape[1]
    largest = np.argsort(-counts, kind="stable")[:STARTS]
    traces = np.einsum("gii->g", scatter)
    matrices = [scatter.sum(axis=0), np.tensordot(counts / traces, scatter, 1), *scatter[largest]]
    return [*np.linalg.eigh(np.stack(matrices))[1], np.eye(d)]


def _sweep(equal_volume: bool, scatter: Array, counts: Array, axes: Array) -> tuple[float, Array]:
    """Plane rotations over all pairs of axes, each to the lowest point of its circle; returns (f, axes)."""
    d = axes.shape[0]
    value, inside, v, u = _profile(equal_volume, scatter, counts, axes)
    pairs = list(zip(*map(np.ndarray.tolist, planes(d)), strict=True))
    for _ in range(min(SWEEPS, ROTATIONS // max(1, len(pairs)))):
        before = value
        axes, inside = axes.copy(), inside.copy()
        for p, q in pairs:
            if (t := _best_angle(equal_volume, inside, counts, p, q)) != 0.0:
                c, s = np.cos(t), np.sin(t)
                turn = np.array([[c, -s], [s, c]])
                axes[:, [p, q]] = axes[:, [p, q]] @ turn
                inside[:, :, [p, q]] = inside[:, :, [p, q]] @ turn
                inside[:, [p, q], :] = turn.T @ inside[:, [p, q], :]
        value, inside, v, u = _profile(equal_volume, scatter, counts, axes)
        if before - value <= 1e-4 * counts.sum():
            break
    return value, axes


def _best_angle(equal_volume: bool, inside: Array, counts: Array, p: int, q: int) -> float:
    """The angle in [-pi/4, pi/4] at which f is lowest in the plane (p, q): a grid, then a parabola through 3 points."""
    a, b, c = inside[:, p, p], inside[:, p, q], inside[:, q, q]
    d, total = inside.shape[1], counts.sum()
    rest = np.log(np.einsum("gii->gi", inside)).sum(axis=1) - np.log(a * c)
    half = (a - c) / 2
    squares = half * half + b * b
    base = a * c - b * b + squares / 2
    phase = 2 * np.arctan2(b, half)

    def f(t: Array) -> Array:
        product = np.maximum(base - squares / 2 * np.cos(t[:, None] - phase), np.finfo(np.float64).tiny)
        if not equal_volume:
            return np.asarray(np.log(product) @ counts)
        logs = (rest + np.log(product)) / d
        top = logs.max()
        return np.asarray(total * d * (top + np.log(np.exp(logs - top).sum(axis=1))))

    values = f(_CIRCLE)
    i = int(np.argmin(values))
    left, middle, right = values[i - 1], values[i], values[(i + 1) % len(values)]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend > 0 else 0.0
    choices = np.array([0.0, _CIRCLE[i], _CIRCLE[i] + shift * _CIRCLE[1]])
    t = float(choices[int(np.argmin(f(choices)))])
    return (t if t <= np.pi else t - 2 * np.pi) / 4
