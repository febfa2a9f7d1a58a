"""Discrete rows are counted once: the same fit as with every row apart, with all that rows carry."""

import dataclasses

import numpy as np
import pytest

import estep
from estep.estimators import methods, seam
from estep.estimators.rows import Rows
from estep.families.product import Product

NAN = np.nan


def counts(n=400, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.integers(2, size=n)
    X = rng.poisson(np.array([[1.0, 4.0], [3.0, 0.7]])[z]).astype(float)
    X[rng.random(X.shape) < 0.1] = NAN
    return X, z


X, Z = counts()
RNG = np.random.default_rng(7)
WEIGHT = RNG.integers(0, 4, size=400).astype(float)
PARTIAL = np.where(RNG.random(400) < 0.2, Z, -1)
SETS = [{0, 1} if v < 0 else {v} for v in PARTIAL]
BY = RNG.integers(3, size=400)
START = dict(rates=[[1.5, 3.0], [2.5, 1.0]])
FIXED = dict(rates=[[NAN, NAN], [3.0, NAN]])


@pytest.fixture
def apart(monkeypatch):
    """Switches the counting of equal rows off."""
    return lambda: monkeypatch.setattr(seam, "worth_collapsing", lambda family, rows: False)


CASES = {
    "plain": ({}, {}),
    "weights": ({}, dict(sample_weight=WEIGHT)),
    "labels": ({}, dict(y=PARTIAL)),
    "sets": ({}, dict(labels=SETS)),
    "groups": ({}, dict(by=BY)),
    "all together": (dict(fixed=FIXED), dict(sample_weight=WEIGHT, y=PARTIAL, by=BY)),
    "hard": (dict(algorithm="cem"), dict(sample_weight=WEIGHT)),
    "default prior": (dict(prior="default"), dict(by=BY)),
    "labels to begin with": (dict(init=Z), dict(sample_weight=WEIGHT)),
    "responsibilities": (dict(init=np.where(np.arange(800).reshape(400, 2) % 3 > 0, 0.5, 0.3)), dict(sample_weight=WEIGHT)),
}


@pytest.mark.parametrize(("settings", "carried"), CASES.values(), ids=CASES)
def test_the_fit_is_that_of_every_row_apart(settings, carried, apart):
    def fit():
        return estep.Mixture(estep.Poisson(), 2, **{"init": START, "tol": 1e-12, **settings}).fit(X, **carried)

    together = fit()
    apart()
    each = fit()
    assert together.log_likelihood_ == pytest.approx(each.log_likelihood_, rel=1e-12)
    assert (together.n_iter_, together.result_.n_free, together.result_.n) == (
        each.n_iter_,
        each.result_.n_free,
        each.result_.n,
    )
    np.testing.assert_allclose(together.rates_, each.rates_, rtol=1e-7)
    np.testing.assert_allclose(together.weights_, each.weights_, rtol=1e-6)


def test_rows_are_really_counted_once(monkeypatch):
    """The control: the plane of a discrete fit has as many rows as there are patterns, one of normals as many as rows."""
    seen = []
    plane = Rows.data
    monkeypatch.setattr(Rows, "data", lambda self, n_jobs: (seen.append(self.n), plane(self, n_jobs))[1])
    estep.Mixture(estep.Poisson(), 2, init=START).fit(X)
    patterns = len({tuple("nan" if v != v else v for v in row) for row in X.tolist()})
    assert set(seen) == {patterns} and patterns < 100
    seen.clear()
    estep.Mixture(estep.Normal("EII"), 1).fit(np.where(np.isnan(X), 0.0, X))
    assert set(seen) == {400}


def test_what_is_predicted_is_one_value_a_row(monkeypatch):
    fit = estep.Mixture(estep.Poisson(), 2, random_state=0).fit(X)

    def told():
        criteria = [f(X, sample_weight=WEIGHT) for f in (fit.score, fit.bic, fit.aic, fit.icl, fit.icl_entropy)]
        return [fit.predict(X), fit.predict_proba(X), fit.score_samples(X), fit.predict_proba(X, y=PARTIAL), criteria]

    together = told()
    monkeypatch.setattr(methods, "worth_collapsing", lambda family, rows: False)
    assert [np.shape(part) for part in together] == [(400,), (400, 2), (400,), (400, 2), (5,)]
    for a, b in zip(together, told(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_weight_left_out_is_noticed(monkeypatch):
    """The control: patterns without their weights are another fit."""
    right = estep.Mixture(estep.Poisson(), 2, init=START).fit(X).log_likelihood_
    whole = Rows.distinct
    monkeypatch.setattr(Rows, "distinct", lambda self: dataclasses.replace(whole(self), weight=None))
    assert abs(estep.Mixture(estep.Poisson(), 2, init=START).fit(X).log_likelihood_ - right) > 1.0


def test_a_product_is_discrete_where_every_part_is():
    two = Product([(estep.Poisson(), 0), (estep.Poisson(), 1)])
    one = Product([(estep.Poisson(), 0), (estep.Normal(), 1)])
    rows = Rows(X, None, None, None)
    assert seam.worth_collapsing(two, rows) and not seam.worth_collapsing(one, rows)
    a = estep.Mixture(two, 2, init={"0.rates": [1.5, 2.5], "1.rates": [3.0, 1.0]}, tol=1e-12).fit(X)
    b = estep.Mixture(estep.Poisson(), 2, init=START, tol=1e-12).fit(X)
    assert a.log_likelihood_ == pytest.approx(b.log_likelihood_, rel=1e-12)
    np.testing.assert_allclose(np.hstack([a.params_["0.rates"], a.params_["1.rates"]]), b.rates_, rtol=1e-6)
    assert not [name for name in vars(a) if "." in name]


def test_fewer_distinct_rows_than_components_are_refused(refused):
    refused(estep.Mixture(estep.Poisson(), 3), ["n_components=3", "2 distinct rows"], np.array([[1.0], [2.0], [1.0], [2.0]]))
