"""Alignment of components: any permutation is undone, noise stays, and the assignment is the best of all."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import estep
from estep.inference.labels import align_parameters, align_responsibilities


def memberships(n, k, seed, sharpness=1.0):
    return np.random.default_rng(seed).dirichlet(np.full(k, 1.0 / sharpness), size=n)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(0, 10_000), st.floats(0.2, 50.0))
def test_any_permutation_is_undone(k, seed, sharpness):
    p = memberships(60, k, seed, sharpness)
    order = np.random.default_rng(seed + 1).permutation(k)
    found = align_responsibilities(p, p[:, order])
    np.testing.assert_array_equal(p[:, order][:, found.order], p)
    assert found.cost == 0.0
    assert found.renamed == bool((order != np.arange(k)).any())


@pytest.mark.parametrize("k", [2, 3, 5])
def test_no_permutation_costs_less(k):
    """Brute force over all permutations of fits that differ, with weights."""
    for seed in range(20):
        p, q = memberships(30, k, seed), memberships(30, k, seed + 100)
        w = np.random.default_rng(seed).integers(0, 4, 30).astype(float)

        def cost(order, p=p, q=q, w=w):
            return 0.5 * (w @ ((p - q[:, list(order)]) ** 2).sum(axis=1)) / w.sum()

        found = align_responsibilities(p, q, w)
        costs = [cost(order) for order in itertools.permutations(range(k))]
        assert found.cost == pytest.approx(min(costs), rel=1e-12)
        assert cost(found.order) == pytest.approx(found.cost, rel=1e-12)
        assert max(costs) > min(costs)  # the comparison can fail


def test_the_cost_is_one_where_nothing_is_shared():
    p = np.array([[1.0, 0.0, 0.0]] * 4)
    assert align_responsibilities(p, np.array([[0.0, 0.0, 1.0]] * 4)).cost == 0.0  # another name for the same class
    held = align_responsibilities(p, np.array([[0.0, 0.0, 1.0]] * 4), held=1)
    assert held.cost == 1.0


def test_noise_stays():
    p = memberships(50, 4, 3, 20.0)
    q = p[:, [3, 0, 1, 2]]
    assert align_responsibilities(p, q).order.tolist() == [1, 2, 3, 0]
    assert align_responsibilities(p, q, held=1).order[-1] == 3


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 8), st.integers(0, 10_000))
def test_parameters_are_matched_whatever_their_units(k, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(k)
    means, rates = rng.normal(size=(k, 3)) * [1.0, 1e6, 1e-6], rng.gamma(2.0, size=(k, 1))
    noise = 1e-3 * means.std(axis=0) * rng.normal(size=(k, 3))
    found = align_parameters({"means": means, "rates": rates}, {"means": (means + noise)[order], "rates": rates[order]})
    gaps = np.abs(means[:, None] - means[None]).max(axis=2) + np.eye(k)
    if gaps.min() > 0:
        np.testing.assert_array_equal(order[found.order], np.arange(k))


def test_parameters_without_spread_do_not_divide_by_zero():
    same = {"weights": [0.5, 0.5], "means": [[0.0], [3.0]]}
    found = align_parameters(same, {"weights": [0.5, 0.5], "means": [[3.0], [0.0]]})
    assert found.order.tolist() == [1, 0]
    assert found.cost == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: align_responsibilities(np.ones((3, 2)), np.ones((3, 3))), r"shapes \(3, 2\) and \(3, 3\)"),
        (lambda: align_responsibilities(np.ones((3, 2)), np.ones((3, 2)), np.ones(2)), r"weight has shape \(2,\)"),
        (lambda: align_responsibilities(np.ones((3, 2)), np.ones((3, 2)), np.zeros(3)), "not all zero"),
        (lambda: align_responsibilities(np.ones((3, 2)), np.ones((3, 2)), held=3), "held=3"),
        (lambda: align_parameters({"a": [1.0]}, {"b": [1.0]}), "share no parameter"),
        (lambda: align_parameters({"a": [1.0, 2.0]}, {"a": [1.0]}), r"a has shapes \(2,\) and \(1,\)"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_two_fits_of_one_data_set():
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])
    z = rng.choice(3, size=150, p=[0.2, 0.5, 0.3])
    X = centres[z] + rng.normal(size=(150, 2))
    one = estep.GaussianMixture(3, random_state=0).fit(X)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(3)
        other = estep.GaussianMixture(3, init=dict(means=one.means_[order])).fit(X)
        np.testing.assert_allclose(other.means_[estep.align_components(one, other, X)], one.means_, atol=1e-3)
    with pytest.raises(ValueError, match="3 and 2 components"):
        estep.align_components(one, estep.GaussianMixture(2, random_state=0).fit(X), X)
    with pytest.raises(TypeError, match="KMeans has no predict_proba"):
        estep.align_components(estep.KMeans(2, random_state=0).fit(X), one, X)


def test_regressions_are_matched_by_their_responses():
    rng = np.random.default_rng(1)
    x = rng.uniform(-2, 2, size=(120, 1))
    z = np.arange(120) % 2
    y = np.where(z == 0, 1 + 2 * x[:, 0], 3 - 2 * x[:, 0]) + 0.2 * rng.normal(size=120)
    one = estep.MixtureOfRegressions("linear", 2, init=z).fit(x, y)
    two = estep.MixtureOfRegressions("linear", 2, init=1 - z).fit(x, y)
    assert estep.align_components(one, two, x, y).tolist() == [1, 0]
    np.testing.assert_allclose(two.coefs_[[1, 0]], one.coefs_, atol=1e-4)
