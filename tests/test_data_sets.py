"""The data that ship: they are those of tests/reference where both have them, and load with and without pandas."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from estep.data import sets

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "tests" / "reference" / "data"
SHAPES = {
    "ability": (6, 6), "airquality": (153, 4), "banknote": (200, 7), "biochemists": (915, 6), "carcinoma": (20, 8),
    "co2": (28, 3), "crimes": (9, 3), "death_notices": (10, 2), "deerwester": (12, 10), "diabetes": (145, 4),
    "faithful": (272, 2), "galaxies": (82, 1), "iris": (150, 5), "lsat": (30, 6), "mice": (10, 2), "motorettes": (40, 3),
    "nitric_oxide": (88, 2), "poll": (944, 9), "promoters": (18, 4), "seizures": (140, 4), "stouffer_toby": (16, 5),
}  # fmt: skip
TOTALS = {"carcinoma": 118, "lsat": 1000, "stouffer_toby": 216, "crimes": 756}


@pytest.mark.parametrize("name", sets.names())
def test_every_set_has_its_shape_and_no_empty_column(name: str) -> None:
    data = sets.load(name)
    assert data.shape == SHAPES[name]
    assert data.notna().any().all()
    assert len(set(data.columns)) == data.shape[1]


@pytest.mark.parametrize(("name", "total"), TOTALS.items())
def test_counts_add_up(name: str, total: int) -> None:
    data = sets.load(name)
    assert data["count"].sum() == total
    assert not data.drop(columns="count").duplicated().any()


def test_notices_cover_three_years() -> None:
    assert sets.load("death_notices")["days"].sum() == 1096


@pytest.mark.parametrize(
    ("name", "file"),
    [("ability", "ability_cov"), ("galaxies", "galaxies_corrected")]
    + [(name, name) for name in ("death_notices", "stouffer_toby", "airquality", "iris", "diabetes", "faithful")],
)
def test_numbers_are_those_of_the_reference(name: str, file: str) -> None:
    mine = sets.load(name).select_dtypes("number").to_numpy(dtype=float)
    theirs = pd.read_csv(REFERENCE / f"{file}.csv").select_dtypes("number").to_numpy(dtype=float)[:, : mine.shape[1]]
    np.testing.assert_array_equal(mine, theirs)


def test_without_pandas_there_are_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    table = sets.load("airquality")
    with_text = sets.load("mice")
    monkeypatch.setitem(sys.modules, "pandas", None)
    rows, columns = sets.load("airquality")
    assert rows.dtype == float and columns == tuple(table.columns)
    np.testing.assert_array_equal(rows, table.to_numpy(dtype=float))
    mixed, names = sets.load("mice")
    assert mixed.dtype == object and names == ("log_days", "status")
    assert mixed[0].tolist() == with_text.iloc[0].tolist()


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'airquality'"):
        sets.load("air_quality")
    with pytest.raises(ValueError, match="is no data set; there are"):
        sets.load("zzz")
