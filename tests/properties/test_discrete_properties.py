"""Identities between discrete families, on drawn rows with gaps: one law is another at some parameters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estep.data import Memory
from estep.families.bernoulli import Bernoulli, BernoulliParams
from estep.families.binomial import Binomial, BinomialParams
from estep.families.categorical import Categorical, CategoricalParams
from estep.families.geometric import Geometric, GeometricParams
from estep.families.multinomial import Multinomial, MultinomialParams
from estep.families.negative_binomial import NegativeBinomial, NegativeBinomialParams
from estep.families.poisson import Poisson, PoissonParams
from estep.families.zero_inflated import ZeroInflated, ZeroInflatedParams

seeds = st.integers(0, 2**32 - 1)
QUICK = settings(max_examples=25, deadline=None, derandomize=True)
EXACT = {"rtol": 1e-11, "atol": 1e-11}  # sums of a few logarithms of size 10 to 100


def draw(seed, gaps=0.2):
    """Counts (n, d), probabilities and rates (k, d), weights (n, k), sizes drawn too."""
    rng = np.random.default_rng(seed)
    n, d, k = (int(rng.integers(1, top)) for top in (12, 4, 4))
    x = rng.poisson(rng.uniform(0.2, 30.0, size=d), size=(n, d)).astype(float)
    x[rng.random(x.shape) < gaps] = np.nan
    return x, rng.uniform(0.02, 0.98, size=(k, d)), rng.uniform(0.1, 40.0, size=(k, d)), rng.random((n, k)), rng


def density(family, params, x):
    return family.log_density(params, family.encode(x))


@QUICK
@given(seeds)
def test_two_categories_and_one_trial_are_bernoulli(seed):
    x, probs, _, resp, _ = draw(seed)
    x = np.where(np.isnan(x), np.nan, x % 2)
    both = np.stack([1.0 - probs, probs], axis=2)
    bernoulli, categorical = Bernoulli(), Categorical((2,) * x.shape[1])
    expected = density(bernoulli, BernoulliParams(probs), x)
    np.testing.assert_allclose(density(categorical, CategoricalParams(both), x), expected, **EXACT)
    np.testing.assert_allclose(density(Binomial(1), BinomialParams(probs), x), expected, **EXACT)
    ones, zeros = np.moveaxis(bernoulli.stats(None, bernoulli.encode(x), resp).totals, 1, 0)
    np.testing.assert_allclose(categorical.stats(None, categorical.encode(x), resp).totals, np.stack([zeros, ones], axis=1))


@QUICK
@given(seeds)
def test_a_negative_binomial_of_size_one_is_geometric(seed):
    x, probs, _, _, _ = draw(seed)
    params = NegativeBinomialParams(1.0 / probs - 1.0, np.ones_like(probs))
    np.testing.assert_allclose(density(NegativeBinomial(), params, x), density(Geometric(), GeometricParams(probs), x), **EXACT)


@QUICK
@given(seeds)
def test_independent_poissons_are_a_poisson_total_shared_multinomially(seed):
    x, _, rates, _, _ = draw(seed, gaps=0.0)
    total = rates.sum(axis=1, keepdims=True)
    apart = density(Poisson(), PoissonParams(total), x.sum(axis=1, keepdims=True))
    shared = density(Multinomial(), MultinomialParams(rates / total), x)
    np.testing.assert_allclose(density(Poisson(), PoissonParams(rates), x), apart + shared, **EXACT)


@QUICK
@given(seeds)
def test_exposure_multiplies_the_rate(seed):
    x, _, rates, _, rng = draw(seed)
    exposure = rng.uniform(0.1, 5.0)
    timed = np.column_stack([x, np.full(len(x), exposure)])
    found = density(Poisson("last"), PoissonParams(rates), timed)
    np.testing.assert_allclose(found, density(Poisson(), PoissonParams(rates * exposure), x), **EXACT)


@QUICK
@given(seeds)
def test_without_inflation_a_law_is_itself(seed):
    x, _, rates, _, rng = draw(seed)
    sizes = rng.uniform(0.2, 5.0, size=rates.shape)
    for family, inner in ((Poisson(), PoissonParams(rates)), (NegativeBinomial(), NegativeBinomialParams(rates, sizes))):
        params = ZeroInflatedParams(inner, np.zeros_like(rates))
        np.testing.assert_allclose(density(ZeroInflated(family), params, x), density(family, inner, x), **EXACT)


@QUICK
@given(seeds)
def test_a_bound_family_has_the_density_of_an_unbound_one(seed):
    """Binding moves the point about which densities are counted, and nothing else."""
    x, probs, rates, _, _ = draw(seed, gaps=0.0)
    trials = int(x.max()) + 1
    for family, params in ((Poisson(), PoissonParams(rates)), (Binomial(trials), BinomialParams(probs))):
        np.testing.assert_allclose(density(family.bind(Memory(x)), params, x), density(family, params, x), **EXACT)


def test_the_identities_are_no_tautologies():
    """Negative control: a size of 1.01 is not geometric."""
    x, probs, _, _, _ = draw(1)
    params = NegativeBinomialParams(1.0 / probs - 1.0, np.full_like(probs, 1.01))
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(
            density(NegativeBinomial(), params, x), density(Geometric(), GeometricParams(probs), x), **EXACT
        )
