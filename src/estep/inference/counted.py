"""Many fits one after another or side by side, in a fixed order, with a line that says how many are left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
WIDTH = 60


def spread(fn: Callable[[Any], T], items: Sequence[Any], n_jobs: int | None) -> Iterable[T]:
    """``fn`` of every item, in order; ``n_jobs`` processes (None is one, or what joblib's context says), as they come.

    Within ``joblib.parallel_config("dask")`` the items go to the workers of that cluster.
    """
    if len(items) <= 1 or _alone(n_jobs):
        return (fn(item) for item in items)
    from sklearn.utils.parallel import Parallel, delayed

    found: Iterable[T] = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(fn)(item) for item in items)
    return found


def _alone(n_jobs: int | None) -> bool:
    from sklearn.utils.parallel import Parallel

    return n_jobs == 1 or (n_jobs is None and Parallel().n_jobs in (None, 1))


def in_batches(fn: Callable[[Any], T], items: Sequence[Any], n_jobs: int | None) -> Iterator[T]:
    """As ``spread``, but no more is begun than a few rounds ahead, so that whoever reads may stop."""
    step = 1 if _alone(n_jobs) else 32
    for at in range(0, len(items), step):
        yield from spread(fn, items[at : at + step], n_jobs)


def counted(found: Iterable[T], total: int, progress: bool, title: str, what: str) -> Iterator[T]:
    """The results as they come; with ``progress`` a line on stderr, redrawn five times a second, cleared at the end."""
    began = drawn = time.monotonic()
    try:
        for i, each in enumerate(found, start=1):
            now = time.monotonic()
            if progress and (now - drawn >= 0.2 or i == total):
                left, drawn = (now - began) / i * (total - i), now
                sys.stderr.write(f"\r{title}: {i} of {total} {what}, about {left:.0f} s left".ljust(WIDTH))
                sys.stderr.flush()
            yield each
    finally:
        if progress:
            sys.stderr.write("\r" + " " * WIDTH + "\r")
            sys.stderr.flush()
