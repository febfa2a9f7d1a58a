"""The M-step of the fourteen covariance structures, from scatter matrices and counts.

    q(Sigma) = -1/2 sum_g [ n_g log|Sigma_g| + tr(Sigma_g^-1 W_g) ]  ->  max,   Sigma_g = lambda_g D_g A_g D_g'

Closed forms (N = sum n_g, W = sum W_g, L_g D_g the eigenvalues and axes of W_g, |.| determinant):

    EII  tr W / (N d)         VII  tr W_g / (n_g d)     EEI, EEE  W / N          VVI, VVV  W_g / n_g
    EVI, EVV  (sum_h |W_h|^(1/d) / N) W_g / |W_g|^(1/d)                          EEV  D_g (sum_h L_h / N) D_g'

Proportional covariances Sigma_g = exp(l_g) S / N with S = sum_g exp(-l_g) W_g leave the convex function

    f(l) = d sum_g n_g l_g + N log|S(l)|        df/dl_g = d n_g - N tr P_g,  P_g = S^-1 exp(-l_g) W_g
    d2f/dl_g dl_h = N (delta_gh tr P_g - tr P_g P_h)

minimised by Newton steps: VEE with matrices, VEI with diagonals, VEV with the sorted eigenvalues L_g, each along its
own axes (the best axes for any common ordered shape). EVE and VVE: see covariance_axes.

    symbol   variable  shape               meaning
    W_g      scatter   (k, d) | (k, d, d)  weighted sums of squares (diagonals for the codes ..I) and products
    n_g      counts    (k,)                effective numbers of observations, with those of a prior
    Sigma_g  covs      as scatter

Sources: Celeux and Govaert (1995), Pattern Recognition 28:781, table 2 and section 3; Browne and McNicholas (2014).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.families.covariance import CODES, is_diagonal
from estep.families.covariance_axes import common_axes, principal, shared_axes

NEWTON_STEPS = 100  # cap; from a warm start one or two are taken
SINGULAR = 1e-14
"""A variance given the earlier columns below this share of the variance itself is zero to rounding."""

Fit = Callable[[Array, Array, Array | None], Array]


def fit(code: str, scatter: Array, counts: Array, current: Array | None = None) -> Array:
    """Covariances of structure ``code`` that maximise q.

        argmax over Sigma of  -1/2 sum_g [ counts_g log|Sigma_g| + tr(Sigma_g^-1 scatter_g) ]

    ``scatter`` is (k, d) for the codes ..I (diagonals) and (k, d, d) for the others, ``counts`` (k,) >= 0. VEI, VEE,
    EVE, VVE and VEV start from ``current`` when it is given and never end with q below its value there. A component
    with count 0 is left out; it gets the shared parts of the others' covariances and keeps its own parts of ``current``
    (without ``current``: those of the pooled covariance). Singular closed forms are returned as they are.

    Raises
    ------
    Collapsed
        When q has no finite maximum, or a sum is not finite; ``component`` is the one to blame.
    ValueError
        When a count is negative.

    Source: Celeux and Govaert (1995), table 2.

    >>> fit("EEI", np.array([[1.0, 4.0], [3.0, 4.0]]), np.array([2.0, 2.0]))
    array([[1., 2.],
           [1., 2.]])
    """
    if not np.isfinite(scatter.sum() + counts.sum()):
        _raise_not_finite(scatter, counts)
    if not counts.min() > 0:
        return _fit_some(code, scatter, counts, current)
    covs = _FIT[code](scatter, counts, current)
    if not np.isfinite(covs.sum()):
        _raise_not_finite(covs, counts)
    return covs


def objective(code: str, covs: Array, scatter: Array, counts: Array) -> float:
    """q of the covariances in nats, without the constant of the normal density.

        -1/2 sum_g [ counts_g log|covs_g| + tr(covs_g^-1 scatter_g) ]

    Shapes as in ``fit``. The structure is not checked (``covariance.check`` does).

    Raises
    ------
    ValueError
        When a covariance is not positive definite.

    >>> objective("VVI", np.ones((1, 2)), np.array([[1.0, 4.0]]), np.array([3.0]))
    -2.5
    """
    if is_diagonal(code):
        if not covs.min() > 0:
            raise ValueError(_not_definite(int(np.argmin(covs.min(axis=1)))))
        return -0.5 * float(counts @ np.log(covs).sum(axis=1) + (scatter / covs).sum())
    try:
        roots = np.linalg.cholesky(covs)
    except np.linalg.LinAlgError:
        raise ValueError(_not_definite(int(np.argmin(np.linalg.eigvalsh(covs)[:, 0])))) from None
    logdet = 2 * np.log(np.einsum("gii->gi", roots)).sum(axis=1)
    return -0.5 * float(counts @ logdet + np.einsum("gij,gji->", np.linalg.inv(covs), scatter))


def _not_definite(g: int) -> str:
    return f"covariances[{g}] is not positive definite; q needs an inverse and a log-determinant of each"


def _raise_not_finite(values: Array, counts: Array) -> None:
    good = np.isfinite(values.reshape(len(counts), -1)).all(axis=1) & np.isfinite(counts)
    raise Collapsed(int(np.argmin(good)), "scatter, count or covariance is not finite")


# Closed forms


def _fit_eii(scatter: Array, counts: Array, current: Array | None) -> Array:
    return np.full(scatter.shape, scatter.sum() / (counts.sum() * scatter.shape[1]))


def _fit_vii(scatter: Array, counts: Array, current: Array | None) -> Array:
    volume: Array = scatter.sum(axis=1) / (counts * scatter.shape[1])
    return np.repeat(volume[:, None], scatter.shape[1], axis=1)


def _fit_pooled(scatter: Array, counts: Array, current: Array | None) -> Array:
    mean: Array = scatter.sum(axis=0, keepdims=True) / counts.sum()
    return np.repeat(mean, len(counts), axis=0)


def _fit_separate(scatter: Array, counts: Array, current: Array | None) -> Array:
    return scatter / counts.reshape(-1, *(1,) * (scatter.ndim - 1))


def _fit_evi(scatter: Array, counts: Array, current: Array | None) -> Array:
    if not scatter.min() > 0:
        raise Collapsed(int(np.argmin(scatter.min(axis=1))), "no scatter in one of the columns")
    volume = np.exp(np.log(scatter).mean(axis=1))
    return np.asarray(scatter * ((volume.sum() / counts.sum()) / volume)[:, None])


def _fit_evv(scatter: Array, counts: Array, current: Array | None) -> Array:
    volume = np.exp(_log_determinants(scatter) / scatter.shape[1])
    return np.asarray(scatter * ((volume.sum() / counts.sum()) / volume)[:, None, None])


def _log_determinants(scatter: Array) -> Array:
    """log|W_g| (k,); Collapsed for a matrix that is singular to rounding, whatever the units of its columns."""
    variances = np.einsum("gii->gi", scatter)
    try:
        given = np.einsum("gii->gi", np.linalg.cholesky(scatter)) ** 2
        singular = np.any(given <= SINGULAR * variances, axis=1)
    except np.linalg.LinAlgError:
        scale = np.sqrt(np.maximum(variances, np.finfo(np.float64).tiny))
        lowest = np.linalg.eigvalsh(scatter / (scale[:, :, None] * scale[:, None, :]))[:, 0]
        singular = lowest <= max(SINGULAR, float(lowest.min()))
    if singular.any():
        raise Collapsed(int(np.argmax(singular)), "scatter matrix is singular: no volume to share")
    return np.asarray(np.log(given).sum(axis=1))


def _fit_eev(scatter: Array, counts: Array, current: Array | None) -> Array:
    lengths, axes = principal(scatter)
    return _turned(axes, lengths.sum(axis=0) / counts.sum())


def _turned(axes: Array, lengths: Array) -> Array:
    """D diag(lengths) D', symmetric to the bit."""
    covs = (axes * lengths[..., None, :]) @ axes.swapaxes(-1, -2)
    return np.asarray((covs + covs.swapaxes(-1, -2)) / 2)


# Proportional covariances


def _fit_vei(scatter: Array, counts: Array, current: Array | None) -> Array:
    start = None if current is None else np.log(current).mean(axis=1)
    logs = _proportions(_diagonal_terms, scatter, scatter.sum(axis=1), counts, start)
    shape = (np.exp(-logs)[:, None] * scatter).sum(axis=0) / counts.sum()
    return _not_below("VEI", np.exp(logs)[:, None] * shape, current, scatter, counts)


def _fit_vee(scatter: Array, counts: Array, current: Array | None) -> Array:
    start = None if current is None else np.linalg.slogdet(current)[1] / current.shape[1]
    inside = _whitened(scatter)
    logs = _proportions(_matrix_terms, inside, np.einsum("gii->g", inside), counts, start)
    shape = np.tensordot(np.exp(-logs), scatter, 1) / counts.sum()
    return _not_below("VEE", np.exp(logs)[:, None, None] * shape, current, scatter, counts)


def _fit_vev(scatter: Array, counts: Array, current: Array | None) -> Array:
    start = None if current is None else np.linalg.slogdet(current)[1] / current.shape[1]
    lengths, axes = principal(scatter)
    logs = _proportions(_diagonal_terms, lengths, lengths.sum(axis=1), counts, start)
    shape = (np.exp(-logs)[:, None] * lengths).sum(axis=0) / counts.sum()
    return _not_below("VEV", _turned(axes, np.exp(logs)[:, None] * shape), current, scatter, counts)


def _whitened(scatter: Array) -> Array:
    """The scatter matrices in coordinates where their sum is the identity; volumes keep their proportions."""
    try:
        root = np.linalg.inv(np.linalg.cholesky(scatter.sum(axis=0)))
    except np.linalg.LinAlgError:
        raise Collapsed(0, "no scatter along some direction in any of the components") from None
    return np.asarray(root @ scatter @ root.T)


Terms = Callable[[Array, Array], tuple[float, Array, Array]]


def _diagonal_terms(logs: Array, scatter: Array) -> tuple[float, Array, Array]:
    """log|S| (infinite where S is singular), tr P_g (k,) and tr P_g P_h (k, k) for diagonal scatter (k, d)."""
    scaled = np.exp(-logs)[:, None] * scatter
    total = scaled.sum(axis=0)
    if not total.min() > 0:
        return np.inf, logs, np.outer(logs, logs)
    shares = scaled / total
    return float(np.log(total).sum()), shares.sum(axis=1), shares @ shares.T


def _matrix_terms(logs: Array, scatter: Array) -> tuple[float, Array, Array]:
    """log|S| (infinite where S is singular), tr P_g (k,) and tr P_g P_h (k, k) for scatter matrices (k, d, d)."""
    total = np.tensordot(np.exp(-logs), scatter, 1)
    try:
        logdet = float(_log_determinants(total[None])[0])
    except Collapsed:
        return np.inf, logs, np.outer(logs, logs)
    shares = np.linalg.solve(total, np.exp(-logs)[:, None, None] * scatter)
    k = len(logs)
    cross = shares.reshape(k, -1) @ shares.swapaxes(1, 2).reshape(k, -1).T
    return logdet, np.einsum("gii->g", shares), cross


def _proportions(terms: Terms, scatter: Array, traces: Array, counts: Array, start: Array | None) -> Array:
    """Log volumes l (k,), up to a common constant, that minimise the convex f(l), by guarded Newton steps."""
    if not traces.min() > 0:
        raise Collapsed(int(np.argmin(traces)), "no scatter at all")
    k, total = len(counts), float(counts.sum())
    d = scatter.shape[1]
    first = logs = np.log(traces / counts) if start is None else start
    logdet, trace, cross = terms(logs, scatter)
    if logdet == np.inf:
        raise Collapsed(0, "no scatter along some direction in any of the components")
    for _ in range(NEWTON_STEPS):
        value = d * float(counts @ logs) + total * logdet
        gradient = d * counts - total * trace
        # the ones fix the common constant; the ridge is felt only where f is flat
        step = -np.linalg.solve(total * (np.diag(trace * (1 + 1e-12)) - cross + 1.0 / k), gradient)
        gain = float(-gradient @ step)
        last = abs(gain) <= 1e-12 * total * d
        if gain < 0 and not last:  # S has become singular to rounding on the way to an unbounded end
            break
        size = 5.0 / max(5.0, float(np.abs(step).max()))
        for _ in range(40):
            trial = logs + size * step
            logdet, trace, cross = terms(trial, scatter)
            if last or d * float(counts @ trial) + total * logdet <= value - 1e-4 * size * gain:
                break
            size /= 2
        logs = trial
        if last and logdet < np.inf:
            return logs
        if logdet == np.inf or np.ptp(logs - first) > 200:
            break
    raise Collapsed(int(np.argmin(logs - first)), "its volume shrinks to nothing relative to the others")


# Common axes


def _fit_eve(scatter: Array, counts: Array, current: Array | None) -> Array:
    axes, lengths = _along_common_axes(True, scatter, counts, current)
    volume = np.exp(np.log(lengths).mean(axis=1))
    covs = _turned(axes, lengths * ((volume.sum() / counts.sum()) / volume)[:, None])
    return _not_below("EVE", covs, current, scatter, counts)


def _fit_vve(scatter: Array, counts: Array, current: Array | None) -> Array:
    axes, lengths = _along_common_axes(False, scatter, counts, current)
    return _not_below("VVE", _turned(axes, lengths / counts[:, None]), current, scatter, counts)


def _along_common_axes(equal_volume: bool, scatter: Array, counts: Array, current: Array | None) -> tuple[Array, Array]:
    """The best common axes (d, d) and the scatter along them (k, d)."""
    _log_determinants(scatter)
    start = None if current is None else shared_axes(current)
    axes = common_axes(equal_volume, scatter, counts, start)
    return axes, np.einsum("jp,gjk,kp->gp", axes, scatter, axes)


def _not_below(code: str, covs: Array, current: Array | None, scatter: Array, counts: Array) -> Array:
    """``covs``, or ``current`` where q is higher there (by rounding, or at a lower optimum over the axes)."""
    if current is None:
        return covs
    try:
        value = objective(code, covs, scatter, counts)
    except ValueError:
        smallest = covs.min(axis=1) if covs.ndim == 2 else np.linalg.eigvalsh(covs)[:, 0]
        raise Collapsed(int(np.argmin(smallest)), "its covariance became singular") from None
    return covs if value >= objective(code, current, scatter, counts) else current


_FIT: dict[str, Fit] = {
    "EII": _fit_eii,
    "VII": _fit_vii,
    "EEI": _fit_pooled,
    "VEI": _fit_vei,
    "EVI": _fit_evi,
    "VVI": _fit_separate,
    "EEE": _fit_pooled,
    "VEE": _fit_vee,
    "EVE": _fit_eve,
    "VVE": _fit_vve,
    "EEV": _fit_eev,
    "VEV": _fit_vev,
    "EVV": _fit_evv,
    "VVV": _fit_separate,
}


# Components without weight


def _fit_some(code: str, scatter: Array, counts: Array, current: Array | None) -> Array:
    """The fit to the components with weight; the others take over its shared parts."""
    if counts.min() < 0:
        g = int(np.argmin(counts))
        raise ValueError(f"counts[{g}] is {counts[g]}; a count is a sum of weights and cannot be negative")
    seen = counts > 0
    if not seen.any():
        if current is not None:
            return current
        raise Collapsed(0, "no component has any weight")
    some = fit(code, scatter[seen], counts[seen], None if current is None else current[seen])
    pooled = _fit_pooled(scatter[seen], counts[seen], None)[0]
    own = np.repeat(pooled[None], len(counts), axis=0) if current is None else current
    covs = np.array(own)
    covs[seen] = some
    for g in map(int, np.flatnonzero(~seen)):
        covs[g] = (_adopt_diagonal if is_diagonal(code) else _adopt)(code, some, own[g])
    return covs


def _adopt_diagonal(code: str, some: Array, own: Array) -> Array:
    """Variances (d,) with the parts that ``code`` shares from ``some`` and the other parts from ``own``."""
    parts, logs = CODES[code], np.log(np.stack([some[0], own]))
    volume = logs.mean(axis=1)
    shape = {"I": np.zeros(some.shape[1]), "E": logs[0] - volume[0], "V": logs[1] - volume[1]}[parts.shape]
    return np.asarray(np.exp({"E": volume[0], "V": volume[1]}[parts.volume] + shape))


def _adopt(code: str, some: Array, own: Array) -> Array:
    """A covariance (d, d) with the parts that ``code`` shares from ``some`` and the other parts from ``own``."""
    parts = CODES[code]
    shared, kept = some[0], own
    if parts.orientation == "E" and parts.shape == "V":
        axes = shared_axes(some)
        kept = _turned(axes, np.einsum("jp,jk,kp->p", axes, own, axes))
    elif parts.orientation == "V" and parts.shape == "E":
        kept = _turned(np.linalg.eigh(own)[1], np.linalg.eigvalsh(shared))
    elif parts.orientation == "E":
        kept = shared
    level = np.linalg.slogdet(np.stack([shared, own, kept]))[1] / len(own)
    return np.asarray(kept * np.exp((level[0] if parts.volume == "E" else level[1]) - level[2]))
