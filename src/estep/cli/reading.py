"""From options to rows: the file or query, the columns to read, and what is left out, said aloud."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.cli.words import Voice
from estep.data.arrow import Arrow

PROPOSED_FROM = 200_000


@dataclasses.dataclass(frozen=True)
class Given:
    """The rows of a command, and the group of each where there are groups."""

    data: Arrow
    by: NDArray[Any] | None = None
    frame: Any = None
    left_out: tuple[str, ...] = ()
    rows: Any = None
    time: str | None = None
    sequential: bool = False

    def read_from(self, rows: Any) -> Given:
        """The same, with rows that are fitted where they are: on a cluster."""
        return self if rows is self.data else dataclasses.replace(self, rows=rows)

    def for_model(self, sequential: bool) -> Given:
        """The rows for a model of sequences, whose ids are those of the rows, or for any other."""
        return dataclasses.replace(self, sequential=sequential)

    def note_whole(self, voice: Voice) -> None:
        """Say that all rows are one sequence where no column of ids was named."""
        if self.sequential and self.data.ids is None:
            voice.note("all rows are taken as one sequence; --id names the column that tells sequences apart")

    @property
    def X(self) -> Any:
        """The rows as estimators take them: a table in memory for formulas, else the file itself, or the cluster."""
        if self.frame is not None:
            return self.frame
        return self.data if self.rows is None else self.rows

    @property
    def plain(self) -> Any:
        """The rows alone, without weights and labels: pictures show every row, also those of weight 0."""
        if self.frame is not None or (self.data.weights is None and self.data.labels is None):
            return self.X
        return dataclasses.replace(self.data, columns=self.data.names, exclude=(), weights=None, labels=None)

    @property
    def row(self) -> dict[str, Any]:
        """The row keywords that estimators take beside ``X``."""
        told: dict[str, Any] = {"by": self.by}
        if self.sequential:
            told |= {"sequence": self.data.ids, "time": self.time}
        return {name: value for name, value in told.items() if value is not None}


def read(options: Any, voice: Voice, *, texts: bool, columns: Any = None) -> Given:
    """The rows that the options name; ``texts`` says whether columns of text are of use, ``columns`` which ones a model has."""
    group, time = getattr(options, "group", None), getattr(options, "time", None)
    data = Arrow(
        options.data,
        query=options.query,
        columns=options.columns or columns,
        exclude=(*options.exclude, *filter(None, (group, time))),
        weights=getattr(options, "weights", None),
        labels=getattr(options, "labels", None),
        ids=options.id,
        encoding=options.encoding,
        decimal=options.decimal,
        header=options.header,
        n_jobs=getattr(options, "threads", None),
    )
    for name in filter(None, (*data.exclude, *(data.columns or ()), data.weights, data.labels, data.ids)):
        data.table.column(name)
    out = () if data.columns is not None else _of_no_use(data, texts)
    if out:
        words = ", ".join(f"{name} ({what})" for name, what in out)
        voice.note(f"left out {words}; --columns says which columns to use")
    data = dataclasses.replace(data, exclude=(*data.exclude, *(name for name, _ in out)))
    by = None if group is None else data.values(group)
    return Given(data, by, left_out=tuple(name for name, _ in out), time=time)


def in_memory(given: Given) -> Given:
    """The rows as a table in memory, which formulas are read on."""
    try:
        import pandas
    except ImportError:
        raise ImportError(
            "formulas need pandas and formulaic, which are not both installed: pip install 'estep[formula]'"
        ) from None
    return dataclasses.replace(given, frame=pandas.DataFrame(given.data.head(given.data.n_rows)))


def _of_no_use(data: Arrow, texts: bool) -> tuple[tuple[str, str], ...]:
    taken = {*data.exclude, data.weights, data.labels, data.ids}
    free = [column for column in data.table.columns if column.name not in taken]
    odd = [c for c in free if c.kind == "other" or (c.kind == "text" and not texts)]
    if odd and len(odd) == len(free):
        words = ", ".join(f"{c.name!r} ({'text' if c.kind == 'text' else c.type})" for c in odd[:6])
        raise ValueError(f"{data.table.title} has no column of numbers: {words}; --model latent-class reads text")
    return tuple((c.name, "text" if c.kind == "text" else c.type) for c in odd)


def sample(data: Arrow) -> dict[str, NDArray[Any]]:
    """Columns by name, of the first rows: what a family is proposed from."""
    return {name: np.array([*column, None], dtype=object)[:-1] for name, column in data.head(PROPOSED_FROM).items()}


@contextlib.contextmanager
def warnings_as_notes(voice: Voice) -> Iterator[None]:
    """Warnings meant for users become notes; those meant for programmers are not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning)
        warnings.filterwarnings("ignore", message="X does not have valid feature names")  # views draw from bare numbers
        warnings.showwarning = lambda message, *rest, **more: voice.note(str(message))
        yield
