"""Categorical columns and multinomial rows: the laws of a family, levels, structural zeros, sparse counts."""

import numpy as np
import pytest
from scipy import stats
from scipy.sparse import csr_array

from estep.core.support import Constraints
from estep.data import Memory
from estep.families.categorical import DENSE, Categorical, CategoricalParams
from estep.families.multinomial import Multinomial, MultinomialParams
from estep.testing import altered, check_family

N = 60
LEVELS = (2, 3, 4)


def bound(family, x):
    return family.bind(Memory(x))


def answers(gaps=False, levels=LEVELS, n=N):
    """Codes of columns with unlike numbers of levels, every level present."""
    rng = np.random.default_rng(5)
    x = rng.integers(0, levels, size=(n, len(levels))).astype(float)
    x[0] = np.array(levels) - 1
    if gaps:
        x[rng.random(x.shape) < 0.2] = np.nan
    return x


def words(n=N, blank=False):
    x = np.random.default_rng(6).multinomial(12, [0.2, 0.3, 0.5], size=n).astype(float)
    x[: n // 2] = np.random.default_rng(7).multinomial(5, [0.6, 0.3, 0.1], size=n // 2)
    if blank:
        x[3] = np.nan
    return x


# --- laws ---


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("k", [1, 3])
def test_laws_of_categories(k, gaps):
    check_family(Categorical(), answers(gaps), k=k)


def test_laws_with_many_levels():
    """More than ``DENSE`` levels: indicators are a sparse array."""
    x = answers(True, (DENSE + 2, 3), n=200)
    assert not isinstance(bound(Categorical(), x).encode(x).features, np.ndarray)
    check_family(Categorical(), x, k=2)


@pytest.mark.parametrize("blank", [False, True])
@pytest.mark.parametrize("k", [1, 3])
def test_laws_of_multinomial_rows(k, blank):
    check_family(Multinomial(), words(blank=blank), k=k)


def test_laws_with_fixed_and_tied_answers():
    """An entry fixed, a row tied between components, a row with two levels tied."""
    x = answers(True, (3, 3))
    family = bound(Categorical(), x)
    fixed = np.full((3, 2, 3), np.nan)
    fixed[1, 1, 0] = 0.3
    ties = family.adopt_ties("probs", [[0, 1], [0, 2], [3, 4]], 3, 2, "tied['probs']")
    ties[2, 1, 2] = ties[2, 1, 1]
    probs = family.start(3).probs.copy()
    probs[1, 1], probs[2, 1] = [0.3, 0.35, 0.35], [0.2, 0.4, 0.4]
    constraints = Constraints({"probs": fixed}, {"probs": ties})
    assert family.support(CategoricalParams(probs), constraints).count == 2 + 2 + 1 + 2 + 1  # rows 0 and 3 are one
    check_family(Categorical(), x, params=CategoricalParams(probs), constraints=constraints)


def test_laws_with_fixed_and_tied_words():
    family, x = bound(Multinomial(), words()), words()
    probs = np.array([[0.5, 0.25, 0.25], [0.1, 0.45, 0.45], [0.2, 0.4, 0.4]])
    fixed = np.full((3, 3), np.nan)
    fixed[0, 0] = 0.5
    constraints = Constraints({"probs": fixed}, {"probs": np.array([[0, 1, 2], [3, 4, 4], [5, 6, 6]])})
    assert family.support(MultinomialParams(probs), constraints).count == 3
    check_family(Multinomial(), x, params=MultinomialParams(probs), constraints=constraints)


def test_a_planted_bug_is_caught():
    def uneven(family, params, encoded, resp):
        stats = family.stats(params, encoded, resp)
        return type(stats)(np.roll(stats.totals, 1, axis=1), stats.carrier)

    with pytest.raises(AssertionError, match="q_is_weighted_log_density"):
        check_family(altered(Categorical(), stats=uneven), answers(levels=(3, 3)), k=2)


# --- categories ---


def test_densities_are_products_of_table_entries():
    probs = np.array([[[0.2, 0.8, 0.0], [0.1, 0.3, 0.6]], [[1.0, 0.0, 0.0], [0.5, 0.25, 0.25]]])
    family, x = Categorical((2, 3)), np.array([[1.0, 2.0], [0.0, np.nan], [np.nan, 1.0], [np.nan, np.nan]])
    with np.errstate(divide="ignore"):
        expected = np.log([[0.8 * 0.6, 0.0], [0.2, 1.0], [0.3, 0.25], [1.0, 1.0]])
    np.testing.assert_allclose(family.log_density(CategoricalParams(probs), family.encode(x)), expected, rtol=1e-14)


def test_many_levels_and_few_give_the_same_numbers():
    """A column of two levels beside one of many: sparse or dense, the first column has the same statistics."""
    rng = np.random.default_rng(3)
    x = np.column_stack([rng.integers(0, 2, size=50), np.arange(50) % (DENSE + 1)]).astype(float)
    resp, begin = rng.random((50, 2)), np.full((2, 1, 2), 0.5)
    wide, narrow = bound(Categorical(), x), bound(Categorical(), x[:, :1])
    sums = wide.stats(None, wide.encode(x), resp).totals[:, :2, 0]
    expected = narrow.stats(CategoricalParams(begin), narrow.encode(x[:, :1]), resp).totals[:, :, 0]
    np.testing.assert_allclose(sums, expected, rtol=1e-14)


def test_levels_come_from_the_data_or_are_told():
    assert bound(Categorical(), answers()).levels == LEVELS
    told = Categorical().with_levels({2: 6})
    assert told.levels == (0, 0, 6)
    assert bound(told, answers()).levels == (2, 3, 6)
    assert list(Categorical().categorical(["a", "b"])) == [0, 1]


def test_a_category_never_seen_has_probability_zero_unless_a_prior_says_otherwise():
    x = answers(levels=(2, 3))
    family = bound(Categorical().with_levels({1: 4}), x)
    assert family.start(2).probs[0, 1, 3] == 0.0
    assert family.start(2).probs[0, 0].tolist() == [*(np.bincount(x[:, 0].astype(int)) / N), 0.0, 0.0]
    imagined = family.prior(2, {"alpha": 1.5})
    assert imagined.totals[0, 3, 1] == 0.5
    assert imagined.totals[0, 2, 0] == 0.0  # a level that the column does not have
    with pytest.raises(ValueError, match=r"prior\['alpha'\] must be a number >= 1"):
        family.prior(2, {"alpha": 0.5})
    with pytest.raises(ValueError, match="not 'alpha' with 'strength'"):
        family.prior(2, {"alpha": 2.0, "strength": 1.0})


def test_the_default_prior_imagines_one_answer_in_the_datas_proportions():
    x = answers(True)
    family = bound(Categorical(), x)
    prior = family.prior(4, {}).totals
    np.testing.assert_allclose(prior.sum(axis=1), 0.25, rtol=1e-14)
    share = np.bincount(x[~np.isnan(x[:, 1]), 1].astype(int)) / (~np.isnan(x[:, 1])).sum()
    np.testing.assert_allclose(prior[2, :3, 1], 0.25 * share, rtol=1e-14)


ADOPTED = {
    "second level": ([[0.2, 0.7], [0.1, 0.4]], (2, 2), [[0.8, 0.2], [0.3, 0.7]]),
    "whole": ([[[0.8, 0.2], [0.3, 0.7]], [[0.5, 0.5], [0.5, 0.5]]], (2, 2), [[0.8, 0.2], [0.3, 0.7]]),
    "one column": ([[0.8, 0.2], [0.3, 0.7]], (2,), [[0.8, 0.2]]),
    "one binary column": ([0.2, 0.7], (2,), [[0.8, 0.2]]),
    "ragged": ([[[0.8, 0.2, np.nan], [0.3, 0.7, 0.0]]] * 2, (2, 3), [[0.8, 0.2, 0.0], [0.3, 0.7, 0.0]]),
}


@pytest.mark.parametrize("name", ADOPTED)
def test_probabilities_are_adopted_in_every_shape(name):
    value, levels, first = ADOPTED[name]
    found = Categorical(levels).adopt("probs", value, 2, len(levels), "init['probs']")
    assert found[0].round(12).tolist() == first


@pytest.mark.parametrize(
    ("value", "levels", "words"),
    [
        ([[0.2, 0.7]], (2, 2), r"has shape \(1, 2\), expected \(2, 2, 2\)"),
        ([[0.2, 1.7], [0.1, 0.1]], (2, 2), "must be between 0 and 1, found"),
        ([[[0.5, 0.2, 0.3], [0.3, 0.7, 0.0]]] * 2, (2, 3), "gives a probability to a level that column 0 does not have"),
    ],
)
def test_bad_probabilities_are_refused(value, levels, words):
    with pytest.raises(ValueError, match=words):
        Categorical(levels).adopt("probs", value, 2, len(levels), "init['probs']")


def test_ties_of_columns_with_unlike_levels_are_refused():
    family = bound(Categorical(), answers())
    ties = family.adopt_ties("probs", [[0, 0, 1], [2, 3, 4]], 2, 3, "tied")
    with pytest.raises(ValueError, match=r"ties columns \[0, 1\], which differ in their number of levels"):
        family.support(family.start(2), Constraints(tied={"probs": ties}))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ([[0.0, 1.5]], "column 1 holds 1.5, but codes are whole numbers"),
        ([[0.0, -1.0]], "column 1 holds -1, but codes"),
        ([[np.nan, 1.0]], "column 0 has no observed value"),
    ],
)
def test_bad_codes_are_refused(x, words):
    with pytest.raises(ValueError, match=words):
        bound(Categorical(), np.array(x))


def test_a_new_code_is_refused_with_its_column():
    with pytest.raises(ValueError, match="column 0 holds 2, but its codes are 0 to 1"):
        bound(Categorical(), answers()).encode(np.array([[2.0, 0.0, 0.0]]))


def test_levels_must_be_known():
    with pytest.raises(ValueError, match="does not know its levels yet"):
        Categorical().encode(answers())
    with pytest.raises(ValueError, match="levels names 2 columns, but there are 3"):
        Categorical((2, 3)).encode(answers())


def test_start_rules_see_indicators():
    family = Categorical((2, 3))
    np.testing.assert_array_equal(family.features(np.array([[1.0, np.nan]])), [[0, 1, np.nan, np.nan, np.nan]])


# --- counts of words ---


def test_multinomial_densities_are_scipys():
    x, probs = words(), np.array([[0.2, 0.3, 0.5], [0.6, 0.4, 0.0]])
    family = Multinomial()
    found = family.log_density(MultinomialParams(probs), family.encode(x))
    expected = np.stack([stats.multinomial.logpmf(x, x.sum(axis=1).astype(int), p) for p in probs], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-11)  # lgamma of sums of a dozen


def test_sparse_rows_are_the_dense_ones():
    x, resp = words(), np.random.default_rng(0).random((N, 2))
    dense, sparse = bound(Multinomial(), x), bound(Multinomial(), csr_array(x))
    np.testing.assert_array_equal(dense.overall, sparse.overall)
    assert (dense.rows, sparse.rows) == (N, N)
    params = MultinomialParams(np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]))
    first, second = dense.encode(x), sparse.encode(csr_array(x))
    np.testing.assert_allclose(sparse.log_density(params, second), dense.log_density(params, first), rtol=1e-13)
    np.testing.assert_allclose(sparse.stats(params, second, resp).totals, dense.stats(params, first, resp).totals, rtol=1e-13)
    support = dense.support(params, Constraints())
    np.testing.assert_allclose(
        sparse.unit_scores(params, second, resp, support),
        dense.unit_scores(params, first, resp, support),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ([[1.0, np.nan], [2.0, 1.0]], "column 1 is missing in a row with other counts; a multinomial row is whole or missing"),
        ([[1.0, 0.5]], "column 1 holds 0.5, but multinomial counts"),
        (csr_array([[1.0, 0.5]]), "column 1 holds 0.5, but multinomial counts"),
        ([[0.0, 0.0]], "every count is zero"),
    ],
)
def test_bad_rows_of_counts_are_refused(x, words):
    with pytest.raises(ValueError, match=words):
        bound(Multinomial(), x if hasattr(x, "tocsr") else np.array(x))


def test_a_word_never_seen_is_no_obstacle():
    family = bound(Multinomial(), np.array([[2.0, 0.0, 1.0], [1.0, 0.0, 3.0]]))
    assert family.start(2).probs[0].tolist() == [3 / 7, 0.0, 4 / 7]
    smoothed = family.prior(2, {"alpha": 2.0})
    assert (smoothed.totals == 1.0).all()
    np.testing.assert_allclose(family.prior(2, {}).totals[0, 0], [0.75, 0.0, 1.0])  # half a row of the mean length
