"""Running a command within this process, and the files that the commands are tried on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("duckdb")
pytest.importorskip("nanoarrow")

from estep.cli.main import main

FAITHFUL = Path(__file__).resolve().parents[2] / "src" / "estep" / "data" / "sets" / "faithful.csv"


@dataclasses.dataclass(frozen=True)
class Done:
    """What a command did: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """stdout as one JSON document."""
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """``run("fit data.csv", "--query", sql)``: the first text is split at blanks, others are one argument each."""

    def run(text: str, *more: str) -> Done:
        capsys.readouterr()
        try:
            code = main([*text.split(), *more])
        except SystemExit as ended:  # argparse
            code = int(ended.code or 0)
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with faithful.csv in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faithful.csv").write_bytes(FAITHFUL.read_bytes())
    return tmp_path


@pytest.fixture
def mixed(here: Path) -> Path:
    """people.csv: numbers, text, labels, weights and names of rows, two clear classes."""
    rng = np.random.default_rng(0)
    lines = ["name,visits,height,colour,kind,times"]
    for i in range(200):
        z = int(rng.integers(2))
        colour = rng.choice(["red", "blue", "<b>&x"], p=[0.8, 0.1, 0.1] if z else [0.1, 0.4, 0.5])
        kind = ("short", "tall")[z] if i < 20 else ""
        lines.append(f"r{i},{rng.poisson(2 + 8 * z)},{rng.normal(1.5 + 0.4 * z, 0.05):.3f},{colour},{kind},{1 + i % 2}")
    path = here / "people.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
