"""Components that are mixtures themselves: the laws of a family with a hidden part, and known special cases."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

import estep
from estep.core.assign import SOFT, Sampled, Tempered, normalise
from estep.core.record import Array
from estep.core.support import Constraints
from estep.families.mixed import Mixed, MixedParams
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.families.poisson import Poisson
from estep.testing import check_family


def rows(gaps: bool = False) -> Array:
    rng = np.random.default_rng(0)
    x = rng.choice([-3.0, 0.0, 4.0], size=(60, 2)) + rng.normal(size=(60, 2))
    if gaps:
        x[::5, 0] = np.nan
        x[7] = np.nan
    return x


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("code", ["full", "diag"])
def test_laws(code: str, gaps: bool) -> None:
    start = Mixed(Normal(code), 2).bind(_data(rows(gaps))).start(2)
    moved = start.inner.means + np.array([[-2.0, 1.0], [0.0, 0.5], [1.0, -1.0], [3.0, 0.0]])
    params = MixedParams(dataclasses.replace(start.inner, means=moved), np.array([[0.3, 0.7], [0.6, 0.4]]))
    check_family(Mixed(Normal(code), 2), rows(gaps), k=2, params=params, has_hidden_part=True)


def _data(x: Array) -> Any:
    from estep.data.memory import Memory

    return Memory(x)


def test_laws_with_fixed_weights() -> None:
    held = np.array([[0.25, 0.75], [np.nan, np.nan]])
    x = np.random.default_rng(1).poisson([[2.0, 5.0]], size=(40, 2)).astype(float)
    params = Mixed(Poisson(), 2).bind(_data(x)).start(2)
    rates = params.inner.rates * np.array([[0.5], [1.5], [0.8], [1.2]])
    params = MixedParams(dataclasses.replace(params.inner, rates=rates), np.array([[0.25, 0.75], [0.5, 0.5]]))
    constraints = Constraints({"mix_weights": held})
    check_family(Mixed(Poisson(), 2), x, k=2, params=params, constraints=constraints, has_hidden_part=True)


def test_the_density_is_the_mixture() -> None:
    family = Mixed(Normal("VVV"), 2).bind(_data(rows()[:, :1]))
    means, sds, weights = np.array([-1.0, 2.0, 0.0, 5.0]), np.array([0.5, 1.0, 2.0, 0.7]), np.array([[0.2, 0.8], [0.5, 0.5]])
    params = MixedParams(NormalParams(means[:, None], (sds**2)[:, None, None]), weights)
    x = np.linspace(-2, 6, 9)[:, None]
    found = np.exp(family.log_density(params, family.encode(x)))
    expected = [
        [sum(w * norm.pdf(v[0], means[2 * k + c], sds[2 * k + c]) for c, w in enumerate(weights[k])) for k in (0, 1)] for v in x
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_one_part_is_the_family() -> None:
    x = rows(gaps=True)
    init = {"means": np.array([[-2.0, 0.0], [3.0, 1.0]]), "covariances": np.tile(np.eye(2), (2, 1, 1))}
    plain = estep.Mixture(estep.Normal(), 2, init={"weights": [0.5, 0.5], **init}).fit(x)
    nested = {n: v[:, None] for n, v in init.items()} | {"weights": [0.5, 0.5], "mix_weights": [[1.0], [1.0]]}
    mixed = estep.Mixture(Mixed(estep.Normal(), 1), 2, init=nested).fit(x)
    assert mixed.log_likelihood_ == pytest.approx(plain.log_likelihood_, rel=1e-10)
    np.testing.assert_allclose(mixed.means_[:, 0], plain.means_, atol=1e-6)


def test_one_component_is_a_mixture() -> None:
    x = rows()
    plain = estep.GaussianMixture(2, random_state=0).fit(x)
    init = {"means": plain.means_[None] + 0.1, "covariances": plain.covariances_[None], "mix_weights": plain.weights_[None]}
    mixed = estep.Mixture(Mixed(estep.Normal(), 2), 1, init=init).fit(x)
    assert mixed.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-5)


def test_errors() -> None:
    with pytest.raises(ValueError, match="m must be an integer >= 1"):
        Mixed(Poisson(), 0)
    with pytest.raises(ValueError, match=r"init\['mix_weights'\] has shape \(2,\), expected \(1, 2\)"):
        estep.Mixture(Mixed(estep.Normal(), 2), 1, init={"mix_weights": [0.5, 0.5], "means": np.zeros((1, 2, 2))}).fit(rows())


# --- the assignments that came with chains ---


def test_tempered_rows() -> None:
    logits = np.random.default_rng(0).normal(size=(20, 3))
    resp, objective, loglik = Tempered(0.4).rows(logits, ("x", 0, 20))
    expected, whole = normalise(0.4 * logits)
    np.testing.assert_allclose(resp, expected)
    entropy = -(resp * np.log(resp)).sum(axis=1)
    np.testing.assert_allclose(objective, (resp * logits).sum(axis=1) + entropy / 0.4, rtol=1e-12)  # minus the free energy
    np.testing.assert_allclose(whole / 0.4, objective)
    np.testing.assert_allclose(loglik, SOFT.rows(logits, ("x", 0, 20))[2])
    for found, same in zip(Tempered(1.0).rows(logits, ("x", 0, 20)), SOFT.rows(logits, ("x", 0, 20)), strict=True):
        np.testing.assert_allclose(found, same)
    with pytest.raises(ValueError, match="beta=0"):
        Tempered(0.0)


def test_drawn_rows_have_the_posterior() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 3)) + np.zeros((200_000, 1))
    resp, objective, loglik = Sampled(3, 1).rows(logits, ("x", 0, 200_000))
    expected = normalise(logits)[0][0]
    assert (np.abs(resp.mean(axis=0) - expected) < 6 * np.sqrt(expected * (1 - expected) / 200_000)).all()  # 2e-9 a class
    np.testing.assert_array_equal(objective, loglik)
    again = Sampled().for_pass(3, 1).rows(logits, ("x", 0, 200_000))[0]
    assert (again == resp).all()
    assert (Sampled(3, 2).rows(logits, ("x", 0, 200_000))[0] != resp).any()


def test_a_class_of_no_probability_is_never_drawn() -> None:
    logits = np.tile([[-np.inf, 0.0, -np.inf]], (1000, 1))
    assert Sampled(0, 0).rows(logits, ("x", 0, 1000))[0][:, 1].all()
