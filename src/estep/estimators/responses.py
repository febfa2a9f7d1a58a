"""What a regression reads: a design and a response, from a matrix, a table or a formula; gate covariates beside them.

A formula is read by formulaic (an optional extra), as in ``"y ~ a + log(b)"``; its intercept is the model's. Classes as
responses become codes 0 .. m - 1 in the order of ``classes_``. Every error names the argument and the remedy.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import column_or_1d

from estep.core.record import Array
from estep.data.layout import is_missing
from estep.data.sources import is_source
from estep.estimators.columns import column_names, own_names, plain, read_matrix
from estep.estimators.from_file import table_here
from estep.families.normal_shapes import numbers

SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Frame:
    """A design (n, p) with the names of its columns, whether the formula has an intercept, and its own response or None."""

    design: Array
    names: tuple[str, ...]
    intercept: bool
    response: Any = None


def read_design(self: Any, X: Any, *, reset: bool) -> Frame:
    """The design that the estimator's ``formula`` makes of ``X``, or the columns it reads."""
    formula = getattr(self, "formula", None)
    if formula is not None:
        return _by_formula(self, X, formula, "formula_", reset)
    x = np.asarray(read_matrix(self, X, reset), dtype=float)
    names = tuple(own_names(X) or column_names(X) or [f"x{j}" for j in range(x.shape[1])])
    chosen = getattr(self, "experts", None)
    if chosen is not None:
        index = columns_at(chosen, names, "experts")
        x, names = x[:, index], tuple(names[j] for j in index)
    return Frame(x, names, bool(self.intercept))


def read_gate(self: Any, X: Any, design: Frame, *, reset: bool) -> tuple[Array, tuple[str, ...]]:
    """The gate's covariates (n, q) and their names: a formula, columns of ``X``, or the design."""
    if self.gate is None:
        return design.design, design.names
    if isinstance(self.gate, str) and "~" in self.gate:
        found = _by_formula(self, X, self.gate, "gate_formula_", reset)
        if found.response is not None:
            raise ValueError(f"gate={self.gate!r} has a response; a gate's formula has covariates alone, such as '~ z'")
        return found.design, found.names
    names = tuple(own_names(X) or column_names(X))
    index = columns_at(self.gate, names, "gate")
    if getattr(self, "formula", None) is None:
        return np.asarray(read_matrix(self, X, False), dtype=float)[:, index], tuple(names[j] for j in index)
    chosen = _table(X, f"gate={self.gate!r}")[[names[j] for j in index]]
    return numbers(chosen, "gate"), tuple(names[j] for j in index)


def columns_at(chosen: Any, names: Sequence[str], argument: str) -> list[int]:
    """Indices of columns given by name or index; raises ValueError."""
    asked = [chosen] if isinstance(chosen, str | int | np.integer) else list(chosen)
    index = []
    for entry in asked:
        j = names.index(entry) if isinstance(entry, str) and entry in names else entry
        if isinstance(j, bool | str) or not isinstance(j, int | np.integer) or not -len(names) <= j < len(names):
            raise ValueError(f"{argument} names the column {entry!r}, but X has {len(names)}: {list(names[:SHOWN])}")
        index.append(int(j) % len(names))
    if not index:
        raise ValueError(f"{argument} is empty; name at least one column")
    return index


def _table(X: Any, argument: str) -> Any:
    """``X`` as a pandas table; raises ValueError where it has no columns by name."""
    import narwhals as nw

    if is_source(X):
        X = table_here(X)
    if not nw.dependencies.is_into_dataframe(X):
        raise ValueError(f"{argument} names columns, so X must be a DataFrame, got {type(X).__name__}")
    return nw.from_native(X, eager_only=True).to_pandas()


def _by_formula(self: Any, X: Any, formula: str, attribute: str, reset: bool) -> Frame:
    formulaic = _formulaic(formula)
    table = _table(X, f"formula {formula!r}")
    if reset:
        try:
            made = formulaic.model_matrix(formula, table, na_action="ignore", output="pandas")
        except Exception as error:
            raise _unread(formula, table, error) from None
        setattr(self, attribute, made.model_spec)
        if attribute == "formula_":
            self.n_features_in_ = table.shape[1]
            self.feature_names_in_ = np.asarray(table.columns, dtype=object)
            self._texts = tuple(j for j, kind in enumerate(table.dtypes) if kind.kind not in "biuf")
    spec = getattr(self, attribute)
    sides = spec if hasattr(spec, "rhs") else None
    right = spec if sides is None else sides.rhs
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", formulaic.errors.DataMismatchWarning)
            matrix = right.get_model_matrix(table, na_action="ignore", output="pandas")
    except Exception as error:
        raise _unread(formula, table, error) from None
    intercept = "Intercept" in matrix.columns
    matrix = matrix.drop(columns="Intercept") if intercept else matrix
    return Frame(np.asarray(matrix, dtype=float), tuple(map(str, matrix.columns)), intercept, _left(sides, table))


def _unread(formula: str, table: Any, error: Exception) -> ValueError:
    """Why a formula has no meaning on a table, in plain text."""
    told = re.sub(r"\x1b\[[0-9;]*m|[\u29da\u29db]", "", str(error)).split("\n\n")[0]
    if isinstance(error, Warning) and (levels := re.search(r"\{.*\}", told)):
        seen = "has no value in a row" if "nan" in levels[0] else f"holds {levels[0]}, which the fit did not see"
        told = f"a column of categories {seen}; map it to a level that the fit saw, or drop such rows"
    return ValueError(f"formula {formula!r} cannot be read on X (columns {list(table.columns[:SHOWN])}): {told}")


def _left(sides: Any, table: Any) -> Any:
    """The response of a formula, from the table where it has the columns; None where it has not."""
    if sides is None:
        return None
    if not set(map(str, sides.lhs.required_variables)) <= set(table.columns):
        return None
    made = sides.lhs.get_model_matrix(table, na_action="ignore", output="pandas")
    if made.shape[1] != 1:
        raise ValueError(
            f"the formula's response makes {made.shape[1]} columns; give classes as y= and the formula without a response"
        )
    return np.asarray(made)[:, 0]


def _formulaic(formula: str) -> Any:
    try:
        import formulaic
    except ImportError:
        raise ImportError(
            f"formula {formula!r} is read by formulaic, which is not installed; pip install 'estep[formula]', or give a matrix"
        ) from None
    return formulaic


def read_response(self: Any, y: Any, family: Any, n: int, *, reset: bool) -> Array:
    """The response as the family reads it, NaN where missing; where there is none (in predict) all of it is missing."""
    if y is None:
        if reset:
            told = getattr(self, "formula", None)
            hint = "" if told is None else f", and formula {told!r} has no response; write 'y ~ ...' with its column's name"
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None{hint}")
        return np.full(n, np.nan)
    values = np.asarray(y) if not hasattr(y, "to_numpy") else y.to_numpy()
    if values.ndim == 2 and values.shape[1] == 1:
        values = column_or_1d(values, warn=True)
    kind = getattr(family, "classes", "none")
    if len(values) != n or values.ndim not in ((1, 2) if kind == "two" else (1,)):
        raise ValueError(f"y has shape {values.shape}, expected ({n},): one response a row of X")
    if kind == "none" or (kind == "two" and values.ndim == 2):
        return _finite(numbers(values, "y"))
    return _coded(self, values, kind, reset)


def _finite(values: Array) -> Array:
    if np.isinf(values).any():
        raise ValueError("Input y contains infinity or a value too large for dtype('float64'); give numbers, NaN where missing")
    return values


def _coded(self: Any, values: NDArray[Any], kind: str, reset: bool) -> Array:
    """Codes 0 .. m - 1 of classes, NaN where missing; a fit learns the classes (``classes_``)."""
    if values.dtype.kind == "f":
        _finite(values)
        if (values[~np.isnan(values)] != np.floor(values[~np.isnan(values)])).any():
            raise ValueError("Unknown label type: y holds numbers that are not whole; give classes, or a family for numbers")
    missing = np.array([is_missing(v) for v in values.tolist()], dtype=bool)
    told = values[~missing]
    told = told if told.dtype.kind in "biuf" else np.array([str(v) for v in told.tolist()])
    if reset:
        found = np.unique(told)
        self.classes_ = np.array([0, 1]) if kind == "two" and set(found.tolist()) <= {0, 1} else found
        if kind == "two" and self.classes_.size != 2:
            seen = found[:SHOWN].tolist()
            raise ValueError(f"y holds {found.size} classes {seen}, expected 2; for more use family='multinomial'")
    at = np.searchsorted(self.classes_, told) if told.size else np.empty(0, dtype=np.intp)
    at = np.minimum(at, self.classes_.size - 1)
    if (strange := self.classes_[at] != told).any():
        known = [plain(v) for v in self.classes_[:SHOWN].tolist()]
        raise ValueError(f"y holds the class {plain(told[strange].tolist()[0])!r}, which the fit did not see; it knows {known}")
    codes = np.full(len(values), np.nan)
    codes[~missing] = at
    return codes


def read_offset(offset: Any, n: int) -> Array | None:
    """Offsets (n,) of the linear predictor, or None."""
    if offset is None:
        return None
    array = numbers(offset, "offset")
    array = np.full(n, float(array)) if array.ndim == 0 else array
    if array.shape != (n,):
        raise ValueError(f"offset has shape {array.shape}, expected ({n},): one a row of X")
    if not np.isfinite(array).all():
        raise ValueError(f"offset[{int(np.flatnonzero(~np.isfinite(array))[0])}] is not finite; give a number in every row")
    return array
