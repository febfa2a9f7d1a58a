"""Rows on a Dask cluster: collections, or a list of partitions, read once into the workers' memory and summed there.

    facts      a pass over the raw partitions: rows of each, what each column holds, levels of categories
    rows       each partition as float64, kept by the worker that read it
    passes     see ``dask_plane.py``

The workers run what is sent to them; nothing is read from them but sums, and rows that somebody asks for.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.memo import remembered
from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.data.arrow import Arrow
from estep.data.checked import refuse_client, refuse_settings, refuse_timeout
from estep.data.dask_columns import all_facts, coded_of, names_of, refuse_unknown, weights_in
from estep.data.dask_files import pieces_of
from estep.data.dask_matrix import Scattered
from estep.data.dask_parts import Facts, column_values, measured
from estep.data.dask_plane import Cluster, Spread
from estep.data.dask_sequences import arrange, columns_in, places_in
from estep.data.layout import Layout, Order
from estep.data.sources import is_task

PLAIN: dict[str, Any] = {
    "columns": None,
    "exclude": (),
    "weights": None,
    "labels": None,
    "categories": (),
    "levels": None,
    "rows": None,
}
"""What ``Arrow`` and ``OnDask`` both can say of their columns, where nothing is said."""


@dataclasses.dataclass(frozen=True)
class OnDask:
    """Rows of a Dask DataFrame, Array or Bag, of a list of partitions, or of files that the workers read.

    Parameters
    ----------
    source : Dask collection, list of partitions, path, list of paths or ``Arrow``
        Files are read by the workers, each its own rows, under the same path; what an ``Arrow`` says of columns, weights and
        labels holds here where nothing else is said. A partition of a list is a table, an array
        (n, d), a list of dicts, or a delayed object or future of one. Arrays and tables that are given as they are travel
        with the tasks; large ones are better read by the workers.
    client : distributed.Client or None
        The cluster; None takes the current client, or, where there is none, workers in this process.
    columns, exclude : sequences of str
        What the family reads, in this order; or what to leave out of all columns.
    weights, labels : str or None
        Columns with the frequency of each row, and its class where known.
    categories : sequence of str
        Columns to read as categories although they hold numbers.
    levels : mapping of str to sequence, or None
        Categories and their order where they are known already, as in a fitted model; any other entry raises.
    rows : int or None
        Rows of a block; None chooses by the number of columns.
    timeout : float or None
        Seconds (> 0) without any partition finished after which a pass is given up; None waits for ever.

    Raises
    ------
    ValueError, TypeError
        At once, a setting that cannot be meant; when it is first read: an unknown column, partitions that differ, text among
        numbers or an infinite value: with the partition and the row in it (from 0), or the file and the row in that (from 1).
    ImportError
        When dask or distributed is missing.
    ClusterLost
        In a pass: the scheduler is gone, a worker hangs, or a partition loses its workers again and again.

    Notes
    -----
    Sums agree with those in memory to the order of summation, and have the same bits whichever workers take part: a worker
    that is lost in the middle of a pass changes nothing.

    Examples
    --------
    >>> data = OnDask([np.zeros((3, 2)), np.ones((2, 2))])
    >>> data.shape, float(data.sum(lambda chunk: chunk.x.sum()))
    ((5, 2), 4.0)
    """

    source: Any
    client: Any = None
    columns: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    weights: str | None = None
    labels: str | None = None
    categories: Sequence[str] = ()
    levels: Mapping[str, Sequence[Any]] | None = None
    rows: int | None = None
    timeout: float | None = None

    is_source = True
    ndim = 2

    def __post_init__(self) -> None:
        refuse_settings(self)
        refuse_timeout(self.timeout)
        refuse_client(self.client)
        for name, value in _settled(self).items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> Any:
        return OnDask, (self.source, None, *(getattr(self, field.name) for field in dataclasses.fields(self)[2:]))

    @property
    def title(self) -> str:
        """What this is, in errors."""
        if isinstance(self.source, Arrow):
            return self.source.title
        return f"the Dask {type(self.source).__name__}" if hasattr(self.source, "dask") else "the list of partitions"

    @property
    def cluster(self) -> Cluster:
        """The client, with its timeout."""
        found: Cluster = remembered(self, "cluster", lambda: Cluster(self.client or _client(), self.timeout))
        return found

    @property
    def raw(self) -> tuple[Any, ...]:
        """Futures of the raw partitions."""
        found: tuple[Any, ...] = remembered(self, "raw", lambda: tuple(_partitions(self.source, self.cluster)))
        return found

    @property
    def facts(self) -> list[Facts]:
        """What there is in each partition."""
        found: list[Facts] = remembered(self, "facts", lambda: all_facts(self))
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that are read."""
        found: tuple[str, ...] = remembered(self, "names", lambda: names_of(self))
        return found

    @property
    def coded(self) -> dict[str, tuple[Any, ...]]:
        """Levels of the columns of categories, which are text, and those named so: a code is a place among them."""
        found: dict[str, tuple[Any, ...]] = remembered(self, "coded", lambda: coded_of(self))
        return found

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return sum(facts.n for facts in self.facts)

    def __len__(self) -> int:
        return self.n_rows

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.n_rows, len(self.names)

    @property
    def x(self) -> Scattered:
        """The rows, (n, d), where they are."""
        found: Scattered = remembered(self, "x", lambda: _scattered(self))
        return found

    def __getitem__(self, rows: Any) -> Array:
        return self.x[rows]

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.asarray(self.x[:], dtype=dtype)

    @property
    def weight(self) -> Array | None:
        """Frequency of each row, (n,), or None."""
        return None if self.weights is None else np.asarray(weights_in(self, self.weights))

    @property
    def known(self) -> NDArray[Any] | None:
        """Class of each row, (n,), where ``labels`` names a column: texts (None where unknown) or numbers (NaN)."""
        return None if self.labels is None else self.values(self.labels)

    def values(self, name: str) -> NDArray[Any]:
        """The entries of any column, (n,): texts (None where missing) or numbers (NaN)."""
        refuse_unknown(self, name)
        futures = [self.cluster.submit(column_values, raw, name) for raw in self.raw]
        return np.concatenate(self.cluster.results(futures, []))

    def chosen(
        self, columns: Sequence[str] | None = None, categories: Sequence[str] = (), levels: Mapping[str, Any] | None = None
    ) -> OnDask:
        """The same source with these columns, categories and levels; kept with it, so that it is read once."""
        names = self.names if columns is None else tuple(columns)
        known = None if not levels else {name: tuple(np.asarray(v).tolist()) for name, v in levels.items()}
        if (names, tuple(categories), known) == (self.names, tuple(self.categories), self.levels):
            return self

        def made() -> OnDask:
            other = dataclasses.replace(self, columns=names, exclude=(), categories=tuple(categories), levels=known)
            kept = ("cluster", "raw", "facts", "ends", "layout")
            return _with(other, **{key: getattr(self, key) for key in kept})

        found: OnDask = remembered(self, ("as", names, tuple(categories), repr(known)), made)
        return found

    def in_sequences(self, sequence: str | None, time: str | None) -> OnDask:
        """The rows brought together by the ids in one column and in steps of the times in another; ``layout`` says where."""

        def made() -> OnDask:
            lengths = [facts.n for facts in self.facts]
            parts = arrange(self.cluster, self.raw, lengths, sequence, time)
            gone = [name for name in (sequence, time) if name is not None]
            other = dataclasses.replace(self, exclude=tuple(n for n in self.exclude if n not in gone))
            found = self.cluster.results([self.cluster.submit(places_in, part) for part in parts], parts)
            ends, numbers = tuple(e for e, _ in found), np.concatenate([n for _, n in found])
            raw = tuple(self.cluster.submit(columns_in, part) for part in parts)
            return _with(other, cluster=self.cluster, raw=raw, ends=ends, layout=_layout(ends, numbers))

        found: OnDask = remembered(self, ("in sequences", sequence, time), made)
        return found

    @property
    def ends(self) -> tuple[Order, ...] | None:
        """Ends of the sequences within each partition, once rows are in sequences."""
        found: tuple[Order, ...] | None = remembered(self, "ends", lambda: None)
        return found

    @property
    def layout(self) -> Layout | None:
        """Where the user's rows stand, once they are in sequences."""
        found: Layout | None = remembered(self, "layout", lambda: None)
        return found

    def refuse(self, name: str) -> ValueError:
        """Why a column cannot be read as numbers."""
        if isinstance(self.source, Arrow) and self.layout is None:
            return self.source.refuse(name)
        number, facts = next((i, f) for i, f in enumerate(self.facts) if f.kinds[name] != "number")
        shown = ", ".join(repr(level)[:40] for level in sorted(facts.levels[name], key=str)[:3])
        return ValueError(
            f"{self.title}: column {name!r} holds text in partition {number} ({shown}); leave the column out, or use a model "
            "for categories"
        )

    def chunks(self) -> Iterator[Chunk]:
        """The blocks, in row order, fetched one by one."""
        return self.plane.chunks()

    def sum(self, fn: Callable[[Chunk], Any]) -> Any:
        """``fn`` of every block, added up a tree of tasks."""
        return self.plane.sum(fn)

    def map(self, fn: Callable[[Chunk], Any], sink: Callable[[Chunk, Any], None]) -> None:
        """``fn`` of every block, handed to ``sink`` in block order with the block's key."""
        self.plane.map(fn, sink)

    def shuffled(self, rng: np.random.Generator) -> Spread:
        """Partitions in random order, and rows within each."""
        return self.plane.shuffled(rng)

    @property
    def plane(self) -> Spread:
        """The rows with their weights, ready for passes."""
        found: Spread = remembered(self, "plane", lambda: self.x.carrying(self.weight, None, None, None))
        return found


def _settled(data: OnDask) -> dict[str, Any]:
    """The source as one of its kinds, and what an ``Arrow`` source says of its columns where nothing is said here."""
    source = [data.source] if is_task(data.source) else data.source
    parts = source if isinstance(source, list | tuple) else [source]
    if not len(parts):
        raise ValueError("source is an empty list; give a partition at least")
    if all(isinstance(part, str | os.PathLike) for part in parts):
        source = Arrow(source)
    if not isinstance(source, Arrow):
        return {"source": source}
    told = {name: getattr(source, name) for name in PLAIN} | {"exclude": (*source.exclude, *filter(None, [source.ids]))}
    told = {name: value for name, value in told.items() if value != PLAIN[name]}
    if not told:
        return {"source": source}
    bare = dataclasses.replace(source, **PLAIN, ids=None)
    if "table" in source.__dict__.get("_memo", {}):
        remembered(bare, "table", lambda: source.table)
    return {"source": bare} | {name: value for name, value in told.items() if getattr(data, name) == PLAIN[name]}


def _scattered(data: OnDask) -> Scattered:
    coded = {name: data.coded[name] for name in data.names if name in data.coded}
    raw = tuple(
        data.cluster.submit(measured, part, data.names, coded, data.title, i)
        for i, part in enumerate(data.raw)
        if data.facts[i].n
    )
    lengths = tuple(facts.n for facts in data.facts if facts.n)
    if not lengths:
        raise ValueError(f"{data.title} has no rows (its columns: {', '.join(data.names[:12])})")
    data.cluster.results([data.cluster.submit(len, x) for x in raw], list(raw))  # what cannot be read is said now
    return Scattered(data.cluster, raw, lengths, len(data.names), data.title, data.rows, data.ends)


def _with(data: OnDask, **known: Any) -> OnDask:
    """The source, with what is known of it already."""
    for name, value in known.items():
        remembered(data, name, lambda value=value: value)  # type: ignore[misc]
    return data


def _layout(ends: tuple[Order, ...], numbers: Order) -> Layout:
    """The layout of all partitions from the ends in each and the user's number of every row (-1: blank)."""
    before = np.cumsum([0, *(int(e[-1]) for e in ends)])
    place = np.empty(int((numbers >= 0).sum()), dtype=np.intp)
    place[numbers[numbers >= 0]] = np.flatnonzero(numbers >= 0)
    return Layout(np.concatenate([e + b for e, b in zip(ends, before, strict=False)]), place)


def _client() -> Any:
    """The current client, or workers in this process, kept for its lifetime."""
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise ImportError(
            "rows on a cluster need dask and distributed, which are not installed: pip install 'estep[dask]'"
        ) from None
    try:
        return distributed.get_client()
    except ValueError:
        return distributed.Client(processes=False, dashboard_address=None, set_as_default=True)


def _partitions(source: Any, cluster: Cluster) -> list[Any]:
    """Futures of the raw partitions of a collection or list."""
    if isinstance(source, Arrow):
        return [_sent(cluster, piece) for piece in pieces_of(source)]
    if hasattr(source, "to_delayed"):
        if hasattr(source, "rechunk"):  # an array: rows may be cut, columns may not
            source = (source[:, None] if source.ndim == 1 else source).rechunk({1: -1})
        return list(cluster.client.compute(list(np.ravel(np.array(source.to_delayed(), dtype=object)))))
    if not isinstance(source, list | tuple):
        raise TypeError(
            f"source is a {type(source).__name__}; give a Dask DataFrame, Array or Bag, or a list of partitions (tables, "
            "arrays, delayed objects or futures)"
        )
    return [_future(cluster, part) for part in source]


def _future(cluster: Cluster, part: Any) -> Any:
    """A future stays, a delayed object is begun, anything else is sent."""
    if type(part).__module__.startswith("distributed"):
        return part
    return cluster.client.compute(part) if hasattr(part, "__dask_graph__") else _sent(cluster, part)


def _sent(cluster: Cluster, part: Any) -> Any:
    """A partition that the tasks carry: made again from them where a worker is lost."""
    return cluster.submit(_itself, part)


def _itself(part: Any) -> Any:
    return part
