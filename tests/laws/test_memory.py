"""Blocks of rows in memory: large enough, in equal shares, and none lost."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from estep.data import dask_memory
from estep.data.memory import BLOCK_ROWS, BLOCK_VALUES, SHARES, Memory, block_rows


@settings(max_examples=200, deadline=None)
@given(width=st.integers(0, 3000), n=st.integers(1, 10_000_000))
@example(width=2, n=BLOCK_ROWS + 1)
@example(width=64, n=BLOCK_VALUES // 64 + 1)
def test_blocks_are_equal_shares(width: int, n: int) -> None:
    rows = block_rows(width, n)
    blocks = -(-n // rows)
    assert rows % 16 == 8  # an odd multiple of 8
    assert rows <= max(512, min(BLOCK_ROWS, BLOCK_VALUES // max(width, 1))) + 15  # rounded up
    last = n - (blocks - 1) * rows
    if 1 < blocks <= 16:  # each share is rounded up by less than 16 rows
        assert blocks % SHARES == 0
        assert rows - last <= 16 * blocks


def test_every_row_is_in_one_block() -> None:
    x = np.arange(70_001.0)[:, None]
    chunks = list(Memory(x, n_jobs=1).chunks())
    assert len(chunks) == SHARES
    np.testing.assert_array_equal(np.concatenate([chunk.x for chunk in chunks]), x)


@pytest.mark.parametrize(("started", "told"), [("65536", True), ("268435456", False), (None, False)])
def test_a_worker_keeps_memory_only_where_dask_had_it_give_all_back(
    started: str | None, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *setting: calls.append(setting))
    monkeypatch.setattr(dask_memory.ctypes, "CDLL", lambda name: library)
    if started is None:
        monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    else:
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", started)
    dask_memory.keep_memory.__wrapped__()
    assert calls == ([(-3, 1 << 25), (-1, 1 << 26)] if told else [])  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
