"""Where standard errors end: boundaries, flat directions, saddles, unfinished fits; and intervals and tests beside them."""

import warnings

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2

import estep
from estep.core.result import ConvergenceWarning
from estep.core.support import Constraints
from estep.data import Memory
from estep.engine.fit import fit as run
from estep.families.categorical import Categorical
from estep.families.factor_normal import FactorNormal
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.inference.boundary import at_ends
from estep.inference.errors import standard_errors
from estep.inference.intervals import chosen
from estep.models.latent import Latent, LatentParams
from estep.structures.iid import Iid, IidParams

NAN = np.nan
TIGHT = {"tol": 1e-15, "max_iter": 50_000}


def reasons(errors, name):
    return errors.reasons[name].tolist()


# Boundaries


def items(seed=0, n=300):
    """Five items; the first is always answered yes in the larger class."""
    rng = np.random.default_rng(seed)
    first = rng.random(n) < 0.6
    probs = np.where(first[:, None], [1.0, 0.8, 0.7, 0.9, 0.8], [0.3, 0.2, 0.3, 0.2, 0.1])
    return (rng.random((n, 5)) < probs).astype(float), (~first).astype(int)


@pytest.mark.parametrize("method", ["oakes", "louis", "sem", "hessian", "opg", "sandwich"])
def test_a_probability_of_one_has_no_error_and_the_others_hold_it(method):
    x, start = items()
    fit = estep.Mixture(estep.Bernoulli(), 2, init=start, **TIGHT).fit(x)
    assert fit.probs_[0, 0] > 1 - 1e-7
    with pytest.warns(UserWarning, match=r"no standard error for probs\[0, 0\]: at the boundary"):
        errors = fit.standard_errors(x, method=method)
    assert np.isnan(errors["probs"][0, 0])
    assert reasons(errors, "probs")[0][0] == "boundary"
    held = np.full((2, 5), NAN)
    held[0, 0] = fit.probs_[0, 0]
    restricted = estep.Mixture(estep.Bernoulli(), 2, fixed={"probs": held}, init=start, **TIGHT).fit(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what a user fixed needs no warning
        told = restricted.standard_errors(x, method=method)
    assert reasons(told, "probs")[0][0] == "fixed"
    np.testing.assert_allclose(errors["probs"], told["probs"], rtol=1e-5)
    np.testing.assert_allclose(errors["weights"], told["weights"], rtol=1e-5)
    assert (np.isfinite(errors["probs"]).sum(), errors.covariance.shape) == (9, (10, 10))


def test_ends_of_every_kind():
    rng = np.random.default_rng(0)
    counts = np.column_stack([np.r_[np.zeros(60), rng.poisson(6, 60)], np.r_[rng.poisson(9, 60), rng.poisson(2, 60)]]).astype(
        float
    )
    start = np.repeat([0, 1], 60)
    zero = estep.Mixture(estep.Poisson(), 2, init=start, **TIGHT).fit(counts)
    normal = np.vstack([rng.normal(size=(100, 2)), 6 + rng.uniform(-1, 1, size=(100, 2))])
    student = estep.StudentMixture(2, init=np.repeat([0, 1], 100), tol=1e-13, max_iter=5000).fit(normal)
    even = np.column_stack([rng.poisson(3, 150)]).astype(float)
    even = even[even[:, 0] < 6]
    size = estep.Mixture(estep.NegativeBinomial(), 1, tol=1e-13).fit(even)
    for fit, x, name, which in (
        (zero, counts, "rates", (0, 0)),
        (student, normal, "dofs", (1,)),
        (size, even, "sizes", (0, 0)),
    ):
        with pytest.warns(UserWarning, match="boundary"):
            errors = fit.standard_errors(x)
        assert errors.reasons[name][which] == "boundary"
        assert np.isnan(errors[name][which])
        assert np.isfinite(errors["means" if name != "rates" else "weights"]).any()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.isnan(fit.confint(x)[name][which]).all()


def test_levels_that_a_column_lacks_are_fixed_and_one_never_seen_in_a_class_is_at_the_boundary():
    rng = np.random.default_rng(1)
    start = np.repeat([0, 1], 100)
    two, three = (
        (rng.random(200) < np.where(start == 0, 0.2, 0.7)),
        np.where(start == 0, rng.choice(2, 200), rng.choice(3, 200)),
    )
    far = rng.choice(2, 200, p=[0.9, 0.1]) ^ start
    x = np.column_stack([two, three, far, far ^ (rng.random(200) < 0.05)]).astype(float)
    fit = estep.Mixture(Categorical(), 2, init=start, **TIGHT).fit(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        errors = fit.standard_errors(x)
    assert errors.reasons["probs"][0, 0, 2] == "fixed"  # the first column has two levels
    ends = at_ends(fit.result_.model, fit.result_.params, fit.result_.model.support(fit.result_.params))
    found = ends.get("family.probs", np.zeros(fit.probs_.shape, dtype=bool))
    assert ((errors.reasons["probs"] == "boundary") == found).all()
    inside = (fit.probs_ > 1e-7) & (fit.probs_ < 1 - 1e-7)
    assert np.isfinite(errors["probs"][inside]).all()


def test_heywood_cases_are_at_the_boundary():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 1)) @ [[1.0, 0.5, 0.4, 0.6]] + [0.05, 0.8, 0.8, 0.8] * rng.normal(size=(40, 4))
    with pytest.warns(estep.ConvergenceWarning, match="Heywood"):
        fit = estep.FactorAnalysis(1, tol=1e-13, max_iter=100_000).fit(x)
    with pytest.warns(UserWarning, match=r"uniquenesses\[0\]: at the boundary"):
        errors = fit.standard_errors(x)
    assert np.isnan(errors["uniquenesses"]).tolist() == [True, False, False, False]
    assert np.isfinite(errors["loadings"]).all()


# Directions that nothing identifies


def test_what_the_data_do_not_identify_is_named_and_the_rest_is_exact():
    """One toss a coin, two coins: only the mean probability is identified; the second column of the product is."""
    rng = np.random.default_rng(0)
    tosses, values = (rng.random(400) < 0.4).astype(float), rng.normal(size=400)
    x = np.column_stack([tosses, values])
    family = estep.Product([(estep.Bernoulli(), 0, "toss"), (estep.Normal("EII"), 1, "value")])
    begin = {
        "weights": [0.5, 0.5],
        "toss.probs": [[0.3], [0.5]],
        "value.means": [[0.0], [0.0]],
        "value.covariances": [[[1.0]], [[1.0]]],
    }
    tie = {"value.means": [[0], [0]]}
    fit = estep.Mixture(family, 2, init=begin, tied=tie, **TIGHT).fit(x)
    with pytest.warns(UserWarning, match=r"weights\[0\].*not identified"):
        errors = fit.standard_errors(x)
    assert np.isnan(errors["weights"]).all()
    assert np.isnan(errors["toss.probs"]).all()
    np.testing.assert_allclose(errors["value.means"], values.std() / 20, rtol=1e-6)  # tied entries share theirs
    mean, variance = errors.of(lambda p: p["weights"] @ p["toss.probs"])
    p = tosses.mean()
    assert mean[0] == pytest.approx(p, rel=1e-6)
    assert np.sqrt(variance[0, 0]) == pytest.approx(np.sqrt(p * (1 - p) / 400), rel=1e-5)
    assert np.isnan(errors.of(lambda p: p["toss.probs"][0, 0])[1]).all()


def test_factors_turn_but_their_canonical_turn_does_not():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2)) @ np.array([[1, 0.8, 0.9, 0.2, 0.1, -0.2], [0.2, 0.1, -0.3, 0.9, 1, 0.7]]) + 0.6 * rng.normal(
        size=(300, 6)
    )
    fit = estep.FactorAnalysis(2, tol=1e-15, max_iter=100_000).fit(x)
    assert isinstance(fit.result_.model.family, FactorNormal)
    shown = fit.standard_errors(x)
    assert np.isfinite(shown["loadings"]).all()
    raw = standard_errors(fit.result_.model, Memory(x), fit.result_.params, quiet=True)
    assert (raw.reasons["loadings"] == "not identified").all()
    assert any("loadings" in note and "not identified" in note for note in raw.notes)
    np.testing.assert_allclose(raw["uniquenesses"][0], shown["uniquenesses"], rtol=1e-6)
    implied, variance = raw.of(lambda p: (p["loadings"][0] @ p["loadings"][0].T + np.diag(p["uniquenesses"][0]))[0])
    assert np.isfinite(variance).all()  # what does not turn is identified, whatever the loadings do


# Saddles and unfinished fits


MURRAY = np.array(
    [(1, 1), (1, -1), (-1, 1), (-1, -1), (2, NAN), (2, NAN), (-2, NAN), (-2, NAN), (NAN, 2), (NAN, 2), (NAN, -2), (NAN, -2)]
)


@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_a_saddle_is_named_and_a_maximum_is_not(rho):
    data = Memory(MURRAY)
    model = Latent(Iid(), Normal(), 1).bind(data)
    start = LatentParams(IidParams(np.ones(1)), NormalParams(np.zeros((1, 2)), np.array([[[1.0, rho], [rho, 1.0]]])))
    end = run(model, data, start, tol=1e-14)
    if rho:
        errors = standard_errors(model, data, end.params)
        assert np.isfinite(errors["covariances"]).all()
        return
    with pytest.warns(ConvergenceWarning, match=r"saddle point.*covariances\[0, 0, 1\]"):
        errors = standard_errors(model, data, end.params)
    assert errors.reasons["covariances"][0].tolist() == [["", "not at a maximum"], ["not at a maximum", ""]]
    assert np.isnan(errors["covariances"][0, 0, 1])
    assert np.isfinite(errors["means"]).all()


def test_a_fit_that_was_cut_short_and_rows_of_another_fit_are_told():
    rng = np.random.default_rng(0)
    x = np.vstack([rng.normal(size=(100, 1)), 2.5 + rng.normal(size=(100, 1))])
    short = estep.GaussianMixture(2, init=np.repeat([0, 1], 100), max_iter=2, accelerate="none")
    with pytest.warns(estep.ConvergenceWarning, match="max_iter"):
        short.fit(x)
    with pytest.warns(estep.ConvergenceWarning, match="score is not zero, a Newton step would move them"):
        short.standard_errors(x)
    whole = estep.GaussianMixture(2, init=np.repeat([0, 1], 100), tol=1e-10, max_iter=5000).fit(x)
    whole.standard_errors(x)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        whole.standard_errors(x[::3])
    assert any("Give the rows, weights and labels of the fit" in str(w.message) for w in seen)


def test_a_rough_m_step_is_told_by_the_asymmetry_of_sem():
    """VVE's M-step stops short of the maximum by up to 1e-5, which differences of the map magnify."""
    rng = np.random.default_rng(0)
    mixing = np.array([[1, 0.6, 0], [0, 1, 0.3], [0, 0, 0.7]])
    x = np.vstack([rng.normal(size=(150, 3)) @ mixing, 2.5 + rng.normal(size=(150, 3)) @ np.diag([1.5, 0.8, 0.5])])
    fit = estep.GaussianMixture(2, covariance_type="VVE", init=np.repeat([0, 1], 150), tol=1e-13, max_iter=20_000).fit(x)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        errors = fit.standard_errors(x, method="sem")
    assert any("asymmetric" in str(w.message) for w in seen) == (errors.asymmetry > 1e-3)
    assert fit.standard_errors(x).asymmetry < 1e-6


# Intervals


def test_wald_intervals_stay_within_the_range():
    x, _ = items(n=40)
    fit = estep.Mixture(estep.Bernoulli(), 1).fit(x)
    intervals, errors = fit.confint(x, level=0.9), fit.standard_errors(x)
    p, z = x.mean(axis=0), 1.6448536269514722
    half = z / np.sqrt(40 * p * (1 - p))  # of the log-odds
    for side, sign in ((0, -1), (1, 1)):
        odds = np.exp(np.log(p / (1 - p)) + sign * half)
        np.testing.assert_allclose(intervals["probs"][0, :, side], odds / (1 + odds), rtol=1e-6)
    assert np.isnan(intervals["weights"]).all()  # one component: fixed at one
    assert fit.confint(x, errors=errors, which="probs").keys() == {"probs"}
    with pytest.raises(ValueError, match="level must be between 0 and 1, got 95"):
        fit.confint(x, level=95)
    with pytest.raises(ValueError, match="method='exact' is unknown"):
        fit.confint(x, method="exact")


def test_profiles_are_those_of_the_likelihood():
    """A binomial share and a normal mean and variance, whose profiles have a formula each."""
    n, k, bar = 20, 3, chi2.ppf(0.95, 1) / 2
    x = np.r_[np.ones(k), np.zeros(n - k)][:, None]
    fit = estep.Mixture(estep.Bernoulli(), 1).fit(x)

    def fall(p):
        return k * np.log(k / n / p) + (n - k) * np.log((1 - k / n) / (1 - p)) - bar

    wanted = brentq(fall, 1e-6, k / n), brentq(fall, k / n, 1 - 1e-6)
    np.testing.assert_allclose(fit.confint(x, method="profile", which="probs")["probs"][0, 0], wanted, rtol=1e-5)
    values = np.random.default_rng(0).normal(3, 2, size=(25, 1))
    normal = estep.MultivariateNormal(tol=1e-14).fit(values)
    found = normal.confint(values, method="profile", which=["mean", "covariance"])
    s2 = values.var()
    reach = np.sqrt(s2 * (np.exp(2 * bar / 25) - 1))  # n/2 log(1 + (m - mu)^2 / s^2) = bar
    np.testing.assert_allclose(found["mean"][0], values.mean() + np.array([-reach, reach]), rtol=1e-5)

    def spread(v):
        return 25 / 2 * (np.log(v / s2) + s2 / v - 1) - bar

    np.testing.assert_allclose(
        found["covariance"][0, 0], [brentq(spread, 0.1 * s2, s2), brentq(spread, s2, 10 * s2)], rtol=1e-5
    )


def test_a_profile_that_never_falls_ends_at_the_end():
    """No event in the class's only item but one: the lower end is inside, that of a rate seen nowhere else is zero."""
    x = np.array([[0.0], [0.0], [0.0], [0.0], [0.0], [1.0]])
    fit = estep.Mixture(estep.Poisson(), 1).fit(x)
    low, high = fit.confint(x, method="profile", which="rates", level=0.999)["rates"][0, 0]
    bar = chi2.ppf(0.999, 1) / 2
    assert low == pytest.approx(brentq(lambda r: 6 * r - 1 - np.log(6 * r) - bar, 1e-9, 1 / 6), rel=1e-4)
    assert high == pytest.approx(brentq(lambda r: 6 * r - 1 - np.log(6 * r) - bar, 1 / 6, 10), rel=1e-4)


def test_profiles_of_a_mixture_and_what_they_refuse():
    rng = np.random.default_rng(0)
    x = np.vstack([rng.normal(size=(60, 2)), 3 + rng.normal(size=(60, 2))])
    fit = estep.GaussianMixture(2, covariance_type="diag", init=np.repeat([0, 1], 60), tol=1e-12, max_iter=5000).fit(x)
    found = fit.confint(x, method="profile", which={"means": [(0, 0)], "covariances": (1, 1), "weights": 0})
    wald = fit.confint(x)
    for name, index in (("means", (0, 0)), ("covariances", (1, 1)), ("weights", (0,))):
        estimate = getattr(fit, f"{name}_")[index]
        assert found[name][index][0] < estimate < found[name][index][1]
        np.testing.assert_allclose(found[name][index], wald[name][index], rtol=0.05, atol=0.02)
    assert np.isnan(found["means"]).sum() == 6
    for index, end in ((0, "low"), (1, "high")):  # negative control: at the end, and no nearer, the likelihood is 1.92 below
        held = np.full((2, 2), NAN)
        held[0, 0] = found["means"][0, 0, index]
        again = estep.GaussianMixture(
            2, covariance_type="diag", fixed={"means": held}, init=np.repeat([0, 1], 60), tol=1e-12, max_iter=5000
        )
        fall = fit.log_likelihood_ - again.fit(x).log_likelihood_
        assert fall == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=1e-4), end
    with pytest.raises(ValueError, match="which is None: a profile costs"):
        fit.confint(x, method="profile")
    full = estep.GaussianMixture(2, init=np.repeat([0, 1], 60), tol=1e-10, max_iter=5000).fit(x)
    with pytest.raises(ValueError, match=r"covariances\[0, 0, 1\] cannot be held alone"):
        full.confint(x, method="profile", which={"covariances": (0, 0, 1)})


def test_which_is_read_as_told_and_refused_by_name():
    shapes = {"weights": (2,), "means": (2, 3)}
    assert chosen(None, shapes).keys() == shapes.keys()
    assert chosen(["means"], shapes)["means"].all()
    assert chosen({"means": [(0, 1), (1, 2)]}, shapes)["means"].sum() == 2
    assert chosen({"means": np.eye(2, 3, dtype=bool)}, shapes)["means"].sum() == 2
    with pytest.raises(ValueError, match="which names 'rates'; there are"):
        chosen("rates", shapes)
    with pytest.raises(ValueError, match=r"\(0, 7\) is no index of an array of shape \(2, 3\)"):
        chosen({"means": (0, 7)}, shapes)
    with pytest.raises(ValueError, match=r"mask of shape \(2,\), expected \(2, 3\)"):
        chosen({"means": np.ones(2, dtype=bool)}, shapes)


# Tests of hypotheses


def restricted_pair(shift=0.0):
    rng = np.random.default_rng(5)
    start = np.repeat([0, 1], 400)
    x = np.where(start[:, None] == 0, rng.normal(size=(800, 1)), 3 + np.exp(shift) * rng.normal(size=(800, 1)))
    settings = dict(init=start, tol=1e-14, max_iter=10_000)
    large = estep.GaussianMixture(2, covariance_type="full", **settings).fit(x)
    small = estep.GaussianMixture(2, covariance_type="full", tied={"covariances": [0, 0]}, **settings).fit(x)
    return x, small, large


@pytest.mark.parametrize("shift", [0.0, 0.35])
def test_the_three_tests_agree_on_many_rows(shift):
    x, small, large = restricted_pair(shift)
    ratio = estep.lr_test(small, large)
    wald = estep.wald_test(large, x, lambda p: np.log(p["covariances"][0, 0] / p["covariances"][1, 0]))
    score = estep.score_test(small, x)
    empirical = estep.score_test(small, x, method="opg")
    assert ratio.dof == wald.dof == score.dof == 1
    assert (ratio.p_value < 0.01) == bool(shift)
    for other in (wald, score, empirical):  # they differ by the order of statistic^(3/2) / sqrt(n)
        assert other.statistic == pytest.approx(ratio.statistic, rel=0.2, abs=0.05)
    assert str(ratio).startswith("likelihood ratio test: chi2(1) =")


def test_a_poisson_rate_by_all_three_formulas():
    x, rate = np.array([[1.0], [3.0], [4.0], [0.0], [2.0]]), 1.0
    n, mean = 5, 2.0
    large, small = estep.Mixture(estep.Poisson(), 1).fit(x), estep.Mixture(estep.Poisson(), 1, fixed={"rates": [[rate]]}).fit(x)
    wald = estep.wald_test(large, x, lambda p: p["rates"][0] - rate)
    assert wald.statistic == pytest.approx(n * (mean - rate) ** 2 / mean, rel=1e-7)
    score = estep.score_test(small, x)
    assert score.statistic == pytest.approx(n * (mean - rate) ** 2 / rate, rel=1e-7)  # information in log rates: n rate
    ratio = estep.lr_test(small, large)
    assert ratio.statistic == pytest.approx(2 * n * (mean * np.log(mean / rate) - mean + rate), rel=1e-7)


def test_tests_that_mean_nothing_are_refused():
    x, small, large = restricted_pair()
    with pytest.raises(ValueError, match="no constraints"):
        estep.score_test(large, x)
    with pytest.raises(ValueError, match="does not constrain"):
        estep.score_test(small, x, release="means")
    with pytest.raises(ValueError, match="moves with no free parameter"):
        estep.wald_test(large, x, lambda p: p["weights"].sum() - 1.0)
    with pytest.raises(ValueError, match="small must be a special case"):
        estep.lr_test(large, small)
    one = estep.GaussianMixture(1).fit(x)
    with pytest.raises(ValueError, match="1 and 2 components.*bootstrap"):
        estep.lr_test(one, large)
    with pytest.raises(ValueError, match="fit both to the same rows"):
        estep.lr_test(small, estep.GaussianMixture(2, random_state=0).fit(x[::2]))
    prior = estep.GaussianMixture(2, prior="default", random_state=0).fit(x)
    with pytest.raises(ValueError, match="has a prior"):
        estep.lr_test(small, prior)
    worse = estep.GaussianMixture(2, init=dict(weights=[0.5, 0.5], means=[[1.5], [1.5]], covariances=[[[3.0]], [[3.0]]])).fit(x)
    with pytest.raises(ValueError, match="nats higher than large"):
        estep.lr_test(small, worse)


def test_constraints_of_a_model_are_left_as_they_were():
    x, start = items()
    fit = estep.Mixture(estep.Bernoulli(), 2, init=start, **TIGHT).fit(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        errors = fit.standard_errors(x)
    assert fit.result_.model.constraints == Constraints()
    assert errors.point.model.constraints.fixed.keys() == {"probs"}
