"""The low level: fit any object with the Model protocol to any data plane from given parameters."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from estep.core.result import Result
from estep.engine.checkpoint import load_state, save_state
from estep.engine.presets import Variant, variant_of
from estep.engine.run import Control, Watch, run, start


def fit(
    model: Any,
    data: Any,
    params: Any,
    how: str | Variant = "em",
    *,
    accelerate: Any = "none",
    tol: float = 1e-8,
    max_iter: int = 1000,
    watch: Watch | None = None,
    checkpoint: str | Path | None = None,
    seed: int = 0,
) -> Result:
    """Run EM (or the variant ``how``) on ``model`` from ``params``.

    Parameters
    ----------
    model : Model
        Any object with ``estep``, ``mstep``, ``q``, ``support`` and ``prior``; bound to the data where it needs binding.
    data : Data
        Anything with ``sum``.
    params : Any
        Where to begin.
    how : str or Variant
        A preset's name or a point on the five axes.
    tol : float
        Stop when the projected gain is at most this many nats per unit weight.
    checkpoint : path or None
        A file to save the state in every ten passes. Where it exists, the run resumes from it, to the bit.

    Raises
    ------
    ValueError
        Unknown ``how`` or ``accelerate``; a checkpoint of another model or variant.
    """
    if not hasattr(data, "chunks") or not hasattr(data, "map"):
        raise TypeError(f"data must be a data plane such as estep.data.Memory(X), got {type(data).__name__}")
    variant = variant_of(how, accelerate)
    control = Control(tol=tol, max_iter=max_iter, watch=watch, seed=seed)
    state = start(model, params, variant, control)
    if checkpoint is not None:
        if Path(checkpoint).exists():
            state = load_state(checkpoint, state, variant)
        control = dataclasses.replace(control, save=lambda now: save_state(now, checkpoint, variant))
    result = run(model, data, state, variant, control)
    return dataclasses.replace(result, first=None if result.removed else params)
