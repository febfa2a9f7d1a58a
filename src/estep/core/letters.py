"""Alphabets of sequences: which letters there are, what each is coded as, and which letter faces which on the other strand.

    code of a letter = its place in the alphabet;   -1 = a letter that is not known (N, X and the other ambiguity codes)

Source: Nomenclature Committee of the International Union of Biochemistry (1985), Nucleic Acids Research 13:3021 (codes).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
GAPS = "-.~"
NUCLEOTIDE_SHARE = 0.9
"""Share of letters A, C, G, T, U and N from which on a text of nucleotide codes is taken for a nucleic acid."""


@dataclasses.dataclass(frozen=True)
class Alphabet:
    """Letters, those that stand for an unknown letter, and where there are strands the complement of each.

    Examples
    --------
    >>> DNA.encode("GATNaca").tolist(), DNA.decode([2, 0, 3, -1])
    ([2, 0, 3, -1, 0, 1, 0], 'GATN')
    >>> DNA.decode(DNA.reversed(DNA.encode("AACG")))
    'CGTT'
    """

    name: str
    letters: tuple[str, ...]
    unknown: str = ""
    complement: tuple[int, ...] | None = None
    same: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> int:
        """Number of letters."""
        return len(self.letters)

    @property
    def blank(self) -> str:
        """The letter written where none is known."""
        return self.unknown[0] if self.unknown else "?"

    def encode(self, text: str, where: str = "the sequence") -> Codes:
        """Codes (n,) of a text, whatever its case; raises ValueError naming the first character that is no letter."""
        values = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        table = self._table()
        codes = np.where(values < len(table), table[np.minimum(values, len(table) - 1)], -2).astype(np.int64)
        if (odd := np.flatnonzero(codes == -2)).size:
            found = text[odd[0]]
            why = "is a gap; sequences come without gaps here" if found in GAPS else f"is no letter of {self.name}"
            remedy = (
                "read the alignment with fit_aligned, or take the gaps out"
                if found in GAPS
                else "correct it, or give alphabet="
            )
            raise ValueError(f"{where}: character {odd[0]}, {found!r}, {why} ({''.join(self.letters)}); {remedy}")
        return codes

    def decode(self, codes: Iterable[int]) -> str:
        """The text of codes; -1 is written as ``blank``. Letters of several characters stand apart."""
        written = [self.letters[c] if c >= 0 else self.blank for c in codes]
        return ("" if max(map(len, self.letters)) == 1 else " ").join(written)

    def reversed(self, codes: Any) -> Codes:
        """The other strand, read in its own direction; raises ValueError where the alphabet has no strands."""
        if self.complement is None:
            raise ValueError(f"{self.name} has no other strand; reverse strands and palindromes are of DNA and RNA")
        facing: Codes = np.append(np.array(self.complement, dtype=np.int64), -1)
        return np.asarray(facing[np.asarray(codes)][..., ::-1])

    def _table(self) -> Codes:
        """Code of every character up to the highest that is known, -2 where a character is none of ours."""
        known = {letter: i for i, letter in enumerate(self.letters) if len(letter) == 1}
        known |= {other: known[letter] for other, letter in self.same} | dict.fromkeys(self.unknown, -1)
        table = np.full(max(map(ord, known), default=0) + 128, -2, dtype=np.int64)
        for letter, code in known.items():
            for form in {letter, letter.lower(), letter.upper()}:
                if len(form) == 1 and ord(form) < len(table) and (form == letter or table[ord(form)] == -2):
                    table[ord(form)] = code
        return table


AMBIGUOUS = "NRYSWKMBDHVX"
DNA = Alphabet("DNA", tuple("ACGT"), AMBIGUOUS, (3, 2, 1, 0), (("U", "T"),))
RNA = Alphabet("RNA", tuple("ACGU"), AMBIGUOUS, (3, 2, 1, 0), (("T", "U"),))
PROTEIN = Alphabet("protein", tuple("ACDEFGHIKLMNPQRSTVWY"), "XBZJUO*")
ALPHABETS = {"dna": DNA, "rna": RNA, "protein": PROTEIN}


def alphabet_of(given: Any, texts: Sequence[str]) -> Alphabet:
    """The alphabet that a user named, or the one that ``texts`` are written in.

    Parameters
    ----------
    given : "auto", "dna", "rna", "protein", Alphabet or str
        A text of another kind lists the letters themselves.
    texts : sequence of str
        Looked at where ``given`` is "auto".

    Raises
    ------
    ValueError
        Where no alphabet of ours has all letters of the texts.

    Examples
    --------
    >>> alphabet_of("auto", ["GATTACA"]).name, alphabet_of("auto", ["VGAHAGEY"]).name, alphabet_of("01", []).letters
    ('DNA', 'protein', ('0', '1'))
    """
    if isinstance(given, Alphabet):
        return given
    if not isinstance(given, str) or not given:
        raise ValueError(f"alphabet must be 'auto', one of {sorted(ALPHABETS)}, or a text of letters, got {given!r}")
    if given.lower() in ALPHABETS:
        return ALPHABETS[given.lower()]
    if given.lower() != "auto":
        if len(set(given)) < len(given) or len(given) < 2:
            raise ValueError(f"alphabet={given!r} must list two letters or more, each once")
        return Alphabet(f"the alphabet {given!r}", tuple(given))
    return _recognised(texts)


def _recognised(texts: Sequence[str]) -> Alphabet:
    counts: dict[str, int] = {}
    for text in texts:
        for letter in set(text):
            counts[letter.upper()] = counts.get(letter.upper(), 0) + text.count(letter)
    found = {letter: times for letter, times in counts.items() if letter not in GAPS}
    plain = sum(found.get(letter, 0) for letter in "ACGTUN")
    if set(found) <= set("ACGTU" + AMBIGUOUS) and plain >= NUCLEOTIDE_SHARE * max(sum(found.values()), 1):
        return RNA if "U" in found and "T" not in found else DNA
    if odd := sorted(set(found) - set(PROTEIN.letters) - set(PROTEIN.unknown)):
        raise ValueError(f"alphabet='auto': {odd[0]!r} is no letter of DNA, RNA or protein; correct it, or give alphabet=")
    return PROTEIN
