"""CensoredNormal: the ways to write censored values, what it gives back, and sentences for what cannot be fitted."""

import numpy as np
import pytest
from scipy import stats

import estep
from estep.estimators.bounds import bounds_of

Y = np.array([1.0, 2.5, 2.0, 0.5, 3.0, 1.5])
STATUS = ["exact", "right", "left", "exact", "interval", "event"]
UPPER = [np.nan, np.nan, np.nan, np.nan, 4.0, np.nan]
BOUNDS = np.array([[1.0, 1.0], [2.5, np.inf], [-np.inf, 2.0], [0.5, 0.5], [3.0, 4.0], [1.5, 1.5]])


def test_ways_to_write_the_same():
    np.testing.assert_array_equal(bounds_of(Y, STATUS, UPPER), BOUNDS)
    np.testing.assert_array_equal(bounds_of(Y, [1, 0, 2, 1, 3, 1], UPPER), BOUNDS)
    np.testing.assert_array_equal(bounds_of(np.where(np.isinf(BOUNDS), np.nan, BOUNDS), None, None), BOUNDS)
    np.testing.assert_array_equal(bounds_of(Y[:2], [True, False], None), BOUNDS[:2])
    np.testing.assert_array_equal(bounds_of([1.0, np.nan], None, None), [[1.0, 1.0], [np.nan, np.nan]])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((Y, STATUS[:3], None), r"status has shape \(3,\), expected \(6,\)"),
        ((Y, ["exact"] * 5 + ["lost"], None), r"status\[5\] is 'lost'; expected 0 or 'right'"),
        ((Y, [9] * 6, None), r"status\[0\] is 9"),
        ((Y, STATUS, None), "upper has no value in row 4"),
        ((BOUNDS, STATUS, None), "leave status and upper out"),
        ((np.ones((3, 4)), None, None), r"y has shape \(3, 4\)"),
        ((["a"], None, None), "y must be an array of numbers"),
    ],
)
def test_what_cannot_be_read(args, words):
    with pytest.raises(ValueError, match=words):
        bounds_of(*args)


def test_the_maximum_is_that_of_a_direct_search():
    from scipy.optimize import minimize

    def loss(v):
        z = (BOUNDS - v[0]) / np.exp(v[1])
        exact = BOUNDS[:, 0] == BOUNDS[:, 1]
        logs = np.where(
            exact, stats.norm.logpdf(z[:, 0]) - v[1], np.log(stats.norm.cdf(z[:, 1]) - stats.norm.cdf(z[:, 0]) + exact)
        )
        return -logs.sum()

    direct = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options=dict(xatol=1e-10, fatol=1e-13, maxiter=4000))
    fit = estep.CensoredNormal(tol=1e-14).fit(Y, STATUS, upper=UPPER)
    assert fit.log_likelihood_ == pytest.approx(-direct.fun, abs=1e-9)
    assert (fit.mean_, fit.std_) == (pytest.approx(direct.x[0], abs=1e-5), pytest.approx(np.exp(direct.x[1]), abs=1e-5))
    np.testing.assert_allclose(fit.score_samples(BOUNDS).sum(), fit.log_likelihood_, rtol=1e-12)
    few = fit.score_samples(Y[:4], STATUS[:4], upper=UPPER[:4])  # no row of these has an upper end
    np.testing.assert_array_equal(few, fit.score_samples(Y, STATUS, upper=UPPER)[:4])


def test_imputations_are_conditional_expectations():
    fit = estep.CensoredNormal().fit(BOUNDS)
    law = stats.norm(fit.mean_, fit.std_)
    given = fit.impute(np.vstack([BOUNDS, [[np.nan, np.nan]]]))
    np.testing.assert_array_equal(given[[0, 3, 5]], [1.0, 0.5, 1.5])
    np.testing.assert_allclose(given[1], law.expect(lb=2.5, conditional=True), rtol=1e-7)
    np.testing.assert_allclose(given[2], law.expect(ub=2.0, conditional=True), rtol=1e-7)
    np.testing.assert_allclose(given[4], law.expect(lb=3.0, ub=4.0, conditional=True), rtol=1e-7)
    assert given[6] == pytest.approx(fit.mean_, rel=1e-12)


def test_weights_are_frequencies():
    weight = np.array([1, 2, 1, 3, 1, 2])
    weighted = estep.CensoredNormal(tol=1e-14).fit(BOUNDS, sample_weight=weight)
    repeated = estep.CensoredNormal(tol=1e-14).fit(np.repeat(BOUNDS, weight, axis=0))
    assert weighted.log_likelihood_ == pytest.approx(repeated.log_likelihood_, abs=1e-10)
    assert weighted.bic(BOUNDS, sample_weight=weight) == pytest.approx(
        repeated.bic(np.repeat(BOUNDS, weight, axis=0)), abs=1e-9
    )


def tobit(n=4000):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    y = 1.0 + x @ np.array([2.0, -1.0]) + 1.5 * rng.normal(size=n)
    return x, np.maximum(y, 0.0), np.where(y > 0, "exact", "left")


def test_a_tobit_regression_is_recovered():
    x, y, status = tobit()
    fit = estep.CensoredNormal().fit(y, status, covariates=x)
    # five standard errors, each about 1.5 / sqrt(2500)
    np.testing.assert_allclose([fit.intercept_, *fit.coefs_, fit.scale_], [1.0, 2.0, -1.0, 1.5], atol=0.15)
    ordinary = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x]), y, rcond=None)[0]
    assert abs(ordinary[1] - 2.0) > 0.3  # the control: least squares is biased
    np.testing.assert_allclose(fit.predict(x[:3]), fit.intercept_ + x[:3] @ fit.coefs_)
    assert (fit.impute(y, status, covariates=x)[status == "left"] < 0.0).all()


def test_held_parameters_stay():
    held = estep.CensoredNormal(fixed={"std": 1.0}).fit(BOUNDS)
    assert held.std_ == 1.0 and held.result_.n_free == 1
    x, y, status = tobit(300)
    held = estep.CensoredNormal(fixed={"coefs": [2.0, np.nan], "intercept": 1.0}).fit(y, status, covariates=x)
    assert held.coefs_[0] == 2.0 and held.intercept_ == 1.0 and held.coefs_[1] != -1.0


def test_saved_and_loaded(tmp_path):
    x, y, status = tobit(100)
    for fit, rows in (
        (estep.CensoredNormal().fit(BOUNDS), (BOUNDS, None, None)),
        (estep.CensoredNormal().fit(y, status, covariates=x), (y, status, x)),
    ):
        fit.save(tmp_path / "model.safetensors")
        again = estep.load(tmp_path / "model.safetensors")
        assert again.score(*rows[:2], covariates=rows[2]) == fit.score(*rows[:2], covariates=rows[2])
        assert vars(again).keys() >= {name for name in vars(fit) if name.endswith("_")}


def test_a_second_fit_forgets_the_first():
    x, y, status = tobit(100)
    fit = estep.CensoredNormal().fit(y, status, covariates=x)
    fit.fit(BOUNDS)
    assert hasattr(fit, "mean_") and not hasattr(fit, "coefs_")
    with pytest.raises(ValueError, match="covariates was given, but the fit had none"):
        fit.score(y, status, covariates=x)
    with pytest.raises(ValueError, match="without them there is mean_"):
        fit.predict(None)
    fit.fit(y, status, covariates=x)
    assert not hasattr(fit, "mean_")
    with pytest.raises(ValueError, match="covariates is missing"):
        fit.score(y, status)


@pytest.mark.parametrize(
    ("y", "status", "words"),
    [
        ([1.0, 2.0, 3.0], ["right"] * 3, "every value is censored, known only to lie above"),
        ([1.0, 2.0, 3.0], ["left"] * 3, "every value is censored, known only to lie below"),
        ([2.0, 2.0, 1.0], ["exact", "exact", "right"], "one point agrees with every value"),
        ([3.0, 2.0], ["exact"] * 2, None),
    ],
)
def test_data_without_a_maximum(y, status, words):
    if words is None:
        assert estep.CensoredNormal().fit(y, status).mean_ == pytest.approx(2.5)
        return
    with pytest.raises(ValueError, match=words):
        estep.CensoredNormal().fit(y, status)


def test_words_that_are_unknown():
    with pytest.raises(ValueError, match=r"init names \['sd'\]; this model has \['mean', 'std'\]"):
        estep.CensoredNormal(init={"sd": 1.0}).fit(BOUNDS)
    with pytest.raises(ValueError, match="covariates has 2 rows, but y has 6"):
        estep.CensoredNormal().fit(BOUNDS, covariates=np.ones((2, 1)))
