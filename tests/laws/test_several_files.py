"""Several files are one table: columns go by name, no number loses its fraction, and a bad row is named by file and row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import estep
from estep.data import Arrow

duckdb = pytest.importorskip("duckdb")
pytest.importorskip("nanoarrow")
arrow = pytest.importorskip("pyarrow")
feather = pytest.importorskip("pyarrow.feather")
parquet = pytest.importorskip("pyarrow.parquet")


def as_parquet(path: Path, **columns: Any) -> None:
    parquet.write_table(arrow.table(columns), path.with_suffix(".parquet"))


def as_arrow(path: Path, **columns: Any) -> None:
    feather.write_feather(arrow.table(columns), str(path.with_suffix(".arrow")))


def as_json(path: Path, **columns: Any) -> None:
    import json

    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    path.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def as_csv(path: Path, **columns: Any) -> None:
    rows = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.with_suffix(".csv").write_text("\n".join(rows) + "\n", "utf-8")


KINDS: dict[str, Callable[..., None]] = {"parquet": as_parquet, "arrow": as_arrow, "jsonl": as_json, "csv": as_csv}
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
def test_whole_numbers_in_the_first_file_round_nothing_in_the_next(kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / "p-0", a=[1, 2], b=[10.0, 20.0])
    KINDS[kind](tmp_path / "p-1", a=[3.75, 4.25], b=[30.0, 40.0])
    assert np.asarray(Arrow(f"{tmp_path}/p-*.{kind}").x).tolist() == [[1, 10], [2, 20], [3.75, 30], [4.25, 40]]


@each_kind
def test_columns_go_by_name_and_not_by_place(kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / "p-0", a=[1.5, 2.5], b=[10.0, 20.0])
    KINDS[kind](tmp_path / "p-1", b=[30.0, 40.0], a=[3.5, 4.5])
    assert np.asarray(Arrow(f"{tmp_path}/p-*.{kind}").x).tolist() == [[1.5, 10], [2.5, 20], [3.5, 30], [4.5, 40]]


@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv"])
def test_a_file_with_other_columns_is_named(kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / "p-0", a=[1.5], b=[10.0])
    KINDS[kind](tmp_path / "p-1", a=[1.5], c=[10.0])
    with pytest.raises(ValueError, match=f"p-1.{kind} has no column 'b', which p-0.{kind} has"):
        Arrow(f"{tmp_path}/p-*.{kind}").names  # noqa: B018
    KINDS[kind](tmp_path / "p-1", a=[2.5], b=[20.0], more=[1.0])
    with pytest.warns(UserWarning, match=f"left out 'more' of p-1.{kind}, which p-0.{kind} lacks"):
        assert np.asarray(Arrow(f"{tmp_path}/p-*.{kind}").x).tolist() == [[1.5, 10], [2.5, 20]]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_text_where_the_first_file_has_numbers_is_named(kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / "p-0", a=[1.5], b=[10.0])
    KINDS[kind](tmp_path / "p-1", a=["x"], b=[10.0])
    with pytest.raises(ValueError, match=f"column 'a' holds numbers in p-0.{kind} and text in p-1.{kind}"):
        Arrow(f"{tmp_path}/p-*.{kind}").names  # noqa: B018


@each_kind
def test_folders_that_stand_for_columns(kind: str, tmp_path: Path) -> None:
    for year in (2001, 2002):
        (tmp_path / "in" / f"year={year}").mkdir(parents=True)
        KINDS[kind](tmp_path / "in" / f"year={year}" / "rows", a=[year - 2000.5])
    data = Arrow(tmp_path / "in")
    assert data.names == ("a", "year")
    assert np.asarray(data.x).tolist() == [[0.5, 2001], [1.5, 2002]]


@each_kind
def test_a_bad_row_is_named_by_its_file_and_its_number_there(kind: str, tmp_path: Path) -> None:
    bad = {"parquet": np.inf, "arrow": -np.inf, "jsonl": "oops", "csv": "oops"}[kind]
    KINDS[kind](tmp_path / "p-0", a=[1.5, 2.5, 3.5], b=[1.0, 2.0, 3.0])
    KINDS[kind](tmp_path / "p-1", a=[1.5, 2.5], b=[1.0, 2.0])
    KINDS[kind](tmp_path / "p-2", a=[1.5, bad, 3.5], b=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=f"^p-2.{kind}: column 'a' holds .*(infinity|'oops') in row 2; mend it"):
        estep.GaussianMixture(1).fit(f"{tmp_path}/p-*.{kind}")


def test_a_bad_row_of_a_sequence_keeps_the_number_that_it_has_in_the_file(tmp_path: Path) -> None:
    n = 40
    columns = {
        "unit": np.arange(n) % 4,
        "day": np.arange(n) // 4,
        "x": np.where(np.arange(n) == 21, np.inf, 1.0 * np.arange(n)),
    }
    as_parquet(tmp_path / "rows", **columns)
    with pytest.raises(ValueError, match="^rows.parquet: column 'x' holds infinity in row 22"):
        estep.GaussianHMM(2).fit(tmp_path / "rows.parquet", sequence="unit", time="day")


def test_forty_files_of_json_lines_fit_in_the_memory_of_one(tmp_path: Path) -> None:
    for i in range(40):
        as_json(tmp_path / f"p-{i:02d}", a=[i, None], b=[0.5 if i > 35 else 1, i])
    x = np.asarray(Arrow(f"{tmp_path}/p-*.jsonl").x)
    assert x.shape == (80, 2)
    np.testing.assert_array_equal(x[:, 1], np.ravel([[0.5 if i > 35 else 1, i] for i in range(40)]))
    assert np.isnan(x[1::2, 0]).all()


def test_entries_of_json_that_differ_in_kind(tmp_path: Path) -> None:
    as_json(tmp_path / "one", a=[1, "NaN", None, 2.5], b=["x", "y", "x", None])
    data = Arrow(tmp_path / "one.jsonl")
    np.testing.assert_array_equal(data.x, [[1, 0], [np.nan, 1], [np.nan, 0], [2.5, np.nan]])
    assert data.coded == {"b": ("x", "y")}
    as_json(tmp_path / "p-0", a=[1, 2], b=["x", "y"], c=[{"d": 1}, {"d": 2}])
    as_json(tmp_path / "p-1", a=["oops", 2], b=["z", None], c=[{"d": 1}, None])
    with (
        pytest.warns(UserWarning, match="left out 'c'"),
        pytest.raises(ValueError, match="p-1.jsonl: .*'a' .*'oops' in row 1;"),
    ):
        Arrow(f"{tmp_path}/p-*.jsonl").x  # noqa: B018


def test_dates_and_truths_of_json_in_several_files_are_what_they_are_in_one(tmp_path: Path) -> None:
    as_json(tmp_path / "p-0", x=[1.0, 3.0], day=["2020-01-01", "2020-01-02"], hour=["10:00:00", None], odd=[True, None])
    as_json(tmp_path / "p-1", x=[2.0], day=["2020-01-05 00:00:00"], hour=["11:30:00"], odd=[3])
    data = Arrow(f"{tmp_path}/p-*.jsonl")
    with pytest.warns(UserWarning, match="left out 'day' .*, 'hour' "):
        assert data.names == ("x", "odd")
    np.testing.assert_array_equal(data.x, [[1, 1], [3, np.nan], [2, 3]])
    ordered = Arrow(f"{tmp_path}/p-*.jsonl", exclude=["odd", "hour"]).in_sequences(None, "day")
    np.testing.assert_array_equal(ordered.x[:, 0], [1, 3, np.nan, np.nan, 2])  # two days have no row


@pytest.mark.parametrize("rows", [({"x": [1], "X": [2]}, {"x": [3], "X": [4]}), ({"x": [1]}, {"X": [2]})])
def test_keys_that_differ_in_case_alone_are_refused(rows: tuple[dict[str, Any], ...], tmp_path: Path) -> None:
    for i, columns in enumerate(rows):
        as_json(tmp_path / f"p-{i}", **columns)
    with pytest.raises(ValueError, match="several keys are 'x' but for upper and lower case"):
        Arrow(f"{tmp_path}/p-*.jsonl").x  # noqa: B018
    as_json(tmp_path / "q-0", x=[1], x_1=[2])
    as_json(tmp_path / "q-1", x=[3], x_1=[4])
    np.testing.assert_array_equal(Arrow(f"{tmp_path}/q-*.jsonl").x, [[1, 2], [3, 4]])


def test_a_line_of_another_length_and_bytes_of_another_encoding_name_their_file(tmp_path: Path) -> None:
    as_csv(tmp_path / "p-0", a=[1, 2], b=[3, 4])
    (tmp_path / "p-1.csv").write_text("a,b\n1,2\n3\n", "utf-8")
    with pytest.raises(ValueError, match="^p-1.csv: line 3 has 1 fields where the first line has 2"):
        Arrow(f"{tmp_path}/p-*.csv").names  # noqa: B018
    (tmp_path / "p-1.csv").write_bytes("a,b\n1,ü\n".encode("latin-1"))
    with pytest.raises(ValueError, match="^p-1.csv is not in UTF-8: line 2 holds the byte 0xfc"):
        Arrow(f"{tmp_path}/p-*.csv").names  # noqa: B018


def test_paths_in_a_list_are_one_table(tmp_path: Path) -> None:
    for i in range(3):
        as_csv(tmp_path / f"p-{i}", a=[i, i + 0.5])
    paths = [tmp_path / "p-2.csv", tmp_path / "p-0.csv"]
    assert np.asarray(Arrow(paths).x).ravel().tolist() == [2, 2.5, 0, 0.5]
    as_json(tmp_path / "p", a=[1])
    with pytest.raises(ValueError, match="p.jsonl is of another kind than"):
        Arrow([*paths, tmp_path / "p.jsonl"]).names  # noqa: B018


def test_text_in_a_later_file_is_no_category_of_a_model_of_numbers(tmp_path: Path) -> None:
    as_csv(tmp_path / "fit", a=[1.0, 2.0, 3.5, 4.0], b=[1.0, 2.5, 1.0, 3.0])
    as_csv(tmp_path / "later", a=[1.0, 2.0], b=["x", "y"])
    fitted = estep.GaussianMixture(1).fit(tmp_path / "fit.csv")
    with pytest.raises(ValueError, match="later.csv: column 'b' holds text: 'x' in row 1"):
        fitted.predict(tmp_path / "later.csv")


SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "a text for columns": ({"columns": "ab"}, r"columns must be a list of names .* give \['ab'\]"),
    "a text for exclude": ({"exclude": "ab"}, r"exclude must be a list of names .* give \['ab'\]"),
    "no columns": ({"columns": []}, "columns names no column"),
    "numbers of columns": ({"columns": [0]}, "columns must be names of columns, got 0"),
    "no rows": ({"rows": 0}, "rows must be None or a whole number >= 1, got 0"),
    "half a row": ({"rows": 1.5}, "rows must be None or a whole number >= 1, got 1.5"),
    "no threads": ({"n_jobs": 0}, "n_jobs must be None .* other than 0, got 0"),
    "threads in words": ({"n_jobs": "2"}, "n_jobs must be None .* got '2'"),
    "a budget in words": ({"budget": "1GB"}, "budget must be None or a whole number >= 0, got '1GB'"),
    "a negative budget": ({"budget": -1}, "budget must be None or a whole number >= 0, got -1"),
    "two columns of weights": ({"weights": ["a"]}, "weights must be None or the name of a column"),
    "an array": ({"source": np.zeros((2, 2))}, "source must be a path, .*arrays go to fit as they are"),
    "no name": ({"source": " "}, "source is an empty text"),
    "no folder": ({"folder": "/nowhere/at/all"}, "there is no folder /nowhere/at/all to keep rows in"),
    "text for weights": ({"weights": "c"}, "a.csv: column 'c' holds text: 'x' in row 1; a weight is how often"),
}


@pytest.mark.parametrize(("settings", "words"), SETTINGS.values(), ids=SETTINGS)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], words: str, tmp_path: Path) -> None:
    as_csv(tmp_path / "a", a=[1.0, 2.0], c=["x", "y"])
    with pytest.raises((ValueError, TypeError), match=words):
        Arrow(**{"source": tmp_path / "a.csv", "columns": ["a"], **settings}).x  # noqa: B018
