"""Sparse responsibilities: a row counts for the classes that matter to it, and an honest word on what that promises.

For joint log densities l_k = log w_k + log p(x | k) and an active set A of classes,

    resp_k = exp(l_k) / sum_{j in A} exp(l_j)  for k in A, 0 elsewhere
    F = sum_k resp_k (l_k - log resp_k) = log sum_{j in A} exp(l_j) <= log p(x)

resp is the best distribution on A, so F is the free energy and the M-step raises it. What the next E-step does to it
depends on who chooses A:

    Top(m)        the m most probable classes: the best of *all* distributions with at most m active classes,
                  so F never falls: "bound". m = 1 is hard assignment, m = k is soft.
    Sparse(eps)   the classes with posterior at least eps: a class that drops out takes up to -log(1 - eps) of F along,
                  so F may fall: "heuristic". eps = 0 is soft.

Source: Neal & Hinton (1998), in Learning in Graphical Models, section 5 (free energy, sparse variant).
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from estep.core.assign import HARD, SOFT, normalise
from estep.core.protocols import Assign
from estep.core.record import Array
from estep.core.result import Result, Status
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.presets import Variant
from estep.engine.visit import total
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.models.latent import Latent, LatentParams
from estep.structures.iid import Iid, IidParams


def within(logits: Array, active: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Responsibilities renormalised within the active classes (n, k), and the free energy (n,)."""
    return normalise(np.where(active, logits, -np.inf))


@dataclasses.dataclass(frozen=True)
class Sparse:
    """Classes with posterior probability below ``eps`` get none; the most probable class always stays."""

    eps: float
    name: Final[str] = "sparse"
    certificate: Final[str] = "heuristic"

    def rows(self, logits: Array, key: tuple[Any, ...]) -> tuple[Array, Array, Array]:
        resp, _, loglik = SOFT.rows(logits, key)
        active = (resp >= self.eps) | (resp == resp.max(axis=1, keepdims=True))
        return *within(logits, active), loglik


@dataclasses.dataclass(frozen=True)
class Top:
    """Each row counts for its ``m`` most probable classes (ties to the lowest index)."""

    m: int
    name: Final[str] = "top"
    certificate: Final[str] = "bound"

    def rows(self, logits: Array, key: tuple[Any, ...]) -> tuple[Array, Array, Array]:
        _, _, loglik = SOFT.rows(logits, key)
        order = np.argsort(-logits, axis=1, kind="stable")
        active = np.zeros(logits.shape, dtype=bool)
        np.put_along_axis(active, order[:, : self.m], True, axis=1)
        return *within(logits, active), loglik


def variant(assign: Sparse | Top) -> Variant:
    return Variant(assign.name, assign=assign, certificate=assign.certificate)


# --- the tests ---

LOGITS = np.log(np.random.default_rng(6).dirichlet(np.full(5, 0.5), size=200)) - 3.0
KEY = ("here", 0, 200)


@pytest.mark.parametrize("assign", [Sparse(0.0), Sparse(0.05), Sparse(0.9), Top(1), Top(3)], ids=repr)
def test_rows_are_distributions_and_the_objective_is_their_free_energy(assign: Assign) -> None:
    resp, objective, loglik = assign.rows(LOGITS, KEY)
    soft, _, lse = SOFT.rows(LOGITS, KEY)
    np.testing.assert_allclose(resp.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose((resp > 0) * soft / ((resp > 0) * soft).sum(axis=1, keepdims=True), resp, rtol=1e-13)
    entropy = -np.where(resp > 0, resp * np.log(np.where(resp > 0, resp, 1.0)), 0.0).sum(axis=1)
    np.testing.assert_allclose((resp * LOGITS).sum(axis=1) + entropy, objective, rtol=1e-13)
    assert np.array_equal(loglik, lse)
    assert (objective <= loglik + 1e-14).all()


def test_what_is_below_eps_is_zero() -> None:
    soft = SOFT.rows(LOGITS, KEY)[0]
    resp = Sparse(0.05).rows(LOGITS, KEY)[0]
    assert np.array_equal(resp > 0, soft >= 0.05)
    assert 0.1 < (resp == 0).mean() < 0.9


def test_the_ends_of_the_scale_are_soft_and_hard() -> None:
    assert np.array_equal(Sparse(0.0).rows(LOGITS, KEY)[0], SOFT.rows(LOGITS, KEY)[0])
    assert np.array_equal(Top(5).rows(LOGITS, KEY)[1], SOFT.rows(LOGITS, KEY)[1])
    assert np.array_equal(Top(1).rows(LOGITS, KEY)[0], HARD.rows(LOGITS, KEY)[0])
    assert np.array_equal(Sparse(1.0).rows(LOGITS, KEY)[0], HARD.rows(LOGITS, KEY)[0])


def overlapping() -> tuple[Latent, Memory, LatentParams]:
    """Five normals on a circle, close enough that most rows have two classes, some with gaps and weights."""
    rng = np.random.default_rng(7)
    angles = 2 * np.pi * np.arange(5) / 5
    means = 3.0 * np.column_stack([np.cos(angles), np.sin(angles)])
    family = NormalParams(means, np.tile(np.eye(2), (5, 1, 1)))
    x = Normal().sample(family, rng.integers(0, 5, 500), rng)
    x[rng.random(x.shape) < 0.05] = np.nan
    data = Memory(x, weight=rng.integers(1, 3, 500).astype(float))
    begin = LatentParams(IidParams(np.full(5, 0.2)), dataclasses.replace(family, means=0.7 * means + 0.2))
    return Latent(Iid(), Normal(), 5).bind(data), data, begin


def falls(result: Result) -> float:
    """The largest fall of the objective, relative to its size."""
    return float(-np.diff(result.trace.objective).min(initial=0.0) / abs(result.objective))


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_bound_of_the_most_probable_classes_never_falls(m: int) -> None:
    model, data, begin = overlapping()
    result = fit(model, data, begin, variant(Top(m)))
    assert result.converged
    assert result.certificate == "bound"
    assert falls(result) < 1e-13
    assert result.objective < result.loglik
    exact = total(model, data, result.params, SOFT).loglik
    assert result.loglik == pytest.approx(exact, rel=1e-14)


def test_a_small_eps_ends_near_the_optimum_of_em() -> None:
    """F is within -log(1 - k eps) a row of the likelihood wherever both run, and the two runs end as close as that."""
    model, data, begin = overlapping()
    em, sparse = fit(model, data, begin), fit(model, data, begin, variant(Sparse(1e-4)))
    assert sparse.converged
    assert sparse.certificate == "heuristic"
    assert 0.0 < abs(em.loglik - sparse.loglik) < -float(em.n) * np.log1p(-5 * 1e-4)
    zeros = Sparse(1e-4).rows(np.log(model.explain(em.params, next(data.chunks())).resp), KEY)[0] == 0
    assert zeros.mean() > 0.3


def test_a_threshold_is_no_bound_and_the_engine_says_so_where_it_is_claimed() -> None:
    model, data, begin = overlapping()
    honest = fit(model, data, begin, variant(Sparse(0.2)))
    assert falls(honest) > 1e-6
    assert honest.status is not Status.FELL
    claimed = fit(model, data, begin, variant(Sparse(0.2, certificate="bound")))
    assert claimed.status is Status.FELL
