"""What single variants promise beyond the laws that all of them keep (``test_every_variant.py``)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import estep
from estep.core.assign import SOFT, Annealed, Entropic, Sampled, Tempered, normalise
from estep.core.newton import newton_step
from estep.core.record import identical
from estep.core.result import Status
from estep.data.memory import Memory
from estep.engine.average import Average
from estep.engine.fit import fit
from estep.engine.presets import PRESETS, Variant
from estep.engine.update import Ascend, Cycle, Prune
from estep.engine.visit import total
from estep.engine.wander import MeanOrBest, Steady, drift_of, is_check
from estep.models.latent import Latent
from tests.every_model import PROBLEMS

BY_NAME = {problem.name: problem for problem in PROBLEMS}
KEY = ("memory", 0, 40_000)


def ran(name: str, variant: str | Variant, **settings: Any) -> Any:
    problem = BY_NAME[name]
    return fit(problem.model, problem.data, problem.start(0), variant, **settings)


# --- draws ---


@pytest.mark.parametrize("times", [3, 200])
def test_shares_of_many_draws_are_multinomial(times: int) -> None:
    """Mean and variance of 40000 rows: bounds are 6 standard errors, 2e-9 each; 3 draws go one by one, 200 by inversion."""
    logits = np.log([[0.5, 0.3, 0.2]]) + np.zeros((40_000, 1))
    shares = Sampled(1, 2, draws=times).rows(logits, KEY)[0]
    p = normalise(logits)[0][0]
    assert np.allclose(shares.sum(axis=1), 1.0, rtol=1e-14)
    assert (np.abs(shares.mean(axis=0) - p) < 6 * np.sqrt(p * (1 - p) / times / 40_000)).all()
    variance = p * (1 - p) / times
    assert (np.abs(shares.var(axis=0) / variance - 1.0) < 6 * np.sqrt(2.5 / 40_000)).all()
    covariance = np.cov(shares.T)[0, 1]
    assert covariance == pytest.approx(-p[0] * p[1] / times, rel=0.06)


def test_a_row_of_weight_nine_is_drawn_nine_times() -> None:
    """Else the nine rows that it stands for would all be of one class, and the variance nine times too large."""
    logits = np.zeros((40_000, 2))
    once = Sampled(1, 2).rows(logits, KEY)[0][:, 0]
    nine = Sampled(1, 2).for_weight(np.full(40_000, 9.0)).rows(logits, KEY)[0][:, 0]
    assert once.var() == pytest.approx(0.25, rel=0.01)
    assert nine.var() == pytest.approx(0.25 / 9, rel=0.05)
    absent = Sampled(1, 2).for_weight(np.zeros(40_000)).rows(logits, KEY)[0]
    assert np.isfinite(absent).all()


def test_growing_draws() -> None:
    made = [int(Sampled(0, t, draws=5, growth=0.2).times(np.ones(1))[0]) for t in (0, 1, 5, 50)]
    assert made == [5, 6, 6, 15]
    with pytest.raises(ValueError, match="draws=0"):
        Sampled(draws=0)


def test_drawn_sequences_of_weight_three_are_drawn_three_times() -> None:
    problem = BY_NAME["Normal in a chain with ends, gaps and weights"]
    seen = total(problem.model, problem.data, problem.start(0), Sampled(0, 0))
    ends = np.asarray(next(problem.data.chunks()).ends)
    weight = next(problem.data.chunks()).weight
    assert weight is not None
    assert float(seen.stats.structure.first.sum()) == pytest.approx(weight[ends - 1].sum())
    soft = total(problem.model, problem.data, problem.start(0), SOFT)
    assert seen.loglik == pytest.approx(soft.loglik, rel=1e-12)
    many = total(problem.model, problem.data, problem.start(0), Sampled(0, 0, draws=800)).stats.structure.pairs
    error = 6 * np.sqrt(soft.stats.structure.pairs * 3.0 / 800 + 1e-9)  # weights up to 3, 2e-9 an entry
    assert (np.abs(many - soft.stats.structure.pairs) < error + 0.02).all()


# --- stochastic EM ---


def test_when_the_drift_is_looked_at() -> None:
    assert [t for t in range(400) if is_check(t)] == [60, 90, 135, 202, 303]


def test_drift_is_seen_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=300)
    drift, error = drift_of(noise)
    assert abs(drift) < 4 * error
    drift, error = drift_of(noise + 0.02 * np.arange(300))
    assert drift > 4 * error


@pytest.mark.parametrize("name", ["sem", "mcem", "saem"])
def test_stochastic_variants_end_near_the_optimum_and_say_so(name: str) -> None:
    em, result = ran("Normal", "em"), ran("Normal", name, seed=4)
    assert result.status is Status.STEADY
    assert result.converged
    assert result.certificate == "heuristic"
    lost = {"sem": 1.0, "mcem": 0.1, "saem": 0.1}[name]  # nats, of the half nat a parameter that an error of one sigma costs
    assert 0 <= em.loglik - result.loglik + 1e-9 < lost
    assert (ran("Normal", name, seed=5).trace.objective[:9] != result.trace.objective[:9]).any()


def test_sem_answers_with_the_mean_or_the_best_iterate_whichever_is_higher() -> None:
    result = ran("Normal", "sem", seed=1, max_iter=80)
    last = ran("Normal", dataclasses.replace(PRESETS["sem"], answer=None), seed=1, max_iter=80)
    np.testing.assert_array_equal(last.trace.objective, result.trace.objective)
    assert result.loglik >= result.trace.objective.max() - 1e-9
    assert "the best iterate" in result.message or "the mean of the last" in result.message
    assert result.loglik > last.loglik


def test_the_mean_of_iterates_begins_anew_after_every_check() -> None:
    answer, params = MeanOrBest(), BY_NAME["Poisson"].start(0)
    moved = [
        dataclasses.replace(params, family=dataclasses.replace(params.family, rates=params.family.rates * t))
        for t in range(1, 63)
    ]
    memory = answer.begin(params)
    for t, point in enumerate(moved, start=1):
        memory = answer.note(memory, point, -float(t), t)
    assert int(memory.count) == 2  # passes 61 and 62, for 60 is a check
    np.testing.assert_allclose(memory.mean.family.rates, params.family.rates * 61.5)
    assert identical(memory.best, moved[0])
    assert memory.value == -1.0


def test_saem_averages_with_falling_steps() -> None:
    """Three passes of statistics 1, 5 and 9 after one of burning in: 1; 1 + 1 (5 - 1); 5 + (9 - 5) / 2^0.75."""
    stats = BY_NAME["Poisson"]
    one = total(stats.model, stats.data, stats.start(0), SOFT).stats
    blend, memory, out = Average(burn=1), Average(burn=1).begin(), []
    for size in (1.0, 5.0, 9.0):
        memory, joined = blend.join(memory, one * size, stats.model)
        out.append(float(joined.structure.counts[0] / one.structure.counts[0]))
    assert out == pytest.approx([1.0, 5.0, 5.0 + 4.0 / 2**0.75])
    with pytest.raises(ValueError, match="power"):
        Average(power=0.4)


def test_a_draw_without_an_m_step_is_drawn_anew() -> None:
    """Two rows in a class of four: often both are drawn into the other, and a pass without M-step follows."""
    x = np.array([[0.0], [0.1], [2.0], [2.2], [2.1], [2.3], [2.05]])
    family = estep.Normal("E")
    model = Latent(estep.structures.Iid(), estep.Poisson(), 2).bind(Memory(np.round(x)))
    assert model.k == 2
    mixture = estep.Mixture(family, 2, algorithm="sem", n_init=1, init="kmeans++", random_state=0, prior=None).fit(x)
    assert np.isfinite(mixture.log_likelihood_)


# --- temperatures ---


def test_a_schedule_up_and_one_down() -> None:
    up, down = Annealed(0.25, each=3, factor=2.0), Annealed(1.0, 0.5, factor=1.25, each=2)
    assert [up.beta_of(t) for t in range(8)] == [0.25] * 3 + [0.5] * 3 + [1.0] * 2
    assert [down.beta_of(t) for t in range(8)] == pytest.approx([1.0, 1.0, 0.8, 0.8, 0.64, 0.64, 0.512, 0.512])
    assert down.beta_of(99) == 0.5
    assert [up.stage(t) for t in range(8)] == [0, 1, 1, 2, 3, 3, 4, 4]  # the shaken pass at each temperature has its own
    assert up.for_pass(0, 7) is SOFT
    assert isinstance(down.for_pass(0, 99), Tempered)
    with pytest.raises(ValueError, match="inverse temperatures"):
        Annealed(0.0)


def test_annealing_ends_in_plain_em() -> None:
    result = ran("Normal", "annealed")
    assert result.status is Status.CONVERGED
    assert result.objective == pytest.approx(result.loglik, rel=1e-12)
    again = ran("Normal", "em")
    assert fit(BY_NAME["Normal"].model, BY_NAME["Normal"].data, result.params).loglik == pytest.approx(result.loglik, abs=1e-5)
    assert again.converged


def test_annealing_finds_the_optimum_from_bad_starts_more_often() -> None:
    """Five spheres on a circle from random responsibilities: both counts are of these six starts, no law."""
    rng = np.random.default_rng(0)
    rng.normal(size=(250, 2))
    angles = 2 * np.pi * np.arange(5) / 5
    x = np.vstack([6 * np.array([np.cos(a), np.sin(a)]) + rng.normal(size=(60, 2)) for a in angles])
    reached = {}
    for name in ("em", "annealed"):
        ends = []
        for seed in range(6):
            case = estep.testing.model_case(
                Latent(estep.structures.Iid(), estep.Normal("EII"), 5), x, rng=np.random.default_rng(seed)
            )
            ends.append(fit(case.model, case.data(), case.params, name, seed=seed).loglik)
        reached[name] = np.array(ends)
    top = max(e.max() for e in reached.values())
    assert (reached["annealed"] > top - 0.01).sum() > (reached["em"] > top - 0.01).sum()


def test_cooling_down_leaves_the_likelihood_for_the_free_energy() -> None:
    variant = Variant("tempered", assign=Annealed(1.0, 0.5, factor=1.25, each=3))
    result = ran("Normal", variant)
    em = ran("Normal", "em")
    assert result.converged
    assert result.loglik < em.loglik
    assert result.objective > result.loglik  # the free energy at beta < 1 is above the log-likelihood


# --- entropy and removal ---


def test_entropic_rows() -> None:
    logits = np.log([[0.9, 0.1], [0.5, 0.5], [1.0, 0.0]] + np.array(1e-300))
    resp, objective, loglik = Entropic(0.5).rows(logits, ("memory", 0, 3))
    r = normalise(logits)[0]
    logs = np.log(r)
    np.testing.assert_allclose(resp, np.maximum(r * (1 + 0.5 * logs), 0.0), atol=1e-12)
    np.testing.assert_allclose(objective, loglik + 0.5 * np.where(r > 1e-200, r * logs, 0.0).sum(axis=1), atol=1e-12)
    assert resp[0, 1] == 0.0  # 1 + 0.5 log 0.1 is negative
    plain = Entropic(0.0).rows(logits, ("memory", 0, 3))
    np.testing.assert_array_equal(plain[0], r)
    with pytest.raises(ValueError, match="gamma"):
        Entropic(1.5)


CENTRES = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [8.0, 8.0], [4.0, 14.0]])


def five_clusters(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return CENTRES[rng.integers(0, 5, 1000)] + rng.normal(size=(1000, 2))


@pytest.mark.parametrize(("gamma", "sets", "least", "most"), [(0.2, 4, 5, 5), (0.1, 2, 5, 8), (0.0, 1, 6, 11)])
def test_regularised_em_finds_the_number_of_clusters(gamma: float, sets: int, least: int, most: int) -> None:
    """Five well separated normals, twelve components to begin with; without the entropy superfluous ones stay."""
    variant = Variant("regularized", assign=Entropic(gamma), update=Prune(0.03))
    found = [
        estep.GaussianMixture(12, algorithm=variant, n_init=5, random_state=s, max_iter=3000)
        .fit(five_clusters(s))
        .n_components_
        for s in range(sets)
    ]
    assert all(least <= k <= most for k in found), found


def test_what_a_fit_with_fewer_components_publishes(tmp_path: Any) -> None:
    x = five_clusters(0)
    mixture = estep.GaussianMixture(12, algorithm="regularized", n_init=3, random_state=0).fit(x)
    assert mixture.n_components_ == 5
    assert mixture.weights_.shape == (5,)
    assert mixture.weights_.sum() == pytest.approx(1.0)
    assert (np.diff(mixture.weights_) <= 0).all()
    assert mixture.means_.shape == (5, 2)
    assert set(mixture.predict(x)) == set(range(5))
    assert mixture.predict_proba(x).shape == (1000, 5)
    assert mixture.result_.n_free == 4 + 5 * 5
    assert mixture.result_.removed == 7
    assert "5 of 12 components are left" in mixture.result_.message
    assert "5 components" in mixture.summary().splitlines()[0]
    assert mixture.log_likelihood_ == pytest.approx(mixture.score(x) * 1000, rel=1e-12)
    mixture.save(tmp_path / "model")
    again = estep.load(tmp_path / "model")
    assert again.n_components_ == 5
    np.testing.assert_array_equal(again.predict(x), mixture.predict(x))
    assert estep.GaussianMixture(3, random_state=0).fit(x).n_components_ == 3


def test_a_run_that_removed_components_resumes_to_the_bit(tmp_path: Any) -> None:
    x = five_clusters(1)
    case = estep.testing.model_case(Latent(estep.structures.Iid(), estep.Normal("VVI"), 9), x)
    resp = np.random.default_rng(0).dirichlet(np.full(9, 0.2), size=1000)
    tally = lambda chunk: case.model.tally(case.params, chunk, resp[chunk.rows])  # noqa: E731
    begin = case.model.mstep(case.data().sum(tally), case.params)

    def run(**settings: Any) -> Any:
        return fit(case.model, case.data(), begin, "regularized", max_iter=300, **settings)

    whole = run()
    assert whole.removed > 0
    assert len(whole.trace) > 20
    for stop in (5, len(whole.trace) // 2, len(whole.trace) - 2):
        path = tmp_path / str(stop)
        cut = run(checkpoint=path, watch=lambda state, _, j=stop: len(state.trace) >= j)
        assert len(cut.trace) == stop
        resumed = run(checkpoint=path)
        assert identical(resumed.params, whole.params)
        np.testing.assert_array_equal(resumed.trace.objective, whole.trace.objective)
        assert resumed.message == whole.message


def test_removal_is_refused_where_something_is_said_of_single_components() -> None:
    x = five_clusters(0)
    settings = {"algorithm": "regularized", "n_init": 1, "random_state": 0}
    with pytest.raises(ValueError, match=r"'regularized': a class has become superfluous .* a prior.*use prior=None"):
        estep.GaussianMixture(12, prior="default", **settings).fit(x)
    y = np.full(1000, -1)
    y[:40] = np.random.default_rng(0).integers(0, 12, 40)
    with pytest.raises(ValueError, match=r"was to remove class .* labels that name classes; use y=None"):
        estep.GaussianMixture(12, **settings).fit(x, y)


def test_noise_is_never_removed() -> None:
    x = five_clusters(2)
    mixture = estep.GaussianMixture(10, noise=True, algorithm="regularized", n_init=3, random_state=0).fit(x)
    assert mixture.n_components_ == len(mixture.weights_) - 1
    assert mixture.n_components_ < 10


# --- steps that are no maximum ---


def test_a_newton_step_solves_a_quadratic_and_never_falls() -> None:
    a = np.array([[3.0, 1.0], [1.0, 2.0]])
    value, slope = lambda v: float(-0.5 * v @ a @ v + v.sum()), lambda v: -a @ v + 1.0
    np.testing.assert_allclose(newton_step(value, slope, np.array([4.0, -3.0])), np.linalg.solve(a, np.ones(2)), rtol=1e-7)
    wave, bend = lambda v: float(np.sin(v).sum()), np.cos
    for at in np.linspace(-3.0, 3.0, 25):
        there = newton_step(wave, bend, np.array([at]))
        assert wave(there) >= wave(np.array([at]))


@pytest.mark.parametrize("name", [p.name for p in PROBLEMS if p.name not in ("PLSA", "Saturated")])
@pytest.mark.parametrize("update", [Ascend(), Cycle()], ids=lambda u: u.name)
def test_q_never_falls_in_a_step_of_gem_or_ecm(name: str, update: Any) -> None:
    """q of the statistics where they are exact; where they are local, the next objective answers for it (the cross product)."""
    problem = BY_NAME[name]
    model, params = problem.model, problem.start(0)
    for _ in range(3):
        stats = total(model, problem.data, params, SOFT).stats
        new = update(model, problem.data, stats, params)
        before, after = (float(model.q(p, stats)) for p in (params, new))
        if not estep.models.ascend.is_local(stats):
            assert after >= before - 1e-10 * (1 + abs(before))
        assert not identical(new, params)
        params = new


def test_ecm_with_blocks_and_passes_between() -> None:
    em = ran("Normal", "em")
    for update in (Cycle((("means",), ("weights", "covariances"))), Cycle(recount=True)):
        result = ran("Normal", Variant("ecm", update=update))
        assert result.loglik == pytest.approx(em.loglik, abs=1e-5)
        assert update.label in result.variant
    counted = ran("Normal", Variant("ecm", update=Cycle(recount=True)))
    assert counted.passes == 3 * len(counted.trace)  # three parameters, two passes between them
    with pytest.raises(ValueError, match="no parameter"):
        ran("Normal", Variant("ecm", update=Cycle((("mean",),))))


def test_ecme_is_reached_by_name() -> None:
    x = np.random.default_rng(0).standard_t(4.0, size=(300, 2))
    by_name = estep.Mixture(estep.Student(), 1, algorithm="ecme", random_state=0).fit(x)
    own = estep.StudentMixture(1, random_state=0).fit(x)
    assert by_name.log_likelihood_ == pytest.approx(own.log_likelihood_, rel=1e-10)
    with pytest.raises(TypeError, match=r"'ecme' .* Normal has none; use algorithm='em'"):
        estep.GaussianMixture(2, algorithm="ecme").fit(x)


# --- words ---


def test_a_result_explains_what_was_run() -> None:
    x = five_clusters(0)
    told = dict(estep.GaussianMixture(5, random_state=0).fit(x).result_.told())
    assert told["algorithm"] == "em"
    assert told["climbs"] == "log-likelihood"
    assert "exact" in told["certificate"]
    assert told["stopped"].startswith("converged")
    assert told["starts"].startswith("10")
    told = dict(estep.GaussianMixture(5, prior="default", algorithm="sem", random_state=0).fit(x).result_.told())
    assert told["climbs"].endswith("plus log prior")
    assert "drawn from its posterior" in told["fills in"]
    assert "no longer drifts" in told["ends when"]
    assert told["leaps"] == "none"


def test_a_summary_names_the_objective() -> None:
    text = estep.GaussianMixture(5, algorithm="cem", random_state=0).fit(five_clusters(0)).summary()
    assert "(classification log-likelihood: of the rows and their most probable classes)" in " ".join(text.split())


def test_steady_ends_a_run_that_no_longer_drifts() -> None:
    rule, memory = Steady(), Steady().begin()
    for t in range(1, 60):
        memory = rule.note(memory, 0.0, np.sin(t), 1e-8)
        assert rule.verdict(memory) is (Status.STEADY if t == 59 else Status.RUNNING)
