"""Bootstraps: replicates by hand, intervals by scipy, seeds, clusters, blocks, gaps and labels, failures, switched labels."""

import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import estep
from estep.core.collapse import Collapsed
from estep.data.memory import Memory
from estep.inference import refits
from estep.inference.resample import Sampled, drawn_again, in_blocks, simulated, units_of_sequences, weighed_anew
from estep.models import Latent
from estep.structures.chain import Chain

REFERENCE = Path(__file__).resolve().parents[1] / "reference"


def two_clusters(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return np.vstack([rng.normal(size=(2 * n // 3, 2)), [5, 5] + rng.normal(size=(n // 3, 2))])


def generators(seed, n_boot):
    drawn = np.random.RandomState(seed).randint(np.iinfo(np.int32).max)
    return [np.random.default_rng(np.random.SeedSequence(drawn, spawn_key=(b,))) for b in range(n_boot)]


def within(sd, true, n_boot, excess=0.0):
    """Whether a standard deviation of ``n_boot`` replicates could be ``true``: 6 standard errors, a false alarm in 5e8."""
    return np.abs(sd / true - 1) < 6 * np.sqrt((2.0 + excess) / (4 * n_boot))


X = two_clusters()
FIT = estep.GaussianMixture(2, random_state=3).fit(X)


# ---- replicates by hand ----------------------------------------------------------------------------------------------


def test_rows_with_replacement_by_hand():
    x = np.random.default_rng(1).gamma(2.0, size=(40, 1))
    fit = estep.Mixture(estep.Exponential(), 1, random_state=7).fit(x)
    found = fit.standard_errors(x, method="bootstrap", n_boot=25)
    times = [rng.multinomial(40, np.full(40, 1 / 40)) for rng in generators(7, 25)]
    by_hand = np.array([40 / (t @ x[:, 0]) for t in times])
    np.testing.assert_allclose(found.replicates["rates"][:, 0, 0], by_hand, rtol=1e-10)
    assert found["rates"][0, 0] == pytest.approx(by_hand.std(ddof=1), rel=1e-9)
    assert found.reasons["weights"].tolist() == ["constant"]
    assert np.isnan(found["weights"]).all()


def test_weighted_likelihood_of_a_mean():
    """Dirichlet weights: the variance of the weighted mean is the variance (divisor n) over n + 1."""
    x = np.random.default_rng(2).normal(size=(30, 1)) * 3
    fit = estep.Mixture(estep.Normal("E"), 1, random_state=1).fit(x)
    found = fit.standard_errors(x, method="bootstrap", kind="weighted", n_boot=500)
    draws = np.array([rng.gamma(np.ones(30)) for rng in generators(1, 500)])
    means = draws @ x[:, 0] / draws.sum(axis=1)
    np.testing.assert_allclose(found.replicates["means"][:, 0, 0], means, rtol=0, atol=1e-9)
    assert within(found["means"][0, 0], np.sqrt(x.var() / 31), 500)
    assert not within(found["means"][0, 0], np.sqrt(x.var() / 20), 500)


def test_frequencies_are_drawn_one_by_one():
    """Weight 3 is three rows: as many units are drawn as there is weight, and the replicates have the total weight."""
    sampled = Sampled(Memory(np.arange(4.0)[:, None], weight=np.array([3.0, 1.0, 2.0, 4.0]), n_jobs=1))
    for draw in (drawn_again, weighed_anew):
        shares = np.zeros(4)
        for b in range(2000):
            data = draw(sampled, None, None, np.random.default_rng(b))
            assert data.weight.sum() == pytest.approx(10.0)
            shares[data.x[:, 0].astype(int)] += data.weight / 2000
        # sd of a count of multinomial(10, p) is below 1.6; of its mean over 2000, 0.036
        assert np.abs(shares - [3, 1, 2, 4]).max() < 6 * 0.036


def test_sequences_with_frequencies_are_drawn_one_by_one():
    """A sequence of weight 3 is three sequences: its count varies as those of three rows do, and not as three times one."""
    ends = np.cumsum([3, 5, 2, 6])
    unit, often = units_of_sequences(ends), np.array([3.0, 1.0, 2.0, 4.0])
    sampled = Sampled(Memory(np.arange(16.0)[:, None], weight=often[unit], ends=ends, n_jobs=1), unit)
    clusters = dataclasses.replace(sampled, data=dataclasses.replace(sampled.data, ends=None))

    def variance(sampled):
        found = np.zeros((2000, 4))
        for b in range(2000):
            data = drawn_again(sampled, None, None, np.random.default_rng(b))
            found[b, unit[data.x[:, 0].astype(int)]] = data.weight
        return found.var(axis=0)

    p, doubled = often / 10, often**2 * 4 * 0.25 * 0.75
    sd = 10 * p * (1 - p) * np.sqrt(2 / 1999)  # of the variance of 2000 nearly normal counts
    assert (np.abs(variance(sampled) - 10 * p * (1 - p)) < 6 * sd).all()
    np.testing.assert_allclose(variance(clusters), doubled, rtol=6 * np.sqrt(2 / 1999))  # a cluster with weights is one draw
    total = [weighed_anew(sampled, None, None, np.random.default_rng(b)).weight[ends - 1] for b in range(2000)]
    shares = np.array(total) / np.sum(total, axis=1, keepdims=True)
    np.testing.assert_allclose(shares.var(axis=0), p * (1 - p) / 11, rtol=6 * np.sqrt(2 / 1999))  # of Dirichlet(often)


def test_clusters_are_drawn_whole():
    """Every row three times, each triple a cluster: the same draws as of single rows, and the same replicates."""
    x, code = np.repeat(X, 3, axis=0), np.repeat(np.random.default_rng(0).permutation(60) * 10, 3)
    order = np.argsort(code[::3])
    one = FIT.standard_errors(X[order], method="bootstrap", n_boot=6)
    three = FIT.standard_errors(x, method="bootstrap", n_boot=6, clusters=code)
    np.testing.assert_allclose(three.replicates["means"], one.replicates["means"], rtol=1e-5)
    free = FIT.standard_errors(x, method="bootstrap", n_boot=60)
    # Ignoring the clusters is wrong by the root of three.
    assert 0.4 < np.median(free["means"] / FIT.standard_errors(X, method="bootstrap", n_boot=60)["means"]) < 0.8


def test_moving_blocks_of_a_mean():
    """Variance of the mean of b joined blocks: that of the means of all blocks over b (Kuensch 1989)."""
    rng, n, length = np.random.default_rng(5), 120, 8
    x = np.zeros(n)
    for t in range(1, n):
        x[t] = 0.8 * x[t - 1] + rng.normal()
    fit = estep.Mixture(estep.Normal("E"), 1, random_state=0).fit(x[:, None])
    found = fit.standard_errors(x[:, None], method="bootstrap", kind="blocks", block=length, n_boot=400)
    blocks = np.lib.stride_tricks.sliding_window_view(x, length).mean(axis=1)
    true = np.sqrt(blocks.var() / (n // length))
    assert within(found["means"][0, 0], true, 400)
    assert true > 1.5 * np.sqrt(x.var() / n)  # what independent rows would say


def test_sequences_stay_whole():
    lengths = [3, 5, 2, 6]
    ends = np.cumsum(lengths)
    assert units_of_sequences(ends).tolist() == [0] * 3 + [1] * 5 + [2] * 2 + [3] * 6
    rows = np.arange(16.0)[:, None]
    sampled = Sampled(Memory(rows, ends=ends, n_jobs=1), units_of_sequences(ends))
    pieces = np.split(rows[:, 0], ends[:-1])
    for b in range(20):
        data = drawn_again(sampled, None, None, np.random.default_rng(b))
        assert data.ends[-1] == len(data.x)
        for piece in np.split(np.arange(len(data.x)), data.ends[:-1]):
            assert any(np.array_equal(data.x[piece, 0], whole) for whole in pieces)
            assert len(set(data.weight[piece])) == 1
        assert sum(data.weight[np.asarray(data.ends) - 1]) == pytest.approx(4)
        moved = in_blocks(dataclasses.replace(sampled, block=2), None, None, np.random.default_rng(b))
        np.testing.assert_array_equal(moved.ends, ends)
        for piece, whole in zip(np.split(moved.x[:, 0], ends[:-1]), pieces, strict=True):
            assert set(piece) <= set(whole)


def test_sequences_of_a_hidden_markov_model():
    rng, ends = np.random.default_rng(0), np.arange(10, 101, 10)
    model = Latent(Chain(), estep.Poisson(), 2)
    z = np.repeat(rng.permutation([0, 1] * 10), 5)
    x = rng.poisson(np.array([1.0, 9.0])[z]).astype(float)[:, None]
    data = Memory(x, ends=ends, n_jobs=1)
    bound = model.bind(data)
    begin = bound.start()
    begin = dataclasses.replace(begin, family=type(begin.family)(np.array([[1.0], [8.0]])))
    result = estep.fit(bound, data, begin)
    found = refits_of(bound, result.params, Sampled(data, units_of_sequences(ends)))
    assert found.failures == {}
    # Poisson rates of about 50 rows each: sd sqrt(rate / 50), a factor of two for clustering and for 30 replicates
    np.testing.assert_allclose(found["rates"][:, 0], np.sqrt([1 / 50, 9 / 50]), rtol=1.0)
    assert (found["rates"] > 0.03).all()
    assert refits_of(bound, result.params, Sampled(data), kind="parametric").failures == {}


def refits_of(model, params, sampled, **settings):
    from estep.inference.bootstrap import bootstrap
    from estep.inference.errors import natural_of

    return bootstrap(model, params, sampled, natural=natural_of(model), n_boot=30, **settings)


# ---- parametric ------------------------------------------------------------------------------------------------------


def test_simulated_rows_have_the_gaps_and_labels_of_the_data():
    x = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    y = np.where(np.arange(60) % 3 == 0, (X[:, 0] < 2.5).astype(int), -1)
    fit = estep.GaussianMixture(2, random_state=0).fit(x, y)
    sampled = Sampled(Memory(x, allowed=y, n_jobs=1))
    model, params = fit.result_.model, fit.result_.params
    one, two = (simulated(sampled, model, params, np.random.default_rng(s)) for s in (1, 2))
    for data in (one, two):
        np.testing.assert_array_equal(np.isnan(data.x), np.isnan(x))
        np.testing.assert_array_equal(data.allowed >= 0, y >= 0)
        near = ((data.x[:, None] - fit.means_) ** 2).sum(axis=2)
        sure = (data.allowed >= 0) & ~np.isnan(near).any(axis=1)
        assert (near.argmin(axis=1) == data.allowed)[sure].mean() > 0.9  # rows belong to their new labels
    assert (one.allowed != two.allowed).any()
    assert fit.standard_errors(x, method="bootstrap", kind="parametric", n_boot=5, y=y).n_boot == 5


def test_regressions_keep_their_covariates():
    rng = np.random.default_rng(1)
    x = rng.uniform(-2, 2, size=(150, 1))
    z = np.arange(150) % 2
    y = np.where(z == 0, 1 + 2 * x[:, 0], 3 - 2 * x[:, 0]) + 0.3 * rng.normal(size=150)
    y[::10] = np.nan
    fit = estep.MixtureOfRegressions("linear", 2, random_state=0).fit(x, y)
    asymptotic = fit.standard_errors(x, y)
    for kind in ("parametric", "nonparametric"):
        found = fit.standard_errors(x, y, method="bootstrap", kind=kind, n_boot=60)
        # both are estimates: 60 replicates know a standard error to 9%, first order theory to some more
        np.testing.assert_allclose(found["coefs"], asymptotic["coefs"], rtol=0.6)


def test_frequencies_of_patterns():
    rng = np.random.default_rng(4)
    z = rng.random(300) < 0.4
    items = (rng.random((300, 5)) < np.where(z[:, None], 0.85, 0.2)).astype(float)
    fit = estep.LatentClass(2, random_state=0).fit(items)
    many = fit.standard_errors(items, method="bootstrap", n_boot=80)
    patterns, times = np.unique(items, axis=0, return_counts=True)
    few = fit.standard_errors(patterns, times, method="bootstrap", n_boot=80)
    drawn = fit.standard_errors(patterns, times, method="bootstrap", n_boot=80, kind="parametric")
    for found in (few, drawn):
        ratio = found["weights"] / many["weights"]
        assert within(ratio, 1.0, 40, excess=3).all()  # two of 80 replicates each, tails somewhat heavy


def test_what_a_law_leaves_open_is_refused():
    x = np.column_stack([np.random.default_rng(0).poisson(3, 30), np.full(30, 2.0)]).astype(float)
    fit = estep.Mixture(estep.Poisson(exposure="last"), 1, random_state=0).fit(x)
    with pytest.raises(ValueError, match="what exposure a row would have is not known; use kind='nonparametric'"):
        fit.standard_errors(x, method="bootstrap", kind="parametric", n_boot=5)
    tobit = estep.CensoredNormal().fit(np.arange(20.0), np.arange(20) % 3 == 0)
    with pytest.raises(ValueError, match="how a row would have been censored is not known"):
        tobit.standard_errors(np.arange(20.0), np.arange(20) % 3 == 0, method="bootstrap", kind="parametric", n_boot=5)


# ---- intervals -------------------------------------------------------------------------------------------------------


def test_intervals_are_scipys():
    """The same replicates of a mean, skewed: percentile and BCa ends by scipy.stats.bootstrap."""
    x = np.random.default_rng(3).lognormal(sigma=1.0, size=50)
    fit = estep.Mixture(estep.Normal("E"), 1, random_state=2).fit(x[:, None])
    found = fit.standard_errors(x[:, None], method="bootstrap", n_boot=400)
    distribution = found.replicates["means"][:, 0, 0]

    class Held:
        bootstrap_distribution = distribution

    for method in ("percentile", "BCa"):
        by_scipy = scipy.stats.bootstrap((x,), np.mean, n_resamples=0, bootstrap_result=Held(), method=method)
        ours = fit.confint(x[:, None], method=method.lower(), which="means", errors=found)["means"][0, 0]
        np.testing.assert_allclose(ours, by_scipy.confidence_interval, rtol=1e-7)
    percentile, bca = (found.interval(0.9, m, "means")["means"][0, 0] for m in ("percentile", "bca"))
    assert bca[0] > percentile[0]  # skewed to the right: both ends move up
    assert bca[1] > percentile[1]


def test_frequencies_in_the_jackknife():
    """Weights 2 are two rows: the same acceleration, from fewer fits."""
    x = np.random.default_rng(3).lognormal(size=20)[:, None]
    weight = np.arange(20) % 3 + 1.0
    fit = estep.Mixture(estep.Exponential(), 1, random_state=0).fit(x, sample_weight=weight)
    few = fit.standard_errors(x, weight, "bootstrap", n_boot=20)
    many = fit.standard_errors(np.repeat(x, weight.astype(int), axis=0), method="bootstrap", n_boot=20)
    (one, times), (other, ones) = few.jackknife(), many.jackknife()
    assert times.tolist() == weight.tolist()
    np.testing.assert_allclose(np.repeat(one["rates"], weight.astype(int), axis=0), other["rates"], rtol=1e-10)
    assert ones.sum() == times.sum()


def test_the_grouped_jackknife_of_many_rows():
    """Acceleration of a mean is skewness / (6 sqrt n); from 100 groups of 5 it is known to the noise between groups."""
    x = np.random.default_rng(0).exponential(size=(500, 1))
    fit = estep.Mixture(estep.Normal("E"), 1, random_state=0).fit(x)
    found = fit.standard_errors(x, method="bootstrap", n_boot=10)
    part, times = found.jackknife()
    assert len(times) == 100
    gaps = part["means"].mean() - part["means"][:, 0, 0]
    skew = (gaps**3).sum() / (6 * (gaps**2).sum() ** 1.5)
    exact = scipy.stats.skew(x[:, 0]) / (6 * np.sqrt(500))
    # The sum of 100 cubes of means of 5: sd sqrt(100 * 15) / (6 * 1000) = 0.0065, with tails 0.01
    assert abs(skew - exact) < 0.03
    assert exact > 0.01


# ---- seeds, processes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nonparametric", "weighted", "parametric"])
def test_the_numbers_do_not_depend_on_processes(kind):
    one, two, three = (
        FIT.standard_errors(X, method="bootstrap", kind=kind, n_boot=7, n_jobs=n_jobs, random_state=s)
        for n_jobs, s in ((None, 5), (2, 5), (None, 6))
    )
    for name in one:
        np.testing.assert_array_equal(one.replicates[name], two.replicates[name])
    assert (one.replicates["means"] != three.replicates["means"]).all()
    longer = FIT.standard_errors(X, method="bootstrap", kind=kind, n_boot=9, random_state=5)
    np.testing.assert_array_equal(longer.replicates["means"][:7], one.replicates["means"])


def test_the_progress_line(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    FIT.standard_errors(X, method="bootstrap", n_boot=3, progress=True)
    assert "bootstrap: 3 of 3 refits, about 0 s left" in stream.getvalue()
    assert stream.getvalue().endswith("\r")


# ---- switched labels, failures ---------------------------------------------------------------------------------------


def switching(real):
    """Refits whose components come in another order every other time."""
    calls = []

    def fit_starts(model, data, starts, variant, control):
        result = real(model, data, starts, variant, control)
        calls.append(1)
        order = np.arange(model.k)[:: -1 if len(calls) % 2 else 1]
        return dataclasses.replace(result, params=model.permute(result.params, order))

    return fit_starts


def test_switched_labels_are_put_back(monkeypatch):
    honest = FIT.standard_errors(X, method="bootstrap", n_boot=20)
    assert honest.renamed == 0
    monkeypatch.setattr(refits, "fit_starts", switching(refits.fit_starts))
    found = FIT.standard_errors(X, method="bootstrap", n_boot=20)
    assert found.notes == ("10 of 20 refits came with components in another order and were put back",)
    np.testing.assert_array_equal(found.replicates["means"], honest.replicates["means"])
    np.testing.assert_allclose(found.costs, honest.costs, rtol=0, atol=1e-14)
    # Left as they come, they are wrong.
    alone = FIT.standard_errors(X, method="bootstrap", n_boot=20, align=False)
    assert (alone["means"] > 5 * honest["means"]).all()


def test_constraints_name_components():
    fit = estep.GaussianMixture(2, fixed=dict(means=[[0.0, 0.0], [np.nan, np.nan]]), random_state=0).fit(X)
    found = fit.standard_errors(X, method="bootstrap", n_boot=8)
    assert "no standard error for some entries of means: no replicate moves them" in found.notes[0]
    assert found.problem.resp is None
    assert (found.replicates["means"][:, 0] == 0).all()
    assert found.reasons["means"].tolist() == [["constant"] * 2, [""] * 2]
    assert np.isnan(fit.confint(X, method="percentile", errors=found)["means"][0]).all()


def test_noise_keeps_its_place():
    x = np.vstack([X, np.random.default_rng(0).uniform(-20, 20, size=(15, 2))])
    fit = estep.GaussianMixture(2, noise=True, random_state=0).fit(x)
    found = fit.standard_errors(x, method="bootstrap", n_boot=8)
    assert found.problem.held == 1
    assert found["weights"].shape == (3,)
    assert (found.replicates["means"][:, 0] < 2).all()


def test_failures_are_counted_with_reasons(monkeypatch):
    real, calls = refits.fit_starts, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) % 4 == 0:
            raise Collapsed(1, "planted")
        return real(*arguments)

    monkeypatch.setattr(refits, "fit_starts", failing)
    with pytest.warns(UserWarning, match=r"3 of 12 refits failed and are left out \(3: .*planted"):
        found = FIT.standard_errors(X, method="bootstrap", n_boot=12)
    assert list(found.failures) == [3, 7, 11]
    assert np.isnan(found.replicates["means"][[3, 7, 11]]).all()
    assert np.isnan(found.costs).sum() == 3
    good = np.delete(found.replicates["means"], [3, 7, 11], axis=0)
    np.testing.assert_allclose(found["means"], good.std(axis=0, ddof=1), rtol=1e-12)
    low, high = np.quantile(good, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(found.interval()["means"], np.stack([low, high], axis=-1), rtol=1e-12)
    monkeypatch.setattr(refits, "fit_starts", lambda *arguments: (_ for _ in ()).throw(Collapsed(0, "planted")))
    with pytest.raises(ValueError, match="none of 5 refits succeeded; the first failed with: .*planted"):
        FIT.standard_errors(X, method="bootstrap", n_boot=5)


def test_ctrl_c_ends_the_bootstrap(monkeypatch):
    monkeypatch.setattr(refits, "fit_starts", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        FIT.standard_errors(X, method="bootstrap", n_boot=5)


REFUSED = [
    (dict(n_boot=1), ValueError, "n_boot must be an integer >= 2, got 1"),
    (dict(kind="jackknife"), ValueError, "kind='jackknife' is unknown.*'weighted'"),
    (dict(kind="blocks"), ValueError, "block must be a number of rows from 1 to 59, got None"),
    (dict(block=3), ValueError, "block=3 is for kind='blocks'"),
    (dict(clusters=[1, 2]), ValueError, r"clusters has shape \(2,\), expected \(60,\)"),
    (dict(clusters=np.arange(60), kind="parametric"), ValueError, "clusters are drawn with"),
    (dict(draws=3), TypeError, "draws"),
]


@pytest.mark.parametrize(("options", "kind", "words"), REFUSED)
def test_what_is_refused(options, kind, words):
    with pytest.raises(kind, match=words):
        FIT.standard_errors(X, method="bootstrap", **{"n_boot": 4, **options})


def test_intervals_that_are_refused():
    with pytest.raises(ValueError, match="got Errors"):
        FIT.confint(X, method="bca", errors=FIT.standard_errors(X))
    found = FIT.standard_errors(X, method="bootstrap", n_boot=5, kind="weighted")
    with pytest.raises(ValueError, match="needs a bootstrap of kind nonparametric or parametric, got 'weighted'"):
        FIT.confint(X, method="bca", errors=found)
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        found.interval(95)
    with pytest.raises(TypeError, match="errors are given, so 'n_boot' has no use"):
        FIT.confint(X, method="percentile", errors=found, n_boot=9)


def test_it_is_a_table_and_a_mapping():
    found = FIT.standard_errors(X, method="bootstrap", n_boot=6)
    assert set(found) == set(found.keys()) == {"weights", "means", "covariances"}
    frame, cov = found.to_frame(), found.vcov()
    assert len(frame) == len(cov) == 2 + 4 + 8
    np.testing.assert_allclose(np.sqrt(np.diag(cov)), frame["se"], rtol=1e-9)
    assert "nonparametric bootstrap, 6 refits from the fitted parameters, 0 failed" in str(found)


def test_estimates_at_an_end_are_warned_of():
    """An item that nobody of a class solves: no replicate moves its probability."""
    items = np.array([[1, 1, 1, 1], [0, 0, 0, 0]] * 20 + [[1, 1, 0, 1], [0, 1, 0, 0]] * 5, dtype=float)
    fit = estep.Mixture(estep.Bernoulli(), 2, random_state=0).fit(items)
    with pytest.warns(UserWarning, match="no standard error for some entries of probs"):
        found = fit.standard_errors(items, method="bootstrap", n_boot=10)
    np.testing.assert_array_equal(np.isnan(found["probs"]), found.reasons["probs"] == "constant")


# ---- mclust ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nonparametric", "weighted", "parametric"])
def test_standard_errors_of_mclust(kind):
    """Both are Monte Carlo: theirs of 2999 replicates, ours of 599; tails heavier than normal ones by a kurtosis of up to 6."""
    reference = json.loads((REFERENCE / "mclust_bootstrap.json").read_text("utf-8"))
    faithful, _ = estep.data.sets.load_faithful()
    fit = estep.GaussianMixture(2, random_state=0, accelerate="none").fit(faithful)
    assert fit.log_likelihood_ == pytest.approx(reference["log_likelihood"], abs=1e-3)
    found = fit.standard_errors(faithful, method="bootstrap", kind=kind, n_boot=599)
    theirs = reference["standard_errors"][kind]
    ours = {"weights": found["weights"], "means": found["means"]}
    ours["variances"] = np.diagonal(found["covariances"], axis1=1, axis2=2)
    n_boot = 1 / (1 / 599 + 1 / reference["n_boot"])
    for name, value in ours.items():
        assert within(value / np.array(theirs[name]), 1.0, n_boot, excess=6).all(), name
