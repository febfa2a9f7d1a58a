"""The laws of a chain of labels, and of a hidden Markov model on everything at once.

Brute force lists every path of tiny sequences (``estep.testing``): gaps, rows that are missing altogether, weights, partial
labels, sequences of length one and chunks that cut between sequences.
"""

from __future__ import annotations

import dataclasses
import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from estep.core.assign import HARD, SOFT, Hard, ImpossibleRow, Sampled, Tempered
from estep.core.protocols import Chunk, Structure
from estep.core.record import Array
from estep.core.support import Constraints
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.presets import Variant
from estep.engine.visit import total
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.models.latent import Latent, LatentParams, forbid
from estep.structures import chain_pass
from estep.structures.chain import Chain, ChainCounts, ChainParams
from estep.structures.iid import Iid, IidParams
from estep.testing import check_structure
from estep.testing.case_of_structure import structure_case
from estep.testing.structure import STRUCTURE_LAWS, samples_follow_the_prior

ENDS = np.array([3, 4, 6])


def log_prior(params: ChainParams, path: NDArray[np.intp], ends: NDArray[np.intp] = ENDS) -> float:
    """log p(z) of sequences that end at ``ends``, from the definition."""
    with np.errstate(divide="ignore"):
        start, moves = np.log(params.startprob), np.log(params.transmat)
    value, k = 0.0, len(start)
    for a, z in zip([0, *ends[:-1]], ends, strict=True):
        value += start[path[a]] + sum(moves[i, j] for i, j in itertools.pairwise(path[a:z]))
        value += moves[path[z - 1], k] if moves.shape[1] > k else 0.0
    return float(value)


CHAINS = {
    "full": Chain(),
    "left-to-right": Chain("left-to-right"),
    "one at a time": Chain("left-to-right", bandwidth=1),
    "cyclic": Chain("cyclic"),
    "banded": Chain("banded"),
    "absorbing": Chain(absorbing=(1,)),
}


@pytest.mark.parametrize("name", CHAINS)
def test_structure_laws(name: str) -> None:
    check_structure(CHAINS[name], 3, ends=ENDS, log_prior_of_path=log_prior)


@pytest.mark.parametrize("name", CHAINS)
def test_structure_laws_with_an_end_state(name: str) -> None:
    """All but the law of samples: their lengths are given, and not drawn from the probabilities of ending."""
    case = structure_case(dataclasses.replace(CHAINS[name], end=True), 3, ends=ENDS, log_prior_of_path=log_prior)
    for law in STRUCTURE_LAWS:
        if law is not samples_follow_the_prior:
            law(case)


def test_structure_laws_with_fixed_and_tied_entries() -> None:
    held = np.full((3, 3), np.nan)
    held[0] = [0.5, 0.2, 0.3]
    held[1, 2] = 0.0
    ties = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 7]])
    constraints = Constraints({"transmat": held, "startprob": np.array([0.2, np.nan, np.nan])}, {"transmat": ties})
    params = ChainParams(np.array([0.2, 0.5, 0.3]), np.array([[0.5, 0.2, 0.3], [0.6, 0.4, 0.0], [0.2, 0.4, 0.4]]))
    check_structure(Chain(), 3, ends=ENDS, log_prior_of_path=log_prior, params=params, constraints=constraints)


def test_a_chain_is_a_structure() -> None:
    assert isinstance(Chain(), Structure)


def test_the_laws_catch_a_chain_that_runs_across_the_end_of_a_sequence() -> None:
    """Negative control: the same labels as one sequence are another law."""
    with pytest.raises(AssertionError, match="soft_objective"):
        check_structure(Chain(), 3, ends=np.array([6]), log_prior_of_path=log_prior)


def test_the_laws_catch_moves_counted_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Chain, "_counts", lambda self, first, pairs, last: ChainCounts(first, pairs.T))
    with pytest.raises(AssertionError, match="q_is_the_expected_log_prior"):
        check_structure(Chain(), 3, ends=ENDS, log_prior_of_path=log_prior, assigns=("soft",))


# --- everything at once ---

TINY = LatentParams(
    ChainParams(np.array([0.6, 0.4]), np.array([[0.8, 0.2], [0.1, 0.9]])),
    NormalParams(np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([[[1.0, 0.3], [0.3, 2.0]], [[0.5, -0.2], [-0.2, 1.5]]])),
)
LAST = np.array([3, 7, 8])
WEIGHT = np.repeat([1.0, 2.0, 0.5], [3, 4, 1])


def tiny(**settings: Any) -> tuple[Latent, Memory]:
    """Sequences of three, four and one rows: gaps, a row that is missing altogether, weights, known and excluded labels."""
    x = np.random.default_rng(1).normal(size=(8, 2))
    x[[0, 4], [1, 0]] = np.nan
    x[2] = np.nan
    data = Memory(x, WEIGHT, np.array([-1, -1, -1, -1, -1, 0, -1, -1]), ends=LAST, **settings)
    return Latent(Chain(), Normal(), 2).bind(data), data


def by_enumeration(beta: float = 1.0) -> tuple[float, float, Array, ChainCounts]:
    """log-likelihood of powers ``beta`` over beta, the best paths' log p(x, z), responsibilities and counts, all weighted."""
    model, data = tiny()
    assert data.allowed is not None
    b = forbid(model.family.log_density(TINY.family, model.family.encode(data.x)), data.allowed)
    value = best = 0.0
    resp, first, pairs = np.zeros(b.shape), np.zeros(2), np.zeros((2, 2))
    for (a, z), w in zip([(0, 3), (3, 7), (7, 8)], [1.0, 2.0, 0.5], strict=True):
        paths = [np.array(path) for path in itertools.product(range(2), repeat=z - a)]
        logs = [log_prior(TINY.structure, path, np.array([z - a])) + b[np.arange(a, z), path].sum() for path in paths]
        scaled = beta * np.array(logs)
        value, best = value + w * np.logaddexp.reduce(scaled) / beta, best + w * max(logs)
        for path, share in zip(paths, w * np.exp(scaled - np.logaddexp.reduce(scaled)), strict=True):
            first[path[0]] += share
            resp[np.arange(a, z), path] += share
            for i, j in itertools.pairwise(path):
                pairs[i, j] += share
    return value, best, resp, ChainCounts(first, pairs)


@pytest.mark.parametrize("rows", [1, 100])
@pytest.mark.parametrize("beta", [1.0, 0.4])
def test_brute_force(rows: int, beta: float) -> None:
    model, data = tiny(rows=rows)
    assert len(list(data.chunks())) == (3 if rows == 1 else 1)
    value, _, resp, counts = by_enumeration(beta)
    seen = total(model, data, TINY, SOFT if beta == 1.0 else Tempered(beta))
    assert seen.objective == pytest.approx(value, rel=1e-13)
    assert seen.loglik == pytest.approx(by_enumeration()[0], rel=1e-13)
    np.testing.assert_allclose(seen.stats.structure.first, counts.first, rtol=1e-12)
    np.testing.assert_allclose(seen.stats.structure.pairs, counts.pairs, rtol=1e-12)
    expected = model.family.stats(TINY.family, model.family.encode(data.x), resp)
    np.testing.assert_allclose(seen.stats.family.features, expected.features, rtol=1e-12)
    assert seen.n == pytest.approx(WEIGHT.sum())


def test_the_best_paths_by_brute_force() -> None:
    model, data = tiny()
    seen = total(model, data, TINY, HARD)
    assert seen.objective == pytest.approx(by_enumeration()[1], rel=1e-13)
    assert seen.loglik == pytest.approx(by_enumeration()[0], rel=1e-13)


def test_drawn_paths_have_the_posterior() -> None:
    """Mean counts of 4000 draws; an entry's standard error is at most 2 / sqrt(4000), and 6 of them are 2e-9 of a normal."""
    model, data = tiny()
    counts = by_enumeration()[3]
    draws = [total(model, data, TINY, Sampled(0, i)).stats.structure for i in range(4000)]
    first, pairs = (np.mean([getattr(d, name) for d in draws], axis=0) for name in ("first", "pairs"))
    np.testing.assert_allclose(first, counts.first, atol=6 * 2 / np.sqrt(4000))
    np.testing.assert_allclose(pairs, counts.pairs, atol=6 * 4 / np.sqrt(4000))
    assert np.ptp([d.pairs[0, 0] for d in draws]) > 0
    again = total(model, data, TINY, Sampled(0, 7)).stats.structure
    np.testing.assert_array_equal(again.pairs, draws[7].pairs)


def test_fishers_identity() -> None:
    """The gradient of q at the parameters that made the statistics is that of the observed log-likelihood."""
    model, data = tiny()
    support = model.support(TINY)
    at = support.pack(TINY)

    def loglik(v: Array) -> float:
        return float(total(model, data, support.unpack(v, TINY), SOFT).loglik)

    slopes = [(loglik(at + 1e-5 * e) - loglik(at - 1e-5 * e)) / 2e-5 for e in np.eye(at.size)]
    stats = total(model, data, TINY, SOFT).stats
    # central differences of a value near 30 with step 1e-5 are good to 1e-5 squared and to 30 eps / 1e-5
    np.testing.assert_allclose(model.score(TINY, stats), slopes, atol=1e-8)


def test_scores_of_sequences_add_up() -> None:
    model, data = tiny()
    chunk = next(iter(data.chunks()))
    support = model.structure.support(TINY.structure, Constraints())
    b = forbid(model.family.log_density(TINY.family, model.family.encode(data.x)), np.asarray(data.allowed))
    resp = np.full(b.shape, np.nan)
    each, ends = model.structure.sequence_scores(TINY.structure, lambda r: b[r], chunk, support, resp.__setitem__)
    assert each.shape == (3, 3)
    assert ends.tolist() == LAST.tolist()
    counts = total(model, data, TINY, SOFT).stats.structure
    whole = model.structure.score(TINY.structure, counts, support)
    np.testing.assert_allclose(np.array([1.0, 2.0, 0.5]) @ each, whole, rtol=1e-12)
    np.testing.assert_allclose(resp * WEIGHT[:, None], by_enumeration()[2], rtol=1e-12, atol=1e-15)


def test_explain_is_the_running_product() -> None:
    model, data = tiny()
    chunk = next(iter(data.chunks()))
    told = model.explain(TINY, chunk)
    b = forbid(model.family.log_density(TINY.family, model.family.encode(data.x)), np.asarray(data.allowed))
    for a, z in ((0, 3), (3, 7), (7, 8)):
        for t in range(a, z):
            paths = itertools.product(range(2), repeat=t + 1 - a)
            logs = [
                log_prior(TINY.structure, np.array(p), np.array([t + 1 - a])) + b[np.arange(a, t + 1), p].sum() for p in paths
            ]
            assert told.log_density[a : t + 1].sum() == pytest.approx(np.logaddexp.reduce(logs), rel=1e-12)
    assert told.log_density[2] == pytest.approx(0.0, abs=1e-15)  # a row that is missing altogether


def test_equal_rows_are_a_mixture() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    weights, data = np.array([0.3, 0.7]), Memory(x, ends=np.array([20, 50]))
    chain = Latent(Chain(), Normal(), 2).bind(data)
    mixture = Latent(Iid(), Normal(), 2).bind(Memory(x))
    params = LatentParams(ChainParams(weights, np.tile(weights, (2, 1))), TINY.family)
    seen = total(chain, data, params, SOFT)
    other = total(mixture, Memory(x), LatentParams(IidParams(weights), TINY.family), SOFT)
    assert seen.loglik == pytest.approx(other.loglik, rel=1e-13)
    np.testing.assert_allclose(seen.stats.family.features, other.stats.family.features, rtol=1e-12)
    np.testing.assert_allclose(chain.structure.occupancy(seen.stats.structure), other.stats.structure.counts, rtol=1e-12)


# --- EM on samples ---


def sampled(n: int = 50, sequences: int = 6, **settings: Any) -> tuple[Latent, Memory, LatentParams]:
    rng = np.random.default_rng(2)
    truth = LatentParams(TINY.structure, dataclasses.replace(TINY.family, means=np.array([[0.0, 3.0], [3.0, 0.0]])))
    ends = np.arange(n, n * sequences + 1, n)
    labels = Chain().sample(truth.structure, n * sequences, rng, ends=ends)
    x = Normal().sample(truth.family, labels, rng)
    x[rng.random(x.shape) < 1 / 6] = np.nan
    data = Memory(x, ends=ends, **settings)
    model = Latent(Chain(), Normal(), 2).bind(data)
    return model, data, LatentParams(Chain().start(2), NormalParams(truth.family.means + 1.0, np.tile(np.eye(2), (2, 1, 1))))


@pytest.mark.parametrize("assign", [SOFT, HARD, Tempered(0.5)], ids=lambda a: a.name)
def test_the_objective_never_falls(assign: Any) -> None:
    model, data, begin = sampled()
    found = fit(model, data, begin, Variant(assign.name, assign=assign))
    assert (np.diff(found.trace.objective) >= -1e-9 * abs(found.objective)).all()
    assert found.trace.objective[-1] > found.trace.objective[0] + 1


def test_any_number_of_threads_gives_the_same_bits() -> None:
    found = []
    for threads in (1, 3):
        model, data, begin = sampled(rows=64, n_jobs=threads)
        found.append(total(model, data, begin, SOFT))
    assert found[0].loglik == found[1].loglik
    np.testing.assert_array_equal(found[0].stats.structure.pairs, found[1].stats.structure.pairs)


def test_memory_of_a_long_sequence_is_that_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """200,000 steps of 10 states: recursions hold blocks, not the 16 MB that a single (n, k) array takes."""
    import tracemalloc

    monkeypatch.setattr(chain_pass, "BUDGET", 1 << 15)
    n, k = 200_000, 10
    law = chain_pass.Law.of(np.full(k, 0.1), Chain().start(k).transmat)
    groups = chain_pass.plan(k, np.array([n], dtype=np.int64), np.ones(1))

    def logb(rows: slice) -> Array:
        return np.sin(np.arange(rows.start, rows.stop)[:, None] * np.arange(1, k + 1))

    short = chain_pass.plan(k, np.array([10_000], dtype=np.int64), np.ones(1))
    chain_pass.smooth(law, logb, short, 0, lambda rows, resp: None)  # compiled, and rooms made
    tracemalloc.start()
    chain_pass.smooth(law, logb, groups, 0, lambda rows, resp: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000  # blocks of 4096 rows: six arrays of 0.33 MB


# --- priors, rows that are never left, and errors ---


def test_priors_are_imagined_counts() -> None:
    prior = Chain("left-to-right").prior(2, {"transmat": 2.0, "sticky": 5.0})
    assert prior.first.tolist() == [0.0, 0.0]
    assert prior.pairs.tolist() == [[6.0, 1.0], [0.0, 6.0]]
    model, data, begin = sampled()
    sticky = dataclasses.replace(model, prior=None).with_prior({"sticky": 1e6, "transmat": 1.0})
    moved = sticky.mstep(total(model, data, begin, SOFT).stats, begin)
    assert (np.diag(moved.structure.transmat) > 0.999).all()


def test_a_state_that_is_never_left_keeps_its_row() -> None:
    params = ChainParams(np.array([0.5, 0.5]), np.array([[0.9, 0.1], [0.3, 0.7]]))
    counts = ChainCounts(np.array([1.0, 0.0]), np.array([[3.0, 1.0], [0.0, 0.0]]))
    found = Chain().fit(counts, params, Chain().support(params, Constraints()))
    np.testing.assert_allclose(found.transmat, [[0.75, 0.25], [0.3, 0.7]])


def test_expected_shares_of_rows() -> None:
    """``overall`` is the mean over a typical sequence of pi A^t: counted out for 8 rows."""
    chain, params = Chain(length=8.0), TINY.structure
    at, share = params.startprob, np.zeros(2)
    for _ in range(8):
        share, at = share + at / 8, at @ params.transmat
    np.testing.assert_allclose(chain.overall(params), share, rtol=1e-13)


@dataclasses.dataclass(frozen=True)
class Unheard(Hard):
    semiring: Any = "unheard of"  # type: ignore[misc]


def test_errors_name_what_is_wrong() -> None:
    model, data = tiny()
    with pytest.raises(ValueError, match="no recursion for it"):
        total(model, data, TINY, Unheard())
    with pytest.raises(ValueError, match="where sequences end"):
        Latent(Chain(), Normal(), 2).bind(Memory(data.x))
    with pytest.raises(ValueError, match="row 4 has a weight unlike"):
        Latent(Chain(), Normal(), 2).bind(dataclasses.replace(data, weight=np.where(np.arange(8) == 4, 3.0, WEIGHT)))
    with pytest.raises(ValueError, match="must increase to the number of rows"):
        Chain().tally(TINY.structure, np.ones((3, 2)), Chunk(("x", 0, 3), None, ends=np.array([2])))
    with pytest.raises(ValueError, match="topology='round'"):
        Chain("round")
    with pytest.raises(ValueError, match="bandwidth=0"):
        Chain("banded", bandwidth=0).start(3)
    with pytest.raises(ValueError, match="absorbing names the state 5"):
        Chain(absorbing=(5,)).start(3)
    with pytest.raises(ValueError, match=r"fixed\['transmat'\]\[1, 0\] is 0.5, but the topology has no such move"):
        held = np.array([[np.nan, np.nan], [0.5, 0.5]])
        Chain("left-to-right").support(Chain("left-to-right").start(2), Constraints({"transmat": held}))
    with pytest.raises(ValueError, match=r"prior\['transmat'\] must be a number"):
        Chain().prior(2, {"transmat": 0.5})
    x = np.arange(4.0)[:, None]
    wide = Memory(x, ends=np.array([4]))
    far = LatentParams(ChainParams(np.array([1.0, 0.0]), np.eye(2)), NormalParams(np.zeros((2, 1)), np.ones((2, 1, 1))))
    labelled = dataclasses.replace(wide, allowed=np.array([0, 0, 1, -1]))
    with pytest.raises(ImpossibleRow, match="row 2 is impossible given the rows"):
        total(Latent(Chain(), Normal(), 2).bind(labelled), labelled, far, SOFT)


def test_chunks_add_by_partial_sums() -> None:
    model, data = tiny(rows=1)
    parts = [model.estep(TINY, chunk, SOFT) for chunk in data.chunks()]
    whole = data.sum(partial(model.estep, TINY, assign=SOFT))
    assert sum(part.loglik for part in parts) == pytest.approx(whole.loglik, rel=1e-15)
