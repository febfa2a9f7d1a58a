"""A fit that is cut off goes on later: its ledger in a file, with the options and a fingerprint of the rows beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from estep.cli.progress import Progress
from estep.cli.words import Voice
from estep.core.files import parse_json
from estep.data.arrow import Arrow
from estep.engine.ledger import Ledger, load_ledger, save_ledger

EVERY = 30.0
LOOKS = 64
SAME = (
    "model",
    "column",
    "formula",
    "columns",
    "weights",
    "labels",
    "group",
    "noise",
    "prior",
    "seed",
    "n_init",
    "init",
    "algorithm",
    "accelerate",
    "search",
)


@dataclasses.dataclass
class Checkpoint:
    """Where the ledger of a fit goes; written every half minute, and when the fit is cut off."""

    path: Path
    header: dict[str, str]
    ledger: Ledger
    progress: Progress
    written: float = dataclasses.field(default_factory=time.monotonic)
    exists: bool = False

    def told(self, run: str, state: Any) -> None:
        """After every pass."""
        self.progress.told(run, state)
        if time.monotonic() - self.written > EVERY:
            self.write()

    def write(self) -> None:
        """Write the file, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        save_ledger(self.ledger, self.path, self.header)
        self.written, self.exists = time.monotonic(), True

    def remove(self) -> None:
        """The fit is done, and its checkpoint of no use."""
        if self.exists:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)


def checkpoint_of(options: Any, data: Arrow, progress: Progress, voice: Voice) -> Checkpoint:
    """The checkpoint of a fit, with the runs of the one that it resumes; raises ValueError where these are of another fit."""
    told = {name: getattr(options, name) for name in SAME} | {"engine": None if options.engine == "memory" else options.engine}
    header = {"options": json.dumps(told), "rows": fingerprint(data, spread=options.engine != "memory")}
    path = Path(options.out) / "checkpoint.safetensors" if options.out else Path("estep-checkpoint.safetensors")
    saved: dict[str, Any] = {}
    if options.resume:
        if not os.path.isfile(options.resume):
            raise ValueError(f"there is no checkpoint {options.resume}")
        saved, before = load_ledger(options.resume)
        check(options.resume, before, header)
        voice.say(f"going on from {options.resume}: {len(saved)} runs are known")
    made = Checkpoint(path, header, Ledger(saved=saved), progress)
    made.exists = bool(options.resume) and os.path.abspath(options.resume) == os.path.abspath(path)
    made.ledger = dataclasses.replace(made.ledger, told=made.told)
    return made


def check(path: str, before: dict[str, str], now: dict[str, str]) -> None:
    """Raise ValueError unless the checkpoint was made with the same rows and options."""
    old, new = (parse_json(path, header.get("options", "{}")) for header in (before, now))
    for name in (*SAME, "engine"):
        if old.get(name) != new.get(name):
            option = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{path}: this fit was begun with {option} {_shown(old.get(name))}, not {_shown(new.get(name))}; give the same"
            )
    if before.get("rows") != now["rows"]:
        raise ValueError(f"{path}: this fit was begun with other rows; give the same data")


def _shown(value: Any) -> str:
    return (
        "left out"
        if value is None or value is False or value == []
        else ",".join(map(str, value))
        if isinstance(value, list)
        else str(value)
    )


def fingerprint(data: Arrow, spread: bool = False) -> str:
    """A text that tells these rows from others: their number, names, and a sum over pieces of them.

    Where workers read the rows (``spread``) they are not read here as well: a look at the first ones is enough.
    """
    if spread:
        total = zlib.crc32("\n".join(data.names).encode())
        total = zlib.crc32(np.ascontiguousarray(data.first(1024)).tobytes(), total)
        return f"{data.table.n_rows} x {len(data.names)}, {total:08x}"
    x, names = data.x, "\n".join(data.names)
    total = zlib.crc32(names.encode())
    looks = LOOKS if isinstance(x, np.ndarray) else 1  # a look at rows that are not kept is a pass over them
    for at in np.linspace(0, max(len(x) - 1024, 0), looks).astype(int):
        total = zlib.crc32(np.ascontiguousarray(x[at : at + 1024]).tobytes(), total)
    return f"{x.shape[0]} x {x.shape[1]}, {total:08x}"


def resume_command(arguments: list[str], path: Path) -> str:
    """The command that goes on from the checkpoint."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument != "--resume" and not argument.startswith("--resume="):
            kept.append(argument)
        skip = argument == "--resume"
    return shlex.join(["estep", *kept, "--resume", str(path)])
