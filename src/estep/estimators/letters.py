"""Texts as users bring them: a list of strings, of integer arrays or of FASTA records, or the path of a file of sequences."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.letters import Alphabet, alphabet_of
from estep.core.record import Array
from estep.data.fasta import SequenceRecord, read_fasta, read_stockholm

MOST_NAMED = 5
STOCKHOLM = (".sto", ".stk", ".stockholm")


@dataclasses.dataclass(frozen=True)
class Texts:
    """Sequences of letters, end to end: codes (n,) with -1 for unknown, ends (s,), names, and which letters were lower case."""

    names: tuple[str, ...]
    codes: NDArray[np.int64]
    ends: NDArray[np.int64]
    lower: NDArray[np.bool_]
    alphabet: Alphabet

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Letters of each sequence, (s,)."""
        return np.diff(self.ends, prepend=0)

    @property
    def begins(self) -> NDArray[np.int64]:
        """First letter of each sequence, (s,)."""
        return self.ends - self.lengths

    @property
    def count(self) -> int:
        """Number of sequences."""
        return len(self.ends)

    def part(self, j: int) -> NDArray[np.int64]:
        """Codes of sequence j."""
        return self.codes[self.begins[j] : self.ends[j]]

    def row_weight(self, weight: Array | None) -> Array | None:
        """Weights of rows from those of sequences."""
        return None if weight is None else np.repeat(weight, self.lengths)

    def kept(self, which: NDArray[np.bool_]) -> Texts:
        """Some of the sequences."""
        rows = np.repeat(which, self.lengths)
        names = tuple(name for name, stays in zip(self.names, which, strict=True) if stays)
        return Texts(names, self.codes[rows], np.cumsum(self.lengths[which]), self.lower[rows], self.alphabet)

    def named(self, which: NDArray[np.bool_]) -> str:
        """Some sequences by name, for messages."""
        found = [self.names[j] for j in np.flatnonzero(which)]
        return ", ".join(found[:MOST_NAMED]) + (f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else "")

    def frequencies(self, weight: Array | None = None) -> Array:
        """Share of each letter, (m,)."""
        rows = self.row_weight(weight)
        counts = np.bincount(self.codes + 1, rows, self.alphabet.size + 1)[1:].astype(float)
        return np.asarray(counts / counts.sum())


def read_texts(X: Any, alphabet: Any = "auto") -> Texts:
    """The sequences of ``X``; raises ValueError or TypeError naming the sequence and what is wrong with it.

    Parameters
    ----------
    X : list of str, list of integer arrays, list of SequenceRecord, dict, str or Path
        Strings in any case; codes 0, 1, ... with -1 for unknown; names and strings; or the path of a FASTA (or Stockholm) file.
    alphabet : as in ``alphabet_of``

    Examples
    --------
    >>> texts = read_texts(["GATTACA", "ggN"])
    >>> texts.codes.tolist(), texts.ends.tolist(), texts.alphabet.name
    ([2, 0, 3, 3, 0, 1, 0, 2, 2, -1], [7, 10], 'DNA')
    """
    if isinstance(X, Texts):
        return X
    names, parts = _named(X)
    if not parts:
        raise ValueError("X holds no sequence; give a list of strings or of integer arrays, or the path of a FASTA file")
    if all(isinstance(part, str) for part in parts):
        return _of_strings(names, [str(part) for part in parts], alphabet)
    if any(isinstance(part, str) for part in parts):
        for name, part in zip(names, parts, strict=True):
            if part is None or isinstance(part, float):
                raise TypeError(f"{name} is {part!r}, expected a string; leave missing sequences out")
        raise TypeError("X mixes strings and arrays; give sequences of one kind")
    return _of_codes(names, parts, alphabet)


def _named(X: Any) -> tuple[list[str], list[Any]]:
    """Names and sequences."""
    if isinstance(X, str | Path):
        records = records_of(X)
        return [r.name for r in records], [r.sequence for r in records]
    if isinstance(X, dict):
        return [str(name) for name in X], list(X.values())
    if hasattr(X, "columns"):
        raise TypeError(f"X is a table with the columns {list(X.columns)}; give its column of sequences")
    if not isinstance(X, Iterable):
        raise TypeError(f"X must be a list of strings or integer arrays, or the path of a FASTA file, got {type(X).__name__}")
    found = list(X)
    if found and all(isinstance(each, SequenceRecord) for each in found):
        return [r.name for r in found], [r.sequence for r in found]
    return [f"sequence {j}" for j in range(len(found))], found


def records_of(path: str | Path) -> list[SequenceRecord]:
    """The records of a FASTA file, or the rows of a Stockholm file (known by its ending)."""
    if not Path(path).is_file():
        told = str(path)
        likely = isinstance(path, str) and (told.isalpha() or len(told) > 20)
        hint = "check the path" + (", or give sequences of letters as a list of strings, [X] if it is one" if likely else "")
        raise ValueError(f"X={told[:60]!r} is no file; {hint}")
    if str(path).lower().endswith(STOCKHOLM):
        return list(read_stockholm(path).records)
    return read_fasta(path)


def _of_strings(names: list[str], parts: list[str], alphabet: Any) -> Texts:
    for name, part in zip(names, parts, strict=True):
        if not part:
            raise ValueError(f"{name} is empty; leave it out")
    known = alphabet_of(alphabet, parts)
    codes = [known.encode(part, name) for name, part in zip(names, parts, strict=True)]
    lower = [np.array([c.islower() for c in part], dtype=bool) for part in parts]
    ends = np.cumsum([len(each) for each in codes]).astype(np.int64)
    return _seen(Texts(tuple(names), np.concatenate(codes), ends, np.concatenate(lower), known))


def _of_codes(names: list[str], parts: list[Any], alphabet: Any) -> Texts:
    arrays = []
    for name, part in zip(names, parts, strict=True):
        array = np.asarray(part)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.dtype.kind in "US" and array.ndim == 1 and array.size:
            raise TypeError(f"{name} is several texts, {_few(part)}; give each sequence as one string, as in ''.join(x)")
        if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
            raise TypeError(
                f"{name} must be a string or an array of whole numbers (n,), got shape {array.shape} of {array.dtype}"
            )
        if (array < -1).any():
            raise ValueError(f"{name} holds the code {int(array.min())}; codes are 0, 1, ..., and -1 for an unknown letter")
        arrays.append(array.astype(np.int64))
    codes = np.concatenate(arrays)
    if isinstance(alphabet, str) and alphabet.lower() == "auto":
        size = max(int(codes.max()) + 1, 2)
        known = Alphabet("codes", tuple(str(i) for i in range(size)))
    else:
        known = alphabet_of(alphabet, [])
    if codes.max() >= known.size:
        raise ValueError(f"X holds the code {int(codes.max())}, but {known.name} has the codes 0 to {known.size - 1}")
    ends = np.cumsum([len(each) for each in arrays]).astype(np.int64)
    return _seen(Texts(tuple(names), codes, ends, np.zeros(len(codes), dtype=bool), known))


def _few(values: Any) -> str:
    told = [repr(str(v)) for v in list(values)[:4]]
    return ", ".join(told[:3]) + (", ..." if len(told) > 3 else "")


def _seen(texts: Texts) -> Texts:
    if not (texts.codes >= 0).any():
        raise ValueError("X holds no letter that is known; every one is an ambiguity code")
    return texts


def read_again(X: Any, alphabet: Alphabet) -> Texts:
    """Sequences for a fitted model, in its alphabet."""
    if isinstance(X, Texts):
        return X
    names, parts = _named(X)
    if parts and all(isinstance(part, str) for part in parts) and alphabet.name == "codes":
        raise TypeError("X holds strings, but the model was fitted to arrays of codes; give codes")
    return read_texts(dict(zip(names, parts, strict=True)) if len(set(names)) == len(names) else parts, alphabet)


def read_sequence_weight(sample_weight: Any, count: int) -> Array | None:
    """Frequencies of sequences (s,) >= 0; None stays None."""
    from estep.estimators.rows import read_weight

    if sample_weight is not None and np.shape(sample_weight) not in ((), (count,)):
        raise ValueError(f"sample_weight has shape {np.shape(sample_weight)}, expected ({count},): one weight a sequence")
    return read_weight(sample_weight, count)


def open_letters(texts: Texts, mask: Any, unknown: str) -> Array:
    """1 where a site may lie on a letter, 0 where a mask lies, (n,)."""
    open = np.ones(len(texts.codes))
    if isinstance(mask, str) and mask == "lower":
        open[texts.lower] = 0.0
    elif mask is not None:
        parts = [np.asarray(part) for part in mask]
        if len(parts) != texts.count or any(
            part.dtype != bool or part.shape != (size,) for part, size in zip(parts, texts.lengths, strict=True)
        ):
            raise ValueError("mask must be 'lower', or a list of boolean arrays (True: no site here), one for each sequence")
        open[np.concatenate(parts)] = 0.0
    if unknown not in ("missing", "forbid"):
        raise ValueError(f"unknown={unknown!r} is unknown; choose 'missing' (says nothing) or 'forbid' (no site there)")
    if unknown == "forbid":
        open[texts.codes < 0] = 0.0
    return open


def words_at(texts: Texts, row: NDArray[np.intp], strand: NDArray[np.intp], width: int) -> NDArray[np.int64]:
    """Codes (N, W) of the words that begin at ``row``; those on strand 1 are read there, in its own direction."""
    codes = np.asarray(texts.codes[row[:, None] + np.arange(width)])
    if (turned := strand == 1).any():
        codes[turned] = [texts.alphabet.reversed(word) for word in codes[turned]]
    return codes


def open_places(letters: Array, ends: NDArray[np.int64], width: int) -> Array:
    """Log of how open each place is: the least open of the letters of its window; -inf where none fits, (n,)."""
    from estep.models.motif import room

    least = letters.copy()
    for w in range(1, min(width, len(letters))):
        least[: len(letters) - w] = np.minimum(least[: len(letters) - w], letters[w:])
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(least) + room(ends, width))
