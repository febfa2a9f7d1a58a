"""Every page runs: its python blocks, in order, in one namespace a page, and what a page asserts holds.

A block is run if it opens with three backticks and the word python, and nothing else; ``text``, ``sh`` and the rest are
not. Where a page includes a part of another, that part is run in its place, as a reader meets it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INCLUDE = re.compile(r"^```\{include\} (\S+)\n((?:^:.*\n)*)```$", re.MULTILINE)
EXTENSIONS = ["docs/extend/family.md", "docs/extend/model.md", "docs/extend/variant.md"]
TEACHING = ["docs/choosing.md", "docs/families.md", "docs/structures.md", "docs/from_other_software.md"]
MUST_RUN = {"README.md", "CONTRIBUTING.md", *TEACHING, *EXTENSIONS}


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def pages() -> list[Path]:
    """Every page of the documentation and the two beside it."""
    built = {ROOT / "docs" / "_build", ROOT / "docs" / "api", ROOT / "docs" / "worked"}
    found = [page for page in sorted((ROOT / "docs").rglob("*.md")) if not built & set(page.parents)]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *found]


def whole(page: Path) -> str:
    """The text of a page with what it includes in place."""

    def included(directive: re.Match[str]) -> str:
        text = whole((page.parent / directive[1]).resolve())
        options = dict(re.findall(r"^:([\w-]+): (.*)$", directive[2], re.MULTILINE))
        for mark in options.values():
            assert text.count(mark) == 1, f"{page_name(page)} includes {mark!r}, which is there {text.count(mark)} times"
        text = text.partition(options["start-after"])[2] if "start-after" in options else text
        return text.partition(options["end-before"])[0] if "end-before" in options else text

    return INCLUDE.sub(included, page.read_text("utf-8"))


def run(text: str, name: str, names: dict[str, object]) -> None:
    """Run the blocks of ``text`` in ``names``, with the line numbers of the text."""
    for block in BLOCK.finditer(text):
        lines = text.count("\n", 0, block.start(1))
        exec(compile("\n" * lines + block[1], name, "exec"), names)


RUNNABLE = [page for page in pages() if BLOCK.search(whole(page))]


@pytest.mark.parametrize("page", RUNNABLE, ids=page_name)
def test_the_page_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    monkeypatch.chdir(ROOT)
    run(whole(page), page_name(page), module.__dict__)


def test_the_pages_that_teach_have_something_to_run() -> None:
    assert {page_name(page) for page in RUNNABLE} >= MUST_RUN
    assert all("\nassert " in whole(ROOT / page) for page in ["CONTRIBUTING.md", *EXTENSIONS])


def test_a_family_of_ones_own_takes_about_thirty_lines() -> None:
    first = BLOCK.search(whole(ROOT / "CONTRIBUTING.md"))
    assert first is not None
    body = first[1].partition("class VonMises:")[2].splitlines()
    assert body
    assert 15 < sum(bool(line.strip()) for line in body) <= 35


@pytest.mark.parametrize(
    "text",
    ["```python\nassert 1 == 2\n```\n", "text\n\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n"],
    ids=["at once", "later"],
)
def test_a_page_that_is_wrong_is_noticed(text: str) -> None:
    with pytest.raises(AssertionError):
        run(text, "page.md", {})


def test_only_python_runs_and_errors_have_the_line_of_the_page() -> None:
    run("```sh\nrm\n```\n```text\n1 / 0\n```\n", "page.md", {})
    with pytest.raises(ZeroDivisionError) as error:
        run("one\n\n```python\nx = 1\n\n1 / 0\n```\n", "page.md", {})
    assert error.traceback[-1].lineno == 5  # counted from zero


def test_a_page_holds_what_it_includes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "a.md").write_text("no\n<!-- on -->\n```python\nx = 1\n```\n<!-- off -->\nno\n", "utf-8")
    page = tmp_path / "b.md"
    page.write_text("```{include} a.md\n:start-after: <!-- on -->\n:end-before: <!-- off -->\n```\nyes\n", "utf-8")
    assert whole(page) == "\n```python\nx = 1\n```\n\nyes\n"
    page.write_text("```{include} a.md\n:start-after: <!-- moved -->\n```\n", "utf-8")
    with pytest.raises(AssertionError, match="moved"):
        whole(page)
