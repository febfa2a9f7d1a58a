"""``by``: shared components and weights of each group's own, with everything else that rows carry."""

import numpy as np
import pandas as pd
import pytest

import estep

NAN = np.nan
TRUE = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.5, 0.0]])
"""Weights by year; the third type of student is absent from the last year."""
KNOWS = np.array([[0.9, 0.9, 0.8, 0.9, 0.85, 0.9], [0.9, 0.8, 0.2, 0.1, 0.15, 0.2], [0.1, 0.2, 0.1, 0.15, 0.9, 0.9]])


def exams(n=3000, seed=0):
    """Exams of three years: years, types of students, answers right or wrong."""
    rng = np.random.default_rng(seed)
    year = rng.integers(3, size=n)
    z = (rng.random(n)[:, None] > np.cumsum(TRUE, axis=1)[year]).sum(axis=1)
    return 2001 + year, z, (rng.random((n, 6)) < KNOWS[z]).astype(float)


def matched(fit):
    """The order of the fit's components that brings them nearest to the true ones."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(((KNOWS[:, None] - fit.probs_[None]) ** 2).sum(axis=2))[1]


YEAR, TYPE, ANSWERS = exams()


def test_exams_of_several_years():
    """Profiles are shared, the table year by type is recovered, and a type that a year lacks ends near zero there."""
    fit = estep.Mixture(estep.Bernoulli(), 3, random_state=0, max_iter=3000).fit(ANSWERS, by=YEAR)
    order = matched(fit)
    assert fit.groups_.tolist() == [2001, 2002, 2003] and fit.weights_.shape == (3, 3)
    # A proportion from n rows has a standard error of at most 0.5 / sqrt(n); labels are not seen, so twice that; 5.5 of these
    # is one false alarm in 10^7.
    assert np.abs(fit.weights_[:, order] - TRUE).max() < 5.5 * 2 * 0.5 / np.sqrt(1000)
    assert np.abs(fit.probs_[order] - KNOWS).max() < 5.5 * 2 * 0.5 / np.sqrt(600)
    np.testing.assert_allclose(fit.weights_.sum(axis=1), 1.0, rtol=1e-12)
    assert fit.result_.n_free == 3 * 2 + 3 * 6
    assert fit.log_likelihood_ > estep.Mixture(estep.Bernoulli(), 3, random_state=0).fit(ANSWERS).log_likelihood_ + 100
    shares = np.bincount(YEAR - 2001) / len(YEAR) @ fit.weights_
    assert (np.diff(shares) <= 0).all(), "components come in decreasing weight over all rows"


def test_a_class_absent_from_a_group_may_be_said_so():
    weights = [[NAN, NAN, NAN], [NAN, NAN, NAN], [NAN, NAN, 0.0]]
    fit = estep.Mixture(estep.Bernoulli(), 3, init=dict(probs=KNOWS), fixed=dict(weights=weights), tol=1e-10).fit(
        ANSWERS, by=YEAR
    )
    assert fit.weights_[2, 2] == 0.0 and fit.result_.n_free == 2 + 2 + 1 + 18
    assert np.isfinite(fit.log_likelihood_)
    resp = fit.predict_proba(ANSWERS, by=YEAR)
    assert (resp[YEAR == 2003, 2] == 0).all() and (resp[YEAR != 2003, 2] > 0).all()


@pytest.mark.parametrize("family", [estep.Bernoulli(), estep.Normal("VVI")], ids=["counted once", "each apart"])
def test_one_group_is_a_plain_mixture(family):
    name = "probs" if isinstance(family, estep.Bernoulli) else "means"
    X = ANSWERS[:300] if name == "probs" else ANSWERS[:300] + np.random.default_rng(0).normal(size=(300, 6))
    settings = dict(init={name: KNOWS}, tol=0.0, max_iter=30, accelerate="none")
    with pytest.warns(estep.ConvergenceWarning):
        plain = estep.Mixture(family, 3, **settings).fit(X)
    with pytest.warns(estep.ConvergenceWarning):
        one = estep.Mixture(family, 3, **settings).fit(X, by=np.full(300, "all"))
    np.testing.assert_allclose(one.trace_, plain.trace_, rtol=1e-12)
    assert one.result_.n_free == plain.result_.n_free
    np.testing.assert_allclose(one.weights_, [plain.weights_], rtol=1e-9)
    np.testing.assert_allclose(one.params_[name], plain.params_[name], rtol=1e-9)


def test_separate_fits_and_a_joint_one_agree_where_components_are_known():
    """With every component fixed, each group's weights are those of a mixture fitted to its rows alone."""
    fixed = dict(probs=KNOWS)
    joint = estep.Mixture(estep.Bernoulli(), 3, fixed=fixed, init=fixed, tol=1e-13).fit(ANSWERS, by=YEAR)
    total = 0.0
    for h, year in enumerate((2001, 2002)):
        alone = estep.Mixture(estep.Bernoulli(), 3, fixed=fixed, init=fixed, tol=1e-13).fit(ANSWERS[year == YEAR])
        np.testing.assert_allclose(joint.weights_[h], alone.weights_, atol=1e-6)
        total += joint.score_samples(ANSWERS[year == YEAR], by=YEAR[year == YEAR]).sum() - alone.log_likelihood_
    assert abs(total) < 1e-6


def gappy(n=600):
    """Counts with gaps and everything else."""
    rng = np.random.default_rng(3)
    by = rng.integers(2, size=n)
    z = (rng.random(n) < np.array([0.2, 0.7])[by]).astype(int)
    X = rng.poisson(np.array([[2.0, 9.0], [8.0, 3.0]])[z]).astype(float)
    X[rng.random(X.shape) < 0.15] = NAN
    weight, y = rng.integers(0, 3, size=n).astype(float), np.where(rng.random(n) < 0.2, z, -1)
    return X, y, weight, np.array(["north", "south"])[by]


@pytest.mark.parametrize(
    ("family", "fixed"),
    [
        (estep.Poisson(), dict(rates=[[NAN, 9.0], [NAN, NAN]])),
        (estep.Normal("VVI"), dict(means=[[NAN, 9.0], [NAN, NAN]])),
        (estep.NegativeBinomial(), dict(means=[[NAN, 9.0], [NAN, NAN]])),
    ],
    ids=["Poisson", "Normal", "NegativeBinomial"],
)
def test_gaps_weights_labels_groups_and_fixed_entries_together(family, fixed, tmp_path):
    X, y, weight, by = gappy()
    name = next(iter(fixed))
    settings = dict(fixed=fixed, random_state=0, tol=1e-11)
    fit = estep.Mixture(family, 2, **settings).fit(X, y, sample_weight=weight, by=by)
    value = fit.params_[name]
    assert value[0, 1] == 9.0 and np.abs(value - [[2.0, 9.0], [8.0, 3.0]]).max() < 1.5
    assert np.abs(fit.weights_ - [[0.8, 0.2], [0.3, 0.7]]).max() < 0.15
    # A weight is how often a row was seen.
    seen = np.repeat(np.arange(len(X)), weight.astype(int))
    twice = estep.Mixture(family, 2, **settings).fit(X[seen], y[seen], by=by[seen])
    assert twice.log_likelihood_ == pytest.approx(fit.log_likelihood_, abs=1e-6)
    np.testing.assert_allclose(twice.weights_, fit.weights_, atol=1e-5)
    # Every row is believed, and what is saved is what was fitted.
    resp = fit.predict_proba(X, y=y, by=by)
    assert (resp[np.arange(len(X)), np.maximum(y, 0)][y >= 0] == 1).all()
    total = weight @ fit.score_samples(X, y=y, by=by)
    assert total == pytest.approx(fit.log_likelihood_, rel=1e-10)
    fit.save(tmp_path / "model")
    again = estep.load(tmp_path / "model")
    assert again.groups_.tolist() == ["north", "south"]
    np.testing.assert_array_equal(again.predict_proba(X, by=by), fit.predict_proba(X, by=by))


def test_groups_may_be_named_by_anything():
    X, *_ = gappy(60)
    for by in (
        [True, False] * 30,
        pd.Series(["a", "b"] * 30),
        pd.Categorical(["a", "b"] * 30),
        [1.5, 2.5] * 30,
        [[3], [4]] * 30,
    ):
        fit = estep.Mixture(estep.Poisson(), 2, random_state=0).fit(X, by=by)
        assert fit.weights_.shape == (2, 2)
        assert fit.predict(X, by=by).shape == (60,)


def test_draws_follow_their_group():
    fit = estep.Mixture(estep.Bernoulli(), 3, init=dict(probs=KNOWS), random_state=0).fit(ANSWERS, by=YEAR)
    _, labels = fit.sample(4000, by=2001)
    # one false alarm in 10^7: 5.5 standard errors
    assert np.abs(np.bincount(labels, minlength=3) / 4000 - fit.weights_[0]).max() < 5.5 * 0.5 / np.sqrt(4000)
    X, labels = fit.sample(3, by=[2001, 2003, 2002])
    assert X.shape == (3, 6) and labels.shape == (3,)


def test_fit_predict_and_summary():
    X, y, weight, by = gappy(200)
    fit = estep.Mixture(estep.Poisson(), 2, random_state=0)
    np.testing.assert_array_equal(fit.fit_predict(X, y, by=by), fit.predict(X, y=y, by=by))
    text = fit.summary(X, by=by)
    assert "weight in group" in text and "north" in text and "nan" not in text
    assert "weight in group" in fit.summary()


def test_weights_given_for_all_groups_at_once():
    for weights in ([0.3, 0.3, 0.4], [[0.3, 0.3, 0.4]] * 3):
        fit = estep.Mixture(estep.Bernoulli(), 3, init=dict(probs=KNOWS, weights=weights), max_iter=0)
        with pytest.warns(estep.ConvergenceWarning):
            np.testing.assert_array_equal(fit.fit(ANSWERS, by=YEAR).weights_, [[0.3, 0.3, 0.4]] * 3)
    tied = estep.Mixture(estep.Bernoulli(), 3, init=dict(probs=KNOWS), tied=dict(weights=[0, 0, 1])).fit(ANSWERS, by=YEAR)
    np.testing.assert_allclose(tied.weights_[:, 0], tied.weights_[:, 1], rtol=1e-12)
    assert tied.result_.n_free == 3 + 18 and np.ptp(tied.weights_[:, 2]) > 0.1


def test_a_prior_on_weights_keeps_every_class_in_every_group():
    settings = dict(init=dict(probs=KNOWS), tol=1e-10, max_iter=5000)
    plain = estep.Mixture(estep.Bernoulli(), 3, **settings).fit(ANSWERS, by=YEAR)
    smooth = estep.Mixture(estep.Bernoulli(), 3, prior=dict(weights=20.0, strength=0.0), **settings).fit(ANSWERS, by=YEAR)
    assert smooth.weights_[2, 2] > 10 / len(ANSWERS) > plain.weights_[2, 2]


# ---- mistakes ------------------------------------------------------------------------------------------------------

X, _, WEIGHT, BY = gappy(40)
MISTAKES = [
    ("too few", BY[:5], ["by", "(5,)", "(40,)"]),
    ("two columns", np.zeros((40, 2)), ["by", "(40, 2)", "(40,)"]),
    ("missing", [*BY[:-1], None], ["by", "row 39", "every row belongs to a group"]),
    ("missing number", [NAN, *range(39)], ["by", "row 0"]),
    ("not finite", [np.inf, *range(39)], ["by", "infinity"]),
]


@pytest.mark.parametrize(("by", "words"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_mistakes_are_named(by, words, refused):
    refused(estep.Mixture(estep.Poisson(), 2), words, X, by=by)


def test_mistakes_after_a_fit():
    fit = estep.Mixture(estep.Poisson(), 2, random_state=0).fit(X, by=BY)
    with pytest.raises(
        ValueError, match=r"by holds 'east' in row 1, a group that the fit did not see; it knows 'north', 'south'"
    ):
        fit.predict(X[:2], by=["north", "east"])
    for call in (fit.predict, fit.score, fit.bic, fit.score_samples):
        with pytest.raises(ValueError, match=r"by is missing: .* 'north', 'south'"):
            call(X)
    with pytest.raises(ValueError, match="by is missing"):
        fit.sample(3)
    plain = estep.Mixture(estep.Poisson(), 2, random_state=0).fit(X)
    with pytest.raises(ValueError, match="the fit had none"):
        plain.predict(X, by=BY)
    assert not hasattr(fit.fit(X), "groups_"), "the next fit forgets them"


def test_weights_of_the_wrong_shape(refused):
    refused(
        estep.Mixture(estep.Poisson(), 2, fixed=dict(weights=[[0.5, NAN]])),
        ["fixed['weights']", "(1, 2)", "(2, 2)", "group"],
        X,
        by=BY,
    )
    full = [[0.4, 0.6], [1.0, NAN]]
    refused(estep.Mixture(estep.Poisson(), 2, fixed=dict(weights=full)), ["fixed['weights']", "leaves nothing"], X, by=BY)
    across = [[0, 1], [0, 2]]
    refused(estep.Mixture(estep.Poisson(), 2, tied=dict(weights=across)), ["tied['weights']", "within a row"], X, by=BY)
    uneven = dict(rates=[[2.0, 9.0], [8.0, 3.0]], weights=[[0.5, 0.5], [0.5, 0.6]])
    refused(estep.Mixture(estep.Poisson(), 2, init=uneven), ["init['weights']", "sum to one"], X, by=BY)


def test_groups_without_weight_are_not_there():
    weight = np.where(BY == "north", 0.0, 1.0)
    fit = estep.Mixture(estep.Poisson(), 2, random_state=0).fit(X, sample_weight=weight, by=BY)
    assert fit.groups_.tolist() == ["south"] and fit.weights_.shape == (1, 2)
