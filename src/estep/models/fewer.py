"""Fewer classes: which of a model stay, and the model and its parameters with only these.

    share_k = expected rows in class k / expected rows;      k stays where share_k >= below  (the largest always does)

What is left keeps its parameters; probabilities (of a class, of a move) are scaled up to sum to one.

Source: Li, Zhang & Jiang (2005), AAAI-05, 807, section 3.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.support import Constraints, Simplex


def staying(self: Any, stats: Any, below: float) -> NDArray[np.intp]:
    """The classes whose share of the rows is at least ``below``, in order; a noise class stays."""
    counts = np.asarray(self.structure.occupancy(stats.structure), dtype=float)
    stays = counts >= below * counts.sum()
    stays[int(np.argmax(counts))] = True
    stays[-1] |= getattr(self.family, "noisy", False)
    return np.flatnonzero(stays)


def keeping(self: Any, order: NDArray[np.intp]) -> Any:
    """This model with only the classes in ``order``; raises ValueError where something is said of single classes."""
    told = [name for name, value in (("a prior", self.prior), ("fixed or tied parameters", self.constraints)) if value]
    alike = getattr(self.family, "exchangeable", True) and getattr(self.structure, "exchangeable", True)
    if not alike or not hasattr(self.structure, "permute"):
        told.append(f"classes that differ by what they are ({type(self.family).__name__}, {type(self.structure).__name__})")
    if told:
        raise ValueError(
            f"a class has become superfluous and was to be removed, but the model has {' and '.join(told)}, which say what "
            "each class is; use prior=None and nothing fixed or tied, or algorithm='em' with a number of components of your own"
        )
    return dataclasses.replace(self, k=len(order))


def cut(self: Any, params: Any, order: NDArray[np.intp]) -> Any:
    """Parameters of ``keeping(order)``."""
    small = self.permute(params, order)
    support = self.structure.support(small.structure, Constraints())
    shares = {
        name: entry.share(getattr(small.structure, name))
        for name, entry in support.entries.items()
        if isinstance(entry, Simplex)
    }
    return dataclasses.replace(small, structure=dataclasses.replace(small.structure, **shares))
