"""Rows of a file, a query or a cluster as an estimator reads them: names, categories and errors as for a table in memory."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from estep.core.memo import remembered
from estep.data.here import brought
from estep.data.sources import is_source
from estep.data.unread import MOST_PATTERNS


def with_own(arguments: Any) -> Any:
    """The arguments of a fit, with the weights and labels that rows in a file bring along where none are given."""
    data = arguments.X
    if not is_source(data):
        return arguments
    weight = data.weight if arguments.sample_weight is None else arguments.sample_weight
    y = data.known if arguments.y is None and arguments.labels is None else arguments.y
    return dataclasses.replace(arguments, sample_weight=weight, y=y)


def read_file(self: Any, data: Any, wanted: Sequence[int], unread: Sequence[int], reset: bool, lazy: bool = False) -> Any:
    """The rows (n, d), mapped from disk or where they are.

    Columns ``wanted`` hold codes of categories, whose levels a fit leaves on ``self``. Text is refused in every other column
    but those ``unread``. Later rows are read with the columns, by name, and the levels of the fit. ``lazy`` leaves rows where
    they are as long as they are only to be counted.
    """
    if reset:
        chosen = data.chosen(data.names, categories=[data.names[j] for j in wanted])
        if lazy and hasattr(chosen, "group"):
            chosen.group(MOST_PATTERNS)
        for name in chosen.coded:
            if name not in chosen.categories and chosen.names.index(name) not in unread:
                raise chosen.refuse(name)
        self.n_features_in_ = len(chosen.names)
        self.feature_names_in_ = np.array(chosen.names, dtype=object)
        if wanted:
            self.levels_ = [np.array(chosen.coded[name]) if name in chosen.coded else None for name in chosen.names]
            self.levels_ = [_whole(levels) for levels in self.levels_]
        return chosen.unread if lazy and hasattr(chosen, "unread") else chosen.x
    names = _fitted_names(self, data)
    known = getattr(self, "levels_", None) or [None] * len(names)
    levels = {n: v for n, v in zip(names, known, strict=True) if v is not None}
    later = data.chosen(names, levels=levels)
    for j, name in enumerate(names):
        if name in later.coded and name not in levels and j not in unread:
            raise later.refuse(name)
    return later.x


def table_here(data: Any, more: Sequence[str] = ()) -> Any:
    """Rows of a file, a query or a cluster as a table in memory: what ``data`` reads, and the columns ``more``."""
    import narwhals as nw

    backend = next((name for name in ("pandas", "polars", "pyarrow") if importlib.util.find_spec(name)), None)
    if backend is None:
        raise ImportError(f"{data.title}: rows as a table in memory need pandas, polars or pyarrow; install one of them")

    def made() -> Any:
        return nw.from_dict(dict(brought(data, more)), backend=backend).to_native()  # type: ignore[arg-type]

    return remembered(data, ("table here", tuple(more)), made)


def _fitted_names(self: Any, data: Any) -> tuple[str, ...]:
    """The columns of the fit; those of the file, in order, where the fit knew no names."""
    known = getattr(self, "feature_names_in_", None)
    if known is not None:
        return tuple(map(str, known))
    if len(data.names) != self.n_features_in_:
        raise ValueError(
            f"{data.title} has {len(data.names)} columns to read, but the model was fitted to {self.n_features_in_}, "
            f"without names; name the columns with {type(data).__name__}(..., columns=[...])"
        )
    return tuple(data.names)


def _whole(levels: Any) -> Any:
    """Levels that are whole numbers as integers."""
    if levels is None or levels.dtype.kind != "f" or not (levels == np.floor(levels)).all() or (np.abs(levels) >= 2**53).any():
        return levels
    return levels.astype(np.int64)
