"""Choose among fits: every cell of a grid of settings, one criterion, a table that names what failed.

The criteria and their sources are in ``criteria.py``; all are lower-is-better.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from estep.data.sources import is_source, source_of
from estep.inference.cells import Cell, Work, size_of
from estep.inference.counted import counted, spread
from estep.inference.criteria import CRITERIA, needs

__all__ = ["CRITERIA", "Cell", "Selection", "Work", "combinations", "select"]

DIAGONAL = ("EII", "VII", "EEI", "VEI", "EVI", "VVI")
FULL = ("EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV")
STRUCTURES = DIAGONAL + FULL
ONE_COLUMN = ("E", "V")
SAME_AT_ONE = {"V": "E", "VII": "EII", "full": "tied"} | dict.fromkeys(DIAGONAL[3:], "EEI") | dict.fromkeys(FULL[1:], "EEE")
CLOSE = 1.0


@dataclasses.dataclass(frozen=True)
class Selection:
    """The outcome of ``select``: ``table`` (a Cell for every fit), ``best_`` (the fitted winner) and the criterion's name.

    ``rule`` is "best", or "one_se" where the winner is the smallest model within a standard error of the best.
    """

    table: tuple[Cell, ...]
    best_: Any
    criterion: str
    rule: str = "best"

    @property
    def best_cell(self) -> Cell:
        """The winner's row of the table."""
        return self.table[RULES[self.rule](self.table)]

    @property
    def failures(self) -> list[Cell]:
        """Cells that could not be used, each with the reason."""
        return [c for c in self.table if not c.usable]

    @property
    def notes(self) -> list[tuple[Cell, str]]:
        """Usable cells of which something should be known: at the cap, starts that collapsed, optima not replicated."""
        return [(c, note) for c in self.table if c.usable for note in c.notes]

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
        if self.criterion == "cv":
            rows = [{**row, "standard_error": c.error} for row, c in zip(rows, self.table, strict=True)]
        extra = [{"n_free": c.n_free, "status": c.status, "message": c.message, "seconds": c.seconds} for c in self.table]
        return pd.DataFrame([a | b for a, b in zip(rows, extra, strict=True)])

    def __str__(self) -> str:
        best = sorted((c for c in self.table if c.usable), key=lambda c: c.criterion)[:5]
        lines = [f"{len(self.table)} fits by {self.criterion} (lower is better)"]
        for c in best:
            words = _words(c)
            lines.append(
                f"  {c.criterion:14.4f}  {words}  (log-likelihood {c.log_likelihood:.4f}, {c.n_free} free, {c.status})"
            )
        if self.failures:
            lines.append(f"  {len(self.failures)} could not be used:")
            lines += [f"    {_words(c)}: {c.message}" for c in self.failures[:8]]
        if self.notes:
            lines.append("  of the others it should be known:")
            lines += [f"    {_words(c)}: {note}" for c, note in self.notes[:8]]
        return "\n".join(lines)


def _words(cell: Cell) -> str:
    return ", ".join(f"{n}={v}" for n, v in cell.settings.items())


def _lowest(table: Sequence[Cell]) -> int:
    """The usable cell of the lowest criterion."""
    return min((i for i, c in enumerate(table) if c.usable), key=lambda i: table[i].criterion)


def _within_one_error(table: Sequence[Cell]) -> int:
    """The usable cell of the fewest parameters whose criterion is within one standard error of the lowest."""
    best = table[_lowest(table)]
    near = [i for i, c in enumerate(table) if c.usable and c.criterion <= best.criterion + (best.error or 0.0)]
    return min(near, key=lambda i: (table[i].n_free, table[i].criterion))


RULES: Mapping[str, Callable[[Sequence[Cell]], int]] = {"best": _lowest, "one_se": _within_one_error}
"""How the winner is chosen from the table."""


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
    folds: int = 10,
    rule: str = "best",
    **rows: Any,
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
    criterion : str
        "bic", "aic", "icl", "icl_entropy", "aicc", "caic", "sabic", "clc", "awe", "nec" or "cv", all lower-is-better. "cv" is
        minus the mean log-likelihood of rows that a fit to the others had not seen, per unit weight, with a standard error.
    starts : "shared" or "all"
        "shared": one start for each cell (the hierarchical partition; quantiles in one column), all of ``n_init`` for the
        winner. "all": ``n_init`` starts for every cell, drawn once for each number of components; slower, and finds more.
    n_jobs : int or None
        Processes; None is one.
    progress : bool
        Show how far it is, and the time left.
    folds : int
        Parts of the rows that are left out in turn, for "cv"; drawn by the estimator's seed, the same for every cell. Rows of a
        file or a cluster stay there.
    rule : "best" or "one_se"
        "one_se", for "cv": the fewest parameters within one standard error of the best.
    **rows
        More row keywords of the estimator's ``fit`` (``labels``, ``by``, ``offset``, ``covariates``).

    Returns
    -------
    Selection
        The table, with failures named, and the fitted winner.

    Raises
    ------
    ValueError
        On an unknown criterion or rule, an empty grid, folds that do not divide the rows, sequences in a file or on a cluster
        for "cv", or when no fit could be used.

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
    _check(estimator, criterion, starts, rule)
    X = X if (source := source_of(X)) is None else source
    if criterion == "cv":
        _check_folds(estimator, X, folds, rows)
    cells = combinations(grid, _width(X))
    seedless = getattr(estimator, "random_state", 0) is None and "random_state" not in grid
    scouting = starts == "shared" and criterion not in ("cv", "nec") and _many_starts(estimator, grid)
    given = {**rows, **({} if sample_weight is None else {"sample_weight": sample_weight})}
    base = _seeded(estimator) if seedless else estimator
    seed = base.random_state if isinstance(getattr(base, "random_state", None), int | np.integer) else 0
    work = Work(base, X, y, given, criterion, scouting, folds, int(seed))
    done = list(counted(spread(work.fit, cells, n_jobs), len(cells), progress, "select", "fits"))
    if not any(cell.usable for cell, _ in done):
        raise ValueError(f"no fit of the grid could be used; the first failed with: {done[0][0].message}")
    table, fitted = _decided(work, done)
    best = fitted[RULES[rule](table)]
    if seedless:
        best.set_params(random_state=None)
    return Selection(tuple(table), best, criterion, rule)


def _width(X: Any) -> int:
    """Number of columns; of a list of sequences those of the first."""
    if isinstance(X, list | tuple) and X and hasattr(X[0], "shape"):
        return _width(X[0])
    shape = X.shape if hasattr(X, "shape") else np.shape(X)
    return int(shape[1]) if len(shape) == 2 else 1


def _check(estimator: Any, criterion: str, starts: str, rule: str) -> None:
    """Raise ValueError naming the first argument that is unknown, or what the estimator lacks."""
    if criterion not in CRITERIA:
        raise ValueError(f"criterion={criterion!r} is unknown; choose one of {list(CRITERIA)}")
    if starts not in ("shared", "all"):
        raise ValueError(f"starts={starts!r} is unknown; choose 'shared' or 'all'")
    if rule not in RULES:
        raise ValueError(f"rule={rule!r} is unknown; choose one of {[*RULES]}")
    if rule == "one_se" and criterion != "cv":
        raise ValueError(f"rule='one_se' needs a criterion with a standard error, criterion='cv', got {criterion!r}")
    if not hasattr(estimator, "get_params") or isinstance(estimator, type) or not hasattr(estimator, "save"):
        what = f"the class {estimator.__name__}; call it" if isinstance(estimator, type) else type(estimator).__name__
        raise TypeError(f"estimator must be an estimator of estep, such as estep.GaussianMixture(), got {what}")
    if lacking := [name for name in needs(criterion) if not hasattr(estimator, name)]:
        raise ValueError(f"criterion={criterion!r}: {type(estimator).__name__} has no method {lacking[0]!r}")
    if criterion == "nec":
        size_of(estimator)


def _check_folds(estimator: Any, X: Any, folds: int, rows: Mapping[str, Any]) -> None:
    """Raise ValueError where rows cannot be dealt into folds."""
    if is_source(X) and "sequence" in inspect.signature(estimator.fit).parameters:
        raise ValueError(
            "criterion='cv' leaves out whole sequences, and those of a file or a cluster are not dealt into folds; give X as "
            "a list of sequences in memory, or choose another criterion"
        )
    if told := [name for name in ("sequence", "lengths", "time") if rows.get(name) is not None]:
        raise ValueError(f"criterion='cv' leaves out whole sequences: give X as a list of them, without {told[0]}")
    n = X.shape[0] if hasattr(X, "shape") else len(X)
    if not isinstance(folds, int | np.integer) or not 2 <= folds <= n:
        raise ValueError(f"folds must be an integer from 2 to the number of rows, {n}, got {folds!r}")


def _seeded(estimator: Any) -> Any:
    """The estimator with a seed, drawn once, so that every cell begins alike."""
    from sklearn.base import clone
    from sklearn.utils import check_random_state

    return clone(estimator).set_params(random_state=int(check_random_state(None).randint(np.iinfo(np.int32).max)))


def _decided(work: Work, done: Sequence[tuple[Cell, Any]]) -> tuple[list[Cell], list[Any]]:
    """The table and the fits; where the table was scouted, whatever comes close to the best is first fitted in full."""
    full, found = dataclasses.replace(work, scouting=False), list(done)
    usable = [i for i, (cell, _) in enumerate(found) if cell.usable]
    scouted = set(usable) if work.scouting else set()
    while True:
        best = min(usable, key=lambda i: found[i][0].criterion)
        close = sorted(i for i in scouted if found[i][0].criterion <= found[best][0].criterion + CLOSE)
        if not close:
            return [cell for cell, _ in found], [fit for _, fit in found]
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
