"""The methods that every hidden Markov model has, as plain functions of the estimator.

Each takes the rows as ``fit`` does: X a matrix or table (one sequence, unless ``sequence``, ``lengths`` or ``time`` say more),
or a list of arrays. What is per row comes back in the user's order, all sequences end to end. Likelihoods are in nats.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from estep.core.assign import SOFT
from estep.core.protocols import Chunk, Explained
from estep.core.record import Array
from estep.core.rows import take
from estep.estimators import methods
from estep.estimators.fitting import seed_of
from estep.estimators.rows import Arguments, Rows, Target
from estep.estimators.seam import read
from estep.inference.resample import drawn_sequences
from estep.models.latent import encoded, forbid
from estep.structures.chain_pass import Law, plan
from estep.structures.chain_paths import best, best_several, path_values
from estep.views.words import inner_family


def rows_of_sequences(self: Any, arguments: Arguments) -> Rows:
    """The user's rows, sequence by sequence."""
    check_is_fitted(self, "result_")
    model = self.result_.model
    return read(self, arguments, Target(model.family, model.k, model.k), reset=False)


def explained(self: Any, arguments: Arguments) -> Explained:
    """Every row of the user's, in the user's order: log p(x_t | x_<t), p(z_t | x) and the best path."""
    rows, out = methods.explain(self, arguments)
    return out if rows.place is None else Explained(out.log_density[rows.place], out.resp[rows.place], out.path[rows.place])


def log_densities(self: Any, rows: Rows) -> Callable[[slice], Array]:
    """Log densities (n, k) of rows under every state, -inf where a label forbids one."""
    model, params = self.result_.model, self.result_.params

    def logb(part: slice) -> Array:
        found: Array = model.family.log_density(params.family, encoded(model.family, take(rows.x, part)))
        return found if rows.allowed is None else forbid(found, rows.allowed[part])

    return logb


def law_of(self: Any) -> Law:
    """The fitted chain as the recursions read it."""
    law: Law = self.result_.model.structure.law(self.result_.params.structure)
    return law


def in_users_order(rows: Rows, values: Any) -> Any:
    """Values of arranged rows as the user's."""
    return values if rows.place is None else values[rows.place]


def predict(
    self: Any,
    X: Any,
    *,
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
    method : "viterbi" or "mpm"
        The path that is most probable as a whole, or the states that are right most often (marginal posterior modes).
    y, labels, sequence, lengths, time
        As in ``fit``.
    """
    if method not in ("viterbi", "mpm"):
        raise ValueError(
            f"method={method!r} is unknown; choose 'viterbi' (the best path) or 'mpm' (the best state of each row)"
        )
    out = explained(self, Arguments(X, y, None, labels, None, sequence=sequence, lengths=lengths, time=time))
    return out.path if method == "viterbi" else np.asarray(out.resp.argmax(axis=1))


def predict_proba(
    self: Any, X: Any, *, y: Any = None, labels: Any = None, sequence: Any = None, lengths: Any = None, time: Any = None
) -> Array:
    """``p(z_t = k | x_1..T)``, (n, k): probabilities of states given the whole sequence."""
    return explained(self, Arguments(X, y, None, labels, None, sequence=sequence, lengths=lengths, time=time)).resp


def score_samples(
    self: Any, X: Any, *, y: Any = None, labels: Any = None, sequence: Any = None, lengths: Any = None, time: Any = None
) -> Array:
    """``log p(x_t | x_<t)``, (n,), in nats; with ``end`` the last row's includes the ending. Sums to the log-likelihood.

    With ``time``, steps without a row are missing rows: their term is 0.
    """
    return explained(self, Arguments(X, y, None, labels, None, sequence=sequence, lengths=lengths, time=time)).log_density


def score(
    self: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> float:
    """Mean log-likelihood per observation, in nats (hmmlearn's ``score`` is the total)."""
    arguments = Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time)
    return methods.score_of(self, arguments)


def bic(
    self: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> float:
    """Bayesian information criterion, ``-2 L + p log n`` with n observations; lower is better."""
    return methods.bic_of(self, Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time))


def aic(
    self: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> float:
    """Akaike information criterion, ``-2 L + 2 p``; lower is better."""
    return methods.aic_of(self, Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time))


def icl(
    self: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> float:
    """Integrated completed likelihood at the best paths z, ``-2 log p(x, z) + p log n``; lower is better."""
    arguments = Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time)
    rows = rows_of_sequences(self, arguments)
    law, logb, ends = law_of(self), log_densities(self, rows), np.asarray(rows.ends, dtype=np.int64)
    groups = plan(law.start.size, ends, np.ones(len(ends)))
    values = path_values(law, logb, groups, best(law, logb, groups, 0, rows.n))
    weight = np.ones(len(ends)) if rows.weight is None else rows.weight[ends - 1]
    return -2.0 * float(values @ weight) + float(self.result_.n_free) * math.log(rows.total)


def icl_entropy(
    self: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> float:
    """Integrated completed likelihood with the entropy of the paths, ``bic + 2 H``; lower is better.

    ``H = log p(x) - E[log p(x, z) | x]`` over whole paths z, which is less than the sum of the rows' entropies.
    """
    arguments = Arguments(X, y, sample_weight, labels, None, sequence=sequence, lengths=lengths, time=time)
    rows = rows_of_sequences(self, arguments)
    model, params = self.result_.model, self.result_.params

    def parts(chunk: Chunk) -> Array:
        logb = log_densities(self, dataclasses.replace(rows, x=chunk.x, allowed=chunk.allowed))
        seen: list[float] = []

        def collect(part: slice, resp: Array) -> None:
            with np.errstate(invalid="ignore"):
                seen.append(float(np.where(resp > 0, resp * logb(part), 0.0).sum()))

        counts, _, loglik = model.structure.infer(params.structure, logb, chunk, SOFT, collect)
        return np.array([loglik, model.structure.q(params.structure, counts) + sum(seen)])

    loglik, complete = rows.data(self.n_jobs).sum(parts)
    return float(-2.0 * loglik + self.result_.n_free * math.log(rows.total) + 2.0 * (loglik - complete))


def title(self: Any) -> str:
    """The model in words."""
    result, structure = self.result_, self.result_.model.structure
    k, family = result.model.k, inner_family(result)
    shape = f" ({family.covariance_type})" if hasattr(family, "covariance_type") else ""
    rows = f"{type(family).__name__} rows{shape}"
    moves = "" if structure.topology == "full" else f", {structure.topology}"
    return f"hidden Markov model, {k} state{'s' if k != 1 else ''}, {rows}{moves}{', with an end' if structure.end else ''}"


def decode(
    self: Any,
    X: Any,
    *,
    count: int = 1,
    y: Any = None,
    labels: Any = None,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> tuple[NDArray[np.intp], Any]:
    """The most probable path and its ``log p(x, z)`` (Viterbi).

    Parameters
    ----------
    X : array or DataFrame (n, d), or list of arrays
        Rows; NaN marks a missing entry.
    count : int
        How many paths of one sequence, the best first.
    y, labels, sequence, lengths, time
        As in ``fit``.

    Returns
    -------
    path (n,) and log probability: of several sequences all paths end to end and one value each, (s,); with ``count`` above 1
    paths (count, n) and values (count,), -inf where there are no more.
    """
    check_count(count)
    rows = rows_of_sequences(self, Arguments(X, y, None, labels, None, sequence=sequence, lengths=lengths, time=time))
    law, logb, ends = law_of(self), log_densities(self, rows), np.asarray(rows.ends, dtype=np.int64)
    if count > 1:
        refuse_several(count, rows)
        paths, values = best_several(law, logb, slice(0, rows.n), int(count))
        return (paths if rows.place is None else paths[:, rows.place]), values
    groups = plan(law.start.size, ends, np.ones(len(ends)))
    path = best(law, logb, groups, 0, rows.n)
    values = path_values(law, logb, groups, path)
    return in_users_order(rows, path), values if len(ends) > 1 else float(values[0])


def check_count(count: Any) -> None:
    """Raise ValueError unless ``count`` is a number of paths."""
    if not isinstance(count, int | np.integer) or count < 1:
        raise ValueError(f"count must be an integer >= 1 (how many paths), got {count!r}")


def refuse_several(count: int, rows: Rows) -> None:
    """Raise ValueError where ``count`` paths are asked of more than one sequence."""
    if (held := len(np.asarray(rows.ends))) > 1:
        raise ValueError(f"count={count}: several best paths are of one sequence, and X holds {held}; decode each")


def sample(self: Any, n_samples: int | None = None, *, lengths: Any = None, sequences: int | None = None) -> tuple[Any, Any]:
    """Rows drawn from the fitted model and their states; draws follow ``random_state``.

    Parameters
    ----------
    n_samples : int, optional
        One sequence of so many rows. Without any argument one row, or, with ``end``, one sequence that ends where it ends.
    lengths : ints (s,), optional
        Sequences of these lengths, end to end.
    sequences : int, optional
        So many sequences whose lengths are drawn too: of a model with ``end``.

    Returns
    -------
    rows (n, d) and states (n,), end to end; with ``sequences`` two lists, an array for each sequence, as ``fit`` takes them.

    Raises
    ------
    ValueError
        Where more than one argument is given, or lengths should be drawn of a model that ends nowhere.
    """
    check_is_fitted(self, "result_")
    if sum(v is not None for v in (n_samples, lengths, sequences)) > 1:
        raise ValueError("give one of n_samples (rows of one sequence), lengths (of several) and sequences (lengths are drawn)")
    if sequences is not None and (not isinstance(sequences, int | np.integer) or sequences < 1):
        raise ValueError(f"sequences must be an integer >= 1, got {sequences!r}")
    result, rng = self.result_, np.random.default_rng(seed_of(self.random_state))
    ending = bool(getattr(result.model.structure, "end", False))
    if sequences is not None or (ending and n_samples is None and lengths is None):
        rows, labels, ends = drawn_sequences(result.model, result.params, int(sequences or 1), rng)
        return (rows, labels) if sequences is None else (np.split(rows, ends[:-1]), np.split(labels, ends[:-1]))
    told = np.atleast_1d(np.asarray((1 if n_samples is None else n_samples) if lengths is None else lengths))
    if told.ndim != 1 or told.dtype.kind not in "iu" or (told < 1).any():
        name = "n_samples" if lengths is None else "lengths"
        raise ValueError(f"{name} must be whole numbers >= 1, got {n_samples if lengths is None else lengths!r}")
    ends = np.cumsum(told).astype(np.intp)
    found: tuple[Any, Any] = result.model.sample(result.params, int(ends[-1]), rng, ends=ends)
    return found
