"""Progressive starts: parts of the rows come first, all rows decide where a fit ends."""

import dataclasses
import warnings

import numpy as np
import pytest

import estep
from estep.core.assign import SOFT
from estep.core.record import identical
from estep.core.result import Status
from estep.engine.ladder import GROWTH, part_sizes
from estep.engine.ledger import Ledger
from estep.engine.visit import total
from estep.estimators import progressive
from estep.estimators.rows import Rows
from estep.estimators.warnings import ConvergenceWarning

SEEDS = {"normals": 8, "gaps_and_weights": 4, "sequences": 4, "lines": 4}
FEW = 400


def clouds(seed, n=4000, d=2, k=3, apart=3.0):
    rng = np.random.default_rng(seed)
    centres = apart * rng.normal(size=(k, d))
    labels = rng.integers(k, size=n)
    return centres[labels] + rng.normal(size=(n, d)), labels


def normals(seed, setting):
    x, _ = clouds(seed, n=2000)
    return estep.GaussianMixture(3, covariance_type="VVI", n_init=3, random_state=seed, progressive=setting), (x,), {}


def gaps_and_weights(seed, setting):
    x, _ = clouds(seed, n=2000)
    rng = np.random.default_rng(seed)
    x[rng.random(x.shape) < 0.1] = np.nan
    weight = rng.integers(1, 4, size=len(x)).astype(float)
    return (
        estep.GaussianMixture(3, covariance_type="VVI", n_init=4, random_state=seed, progressive=setting),
        (x, None, weight),
        {},
    )


def sequences(seed, setting):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(8, 16, size=200)
    states = np.repeat(rng.integers(2, size=int(lengths.sum()) // 5 + 1), 5)[: lengths.sum()]
    x = (3.0 * states + rng.normal(size=states.size))[:, None]
    return estep.GaussianHMM(2, n_init=3, random_state=seed, progressive=setting), (x,), {"lengths": lengths}


def lines(seed, setting):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=2000)
    y = np.where(rng.random(2000) < 0.5, 1.0 + 2.0 * x, -1.0 - x) + 0.3 * rng.normal(size=2000)
    return estep.MixtureOfRegressions(n_components=2, n_init=3, random_state=seed, progressive=setting), (x[:, None], y), {}


SUITE = (normals, gaps_and_weights, sequences, lines)


def fitted(make, seed, setting):
    estimator, rows, keywords = make(seed, setting)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(*rows, **keywords)


def test_the_same_optimum_as_without_in_95_of_100_seeds():
    """To 1e-6 nats a row, as everything that is exact here is compared; higher is no fault, and every other would be listed."""
    ends = []
    for make in SUITE:
        for seed in range(SEEDS[make.__name__]):
            parts, whole = (fitted(make, seed, setting) for setting in (FEW, False))
            assert parts.starts_.note.startswith("progressive: short runs on"), make.__name__
            assert whole.starts_.note == ""
            n = parts.result_.n
            ends.append((make.__name__, seed, (parts.objective_ - whole.objective_) / n))
            assert parts.converged_
    lower = [end for end in ends if end[2] < -1e-6]
    assert len(lower) <= 0.05 * len(ends), lower


def test_what_is_returned_belongs_to_all_rows():
    fit = fitted(normals, 0, FEW)
    x, _ = clouds(0, n=2000)
    seen = total(fit.result_.model, estep.data.Memory(x), fit.result_.params, SOFT)
    assert fit.log_likelihood_ == pytest.approx(float(seen.loglik), rel=1e-12)
    assert fit.result_.n == len(x)
    init = {name: fit.params_[name] for name in ("weights", "means", "covariances")}
    again = estep.GaussianMixture(3, covariance_type="VVI", init=init).fit(x)
    assert again.log_likelihood_ == pytest.approx(fit.log_likelihood_, abs=1e-6 * len(x))


def test_few_rows_and_given_starts_are_fitted_whole():
    x, labels = clouds(0, n=1600)
    few = {"covariance_type": "EII", "n_init": 2, "random_state": 0}
    assert estep.GaussianMixture(3, **few).fit(x).starts_.note == ""
    assert estep.GaussianMixture(3, progressive=FEW, init=labels, **few).fit(x).starts_.note == ""
    assert estep.GaussianMixture(3, progressive=FEW, algorithm="cem", **few).fit(x).starts_.note == ""
    assert "progressive" in estep.GaussianMixture(3, progressive=FEW, **few).fit(x).starts_.note


def test_sizes_of_parts():
    assert part_sizes(39_999, 10) == ()
    assert part_sizes(40_000, 10) == (5_000,)
    assert part_sizes(10_000_000, 10)[-1] * GROWTH <= 10_000_000
    assert part_sizes(10_000_000, 1_000)[0] == 40_000
    with pytest.raises(ValueError, match="progressive must be 'auto', True, False or the rows"):
        estep.GaussianMixture(2, progressive="yes").fit(np.zeros((5, 1)))


# --- what parts hold ---


def rows_of(n=5000, **carried):
    x = np.arange(float(n))[:, None]
    return dataclasses.replace(Rows(x, None, None, None), **carried)


def test_parts_are_nested_and_follow_from_the_seed():
    one, two = (progressive._parts(rows_of(), (300, 1200), seed=4) for _ in range(2))
    for (a, _), (b, _) in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    assert set(one[0][0]) < set(one[1][0])
    assert [len(part) for part, _ in one] == [300, 1200]
    assert len(set(progressive._parts(rows_of(), (300,), seed=5)[0][0]) ^ set(one[0][0])) > 0


def test_weights_are_how_often_a_row_is_drawn():
    weight = np.ones(4000)
    weight[:1000] = 9.0
    rows = rows_of(4000, weight=weight)
    chosen, times = progressive._parts(rows, (1000,), seed=0)[0]
    assert times.sum() == 1000
    assert (weight[chosen] > 0).all()
    # share 9000 / 12000 of the draws; five standard deviations, so a false alarm is rarer than one in a million
    assert abs(times[chosen < 1000].sum() / 1000 - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 1000)


def test_classes_that_labels_name_and_small_groups_are_there_from_the_first():
    allowed = np.full(5000, -1)
    allowed[[7, 4321]] = 1
    given = np.zeros(5000, dtype=np.intp)
    given[[3, 5, 4000]] = 2
    chosen, _ = progressive._parts(rows_of(allowed=allowed, given=given), (300,), seed=0)[0]
    assert {7, 4321, 3, 5, 4000} <= set(chosen)
    part = progressive._picked(rows_of(allowed=allowed, given=given), chosen, None)
    np.testing.assert_array_equal(part.allowed, allowed[chosen])
    np.testing.assert_array_equal(part.given, given[chosen])


def test_sequences_are_whole():
    lengths = np.random.default_rng(0).integers(5, 15, size=200)
    ends = np.cumsum(lengths)
    rows = rows_of(int(ends[-1]), ends=ends)
    chosen, _ = progressive._parts(rows, (400,), seed=1)[0]
    part = progressive._picked(rows, chosen, None)
    starts = np.concatenate([[0], ends[:-1]])
    begun = np.concatenate([[0], part.ends[:-1]])
    for a, b in zip(begun, part.ends, strict=True):
        first, last = int(part.x[a, 0]), int(part.x[b - 1, 0]) + 1
        assert first in starts
        assert last == ends[np.flatnonzero(starts == first)[0]]
    assert progressive._parts(rows_of(4000, ends=np.array([2000, 4000])), (400,), seed=1) == []


def test_a_category_that_a_part_never_saw_keeps_its_chance():
    """8 of 8000 rows have the rare level, and most first parts of 400 rows have none: its probability must not stay at zero."""
    rng = np.random.default_rng(1)
    z = rng.integers(2, size=8000)
    level = rng.integers(2, size=8000).astype(float)
    level[::1000] = 2.0
    x = np.column_stack([4.0 * z + rng.normal(size=8000), level])
    family = estep.Product([(estep.Normal(), 0), (estep.Categorical(), 1)])
    fits = [estep.Mixture(family, 2, n_init=3, random_state=0, progressive=setting).fit(x) for setting in (400, False)]
    assert "progressive" in fits[0].starts_.note
    assert fits[0].log_likelihood_ == pytest.approx(fits[1].log_likelihood_, abs=1e-6 * len(x))


def test_boxes_that_depend_on_the_rows_are_fitted_whole():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0, 1, 2000), rng.uniform(3, 5, 2000)])[:, None]
    fit = estep.Mixture(estep.families.Uniform(), 2, n_init=2, random_state=0, progressive=400).fit(x)
    assert fit.starts_.note == ""


# --- determinism, interruption, resumption ---


def test_the_same_bits_whatever_the_threads():
    x, _ = clouds(2)
    few = {"covariance_type": "EII", "n_init": 2, "random_state": 2, "progressive": FEW}
    fits = [estep.GaussianMixture(3, n_jobs=jobs, **few).fit(x) for jobs in (1, 2)]
    assert identical(fits[0].result_.params, fits[1].result_.params)


class CutOff(Exception):
    """What stands for a kill."""


@pytest.mark.parametrize(
    ("search", "share"), [(None, 0.2), (None, 0.8), ("random_swap", 0.7), ("split_merge", 0.7), ("greedy", 0.3)]
)
def test_a_fit_that_was_cut_off_goes_on_to_the_same_bits(search, share):
    x, _ = clouds(3, n=800, apart=5.0)
    settings = {"covariance_type": "EII", "n_init": 2, "random_state": 3, "progressive": 200, "search": search}

    def fit(ledger):
        made = estep.GaussianMixture(3, **settings)
        made._ledger = ledger
        return made.fit(x)

    told = []
    whole = fit(Ledger(told=lambda run, state: told.append(run)))
    stop, count = int(share * len(told)), []

    def cut(run, state):
        count.append(run)
        if len(count) == stop:
            raise CutOff

    first = Ledger(told=cut)
    with pytest.raises(CutOff):
        fit(first)
    saved = {run: (described, dict(estep.core.record.leaves(state))) for run, (described, state) in first.states.items()}
    again = fit(Ledger(saved=saved))
    assert identical(again.result_.params, whole.result_.params)
    np.testing.assert_array_equal(again.trace_, whole.trace_)
    assert str(again.starts_) == str(whole.starts_)


@pytest.mark.parametrize("passes", [2, 20, 45])
def test_a_fit_that_is_stopped_on_a_part_returns_a_point_valued_on_all_rows(passes):
    from estep.engine.presets import variant_of
    from estep.engine.restart import Plan, Start, fit_starts
    from estep.engine.run import Control
    from estep.engine.tallied import fitted_to
    from estep.models.latent import Latent
    from estep.structures.iid import Iid

    x, labels = clouds(4, apart=1.0)
    data = estep.data.Memory(x)
    model = Latent(Iid(), estep.Normal("VVV"), 3).bind(data)
    starts = [Start("labels", lambda: fitted_to(model, data, lambda chunk: np.eye(3)[labels[chunk.rows]]))] * 2
    plan, told = Plan(ladder=(estep.data.Memory(x[:400]), estep.data.Memory(x[:1600]))), []
    control = Control(watch=lambda state, status: told.append(1) or len(told) >= passes)
    found = fit_starts(model, data, starts, variant_of("em", "none"), control, plan)
    assert found.status is Status.STOPPED
    assert found.n == len(x)
    assert found.objective == pytest.approx(float(total(model, data, found.params, SOFT).objective), rel=1e-12)
