"""Docstrings hold formulas in plain text; this makes Sphinx show them as they were written.

In reStructuredText ``means_`` would be a link, ``|S|`` a substitution and ``a * b * c`` an emphasis. Up to the first
numpydoc section, words between double backticks stay code, examples stay examples, an indented block becomes a literal
block, and every other sign stands for itself.
"""

from __future__ import annotations

import re

CODE = re.compile(r"(``.+?``|`[^`]+?`_{0,2}|:\w+:`[^`]+`)")
SIGNS = re.compile(r"([\\*|]|(?<=\w)_(?=\W|$))")
UNDERLINE = re.compile(r"-{3,}\s*$")


def escape(line: str) -> str:
    """Take the meaning from signs outside code: ``means_`` and ``|S|`` are text."""
    parts = CODE.split(line)
    return "".join(part if i % 2 else SIGNS.sub(r"\\\1", part) for i, part in enumerate(parts))


def free_text_ends(lines: list[str]) -> int:
    """Index of the first numpydoc section title, or the number of lines."""
    titles = (i for i in range(len(lines) - 1) if lines[i].strip() and UNDERLINE.match(lines[i + 1]))
    return next(titles, len(lines))


def plain(lines: list[str]) -> list[str]:
    """Free text with its indented blocks literal and its signs escaped."""
    result: list[str] = []
    literal = example = False
    for line in lines:
        blank, indented = not line.strip(), line.startswith((" ", "\t"))
        example = not blank and (example or line.lstrip().startswith(">>>"))
        if not blank and indented and not literal and not example:
            result += ["", "::", ""]
        if not blank:
            literal = indented and not example
        result.append(line if blank or literal or example else escape(line))
    return result


def as_written(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Sphinx hook: rewrite the lines of one docstring in place."""
    end = free_text_ends(lines)
    lines[:] = plain(lines[:end]) + [""] * (0 < end < len(lines)) + lines[end:]
