"""Sequences and alignments in text files: FASTA (in and out) and Stockholm (in).

FASTA      ``>name description`` and lines of letters, until the next ``>``; lines that begin with ``;`` are remarks
Stockholm  ``# STOCKHOLM 1.0``, lines ``name letters`` in one block or several, ``#=GC`` lines about columns, ``//``

Sources: Pearson & Lipman (1988), PNAS 85:2444; the Pfam consortium's description of the Stockholm format 1.0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class SequenceRecord:
    """A named sequence: ``name`` is the first word of the header, ``description`` the rest."""

    name: str
    sequence: str
    description: str = ""

    def __len__(self) -> int:
        return len(self.sequence)


@dataclasses.dataclass(frozen=True)
class StockholmAlignment:
    """Rows of equal length, and annotations of columns (``#=GC``) and of the file (``#=GF``) by their names."""

    records: tuple[SequenceRecord, ...]
    columns: Mapping[str, str]
    about: Mapping[str, str]


def read_fasta(path: str | Path) -> list[SequenceRecord]:
    r"""The sequences of a FASTA file, gaps included.

    Parameters
    ----------
    path : str or Path
        A text file; ``.gz`` is unpacked on the way.

    Raises
    ------
    ValueError
        Where the file is empty, begins without a header, or a header has no letters or no name; the text says in which line.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "two.fasta"
    >>> _ = file.write_text(">a first one\nACG\nTT\n>b\nGGA\n")
    >>> [(r.name, r.sequence) for r in read_fasta(file)]
    [('a', 'ACGTT'), ('b', 'GGA')]
    """
    found: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(_lines(path), 1):
        if line.startswith(">"):
            found.append((number, line[1:].strip(), []))
        elif line and not line.startswith(";"):
            if not found:
                raise ValueError(f"{path}, line {number}: letters before the first header; FASTA begins with '>name'")
            found[-1][2].append("".join(line.split()))
    if not found:
        raise ValueError(f"{path}: no sequence in it; FASTA has a line '>name' and lines of letters")
    return [_record(path, *entry) for entry in found]


def _record(path: str | Path, number: int, header: str, parts: list[str]) -> SequenceRecord:
    name, _, description = header.partition(" ")
    if not name:
        raise ValueError(f"{path}, line {number}: the header has no name; write '>name'")
    sequence = "".join(parts)
    if not sequence:
        raise ValueError(f"{path}, line {number}: {name!r} has no letters; leave the header out")
    return SequenceRecord(name, sequence, description.strip())


def write_fasta(path: str | Path, records: Iterable[Any], width: int = 60) -> None:
    """Write records (or pairs of name and sequence) as FASTA, ``width`` letters a line; the file is whole or not there."""
    from estep.core.files import write_whole

    lines: list[str] = []
    for entry in records:
        record = entry if isinstance(entry, SequenceRecord) else SequenceRecord(*map(str, entry))
        if not record.name or any(c.isspace() for c in record.name):
            raise ValueError(f"a FASTA name is one word, got {record.name!r}")
        lines.append(f">{record.name} {record.description}".rstrip())
        lines += [record.sequence[i : i + width] for i in range(0, len(record.sequence), width)]
    write_whole(path, ("\n".join(lines) + "\n").encode())


def read_stockholm(path: str | Path) -> StockholmAlignment:
    """The first alignment of a Stockholm file.

    Raises
    ------
    ValueError
        Where the first line is not that of Stockholm, the end ``//`` is missing, or rows differ in length; naming the row.
    """
    lines = list(_lines(path))
    if not lines or not lines[0].startswith("# STOCKHOLM 1."):
        raise ValueError(f"{path}, line 1: expected '# STOCKHOLM 1.0'; is this FASTA? (read_fasta)")
    rows: dict[str, list[str]] = {}
    columns: dict[str, list[str]] = {}
    about: dict[str, list[str]] = {}
    for number, line in enumerate(lines[1:], 2):
        if line.strip() == "//":
            return _alignment(path, rows, columns, about)
        if line.startswith("#=GC"):
            name, text = _two(path, number, line[4:])
            columns.setdefault(name, []).append(text)
        elif line.startswith("#=GF"):
            name, text = _two(path, number, line[4:])
            about.setdefault(name, []).append(text)
        elif line.strip() and not line.startswith("#"):
            name, text = _two(path, number, line)
            rows.setdefault(name, []).append("".join(text.split()))
    raise ValueError(f"{path}: the alignment has no end; a Stockholm file ends with '//'")


def _two(path: str | Path, number: int, line: str) -> tuple[str, str]:
    parts = line.split(None, 1)
    if len(parts) != 2:
        raise ValueError(f"{path}, line {number}: expected a name and letters, found {line.strip()!r}")
    return parts[0], parts[1].strip()


def _alignment(path: str | Path, rows: dict[str, list[str]], columns: Any, about: Any) -> StockholmAlignment:
    if not rows:
        raise ValueError(f"{path}: the alignment has no rows")
    records = tuple(SequenceRecord(name, "".join(parts)) for name, parts in rows.items())
    for record in records:
        if len(record) != len(records[0]):
            raise ValueError(
                f"{path}: row {record.name!r} has {len(record)} columns and {records[0].name!r} {len(records[0])}; rows of an "
                "alignment are equally long"
            )
    joined = {name: "".join(parts) for name, parts in columns.items()}
    return StockholmAlignment(records, joined, {name: "\n".join(parts) for name, parts in about.items()})


def _lines(path: str | Path) -> Iterator[str]:
    import gzip

    opened: Any = gzip.open if str(path).endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield line.rstrip("\r\n")
    except (UnicodeDecodeError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: not a text file ({error})") from None
