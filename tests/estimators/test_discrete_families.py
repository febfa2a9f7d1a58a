"""Mixtures of every discrete family as estimators: recovery, and gaps, weights, labels and held entries together."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

import estep
from estep.families.bernoulli import BernoulliParams
from estep.families.binomial import BinomialParams
from estep.families.categorical import CategoricalParams
from estep.families.geometric import GeometricParams
from estep.families.multinomial import MultinomialParams
from estep.families.negative_binomial import NegativeBinomialParams
from estep.families.poisson import PoissonParams
from estep.families.zero_inflated import ZeroInflatedParams

WEIGHTS = np.array([0.6, 0.4])
PROBS = np.array([[0.1, 0.2, 0.8, 0.3, 0.2], [0.8, 0.9, 0.3, 0.7, 0.9]])
RATES = np.array([[2.0, 9.0], [8.0, 3.0]])
GRADES = np.array([[[0.7, 0.2, 0.1]] * 4, [[0.1, 0.3, 0.6]] * 4])
WORDS = np.array([[0.5, 0.3, 0.1, 0.1], [0.1, 0.1, 0.3, 0.5]])
INFLATED = ZeroInflatedParams(PoissonParams(RATES), np.full((2, 2), 0.2))
SMALL, LARGE = 800, 2000

# family, true parameters, rows, and what |estimate - truth| may be: four standard errors or so of the least certain entry
MIXED = {
    "poisson": (estep.Poisson(), PoissonParams(RATES), SMALL, 0.7),
    "bernoulli": (estep.Bernoulli(), BernoulliParams(PROBS), LARGE, 0.09),
    "binomial": (estep.Binomial(12), BinomialParams(np.array([[0.2, 0.7], [0.6, 0.3]])), SMALL, 0.04),
    "categorical": (estep.Categorical((3, 3, 3, 3)), CategoricalParams(GRADES), LARGE, 0.12),
    "multinomial": (estep.Multinomial(np.full((1, 4), 20.0), 1.0), MultinomialParams(WORDS), SMALL, 0.04),
    "geometric": (estep.Geometric(), GeometricParams(np.array([[0.6, 0.05, 0.5], [0.05, 0.6, 0.06]])), LARGE, 0.08),
    "negative binomial": (estep.NegativeBinomial(), NegativeBinomialParams(RATES * 4, np.full((2, 2), 4.0)), LARGE, 3.5),
    "zero-inflated": (estep.ZeroInflated(estep.Poisson()), INFLATED, LARGE, 0.7),
}  # fmt: skip


def sample(name, seed=0):
    family, params, n, _ = MIXED[name]
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) > WEIGHTS[0]).astype(int)
    return family.sample(params, labels, rng), labels


def fresh(name):
    """The family as a user would write it, unbound."""
    return {"categorical": estep.Categorical(), "multinomial": estep.Multinomial()}.get(name, MIXED[name][0])


@pytest.mark.parametrize("name", MIXED)
def test_a_mixture_recovers_what_made_its_rows(name):
    x, labels = sample(name)
    fit = estep.Mixture(fresh(name), 2, n_init=3, random_state=0, tol=1e-6).fit(x)
    assert fit.converged_
    np.testing.assert_allclose(fit.weights_, WEIGHTS, atol=0.09)
    assert (fit.predict(x) == labels).mean() > 0.8
    _, truth, _, close = MIXED[name]
    for parameter in fit.result_.model.family.names:
        np.testing.assert_allclose(fit.params_[parameter], getattr(truth, parameter), atol=close)
    true_params = type(fit.result_.params)(type(fit.result_.params.structure)(WEIGHTS), truth)
    from estep.core.protocols import Chunk

    at_truth = fit.result_.model.explain(true_params, Chunk(("test", 0, len(x)), x)).log_density.sum()
    assert fit.log_likelihood_ > at_truth


@pytest.mark.parametrize("name", [name for name in MIXED if name != "multinomial"])
def test_gaps_weights_labels_and_held_entries_together(name):
    """Weighted rows with gaps, some labelled, an entry fixed: the same as the rows written out."""
    x, labels = sample(name)
    x, labels = x[:200].copy(), labels[:200]
    rng = np.random.default_rng(1)
    x[rng.random(x.shape) < 0.1] = np.nan
    times, told = rng.integers(0, 3, size=200), np.where(rng.random(200) < 0.2, labels, -1)
    parameter = MIXED[name][0].names[0]
    held = np.full(getattr(MIXED[name][1], parameter).shape, np.nan)
    held[0, 0] = getattr(MIXED[name][1], parameter)[0, 0]
    settings = {"n_init": 1, "random_state": 0, "fixed": {parameter: held}, "max_iter": 2000, "tol": 1e-10}
    weighted = estep.Mixture(fresh(name), 2, **settings).fit(x, told, sample_weight=times)
    written = estep.Mixture(fresh(name), 2, **settings).fit(np.repeat(x, times, axis=0), np.repeat(told, times))
    assert weighted.log_likelihood_ == pytest.approx(written.log_likelihood_, rel=1e-8)
    np.testing.assert_array_equal(weighted.params_[parameter][0, 0], held[0, 0])
    assert (weighted.predict(x, y=told)[(told >= 0) & (times > 0)] == told[(told >= 0) & (times > 0)]).all()


@pytest.mark.parametrize("name", ["poisson", "categorical", "negative binomial", "zero-inflated"])
def test_tied_components_share_their_values(name):
    x, _ = sample(name)
    parameter = MIXED[name][0].names[0]
    free, tied = (
        estep.Mixture(fresh(name), 2, n_init=1, random_state=0, tied=tied, tol=1e-6).fit(x[:300])
        for tied in (None, {parameter: [[0, 1, 2, 3][: x.shape[1]], [0, *[4, 5, 6][: x.shape[1] - 1]]]})
    )
    np.testing.assert_allclose(tied.params_[parameter][0, 0], tied.params_[parameter][1, 0], rtol=1e-12)
    assert tied.result_.n_free == free.result_.n_free - (2 if name == "categorical" else 1)
    assert tied.log_likelihood_ < free.log_likelihood_


@pytest.mark.parametrize("name", MIXED)
def test_a_fit_is_saved_and_loaded_to_the_bit(name, tmp_path):
    x, _ = sample(name)
    fit = estep.Mixture(fresh(name), 2, n_init=1, random_state=0, max_iter=500, tol=1e-4).fit(x[:200])
    fit.save(tmp_path / "model")
    np.testing.assert_array_equal(estep.load(tmp_path / "model").predict_proba(x[:20]), fit.predict_proba(x[:20]))
    assert len(fit.sample(7)[0]) == 7


def test_sparse_counts_are_read_as_they_are():
    x, _ = sample("multinomial")
    settings = {"n_init": 2, "random_state": 0}
    dense = estep.Mixture(estep.Multinomial(), 2, **settings).fit(x)
    sparse = estep.Mixture(estep.Multinomial(), 2, **settings).fit(csr_array(x))
    np.testing.assert_allclose(sparse.probs_, dense.probs_, rtol=1e-8)
    np.testing.assert_allclose(sparse.predict_proba(csr_array(x)), dense.predict_proba(x), atol=1e-8)


def test_words_as_categories():
    """A DataFrame of words: probabilities stand in the order of the levels."""
    x, _ = sample("categorical")
    table = pd.DataFrame(np.array(["high", "low", "mid"])[x.astype(int)], columns=list("abcd"))
    table.iloc[5, 1] = None
    fit = estep.Mixture(estep.Categorical(), 2, n_init=2, random_state=0).fit(table)
    assert fit.converged_
    assert fit.probs_.shape == (2, 4, 3)
    np.testing.assert_allclose(fit.probs_, GRADES, atol=0.12)


def test_booleans_and_integers_are_bernoulli_rows():
    x, _ = sample("bernoulli")
    fits = [
        estep.Mixture(estep.Bernoulli(), 2, n_init=1, random_state=0).fit(x.astype(kind)) for kind in (bool, int, np.float32)
    ]
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.probs_, fits[0].probs_)


def test_a_prior_keeps_probabilities_off_the_edge():
    x, _ = sample("bernoulli")
    x = np.column_stack([x[:60], np.zeros(60)])
    x[0, 5] = 1.0
    strict = estep.Mixture(estep.Categorical(), 2, n_init=3, random_state=0, prior=None).fit(x)
    smoothed = estep.Mixture(estep.Categorical(), 2, n_init=3, random_state=0, prior="default").fit(x)
    assert strict.probs_[:, 5].min() == 0.0 or strict.probs_[:, 5].min() < 1e-12
    assert smoothed.probs_[:, 5].min() > 1e-5


@pytest.mark.parametrize(
    ("family", "x", "words"),
    [
        (estep.Poisson(), [[1.0], [2.5], [3.0]], "column 0 holds 2.5"),
        (estep.Bernoulli(), [[1.0], [2.0], [0.0]], "column 0 holds 2, but Bernoulli values are 0 and 1"),
        (estep.Binomial(2), [[1.0], [3.0], [0.0]], "column 0 holds 3"),
        (estep.Multinomial(), [[1.0, np.nan], [3.0, 1.0], [0.0, 2.0]], "column 1 is missing in a row with other counts"),
    ],
)
def test_bad_values_are_refused(family, x, words):
    with pytest.raises(ValueError, match=words):
        estep.Mixture(family, 2).fit(np.array(x))
