"""Rows that come to a cluster in every way: what a source says of its columns holds there, and what is wrong is named."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import estep
from estep.data import Arrow, OnDask

pandas = pytest.importorskip("pandas")
dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
dd = pytest.importorskip("dask.dataframe")
pytest.importorskip("duckdb")
pytest.importorskip("nanoarrow")
arrow = pytest.importorskip("pyarrow")
N = 240

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def client() -> Any:
    with distributed.Client(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as found:
        yield found


@pytest.fixture(scope="module")
def table() -> Any:
    rng, kind = np.random.default_rng(0), np.arange(N) % 2
    return pandas.DataFrame(
        {
            "a": rng.normal(size=N) + 4.0 * kind,
            "b": rng.normal(size=N) - 3.0 * kind,
            "times": 1.0 + np.arange(N) % 3,
            "kind": np.where(np.arange(N) % 5, None, np.where(kind, "tall", "small")),
            "day": pandas.date_range("2020-01-01", periods=N),
        }
    )


def mixture() -> Any:
    return estep.GaussianMixture(2, random_state=0, n_init=2)


def loglik(X: Any, **more: Any) -> float:
    return float(mixture().fit(X, **more).log_likelihood_)


def test_what_an_arrow_source_says_of_its_columns_holds_on_workers(table: Any, client: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    table.to_parquet(file, index=False)
    here = loglik(table[["a", "b"]], y=table["kind"], sample_weight=table["times"])
    told = Arrow(file, columns=["a", "b"], weights="times", labels="kind")
    np.testing.assert_allclose(loglik(OnDask(told, client)), here, rtol=1e-12)
    assert OnDask(told, client, weights="b").weights == "b", "what is said here comes first"
    assert OnDask(Arrow(file, ids="kind"), client, exclude=["day"]).names == ("a", "b", "times", "kind")
    assert OnDask(Arrow(file, ids="kind", exclude=["day"]), client).names == ("a", "b", "times")


def test_tasks_are_rows_as_they_are(table: Any, client: Any) -> None:
    frame, here = table[["a", "b"]], loglik(table[["a", "b"]])
    ways = {
        "a delayed table": dask.delayed(frame),
        "a future": client.scatter(frame),
        "delayed tables": [dask.delayed(frame.iloc[:100]), dask.delayed(frame.iloc[100:])],
        "futures": client.scatter([frame.iloc[:100], frame.iloc[100:]]),
        "Arrow tables": OnDask([arrow.Table.from_pandas(frame.iloc[:100]), arrow.Table.from_pandas(frame.iloc[100:])]),
    }
    for way, X in ways.items():
        np.testing.assert_allclose(loglik(X), here, rtol=1e-12, err_msg=way)


def test_missing_whole_numbers_and_truth_values_are_missing(client: Any) -> None:
    frame = pandas.DataFrame(
        {"n": pandas.array([1, None, 3, 4], dtype="Int64"), "t": pandas.array([True, None, False, True], dtype="boolean")}
    )
    found = np.asarray(OnDask(dd.from_pandas(frame, npartitions=2), client).x)
    np.testing.assert_array_equal(found, [[1, 1], [np.nan, np.nan], [3, 0], [4, 1]])


def test_words_for_missing_are_text_like_any_other(client: Any, tmp_path: Path) -> None:
    frame = pandas.DataFrame({"c": ["NA", "", "z", None] * 3})
    frame.to_parquet(tmp_path / "c.parquet", index=False)
    coded = Arrow(tmp_path / "c.parquet").coded
    assert coded == OnDask([frame.iloc[:5], frame.iloc[5:]], client).coded == {"c": ("", "NA", "z")}
    np.testing.assert_array_equal(
        np.asarray(OnDask(tmp_path / "c.parquet", client).x), np.asarray(Arrow(tmp_path / "c.parquet").x)
    )


def test_times_are_left_out_aloud_and_put_sequences_in_order(table: Any, client: Any, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="left out 'day', neither numbers nor text"):
        assert OnDask([table[["a", "day"]]], client).names == ("a",)
    with pytest.raises(ValueError, match="column 'day' holds times, which are no numbers"):
        OnDask([table], client, columns=["a", "day"]).names  # noqa: B018
    walk = table[["a", "day"]].assign(unit=np.arange(N) % 3).iloc[np.arange(N) % 7 > 0]
    walk.to_parquet(tmp_path / "walk.parquet", index=False)
    told = dict(sequence="unit", time="day")
    here = estep.GaussianHMM(2, random_state=0, n_init=1).fit(walk, **told)
    for X in (Arrow(tmp_path / "walk.parquet"), OnDask(tmp_path / "walk.parquet"), dd.from_pandas(walk, npartitions=3)):
        np.testing.assert_allclose(here.score(X, **told), here.score(walk, **told), rtol=1e-12)


def written(frame: Any, folder: Path, kind: str) -> str:
    """A table in two files, of 150 rows and the rest."""
    for i, part in enumerate((frame.iloc[:150], frame.iloc[150:])):
        path = folder / f"p-{i}.{kind}"
        how = {"csv": part.to_csv, "parquet": part.to_parquet}
        part.to_json(path, orient="records", lines=True) if kind == "jsonl" else how[kind](path, index=False)
    return f"{folder}/p-*.{kind}"


BAD = [("csv", np.inf), ("csv", "oops"), ("parquet", np.inf), ("jsonl", "oops")]


@pytest.mark.parametrize(("kind", "held"), BAD)
def test_a_bad_row_of_a_file_that_workers_read_is_named(kind: str, held: Any, table: Any, client: Any, tmp_path: Path) -> None:
    frame = table[["a", "b"]].astype(object)
    frame.iloc[183, 1] = held
    pattern = written(frame if held == "oops" else frame.astype(float), tmp_path, kind)
    with pytest.raises(ValueError, match=rf"^p-1.{kind}\W+column 'b' holds .*(infinity|'oops') in row 34"):
        mixture().fit(OnDask(pattern, client))


def test_a_file_that_changes_is_not_read_again_by_a_worker(table: Any, client: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    table[["a", "b"]].to_parquet(file, index=False)
    data = OnDask(file, client)
    assert data.n_rows == N
    table[["a", "b"]].iloc[::-1].to_parquet(tmp_path / "new.parquet", index=False)
    os.replace(tmp_path / "new.parquet", file)
    with pytest.raises(ValueError, match="rows.parquet was changed since it was opened"):
        data.sum(len)
    file.unlink()
    with pytest.raises(ValueError, match="rows.parquet has gone since it was opened"):
        OnDask.chosen(data, ["a"]).sum(len)


def test_weights_that_are_none_are_named(table: Any, client: Any) -> None:
    bad = table.assign(times=table["times"].where(table.index != 130, -2.0))
    for data, words in (
        (OnDask([bad.iloc[:100], bad.iloc[100:]], client, columns=["a"], weights="times"), "the weight -2 in row 30"),
        (OnDask([table.assign(kind="x")], client, columns=["a"], weights="kind"), "text, 'x', in row 0"),
    ):
        with pytest.raises(ValueError, match=f"holds {words}; a weight is how often a row was seen"):
            mixture().fit(data)


SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    **{f"timeout {t!r}": ({"timeout": t}, "timeout must be None .* or seconds > 0") for t in (-1, 0, np.nan, "5", True)},
    "rows": ({"rows": -1}, "rows must be None or a whole number >= 1, got -1"),
    "an address": ({"client": "tcp://10.0.0.1:8786"}, "client must be None or a distributed.Client, got str"),
    "a text for columns": ({"columns": "ab"}, "columns must be a list of names"),
    "a column twice": ({"columns": ["a", "a"]}, "names a column twice"),
    "no partition": ({"source": []}, "source is an empty list"),
}


@pytest.mark.parametrize(("settings", "words"), SETTINGS.values(), ids=SETTINGS)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        OnDask(**{"source": [np.zeros((3, 2))], **settings})


def test_rows_that_workers_cannot_read_say_what_to_do(table: Any, client: Any) -> None:
    stream = arrow.Table.from_pandas(table[["a"]]).to_reader()
    with pytest.raises(ValueError, match="the rows of a RecordBatchReader are in no file that several workers could read"):
        OnDask(Arrow(stream), client).names  # noqa: B018


def test_classes_and_weights_of_sequences_follow_their_order_of_appearance(client: Any) -> None:
    """Workers hold sequences in an order of their own; what is given and told for each is in the user's."""
    rng, units = np.random.default_rng(5), 12
    calm = rng.permutation(units) < units // 2
    steps = np.arange(20)
    rows = [
        (f"unit {u}", t, float(rng.poisson(1 + 9 * ((t // 10 if calm[u] else t) % 2)))) for t in steps for u in range(units)
    ]
    frame = pandas.DataFrame(rows, columns=["unit", "t", "x"])
    told = dict(sequence="unit", time="t")
    make = lambda: estep.HMMMixture(estep.Poisson(), 2, 2, random_state=0, n_init=2)  # noqa: E731
    here = make().fit(frame, **told)
    classes, weight = here.predict(frame, **told), np.arange(1.0, units + 1)
    assert sorted(np.bincount(classes)) == [units // 2] * 2
    there = dd.from_pandas(frame, npartitions=4)
    assert (here.predict(there, **told) == classes).all()
    assert (here.decode(there, **told)[0] == here.decode(frame, **told)[0]).all()
    known = np.where(np.arange(units) < 4, classes, -1)
    ours, theirs = make().fit(frame, known, weight, **told), make().fit(there, known, weight, **told)
    np.testing.assert_allclose(theirs.log_likelihood_, ours.log_likelihood_, rtol=1e-9)
    turned = make().fit(frame, known, weight[::-1], **told).log_likelihood_
    assert abs(turned - ours.log_likelihood_) > 0.1, "which weight is whose counts"


def test_weights_in_a_column_of_sequences_with_gaps(tmp_path: Path, client: Any) -> None:
    rng = np.random.default_rng(6)
    frame = pandas.DataFrame({"unit": np.arange(120) % 4, "t": np.arange(120) // 4, "x": rng.poisson(4, 120).astype(float)})
    frame["w"] = 1.0 + frame["unit"]
    frame = frame.iloc[np.arange(120) % 11 > 0].reset_index(drop=True)
    frame.to_parquet(tmp_path / "f.parquet", index=False)
    told = dict(sequence="unit", time="t")
    make = lambda: estep.PoissonHMM(2, random_state=0, n_init=1)  # noqa: E731
    here = make().fit(frame.drop(columns="w"), sample_weight=frame["w"], **told).log_likelihood_
    for X in (Arrow(tmp_path / "f.parquet", weights="w"), OnDask(tmp_path / "f.parquet", weights="w")):
        np.testing.assert_allclose(make().fit(X, **told).log_likelihood_, here, rtol=1e-9)


def slow(chunk: Any) -> Any:
    time.sleep(0.5)
    return len(chunk)


def test_an_interrupt_in_a_pass_cancels_it_and_leaves_the_cluster_usable(client: Any) -> None:
    data = OnDask([np.zeros((10, 1))] * 40, client)
    assert data.sum(len) == 400
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        data.sum(slow)
    assert time.monotonic() - began < 8.0, "forty partitions on two threads take ten seconds"
    assert data.sum(len) == 400


def test_formulas_and_chains_of_states_bring_the_rows_here(table: Any, client: Any, tmp_path: Path) -> None:
    pytest.importorskip("formulaic")
    frame = table[["a", "b", "day"]].assign(unit=np.arange(N) % 3, state=np.where(np.arange(N) // 3 % 4, "dry", "wet"))
    file = tmp_path / "rows.parquet"
    frame.to_parquet(file, index=False)
    told = dict(sequence="unit", time="day")
    chain = estep.MarkovChain().fit(frame[["state", "unit", "day"]], **told)
    lines = estep.MixtureOfRegressions(n_components=2, formula="a ~ b", random_state=0, n_init=2).fit(frame)
    for X in (
        Arrow(file, exclude=["a", "b"]),
        OnDask(file, exclude=["a", "b"]),
        dd.from_pandas(frame[["state", "unit", "day"]], npartitions=3),
    ):
        there = estep.MarkovChain().fit(X, **told)
        assert (there.transmat_ == chain.transmat_).all()
        assert there.score(X, **told) == chain.score(frame[["state", "unit", "day"]], **told)
    for X in (
        Arrow(file, exclude=["day"]),
        OnDask(file, exclude=["day"]),
        dd.from_pandas(frame.drop(columns="day"), npartitions=3),
    ):
        fit = estep.MixtureOfRegressions(n_components=2, formula="a ~ b", random_state=0, n_init=2).fit(X)
        np.testing.assert_allclose(fit.log_likelihood_, lines.log_likelihood_, rtol=1e-12)
        np.testing.assert_allclose(fit.predict(X), lines.predict(frame))


def test_the_command_line_leaves_the_rows_to_the_workers(table: Any, tmp_path: Path) -> None:
    from estep.cli.checkpoint import fingerprint

    file = tmp_path / "rows.parquet"
    table[["a", "b"]].to_parquet(file, index=False)
    data = Arrow(file)
    first = fingerprint(data, spread=True)
    assert not data.is_kept, "the rows were read here as well"
    table[["a", "b"]].assign(a=lambda t: t["a"] + 1.0).to_parquet(tmp_path / "other.parquet", index=False)
    assert first == fingerprint(Arrow(file), spread=True) != fingerprint(Arrow(tmp_path / "other.parquet"), spread=True)
