"""LatentClass: what it fits, against brute force; missing, weights, labels, groups, covariates; notes, tables, bad input."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import estep
from estep.families.bernoulli import Bernoulli
from estep.families.normal import Normal
from estep.families.product import Product
from estep.inference.contingency import bivariate_residuals, entropy_r2, posterior_by_class, table_fit

QUICK = dict(random_state=0, n_init=4)


def answers(n=400, missing=0.0, seed=0):
    """Two classes of five binary items; the class of each row."""
    rng = np.random.default_rng(seed)
    z = (rng.random(n) < 0.4).astype(int)
    p = np.array([[0.9, 0.8, 0.85, 0.7, 0.8], [0.2, 0.3, 0.15, 0.1, 0.3]])
    x = (rng.random((n, 5)) < p[z]).astype(float)
    x[rng.random(x.shape) < missing] = np.nan
    return x, z


def brute_force(x, weights, tables):
    """Joint probabilities (n, k), row by row and item by item; a missing answer has probability one."""
    joint = np.tile(np.asarray(weights, dtype=float), (len(x), 1))
    for i, j in itertools.product(range(len(x)), range(x.shape[1])):
        if not np.isnan(x[i, j]):
            joint[i] *= tables[j][:, int(x[i, j])]
    return joint


# --- what it computes ---


@pytest.mark.parametrize("missing", [0.0, 0.2], ids=["complete", "missing"])
def test_posteriors_and_likelihood_are_bayes_rule(missing):
    x, _ = answers(80, missing)
    fit = estep.LatentClass(2, **QUICK).fit(x)
    joint = brute_force(x, fit.weights_, [fit.probs_[:, j] for j in range(5)])
    np.testing.assert_allclose(fit.predict_proba(x), joint / joint.sum(axis=1, keepdims=True), rtol=1e-9)
    assert fit.log_likelihood_ == pytest.approx(np.log(joint.sum(axis=1)).sum(), rel=1e-12)
    np.testing.assert_allclose(fit.score_samples(x), np.log(joint.sum(axis=1)), rtol=1e-9)


def test_one_class_is_the_proportions():
    x, _ = answers(60, 0.2)
    fit = estep.LatentClass().fit(x)
    np.testing.assert_allclose(fit.probs_[0, :, 1], np.nanmean(x, axis=0), rtol=1e-12)
    assert fit.entropy_ == 1.0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.sampled_from([0.0, 0.3]))
def test_rows_are_patterns_with_counts(seed, m, missing):
    """Rows written out, in any order, and their distinct patterns with counts give the same fit."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, m + 1, size=(60, 3)).astype(float)
    x[rng.random(x.shape) < missing] = np.nan
    x[:2] = [[0, 0, 0], [m, m, m]]
    patterns, counts = np.unique(x, axis=0, return_counts=True, equal_nan=False)
    init = dict(weights=[0.3, 0.7], probs=rng.dirichlet(np.ones(m + 1), size=(2, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estep.ConvergenceWarning)
        a = estep.LatentClass(2, init=init, max_iter=5, accelerate="none").fit(rng.permutation(x))
        b = estep.LatentClass(2, init=init, max_iter=5, accelerate="none").fit(patterns, sample_weight=counts)
    np.testing.assert_allclose(a.probs_, b.probs_, rtol=1e-10, atol=1e-14)
    assert a.log_likelihood_ == pytest.approx(b.log_likelihood_, rel=1e-12)


def test_text_booleans_and_numbers_are_the_same_answers():
    x, _ = answers(120, 0.1)
    text = pd.DataFrame({f"q{j}": [None if np.isnan(v) else ("no", "yes")[int(v)] for v in c] for j, c in enumerate(x.T)})
    codes = estep.LatentClass(2, **QUICK).fit(x + 1.0)
    words = estep.LatentClass(2, **QUICK).fit(text)
    assert [list(levels) for levels in words.levels_] == [["no", "yes"]] * 5
    assert [list(levels) for levels in codes.levels_] == [[1, 2]] * 5
    np.testing.assert_allclose(words.probs_, codes.probs_, rtol=1e-12)
    np.testing.assert_array_equal(words.predict(text), codes.predict(x + 1.0))


def test_ordinal_items_of_unlike_sizes():
    rng = np.random.default_rng(1)
    z = rng.integers(0, 2, 500)
    table = pd.DataFrame(
        {
            "grade": pd.Categorical(np.where(z, rng.choice(list("ab"), 500), rng.choice(list("cd"), 500)), list("abcd")),
            "sure": rng.random(500) < 0.2 + 0.6 * z,
        }
    )
    fit = estep.LatentClass(2, **QUICK).fit(table)
    assert fit.probs_.shape == (2, 2, 4)
    assert not fit.probs_[:, 1, 2:].any()
    assert fit.result_.n_free == 1 + 2 * (3 + 1)
    assert fit.df_ == 4 * 2 - 1 - 9
    assert list(fit.levels_[0]) == list("abcd")
    assert list(fit.levels_[1]) == [False, True]


def test_everything_together():
    """Missing answers, weights, labels, fixed, tied and a prior in one fit: held entries hold, the objective never falls."""
    x, z = answers(300, 0.15)
    y = np.where(np.arange(300) % 9 == 0, z, -1)
    weight = 1.0 + np.arange(300) % 3
    fixed = np.full((2, 5, 2), np.nan)
    fixed[0, 2] = [0.25, 0.75]
    tied = np.arange(10).reshape(2, 5)
    tied[0, 4] = tied[0, 3]
    fit = estep.LatentClass(2, fixed={"probs": fixed}, tied={"probs": tied}, prior={"strength": 4.0}, **QUICK)
    fit.fit(x, y, sample_weight=weight)
    np.testing.assert_allclose(fit.probs_[0, 2], [0.25, 0.75], rtol=1e-12)
    np.testing.assert_allclose(fit.probs_[0, 4], fit.probs_[0, 3], rtol=1e-9)
    assert fit.result_.n_free == 1 + 10 - 2
    assert np.all(np.diff(fit.trace_) >= -1e-9 * abs(fit.objective_))
    told = y >= 0
    assert (fit.predict(x, y=y)[told] == z[told]).all()
    twice = estep.LatentClass(2, fixed={"probs": fixed}, tied={"probs": tied}, prior={"strength": 4.0}, **QUICK)
    times = np.repeat(np.arange(300), weight.astype(int))
    twice.fit(x[times], y[times])
    assert twice.objective_ == pytest.approx(fit.objective_, rel=1e-9)


@pytest.mark.parametrize("shape", ["(k, d)", "(k, d, m)"])
def test_init_of_either_shape(shape):
    x, _ = answers(100)
    second = np.array([[0.8] * 5, [0.3] * 5])
    probs = second if shape == "(k, d)" else np.stack([1 - second, second], axis=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estep.ConvergenceWarning)
        fit = estep.LatentClass(2, init=dict(weights=[0.5, 0.5], probs=probs), max_iter=0).fit(x)
    np.testing.assert_allclose(fit.probs_[:, :, 1], second, rtol=1e-12)


def test_parameters_recovered():
    """20000 rows: every estimate within five standard errors (binomial, of the class's expected rows)."""
    x, z = answers(20_000, seed=4)
    fit = estep.LatentClass(2, random_state=0, n_init=3).fit(x)
    p = np.array([[0.9, 0.8, 0.85, 0.7, 0.8], [0.2, 0.3, 0.15, 0.1, 0.3]])
    # classes overlap, which costs information: twice the standard error of labelled rows is ample for entropy above 0.6
    assert fit.entropy_ > 0.6
    error = 2.0 * np.sqrt(p * (1 - p) / (20_000 * np.array([[0.6], [0.4]])))
    assert (np.abs(fit.probs_[:, :, 1] - p) < 5.0 * error).all()
    assert abs(fit.weights_[0] - 0.6) < 5.0 * 2.0 * np.sqrt(0.24 / 20_000)


# --- exams of one year and of several: groups ---


def years(n=1200, seed=2):
    rng = np.random.default_rng(seed)
    year = rng.choice([2010, 2011, 2012], n)
    share = np.array([0.2, 0.5, 0.8])[year - 2010]
    z = (rng.random(n) < share).astype(int)
    p = np.array([[0.9, 0.85, 0.8, 0.9], [0.2, 0.3, 0.25, 0.1]])
    return (rng.random((n, 4)) < p[z]).astype(float), year


def test_years_share_profiles_and_differ_in_sizes():
    x, year = years()
    fit = estep.LatentClass(2, **QUICK).fit(x, by=year)
    assert list(fit.groups_) == [2010, 2011, 2012]
    assert fit.weights_.shape == (3, 2)
    assert fit.result_.n_free == 3 * 1 + 8
    assert fit.df_ == 3 * 15 - 11
    weak = int(np.argmin(fit.probs_[:, 0, 1]))
    # 400 students a year and classes that overlap little: standard errors below 0.03, five of them
    np.testing.assert_allclose(fit.weights_[:, weak], [0.2, 0.5, 0.8], atol=0.15)
    assert np.all(np.diff(fit.weights_[:, weak]) > 0)
    # 34 degrees of freedom: a value of 90 has probability 1e-6 under the model that made the rows
    assert fit.g2_ < 90


def test_a_single_year_is_the_ungrouped_model():
    x, _ = years(300)
    one = estep.LatentClass(2, **QUICK).fit(x, by=np.full(300, "2010"))
    plain = estep.LatentClass(2, **QUICK).fit(x)
    assert one.log_likelihood_ == pytest.approx(plain.log_likelihood_, rel=1e-10)
    np.testing.assert_allclose(one.weights_[0], plain.weights_, rtol=1e-5)
    assert one.df_ == plain.df_
    assert one.g2_ == pytest.approx(plain.g2_, rel=1e-6)


def test_a_class_absent_from_a_year():
    x, year = years(600)
    with_all_good = np.where(year[:, None] == 2010, 1.0, x)
    fit = estep.LatentClass(2, **QUICK).fit(with_all_good, by=year)
    assert fit.weights_[0].min() < 1e-3
    assert np.isfinite(fit.log_likelihood_)


# --- covariates of class sizes ---


def with_covariate(n=900, seed=3):
    rng = np.random.default_rng(seed)
    age = rng.normal(size=n)
    z = (rng.random(n) < 1.0 / (1.0 + np.exp(-(0.3 + 1.2 * age)))).astype(int)
    p = np.array([[0.9, 0.85, 0.8, 0.9], [0.15, 0.2, 0.25, 0.1]])
    return (rng.random((n, 4)) < p[z]).astype(float), age


def test_covariates_move_class_sizes():
    x, age = with_covariate()
    x[::11, 2] = np.nan
    fit = estep.LatentClass(2, **QUICK).fit(x, covariates=pd.DataFrame({"age": age}))
    slope = fit.gate_coefs_[1] * (1 if fit.probs_[1, 0, 1] < fit.probs_[0, 0, 1] else -1)
    # standard error of the slope with known classes about 0.1 (n = 900): five times twice that
    np.testing.assert_allclose(slope, [0.3, 1.2], atol=1.0)
    assert slope[1] > 0.5
    assert fit.result_.n_free == 2 + 8
    plain = estep.LatentClass(2, **QUICK).fit(x)
    # the likelihood-ratio test of the slope: far beyond chi-squared of one degree of freedom
    assert fit.log_likelihood_ > plain.log_likelihood_ + 20
    assert fit.weights_.sum() == pytest.approx(1.0)
    assert fit.g2_ is None
    assert "covariates" in str(fit.fit_statistics(np.nan_to_num(x), covariates=age))
    proba = fit.predict_proba(x, covariates=age)
    p = 1.0 / (1.0 + np.exp(-(fit.gate_coefs_[1, 0] + fit.gate_coefs_[1, 1] * age)))
    joint = brute_force(x, [1.0, 1.0], [fit.probs_[:, j] for j in range(4)]) * np.column_stack([1 - p, p])
    np.testing.assert_allclose(proba, joint / joint.sum(axis=1, keepdims=True), rtol=1e-8)


def test_a_covariate_of_groups_is_the_model_of_groups():
    """An indicator for each group but one: the same likelihood as weights by group."""
    x, year = years(600)
    grouped = estep.LatentClass(2, **QUICK, tol=1e-11).fit(x, by=year)
    gated = estep.LatentClass(2, **QUICK, tol=1e-11)
    gated.fit(x, covariates=np.column_stack([year == 2011, year == 2012]).astype(float))
    assert gated.log_likelihood_ == pytest.approx(grouped.log_likelihood_, abs=1e-5)
    assert gated.result_.n_free == grouped.result_.n_free


@pytest.mark.parametrize(
    ("covariates", "words"),
    [
        (np.ones(10), "covariates have 10 rows, expected 900"),
        (np.ones((900, 2, 2)), "covariates have shape"),
        (["young"] * 900, "holds 'young' in row 0"),
        (np.where(np.arange(900) == 5, np.nan, np.arange(900.0)), "row 5 has no finite value in column 'c0'"),
        (np.ones(900), "constant|collinear"),
    ],
    ids=["rows", "shape", "text", "missing", "constant"],
)
def test_bad_covariates(covariates, words):
    with pytest.raises(ValueError, match=words):
        estep.LatentClass(2, n_init=1).fit(with_covariate()[0], covariates=covariates)


def test_covariates_are_asked_for_later():
    x, age = with_covariate(200)
    fit = estep.LatentClass(2, n_init=2, random_state=0).fit(x, covariates=pd.DataFrame({"age": age}))
    with pytest.raises(ValueError, match="covariates are missing: class sizes depend on 'age'"):
        fit.predict(x)
    with pytest.raises(ValueError, match="covariates are 'size', but the fit knows 'age'"):
        fit.predict(x, covariates=pd.DataFrame({"size": age}))
    with pytest.raises(ValueError, match="the fit had none"):
        estep.LatentClass(2, n_init=2, random_state=0).fit(x).predict(x, covariates=age)
    with pytest.raises(ValueError, match="give by or covariates, not both"):
        estep.LatentClass(2).fit(x, by=age > 0, covariates=age)
    drawn, labels = fit.sample(200, covariates=age)
    assert drawn.shape == (200, 4)
    assert labels.shape == (200,)


# --- mixed items ---


def test_mixed_items():
    rng = np.random.default_rng(6)
    z = rng.integers(0, 2, 400)
    table = pd.DataFrame(
        {
            "a": rng.random(400) < 0.2 + 0.6 * z,
            "b": np.where(rng.random(400) < 0.15 + 0.7 * z, "yes", "no"),
            "age": rng.normal(30 + 12 * z, 4),
            "visits": rng.poisson(1 + 3 * z),
        }
    )
    table.loc[::8, "age"] = np.nan
    table.loc[::5, "b"] = None
    measurement = {"a": "binary", "b": "categorical", "age": "normal", "visits": "poisson"}
    fit = estep.LatentClass(2, measurement=measurement, **QUICK).fit(table)
    assert set(fit.params_) == {"weights", "a.probs", "b.probs", "age.means", "age.covariances", "visits.rates"}
    assert (np.bincount(2 * z + fit.predict(table)).reshape(2, 2).max(axis=1) > 180).all()
    assert fit.g2_ is None
    assert "not every item is categorical" in str(fit.fit_statistics(table))
    profile = fit.item_profiles()
    assert [*zip(profile.item, profile.answer, strict=True)] == [
        ("a", "0"), ("a", "1"), ("b", "no"), ("b", "yes"), ("age", "means"), ("age", "variances"), ("visits", "rates"),
    ]  # fmt: skip
    np.testing.assert_array_equal(profile.values[4], fit.params_["age.means"][:, 0])
    family = Product([(Bernoulli(), "a"), (Normal(), "age")], ignore="rest")
    again = estep.LatentClass(2, measurement=family, **QUICK).fit(table)
    assert again.params_.keys() == {"weights", "a.probs", "age.means", "age.covariances"}


def test_binary_measurement_is_the_categorical_model():
    x, _ = answers(200, 0.1)
    binary = estep.LatentClass(2, measurement="binary", **QUICK).fit(x)
    nominal = estep.LatentClass(2, **QUICK).fit(x)
    assert binary.log_likelihood_ == pytest.approx(nominal.log_likelihood_, rel=1e-8)
    assert binary.probs_.shape == (2, 5)
    assert binary.df_ == nominal.df_


# --- fit of the table ---


def test_fit_statistics_against_the_whole_table():
    """G2 and X2 over all 32 cells, seen or not, and p values of scipy."""
    x, _ = answers(300)
    fit = estep.LatentClass(2, **QUICK).fit(x)
    cells = np.array(list(itertools.product([0.0, 1.0], repeat=5)))
    counts = np.array([(x == cell).all(axis=1).sum() for cell in cells])
    expected = 300 * np.exp(fit.score_samples(cells))
    assert expected.sum() == pytest.approx(300)
    seen = counts > 0
    g2 = 2 * (counts[seen] * np.log(counts[seen] / expected[seen])).sum()
    x2 = ((counts - expected) ** 2 / expected).sum()
    found = fit.fit_statistics(x)
    assert found.g2 == pytest.approx(g2, rel=1e-9)
    assert found.x2 == pytest.approx(x2, rel=1e-9)
    assert found.df == 31 - 11
    assert found.g2_p_value == pytest.approx(stats.chi2.sf(g2, 20), rel=1e-9)
    assert (fit.g2_, fit.x2_, fit.df_) == (found.g2, found.x2, found.df)
    assert stats.power_divergence(counts, expected, lambda_="log-likelihood")[0] == pytest.approx(g2, rel=1e-6)


def test_bivariate_residuals_by_hand():
    x, _ = answers(200, 0.2)
    fit = estep.LatentClass(2, **QUICK).fit(x)
    found = fit.bivariate_residuals(x)
    seen = ~np.isnan(x[:, 1]) & ~np.isnan(x[:, 3])
    table = np.histogram2d(x[seen, 1], x[seen, 3], bins=2)[0]
    model = seen.sum() * np.einsum("k,ka,kb->ab", fit.weights_, fit.probs_[:, 1], fit.probs_[:, 3])
    assert found[1, 3] == found[3, 1] == pytest.approx(((table - model) ** 2 / model).sum())
    assert np.isnan(np.diagonal(found)).all()
    # the control: one class explains nothing, and residuals show it
    assert np.nanmax(estep.LatentClass(1).fit(x).bivariate_residuals(x)) > 20 > 3.84 > np.nanmedian(found)


def test_entropy_and_average_posterior():
    x, _ = answers(200)
    fit = estep.LatentClass(2, **QUICK).fit(x)
    resp = fit.predict_proba(x)
    entropy = -(resp * np.log(resp)).sum(axis=1).mean() / np.log(2)
    assert fit.entropy_ == pytest.approx(1 - entropy, rel=1e-10)
    first = fit.predict(x) == 0
    np.testing.assert_allclose(fit.average_posterior(x)[0], resp[first].mean(axis=0), rtol=1e-10)
    assert entropy_r2(np.eye(3), np.ones(3)) == 1.0
    assert entropy_r2(np.full((4, 3), 1 / 3), np.ones(4)) == pytest.approx(0.0)
    assert np.isnan(posterior_by_class(np.array([[0.9, 0.1]]), np.ones(1))[1]).all()


def test_a_perfect_table_fits_perfectly():
    expected = np.array([10.0, 20.0, 30.0, 40.0])
    found = table_fit(expected, expected.copy(), 4, 1, 2)
    assert (found.g2, found.x2, found.df, found.g2_p_value) == (0.0, 0.0, 1, 1.0)
    assert np.isnan(bivariate_residuals(np.zeros((3, 2)), np.ones(3), np.ones(1), [np.ones((1, 1))] * 2)).all()


# --- notes: degenerate cases, in sentences ---


def test_missing_answers_have_no_table():
    x, _ = answers(100, 0.2)
    fit = estep.LatentClass(2, **QUICK).fit(x)
    assert (fit.g2_, fit.x2_, fit.df_) == (None, None, None)
    assert "some answers are missing" in str(fit.fit_statistics(x))
    assert fit.fit_statistics(np.nan_to_num(x)).g2 is not None


def test_more_parameters_than_cells():
    x = np.array(list(itertools.product([0.0, 1.0], repeat=2)))
    fit = estep.LatentClass(2, **QUICK).fit(x, sample_weight=[40, 10, 12, 38])
    assert fit.df_ == -2
    assert fit.g2_p_value_ is None
    assert any("2 more free parameters than the table can tell apart" in note for note in fit.notes_)
    assert "not identified" in str(fit.fit_statistics(x, [40, 10, 12, 38]))


def test_as_many_parameters_as_cells():
    x = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    fit = estep.LatentClass(2, **QUICK).fit(x, sample_weight=[40, 10, 12, 38, 9, 22, 14, 31])
    assert fit.df_ == 0
    assert any(note.startswith("0 degrees of freedom") for note in fit.notes_)


def test_boundary_items_are_named():
    x, z = answers(200)
    x[:, 0] = z
    table = pd.DataFrame(x, columns=["sure", "b", "c", "d", "e"])
    fit = estep.LatentClass(2, **QUICK).fit(table)
    assert any("sure in class 0" in note and "no standard error" in note for note in fit.notes_)
    inside = estep.LatentClass(2, prior="default", **QUICK).fit(table)
    assert not any("sure" in note for note in inside.notes_)


def test_constant_and_alike():
    x, _ = answers(200)
    x[:, 3] = 1.0
    fit = estep.LatentClass(2, **QUICK).fit(x)
    assert any(note.startswith("x3: every answer is the same") for note in fit.notes_)
    independent = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    same = dict(weights=[0.5, 0.5], probs=np.full((2, 3), 0.5))
    fit = estep.LatentClass(2, init=same).fit(independent)
    assert any("classes 0 and 1 have the same profile" in note for note in fit.notes_)
    assert estep.LatentClass(2, **QUICK).fit(answers(400)[0]).notes_ == ()


# --- tables to read, files ---


def test_item_profiles():
    x, _ = answers(150)
    table = pd.DataFrame(np.where(x == 1, "yes", "no"), columns=list("abcde"))
    fit = estep.LatentClass(2, **QUICK).fit(table)
    profile = fit.item_profiles()
    np.testing.assert_array_equal(profile.values[1::2], fit.probs_[:, :, 1].T)
    frame = profile.to_frame()
    assert frame.loc[("b", "yes"), "class 1"] == fit.probs_[1, 1, 1]
    lines = str(profile).splitlines()
    assert lines[0].split() == ["item", "answer", "class", "0", "class", "1"]
    assert lines[-1].split()[0] == "size"
    assert len(lines) == 1 + 10 + 1


def test_saved_and_loaded(tmp_path):
    x, year = years(300)
    fits = {
        "plain": (estep.LatentClass(2, **QUICK).fit(x), {}),
        "grouped": (estep.LatentClass(2, **QUICK).fit(x, by=year), {"by": year}),
        "gated": (estep.LatentClass(2, **QUICK).fit(x, covariates=1.0 * year), {"covariates": 1.0 * year}),
        "mixed": (estep.LatentClass(2, measurement={(0, 1): "binary", (2, 3): "categorical"}, **QUICK).fit(x), {}),
    }
    for name, (fit, more) in fits.items():
        fit.save(tmp_path / name)
        again = estep.load(tmp_path / name)
        np.testing.assert_array_equal(again.predict_proba(x, **more), fit.predict_proba(x, **more))
        for attribute in ("g2_", "x2_", "df_", "entropy_", "notes_"):
            assert getattr(again, attribute) == getattr(fit, attribute)
        np.testing.assert_array_equal(again.item_profiles().values, fit.item_profiles().values)
        np.testing.assert_array_equal(again.weights_, fit.weights_)


def test_selection_by_bic():
    x, _ = answers(600)
    chosen = estep.select(estep.LatentClass(n_init=4, random_state=0), x, dict(n_components=[1, 2, 3]))
    assert chosen.best_.n_components == 2


# --- bad input ---


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (dict(measurement="poison"), ValueError, "no family called 'poison'; did you mean 'poisson'"),
        (dict(measurement={}), ValueError, "measurement is an empty dict"),
        (dict(measurement=Normal), TypeError, "measurement must be a word, a family or a dict"),
        (dict(measurement=3), TypeError, "measurement must be a word, a family or a dict"),
        (dict(measurement={0: "binary"}), ValueError, "gives no family to 4 columns"),
        (dict(n_components=0), ValueError, "n_components must be an integer >= 1"),
        (dict(n_components=2, init=dict(probs=np.full((3, 5), 0.5))), ValueError, "probs"),
        (dict(n_components=2, init=dict(probs=np.full((2, 5), 1.5))), ValueError, "between 0 and 1"),
        (dict(n_components=2, fixed={"means": [1.0]}), ValueError, "fixed names"),
    ],
)
def test_bad_settings(settings, error, words):
    with pytest.raises(error, match=words):
        estep.LatentClass(**settings).fit(answers(50)[0])


def test_a_new_answer_is_refused():
    x, _ = answers(60)
    fit = estep.LatentClass(2, n_init=2, random_state=0).fit(x)
    with pytest.raises(ValueError, match="holds 3 in row 0, a level that the fit did not see; it knows 0, 1"):
        fit.predict(np.full((1, 5), 3.0))


def test_an_item_without_answers_is_refused():
    x, _ = answers(60)
    x[:, 2] = np.nan
    with pytest.raises(ValueError, match="no observed value"):
        estep.LatentClass(2, n_init=1).fit(x)
