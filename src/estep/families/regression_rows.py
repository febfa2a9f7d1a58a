"""Rows of a regression: design, response and offset, checked and brought to whitened features.

Rows are a tuple ``(design (n, p), response)`` or ``(design, response, offset (n,))``; a row whose response is NaN counts for
nothing. Covariates must be known wherever the response is.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels.design import Design, centred, find_design, with_reach


def split_rows(self: Any, x: Any, at: int = 0) -> tuple[Array, Array, Array, NDArray[np.bool_]]:
    """Design (n, p), response, offset (n,) and which rows have a response; what is absent is filled with zeros.

    Raises ValueError naming row (counted from ``at``) and column of a missing covariate, and the first improper response.
    """
    if not isinstance(x, tuple) or len(x) not in (2, 3):
        raise ValueError(f"{type(self).__name__} reads a tuple (design, response) or (design, response, offset)")
    design, y = np.asarray(x[0], dtype=float), np.asarray(x[1], dtype=float)
    offset = np.asarray(x[2], dtype=float) if len(x) == 3 and x[2] is not None else np.zeros(len(design))
    seen = ~np.isnan(y if y.ndim == 1 else y.sum(axis=1))
    known = np.isfinite(design).all(axis=1) & np.isfinite(offset)
    if not known[seen].all():
        _refuse_unknown(self, design, offset, int(np.flatnonzero(seen & ~known)[0]), at)
    if not (known.all() and seen.all()):
        design = np.where((known & seen)[:, None], design, 0.0)
        y, offset = np.where(seen if y.ndim == 1 else seen[:, None], y, 1.0), np.where(known & seen, offset, 0.0)
    bad, words = self.improper(y)
    if (bad & seen).any():
        row = int(np.flatnonzero(bad & seen)[0])
        raise ValueError(f"response: row {at + row} is {np.asarray(x[1])[row].tolist()!r}, {words}")
    return design, y, offset, seen


def _refuse_unknown(self: Any, design: Array, offset: Array, row: int, at: int) -> None:
    found = np.flatnonzero(~np.isfinite(design[row]))
    if not found.size:
        raise ValueError(f"offset: row {at + row} is {offset[row]}; an offset must be a number wherever the response is known")
    j = int(found[0])
    what = "NaN" if np.isnan(design[row, j]) else "infinite"
    raise ValueError(
        f"design: row {at + row} has no value in column {names_of(self, design.shape[1])[j]!r} ({what}), and a regression says "
        "nothing of its covariates; drop such rows, regress on covariates that are complete, or model covariates and response "
        "jointly (MultivariateNormal takes missing values anywhere)"
    )


def names_of(self: Any, p: int) -> tuple[str, ...]:
    """Names of the covariates: those it was given, or x0, x1, ..."""
    return self.columns if len(self.columns) == p else tuple(f"x{j}" for j in range(p))


def known(self: Any) -> Design:
    """The map of covariates that ``bind`` found."""
    if self.design is None:
        raise ValueError(f"this {type(self).__name__} family has seen no data yet: call bind(data) first")
    found: Design = self.design
    return found


def weighted(self: Any, chunk: Any) -> tuple[Array, Array, Array, Array]:
    """Design, response, offset and weight of a chunk's rows, weight 0 where the response is missing."""
    design, y, offset, seen = split_rows(self, chunk.x, chunk.key[1])
    weight = seen.astype(float) if chunk.weight is None else np.where(seen, chunk.weight, 0.0)
    return design, y, offset, weight


def bind(self: Any, data: Any) -> Any:
    """Fix the map of covariates and the level to start from.

    Raises ValueError on collinear or constant columns (by name), missing covariates, and responses the law cannot give.
    """
    p = np.shape(next(iter(data.chunks())).x[0])[1]

    def read(chunk: Any) -> tuple[Array, Array]:
        design, _, _, weight = weighted(self, chunk)
        return design, weight

    weight, mean, covariance = centred(data, read, p)
    if weight <= 0:
        raise ValueError("response: no row has one, so there is nothing to learn; supply responses")
    chosen = dict(intercept=self.intercept, ridge=self.ridge, names=names_of(self, p), argument="design")
    design = with_reach(find_design(mean, covariance, weight, **chosen), data, read)
    sizes = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    bound = dataclasses.replace(self, columns=names_of(self, p), design=design, sizes=sizes)
    return dataclasses.replace(bound, level=bound.find_level(data))


def residual_features(self: Any, x: Any) -> Array:
    """What start rules see: the response, on the scale of the predictor, less its least-squares fit, and the design."""
    design, y = np.asarray(x[0], dtype=float), self.linked(np.asarray(x[1], dtype=float))
    offset = np.zeros(len(design)) if len(x) < 3 or x[2] is None else np.asarray(x[2], dtype=float)
    y = y - (offset[:, None] if y.ndim == 2 else offset)
    whole = np.isfinite(design).all(axis=1) & np.isfinite(y if y.ndim == 1 else y.sum(axis=1))
    basis = np.column_stack([np.ones(len(design)), design - design[whole].mean(axis=0) if whole.any() else design])
    left = np.full(y.shape, np.nan)
    left[whole] = y[whole] - basis[whole] @ np.linalg.lstsq(basis[whole], y[whole], rcond=None)[0]
    return np.column_stack([left, design])
