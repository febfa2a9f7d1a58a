"""Weibull and Laplace columns, whose statistics are local: laws, bounds, scipy as the oracle, collapse, refusals."""

import dataclasses

import numpy as np
import pytest
from scipy import optimize, special, stats

import estep
from estep.core.result import Status
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.families import Laplace, Weibull
from estep.families.laplace import BINS, ENDS, LaplaceParams, bins_of
from estep.families.weibull import WeibullParams
from estep.models.latent import Latent, LatentParams
from estep.structures.iid import Iid, IidParams
from estep.testing import FAMILY_LAWS, altered, check_family, family_case

NAN = np.nan
LAWS = {
    "Weibull": (Weibull(), WeibullParams(np.array([[1.5, 0.8], [6.0, 9.0]]), np.array([[1.0, 2.0], [5.0, 9.0]]))),
    "Laplace": (Laplace(), LaplaceParams(np.array([[0.0, 1.0], [6.0, -8.0]]), np.array([[1.0, 2.0], [0.5, 3.0]]))),
}
NAMES = list(LAWS)
# At a weighted median the likelihood of a Laplace law has a kink, and its other kinks, at rows, lie closer than the steps of
# the numerical slopes in these two laws; test_the_slopes_of_laplace_between_rows states them for steps that meet no row.
KINKED = ("q_has_the_slope_of_the_likelihood", "score_is_the_gradient_of_q")


def sampled(name, n=60, share=0.0, seed=0):
    rng, (family, truth) = np.random.default_rng(seed), LAWS[name]
    labels = np.arange(n) % 2
    x = family.sample(truth, labels, rng)
    x[rng.random(x.shape) < share] = NAN
    return x, family.bind(Memory(x)), truth, labels


def frozen(name, params, k, j):
    if name == "Weibull":
        return stats.weibull_min(params.shapes[k, j], scale=params.scales[k, j])
    return stats.laplace(params.locations[k, j], params.scales[k, j])


def check(name, x, **arguments):
    if name == "Weibull":
        check_family(Weibull(), x, local=True, **arguments)
        return
    case = family_case(Laplace(), x, local=True, **arguments)
    for law in FAMILY_LAWS:
        if law.__name__ not in KINKED:
            law(case)


@pytest.mark.parametrize("share", [0.0, 0.2], ids=["complete", "missing"])
@pytest.mark.parametrize("name", NAMES)
def test_the_laws_of_a_family(name, share):
    x, _, _, labels = sampled(name, share=share)
    check(name, x, k=2, labels=labels)
    check(name, x, k=1)


@pytest.mark.parametrize("share", [0.0, 0.2], ids=["complete", "missing"])
@pytest.mark.parametrize("name", NAMES)
def test_fixed_and_tied_entries(name, share):
    x, family, truth, labels = sampled(name, share=share)
    first, last = family.names
    values = {n: np.array(getattr(truth, n)) for n in family.names}
    values[first][0, 1] = 1.5
    values[last][:, 0] = values[last][0, 0]
    fixed, ties = {first: np.array([[NAN, 1.5], [NAN, NAN]])}, {last: np.array([[0, 1], [0, 2]])}
    check(name, x, k=2, labels=labels, params=type(truth)(**values), constraints=Constraints(fixed, ties))
    values[first][:, 0] = values[first][0, 0]
    ties[first] = np.array([[0, 1], [0, 2]])
    check(name, x, k=2, labels=labels, params=type(truth)(**values), constraints=Constraints(fixed, ties))


def test_the_slopes_of_laplace_between_rows():
    """Score, unit scores and the likelihood's own difference quotient, with a step that is shorter than the way to any row."""
    x, family, truth, labels = sampled("Laplace", share=0.2)
    resp = np.random.default_rng(1).dirichlet([1.0, 1.0], size=len(x))
    support, block = family.support(truth, Constraints()), family.encode(x)
    gap = np.nanmin(np.abs(x[:, None, :] - truth.locations))
    score = family.score(truth, family.stats(truth, block, resp), support)
    np.testing.assert_allclose(family.unit_scores(truth, block, resp, support).sum(axis=0), score, rtol=1e-11)
    at, step = support.pack(truth), 0.5 * gap
    for j in range(at.size):
        ends = [support.unpack(at + sign * step * np.eye(at.size)[j], truth) for sign in (1, -1)]
        rise = [(resp * family.log_density(p, block)).sum() for p in ends]
        expected = (rise[0] - rise[1]) / (2 * step)  # exact in locations; of error step^2 in log scales
        assert score[j] == pytest.approx(expected, rel=1e-8 if j < 4 else step**2 + 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_log_density_and_distribution_function_are_scipys(name):
    x, family, truth, _ = sampled(name, share=0.2)
    found = family.log_density(truth, family.encode(x))
    for k in range(2):
        each = np.column_stack([frozen(name, truth, k, j).logpdf(x[:, j]) for j in range(2)])
        np.testing.assert_allclose(found[:, k], np.where(np.isnan(x), 0.0, each).sum(axis=1), rtol=1e-11, atol=1e-11)
        one = type(truth)(*(getattr(truth, n)[:, :1] for n in family.names))
        np.testing.assert_allclose(family.cdf(one, x[:, :1])[:, k], frozen(name, truth, k, 0).cdf(x[:, 0]), atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_the_bound_lies_below_and_touches(name):
    """Everywhere below the weighted log density; equal to it where the statistics were made."""
    x, family, truth, _ = sampled(name, share=0.1)
    rng = np.random.default_rng(3)
    resp, block = rng.dirichlet([1.0, 1.0], size=len(x)), family.encode(x)
    stats_, support = family.stats(truth, block, resp), family.support(truth, Constraints())

    def true(params):
        return float((resp * family.log_density(params, block)).sum())

    assert family.q(truth, stats_) == pytest.approx(true(truth), rel=1e-12)
    strict = 0
    for size in np.repeat([1e-6, 1e-3, 0.03, 0.2, 0.6], 20):
        there = support.unpack(support.pack(truth) + size * rng.standard_normal(support.count), truth)
        bound = family.q(there, stats_)
        assert bound <= true(there) + 1e-9
        strict += bound < true(there) - 1e-6
    assert strict > 10  # and it is a bound, not the thing itself


@pytest.mark.parametrize("name", NAMES)
def test_a_flattering_bound_is_noticed(name):
    """Negative control: statistics that promise too much make a step that lowers the likelihood, which the law sees."""

    def flattering(family, params, encoded, resp):
        right = family.stats(params, encoded, resp)
        if name == "Weibull":
            return dataclasses.replace(right, second=0.0 * right.second, above=right.level, below=right.level)
        return dataclasses.replace(right, total=0.9 * right.total)

    x, family, _, labels = sampled(name)
    with pytest.raises(AssertionError, match="fit_maximises_q|q_has_the_slope|one_component|weight_two|score_is"):
        check_family(altered(family, stats=flattering), x, k=2, labels=labels, local=True)


@pytest.mark.parametrize("name", NAMES)
def test_statistics_add_at_one_point_only(name):
    x, family, truth, _ = sampled(name)
    resp, block = np.full((len(x), 2), 0.5), family.encode(x)
    here, there = (family.stats(p, block, resp) for p in (truth, family.start(2)))
    assert (here + here).at is truth
    with pytest.raises(ValueError, match=r"Stats\.at is shared and differs"):
        here + there


def climbed(family, params, x, resp, passes=60):
    support, block = family.support(params, Constraints()), family.encode(x)
    heights = []
    for _ in range(passes):
        heights.append(float((resp * family.log_density(params, block)).sum()))
        params = family.fit(family.stats(params, block, resp), params, support)
    assert np.diff(heights).min(initial=0.0) >= -1e-12 * abs(heights[-1])
    return params


@pytest.mark.parametrize("factor", [0.02, 1.0, 40.0])
def test_weibull_is_maximum_likelihood(factor):
    """From shapes far off, against the root of the shape's equation (Johnson, Kotz & Balakrishnan, 21.7)."""
    rng = np.random.default_rng(0)
    x, w = 1e5 * rng.weibull(12.0, (300, 1)), rng.uniform(0.0, 3.0, (300, 1))
    family = Weibull().bind(Memory(x))
    start = family.start(1)
    params = climbed(family, WeibullParams(factor * start.shapes, start.scales), x, w)
    log_x = np.log(x / 1e5)

    def equation(a):
        power = w * np.exp(a * log_x)
        return float((power * log_x).sum() / power.sum() - 1 / a - (w * log_x).sum() / w.sum())

    shape = optimize.brentq(equation, 1.0, 100.0, xtol=1e-12)
    assert params.shapes[0, 0] == pytest.approx(shape, rel=1e-9)
    assert params.scales[0, 0] == pytest.approx(1e5 * ((w * (x / 1e5) ** shape).sum() / w.sum()) ** (1 / shape), rel=1e-9)


def test_weibull_ends_in_newton_steps():
    """The bound has the right curvature: from the neutral start four passes find every digit."""
    x = np.random.default_rng(5).weibull(3.0, (400, 1))
    family = Weibull().bind(Memory(x))
    end = climbed(family, family.start(1), x, np.ones((400, 1))).shapes[0, 0]
    params, errors = family.start(1), []
    for _ in range(6):
        errors.append(abs(params.shapes[0, 0] / end - 1))
        params = climbed(family, params, x, np.ones((400, 1)), passes=1)
    assert errors[0] > 1e-3
    assert errors[4] < 1e-12


@pytest.mark.parametrize("n", [201, 60])
def test_laplace_is_the_weighted_median(n):
    rng = np.random.default_rng(n)
    x, w = 1e6 + rng.laplace(size=(n, 1)), rng.uniform(0.1, 3.0, (n, 1))
    family = Laplace().bind(Memory(x))
    start = family.start(1)
    params = climbed(family, LaplaceParams(start.locations - 500.0, 0.01 * start.scales), x, w)
    order = np.argsort(x[:, 0])
    median = x[order[np.searchsorted(np.cumsum(w[order, 0]), 0.5 * w.sum())], 0]
    # x is held to 1e-10: eight rounding errors of 1e6
    assert params.locations[0, 0] == pytest.approx(median, abs=1e-9)
    assert params.scales[0, 0] == pytest.approx((w * np.abs(x - median)).sum() / w.sum(), rel=1e-9)


def test_bins_hold_what_they_say():
    z = np.concatenate([[0.0, 1.0, -1.0, 0.75, 1e300, -1e-30], np.random.default_rng(0).standard_cauchy(200)])
    low, high = np.concatenate([[-np.inf], ENDS])[bins_of(z)], np.concatenate([ENDS, [np.inf]])[bins_of(z)]
    assert ((low <= z) & (z <= high)).all()
    assert bins_of(np.zeros(1))[0] == BINS // 2


@pytest.mark.parametrize("name", NAMES)
def test_the_mixture_with_gaps_weights_labels_and_fixed_entries(name):
    """Fixed entries are far from the neutral start, so that the first local statistics are made where they do not hold."""
    x, family, truth, labels = sampled(name, n=300, share=0.1, seed=5)
    rng = np.random.default_rng(7)
    weight, known = rng.integers(0, 3, 300), np.where(rng.random(300) < 0.1, labels, -1)
    held = {family.names[0]: np.array([[NAN, NAN], [getattr(truth, family.names[0])[1, 0], NAN]])}
    mixture = estep.Mixture(LAWS[name][0], 2, fixed=held, n_init=2, random_state=0, tol=1e-10)
    mixture.fit(x, known, sample_weight=weight)
    assert mixture.converged_
    assert mixture.params_[family.names[0]][1, 0] == held[family.names[0]][1, 0]
    assert (mixture.predict(x) == labels).mean() > 0.9
    assert np.diff(mixture.trace_).min() >= -1e-11 * abs(mixture.objective_)
    twice = np.repeat(np.arange(300), weight)
    other = estep.Mixture(LAWS[name][0], 2, fixed=held, init=mixture.params_, tol=1e-10).fit(x[twice], known[twice])
    assert other.log_likelihood_ == pytest.approx(mixture.log_likelihood_, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_prior_is_imagined_rows(name):
    """MAP with imagined rows is maximum likelihood of the data with those rows written below them."""
    x, family, _, labels = sampled(name, n=80)
    prior = family.prior(2, {"strength": 4.0})
    begin = LatentParams(IidParams(np.array([0.5, 0.5])), family.start(2))
    model = dataclasses.replace(Latent(Iid(), family, 2), constraints=Constraints({"weights": np.array([0.5, 0.5])}))
    model = model.with_prior({"strength": 4.0})
    ended = estep.fit(model, Memory(x), begin, tol=1e-11, max_iter=3000)
    assert ended.converged
    imagined = (prior.weight * family.log_density(ended.params.family, family.encode(prior.rows))).sum()
    assert ended.objective - ended.loglik == pytest.approx(imagined, rel=1e-9)
    assert np.diff(ended.trace.objective).min() >= -1e-11 * abs(ended.objective)
    # at the maximum the slope of the data and of the imagined rows cancel
    if name == "Weibull":
        total = model.score(ended.params, estep_stats(model, x, ended.params)) + model.score(ended.params, model.prior)
        assert np.abs(total).max() < 1e-2 * np.abs(model.score(ended.params, model.prior)).max() + 1e-4


def estep_stats(model, x, params):
    from estep.core.assign import SOFT

    return Memory(x).sum(lambda chunk: model.estep(params, chunk, SOFT)).stats


@pytest.mark.parametrize("name", NAMES)
def test_equal_rows_are_named_as_a_collapse(name):
    rng = np.random.default_rng(0)
    x = np.concatenate([np.full(20, 3.0), rng.uniform(5.0, 9.0, 40)])[:, None]
    labels = np.repeat([0, 1], [20, 40])
    run = estep.Mixture(LAWS[name][0], 2, init=labels, prior=None)
    with pytest.warns(estep.ConvergenceWarning, match="component 0 collapsed: its .*in column 0.*remedies: fewer"):
        run.fit(x)
    assert run.status_ is Status.DEGENERATE
    assert all(np.isfinite(v).all() for v in run.params_.values())
    rescued = estep.Mixture(LAWS[name][0], 2, init=labels)
    with pytest.warns(UserWarning, match="every start collapsed under maximum likelihood"):
        rescued.fit(x)
    assert rescued.status_ is Status.DEFAULT_PRIOR


@pytest.mark.parametrize("name", NAMES)
def test_bad_columns_are_refused(name):
    x, family, _, _ = sampled(name)
    with pytest.raises(ValueError, match="column 1 is constant"):
        LAWS[name][0].bind(Memory(np.column_stack([x[:, 0], np.full(60, 0.3)])))
    with pytest.raises(ValueError, match="column 1 has no observed value"):
        LAWS[name][0].bind(Memory(np.column_stack([x[:, 0], np.full(60, NAN)])))
    with pytest.raises(ValueError, match="strength"):
        family.prior(2, {"dof": 1.0})


def test_values_outside_the_laws_are_refused():
    x = np.array([[1.0], [0.0], [2.0], [-1.0]])
    with pytest.raises(ValueError, match="column 0 has 2 rows not above zero .*Weibull has no density; drop them"):
        Weibull().bind(Memory(x))
    with pytest.raises(ValueError, match="column 0 holds inf, but Laplace takes finite values"):
        Laplace().bind(Memory(np.array([[1.0], [np.inf]])))


def loglik(name, weights, params, x):
    parts = [np.log(w) + frozen(name, params, k, 0).logpdf(x[:, 0]) for k, w in enumerate(weights)]
    return float(np.logaddexp(*parts).sum())


@pytest.mark.parametrize("accelerate", ["none", "squarem"])
def test_the_weibull_mixture_ends_where_an_independent_optimiser_ends(accelerate):
    x, _, truth, _ = sampled("Weibull", n=240, seed=9)
    x = x[:, :1]
    family, begin = Weibull().bind(Memory(x)), WeibullParams(truth.shapes[:, :1], truth.scales[:, :1])
    start = LatentParams(IidParams(np.array([0.5, 0.5])), begin)
    ended = estep.fit(Latent(Iid(), family, 2), Memory(x), start, tol=1e-13, max_iter=5000, accelerate=accelerate)
    assert ended.converged
    support = family.support(begin, Constraints())

    def unpacked(v):
        w = special.expit(v[0])
        return (w, 1 - w), support.unpack(v[1:], begin)

    found = optimize.minimize(lambda v: -loglik("Weibull", *unpacked(v), x), np.append(0.0, support.pack(begin)), method="BFGS")
    assert ended.loglik == pytest.approx(-found.fun, abs=1e-5)
    assert ended.loglik > loglik("Weibull", (0.5, 0.5), begin, x) + 0.1
    weights, best = unpacked(found.x)
    np.testing.assert_allclose(ended.params.family.shapes, best.shapes, rtol=1e-3)
    np.testing.assert_allclose(ended.params.structure.weights, weights, atol=1e-3)


def test_no_move_of_a_location_improves_a_laplace_mixture():
    """The end of EM is a maximum: no single location, moved to any row, and no scale gives a higher likelihood nearby."""
    x, _, truth, _ = sampled("Laplace", n=240, seed=9)
    x = x[:, :1]
    family, begin = Laplace().bind(Memory(x)), LaplaceParams(truth.locations[:, :1], truth.scales[:, :1])
    start = LatentParams(IidParams(np.array([0.5, 0.5])), begin)
    ended = estep.fit(Latent(Iid(), family, 2), Memory(x), start, tol=1e-13, max_iter=5000)
    assert ended.converged
    params, weights = ended.params.family, ended.params.structure.weights
    assert ended.loglik == pytest.approx(loglik("Laplace", weights, params, x), abs=1e-9)
    for k in range(2):
        assert np.abs(x - params.locations[k, 0]).min() < 1e-9  # a location is a row
        for factor in (0.97, 1.03):
            scales = params.scales.copy()
            scales[k] *= factor
            assert loglik("Laplace", weights, LaplaceParams(params.locations, scales), x) < ended.loglik
        for step in (-1e-4, 1e-4):  # shorter than the way to the next row: a kink falls on both sides
            locations = params.locations.copy()
            locations[k] += step
            assert loglik("Laplace", weights, LaplaceParams(locations, params.scales), x) < ended.loglik
