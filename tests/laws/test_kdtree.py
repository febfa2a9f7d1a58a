"""Trees over rows, the points that stand for their nodes, and the bound on what these miss.

The oracle is brute force: every sum over the rows themselves.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estep.core.assign import SOFT, normalise
from estep.data.memory import Memory
from estep.engine.visit import total
from estep.families.noise import WithNoise
from estep.families.normal import Normal
from estep.families.normal_moments import reanchor, split
from estep.kernels.kdtree import grow, partition
from estep.kernels.kdtree_cut import highest, node_error, simplex, stand_ins
from estep.models import summaries as trees
from estep.models.latent import Latent
from estep.structures.iid import Iid
from estep.testing import model_case

NONE = np.empty(0)
ROUNDING = 1e-11  # of sums over at most some thousand rows of values of order one


def planted(z, weight=NONE, leaf=8):
    """A tree over a copy of ``z``: rows in its order, their weights, nodes and links."""
    z, weight = np.array(z), np.array(weight)
    node, link = grow(z, weight, 0, len(z), np.ones(z.shape[1]), leaf, 0.0)
    return z, weight, node, link


def unfolded(node, d):
    """Weight, centroid, covariance (d, d) and box of one node."""
    h = d * (d + 1) // 2
    covariance = np.zeros((d, d))
    covariance[np.triu_indices(d)] = node[1 + d : 1 + d + h]
    return (
        node[0],
        node[1 : 1 + d],
        covariance + np.triu(covariance, 1).T,
        node[1 + d + h : 1 + 2 * d + h],
        node[1 + 2 * d + h :],
    )


# --- the tree ---


@pytest.mark.parametrize("d", [1, 2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_node_holds_the_moments_and_the_box_of_its_rows(d, weighted):
    rng = np.random.default_rng(d)
    x = 1e6 + rng.standard_t(2, size=(700, d))
    given_weight = rng.uniform(0.1, 3.0, 700) if weighted else NONE
    z, weight, node, link = planted(x, given_weight)
    assert np.array_equal(np.sort(z, axis=0), np.sort(x, axis=0))
    for (start, stop, left, right), found in zip(link, node, strict=True):
        rows = z[start:stop]
        w = weight[start:stop] if weighted else np.ones(stop - start)
        mass, centre, covariance, low, high = unfolded(found, d)
        middle = w @ rows / w.sum()
        assert mass == pytest.approx(w.sum(), rel=1e-12)
        assert np.allclose(centre, middle, rtol=1e-14)
        assert np.allclose(covariance, (rows - middle).T * w @ (rows - middle) / w.sum(), rtol=1e-7, atol=1e-9)
        assert np.array_equal(low, rows.min(axis=0))
        assert np.array_equal(high, rows.max(axis=0))
        if left >= 0:
            assert [*link[left, :2], *link[right, :2]] == [start, link[right, 0], link[left, 1], stop]
        else:
            assert stop - start <= 8 or (rows == rows[0]).all()


def test_rows_that_are_all_alike_make_one_leaf():
    _, _, node, link = planted(np.ones((50, 2)))
    assert len(node) == 1
    assert link[0].tolist() == [0, 50, -1, -1]


def test_rows_at_every_scale_still_make_a_tree():
    """Sixty rows at 2^0 .. 2^-59: a split in the middle takes one row off at a time."""
    _, _, node, link = planted(2.0 ** -np.arange(60.0)[:, None], leaf=1)
    assert (link[link[:, 2] < 0, 1] - link[link[:, 2] < 0, 0] == 1).all()
    assert len(node) == 119


def test_weights_move_with_their_rows():
    x = np.random.default_rng(0).normal(size=(300, 2))
    z, weight, _, _ = planted(x, x[:, 0])
    assert np.array_equal(z[:, 0], weight)
    z, weight = x.copy(), x[:, 1].copy()
    middle = partition(z, weight, 0, 300, 1, 0.0)
    assert (z[:middle, 1] <= 0.0).all()
    assert (z[middle:, 1] > 0.0).all()
    assert np.array_equal(z[:, 1], weight)


def test_the_upper_levels_are_the_same_whoever_makes_the_lower_ones(monkeypatch):
    monkeypatch.setattr(trees, "BIG", 200)
    x = np.random.default_rng(1).normal(size=(5000, 3))
    model = Latent(Iid(), Normal(), 2)
    alone, shared = (model.summaries(Memory(x, n_jobs=n)).groups[0] for n in (1, 3))
    for name in ("z", "node", "link"):
        assert np.array_equal(getattr(alone, name), getattr(shared, name)), name
    mass, centre, covariance, _, _ = unfolded(alone.node[0], 3)
    assert mass == 5000
    assert np.allclose(covariance, np.cov(x.T, bias=True))
    assert np.allclose(centre + model.summaries(Memory(x)).anchor, x.mean(axis=0))
    leaves = alone.link[alone.link[:, 2] < 0]
    assert np.array_equal(np.sort(leaves[:, 0])[1:], np.sort(leaves[:, 1])[:-1])
    assert alone.node[alone.link[:, 2] < 0, 0].sum() == 5000


# --- the bound over a box ---


def no_products(slope, bend, low, high):
    """``highest`` with a planted error: products of two coordinates left out."""
    return highest(slope, np.diag(np.diag(bend)), low, high)


def no_summit(slope, bend, low, high):
    """``highest`` with a planted error: squares looked at in the corners only."""
    sides = np.stack([low, high])
    along = slope * sides - 0.5 * np.diag(bend) * sides**2
    return float(along.max(axis=0).sum())


def exceeded(bound, seed, d):
    """By how much the function rises above a bound, at corners and at 2,000 places of a random box."""
    rng = np.random.default_rng(seed)
    slope, root = rng.normal(size=d), rng.normal(size=(d, d))
    bend = root + root.T
    low, high = -rng.exponential(size=d), rng.exponential(size=d)
    u = rng.uniform(low, high, size=(2000, d))
    corners = np.where(np.array(list(np.ndindex(*[2] * d))) == 1, high, low)
    u = np.vstack([u, corners, np.clip(np.linalg.lstsq(bend, slope, rcond=None)[0], low, high)])
    return float((u @ slope - 0.5 * np.einsum("ni,ij,nj->n", u, bend, u)).max() - bound(slope, bend, low, high))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 4))
def test_nothing_in_a_box_is_above_the_bound(seed, d):
    assert exceeded(highest, seed, d) <= ROUNDING


@pytest.mark.parametrize("wrong", [no_products, no_summit])
def test_a_wrong_bound_over_a_box_is_caught(wrong):
    assert max(exceeded(wrong, seed, 3) for seed in range(60)) > 0.1


def test_the_bound_is_attained_along_the_axes():
    """Without products it is the maximum itself."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        slope, bend = rng.normal(size=2), np.diag(rng.normal(size=2))
        low, high = -rng.exponential(size=2), rng.exponential(size=2)
        grid = np.linspace(low, high, 4001)
        best = (slope * grid - 0.5 * np.diag(bend) * grid**2).max(axis=0).sum()
        assert highest(slope, bend, low, high) == pytest.approx(best, abs=1e-6)


# --- the points of a node ---


def points_of(z, weight, node, link):
    chosen = np.zeros(1, dtype=np.int64)
    d = z.shape[1]
    out, mass = np.empty((d + 1, d)), np.empty(d + 1)
    stand_ins(z, weight, node, link, chosen, simplex(d), out, mass)
    return out, mass


@pytest.mark.parametrize("d", range(1, 7))
def test_points_have_the_moments_of_the_rows(d):
    rng = np.random.default_rng(d)
    root = rng.normal(size=(d, d))
    z, weight, node, link = planted(rng.exponential(size=(200, d)) @ root, rng.uniform(1, 2, 200), leaf=1000)
    out, mass = points_of(z, weight, node, link)
    assert mass.sum() == pytest.approx(weight.sum())
    assert np.allclose(mass @ out, weight @ z)
    assert np.allclose(out.T * mass @ out, z.T * weight @ z)


def test_points_of_rows_in_a_line_stay_in_it():
    t = np.random.default_rng(0).normal(size=100)
    z, weight, node, link = planted(np.stack([t, 2 * t, -t], axis=1), leaf=1000)
    out, _ = points_of(z, weight, node, link)
    assert np.allclose(out[:, 1], 2 * out[:, 0], atol=1e-7)
    assert np.allclose(out[:, 2], -out[:, 0], atol=1e-7)


# --- what the points of a node miss ---


def laws(rng, k, d):
    """Constants, means and precisions of ``k`` quadratic log densities; the last may be flat, as noise is."""
    root = rng.normal(size=(k, d, d))
    precision = root @ root.transpose(0, 2, 1) * rng.choice([0.3, 3.0]) + 0.2 * np.eye(d)
    mean = rng.normal(size=(k, d)) * rng.choice([0.5, 2.0, 6.0])
    const = rng.normal(size=k)
    if rng.random() < 0.3:
        precision[-1] = 0.0
    return const, mean, precision


def node_misses(rng, k, d, shrink=1.0):
    """What a node's points miss a row (g, counts, first and second moments), and the bounds; boxes may be made too small."""
    centre, size = rng.normal(size=d), rng.choice([0.05, 0.5, 2.0])
    z = centre + size * (
        rng.standard_t(3, size=(rng.integers(d + 2, 40), d)) if rng.random() < 0.5 else rng.uniform(size=(30, d))
    )
    z, weight, node, link = planted(z, leaf=1000)
    const, mean, precision = laws(rng, k, d)
    out, mass = points_of(z, weight, node, link)
    bounds = np.empty(4)
    told, b = node.copy(), node.shape[1] - 2 * d
    told[0, b : b + d] = node[0, 1 : 1 + d] + shrink * (node[0, b : b + d] - node[0, 1 : 1 + d])
    told[0, b + d :] = node[0, 1 : 1 + d] + shrink * (node[0, b + d :] - node[0, 1 : 1 + d])
    node_error(told[0], const, mean, precision, 1e-3, np.empty((k, d)), np.empty((6, max(k, d, 6))), bounds)

    def sums(x, w):
        gap = x[:, None, :] - mean
        resp, lse = normalise(const - 0.5 * np.einsum("nki,kij,nkj->nk", gap, precision, gap))
        u = x - node[0, 1 : 1 + d]
        r = resp * w[:, None] / w.sum()
        return w @ lse / w.sum(), r.sum(axis=0), np.einsum("nk,ni->ki", r, u), np.einsum("nk,ni,nj->kij", r, u, u)

    spread = np.sqrt(np.diag(unfolded(node[0], d)[2]))
    scales = (1.0, 1.0, spread, np.multiply.outer(spread, spread))
    rows, points = sums(z, np.ones(len(z))), sums(out, mass)
    misses = [np.max(np.abs(a - b) / s) for a, b, s in zip(rows, points, scales, strict=True)]
    return np.array(misses), bounds


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 5), d=st.integers(1, 3))
def test_no_node_misses_more_than_its_bound(seed, k, d):
    misses, bounds = node_misses(np.random.default_rng(seed), k, d)
    assert (misses <= bounds + ROUNDING * (1 + misses)).all()


def test_a_box_that_is_too_small_is_caught():
    """With boxes a quarter of the size some node misses more than it admits, in a few hundred of them."""
    over = 0
    for seed in range(400):
        misses, bounds = node_misses(np.random.default_rng(seed), 3, 2, shrink=0.25)
        over += int((misses > bounds * 1.01 + ROUNDING).any())
    assert over > 0


def test_one_class_is_exact():
    for seed in range(20):
        misses, bounds = node_misses(np.random.default_rng(seed), 1, 2)
        assert (bounds == 0).all()
        assert (misses < ROUNDING).all()


def test_bounds_shrink_with_the_cube_of_the_node():
    """Third-order remainders of the log-likelihood, second-order ones of first moments in their own standard deviations."""
    rng = np.random.default_rng(3)
    const, mean, precision = laws(rng, 3, 2)
    found = []
    for size in (0.02, 0.01):
        _, _, node, _ = planted(0.3 + size * np.random.default_rng(4).uniform(size=(30, 2)), leaf=1000)
        bounds = np.empty(4)
        node_error(node[0], const, mean, precision, 0.0, np.empty((3, 2)), np.empty((6, 6)), bounds)
        found.append(bounds)
    assert np.allclose(found[0] / found[1], [8.0, 8.0, 4.0, 2.0], rtol=0.05)


# --- the whole of the data ---


def clusters(n=3000, d=2, k=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * rng.uniform(0.5, 1.5, d) + 1.5 * rng.integers(k, size=n)[:, None]


@dataclasses.dataclass
class Made:
    """A bound model, its data and parameters off the optimum."""

    model: Latent
    data: Memory
    params: object


def case(code="VVV", x=None, family=None, k=3, weight=None, allowed=None):
    x = clusters() if x is None else x
    made = model_case(Latent(Iid(), family or Normal(code), k), x, weight=weight, allowed=allowed)
    return Made(made.model, Memory(x, weight=weight, allowed=allowed), made.params)


def expected(model, data, params, found):
    """What the points give, as if they were the data."""
    small = Memory(found.x, weight=found.weight, allowed=found.allowed)
    return total(model, small, params, SOFT), total(model, data, params, SOFT)


def check_misses(made, tau, observed=True):
    """The points' expected statistics lie within the stated bounds of the rows'."""
    model, data, params = made.model, made.data, made.params
    found = model.nodes(params, model.summaries(data), tau, 1e-2)
    points, rows = expected(model, data, params, found)
    n, slack = rows.n, 1e-9
    assert found.loglik_error <= tau * (1 + 1e-12)
    assert points.n == pytest.approx(n, rel=1e-12)
    assert abs(points.loglik - rows.loglik) <= n * (found.loglik_error + slack)
    assert np.abs(points.stats.structure.counts - rows.stats.structure.counts).max() <= n * (found.count_error + slack)
    if not observed:
        return found
    d, diagonal = found.anchor.size, params.family.covariances.ndim == 2
    anchor = np.tile(found.anchor, (len(params.family.means), 1))
    moments = [split(reanchor(e.stats.family, anchor, diagonal).features, d, diagonal) for e in (points, rows)]
    second = np.diag(found.second_error) if diagonal else found.second_error
    for at, bound in ((1, found.first_error), (2, second)):
        assert (np.abs(moments[0][at] - moments[1][at]) <= n * (bound + slack)).all()
    return found


@pytest.mark.parametrize("code", ["VVV", "EII", "VVI", "EEE", "VEV"])
@pytest.mark.parametrize("tau", [1.0, 0.1, 0.003])
def test_the_stated_bounds_hold_for_every_structure(code, tau):
    made = case(code)
    found = check_misses(made, tau)
    assert len(found.x) < 3000 or tau < 0.01


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_the_stated_bounds_hold_in_every_dimension(d):
    found = check_misses(case(x=clusters(d=d)), 0.05)
    assert found.whole > 0


def test_they_hold_with_weights_labels_missing_entries_and_noise_together():
    rng = np.random.default_rng(2)
    x = clusters()
    x[rng.random(x.shape) < 0.1] = np.nan
    weight = rng.integers(0, 4, len(x)).astype(float)
    labels = np.where(rng.random(len(x)) < 0.2, rng.integers(0, 4, len(x)), -1)
    made = case(x=x, family=WithNoise(Normal("VVV")), k=4, weight=weight, allowed=labels)
    found = check_misses(made, 0.05, observed=False)
    assert len(found.x) < (weight > 0).sum() / 2
    assert found.weight.sum() == pytest.approx(weight.sum())
    masks = labels[:, None] == np.arange(4)
    masks[labels < 0] = True
    sets = case(x=x, family=WithNoise(Normal("VVV")), k=4, weight=weight, allowed=masks)
    again = check_misses(dataclasses.replace(sets, params=made.params), 0.05, observed=False)
    assert again.loglik_error == pytest.approx(found.loglik_error)


def test_tolerances_of_zero_give_the_rows():
    made = case()
    found = made.model.nodes(made.params, made.model.summaries(made.data), 0.0, 0.0)
    points, rows = expected(made.model, made.data, made.params, found)
    assert found.loglik_error == 0.0
    assert points.loglik == pytest.approx(rows.loglik, rel=1e-13)
    assert np.allclose(points.stats.family.features, rows.stats.family.features, rtol=1e-12, atol=1e-10)


def test_smaller_tolerances_take_more_points_and_miss_less():
    made = case(x=clusters(20_000))
    found = [made.model.nodes(made.params, made.model.summaries(made.data), tau, 1e-2) for tau in (1.0, 0.1, 0.01, 0.001)]
    sizes = [len(f.x) for f in found]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] / 8
    misses = []
    for f in found:
        points, rows = expected(made.model, made.data, made.params, f)
        misses.append(abs(points.loglik - rows.loglik))
    assert misses[-1] < misses[0]
    assert found[-1].loglik_error < found[0].loglik_error / 300
    assert made.model.nodes(made.params, made.model.summaries(made.data), 0.01, 1e-2, most=sizes[2] - 1) is None


def test_a_copy_of_every_row_is_a_weight_of_two():
    x = clusters(1000)
    twice, weighted = case(x=np.repeat(x, 2, axis=0)), case(x=x, weight=np.full(1000, 2.0))
    params = weighted.params
    found = [m.model.nodes(params, m.model.summaries(m.data), 0.05, 1e-2) for m in (twice, weighted)]
    sums = [expected(m.model, m.data, params, f)[0] for m, f in zip((twice, weighted), found, strict=True)]
    exact = expected(weighted.model, weighted.data, params, found[1])[1]
    assert all(abs(s.loglik - exact.loglik) <= 2000 * 0.05 for s in sums)
    assert sums[0].n == pytest.approx(sums[1].n)


def test_rows_of_weight_zero_are_absent():
    x = clusters(1000)
    away = np.vstack([x, np.full((50, 2), 1e6)])
    made = case(x=x)
    params = made.params
    with_them = dataclasses.replace(made.data, x=away, weight=np.r_[np.ones(1000), np.zeros(50)])
    one, two = (made.model.nodes(params, made.model.summaries(data), 0.05, 1e-2) for data in (made.data, with_them))
    assert np.array_equal(one.x, two.x)
    assert np.array_equal(one.weight, two.weight)
