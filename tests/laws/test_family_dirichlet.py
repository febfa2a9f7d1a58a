"""Dirichlet rows and uniform boxes: laws, marginals against scipy and by integration, refusals, collapse."""

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

import estep
from estep.core.result import Status
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.families import Dirichlet, Normal, Uniform
from estep.families.dirichlet import DirichletParams
from estep.models.latent import Latent, LatentParams
from estep.structures.iid import Iid, IidParams
from estep.testing import altered, check_family

NAN = np.nan
TRUTH = DirichletParams(np.array([[2.0, 3.0, 4.0, 1.0], [20.0, 5.0, 5.0, 9.0]]))


def sampled(n=60, share=0.0, seed=0):
    rng, labels = np.random.default_rng(seed), np.arange(n) % 2
    x = Dirichlet().sample(TRUTH, labels, rng)
    x[rng.random(x.shape) < share] = NAN
    return x, Dirichlet().bind(Memory(x)), labels


@pytest.mark.parametrize("share", [0.0, 0.25], ids=["complete", "missing"])
def test_the_laws_of_a_family(share):
    x, _, labels = sampled(share=share)
    check_family(Dirichlet(), x, k=2, labels=labels)
    check_family(Dirichlet(), x, k=1)


@pytest.mark.parametrize("share", [0.0, 0.25], ids=["complete", "missing"])
def test_fixed_and_tied_entries(share):
    x, _, labels = sampled(share=share)
    alphas = TRUTH.alphas.copy()
    alphas[0, 1], alphas[1, 0], alphas[1, 2] = 1.5, 2.0, alphas[1, 3]
    fixed = np.full((2, 4), NAN)
    fixed[0, 1] = 1.5
    held = Constraints({"alphas": fixed}, {"alphas": np.array([[0, 1, 2, 3], [0, 4, 5, 5]])})
    check_family(Dirichlet(), x, k=2, labels=labels, params=DirichletParams(alphas), constraints=held)


def test_log_density_is_scipys():
    x, family, _ = sampled()
    found = family.log_density(TRUTH, family.encode(x))
    for k, alphas in enumerate(TRUTH.alphas):
        expected = [stats.dirichlet.logpdf(row / row.sum(), alphas) for row in x]
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-9, atol=1e-9)


def test_a_marginal_is_the_integral_over_what_is_missing():
    """One part seen is beta; two seen of four: the integral over how the others share; all but one is everything."""
    family, alphas = Dirichlet(), TRUTH.alphas[:1]
    params = DirichletParams(alphas)

    def density(row):
        return float(family.log_density(params, family.encode(np.array([row])))[0, 0])

    one = stats.beta(alphas[0, 1], alphas[0].sum() - alphas[0, 1]).logpdf(0.3)
    assert density([NAN, 0.3, NAN, NAN]) == pytest.approx(one, rel=1e-12)
    whole, _ = integrate.quad(lambda u: np.exp(stats.dirichlet.logpdf([0.3, 0.2, u, 0.5 - u], alphas[0])), 0.0, 0.5)
    assert density([0.3, 0.2, NAN, NAN]) == pytest.approx(np.log(whole), rel=1e-9)
    assert density([0.3, 0.2, 0.1, NAN]) == pytest.approx(density([0.3, 0.2, 0.1, 0.4]), rel=1e-12)
    assert density([NAN] * 4) == 0.0


@pytest.mark.parametrize("share", [0.0, 0.3], ids=["complete", "missing"])
def test_one_component_is_maximum_likelihood(share):
    """scipy's optimiser on scipy's densities (missing parts merged into one)."""
    x, family, _ = sampled(n=80, share=share, seed=2)
    x = x[~np.isnan(x).all(axis=1)]
    rest = 1.0 - np.nansum(x, axis=1)

    def loss(v):
        alphas, value = np.exp(v), 0.0
        for row, r in zip(x, rest, strict=True):
            seen = ~np.isnan(row)
            if seen.all():
                merged, data = alphas, row
            else:
                merged, data = np.append(alphas[seen], alphas[~seen].sum()), np.append(row[seen], r)
            value += special.gammaln(merged.sum()) - special.gammaln(merged).sum() + (merged - 1) @ np.log(data)
        return -value

    found = optimize.minimize(loss, np.zeros(4), method="BFGS")
    ended = estep.fit(
        Latent(Iid(), family, 1), Memory(x), LatentParams(IidParams(np.ones(1)), family.start(1)), tol=1e-13, max_iter=5000
    )
    assert ended.loglik == pytest.approx(-found.fun, abs=1e-6)
    np.testing.assert_allclose(ended.params.family.alphas[0], np.exp(found.x), rtol=1e-3)


def test_the_mixture_with_gaps_weights_labels_and_fixed_entries():
    x, _, labels = sampled(n=300, share=0.15, seed=5)
    rng = np.random.default_rng(7)
    weight, known = rng.integers(0, 3, 300), np.where(rng.random(300) < 0.1, labels, -1)
    held = {"alphas": np.array([[NAN] * 4, [20.0, NAN, NAN, NAN]])}
    mixture = estep.Mixture(Dirichlet(), 2, fixed=held, n_init=2, random_state=0, tol=1e-10)
    mixture.fit(x, known, sample_weight=weight)
    assert mixture.converged_
    assert mixture.alphas_[1, 0] == 20.0
    assert (mixture.predict(x) == labels).mean() > 0.8
    twice = np.repeat(np.arange(300), weight)
    other = estep.Mixture(Dirichlet(), 2, fixed=held, init=mixture.params_, tol=1e-10).fit(x[twice], known[twice])
    assert other.log_likelihood_ == pytest.approx(mixture.log_likelihood_, abs=1e-6)
    rows, drawn = mixture.sample(50)
    np.testing.assert_allclose(rows.sum(axis=1), 1.0, rtol=1e-12)
    assert set(drawn) <= {0, 1}


def test_parameters_are_recovered():
    x, family, labels = sampled(n=6000, seed=1)
    resp, support = np.eye(2)[labels], family.support(TRUTH, Constraints())
    fitted = family.fit(family.stats(TRUTH, family.encode(x), resp), TRUTH, support)
    scores = family.unit_scores(TRUTH, family.encode(x), resp, support)
    errors = np.sqrt(np.diag(np.linalg.inv(scores.T @ scores)))
    away = (support.pack(fitted) - support.pack(TRUTH)) / errors
    assert 0.1 < np.abs(away).max() < 6.0


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([0.2, 0.3, 0.4, 0.2], r"row 7 \[0.2 0.3 0.4 0.2\] \(sum 1.1\) does not add up to 1; divide each row by its sum"),
        ([0.0, 0.3, 0.4, 0.3], "row 7 .* holds a part that is not above 0 .*; replace zeros"),
        ([0.7, 0.3, NAN, NAN], "row 7 .* leaves nothing for its missing parts"),
    ],
)
def test_rows_that_are_no_compositions_are_named(row, words):
    x, _, _ = sampled()
    x[7] = row
    with pytest.raises(ValueError, match=words):
        Dirichlet().bind(Memory(x, rows=5))  # row 7 stands in the second block
    with pytest.raises(ValueError, match=words.split(" ")[0]):
        estep.Mixture(Dirichlet(), 2).fit(x)


def test_too_few_columns_and_equal_rows_are_refused():
    with pytest.raises(ValueError, match="one column, but a composition has two parts or more"):
        Dirichlet().bind(Memory(np.full((5, 1), 1.0)))
    with pytest.raises(ValueError, match="every row is the same composition"):
        Dirichlet().bind(Memory(np.tile([0.2, 0.3, 0.5], (9, 1))))


def test_equal_rows_of_a_component_are_named_as_a_collapse():
    x, _, _ = sampled()
    x[:20] = [0.1, 0.2, 0.3, 0.4]
    run = estep.Mixture(Dirichlet(), 2, init=(np.arange(60) >= 20).astype(int), prior=None)
    with pytest.warns(estep.ConvergenceWarning, match="component 0 collapsed: its sum of alphas rose to .* all but equal"):
        run.fit(x)
    assert run.status_ is Status.DEGENERATE
    assert np.isfinite(run.alphas_).all()


def test_small_alphas_give_compositions():
    params = DirichletParams(np.full((1, 3), 1e-3))
    x = Dirichlet().sample(params, np.zeros(200, dtype=int), np.random.default_rng(0))
    np.testing.assert_allclose(x.sum(axis=1), 1.0)


def test_a_planted_bug_is_caught():
    """Missing parts filled with their mean logarithm under the prior, forgetting what is left of the whole."""

    def forgetful(family, params, encoded, resp):
        stats_ = family.stats(params, encoded, resp)
        lost = resp.T @ (encoded.missing * encoded.rest[:, None])
        return type(stats_)(stats_.count, stats_.logs - lost)

    x, family, labels = sampled(share=0.25)
    with pytest.raises(AssertionError, match="q_has_the_slope_of_the_likelihood"):
        check_family(altered(family, stats=forgetful), x, k=2, labels=labels)


# --- uniform boxes ---


def test_uniform_keeps_the_laws():
    x = np.random.default_rng(0).uniform(-1.0, 3.0, (50, 2))
    check_family(Uniform(), x, k=2)
    x[::7, 0] = NAN
    check_family(Uniform(-1.0, np.array([3.0, 4.0])), x, k=1)


def test_uniform_densities():
    family = Uniform(np.array([0.0, -1.0]), np.array([2.0, 4.0])).bind(Memory(np.array([[1.0, 1.0], [1.5, 2.0]])))
    x = np.array([[1.0, 0.0], [NAN, 3.0], [2.5, 0.0], [NAN, NAN]])
    expected = [-np.log(10.0), -np.log(5.0), -np.inf, 0.0]
    found = family.log_density(family.start(3), family.encode(x))
    np.testing.assert_allclose(found, np.tile(expected, (3, 1)).T)
    assert family.constants == 0
    one = Uniform(0.0, 2.0)
    np.testing.assert_allclose(one.cdf(one.start(1), np.array([[-1.0], [0.5], [3.0]]))[:, 0], [0.0, 0.25, 1.0])


def test_uniform_takes_the_range_of_the_data_and_counts_it():
    x = np.array([[1.0, 5.0], [2.0, NAN], [4.0, 9.0]])
    family = Uniform().bind(Memory(x))
    np.testing.assert_array_equal(family.low, [1.0, 5.0])
    np.testing.assert_array_equal(family.high, [4.0, 9.0])
    assert family.constants == 4
    assert Uniform(low=0.0).bind(Memory(x)).constants == 2
    with pytest.raises(ValueError, match="column 1 has the bounds low = 3 and high = 3"):
        Uniform().bind(Memory(np.array([[1.0, 3.0], [2.0, 3.0]])))
    with pytest.raises(ValueError, match=r"low has shape \(3,\), expected a number or one for each of the 2 columns"):
        Uniform(low=np.zeros(3), high=1.0).bind(Memory(x))


def test_a_row_outside_every_box_is_named():
    x = np.array([[0.5], [0.7], [3.0]])
    family = Uniform(0.0, 1.0).bind(Memory(x))
    params = LatentParams(IidParams(np.ones(1)), family.start(1))
    with pytest.raises(ValueError, match="row 2"):
        estep.fit(Latent(Iid(), family, 1), Memory(x), params)


def test_uniform_is_noise_beside_normals():
    """One normal and one box of the data's range, against the noise component of GaussianMixture at the same density."""
    from estep.families import Components

    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(size=(150, 1)), rng.uniform(-10.0, 10.0, (50, 1))])
    mixed = estep.Mixture(Components([Normal("VII"), Uniform(-10.0, 10.0)]), 2, init=np.repeat([0, 1], [150, 50]), tol=1e-12)
    noisy = estep.GaussianMixture(1, covariance_type="VII", noise=1 / 20, init=np.repeat([0, -1], [150, 50]), tol=1e-12)
    assert mixed.fit(x).log_likelihood_ == pytest.approx(noisy.fit(x).log_likelihood_, abs=1e-8)
