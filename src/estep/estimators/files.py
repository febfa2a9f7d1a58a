"""Model files: a fitted estimator as safetensors with a versioned JSON header. Loading never runs code.

header   {"estep": "model", "version": "1", "estimator": "GaussianMixture", "state": JSON}
arrays   parameters, constants that binding found, trace
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from estep.core.codec import Classes, decode, encode
from estep.core.files import parse_json, read_arrays, write_arrays
from estep.core.protocols import Chunk
from estep.core.result import Result, StartRow, StartTable, Status, Trace
from estep.core.support import Constraints
from estep.estimators.kmeans import KMeans
from estep.estimators.mixture import GaussianMixture, Mixture, published
from estep.estimators.settings import check_settings
from estep.families.noise import WithNoise
from estep.families.normal import Normal
from estep.families.normal_density import NormalParams
from estep.families.normal_moments import NormalStats
from estep.models.latent import Latent, LatentParams, LatentStats
from estep.structures.iid import Iid, IidCounts, IidParams

KIND = "model"
ESTIMATORS: dict[str, Any] = {"GaussianMixture": GaussianMixture, "Mixture": Mixture, "KMeans": KMeans}
KNOWN: tuple[type, ...] = (
    Result, Status, Trace, StartTable, StartRow, Constraints, Latent, LatentParams, LatentStats,
    Iid, IidParams, IidCounts, Normal, NormalParams, NormalStats, WithNoise,
)  # fmt: skip


def known_classes(extra: Iterable[type] = ()) -> Classes:
    """The classes that a model file may hold, by name."""
    return {cls.__name__: cls for cls in (*KNOWN, *extra)}


def save_estimator(estimator: Any, path: str | Path, classes: Iterable[type] = ()) -> None:
    """Write a fitted estimator to ``path``, whole or not at all."""
    name = type(estimator).__name__
    if ESTIMATORS.get(name) is not type(estimator):
        raise TypeError(f"cannot save {name}: only estep's own estimators have a file format")
    arrays: dict[str, Any] = {}
    known = known_classes(classes)
    state = {
        "settings": encode(_settings(estimator), arrays, known, "settings"),
        "result": encode(dataclasses.replace(estimator.result_, state=None), arrays, known, "result"),
        "columns": encode(_columns(estimator), arrays, known, "columns"),
    }
    write_arrays(path, KIND, arrays, {"estimator": name, "state": json.dumps(state)})


def load(path: str | Path, classes: Iterable[type] = ()) -> Any:
    """Read a fitted estimator that ``save`` wrote. Data only: no code in the file is run, and none can be.

    Parameters
    ----------
    path : str or Path
        The file.
    classes : iterable of classes
        Families, parameter and statistics records of your own that the file may hold.

    Raises
    ------
    ValueError
        When the file is damaged, hostile, of another kind or of a later version; the text says which.
    """
    arrays, header = read_arrays(path, KIND)
    state = parse_json(path, header.get("state", ""))
    estimator_class = ESTIMATORS.get(header.get("estimator", ""))
    if estimator_class is None or not isinstance(state, dict) or set(state) != {"settings", "result", "columns"}:
        raise ValueError(f"{path}: does not describe an estimator that this estep knows ({header.get('estimator')!r})")
    try:
        parts = {name: decode(part, arrays, known_classes(classes)) for name, part in state.items()}
        estimator = _rebuilt(estimator_class, parts)
    except Exception as error:  # whatever a file may provoke, it is the file that is at fault
        raise ValueError(f"{path}: {error}; the file is damaged or was not written by estep") from None
    return estimator


def _settings(estimator: Any) -> dict[str, Any]:
    settings: dict[str, Any] = estimator.get_params(deep=False)
    if not isinstance(settings.get("algorithm", ""), str):
        settings["algorithm"] = settings["algorithm"].name
    if not isinstance(settings.get("random_state"), int | np.integer | None):
        settings["random_state"] = None
    return settings


COLUMNS: dict[str, Callable[[Any], bool]] = {
    "n_features_in_": lambda v: isinstance(v, int) and v >= 1,
    "feature_names_in_": lambda v: isinstance(v, np.ndarray) and v.dtype.kind == "U",
    "classes_": lambda v: isinstance(v, np.ndarray) and v.dtype.kind == "U",
    "labels_": lambda v: isinstance(v, np.ndarray) and v.ndim == 1 and v.dtype.kind == "i",
    "inertia_": lambda v: isinstance(v, float),
}


def _columns(estimator: Any) -> dict[str, Any]:
    return {
        n: np.asarray(v, dtype=str) if n.endswith("names_in_") else v
        for n in COLUMNS
        if (v := getattr(estimator, n, None)) is not None
    }


def _rebuilt(estimator_class: Any, parts: dict[str, Any]) -> Any:
    settings, result, columns = parts["settings"], parts["result"], parts["columns"]
    if not isinstance(result, Result) or not isinstance(result.model, Latent) or not isinstance(settings, dict):
        raise ValueError("it holds no fitted model")
    if not isinstance(columns, dict) or not all(n in COLUMNS and COLUMNS[n](v) for n, v in columns.items()):
        raise ValueError("its columns are not of the right kind")
    estimator = estimator_class(**settings)
    check_settings(estimator)
    _check_result(estimator, result, columns)
    for name, value in columns.items():
        setattr(estimator, name, value.astype(object) if name == "feature_names_in_" else value)
    fitted = estimator.published_as(result) if hasattr(estimator, "published_as") else published(estimator, result)
    for name, value in fitted.items():
        setattr(estimator, name, value)
    return estimator


def _check_result(estimator: Any, result: Result, columns: dict[str, Any]) -> None:
    """Raise ValueError unless the parameters are legal, of the sizes the settings name, and give a row a density."""
    model, params, d = result.model, result.params, columns.get("n_features_in_")
    noisy = getattr(estimator, "noise", False) is not False
    k = getattr(estimator, "n_clusters", None) or estimator.n_components + int(noisy)
    if model.k != k or params.structure.weights.shape != (k,) or noisy != isinstance(model.family, WithNoise):
        raise ValueError(f"its settings name {k} components and its parameters do not")
    if d is None or len(columns.get("feature_names_in_", range(d))) != d:
        raise ValueError("its columns are not counted, or not named as they are counted")
    if result.n <= 0 or (result.starts is not None and not 0 <= result.starts.best < len(result.starts)):
        raise ValueError("its rows or its starts are miscounted")
    model.support(params).check(params)
    if isinstance(model.family, Normal | WithNoise):
        seen = model.explain(params, Chunk(("load", 0, 1), np.zeros((1, d))))
        sized = seen.resp.shape == (1, k) and params.family.means.shape == (k - int(noisy), d)
        if not sized or not np.isfinite(seen.log_density).all():
            raise ValueError("its parameters give a row no density")
