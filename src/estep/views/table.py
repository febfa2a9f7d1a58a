"""The summary of a fit as text: model, likelihood and criteria, how it ended, and the table of components.

    BIC = -2 L + p log n        AIC = -2 L + 2 p        ICL = BIC - 2 sum_i log max_k r_ik        (lower is better)

L is the log-likelihood of the training data in nats, n its total weight, p the free parameters. Nothing is fitted here.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array
from estep.core.result import Result
from estep.families.normal import Normal
from estep.views.layout import Row, facts, notes, number, numbers, table
from estep.views.words import (
    column_names,
    columns_in_words,
    columns_of,
    component_names,
    constraint_words,
    inner_family,
    is_noisy,
    model_line,
    noise_words,
    overall_weights,
    prior_words,
    start_words,
    warnings_of,
)

MOST_PAIRS = 45
MOST_ROWS = 60
MOVES = (("startprob", 1), ("transmat", 2))
NORMAL = ("mean", "means", "covariance", "covariances")
APART = ("move_coefs", "start_coefs")
"""Parameters of moves between states that an estimator's summary shows in a table of its own."""
NORMAL_DOF = 1e4
"""Degrees of freedom above which quantiles of a t law are a normal's to some four digits."""
SAME = 1e-7
"""Relative gap below which two log-likelihoods belong to the same data."""


def summary_text(estimator: Any, X: Any = None, *, errors: Any = None, level: float = 0.95, **row: Any) -> str:
    """A fitted mixture as text to read or to paste.

    Parameters
    ----------
    estimator : fitted estimator
        With ``result_`` and ``params_``.
    X : array or DataFrame (n, d), optional
        The training rows: adds ICL, missing entries and the rows in each component. Other rows get their own criteria.
    errors : Errors, optional
        What ``standard_errors`` returned: adds standard errors, intervals of ``level`` and what is to say of them.
    **row
        What else belongs to the rows (``by``).

    Returns
    -------
    str
        Lines without colour codes; the same fit gives the same text.

    Examples
    --------
    >>> import numpy as np, estep
    >>> X = np.array([[0.0], [0.2], [0.1], [5.0], [5.2], [5.1]])
    >>> fit = estep.GaussianMixture(2, covariance_type="EII", random_state=0).fit(X)
    >>> print(summary_text(fit).splitlines()[0])
    Gaussian mixture, 2 components, EII (equal variance)
    """
    result: Result = estimator.result_
    seen = None if X is None else read_given(estimator, X, **row)
    lines = [model_line(estimator), "", *facts(facts_of(estimator, seen))]
    if seen is not None and not seen.trained_on:
        lines += ["", *_elsewhere(result, seen)]
    header, rows, shared = component_rows(estimator, seen)
    lines += ["", *table("component", header, rows), *shared]
    return "\n".join([*lines, *sureness(estimator, errors, level)])


def sureness(estimator: Any, errors: Any, level: float) -> list[str]:
    """The end of a summary: standard errors and intervals where there are any, and what a reader must be warned of."""
    lines, said = [], [*warnings_of(estimator), *_remarks(estimator)]
    if errors is not None:
        from estep.views.estimates import table_of

        told = table_of(estimator, errors, level)
        lines = ["", f"Standard errors by {told.method}, {100 * level:g} % intervals", "", *str(told).split("\n")]
        said = said + [f"{note[0].upper()}{note[1:]}." for note in errors.notes]
    return [*lines, "", "Note", *notes(said)] if said else lines


def _remarks(estimator: Any) -> Iterator[str]:
    """What numbers of the table are not to be taken at their word."""
    for name, value in _arrays(getattr(estimator, "params_", {})):
        if name.rsplit(".", 1)[-1] == "dofs" and (value > NORMAL_DOF).any():
            yield f"Where {name} are above {NORMAL_DOF:g}, a Student law is practically normal; their size says no more."


@dataclasses.dataclass(frozen=True)
class Given:
    """What the rows given say: likelihood, ICL, rows by most probable component, missing entries of all entries.

    ``trained_on``: whether they are the rows of the fit, as the fit saw them.
    """

    n: int
    loglik: float
    icl: float
    sizes: NDArray[np.intp]
    missing: int
    entries: int
    trained_on: bool


def facts_of(estimator: Any, seen: Given | None = None) -> list[tuple[str, str]]:
    """Data, criteria and ending of a fit as pairs of label and words; empty words are left out."""
    told = [*_data(estimator, seen), *_criteria(estimator, seen), *_ending(estimator)]
    return [(label, words) for label, words in told if words]


def read_given(estimator: Any, X: Any, **row: Any) -> Given:
    """What the fit says of the rows ``X``."""
    each, result = np.asarray(estimator.score_samples(X, **row)), estimator.result_
    loglik, n = float(each.sum()), len(each)
    known = getattr(estimator, "posterior", None) or getattr(estimator, "predict_proba", None)
    resp = np.ones((n, 1)) if known is None else np.asarray(known(X, **row))
    icl = estimator.icl(X, **row) if hasattr(estimator, "icl") else _bic_aic(loglik, result.n_free, n)[0]
    sizes = np.bincount(resp.argmax(axis=1), minlength=resp.shape[1])
    blanks = getattr(estimator, "blank_rows_", 0)
    trained_on = n + blanks == result.n and math.isclose(loglik, result.loglik, rel_tol=SAME, abs_tol=SAME)
    return Given(n, loglik, float(icl), sizes, *_missing(X), trained_on)


def _missing(X: Any) -> tuple[int, int]:
    try:
        values = np.asarray(X, dtype=float)
    except (TypeError, ValueError):
        return 0, 0
    return int(np.isnan(values).sum()), values.size


def _data(estimator: Any, seen: Given | None) -> Iterator[tuple[str, str]]:
    n, blanks = estimator.result_.n, getattr(estimator, "blank_rows_", 0)
    words = f"{n:.0f}" if float(n).is_integer() else f"{n:.6g} (total weight)"
    filled = f" time steps: {n - blanks:.6g} rows given, {blanks} blank steps filled in" if blanks else ""
    yield "n", words + filled
    yield "columns", columns_in_words(estimator)
    if seen is not None and seen.missing:
        yield "missing", f"{seen.missing} of {seen.entries} entries ({100 * seen.missing / seen.entries:.1f} %)"


def _criteria(estimator: Any, seen: Given | None) -> Iterator[tuple[str, str]]:
    result: Result = estimator.result_
    yield "log-likelihood", number(result.loglik)
    if not math.isclose(result.objective, result.loglik, rel_tol=SAME, abs_tol=SAME):
        what = dict(result.account).get("climbs", "log-likelihood plus log prior")
        yield "objective", f"{number(result.objective)} ({what})"
    yield "free parameters", str(result.n_free)
    bic, aic = _bic_aic(result.loglik, result.n_free, result.n)
    yield "BIC", f"{number(bic)} (lower is better)"
    yield "AIC", number(aic)
    if seen is not None and seen.trained_on:
        yield "ICL", number(seen.icl)


def _bic_aic(loglik: float, n_free: int, n: float) -> tuple[float, float]:
    return -2.0 * loglik + n_free * math.log(n), -2.0 * loglik + 2.0 * n_free


def _ending(estimator: Any) -> Iterator[tuple[str, str]]:
    result: Result = estimator.result_
    yield "status", result.message
    yield "left to gain", _left(result.left)
    yield "passes", str(result.passes)
    yield "algorithm", result.variant
    yield "starts", start_words(result.starts)
    yield "prior", prior_words(estimator)
    yield "constraints", constraint_words(result)
    yield "noise", noise_words(result)


def _left(left: float) -> str:
    if not np.isfinite(left):
        return ""
    return f"about {left:.1g} nats" if left > 0 else "nothing"


def _elsewhere(result: Result, seen: Given) -> list[str]:
    """Criteria of rows that are not those of the fit, or come without its weights or labels."""
    bic, aic = _bic_aic(seen.loglik, result.n_free, seen.n)
    pairs = [
        ("n", str(seen.n)),
        ("log-likelihood", f"{number(seen.loglik)} ({number(seen.loglik / seen.n)} a row)"),
        ("BIC", number(bic)),
        ("AIC", number(aic)),
        ("ICL", number(seen.icl)),
    ]
    return ["The rows given (other rows than those of the fit, or without its weights or labels)", "", *facts(pairs)]


# --- components ---


def component_rows(estimator: Any, seen: Given | None = None) -> tuple[list[str], list[Row], list[str]]:
    """The table of components: headings, rows, and lines about what they share."""
    result: Result = estimator.result_
    header = component_names(estimator)
    rows = _weights(estimator)
    if seen is not None:
        rows.append(Row("rows (most probable)", [str(size) for size in seen.sizes]))
    noisy = is_noisy(result)
    describe = _normal if isinstance(inner_family(result), Normal) else _generic
    body, shared = describe(estimator, len(header) - int(noisy))
    rows += _moves(getattr(estimator, "params_", {})) + _durations(estimator)
    rows += [Row(row.label, [*row.cells, ""]) if noisy and row.cells else row for row in body]
    return header, rows, shared


def _weights(estimator: Any) -> list[Row]:
    """The components' weights, over all rows and, where there are groups, in each."""
    overall, groups = overall_weights(estimator.result_), getattr(estimator, "groups_", None)
    rows = [] if overall is None else [Row("weight", numbers(overall, 4))]
    if groups is None:
        return rows
    each = np.asarray(estimator.weights_)
    return rows + _section("weight in group", [str(g) for g in groups], lambda h: numbers(each[h], 4), "weights_")


def _moves(params: Mapping[str, Any]) -> list[Row]:
    """Of a chain: the probabilities of beginning in each state, and of moving from it to each other one."""
    first, moves = (params.get(name) for name, _ in MOVES)
    rows = [Row("starts", numbers(first, 4))] if first is not None and np.ndim(first) == 1 else []
    if moves is None or getattr(moves, "ndim", 0) != 2:
        return rows
    ends = [f"{j}" if j < len(moves) else "the end" for j in range(moves.shape[1])]
    return rows + _section("moves from it to", ends, lambda j: numbers(moves[:, j], 4), "transmat_")


def _durations(estimator: Any) -> list[Row]:
    """Of a semi-Markov chain: how many rows a state lasts on average, but for the last thousandth of long laws."""
    lasts = getattr(estimator, "durations_", None)
    if lasts is None:
        return []
    table = np.asarray(lasts)
    total, rows = table.sum(axis=1), table @ np.arange(1.0, table.shape[1] + 1.0)
    means = rows / np.where(total > 0, total, 1.0)
    return [Row("rows it lasts (mean)", [number(float(m), 4) if m > 0 else "for ever" for m in means])]


def _normal(estimator: Any, k: int) -> tuple[list[Row], list[str]]:
    """Means, standard deviations and correlations of normal components."""
    means, covariances = moments(estimator)
    names = column_names(estimator)
    sds = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    finest = sds.min(axis=0)
    rows = _section("mean", names, lambda j: numbers(means[:, j], resolution=float(finest[j])), "means_")
    rows += _section("standard deviation", names, lambda j: numbers(sds[:, j], 4), "covariances_")
    others, shared = _generic(estimator, k, NORMAL)
    rows += others
    if inner_family(estimator.result_).diagonal or len(names) == 1:
        return rows, shared
    pairs = list(itertools.combinations(range(len(names)), 2))
    if len(pairs) > MOST_PAIRS:
        return rows, [*shared, "", f"Correlations of {len(names)} columns are many: see covariances_."]
    correlations = np.array([np.clip(covariances[:, i, j] / (sds[:, i] * sds[:, j]), -1.0, 1.0) for i, j in pairs])
    labels = [f"{names[i]}, {names[j]}" for i, j in pairs]
    return rows + _section("correlation", labels, lambda j: [number(float(v), 3) for v in correlations[j]], ""), shared


def _section(title: str, labels: list[str], cells: Callable[[int], list[str]], attribute: str) -> list[Row]:
    """A heading and a row for each label, the first ``MOST_ROWS`` of them."""
    rows = [Row(title), *(Row(f"  {label}", cells(j)) for j, label in enumerate(labels[:MOST_ROWS]))]
    return rows if len(labels) <= MOST_ROWS else [*rows, Row(f"  ... {len(labels) - MOST_ROWS} more in {attribute}")]


def moments(estimator: Any) -> tuple[Array, Array]:
    """Means (k, d) and whole covariances (k, d, d) of normal components."""
    params = estimator.result_.params.family
    covariances = np.asarray(params.covariances)
    if covariances.ndim == 2:
        covariances = covariances[:, :, None] * np.eye(covariances.shape[1])
    return np.asarray(params.means), covariances


def _generic(estimator: Any, k: int, left_out: tuple[str, ...] = ()) -> tuple[list[Row], list[str]]:
    """Every parameter of any family: a row an entry, a column a component; what has no component axis below."""
    rows: list[Row] = []
    shared: list[tuple[str, str]] = []
    levels = getattr(estimator, "levels_", None)
    for name, array in _arrays(getattr(estimator, "params_", {})):
        if (name, array.ndim) in MOVES or name in (*left_out, *APART):
            continue
        if array.ndim and array.shape[0] == k:
            rows += _entries(name, array, columns_of(estimator, name), levels)
        else:
            shared.append((name, ", ".join(numbers(array.ravel()[:12])) + (", ..." if array.size > 12 else "")))
    below = ["", "Shared by all components", *facts(shared)] if shared else []
    return rows, below


def _arrays(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Array]]:
    """Numeric parameters by name, nested ones joined by a dot; weights have their own row."""
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from _arrays(value, f"{prefix}{name}.")
        elif prefix or name != "weights":
            yield f"{prefix}{name}", np.asarray(value, dtype=float)


def _entries(name: str, array: Array, columns: list[str], levels: Any) -> list[Row]:
    if name.startswith("duration_") and array.ndim > 1 and array.shape[1] == 1:
        array = array[:, 0]  # a duration is no column of the data
    if array.ndim == 1:
        return [Row(name, numbers(array))]
    levels = levels if array.ndim == 3 and levels is not None and array.shape[1] == len(levels) else None
    places = [p for p in np.ndindex(*array.shape[1:]) if levels is None or levels[p[0]] is None or p[1] < len(levels[p[0]])]
    labels = [", ".join(_place(p, array.shape[1:], columns, levels)) for p in places]
    return _section(name, labels, lambda i: numbers(array[(slice(None), *places[i])]), f"{name}_")


def _place(place: tuple[int, ...], shape: tuple[int, ...], columns: list[str], levels: Any) -> Iterator[str]:
    for axis, (i, size) in enumerate(zip(place, shape, strict=True)):
        if axis == 1 and levels is not None and levels[place[0]] is not None:
            yield str(levels[place[0]][i])
        else:
            yield columns[i] if size == len(columns) else str(i)
