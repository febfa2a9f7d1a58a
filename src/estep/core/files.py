"""Our files: safetensors with a versioned header of strings. Data, never code; written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

VERSION = 1


def write_arrays(path: str | Path, kind: str, arrays: Mapping[str, Any], header: Mapping[str, str]) -> None:
    """Write arrays and a header of strings to ``path``: to a temporary file beside it, fsync, rename."""
    from safetensors.numpy import save

    tensors = {name: np.array(value, order="C", ndmin=0) for name, value in arrays.items()}
    metadata = {"estep": kind, "version": str(VERSION), **header}
    payload = save(tensors, metadata=metadata)
    write_whole(path, payload)


def write_whole(path: str | Path, payload: bytes) -> None:
    """Replace ``path`` by ``payload`` in one step; on any failure the old file stays as it was."""
    target = _file_at(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent}; make it first, to write '{target}'")
    name = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(target)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def read_arrays(path: str | Path, kind: str) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, str]]:
    """Arrays and header of one of our files; raises ValueError when it is not one, is damaged, or is of a later version."""
    from safetensors import SafetensorError, safe_open

    if not _file_at(path).exists():
        raise FileNotFoundError(f"there is no file {os.fspath(path)}; check the path")
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            header = dict(file.metadata() or {})
            _check_header(path, header, kind)
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
    except (SafetensorError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{path}: not a readable estep file ({error}); it is damaged or of another kind") from None


def _file_at(path: Any) -> Path:
    """The path of a file; raises where it is no path, or a folder."""
    if not isinstance(path, str | os.PathLike) or not os.fspath(path) or isinstance(os.fspath(path), bytes):
        raise TypeError(f"path must be the name of a file, as str or Path, got {path!r}")
    target = Path(os.fspath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; give the name of a file in it")
    return target


def _check_header(path: str | Path, header: Mapping[str, str], kind: str) -> None:
    if header.get("estep") != kind:
        raise ValueError(f"{path}: holds {header.get('estep', 'no estep data')!r}, expected an estep {kind}")
    version = header.get("version", "")
    if version not in {str(known) for known in range(1, VERSION + 1)}:
        raise ValueError(f"{path}: has version {version!r:.40}, this estep reads up to {VERSION}; update estep")


def parse_json(path: str | Path, text: str) -> Any:
    """JSON from a file's header; raises ValueError naming the file."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: its header is not valid JSON ({error}); the file is damaged") from None
