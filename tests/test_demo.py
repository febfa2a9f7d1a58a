"""`make demo`: the script chooses, prints and draws; the data it reads ship with the package; its picture is in the README."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from estep.data.sets import load_faithful

ROOT = Path(__file__).resolve().parents[1]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "demo.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height from the header of a PNG file."""
    head = picture.read_bytes()[:24]
    assert head.startswith(PNG)
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def test_the_demo_chooses_prints_and_draws(demo: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new"
    report = demo.main(folder, components=[2, 3], structures=["EEE", "VVI"])
    out = capsys.readouterr().out
    assert out.splitlines()[-1].endswith(f" {report}")
    assert report == (folder / "report.html").resolve()
    page = report.read_text("utf-8")
    assert "Old Faithful: Gaussian mixture, 3 components, EEE" in page
    assert 'class="player"' in page
    assert "4 fits by bic" in out
    assert "Gaussian mixture, 3 components, EEE" in out
    assert "2314.2957" in out, "the best BIC of these data, as mclust finds it"
    assert size_of(folder / "faithful.png") == (1380, 552)


def test_the_picture_goes_where_git_does_not_look(demo: ModuleType) -> None:
    place = demo.FOLDER.relative_to(ROOT).as_posix()
    assert f"/{place}/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_the_picture_of_the_readme_is_the_demos(demo: ModuleType) -> None:
    committed = ROOT / "docs" / "_static" / "faithful.png"
    assert size_of(committed) == (1380, 552)
    assert committed.stat().st_size < 200_000


def test_the_data_ship_with_the_package() -> None:
    X, columns = load_faithful()
    assert X.shape == (272, 2)
    assert X.dtype == np.float64
    assert columns == ("eruptions", "waiting")
    same = np.loadtxt(ROOT / "tests" / "reference" / "data" / "faithful.csv", delimiter=",", skiprows=1, usecols=(0, 1))
    np.testing.assert_array_equal(X, same)
