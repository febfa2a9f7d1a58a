"""Small real data for examples: each loader gives the rows and the names of the columns. Origins: README.md here."""

from __future__ import annotations

import csv
from importlib import resources

import numpy as np

from estep.core.record import Array


def load_faithful() -> tuple[Array, tuple[str, ...]]:
    """Eruptions of the Old Faithful geyser: duration and waiting time to the next one.

    Returns
    -------
    X : array (272, 2)
        Minutes.
    columns : tuple of str
        ``("eruptions", "waiting")``.

    Source: Azzalini & Bowman (1990), Applied Statistics 39:357; Haerdle (1991), Smoothing Techniques.

    Examples
    --------
    >>> X, columns = load_faithful()
    >>> X.shape, columns, X[0].tolist()
    ((272, 2), ('eruptions', 'waiting'), [3.6, 79.0])
    """
    return _read("faithful.csv")


def _read(name: str) -> tuple[Array, tuple[str, ...]]:
    text = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
    header, *rows = csv.reader(text.splitlines())
    return np.array(rows, dtype=float), tuple(header)
