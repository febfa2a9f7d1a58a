"""Missing values in a hidden Markov chain: a new structure beside a family that knows nothing of time.

    z_1 ~ Categorical(pi),   z_t | z_{t-1} = i ~ Categorical(A_i),   x_t | z_t = k ~ p(. | theta_k)

E-step, scaled so that every row of alpha sums to one (b_tk = log density of what is observed of x_t under k):

    alpha_1 c_1 = pi e^{b_1},   alpha_t c_t = (alpha_{t-1} A) e^{b_t},   log p(x_t | x_<t) = log c_t
    beta_T = 1,   beta_t = A (e^{b_{t+1}} beta_{t+1}) / c_{t+1}
    resp_t = alpha_t beta_t,   pairs = sum_t alpha_t' A e^{b_{t+1}} beta_{t+1} / c_{t+1}

M-step   pi = first / sum first,   A_i = pairs_i / sum_j pairs_ij

symbol   variable    shape
pi       startprob   (k,)
A        transmat    (k, k)
         first       (k,)     expected starts in each state
         pairs       (k, k)   expected moves from row to column

A missing entry is the family's business: b holds the density of the observed part (0 where all of a row is missing),
and the statistics are conditional expectations. Weights are those of rows, equal within a sequence.

Source: Rabiner (1989), Proc. IEEE 77:257, sections III and V.A.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import operator
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from estep.core.assign import HARD, SOFT, ImpossibleRow
from estep.core.protocols import Chunk, Data, Explained, Structure
from estep.core.record import Array, record
from estep.core.result import Status
from estep.core.support import Constraints, Simplex, Support
from estep.data.memory import Memory
from estep.engine.fit import fit
from estep.engine.presets import Variant
from estep.engine.state import State
from estep.engine.visit import total
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.models.latent import Latent, LatentParams
from estep.structures.iid import Iid, IidParams

Logb = Callable[[slice], Array]


@record
class ChainParams:
    startprob: Array
    transmat: Array


@record
class ChainCounts:
    first: Array
    pairs: Array


@dataclasses.dataclass(frozen=True)
class Posterior:
    """What the rows of one sequence say: responsibilities (t, k), expected moves, log p(x_t | x_<t), objective."""

    resp: Array
    pairs: Array
    steps: Array
    objective: float


def soft(params: ChainParams, b: Array, row: int) -> Posterior:
    """Scaled forward-backward; ``row`` is the first row's index in the data, for the error message."""
    top = b.max(axis=1)
    top[np.isneginf(top)] = 0.0
    like = np.exp(b - top[:, None])
    alpha, beta, scale = np.empty_like(b), np.ones_like(b), np.empty(len(b))
    for t in range(len(b)):
        joint = like[t] * (params.startprob if t == 0 else alpha[t - 1] @ params.transmat)
        scale[t] = joint.sum()
        if not scale[t] > 0:
            raise ImpossibleRow(row + t)
        alpha[t] = joint / scale[t]
    ahead = np.empty_like(b)
    for t in range(len(b) - 1, 0, -1):
        ahead[t] = like[t] * beta[t] / scale[t]
        beta[t - 1] = params.transmat @ ahead[t]
    steps = np.log(scale) + top
    return Posterior(alpha * beta, params.transmat * (alpha[:-1].T @ ahead[1:]), steps, float(steps.sum()))


def hard(params: ChainParams, b: Array, row: int) -> Posterior:
    """The best path (Viterbi, ties to the lowest state) as one-hot responsibilities; its log density is the goal."""
    steps = soft(params, b, row).steps
    with np.errstate(divide="ignore"):
        start, moves = np.log(params.startprob), np.log(params.transmat)
    best, back = start + b[0], np.empty(b.shape, dtype=np.intp)
    for t in range(1, len(b)):
        via = best[:, None] + moves
        back[t] = via.argmax(axis=0)
        best = via.max(axis=0) + b[t]
    path = [int(best.argmax())]
    for t in range(len(b) - 1, 0, -1):
        path.append(int(back[t, path[-1]]))
    resp = np.eye(b.shape[1])[path[::-1]]
    return Posterior(resp, resp[:-1].T @ resp[1:], steps, float(best.max()))


POSTERIORS = {SOFT.name: soft, HARD.name: hard}


def spans(chunk: Chunk) -> list[tuple[int, int]]:
    """First and end row of every sequence of the chunk."""
    if chunk.ends is None:
        raise ValueError("a chain needs to know where sequences end, and this data plane does not say: give it ends")
    ends = chunk.ends.tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


@dataclasses.dataclass(frozen=True)
class Chain:
    """Labels follow a Markov chain within each sequence."""

    names: ClassVar[tuple[str, ...]] = ("startprob", "transmat")

    def bind(self, data: Any) -> Chain:
        return self

    def start(self, k: int) -> ChainParams:
        return ChainParams(np.full(k, 1.0 / k), np.full((k, k), 1.0 / k))

    def infer(
        self, params: ChainParams, logb: Logb, chunk: Chunk, assign: Any, collect: Callable[[slice, Array], None]
    ) -> tuple[ChainCounts, float, float]:
        if assign.name not in POSTERIORS:
            raise ValueError(f"assign={assign.name!r}: a chain takes {sorted(POSTERIORS)}")
        everything = slice(0, len(chunk))
        b = logb(everything)
        resp, first, pairs = np.empty(b.shape), np.zeros(b.shape[1]), np.zeros(params.transmat.shape)
        objective = loglik = 0.0
        for begin, end in spans(chunk):
            weight = 1.0 if chunk.weight is None else float(chunk.weight[begin])
            one = POSTERIORS[assign.name](params, b[begin:end], chunk.key[1] + begin)
            resp[begin:end] = weight * one.resp
            first, pairs = first + resp[begin], pairs + weight * one.pairs
            objective, loglik = objective + weight * one.objective, loglik + weight * float(one.steps.sum())
        collect(everything, resp)
        return ChainCounts(first, pairs), objective, loglik

    def tally(self, params: ChainParams, resp: Array, chunk: Chunk) -> ChainCounts:
        first = sum(resp[begin] for begin, _ in spans(chunk))
        weight = np.maximum(resp.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        pairs = sum((resp[a : z - 1] / weight[a : z - 1]).T @ resp[a + 1 : z] for a, z in spans(chunk))
        return ChainCounts(np.asarray(first), np.asarray(pairs))

    def explain(self, params: ChainParams, logb: Logb, chunk: Chunk) -> Explained:
        b = logb(slice(0, len(chunk)))
        each = [[find(params, b[a:z], chunk.key[1] + a) for find in (soft, hard)] for a, z in spans(chunk)]
        return Explained(
            np.concatenate([s.steps for s, _ in each]),
            np.concatenate([s.resp for s, _ in each]),
            np.concatenate([h.resp.argmax(axis=1) for _, h in each]),
        )

    def fit(self, counts: ChainCounts, params: ChainParams, support: Support) -> ChainParams:
        startprob, transmat = support.entries["startprob"], support.entries["transmat"]
        assert isinstance(startprob, Simplex)
        assert isinstance(transmat, Simplex)
        return ChainParams(startprob.share(counts.first), transmat.share(counts.pairs))

    def q(self, params: ChainParams, counts: ChainCounts) -> float:
        return weighted_log(counts.first, params.startprob) + weighted_log(counts.pairs, params.transmat)

    def score(self, params: ChainParams, counts: ChainCounts, support: Support) -> Array:
        slopes = {"startprob": counts.first / params.startprob, "transmat": counts.pairs / params.transmat}
        return support.pull(params, slopes)

    def support(self, params: ChainParams, constraints: Constraints) -> Support:
        shapes = {"startprob": params.startprob.shape, "transmat": params.transmat.shape}
        return Support({n: Simplex.of(n, constraints.pattern(n, shape)) for n, shape in shapes.items()})

    def sample(self, params: ChainParams, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
        labels = np.empty(n, dtype=np.intp)
        for t in range(n):
            labels[t] = rng.choice(params.startprob.size, p=params.transmat[labels[t - 1]] if t else params.startprob)
        return labels


def weighted_log(counts: Array, probs: Array) -> float:
    """sum counts log probs, with 0 log 0 = 0."""
    held = counts > 0
    with np.errstate(divide="ignore"):
        return float(counts[held] @ np.log(probs[held]))


@dataclasses.dataclass(frozen=True)
class WholeSequences:
    """Rows of several sequences end to end; a chunk ends with a sequence, as soon as it holds ``rows`` rows."""

    x: Array
    ends: NDArray[np.intp]
    weight: Array | None = None
    allowed: NDArray[Any] | None = None
    rows: int = 64

    @property
    def n_rows(self) -> int:
        return len(self.x)

    def chunks(self) -> Iterator[Chunk]:
        first = 0
        for end in self.ends.tolist():
            if end - first < self.rows and end < self.n_rows:
                continue
            within, inside = slice(first, end), (self.ends > first) & (self.ends <= end)
            weight, allowed = (None if v is None else v[within] for v in (self.weight, self.allowed))
            ends = self.ends[inside] - first
            yield Chunk(("sequences", first, end), self.x[within], weight=weight, allowed=allowed, ends=ends)
            first = end

    def sum(self, fn: Callable[[Chunk], Any]) -> Any:
        return functools.reduce(operator.add, map(fn, self.chunks()))

    def map(self, fn: Callable[[Chunk], Any], sink: Callable[[Chunk, Any], None]) -> None:
        for chunk in self.chunks():
            sink(chunk, fn(chunk))

    def shuffled(self, rng: np.random.Generator) -> WholeSequences:
        """The same sequences in random order."""
        pieces = np.split(np.arange(self.n_rows), self.ends[:-1])
        mixed = [pieces[i] for i in rng.permutation(len(pieces))]
        order, ends = np.concatenate(mixed), np.cumsum([len(p) for p in mixed])
        weight, allowed = (None if v is None else v[order] for v in (self.weight, self.allowed))
        return dataclasses.replace(self, x=self.x[order], ends=ends, weight=weight, allowed=allowed)


# --- the tests: everything at once on seven rows, by enumeration of every path ---

WEIGHTS = np.array([0.3, 0.7])
TINY = LatentParams(
    ChainParams(np.array([0.6, 0.4]), np.array([[0.8, 0.2], [0.1, 0.9]])),
    NormalParams(np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([[[1.0, 0.3], [0.3, 2.0]], [[0.5, -0.2], [-0.2, 1.5]]])),
)


def tiny() -> tuple[Latent, WholeSequences]:
    """Sequences of three and four rows: gaps, a row that is missing altogether, a weight, and one known label."""
    x = np.random.default_rng(1).normal(size=(7, 2))
    x[[0, 4], [1, 0]] = np.nan
    x[2] = np.nan
    weight = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    data = WholeSequences(x, np.array([3, 7]), weight, np.array([-1, -1, -1, -1, -1, 0, -1]))
    return Latent(Chain(), Normal(), 2).bind(data), data


@dataclasses.dataclass(frozen=True)
class Enumerated:
    loglik: float
    best: float
    resp: Array
    counts: ChainCounts


def enumerate_paths(model: Latent, data: WholeSequences) -> Enumerated:
    b = model.family.log_density(TINY.family, model.family.encode(data.x))
    b[5, 1] = -np.inf
    p, resp, first, pairs, loglik, best = TINY.structure, np.zeros(b.shape), np.zeros(2), np.zeros((2, 2)), 0.0, 0.0
    for (a, z), w in zip([(0, 3), (3, 7)], [1.0, 2.0], strict=True):
        paths = list(itertools.product(range(2), repeat=z - a))
        logs = np.array([np.log(p.startprob[s[0]]) + sum(b[a + t, k] for t, k in enumerate(s)) for s in paths])
        logs += [sum(np.log(p.transmat[i, j]) for i, j in itertools.pairwise(s)) for s in paths]
        loglik, best = loglik + w * np.log(np.exp(logs).sum()), best + w * logs.max()
        for s, share in zip(paths, w * np.exp(logs) / np.exp(logs).sum(), strict=True):
            first[s[0]] += share
            for t, k in enumerate(s):
                resp[a + t, k] += share
            for i, j in itertools.pairwise(s):
                pairs[i, j] += share
    return Enumerated(loglik, best, resp, ChainCounts(first, pairs))


def test_the_promises_are_kept() -> None:
    assert isinstance(Chain(), Structure)
    plane: Data = tiny()[1]
    assert plane.n_rows == 7


@pytest.mark.parametrize("rows", [1, 100])
def test_brute_force(rows: int) -> None:
    model, data = tiny()
    truth = enumerate_paths(model, data)
    seen = total(model, dataclasses.replace(data, rows=rows), TINY, SOFT)
    assert seen.loglik == pytest.approx(truth.loglik, rel=1e-13)
    np.testing.assert_allclose(seen.stats.structure.first, truth.counts.first, rtol=1e-12)
    np.testing.assert_allclose(seen.stats.structure.pairs, truth.counts.pairs, rtol=1e-12)
    expected = model.family.stats(TINY.family, model.family.encode(data.x), truth.resp)
    np.testing.assert_allclose(seen.stats.family.features, expected.features, rtol=1e-12)
    assert seen.n == pytest.approx(data.weight.sum())  # type: ignore[union-attr]


def test_the_best_path_by_brute_force() -> None:
    model, data = tiny()
    seen = total(model, data, TINY, HARD)
    assert seen.objective == pytest.approx(enumerate_paths(model, data).best, rel=1e-13)


def test_brute_force_notices_a_chain_that_runs_across_the_end_of_a_sequence() -> None:
    model, data = tiny()
    across = dataclasses.replace(data, ends=np.array([7]), weight=None)
    apart = dataclasses.replace(data, weight=None)
    wrong, right = (total(model, plane, TINY, SOFT).loglik for plane in (across, apart))
    assert abs(wrong - right) > 0.01


def test_fishers_identity() -> None:
    """The gradient of q at the parameters that made the statistics is that of the observed log-likelihood."""
    model, data = tiny()
    support = model.support(TINY)
    at = support.pack(TINY)

    def loglik(v: Array) -> float:
        return total(model, data, support.unpack(v, TINY), SOFT).loglik

    slopes = [(loglik(at + 1e-5 * e) - loglik(at - 1e-5 * e)) / 2e-5 for e in np.eye(at.size)]
    stats = total(model, data, TINY, SOFT).stats
    # central differences of a value near 30 with step 1e-5 are good to 1e-5 squared and to 30 eps / 1e-5
    np.testing.assert_allclose(model.score(TINY, stats), slopes, atol=1e-8)


# --- EM on a sample with a sixth of the entries missing ---


def sampled() -> tuple[Latent, WholeSequences, LatentParams]:
    rng = np.random.default_rng(2)
    truth = LatentParams(TINY.structure, dataclasses.replace(TINY.family, means=np.array([[0.0, 3.0], [3.0, 0.0]])))
    labels = np.concatenate([Chain().sample(truth.structure, 50, rng) for _ in range(6)])
    x = Normal().sample(truth.family, labels, rng)
    x[rng.random(x.shape) < 1 / 6] = np.nan
    data = WholeSequences(x, np.arange(50, 301, 50))
    model = Latent(Chain(), Normal(), 2).bind(data)
    begin = LatentParams(Chain().start(2), NormalParams(truth.family.means + 1.0, np.tile(np.eye(2), (2, 1, 1))))
    return model, data, begin


@pytest.mark.parametrize("how", ["em", "cem"])
def test_em_never_falls_and_converges(how: str) -> None:
    model, data, begin = sampled()
    result = fit(model, data, begin, how)
    assert result.converged
    assert np.diff(result.trace.objective).min() >= -1e-12 * abs(result.objective)
    assert result.objective > result.trace.objective[0] + 10.0


def test_the_law_notices_transitions_from_the_wrong_state(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data, begin = sampled()
    right = Chain.fit

    def wrong(self: Chain, counts: ChainCounts, params: ChainParams, support: Support) -> ChainParams:
        return right(self, ChainCounts(counts.first, counts.pairs[::-1]), params, support)

    monkeypatch.setattr(Chain, "fit", wrong)
    assert fit(model, data, begin).status is Status.FELL


def test_equal_rows_are_a_mixture() -> None:
    """With pi and every row of A at the mixture's weights, each pass is the mixture's, missing values and all."""
    chain, data, begin = sampled()
    mixture, plane = Latent(Iid(), chain.family, 2), Memory(data.x)
    path: list[LatentParams] = []

    def keep(now: State, status: Status) -> bool:
        path.append(now.here)
        return False

    fit(mixture, plane, LatentParams(IidParams(WEIGHTS), begin.family), watch=keep)
    assert len(path) > 5
    for params in path:
        w = params.structure.weights
        as_chain = LatentParams(ChainParams(w, np.tile(w, (2, 1))), params.family)
        one = total(chain, data, as_chain, SOFT)
        other = total(mixture, plane, params, SOFT)
        assert one.loglik == pytest.approx(other.loglik, rel=1e-13)
        moves = one.stats.structure
        np.testing.assert_allclose(moves.first + moves.pairs.sum(axis=0), other.stats.structure.counts, rtol=1e-11)
        np.testing.assert_allclose(one.stats.family.features, other.stats.family.features, rtol=1e-10, atol=1e-9)


def test_what_it_cannot_do_is_refused() -> None:
    model, data = tiny()
    with pytest.raises(ValueError, match="needs to know where sequences end"):
        fit(model, Memory(data.x), TINY)
    with pytest.raises(ValueError, match="a chain takes"):
        fit(model, data, TINY, Variant(assign=dataclasses.replace(SOFT, name="sampled")))
