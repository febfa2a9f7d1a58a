"""Exponential, Gamma, LogNormal, InverseGaussian and Beta columns: the laws of a family, scipy as the oracle, and collapse."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

import estep
from estep.core.collapse import Collapsed
from estep.core.result import Status
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.families import Beta, Exponential, Gamma, InverseGaussian, LogNormal
from estep.families.dispersion import log_distance
from estep.families.gamma_shape import gap, log_beta, remainder, shape_at, slope
from estep.models.latent import Latent, LatentParams
from estep.structures.iid import Iid, IidParams
from estep.testing import altered, check_family

NAN = np.nan

# name -> (family, scipy's frozen law from one component's parameters in the family's order)
LAWS = {
    "Exponential": (Exponential(), lambda b: stats.expon(scale=1 / b)),
    "Gamma": (Gamma(), lambda a, b: stats.gamma(a, scale=1 / b)),
    "LogNormal": (LogNormal(), lambda m, v: stats.lognorm(np.sqrt(v), scale=np.exp(m))),
    "InverseGaussian": (InverseGaussian(), lambda m, s: stats.invgauss(m / s, scale=s)),
    "Beta": (Beta(), lambda a, b: stats.beta(a, b)),
}
TRUTH = {
    "Exponential": [[[1.0, 5.0], [0.05, 0.2]]],
    "Gamma": [[[2.0, 3.0], [30.0, 20.0]], [[1.0, 2.0], [2.0, 1.0]]],
    "LogNormal": [[[0.0, 1.0], [3.0, -2.0]], [[0.5, 1.0], [0.1, 0.2]]],
    "InverseGaussian": [[[1.0, 2.0], [9.0, 12.0]], [[3.0, 4.0], [80.0, 90.0]]],
    "Beta": [[[2.0, 3.0], [20.0, 15.0]], [[8.0, 9.0], [4.0, 5.0]]],
}
NAMES = list(LAWS)


def sampled(name, n=60, share=0.0, seed=0):
    """Rows of two components in turn, two columns, a share of the entries missing; the family bound to them; its truth."""
    rng, (family, _) = np.random.default_rng(seed), LAWS[name]
    truth = params_of(name, TRUTH[name])
    labels = np.arange(n) % 2
    x = family.sample(truth, labels, rng)
    x[rng.random(x.shape) < share] = np.nan
    return x, family.bind(Memory(x)), truth, labels


def params_of(name, values):
    family, _ = LAWS[name]
    known = Memory(np.array([[0.2, 0.3], [0.6, 0.5]]))
    start = family.bind(known).start(2)
    return type(start)(*(np.array(v) for v in values))


def frozen(name, params, component, column):
    values = [getattr(params, n)[component, column] for n in LAWS[name][0].names]
    return LAWS[name][1](*values)


@pytest.mark.parametrize("share", [0.0, 0.2], ids=["complete", "missing"])
@pytest.mark.parametrize("name", NAMES)
def test_the_laws_of_a_family(name, share):
    x, family, _, labels = sampled(name, share=share)
    check_family(family, x, k=2, labels=labels)
    check_family(family, x, k=1)


@pytest.mark.parametrize("share", [0.0, 0.2], ids=["complete", "missing"])
@pytest.mark.parametrize("name", NAMES)
def test_fixed_and_tied_entries(name, share):
    """An entry of the first parameter fixed, and every parameter of the first column tied in turn."""
    x, family, truth, labels = sampled(name, share=share)
    first, last = family.names[0], family.names[-1]
    ties = {last: np.array([[0, 1], [0, 2]])}
    values = {n: np.array(getattr(truth, n)) for n in family.names}
    values[first][0, 1] = 1.5
    values[last][:, 0] = values[last][0, 0]
    fixed = {first: np.array([[NAN, 1.5], [NAN, NAN]])}
    check_family(family, x, k=2, labels=labels, params=type(truth)(**values), constraints=Constraints(fixed, ties))
    values[first][:, 0] = values[first][0, 0]
    ties[first] = np.array([[0, 1], [0, 2]])
    check_family(family, x, k=2, labels=labels, params=type(truth)(**values), constraints=Constraints(fixed, ties))


@pytest.mark.parametrize("name", NAMES)
def test_log_density_and_distribution_function_are_scipys(name):
    x, family, truth, _ = sampled(name, share=0.2)
    found = family.log_density(truth, family.encode(x))
    for k in range(2):
        each = np.column_stack([frozen(name, truth, k, j).logpdf(x[:, j]) for j in range(2)])
        np.testing.assert_allclose(found[:, k], np.where(np.isnan(x), 0.0, each).sum(axis=1), rtol=1e-10, atol=1e-10)
        one = type(truth)(*(getattr(truth, n)[:, :1] for n in family.names))
        cdf = family.cdf(one, x[:, :1])
        assert cdf.shape == (len(x), 2)
        np.testing.assert_allclose(cdf[:, k], frozen(name, truth, k, 0).cdf(x[:, 0]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_one_component_is_scipys_maximum_likelihood(name):
    """scipy's optimiser stops near the maximum: ours is as high, and closed forms agree to rounding."""
    x, family, _, _ = sampled(name, n=200)
    params = family.start(1)
    ours = family.log_density(params, family.encode(x)).sum()
    theirs = 0.0
    for j in range(2):
        law = {"Exponential": stats.expon, "Gamma": stats.gamma, "LogNormal": stats.lognorm}.get(name)
        law = law or {"InverseGaussian": stats.invgauss, "Beta": stats.beta}[name]
        held = {"floc": 0.0, **({"fscale": 1.0} if name == "Beta" else {})}
        theirs += law.logpdf(x[:, j], *law.fit(x[:, j], **held)).sum()
    assert ours >= theirs - 1e-9 * abs(theirs)
    assert ours == pytest.approx(theirs, abs=1e-3)
    closed = {
        "Exponential": lambda: {"rates": 1 / x.mean(axis=0)},
        "LogNormal": lambda: {"means": np.log(x).mean(axis=0), "variances": np.log(x).var(axis=0)},
        "InverseGaussian": lambda: {"means": x.mean(axis=0), "shapes": 1 / ((1 / x).mean(axis=0) - 1 / x.mean(axis=0))},
        "Gamma": lambda: {"rates": params.shapes[0] / x.mean(axis=0)},
        "Beta": dict,
    }[name]()
    for n, value in closed.items():
        np.testing.assert_allclose(getattr(params, n)[0], value, rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_recovered(name):
    """Within six standard errors, from unit scores at the truth (a false alarm in 10^8 draws of one parameter)."""
    x, family, truth, labels = sampled(name, n=4000, seed=3)
    resp = np.eye(2)[labels]
    support = family.support(truth, Constraints())
    fitted = family.fit(family.stats(truth, family.encode(x), resp), truth, support)
    scores = family.unit_scores(truth, family.encode(x), resp, support)
    errors = np.sqrt(np.diag(np.linalg.inv(scores.T @ scores)))
    away = (support.pack(fitted) - support.pack(truth)) / errors
    assert np.abs(away).max() < 6.0
    assert np.abs(away).max() > 0.1  # and it is an estimate, not the truth handed through


@pytest.mark.parametrize("name", NAMES)
def test_the_mixture_with_gaps_weights_labels_and_fixed_entries(name):
    x, family, truth, labels = sampled(name, n=300, share=0.1, seed=5)
    rng = np.random.default_rng(7)
    weight, known = rng.integers(0, 3, 300), np.where(rng.random(300) < 0.1, labels, -1)
    first = family.names[0]
    held = np.full((2, 2), NAN)
    held[1, 0] = getattr(truth, first)[1, 0]
    mixture = estep.Mixture(LAWS[name][0], 2, fixed={first: held}, n_init=2, random_state=0, tol=1e-10)
    twice = np.repeat(np.arange(300), weight)
    one = mixture.fit(x, known, sample_weight=weight)
    assert one.converged_
    assert one.params_[first][1, 0] == held[1, 0]
    assert (one.predict(x) == labels).mean() > 0.8
    assert (one.predict(x, y=known)[known >= 0] == labels[known >= 0]).all()
    value, params = one.log_likelihood_, one.params_
    other = estep.Mixture(LAWS[name][0], 2, fixed={first: held}, init=params, tol=1e-10).fit(x[twice], known[twice])
    assert other.log_likelihood_ == pytest.approx(value, abs=1e-6)  # tol leaves 300 * 1e-10 nats, twice


@pytest.mark.parametrize("name", NAMES)
def test_prior_is_imagined_rows(name):
    """With ``strength`` rows like the data the MAP estimate of one component is the estimate itself."""
    x, family, _, _ = sampled(name)
    alone = family.start(1)
    stats_ = family.stats(alone, family.encode(x), np.ones((len(x), 1)))
    both = family.fit(stats_ + family.prior(1, {"strength": 5.0}), alone, family.support(alone, Constraints()))
    for n in family.names:
        np.testing.assert_allclose(getattr(both, n), getattr(alone, n), rtol=1e-9)
    with pytest.raises(ValueError, match="no setting 'dof'"):
        family.prior(1, {"dof": 3.0})


@pytest.mark.parametrize("name", [n for n in NAMES if n != "Exponential"])
def test_equal_rows_are_named_as_a_collapse(name):
    rng = np.random.default_rng(0)
    x = np.concatenate([np.full(20, 0.25), rng.uniform(0.5, 0.9, 40)])[:, None]
    labels = np.repeat([0, 1], [20, 40])
    run = estep.Mixture(LAWS[name][0], 2, init=labels, prior=None)
    with pytest.warns(estep.ConvergenceWarning, match="component 0 collapsed: its .*remedies: fewer components"):
        run.fit(x)
    assert run.status_ is Status.DEGENERATE
    assert all(np.isfinite(v).all() for v in run.params_.values())
    rescued = estep.Mixture(LAWS[name][0], 2, init=labels)
    with pytest.warns(UserWarning, match="every start collapsed under maximum likelihood"):
        rescued.fit(x)
    assert rescued.status_ is Status.DEFAULT_PRIOR
    assert all(np.isfinite(v).all() for v in rescued.params_.values())


@pytest.mark.parametrize("name", ["Gamma", "LogNormal", "InverseGaussian", "Beta"])
def test_nearly_equal_rows_shrink_until_they_are_called_dying(name):
    """Shapes without bound end as a named collapse on the way, never as NaN."""
    family = LAWS[name][0].bind(Memory(np.linspace(0.1, 0.9, 30)[:, None]))
    x = np.full((5, 1), 0.5) + 1e-13 * np.arange(5)[:, None]
    neutral = family.start(2)
    stats_ = family.stats(neutral, family.encode(np.vstack([x, [[0.2], [0.8]]])), np.eye(2)[[0] * 5 + [1] * 2])
    support = family.support(neutral, Constraints())
    try:
        fitted = family.fit(stats_, neutral, support)
    except Collapsed as gone:
        assert gone.component == 0
        return
    gone = family.dying(fitted, stats_, support)
    assert gone is not None
    assert gone.component == 0
    assert "column 0" in gone.reason


def test_exponential_zeros():
    x = np.concatenate([np.zeros(10), np.arange(1.0, 30.0)])[:, None]
    assert np.isfinite(estep.Mixture(Exponential(), 1).fit(x).log_likelihood_)
    run = estep.Mixture(Exponential(), 2, init=(x[:, 0] > 0).astype(int), prior=None)
    with pytest.warns(estep.ConvergenceWarning, match="component 0 collapsed: its (rows are all 0|mean fell to)"):
        run.fit(x)
    assert run.status_ is Status.DEGENERATE
    with pytest.raises(ValueError, match="column 1 is zero in every row"):
        estep.Mixture(Exponential(), 1).fit(np.column_stack([x, 0 * x]))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("Exponential", -1.0, "X: column 1 has 2 rows below zero .*, where Exponential has no density; drop them, shift"),
        (
            "Gamma",
            0.0,
            r"X: column 1 has 2 rows not above zero .*, where Gamma has no density; drop them, .*ZeroInflated\(Gamma",
        ),
        ("LogNormal", 0.0, "X: column 1 has 2 rows not above zero .*LogNormal has no density"),
        ("InverseGaussian", -3.0, "X: column 1 has 2 rows not above zero .*InverseGaussian has no density"),
        ("Beta", 1.0, r"X: column 1 has 2 rows outside \(0, 1\), where Beta has no density; rescale it, move 0 and 1 inwards"),
        ("Beta", 0.0, r"X: column 1 has 2 rows outside \(0, 1\)"),
    ],
)
def test_values_outside_the_law_are_refused(name, value, words):
    x, _, _, _ = sampled(name)
    x[[3, 5], 1] = value
    with pytest.raises(ValueError, match=words):
        LAWS[name][0].bind(Memory(x))
    # signs are read before the family sees the rows
    with pytest.raises(ValueError, match=words if value >= 0 else "column 1"):
        estep.Mixture(LAWS[name][0], 2).fit(x)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "Exponential"])
def test_constant_and_empty_columns_are_refused(name):
    x, _, _, _ = sampled(name)
    with pytest.raises(ValueError, match="column 1 is constant"):
        LAWS[name][0].bind(Memory(np.column_stack([x[:, 0], np.full(60, 0.3)])))
    with pytest.raises(ValueError, match="column 1 has no observed value"):
        LAWS[name][0].bind(Memory(np.column_stack([x[:, 0], np.full(60, NAN)])))


@pytest.mark.parametrize("name", ["Gamma", "LogNormal", "InverseGaussian"])
@pytest.mark.parametrize("width", [1e-3, 1e-6])
def test_narrow_components_keep_their_digits(name, width):
    """Rows at 1e6 (1 + width z): spread against the exact one of the logarithms (equal to first order in width)."""
    z = np.random.default_rng(2).standard_normal(500)
    z -= z.mean()
    x = (1e6 * (1.0 + width * z))[:, None]
    family = LAWS[name][0].bind(Memory(x))
    m, precision = family.place(family.start(1))
    # x itself holds z to eps / width; phi is not quadratic beyond relative order width
    assert float(family.law.width(m, precision)[0, 0]) == pytest.approx(width**2 * z.var(), rel=10 * width + 1e-15 / width)


def test_wide_columns_keep_their_digits():
    """Two gamma components eighteen decades apart in one column: each is fitted as it would be alone."""
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.gamma(3.0, 1e-9, 200), rng.gamma(5.0, 1e9, 200)])[:, None]
    labels = np.repeat([0, 1], 200)
    family = Gamma().bind(Memory(x))
    neutral = family.start(2)
    both = family.fit(
        family.stats(neutral, family.encode(x), np.eye(2)[labels]), neutral, family.support(neutral, Constraints())
    )
    for k in range(2):
        alone = Gamma().bind(Memory(x[labels == k])).start(1)
        assert both.shapes[k, 0] == pytest.approx(alone.shapes[0, 0], rel=1e-9)
        assert both.rates[k, 0] == pytest.approx(alone.rates[0, 0], rel=1e-9)


@given(st.floats(1e-6, 1e9))
@settings(max_examples=60, deadline=None)
def test_the_gamma_functions_obey_their_recursions(a):
    """psi(a + 1) = psi(a) + 1/a and Gamma(a + 1) = a Gamma(a), whichever formula is used on either side."""
    one, next_ = np.array([a]), np.array([a + 1.0])
    step = np.log1p(1.0 / a)
    assert gap(one)[0] == pytest.approx(gap(next_)[0] + 1.0 / a - step, rel=1e-11, abs=1e-15)
    assert slope(one)[0] == pytest.approx(slope(next_)[0] + 1 / a - 1 / (a + 1) - 1 / a**2, rel=1e-9, abs=1e-15)
    expected = remainder(next_)[0] + (a + 0.5) * step - 1.0
    assert remainder(one)[0] == pytest.approx(expected, rel=1e-9, abs=1e-6 / a if a > 1e6 else 1e-12)
    assert shape_at(gap(one))[0] == pytest.approx(a, rel=1e-10)


def test_log_beta_is_scipys():
    rng = np.random.default_rng(0)
    a = np.exp(rng.uniform(-5.0, 8.0, (50, 2)))
    np.testing.assert_allclose(log_beta(a), special.betaln(a[:, 0], a[:, 1]), rtol=1e-10, atol=1e-10)


def test_log_distance_joins_its_series():
    t = 1.0 + np.concatenate([[-0.5, -0.031, -0.029, 0.029, 0.031, 2.0], np.geomspace(1e-3, 0.1, 20)])
    e = t - 1.0
    np.testing.assert_allclose(log_distance(t), e - np.log1p(e), rtol=1e-10)
    assert log_distance(np.array([1.0 + 1e-8]))[0] == pytest.approx(0.5e-16, rel=1e-7)  # where e - log1p(e) is 0 or 2e-16


def loglik(name, weights, params, x):
    parts = [np.log(w) + frozen(name, params, k, 0).logpdf(x[:, 0]) for k, w in enumerate(weights)]
    return float(np.logaddexp(*parts).sum())


@pytest.mark.parametrize("name", NAMES)
def test_the_mixture_ends_where_an_independent_optimiser_ends(name):
    """scipy's BFGS on the mixture likelihood written with scipy's densities, from where EM begins."""
    x, _, truth, _ = sampled(name, n=240, seed=9)
    x = x[:, :1]
    family = LAWS[name][0].bind(Memory(x))
    begin = type(truth)(*(getattr(truth, n)[:, :1] for n in family.names))
    ended = estep.fit(
        Latent(Iid(), family, 2), Memory(x), LatentParams(IidParams(np.array([0.5, 0.5])), begin), tol=1e-13, max_iter=5000
    )
    assert ended.converged
    support = family.support(begin, Constraints())

    def unpacked(v):
        w = special.expit(v[0])
        return (w, 1 - w), support.unpack(v[1:], begin)

    found = optimize.minimize(lambda v: -loglik(name, *unpacked(v), x), np.append(0.0, support.pack(begin)), method="BFGS")
    assert ended.loglik == pytest.approx(-found.fun, abs=1e-5)  # BFGS by differences stops at a slope of 1e-5
    assert ended.loglik >= -found.fun - 1e-8
    assert ended.loglik > loglik(name, (0.5, 0.5), begin, x) + 0.1  # the start is not the answer
    assert ended.loglik == pytest.approx(loglik(name, ended.params.structure.weights, ended.params.family, x), abs=1e-8)


def wrong_gamma_shape(family, totals, params, support):
    """Moment estimate in place of maximum likelihood."""
    right = family.maximise(totals, params, support)
    return dataclasses.replace(right, shapes=1.1 * right.shapes)


BUGS = {
    "fit_maximises_q": ("Gamma", {"fit": lambda f, s, p, o: wrong_gamma_shape(f, s.totals, p, o)}),
    "q_is_weighted_log_density": ("LogNormal", {"q": lambda f, p, s: f.q(p, s) - s.totals[:, 0].sum()}),
    "score_is_the_gradient_of_q": ("InverseGaussian", {"score": lambda f, p, s, o: 1.01 * f.score(p, s, o)}),
    "missing_rows_say_nothing": (
        "Beta",
        {"log_density": lambda f, p, e: f.log_density(p, e) - 0.1 * (e.features[0] == 0)[:, None]},
    ),
    "samples_follow_the_density": ("Exponential", {"sample": lambda f, p, z, rng: 1.2 * f.sample(p, z, rng)}),
}


@pytest.mark.parametrize("law", BUGS)
def test_planted_bugs_are_caught(law):
    name, changes = BUGS[law]
    x, family, _, labels = sampled(name)
    with pytest.raises(AssertionError, match=law):
        check_family(altered(family, **changes), x, k=2, labels=labels)
