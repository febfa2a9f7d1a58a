"""The page about the command line shows what the commands print."""

from __future__ import annotations

import doctest
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "command_line.md"
BLOCK = re.compile(r"^```console\n\$ estep (.*)\n((?:.*\n)*?)```$", re.MULTILINE)


def agrees(shown: str, printed: str) -> bool:
    """Whether the page shows what was printed; an ellipsis stands for anything."""
    return doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS)


def test_the_page_shows_what_is_printed(here: Path, run: Callable[..., Any]) -> None:
    examples = BLOCK.findall(PAGE.read_text("utf-8"))
    assert len(examples) == 6
    for line, shown in examples:
        command, *rest = shlex.split(line)
        done = run(command, *rest)
        printed = done.err if done.code == 2 else done.out
        assert agrees(shown, printed), f"$ estep {line}\n{printed}"


def test_a_page_that_is_wrong_is_noticed() -> None:
    assert agrees("a\n...\nc\n", "a\nb\nb\nc\n")
    assert not agrees("a\n...\nc\n", "a\nb\nd\n")
