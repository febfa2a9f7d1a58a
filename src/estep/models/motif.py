"""A motif in sequences: W columns of letter probabilities at sites that are not known, a background elsewhere.

    places ~ a law of ``sites.py``;   letter w of a site ~ f_w,  on the other strand the complement of f_{W-1-w};   others ~ f0

E-step   r_st = sum_w log f_w(x_{t+w}) - log f0(x_{t+w}) for every window,  Z = posteriors of places
         c_wa = sum_t Z_0t [x_{t+w} = a] + sum_t Z_1t [x_{t+W-1-w} = complement a],   c_0a = letters outside sites
M-step   f_w, f_0 in proportion to c + imagined letters;   shares of sites by their law
         a mixture prior imagines letters by the kind of each column (``dirichlet_mixture.py``): one more hidden layer
         palindrome: f_w(a) = f_{W-1-w}(complement a), so that both add their counts; the middle column of an odd W likewise

Unknown letters (code -1) say nothing: their probability is one everywhere. Known sites are partial labels: ``allowed``
(n, 1 + S) says of a row whether no site may begin there, and whether one may on each strand; what disagrees has posterior 0.

symbol       variable     shape
f            probs        (W, m), or (ceil(W / 2), m) for palindromes
f0           background   (m,)
gamma, lambda   shares    (2,)   probability of a site (in a sequence, or at a place), and of none

Sources: Lawrence & Reilly (1990), Proteins 7:41; Bailey & Elkan (1994), ISMB 2:28; Bailey & Elkan (1995), ISMB 3:21.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import ImpossibleRow
from estep.core.memo import remembered
from estep.core.protocols import Assign, Chunk, Expected, Explained
from estep.core.record import Array, record
from estep.core.support import Constraints, Pattern, Simplex, Support
from estep.kernels import windows
from estep.models.dirichlet_mixture import DirichletMixture
from estep.models.sites import LAWS, MotifText, PlacedSites, SiteLaw

TINY = np.finfo(float).tiny
SEMIRINGS = {"sum": False, "max": True}


@record
class MotifParams:
    """``probs`` (W, m) (half of it for palindromes), ``background`` (m,), ``shares`` (2,)."""

    probs: Array
    background: Array
    shares: Array


@record
class MotifStats:
    """Expected letters of each column and outside sites, sites and places without, and what is constant in q.

    ``draws`` counts how often the columns are drawn from a mixture prior: 0 of data, 1 of the prior.
    """

    probs: Array
    background: Array
    shares: Array
    constant: float = 0.0
    draws: float = 0.0


@dataclasses.dataclass(frozen=True)
class Motif:
    """A motif of ``width`` letters of an alphabet of ``size``.

    Parameters
    ----------
    width, size : int
    law : "one", "at most one", "any" or "any (windows)"
        How many sites a sequence has; see ``sites.py``.
    complement : tuple of int or None
        For strands: code of each letter's complement.
    both_strands, palindrome : bool
        Whether sites may lie on the other strand; whether the motif reads the same on both.
    background : array (m,) or None
        Held at these values; None fits the background to the letters outside sites.
    imagined : array (m,) or None
        Letters imagined in every column (Dirichlet parameters minus one).
    held : array (W, m) or None
        Columns' entries that are fixed; NaN is free.
    mixture : DirichletMixture or None
        Prior of the columns (of a palindrome, of each pair), beside ``imagined``.

    Chunks hold codes (n,) with -1 for unknown, ``given`` the log of how open each place is (n,), ``ends``, and ``allowed``
    where sites are known.
    """

    width: int
    size: int
    law: str = "one"
    complement: tuple[int, ...] | None = None
    both_strands: bool = False
    palindrome: bool = False
    background: Array | None = None
    imagined: Array | None = None
    held: Array | None = None
    mixture: DirichletMixture | None = None
    names: ClassVar[tuple[str, ...]] = ("probs", "background", "shares")

    def __post_init__(self) -> None:
        if (self.both_strands or self.palindrome) and self.complement is None:
            raise ValueError("this alphabet has no complements; reverse strands and palindromes are of DNA and RNA")
        if self.law not in LAWS:
            raise ValueError(f"law={self.law!r} is unknown; choose one of {sorted(LAWS)}")
        if self.held is not None and self.palindrome:
            raise ValueError(
                "fixed entries and palindrome=True do not go together: columns are tied in pairs; give one of them"
            )

    @property
    def sites(self) -> SiteLaw:
        """The law of places."""
        return LAWS[self.law]

    @property
    def rows(self) -> int:
        """Columns that are parameters."""
        return (self.width + 1) // 2 if self.palindrome else self.width

    @property
    def pseudocounts(self) -> Array:
        """Letters imagined in a column before it is seen, (m,)."""
        own = np.zeros(self.size) if self.imagined is None else self.imagined
        return own if self.mixture is None else own + self.mixture.mean

    @property
    def prior(self) -> MotifStats | None:
        """The imagined letters as statistics, or None."""
        if self.mixture is None and (self.imagined is None or not self.imagined.any()):
            return None
        return remembered(self, "prior", self._imagined)  # type: ignore[no-any-return]

    def bind(self, data: Any) -> Motif:
        """Nothing more depends on the data as a whole."""
        return self

    def start(self) -> MotifParams:
        """Equal probabilities: a neutral point; begin at a word."""
        background = np.full(self.size, 1.0 / self.size) if self.background is None else self.background
        return MotifParams(np.full((self.rows, self.size), 1.0 / self.size), background, self.first_shares())

    def first_shares(self, site: float = 0.5) -> Array:
        """Probability of a site and of none where a run begins."""
        return np.array([site, 1.0 - site]) if self.sites.fitted else np.array([1.0, 0.0])

    def columns(self, params: MotifParams) -> Array:
        """All columns on the forward strand, (W, m)."""
        if not self.palindrome:
            return params.probs
        other = params.probs[: self.width // 2][::-1][:, self._facing()]
        return np.vstack([params.probs, other])

    def half(self, columns: Array) -> Array:
        """Columns (W, m) as ``probs``: for palindromes the mean with their mirror image."""
        if not self.palindrome:
            return columns
        mirrored = columns[::-1][:, self._facing()]
        return np.asarray(0.5 * (columns + mirrored)[: self.rows])

    def estep(self, params: MotifParams, chunk: Chunk, assign: Assign) -> Expected:
        """Expected letters and sites; raises ImpossibleRow, and ValueError on an assignment that has no recursion here."""
        text, codes = self.text(params, chunk)
        placed = self._placed(text, params, chunk, assign)
        base = text.summed(self._background_logs(params)[codes])
        sums = [float(text.weight @ (base + part)) for part in (placed.loglik, placed.objective)]
        total = float(text.weight @ np.diff(text.ends, prepend=0))
        return Expected(self._stats(text, codes, placed), sums[0], sums[1], total)

    def mstep(self, stats: MotifStats, params: MotifParams) -> MotifParams:
        """Probabilities in proportion to expected and imagined letters; shares in proportion to their counts."""
        support, prior = self.support(params), self.prior
        found: dict[str, Array] = {}
        for name in self.names:
            entry, now = support.entries[name], getattr(params, name)
            assert isinstance(entry, Simplex)
            counts = getattr(stats, name) + (0.0 if prior is None else getattr(prior, name))
            if name == "probs" and self.mixture is not None:
                counts = counts + self.mixture.imagined(now, self._free())
            seen = counts.sum(axis=-1, keepdims=True) > 0
            found[name] = entry.share(np.where(seen, counts, now))
        return MotifParams(**found)

    def q(self, params: MotifParams, stats: MotifStats) -> float:
        """``sum c log f + sum c_0 log f_0 + sum shares log shares`` and the constant, in nats (0 log 0 = 0)."""
        told = 0.0 if self.mixture is None or not stats.draws else self.mixture.log_density(params.probs, self._free())
        linear = sum(_entropy(getattr(stats, n), getattr(params, n)) for n in self.names)
        return float(stats.constant) + stats.draws * told + linear

    def score(self, params: MotifParams, stats: MotifStats) -> Array:
        """Gradient of ``q`` in free coordinates."""
        counts = {n: getattr(stats, n) for n in self.names}
        if self.mixture is not None and stats.draws:
            counts["probs"] = counts["probs"] + stats.draws * self.mixture.imagined(params.probs, self._free())
        slopes = {n: counts[n] / np.maximum(getattr(params, n), TINY) for n in self.names}
        return self.support(params).pull(params, slopes)

    def support(self, params: MotifParams) -> Support:
        """Rows of probabilities; what is given is fixed, and a middle column of a palindrome is tied to its complement."""
        return remembered(self, "support", self._support)  # type: ignore[no-any-return]

    def explain(self, params: MotifParams, chunk: Chunk) -> Explained:
        """Log-likelihood of a sequence at its last row; of rows the probability of each column, and last of background."""
        text, codes = self.text(params, chunk)
        placed = self._placed(text, params, chunk, _SOFT)
        density, resp = np.zeros(len(chunk)), np.zeros((len(chunk), self.width + 1))
        density[text.ends - 1] = text.summed(self._background_logs(params)[codes]) + placed.loglik
        for strand, z in enumerate(placed.resp):
            for w in range(self.width):
                column = w if strand == 0 else self.width - 1 - w
                resp[w:, column] += z[: len(z) - w]
        resp[:, -1] = np.clip(1.0 - resp.sum(axis=1), 0.0, 1.0)
        return Explained(density, resp, resp.argmax(axis=1))

    def posteriors(self, params: MotifParams, chunk: Chunk, best: bool = False) -> PlacedSites:
        """Posteriors of sites (S, n): the law's own, or 1 on the best arrangement and 0 elsewhere."""
        text, _ = self.text(params, chunk)
        return self._checked(self.sites.place(text, params.shares, best), text, chunk)

    def text(self, params: MotifParams, chunk: Chunk) -> tuple[MotifText, NDArray[np.int64]]:
        """Log ratios of every window, and codes with ``size`` for unknown."""
        if chunk.ends is None:
            raise ValueError("a motif needs to know where sequences end: give ends to the data (Memory(x, ends=...))")
        kept = (
            remembered(chunk, ("motif", self.width, self.size), lambda: self._read(chunk)) if chunk.keep else self._read(chunk)
        )
        codes, open, ends, weight, row_weight = kept
        logs = self._log_ratios(params)
        ratios = np.empty((len(logs), codes.size))
        windows.window_ratios(codes, open, logs, ratios)
        closed, must = (None, np.zeros(codes.size, dtype=bool)) if chunk.allowed is None else self._told(chunk.allowed)
        if closed is not None:
            ratios[closed] = -np.inf
        return MotifText(ratios, open, ends, weight, row_weight, self.width, must), codes

    def counted(self, text: MotifText, codes: NDArray[np.int64], placed: PlacedSites) -> MotifStats:
        """Statistics from given posteriors of places, such as shifted ones."""
        return self._stats(text, codes, placed)

    def sample(
        self, params: MotifParams, n: int, rng: np.random.Generator, **where: Any
    ) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """Letters of sequences that end at ``ends`` (else one of ``n``), and for each row its column, or W for background."""
        ends = np.asarray(where.get("ends") if where.get("ends") is not None else [n])
        labels = np.full(n, self.width, dtype=np.intp)
        codes = _drawn(np.tile(params.background, (n, 1)), rng)
        columns, begin = self.columns(params), 0
        for end in ends.tolist():
            for t in _places(self, params, end - begin, rng):
                strand = int(self.both_strands and rng.random() < 0.5)
                letters = _drawn(columns, rng)
                order = np.arange(self.width)
                if strand:
                    letters, order = self._facing()[letters][::-1], order[::-1]
                codes[begin + t : begin + t + self.width] = letters
                labels[begin + t : begin + t + self.width] = order
            begin = end
        return codes, labels

    # --- the parts ---

    def _read(self, chunk: Chunk) -> tuple[NDArray[np.int64], Array, NDArray[np.int64], Array, Array]:
        """What of a chunk hangs on no parameter: codes, openness, ends, weights of sequences and of rows."""
        ends = np.asarray(chunk.ends, dtype=np.int64)
        codes = np.where(chunk.x < 0, self.size, chunk.x).astype(np.int64)
        weight = np.ones(len(ends)) if chunk.weight is None else np.asarray(chunk.weight, dtype=float)[ends - 1]
        open = room(ends, self.width) if chunk.given is None else room(ends, self.width) + chunk.given
        return codes, open, ends, weight, np.repeat(weight, np.diff(ends, prepend=0))

    def _told(self, allowed: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Windows (S, n) that labels rule out, those on letters of a known site among them; and known sites (n,)."""
        must = ~np.asarray(allowed[:, 0], dtype=bool)
        seen = np.concatenate([[0], np.cumsum(must)])
        rows = np.arange(len(must))
        ahead = seen[np.minimum(rows + self.width, len(must))] - seen[1:]
        covers = ahead + seen[:-1] - seen[np.maximum(rows - self.width + 1, 0)] > 0
        return ~np.asarray(allowed[:, 1 : 2 + self.both_strands], dtype=bool).T | covers, must

    def _free(self) -> NDArray[np.bool_] | None:
        """Which entries of ``probs`` a prior speaks of, or None for all."""
        return None if self.held is None else np.isnan(self.held)

    def _placed(self, text: MotifText, params: MotifParams, chunk: Chunk, assign: Any) -> PlacedSites:
        semiring = getattr(assign, "semiring", None)
        if semiring not in SEMIRINGS:
            raise ValueError(f"assign={assign.name!r}: sites of motifs are filled in softly or by the best arrangement")
        return self._checked(self.sites.place(text, params.shares, SEMIRINGS[semiring]), text, chunk)

    def _checked(self, placed: PlacedSites, text: MotifText, chunk: Chunk) -> PlacedSites:
        if placed.impossible >= 0:
            row = int(chunk.key[1] + text.begins[placed.impossible])
            words = f"begins a sequence that has no place for a site of {self.width} letters with probability above zero"
            raise ImpossibleRow(row, f"{words}; shorten the motif, or allow sequences without a site ('at most one')")
        return placed

    def _background_logs(self, params: MotifParams) -> Array:
        return np.append(np.log(np.maximum(params.background, TINY)), 0.0)

    def _log_ratios(self, params: MotifParams) -> Array:
        """log f - log f0 by strand and column, with a zero for the unknown letter, (S, W, m + 1)."""
        columns = self.columns(params)
        with np.errstate(divide="ignore"):
            forward = np.log(columns)
        strands = [forward] + ([forward[::-1][:, self._facing()]] if self.both_strands else [])
        ratios = np.stack(strands) - self._background_logs(params)[:-1]
        return np.ascontiguousarray(np.pad(ratios, ((0, 0), (0, 0), (0, 1))))

    def _stats(self, text: MotifText, codes: NDArray[np.int64], placed: PlacedSites) -> MotifStats:
        weight = text.row_weight
        found = windows.letter_counts(codes, placed.resp, weight, self.size, self.width)[:, :, : self.size]
        whole = np.bincount(codes, weight, self.size + 1)[: self.size]
        outside = np.maximum(whole - found.sum(axis=(0, 1)), 0.0)
        columns = found[0] + (found[1][::-1][:, self._facing()] if self.both_strands else 0.0)
        return MotifStats(self._folded(columns), outside, placed.counts, placed.constant)

    def _folded(self, counts: Array) -> Array:
        if not self.palindrome:
            return counts
        both = counts + counts[::-1][:, self._facing()]
        if self.width % 2:
            both[self.width // 2] = counts[self.width // 2]
        return np.asarray(both[: self.rows])

    def _facing(self) -> NDArray[np.intp]:
        assert self.complement is not None
        return np.array(self.complement, dtype=np.intp)

    def _imagined(self) -> MotifStats:
        columns = np.tile(np.zeros(self.size) if self.imagined is None else self.imagined, (self.width, 1))
        if self.held is not None:  # what is fixed has nothing to imagine, and may be zero
            columns = np.where(np.isnan(self.held), columns, 0.0)
        return MotifStats(self._folded(columns), np.zeros(self.size), np.zeros(2), draws=float(self.mixture is not None))

    def _support(self) -> Support:
        shape = (self.rows, self.size)
        probs = Constraints({} if self.held is None else {"probs": self.held}).pattern("probs", shape)
        if self.palindrome and self.width % 2:
            groups = probs.groups.copy()
            facing = self._facing()
            groups[-1] = groups[-1, np.minimum(np.arange(self.size), facing)]
            probs = Pattern(np.unique(groups, return_inverse=True)[1].reshape(shape).astype(np.intp), probs.values)
        given = Constraints({} if self.background is None else {"background": self.background})
        shares = Constraints({} if self.sites.fitted else {"shares": np.array([1.0, 0.0])})
        return Support(
            {
                "probs": Simplex.of("probs", probs),
                "background": Simplex.of("background", given.pattern("background", (self.size,))),
                "shares": Simplex.of("shares", shares.pattern("shares", (2,))),
            }
        )


class _Soft:
    """The tag that ``explain`` uses."""

    name, semiring = "soft", "sum"


_SOFT = _Soft()


def room(ends: NDArray[np.int64], width: int) -> Array:
    """0 where a window of ``width`` letters fits into its sequence, -inf where it does not, (n,).

    >>> room(np.array([3, 4]), 2).tolist()
    [0.0, 0.0, -inf, -inf]
    """
    lengths = np.diff(ends, prepend=0)
    left = np.repeat(ends, lengths) - np.arange(int(ends[-1]))
    return np.where(left >= width, 0.0, -np.inf)


def _entropy(counts: Array, probs: Array) -> float:
    held = counts > 0
    with np.errstate(divide="ignore"):
        return float(counts[held] @ np.log(probs[held]))


def _drawn(probs: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    below = np.cumsum(probs, axis=1)
    return np.asarray((rng.random((len(probs), 1)) * below[:, -1:] >= below).sum(axis=1), dtype=np.int64)


def _places(model: Motif, params: MotifParams, length: int, rng: np.random.Generator) -> list[int]:
    places, share = length - model.width + 1, float(params.shares[0])
    if places < 1:
        return []
    if model.law in ("one", "at most one"):
        return [int(rng.integers(places))] if rng.random() < share else []
    found, t = [], 0
    while t < places:
        if rng.random() < share:
            found.append(t)
            t += model.width
        else:
            t += 1
    return found
