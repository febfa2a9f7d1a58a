"""What laws on independent columns share: boundaries, tied and fixed entries, priors, start, seat, words of refusal."""

import dataclasses

import numpy as np
import pytest

from estep.core.ranges import END, NonNegative, Probability, TiedRows
from estep.core.support import Constraints, Pattern
from estep.data import Memory
from estep.families.bernoulli import Bernoulli, BernoulliParams
from estep.families.columns import ratio
from estep.families.poisson import Poisson, PoissonParams
from estep.testing import altered, check_family


def bound(family, x):
    return family.bind(Memory(np.asarray(x, dtype=float)))


def free(shape):
    return Pattern(np.arange(int(np.prod(shape))).reshape(shape), np.full(shape, np.nan))


# --- ends of a range are legal ---


def test_a_rate_of_zero_bars_what_it_bars_and_nothing_else():
    params = PoissonParams(np.array([[0.0, 3.0], [2.0, 3.0]]))
    family, x = Poisson(), np.array([[0.0, 4.0], [1.0, 4.0], [np.nan, 4.0]])
    logb = family.log_density(params, family.encode(x))
    assert logb[1, 0] == -np.inf
    assert np.isfinite(np.delete(logb, 2)).all()  # the flat index of row 1, component 0
    alone = family.log_density(PoissonParams(params.rates[:, 1:]), family.encode(x[:, 1:]))
    np.testing.assert_allclose(logb[[0, 2], 0], alone[[0, 2], 0], rtol=1e-15)  # exp(-0) and a missing entry are factors of 1


def test_ends_give_no_nan_in_q_score_or_unit_scores():
    x = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    family, resp = bound(Bernoulli(), x), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    params = BernoulliParams(np.array([[1.0, 0.0], [1.0, 1.0]]))
    support, stats = family.support(params, Constraints()), family.stats(params, family.encode(x), resp)
    assert family.q(params, stats) == 0.0  # every observed value has probability one
    assert not family.score(params, stats, support).any()
    assert not family.unit_scores(params, family.encode(x), resp, support).any()
    wrong = BernoulliParams(1.0 - params.probs)
    assert family.q(wrong, stats) == -np.inf


@pytest.mark.parametrize(("entry", "values"), [(NonNegative, [0.0, 1e-300, 2.0]), (Probability, [0.0, 0.3, 1.0])])
def test_ends_pack_to_finite_coordinates_and_come_back(entry, values):
    value = np.array([values])
    support = entry(free(value.shape))
    vector = support.pack(value, value)
    assert np.isfinite(vector).all()
    assert np.abs(vector).max() <= END
    np.testing.assert_allclose(support.unpack(vector, value), value, rtol=1e-12)  # exp(log x) at log x of several hundred
    assert support.pull(value, np.ones_like(value))[0] == 0.0


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [(NonNegative, -1.0, "at least zero, found -1"), (Probability, 1.5, "between 0 and 1, found 1.5")],
)
def test_values_outside_a_range_are_named(entry, value, words):
    with pytest.raises(ValueError, match=f"rates must be .*{words}"):
        entry(free((1,))).check("rates", np.array([value]))


# --- fixed and tied entries ---


def test_tied_entries_pool_their_statistics():
    x = np.array([[1.0, 5.0], [2.0, 6.0], [4.0, np.nan]])
    family, resp = bound(Poisson(), x), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    begin = PoissonParams(np.ones((2, 2)))
    ties = Constraints(tied={"rates": np.array([[0, 1], [0, 2]])})
    fitted = family.fit(family.stats(begin, family.encode(x), resp), begin, family.support(begin, ties))
    assert fitted.rates[:, 0].tolist() == [7 / 3, 7 / 3]
    assert fitted.rates[0, 1] == 5.5
    assert fitted.rates[1, 1] == 1.0  # no row of component 1 has a value there: it stays


def test_ratio_keeps_what_is_fixed():
    pattern = Constraints(fixed={"a": np.array([[np.nan, 7.0]])}).pattern("a", (1, 2))
    assert ratio(np.array([[6.0, 6.0]]), np.array([[2.0, 2.0]]), np.array([[1.0, 7.0]]), pattern).tolist() == [[3.0, 7.0]]


def test_rows_of_probabilities_are_tied_whole_or_refused():
    groups = np.array([[[0, 1, 2], [3, 4, 5]], [[0, 1, 2], [6, 7, 8]]])
    entry = TiedRows.of("probs", Pattern(groups, np.full(groups.shape, np.nan)))
    assert entry.count == 3 * 2  # three distinct rows
    counts = np.array([[[2.0, 1.0, 0.0], [1.0, 1.0, 2.0]], [[0.0, 1.0, 4.0], [0.0, 0.0, 0.0]]])
    found = entry.share(counts, np.full(groups.shape, 1 / 3))
    np.testing.assert_allclose(found[0, 0], [0.25, 0.25, 0.5])
    np.testing.assert_array_equal(found[0, 0], found[1, 0])
    np.testing.assert_allclose(found[1, 1], 1 / 3)  # no counts: it stays
    groups[1, 0] = [0, 9, 10]
    with pytest.raises(ValueError, match="ties some probabilities of one row to another row; tie rows whole"):
        TiedRows.of("probs", Pattern(groups, np.full(groups.shape, np.nan)))


def test_the_pattern_of_tied_rows_is_the_one_given():
    groups = np.array([[0, 1], [2, 3], [0, 1], [-1, -1]])
    values = np.where(groups < 0, 0.5, np.nan)
    pattern = TiedRows.of("probs", Pattern(groups, values)).pattern
    first = np.unique(pattern.groups[groups >= 0], return_inverse=True)[1]
    assert (pattern.groups[3] == -1).all()
    assert len(set(zip(first.tolist(), groups[groups >= 0].tolist(), strict=True))) == 4  # one name for one name
    np.testing.assert_array_equal(pattern.values[3], 0.5)


# --- start, prior, seat ---


def test_the_start_is_the_whole_of_the_data():
    x = np.array([[1.0, np.nan], [3.0, 4.0]])
    np.testing.assert_array_equal(bound(Poisson(), x).start(2).rates, [[2.0, 4.0], [2.0, 4.0]])


def test_the_prior_imagines_rows_like_the_data():
    x = np.array([[1.0], [3.0], [2.0], [np.nan]])
    family = bound(Poisson(), x)
    prior = family.prior(2, {"strength": 4.0})
    np.testing.assert_allclose(prior.totals[:, 0], 2.0)  # four rows for two components
    np.testing.assert_allclose(prior.totals[:, 1], 4.0)
    begin = family.start(2)
    none = family.stats(begin, family.encode(x), np.zeros((4, 2)))
    fitted = family.fit(none + prior, begin, family.support(begin, Constraints()))
    np.testing.assert_allclose(fitted.rates, 2.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dof": 3}, "has no setting 'dof'"),
        ({"strength": -1}, "must be a number of imagined rows >= 0"),
        ({"strength": [1, 2]}, "must be"),
    ],
)
def test_settings_of_a_prior_are_checked(settings, words):
    with pytest.raises(ValueError, match=words):
        bound(Poisson(), [[1.0]]).prior(2, settings)


def test_a_seat_is_between_the_row_and_the_data():
    family = bound(Poisson(), [[1.0, 10.0], [3.0, 30.0]])
    moved = family.seat(family.start(2), 1, np.array([8.0, np.nan]))
    np.testing.assert_allclose(moved.rates, [[2.0, 20.0], [5.0, 20.0]])


def test_weights_are_counts_of_rows():
    x, weight = np.array([[1.0], [4.0]]), np.array([3.0, 1.0])
    weighted = Poisson().bind(Memory(x, weight=weight))
    written = bound(Poisson(), np.repeat(x, [3, 1], axis=0))
    np.testing.assert_array_equal(weighted.overall, written.overall)


# --- words ---


def test_a_column_without_values_is_refused():
    with pytest.raises(ValueError, match="column 1 has no observed value; drop it"):
        bound(Poisson(), [[1.0, np.nan], [2.0, np.nan]])


@pytest.mark.parametrize("value", [-1.0, 2.5, np.inf])
def test_what_is_no_count_is_refused_with_its_column(value):
    with pytest.raises(ValueError, match=rf"column 1 holds {value:g}, but Poisson counts are whole numbers"):
        bound(Poisson(), [[1.0, 2.0], [1.0, value]])


@pytest.mark.parametrize(
    ("value", "words"),
    [([[1.0, 2.0]], r"shape \(1, 2\), expected \(2, 1\)"), ([-1.0, 2.0], "at least zero"), (["a", "b"], "array of numbers")],
)
def test_a_users_array_is_checked(value, words):
    with pytest.raises(ValueError, match=f"init.*{words}"):
        Poisson().adopt("rates", value, 2, 1, "init['rates']")


def test_statistics_before_binding_are_refused():
    with pytest.raises(ValueError, match="has seen no data yet: call bind"):
        Poisson().start(2)


# --- negative control ---


def forgetful(family, x):
    """An encoding whose normaliser forgets that entries may be missing."""
    block = family.encode(x)
    features = block.features.copy()
    features[: x.shape[1]] = 1.0
    return dataclasses.replace(block, features=features)


def smoothed(family, stats, params, support):
    """A fit that adds one to every count."""
    return family.fit(dataclasses.replace(stats, totals=stats.totals + 1.0), params, support)


@pytest.mark.parametrize(
    ("bug", "law"), [({"encode": forgetful}, "missing_rows_say_nothing"), ({"fit": smoothed}, "fit_maximises_q")]
)
def test_a_planted_bug_is_caught(bug, law):
    x = np.random.default_rng(0).poisson(3.0, size=(40, 2)).astype(float)
    x[::5, 0] = np.nan
    check_family(altered(Poisson()), x, k=2)
    with pytest.raises(AssertionError, match=law):
        check_family(altered(Poisson(), **bug), x, k=2)
