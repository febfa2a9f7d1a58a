"""The same fit from memory, a Parquet file, a DuckDB query and a Dask cluster, to the order of summation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import estep
from estep.data import Arrow, OnDask

pandas = pytest.importorskip("pandas")
duckdb = pytest.importorskip("duckdb")
distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")
dd = pytest.importorskip("dask.dataframe")
pytest.importorskip("nanoarrow")
N = 3_000

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def client() -> Any:
    """Workers of one process: what is under test is the plane."""
    with distributed.Client(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as found:
        yield found


@pytest.fixture(scope="module")
def table() -> Any:
    rng = np.random.default_rng(3)
    z = rng.integers(2, size=N)
    frame = pandas.DataFrame(
        {
            "height": rng.normal(size=N) + 4.0 * z,
            "weight": rng.normal(size=N) - 3.0 * z,
            "visits": rng.poisson(np.where(z, 7.0, 1.0)).astype(float),
            "eyes": np.where(rng.random(N) < 0.2 + 0.6 * z, "blue", "brown"),
            "answer": np.where(rng.random(N) < 0.9 - 0.7 * z, "yes", "no"),
            "score": np.where(rng.random(N) < 0.3 + 0.5 * z, "low", "high"),
        }
    )
    frame.loc[rng.random(N) < 0.05, "height"] = np.nan
    frame.loc[rng.random(N) < 0.05, "eyes"] = None
    return frame


@pytest.fixture(scope="module")
def walks() -> Any:
    rng = np.random.default_rng(4)
    rows = []
    for s in range(30):
        z, t = int(rng.integers(2)), 0
        for _ in range(rng.integers(5, 40)):
            z = z if rng.random() < 0.9 else 1 - z
            t += 1 if rng.random() < 0.95 else 2
            rows.append((f"unit {s}", t, float(rng.poisson(2.0 + 8.0 * z))))
    frame = pandas.DataFrame(rows, columns=["unit", "day", "count"])
    return frame.sort_values(["day", "unit"]).reset_index(drop=True)


def elsewhere(frame: Any, path: Path) -> dict[str, Any]:
    """The rows of a table in a file, in a database, behind a query and on a cluster."""
    file, database = path / "rows.parquet", path / "rows.duckdb"
    with duckdb.connect(database) as connection:
        connection.register("given", frame)
        connection.execute("CREATE TABLE kept AS SELECT * FROM given")
        connection.execute(f"COPY kept TO '{file}' (FORMAT parquet, ROW_GROUP_SIZE 2048)")
    return {
        "Parquet": file,
        "DuckDB": database,
        "query": Arrow(database, query="SELECT * FROM kept"),
        "Dask": dd.from_pandas(frame, npartitions=3),
        "partitions": OnDask([frame.iloc[:700], dask.delayed(frame.iloc[700:])]),
    }


MODELS = {
    "gaussian with missing values": (lambda: estep.GaussianMixture(2, random_state=0, n_init=3), ["height", "weight"]),
    "latent class": (lambda: estep.LatentClass(2, random_state=0, n_init=3), ["eyes", "answer", "score"]),
    "mixed types": (
        lambda: estep.Mixture(
            estep.Product(
                [(estep.Normal(), ["height", "weight"]), (estep.Poisson(), "visits"), (estep.Categorical(), "eyes")]
            ),
            2,
            random_state=0,
            n_init=3,
        ),
        ["height", "weight", "visits", "eyes"],
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_mixture_is_the_same_wherever_its_rows_are(name: str, table: Any, client: Any, tmp_path: Path) -> None:
    make, columns = MODELS[name]
    frame = table[columns]
    here = make().fit(frame)
    labels, bic = here.predict(frame), here.bic(frame)
    for where, X in elsewhere(frame, tmp_path).items():
        there = make().fit(X)
        assert there.n_iter_ == here.n_iter_, where
        np.testing.assert_allclose(there.log_likelihood_, here.log_likelihood_, rtol=1e-12, err_msg=where)
        np.testing.assert_allclose(there.weights_, here.weights_, rtol=1e-8, err_msg=where)
        assert (there.predict(X) == labels).all(), where
        np.testing.assert_allclose(there.bic(X), bic, rtol=1e-12, err_msg=where)
    (tmp_path / "less").mkdir()
    for where, X in elsewhere(frame.iloc[:-1], tmp_path / "less").items():
        assert abs(here.bic(X) / bic - 1.0) > 1e-6, f"{where}: a row less must show"


def test_rows_of_categories_are_counted_where_they_are(table: Any, tmp_path: Path) -> None:
    frame = table[["eyes", "answer", "score"]]
    there = {where: X for where, X in elsewhere(frame, tmp_path).items() if where in ("Parquet", "DuckDB", "query")}
    here = estep.LatentClass(2, random_state=0, n_init=3).fit(frame)
    for X in there.values():
        data = X if isinstance(X, Arrow) else Arrow(X)
        found = estep.LatentClass(2, random_state=0, n_init=3).fit(data)
        assert found.log_likelihood_ == here.log_likelihood_, "the very patterns in the very order"
        chosen = data.chosen(data.names, levels=None)
        assert not chosen.is_kept, "no row was kept"
        assert (found.predict(data) == here.predict(frame)).all()


def test_rows_behind_a_query_are_counted_and_not_copied(table: Any, tmp_path: Path) -> None:
    frame = pandas.concat([table[["eyes", "answer", "score"]]] * 10, ignore_index=True)
    data = Arrow(elsewhere(frame, tmp_path)["Parquet"], query="SELECT * FROM data")
    found = estep.LatentClass(2, random_state=0, n_init=3).fit(data)
    assert found.log_likelihood_ == estep.LatentClass(2, random_state=0, n_init=3).fit(frame).log_likelihood_
    written = data.table.connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    assert all(name.startswith("estep groups") for (name,) in written)


def test_negative_counts_in_a_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "counts.csv"
    file.write_text("a,b\n" + "1,2\n-3,1\n2,2\n" * 5)
    with pytest.raises(ValueError, match="Negative values in data: X holds -3"):
        estep.Mixture(estep.Poisson(), 2).fit(file)


def test_a_query_that_draws_is_asked_once(tmp_path: Path) -> None:
    query = "SELECT CAST(random() < 0.5 AS INTEGER) AS a, CAST(random() < 0.5 AS INTEGER) AS b FROM range(1000)"
    data = Arrow(None, query=query)
    found = estep.LatentClass(1).fit(data)
    assert found.result_.n == 1000
    assert found.log_likelihood_ == estep.LatentClass(1).fit(np.asarray(data.x)).log_likelihood_


def test_workers_read_their_own_rows_of_a_file(table: Any, client: Any, tmp_path: Path) -> None:
    frame = table[["height", "weight", "eyes"]]
    for i, part in enumerate((frame.iloc[:1200], frame.iloc[1200:])):
        part.to_csv(tmp_path / f"part-{i}.csv", index=False)
    family = estep.Product([(estep.Normal(), ["height", "weight"]), (estep.Categorical(), "eyes")])
    here = estep.Mixture(family, 2, random_state=0, n_init=2).fit(tmp_path / "part-*.csv")
    there = estep.Mixture(family, 2, random_state=0, n_init=2).fit(OnDask(tmp_path / "part-*.csv"))
    np.testing.assert_allclose(there.log_likelihood_, here.log_likelihood_, rtol=1e-12)
    with pytest.raises(ValueError, match="rows of a query cannot be read by several workers"):
        OnDask(Arrow(None, query="SELECT 1 AS a")).names  # noqa: B018


def test_pieces_of_a_file_are_its_rows(tmp_path: Path) -> None:
    from estep.data.dask_files import pieces_of

    file = tmp_path / "rows.csv"
    n = 40_001
    file.write_text("a,b\n" + "\n".join(f"{i},{'x' if i % 3 else ''}" for i in range(n)) + "\n")
    pieces = pieces_of(Arrow(file))
    assert len(pieces) == 5
    columns = [piece.columns() for piece in pieces]
    assert (np.concatenate([part["a"] for part in columns]) == np.arange(n)).all()
    assert [v for part in columns for v in part["b"]] == ["x" if i % 3 else None for i in range(n)]


def test_weights_and_labels_are_columns_there(table: Any, client: Any) -> None:
    frame = table[["height", "weight"]].assign(
        times=1.0 + np.arange(N) % 3, kind=np.where(np.arange(N) % 5, None, np.where(table["height"] > 2, "tall", "small"))
    )
    here = estep.GaussianMixture(2, random_state=0, n_init=2).fit(
        frame[["height", "weight"]], frame["kind"], sample_weight=frame["times"]
    )
    there = estep.GaussianMixture(2, random_state=0, n_init=2).fit(
        OnDask([frame.iloc[:1000], frame.iloc[1000:]], weights="times", labels="kind")
    )
    np.testing.assert_allclose(there.log_likelihood_, here.log_likelihood_, rtol=1e-12)
    assert list(there.classes_) == list(here.classes_)
    plain = estep.GaussianMixture(2, random_state=0, n_init=2).fit(frame[["height", "weight"]])
    assert abs(plain.log_likelihood_ - here.log_likelihood_) > 1.0, "weights count"


@pytest.mark.parametrize("suffix", ["parquet", "csv", "duckdb"])
def test_a_hidden_markov_model_is_the_same_from_a_file(suffix: str, walks: Any, tmp_path: Path) -> None:
    file = tmp_path / f"walks.{suffix}"
    with duckdb.connect(file if suffix == "duckdb" else ":memory:") as connection:
        connection.register("given", walks)
        write = "CREATE TABLE kept AS FROM given" if suffix == "duckdb" else f"COPY given TO '{file}' (FORMAT {suffix})"
        connection.execute(write)
    here = estep.PoissonHMM(2, random_state=0, n_init=3).fit(walks, sequence="unit", time="day")
    there = estep.PoissonHMM(2, random_state=0, n_init=3).fit(file, sequence="unit", time="day")
    assert there.log_likelihood_ == here.log_likelihood_, "the very rows in the very order"
    for ask in ("predict", "score_samples"):
        told = dict(sequence="unit", time="day")
        assert (getattr(there, ask)(file, **told) == getattr(here, ask)(walks, **told)).all()
    by_id = estep.PoissonHMM(2, random_state=0, n_init=2).fit(Arrow(file, exclude=["day"]), sequence="unit")
    plain = estep.PoissonHMM(2, random_state=0, n_init=2).fit(walks.drop(columns="day"), sequence="unit")
    assert by_id.log_likelihood_ == plain.log_likelihood_ != here.log_likelihood_


def test_a_file_whose_rows_cannot_be_placed_says_which(walks: Any, tmp_path: Path) -> None:
    def written(frame: Any, name: str) -> Path:
        frame.to_csv(tmp_path / name, index=False)
        return tmp_path / name

    make = estep.PoissonHMM(2)
    with pytest.raises(ValueError, match="is earlier than the row before it in its sequence"):
        make.fit(written(walks.assign(day=walks["day"].to_numpy()[::-1]), "wrong.csv"), sequence="unit", time="day")
    twice = walks.assign(day=np.where(walks["day"] == 2, 1, walks["day"]))
    with pytest.raises(ValueError, match="has the time of the row before it"):
        make.fit(written(twice, "twice.csv"), sequence="unit", time="day")
    gone = walks.assign(unit=walks["unit"].where(walks.index != 7))
    with pytest.raises(ValueError, match="column 'unit' has no value in row 8"):
        make.fit(written(gone, "gone.csv"), sequence="unit", time="day")
    with pytest.raises(ValueError, match="no column 'days'; did you mean 'day'"):
        make.fit(written(walks, "good.csv"), sequence="unit", time="days")
    far = walks.assign(day=np.where(walks["day"] > 5, walks["day"] + 10**6, walks["day"]))
    with pytest.raises(ValueError, match="steps of 1 without a row"):
        make.fit(written(far, "far.csv"), sequence="unit", time="day")


def test_a_hidden_markov_model_is_the_same_on_a_cluster(walks: Any, client: Any) -> None:
    here = estep.PoissonHMM(2, random_state=0, n_init=3).fit(walks, sequence="unit", time="day")
    path = here.predict(walks, sequence="unit", time="day")
    for X in (dd.from_pandas(walks, npartitions=3), OnDask([walks.iloc[:200], walks.iloc[200:]])):
        there = estep.PoissonHMM(2, random_state=0, n_init=3).fit(X, sequence="unit", time="day")
        # sequences come in another order there, so starts and with them the last digits differ
        np.testing.assert_allclose(there.log_likelihood_, here.log_likelihood_, rtol=1e-8)
        np.testing.assert_allclose(there.rates_, here.rates_, rtol=1e-3)
        assert (there.predict(X, sequence="unit", time="day") == path).all()
        exact = here.score(X, sequence="unit", time="day")
        np.testing.assert_allclose(exact, here.score(walks, sequence="unit", time="day"), rtol=1e-13)


def test_a_series_in_partitions_is_one_sequence(walks: Any, client: Any) -> None:
    series = walks[["count"]]
    here = estep.PoissonHMM(2, random_state=0, n_init=2).fit(series)
    there = estep.PoissonHMM(2, random_state=0, n_init=2).fit(dd.from_pandas(series, npartitions=4))
    np.testing.assert_allclose(there.log_likelihood_, here.log_likelihood_, rtol=1e-12)
    with pytest.raises(ValueError, match="lengths: rows on a cluster are put in sequences by their columns"):
        estep.PoissonHMM(2).fit(dd.from_pandas(series, npartitions=4), lengths=[len(series)])


def test_rows_out_of_order_are_named(walks: Any, client: Any) -> None:
    wrong = walks.assign(day=walks["day"].to_numpy()[::-1])
    with pytest.raises(ValueError, match="is earlier than row"):
        estep.PoissonHMM(2).fit(OnDask([wrong.iloc[:200], wrong.iloc[200:]]), sequence="unit", time="day")


def test_fits_are_spread_over_the_cluster(table: Any, client: Any) -> None:
    import joblib

    frame = table[["weight", "visits"]]
    make = estep.GaussianMixture(random_state=0, n_init=2)
    grid = dict(n_components=[1, 2, 3])
    alone = estep.select(make, frame, grid)
    with joblib.parallel_config(backend="dask"):
        spread = estep.select(make, frame, grid)
    assert [cell.criterion for cell in spread.table] == [cell.criterion for cell in alone.table]
