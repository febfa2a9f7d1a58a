"""What a command leaves behind: files that are there whole or not at all, and never replace others unasked."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.cli.reading import Given
from estep.core.record import Array
from estep.data.spool import spool_folder
from estep.data.sql import literal, quoted, said

SMALL = 1 << 26
FORMATS = {
    ".parquet": "FORMAT parquet, COMPRESSION zstd",
    ".csv": "FORMAT csv, HEADER true",
    ".jsonl": "FORMAT json",
    ".ndjson": "FORMAT json",
}


def free_places(folder: Path, names: Sequence[str], force: bool) -> None:
    """Raise ValueError where a file could not be written, or is there already; makes the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"nothing can be written to {folder}: {error.strerror or error}; choose another place with --out"
        ) from None
    there = [name for name in names if (folder / name).exists()]
    if there and not force:
        raise ValueError(f"{folder / there[0]} is there already; choose another place with --out, or replace it with --force")


def free_file(path: str, force: bool) -> Path:
    """The path of one file to write, checked as ``free_places`` does."""
    target = Path(path)
    free_places(target.parent, [target.name], force)
    return target


def write_assignments(estimator: Any, given: Given, path: Path) -> NDArray[np.intp]:
    """Write class, probabilities and uncertainty of every row, block by block; gives the number of rows in each class.

    The columns: the row's name (or its number from 1), ``class`` (-1 is noise), ``class_name`` where classes have names,
    ``p_0``, ``p_1`` ... (``p_noise``), and ``uncertainty``, one minus the largest probability. A model without
    probabilities has the class alone.
    """
    classes, resp = explained(estimator, given)
    k, noisy = len(resp), getattr(estimator, "noise", False) is not False
    sizes = np.bincount(classes, minlength=k)
    found: dict[str, Any] = {"class": np.where(classes == k - 1, -1, classes) if noisy else classes}
    if hasattr(estimator, "predict_proba"):
        names = [f"p_{j}" for j in range(k - noisy)] + ["p_noise"] * noisy
        found |= dict(zip(names, resp, strict=True)) | {"uncertainty": 1.0 - resp.max(axis=0)}
    from estep.views.words import answers_are_classes

    classes_of = None if answers_are_classes(estimator.result_) else getattr(estimator, "classes_", None)
    copy_beside(given, found, classes_of, path)
    return sizes


def explained(estimator: Any, given: Given) -> tuple[Any, Array]:
    """Most probable class (n,) and probabilities (k, n) of every row; in files without a name where they are large."""
    from estep.estimators.rows import Arguments, Target
    from estep.estimators.seam import read

    model, params = estimator.result_.model, estimator.result_.params
    named = model.k - int(getattr(estimator, "noise", False) is not False)
    weight = None if given.sequential else 1.0
    arguments = Arguments(given.X, sample_weight=weight, **given.row)
    rows = read(estimator, arguments, Target(model.family, model.k, named), reset=False)
    classes = room((rows.n,), np.int64)
    resp = room((model.k, rows.n), np.float64)

    def keep(chunk: Any, part: Any) -> None:
        classes[chunk.rows] = part.path
        resp[:, chunk.rows] = part.resp.T

    rows.data(estimator.n_jobs).map(lambda chunk: model.explain(params, chunk), keep)
    return (classes, resp) if rows.place is None else (classes[rows.place], resp[:, rows.place])


def room(shape: tuple[int, ...], dtype: Any) -> Any:
    """An empty array; a large one lies in a file without a name, whose space is reserved before anything is written."""
    size = int(np.prod(shape)) * 8
    if size <= SMALL:
        return np.empty(shape, dtype)
    folder = spool_folder(None)
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype=dtype, mode="w+", shape=shape)
        except OSError as error:
            raise ValueError(
                f"{size / 1e6:.0f} MB of results do not fit in {folder}: {error.strerror}; set TMPDIR to another folder"
            ) from None


def copy_beside(given: Given, found: dict[str, Any], classes: Any, path: Path) -> None:
    """Write the columns ``found`` beside the names of the rows."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"{path}: files ending in {suffix or 'nothing'} cannot be written; choose one of {', '.join(FORMATS)}")
    table, ids = given.data.table, given.data.ids
    cursor = table.cursor()
    cursor.register("estep results", found)
    shown = [quoted(name) for name in found]
    if classes is not None:
        shown.insert(1, f'list_extract([{", ".join(literal(str(c)) for c in classes)}], "class" + 1) AS class_name')
    names = ", ".join(quoted(name) for name in (ids, given.time) if name is not None)
    name = names or 'row_number() OVER () AS "row"'
    beside = f" POSITIONAL JOIN (SELECT {names} FROM {table.whole})" if names else ""
    rows = f'SELECT {name}, {", ".join(shown)} FROM "estep results"{beside}'
    with put_in_place(path) as part:
        try:
            with said(path.name):
                cursor.execute(f"COPY ({rows}) TO {literal(str(part))} ({FORMATS[suffix]})")
        except ValueError as error:
            raise ValueError(f"{path} could not be written: {str(error).rpartition(': ')[2]}") from None
    cursor.unregister("estep results")
    cursor.close()


@contextlib.contextmanager
def put_in_place(path: Path) -> Iterator[Path]:
    """A place to write to, which becomes ``path`` once all is written and on the disk; nothing is left of a failure."""
    part = path.with_name(f".{secrets.token_hex(8)}.{path.name}")
    try:
        yield part
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise
