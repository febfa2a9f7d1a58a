"""How many sites of a motif a sequence has, and where: the laws of places under which ``motif.py`` fits a motif.

    exactly one    p(place t, strand s) = V_t / (S sum V)                                            (OOPS)
    at most one    gamma V_t / (S sum V),   none with 1 - gamma                                      (ZOOPS)
    any number     at every free place with room a site begins with probability lambda V_t, then the next W letters are its
                   own: a chain of background and motif, exact                                      (ANR)
    windows        MEME's two-component mixture: every window by itself is a site with probability lambda; posteriors are then
                   scaled so that no W places in a row hold more than one site: a heuristic          (TCM)

E-step   posteriors Z_st of places and strands (``kernels/windows.py``)
M-step   gamma = mean over sequences of sum Z;   lambda = (sum Z + R) / (sum Z + sum stays)
         R_t = stays_t lambda (1 - V_t) / (1 - lambda V_t): sites that were offered and refused, for places V_t < 1

Where sites are known (``must``), or places permitted, arrangements that disagree have probability 0; the laws are the same.

V_t in [0, 1] is how open a place still is: 1, or less where an earlier motif lies (erasing), 0 where a mask lies.

symbol   variable   shape
gamma, lambda and their complements   shares   (2,)
Z        resp       (S, n)
log V    open       (n,)

Sources: Lawrence & Reilly (1990), Proteins 7:41; Bailey & Elkan (1994), ISMB 2:28; Bailey & Elkan (1995), ISMB 3:21.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.kernels import windows

Ends = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class MotifText:
    """A block of sequences as laws of places see it: log ratios (S, n), openness (n,), ends and weights of sequences (s,).

    ``row_weight`` (n,) is the weight of its sequence for each row; ``must`` (n,) says where a site is known to begin.
    """

    ratios: Array
    open: Array
    ends: Ends
    weight: Array
    row_weight: Array
    width: int
    must: NDArray[np.bool_]

    @property
    def strands(self) -> int:
        """One, or two where sites may lie on the other strand."""
        return len(self.ratios)

    @property
    def begins(self) -> Ends:
        """First row of each sequence."""
        return np.concatenate([np.zeros(1, dtype=np.int64), self.ends[:-1]])

    def summed(self, values: Array) -> Array:
        """Sums of values of rows over each sequence, (s,)."""
        return np.asarray(np.add.reduceat(values, self.begins))


@dataclasses.dataclass(frozen=True)
class PlacedSites:
    """What a law of places says of a block: posteriors of sites (S, n), expected counts of ``shares`` (2,).

    ``constant`` is the part of q that hangs on no parameter; ``objective`` and ``loglik`` (s,) are log ratios to background
    alone, in nats. ``impossible`` is a sequence that has no arrangement, or -1.
    """

    resp: Array
    counts: Array
    constant: float
    objective: Array
    loglik: Array
    impossible: int = -1


def _logs(shares: Array) -> tuple[float, float]:
    with np.errstate(divide="ignore"):
        return float(np.log(shares[0])), float(np.log(shares[1]))


def place_one(text: MotifText, shares: Array, best: bool) -> PlacedSites:
    """Exactly one site."""
    return _one_or_none(text, shares, best, required=True)


def place_one_or_none(text: MotifText, shares: Array, best: bool) -> PlacedSites:
    """At most one site; a sequence without an open place has none for sure."""
    return _one_or_none(text, shares, best, required=False)


def _one_or_none(text: MotifText, shares: Array, best: bool, required: bool) -> PlacedSites:
    resp, sums = np.empty_like(text.ratios), np.empty((len(text.ends), 2))
    known = np.add.reduceat(text.must.astype(int), text.begins)
    if (known > 1).any():
        return PlacedSites(resp, np.zeros(2), 0.0, sums[:, 0], sums[:, 1], int(known.argmax()))
    elsewhere = np.repeat(known > 0, np.diff(text.ends, prepend=0)) & ~text.must
    ratios = np.where(elsewhere, -np.inf, text.ratios) if elsewhere.any() else text.ratios
    bad = windows.one_or_none(ratios, text.open, text.ends, *_logs(shares), required | (known > 0), best, resp, sums)
    if bad >= 0:
        return PlacedSites(resp, np.zeros(2), 0.0, sums[:, 0], sums[:, 1], int(bad))
    room = text.summed(np.exp(text.open))
    sites = text.summed(resp.sum(axis=0))
    none = np.where(room > 0, 1.0 - sites, 0.0) if not required else np.zeros(len(sites))
    counts = np.array([text.weight @ sites, text.weight @ none])
    places = np.log(np.where(room > 0, room, 1.0)) + np.log(text.strands)
    constant = float((text.row_weight * resp.sum(axis=0)) @ _finite(text.open) - (text.weight * sites) @ places)
    return PlacedSites(resp, np.maximum(counts, 0.0), constant, sums[:, 0], sums[:, 1])


def place_any(text: MotifText, shares: Array, best: bool) -> PlacedSites:
    """Any number of sites that do not overlap."""
    resp, stays, sums = np.empty_like(text.ratios), np.empty(text.open.size), np.empty((len(text.ends), 2))
    rate = float(shares[0])
    told = (text.ratios, text.open, text.must, text.ends, text.width, rate, resp, stays, sums)
    bad = windows.any_number(*told)
    if bad >= 0:
        return PlacedSites(resp, np.zeros(2), 0.0, sums[:, 0], sums[:, 1], int(bad))
    if best:
        windows.best_number(*told)
    return _counted(text, resp, stays, rate, sums)


def place_windows(text: MotifText, shares: Array, best: bool) -> PlacedSites:
    """Every window by itself, then scaled; the likelihood is that of ``place_any`` with as many sites a letter."""
    rate = float(shares[0])
    open = np.exp(text.open)
    resp, stays, sums = np.empty_like(text.ratios), np.empty(open.size), np.empty((len(text.ends), 2))
    chain = min(rate / max(1.0 - rate * (text.width - 1), rate), 1.0)
    bad = windows.any_number(text.ratios, text.open, text.must, text.ends, text.width, chain, resp, stays, sums)
    if bad >= 0:
        return PlacedSites(resp, np.zeros(2), 0.0, sums[:, 0], sums[:, 1], int(bad))
    with np.errstate(divide="ignore", over="ignore"):
        ways = np.log(rate * open / text.strands) + text.ratios
        none = np.where(text.must, 0.0, np.maximum(1.0 - rate * open, 0.0))
        top = np.where(text.must, ways.max(axis=0), np.maximum(ways.max(axis=0), 0.0))
        total = np.exp(ways - top).sum(axis=0) + none * np.exp(-top)
    resp = np.exp(ways - top) / total
    if best:
        resp = (resp == resp.max(axis=0)) * (text.must | (resp > 0.5)).astype(float)
    windows.thinned(resp, text.ends, text.width)
    return _counted(text, resp, np.where(open > 0, 1.0 - resp.sum(axis=0), 0.0), rate, sums)


def _counted(text: MotifText, resp: Array, stays: Array, rate: float, sums: Array) -> PlacedSites:
    """Offers, refusals and the constant of laws in which every place is asked."""
    weight, open, sites = text.row_weight, np.exp(text.open), resp.sum(axis=0)
    shut = 1.0 - open
    left = 1.0 - rate * open
    refused = np.where(left > 0, stays * rate * shut / np.where(left > 0, left, 1.0), stays)
    counts = np.array([weight @ (sites + refused), weight @ (stays - refused)])
    constant = float((weight * sites) @ (_finite(text.open) - np.log(text.strands)))
    constant += float((weight * refused) @ np.log(np.where(refused > 0, shut, 1.0)))
    return PlacedSites(resp, np.maximum(counts, 0.0), constant, sums[:, 0], sums[:, 1])


def _finite(logs: Array) -> Array:
    return np.where(np.isneginf(logs), 0.0, logs)


@dataclasses.dataclass(frozen=True)
class SiteLaw:
    """A law of places: how it fills sites in, where shares begin, whether they are fitted, and what it promises."""

    title: str
    place: Callable[[MotifText, Array, bool], PlacedSites]
    fitted: bool
    needs_room: bool
    certificate: str = "exact"
    share: ClassVar[tuple[str, str]] = ("site", "none")


LAWS = {
    "one": SiteLaw("one site in every sequence", place_one, fitted=False, needs_room=True),
    "at most one": SiteLaw("at most one site in a sequence", place_one_or_none, fitted=True, needs_room=False),
    "any": SiteLaw("any number of sites in a sequence", place_any, fitted=True, needs_room=False),
    "any (windows)": SiteLaw(
        "any number of sites in a sequence, windows apart",
        place_windows,
        fitted=True,
        needs_room=False,
        certificate="heuristic",
    ),
}
NAMES = {"oops": "one", "zoops": "at most one", "anr": "any", "tcm": "any (windows)"}
"""The names of the field for the laws."""
