"""A motif that occurs once in each sequence (OOPS): the hidden label is a place, not the class of a row.

    s_j ~ Uniform(0 .. L_j - W),   letter t of sequence j ~ motif column t - s_j inside the site, background outside

The components of the family are the W motif columns and, last, the background; b_tk = log density of letter t under
component k. A site at s makes the sequence as probable as

    l_js = sum_{t < s} b_t,bg + sum_{c < W} b_{s+c,c} + sum_{t >= s+W} b_t,bg - log(L_j - W + 1)

E-step   posterior_js = assign(l_j.)                          one row of logits a sequence: soft, hard or sparse alike
         resp_{t,c} = posterior_{j,t-c},   resp_{t,bg} = 1 - sum_c resp_{t,c}
M-step   the family's: probabilities of letters in proportion to expected counts; the structure has no parameters

symbol   variable   shape
p        probs      (k, m)   letters in each component
         counts     (k, m)   sum resp [x = letter]

Source: Lawrence & Reilly (1990), Proteins 7:41; Bailey & Elkan (1994), ISMB 2:28.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from functools import partial, reduce
from operator import add
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from estep.core.assign import HARD, SOFT
from estep.core.protocols import Chunk, Explained, Family, Structure
from estep.core.record import Array, record
from estep.core.result import Status
from estep.core.support import Constraints, Simplex, Support
from estep.engine.fit import fit
from estep.engine.presets import Variant
from estep.engine.restart import Start, fit_starts
from estep.engine.run import Control
from estep.engine.visit import total
from estep.models.latent import Latent, LatentParams, LatentStats

Logb = Callable[[slice], Array]


@record
class OopsParams:
    """Nothing to fit: every place is as likely as any other."""


@record
class OopsCounts:
    """``log_places``: sum over sequences of -log(number of places), the structure's part of q."""

    log_places: float


def spans(chunk: Chunk) -> list[tuple[int, int]]:
    """First and end row of every sequence of the chunk."""
    if chunk.ends is None:
        raise ValueError("a motif needs to know where sequences end, and this data plane does not say: give it ends")
    ends = chunk.ends.tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


@dataclasses.dataclass(frozen=True)
class Oops:
    """One occurrence of a motif of ``width`` letters in every sequence."""

    width: int
    names: ClassVar[tuple[str, ...]] = ()

    def bind(self, data: Any) -> Oops:
        return self

    def start(self, k: int) -> OopsParams:
        if k != self.width + 1:
            raise ValueError(
                f"a motif of width {self.width} has {self.width + 1} components, one the background; got {k}"
            )
        return OopsParams()

    def infer(
        self, params: OopsParams, logb: Logb, chunk: Chunk, assign: Any, collect: Callable[[slice, Array], None]
    ) -> tuple[OopsCounts, float, float]:
        everything = slice(0, len(chunk))
        b, weight = logb(everything), np.ones(len(chunk)) if chunk.weight is None else chunk.weight
        resp, places, objective, loglik = np.empty(b.shape), 0.0, 0.0, 0.0
        for first, end in spans(chunk):
            logits = self.sites(b[first:end])
            row = chunk.key[1] + first
            posterior, climbed, observed = assign.rows(logits[None, :], (chunk.key[0], row, row + 1))
            w = float(weight[first])
            resp[first:end] = w * self.spread(posterior[0], end - first)
            places -= w * float(np.log(logits.size))
            objective, loglik = objective + w * float(climbed[0]), loglik + w * float(observed[0])
        collect(everything, resp)
        return OopsCounts(places), objective, loglik

    def sites(self, b: Array) -> Array:
        """Joint log density of one sequence and each place, (L - W + 1,); sums only, so that -inf is no trouble."""
        places, background = len(b) - self.width + 1, b[:, -1]
        before = np.concatenate([[0.0], np.cumsum(background)])[:places]
        after = np.concatenate([np.cumsum(background[::-1])[::-1], [0.0]])[self.width :]
        inside = sum(b[c : c + places, c] for c in range(self.width))
        return np.asarray(before + inside + after - np.log(places))

    def spread(self, posterior: Array, length: int) -> Array:
        """Responsibilities (L, W + 1) of rows from the posterior of places."""
        resp = np.zeros((length, self.width + 1))
        for c in range(self.width):
            resp[c : c + posterior.size, c] = posterior
        resp[:, -1] = np.maximum(1.0 - resp.sum(axis=1), 0.0)
        return resp

    def tally(self, params: OopsParams, resp: Array, chunk: Chunk) -> OopsCounts:
        return OopsCounts(-sum(float(resp[a].sum() * np.log(z - a - self.width + 1)) for a, z in spans(chunk)))

    def explain(self, params: OopsParams, logb: Logb, chunk: Chunk) -> Explained:
        """The log density of a sequence stands at its last row: rows have none of their own."""
        b, density, resp, path = logb(slice(0, len(chunk))), np.zeros(len(chunk)), [], []
        for first, end in spans(chunk):
            posterior, _, observed = SOFT.rows(self.sites(b[first:end])[None, :], (chunk.key[0], first, first + 1))
            density[end - 1] = observed[0]
            resp.append(self.spread(posterior[0], end - first))
            path.append(self.spread(np.eye(posterior.size)[posterior[0].argmax()], end - first).argmax(axis=1))
        return Explained(density, np.concatenate(resp), np.concatenate(path))

    def fit(self, counts: OopsCounts, params: OopsParams, support: Support) -> OopsParams:
        return params

    def q(self, params: OopsParams, counts: OopsCounts) -> float:
        return counts.log_places

    def score(self, params: OopsParams, counts: OopsCounts, support: Support) -> Array:
        return np.empty(0)

    def support(self, params: OopsParams, constraints: Constraints) -> Support:
        return Support({})

    def sample(self, params: OopsParams, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Labels of one sequence of ``n`` letters."""
        place = np.eye(n - self.width + 1)[rng.integers(n - self.width + 1)]
        return np.asarray(self.spread(place, n).argmax(axis=1))


@record
class LetterParams:
    probs: Array


@record
class LetterStats:
    counts: Array


@dataclasses.dataclass(frozen=True)
class Letters:
    """One letter a row, coded 0 .. m - 1."""

    m: int
    names: ClassVar[tuple[str, ...]] = ("probs",)

    def start(self, k: int) -> LetterParams:
        return LetterParams(np.full((k, self.m), 1.0 / self.m))

    def log_density(self, params: LetterParams, encoded: NDArray[np.intp]) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(params.probs)[:, encoded].T)

    def stats(self, params: LetterParams, encoded: NDArray[np.intp], resp: Array) -> LetterStats:
        return LetterStats(resp.T @ np.eye(self.m)[encoded])

    def fit(self, stats: LetterStats, params: LetterParams, support: Support) -> LetterParams:
        entry = support.entries["probs"]
        assert isinstance(entry, Simplex)
        return LetterParams(entry.share(stats.counts))

    def q(self, params: LetterParams, stats: LetterStats) -> float:
        held = stats.counts > 0
        with np.errstate(divide="ignore"):
            return float(stats.counts[held] @ np.log(params.probs[held]))

    def score(self, params: LetterParams, stats: LetterStats, support: Support) -> Array:
        return support.pull(params, {"probs": stats.counts / params.probs})

    def support(self, params: LetterParams, constraints: Constraints) -> Support:
        return Support({"probs": Simplex.of("probs", constraints.pattern("probs", params.probs.shape))})

    def sample(self, params: LetterParams, labels: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
        return np.asarray((rng.random((labels.size, 1)) > params.probs.cumsum(axis=1)[labels, :-1]).sum(axis=1))


@dataclasses.dataclass(frozen=True)
class Texts:
    """Sequences of letters, one chunk each."""

    texts: tuple[NDArray[np.intp], ...]
    weight: tuple[float, ...] | None = None
    allowed: dict[int, NDArray[np.intp]] = dataclasses.field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        return sum(map(len, self.texts))

    def chunks(self) -> Iterator[Chunk]:
        first = 0
        for j, text in enumerate(self.texts):
            weight = None if self.weight is None else np.full(len(text), self.weight[j])
            key, ends = ("texts", first, first + len(text)), np.array([len(text)])
            yield Chunk(key, text, weight=weight, allowed=self.allowed.get(j), ends=ends)
            first += len(text)

    def sum(self, fn: Callable[[Chunk], Any]) -> Any:
        return reduce(add, map(fn, self.chunks()))

    def map(self, fn: Callable[[Chunk], Any], sink: Callable[[Chunk, Any], None]) -> None:
        for chunk in self.chunks():
            sink(chunk, fn(chunk))

    def shuffled(self, rng: np.random.Generator) -> Texts:
        order = rng.permutation(len(self.texts))
        weight = None if self.weight is None else tuple(self.weight[j] for j in order)
        allowed = {i: self.allowed[j] for i, j in enumerate(order) if j in self.allowed}
        return Texts(tuple(self.texts[j] for j in order), weight, allowed)


# --- the tests: every pair of places in two short sequences ---

WIDTH = 2
TINY = Texts((np.array([0, 1, 2, 1]), np.array([2, 0, 1, 1, 0])), weight=(1.0, 3.0))
AT = LatentParams(OopsParams(), LetterParams(np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4]])))
MODEL = Latent(Oops(WIDTH), Letters(3), WIDTH + 1)


def enumerate_places(data: Texts, best: bool = False) -> tuple[float, Array]:
    """Log-likelihood (or that of the best places) and expected letter counts by writing every place out."""
    value, counts = 0.0, np.zeros((WIDTH + 1, 3))
    for text, w in zip(data.texts, data.weight or itertools.repeat(1.0), strict=False):
        places = len(text) - WIDTH + 1
        labels = [[t - s if 0 <= t - s < WIDTH else WIDTH for t in range(len(text))] for s in range(places)]
        joint = np.array([np.prod(AT.family.probs[z, text]) / places for z in labels])
        value += w * float(np.log(joint.max() if best else joint.sum()))
        for z, share in zip(labels, w * joint / joint.sum(), strict=True):
            np.add.at(counts, (np.array(z), text), share)
    return value, counts


def test_the_promises_are_kept() -> None:
    assert isinstance(Oops(WIDTH), Structure)
    assert isinstance(Letters(3), Family)
    with pytest.raises(ValueError, match="3 components, one the background"):
        Latent(Oops(WIDTH), Letters(3), 5).start()


def test_brute_force() -> None:
    loglik, counts = enumerate_places(TINY)
    seen = total(MODEL, TINY, AT, SOFT)
    assert seen.loglik == pytest.approx(loglik, rel=1e-14)
    np.testing.assert_allclose(seen.stats.family.counts, counts, rtol=1e-13)
    assert total(MODEL, TINY, AT, HARD).objective == pytest.approx(
        enumerate_places(TINY, True)[0], rel=1e-14
    )


def test_brute_force_notices_a_motif_read_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Oops.spread
    monkeypatch.setattr(Oops, "spread", lambda self, p, n: right(self, p, n)[:, [1, 0, 2]])
    wrong = total(MODEL, TINY, AT, SOFT).stats.family.counts
    assert np.abs(wrong - enumerate_places(TINY)[1]).max() > 0.1


def test_a_known_site_is_a_partial_label() -> None:
    """Allowing letter 1 the first motif column alone puts the site there, whatever the probabilities."""
    known = dataclasses.replace(TINY, allowed={0: np.array([-1, 0, -1, -1])})
    joint = enumerate_places(TINY)[0] - enumerate_places(Texts(TINY.texts[:1]))[0]
    site = np.log(0.3 * 0.2 * 0.3 * 0.3 / 3)  # background, column 0 gives letter 1, column 1 gives letter 2, background
    assert total(MODEL, known, AT, SOFT).loglik == pytest.approx(joint + site, rel=1e-13)


def test_fishers_identity() -> None:
    support = MODEL.support(AT)
    at = support.pack(AT)

    def loglik(v: Array) -> float:
        return total(MODEL, TINY, support.unpack(v, AT), SOFT).loglik

    slopes = [(loglik(at + 1e-5 * e) - loglik(at - 1e-5 * e)) / 2e-5 for e in np.eye(at.size)]
    # central differences of a value near 20 with step 1e-5 are good to 1e-5 squared and to 20 eps / 1e-5
    np.testing.assert_allclose(MODEL.score(AT, total(MODEL, TINY, AT, SOFT).stats), slopes, atol=1e-8)


# --- a planted motif is found ---

PLANTED = np.array([0, 2, 3, 3, 1, 0, 2, 1])


def planted() -> tuple[Latent, Texts, NDArray[np.intp]]:
    """Forty sequences of 40 to 60 letters, each with the motif somewhere; one letter of it in ten is redrawn."""
    rng, width = np.random.default_rng(8), len(PLANTED)
    texts, sites = [], []
    for length in rng.integers(40, 61, 40):
        text = rng.integers(0, 4, length)
        site = int(rng.integers(length - width + 1))
        redrawn = rng.random(width) < 0.1
        text[site : site + width] = np.where(redrawn, rng.integers(0, 4, width), PLANTED)
        texts.append(text)
        sites.append(site)
    model = Latent(Oops(width), Letters(4), width + 1)
    pseudo = LatentStats(OopsCounts(0.0), LetterStats(np.full((width + 1, 4), 0.25)))
    return dataclasses.replace(model, prior=pseudo), Texts(tuple(texts)), np.array(sites)


def from_word(word: NDArray[np.intp]) -> LatentParams:
    """Start: columns that favour the letters of a word, a uniform background."""
    columns = 0.2 + 0.2 * np.eye(4)[word]
    return LatentParams(OopsParams(), LetterParams(np.vstack([columns, np.full(4, 0.25)])))


def test_a_planted_motif_is_found_from_the_words_of_one_sequence() -> None:
    model, data, sites = planted()
    words = [data.texts[0][s : s + len(PLANTED)] for s in range(len(data.texts[0]) - len(PLANTED) + 1)]
    starts = [Start(f"word {s}", partial(from_word, word)) for s, word in enumerate(words)]
    result = fit_starts(model, data, starts, Variant(), Control())
    assert result.converged
    assert np.array_equal(result.params.family.probs[:-1].argmax(axis=1), PLANTED)
    paths = [model.explain(result.params, chunk).path for chunk in data.chunks()]
    found = np.array([int(np.flatnonzero(path == 0)[0]) for path in paths])
    # One site in ten has fewer than 7 letters right, about as good as the best chance match among 43 other places.
    assert (found == sites).mean() >= 0.8
    far = fit(model, data, from_word((PLANTED + 1) % 4))
    assert far.objective < result.objective - 10.0  # EM from a wrong word ends elsewhere: the starts were needed


@pytest.mark.parametrize("how", ["em", "cem"])
def test_em_never_falls(how: str) -> None:
    model, data, _ = planted()
    result = fit(model, data, from_word(PLANTED), how)
    assert result.converged
    assert np.diff(result.trace.objective).min() >= -1e-12 * abs(result.objective)


def test_the_law_notices_columns_that_are_one_letter_off(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data, _ = planted()
    right = Oops.spread
    monkeypatch.setattr(Oops, "spread", lambda self, p, n: right(self, p, n)[:, [*range(1, len(PLANTED)), 0, -1]])
    assert fit(model, data, from_word(PLANTED)).status is Status.FELL
