"""The saturated multinomial and probabilistic latent semantic analysis as estimators: labels, margins, draws, bad input."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import estep

ANSWERS = pd.DataFrame(
    dict(
        smoker=["yes", "no", None, "no", "yes", "no", "no", None],
        sex=pd.Categorical(["f", "f", "m", None, "m", "m", "f", "f"], categories=["m", "f"]),
        cough=[1, 0, 0, 1, 1, np.nan, 0, 1],
    )
)


# --- tables ----------------------------------------------------------------------------------------------------------


def test_levels_keep_their_order():
    fit = estep.SaturatedMultinomial(prior=1.5).fit(ANSWERS)
    assert [levels.tolist() for levels in fit.levels_] == [["no", "yes"], ["m", "f"], [0, 1]]
    assert fit.cells_.shape == (2, 2, 2)
    assert fit.cells_.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(fit.marginal(["cough", "smoker"]), fit.cells_.sum(axis=1).T)
    np.testing.assert_allclose(fit.marginal("sex"), fit.cells_.sum(axis=(0, 2)))
    p = fit.cells_.sum(axis=2)
    assert fit.odds_ratio("smoker", 1) == pytest.approx(p[0, 0] * p[1, 1] / (p[0, 1] * p[1, 0]))
    assert "smoker (2), sex (2), cough (2)" in fit.summary()


def test_odds_ratios_of_larger_tables_and_empty_cells():
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 2], [2, 1], [2, 2], [0, 2]])
    fit = estep.SaturatedMultinomial().fit(X)
    ratios = fit.odds_ratio(0, 1)
    assert ratios.shape == (2, 2)
    assert ratios[0, 1] == pytest.approx(1.0)
    assert ratios[0, 0] == 0.0
    assert np.isinf(ratios[1, 1])


def test_complete_rows_are_proportions_and_patterns_with_counts_are_rows():
    X = np.array([[0, 1], [0, 1], [1, 0], [1, 1]])
    np.testing.assert_array_equal(estep.SaturatedMultinomial().fit(X).cells_, [[0, 0.5], [0.25, 0.25]])
    few, count = np.array([[0, 1], [1, 0], [1, np.nan]]), [5, 3, 4]
    one = estep.SaturatedMultinomial(prior=1.2).fit(few, sample_weight=count)
    two = estep.SaturatedMultinomial(prior=1.2).fit(np.repeat(few, count, axis=0))
    np.testing.assert_allclose(one.cells_, two.cells_, rtol=1e-12)
    assert one.bic(few, sample_weight=count) == pytest.approx(two.bic(np.repeat(few, count, axis=0)))


def test_structural_zeros_stay_empty():
    prior = np.ones((2, 2, 2))
    prior[1, 0, 1] = np.nan
    table = ANSWERS[~((ANSWERS.smoker == "yes") & (ANSWERS.sex == "m"))]
    fit = estep.SaturatedMultinomial(prior=prior).fit(table)
    assert fit.cells_[1, 0, 1] == 0.0
    assert fit.result_.n_free == 6
    with pytest.raises(ValueError, match="smoker=yes, sex=m, cough=1, but prior declares"):
        estep.SaturatedMultinomial(prior=prior).fit(ANSWERS)


def test_margins_by_name_are_fitted():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({n: rng.integers(0, 2, 300) for n in "abc"})
    fit = estep.SaturatedMultinomial(margins=[("a", "b"), ("c",)], tol=1e-14).fit(X)
    assert fit.odds_ratio("a", "c") == pytest.approx(1.0, abs=1e-9)
    whole = estep.SaturatedMultinomial().fit(X)
    np.testing.assert_allclose(fit.marginal(["a", "b"]), whole.marginal(["a", "b"]), rtol=1e-9)
    assert fit.result_.n_free == 4
    assert fit.log_likelihood_ <= whole.log_likelihood_


def test_a_start_outside_the_margins_begins_at_its_own_margins():
    X = np.random.default_rng(0).integers(0, 2, size=(100, 2))
    given = dict(cells=[[0.4, 0.1], [0.1, 0.4]])
    with pytest.warns(estep.ConvergenceWarning):
        fit = estep.SaturatedMultinomial(margins=[(0,), (1,)], init=given, max_iter=0).fit(X)
    np.testing.assert_allclose(fit.cells_, 0.25, rtol=1e-12)


def test_draws_follow_the_table():
    """A row with one entry missing: 20000 draws have the conditional share within 5 standard errors."""
    fit = estep.SaturatedMultinomial(prior=1.5, random_state=0).fit(ANSWERS)
    row = pd.DataFrame(dict(smoker=[None], sex=["f"], cough=[1.0]))
    drawn = fit.impute(row, 20_000)
    assert drawn.shape == (20_000, 1, 3)
    assert set(drawn[:, 0, 1]) == {"f"}
    share = fit.cells_[1, 1, 1] / fit.cells_[:, 1, 1].sum()
    assert abs((drawn[:, 0, 0] == "yes").mean() - share) < 5 * np.sqrt(share * (1 - share) / 20_000)
    np.testing.assert_array_equal(fit.impute(ANSWERS, 2, random_state=1), fit.impute(ANSWERS, 2, random_state=1))
    assert fit.sample(5).shape == (5, 3)
    assert fit.impute(ANSWERS)[0, 0].tolist() == ["yes", "f", 1]


def test_large_tables_keep_what_rows_reach():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, size=(60, 26)).astype(float)
    X[rng.random(X.shape) < 0.05] = np.nan
    fit = estep.SaturatedMultinomial().fit(X)
    assert not hasattr(fit, "cells_")
    assert len(fit.cell_probs_) < 2000
    assert fit.marginal([0]).sum() == pytest.approx(1.0)
    assert fit.result_.n_free == 2**26 - 1
    with pytest.raises(ValueError, match="need all of them"):
        estep.SaturatedMultinomial(prior=1.5).fit(X)
    with pytest.raises(ValueError, match="use a latent class model"):
        estep.SaturatedMultinomial().fit(np.vstack([np.full((1, 26), np.nan), X]))


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (dict(prior=-1.0), "prior must be numbers >= 0"),
        (dict(prior=np.ones((2, 2))), "prior has shape"),
        (dict(prior=np.full((2, 2, 2), np.nan)), "every cell impossible"),
        (dict(prior=0.1), "negative estimate"),
        (dict(margins=["sex"]), "expected sequences of columns"),
        (dict(margins=[("age",)]), "there is no column 'age'"),
        (dict(margins=[(0, 0)]), "names a column twice"),
        (dict(init="random"), "init must be"),
        (dict(init=dict(cells=np.ones((2, 2, 2)))), "sum to one"),
        (dict(init=dict(cells=np.eye(8)[0].reshape(2, 2, 2))), "init gives it zero"),
        (dict(tol=-1), "tol"),
    ],
)
def test_bad_tables(settings, word):
    with pytest.raises(ValueError, match=word):
        estep.SaturatedMultinomial(**settings).fit(ANSWERS)


def test_unseen_levels_and_empty_columns():
    fit = estep.SaturatedMultinomial().fit(ANSWERS)
    with pytest.raises(ValueError, match="'perhaps'"):
        fit.score(ANSWERS.assign(smoker="perhaps"))
    with pytest.raises(ValueError, match="column 'sex' has no observed value"):
        estep.SaturatedMultinomial().fit(ANSWERS.assign(sex=pd.Series([None] * 8, dtype=object)))


# --- topics ----------------------------------------------------------------------------------------------------------


def corpus(seed=0, documents=60, words=30, k=3):
    rng = np.random.default_rng(seed)
    topics = np.zeros((k, words))
    for z in range(k):
        topics[z, z * words // k : (z + 1) * words // k] = rng.dirichlet(np.ones(words // k))
    shares = rng.dirichlet(np.full(k, 0.3), documents)
    return np.array([rng.multinomial(80, s @ topics) for s in shares]), topics, shares


def test_topics_are_recovered_and_ordered():
    X, topics, shares = corpus()
    fit = estep.PLSA(3, random_state=0, accelerate="auto").fit(sparse.csr_array(X))
    match = (fit.topics_ @ topics.T).argmax(axis=1)
    assert sorted(match) == [0, 1, 2]
    tokens = X.sum()
    assert np.abs(fit.topics_ - topics[match]).max() < 5 * np.sqrt(0.25 / (tokens / 6))  # a third of the tokens and more each
    assert (np.diff(fit.topic_weights_) <= 0).all()
    assert fit.topic_weights_.sum() == pytest.approx(1.0)
    assert np.abs(fit.document_topics_ - shares[:, match]).mean() < 0.05


def test_fold_in_agrees_with_the_fit_and_with_each_document_alone():
    X, _, _ = corpus()
    fit = estep.PLSA(3, random_state=0, tol=1e-10, max_iter=5000).fit(X)
    np.testing.assert_allclose(fit.transform(X), fit.document_topics_, atol=1e-3)
    np.testing.assert_allclose(fit.transform(X[:1]), fit.transform(X)[:1], atol=1e-12)
    assert fit.perplexity(X) == pytest.approx(np.exp(-fit.log_likelihood_ / X.sum()), rel=1e-5)
    assert fit.score(X) == pytest.approx(-np.log(fit.perplexity(X)))
    np.testing.assert_allclose(fit.score_samples(X).sum() / X.sum(), fit.score(X))


def test_documents_without_words():
    X, _, _ = corpus()
    X[3] = 0
    fit = estep.PLSA(3, random_state=0).fit(X)
    np.testing.assert_allclose(fit.document_topics_[3], 1 / 3)
    np.testing.assert_allclose(fit.transform(np.zeros((1, 30))), 1 / 3)
    assert fit.score_samples(X)[3] == 0.0


def test_absent_documents_are_folded_in():
    X, _, _ = corpus()
    weight = np.ones(60)
    weight[:5] = 0
    fit = estep.PLSA(3, random_state=0).fit(X, sample_weight=weight)
    np.testing.assert_allclose(fit.document_topics_[:5], fit.transform(X[:5]), atol=1e-9)
    without = estep.PLSA(3, random_state=0).fit(X[5:])
    np.testing.assert_allclose(fit.topics_, without.topics_, atol=1e-8)


def test_words_never_seen():
    X, _, _ = corpus()
    X[:, 29] = 0
    new = X[:2].copy()
    new[1, 29] = 1
    frame = pd.DataFrame(X, columns=[f"w{j}" for j in range(30)])
    fit = estep.PLSA(3, random_state=0).fit(frame)
    with pytest.raises(ValueError, match="document 1 holds the word 'w29'"):
        fit.transform(pd.DataFrame(new, columns=frame.columns))
    smooth = estep.PLSA(3, random_state=0, prior="default").fit(frame)
    assert np.isfinite(smooth.score(pd.DataFrame(new, columns=frame.columns)))
    assert (smooth.topics_ > 0).all()


def test_smoothing_is_what_it_says():
    """One topic: Dirichlet(a) on the words adds a - 1 tokens to each."""
    X, _, _ = corpus()
    fit = estep.PLSA(1, prior=dict(words=3.0)).fit(X)
    np.testing.assert_allclose(fit.topics_[0], (X.sum(axis=0) + 2) / (X.sum() + 60), rtol=1e-10)


def test_tempering_helps_where_topics_are_too_many():
    rng = np.random.default_rng(1)
    topics, shares = rng.dirichlet(np.full(60, 0.2), 3), rng.dirichlet(np.ones(3), 60)
    train, new = (np.array([rng.multinomial(40, s @ topics) for s in shares]) for _ in range(2))
    new = new * (train.sum(axis=0) > 0)
    plain, tempered = (estep.PLSA(12, random_state=0, tempering=t, tol=1e-5, max_iter=3000) for t in (None, 0.8))
    fit = tempered.fit(train)
    assert fit.status_ is estep.Status.HELD_OUT
    assert fit.beta_ < 1
    assert fit.tempering_path_[0][0] == 1.0
    kept = new * (fit.topics_.sum(axis=0) > 0)
    mix = lambda e: float((kept * np.log(np.maximum(e.document_topics_ @ e.topics_, 1e-12))).sum())  # noqa: E731
    assert mix(fit) > mix(plain.fit(train))


def test_top_words_and_summary():
    X, _, _ = corpus()
    fit = estep.PLSA(2, random_state=0).fit(X)
    words = [f"term{j}" for j in range(30)]
    assert all(len(some) == 4 and set(some) <= set(words) for some in fit.top_words(4, words))
    assert "perplexity" in fit.summary(words)
    with pytest.raises(ValueError, match="names has 3 words, expected 30"):
        fit.top_words(4, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (dict(n_topics=0), "n_topics"),
        (dict(prior=dict(words=0.5)), "prior\\['words'\\]"),
        (dict(prior=dict(docs=1.5)), "prior must be"),
        (dict(tempering=1.5), "tempering"),
        (dict(held_out=0), "held_out"),
        (dict(algorithm="cem"), "filled in softly"),
        (dict(init="kmeans"), "init must be 'random'"),
        (dict(init=dict(topics=np.ones((2, 3)), documents=np.ones((60, 2)))), "init\\['topics'\\] has shape"),
        (dict(init=dict(topics=np.ones((2, 30)), documents=np.full((60, 2), 0.5))), "sum to one"),
        (dict(init=dict(topics=np.eye(30)[:2], documents=np.full((60, 2), 0.5))), "init gives word"),
    ],
)
def test_bad_topics(settings, word):
    with pytest.raises(ValueError, match=word):
        estep.PLSA(**{"n_topics": 2, **settings}).fit(corpus()[0])


@pytest.mark.parametrize(
    ("X", "word"),
    [([[1, -1], [2, 3]], r"X\[0, 1\] is -1"), ([[1, np.nan], [2, 3]], "is NaN"), (np.zeros((3, 2)), "no token at all")],
)
def test_bad_counts(X, word):
    with pytest.raises(ValueError, match=word):
        estep.PLSA(2).fit(X)
