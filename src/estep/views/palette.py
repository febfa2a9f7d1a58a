"""Colours that people with any colour vision can tell apart, and their mixtures.

    colour of a row = sum_k r_ik c_k

Source: Okabe & Ito (2008), Color Universal Design; four more of Tol (2021), Colour Schemes, for more components.
"""

from __future__ import annotations

import numpy as np

from estep.core.record import Array

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MORE = ("#882255", "#999933", "#332288", "#AA4499")
NOISE = "#9a9a9a"


def colours(k: int) -> list[str]:
    """A colour for each of ``k`` components; they repeat after eleven.

    >>> colours(2)
    ['#0072B2', '#D55E00']
    """
    palette = OKABE_ITO + MORE
    return [palette[i % len(palette)] for i in range(k)]


def mixed(resp: Array, noisy: bool = False) -> Array:
    """Red, green and blue (n, 3) in 0..1 of rows with responsibilities (n, k); ``noisy``: the last class is grey.

    >>> mixed(np.array([[0.5, 0.5]])).round(2).tolist()
    [[0.42, 0.41, 0.35]]
    """
    k = resp.shape[1]
    names = [*colours(k - 1), NOISE] if noisy else colours(k)
    return np.asarray(np.clip(resp @ np.array([_rgb(name) for name in names]), 0.0, 1.0), dtype=float)


def _rgb(name: str) -> list[float]:
    return [int(name[i : i + 2], 16) / 255.0 for i in (1, 3, 5)]
