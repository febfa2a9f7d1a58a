"""The laws of a structure, one by one, against enumeration: independent rows, free and constrained weights."""

import functools

import numpy as np
import pytest

from estep.core.support import Constraints
from estep.structures.iid import Iid, IidParams
from estep.testing import STRUCTURE_LAWS, brute_force, check_structure, structure_case

NAN = np.nan


def of(weights, fixed=None, tied=None):
    fixed = {} if fixed is None else {"weights": np.array(fixed)}
    tied = {} if tied is None else {"weights": np.array(tied)}
    weights = np.array(weights)
    return Iid(), weights.size, {"params": IidParams(weights), "constraints": Constraints(fixed, tied)}


CASES = {
    "free": (Iid(), 3, {}),
    "one class": (Iid(), 1, {}),
    "two classes": (Iid(), 2, {}),
    "equal": (Iid(equal=True), 3, {}),
    "one fixed": of([0.2, 0.3, 0.1, 0.4], fixed=[0.2, NAN, NAN, NAN]),
    "all fixed": of([0.2, 0.8], fixed=[0.2, 0.8]),
    "three tied": of([0.2, 0.2, 0.2, 0.4], tied=[0, 0, 0, 1]),
    "all tied": of([0.25, 0.25, 0.25, 0.25], tied=[5, 5, 5, 5]),
    "fixed and tied": of([0.1, 0.3, 0.3, 0.3], fixed=[0.1, NAN, NAN, NAN], tied=[7, 1, 1, 2]),
    "fixed at zero": of([0.0, 0.4, 0.3, 0.3], fixed=[0.0, NAN, NAN, NAN]),
}


@functools.cache
def case(name):
    structure, k, settings = CASES[name]
    return structure_case(structure, k, n=5, **settings)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("law", STRUCTURE_LAWS, ids=lambda law: law.__name__)
def test_law(law, name):
    law(case(name))


def test_six_rows_of_five_classes():
    check_structure(Iid(), 5, n=6, rng=np.random.default_rng(7))


# --- the enumeration itself, on numbers worked out by hand ---


def test_paths():
    paths = brute_force.enumerate_paths(3, 2)
    assert paths.shape == (9, 2)
    assert len(np.unique(paths, axis=0)) == 9
    assert brute_force.enumerate_paths(1, 4).tolist() == [[0, 0, 0, 0]]


def test_too_many_paths_are_refused():
    with pytest.raises(ValueError, match="cannot be enumerated"):
        brute_force.enumerate_paths(10, 7)


def test_two_rows_by_hand():
    """p(z) = 1/4 each; densities 1, 3 in the first row and 2, 2 in the second."""
    logb, prior = np.log([[1.0, 3.0], [2.0, 2.0]]), np.log(np.full(4, 0.25))
    assert brute_force.log_likelihood(prior, logb) == pytest.approx(np.log((1 + 3) * (2 + 2) / 4), rel=1e-14)
    np.testing.assert_allclose(brute_force.marginals(prior, logb), [[0.25, 0.75], [0.5, 0.5]], rtol=1e-14)
    path, value = brute_force.best_path(prior, logb)
    assert path.tolist() == [1, 0]
    assert value == pytest.approx(np.log(6 / 4), rel=1e-14)
    assert brute_force.expected(prior, logb, np.array([0.0, 0.0, 1.0, 1.0])) == pytest.approx(0.75, rel=1e-14)


def test_impossible_data_have_no_posterior():
    assert brute_force.log_likelihood(np.full(2, -np.inf), np.zeros((1, 2))) == -np.inf
    with pytest.raises(ValueError, match="probability zero"):
        brute_force.marginals(np.full(2, -np.inf), np.zeros((1, 2)))
