"""How the hidden labels hang together. A name loads its module when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# A structure takes one line here, one in ``__all__`` and one under TYPE_CHECKING, in alphabetical order.
_HOMES = {
    "Chain": "estep.structures.chain",
    "FactorialChain": "estep.structures.factorial",
    "Gated": "estep.structures.gated",
    "GatedChain": "estep.structures.gated_chain",
    "Grouped": "estep.structures.grouped",
    "HierarchicalGate": "estep.structures.hierarchical_gate",
    "Iid": "estep.structures.iid",
    "SemiMarkov": "estep.structures.semimarkov",
}

__all__ = [
    "Chain",
    "FactorialChain",
    "Gated",
    "GatedChain",
    "Grouped",
    "HierarchicalGate",
    "Iid",
    "SemiMarkov",
]

if TYPE_CHECKING:
    from estep.structures.chain import Chain
    from estep.structures.factorial import FactorialChain
    from estep.structures.gated import Gated
    from estep.structures.gated_chain import GatedChain
    from estep.structures.grouped import Grouped
    from estep.structures.hierarchical_gate import HierarchicalGate
    from estep.structures.iid import Iid
    from estep.structures.semimarkov import SemiMarkov


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'estep.structures' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
