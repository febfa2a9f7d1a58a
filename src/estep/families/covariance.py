"""The fourteen covariance structures: names, table, free parameters, and the check that covariances obey one.

    Sigma_g = lambda_g D_g A_g D_g'        lambda_g = |Sigma_g|^(1/d),  |A_g| = 1,  D_g orthogonal

A code of three letters says, in the order volume, shape, orientation, whether that part is Equal in all components,
Varies between them, or is the Identity.

    symbol     variable       shape               meaning
    lambda_g   volume         (k,)                geometric mean of the variances along the axes
    A_g        shape          (k, d)              variances along the axes relative to the volume, product one
    D_g        axes           (k, d, d)           unit axes, one a column
    Sigma_g    covs           (k, d) | (k, d, d)  diagonals for the codes ..I, whole matrices for the others

Sources: Banfield and Raftery (1993), Biometrics 49:803; Celeux and Govaert (1995), Pattern Recognition 28:781;
names as in Scrucca, Fop, Murphy and Raftery (2016), The R Journal 8(1):289, table 3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np

from estep.core.record import Array
from estep.families.covariance_axes import principal, shared_axes

Letter = Literal["E", "V", "I"]

TOLERANCE = 1e-6
"""Relative tolerance of ``check``: far above rounding, below the last digit of seven printed ones."""


@dataclasses.dataclass(frozen=True)
class CovarianceCode:
    """One covariance structure: its name and, part by part, Equal, Varying or Identity."""

    name: str
    volume: Letter
    shape: Letter
    orientation: Letter


CODES: dict[str, CovarianceCode] = {
    code.name: code
    for code in (
        CovarianceCode("EII", "E", "I", "I"),
        CovarianceCode("VII", "V", "I", "I"),
        CovarianceCode("EEI", "E", "E", "I"),
        CovarianceCode("VEI", "V", "E", "I"),
        CovarianceCode("EVI", "E", "V", "I"),
        CovarianceCode("VVI", "V", "V", "I"),
        CovarianceCode("EEE", "E", "E", "E"),
        CovarianceCode("VEE", "V", "E", "E"),
        CovarianceCode("EVE", "E", "V", "E"),
        CovarianceCode("VVE", "V", "V", "E"),
        CovarianceCode("EEV", "E", "E", "V"),
        CovarianceCode("VEV", "V", "E", "V"),
        CovarianceCode("EVV", "E", "V", "V"),
        CovarianceCode("VVV", "V", "V", "V"),
    )
}

NAMES: dict[str, str] = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII", "E": "EII", "V": "VII"}


def resolve(name: str) -> str:
    """The code that ``name`` stands for: a code itself, or one of the names of ``NAMES``.

    Raises
    ------
    ValueError
        When the name is unknown; the message lists the known ones.

    >>> resolve("full"), resolve("EVE")
    ('VVV', 'EVE')
    """
    code = NAMES.get(name, name) if isinstance(name, str) else None
    if code in CODES:
        return str(code)
    raise ValueError(
        f"covariance_type is {name!r}; expected one of {', '.join(map(repr, NAMES))} or a code of {', '.join(CODES)}"
    )


def is_diagonal(code: str) -> bool:
    """Whether the axes of the code are the coordinate axes, so that covariances are kept as diagonals (k, d).

    >>> is_diagonal("VEI"), is_diagonal("EEE")
    (True, False)
    """
    return CODES[code].orientation == "I"


def count_free(code: str, k: int, d: int) -> int:
    """Number of free parameters in ``k`` covariances of dimension ``d``.

        volume 1 | k    +    shape 0 | d-1 | k(d-1)    +    orientation 0 | d(d-1)/2 | k d(d-1)/2

    >>> count_free("VVV", 3, 4), count_free("EVE", 3, 4)
    (30, 16)
    """
    parts, copies = CODES[code], {"I": 0, "E": 1, "V": k}
    return copies[parts.volume] + copies[parts.shape] * (d - 1) + copies[parts.orientation] * (d * (d - 1) // 2)


def check(code: str, covs: Array, name: str = "covariances") -> None:
    """Raise unless ``covs`` are covariances of the structure ``code``, to a relative ``TOLERANCE`` of 1e-6.

    Entries are compared relative to the standard deviations they belong to; volumes, shapes and matrices that must be
    equal relative to their mean. Shapes: (k, d) for the codes ..I, (k, d, d) for the others.

    Raises
    ------
    ValueError
        When the shape is wrong, an entry is not finite or not symmetric, a matrix is not positive definite, or the
        structure is not that of the code; the message names the entry and the remedy.

    >>> check("VVI", np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> check("VII", np.array([[1.0, 2.0]]))
    Traceback (most recent call last):
        ...
    ValueError: covariances[0] has unequal variances; covariance structure VII needs one variance in all directions
    """
    covs = np.asarray(covs, dtype=np.float64)
    diagonal = is_diagonal(code)
    if covs.ndim != (2 if diagonal else 3) or 0 in covs.shape or (not diagonal and covs.shape[1] != covs.shape[2]):
        expected = "(components, columns): the diagonals" if diagonal else "(components, columns, columns)"
        raise ValueError(f"{name} has shape {covs.shape}; covariance structure {code} needs shape {expected}")
    if not np.all(np.isfinite(covs)):
        entry = list(map(int, np.argwhere(~np.isfinite(covs))[0]))
        raise ValueError(f"{name}{entry} is {covs[tuple(entry)]}; give finite numbers")
    (_check_variances if diagonal else _check_matrices)(covs, name)
    parts = CODES[code]
    if diagonal:
        _check_diagonal_parts(parts, covs, name)
    else:
        _CHECK_MATRIX_PARTS[parts.shape + parts.orientation](code, covs, name)
        _check_volumes(parts, np.linalg.slogdet(covs)[1] / covs.shape[1], name)


def _check_variances(covs: Array, name: str) -> None:
    if np.any(covs <= 0):
        g, j = map(int, np.argwhere(covs <= 0)[0])
        raise ValueError(f"{name}[{g}, {j}] is {covs[g, j]}; a variance must be positive")


def _check_matrices(covs: Array, name: str) -> None:
    _check_variances(np.einsum("gii->gi", covs), f"diagonal of {name}")
    gap = np.abs(covs - covs.transpose(0, 2, 1)) > TOLERANCE * _deviations(covs)
    if np.any(gap):
        g, i, j = map(int, np.argwhere(gap)[0])
        raise ValueError(
            f"{name}[{g}] is not symmetric: entry ({i}, {j}) is {covs[g, i, j]} and ({j}, {i}) is {covs[g, j, i]}; "
            "give (S + S.T) / 2"
        )
    for g, correlation in enumerate(covs / _deviations(covs)):
        smallest = float(np.linalg.eigvalsh(correlation)[0])
        if smallest <= 4 * correlation.shape[0] * np.finfo(np.float64).eps:
            raise ValueError(
                f"{name}[{g}] is not positive definite: its correlation matrix has the eigenvalue {smallest:.3g}; "
                "give a covariance without linearly dependent columns"
            )


def _deviations(covs: Array) -> Array:
    """Products of standard deviations, the scale of every entry of (k, d, d) covariances."""
    sd = np.sqrt(np.einsum("gii->gi", covs))
    return np.asarray(sd[:, :, None] * sd[:, None, :])


def _check_diagonal_parts(parts: CovarianceCode, covs: Array, name: str) -> None:
    logs = np.log(covs)
    volume = logs.mean(axis=1)
    shape = logs - volume[:, None]
    if parts.shape == "I" and np.any(np.abs(shape) > TOLERANCE):
        g = int(np.argwhere(np.abs(shape) > TOLERANCE)[0, 0])
        raise ValueError(
            f"{name}[{g}] has unequal variances; covariance structure {parts.name} needs one variance in all directions"
        )
    if parts.shape == "E":
        _first_apart(parts.name, shape, name, "the same ratios of variances")
    _check_volumes(parts, volume, name)


def _check_volumes(parts: CovarianceCode, volume: Array, name: str) -> None:
    if parts.volume == "E":
        _first_apart(parts.name, volume[:, None], name, "the same determinant")


def _first_apart(code: str, values: Array, name: str, need: str) -> None:
    """Raise for the first row of logarithms or scaled entries that is not the row of component 0."""
    apart = np.any(np.abs(values - values[0]) > TOLERANCE, axis=tuple(range(1, values.ndim)))
    if np.any(apart):
        g = int(np.argmax(apart))
        raise ValueError(f"{name}[{g}] differs from {name}[0]; covariance structure {code} needs {need} throughout")


def _check_equal_matrices(code: str, covs: Array, name: str) -> None:
    unit = covs / np.exp(np.linalg.slogdet(covs)[1] / covs.shape[1])[:, None, None]
    _first_apart(code, unit / _deviations(unit[:1]), name, "proportional covariances (same shape, same axes)")


def _check_equal_shapes(code: str, covs: Array, name: str) -> None:
    logs = np.log(principal(covs)[0])
    _first_apart(code, logs - logs.mean(axis=1, keepdims=True), name, "the same ratios of eigenvalues")


def _check_equal_axes(code: str, covs: Array, name: str) -> None:
    axes = shared_axes(covs)
    inside = axes.T @ covs @ axes
    off = np.abs(inside / _deviations(inside) - np.eye(covs.shape[1])) > TOLERANCE
    if np.any(off):
        g = int(np.argwhere(off)[0, 0])
        raise ValueError(f"{name}[{g}] has axes of its own; covariance structure {code} needs common axes")


def _check_nothing(code: str, covs: Array, name: str) -> None:
    """Shape and orientation both vary: nothing to obey."""


_CHECK_MATRIX_PARTS: dict[str, Callable[[str, Array, str], None]] = {
    "EE": _check_equal_matrices,
    "VE": _check_equal_axes,
    "EV": _check_equal_shapes,
    "VV": _check_nothing,
}
