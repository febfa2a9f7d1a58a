"""Files that change, vanish or do not fit while a fit is under way: the numbers are right, or a sentence says why not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import estep
from estep.data import Arrow

duckdb = pytest.importorskip("duckdb")
pytest.importorskip("nanoarrow")
N = 4_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    x = np.random.default_rng(0).normal(size=(N, 2)) + 3.0 * (np.arange(N) % 2)[:, None]
    connection = duckdb.connect()
    connection.register("given", {"a": x[:, 0].copy(), "b": x[:, 1].copy()})
    connection.execute(f"COPY (SELECT * FROM given) TO '{path}' (FORMAT parquet)")
    connection.close()
    return path


def altered(path: Path) -> None:
    connection = duckdb.connect()
    connection.execute(f"COPY (SELECT a + 1 AS a, b FROM read_parquet('{path}') LIMIT 100) TO '{path}.new' (FORMAT parquet)")
    connection.close()
    os.replace(f"{path}.new", path)


def removed(path: Path) -> None:
    path.unlink()


HAPPENINGS = {"changed": (altered, "was changed since it was opened"), "gone": (removed, "has gone since it was opened")}


def fitted_while(data: Any, happening: Any, at: int) -> Any:
    """A fit in whose pass ``at`` something happens to the file."""
    from estep.models import Latent
    from estep.structures import Iid

    model = Latent(Iid(), estep.Normal("VVV"), 2).bind(data)
    start = model.start()
    first = model.mstep(data.sum(lambda c: model.tally(start, c, np.eye(2)[np.arange(*c.key[1:]) % 2])), start)

    def watch(state: Any, status: Any) -> bool:
        if len(state.trace) == at and happening is not None:
            happening()
        return False

    return estep.fit(model, data, first, max_iter=8, tol=0.0, watch=watch)


@pytest.mark.parametrize("name", HAPPENINGS)
def test_rows_that_were_read_are_safe(name: str, file: Path) -> None:
    happening, _ = HAPPENINGS[name]
    calm = fitted_while(Arrow(file), None, 3)
    found = fitted_while(Arrow(file), lambda: happening(file), 3)
    assert found.trace.objective.tobytes() == calm.trace.objective.tobytes()


@pytest.mark.filterwarnings("ignore:rows.parquet")
@pytest.mark.parametrize("name", HAPPENINGS)
def test_rows_that_are_read_again_are_refused(name: str, file: Path) -> None:
    happening, words = HAPPENINGS[name]
    with pytest.raises(ValueError, match=f"rows.parquet {words}"):
        fitted_while(Arrow(file, budget=0), lambda: happening(file), 3)


@pytest.mark.filterwarnings("ignore:rows.parquet")
def test_a_file_that_is_let_alone_is_read_again(file: Path) -> None:
    calm, again = fitted_while(Arrow(file), None, 3), fitted_while(Arrow(file, budget=0), None, 3)
    assert again.trace.objective.tobytes() == calm.trace.objective.tobytes()


@pytest.mark.parametrize("name", HAPPENINGS)
def test_rows_that_are_only_counted_are_refused_as_well(name: str, tmp_path: Path) -> None:
    file = tmp_path / "answers.csv"
    file.write_text("a,b\n" + "yes,no\nno,no\nyes,yes\n" * 20)
    data = Arrow(file)
    assert data.n_rows == 60
    if name == "gone":
        file.unlink()
    else:
        file.write_text("a,b\nyes,no\n")
    with pytest.raises(ValueError, match=HAPPENINGS[name][1]):
        estep.LatentClass(1).fit(data)


def test_a_folder_of_files_of_one_kind_is_read_whole(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    for year in (2001, 2002):
        (folder / f"year={year}").mkdir(parents=True)
        shutil.copy(file, folder / f"year={year}" / "rows.parquet")
    (folder / "_SUCCESS").write_text("")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "more.parquet").write_text("no parquet")
    data = Arrow(folder)
    assert (data.n_rows, set(data.names)) == (2 * N, {"a", "b", "year"})
    (folder / "more.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"files of several kinds \(.csv, .parquet\)"):
        Arrow(folder).names  # noqa: B018
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="a folder without any file that can be read"):
        Arrow(tmp_path / "empty").names  # noqa: B018


def test_streams_and_lazy_frames_are_rows(file: Path) -> None:
    polars, arrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    frame = polars.read_parquet(file)
    here = estep.GaussianMixture(2, random_state=0, n_init=2).fit(Arrow(file))
    lazy = estep.GaussianMixture(2, random_state=0, n_init=2).fit(frame.lazy().filter(polars.col("a") > -100.0))
    assert lazy.log_likelihood_ == here.log_likelihood_
    batches = arrow.RecordBatchReader.from_batches(frame.to_arrow().schema, frame.to_arrow().to_batches(max_chunksize=300))
    stream = estep.GaussianMixture(2, random_state=0, n_init=2).fit(batches)
    assert stream.log_likelihood_ == here.log_likelihood_
