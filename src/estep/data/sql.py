"""Words between us and DuckDB: names and texts quoted, its errors in one sentence, nearest names."""

from __future__ import annotations

import codecs
import contextlib
import difflib
import importlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

ARROW_FILE = "estep file"


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def nearest(name: Any, names: Sequence[Any]) -> str:
    """Words about the names that come closest, or all of them where none does."""
    name, names = str(name), list(map(str, names))
    near = difflib.get_close_matches(name, names, n=3) or [n for n in names if n.lower() == name.lower()]
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"it has {', '.join(map(repr, names[:12]))}{' ...' if len(names) > 12 else ''}"


def imported(name: str) -> Any:
    """An optional package, or an ImportError that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError(f"reading files needs {name}, which is not installed: pip install 'estep[data]'") from None


@contextlib.contextmanager
def said(title: str, files: Sequence[str] | None = None) -> Iterator[None]:
    """DuckDB's errors as ValueErrors in one sentence that begins with what was read."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        text = str(error)
        if files and "unicode" in text and (where := _first_undecodable(files)) is not None:
            file, line, byte = where
            title = title if len(files) == 1 else os.path.basename(file)
            raise ValueError(
                f"{title} is not in UTF-8: line {line} holds the byte 0x{byte:02x}; "
                "name its encoding, such as latin-1 (--encoding latin-1)"
            ) from None
        if ARROW_FILE in text:
            raise ValueError(f"{title}: damaged, or compressed, which needs pyarrow to be read: pip install pyarrow") from None
        raise ValueError(f"{_faulty(text, files) or title}: {one_line(text)}") from None


def _first_undecodable(files: Sequence[str]) -> tuple[str, int, int] | None:
    for file in files:
        if os.path.isfile(file) and (where := undecodable(file)) is not None:
            return (file, *where)
    return None


def _faulty(text: str, files: Sequence[str] | None) -> str | None:
    """The one of several files that a message is about."""
    named = [file for file in files or () if re.search(rf"^\s*file ?= ?{re.escape(file)}$", text, re.MULTILINE)]
    return os.path.basename(named[0]) if len(named) == 1 and len(files or ()) > 1 else None


def one_line(text: str) -> str:
    """The heart of DuckDB's message on one line: up to the settings, hints and marked SQL that follow it."""
    kept: list[str] = []
    if (inner := re.search(r'"exception_message":"((?:[^"\\]|\\.)*)"', text)) is not None:
        text = inner[1].replace('\\"', "'")
    for line in text.splitlines():
        if line.strip().startswith(("file = ", "Possible", "Potential", "The search space", "delimiter =", "LINE ")):
            break
        kept.append(line.strip())
    return " ".join(word for word in " ".join(kept).split())


def undecodable(path: str) -> tuple[int, int] | None:
    """Line (from 1) and value of the first byte that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = 1
    with open(path, "rb") as file:
        for line in file:
            try:
                decoder.decode(line)
            except UnicodeDecodeError as error:
                return lines, error.object[error.start]
            lines += 1
    return None
