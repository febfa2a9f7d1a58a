"""How the command line speaks: results on stdout, all else on stderr; one line for an error; JSON without NaN."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Mapping
from typing import Any

OK, BAD, UNFINISHED, INTERRUPTED = 0, 2, 3, 130


@dataclasses.dataclass(frozen=True)
class Voice:
    """Where words go. With ``json`` stdout holds one document and nothing else."""

    quiet: bool = False
    json: bool = False
    notes: list[str] = dataclasses.field(default_factory=list)

    def note(self, text: str) -> None:
        """Something the user should know, on stderr; kept for the document."""
        self.notes.append(text)
        if not self.quiet:
            self._err(f"note: {text}")

    def say(self, text: str) -> None:
        """Something to read while waiting, on stderr."""
        if not self.quiet:
            self._err(text)

    def out(self, text: str) -> None:
        """A result to read; nothing where the result is a document."""
        if not self.json:
            sys.stdout.write(text + "\n")

    def document(self, content: Mapping[str, Any]) -> None:
        """The result as a document, where one was asked for."""
        if self.json:
            whole = {**content, "notes": self.notes}
            sys.stdout.write(json.dumps(plain(whole), indent=1, allow_nan=False, ensure_ascii=False) + "\n")

    def ended(self, text: str, code: int) -> int:
        """Words that are shown whatever was asked for; gives the exit code."""
        self._err(text)
        return code

    def failed(self, text: str, code: int) -> int:
        """One line about what went wrong; gives the exit code."""
        self._err(f"{'error: ' if code == BAD else ''}{' '.join(text.split())}")
        self.document({"error": text, "exit_code": code})
        return code

    def _err(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def plain(value: Any) -> Any:
    """A value as JSON knows it: arrays as lists, NaN and infinities as null."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)


def names(text: str) -> tuple[str, ...]:
    """Names parted by commas; a comma within a name has a backslash before it."""
    parts = [part.replace("\0", ",").strip() for part in text.replace("\\,", "\0").split(",")]
    if not all(parts):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty name; part names by single commas")
    return tuple(parts)


def counts(text: str) -> tuple[int, ...]:
    """Numbers of components: 3, or 1:9 (both ends), or 2,4,6.

    >>> counts("1:3"), counts("2,4")
    ((1, 2, 3), (2, 4))
    """
    try:
        ends = [int(part) for part in text.split(":")]
        found = tuple(range(ends[0], ends[1] + 1)) if len(ends) == 2 else ()
    except ValueError:
        found = ()
    if not found:
        try:
            found = tuple(int(part) for part in text.split(","))
        except ValueError:
            found = ()
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of components; write 3, or 1:9, or 2,4,6 (from 1 up)")
    return found
