"""Runs of kd-tree EM: that they end where plain EM ends, never fall, resume to the bit, and say what they cannot do.

Data of 9,000 rows and more, from which points are fewer than rows (``most_points``); finer settings ask for smaller ones.
"""

import dataclasses

import numpy as np
import pytest

import estep
from estep.core.assign import HARD, SOFT
from estep.core.record import identical
from estep.core.result import Status
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.engine.checkpoint import load_state, save_state
from estep.engine.fit import fit
from estep.engine.points import CORRECTED, POINTS, ROWS, SETTLED_ROWS, Points
from estep.engine.presets import Variant, variant_of
from estep.engine.run import Control, advance, close, run, start
from estep.engine.visit import total
from estep.engine.visit_nodes import KdTree, most_points
from estep.families.noise import WithNoise
from estep.families.normal import Normal
from estep.families.student import Student
from estep.models.latent import Latent
from estep.structures.grouped import Grouped
from estep.structures.iid import Iid

GOAL = 1e-6  # nats a row: what every end must lie within
KDTREE = variant_of("kdtree", "none")


def clusters(n=10_000, d=2, apart=2.5, seed=0):
    rng = np.random.default_rng([seed, d])
    return rng.normal(size=(n, d)) * rng.uniform(0.7, 1.3, d) + apart * (np.arange(n) % 3)[:, None]


def begun(x, code="VVV", k=3, family=None, constraints=None, prior=False, **carried):
    """A bound model, its data, and parameters beside the truth."""
    data = Memory(x, **carried)
    model = Latent(Iid(), family or Normal(code), k, constraints=constraints or Constraints()).bind(data)
    model = model.with_prior({}) if prior else model
    params = model.start()
    means = np.nanmean(x, axis=0) + np.linspace(-2.0, 2.0, len(params.family.means))[:, None] * np.ones(x.shape[1])
    family = dataclasses.replace(params.family, means=means)
    return model, data, dataclasses.replace(params, family=family)


def same_end(model, data, params, how=KDTREE, goal=GOAL, tol=1e-9):
    """Fits by plain EM and by ``how``, whose ends must agree to ``goal`` nats a unit weight."""
    plain = fit(model, data, params, tol=tol, max_iter=5000)
    tree = fit(model, data, params, how, tol=tol, max_iter=5000)
    assert plain.converged
    assert tree.converged, tree.message
    assert abs(tree.loglik - plain.loglik) <= goal * plain.n
    assert tree.loglik == pytest.approx(float(total(model, data, tree.params, SOFT).loglik), rel=1e-14)
    assert tree.left <= tol * plain.n
    return plain, tree


# --- the same end ---


@pytest.mark.parametrize("code", ["VVV", "EII", "VVI", "EEE", "VEV"])
def test_the_end_is_that_of_plain_em_for_every_structure(code):
    plain, tree = same_end(*begun(clusters(), code))
    assert tree.passes < len(tree.trace) / 2  # most of its passes read no rows
    assert np.allclose(tree.params.family.means, plain.params.family.means, atol=0.02)


@pytest.mark.parametrize("d", [1, 3, 4])
def test_the_end_is_that_of_plain_em_in_every_dimension(d):
    same_end(*begun(clusters(12_000, d)))


def test_few_of_the_passes_read_the_rows():
    model, data, params = begun(clusters(20_000, apart=2.0))
    seen = []
    control = Control(max_iter=2000, watch=lambda state, status: seen.append(int(state.nodes.reads)))
    result = run(model, data, start(model, params, KDTREE, control), KDTREE, control)
    assert result.converged
    assert len(seen) > 100
    assert sum(reads >= ROWS for reads in seen) <= 12
    assert result.passes <= 12
    assert {POINTS, CORRECTED, ROWS, SETTLED_ROWS} <= set(seen)


def test_tolerances_of_zero_are_exact_em():
    model, data, params = begun(clusters(600))
    exact = Variant("exact", visit=KdTree(tau=0.0, tau_class=0.0))
    for m in (1, 2, 5, 15):
        one, two = fit(model, data, params, exact, max_iter=m), fit(model, data, params, max_iter=m)
        assert one.trace.objective == pytest.approx(two.trace.objective, rel=1e-12)
        assert np.allclose(one.params.family.means, two.params.family.means, rtol=1e-10, atol=1e-12)
    same_end(model, data, params, exact, goal=1e-9)


@pytest.mark.parametrize("tau", [10.0, 1.0, 0.01])
def test_however_coarse_the_points_the_end_is_that_of_plain_em(tau):
    same_end(*begun(clusters(3000, apart=2.0)), Variant("coarse", visit=KdTree(tau=tau)))


def test_missing_entries_labels_noise_weights_prior_and_constraints_together():
    rng = np.random.default_rng(4)
    x = clusters(15_000)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:300] = rng.uniform(-15, 20, size=(300, 2))
    carried = {
        "weight": rng.integers(0, 4, len(x)).astype(float),
        "allowed": np.where(rng.random(len(x)) < 0.1, (np.arange(len(x)) % 3), -1),
    }
    tied = Constraints(fixed={"weights": np.array([np.nan, np.nan, np.nan, 0.05])})
    made = begun(x, k=4, family=WithNoise(Normal("VVV")), constraints=tied, prior=True, **carried)
    plain, tree = same_end(*made)
    assert tree.params.structure.weights[-1] == 0.05
    assert abs(tree.objective - plain.objective) <= GOAL * plain.n


def test_a_weight_of_two_is_a_row_seen_twice():
    x = clusters(9000)
    once = same_end(*begun(x, weight=np.full(len(x), 2.0)))[1]
    twice = same_end(*begun(np.repeat(x, 2, axis=0)))[1]
    assert abs(once.loglik - twice.loglik) <= GOAL * once.n


def test_accelerated_and_restarted_through_an_estimator():
    x = clusters(9000)
    settings = {"n_init": 4, "random_state": 0, "tol": 1e-9}
    plain = estep.GaussianMixture(3, **settings).fit(x)
    tree = estep.GaussianMixture(3, algorithm="kdtree", **settings).fit(x)
    assert tree.converged_
    assert abs(tree.log_likelihood_ - plain.log_likelihood_) <= GOAL * len(x)
    assert "kd-tree" in tree.result_.variant
    assert tree.result_.certificate == "heuristic"
    assert np.isfinite([row.objective for row in tree.starts_.rows]).all()


def test_few_rows_are_read_as_they_are():
    """Where points would be as many as rows, plain EM is what is left, to the bit."""
    model, data, params = begun(clusters(500))
    one, two = fit(model, data, params, KDTREE), fit(model, data, params)
    assert 2 * most_points(0, 500) >= 500
    assert identical(one.params, two.params)
    assert np.array_equal(one.trace.objective, two.trace.objective)


# --- points put right ---


def test_corrected_points_have_the_value_and_the_gradient_of_the_rows():
    model, data, params = begun(clusters())
    control = Control()
    state = start(model, params, KDTREE, control)
    there = dataclasses.replace(state.nodes, reads=np.int64(CORRECTED))
    rows = total(model, data, params, SOFT)
    raw = KDTREE.visit.expected(model, data, state, SOFT)
    put_right = KDTREE.visit.expected(model, data, dataclasses.replace(state, nodes=there), SOFT)
    slopes = [model.score(params, seen.stats) for seen in (rows, raw, put_right)]
    assert put_right.objective == pytest.approx(rows.objective, rel=1e-13)
    assert np.allclose(slopes[2], slopes[0], rtol=1e-9, atol=1e-7)
    assert np.abs(slopes[1] - slopes[0]).max() > 1e-3  # uncorrected points would not pass
    assert abs(raw.objective - rows.objective) > 1e-5


def test_the_likelihood_of_the_rows_never_falls_from_look_to_look():
    """The valley of three nearly equal components in three columns, where points alone lose their way."""
    x = clusters(12_000, 3, apart=0.8, seed=3)
    model, data, params = begun(x)
    heights = []

    def watch(state, status):
        if int(state.nodes.reads) == CORRECTED and int(state.nodes.passes) == 0:
            heights.append(float(state.nodes.height))

    control = Control(max_iter=600, watch=watch)
    run(model, data, start(model, params, KDTREE, control), KDTREE, control)
    assert len(heights) >= 3
    assert (np.diff(heights) >= -1e-9 * abs(heights[0])).all()


@pytest.mark.parametrize("accelerate", ["squarem", "auto"])
def test_leaps_through_the_valley_end_no_lower_than_those_of_plain_em(accelerate):
    model, data, params = begun(clusters(12_000, 3, apart=0.8, seed=3))
    plain = fit(model, data, params, accelerate="auto", max_iter=5000)
    tree = fit(model, data, params, variant_of("kdtree", accelerate), max_iter=5000)
    assert tree.converged
    assert tree.loglik >= plain.loglik - GOAL * plain.n
    onward = fit(model, data, tree.params, accelerate="auto", tol=1e-10, max_iter=300)
    assert onward.loglik - tree.loglik <= GOAL * plain.n


def test_on_the_same_points_the_objective_does_not_fall():
    model, data, params = begun(clusters(20_000, apart=1.5))
    stages, values = [], []

    def watch(state, status):
        stages.append((int(state.nodes.reads), float(state.nodes.height), int(state.nodes.passes)))
        values.append(float(state.value))

    control = Control(max_iter=400, watch=watch)
    run(model, data, start(model, params, KDTREE, control), KDTREE, control)
    same = [
        i
        for i in range(1, len(values))
        if stages[i][2] > 1 and stages[i][:2] == stages[i - 1][:2] and stages[i][0] == CORRECTED
    ]
    assert len(same) > 50
    assert all(values[i] >= values[i - 1] - 1e-9 * abs(values[i]) for i in same)


class Faulty:
    """A model with an error in its M-step: from some pass on it walks away from the data."""

    def __init__(self, model, good):
        self.model, self.good = model, good

    def __getattr__(self, name):
        return getattr(self.model, name)

    def mstep(self, stats, params):
        self.good -= 1
        new = self.model.mstep(stats, params)
        if self.good > 0:
            return new
        return dataclasses.replace(new, family=dataclasses.replace(new.family, means=new.family.means + 0.3))


def test_a_fall_on_the_same_points_is_never_convergence():
    model, data, params = begun(clusters(apart=1.5))
    result = fit(Faulty(model, 40), data, params, KDTREE)
    assert result.status is Status.FELL
    assert not result.converged
    assert "fell" in result.message


def test_a_collapse_is_confirmed_on_the_rows():
    x = np.vstack([clusters(), np.full((40, 2), 30.0)])
    model, data, params = begun(x, k=4)
    means = params.family.means.copy()
    means[3] = 30.0
    params = dataclasses.replace(params, family=dataclasses.replace(params.family, means=means))
    plain, tree = fit(model, data, params), fit(model, data, params, KDTREE)
    assert plain.status is Status.DEGENERATE
    assert tree.status is Status.DEGENERATE
    assert tree.message == plain.message


# --- stopped, resumed, shared ---


def test_it_resumes_to_the_bit_wherever_it_was_stopped(tmp_path):
    x = clusters(12_000, apart=2.0)
    model, data, params = begun(x)
    whole = fit(model, data, params, KDTREE, tol=1e-7, max_iter=3000)
    assert whole.converged
    for stop in (3, 9, 17, 30, len(whole.trace) - 1):
        control = Control(tol=1e-7, max_iter=stop)
        led = advance(model, Memory(x), start(model, params, KDTREE, control), KDTREE, control)
        save_state(led.state, tmp_path / "state", KDTREE)
        control = Control(tol=1e-7, max_iter=3000)
        state = load_state(tmp_path / "state", start(model, params, KDTREE, control), KDTREE)
        fresh = Memory(x)
        again = close(model, fresh, advance(model, fresh, state, KDTREE, control), KDTREE, control)
        assert identical(again.params, whole.params)
        assert np.array_equal(again.trace.objective, whole.trace.objective)
        assert again.loglik == whole.loglik
        assert again.status is whole.status


@pytest.mark.parametrize("accelerate", ["none", "squarem"])
def test_threads_do_not_change_the_bits(accelerate):
    x, variant = clusters(40_000), variant_of("kdtree", accelerate)
    ends = []
    for n_jobs in (1, 3):
        model, data, params = begun(x, n_jobs=n_jobs)
        ends.append(fit(model, data, params, variant))
    assert identical(ends[0].params, ends[1].params)
    assert np.array_equal(ends[0].trace.objective, ends[1].trace.objective)


def test_the_tree_is_grown_once_for_the_data(monkeypatch):
    grown = []
    summaries = Latent.summaries
    monkeypatch.setattr(Latent, "summaries", lambda self, data: grown.append(data) or summaries(self, data))
    model, data, params = begun(clusters())
    fit(model, data, params, KDTREE, max_iter=20)
    fit(dataclasses.replace(model, k=2), data, begun(clusters(), k=2)[2], KDTREE, max_iter=20)
    assert len(grown) == 1


# --- robust weights ---


def by_hand(x, params, heed, passes):
    """Robust EM of the definition, in numpy, for full covariances."""
    w, mu, sigma = params.structure.weights, params.family.means, params.family.covariances
    for _ in range(passes):
        gap = x[:, None] - mu
        squared = np.einsum("nki,kij,nkj->nk", gap, np.linalg.inv(sigma), gap)
        logs = np.log(w) - 0.5 * (squared + np.linalg.slogdet(sigma)[1])
        r = np.exp(logs - logs.max(axis=1, keepdims=True))
        r /= r.sum(axis=1, keepdims=True)
        u = r * heed(squared)
        w, mu = r.mean(axis=0), (u.T @ x) / u.sum(axis=0)[:, None]
        gap = x[:, None] - mu
        sigma = np.einsum("nk,nki,nkj->kij", u, gap, gap) / r.sum(axis=0)[:, None, None]
    return w, mu, sigma


HEEDS = {
    "student": lambda squared: 6.0 / (4.0 + squared),
    "huber": lambda squared: np.minimum(1.0, np.sqrt(5.991464547107979 / squared)),  # 95% point of chi-square with 2
}


@pytest.mark.parametrize("kind", ["student", "huber"])
@pytest.mark.parametrize("tau", [0.0, None])
def test_robust_steps_are_those_of_the_definition(kind, tau):
    x = clusters(500)
    model, data, params = begun(x, k=2)
    result = fit(model, data, params, Variant("robust", visit=KdTree(tau=tau, robust=kind)), max_iter=4)
    w, mu, sigma = by_hand(x, params, HEEDS[kind], 4)
    assert np.allclose(result.params.structure.weights, w, rtol=1e-9)
    assert np.allclose(result.params.family.means, mu, rtol=1e-9)
    assert np.allclose(result.params.family.covariances, sigma, rtol=1e-8)


def test_rows_far_out_pull_less():
    """One row in twenty sits nine standard deviations off: the mean of all rows goes there by its share of them."""
    rng = np.random.default_rng(7)
    x = np.vstack([rng.normal(size=(19_000, 2)), rng.normal(size=(1000, 2)) + [9.0, 0.0]])
    model, data, params = begun(x, k=1)
    off = {}
    for name, visit in (("plain", KdTree()), ("huber", KdTree(robust="huber")), ("student", KdTree(robust="student"))):
        result = fit(model, data, params, Variant(name, visit=visit), max_iter=2000)
        assert result.converged
        off[name] = float(result.params.family.means[0, 0])
    assert off["plain"] == pytest.approx(0.45, abs=0.05)
    assert off["huber"] < off["plain"] / 2
    assert off["student"] < off["plain"] / 2


# --- what it says no to ---


def test_what_a_model_lacks_is_said_by_name():
    x = clusters(300)
    data = Memory(x)
    student = Latent(Iid(), Student(), 2).bind(data)
    with pytest.raises(TypeError, match=r"'kdtree' needs log densities that are quadratic.*Student has no quadratics"):
        fit(student, data, student.start(), "kdtree")
    grouped = Memory(x, given=np.arange(300) % 2)
    model = Latent(Grouped(2), Normal(), 2).bind(grouped)
    with pytest.raises(TypeError, match=r"same class weights for all: Grouped has no log_weights.*use algorithm='em'"):
        fit(model, grouped, model.start(), "kdtree")
    with pytest.raises(TypeError, match=r"needs log densities.*'incremental'"):
        estep.Mixture(Student(), 2, algorithm="kdtree").fit(x)


def test_what_cannot_be_combined_is_said_by_name():
    model, data, params = begun(clusters(300))
    with pytest.raises(ValueError, match=r"assign='hard'.*soft"):
        fit(model, data, params, Variant("odd", visit=KdTree(), assign=HARD))
    with pytest.raises(ValueError, match=r"tau=-1.*number >= 0.*or None"):
        KdTree(tau=-1)
    with pytest.raises(ValueError, match=r"tau_class=None.*number >= 0"):
        KdTree(tau_class=None)
    with pytest.raises(ValueError, match=r"robust='cauchy' is unknown; choose one of \['huber', 'student'\]"):
        fit(model, data, params, Variant("odd", visit=KdTree(robust="cauchy")))


def test_many_columns_are_refused_with_what_to_use_instead():
    model, data, params = begun(np.random.default_rng(0).normal(size=(9000, 7)), "VVI")
    with pytest.raises(ValueError, match=r"at most 6 columns, got 7 columns.*'em', or 'sparse'"):
        fit(model, data, params, "kdtree")


def test_a_family_without_downweighting_says_so():
    model, data, params = begun(clusters(), k=4, family=WithNoise(Normal()))
    with pytest.raises(TypeError, match=r"robust='huber' needs a family with downweighted\(kind\); WithNoise has none"):
        fit(model, data, params, Variant("odd", visit=KdTree(robust="huber")))


def test_points_know_the_bound_that_they_were_chosen_by():
    model, data, params = begun(clusters())
    control = Control()
    points = KdTree(tau=0.01)._points(model, data, start(model, params, KDTREE, control).nodes)
    assert isinstance(points, Points)
    assert 0 < points.error <= 0.01
