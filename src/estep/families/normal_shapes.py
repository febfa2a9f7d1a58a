"""Shapes in which users meet normal parameters.

    covariance_type        covariances
    full, any code         (k, d, d)
    tied                   (d, d)
    diag                   (k, d)
    spherical              (k,)

Inside, diagonal structures hold variances (k, d) and the others matrices (k, d, d).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.families import covariance


def _matrices(covariances: Array) -> Array:
    if covariances.ndim == 3:
        return covariances
    return covariances[:, :, None] * np.eye(covariances.shape[1])


SHOW: dict[str, Callable[[Array], Array]] = {
    "tied": lambda c: c[0],
    "diag": lambda c: c,
    "spherical": lambda c: c[:, 0],
}
SHAPE: dict[str, Callable[[int, int], tuple[int, ...]]] = {
    "tied": lambda k, d: (d, d),
    "diag": lambda k, d: (k, d),
    "spherical": lambda k, d: (k,),
}
TAKE: dict[str, Callable[[Array, int, int], Array]] = {
    "tied": lambda c, k, d: np.tile(c, (k, 1, 1)),
    "diag": lambda c, k, d: c,
    "spherical": lambda c, k, d: np.repeat(c[:, None], d, axis=1),
}


def exposed(covariance_type: str, covariances: Array) -> Array:
    """Covariances in the user's shape."""
    return SHOW.get(covariance_type, _matrices)(covariances)


def adopted_means(value: Any, k: int, d: int, argument: str) -> Array:
    """Means (k, d); in one column (k,) will do."""
    array = numbers(value, argument)
    if d == 1 and array.shape == (k,):
        array = array[:, None]
    return _shaped(array, (k, d), argument)


def adopted_covariances(covariance_type: str, value: Any, k: int, d: int, argument: str) -> Array:
    """Covariances in the inner shape; NaN marks a component left free."""
    array = numbers(value, argument)
    if covariance_type in TAKE:
        return TAKE[covariance_type](_shaped(array, SHAPE[covariance_type](k, d), argument), k, d)
    if d == 1 and array.shape == (k,):
        array = array[:, None, None]
    array = _shaped(array, (k, d, d), argument)
    if not covariance.is_diagonal(covariance.resolve(covariance_type)):
        return array
    off = array[:, ~np.eye(d, dtype=bool)]
    if np.any(np.nan_to_num(off) != 0):
        raise ValueError(
            f"{argument} has off-diagonal entries, but covariance_type={covariance_type!r} is diagonal; set them to 0"
        )
    return np.asarray(np.diagonal(array, axis1=1, axis2=2))


def adopted_ties(value: Any, shape: tuple[int, ...], argument: str) -> NDArray[np.intp]:
    """Integers of the pattern's shape; one per component will do for a pattern by entry."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{argument} must hold integers (equal integers share a value), got dtype {array.dtype}")
    if array.shape == shape[:1] and len(shape) == 2:
        array = array[:, None] * shape[1] + np.arange(shape[1])
    if array.shape != shape:
        raise ValueError(f"{argument} has shape {array.shape}, expected {shape}")
    return array.astype(np.intp)


def numbers(value: Any, argument: str) -> Array:
    """``value`` as floats; raises ValueError naming ``argument``."""
    try:
        return np.array(value, dtype=float)
    except (TypeError, ValueError):
        entries = value.ravel().tolist() if isinstance(value, np.ndarray) else []
        text = next((f", of {entry!r}" for entry in entries if isinstance(entry, str)), "")
        raise ValueError(f"{argument} must be an array of numbers, got {type(value).__name__}{text}") from None


def _shaped(array: Array, shape: tuple[int, ...], argument: str) -> Array:
    if array.shape != shape:
        raise ValueError(f"{argument} has shape {array.shape}, expected {shape}")
    return array
