"""A mixture of Dirichlet laws over the letters of a column: a prior in which columns come in kinds.

    j ~ q,  f ~ Dirichlet(alpha_j) with its density over the log odds of f:   p(f) = sum_j q_j prod_a f_a^alpha_ja / B(alpha_j)

    kinds    rho_j = q_j prod_a f_a^alpha_ja / B(alpha_j) over their sum:   the kind of a column is one more hidden label
    counts   sum_j rho_j alpha_ja are imagined of letter a, and f is in proportion to expected and imagined letters

Over log odds the mode of Dirichlet(alpha) after counts c is in proportion to c + alpha, which is the posterior mean as well;
over f itself it would be c + alpha - 1, and there would be none where an alpha is below one, as in published mixtures they are.
With several kinds Sjolander et al. replace f by its posterior mean, which maximises no function of f. Here the kind is one more
layer of hidden labels, so that log-likelihood plus log prior never falls; for one kind both are the same.

symbol   variable   shape
q        weights    (J,)
alpha    alphas     (J, m)
f        probs      (W, m)
rho      kinds      (W, J)

Sources: Sjolander et al. (1996), CABIOS 12:327; MacKay (1998), Machine Learning 33:77 (the basis of a mode).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array

TINY = np.finfo(float).tiny


@dataclasses.dataclass(frozen=True)
class DirichletMixture:
    """``weights`` (J,) that sum to one and ``alphas`` (J, m) > 0.

    Raises
    ------
    ValueError
        On other shapes or values.

    Examples
    --------
    >>> two = DirichletMixture(np.array([0.5, 0.5]), np.array([[9.0, 1.0], [1.0, 9.0]]))
    >>> two.imagined(np.array([[0.9, 0.1], [0.5, 0.5]])).round(2).tolist()
    [[9.0, 1.0], [5.0, 5.0]]
    """

    weights: Array
    alphas: Array

    def __post_init__(self) -> None:
        weights, alphas = np.asarray(self.weights, dtype=float), np.asarray(self.alphas, dtype=float)
        if weights.ndim != 1 or not (weights > 0).all() or not abs(float(weights.sum()) - 1.0) <= 1e-3:
            raise ValueError(f"weights must be probabilities > 0 that sum to one, one for each kind of column, got {weights}")
        if alphas.ndim != 2 or len(alphas) != len(weights) or not ((alphas > 0) & np.isfinite(alphas)).all():
            raise ValueError(
                f"alphas must be numbers > 0, a row for each of the {len(weights)} weights, got shape {alphas.shape}"
            )
        object.__setattr__(self, "weights", weights / weights.sum())
        object.__setattr__(self, "alphas", alphas)

    @property
    def mean(self) -> Array:
        """Letters imagined before a column is seen, ``sum_j q_j alpha_j``, (m,)."""
        return np.asarray(self.weights @ self.alphas)

    def log_density(self, probs: Array, free: NDArray[np.bool_] | None = None) -> float:
        """``sum_w log p(f_w)``, in nats; entries that are not ``free`` (W, m) are no draws and say nothing."""
        return float(np.logaddexp.reduce(self._joint(probs, free), axis=1).sum())

    def kinds(self, probs: Array, free: NDArray[np.bool_] | None = None) -> Array:
        """Posterior probabilities of the kinds of columns, (W, J)."""
        joint = self._joint(probs, free)
        return np.asarray(np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)))

    def imagined(self, probs: Array, free: NDArray[np.bool_] | None = None) -> Array:
        """Letters that the prior imagines where columns are ``probs``: the gradient of ``log_density`` times f, (W, m)."""
        counts = self.kinds(probs, free) @ self.alphas
        return counts if free is None else np.where(free, counts, 0.0)

    def _joint(self, probs: Array, free: NDArray[np.bool_] | None) -> Array:
        """log q_j + log p(f_w | j), (W, J)."""
        from scipy.special import gammaln

        logs = np.log(np.maximum(probs, TINY))
        logs = logs if free is None else np.where(free, logs, 0.0)
        scale = gammaln(self.alphas.sum(axis=1)) - gammaln(self.alphas).sum(axis=1)
        return np.asarray(logs @ self.alphas.T + np.log(self.weights) + scale)
