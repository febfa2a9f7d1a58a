"""Laws of the starting rules: packing, seeding, nearest centres, quantile classes, noise; kernels made on first use."""

import itertools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from estep.kernels.lazy import compiled
from estep.start.farthest_first import farthest_first
from estep.start.kmeanspp import kmeans_plusplus
from estep.start.nearest import nearest_labels, quantile_labels, squared_distances
from estep.start.noise import noise_rows
from estep.start.random_rows import random_responsibilities, random_rows

RULES = [farthest_first, kmeans_plusplus, random_rows]


def radius(X, rows):
    return np.sqrt(((X[:, None] - X[list(rows)]) ** 2).sum(axis=2)).min(axis=1).max()


# --- all rules that choose rows ---


@pytest.mark.parametrize("rule", RULES)
def test_rows_are_different_present_and_reproducible(rule):
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(40, 3)), rng.integers(0, 3, size=40).astype(float)
    for seed in range(20):
        chosen = rule(X, 7, np.random.default_rng(seed), weight)
        assert len(set(chosen.tolist())) == 7 and np.all(weight[chosen] > 0)
        np.testing.assert_array_equal(chosen, rule(X, 7, np.random.default_rng(seed), weight))


@pytest.mark.parametrize("rule", RULES)
def test_values_are_distinct_where_they_can_be(rule):
    X = np.repeat([[0.0], [1.0], [4.0]], [30, 2, 1], axis=0)
    for seed in range(20):
        chosen = rule(X, 3, np.random.default_rng(seed))
        assert sorted(X[chosen, 0].tolist()) == [0.0, 1.0, 4.0]
        assert len(set(rule(X, 10, np.random.default_rng(seed)).tolist())) == 10
    assert set(X[rule(X, 5, np.random.default_rng(0)), 0]) == {0.0, 1.0, 4.0}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("scale", [1e-250, 1e250])
def test_the_unit_does_not_matter(rule, scale):
    X = np.random.default_rng(1).normal(size=(25, 2))
    X = X * 2.0 ** np.round(np.log2(scale)) if scale != 1 else X
    small = np.ldexp(X, -int(np.round(np.log2(scale))))
    chosen = rule(X, 5, np.random.default_rng(3))
    np.testing.assert_array_equal(chosen, rule(small, 5, np.random.default_rng(3)))


@pytest.mark.parametrize("rule", RULES)
def test_a_weight_is_a_frequency_in_the_first_draw(rule):
    """Row 0 has 3/4 of the weight: of 400 first draws it takes 300 +- 5.3 standard deviations (one in 10^7)."""
    X = np.arange(4.0)[:, None]
    weight = np.array([9.0, 1.0, 1.0, 1.0])
    first = [int(rule(X, 1, np.random.default_rng(seed), weight)[0]) for seed in range(400)]
    assert abs(first.count(0) - 300) < 5.3 * np.sqrt(400 * 0.75 * 0.25)


@pytest.mark.parametrize("rule", RULES)
def test_too_few_rows_and_bad_arguments_are_named(rule):
    X = np.arange(4.0)[:, None]
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="k = 3 asked of 2 rows with positive weight"):
        rule(X, 3, rng, np.array([1.0, 0.0, 0.0, 2.0]))
    with pytest.raises(ValueError, match="k = 0"):
        rule(X, 0, rng)
    with pytest.raises(ValueError, match="weight must hold 4"):
        rule(X, 2, rng, np.array([1.0, -1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="finite matrix"):
        rule(np.array([[0.0], [np.nan]]), 1, rng)


# --- farthest first ---


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_radius_is_at_most_twice_the_smallest(seed, k):
    X = np.random.default_rng(seed).normal(size=(9, 2))
    smallest = min(radius(X, rows) for rows in itertools.combinations(range(9), k))
    for first in range(9):
        assert radius(X, farthest_first(X, k, np.random.default_rng(0), first=first)) <= 2 * smallest * (1 + 1e-12)


def test_random_rows_do_not_keep_the_bound():
    """Control: the law above can fail."""
    X = np.vstack([np.random.default_rng(2).normal(size=(30, 2)), [[100.0, 0.0], [0.0, 100.0]]])
    smallest = radius(X, farthest_first(X, 3, np.random.default_rng(0)))
    assert any(radius(X, random_rows(X, 3, np.random.default_rng(seed))) > 2 * smallest for seed in range(5))


def test_each_row_is_the_farthest_from_those_before_it():
    X = np.random.default_rng(4).normal(size=(200, 3))
    chosen = farthest_first(X, 12, np.random.default_rng(5), first=17)
    assert chosen[0] == 17
    for j in range(1, 12):
        distance = ((X[:, None] - X[chosen[:j]]) ** 2).sum(axis=2).min(axis=1)
        assert distance[chosen[j]] == pytest.approx(distance.max(), rel=1e-14)
    with pytest.raises(ValueError, match="first = 200"):
        farthest_first(X, 2, np.random.default_rng(0), first=200)


# --- k-means++ ---


def test_kmeans_plusplus_finds_far_groups_and_leaves_less_than_random_rows():
    rng = np.random.default_rng(6)
    X = np.repeat(100.0 * np.arange(6)[:, None], 50, axis=0) + rng.normal(size=(300, 1))
    potential = {rule: [] for rule in RULES}
    for seed in range(30):
        assert len(np.unique(kmeans_plusplus(X, 6, np.random.default_rng(seed)) // 50)) == 6
        for rule in potential:
            chosen = rule(X, 6, np.random.default_rng(seed))
            potential[rule].append(((X - X[chosen, 0]) ** 2).min(axis=1).sum())
    assert np.mean(potential[kmeans_plusplus]) < 0.1 * np.mean(potential[random_rows])


# --- responsibilities ---


def test_responsibilities_are_uniform_on_the_simplex():
    """Mean 1/k and variance (k - 1)/(k^2 (k + 1)) of a Dirichlet(1), to 5.3 standard errors."""
    n, k = 40_000, 4
    resp = random_responsibilities(n, k, np.random.default_rng(7))
    np.testing.assert_allclose(resp.sum(axis=1), 1.0, rtol=1e-14)
    assert np.all(resp > 0)
    variance = (k - 1) / (k**2 * (k + 1))
    assert np.all(np.abs(resp.mean(axis=0) - 1 / k) < 5.3 * np.sqrt(variance / n))
    square = (resp - 1 / k) ** 2
    assert np.all(np.abs(square.mean(axis=0) - variance) < 5.3 * square.std(axis=0) / np.sqrt(n))
    with pytest.raises(ValueError, match="k = 0"):
        random_responsibilities(3, 0, np.random.default_rng(0))


# --- nearest centre ---


@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (500, 2, 7), (70_000, 3, 9), (50, 20, 40)])
def test_labels_are_those_of_the_differences(offset, n, d, k):
    rng = np.random.default_rng(8)
    X, centres = rng.normal(size=(n, d)) + offset, rng.normal(size=(k, d)) + offset
    direct = np.argmin([squared_distances(X, c) for c in centres], axis=0)
    np.testing.assert_array_equal(nearest_labels(X, centres), direct)


def test_products_without_an_anchor_lose_the_labels():
    """Control: the expansion about the origin fails at an offset where the anchored one does not."""
    rng = np.random.default_rng(9)
    X, centres = rng.normal(size=(200, 2)) + 1e9, rng.normal(size=(5, 2)) + 1e9
    direct = np.argmin([squared_distances(X, c) for c in centres], axis=0)
    assert np.any(np.argmin((centres**2).sum(axis=1) - 2 * X @ centres.T, axis=1) != direct)
    np.testing.assert_array_equal(nearest_labels(X, centres), direct)


def test_ties_go_to_the_lowest_index():
    X = np.random.default_rng(10).integers(0, 3, size=(300, 2)).astype(float)
    centres = np.array([[2.0, 2.0], [0.0, 0.0], [2.0, 2.0], [0.0, 2.0], [2.0, 0.0], [1.0, 1.0]])
    direct = np.argmin([squared_distances(X, c) for c in centres], axis=0)
    np.testing.assert_array_equal(nearest_labels(X, centres), direct)
    assert 2 not in nearest_labels(X, centres)


def test_an_absent_row_costs_the_others_no_digits():
    X, weight = np.array([[0.1], [0.9], [1e300]]), np.array([1.0, 1.0, 0.0])
    assert nearest_labels(X[:2], np.array([[0.0], [1.0]])).tolist() == [0, 1]
    X[2] = 1e90
    assert nearest_labels(X, np.array([[0.0], [1.0]]), weight).tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="centres must be a finite matrix"):
        nearest_labels(X, np.zeros((2, 2)))


# --- quantile classes ---


@pytest.mark.parametrize(("n", "k"), [(10, 1), (10, 3), (100, 7), (5, 5), (101, 4)])
def test_classes_are_ascending_and_of_equal_counts(n, k):
    x = np.random.default_rng(11).normal(size=n)
    labels = quantile_labels(x, k)
    counts = np.bincount(labels, minlength=k)
    assert np.all(np.diff(labels[np.argsort(x)]) >= 0) and counts.max() - counts.min() <= 1 and counts.min() > 0


def test_ties_leave_no_class_empty():
    x = np.array([1.0] * 20 + [2.0, 3.0, 4.0])
    for k in range(1, 24):
        labels = quantile_labels(x, k)
        np.testing.assert_array_equal(np.unique(labels), np.arange(k))
        assert k > 4 or len(np.unique(labels[:20])) == 1, "equal values share a class"
    with pytest.raises(ValueError, match="k = 24 asked of 23 rows"):
        quantile_labels(x, 24)


def test_a_weight_is_a_frequency_in_quantiles():
    rng = np.random.default_rng(12)
    x, weight = rng.normal(size=60), rng.integers(0, 4, size=60)
    seen = np.repeat(np.arange(60), weight)
    labels = quantile_labels(x, 4, weight.astype(float))
    np.testing.assert_array_equal(labels[seen], quantile_labels(x[seen], 4))
    assert np.any(labels[seen] != quantile_labels(x, 4)[seen]), "control: the weights matter"


# --- noise ---


def background(seed, n_noise, n=600, d=2):
    rng = np.random.default_rng(seed)
    cluster = np.vstack([rng.normal(size=(n // 2, d)), rng.normal(size=(n // 2, d)) + 12.0])
    return np.vstack([cluster, rng.uniform(-10, 22, size=(n_noise, d))])


@pytest.mark.parametrize("n_noise", [30, 100, 200])
def test_background_is_marked_and_clusters_are_not(n_noise):
    noise = noise_rows(background(13, n_noise))
    assert noise[600:].mean() > 0.7 and noise[:600].mean() < 0.2  # a first guess: the tails of the clusters look alike


def test_without_two_groups_a_twentieth_is_marked():
    noise = noise_rows(np.random.default_rng(14).uniform(size=(400, 2)))
    assert 0.03 <= noise.mean() <= 0.06


@pytest.mark.parametrize("seed", range(4))
def test_well_under_half_is_marked(seed):
    rng = np.random.default_rng(seed)
    for X in (rng.normal(size=(300, 3)), rng.standard_cauchy(size=(300, 2)), rng.integers(0, 5, size=(300, 2)) * 1.0):
        assert noise_rows(X).mean() < 0.4


def test_units_rows_and_absent_rows_do_not_matter_to_noise():
    X = background(15, 60)
    noise = noise_rows(X)
    np.testing.assert_array_equal(noise_rows(X * [1e-200, 1e-200]), noise)
    order = np.random.default_rng(16).permutation(len(X))
    np.testing.assert_array_equal(noise_rows(X[order]), noise[order])
    more = np.vstack([X, background(17, 60)])
    absent = noise_rows(more, weight=np.repeat([1.0, 0.0], len(X)))
    np.testing.assert_array_equal(absent, np.concatenate([noise, np.zeros(len(X), dtype=bool)]))


def test_noise_of_few_equal_or_many_rows():
    assert not noise_rows(np.zeros((1, 2))).any() and not noise_rows(np.ones((50, 2))).any()
    assert not noise_rows(np.arange(5.0)[:, None]).any()
    half_equal = np.vstack([np.zeros((40, 2)), np.random.default_rng(18).normal(size=(40, 2))])
    assert noise_rows(half_equal).mean() < 0.4
    many = noise_rows(background(19, 3000, n=30_000))
    assert many[30_000:].mean() > 0.7 and many[:30_000].mean() < 0.2
    with pytest.raises(ValueError, match="n_neighbours = 0"):
        noise_rows(np.zeros((3, 1)), 0)


# --- kernels made on first use ---


@compiled(cache=False)
def add(x, y):
    return x + y


@compiled(cache=False)
def add_twice(x, y):
    return add(add(x, y), y)


def test_kernels_call_kernels_and_keep_their_reference():
    assert add_twice(1.0, 2.0) == add_twice.reference(1.0, 2.0) == 5.0
    assert hasattr(add_twice.dispatcher(), "signatures"), "compiled by numba"


def test_threads_share_one_compilation():
    @compiled(cache=False)
    def total(values):
        s = 0.0
        for v in values:
            s += v
        return s

    answers, made = [], []
    ready = threading.Barrier(4)

    def call():
        ready.wait()
        answers.append(total(np.arange(10.0)))
        made.append(total.dispatcher())

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [45.0] * 4 and len({id(dispatcher) for dispatcher in made}) == 1


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    ).stdout.strip()


KERNEL = """
import sys, numpy as np
from estep.kernels.agglomerate import nearest_pair
loaded = [name for name in ("numba", "scipy", "sklearn") if name in sys.modules]
print(nearest_pair(np.array([[0.0], [5.0], [5.5]]), np.ones(3)), loaded, "numba" in sys.modules)
"""


def test_importing_a_kernel_imports_no_numba_and_the_call_does():
    assert run(KERNEL) == "(1, 2) [] True"


def test_the_plain_function_runs_where_compiling_is_switched_off():
    assert run(KERNEL, NUMBA_DISABLE_JIT="1") == "(1, 2) [] False"


def test_a_place_without_a_cache_still_compiles(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert run(KERNEL, NUMBA_CACHE_DIR=str(blocked / "cache")) == "(1, 2) [] True"
