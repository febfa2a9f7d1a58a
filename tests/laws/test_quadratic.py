"""The compiled quadratic kernels against their plain twins, at every remainder of rows, columns and components."""

import numpy as np
import pytest

from estep.families.normal_moments import features_of
from estep.kernels.quadratic import LANES, SHORTEST, TILE, quadratic_forms, quadratic_sums
from estep.kernels.reference import quadratic_forms_reference, quadratic_sums_reference

EPS = np.finfo(float).eps


def lifted(d, n, rng):
    return np.vstack([np.ones(n), rng.normal(size=(d, n))])


def problem(d, k, n):
    rng = np.random.default_rng([d, k, n])
    width = 1 + d + d * (d + 1) // 2
    return lifted(d, n, rng), rng.normal(size=(k, width)), rng.random((k, n))


def bound(*factors):
    """Rounding of a sum of products: the number of terms times epsilon times the sum of their sizes."""
    left, right = (np.abs(f) for f in factors)
    return 4 * left.shape[1] * EPS * (left @ right)


@pytest.mark.parametrize("n", [SHORTEST, SHORTEST + 1, 3 * LANES - 1, 37])
@pytest.mark.parametrize("k", [1, 4, 5, 8, 13])
@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_the_kernels_are_their_twins(d, k, n):
    z, eta, weight = problem(d, k, n)
    features = features_of(z[1:], False)
    assert np.all(np.abs(quadratic_forms(z, eta) - quadratic_forms_reference(z, eta)) <= bound(eta, features))
    assert np.all(np.abs(quadratic_sums(z, weight) - quadratic_sums_reference(z, weight)) <= bound(weight, features.T))


@pytest.mark.parametrize(("d", "k", "n"), [(8, 21, TILE + 1), (17, 3, 2 * TILE - 5), (32, 16, 700), (64, 9, 520)])
def test_the_kernels_are_matrix_products(d, k, n):
    z, eta, weight = problem(d, k, n)
    features = features_of(z[1:], False)
    assert np.all(np.abs(quadratic_forms(z, eta) - eta @ features) <= bound(eta, features))
    assert np.all(np.abs(quadratic_sums(z, weight) - weight @ features.T) <= bound(weight, features.T))


def test_other_coefficients_give_other_forms():
    z, eta, weight = problem(4, 5, 40)
    features = features_of(z[1:], False)
    swapped = eta.copy()
    swapped[:, [6, 7]] = eta[:, [7, 6]]
    assert np.any(np.abs(quadratic_forms(z, swapped) - eta @ features) > bound(eta, features))
    assert np.any(np.abs(quadratic_sums(z, weight[::-1]) - weight @ features.T) > bound(weight, features.T))
