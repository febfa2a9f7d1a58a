"""Normal rows without gaps, in their active components only: what sparse EM reads between two full sweeps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.core.record import Array
from estep.families.normal_density import NormalBlock, NormalParams, cancels, factored
from estep.families.normal_moments import NormalStats, about, join, split


def within(
    params: NormalParams,
    block: NormalBlock,
    anchor: Array,
    active: Any,
    log_weights: Array,
    codes: NDArray[np.intp] | None,
    weight: Array | None,
) -> tuple[NormalStats, Array, float] | None:
    """Statistics, counts (groups, k) and objective of a block; None for rows with gaps and covariances along the axes."""
    whole = len(block.patterns) == 1 and len(block.patterns[0].observed) == anchor.size
    if not whole or params.covariances.ndim == 2:
        return None
    from estep.kernels.active import active_pass

    law, n, (k, d) = factored(params), block.n, params.means.shape
    sums, counts, objective = active_pass(
        block.patterns[0].z,
        active.start,
        active.classes,
        log_weights,
        np.zeros(n, dtype=np.intp) if codes is None else codes,
        params.means - anchor,
        law.whiten,
        -0.5 * (d * math.log(2.0 * math.pi) + law.logdet),
        active.mass,
        np.ones(n) if weight is None else weight,
    )
    if cancels(params, anchor):
        return NormalStats(sums, sums[:, 0].copy(), params.means), counts, objective
    count, total, second = split(sums, d, diagonal=False)
    total, second = about(count, total, second, anchor - params.means)
    centre = remembered(params, ("anchors", anchor.tobytes()), lambda: np.tile(anchor, (k, 1)))
    return NormalStats(join(count, total, second), count.copy(), centre), counts, objective
