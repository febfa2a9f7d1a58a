"""Equal rows counted once: patterns and weights against a dictionary of rows, for any mixture of columns."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from estep.data.distinct import distinct

SLOW = settings(max_examples=150, deadline=None)
VALUES = {
    "digits": st.integers(0, 3).map(float),
    "missing": st.sampled_from([0.0, 1.0, np.nan]),
    "odd": st.sampled_from([0.5, -0.0, 0.0, 1e300, -1e300, 5e-324, np.nan]),
    "wide": st.sampled_from([0.0, 2.0**62, -(2.0**62), 7.0, 1e9, np.nan]),
    "any": st.floats(allow_infinity=True, width=64),
}


@st.composite
def carried(draw):
    """A matrix whose columns are of different kinds, and what else rows carry: groups, permitted classes, a part beside."""
    n = draw(st.integers(0, 12))
    kinds = draw(st.lists(st.sampled_from([*VALUES]), min_size=0, max_size=4))
    columns = [draw(arrays(float, n, elements=VALUES[kind])) for kind in kinds]
    x = np.column_stack(columns) if columns else np.empty((n, 0))
    groups = draw(st.none() | arrays(np.int64, n, elements=st.sampled_from([-1, 0, 2, 2**40])))
    allowed = draw(st.none() | arrays(bool, (n, 2)))
    beside = draw(st.none() | arrays(np.float32, n, elements=st.sampled_from([0.25, 1.0])))
    weight = draw(st.none() | arrays(float, n, elements=st.sampled_from([0.5, 1.0, 3.0])))
    return (x, (beside, groups), allowed), weight, n


def row_of(array, i):
    """A row as a key: zeros have no sign, NaN equals NaN."""
    return tuple("nan" if v != v else float(v) + 0.0 for v in np.atleast_1d(array[i]).tolist())


def keys_of(parts, n):
    x, (beside, groups), allowed = parts
    given = [array for array in (x, beside, groups, allowed) if array is not None]
    return [tuple(row_of(array, i) for array in given) for i in range(n)]


@SLOW
@given(carried())
def test_the_patterns_are_those_of_a_dictionary(case):
    parts, weight, n = case
    found = distinct(parts, weight)
    keys = keys_of(parts, n)
    assert len(found.first) == len(set(keys)) == len(found.weight)
    assert [keys[found.first[m]] for m in found.member] == keys
    for p, first in enumerate(found.first):
        same = [i for i in range(n) if keys[i] == keys[first]]
        assert first == same[0]
        assert found.weight[p] == (len(same) if weight is None else weight[same].sum())


@SLOW
@given(carried(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(case, random):
    parts, weight, n = case
    order = np.array(random.sample(range(n), n), dtype=int)
    x, (beside, groups), allowed = parts

    def moved(array):
        return None if array is None else array[order]

    here = distinct(parts, weight)
    there = distinct((moved(x), (moved(beside), moved(groups)), moved(allowed)), moved(weight))
    keys = keys_of(parts, n)
    assert [keys[i] for i in here.first] == [keys[order[i]] for i in there.first]
    np.testing.assert_array_equal(here.member[order], there.member)
    np.testing.assert_allclose(here.weight, there.weight, rtol=1e-14)


def test_keys_beyond_one_integer():
    """Forty columns of a hundred values are 265 bits: the key is ranked on the way, and stays exact."""
    rng = np.random.default_rng(0)
    rows = rng.integers(100, size=(50, 40)).astype(float)
    x = rows[rng.integers(50, size=400)]
    found = distinct(x)
    assert len(found.first) == len(np.unique(x, axis=0))
    np.testing.assert_array_equal(x[found.first][found.member], x)
    nearly = np.vstack([rows[:1], rows[:1]])
    nearly[1, -1] += 1
    assert len(distinct(nearly).first) == 2, "the last column counts"


def test_sparse_rows_are_left_alone():
    from scipy.sparse import csr_array

    assert distinct((csr_array(np.eye(3)), None)) is None
    assert distinct((None, None)) is None


def test_a_million_rows():
    """No time is asserted: what is checked is that the keys of many rows fit and that the counts are those of numpy."""
    rng = np.random.default_rng(1)
    x = rng.integers(2, size=(1_000_000, 10)).astype(float)
    found = distinct(x)
    code = x @ 2.0 ** np.arange(10)
    np.testing.assert_array_equal(found.weight, np.bincount(code.astype(int), minlength=1024))
    np.testing.assert_array_equal(x[found.first] @ 2.0 ** np.arange(10), np.arange(1024))
