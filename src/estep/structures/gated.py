"""A gate: class probabilities that depend on covariates, by multinomial logit.

    P(z_i = k | g_i) = p_ik = softmax(V (1, g_i))_k,   v_0 = 0,      x_i | z_i = k ~ p(. | theta_k)

With covariates that are constant this is a mixture; with regressions as components it is a mixture of experts. The intercept is
added inside; the first class is the reference, whose coefficients are zero.

E-step   logits_ik = log p_ik + log p(x_i | theta_k)
M-step   Q(V) = sum_i sum_k r_ik log p_ik has no sufficient statistics: its value, gradient and curvature at the current V, and
         one step that cannot lower it, Newton's where that is safe and else that of Boehning's bound (kernels/local.py)
prior    ridge: -1/2 ridge |v_k|^2 on the coefficients of covariates, nothing on intercepts

symbol   variable      shape
V        gate_coefs    (k, 1 + q)   intercept first
g        chunk.given   (n, q)
         local         one component with k linear predictors

Sources: Jacobs, Jordan, Nowlan & Hinton (1991), Neural Computation 3:79; Jordan & Jacobs (1994), Neural Computation 6:181;
Boehning (1992), Ann. Inst. Statist. Math. 44:197; Dayton & Macready (1988), J. Am. Stat. Assoc. 83:173.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from estep.core.assign import SOFT
from estep.core.collapse import Collapsed
from estep.core.protocols import Assign, Chunk, Explained
from estep.core.record import Array, record
from estep.core.support import Constraints, Pattern, Real, Support
from estep.kernels import local
from estep.kernels.design import Design, centred, features, find_design, inner, pulled, with_reach
from estep.kernels.local import LocalStats
from estep.kernels.logit import expansion_of, log_probs

PICTURE = 2000


@record
class GateParams:
    """Coefficients ``gate_coefs`` (k, 1 + q), intercept first; those of the first class are zero."""

    gate_coefs: Array


@record
class GateStats:
    """Expected rows in each class, (k,), and the gate's log-likelihood to second order."""

    counts: Array
    local: LocalStats


def sample(self: Any, params: Any, n: int, rng: np.random.Generator, **where: Any) -> NDArray[np.intp]:
    """A class label for each of the ``n`` rows of ``given``."""
    probs = self.probs(params, covariates(where.get("given"), self.columns))
    if len(probs) != n:
        raise ValueError(f"sample: given has {len(probs)} rows, expected {n}: a gate draws one class for each")
    return np.asarray((rng.random((n, 1)) > probs.cumsum(axis=1)[:, :-1]).sum(axis=1), dtype=np.intp)


def blank(self: Any) -> Array:
    """A row of covariates: their mean."""
    return known(self).centre[None]


@dataclasses.dataclass(frozen=True)
class Gated:
    """Class probabilities by multinomial logit on ``given`` (n, q).

    Parameters
    ----------
    ridge : float
        Precision of a normal prior on the coefficients of covariates; above 0 admits collinear columns and separable classes.
    columns : tuple of str
        Names of the covariates, for messages.
    design, picture
        Set by ``bind``: the map of covariates, and at most 2000 of their rows, evenly spaced, for the weights over all rows.

    Raises
    ------
    ValueError
        Where covariates are missing, constant or collinear, naming row or columns.

    Examples
    --------
    >>> from estep.data import Memory
    >>> gate = Gated().bind(Memory(np.zeros((4, 1)), given=np.array([[0.0], [1.0], [2.0], [3.0]])))
    >>> gate.probs(GateParams(np.array([[0.0, 0.0], [-1.0, 1.0]])), np.array([[1.0]])).tolist()
    [[0.5, 0.5]]
    """

    ridge: float = 0.0
    columns: tuple[str, ...] = ()
    design: Design | None = None
    picture: Array | None = None
    names: ClassVar[tuple[str, ...]] = ("gate_coefs",)

    def bind(self, data: Any) -> Gated:
        """Fix the map of covariates."""
        q = covariates(next(iter(data.chunks())).given, self.columns).shape[1]
        columns = self.columns if len(self.columns) == q else tuple(f"g{j}" for j in range(q))

        def read(chunk: Any) -> tuple[Array, Array]:
            given = covariates(chunk.given, columns, chunk.key[1])
            return given, np.ones(len(given)) if chunk.weight is None else chunk.weight

        weight, mean, covariance = centred(data, read, q)
        found = find_design(mean, covariance, weight, intercept=True, ridge=self.ridge, names=columns, argument="gate")
        every = max(1, -(-data.n_rows // PICTURE))
        seen = [np.asarray(c.given, dtype=float)[(-c.key[1]) % every :: every] for c in data.chunks()]
        design = with_reach(found, data, read)
        return dataclasses.replace(self, columns=columns, design=design, picture=np.concatenate(seen))

    def start(self, k: int) -> GateParams:
        """Equal probabilities everywhere."""
        return GateParams(np.zeros((k, 1 + known(self).centre.size)))

    def log_probs(self, params: GateParams, given: Any) -> Array:
        """log p_ik of each row, (n, k)."""
        theta = inner(known(self), params.gate_coefs)
        return log_probs(features(known(self), covariates(given, self.columns)) @ theta.T)

    def probs(self, params: GateParams, given: Any) -> Array:
        """Class probabilities of each row, (n, k), before anything else of it is seen."""
        return np.exp(self.log_probs(params, given))

    def infer(
        self,
        params: GateParams,
        logb: Callable[[slice], Array],
        chunk: Chunk,
        assign: Assign,
        collect: Callable[[slice, Array], None],
    ) -> tuple[GateStats, float, float]:
        """Statistics, objective and log-likelihood of a chunk; weighted responsibilities go to ``collect``."""
        everything = slice(0, len(chunk))
        resp, objective, loglik = assign.rows(self.log_probs(params, chunk.given) + logb(everything), chunk.key)
        if chunk.weight is not None:
            resp = resp * chunk.weight[:, None]
            objective, loglik = objective * chunk.weight, loglik * chunk.weight
        collect(everything, resp)
        return self.tally(params, resp, chunk), float(objective.sum()), float(loglik.sum())

    def tally(self, params: GateParams, resp: Array, chunk: Chunk) -> GateStats:
        """Statistics from given (weighted) responsibilities."""
        z = features(known(self), covariates(chunk.given, self.columns))
        value, gradient, curvature, gram = expansion_of(z, resp, log_probs(z @ inner(known(self), params.gate_coefs).T))
        at = params.gate_coefs[None]
        found = LocalStats(np.array([value]), gradient[None], curvature[None], gram[None], np.zeros(at.shape), at)
        return GateStats(resp.sum(axis=0), found)

    def explain(self, params: GateParams, logb: Callable[[slice], Array], chunk: Chunk) -> Explained:
        """Per row: log density, class probabilities, most probable class (ties to the lowest index)."""
        resp, _, loglik = SOFT.rows(self.log_probs(params, chunk.given) + logb(slice(0, len(chunk))), chunk.key)
        return Explained(loglik, resp, np.argmax(resp, axis=1))

    def fit(self, counts: GateStats, params: GateParams, support: Support) -> GateParams:
        """One guarded Newton step from the point of the statistics over the free entries; never lowers the likelihood."""
        return GateParams(local.step(counts.local, known(self), params.gate_coefs[None], pattern_of(support))[0])

    def q(self, params: GateParams, counts: GateStats) -> float:
        """``sum_ik r_ik log p_ik`` in nats, to second order about the point of the statistics."""
        return float(local.expansion(counts.local, known(self), params.gate_coefs[None])[0])

    def score(self, params: GateParams, counts: GateStats, support: Support) -> Array:
        """Gradient of ``q`` in free coordinates."""
        return support.pull(params, {"gate_coefs": local.slope(counts.local, known(self), params.gate_coefs[None])[0]})

    def unit_scores(self, params: GateParams, resp: Array, support: Support, given: Any = None) -> Array:
        """Per row, the gradient of its expected complete-data log-likelihood, (n, p)."""
        z = features(known(self), covariates(given, self.columns))
        slope = resp - resp.sum(axis=1, keepdims=True) * self.probs(params, given)
        raw = slope[:, :, None] * pulled(known(self), z)[:, None, :]
        pattern = pattern_of(support)
        chosen = np.asarray(pattern.groups.ravel()[:, None] == np.arange(pattern.count), dtype=float)
        return np.asarray(raw.reshape(len(z), -1) @ chosen)

    def support(self, params: GateParams, constraints: Constraints) -> Support:
        """Real coefficients; those of the first class are held at zero."""
        held = np.zeros(params.gate_coefs.shape, dtype=bool)
        held[0] = True
        return Support({"gate_coefs": Real(reference_at_zero(constraints, held, "gate_coefs"))})

    def prior(self, k: int, strength: Any) -> GateStats:
        """The ridge as statistics. A gate has no weights of its own, so no Dirichlet prior: ``strength`` is None (or 1)."""
        if strength is not None and np.any(np.asarray(strength) != 1.0):
            raise ValueError("prior['weights']: a gate has coefficients in place of weights; set its ridge instead")
        m = 1 + known(self).centre.size
        penalty = np.full((1, k, m), float(self.ridge))
        penalty[:, :, 0] = 0.0
        flat, none, gram = np.zeros((1, k, m)), np.zeros((1, k * m, k * m)), np.zeros((1, m, m))
        return GateStats(np.zeros(k), LocalStats(np.zeros(1), flat, none, gram, penalty, flat))

    def carried(self, k: int) -> GateStats | None:
        """The prior that the structure's own settings ask for, or None."""
        return self.prior(k, None) if self.ridge > 0 else None

    def align(self, prior: GateStats, counts: GateStats) -> GateStats:
        """``prior`` at the point of ``counts``: a penalty does not depend on it."""
        return dataclasses.replace(prior, local=dataclasses.replace(prior.local, at=counts.local.at))

    def frail(self, params: GateParams, counts: GateStats, support: Support) -> Collapsed | None:
        """A class whose probability depends on covariates without end, because these separate it; None if there is none."""
        found = local.runaway(counts.local, known(self), params.gate_coefs[None], pattern_of(support))
        return None if found is None else separated(self, params.gate_coefs, found[1])

    def occupancy(self, counts: GateStats) -> Array:
        """Expected rows in each class, (k,)."""
        return counts.counts

    def overall(self, params: GateParams) -> Array:
        """Mean class probabilities over the rows it was bound to (at most 2000 of them, evenly spaced), (k,)."""
        return np.asarray(self.probs(params, self.picture).mean(axis=0))

    def permute(self, params: GateParams, order: NDArray[np.intp]) -> GateParams:
        """Classes in another order, with the coefficients of the new first class taken from all."""
        moved = params.gate_coefs[order]
        return GateParams(moved - moved[0])

    def adopt(self, name: str, value: Array, k: int, argument: str) -> Array:
        """A user's coefficients (k, 1 + q); those of the first class must be zero or free. Raises ValueError."""
        expected = (k, 1 + known(self).centre.size)
        if value.shape != expected:
            raise ValueError(f"{argument} has shape {value.shape}, expected {expected}: intercept first")
        if np.any(np.nan_to_num(value[0]) != 0):
            raise ValueError(
                f"{argument}: the first class is the reference and has zeros; subtract its entries from every class"
            )
        return value

    sample = sample
    blank = blank


def known(self: Any) -> Design:
    """The map of covariates that ``bind`` found."""
    if self.design is None:
        raise ValueError(f"this {type(self).__name__} structure has seen no covariates yet: call bind(data) first")
    found: Design = self.design
    return found


def covariates(given: Any, columns: tuple[str, ...], at: int = 0) -> Array:
    """Gate covariates (n, q); raises ValueError where there are none, or one is missing (rows counted from ``at``)."""
    if given is None:
        raise ValueError("class probabilities depend on covariates, so rows need them: pass given (n, q)")
    g = np.asarray(given, dtype=float)
    if g.ndim != 2:
        raise ValueError(f"gate covariates have shape {g.shape}, expected (n, q)")
    if not np.isfinite(g).all():
        row, j = (int(v) for v in np.argwhere(~np.isfinite(g))[0])
        name = columns[j] if len(columns) == g.shape[1] else f"g{j}"
        raise ValueError(
            f"gate: row {at + row} has no value (NaN or inf) in column {name!r}, and a gate says nothing of its covariates; "
            "drop such rows or gate on covariates that are complete"
        )
    return g


def reference_at_zero(constraints: Constraints, held: NDArray[np.bool_], name: str) -> Pattern:
    """The user's pattern for the coefficients ``name`` with the reference's entries fixed at zero."""
    shape = held.shape
    fixed = np.array(constraints.fixed.get(name, np.full(shape, np.nan)), dtype=float)
    ties = np.array(constraints.tied.get(name, np.arange(held.size).reshape(shape)))
    fixed[held] = 0.0
    ties[held] = ties.max() + 1 + np.arange(int(held.sum()))
    return Constraints({name: fixed}, {name: ties}).pattern(name, shape)


def pattern_of(support: Support) -> Pattern:
    """Fixed and tied entries of one gate, (1, k, 1 + q)."""
    entry = support.entries["gate_coefs"]
    assert isinstance(entry, Real)
    return Pattern(entry.pattern.groups[None], entry.pattern.values[None])


def separated(self: Any, coefs: Array, column: int) -> Collapsed:
    """Coefficients of a gate without a finite maximum, named; the class is the one whose coefficients are largest."""
    sizes = np.abs(inner(known(self), coefs - coefs.mean(axis=0)))
    lead = f", led by those of column {self.columns[column]!r}" if self.columns and column >= 0 else ""
    return Collapsed(
        int(np.argmax(sizes.max(axis=1))),
        f"coefficients of the gate run to infinity{lead}: the covariates separate the classes, so the likelihood has no finite "
        "maximum; set ridge > 0 for the gate",
    )
