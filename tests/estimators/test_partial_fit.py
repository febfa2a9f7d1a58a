"""``partial_fit`` of every estimator: near a fit to all rows at once, usable at any time, saved and gone on with."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone

import estep
from estep.core.record import identical
from estep.core.result import Status

CALLS, ROWS = 12, 400


def rows_of(kind, n, rng):
    """A stream's next ``n`` rows, as arguments of ``fit``."""
    z = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    x = rng.normal(size=(n, 3)) + 3.5 * z[:, None]
    if kind == "missing":
        x[rng.random(x.shape) < 0.1] = np.nan
    counts = rng.poisson(2 + 8 * (z > 0)[:, None], size=(n, 3)).astype(float)
    topics = np.random.default_rng(3).dirichlet(np.full(20, 0.3), 3)
    table = {
        "normal": lambda: (x,),
        "missing": lambda: (x,),
        "counts": lambda: (counts,),
        "answers": lambda: ((counts > 5).astype(int),),
        "regression": lambda: (x[:, :1], 1.0 + 2.0 * x[:, 0] * (z > 0) + rng.normal(size=n)),
        "censored": lambda: (np.minimum(rng.normal(size=n), 1.0),),
        "words": lambda: (np.array([rng.multinomial(50, p) for p in rng.dirichlet(np.full(3, 0.3), n) @ topics]),),
    }
    return table[kind]()


FEW = {"n_init": 2, "random_state": 0}
ESTIMATORS = {
    "gaussian": (estep.GaussianMixture(3, **FEW), "normal"),
    "gaussian with gaps": (estep.GaussianMixture(3, covariance_type="EEE", **FEW), "missing"),
    "gaussian and noise": (estep.GaussianMixture(3, noise=True, **FEW), "normal"),
    "gaussian with a prior": (estep.GaussianMixture(3, prior="default", **FEW), "normal"),
    "poisson": (estep.Mixture(estep.Poisson(), 2, **FEW), "counts"),
    "student": (estep.StudentMixture(3, **FEW), "normal"),
    "latent class": (estep.LatentClass(2, **FEW), "answers"),
    "k-means": (estep.KMeans(3, random_state=0, n_init=2), "normal"),
    "multivariate normal": (estep.MultivariateNormal(random_state=0), "missing"),
    "factor analysis": (estep.FactorAnalysis(1, n_init=2, random_state=0), "missing"),
    "regressions": (estep.MixtureOfRegressions("linear", 2, **FEW), "regression"),
    "gaussian hmm": (estep.GaussianHMM(3, **FEW), "normal"),
    "poisson hmm": (estep.PoissonHMM(2, **FEW), "counts"),
    "censored": (estep.CensoredNormal(), "censored"),
    "table": (estep.SaturatedMultinomial(), "answers"),
    "topics": (estep.PLSA(3, n_init=2, random_state=0, tol=1e-5), "words"),
}


def streamed(name, calls=CALLS, seed=0):
    estimator, kind = ESTIMATORS[name]
    again, rng = clone(estimator), np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estep.ConvergenceWarning)
        for _ in range(calls):
            again.partial_fit(*rows_of(kind, ROWS, rng))
    return again, rng


@pytest.mark.parametrize("name", ESTIMATORS)
def test_near_a_fit_to_all_rows(name):
    """On rows that neither saw, the stream's mean log-likelihood is within 1% of that of a fit to all of its rows at once."""
    (estimator, kind), (fit, rng) = ESTIMATORS[name], streamed(name)
    again = np.random.default_rng(0)
    together = [np.concatenate(part) for part in zip(*(rows_of(kind, ROWS, again) for _ in range(CALLS)), strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estep.ConvergenceWarning)
        whole = clone(estimator).fit(*together)
    unseen = rows_of(kind, 3000, rng)
    assert fit.score(*unseen) > whole.score(*unseen) - 0.01 * abs(whole.score(*unseen))
    assert fit.status_ is Status.STREAM
    assert not fit.converged_
    assert fit.stream_.calls == CALLS
    assert len(fit.trace_) == CALLS


def test_the_progressive_likelihood():
    """Every call's rows at the parameters before them; of the first call, at its fit."""
    fit, rng = streamed("gaussian", calls=3)
    before, rows = fit.log_likelihood_, rows_of("normal", 200, rng)
    expected = 200 * fit.score(*rows)
    fit.partial_fit(*rows)
    assert fit.log_likelihood_ - before == pytest.approx(expected, rel=1e-12)
    assert fit.trace_[-1] == pytest.approx(expected, rel=1e-12)
    assert fit.predict(rows[0]).shape == (200,)


def test_one_more_call_by_hand():
    """s = (1 - g) s + g s_call with g = 4^-0.6 for the second call of equal size, then an M-step of s times all rows."""
    from estep.core.assign import SOFT
    from estep.data.memory import Memory
    from estep.engine.visit import total

    fit, rng = streamed("gaussian", calls=1)
    model, params, old = fit.result_.model, fit.result_.params, fit.stream_
    (x,) = rows_of("normal", ROWS, rng)
    seen, g = total(model, Memory(x), params, SOFT), 4.0**-0.6
    by_hand = model.mstep((old.stats * (1 - g) + seen.stats * (g / ROWS)) * (2.0 * ROWS), params)
    fit.partial_fit(x)
    np.testing.assert_allclose(fit.means_, by_hand.family.means, rtol=1e-10)


def test_a_constant_step_follows_a_drift():
    rng = np.random.default_rng(1)
    slow, quick = (estep.MultivariateNormal(random_state=0) for _ in range(2))
    for t in range(60):
        x = rng.normal(size=(100, 2)) + 0.1 * t
        slow.partial_fit(x, step=1.0 / (t + 1))
        quick.partial_fit(x, step=0.5)
    assert abs(quick.mean_[0] - 5.9) < 0.5 < abs(slow.mean_[0] - 5.9)
    assert slow.mean_[0] == pytest.approx(0.1 * 29.5, abs=0.1)  # the mean of all, to six standard errors
    with pytest.raises(ValueError, match="step=0"):
        slow.partial_fit(x, step=0)


def test_after_a_fit_it_waits_for_rows_and_then_moves():
    fit = estep.GaussianMixture(3, random_state=0, n_init=2)
    rng = np.random.default_rng(2)
    fit.fit(*rows_of("normal", 500, rng))
    means = fit.means_.copy()
    fit.partial_fit(*rows_of("normal", 300, rng))
    np.testing.assert_array_equal(fit.means_, means)
    fit.partial_fit(*rows_of("normal", 300, rng))
    assert np.abs(fit.means_ - means).max() > 1e-4
    fit.fit(*rows_of("normal", 500, rng))  # a new beginning
    assert fit.status_ is Status.CONVERGED
    fit.partial_fit(*rows_of("normal", 100, rng))
    assert fit.stream_.calls == 1


@pytest.mark.parametrize("name", ["gaussian", "latent class", "gaussian hmm", "topics", "table", "regressions", "k-means"])
def test_saved_and_gone_on_with(name, tmp_path):
    fit, rng = streamed(name, calls=3)
    fit.save(tmp_path / "model")
    loaded = estep.load(tmp_path / "model")
    more = rows_of(ESTIMATORS[name][1], ROWS, rng)
    fit.partial_fit(*more)
    loaded.partial_fit(*more)
    assert identical(loaded.result_.params, fit.result_.params)
    assert loaded.stream_.calls == 4


def test_a_call_that_fails_leaves_everything_as_it_was():
    fit, rng = streamed("gaussian", calls=2)
    before = fit.result_
    with pytest.raises(ValueError, match="features"):
        fit.partial_fit(np.zeros((10, 2)))
    with pytest.raises(ValueError, match="component . collapsed"):
        fit.partial_fit(np.zeros((50, 3)), step=1.0)
    with pytest.raises(TypeError, match="no 'groups'"):
        fit.partial_fit(*rows_of("normal", 50, rng), groups=1)
    assert fit.result_ is before


def test_models_without_sufficient_statistics_say_so():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 2)), rng.poisson(3.0, 200)
    with pytest.raises(TypeError, match="those of PoissonRegression hold only at the parameters"):
        estep.MixtureOfRegressions("poisson", 1, random_state=0).partial_fit(x, y)


def test_labels_groups_weights_and_sequences():
    rng = np.random.default_rng(4)
    fit = estep.GaussianMixture(3, random_state=0, n_init=2)
    hmm = estep.GaussianHMM(3, random_state=0, n_init=2)
    for _ in range(4):
        (x,) = rows_of("normal", 300, rng)
        fit.partial_fit(x, sample_weight=rng.integers(0, 3, 300), by=rng.integers(0, 2, 300))
        hmm.partial_fit(x, lengths=[100, 200])
    assert fit.weights_.shape == (2, 3)
    assert hmm.transmat_.shape == (3, 3)
    assert np.isfinite([fit.log_likelihood_, hmm.log_likelihood_]).all()
