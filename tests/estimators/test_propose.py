"""A family proposed for every column: the right word and reason for each, overrides, and a fit of what was proposed."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats

import estep
from estep import families
from estep.estimators.propose import _gamma_loglik, _lognormal_loglik, propose_family
from estep.families.words import WORDS, class_called, family_called

N = 300


def table(seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": np.arange(1000, 1000 + N),
            "name": [f"person {i}" for i in range(N)],
            "colour": rng.choice(["red", "green", None], N),
            "size": pd.Categorical(rng.choice(list("SML"), N), categories=list("SML"), ordered=True),
            "member": rng.random(N) < 0.3,
            "bought": rng.integers(0, 2, N),
            "visits": rng.poisson(2.0, N),
            "claims": rng.negative_binomial(1, 0.2, N),
            "income": rng.lognormal(3.0, 1.0, N),
            "wait": rng.gamma(1.2, 2.0, N),
            "height": rng.normal(170.0, 8.0, N),
            "weight": rng.normal(70.0, 8.0, N),
            "price": 5 * rng.integers(100, 400, N),
            "country": "FR",
            "since": pd.date_range("2020-01-01", periods=N),
            "empty": np.nan,
        }
    )


EXPECTED = {
    "id": "left out .*identifiers",
    "name": "left out .*identifiers",
    "colour": r"categorical \(2 levels\)",
    "size": r"categorical \(3 declared levels\)",
    "member": r"bernoulli \(false and true\)",
    "bought": r"bernoulli \(0 and 1\)",
    "visits": r"poisson \(counts, mean",
    "claims": "negativebinomial .*whose variance is .* times their mean",
    "income": "lognormal .*likelier than gamma by",
    "wait": "gamma .*likelier than log-normal by",
    "height": r"normal \(numbers\)",
    "weight": r"normal \(numbers\)",
    "price": r"normal \(numbers\)",
    "country": "left out .*every value is the same, 'FR'",
    "since": "left out .*times",
    "empty": "left out .*no value is observed",
}


@pytest.mark.parametrize("backend", ["pandas", "polars", "arrow"])
def test_a_word_and_a_reason_for_every_column(backend):
    made = {"pandas": lambda t: t, "polars": pl.from_pandas, "arrow": lambda t: pl.from_pandas(t).to_arrow()}[backend]
    family, words = propose_family(made(table()))
    lines = dict(line.split(": ", 1) for line in words.splitlines())
    assert list(lines) == list(EXPECTED)
    for name, pattern in EXPECTED.items():
        assert pd.Series([lines[name]]).str.match(pattern).all(), (name, lines[name])
    assert "height,weight,price.means" in family.names
    assert set(family.ignore) == {"id", "name", "country", "since", "empty"}


def test_what_is_proposed_can_be_fitted(tmp_path):
    t = table()
    t.loc[::9, "height"] = np.nan
    t["visits"] = t["visits"].astype("Int64")
    t.loc[::7, "visits"] = pd.NA
    family, _ = propose_family(t)
    fit = estep.Mixture(family, 2, n_init=2, random_state=0, max_iter=50, tol=1e-3).fit(t)
    assert fit.predict(t).shape == (N,)
    assert fit.params_["size.probs"].shape == (2, 1, 3)
    fit.save(tmp_path / "mixed")
    np.testing.assert_array_equal(estep.load(tmp_path / "mixed").predict(t), fit.predict(t))


def test_overrides():
    t = table()
    told = {"visits": "normal", "claims": "Poisson", "height": "ignore", "wait": families.Gamma(), "id": "normal"}
    family, words = propose_family(t, told)
    assert "visits: normal (as told)" in words
    assert "height: left out (as told)" in words
    assert "wait: Gamma (as told)" in words
    assert "claims.rates" in family.names
    # the columns that are told to be normal stand together, where the first of them stands
    assert family.names[:2] == ("id,visits,weight,price.means", "id,visits,weight,price.covariances")


def test_arrays():
    rng = np.random.default_rng(1)
    family, words = propose_family(np.column_stack([rng.normal(size=50), rng.poisson(1.0, 50)]))
    assert family.names == ("x0.means", "x0.covariances", "x1.rates")
    assert words.splitlines()[1].startswith("x1: poisson")
    flags, _ = propose_family(np.array([[True, False], [False, False], [True, True]]))
    assert flags.names == ("x0.probs", "x1.probs")
    objects = np.array([["a", 1, datetime.date(2020, 1, 1)], ["b", 2, datetime.date(2020, 1, 2)]] * 5, dtype=object)
    assert "left out (times" in propose_family(objects)[1]


def test_codes_are_pointed_out():
    words = propose_family(pd.DataFrame({"grade": [1, 2, 3] * 20}))[1]
    assert "if these are codes of categories, say 'categorical'" in words
    assert propose_family(pd.DataFrame({"grade": [1, 2, 3] * 20}), {"grade": "categorical"})[0].names == ("grade.probs",)


def test_too_many_levels_are_left_out():
    rng = np.random.default_rng(2)
    t = pd.DataFrame({"city": [f"c{i}" for i in rng.integers(0, 150, 400)], "x": rng.normal(size=400)})
    assert "too many to learn" in propose_family(t)[1]


def test_negative_counts_and_large_counts_are_measurements():
    rng = np.random.default_rng(3)
    t = pd.DataFrame({"change": rng.integers(-5, 6, 200), "people": rng.poisson(500.0, 200)})
    assert propose_family(t)[0].names == ("change,people.means", "change,people.covariances")


def test_the_likelihoods_compared_are_scipys():
    x = np.random.default_rng(4).gamma(2.0, 3.0, 400)
    assert _lognormal_loglik(x) == pytest.approx(stats.lognorm.logpdf(x, *stats.lognorm.fit(x, floc=0)).sum(), rel=1e-6)
    # the gamma shape is one Newton step from an approximation good to 1.5 per cent: its square is what is lost
    assert _gamma_loglik(x) == pytest.approx(stats.gamma.logpdf(x, *stats.gamma.fit(x, floc=0)).sum(), abs=1e-3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: propose_family(table(), {"colr": "poisson"}), "overrides names the column 'colr'"),
        (
            lambda: propose_family(table(), {"visits": "poissn"}),
            r"overrides\['visits'\]: .*did you mean 'poisson'.*or 'ignore'",
        ),
        (lambda: propose_family(pd.DataFrame({"a": [1.0, 1.0]})), "no column is left to model"),
        (lambda: class_called("zzz"), "there is no family called 'zzz'; there are bernoulli"),
    ],
)
def test_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_no_table():
    with pytest.raises(TypeError, match="a table or an array"):
        propose_family(np.arange(3.0))


@pytest.mark.parametrize("word", WORDS)
def test_every_word_calls_a_family(word):
    family = family_called(word.upper())
    assert type(family).__name__ == WORDS[word]
    assert getattr(families, WORDS[word]) is type(family)
    assert family_called(family) is family
