"""The methods that every mixture estimator has, as plain functions of the estimator: an estimator lists those it offers.

Each takes the row keywords of ``fit`` (``y`` and ``labels`` for partial labels, ``by`` for groups, ``sample_weight``).
Likelihoods are in nats.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from estep.core.protocols import Explained
from estep.core.record import Array
from estep.core.rows import is_elsewhere
from estep.estimators.rows import Arguments, Rows, Target, read_groups
from estep.estimators.seam import read, worth_collapsing
from estep.estimators.settings import require_integer


def explain(self: Any, arguments: Arguments) -> tuple[Rows, Explained]:
    """Rows and, for each, log density, class probabilities and most probable class."""
    check_is_fitted(self, "result_")
    model, params = self.result_.model, self.result_.params
    rows = read(self, arguments, Target(model.family, model.k, model.k - int(_noisy(self))), reset=False)
    few = rows.distinct() if worth_collapsing(model.family, rows) and not is_elsewhere(rows.x) else rows
    out = Explained(np.empty(few.n), np.empty((few.n, model.k)), np.empty(few.n, dtype=np.intp))

    def keep(chunk: Any, part: Explained) -> None:
        out.log_density[chunk.rows] = part.log_density
        out.resp[chunk.rows] = part.resp
        out.path[chunk.rows] = part.path

    few.data(self.n_jobs).map(lambda chunk: model.explain(params, chunk), keep)
    if few.member is None:
        return rows, out
    return rows, Explained(out.log_density[few.member], out.resp[few.member], out.path[few.member])


def predict(self: Any, X: Any, *, y: Any = None, labels: Any = None, by: Any = None) -> NDArray[np.intp]:
    """Most probable component of each row, (n,); a noise component is -1.

    Parameters
    ----------
    X : array or DataFrame (n, d)
        Rows; NaN marks a missing entry.
    y, labels, by : optional
        Partial labels and groups as in ``fit``.
    """
    path = explain(self, Arguments(X, y, None, labels, by))[1].path
    return np.where(path == self.result_.model.k - 1, -1, path) if _noisy(self) else path


def predict_proba(self: Any, X: Any, *, y: Any = None, labels: Any = None, by: Any = None) -> Array:
    """Class probabilities (n, k); a noise component is the last column.

    Parameters
    ----------
    X : array or DataFrame (n, d)
        Rows; NaN marks a missing entry.
    y, labels, by : optional
        Partial labels and groups as in ``fit``: a labelled row has probability one on its class.
    """
    return explain(self, Arguments(X, y, None, labels, by))[1].resp


def score_samples(self: Any, X: Any, *, y: Any = None, labels: Any = None, by: Any = None) -> Array:
    """Log density of each row, (n,), in nats; with a label, of the row and its class; with groups, within its group."""
    return explain(self, Arguments(X, y, None, labels, by))[1].log_density


def score(self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None) -> float:
    """Mean log-likelihood per unit weight, in nats."""
    return score_of(self, Arguments(X, y, sample_weight, labels, by))


def bic(self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None) -> float:
    """Bayesian information criterion, ``-2 L + p log n``; lower is better (mclust prints its negative)."""
    return bic_of(self, Arguments(X, y, sample_weight, labels, by))


def aic(self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None) -> float:
    """Akaike information criterion, ``-2 L + 2 p``; lower is better."""
    return aic_of(self, Arguments(X, y, sample_weight, labels, by))


def icl(self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None) -> float:
    """Integrated completed likelihood at the most probable classes, ``bic - 2 sum_i log max_k r_ik``; lower is better.

    As in mclust up to the sign. Source: Biernacki, Celeux & Govaert (2000), IEEE TPAMI 22:719.
    """
    return icl_of(self, Arguments(X, y, sample_weight, labels, by))


def icl_entropy(self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None) -> float:
    """Integrated completed likelihood with the full entropy, ``bic - 2 sum_i sum_k r_ik log r_ik``; lower is better."""
    return icl_entropy_of(self, Arguments(X, y, sample_weight, labels, by))


def sample(self: Any, n_samples: int = 1, *, by: Any = None) -> tuple[Any, NDArray[np.intp]]:
    """``n_samples`` rows drawn from the fitted model and their components; draws follow ``random_state``.

    ``by``, after a fit with groups: the group of each row (n_samples,), or one for all of them.
    """
    check_is_fitted(self, "result_")
    require_integer(n_samples, "n_samples")
    from sklearn.utils import check_random_state

    groups = np.full(n_samples, by) if by is not None and np.ndim(by) == 0 else by
    given = read_groups(self, groups, n_samples, None, reset=False)
    seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
    where = {} if given is None else {"given": given}
    rows, labels = self.result_.model.sample(self.result_.params, n_samples, np.random.default_rng(seed), **where)
    return rows, np.where(labels == self.result_.model.k - 1, -1, labels) if _noisy(self) else labels


def fit_predict(
    self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None
) -> NDArray[np.intp]:
    """Fit, then the most probable component of each row, (n,); with weights of 0 all rows are predicted."""
    row = {} if by is None else {"by": by}
    self.fit(X, y, sample_weight=sample_weight, labels=labels, **row)
    return np.asarray(self.predict(X, y=y, labels=labels, **row))


def summary(self: Any, X: Any = None, y: Any = None, *, errors: Any = None, level: float = 0.95, **row: Any) -> str:
    """The fit in words and a table: model, likelihood, criteria, status, components. Print it.

    Parameters
    ----------
    X, y, **row
        The rows of the fit, with what ``score`` takes beside them (``by``, ``labels``, ...): add what only rows tell (ICL,
        missing entries).
    errors : Errors, str, True or None
        Adds standard errors and intervals: what ``standard_errors`` returned, or its ``method``, or True, to find them from X.
    level : float
        Of the intervals.
    """
    check_is_fitted(self, "result_")
    return summary_of(self, X, row if y is None else {"y": y, **row}, errors, level)


def summary_of(self: Any, X: Any, row: dict[str, Any], errors: Any, level: float) -> str:
    """``summary`` of all that a user gave for the rows."""
    from estep.estimators.inference_methods import errors_told
    from estep.inference.words import keywords_of
    from estep.views.table import summary_text

    taken = keywords_of(type(self).score_samples, "self")[1:]
    if strange := [name for name in row if name not in taken]:
        raise TypeError(f"summary takes no {strange[0]!r}; it takes X, {', '.join(taken)}, errors, level")
    if row and X is None:
        raise ValueError(f"summary: {next(iter(row))} is given without X; give the rows of the fit too")
    return summary_text(self, X, errors=errors_told(self, errors, X, row), level=level, **row)


def save(self: Any, path: Any, classes: Any = ()) -> None:
    """Write the fitted estimator to ``path`` (safetensors with a JSON header); ``estep.load(path)`` reads it.

    Parameters
    ----------
    path : str or Path
        The file; it is replaced whole or not at all.
    classes : iterable of classes
        Families and records of your own (dataclasses) that the fit holds; give them to ``load`` too.
    """
    check_is_fitted(self, "result_")
    from estep.estimators.files import save_estimator

    save_estimator(self, path, classes)


def tags(tags: Any, family: Any = None) -> Any:
    """scikit-learn tags: NaN is welcome; the rest as ``family`` reads its rows."""
    tags.input_tags.allow_nan = True
    tags.input_tags.sparse = bool(getattr(family, "sparse", False))
    tags.input_tags.positive_only = bool(getattr(family, "nonnegative", False))
    tags.input_tags.categorical = tags.input_tags.string = hasattr(family, "categorical")
    return tags


def enclosed(copy: Any) -> Any:
    """A clone belongs to whoever cloned it, such as a grid search: Ctrl-C ends that loop, and not this fit alone."""
    copy._enclosed = True
    return copy


def _noisy(self: Any) -> bool:
    return getattr(self, "noise", False) is not False


def _weighted(rows: Rows, values: Array) -> float:
    return float((values if rows.weight is None else values * rows.weight).sum())


def _total(self: Any, arguments: Arguments) -> tuple[float, float]:
    rows, out = explain(self, arguments)
    return _weighted(rows, out.log_density), rows.total


def score_of(self: Any, arguments: Arguments) -> float:
    """``score`` of all that a user gave for the rows."""
    total, n = _total(self, arguments)
    return total / n


def bic_of(self: Any, arguments: Arguments) -> float:
    """``bic`` of all that a user gave for the rows."""
    total, n = _total(self, arguments)
    return -2.0 * total + float(self.result_.n_free) * math.log(n)


def aic_of(self: Any, arguments: Arguments) -> float:
    """``aic`` of all that a user gave for the rows."""
    return -2.0 * _total(self, arguments)[0] + 2.0 * float(self.result_.n_free)


def icl_of(self: Any, arguments: Arguments) -> float:
    """``icl`` of all that a user gave for the rows."""
    rows, out = explain(self, arguments)
    return _bic_of(self, rows, out) - 2.0 * _weighted(rows, np.log(out.resp.max(axis=1)))


def icl_entropy_of(self: Any, arguments: Arguments) -> float:
    """``icl_entropy`` of all that a user gave for the rows."""
    rows, out = explain(self, arguments)
    safe = np.where(out.resp > 0, out.resp, 1.0)
    return _bic_of(self, rows, out) - 2.0 * _weighted(rows, (safe * np.log(safe)).sum(axis=1))


def _bic_of(self: Any, rows: Rows, out: Explained) -> float:
    return -2.0 * _weighted(rows, out.log_density) + float(self.result_.n_free) * math.log(rows.total)
