"""Methods of the motif finder that stand alone: samples, and what a file must hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from estep.core.result import Result
from estep.estimators.fitting import seed_of
from estep.models.motif import Motif, MotifParams


def sample(self: Any, n_samples: int = 1, *, lengths: Any = None) -> list[str]:
    """Sequences drawn from the fitted model: one of ``n_samples`` letters, or several of ``lengths``."""
    check_is_fitted(self, "result_")
    told = np.atleast_1d(np.asarray(n_samples if lengths is None else lengths))
    if told.ndim != 1 or told.dtype.kind not in "iu" or (told < 1).any():
        name = "n_samples" if lengths is None else "lengths"
        raise ValueError(f"{name} must be whole numbers >= 1, got {n_samples if lengths is None else lengths!r}")
    model, ends = self.result_.model, np.cumsum(told)
    if model.sites.needs_room and (told < model.width).any():
        raise ValueError(
            f"lengths must be at least the width, {model.width}, since every sequence has a site; got {told.min()}"
        )
    codes, _ = model.sample(self.result_.params, int(ends[-1]), np.random.default_rng(seed_of(self.random_state)), ends=ends)
    return [self._alphabet().decode(part) for part in np.split(codes, ends[:-1])]


def check_loaded(self: Any, result: Result, columns: dict[str, Any]) -> None:
    """Raise ValueError unless the parameters of a file belong together."""
    results, alphabet = columns.get("motif_results_", ()), columns.get("alphabet_")
    if alphabet is None or not results:
        raise ValueError("it holds no motif, or not its letters")
    for each in (result, *results):
        model, params = each.model, each.params
        if not isinstance(model, Motif) or not isinstance(params, MotifParams) or model.size != alphabet.size:
            raise ValueError("its motif is not written in its letters")
        if [np.shape(v) for v in (params.probs, params.background, params.shares)] != [
            (model.rows, model.size), (model.size,), (2,)
        ]:  # fmt: skip
            raise ValueError("its motif has not the size that its model says")
        model.support(params).check(params)
