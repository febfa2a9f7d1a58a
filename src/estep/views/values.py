"""Rows and densities as pictures need them: numbers for every column, and the components' densities on some of the columns.

Categories are drawn as their codes 0..m-1. The density of some columns alone is that of rows whose other entries are missing,
so it holds for every family that is exact with missing entries.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.models.latent import encoded
from estep.views.with_rows import WithRows
from estep.views.words import overall_weights

MOST_POINTS = 20_000
GRID = 400
MOST_COUNTS = 400


def some_rows(estimator: Any, X: Any) -> tuple[Array, Array]:
    """Values (m, d) and responsibilities (m, k) of at most ``MOST_POINTS`` rows, drawn at random with a fixed seed."""
    n = len(X)
    if n <= MOST_POINTS:
        return values_of(estimator, X), np.asarray(estimator.predict_proba(X))
    some = np.sort(np.random.default_rng(0).choice(n, MOST_POINTS, replace=False))
    if isinstance(estimator, WithRows):
        return values_of(estimator, X)[some], estimator.predict_proba(X)[some]
    part = X.iloc[some] if hasattr(X, "iloc") else X[some]
    return values_of(estimator, part), np.asarray(estimator.predict_proba(part))


def numeric_columns(estimator: Any) -> list[int]:
    """Positions of the columns that hold numbers, not categories, nor the text that a formula reads."""
    levels, texts = getattr(estimator, "levels_", None), getattr(estimator, "_texts", ())
    d = int(estimator.n_features_in_)
    if texts:
        return [j for j in range(d) if j not in texts]
    return list(range(d)) if levels is None else [j for j in range(d) if levels[j] is None]


def values_of(estimator: Any, X: Any) -> Array:
    """Rows as numbers (n, d); a category is its code in ``levels_``, what is missing NaN."""
    if isinstance(X, str | os.PathLike):
        raise TypeError(f"X is the path {os.fspath(X)!r}, but pictures are drawn from rows in memory; read it first")
    levels, texts = getattr(estimator, "levels_", None), getattr(estimator, "_texts", ())
    if not texts and (levels is None or all(level is None for level in levels)):
        return np.asarray(X, dtype=float)
    table = np.asarray(X, dtype=object)
    out = np.full(table.shape, np.nan)
    if texts:
        numeric = numeric_columns(estimator)
        out[:, numeric] = table[:, numeric].astype(float)
        return out
    for j, known in enumerate(levels or ()):
        if known is None:
            out[:, j] = np.asarray(table[:, j], dtype=float)
            continue
        codes = {level: c for c, level in enumerate(np.asarray(known).tolist())}
        out[:, j] = [codes.get(value, np.nan) for value in table[:, j].tolist()]
    return out


def densities(estimator: Any, points: Array, columns: list[int]) -> Array:
    """Densities (n, k) of the components at ``points`` (n, len(columns)) of the given columns, the others unobserved.

    Raises
    ------
    ValueError
        From a family that refuses the points, or rows with missing entries.
    """
    result = estimator.result_
    return densities_of(result.model, result.params, points, columns, int(estimator.n_features_in_))


def densities_of(model: Any, params: Any, points: Array, columns: list[int], d: int) -> Array:
    """The same for a model of ``d`` columns and its parameters."""
    x = np.full((len(points), d), np.nan)
    x[:, columns] = points
    return np.asarray(np.exp(model.family.log_density(params.family, encoded(model.family, x))), dtype=float)


def curves(estimator: Any, values: Array, column: int) -> tuple[Array, Array, bool]:
    """Places along one column, densities (places, k) there, and whether the law lives on whole numbers only.

    The places reach a little beyond the rows where the family has a density there, else as far as the rows.
    """
    result = estimator.result_
    return curves_of(result.model, result.params, values, column, int(estimator.n_features_in_))


def curves_of(model: Any, params: Any, values: Array, column: int, d: int) -> tuple[Array, Array, bool]:
    """The same for a model of ``d`` columns and its parameters."""
    low, high = float(values.min()), float(values.max())
    pad = 0.08 * (high - low or 1.0)
    whole = np.arange(np.floor(low), np.ceil(high) + 1.0)
    if len(whole) > MOST_COUNTS:
        whole = np.unique(np.rint(np.linspace(low, high, MOST_COUNTS)))
    smooth = (np.linspace(low - pad, high + pad, GRID), np.linspace(low, high, GRID))
    refused = []
    for grid, counted in ((smooth[0], False), (smooth[1], False), (whole, True)):
        try:
            found = densities_of(model, params, grid[:, None], [column], d)
        except ValueError as error:
            refused.append(error)
            continue
        if not np.isnan(found).any():
            return grid, found, counted
    raise refused[0] if refused else ValueError(f"columns: the family gives no density along column {column}")


def mixing(estimator: Any) -> Array:
    """Weights (k,) of the components over all rows; raises ValueError where the model has none of its own."""
    weights = overall_weights(estimator.result_)
    if weights is None:
        raise ValueError(f"{type(estimator).__name__} has no weights over all rows: they follow from covariates, row by row")
    return weights
