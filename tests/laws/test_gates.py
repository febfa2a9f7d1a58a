"""Gates keep the laws of structures, never lower a likelihood, and name what separates their classes."""

import dataclasses

import numpy as np
import pytest

import estep
from estep.core.assign import SOFT
from estep.core.protocols import Chunk
from estep.core.support import Constraints
from estep.data import Memory
from estep.engine.visit import total
from estep.families.linear_fit import LinearParams
from estep.families.linear_regression import LinearRegression
from estep.families.normal import Normal
from estep.models import Latent, LatentParams
from estep.structures.gated import Gated, GateParams
from estep.structures.hierarchical_gate import HierarchicalGate, HierarchyParams
from estep.structures.iid import Iid
from estep.testing import check_structure

N = 5
GIVEN = np.random.default_rng(1).normal(size=(N, 1)) * 2 + 3


def bound(structure, given=GIVEN):
    return structure.bind(Memory(np.zeros((len(given), 1)), given=given))


def path_prior(gate):
    return lambda params, path: float(gate.log_probs(params, GIVEN)[np.arange(N), path].sum())


@pytest.mark.parametrize(("structure", "k"), [(Gated(), 3), (HierarchicalGate((2, 1)), 3), (HierarchicalGate((2, 2)), 4)])
def test_laws(structure, k):
    gate = bound(structure)
    check_structure(gate, k, given=GIVEN, log_prior_of_path=path_prior(gate), n=N, local=True)


def test_laws_with_fixed_and_tied_entries():
    fixed, ties = np.full((3, 2), np.nan), np.array([[0, 1], [2, 3], [4, 3]])
    fixed[1, 0] = 0.5
    gate = bound(Gated())
    check_structure(
        gate,
        3,
        given=GIVEN,
        log_prior_of_path=path_prior(gate),
        n=N,
        local=True,
        params=GateParams(np.array([[0.0, 0.0], [0.5, 1.0], [0.3, 1.0]])),
        constraints=Constraints({"gate_coefs": fixed}, {"gate_coefs": ties}),
    )


def test_a_wrong_gradient_is_caught(monkeypatch):
    from estep.structures import gated

    right = gated.expansion_of

    def wrong(z, targets, log_p):
        value, gradient, curvature, gram = right(z, targets, log_p)
        return value, 0.9 * gradient, curvature, gram

    gate = bound(Gated())
    monkeypatch.setattr(gated, "expansion_of", wrong)
    with pytest.raises(AssertionError, match="samples_follow|score|q_has|fit_maximises"):
        check_slope(gate, 3)


def check_slope(gate, k):
    """Fisher's identity for a gate: the score of its statistics is the slope of the expected log prior."""
    from estep.testing.coordinates import slope_agrees

    rng = np.random.default_rng(0)
    params = GateParams(np.vstack([np.zeros(2), rng.normal(size=(k - 1, 2))]))
    resp, support = rng.dirichlet(np.ones(k), size=N), gate.support(params, Constraints())
    counts = gate.tally(params, resp, Chunk(("gate", 0, N), np.zeros((N, 1)), given=GIVEN))

    def height(p):
        return float((resp * gate.log_probs(p, GIVEN)).sum())

    slope_agrees("q_has_the_slope_of_the_likelihood", "score", height, gate.score(params, counts, support), support, params)
    each = gate.unit_scores(params, resp, support, GIVEN)
    np.testing.assert_allclose(each.sum(axis=0), gate.score(params, counts, support), atol=1e-12)


def test_fishers_identity():
    check_slope(bound(Gated()), 4)


def test_unit_scores_of_a_hierarchy_add_up():
    gate, rng = bound(HierarchicalGate((2, 3))), np.random.default_rng(0)
    params = HierarchyParams(rng.normal(size=(2, 2)), rng.normal(size=(5, 2)))
    params.gate_coefs[0] = params.leaf_coefs[[0, 2]] = 0.0
    resp, support = rng.dirichlet(np.ones(5), size=N), gate.support(params, Constraints())
    counts = gate.tally(params, resp, Chunk(("gate", 0, N), np.zeros((N, 1)), given=GIVEN))
    score = gate.score(params, counts, support)
    np.testing.assert_allclose(gate.unit_scores(params, resp, support, GIVEN).sum(axis=0), score, atol=1e-12)
    assert support.count == 2 + 2 + 4


def test_permuting_takes_another_reference():
    gate = bound(Gated())
    params = GateParams(np.array([[0.0, 0.0], [1.0, -2.0], [0.5, 0.3]]))
    order = np.array([2, 0, 1])
    moved = gate.permute(params, order)
    assert (moved.gate_coefs[0] == 0).all()
    np.testing.assert_allclose(gate.probs(moved, GIVEN), gate.probs(params, GIVEN)[:, order], rtol=1e-13)


def test_draws_follow_the_gate():
    gate, rng = bound(Gated()), np.random.default_rng(0)
    params = GateParams(np.array([[0.0, 0.0], [-3.0, 1.0]]))
    given = np.repeat([[1.0], [4.0]], 4000, axis=0)
    labels = gate.sample(params, 8000, rng, given=given)
    probs = gate.probs(params, given)[[0, -1], 1]
    found = labels.reshape(2, -1).mean(axis=1)
    # five standard errors: a false alarm in two million
    assert (np.abs(found - probs) < 5 * np.sqrt(probs * (1 - probs) / 4000)).all()
    with pytest.raises(ValueError, match="given has 3 rows, expected 5"):
        gate.sample(params, 5, rng, given=given[:3])
    with pytest.raises(ValueError, match=r"pass given \(n, q\)"):
        gate.sample(params, 5, rng)


# --- in a model: gaps, weights and labels together ---


def sampled(structure, truth, n=500, seed=3):
    rng = np.random.default_rng(seed)
    given = rng.normal(size=(n, 1)) * 2 + 10
    gate = structure.bind(Memory(np.zeros((n, 1)), given=given))
    labels = gate.sample(truth.structure, n, rng, given=given)
    x = Normal().sample(truth.family, labels, rng)
    x[rng.random(x.shape) < 0.1] = np.nan
    weight, allowed = rng.integers(0, 3, n).astype(float), np.where(rng.random(n) < 0.1, labels, -1)
    data = Memory(x, weight=weight, allowed=allowed, given=given)
    return Latent(gate, Normal("VII"), truth.family.means.shape[0]).bind(data), data


TRUTH = LatentParams(
    GateParams(np.array([[0.0, 0.0], [-10.0, 1.0], [8.0, -0.8]])),
    estep.families.normal.NormalParams(np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]), np.tile(np.eye(2), (3, 1, 1))),
)


def start_of(model, data):
    params = model.start()
    means = np.array([[1.0, 1.0], [3.0, 0.0], [0.0, 3.0]])
    return LatentParams(params.structure, dataclasses.replace(params.family, means=means))


@pytest.mark.parametrize("accelerate", ["none", "squarem"])
def test_em_never_falls_and_recovers_the_gate(accelerate):
    model, data = sampled(Gated(), TRUTH)
    result = estep.fit(model, data, start_of(model, data), accelerate=accelerate, tol=1e-10)
    assert result.converged
    assert np.diff(result.trace.objective).min() >= -1e-12 * abs(result.objective)
    information = total(model, data, result.params, SOFT).stats.structure.local.curvature[0]
    assert np.abs(model.score(result.params, total(model, data, result.params, SOFT).stats)).max() < 0.05
    assert information.shape == (6, 6)
    found, truth = (model.structure.probs(p.structure, np.array([[8.0], [10.0], [12.0]])) for p in (result.params, TRUTH))
    # 300 rows or so a third of the range: standard errors below 0.04, five of them
    assert np.abs(found - truth).max() < 0.2


def test_a_hierarchy_with_one_class_a_group_is_a_gate():
    model, data = sampled(Gated(), TRUTH)
    flat = estep.fit(model, data, start_of(model, data), tol=1e-12)
    tree = Latent(HierarchicalGate((1, 1, 1)), model.family, 3).bind(data)
    result = estep.fit(tree, data, start_of(tree, data), tol=1e-12)
    assert result.loglik == pytest.approx(flat.loglik, abs=1e-7)
    np.testing.assert_allclose(result.params.structure.gate_coefs, flat.params.structure.gate_coefs, atol=1e-3)


def test_a_ridge_keeps_separable_classes_finite():
    x = np.r_[np.random.default_rng(0).normal(size=60), 20 + np.random.default_rng(1).normal(size=60)][:, None]
    given = np.r_[np.linspace(-2, -0.5, 60), np.linspace(0.5, 2, 60)][:, None]
    data = Memory(x, given=given)

    def run(ridge):
        model = Latent(Gated(ridge, ("dose",)), Normal("VII"), 2).bind(data)
        params = model.start()
        means = np.array([[0.0], [20.0]])
        return estep.fit(model, data, LatentParams(params.structure, dataclasses.replace(params.family, means=means)))

    wild, calm = run(0.0), run(0.1)
    assert wild.status is estep.Status.FRAIL
    assert "coefficients of the gate run to infinity, led by those of column 'dose'" in wild.message
    assert "set ridge > 0 for the gate" in wild.message
    assert calm.status is estep.Status.CONVERGED
    assert calm.objective == pytest.approx(calm.loglik - 0.05 * calm.params.structure.gate_coefs[1, 1] ** 2, rel=1e-12)


def test_errors_name_the_covariates():
    with pytest.raises(ValueError, match=r"gate: columns 'a', 'b' are collinear"):
        bound(Gated(columns=("a", "b")), np.column_stack([GIVEN, 2 * GIVEN]))
    holes = GIVEN.copy()
    holes[4] = np.nan
    with pytest.raises(ValueError, match=r"gate: row 4 has no value \(NaN or inf\) in column 'g0'"):
        bound(Gated(), holes)
    with pytest.raises(ValueError, match=r"pass given \(n, q\)"):
        Gated().bind(Memory(np.zeros((4, 1))))
    with pytest.raises(ValueError, match="groups=.*two groups or more"):
        HierarchicalGate((3,))
    with pytest.raises(ValueError, match="have 3 classes together, expected 4"):
        bound(HierarchicalGate((2, 1))).start(4)
    ties = Constraints({}, {"leaf_coefs": np.array([[0, 1], [2, 3], [4, 5], [2, 7]])})
    gate = bound(HierarchicalGate((2, 2)))
    with pytest.raises(ValueError, match="ties classes of different groups"):
        gate.support(gate.start(4), ties)
    with pytest.raises(ValueError, match="a gate has coefficients in place of weights"):
        bound(Gated()).prior(2, 2.0)


def test_a_gate_of_groups_is_finer_than_weights():
    """Experts on the two halves of a line: the gate knows which half, weights alone do not."""
    rng = np.random.default_rng(5)
    x = rng.uniform(-2, 2, size=(200, 1))
    y = np.where(x[:, 0] > 0, 2 * x[:, 0], -x[:, 0]) + 0.2 * rng.normal(size=200)
    data = Memory((x, y), given=x)
    experts = LinearParams(np.array([[-1.0], [2.0]]), np.zeros(2), np.ones(2))
    ends = {}
    for structure in (Iid(), Gated()):
        model = Latent(structure, LinearRegression(), 2).bind(data)
        ends[type(structure)] = estep.fit(model, data, LatentParams(model.structure.start(2), experts), max_iter=200)
    assert ends[Gated].loglik > ends[Iid].loglik + 50
