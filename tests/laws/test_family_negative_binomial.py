"""Negative binomial columns: the laws of a family, the Poisson limit, and statsmodels as an oracle."""

import numpy as np
import pytest
from scipy import stats

from estep.core.support import Constraints
from estep.data import Memory
from estep.families.negative_binomial import Frequencies, NegativeBinomial, NegativeBinomialParams
from estep.families.negative_binomial_fit import LARGEST, log_table, slopes
from estep.testing import altered, check_family

N = 80


def counts(gaps=False, n=N):
    rng = np.random.default_rng(1)
    x = rng.negative_binomial([2, 5], [0.2, 0.4], size=(n, 2)).astype(float)
    if gaps:
        x[rng.random(x.shape) < 0.2] = np.nan
    return x


def maximum(x, weight=None):
    """The fit of one component."""
    family = NegativeBinomial().bind(Memory(x))
    resp = np.ones((len(x), 1)) if weight is None else weight[:, None]
    begin = family.start(1)
    return family, family.fit(family.stats(begin, family.encode(x), resp), begin, family.support(begin, Constraints()))


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("k", [1, 3])
def test_laws(k, gaps):
    check_family(NegativeBinomial(), counts(gaps), k=k)


CONSTRAINED = {
    "sizes tied": ({}, {"sizes": [[0, 0], [0, 0], [1, 2]]}),
    "means tied": ({}, {"means": [[0, 1], [0, 2], [3, 4]]}),
    "all at once": ({"sizes": [[1.0, np.nan]] * 3}, {"means": [[0, 1]] * 3, "sizes": [[0, 1], [0, 1], [2, 1]]}),
    "a mean held": ({"means": [[5.0, np.nan], [np.nan] * 2, [np.nan] * 2]}, {}),
}


@pytest.mark.parametrize("name", CONSTRAINED)
def test_laws_with_fixed_and_tied_entries(name):
    fixed, tied = ({n: np.array(v) for n, v in part.items()} for part in CONSTRAINED[name])
    means, sizes = np.full((3, 2), 7.0), np.ones((3, 2))
    if "means" in fixed:
        means[0, 0] = 5.0
    begin = NegativeBinomialParams(means, sizes)
    check_family(NegativeBinomial(), counts(True), params=begin, constraints=Constraints(fixed, tied))


def test_a_planted_bug_is_caught():
    """A size that is only nearly the best one."""

    def hasty(family, *given):
        found = family.fit(*given)
        return NegativeBinomialParams(found.means, 1.01 * found.sizes)

    with pytest.raises(AssertionError, match="fit_maximises_q"):
        check_family(altered(NegativeBinomial(), fit=hasty), counts(), k=2)


# --- the law ---

V = np.arange(0.0, 300.0)


@pytest.mark.parametrize(("mean", "size"), [(1.0, 1.0), (20.0, 0.3), (3.0, 1e-3), (100.0, 1e3)])
def test_probabilities_are_scipys(mean, size):
    found = log_table(V, np.array([[mean]]), np.array([[size]]))[0, :, 0]
    np.testing.assert_allclose(found, stats.nbinom.logpmf(V, size, size / (size + mean)), rtol=1e-11)  # scipy's own rounding


def test_the_limit_of_large_sizes_is_poisson():
    found = log_table(V, np.array([[30.0]]), np.array([[1e14]]))[0, :, 0]
    np.testing.assert_allclose(found, stats.poisson.logpmf(V, 30.0), rtol=1e-11)


@pytest.mark.parametrize("size", [1e-3, 0.7, 15.9, 16.1, 1e4, 1e9])
def test_slopes_are_differences(size):
    """In units of the parameters; the second-order error of a step h is h^2, its rounding eps / h."""
    mean, h = 4.0, 1e-5
    by_mean, by_size = (s[0, :40, 0] for s in slopes(V, np.array([[mean]]), np.array([[size]])))
    moves = [(1 + h, 1), (1 - h, 1), (1, 1 + h), (1, 1 - h)]
    tables = [log_table(V[:40], np.array([[mean * a]]), np.array([[size * b]]))[0, :, 0] for a, b in moves]
    np.testing.assert_allclose(by_mean * mean, (tables[0] - tables[1]) / (2 * h), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(by_size * size, (tables[2] - tables[3]) / (2 * h), rtol=1e-6, atol=1e-8)


def test_a_mean_of_zero_allows_zeros_only():
    family, params = NegativeBinomial(), NegativeBinomialParams(np.zeros((1, 1)), np.ones((1, 1)))
    logb = family.log_density(params, family.encode(np.array([[0.0], [3.0], [np.nan]])))
    assert logb.ravel().tolist() == [0.0, -np.inf, 0.0]


def test_the_distribution_function_is_scipys():
    params = NegativeBinomialParams(np.array([[3.0], [9.0]]), np.array([[0.7], [50.0]]))
    found = NegativeBinomial().cdf(params, np.array([[0.0], [4.0], [np.nan]]))
    expected = stats.nbinom([0.7, 50.0], [0.7 / 3.7, 50 / 59]).cdf([[0], [4]])
    np.testing.assert_allclose(found[:2], expected, rtol=1e-12)
    assert np.isnan(found[2]).all()


# --- maxima ---


def test_one_component_is_statsmodels_maximum():
    from statsmodels.discrete.discrete_model import NegativeBinomial as Oracle

    x = counts(n=300)[:, :1]
    family, params = maximum(x)
    fit = Oracle(x[:, 0], np.ones((300, 1))).fit(disp=0, method="newton", maxiter=200)
    mean, size = np.exp(fit.params[0]), 1.0 / fit.params[1]
    np.testing.assert_allclose([params.means[0, 0], params.sizes[0, 0]], [mean, size], rtol=1e-5)  # its stop rule
    assert family.log_density(params, family.encode(x)).sum() == pytest.approx(fit.llf, abs=1e-6)


def test_weights_are_counts_of_rows():
    x = counts()
    weight = np.random.default_rng(0).integers(0, 4, size=N)
    written, weighted = maximum(np.repeat(x, weight, axis=0))[1], maximum(x, weight.astype(float))[1]
    np.testing.assert_allclose(weighted.means, written.means, rtol=1e-13)
    np.testing.assert_allclose(weighted.sizes, written.sizes, rtol=1e-9)  # the slope is flat: eps / curvature


@pytest.mark.parametrize("x", [np.full((30, 1), 4.0), np.arange(30.0)[:, None] % 3 + 10])
def test_counts_no_more_spread_than_poisson_end_at_the_largest_size(x):
    _, params = maximum(x)
    np.testing.assert_allclose(params.sizes[0], LARGEST * (1.0 + x.mean()))
    np.testing.assert_allclose(params.means[0], x.mean())


def test_all_zero_counts_have_mean_zero():
    family, params = maximum(np.zeros((10, 1)))
    assert params.means[0, 0] == 0.0
    assert np.isfinite(params.sizes).all()
    assert family.log_density(params, family.encode(np.zeros((1, 1))))[0, 0] == 0.0


def test_a_million_counts_cost_no_more_than_their_distinct_values():
    x = np.random.default_rng(0).negative_binomial(2, 0.1, size=(20_000, 1)).astype(float)
    family, params = maximum(x)
    assert family.stats(params, family.encode(x), np.ones((20_000, 1))).totals.shape[1] == len(np.unique(x))
    np.testing.assert_allclose(params.sizes[0], 2.0, rtol=0.05)  # standard error 0.02


# --- frequencies ---


def test_frequencies_add_whatever_counts_they_hold():
    family = NegativeBinomial()
    first, second = np.array([[3.0], [1.0]]), np.array([[7.0], [3.0], [0.0]])
    parts = [family.stats(None, family.encode(x), np.ones((len(x), 1))) for x in (first, second)]
    both = family.stats(None, family.encode(np.vstack([first, second])), np.ones((5, 1)))
    for total in (parts[0] + parts[1], parts[1] + parts[0]):
        assert total.values.tolist() == both.values.tolist() == [0.0, 1.0, 3.0, 7.0]
        np.testing.assert_array_equal(total.totals, both.totals)
    assert isinstance(2 * parts[0], Frequencies)
    with pytest.raises(ValueError, match="scaled by a number >= 0"):
        parts[0] * -1.0


def test_new_counts_have_a_density():
    family, params = maximum(counts())
    found = family.log_density(params, family.encode(np.array([[1e4, 0.0]])))
    size, mean = params.sizes[0], params.means[0]
    expected = stats.nbinom.logpmf([1e4, 0.0], size, size / (size + mean)).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize(("x", "words"), [([[1.5]], "column 0 holds 1.5"), ([[1.0, np.nan]], "column 1 has no observed")])
def test_bad_values_are_refused(x, words):
    with pytest.raises(ValueError, match=words):
        NegativeBinomial().bind(Memory(np.array(x)))
