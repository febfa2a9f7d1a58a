"""The saturated multinomial with missing entries as an estimator: the table behind partly classified rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.validation import check_is_fitted

from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.core.result import Result
from estep.engine.passing import passing_result
from estep.engine.presets import variant_of
from estep.engine.restart import Start, fit_starts
from estep.engine.run import Control
from estep.estimators import estimate_methods as estimates
from estep.estimators import methods, own_pictures, streaming, table_inference
from estep.estimators.columns import column_names, table_of
from estep.estimators.fitting import seed_of
from estep.estimators.rows import Arguments, Rows, Target, read_rows
from estep.estimators.settings import check_settings, require_integer
from estep.estimators.warnings import warn_of
from estep.estimators.watching import watcher
from estep.families.normal_shapes import numbers
from estep.models.saturated import WHOLE_TABLE, CellCounts, CellProbs, Saturated, fitted_to, reached_cells, table_cells
from estep.views.cells import cells_text
from estep.views.estimates import table_of as table_of_estimates

DENSE = 1 << 24


@dataclasses.dataclass(frozen=True)
class _Table:
    """How rows are read: every column holds categories."""

    def categorical(self, names: Sequence[str]) -> Sequence[int]:
        """All columns."""
        return range(len(names))


TARGET = Target(_Table(), 1, 1)


class SaturatedMultinomial(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Probabilities of the cells of a contingency table from rows with missing entries, by EM.

    ``P(row in cell c) = theta_c``; a row with missing entries counts for the cells that agree with it (exact where entries are
    missing at random). The likelihood is concave in theta, so every start leads to the same maximum.

    Parameters
    ----------
    margins : sequence of sequences of columns, or None
        A log-linear model: the margins, by column name or number, that it fits, such as ``[("a", "b"), ("b", "c")]``; each EM
        step then makes one cycle of proportional fitting (ECM). None is the saturated model.
    prior : number, array or None
        Dirichlet parameters: one for all cells, or an array in the table's shape with NaN where a cell cannot occur. None or 1
        is maximum likelihood; above 1 the mode is unique and inside; below 1 there may be none, which is an error.
    init : "auto" or dict
        Equal probabilities, or ``dict(cells=...)`` in the table's shape. A cell that begins at zero stays there.
    algorithm, accelerate, tol, max_iter, n_jobs, progress
        As in ``Mixture``.
    random_state
        Seed of ``impute`` and ``sample``.

    Attributes
    ----------
    cells_ : array (levels of the first column, levels of the second, ...)
        The probabilities; absent where the table has more than 2^24 cells.
    cell_codes_, cell_probs_ : arrays (m, p), (m,)
        The cells that may occur, by level number, and their probabilities. Of a table of more than 2^20 cells only those that
        agree with some row are kept.
    levels_ : list of arrays
        The levels of each column, in the order of ``cells_``.
    converged_, status_, n_iter_, log_likelihood_, objective_, trace_, starts_, result_
        How it ended.

    Examples
    --------
    >>> import numpy as np, estep
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0, np.nan]])
    >>> fit = estep.SaturatedMultinomial().fit(X, sample_weight=[40, 10, 10, 40, 20])
    >>> fit.cells_.round(3).tolist()
    [[0.467, 0.117], [0.083, 0.333]]
    """

    def __init__(
        self,
        *,
        margins: Any = None,
        prior: Any = None,
        init: Any = "auto",
        algorithm: Any = "em",
        accelerate: Any = "auto",
        tol: float = 1e-8,
        max_iter: int = 1000,
        random_state: Any = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.margins = margins
        self.prior = prior
        self.init = init
        self.algorithm = algorithm
        self.accelerate = accelerate
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> SaturatedMultinomial:
        """Fit to the rows of ``X``.

        Parameters
        ----------
        X : array or DataFrame (n, p)
            Categories: text, booleans or numbers; NaN or None where missing.
        y : ignored
        sample_weight : array (n,) or None
            How often each row was seen: a table of patterns with counts is fitted as it is.

        Raises
        ------
        ValueError
            Rows that show what the prior or the start declares impossible; a prior below one with a negative estimate; a table
            that is too large.
        """
        check_settings(self)
        table = _as_table(X)
        rows = read_rows(self, Arguments(table, None, sample_weight), TARGET, reset=True)
        names, rows = column_names(table), rows.distinct()
        if (blank := np.isnan(rows.x).all(axis=0)).any():
            raise ValueError(f"X: column {names[int(np.argmax(blank))]!r} has no observed value; drop it or supply data for it")
        model = self._model(rows, names)
        start = self._begin(model)
        self._refuse_impossible(model, start, rows, names)
        with watcher(self, X, y, lambda state: self.published_as(passing_result(model, state))) as watch:
            control = Control(tol=self.tol, max_iter=self.max_iter, watch=watch, catch=not getattr(self, "_enclosed", False))
            begin = Start("equal probabilities" if isinstance(self.init, str) else "given cells", lambda: start)
            result = fit_starts(model, rows.data(self.n_jobs), [begin], variant_of(self.algorithm, self.accelerate), control)
        for name, value in self.published_as(dataclasses.replace(result, state=None)).items():
            setattr(self, name, value)
        warn_of(result, type(self).__name__)
        return self

    def marginal(self, columns: Any) -> Array:
        """Probabilities of the levels of some columns (names or numbers), in the order given, summed over the others."""
        check_is_fitted(self, "result_")
        chosen = self._columns(columns if isinstance(columns, list | tuple) else [columns], "columns", self._names())
        shape = tuple(len(self.levels_[j]) for j in chosen)
        out = np.zeros(shape)
        np.add.at(out, tuple(self.cell_codes_[:, list(chosen)].T), self.cell_probs_)
        return out

    def odds_ratio(self, first: Any, second: Any) -> Any:
        """Odds ratios of two columns in their marginal table, against the first level of each: a number for two by two.

        ``(p_ab p_00) / (p_a0 p_0b)``, (levels of first - 1, levels of second - 1); infinite or NaN where cells are empty.
        """
        p = self.marginal([first, second])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = p[1:, 1:] * p[0, 0] / (p[1:, :1] * p[:1, 1:])
        return float(ratios[0, 0]) if ratios.size == 1 else ratios

    def impute(self, X: Any, n_draws: int = 1, random_state: Any = None) -> NDArray[Any]:
        """Rows with every missing entry drawn given what the row shows, (n_draws, n, p), as levels; parameters as fitted."""
        rows = self._rows(X)
        require_integer(n_draws, "n_draws")
        rng = np.random.default_rng(seed_of(self.random_state if random_state is None else random_state))
        model, params = self.result_.model, self.result_.params
        few = rows.distinct()
        member = np.arange(few.n) if few.member is None else few.member
        drawn = np.empty((n_draws, rows.n, rows.d), dtype=np.intp)
        for i, row in enumerate(np.asarray(few.x, dtype=float)):
            cells, chance = model.completions(params, row)
            if not chance.sum() > 0:
                raise ValueError(
                    f"X: the fitted table gives probability zero to {self._shown(row)}, so nothing can be drawn for it"
                )
            at = np.flatnonzero(member == i)
            drawn[:, at] = model.cells[rng.choice(cells, size=(n_draws, at.size), p=chance)]
        return self._as_levels(drawn)

    def score_samples(self, X: Any) -> Array:
        """Log probability of what each row shows, (n,), in nats; -inf where the fitted table excludes it."""
        return self._explained(self._rows(X))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-likelihood per unit weight, in nats."""
        rows = self._rows(X, sample_weight)
        return self._loglik(rows) / rows.total

    def bic(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Bayesian information criterion, ``-2 L + p log n``; lower is better."""
        rows = self._rows(X, sample_weight)
        return -2.0 * self._loglik(rows) + float(self.result_.n_free) * math.log(rows.total)

    def aic(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Akaike information criterion, ``-2 L + 2 p``; lower is better."""
        return -2.0 * self._loglik(self._rows(X, sample_weight)) + 2.0 * float(self.result_.n_free)

    def sample(self, n_samples: int = 1) -> NDArray[Any]:
        """``n_samples`` rows drawn from the fitted table, (n_samples, p), as levels; draws follow ``random_state``."""
        check_is_fitted(self, "result_")
        require_integer(n_samples, "n_samples")
        rng = np.random.default_rng(seed_of(self.random_state))
        return self._as_levels(self.result_.model.sample(self.result_.params, n_samples, rng)[0].astype(np.intp))

    def summary(self, errors: Any = None, level: float = 0.95) -> str:
        """The fit in words and the table of the most probable cells, with ``errors`` from ``standard_errors``. Print it."""
        check_is_fitted(self, "result_")
        text = cells_text(self.result_, self._names(), self.levels_)
        return text if errors is None else f"{text}\n\n{table_of_estimates(self, errors, level)}"

    standard_errors = table_inference.standard_errors
    confint = table_inference.confint
    to_frame = estimates.to_frame
    to_latex = estimates.to_latex
    to_markdown = estimates.to_markdown
    to_html = estimates.to_html
    plot = own_pictures.plot_table
    save = methods.save
    partial_fit = streaming.partial_fit
    _ignores_y = True

    def _stream_rows(self, arguments: Arguments) -> Rows:
        return self._rows(arguments.X, arguments.sample_weight).distinct()

    def published_as(self, result: Result) -> dict[str, Any]:
        """The fitted attributes that follow from a result."""
        model, probs = result.model, result.params.probs
        found = {
            "result_": result,
            "cell_codes_": model.cells,
            "cell_probs_": probs,
            "converged_": result.converged,
            "status_": result.status,
            "n_iter_": result.passes,
            "log_likelihood_": result.loglik,
            "objective_": result.objective,
            "trace_": result.trace.objective,
            "starts_": result.starts,
        }
        if math.prod(model.levels) > DENSE:
            self.__dict__.pop("cells_", None)
            return {**found, "params_": {"cell_probs": probs}}
        cells = np.zeros(model.levels)
        cells[tuple(model.cells.T)] = probs
        return {**found, "cells_": cells, "params_": {"cells": cells}}

    # --- what the user gave, as the model has it ---

    def _model(self, rows: Rows, names: list[str]) -> Saturated:
        levels = tuple(len(found) for found in self.levels_)
        if 0 in levels:
            raise ValueError(f"X: column {names[levels.index(0)]!r} has no observed value, so it has no levels; drop it")
        if self.margins is not None and not np.iterable(self.margins):
            raise ValueError(f"margins: expected sequences of columns such as [(0, 1), (1, 2)], found {self.margins!r}")
        margins = () if self.margins is None else tuple(self._columns(m, "margins", names) for m in self.margins)
        alpha = np.asarray(1.0 if self.prior is None else numbers(self.prior, "prior"))
        whole = math.prod(levels) <= WHOLE_TABLE
        if not whole and (margins or alpha.ndim or float(alpha) != 1.0):
            raise ValueError(
                f"X: the table has {math.prod(levels):.3g} cells, and a prior or margins need all of them (at most "
                f"{WHOLE_TABLE}); use prior=None and margins=None, which keep only the cells that rows reach, or fewer columns "
                "or levels"
            )
        if alpha.ndim and alpha.shape != levels:
            raise ValueError(f"prior has shape {alpha.shape}, expected a number or the table's shape {levels}")
        cells = table_cells(levels) if whole else reached_cells(np.asarray(rows.x, dtype=float), levels)
        each = np.broadcast_to(alpha, levels)[tuple(cells.T)] if alpha.ndim else np.full(len(cells), float(alpha))
        if np.isinf(each).any() or (each < 0).any():
            raise ValueError(
                f"prior must be numbers >= 0, with NaN where a cell cannot occur; found {float(np.nanmin(each)):g}"
            )
        kept = ~np.isnan(each)
        if not kept.any():
            raise ValueError("prior declares every cell impossible; give at least one a number")
        more = each[kept] - 1.0
        return Saturated(levels, cells[kept], CellCounts(more) if more.any() else None, margins)

    def _columns(self, chosen: Any, argument: str, names: list[str]) -> tuple[int, ...]:
        if isinstance(chosen, str | int | np.integer):
            raise ValueError(f"{argument}: expected sequences of columns such as [(0, 1), (1, 2)], found {chosen!r}")
        found = [names.index(c) if isinstance(c, str) and c in names else c for c in chosen]
        for c in found:
            if not isinstance(c, int | np.integer) or not 0 <= c < len(names):
                raise ValueError(
                    f"{argument}: there is no column {c!r}; the columns are {names[:8]} (or 0 to {len(names) - 1})"
                )
        if len(set(found)) < len(found):
            raise ValueError(f"{argument} names a column twice: {list(chosen)}")
        return tuple(int(c) for c in found)

    def _begin(self, model: Saturated) -> CellProbs:
        if isinstance(self.init, str) and self.init == "auto":
            return model.start()
        if not isinstance(self.init, Mapping) or set(self.init) != {"cells"}:
            raise ValueError(f"init must be 'auto' or dict(cells=...), got {self.init!r}")
        given = numbers(self.init["cells"], "init['cells']")
        if given.shape != model.levels:
            raise ValueError(f"init['cells'] has shape {given.shape}, expected the table's shape {model.levels}")
        probs = given[tuple(model.cells.T)]
        if not np.isfinite(given).all() or (given < 0).any() or abs(float(probs.sum()) - 1.0) > 1e-8:
            raise ValueError(
                f"init['cells'] must be >= 0 and sum to one over the cells that may occur; it sums to {float(probs.sum()):g}"
            )
        return fitted_to(model, CellProbs(probs)) if model.margins else CellProbs(probs)

    def _refuse_impossible(self, model: Saturated, start: CellProbs, rows: Rows, names: list[str]) -> None:
        data = Chunk(("start", 0, rows.n), rows.x)
        for params, why in (
            (model.start(), "prior declares every cell that agrees with it impossible"),
            (start, "init gives it zero"),
        ):
            lost = np.flatnonzero(np.isneginf(model.explain(params, data).log_density))
            if lost.size:
                row = np.asarray(rows.x, dtype=float)[lost[0]]
                raise ValueError(
                    f"X holds a row with {self._shown(row, names)}, but {why}; correct the row, or raise these cells"
                )

    # --- rows to and fro ---

    def _rows(self, X: Any, sample_weight: Any = None) -> Rows:
        check_is_fitted(self, "result_")
        return read_rows(self, Arguments(_as_table(X), None, sample_weight), TARGET, reset=False)

    def _explained(self, rows: Rows) -> Array:
        return np.asarray(self.result_.model.explain(self.result_.params, Chunk(("rows", 0, rows.n), rows.x)).log_density)

    def _loglik(self, rows: Rows) -> float:
        logs = self._explained(rows)
        return float((logs if rows.weight is None else logs * rows.weight).sum())

    def _names(self) -> list[str]:
        return [str(n) for n in getattr(self, "feature_names_in_", [f"x{j}" for j in range(self.n_features_in_)])]

    def _shown(self, row: Array, names: list[str] | None = None) -> str:
        told = zip(names or self._names(), row, self.levels_, strict=True)
        return ", ".join(f"{n}={v[int(c)]}" for n, c, v in told if c == c) or "nothing observed"

    def _as_levels(self, codes: NDArray[np.intp]) -> NDArray[Any]:
        """Level numbers (..., p) as the levels themselves: numbers where all columns have them, else objects."""
        text = any(levels.dtype.kind == "U" for levels in self.levels_)
        out = np.empty(codes.shape, dtype=object if text else np.result_type(*(levels.dtype for levels in self.levels_)))
        for j, levels in enumerate(self.levels_):
            out[..., j] = levels[codes[..., j]]
        return out

    def _check_loaded(self, result: Result, columns: dict[str, Any]) -> None:
        """Raise ValueError unless the parameters of a file belong together."""
        model = result.model
        if not isinstance(model, Saturated) or [len(v) for v in columns.get("levels_", [])] != list(model.levels):
            raise ValueError("its levels are not those of its table")
        if model.cells.shape != (len(result.params.probs), len(model.levels)) or columns.get("n_features_in_") != len(
            model.levels
        ):
            raise ValueError("its cells are not those of its probabilities")
        if (model.cells < 0).any() or (model.cells >= np.array(model.levels)).any():
            raise ValueError("its cells lie outside its table")
        model.support(result.params).check(result.params)

    def __sklearn_clone__(self) -> Any:
        return methods.enclosed(super().__sklearn_clone__())

    def __sklearn_tags__(self) -> Any:
        return methods.tags(super().__sklearn_tags__(), TARGET.family)


def _as_table(X: Any) -> Any:
    """``X`` as a table, or as an array with a shape."""
    table = table_of(X)
    return table if column_names(table) else np.asarray(table)
