"""The laws of a family: how a row looks once its component is known.

    rows add                  stats(rows a and b) = stats(a) + stats(b)
    weight 2 is seen twice    stats(rows, 2 resp) = stats(rows twice, resp)
    statistics scale          stats(rows, c resp) = c stats(rows, resp),  q(., c stats) = c q(., stats)
    q                         q(theta, stats) = sum_ik resp_ik log p(x_i | k, theta)         complete data
    Fisher's identity         d/dtheta q(theta, stats made at theta) = d/dtheta sum_ik resp_ik log p(x_i | k, theta)
    fit                       q(fit(stats), stats) >= q(theta, stats) for every theta
    score                     score(theta, stats) = d/dtheta q(theta, stats)

Each law is a function of a ``FamilyCase`` that raises AssertionError; ``FAMILY_LAWS`` lists them, ``check_family`` runs
them.
A law about something optional that the family lacks (score, sample, missing values ...) holds for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.record import Array, leaves
from estep.core.rows import take
from estep.core.support import Constraints
from estep.testing.agreement import added, agree, agree_records, at_least, broken, weighted_sum
from estep.testing.case_of_family import FamilyCase, family_case
from estep.testing.coordinates import (
    gain_left,
    goes_there_and_back,
    in_coordinates,
    is_highest,
    is_legal,
    mean_is_zero,
    moves_only_the_free,
    slope_agrees,
    slopes,
)

CONVERGED = 1e-6
"""Nats left to gain, relative to 1 + |loglik|, after the passes of ``one_component_is_maximum_likelihood``."""


Law = Callable[[FamilyCase], None]


def the_start_is_legal(case: FamilyCase) -> None:
    """``start(k)`` is within the support, and has the parameters that the family names."""
    start = case.family.start(case.k)
    missing = [name for name in case.family.names if not hasattr(start, name)]
    if missing:
        broken("the_start_is_legal", f"start({case.k}) has no field {missing[0]!r}, which the family names")
    is_legal("the_start_is_legal", f"start({case.k})", case.family.support(start, Constraints()), start)


def slices_encode(case: FamilyCase) -> None:
    """A slice of rows encodes on its own, into the log densities (rows, k) of just those rows."""
    whole = case.log_density(case.params, case.x)
    if whole.shape != (case.n, case.k):
        broken("slices_encode", f"log_density has shape {whole.shape}, expected ({case.n}, {case.k})")
    if np.isnan(whole).any():
        broken("slices_encode", f"log_density of row {int(np.argwhere(np.isnan(whole))[0, 0])} is NaN")
    for rows in (slice(0, case.n), slice(0, 1), slice(case.n // 3, case.n // 2 + 1), slice(case.n - 1, case.n)):
        part = case.log_density(case.params, case.rows(rows))
        agree("slices_encode", f"the log density of rows {rows.start} to {rows.stop}", part, whole[rows])


def rows_stand_alone(case: FamilyCase) -> None:
    """The log density of a row does not depend on its neighbours."""
    whole, order = case.log_density(case.params, case.x), case.rng().permutation(case.n)
    agree(
        "rows_stand_alone",
        "the log density of shuffled rows",
        case.log_density(case.params, case.rows(order)),
        whole[order],
    )
    for i in order[:4]:
        odd = np.concatenate([[i, i], order[::3], [i]])
        agree(
            "rows_stand_alone",
            f"the log density of row {i} among others",
            case.log_density(case.params, case.rows(odd)),
            whole[odd],
        )


def rows_add(case: FamilyCase) -> None:
    """Statistics of two halves add up to those of the whole."""
    whole = case.stats(case.params, case.x, case.resp)
    for cut in (1, case.n // 2, case.n - 2):
        first, second = slice(0, cut), slice(cut, case.n)
        parts = [case.stats(case.params, case.rows(r), case.resp[r]) for r in (first, second)]
        agree_records("rows_add", f"stats of rows before {cut} plus the rest", added("rows_add", *parts), whole)


def weight_two_is_seen_twice(case: FamilyCase) -> None:
    """Doubled responsibilities are duplicated rows, and zero responsibilities are absent rows."""
    law, twice = "weight_two_is_seen_twice", np.tile(np.arange(case.n), 2)
    seen = case.stats(case.params, case.rows(twice), case.resp[twice])
    agree_records(law, "stats of doubled weights", case.stats(case.params, case.x, 2.0 * case.resp), seen)
    kept = case.rng().random(case.n) < 0.6
    kept[0] = True
    there = np.flatnonzero(kept)
    absent = case.stats(case.params, case.rows(there), case.resp[there])
    agree_records(law, "stats of zero weights", case.stats(case.params, case.x, case.resp * kept[:, None]), absent)


def statistics_scale(case: FamilyCase) -> None:
    """Statistics are linear in the responsibilities, and q is linear in the statistics."""
    law, stats = "statistics_scale", case.stats(case.params, case.x, case.resp)
    value = float(case.family.q(case.params, stats))
    for c in (0.37, 3.0):
        agree_records(law, f"stats of {c} resp", case.stats(case.params, case.x, c * case.resp), stats * c)
        agree(law, f"q of {c} stats", case.family.q(case.params, stats * c), c * value)


def q_is_weighted_log_density(case: FamilyCase) -> None:
    """For complete data ``q = sum resp * log_density``, at the parameters that made the statistics and at others."""
    if case.hidden or case.local:
        return
    stats = case.stats(case.params, case.x, case.resp)
    for words, params in (("params", case.params), ("other params", case.another())):
        agree("q_is_weighted_log_density", f"q({words}, stats)", case.family.q(params, stats), case.loglik(params))


def q_has_the_slope_of_the_likelihood(case: FamilyCase) -> None:
    """Fisher's identity: at the parameters that made the statistics, q and the likelihood have the same gradient."""
    law = "q_has_the_slope_of_the_likelihood"
    for params in (case.params, case.another()):
        stats = case.stats(params, case.x, case.resp)
        slope, _ = slopes(*in_coordinates(case.q(stats), case.support, params))
        slope_agrees(law, "the gradient of q", case.loglik, slope, case.support, params)


def fit_maximises_q(case: FamilyCase) -> None:
    """``fit`` maximises q over the free parameters, and never ends below where it began."""
    law, family = "fit_maximises_q", case.family
    resp = case.rng().dirichlet(np.full(case.k, 0.8), size=case.n)
    for start in (case.params, case.another()):
        stats = case.stats(start, case.x, resp)
        fitted = family.fit(stats, start, case.support)
        is_legal(law, "the fit", case.support, fitted)
        if case.local:
            _climbs(law, case, start, fitted, resp)
            continue
        at_least(law, "q at the fit, against the start,", float(family.q(fitted, stats)), float(family.q(start, stats)))
        is_highest(law, case.q(stats), case.support, fitted, case.rng(), case.score(fitted, stats))


def _climbs(law: str, case: FamilyCase, start: Any, fitted: Any, resp: Array) -> None:
    before, after = (weighted_sum(resp, case.log_density(p, case.x)) for p in (start, fitted))
    at_least(law, "the weighted log density after a step of fit", after, before)


def fit_moves_only_what_is_free(case: FamilyCase) -> None:
    """What is fixed stays, what is tied stays equal, and the fit keeps the structure of its support."""
    resp = case.rng().dirichlet(np.full(case.k, 0.8), size=case.n)
    fitted = case.family.fit(case.stats(case.params, case.x, resp), case.params, case.support)
    moves_only_the_free("fit_moves_only_what_is_free", case.support, case.params, fitted)


def score_is_the_gradient_of_q(case: FamilyCase) -> None:
    """``score`` is the gradient of q in free coordinates, wherever it is taken."""
    if not hasattr(case.family, "score"):
        return
    stats = case.stats(case.params, case.x, case.resp)
    for params in (case.params,) if case.local else (case.params, case.another()):
        score = case.family.score(params, stats, case.support)
        slope_agrees("score_is_the_gradient_of_q", "score", case.q(stats), score, case.support, params)


def support_goes_there_and_back(case: FamilyCase) -> None:
    """Fitted parameters are legal; free coordinates number ``count`` and lead back to them."""
    for params in (case.params, case.another()):
        goes_there_and_back("support_goes_there_and_back", case.support, params, case.rng())


def unit_scores_add_up(case: FamilyCase) -> None:
    """The scores of single rows, (n, p), are those of the rows taken alone, and sum to the score."""
    if not hasattr(case.family, "unit_scores") or not hasattr(case.family, "score"):
        return
    law = "unit_scores_add_up"
    each = np.asarray(case.family.unit_scores(case.params, case.encode(case.x), case.resp, case.support))
    if each.shape != (case.n, case.support.count):
        broken(law, f"unit_scores has shape {each.shape}, expected ({case.n}, {case.support.count})")
    size = 1e-9 * np.abs(each).sum(axis=0).max(initial=0.0)
    total = case.score(case.params, case.stats(case.params, case.x, case.resp))
    agree(law, "the sum of unit_scores", each.sum(axis=0), total, atol=size)
    for i in range(0, case.n, max(1, case.n // 5)):
        rows = slice(i, i + 1)
        alone = case.score(case.params, case.stats(case.params, case.rows(rows), case.resp[rows]))
        agree(law, f"the unit score of row {i}", each[i], alone, atol=size, rtol=1e-7)


def components_permute(case: FamilyCase) -> None:
    """Components in another order have their densities in that order, and are fitted as well."""
    if not hasattr(case.family, "permute") or case.k == 1 or not getattr(case.family, "exchangeable", True):
        return
    order, law = np.roll(np.arange(case.k), 1), "components_permute"
    moved = case.family.permute(case.params, order)
    found, expected = case.log_density(moved, case.x), case.log_density(case.params, case.x)[:, order]
    agree(law, "the log density of permuted components", found, expected)
    q = case.family.q(case.params, case.stats(case.params, case.x, case.resp))
    agree(law, "q of permuted components", case.family.q(moved, case.stats(moved, case.x, case.resp[:, order])), q)


def samples_follow_the_density(case: FamilyCase) -> None:
    """``sample`` gives a row for each label, and at the true parameters the score of samples has mean zero."""
    if not hasattr(case.family, "sample"):
        return
    law, rng, batches, m = "samples_follow_the_density", case.rng(), 40, 250
    labels = rng.integers(case.k, size=batches * m)
    x = case.family.sample(case.params, labels, rng)
    found = len(x[0] if isinstance(x, tuple) else x)
    if found != labels.size:
        broken(law, f"sample gives {found} rows for {labels.size} labels")
    resp, scores = np.eye(case.k)[labels], []
    for i in range(0, labels.size, m):
        rows = slice(i, i + m)
        stats = case.stats(case.params, take(x, rows), resp[rows])
        scores.append(case.score(case.params, stats))
    mean_is_zero(law, np.array(scores), "samples")


def missing_rows_say_nothing(case: FamilyCase) -> None:
    """Where NaN is accepted: an all-missing row has log density 0 under every component, and pulls at no parameter."""
    blank = _blank_row(case)
    if blank is None:
        return
    law = "missing_rows_say_nothing"
    agree(law, "the log density of an all-missing row", case.log_density(case.params, blank), np.zeros((1, case.k)))
    more = np.concatenate([case.rows(slice(0, case.n)), blank])
    resp = np.vstack([case.resp, np.full((1, case.k), 1.0 / case.k)])
    with_row = weighted_sum(resp, case.log_density(case.params, more))
    agree(law, "the likelihood with an all-missing row", with_row, case.loglik(case.params))
    # scores of unlike responsibilities: at those of the fit they are zero, and zero agrees with anything
    resp[:-1] = case.rng().gamma(0.5, size=(case.n, case.k))
    score = case.score(case.params, case.stats(case.params, more, resp))
    without = case.score(case.params, case.stats(case.params, case.x, resp[:-1]))
    agree(law, "the score with an all-missing row", score, without, rtol=1e-8, atol=1e-9)


def _blank_row(case: FamilyCase) -> Any:
    """A row (1, ...) of NaN that the family accepts, or None."""
    if not isinstance(case.x, np.ndarray) or case.x.dtype.kind not in "fiu":
        return None
    blank = np.full((1, *case.x.shape[1:]), np.nan)
    try:
        case.log_density(case.params, blank)
    except (ValueError, TypeError):
        return None
    return blank


def one_component_is_maximum_likelihood(case: FamilyCase) -> None:
    """With one component, repeated fits never lower the weighted log-likelihood and end at its maximum."""
    if case.k > 1 and not getattr(case.family, "exchangeable", True):
        return  # a family of so many components, and of no other number
    law, family = "one_component_is_maximum_likelihood", case.family
    resp: Array = case.rng().uniform(0.2, 2.0, size=(case.n, 1))
    params = family.start(1)
    support = family.support(params, Constraints())

    def loglik(params: Any) -> float:
        return weighted_sum(resp, case.log_density(params, case.x))

    value = loglik(params)
    for _ in range(500 if case.hidden or case.local else 2):
        params = family.fit(case.stats(params, case.x, resp), params, support)
        before, value = value, loglik(params)
        at_least(law, "the log-likelihood after a fit", value, before, rtol=1e-10)
        if value - before <= 1e-12 * (1.0 + abs(value)):
            break
    slope, curvature = slopes(*in_coordinates(loglik, support, params))
    left = gain_left(slope, curvature)
    if not left <= CONVERGED * (1.0 + abs(value)):
        worst = int(np.argmax(np.abs(slope) / np.sqrt(np.maximum(np.abs(curvature), 1e-6))))
        broken(
            law,
            f"the slope of the log-likelihood in coordinate {worst} is {slope[worst]:.4g}: {left:.3g} nats are left",
        )


def parameters_are_not_changed(case: FamilyCase) -> None:
    """No method changes the parameters, the rows or the responsibilities it is given."""
    resp = case.rng().dirichlet(np.full(case.k, 0.8), size=case.n)
    parts = [np.asarray(part) for part in (case.x if isinstance(case.x, tuple) else (case.x,))]
    given = {f"params.{name}": np.asarray(leaf) for name, leaf in leaves(case.params)}
    given |= {f"x {i}": part for i, part in enumerate(parts) if part.dtype.kind == "f"} | {"resp": resp}
    before = {name: np.nan_to_num(value) for name, value in given.items()}
    stats = case.stats(case.params, case.x, resp)
    case.family.fit(stats, case.params, case.support)
    case.log_density(case.params, case.x)
    for name, value in given.items():
        agree("parameters_are_not_changed", f"{name} afterwards", np.nan_to_num(value), before[name], rtol=0.0)


FAMILY_LAWS: tuple[Law, ...] = (
    the_start_is_legal,
    slices_encode,
    rows_stand_alone,
    rows_add,
    weight_two_is_seen_twice,
    statistics_scale,
    q_is_weighted_log_density,
    q_has_the_slope_of_the_likelihood,
    fit_maximises_q,
    fit_moves_only_what_is_free,
    score_is_the_gradient_of_q,
    support_goes_there_and_back,
    unit_scores_add_up,
    components_permute,
    samples_follow_the_density,
    missing_rows_say_nothing,
    one_component_is_maximum_likelihood,
    parameters_are_not_changed,
)


def check_family(
    family: Any,
    x: Any,
    *,
    k: int = 3,
    rng: np.random.Generator | None = None,
    params: Any = None,
    labels: NDArray[np.intp] | None = None,
    constraints: Constraints | None = None,
    has_hidden_part: bool = False,
    local: bool = False,
) -> None:
    """Check every law of ``FAMILY_LAWS`` on ``family`` with the sample rows ``x``.

    Parameters
    ----------
    family : Family
        Bound or not; it is bound to ``x`` where it can be.
    x : array (n, ...) or tuple of arrays
        Some 30 to 100 rows that the family could have produced; NaN where it takes missing values.
    k : int
        Number of components.
    rng : Generator or None
        Draws responsibilities and other parameters; None is a fixed seed.
    params : record or None
        Where the first fit begins; None is ``family.start(k)``. With ``constraints`` they must obey them.
    labels : int array (n,) or None
        Components the rows come from, where random responsibilities would fit badly.
    constraints : Constraints or None
        Fixed and tied entries.
    has_hidden_part : bool
        Part of a row is unobserved although ``x`` shows no NaN (latent scales, censoring, factors).
    local : bool
        Statistics are value, slope and curvature at the current parameters, and ``fit`` is one guarded step.

    Raises
    ------
    AssertionError
        Naming the law that does not hold, what was found and expected, and the worst place.

    Examples
    --------
    >>> from estep.families.normal import Normal
    >>> check_family(Normal("VVI"), np.random.default_rng(0).normal(size=(40, 2)), k=2)
    """
    case = family_case(
        family,
        x,
        k=k,
        rng=rng,
        params=params,
        labels=labels,
        constraints=constraints,
        has_hidden_part=has_hidden_part,
        local=local,
    )
    for law in FAMILY_LAWS:
        law(case)
