"""Rows kept on disk for the passes after the first: float64 arrays in files without a name, mapped into memory.

A file loses its name before anything is written to it, so whatever happens (an error, a kill) its space is free again once
nobody maps it. Pages of a map belong to the disk's cache and not to the process: anonymous memory stays bounded.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np

from estep.core.record import Array

SHARE = 0.8


class NoRoom(Exception):
    """The disk, or the budget, does not hold the rows; the text says which."""


def spool_folder(folder: str | os.PathLike[str] | None) -> str:
    """Where temporary rows go: ``folder``, or TMPDIR where it is set, or the system's place for large temporary files."""
    if folder is not None:
        return os.fspath(folder)
    large = os.path.join(os.sep, "var", "tmp")
    named = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    return large if not named and os.access(large, os.W_OK) else tempfile.gettempdir()


def sunk(frame: Any) -> str:
    """The rows of a polars LazyFrame, streamed to a Parquet file of their own; whoever asked removes it."""
    handle, path = tempfile.mkstemp(suffix=".parquet", dir=spool_folder(None), prefix="estep-")
    os.close(handle)
    try:
        frame.sink_parquet(path)
    except BaseException:
        removed(path)
        raise
    return path


def removed(path: str) -> None:
    """Remove a file, if it is there still."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def spooled(blocks: Iterable[tuple[Array, ...]], folder: str, budget: int | None) -> tuple[Array, ...]:
    """Blocks of rows, written one after the other and mapped as whole arrays: (m, ...) each -> (n, ...).

    Raises
    ------
    NoRoom
        When they would take more than ``budget`` bytes (None: 80% of what is free in ``folder``), or the disk is full.
    """
    with contextlib.ExitStack() as stack:
        if not os.path.isdir(folder):
            raise ValueError(f"there is no folder {folder} to keep rows in; make it, or name another (folder=, TMPDIR)")
        room = int(SHARE * shutil.disk_usage(folder).free) if budget is None else budget
        files: list[IO[bytes]] = []
        shapes: list[tuple[int, ...]] = []
        used = rows = 0
        for block in blocks:
            if not files:
                with _no_room_on_error():
                    files = [stack.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0)) for _ in block]
                shapes = [part.shape[1:] for part in block]
            used, rows = used + sum(part.nbytes for part in block), rows + len(block[0])
            if used > room:
                whose = "what is free there" if budget is None else "the budget"
                raise NoRoom(f"they take more than {room / 1e6:.0f} MB, {whose}")
            with _no_room_on_error():
                for file, part in zip(files, block, strict=True):
                    _write(file, part)
        return tuple(_mapped(file, (rows, *shape)) for file, shape in zip(files, shapes, strict=True))


@contextlib.contextmanager
def _no_room_on_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NoRoom(f"writing failed: {error.strerror or error}") from None


def _write(file: IO[bytes], part: Array) -> None:
    left: Any = np.ascontiguousarray(part, dtype=np.float64).reshape(-1).view(np.uint8)
    left = memoryview(left)
    while left:
        left = left[file.write(left) :]


def _mapped(file: IO[bytes], shape: tuple[int, ...]) -> Array:
    if 0 in shape:
        return np.empty(shape)
    # Private, so that kernels meet the very type of array that they meet in memory; nobody writes to it.
    whole: Any = np.memmap(file, dtype=np.float64, mode="c", shape=shape)
    if hasattr(mmap, "MADV_SEQUENTIAL"):
        whole._mmap.madvise(mmap.MADV_SEQUENTIAL)  # passes run from the first row to the last: read far ahead
    return np.asarray(whole)
