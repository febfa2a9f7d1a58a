"""The laws of a family, one by one, on the normal family: fourteen structures, complete rows and rows with gaps."""

import functools

import numpy as np
import pytest

from estep.core.support import Constraints
from estep.families.covariance import CODES
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.testing import FAMILY_LAWS, check_family, family_case

GAPS = {"complete": 0.0, "missing": 0.2}


def rows(share=0.0, d=3, seed=0):
    """Three clusters of unlike shape, 20 rows each, a share of the entries missing."""
    rng = np.random.default_rng(seed)
    mixing = np.array([np.eye(d), np.eye(d) + 0.5 * np.eye(d, k=1), np.diag(np.linspace(0.5, 2.0, d))])
    x = np.concatenate([rng.normal(size=(20, d)) @ m + shift for m, shift in zip(mixing, (0.0, 3.0, -3.0), strict=True)])
    x[rng.random(x.shape) < share] = np.nan
    return x


LABELS = np.repeat([0, 1, 2], 20)


@functools.cache
def case(code, gaps):
    return family_case(Normal(code), rows(GAPS[gaps]), k=3, labels=LABELS)


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("law", FAMILY_LAWS, ids=lambda law: law.__name__)
def test_law(law, code, gaps):
    law(case(code, gaps))


@pytest.mark.parametrize("code", ["VVV", "VII", "EEI"])
def test_one_column(code):
    check_family(Normal(code), rows(0.1, d=1), k=2)


@pytest.mark.parametrize("code", ["VVV", "EVE", "VVI"])
def test_one_component(code):
    check_family(Normal(code), rows(0.1), k=1)


@pytest.mark.parametrize("offset", [1e6, 1e8])
@pytest.mark.parametrize("code", ["VVV", "VEI"])
def test_far_from_zero(code, offset):
    check_family(Normal(code), offset + rows(), k=3, labels=LABELS)


@pytest.mark.parametrize(("code", "gaps"), [*((code, "missing") for code in CODES), ("VVI", "complete"), ("EVE", "complete")])
def test_fixed_and_tied_entries(code, gaps):
    """A fixed mean entry, two tied ones, a fixed covariance and two tied ones, all together."""
    family = case(code, gaps).family
    start = case(code, gaps).params
    means, covariances = start.means.copy(), start.covariances.copy()
    means[0, 0], means[2, 1], covariances[2] = -0.5, means[1, 1], covariances[1]
    shape = (3, 3) if code == "VVI" else (3,)
    fixed = {"means": np.full((3, 3), np.nan), "covariances": np.full_like(covariances, np.nan)}
    fixed["means"][0, 0], fixed["covariances"][0] = -0.5, covariances[0]
    ties = {"means": np.arange(9).reshape(3, 3), "covariances": np.arange(np.prod(shape)).reshape(shape)}
    ties["means"][2, 1], ties["covariances"][2] = ties["means"][1, 1], ties["covariances"][1]
    check_family(
        family,
        rows(GAPS[gaps]),
        k=3,
        labels=LABELS,
        params=NormalParams(means, covariances),
        constraints=Constraints(fixed, ties),
    )
