"""Where passes run: in this process, or on the workers of a Dask cluster."""

from __future__ import annotations

import argparse
import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from estep.cli.words import Voice

TIMEOUT = 600.0


def add(parser: argparse.ArgumentParser) -> None:
    """The options of the engine."""
    group = parser.add_argument_group("engine")
    group.add_argument("--engine", default="memory", choices=("memory", "dask"), help="where passes run (default memory)")
    group.add_argument("--workers", type=int, metavar="N", help="dask: start N workers on this machine (default 2)")
    group.add_argument("--scheduler", metavar="ADDRESS", help="dask: use the cluster there, such as tcp://10.0.0.1:8786")


@contextlib.contextmanager
def rows_on(data: Any, options: Any, voice: Voice) -> Iterator[Any]:
    """The rows where the options want them; a cluster that was started here ends with the block."""
    if options.engine == "memory":
        if options.workers is not None or options.scheduler is not None:
            raise ValueError("--workers and --scheduler belong to --engine dask; add it, or leave them out")
        yield data
        return
    if options.workers is not None and (options.scheduler is not None or options.workers < 1):
        raise ValueError("--workers is a whole number >= 1, and starts workers here: without --scheduler")
    from estep.data.on_dask import OnDask

    with _client(options, voice) as client:
        names = {"weights": data.weights, "labels": data.labels, "categories": tuple(data.categories)}
        yield OnDask(data, client, columns=data.names, timeout=TIMEOUT, **names)


def _client(options: Any, voice: Voice) -> Any:
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise ImportError("--engine dask needs dask and distributed: pip install 'estep[dask]'") from None
    if options.scheduler is None:
        workers = options.workers or 2
        voice.note(f"{workers} Dask workers were started on this machine")
        return distributed.Client(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    try:
        return distributed.Client(options.scheduler, timeout="20s")
    except (OSError, ValueError) as error:
        raise ValueError(f"--scheduler {options.scheduler}: no Dask scheduler answers there ({error})") from None
