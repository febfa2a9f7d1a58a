"""Rows regressed on the rows before them: designs of lags within sequences, and the methods that need them.

    design_t = (x_{t-l} for each lag l, covariates_t)                  a column for each lag, then the covariates

A row whose history is not complete (at the beginning of a sequence, after a gap, or without its covariates) has no
law of its own. It stays in its sequence as a row without a response: it counts for nothing in the likelihood, which is that of
the other rows given their histories, and its state is known from its neighbours alone.

symbol   variable   shape
x        series     (n,)
lags     lags       (p,)   steps back, >= 1
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.engine.restart import Start
from estep.estimators import methods
from estep.estimators.forecasts import filtered_states
from estep.estimators.gated_methods import read_covariates
from estep.estimators.gated_sequences import end_to_end, placed, refuse_other_cuts, with_own_columns
from estep.estimators.hmm_starts import _rowwise, _with_moves
from estep.estimators.regression_starts import regression_starts
from estep.estimators.rows import Arguments, Rows, Target
from estep.estimators.sequence_methods import in_users_order, log_densities, rows_of_sequences
from estep.estimators.sequences import read_sequences
from estep.estimators.settings import require_integer
from estep.estimators.starts import Task, starts_of
from estep.families.normal import Normal
from estep.models.latent import Latent
from estep.structures.chain_pass import Law

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def lags_of(self: Any) -> tuple[int, ...]:
    """The steps back that rows are regressed on: 1 .. lags, or those that are listed. Raises ValueError."""
    told = self.lags
    whole = [told] if isinstance(told, int | np.integer) and not isinstance(told, bool) else None
    steps = list(range(1, int(told) + 1)) if whole else list(told) if isinstance(told, list | tuple | np.ndarray) else []
    good = all(isinstance(step, int | np.integer) and not isinstance(step, bool) and step >= 1 for step in steps)
    if not steps or not good or len(set(steps)) != len(steps):
        raise ValueError(f"lags must be an integer >= 1 (that many rows back) or a list of different ones, got {told!r}")
    return tuple(int(step) for step in steps)


def lagged(series: Array, ends: NDArray[Any], lags: tuple[int, ...]) -> Array:
    """The values ``lags`` rows back within each sequence, (n, p); NaN before it begins.

    >>> lagged(np.array([1.0, 2.0, 3.0, 7.0, 8.0]), np.array([3, 5]), (1, 2)).tolist()
    [[nan, nan], [1.0, nan], [2.0, 1.0], [nan, nan], [7.0, nan]]
    """
    ends = np.asarray(ends)
    begins = np.repeat(np.concatenate([[0], ends[:-1]]), np.diff(ends, prepend=0))
    at = np.arange(len(series))[:, None] - np.array(lags)
    return np.where(at >= begins[:, None], series[np.maximum(at, 0)], np.nan)


def read(self: Any, arguments: Arguments, target: Target, *, reset: bool) -> Rows:
    """The rows of all sequences with the design of their histories."""
    told, plain = with_own_columns(arguments), Target(Normal(), target.k, target.named)
    rows = read_sequences(self, dataclasses.replace(told, X=_columns(told.X)), plain, reset=reset)
    x = np.asarray(rows.x, dtype=float)
    if x.shape[1] != 1:
        raise ValueError(f"X has {x.shape[1]} columns, but an autoregression is of one; fit each column, or use GaussianHMM")
    design = lagged(x[:, 0], np.asarray(rows.ends), lags_of(self))
    refuse_other_cuts(told.covariates, told.X)
    given = read_covariates(self, end_to_end(told.covariates), np.empty(rows.given_count), reset=reset)
    if given is not None:
        design = np.column_stack([design, placed(given, rows)])
    whole = np.asarray(np.isfinite(design).all(axis=1))
    if reset and not (whole & ~np.isnan(x[:, 0])).any():
        raise ValueError(
            f"no row has a value and all of its history, lags {list(lags_of(self))}; give longer sequences or fewer lags"
        )
    return dataclasses.replace(rows, x=(np.where(whole[:, None], design, np.nan), np.where(whole, x[:, 0], np.nan)))


def _columns(X: Any) -> Any:
    """One sequence of numbers as a column."""
    if getattr(X, "ndim", 2) == 1 and not isinstance(X, list):
        return X.to_frame() if hasattr(X, "to_frame") else np.asarray(X)[:, None]
    flat = isinstance(X, list | tuple) and all(isinstance(v, int | float | np.number) or v is None for v in X)
    return np.array([np.nan if v is None else v for v in X], dtype=float)[:, None] if flat and X else X


def blank_row(self: Any) -> tuple[Array, Array]:
    """A row about which nothing is known, to check a loaded model on."""
    return np.full((1, len(lags_of(self)) + len(getattr(self, "covariate_names_", ()))), np.nan), np.full(1, np.nan)


def starts(model: Latent, task: Task) -> list[Start]:
    """The starts of mixtures of regressions on rows as if they were independent, with moves from the topology."""
    plain = dataclasses.replace(task, own=None)
    if not isinstance(task.init, str):
        return starts_of(model, plain)
    rows = dataclasses.replace(task.rows, ends=None, place=None)
    alone = dataclasses.replace(plain, model=_rowwise(model), rows=rows, data=rows.data(task.n_jobs))
    return [Start(s.name, _with_moves(model, s.make)) for s in regression_starts(alone.model, alone)]


# --- methods ---


def rows_given(self: Any, X: Any, covariates: Any, row: dict[str, Any]) -> Rows:
    """Arranged rows of sequences with their designs."""
    return rows_of_sequences(self, Arguments(X, covariates=covariates, **row))


def pseudo_residuals(self: Any, X: Any, *, covariates: Any = None, **row: Any) -> Array:
    """Forecast pseudo-residuals of each row, (n,): standard normal where the model is right, NaN without response or history.

    ``Phi^{-1}(sum_k p(z_t = k | x_<t) P(X_t <= x_t | history, k))``; ``row``: sequence, lengths, time.
    """
    from scipy.special import ndtri

    rows = rows_given(self, X, covariates, row)
    model, params = self.result_.model, self.result_.params
    if not hasattr(model.family, "cdf"):
        raise ValueError(f"{type(model.family).__name__} has no distribution function, so there are no pseudo-residuals")
    whole = Chunk(("rows", 0, rows.n), rows.x, ends=np.asarray(rows.ends, dtype=np.intp))
    ahead = model.structure.ahead(params.structure, log_densities(self, rows), whole)
    seen = ~np.isnan(rows.x[1])
    share = np.where(seen[:, None], model.family.cdf(params.family, _known(rows.x)), 0.5)
    return np.asarray(in_users_order(rows, np.where(seen, ndtri((ahead * share).sum(axis=1)), np.nan)))


def _known(x: tuple[Array, Array]) -> tuple[Array, Array]:
    return np.where(np.isnan(x[0]), 0.0, x[0]), x[1]


@dataclasses.dataclass(frozen=True)
class PathForecast:
    """What follows a sequence: ``states`` (h, k), and draws of the rows, each from the ones drawn before it.

    Attributes
    ----------
    states : array (h, k)
        ``p(z_{T+1..T+h} | x_1..T)``.
    """

    states: Array
    law: Law
    model: Any
    params: Any
    history: Array
    lags: tuple[int, ...]
    covariates: Array

    def sample(self, n: int, random_state: int = 0) -> Array:
        """``n`` draws of the rows that follow, (n, h)."""
        require_integer(n, "n")
        rng, (h, k) = np.random.default_rng(random_state), self.states.shape
        chances, out = np.tile(self.states[0], (n, 1)), np.empty((n, h))
        past = np.tile(self.history, (n, 1))
        for t in range(h):
            below = np.cumsum(chances, axis=1)
            labels = np.minimum((rng.random(n)[:, None] * below[:, -1:] >= below).sum(axis=1), k - 1)
            design = np.column_stack([past[:, -np.array(self.lags)], np.tile(self.covariates[t], (n, 1))])
            out[:, t] = self.model.family.sample(self.params, labels, rng, design)[1]
            past = np.column_stack([past[:, 1:], out[:, t]])
            chances = self.law.moves.out[0][labels]
        return out


def forecast(self: Any, X: Any, h: int = 1, *, covariates: Any = None, future: Any = None) -> PathForecast:
    """Distributions of the states after one sequence, and draws of its next ``h`` rows.

    Parameters
    ----------
    X : array (n,) or (n, 1), or table of one column
        The rows so far; the last of them, as many as the longest lag, must be known.
    h : int
        Steps ahead.
    covariates, future : array or DataFrame (n, q) and (h, q)
        Those of the rows so far and of the next ones, after a fit with covariates.
    """
    require_integer(h, "h")
    rows = rows_given(self, X, covariates, {})
    if len(np.asarray(rows.ends)) > 1:
        raise ValueError(f"forecast follows one sequence, and X holds {len(np.asarray(rows.ends))}; forecast each")
    q = len(getattr(self, "covariate_names_", ()))
    given = read_covariates(self, None if future is None and not q else end_to_end(future), np.empty(h), reset=False)
    law = self.result_.model.structure.law(self.result_.params.structure)
    now, found, history = filtered_states(self, rows)[-1], [], _history(self, X)
    for _ in range(h):
        now = now @ law.moves.out[0]
        now = now / now.sum()
        found.append(now)
    model, params = self.result_.model, self.result_.params.family
    return PathForecast(
        np.array(found), law, model, params, history, lags_of(self), np.empty((h, 0)) if given is None else given
    )


def _history(self: Any, X: Any) -> Array:
    """The last rows, as many as the longest lag; raises ValueError where one is missing."""
    longest = max(lags_of(self))
    last = np.asarray(_columns(X), dtype=float).reshape(-1)[-longest:]
    if last.size < longest or np.isnan(last[-np.array(lags_of(self))]).any():
        raise ValueError(
            f"forecast needs the last {longest} rows of X, which lags {list(lags_of(self))} look back on; some are missing"
        )
    return last


def sample(
    self: Any, n_samples: int = 1, *, lengths: Any = None, history: Any = None, covariates: Any = None
) -> tuple[Array, NDArray[np.intp]]:
    """Rows (n, 1) drawn from the fitted model and their states: one sequence of ``n_samples``, or sequences of ``lengths``.

    Parameters
    ----------
    n_samples, lengths : int, ints (s,)
        As in ``HMM.sample``; draws follow ``random_state``.
    history : array or None
        The values before each sequence, the latest last, as many as the longest lag; None: the mean of the rows of the fit.
    covariates : array or DataFrame (n, q)
        After a fit with covariates.
    """
    check_is_fitted(self, "result_")
    told = np.atleast_1d(np.asarray(n_samples if lengths is None else lengths))
    if told.ndim != 1 or told.dtype.kind not in "iu" or (told < 1).any():
        name = "n_samples" if lengths is None else "lengths"
        raise ValueError(f"{name} must be whole numbers >= 1, got {n_samples if lengths is None else lengths!r}")
    ends, lags, result = np.cumsum(told).astype(np.intp), lags_of(self), self.result_
    n, rng = int(ends[-1]), np.random.default_rng(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
    before = _before(self, history)
    given = read_covariates(self, end_to_end(covariates), np.empty(n), reset=False)
    given = np.empty((n, 0)) if given is None else given
    states = result.model.structure.sample(result.params.structure, n, rng, ends=ends)
    family, params, out, begin = result.model.family, result.params.family, np.empty(n), 0
    for end in ends.tolist():
        past = before.copy()
        for t in range(begin, end):
            design = np.concatenate([past[-np.array(lags)], given[t]])[None]
            out[t] = family.sample(params, states[t : t + 1], rng, design)[1][0]
            past = np.append(past[1:], out[t])
        begin = end
    return out[:, None], np.asarray(states)


def _before(self: Any, history: Any) -> Array:
    lags = lags_of(self)
    if history is None:
        return np.full(max(lags), float(self.result_.model.family.design.centre[: len(lags)].mean()))
    before = np.asarray(history, dtype=float).reshape(-1)
    if before.size != max(lags) or not np.isfinite(before).all():
        raise ValueError(
            f"history must be {max(lags)} finite values, those before the sequence with the latest last, got {history!r}"
        )
    return before


def title(self: Any) -> str:
    """The model in words."""
    structure, family = self.result_.model.structure, self.result_.model.family
    k, lags = self.result_.model.k, lags_of(self)
    on = ", ".join(map(str, lags))
    moves = "" if structure.topology == "full" else f", {structure.topology}"
    return f"autoregressive hidden Markov model, {k} state{'s' if k != 1 else ''}, {type(family).__name__} on lag {on}{moves}"


def plot(self: Any, X: Any = None, *, covariates: Any = None, **row: Any) -> Figure:
    """The moves between states as a heat map and, with rows, the series with the most probable path."""
    check_is_fitted(self, "result_")
    from estep.views.sequences import plot_sequences

    if X is None:
        return plot_sequences(self.transmat_, None, None, None, None, [])
    from estep.views.words import column_names

    rows, out = methods.explain(self, Arguments(X, covariates=covariates, **row))
    return plot_sequences(self.transmat_, rows.x[1][:, None], out.resp, out.path, rows.ends, column_names(self))


def summary(
    self: Any, X: Any = None, *, covariates: Any = None, errors: Any = None, level: float = 0.95, **row: Any
) -> str:
    """The fit in words and a table, as ``HMM.summary``; ``row``: sequence, lengths, time of the rows."""
    check_is_fitted(self, "result_")
    return methods.summary_of(self, X, row if covariates is None else {"covariates": covariates, **row}, errors, level)
