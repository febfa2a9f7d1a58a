"""Which class of a start belongs to which component, where components are of unlike families.

    cost_jc = - sum_i r_ic log p_j(x_i | theta_jc),   theta_jc the M-step of component j from the rows of class c

The classes go to the components at least total cost (an assignment problem). k M-steps give every pair, one for each
rotation of the classes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from estep.core.collapse import Collapsed
from estep.core.record import Array
from estep.models.latent import Latent, encoded
from estep.start.plan import Proposal, begin

WORST = 1e12


def arranged(model: Latent, proposal: Proposal, data: Any) -> Proposal:
    """``proposal`` with its classes in the order that suits the components of ``model``; ``data`` holds its rows."""
    if model.k == 1 or getattr(model.family, "exchangeable", True):
        return proposal
    from scipy.optimize import linear_sum_assignment

    order = linear_sum_assignment(_costs(model, proposal, data))[1]
    return dataclasses.replace(proposal, resp=proposal.resp[:, order])


def _costs(model: Latent, proposal: Proposal, data: Any) -> Array:
    """Costs (k, k): component j with class c; WORST where the component cannot be fitted to the class."""
    components, costs = np.arange(model.k), np.full((model.k, model.k), WORST)
    for turn in range(model.k):
        classes = np.roll(components, turn)
        turned = dataclasses.replace(proposal, resp=proposal.resp[:, classes])
        try:
            params = begin(model, data, turned)
        except Collapsed:
            continue
        costs[components, classes] = -data.sum(lambda chunk, p=params, t=turned: _fit_of(model, p, t, chunk))
    return costs


def _fit_of(model: Latent, params: Any, proposal: Proposal, chunk: Any) -> Array:
    """Log-likelihood (k,) of each class's rows under its component, held above -WORST."""
    logb = np.maximum(model.family.log_density(params.family, encoded(model.family, chunk.x)), -WORST)
    resp = proposal.resp[chunk.rows]
    resp = resp if chunk.weight is None else resp * chunk.weight[:, None]
    return np.asarray((resp * logb).sum(axis=0))
