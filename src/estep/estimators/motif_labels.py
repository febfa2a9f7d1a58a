"""Known sites as partial labels: ``y`` names sites, ``labels`` the places where sites may begin at most.

    allowed (n, 1 + S)   of every letter: whether no site may begin there, and whether one may, on each strand

A place counts from 0 to the first letter of the site as the text stands, on either strand; ``(place, "-")`` tells the strand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.estimators.letters import Texts, words_at
from estep.models.motif import Motif, MotifParams
from estep.start.words import within

STRANDS = {"+": 0, "-": 1}
Flags = NDArray[np.bool_]


def read_sites(y: Any, labels: Any, texts: Texts, law: str, strands: int) -> Flags | None:
    """Permitted beginnings (n, 1 + S) from ``y`` or ``labels``, an entry for each sequence; None where nothing is told.

    Raises
    ------
    ValueError
        On both, another number of entries, places outside a sequence, strands that are not looked at, or several sites (or,
        where each must have one, no place) in a sequence.
    """
    if y is not None and labels is not None:
        raise ValueError("give y or labels, not both: y names known sites, labels the places that are permitted")
    told, name = (y, "y") if labels is None else (labels, "labels")
    if told is None:
        return None
    entries = told.tolist() if isinstance(told, np.ndarray) else list(told) if isinstance(told, Iterable) else [told]
    if isinstance(told, str | dict) or len(entries) != texts.count:
        raise ValueError(f"{name} has {len(entries)} entries, expected {texts.count}: one a sequence, None where unknown")
    allowed, single = np.ones((len(texts.codes), 1 + strands), dtype=bool), law in ("one", "at most one")
    for j, entry in enumerate(entries):
        if _unknown(entry):
            continue
        places = _places(entry, f"{name}[{j}] ({texts.names[j]})", int(texts.lengths[j]), strands)
        if name == "y" and single and len({place for place, _ in places}) > 1:
            named = f"y[{j}] ({texts.names[j]}) names {len(places)} sites"
            raise ValueError(f"{named}, and sites={law!r} allows one; use sites='any'")
        if name == "labels" and law == "one" and not places:
            raise ValueError(f"labels[{j}] ({texts.names[j]}) permits no place, and sites='one' wants a site in every sequence")
        _write(allowed[texts.begins[j] : texts.ends[j]], places, known=name == "y")
    return None if allowed.all() else allowed


def _write(rows: Flags, places: list[tuple[int, int | None]], known: bool) -> None:
    """Labels of one sequence into its rows."""
    if known:
        for place, _ in places:
            rows[place] = False
    else:
        rows[:, 1:] = False
    for place, strand in places:
        rows[place, 1:] |= True if strand is None else np.arange(rows.shape[1] - 1) == strand


def _unknown(entry: Any) -> bool:
    return entry is None or (isinstance(entry, int | float | np.number) and (entry != entry or entry == -1))


def _places(entry: Any, where: str, length: int, strands: int) -> list[tuple[int, int | None]]:
    alone = not isinstance(entry, Iterable) or isinstance(entry, str) or _stranded(entry)
    return [_place(each, where, length, strands) for each in ([entry] if alone else entry)]


def _stranded(entry: Any) -> bool:
    return isinstance(entry, tuple | list) and len(entry) == 2 and isinstance(entry[1], str)


def _place(each: Any, where: str, length: int, strands: int) -> tuple[int, int | None]:
    place, strand = each if _stranded(each) else (each, None)
    whole = isinstance(place, int | float | np.number) and not isinstance(place, bool) and float(place).is_integer()
    if not whole or not (strand is None or strand in STRANDS):
        raise ValueError(f"{where} holds {each!r}; a site is the place of its first letter, from 0, or (place, '+' or '-')")
    if not 0 <= place < length:
        raise ValueError(f"{where} names the place {int(place)}, but the sequence has the letters 0 to {length - 1}")
    if strand == "-" and strands == 1:
        raise ValueError(f"{where} names a site on the other strand; look at it with strands='both'")
    return int(place), None if strand is None else STRANDS[strand]


def require_room(allowed: Flags, open: Array, texts: Texts, width: int) -> None:
    """Raise ValueError where a known site has no room for ``width`` letters, is masked, or lies on another."""
    known = np.flatnonzero(~allowed[:, 0])
    which = np.searchsorted(texts.ends, known, side="right")
    closed = np.isneginf(open[known])
    if closed.any():
        at = int(np.flatnonzero(closed)[0])
        place = int(known[at] - texts.begins[which[at]])
        raise ValueError(
            f"width={width}: {texts.names[which[at]]} has a known site at {place}, where a site has no room or a mask lies"
        )
    near = (np.diff(known) < width) & (np.diff(which) == 0)
    if near.any():
        at = int(np.flatnonzero(near)[0])
        first, second = (int(v - texts.begins[which[at]]) for v in known[at : at + 2])
        raise ValueError(f"width={width}: {texts.names[which[at]]} has known sites at {first} and {second}, which overlap")


def known_sites(model: Motif, texts: Texts, allowed: Flags, background: Array, weight: Array | None) -> MotifParams | None:
    """Where a run may begin: columns from the letters of the known sites and half as many of the background, or None."""
    rows = np.flatnonzero(~allowed[:, 0])
    if not rows.size:
        return None
    words = words_at(texts, rows, np.where(allowed[rows, 1], 0, 1), model.width)
    each = np.ones(len(rows)) if weight is None else weight[np.searchsorted(texts.ends, rows, side="right")]
    counts = ((words[:, :, None] == np.arange(model.size)) * each[:, None, None]).sum(axis=0)
    counts = counts + 0.5 * each.sum() * background + model.pseudocounts
    columns = model.half(counts / counts.sum(axis=1, keepdims=True))
    share = len(rows) / texts.count if model.law == "at most one" else len(rows) / len(texts.codes)
    return MotifParams(within(model, columns), background, model.first_shares(min(max(share, 1e-3), 1.0 - 1e-3)))
