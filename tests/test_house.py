"""The house is in order: the front page tells the truth, versions agree, imports are light, no file names a machine."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import estep

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "extend").glob("*.md"))]
SKIPPED_FOLDERS = {".git", ".venv", "_build", "__pycache__", "build", "dist", "results"}
TEXT = "py md toml txt cff cfg json csv yml yaml R sh rst"
TEXT_SUFFIXES = {"", *(f".{suffix}" for suffix in TEXT.split())}

# In pieces, so that this file does not name what it forbids.
HOSTS = ["pypi" + ".org", "python" + "hosted", "npm" + "js", "file:" + "///", "-index" + "-url http"]
HOMES = ["/ho" + "me/", "/ro" + "ot/", "/t" + "mp/", "/wo" + "rk/", "/op" + "t/", "/Us" + "ers/", "C:" + "\\"]


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_files() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        cached = any(part.endswith("_cache") or part == ".hypothesis" for part in parts)
        generated = parts[:2] in (("docs", "api"), ("docs", "worked")) or bool(SKIPPED_FOLDERS & set(parts))
        if path.suffix in TEXT_SUFFIXES and path.is_file() and not (cached or generated):
            yield path


def mentions(text: str, words: list[str]) -> list[str]:
    return [word for word in words if word in text]


def load_tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def project_version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


# --- versions ---


def test_the_version_is_the_same_everywhere() -> None:
    version = project_version()
    assert estep.__version__ == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\n## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_changelog_has_a_place_for_the_next_change() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text("utf-8")


# --- the front page ---


def test_the_readme_has_two_commands_and_the_makefile_knows_them() -> None:
    shell = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert [block.split("\n")[:-1] for block in shell] == [["make demo", "make test"]]
    assert {"demo", "test"} <= make_targets()


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=page_name)
def test_every_make_command_on_a_page_is_a_target(page: Path) -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", page.read_text("utf-8"), re.MULTILINE))
    assert named
    assert named <= make_targets()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=page_name)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert example is not None
    assert len(example[1].strip().split("\n")) <= 11
    names: dict[str, object] = {}
    exec(compile(example[1], "README.md", "exec"), names)
    assert getattr(names["model"], "converged_", None)
    assert "nan" not in capsys.readouterr().out


# --- pages and names ---


def public_names(page: Path) -> set[str]:
    """Dotted names under estep that the page speaks of, file names apart."""
    found = re.findall(r"(?<![\w/.-])estep(?:\.[A-Za-z]\w*)+", page.read_text("utf-8"))
    return {name for name in found if not name.endswith((".py", ".md", ".toml"))}


def is_there(name: str) -> bool:
    found: object = estep
    path = "estep"
    for part in name.split(".")[1:]:
        path = f"{path}.{part}"
        if not hasattr(found, part) and not is_module(path):
            return False
        found = getattr(found, part) if hasattr(found, part) else importlib.import_module(path)
    return True


def is_module(path: str) -> bool:
    try:
        return importlib.util.find_spec(path) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_pages_speak_of_names_that_exist(page: Path) -> None:
    assert {name for name in public_names(page) if not is_there(name)} == set()


def test_the_api_page_lists_the_public_names() -> None:
    listed = public_names(ROOT / "docs" / "api.md")
    classes = {f"estep.{name}" for name in estep.__all__ if name[0].isupper()}
    assert classes <= listed


@pytest.mark.parametrize("package", ["families", "structures", "views"])
def test_the_api_page_lists_the_names_of_packages(package: str) -> None:
    listed = {name.rpartition(".")[2] for name in public_names(ROOT / "docs" / "api.md")}
    assert set(getattr(estep, package).__all__) <= listed


def test_the_api_page_lists_every_data_set_loader_and_names_know_their_files() -> None:
    from estep.data import sets

    assert {"estep.data.sets.load", "estep.data.sets.names"} <= public_names(ROOT / "docs" / "api.md")
    told = sets.__doc__ or ""
    assert [name for name in sets.names() if f"\n{name} " not in told] == []


def test_a_name_that_does_not_exist_is_noticed() -> None:
    assert not is_there("estep.GaussianMixtures")
    assert not is_there("estep.families.Norman")


# --- what ships ---


def test_types_ship() -> None:
    assert (Path(estep.__file__).parent / "py.typed").is_file()


def test_public_names_can_all_be_reached() -> None:
    assert [name for name in estep.__all__ if not hasattr(estep, name)] == []
    assert set(estep.__all__) <= set(dir(estep))


def test_import_is_light() -> None:
    tool = load_tool("check_import")
    _, packages = tool.import_once()
    assert "estep" in packages
    assert set(tool.HEAVY) & set(packages) == set()


def test_modules_and_functions_are_short(capsys: pytest.CaptureFixture[str]) -> None:
    faults = load_tool("check_size").main()
    assert not faults, capsys.readouterr().out


def test_what_is_too_long_is_noticed() -> None:
    tool = load_tool("check_size")
    body = "    x = 1\n"
    assert list(tool.too_long("m.py", "def f():\n" + body * 49)) == []
    assert len(list(tool.too_long("m.py", "def f():\n" + body * 50))) == 1
    assert len(list(tool.too_long("m.py", "x = 1\n" * 401))) == 1


# --- nothing of the machine it was made on ---


def test_constraints_hold_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 20
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; [^@/]+)?", pin)] == []


@pytest.mark.parametrize("words", [HOSTS, HOMES], ids=["hosts", "homes"])
def test_no_file_names_a_registry_or_a_machine(words: list[str]) -> None:
    files = list(text_files())
    assert ROOT / "pyproject.toml" in files
    found = {page_name(path): mentions(path.read_text("utf-8", errors="replace"), words) for path in files}
    assert {name: hits for name, hits in found.items() if hits} == {}


def test_a_registry_and_a_machine_are_noticed() -> None:
    assert mentions("see https://" + HOSTS[0], HOSTS)
    assert mentions("see " + HOMES[0] + "me/notes", HOMES)


def test_no_module_unpickles() -> None:
    imports = re.compile(r"^\s*(import|from) (pickle|joblib|cloudpickle|dill)\b", re.MULTILINE)
    assert [page_name(path) for path in (ROOT / "src").rglob("*.py") if imports.search(path.read_text("utf-8"))] == []


def test_the_demo_runs_where_make_demo_says() -> None:
    script = re.search(r"python (\S+demo\.py)", (ROOT / "Makefile").read_text("utf-8"))
    assert script is not None
    assert (ROOT / script[1]).is_file()
    done = subprocess.run([sys.executable, "-m", "py_compile", str(ROOT / script[1])], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
