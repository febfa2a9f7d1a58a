"""``partial_fit`` of every estimator: an M-step after each call, from statistics that forget old calls at the right pace.

    s_bar <- s_bar + gamma (s_call - s_bar),   params = M-step(W s_bar)    s per unit weight, W weight of all rows so far
    gamma = (calls + 2)^-0.6 w_call / mean w of a call, at most 1;   or the constant ``step``

The first call fits its rows as ``fit`` does, with its starts, and everything that depends on the data as a whole (categories,
anchors, scales) is learned from it. After ``fit`` the parameters are kept until as many rows have come as it had, or 1000,
because the statistics of its rows are gone.

symbol   variable        shape
s_bar    stream_.stats   a record of statistics per unit weight
W        stream_.weight  a number, of the rows of all calls

Source: Cappe & Moulines (2009), JRSS B 71:593 (stepwise EM).
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import numpy as np

from estep.core.assign import HARD, SOFT
from estep.core.collapse import Collapsed
from estep.core.record import leaves
from estep.core.result import Result, Status, Trace
from estep.core.stream import Stream
from estep.data.memory import Memory
from estep.engine.batches import mixed
from estep.engine.blend import local_part
from estep.engine.visit import NO_POINT, total
from estep.engine.words import collapse_words
from estep.estimators.bounds import bounds_of
from estep.estimators.counts import read_counts
from estep.estimators.rows import Arguments, Rows, Target, read_weight
from estep.estimators.seam import published, read, worth_collapsing
from estep.estimators.settings import is_number
from estep.models.plsa import PlsaParams, PlsaStats

POWER, DELAY = 0.6, 2.0
WAIT = 1000.0
HARD_NAMES = ("cem", "kmeans")


def partial_fit(self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, step: Any = None, **rows: Any) -> Any:
    """Learn from more rows, each seen once: an M-step of statistics in which earlier calls fade.

    The first call fits its rows as ``fit`` does, so bring enough of them for a start (or give ``init``); columns, categories
    and groups are those of that call. After it ``predict`` and all else work at any time.

    Parameters
    ----------
    X, y, sample_weight
        As in ``fit``.
    step : float in (0, 1] or None
        Weight of these rows against all earlier ones. None lets it decrease with the number of calls, as convergence asks for;
        a constant step follows a source that drifts.
    **rows
        The other row keywords of ``fit``.

    Attributes
    ----------
    log_likelihood_ : float
        Progressive: the rows of every call at the parameters before they were learned, in nats (of the first call, at its fit).
    trace_ : array
        The same, call by call.
    converged_ : False, because nothing is iterated; ``stream_`` is what the next call goes on from, and is saved with a model.

    Raises
    ------
    TypeError
        A model without sufficient statistics (logistic and count regressions, gates, Weibull, Laplace): statistics of earlier
        parameters are worth nothing to it.
    ValueError
        Rows that ``fit`` would refuse; rows after which a component collapses (the estimator stays as it was).

    Source: Cappe & Moulines (2009), JRSS B 71:593.
    """
    _refuse_unknown(self, rows)
    _refuse_step(step)
    new = not hasattr(self, "result_")
    if new:
        self.fit(X, y, sample_weight=sample_weight, **rows)
    return _learned(self, Arguments(X, None if _ignores(self) else y, sample_weight, **rows), step, new)


def partial_fit_values(
    self: Any,
    y: Any,
    status: Any = None,
    *,
    upper: Any = None,
    covariates: Any = None,
    sample_weight: Any = None,
    step: float | None = None,
) -> Any:
    """Learn from more values, each seen once: arguments as in ``fit``, ``step`` and the rest as in ``Mixture.partial_fit``."""
    _refuse_step(step)
    new = not hasattr(self, "result_")
    if new:
        self.fit(y, status, upper=upper, covariates=covariates, sample_weight=sample_weight)
    return _learned(self, Arguments(bounds_of(y, status, upper), None, sample_weight, covariates=covariates), step, new)


def _learned(self: Any, arguments: Arguments, step: float | None, new: bool) -> Any:
    model, params = self.result_.model, self.result_.params
    rows = _rows(self, arguments, model)
    data = rows.data(self.n_jobs)
    old = None if new else _stream(self)
    hard = getattr(self, "_hard", getattr(self, "algorithm", "em") in HARD_NAMES)
    seen = total(model, data, params, HARD if hard else SOFT)
    if part := local_part(model, seen.stats):
        raise TypeError(
            f"{type(self).__name__}.partial_fit adds statistics of different calls, but those of {part} hold only at the "
            "parameters where they were counted (it has no sufficient statistics); collect the rows and use fit"
        )
    stream = _joined(model, old, seen, step)
    if not new and _ready(stream):
        params = _maximised(self, model, stream, params)
    _publish(self, _result(self.result_, params, stream, seen, new), stream)
    if hasattr(self, "_streamed"):
        self._streamed(arguments, rows)
    return self


def partial_fit_topics(self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, step: float | None = None) -> Any:
    """Learn the topics' words from more documents, each seen once; their own topics are those that fold-in gives.

    Arguments as in ``fit``; ``step`` and what it leaves as in ``Mixture.partial_fit``. ``document_topics_`` and
    ``topic_weights_`` are of the documents of this call. Words that no topic has yet ask for a prior (smoothing).
    """
    _refuse_step(step)
    new = not hasattr(self, "result_")
    if new:
        self.fit(X, y, sample_weight=sample_weight)
    counts = read_counts(self, X, reset=False)
    weight = read_weight(sample_weight, counts.shape[0])
    old = self.result_
    model = dataclasses.replace(old.model, n_documents=counts.shape[0], times=weight)
    params = old.params if new else PlsaParams(old.params.topics, self._folded(counts))
    seen = total(model, Memory(counts, weight=weight, n_jobs=self.n_jobs), params, SOFT)
    words = dataclasses.replace(seen, stats=PlsaStats(seen.stats.words, None))
    stream = _joined(model, None if new else _stream(self), words, step)
    if not new and _ready(stream):
        params = model.mstep(PlsaStats(stream.stats.words * float(stream.weight), seen.stats.tokens), params)
    result = dataclasses.replace(_result(old, params, stream, seen, new), model=model)
    _publish(self, result, stream)
    self.topic_weights_ = self._weights(result, counts, weight)
    return self


def _publish(self: Any, result: Result, stream: Stream) -> None:
    publish = getattr(self, "published_as", None)
    for name, value in (publish(result) if publish else published(self, result)).items():
        setattr(self, name, value)
    self.stream_ = stream


def _ready(stream: Stream) -> bool:
    """Whether rows enough have come since a fit to move its parameters."""
    return float(stream.weight) >= min(float(stream.before), WAIT)


def _refuse_step(step: Any) -> None:
    if step is not None and not (is_number(step) and 0 < step <= 1):
        raise ValueError(f"step={step!r}: the weight of new rows against earlier ones lies in (0, 1]; None lets it decrease")


def _refuse_unknown(self: Any, rows: dict[str, Any]) -> None:
    known = inspect.signature(self.fit).parameters
    if unknown := sorted(set(rows) - set(known)):
        raise TypeError(f"partial_fit has no {unknown[0]!r}: {type(self).__name__}.fit knows {[*known]}, and step is its own")


def _ignores(self: Any) -> bool:
    """Whether ``y`` says nothing to the estimator."""
    return bool(getattr(self, "_ignores_y", False))


def _rows(self: Any, arguments: Arguments, model: Any) -> Rows:
    own = getattr(self, "_stream_rows", None)
    if own is not None:
        found: Rows = own(arguments)
        return found
    noisy = getattr(self, "noise", False) is not False
    rows = read(self, arguments, Target(model.family, model.k, model.k - int(noisy)), reset=False)
    return rows.distinct() if worth_collapsing(model.family, rows) else rows


def _stream(self: Any) -> Stream:
    """What earlier calls left; after a fit, that there were none."""
    if self.result_.status is Status.STREAM and isinstance(getattr(self, "stream_", None), Stream):
        found: Stream = self.stream_
        return found
    return Stream(None, np.int64(0), np.float64(0.0), np.float64(self.result_.n))


def _joined(model: Any, old: Stream | None, seen: Any, step: float | None) -> Stream:
    """The stream with one more call."""
    n, fresh = float(seen.n), seen.stats * (1.0 / float(seen.n))
    if old is None:
        return Stream(fresh, np.int64(1), np.float64(n), np.float64(0.0))
    calls, weight = int(old.calls) + 1, float(old.weight) + n
    if old.stats is not None and _sizes(old.stats) != _sizes(fresh):
        raise ValueError("stream_ holds statistics of another model; fit anew, or load a file that was not tampered with")
    waiting = weight < min(float(old.before), WAIT)
    decreasing = n / weight if waiting else (calls + DELAY) ** -POWER * n * calls / weight
    gamma = 1.0 if old.stats is None else min(decreasing if step is None else float(step), 1.0)
    return Stream(mixed(model, old.stats, fresh, gamma), np.int64(calls), np.float64(weight), old.before)


def _sizes(stats: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, np.shape(value)) for name, value in leaves(stats)]


def _maximised(self: Any, model: Any, stream: Stream, params: Any) -> Any:
    try:
        new = model.mstep(stream.stats * float(stream.weight), params)
        dying = getattr(model, "dying", None)
        gone = dying(new, stream.stats * float(stream.weight)) if dying else None
    except NO_POINT as error:
        gone = error if isinstance(error, Collapsed) else Collapsed(0, str(error))
    if gone is not None:
        raise ValueError(
            f"{type(self).__name__}.partial_fit: with these rows {collapse_words(gone)}; the estimator stays as it was "
            "(bring more rows a call, a smaller step, or prior='default')"
        )
    return new


def _result(old: Result, params: Any, stream: Stream, seen: Any, new: bool) -> Result:
    going = old.status is Status.STREAM
    trace = np.append(old.trace.objective if going else np.empty(0), float(seen.objective))
    loglik = float(seen.loglik) + (old.loglik if going else 0.0)
    return dataclasses.replace(
        old,
        params=params,
        objective=float(trace.sum()),
        loglik=loglik,
        n=float(stream.weight),
        status=Status.STREAM,
        message=f"{Status.STREAM.value}; {int(stream.calls)} calls, {float(stream.weight):g} rows",
        trace=Trace(trace, np.zeros(len(trace), dtype=bool)),
        left=float("nan"),
        rate=float("nan"),
        certificate="heuristic",
        variant="partial_fit: one M-step a call",
        passes=old.passes + int(not new),
        state=None,
    )
