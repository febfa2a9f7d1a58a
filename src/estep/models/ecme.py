"""ECME for t components: the degrees of freedom climb the likelihood itself, not the q in which hidden weights hold them back.

    cycle 1   labels and weights hidden     w, mu, Sigma = argmax q at the dofs of before                (the pass of the step)
    cycle 2   labels hidden alone           nu_k higher on  f_k(nu) = sum_i r_ik log t(x_i; mu_k, Sigma_k, nu)     (a pass more)

Each cycle raises the observed likelihood, for f_k is a bound on it that touches. EM creeps where the weights say little about
the dofs, but its direction is right: they move that way (in log nu) to the best of its step times 0, 1, RATIO, RATIO^2, ..., a
factor of FAR, and the end of their range, which near the normal is where they belong.

Sources: Liu & Rubin (1994), Biometrika 81:633; Meng & van Dyk (1997), JRSS B 59:511, for cycles with their own hidden data.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, Final

import numpy as np

from estep.core.assign import SOFT
from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.core.rows import take
from estep.families import student_weights
from estep.families.student import HIGHEST, LOWEST
from estep.models.latent import encoded, forbid, kept_encoding

RATIO, LONGEST = 3.0, 7
FAR = 10.0


@dataclasses.dataclass(frozen=True)
class Ecme:
    """An update axis for models with ``Student`` components; costs one pass more where a number of dofs is free.

    ``Latent.ecme`` calls it, so that ``algorithm="ecme"`` reaches it without knowing the family.
    """

    name: Final[str] = "maximise, dofs on the likelihood (ecme)"

    def __call__(self, model: Any, data: Any, stats: Any, params: Any) -> Any:
        """The new parameters."""
        new, old = model.mstep(stats, params), params.family.dofs
        if np.array_equal(new.family.dofs, old):
            return new
        now = _with_dofs(new, old)
        dofs = candidates(old, new.family.dofs)
        heights = data.sum(partial(profile, model, now, dofs))
        ties = model.support(params).entries["family.dofs"].pattern
        return _with_dofs(now, highest(dofs, heights, ties.groups))


def candidates(old: Array, new: Array) -> Array:
    """Dofs (m, k) on the way from ``old`` past the EM step to ``new``, the first being ``old``.

    >>> candidates(np.array([5.0]), np.array([10.0])).ravel()[[0, 1, 2, -1]].round(6).tolist()
    [5.0, 10.0, 40.0, 1000000.0]
    """
    lengths = np.concatenate([[0.0], RATIO ** np.arange(LONGEST)])
    low, high = np.minimum(LOWEST, old), np.maximum(HIGHEST, old)
    with np.errstate(over="ignore"):
        ahead = old * np.exp(lengths[:, None] * np.log(new / old))
    up = new > old
    return np.asarray(np.clip(np.vstack([ahead, np.where(up, old * FAR, old / FAR), np.where(up, high, low)]), low, high))


def highest(dofs: Array, heights: Array, groups: Any) -> Array:
    """For each component, or each group of tied ones, the candidate with the highest sum of ``heights`` (m, k)."""
    best: Array = dofs[0].copy()
    for g in range(int(groups.max(initial=-1)) + 1):
        members = groups == g
        best[members] = dofs[int(np.argmax(heights[:, members].sum(axis=1))), members]
    return best


def profile(model: Any, params: Any, dofs: Array, chunk: Chunk) -> Array:
    """One chunk's part of f_k at every candidate, (m, k)."""
    family, total = model.family, np.zeros(dofs.shape)

    def encode(rows: slice) -> Any:
        whole = rows == slice(0, len(chunk))
        return kept_encoding(family, chunk) if whole else encoded(family, take(chunk.x, rows))

    def logb(rows: slice) -> Array:
        dense: Array = family.log_density(params.family, encode(rows))
        return dense if chunk.allowed is None else forbid(dense, chunk.allowed[rows])

    def collect(rows: slice, resp: Array) -> None:
        block = encode(rows)
        total[:] += student_weights.profile(params.family, block, resp, block.anchor, dofs)

    model.structure.infer(params.structure, logb, chunk, SOFT, collect)
    return total


def _with_dofs(params: Any, dofs: Array) -> Any:
    return dataclasses.replace(params, family=dataclasses.replace(params.family, dofs=dofs))
