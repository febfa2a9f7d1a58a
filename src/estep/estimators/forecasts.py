"""Looking ahead with a fitted hidden Markov model: filtering one observation at a time, forecasts, and residuals.

    filter      f_t(k) = p(z_t = k | x_1..t)  in proportion to  p(x_t | k) sum_i f_{t-1}(i) A_ik,     f_0 A = pi
    forecast    p(z_{T+h} | x_1..T) = f_T A^h,      p(x_{T+h} | x_1..T) = sum_k p(z_{T+h} = k | x_1..T) p(x | theta_k)
    residual    u_t = P(X_t <= x_t | the others),   r_t = Phi^{-1}(u_t), standard normal where the model is right

Of a discrete law u_t is an interval [P(X_t < x_t), P(X_t <= x_t)] and r_t is taken at its middle.

Source: Zucchini, MacDonald & Langrock (2016), Hidden Markov Models for Time Series, chapters 5 and 6.
"""

from __future__ import annotations

import dataclasses
from typing import Any, final

import numpy as np

from estep.core.assign import ImpossibleRow, normalise
from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.estimators.rows import Arguments, Rows
from estep.estimators.sequence_methods import in_users_order, law_of, log_densities, rows_of_sequences
from estep.inference.distribution import cdf, has_cdf, is_counted
from estep.models.latent import encoded
from estep.structures.chain_pass import Law, impossible, plan
from estep.structures.chain_paths import filter_states
from estep.views.responsibilities import position_of
from estep.views.words import column_names


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Distributions of the states and observations that follow the sequences.

    Attributes
    ----------
    states : array (h, k), or (s, h, k) of several sequences
        ``p(z_{T+1..T+h} | x_1..T)``; with ``end`` given that the sequence goes on.
    """

    states: Array
    model: Any
    params: Any

    def log_density(self, X: Any) -> Array:
        """Log density of each row of ``X`` (m, d) at every step ahead, (..., h, m), in nats."""
        family = self.model.family
        logb = family.log_density(self.params.family, encoded(family, _rows(X)))
        with np.errstate(divide="ignore"):
            logits = np.log(self.states)[..., None, :] + logb
        return np.asarray(np.logaddexp.reduce(logits, axis=-1))

    def cdf(self, X: Any) -> Array:
        """``P(X_{T+h} <= x)`` for each row of ``X`` (m, 1), (..., h, m); for families of one column that have a cdf."""
        return np.asarray(self.states @ _cdf(self.model.family, self.params.family, _rows(X)).T)

    def sample(self, n: int, random_state: int = 0) -> Array:
        """``n`` draws of what follows the one sequence, (n, h, d); states are drawn step by step, so paths hang together."""
        if self.states.ndim != 2:
            raise ValueError("sample draws what follows one sequence; forecast each sequence of its own")
        rng, (h, k) = np.random.default_rng(random_state), self.states.shape
        moves = self.model.structure.law(self.params.structure).moves.out[0]
        lasting = [np.ones(k)]
        for _ in range(h - 1):
            lasting.append(moves @ lasting[-1])
        labels = np.empty((n, h), dtype=np.intp)
        chances = np.tile(self.states[0], (n, 1))
        for t in range(h):
            below = np.cumsum(chances * lasting[h - 1 - t], axis=1)
            labels[:, t] = np.minimum((rng.random(n)[:, None] * below[:, -1:] >= below).sum(axis=1), k - 1)
            chances = moves[labels[:, t]]
        rows = np.asarray(self.model.family.sample(self.params.family, labels.ravel(), rng))
        return rows.reshape(n, h, -1)


def forecast(self: Any, X: Any, h: int = 1, *, sequence: Any = None, lengths: Any = None, time: Any = None) -> Forecast:
    """Distributions of the next ``h`` states and observations after each sequence.

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
    law, last = law_of(self), np.asarray(rows.ends) - 1
    now, steps = filtered_states(self, rows)[last], []
    for _ in range(h):
        now = _shared(now @ law.moves.out[0])
        steps.append(now)
    states = np.stack(steps, axis=1)
    return Forecast(states[0] if len(last) == 1 else states, self.result_.model, self.result_.params)


def one_row(x: Any, columns: int) -> Array:
    """One observation as a matrix of one row, (1, d); raises ValueError where it is no row of ``columns`` numbers."""
    try:
        row = np.atleast_1d(np.asarray(x, dtype=float))
    except (TypeError, ValueError):
        raise ValueError(f"x must be a row of numbers, with NaN where missing (codes for categories), got {x!r}") from None
    if row.shape != (columns,):
        raise ValueError(f"x has shape {row.shape}, expected ({columns},): one observation, a number for each column")
    return np.asarray(row[None])


@final
class Filter:
    """The state of a chain, updated one observation at a time; see ``estimator.filter``.

    Attributes
    ----------
    states : array (k,)
        ``p(z_t | x_1..t)`` after the last update; before the first, the start distribution.
    log_density : float
        ``log p(x_t | x_<t)`` of the last observation, in nats.
    """

    def __init__(self, law: Law, family: Any, params: Any, states: Array | None, columns: int) -> None:
        self._law, self._family, self._params = law, family, params
        self._fresh, self._seen, self._columns = states is None, 0, columns
        self.states: Array = law.start.copy() if states is None else states
        self.log_density = 0.0

    def update(self, x: Any) -> Array:
        """Take in one observation ``x``, (d,) or a number, NaN where missing; returns the new ``states`` (k,)."""
        logb = self._family.log_density(self._params, encoded(self._family, _rows(one_row(x, self._columns))))
        with np.errstate(divide="ignore"):
            ahead = np.log(self.states if self._fresh else self.states @ self._law.moves.out[0])
        resp, lse = normalise(logb + ahead)
        if not np.isfinite(lse[0]):
            raise impossible(self._seen, bool(np.isneginf(logb).all())) if not np.isnan(lse[0]) else ImpossibleRow(self._seen)
        self.states, self.log_density, self._fresh, self._seen = resp[0], float(lse[0]), False, self._seen + 1
        return self.states


def start_filter(self: Any, X: Any = None) -> Filter:
    """A ``Filter`` that has seen the rows of ``X`` (one sequence), or nothing yet; feed it with ``.update(x)``."""
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(self, "result_")
    states = None if X is None else filtered_states(self, rows_of_sequences(self, Arguments(X)))[-1]
    return Filter(law_of(self), self.result_.model.family, self.result_.params.family, states, self.n_features_in_)


def pseudo_residuals(
    self: Any,
    X: Any,
    *,
    kind: str = "ordinary",
    column: Any = 0,
    sequence: Any = None,
    lengths: Any = None,
    time: Any = None,
) -> Array:
    """Normal pseudo-residuals of each row, (n,): standard normal where the model is right; NaN at missing values.

    Parameters
    ----------
    X : array or DataFrame (n, d), or list of arrays
        Rows.
    kind : "ordinary" or "forecast"
        Given all other rows of the sequence, or those before.
    column : name or position
        Of a family that has a distribution function along it.
    sequence, lengths, time
        As in ``fit``.
    """
    rows = rows_of_sequences(self, Arguments(X, sequence=sequence, lengths=lengths, time=time))
    return np.asarray(in_users_order(rows, arranged_residuals(self, rows, kind, position_of(column, column_names(self)))))


def arranged_residuals(self: Any, rows: Rows, kind: str, column: int) -> Array:
    """Pseudo-residuals of arranged rows along a column, (n,)."""
    if kind not in ("ordinary", "forecast"):
        raise ValueError(
            f"kind={kind!r} is unknown; choose 'ordinary' (given all other rows) or 'forecast' (given those before)"
        )
    from scipy.special import ndtri

    family, params, d = self.result_.model.family, self.result_.params.family, rows.d
    if not has_cdf(family, column, d):
        raise ValueError(
            f"{type(family).__name__} has no distribution function along column {column}, so there are no pseudo-residuals"
        )
    weights = _without_own(self, rows) if kind == "ordinary" else _ahead(self, rows)
    x = np.asarray(rows.x, dtype=float)[:, column]
    share = (weights * cdf(family, params, x, column, d)).sum(axis=1)
    if is_counted(family, column):
        below = np.where((x >= 1)[:, None], cdf(family, params, np.maximum(x - 1.0, 0.0), column, d), 0.0)
        share = 0.5 * (share + (weights * below).sum(axis=1))
    return np.where(np.isnan(x), np.nan, ndtri(share))


def filtered_states(self: Any, rows: Rows) -> Array:
    """``p(z_t | x_1..t)`` of arranged rows, (n, k)."""
    law, ends = law_of(self), np.asarray(rows.ends, dtype=np.int64)
    groups = plan(law.start.size, ends, np.ones(len(ends)))
    return filter_states(law, log_densities(self, rows), groups, 0, rows.n)


def _ahead(self: Any, rows: Rows) -> Array:
    """``p(z_t | x_<t)``, (n, k), given that the sequence goes on."""
    model, params = self.result_.model, self.result_.params
    found: Array = model.structure.ahead(params.structure, log_densities(self, rows), _chunk(rows))
    return found


def _chunk(rows: Rows) -> Chunk:
    """Arranged rows as one chunk, a weight of one each."""
    return Chunk(("rows", 0, rows.n), rows.x, ends=np.asarray(rows.ends, dtype=np.intp))


def _without_own(self: Any, rows: Rows) -> Array:
    """``p(z_t | all other rows)``, (n, k): the posterior over the row's own density, normalised."""
    model, params = self.result_.model, self.result_.params
    resp = model.structure.explain(params.structure, log_densities(self, rows), _chunk(rows)).resp
    with np.errstate(divide="ignore", invalid="ignore"):
        logits = np.log(resp) - log_densities(self, rows)(slice(0, rows.n))
    return normalise(np.where(resp > 0, logits, -np.inf))[0]


def _shared(chances: Array) -> Array:
    """Rows that sum to one, in proportion."""
    total = chances.sum(axis=-1, keepdims=True)
    return np.asarray(chances / np.where(total > 0, total, 1.0))


def _rows(X: Any) -> Array:
    x = np.asarray(X, dtype=float)
    return x[:, None] if x.ndim == 1 else x


def _cdf(family: Any, params: Any, x: Array) -> Array:
    """``P(X <= x | k)``, (n, k); raises ValueError where the family has none."""
    if x.shape[1] != 1:
        raise ValueError(f"X has {x.shape[1]} columns; distribution functions are of one column")
    if not has_cdf(family, 0, 1):
        raise ValueError(f"{type(family).__name__} has no distribution function (a method cdf(params, x))")
    return cdf(family, params, x[:, 0], 0, 1)
