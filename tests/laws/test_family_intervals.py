"""Censored and Truncated: laws on every base law, the mathematics of intervals beside scipy's, and data without a maximum."""

import dataclasses

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

import estep
from estep.data import Memory
from estep.families import Censored, Exponential, Gamma, LinearRegression, LogNormal, Normal, Truncated, Weibull, interval
from estep.families.exponential import ExponentialParams
from estep.families.gamma import GammaParams
from estep.families.interval import LAWS
from estep.families.normal_interval import within
from estep.families.weibull import WeibullParams
from estep.testing import check_family

LABELS = np.repeat([0, 1, 2], 20)
PLACES = np.array([0.0, 4.0, -4.0])[LABELS][:, None]
SIZES = np.array([1.0, 5.0, 0.3])[LABELS][:, None]


def bounds(x, share=0.4, seed=1):
    """Values (n, d) of which a share is known to an interval, from below or from above only, and some not at all."""
    rng = np.random.default_rng(seed)
    kind, hidden, floor = rng.integers(4, size=x.shape), rng.random(x.shape) < share, 1e-3 if x.min() > 0 else -np.inf
    left, right = rng.uniform(0.05, 1.0, (2, *x.shape)) * x.std()
    low = np.where(hidden & (kind <= 2), np.maximum(x - 0.5 * left, floor), x)
    low = np.where(hidden & (kind == 3), -np.inf, low)
    high = np.where(hidden & (kind != 2), x + right, np.where(hidden, np.inf, x))
    out = np.empty((len(x), 2 * x.shape[1]))
    out[:, ::2], out[:, 1::2] = low, high
    out[::19] = np.nan
    return out


def sampled(law, d=1):
    rng = np.random.default_rng(0)
    draws = {
        "Normal": lambda: rng.normal(size=(60, d)) + PLACES,
        "LogNormal": lambda: np.exp(0.4 * rng.normal(size=(60, d))) * SIZES,
        "Exponential": lambda: rng.exponential(size=(60, d)) * SIZES + 0.01,
        "Gamma": lambda: rng.gamma(3.0, size=(60, d)) * SIZES,
        "Weibull": lambda: rng.weibull(1.5, size=(60, d)) * SIZES + 0.01,
    }
    return draws[law]()


BASES = {"Normal": Normal(), "LogNormal": LogNormal(), "Exponential": Exponential(), "Gamma": Gamma(), "Weibull": Weibull()}

# --- intervals ---


@pytest.mark.parametrize(("a", "b"), [(-1, 2), (3, np.inf), (-np.inf, 0.5), (4, 4.5), (-30, 30), (5.1, np.inf), (-2, np.inf)])
def test_a_normal_in_an_interval_is_scipys(a, b):
    log_mass, mean, variance = (float(v) for v in within(a, b))
    assert np.exp(log_mass) == pytest.approx(stats.norm.sf(a) - stats.norm.sf(b), rel=1e-12)
    assert mean == pytest.approx(stats.truncnorm(a, b).mean(), rel=1e-11, abs=1e-14)
    assert variance == pytest.approx(stats.truncnorm(a, b).var(), rel=1e-10)


@pytest.mark.parametrize("a", [5.0, 20.0, 300.0, 1e5])
def test_far_tails_of_the_normal(a):
    """Mills' ratio: mean - a = 1/a - 2/a^3 + 10/a^5 ..., variance = 1/a^2 - 6/a^4 + ...; as by quadrature."""
    _, mean, variance = (float(v) for v in within(a, np.inf))
    series = 1 / a - 2 / a**3 + 10 / a**5 - 74 / a**7
    assert mean - a == pytest.approx(series, rel=800 / a**8 + 4e-16 * a**2)
    assert variance == pytest.approx(1 / a**2 - 6 / a**4 + 50 / a**6, rel=600 / a**6 + 1e-13)
    np.testing.assert_allclose(within(a, a + 60.0 / a), within(a, np.inf), rtol=1e-9 + 1e-15 * a**2)


def test_narrow_intervals_of_the_normal():
    for a, width in ((0.0, 1e-8), (3.0, 1e-6), (-7.0, 1e-3)):
        log_mass, mean, variance = (float(v) for v in within(a, a + width))
        assert log_mass == pytest.approx(
            stats.norm.logpdf(a + width / 2) + np.log(width), abs=(1 + a**2) * width**2 + 1e-15 * (1 + abs(a)) / width
        )
        assert variance == pytest.approx(width**2 / 12, rel=1e-5)
        assert a < mean < a + width


CASES = {
    "Exponential": (ExponentialParams(np.array([[2.5]])), stats.expon(scale=1 / 2.5), [lambda x: x]),
    "Gamma": (GammaParams(np.array([[0.3]]), np.array([[0.5]])), stats.gamma(0.3, scale=2.0), [lambda x: x, np.log]),
    "Weibull": (WeibullParams(np.array([[1.7]]), np.array([[1.0]])), stats.weibull_min(1.7), [lambda x: x**1.7, np.log]),
}


@pytest.mark.parametrize(("low", "high"), [(-np.inf, 1.0), (1.0, np.inf), (1.0, 1.5), (0.0, 4.0)])
@pytest.mark.parametrize("name", CASES)
def test_stand_in_points_have_the_expected_statistics(name, low, high):
    params, law, statistics = CASES[name]
    ends = np.array([[low]]), np.array([[high]])
    values, weights = LAWS[name].points(None, params, *ends, None)
    mass = law.cdf(high) - law.cdf(low)
    assert LAWS[name].log_mass(None, params, *ends, None)[0, 0, 0] == pytest.approx(np.log(mass), rel=1e-12)
    assert weights.sum() == pytest.approx(1.0, rel=1e-15)
    for statistic in statistics:
        # in log x, in pieces, so that neither the pole at 0 nor the tail is missed
        cuts = np.log(np.linspace(max(low, law.ppf(1e-17)) ** 0.2, min(high, law.isf(1e-17)) ** 0.2, 30) ** 5)
        pieces = [
            quad(lambda s, f=statistic: law.pdf(np.exp(s)) * np.exp(s) * f(np.exp(s)), *ends)[0]
            for ends in zip(cuts, cuts[1:], strict=False)
        ]
        assert weights @ statistic(values[:, 0, 0, 0]) == pytest.approx(sum(pieces) / mass, rel=1e-8)


def test_a_gamma_tail_that_underflows():
    params = GammaParams(np.array([[2.5]]), np.array([[1.0]]))
    for low in (649.0, 651.0, 5000.0):
        ends = np.array([[low]]), np.array([[np.inf]])
        values, weights = LAWS["Gamma"].points(None, params, *ends, None)
        expected = 1.5 * np.log(low) - low - np.log(stats.gamma(2.5).pdf(1.0) ** -1 * np.exp(-1.0)) + 1.5 / low
        assert LAWS["Gamma"].log_mass(None, params, *ends, None)[0, 0, 0] == pytest.approx(expected, abs=2e-5)
        assert weights @ values[:, 0, 0, 0] - low == pytest.approx(1.0 + 1.5 / low, abs=1e-4)


# --- laws ---


@pytest.mark.parametrize("law", BASES)
def test_laws_of_censored_values(law):
    check_family(Censored(BASES[law]), bounds(sampled(law)), labels=LABELS, has_hidden_part=True, local=law == "Weibull")


@pytest.mark.parametrize("code", ["diag", "EII"])
def test_laws_of_two_censored_columns(code):
    check_family(Censored(Normal(code)), bounds(sampled("Normal", 2)), labels=LABELS, has_hidden_part=True)


def test_laws_of_a_censored_regression():
    rng = np.random.default_rng(2)
    design = rng.normal(size=(60, 2))
    y = design @ np.array([1.0, -1.0]) + PLACES[:, 0] + 0.5 * rng.normal(size=60)
    check_family(Censored(LinearRegression()), (design, bounds(y[:, None])), labels=LABELS, has_hidden_part=True)


WINDOWS = {
    "Normal": (-6.5, 6.5),
    "LogNormal": (0.05, 20.0),
    "Exponential": (0.02, 25.0),
    "Gamma": (0.05, 40.0),
    "Weibull": (0.02, 30.0),
}


@pytest.mark.parametrize("law", BASES)
def test_laws_of_truncated_values(law):
    low, high = WINDOWS[law]
    x = sampled(law)
    x = x[(x > low).all(axis=1) & (x < high).all(axis=1)]
    x[::13] = np.nan
    check_family(Truncated(BASES[law], low, high), x, k=2, has_hidden_part=True, local=law == "Weibull")


def test_laws_of_a_truncated_regression():
    rng = np.random.default_rng(2)
    design = rng.normal(size=(150, 1))
    y = design[:, 0] + rng.normal(size=150)
    kept = (y > -1.5) & (y < 3.0)
    check_family(Truncated(LinearRegression(), -1.5, 3.0), (design[kept], y[kept]), k=2, has_hidden_part=True)


def test_intervals_of_nothing_are_exact_values():
    x = sampled("Gamma", 2)
    inner = Gamma().bind(Memory(x))
    family = Censored(Gamma()).bind(Memory(np.repeat(x, 2, axis=1)))
    params = inner.start(2)
    found = family.log_density(params, family.encode(np.repeat(x, 2, axis=1)))
    np.testing.assert_array_equal(found, inner.log_density(params, inner.encode(x)))


def test_truncated_density_and_cdf_are_scipys():
    x = np.random.default_rng(0).uniform(-1.0, 2.0, (40, 1))
    family = Truncated(Normal(), -1.0, 2.0).bind(Memory(x))
    params = dataclasses.replace(family.start(1), means=np.array([[0.5]]), covariances=np.array([[[4.0]]]))
    law = stats.truncnorm(-0.75, 0.75, loc=0.5, scale=2.0)
    np.testing.assert_allclose(family.log_density(params, family.encode(x)), law.logpdf(x), rtol=1e-12)
    np.testing.assert_allclose(family.cdf(params, x), law.cdf(x), rtol=1e-12)
    drawn = family.sample(params, np.zeros(2000, dtype=int), np.random.default_rng(1))
    assert stats.kstest(drawn[:, 0], law.cdf).pvalue > 1e-7


def test_truncated_maximum_is_that_of_a_direct_search():
    from scipy.optimize import minimize

    rng = np.random.default_rng(3)
    x = rng.normal(1.0, 2.0, 4000)
    x = x[(x > 0.0) & (x < 4.0)]

    def loss(v):
        a, b = (0.0 - v[0]) / np.exp(v[1]), (4.0 - v[0]) / np.exp(v[1])
        return -stats.truncnorm.logpdf(x, a, b, loc=v[0], scale=np.exp(v[1])).sum()

    direct = minimize(loss, [1.0, 0.5], method="Nelder-Mead", options=dict(xatol=1e-8, fatol=1e-10, maxiter=5000))
    fit = estep.Mixture(Truncated(Normal(), 0.0, 4.0), 1, tol=1e-13, max_iter=5000).fit(x[:, None])
    assert fit.log_likelihood_ == pytest.approx(-direct.fun, abs=1e-5)
    np.testing.assert_allclose(
        [fit.means_[0, 0], fit.covariances_[0, 0, 0] ** 0.5], [direct.x[0], np.exp(direct.x[1])], rtol=2e-2
    )


def test_a_mixture_of_censored_normals_with_everything():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=900)
    x = bounds((rng.normal(size=900) + np.array([0.0, 5.0, -5.0])[labels])[:, None])
    weight = np.where(np.arange(900) % 5 == 0, 2.0, 1.0)
    known = np.where(np.arange(900) < 60, labels, -1)
    fit = estep.Mixture(Censored(), 3, random_state=0, n_init=4, fixed={"means": [[0.0], [np.nan], [np.nan]]})
    fit.fit(x, known, sample_weight=weight)
    assert fit.means_[0, 0] == 0.0
    np.testing.assert_allclose(fit.means_[1:, 0], [5.0, -5.0], atol=0.45)  # five standard errors, with a third censored
    free = estep.Mixture(Censored(), 3, random_state=0, n_init=4).fit(x)
    assert np.sort(free.means_[:, 0]).round().tolist() == [-5.0, 0.0, 5.0]


# --- data that are refused ---


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ([[1.0, np.inf], [2.0, np.inf], [0.5, np.inf]], "every value is censored, known only to lie above"),
        ([[-np.inf, 3.0], [-np.inf, 2.0]], "every value is censored, known only to lie below"),
        ([[1.0, 4.0], [2.0, 5.0], [0.0, 3.0]], "one point agrees with every value and every bound"),
        ([[2.0, 2.0], [2.0, 2.0], [1.0, np.inf]], "one point agrees with every value"),
        ([[3.0, np.inf], [4.0, np.inf], [-np.inf, 1.0], [-np.inf, 0.0]], "grows with the width of the law"),
        ([[np.nan, np.nan], [-np.inf, np.inf]], "no row that says anything"),
        ([[1.0, 2.0], [3.0, 2.0]], r"row 1, variable 0 is \(3, 2\): it has its lower bound above its upper"),
        ([[1.0, 2.0], [np.nan, 2.0]], "row 1, variable 0 .* one bound missing"),
        ([[1.0, 2.0], [np.inf, np.inf]], "infinite value"),
        ([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], "two columns for each variable"),
    ],
)
def test_bounds_without_a_maximum_or_a_meaning(x, words):
    with pytest.raises(ValueError, match=words):
        Censored(Normal()).bind(Memory(np.array(x)))


def test_bounds_from_both_sides_that_overlap_are_enough():
    """Current status data: no value is known, and there is a maximum all the same (a probit regression)."""
    rng = np.random.default_rng(0)
    cut, x = rng.normal(size=2000), rng.normal(size=2000)
    rows = np.where(
        (x > cut)[:, None], np.column_stack([cut, np.full(2000, np.inf)]), np.column_stack([np.full(2000, -np.inf), cut])
    )
    fit = estep.Mixture(Censored(), 1, max_iter=5000).fit(rows)
    assert fit.converged_
    assert abs(fit.means_[0, 0]) < 0.2 and abs(fit.covariances_[0, 0] - 1.0) < 0.4


def test_what_wrappers_refuse():
    with pytest.raises(TypeError, match="Poisson says nothing of intervals"):
        Censored(estep.Poisson())
    with pytest.raises(ValueError, match="lets 2 of them depend"):
        Censored(Normal("full")).bind(Memory(bounds(sampled("Normal", 2))))
    with pytest.raises(ValueError, match="row 2 is 5, outside the window 0 .. 4"):
        Truncated(Normal(), 0.0, 4.0).bind(Memory(np.array([[1.0], [2.0], [5.0]])))
    with pytest.raises(ValueError, match="must be below"):
        Truncated(Normal(), 2.0, 2.0)
    with pytest.raises(ValueError, match="takes one variable"):
        Truncated(Normal(), 0.0).bind(Memory(np.ones((4, 2))))


def test_a_truncated_normal_that_runs_away():
    """Rows that look like an exponential's: the best truncated normal lies infinitely far below its window."""
    x = stats.expon.ppf((np.arange(400) + 0.5) / 400) ** 1.3
    with pytest.warns(estep.ConvergenceWarning):
        fit = estep.Mixture(Truncated(Normal(), 0.0), 1, prior=None, max_iter=300).fit(x[:, None])
    assert not fit.converged_


def test_a_planted_bug_is_caught(monkeypatch):
    """A variance left out of the stand-in points: censored values count as if they were their means."""
    right = interval.within

    def without_spread(low, high):
        log_mass, mean, variance = right(low, high)
        return log_mass, mean, 0.0 * variance

    monkeypatch.setattr(interval, "within", without_spread)
    with pytest.raises(AssertionError, match="q_has_the_slope_of_the_likelihood"):
        check_family(Censored(Normal()), bounds(sampled("Normal")), labels=LABELS, has_hidden_part=True)
