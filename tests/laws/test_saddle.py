"""Saddle points are found, told from maxima and ridges, and left; on Murray's twelve pairs and on a mixture."""

import dataclasses

import numpy as np
import pytest

from estep.core.result import Status
from estep.core.support import Constraints
from estep.data import Memory
from estep.engine.fit import fit
from estep.engine.presets import variant_of
from estep.engine.run import Control
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.inference.saddle import find_rise, leave_saddles, name_saddle
from estep.models.latent import Latent, LatentParams
from estep.structures.iid import Iid, IidParams

NAN = np.nan
MURRAY = np.array(
    [(1, 1), (1, -1), (-1, 1), (-1, -1), (2, NAN), (2, NAN), (-2, NAN), (-2, NAN), (NAN, 2), (NAN, 2), (NAN, -2), (NAN, -2)]
)


def murray(rho):
    data = Memory(MURRAY)
    model = Latent(Iid(), Normal(), 1).bind(data)
    start = NormalParams(np.zeros((1, 2)), np.array([[[1.0, rho], [rho, 1.0]]]))
    return model, data, fit(model, data, LatentParams(IidParams(np.ones(1)), start), tol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_the_saddle_is_found_named_and_left(scale):
    """In any unit: the test is about eigenvalues of the rate matrix, which have none."""
    data = Memory(MURRAY * scale)
    model = Latent(Iid(), Normal(), 1).bind(data)
    start = LatentParams(IidParams(np.ones(1)), NormalParams(np.zeros((1, 2)), scale**2 * np.eye(2)[None]))
    end = fit(model, data, start, tol=1e-12)
    assert abs(end.params.family.covariances[0, 0, 1]) < 1e-9 * scale**2
    rise = find_rise(model, data, end)
    assert rise is not None
    assert "covariances[0, 0, 1]" in name_saddle(model, data, end).message
    assert name_saddle(model, data, end).status is Status.SADDLE
    left = leave_saddles(model, data, end, variant_of("em", "auto"), Control(tol=1e-12))
    assert left.objective - end.objective == pytest.approx(30.0333423863 - 29.9742864105, abs=1e-7)
    assert "0.0591 nats below" in left.message
    assert [row.start for row in left.starts.rows][1:] == ["off the saddle, one way", "off the saddle, the other way"]
    assert find_rise(model, data, left) is None


@pytest.mark.parametrize("rho", [0.1, -0.1])
def test_the_maxima_are_none(rho):
    model, data, end = murray(rho)
    assert find_rise(model, data, end) is None
    assert name_saddle(model, data, end) is end
    assert leave_saddles(model, data, end, variant_of("em", "none"), Control()) is end


def test_a_ridge_is_none():
    """Columns never seen together: the likelihood is flat along a line, and does not rise."""
    X = np.random.default_rng(0).normal(size=(40, 3))
    X[:20, 0] = X[20:, 1] = NAN
    data = Memory(X)
    model = Latent(Iid(), Normal(), 1).bind(data)
    end = fit(model, data, model.start(), tol=1e-12)
    assert find_rise(model, data, end) is None


def test_equal_components_are_a_saddle_of_a_mixture():
    """Any model: two clusters of known variance, and a start at which both components are the whole of the data."""
    rng = np.random.default_rng(1)
    data = Memory(np.concatenate([rng.normal(size=(60, 1)), 4 + rng.normal(size=(60, 1))]))
    known = Constraints(fixed=dict(covariances=np.ones((2, 1))))
    model = dataclasses.replace(Latent(Iid(), Normal("EII"), 2).bind(data), constraints=known)
    start = model.start()
    end = fit(model, data, LatentParams(start.structure, NormalParams(start.family.means, np.ones((2, 1)))), tol=1e-12)
    assert np.ptp(end.params.family.means) < 1e-9
    left = leave_saddles(model, data, end, variant_of("em", "auto"), Control())
    assert left.objective > end.objective + 10
    np.testing.assert_allclose(np.sort(left.params.family.means.ravel()), [0, 4], atol=0.6)


def test_what_is_fixed_is_not_a_way_up():
    """With the covariance held, the saddle of the whole is the maximum of what is left."""
    model, data, _ = murray(0.0)
    held = dataclasses.replace(model, constraints=Constraints(fixed=dict(covariances=2.5 * np.eye(2)[None])))
    start = LatentParams(IidParams(np.ones(1)), NormalParams(np.zeros((1, 2)), 2.5 * np.eye(2)[None]))
    assert find_rise(held, data, fit(held, data, start, tol=1e-12)) is None
