"""What holds no rows: things that look like X, said by name, with what to give in their place."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np

SEQUENCES = "sequences of different lengths are a list of arrays, (t, d) each"


def refuse_strange(X: Any) -> None:
    """Raise TypeError on None, on what can be read only once, and on what has names or no order in place of rows.

    Raises ValueError where two columns of a table have the same name.

    >>> refuse_strange(x for x in [1.0])
    Traceback (most recent call last):
    TypeError: X is a generator, which can be read only once; give list(X), or an array
    """
    kind = type(X).__name__
    if X is None:
        raise TypeError("X must hold rows, an array or a table (n, d), got NoneType")
    if isinstance(X, Iterator) and not hasattr(X, "__arrow_c_stream__") and not hasattr(X, "read_next_batch"):
        raise TypeError(f"X is a {kind}, which can be read only once; give list(X), or an array")
    if isinstance(X, Mapping) and not hasattr(X, "nnz"):  # some sparse matrices are dicts
        raise TypeError(f"X is a {kind}; give a table, as pandas.DataFrame(X), or where it holds sequences list(X.values())")
    if isinstance(X, Set):
        raise TypeError(f"X is a {kind}, which has no order; give a list of rows")
    names: Any = getattr(X, "columns", None)
    if getattr(names, "is_unique", True) is False:
        twice = names[names.duplicated()][0]
        raise ValueError(f"X has several columns named {twice!r}; rename all but one of them")


def refuse_shape(self: Any, X: Any) -> None:
    """Raise ValueError where a list's rows have different lengths, or where text or dates come in no table of rows."""
    if isinstance(X, list | tuple):
        if not X:
            raise ValueError("X is an empty list, with 0 sample(s); give rows, (n, d)")
        _refuse_ragged(X, takes_sequences(self))
    kind, shape = _kind_and_shape(X)
    if kind in ("M", "m"):
        raise ValueError("X must hold numbers, with NaN where missing: it holds times; turn them into numbers, or drop them")
    if len(shape) == 1 and kind in ("U", "S", "O") and shape[0] and _is_text(X):
        words = "X[:, None] (or np.reshape(X, (-1, 1))) is one column"
        long = takes_sequences(self) and any(len(text) > 1 for text in X)
        hint = "; a text of letters is a sequence of its own, as np.array(list(text))[:, None]" if long else ""
        raise ValueError(f"Expected 2D array, got 1D array instead: X is a list of {shape[0]} texts. {words}{hint}")


def takes_sequences(self: Any) -> bool:
    """Whether an estimator's ``fit`` reads sequences."""
    return hasattr(self, "fit") and "lengths" in inspect.signature(self.fit).parameters


def _kind_and_shape(X: Any) -> tuple[str, tuple[int, ...]]:
    if hasattr(X, "dtype") and hasattr(X, "shape"):
        return str(getattr(X.dtype, "kind", "")), tuple(X.shape)
    if isinstance(X, list | tuple) and X and all(isinstance(value, str) for value in X):
        return "U", (len(X),)
    return "", ()


def _is_text(X: Any) -> bool:
    return all(isinstance(value, str) for value in np.asarray(X, dtype=object).tolist())


def _length(row: Any) -> int | None:
    """Values of a row; None where it is a single value."""
    if isinstance(row, str | bytes) or not hasattr(row, "__len__") or getattr(row, "shape", (1,)) == ():
        return None
    return len(row)


def _refuse_ragged(X: Any, sequences: bool) -> None:
    sizes = [_length(row) for row in X]
    if len(set(sizes)) < 2:
        return
    odd = next(i for i, size in enumerate(sizes) if size != sizes[0])
    what = [f"X[{i}] has {sizes[i]} values" if sizes[i] is not None else f"X[{i}] is {X[i]!r:.40}" for i in (0, odd)]
    hint = f"; {SEQUENCES}" if sequences else ""
    raise ValueError(
        f"X must hold numbers, with NaN where missing, in rows of one length: it is ragged (inhomogeneous), {what[0]} and "
        f"{what[1]}{hint}"
    )
