"""``estep fit``: read, choose, fit, write, say."""

from __future__ import annotations

import importlib.util
import shlex
import time
from pathlib import Path
from typing import Any

from estep.cli.checkpoint import Checkpoint, checkpoint_of, resume_command
from estep.cli.choosing import Plan, described, fitted, model_name, plan, table_of
from estep.cli.engine import rows_on
from estep.cli.models import kind_of, reads_texts
from estep.cli.progress import Progress
from estep.cli.reading import Given, in_memory, read, warnings_as_notes
from estep.cli.words import INTERRUPTED, OK, UNFINISHED, Voice
from estep.cli.writing import free_places, write_assignments
from estep.data.dask_plane import ClusterLost

MOST_REPLAYED = 20_000
MODEL, ASSIGNMENTS, REPORT = "model.safetensors", "assignments.parquet", "report.html"
SUMMED_UP = 2_000_000
FINE_PRINT = "nothing was written; --out DIR keeps the model, the classes of the rows and a report"


def run(options: Any, voice: Voice) -> int:
    """The command; gives its exit code."""
    began = time.monotonic()
    name = model_name(options)
    if options.out:
        free_places(Path(options.out), [MODEL, ASSIGNMENTS, *([REPORT] if reports() else [])], options.force)
    with warnings_as_notes(voice):
        given = read(options, voice, texts=reads_texts(name, options)).for_model(kind_of(name).sequential)
        given = in_memory(given) if options.formula else given
        given.note_whole(voice)
        todo = plan(name, options, given, voice)
        progress = Progress(todo.fits, shown=not voice.quiet)
        checkpoint = checkpoint_of(options, given.data, progress, voice)
        todo.estimator._ledger = checkpoint.ledger
        try:
            with rows_on(given.data, options, voice) as rows:
                estimator, selection = fitted(todo, options, given.read_from(rows))
        except (KeyboardInterrupt, ClusterLost) as end:
            progress.close()
            return _cut_off(options, checkpoint, voice, str(end) or "interrupted")
        progress.close()
        written = _write(estimator, selection, given, options, voice) if options.out else {}
        checkpoint.remove()
        _tell(estimator, selection, given, voice)
    for what, path in written.items():
        voice.out(f"{what:12} {path}")
    if not options.out:
        voice.say(FINE_PRINT)
    voice.document(_content(todo, estimator, selection, given, written, time.monotonic() - began))
    return OK if estimator.converged_ else UNFINISHED


def reports() -> bool:
    """Whether what a report needs is installed."""
    return all(importlib.util.find_spec(package) is not None for package in ("matplotlib", "jinja2"))


def _cut_off(options: Any, checkpoint: Checkpoint, voice: Voice, why: str) -> int:
    """Keep what was done, and say how to go on."""
    checkpoint.write()
    command = resume_command(options.arguments, checkpoint.path)
    voice.say("")
    voice.document({"command": "fit", "error": why, "checkpoint": str(checkpoint.path), "resume": command})
    return voice.ended(f"{why}; what was done is kept in {checkpoint.path}. To go on:\n  {command}", INTERRUPTED)


def _write(estimator: Any, selection: Any, given: Given, options: Any, voice: Voice) -> dict[str, str]:
    """Write the model, the classes of the rows, and the report."""
    folder = Path(options.out)
    written: dict[str, str] = {}
    if options.formula:
        voice.note("no model file: a fit by a formula cannot be kept in one")
    else:
        estimator.save(folder / MODEL)
        written["model"] = str(folder / MODEL)
    write_assignments(estimator, given, folder / ASSIGNMENTS)
    written["assignments"] = str(folder / ASSIGNMENTS)
    if not reports():
        voice.note("no report: it needs matplotlib and jinja2 (pip install 'estep[report]')")
        return written
    from estep.views.report import write_report

    command = shlex.join(["estep", *options.arguments])
    told = {"command": command, "selection": selection, "names": given.data.table.title}
    write_report(folder / REPORT, estimator, given.plain, frames=_frames(estimator, given, options), **given.row, **told)
    written["report"] = str(folder / REPORT)
    return written


def _frames(estimator: Any, given: Given, options: Any) -> Any:
    """The run pass by pass, where it can be replayed on the rows alone and they are few enough to draw."""
    plain = not (options.weights or options.labels or options.formula) and not given.row
    if not plain or given.data.n_rows > MOST_REPLAYED or not hasattr(estimator, "animate"):
        return None
    from estep.estimators.pictures import frames
    from estep.views.values import numeric_columns

    return frames(estimator, given.X) if numeric_columns(estimator) else None


def _tell(estimator: Any, selection: Any, given: Given, voice: Voice) -> None:
    if voice.json:
        return
    if selection is not None:
        voice.out(f"{selection}\n")
    if not hasattr(estimator, "summary"):
        ended = f"inertia {estimator.inertia_:.6g}, {estimator.result_.message}"
        voice.out(f"{type(estimator).__name__}, {estimator.n_clusters} clusters: {ended}\n")
        return
    whole = given.data.n_rows <= SUMMED_UP and given.data.labels is None and given.data.weights is None
    voice.out(estimator.summary(given.X, **given.row) if whole else estimator.summary())
    voice.out("")


def _content(
    todo: Plan, estimator: Any, selection: Any, given: Given, written: dict[str, str], seconds: float
) -> dict[str, Any]:
    return {
        "command": "fit",
        "model": todo.name,
        "rows": given.data.n_rows,
        "left_out": list(given.left_out),
        "result": described(estimator),
        "criterion": None if selection is None else selection.criterion,
        "selection": None if selection is None else table_of(selection),
        "files": written,
        "seconds": round(seconds, 3),
    }
