"""The observed information of a fit, by six ways that share nothing but the model.

With S(phi) the expected statistics, q(phi, S) the complete-data log-likelihood, s the observed score (``free_point.py``):

    oakes     I = - ds(phi)/dphi' = -(d2q/dphi dphi' + d2q/dphi dS dS/dphi')             2p passes, any model
    sem       I = I_complete (1 - DM),   DM of the EM map M by differences              2p passes and M-steps, any model
    louis     I = I_complete - sum_i w_i Cov_i[score of the labels]                      2 passes; labels are all that is hidden
                                                                                          (a sequence's by ``chain_scores.py``)
    hessian   I = - d2 loglik / dphi dphi',  differences of the log-likelihood alone     3p(p+1) passes: the judge of the others
    opg       B = sum_i w_i s_i s_i'                                                     1 pass, scores row by row
    sandwich  covariance I^-1 B I^-1, with clusters B = sum_c S_c S_c', S_c = sum_{i in c} w_i s_i

Weights are frequencies: a row of weight 2 is two rows. For survey weights take the sandwich with a cluster for each row, whose
B has w_i^2.

A unit i is a row, or where rows hang together (a hidden Markov chain) a whole sequence. One sequence has no others to differ
from, and at the maximum its score is zero: "opg" and "sandwich" need many.

symbol      variable    shape
I_complete  complete    (p, p)
I           observed    (p, p)
B           meat        (p, p)

Sources: Oakes (1999), J. R. Statist. Soc. B 61:479; Meng & Rubin (1991), J. Amer. Statist. Assoc. 86:899; Louis (1982), J. R.
Statist. Soc. B 44:226; Meilijson (1989), J. R. Statist. Soc. B 51:127; White (1982), Econometrica 50:1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from estep.core.protocols import Chunk
from estep.core.record import Array
from estep.core.rows import take
from estep.engine.run import log_prior
from estep.inference import units
from estep.inference.free_point import FINE, ROUGH, Point
from estep.models.latent import encoded

MOST_COORDINATES = 80
LEVELS = (1.0, 0.5, 0.25)
WIDE = 0.04
"""Longest step of the Hessian's differences, in spreads that one row leaves."""
BEND = 1e-3
"""Step at which q is compared with the expected log density, in the same unit."""
RECOMMENDED = "use method='oakes', which any model has"


@dataclasses.dataclass(frozen=True)
class Information:
    """Observed information (p, p) in free coordinates, or, of a sandwich, with the ``meat`` for its middle.

    ``asymmetry`` is the largest difference of mirrored entries in units of complete information; ``passes`` over the data.
    """

    observed: Array
    asymmetry: float = 0.0
    passes: int = 0
    meat: Array | None = None
    notes: tuple[str, ...] = ()


def oakes(point: Point, clusters: Any = None) -> Information:
    """Differences of the observed score: Oakes's two terms together, the complete one being ``point.complete``."""
    _no_clusters("oakes", clusters)
    slope = np.empty((point.p, point.p))
    for j in range(point.p):
        up, down, width = point.apart(j)
        slope[:, j] = (point.observed_score(down) - point.observed_score(up)) / width
    words = "the model has no score of its own: scores are differences of q, good to about six digits"
    return _symmetric(point, slope, 2 * point.p, () if point.exact else (words,))


def sem(point: Point, clusters: Any = None) -> Information:
    """Supplemented EM: the rate matrix of the EM map, by differences of the map itself."""
    _no_clusters("sem", clusters)
    share = ROUGH / FINE if point.exact else 1.0
    rate = np.empty((point.p, point.p))
    for j in range(point.p):
        up, down, width = point.apart(j, share)
        rate[:, j] = (_image(point, up) - _image(point, down)) / width
    return _symmetric(point, point.complete @ (np.eye(point.p) - rate), 2 * point.p)


def _image(point: Point, vector: Array) -> Array:
    """The EM map in free coordinates."""
    params = point.params_at(vector)
    image = point.model.mstep(point.expected(vector).stats, params)
    return np.asarray(point.support.pack(image, point.params)[point.kept])


def louis(point: Point, clusters: Any = None) -> Information:
    """Complete information less what the labels' scores vary within rows, or within sequences."""
    _no_clusters("louis", clusters)
    _refuse_without_scores(point, "louis")
    if not (hasattr(point.model, "structure") and hasattr(point.model, "family")):
        raise TypeError(f"method='louis' needs a model of labels (structure and family); {RECOMMENDED}")
    together = units.of_sequences(point.data)
    if together and not hasattr(point.model.structure, "score_covariance"):
        raise TypeError(
            f"method='louis' needs the covariance of a sequence's score over its paths (score_covariance), and "
            f"{type(point.model.structure).__name__} has none; {RECOMMENDED}"
        )
    ways = np.random.default_rng(0).choice([-1.0, 1.0], point.p) * BEND * _spread(point)
    beside = tuple(point.params_at(point.at + s * ways) for s in (1.0, -1.0))
    _refuse_hidden(point, beside, float(point.data.sum(partial(_bend, point, beside))))
    varied = point.data.sum(partial(_of_paths if together else _of_labels, point))
    return _symmetric(point, point.complete - varied, 2)


def _bend(point: Point, beside: tuple[Any, Any], chunk: Chunk) -> float:
    """Second difference of sum w r logb between two points."""
    model, params = point.model, point.params
    resp, block = model.explain(params, chunk).resp, encoded(model.family, take(chunk.x, slice(0, len(chunk))))
    here, high, low = (model.family.log_density(at.family, block) for at in (params, *beside))
    with np.errstate(invalid="ignore"):
        bend = np.where(resp > 0, resp * ((high - here) - (here - low)), 0.0)
    return float((bend if chunk.weight is None else bend * chunk.weight[:, None]).sum())


def _of_labels(point: Point, chunk: Chunk) -> Array:
    """Sum over rows of w Cov[score of the label], (p, p)."""
    model, params = point.model, point.params
    s, f = _supports(model, params)
    resp = model.explain(params, chunk).resp
    block = encoded(model.family, take(chunk.x, slice(0, len(chunk))))
    weight = np.ones(len(chunk)) if chunk.weight is None else chunk.weight
    out, mean = np.zeros((point.p, point.p)), np.zeros((len(chunk), point.p))
    for k in range(resp.shape[1]):
        one = np.zeros_like(resp)
        one[:, k] = 1.0
        structure = model.structure.unit_scores(params.structure, one, s, chunk.given)
        family = model.family.unit_scores(params.family, block, one, f)
        scores = np.where(resp[:, [k]] > 0, np.hstack([structure, family])[:, point.kept], 0.0)
        mean += resp[:, [k]] * scores
        out += (scores * (weight * resp[:, k])[:, None]).T @ scores
    return np.asarray(out - (mean * weight[:, None]).T @ mean)


def _of_paths(point: Point, chunk: Chunk) -> Array:
    """Sum over sequences of w Cov[score of the path], (p, p)."""
    found: Array = point.model.score_covariance(point.params, chunk)[np.ix_(point.kept, point.kept)]
    return found


def _supports(model: Any, params: Any) -> tuple[Any, Any]:
    """Supports of structure and family."""
    found: tuple[Any, Any] = model._supports(params)
    return found


def _refuse_hidden(point: Point, beside: tuple[Any, Any], bend: float) -> None:
    """Raise TypeError where the family's statistics hold more than the labels: q then bends more than sum r log p does."""
    model = point.model
    stats = point.expected(point.at).stats.family
    here, high, low = (float(model.family.q(at.family, stats)) for at in (point.params, *beside))
    known = (high - here) - (here - low)
    if abs(known - bend) > 1e-4 * (abs(known) + abs(bend)):
        raise TypeError(
            f"method='louis' counts the labels as all that is hidden, but {type(model.family).__name__} hides more on these "
            f"rows (missing values, factors, scales, censored values); {RECOMMENDED}"
        )


def _spread(point: Point) -> Array:
    """What one row leaves open of every coordinate, (p,)."""
    return np.asarray(point.step / (FINE if point.exact else ROUGH))


def hessian(point: Point, clusters: Any = None) -> Information:
    """Second differences of the objective at three steps, extrapolated (Richardson): error of the order of the sixth power."""
    _no_clusters("hessian", clusters)
    if point.p > MOST_COORDINATES:
        raise ValueError(
            f"method='hessian' needs {3 * point.p * (point.p + 1)} passes for {point.p} parameters, more than a judge is "
            "worth; use method='oakes' (2 passes for each)"
        )
    spread = _spread(point)

    def height(vector: Array) -> float:
        return float(point.expected(vector).objective) + log_prior(point.model, point.params_at(vector))

    centre = height(point.at)
    first, second, third = (_second_differences(height, point.at, centre, WIDE * level * spread) for level in LEVELS)
    finer, finest = (4.0 * second - first) / 3.0, (4.0 * third - second) / 3.0
    observed = -(16.0 * finest - finer) / 15.0
    return Information(observed, passes=3 * point.p * (point.p + 1) + 1)


def _second_differences(height: Callable[[Array], float], at: Array, centre: float, step: Array) -> Array:
    p = at.size
    ends = [[at + s * step * (np.arange(p) == j) for s in (1.0, -1.0)] for j in range(p)]
    width = np.array([up[j] - at[j] for j, (up, _) in enumerate(ends)])
    single = np.array([[height(v) for v in pair] for pair in ends]).reshape(p, 2)
    out = np.empty((p, p))
    for i in range(p):
        out[i, i] = (single[i].sum() - 2.0 * centre) / width[i] ** 2
        for j in range(i):
            both = height(ends[i][0] + ends[j][0] - at) + height(ends[i][1] + ends[j][1] - at)
            out[i, j] = out[j, i] = (both - single[i].sum() - single[j].sum() + 2.0 * centre) / (2.0 * width[i] * width[j])
    return out


def opg(point: Point, clusters: Any = None) -> Information:
    """Outer product of the units' scores, which estimates the information where the model holds (empirical information)."""
    found = outer_product(point, clusters, "opg")
    m, what = units.counted(point.data, clusters)
    if m <= point.p and what != units.ROWS:
        raise ValueError(
            f"method='opg' needs more {what} than free parameters to have an inverse, and there are {m} and {point.p}; "
            f"{RECOMMENDED}"
        )
    return Information(found, passes=1)


def sandwich(point: Point, clusters: Any = None) -> Information:
    """Oakes's information with the outer product in the middle: right also where the model is not."""
    meat = outer_product(point, clusters, "sandwich")
    m, what = units.counted(point.data, clusters)
    few = f"{m} {what} for {point.p} free parameters: robust errors of few {what} tend to be too small"
    bread = oakes(point)
    notes = (*bread.notes, few) if m <= point.p and what != units.ROWS else bread.notes
    return dataclasses.replace(bread, meat=meat, passes=bread.passes + 1, notes=notes)


def outer_product(point: Point, clusters: Any, method: str) -> Array:
    """B (p, p), unit by unit or cluster by cluster."""
    _refuse_without_scores(point, method)
    m, what = units.counted(point.data, clusters)
    if m < 2 and what != units.ROWS:
        raise ValueError(
            f"method={method!r} learns from how the scores of {what} differ, and there is one: its score is zero at the "
            f"maximum; {RECOMMENDED}"
        )
    if clusters is None:
        found: Array = point.data.sum(partial(_squares, point))
        return found
    sums = cluster_scores(point, clusters, method)
    return np.asarray(sums.T @ sums)


def _squares(point: Point, chunk: Chunk) -> Array:
    scores, weight = unit_scores(point, chunk), units.weight_of(chunk)
    return np.asarray((scores if weight is None else scores * weight[:, None]).T @ scores)


def cluster_scores(point: Point, clusters: Any, method: str) -> Array:
    """Weighted scores summed by cluster, (clusters, p); ``clusters`` names each unit's."""
    _refuse_without_scores(point, method)
    codes = units.codes_of(clusters, units.count_of(point.data))
    sums, places = np.zeros((int(codes.max()) + 1, point.p)), units.Places(point.data)

    def keep(chunk: Chunk, scores: Array) -> None:
        np.add.at(sums, codes[places.of(chunk)], scores)

    def weighted(chunk: Chunk) -> Array:
        scores, weight = unit_scores(point, chunk), units.weight_of(chunk)
        return scores if weight is None else scores * weight[:, None]

    point.data.map(weighted, keep)
    return sums


def unit_scores(point: Point, chunk: Chunk) -> Array:
    """Scores (m, p) of the units of a chunk, unweighted."""
    return np.asarray(point.model.unit_scores(point.params, chunk)[:, point.kept])


def lacking_scores(model: Any, data: Any) -> str:
    """What a model lacks to give the scores of its rows, or of its sequences; "" where it lacks nothing."""
    together = units.of_sequences(data)
    parts = [model] if not hasattr(model, "family") else [model, model.family]
    for part in parts:
        if not hasattr(part, "unit_scores"):
            return f"the scores of single rows (unit_scores), and {type(part).__name__} has none"
    structure, wanted = getattr(model, "structure", None), "sequence_scores" if together else "unit_scores"
    if structure is not None and not hasattr(structure, wanted):
        what = "whole sequences" if together else "single rows"
        return f"the scores of {what} ({wanted}), and {type(structure).__name__} has none"
    return ""


def _refuse_without_scores(point: Point, method: str) -> None:
    if words := lacking_scores(point.model, point.data):
        raise TypeError(f"method={method!r} needs {words}; {RECOMMENDED}")


def _no_clusters(method: str, clusters: Any) -> None:
    if clusters is not None:
        raise ValueError(f"clusters are for method='sandwich' or 'opg', not {method!r}")


def _symmetric(point: Point, found: Array, passes: int, notes: tuple[str, ...] = ()) -> Information:
    size = np.sqrt(np.maximum(np.diagonal(point.complete), np.finfo(float).tiny))
    gap = (np.abs(found - found.T) / np.outer(size, size)).max(initial=0.0)
    return Information((found + found.T) / 2, float(gap), passes, None, notes)


METHODS: dict[str, Callable[[Point, Any], Information]] = {
    "oakes": oakes,
    "louis": louis,
    "sem": sem,
    "opg": opg,
    "sandwich": sandwich,
    "hessian": hessian,
}
"""Method name -> function of a point and of clusters (or None)."""
