"""Settings of rows in files and on clusters, refused at once where they cannot be meant, with the argument and a remedy."""

from __future__ import annotations

import numbers
import os
from collections.abc import Sequence
from typing import Any


def refuse_source(source: Any) -> None:
    """Raise TypeError or ValueError unless ``source`` is a path, paths, or something that streams Arrow batches."""
    if source is None or hasattr(source, "__arrow_c_stream__") or hasattr(source, "sink_parquet"):
        return
    if isinstance(source, str) and not source.strip():
        raise ValueError("source is an empty text; name a file, a folder or a pattern")
    paths = source if isinstance(source, list | tuple) else [source]
    if not paths or not all(isinstance(path, str | os.PathLike) for path in paths):
        raise TypeError(
            f"source must be a path, a list of paths, or a table or reader with Arrow's stream interface, got "
            f"{type(source).__name__}; arrays go to fit as they are"
        )


def refuse_settings(data: Any) -> None:
    """Raise TypeError or ValueError naming the first setting of an ``Arrow`` or ``OnDask`` that cannot be meant."""
    kinds = str if hasattr(data, "query") else str | int  # columns of tables on a cluster may have numbers as names
    for argument in ("columns", "exclude", "categories"):
        _names(argument, getattr(data, argument), kinds)
    if data.columns is not None and not len(data.columns):
        raise ValueError("columns names no column; name some, or leave it None for all")
    for argument in ("weights", "labels", "ids"):
        value = getattr(data, argument, None)
        if value is not None and not isinstance(value, kinds):
            raise TypeError(f"{argument} must be None or the name of a column, got {value!r:.60}")
    _whole("rows", data.rows, 1)


def refuse_resources(n_jobs: Any, budget: Any) -> None:
    """Raise TypeError or ValueError unless threads and bytes are None or whole numbers that make sense."""
    if n_jobs is not None and (not _is_whole(n_jobs) or n_jobs == 0):
        raise ValueError(f"n_jobs must be None (every processor) or a whole number other than 0, got {n_jobs!r}")
    _whole("budget", budget, 0)


def refuse_timeout(timeout: Any) -> None:
    """Raise ValueError unless ``timeout`` is None or seconds > 0."""
    real = isinstance(timeout, numbers.Real) and not isinstance(timeout, bool)
    if timeout is not None and not (real and float(timeout) > 0):
        raise ValueError(f"timeout must be None (wait for ever) or seconds > 0, got {timeout!r}")


def refuse_client(client: Any) -> None:
    """Raise TypeError unless ``client`` is None or a Dask client that answers in turn."""
    if client is None or (hasattr(client, "submit") and hasattr(client, "scheduler_info")):
        if getattr(client, "asynchronous", False):
            raise TypeError("client is asynchronous; give one made with distributed.Client(..., asynchronous=False)")
        return
    raise TypeError(
        f"client must be None or a distributed.Client, got {type(client).__name__}; for a cluster or an address give "
        "distributed.Client(it)"
    )


def _names(argument: str, value: Sequence[Any] | None, kinds: Any) -> None:
    if value is None:
        return
    if isinstance(value, str):
        raise TypeError(f"{argument} must be a list of names of columns, got the text {value!r}; give [{value!r}]")
    if not all(isinstance(name, kinds) for name in value):
        odd = next(name for name in value if not isinstance(name, kinds))
        raise TypeError(f"{argument} must be names of columns, got {odd!r:.60} among them")
    if argument == "columns" and len(set(value)) < len(value):
        raise ValueError(f"columns names a column twice: {list(value)}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _whole(argument: str, value: Any, least: int) -> None:
    if value is not None and not (_is_whole(value) and value >= least):
        raise ValueError(f"{argument} must be None or a whole number >= {least}, got {value!r}")
