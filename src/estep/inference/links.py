"""The scales on which parameters are nearly normal: what intervals are built on.

    entry of the support                              scale
    Simplex, TiedRows, LogLinear, Probability         log-odds
    Positive, NonNegative, AtLeast                    logarithm
    covariances                                       logarithm of variances, covariances as they are
    any other                                         as it is, or what the entry's attribute ``link`` names

An interval (a, b) on the scale is carried back, so that it lies within the range.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array

Names = NDArray[np.str_]


@dataclasses.dataclass(frozen=True)
class Link:
    """A scale: ``of`` maps a value to it, ``back`` from it, ``slope`` is its derivative; ``low``, ``high`` bound the values."""

    of: Callable[[Array], Array]
    back: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    low: float
    high: float


def _odds_back(z: Array) -> Array:
    small = np.exp(-np.abs(z))
    return np.asarray(np.where(z < 0, small, 1.0) / (1.0 + small))


LINKS: Mapping[str, Link] = {
    "identity": Link(np.asarray, np.asarray, np.ones_like, -np.inf, np.inf),
    "log": Link(np.log, np.exp, lambda x: np.asarray(1.0 / x), 0.0, np.inf),
    "logit": Link(lambda x: np.log(x) - np.log1p(-x), _odds_back, lambda x: np.asarray(1.0 / (x * (1.0 - x))), 0.0, 1.0),
}
"""Scale by name."""


def _alike(name: str) -> Callable[[Any, Array], Names]:
    return lambda entry, value: np.full(value.shape, name)


def _variances(entry: Any, value: Array) -> Names:
    """Of matrices (..., d, d) the diagonals; of anything flatter all."""
    out = np.full(value.shape, "log", dtype="<U8")
    flat = value.ndim < 2 or (value.ndim == 2 and (not hasattr(entry, "d") or value.shape != (entry.d, entry.d)))
    if not flat:
        out[...] = "identity"
        i = np.arange(value.shape[-1])
        out[..., i, i] = "log"
    return out


OF_ENTRY: Mapping[str, Callable[[Any, Array], Names]] = {
    **dict.fromkeys(("Simplex", "TiedRows", "LogLinear", "Probability"), _alike("logit")),
    **dict.fromkeys(("Positive", "NonNegative", "AtLeast"), _alike("log")),
    **dict.fromkeys(("WholeCovariances", "DiagonalCovariances"), _variances),
}
"""Class of a support entry -> the scale of each entry of a parameter as users see it."""


def links_of(entry: Any, value: Array) -> Names:
    """The scale of every entry of a parameter that lives in ``entry``; ``identity`` where nothing is known of it.

    >>> from estep.core.support import Positive
    >>> links_of(Positive(None), np.ones(2)).tolist()
    ['log', 'log']
    """
    own = getattr(entry, "link", None)
    made = _alike(own) if isinstance(own, str) and own in LINKS else OF_ENTRY.get(type(entry).__name__, _alike("identity"))
    return made(entry, value)


def applied(names: Names, which: str, value: Array) -> Array:
    """``of``, ``back`` or ``slope`` of each entry's own scale."""
    out = np.full(value.shape, np.nan)
    for name, link in LINKS.items():
        here = names == name
        with np.errstate(all="ignore"):
            out[here] = getattr(link, which)(value[here])
    return out
