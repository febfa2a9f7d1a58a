"""Ctrl-C in a long fit: a checkpoint, the command that goes on, code 130; going on ends at the same bits."""

from __future__ import annotations

import os
import shlex
import signal as signals
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import estep
from estep.cli import checkpoint

Run = Callable[..., Any]
SOURCE = str(Path(estep.__file__).parents[1])
LINE = "fit slow.csv --components 2:3 --covariance VVV --n-init 2 --accelerate none"
# A real signal, sent by the process to itself after some passes: how fast the machine is does not matter.
PROGRAM = """
import os, signal, sys
from estep.cli import checkpoint
from estep.cli.main import main
told, count = checkpoint.Checkpoint.told, [0]
if sys.argv[2] == "SIGKILL":  # nothing can be written any more when it comes: after every pass, then
    checkpoint.EVERY = -1.0
def counted(self, run, state):
    told(self, run, state)
    count[0] += 1
    if count[0] == int(sys.argv[1]):
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
checkpoint.Checkpoint.told = counted
sys.exit(main(sys.argv[3:]))
"""


@pytest.fixture
def slow(here: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)) + 2.5 * rng.integers(3, size=(400, 1))
    np.savetxt("slow.csv", x, delimiter=",", header="a,b", comments="", fmt="%.6f")
    return here


def killed(after: int, signal: str, line: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, "-c", PROGRAM, str(after), signal, *shlex.split(line)]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def same_model(one: str, other: str) -> bool:
    a, b = load_file(f"{one}/model.safetensors"), load_file(f"{other}/model.safetensors")
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_a_real_signal_leaves_a_checkpoint_and_the_fit_goes_on_to_the_same_bits(signal: str, slow: Path, run: Run) -> None:
    done = killed(40, signal, f"{LINE} --out o")
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert os.listdir("o") == ["checkpoint.safetensors"]
    words = "interrupted; what was done is kept in o/checkpoint.safetensors. To go on:"
    resume = f"estep {LINE} --out o --resume o/checkpoint.safetensors"
    assert done.stderr.splitlines()[-2:] == [words, f"  {resume}"]
    again = run(resume.removeprefix("estep "))
    assert "going on from o/checkpoint.safetensors: " in again.err
    assert run(f"{LINE} --out whole").code == again.code == 0
    assert same_model("o", "whole")
    assert Path("o/assignments.parquet").read_bytes() == Path("whole/assignments.parquet").read_bytes()
    assert "checkpoint.safetensors" not in os.listdir("o")


def test_a_fit_that_was_killed_goes_on_to_the_same_bits(slow: Path, run: Run) -> None:
    done = killed(40, "SIGKILL", f"{LINE} --out o")
    assert done.returncode == -signals.SIGKILL
    assert os.listdir("o") == ["checkpoint.safetensors"]
    again = run(f"{LINE} --out o --resume o/checkpoint.safetensors")
    assert "going on from o/checkpoint.safetensors: " in again.err
    assert run(f"{LINE} --out whole").code == again.code == 0
    assert same_model("o", "whole")


def cut(monkeypatch: pytest.MonkeyPatch, run: Run, line: str, after: int) -> Any:
    """The command, interrupted within this process."""
    told, count = checkpoint.Checkpoint.told, [0]

    def counted(self: Any, name: str, state: Any) -> None:
        told(self, name, state)
        count[0] += 1
        if count[0] == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint.Checkpoint, "told", counted)
        return run(line)


def test_twice_and_for_one_model_and_without_a_folder(slow: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "fit slow.csv --components 3 --covariance VVV --n-init 3 --accelerate none --json"
    first = cut(monkeypatch, run, line, 12)
    assert first.code == 130
    assert first.document["checkpoint"] == "estep-checkpoint.safetensors"
    second = cut(monkeypatch, run, first.document["resume"].removeprefix("estep "), 15)
    assert second.code == 130
    assert second.document["resume"].count("--resume") == 1
    last = run(second.document["resume"].removeprefix("estep "))
    assert last.document["result"] == run(line).document["result"]
    assert not Path("estep-checkpoint.safetensors").exists()


def test_kmeans_goes_on(slow: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "fit slow.csv --model kmeans --components 4 --n-init 3 --init kmeans++"
    assert cut(monkeypatch, run, f"{line} --out o", 5).code == 130
    assert run(f"{line} --out o --resume o/checkpoint.safetensors").code == 0
    assert run(f"{line} --out whole").code == 0
    assert same_model("o", "whole")


def test_a_checkpoint_of_other_options_or_rows_is_refused(slow: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(monkeypatch, run, f"{LINE} --out o", 20)
    done = run(f"{LINE} --out o --seed 7 --resume o/checkpoint.safetensors")
    assert done.code == 2
    assert done.err == "error: o/checkpoint.safetensors: this fit was begun with --seed 0, not 7; give the same\n"
    text = Path("slow.csv").read_text("utf-8").splitlines()
    Path("slow.csv").write_text("\n".join([text[0], *text[2:], text[1]]) + "\n", "utf-8")
    done = run(f"{LINE} --out o --resume o/checkpoint.safetensors")
    assert done.err == "error: o/checkpoint.safetensors: this fit was begun with other rows; give the same data\n"


def test_long_fits_are_kept_as_they_go(slow: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    kept: list[int] = []
    write = checkpoint.Checkpoint.write

    def counted(self: Any) -> None:
        write(self)
        kept.append(self.path.stat().st_size)

    monkeypatch.setattr(checkpoint.Checkpoint, "write", counted)
    assert run("fit slow.csv --components 2 --covariance VVV --n-init 2 --max-iter 20 --out o").code in (0, 3)
    assert len(kept) > 10
    assert "checkpoint.safetensors" not in os.listdir("o")


def test_interrupted_before_there_is_anything_to_keep(slow: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*rest: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("estep.cli.fit.read", stop)
    done = run(f"{LINE} --out o")
    assert (done.code, done.err) == (130, "interrupted\n")
