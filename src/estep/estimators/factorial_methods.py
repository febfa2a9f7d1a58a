"""The methods of factorial hidden Markov models: states come chain by chain, likelihoods in nats.

Each takes the rows as ``fit`` does. Under variational inference log-likelihoods are lower bounds, and paths are those of the
chains one by one.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from estep.core.protocols import Chunk, Explained
from estep.core.record import Array
from estep.core.result import Result
from estep.estimators.forecasts import Forecast
from estep.estimators.inference_methods import errors_told
from estep.estimators.rows import Arguments, Rows, Target
from estep.estimators.sequence_methods import in_users_order, log_densities, rows_of_sequences
from estep.estimators.sequences import read_sequences
from estep.models.factorial import Factorial
from estep.structures.factorial_pass import FactorialLaw, best, filtered
from estep.views.layout import facts, notes
from estep.views.table import facts_of, sureness
from estep.views.words import inner_family

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def is_exact(self: Any) -> bool:
    """Whether the fit went through all combinations."""
    return not isinstance(self.result_.model, Factorial)


def levelled(result: Result) -> Result:
    """A result whose effects, where none is held, have mean zero in every chain but the first: what nothing else fixes."""
    held, family = result.model.constraints, result.params.family
    if not hasattr(family, "effects") or "effects" in {*held.fixed, *held.tied}:
        return result
    family = dataclasses.replace(family, effects=result.model.family.level(family.effects))
    return dataclasses.replace(result, params=dataclasses.replace(result.params, family=family))


def labels_of(y: Any, sizes: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Permitted combinations (n, k) from known states of each chain (n, M), -1 or NaN where unknown."""
    if y is None:
        return None
    if isinstance(y, list | tuple) and y and all(np.ndim(part) == 2 for part in y):
        y = np.concatenate([np.asarray(part, dtype=float) for part in y])
    told = np.asarray(y, dtype=float)
    if told.ndim != 2 or told.shape[1] != len(sizes):
        raise ValueError(f"y has shape {told.shape}, expected (n, {len(sizes)}): the state of each chain, -1 where unknown")
    states = np.where(np.isnan(told), -1.0, told)
    if (states != np.floor(states)).any() or (states < -1).any() or (states >= np.array(sizes)).any():
        raise ValueError(f"y must hold states 0 .. K_m - 1 of chains with {list(sizes)} states, or -1 where unknown")
    all_ = np.stack(np.unravel_index(np.arange(int(np.prod(sizes))), sizes), axis=1)
    return np.asarray(((states[:, None, :] == all_) | (states[:, None, :] < 0)).all(axis=2))


def read(self: Any, arguments: Arguments, target: Target, *, reset: bool) -> Rows:
    """The rows of all sequences; known states of chains permit their combinations."""
    if arguments.labels is not None:
        raise ValueError("labels: known states are those of each chain; give y, (n, M), -1 where unknown")
    labels = labels_of(arguments.y, tuple(self.chains))
    return read_sequences(self, dataclasses.replace(arguments, y=None, labels=labels), target, reset=reset)


def _arguments(self: Any, X: Any, y: Any, weight: Any = None, **row: Any) -> Arguments:
    return Arguments(X, y, weight, **row)


def explained(self: Any, arguments: Arguments) -> tuple[Rows, Explained]:
    """The arranged rows, and what the fit says of each."""
    rows = rows_of_sequences(self, arguments)
    chunk = Chunk(("rows", 0, rows.n), rows.x, allowed=rows.allowed, ends=np.asarray(rows.ends, dtype=np.intp))
    return rows, self.result_.model.explain(self.result_.params, chunk)


def _total(self: Any, arguments: Arguments) -> tuple[float, float]:
    """Log-likelihood of rows, weighted, and their weight."""
    rows, out = explained(self, arguments)
    weight = np.ones(rows.n) if rows.weight is None else rows.weight
    return float(out.log_density @ weight), rows.total


def shares_of(self: Any, resp: Array) -> list[Array]:
    """Probabilities (n, K_m) of each chain's states from what ``explain`` gives."""
    structure = self.result_.model.structure
    if is_exact(self):
        return list(structure.each_chain(resp))
    return [resp[:, own] for own in self.result_.model.family.chains]


def predict(
    self: Any,
    X: Any,
    *,
    method: str = "viterbi",
    y: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> NDArray[np.intp]:
    """State of each chain at each row, (n, M): on the most probable path ("viterbi"), or chain by chain and row by row ("mpm").

    Parameters
    ----------
    X : array or DataFrame (n, d), or list of arrays
        Rows; NaN marks a missing entry.
    method : "viterbi" or "mpm"
        The combination of paths that is most probable as a whole, or the states that are right most often.
    y, sequence, lengths, time
        As in ``fit``.
    """
    if method not in ("viterbi", "mpm"):
        raise ValueError(f"method={method!r} is unknown; choose 'viterbi' (the best paths) or 'mpm' (the best states)")
    rows, out = explained(self, _arguments(self, X, y, sequence=sequence, lengths=lengths, time=time))
    if method == "viterbi":
        states = self.result_.model.structure.states_of(out.path)
    else:
        states = np.stack([share.argmax(axis=1) for share in shares_of(self, out.resp)], axis=1)
    return np.asarray(in_users_order(rows, states))


def predict_proba(
    self: Any, X: Any, *, y: Any = None, sequence: Any = None, lengths: Any = None, time: Any = None
) -> list[Array]:
    """``p(z_mt = a | x_1..T)``, an array (n, K_m) for each chain."""
    rows, out = explained(self, _arguments(self, X, y, sequence=sequence, lengths=lengths, time=time))
    return [in_users_order(rows, share) for share in shares_of(self, out.resp)]


def score_samples(self: Any, X: Any, *, y: Any = None, sequence: Any = None, lengths: Any = None, time: Any = None) -> Array:
    """``log p(x_t | x_<t)``, (n,), in nats; under variational inference each row's part of the bound."""
    rows, out = explained(self, _arguments(self, X, y, sequence=sequence, lengths=lengths, time=time))
    return np.asarray(in_users_order(rows, out.log_density))


def score(
    self: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> float:
    """Mean log-likelihood per observation, in nats."""
    found, weight = _total(self, _arguments(self, X, y, sample_weight, sequence=sequence, lengths=lengths, time=time))
    return found / weight


def bic(
    self: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> float:
    """Bayesian information criterion, ``-2 L + p log n`` with n observations; lower is better."""
    found, weight = _total(self, _arguments(self, X, y, sample_weight, sequence=sequence, lengths=lengths, time=time))
    return -2.0 * found + float(self.result_.n_free) * math.log(weight)


def aic(
    self: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> float:
    """Akaike information criterion, ``-2 L + 2 p``; lower is better."""
    found, _ = _total(self, _arguments(self, X, y, sample_weight, sequence=sequence, lengths=lengths, time=time))
    return -2.0 * found + 2.0 * float(self.result_.n_free)


def decode(
    self: Any, X: Any, *, y: Any = None, sequence: Any = None, lengths: Any = None, time: Any = None
) -> tuple[NDArray[np.intp], Any]:
    """The most probable paths of the chains, (n, M), and their ``log p(x, z)`` (one for each of several sequences, (s,)).

    Exact inference only.
    """
    law, logb, rows = _recursion(self, _arguments(self, X, y, sequence=sequence, lengths=lengths, time=time), "decode")
    path, values = best(law, logb, np.asarray(rows.ends, dtype=np.int64), 0)
    states = self.result_.model.structure.states_of(in_users_order(rows, path))
    return states, values if len(values) > 1 else float(values[0])


def _recursion(self: Any, arguments: Arguments, what: str) -> tuple[FactorialLaw, Any, Any]:
    rows = rows_of_sequences(self, arguments)
    if not is_exact(self):
        raise ValueError(f"{what} goes through all combinations of states, and this fit is variational; use predict")
    law: FactorialLaw = self.result_.model.structure.law(self.result_.params.structure)
    return law, log_densities(self, rows), rows


@dataclasses.dataclass(frozen=True)
class FactorialForecast:
    """Distributions of the states and observations that follow the sequences.

    Attributes
    ----------
    states : array (h, k), or (s, h, k) of several sequences
        Of combinations, the last chain running fastest.
    chains : list of arrays (h, K_m), or (s, h, K_m)
        Of each chain.
    """

    states: Array
    chains: list[Array]
    model: Any
    params: Any

    log_density = Forecast.log_density
    cdf = Forecast.cdf


def forecast(
    self: Any, X: Any, h: int = 1, *, sequence: Any = None, lengths: Any = None, time: Any = None
) -> FactorialForecast:
    """Distributions of the next ``h`` states and observations after each sequence. Exact inference only."""
    if not isinstance(h, int | np.integer) or isinstance(h, bool) or h < 1:
        raise ValueError(f"h must be an integer >= 1 (steps ahead), got {h!r}")
    law, logb, rows = _recursion(self, Arguments(X, sequence=sequence, lengths=lengths, time=time), "forecast")
    ends = np.asarray(rows.ends, dtype=np.int64)
    now, steps = filtered(law, logb, ends, 0)[0][ends - 1], []
    for _ in range(h):
        now = law.ahead(now)
        steps.append(now)
    states = np.stack(steps, axis=1)
    states = states[0] if len(ends) == 1 else states
    chains = [
        c.reshape(*states.shape[:-1], -1) for c in self.result_.model.structure.each_chain(states.reshape(-1, law.start.size))
    ]
    return FactorialForecast(states, chains, self.result_.model, self.result_.params)


def sample(self: Any, n_samples: int | None = None, *, lengths: Any = None) -> tuple[Any, NDArray[np.intp]]:
    """Rows drawn from the fitted model and the states of the chains (n, M): one sequence, or sequences of ``lengths``."""
    from estep.estimators.sequence_methods import sample as drawn

    rows, labels = drawn(self, n_samples, lengths=lengths)
    return rows, self.result_.model.structure.states_of(labels)


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
    """The fit in words: model, likelihood, criteria, status, and the chains. Print it.

    ``errors``: what ``standard_errors`` returned, or True to find them now from the rows of the fit; with them stand
    intervals of ``level``.
    """
    check_is_fitted(self, "result_")
    lines = [title(self), "", *facts(facts_of(self)), ""]
    for m, (start, moves) in enumerate(zip(self.startprobs_, self.transmats_, strict=True)):
        lines.append(f"chain {m}: starts {np.array2string(start, precision=3)}")
        lines += [f"  {a} to  {np.array2string(row, precision=3, suppress_small=True)}" for a, row in enumerate(moves)]
    if not is_exact(self):
        lines += ["", *notes(["The log-likelihood, BIC and AIC are those of a lower bound (variational inference)."])]
    end = sureness(self, errors_told(self, errors, X, {"sequence": sequence, "lengths": lengths, "time": time}), level)
    return "\n".join([*lines, *end])


def plot(
    self: Any, X: Any = None, *, y: Any = None, sequence: Any = None, lengths: Any = None, time: Any = None
) -> Figure:
    """The moves of each chain as heat maps and, with rows, each column over time and the states of each chain.

    Parameters
    ----------
    X : array or DataFrame (n, d), or list of arrays, optional
        Rows; sequences are drawn one after the other.
    y, sequence, lengths, time
        As in ``fit``.

    Returns
    -------
    matplotlib Figure
    """
    check_is_fitted(self, "result_")
    from estep.views.chains import plot_chains
    from estep.views.words import column_names

    if X is None:
        return plot_chains(self.transmats_)
    rows, out = explained(self, _arguments(self, X, y, sequence=sequence, lengths=lengths, time=time))
    means, states = None, self.result_.model.structure.states_of(out.path)
    if self.family is None:
        means = sum(effects[own] for effects, own in zip(self.chain_effects_, states.T, strict=True))
    return plot_chains(self.transmats_, np.asarray(rows.x), shares_of(self, out.resp), means, rows.ends, column_names(self))


def title(self: Any) -> str:
    """The model in words."""
    result = self.result_
    if self.family is None:
        rows = f"normal rows, effects added up, {self.covariance_type} covariance"
    else:
        rows = f"{type(inner_family(result)).__name__} rows, a component for every combination"
    states = " x ".join(str(size) for size in self.chains)
    return f"factorial hidden Markov model, {states} states, {rows}, {'exact' if is_exact(self) else 'variational'}"
