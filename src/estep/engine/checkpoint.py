"""Checkpoints: the state of a run as a safetensors file, written whole or not at all, and read back to the bit.

    header   {"estep": "checkpoint", "version": "1", "variant": "em: visit whole, ...", "checksum": "crc32 of the arrays"}
    arrays   the dotted names of the leaves of ``State``

A checkpoint holds data only; its structure comes from the model that resumes it. Write, fsync, rename: a full disk or a
kill in mid-write leaves the old checkpoint as it was.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from estep.core.files import read_arrays, write_arrays
from estep.core.record import leaves, rebuild
from estep.engine.presets import Variant
from estep.engine.state import State

KIND = "checkpoint"
BLEND = "blend."


def save_state(state: State, path: str | Path, variant: Variant) -> None:
    """Write ``state`` to ``path``."""
    arrays = dict(leaves(state))
    write_arrays(path, KIND, arrays, {"variant": variant.describe(), "checksum": checksum(arrays)})


def load_state(path: str | Path, template: State, variant: Variant) -> State:
    """The state in ``path``, in the structure of ``template``; raises ValueError when it is another run's, or damaged."""
    arrays, header = read_arrays(path, KIND)
    refuse_damaged(path, arrays, header)
    template = recalled(template, arrays, variant)
    names = [name for name, _ in leaves(template)]
    if sorted(names) != sorted(arrays):
        odd = sorted(set(names) ^ set(arrays))[:3]
        raise ValueError(
            f"{path}: this checkpoint belongs to another model (differs at {odd}); resume with the model that wrote it"
        )
    if header.get("variant") != variant.describe():
        raise ValueError(f"{path}: this checkpoint was written by {header.get('variant')!r}, not {variant.describe()!r}")
    _check_shapes(path, template, arrays)
    return rebuild(template, arrays)


def checksum(arrays: Mapping[str, Any]) -> str:
    """A number that any change of a bit of the arrays changes, or of their names, kinds or shapes.

    >>> checksum({"a": np.zeros(2)}) == checksum({"a": np.array([0.0, -0.0])})
    False
    """
    total = 0
    for name in sorted(arrays):
        value = np.array(arrays[name], order="C", ndmin=0)
        total = zlib.crc32(f"{name} {value.dtype.str} {value.shape}".encode(), total)
        total = zlib.crc32(value.tobytes(), total)
    return f"{total:08x}"


def refuse_damaged(path: str | Path, arrays: Mapping[str, Any], header: Mapping[str, str]) -> None:
    """Raise ValueError where arrays are not what was written; files without a checksum are taken as they are."""
    if "checksum" in header and header["checksum"] != checksum(arrays):
        raise ValueError(f"{path}: its numbers are not those that were written; the file is damaged, begin again without it")


def recalled(template: State, arrays: Mapping[str, Any], variant: Variant) -> State:
    """``template`` with a memory of the kind that ``arrays`` hold, where the variant's blend can tell (``recall(arrays)``)."""
    recall = getattr(variant.blend, "recall", None)
    if recall is None:
        return template
    held = {name.removeprefix(BLEND): value for name, value in arrays.items() if name.startswith(BLEND)}
    return dataclasses.replace(template, blend=recall(held))


def fewer_classes(template: State, arrays: Mapping[str, Any]) -> bool:
    """Whether the run of ``arrays`` had removed some of the classes that ``template`` begins with."""
    return template.kept is not None and len(arrays["kept"]) < len(template.kept)


def _check_shapes(path: str | Path, template: State, arrays: dict[str, Any]) -> None:
    if fewer_classes(template, arrays):
        return
    for name, value in leaves(template.params, "params."):
        if arrays[name].shape != getattr(value, "shape", ()):
            raise ValueError(
                f"{path}: {name} has shape {arrays[name].shape} in the checkpoint, {getattr(value, 'shape', ())} in the model; "
                "resume with the same number of components and columns"
            )
