"""The laws of a model: two pure maps whose statistics add, run by the one loop.

    Fisher's identity   score(theta, stats made at theta) = d/dtheta log p(data | theta)
    M-step              q(mstep(stats), stats) + q(mstep(stats), prior) >= the same at any theta
    ascent              log p(data | theta) + q(theta, prior) never falls from pass to pass
    sameness            chunks, row order, threads, component order and interruptions do not matter

Each law is a function of a ``ModelCase`` that raises AssertionError; ``MODEL_LAWS`` lists them, ``check_model`` runs
them.
A law about something optional that the model lacks (score, permute, prior, labels ...) holds for it.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import SOFT, ImpossibleRow
from estep.core.protocols import Expected
from estep.core.record import Array, identical, leaves, transform
from estep.core.result import Status
from estep.core.support import Constraints
from estep.engine.checkpoint import load_state, save_state
from estep.engine.presets import Variant, variant_of
from estep.engine.run import Control, start
from estep.testing.agreement import agree, agree_records, at_least, broken
from estep.testing.case_of_model import PASSES, ModelCase, model_case
from estep.testing.coordinates import gain_left, goes_there_and_back, in_coordinates, is_highest, slope_agrees, slopes

ACCELERATORS = ("none", "squarem", "anderson")
STOPS = (1, 2, 3, 6)
"""Passes at which runs are interrupted: the first, before and after the first leap, and later."""


Law = Callable[[ModelCase], None]


def same_expectation(law: str, what: str, found: Expected, expected: Expected) -> None:
    """Break ``law`` unless two E-steps agree in statistics, likelihood, objective and weight."""
    for name in ("loglik", "objective", "n"):
        agree(law, f"{name} {what}", getattr(found, name), getattr(expected, name))
    agree_records(law, f"stats {what}", found.stats, expected.stats)


def objective_never_falls(case: ModelCase) -> None:
    """The watched objective does not fall from pass to pass, by hand, in the engine, or with an accelerator."""
    law, params = "objective_never_falls", case.params
    variant = variant_of(case.how, "none")
    if variant.certificate == "heuristic":
        return
    value = -np.inf
    for _ in range(PASSES):
        seen = case.expected(params=params)
        before, value = value, case.objective(seen, params)
        if np.isfinite(before):
            at_least(law, "the objective after an EM step", value, before, rtol=1e-11)
        params = case.model.mstep(seen.stats, params)
    for accelerate in ACCELERATORS if case.soft else ("none",):
        trace = case.fit(accelerate, max_iter=20)
        if trace.status is Status.FELL:
            broken(law, f"the run with accelerate={accelerate!r} ended with: {trace.message}")
        drops = np.diff(trace.trace.objective)
        floor = -1e-11 * (1.0 + abs(trace.objective))
        if drops.size and not drops.min() >= floor:
            broken(law, f"pass {int(np.argmin(drops)) + 1} of accelerate={accelerate!r} lost {-drops.min():.3g} nats")


def chunks_do_not_matter(case: ModelCase) -> None:
    """Any cut into chunks gives the same E-step."""
    law, whole = "chunks_do_not_matter", case.expected(case.data(rows=case.n))
    for rows in (1, 7, max(1, case.n // 2)):
        try:
            found = case.expected(case.data(rows=rows))
        except ValueError as error:
            broken(law, f"an E-step in chunks of {rows} rows fails: {error}")
        same_expectation(law, f"in chunks of {rows} rows", found, whole)


def row_order_does_not_matter(case: ModelCase) -> None:
    """Shuffled rows give the same E-step."""
    if not case.exchangeable:
        return
    shuffled = case.data(case.rng().permutation(case.n), rows=11)
    same_expectation("row_order_does_not_matter", "of shuffled rows", case.expected(shuffled), case.expected())


def threads_do_not_matter(case: ModelCase) -> None:
    """One, two and three threads give the same bits, in an E-step and in a run."""
    law = "threads_do_not_matter"
    one = case.expected(case.data(rows=5, n_jobs=1))
    run = case.fit(data=case.data(rows=5, n_jobs=1), max_iter=4)
    for threads in (2, 3):
        data = case.data(rows=5, n_jobs=threads)
        found = case.expected(data)
        if not identical(found, one):
            agree_records(law, f"an E-step in {threads} threads", found, one, rtol=0.0)
            broken(law, f"an E-step in {threads} threads has other bits")
        again = case.fit(data=data, max_iter=4)
        if not identical(again.params, run.params) or not np.array_equal(again.trace.objective, run.trace.objective):
            agree_records(law, f"the fit in {threads} threads", again.params, run.params, rtol=0.0)
            broken(law, f"a run in {threads} threads has another trace")


def components_permute(case: ModelCase) -> None:
    """Components in another order have the same likelihood, and three passes later still."""
    if not case.symmetric or not hasattr(case.model, "permute") or getattr(case.model, "k", 2) < 2 or case.allowed is not None:
        return
    law, order = "components_permute", np.roll(np.arange(case.model.k), 1)
    here, there = case.params, case.model.permute(case.params, order)
    for words in ("at the start", "after one pass", "after two passes"):
        seen, moved = case.expected(params=here), case.expected(params=there)
        agree(law, f"the objective of permuted components {words}", moved.objective, seen.objective, rtol=1e-8)
        agree(law, f"the log-likelihood of permuted components {words}", moved.loglik, seen.loglik, rtol=1e-8)
        here, there = case.model.mstep(seen.stats, here), case.model.mstep(moved.stats, there)


def score_is_the_slope_of_the_likelihood(case: ModelCase) -> None:
    """Fisher's identity: ``score(params, stats made at params)`` is the gradient of the observed log-likelihood."""
    law, later = "score_is_the_slope_of_the_likelihood", case.model.mstep(case.expected().stats, case.params)
    for params in (case.params, later):
        stats = case.expected(params=params, assign=SOFT).stats
        support = case.model.support(params)
        if hasattr(case.model, "score"):
            score = case.model.score(params, stats)
        else:
            score = slopes(*in_coordinates(lambda p, s=stats: float(case.model.q(p, s)), support, params))[0]  # type: ignore[misc]
        loglik = lambda p: float(case.expected(params=p, assign=SOFT).loglik)  # noqa: E731
        slope_agrees(law, "score", loglik, score, support, params)


def mstep_maximises_q(case: ModelCase) -> None:
    """``mstep`` maximises ``q(., stats) + q(., prior)`` over what is free, never below where it began."""
    law, model, stats = "mstep_maximises_q", case.model, case.expected().stats

    def total(params: Any) -> float:
        prior = 0.0 if model.prior is None else float(model.q(params, model.prior))
        return float(model.q(params, stats)) + prior

    fitted = model.mstep(stats, case.params)
    at_least(law, "q after the M-step, against q before,", total(fitted), total(case.params))
    is_highest(law, total, model.support(fitted), fitted, case.rng())


def support_goes_there_and_back(case: ModelCase) -> None:
    """Parameters are legal; free coordinates number ``count`` and lead back to them."""
    support = case.model.support(case.params)
    goes_there_and_back("support_goes_there_and_back", support, case.params, case.rng())


def weight_two_is_seen_twice(case: ModelCase) -> None:
    """Doubled weights are duplicated rows, in sums and in the stop rule's weight; weights of zero are absent rows."""
    law = "weight_two_is_seen_twice"
    weight = np.ones(case.n) if case.weight is None else case.weight
    twice = case.expected(case.data(np.tile(np.arange(case.n), 2)))
    same_expectation(law, "of doubled weights", case.expected(case.data(weight=2.0 * weight)), twice)
    kept = case.rng().random(case.n) < 0.7
    present = case.expected(case.data(np.flatnonzero(kept)))
    same_expectation(law, "of zero weights", case.expected(case.data(weight=weight * kept)), present)


def labels_are_obeyed(case: ModelCase) -> None:
    """A row's likelihood is the sum, over the classes its label allows, of what it has with each class given."""
    k = getattr(case.model, "k", None)
    if k is None or not case.exchangeable:
        return
    law, rows = "labels_are_obeyed", case.rng().choice(case.n, size=min(case.n, 6), replace=False)
    for i in rows:
        alone = np.array([_labelled(case, int(i), np.array([c])) for c in range(k)])
        for classes in (np.arange(k), np.arange(1, k), np.arange(k)[::2]):
            permitted = np.zeros((1, k), dtype=bool)
            permitted[0, classes] = True
            expected = float(np.logaddexp.reduce(alone[classes], initial=-np.inf))
            agree(
                law,
                f"the log-likelihood of row {i} with classes {classes.tolist()} allowed",
                _labelled(case, int(i), permitted),
                expected,
            )
        agree(
            law,
            f"the log-likelihood of row {i} without a label",
            _labelled(case, int(i), np.array([-1])),
            float(np.logaddexp.reduce(alone)),
        )


def _labelled(case: ModelCase, row: int, allowed: NDArray[Any]) -> float:
    """Log-likelihood of one row alone, of weight one, with its permitted classes; -inf where they are impossible."""
    data = dataclasses.replace(case.data(slice(row, row + 1), weight=np.ones(1)), allowed=allowed)
    try:
        return float(case.expected(data, assign=SOFT).loglik)
    except ImpossibleRow:
        return float("-inf")


def constraints_hold(case: ModelCase) -> None:
    """What no free coordinate moves stays as it is, and what they move together stays equal, pass after pass."""
    law, params = "constraints_hold", case.params
    support, rng = case.model.support(params), case.rng()
    vector = np.asarray(support.pack(params), dtype=float)
    moved = [support.unpack(vector + 0.01 * rng.standard_normal(vector.size), params) for _ in range(3)]
    for _ in range(3):
        params = case.model.mstep(case.expected(params=params).stats, params)
    others = [dict(leaves(m)) for m in moved]
    for name, before in leaves(case.params):
        after, tracks = np.ravel(dict(leaves(params))[name]), np.array([np.ravel(m[name]) for m in others])
        fixed = np.all(tracks == np.ravel(before), axis=0)
        agree(law, f"{name} (flattened) at its fixed entries", after[fixed], np.ravel(before)[fixed], rtol=1e-14)
        _, group = np.unique(np.round(tracks[:, ~fixed], 12), axis=1, return_inverse=True)
        group, values = group.ravel(), after[~fixed]
        first = np.array([values[np.argmax(group == g)] for g in group])
        agree(law, f"{name} (its moving entries) against the first entry tied to each", values, first, rtol=1e-9)


def prior_counts_once(case: ModelCase) -> None:
    """With a prior the objective is log-likelihood plus q(prior), and a converged run is a maximum of just that."""
    if case.model.prior is None or not case.soft:
        return
    law, result = "prior_counts_once", case.fit("squarem", max_iter=400, tol=1e-11)
    prior = float(case.model.q(result.params, case.model.prior))
    agree(law, "the objective at the end", result.objective, result.loglik + prior)
    agree(law, "the log-likelihood at the end", result.loglik, case.expected(params=result.params).loglik)
    watched = lambda p: case.objective(case.expected(params=p), p)  # noqa: E731
    slope, curvature = slopes(*in_coordinates(watched, case.model.support(result.params), result.params))
    left = gain_left(slope, curvature)
    if not left <= 1e-6 * (1.0 + abs(result.objective)):
        broken(law, f"{left:.3g} nats of loglik + log prior are left at the end of the run ({result.message})")


def resumes_to_the_bit(case: ModelCase) -> None:
    """A run stopped at any pass and resumed from its checkpoint has the bits of one that was not stopped."""
    law = "resumes_to_the_bit"
    for accelerate in ACCELERATORS if case.soft else ("none",):
        whole = case.fit(accelerate)
        for stop in (j for j in STOPS if j < len(whole.trace)):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "state"
                case.fit(accelerate, checkpoint=path, watch=lambda state, _, j=stop: len(state.trace) >= j)
                resumed = case.fit(accelerate, checkpoint=path)
            words = f"accelerate={accelerate!r} stopped at pass {stop} and resumed"
            if not np.array_equal(resumed.trace.objective, whole.trace.objective):
                both = zip(resumed.trace.objective, whole.trace.objective, strict=False)
                j = next((i for i, (a, b) in enumerate(both) if a != b), len(whole.trace))
                broken(
                    law,
                    f"{words}: {len(resumed.trace)} passes for {len(whole.trace)}, other bits from pass {j}",
                )
            if not identical(resumed.params, whole.params):
                agree_records(law, f"params of {words}", resumed.params, whole.params, rtol=0.0)


def a_state_before_the_first_pass_is_kept(case: ModelCase) -> None:
    """The state of a run that has not begun is saved and read back to the bit, and runs as if it had not been."""
    law, variant = "a_state_before_the_first_pass_is_kept", variant_of(case.how, "squarem" if case.soft else "none")
    state = start(case.model, case.params, variant, Control())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        save_state(state, path, variant)
        again = load_state(path, start(case.model, transform(case.params, lambda _, v: 0.0 * v), variant, Control()), variant)
    if not identical(again, state):
        agree_records(law, "the state", again.params, state.params, rtol=0.0)
        broken(law, "the state read back differs from the one saved")


def one_component_is_maximum_likelihood(case: ModelCase) -> None:
    """With one class EM ends at the maximum of the likelihood."""
    model: Any = case.model
    if not dataclasses.is_dataclass(model) or not hasattr(case.model, "k") or case.allowed is not None or not case.soft:
        return
    free = {"constraints": Constraints()} if hasattr(case.model, "constraints") else {}
    model = dataclasses.replace(case.model, k=1, prior=None, **free)
    alone = dataclasses.replace(case, model=model, params=model.start())
    half = alone.expected(alone.data(slice(0, case.n // 2)))
    result = alone.fit("squarem", params=model.mstep(half.stats, alone.params), max_iter=300, tol=1e-12)
    loglik = lambda p: float(alone.expected(params=p).loglik)  # noqa: E731
    slope, curvature = slopes(*in_coordinates(loglik, model.support(result.params), result.params))
    left = gain_left(slope, curvature)
    if result.status is Status.FELL or not left <= 1e-6 * (1.0 + abs(result.loglik)):
        broken("one_component_is_maximum_likelihood", f"{left:.3g} nats of log-likelihood are left ({result.message})")


MODEL_LAWS: tuple[Law, ...] = (
    support_goes_there_and_back,
    objective_never_falls,
    chunks_do_not_matter,
    row_order_does_not_matter,
    threads_do_not_matter,
    components_permute,
    score_is_the_slope_of_the_likelihood,
    mstep_maximises_q,
    weight_two_is_seen_twice,
    labels_are_obeyed,
    constraints_hold,
    prior_counts_once,
    resumes_to_the_bit,
    a_state_before_the_first_pass_is_kept,
    one_component_is_maximum_likelihood,
)


def check_model(
    model: Any,
    data_rows: Any,
    *,
    how: str | Variant = "em",
    rng: np.random.Generator | None = None,
    params: Any = None,
    weight: Array | None = None,
    allowed: NDArray[Any] | None = None,
    given: Any = None,
    exchangeable: bool = True,
    symmetric: bool | None = None,
) -> None:
    """Check every law of ``MODEL_LAWS`` on ``model`` with the sample rows ``data_rows``.

    Parameters
    ----------
    model : Model
        Bound or not; it is bound to the rows where it can be.
    data_rows : array (n, ...) or tuple of arrays
        Some 30 to 100 rows that the model could have produced.
    how : str or Variant
        The variant of EM to run.
    rng : Generator or None
        Draws starting parameters; None is a fixed seed.
    params : record or None
        Where to begin; None is an M-step from random responsibilities (``tally``), or ``model.start()`` jolted.
        Under constraints they must obey them.
    weight, allowed, given : arrays or None
        What rows carry; see ``estep.core.protocols.Chunk``.
    exchangeable : bool
        Whether the order of rows is without meaning.
    symmetric : bool or None
        Whether components may be renamed; None: when the model has no constraints.

    Raises
    ------
    AssertionError
        Naming the law that does not hold, what was found and expected, and the worst place.

    Examples
    --------
    >>> from estep.families.normal import Normal
    >>> from estep.models.latent import Latent
    >>> from estep.structures.iid import Iid
    >>> check_model(Latent(Iid(), Normal("EEI"), 2), np.random.default_rng(0).normal(size=(40, 2)))
    """
    case = model_case(
        model,
        data_rows,
        how=how,
        rng=rng,
        params=params,
        weight=weight,
        allowed=allowed,
        given=given,
        exchangeable=exchangeable,
        symmetric=symmetric,
    )
    for law in MODEL_LAWS:
        law(case)
