"""The methods of Markov chains: reading states, what comes next, and what follows from the transition matrix.

States come as labels (text, whole numbers, booleans; NaN or None where missing) and results speak of them in the order of
``states_``. Likelihoods are in nats.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from estep.core.record import Array
from estep.data.layout import is_missing
from estep.data.sources import is_source
from estep.estimators.columns import coded, levels_of, refuse_mixed, table_of
from estep.estimators.from_file import table_here
from estep.estimators.inference_methods import errors_told
from estep.estimators.rows import Arguments, Rows, Target
from estep.estimators.sequence_methods import explained, in_users_order, law_of, log_densities, rows_of_sequences
from estep.estimators.sequences import joined_of, read_sequences
from estep.estimators.settings import require_integer
from estep.structures import markov
from estep.structures.chain_pass import plan
from estep.structures.chain_paths import filter_states

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNSEEN = 1e-50
"""Probability of beginning in a state where no sequence of the fit began, when what comes next is asked for."""


def arranged_states(X: Any) -> Any:
    """``X`` as sequences are read: a table or column, or a list with a column for each sequence."""
    X = table_of(X)
    if isinstance(X, Mapping):
        raise TypeError("X is a dict; give list(X.values()), a list with a sequence of states each")
    if X is None or isinstance(X, int | float | np.number):
        raise TypeError(f"X must hold states, (n,), or a list with a sequence each, got {type(X).__name__}")
    if isinstance(X, list | tuple) and X and all(_is_sequence(part) for part in X):
        return [_column(part) for part in X]
    return X if _has_names(X) else _column(X)


def _is_sequence(part: Any) -> bool:
    return not isinstance(part, str) and (hasattr(part, "__len__") or hasattr(part, "__array__"))


def _has_names(X: Any) -> bool:
    import narwhals as nw

    return bool(nw.dependencies.is_into_dataframe(X))


def _column(values: Any) -> Any:
    """One sequence of states as a column; a table stays one."""
    if _has_names(values):
        return values
    told = values.to_list() if hasattr(values, "to_list") else values
    array = told if isinstance(told, np.ndarray) else _held(list(told))
    if array.ndim == 2 and array.shape[1] != 1:
        raise ValueError(f"X has {array.shape[1]} columns, expected one column of states; give a list with a sequence each")
    if array.size == 0 or array.ndim > 2:
        raise ValueError(f"X has shape {array.shape}, expected states, (n,), at least one")
    return array if array.ndim == 2 else array[:, None]


def _held(values: list[Any]) -> NDArray[Any]:
    """A list of states as an array that keeps text and missing entries as they are."""
    if any(isinstance(v, list | tuple | np.ndarray) for v in values):
        return np.array([v if isinstance(v, list | tuple | np.ndarray) else [v] for v in values], dtype=object)
    return np.array(values, dtype=object)


def labels_of(arguments: Arguments) -> tuple[Arguments, Any]:
    """Arguments end to end, and the states of all rows: floats where all are numbers, else a list of text and None."""
    X = table_of(arguments.X)
    if is_source(X):
        X = table_here(X, [name for name in (arguments.sequence, arguments.time) if isinstance(name, str)])
    joined = joined_of(dataclasses.replace(arguments, X=arranged_states(X)))
    if _has_names(joined.X):
        import narwhals as nw

        table = nw.from_native(joined.X, eager_only=True)
        if len(table.columns) != 1:
            raise ValueError(
                f"X has the columns {list(table.columns)}, expected one column of states; name others by sequence= and time="
            )
        values = table[table.columns[0]].to_list()
    else:
        values = np.asarray(joined.X)[:, 0].tolist()
    told = [None if is_missing(v) else v for v in values]
    if all(isinstance(v, bool | int | float | np.number | np.bool_) for v in told if v is not None):
        return joined, np.array([np.nan if v is None else float(v) for v in told])
    refuse_mixed(told, "X")
    return joined, [None if v is None else str(v) for v in told]


def learned_states(self: Any, arguments: Arguments) -> NDArray[Any]:
    """The states of a fit: those that were declared, or those that are seen, sorted. Raises ValueError."""
    values = labels_of(arguments)[1]
    seen = [v for v in values if v is not None] if isinstance(values, list) else values[~np.isnan(values)]
    if len(seen) == 0:
        raise ValueError("X holds no state at all: every row is missing; give rows with states")
    if self.states is None:
        return np.unique(seen).astype(int) if _whole(seen) else levels_of(values, None, "X")
    if isinstance(self.states, str) or not np.iterable(self.states):
        raise TypeError(f"states must be None or a list of the states, in their order, got {self.states!r}")
    refuse_mixed(list(self.states), "states")
    found = levels_of(values, list(self.states), "states")
    if len(set(found.tolist())) != len(found) or found.size == 0:
        raise ValueError(f"states must name each state once, got {list(self.states)!r}")
    coded(values, found, "X", "state")
    return found


def _whole(seen: Any) -> bool:
    return isinstance(seen, np.ndarray) and bool((seen == np.floor(seen)).all() and np.abs(seen).max() < 2**53)


def places(self: Any, named: Any) -> list[int]:
    """Where the states that a setting names stand in ``states_``; raises ValueError."""
    known = self.states_.tolist()
    asked = list(named) if isinstance(named, list | tuple | np.ndarray) else [named]
    if strange := [state for state in asked if state not in known]:
        raise ValueError(f"absorbing names {strange[0]!r}, which is none of the states {known}")
    return [known.index(state) for state in asked]


def read(self: Any, arguments: Arguments, target: Target, *, reset: bool) -> Rows:
    """Codes of the states of all sequences, in the order of ``states_``; ``y`` is not used."""
    if arguments.labels is not None:
        raise ValueError("labels: states are what X shows; give them in X, None where unknown")
    joined, values = labels_of(dataclasses.replace(arguments, y=None))
    codes = coded(values, self.states_, "X", "state")[:, None]
    return read_sequences(self, dataclasses.replace(joined, X=codes), target, reset=reset)


def _now(self: Any, rows: Rows) -> Array:
    """``P(s_t | states seen so far)``, (n, k); a sequence may begin where none of the fit began."""
    law, ends = law_of(self), np.asarray(rows.ends, dtype=np.int64)
    law = dataclasses.replace(law, start=np.maximum(law.start, UNSEEN))
    return filter_states(law, log_densities(self, rows), plan(law.start.size, ends, np.ones(len(ends))), 0, rows.n)


def predict_proba(self: Any, X: Any, steps: int = 1, *, sequence: Any = None, lengths: Any = None, time: Any = None) -> Array:
    """``P(s_{t + steps} = j | s_1..t)`` for every row t, (n, k): the row of ``P^steps`` of its state.

    Parameters
    ----------
    X : states
        As in ``fit``; where a row is missing, what came before it counts.
    steps : int
        How far ahead, >= 0; with ``end`` the last column is that of having ended, (n, k + 1).
    sequence, lengths, time
        As in ``fit``.
    """
    require_integer(steps, "steps", 0)
    rows = rows_of_sequences(self, Arguments(X, sequence=sequence, lengths=lengths, time=time))
    moves, k = np.linalg.matrix_power(self.square(), int(steps)), len(self.states_)
    return np.asarray(in_users_order(rows, _now(self, rows)) @ moves[:k])


def predict(self: Any, X: Any, steps: int = 1, *, sequence: Any = None, lengths: Any = None, time: Any = None) -> NDArray[Any]:
    """The most probable state ``steps`` after each row, (n,); with ``end`` given that the sequence goes on until then."""
    ahead = predict_proba(self, X, steps, sequence=sequence, lengths=lengths, time=time)[:, : len(self.states_)]
    return np.asarray(self.states_[ahead.argmax(axis=1)])


def forecast(self: Any, X: Any, h: int = 1, *, sequence: Any = None, lengths: Any = None, time: Any = None) -> Array:
    """Distributions of the next ``h`` states after each sequence, (h, k), or (s, h, k) of several; with ``end`` (.., k + 1)."""
    require_integer(h, "h")
    rows = rows_of_sequences(self, Arguments(X, sequence=sequence, lengths=lengths, time=time))
    now = _now(self, rows)[np.asarray(rows.ends) - 1]
    moves, steps = self.square(), []
    now = np.hstack([now, np.zeros((len(now), len(moves) - now.shape[1]))])
    for _ in range(h):
        now = now @ moves
        steps.append(now)
    found = np.stack(steps, axis=1)
    return np.asarray(found[0] if len(found) == 1 else found)


def posterior(self: Any, X: Any, *, sequence: Any = None, lengths: Any = None, time: Any = None) -> Array:
    """``P(s_t = j | all states seen of its sequence)``, (n, k): certain where a state is seen."""
    return explained(self, Arguments(X, sequence=sequence, lengths=lengths, time=time)).resp


def decode(self: Any, X: Any, *, sequence: Any = None, lengths: Any = None, time: Any = None) -> NDArray[Any]:
    """The states of all rows, (n,), missing ones filled in as the most probable path of their sequence has them."""
    path = explained(self, Arguments(X, sequence=sequence, lengths=lengths, time=time)).path
    return np.asarray(self.states_[path])


def sample(self: Any, n_samples: int = 1, *, lengths: Any = None) -> NDArray[Any]:
    """States drawn from the chain: one sequence of ``n_samples``, or sequences of ``lengths`` end to end.

    Draws follow ``random_state``. With ``end`` the lengths are taken as they are.
    """
    check_is_fitted(self, "result_")
    told = np.atleast_1d(np.asarray(n_samples if lengths is None else lengths))
    if told.ndim != 1 or told.dtype.kind not in "iu" or (told < 1).any():
        name = "n_samples" if lengths is None else "lengths"
        raise ValueError(f"{name} must be whole numbers >= 1, got {n_samples if lengths is None else lengths!r}")
    rng = np.random.default_rng(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
    ends, model = np.cumsum(told).astype(np.intp), self.result_.model
    path = model.structure.sample(self.result_.params.structure, int(ends[-1]), rng, ends=ends)
    return np.asarray(self.states_[path])


def square(self: Any) -> Array:
    """The transition matrix (k, k), or with ``end`` (k + 1, k + 1), the ending as a last state that is never left."""
    check_is_fitted(self, "result_")
    return markov.square(self.transmat_)


def names(self: Any) -> list[Any]:
    """Names of the rows of ``square()``: the states, and "end"."""
    found: list[Any] = self.states_.tolist()
    return found if len(found) == len(square(self)) else [*found, "end"]


def classes(self: Any) -> list[markov.StateClass]:
    """Communicating classes: ``states`` (their places in ``states_``), whether ``closed``, and the ``period`` of each.

    With ``end`` the ending is a closed class of its own, the last place.
    """
    return markov.communicating_classes(square(self))


def is_irreducible(self: Any) -> bool:
    """Whether every state can be reached from every other."""
    return len(classes(self)) == 1


def is_ergodic(self: Any) -> bool:
    """Whether the chain is irreducible and aperiodic, so that its distribution tends to ``stationary()`` from any start."""
    found = classes(self)
    return len(found) == 1 and found[0].period == 1


def stationary(self: Any) -> Array:
    """The stationary distribution ``q = q P``, (k,); raises ValueError where there are several (see ``long_run``)."""
    closed = [found for found in classes(self) if found.closed]
    if len(closed) > 1:
        told = [[names(self)[i] for i in found.states.tolist()] for found in closed]
        raise ValueError(
            f"the chain has {len(closed)} closed classes, {told}, and a stationary distribution for each; long_run() gives the "
            "share of time in each state by where the chain starts"
        )
    return markov.stationary_of(square(self), closed[0].states)


def long_run(self: Any) -> Array:
    """Share of time in each state in the long run, by the state that the chain starts from, (k, k)."""
    return markov.long_run(square(self))


def absorption(self: Any) -> markov.Absorption:
    """Where the chain ends up: ``probabilities`` (k, c) over closed ``classes``, and expected steps ``times`` (k,)."""
    return markov.absorption(square(self))


def hitting(self: Any, target: Any) -> markov.Hitting:
    """Whether and when ``target``, a state or a list of states, is reached from each state.

    ``probabilities`` (k,) of ever, expected steps ``times`` (k,), 0 in the target and infinite unless it is certain.
    """
    known = names(self)
    asked = list(target) if isinstance(target, list | tuple | np.ndarray) else [target]
    if not asked or any(state not in known for state in asked):
        raise ValueError(f"target {target!r} must name states, one or more of {known}")
    return markov.hitting(square(self), [known.index(state) for state in asked])


def plot(self: Any) -> Figure:
    """The transition diagram: states, moves, and the null state from which sequences begin.

    Returns
    -------
    matplotlib Figure
    """
    check_is_fitted(self, "result_")
    from estep.views.state_diagram import state_diagram

    return state_diagram(self.startprob_, self.transmat_, self.states_.tolist())


def title(self: Any) -> str:
    """The model in words."""
    structure = self.result_.model.structure
    moves = "" if structure.topology == "full" else f", {structure.topology}"
    k = len(self.states_)
    return f"Markov chain, {k} state{'s' if k != 1 else ''}{moves}{', with an end' if structure.end else ''}"


def summary(
    self: Any,
    X: Any = None,
    *,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
    errors: Any = None,
    level: float = 0.95,
) -> str:
    """The fit in words and a table: likelihood, criteria, classes, moves. Print it.

    ``errors``: what ``standard_errors`` returned, or True to find them now from the rows of the fit; with them stand
    intervals of ``level``.
    """
    check_is_fitted(self, "result_")
    from estep.views.layout import Row, facts, table
    from estep.views.table import facts_of, sureness

    told, known = dict(facts_of(self)), [str(name) for name in names(self)]
    wanted = ("n", "log-likelihood", "objective", "free parameters", "BIC", "AIC")
    kept = [(label, told[label]) for label in wanted if label in told]
    kind = "ergodic" if is_ergodic(self) else "irreducible" if is_irreducible(self) else ""
    said = [kind] if kind else []
    for found in classes(self):
        inside = ", ".join(known[i] for i in found.states.tolist())
        said.append(f"{{{inside}}} {'closed' if found.closed else 'left for good'}, period {found.period}")
    lines = [title(self), "", *facts([*kept, ("classes", "; ".join(said))]), ""]
    header = ["start", *(str(state) for state in self.states_), *(["end"] if len(known) > len(self.states_) else [])]
    shown = [
        Row(str(state), [f"{self.startprob_[i]:.4f}", *(f"{p:.4f}" for p in self.transmat_[i])])
        for i, state in enumerate(self.states_)
    ]
    end = sureness(self, errors_told(self, errors, X, {"sequence": sequence, "lengths": lengths, "time": time}), level)
    return "\n".join([*lines, *table("from", header, shown), *end])
