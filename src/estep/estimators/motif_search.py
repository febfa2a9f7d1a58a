"""The search for motifs around the runs of EM: words to begin with, shifts, widths, and one motif after another.

    shifts    the fitted motif moved by 1, 2, 3 letters either way, each run on; the highest end is kept, until none is higher
    width     the width with the lowest  BIC = -2 L + p_motif log(expected sites) + p_rest log(letters),  or  AIC = -2 L + 2 p
    erasing   after a motif, a letter is open for the next with probability prod (1 - P(letter lies in a site)); a place is as
              open as the least open of its letters

A column of a motif is estimated from as many letters as there are sites, hence its penalty. Likelihoods of different widths
compare, because each is that of all letters.

Sources: Bailey & Elkan (1995), Machine Learning 21:51 (starts, erasing); Lawrence et al. (1993), Science 262:208 (shifts).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import ImpossibleRow
from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.core.result import Result, StartTable
from estep.core.support import Simplex
from estep.data.meme import Pwm
from estep.data.memory import Memory
from estep.engine.presets import Variant
from estep.engine.restart import Start, fit_starts
from estep.engine.run import Control
from estep.estimators.letters import Texts, open_places, words_at
from estep.estimators.motif_evalue import evalue_of
from estep.estimators.motif_labels import known_sites, require_room
from estep.inference.motif_significance import Significance
from estep.inference.site_scores import score_law
from estep.models.motif import Motif, MotifParams, MotifStats
from estep.models.sites import PlacedSites
from estep.start.words import best_words
from estep.views.sites import Sites

ROUNDS = 5
"""How often a motif may be shifted anew."""
LIKELY = 0.5
"""Posterior probability from which on a site is listed, where a sequence need not have one."""


class NoRoom(ValueError):
    """No place, or no word, is left for a motif of some width."""


@dataclasses.dataclass(frozen=True)
class FoundMotif:
    """A motif that was found: its matrix, its sites in the sequences of the fit, the expected number of sites, the run.

    ``bic`` and ``aic`` are lower for better motifs; see the module for what they count. ``significance`` holds what the E-value
    is made of (``inference/motif_significance.py``), or None where weights are no whole numbers.
    """

    pwm: Pwm
    sites: Sites
    n_sites: float
    bic: float
    aic: float
    result: Result
    significance: Significance | None = None


@dataclasses.dataclass(frozen=True)
class Search:
    """Where and how motifs are looked for.

    ``letters`` (n,) says how open each letter is; ``make(width)`` is the model of a width; ``init`` None starts from words;
    ``allowed`` are known sites and permitted places (``motif_labels.py``), or None.
    """

    texts: Texts
    weight: Array | None
    letters: Array
    make: Callable[[int], Motif]
    init: MotifParams | None
    n_init: int
    shifts: int
    variant: Variant
    control: Control
    seed: int
    n_jobs: int | None
    allowed: NDArray[np.bool_] | None = None

    def data(self, width: int) -> Memory:
        """The sequences, with the places where a site of that width may begin."""
        texts = self.texts
        open = open_places(self.letters, texts.ends, width)
        weight = self.texts.row_weight(self.weight)
        return Memory(texts.codes, weight, self.allowed, given=open, n_jobs=self.n_jobs, ends=texts.ends)

    def chunk(self, width: int) -> Chunk:
        """The same as one block."""
        data = self.data(width)
        return Chunk(("memory", 0, data.n_rows), data.x, data.given, data.weight, data.allowed, ends=data.ends)


def best_of_widths(search: Search, widths: Sequence[int], criterion: str, title: str) -> tuple[FoundMotif, list[FoundMotif]]:
    """The best width by ``criterion`` ("bic" or "aic"), and what every width gave."""
    found = [found_motif(search, of_width(search, width), title) for width in widths]
    best = min(found, key=lambda each: float(getattr(each, criterion)))
    chunk, told = search.chunk(best.pwm.width), best.sites
    chance = evalue_of(best.result.model, chunk, search.texts, search.weight, told, len(widths))
    evalue = None if chance is None else chance.evalue
    return dataclasses.replace(best, significance=chance, pwm=dataclasses.replace(best.pwm, evalue=evalue)), found


def motifs_of(
    search: Search, widths: Sequence[int], criterion: str, wanted: int
) -> tuple[list[FoundMotif], list[FoundMotif], str]:
    """Up to ``wanted`` motifs, what every width of the first gave, and, where there was no room for more, why.

    Raises ValueError where there is no room for the first.
    """
    found: list[FoundMotif] = []
    first: list[FoundMotif] = []
    while len(found) < wanted:
        try:
            best, tried = best_of_widths(search, widths, criterion, f"motif_{len(found) + 1}")
        except NoRoom as full:
            if not found:
                raise ValueError(str(full)) from None
            return found, first, str(full)
        found.append(best)
        first = first or tried
        search = erased(search, best) if len(found) < wanted else search
    return found, first, ""


def of_width(search: Search, width: int) -> Result:
    """The best run for one width, shifts included; raises NoRoom."""
    model, data = search.make(width), search.data(width)
    _require_places(model, search, data)
    result = fit_starts(model, data, _starts(model, search, data), search.variant, search.control)
    chunk = search.chunk(width)
    for _ in range(ROUNDS if search.shifts and search.init is None else 0):
        moved = [Start("as found", lambda now=result.params: now), *shifted_starts(model, result, chunk, search.shifts)]  # type: ignore[misc]
        again = fit_starts(model, data, moved, search.variant, search.control)
        assert result.starts is not None and again.starts is not None
        if not again.objective > result.objective + again.starts.width or again.starts.best == 0:
            break
        rows = (*result.starts.rows, *again.starts.rows)
        table = StartTable(rows, len(result.starts.rows) + again.starts.best, result.starts.width)
        result = dataclasses.replace(again, starts=table)
    return result


def _require_places(model: Motif, search: Search, data: Memory) -> None:
    """Raise NoRoom naming the sequences that have no place for a site, where each must have one; or if none has."""
    if search.allowed is not None:
        require_room(search.allowed, np.asarray(data.given), search.texts, model.width)
    open = np.add.reduceat(np.exp(np.asarray(data.given)), search.texts.begins) > 0
    if not open.any():
        longest = int(search.texts.lengths.max())
        raise NoRoom(
            f"width={model.width}: no sequence has a place for a site; the longest has {longest} letters, or masks lie"
        )
    if model.sites.needs_room and not open.all():
        texts = search.texts
        short = "shorter than that" if (texts.lengths[~open] < model.width).all() else "too short or masked"
        raise NoRoom(
            f"width={model.width}: {texts.named(~open)} {'is' if (~open).sum() == 1 else 'are'} {short}, and sites='one' wants "
            "a site in every sequence; lower width, leave them out, or allow none with sites='at most one'"
        )


def _starts(model: Motif, search: Search, data: Memory) -> list[Start]:
    if search.init is not None:
        return [Start("given parameters", lambda: search.init)]
    texts = search.texts
    background = texts.frequencies(search.weight) if model.background is None else model.background
    rng = np.random.default_rng([search.seed, model.width])
    found = best_words(model, texts.codes, texts.ends, background, search.n_init, rng, np.asarray(data.given), search.weight)
    starts = [Start(f"word {texts.alphabet.decode(word.codes)}", lambda p=word.params: p) for word in found]  # type: ignore[misc]
    told = None if search.allowed is None else known_sites(model, texts, search.allowed, background, search.weight)
    if told is not None:
        starts.insert(0, Start("known sites", lambda: told))
    if not starts:
        raise NoRoom(f"width={model.width}: every window holds an unknown letter, so there is no word to begin with")
    return starts


def shifted_starts(model: Motif, result: Result, chunk: Chunk, most: int) -> list[Start]:
    """The fitted motif moved by up to ``most`` letters either way, columns from the letters that its sites then cover."""
    text, codes = model.text(result.params, chunk)
    placed = model.posteriors(result.params, chunk)
    which = np.repeat(np.arange(len(text.ends)), np.diff(text.ends, prepend=0))
    starts = []
    for shift in [k for size in range(1, most + 1) for k in (-size, size)]:
        resp = np.stack([_moved(z, shift if s == 0 else -shift, which, text.open) for s, z in enumerate(placed.resp)])
        if not resp.any():
            continue
        stats: MotifStats = model.counted(
            text, codes, PlacedSites(resp, result.params.shares, 0.0, placed.objective, placed.loglik)
        )
        params = dataclasses.replace(model.mstep(stats, result.params), shares=result.params.shares)
        if not params.probs.all() and not _possible(model, params, chunk):
            continue
        starts.append(Start(f"shifted by {shift:+d}", lambda p=params: p))  # type: ignore[misc]
    return starts


def _possible(model: Motif, params: MotifParams, chunk: Chunk) -> bool:
    """Whether every sequence that needs a site has a place for one (letters of probability zero may leave none)."""
    try:
        model.posteriors(params, chunk)
    except ImpossibleRow:
        return False
    return True


def _moved(z: Array, shift: int, which: NDArray[np.intp], open: Array) -> Array:
    """Posteriors moved by ``shift`` rows within their sequences, to open places only."""
    out, n = np.zeros_like(z), len(z)
    target, source = slice(max(shift, 0), n + min(shift, 0)), slice(max(-shift, 0), n - max(shift, 0))
    inside = (which[target] == which[source]) & (open[target] > -np.inf)
    out[target] = np.where(inside, z[source], 0.0)
    return out


def found_motif(search: Search, result: Result, title: str) -> FoundMotif:
    """A run's motif with its matrix, sites and criteria."""
    model: Motif = result.model
    chunk = search.chunk(model.width)
    placed = model.posteriors(result.params, chunk)
    n_sites = float((model.text(result.params, chunk)[0].row_weight * placed.resp.sum(axis=0)).sum())
    columns = model.columns(result.params)
    pwm = Pwm(title, columns, search.texts.alphabet, result.params.background, n_sites)
    bic, aic = criteria_of(result, n_sites, result.loglik, result.n)
    return FoundMotif(pwm, sites_of(model, result.params, chunk, search.texts), n_sites, bic, aic, result)


def criteria_of(result: Result, n_sites: float, loglik: float, letters: float) -> tuple[float, float]:
    """BIC and AIC; lower is better."""
    entry = result.model.support(result.params).entries["probs"]
    assert isinstance(entry, Simplex)
    rest = result.n_free - entry.count
    penalty = entry.count * math.log(max(n_sites, 1.0)) + rest * math.log(max(letters, 1.0))
    return -2.0 * loglik + penalty, -2.0 * loglik + 2.0 * result.n_free


def sites_of(model: Motif, params: MotifParams, chunk: Chunk, texts: Texts) -> Sites:
    """The sites: in each sequence the best place, or the best arrangement, or where the heuristic finds them probable."""
    placed = model.posteriors(params, chunk)
    text, _ = model.text(params, chunk)
    if model.law == "any":
        chosen = model.posteriors(params, chunk, best=True).resp > 0
    elif model.law == "any (windows)":
        likelier = np.arange(len(placed.resp))[:, None] == placed.resp.argmax(axis=0)
        chosen = likelier & (placed.resp.sum(axis=0) >= LIKELY)  # a word that reads the same from both strands shares it
    else:
        chosen = _best_in_each(placed.resp, text.ends, required=model.sites.needs_room)
    strand, row = np.nonzero(chosen)
    order = np.argsort(row, kind="stable")
    strand, row = strand[order], row[order]
    which = np.searchsorted(texts.ends, row, side="right")
    codes = words_at(texts, row, strand, model.width)
    start = row - texts.begins[which]
    return Sites(
        sequence=which,
        name=np.array(texts.names, dtype=str)[which],
        start=start,
        end=start + model.width,
        strand=np.where(strand == 0, 1, -1),
        probability=placed.resp[strand, row],
        bits=text.ratios[strand, row] / math.log(2.0),
        pvalue=score_law(model.columns(params), params.background).pvalue(codes),
        word=np.array([texts.alphabet.decode(word) for word in codes], dtype=str),
    )


def _best_in_each(resp: Array, ends: NDArray[np.int64], required: bool) -> NDArray[np.bool_]:
    """The most probable place of each sequence; where none is required, only if a site is as probable as none."""
    out, begin = np.zeros(resp.shape, dtype=bool), 0
    for end in ends.tolist():
        part = resp[:, begin:end]
        if required or part.sum() >= LIKELY:
            strand, place = np.unravel_index(int(part.argmax()), part.shape)
            out[strand, begin + int(place)] = True
        begin = end
    return out


def erased(search: Search, found: FoundMotif) -> Search:
    """The search for the next motif: letters that lie in sites of the last are no longer as open."""
    model: Motif = found.result.model
    covered = 1.0 - model.explain(found.result.params, search.chunk(model.width)).resp[:, -1]
    return dataclasses.replace(search, letters=search.letters * np.clip(1.0 - covered, 0.0, 1.0), allowed=None)
