"""A fit in words: its model, prior, constraints and starts, and what a reader must be warned of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from estep.core.record import Array
from estep.core.result import Result, StartTable, Status
from estep.families.covariance import CODES, resolve
from estep.families.noise import WithNoise
from estep.families.normal import Normal

FORM = {("I", "I"): "spherical", ("E", "I"): "diagonal", ("V", "I"): "diagonal"}
MOST_NAMES = 12
PARTS = ("volume", "shape", "orientation")

CONSEQUENCES: Mapping[Status, str] = {
    Status.HIT_CAP: "The run was cut short: likelihood, criteria and parameters would still move. "
    "Raise max_iter (or tol) before you report or compare them.",
    Status.FRAIL: "A component has nearly collapsed, so the likelihood and the criteria are inflated: do not compare "
    "them with those of other fits.",
    Status.DEGENERATE: "A component collapsed, so the likelihood has no maximum: these are not estimates to report.",
    Status.DEFAULT_PRIOR: "Every start collapsed under maximum likelihood. The table shows posterior modes under the "
    "default prior; log-likelihood and criteria are computed at them.",
    Status.FELL: "The objective fell during the run, which an exact algorithm never does: do not use these estimates.",
    Status.INTERRUPTED: "The run was interrupted: these are its best parameters so far, not a maximum.",
    Status.STOPPED: "A callback stopped the run: these are its best parameters so far, not a maximum.",
    Status.SADDLE: "The run ended at a saddle point: a likelihood higher up is near, so these are not maximum likelihood "
    "estimates. Start elsewhere.",
    Status.RIDGE: "Some parameters can move without changing the likelihood: do not interpret those that can.",
    Status.BOUNDARY: "Some estimates lie on the boundary of their range, where standard errors do not exist.",
    Status.SLOWED: "Online EM stopped as its steps grew short: the maximum may be higher. Run algorithm='em' from here before "
    "criteria are compared.",
    Status.STREAM: "Learned row by row from a stream: parameters are near a maximum at best; criteria are not those of one.",
    Status.RUNNING: "The run is still going on: these are its parameters so far.",
}


def inner_family(result: Result) -> Any:
    """The family of the named components, without the noise around it."""
    family = result.model.family
    return family.family if isinstance(family, WithNoise) else family


def is_noisy(result: Result) -> bool:
    """Whether the last class is a noise component."""
    return isinstance(getattr(result.model, "family", None), WithNoise)


def named_components(result: Result) -> int:
    """Number of components without the noise."""
    return int(getattr(result.model, "k", 1)) - int(is_noisy(result))


def column_names(estimator: Any) -> list[str]:
    """Names of the columns: those of the training data, else x0, x1, ..."""
    names = getattr(estimator, "feature_names_in_", None)
    return [f"x{i}" for i in range(estimator.n_features_in_)] if names is None else [str(n) for n in names]


def columns_of(estimator: Any, name: str) -> list[str]:
    """Names of the columns that parameter ``name`` is about: of coefficients the design's, "1" being a gate's intercept."""
    model, last = getattr(getattr(estimator, "result_", None), "model", None), name.rsplit(".", 1)[-1]
    if last in ("gate_coefs", "leaf_coefs", "move_coefs", "start_coefs"):
        return ["1", *map(str, getattr(getattr(model, "structure", None), "columns", ()))]
    design = getattr(getattr(model, "family", None), "columns", ()) if last == "coefs" else ()
    return [str(column) for column in design] or column_names(estimator)


def columns_in_words(estimator: Any) -> str:
    """Names of the columns where they have some, else how many there are; of many the first and the last."""
    names = column_names(estimator)
    if getattr(estimator, "feature_names_in_", None) is None:
        return str(len(names))
    if len(names) <= MOST_NAMES:
        return ", ".join(names)
    return f"{len(names)}: {', '.join(names[:3])}, ..., {names[-1]}"


def component_names(estimator: Any) -> list[str]:
    """Headings of the components: the numbers that ``predict`` gives, with the class names where labels had some."""
    k = named_components(estimator.result_)
    if hasattr(estimator, "states_"):
        return [str(state) for state in estimator.states_.tolist()]
    named = () if answers_are_classes(estimator.result_) else getattr(estimator, "classes_", ())
    classes = [str(name) for name in named]
    names = [f"{i} {classes[i]}" if i < len(classes) else str(i) for i in range(k)]
    return [*names, "noise"] if is_noisy(estimator.result_) else names


def answers_are_classes(result: Result) -> bool:
    """Whether ``classes_`` are values of the response, as in a logistic regression, and not names of components."""
    return str(getattr(getattr(result.model, "family", None), "classes", "none")) != "none"


def overall_weights(result: Result) -> Array | None:
    """Weights (k,) of the components over all rows; None where the structure has none."""
    structure, params = result.model.structure, result.params.structure
    overall = getattr(structure, "overall", None)
    weights = overall(params) if overall else getattr(params, "weights", None)
    return None if weights is None else np.asarray(weights)


def model_line(estimator: Any) -> str:
    """The model in words, such as "Gaussian mixture, 3 components, EEE (ellipsoidal, equal volume, ...)"."""
    result, family = estimator.result_, inner_family(estimator.result_)
    k = named_components(result)
    titled = getattr(estimator, "title", None)
    if titled is not None:
        return str(titled)
    count = f"{k} component{'s' if k != 1 else ''}{' and noise' if is_noisy(result) else ''}"
    if not isinstance(family, Normal):
        return f"Mixture of {type(family).__name__}, {count}"
    words = structure_words(family.code, k, estimator.n_features_in_)
    name, code = family.covariance_type, family.code
    return f"Gaussian mixture, {count}, {name} ({words if name == code else f'{code}: {words}'})"


def structure_words(covariance_type: str, k: int, d: int) -> str:
    """A covariance structure in words.

    >>> structure_words("VEI", 3, 2), structure_words("full", 1, 2), structure_words("EEE", 2, 1)
    ('diagonal, equal shape, varying volume', 'ellipsoidal', 'equal variance')
    """
    code = CODES[resolve(covariance_type)]
    if d == 1:
        return "one variance" if k == 1 else {"E": "equal variance", "V": "varying variance"}[code.volume]
    form = FORM.get((code.shape, code.orientation), "ellipsoidal")
    letters = dict(zip(PARTS, (code.volume, code.shape, code.orientation), strict=True))
    groups = {word: [p for p in PARTS if letters[p] == letter] for word, letter in (("equal", "E"), ("varying", "V"))}
    return ", ".join([form, *(f"{word} {listed(parts)}" for word, parts in groups.items() if parts and k > 1)])


def listed(words: list[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def noise_words(result: Result) -> str:
    """The noise component's density, or nothing."""
    if not is_noisy(result):
        return ""
    family = result.model.family
    origin = "volume of the data" if family.density is None else "density given"
    return f"uniform with density {np.exp(-family.log_whole):.4g} ({origin})"


def prior_words(estimator: Any) -> str:
    """The prior, or nothing where the fit is maximum likelihood."""
    if estimator.result_.model.prior is None:
        return ""
    given = estimator.prior
    if isinstance(given, Mapping) and given:
        return f"the family's weak conjugate prior with {listed([f'{n} given' for n in given])}"
    return "the family's weak conjugate prior (default)"


def constraint_words(result: Result) -> str:
    """Parameters that were held or shared, or nothing."""
    constraints = result.model.constraints
    kinds = (("fixed", constraints.fixed), ("tied", constraints.tied))
    return "; ".join(f"{kind}: {listed(list(names))}" for kind, names in kinds if names)


def start_words(starts: StartTable | None) -> str:
    """How many starts there were and where they ended."""
    if starts is None:
        return ""
    if len(starts) == 1:
        return f"1 ({starts[0].start})"
    waiting = sum(not row.polished and row.usable for row in starts.rows)
    optima = starts.optima
    parts = [f"{optima[0][1]} reached the best optimum found (returned: {starts[starts.best].start})"] if optima else []
    parts += [f"{count} ended {optima[0][0] - value:.3g} nats below" for value, count in optima[1:4]]
    if len(optima) > 4:
        parts.append(f"{sum(count for _, count in optima[4:])} further below")
    parts += [f"{waiting} left after a short run"] if waiting else []
    parts += [f"{len(starts.collapsed)} collapsed"] if starts.collapsed else []
    return f"{len(starts)}: {', '.join(parts)}"


def warnings_of(estimator: Any) -> list[str]:
    """What a reader must know before using the numbers, in plain sentences."""
    result: Result = estimator.result_
    said = [CONSEQUENCES[result.status]] if result.status in CONSEQUENCES else []
    if result.certificate == "heuristic":
        said.append("The algorithm promises nothing of its objective: compare several starts.")
    names = tuple(column_names(estimator))
    noted = [f"{note if note.startswith(names) else note[0].upper() + note[1:]}." for note in getattr(estimator, "notes_", ())]
    return said + noted + _about_starts(result)


def _about_starts(result: Result) -> list[str]:
    starts = result.starts
    if starts is None or len(starts) == 1:
        return []
    said = []
    if starts.collapsed and result.status is not Status.DEFAULT_PRIOR:
        first = starts.collapsed[0]
        count = f"{len(starts.collapsed)} of {len(starts)} starts collapsed and were left out"
        said.append(f"{count}; the first is {first.start}: {first.message}.")
    polished = sum(count for _, count in starts.optima)
    if polished > 1 and starts.optima[0][1] == 1 and result.status is not Status.HIT_CAP:
        said.append(
            f"Only 1 of {polished} starts run to the end reached the best optimum found: a better one may exist; "
            "raise n_init."
        )
    return said
