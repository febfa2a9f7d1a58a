"""A fitted hidden Markov model with its sequences at hand, for pages that ask an estimator about rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from estep.core.record import Array

TOLD = ("sequence", "lengths", "time")


class InSequences:
    """A fitted estimator and what its rows belong to: ids, lengths or times of sequences."""

    def __init__(self, estimator: Any, told: dict[str, Any]) -> None:
        self.estimator, self.told = estimator, told

    def __getattr__(self, name: str) -> Any:
        return getattr(self.estimator, name)

    def predict_proba(self, X: Any) -> Array:
        """State probabilities (n, k) given whole sequences."""
        return np.asarray(self.estimator.predict_proba(X, **self.told))

    def score_samples(self, X: Any) -> Array:
        """Log densities (n,) of the rows given those before."""
        return np.asarray(self.estimator.score_samples(X, **self.told))

    def icl(self, X: Any) -> float:
        """Integrated completed likelihood of the sequences."""
        return float(self.estimator.icl(X, **self.told))

    def plot(self, X: Any = None) -> Any:
        """The estimator's own picture."""
        return self.estimator.plot() if X is None else self.estimator.plot(X, **self.told)

    def plot_residuals(self, X: Any, column: Any = 0, **how: Any) -> Any:
        """Pseudo-residuals of a column."""
        return self.estimator.plot_residuals(X, column, **how, **self.told)


def in_sequences(estimator: Any, X: Any, **told: Any) -> tuple[Any, Any]:
    """The estimator with its sequences, and all rows as one matrix or table; any other estimator and ``X`` as they are.

    ``told`` are ``sequence``, ``lengths`` and ``time`` as in ``fit``; names of columns are looked up in ``X`` and taken out.
    """
    told = {name: value for name, value in told.items() if value is not None}
    if not hasattr(estimator, "decode"):
        if told:
            raise ValueError(f"{next(iter(told))} is for hidden Markov models, and this is a {type(estimator).__name__}")
        return estimator, X
    if isinstance(X, list | tuple) and X and all(hasattr(part, "shape") for part in X):
        told = {"lengths": [int(part.shape[0]) for part in X]}
        return InSequences(estimator, told), _joined(X)
    named = {name: value for name, value in told.items() if isinstance(value, str)}
    if hasattr(X, "in_sequences"):  # rows in a file
        arranged = X.in_sequences(named.get("sequence"), named.get("time"))
        return InSequences(estimator, {"lengths": np.diff(arranged.layout.ends, prepend=0)}), arranged.as_they_stand()
    if named:
        import narwhals as nw

        table = nw.from_native(X, eager_only=True)
        told |= {name: np.array(table[value].to_list()) for name, value in named.items()}
        X = table.drop(*named.values()).to_native()
    return InSequences(estimator, told), X


def _joined(parts: Any) -> Any:
    import narwhals as nw

    if all(nw.dependencies.is_into_dataframe(part) for part in parts):
        return nw.concat([nw.from_native(part, eager_only=True) for part in parts]).to_native()
    return np.concatenate([np.asarray(part).reshape(len(part), -1) for part in parts])
