"""Records: frozen sets of named arrays that add and scale, so that a sum over rows is an object.

A record is a frozen dataclass whose fields are arrays, numbers, other records, tuples or dicts of these, or None.

    (a + b).f = a.f + b.f        (a * c).f = c a.f,  c >= 0        for every ordinary field f
    a.f = b.f required           unchanged                         for every field declared shared()

There is no subtraction: statistics form a cone (a difference of two sums of squares has lost its digits).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, dataclass_transform

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
T = TypeVar("T")


def shared(**kwargs: Any) -> Any:
    """Declare a field that must be equal in both terms of a sum and is neither added nor scaled."""
    return dataclasses.field(metadata={"shared": True}, **kwargs)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, shared))
def record(cls: type[T]) -> type[T]:
    """Make ``cls`` a record: a frozen dataclass with ``+`` and ``* c``.

    >>> import numpy as np
    >>> @record
    ... class Moments:
    ...     count: float
    ...     total: np.ndarray
    >>> (Moments(1.0, np.array([2.0])) + Moments(1.0, np.array([3.0])) * 2).total
    array([8.])
    """
    made: Any = dataclasses.dataclass(frozen=True, eq=False)(cls)
    made.__add__ = _add_records
    made.__getstate__ = _fields_of
    made.__mul__ = _scale_record
    made.__rmul__ = _scale_record
    return made  # type: ignore[no-any-return]


def _fields_of(value: Any) -> dict[str, Any]:
    """What travels to other processes: the fields, without values derived from them (``memo.remembered``)."""
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}


def is_record(value: object) -> bool:
    """Whether ``value`` is a record (an instance, not the class)."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _add_records(left: Any, right: Any) -> Any:
    if type(left) is not type(right):
        return NotImplemented
    return type(left)(**{f.name: _add_field(f, left, right) for f in dataclasses.fields(left)})


def _add_field(field: dataclasses.Field[Any], left: Any, right: Any) -> Any:
    a, b = getattr(left, field.name), getattr(right, field.name)
    if not field.metadata.get("shared"):
        return _add_values(a, b, f"{type(left).__name__}.{field.name}")
    if a is b or identical(a, b):
        return a
    raise ValueError(
        f"{type(left).__name__}.{field.name} is shared and differs between the two terms of a sum; "
        "bring both to one value first (for moments: reanchor)"
    )


def _add_values(a: Any, b: Any, where: str) -> Any:
    if a is None and b is None:
        return None
    if a is None or b is None:
        raise ValueError(f"{where} is None in one term of a sum and not in the other")
    if isinstance(a, tuple):
        return tuple(_add_values(x, y, where) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        if a.keys() != b.keys():
            raise ValueError(f"{where} has the parts {[*a]} in one term of a sum and {[*b]} in the other")
        return {name: _add_values(x, b[name], f"{where}.{name}") for name, x in a.items()}
    if not is_record(a) and np.shape(a) != np.shape(b):
        raise ValueError(f"{where} has shape {np.shape(a)} in one term of a sum and {np.shape(b)} in the other")
    return a + b


def _scale_record(value: Any, c: float) -> Any:
    if not isinstance(c, int | float | np.number) or not float(c) >= 0:
        raise ValueError(f"a record is scaled by a number >= 0, got {c!r}")
    return type(value)(
        **{
            f.name: getattr(value, f.name) if f.metadata.get("shared") else _scale_value(getattr(value, f.name), c)
            for f in dataclasses.fields(value)
        }
    )


def _scale_value(value: Any, c: float) -> Any:
    if value is None:
        return None
    if isinstance(value, tuple):
        return tuple(_scale_value(v, c) for v in value)
    if isinstance(value, dict):
        return {name: _scale_value(v, c) for name, v in value.items()}
    return value * c


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every array or number in a record, with its dotted name, in the order of declaration.

    >>> @record
    ... class P:
    ...     a: float
    ...     b: tuple[float, float]
    >>> list(leaves(P(1.0, (2.0, 3.0))))
    [('a', 1.0), ('b.0', 2.0), ('b.1', 3.0)]
    """
    if value is None:
        return
    if is_record(value):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name), f"{prefix}{field.name}.")
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            yield from leaves(item, f"{prefix}{i}.")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, f"{prefix}{name}.")
    else:
        yield prefix.rstrip("."), value


def shared_fields(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every shared field in a record, whole, with its dotted name.

    >>> @record
    ... class M:
    ...     total: float
    ...     anchor: float = shared()
    >>> list(shared_fields((M(1.0, 2.0), None)))
    [('0.anchor', 2.0)]
    """
    if is_record(value):
        for field in dataclasses.fields(value):
            name, part = f"{prefix}{field.name}", getattr(value, field.name)
            if field.metadata.get("shared"):
                yield name, part
            else:
                yield from shared_fields(part, f"{name}.")
    elif isinstance(value, tuple | dict):
        named = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in named:
            yield from shared_fields(part, f"{prefix}{key}.")


def rebuild(value: T, new: Mapping[str, Any], prefix: str = "") -> T:
    """``value`` with its leaves replaced by ``new`` (dotted name -> array); the inverse of ``leaves``."""
    if value is None:
        return value
    if is_record(value):
        fields = {f.name: rebuild(getattr(value, f.name), new, f"{prefix}{f.name}.") for f in dataclasses.fields(value)}  # type: ignore[arg-type]
        return type(value)(**fields)
    if isinstance(value, tuple):
        return tuple(rebuild(item, new, f"{prefix}{i}.") for i, item in enumerate(value))  # type: ignore[return-value]
    if isinstance(value, dict):
        return {name: rebuild(item, new, f"{prefix}{name}.") for name, item in value.items()}  # type: ignore[return-value]
    return new[prefix.rstrip(".")]  # type: ignore[no-any-return]


def transform(value: T, fn: Callable[[str, Any], Any]) -> T:
    """``value`` with ``fn(name, leaf)`` in place of every leaf."""
    return rebuild(value, {name: fn(name, leaf) for name, leaf in leaves(value)})


def identical(a: Any, b: Any) -> bool:
    """Whether two values have the same structure and the same bits (NaN equals NaN)."""
    left, right = list(leaves(a)), list(leaves(b))
    return [n for n, _ in left] == [n for n, _ in right] and all(
        np.array_equal(x, y, equal_nan=np.asarray(x).dtype.kind == "f") for (_, x), (_, y) in zip(left, right, strict=True)
    )


def has_nan(value: Any) -> bool:
    """Whether any leaf of a record holds a NaN or an infinity."""
    return any(np.asarray(x).dtype.kind == "f" and not np.all(np.isfinite(x)) for _, x in leaves(value))
