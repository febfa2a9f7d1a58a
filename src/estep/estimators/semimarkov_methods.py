"""The methods of hidden semi-Markov models that differ from those of ``sequence_methods.py``: paths, forecasts, filtering.

forecast   p(z_{T+h} | x_1..T): the forward pass over h more rows that say nothing
filter     g_t(j, d) = p(z_t = j, in it for d rows | x_1..t);   g_{t+1}(j, d + 1) in proportion to
           g_t(j, d) S_j(d + 1) / S_j(d) p(x_{t+1} | j),   what ends moves to g_{t+1}(i, 1)
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from estep.core.assign import normalise
from estep.core.record import Array
from estep.estimators.forecasts import Forecast, _rows, one_row
from estep.estimators.rows import Arguments, Rows
from estep.estimators.sequence_methods import check_count, in_users_order, log_densities, refuse_several, rows_of_sequences
from estep.models.latent import encoded
from estep.structures.chain_pass import impossible
from estep.structures.semimarkov_pass import Logged, SegmentLaw, best, best_several, draw, filtered, joint, sequences_of
from estep.views.words import inner_family

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def law_of(self: Any, ends: Any) -> SegmentLaw:
    """The fitted chain as the recursions read it, for sequences that end at ``ends``."""
    law: SegmentLaw = self.result_.model.structure.law(self.result_.params.structure, np.asarray(ends, dtype=np.int64))
    return law


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
    """The most probable path and its ``log p(x, z)``; with ``count`` above 1 so many of them, as ``HMM.decode``.

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
    if count > 1:
        refuse_several(count, rows)
        paths, several = best_several(law_of(self, rows.ends), log_densities(self, rows), rows.n, int(count))
        return (paths if rows.place is None else paths[:, rows.place]), several
    path, values = _best(self, rows)
    return in_users_order(rows, path), values if len(values) > 1 else float(values[0])


def _best(self: Any, rows: Rows) -> tuple[NDArray[np.intp], Array]:
    ends = np.asarray(rows.ends, dtype=np.int64)
    return best(law_of(self, ends), log_densities(self, rows), ends, 0)


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
    ends, values = np.asarray(rows.ends, dtype=np.int64), _best(self, rows)[1]
    weight = np.ones(len(ends)) if rows.weight is None else rows.weight[ends - 1]
    return -2.0 * float(values @ weight) + float(self.result_.n_free) * math.log(rows.total)


def duration_table(self: Any) -> Array:
    """Probabilities that each state lasts 1, 2, ... rows, (k, D): to the longest duration, or the 99.9 % point.

    States that are never left have rows of zeros.
    """
    check_is_fitted(self, "result_")
    structure, params = self.result_.model.structure, self.result_.params.structure
    law, last = structure.durations, structure.durations.last
    size = last or 16
    shares, tails = law.tables(params.duration, size)
    while last is None and np.exp(tails[:, -1]).max() > 1e-3 and size < structure.rows:
        size *= 2
        shares, tails = law.tables(params.duration, size)
    return np.asarray(np.where(structure.masks(len(shares))[2][:, None], 0.0, np.exp(shares)))


@dataclasses.dataclass(frozen=True)
class SemiMarkovForecast:
    """Distributions of the states and observations that follow the sequences.

    Attributes
    ----------
    states : array (h, k), or (s, h, k) of several sequences
        ``p(z_{T+1..T+h} | x_1..T)``.
    """

    states: Array
    model: Any
    params: Any
    law: SegmentLaw
    seen: Logged | None

    log_density = Forecast.log_density
    cdf = Forecast.cdf

    def sample(self, n: int, random_state: int = 0) -> Array:
        """``n`` draws of what follows the one sequence, (n, h, d); whole paths are drawn, so that rows hang together."""
        if self.seen is None:
            raise ValueError("sample draws what follows one sequence; forecast each sequence of its own")
        rng, h, length = np.random.default_rng(random_state), self.states.shape[0], self.seen.rows.shape[1]
        uniforms = rng.random((n, length))
        labels = np.array([draw(self.law, [self.seen], own)[-h:] for own in uniforms])
        rows = np.asarray(self.model.family.sample(self.params.family, labels.ravel(), rng))
        return rows.reshape(n, h, -1)


def forecast(
    self: Any, X: Any, h: int = 1, *, sequence: Any = None, lengths: Any = None, time: Any = None
) -> SemiMarkovForecast:
    """Distributions of the next ``h`` states and observations after each sequence, exact.

    Parameters
    ----------
    X : array or DataFrame (n, d), or list of arrays
        The rows so far; NaN marks a missing entry.
    h : int
        Steps ahead.
    sequence, lengths, time
        As in ``fit``.
    """
    if not isinstance(h, int | np.integer) or isinstance(h, bool) or h < 1:
        raise ValueError(f"h must be an integer >= 1 (steps ahead), got {h!r}")
    rows = rows_of_sequences(self, Arguments(X, sequence=sequence, lengths=lengths, time=time))
    ends = np.asarray(rows.ends, dtype=np.int64)
    logb = log_densities(self, rows)(slice(0, rows.n))
    parts = [np.vstack([logb[own], np.zeros((h, logb.shape[1]))]) for own in sequences_of(ends)]
    longer = np.cumsum([len(part) for part in parts]).astype(np.int64)
    law, columns = dataclasses.replace(law_of(self, longer), cut=True), np.concatenate(parts)
    states = filtered(law, lambda which: columns[which], longer, 0)
    ahead = np.array([states[end - h : end] for end in longer])
    seen = joint(law, parts[0].T, 0) if len(parts) == 1 else None
    return SemiMarkovForecast(ahead[0] if seen is not None else ahead, self.result_.model, self.result_.params, law, seen)


@final
class SemiMarkovFilter:
    """The state of a semi-Markov chain, updated one observation at a time; see ``estimator.filter``.

    Attributes
    ----------
    states : array (k,)
        ``p(z_t | x_1..t)`` after the last update; before the first, the start distribution.
    elapsed : array (k, D)
        ``p(z_t = j, in it for d rows | x_1..t)``; the first column where states are never left.
    log_density : float
        ``log p(x_t | x_<t)`` of the last observation, in nats.
    """

    def __init__(self, model: Any, params: Any, columns: int) -> None:
        self._model, self._params, self._seen, self._columns = model, params, 0, columns
        self._grow(16)
        self.elapsed: Array = np.zeros((model.k, 1))
        self.states: Array = params.structure.startprob.copy()
        self.log_density = 0.0

    def _grow(self, size: int) -> None:
        """Chances of ending and of going on after each duration, up to ``size``."""
        law = self._model.structure.law(self._params.structure, np.array([size], dtype=np.int64))
        last = np.hstack([law.tails[:, 1:], np.full((self._model.k, 1), -np.inf)])
        with np.errstate(invalid="ignore"):
            ratio = np.where(np.isneginf(law.tails), 0.0, np.exp(np.stack([law.shares, last]) - law.tails))
        self._law, (self._ending, self._going) = law, ratio
        self._size = law.tails.shape[1]

    def update(self, x: Any) -> Array:
        """Take in one observation ``x``, (d,) or a number, NaN where missing; returns the new ``states`` (k,)."""
        family, row = self._model.family, _rows(one_row(x, self._columns))
        logb = family.log_density(self._params.family, encoded(family, row))[0]
        if self._seen + 1 >= self._size and self._model.structure.durations.last is None:
            self._grow(2 * self._size)
        ahead = self._ahead()
        with np.errstate(divide="ignore"):
            resp, lse = normalise((np.log(ahead) + logb[:, None]).reshape(1, -1))
        if not np.isfinite(lse[0]):
            raise impossible(self._seen, bool(np.isneginf(logb).all()))
        self.elapsed, self.log_density, self._seen = resp.reshape(ahead.shape), float(lse[0]), self._seen + 1
        self.states = np.asarray(self.elapsed.sum(axis=1))
        return self.states

    def _ahead(self) -> Array:
        """``elapsed`` one row on, before the row is seen."""
        law, now = self._law, self.elapsed
        if self._seen == 0:
            return np.asarray(law.start[:, None])
        width = min(now.shape[1] + 1, self._size)
        ahead = np.zeros((law.k, width))
        ending = np.where(law.lasting[:, None], 0.0, self._ending[:, : now.shape[1]])
        going = np.where(law.lasting[:, None], 0.0, self._going[:, : width - 1])
        ahead[:, 0] = (now * ending).sum(axis=1) @ law.moves + np.where(law.lasting, now[:, 0], 0.0)
        ahead[:, 1:] = now[:, : width - 1] * going
        return ahead


def start_filter(self: Any, X: Any = None) -> SemiMarkovFilter:
    """A ``SemiMarkovFilter`` that has seen the rows of ``X`` (one sequence), or nothing yet; feed it with ``.update(x)``."""
    check_is_fitted(self, "result_")
    found = SemiMarkovFilter(self.result_.model, self.result_.params, self.n_features_in_)
    for row in () if X is None else _rows(X):
        found.update(row)
    return found


def plot_durations(self: Any) -> Figure:
    """The probability that each state lasts 1, 2, ... rows, a panel for each state."""
    from estep.views.durations import draw_durations

    return draw_durations(duration_table(self))


def title(self: Any) -> str:
    """The model in words."""
    result, structure = self.result_, self.result_.model.structure
    k, family = result.model.k, inner_family(result)
    shape = f" ({family.covariance_type})" if hasattr(family, "covariance_type") else ""
    rows = f"{type(family).__name__} rows{shape}"
    moves = "" if structure.topology == "full" else f", {structure.topology}"
    lasting = type(structure.duration).__name__
    most = f" of at most {structure.durations.last} rows" if structure.durations.last else ""
    return f"hidden semi-Markov model, {k} state{'s' if k != 1 else ''}, {rows}, {lasting} durations{most}{moves}"
