"""``estep demo``: what fit does, on the eruptions of the Old Faithful geyser."""

from __future__ import annotations

from importlib import resources
from typing import Any

from estep.cli.words import Voice


def run(options: Any, voice: Voice) -> int:
    """The command; gives its exit code."""
    from estep.cli import fit
    from estep.cli.main import build_parser

    with resources.as_file(resources.files("estep.data.sets") / "faithful.csv") as path:
        given = ["fit", str(path), "--components", "1:9", "--covariance", "all"]
        given += ["--out", options.out] if options.out else []
        given += ["--force"] if options.force else []
        shown = " ".join(["estep", "fit", "faithful.csv", *given[2:]])
        voice.say(
            f"272 eruptions of the Old Faithful geyser: how long they last, and how long one waits for the next.\n$ {shown}\n"
        )
        chosen = build_parser().parse_args(given)
        chosen.arguments = given
        return fit.run(chosen, voice)
