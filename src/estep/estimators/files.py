"""Model files: a fitted estimator as safetensors with a versioned JSON header. Loading never runs code.

header   {"estep": "model", "version": "1", "estimator": "GaussianMixture", "state": JSON}
arrays   parameters, constants that binding found, trace
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from estep.core.codec import Classes, decode, encode
from estep.core.files import parse_json, read_arrays, write_arrays
from estep.core.letters import Alphabet
from estep.core.protocols import Chunk
from estep.core.record import leaves
from estep.core.result import Result, StartRow, StartTable, Status, Trace
from estep.core.stream import Stream
from estep.core.support import Constraints
from estep.estimators.seam import published
from estep.estimators.settings import check_settings
from estep.families.missing_patterns import MissingPatterns
from estep.families.noise import WithNoise
from estep.kernels.design import Design
from estep.kernels.local import LocalStats
from estep.models.latent import Latent

KIND = "model"
# An estimator takes one line here.
ESTIMATORS = {
    "AlignmentHMM": "estep.estimators.alignment",
    "GaussianMixture": "estep.estimators.mixture",
    "FactorAnalysis": "estep.estimators.factor_analysis",
    "CensoredNormal": "estep.estimators.censored",
    "AutoregressiveHMM": "estep.estimators.autoregressive",
    "CategoricalHMM": "estep.estimators.hmm_more",
    "FactorialHMM": "estep.estimators.factorial",
    "GMMHMM": "estep.estimators.gmm_hmm",
    "GaussianHMM": "estep.estimators.hmm",
    "HMM": "estep.estimators.hmm",
    "HMMMixture": "estep.estimators.hmm_mixture",
    "InputOutputHMM": "estep.estimators.input_output",
    "PoissonHMM": "estep.estimators.hmm_more",
    "SemiMarkovHMM": "estep.estimators.semimarkov",
    "KMeans": "estep.estimators.kmeans",
    "LatentClass": "estep.estimators.latent_class",
    "MarkovChain": "estep.estimators.markov_chain",
    "Mixture": "estep.estimators.mixture",
    "MixtureOfExperts": "estep.estimators.experts",
    "MixtureOfRegressions": "estep.estimators.regressions",
    "MotifFinder": "estep.estimators.motif",
    "MultivariateNormal": "estep.estimators.multivariate_normal",
    "PLSA": "estep.estimators.plsa",
    "ProfileHMM": "estep.estimators.profile_hmm",
    "SaturatedMultinomial": "estep.estimators.saturated_multinomial",
    "StudentMixture": "estep.estimators.student",
}
# Every public dataclass that a module of these packages defines may be in a model file, under its class's name.
PACKAGES = ("estep.families", "estep.structures", "estep.models")
KNOWN: tuple[type, ...] = (Alphabet, Result, Status, Trace, StartTable, StartRow, Constraints, Design, LocalStats, Stream)


def known_classes(extra: Iterable[type] = ()) -> Classes:
    """The classes that a model file may hold, by name."""
    return {**_own_classes(), **{cls.__name__: cls for cls in extra}}


@cache
def _own_classes() -> dict[str, type]:
    found: dict[str, list[type]] = {}
    for cls in (*KNOWN, *(cls for package in PACKAGES for cls in _defined_in(package))):
        found.setdefault(cls.__name__, []).append(cls)
    return {name: classes[0] for name, classes in found.items() if len(classes) == 1}


def _defined_in(package: str) -> Iterator[type]:
    """The public dataclasses that the modules of a package define."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, type) and value.__module__ == module.name and not name.startswith("_"):
                yield from [value] if dataclasses.is_dataclass(value) else []


def _estimator_class(name: Any) -> Any:
    """The estimator of that name, or None."""
    home = ESTIMATORS.get(name) if isinstance(name, str) else None
    return None if home is None else getattr(importlib.import_module(home), name)


def save_estimator(estimator: Any, path: str | Path, classes: Iterable[type] = ()) -> None:
    """Write a fitted estimator to ``path``, whole or not at all."""
    name = type(estimator).__name__
    if _estimator_class(name) is not type(estimator):
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
    estimator_class = _estimator_class(header.get("estimator"))
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
    "groups_": lambda v: _is_list_of_values(v),
    "levels_": lambda v: isinstance(v, list) and all(levels is None or _is_list_of_values(levels) for levels in v),
    "states_": lambda v: _is_list_of_values(v),
    "counts_": lambda v: isinstance(v, np.ndarray) and v.ndim == 2 and v.dtype.kind == "f",
    "blank_rows_": lambda v: type(v) is int and v >= 1,
    "classes_": lambda v: _is_list_of_values(v),
    "stream_": lambda v: isinstance(v, Stream),
    "alphabet_": lambda v: isinstance(v, Alphabet),
    "motif_results_": lambda v: isinstance(v, tuple) and all(isinstance(each, Result) for each in v),
    "labels_": lambda v: isinstance(v, np.ndarray) and v.ndim == 1 and v.dtype.kind == "i",
    "inertia_": lambda v: isinstance(v, float),
    **dict.fromkeys(("g2_", "x2_", "g2_p_value_", "x2_p_value_", "entropy_", "evalue_"), lambda v: isinstance(v, float)),
    "df_": lambda v: isinstance(v, int),
    "notes_": lambda v: isinstance(v, tuple) and all(isinstance(text, str) for text in v),
    "covariate_names_": lambda v: isinstance(v, np.ndarray) and v.dtype.kind == "U",
    "patterns_": lambda v: isinstance(v, MissingPatterns),
    "topic_weights_": lambda v: isinstance(v, np.ndarray) and v.ndim == 1 and v.dtype.kind == "f",
    "tempering_path_": lambda v: isinstance(v, list) and all(isinstance(step, tuple) and len(step) == 2 for step in v),
}


def _is_list_of_values(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "Ubiuf"


def _columns(estimator: Any) -> dict[str, Any]:
    return {
        n: np.asarray(v, dtype=str) if n.endswith("names_in_") else v
        for n in COLUMNS
        if (v := getattr(estimator, n, None)) is not None
    }


def _rebuilt(estimator_class: Any, parts: dict[str, Any]) -> Any:
    settings, result, columns = parts["settings"], parts["result"], parts["columns"]
    own = getattr(estimator_class, "_check_loaded", None)
    if not isinstance(result, Result) or not (own or isinstance(result.model, Latent)) or not isinstance(settings, dict):
        raise ValueError("it holds no fitted model")
    if not isinstance(columns, dict) or not all(n in COLUMNS and COLUMNS[n](v) for n, v in columns.items()):
        raise ValueError("its columns are not of the right kind")
    estimator = estimator_class(**settings)
    check_settings(estimator)
    for name, value in columns.items():
        setattr(estimator, name, value.astype(object) if name == "feature_names_in_" else value)
    (own or _check_result)(estimator, result, columns)
    fitted = estimator.published_as(result) if hasattr(estimator, "published_as") else published(estimator, result)
    for name, value in fitted.items():
        setattr(estimator, name, value)
    return estimator


def _check_result(estimator: Any, result: Result, columns: dict[str, Any]) -> None:
    """Raise ValueError unless the parameters are legal, of the sizes the settings name, and give a row a density."""
    model, params, d = result.model, result.params, columns.get("n_features_in_")
    noisy = getattr(estimator, "noise", False) is not False
    named, counted = ("n_clusters", "n_states", "n_components"), getattr(estimator, "_count", None)
    k = counted() if counted else next(getattr(estimator, name) for name in named if hasattr(estimator, name)) + int(noisy)
    points = [params] if getattr(result, "first", None) is None else [params, result.first]
    same = all(_sizes(point) == _sizes(model.start()) for point in points)
    removed = result.removed if type(result.removed) is int and result.removed >= 0 else 0
    if model.k + removed != k or not same or noisy != isinstance(model.family, WithNoise):
        raise ValueError(f"its settings name {k} components and its parameters do not")
    if d is None or any(len(columns.get(name, range(d))) != d for name in ("feature_names_in_", "levels_")):
        raise ValueError("its columns are not counted, or not named as they are counted")
    if len(columns.get("groups_", ())) != getattr(model.structure, "n_groups", 0):
        raise ValueError("its groups are not those of its weights")
    if result.n <= 0 or (result.starts is not None and not 0 <= result.starts.best < len(result.starts)):
        raise ValueError("its rows or its starts are miscounted")
    for point in points:
        model.support(point).check(point)
    _check_densities(estimator, result, d)


def _sizes(params: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, np.shape(value)) for name, value in leaves(params)]


def _check_densities(estimator: Any, result: Result, d: int) -> None:
    """Raise ValueError unless a row that is all missing, and a row drawn from the model, have densities."""
    model, params = result.model, result.params
    blank, given = getattr(estimator, "_blank_row", None), getattr(model.structure, "blank", None)
    row = blank() if blank else np.full((1, d), np.nan)
    where = {"given": given()} if given else {}
    rows = [row]
    if blank is None and hasattr(model.family, "sample"):
        rows.append(model.sample(params, 1, np.random.default_rng(0), **where)[0])
    for x in rows:
        seen = model.explain(params, Chunk(("load", 0, 1), x, ends=np.ones(1, dtype=np.intp), **where))
        sized = seen.resp.shape == (1, model.k) and (blank is not None or np.shape(x) == np.shape(row))
        if not sized or not np.isfinite(seen.log_density).all():
            raise ValueError("its parameters give a row no density")
