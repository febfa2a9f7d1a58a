"""Rows on a cluster are the rows in memory; a worker that dies changes no bit; one that hangs, or no scheduler, is said."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import estep
from estep.core.assign import SOFT
from estep.core.record import leaves
from estep.data import ClusterLost, Memory, OnDask
from estep.data.dask_plane import FAN
from estep.engine.visit import total
from estep.models import Latent
from estep.structures import Iid

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytest.importorskip("dask.dataframe")
N = 6_000

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def rows() -> Any:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 2)) + 4.0 * rng.integers(2, size=(N, 1))
    x[rng.random(x.shape) < 0.05] = np.nan
    return x


def cluster_of(workers: int) -> Any:
    return distributed.Client(n_workers=workers, threads_per_worker=1, dashboard_address=":0", set_as_default=False)


@pytest.fixture(scope="module")
def client() -> Any:
    with cluster_of(2) as found:
        yield found


@pytest.fixture(scope="module")
def parts(rows: Any) -> list[Any]:
    return np.array_split(rows, 3 * FAN + 3)  # the last branch of the tree has fewer


def moments(chunk: Any) -> Any:
    seen = np.where(np.isnan(chunk.x), 0.0, chunk.x)
    weight = np.ones(len(seen)) if chunk.weight is None else chunk.weight
    return np.array([len(seen), weight.sum(), (weight @ seen).sum(), (weight @ seen**2).sum()])


def test_sums_are_those_in_memory(rows: Any, parts: list[Any], client: Any) -> None:
    weight = np.random.default_rng(1).integers(1, 4, size=N).astype(float)
    data = OnDask(parts, client)
    ours = data.x.carrying(weight, None, None, None).sum(moments)
    np.testing.assert_allclose(ours, Memory(rows, weight).sum(moments), rtol=1e-13)
    assert abs(ours[2] - data.sum(moments)[2]) > 1.0, "weights count"


def test_chunks_know_their_rows(rows: Any, parts: list[Any], client: Any) -> None:
    data = OnDask(parts, client, rows=64)
    seen = np.full(N, -1)
    data.map(lambda chunk: np.arange(*chunk.key[1:]), lambda chunk, found: seen.__setitem__(chunk.rows, found))
    assert (seen == np.arange(N)).all()
    for chunk in data.chunks():
        np.testing.assert_array_equal(chunk.x, rows[chunk.rows])


def test_rows_are_fetched_by_number(rows: Any, parts: list[Any], client: Any) -> None:
    x = OnDask(parts, client).x
    some = np.sort(np.random.default_rng(2).choice(N, 50, replace=False))
    np.testing.assert_array_equal(x[some], rows[some])
    np.testing.assert_array_equal(x[10:400], rows[10:400])
    np.testing.assert_array_equal(np.asarray(x), rows)


def test_shuffled_rows_are_the_same_rows(rows: Any, parts: list[Any], client: Any) -> None:
    data = OnDask(parts, client)
    mixed = [data.plane.shuffled(np.random.default_rng(s)) for s in (5, 5, 6)]
    found = [np.concatenate([chunk.x for chunk in plane.chunks()]) for plane in mixed]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2], equal_nan=True)
    assert not np.array_equal(found[0], rows, equal_nan=True)
    np.testing.assert_array_equal(np.sort(found[0], axis=0), np.sort(rows, axis=0))


def test_blocks_are_whole_partitions(parts: list[Any], client: Any) -> None:
    plane = OnDask(parts, client).plane
    blocks = list(plane.blocks(4))
    assert [len(block.parts) for block in blocks] == [7, 7, 6, 7]
    np.testing.assert_allclose(sum(block.sum(moments) for block in blocks), plane.sum(moments), rtol=1e-13)
    assert len(list(plane.blocks(1000))) == len(parts)


def gaussian(data: Any) -> tuple[Any, Any]:
    model = Latent(Iid(), estep.Normal("VVV"), 2).bind(data)
    return model, model.start()


def test_a_pass_has_the_same_bits_on_one_worker_and_on_two(parts: list[Any], client: Any) -> None:
    model, start = gaussian(OnDask(parts, client))
    two = total(model, OnDask(parts, client), start, SOFT)
    with cluster_of(1) as alone:
        one = total(model, OnDask(parts, alone), start, SOFT)
    assert [np.asarray(v).tobytes() for _, v in leaves(two)] == [np.asarray(v).tobytes() for _, v in leaves(one)]


class Deadly:
    """A function of a chunk that kills the worker which first meets the row ``at``."""

    def __init__(self, mark: Path, at: int) -> None:
        self.mark, self.at = mark, at

    def __call__(self, chunk: Any) -> Any:
        if chunk.key[1] <= self.at < chunk.key[2] and not self.mark.exists():
            self.mark.write_text("died here")
            os.kill(os.getpid(), signal.SIGKILL)
        return moments(chunk)


@pytest.mark.filterwarnings("ignore")
def test_a_worker_killed_in_a_pass_changes_no_bit(parts: list[Any], tmp_path: Path) -> None:
    with cluster_of(2) as client:
        data = OnDask(parts, client, timeout=60.0)
        before = data.sum(moments)
        mark = tmp_path / "mark"
        found = data.sum(Deadly(mark, N // 2))
        assert mark.exists(), "nobody died"
        assert found.tobytes() == before.tobytes() == data.sum(moments).tobytes()


def slow(chunk: Any) -> Any:
    if chunk.key[1] == 0:
        time.sleep(30.0)
    return moments(chunk)


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_hangs_is_named_in_time(parts: list[Any]) -> None:
    with cluster_of(2) as client:
        OnDask(parts, client).sum(moments)  # workers have started, and know the library
        data = OnDask(parts, client, timeout=4.0)
        data.sum(moments)
        began = time.monotonic()
        with pytest.raises(ClusterLost, match=r"no partition was finished within 4 s \(waiting for partition 0"):
            data.sum(slow)
        assert time.monotonic() - began < 20.0
        client.restart(timeout=30)
        assert OnDask(parts, client).sum(moments)[0] == N


@pytest.mark.filterwarnings("ignore")
def test_a_run_goes_on_from_its_checkpoint_when_the_scheduler_is_lost(parts: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    with cluster_of(2) as client:
        data = OnDask(parts, client, timeout=60.0)
        model = gaussian(data)[0]
        params = first_params(model, np.concatenate(parts))
        whole = estep.fit(model, data, params, max_iter=12, tol=0.0)

    with dask.config.set({"distributed.comm.timeouts.connect": "2s"}):
        lost = cluster_of(2)
    data = OnDask(parts, lost, timeout=60.0)

    def end_it(state: Any, status: Any) -> bool:
        if len(state.trace) == 11:
            lost.cluster.close()
        return False

    with pytest.raises(ClusterLost, match="scheduler was lost.*checkpoint"):
        estep.fit(model, data, params, max_iter=12, tol=0.0, checkpoint=file, watch=end_it)
    lost.close(timeout=2)
    assert file.exists()
    with cluster_of(2) as client:
        resumed = estep.fit(model, OnDask(parts, client), params, max_iter=12, tol=0.0, checkpoint=file)
    assert resumed.trace.objective.tobytes() == whole.trace.objective.tobytes()


def first_params(model: Any, x: Any) -> Any:
    labels = (np.nan_to_num(x).sum(axis=1) > 9).astype(int)
    neutral = model.start()
    return model.mstep(Memory(x).sum(lambda c: model.tally(neutral, c, np.eye(2)[labels[c.rows]])), neutral)


def test_what_cannot_be_read_is_named_by_partition_and_row(client: Any) -> None:
    pandas = pytest.importorskip("pandas")
    good = pandas.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0]})
    bad = good.assign(b=[1.0, np.inf])
    with pytest.raises(ValueError, match="partition 1, column 'b' holds infinity in row 1"):
        estep.GaussianMixture(1).fit(OnDask([good, bad], client))
    with pytest.raises(ValueError, match=r"partition 1 has the columns \['a'\]"):
        estep.GaussianMixture(1).fit(OnDask([good, good[["a"]]], client))
    with pytest.raises(ValueError, match="column 'b' holds text in partition 0 and numbers in partition 1"):
        estep.GaussianMixture(1).fit(OnDask([good.assign(b=["x", "y"]), good], client))
    with pytest.raises(ValueError, match="no column 'c'"):
        OnDask([good], client, columns=["c"]).names  # noqa: B018
    with pytest.raises(TypeError, match="source is a int"):
        OnDask(3, client).names  # noqa: B018


def test_copies_take_the_recipe_and_neither_rows_nor_client(parts: list[Any], client: Any) -> None:
    data = OnDask(parts, client)
    data.sum(moments)
    make, arguments = data.__reduce__()
    assert make(*arguments).client is None
    make, arguments = data.plane.__reduce__()
    plane = make(*arguments)
    assert plane.n_rows == N
    with pytest.raises(RuntimeError, match="no other partition"):
        next(plane.chunks())
