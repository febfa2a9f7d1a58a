"""The multivariate normal with missing entries: closed forms, imputation, and what is said of data that do not tell enough."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline

import estep

NAN = np.nan


def sample(seed=0, n=120, d=4, missing=0.2):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(d, d))
    X = rng.normal(size=(n, d)) @ A.T + 10 * rng.normal(size=d)
    X[rng.random(X.shape) < missing] = NAN
    return X


def monotone_closed_form(X, order):
    """Mean and covariance by regressions of each column on those before it, columns seen less and less often."""
    mean, cov = np.array([np.nanmean(X[:, order[0]])]), np.array([[np.nanvar(X[:, order[0]])]])
    for m, j in enumerate(order[1:], start=1):
        seen = ~np.isnan(X[:, j])
        design = np.column_stack([np.ones(seen.sum()), X[np.ix_(seen, order[:m])]])
        coef, *_ = np.linalg.lstsq(design, X[seen, j], rcond=None)
        rest = np.mean((X[seen, j] - design @ coef) ** 2)
        across = cov @ coef[1:]
        mean = np.append(mean, coef[0] + coef[1:] @ mean)
        cov = np.block([[cov, across[:, None]], [across[None], np.array([[rest + coef[1:] @ across]])]])
    back = np.argsort(order)
    return mean[back], cov[np.ix_(back, back)]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**16), offset=st.sampled_from([0.0, 1e6]))
def test_monotone_patterns_agree_with_regressions(seed, offset):
    rng = np.random.default_rng(seed)
    X = sample(seed, n=60, missing=0.0) + offset
    order = rng.permutation(4)
    for m, j in enumerate(order[1:], start=1):
        X[60 - 8 * m :, j] = NAN
    mean, cov = monotone_closed_form(X - offset, order)
    fit = estep.MultivariateNormal(tol=1e-12, max_iter=20_000).fit(X)  # a left gain of 6e-11 nats moves means by 1e-5 errors
    assert fit.patterns_.monotone
    assert len(fit.starts_) == 1
    spread = np.sqrt(np.diag(cov))
    assert (np.abs(fit.mean_ - offset - mean) < 1e-5 * spread).all()
    assert (np.abs(fit.covariance_ - cov) < 1e-4 * np.outer(spread, spread)).all()


def test_complete_rows_are_the_moments():
    X = sample(missing=0.0)
    fit = estep.MultivariateNormal().fit(X)
    np.testing.assert_allclose(fit.mean_, X.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fit.covariance_, np.cov(X.T, bias=True), rtol=1e-10)
    np.testing.assert_array_equal(fit.transform(X), X)
    np.testing.assert_allclose(fit.precision_ @ fit.covariance_, np.eye(4), atol=1e-8)
    assert fit.result_.n_free == 14
    assert fit.bic(X) == pytest.approx(-2 * fit.log_likelihood_ + 14 * np.log(120))
    assert fit.aic(X) == pytest.approx(-2 * fit.log_likelihood_ + 28)


def test_the_maximum_has_no_slope():
    """The gradient of an independent likelihood, by scipy and differences, vanishes at the end and not beside it."""
    from scipy.stats import multivariate_normal

    X = sample()
    fit = estep.MultivariateNormal(tol=1e-14).fit(X)

    def loglik(mean, cov):
        total = 0.0
        for row in X:
            o = ~np.isnan(row)
            if o.any():
                total += multivariate_normal(mean[o], cov[np.ix_(o, o)]).logpdf(row[o])
        return total

    assert fit.log_likelihood_ == pytest.approx(loglik(fit.mean_, fit.covariance_), rel=1e-12)
    step = 1e-4 * np.sqrt(np.diag(fit.covariance_))
    for j in range(4):
        e = step * (np.arange(4) == j)
        slope = (loglik(fit.mean_ + e, fit.covariance_) - loglik(fit.mean_ - e, fit.covariance_)) / (2 * e.sum())
        assert abs(slope * np.sqrt(fit.covariance_[j, j])) < 1e-3
        away = fit.mean_ + 1e3 * e
        slope = (loglik(away + e, fit.covariance_) - loglik(away - e, fit.covariance_)) / (2 * e.sum())
        assert abs(slope * np.sqrt(fit.covariance_[j, j])) > 1e-1


def test_weights_are_repeated_rows():
    X = sample(n=40)
    weight = np.random.default_rng(1).integers(0, 4, size=40)
    one = estep.MultivariateNormal(random_state=0).fit(X, sample_weight=weight)
    two = estep.MultivariateNormal(random_state=0).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(one.covariance_, two.covariance_, rtol=1e-9)
    assert one.log_likelihood_ == pytest.approx(two.log_likelihood_, rel=1e-12)
    assert one.patterns_.counts.sum() == weight.sum()


def test_conditional_means_are_regressions():
    fit = estep.MultivariateNormal().fit(sample())
    row = np.array([[NAN, 1.0, NAN, 2.0]])
    seen, hidden = [1, 3], [0, 2]
    b = fit.covariance_[np.ix_(hidden, seen)] @ np.linalg.inv(fit.covariance_[np.ix_(seen, seen)])
    expected = fit.mean_[hidden] + b @ (row[0, seen] - fit.mean_[seen])
    np.testing.assert_allclose(fit.transform(row)[0, hidden], expected, rtol=1e-10)
    np.testing.assert_array_equal(fit.transform(np.full((1, 4), NAN))[0], fit.mean_)
    assert fit.score_samples(np.full((1, 4), NAN))[0] == 0.0


def test_draws_have_the_conditional_moments():
    """20000 draws: each mean within 5 of its standard errors, each covariance within 5 of its own."""
    fit = estep.MultivariateNormal(random_state=0).fit(sample())
    row, hidden, seen = np.array([[NAN, 1.0, NAN, 2.0]]), [0, 2], [1, 3]
    draws = fit.impute(row, 20_000)[:, 0]
    assert (draws[:, seen] == row[0, seen]).all()
    S = fit.covariance_
    cov = S[np.ix_(hidden, hidden)] - S[np.ix_(hidden, seen)] @ np.linalg.inv(S[np.ix_(seen, seen)]) @ S[np.ix_(seen, hidden)]
    sd = np.sqrt(np.diag(cov))
    assert (np.abs(draws[:, hidden].mean(axis=0) - fit.transform(row)[0, hidden]) < 5 * sd / np.sqrt(20_000)).all()
    assert (np.abs(np.cov(draws[:, hidden].T) - cov) < 5 * np.sqrt(2 / 20_000) * np.outer(sd, sd)).all()
    np.testing.assert_array_equal(fit.impute(row, 2, random_state=3), fit.impute(row, 2, random_state=3))


def test_copies_differ_by_more_than_draws():
    """Multiple imputation carries the uncertainty of the parameters: means of the copies are spread wider."""
    X = sample(n=80, missing=0.25)
    fit = estep.MultivariateNormal(random_state=0, tol=1e-6).fit(X)
    copies, draws = fit.multiple_imputation(X, m=25), fit.impute(X, 25)
    assert copies.shape == draws.shape == (25, 80, 4)
    seen = ~np.isnan(X)
    assert (copies[:, seen] == X[seen]).all()
    assert copies.mean(axis=1).var(axis=0).sum() > 1.2 * draws.mean(axis=1).var(axis=0).sum()
    np.testing.assert_array_equal(fit.multiple_imputation(X, m=2), fit.multiple_imputation(X, m=2))


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_tables(make):
    X = sample()
    table = make({name: X[:, j] for j, name in enumerate("abcd")})
    fit = estep.MultivariateNormal(random_state=0).fit(table)
    np.testing.assert_allclose(fit.mean_, estep.MultivariateNormal(random_state=0).fit(X).mean_, rtol=1e-12)
    assert fit.get_feature_names_out().tolist() == list("abcd")
    kind = "pandas" if make is pd.DataFrame else "polars"
    filled = fit.set_output(transform=kind).transform(table)
    assert isinstance(filled, make)
    assert list(filled.columns) == list("abcd")
    assert not np.isnan(filled.to_numpy()).any()


def test_in_a_pipeline():
    from sklearn.linear_model import LinearRegression

    X = sample()
    y = np.nan_to_num(X[:, 0])
    assert make_pipeline(estep.MultivariateNormal(), LinearRegression()).fit(X, y).predict(X).shape == (120,)


def test_samples_are_of_the_fitted_normal():
    fit = estep.MultivariateNormal(random_state=0).fit(sample())
    drawn = fit.sample(20_000)
    sd = np.sqrt(np.diag(fit.covariance_))
    assert (np.abs(drawn.mean(axis=0) - fit.mean_) < 5 * sd / np.sqrt(20_000)).all()
    assert (np.abs(np.cov(drawn.T) - fit.covariance_) < 5 * np.sqrt(2 / 20_000) * np.outer(sd, sd)).all()


def test_patterns_in_order():
    fit = estep.MultivariateNormal().fit([[1.0, 2.0], [2.0, NAN], [3.0, 5.0], [NAN, NAN], [0.5, 1.5]])
    assert str(fit.patterns_).splitlines() == ["3 patterns of 2 columns (x seen, . missing)", "xx  3", "..  1", "x.  1"]
    assert fit.patterns_.observed.shape == (3, 2)


# --- data that do not tell enough ---------------------------------------------------------------------------------------


def test_columns_never_seen_together_are_named():
    X = sample(missing=0.0)[:, :3]
    X[:60, 0] = X[60:, 1] = NAN
    table = pd.DataFrame(X, columns=["height", "weight", "age"])
    with pytest.warns(estep.ConvergenceWarning, match="'height' and 'weight'") as said:
        fit = estep.MultivariateNormal().fit(table)
    assert len(said) == 1
    assert fit.status_ is estep.Status.RIDGE
    assert fit.converged_
    assert "prior='default'" in fit.result_.message
    # what is identified agrees with each half on its own
    half = estep.MultivariateNormal().fit(table[["weight", "age"]])
    np.testing.assert_allclose(fit.covariance_[1:, 1:], half.covariance_, rtol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert estep.MultivariateNormal(prior="default").fit(table).status_ is estep.Status.CONVERGED


def test_the_likelihood_along_the_ridge_is_flat():
    """The control: another covariance of the pair is as likely, so one value is indeed a choice."""
    X = sample(missing=0.0)[:, :3]
    X[:60, 0] = X[60:, 1] = NAN
    with pytest.warns(estep.ConvergenceWarning):
        fit = estep.MultivariateNormal(tol=1e-13).fit(X)
    other = fit.covariance_.copy()
    other[0, 1] += 0.05
    other[1, 0] += 0.05
    with pytest.warns(estep.ConvergenceWarning):
        moved = estep.MultivariateNormal(init=dict(mean=fit.mean_, covariance=other), max_iter=0).fit(X)
    assert moved.log_likelihood_ == pytest.approx(fit.log_likelihood_, abs=1e-8)


def test_fewer_rows_than_columns():
    X = sample(n=6, d=9, missing=0.1)
    with pytest.warns(estep.ConvergenceWarning, match="default prior"):
        fit = estep.MultivariateNormal().fit(X)
    assert fit.status_ is estep.Status.DEFAULT_PRIOR
    assert np.linalg.eigvalsh(fit.covariance_)[0] > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ridge = estep.MultivariateNormal(prior="default").fit(X)
    np.testing.assert_allclose(ridge.covariance_, fit.covariance_, rtol=1e-3)
    with pytest.warns(estep.ConvergenceWarning, match="collapsed"):
        assert not estep.MultivariateNormal(prior=None).fit(X).converged_


@pytest.mark.parametrize(
    ("X", "settings", "word"),
    [
        (pd.DataFrame(dict(a=[1.0, 2.0, 3.0], b=[NAN] * 3)), {}, "column 'b' has no observed value"),
        ([[1.0, 2.0], [1.0, 3.0], [1.0, 4.0]], {}, "column 0 is constant"),
        ([[1.0, 2.0]], {}, "1 sample"),
        (sample(), dict(init="kmeans++"), "init='kmeans\\+\\+' is unknown"),
        (sample(), dict(init=dict(means=np.zeros(4))), "init names \\['means'\\]"),
        (sample(), dict(init=dict(mean=np.zeros(3), covariance=np.eye(4))), "shape"),
        (sample(), dict(init=dict(mean=np.zeros(4), covariance=-np.eye(4))), "init"),
        (sample(), dict(fixed=dict(mean=np.zeros(4), other=1)), "fixed names \\['other'\\]"),
        (sample(), dict(n_init=0), "n_init"),
        (sample(), dict(prior="strong"), "prior"),
    ],
)
def test_bad_input(X, settings, word):
    with pytest.raises(ValueError, match=word):
        estep.MultivariateNormal(**settings).fit(X)


def test_bad_numbers_of_copies():
    fit = estep.MultivariateNormal().fit(sample())
    with pytest.raises(ValueError, match="n_draws must be an integer >= 1"):
        fit.impute(sample(), 0)
    with pytest.raises(ValueError, match="m must be an integer >= 1"):
        fit.multiple_imputation(sample(), 2.5)


def test_bootstrap_samples_without_a_maximum_are_said_to_be():
    X = sample(n=6, d=5, missing=0.0)
    fit = estep.MultivariateNormal(prior=None, random_state=0).fit(X)
    with pytest.raises(ValueError, match="bootstrap samples only .* have a maximum"):
        fit.multiple_imputation(X, m=4)
    assert estep.MultivariateNormal(prior="default", random_state=0).fit(X).multiple_imputation(X, m=3).shape == (3, 6, 5)


def test_a_forgotten_conditional_covariance_is_noticed(monkeypatch):
    """The planted bug: hidden entries counted at their conditional means only, so variances come out too small."""
    from estep.families import normal_density

    X = sample(n=60, missing=0.0)
    X[40:, 0] = NAN
    mean, cov = monotone_closed_form(X, np.array([1, 2, 3, 0]))
    true = normal_density._regression
    monkeypatch.setattr(normal_density, "_regression", lambda params, o: (true(params, o)[0], 0 * true(params, o)[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = estep.MultivariateNormal(tol=1e-10).fit(X)
    assert abs(fit.covariance_[0, 0] / cov[0, 0] - 1) > 0.02


@pytest.mark.filterwarnings("ignore::estep.ConvergenceWarning")
def test_one_start_given_is_used_once():
    fit = estep.MultivariateNormal(init=dict(mean=np.zeros(4), covariance=np.eye(4)), n_init=7).fit(sample())
    assert [row.start for row in fit.starts_.rows] == ["given parameters"]
    assert len(estep.MultivariateNormal(n_init=7).fit(sample()).starts_) == 7
