"""Whether the fitted law suits the rows: a distance between both, and its p value from data sets drawn from the fit.

    columns       max_ij |F_n(x_ij) - F(x_ij)|,  F the mixture's distribution function         continuous columns
    forecasts     the same of F(x_tj | rows before), ``check_forecasts.py``                 rows in sequences
    responses     the same of F(y_i | covariates)                                           continuous regressions
    patterns      G2 = 2 sum_p o_p log(o_p / e_p),  e_p = n p(x_p);  X2 = sum o_p^2 / e_p - n   counts and categories
    distances     max_k sqrt(N_k) max_u |G_k(u) - u|,  G_k of chi2_d(D_ik^2), weights r_ik    normals, d > 1

In the last, D_ik^2 is Mahalanobis's distance: given the component it is chi-squared, and with labels drawn from r_ik the rows
of component k are a sample of it, so that G_k is uniform on average.

p value   each data set is drawn from the fit and fitted again from there: a Newton step I^-1 s, halved until the likelihood
          does not fall, and two steps of EM. The share of distances at least as large, counting the observed one. As the
          estimates adapt to the drawn rows as they did to the true ones, it is uniform under the model, and not too large.

Sources: Stute, Gonzalez Manteiga & Presedo Quindimil (1993), Metrika 40:243 (bootstrap of such distances with estimated
parameters); Lehmann & Casella (1998), Theory of Point Estimation, section 6.4 (one step estimates); McLachlan & Peel (2000),
Finite Mixture Models, section 3.3 (distances by component).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.core.rows import count
from estep.data.memory import Memory
from estep.engine.run import NO_POINT, log_prior
from estep.families.noise import WithNoise
from estep.families.normal import Normal
from estep.inference.check_forecasts import forecasts, no_forecasts
from estep.inference.distribution import cdf, has_cdf, is_counted
from estep.inference.errors import Errors
from estep.inference.findings import Finding, Severity
from estep.inference.gaps import Distance, largest_gap
from estep.inference.information import _image as em_map
from estep.inference.scene import Block, Scene, complete_rows, drawn, first_sequences, prior_of, some

ALARM = 0.01
MOST_ROWS, SAMPLED = 5_000, 2_000
HALVINGS, STEPS = 4, 2


Measure = Callable[[Any, Any, Memory], Distance]


@dataclasses.dataclass(frozen=True)
class Law:
    """A measure that suits a model, by name; ``why`` where there is none."""

    name: str
    measure: Measure | None
    why: str = ""


def law_of(scene: Scene) -> Law:
    """The measure of a fit and its rows."""
    if getattr(scene.data, "ends", None) is not None:
        return _of_sequences(scene)
    if why := scene.no_rows():
        return Law("", None, why)
    model, x = scene.model, scene.data.x
    if isinstance(x, tuple):
        return _of_responses(model, x)
    family, d = model.family, x.shape[1]
    if bool(getattr(family, "discrete", False)) and all(is_counted(family, j) for j in range(d)):
        return _of_patterns(scene)
    if isinstance(family, Normal) and d > 1:
        return Law("distances", distances)
    columns = [j for j in range(d) if not is_counted(family, j) and has_cdf(family, j, d)]
    if not columns or isinstance(family, WithNoise):
        return Law("", None, f"{type(family).__name__} has no distribution function of its own for these columns")
    return Law("columns", columns_measure)


def _of_sequences(scene: Scene) -> Law:
    weighted = "sequences have weights" if (scene.weight != 1).any() else ""
    x = scene.data.x
    why = scene.no_draws() or weighted or no_forecasts(scene.model, x)
    why = why or (_of_responses(scene.model, x).why if isinstance(x, tuple) else "")
    return Law("", None, why) if why else Law("forecasts", forecasts)


def _of_responses(model: Any, x: tuple[Any, ...]) -> Law:
    counted = not hasattr(model.family, "cdf") or np.ndim(x[1]) != 1 or np.array_equal(np.rint(x[1]), x[1], equal_nan=True)
    return Law("", None, "the responses are counts or categories") if counted else Law("responses", responses)


def _of_patterns(scene: Scene) -> Law:
    if scene.data.given is not None:
        return Law("", None, "rows have groups or covariates, so there is no one table of patterns")
    whole = scene.data.x[complete_rows(scene.data.x)]
    different = len(np.unique(whole, axis=0))
    if 2 * different > len(whole):
        return Law("", None, f"nearly every row is a pattern of its own ({different:,} patterns in {len(whole):,} rows)")
    return Law("patterns", patterns)


def goodness_of_fit(scene: Scene) -> Iterator[Finding]:
    """Whether the distance between rows and model is larger than in rows drawn from the model."""
    law, errors = law_of(scene), scene.errors
    assert law.measure is not None and errors is not None
    data, again = _rows_of(scene)
    seen = law.measure(scene.model, scene.params, data)
    rng = np.random.default_rng(scene.seed)
    larger, done = 1, 1
    for _ in range(scene.n_sim):
        made = drawn(scene.model, scene.params, data, rng)
        params = refitted(errors, made) if again else scene.params
        if params is not None:
            done += 1
            larger += law.measure(scene.model, params, made).value >= seen.value
    chance = larger / done
    if chance <= ALARM:
        where = "" if again else f" (on {count(data.x):,} of the rows)"
        yield Finding(
            "misfit", Severity.WARNING, "The rows do not follow the fitted law", f"{seen.where}; p = {chance:.3g} by "
            f"{done - 1} data sets drawn from the fit{where}", REMEDIES[law.name],
            {"statistic": seen.value, "p_value": chance, "n_sim": done - 1, **seen.numbers},
        )  # fmt: skip


REMEDIES = {
    "columns": "see plot_probability and plot_residuals; take another family, or more components",
    "responses": "see plot_regressions; take another family of responses, other covariates, or more components",
    "forecasts": "see plot_residuals; take more states, or another family (a shape or spread that the states do not have)",
    "patterns": "see plot_rootogram or the bivariate residuals; take more components, or a family with more spread",
    "distances": "take another covariance structure, more components, or heavier tails (StudentMixture)",
}
"""What helps, by measure."""


def _rows_of(scene: Scene) -> tuple[Memory, bool]:
    """The rows to measure, each as often as its weight says, and whether to fit drawn ones again; of many a sample."""
    if scene.data.ends is not None:
        return first_sequences(scene.data, MOST_ROWS)
    n, weight = count(scene.data.x), scene.weight
    total = int(round(scene.n))
    whole = np.array_equal(np.rint(weight), weight)
    if whole and total <= MOST_ROWS:
        return some(scene.data, np.repeat(np.arange(n), weight.astype(np.intp))), True
    size = min(SAMPLED, max(total, 1))
    rng = np.random.default_rng(scene.seed)
    drawn_rows = np.sort(rng.choice(n, size, replace=bool((weight != 1).any()), p=weight / weight.sum()))
    return some(scene.data, drawn_rows), False


def refitted(errors: Errors, data: Memory) -> Any:
    """The fit to other rows of the same kind, from the point of ``errors``, in few steps; None where it fails."""
    rows = Block(Chunk(("drawn", 0, count(data.x)), data.x, given=data.given, ends=data.ends, keep=True))
    point = dataclasses.replace(errors.point, data=rows)

    def height(vector: Array) -> float:
        try:
            return float(point.expected(vector).objective) + log_prior(point.model, point.params_at(vector))
        except NO_POINT:
            return -np.inf

    try:
        step = errors.ways.inverse @ point.observed_score(point.at)
        base, vector = height(point.at), point.at
        for halving in range(HALVINGS):
            ahead = point.at + step / 2.0**halving
            if height(ahead) >= base:
                vector = ahead
                break
        for _ in range(STEPS):
            vector = em_map(point, vector)
            if not np.isfinite(vector).all():  # a component that no drawn row belongs to
                return None
    except NO_POINT:
        return None
    return point.params_at(vector)


# --- measures ---


def columns_measure(model: Any, params: Any, data: Memory) -> Distance:
    """The largest gap between the distribution functions of rows and model, over the columns."""
    d = data.x.shape[1]
    prior = prior_of(model, params, count(data.x), data.given)
    best, at, place = -1.0, 0, 0.0
    for j in range(d):
        if is_counted(model.family, j) or not has_cdf(model.family, j, d):
            continue
        values = data.x[:, j]
        seen = ~np.isnan(values)
        u = (prior[seen] * cdf(model.family, params.family, values[seen], j, d)).sum(axis=1)
        gap, i = largest_gap(u)
        if gap * np.sqrt(max(seen.sum(), 1)) > best:
            best, at, place = gap * float(np.sqrt(seen.sum())), j, float(values[seen][i]) if seen.any() else 0.0
            size = gap
    words = f"in column {at} the distribution functions of rows and model differ by {size:.3f}, most at {place:.4g}"
    return Distance(best, words, {"column": at, "gap": size, "place": place})


def responses(model: Any, params: Any, data: Memory) -> Distance:
    """The same of responses given their covariates."""
    prior = prior_of(model, params, count(data.x), data.given)
    u = (prior * model.family.cdf(params.family, data.x)).sum(axis=1)
    seen = ~np.isnan(u)
    gap, i = largest_gap(u[seen])
    place = float(u[seen][i])
    words = f"the probability transforms of the responses are not uniform: off by {gap:.3f} at their {place:.2f} quantile"
    return Distance(gap * float(np.sqrt(seen.sum())), words, {"gap": gap, "place": place})


def patterns(model: Any, params: Any, data: Memory) -> Distance:
    """G2 of the complete rows' patterns, with X2 and the pattern that is off most (on the scale of roots)."""
    x = data.x[complete_rows(data.x)]
    found, seen = np.unique(x, axis=0, return_counts=True)
    log_p = model.explain(params, Chunk(("patterns", 0, len(found)), found)).log_density
    n = float(seen.sum())
    expected = n * np.exp(log_p)
    with np.errstate(divide="ignore"):
        g2 = 2.0 * float((seen * (np.log(seen) - np.log(n) - log_p)).sum())
        x2 = float((seen**2 / expected).sum()) - n
    roots = np.sqrt(seen) - np.sqrt(expected)
    i = int(np.argmax(np.abs(roots)))
    told = ", ".join(f"{v:g}" for v in found[i][:8]) + (", ..." if found.shape[1] > 8 else "")
    words = (
        f"G2 = {g2:.2f} and X2 = {x2:.2f} over {len(found)} patterns; the pattern ({told}) was seen {seen[i]} times where "
        f"{expected[i]:.1f} are expected"
    )
    return Distance(g2, words, {"g2": g2, "x2": x2, "patterns": len(found)})


def distances(model: Any, params: Any, data: Memory) -> Distance:
    """The largest gap, over components, between the weighted distribution of Mahalanobis's distances and the chi-squared."""
    from scipy.special import chdtr

    whole = complete_rows(data.x)
    x = data.x[whole]
    given = None if data.given is None else np.asarray(data.given)[whole]
    resp = model.explain(params, Chunk(("distances", 0, len(x)), x, given=given)).resp
    squared = mahalanobis(params.family, x)
    best, words, numbers = -1.0, "", {}
    for k in range(resp.shape[1]):
        held = resp[:, k] > 1e-12
        if not held.any():
            continue
        u = chdtr(x.shape[1], squared[held, k])
        gap, i = largest_gap(u, resp[held, k])
        value = gap * float(np.sqrt(resp[:, k].sum()))
        if value > best:
            side = "far out" if u[i] > 0.5 else "near the centre"
            best, numbers = value, {"component": k, "gap": gap, "place": float(u[i])}
            words = (
                f"the distances of rows from the centre of component {k} do not follow the chi-squared law: off by {gap:.3f}, "
                f"{side} (at its {u[i]:.2f} quantile)"
            )
    return Distance(best, words, numbers)


def mahalanobis(params: Any, x: Array) -> Array:
    """Squared distances (n, k) of complete rows from the components' means, in their covariances."""
    out = np.empty((len(x), len(params.means)))
    for k, (mean, covariance) in enumerate(zip(params.means, params.covariances, strict=True)):
        whole = np.diag(covariance) if np.ndim(covariance) == 1 else covariance
        z = np.linalg.solve(np.linalg.cholesky(whole), (x - mean).T)
        out[:, k] = (z**2).sum(axis=0)
    return out
