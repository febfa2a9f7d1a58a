"""Held-out likelihood of rows in a file or on a cluster: the folds, and so the numbers, of the same rows in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import estep
from estep.data import Arrow, OnDask
from estep.data.picked import picked

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
pytest.importorskip("duckdb")
dd = pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")
N, FOLDS = 240, 2
LIKE = dict(rtol=1e-9)  # fits of three steps, so that only the order of summation over partitions differs

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def client() -> Any:
    """Workers of one process: what is under test is which rows they take."""
    with distributed.Client(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as found:
        yield found


@pytest.fixture(scope="module")
def table() -> Any:
    rng = np.random.default_rng(0)
    z = rng.random(N) < 0.4
    x = rng.normal(size=(N, 2)) + 3.0 * z[:, None]
    x[rng.random(x.shape) < 0.05] = np.nan
    times = rng.integers(0, 4, size=N).astype(float)
    known = np.where(rng.random(N) < 0.2, np.where(z, 1.0, 0.0), np.nan)
    likes = np.where(rng.random(N) < np.where(z, 0.9, 0.2), "tea", np.where(rng.random(N) < 0.5, "milk", "water"))
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "times": times, "known": known, "likes": likes})


@pytest.fixture(scope="module")
def files(table: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    table.to_parquet(folder / "rows.parquet")
    table.to_csv(folder / "rows.csv", index=False)
    return Path(folder)


def numbers(chosen: Any) -> Any:
    return np.array([(cell.criterion, cell.error, cell.log_likelihood) for cell in chosen.table])


def held_out(X: Any, seed: int = 0, **rows: Any) -> Any:
    make = estep.GaussianMixture(covariance_type="VVI", n_init=1, max_iter=3, random_state=seed)
    return numbers(estep.select(make, X, {"n_components": [2]}, "cv", folds=FOLDS, **rows))


def test_numbers_are_those_in_memory(table: Any, files: Path, client: Any) -> None:
    columns = ["a", "b"]
    here = held_out(table[columns])
    file = held_out(Arrow(files / "rows.parquet", columns=columns))
    np.testing.assert_array_equal(file, here)  # the very blocks of rows
    np.testing.assert_array_equal(held_out(Arrow(files / "rows.csv", columns=columns)), here)
    np.testing.assert_array_equal(held_out(Arrow(files / "rows.csv", columns=columns, budget=16 * N)), here)
    np.testing.assert_allclose(held_out(dd.from_pandas(table[columns], npartitions=3)), here, **LIKE)
    np.testing.assert_allclose(held_out(OnDask(Arrow(files / "rows.parquet", columns=columns))), here, **LIKE)
    other = held_out(Arrow(files / "rows.parquet", columns=columns), seed=1)
    assert (np.abs(other[:, 0] - here[:, 0]) > 1e-6).all(), "folds are drawn by the seed"


def test_weights_and_labels_of_the_source_count(table: Any, files: Path, client: Any) -> None:
    asked = dict(columns=["a", "b"], weights="times", labels="known")
    here = held_out(table[["a", "b"]], y=table["known"].to_numpy(), sample_weight=table["times"].to_numpy())
    np.testing.assert_allclose(held_out(Arrow(files / "rows.parquet", **asked)), here, **LIKE)
    cluster = OnDask(dd.from_pandas(table, npartitions=4), **asked)
    np.testing.assert_allclose(held_out(cluster), here, **LIKE)
    for gone in ("weights", "labels"):
        without = held_out(Arrow(files / "rows.parquet", **(asked | {gone: None})))
        assert abs(without[0, 0] - here[0, 0]) > 1e-6, gone


def test_given_weights_are_dealt_with_the_rows(table: Any, files: Path, client: Any) -> None:
    weight = table["times"].to_numpy()
    here = held_out(table[["a", "b"]], sample_weight=weight)
    for X in (Arrow(files / "rows.parquet", columns=["a", "b"]), dd.from_pandas(table[["a", "b"]], npartitions=2)):
        np.testing.assert_allclose(held_out(X, sample_weight=weight), here, **LIKE)


def test_categories_are_those_of_the_rows_seen(table: Any, files: Path, client: Any) -> None:
    def judged(X: Any) -> Any:
        make = estep.Mixture(estep.Categorical(), n_init=1, max_iter=3, random_state=0)
        return numbers(estep.select(make, X, {"n_components": [2]}, "cv", folds=FOLDS))

    here = judged(table[["likes"]])
    np.testing.assert_allclose(judged(Arrow(files / "rows.csv", columns=["likes"])), here, **LIKE)
    dicts = [part[["likes"]].to_dict("records") for part in (table.iloc[:100], table.iloc[100:])]
    np.testing.assert_allclose(judged(OnDask(dicts)), here, **LIKE)


def test_rows_are_taken_by_number(table: Any, files: Path, client: Any) -> None:
    rows = np.sort(np.random.default_rng(1).choice(N, 60, replace=False))
    want = table[["a", "b"]].to_numpy()[rows]
    parts = [table.iloc[:90], table.iloc[90:90], table.iloc[90:200], table.iloc[200:]]
    query = Arrow(files / "rows.csv", query="SELECT a, b FROM data", columns=["a", "b"])
    for data in (Arrow(files / "rows.csv", columns=["a", "b"]), query, OnDask(parts, columns=["a", "b"])):
        part = picked(data, rows)
        np.testing.assert_array_equal(part[:], want)
        assert not np.array_equal(picked(data, rows[1:])[:], want)
        np.testing.assert_array_equal(picked(data, rows[:3])[:], want[:3])  # the other partitions have none
    within = picked(OnDask(parts[:1], columns=["likes"]), rows[:5])
    with pytest.raises(ValueError, match=f"holds '{table.likes[rows[0]]}' in row {rows[0]}, unseen in fit"):
        within.chosen(levels={"likes": ["coffee"]}).x  # noqa: B018


def test_sequences_of_files_are_refused(files: Path) -> None:
    with pytest.raises(ValueError, match="those of a file or a cluster are not dealt into folds; give X as a list"):
        estep.select(estep.GaussianHMM(2), files / "rows.csv", {"n_states": [1]}, "cv", sequence="known")


def test_cells_are_spread_over_the_cluster(table: Any, client: Any) -> None:
    import joblib

    make = estep.GaussianMixture(covariance_type="VVI", n_init=1, random_state=0)
    asked = make, table[["a", "b"]].fillna(0.0), {"n_components": [1, 2]}, "cv"
    here = numbers(estep.select(*asked, folds=FOLDS))
    with joblib.parallel_config(backend="dask"):
        np.testing.assert_array_equal(numbers(estep.select(*asked, folds=FOLDS)), here)
    assert (numbers(estep.select(*asked, folds=FOLDS + 1))[:, 0] != here[:, 0]).all()
