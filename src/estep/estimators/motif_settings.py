"""Settings of motif searches, checked by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.estimators.settings import require_integer
from estep.families.normal_shapes import numbers
from estep.models.motif import Motif, MotifParams
from estep.models.sites import LAWS, NAMES


def check_motif(self: Any) -> None:
    """Raise ValueError naming the first setting of a motif search that is out of range."""
    require_integer(self.n_motifs, "n_motifs")
    require_integer(self.shifts, "shifts", 0)
    law_of(self.sites)
    widths_of(self.width)
    for name, allowed in (("strands", ("forward", "both")), ("criterion", ("bic", "aic"))):
        if getattr(self, name) not in allowed:
            raise ValueError(f"{name}={getattr(self, name)!r} is unknown; choose one of {list(allowed)}")
    if not isinstance(self.palindrome, bool | np.bool_):
        raise ValueError(f"palindrome must be True or False, got {self.palindrome!r}")
    beta = self.beta
    if isinstance(beta, bool) or not isinstance(beta, int | float | np.number) or not 0 <= float(beta) < np.inf:
        raise ValueError(f"beta must be a number >= 0 (letters imagined in every column), got {beta!r}")


def law_of(sites: Any) -> str:
    """The law of places that a user named."""
    told = str(sites).lower() if isinstance(sites, str) else ""
    law = NAMES.get(told, told)
    if law not in LAWS:
        raise ValueError(f"sites={sites!r} is unknown; choose one of {sorted(LAWS)} (or {sorted(NAMES)})")
    return law


def widths_of(width: Any) -> list[int]:
    """Widths from a number, several, or a text such as "8:24" (both ends included).

    >>> widths_of(6), widths_of("6:8"), widths_of(range(6, 9))
    ([6], [6, 7, 8], [6, 7, 8])
    """
    if isinstance(width, str):
        return _parsed(width)
    given = [width] if isinstance(width, int | np.integer) else list(width) if isinstance(width, Iterable) else []
    if not given or any(isinstance(w, bool) or not isinstance(w, int | np.integer) or w < 1 for w in given):
        raise ValueError(f"width must be a whole number >= 1, several of them, or a text such as '8:24', got {width!r}")
    return [int(w) for w in given]


def _parsed(text: str) -> list[int]:
    low, _, high = text.partition(":")
    if not low.strip().isdigit() or not (high or low).strip().isdigit():
        raise ValueError(f"width={text!r} is no width; write 12, or 8:24")
    first, last = int(low), int(high or low)
    if not 1 <= first <= last:
        raise ValueError(f"width={text!r}: the first width must be at least 1 and at most the last")
    return list(range(first, last + 1))


def told_background(background: Any, frequencies: Array) -> Array | None:
    """The background that is held, or None where it is fitted."""
    if isinstance(background, str):
        if background not in ("fit", "frequencies"):
            raise ValueError(f"background={background!r} is unknown; choose 'fit', 'frequencies' or give an array")
        return None if background == "fit" else frequencies
    value = numbers(background, "background")
    if value.shape != frequencies.shape or not np.isfinite(value).all() or abs(float(value.sum()) - 1.0) > 1e-8:
        raise ValueError(
            f"background must be {frequencies.size} probabilities that sum to one, got shape {value.shape}, sum {value.sum():g}"
        )
    if ((value <= 0) & (frequencies > 0)).any() or (value < 0).any():
        raise ValueError("background gives a letter that occurs the probability 0; give it more")
    return value


def held_of(fixed: Any, width: int, size: int) -> Array | None:
    """Fixed entries of the columns, NaN where free."""
    if fixed is None:
        return None
    if not isinstance(fixed, Mapping) or set(fixed) != {"pwm"}:
        raise ValueError(f"fixed must be dict(pwm=...) (the background has a setting of its own), got {fixed!r}")
    value = numbers(fixed["pwm"], "fixed['pwm']")
    if value.shape != (width, size):
        raise ValueError(f"fixed['pwm'] has shape {value.shape}, expected ({width}, {size})")
    return value


def begin_of(init: Any, model: Motif, background: Array, widths: int) -> MotifParams | None:
    """Parameters that a user gave, or None for words."""
    if isinstance(init, str) and init == "words":
        return None
    if not isinstance(init, Mapping) or "pwm" not in init or set(init) - {"pwm", "background", "site_probability"}:
        raise ValueError(f"init must be 'words' or dict(pwm=..., background=..., site_probability=...), got {init!r}")
    if widths > 1:
        raise ValueError("init gives a motif, and width several widths; give the width of that motif")
    columns = numbers(init["pwm"], "init['pwm']")
    if columns.shape != (model.width, model.size):
        raise ValueError(f"init['pwm'] has shape {columns.shape}, expected ({model.width}, {model.size})")
    told = background if init.get("background") is None else numbers(init["background"], "init['background']")
    if told.shape != (model.size,):
        raise ValueError(f"init['background'] has shape {told.shape}, expected ({model.size},)")
    share = init.get("site_probability")
    if share is not None and not 0 < float(share) <= 1:
        raise ValueError(f"init['site_probability'] must lie in (0, 1], got {share!r}")
    default = 0.5 if model.law == "at most one" else 0.5 / model.width
    params = MotifParams(model.half(columns), told, model.first_shares(default if share is None else float(share)))
    support = model.support(params)
    try:
        support.check(params)
    except ValueError as error:
        raise ValueError(f"init: {error}") from None
    return params
