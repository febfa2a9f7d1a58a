"""Motifs in MEME's minimal text format, in and out: an alphabet, a background, and a matrix of letter probabilities each.

    letter-probability matrix: alength= m w= W nsites= n E= e       rows: columns of the motif, letters in the alphabet's order

Source: the MEME Suite's description of its minimal motif format, version 4 and later; Bailey et al. (2009), NAR 37:W202.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from estep.core.letters import ALPHABETS, Alphabet, alphabet_of
from estep.core.record import Array

ALLOWED_SUM = 0.01
"""How far from one a row's probabilities may sum, as printed with few decimals; they are then brought to one."""


@dataclasses.dataclass(frozen=True)
class Pwm:
    """A motif as files hold it: letter probabilities (W, m), the background (m,), and how many sites it was made from.

    ``evalue`` is None where none is known.
    """

    name: str
    probs: Array
    alphabet: Alphabet
    background: Array
    n_sites: float = 20.0
    evalue: float | None = None

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.probs)

    @property
    def consensus(self) -> str:
        """The most probable letter of each column."""
        return self.alphabet.decode(self.probs.argmax(axis=1))

    @property
    def information(self) -> Array:
        """Bits of each column against the background, ``sum_a f_a log2(f_a / b_a)``, (W,)."""
        return information(self.probs, self.background)


def information(probs: Array, background: Array) -> Array:
    """``sum_a f_a log2(f_a / b_a)`` of each row, in bits (0 log 0 = 0).

    >>> information(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0.5, 0.5])).tolist()
    [1.0, 0.0]
    """
    held = probs > 0
    ratio = np.where(held, probs, 1.0) / np.where(held, np.maximum(background, np.finfo(float).tiny), 1.0)
    return np.asarray((probs * np.log2(ratio)).sum(axis=1))


def write_meme(path: str | Path, motifs: Iterable[Pwm]) -> None:
    """Write motifs of one alphabet and background; the file is there whole or not at all."""
    from estep.core.files import write_whole

    found = list(motifs)
    if not found:
        raise ValueError("motifs is empty; give at least one to write")
    alphabet, background = found[0].alphabet, found[0].background
    if any(motif.alphabet.letters != alphabet.letters for motif in found):
        raise ValueError("motifs have different alphabets; a MEME file has one, so write a file for each")
    if max(map(len, alphabet.letters)) > 1:
        raise ValueError(
            f"MEME files have letters of one character, and {alphabet.name} has {max(alphabet.letters, key=len)!r}"
        )
    pairs = zip(alphabet.letters, background, strict=True)
    lines = ["MEME version 4", "", f"ALPHABET= {''.join(alphabet.letters)}", ""]
    lines += ["strands: + -", ""] if alphabet.complement else []
    lines += ["Background letter frequencies", " ".join(f"{letter} {share:.6g}" for letter, share in pairs), ""]
    for motif in found:
        lines += [f"MOTIF {'_'.join(motif.name.split())}", _head(motif)]
        lines += ["  ".join(f"{p:.9f}" for p in row) for row in motif.probs] + [""]
    write_whole(path, "\n".join(lines).encode())


def _head(motif: Pwm) -> str:
    """The line before a matrix; other programs read whole numbers of sites."""
    evalue = "" if motif.evalue is None else f" E= {motif.evalue:.3g}"
    sites = max(round(motif.n_sites), 1)
    return f"letter-probability matrix: alength= {motif.alphabet.size} w= {motif.width} nsites= {sites}{evalue}"


def read_meme(path: str | Path) -> list[Pwm]:
    """The motifs of a file in MEME's minimal format (or of MEME's own text output, which holds the same lines).

    Raises
    ------
    ValueError
        Where there is no version, no alphabet, no motif, or a matrix is not what its head says; with the line.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from estep.core.letters import DNA
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "m.meme"
    >>> write_meme(file, [Pwm("one", np.array([[1.0, 0, 0, 0], [0.5, 0, 0.5, 0]]), DNA, np.full(4, 0.25), 12)])
    >>> motif = read_meme(file)[0]
    >>> motif.name, motif.consensus, motif.n_sites
    ('one', 'AA', 12.0)
    """
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    if not any(line.startswith("MEME version") for line in lines[:50]):
        raise ValueError(f"{path}: no line 'MEME version' at its beginning; this is no file of motifs in MEME's format")
    alphabet = _alphabet(path, lines)
    background = _background(path, lines, alphabet)
    found: list[Pwm] = []
    name = ""
    for at, line in enumerate(lines):
        if line.startswith("MOTIF"):
            name = " ".join(line.split()[1:2]) or f"motif {len(found) + 1}"
        elif line.startswith("letter-probability matrix:"):
            found.append(_motif(path, lines, at, name or f"motif {len(found) + 1}", alphabet, background))
    if not found:
        raise ValueError(f"{path}: no 'letter-probability matrix' in it, so there is no motif to read")
    return found


def _alphabet(path: str | Path, lines: list[str]) -> Alphabet:
    line = next((line for line in lines if line.startswith("ALPHABET")), None)
    if line is None:
        raise ValueError(f"{path}: no line 'ALPHABET= ...'")
    letters = line.partition("=")[2].split()
    given = letters[0] if letters else " ".join(line.split()[1:2]).strip('"')
    known = next((a for a in ALPHABETS.values() if "".join(a.letters) == given.upper()), None)
    return known or alphabet_of(given, [])


def _background(path: str | Path, lines: list[str], alphabet: Alphabet) -> Array:
    at = next((i for i, line in enumerate(lines) if line.startswith("Background letter frequencies")), None)
    if at is None:
        return np.full(alphabet.size, 1.0 / alphabet.size)
    words: list[str] = []
    for line in lines[at + 1 :]:
        words += line.split()
        if len(words) >= 2 * alphabet.size:
            break
    shares = dict(zip(words[::2], words[1::2], strict=False))
    try:
        found = np.array([float(shares[letter]) for letter in alphabet.letters])
    except (KeyError, ValueError):
        raise ValueError(f"{path}, line {at + 2}: expected a letter and its frequency for each of {alphabet.letters}") from None
    return _shares(path, at + 2, found)


def _motif(path: str | Path, lines: list[str], at: int, name: str, alphabet: Alphabet, background: Array) -> Pwm:
    told = dict(re.findall(r"(\w+)= *(\S+)", lines[at]))
    rows: list[Array] = []
    for number, line in enumerate(lines[at + 1 :], at + 2):
        words = line.split()
        if not words and not rows:
            continue
        if len(words) != alphabet.size or not _numbers(words):
            break
        rows.append(_shares(path, number, np.array([float(word) for word in words])))
    width = int(told.get("w", len(rows)))
    if len(rows) != width or not rows:
        raise ValueError(
            f"{path}, line {at + 1}: the matrix of {name!r} has {len(rows)} rows of {alphabet.size} numbers, expected {width}"
        )
    n_sites, evalue = float(told.get("nsites", 20)), told.get("E")
    return Pwm(name, np.array(rows), alphabet, background, n_sites, None if evalue is None else float(evalue))


def _numbers(words: list[str]) -> bool:
    try:
        [float(word) for word in words]
    except ValueError:
        return False
    return True


def _shares(path: str | Path, number: int, values: Array) -> Array:
    total = float(values.sum())
    if (values < 0).any() or abs(total - 1.0) > ALLOWED_SUM:
        raise ValueError(f"{path}, line {number}: probabilities must be >= 0 and sum to one, they sum to {total:g}")
    return np.asarray(values / total)
