"""Where runs begin: rules propose labels on a sample of rows, the model turns each proposal into parameters.

    rule        proposes classes (or responsibilities) from the rows alone, so proposals are shared between structures
    begin       M-step from the proposal; its components regularised by the weak prior, so that small classes do not collapse
                (the hierarchical rule first tries the plain M-step, as mclust does)

    random      stands in for a rule that draws rows where fewer rows differ than there are classes

    soften      a row gives the share SOFT of itself to all the classes that it may belong to, the rest as proposed

Rules see ``features(x)`` where the family has them, else ``x``. Rows with missing entries are proposed on with column means
filled in; the M-step uses what was observed.

Starts are softened for families whose rows are discrete and for those without a weak prior. A class that never shows a value
has its probability at zero, and EM leaves no such boundary: p = 0 gives resp = 0 gives p = 0. A softened class is a mixture of
its own rows and a little of the whole, so its parameters are inside wherever those of the whole data are; it rests on no few
equal rows. A strict start of a discrete family is softened too; responsibilities that a user gives are taken as they are.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estep.core.collapse import Collapsed
from estep.core.memo import remembered
from estep.core.picture import pictured
from estep.core.record import Array
from estep.core.rows import count, take
from estep.engine.tallied import SOFT, families_in, gently
from estep.start.farthest_first import farthest_first
from estep.start.hierarchical import MergeTree, merge_tree, scaled_svd
from estep.start.kmeanspp import kmeans_plusplus
from estep.start.nearest import nearest_labels, quantile_labels
from estep.start.noise import noise_rows
from estep.start.present import distinct
from estep.start.random_rows import random_responsibilities, random_rows

SAMPLE = 10_000
TREE_ROWS = 1_000
Labels = NDArray[np.intp]


@dataclasses.dataclass(frozen=True)
class Sample:
    """Complete rows to start from, columns scaled to unit variance."""

    rows: NDArray[np.intp]
    scaled: Array
    weight: Array | None

    @staticmethod
    def of(x: Any, weight: Array | None, seed: int, features: Callable[[Any], Any] | None = None) -> Sample:
        """At most SAMPLE rows of ``x``, missing entries filled by column means; a weight is how often a row was seen."""
        n, rng = count(x), np.random.default_rng([seed, 0])
        rows = np.arange(n) if n <= SAMPLE else np.sort(rng.choice(n, SAMPLE, replace=False))
        part = pictured(take(x, rows), features, seed)
        some = None if weight is None else weight[rows]
        mass = np.ones(len(rows)) if some is None else some / some.max()
        seen = ~np.isnan(part)
        counts = mass @ seen
        mean = mass @ np.where(seen, part, 0.0) / np.where(counts > 0, counts, 1.0)
        part = np.where(seen, part - mean, 0.0)
        spread = np.sqrt(mass @ part**2 / mass.sum())
        return Sample(rows, part / np.where(spread > 0, spread, 1.0), some)


@dataclasses.dataclass(frozen=True)
class Proposal:
    """Responsibilities (m, k) for some rows; ``strict`` tries the plain M-step first, ``exact`` ones are never softened."""

    name: str
    rows: NDArray[np.intp]
    resp: Array
    strict: bool
    exact: bool = False


Rule = Callable[[Sample, int, np.random.Generator], Array]


def one_hot(labels: Labels, k: int) -> Array:
    """Responsibilities (n, k) of hard labels; -1 is a row of zeros.

    >>> one_hot(np.array([1, -1]), 2).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    return np.asarray(labels[:, None] == np.arange(k), dtype=float)


def _tree(sample: Sample, k: int, model: str, sphere: bool) -> Array:
    """Hierarchical classes of at most TREE_ROWS rows, the others left out; the tree is grown once a sample."""
    n = len(sample.scaled)

    def grow() -> tuple[Labels, MergeTree]:
        chosen = np.arange(n) if n <= TREE_ROWS else np.sort(np.random.default_rng(n).choice(n, TREE_ROWS, replace=False))
        part = sample.scaled[chosen]
        return chosen, merge_tree(scaled_svd(part) if sphere else part, model)

    chosen, tree = remembered(sample, ("tree", model, sphere), grow)
    resp = np.zeros((n, k))
    resp[chosen] = one_hot(tree.cut(k), k)
    return resp


def _nearest(choose: Callable[..., NDArray[Any]], x: Array, sample: Sample, k: int, rng: np.random.Generator) -> Array:
    rows, mass = distinct(x, sample.weight)
    return one_hot(nearest_labels(x, rows[choose(rows, k, rng, weight=mass)]), k)


RULES: dict[str, Rule] = {
    "hierarchical": lambda s, k, rng: _tree(s, k, "VVV", sphere=True),
    "ward": lambda s, k, rng: _tree(s, k, "EII", sphere=False),
    "kmeans++": lambda s, k, rng: _nearest(kmeans_plusplus, s.scaled, s, k, rng),
    "sphered kmeans++": lambda s, k, rng: _nearest(kmeans_plusplus, scaled_svd(s.scaled), s, k, rng),
    "farthest_first": lambda s, k, rng: _nearest(farthest_first, s.scaled, s, k, rng),
    "random_rows": lambda s, k, rng: _nearest(random_rows, s.scaled, s, k, rng),
    "random": lambda s, k, rng: random_responsibilities(len(s.scaled), k, rng),
    "quantiles": lambda s, k, rng: one_hot(quantile_labels(s.scaled[:, 0], k), k),
}
STRICT = ("hierarchical", "quantiles")
SETTLED = ("hierarchical", "ward", "quantiles")
CYCLE = ("kmeans++", "sphered kmeans++", "farthest_first", "random_rows")


def rule_names(init: str, n_init: int, d: int) -> list[str]:
    """The rules of ``n_init`` starts: ``init`` again and again (once if it draws nothing), or the default mixture of rules."""
    if init == "auto":
        first = ["quantiles", "hierarchical", "ward"] if d == 1 else ["hierarchical", "ward"]
        return [*first, *itertools.islice(itertools.cycle(CYCLE), max(n_init - len(first), 0))][:n_init]
    if init not in RULES:
        raise ValueError(
            f"init={init!r} is unknown; choose 'auto', one of {sorted(RULES)}, or give parameters, labels or responsibilities"
        )
    return [init] if init in SETTLED else [init] * n_init


def propose(sample: Sample, k: int, names: Sequence[str], seed: int, noise: bool = False) -> list[Proposal]:
    """One proposal a name for the rows of ``sample``; with ``noise`` the last of ``k`` classes is noise."""
    quiet = _quiet(sample) if noise else None
    rules = [_possible(name, sample, k) for name in names]
    return [_proposal(name, sample, quiet, k, np.random.default_rng([seed, 1 + i])) for i, name in enumerate(rules)]


def _possible(name: str, sample: Sample, k: int) -> str:
    """The rule, or "random" where it wants ``k`` different rows and there are fewer: more states than symbols."""
    if name not in CYCLE:
        return name
    for rows in (sample.scaled[: 8 * k], sample.scaled):
        if len(np.unique(rows, axis=0)) >= k:
            return name
    return "random"


def _quiet(sample: Sample) -> NDArray[np.bool_]:
    """Rows that look like noise; a row seen twice is its own neighbour, as it would be were it written twice."""
    times = np.ones(len(sample.rows)) if sample.weight is None else np.rint(sample.weight)
    if sample.weight is None or (times != sample.weight).any() or times.sum() > 2 * SAMPLE:
        return noise_rows(sample.scaled, weight=sample.weight)
    written = np.repeat(np.arange(len(times)), times.astype(np.intp))
    noise = np.zeros(len(times), dtype=np.bool_)
    noise[written] = noise_rows(sample.scaled[written])
    return noise


def _proposal(name: str, sample: Sample, quiet: NDArray[np.bool_] | None, k: int, rng: np.random.Generator) -> Proposal:
    if quiet is None:
        return Proposal(name, sample.rows, RULES[name](sample, k, rng), name in STRICT)
    kept = np.flatnonzero(~quiet)
    part = Sample(sample.rows[kept], sample.scaled[kept], None if sample.weight is None else sample.weight[kept])
    resp = np.zeros((len(sample.rows), k))
    resp[kept, :-1] = RULES[name](part, k - 1, rng)
    resp[quiet, -1] = 1.0
    return Proposal(name, sample.rows, resp, name in STRICT)


def respecting(proposal: Proposal, allowed: NDArray[Any] | None, k: int) -> Proposal:
    """The proposal with classes renamed to agree most with the partial labels, and forbidden classes cleared."""
    if allowed is None:
        return proposal
    from scipy.optimize import linear_sum_assignment

    mask = permitted(allowed[proposal.rows], k)
    told = ~mask.all(axis=1)
    share = mask[told] / np.maximum(mask[told].sum(axis=1, keepdims=True), 1)
    order = linear_sum_assignment(-(share.T @ proposal.resp[told]))[1]
    resp = proposal.resp[:, order] * mask
    lost = resp.sum(axis=1) <= 0
    resp[lost] = mask[lost]
    return dataclasses.replace(proposal, resp=resp / np.maximum(resp.sum(axis=1, keepdims=True), 1e-300))


def permitted(allowed: NDArray[Any], k: int) -> NDArray[np.bool_]:
    """Partial labels, codes (n,) or booleans (n, k), as booleans (n, k)."""
    if allowed.ndim == 2:
        return allowed.astype(bool)
    return np.asarray((allowed[:, None] == np.arange(k)) | (allowed[:, None] < 0))


def begin(model: Any, data: Any, proposal: Proposal) -> Any:
    """Parameters from a proposal: an M-step; ``data`` holds the proposal's rows. Raises Collapsed."""
    neutral, families = model.start(), families_in(model.family)
    absorbs = not proposal.exact and any(getattr(family, "discrete", False) for family in families)
    bare = not proposal.exact and not all(hasattr(family, "prior") for family in families)
    if proposal.strict and not absorbs:
        stats = _tallied(model, data, proposal, neutral)
        try:
            params = model.mstep(stats, neutral)
            if model.dying(params, stats) is None:
                return params
        except Collapsed:
            pass
    stats = _tallied(model, data, proposal, neutral, SOFT if absorbs or bare else 0.0)
    return gently(model).mstep(stats, neutral)


def soften(resp: Array, share: float, allowed: NDArray[Any] | None = None) -> Array:
    """``(1 - share) resp + share |resp| u``, u equal over the classes that a row may belong to; rows of zeros stay.

    >>> soften(np.array([[1.0, 0.0], [0.0, 0.0]]), 0.1).round(6).tolist()
    [[0.95, 0.05], [0.0, 0.0]]
    """
    mask = np.ones(resp.shape) if allowed is None else permitted(allowed, resp.shape[1]).astype(float)
    return np.asarray((1.0 - share) * resp + share * resp.sum(axis=1, keepdims=True) * (mask / mask.sum(axis=1, keepdims=True)))


def _tallied(model: Any, data: Any, proposal: Proposal, params: Any, share: float = 0.0) -> Any:
    """The proposal's statistics; counted once more, closer by, where they lost digits about their anchor."""

    def tally(at: Any, chunk: Any) -> Any:
        resp = proposal.resp[chunk.rows]
        return model.tally(at, chunk, soften(resp, share, chunk.allowed) if share else resp)

    stats = data.sum(partial(tally, params))
    nearby = model.closer(params, stats)
    return stats if nearby is None else data.sum(partial(tally, nearby))

