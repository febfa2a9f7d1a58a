"""Poisson, Bernoulli, binomial and geometric columns: the laws of a family, and scipy's densities."""

import numpy as np
import pytest
from scipy import stats

from estep.core.support import Constraints
from estep.data import Memory
from estep.families.bernoulli import Bernoulli, BernoulliParams
from estep.families.binomial import Binomial, BinomialParams, log_binomial
from estep.families.geometric import Geometric, GeometricParams
from estep.families.poisson import Poisson, PoissonParams, log_poisson
from estep.testing import check_family

N = 60
TRIALS = np.array([5, 9])


def draws():
    """One sample for each family, from laws of its own kind."""
    rng = np.random.default_rng(4)
    times = rng.uniform(0.5, 3.0, size=(N, 1))
    trials = rng.integers(0, 9, size=(N, 2))
    return {
        "poisson": (Poisson(), rng.poisson([3.0, 20.0], size=(N, 2))),
        "poisson with exposure": (Poisson("last"), np.hstack([rng.poisson(times * [3.0, 20.0]), times])),
        "bernoulli": (Bernoulli(), rng.random((N, 2)) < [0.3, 0.6]),
        "binomial": (Binomial(8), rng.binomial(8, 0.3, size=(N, 2))),
        "binomial by column": (Binomial(TRIALS), rng.binomial(TRIALS, 0.3, size=(N, 2))),
        "binomial by row": (Binomial("columns"), np.hstack([rng.binomial(trials, 0.4), trials])),
        "geometric": (Geometric(), rng.geometric(0.3, size=(N, 2)) - 1),
    }


CASES = {name: (family, np.asarray(x, dtype=float)) for name, (family, x) in draws().items()}
PARAMS = {Poisson: PoissonParams, Bernoulli: BernoulliParams, Binomial: BinomialParams, Geometric: GeometricParams}


def with_gaps(x):
    """A fifth of the counts missing; exposures and trials stay."""
    x = x.copy()
    part = x[:, :2]
    part[np.random.default_rng(1).random(part.shape) < 0.2] = np.nan
    return x


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_laws(name, gaps):
    family, x = CASES[name]
    check_family(family, with_gaps(x) if gaps else x)


@pytest.mark.parametrize("name", CASES)
def test_laws_with_one_component(name):
    family, x = CASES[name]
    check_family(family, with_gaps(x), k=1)


@pytest.mark.parametrize("name", CASES)
def test_laws_with_fixed_and_tied_entries(name):
    family, x = CASES[name]
    bound = family.bind(Memory(x))
    (parameter,) = family.names
    begin = getattr(bound.start(3), parameter).copy()
    fixed, ties = np.full((3, 2), np.nan), np.array([[0, 1], [2, 1], [3, 4]])
    fixed[0, 0] = begin[0, 0] = 0.4
    constraints = Constraints({parameter: fixed}, {parameter: ties})
    assert bound.support(PARAMS[type(family)](begin), constraints).count == 4
    check_family(family, with_gaps(x), params=PARAMS[type(family)](begin), constraints=constraints)


# --- densities and maxima by other means ---

X = np.array([[0.0, 3.0], [2.0, 0.0], [5.0, 4.0]])
DENSITIES = {
    "poisson": (Poisson(), np.array([[0.7, 3.0], [4.0, 1.0]]), lambda x, p: stats.poisson.logpmf(x, p)),
    "binomial": (Binomial(TRIALS), np.array([[0.7, 0.3], [0.1, 0.5]]), lambda x, p: stats.binom.logpmf(x, TRIALS, p)),
    "geometric": (Geometric(), np.array([[0.7, 0.3], [0.1, 0.5]]), lambda x, p: stats.geom.logpmf(x + 1, p)),
    "bernoulli": (Bernoulli(), np.array([[0.7, 0.3], [0.1, 0.5]]), lambda x, p: stats.bernoulli.logpmf(x, p)),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_the_log_density_is_scipys(name):
    family, theta, law = DENSITIES[name]
    x = np.minimum(X, 1.0) if name == "bernoulli" else X
    expected = np.stack([law(x, p).sum(axis=1) for p in theta], axis=1)
    for own in (family, family.bind(Memory(x))):  # about one and about the data's own mean
        found = own.log_density(PARAMS[type(family)](theta), own.encode(x))
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    gaps = np.where(np.eye(3, 2, dtype=bool), np.nan, x)
    expected = np.stack([np.nan_to_num(law(gaps, p)).sum(axis=1) for p in theta], axis=1)
    np.testing.assert_allclose(own.log_density(PARAMS[type(family)](theta), own.encode(gaps)), expected, rtol=1e-12)


@pytest.mark.parametrize("name", DENSITIES)
def test_the_distribution_function_is_scipys(name):
    family, theta, _ = DENSITIES[name]
    family = Binomial(5) if name == "binomial" else family
    law = {
        "poisson": stats.poisson(theta[:, 0]),
        "binomial": stats.binom(5, theta[:, 0]),
        "geometric": stats.geom(theta[:, 0], loc=-1),
        "bernoulli": stats.bernoulli(theta[:, 0]),
    }[name]
    x = np.array([[0.0], [1.0], [np.nan]])
    found = family.cdf(PARAMS[type(family)](theta[:, :1]), x)
    np.testing.assert_allclose(found[:2], law.cdf(x[:2]), rtol=1e-12)
    assert np.isnan(found[2]).all()


@pytest.mark.parametrize("name", ["poisson", "binomial", "geometric", "bernoulli"])
def test_one_component_is_the_weighted_mean(name):
    family, x = CASES[name]
    weight = np.random.default_rng(2).uniform(0.0, 2.0, size=N)
    bound = family.bind(Memory(x))
    begin = bound.start(1)
    fitted = bound.fit(bound.stats(begin, bound.encode(x), weight[:, None]), begin, bound.support(begin, Constraints()))
    mean = np.average(x, axis=0, weights=weight)
    expected = {"poisson": mean, "binomial": mean / 8, "geometric": 1 / (1 + mean), "bernoulli": mean}[name]
    np.testing.assert_allclose(getattr(fitted, family.names[0])[0], expected, rtol=1e-13)


def test_rates_are_counts_over_exposure():
    x = np.array([[2.0, 4.0], [np.nan, 100.0], [7.0, 2.0]])
    assert Poisson("last").bind(Memory(x)).start(1).rates.tolist() == [[1.5]]


# --- large counts ---


def exactly(count):
    """log count! in 50 digits, by Stirling's series far out and down again."""
    from decimal import Decimal, getcontext

    getcontext().prec = 50
    z, two_pi = Decimal(count + 200), Decimal("6.283185307179586476925286766559005768394338798750211641949889")
    log = (z + Decimal("0.5")) * z.ln() - z + two_pi.ln() / 2 + 1 / (12 * z) - 1 / (360 * z**3) + 1 / (1260 * z**5)
    return log - sum((Decimal(i).ln() for i in range(count + 1, count + 201)), Decimal(0))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 1000, 10**9 + 40_000])
def test_poisson_probabilities_keep_their_digits(count):
    from decimal import Decimal

    mean = Decimal(10**9 if count > 10**6 else 20)
    expected = float(count * mean.ln() - mean - exactly(count))
    found = float(log_poisson(np.array([float(count)]), np.array([float(mean)]))[0])
    assert found == pytest.approx(expected, rel=1e-13, abs=1e-10)  # 1e-10: the rounding of a deviance near 1e9 * 1e-4


def test_plain_formulas_lose_digits_where_ours_do_not():
    """Negative control: x log m - m - log x! is off by more than 1e-8 at a count of 1e9."""
    from decimal import Decimal

    count, mean = 10**9 + 40_000, 10**9
    expected = float(count * Decimal(mean).ln() - mean - exactly(count))
    assert abs(float(stats.poisson.logpmf(count, mean)) - expected) > 1e-8


def test_components_of_large_counts_are_told_apart():
    x = np.array([[1e9], [1.0004e9]])
    family = Poisson().bind(Memory(x))
    logb = family.log_density(PoissonParams(x.copy()), family.encode(x))
    gap = 1e9 * np.log1p(4e-4) - 4e5  # log p(x | 1.0004e9) - log p(x | 1e9) at x = 1e9
    assert logb[0, 1] - logb[0, 0] == pytest.approx(gap, rel=1e-9)


def test_binomial_probabilities_of_many_trials():
    x = np.array([0.0, 3.0, 50.0, 99.0, 100.0])
    np.testing.assert_allclose(log_binomial(x, np.full(5, 100.0), np.array(0.3)), stats.binom.logpmf(x, 100, 0.3), rtol=1e-13)


# --- ends and refusals ---


def test_all_zero_counts_have_rate_zero_and_are_certain():
    x = np.zeros((5, 1))
    for family, end in ((Poisson(), 0.0), (Geometric(), 1.0), (Binomial(3), 0.0), (Bernoulli(), 0.0)):
        bound = family.bind(Memory(x))
        params = bound.start(2)
        assert (getattr(params, family.names[0]) == end).all()
        logb = bound.log_density(params, bound.encode(np.array([[0.0], [1.0], [np.nan]])))
        assert logb.tolist() == [[0.0, 0.0], [-np.inf, -np.inf], [0.0, 0.0]]


REFUSED = {
    "bernoulli": (Bernoulli(), [[2.0]], "column 0 holds 2, but Bernoulli values are 0 and 1; use Binomial"),
    "trials": (Binomial(3), [[4.0]], "column 0 holds 4, but it has 3 trials there"),
    "shape of trials": (Binomial(TRIALS), [[1.0]], r"trials has shape \(2,\), but X has 1 columns"),
    "half a column": (Binomial("columns"), [[1.0, 2.0, 3.0]], "X has 3 columns, but trials='columns'"),
    "trials that are none": (Binomial("columns"), [[1.0, 2.5]], "column 1 holds 2.5, but trials are whole numbers"),
    "missing trials": (Binomial("columns"), [[1.0, np.nan]], "column 1 holds nan, but trials are whole numbers"),
    "no exposure": (Poisson("last"), [[1.0]], "exposure='last' reads counts and then the exposure"),
    "exposure zero": (Poisson("last"), [[1.0, 0.0]], "column 1 holds 0, but an exposure is above zero"),
    "geometric": (Geometric(), [[0.5]], "column 0 holds 0.5, but geometric counts are whole numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_values_are_refused_by_name(name):
    family, x, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        family.bind(Memory(np.array(x)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Binomial(0), "whole number >= 1"),
        (lambda: Binomial("rows"), "'rows' is unknown"),
        (lambda: Poisson("first"), "'first' is unknown"),
    ],
)
def test_bad_settings_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_row_without_counts_needs_no_exposure():
    family = Poisson("last")
    logb = family.log_density(PoissonParams(np.array([[2.0]])), family.encode(np.array([[np.nan, np.nan]])))
    assert logb.tolist() == [[0.0]]
