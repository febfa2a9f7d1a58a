"""Sequences as users bring them: a list of arrays, ids per row, lengths, or a table with columns of ids and times.

Rows are put sequence by sequence (in the order in which sequences first appear), a row for every step of time; where each of
the user's rows then stands is kept (``Rows.place``), so that results come back in the user's order. A step of time without a
row becomes a row in which everything is missing, which is exact under missing at random.

    step of time = greatest common divisor of all gaps between the times of a sequence
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.data.layout import Layout, by_id, by_time, id_codes, whole_times
from estep.data.sources import is_source
from estep.estimators.columns import read_columns
from estep.estimators.rows import Arguments, Rows, Target, rows_of

Order = NDArray[np.intp]


def read_sequences(self: Any, arguments: Arguments, target: Target, *, reset: bool) -> Rows:
    """The rows of all sequences and what belongs to them; ``self`` is an estimator of sequences."""
    if arguments.by is not None:
        raise ValueError("by: sequences take no groups; fit each group of its own")
    joined = together_of(arguments)
    x = read_columns(self, joined.X, target.family, reset=reset)
    there = joined.X.layout if is_source(joined.X) else None
    layout = there or layout_of(joined, len(x))
    weight = _weights(joined.sample_weight, layout)
    labels, y = joined.labels, joined.y
    if not layout.plain:
        y = None if y is None else layout.arranged(np.asarray(y, dtype=object), -1)
        labels = None if labels is None else _arranged_sets(labels, layout)
    told = dataclasses.replace(joined, X=None, y=y, labels=labels, sample_weight=weight)
    rows = rows_of(self, told, target, x=x if there else layout.arranged(x, np.nan), reset=reset)
    ends = layout.ends if rows.kept is None else _ends_of_kept(layout.ends, rows.kept)
    return dataclasses.replace(rows, ends=ends, place=None if layout.plain else layout.place)


def joined_of(arguments: Arguments) -> Arguments:
    """Arguments whose rows are one matrix or table: a list of arrays end to end; columns of ids and times taken out."""
    if is_list_of_sequences(arguments.X):
        return _end_to_end(arguments)
    names = {n: getattr(arguments, n) for n in ("sequence", "time") if isinstance(getattr(arguments, n), str)}
    if not names:
        return arguments
    import narwhals as nw

    if is_source(arguments.X):
        X = arguments.X.in_sequences(names.get("sequence"), names.get("time"))
        return dataclasses.replace(arguments, X=X, **dict.fromkeys(names))
    if not nw.dependencies.is_into_dataframe(arguments.X):
        raise ValueError(f"{next(iter(names))} names a column, but X is no table; give an array with a value for each row")
    table = nw.from_native(arguments.X, eager_only=True)
    for argument, name in names.items():
        if name not in table.columns:
            raise ValueError(f"{argument}={name!r} is no column of X; it has {list(table.columns)}")
    found = {argument: np.array(table[name].to_list(), dtype=object) for argument, name in names.items()}
    return dataclasses.replace(arguments, X=table.drop(*names.values()).to_native(), **found)


def together_of(arguments: Arguments) -> Arguments:
    """As ``joined_of``, and rows on a cluster in partitions of whole sequences: without ids they are one sequence."""
    arguments = joined_of(arguments)
    X = arguments.X
    if not hasattr(X, "cluster") or X.layout is not None:
        return arguments
    told = [name for name in ("sequence", "lengths", "time") if getattr(arguments, name) is not None]
    if told:
        raise ValueError(f"{told[0]}: rows on a cluster are put in sequences by their columns; name a column of X")
    return dataclasses.replace(arguments, X=X.in_sequences(None, None))


def is_list_of_sequences(X: Any) -> bool:
    """Whether ``X`` is a list (or tuple) of arrays or tables, one for each sequence; lists of lists are a matrix.

    >>> is_list_of_sequences([np.zeros((3, 1)), np.zeros((5, 1))]), is_list_of_sequences([[0.0], [1.0]])
    (True, False)
    """
    return isinstance(X, list | tuple) and bool(X) and all(len(getattr(part, "shape", ())) in (1, 2) for part in X)


def _end_to_end(arguments: Arguments) -> Arguments:
    for name in ("sequence", "lengths", "time"):
        if getattr(arguments, name) is not None:
            raise ValueError(
                f"{name} and a list of sequences do not go together: the list says where sequences end; drop {name}"
            )
    parts = list(arguments.X)
    lengths = [int(part.shape[0]) for part in parts]
    if 0 in lengths:
        raise ValueError(f"X[{lengths.index(0)}] has no rows; leave that sequence out")
    told = {n: _joined(getattr(arguments, n), lengths, n) for n in ("y", "sample_weight", "labels")}
    return dataclasses.replace(arguments, X=_stacked(parts), lengths=lengths, **told)


def _stacked(parts: list[Any]) -> Any:
    import narwhals as nw

    if all(nw.dependencies.is_into_dataframe(part) for part in parts):
        return nw.concat([nw.from_native(part, eager_only=True) for part in parts]).to_native()
    arrays = [np.ma.filled(p.astype(float), np.nan) if np.ma.isMaskedArray(p) else np.asarray(p) for p in parts]
    arrays = [array[:, None] if array.ndim == 1 else array for array in arrays]
    widths = [array.shape[1] for array in arrays]
    if len(set(widths)) > 1:
        odd = next(i for i, width in enumerate(widths) if width != widths[0])
        raise ValueError(f"X[{odd}] has {widths[odd]} columns and X[0] has {widths[0]}; sequences share their columns")
    return np.concatenate(arrays)


def _joined(values: Any, lengths: list[int], name: str) -> Any:
    """What is given for each row: one array for all, or a list with an array for each sequence."""
    parts = isinstance(values, list | tuple) and len(values) == len(lengths) and all(np.ndim(v) >= 1 for v in values)
    if values is None or not parts or (name == "labels" and sum(lengths) == len(lengths)):
        return values
    for i, (part, length) in enumerate(zip(values, lengths, strict=True)):
        if len(part) != length:
            raise ValueError(f"{name}[{i}] has {len(part)} values, but sequence {i} of X has {length} rows")
    flat = [value for part in values for value in part]
    return flat if name == "labels" else np.array(flat, dtype=object if name == "y" else float)


def layout_of(arguments: Arguments, n: int) -> Layout:
    """Where each of ``n`` rows goes, from ``lengths``, or ``sequence`` and ``time``; rows elsewhere are in their places."""
    if is_source(arguments.X) and arguments.X.layout is not None:
        return cast("Layout", arguments.X.layout)
    if arguments.lengths is not None:
        if arguments.sequence is not None or arguments.time is not None:
            raise ValueError("lengths cuts rows as they stand; with sequence or time leave it out")
        return Layout(_ends_of_lengths(arguments.lengths, n), np.arange(n))
    ids = np.zeros(n, dtype=np.intp) if arguments.sequence is None else id_codes(arguments.sequence, n)
    return by_id(ids) if arguments.time is None else by_time(ids, whole_times(arguments.time, n))


def _ends_of_lengths(lengths: Any, n: int) -> Order:
    told = np.atleast_1d(np.asarray(lengths))
    if told.ndim != 1 or told.dtype.kind not in "iu" or (told < 1).any():
        raise ValueError(f"lengths must be whole numbers >= 1, one for each sequence, got {lengths!r}")
    if told.sum() != n:
        raise ValueError(f"lengths add up to {int(told.sum())}, but X has {n} rows")
    return np.cumsum(told).astype(np.intp)


def _weights(sample_weight: Any, layout: Layout) -> Array | None:
    """Weights per row of what is given per sequence, or per row."""
    if sample_weight is None:
        return None
    try:
        weight = np.asarray(sample_weight, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"sample_weight must be numbers, one a sequence or a row, got {sample_weight!r:.60}") from None
    lengths = np.diff(layout.ends, prepend=0)
    if weight.shape == (len(layout.ends),):
        each = np.empty(len(weight))
        each[layout.appearance] = weight
        return np.repeat(each, lengths)
    if weight.shape != layout.place.shape:
        raise ValueError(
            f"sample_weight has shape {weight.shape}, expected ({len(layout.ends)},), a weight for each sequence, "
            f"or ({len(layout.place)},), the same on all rows of a sequence"
        )
    which = np.searchsorted(layout.ends, layout.place, side="right")
    each = np.zeros(len(layout.ends))
    each[which] = weight
    if (odd := np.flatnonzero(each[which] != weight)).size:
        raise ValueError(f"sample_weight differs within the sequence of row {int(odd[0])}; rows of one sequence share a weight")
    return np.repeat(each, lengths)


def appearance_of(rows: Rows) -> Order:
    """Which of the arranged sequences is the first, second ... to appear among the user's rows."""
    ends = np.asarray(rows.ends, dtype=np.intp)
    return np.arange(len(ends)) if rows.place is None else Layout(ends, rows.place).appearance


def _arranged_sets(labels: Any, layout: Layout) -> Any:
    """Permitted classes of the arranged rows; a row that was filled in permits every class."""
    if len(getattr(labels, "shape", ())) == 2:
        return layout.arranged(np.asarray(labels).astype(bool), True)
    if len(labels) != len(layout.place):
        raise ValueError(f"labels has {len(labels)} entries, expected {len(layout.place)}: one for each row of X")
    sets: list[Any] = [None] * layout.n
    for at, entry in zip(layout.place.tolist(), labels, strict=True):
        sets[at] = entry
    return sets


def _ends_of_kept(ends: Order, kept: NDArray[np.bool_]) -> Order:
    """Ends among the rows of positive weight, which come in whole sequences."""
    return np.asarray(np.cumsum(kept)[ends[kept[ends - 1]] - 1], dtype=np.intp)
