"""One cell of a selection: a fit with some settings, its criterion, and what to know of how it came about.

cv     - sum_f sum_{i in fold f} w_i log p(x_i | fit without f) / sum_i w_i;   error: sd of fold means / sqrt(folds)
"""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.result import ConvergenceWarning, Result, Status
from estep.data.picked import picked
from estep.data.sources import is_source
from estep.inference.criteria import MEMBERSHIPS, OWN, PLAIN, fitted_numbers, nec

SCOUT = 0.05
SIZES = ("n_components", "n_states")
"""Settings that name the number of components."""
REFUSED = (ValueError, Collapsed, np.linalg.LinAlgError)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One fit of the grid: its settings, criterion (NaN if it failed), likelihood, free parameters and how it ended.

    ``error`` is the standard error of a cross-validated criterion, else None; ``notes`` say in words where a fit hit the cap,
    where starts collapsed, and where only one of several starts reached the best optimum.
    """

    settings: Mapping[str, Any]
    criterion: float
    log_likelihood: float
    n_free: int
    status: str
    message: str
    seconds: float
    usable: bool
    error: float | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Work:
    """What every cell needs; travels to other processes. ``rows`` are the row keywords of ``fit`` beside X and y."""

    estimator: Any
    X: Any
    y: Any
    rows: Mapping[str, Any]
    criterion: str
    scouting: bool = False
    folds: int = 10
    seed: int = 0
    starts: dict[Any, Any] = dataclasses.field(default_factory=dict)

    def fit(self, settings: Mapping[str, Any]) -> tuple[Cell, Any]:
        """One cell: its row of the table and the fitted estimator (None if it failed)."""
        from sklearn.base import clone

        began = time.perf_counter()
        model = clone(self.estimator).set_params(**settings)
        if self.scouting:
            legal = isinstance(model.n_init, int | np.integer) and model.n_init > 0 and isinstance(model.tol, float | int)
            if legal and model.tol >= 0:  # what is not is refused by the fit
                model.set_params(n_init=1, tol=max(model.tol, SCOUT / len(self.X)))
        model._shared_starts, model._enclosed = self.starts, True  # Ctrl-C ends the whole table
        ledger = getattr(self.estimator, "_ledger", None)
        words = ", ".join(f"{name}={value}" for name, value in settings.items())
        model._ledger = None if ledger is None else ledger.within(f"{'scout' if self.scouting else 'fit'} {words}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(self.X, self.y, **self.rows)
                value, error, more = self._judged(model, settings)
        except REFUSED as gone:
            return Cell(settings, np.nan, np.nan, 0, "failed", str(gone), time.perf_counter() - began, False), None
        result = model.result_
        del model._shared_starts, model._enclosed, model._ledger
        return Cell(
            settings,
            value,
            result.loglik,
            result.n_free,
            result.status.name.lower(),
            result.message,
            time.perf_counter() - began,
            _usable(result),
            error,
            (*notes_of(result), *more),
        ), model

    def _judged(self, model: Any, settings: Mapping[str, Any]) -> tuple[float, float | None, tuple[str, ...]]:
        """The criterion of a fitted model, its standard error, and notes."""
        name = self.criterion
        if name == "cv":
            return self._held_out(settings)
        if name in OWN:
            return float(getattr(model, name)(self.X, self.y, **self.rows)), None, ()
        numbers = fitted_numbers(model, self.X, self.y, self.rows, entropy=name not in PLAIN)
        if name == "nec":
            return self._normalised(model, numbers), None, ()
        return float({**PLAIN, **MEMBERSHIPS}[name](numbers)), None, ()

    def _normalised(self, model: Any, numbers: Any) -> float:
        """The normalised entropy, against a fit of one component."""
        from sklearn.base import clone

        size = size_of(model)
        k = int(model.get_params()[size])
        if k == 1:
            return 1.0
        alone = clone(model).set_params(**{size: 1, "n_init": 1}).fit(self.X, None if _classes(model) else self.y, **self.rows)
        return float(nec(numbers, float(alone.log_likelihood_), k))

    def _held_out(self, settings: Mapping[str, Any]) -> tuple[float, float, tuple[str, ...]]:
        """Minus the mean log-likelihood of rows that the fit had not seen, its standard error, and notes."""
        from sklearn.base import clone

        scores, sizes, odd, weight = [], [], 0, self._weight()
        for train, test in self._folds(weight):
            model = clone(self.estimator).set_params(**settings)
            X, y, rows = self._part(train)
            model.fit(X, y, **rows)
            odd += not _usable(model.result_)
            X, y, rows = self._part(test)
            scores.append(float(model.score(X, y, **rows)))
            lengths = [len(part) for part in X] if isinstance(X, list) and np.ndim(X[0]) > 1 else [1] * len(test)
            sizes.append(float(np.sum(lengths if weight is None else np.asarray(weight)[test] * lengths)))
        if not np.isfinite(scores).all():
            raise ValueError("held-out rows are impossible under a fit to the others (log-likelihood -inf); use a prior")
        each = np.array(scores)
        notes = (f"{odd} of {self.folds} fits to folds were not healthy",) if odd else ()
        return -float(np.average(each, weights=sizes)), float(each.std(ddof=1) / math.sqrt(len(each))), notes

    def _weight(self) -> Any:
        """Weights of the rows: those given, or those that a source brings along; None where there are none."""
        weight = self.rows.get("sample_weight")
        return self.X.weight if weight is None and is_source(self.X) else weight

    def _folds(self, weight: Any) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Rows to fit to and rows to be predicted, for each fold; a row of weight 0 is in none."""
        n = self.X.shape[0] if hasattr(self.X, "shape") else len(self.X)
        kept = np.arange(n) if weight is None else np.flatnonzero(np.asarray(weight) > 0)
        mixed = np.random.default_rng(self.seed).permutation(kept)
        for fold in np.array_split(mixed, self.folds):
            left = np.zeros(n, dtype=bool)
            left[kept], left[fold] = True, False
            yield np.flatnonzero(left), np.sort(fold)

    def _part(self, index: NDArray[np.intp]) -> tuple[Any, Any, dict[str, Any]]:
        """Some of the rows, with all that they carry; those of a file or a cluster stay there."""
        from sklearn.utils import _safe_indexing

        def pick(value: Any) -> Any:
            return None if value is None else _safe_indexing(value, index)

        X = picked(self.X, index) if is_source(self.X) else pick(self.X)
        return X, pick(self.y), {name: pick(value) for name, value in self.rows.items()}


def size_of(model: Any) -> str:
    """The setting that names the number of components; raises ValueError where there is none."""
    for name in SIZES:
        if name in model.get_params():
            return name
    raise ValueError(f"criterion='nec': {type(model).__name__} has no number of components to compare with one")


def notes_of(result: Result) -> tuple[str, ...]:
    """What a reader of the table should know of a fit."""
    found = [result.message] if result.status is Status.HIT_CAP else []
    if result.starts is not None and len(result.starts) > 1:
        if gone := len(result.starts.collapsed):
            found.append(f"{gone} of {len(result.starts)} starts collapsed")
        optima, polished = result.starts.optima, sum(row.polished and row.usable for row in result.starts.rows)
        if polished > 1 and optima and optima[0][1] == 1:
            found.append(f"only one of {polished} starts reached the best optimum; raise n_init")
    return tuple(found)


def _usable(result: Result) -> bool:
    sound = result.converged and result.status.name not in ("FRAIL", "DEFAULT_PRIOR")
    return bool(sound or result.status is Status.HIT_CAP)


def _classes(model: Any) -> bool:
    """Whether ``y`` holds classes, which one component does not have, and not responses."""
    return not hasattr(model, "posterior")
