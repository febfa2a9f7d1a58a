"""Checkpoints: the state of a run as a safetensors file, written whole or not at all, and read back to the bit.

    header   {"estep": "checkpoint", "version": "1", "variant": "em: visit whole, ..."}
    arrays   the dotted names of the leaves of ``State``

A checkpoint holds data only; its structure comes from the model that resumes it. Write, fsync, rename: a full disk or a
kill in mid-write leaves the old checkpoint as it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from estep.core.files import read_arrays, write_arrays
from estep.core.record import leaves, rebuild
from estep.engine.presets import Variant
from estep.engine.state import State

KIND = "checkpoint"
BLEND = "blend."


def save_state(state: State, path: str | Path, variant: Variant) -> None:
    """Write ``state`` to ``path``."""
    write_arrays(path, KIND, dict(leaves(state)), {"variant": variant.describe()})


def load_state(path: str | Path, template: State, variant: Variant) -> State:
    """The state in ``path``, in the structure of ``template``; raises ValueError when it is another run's."""
    arrays, header = read_arrays(path, KIND)
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
