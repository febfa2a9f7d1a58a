"""Which moves a chain may make, by name: zeros that stay zero.

full            every move
left-to-right   j >= i (at most ``bandwidth`` further), beginning in state 0
cyclic          j = i, i + 1, .., i + bandwidth, counted round the circle
banded          |i - j| <= bandwidth

A chain of several blocks has these moves within each block, and none between them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

TOPOLOGIES: dict[str, Callable[[NDArray[Any], int, int | None], Mask]] = {
    "full": lambda gap, k, width: np.ones(gap.shape, dtype=bool),
    "left-to-right": lambda gap, k, width: (gap >= 0) & (gap <= (k if width is None else width)),
    "cyclic": lambda gap, k, width: gap % k <= (1 if width is None else width),
    "banded": lambda gap, k, width: np.abs(gap) <= (1 if width is None else width),
}
"""From the steps j - i (k, k), k and the bandwidth to the moves there are."""


def moves_allowed(chain: Any, k: int) -> Mask:
    """Moves that ``chain`` may make, (k, k), or (k, k + 1) with the ends last."""
    width = chain.bandwidth
    if width is not None and (not isinstance(width, int) or width < 1):
        raise ValueError(f"bandwidth={width!r} must be an integer >= 1: how many states a move may go")
    k = _states_of_a_block(chain, k)
    at = np.arange(k)
    mask = TOPOLOGIES[chain.topology](at[None, :] - at[:, None], k, width)
    for state in chain.absorbing:
        if not 0 <= state < k:
            raise ValueError(f"absorbing names the state {state}, but the states are 0..{k - 1}")
        mask[state] = at == state
    mask = np.kron(np.eye(_blocks(chain), dtype=bool), mask)
    return np.hstack([mask, np.ones((len(mask), 1), dtype=bool)]) if chain.end else mask


def starts_allowed(chain: Any, k: int) -> Mask:
    """States in which a sequence may begin, (k,)."""
    at = np.arange(k) % _states_of_a_block(chain, k)
    return np.asarray(at == 0) if chain.topology == "left-to-right" else np.ones(k, dtype=bool)


def _blocks(chain: Any) -> int:
    return int(getattr(chain, "blocks", 1))


def _states_of_a_block(chain: Any, k: int) -> int:
    """How many states a block has; raises ValueError where blocks are not of one size."""
    blocks = _blocks(chain)
    if blocks < 1 or k % blocks:
        raise ValueError(f"{k} states cannot be shared out equally among blocks={blocks}")
    return k // blocks
