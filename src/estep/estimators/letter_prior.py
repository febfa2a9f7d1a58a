"""Priors of letters in the columns of motifs and the nodes of profiles, from what a user wrote.

dict(strength=s)                s letters in the proportions of all letters          (``Categorical.prior``)
dict(alpha=a)                   a - 1 of every letter: Dirichlet(a), whose mode is taken
dict(weights=q, alphas=alpha)   a mixture of Dirichlet laws, ``models/dirichlet_mixture.py``
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.families.categorical import Categorical
from estep.families.normal_shapes import numbers
from estep.models.dirichlet_mixture import DirichletMixture

MIXTURE = {"weights", "alphas"}


def letter_prior(prior: Any, frequencies: Array) -> tuple[Array, DirichletMixture | None]:
    """Letters imagined in a column (m,), and the mixture, or None; raises ValueError on what is no prior of ``m`` letters.

    >>> letter_prior({"strength": 2}, np.array([0.25, 0.75]))
    (array([0.5, 1.5]), None)
    >>> letter_prior({"alpha": 1.5}, np.array([0.25, 0.75]))
    (array([0.5, 0.5]), None)
    """
    size = len(frequencies)
    if prior is None:
        return np.zeros(size), None
    if isinstance(prior, DirichletMixture):
        prior = {"weights": prior.weights, "alphas": prior.alphas}
    if not isinstance(prior, Mapping):
        raise ValueError(
            f"prior must be None, dict(strength=...), dict(alpha=...) or dict(weights=..., alphas=...), got {prior!r}"
        )
    if not MIXTURE & set(prior):
        known = dataclasses.replace(Categorical((size,)), overall=frequencies[:, None])
        return np.asarray(known.prior(1, dict(prior)).totals[0, :, 0]), None
    if set(prior) != MIXTURE:
        raise ValueError(f"prior of a mixture has weights and alphas, and no more, got {sorted(map(str, prior))}")
    weights, alphas = (numbers(prior[name], f"prior[{name!r}]") for name in ("weights", "alphas"))
    if alphas.ndim != 2 or alphas.shape[1] != size:
        raise ValueError(f"prior['alphas'] has shape {alphas.shape}, expected (kinds, {size}): a number for each letter")
    try:
        return np.zeros(size), DirichletMixture(weights, alphas)
    except ValueError as error:
        raise ValueError(f"prior: {error}") from None
