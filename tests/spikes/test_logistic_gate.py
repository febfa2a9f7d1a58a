"""A logistic gate: class probabilities that depend on covariates, by statistics that hold at one point only.

    P(z_i = k | g_i) = p_ik = softmax(V g_i)_k,   v_K = 0,      x_i | z_i = k ~ p(. | theta_k)

The gate's part of the complete-data log-likelihood has no sufficient statistics:

    Q(V) = sum_i w_i [ sum_k r_ik v_k'g_i - log sum_k exp(v_k'g_i) ],    r_i the posterior, w_i the weight of row i

Local statistics are its value, gradient and curvature at the current V_t. The Hessian of log sum exp is nowhere larger
than M = (I - 11'/K) / 2, so with D = V - V_t and G = sum_i w_i g_i g_i'

    Q(V) >= q(V) = Q(V_t) + <gradient, D> - 1/2 <D, M D G>        (equal at V_t)

E-step   logits_ik = log p_ik + log p(x_i | theta_k)
M-step   vec D = (M x G)^{-1} vec gradient over the free entries: the maximum of q, so Q and the likelihood cannot fall

symbol   variable      shape
V        gate_coefs    (k, p)
         value         ()
         gradient      (k, p)   sum_i (w_i r_ik - w_i p_ik) g_i
G        gram          (p, p)
V_t      at            (k, p)   shared: records add at equal ``at`` only

Sources: Boehning (1992), Ann. Inst. Statist. Math. 44:197; Jordan & Jacobs (1994), Neural Computation 6:181.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from estep.core.assign import HARD, SOFT, normalise
from estep.core.protocols import Chunk, Explained, Structure
from estep.core.record import Array, record, shared
from estep.core.result import Status
from estep.core.support import Constraints, Real, Support
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.visit import total
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.models.latent import Latent, LatentParams
from estep.structures.iid import Iid, IidParams

Logb = Callable[[slice], Array]


@record
class GateParams:
    gate_coefs: Array


@record
class GateStats:
    value: float
    gradient: Array
    gram: Array
    at: Array = shared()


def bound(k: int) -> Array:
    """M = (I - 11'/k) / 2: no smaller than the Hessian diag(p) - p p' of log sum exp, whatever p."""
    return 0.5 * (np.eye(k) - 1.0 / k)


def local(params: GateParams, resp: Array, given: Array) -> GateStats:
    """Value, gradient and curvature of Q at ``params`` from weighted responsibilities (n, k) and covariates (n, p)."""
    log_p = log_probs(params, given)
    weight = resp.sum(axis=1, keepdims=True)
    gradient = (resp - weight * np.exp(log_p)).T @ given
    return GateStats(float((resp * log_p).sum()), gradient, given.T @ (weight * given), params.gate_coefs)


def log_probs(params: GateParams, given: Array) -> Array:
    """log softmax(V g_i), (n, k)."""
    logits = given @ params.gate_coefs.T
    return logits - normalise(logits)[1][:, None]


@dataclasses.dataclass(frozen=True)
class Gated:
    """Class probabilities by logistic regression on ``chunk.given`` (n, p); the last class is the reference."""

    p: int
    names: ClassVar[tuple[str, ...]] = ("gate_coefs",)

    def bind(self, data: Any) -> Gated:
        return self

    def start(self, k: int) -> GateParams:
        return GateParams(np.zeros((k, self.p)))

    def infer(
        self, params: GateParams, logb: Logb, chunk: Chunk, assign: Any, collect: Callable[[slice, Array], None]
    ) -> tuple[GateStats, float, float]:
        everything = slice(0, len(chunk))
        resp, objective, loglik = assign.rows(log_probs(params, chunk.given) + logb(everything), chunk.key)
        weight = np.ones(len(chunk)) if chunk.weight is None else chunk.weight
        resp = resp * weight[:, None]
        collect(everything, resp)
        return local(params, resp, chunk.given), float(weight @ objective), float(weight @ loglik)

    def tally(self, params: GateParams, resp: Array, chunk: Chunk) -> GateStats:
        return local(params, resp, chunk.given)

    def explain(self, params: GateParams, logb: Logb, chunk: Chunk) -> Explained:
        logits = log_probs(params, chunk.given) + logb(slice(0, len(chunk)))
        resp, _, loglik = SOFT.rows(logits, chunk.key)
        return Explained(loglik, resp, resp.argmax(axis=1))

    def fit(self, counts: GateStats, params: GateParams, support: Support) -> GateParams:
        entry = support.entries["gate_coefs"]
        assert isinstance(entry, Real)
        pattern = entry.pattern
        chosen = pattern.groups.ravel()[:, None] == np.arange(pattern.count)
        curvature = chosen.T @ np.kron(bound(len(counts.at)), counts.gram) @ chosen
        step = np.linalg.lstsq(curvature, pattern.pool(counts.gradient), rcond=None)[0]
        return GateParams(pattern.spread(pattern.pick(counts.at) + step))

    def q(self, params: GateParams, counts: GateStats) -> float:
        moved = params.gate_coefs - counts.at
        drop = (moved * (bound(len(moved)) @ moved @ counts.gram)).sum()
        return counts.value + float((counts.gradient * moved).sum()) - 0.5 * float(drop)

    def score(self, params: GateParams, counts: GateStats, support: Support) -> Array:
        moved = params.gate_coefs - counts.at
        return support.pull(params, {"gate_coefs": counts.gradient - bound(len(moved)) @ moved @ counts.gram})

    def support(self, params: GateParams, constraints: Constraints) -> Support:
        shape = params.gate_coefs.shape
        fixed = np.array(constraints.fixed.get("gate_coefs", np.full(shape, np.nan)), dtype=float)
        fixed[-1] = 0.0
        return Support({"gate_coefs": Real(Constraints({"gate_coefs": fixed}).pattern("gate_coefs", shape))})

    def sample(
        self, params: GateParams, n: int, rng: np.random.Generator, given: Array | None = None
    ) -> NDArray[np.intp]:
        if given is None:
            raise ValueError("sample: a gate draws classes for given covariates; pass given (n, p)")
        probs = np.exp(log_probs(params, given)).cumsum(axis=1)
        return np.asarray((rng.random((len(given), 1)) > probs[:, :-1]).sum(axis=1))


# --- the tests: three classes, two of them on a slope, with gaps, weights and a few known labels ---

TRUTH = LatentParams(
    GateParams(np.array([[0.5, 1.5], [0.5, -1.5], [0.0, 0.0]])),
    NormalParams(np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]]), np.tile(np.eye(2), (3, 1, 1))),
)


def sampled(rows: int | None = None) -> tuple[Latent, Memory]:
    rng = np.random.default_rng(3)
    given = np.column_stack([np.ones(400), rng.normal(size=400)])
    labels = Gated(2).sample(TRUTH.structure, 400, rng, given)
    x = Normal().sample(TRUTH.family, labels, rng)
    x[rng.random(x.shape) < 0.1] = np.nan
    weight, allowed = rng.integers(0, 3, 400).astype(float), np.where(rng.random(400) < 0.1, labels, -1)
    data = Memory(x, weight=weight, allowed=allowed, given=given, rows=rows)
    return Latent(Gated(2), Normal(), 3).bind(data), data


def start() -> LatentParams:
    family = dataclasses.replace(TRUTH.family, means=TRUTH.family.means * 0.5 + 0.3)
    return LatentParams(Gated(2).start(3), family)


def test_the_promises_are_kept() -> None:
    assert isinstance(Gated(1), Structure)


def test_fishers_identity() -> None:
    """The gradient of q where its statistics were made is the gradient of the observed log-likelihood."""
    model, data = sampled()
    support = model.support(TRUTH)
    at = support.pack(TRUTH)

    def loglik(v: Array) -> float:
        return total(model, data, support.unpack(v, TRUTH), SOFT).loglik

    slopes = [(loglik(at + 1e-5 * e) - loglik(at - 1e-5 * e)) / 2e-5 for e in np.eye(at.size)]
    score = model.score(TRUTH, total(model, data, TRUTH, SOFT).stats)
    # central differences of a value near 1500 with step 1e-5 are good to 1500 eps / 1e-5
    np.testing.assert_allclose(score, slopes, atol=1e-6)
    unweighted = total(model, dataclasses.replace(data, weight=None), TRUTH, SOFT).stats
    assert np.abs(model.score(TRUTH, unweighted) - slopes).max() > 1.0


def test_q_is_a_lower_bound_that_touches_and_fit_is_its_maximum() -> None:
    rng = np.random.default_rng(4)
    given, resp = rng.normal(size=(50, 2)), rng.dirichlet(np.ones(3), size=50)
    gate, here = Gated(2), GateParams(np.vstack([rng.normal(size=(2, 2)), np.zeros(2)]))
    stats, support = local(here, resp, given), gate.support(here, Constraints())
    best = gate.fit(stats, here, support)
    np.testing.assert_allclose(gate.score(best, stats, support), 0.0, atol=1e-12)
    assert gate.q(here, stats) == stats.value < gate.q(best, stats)
    for _ in range(50):
        there = GateParams(here.gate_coefs + 2.0 * np.vstack([rng.normal(size=(2, 2)), np.zeros(2)]))
        assert gate.q(there, stats) < float((resp * log_probs(there, given)).sum())


def test_records_add_at_equal_points_only() -> None:
    model, data = sampled(rows=100)
    stats = total(model, data, start(), SOFT).stats
    whole = total(model, dataclasses.replace(data, rows=400), start(), SOFT).stats
    np.testing.assert_allclose(stats.structure.gradient, whole.structure.gradient, atol=1e-11)
    elsewhere = total(model, data, TRUTH, SOFT).stats
    with pytest.raises(ValueError, match=r"GateStats\.at is shared and differs"):
        stats + elsewhere


@pytest.mark.parametrize("accelerate", ["none", "squarem", "anderson"])
def test_em_never_falls_and_converges(accelerate: str) -> None:
    model, data = sampled()
    result = fit(model, data, start(), accelerate=accelerate, tol=1e-10)
    assert result.converged
    assert np.diff(result.trace.objective).min() >= -1e-12 * abs(result.objective)
    score = model.score(result.params, total(model, data, result.params, SOFT).stats)
    curvature = 400.0  # one weight a row: what is left to gain, |score|^2 / (2 curvature), is of the order of tol n
    assert np.abs(score).max() ** 2 / (2 * curvature) < 1e-10 * 400 * 10
    free = result.params.structure.gate_coefs[:2]
    assert np.abs(free - TRUTH.structure.gate_coefs[:2]).max() < 4 * 0.25  # four standard errors, from the curvature


def test_hard_assignment_fits_too() -> None:
    model, data = sampled()
    result = fit(model, data, start(), "cem")
    assert result.converged
    assert np.diff(result.trace.objective).min() >= -1e-12 * abs(result.objective)
    assert total(model, data, result.params, HARD).objective == result.objective


def test_the_law_notices_a_curvature_that_is_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = sampled()
    monkeypatch.setitem(globals(), "bound", lambda k: 0.05 * (np.eye(k) - 1.0 / k))
    assert fit(model, data, start()).status is Status.FELL


def test_a_constant_gate_is_a_mixture() -> None:
    """With g_i = 1 alone the gate's classes have probabilities softmax(v): same E-step, same optimum."""
    model, data = sampled()
    data = dataclasses.replace(data, given=np.ones((400, 1)))
    gated, mixture = Latent(Gated(1), model.family, 3), Latent(Iid(), model.family, 3)
    weights = np.array([0.5, 0.3, 0.2])
    gate = LatentParams(GateParams(np.log(weights / weights[-1])[:, None]), TRUTH.family)
    plain = LatentParams(IidParams(weights), TRUTH.family)
    one, other = total(gated, data, gate, SOFT), total(mixture, data, plain, SOFT)
    assert one.loglik == pytest.approx(other.loglik, rel=1e-13)
    np.testing.assert_allclose(one.stats.family.features, other.stats.family.features, rtol=1e-11, atol=1e-11)
    end, twin = fit(gated, data, gate, tol=1e-13), fit(mixture, data, plain, tol=1e-13)
    assert end.loglik == pytest.approx(twin.loglik, abs=1e-8)
    probs = np.exp(log_probs(end.params.structure, np.ones((1, 1))))[0]
    np.testing.assert_allclose(probs, twin.params.structure.weights, atol=1e-5)
