"""Values as JSON and arrays, and back: plain data and dataclasses of a given list, never code.

    number, string, bool, None      itself ({"float": "nan"} for what JSON lacks)
    list, tuple, dict               {"list"|"tuple"|"dict": [...]}
    dict, not all of its keys text  {"pairs": [[key, value], ...]}, the keys text, whole numbers or tuples of these
    array, numpy number             {"array": name} with the array beside
    enum                            {"enum": class, "name": member}
    dataclass                       {"is": class, "fields": {...}}

Decoding builds only the classes it is given, by name, from exactly their fields, each of the type that the class declares.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import types
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

Arrays = dict[str, Any]
Classes = Mapping[str, type]


def encode(value: Any, arrays: Arrays, classes: Classes, where: str = "") -> Any:
    """``value`` as JSON, its arrays added to ``arrays`` under dotted names; raises TypeError on what cannot be saved."""
    for holds, write in _WRITERS:
        if holds(value):
            return write(value, arrays, classes, where)
    raise TypeError(f"cannot save {where or 'the value'}: {type(value).__name__} is not data that a model file may hold")


def _plain(value: Any, arrays: Arrays, classes: Classes, where: str) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _array(value: Any, arrays: Arrays, classes: Classes, where: str) -> Any:
    array = np.asarray(value)
    if array.dtype.kind == "U" and array.ndim == 1:
        return {"strings": array.tolist()}
    if array.dtype.kind not in "biuf":
        raise TypeError(f"cannot save {where}: an array of {array.dtype} is not numbers")
    name = where or "value"
    arrays[name] = array
    return {"array": name}


def _sequence(value: Any, arrays: Arrays, classes: Classes, where: str) -> Any:
    kind = "tuple" if isinstance(value, tuple) else "list"
    return {kind: [encode(v, arrays, classes, f"{where}.{i}") for i, v in enumerate(value)]}


def _dict(value: Any, arrays: Arrays, classes: Classes, where: str) -> Any:
    if not all(isinstance(key, str) for key in value):
        if strange := [key for key in value if not _is_key(key)]:
            raise TypeError(f"cannot save {where}: keys must be text, whole numbers or tuples of these, found {strange[0]!r}")
        keys = [encode(key, arrays, classes, where) for key in value]
        values = [encode(v, arrays, classes, f"{where}.{key}") for key, v in value.items()]
        return {"pairs": [[key, v] for key, v in zip(keys, values, strict=True)]}
    return {"dict": {key: encode(v, arrays, classes, f"{where}.{key}") for key, v in value.items()}}


def _is_key(key: Any) -> bool:
    if isinstance(key, tuple):
        return all(_is_key(part) for part in key)
    return isinstance(key, str | int) and not isinstance(key, bool | enum.Enum)


def _enum(value: Any, arrays: Arrays, classes: Classes, where: str) -> Any:
    return {"enum": _name(type(value), classes, where), "name": value.name}


def _dataclass(value: Any, arrays: Arrays, classes: Classes, where: str) -> Any:
    fields = {
        f.name: encode(getattr(value, f.name), arrays, classes, f"{where}.{f.name}")
        for f in dataclasses.fields(value)
        if f.init
    }
    return {"is": _name(type(value), classes, where), "fields": fields}


def _name(cls: type, classes: Classes, where: str) -> str:
    if classes.get(cls.__name__) is not cls:
        raise TypeError(
            f"cannot save {where}: {cls.__name__} is not a known class; pass it in classes= when saving and loading"
        )
    return cls.__name__


_WRITERS: tuple[tuple[Callable[[Any], bool], Callable[..., Any]], ...] = (
    (lambda v: v is None or (isinstance(v, bool | int | float | str) and not isinstance(v, enum.Enum | np.generic)), _plain),
    (lambda v: isinstance(v, np.ndarray | np.generic), _array),
    (lambda v: isinstance(v, enum.Enum), _enum),
    (lambda v: dataclasses.is_dataclass(v) and not isinstance(v, type), _dataclass),
    (lambda v: isinstance(v, list | tuple), _sequence),
    (lambda v: isinstance(v, range), lambda v, a, c, w: _sequence(list(v), a, c, w)),
    (lambda v: isinstance(v, Mapping), _dict),
)


def decode(data: Any, arrays: Mapping[str, Any], classes: Classes) -> Any:
    """The value that ``encode`` wrote; raises ValueError on anything else."""
    if not isinstance(data, dict):
        if data is None or isinstance(data, bool | int | float | str):
            return data
        raise ValueError(f"unexpected {type(data).__name__} in the header")
    read = _READERS.get(frozenset(data))
    if read is None:
        raise ValueError(f"unknown entry {sorted(data)[:3]} in the header")
    return read(data, arrays, classes)


def _read_float(data: Any, arrays: Mapping[str, Any], classes: Classes) -> Any:
    if data["float"] not in ("nan", "inf", "-inf"):
        raise ValueError(f"unexpected number {data['float']!r} in the header")
    return float(data["float"])


def _read_array(data: Any, arrays: Mapping[str, Any], classes: Classes) -> Any:
    if not isinstance(data["array"], str) or data["array"] not in arrays:
        raise ValueError(f"the array {data['array']!r} is missing")
    array = arrays[data["array"]]
    return array[()] if array.ndim == 0 else array


def _read_items(data: Any, arrays: Mapping[str, Any], classes: Classes) -> list[Any]:
    items = data.get("list", data.get("tuple"))
    if not isinstance(items, list):
        raise ValueError("a list in the header is not a list")
    return [decode(item, arrays, classes) for item in items]


def _read_dict(data: Any, arrays: Mapping[str, Any], classes: Classes) -> Any:
    if not isinstance(data["dict"], dict):
        raise ValueError("a dict in the header is not a dict")
    return {key: decode(v, arrays, classes) for key, v in data["dict"].items()}


def _read_pairs(data: Any, arrays: Mapping[str, Any], classes: Classes) -> Any:
    pairs = data["pairs"]
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ValueError("the pairs in the header are not pairs")
    found = [(decode(key, arrays, classes), decode(v, arrays, classes)) for key, v in pairs]
    if not all(_is_key(key) for key, _ in found):
        raise ValueError("a key in the header is neither text, a whole number nor a tuple of these")
    return dict(found)


def _class(name: Any, classes: Classes) -> Any:
    if not isinstance(name, str) or name not in classes:
        raise ValueError(f"the class {name!r} is unknown; for a class of your own pass classes=[...]")
    return classes[name]


def _read_enum(data: Any, arrays: Mapping[str, Any], classes: Classes) -> Any:
    cls = _class(data["enum"], classes)
    name = data["name"]
    if not (isinstance(cls, type) and issubclass(cls, enum.Enum)) or not isinstance(name, str) or name not in cls.__members__:
        raise ValueError(f"{data['enum']} has no member {name!r}")
    return cls[name]


def _read_dataclass(data: Any, arrays: Mapping[str, Any], classes: Classes) -> Any:
    cls: Any = _class(data["is"], classes)
    fields = data["fields"]
    if not hasattr(cls, "__dataclass_fields__") or not isinstance(fields, dict):
        raise ValueError(f"{data['is']!r} is not a record")
    known = {f.name: f.default for f in dataclasses.fields(cls) if f.init}
    if strange := sorted(set(fields) - set(known)):
        raise ValueError(f"{data['is']} has no field {strange[0]!r}")
    values = {name: decode(v, arrays, classes) for name, v in fields.items()}
    hints = _hints(cls)
    for name, value in values.items():
        if value is not known[name] and not _fits(value, hints.get(name, Any)):
            raise ValueError(f"{data['is']}.{name} is a {type(value).__name__}, expected {hints[name]}")
    try:
        return cls(**values)
    except (TypeError, AttributeError, KeyError, IndexError) as error:
        raise ValueError(f"{data['is']} cannot be rebuilt: {error}") from None


_TOLD = (type(None), str, tuple, list, dict, Mapping, np.ndarray)


def _hints(cls: type) -> dict[str, Any]:
    """The types of a record's fields, as far as they can be told."""
    try:
        return get_type_hints(cls)
    except (NameError, TypeError):
        return {}


def _fits(value: Any, hint: Any) -> bool:
    """Whether ``value`` is of the declared type, as far as a plain type says; an integer is a number too."""
    kind = get_origin(hint) or hint
    if kind in (Union, types.UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if kind is float:
        return isinstance(value, float | np.number) or _fits(value, int)
    if kind is int:
        return isinstance(value, int | np.integer) and not isinstance(value, bool) and abs(int(value)) < 2**63
    if kind is bool:
        return isinstance(value, bool | np.bool_)
    if kind is tuple and get_args(hint)[1:] == (...,):
        return isinstance(value, tuple) and all(_fits(one, get_args(hint)[0]) for one in value)
    told = kind in _TOLD or dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, enum.Enum))
    return isinstance(value, kind) if told else True


def _read_strings(data: Any, arrays: Mapping[str, Any], classes: Classes) -> Any:
    strings = data["strings"]
    if not isinstance(strings, list) or not all(isinstance(text, str) for text in strings):
        raise ValueError("a list of strings in the header is not one")
    return np.array(strings, dtype=str)


_READERS: dict[frozenset[str], Callable[[Any, Mapping[str, Any], Classes], Any]] = {
    frozenset({"float"}): _read_float,
    frozenset({"array"}): _read_array,
    frozenset({"strings"}): _read_strings,
    frozenset({"list"}): _read_items,
    frozenset({"tuple"}): lambda d, a, c: tuple(_read_items(d, a, c)),
    frozenset({"dict"}): _read_dict,
    frozenset({"pairs"}): _read_pairs,
    frozenset({"enum", "name"}): _read_enum,
    frozenset({"is", "fields"}): _read_dataclass,
}
