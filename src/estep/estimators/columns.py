"""The columns of X as numbers: a matrix as it is, categories as codes 0 .. m-1, tables column by column; NaN where missing.

A column is read as categories where the family asks for it (``categorical``). Its levels are, in this order of precedence,
those that its type declares (ordered as declared, seen or not), false and true, 0 and 1 where it holds no other number, and
else the values seen, sorted; what is neither a number nor text is read as its text. They stay on the estimator as
``levels_``, and rows that come later are coded by them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array, validate_data

from estep.core.record import Array
from estep.data.layout import is_missing
from estep.data.sources import is_source, source_of
from estep.estimators.from_file import read_file
from estep.estimators.strange_rows import refuse_shape, refuse_strange

LARGEST = 1e150  # squares of larger values leave the range of float64
SMALL_RANGE = 1 << 12
FEW_LEVELS = 20
READERS = ("pyarrow", "polars", "pandas")
HINT = "X must hold numbers, with NaN where missing"
REMEDY = "encode or drop columns of text"
MENDED = "mend it, or write NaN where the value is missing"


def read_columns(self: Any, X: Any, family: Any, *, reset: bool, lazy: bool = False) -> Any:
    """``X`` as ``family`` reads it, (n, d): floats, or a csr_array where the family takes one. Raises ValueError.

    ``lazy``: rows of a file may stay there.
    """
    X = table_of(X)
    wanted, unread = categorical_columns(self, X, family, reset), unread_columns(X, family)
    if reset:
        self.__dict__.pop("levels_", None)
    if is_source(X):
        return read_file(self, X, wanted, unread, reset, lazy)
    if not wanted and not unread and (_kind(X) != "table" or _is_pandas(X)):
        return read_matrix(
            self, X, reset, sparse=getattr(family, "sparse", False), infinite=getattr(family, "infinite", False)
        )
    return _read_each(self, X, wanted, unread, reset, getattr(family, "infinite", False))


def read_matrix(self: Any, X: Any, reset: bool, sparse: bool = False, infinite: bool = False) -> Any:
    """Numbers (n, d), float32 or float64; NaN, None and masked entries are missing; ``infinite`` admits infinities."""
    if (source := source_of(X)) is not None:
        return read_file(self, source, (), (), reset)
    if np.ma.isMaskedArray(X):
        X = np.ma.asarray(X, dtype=float).filled(np.nan)
    refuse_shape(self, X)
    try:
        kinds = [np.float64, np.float32]
        x = validate_data(
            self,
            X,
            reset=reset,
            dtype=kinds,
            ensure_all_finite=False if infinite else "allow-nan",
            accept_sparse="csr" if sparse else False,
        )
    except (ValueError, TypeError) as error:
        told = str(error)
        if told.startswith("Input X contains infinity") and (where := _infinite(X)) is not None:
            raise ValueError(f"{told.rstrip('.')}: {where}; {MENDED}") from None
        if isinstance(error, ValueError) and not told.startswith(("could not convert", "setting an array")):
            raise
        if isinstance(error, TypeError) and _kind(X) != "table":
            raise
        _refuse_text(X)
        raise ValueError(f"{HINT}: {error}; {REMEDY}") from None
    if sparse and _kind(x) == "sparse":
        return _compressed(x)
    _refuse_huge(x)
    return x


def table_of(X: Any) -> Any:
    """``X``, or the table that it streams: any object with ``__arrow_c_stream__`` will do; a path stands for the rows there."""
    import narwhals as nw

    if (source := source_of(X)) is not None:
        return source
    refuse_strange(X)
    X = nw.to_native(X, pass_through=True)
    if (
        nw.dependencies.is_into_lazyframe(X)
        and not nw.dependencies.is_into_dataframe(X)
        and not hasattr(X, "__arrow_c_stream__")
    ):
        raise TypeError(f"X is a {type(X).__name__}, which has no rows yet; collect it into a DataFrame first")
    if not hasattr(X, "__arrow_c_stream__") or nw.dependencies.is_into_dataframe(X) or nw.dependencies.is_into_series(X):
        return X
    backend = next((name for name in READERS if importlib.util.find_spec(name)), None)
    if backend is None:
        raise ImportError("X streams Arrow data, which needs pyarrow, polars or pandas to be read; install one of them")
    return nw.from_arrow(X, backend=backend).to_native()  # type: ignore[arg-type]


def column_names(X: Any) -> list[str]:
    """Names of the columns of ``X``: its own, or x0, x1, ...; none where X is no table."""
    if is_source(X):
        return list(X.names)
    if _kind(X) == "table":
        return [str(column.name) for column in _series(X)]
    shape: Any = getattr(X, "shape", None)
    if shape is None:
        row = X[0] if isinstance(X, list | tuple) and X else ()
        shape = (1, len(row)) if hasattr(row, "__len__") and not isinstance(row, str) else ()
    return [f"x{j}" for j in range(shape[1])] if len(shape) == 2 else []


def own_names(X: Any) -> list[str] | None:
    """The names that the columns of ``X`` have; None where they have none."""
    return column_names(X) if is_source(X) or _kind(X) == "table" else None


def categorical_columns(self: Any, X: Any, family: Any, reset: bool) -> list[int]:
    """The columns to read as categories: those the family asks for, later those that had levels."""
    if not reset:
        return [j for j, levels in enumerate(getattr(self, "levels_", ())) if levels is not None]
    asked = getattr(family, "categorical", None)
    return [] if asked is None else sorted({int(j) for j in asked(column_names(X))})


def unread_columns(X: Any, family: Any) -> list[int]:
    """The columns that the family says it does not read (``unread``), whatever they hold."""
    asked = getattr(family, "unread", None)
    return [] if asked is None else sorted({int(j) for j in asked(column_names(X))})


def _kind(X: Any) -> str:
    """What ``X`` is: "table", "sparse" or "array"."""
    import narwhals as nw

    if nw.dependencies.is_into_dataframe(X):
        return "table"
    return "sparse" if hasattr(X, "nnz") and hasattr(X, "tocsr") else "array"


def _is_pandas(X: Any) -> bool:
    import narwhals as nw

    return bool(nw.dependencies.is_pandas_dataframe(X))


def _series(X: Any) -> list[Any]:
    import narwhals as nw

    return list(nw.from_native(X, eager_only=True).iter_columns())


def _compressed(x: Any) -> Any:
    from scipy.sparse import csr_array

    if x.nnz and not np.isfinite(x.data[~np.isnan(x.data)]).all():
        raise ValueError("X contains infinity; a count is finite, and NaN where missing")
    return csr_array(x)


def _refuse_huge(x: Array) -> None:
    x = np.where(np.isinf(x), np.nan, x) if np.isinf(x).any() else x  # there by leave of the family, or refused before
    largest = max(float(np.fmax.reduce(x, axis=None)), -float(np.fmin.reduce(x, axis=None)))
    if largest > LARGEST:
        raise ValueError(f"X holds {largest:g}; squares of values beyond {LARGEST:g} overflow, so rescale its columns")


def _read_each(self: Any, X: Any, wanted: Sequence[int], unread: Sequence[int], reset: bool, infinite: bool) -> Array:
    """A table, or an array with categories, column by column."""
    if _kind(X) == "table":
        validate_data(self, X, reset=reset, skip_check_array=True)
        columns: list[Any] = _series(X)
        names = [str(column.name) for column in columns]
        n = len(columns[0]) if columns else 0
    else:
        if np.ma.isMaskedArray(X):
            X = np.where(np.ma.getmaskarray(X), np.array(None), np.ma.getdata(X).astype(object))
        refuse_shape(self, X)
        if isinstance(X, list | tuple):
            X = _objects(X)
        X = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite=False)
        names, n = column_names(X), len(X)
        columns = list(X.T)
    if strange := [j for j in wanted if not 0 <= j < len(columns)]:
        raise ValueError(f"column {strange[0]} is to be read as categories, but X has {len(columns)} columns")
    known: Any = getattr(self, "levels_", None)
    x = np.empty((n, len(columns)))
    levels: list[Any] = [None] * len(columns)
    for j, column in enumerate(columns):
        if j in unread:
            x[:, j] = np.nan
            continue
        if j not in wanted:
            x[:, j] = numbers_of(column, names[j])
            continue
        values = values_of(column, names[j])
        levels[j] = levels_of(values, declared(column), f"X: column {names[j]!r}") if reset else known[j]
        x[:, j] = coded(values, levels[j], f"X: column {names[j]!r}")
    if reset and wanted:
        self.levels_ = levels
    if not infinite and np.isinf(x).any():
        row, j = np.argwhere(np.isinf(x))[0]
        raise ValueError(f"Input X contains infinity: column {names[j]!r} in row {row}; {MENDED}")
    check_array(x, ensure_all_finite="allow-nan" if not infinite else False, input_name="X", estimator=self)
    _refuse_huge(x)
    return x


def _objects(X: Any) -> Any:
    """Nested lists as an array that keeps the kind of every value; ragged ones as they are."""
    try:
        return np.array(X, dtype=object)
    except ValueError:
        return X


# --- one column ---


def declared(column: Any) -> list[Any] | None:
    """The levels that a column's type declares, in its order; None where it declares none."""
    import narwhals as nw

    if isinstance(column, np.ndarray):
        return [False, True] if column.dtype.kind == "b" else None
    if column.dtype == nw.Boolean:
        return [False, True]
    if column.dtype == nw.Enum:
        return list(column.dtype.categories)
    if column.dtype != nw.Categorical:
        return None
    native = column.to_native()
    if hasattr(native, "cat") and hasattr(native.cat, "categories"):  # pandas
        return list(native.cat.categories)
    if hasattr(native, "unify_dictionaries"):  # Arrow's dictionaries list by appearance, unless they are said to be ordered
        chunks = native.unify_dictionaries().chunks
        levels = chunks[0].dictionary.to_pylist() if chunks else []
        return levels if native.type.ordered else sorted(levels)
    return None  # the categories of polars' Categorical belong to the process and not to the column


def values_of(column: Any, name: str) -> Any:
    """A column to be coded: floats where all of it are numbers, else a list of text, with None where missing."""
    import narwhals as nw

    if not isinstance(column, np.ndarray):
        if column.dtype.is_numeric() or column.dtype == nw.Boolean:
            return np.asarray(column.cast(nw.Float64).to_numpy(), dtype=float)
        column = np.array([*column.to_list(), None], dtype=object)[:-1]
    if column.dtype.kind in "biuf":
        return np.asarray(column, dtype=float)
    values = [None if is_missing(v) else v for v in column.tolist()]
    seen = [v for v in values if v is not None]
    numeric = [isinstance(v, bool | int | float | np.number | np.bool_) for v in seen]
    if seen and all(numeric):
        return np.array([np.nan if v is None else float(v) for v in values])
    refuse_mixed(values, f"X: column {name!r}")
    return [None if v is None else str(v) for v in values]


def refuse_mixed(values: list[Any], where: str) -> None:
    """Raise ValueError where some values are text and some are numbers (None is neither)."""
    numeric = [isinstance(v, bool | int | float | np.number | np.bool_) for v in values]
    if any(numeric) and any(isinstance(v, str) for v in values):
        row = numeric.index(True)
        raise ValueError(f"{where} mixes text and numbers (row {row} holds {values[row]!r}); make all of it text, or numbers")


def levels_of(values: Any, told: Sequence[Any] | None, where: str) -> NDArray[Any]:
    """The levels of a column that is read as categories, from what its type declares and what it holds."""
    if told is not None:
        plain = all(isinstance(v, bool | int | float | np.number) for v in told)
        return np.array(told if plain else [str(v) for v in told], dtype=None if plain and told else str)
    if not isinstance(values, np.ndarray):
        return np.array(sorted({v for v in values if v is not None}), dtype=str)
    seen = values[~np.isnan(values)]
    if np.isinf(seen).any():
        raise ValueError(f"{where} holds infinity in row {int(np.flatnonzero(np.isinf(values))[0])}; a category is finite")
    found = _sorted_values(seen)
    if np.isin(found, (0.0, 1.0)).all():
        return np.array([0, 1])
    if (found == np.floor(found)).all() and np.abs(found).max() < 2**53:
        return found.astype(np.int64)
    if found.size > max(FEW_LEVELS, seen.size / 2):
        raise ValueError(
            f"{where} is read as categories, but holds numbers with fractions, {found.size} different ones in {seen.size} "
            "rows; give it a family for numbers (such as Normal), or cut it into categories"
        )
    return found


def _sorted_values(seen: Array) -> Array:
    """The distinct values, ascending; whole numbers of a small range are counted and not sorted."""
    low, high = (seen.min(), seen.max()) if seen.size else (0.0, 0.0)
    if high - low < SMALL_RANGE and (seen == np.floor(seen)).all():
        return np.flatnonzero(np.bincount((seen - low).astype(np.intp))) + low if seen.size else seen
    return np.unique(seen)


def coded(values: Any, levels: NDArray[Any], where: str, unit: str = "level") -> Array:
    """Codes 0 .. m-1 of a column's values as floats, NaN where missing; raises ValueError on a value that is no level."""
    if isinstance(values, np.ndarray) and levels.dtype.kind in "biuf":
        codes, odd = _ranked(values, levels.astype(float))
        missing = np.isnan(values)
        odd &= ~missing
    else:
        code = {str(level): float(i) for i, level in enumerate(levels)} if levels.dtype.kind == "U" else {}
        texts = values.tolist() if isinstance(values, np.ndarray) else values
        codes = np.array([code.get(v, np.nan) for v in texts], dtype=float)
        missing = np.array([is_missing(v) for v in texts], dtype=bool)
        odd = np.isnan(codes) & ~missing
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        told = ", ".join(repr(v) for v in levels[:8].tolist()) + (", ..." if len(levels) > 8 else "")
        value = plain(values[row])
        raise ValueError(
            f"{where} holds {value!r} in row {row}, a {unit} that the fit did not see; it knows {told}; "
            "map it to one of these, or leave the row out"
        )
    codes[missing] = np.nan
    return codes


def _ranked(values: Array, levels: Array) -> tuple[Array, NDArray[np.bool_]]:
    """The place of every value among the levels, and whether it is none of them (a missing value is none)."""
    if np.array_equal(levels, np.arange(len(levels))):
        return values.copy(), ~((values >= 0) & (values < len(levels)) & (values == np.floor(values)))
    rank = np.argsort(levels, kind="stable")
    at = rank[np.minimum(np.searchsorted(levels[rank], values), len(levels) - 1)]
    return at.astype(float), levels[at] != values


def numbers_of(column: Any, name: str) -> Array:
    """A column of numbers as floats, NaN where missing; raises ValueError naming the first value that is none."""
    import narwhals as nw

    if not isinstance(column, np.ndarray):
        if column.dtype.is_numeric() or column.dtype == nw.Boolean:
            return np.asarray(column.cast(nw.Float64).to_numpy(), dtype=float)
        if column.dtype.is_temporal():
            raise ValueError(f"{HINT}: column {name!r} holds times ({column.dtype}); turn it into a number, or drop it")
        column = np.array([*column.to_list(), None], dtype=object)[:-1]
    if column.dtype.kind in "biuf":
        return np.asarray(column, dtype=float)
    out = np.empty(len(column))
    for i, value in enumerate(column.tolist()):
        try:
            out[i] = np.nan if is_missing(value) else float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{HINT}: column {name!r} holds {value!r} in row {i}; {REMEDY}") from None
    return out


def _infinite(X: Any) -> str | None:
    """Words about the first infinity in a table or an array of numbers, where there is one."""
    if _kind(X) == "sparse":
        return None
    values = X if isinstance(X, np.ndarray) else np.asarray(X, dtype=object)
    with np.errstate(over="ignore"):
        rows, columns = np.nonzero(np.isinf(values.astype(float)))
    names = column_names(X) or [f"x{j}" for j in range(values.shape[1])]
    return f"column {names[columns[0]]!r} in row {rows[0]}" if rows.size else None


def _refuse_text(X: Any) -> None:
    """Raise ValueError naming the first text in a table or an array of objects, where there is one."""
    if _kind(X) == "table":
        for column in _series(X):
            numbers_of(column, str(column.name))
        return
    array = _objects(X) if isinstance(X, list | tuple) else X
    if isinstance(array, np.ndarray) and array.ndim == 2 and array.dtype.kind in "OUS":
        for name, column in zip(column_names(array), array.T, strict=True):
            numbers_of(column, name)


def plain(value: Any) -> Any:
    """A number as it would be written: whole ones without a point."""
    if isinstance(value, float | np.floating):
        return int(value) if float(value).is_integer() else float(value)
    return value
