"""The laws of a structure: how the hidden labels of rows hang together.

Given log densities ``logb`` (n, k) a structure fills the labels in. On a tiny instance every configuration z can be
listed, so

    soft objective     log sum_z p(z) exp sum_i logb[i, z_i]            responsibilities   p(z_i = c | logb)
    hard objective     max_z log p(z) + sum_i logb[i, z_i]              q                  sum_z p(z | logb) log p(z)

``log p(z)`` comes from the caller (``log_prior_of_path``); for independent rows it is known. Each law is a function of
a ``StructureCase`` that raises AssertionError; ``STRUCTURE_LAWS`` lists them, ``check_structure`` runs them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import HARD, SOFT
from estep.core.record import leaves, rebuild
from estep.core.rows import take
from estep.core.support import Constraints, Simplex
from estep.testing import brute_force
from estep.testing.agreement import added, agree, agree_records, at_least, broken
from estep.testing.case_of_structure import LogPrior, StructureCase, structure_case
from estep.testing.coordinates import (
    goes_there_and_back,
    is_highest,
    is_legal,
    mean_is_zero,
    moves_only_the_free,
    slope_agrees,
)

Law = Callable[[StructureCase], None]


def the_start_is_legal(case: StructureCase) -> None:
    """``start(k)`` is within the support, and has the parameters that the structure names."""
    start = case.structure.start(case.k)
    missing = [name for name in case.structure.names if not hasattr(start, name)]
    if missing:
        broken("the_start_is_legal", f"start({case.k}) has no field {missing[0]!r}, which the structure names")
    is_legal("the_start_is_legal", f"start({case.k})", case.structure.support(start, Constraints()), start)


def every_row_is_collected_once(case: StructureCase) -> None:
    """Every row's responsibilities go to ``collect`` once."""
    for name in case.assigns:
        seen = case.infer(case.whole(), assign={"soft": SOFT, "hard": HARD}[name]).seen
        agree("every_row_is_collected_once", f"how often a row was collected ({name})", seen, np.ones(case.n))


def counts_add(case: StructureCase) -> None:
    """Counts, objective and log-likelihood of two groups of units add up to those of the whole."""
    if case.units < 2:
        return
    half = case.units // 2
    cut = half if case.ends is None else int(case.ends[half - 1])
    first, second = np.arange(cut), np.arange(cut, case.n)
    ends = (None, None) if case.ends is None else (case.ends[:half], case.ends[half:] - cut)
    parts = [case.infer(case.chunk(r, e)) for r, e in zip((first, second), ends, strict=True)]
    law, whole = "counts_add", case.infer(case.whole())
    counts = added(law, parts[0].counts, parts[1].counts)
    agree_records(law, f"counts of the first {half} units plus the rest", counts, whole.counts)
    agree(law, "objectives of two groups of units", parts[0].objective + parts[1].objective, whole.objective)
    agree(law, "log-likelihoods of two groups of units", parts[0].loglik + parts[1].loglik, whole.loglik)


def weight_two_is_seen_twice(case: StructureCase) -> None:
    """Weights of two are units seen twice; weights of zero count for nothing."""
    law, rows = "weight_two_is_seen_twice", np.tile(np.arange(case.n), 2)
    ends = None if case.ends is None else np.concatenate([case.ends, case.ends + case.n])
    twice, doubled = case.infer(case.chunk(rows, ends)), case.infer(case.whole(np.full(case.n, 2.0)))
    agree_records(law, "counts of weight 2", doubled.counts, twice.counts)
    agree(law, "the objective of weight 2", doubled.objective, twice.objective)
    agree(law, "the log-likelihood of weight 2", doubled.loglik, twice.loglik)
    agree(law, "the responsibilities of weight 2", doubled.resp, twice.resp[: case.n] + twice.resp[case.n :])
    nothing = case.infer(case.whole(np.zeros(case.n)))
    agree(law, "the objective of weight 0", nothing.objective, 0.0)
    agree_records(law, "counts of weight 0", nothing.counts, doubled.counts * 0.0)


def soft_objective_sums_over_paths(case: StructureCase) -> None:
    """The soft objective is the log-likelihood, and that is the sum over all configurations."""
    law, found = "soft_objective_sums_over_paths", case.infer(case.whole())
    expected = brute_force.log_likelihood(case.log_priors(), case.logb)
    agree(law, "the log-likelihood", found.loglik, expected)
    agree(law, "the soft objective", found.objective, expected)


def responsibilities_are_marginals(case: StructureCase) -> None:
    """What is handed to ``collect`` are the marginals of the posterior of configurations."""
    expected = brute_force.marginals(case.log_priors(), case.logb)
    agree("responsibilities_are_marginals", "resp", case.infer(case.whole()).resp, expected, atol=1e-12)


def hard_objective_is_the_best_path(case: StructureCase) -> None:
    """The hard objective is that of the best configuration, which gets all the weight; the log-likelihood stays."""
    if "hard" not in case.assigns:
        return
    law, found = "hard_objective_is_the_best_path", case.infer(case.whole(), assign=HARD)
    path, value = brute_force.best_path(case.log_priors(), case.logb)
    agree(law, "the hard objective", found.objective, value)
    agree(law, "resp of the best path", found.resp, np.eye(case.k)[path])
    agree(law, "the log-likelihood beside it", found.loglik, brute_force.log_likelihood(case.log_priors(), case.logb))
    agree(
        law,
        "q of the counts of the best path",
        _q(case, case.params, found.counts),
        case.log_prior_of_path(case.params, path),
    )


def q_is_the_expected_log_prior(case: StructureCase) -> None:
    """``q(theta, counts)`` is the posterior mean of log p(z | theta), at this theta and at others."""
    counts = case.infer(case.whole()).counts
    for words, params in (("params", case.params), ("other params", case.another()))[: 1 if case.local else 2]:
        expected = brute_force.expected(case.log_priors(), case.logb, case.log_priors(params))
        agree("q_is_the_expected_log_prior", f"q({words}, counts)", _q(case, params, counts), expected)


def _q(case: StructureCase, params: Any, counts: Any) -> float:
    return float(case.structure.q(params, counts))


def fit_maximises_q(case: StructureCase) -> None:
    """``fit`` maximises q over the free parameters, never ends below its start, and moves only what is free."""
    law, counts = "fit_maximises_q", case.infer(case.whole()).counts
    if case.local:
        _climbs(law, case, counts)
        return
    for start in (case.params, case.another()):
        fitted = case.structure.fit(counts, start, case.support)
        is_legal(law, "the fit", case.support, fitted)
        at_least(law, "q at the fit, against the start,", _q(case, fitted, counts), _q(case, start, counts))
        score = case.structure.score(fitted, counts, case.support)
        is_highest(law, lambda p: _q(case, p, counts), case.support, fitted, case.rng(), score)
        moves_only_the_free(law, case.support, start, fitted)


def _climbs(law: str, case: StructureCase, counts: Any) -> None:
    """Local statistics: a step of fit raises the expected log prior, and moves only what is free."""
    fitted, support, posterior = case.structure.fit(counts, case.params, case.support), case.support, case.log_priors()

    def height(params: Any) -> float:
        return brute_force.expected(posterior, case.logb, case.log_priors(params))

    is_legal(law, "the fit", support, fitted)
    moves_only_the_free(law, support, case.params, fitted)
    at_least(law, "the expected log prior after a step of fit", height(fitted), height(case.params))
    if support.count and np.array_equal(support.pack(fitted), support.pack(case.params)):
        broken(law, "a step of fit moves nothing, though the statistics have a slope there")


def score_is_the_gradient_of_q(case: StructureCase) -> None:
    """``score`` is the gradient of q in free coordinates."""
    counts = case.infer(case.whole()).counts
    for params in (case.params, case.another()):
        score = case.structure.score(params, counts, case.support)
        slope_agrees("score_is_the_gradient_of_q", "score", lambda p: _q(case, p, counts), score, case.support, params)


def unit_scores_add_up(case: StructureCase) -> None:
    """``unit_scores`` of the rows, where the structure has them, add up to ``score`` of their counts."""
    if not hasattr(case.structure, "unit_scores"):
        return
    law, found = "unit_scores_add_up", case.infer(case.whole())
    each = np.asarray(case.structure.unit_scores(case.params, found.resp, case.support, case.given))
    if each.shape != (case.n, case.support.count):
        broken(law, f"unit_scores has shape {each.shape}, expected ({case.n}, {case.support.count})")
    total = case.structure.score(case.params, found.counts, case.support)
    agree(law, "the sum of unit_scores", each.sum(axis=0), total, atol=1e-12 * case.n)


def support_goes_there_and_back(case: StructureCase) -> None:
    """Parameters are legal; free coordinates number ``count`` and lead back to them."""
    goes_there_and_back("support_goes_there_and_back", case.support, case.params, case.rng())


def explain_agrees_with_infer(case: StructureCase) -> None:
    """``explain`` gives the responsibilities of ``infer``, log densities that sum to its likelihood, and a path."""
    law, found = "explain_agrees_with_infer", case.infer(case.whole())
    told = case.structure.explain(case.params, lambda rows: case.logb[rows], case.whole())
    agree(law, "resp", told.resp, found.resp, atol=1e-12)
    agree(law, "the sum of log densities", told.log_density.sum(), found.loglik)
    if "hard" in case.assigns:
        agree(law, "path", told.path, brute_force.best_path(case.log_priors(), case.logb)[0])


def zeros_stay_zero(case: StructureCase) -> None:
    """A probability of zero gets no counts and stays zero in the fit."""
    law = "zeros_stay_zero"
    for name, entry in case.support.entries.items():
        value = np.array(dict(leaves(case.params))[name])
        if not isinstance(entry, Simplex) or value.shape[-1] < 2 or case.support.count == 0:
            continue
        free = np.argwhere(entry.rows[0].groups >= 0).ravel()
        if free.size < 2:
            continue
        value.reshape(-1, value.shape[-1])[0, free[0]] = 0.0
        value[...] = entry.share(value)
        zero = value == 0
        params = rebuild(case.params, {**dict(leaves(case.params)), name: value})
        counts = case.infer(case.whole(), params=params).counts
        if not np.isfinite(_q(case, params, counts)):
            broken(law, f"q is {_q(case, params, counts)} with {name} = 0 in one place: it got counts, or 0 log 0 is not 0")
        after = np.asarray(dict(leaves(case.structure.fit(counts, params, case.support)))[name])
        agree(law, f"{name} where it was zero", after[zero], np.zeros(int(zero.sum())), atol=0.0)


def components_permute(case: StructureCase) -> None:
    """Components in another order have the same likelihood, and responsibilities and fit in that order."""
    if not hasattr(case.structure, "permute") or case.k == 1 or case.support.count == 0:
        return
    law, order = "components_permute", np.roll(np.arange(case.k), 1)
    here = case.infer(case.whole())
    moved = case.structure.permute(case.params, order)
    there = case.infer(case.whole(), params=moved, logb=case.logb[:, order])
    agree(law, "the objective of permuted components", there.objective, here.objective)
    agree(law, "resp of permuted components", there.resp, here.resp[:, order], atol=1e-12)
    agree(law, "q of permuted components", _q(case, moved, there.counts), _q(case, case.params, here.counts))


def samples_follow_the_prior(case: StructureCase) -> None:
    """``sample`` draws labels 0..k-1, and at the true parameters their score has mean zero."""
    if not hasattr(case.structure, "sample"):
        return
    law, rng, n, scores = "samples_follow_the_prior", case.rng(), 500, []
    for _ in range(60):
        drawn, where = case, {}
        if case.given is not None:
            drawn = dataclasses.replace(case, given=take(case.given, rng.integers(case.n, size=n)))
            where = {"given": drawn.given}
        labels = np.asarray(case.structure.sample(case.params, n, rng, **where))
        if labels.shape != (n,) or labels.min() < 0 or labels.max() >= case.k:
            broken(law, f"sample of {n} has shape {labels.shape}, labels {labels.min()} to {labels.max()}, k={case.k}")
        logb = np.where(np.eye(case.k, dtype=bool)[labels], 0.0, -np.inf)
        ends = None if case.ends is None else np.array([n])
        counts = drawn.infer(drawn.chunk(np.arange(n), ends), logb=logb).counts
        scores.append(case.structure.score(case.params, counts, case.support))
    mean_is_zero(law, np.array(scores), "sampled labels")


STRUCTURE_LAWS: tuple[Law, ...] = (
    the_start_is_legal,
    every_row_is_collected_once,
    counts_add,
    weight_two_is_seen_twice,
    soft_objective_sums_over_paths,
    responsibilities_are_marginals,
    hard_objective_is_the_best_path,
    q_is_the_expected_log_prior,
    fit_maximises_q,
    score_is_the_gradient_of_q,
    unit_scores_add_up,
    support_goes_there_and_back,
    explain_agrees_with_infer,
    zeros_stay_zero,
    components_permute,
    samples_follow_the_prior,
)


def check_structure(
    structure: Any,
    k: int,
    *,
    given: Any = None,
    n: int = 6,
    rng: np.random.Generator | None = None,
    params: Any = None,
    constraints: Constraints | None = None,
    ends: NDArray[np.intp] | None = None,
    log_prior_of_path: LogPrior | None = None,
    assigns: tuple[str, ...] = ("soft", "hard"),
    local: bool = False,
) -> None:
    """Check every law of ``STRUCTURE_LAWS`` on ``structure`` with ``n`` rows of random log densities (k^n <= 1e6).

    Parameters
    ----------
    structure : Structure
        With ``infer``, ``explain``, ``fit``, ``q``, ``score``, ``support`` and ``start``.
    k : int
        Number of classes.
    given : Any
        What the structure reads beside the rows, (n, ...), or None.
    params : record or None
        Where the laws are checked; None is a random point of the support.
    constraints : Constraints or None
        Fixed and tied entries, which ``params`` must obey.
    ends : int array or None
        Ends of sequences; None makes every row a unit of its own.
    log_prior_of_path : callable or None
        ``(params, z) -> log p(z)`` for labels z (n,); None is independent draws from ``params.weights``.
    assigns : tuple of str
        ``"soft"``, ``"hard"``: the ways to fill in labels that the structure accepts.
    local : bool
        Statistics are value, slope and curvature at the current parameters, and ``fit`` is one guarded step.

    Raises
    ------
    AssertionError
        Naming the law that does not hold, what was found and expected, and the worst place.

    Examples
    --------
    >>> from estep.structures.iid import Iid
    >>> check_structure(Iid(), 3, n=4)
    """
    case = structure_case(
        structure,
        k,
        given=given,
        n=n,
        rng=rng,
        params=params,
        constraints=constraints,
        ends=ends,
        log_prior_of_path=log_prior_of_path,
        assigns=assigns,
        local=local,
    )
    for law in STRUCTURE_LAWS:
        law(case)
