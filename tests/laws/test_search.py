"""Searches never end below the starts they begin with, leave the traps that plain EM stays in, and say what they need."""

import dataclasses

import numpy as np
import pytest

import estep
from estep.core.assign import SOFT
from estep.core.record import identical
from estep.core.result import Status
from estep.data.memory import Memory
from estep.engine.presets import variant_of
from estep.engine.restart import Start, fit_starts
from estep.engine.run import Control
from estep.engine.search import RandomSwap, drawn_row
from estep.engine.search_greedy import Greedy
from estep.engine.search_split import local_divergence, measured, moves, reshaped
from estep.engine.searches import SEARCHES, fit_searched
from estep.engine.tallied import fitted_to
from estep.engine.visit import total
from estep.families.bernoulli import Bernoulli
from estep.families.normal import Normal
from estep.families.poisson import Poisson
from estep.models.latent import Latent
from estep.structures.chain import Chain
from estep.structures.iid import Iid
from estep.testing.toy import Climb, Point

CENTRES = np.array([[0.0, 0.0], [0.0, 6.0], [9.0, 0.0], [9.0, 9.0]])
TRAP = np.array([0, 0, 1, 2])  # class of each true cluster at the start; class 3 takes every other row of cluster 2


def clusters(seed=0, n=60):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), n)
    return CENTRES[labels] + 0.7 * rng.normal(size=(4 * n, 2)), labels


def trapped(seed=0, **carried):
    """A model whose start has one class over two clusters and two classes in one: plain EM stays there."""
    x, labels = clusters(seed)
    data = Memory(x, n_jobs=1, **carried)
    model = Latent(Iid(), Normal("VVI"), 4).bind(data)
    classes = TRAP[labels]
    classes[(labels == 3) & (x[:, 0] > 9.0)] = 3
    start = Start("trap", lambda: fitted_to(model, data, lambda chunk: np.eye(4)[classes[chunk.rows]]))
    return model, data, [start]


def run(search, problem, seed=0, **control):
    model, data, starts = problem
    return fit_searched(model, data, starts, variant_of("em", "auto"), Control(**control), search, seed=seed)


def random_starts(model, data, count, seed=0):
    def make(i):
        rng = np.random.default_rng([seed, i])
        resp = rng.dirichlet(np.full(model.k, 0.3), size=data.n_rows)
        return lambda: fitted_to(model, data, lambda chunk: resp[chunk.rows])

    return [Start(f"random {i}", make(i)) for i in range(count)]


def counts(seed):
    x = np.random.default_rng(seed).poisson(np.repeat([1.0, 6.0, 15.0], 60))[:, None].astype(float)
    return Latent(Iid(), Poisson(), 3), Memory(x, n_jobs=1)


def items(seed):
    rng = np.random.default_rng(seed)
    probs = rng.uniform(0.1, 0.9, size=(3, 6))
    x = (rng.random((150, 6)) < probs[rng.integers(3, size=150)]).astype(float)
    return Latent(Iid(), Bernoulli(), 3), Memory(x, n_jobs=1)


def chains(seed):
    rng = np.random.default_rng(seed)
    x = (np.repeat(rng.integers(3, size=30), 5) * 3.0 + rng.normal(size=150))[:, None]
    return Latent(Chain(), Normal("VVV"), 3), Memory(x, n_jobs=1, ends=np.arange(30, 151, 30))


def clouds(seed):
    return Latent(Iid(), Normal("VVI"), 4), Memory(clusters(seed)[0], n_jobs=1)


@pytest.mark.parametrize("make", [counts, items, chains, clouds], ids=lambda make: make.__name__)
@pytest.mark.parametrize("search", ["random_swap", "split_merge"])
@pytest.mark.parametrize("seed", range(3))
def test_a_search_is_never_below_plain_em_from_the_same_starts(search, make, seed):
    model, data = make(seed)
    model = model.bind(data)
    starts = random_starts(model, data, 2, seed)
    plain = fit_starts(model, data, starts, variant_of("em", "auto"), Control(max_iter=300))
    found = run(search, (model, data, starts), seed, max_iter=300)
    assert found.objective >= plain.objective
    assert found.objective == pytest.approx(float(total(model, data, found.params, SOFT).objective), rel=1e-12)
    assert found.starts[found.starts.best].objective == found.objective
    assert [row.start for row in found.starts.rows[:2]] == [row.start for row in plain.starts.rows]


def test_plain_em_stays_in_the_trap():
    """Negative control of what follows: without a search the fit ends more than 50 nats below the best known."""
    best = run("greedy", trapped())
    assert run(None, trapped()).objective < best.objective - 50.0


@pytest.mark.parametrize("search", ["random_swap", "split_merge", "greedy"])
@pytest.mark.parametrize("seed", range(3))
def test_searches_leave_the_trap(search, seed):
    problem = trapped(seed)
    _, labels = clusters(seed)
    truth = fitted_to(problem[0], problem[1], lambda chunk: np.eye(4)[labels[chunk.rows]])
    top = fit_starts(problem[0], problem[1], [Start("truth", lambda: truth)], variant_of("em", "auto"), Control())
    found = run(search, problem, seed)
    assert found.objective >= top.objective - 1e-4
    assert search in found.starts.note


def test_only_the_best_of_the_short_runs_goes_on():
    model, data = clouds(0)
    model = model.bind(data)
    found = run("short_runs", (model, data, random_starts(model, data, 12)))
    assert sum(row.polished for row in found.starts.rows if row.message != "left after a short run") >= 1
    assert sum(row.message == "left after a short run" for row in found.starts.rows) >= 8
    assert "of 12 short runs" in str(found.starts)


def test_the_table_says_what_was_done():
    found = run(RandomSwap(6), trapped())
    assert len(found.starts) == 7
    assert found.starts.note.startswith("search random_swap: 6 swaps tried, ")
    words = [row.message for row in found.starts.rows[1:]]
    assert all(w.startswith(("kept", "not kept", "left after")) or "collapsed" in w for w in words)
    assert sum(w.startswith("kept") for w in words) == int(found.starts.note.split(", ")[1].split()[0])


# --- the criteria of split and merge, against loops over rows ---


def test_overlap_and_local_divergence_are_those_of_the_paper():
    x, _ = clusters()
    weight = np.random.default_rng(1).integers(1, 4, size=len(x)).astype(float)
    model, data, starts = trapped(weight=weight)
    params = starts[0].make()
    resp, logb = (np.vstack([get(chunk) for chunk in data.chunks()]) for get in (
        lambda chunk: model.explain(params, chunk).resp, lambda chunk: model.densities(params, chunk)))  # fmt: skip
    written = np.repeat(np.arange(len(x)), weight.astype(int))
    resp, logb = resp[written], logb[written]
    seen = measured(model, data, params)
    np.testing.assert_allclose(seen.gram, resp.T @ resp, rtol=1e-10)
    f = resp / resp.sum(axis=0)
    divergence = [sum(f[n, c] * (np.log(f[n, c]) - logb[n, c]) for n in range(len(f)) if f[n, c] > 0) for c in range(4)]
    np.testing.assert_allclose(local_divergence(seen), divergence, rtol=1e-9)
    assert moves(seen, 4)[0] == (2, 3, 0), "classes 2 and 3 share a cluster, class 0 covers two"


def test_a_move_adds_two_classes_and_shares_one():
    model, data, starts = trapped()
    params = starts[0].make()
    mass = measured(model, data, params).mass / data.n_rows
    bare = dataclasses.replace(model, prior=dataclasses.replace(model.with_prior({}).prior))
    moved = reshaped(bare, data, params, (2, 3, 0)).structure.weights
    assert moved[2] == pytest.approx(mass[2] + mass[3], abs=1e-9)
    assert moved[0] + moved[3] == pytest.approx(mass[0], abs=1e-9)
    assert min(moved[0], moved[3]) > 0.3 * mass[0]


def test_greedy_grows_to_the_clusters_from_one_component():
    model, data, _ = trapped()
    grown = run(Greedy(), (model, data, trapped()[2]))
    means = grown.params.family.means
    assert np.abs(means[:, None] - CENTRES[None]).max(axis=2).min(axis=1).max() < 0.5


def test_rows_are_drawn_in_proportion_to_their_weight():
    weight = np.array([1.0, 3.0, 0.0, 4.0])
    data = Memory(np.arange(4.0)[:, None], weight=weight, rows=2)
    drawn = np.bincount([drawn_row(data, np.random.default_rng(i))[0] for i in range(2000)], minlength=4)
    assert drawn[2] == 0
    # five standard deviations of a binomial share: a false alarm is rarer than one in a million
    assert np.abs(drawn / 2000 - weight / 8).max() < 5 * np.sqrt(0.25 / 2000)


# --- determinism, resumption ---


@pytest.mark.parametrize("search", [*SEARCHES])
def test_the_same_seed_gives_the_same_bits_whatever_the_threads(search):
    x, _ = clusters(1)
    fits = [
        estep.GaussianMixture(
            4, covariance_type="VVI", n_init=2, init="random", search=search, random_state=3, n_jobs=jobs
        ).fit(x)
        for jobs in (1, 2)
    ]
    assert identical(fits[0].result_.params, fits[1].result_.params)
    assert str(fits[0].starts_) == str(fits[1].starts_)


@pytest.mark.parametrize("search", ["random_swap", "split_merge", "greedy"])
def test_a_search_that_was_stopped_returns_the_best_so_far(search):
    model, data, starts = trapped()
    told = []
    found = run(search, (model, data, starts), watch=lambda state, status: told.append(1) or len(told) >= 25)
    assert found.status is Status.STOPPED
    assert found.objective == pytest.approx(float(total(model, data, found.params, SOFT).objective), rel=1e-12)


# --- what is needed ---


def test_one_component_has_nothing_to_search_for():
    x, _ = clusters()
    fit = estep.GaussianMixture(1, search="split_merge").fit(x)
    assert fit.starts_.note == ""


def test_two_components_are_merged_and_split():
    x, _ = clusters()
    fit = estep.GaussianMixture(2, search="split_merge", random_state=0).fit(x)
    assert "1 moves tried" in fit.starts_.note


@pytest.mark.parametrize("search", ["random_swap", "split_merge"])
def test_noise_is_never_moved(search):
    x, _ = clusters()
    x = np.vstack([x, np.random.default_rng(0).uniform(-10, 20, size=(30, 2))])
    fit = estep.GaussianMixture(4, noise=True, search=search, random_state=0, n_init=2).fit(x)
    assert (fit.predict(x) == -1).sum() < 60
    assert not any("component 4" in row.start or "4 split" in row.start for row in fit.starts_.rows)


def test_what_a_model_lacks_is_named():
    with pytest.raises(TypeError, match="needs moved, which Climb lacks"):
        fit_searched(
            dataclasses.make_dataclass("Climb", [("k", int, 3)], bases=(Climb,), frozen=True)(),
            Memory(np.zeros((10, 1))), [Start("far", lambda: Point(np.array(3.0)))], variant_of("em", "none"), Control(),
            "random_swap",
        )  # fmt: skip
    with pytest.raises(TypeError, match=r"seat\(params, component, row\), which .* lacks; use search='split_merge'"):
        estep.MixtureOfRegressions(n_components=2, search="random_swap").fit(np.arange(20.0)[:, None] % 7, np.arange(20.0))


def test_what_rows_and_variants_forbid_is_said():
    x, labels = clusters()
    some = np.where(np.arange(len(x)) % 7 == 0, labels, -1)
    with pytest.raises(ValueError, match="partial labels; use 'random_swap'"):
        estep.GaussianMixture(4, search="greedy").fit(x, some)
    with pytest.raises(ValueError, match="cannot be added one by one"):
        estep.GaussianMixture(4, search="greedy", fixed={"weights": [0.25] * 4}).fit(x)
    with pytest.raises(ValueError, match="sequences; use 'random_swap'"):
        estep.GaussianHMM(3, search="greedy").fit(x)
    with pytest.raises(ValueError, match="search='warp' is unknown; choose None, 'random_swap'"):
        estep.GaussianMixture(4, search="warp").fit(x)
    with pytest.raises(ValueError, match="promises nothing of its objective"):
        estep.GaussianMixture(4, search="random_swap", algorithm="sem").fit(x)


def test_searches_heed_labels_fixed_entries_weights_and_gaps():
    x, labels = clusters()
    x[::11, 1] = np.nan
    some = np.where(np.arange(len(x)) % 5 == 0, labels, -1)
    fixed = {"weights": np.array([0.25, np.nan, np.nan, np.nan])}
    fit = estep.GaussianMixture(4, search=RandomSwap(4), fixed=fixed, random_state=0, n_init=2)
    fit.fit(x, some, sample_weight=np.ones(len(x)) * 2.0)
    assert fit.weights_[0] == 0.25
    known = some >= 0
    np.testing.assert_array_equal(fit.predict(x, y=some)[known], some[known])
