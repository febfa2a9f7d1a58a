"""Blocks of columns with a family each: laws, agreement with single families, names, and what is refused."""

import copy
import functools

import numpy as np
import pytest

import estep
from estep.core.collapse import Collapsed
from estep.core.record import has_nan
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.families.bernoulli import Bernoulli
from estep.families.categorical import Categorical
from estep.families.components import Components
from estep.families.gamma import Gamma
from estep.families.normal import Normal
from estep.families.parts import Parts, split
from estep.families.poisson import Poisson
from estep.families.product import Product, ProductPart
from estep.testing import FAMILY_LAWS, altered, check_family, family_case

LABELS = np.repeat([0, 1, 2], 20)


def rows(share=0.0, seed=0):
    """Four columns: two jointly normal, a count, one more number; three clusters."""
    rng = np.random.default_rng(seed)
    mixing = np.array([[1.0, 0.6], [0.0, 0.8]])
    x = np.column_stack(
        [
            rng.normal(size=(60, 2)) @ mixing + 2.0 * LABELS[:, None],
            rng.poisson(1.0 + 3.0 * LABELS),
            rng.normal(size=60) - LABELS,
        ]
    )
    x[rng.random(x.shape) < share] = np.nan
    return x


def mixed():
    return Product([(Normal("VVV"), [0, 3], "size"), (Poisson(), 2), (Normal("EEI"), 1)])


@functools.cache
def case(share):
    return family_case(mixed(), rows(share), k=3, labels=LABELS)


@pytest.mark.parametrize("share", [0.0, 0.25], ids=["complete", "missing"])
@pytest.mark.parametrize("law", FAMILY_LAWS, ids=lambda law: law.__name__)
def test_law(law, share):
    law(case(share))


def test_laws_with_fixed_and_tied_entries_of_every_part():
    fixed = {"size.means": np.full((3, 2), np.nan), "2.rates": np.array([[np.nan], [2.5], [np.nan]])}
    fixed["size.means"][0, 1] = -0.5
    ties = {"1.means": np.array([[0], [0], [1]])}
    begin = case(0.25).params
    start = begin.parts["size"].means.copy()
    start[0, 1] = -0.5
    rates, means = begin.parts["2"].rates.copy(), begin.parts["1"].means.copy()
    rates[1], means[1] = 2.5, means[0]
    values = {"size.means": start, "2.rates": rates, "1.means": means}
    params = case(0.25).family.with_values(begin, values)
    check_family(mixed(), rows(0.25), k=3, labels=LABELS, params=params, constraints=Constraints(fixed, ties))


@pytest.mark.parametrize("share", [0.0, 0.2], ids=["complete", "missing"])
def test_laws_of_categories_counts_and_positive_numbers(share):
    rng = np.random.default_rng(7)
    x = np.column_stack(
        [
            rng.integers(0, 3, 60),
            rng.random(60) < 0.2 + 0.3 * LABELS,
            rng.gamma(1.0 + LABELS, 2.0),
            rng.normal(size=(60, 2)) + LABELS[:, None],
        ]
    )
    x[rng.random(x.shape) < share] = np.nan
    family = Product(
        [(Categorical(), 0, "colour"), (Bernoulli(), 1, "yes"), (Gamma(), 2, "wait"), (Normal("VVV"), [3, 4], "size")]
    )
    check_family(family, x, k=2, labels=np.minimum(LABELS, 1))


def test_a_product_of_products():
    inner = Product([(Poisson(), 0), (Normal(), 1, "z")])
    check_family(Product([(inner, [2, 3], "late"), (Normal("VVV"), [0, 1], "early")]), rows(0.2), k=3, labels=LABELS)


def test_log_density_is_the_sum_over_blocks():
    x, found = rows(0.2), case(0.25)
    family, params = found.family, found.params
    blocks = {"size": [0, 3], "2": [2], "1": [1]}
    expected = sum(
        family.family_of[b].log_density(params.parts[b], family.family_of[b].encode(x[:, at])) for b, at in blocks.items()
    )
    np.testing.assert_allclose(family.log_density(params, family.encode(x)), expected, rtol=1e-13)


# --- planted bugs: a product that is right except in one place ---


def wrong_columns(part, x):
    return part.encode(np.asarray(x)[:, ::-1])


def first_part_twice(part, params, stats):
    return part.q(params, stats) + part.family_of["size"].q(params.parts["size"], stats.parts["size"])


def score_in_another_order(part, params, stats, support):
    return part.score(params, stats, support)[::-1]


def keeps_the_poisson(part, stats, params, support):
    fitted = part.fit(stats, params, support)
    return Parts({**fitted.parts, "2": params.parts["2"]})


def unread(part, params, encoded, resp):
    return part.stats(params, encoded, np.ones_like(resp))


@pytest.mark.parametrize(
    ("method", "bug", "law"),
    [
        ("q", first_part_twice, "q_is_weighted_log_density"),
        ("score", score_in_another_order, "score_is_the_gradient_of_q"),
        ("fit", keeps_the_poisson, "fit_maximises_q"),
        ("stats", unread, "weight_two_is_seen_twice"),
    ],
)
def test_planted_bug_is_caught(method, bug, law):
    with pytest.raises(AssertionError, match=law):
        check_family(altered(mixed(), **{method: bug}), rows(), k=3, labels=LABELS)


def test_an_unaltered_wrapper_passes():
    check_family(altered(mixed()), rows(), k=3, labels=LABELS)


# --- agreement with single families ---


@functools.cache
def two_clusters():
    rng = np.random.default_rng(1)
    x = np.vstack([rng.normal(size=(60, 3)), rng.normal(size=(50, 3)) * [1.0, 2.0, 0.5] + 3.0])
    x[rng.random(x.shape) < 0.1] = np.nan
    weight = rng.integers(1, 3, 110).astype(float)
    y = np.where(np.arange(110) % 7 == 0, (np.arange(110) >= 60).astype(int), -1)
    return x, weight, y


EXACT = dict(random_state=0, tol=1e-13, n_init=3)


def test_one_normal_block_is_the_gaussian_mixture():
    x, weight, y = two_clusters()
    one = estep.GaussianMixture(2, covariance_type="VVV", **EXACT).fit(x, y, weight)
    other = estep.Mixture(Product([(Normal("VVV"), [0, 1, 2], "all")]), 2, **EXACT).fit(x, y, weight)
    assert other.log_likelihood_ == pytest.approx(one.log_likelihood_, rel=1e-13)
    np.testing.assert_allclose(other.params_["all.means"], one.means_, rtol=1e-12)


def test_normal_columns_are_the_diagonal_gaussian_mixture_with_everything_together():
    """Missing entries, weights, labels, fixed and tied entries in one fit: VVI is a product of three normals."""
    x, weight, y = two_clusters()
    free = np.nan
    one = estep.GaussianMixture(
        2,
        covariance_type="VVI",
        fixed={"means": [[0.1, free, free], [free, free, free]]},
        tied={"means": [[0, 1, 2], [3, 4, 2]]},
        **EXACT,
    ).fit(x, y, weight)
    family = Product([(Normal("VVV"), j) for j in range(3)])
    held, ties = {"0.means": [[0.1], [free]]}, {"2.means": [[0], [0]]}
    other = estep.Mixture(family, 2, fixed=held, tied=ties, **EXACT).fit(x, y, weight)
    assert other.result_.n_free == one.result_.n_free == 11
    assert other.log_likelihood_ == pytest.approx(one.log_likelihood_, rel=1e-12)
    # both stop within 1e-13 nats a unit of weight of the top, so parameters agree to about its root
    np.testing.assert_allclose(other.params_["1.means"][:, 0], one.means_[:, 1], rtol=1e-6)
    assert other.params_["0.means"][0, 0] == 0.1
    assert np.ptp(other.params_["2.means"]) == 0.0
    np.testing.assert_array_equal(other.predict(x, y=y), one.predict(x, y=y))


def test_priors_are_those_of_the_parts():
    x = rows(0.1)
    family = mixed().bind(Memory(x))
    found = family.prior(3, {"2": {"strength": 6.0}})
    np.testing.assert_array_equal(found.parts["2"].totals, family.family_of["2"].prior(3, {"strength": 6.0}).totals)
    np.testing.assert_array_equal(found.parts["size"].features, family.family_of["size"].prior(3, {}).features)
    fit = estep.Mixture(mixed(), 3, prior="default", random_state=0, n_init=2).fit(x)
    assert np.all(np.diff(fit.trace_) >= -1e-9 * abs(fit.objective_))
    assert fit.objective_ != pytest.approx(fit.log_likelihood_, abs=1e-6)


class Bare:
    """The six required methods of a Poisson column and nothing else."""

    names = ("rates",)

    def __init__(self):
        self.inner = Poisson()

    start, log_density, stats, fit, q, support = (
        lambda self, k: type(Poisson().bind(Memory(np.ones((2, 1)))).start(k))(np.ones((k, 1))),
        lambda self, params, x: self.inner.log_density(params, self.inner.encode(x)),
        lambda self, params, x, resp: self.inner.stats(params, self.inner.encode(x), resp),
        lambda self, *args: self.inner.fit(*args),
        lambda self, *args: self.inner.q(*args),
        lambda self, *args: self.inner.support(*args),
    )


def test_a_part_with_the_required_methods_alone():
    """No prior, score or sample: the product has a prior for the others, a numeric slope, and says that it cannot sample."""
    family = Product([(Bare(), 2, "visits"), (Normal(), [0, 1], "size")], ignore=[3])
    assert not hasattr(family, "sample")
    with pytest.raises(AttributeError, match="has no sample, because the family of 'visits' has none"):
        _ = family.sample
    x = rows()
    bound = family.bind(Memory(x))
    assert bound.prior(2, {}).parts["visits"] is None
    free = estep.Mixture(family, 2, random_state=0, n_init=2).fit(x)
    weak = estep.Mixture(family, 2, random_state=0, n_init=2, prior="default").fit(x)
    assert np.all(np.diff(weak.trace_) >= -1e-9 * abs(weak.objective_))
    assert free.log_likelihood_ > weak.log_likelihood_
    check_family(Product([(Bare(), 2, "visits"), (Normal(), [0, 1], "size"), (Normal(), 3)]), x, k=3, labels=LABELS)


def test_ignored_columns_are_not_read():
    x = rows(0.1)
    silly = x.copy()
    silly[:, 1] = 1e9 * np.arange(60)
    parts = [(Normal(), [0, 3], "size"), (Poisson(), 2)]
    a = estep.Mixture(Product(parts, ignore=[1]), 2, random_state=0, n_init=2).fit(x)
    b = estep.Mixture(Product(parts, ignore="rest"), 2, random_state=0, n_init=2, init=a.predict(x)).fit(silly)
    assert a.log_likelihood_ == pytest.approx(b.log_likelihood_, rel=1e-7)
    sampled = a.result_.model.sample(a.result_.params, 5, np.random.default_rng(0))[0]
    assert np.isnan(sampled[:, 1]).all()
    assert not np.isnan(np.delete(sampled, 1, axis=1)).any()


def test_a_collapse_names_the_part():
    x = rows()
    x[:20, 3] = 7.0
    family = Product([(Normal("VVV"), [0, 1], "a"), (Normal("VVV"), 3, "flat"), (Poisson(), 2)]).bind(Memory(x))
    start = family.start(3)
    resp = np.eye(3)[LABELS]
    stats, support = family.stats(start, family.encode(x), resp), family.support(start, Constraints())
    fitted = family.fit(stats, start, support)
    gone = family.dying(fitted, stats, support)
    assert isinstance(gone, Collapsed)
    assert gone.component == 0
    assert "(part 'flat')" in str(gone)
    assert family.dying(start, stats, support) is None


# --- names ---


def test_names_labels_and_access_by_name():
    family = Product({"visits": Poisson(), ("x", "y"): Normal(), "a.b": Poisson()})
    assert family.names == ("visits.rates", "x,y.means", "x,y.covariances", "a.b.rates")
    params = family.by_name(["x", "y", "visits", "a.b"]).bind(Memory(np.abs(np.rint(rows())))).start(2)
    assert getattr(params, "a.b.rates").shape == (2, 1)
    assert getattr(params, "x,y.means").shape == (2, 2)
    assert not hasattr(params, "x.means")
    assert split(family.family_of, "a.b.rates") == ("a.b", "rates")
    assert not has_nan(params)


def test_columns_by_name_in_any_order():
    x = rows(0.1)
    told = Product([(Poisson(), "visits"), (Normal(), ["x", "w"], "size"), (Normal(), ["y"])])
    placed = told.by_name(["x", "y", "visits", "w"]).bind(Memory(x))
    same = Product([(Poisson(), 2, "visits"), (Normal(), [0, 3], "size"), (Normal(), 1, "y")]).bind(Memory(x))
    a, b = placed.start(2), same.start(2)
    np.testing.assert_array_equal(placed.log_density(a, placed.encode(x)), same.log_density(b, same.encode(x)))


def test_products_travel():
    family = case(0.0).family
    for again in (copy.copy(family), copy.deepcopy(family)):
        params = case(0.0).params
        x = rows()
        np.testing.assert_array_equal(again.log_density(params, again.encode(x)), family.log_density(params, family.encode(x)))


# --- what is refused ---


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Product([]), "takes a list of"),
        (lambda: Product("poisson"), "takes a list of .*got 'poisson'"),
        (lambda: Product([(Normal(), ["x", "y"]), (Poisson(), "y")]), "uses the column 'y' twice"),
        (lambda: Product([(Normal(), [0, 0])]), "uses the column 0 twice"),
        (lambda: Product([(Normal(), 0, "a"), (Normal(), 1, "a")]), "uses the label 'a' twice"),
        (lambda: Product([(Normal(), 0, "")]), "label of a part must be a text"),
        (lambda: Product([(Normal(), [])]), "is given no columns"),
        (lambda: Product([(Normal(), -1)]), "an index from 0, got -1"),
        (lambda: Product([(Normal(), 1.5)]), "an index from 0, got 1.5"),
        (lambda: Product([Normal()]), "a part of a Product is"),
        (lambda: Product([(["x"], Normal())]), "a column is a name or an index from 0, got Normal"),
        (lambda: Product([(Normal(), [0]), (Poisson(), [1])], ignore=[-2]), "an index from 0"),
    ],
)
def test_refused_when_made(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Product([(Normal, [0])]), r"Normal is a class; give an instance, such as Normal\(\)"),
        (lambda: Product([(["x"], "x")]), "is no family; a part is"),
        (lambda: Product({"x": "poisson"}), "is no family"),
    ],
)
def test_refused_by_type(make, words):
    with pytest.raises(TypeError, match=words):
        make()


@pytest.mark.parametrize(
    ("family", "words"),
    [
        (Product([(Normal(), [0, 1]), (Poisson(), 2)]), "gives no family to column 3; add it to a part, or leave"),
        (Product([(Poisson(), 2)]), r"gives no family to 3 columns \(0, 1, 3\)"),
        (Product([(Poisson(), 9)], ignore="rest"), r"names column 9, but X has the columns 0\.\.3"),
        (Product([(Normal(), "x")]), "columns of X have no names; give a DataFrame, or indices"),
        (Product([(Poisson(), 1)], ignore="rest"), "column 1 holds .*Poisson, part '1'"),
        (Product([(Poisson(), 2)], ignore=[0, 1, 2, 3]), "uses the column 2 twice"),
    ],
)
def test_refused_by_the_data(family, words):
    with pytest.raises(ValueError, match=words):
        family.bind(Memory(rows()))


def test_an_unknown_column_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"the column 'vists', which X does not have; the nearest are \['visits'"):
        Product([(Poisson(), "vists")], ignore="rest").by_name(["x", "visits", "age"])


def test_a_constant_column_is_named_as_the_user_knows_it():
    x = rows()
    x[:, 3] = 1.0
    with pytest.raises(ValueError, match="column 'w' is constant.*part 'x,w'"):
        Product([(Normal(), ["x", "w"])], ignore="rest").by_name(["x", "y", "visits", "w"]).bind(Memory(x))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(fixed={"rates": [1.0, 2.0]}), "fixed names"),
        (dict(fixed={"2.rates": [1.0]}), "fixed"),
        (dict(prior={"strength": 2.0}), "prior names 'strength'"),
        (dict(prior={"2": {"strength": -1.0}}), "strength"),
        (dict(fixed={"2.rates": [[-1.0], [np.nan]]}), "2.rates.*at least zero"),
        (dict(tied={"2.rates": [0.5, 0.5]}), "must hold integers"),
    ],
)
def test_bad_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        estep.Mixture(mixed(), 2, n_init=2, **settings).fit(rows())


def test_parts_say_what_they_lack():
    with pytest.raises(AttributeError, match="has no 'b.means'; it has the parts"):
        _ = getattr(Parts({"a": None}), "b.means")
    with pytest.raises(ValueError, match="has the parts"):
        _ = Parts({"a": np.ones(2)}) + Parts({"b": np.ones(2)})


def test_a_part_is_a_view_where_its_columns_stand_in_a_row():
    x = rows()
    assert np.shares_memory(ProductPart(Normal(), (1, 2), "a", (1, 2)).pick(x), x)
    np.testing.assert_array_equal(ProductPart(Normal(), (2, 0), "a", (2, 0)).pick(x), x[:, [2, 0]])


def test_components_of_products():
    """A different mixed law for each component."""
    one = Product([(Normal("VVV"), [0, 1, 3], "n"), (Poisson(), 2)])
    other = Product([(Normal("VVI"), [0, 1, 3], "n"), (Poisson(), 2)])
    check_family(Components([one, other]), rows(0.1), k=2)
