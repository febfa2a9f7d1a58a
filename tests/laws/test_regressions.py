"""Regressions keep the laws of families, their steps never lower a likelihood, and what is wrong with data is named."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import estep
from estep.core.assign import SOFT
from estep.core.support import Constraints
from estep.data import Memory
from estep.engine.visit import total
from estep.families.components import Components
from estep.families.gamma_regression import GammaRegression, GammaRegressionParams
from estep.families.linear_fit import LinearParams
from estep.families.linear_regression import LinearRegression
from estep.families.logistic_regression import LogisticRegression
from estep.families.multinomial_regression import MultinomialRegression
from estep.families.poisson_regression import PoissonRegression
from estep.families.regression import RegressionParams
from estep.families.zero_response import ZeroResponse
from estep.kernels import local
from estep.models import Latent, LatentParams
from estep.structures.iid import Iid
from estep.testing import check_family

N = 70


def covariates(rng, n=N):
    return rng.normal(size=(n, 2)) * [1.0, 3.0] + [5.0, -2.0]


def made(name, seed=0):
    """A family, its rows with an offset, and whether its statistics are local."""
    rng = np.random.default_rng(seed)
    x, offset = covariates(rng), 0.3 * rng.normal(size=N)
    eta = np.array([0.2, 0.8, -0.5])[rng.integers(3, size=N)] + (x - [5.0, -2.0]) @ [0.3, -0.1] + offset
    probs = np.exp((x - [5.0, -2.0]) @ np.array([[0.0, 0.5, -0.3], [0.0, -0.2, 0.1]]))
    trials = rng.integers(1, 6, size=N)
    good = rng.binomial(trials, 1 / (1 + np.exp(-eta)))
    response = {
        "linear": eta + 0.4 * rng.normal(size=N),
        "poisson": rng.poisson(np.exp(eta)).astype(float),
        "logistic": (rng.random(N) < 1 / (1 + np.exp(-eta))).astype(float),
        "binomial": np.column_stack([good, trials - good]).astype(float),
        "gamma": rng.gamma(3.0, size=N) / 3 * np.exp(eta),
        "multinomial": (rng.random((N, 1)) > (probs / probs.sum(1, keepdims=True)).cumsum(1)[:, :-1]).sum(1).astype(float),
    }[name]
    return FAMILIES[name](), (x, response) if name == "multinomial" else (x, response, offset)


FAMILIES = {
    "linear": LinearRegression,
    "poisson": PoissonRegression,
    "logistic": LogisticRegression,
    "binomial": LogisticRegression,
    "gamma": GammaRegression,
    "multinomial": MultinomialRegression,
}
EXTRA = {"linear": "scales", "gamma": "shapes"}
RECORD = {"linear": LinearParams, "gamma": GammaRegressionParams}


def bound(name, seed=0):
    family, x = made(name, seed)
    return family.bind(Memory(x)), x


# --- laws ---


@pytest.mark.parametrize("name", FAMILIES)
def test_laws(name):
    family, x = made(name)
    check_family(family, x, k=2 if name == "multinomial" else 3, local=name != "linear")


@pytest.mark.parametrize("name", FAMILIES)
def test_laws_with_missing_responses_and_no_intercept(name):
    family, (design, y, *rest) = made(name, 1)
    y = y.copy()
    y[::7] = np.nan
    check_family(dataclasses.replace(family, intercept=False), (design, y, *rest), k=2, local=name != "linear")


@pytest.mark.parametrize("name", FAMILIES)
def test_laws_with_fixed_and_tied_entries(name):
    family, x = made(name, 2)
    if name == "multinomial":
        fixed, ties = np.full((2, 3, 2), np.nan), np.arange(12).reshape(2, 3, 2)
        fixed[0, 1, 0], ties[0, 2, 1] = 0.5, ties[1, 2, 1]
        params = RegressionParams(np.nan_to_num(fixed), np.zeros((2, 3)))
        check_family(family, x, k=2, local=True, params=params, constraints=Constraints({"coefs": fixed}, {"coefs": ties}))
        return
    fixed, ties = {"coefs": np.full((3, 2), np.nan)}, {"coefs": np.array([[0, 1], [2, 3], [4, 3]])}
    fixed["coefs"][0, 0] = 0.3
    more = [np.ones(3)] if name in EXTRA else []
    if more:
        ties[EXTRA[name]] = np.array([0, 0, 1])
    params = RECORD.get(name, RegressionParams)(np.nan_to_num(fixed["coefs"]), np.zeros(3), *more)
    check_family(family, x, k=3, local=name != "linear", params=params, constraints=Constraints(fixed, ties))


def test_laws_far_from_the_origin():
    """Offsets of 1e8 in covariates and response: cross-products about the whole data's regression lose nothing."""
    family, (x, y, offset) = made("linear")
    check_family(family, (x + 1e8, y + 1e8, offset), k=3)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_missing_response_says_nothing(name):
    family, (design, y, *rest) = bound(name)
    holes = np.where(np.arange(N).reshape(-1, *[1] * (y.ndim - 1)) % 5 == 0, np.nan, y)
    seen = np.arange(N) % 5 != 0
    params = family.start(2)
    rng = np.random.default_rng(0)
    resp = rng.dirichlet([1, 1], size=N)
    logs = family.log_density(params, family.encode((design, holes, *rest)))
    assert (logs[~seen] == 0).all()
    whole = family.stats(params, family.encode((design, holes, *rest)), resp)
    part = family.stats(params, family.encode((design[seen], y[seen], *(r[seen] for r in rest))), resp[seen])
    assert family.q(params, whole) == pytest.approx(family.q(params, part), rel=1e-13)
    support = family.support(params, Constraints())
    np.testing.assert_allclose(family.score(params, whole, support), family.score(params, part, support), atol=1e-9)


# --- densities, distribution functions and draws, against scipy ---


def test_densities_are_those_of_scipy():
    coefs, intercepts, extra = np.array([[0.2, -0.1], [0.5, 0.3]]), np.array([0.1, -2.0]), np.array([0.7, 2.5])
    for name in ("linear", "poisson", "logistic", "binomial", "gamma"):
        family, x = bound(name)
        params = RECORD.get(name, RegressionParams)(coefs, intercepts, *([extra] if name in EXTRA else []))
        eta = x[0] @ coefs.T + intercepts + x[2][:, None]
        y = x[1][:, None] if x[1].ndim == 1 else x[1][:, :1]
        trials = 1 if x[1].ndim == 1 else x[1].sum(axis=1, keepdims=True)
        law = {
            "linear": lambda eta: stats.norm(eta, extra),
            "poisson": lambda eta: stats.poisson(np.exp(eta)),
            "logistic": lambda eta: stats.bernoulli(1 / (1 + np.exp(-eta))),
            "binomial": lambda eta, t=trials: stats.binom(t, 1 / (1 + np.exp(-eta))),
            "gamma": lambda eta: stats.gamma(extra, scale=np.exp(eta) / extra),
        }[name](eta)
        logs = law.logpdf(y) if hasattr(law.dist, "logpdf") and name in ("linear", "gamma") else law.logpmf(y)
        np.testing.assert_allclose(family.log_density(params, family.encode(x)), logs, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(family.cdf(params, x), law.cdf(y), rtol=1e-9, atol=1e-12)
        means = law.mean() / trials
        np.testing.assert_allclose(family.means(params, (x[0], None, x[2])), means, rtol=1e-12)


def test_probabilities_of_classes_sum_to_one():
    family, x = bound("multinomial")
    params = RegressionParams(np.random.default_rng(0).normal(size=(2, 3, 2)), np.zeros((2, 3)))
    probs = family.means(params, (x[0],))
    np.testing.assert_allclose(probs.sum(axis=2), 1.0, rtol=1e-14)
    logs = family.log_density(params, family.encode(x))
    np.testing.assert_allclose(np.exp(logs), probs[np.arange(N)[:, None], [0, 1], x[1].astype(int)[:, None]], rtol=1e-12)


# --- steps that cannot lower a likelihood ---


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(["poisson", "logistic", "binomial", "gamma", "multinomial"]),
    seed=st.integers(0, 10_000),
    size=st.floats(0.1, 6.0),
)
def test_a_step_never_lowers_the_likelihood(name, seed, size):
    """From anywhere, however far: the guard holds where Newton's full step would leave the concave part."""
    family, x = bound(name)
    rng = np.random.default_rng(seed)
    begin = family.start(2)
    support = family.support(begin, Constraints())
    at = support.pack(begin)
    scale = np.abs(at) * 0.0 + 0.3
    params = support.unpack(at + size * scale * rng.standard_normal(at.size), begin)
    resp = rng.dirichlet([0.5, 0.5], size=N)
    block = family.encode(x)

    def height(p):
        logs = family.log_density(p, block)
        return float((resp * logs).sum())

    after = family.fit(family.stats(params, block, resp), params, support)
    assert height(after) >= height(params) - 1e-9 * (1 + abs(height(params)))


def test_an_unguarded_newton_step_falls(monkeypatch):
    """The control: without the guard the same start loses likelihood, so the law above can fail."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(60, 1)), rng.poisson(3.0, size=60).astype(float))
    family = PoissonRegression().bind(Memory(x))
    params = RegressionParams(np.array([[-3.0]]), np.array([-2.0]))
    block, support, resp = family.encode(x), family.support(params, Constraints()), np.ones((60, 1))
    before = float(family.log_density(params, block).sum())
    stats_ = family.stats(params, block, resp)
    assert float(family.log_density(family.fit(stats_, params, support), block).sum()) > before
    monkeypatch.setattr(local, "damped", lambda rise, bend, s: rise / bend)
    monkeypatch.setattr(local, "sure_gain", lambda part, design, phi: float(np.abs(phi - part.at).sum()))
    assert float(family.log_density(family.fit(stats_, params, support), block).sum()) < before - 100


def test_planted_curvature_is_caught():
    class Wrong(PoissonRegression):
        def pieces(self, block, eta):
            value, slope, bend, roof = PoissonRegression.pieces(self, block, eta)
            return value, slope * 1.1, bend, roof

    _, x = made("poisson")
    with pytest.raises(AssertionError, match="q_has_the_slope_of_the_likelihood"):
        check_family(Wrong(), x, k=2, local=True)


def test_planted_forgotten_offset_is_caught():
    class Forgetful(LinearRegression):
        def encode(self, x):
            return LinearRegression.encode(self, (x[0], x[1]))

    family, x = made("linear")
    assert Forgetful().bind(Memory(x)).start(1).coefs == pytest.approx(family.bind(Memory(x)).start(1).coefs)
    params = family.bind(Memory(x)).start(1)
    right = family.bind(Memory(x)).log_density(params, family.bind(Memory(x)).encode(x)).sum()
    wrong = Forgetful().bind(Memory(x)).log_density(params, Forgetful().bind(Memory(x)).encode(x)).sum()
    assert abs(right - wrong) > 1.0


def test_records_of_different_points_do_not_add():
    family, x = bound("poisson")
    block, resp = family.encode(x), np.ones((N, 1))
    here = family.stats(family.start(1), block, resp)
    there = family.stats(RegressionParams(np.array([[0.1, 0.0]]), np.zeros(1)), block, resp)
    with pytest.raises(ValueError, match=r"LocalStats\.at is shared and differs"):
        here + there


def test_a_cycle_over_blocks_never_falls():
    """Coefficients, then intercepts, from the same statistics: the second block knows that the first has moved."""
    from estep.engine.update import Only

    @dataclasses.dataclass(frozen=True)
    class Cycle:
        name: str = "coefs, then intercepts and weights"

        def __call__(self, model, data, stats, params):
            for block in (("coefs",), ("intercepts",), ("weights",)):
                params = Only(block)(model, data, stats, params)
            return params

    family, x = bound("logistic")
    model, data = Latent(Iid(), family, 2), Memory(x)
    begin = LatentParams(Iid().start(2), RegressionParams(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([-5.0, 5.0])))
    result = estep.fit(model, data, begin, estep.Variant("ecm", update=Cycle()), max_iter=60)
    assert np.diff(result.trace.objective).min() >= -1e-9 * abs(result.objective)
    assert result.objective > result.trace.objective[0] + 1.0


# --- ridge ---


def test_ridge_is_that_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression as SkLogistic
    from sklearn.linear_model import PoissonRegressor, Ridge

    rng = np.random.default_rng(3)
    x = covariates(rng)
    y = rng.poisson(2.0, size=N).astype(float)
    b = (rng.random(N) < 0.4).astype(float)
    for family, response, twin in (
        (LinearRegression(ridge=5.0), y, Ridge(alpha=5.0)),
        (LogisticRegression(ridge=5.0), b, SkLogistic(C=0.2, tol=1e-12, max_iter=5000)),
        (PoissonRegression(ridge=5.0), y, PoissonRegressor(alpha=5.0 / N, tol=1e-12, max_iter=5000)),
    ):
        model, data = Latent(Iid(), family, 1), Memory((x, response))
        model = model.bind(data)
        result = estep.fit(model, data, model.start(), tol=1e-15)
        twin.fit(x, response)
        # L-BFGS of scikit-learn leaves a gradient of 1e-8 or so
        np.testing.assert_allclose(result.params.family.coefs[0], np.ravel(twin.coef_), atol=2e-6)
        np.testing.assert_allclose(result.params.family.intercepts, np.ravel(twin.intercept_), atol=2e-5)
        free = estep.fit(Latent(Iid(), dataclasses.replace(family, ridge=0.0), 1).bind(data), data, model.start(), tol=1e-15)
        assert np.abs(free.params.family.coefs - result.params.family.coefs).max() > 1e-4
        assert result.objective < result.loglik < free.loglik


# --- zero inflation ---


def test_zero_inflation_is_a_component_of_zeros():
    """p(0) = w + (1 - w) e^-mu and p(y) = (1 - w) Poisson(y; mu), the law of Lambert (1992)."""
    family, x = made("poisson")
    model = Latent(Iid(), Components([PoissonRegression(), ZeroResponse()]), 2).bind(Memory(x))
    params = model.start()
    found = total(model, Memory(x), params, SOFT).loglik
    mu = model.family.means(params.family, (x[0], None, x[2]))[:, 0]
    p = 0.5 * stats.poisson.pmf(x[1], mu) + 0.5 * (x[1] == 0)
    assert found == pytest.approx(np.log(p).sum(), rel=1e-12)


def test_laws_of_the_zero_response():
    x = (np.zeros((20, 1)), np.where(np.arange(20) % 3 == 0, np.nan, 0.0))
    check_family(ZeroResponse(), x, k=2)
