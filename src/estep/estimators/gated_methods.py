"""The methods of estimators whose class sizes depend on covariates: those of ``methods.py`` with one more row keyword.

``covariates`` (n, q) are read here: numbers by column, known by name from the fit on. The class probabilities of a row
depend on them before anything else of the row is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.core.rows import count
from estep.estimators import methods
from estep.estimators.columns import numbers_of, own_names, table_of
from estep.estimators.rows import Arguments


def read_covariates(self: Any, covariates: Any, x: Any, *, reset: bool) -> Array | None:
    """Covariates (n, q) as numbers, checked against those of the fit; None where there are none. Raises ValueError."""
    if reset:
        self.__dict__.pop("covariate_names_", None)
    known = getattr(self, "covariate_names_", None)
    if covariates is None:
        if known is not None:
            raise ValueError(f"covariates are missing: class sizes depend on {_listed(known)}; give them for each row of X")
        return None
    if known is None and not reset:
        raise ValueError("covariates are given, but the fit had none; leave them out, or fit with covariates=")
    given, names = _matrix(covariates)
    if len(given) != count(x):
        raise ValueError(f"covariates have {len(given)} rows, expected {count(x)}: one for each row of X")
    if not np.isfinite(given).all():
        row, j = (int(i) for i in np.argwhere(~np.isfinite(given))[0])
        raise ValueError(
            f"covariates: row {row} has no finite value in column {names[j]!r}; class sizes depend on it, so drop such "
            "rows, or leave the column out"
        )
    if reset:
        self.covariate_names_ = np.array(names)
    elif known is not None and (len(names) != len(known) or (own_names(covariates) is not None and names != [*known])):
        words = f"covariates are {_listed(names)}, but the fit knows {_listed(known)}"
        raise ValueError(f"{words}; give the same in the same order")
    return given


def _matrix(covariates: Any) -> tuple[Array, list[str]]:
    """Numbers (n, q) and the names of their columns (c0, c1, ... without names)."""
    import narwhals as nw

    covariates = table_of(covariates)
    if nw.dependencies.is_into_series(covariates):
        series = nw.from_native(covariates, series_only=True)
        return numbers_of(series, str(series.name))[:, None], [str(series.name or "c0")]
    names = own_names(covariates)
    if names is not None:
        frame = nw.from_native(covariates, eager_only=True)
        return np.column_stack([numbers_of(column, str(column.name)) for column in frame.iter_columns()]), names
    array = np.asarray(covariates)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"covariates have shape {array.shape}, expected (n,) or (n, q)")
    names = [f"c{j}" for j in range(array.shape[1])]
    return np.column_stack([numbers_of(column, name) for column, name in zip(array.T, names, strict=True)]), names


def names_of_covariates(covariates: Any) -> tuple[str, ...]:
    """Names of the covariates; c0, c1, ... without names."""
    return tuple(_matrix(covariates)[1])


def _listed(names: Sequence[Any] | NDArray[Any]) -> str:
    shown = [repr(str(name)) for name in names[:8]]
    return ", ".join(shown) + (", ..." if len(names) > 8 else "")


def predict(
    self: Any, X: Any, *, y: Any = None, labels: Any = None, by: Any = None, covariates: Any = None
) -> NDArray[np.intp]:
    """Most probable class of each row, (n,).

    Parameters
    ----------
    X : array or DataFrame (n, d)
        Rows; NaN marks a missing entry.
    y, labels, by, covariates : optional
        Partial labels, groups and covariates as in ``fit``.
    """
    return methods.explain(self, Arguments(X, y, None, labels, by, covariates=covariates))[1].path


def predict_proba(self: Any, X: Any, *, y: Any = None, labels: Any = None, by: Any = None, covariates: Any = None) -> Array:
    """Class probabilities (n, k); arguments as in ``predict``."""
    return methods.explain(self, Arguments(X, y, None, labels, by, covariates=covariates))[1].resp


def score_samples(self: Any, X: Any, *, y: Any = None, labels: Any = None, by: Any = None, covariates: Any = None) -> Array:
    """Log density of each row, (n,), in nats; within its group, or given its covariates."""
    return methods.explain(self, Arguments(X, y, None, labels, by, covariates=covariates))[1].log_density


def score(
    self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None, covariates: Any = None
) -> float:
    """Mean log-likelihood per unit weight, in nats."""
    return methods.score_of(self, Arguments(X, y, sample_weight, labels, by, covariates=covariates))


def bic(
    self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None, covariates: Any = None
) -> float:
    """Bayesian information criterion, ``-2 L + p log n``; lower is better."""
    return methods.bic_of(self, Arguments(X, y, sample_weight, labels, by, covariates=covariates))


def aic(
    self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None, covariates: Any = None
) -> float:
    """Akaike information criterion, ``-2 L + 2 p``; lower is better."""
    return methods.aic_of(self, Arguments(X, y, sample_weight, labels, by, covariates=covariates))


def icl(
    self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None, covariates: Any = None
) -> float:
    """Integrated completed likelihood at the most probable classes; lower is better."""
    return methods.icl_of(self, Arguments(X, y, sample_weight, labels, by, covariates=covariates))


def icl_entropy(
    self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None, covariates: Any = None
) -> float:
    """Integrated completed likelihood with the full entropy; lower is better."""
    return methods.icl_entropy_of(self, Arguments(X, y, sample_weight, labels, by, covariates=covariates))


def fit_predict(
    self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, by: Any = None, covariates: Any = None
) -> NDArray[np.intp]:
    """Fit, then the most probable class of each row, (n,)."""
    self.fit(X, y, sample_weight=sample_weight, labels=labels, by=by, covariates=covariates)
    return np.asarray(self.predict(X, y=y, labels=labels, by=by, covariates=covariates))


def sample(self: Any, n_samples: int = 1, *, by: Any = None, covariates: Any = None) -> tuple[Any, NDArray[np.intp]]:
    """Rows drawn from the fitted model and their classes; with covariates one for each row of these."""
    if covariates is None and getattr(self, "covariate_names_", None) is None:
        return methods.sample(self, n_samples, by=by)
    given = read_covariates(self, covariates, np.empty((n_samples, 0)), reset=False)
    from sklearn.utils import check_random_state

    seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
    drawn: tuple[Any, NDArray[np.intp]] = self.result_.model.sample(
        self.result_.params, n_samples, np.random.default_rng(seed), given=given
    )
    return drawn
