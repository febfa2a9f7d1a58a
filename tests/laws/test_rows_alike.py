"""Rows grouped by missing pattern: the same groups in the same order as sorting the patterns as rows."""

import numpy as np
import pytest

from estep.families.normal_density import _alike


@pytest.mark.parametrize("d", [1, 3, 8, 9, 16, 17, 40, 64, 65])
def test_groups_are_those_of_sorted_patterns(d):
    missing = np.random.default_rng(d).random((400, d)) < 0.1
    missing[0] = True
    kinds, which = np.unique(missing, axis=0, return_inverse=True)
    expected = [np.flatnonzero(which.reshape(400) == i).tolist() for i in range(len(kinds))]
    assert [rows.tolist() for rows in _alike(missing)] == expected
