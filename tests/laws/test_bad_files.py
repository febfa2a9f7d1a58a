"""Files that cannot be read are refused in one sentence with the remedy; files that only look odd are read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from estep.data import Arrow

duckdb = pytest.importorskip("duckdb")
pytest.importorskip("nanoarrow")


def text(name: str, content: str, encoding: str = "utf-8") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(content, encoding)
        return folder / name

    return make


def truncated(folder: Path) -> Path:
    path = folder / "cut.parquet"
    duckdb.sql("SELECT random() AS x FROM range(5000)").write_parquet(str(path))
    path.write_bytes(path.read_bytes()[:-100])
    return path


BAD: dict[str, tuple[Callable[[Path], Path], dict[str, Any], str]] = {
    "no file": (
        lambda f: text("flowers.csv", "x\n1\n")(f).with_name("flower.csv"),
        {},
        "there is no file .*did you mean .*flowers.csv",
    ),
    "no folder": (lambda f: f / "none" / "a.csv", {}, "there is no folder .*none"),
    "a folder": (lambda f: f, {}, "is a folder without any file that can be read"),
    "unknown kind": (text("a.xlsx", "x"), {}, r"files ending in .xlsx cannot be read; estep reads CSV .*Parquet"),
    "no bytes": (text("a.csv", ""), {}, r"a.csv is empty \(0 bytes\)"),
    "header only": (text("a.csv", "x,y\n"), {}, r"a.csv has no rows \(its columns: x, y\)"),
    "no such column": (
        text("a.csv", "length,y\n1,2\n"),
        {"columns": ["lenght"]},
        "a.csv has no column 'lenght'; did you mean 'length'",
    ),
    "text in numbers": (
        text("a.csv", "x,y\n1,2\n3,4\n5,oops\n"),
        {},
        "column 'y' holds numbers, but also text: 'oops' in row 3",
    ),
    "decimal comma": (
        text("a.csv", "x;y\n1,5;2\n2,5;3\n"),
        {},
        r"column 'x' holds '1,5' in row 1: a decimal comma\?.*--decimal",
    ),
    "latin-1": (
        text("a.csv", "x,y\n1,2\n3,ü\n", "latin-1"),
        {},
        "a.csv is not in UTF-8: line 3 holds the byte 0xfc; .*--encoding latin-1",
    ),
    "uneven": (text("a.csv", "x,y\n1,2\n3\n5,6\n"), {}, "a.csv: line 3 has 1 fields where the first line has 2"),
    "truncated": (truncated, {}, "cut.parquet: .*(magic|footer|metadata)"),
    "not Parquet": (text("a.parquet", "x,y\n1,2\n"), {}, "a.parquet: "),
    "not Arrow": (text("a.arrow", "this is no Arrow file\n" * 9), {}, "a.arrow: damaged, or compressed"),
    "not a database": (text("a.duckdb", "this is no database\n" * 9), {}, "a.duckdb: "),
    "JSON cut off": (text("a.jsonl", '{"x": 1}\n{"x": \n'), {}, "a.jsonl: .*JSON"),
    "SQL": (
        text("a.csv", "x\n1\n"),
        {"query": "SELECT y FROM data"},
        "the query: Binder Error: Referenced column .y. not found",
    ),
    "two statements": (text("a.csv", "x\n1\n"), {"query": "SELECT 1; DROP TABLE x"}, "the query: Parser Error"),
    "infinite": (text("a.csv", "x\n1\ninf\n"), {}, "column 'x' holds infinity in row 2"),
    "negative weight": (text("a.csv", "x,w\n1,1\n2,-3\n"), {"weights": "w"}, "column 'w' holds the weight -3 in row 2"),
    "an identifier": (
        text("a.csv", "x,name\n" + "".join(f"{i},n{i}\n" for i in range(10_001))),
        {},
        "column 'name' holds more than 10000 different values, as an identifier does",
    ),
    "twice": (text("a.csv", "x\n1\n"), {"columns": ["x", "x"]}, "names a column twice"),
}


@pytest.mark.parametrize("make, how, words", BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read_is_said_in_a_sentence(make: Any, how: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words) as error:
        _ = Arrow(make(tmp_path), **how).x
    assert "\n" not in str(error.value)


def test_what_looks_odd_is_read(tmp_path: Path) -> None:
    def values(content: str, name: str = "a.csv", encoding: str = "utf-8", **how: Any) -> Any:
        data = Arrow(text(name, content, encoding)(tmp_path), **how)
        return data.names, np.asarray(data.x).tolist()

    assert values("x\n1\n2\n") == (("x",), [[1.0], [2.0]])
    assert values("1.5\n2\n") == (("column0",), [[1.5], [2.0]])
    assert values("2019,2020\n1,2\n", header=True) == (("2019", "2020"), [[1.0, 2.0]])
    assert values("x;y\n1,5;true\n2;false\n", decimal=",") == (("x", "y"), [[1.5, 1.0], [2.0, 0.0]])
    assert values('"a ""b""","<b>,</b>"\n1,2\n') == (('a "b"', "<b>,</b>"), [[1.0, 2.0]])
    assert values("x\ty\n1\t2\n", "a.tsv") == (("x", "y"), [[1.0, 2.0]])
    several = Arrow(str(tmp_path / "part-*.csv"))
    for i in range(3):
        (tmp_path / f"part-{i}.csv").write_text(f"x\n{i}\n", "utf-8")
    assert np.asarray(several.x).tolist() == [[0.0], [1.0], [2.0]]


def test_every_way_to_write_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "x,y\n" + "".join(f"{word},1\n" for word in ("", "NA", "NaN", "nan", "NULL", "null", "None", "N/A")), "utf-8"
    )
    assert np.isnan(Arrow(path, columns=["x"]).x).all()


def test_latin_1_is_read_when_told(tmp_path: Path) -> None:
    data = Arrow(text("a.csv", "größe,y\n1,ü\n", "latin-1")(tmp_path), encoding="latin-1")
    assert data.names == ("größe", "y")
    assert data.coded == {"y": ("ü",)}


def test_a_query_is_run_once(tmp_path: Path) -> None:
    data = Arrow(None, query="SELECT random() AS x FROM range(10)", budget=0)
    with pytest.warns(UserWarning, match="cannot be kept"):
        first = np.concatenate([c.x for c in data.chunks()])
    assert first.tobytes() == np.concatenate([c.x for c in data.chunks()]).tobytes()


def test_missing_packages_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ImportError, match=r"reading files needs duckdb, .*pip install 'estep\[data\]'"):
        _ = Arrow(text("a.csv", "x\n1\n")(tmp_path)).x
