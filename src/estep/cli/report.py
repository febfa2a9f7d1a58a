"""``estep report``: the page about a model that fit wrote."""

from __future__ import annotations

import shlex
from typing import Any

from estep.cli.fit import reports
from estep.cli.predict import columns_of, load_model, with_model
from estep.cli.reading import read, warnings_as_notes
from estep.cli.words import OK, Voice
from estep.cli.writing import free_file


def run(options: Any, voice: Voice) -> int:
    """The command; gives its exit code."""
    if not reports():
        raise ImportError("a report needs matplotlib and jinja2, which are not both installed: pip install 'estep[report]'")
    from estep.views.report import write_report

    target = free_file(options.out, options.force)
    with warnings_as_notes(voice):
        estimator = load_model(options.model)
        given = with_model(estimator, read(options, voice, texts=True, columns=columns_of(estimator)))
        given = given.for_model(hasattr(estimator, "decode"))
        given.note_whole(voice)
        command = shlex.join(["estep", *options.arguments])
        write_report(target, estimator, given.plain, command=command, names=given.data.table.title, **given.row)
    voice.out(f"report       {target}")
    voice.document({"command": "report", "file": str(target)})
    return OK
