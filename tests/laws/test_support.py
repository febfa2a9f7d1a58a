"""Supports: every kind of entry, free, fixed, tied and both, goes there and back, counts, checks and carries gradients."""

import numpy as np
import pytest

from estep.core.record import record
from estep.core.support import Constraints, Ordered, Positive, Real, Simplex, Support
from estep.families.covariance import CODES
from estep.families.covariance_support import covariance_support
from estep.testing.agreement import agree
from estep.testing.coordinates import slopes

NAN = np.nan
FREE = Constraints()
FIXED = Constraints({"a": np.array([[2.0, NAN, NAN], [NAN, 0.5, NAN]])})
TIED = Constraints(tied={"a": np.array([[0, 1, 0], [2, 1, 3]])})
BOTH = Constraints({"a": np.array([[2.0, NAN, NAN], [NAN, 0.5, NAN]])}, {"a": np.array([[0, 1, 2], [1, 3, 0]])})

ARRAYS = {
    "free": (FREE, [[2.0, 1.0, 3.0], [0.7, 0.5, 4.0]], 6),
    "fixed": (FIXED, [[2.0, 1.0, 3.0], [0.7, 0.5, 4.0]], 4),
    "tied": (TIED, [[2.0, 1.0, 2.0], [0.7, 1.0, 4.0]], 4),
    "fixed and tied": (BOTH, [[2.0, 1.0, 3.0], [1.0, 0.5, 2.0]], 2),
}


def weights(fixed=None, tied=None):
    return Constraints(
        {} if fixed is None else {"a": np.array(fixed, dtype=float)}, {} if tied is None else {"a": np.array(tied)}
    )


SIMPLEXES = {
    "free": (weights(), [[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]], 4),
    "fixed": (weights([[0.2, NAN, NAN], [NAN, NAN, NAN]]), [[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]], 3),
    "fixed at zero": (weights([[0.0, NAN, NAN], [NAN, NAN, NAN]]), [[0.0, 0.4, 0.6], [0.1, 0.8, 0.1]], 3),
    "all but one fixed": (weights([[0.2, 0.3, NAN], [NAN, NAN, NAN]]), [[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]], 2),
    "a row fixed": (weights([[0.2, 0.3, 0.5], [NAN, NAN, NAN]]), [[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]], 2),
    "all fixed": (weights([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]]), [[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]], 0),
    "tied": (weights(tied=[[0, 0, 1], [2, 3, 4]]), [[0.25, 0.25, 0.5], [0.1, 0.8, 0.1]], 3),
    "a row tied": (weights(tied=[[0, 0, 0], [2, 3, 4]]), [[1 / 3, 1 / 3, 1 / 3], [0.1, 0.8, 0.1]], 2),
    "fixed and tied": (weights([[0.2, NAN, NAN], [NAN] * 3], [[0, 1, 1], [2, 3, 4]]), [[0.2, 0.4, 0.4], [0.1, 0.8, 0.1]], 2),
}


def entries():
    for name, (constraints, value, count) in ARRAYS.items():
        for kind in (Real, Positive):
            yield pytest.param(kind(constraints.pattern("a", (2, 3))), np.array(value), count, id=f"{kind.__name__} {name}")
    for name, (constraints, value, count) in SIMPLEXES.items():
        yield pytest.param(Simplex.of("a", constraints.pattern("a", (2, 3))), np.array(value), count, id=f"Simplex {name}")
    yield pytest.param(Ordered((2, 3)), np.array([[-1.0, 0.5, 2.0], [3.0, 3.5, 9.0]]), 6, id="Ordered")


ENTRIES = list(entries())


@pytest.mark.parametrize(("entry", "value", "count"), ENTRIES)
def test_there_and_back(entry, value, count):
    entry.check("a", value)
    vector = entry.pack(value, value)
    assert vector.shape == (count,)
    assert entry.count == count
    np.testing.assert_allclose(entry.unpack(vector, value), value, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize(("entry", "value", "count"), ENTRIES)
def test_any_vector_is_legal_and_comes_back(entry, value, count):
    rng = np.random.default_rng(0)
    for size in (0.1, 3.0):
        vector = size * rng.standard_normal(count)
        there = entry.unpack(vector, value)
        entry.check("a", there)
        np.testing.assert_allclose(entry.pack(there, value), vector, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("entry", "value", "count"), ENTRIES)
def test_pull_is_the_chain_rule(entry, value, count):
    """Of a function whose derivative differs from entry to entry, so that sums over ties are seen."""
    slope_of = np.random.default_rng(1).normal(size=value.shape)

    def smooth(vector):
        there = entry.unpack(vector, value)
        return float((slope_of * there + np.sin(there)).sum())

    found = entry.pull(value, slope_of + np.cos(value))
    agree("chain rule", "pull", found, slopes(smooth, entry.pack(value, value))[0], rtol=1e-7, atol=1e-8)


FIXED_PLACES = {"fixed": [(0, 0), (1, 1)], "fixed and tied": [(0, 0), (1, 1), (1, 2)]}


@pytest.mark.parametrize("kind", [Real, Positive])
@pytest.mark.parametrize("name", FIXED_PLACES)
def test_a_fixed_entry_never_moves_and_all_others_do(kind, name):
    constraints, value, count = ARRAYS[name]
    there = kind(constraints.pattern("a", (2, 3))).unpack(np.full(count, 0.123), np.array(value))
    still = there == np.array(value)
    assert [tuple(place) for place in np.argwhere(still).tolist()] == FIXED_PLACES[name]


def test_tied_entries_share_one_value():
    there = Real(TIED.pattern("a", (2, 3))).unpack(np.array([1.0, 2.0, 3.0, 4.0]), np.zeros((2, 3)))
    assert there.tolist() == [[1.0, 2.0, 1.0], [3.0, 2.0, 4.0]]


def test_an_entry_tied_to_a_fixed_one_is_fixed():
    pattern = BOTH.pattern("a", (2, 3))
    assert pattern.groups.tolist() == [[-1, 0, 1], [0, -1, -1]]
    assert pattern.values[1, 2] == 2.0


# --- simplex: the maximum of sum counts log p ---


@pytest.mark.parametrize("name", SIMPLEXES)
def test_share_maximises(name):
    constraints, value, count = SIMPLEXES[name]
    simplex = Simplex.of("a", constraints.pattern("a", (2, 3)))
    counts = np.array([[0.0 if name == "fixed at zero" else 4.0, 2.5, 7.0], [3.0, 1.0, 0.5]])
    best = simplex.share(counts)
    simplex.check("a", best)
    held = counts > 0

    def height(p):
        return float((counts[held] * np.log(p[held])).sum())

    slope, _ = slopes(lambda v: height(simplex.unpack(v, best)), simplex.pack(best, best))
    np.testing.assert_allclose(slope, 0.0, atol=1e-8 * counts.sum())
    assert height(best) >= height(np.array(value))
    fixed = constraints.fixed.get("a", np.full((2, 3), NAN))
    np.testing.assert_array_equal(best[~np.isnan(fixed)], fixed[~np.isnan(fixed)])


def test_share_of_nothing_is_even():
    assert Simplex.of("a", weights().pattern("a", (1, 4))).share(np.zeros((1, 4))).tolist() == [[0.25] * 4]


def test_a_zero_count_gives_a_zero():
    assert Simplex.of("a", weights().pattern("a", (1, 2))).share(np.array([[0.0, 3.0]])).tolist() == [[0.0, 1.0]]


# --- what is refused ---


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        (Real(FREE.pattern("a", (2,))), [1.0, NAN], "a holds a value that is not finite"),
        (Positive(FREE.pattern("a", (2,))), [1.0, 0.0], "a must be above zero, found 0"),
        (Positive(FREE.pattern("a", (2,))), [1.0, np.inf], "a holds a value that is not finite"),
        (Ordered((3,)), [1.0, 3.0, 3.0], "a must increase strictly"),
        (Simplex.of("a", FREE.pattern("a", (2,))), [0.5, 0.6], "a must sum to one"),
        (Simplex.of("a", FREE.pattern("a", (2,))), [-0.1, 1.1], "a holds a negative probability"),
    ],
)
def test_what_lies_outside_is_refused(entry, value, words):
    with pytest.raises(ValueError, match=words):
        entry.check("a", np.array(value))


def test_fixed_at_two_values_and_tied_is_a_conflict():
    conflict = Constraints({"a": np.array([1.0, 2.0, NAN])}, {"a": np.array([0, 0, 1])})
    with pytest.raises(ValueError, match="fixed and tied disagree: entries of 'a' tied by 0 are fixed at different values"):
        conflict.pattern("a", (3,))


def test_wrong_shapes_and_types_are_refused():
    with pytest.raises(ValueError, match=r"fixed\['a'\] has shape \(2,\), expected \(3,\)"):
        Constraints({"a": np.ones(2)}).pattern("a", (3,))
    with pytest.raises(ValueError, match=r"tied\['a'\] has shape \(2,\), expected \(3,\)"):
        Constraints(tied={"a": np.array([0, 1])}).pattern("a", (3,))
    with pytest.raises(ValueError, match="must hold integers"):
        Constraints(tied={"a": np.array([0.0, 1.0, 1.0])}).pattern("a", (3,))


@pytest.mark.parametrize(
    ("fixed", "tied", "words"),
    [
        ([[0.7, 0.6, NAN]], None, "sum to at most one"),
        ([[-0.1, NAN, NAN]], None, "must be >= 0"),
        ([[0.2, 0.2, 0.2]], None, "every entry is fixed but they sum to 0.6"),
        (None, [[0, 1, 2], [0, 3, 4]], "tie within a row only"),
    ],
)
def test_probabilities_that_cannot_be_are_refused(fixed, tied, words):
    constraints = weights(fixed, tied)
    with pytest.raises(ValueError, match=words):
        Simplex.of("a", constraints.pattern("a", np.shape(fixed if tied is None else tied)))


# --- supports of several parameters ---


@record
class Params:
    rates: np.ndarray
    shares: np.ndarray


PARAMS = Params(np.array([1.0, 2.0]), np.array([0.3, 0.7]))


def support(constraints=FREE):
    return Support(
        {
            "rates": Positive(constraints.pattern("rates", (2,))),
            "shares": Simplex.of("shares", constraints.pattern("shares", (2,))),
        }
    )


def test_a_support_joins_its_entries_in_order():
    assert support().count == 3
    np.testing.assert_allclose(support().pack(PARAMS), [0.0, np.log(2.0), np.log(0.3 / 0.7)], rtol=1e-14)
    joined = Support.join(inner=support())
    assert list(joined.entries) == ["inner.rates", "inner.shares"]


def test_a_support_leaves_parameters_without_an_entry_alone():
    only_rates = Support({"rates": support().entries["rates"]})
    there = only_rates.unpack(np.array([0.5, 0.5]), PARAMS)
    assert there.shares is PARAMS.shares


def test_everything_fixed_has_no_coordinates():
    held = support(Constraints({"rates": PARAMS.rates, "shares": PARAMS.shares}))
    assert held.count == 0
    assert held.pack(PARAMS).shape == (0,)
    there = held.unpack(np.empty(0), PARAMS)
    assert there.rates.tolist() == [1.0, 2.0]
    assert there.shares.tolist() == [0.3, 0.7]


def test_a_support_names_the_parameter_it_refuses():
    with pytest.raises(ValueError, match="rates must be above zero"):
        support().check(Params(np.array([1.0, -2.0]), PARAMS.shares))
    with pytest.raises(ValueError, match="shares must sum to one"):
        Support.join(inner=support())
        support().check(Params(PARAMS.rates, np.array([0.5, 0.6])))


# --- covariances: components fixed and tied ---


@pytest.mark.parametrize("code", CODES)
def test_fixed_and_tied_covariances(code):
    k, d = 4, 2
    base = (
        np.repeat(np.array([1.0, 2.0]), 1) * np.ones((k, 1))
        if code.endswith("I")
        else np.tile([[2.0, 0.3], [0.3, 1.0]], (k, 1, 1))
    )
    if code in ("EII", "VII"):
        base = np.ones((k, d))
    fixed = np.full_like(base, np.nan)
    fixed[0] = base[0]
    ties = np.array([0, 1, 1, 2])
    if code == "VVI":
        ties = ties[:, None] * d + np.arange(d)
    entry = covariance_support(code, Constraints({"covariances": fixed}, {"covariances": ties}), k, d)
    vector = entry.pack(base, base)
    assert vector.shape == (entry.count,)
    there = entry.unpack(vector + 0.1 * np.random.default_rng(3).standard_normal(entry.count), base)
    np.testing.assert_array_equal(there[0], base[0])
    np.testing.assert_array_equal(there[1], there[2])
    assert not np.allclose(there[1], base[1], rtol=1e-3)
    entry.check("covariances", there)
    np.testing.assert_allclose(entry.unpack(vector, base), base, rtol=1e-12)


def test_many_rows_together_are_each_alone():
    """Several simplexes without constraints are treated at once; each alone gives the same to rounding."""
    rng = np.random.default_rng(0)
    together = Simplex.of("weights", Constraints().pattern("weights", (3, 2, 4)))
    alone = [Simplex((row,), (1, 4)) for row in together.rows]
    assert together.many and not alone[0].many
    value, gradient, counts = rng.dirichlet(np.ones(4), size=(6,)), rng.normal(size=(6, 4)), rng.random((6, 4))
    counts[0] = 0.0  # a row without counts has equal shares
    vector = rng.normal(size=together.count)

    def whole(rows):
        return np.asarray(rows).reshape(3, 2, 4)

    each = [one.pack(v[None], v[None]) for one, v in zip(alone, value, strict=True)]
    np.testing.assert_allclose(together.pack(whole(value), whole(value)), np.concatenate(each), rtol=1e-13)
    each = [one.pull(v[None], g[None]) for one, v, g in zip(alone, value, gradient, strict=True)]
    np.testing.assert_allclose(together.pull(whole(value), whole(gradient)), np.concatenate(each), rtol=1e-12, atol=1e-15)
    each = [one.unpack(v, value[:1]) for one, v in zip(alone, vector.reshape(6, 3), strict=True)]
    np.testing.assert_allclose(together.unpack(vector, whole(value)), whole(each), rtol=1e-13)
    each = [one.share(c[None]) for one, c in zip(alone, counts, strict=True)]
    np.testing.assert_allclose(together.share(whole(counts)), whole(each), rtol=1e-14)
    assert together.share(whole(counts))[0, 0].tolist() == [0.25] * 4
