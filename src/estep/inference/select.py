"""Choose among fits: every cell of a grid of settings, one criterion, a table that names what failed.

bic, aic, icl, icl_entropy      as the estimator's methods of that name; lower is better
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from estep.core.collapse import Collapsed
from estep.core.result import ConvergenceWarning
from estep.data.arrow import source_of

CRITERIA = ("bic", "aic", "icl", "icl_entropy")
DIAGONAL = ("EII", "VII", "EEI", "VEI", "EVI", "VVI")
FULL = ("EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV")
STRUCTURES = DIAGONAL + FULL
ONE_COLUMN = ("E", "V")
SCOUT = 0.05
CLOSE = 1.0
SAME_AT_ONE = {"V": "E", "VII": "EII", "full": "tied"} | dict.fromkeys(DIAGONAL[3:], "EEI") | dict.fromkeys(FULL[1:], "EEE")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One fit of the grid: its settings, criterion (NaN if it failed), likelihood, free parameters and how it ended."""

    settings: Mapping[str, Any]
    criterion: float
    log_likelihood: float
    n_free: int
    status: str
    message: str
    seconds: float
    usable: bool


@dataclasses.dataclass(frozen=True)
class Selection:
    """The outcome of ``select``: ``table`` (a Cell for every fit), ``best_`` (the fitted winner) and the criterion's name."""

    table: tuple[Cell, ...]
    best_: Any
    criterion: str

    @property
    def best_cell(self) -> Cell:
        """The winner's row of the table."""
        return min((c for c in self.table if c.usable), key=lambda c: c.criterion)

    @property
    def failures(self) -> list[Cell]:
        """Cells that could not be used, each with the reason."""
        return [c for c in self.table if not c.usable]

    def grid(self, rows: str, columns: str) -> tuple[list[Any], list[Any], Any]:
        """Row values, column values and the criterion (rows, columns), NaN where unusable or absent."""
        row_values = list(dict.fromkeys(c.settings[rows] for c in self.table))
        column_values = list(dict.fromkeys(c.settings[columns] for c in self.table))
        out = np.full((len(row_values), len(column_values)), np.nan)
        for c in self.table:
            if c.usable:
                out[row_values.index(c.settings[rows]), column_values.index(c.settings[columns])] = c.criterion
        return row_values, column_values, out

    def to_frame(self) -> Any:
        """The table as a pandas DataFrame."""
        import pandas as pd

        rows = [{**c.settings, self.criterion: c.criterion, "log_likelihood": c.log_likelihood} for c in self.table]
        extra = [{"n_free": c.n_free, "status": c.status, "message": c.message, "seconds": c.seconds} for c in self.table]
        return pd.DataFrame([a | b for a, b in zip(rows, extra, strict=True)])

    def __str__(self) -> str:
        best = sorted((c for c in self.table if c.usable), key=lambda c: c.criterion)[:5]
        lines = [f"{len(self.table)} fits by {self.criterion} (lower is better)"]
        for c in best:
            words = ", ".join(f"{n}={v}" for n, v in c.settings.items())
            lines.append(
                f"  {c.criterion:14.4f}  {words}  (log-likelihood {c.log_likelihood:.4f}, {c.n_free} free, {c.status})"
            )
        if self.failures:
            lines.append(f"  {len(self.failures)} could not be used:")
            lines += [f"    {', '.join(f'{n}={v}' for n, v in c.settings.items())}: {c.message}" for c in self.failures[:8]]
        return "\n".join(lines)


def select(
    estimator: Any,
    X: Any,
    grid: Mapping[str, Any],
    criterion: str = "bic",
    *,
    y: Any = None,
    sample_weight: Any = None,
    starts: str = "shared",
    n_jobs: int | None = None,
    progress: bool = False,
) -> Selection:
    """Fit ``estimator`` with every combination of settings in ``grid`` and keep the best by ``criterion``.

    Every structure begins from the same partition for a number of components, so that the table compares like with like
    (mclust's way), and is fitted until a projected 0.05 nats are left in all, so its criterion is right to about 0.1. The
    cells within 1 of the best are then fitted again to the estimator's own tolerance from all the starts it asks for,
    and the best of those wins.

    Parameters
    ----------
    estimator : estimator
        Its settings hold wherever the grid says nothing.
    X, y, sample_weight
        As in the estimator's ``fit``; a path is read once for all fits.
    grid : dict
        Values by setting; ``covariance_type="all"`` stands for mclust's fourteen structures (E and V in one column).
    criterion : "bic", "aic", "icl" or "icl_entropy"
        All lower-is-better.
    starts : "shared" or "all"
        "shared": one start for each cell (the hierarchical partition; quantiles in one column), all of ``n_init`` for the
        winner. "all": ``n_init`` starts for every cell, drawn once for each number of components; slower, and finds more.
    n_jobs : int or None
        Processes; None is one.
    progress : bool
        Show how far it is, and the time left.

    Returns
    -------
    Selection
        The table, with failures named, and the fitted winner.

    Raises
    ------
    ValueError
        On an unknown criterion, an empty grid, or when no fit could be used.

    Examples
    --------
    >>> import numpy as np, estep
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.normal(size=(40, 2)), 7 + rng.normal(size=(40, 2))])
    >>> grid = dict(n_components=[1, 2], covariance_type=["EII", "VVV"])
    >>> chosen = estep.select(estep.GaussianMixture(random_state=0), X, grid)
    >>> chosen.best_.n_components, chosen.best_.covariance_type
    (2, 'EII')
    """
    if criterion not in CRITERIA:
        raise ValueError(f"criterion={criterion!r} is unknown; choose one of {list(CRITERIA)}")
    if starts not in ("shared", "all"):
        raise ValueError(f"starts={starts!r} is unknown; choose 'shared' or 'all'")
    if not hasattr(estimator, criterion):
        raise ValueError(f"criterion={criterion!r}: {type(estimator).__name__} has no method of that name")
    X = X if (source := source_of(X)) is None else source
    cells = combinations(grid, np.shape(X)[1] if np.ndim(X) == 2 else 1)
    seedless = getattr(estimator, "random_state", 0) is None and "random_state" not in grid
    scouting = starts == "shared" and _many_starts(estimator, grid)
    work = Work(_seeded(estimator) if seedless else estimator, X, y, sample_weight, criterion, scouting)
    done = list(_counted(_fits(work, cells, n_jobs), len(cells), progress))
    if not any(cell.usable for cell, _ in done):
        raise ValueError(f"no fit of the grid could be used; the first failed with: {done[0][0].message}")
    table, best = _decided(work, done)
    if seedless:
        best.set_params(random_state=None)
    return Selection(tuple(table), best, criterion)


def _seeded(estimator: Any) -> Any:
    """The estimator with a seed, drawn once, so that every cell begins alike."""
    from sklearn.base import clone
    from sklearn.utils import check_random_state

    return clone(estimator).set_params(random_state=int(check_random_state(None).randint(np.iinfo(np.int32).max)))


def _decided(work: Work, done: Sequence[tuple[Cell, Any]]) -> tuple[list[Cell], Any]:
    """The table and the winner; where the table was scouted, whatever comes close to the best is first fitted in full."""
    full, found = dataclasses.replace(work, scouting=False), list(done)
    usable = [i for i, (cell, _) in enumerate(found) if cell.usable]
    scouted = set(usable) if work.scouting else set()
    while True:
        best = min(usable, key=lambda i: found[i][0].criterion)
        close = sorted(i for i in scouted if found[i][0].criterion <= found[best][0].criterion + CLOSE)
        if not close:
            return [cell for cell, _ in found], found[best][1]
        for i in close:
            again = full.fit(found[i][0].settings)
            found[i] = again if again[0].usable else found[i]
        scouted.difference_update(close)


def _many_starts(estimator: Any, grid: Mapping[str, Any]) -> bool:
    own = getattr(estimator, "init", None)
    return own == "auto" if isinstance(own, str) and not {"init", "n_init"} & set(grid) else False


def combinations(grid: Mapping[str, Any], d: int) -> list[dict[str, Any]]:
    """Every combination of the grid's values, without structures that coincide for one component."""
    if not isinstance(grid, Mapping) or not grid:
        raise ValueError("grid must be a dict from settings to their values, such as dict(n_components=range(1, 10))")
    values = {name: _values(name, given, d) for name, given in grid.items()}
    cells = [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]
    return [cell for cell in cells if not _coincides(cell, values)]


def _values(name: str, given: Any, d: int) -> Sequence[Any]:
    if name == "covariance_type" and isinstance(given, str) and given == "all":
        return ONE_COLUMN if d == 1 else STRUCTURES
    values = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if not values:
        raise ValueError(f"grid[{name!r}] is empty; give at least one value")
    return values


def _coincides(cell: Mapping[str, Any], values: Mapping[str, Sequence[Any]]) -> bool:
    twin = SAME_AT_ONE.get(cell.get("covariance_type", ""))
    return cell.get("n_components") == 1 and twin is not None and twin in values["covariance_type"]


@dataclasses.dataclass(frozen=True)
class Work:
    """What every cell needs; travels to other processes."""

    estimator: Any
    X: Any
    y: Any
    sample_weight: Any
    criterion: str
    scouting: bool = False
    starts: dict[Any, Any] = dataclasses.field(default_factory=dict)

    def fit(self, settings: Mapping[str, Any]) -> tuple[Cell, Any]:
        """One cell: its row of the table and the fitted estimator (None if it failed)."""
        from sklearn.base import clone

        began = time.perf_counter()
        model = clone(self.estimator).set_params(**settings)
        if self.scouting:
            model.set_params(n_init=1, tol=max(model.tol, SCOUT / len(self.X)))
        model._shared_starts, model._enclosed = self.starts, True  # Ctrl-C ends the whole table
        ledger = getattr(self.estimator, "_ledger", None)
        words = ", ".join(f"{name}={value}" for name, value in settings.items())
        model._ledger = None if ledger is None else ledger.within(f"{'scout' if self.scouting else 'fit'} {words}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(self.X, self.y, sample_weight=self.sample_weight)
                value = float(getattr(model, self.criterion)(self.X, self.y, sample_weight=self.sample_weight))
        except (ValueError, Collapsed, np.linalg.LinAlgError) as error:
            return Cell(settings, np.nan, np.nan, 0, "failed", str(error), time.perf_counter() - began, False), None
        result = model.result_
        del model._shared_starts, model._enclosed, model._ledger
        usable = (
            bool(result.converged and result.status.name not in ("FRAIL", "DEFAULT_PRIOR")) or result.status.name == "HIT_CAP"
        )
        seconds = time.perf_counter() - began
        return Cell(
            settings, value, result.loglik, result.n_free, result.status.name.lower(), result.message, seconds, usable
        ), model


def _fits(work: Work, cells: Sequence[Mapping[str, Any]], n_jobs: int | None) -> Iterable[tuple[Cell, Any]]:
    if n_jobs in (None, 1) or len(cells) == 1:
        return (work.fit(cell) for cell in cells)
    from sklearn.utils.parallel import Parallel, delayed

    found: Iterable[tuple[Cell, Any]] = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(work.fit)(cell) for cell in cells
    )
    return found


def _counted(fits: Iterable[tuple[Cell, Any]], total: int, progress: bool) -> Iterable[tuple[Cell, Any]]:
    """The fits as they come; with ``progress`` a line on stderr, redrawn at most five times a second and cleared at the end."""
    began = drawn = time.monotonic()
    try:
        for i, pair in enumerate(fits, start=1):
            now = time.monotonic()
            if progress and (now - drawn >= 0.2 or i == total):
                left, drawn = (now - began) / i * (total - i), now
                sys.stderr.write(f"\rselect: {i} of {total} fits, about {left:.0f} s left".ljust(60))
                sys.stderr.flush()
            yield pair
    finally:
        if progress:
            sys.stderr.write("\r" + " " * 60 + "\r")
            sys.stderr.flush()
