"""A family for each component: laws, agreement with plain mixtures, starts that suit the families, and what is refused."""

import functools

import numpy as np
import pytest
from scipy import stats

import estep
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.families.components import Components
from estep.families.gamma import Gamma
from estep.families.lognormal import LogNormal
from estep.families.noise import WithNoise
from estep.families.normal import Normal
from estep.families.poisson import Poisson
from estep.families.product import Product
from estep.families.student import Student
from estep.families.uniform import Uniform
from estep.testing import FAMILY_LAWS, altered, check_family, family_case

LABELS = np.repeat([0, 1, 2], 20)
UNLIKE = {"complete": 0.0, "missing": 0.2}


def rows(share=0.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 2)) @ [[1.0, 0.5], [0.0, 0.8]] + 2.0 * LABELS[:, None]
    x[rng.random(x.shape) < share] = np.nan
    return x


def unlike():
    return Components([Normal("VVV"), Normal("EII"), Product([(Normal("VVI"), [1, 0], "both")])])


@functools.cache
def case(share):
    return family_case(unlike(), rows(share), k=3, labels=LABELS)


@pytest.mark.parametrize("gaps", UNLIKE)
@pytest.mark.parametrize("law", FAMILY_LAWS, ids=lambda law: law.__name__)
def test_law(law, gaps):
    law(case(UNLIKE[gaps]))


def test_laws_with_fixed_and_tied_entries():
    begin = case(0.2).params
    means = begin.parts["0"].means.copy()
    means[0, 1] = -0.5
    equal = np.full_like(begin.parts["1"].means, begin.parts["1"].means[0, 0])
    family = case(0.2).family
    params = family.with_values(begin, {"0.means": means, "1.means": equal})
    constraints = Constraints({"0.means": np.array([[np.nan, -0.5]])}, {"1.means": np.array([[0, 0]])})
    check_family(unlike(), rows(0.2), k=3, labels=LABELS, params=params, constraints=constraints)


def test_laws_of_densities_and_of_counts():
    check_family(Components([Gamma(), LogNormal()]), np.abs(rows()[:, :1]) + 0.1, k=2)
    # far above zero, because the law of samples gives every draw to every family, and Gamma refuses what is not positive
    check_family(Components([Gamma(), Normal()]), rows()[:, :1] + 100.0, k=2)
    counts = np.random.default_rng(0).poisson(3.0, size=(50, 2)).astype(float)
    check_family(Components([Poisson(), Poisson()]), counts, k=2)


def test_one_family_is_that_family():
    check_family(Components([Normal("VVV")]), rows(0.2), k=1)


# --- planted bugs ---


def columns_swapped(part, params, encoded, resp):
    return part.stats(params, encoded, resp[:, ::-1])


def densities_swapped(part, params, encoded):
    return part.log_density(params, encoded)[:, [1, 0, 2]]


def score_reversed(part, *args):
    return part.score(*args)[::-1]


@pytest.mark.parametrize(
    ("method", "bug", "law"),
    [
        ("stats", columns_swapped, "q_is_weighted_log_density"),
        ("log_density", densities_swapped, "q_is_weighted_log_density"),
        ("score", score_reversed, "score_is_the_gradient_of_q"),
    ],
)
def test_planted_bug_is_caught(method, bug, law):
    with pytest.raises(AssertionError, match=law):
        check_family(altered(unlike(), **{method: bug}), rows(), k=3, labels=LABELS)


def test_an_unaltered_wrapper_passes():
    check_family(altered(unlike()), rows(), k=3, labels=LABELS)


# --- agreement ---


def clusters(seed=1):
    rng = np.random.default_rng(seed)
    return np.vstack([rng.normal(size=(70, 2)), rng.normal(size=(50, 2)) * 0.5 + 4.0])


EXACT = dict(random_state=0, tol=1e-12, n_init=3)


def test_equal_families_are_the_plain_mixture():
    x = clusters()
    x[::9, 1] = np.nan
    weight = 1.0 + np.arange(120) % 2
    y = np.where(np.arange(120) % 10 == 0, (np.arange(120) >= 70).astype(int), -1)
    one = estep.GaussianMixture(2, covariance_type="VVV", **EXACT).fit(x, y, weight)
    other = estep.Mixture(Components([Normal("VVV"), Normal("VVV")]), 2, **EXACT).fit(x, y, weight)
    assert other.log_likelihood_ == pytest.approx(one.log_likelihood_, rel=1e-12)
    assert other.result_.n_free == one.result_.n_free
    np.testing.assert_allclose(other.params_["1.means"], one.means_[1:], rtol=1e-6)
    np.testing.assert_array_equal(other.predict(x, y=y), one.predict(x, y=y))


def test_a_uniform_component_is_noise_along_the_columns():
    """A uniform component over the box, beside one normal: WithNoise with that density is the same model."""
    rng = np.random.default_rng(3)
    x = np.vstack([rng.normal(size=(80, 2)), rng.uniform(-8, 8, size=(40, 2))])
    other = estep.Mixture(Components([Normal("VVV"), Uniform()]), 2, **EXACT).fit(x)
    volume = float(np.prod(x.max(axis=0) - x.min(axis=0)))
    one = estep.Mixture(WithNoise(Normal("VVV"), 1.0 / volume), 2, **EXACT, init=other.predict_proba(x)).fit(x)
    np.testing.assert_allclose(other.params_["0.means"], one.params_["means"], rtol=1e-5)
    assert other.log_likelihood_ == pytest.approx(one.log_likelihood_, rel=1e-9)


def test_the_log_density_is_scipys():
    x = np.abs(rows()[:, :1]) + 0.1
    family = Components([Gamma(), Normal()]).bind(Memory(x))
    params = family.start(2)
    found = family.log_density(params, family.encode(x))
    shape, rate = float(params.parts["0"].shapes[0, 0]), float(params.parts["0"].rates[0, 0])
    mean, variance = float(params.parts["1"].means[0, 0]), float(params.parts["1"].covariances[0, 0, 0])
    np.testing.assert_allclose(found[:, 0], stats.gamma.logpdf(x[:, 0], shape, scale=1 / rate), rtol=1e-10)
    np.testing.assert_allclose(found[:, 1], stats.norm.logpdf(x[:, 0], mean, np.sqrt(variance)), rtol=1e-10)


def test_the_distribution_function_is_there_where_every_family_has_one():
    x = np.abs(rows()[:, :1]) + 0.1
    family = Components([Gamma(), LogNormal()]).bind(Memory(x))
    params = family.start(2)
    found = family.cdf(params, x)
    for j, single in enumerate((Gamma(), LogNormal())):
        single = single.bind(Memory(x))
        np.testing.assert_array_equal(found[:, [j]], single.cdf(params.parts[str(j)], x))
    family = Components([Gamma(), Uniform(0.0, 9.0)])
    assert hasattr(family, "cdf") == hasattr(Uniform, "cdf")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["gamma first", "normal first"])
def test_the_order_of_the_families_does_not_matter(order):
    """Starts give every class to the family that suits it, whichever comes first, and the components keep their places."""
    rng = np.random.default_rng(0)
    low = rng.random(500) < 0.4
    x = np.abs(np.where(low, rng.gamma(2.0, 0.5, 500), rng.normal(6.0, 1.0, 500)))[:, None]
    families = [Gamma(), Normal()]
    fit = estep.Mixture(Components([families[i] for i in order]), 2, random_state=0, n_init=4).fit(x)
    gamma, normal = (str(order.index(i)) for i in (0, 1))
    # 500 rows: the means of the components are known to 0.04 and 0.06; five standard errors
    assert fit.params_[f"{normal}.means"][0, 0] == pytest.approx(6.0, abs=0.3)
    mean = fit.params_[f"{gamma}.shapes"][0, 0] / fit.params_[f"{gamma}.rates"][0, 0]
    assert mean == pytest.approx(1.0, abs=0.25)
    assert fit.weights_[int(gamma)] == pytest.approx(0.4, abs=0.11)


def test_everything_together():
    rng = np.random.default_rng(5)
    x = np.vstack([rng.normal(size=(80, 2)), 5.0 + rng.standard_t(4, size=(60, 2))])
    x[rng.random(x.shape) < 0.1] = np.nan
    y = np.where(np.arange(140) % 6 == 0, (np.arange(140) >= 80).astype(int), -1)
    family = Components([Normal("VVI"), Student()])
    fixed = {"1.dofs": [4.0], "0.means": [[0.0, np.nan]]}
    fit = estep.Mixture(family, 2, random_state=0, n_init=2, fixed=fixed, prior="default")
    fit.fit(x, y, sample_weight=1.0 + np.arange(140) % 3)
    assert fit.params_["1.dofs"][0] == 4.0
    assert fit.params_["0.means"][0, 0] == 0.0
    assert np.all(np.diff(fit.trace_) >= -1e-9 * abs(fit.objective_))
    drawn, labels = fit.sample(400)
    # the mean of t draws with 4 degrees of freedom: variance 2, five standard errors
    size = (labels == 1).sum()
    limit = 5.0 * np.sqrt(2.0 * fit.params_["1.scales"].max() / size)
    assert abs(drawn[labels == 1].mean() - fit.params_["1.means"].mean()) < limit


def test_saved_and_loaded(tmp_path):
    x = clusters()
    fit = estep.Mixture(Components([Normal("VVV"), Normal("EII")]), 2, random_state=0, n_init=2).fit(x)
    fit.save(tmp_path / "fit.safetensors")
    again = estep.load(tmp_path / "fit.safetensors")
    np.testing.assert_array_equal(again.predict_proba(x), fit.predict_proba(x))
    assert again.params_.keys() == fit.params_.keys()


# --- what is refused ---


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Components([]), ValueError, "takes a list of families"),
        (lambda: Components("normal"), ValueError, "takes a list of families.*'normal'"),
        (lambda: Components(Normal()), ValueError, "takes a list of families.*Normal"),
        (lambda: Components([Normal]), TypeError, r"give an instance, such as Normal\(\)"),
        (lambda: Components([Normal(), "poisson"]), TypeError, "component 1 is 'poisson', which is no family"),
    ],
)
def test_refused_when_made(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(n_components=3), "n_components=3, but Components lists 2 families; set n_components=2"),
        (dict(fixed={"means": [[0.0, 0.0]]}), "fixed names"),
        (dict(fixed={"2.means": [[0.0, 0.0]]}), "fixed names"),
        (dict(fixed={"0.means": [[0.0, 0.0], [1.0, 1.0]]}), "0.means"),
        (dict(prior={"mean_strength": 1.0}), "prior names 'mean_strength'"),
    ],
)
def test_refused_by_the_fit(settings, words):
    settings = {"n_components": 2, "n_init": 2, **settings}
    with pytest.raises(ValueError, match=words):
        estep.Mixture(Components([Normal(), Normal("EII")]), **settings).fit(clusters())


def test_components_are_not_renamed():
    family, params = case(0.0).family, case(0.0).params
    assert family.permute(params, np.arange(3)) is params
    with pytest.raises(ValueError, match="cannot be renamed"):
        family.permute(params, np.array([1, 0, 2]))


def test_a_refusal_names_the_component():
    with pytest.raises(ValueError, match=r"component 1, Gamma"):
        Components([Normal(), Gamma()]).bind(Memory(clusters()))


def test_components_agree_on_what_is_a_category():
    from estep.families.categorical import Categorical

    with pytest.raises(ValueError, match="must read the same columns in the same way"):
        Components([Normal(), Categorical()]).categorical(["x", "y"])
