"""Rows from files are the rows in memory, to the bit; categories keep their codes; the disk gets its room back."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import estep
from estep.core.assign import SOFT
from estep.data import Arrow, Memory, spool
from estep.data.planes import Mapped, Reread, recut
from estep.models import Latent
from estep.structures import Iid

duckdb = pytest.importorskip("duckdb")
pytest.importorskip("nanoarrow")

N, NAMES = 40_011, ("a", "b", "c")  # four blocks, the last one short


@pytest.fixture(scope="module")
def rows() -> Any:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 3)) + 3.0 * rng.integers(2, size=(N, 1))
    x[rng.random(x.shape) < 0.02] = np.nan
    return x


@pytest.fixture(scope="module")
def weight() -> Any:
    return np.random.default_rng(1).integers(1, 4, size=N).astype(float)


def written(rows: Any, weight: Any, path: Path) -> Path:
    """The rows as a file of the kind that its name says; numbers to the bit, missing entries as nulls."""
    connection = duckdb.connect(str(path) if path.suffix == ".duckdb" else ":memory:")
    columns = {name: rows[:, j].copy() for j, name in enumerate(NAMES)} | {"w": weight}
    connection.register("given", columns)
    select = "SELECT " + ", ".join(f"CASE WHEN isnan({n}) THEN NULL ELSE {n} END AS {n}" for n in columns) + " FROM given"
    if path.suffix == ".duckdb":
        connection.execute(f"CREATE TABLE t AS {select}")
    elif path.suffix in (".arrow", ".feather"):
        arrow = pytest.importorskip("pyarrow")
        table = connection.sql(select).to_arrow_table()
        make = arrow.ipc.new_stream if path.suffix == ".arrow" else arrow.ipc.new_file
        with make(path, table.schema) as sink:
            sink.write_table(table, max_chunksize=3000)
    else:
        how = {".parquet": "FORMAT parquet, ROW_GROUP_SIZE 2048", ".csv": "FORMAT csv, HEADER", ".jsonl": "FORMAT json"}[
            path.suffix
        ]
        connection.execute(f"COPY ({select}) TO '{path}' ({how})")
    connection.close()
    return path


@pytest.fixture(scope="module")
def parquet(rows: Any, weight: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(rows, weight, tmp_path_factory.mktemp("rows") / "rows.parquet")


def model(data: Any) -> tuple[Any, Any]:
    bound = Latent(Iid(), estep.Normal("VVV"), 2).bind(data)
    start = bound.start()
    return bound, bound.mstep(data.sum(lambda c: bound.tally(start, c, np.eye(2)[np.arange(len(c)) % 2])), start)


def same_bits(one: Any, other: Any) -> bool:
    from estep.core.record import leaves

    pairs = zip(leaves(one), leaves(other), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for (_, a), (_, b) in pairs)


def expected(data: Any) -> Any:
    bound, params = model(data)
    return data.sum(lambda chunk: bound.estep(params, chunk, SOFT))


# --- the same bits ---


@pytest.mark.parametrize("kind", [".parquet", ".csv", ".jsonl", ".duckdb", ".arrow", ".feather"])
def test_every_kind_of_file_gives_the_bits_of_memory(kind: str, rows: Any, weight: Any, tmp_path: Path) -> None:
    data = Arrow(written(rows, weight, tmp_path / f"rows{kind}"), weights="w")
    assert data.names == NAMES
    assert data.shape == rows.shape
    assert np.asarray(data.x).tobytes() == np.where(np.isnan(rows), np.nan, rows).tobytes()
    assert same_bits(expected(data), expected(Memory(rows, weight)))


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("budget", [None, 0], ids=["mapped", "read again"])
def test_threads_and_re_reading_change_no_bit(n_jobs: int, budget: int | None, parquet: Path, rows: Any, weight: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        data = Arrow(parquet, weights="w", n_jobs=n_jobs, budget=budget)
        assert isinstance(data.plane, Mapped if budget is None else Reread)
    assert [c.key[1:] for c in data.chunks()] == [c.key[1:] for c in Memory(rows).chunks()]
    assert {c.key[0] for c in data.chunks()} == {("arrow", "rows.parquet")}
    assert same_bits(expected(data), expected(Memory(rows, weight)))


def test_rows_in_another_order_are_noticed(parquet: Path, rows: Any) -> None:
    """The negative control: one pair of rows exchanged across blocks gives other bits."""
    turned = rows.copy()
    turned[[0, -1]] = turned[[-1, 0]]
    assert not same_bits(expected(Arrow(parquet, columns=NAMES)), expected(Memory(turned)))


def test_estimators_take_paths(parquet: Path, rows: Any) -> None:
    settings = dict(n_components=2, covariance_type="VVI", n_init=3, random_state=0)
    x, data = rows, Arrow(parquet, columns=NAMES)
    ours, theirs = estep.GaussianMixture(**settings).fit(data), estep.GaussianMixture(**settings).fit(x)
    assert ours.means_.tobytes() == theirs.means_.tobytes()
    assert ours.bic(data) == theirs.bic(x)
    assert ours.feature_names_in_.tolist() == [*NAMES]
    np.testing.assert_array_equal(ours.predict(str(parquet)), theirs.predict(x))  # its columns are found by name


def test_estimators_read_again_where_the_disk_is_full(parquet: Path, rows: Any, weight: Any) -> None:
    settings = dict(n_components=2, covariance_type="EEI", n_init=2, random_state=0, max_iter=5, tol=0.1)
    with pytest.warns(UserWarning, match=r"cannot be kept in .* the budget.*several times slower; make room"):
        ours = estep.GaussianMixture(**settings).fit(Arrow(parquet, weights="w", budget=1000))
    theirs = estep.GaussianMixture(**settings).fit(rows, sample_weight=weight)
    assert ours.means_.tobytes() == theirs.means_.tobytes()
    assert ours.trace_.tobytes() == theirs.trace_.tobytes()


def test_select_and_kmeans_take_paths(parquet: Path, rows: Any) -> None:
    data = Arrow(parquet, columns=("a", "b"))
    grid = dict(n_components=[1, 2], covariance_type=["EII"])
    ours = estep.select(estep.GaussianMixture(random_state=0), data, grid)
    theirs = estep.select(estep.GaussianMixture(random_state=0), rows[:, :2], grid)
    assert [c.criterion for c in ours.table] == [c.criterion for c in theirs.table]
    means = [estep.KMeans(2, n_init=1, random_state=0).fit(x) for x in (data, rows[:, :2])]
    assert means[0].inertia_ == means[1].inertia_


def test_labels_weights_and_columns_have_their_parts(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text("id,x,y,kind,times\np,1.5,,high,2\nq,,2,,1\nr,3,4,low,3\n", "utf-8")
    data = Arrow(path, weights="times", labels="kind", ids="id")
    assert data.names == ("x", "y")
    np.testing.assert_array_equal(data.x, [[1.5, np.nan], [np.nan, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(data.weight, [2.0, 1.0, 3.0])
    assert data.known.tolist() == ["high", None, "low"]
    (chunk,) = data.chunks()
    assert chunk.allowed.tolist() == [0, -1, 1]
    assert data.values("id").tolist() == ["p", "q", "r"]


# --- categories ---


def test_codes_agree_over_batches_and_with_a_table_in_memory(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(2)
    early, late = ["pear", "fig"], ["apple", "quince", "fig"]  # the first level in order is first seen in a late batch
    values = np.concatenate([rng.choice(early, 3000), rng.choice(late, 3000)]).astype(object)
    values[rng.random(6000) < 0.05] = None
    frame = pandas.DataFrame({"fruit": values, "flag": rng.integers(2, size=6000), "grade": rng.choice([1, 3, 7], 6000)})
    duckdb.register("frame", frame)
    duckdb.sql("SELECT * FROM frame").write_parquet(str(tmp_path / "f.parquet"), row_group_size=2048)
    duckdb.sql("SELECT * FROM frame").write_csv(str(tmp_path / "f.csv"))
    settings = dict(n_components=2, n_init=2, random_state=0, max_iter=20, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estep.ConvergenceWarning)
        theirs = estep.LatentClass(**settings).fit(frame)
        for name in ("f.parquet", "f.csv"):
            data = Arrow(tmp_path / name)
            assert data.coded == {"fruit": ("apple", "fig", "pear", "quince")}
            ours = estep.LatentClass(**settings).fit(data)
            assert [None if v is None else v.tolist() for v in ours.levels_] == [v.tolist() for v in theirs.levels_]
            assert ours.log_likelihood_ == theirs.log_likelihood_
            np.testing.assert_array_equal(ours.predict(tmp_path / name), theirs.predict(frame))


def test_later_rows_are_coded_as_in_the_fit_and_new_levels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("u,v\n" + "no,b\nyes,a\n" * 10, "utf-8")
    fit = estep.LatentClass(1, random_state=0).fit(path)
    later = tmp_path / "b.csv"
    later.write_text("v,u\na,yes\na,yes\n", "utf-8")  # other order of columns, not every level
    assert fit.score_samples(later).tolist() == fit.score_samples(path)[[1, 1]].tolist()
    later.write_text("v,u\na,yes\nc,yes\n", "utf-8")
    with pytest.raises(ValueError, match=r"b\.csv: column 'v' holds 'c' in row 2, unseen in fit; .*'a', 'b'"):
        fit.predict(later)


def test_text_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,red\n2,blue\n3,red\n", "utf-8")
    with pytest.raises(ValueError, match=r"a\.csv: column 'y' holds text: 'red' in row 1; mend it, leave the column out"):
        estep.GaussianMixture(1).fit(path)


# --- shuffling ---


@pytest.mark.parametrize("budget", [None, 0], ids=["mapped", "read again"])
def test_shuffled_rows_are_the_same_rows_in_an_order_of_their_own(budget: int | None, parquet: Path, rows: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        mixed = Arrow(parquet, columns=NAMES, budget=budget).shuffled(np.random.default_rng(5))
    seen = np.concatenate([chunk.x for chunk in mixed.chunks()])
    again = np.concatenate([chunk.x for chunk in mixed.chunks()])
    assert seen.tobytes() == again.tobytes()
    assert seen.tobytes() != rows.tobytes()
    order = [np.lexsort(np.nan_to_num(x, nan=99.0).T) for x in (seen, rows)]
    np.testing.assert_array_equal(seen[order[0]], rows[order[1]])
    assert abs(np.corrcoef(np.arange(N), np.argsort(order[0])[np.argsort(order[1])])[0, 1]) < 5 / np.sqrt(N)


def test_a_shuffle_on_disk_is_that_of_memory(parquet: Path, rows: Any) -> None:
    mixed = Arrow(parquet, columns=NAMES).shuffled(np.random.default_rng(5))
    theirs = Memory(rows).shuffled(np.random.default_rng(5))
    assert all(np.array_equal(a.x, b.x, equal_nan=True) for a, b in zip(mixed.chunks(), theirs.chunks(), strict=True))


# --- the disk ---


def open_files() -> list[str]:
    """What this process's descriptors and maps point at."""
    found = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    return [*found, *Path("/proc/self/maps").read_text("utf-8").split()]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_the_spool_has_no_name_and_its_room_comes_back(parquet: Path, tmp_path: Path) -> None:
    data = Arrow(parquet, folder=tmp_path)
    assert data.x.shape == (N, 4)
    assert os.listdir(tmp_path) == []
    assert any(str(tmp_path) in name for name in open_files())  # it is there, and mapped
    del data
    assert not any(str(tmp_path) in name for name in open_files())


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    sql = "SELECT CASE WHEN i = 150000 THEN 'Infinity'::DOUBLE ELSE i END AS x FROM range(200000) AS t(i)"
    data = Arrow(None, query=sql, folder=tmp_path)
    with pytest.raises(ValueError, match="the query: column 'x' holds infinity in row 150001"):
        _ = data.x
    assert os.listdir(tmp_path) == []
    assert not any(str(tmp_path) in name for name in open_files())


def test_a_full_disk_is_said_and_the_source_read_again(parquet: Path, rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Any, part: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool, "_write", full)
    data = Arrow(parquet, columns=NAMES)
    with pytest.warns(UserWarning, match=r"cannot be kept .*No space left on device.*every pass reads the source again"):
        total = expected(data)
    assert same_bits(total, expected(Memory(rows)))


def test_copies_for_other_processes_take_the_recipe_and_not_the_rows(parquet: Path) -> None:
    data = Arrow(parquet, columns=NAMES)
    assert data.x.shape == (N, 3)
    recipe = pickle.dumps(data)  # as joblib would
    assert len(recipe) < 2000
    assert np.array_equal(pickle.loads(recipe).x, data.x, equal_nan=True)  # noqa: S301  our own bytes, made above


PROGRAM = """
import sys, numpy as np, estep
from estep.data import Arrow
def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) * 1024
warm = np.random.default_rng(0).normal(size=(20_000, 4))
settings = dict(n_components=2, covariance_type="VVI", n_init=2, max_iter=5, tol=1.0, random_state=0)
estep.GaussianMixture(**settings).fit(warm)
small = Arrow(sys.argv[1], query="SELECT * FROM data LIMIT 20000"); estep.GaussianMixture(**settings).fit(small)
before = anonymous()
estep.GaussianMixture(**settings).fit(sys.argv[1])
print(anonymous() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    n = 1_500_000
    path = tmp_path / "big.parquet"
    duckdb.sql(f"SELECT random() AS a, random() AS b, random() AS c, random() AS d FROM range({n})").write_parquet(str(path))
    paths = os.pathsep.join(filter(None, [str(Path(estep.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    env = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(path)], capture_output=True, text=True, env=env, check=True
    )
    assert int(done.stdout) < n * 4 * 8 / 2  # half of what a copy of the rows in memory would take


def test_blocks_are_cut_anew() -> None:
    def parts() -> Iterator[Any]:
        at = 0
        for n in (3, 1, 0, 7, 2):
            yield np.arange(at, at + n, dtype=float)[:, None]
            at += n

    for step in (1, 2, 5, 13, 20):
        cut = [block[:, 0].tolist() for block in recut(parts(), step)]
        assert sum(cut, []) == list(range(13))
        assert all(len(block) == step for block in cut[:-1])
