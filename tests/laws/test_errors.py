"""Standard errors of every family and structure: all methods against differences of the likelihood alone, and closed forms."""

import dataclasses
import warnings

import numpy as np
import pytest
import statsmodels.api as sm

import estep
from estep.data import Memory
from estep.families.covariance import CODES
from estep.inference import information
from estep.inference.errors import standard_errors

RNG = np.random.default_rng(7)
N = 240
CLASS = np.repeat([0, 1], N // 2)
ONE = CLASS[:, None] == 0
NAN = np.nan


def drawn(first, second):
    return np.where(ONE, first, second).astype(float)


def blobs(gaps=0.0, d=2):
    rng = np.random.default_rng(0)
    x = np.where(
        CLASS[:, None] == 0, rng.normal(size=(N, d)) @ (np.eye(d) + 0.5 * np.eye(d, k=1)), 2.5 + rng.normal(size=(N, d)) * 0.7
    )
    x[rng.random(x.shape) < gaps] = NAN
    return x


def turned(rng):
    u = 0.4 * rng.normal(size=(N, 3)) + np.where(ONE, [1.0, 0.0, 0.0], [0.0, 1.0, 0.5])
    return u / np.linalg.norm(u, axis=1, keepdims=True)


FAMILIES = {
    "normal with gaps": (estep.Normal(), blobs(0.15)),
    "poisson": (estep.Poisson(), drawn(RNG.poisson([2, 5], (N, 2)), RNG.poisson([6, 2], (N, 2)))),
    "bernoulli": (estep.Bernoulli(), (RNG.random((N, 5)) < np.where(ONE, 0.8, 0.25)).astype(float)),
    "binomial": (estep.Binomial(10), drawn(RNG.binomial(10, 0.25, (N, 2)), RNG.binomial(10, 0.6, (N, 2)))),
    "categorical": (
        estep.Categorical(),
        drawn(RNG.choice(3, (N, 4), p=[0.6, 0.3, 0.1]), RNG.choice(3, (N, 4), p=[0.1, 0.3, 0.6])),
    ),
    "multinomial": (
        estep.Multinomial(),
        drawn(RNG.multinomial(12, [0.5, 0.3, 0.2], N), RNG.multinomial(12, [0.2, 0.3, 0.5], N)),
    ),
    "geometric": (estep.Geometric(), drawn(RNG.geometric(0.2, (N, 3)), RNG.geometric(0.7, (N, 3))) - 1),
    "negative binomial": (
        estep.NegativeBinomial(),
        drawn(RNG.negative_binomial(3, 0.25, (N, 2)), RNG.negative_binomial(4, 0.8, (N, 2))),
    ),
    "zero inflated": (
        estep.ZeroInflated(estep.Poisson()),
        drawn(RNG.poisson(9, (N, 2)), RNG.poisson(3, (N, 2))) * (RNG.random((N, 2)) > 0.2),
    ),
    "exponential": (estep.Exponential(), drawn(RNG.gamma(1, 1, (N, 2)), RNG.gamma(1, 8, (N, 2)))),
    "gamma": (estep.Gamma(), drawn(RNG.gamma(3, 1, (N, 2)), RNG.gamma(6, 3, (N, 2)))),
    "log normal": (estep.LogNormal(), np.exp(drawn(RNG.normal(0, 0.5, (N, 2)), RNG.normal(1.5, 0.7, (N, 2))))),
    "inverse gaussian": (estep.InverseGaussian(), drawn(RNG.wald(1, 3, (N, 2)), RNG.wald(4, 12, (N, 2)))),
    "weibull": (estep.Weibull(), drawn(RNG.weibull(1.5, (N, 2)), 4 * RNG.weibull(3, (N, 2)))),
    "beta": (estep.Beta(), drawn(RNG.beta(2, 5, (N, 2)), RNG.beta(6, 2, (N, 2)))),
    "dirichlet": (estep.Dirichlet(), drawn(RNG.dirichlet([6, 3, 2], N), RNG.dirichlet([2, 3, 7], N))),
    "student": (estep.Student(dof=4.0), drawn(RNG.standard_t(4, (N, 2)), 5 + RNG.standard_t(4, (N, 2)))),
    "von mises": (estep.VonMises(), drawn(RNG.vonmises(0, 4, (N, 2)), RNG.vonmises(2, 3, (N, 2)))),
    "von mises fisher": (estep.VonMisesFisher(), turned(RNG)),
    "product": (
        estep.Product([(estep.Normal(), [0, 1], "size"), (estep.Poisson(), 2, "visits")]),
        np.hstack([blobs(0.1), drawn(RNG.poisson(2, (N, 1)), RNG.poisson(5, (N, 1)))]),
    ),
}
HIDES = {"normal with gaps", "zero inflated", "student", "product"}
ITERATES = {"weibull": 1e-3, "beta": 1e-3, "dirichlet": 1e-3, "negative binomial": 1e-4}
"""M-steps that stop within rounding of q, not of the parameters, so that differences of the map are rougher."""


def fitted(family, x, **settings):
    settings = {"init": CLASS, "tol": 1e-14, "max_iter": 20_000, "accelerate": "squarem", **settings}
    return estep.Mixture(family, 2, **settings).fit(x)


def flat(errors):
    return np.concatenate([np.ravel(value) for value in errors.values()])


def same(found, wanted, rel):
    """Whether standard errors agree, and are missing in the same places."""
    found, wanted = flat(found), flat(wanted)
    gone = np.isnan(wanted)
    return (np.isnan(found) == gone).all() and bool(np.all(np.abs(found[~gone] / wanted[~gone] - 1.0) < rel))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_method_agrees_with_differences_of_the_likelihood(name):
    """The tolerance is that of the judge (1e-8 or so) and of central differences (1e-10), times the condition."""
    family, x = FAMILIES[name]
    fit = fitted(family, x)
    judge = fit.standard_errors(x, method="hessian")
    assert np.isfinite(flat(judge)).any()
    oakes = fit.standard_errors(x)
    assert same(oakes, judge, 1e-6)
    assert oakes.asymmetry < 1e-7
    assert oakes.passes == 2 * len(oakes.coordinates) + 1
    assert oakes.shares.min() > -1e-7
    assert oakes.shares.max() < 1 + 1e-7
    assert same(fit.standard_errors(x, method="sem"), judge, ITERATES.get(name, 1e-5))
    if name in HIDES:
        with pytest.raises(TypeError, match=f"{type(family).__name__} hides more.*oakes"):
            fit.standard_errors(x, method="louis")
    else:
        assert same(fit.standard_errors(x, method="louis"), judge, 1e-5)
    assert not same(fit.standard_errors(x, method="opg"), judge, 1e-3)  # another estimate of the information, on 240 rows
    assert same(fit.standard_errors(x, method="opg"), judge, 2.0)


@pytest.mark.parametrize("gaps", [0.0, 0.15])
@pytest.mark.parametrize("code", CODES)
def test_fourteen_structures(code, gaps):
    x = blobs(gaps)
    fit = estep.GaussianMixture(2, covariance_type=code, init=CLASS, tol=1e-14, max_iter=20_000, accelerate="squarem").fit(x)
    judge, oakes = (fit.standard_errors(x, method=m) for m in ("hessian", "oakes"))
    assert oakes["covariances"].shape == (2, 2, 2)
    assert same(oakes, judge, 1e-6)
    if code.endswith("I"):
        assert (oakes.reasons["covariances"][:, 0, 1] == "fixed").all()


@pytest.mark.parametrize("estimator", ["experts", "by", "covariates", "factors", "noise", "prior", "student"])
def test_structures_and_estimators(estimator):
    rng = np.random.default_rng(3)
    z, a = rng.normal(size=(N, 2)), (rng.random((N, 5)) < np.where(ONE, 0.85, 0.2)).astype(int)
    group = (rng.random(N) < np.where(CLASS == 0, 0.7, 0.4)).astype(int)
    y = np.where(CLASS == 0, 1 + 2 * z[:, 0], -1 - z[:, 0]) + 0.5 * rng.normal(size=N)
    gate = np.column_stack([z[:, 0], z[:, 1] + 0.8 * CLASS])
    tight = dict(init=CLASS, tol=1e-15, max_iter=20_000)
    factors = rng.normal(size=(N, 1)) @ [[1.0, 0.8, 0.9, 0.5]] + 0.7 * rng.normal(size=(N, 4))
    noisy = np.vstack([blobs(), rng.uniform(-5, 7, (40, 2))])
    cases = {
        "experts": lambda: (estep.MixtureOfExperts("linear", 2, **tight).fit(gate, y), (gate, y), {}),
        "by": lambda: (estep.LatentClass(2, **tight).fit(a, by=group), (a,), {"by": group}),
        "covariates": lambda: (estep.LatentClass(2, **tight).fit(a, covariates=gate[:, 1:]), (a,), {"covariates": gate[:, 1:]}),
        "factors": lambda: (estep.FactorAnalysis(1, tol=1e-15, max_iter=50_000).fit(factors), (factors,), {}),
        "noise": lambda: (
            estep.GaussianMixture(2, noise=True, tol=1e-14, max_iter=20_000, random_state=0).fit(noisy),
            (noisy,),
            {},
        ),
        "prior": lambda: (estep.GaussianMixture(2, prior="default", **tight).fit(blobs()), (blobs(),), {}),
        "student": lambda: (estep.StudentMixture(2, **tight).fit(FAMILIES["student"][1]), (FAMILIES["student"][1],), {}),
    }
    fit, rows, keywords = cases[estimator]()
    judge, oakes = (fit.standard_errors(*rows, method=m, **keywords) for m in ("hessian", "oakes"))
    assert same(oakes, judge, 1e-6)
    for name, value in oakes.items():
        assert value.shape == np.shape(getattr(fit, f"{name}_"))
    interval = fit.confint(*rows, **keywords)
    assert all(interval[name].shape == (*value.shape, 2) for name, value in oakes.items())


@pytest.mark.parametrize(("offset", "scale"), [(1e8, 1.0), (0.0, 1e-4), (0.0, 1e6), (1e5, 1e-3)])
def test_units_do_not_matter(offset, scale):
    """Steps follow the spread that a row leaves: a mean of 1e8, a variance of 1e-8. Data keep 8 digits beside the offset."""
    x = blobs()
    plain = estep.GaussianMixture(2, init=CLASS, tol=1e-14, max_iter=20_000).fit(x)
    moved = estep.GaussianMixture(2, init=CLASS, tol=1e-14, max_iter=20_000).fit(offset + scale * x)
    one, other = plain.standard_errors(x), moved.standard_errors(offset + scale * x)
    for name, power in {"weights": 0, "means": 1, "covariances": 2}.items():
        np.testing.assert_allclose(other[name], one[name] * scale**power, rtol=1e-6)


def test_complete_normal_rows_have_the_textbook_errors():
    """Var(mean) = S / n, Var(S_ij) = (S_ii S_jj + S_ij^2) / n, and no covariance between the two."""
    x = np.random.default_rng(0).multivariate_normal([1, 2, 3], [[2, 0.5, 0], [0.5, 1, 0.3], [0, 0.3, 0.5]], 150)
    fit = estep.MultivariateNormal().fit(x)
    S, n = fit.covariance_, len(x)
    wanted = np.sqrt((np.outer(np.diag(S), np.diag(S)) + S**2) / n)
    for method in ("oakes", "louis", "sem", "hessian"):
        errors = fit.standard_errors(x, method=method)
        np.testing.assert_allclose(errors["mean"], np.sqrt(np.diag(S) / n), rtol=1e-9)
        np.testing.assert_allclose(errors["covariance"], wanted, rtol=1e-8)
    table = errors.vcov()
    np.testing.assert_allclose(table.loc["mean[0]", "mean[1]"], S[0, 1] / n, rtol=1e-8)
    np.testing.assert_allclose(
        table.loc["covariance[0, 1]", "covariance[1, 2]"], (S[0, 1] * S[1, 2] + S[0, 2] * S[1, 1]) / n, rtol=1e-7
    )
    assert abs(table.loc["mean[0]", "covariance[0, 0]"]) < 1e-10
    assert errors.to_frame().shape == (12, 5)


# Weights, labels, clusters


@pytest.mark.parametrize("method", ["oakes", "louis", "sem", "opg", "sandwich", "hessian"])
def test_weight_two_is_seen_twice(method):
    x, weight = blobs(), np.where(np.arange(N) % 3 == 0, 2.0, 1.0)
    weight[5] = 0.0
    twice = np.repeat(x, weight.astype(int), axis=0)
    fit = estep.GaussianMixture(2, init=CLASS, tol=1e-14, max_iter=20_000).fit(x, sample_weight=weight)
    one = fit.standard_errors(x, weight, method)
    assert same(one, fit.standard_errors(twice, method=method), 1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not same(one, fit.standard_errors(x, method=method), 1e-3)  # negative control: weights forgotten


def test_labels_are_data():
    x = blobs()
    y = np.where(np.arange(N) % 2 == 0, CLASS, -1)
    fit = estep.GaussianMixture(2, tol=1e-14, max_iter=20_000, random_state=0).fit(x, y)
    oakes, louis, judge = (fit.standard_errors(x, y=y, method=m) for m in ("oakes", "louis", "hessian"))
    assert same(oakes, judge, 1e-6)
    assert same(louis, judge, 1e-6)
    assert oakes["weights"][0] < 0.98 * fit_errors_without_labels(x)["weights"][0]


def fit_errors_without_labels(x):
    fit = estep.GaussianMixture(2, init=CLASS, tol=1e-14, max_iter=20_000).fit(x)
    return fit.standard_errors(x)


def test_robust_errors_are_those_of_statsmodels():
    """One component: HC0, and clusters without a small-sample factor."""
    rng = np.random.default_rng(2)
    x, cluster = rng.normal(size=(90, 2)), np.arange(90) // 3
    y = 1 + x @ [1.0, -0.5] + rng.normal(size=90) * np.exp(0.5 * x[:, 0]) + rng.normal(size=30)[cluster]
    fit = estep.MixtureOfRegressions("linear", 1).fit(x, y)
    other = sm.OLS(y, sm.add_constant(x))
    for keywords, kind, settings in (
        ({}, "HC0", {}),
        ({"clusters": cluster}, "cluster", {"groups": cluster, "use_correction": False}),
    ):
        errors = fit.standard_errors(x, y, method="sandwich", **keywords)
        found = [errors["intercepts"][0], *errors["coefs"][0]]
        robust = other.fit(cov_type=kind, cov_kwds=settings)
        np.testing.assert_allclose(found, robust.bse, rtol=1e-7)
    R = np.array([[0.0, 1.0, 2.0]])
    test = estep.wald_test(fit, x, lambda p: p["coefs"][0, 0] + 2 * p["coefs"][0, 1], y, method="sandwich", clusters=cluster)
    wald = robust.wald_test(R, use_f=False, scalar=True)
    assert test.statistic == pytest.approx(float(wald.statistic), rel=1e-6)
    assert test.dof == 1
    assert test.p_value == pytest.approx(float(wald.pvalue), rel=1e-5)


def test_a_cluster_for_each_row_squares_the_weights():
    """Survey weights: the middle of the sandwich has w^2, that of frequencies w."""
    x, weight = blobs(), np.random.default_rng(0).uniform(0.5, 2.0, N)
    fit = estep.GaussianMixture(2, init=CLASS, tol=1e-14, max_iter=20_000).fit(x, sample_weight=weight)
    survey = fit.standard_errors(x, weight, "sandwich", clusters=np.arange(N))
    counts = fit.standard_errors(x, weight, "sandwich")
    scores = information.cluster_scores(survey.point, np.arange(N), "sandwich")
    middle = scores.T @ scores
    np.testing.assert_allclose(survey.covariance, survey.ways.inverse @ middle @ survey.ways.inverse, rtol=1e-9, atol=1e-15)
    assert not same(survey, counts, 1e-2)
    kept = weight.copy()
    kept[3] = 0.0
    again = estep.GaussianMixture(2, init=CLASS, tol=1e-14, max_iter=20_000).fit(x, sample_weight=kept)
    assert np.isfinite(flat(again.standard_errors(x, kept, "sandwich", clusters=np.arange(N)))).all()


# Planted bugs


def test_planted_bugs_are_caught(monkeypatch):
    """The missing part with the wrong sign, and rows' scores without their weights: neither agrees with the judge."""
    x, weight = blobs(), np.where(np.arange(N) % 3 == 0, 2.0, 1.0)
    fit = estep.GaussianMixture(2, init=CLASS, tol=1e-14, max_iter=20_000).fit(x, sample_weight=weight)
    judge, right = fit.standard_errors(x, weight, "hessian"), fit.standard_errors(x, weight, "opg")
    assert same(fit.standard_errors(x, weight, "louis"), judge, 1e-6)

    def wrong_sign(point, clusters):
        found = information.louis(point, clusters)
        return dataclasses.replace(found, observed=2 * point.complete - found.observed)

    def without_weights(point, chunk):
        scores = information.unit_scores(point, chunk)
        return scores.T @ scores

    monkeypatch.setitem(information.METHODS, "louis", wrong_sign)
    monkeypatch.setattr(information, "_squares", without_weights)
    assert not same(fit.standard_errors(x, weight, "louis"), judge, 1e-2)
    assert not same(fit.standard_errors(x, weight, "opg"), right, 1e-2)


def test_a_family_without_scores_gets_differences_and_says_so():
    class Plain:
        """Poisson without its scores."""

        def __init__(self, inner):
            self.inner = inner

        names = estep.Poisson.names

        def bind(self, data):
            return Plain(self.inner.bind(data))

        def __getattr__(self, name):
            if name in ("score", "unit_scores", "inner"):
                raise AttributeError(name)
            return getattr(self.inner, name)

    family, x = FAMILIES["poisson"]
    fit = fitted(family, x)
    model, data = fit.result_.model, Memory(x)
    bare = dataclasses.replace(model, family=Plain(model.family))
    exact, rough = (standard_errors(m, data, fit.result_.params) for m in (model, bare))
    assert same(rough, exact, 1e-5)
    assert any("differences of q" in note for note in rough.notes)
    assert not exact.notes
    for method in ("louis", "opg", "sandwich"):
        with pytest.raises(TypeError, match="Plain has none; use method='oakes'"):
            standard_errors(bare, data, fit.result_.params, method)


def test_what_cannot_be_is_refused_by_name():
    x = blobs()
    fit = estep.GaussianMixture(2, init=CLASS).fit(x)
    with pytest.raises(ValueError, match="method='fisher' is unknown; choose one of"):
        fit.standard_errors(x, method="fisher")
    with pytest.raises(ValueError, match="clusters are for method='sandwich' or 'opg', not 'oakes'"):
        fit.standard_errors(x, clusters=np.arange(N))
    with pytest.raises(ValueError, match=r"clusters has shape \(3,\), expected \(240,\)"):
        fit.standard_errors(x, method="sandwich", clusters=[1, 2, 3])
    with pytest.raises(ValueError, match="one cluster only"):
        fit.standard_errors(x, method="sandwich", clusters=np.zeros(N))
    with pytest.raises(TypeError, match="takes no 'n_boot'"):
        fit.standard_errors(x, n_boot=9)
    laplace = estep.Mixture(estep.Laplace(), 2, init=CLASS).fit(x)
    with pytest.raises(TypeError, match="Laplace has corners.*bootstrap"):
        laplace.standard_errors(x)
    wide = np.random.default_rng(0).normal(size=(60, 12))
    many = estep.MultivariateNormal().fit(wide)
    with pytest.raises(ValueError, match="method='hessian' needs 24570 passes for 90 parameters"):
        many.standard_errors(wide, method="hessian")


def test_errors_are_a_mapping():
    x = blobs()
    errors = estep.GaussianMixture(2, init=CLASS, tol=1e-12).fit(x).standard_errors(x)
    assert list(errors) == list(errors.keys()) == ["weights", "means", "covariances"]
    assert len(errors) == 3
    assert dict(errors)["means"] is errors["means"] is errors.get("means")
    assert errors.get("rates") is None
    assert "means" in errors
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, covariance = errors.of(lambda p: p["means"][0] - p["means"][1])
    table = errors.vcov()
    wanted = (
        table.loc["means[0, 0]", "means[0, 0]"]
        + table.loc["means[1, 0]", "means[1, 0]"]
        - 2 * table.loc["means[0, 0]", "means[1, 0]"]
    )
    assert covariance[0, 0] == pytest.approx(wanted, rel=1e-7)
    assert value.shape == (2,)
