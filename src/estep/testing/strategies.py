"""Hypothesis strategies for the inputs of models: rows with gaps, offsets, scales, weights, labels, covariances.

A matrix of rows is

    x = offset + scale * (centre of the row's cluster + N(0, 1))

with one offset and one scale a column, so that the hard cases (far from zero, unlike units, clusters far apart, entries
missing) come one by one and together, and shrink to the easiest that still fails. Random numbers come from a drawn
seed: data are never degenerate by construction, as lists of drawn floats are.

Needs hypothesis; importing this module does not.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array

OFFSETS = (0.0, 1.0, -1e3, 1e6, 1e8)
SCALES = (1.0, 1e-3, 1e3)


def _hypothesis() -> Any:
    try:
        return importlib.import_module("hypothesis.strategies")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "estep.testing.strategies needs hypothesis, which is not installed; install it with: pip install hypothesis"
        ) from None


def generators() -> Any:
    """Random generators, each from a drawn seed."""
    return _hypothesis().integers(0, 2**32 - 1).map(np.random.default_rng)


def offsets(d: int, values: Sequence[float] = OFFSETS) -> Any:
    """Offsets (d,), one a column, from ``values`` (simplest first)."""
    st = _hypothesis()
    return st.lists(st.sampled_from(list(values)), min_size=d, max_size=d).map(np.array)


def scales(d: int, values: Sequence[float] = SCALES) -> Any:
    """Scales (d,), one a column, from ``values`` (simplest first)."""
    return offsets(d, values)


def missing_patterns(n: int, d: int, most: float = 0.5) -> Any:
    """Booleans (n, d), True where an entry is missing: a share of up to ``most`` of them, one row complete."""
    st = _hypothesis()
    return st.builds(_gaps, generators(), st.just((n, d)), st.sampled_from([0.0, 0.1, 0.3, most]))


def _gaps(rng: np.random.Generator, shape: tuple[int, int], share: float) -> NDArray[np.bool_]:
    gaps = rng.random(shape) < share
    gaps[0] = False
    return gaps


def matrices(
    *,
    n: tuple[int, int] = (20, 60),
    d: tuple[int, int] = (1, 4),
    clusters: tuple[int, int] = (1, 3),
    missing: float = 0.0,
    offset: Sequence[float] = OFFSETS,
    scale: Sequence[float] = SCALES,
    apart: Sequence[float] = (3.0, 0.0, 100.0),
) -> Any:
    """Matrices of rows (n, d), sizes within the given bounds.

    Parameters
    ----------
    n, d, clusters : (int, int)
        Least and largest number of rows, columns and clusters.
    missing : float
        Largest share of missing entries (NaN); 0 for none. Every column keeps observed entries.
    offset, scale : sequence of float
        What the columns' offsets and scales are drawn from, simplest first.
    apart : sequence of float
        Standard deviations between neighbouring cluster centres.

    Examples
    --------
    >>> rows = matrices(d=(2, 2), missing=0.3)  # for hypothesis.given
    """
    st = _hypothesis()

    def of_shape(rows: int, columns: int) -> Any:
        return st.builds(
            _matrix,
            generators(),
            st.integers(*clusters),
            st.sampled_from(list(apart)),
            offsets(columns, offset),
            scales(columns, scale),
            missing_patterns(rows, columns, missing) if missing else st.just(np.zeros((rows, columns), dtype=bool)),
        )

    return st.tuples(st.integers(*n), st.integers(*d)).flatmap(lambda shape: of_shape(*shape))


def _matrix(
    rng: np.random.Generator, clusters: int, apart: float, offset: Array, scale: Array, gaps: NDArray[np.bool_]
) -> Array:
    n, d = gaps.shape
    centres = apart * np.arange(clusters)[:, None] * rng.choice([-1.0, 1.0], size=(1, d))
    z = centres[np.arange(n) % clusters] + rng.standard_normal((n, d))
    return np.where(gaps, np.nan, offset + scale * z)


def weights(n: int, *, zeros: bool = True) -> Any:
    """Weights (n,): all one, whole numbers, or any positive numbers; some zero unless told not to (never all)."""
    st = _hypothesis()
    return st.builds(
        _weights,
        generators(),
        st.just(n),
        st.sampled_from(["one", "whole", "any"]),
        st.booleans() if zeros else st.just(False),
    )


def _weights(rng: np.random.Generator, n: int, sort: str, zeros: bool) -> Array:
    drawn = {
        "one": np.ones(n),
        "whole": rng.integers(1, 4, size=n).astype(float),
        "any": rng.uniform(0.1, 5.0, size=n),
    }[sort]
    return drawn * (rng.random(n) < 0.8) if zeros and n > 10 else drawn


def partial_labels(n: int, k: int) -> Any:
    """Labels: int codes (n,) with -1 for unlabelled rows, or booleans (n, k) with a permitted class in every row."""
    st = _hypothesis()
    share = st.sampled_from([0.0, 0.2, 0.8])
    return st.one_of(
        st.builds(_codes, generators(), st.just((n, k)), share), st.builds(_sets, generators(), st.just((n, k)), share)
    )


def _codes(rng: np.random.Generator, shape: tuple[int, int], share: float) -> NDArray[np.intp]:
    n, k = shape
    return np.where(rng.random(n) < share, rng.integers(k, size=n), -1).astype(np.intp)


def _sets(rng: np.random.Generator, shape: tuple[int, int], share: float) -> NDArray[np.bool_]:
    n, k = shape
    permitted = rng.random(shape) >= share
    permitted[np.arange(n), rng.integers(k, size=n)] = True
    return permitted


def spd_matrices(k: int, d: int, *, condition: Sequence[float] = (1.0, 10.0, 1e4)) -> Any:
    """Symmetric positive definite matrices (k, d, d) with condition numbers from ``condition`` and random axes."""
    st = _hypothesis()
    return st.builds(_spd, generators(), st.just((k, d)), st.sampled_from(list(condition)))


def _spd(rng: np.random.Generator, shape: tuple[int, int], condition: float) -> Array:
    k, d = shape
    axes = np.linalg.qr(rng.standard_normal((k, d, d)))[0]
    spread = condition ** (np.arange(d) / max(d - 1, 1)) * rng.uniform(0.5, 2.0, size=(k, 1))
    matrices = (axes * spread[:, None, :]) @ axes.transpose(0, 2, 1)
    return np.asarray(0.5 * (matrices + matrices.transpose(0, 2, 1)))


def normal_params(k: int, d: int, *, diagonal: bool = False, apart: Sequence[float] = (1.0, 0.0, 100.0)) -> Any:
    """``NormalParams`` of ``k`` components in ``d`` columns; ``apart`` scales the means."""
    from estep.families.normal_density import NormalParams

    st = _hypothesis()

    def build(rng: np.random.Generator, size: float, covariances: Array) -> NormalParams:
        means = size * rng.standard_normal((k, d))
        inner = np.diagonal(covariances, axis1=1, axis2=2).copy() if diagonal else covariances
        return NormalParams(means, inner)

    return st.builds(build, generators(), st.sampled_from(list(apart)), spd_matrices(k, d))
