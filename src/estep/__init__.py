"""Expectation-maximisation: one engine, and the latent-variable models that people fit with it.

A model is two pure maps, ``estep`` and ``mstep``; statistics add; data has one verb, ``sum``; an algorithm is a pure step.
Names load on first use, so that ``import estep`` stays instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "GaussianMixture": "estep.estimators.mixture",
    "Mixture": "estep.estimators.mixture",
    "KMeans": "estep.estimators.kmeans",
    "ConvergenceWarning": "estep.estimators.warnings",
    "load": "estep.estimators.files",
    "select": "estep.inference.select",
    "Selection": "estep.inference.select",
    "fit": "estep.engine.fit",
    "Variant": "estep.engine.presets",
    "Normal": "estep.families.normal",
    "Status": "estep.core.result",
    "record": "estep.core.record",
    "shared": "estep.core.record",
}
_PACKAGES = ("core", "data", "engine", "families", "models", "structures", "testing")

__all__ = [
    "ConvergenceWarning",
    "GaussianMixture",
    "KMeans",
    "Mixture",
    "Normal",
    "Selection",
    "Status",
    "Variant",
    "__version__",
    "core",
    "data",
    "engine",
    "families",
    "fit",
    "load",
    "models",
    "record",
    "select",
    "shared",
    "structures",
    "testing",
]

if TYPE_CHECKING:
    from estep import core, data, engine, families, models, structures, testing
    from estep.core.record import record, shared
    from estep.core.result import Status
    from estep.engine.fit import fit
    from estep.engine.presets import Variant
    from estep.estimators.files import load
    from estep.estimators.kmeans import KMeans
    from estep.estimators.mixture import GaussianMixture, Mixture
    from estep.estimators.warnings import ConvergenceWarning
    from estep.families.normal import Normal
    from estep.inference.select import Selection, select


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"estep.{name}")
    raise AttributeError(f"module 'estep' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
