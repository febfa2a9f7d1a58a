"""A family for every column of a table, proposed from what the columns hold, in words.

    false and true, 0 and 1          Bernoulli
    text, categories                 Categorical
    whole numbers >= 0, small        Poisson; NegativeBinomial where the variance is far above the mean
    above zero and skewed            LogNormal or Gamma, whichever is likelier
    other numbers                    one jointly normal block
    one value, identifiers, times    left out

A proposal looks at columns one by one, before any component is known: it is a place to begin. Overrides settle what it
cannot know.

The likelier of two laws is the one with the larger maximum of the likelihood. The gamma shape comes from the approximation
that opens Minka (2002), "Estimating a Gamma distribution", and one Newton step.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.data.layout import is_missing
from estep.estimators.columns import declared, table_of
from estep.families.product import Product
from estep.families.words import class_called, family_called

SMALL_MEAN = 30.0
"""Whole numbers with a larger mean are read as measurements."""
OVERDISPERSED = 2.0
"""Variance over mean from which counts are called overdispersed."""
SKEWED = 1.0
FEW_ROWS = 20
"""Fewer rows than this are never enough to call a column of unlike values an identifier."""
MANY_LEVELS = 50
CODES = 5
OMIT = ("ignore", "omit", "drop")


@dataclasses.dataclass(frozen=True)
class Told:
    """What is proposed for a column: a word for its family, None to leave it out, and why."""

    word: str | None
    why: str


def propose_family(table: Any, overrides: Mapping[str, Any] | None = None) -> tuple[Product, str]:
    """A ``Product`` for the columns of a table, and a sentence about every column.

    Parameters
    ----------
    table : DataFrame, Arrow table, array (n, d) or dict of columns by name
        The rows. Columns of an array are called x0, x1, ...
    overrides : dict or None
        Families for columns by name: a word ("poisson", "normal", ...), a family, or "ignore" to leave the column out.

    Returns
    -------
    family : Product
        One part for each column; the columns proposed as normal together are one part.
    words : str
        A line for each column: what is proposed, and why.

    Raises
    ------
    ValueError
        On an override of an unknown column or by an unknown word, or where no column is left.

    Examples
    --------
    >>> import pandas as pd
    >>> visits, height = [0, 1, 0, 2, 1, 0, 1, 3], [1.6, 1.8, 1.7, 1.9, 1.5, 1.7, 1.8, 1.6]
    >>> table = pd.DataFrame({"colour": ["red", "blue"] * 4, "visits": visits, "height": height})
    >>> family, words = propose_family(table)
    >>> family.names
    ('colour.probs', 'visits.rates', 'height.means', 'height.covariances')
    >>> print(words.splitlines()[0])
    colour: categorical (2 levels)
    """
    columns = _columns(table)
    told = {name: _proposed(column) for name, column in columns.items()}
    families: dict[str, Any] = {name: one.word for name, one in told.items()}
    for name, given in (overrides or {}).items():
        if name not in columns:
            raise ValueError(f"overrides names the column {name!r}, which the table does not have; it has {[*columns][:10]}")
        families[name] = _override(name, given)
        told[name] = Told(given if isinstance(given, str) else type(given).__name__, "as told")
    kept = {name: family for name, family in families.items() if family is not None}
    lines = [_line(name, told[name], families[name]) for name in columns]
    if not kept:
        raise ValueError("no column is left to model:\n" + "\n".join(lines) + "\ngive families with overrides={column: family}")
    return _product(kept, [name for name in columns if name not in kept]), "\n".join(lines)


def _override(name: str, given: Any) -> Any:
    if isinstance(given, str):
        if given in OMIT:
            return None
        try:
            class_called(given)
        except ValueError as error:
            raise ValueError(f"overrides[{name!r}]: {error}, or 'ignore'") from None
    return given


def _line(name: str, told: Told, family: Any) -> str:
    words = told.word if family is not None and told.word else "left out"
    return f"{name}: {words} ({told.why})"


def _product(kept: Mapping[str, Any], ignored: list[str]) -> Product:
    """One part a column, the normal ones together where the first of them stands."""
    normal = [name for name, family in kept.items() if isinstance(family, str) and class_called(family) == "Normal"]
    parts: list[Any] = []
    for name, family in kept.items():
        if name not in normal:
            parts.append((family_called(family), name))
        elif name == normal[0]:
            parts.append((family_called(family), normal))
    return Product(parts, ignore=ignored)


# --- reading ---


@dataclasses.dataclass(frozen=True)
class Column:
    """Values of one column: ``numbers`` (observed ones, or None), ``texts`` (or None), ``kind`` of its type, all rows ``n``."""

    n: int
    numbers: Array | None = None
    texts: list[str] | None = None
    kind: str = ""


def _columns(table: Any) -> dict[str, Column]:
    """The columns of a table by name; raises TypeError on what is no table."""
    import narwhals as nw

    if isinstance(table, Mapping):
        return {str(name): _of_array(np.asarray(column)) for name, column in table.items()}
    table = table_of(table)
    if nw.dependencies.is_into_dataframe(table):
        frame = nw.from_native(table, eager_only=True)
        return {str(column.name): _of_series(column) for column in frame.iter_columns()}
    array = np.asarray(table)
    if array.ndim != 2:
        raise TypeError(f"a table or an array (n, d) is needed to propose a family, got shape {array.shape}")
    return {f"x{j}": _of_array(array[:, j]) for j in range(array.shape[1])}


def _of_series(column: Any) -> Column:
    import narwhals as nw

    n, dtype = len(column), column.dtype
    if dtype == nw.Boolean:
        return Column(n, kind="boolean", texts=[str(v) for v in column.to_list() if not is_missing(v)])
    if dtype.is_numeric():
        values = np.asarray(column.cast(nw.Float64).to_numpy(), dtype=float)
        return Column(n, numbers=values[~np.isnan(values)])
    if dtype.is_temporal():
        return Column(n, kind="time")
    if dtype in (nw.Categorical, nw.Enum):
        levels = declared(column)
        found = [str(v) for v in column.to_list() if not is_missing(v)]
        return Column(n, texts=found, kind=f"categories:{len(levels) if levels else len(set(found))}")
    return _of_array(np.array([*column.to_list(), None], dtype=object)[:-1])


def _of_array(column: NDArray[Any]) -> Column:
    n = len(column)
    if column.dtype.kind == "b":
        return Column(n, kind="boolean", texts=[str(v) for v in column.tolist()])
    if column.dtype.kind in "iuf":
        values = column.astype(float)
        return Column(n, numbers=values[~np.isnan(values)])
    if column.dtype.kind in "mM":
        return Column(n, kind="time")
    seen = [v for v in column.tolist() if not is_missing(v)]
    if seen and all(isinstance(v, bool | np.bool_) for v in seen):
        return Column(n, kind="boolean", texts=[str(v) for v in seen])
    if seen and all(isinstance(v, int | float | np.number) for v in seen):
        return Column(n, numbers=np.array(seen, dtype=float))
    if seen and all(hasattr(v, "isoformat") for v in seen):
        return Column(n, kind="time")
    return Column(n, texts=[str(v) for v in seen])


# --- proposing: the first rule that answers ---


def _proposed(column: Column) -> Told:
    for rule in RULES:
        if (told := rule(column)) is not None:
            return told
    return Told("normal", "numbers")


def _nothing(column: Column) -> Told | None:
    if column.kind == "time":
        return Told(None, "times and dates; turn them into numbers, such as hours or days, to use them")
    if column.numbers is None and column.texts is None:
        return Told(None, "no values")
    seen = column.texts if column.numbers is None else column.numbers
    assert seen is not None
    if len(seen) == 0:
        return Told(None, "no value is observed")
    if len(set(np.asarray(seen).tolist())) == 1:
        return Told(None, f"every value is the same, {_shown(seen[0])}, which tells nothing about components")
    return None


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else repr(value)


def _boolean(column: Column) -> Told | None:
    return Told("bernoulli", "false and true") if column.kind == "boolean" else None


def _text(column: Column) -> Told | None:
    if column.texts is None:
        return None
    levels, n = len(set(column.texts)), len(column.texts)
    if column.kind.startswith("categories:"):
        return Told("categorical", f"{column.kind.removeprefix('categories:')} declared levels")
    if levels == n and n >= FEW_ROWS:
        return Told(None, "every row has a text of its own, as identifiers and names have")
    if levels > MANY_LEVELS and levels > n / 10:
        return Told(None, f"{levels} levels in {n} rows, too many to learn their probabilities; group them to use them")
    return Told("categorical", f"{levels} levels")


def _whole(column: Column) -> Told | None:
    """Whole numbers: flags, identifiers and counts."""
    x = column.numbers
    if x is None or not np.array_equal(x, np.floor(x)):
        return None
    values = np.unique(x)
    if np.isin(values, (0.0, 1.0)).all():
        return Told("bernoulli", "0 and 1")
    steps = np.diff(values)
    if len(values) == len(x) >= FEW_ROWS and (steps == 1).mean() > 0.5:
        return Told(None, "every row has a whole number of its own, one after the other, as identifiers have")
    if values[0] < 0 or x.mean() > SMALL_MEAN:
        return None
    return _count(x, values)


def _count(x: Array, values: Array) -> Told:
    ratio = float(x.var() / x.mean())
    hint = "" if values[0] == 0 or len(values) > CODES else "; if these are codes of categories, say 'categorical'"
    if ratio > OVERDISPERSED:
        return Told("negativebinomial", f"counts, whose variance is {ratio:.1f} times their mean{hint}")
    return Told("poisson", f"counts, mean {x.mean():.3g}, variance {ratio:.2g} times the mean{hint}")


def _skewed(column: Column) -> Told | None:
    x = column.numbers
    if x is None or not (x > 0).all():
        return None
    z = (x - x.mean()) / x.std()
    skewness = float((z**3).mean())
    if skewness <= SKEWED:
        return None
    gap = _gamma_loglik(x) - _lognormal_loglik(x)
    word, other = ("gamma", "log-normal") if gap > 0 else ("lognormal", "gamma")
    return Told(word, f"above zero and skewed (skewness {skewness:.1f}); likelier than {other} by {abs(gap):.3g} nats")


def _lognormal_loglik(x: Array) -> float:
    logs = np.log(x)
    return float(-logs.sum() - 0.5 * len(x) * (math.log(2.0 * math.pi * logs.var()) + 1.0))


def _gamma_loglik(x: Array) -> float:
    from scipy.special import gammaln, polygamma, psi

    gap = math.log(x.mean()) - float(np.log(x).mean())
    shape = (3.0 - gap + math.sqrt((gap - 3.0) ** 2 + 24.0 * gap)) / (12.0 * gap)
    shape -= (math.log(shape) - float(psi(shape)) - gap) / (1.0 / shape - float(polygamma(1, shape)))
    rate = shape / x.mean()
    terms = shape * math.log(rate) - float(gammaln(shape)) + (shape - 1.0) * np.log(x) - rate * x
    return float(terms.sum())


RULES: tuple[Callable[[Column], Told | None], ...] = (_nothing, _boolean, _text, _whole, _skewed)
