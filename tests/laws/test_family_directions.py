"""Von Mises and von Mises-Fisher: laws, densities beside scipy's, Bessel functions far out, fits, and what goes wrong."""

import math

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ive
from scipy.stats import vonmises, vonmises_fisher

import estep
from estep.core.support import Constraints
from estep.data import Memory
from estep.families import von_mises, von_mises_fisher
from estep.families.concentration import concentration_of, log_area, log_scaled, mean_length
from estep.families.direction_draws import draw
from estep.families.directions import UnitRows, reflected
from estep.families.von_mises import VonMises, VonMisesParams
from estep.families.von_mises_fisher import VonMisesFisher, VonMisesFisherParams
from estep.testing import check_family

LABELS = np.repeat([0, 1, 2], 20)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def angles(share=0.0):
    rng = np.random.default_rng(0)
    first = rng.vonmises(np.array([-2.0, 0.0, 2.9])[LABELS], np.array([3.0, 10.0, 1.0])[LABELS])
    second = rng.vonmises(np.array([1.0, 0.0, -3.0])[LABELS], np.array([1e3, 4.0, 20.0])[LABELS])
    x = np.column_stack([first, second])
    x[rng.random(x.shape) < share] = np.nan
    return x


def directions(d, seed=1):
    rng = np.random.default_rng(seed)
    means = unit(rng.normal(size=(3, d)))
    return draw(means, 0.5 * d * np.array([2.0, 10.0, 50.0]), LABELS, rng), means


# --- Bessel functions ---


@pytest.mark.parametrize("d", [2, 3, 4, 10, 50, 300, 401, 402, 500])
def test_bessel_functions_where_scipy_has_them(d):
    nu = 0.5 * d - 1.0
    kappa = np.geomspace(1e-6, 1e6, 300)
    with np.errstate(all="ignore"):
        low, high = ive(nu, kappa), ive(nu + 1.0, kappa)
    there = (low > 1e-290) & (high > 1e-290) & np.isfinite(low)
    assert there.sum() > 100
    expected = math.lgamma(nu + 1.0) + nu * np.log(2.0 / kappa) + np.log(np.where(there, low, 1.0))
    # logs of size nu log nu cancel in what it is compared with
    np.testing.assert_allclose(
        log_scaled(kappa, d)[there], expected[there], rtol=1e-13, atol=1e-14 * (10 + nu * np.log(nu + 2))
    )
    np.testing.assert_allclose(mean_length(kappa, d)[0][there], (high / np.where(there, low, 1.0))[there], rtol=1e-12)


@pytest.mark.parametrize("d", [2, 3, 30, 402, 5000])
def test_the_normaliser_has_the_mean_length_as_its_slope(d):
    """dM/dkappa = A - 1, from below the smallest to beyond the largest regime: Gauss-Legendre over each step."""
    ends = np.geomspace(1e-3, 1e5 * d**2, 60)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half, middle = 0.5 * np.diff(np.log(ends)), 0.5 * (np.log(ends[1:]) + np.log(ends[:-1]))
    kappa = np.exp(middle[:, None] + half[:, None] * nodes)
    steps = -(mean_length(kappa, d)[1] * kappa * weights).sum(axis=1) * half
    np.testing.assert_allclose(np.diff(log_scaled(ends, d)), steps, rtol=1e-9, atol=1e-10 * d)


@settings(max_examples=60, deadline=None)
@given(log_kappa=st.floats(-30, 35), d=st.sampled_from([2, 3, 7, 100, 401, 402, 3000]))
def test_the_inverse_is_one(log_kappa, d):
    kappa = np.exp(np.array([log_kappa]))
    length, less = mean_length(kappa, d)
    assert 0 <= length[0] <= 1 and 0 <= less[0] <= 1
    # A and 1 - A determine kappa to their own rounding, which is eps kappa / d at worst before the far series
    np.testing.assert_allclose(concentration_of(length, less, d), kappa, rtol=1e-8)


def test_the_ends_of_the_inverse():
    assert concentration_of(np.array([0.0, -0.5, 1.0]), np.array([1.0, 1.5, 0.0]), 3).tolist() == [0.0, 0.0, np.inf]


# --- von Mises ---


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_laws_of_angles(share):
    check_family(VonMises(), angles(share), labels=LABELS)


def test_laws_of_angles_with_fixed_and_tied_entries():
    nan = np.nan
    held = Constraints(
        fixed={
            "means": np.array([[-1.5, nan], [nan, nan], [nan, nan]]),
            "concentrations": np.array([[nan] * 2, [nan, 4.0], [nan] * 2]),
        },
        tied={"means": np.array([[0, 1], [2, 1], [4, 5]]), "concentrations": np.array([[0, 1], [2, 3], [2, 5]])},
    )
    at = VonMisesParams(np.array([[-1.5, 0.0], [0.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 1.0], [1.0, 4.0], [1.0, 1.0]]))
    check_family(VonMises(), angles(0.2), params=at, labels=LABELS, constraints=held)


@pytest.mark.parametrize("kappa", [1e-9, 0.5, 30.0, 1e4, 1e8])
def test_density_of_angles_is_scipys(kappa):
    x = 0.3 + np.random.default_rng(0).normal(size=(50, 1)) / max(kappa, 1.0) ** 0.5
    family = VonMises()
    found = family.log_density(VonMisesParams(np.array([[0.3]]), np.array([[kappa]])), family.encode(x))[:, 0]
    np.testing.assert_allclose(found, vonmises.logpdf(x[:, 0], kappa, loc=0.3), rtol=0, atol=1e-11)


def test_one_component_of_angles_is_maximum_likelihood():
    x = vonmises.rvs(2.0, loc=1.0, size=300, random_state=0)
    fit = estep.Mixture(VonMises(), 1).fit(x[:, None])
    kappa, loc, _ = vonmises.fit(x, fscale=1)
    assert fit.means_[0, 0] == pytest.approx(loc, abs=1e-9)
    assert fit.concentrations_[0, 0] == pytest.approx(kappa, rel=1e-6)
    assert fit.log_likelihood_ == pytest.approx(vonmises.logpdf(x, kappa, loc=loc).sum(), abs=1e-8)


def test_where_an_angle_is_cut_does_not_matter():
    x = angles()
    family = VonMises().bind(Memory(x))
    params = family.start(1)
    turned = family.log_density(params, family.encode(x + 2 * np.pi * np.array([[1.0, -3.0]])))
    np.testing.assert_allclose(turned, family.log_density(params, family.encode(x)), atol=1e-12)


def test_arcs_have_their_probability():
    params = VonMisesParams(np.array([[0.3], [2.0]]), np.array([[1.0], [5.0]]))
    found = VonMises().cdf(params, np.array([[-3.1415926], [0.0], [3.1415926], [np.nan], [7.0]]))
    np.testing.assert_allclose(found[[0, 2]], [[0.0, 0.0], [1.0, 1.0]], atol=1e-6)
    assert np.isnan(found[3]).all() and found[1, 0] < found[4, 0] < 1.0


def test_bad_angles_are_refused():
    with pytest.raises(ValueError, match="column 0 holds inf.*finite number of radians"):
        VonMises().bind(Memory(np.array([[np.inf], [1.0]])))
    with pytest.raises(ValueError, match="column 0 holds one angle over and over"):
        VonMises().bind(Memory(np.full((9, 1), 2.0)))
    with pytest.raises(ValueError, match="column 1 has no observed value"):
        VonMises().bind(Memory(np.column_stack([np.arange(5.0), np.full(5, np.nan)])))


def test_equal_angles_are_a_collapse():
    x = np.concatenate([np.full(30, 1.0), np.random.default_rng(0).vonmises(-1.0, 1.0, 30)])[:, None]
    with pytest.warns(estep.ConvergenceWarning, match="collapse"):
        fit = estep.Mixture(VonMises(), 2, init=np.repeat([0, 1], 30)).fit(x)
    assert np.isfinite(fit.concentrations_).all()
    with pytest.warns(estep.ConvergenceWarning, match="component 0 collapsed: its angles are all equal"):
        estep.Mixture(VonMises(), 2, init=np.repeat([0, 1], 30), prior=None).fit(x)


def test_a_planted_bug_is_caught(monkeypatch):
    right = von_mises.log_scaled
    monkeypatch.setattr(von_mises, "log_scaled", lambda kappa, d: right(kappa, d) + 0.01 * kappa)
    with pytest.raises(AssertionError, match="law"):
        check_family(VonMises(), angles(), labels=LABELS)


# --- von Mises-Fisher ---


@pytest.mark.parametrize("d", [2, 3, 30])
def test_laws_of_directions(d):
    check_family(VonMisesFisher(), directions(d)[0], labels=LABELS)


def test_laws_of_directions_some_of_them_missing():
    x = directions(4)[0]
    x[::7] = np.nan
    check_family(VonMisesFisher(), x, labels=LABELS)


def test_laws_of_directions_fixed_and_tied():
    x, _ = directions(3)
    held = np.full((3, 3), np.nan)
    held[0] = unit(np.array([1.0, 2.0, 3.0]))
    limits = Constraints(fixed={"means": held}, tied={"means": np.array([0, 1, 1]), "concentrations": np.array([0, 0, 1])})
    at = VonMisesFisherParams(np.vstack([held[:1], unit(np.ones((2, 3)))]), np.ones(3))
    check_family(VonMisesFisher(), x, params=at, labels=LABELS, constraints=limits)


@pytest.mark.parametrize("kappa", [1e-5, 0.5, 30.0, 1e4])
@pytest.mark.parametrize("d", [2, 3, 6])
def test_density_of_directions_is_scipys(d, kappa):
    x, means = directions(d)
    family = VonMisesFisher()
    found = family.log_density(VonMisesFisherParams(means[:1], np.array([kappa])), family.encode(x))[:, 0]
    np.testing.assert_allclose(found, vonmises_fisher(means[0], kappa).logpdf(x), rtol=1e-12, atol=1e-11)


def test_the_sphere_is_ours():
    assert log_area(3) == pytest.approx(math.log(4 * math.pi), rel=1e-15)
    uniform = VonMisesFisherParams(np.eye(1, 1000), np.zeros(1))
    family = VonMisesFisher()
    assert family.log_density(uniform, family.encode(np.eye(1, 1000)))[0, 0] == pytest.approx(-log_area(1000), rel=1e-15)


def test_one_component_of_directions_is_maximum_likelihood():
    x, _ = directions(3)
    fit = estep.Mixture(VonMisesFisher(), 1).fit(x)
    mean, kappa = vonmises_fisher.fit(x)
    np.testing.assert_allclose(fit.means_[0], mean, atol=1e-12)
    assert fit.concentrations_[0] == pytest.approx(kappa, rel=1e-6)


def test_thousands_of_columns_and_sparse_rows():
    x, means = directions(2000)
    fit = estep.Mixture(VonMisesFisher(), 3, init=LABELS).fit(scipy.sparse.csr_array(x))
    assert fit.predict(scipy.sparse.csr_array(x)).tolist() == LABELS.tolist()
    sparse = VonMisesFisher()
    params = VonMisesFisherParams(means, np.array([2000.0, 1e4, 5e4]))
    rows = scipy.sparse.csr_array(x)
    np.testing.assert_allclose(
        sparse.log_density(params, sparse.encode(rows)), sparse.log_density(params, sparse.encode(x)), rtol=1e-12
    )
    np.testing.assert_allclose(
        sparse.stats(params, sparse.encode(rows), np.eye(3)[LABELS]).total,
        sparse.stats(params, sparse.encode(x), np.eye(3)[LABELS]).total,
        atol=1e-12,
    )


def test_rows_that_are_no_directions_are_named():
    x, _ = directions(3)
    x[7] *= 1.1
    with pytest.raises(ValueError, match="row 7 has length 1.1.*divide every row"):
        estep.Mixture(VonMisesFisher(), 2).fit(x)
    x, _ = directions(3)
    x[5, 1] = np.nan
    with pytest.raises(ValueError, match="row 5 has some entries missing"):
        VonMisesFisher().bind(Memory(x))
    with pytest.raises(ValueError, match="use VonMises"):
        VonMisesFisher().bind(Memory(np.ones((5, 1))))
    with pytest.raises(ValueError, match="one direction over and over"):
        VonMisesFisher().bind(Memory(np.tile(unit(np.ones(3)), (5, 1))))


def test_a_wrong_resultant_is_caught(monkeypatch):
    right = von_mises_fisher.VonMisesFisher.stats
    monkeypatch.setattr(
        von_mises_fisher.VonMisesFisher,
        "stats",
        lambda self, params, encoded, resp: right(self, params, encoded, resp**1.01),
    )
    with pytest.raises(AssertionError, match="law"):
        check_family(VonMisesFisher(), directions(3)[0], labels=LABELS)


def test_unit_rows_go_there_and_back():
    base, value = unit(np.random.default_rng(0).normal(size=(2, 3, 5)))
    entry = UnitRows.of("means", Constraints(), 3, 5)
    np.testing.assert_allclose(entry.unpack(entry.pack(value, base), base), value, atol=1e-12)
    assert entry.count == 12
    np.testing.assert_allclose(reflected(base, reflected(base, value)), value, atol=1e-12)
    with pytest.raises(ValueError, match=r"means\[1\] has length"):
        entry.check("means", value * np.array([[1.0], [2.0], [1.0]]))


def test_everything_together_is_recovered():
    """Missing angles, weights, labels and a fixed mean at once."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=900)
    x = rng.vonmises(np.array([-2.0, 0.0, 2.9])[labels], np.array([8.0, 20.0, 12.0])[labels])[:, None]
    x[::11] = np.nan
    weight = np.where(np.arange(900) % 5 == 0, 2.0, 1.0)
    known = np.where(np.arange(900) < 60, labels, -1)
    fit = estep.Mixture(VonMises(), 3, random_state=0, n_init=4, fixed={"means": [[np.nan], [0.0], [np.nan]]})
    fit.fit(x, known, sample_weight=weight)
    assert fit.means_[1, 0] == 0.0
    np.testing.assert_allclose(np.cos(fit.means_[:, 0] - [-2.0, 0.0, 2.9]), 1.0, atol=0.005)
    np.testing.assert_allclose(fit.concentrations_[:, 0], [8.0, 20.0, 12.0], rtol=0.4)  # five standard errors, sqrt(2 / 300)
