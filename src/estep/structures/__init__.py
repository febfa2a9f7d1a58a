"""How the hidden labels hang together. A name loads its module when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# A structure takes one line here, one in ``__all__`` and one under TYPE_CHECKING, in alphabetical order.
_HOMES = {
    "Chain": "estep.structures.chain",
    "Gated": "estep.structures.gated",
    "Grouped": "estep.structures.grouped",
    "HierarchicalGate": "estep.structures.hierarchical_gate",
    "Iid": "estep.structures.iid",
}

__all__ = [
    "Chain",
    "Gated",
    "Grouped",
    "HierarchicalGate",
    "Iid",
]

if TYPE_CHECKING:
    from estep.structures.chain import Chain
    from estep.structures.gated import Gated
    from estep.structures.grouped import Grouped
    from estep.structures.hierarchical_gate import HierarchicalGate
    from estep.structures.iid import Iid


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'estep.structures' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
