"""Online EM: steps, averages, an honest end, and the same answer as plain EM where rows are many."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from estep.core.assign import SOFT
from estep.core.record import identical
from estep.core.result import Status
from estep.data.arrow import Arrow
from estep.data.memory import Memory
from estep.engine.batches import Batches, Slowed, Stepwise
from estep.engine.fit import fit
from estep.engine.presets import Variant
from estep.engine.visit import total
from estep.families.bernoulli import Bernoulli
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.models.latent import Latent, LatentParams
from estep.structures.iid import Iid, IidParams


def planted(n=20_000, seed=0, sort=False):
    """Three normals well apart, begun half way; sorted rows come component by component."""
    rng = np.random.default_rng(seed)
    means = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    z = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    z = np.sort(z) if sort else z
    x = means[z] + rng.normal(size=(n, 2))
    data = Memory(x)
    model = Latent(Iid(), Normal(), 3).bind(data)
    begin = LatentParams(IidParams(np.full(3, 1 / 3)), NormalParams(0.5 * means + 1.0, np.tile(4 * np.eye(2), (3, 1, 1))))
    return model, data, begin


def test_the_weights_of_batches():
    """1 / t at first, the plain mean of batches; then a power of t, whose sum diverges but not its squares."""
    steps = Stepwise(power=0.6, delay=2.0, warm=3)
    assert [steps.gamma(t) for t in (1, 2, 3)] == [1.0, 1 / 2, 1 / 3]
    assert steps.gamma(4) == 6.0**-0.6
    with pytest.raises(ValueError, match="power is above 1/2"):
        Stepwise(power=0.5)
    with pytest.raises(ValueError, match="rows=0"):
        Batches(0)


@pytest.mark.parametrize("sort", [False, True])
def test_near_the_optimum_after_few_passes(sort):
    """Within half a nat for each of the 17 free parameters (a standard error each) after five passes; EM is far from it.

    Sorted rows are no harm: they are shuffled.
    """
    model, data, begin = planted(sort=sort)
    best = fit(model, data, begin)
    online = fit(model, data, begin, "online", max_iter=5)
    em = fit(model, data, begin, max_iter=5)
    assert best.loglik - online.loglik < 17 / 2
    assert best.loglik - em.loglik > 10 * (best.loglik - online.loglik)
    assert online.loglik == float(total(model, data, online.params, SOFT).loglik)
    assert online.certificate == "heuristic"


def test_without_shuffling_it_would_be_lost():
    """The control: rows in order of their component mislead it."""
    model, data, begin = planted(sort=True)

    @dataclasses.dataclass(frozen=True)
    class AsTheyCome(Memory):
        def shuffled(self, rng):
            return Memory(self.x)

    lost = fit(model, AsTheyCome(data.x), begin, "online", max_iter=5)
    found = fit(model, data, begin, "online", max_iter=5)
    assert found.loglik > lost.loglik + 17 / 2


def test_its_own_rule_stops_it_and_says_so():
    model, data, begin = planted(n=1000)
    result = fit(model, data, begin, "online")
    assert result.status is Status.SLOWED
    assert not result.converged
    assert "algorithm='em' from here" in result.message
    last = np.diff(result.trace.objective)[-2:]
    assert (np.abs(last) <= 1e-5 * 1000).all()
    assert "progressive log-likelihood" in result.explain()


def test_the_average_is_better_than_the_last_point():
    """Polyak: where only noise is left, over 12 seeds the averaged parameters lie higher than the running ones in most."""
    model, data, begin = planted(n=2000)
    best = fit(model, data, begin).params
    variant = Variant("online", visit=Batches(64), blend=Stepwise(), stop=Slowed())
    wins = 0
    for seed in range(12):
        result = fit(model, data, best, variant, max_iter=3, seed=seed)
        last = float(total(model, data, result.state.params, SOFT).loglik)
        wins += result.loglik > last
    assert wins >= 10  # by chance 10 of 12 would be one in fifty


def test_the_first_pass_by_hand():
    """Two batches, no M-step in the first: the mean of both at the start, then one M-step."""
    model, data, begin = planted(n=100)
    variant = Variant("online", visit=Batches(50), blend=Stepwise(warm=2), stop=Slowed())
    result = fit(model, data, begin, variant, max_iter=1)
    by_hand = model.mstep(total(model, data, begin, SOFT).stats, begin)
    np.testing.assert_allclose(result.state.params.family.means, by_hand.family.means, rtol=1e-12)
    assert result.trace.objective[0] == pytest.approx(float(total(model, data, begin, SOFT).loglik), rel=1e-12)


def test_weights_are_rows_seen_again():
    """Equal rows counted once, with very unequal weights, end where the written-out rows do."""
    rng = np.random.default_rng(1)
    probs = np.array([[0.9, 0.8, 0.9, 0.7], [0.1, 0.3, 0.2, 0.2]])
    x = (rng.random((3000, 4)) < probs[rng.integers(0, 2, 3000)]).astype(float)
    found, counts = np.unique(x, axis=0, return_counts=True)
    assert counts.max() > 20 * counts.min()
    few, many = Memory(found, weight=counts.astype(float)), Memory(x)
    model = Latent(Iid(), Bernoulli(), 2).bind(many)
    begin = LatentParams(IidParams(np.array([0.5, 0.5])), type(model.start().family)(np.array([[0.6] * 4, [0.4] * 4])))
    best = fit(model, few, begin)
    for data, rows in ((few, 1), (many, 188)):
        variant = Variant("online", visit=Batches(rows), blend=Stepwise(), stop=Slowed())
        result = fit(model, data, begin, variant, max_iter=60)
        assert result.n == 3000
        assert best.loglik - result.loglik < 9 / 2


@pytest.mark.parametrize("passes", [1, 2, 5])
def test_resumed_to_the_bit(passes, tmp_path):
    model, data, begin = planted(n=500)
    path = tmp_path / "state"
    fit(model, data, begin, "online", max_iter=passes, checkpoint=path)
    whole, again = (fit(model, data, begin, "online", max_iter=9, **more) for more in ({}, {"checkpoint": path}))
    assert identical(again.params, whole.params)
    np.testing.assert_array_equal(again.trace.objective, whole.trace.objective)


def test_a_seed_is_a_shuffle_whatever_the_threads():
    model, data, begin = planted(n=3000)
    variant = Variant("online", visit=Batches(1000), blend=Stepwise(warm=1), stop=Slowed())

    def run(jobs, seed):
        return fit(model, dataclasses.replace(data, n_jobs=jobs, rows=100), begin, variant, max_iter=3, seed=seed)

    one, two, other = run(1, 5), run(3, 5), run(1, 6)
    assert identical(one.params, two.params)
    assert not identical(one.params, other.params)


def test_rows_in_a_file_are_shuffled_too(tmp_path):
    """The Arrow plane: the same rows from Parquet, near the same optimum; the shuffle is seeded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    model, data, begin = planted(n=2000, sort=True)
    pq.write_table(pa.table({"a": data.x[:, 0], "b": data.x[:, 1]}), tmp_path / "rows.parquet")
    best = fit(model, data, begin)
    for extra in ({}, {"budget": 1}):
        plane = Arrow(tmp_path / "rows.parquet", **extra)
        if extra:
            with pytest.warns(UserWarning, match="every pass reads the source again"):
                assert plane.n_rows == 2000
        one, again = (fit(model, plane, begin, "online", max_iter=8, seed=1) for _ in range(2))
        assert best.loglik - one.loglik < 17 / 2
        assert identical(one.params, again.params)


def test_what_it_keeps_does_not_grow_with_the_batches():
    model, data, begin = planted(n=2000)
    sizes = []
    for rows in (20, 500):
        variant = Variant("online", visit=Batches(rows), blend=Stepwise(), stop=Slowed())
        blend = fit(model, data, begin, variant, max_iter=2).state.blend
        sizes.append(sum(np.asarray(v).size for part in (blend.stats, blend.mean) for v in part.values()))
    assert sizes[0] == sizes[1]
    tracemalloc.start()
    fit(model, data, begin, "online", max_iter=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * data.x.nbytes
