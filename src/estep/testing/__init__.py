"""Laws that every family, structure and model obeys, for ours and for yours.

    check_family(family, x)          rows add, weight 2 is seen twice, q is the log density, fit maximises q ...
    check_structure(structure, k)    against brute-force enumeration of every hidden configuration
    check_model(model, x)            the objective never falls; chunks, threads and interruptions do not matter ...

Each raises AssertionError naming the law that does not hold, what was found and expected, and the worst place. The
laws are also listed one by one (``FAMILY_LAWS``, ``STRUCTURE_LAWS``, ``MODEL_LAWS``), each a function of a case
(``family_case``, ``structure_case``, ``model_case`` make one).
``brute_force`` enumerates; ``strategies`` draws data for property-based tests (needs hypothesis); ``altered`` plants bugs,
to see a law catch them; ``toy`` is a model whose every run is known beforehand.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "FAMILY_LAWS": "family",
    "MODEL_LAWS": "model",
    "STRUCTURE_LAWS": "structure",
    "FamilyCase": "case_of_family",
    "ModelCase": "case_of_model",
    "StructureCase": "case_of_structure",
    "altered": "planted",
    "check_family": "family",
    "check_model": "model",
    "check_structure": "structure",
    "family_case": "case_of_family",
    "model_case": "case_of_model",
    "structure_case": "case_of_structure",
}
_MODULES = ("brute_force", "strategies", "toy")

__all__ = [
    "FAMILY_LAWS",
    "MODEL_LAWS",
    "STRUCTURE_LAWS",
    "FamilyCase",
    "ModelCase",
    "StructureCase",
    "altered",
    "brute_force",
    "check_family",
    "check_model",
    "check_structure",
    "family_case",
    "model_case",
    "strategies",
    "structure_case",
    "toy",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__doc__"]
