"""Partial labels: which classes each row may belong to, from ``y`` (one class each) or ``labels`` (sets of classes)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSPELT = ("-1", "nan", "None", "<NA>")
COMPONENTS = ("n_components", "component")
KINDS = (COMPONENTS, ("n_states", "state"), ("n_clusters", "cluster"))
"""Settings that number the classes, and what a class is called there."""


def kind_of(self: Any) -> tuple[str, str]:
    """The setting that numbers the classes of an estimator, and what one is called."""
    return next((kind for kind in KINDS if hasattr(self, kind[0])), COMPONENTS)


def read_labels(y: Any, labels: Any, n: int, n_named: int, k: int, self: Any) -> NDArray[Any] | None:
    """Partial labels: codes (n,) with -1 for unlabelled from ``y``, or booleans (n, k) from sets of classes in ``labels``."""
    if labels is not None:
        if y is not None:
            raise ValueError("give y or labels, not both: labels are sets of permitted classes, y single classes")
        return read_sets(labels, n, n_named, k, kind_of(self)[1])
    if y is None:
        return None
    codes = read_codes(y, n, n_named, getattr(self, "classes_", None), kind_of(self))
    return codes if (codes >= 0).any() else None


def read_codes(y: Any, n: int, k: int, classes: Any, kind: tuple[str, str] = COMPONENTS) -> NDArray[np.intp]:
    """Class codes from ``y``: -1, NaN and None are unlabelled; integers are component numbers, other labels sorted classes."""
    values = np.asarray(y, dtype=object)
    values = values.ravel() if values.ndim == 2 and values.shape[1] == 1 else values
    if values.shape != (n,):
        raise ValueError(f"y has shape {values.shape}, expected ({n},): one label a row of X (-1, NaN or None where unknown)")
    unknown = np.array([_unlabelled(v) for v in values], dtype=bool)
    codes = np.full(n, -1, dtype=np.intp)
    known = values[~unknown]
    if all(_whole(v) for v in known):
        codes[~unknown] = [int(v) for v in known]
        if (codes >= k).any() or (codes < -1).any():
            odd = sorted({int(c) for c in codes if c >= k or c < -1})[:5]
            raise ValueError(
                f"y holds the class {odd[0]}, but the {kind[1]}s are 0..{k - 1}; relabel, or raise {kind[0]} (found {odd})"
            )
        return codes
    names = [str(c) for c in classes] if classes is not None else _names_of(known)
    if len(names) > k:
        raise ValueError(f"y holds {len(names)} classes {names[:5]}, but {kind[0]}={k}; raise {kind[0]} or merge classes")
    if strange := sorted({str(v) for v in known} - set(names)):
        raise ValueError(f"y holds the class {strange[0]!r}, which the fit did not see; it knows {names}")
    codes[~unknown] = [names.index(str(v)) for v in known]
    return codes


def class_names(y: Any) -> list[str] | None:
    """Names of the classes in ``y`` where they are not integers, sorted; None where they are."""
    if y is None:
        return None
    known = [v for v in np.asarray(y, dtype=object).ravel() if not _unlabelled(v)]
    return None if all(_whole(v) for v in known) else _names_of(known)


def _names_of(known: Any) -> list[str]:
    """The sorted names of classes; raises ValueError on what looks like a slip."""
    if fractions := [v for v in known if _number(v) and not _whole(v)]:
        raise ValueError(f"y holds {fractions[0]!r}: labels are whole numbers or names (-1, NaN and None where unknown)")
    names = sorted({str(v) for v in known})
    if slips := [name for name in names if name in MISSPELT]:
        raise ValueError(
            f"y holds the text {slips[0]!r}, probably an unknown label turned to text; pass y with dtype=object and None there"
        )
    return names


def read_sets(labels: Any, n: int, n_named: int, k: int, word: str = COMPONENTS[1]) -> NDArray[np.bool_]:
    """Permitted classes (n, k) from booleans, or a sequence with an integer, a set of integers or None for each row."""
    table = _table_of(labels)
    if table is not None:
        if table.shape not in ((n, n_named), (n, k)):
            raise ValueError(f"labels has shape {table.shape}, expected ({n}, {n_named}): a column for each {word}")
        mask = np.ones((n, k), dtype=bool)
        mask[:, : table.shape[1]] = table
        if table.shape[1] < k:
            mask[~table.all(axis=1), table.shape[1] :] = False
    else:
        if not hasattr(labels, "__len__") or isinstance(labels, str | dict | set) or len(labels) != n:
            found = f"{len(labels)} entries" if hasattr(labels, "__len__") else repr(labels)
            raise ValueError(f"labels has {found}, expected {n}: for each row of X a class, a set of classes or None")
        mask = np.stack([_permitted(entry, i, n_named, k, word) for i, entry in enumerate(labels)])
    if not mask.any(axis=1).all():
        at = int(np.flatnonzero(~mask.any(axis=1))[0])
        raise ValueError(f"labels[{at}] permits no class; permit at least one, or all where nothing is known")
    return mask


def _table_of(labels: Any) -> NDArray[np.bool_] | None:
    """``labels`` as booleans (n, columns) where it is a table of them (0 and 1 will do), or None."""
    if len(getattr(labels, "shape", ())) != 2 and not (isinstance(labels, list) and labels and all(map(_flags, labels))):
        return None
    table = np.asarray(labels)
    if table.dtype.kind not in "biuf" or not np.isin(table, (0, 1)).all():
        raise ValueError(f"labels is a table of {table.dtype}, expected booleans: True where a class is permitted")
    return table.astype(bool)


def _flags(entry: Any) -> bool:
    listed = isinstance(entry, list | tuple | np.ndarray) and len(entry) > 0
    return listed and all(isinstance(v, bool | np.bool_) for v in entry)


def _permitted(entry: Any, row: int, n_named: int, k: int, word: str) -> NDArray[np.bool_]:
    if _unlabelled(entry):
        return np.ones(k, dtype=bool)
    classes = list(entry) if hasattr(entry, "__iter__") and not isinstance(entry, str | bytes | dict) else [entry]
    odd = [c for c in classes if not _whole(c) or not 0 <= int(c) < n_named]
    if odd:
        raise ValueError(f"labels[{row}] names the class {odd[0]!r}, but the {word}s are 0..{n_named - 1}")
    mask = np.zeros(k, dtype=bool)
    mask[[int(c) for c in classes]] = True
    return mask


def _unlabelled(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType" or (_number(value) and (value != value or value == -1))


def _number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating)


def _whole(value: Any) -> bool:
    return (_number(value) and value == value and float(value).is_integer()) or isinstance(value, bool | np.bool_)
