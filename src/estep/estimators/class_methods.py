"""The methods of mixtures of hidden Markov models: classes of sequences, and results class by class.

States of all classes stand end to end in the model, class by class: state j of class c is number c m + j.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from estep.core.record import Array
from estep.core.result import Result
from estep.core.rows import count
from estep.data.layout import is_missing
from estep.estimators.inference_methods import errors_told
from estep.estimators.labels import class_names, read_labels
from estep.estimators.rows import Arguments, Rows, Target
from estep.estimators.sequence_methods import rows_of_sequences
from estep.estimators.sequence_methods import sample as sample_rows
from estep.estimators.sequences import appearance_of, layout_of, read_sequences, together_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def read(self: Any, arguments: Arguments, target: Target, *, reset: bool) -> Rows:
    """The rows of all sequences; a known class of a sequence permits its states."""
    if arguments.labels is not None:
        raise ValueError("labels: classes belong to whole sequences; give y, a class for each sequence")
    rows = read_sequences(self, dataclasses.replace(arguments, y=None), target, reset=reset)
    if reset:
        self.__dict__.pop("classes_", None)
        if (names := class_names(arguments.y)) is not None:
            self.classes_ = np.array(names)
    layout = layout_of(together_of(dataclasses.replace(arguments, y=None)), rows.given_count)
    ends = layout.ends
    if reset and len(ends) < self.n_components:
        raise ValueError(
            f"n_components={self.n_components} but X has only {len(ends)} sequences; lower n_components, or bring more (a list "
            "of arrays, sequence= or lengths=)"
        )
    told = read_labels(arguments.y, None, len(ends), self.n_components, self.n_components, self)
    if told is None:
        return rows
    codes = np.empty_like(told)
    codes[layout.appearance] = told
    each = np.repeat(codes, np.diff(ends, prepend=0))
    each = each if rows.kept is None else each[rows.kept]
    block = np.arange(target.k) // self.n_states
    return dataclasses.replace(rows, allowed=(each[:, None] == block) | (each[:, None] < 0))


def class_proba(self: Any, arguments: Arguments) -> Array:
    """p(class | sequence), (s, K)."""
    check_is_fitted(self, "result_")
    rows = rows_of_sequences(self, arguments)
    model, params, last = self.result_.model, self.result_.params, np.asarray(rows.ends) - 1
    resp = np.empty((count(rows.x), model.k))

    def keep(chunk: Any, part: Any) -> None:
        resp[chunk.rows] = part.resp

    rows.data(self.n_jobs).map(lambda chunk: model.explain(params, chunk), keep)
    found = resp[last].reshape(len(last), self.n_components, -1).sum(axis=2)
    return np.asarray(found[appearance_of(rows)])


def predict_proba(self: Any, X: Any, *, sequence: Any = None, lengths: Any = None, time: Any = None) -> Array:
    """``P(class = c | x_1..T)`` of each sequence, (s, K), in the order in which sequences first appear."""
    return class_proba(self, Arguments(X, sequence=sequence, lengths=lengths, time=time))


def predict(self: Any, X: Any, *, sequence: Any = None, lengths: Any = None, time: Any = None) -> NDArray[np.intp]:
    """The most probable class of each sequence, (s,).

    Parameters
    ----------
    X : list of arrays, or array or DataFrame (n, d)
        Rows; NaN marks a missing entry.
    sequence, lengths, time
        As in ``fit``.
    """
    return np.asarray(predict_proba(self, X, sequence=sequence, lengths=lengths, time=time).argmax(axis=1))


def decode(
    self: Any, X: Any, *, sequence: Any = None, lengths: Any = None, time: Any = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The most probable class and path together: classes (s,) and states within the class (n,), rows in the user's order."""
    from estep.estimators.sequence_methods import explained

    arguments = Arguments(X, sequence=sequence, lengths=lengths, time=time)
    rows, m = rows_of_sequences(self, arguments), self.n_states
    path = explained(self, arguments).path
    place = np.arange(rows.n) if rows.place is None else rows.place
    arranged = np.empty(rows.n, dtype=np.intp)
    arranged[place] = path
    first = np.full(len(rows.ends), -1, dtype=np.intp)  # type: ignore[arg-type]
    which = np.searchsorted(np.asarray(rows.ends), place, side="right")
    first[which] = path // m
    return first[appearance_of(rows)], path % m


def sample(self: Any, n_samples: int | None = None, *, lengths: Any = None) -> tuple[Any, NDArray[np.intp]]:
    """Rows of sequences drawn from the mixture, end to end, and the class of each sequence, (s,).

    One sequence of ``n_samples`` rows (1), or sequences of ``lengths``; draws follow ``random_state``.
    """
    rows, states = sample_rows(self, n_samples, lengths=lengths)
    ends = np.cumsum(np.atleast_1d(np.asarray((n_samples or 1) if lengths is None else lengths)))
    return rows, np.asarray(states[ends - 1] // self.n_states)


# --- results class by class ---


def in_order(self: Any, result: Result, y: Any) -> Result:
    """Classes in decreasing weight, states in decreasing share; as they are where the user or a topology orders them."""
    told = y is not None and any(not is_missing(v) and v != -1 for v in np.asarray(y, dtype=object).ravel())
    if told or not isinstance(self.init, str) or self.fixed or self.tied or _by_component(self.prior):
        return result
    structure, params, (blocks, m) = result.model.structure, result.params.structure, (self.n_components, self.n_states)
    share, inner = structure.overall(params).reshape(blocks, m), np.tile(np.arange(m), (blocks, 1))
    alike = self.shared or getattr(result.model.family, "exchangeable", True)
    if structure.topology == "full" and not structure.absorbing and alike:
        share = np.tile(share.sum(axis=0), (blocks, 1)) if self.shared else share
        inner = np.argsort(-share, axis=1, kind="stable")
    outer = np.argsort(-params.startprob.reshape(blocks, m).sum(axis=1), kind="stable")
    order = (outer[:, None] * m + inner[outer]).ravel().astype(np.intp)
    return dataclasses.replace(result, params=result.model.permute(result.params, order))


def _by_component(prior: Any) -> bool:
    return isinstance(prior, Mapping) and any(np.ndim(value) > 0 for value in prior.values())


def by_class(found: dict[str, Any], blocks: int, m: int, shared: bool) -> dict[str, Any]:
    """Fitted attributes with the states of each class on axes of their own."""
    shown, k = dict(found["params_"]), blocks * m
    start, moves = np.asarray(shown["startprob"]).reshape(blocks, m), np.asarray(shown["transmat"])
    weights = start.sum(axis=1)
    inside = np.stack([np.hstack([moves[at, at], moves[at, k:]]) for c in range(blocks) for at in [slice(c * m, (c + 1) * m)]])
    even = np.full((blocks, m), 1.0 / m)
    shown["weights"] = weights
    shown["startprob"] = np.where(weights[:, None] > 0, start / np.where(weights > 0, weights, 1.0)[:, None], even)
    shown["transmat"] = inside
    for name, value in shown.items():
        if name not in ("weights", "startprob", "transmat") and not shared and np.shape(value)[:1] == (k,):
            shown[name] = np.reshape(value, (blocks, m, *np.shape(value)[1:]))
    return {**found, "params_": shown, **{f"{name}_": value for name, value in shown.items() if name.isidentifier()}}


def title(self: Any) -> str:
    """The model in words."""
    structure, family = self.result_.model.structure, self.result_.model.family
    inner = type(getattr(family, "family", family)).__name__
    moves = "" if structure.topology == "full" else f", {structure.topology}"
    same = ", the same in every class" if self.shared else ""
    return (
        f"mixture of {self.n_components} hidden Markov models, {self.n_states} states each, {inner} rows{same}{moves}"
        f"{', with an end' if structure.end else ''}"
    )


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
    """The fit in words and a table: likelihood, criteria, status, classes. With the rows of the fit also their classes.

    ``errors``: what ``standard_errors`` returned, or True to find them now; with them stand intervals of ``level``.
    """
    check_is_fitted(self, "result_")
    from estep.views.layout import Row, facts, table
    from estep.views.table import facts_of, sureness

    names = [str(c) for c in range(self.n_components)]
    rows = [Row("weight", [f"{w:.4f}" for w in self.weights_])]
    if X is not None:
        found = np.bincount(predict(self, X, sequence=sequence, lengths=lengths, time=time), minlength=self.n_components)
        rows.append(Row("sequences (most probable)", [str(int(v)) for v in found]))
    for j in range(self.n_states):
        rows.append(Row(f"state {j}"))
        rows.append(Row("  starts", [f"{p:.4f}" for p in self.startprob_[:, j]]))
        rows += [Row(f"  moves to {i}", [f"{p:.4f}" for p in self.transmat_[:, j, i]]) for i in range(self.n_states)]
    end = sureness(self, errors_told(self, errors, X, {"sequence": sequence, "lengths": lengths, "time": time}), level)
    return "\n".join([title(self), "", *facts(facts_of(self)), "", *table("class", names, rows), *end])


def plot(self: Any) -> Figure:
    """The transition diagram of every class, side by side.

    Returns
    -------
    matplotlib Figure
    """
    check_is_fitted(self, "result_")
    from matplotlib.figure import Figure

    from estep.views.state_diagram import state_diagram

    figure = Figure(figsize=(5.2 * self.n_components, 4.4), layout="constrained")
    for c in range(self.n_components):
        axes = figure.add_subplot(1, self.n_components, c + 1)
        state_diagram(self.startprob_[c], self.transmat_[c], ax=axes)
        axes.set_title(f"class {c}, weight {self.weights_[c]:.2f}")
    return figure
