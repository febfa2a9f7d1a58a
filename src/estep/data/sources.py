"""Which rows of a user's are in a file, behind a stream or on a cluster, and not in memory."""

from __future__ import annotations

import os
from typing import Any

from estep.data.arrow import Arrow


def is_source(X: Any) -> bool:
    """Whether ``X`` is rows in a file or on a cluster: with names, levels, and ``x``, a matrix that need not be in memory."""
    return bool(getattr(type(X), "is_source", False))


def source_of(X: Any) -> Any:
    """``X`` as rows in a file or on a cluster where it is a path, a stream, a Dask collection, or such rows already, else None.

    Paths in a list, Dask's delayed objects and futures, alone or in a list, and polars LazyFrames count as well.
    """
    if is_source(X):
        return X
    several = isinstance(X, list | tuple) and bool(X)
    if _of_dask(X) or (several and all(map(is_task, X))):  # first: delayed objects claim to have every attribute
        from estep.data.on_dask import OnDask

        return OnDask(X)
    if isinstance(X, str | os.PathLike) or (several and all(isinstance(part, os.PathLike) for part in X)):
        return Arrow(X)
    if hasattr(X, "read_next_batch") or hasattr(X, "sink_parquet"):
        return Arrow(X)
    return Arrow(X.scanner().to_reader()) if type(X).__module__ == "pyarrow._dataset" else None


def is_task(X: Any) -> bool:
    """Whether ``X`` is one of Dask's delayed objects or futures."""
    return type(X).__module__ in ("dask.delayed", "distributed.client")


def _of_dask(X: Any) -> bool:
    return type(X).__module__.partition(".")[0] in ("dask", "dask_expr", "distributed")
