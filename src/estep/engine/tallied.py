"""Parameters from responsibilities: an M-step under the weak prior, with which first steps do not collapse.

    stats = sum of model.tally(neutral, chunk, resp)        a pass; another one, closer by, where digits were lost
    params = argmax q(., stats + weak prior)

Rows of discrete families are softened: a share SOFT of each row is spread over its classes. A class that never shows a value
has its probability at zero, and EM leaves no such boundary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from estep.core.protocols import Chunk
from estep.core.record import Array

SOFT = 0.1


def gently(model: Any) -> Any:
    """The model with its weak conjugate prior, where it has one for these data, so that a first M-step does not collapse."""
    family = getattr(model, "family", None)
    if model.prior is not None or not hasattr(family, "prior") or not hasattr(model, "with_prior"):
        return model
    try:
        return model.with_prior({})
    except ValueError:  # none for a constant column
        return model


def families_in(family: Any) -> list[Any]:
    """A family and, where it is made of others, those."""
    inner = [family.family] if hasattr(family, "family") else list(getattr(family, "family_of", {}).values())
    return [family, *(each for one in inner for each in families_in(one))]


def absorbs(model: Any) -> bool:
    """Whether a probability that is once at zero stays there: some family's rows are discrete."""
    return any(getattr(family, "discrete", False) for family in families_in(getattr(model, "family", None)))


def fitted_to(model: Any, data: Any, resp_of: Callable[[Chunk], Array]) -> Any:
    """Parameters from the responsibilities (m, k) that ``resp_of`` gives the rows of a chunk; raises Collapsed."""
    neutral, soften = model.start(), absorbs(model)

    def tally(at: Any, chunk: Chunk) -> Any:
        resp = resp_of(chunk)
        if soften:
            resp = (1.0 - SOFT) * resp + SOFT * resp.sum(axis=1, keepdims=True) * _even(chunk, resp.shape[1])
        return model.tally(at, chunk, resp)

    stats = data.sum(lambda chunk: tally(neutral, chunk))
    closer = getattr(model, "closer", None)
    nearby = None if closer is None else closer(neutral, stats)
    stats = stats if nearby is None else data.sum(lambda chunk: tally(nearby, chunk))
    return gently(model).mstep(stats, neutral)


def _even(chunk: Chunk, k: int) -> Array:
    """Equal shares of the classes that each row may belong to, (n, k) or (k,)."""
    allowed = chunk.allowed
    if allowed is None:
        return np.full(k, 1.0 / k)
    mask = allowed.astype(bool) if allowed.ndim == 2 else (allowed[:, None] == np.arange(k)) | (allowed[:, None] < 0)
    return np.asarray(mask / mask.sum(axis=1, keepdims=True))
