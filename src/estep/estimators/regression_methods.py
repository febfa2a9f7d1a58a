"""The methods of mixtures of regressions and of experts, as plain functions of the estimator.

``y`` is the response here, labels are ``labels``. Without ``y`` nothing is known of a row but its covariates, so that class
probabilities are those before the response is seen. Likelihoods are of the response given covariates, in nats.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from estep.core.protocols import Explained
from estep.core.record import Array
from estep.estimators import methods
from estep.estimators.columns import table_of
from estep.estimators.responses import columns_at, read_design, read_offset, read_response
from estep.estimators.rows import Arguments, Rows, Target, rows_of
from estep.estimators.seam import require_responses


def read(self: Any, arguments: Arguments, target: Target, *, reset: bool) -> Rows:
    """Design, response and offset as the family reads them."""
    frame = read_design(self, arguments.X, reset=reset)
    n = len(frame.design)
    y = _response_of(frame.response, arguments.y)
    offset = read_offset(arguments.offset, n)
    refuse_holes(frame.design, frame.names, y)
    given = self._given(arguments.X, frame, reset) if hasattr(self, "_given") else None
    bare = dataclasses.replace(arguments, y=None)
    response = read_response(self, y, target.family, n, reset=reset)
    learned = self.__dict__.get("classes_")
    x = (frame.design, response) if offset is None else (frame.design, response, offset)
    rows = rows_of(self, bare, target, x=x, given=given, reset=reset)
    if learned is not None:
        self.classes_ = learned
    return rows


def _response_of(own: Any, y: Any) -> Any:
    if own is not None and y is not None:
        raise ValueError("y is given twice: by the formula and as y; write the formula without a response, or leave y out")
    return own if y is None else y


def blank_row(self: Any) -> tuple[Array, Array]:
    """A row about which nothing is known, to check a loaded model on."""
    p, chosen = self.n_features_in_, getattr(self, "experts", None)
    if chosen is not None:
        p = len(columns_at(chosen, list(getattr(self, "feature_names_in_", [f"x{j}" for j in range(p)])), "experts"))
    return np.full((1, p), np.nan), np.full(1, np.nan)


def refuse_holes(design: Array, names: tuple[str, ...], y: Any) -> None:
    """Raise ValueError on a missing covariate where there is no response to blame it on (the family checks the others)."""
    if y is not None or np.isfinite(design).all():
        return
    row, j = (int(v) for v in np.argwhere(~np.isfinite(design))[0])
    raise ValueError(
        f"X: row {row} has no value (NaN or inf) in column {names[j]!r}, and a regression says nothing of its covariates; "
        "give complete rows, or model covariates and response jointly (MultivariateNormal)"
    )


def fitted_design(self: Any, X: Any, offset: Any) -> tuple[Any, ...]:
    """``(design, None, offset)`` of rows to predict."""
    check_is_fitted(self, "result_")
    frame = read_design(self, table_of(X), reset=False)
    refuse_holes(frame.design, frame.names, None)
    return frame.design, None, read_offset(offset, len(frame.design))


def predict_component(self: Any, X: Any, *, offset: Any = None) -> Array:
    """Expected response of each row under each component, (n, k); class probabilities (n, k, m) of a multinomial response."""
    x = fitted_design(self, X, offset)
    return np.asarray(self.result_.model.family.means(self.result_.params.family, x))


def mixed_mean(self: Any, X: Any, offset: Any, by: Any = None) -> Array:
    """``sum_k P(z = k | covariates) E[y | x, k]``, (n,) or (n, m)."""
    means = predict_component(self, X, offset=offset)
    share = methods.explain(self, Arguments(X, None, None, None, by, offset))[1].resp
    return np.asarray(np.einsum("nk,nk...->n...", share, means))


def predict(self: Any, X: Any, *, offset: Any = None, by: Any = None) -> NDArray[Any]:
    """Expected response of each row, components mixed, (n,); of a multinomial response the most probable class.

    Parameters
    ----------
    X : array or DataFrame (n, p)
        Covariates, complete.
    offset : array (n,) or None
        Known part of the linear predictor.
    by : array (n,) or None
        The groups, after a fit with groups.
    """
    mean = mixed_mean(self, X, offset, by)
    return np.asarray(self.classes_[mean.argmax(axis=1)]) if mean.ndim == 2 else mean


def posterior(self: Any, X: Any, y: Any = None, *, labels: Any = None, offset: Any = None, by: Any = None) -> Array:
    """Component probabilities (n, k): given covariates and response, or, without ``y``, before the response is seen.

    Parameters
    ----------
    X : array or DataFrame (n, p)
        Covariates.
    y : array (n,) or None
        Responses; NaN where missing.
    labels, offset, by : optional
        As in ``fit``.
    """
    return methods.explain(self, Arguments(X, y, None, labels, by, offset))[1].resp


def score_samples(self: Any, X: Any, y: Any = None, *, labels: Any = None, offset: Any = None, by: Any = None) -> Array:
    """Log density of each response given its covariates, (n,), in nats; 0 where the response is missing."""
    return methods.explain(self, Arguments(X, y, None, labels, by, offset))[1].log_density


def score(
    self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, offset: Any = None, by: Any = None
) -> float:
    """Mean log-likelihood of the responses per unit weight, in nats (not R^2: this is a regressor with a likelihood)."""
    rows, out = _explained(self, Arguments(X, y, sample_weight, labels, by, offset))
    return _total(rows, out.log_density) / rows.total


def bic(
    self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, offset: Any = None, by: Any = None
) -> float:
    """Bayesian information criterion, ``-2 L + p log n``; lower is better."""
    return _bic(self, *_explained(self, Arguments(X, y, sample_weight, labels, by, offset)))


def aic(
    self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, offset: Any = None, by: Any = None
) -> float:
    """Akaike information criterion, ``-2 L + 2 p``; lower is better."""
    rows, out = _explained(self, Arguments(X, y, sample_weight, labels, by, offset))
    return -2.0 * _total(rows, out.log_density) + 2.0 * float(self.result_.n_free)


def icl(
    self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, offset: Any = None, by: Any = None
) -> float:
    """Integrated completed likelihood at the most probable components, ``bic - 2 sum_i log max_k r_ik``; lower is better."""
    rows, out = _explained(self, Arguments(X, y, sample_weight, labels, by, offset))
    return _bic(self, rows, out) - 2.0 * _total(rows, np.log(out.resp.max(axis=1)))


def icl_entropy(
    self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None, offset: Any = None, by: Any = None
) -> float:
    """Integrated completed likelihood with the full entropy, ``bic - 2 sum_i sum_k r_ik log r_ik``; lower is better."""
    rows, out = _explained(self, Arguments(X, y, sample_weight, labels, by, offset))
    safe = np.where(out.resp > 0, out.resp, 1.0)
    return _bic(self, rows, out) - 2.0 * _total(rows, (safe * np.log(safe)).sum(axis=1))


def sample(self: Any, X: Any, *, offset: Any = None, by: Any = None) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """A response for each row of covariates, drawn from the fitted model, and its component; draws follow ``random_state``."""
    design, _, known = fitted_design(self, X, offset)
    share = methods.explain(self, Arguments(X, None, None, None, by, offset))[1].resp
    rng = np.random.default_rng(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
    labels = (rng.random((len(design), 1)) > share.cumsum(axis=1)[:, :-1]).sum(axis=1)
    y = self.result_.model.family.sample(self.result_.params.family, labels, rng, design, known)[1]
    return (self.classes_[y.astype(np.intp)] if hasattr(self, "classes_") and y.ndim == 1 else y), labels


def save(self: Any, path: Any, classes: Any = ()) -> None:
    """Write the fitted estimator to ``path`` (safetensors with a JSON header); ``estep.load(path)`` reads it.

    A fit by formula is not written: how formulaic transforms columns is code, and a model file holds none.
    """
    check_is_fitted(self, "result_")
    if any(hasattr(self, name) for name in ("formula_", "gate_formula_")):
        raise TypeError(
            "save: this fit reads its columns by formula, which a model file cannot hold; make the matrix with formulaic, "
            "fit on it and save that fit"
        )
    methods.save(self, path, classes)


def _explained(self: Any, arguments: Arguments) -> tuple[Rows, Explained]:
    """Rows with responses, and what the fit says of each; raises ValueError where ``y`` was left out."""
    rows, out = methods.explain(self, arguments)
    require_responses(rows, arguments)
    return rows, out


def _total(rows: Rows, values: Array) -> float:
    return float((values if rows.weight is None else values * rows.weight).sum())


def _bic(self: Any, rows: Rows, out: Explained) -> float:
    return -2.0 * _total(rows, out.log_density) + float(self.result_.n_free) * math.log(rows.total)
