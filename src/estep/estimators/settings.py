"""Settings checked by name: what was found, what was expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def _integer(low: int) -> tuple[Callable[[Any], bool], str]:
    def holds(v: Any) -> bool:
        return bool(isinstance(v, int | np.integer) and not isinstance(v, bool) and v >= low)

    return holds, f"an integer >= {low}"


def _optional_integer(v: Any) -> bool:
    return v is None or bool(isinstance(v, int | np.integer) and not isinstance(v, bool) and (v >= 1 or v == -1))


def is_number(v: Any) -> bool:
    """Whether a value is a real number and no truth."""
    return isinstance(v, int | float | np.integer | np.floating) and not isinstance(v, bool)


def _tolerance(v: Any) -> bool:
    return bool(is_number(v) and np.isfinite(v) and v >= 0)


def _progressive(v: Any) -> bool:
    return bool((isinstance(v, str) and v == "auto") or isinstance(v, bool | np.bool_) or _integer(1)[0](v))


def _noise(v: Any) -> bool:
    return isinstance(v, bool | np.bool_) or bool(is_number(v) and np.isfinite(v) and v > 0)


RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "n_components": _integer(1),
    "n_clusters": _integer(1),
    "n_states": _integer(1),
    "n_mix": _integer(1),
    "n_init": _integer(1),
    "max_iter": _integer(0),
    "tol": (_tolerance, "a number >= 0 (nats per unit weight)"),
    "n_jobs": (_optional_integer, "None, -1 or a number of threads >= 1"),
    "ridge": (_tolerance, "a number >= 0 (precision of the prior on coefficients)"),
    "gate_ridge": (_tolerance, "a number >= 0 (precision of the prior on the gate's coefficients)"),
    "progressive": (_progressive, "'auto', True, False or the rows of the first part, an integer >= 1"),
    "intercept": (lambda v: isinstance(v, bool | np.bool_), "True or False"),
    "progress": (lambda v: v is None or isinstance(v, bool | int | np.bool_), "True or False"),
    "noise": (_noise, "True, False or a density > 0 (1 / volume)"),
}


def check_settings(self: Any) -> None:
    """Raise ValueError naming the first setting of the estimator that is out of range."""
    for name, (holds, expected) in RULES.items():
        if hasattr(self, name) and not holds(getattr(self, name)):
            raise ValueError(f"{name} must be {expected}, got {getattr(self, name)!r}")


def require_integer(value: Any, name: str, low: int = 1) -> None:
    """Raise ValueError naming ``name`` unless ``value`` is an integer >= ``low``."""
    holds, expected = _integer(low)
    if not holds(value):
        raise ValueError(f"{name} must be {expected}, got {value!r}")


def absorbing_of(self: Any) -> tuple[int, ...]:
    """The states that are never left, from a setting that is one, or several; raises ValueError."""
    told = np.asarray(self.absorbing, dtype=object)
    states = told.tolist() if told.ndim == 1 else [told.tolist()]
    if strange := [state for state in states if not _integer(0)[0](state)]:
        raise ValueError(f"absorbing must be a state, an integer >= 0, or a list of states, got {strange[0]!r}")
    return tuple(int(state) for state in states)
