"""Incremental and sparse EM: the free energy climbs block by block, and the end is that of plain EM.

The problem is three overlapping normals of 4096 rows, on which plain EM takes some hundred passes. The published ratios of
scans (74 for EM; 47, 42, 41 with 4, 16, 28 blocks) are of one such design, so that the ratios are the test.
"""

import dataclasses

import numpy as np
import pytest

from estep.core.assign import HARD, SOFT
from estep.core.record import identical, leaves, shared_fields
from estep.core.result import Status
from estep.data.memory import Memory
from estep.engine.active import Sparse
from estep.engine.blend import Kept, Remember, Tree, added
from estep.engine.blocks import Blocks, block_count, entropy, free_energy
from estep.engine.checkpoint import load_state
from estep.engine.fit import fit
from estep.engine.presets import PRESETS, Variant
from estep.engine.run import Control, drawn, start, step
from estep.engine.visit import total
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.families.normal_moments import NormalStats
from estep.families.weibull import Weibull
from estep.models.latent import Latent, LatentParams
from estep.structures.grouped import Grouped
from estep.structures.iid import Iid, IidParams
from estep.testing import model_case

SAME = 1e-6  # nats a row: two ends within it are one optimum (the project's yardstick)
ROUNDING = 1e-13  # of the size of F: a sum of a few thousand terms in double precision
MINE = ("incremental", "sparse", "sparse_incremental")


def blocked(count, assign=SOFT):
    return Variant("blocked", visit=Blocks(count), assign=assign, blend=Remember())


def planted(n=4096, seed=0, far=0.0, apart=1.0):
    """Three overlapping normals, begun far from the truth; ``far`` moves everything away from the origin."""
    rng = np.random.default_rng(seed)
    means = apart * np.array([[0.0, 0.0], [2.5, 0.0], [0.0, 3.5]])
    x = means[rng.choice(3, n, p=[0.5, 0.3, 0.2])] + rng.normal(size=(n, 2)) + far
    data = Memory(x)
    model = Latent(Iid(), Normal(), 3).bind(data)
    spread = np.tile(np.cov(x.T), (3, 1, 1))
    begin = LatentParams(IidParams(np.full(3, 1 / 3)), NormalParams(means + far + [0.6, -0.4], spread))
    return model, data, begin


def falls(result):
    """The largest fall of the objective, relative to its size."""
    return float(-np.diff(result.trace.objective).min(initial=0.0) / (1.0 + abs(result.objective)))


# --- how many scans ---


@pytest.fixture(scope="module")
def plain():
    model, data, begin = planted()
    return fit(model, data, begin, max_iter=3000)


@pytest.mark.parametrize(("blocks", "published"), [(4, 47), (16, 42), (28, 41)])
def test_scans_fall_as_published(plain, blocks, published):
    """Each published ratio to plain EM's 74 scans is met to a fifth; the optimum is the same."""
    model, data, begin = planted()
    result = fit(model, data, begin, blocked(blocks), max_iter=3000)
    assert result.status is Status.CONVERGED
    assert result.certificate == "bound"
    assert len(result.trace) / len(plain.trace) == pytest.approx(published / 74, rel=0.2)
    assert result.loglik == pytest.approx(plain.loglik, abs=SAME * len(data.x))
    assert np.diff(result.trace.objective).min() > 0


def test_one_block_is_plain_em(plain):
    """The same parameters pass by pass; the free energy at the new ones lies between two log-likelihoods."""
    model, data, begin = planted()
    result = fit(model, data, begin, blocked(1), max_iter=50)
    same = fit(model, data, begin, max_iter=50)
    np.testing.assert_allclose(result.params.family.means, same.params.family.means, rtol=1e-12)
    assert (result.trace.objective >= same.trace.objective).all()
    assert (result.trace.objective[:-1] <= same.trace.objective[1:] * (1 - ROUNDING)).all()


@pytest.mark.parametrize(("n", "count"), [(4096, 32), (65536, 64), (1, 1), (7, 2), (1_000_003, 251), (100, 5)])
def test_the_number_of_blocks_is_a_factor_near_the_power(n, count):
    assert block_count(n) == count


# --- block by block ---


def walk(model, data, begin, variant, scans):
    """The free energy after every block of some scans, with the prior."""
    state, found = start(model, begin, variant, Control()), []
    for _ in range(scans):
        for params, tree, _ in variant.visit.steps(model, data, state, variant, drawn(variant.assign, state)):
            prior = 0.0 if model.prior is None else model.q(params, model.prior)
            found.append(free_energy(model, params, tree.root) + prior)
        state = step(model, data, state, variant, Control()).state
    return np.array(found)


def holes(x, seed=1):
    x = x.copy()
    x[np.random.default_rng(seed).random(x.shape) < 0.1] = np.nan
    return x


VARIANTS = {
    "incremental": blocked(7),
    "sparse": blocked(1, Sparse(0.05, 4)),
    "sparse incremental": blocked(7, Sparse(0.05, 4)),
    "hard": blocked(7, HARD),
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("setting", ["plain", "missing and weights", "prior", "offset"])
def test_the_free_energy_climbs_block_by_block(name, setting):
    model, data, begin = planted(n=400, far=1e6 if setting == "offset" else 0.0)
    if setting == "missing and weights":
        data = Memory(holes(data.x), weight=np.random.default_rng(2).integers(1, 4, 400).astype(float))
        model = Latent(Iid(), Normal(), 3).bind(data)
    if setting == "prior":
        model = model.with_prior({"weights": 2.0})
    heights = walk(model, data, begin, VARIANTS[name], scans=9)
    room = 1e-9 if setting == "offset" else ROUNDING  # at 1e6 the moments keep nine digits of a unit
    assert np.diff(heights).min() > -room * (1 + abs(heights[-1]))
    assert heights[-1] > heights[0] + 1.0


def test_the_bound_lies_below_the_likelihood_and_meets_it():
    model, data, begin = planted(n=400)
    variant = blocked(7)
    state = start(model, begin, variant, Control())
    gaps = []
    for _ in range(60):
        state = step(model, data, state, variant, Control()).state
        gaps.append(float(total(model, data, state.here, SOFT).loglik - state.value))
    assert min(gaps) > -1e-9
    assert gaps[0] > 1.0
    assert gaps[-1] < 1e-3 * gaps[0]


def test_brute_force_of_the_free_energy():
    """F from the responsibilities themselves: sum r (log joint - log r), every row by the parameters of its last visit."""
    model, data, begin = planted(n=60)
    variant, parts = blocked(3), list(data.blocks(3))
    state = start(model, begin, variant, Control())
    state = step(model, data, state, variant, Control()).state
    visits, params = [begin] * 3, state.params
    for b, (after, tree, _) in enumerate(variant.visit.steps(model, data, state, variant, SOFT)):
        visits[b], params = params, after
        by_hand = 0.0
        for part, at in zip(parts, visits, strict=True):
            for chunk in part.chunks():
                resp = model.explain(at, chunk).resp
                joint = model.family.log_density(params.family, model.family.encode(chunk.x)) + np.log(params.structure.weights)
                by_hand += float((resp * (joint - np.log(resp))).sum())
        assert free_energy(model, params, tree.root) == pytest.approx(by_hand, rel=1e-12)


# --- planted bugs ---


def test_a_stale_sum_is_caught():
    """A tree that forgets to add anew above a record does not climb its own free energy."""

    class Forgetful(Tree):
        def put(self, block, kept):
            self.sums[len(self.sums) // 2 + block] = self.form.packed(kept)
            if block % 2:
                super().put(block, kept)

    model, data, begin = planted(n=400)
    variant, parts = blocked(8), list(data.blocks(8))
    tree, params = Forgetful.of(model, [record(model, begin, part) for part in parts]), begin
    gaps = []
    for b, part in enumerate(parts):
        tree.put(b, record(model, params, part))
        params = model.mstep(tree.root.stats, params)
        gaps.append(abs(free_energy(model, params, tree.root) - free_energy(model, params, of_leaves(model, tree))))
    assert max(gaps) > 1e-3
    assert variant.certificate == "bound"


def test_the_tree_is_the_sum_of_its_leaves():
    """The control of the test above: after many visits nothing has drifted."""
    model, data, begin = planted(n=400)
    parts = list(data.blocks(8))
    tree, params = Tree.of(model, [record(model, begin, part) for part in parts]), begin
    for _ in range(60):
        for b, part in enumerate(parts):
            tree.put(b, record(model, params, part))
            params = model.mstep(tree.root.stats, params)
    whole = of_leaves(model, tree)
    assert free_energy(model, params, tree.root) == pytest.approx(free_energy(model, params, whole), rel=ROUNDING)
    assert float(tree.root.n) == 400.0


def record(model, params, part):
    seen = part.sum(lambda chunk: model.estep(params, chunk, SOFT))
    return Kept(seen.stats, entropy(model, params, seen.objective, seen.stats), np.float64(seen.n))


def of_leaves(model, tree):
    leaves = [tree._record(i) for i in range(len(tree.sums) // 2, len(tree.sums))]
    whole = leaves[0]
    for leaf in leaves[1:]:
        whole = added(model, whole, leaf)
    return whole


class Slack(Normal):
    """A bug: old moments are given the new anchor and not moved to it."""

    def align(self, prior, stats):
        return NormalStats(prior.features, prior.logdet, stats.anchor)


@pytest.mark.parametrize("family", [Normal, Slack])
def test_an_anchor_that_is_not_moved_is_caught(family):
    """Tight clusters far apart are counted about their own means, which move with every M-step."""
    rng = np.random.default_rng(3)
    x = 1e-5 * rng.normal(size=(300, 2)) + 10.0 * (np.arange(300) % 3)[:, None]
    data = Memory(x)
    model = Latent(Iid(), family(), 3).bind(data)
    family_params = NormalParams(10.0 * np.arange(3.0)[:, None] + np.full((3, 2), 3e-6), np.tile(1e-9 * np.eye(2), (3, 1, 1)))
    begin = LatentParams(IidParams(np.full(3, 1 / 3)), family_params)
    moved = [np.array(a) for _, a in shared_fields(total(model, data, begin, SOFT).stats)]
    assert np.abs(moved[0] - model.family.anchor).max() > 1.0  # component anchors, indeed
    result = fit(model, data, begin, blocked(5), max_iter=30)
    plain = fit(model, data, begin, max_iter=30)
    if family is Normal:
        assert result.converged
        assert result.loglik == pytest.approx(plain.loglik, abs=SAME * 300)
        assert falls(result) < 1e-11
    else:
        assert result.status in (Status.FELL, Status.DEGENERATE) or result.loglik < plain.loglik - 1.0


# --- the same optimum as plain EM ---


@pytest.mark.parametrize("name", MINE)
def test_the_same_optimum_from_the_same_starts(name):
    """In at least 95% of 20 random starts; every end is a stationary point of the likelihood."""
    _, data, _ = planted(n=200, seed=4, apart=1.4)
    model = Latent(Iid(), Normal("EEE"), 3).bind(data)
    rng, same = np.random.default_rng(5), 0
    for _ in range(20):
        means = data.x[rng.choice(200, 3, replace=False)]
        begin = LatentParams(IidParams(np.full(3, 1 / 3)), NormalParams(means, np.tile(np.cov(data.x.T), (3, 1, 1))))
        plain, mine = (fit(model, data, begin, how, max_iter=5000) for how in ("em", name))
        assert mine.converged
        assert falls(mine) < 1e-11
        again = fit(model, data, mine.params, max_iter=1)
        gain = float(total(model, data, again.params, SOFT).loglik) - mine.loglik
        assert -1e-8 < gain < SAME * 200
        same += mine.loglik > plain.loglik - SAME * 200
    assert same >= 19


@pytest.mark.parametrize("name", MINE)
def test_groups_and_labels(name):
    model, data, begin = planted(n=400)
    rng = np.random.default_rng(6)
    groups = rng.integers(0, 2, 400)
    allowed = np.where(rng.random(400) < 0.2, rng.integers(0, 3, 400), -1)
    data = Memory(data.x, given=groups, allowed=allowed)
    case = model_case(Latent(Grouped(2), Normal(), 3), data.x, given=groups, allowed=allowed)
    plain = fit(case.model, case.data(), case.params, max_iter=3000)
    mine = fit(case.model, case.data(), case.params, name, max_iter=3000)
    assert mine.converged
    assert mine.loglik == pytest.approx(plain.loglik, abs=SAME * 400)


# --- sparse: what is kept ---


def test_only_active_classes_are_kept():
    model, data, begin = planted(n=2000, apart=1.6)
    result = fit(model, data, begin, PRESETS["sparse"], max_iter=40)
    more = result.state.blend.more
    active = int(more["sizes"].sum())
    assert more["classes"].size == active
    assert more["classes"].dtype == np.uint8
    assert 2000 <= active < 0.6 * 3 * 2000
    assert all(array.size <= 2000 for name, array in more.items() if name != "classes")


def test_between_full_sweeps_the_frozen_mass_stays():
    """A row's probabilities outside its active set are those of the last full sweep."""
    logits = np.log(np.random.default_rng(7).dirichlet(np.full(4, 0.4), size=50))
    sets = Sparse(0.1).opened({}, 0, "sparse")
    model, data, begin = planted(n=50)
    sets.kept(model, begin, next(data.blocks(1)), 0)
    saved = sets.saved()
    later = Sparse(0.1).opened(saved, 1, "sparse")._of(next(data.chunks()))
    resp, objective, _ = later.rows(logits[:, :3], ("memory", 0, 50))
    np.testing.assert_allclose(resp.sum(axis=1), saved["mass"], rtol=1e-13)
    by_hand = np.where(resp > 0, resp * (logits[:, :3] - np.log(np.where(resp > 0, resp, 1.0))), 0.0).sum(axis=1)
    np.testing.assert_allclose(objective, by_hand, rtol=1e-12, atol=1e-13)


def test_no_threshold_is_plain_em():
    model, data, begin = planted(n=300)
    sparse = fit(model, data, begin, blocked(1, Sparse(0.0)), max_iter=20)
    plain = fit(model, data, begin, max_iter=20)
    np.testing.assert_allclose(sparse.params.family.means, plain.params.family.means, rtol=1e-10)


# --- interruption, threads, refusals ---


@pytest.mark.parametrize("name", MINE)
@pytest.mark.parametrize("passes", [1, 7])
def test_resumed_to_the_bit(name, passes, tmp_path):
    model, data, begin = planted(n=300)
    path = tmp_path / "state"
    fit(model, data, begin, name, max_iter=passes, checkpoint=path)
    whole, again = (fit(model, data, begin, name, max_iter=17, **more) for more in ({}, {"checkpoint": path}))
    assert identical(again.params, whole.params)
    np.testing.assert_array_equal(again.trace.objective, whole.trace.objective)
    assert identical(again.state.blend, whole.state.blend)


def test_a_checkpoint_of_another_memory_is_refused(tmp_path):
    model, data, begin = planted(n=300)
    path = tmp_path / "state"
    fit(model, data, begin, "incremental", max_iter=3, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another model|was written by"):
        load_state(path, start(model, begin, PRESETS["em"], Control()), PRESETS["em"])


@pytest.mark.parametrize("name", MINE)
def test_the_same_bits_for_any_number_of_threads(name):
    model, data, begin = planted(n=600)
    one, *others = (fit(model, dataclasses.replace(data, n_jobs=jobs, rows=40), begin, name, max_iter=9) for jobs in (1, 2, 3))
    for other in others:
        assert identical(other.params, one.params)


def test_ctrl_c_keeps_the_last_scan():
    model, data, begin = planted(n=300)

    def interrupt(state, status):
        if len(state.trace) == 4:
            raise KeyboardInterrupt

    result = fit(model, data, begin, "incremental", watch=interrupt)
    assert result.status is Status.INTERRUPTED
    assert len(result.trace) in (3, 4)
    assert result.loglik == pytest.approx(float(total(model, data, result.params, SOFT).loglik), rel=1e-14)


@pytest.mark.parametrize("name", [*MINE, "online"])
def test_local_statistics_are_refused_by_name(name):
    case = model_case(Latent(Iid(), Weibull(), 2), np.random.default_rng(0).gamma(2.0, size=(60, 1)))
    with pytest.raises(TypeError, match=f"algorithm='{name}' adds statistics of different passes, but those of Weibull hold"):
        fit(case.model, case.data(), case.params, name)


def test_a_collapse_is_one_here_too():
    rng = np.random.default_rng(0)
    x = np.vstack([rng.normal(size=(60, 2)), np.tile([9.0, 9.0], (5, 1))])
    data = Memory(x)
    model = Latent(Iid(), Normal(), 2).bind(data)
    params = NormalParams(np.array([[0.0, 0.0], [9.0, 9.0]]), np.tile(np.eye(2), (2, 1, 1)))
    result = fit(model, data, LatentParams(IidParams(np.full(2, 0.5)), params), "incremental")
    assert result.status is Status.DEGENERATE
    assert "component 1" in result.message


def test_blocks_want_a_blend_that_remembers():
    model, data, begin = planted(n=60)
    with pytest.raises(TypeError, match=r"give it blend=Remember\(\)"):
        fit(model, data, begin, Variant(visit=Blocks(4)))
    with pytest.raises(ValueError, match="count=0"):
        Blocks(0)
    with pytest.raises(ValueError, match="eps=2"):
        Sparse(2)


@pytest.mark.parametrize("structure", [Iid(), Grouped(2)])
@pytest.mark.parametrize("far", [0.0, 1e7])
def test_the_kernel_of_active_classes_is_the_dense_pass(structure, far):
    """Statistics, counts and objective of normal rows in their active classes alone, against all classes with zeros."""
    rng = np.random.default_rng(8)
    _, data, begin = planted(n=500, far=far)
    grouped = isinstance(structure, Grouped)
    data = Memory(data.x, weight=rng.uniform(0.5, 2.0, 500), given=rng.integers(0, 2, 500) if grouped else None)
    model = Latent(structure, Normal(), 3).bind(data)
    params = LatentParams(structure.start(3), begin.family)
    sets = Sparse(0.02).opened({}, 0, "sparse")
    sets.kept(model, params, next(data.blocks(1)), 0)
    chunk = next(data.chunks())
    active = Sparse(0.02).opened(sets.saved(), 1, "sparse")._of(chunk)
    alone, dense = model.estep_within(params, chunk, active), model.estep(params, chunk, active)
    assert alone.objective == pytest.approx(dense.objective, rel=1e-11)
    assert alone.n == dense.n
    for (name, a), (_, b) in zip(leaves(alone.stats), leaves(dense.stats), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max(), err_msg=name)
    holed = Memory(holes(data.x), given=data.given)
    assert model.estep_within(params, next(holed.chunks()), active) is None
