"""Laws of the hierarchical start: the tree is the greedy tree of its criterion, and its cuts are partitions."""

import numpy as np
import pytest

from estep.kernels.agglomerate import nearest_pair, nearest_pair_in_arrays, ward_term
from estep.kernels.reference import agglomerate_reference, agglomeration_criterion
from estep.start import hierarchical
from estep.start.hierarchical import (
    MergeTree,
    discriminant_labels,
    hierarchical_labels,
    merge_tree,
    scaled_svd,
)

MODELS = ["VVV", "EEE", "VII", "EII"]


def sample(seed, n, d):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * rng.uniform(0.3, 3.0, size=(n, 1)) + 2.0 * rng.integers(0, 2, size=(n, 1))


def same_partition(a, b):
    return len(set(zip(a.tolist(), b.tolist(), strict=True))) == len(np.unique(a)) == len(np.unique(b))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("seed", "n", "d"), [(0, 2, 1), (1, 8, 1), (2, 12, 2), (3, 12, 3), (4, 11, 5), (5, 12, 2)])
def test_merges_are_those_of_the_reference(model, seed, n, d):
    X = sample(seed, n, d)
    np.testing.assert_array_equal(merge_tree(X, model).merges, agglomerate_reference(X, model))


@pytest.mark.parametrize("model", MODELS)
def test_merges_of_integer_rows_are_cheapest_at_every_step(model):
    """With ties the order is a convention, so the law is that no other merge is cheaper."""
    X = np.random.default_rng(6).integers(0, 4, size=(14, 2)).astype(float)
    parts = {i: [i] for i in range(len(X))}
    for a, b in merge_tree(X, model).merges:
        values = {}
        for i in parts:
            for j in parts:
                if i < j:
                    rest = [part for g, part in parts.items() if g not in (i, j)]
                    values[i, j] = agglomeration_criterion(X, [*rest, parts[i] + parts[j]], model)
        assert values[a, b] <= min(values.values()) + 1e-12 * (1 + abs(min(values.values())))
        parts[a] += parts.pop(b)


def test_a_wrong_criterion_is_caught(monkeypatch):
    """Control: Ward's term in the place of the unconstrained one does not give the reference merges."""
    monkeypatch.setitem(hierarchical.CRITERIA, "VVV", hierarchical._by_terms(ward_term))
    X = sample(2, 12, 2)
    assert not np.array_equal(merge_tree(X, "VVV").merges, agglomerate_reference(X, "VVV"))


def test_one_volume_is_ward_linkage():
    from scipy.cluster.hierarchy import fcluster, linkage

    X = sample(7, 150, 3)
    tree, joined = merge_tree(X, "EII"), linkage(X, "ward")
    assert all(same_partition(tree.cut(k), fcluster(joined, k, "maxclust")) for k in range(1, 11))


def test_the_two_searches_for_a_pair_agree():
    rng = np.random.default_rng(8)
    for integer in (False, True):
        points = rng.integers(0, 5, size=(40, 2)).astype(float) if integer else rng.normal(size=(40, 2))
        size = rng.integers(1, 4, size=40).astype(float)
        pair = nearest_pair_in_arrays(points, size)
        assert tuple(nearest_pair(points, size)) == pair == tuple(nearest_pair.reference(points, size))


def test_the_tree_does_not_depend_on_the_search(monkeypatch):
    X = sample(9, 60, 2)
    few = merge_tree(X, "EEE").merges
    monkeypatch.setattr(hierarchical, "FEW", 0)
    np.testing.assert_array_equal(merge_tree(X, "EEE").merges, few)


@pytest.mark.parametrize("model", MODELS)
def test_cuts_are_nested_partitions_into_k_groups(model):
    X = sample(10, 40, 2)
    tree = merge_tree(X, model)
    finer = tree.cut(40)
    np.testing.assert_array_equal(finer, np.arange(40))
    for k in range(39, 0, -1):
        labels = tree.cut(k)
        np.testing.assert_array_equal(np.unique(labels), np.arange(k))
        first = [int(np.flatnonzero(labels == g)[0]) for g in range(k)]
        assert first == sorted(first)
        assert len(set(zip(finer.tolist(), labels.tolist(), strict=True))) == k + 1, "one merge joins two groups"
        finer = labels


@pytest.mark.parametrize("model", MODELS)
def test_order_of_rows_does_not_matter(model):
    X, order = sample(11, 50, 3), np.random.default_rng(12).permutation(50)
    tree, shuffled = merge_tree(X, model), merge_tree(X[order], model)
    assert all(same_partition(tree.cut(k)[order], shuffled.cut(k)) for k in range(1, 9))


@pytest.mark.parametrize("model", MODELS)
def test_units_and_rotation_do_not_matter_after_the_transformation(model):
    X = sample(13, 60, 3)
    labels = hierarchical_labels(X, [2, 4], np.random.default_rng(0), model=model)
    moved = hierarchical_labels(X * [1e-3, 1.0, 1e5] + [4.0, -1e3, 7.0], [2, 4], np.random.default_rng(0), model=model)
    assert all(same_partition(labels[k], moved[k]) for k in (2, 4))


def test_transformed_columns_are_uncorrelated_with_the_spreads_of_the_root_components():
    X = sample(14, 30, 3) @ np.array([[1.0, 0.5, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 0.1]])
    Z = scaled_svd(X)
    standard = (X - X.mean(axis=0)) / X.std(axis=0, ddof=1)
    D = np.linalg.svd(standard, compute_uv=False)
    np.testing.assert_allclose(Z.T @ Z, np.diag(D), atol=1e-12 * D[0])
    assert scaled_svd(np.column_stack([X, np.ones(30), X[:, 0] - X[:, 1]])).shape == (30, 3)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "X",
    [
        np.zeros((1, 1)),
        np.ones((5, 2)),
        np.repeat([[0.0, 0.0], [1.0, 1.0]], 6, axis=0),
        np.repeat([[0.0], [1.0], [5.0]], [9, 1, 4], axis=0),
        np.column_stack([np.arange(20.0), 2 * np.arange(20.0)]),
        sample(15, 4, 9),
        1e250 * sample(16, 12, 2),
        1e-250 * sample(16, 12, 2),
        1e8 + sample(17, 30, 2),
    ],
    ids=["one row", "equal rows", "two values", "three values", "line", "wide", "huge", "tiny", "offset"],
)
def test_degenerate_rows_give_partitions(model, X):
    n = len(X)
    ks = sorted({1, min(2, n), min(3, n), n})
    labels = hierarchical_labels(X, ks, np.random.default_rng(0), model=model)
    for k in ks:
        np.testing.assert_array_equal(np.unique(labels[k]), np.arange(k))
    distinct = len(np.unique(X, axis=0))
    if distinct in labels and distinct <= 3:
        assert same_partition(labels[distinct], np.unique(X, axis=0, return_inverse=True)[1].reshape(-1))


def test_a_subset_gives_the_rest_the_class_of_their_neighbours():
    rng = np.random.default_rng(18)
    truth = rng.integers(0, 3, size=3000)
    X = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])[truth] + rng.normal(size=(3000, 2)) * [1.0, 0.7]
    labels = hierarchical_labels(X, [3], rng, max_rows=300)[3]
    assert np.mean([np.bincount(truth[labels == g]).max() for g in range(3)]) * 3 / 3000 > 0.995
    again = hierarchical_labels(X, [3], np.random.default_rng(1), max_rows=300)[3]
    np.testing.assert_array_equal(again, hierarchical_labels(X, [3], np.random.default_rng(1), max_rows=300)[3])


def test_classes_follow_their_own_covariance():
    rng = np.random.default_rng(19)
    known = np.vstack([rng.normal(size=(200, 2)) * [0.1, 0.1], rng.normal(size=(200, 2)) * [5.0, 5.0]])
    part = np.repeat([0, 1], 200)
    far, near = np.array([[2.0, 2.0]]), np.array([[0.05, 0.0]])
    assert discriminant_labels(np.vstack([far, near]), known, part, 2).tolist() == [1, 0]


@pytest.mark.parametrize("max_rows", [1, 2, 5])
def test_a_small_subset_still_labels_every_row(max_rows):
    X = sample(20, 30, 2)
    labels = hierarchical_labels(X, [1, max_rows], np.random.default_rng(0), max_rows=max_rows)
    assert labels[1].tolist() == [0] * 30
    np.testing.assert_array_equal(np.unique(labels[max_rows]), np.arange(max_rows))


def test_wrong_arguments_are_named():
    X = sample(21, 5, 2)
    with pytest.raises(ValueError, match="model 'VVI' is unknown"):
        merge_tree(X, "VVI")
    with pytest.raises(ValueError, match="k = 6 groups asked of a tree of 5 rows"):
        merge_tree(X).cut(6)
    with pytest.raises(ValueError, match="k = 0"):
        MergeTree(np.empty((0, 2), dtype=np.int64), 1).cut(0)
    with pytest.raises(ValueError, match="finite matrix"):
        merge_tree(np.array([[np.nan], [0.0]]))
    with pytest.raises(ValueError, match="rescale"):
        merge_tree(1e-250 * X)
    with pytest.raises(ValueError, match="max_rows = 0"):
        hierarchical_labels(X, [2], np.random.default_rng(0), max_rows=0)
