"""Which rows of a user's are in a file, behind a stream or on a cluster, and not in memory."""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from typing import Any

from estep.data.arrow import Arrow
from estep.data.spool import spool_folder


def is_source(X: Any) -> bool:
    """Whether ``X`` is rows in a file or on a cluster: with names, levels, and ``x``, a matrix that need not be in memory."""
    return bool(getattr(type(X), "is_source", False))


def source_of(X: Any) -> Any:
    """``X`` as rows in a file or on a cluster where it is a path or a Dask collection, or such rows already, else None."""
    if is_source(X):
        return X
    if isinstance(X, str | os.PathLike) or hasattr(X, "read_next_batch"):
        return Arrow(X)
    if type(X).__module__.startswith("polars.lazyframe"):
        return _lazy(X)
    if type(X).__module__.partition(".")[0] in ("dask", "dask_expr", "distributed"):
        from estep.data.on_dask import OnDask

        return OnDask(X)
    return None


def _lazy(frame: Any) -> Arrow:
    """The rows of a polars LazyFrame: streamed to a file of their own, which goes when nobody reads it any more."""
    handle, path = tempfile.mkstemp(suffix=".parquet", dir=spool_folder(None), prefix="estep-")
    os.close(handle)
    try:
        frame.sink_parquet(path)
        data = Arrow(path)
        weakref.finalize(data.table, _removed, path)
    except BaseException:
        _removed(path)
        raise
    return data


def _removed(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
