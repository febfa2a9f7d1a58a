"""What really happens to a run: kill -9, a disk that is full, a checkpoint that was changed; it goes on to the bit, or says."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import estep
from estep.data import Memory
from estep.models import Latent
from estep.structures import Iid

SOURCE = str(Path(estep.__file__).parents[1])
N, PASSES, KILLED = 300, 45, 33

PROGRAM = """
import os, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from tests.laws.test_interrupted_for_good import fitted
fitted(sys.argv[2], how=sys.argv[3])
"""


def rows() -> Any:
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 2)) + 1.5 * (np.arange(N) % 3)[:, None]


def fitted(file: Any, how: str = "whole") -> Any:
    """A run of 45 passes that leaves a checkpoint at every tenth; something may happen to it in pass 33."""
    data = Memory(rows(), n_jobs=1)
    model = Latent(Iid(), estep.Normal("VVV"), 3).bind(data)
    start = model.start()
    first = model.mstep(data.sum(lambda c: model.tally(start, c, np.eye(3)[np.arange(*c.key[1:]) % 3])), start)

    def watch(state: Any, status: Any) -> bool:
        if len(state.trace) == KILLED and how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if len(state.trace) == KILLED and how == "full":
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))  # bytes that a file may have
        return False

    return estep.fit(model, data, first, accelerate="anderson", max_iter=PASSES, tol=0.0, checkpoint=file, watch=watch)


def elsewhere(file: Path, how: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-c", PROGRAM, root, str(file), how]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=os.environ | {"PYTHONPATH": paths}
    )


def passes_in(file: Path) -> int:
    """How many passes the run of a checkpoint had made."""
    return max(len(value) for name, value in load_file(file).items() if name.startswith("trace") and value.ndim == 1)


@pytest.fixture(scope="module")
def whole() -> Any:
    return fitted(None)


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: Any) -> bytes:
    """The checkpoint that a run left behind when it was killed."""
    file = tmp_path_factory.mktemp("killed") / "run.safetensors"
    done = elsewhere(file, "killed")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    return file.read_bytes()


def test_a_run_that_was_killed_goes_on_to_the_same_bits(cut_off: bytes, whole: Any, tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    file.write_bytes(cut_off)
    assert passes_in(file) == 30 < KILLED, "the run was cut off between two checkpoints"
    resumed = fitted(file)
    assert resumed.trace.objective.tobytes() == whole.trace.objective.tobytes()
    assert resumed.params.family.covariances.tobytes() == whole.params.family.covariances.tobytes()


def test_a_disk_that_is_full_leaves_the_old_checkpoint(cut_off: bytes, whole: Any, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the write of pass 40 fails, that of pass 30 is there."""
    file = tmp_path / "run.safetensors"
    done = elsewhere(file, "full")
    assert done.returncode == 1
    assert "File too large" in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == [file.name], "no half file stays"
    assert passes_in(file) == 30
    (tmp_path / "other").write_bytes(cut_off)
    before, now = load_file(tmp_path / "other"), load_file(file)
    assert all(now[name].tobytes() == before[name].tobytes() for name in before)
    assert fitted(file).trace.objective.tobytes() == whole.trace.objective.tobytes()


class Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_a_hostile_checkpoint_is_not_run(tmp_path: Path) -> None:
    file, mark = tmp_path / "run.safetensors", tmp_path / "mark"
    payload = pickle.dumps(Bomb(mark))
    for octets in (payload, (len(payload)).to_bytes(8, "little") + payload, (1 << 62).to_bytes(8, "little") + payload):
        file.write_bytes(octets)
        with pytest.raises(ValueError, match="not a readable estep file"):
            fitted(file)
        assert not mark.exists()
    pickle.loads(payload)  # noqa: S301  the bomb is a real one
    assert mark.exists()


def test_any_changed_bit_of_a_checkpoint_is_noticed(cut_off: bytes, tmp_path: Path) -> None:
    file, rng = tmp_path / "run.safetensors", np.random.default_rng(3)
    body = 8 + int.from_bytes(cut_off[:8], "little")
    for at in [*rng.choice(body, 40, replace=False), *(body + rng.choice(len(cut_off) - body, 40, replace=False))]:
        changed = bytearray(cut_off)
        changed[at] ^= 1 << int(rng.integers(8))
        file.write_bytes(changed)
        with pytest.raises(ValueError, match="run.safetensors"):
            fitted(file)


def test_a_checkpoint_from_before_there_were_checksums_is_read(cut_off: bytes, whole: Any, tmp_path: Path) -> None:
    from safetensors import safe_open

    file = tmp_path / "run.safetensors"
    file.write_bytes(cut_off)
    with safe_open(file, framework="numpy") as opened:
        header = dict(opened.metadata())
    assert len(header.pop("checksum")) == 8
    save_file(load_file(file), file, metadata=header)
    assert fitted(file).trace.objective.tobytes() == whole.trace.objective.tobytes()
