"""Records: they add and scale field by field, keep what is shared, and come apart and together by dotted names."""

from typing import Any

import numpy as np
import pytest

from estep.core.record import has_nan, identical, is_record, leaves, rebuild, record, shared, transform


@record
class Moments:
    count: float
    total: Any
    anchor: Any = shared(default=0.0)


@record
class Nested:
    parts: tuple
    inner: Moments
    absent: Any = None


def nested(c=1.0):
    return Nested((c, np.full(2, c)), Moments(c, np.array([c, 2 * c])), None)


def test_every_field_adds():
    total = nested(1.0) + nested(2.0)
    assert total.parts[0] == 3.0
    assert total.parts[1].tolist() == [3.0, 3.0]
    assert total.inner.total.tolist() == [3.0, 6.0]
    assert total.absent is None


def test_every_field_scales_from_both_sides():
    for scaled in (nested() * 2.5, 2.5 * nested(), nested() * np.float64(2.5)):
        assert scaled.parts[0] == 2.5
        assert scaled.inner.total.tolist() == [2.5, 5.0]
    assert (nested() * 0.0).inner.count == 0.0


def test_sums_do_not_change_their_terms():
    a, b = nested(1.0), nested(2.0)
    before = [np.array(v) for _, v in leaves(a)]
    _ = a + b, a * 3.0
    assert all(np.array_equal(v, old) for (_, v), old in zip(leaves(a), before, strict=True))


def test_records_cannot_be_changed_or_subtracted():
    with pytest.raises(AttributeError):
        nested().absent = 1.0
    with pytest.raises(TypeError):
        nested() - nested()


@pytest.mark.parametrize("c", [-1.0, np.nan, np.ones(2), "2"])
def test_a_record_is_scaled_by_a_number_from_zero_on(c):
    with pytest.raises((ValueError, TypeError)):
        Moments(1.0, np.ones(2)) * c


# --- shared fields ---


def test_shared_fields_are_kept():
    total = Moments(1.0, 2.0, np.array([5.0])) + Moments(1.0, 2.0, np.array([5.0]))
    assert total.anchor.tolist() == [5.0]
    assert (total * 3.0).anchor.tolist() == [5.0]
    assert (total * 3.0).count == 6.0


def test_shared_fields_must_be_equal():
    with pytest.raises(ValueError, match=r"Moments\.anchor is shared and differs"):
        Moments(1.0, 2.0, np.array([5.0])) + Moments(1.0, 2.0, np.array([5.0 + 1e-12]))


# --- what does not fit together ---


def test_records_of_other_types_do_not_add():
    with pytest.raises(TypeError):
        nested() + Moments(1.0, 2.0)
    with pytest.raises(TypeError):
        nested() + 1.0


@pytest.mark.parametrize(("a", "b"), [(np.ones(2), np.ones(3)), (np.ones(1), np.ones(3)), (np.ones(3), 1.0), (1.0, np.ones(3))])
def test_arrays_of_other_shapes_do_not_add(a, b):
    """Broadcasting would hide a mistake: the count of one component added to those of three."""
    with pytest.raises(ValueError, match=r"Moments\.total has shape"):
        Moments(1.0, a) + Moments(1.0, b)


def test_none_and_a_value_do_not_add():
    for left, right in ((None, 1.0), (1.0, None)):
        with pytest.raises(ValueError, match=r"Moments\.total is None in one term"):
            Moments(1.0, left) + Moments(1.0, right)


def test_tuples_of_other_lengths_do_not_add():
    with pytest.raises(ValueError):
        Nested((1.0,), nested().inner) + nested()


# --- leaves ---


def test_leaves_have_dotted_names_in_order():
    names = [name for name, _ in leaves(nested())]
    assert names == ["parts.0", "parts.1", "inner.count", "inner.total", "inner.anchor"]


def test_rebuild_is_the_inverse_of_leaves():
    value = nested(3.0)
    assert identical(rebuild(nested(1.0), dict(leaves(value))), value)
    assert not identical(nested(1.0), value)


def test_transform_changes_every_leaf():
    doubled = transform(nested(1.0), lambda name, leaf: 2 * np.asarray(leaf))
    assert identical(doubled, transform(nested(2.0), lambda name, leaf: leaf))
    named = transform(nested(1.0), lambda name, leaf: 0.0 if name == "inner.count" else leaf)
    assert named.inner.count == 0.0
    assert named.parts[0] == 1.0


def test_identical_means_the_same_bits():
    assert identical(Moments(np.nan, np.array([1.0])), Moments(np.nan, np.array([1.0])))
    assert not identical(Moments(1.0, np.array([1.0])), Moments(1.0, np.array([np.nextafter(1.0, 2.0)])))
    assert not identical(Moments(1.0, np.ones(2)), Moments(1.0, None))
    assert not identical(Moments(1.0, np.ones(2)), Moments(1.0, np.ones((2, 1))))


@pytest.mark.parametrize(("bad", "found"), [(1.0, False), (np.nan, True), (np.inf, True), (-np.inf, True)])
def test_values_that_are_not_finite_are_found(bad, found):
    assert has_nan(Nested((1.0, np.array([1, 2])), Moments(1.0, np.array([0.0, bad])))) is found


def test_a_record_is_a_value_and_not_its_class():
    assert is_record(nested())
    assert not is_record(Nested)
    assert not is_record({"a": 1.0})
