"""The gallery: every script runs, says what is known of its data, draws and is short; the build finds pictures and order."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "docs" / "gallery"
SCRIPTS = sorted(GALLERY.rglob("*.py"))

# What a page must print: values that papers, other software or tests/reference/cases.json give for these data.
KNOWN = {
    "abilities": ["log-likelihood -817.796"],  # R factanal
    "censored": ["mean 1.742231", "deviation 0.07914", "intercept -6.019", "slope 4.311", "scale 0.2592"],  # R survreg
    "choosing": ["2314.2957", "\n3 2\n"],  # mclust
    "crimes": ["log-likelihood   -562.5034", "odds ratio 3.564"],  # R cat
    "durations": ["hidden Markov     log-likelihood -243.594", "geometric         log-likelihood -243.594"],  # hmmlearn
    "exam": ["2: BIC 5010.8  G2 22.7 on 20 degrees of freedom"],  # -2 * -2467.4055 + 11 log 1000
    "experts": ["log-likelihood 123.621"],  # R flexmix with FLXPmultinom, polished
    "gamma": ["two gamma        log-likelihood  -1033.06", "two normal       log-likelihood  -1034.00"],  # R optim; mclust
    "motif": ["17 of 18 sites within three letters of a known one", "\nTGTGA"],  # Stormo & Hartzell (1989)
    "poisson": ["log-likelihood -1989.946", "rates [2.663 1.256]"],  # Hasselblad (1969); SQUAREM's paper
    "raters": ["2: log-likelihood -317.2568", "3: log-likelihood -293.7050  BIC 697.14"],  # poLCA
    "seizures": ["-376.1762", "BIC              796.8272"],  # R flexmix
    "topics": ["c1 [0.9", "m3 [0.0"],  # the two kinds of title
}
LONGEST = 50


def script_name(path: Path) -> str:
    return path.stem


def missing_words(name: str, said: str) -> list[str]:
    return [words for words in KNOWN.get(name, []) if words not in said]


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery_pictures", ROOT / "docs" / "gallery_pictures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", SCRIPTS, ids=script_name)
def test_the_script_runs_and_draws(script: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names = runpy.run_path(str(script))
    figures = [value for value in names.values() if isinstance(value, Figure)]
    assert figures, "a page ends with a picture, bound to a name"
    assert all(figure.get_axes() for figure in figures)
    said = capsys.readouterr().out
    assert missing_words(script.stem, said) == []
    assert "nan" not in said.lower().split()
    assert "matplotlib.pyplot" not in script.read_text("utf-8")


def test_a_page_that_says_something_else_is_noticed() -> None:
    assert missing_words("poisson", "log-likelihood -1989.946 rates [2.663 1.257]") == ["rates [2.663 1.256]"]


@pytest.mark.parametrize("script", SCRIPTS, ids=script_name)
def test_the_script_is_short_and_has_a_title(script: Path) -> None:
    lines = script.read_text("utf-8").splitlines()
    assert lines[0] == '"""' and set(lines[2]) == {"="} and len(lines[1]) == len(lines[2])
    assert 15 <= sum(bool(line.strip()) for line in lines) <= LONGEST
    assert max(map(len, lines)) <= 128


def test_every_section_has_a_header_and_every_page_a_place(pictures: ModuleType) -> None:
    assert {folder.name for folder in GALLERY.iterdir() if folder.is_dir() and folder.name != "__pycache__"} == set(sections())
    assert all((GALLERY / part / "GALLERY_HEADER.rst").is_file() for part in ("", *sections()))
    assert sorted(pictures.InOrder.PAGES) == sorted(script.stem for script in SCRIPTS)
    assert pictures.InOrder("clusters")("gaussian_mixture.py") == 0


def sections() -> tuple[str, ...]:
    """GALLERY in docs/conf.py."""
    line = next(line for line in (ROOT / "docs" / "conf.py").read_text("utf-8").splitlines() if line.startswith("GALLERY = "))
    found: tuple[str, ...] = eval(line.partition("=")[2])
    return found


def test_figures_are_taken_once_and_without_pyplot(
    pictures: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    scrapers: Any = ModuleType("sphinx_gallery.scrapers")
    scrapers.figure_rst = lambda paths, folder, words: shown.append((paths, folder, words)) or "rst"
    monkeypatch.setitem(sys.modules, "sphinx_gallery", ModuleType("sphinx_gallery"))
    monkeypatch.setitem(sys.modules, "sphinx_gallery.scrapers", scrapers)
    first, second = Figure(), Figure()
    names = {"example_globals": {"one": first, "x": 3}, "image_path_iterator": iter([tmp_path / "1.png", tmp_path / "2.png"])}
    assert pictures.figures(None, names, {"src_dir": "docs"}) == "rst"
    names["example_globals"]["two_more"] = second  # type: ignore[index]
    pictures.figures(None, names, {"src_dir": "docs"})
    assert shown == [([tmp_path / "1.png"], "docs", "one"), ([tmp_path / "2.png"], "docs", "two more")]
    assert (tmp_path / "2.png").stat().st_size > 0
