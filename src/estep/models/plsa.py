"""Probabilistic latent semantic analysis: documents are mixtures of topics, topics are distributions over words.

    token (d, w):   z ~ theta_d,   w | z ~ phi_z            n_dw tokens of word w in document d

E-step   on the nonzero counts alone:  P_dw = sum_z (theta_dz phi_zw)^b,   r_dw = n_dw / P_dw
         N_zw = phi_zw^b (theta^b' r)_zw,   M_dz = theta_dz^b (r phi^b')_dz          b: inverse temperature, 1 is plain EM
M-step   phi_z in proportion to N_z + imaginary words,   theta_d to M_d + imaginary topics
objective  (1/b) sum n_dw log P_dw: for b = 1 the log-likelihood; for b < 1 the free energy that tempered EM climbs

Without tempering this is non-negative matrix factorisation under Kullback-Leibler loss (the same fixed points). Fold-in
holds the topics and fits theta of new documents. The largest array is (block of nonzeros, K).

symbol   variable     shape
phi      topics       (K, W)   rows sum to one
theta    documents    (D, K)   rows sum to one; a document without words keeps equal shares
N        words        (K, W)
M        tokens       by blocks of documents, (rows, K) each

Sources: Hofmann (1999), UAI, 289; Hofmann (2001), Machine Learning 42:177 (tempering, fold-in); Gaussier & Goutte (2005),
SIGIR, 601.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import ImpossibleRow
from estep.core.collapse import Collapsed
from estep.core.memo import remembered
from estep.core.protocols import Assign, Chunk, Expected, Explained
from estep.core.record import Array, record
from estep.core.support import Constraints, Simplex, Support

DEAD = 1e-8
BLOCK = 1 << 18
"""Values of the largest array of an E-step: nonzeros of a block times topics."""


@record
class PlsaParams:
    """``topics`` (K, W) and ``documents`` (D, K)."""

    topics: Array
    documents: Array


class DocumentRows:
    """Arrays (rows, K) of blocks of documents, by first document; sums join blocks and add those of the same documents."""

    def __init__(self, blocks: dict[int, Array]) -> None:
        self.blocks = blocks

    def __add__(self, other: DocumentRows) -> DocumentRows:
        joined = dict(self.blocks)
        for first, block in other.blocks.items():
            joined[first] = joined[first] + block if first in joined else block
        return DocumentRows(joined)

    def __mul__(self, c: float) -> DocumentRows:
        return DocumentRows({first: block * c for first, block in self.blocks.items()})

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.whole((max(first + len(block) for first, block in self.blocks.items()), self.shape[0]))

    @property
    def shape(self) -> tuple[int]:
        """That of one document, (K,): what the terms of a sum have in common."""
        return (next(iter(self.blocks.values())).shape[1],)

    def whole(self, shape: tuple[int, int]) -> Array:
        """One array (D, K), zero where no block lies."""
        if len(self.blocks) == 1 and 0 in self.blocks and self.blocks[0].shape == shape:
            return self.blocks[0]
        out = np.zeros(shape)
        for first, block in self.blocks.items():
            out[first : first + len(block)] += block
        return out


@record
class PlsaStats:
    """Expected tokens of each word in each topic (K, W), and of each topic in each document."""

    words: Array
    tokens: Any


@dataclasses.dataclass(frozen=True)
class Plsa:
    """``k`` topics over ``n_words`` words, for ``n_documents`` documents: rows of counts, dense or ``csr_array``.

    Parameters
    ----------
    k, n_words, n_documents : int
    more_words, more_topics : float
        Imaginary tokens: of every word in every topic, and of every topic in every document (Dirichlet parameters minus one).
    times : array (n_documents,) or None
        How often each document was seen: a document seen twice has its imaginary tokens twice.
    beta : float
        Inverse temperature in (0, 1].
    folding : bool
        Whether the topics are held and only documents are fitted.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> model = Plsa(1, 2, 1)
    >>> params = PlsaParams(np.array([[0.5, 0.5]]), np.array([[1.0]]))
    >>> seen = model.estep(params, Chunk(("memory", 0, 1), csr_array([[1.0, 3.0]])), None)
    >>> model.mstep(seen.stats, params).topics.tolist()
    [[0.25, 0.75]]
    """

    k: int
    n_words: int
    n_documents: int
    more_words: float = 0.0
    more_topics: float = 0.0
    times: Array | None = None
    beta: float = 1.0
    folding: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.beta <= 1.0:
            raise ValueError(f"beta must be above 0 and at most 1, got {self.beta!r}")
        for name, value in (("more_words", self.more_words), ("more_topics", self.more_topics)):
            if not 0.0 <= value < np.inf:
                raise ValueError(f"{name} must be a number of tokens >= 0, got {value!r}")

    @property
    def prior(self) -> PlsaStats | None:
        """The imaginary tokens as statistics, or None where there are none."""
        if self.more_words == 0 and self.more_topics == 0:
            return None
        return remembered(self, "prior", self._imagined)  # type: ignore[no-any-return]

    def bind(self, data: Any) -> Plsa:
        """Nothing more depends on the data as a whole."""
        return self

    def start(self) -> PlsaParams:
        """Equal shares: a neutral point, at which EM stays; begin at ``random_start``."""
        return PlsaParams(np.full((self.k, self.n_words), 1 / self.n_words), np.full((self.n_documents, self.k), 1 / self.k))

    def random_start(self, rng: np.random.Generator) -> PlsaParams:
        """Topics drawn from a flat Dirichlet law, equal shares in every document."""
        topics = rng.standard_exponential((self.k, self.n_words))
        return PlsaParams(topics / topics.sum(axis=1, keepdims=True), self.start().documents)

    def refuses(self, assign: Any) -> str:
        """Why the topics of tokens cannot be filled in by ``assign``, or an empty text."""
        if assign.name == "soft":
            return ""
        words = "with many tokens in a cell they are filled in by their probabilities ('soft')"
        return f"assign={assign.name!r} fills in no topics of tokens: {words}; use algorithm='em', and beta below 1 to temper"

    def estep(self, params: PlsaParams, chunk: Chunk, assign: Assign | None) -> Expected:
        """Expected tokens by word and topic, and by topic and document; raises ImpossibleRow."""
        counts = self._counts(chunk)
        theta, phi = self._tempered(params.documents[chunk.rows]), self._tempered(params.topics)
        mix = mixed(theta, phi, counts)
        if not (mix > 0).all():
            at = int(np.flatnonzero(mix <= 0)[0])
            raise ImpossibleRow(int(chunk.key[1] + np.searchsorted(counts.indptr, at, side="right") - 1))
        n, logs = counts.data, np.log(mix)
        ratio = type(counts)((n / mix, counts.indices, counts.indptr), shape=counts.shape)
        stats = PlsaStats(phi * (ratio.T @ theta).T, DocumentRows({int(chunk.key[1]): theta * (ratio @ phi.T)}))
        objective = float(n @ logs) / self.beta
        loglik = (
            objective if self.beta == 1.0 else float(n @ np.log(mixed(params.documents[chunk.rows], params.topics, counts)))
        )
        return Expected(stats, loglik, objective, float(n.sum()))

    def mstep(self, stats: PlsaStats, params: PlsaParams) -> PlsaParams:
        """Topics and documents in proportion to their expected (and imaginary) tokens; empty ones stay as they are."""
        words, tokens = stats.words, stats.tokens.whole(params.documents.shape)
        words, tokens = words + self.more_words, tokens + self._more_tokens()
        documents = _shares(tokens, params.documents)
        return PlsaParams(params.topics if self.folding else _shares(words, params.topics), documents)

    def q(self, params: PlsaParams, stats: PlsaStats) -> float:
        """``sum N log phi + sum M log theta`` in nats (0 log 0 = 0)."""
        tokens = stats.tokens.whole(params.documents.shape)
        return _cross_entropy(tokens, params.documents) + (0.0 if self.folding else _cross_entropy(stats.words, params.topics))

    def score(self, params: PlsaParams, stats: PlsaStats) -> Array:
        """Gradient of ``q`` in free coordinates."""
        tiny = np.finfo(float).tiny
        slopes = {
            "topics": stats.words / np.maximum(params.topics, tiny),
            "documents": stats.tokens.whole(params.documents.shape) / np.maximum(params.documents, tiny),
        }
        return self.support(params).pull(params, slopes)

    def support(self, params: PlsaParams) -> Support:
        """Rows of probabilities."""
        return remembered(self, "support", lambda: self._support(params))  # type: ignore[no-any-return]

    def explain(self, params: PlsaParams, chunk: Chunk) -> Explained:
        """Per document its log-likelihood, its topics and the most frequent of them."""
        counts, theta = self._counts(chunk), params.documents[chunk.rows]
        mix = mixed(theta, params.topics, counts)
        with np.errstate(divide="ignore"):
            logs = type(counts)((counts.data * np.log(mix), counts.indices, counts.indptr), shape=counts.shape)
        return Explained(np.asarray(logs.sum(axis=1)).ravel(), theta, np.argmax(theta, axis=1))

    def permute(self, params: PlsaParams, order: NDArray[np.intp]) -> PlsaParams:
        """Topics in another order."""
        return PlsaParams(params.topics[order], params.documents[:, order])

    def frail(self, params: PlsaParams, stats: PlsaStats) -> Collapsed | None:
        """The first topic that holds next to no tokens, or None."""
        tokens = stats.words.sum(axis=1)
        dead = np.flatnonzero(tokens < DEAD * tokens.sum()) if not self.folding else np.empty(0)
        return (
            Collapsed(int(dead[0]), f"it holds only {tokens[dead[0]]:.3g} of {tokens.sum():.6g} tokens") if dead.size else None
        )

    def _more_tokens(self) -> Any:
        return self.more_topics if self.times is None else self.more_topics * self.times[:, None]

    def _imagined(self) -> PlsaStats:
        tokens = DocumentRows({0: np.broadcast_to(self._more_tokens(), (self.n_documents, self.k)).copy()})
        return PlsaStats(np.full((self.k, self.n_words), float(self.more_words)), tokens)

    def _tempered(self, probs: Array) -> Array:
        return probs if self.beta == 1.0 else probs**self.beta

    def _support(self, params: PlsaParams) -> Support:
        held = Constraints({"topics": params.topics} if self.folding else {})
        topics = Simplex.of("topics", held.pattern("topics", (self.k, self.n_words)))
        free = Constraints().pattern("documents", params.documents.shape)
        return Support({"topics": topics, "documents": Simplex.of("documents", free)})

    def _counts(self, chunk: Chunk) -> Any:
        """The chunk's counts, weights included, as ``csr_array`` without explicit zeros."""
        if not chunk.keep:
            return _csr(chunk)
        return remembered(chunk, "counts", lambda: _csr(chunk))


def _csr(chunk: Chunk) -> Any:
    from scipy.sparse import csr_array, diags_array

    counts = csr_array(chunk.x, dtype=float)
    if chunk.weight is not None:
        counts = csr_array(diags_array(np.asarray(chunk.weight, dtype=float)) @ counts)
    counts.eliminate_zeros()
    return counts


def mixed(theta: Array, phi: Array, counts: Any) -> Array:
    """``sum_z theta_dz phi_zw`` at every nonzero of ``counts``, in blocks."""
    out, step = np.empty(counts.nnz), max(1, BLOCK // max(theta.shape[1], 1))
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    by_word = np.ascontiguousarray(phi.T)
    for at in range(0, counts.nnz, step):
        block = slice(at, at + step)
        out[block] = np.einsum("ik,ik->i", theta[rows[block]], by_word[counts.indices[block]])
    return out


def _shares(tokens: Array, now: Array) -> Array:
    total = tokens.sum(axis=1, keepdims=True)
    return np.where(total > 0, tokens / np.where(total > 0, total, 1.0), now)


def _cross_entropy(tokens: Array, probs: Array) -> float:
    held = tokens != 0
    with np.errstate(divide="ignore"):
        return float((tokens[held] * np.log(probs[held])).sum())
