"""Surgery on a profile: nodes that few sequences use are cut out, insertions that many make become nodes.

    node j goes      where the expected share of sequences that match in it is below 1/2
    insert j grows   into (expected letters / expected visits) nodes, rounded, where there are more than 1/2 visits a sequence

New nodes begin with the letters that the insert state has seen; moves begin anew. Source: Krogh et al. (1994), section 2.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from estep.core.assign import SOFT
from estep.core.record import Array
from estep.core.result import Result
from estep.engine.visit import total
from estep.models.profile import Profile, ProfileParams

HALF = 0.5
MIXED = 0.1
"""Share of equal probabilities in the letters of a new node, so that none is impossible."""


def operated(result: Result, data: Any) -> ProfileParams | None:
    """Parameters with other nodes, where to run on from; None where nothing is to be changed."""
    model: Profile = result.model
    stats: Any = total(model, data, result.params, SOFT).stats
    sequences = float(stats.moves[0, 0].sum())
    used = stats.moves[1:, 0].sum(axis=1) / sequences
    visits = stats.moves[:, 0, 1] + stats.moves[:, 2, 1]
    letters = visits + stats.moves[:, 1, 1]
    grown = np.where(visits / sequences > HALF, np.round(letters / np.maximum(visits, 1e-300)), 0).astype(int)
    found: list[Array] = []
    for j in range(model.length + 1):
        if j > 0 and used[j - 1] >= HALF:
            found.append(result.params.match[j - 1])
        if grown[j]:
            seen = (stats.insert[j] + MIXED) / (stats.insert[j] + MIXED).sum()
            found += [(1.0 - MIXED) * seen + MIXED / model.size] * int(grown[j])
    if not found or (not grown.any() and len(found) == model.length):
        return None
    new = Profile(len(found), model.size, model.background, model.imagined, mixture=model.mixture)
    return new.start(np.array(found))
