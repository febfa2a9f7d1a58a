"""Zero-inflated counts: the laws of a family with a hidden part, and statsmodels as an oracle."""

import copy

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize
from scipy.special import expit

from estep.core.record import leaves
from estep.core.support import Constraints
from estep.data import Memory
from estep.families.binomial import Binomial
from estep.families.geometric import Geometric
from estep.families.negative_binomial import NegativeBinomial
from estep.families.normal import Normal
from estep.families.poisson import Poisson, PoissonParams
from estep.families.zero_inflated import ZeroInflated, ZeroInflatedParams
from estep.testing import altered, check_family

N = 80


def draws():
    rng = np.random.default_rng(1)
    structural = rng.random((N, 2)) < 0.3
    times = rng.uniform(0.5, 3.0, size=(N, 1))
    counts = {
        "poisson": (Poisson(), rng.poisson([3.0, 9.0], size=(N, 2))),
        "geometric": (Geometric(), rng.geometric(0.2, size=(N, 2)) - 1),
        "binomial": (Binomial(8), rng.binomial(8, 0.3, size=(N, 2))),
        "negative binomial": (NegativeBinomial(), rng.negative_binomial(4, 0.3, size=(N, 2))),
        "exposure": (Poisson("last"), rng.poisson(times * [3.0, 9.0])),
    }
    inflated = {name: (family, np.where(structural, 0, x).astype(float)) for name, (family, x) in counts.items()}
    inflated["exposure"] = (Poisson("last"), np.hstack([inflated["exposure"][1], times]))
    return inflated


CASES = draws()


def with_gaps(x):
    x = x.copy()
    part = x[:, :2]
    part[np.random.default_rng(1).random(part.shape) < 0.2] = np.nan
    return x


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_laws(name, gaps):
    family, x = CASES[name]
    check_family(ZeroInflated(family), with_gaps(x) if gaps else x, k=2, has_hidden_part=True)


def test_laws_with_fixed_and_tied_entries():
    family, x = CASES["poisson"]
    fixed = {"inflations": np.array([[0.25, np.nan], [np.nan, np.nan]]), "rates": np.array([[np.nan, 9.0], [np.nan, np.nan]])}
    ties = {"inflations": np.array([[0, 1], [2, 1]]), "rates": np.array([[0, 1], [0, 2]])}
    begin = ZeroInflatedParams(PoissonParams(np.array([[3.0, 9.0], [3.0, 8.0]])), np.array([[0.25, 0.3], [0.2, 0.3]]))
    constraints = Constraints(fixed, ties)
    assert ZeroInflated(family).support(begin, constraints).count == 4
    check_family(ZeroInflated(family), with_gaps(x), k=2, params=begin, constraints=constraints, has_hidden_part=True)


def test_a_planted_bug_is_caught():
    """Statistics that take too few zeros for structural ones."""

    def naive(family, params, encoded, resp):
        return family.stats(ZeroInflatedParams(params.inner, params.inflations**2), encoded, resp)

    family, x = CASES["poisson"]
    with pytest.raises(AssertionError, match="q_has_the_slope_of_the_likelihood"):
        check_family(altered(ZeroInflated(family), stats=naive), x, k=2, has_hidden_part=True)


def test_the_density_is_the_mixture_with_a_point_at_zero():
    params = ZeroInflatedParams(PoissonParams(np.array([[2.0], [0.5]])), np.array([[0.3], [0.0]]))
    family, x = ZeroInflated(Poisson()), np.array([[0.0], [1.0], [6.0], [np.nan]])
    found = family.log_density(params, family.encode(x))
    for k, (rate, share) in enumerate([(2.0, 0.3), (0.5, 0.0)]):
        expected = np.log(share * (x[:3, 0] == 0) + (1 - share) * stats.poisson.pmf(x[:3, 0], rate))
        np.testing.assert_allclose(found[:3, k], expected, rtol=1e-13)
    assert found[3].tolist() == [0.0, 0.0]
    below = family.cdf(params, x)
    np.testing.assert_allclose(below[:3, 0], 0.3 + 0.7 * stats.poisson.cdf(x[:3, 0], 2.0), rtol=1e-13)
    assert np.isnan(below[3]).all()


@pytest.mark.parametrize(("share", "rate"), [(1.0, 2.0), (0.5, 0.0), (0.0, 0.0)])
def test_ends_give_no_nan(share, rate):
    family, x = ZeroInflated(Poisson()), np.array([[0.0], [2.0]])
    params = ZeroInflatedParams(PoissonParams(np.array([[rate]])), np.array([[share]]))
    logb = family.log_density(params, family.encode(x))
    assert logb.ravel().tolist() == [0.0, -np.inf]
    total = family.stats(params, family.encode(x), np.array([[1.0], [0.0]]))
    assert all(np.isfinite(leaf).all() for _, leaf in leaves(total))
    assert family.q(params, total) <= 0.0


def fitted(family, x, steps=500):
    """EM with one component: its hidden part is the zeros'."""
    bound = ZeroInflated(family).bind(Memory(x))
    params, block, resp = bound.start(1), bound.encode(x), np.ones((len(x), 1))
    support = bound.support(params, Constraints())
    for _ in range(steps):
        params = bound.fit(bound.stats(params, block, resp), params, support)
    return params, float(bound.log_density(params, block).sum())


def test_one_component_is_statsmodels_maximum():
    from statsmodels.discrete.count_model import ZeroInflatedPoisson as Oracle

    family, x = CASES["poisson"]
    params, loglik = fitted(family, x[:, :1])
    fit = Oracle(x[:, 0], np.ones((N, 1)), np.ones((N, 1))).fit(disp=0, method="bfgs", gtol=1e-8)
    assert loglik == pytest.approx(fit.llf, abs=1e-8)
    share = 1.0 / (1.0 + np.exp(-fit.params[0]))
    assert params.inflations[0, 0] == pytest.approx(share, rel=1e-5)  # the stop rule of bfgs
    assert params.rates[0, 0] == pytest.approx(np.exp(fit.params[1]), rel=1e-5)


LAWS = {
    "geometric": lambda x, v: stats.geom.logpmf(x + 1, expit(v[0])),
    "binomial": lambda x, v: stats.binom.logpmf(x, 8, expit(v[0])),
    "negative binomial": lambda x, v: stats.nbinom.logpmf(x, np.exp(v[1]), expit(v[1] - v[0])),
}


@pytest.mark.parametrize("name", LAWS)
def test_one_component_is_as_high_as_a_general_optimiser_gets(name):
    family, x = CASES[name]
    x = x[:, 0]

    def loss(v):
        zero = np.where(x == 0, expit(v[-1]), 0.0)
        return -np.log(zero + expit(-v[-1]) * np.exp(LAWS[name](x, v))).sum()

    begin = [np.log(x.mean()), 0.0, -1.0] if name == "negative binomial" else [0.0, -1.0]
    found = minimize(loss, begin, method="BFGS")
    assert fitted(family, x[:, None])[1] == pytest.approx(-found.fun, abs=1e-6)  # differences of 1e-8 stop it there


def test_parameters_are_one_flat_set_to_users():
    family = ZeroInflated(Poisson()).bind(Memory(CASES["poisson"][1]))
    params = family.start(2)
    assert family.names == ("rates", "inflations")
    assert list(family.expose(params)) == ["rates", "inflations"]
    moved = family.with_values(params, {"rates": np.ones((2, 2)), "inflations": np.full((2, 2), 0.5)})
    np.testing.assert_array_equal(moved.rates, 1.0)
    assert family.adopt("inflations", [[0.1, np.nan]] * 2, 2, 2, "fixed").shape == (2, 2)
    with pytest.raises(ValueError, match="between 0 and 1"):
        family.adopt("inflations", [[0.1, 2.0]] * 2, 2, 2, "fixed")
    np.testing.assert_array_equal(copy.deepcopy(params).rates, params.rates)
    with pytest.raises(AttributeError, match="means"):
        _ = params.means


@pytest.mark.parametrize("family", [Normal(), Poisson])
def test_only_laws_of_counts_are_inflated(family):
    with pytest.raises(TypeError, match="family must be an instance of Poisson"):
        ZeroInflated(family)
