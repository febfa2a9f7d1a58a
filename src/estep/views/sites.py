"""The table of a motif's sites: where in which sequence, on which strand, how probable, how many bits, by chance how often."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.views.layout import Row, table

SHOWN = 60


@dataclasses.dataclass(frozen=True)
class Sites:
    """Sites, in the order of sequences and places.

    Attributes
    ----------
    sequence, name : arrays
        Number of the sequence, from 0, and its name.
    start, end : int arrays
        First letter and the one after the last, from 0, on the text as it was given.
    strand : int array
        1, or -1 where the site reads on the other strand.
    probability : array
        Posterior probability of a site at this very place and strand.
    bits : array
        log2 of the letters' probability under the motif over that under the background.
    pvalue : array
        How probable it is that as many letters of the background have at least these bits, by ``inference/site_scores.py``;
        of one word on one strand, however many were looked at.
    word : array of str
        The letters, read in the direction of the motif.

    Examples
    --------
    >>> one = Sites(*map(np.array, ([0], ["a"], [4], [8], [1], [0.99], [7.5], [0.004], ["TGCA"])))
    >>> print(one)
    site  sequence  start  strand  probability  bits   pvalue  word
    0            a      4       +        0.990   7.5  4.0e-03  TGCA
    """

    sequence: NDArray[np.intp]
    name: NDArray[Any]
    start: NDArray[np.intp]
    end: NDArray[np.intp]
    strand: NDArray[np.intp]
    probability: Array
    bits: Array
    pvalue: Array
    word: NDArray[Any]

    def __len__(self) -> int:
        return len(self.start)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each site as a dict of plain values."""
        names = [field.name for field in dataclasses.fields(self)]
        columns = [getattr(self, name).tolist() for name in names]
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))

    def to_frame(self) -> Any:
        """A pandas DataFrame, a row a site."""
        import pandas

        return pandas.DataFrame({field.name: getattr(self, field.name) for field in dataclasses.fields(self)})

    def to_csv(self) -> str:
        """The table as CSV with a header."""
        out = io.StringIO()
        writer = csv.DictWriter(out, [field.name for field in dataclasses.fields(self)], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "strand": _sign(row["strand"])} for row in self.rows())
        return out.getvalue()

    def __str__(self) -> str:
        header = ["sequence", "start", "strand", "probability", "bits", "pvalue", "word"]
        lines = [Row(str(i), _cells(row)) for i, row in enumerate(self.rows()) if i < SHOWN]
        if not lines:
            return "no sites"
        more = [f"... and {len(self) - SHOWN} more"] if len(self) > SHOWN else []
        return "\n".join([*table("site", header, lines, width=10_000), *more])


def _cells(row: dict[str, Any]) -> list[str]:
    probability, bits = f"{row['probability']:.3f}", f"{row['bits']:.1f}"
    place = [str(row["name"]), str(row["start"]), _sign(row["strand"])]
    return [*place, probability, bits, f"{row['pvalue']:.1e}", str(row["word"])]


def _sign(strand: int) -> str:
    return "+" if strand > 0 else "-"
