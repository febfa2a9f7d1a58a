"""Bootstrap likelihood ratio test: p values by hand, its size and power, mclust's statistic, seeds, gaps, refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import estep
from estep.core.collapse import Collapsed
from estep.data import sets
from estep.inference import refits
from estep.inference.lrt import judged

REFERENCE = Path(__file__).resolve().parents[1] / "reference"


def normals(*sizes, **settings):
    return [estep.GaussianMixture(k, covariance_type="E", n_init=3, random_state=0, **settings) for k in sizes]


def bimodal(n=40, gap=5.0, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 1)) + np.repeat([0.0, gap], n // 2)[:, None]


# ---- the p value -----------------------------------------------------------------------------------------------------


def test_p_values_by_hand():
    drawn = [(value, "") for value in (1.0, 6.0, 2.0, 5.0, 3.0)]
    assert judged(5.0, drawn, None).p_value == 3 / 6  # 6 and the tie, and the data themselves
    assert judged(9.0, drawn, None).p_value == 1 / 6
    two = judged(5.0, drawn, 2)
    assert (two.p_value, two.n_boot, two.stopped) == (2 / 4, 4, True)
    assert judged(9.0, drawn, 2).p_value == 1 / 6  # never stopped
    with_gaps = judged(5.0, [(np.nan, "odd"), *drawn], None)
    assert (with_gaps.p_value, with_gaps.n_boot, dict(with_gaps.failures)) == (3 / 6, 6, {0: "odd"})
    assert with_gaps.error == pytest.approx(np.sqrt(0.25 / 5))
    assert "1 of 6 replicates failed and are left out (first: odd)" in str(with_gaps)
    assert "the larger model ended below the smaller" in judged(5.0, [(-1.0, "")], None).notes[0]
    with pytest.raises(ValueError, match="none of 1 replicates succeeded; the first failed with: odd"):
        judged(5.0, [(np.nan, "odd")], None)


@pytest.mark.parametrize("stop_after", [None, 5])
def test_p_values_are_uniform_under_the_null(stop_after):
    """Statistics alike in law: P(p <= a) is a at multiples of 1/(B+1), and at 5/l in the sequential test."""
    rng, B, runs = np.random.default_rng(0), 39, 4000
    p = np.array([judged(rng.normal(), [(t, "") for t in rng.normal(size=B)], stop_after).p_value for _ in range(runs)])
    for level in (0.05, 0.1, 0.2, 0.5):
        low, high = scipy.stats.binom.ppf([1e-7, 1 - 1e-7], runs, level)
        assert low <= (p <= level + 1e-12).sum() <= high


# ---- fits ------------------------------------------------------------------------------------------------------------


def test_two_components_are_found_and_three_are_not():
    x = bimodal()
    one, two, three = (fit.fit(x) for fit in normals(1, 2, 3))
    found = estep.bootstrap_lrt(one, two, x, n_boot=19)
    assert found.statistic == pytest.approx(2 * (two.log_likelihood_ - one.log_likelihood_))
    assert found.p_value == 0.05
    assert (found.distribution > -1e-3).all()
    assert found.failures == {}
    more = estep.bootstrap_lrt(two, three, x, n_boot=19, stop_after=3)
    assert more.p_value > 0.1
    assert "bootstrap likelihood ratio test: 2 log ratio" in str(more)


def test_the_numbers_do_not_depend_on_processes_or_on_stopping():
    x = bimodal(gap=2.5, seed=1)
    fits = [fit.fit(x) for fit in normals(1, 2)]
    one, two = (estep.bootstrap_lrt(*fits, x, n_boot=6, random_state=4, n_jobs=n) for n in (None, 2))
    np.testing.assert_array_equal(one.distribution, two.distribution)
    early = estep.bootstrap_lrt(*fits, x, n_boot=6, random_state=4, stop_after=1)
    np.testing.assert_array_equal(early.distribution, one.distribution[: len(early.distribution)])
    assert (estep.bootstrap_lrt(*fits, x, n_boot=6, random_state=5).distribution != one.distribution).any()


def test_estimators_without_a_fit_are_fitted():
    x, models = bimodal(), normals(1, 2)
    by_hand = estep.bootstrap_lrt(*(estep.GaussianMixture(**m.get_params()).fit(x) for m in models), x, n_boot=3)
    found = estep.bootstrap_lrt(*models, x, n_boot=3)
    assert found.statistic == by_hand.statistic
    np.testing.assert_array_equal(found.distribution, by_hand.distribution)
    assert not hasattr(models[0], "result_")


def test_of_latent_classes_with_gaps_and_patterns():
    rng = np.random.default_rng(0)
    z = rng.random(200) < 0.5
    items = (rng.random((200, 5)) < np.where(z[:, None], 0.85, 0.15)).astype(float)
    items[rng.random(items.shape) < 0.1] = np.nan
    models = [estep.LatentClass(k, n_init=3, random_state=0) for k in (1, 2)]
    found = estep.bootstrap_lrt(*models, items, n_boot=9, own_starts=1)
    assert found.p_value == 0.1
    # Rows once, or patterns with their frequencies: the same statistic.
    shown, times = np.unique(items, axis=0, return_counts=True)
    again = estep.bootstrap_lrt(*models, shown, sample_weight=times, n_boot=3)
    assert again.statistic == pytest.approx(found.statistic, rel=1e-6)


def test_of_regressions():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=(60, 1))
    y = np.where(np.arange(60) % 2 == 0, 2, -2) * x[:, 0] + 0.5 * rng.normal(size=60)
    models = [estep.MixtureOfRegressions("linear", k, n_init=3, random_state=0) for k in (1, 2)]
    assert estep.bootstrap_lrt(*models, x, y, n_boot=9, own_starts=1).p_value == 0.1


def test_failures_are_counted(monkeypatch):
    x, calls, real = bimodal(), [], refits.fit_starts
    fits = [fit.fit(x) for fit in normals(1, 2)]

    def failing(*arguments):
        calls.append(1)
        if len(calls) % 4 == 0:
            raise Collapsed(1, "planted")
        return real(*arguments)

    monkeypatch.setattr(refits, "fit_starts", failing)
    with pytest.warns(UserWarning, match=r"3 of 6 replicates failed and are left out \(first: the larger model: .*planted"):
        found = estep.bootstrap_lrt(*fits, x, n_boot=6)
    assert list(found.failures) == [1, 3, 5]
    assert len(found.distribution) == 3
    assert found.p_value == 0.25


def test_what_is_refused():
    x = bimodal()
    one, two = (fit.fit(x) for fit in normals(1, 2))
    with pytest.raises(ValueError, match="the first must be the smaller"):
        estep.bootstrap_lrt(two, one, x)
    with pytest.raises(ValueError, match="small was fitted to a total weight of 40, but X has 39"):
        estep.bootstrap_lrt(one, two, x[1:])
    with pytest.raises(ValueError, match="n_boot must be an integer >= 1, got 0"):
        estep.bootstrap_lrt(one, two, x, n_boot=0)
    with pytest.raises(ValueError, match="stop_after must be an integer >= 1"):
        estep.bootstrap_lrt(one, two, x, stop_after=0)
    with pytest.raises(ValueError, match="rows have labels"):
        estep.bootstrap_lrt(
            two, estep.GaussianMixture(3, covariance_type="E", random_state=0).fit(x), x, np.repeat([0, -1], 20)
        )
    y = 2 * x[:, 0] + np.random.default_rng(1).normal(size=40)
    lines = estep.MixtureOfRegressions("linear", 2, n_init=3, random_state=0).fit(x, y)
    with pytest.raises(ValueError, match="read the rows differently"):
        estep.bootstrap_lrt(one, lines, x, y)


def test_the_statistic_of_mclust():
    """Observed statistics of one against two normals of one variance, and of two."""
    reference = json.loads((REFERENCE / "mclust_bootstrap.json").read_text("utf-8"))["likelihood_ratios"]
    waiting = sets.load_faithful()[0][:, 1:]
    for name, theirs in reference.items():
        fits = [estep.GaussianMixture(k, covariance_type=name, random_state=0).fit(waiting) for k in (1, 2)]
        found = estep.bootstrap_lrt(*fits, waiting, n_boot=1)
        # mclust stops when a step gains less than 1e-5 of the log-likelihood, here 0.01 nats: it lies below, and not far
        assert 0 <= found.statistic - theirs["statistics"][0] < 0.05
        assert found.p_value == 0.5


@pytest.mark.slow
def test_it_holds_its_size():
    """150 samples of one normal, 19 replicates each: p <= 0.05 has probability 1/20, as T does not depend on mean or scale."""
    runs, rejected = 150, 0
    for seed in range(runs):
        x = np.random.default_rng(seed).normal(size=(30, 1))
        found = estep.bootstrap_lrt(*normals(1, 2), x, n_boot=19, own_starts=2, stop_after=1, random_state=seed)
        rejected += not found.stopped
    # stop_after=1 ends at the first statistic as large, so what was not stopped has p = 1/20; 15 at most but once in 10^4
    low, high = scipy.stats.binom.ppf([1e-4, 1 - 1e-4], runs, 0.05)
    assert low <= rejected <= high
