"""A data plane over processes: what travels is a recipe for each chunk and the function, what comes back is a sum.

    data.sum(fn) = fn(chunk_1) + fn(chunk_2) + ...        added in the order of the chunks, whoever finishes first

A chunk is rebuilt where it is needed from (path of a .npy file, first row, end row), so that nothing of the data is
sent, a lost worker costs its chunk only, and the result has the same bits for any number of workers. The function must
travel as well: a partial of a function that a module defines does, with models and parameters that are plain records;
a lambda does not, and is refused in words.

This file is imported a second time under its own bare name, because that is how a worker finds the functions in it.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import multiprocessing
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from estep.core.assign import SOFT
from estep.core.protocols import Chunk, Data
from estep.core.record import Array, identical, leaves
from estep.core.result import Result
from estep.data.memory import Memory, single_threaded_blas
from estep.engine.fit import fit
from estep.engine.visit import expected_of
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.models.latent import Latent, LatentParams
from estep.structures.iid import Iid, IidParams


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to make a chunk: rows ``first`` to ``end`` of a file, or those rows of an order of them."""

    path: str
    first: int
    end: int
    order: NDArray[np.intp] | None = None

    def chunk(self) -> Chunk:
        held = np.load(self.path, mmap_mode="r")
        rows = slice(self.first, self.end) if self.order is None else self.order
        return Chunk((self.path, self.first, self.end), np.array(held[rows]))


def evaluate(fn: Callable[[Chunk], Any], recipe: Recipe) -> Any:
    """What a worker does: rebuild the chunk, apply the function."""
    with single_threaded_blas():
        return fn(recipe.chunk())


def total_of(chunk: Chunk) -> Array:
    """Sum and number of the observed values, a function that travels."""
    return np.array([np.nansum(chunk.x), np.isfinite(chunk.x).sum()])


@dataclasses.dataclass(frozen=True)
class OnProcesses:
    """Rows of a .npy file in blocks of ``rows``, evaluated by the workers of ``pool``."""

    path: str
    rows: int
    pool: ProcessPoolExecutor
    order: NDArray[np.intp] | None = None

    @property
    def n_rows(self) -> int:
        return len(np.load(self.path, mmap_mode="r"))

    def recipes(self) -> Iterator[Recipe]:
        for first in range(0, self.n_rows, self.rows):
            end = min(first + self.rows, self.n_rows)
            yield Recipe(self.path, first, end, None if self.order is None else self.order[first:end])

    def chunks(self) -> Iterator[Chunk]:
        return (recipe.chunk() for recipe in self.recipes())

    def sum(self, fn: Callable[[Chunk], Any]) -> Any:
        return reduce(add, self.each(fn))

    def map(self, fn: Callable[[Chunk], Any], sink: Callable[[Chunk, Any], None]) -> None:
        for recipe, value in zip(self.recipes(), self.each(fn), strict=True):
            sink(recipe.chunk(), value)

    def shuffled(self, rng: np.random.Generator) -> OnProcesses:
        return dataclasses.replace(self, order=rng.permutation(self.n_rows))

    def each(self, fn: Callable[[Chunk], Any]) -> Iterator[Any]:
        """The function of every chunk, in their order."""
        try:
            pickle.dumps(fn)
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            raise TypeError(
                f"this data plane sends its function to other processes, and {fn!r} does not travel ({error}); "
                "use functools.partial of a function that a module defines"
            ) from None
        return self.pool.map(partial(evaluate, fn), self.recipes())


# --- the tests: Gaussians with gaps, in memory and on two processes ---

BEGIN = LatentParams(
    IidParams(np.array([0.5, 0.5])),
    NormalParams(np.array([[0.0, 0.0, 0.0], [2.0, 1.0, 0.0]]), np.tile(np.eye(3), (2, 1, 1))),
)
ROWS, BLOCK = 3000, 700  # five blocks, the last one short


@pytest.fixture(scope="module")
def x() -> Array:
    rng = np.random.default_rng(9)
    truth = dataclasses.replace(BEGIN.family, means=BEGIN.family.means * 1.5)
    rows = Normal().sample(truth, rng.integers(0, 2, ROWS), rng)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows


@pytest.fixture(scope="module")
def plane() -> Iterator[Any]:
    """This module as a worker sees it."""
    name = Path(__file__).stem
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        yield importlib.import_module(name)
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def pool(plane: Any) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as workers:
        yield workers


@pytest.fixture(scope="module")
def data(plane: Any, pool: ProcessPoolExecutor, x: Array, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("rows") / "x.npy"
    np.save(path, x)
    return plane.OnProcesses(str(path), BLOCK, pool)


@pytest.fixture(scope="module")
def model(x: Array) -> Latent:
    return Latent(Iid(), Normal(), 2).bind(Memory(x))


@pytest.fixture(scope="module")
def result(model: Latent, data: Any) -> Result:
    return fit(model, data, BEGIN)


def test_the_promises_are_kept(data: Any, x: Array) -> None:
    plane: Data = data
    assert plane.n_rows == ROWS
    assert [len(chunk) for chunk in plane.chunks()] == [700, 700, 700, 700, 200]
    np.testing.assert_array_equal(np.concatenate([chunk.x for chunk in plane.chunks()]), x)


def test_the_same_fit_as_in_memory(model: Latent, x: Array, result: Result) -> None:
    """Other blocks, so another order of rounding: n eps relative at worst, in every pass."""
    twin = fit(model, Memory(x), BEGIN)
    assert result.converged
    assert result.passes == twin.passes
    bound = ROWS * np.finfo(float).eps
    np.testing.assert_allclose(result.trace.objective, twin.trace.objective, rtol=bound)
    np.testing.assert_allclose(result.loglik, twin.loglik, rtol=bound)
    np.testing.assert_allclose(result.params.family.means, twin.params.family.means, rtol=1e-9, atol=1e-9)
    assert result.loglik > result.trace.objective[0] + 100.0


def test_the_same_bits_again_and_with_one_worker(model: Latent, data: Any, result: Result) -> None:
    again = fit(model, data, BEGIN)
    assert identical(again.params, result.params)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
        single = fit(model, dataclasses.replace(data, pool=alone), BEGIN)
    assert identical(single.params, result.params)
    assert np.array_equal(single.trace.objective, result.trace.objective)


def test_the_bits_depend_on_the_order_of_the_sum(model: Latent, data: Any) -> None:
    """Had parts been added as they came in, the last test could have failed."""
    parts = list(data.each(partial(expected_of, model, BEGIN, SOFT)))
    totals = [reduce(add, order).stats for order in itertools.islice(itertools.permutations(parts), 20)]
    assert not all(identical(totals[0], other) for other in totals)
    for name, value in leaves(totals[0]):
        np.testing.assert_allclose(dict(leaves(totals[-1]))[name], value, rtol=1e-9, atol=1e-9, err_msg=name)


def test_a_block_that_is_lost_is_noticed(model: Latent, data: Any, x: Array) -> None:
    fn = partial(expected_of, model, BEGIN, SOFT)
    lost = reduce(add, list(data.each(fn))[:-1])
    assert abs(lost.loglik - Memory(x).sum(fn).loglik) > 100.0


def test_map_hands_over_in_order(plane: Any, data: Any, x: Array) -> None:
    seen: list[tuple[int, float]] = []
    data.map(plane.total_of, lambda chunk, value: seen.append((chunk.key[1], float(value[1]))))
    assert seen == [(a, float(np.isfinite(x[a : a + BLOCK]).sum())) for a in range(0, ROWS, BLOCK)]


def test_shuffled_rows_are_the_same_rows(plane: Any, data: Any, x: Array) -> None:
    mixed = data.shuffled(np.random.default_rng(10))
    rows = np.concatenate([chunk.x for chunk in mixed.chunks()])
    assert not np.array_equal(rows, x, equal_nan=True)
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(x, axis=0))
    np.testing.assert_allclose(mixed.sum(plane.total_of), data.sum(plane.total_of), rtol=1e-12)


def test_a_lambda_is_refused_in_words(data: Any) -> None:
    with pytest.raises(TypeError, match=r"does not travel .*; use functools\.partial"):
        data.sum(lambda chunk: chunk.x.sum())
