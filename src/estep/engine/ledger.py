"""A ledger of runs: where each of the many runs of a fit stands, so that a fit that was cut off goes on to the same bits.

A fit is many runs: a short one from every start, long ones from the best, again for every cell of a table. All of it
follows from the data and the seed, except the passes, which take the time. So the ledger keeps a state for each run, under
a name; a fit that is asked for again is done again, but a run that the ledger knows begins at its state there.

    header   {"estep": "ledger", "version": "1", "runs": [[name, variant], ...], ...}      arrays   "<run>:<leaf of State>"
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from estep.core.files import parse_json, read_arrays, write_arrays
from estep.core.record import leaves, rebuild
from estep.core.result import Status
from estep.engine.checkpoint import checksum, fewer_classes, recalled, refuse_damaged
from estep.engine.presets import Variant
from estep.engine.state import State

KIND = "ledger"
Saved = tuple[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Ledger:
    """States of runs by name: those noted by this process, and those ``saved`` by one before it.

    ``told(run, state)`` is called after every note; ``place`` comes before every name.
    """

    states: dict[str, tuple[str, State]] = dataclasses.field(default_factory=dict)
    saved: Mapping[str, Saved] = dataclasses.field(default_factory=dict)
    told: Callable[[str, State], None] | None = None
    place: str = ""

    def within(self, name: str) -> Ledger:
        """The part of the ledger under ``name``."""
        return dataclasses.replace(self, place=f"{self.place}{name}/")

    def note(self, name: str, variant: Variant, state: State, status: Status) -> None:
        """Keep where the run stands; a run that failed is forgotten, so that it fails again when it is done again."""
        if status in (Status.RUNNING, Status.HIT_CAP) or status.converged:
            self.states[self.place + name] = (variant.describe(), state)
        elif status not in (Status.INTERRUPTED, Status.STOPPED):
            self.states.pop(self.place + name, None)
        if self.told is not None:
            self.told(self.place + name, state)

    def resume(self, name: str, state: State, variant: Variant) -> State:
        """The state where the run stood, or ``state`` for a run that is not known; raises ValueError on another model's."""
        found = self.saved.get(self.place + name)
        if found is None:
            return state
        described, arrays = found
        state = recalled(state, arrays, variant)
        shapes = {leaf: getattr(value, "shape", ()) for leaf, value in leaves(state.params, "params.")}
        same = sorted(arrays) == sorted(leaf for leaf, _ in leaves(state)) and described == variant.describe()
        if not same or (
            not fewer_classes(state, arrays) and any(arrays[leaf].shape != shape for leaf, shape in shapes.items())
        ):
            raise ValueError(
                f"the checkpoint's run {self.place + name!r} belongs to another model; resume with the options of that fit"
            )
        self.states[self.place + name] = (described, again := rebuild(state, arrays))
        return again


def save_ledger(ledger: Ledger, path: str | Path, header: Mapping[str, str]) -> None:
    """Write the ledger and a header of strings to ``path``, whole or not at all."""
    runs = list(ledger.states.items())
    arrays = {f"{i}:{leaf}": value for i, (_, (_, state)) in enumerate(runs) for leaf, value in leaves(state)}
    named = json.dumps([[name, described] for name, (described, _) in runs])
    write_arrays(path, KIND, arrays, {**header, "runs": named, "checksum": checksum(arrays)})


def load_ledger(path: str | Path) -> tuple[dict[str, Saved], dict[str, str]]:
    """Runs by name and the header of the ledger in ``path``; raises ValueError when it is none, or damaged."""
    arrays, header = read_arrays(path, KIND)
    refuse_damaged(path, arrays, header)
    runs = parse_json(path, header.get("runs", ""))
    try:
        held: list[dict[str, Any]] = [{} for _ in runs]
        for name, value in arrays.items():
            number, _, leaf = name.partition(":")
            held[int(number)][leaf] = value
        return {str(name): (str(described), part) for (name, described), part in zip(runs, held, strict=True)}, header
    except (TypeError, ValueError, IndexError):
        raise ValueError(f"{path}: its runs are not listed as they are held; the file is damaged") from None
