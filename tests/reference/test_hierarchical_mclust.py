"""Hierarchical partitions and quantile classes are those of R mclust 6.0.0; made by ``scripts/hc.R``.

Partitions are compared exactly, whatever the names of the groups. Left out are mclust's trees with model "VVV" on raw
columns of different scales: not all of their merges are the cheapest of the published criterion, as one test shows.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from estep.start.hierarchical import hierarchical_labels, merge_tree, scaled_svd
from estep.start.nearest import quantile_labels

HERE = Path(__file__).parent
MADE = json.loads((HERE / "hierarchical_mclust.json").read_text(encoding="utf-8"))
NOT_GREEDY = {("diabetes", "VVV"), ("thyroid", "VVV"), ("faithful", "VVV")}
CASES = [
    (name, use, model)
    for name, uses in MADE["hierarchical"].items()
    for use, models in uses.items()
    for model in models
    if not (use == "VARS" and (name, model) in NOT_GREEDY)
]


def rows(name):
    frame = pd.read_csv(HERE / "data" / f"{name}.csv")
    columns = MADE["columns"].get(name)
    return (frame[columns] if columns else frame.iloc[:, :1]).to_numpy(dtype=float)


def classes(digits):
    return np.array([int(c) for c in digits])


def same_partition(a, b):
    pairs = len(set(zip(a.tolist(), b.tolist(), strict=True)))
    return pairs == len(np.unique(a)) == len(np.unique(b))


@pytest.mark.parametrize(("name", "use", "model"), CASES)
def test_cuts_are_those_of_mclust(name, use, model):
    X = rows(name)
    tree = merge_tree(scaled_svd(X) if use == "SVD" else X, model)
    for k, digits in MADE["hierarchical"][name][use][model].items():
        assert same_partition(tree.cut(int(k)), classes(digits)), f"k = {k}"


def test_the_stored_partition_of_the_diabetes_data_is_reproduced():
    stored = pd.read_csv(HERE / "data" / "diabetes_hc3.csv")
    X = stored[["glucose", "insulin", "sspg"]].to_numpy(dtype=float)
    labels = hierarchical_labels(X, [3], np.random.default_rng(0))[3]
    assert same_partition(labels, stored["hc3"].to_numpy())


def test_the_models_and_the_transformation_matter():
    """Control: the comparison above can fail."""
    X = rows("diabetes")
    expected = classes(MADE["hierarchical"]["diabetes"]["SVD"]["VVV"]["3"])
    assert not same_partition(merge_tree(scaled_svd(X), "EII").cut(3), expected)
    assert not same_partition(merge_tree(X, "VVV").cut(3), expected)


def criterion(X, labels):
    n, d = X.shape
    t0 = np.sum((X - X.mean(axis=0)) ** 2) / (n * d)
    total = 0.0
    for g in np.unique(labels):
        x = X[labels == g]
        S = np.cov(x.T, bias=True)
        total += len(x) * np.log(np.linalg.det(S) + np.trace(S) + t0 / len(x))
    return total


@pytest.mark.parametrize("name", ["diabetes", "thyroid"])
def test_where_the_trees_differ_ours_is_lower_in_the_criterion(name):
    X = rows(name)
    tree = merge_tree(X, "VVV")
    theirs = {int(k): classes(digits) for k, digits in MADE["hierarchical"][name]["VARS"]["VVV"].items()}
    assert all(criterion(X, tree.cut(k)) < criterion(X, labels) for k, labels in theirs.items())


@pytest.mark.parametrize("name", ["galaxies", "acidity", "whole"])
def test_quantile_classes_are_those_of_mclust(name):
    x = np.arange(1.0, 32.0) if name == "whole" else rows(name)[:, 0]
    for k, digits in MADE["quantiles"][name].items():
        np.testing.assert_array_equal(quantile_labels(x, int(k)), classes(digits) - 1)
