"""``estep predict``: the classes of rows under a model that fit wrote, block by block."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from estep.cli.reading import Given, read, warnings_as_notes
from estep.cli.words import OK, Voice
from estep.cli.writing import free_file, write_assignments


def run(options: Any, voice: Voice) -> int:
    """The command; gives its exit code."""
    target = free_file(options.out, options.force) if options.out else None
    with warnings_as_notes(voice):
        estimator = load_model(options.model)
        given = with_model(estimator, read(options, voice, texts=True, columns=columns_of(estimator)))
        given = given.for_model(hasattr(estimator, "decode"))
        given.note_whole(voice)
        if target is not None:
            sizes = write_assignments(estimator, given, target)
        else:
            sizes = _printed(estimator, given, voice)
    content = {"command": "predict", "rows": given.data.n_rows, "class_sizes": sizes, "file": options.out}
    voice.document(content)
    if target is not None:
        voice.out(f"{given.data.n_rows} rows, in classes of {', '.join(map(str, sizes.tolist()))}\nassignments  {target}")
    return OK


def _printed(estimator: Any, given: Given, voice: Voice) -> Any:
    with tempfile.TemporaryDirectory(prefix="estep-") as folder:
        part = Path(folder) / "assignments.csv"
        sizes = write_assignments(estimator, given, part)
        if not voice.json:
            with open(part, encoding="utf-8", newline="") as rows:
                shutil.copyfileobj(rows, sys.stdout)
    return sizes


def load_model(path: str) -> Any:
    """The model in the file; raises ValueError where there is none."""
    from estep.estimators.files import load

    if not Path(path).is_file():
        raise ValueError(f"there is no file {path}; a model is the model.safetensors that estep fit --out DIR writes")
    return load(path)


def columns_of(estimator: Any) -> tuple[str, ...] | None:
    """The columns that the model was fitted to, where it knows their names."""
    known = getattr(estimator, "feature_names_in_", None)
    return None if known is None else tuple(map(str, known))


def with_model(estimator: Any, given: Given) -> Given:
    """The rows, with columns of categories coded as in the fit."""
    names = columns_of(estimator)
    levels = getattr(estimator, "levels_", None)
    if names is None or levels is None:
        return given
    known = {name: tuple(v.tolist()) for name, v in zip(names, levels, strict=True) if v is not None}
    return dataclasses.replace(given, data=dataclasses.replace(given.data, columns=names, exclude=(), levels=known))
