"""Laws of the chart: coordinates number the structure, go there and back, and the gradient is that of the way back."""

import numpy as np
import pytest

from estep.families.covariance import CODES, check, count_free, is_diagonal
from estep.families.covariance_chart import gradient, pack, unpack
from estep.families.covariance_fit import fit

SIZES = ((3, 4), (2, 2), (4, 1), (1, 3))


def covariances(code, k, d, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(k, 3 * d + 2, d)) @ rng.normal(size=(k, d, d))
    scatter = np.einsum("gni,gnj->gij", rows, rows)
    return fit(code, np.einsum("gii->gi", scatter) if is_diagonal(code) else scatter, rng.uniform(5, 50, size=k))


def smooth(covs, weights):
    """A function of covariances with no symmetry, and its derivative by every entry."""
    value = np.sum(weights * covs) + np.sum(np.sin(covs / 7))
    return value, weights + np.cos(covs / 7) / 7


def symmetric_weights(code, k, d, seed=3):
    weights = np.random.default_rng(seed).normal(size=(k, d) if is_diagonal(code) else (k, d, d))
    return weights if is_diagonal(code) else weights + weights.transpose(0, 2, 1)


def slopes(code, covs, weights, step=1e-5):
    """Central differences through ``unpack``; their error is step squared, relative, about 1e-10."""
    here = pack(code, covs)
    sides = [[smooth(unpack(code, here + s * step * e, covs), weights)[0] for s in (1, -1)] for e in np.eye(len(here))]
    return np.array([(up - down) / (2 * step) for up, down in sides])


@pytest.mark.parametrize(("k", "d"), SIZES)
@pytest.mark.parametrize("code", CODES)
def test_there_and_back(code, k, d):
    covs = covariances(code, k, d)
    here = pack(code, covs)
    assert here.shape == (count_free(code, k, d),)
    np.testing.assert_allclose(unpack(code, here, covs), covs, rtol=1e-10, atol=1e-12 * np.abs(covs).max())
    np.testing.assert_array_equal(pack(code, covs, covs), here)


@pytest.mark.parametrize(("k", "d"), SIZES)
@pytest.mark.parametrize("code", CODES)
def test_any_vector_is_a_point_of_the_structure(code, k, d):
    covs = covariances(code, k, d)
    rng = np.random.default_rng(1)
    for size in (1e-3, 0.1, 0.5):
        vector = pack(code, covs) + size * rng.normal(size=count_free(code, k, d))
        there = unpack(code, vector, covs)
        check(code, there)
        # where a shape changes its order the coordinates may be others, but they stand for the same covariances
        back = pack(code, there, covs)
        np.testing.assert_allclose(unpack(code, back, covs), there, rtol=1e-8, atol=1e-9 * np.abs(there).max())
        if size < 0.5:
            np.testing.assert_allclose(back, vector, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("code", [code for code in CODES if code in ("EVE", "VVE", "EEV", "VEV")])
def test_the_base_lies_at_turn_zero_and_others_do_not(code):
    k, d = 3, 4
    turns = {"E": 1, "V": k}[CODES[code].orientation] * d * (d - 1) // 2
    covs, other = covariances(code, k, d), covariances(code, k, d, seed=8)
    assert np.all(pack(code, covs)[-turns:] == 0)
    assert np.all(pack(code, other, covs)[-turns:] != 0)
    np.testing.assert_allclose(
        unpack(code, pack(code, other, covs), covs), other, rtol=1e-8, atol=1e-9 * np.abs(other).max()
    )


@pytest.mark.parametrize(("k", "d"), SIZES)
@pytest.mark.parametrize("code", CODES)
def test_gradient_is_that_of_the_way_back(code, k, d):
    covs, weights = covariances(code, k, d), symmetric_weights(code, k, d)
    found = gradient(code, covs, smooth(covs, weights)[1])
    expected = slopes(code, covs, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("code", CODES)
def test_the_law_catches_a_gradient_that_counts_half_of_the_entries(code):
    covs, weights = covariances(code, 3, 4), symmetric_weights(code, 3, 4)
    dcov = smooth(covs, weights)[1]
    wrong = dcov / 2 if is_diagonal(code) else np.tril(dcov)
    wrong = wrong if is_diagonal(code) else (wrong + wrong.transpose(0, 2, 1)) / 2
    assert not np.allclose(gradient(code, covs, wrong), slopes(code, covs, weights), rtol=1e-3, atol=0)


def test_a_vector_of_another_length_is_refused():
    covs = covariances("VVV", 2, 3)
    with pytest.raises(ValueError, match=r"need \(12,\)"):
        unpack("VVV", np.zeros(11), covs)


def test_many_large_matrices():
    """A gradient of every code at k = 8, d = 32: closed forms, so its directional derivative holds there too."""
    k, d = 8, 32
    rng = np.random.default_rng(4)
    for code in CODES:
        covs, weights = covariances(code, k, d), symmetric_weights(code, k, d)
        direction = rng.normal(size=count_free(code, k, d)) / 100
        here, h = pack(code, covs), 1e-4
        values = [smooth(unpack(code, here + s * h * direction, covs), weights)[0] for s in (1, -1)]
        found = gradient(code, covs, smooth(covs, weights)[1]) @ direction
        assert found == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-5), code
