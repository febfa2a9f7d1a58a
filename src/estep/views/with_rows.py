"""A fitted estimator with what belongs to its rows at hand, for pages that ask it about rows alone.

What belongs to rows are responses and offsets of regressions, groups, covariates, and the sequences they come in.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

ASKED = ("predict_proba", "posterior", "score_samples", "icl", "plot", "plot_residuals")
"""Methods that take rows."""
SEQUENCES = ("sequence", "lengths", "time")
RESPONSES = ("y", "offset")


class WithRows:
    """A fitted estimator whose methods are told, with the rows, what belongs to them; all else is as it is."""

    def __init__(self, estimator: Any, told: Mapping[str, Any]) -> None:
        self.estimator, self.told = estimator, told

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.estimator, name)
        if name not in ASKED:
            return found

        @functools.wraps(found)
        def asked(*rows: Any, **how: Any) -> Any:
            return found(*rows, **how, **(self.told if rows else {}))

        return asked


def with_rows(estimator: Any, X: Any, **told: Any) -> tuple[Any, Any]:
    """The estimator with what is told of its rows, and all rows as one matrix or table; without any both as they are.

    ``told`` are ``y`` and ``offset`` of regressions, ``by``, ``covariates``, and ``sequence``, ``lengths`` and ``time`` as in
    ``fit``; names of columns are looked up in ``X`` and taken out. Raises ValueError on what does not belong to the estimator.
    """
    told = {name: value for name, value in told.items() if value is not None}
    kinds = (
        (SEQUENCES, "decode", "is for hidden Markov models"),
        (RESPONSES, "predict_component", "belongs to the rows of regressions"),
    )
    for names, method, words in kinds:
        if not hasattr(estimator, method) and (odd := [name for name in told if name in names]):
            raise ValueError(f"{odd[0]} {words}, and this is a {type(estimator).__name__}")
    if hasattr(estimator, "decode"):
        X, told = _in_sequences(X, told)
        return WithRows(estimator, told), X
    if hasattr(estimator, "predict_component") and "y" not in told and not names_response(estimator):
        raise ValueError(f"y is missing: a page about a {type(estimator).__name__} takes the responses of the fit, y=...")
    return (WithRows(estimator, told) if told else estimator), X


def names_response(estimator: Any) -> bool:
    """Whether a formula says which column is the response."""
    left, tilde, _ = str(getattr(estimator, "formula", None) or "").partition("~")
    return bool(tilde and left.strip())


def _in_sequences(X: Any, told: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Rows end to end, and what tells which belong together."""
    if isinstance(X, list | tuple) and X and all(hasattr(part, "shape") for part in X):
        return _joined(X), {**told, "lengths": [int(part.shape[0]) for part in X]}
    named = {name: told[name] for name in SEQUENCES if isinstance(told.get(name), str)}
    if hasattr(X, "in_sequences"):  # rows in a file
        arranged = X.in_sequences(named.get("sequence"), named.get("time"))
        return arranged.as_they_stand(), {"lengths": np.diff(arranged.layout.ends, prepend=0)}
    if named:
        import narwhals as nw

        table = nw.from_native(X, eager_only=True)
        told = {**told, **{name: np.array(table[value].to_list()) for name, value in named.items()}}
        X = table.drop(*named.values()).to_native()
    return X, told


def _joined(parts: Any) -> Any:
    import narwhals as nw

    if all(nw.dependencies.is_into_dataframe(part) for part in parts):
        return nw.concat([nw.from_native(part, eager_only=True) for part in parts]).to_native()
    return np.concatenate([np.asarray(part).reshape(len(part), -1) for part in parts])
