"""Where fits of any family begin: softened starts, parameters given in part, features, fixed entries."""

import dataclasses

import numpy as np
import pytest

import estep
from estep.core import picture
from estep.data import Memory
from estep.engine.tallied import SOFT
from estep.estimators.rows import Rows
from estep.families.product import Product
from estep.models import Latent
from estep.start.plan import Proposal, Sample, begin, one_hot, soften
from estep.structures.iid import Iid

NAN = np.nan
ANSWERS = np.repeat([[1.0, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 0], [0, 1, 1, 1]], [40, 40, 12, 8], axis=0)
SPLIT = np.repeat([0, 1, 0, 1], [40, 40, 12, 8])


def bound(family, x, k=2):
    return Latent(Iid(), family, k).bind(Memory(x))


# ---- softening -----------------------------------------------------------------------------------------------------


def test_a_share_of_every_row_goes_to_all_it_may_belong_to():
    resp = np.array([[1.0, 0, 0], [0, 0.5, 0], [0, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(soften(resp, 0.3), [[0.8, 0.1, 0.1], [0.05, 0.4, 0.05], [0, 0, 0], [0.1, 0.8, 0.1]])
    allowed = np.array([0, -1, -1, 1])
    np.testing.assert_allclose(soften(resp, 0.3, allowed), [[1, 0, 0], [0.05, 0.4, 0.05], [0, 0, 0], [0, 1, 0]])
    sets = np.array([[1, 1, 0], [1, 1, 1], [1, 1, 1], [0, 1, 1]], dtype=bool)
    np.testing.assert_allclose(soften(resp, 0.3, sets)[[0, 3]], [[0.85, 0.15, 0], [0, 0.85, 0.15]])
    np.testing.assert_allclose(soften(resp, 0.3).sum(axis=1), resp.sum(axis=1))


@pytest.mark.parametrize("strict", [True, False])
def test_no_probability_begins_at_its_end(strict):
    """Column 3 is all zero in one half: a plain M-step would set p = 0, and EM would leave it there."""
    model = bound(estep.Bernoulli(), ANSWERS)
    proposal = Proposal("split", np.arange(100), one_hot(SPLIT, 2), strict)
    probs = begin(model, Memory(ANSWERS), proposal).family.probs
    assert (probs > 0.01).all() and (probs < 0.99).all()
    exact = dataclasses.replace(proposal, strict=True, exact=True)
    assert (begin(model, Memory(ANSWERS), exact).family.probs == 0).any(), "control: as given, they are at the ends"


def test_a_hard_start_would_be_absorbing(monkeypatch):
    """The control: without softening the run is caught where it begins; with it, it gets away."""
    rng = np.random.default_rng(0)
    X = rng.random((500, 5)) < np.array([[0.9, 0.8, 0.9, 0.1, 0.2], [0.1, 0.3, 0.2, 0.8, 0.9]])[rng.integers(2, size=500)]
    X = X.astype(float)
    caught = np.where(X[:, 0] == 1, 0, 1)  # column 0 is all ones in class 0, all zeros in class 1
    free = estep.Mixture(estep.Bernoulli(), 2, init=caught).fit(X)
    best = estep.Mixture(estep.Bernoulli(), 2, random_state=0).fit(X)
    assert free.log_likelihood_ == pytest.approx(best.log_likelihood_, abs=1e-4)
    stuck = estep.Mixture(estep.Bernoulli(), 2, init=one_hot(caught, 2)).fit(X)
    assert sorted(stuck.probs_[:, 0]) == [0.0, 1.0]
    assert stuck.log_likelihood_ < best.log_likelihood_ - 10


def test_parts_of_a_product_are_softened_each():
    x = np.column_stack([ANSWERS, np.random.default_rng(0).normal(size=100)])
    family = Product([(estep.Bernoulli(), [0, 1, 2, 3]), (estep.Normal(), 4)]).by_name(None)
    start = begin(bound(family, x), Memory(x), Proposal("split", np.arange(100), one_hot(SPLIT, 2), True))
    probs = getattr(start.family, "0,1,2,3.probs")
    assert (probs > 0.01).all() and (probs < 0.99).all()


def test_normal_starts_are_what_they_were():
    """Families with a weak prior and a density are not softened: the first M-step is the plain one."""
    x = np.random.default_rng(0).normal(size=(60, 2)) + np.repeat([[0.0], [5.0]], 30, axis=0)
    resp = one_hot(np.repeat([0, 1], 30), 2)
    start = begin(bound(estep.Normal(), x), Memory(x), Proposal("split", np.arange(60), resp, True))
    np.testing.assert_allclose(start.family.means, [x[:30].mean(axis=0), x[30:].mean(axis=0)], rtol=1e-12)


@dataclasses.dataclass(frozen=True)
class Bare:
    """A family without a prior: a Poisson law that forgot it."""

    inner: estep.Poisson = dataclasses.field(default_factory=estep.Poisson)
    names = ("rates",)

    def __getattr__(self, name):
        if name in ("prior", "discrete", "inner") or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def bind(self, data):
        return Bare(self.inner.bind(data))


def test_a_family_without_a_prior_begins_softly():
    x = np.repeat([[0.0], [9.0]], 20, axis=0)
    model = bound(Bare(), x)
    rates = begin(model, Memory(x), Proposal("split", np.arange(40), one_hot(np.repeat([0, 1], 20), 2), False)).family.rates
    share = SOFT / 2
    np.testing.assert_allclose(rates[:, 0], [9 * share, 9 * (1 - share)], rtol=1e-12)
    assert estep.Mixture(Bare(), 2, random_state=0).fit(x).converged_


# ---- what rules see ------------------------------------------------------------------------------------------------


def test_rules_see_features():
    seen = []

    def features(x):
        seen.append(x)
        return np.column_stack([x[:, 0] ** 2, np.full(len(x), np.inf)])

    x = np.arange(6.0).reshape(3, 2)
    sample = Sample.of(x, None, 0, features)
    square = x[:, 0] ** 2
    np.testing.assert_allclose(sample.scaled[:, 0], (square - square.mean()) / square.std())
    np.testing.assert_array_equal(sample.scaled[:, 1], np.zeros(3))  # what is not finite is missing
    np.testing.assert_array_equal(seen[0], x)


def test_rules_see_the_parts_of_a_tuple_and_sparse_rows():
    x, y = np.arange(6.0).reshape(3, 2), np.array([1.0, 5.0, 2.0])
    assert Sample.of((x, y), None, 0).scaled.shape == (3, 3)
    from scipy.sparse import csr_array, random_array

    narrow = csr_array(np.eye(3))
    np.testing.assert_allclose(Sample.of(narrow, None, 0).scaled, Sample.of(np.eye(3), None, 0).scaled)
    wide = random_array((30, 5000), density=0.01, format="csr", rng=np.random.default_rng(0))
    a, b = (Sample.of(csr_array(wide), None, 0).scaled for _ in range(2))
    assert a.shape == (30, picture.MOST_COLUMNS)
    np.testing.assert_array_equal(a, b)


# ---- parameters given in part --------------------------------------------------------------------------------------


def counts(n=600, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.integers(2, size=n)
    return rng.negative_binomial(3.0, 3.0 / (3.0 + np.array([2.0, 15.0])[z]))[:, None].astype(float), z


def test_what_is_not_given_comes_from_the_classes_that_the_given_makes():
    X, _ = counts()
    for order in ([2.0, 15.0], [15.0, 2.0]):
        with pytest.warns(estep.ConvergenceWarning):
            fit = estep.Mixture(estep.NegativeBinomial(), 2, init=dict(means=order), max_iter=0).fit(X)
        np.testing.assert_array_equal(fit.means_[:, 0], order)
        assert (fit.sizes_ > 0.3).all() and (fit.sizes_ < 30).all() and (np.abs(fit.weights_ - 0.5) < 0.2).all()
        whole = estep.Mixture(estep.NegativeBinomial(), 2, init=dict(means=order)).fit(X)
        assert (np.argsort(whole.means_[:, 0]) == np.argsort(order)).all(), "components keep the order they were given"


@pytest.mark.parametrize(
    ("family", "init", "words"),
    [
        (estep.Poisson(), {}, ["init gives []", "'rates'"]),
        (estep.Poisson(), dict(weights=[0.5, 0.5]), ["['weights']", "one of ['rates']", "every parameter"]),
        (estep.Poisson(), dict(means=[1.0, 2.0]), ["'means'", "this model has ['weights', 'rates']"]),
        (estep.Poisson(), dict(rates=[1.0, 2.0, 3.0]), ["init['rates']", "(3,)", "(2, 1)"]),
        (estep.Poisson(), dict(rates=[1.0, -2.0]), ["rates", "-2"]),
        (estep.Normal(), dict(covariances=[[[1.0]], [[1.0]]]), ["means"]),
    ],
)
def test_mistakes_in_parameters_are_named(family, init, words, refused):
    refused(estep.Mixture(family, 2, init=init), words, counts()[0])


def test_starts_go_to_the_fixed_component_that_fits_them():
    """The larger class is the one that is fixed at low counts, whichever of the two a rule calls the first."""
    rng = np.random.default_rng(4)
    X = np.concatenate([rng.poisson(3.0, 300), rng.poisson(30.0, 200)])[:, None].astype(float)
    for held in ([[3.0], [NAN]], [[NAN], [3.0]]):
        fit = estep.Mixture(estep.Poisson(), 2, fixed=dict(rates=held), init="quantiles").fit(X)
        other = int(np.isnan(held[1][0]))
        assert fit.rates_[1 - other, 0] == 3.0
        assert fit.rates_[other, 0] == pytest.approx(30.0, abs=5.5 * np.sqrt(30 / 200)) and fit.starts_[0].passes < 10


def test_responsibilities_of_equal_rows_are_pooled_by_weight():
    rows = Rows(
        np.array([[1.0], [2.0], [1.0], [9.0]]), np.array([1.0, 1.0, 3.0, 2.0]), None, np.array([1, 1, 1, 0, 1], dtype=bool)
    )
    few = rows.distinct()
    assert few.n == 3 and few.given_count == 5 and few.weight.tolist() == [4.0, 1.0, 2.0]
    resp = np.array([[1, 0], [0, 1], [0, 1], [0.5, 0.5], [0.2, 0.2]])
    np.testing.assert_allclose(few.pooled(resp), [[0.25, 0.75], [0, 1], [0.2, 0.2]])
    np.testing.assert_array_equal(rows.pooled(resp), resp[[0, 1, 2, 4]])


def test_select_does_not_share_starts_between_what_families_see():
    """Cells of one table see their rows differently: each family's starts are its own."""
    X = counts(200)[0]
    families = [estep.Poisson(), estep.Normal(), estep.NegativeBinomial()]
    chosen = estep.select(estep.Mixture(n_components=2, random_state=0), X, dict(family=families))
    assert [cell.usable for cell in chosen.table] == [True] * 3
    assert isinstance(chosen.best_.family, estep.NegativeBinomial)
