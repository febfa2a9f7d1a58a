"""Names of components across fits: which component of another fit is which of the reference.

    order = argmin over permutations s of  sum_j C_{j s(j)}

Where both fits can see the same rows, C compares memberships; where they cannot, parameters:

    rows          C_jl = 1/2 sum_i w_i (p_ij - q_il)^2 / sum_i w_i            from 0 (the same) to 1
    parameters    C_jl = mean over entries of ((a_j - b_l) / spread)^2        spread over the reference's components

The sum of squares is least where the overlap sum_i w_i p_ij q_i,s(j) is largest, so one matrix product and an assignment do it,
for any k. Noise stays where it is: its class has a meaning of its own.

symbol   variable    shape
p, q     responsibilities of reference and other, (n, k)
w        weight      (n,)
s        order       (k,)      component order[j] of the other fit is component j of the reference

Sources: Stephens (2000), J. R. Statist. Soc. B 62:795; Kuhn (1955), Naval Research Logistics Quarterly 2:83.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array


@dataclasses.dataclass(frozen=True)
class Alignment:
    """``order`` (k,): component ``order[j]`` of the other fit is j of the reference; ``cost`` of what still differs."""

    order: NDArray[np.intp]
    cost: float

    @property
    def renamed(self) -> bool:
        """Whether any component changes its name."""
        return bool((self.order != np.arange(self.order.size)).any())


def align_responsibilities(reference: Any, other: Any, weight: Any = None, held: int = 0) -> Alignment:
    """Order of the columns of ``other`` (n, k) that matches those of ``reference`` (n, k).

    Parameters
    ----------
    reference, other : arrays (n, k)
        Responsibilities of the same rows under two fits.
    weight : array (n,) or None
        Frequencies of the rows.
    held : int
        How many of the last components keep their place (noise).

    Raises
    ------
    ValueError
        Where the shapes differ, or the weights are not one a row.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> found = align_responsibilities(p, p[:, ::-1])
    >>> found.order.tolist(), found.cost
    ([1, 0], 0.0)
    """
    p, q = np.asarray(reference, dtype=float), np.asarray(other, dtype=float)
    if p.ndim != 2 or p.shape != q.shape:
        raise ValueError(f"responsibilities have shapes {p.shape} and {q.shape}; both must be (n, k), of the same rows and k")
    w = np.ones(len(p)) if weight is None else np.asarray(weight, dtype=float)
    if w.shape != (len(p),) or not (w >= 0).all() or not w.sum() > 0:
        raise ValueError(f"weight has shape {w.shape}, expected ({len(p)},): numbers >= 0, one a row, not all zero")
    order = _assigned(-(p.T @ (w[:, None] * q)), held)
    gaps = ((p - q[:, order]) ** 2).sum(axis=1)
    return Alignment(order, float(0.5 * (w @ gaps) / w.sum()))


def align_parameters(reference: Mapping[str, Any], other: Mapping[str, Any], held: int = 0) -> Alignment:
    """Order of the components of ``other`` whose parameters are nearest those of ``reference``, in units of their spread.

    Parameters
    ----------
    reference, other : mappings from name to arrays (k, ...)
        Parameters with components on the first axis: a family's, or also ``weights`` (k,).
    held : int
        How many of the last components keep their place.

    Raises
    ------
    ValueError
        Where a parameter has another shape in the other fit, or none has components on its first axis.

    Examples
    --------
    >>> align_parameters({"rates": [[1.0], [9.0]]}, {"rates": [[8.0], [1.2]]}).order.tolist()
    [1, 0]
    """
    pairs = [(np.asarray(v, dtype=float), np.asarray(other[n], dtype=float), n) for n, v in reference.items() if n in other]
    if not pairs:
        raise ValueError(f"the fits share no parameter: {sorted(reference)} and {sorted(other)}")
    k = pairs[0][0].shape[0] if pairs[0][0].ndim else 0
    costs = np.zeros((k, k))
    for a, b, name in pairs:
        if a.shape != b.shape or a.ndim == 0 or a.shape[0] != k:
            raise ValueError(f"{name} has shapes {a.shape} and {b.shape}; expected components on the first axis, {k} of them")
        a, b = a.reshape(k, -1), b.reshape(k, -1)
        spread = a.std(axis=0)
        scale = np.where(spread > 0, spread, np.maximum(np.abs(a).max(axis=0), 1.0))
        costs += (((a[:, None, :] - b[None, :, :]) / scale) ** 2).mean(axis=2) / len(pairs)
    order = _assigned(costs, held)
    return Alignment(order, float(costs[np.arange(k), order].mean()))


def align_components(
    reference: Any, other: Any, X: Any, y: Any = None, sample_weight: Any = None, **rows: Any
) -> NDArray[np.intp]:
    """Which component of a fit is which of another: ``order`` (k,), component ``order[j]`` of ``other`` is j of ``reference``.

    Both fits see the rows of ``X``; memberships are matched by assignment (Hungarian method), for any number of components.

    Parameters
    ----------
    reference, other : fitted estimators
        With ``predict_proba`` and as many components.
    X, y, sample_weight, **rows
        Rows that both can read, with the keywords of ``predict_proba``.

    Returns
    -------
    array (k,)
        ``other.means_[order]`` then stand in the reference's order; a noise component stays the last.

    Raises
    ------
    ValueError
        Where the fits have different numbers of components.

    Examples
    --------
    >>> import estep
    >>> X = np.array([[0.0], [0.2], [0.1], [5.0], [5.2], [5.1]])
    >>> one = estep.GaussianMixture(2, covariance_type="E", init=[0, 0, 0, 1, 1, 1]).fit(X)
    >>> two = estep.GaussianMixture(2, covariance_type="E", init=[1, 1, 1, 0, 0, 0]).fit(X)
    >>> estep.align_components(one, two, X).tolist()
    [1, 0]
    """
    if y is not None:
        rows = {**rows, "y": y}
    p, q = (_memberships(fit, X, rows) for fit in (reference, other))
    if p.shape[1] != q.shape[1]:
        raise ValueError(f"the fits have {p.shape[1]} and {q.shape[1]} components; only fits with as many can be matched")
    return align_responsibilities(p, q, sample_weight, held=int(getattr(reference, "noise", False) is not False)).order


def _memberships(fit: Any, X: Any, rows: Mapping[str, Any]) -> Array:
    """Component probabilities (n, k); ``posterior`` of estimators whose ``predict_proba`` is of the response."""
    look = getattr(fit, "posterior", None) or getattr(fit, "predict_proba", None)
    if look is None:
        raise TypeError(f"{type(fit).__name__} has no predict_proba, so there are no components to match")
    return np.asarray(look(X, **rows), dtype=float)


def _assigned(costs: Array, held: int) -> NDArray[np.intp]:
    """The permutation of least cost, the last ``held`` in their places."""
    from scipy.optimize import linear_sum_assignment

    k = len(costs)
    if not 0 <= held <= k:
        raise ValueError(f"held={held}, but there are {k} components")
    free = k - held
    found = linear_sum_assignment(costs[:free, :free])[1]
    return np.concatenate([found, np.arange(free, k)]).astype(np.intp)
