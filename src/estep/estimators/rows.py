"""What users bring, checked once: rows, weights, partial labels and groups. Every error names the argument and the remedy."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.core.rows import count, is_elsewhere, is_sparse, take
from estep.data.distinct import distinct
from estep.data.layout import is_missing
from estep.data.memory import Memory
from estep.estimators.columns import coded, levels_of, plain, read_columns
from estep.estimators.labels import class_names, read_labels

DISTINCT_LOOK = 10_000


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What a user gives for the rows: ``X`` and row keywords (``offset``: of regressions; ``covariates``: of class sizes)."""

    X: Any
    y: Any = None
    sample_weight: Any = None
    labels: Any = None
    by: Any = None
    offset: Any = None
    covariates: Any = None
    sequence: Any = None
    lengths: Any = None
    time: Any = None


@dataclasses.dataclass(frozen=True)
class Target:
    """For whom rows are read: a family, ``k`` classes, the first ``named`` of which labels may name."""

    family: Any
    k: int
    named: int


@dataclasses.dataclass(frozen=True)
class Rows:
    """Checked rows and all that they carry.

    Attributes
    ----------
    x : array (n, d), csr_array or tuple of arrays
        What the family reads.
    weight, allowed, given
        Weight (n,), permitted classes, and what the structure reads; None where there is none. See ``Chunk``.
    kept : booleans or None
        Which of the user's rows these are, where some had weight 0.
    member, times : arrays or None
        For distinct rows: which of them stands for each row that was read, and the weight of that row.
    ends, place : arrays or None
        For sequences: the end row of each, and where each row that the user gave now stands (None: where it stood).
    """

    x: Any
    weight: Array | None
    allowed: NDArray[Any] | None
    kept: NDArray[np.bool_] | None
    given: Any = None
    member: NDArray[np.intp] | None = None
    times: Array | None = None
    ends: NDArray[np.intp] | None = None
    place: NDArray[np.intp] | None = None

    @property
    def n(self) -> int:
        """Number of rows."""
        return count(self.x)

    @property
    def given_count(self) -> int:
        """Number of rows that the user gave."""
        if self.place is not None:
            return len(self.place)
        return self.n if self.member is None and self.kept is None else len(self.member if self.kept is None else self.kept)  # type: ignore[arg-type]

    @property
    def blanks(self) -> int:
        """Rows that the user did not give: steps of time without one."""
        if self.place is None:
            return 0
        blank = np.ones(self.n if self.kept is None else len(self.kept), dtype=bool)
        blank[self.place] = False
        return int((blank if self.kept is None else blank[self.kept]).sum())

    @property
    def d(self) -> int:
        """Number of columns: of the first part, where there are several."""
        return int((self.x[0] if isinstance(self.x, tuple) else self.x).shape[1])

    @property
    def total(self) -> float:
        """Total weight."""
        return float(self.n if self.weight is None else self.weight.sum())

    def data(self, n_jobs: int | None) -> Any:
        """The rows as a data plane."""
        if is_elsewhere(self.x):
            return self.x.carrying(self.weight, self.allowed, self.given, n_jobs)
        return Memory(self.x, weight=self.weight, allowed=self.allowed, given=self.given, n_jobs=n_jobs, ends=self.ends)

    def part(self, rows: NDArray[np.intp], n_jobs: int | None) -> Any:
        """Some of the rows as a data plane of their own."""
        return self.data(n_jobs) if len(rows) == self.n else self._picked(rows).data(n_jobs)

    def distinct(self) -> Rows:
        """The rows that differ in anything they carry, in an order of their own, with the weight of all that are equal."""
        if is_elsewhere(self.x):
            return self._gathered()
        found = distinct((self.x, self.given, self.allowed), self.weight)
        if found is None:
            return self
        return dataclasses.replace(self._picked(found.first), weight=found.weight, member=found.member, times=self.weight)

    def _gathered(self) -> Rows:
        """The rows that differ, found where they are and brought here; the same rows where most of them differ."""
        found = self.x.patterns(self.weight, self.allowed, self.given) if hasattr(self.x, "patterns") else None
        if found is None:
            return self
        (x, allowed, given), weight = found
        return Rows(x, weight, allowed, None, given)

    def pooled(self, resp: Array) -> Array:
        """Responsibilities of these rows from those of the rows that the user gave."""
        if self.place is not None:
            placed = np.zeros((self.n if self.kept is None else len(self.kept), resp.shape[1]))
            placed[self.place] = resp
            resp = placed
        resp = resp if self.kept is None else resp[self.kept]
        if self.member is None:
            return resp
        shares = [np.bincount(self.member, c if self.times is None else c * self.times, self.n) for c in resp.T]
        return np.asarray(np.stack(shares, axis=1) / np.asarray(self.weight)[:, None])

    def _picked(self, rows: NDArray[Any]) -> Rows:
        def pick(value: Any) -> Any:
            return None if value is None else take(value, rows)

        return Rows(pick(self.x), pick(self.weight), pick(self.allowed), self.kept, pick(self.given))


def read_rows(self: Any, arguments: Arguments, target: Target, *, reset: bool) -> Rows:
    """The rows of a matrix or table ``X`` and what belongs to them."""
    lazy = reset and getattr(target.family, "discrete", False)
    x = read_columns(self, arguments.X, target.family, reset=reset, lazy=lazy)
    return rows_of(self, arguments, target, x=x, reset=reset)


def rows_of(self: Any, arguments: Arguments, target: Target, *, x: Any, given: Any = None, reset: bool = False) -> Rows:
    """Rows ``x``, already read, with weights, partial labels and groups. Rows of weight 0 are dropped: they are absent.

    ``reset``: in a fit, where the names of classes and groups are learned.
    """
    n, named, k = count(x), target.named, target.k
    weight = read_weight(arguments.sample_weight, n)
    if reset:
        self.__dict__.pop("classes_", None)
        if named > 1 and (names := class_names(arguments.y)) is not None:
            self.classes_ = np.array(names)
    alone = named == 1 and arguments.labels is None
    allowed = None if alone else read_labels(arguments.y, arguments.labels, n, named, k, self)
    kept = None if weight is None or (weight > 0).all() else weight > 0
    groups = read_groups(self, arguments.by, n, kept, reset)
    rows = Rows(x, weight, allowed, None, given if groups is None else groups)
    return rows if kept is None else dataclasses.replace(rows._picked(np.flatnonzero(kept)), kept=kept)


def read_groups(self: Any, by: Any, n: int, kept: Any, reset: bool) -> NDArray[np.intp] | None:
    """Codes of each row's group; a fit learns the groups of its rows (``groups_``), later rows belong to one of these."""
    if reset:
        self.__dict__.pop("groups_", None)
    known = getattr(self, "groups_", None)
    if by is None:
        if known is not None:
            raise ValueError(f"by is missing: the weights differ by group; give each row its group, one of {_listed(known)}")
        return None
    if known is None and not reset:
        raise ValueError("by names groups, but the fit had none; leave it out, or fit with by=")
    values = np.asarray(by)
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.shape != (n,):
        raise ValueError(f"by has shape {values.shape}, expected ({n},): the group of each row of X")
    told = _plain_values(values)
    here = np.arange(n) if kept is None else np.flatnonzero(kept)
    held = told[here] if isinstance(told, np.ndarray) else [told[i] for i in here]
    if missing := [i for i, v in zip(here, held, strict=True) if is_missing(v)]:
        raise ValueError(f"by has no value in row {missing[0]}; every row belongs to a group, so name one or leave the row out")
    if reset:
        levels = levels_of(held, None, "by")
        self.groups_ = np.unique(held).astype(levels.dtype) if isinstance(held, np.ndarray) else levels
    codes = np.zeros(n, dtype=np.intp)
    codes[here] = coded(held, self.groups_, "by", "group")
    return codes


def _plain_values(values: NDArray[Any]) -> Any:
    """Floats where all of it are numbers, else a list of text; missing ones NaN or None."""
    if values.dtype.kind in "biuf":
        return values.astype(float)
    told = [None if is_missing(v) else v for v in values.astype(object).tolist()]
    if all(isinstance(v, bool | int | float | np.number | np.bool_) for v in told if v is not None):
        return np.array([np.nan if v is None else float(v) for v in told])
    return [None if v is None else str(v) for v in told]


def _listed(values: NDArray[Any]) -> str:
    return ", ".join(repr(plain(v)) for v in values[:8].tolist()) + (", ..." if len(values) > 8 else "")


def read_weight(sample_weight: Any, n: int) -> Array | None:
    """Frequencies (n,) >= 0, not all zero; None stays None."""
    if sample_weight is None:
        return None
    try:
        weight = np.asarray(sample_weight, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"sample_weight must be numbers, got {type(sample_weight).__name__}") from None
    if weight.ndim == 0:
        weight = np.full(n, float(weight))
    if weight.shape != (n,):
        raise ValueError(f"sample_weight has shape {weight.shape}, expected ({n},): one weight a row of X")
    if not np.isfinite(weight).all():
        raise ValueError(f"sample_weight[{int(np.flatnonzero(~np.isfinite(weight))[0])}] is not finite; give numbers >= 0")
    if (weight < 0).any():
        at = int(np.flatnonzero(weight < 0)[0])
        raise ValueError(f"sample_weight[{at}] is negative ({weight[at]:g}); a weight is how often a row was seen, >= 0")
    if not (weight > 0).any():
        raise ValueError("sample_weight is zero everywhere, so no row is left to fit; give at least one positive weight")
    return weight


def require_enough(rows: Rows, k: int, argument: str) -> None:
    """Raise ValueError when there are fewer rows, or fewer distinct rows, than components, or only one row.

    Of sequences rows need not differ: states are told apart by their moves as well.
    """
    n = rows.n
    if n < 2:
        raise ValueError(
            f"X has {n} sample (n_samples = {n}) of positive weight, from which no spread can be learned; bring at least 2 rows"
        )
    if n < k:
        found = f"{argument}={k} but X has only {n} rows (n_samples = {n})"
        raise ValueError(f"{found}; lower {argument} to at most {n} or bring more rows")
    if is_sparse(rows.x) or rows.ends is not None:
        return
    for look in (min(DISTINCT_LOOK, n), n):
        if (different := _different(take(rows.x, slice(0, look)))) >= k:
            return
    raise ValueError(f"{argument}={k} but X has only {different} distinct rows; lower {argument} to at most {different}")


def _different(x: Any) -> int:
    """How many rows differ; missing entries differ."""
    parts = [np.asarray(part, dtype=float).reshape(len(part), -1) for part in (x if isinstance(x, tuple) else (x,))]
    return len(np.unique(np.hstack(parts), axis=0))
