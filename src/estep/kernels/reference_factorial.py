"""Several chains behind one observation from the definition: a hidden Markov chain of the combinations of their states.

    start = pi_1 x .. x pi_M,   A = A_1 x .. x A_M     (Kronecker products, the last chain running fastest)
    xi_m(a, b) = sum over combinations z, z' with z_m = a, z'_m = b of xi(z, z')

What ``factorial.py`` is held to. Source: Ghahramani & Jordan (1997), Machine Learning 29:245, section 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from estep.core.record import Array
from estep.kernels.reference_chain import posteriors_reference


def product_chain(starts: tuple[Array, ...], moves: tuple[Array, ...]) -> tuple[Array, Array]:
    """Start (k,) and transition matrix (k, k) of the combinations.

    >>> product_chain((np.array([0.5, 0.5]), np.ones(1)), (np.eye(2), np.eye(1)))[1].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    start: Any = starts[0]
    transmat: Any = moves[0]
    for pi, own in zip(starts[1:], moves[1:], strict=True):
        start, transmat = np.kron(start, pi), np.kron(transmat, own)
    return start, transmat


def of_each_chain(pairs: Array, sizes: tuple[int, ...]) -> tuple[Array, ...]:
    """Moves (k, k) of combinations as moves (K_m, K_m) of each chain."""
    chains = len(sizes)
    table = pairs.reshape(*sizes, *sizes)
    keep = [(m, chains + m) for m in range(chains)]
    return tuple(table.sum(axis=tuple(axis for axis in range(2 * chains) if axis not in kept)) for kept in keep)


def factorial_reference(
    starts: tuple[Array, ...], moves: tuple[Array, ...], logb: Array
) -> tuple[Array, tuple[Array, ...], float]:
    """Responsibilities of combinations (n, k), moves of each chain, and the log-likelihood of one sequence."""
    start, transmat = product_chain(starts, moves)
    resp, xi, loglik = posteriors_reference(start, transmat, np.ones(start.size), logb)
    return resp, of_each_chain(xi.sum(axis=0), tuple(len(pi) for pi in starts)), loglik
