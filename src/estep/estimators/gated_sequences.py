"""The methods of hidden Markov models whose moves depend on covariates: those of ``sequence_methods.py`` with covariates.

``covariates`` hold a row for every row of X, in the user's order, and may come as X does: a matrix or table, a list with one
for each sequence, or names of columns of the table X. What is per row comes back in the user's order. Likelihoods are in nats.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.estimators import methods
from estep.estimators.columns import own_names
from estep.estimators.forecasts import Forecast
from estep.estimators.gated_methods import read_covariates
from estep.estimators.rows import Arguments, Rows, Target
from estep.estimators.sequence_methods import (
    check_count,
    explained,
    in_users_order,
    log_densities,
    refuse_several,
    rows_of_sequences,
)
from estep.estimators.sequences import is_list_of_sequences, read_sequences
from estep.structures.chain_pass import Law, plan
from estep.structures.chain_paths import best, best_several, filter_states, path_values
from estep.structures.gated_moves import Logb

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def read(self: Any, arguments: Arguments, target: Target, *, reset: bool) -> Rows:
    """The rows of all sequences with their covariates."""
    arguments = with_own_columns(arguments)
    rows = read_sequences(self, arguments, target, reset=reset)
    told = arguments.covariates
    if told is None:
        raise ValueError("covariates are missing: moves between states depend on them; give a row of them for each row of X")
    refuse_other_cuts(told, arguments.X)
    given = read_covariates(self, end_to_end(told), np.empty(rows.given_count), reset=reset)
    return dataclasses.replace(rows, given=_arranged(np.asarray(given), rows))


def with_own_columns(arguments: Arguments) -> Arguments:
    """Arguments whose covariates, where they are named columns of X, are taken out of it."""
    told = arguments.covariates
    names = [told] if isinstance(told, str) else list(told) if isinstance(told, list | tuple) else []
    if not names or not all(isinstance(name, str) for name in names):
        return arguments
    if own_names(arguments.X) is None:
        raise ValueError(f"covariates name columns {names}, but X is no table; give their values, a row for each row of X")
    import narwhals as nw

    table = nw.from_native(arguments.X, eager_only=True)
    if missing := [name for name in names if name not in table.columns]:
        raise ValueError(f"covariates name {missing}, which are no columns of X; it has {list(table.columns)}")
    return dataclasses.replace(arguments, X=table.drop(*names).to_native(), covariates=table.select(*names).to_native())


def refuse_other_cuts(told: Any, X: Any) -> None:
    """Raise ValueError where lists of covariates and of sequences differ in the lengths of their parts."""
    if is_list_of_sequences(told) and is_list_of_sequences(X):
        cuts, expected = [len(part) for part in told], [len(part) for part in X]
        if cuts != expected:
            at = next((j for j, both in enumerate(zip(cuts, expected, strict=False)) if both[0] != both[1]), None)
            differs = "" if at is None else f"; covariates[{at}] has {cuts[at]} rows and X[{at}] has {expected[at]}"
            raise ValueError(f"covariates are {len(cuts)} sequences and X {len(expected)}{differs}; give a row for each of X's")


def end_to_end(told: Any) -> Any:
    """Covariates of all sequences as one matrix or table."""
    if not is_list_of_sequences(told):
        return told
    if all(own_names(part) is not None for part in told):
        import narwhals as nw

        return nw.concat([nw.from_native(part, eager_only=True) for part in told]).to_native()
    parts = [np.asarray(part, dtype=float) for part in told]
    return np.concatenate([part[:, None] if part.ndim == 1 else part for part in parts])


def placed(given: Array, rows: Rows) -> Array:
    """Covariates where their rows stand; NaN where time left out a row."""
    if rows.place is not None:
        out = np.full((rows.n if rows.kept is None else len(rows.kept), given.shape[1]), np.nan)
        out[rows.place] = given
        given = out
    return given if rows.kept is None else given[rows.kept]


def _arranged(given: Array, rows: Rows) -> Array:
    """Covariates where their rows stand; raises ValueError where time left out a row."""
    found = placed(given, rows)
    if np.isnan(found).any():
        raise ValueError(
            "time leaves out a step, whose covariates are unknown; give that step a row, with covariates and NaN in the rest"
        )
    return found


def _arguments(X: Any, y: Any, weight: Any, labels: Any, covariates: Any, row: dict[str, Any]) -> Arguments:
    return Arguments(X, y, weight, labels, None, covariates=covariates, **row)


def recursion(self: Any, rows: Rows) -> tuple[Law, Logb, NDArray[np.int64]]:
    """The fitted chain at these rows, log densities to go with it, and ends of sequences."""
    model, params, ends = self.result_.model, self.result_.params.structure, np.asarray(rows.ends, dtype=np.int64)
    logb = log_densities(self, rows)
    if not hasattr(model.structure, "rows_of"):
        return model.structure.law(params), logb, ends
    whole = Chunk(("rows", 0, rows.n), rows.x, rows.given, ends=ends.astype(np.intp))
    law, both = model.structure.law(params, model.structure.rows_of(whole), logb)
    return law, both, ends


def predict(
    self: Any,
    X: Any,
    *,
    covariates: Any = None,
    method: str = "viterbi",
    y: Any = None,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> NDArray[np.intp]:
    """State of each row, (n,): on the most probable path ("viterbi"), or the most probable by itself ("mpm").

    Parameters
    ----------
    X : array or DataFrame (n, d), or list of arrays
        Rows; NaN marks a missing entry.
    covariates : array or DataFrame (n, q), list of these, or names of columns of X
        As in ``fit``.
    method : "viterbi" or "mpm"
        The path that is most probable as a whole, or the states that are right most often.
    y, labels, sequence, lengths, time
        As in ``fit``.
    """
    if method not in ("viterbi", "mpm"):
        raise ValueError(
            f"method={method!r} is unknown; choose 'viterbi' (the best path) or 'mpm' (the best state of each row)"
        )
    row = {"sequence": sequence, "lengths": lengths, "time": time}
    out = explained(self, _arguments(X, y, None, labels, covariates, row))
    return out.path if method == "viterbi" else np.asarray(out.resp.argmax(axis=1))


def predict_proba(
    self: Any,
    X: Any,
    *,
    covariates: Any = None,
    y: Any = None,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> Array:
    """``p(z_t = k | x_1..T, g)``, (n, k): probabilities of states given the whole sequence and its covariates."""
    row = {"sequence": sequence, "lengths": lengths, "time": time}
    return explained(self, _arguments(X, y, None, labels, covariates, row)).resp


def score_samples(
    self: Any,
    X: Any,
    *,
    covariates: Any = None,
    y: Any = None,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> Array:
    """``log p(x_t | x_<t, g)``, (n,), in nats; sums to the log-likelihood."""
    row = {"sequence": sequence, "lengths": lengths, "time": time}
    return explained(self, _arguments(X, y, None, labels, covariates, row)).log_density


def score(self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, covariates: Any = None, **row: Any) -> float:
    """Mean log-likelihood per observation, in nats; ``row``: labels, sequence, lengths, time."""
    return methods.score_of(self, _arguments(X, y, sample_weight, row.pop("labels", None), covariates, row))


def bic(self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, covariates: Any = None, **row: Any) -> float:
    """Bayesian information criterion, ``-2 L + p log n`` with n observations; lower is better. ``row`` as in ``score``."""
    return methods.bic_of(self, _arguments(X, y, sample_weight, row.pop("labels", None), covariates, row))


def aic(self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, covariates: Any = None, **row: Any) -> float:
    """Akaike information criterion, ``-2 L + 2 p``; lower is better. ``row`` as in ``score``."""
    return methods.aic_of(self, _arguments(X, y, sample_weight, row.pop("labels", None), covariates, row))


def icl(self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, covariates: Any = None, **row: Any) -> float:
    """Integrated completed likelihood at the best paths z, ``-2 log p(x, z) + p log n``; lower is better."""
    rows = rows_of_sequences(self, _arguments(X, y, sample_weight, row.pop("labels", None), covariates, row))
    law, logb, ends = recursion(self, rows)
    groups = plan(law.start.size, ends, np.ones(len(ends)))
    values = path_values(law, logb, groups, best(law, logb, groups, 0, rows.n))
    weight = np.ones(len(ends)) if rows.weight is None else rows.weight[ends - 1]
    return -2.0 * float(values @ weight) + float(self.result_.n_free) * math.log(rows.total)


def decode(
    self: Any, X: Any, *, covariates: Any = None, count: int = 1, y: Any = None, labels: Any = None, **row: Any
) -> tuple[NDArray[np.intp], Any]:
    """The most probable path and its ``log p(x, z | g)``, as ``HMM.decode``; ``row``: sequence, lengths, time."""
    check_count(count)
    rows = rows_of_sequences(self, _arguments(X, y, None, labels, covariates, row))
    law, logb, ends = recursion(self, rows)
    if count > 1:
        refuse_several(count, rows)
        paths, several = best_several(law, logb, slice(0, rows.n), int(count))
        return (paths if rows.place is None else paths[:, rows.place]), several
    groups = plan(law.start.size, ends, np.ones(len(ends)))
    path = best(law, logb, groups, 0, rows.n)
    values = path_values(law, logb, groups, path)
    return in_users_order(rows, path), values if len(ends) > 1 else float(values[0])


def transmat(self: Any, covariates: Any) -> Array:
    """Probabilities of moves into rows with these covariates, (n, k, k), rows of each matrix summing to one."""
    check_is_fitted(self, "result_")
    return np.asarray(self.result_.model.structure.transmat(self.result_.params.structure, _read_alone(self, covariates)))


def _read_alone(self: Any, covariates: Any) -> Array:
    told = end_to_end(covariates)
    size = len(told) if hasattr(told, "__len__") else 0
    return np.asarray(read_covariates(self, told, np.empty(size), reset=False))


@dataclasses.dataclass(frozen=True)
class GatedForecast:
    """Distributions of states (h, k) and observations that follow a sequence, at the covariates given for them."""

    states: Array
    moves: Array
    model: Any
    params: Any

    log_density = Forecast.log_density
    cdf = Forecast.cdf

    def sample(self, n: int, random_state: int = 0) -> Array:
        """``n`` draws of what follows, (n, h, d); states are drawn step by step, so paths hang together."""
        rng, (h, k) = np.random.default_rng(random_state), self.states.shape
        labels, chances = np.empty((n, h), dtype=np.intp), np.tile(self.states[0], (n, 1))
        for t in range(h):
            chances = chances if t == 0 else self.moves[t][labels[:, t - 1]]
            below = np.cumsum(chances, axis=1)
            labels[:, t] = np.minimum((rng.random(n)[:, None] * below[:, -1:] >= below).sum(axis=1), k - 1)
        rows = np.asarray(self.model.family.sample(self.params.family, labels.ravel(), rng))
        return rows.reshape(n, h, -1)


def forecast(self: Any, X: Any, future: Any, *, covariates: Any = None) -> GatedForecast:
    """Distributions of states and observations after one sequence.

    Parameters
    ----------
    X : array or DataFrame (n, d)
        The rows so far, one sequence; NaN marks a missing entry.
    future : array or DataFrame (h, q)
        Covariates of the next h rows.
    covariates : array or DataFrame (n, q), or names of columns of X
        Those of the rows so far.
    """
    rows = rows_of_sequences(self, Arguments(X, covariates=covariates))
    law, logb, ends = recursion(self, rows)
    if len(ends) > 1:
        raise ValueError(f"forecast follows one sequence, and X holds {len(ends)}; forecast each with covariates of its own")
    moves, steps = transmat(self, future), []
    now = filter_states(law, logb, plan(law.start.size, ends, np.ones(1)), 0, rows.n)[-1]
    for move in moves:
        now = now @ move
        steps.append(now)
    return GatedForecast(np.array(steps), moves, self.result_.model, self.result_.params)


def sample(self: Any, covariates: Any, *, lengths: Any = None) -> tuple[Any, NDArray[np.intp]]:
    """A row for each row of ``covariates`` (n, q) drawn from the fitted model, and its state; draws follow ``random_state``.

    One sequence, or sequences of ``lengths``, which add up to n; a list of covariates holds a sequence each.
    """
    check_is_fitted(self, "result_")
    if is_list_of_sequences(covariates) and lengths is None:
        lengths = [len(part) for part in covariates]
    given = _read_alone(self, covariates)
    told = np.atleast_1d(np.asarray(len(given) if lengths is None else lengths))
    if told.dtype.kind not in "iu" or (told < 1).any() or told.sum() != len(given):
        raise ValueError(
            f"lengths {told.tolist()} must be whole numbers >= 1 that add up to the {len(given)} rows of covariates"
        )
    from sklearn.utils import check_random_state

    rng = np.random.default_rng(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
    rows, labels = self.result_.model.sample(
        self.result_.params, len(given), rng, given=given, ends=np.cumsum(told).astype(np.intp)
    )
    return rows, labels


def title(self: Any) -> str:
    """The model in words."""
    result = self.result_
    k, family, structure = result.model.k, type(result.model.family).__name__, result.model.structure
    moves = "" if structure.topology == "full" else f", {structure.topology}"
    on = ", ".join(map(str, structure.columns))
    return f"input-output hidden Markov model, {k} state{'s' if k != 1 else ''}, {family} rows{moves}, moves depend on {on}"


def plot(self: Any, X: Any = None, *, covariates: Any = None, **row: Any) -> Figure:
    """The mean moves between states as a heat map and, with rows, each column over time with the most probable path."""
    check_is_fitted(self, "result_")
    from estep.views.sequences import plot_sequences

    moves = self.result_.model.structure.typical(self.result_.params.structure)[1]
    if X is None:
        return plot_sequences(moves, None, None, None, None, [])
    from estep.views.words import column_names

    rows, out = methods.explain(self, _arguments(X, None, None, None, covariates, row))
    return plot_sequences(moves, np.asarray(rows.x), out.resp, out.path, rows.ends, column_names(self))


def summary(
    self: Any, X: Any = None, *, covariates: Any = None, errors: Any = None, level: float = 0.95, **row: Any
) -> str:
    """The fit in words and a table, as ``HMM.summary``; ``row``: covariates, sequence, lengths, time of the rows."""
    check_is_fitted(self, "result_")
    told = row if covariates is None else {"covariates": covariates, **row}
    text = methods.summary_of(self, X, told, errors, level)
    head, *parts = text.split("\n\nNote", 1)
    return "\n\nNote".join(["\n".join([head, "", *_moves_in_words(self)]), *parts])


def _moves_in_words(self: Any) -> list[str]:
    """A line for each move: its log-odds against staying."""
    coefs, k = self.move_coefs_, len(self.move_coefs_)
    free = [(i, j) for i in range(k) for j in range(k) if i != j and coefs[i, j].any()]
    told = _logits("move", {f"{i} -> {j}": coefs[i, j] for i, j in free}, self.covariate_names_)
    lines = ["Log-odds of a move against staying: intercept, and what a unit of each covariate adds", "", *told] if free else []
    starts = getattr(self, "start_coefs_", None)
    if starts is None:
        return lines
    told = _logits("state", {str(j): row for j, row in enumerate(starts) if row.any()}, self.covariate_names_)
    return [*lines, "", "Log-odds of starting in a state against starting in the one left out", "", *told]


def _logits(what: str, rows: Mapping[str, Array], covariates: Sequence[Any]) -> list[str]:
    """Coefficients in lines, a column for the intercept and each covariate."""
    from estep.views.layout import Row, number, table

    lines = [Row(name, [number(float(v), 4) for v in values]) for name, values in rows.items()]
    return list(table(what, ["intercept", *map(str, covariates)], lines))
