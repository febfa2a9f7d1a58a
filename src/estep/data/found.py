"""Which files a path stands for: one, those of a pattern or a folder, or something far away that DuckDB reaches by itself."""

from __future__ import annotations

import dataclasses
import difflib
import glob
import os
from collections.abc import Sequence

KINDS = "CSV (.csv .tsv .txt), Parquet (.parquet), Arrow (.arrow .feather), JSON lines (.jsonl) and DuckDB databases (.duckdb)"
ZIPPED = ("csv", "tsv", "txt", "json", "jsonl", "ndjson")


def files_at(path: str, known: Sequence[str]) -> list[str]:
    """The files, sorted; ``known`` are the endings that can be read. Raises ValueError naming what there is instead."""
    if os.path.isfile(path) or is_far(path):
        return [path]
    if os.path.isdir(path):
        return _in_folder(path, known)
    if found := sorted(file for file in glob.glob(path, recursive=True) if os.path.isfile(file)):
        return found
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ValueError(f"there is no file {path}: there is no folder {folder}")
    names = [name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name))]
    stems = {name.split(".")[0]: name for name in names}
    near = [stems[stem] for stem in difflib.get_close_matches(os.path.basename(path).split(".")[0], stems, n=3)]
    near = near or [name for name in sorted(names) if suffix_of(name) in known][:3]
    if any(sign in path for sign in "*?["):
        raise ValueError(f"no file has a name like {path} (quote the pattern, so that the shell leaves it alone)")
    hint = f"; did you mean {' or '.join(os.path.join(os.path.dirname(path), name) for name in near)}?" if near else ""
    raise ValueError(f"there is no file {path}{hint}")


def _in_folder(path: str, known: Sequence[str]) -> list[str]:
    """The files of one kind in a folder and the folders in it; names that begin with a dot or underscore are left out."""
    found = sorted(
        os.path.join(folder, name)
        for folder, folders, names in os.walk(path)
        if not _hidden(os.path.relpath(folder, path))
        for name in names
        if not name.startswith((".", "_")) and suffix_of(name) in known
    )
    kinds = sorted({suffix_of(file) for file in found})
    if len(kinds) == 1:
        return found
    if kinds:
        raise ValueError(f"{path} holds files of several kinds ({', '.join(kinds)}); name one of them with a pattern")
    raise ValueError(f"{path} is a folder without any file that can be read; estep reads {KINDS}")


def _hidden(relative: str) -> bool:
    return any(part.startswith((".", "_")) for part in relative.split(os.sep) if part != ".")


def folder_columns(files: Sequence[str]) -> list[dict[str, str]]:
    """What the folders ``key=value`` above each file stand for, where all files have the same keys.

    >>> folder_columns(["in/year=1/a.arrow", "in/year=2/a.arrow"])
    [{'year': '1'}, {'year': '2'}]
    """
    found = [dict(part.split("=", 1) for part in file.split("/")[:-1] if "=" in part) for file in files]
    return found if all(columns.keys() == found[0].keys() for columns in found) else [{} for _ in files]


def is_far(path: str) -> bool:
    """Whether a path names something on another machine: ``s3://``, ``https://`` and the like."""
    return "://" in path


def refuse_unreadable(files: Sequence[str]) -> None:
    """Raise ValueError on a file that is empty or may not be read."""
    for file in files:
        if is_far(file):
            continue
        if os.path.getsize(file) == 0:
            raise ValueError(f"{file} is empty (0 bytes)")
        if not os.access(file, os.R_OK):
            raise ValueError(f"{file} may not be read: permission denied")


@dataclasses.dataclass(frozen=True)
class Stamp:
    """A file as it was when it was opened: bytes and time of the last change (nanoseconds)."""

    path: str
    size: int
    changed: int


def stamped(files: Sequence[str]) -> tuple[Stamp, ...]:
    """The files as they are now; those far away are left out."""
    near = [(file, os.stat(file)) for file in files if not is_far(file)]
    return tuple(Stamp(os.path.abspath(file), found.st_size, found.st_mtime_ns) for file, found in near)


def refuse_changed(files: Sequence[Stamp]) -> None:
    """Raise ValueError where a file is gone, or is not what it was when it was opened."""
    for file in files:
        try:
            now = os.stat(file.path)
        except FileNotFoundError:
            raise ValueError(
                f"{file.path} has gone since it was opened, so its rows cannot be read again; put it back, and begin again"
            ) from None
        if (now.st_size, now.st_mtime_ns) != (file.size, file.changed):
            raise ValueError(
                f"{file.path} was changed since it was opened ({file.size} bytes then, {now.st_size} now), so passes would not "
                "see the same rows; begin again, and let nobody write to it meanwhile"
            )


def suffix_of(path: str) -> str:
    """How a name ends, without the ending of a compressed text.

    >>> suffix_of("s3://bucket/day=1/rows.csv.gz"), suffix_of("rows.parquet"), suffix_of("rows")
    ('.csv', '.parquet', '')
    """
    parts = os.path.basename(path).lower().split(".")
    if len(parts) > 2 and parts[-1] in ("gz", "zst") and parts[-2] in ZIPPED:
        return f".{parts[-2]}"
    return f".{parts[-1]}" if len(parts) > 1 else ""
